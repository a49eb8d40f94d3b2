//! Wall-clock time as a value and as an argument.
//!
//! [`UnixMicros`] is for records (when did it happen), never for measuring durations: the wall clock
//! may jump. Durations are measured with a monotonic clock by whoever waits.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::civil::{DAY_US, Date};

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
    /// Saturates at the years 0 and 9999, which are the ones that the format knows.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let at = self.clamp(FIRST, LAST);
        let Date { year, month, day } = Date::of(at);
        let millis = at.0.rem_euclid(DAY_US) / 1_000;
        let (seconds, millis) = (millis / 1_000, millis % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// Reads RFC 3339 with any offset. `None` when the text is not a time.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Self(at.as_microsecond()));
        }
        // The last day of the range is one that the library's instants do not reach.
        let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
        let (date, time, offset) = (pieces.date(), pieces.time()?, pieces.to_numeric_offset()?);
        let day = Date {
            year: date.year().into(),
            month: date.month().into(),
            day: date.day().into(),
        };
        let seconds = i64::from(time.hour()) * 3_600
            + i64::from(time.minute()) * 60
            + i64::from(time.second())
            - i64::from(offset.seconds());
        let micros = seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1_000;
        Some(day.start().plus_micros(micros))
    }
}

/// 0000-01-01T00:00:00Z.
const FIRST: UnixMicros = Date {
    year: 0,
    month: 1,
    day: 1,
}
.start();
/// The last microsecond of the year 9999.
const LAST: UnixMicros = Date {
    year: 10_000,
    month: 1,
    day: 1,
}
.start()
.plus_micros(-1);

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

    #[test]
    fn the_last_day_that_can_be_written_is_read_and_published() {
        let text = "9999-12-31T00:00:00.000Z";
        let at = UnixMicros(253_402_214_400_000_000);
        assert_eq!(at.to_rfc3339(), text);
        assert_eq!(UnixMicros::parse_rfc3339(text), Some(at));
        assert_eq!(
            UnixMicros::parse_rfc3339("9999-12-31T02:00:00+02:00"),
            Some(at)
        );
        assert_eq!(UnixMicros::parse_rfc3339("9999-12-31"), None);
        assert_eq!(UnixMicros::parse_rfc3339("9999-12-31T00:00:00"), None);
        assert_eq!(
            UnixMicros(i64::MAX).to_rfc3339(),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            UnixMicros(i64::MIN).to_rfc3339(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_published_is_what_an_independent_calendar_says(millis in -62_000_000_000_000_i64..253_000_000_000_000) {
            let stamp = jiff::Timestamp::from_millisecond(millis).expect("within its range");
            let at = UnixMicros::from_millis(millis);
            proptest::prop_assert_eq!(at.to_rfc3339(), format!("{stamp:.3}"));
            proptest::prop_assert_eq!(UnixMicros::parse_rfc3339(&at.to_rfc3339()), Some(at));
        }
    }
}
