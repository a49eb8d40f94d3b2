//! The limiter: requests and tokens against ceilings (data-plane 10).
//!
//! Pure arithmetic over a [`Level`], the plain state of one subject (a key, or a provider), so that
//! whoever keeps levels, in memory or in a shared store, decides alike. Integers only, exact to a fraction
//! of a token: a bucket counts parts of which a token has as many as a minute has microseconds, so that each
//! microsecond refills as many parts as the ceiling has tokens.
//!
//! A denial reserves nothing. Must never admit more than burst plus rate, whatever is returned in
//! between, and never give back what another state of the bucket was charged. Start at [`Level::take`].

mod bucket;
#[cfg(test)]
mod tests;

use lw_core::UnixMicros;

use crate::steady::{Steady, whole_seconds};
use bucket::{Bucket, Day};

/// The ceilings of one subject; `None` or 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ceilings {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Requests in 24 hours.
    pub rpd: Option<u64>,
    /// Requests at the same time.
    pub concurrent: Option<u64>,
}

impl Ceilings {
    /// Whether nothing is limited, so that there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            rpm,
            tpm,
            rpd,
            concurrent,
        } = *self;
        [rpm, tpm, rpd, concurrent].map(height) == [0; 4]
    }
}

/// A ceiling as levels hold it: 0 is none.
fn height(ceiling: Option<u64>) -> u64 {
    ceiling.unwrap_or(0)
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Requests a minute.
    Rpm,
    /// Requests in 24 hours.
    Rpd,
    /// Tokens a minute.
    Tpm,
    /// Requests at the same time.
    Concurrent,
}

impl Dimension {
    /// Every dimension, in the order in which they are checked.
    pub const ALL: &[Self] = &[Self::Rpm, Self::Rpd, Self::Tpm, Self::Concurrent];

    /// The dimension as headers, labels and messages name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Rpd => "rpd",
            Self::Tpm => "tpm",
            Self::Concurrent => "concurrent",
        }
    }
}

/// A request that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// The first dimension that it did not fit.
    pub dimension: Dimension,
    /// Whole seconds after which that dimension has room, if nobody else comes first; at least 1.
    pub retry_after_s: u64,
}

/// What one request has reserved of one level. Give it to [`Level::settle`], [`Level::give_back`] or
/// [`Level::release`] of the same level, once; it is no copy for that reason.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the place of a concurrent request is taken until this is returned"]
pub struct Taken {
    rpm: Option<u32>,
    rpd: Option<u32>,
    /// The era of the bucket, and how many tokens.
    tpm: Option<(u32, u64)>,
}

/// The tokens to reserve for a request: a quarter of its characters, and its output cap as far as that is
/// a quarter of the tokens of a minute (data-plane 10.1). Without a ceiling on tokens, the whole cap.
#[must_use]
pub fn estimate(characters: u64, output_cap: Option<u64>, ceilings: &Ceilings) -> u64 {
    let most = match height(ceilings.tpm) {
        0 => u64::MAX,
        tpm => tpm / 4,
    };
    let output = output_cap.unwrap_or(0).min(most);
    characters.div_ceil(4).saturating_add(output)
}

/// The state of one subject: how much of each ceiling is used. The default is unused.
///
/// It remembers the ceilings that it was built with; one that has changed at the next [`Level::take`] gets
/// a fresh bucket, and what was reserved of the old one is then neither charged nor given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    clock: Steady,
    rpm: Bucket,
    rpd: Day,
    tpm: Bucket,
    /// Requests that hold a [`Taken`]. Counted without a ceiling too: one may be set while they run.
    open: u64,
}

