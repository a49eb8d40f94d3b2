//! What is spent and held of budgets.
//!
//! [`Books`] keeps one [`Account`] for each bucket that is in use. It is built from the ledger on a
//! lookup thread and stays as long as anybody may use it; a request only touches the [`Accounts`] that its
//! key's bundle holds, and never this map or the ledger.
//!
//! The ledger lags behind what was settled, so an account must never be built while the ledger lacks
//! something that was settled in this process: [`Books::sweep`] forgets only what has been folded.
//! Callers see to the rest: orphans are charged before the first account is built, and the outcome of a
//! call is in the spool before its hold is settled.
//!
//! Start at [`Books::account`] and [`Accounts::hold`].

mod account;
mod hold;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use lw_core::{BudgetId, NanoUsd, UnixMicros};
use lw_engine::account::{Balance, Terms};
use lw_engine::period::{Schedule, Window};
use lw_store::StoreError;
use lw_store::ledger::Ledger;
use lw_store::rows::{Budget, Enforcement, OnBreach};
use parking_lot::Mutex;

pub use self::account::Account;
pub use self::hold::{Accounts, Hold, Near, Refusal};
pub use lw_engine::account::{Amounts, Standing};

/// How long an account stays after it was last used, in microseconds: building one costs a read of the
/// ledger.
const IDLE_US: i64 = 5 * 60 * 1_000_000;
/// Maps that accounts are spread over, so that a sweep stops few lookups at a time.
const SHARDS: usize = 32;

/// The part of the ledger that accounts are built from.
pub trait Spending: Send + Sync + 'static {
    /// What was spent in one bucket of a budget by requests admitted from `from` on. `member`: the
    /// person of a GROUP budget, the end user of a template; "" for all others.
    ///
    /// # Errors
    /// The store could not be asked.
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError>;
}

impl Spending for Arc<dyn Ledger> {
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        Ledger::budget_spent(&**self, budget, member, from)
    }
}

/// All accounts that are in use. One for the process.
pub struct Books {
    spending: Arc<dyn Spending>,
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

/// Accounts by [`Account::name`].
#[derive(Default)]
struct Shard {
    accounts: HashMap<Arc<str>, Arc<Account>>,
    /// Counts removals, so that what was read of the ledger before one is not used after it.
    removals: u64,
}

impl Books {
    /// Empty books over the ledger.
    #[must_use]
    pub fn new(spending: Arc<dyn Spending>) -> Self {
        Self {
            spending,
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// The account of one bucket of `budget`, under the terms of that row. `member` is as for
    /// [`Spending::budget_spent`], `boundary` when that bucket alone was last reset.
    ///
    /// Reads the ledger when the account is new, so not on a data thread. When it exists it takes over
    /// what changed, a reset included; a row that is older than one it has seen changes nothing.
    ///
    /// # Errors
    /// The ledger could not be read, or the row has no known window.
    pub fn account(
        &self,
        budget: &Budget,
        member: &str,
        boundary: Option<UnixMicros>,
        now: UnixMicros,
    ) -> Result<Arc<Account>, StoreError> {
        let terms = terms(budget, boundary)?;
        let name = account::name(&budget.id, member);
        loop {
            let removals = {
                let shard = self.shard(&name).lock();
                if let Some(account) = shard.accounts.get(&name).cloned() {
                    drop(shard);
                    return self.taken_over(account, terms, now);
                }
                shard.removals
            };
            let from = terms.counts_from(now).unwrap_or_default();
            let spent = self.spending.budget_spent(&budget.id, member, from)?;
            let balance = Balance::open(terms, spent, now);
            let mut shard = self.shard(&name).lock();
            // Somebody else may have built it meanwhile, and calls may have changed it since.
            if let Some(account) = shard.accounts.get(&name).cloned() {
                drop(shard);
                return self.taken_over(account, terms, now);
            }
            // Or built, used and swept it: then what was read may be older than what was folded.
            if shard.removals == removals {
                let account = Arc::new(Account::new(budget, name.clone(), balance));
                shard.accounts.insert(name, account.clone());
                return Ok(account);
            }
        }
    }

    /// The account under `terms`, if they are not older than those it has.
    fn taken_over(
        &self,
        account: Arc<Account>,
        terms: Terms,
        now: UnixMicros,
    ) -> Result<Arc<Account>, StoreError> {
        while let Some(since) = account.shifts_under(&terms) {
            let from = terms.counts_from(now).unwrap_or_default();
            let between = self.spent_between(&account, since.min(from), since.max(from))?;
            if account.shift(since, terms, between, now) {
                return Ok(account);
            }
        }
        account.change(terms, now);
        Ok(account)
    }

    /// What calls cost that were admitted from `from` on and before `to`. The ledger has them: they are of
    /// periods that began a while ago.
    fn spent_between(
        &self,
        account: &Account,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        let since = |from| (self.spending).budget_spent(account.budget(), account.member(), from);
        let mut all = since(from)?;
        loop {
            let rest = since(to)?;
            let again = since(from)?;
            // Otherwise something was folded in between, and the two do not belong together.
            if again == all {
                return Ok(all - rest);
            }
            all = again;
        }
    }

    /// Forgets accounts that nobody uses any more, and returns how many. `folded_through`: everything
    /// that the spool held before this instant is in the ledger.
    ///
    /// An account goes only when nobody else has it, hence no call holds money in it, when all that was
    /// settled in it is in the ledger, and when it was not touched for some minutes. To be called
    /// regularly: use is noted by the instant of the sweep that sees it.
    pub fn sweep(&self, folded_through: UnixMicros, now: UnixMicros) -> usize {
        let mut swept = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.accounts.len();
            shard.accounts.retain(|_, account| {
                // Whoever uses an account has it from this map or from another user. So one that only the
                // map has stays unused while the map is locked, and only then its rest is looked at.
                if Arc::strong_count(account) > 1 {
                    return true;
                }
                let since = account.quiet_since(now);
                since >= folded_through || since.plus_micros(IDLE_US) > now
            });
            let left = shard.accounts.len();
            if left < before {
                swept += before - left;
                shard.removals += 1;
                // A crowd that has left does not keep its room.
                shard.accounts.shrink_to(left * 2);
            }
        }
        swept
    }

    /// Accounts that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let held = self.shards.iter().map(|shard| shard.lock().accounts.len());
        held.sum()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, name: &str) -> &Mutex<Shard> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or(0);
        self.shards.get(index).unwrap_or(first)
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books")
            .field("accounts", &self.len())
            .finish_non_exhaustive()
    }
}

/// What a row demands of one of its buckets.
fn terms(budget: &Budget, boundary: Option<UnixMicros>) -> Result<Terms, StoreError> {
    let window = Window::parse(&budget.window)
        .ok_or_else(|| StoreError::Corrupt(format!("budget {} has no known window", budget.id)))?;
    Ok(Terms {
        revision: budget.revision,
        schedule: Schedule {
            window,
            anchor: budget.cycle_anchor_at,
            period_started_at: budget.current_period_started_at,
            resets_at: budget.resets_at,
            last_reset_at: budget.last_reset_at,
        },
        boundary,
        limit: budget.limit,
        refuses: budget.on_breach == OnBreach::Block,
        strict: budget.enforcement == Enforcement::Strict,
    })
}
