//! The circuit breaker of one credential (data-plane 13.5).
//!
//! Closed, it counts failures in a sliding window; too many open it. Open, it refuses until the cool-down
//! has passed; then one call at a time may probe, whose success closes it and whose failure opens it again.
//! A probe that has not reported after another cool-down no longer holds up the next one.
//!
//! A pass knows the period of the breaker it was given in, and its report counts in no other: what
//! was under way when a breaker opened can neither close it nor, later, open it anew. Must never hold more
//! than the threshold's number of instants. Start at [`Breaker::admit`].

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use lw_core::UnixMicros;

use crate::steady::{Steady, whole_seconds};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a failure counts, in microseconds.
    pub window_us: i64,
    /// How many failures within the window open it; 0 counts as 1.
    pub threshold: u32,
    /// How long it stays open, in microseconds.
    pub cooldown_us: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_us: 30_000_000,
            threshold: 10,
            cooldown_us: 60_000_000,
        }
    }
}

/// Whether a credential is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is.
    Closed,
    /// It is not.
    Open,
    /// One call may find out.
    HalfOpen,
}

impl State {
    /// The state as spans and the API name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The state as `gateway_circuit_state` shows it.
    #[must_use]
    pub const fn gauge(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// The leave to call, to be reported on with how the call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The breaker is closed.
    Closed {
        /// The period of the breaker.
        era: u32,
    },
    /// The breaker is half-open and this call probes.
    Probe {
        /// The period of the breaker.
        era: u32,
        /// Which probe this is.
        serial: u32,
    },
}

/// The breaker is open, or another call is probing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Whole seconds until the next call may probe; 1 while a probe is under way.
    pub retry_after_s: u64,
}

/// One credential's breaker. The default is closed.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    clock: Steady,
    phase: Phase,
    /// Advances when it opens and when it closes.
    era: u32,
    /// The last probe.
    serial: u32,
    /// When calls of this period failed, oldest first; only while closed.
    failures: VecDeque<i64>,
    opened_at: Option<UnixMicros>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Closed,
    /// Half-open from `until` on.
    Open { until: i64 },
    /// The last probe is under way, or lost from `lost_at` on.
    Probing { lost_at: i64 },
}

impl Breaker {
    /// Asks for leave to call.
    ///
    /// # Errors
    /// The credential is to be skipped.
    pub fn admit(&mut self, settings: &Settings, now: UnixMicros) -> Result<Pass, Refused> {
        let at = self.clock.read(now);
        let era = self.era;
        match self.phase {
            Phase::Closed => return Ok(Pass::Closed { era }),
            Phase::Open { until } if at < until => {
                let retry_after_s = whole_seconds(self.clock.until(until, now));
                return Err(Refused { retry_after_s });
            }
            Phase::Probing { lost_at } if at < lost_at => {
                return Err(Refused { retry_after_s: 1 });
            }
            Phase::Open { until: _ } | Phase::Probing { lost_at: _ } => {}
        }
        self.serial = self.serial.wrapping_add(1);
        let lost_at = at.saturating_add(settings.cooldown_us);
        self.phase = Phase::Probing { lost_at };
        let serial = self.serial;
        Ok(Pass::Probe { era, serial })
    }

    /// The call was answered. Whether this closed the breaker.
    pub fn succeeded(&mut self, pass: Pass) -> bool {
        match pass {
            Pass::Closed { era } if era == self.era => {
                self.failures.clear();
                false
            }
            // An earlier probe of this period that was given up counts too: it may only have been slow.
            Pass::Probe { era, serial: _ } if era == self.era => {
                self.turn(Phase::Closed);
                self.opened_at = None;
                true
            }
            Pass::Closed { era: _ } | Pass::Probe { era: _, serial: _ } => false,
        }
    }

    /// The call failed for a reason of the provider's. Whether this opened the breaker, or opened it again.
    pub fn failed(&mut self, settings: &Settings, pass: Pass, now: UnixMicros) -> bool {
        let at = self.clock.read(now);
        let opens = match pass {
            Pass::Closed { era } if era == self.era => {
                self.forget(settings, at);
                self.failures.push_back(at);
                let most = usize::try_from(settings.threshold).unwrap_or(usize::MAX);
                self.failures.len() >= most
            }
            Pass::Probe { era, serial: _ } => era == self.era,
            Pass::Closed { era: _ } => false,
        };
        if opens {
            let until = at.saturating_add(settings.cooldown_us);
            self.turn(Phase::Open { until });
            self.opened_at.get_or_insert(now);
        }
        opens
    }

    /// The caller left, or the call never reached the provider: nothing is known, and the next call may
    /// probe.
    pub fn abandoned(&mut self, pass: Pass) {
        if let Pass::Probe { era, serial } = pass
            && (era, serial) == (self.era, self.serial)
            && let Phase::Probing { lost_at } = &mut self.phase
        {
            *lost_at = self.clock.last();
        }
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: UnixMicros) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { until } if self.clock.peek(now) < until => State::Open,
            Phase::Open { until: _ } | Phase::Probing { lost_at: _ } => State::HalfOpen,
        }
    }

    /// Since when it has not been closed, probes that failed included.
    #[must_use]
    pub const fn opened_at(&self) -> Option<UnixMicros> {
        self.opened_at
    }

    /// The period, if it is closed and knows of no failure: then calls pass and their successes change
    /// nothing, so that nobody needs to ask.
    #[must_use]
    pub fn calm(&self) -> Option<u32> {
        (self.phase == Phase::Closed && self.failures.is_empty()).then_some(self.era)
    }

    /// Whether it says nothing any more: closed without a failure in the window, or due to be probed for
    /// another cool-down without anybody having come.
    #[must_use]
    pub fn is_idle(&self, settings: &Settings, now: UnixMicros) -> bool {
        let at = self.clock.peek(now);
        let age = |since: i64| at.saturating_sub(since);
        match self.phase {
            Phase::Closed => self
                .failures
                .back()
                .is_none_or(|last| age(*last) >= settings.window_us),
            Phase::Open { until: due } | Phase::Probing { lost_at: due } => {
                age(due) >= settings.cooldown_us
            }
        }
    }

    /// Begins another period.
    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.era = self.era.wrapping_add(1);
        self.failures = VecDeque::new();
    }

    /// Drops failures that have left the window.
    fn forget(&mut self, settings: &Settings, at: i64) {
        let left = |since: &i64| at.saturating_sub(*since) >= settings.window_us;
        while self.failures.front().is_some_and(left) {
            self.failures.pop_front();
        }
    }
}
