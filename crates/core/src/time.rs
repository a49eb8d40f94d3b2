//! Wall-clock time as a value and as an argument.
//!
//! [`UnixMicros`] is for records (when did it happen), never for measuring durations: the wall clock
//! may jump. Durations are measured with a monotonic clock by whoever waits.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// Whole milliseconds, rounded towards the past.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds, rounded towards the past.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From epoch milliseconds; saturates at the ends of the range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// This instant moved by `micros` (negative moves back); saturates.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// RFC 3339 in UTC with milliseconds, as REST publishes times: `2026-07-01T00:00:00.000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.millis()).map_or_else(
            |_| String::from("1970-01-01T00:00:00.000Z"),
            |at| format!("{at:.3}"),
        )
    }

    /// Reads RFC 3339 with any offset. `None` when the text is not a time.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Self(at.as_microsecond()))
    }
}

/// Tells the time. The real one is built in `main`; tests move [`ManualClock`] by hand.
pub trait Clock: Send + Sync + 'static {
    /// The current wall-clock time.
    fn now(&self) -> UnixMicros;
}

/// The clock of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    fn now(&self) -> UnixMicros {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `at`.
    #[must_use]
    pub const fn at(at: UnixMicros) -> Self {
        Self(AtomicI64::new(at.0))
    }

    /// Moves the clock to `at`, forwards or backwards.
    pub fn set(&self, at: UnixMicros) {
        self.0.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_published_in_utc_with_milliseconds() {
        let at = UnixMicros(1_782_864_000_123_456);
        assert_eq!(at.to_rfc3339(), "2026-07-01T00:00:00.123Z");
        assert_eq!(
            UnixMicros(1_782_864_000_000_000).to_rfc3339(),
            "2026-07-01T00:00:00.000Z"
        );
    }

    #[test]
    fn offsets_are_understood() {
        let at = UnixMicros::parse_rfc3339("2026-07-01T02:00:00+02:00");
        assert_eq!(at, Some(UnixMicros(1_782_864_000_000_000)));
        assert_eq!(UnixMicros::parse_rfc3339("tomorrow"), None);
    }
}
