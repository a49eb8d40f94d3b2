//! An account: one bucket's balance behind its lock, and the names that headers and errors call it by.
//!
//! Must never be locked together with another one but in the order of [`Account::rank`]; only
//! [`super::hold`] locks several. Start at [`Account::lock`].

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lw_core::{BudgetId, BudgetTarget, ModelProviderId, NanoUsd, UnixMicros};
use lw_engine::account::{Balance, Standing, Terms};
use lw_store::rows::Budget;
use parking_lot::{Mutex, MutexGuard};

/// The live state of one bucket of a budget, shared by all who spend from it.
#[derive(Debug)]
pub struct Account {
    budget: BudgetId,
    name: Arc<str>,
    target: BudgetTarget,
    provider: Option<ModelProviderId>,
    state: Mutex<State>,
    /// [`Balance::warns`] when the state was last unlocked. A new period can only end a warning, so
    /// without one nobody needs the lock to know that there is still none.
    warns: AtomicBool,
}

#[derive(Debug)]
struct State {
    balance: Balance,
    /// Whether it was used since the last sweep.
    touched: bool,
    /// The sweep that last saw it used.
    quiet_since: UnixMicros,
}

impl Account {
    pub(super) fn new(budget: &Budget, name: Arc<str>, balance: Balance) -> Self {
        Self {
            budget: budget.id.clone(),
            name,
            target: budget.target.clone(),
            provider: budget.provider_key.clone(),
            warns: AtomicBool::new(balance.warns()),
            state: Mutex::new(State {
                balance,
                touched: true,
                quiet_since: UnixMicros::default(),
            }),
        }
    }

    /// The budget.
    #[must_use]
    pub const fn budget(&self) -> &BudgetId {
        &self.budget
    }

    /// The person of a group's budget, the end user of a template; empty for all others.
    #[must_use]
    pub fn member(&self) -> &str {
        // No budget's id holds a colon.
        self.name.split_once(':').map_or("", |(_, member)| member)
    }

    /// The bucket as spool and ledger write it: the budget's id and, after a colon, the member if there
    /// is one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the budget is for.
    #[must_use]
    pub const fn target(&self) -> &BudgetTarget {
        &self.target
    }

    /// The scope's word: `organization`, …, `attributed_user`.
    #[must_use]
    pub const fn scope(&self) -> &'static str {
        self.target.scope_type()
    }

    /// The scope's id: the target, or the anchor of a template.
    #[must_use]
    pub fn scope_id(&self) -> &str {
        self.target.scope_id()
    }

    /// The window's word: `minute`, …, `manual`. That of a key's own budget can change.
    #[must_use]
    pub fn window(&self) -> &'static str {
        self.lock().terms().schedule.window.as_str()
    }

    /// The only provider that counts, if the budget is limited to one.
    #[must_use]
    pub const fn provider(&self) -> Option<&ModelProviderId> {
        self.provider.as_ref()
    }

    /// The figures at `now`.
    #[must_use]
    pub fn standing(&self, now: UnixMicros) -> Standing {
        let mut balance = self.lock();
        balance.turn(now);
        balance.standing()
    }

    /// The order in which accounts are locked and listed (domain 13.1).
    pub(super) fn rank(&self) -> (&'static str, &str) {
        (self.scope(), &self.name)
    }

    /// Whether [`Balance::warns`], without the lock; once in a while still `true` after a new period
    /// began.
    pub(super) fn may_warn(&self) -> bool {
        self.warns.load(Ordering::Acquire)
    }

    /// The balance, for somebody who uses it.
    pub(super) fn lock(&self) -> Locked<'_> {
        let mut state = self.state.lock();
        state.touched = true;
        Locked {
            state,
            warns: &self.warns,
        }
    }

    pub(super) fn change(&self, terms: Terms, now: UnixMicros) {
        self.lock().change(terms, now);
    }

    /// [`Balance::shifts_under`].
    pub(super) fn shifts_under(&self, terms: &Terms) -> Option<UnixMicros> {
        self.lock().shifts_under(terms)
    }

    /// [`Balance::shift`], if it still counts from `since`; returns whether it does.
    pub(super) fn shift(
        &self,
        since: UnixMicros,
        terms: Terms,
        between: NanoUsd,
        now: UnixMicros,
    ) -> bool {
        let mut balance = self.lock();
        let fits = balance.shifts_under(&terms) == Some(since);
        if fits {
            balance.shift(terms, between, now);
        }
        fits
    }

    /// An instant since which it was not used. Notes uses since the last call by `now`.
    pub(super) fn quiet_since(&self, now: UnixMicros) -> UnixMicros {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.touched) {
            state.quiet_since = now;
        }
        state.quiet_since
    }
}

/// [`Account::name`] of one bucket of `budget`.
pub(super) fn name(budget: &BudgetId, member: &str) -> Arc<str> {
    if member.is_empty() {
        Arc::from(budget.as_str())
    } else {
        Arc::from(format!("{budget}:{member}"))
    }
}

/// A balance under its lock. Keeps [`Account::may_warn`] true to it.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    warns: &'a AtomicBool,
}

impl Deref for Locked<'_> {
    type Target = Balance;

    fn deref(&self) -> &Balance {
        &self.state.balance
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Balance {
        &mut self.state.balance
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Before the lock goes: fields are dropped after this.
        let warns = self.state.balance.warns();
        if self.warns.load(Ordering::Relaxed) != warns {
            self.warns.store(warns, Ordering::Release);
        }
    }
}
