//! One budget's bucket: what is spent and held, and whether a call fits (data-plane 15).
//!
//! Money is held before a provider is dialled and replaced by the cost afterwards. Spend counts for the
//! period in which the call was admitted (billing 4, rule 3): a claim remembers its period, and one that
//! outlives it no longer matters here. Periods are those of [`crate::period`] and only move forward, so
//! a clock that is set back finds the newest one.
//!
//! Must never read a clock, lock anything or know more than one bucket: who shares a balance brings the
//! locks. Start at [`Balance`].

#[cfg(test)]
mod tests;

use lw_core::{NanoUsd, UnixMicros};

use crate::period::Schedule;

/// From which part of its limit on a budget warns (domain 11).
const WARN_PERCENT: i128 = 80;

/// What a call asks for. Negative amounts count as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// The most that it may cost: what budgets hold that are never overspent.
    pub strict: NanoUsd,
    /// What such a call usually costs: what all other budgets hold.
    pub soft: NanoUsd,
}

/// What a budget demands of one of its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Counts the changes of the budget, so that a late reader's older terms change nothing.
    pub revision: i64,
    /// When its periods begin and end.
    pub schedule: Schedule,
    /// When the bucket itself was last reset (templates).
    pub boundary: Option<UnixMicros>,
    /// The limit; zero or less is none.
    pub limit: NanoUsd,
    /// Whether a call that does not fit is refused; otherwise it only counts.
    pub refuses: bool,
    /// Whether calls hold the most that they may cost.
    pub strict: bool,
}

impl Terms {
    /// From when on spend counts. `None` means all of it.
    #[must_use]
    pub fn counts_from(&self, now: UnixMicros) -> Option<UnixMicros> {
        self.schedule.bucket_counts_from(self.boundary, now)
    }

    /// The one of `amounts` that a call holds here.
    #[must_use]
    pub fn amount(&self, amounts: Amounts) -> NanoUsd {
        let Amounts { strict, soft } = amounts;
        let amount = if self.strict { strict } else { soft };
        amount.max(NanoUsd::ZERO)
    }
}

/// A bucket's figures in its current period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: NanoUsd,
    /// What calls that have ended did cost.
    pub spent: NanoUsd,
    /// What is held for calls that have not.
    pub reserved: NanoUsd,
    /// How much of the limit is spent, in whole percent, rounded down; 0 without a limit.
    pub percent: u64,
}

/// What one call holds of a balance. Ends in [`Balance::settle`].
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// The period that the call was admitted in; [`NOWHERE`] when it counts in none.
    period: u64,
    amount: NanoUsd,
}

/// The number of no period: of calls that are admitted before the first one.
const NOWHERE: u64 = 0;

/// The live state of one bucket.
#[derive(Debug, Clone)]
pub struct Balance {
    terms: Terms,
    /// From when on spend counts; never moves back under one window. Each step forward is a new period.
    from: Option<UnixMicros>,
    /// Counts the periods, from 1.
    period: u64,
    /// Until when the calendar needs no look; never moves back under one window.
    turns_at: UnixMicros,
    // Wider than any amount, so that no sum of amounts saturates and what is taken back is what was added.
    spent: i128,
    reserved: i128,
}

impl Balance {
    /// A bucket of which `spent` was spent in the period that `now` lies in: from
    /// [`Terms::counts_from`] on.
    #[must_use]
    pub fn open(terms: Terms, spent: NanoUsd, now: UnixMicros) -> Self {
        Self {
            from: terms.counts_from(now),
            turns_at: terms.schedule.next_boundary(now),
            terms,
            period: NOWHERE + 1,
            spent: wide(spent),
            reserved: 0,
        }
    }

    /// What holds at the moment.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Goes on under `terms`, unless newer ones are known. A reset opens a new period in which nothing is
    /// spent or held yet.
    pub fn change(&mut self, terms: Terms, now: UnixMicros) {
        // The bucket's boundary moves without a change of the budget.
        let boundary = self.terms.boundary.max(terms.boundary);
        if terms.revision >= self.terms.revision {
            self.terms = terms;
        }
        self.terms.boundary = boundary;
        self.look(now);
    }

    /// From when on its figures count, when `terms` are newer and of another window: what was spent between
    /// that instant and the one that they count from has to be known for [`Self::shift`].
    #[must_use]
    pub fn shifts_under(&self, terms: &Terms) -> Option<UnixMicros> {
        let newer = terms.revision > self.terms.revision;
        let other = terms.schedule.window != self.terms.schedule.window;
        (newer && other).then(|| self.from.unwrap_or_default())
    }

    /// Goes on under `terms` of another window. That is no fresh start: what was spent in the new window's
    /// period so far counts. `between` was spent between the two instants that both count from.
    ///
    /// Calls under way that were admitted before a later start still count here when they end: too much
    /// rather than too little.
    pub fn shift(&mut self, terms: Terms, between: NanoUsd, now: UnixMicros) {
        let from = terms.counts_from(now);
        self.spent = if from < self.from {
            self.spent + wide(between)
        } else {
            (self.spent - wide(between)).max(0)
        };
        self.from = from;
        self.turns_at = terms.schedule.next_boundary(now);
        let boundary = self.terms.boundary.max(terms.boundary);
        self.terms = terms;
        self.terms.boundary = boundary;
    }

