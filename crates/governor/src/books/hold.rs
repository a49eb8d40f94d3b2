//! Holding money in several accounts at once, and what comes of it.
//!
//! All accounts of a call are locked before any of them is asked, always in the same order, so that a
//! hold is in all of them or in none, nobody sees half of one, and no two callers wait for each other.
//! Must never wait for anything while they are locked. Start at [`Accounts::hold`].

use std::sync::Arc;

use lw_core::{NanoUsd, UnixMicros};
use lw_engine::account::{Amounts, Claim, Standing};

use super::account::{Account, Locked};

/// The accounts that a call counts toward: each once, in the order in which they are locked and listed
/// (scope, budget, member). Made once for a key and a provider; a clone shares.
#[derive(Debug, Clone, Default)]
pub struct Accounts(Arc<[Arc<Account>]>);

impl FromIterator<Arc<Account>> for Accounts {
    fn from_iter<I: IntoIterator<Item = Arc<Account>>>(accounts: I) -> Self {
        let mut accounts: Vec<_> = accounts.into_iter().collect();
        accounts.sort_by(|a, b| a.rank().cmp(&b.rank()));
        // By name, not by address: locking one twice would wait for ever.
        accounts.dedup_by(|a, b| a.rank() == b.rank());
        Self(Arc::from(accounts))
    }
}

impl Accounts {
    /// The accounts in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Account>> {
        self.0.iter()
    }

    /// Whether the call counts toward nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and more, for one call.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Arc<Account>>) -> Self {
        self.iter().cloned().chain(more).collect()
    }

    /// Those of which at least 80 % are spent, in their order, before anything is held (data-plane 15.1).
    /// Looks at no lock of those that are not.
    pub fn near(&self, now: UnixMicros) -> impl Iterator<Item = Near<'_>> {
        self.iter().filter_map(move |account| {
            if !account.may_warn() {
                return None;
            }
            let mut balance = account.lock();
            balance.turn(now);
            balance.warns().then(|| Near {
                account,
                standing: balance.standing(),
                exhausted: balance.exhausted(),
                retry_after_s: balance.retry_after_s(now),
            })
        })
    }

    /// Whether a call would fit now, without holding anything.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn room(&self, amounts: Amounts, now: UnixMicros) -> Result<(), Refusal> {
        for account in self.iter() {
            let mut balance = account.lock();
            balance.turn(now);
            let amount = balance.terms().amount(amounts);
            if !balance.admits(amount, now) {
                return Err(Refusal::of(account, &balance, amount, now));
            }
        }
        Ok(())
    }

    /// Holds money for a call in all accounts, or in none. `now` is the instant of admission, the one
    /// that the ledger will know the call by.
    ///
    /// # Errors
    /// A budget that refuses is spent, or what the call holds there does not fit any more: the first of
    /// them in order. Nothing is held.
    pub fn hold(&self, amounts: Amounts, now: UnixMicros) -> Result<Hold, Refusal> {
        let mut locked = Vec::with_capacity(self.0.len());
        for account in self.iter() {
            let mut balance = account.lock();
            balance.turn(now);
            let amount = balance.terms().amount(amounts);
            if !balance.admits(amount, now) {
                return Err(Refusal::of(account, &balance, amount, now));
            }
            locked.push((balance, amount));
        }
        let claims = locked
            .iter_mut()
            .map(|(balance, amount)| balance.take(*amount, now))
            .collect();
        Ok(Hold {
            accounts: self.clone(),
            admitted: now,
            claims,
        })
    }
}

/// Money that is held for one call, in all accounts that it counts toward. Dropping it gives all of it
/// back: the call cost nothing.
#[derive(Debug)]
#[must_use = "dropping a hold gives it back"]
pub struct Hold {
    accounts: Accounts,
    admitted: UnixMicros,
    /// One for each account, in the same order; none once the call has ended.
    claims: Vec<Claim>,
}

impl Hold {
    /// The accounts that it is held in.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Holds `more` in all accounts, or in none: for a stream that outgrows what it holds. Accounts whose
    /// period has ended since the call was admitted do not refuse.
    ///
    /// # Errors
    /// It does not fit into a budget that refuses: the first of them in order. What was held stays.
    pub fn grow(&mut self, more: Amounts, now: UnixMicros) -> Result<(), Refusal> {
        let mut locked = Vec::with_capacity(self.claims.len());
        for (account, claim) in self.accounts.iter().zip(&mut self.claims) {
            let mut balance = account.lock();
            balance.turn(now);
            let amount = balance.terms().amount(more);
            if !balance.has_room(claim, self.admitted, amount) {
                return Err(Refusal::of(account, &balance, amount, now));
            }
            locked.push((balance, claim, amount));
        }
        for (balance, claim, amount) in &mut locked {
            balance.extend(claim, self.admitted, *amount);
        }
        Ok(())
    }

    /// Ends the call: its cost takes the place of what is held, wherever the period that it was admitted
    /// in is not over. The cost counts in full, also where it is more than what is held. The outcome is
    /// to be in the spool before.
    pub fn settle(mut self, cost: NanoUsd) {
        self.end(cost);
    }

    fn end(&mut self, cost: NanoUsd) {
        let claims = std::mem::take(&mut self.claims);
        // Last to first, one lock at a time: who finds the first account settled finds them all settled.
        for (account, claim) in self.accounts.0.iter().zip(claims).rev() {
            account.lock().settle(claim, self.admitted, cost);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end(NanoUsd::ZERO);
    }
}

/// A budget that a call did not fit into (data-plane 15.4).
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Which one.
    pub account: Arc<Account>,
    /// Its figures when it refused.
    pub standing: Standing,
    /// What the call was to hold.
    pub needed: NanoUsd,
    /// Whole seconds until its next period begins; `None` for windows that do not cycle.
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    fn of(account: &Arc<Account>, balance: &Locked<'_>, needed: NanoUsd, now: UnixMicros) -> Self {
        Self {
            account: account.clone(),
            standing: balance.standing(),
            needed,
            retry_after_s: balance.retry_after_s(now),
        }
    }
}

/// A budget of which at least 80 % are spent.
#[derive(Debug, Clone, Copy)]
pub struct Near<'a> {
    /// Which one.
    pub account: &'a Arc<Account>,
    /// Its figures.
    pub standing: Standing,
    /// Whether it refuses all calls: its limit is spent, and a breach is refused.
    pub exhausted: bool,
    /// Whole seconds until its next period begins; `None` for windows that do not cycle.
    pub retry_after_s: Option<u64>,
}
