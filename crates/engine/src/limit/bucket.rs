//! The two shapes of a limit: a bucket that refills, and a window of a day.
//!
//! Each counts its eras: another era is another bucket, and what was drawn in an earlier one must never be
//! put back into this one. Start at [`Bucket`].

use lw_core::civil::DAY_US;

use super::Gauge;

/// Parts in a token, and microseconds in a minute.
const PARTS: i128 = 60_000_000;

/// A token bucket: holds as many tokens as its ceiling, and refills as many in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    /// 0 is no limit.
    ceiling: u64,
    /// What is in it; below zero in debt.
    parts: i128,
    era: u32,
}

impl Bucket {
    /// Makes it a full bucket of another ceiling; the same ceiling changes nothing.
    pub(super) fn build(&mut self, ceiling: u64) {
        if self.ceiling != ceiling {
            *self = Self {
                ceiling,
                parts: full(ceiling),
                era: self.era.wrapping_add(1),
            };
        }
    }

    /// Lets `elapsed` microseconds pass.
    pub(super) fn refill(&mut self, elapsed: i64) {
        let more = i128::from(elapsed).saturating_mul(i128::from(self.ceiling));
        self.parts = self.parts.saturating_add(more).min(full(self.ceiling));
    }

    /// Microseconds until there is room for `tokens`, or for as many as it can hold; `None` when there is.
    pub(super) fn wait(&self, tokens: u64) -> Option<u64> {
        let needed = full(tokens.min(self.ceiling));
        (self.parts < needed).then(|| self.until(needed))
    }

    /// Draws `tokens`, into debt if need be. The era to return them to; `None` without a limit.
    pub(super) fn draw(&mut self, tokens: u64) -> Option<u32> {
        if self.ceiling == 0 {
            return None;
        }
        self.parts = self.parts.saturating_sub(full(tokens));
        Some(self.era)
    }

    /// Puts back what was drawn in `era` and draws `actual` instead. Never fuller than full: what the
    /// time has refilled meanwhile was not this request's.
    pub(super) fn replace(&mut self, era: u32, drawn: u64, actual: u64) {
        if self.ceiling > 0 && self.era == era {
            let more = full(drawn).saturating_sub(full(actual));
            self.parts = self.parts.saturating_add(more).min(full(self.ceiling));
        }
    }

    pub(super) fn gauge(&self) -> Option<Gauge> {
        (self.ceiling > 0).then(|| Gauge {
            limit: self.ceiling,
            remaining: u64::try_from(self.parts.div_euclid(PARTS)).unwrap_or(0),
            reset_us: self.until(full(self.ceiling)),
        })
    }

    /// Microseconds until it holds `parts`, rounded up; for ever without a ceiling.
    fn until(&self, parts: i128) -> u64 {
        let missing = parts.saturating_sub(self.parts).max(0).unsigned_abs();
        match u128::from(self.ceiling) {
            0 => u64::MAX,
            ceiling => u64::try_from(missing.div_ceil(ceiling)).unwrap_or(u64::MAX),
        }
    }
}

/// The parts of as many tokens.
fn full(tokens: u64) -> i128 {
    i128::from(tokens) * PARTS
}

/// A window of 24 hours that begins with the first request after the one before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Day {
    /// 0 is no limit.
    ceiling: u64,
    /// Where it began; of no meaning while nothing is counted.
    start: i64,
    count: u64,
    era: u32,
}

impl Day {
    /// Makes it a window of another ceiling that has not begun; the same ceiling changes nothing.
    pub(super) fn build(&mut self, ceiling: u64) {
        if self.ceiling != ceiling {
            *self = Self {
                ceiling,
                ..self.next()
            };
        }
    }

    /// Ends the window if `at` lies behind it.
    pub(super) fn roll(&mut self, at: i64) {
        if self.count > 0 && at >= self.end() {
            *self = self.next();
        }
    }

    /// Microseconds until the window ends, if it is full at `at`.
    pub(super) fn wait(&self, at: i64) -> Option<u64> {
        (self.ceiling > 0 && self.count >= self.ceiling).then(|| self.left(at))
    }

    /// Counts a request. The era to return it to; `None` without a limit.
    pub(super) fn draw(&mut self, at: i64) -> Option<u32> {
        if self.ceiling == 0 {
            return None;
        }
        if self.count == 0 {
            self.start = at;
        }
        self.count = self.count.saturating_add(1);
        Some(self.era)
    }

    /// Takes back a request of `era`. When it was the only one, the window has not begun.
    pub(super) const fn put_back(&mut self, era: u32) {
        if self.era == era {
            self.count = self.count.saturating_sub(1);
        }
    }

    pub(super) fn gauge(&self, at: i64) -> Option<Gauge> {
        (self.ceiling > 0).then(|| Gauge {
            limit: self.ceiling,
            remaining: self.ceiling.saturating_sub(self.count),
            reset_us: if self.count == 0 { 0 } else { self.left(at) },
        })
    }

    const fn next(self) -> Self {
        Self {
            ceiling: self.ceiling,
            start: 0,
            count: 0,
            era: self.era.wrapping_add(1),
        }
    }

    const fn end(&self) -> i64 {
        self.start.saturating_add(DAY_US)
    }

    fn left(&self, at: i64) -> u64 {
        u64::try_from(self.end().saturating_sub(at)).unwrap_or(0)
    }
}