    /// Opens the period that `now` lies in, unless it or a later one is open. To be called before
    /// anything is asked of this balance.
    pub fn turn(&mut self, now: UnixMicros) {
        if now >= self.turns_at {
            self.look(now);
        }
    }

    fn look(&mut self, now: UnixMicros) {
        let from = self.terms.counts_from(now);
        if from > self.from {
            self.from = from;
            self.period += 1;
            self.spent = 0;
            self.reserved = 0;
        }
        self.turns_at = self.turns_at.max(self.terms.schedule.next_boundary(now));
    }

    /// Whether a call that is admitted at `now` may begin while it holds `amount`.
    #[must_use]
    pub fn admits(&self, amount: NanoUsd, now: UnixMicros) -> bool {
        !self.enforced()
            || !self.counts(now)
            || (self.spent < self.limit() && self.fits(wide(amount)))
    }

    /// Holds `amount` for a call that is admitted at `now`, whether or not it fits.
    #[must_use]
    pub fn take(&mut self, amount: NanoUsd, now: UnixMicros) -> Claim {
        if !self.counts(now) {
            return Claim {
                period: NOWHERE,
                amount: NanoUsd::ZERO,
            };
        }
        let amount = amount.max(NanoUsd::ZERO);
        self.reserved += wide(amount);
        Claim {
            period: self.period,
            amount,
        }
    }

    /// Whether the call of `claim`, admitted at `admitted`, may hold `more`. One whose period is over may
    /// hold anything.
    #[must_use]
    pub fn has_room(&mut self, claim: &mut Claim, admitted: UnixMicros, more: NanoUsd) -> bool {
        !self.keeps(claim, admitted)
            || !self.enforced()
            || more <= NanoUsd::ZERO
            || self.fits(wide(more))
    }

    /// Holds `more` for the call of `claim`, whether or not it fits.
    pub fn extend(&mut self, claim: &mut Claim, admitted: UnixMicros, more: NanoUsd) {
        if self.keeps(claim, admitted) {
            let held = wide(claim.amount);
            claim.amount = claim.amount + more.max(NanoUsd::ZERO);
            self.reserved += wide(claim.amount) - held;
        }
    }

    /// Ends a call that was admitted at `admitted`: its cost takes the place of what it holds. The cost
    /// may be more than that. Zero gives all of it back.
    pub fn settle(&mut self, mut claim: Claim, admitted: UnixMicros, cost: NanoUsd) {
        if self.keeps(&mut claim, admitted) {
            self.reserved -= wide(claim.amount);
            self.spent += wide(cost);
        }
    }

    /// Whether `claim` belongs to the current period.
    ///
    /// A reset is learned of a moment after its instant. Calls that were admitted in between belong to
    /// the period that it opened, as they do in the ledger, and move there when they are next seen.
    fn keeps(&mut self, claim: &mut Claim, admitted: UnixMicros) -> bool {
        if claim.period != self.period && self.from.is_some_and(|from| admitted >= from) {
            claim.period = self.period;
            self.reserved += wide(claim.amount);
        }
        claim.period == self.period
    }

    /// Whether a call that is admitted at `now` counts at all: not while the anchor lies ahead.
    fn counts(&self, now: UnixMicros) -> bool {
        let Some(anchor) = self.terms.schedule.anchor else {
            return true;
        };
        now >= anchor || self.from != Some(anchor)
    }

    const fn enforced(&self) -> bool {
        self.terms.refuses && self.limited()
    }

    const fn limited(&self) -> bool {
        self.terms.limit.0 > 0
    }

    fn limit(&self) -> i128 {
        wide(self.terms.limit)
    }

    fn fits(&self, amount: i128) -> bool {
        self.spent + self.reserved + amount <= self.limit()
    }

    /// Whether at least 80 % of the limit are spent, whatever a breach does.
    #[must_use]
    pub fn warns(&self) -> bool {
        self.limited() && self.spent * 100 >= self.limit() * WARN_PERCENT
    }

    /// Whether the limit is spent and every call is refused, whatever it costs.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        self.enforced() && self.spent >= self.limit()
    }

    /// The figures.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let percent = if self.limited() {
            self.spent * 100 / self.limit()
        } else {
            0
        };
        Standing {
            limit: self.terms.limit,
            spent: narrow(self.spent),
            reserved: narrow(self.reserved),
            percent: u64::try_from(percent).unwrap_or(u64::MAX),
        }
    }

    /// Whole seconds until the next period begins, at least one; `None` for windows that do not cycle.
    #[must_use]
    pub fn retry_after_s(&self, now: UnixMicros) -> Option<u64> {
        if !self.terms.schedule.window.cycles() {
            return None;
        }
        let wait = self.turns_at.0.saturating_sub(now.0);
        let seconds = u64::try_from(wait).unwrap_or(0).div_ceil(1_000_000);
        Some(seconds.max(1))
    }
}

/// An amount as a part of a sum; a negative one is nothing.
fn wide(amount: NanoUsd) -> i128 {
    i128::from(amount.0.max(0))
}

/// A sum as an amount; saturates. Sums are never negative.
fn narrow(sum: i128) -> NanoUsd {
    NanoUsd(i64::try_from(sum).unwrap_or(i64::MAX))
}