impl Level {
    /// Reserves one request and `tokens` (see [`estimate`]).
    ///
    /// An estimate above the ceiling is admitted by a full bucket and leaves it in debt.
    ///
    /// # Errors
    /// The first dimension without room; nothing is reserved of any.
    pub fn take(
        &mut self,
        ceilings: &Ceilings,
        now: UnixMicros,
        tokens: u64,
    ) -> Result<Taken, Denied> {
        let at = self.advance(now);
        self.build(ceilings);
        let lag = self.clock.until(at, now);
        let denied = |dimension, wait: u64| Denied {
            dimension,
            retry_after_s: whole_seconds(wait.saturating_add(lag)),
        };
        if let Some(wait) = self.rpm.wait(1) {
            return Err(denied(Dimension::Rpm, wait));
        }
        if let Some(wait) = self.rpd.wait(at) {
            return Err(denied(Dimension::Rpd, wait));
        }
        if let Some(wait) = self.tpm.wait(tokens) {
            return Err(denied(Dimension::Tpm, wait));
        }
        let places = height(ceilings.concurrent);
        if places > 0 && self.open >= places {
            // Nobody knows when a request ends.
            return Err(Denied {
                dimension: Dimension::Concurrent,
                retry_after_s: 1,
            });
        }
        self.open = self.open.saturating_add(1);
        Ok(Taken {
            rpm: self.rpm.draw(1),
            rpd: self.rpd.draw(at),
            tpm: self.tpm.draw(tokens).map(|era| (era, tokens)),
        })
    }
}

/// How a request ends: in one of three ways, once.
#[expect(
    clippy::needless_pass_by_value,
    reason = "who returns a reservation must not have it any more"
)]
impl Level {
    /// Undoes a reservation: the request was not sent anywhere and counts nowhere.
    ///
    /// An attempt that reached a provider and failed is a request all the same: settle it with 0 tokens.
    pub fn give_back(&mut self, now: UnixMicros, taken: Taken) {
        self.advance(now);
        let Taken { rpm, rpd, tpm } = taken;
        if let Some(era) = rpm {
            self.rpm.replace(era, 1, 0);
        }
        if let Some(era) = rpd {
            self.rpd.put_back(era);
        }
        if let Some((era, tokens)) = tpm {
            self.tpm.replace(era, tokens, 0);
        }
        self.close();
    }

    /// Ends a request: replaces the reserved tokens by those that it did use. More than was reserved may
    /// put the level in debt, which the next requests wait out.
    pub fn settle(&mut self, now: UnixMicros, taken: Taken, actual_tokens: u64) {
        self.advance(now);
        let Taken {
            rpm: _,
            rpd: _,
            tpm,
        } = taken;
        if let Some((era, tokens)) = tpm {
            self.tpm.replace(era, tokens, actual_tokens);
        }
        self.close();
    }

    /// Ends a request of which nobody knows what it used: the reserved tokens stand for it.
    pub fn release(&mut self, taken: Taken) {
        let Taken {
            rpm: _,
            rpd: _,
            tpm: _,
        } = taken;
        self.close();
    }

    const fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

impl Level {
    /// How much is left, as the next request with `ceilings` would find it.
    #[must_use]
    pub fn standing(&self, ceilings: &Ceilings, now: UnixMicros) -> Standing {
        let mut then = *self;
        let at = then.advance(now);
        then.build(ceilings);
        let (minute, day) = (then.rpm.gauge(), then.rpd.gauge(at));
        let requests = match (minute, day) {
            (Some(minute), Some(day)) if day.remaining < minute.remaining => Some(day),
            (minute, day) => minute.or(day),
        };
        Standing {
            requests,
            tokens: then.tpm.gauge(),
            open: then.open,
        }
    }

    /// Lets the time until `now` pass. Done for denials as well: a clock that is set back is noticed by
    /// whoever comes first.
    fn advance(&mut self, now: UnixMicros) -> i64 {
        let before = self.clock.last();
        let at = self.clock.read(now);
        let elapsed = at.saturating_sub(before);
        self.rpm.refill(elapsed);
        self.tpm.refill(elapsed);
        self.rpd.roll(at);
        at
    }

    /// Takes over ceilings that changed.
    fn build(&mut self, ceilings: &Ceilings) {
        let Ceilings {
            rpm,
            tpm,
            rpd,
            concurrent: _,
        } = *ceilings;
        self.rpm.build(height(rpm));
        self.tpm.build(height(tpm));
        self.rpd.build(height(rpd));
    }
}

/// What is left of a subject's ceilings, for the `x-ratelimit-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Standing {
    /// Requests: of the minute or of the day, whichever has fewer left.
    pub requests: Option<Gauge>,
    /// Tokens.
    pub tokens: Option<Gauge>,
    /// Requests under way.
    pub open: u64,
}

/// What is left of one ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gauge {
    /// The ceiling.
    pub limit: u64,
    /// Whole units left; 0 in debt.
    pub remaining: u64,
    /// Microseconds until all of it is left again, if nobody comes; 0 when it is.
    pub reset_us: u64,
}
