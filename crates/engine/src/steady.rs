//! The wall clock, read as one that never runs back.
//!
//! Limits and breakers measure durations with the instants that their callers bring, and those come from
//! a wall clock that many threads read and that may be set. Must never take a step back for time that
//! passed, nor make anybody wait until the clock has caught up with itself. Start at [`Steady::read`].

use lw_core::UnixMicros;

/// How far back a reading may lie and still be an old reading of a clock that nobody set: a thread
/// reads it, is suspended, and only then comes to its turn.
const STALE_US: i64 = 1_000_000;

/// What turns instants into points of a line of its own, in microseconds. The points never decrease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Steady {
    /// The last point.
    last: i64,
    /// How far the clock has been set back in all.
    ahead: i64,
}

impl Steady {
    /// The point of `now`. After a step back by more than [`STALE_US`] time goes on from the last point;
    /// within it, time stands still until the clock has passed the last point again.
    pub(crate) const fn read(&mut self, now: UnixMicros) -> i64 {
        let at = now.0.saturating_add(self.ahead);
        if self.last.saturating_sub(at) > STALE_US {
            self.ahead = self.last.saturating_sub(now.0);
        } else if at > self.last {
            self.last = at;
        }
        self.last
    }

    /// The point that was read last.
    pub(crate) const fn last(&self) -> i64 {
        self.last
    }

    /// The point of `now` for somebody who only looks.
    pub(crate) const fn peek(mut self, now: UnixMicros) -> i64 {
        self.read(now)
    }

    /// How many microseconds of the clock of `now` lie before `point`; `now` is what was read last.
    pub(crate) const fn until(&self, point: i64, now: UnixMicros) -> u64 {
        let left = point.saturating_sub(now.0.saturating_add(self.ahead));
        if left > 0 { left.unsigned_abs() } else { 0 }
    }
}

/// A wait as `Retry-After` says it: whole seconds, rounded up, at least one.
pub(crate) const fn whole_seconds(micros: u64) -> u64 {
    let seconds = micros.div_ceil(1_000_000);
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_goes_on_at_once_and_an_old_reading_waits() {
        let mut clock = Steady::default();
        assert_eq!(clock.read(UnixMicros(5_000_000)), 5_000_000);
        assert_eq!(clock.read(UnixMicros(4_000_000)), 5_000_000);
        assert_eq!(clock.until(6_000_000, UnixMicros(4_000_000)), 2_000_000);
        assert_eq!(clock.read(UnixMicros(5_000_001)), 5_000_001);
        assert_eq!(clock.read(UnixMicros(1_000_000)), 5_000_001);
        assert_eq!(clock.read(UnixMicros(1_000_007)), 5_000_008);
        assert_eq!(clock.until(5_000_009, UnixMicros(1_000_007)), 1);
        assert_eq!(clock.until(5_000_000, UnixMicros(1_000_007)), 0);
    }

    #[test]
    fn a_wait_is_whole_seconds_rounded_up() {
        let waits = [0, 1, 1_000_000, 1_000_001].map(whole_seconds);
        assert_eq!(waits, [1, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn points_never_decrease_and_pass_no_faster_than_the_clock_moves_forward(
            moves in vec(-5_000_000_i64..5_000_000, 1..50),
        ) {
            let mut clock = Steady::default();
            let mut now = UnixMicros(1_000_000_000);
            let (first, mut last, mut forward) = (clock.read(now), clock.read(now), 0);
            for step in moves {
                now = now.plus_micros(step);
                forward += step.max(0);
                let at = clock.read(now);
                prop_assert!(last <= at && at - first <= forward);
                prop_assert_eq!(clock.peek(now), at);
                prop_assert!(clock.until(at, now) <= STALE_US.unsigned_abs());
                last = at;
            }
        }
    }
}
