//! How often one credential may call the gateway family (management-api 27).
//!
//! Each credential has a bucket that holds a minute's worth of calls and refills evenly, so a script that
//! goes on at the permitted pace never waits for the turn of a minute. Measured with the monotonic clock.
//! Bounded: buckets that are full again are forgotten first.
//!
//! Must never count what was refused for want of a credential. Start at [`Meters::spend`].

use std::collections::HashMap;
use std::time::Duration;

use lw_core::{Code, Error};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Credentials that are remembered at once.
const MOST: usize = 10_000;

/// The buckets of all credentials.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Calls in a minute; zero is no limit.
    per_minute: u32,
    /// What is counted, as a refusal calls it.
    what: &'static str,
    /// When each bucket will be full again.
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Meters {
    /// Buckets of `per_minute` calls; zero is no limit. `what` is `calls in a minute with …`.
    pub(crate) fn new(per_minute: u32, what: &'static str) -> Self {
        Self {
            per_minute,
            what,
            full_at: Mutex::default(),
        }
    }

    /// Takes one call out of the bucket of `credential`, or of whatever else is counted.
    ///
    /// # Errors
    /// `rate_limited` with the whole seconds until a call is there again.
    pub(crate) fn spend(&self, credential: &str, now: Instant) -> Result<(), Error> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let minute = Duration::from_secs(60);
        let each = minute / self.per_minute;
        let mut buckets = self.full_at.lock();
        let full_at = buckets.get(credential).copied().unwrap_or(now).max(now);
        let after = full_at + each;
        // The bucket is empty when it takes more than a minute to fill.
        let over = after.saturating_duration_since(now + minute);
        if over > Duration::ZERO {
            let seconds = over.as_secs() + u64::from(over.subsec_nanos() > 0);
            let message = format!(
                "More than {} {}. Wait {seconds} s and try again.",
                self.per_minute, self.what
            );
            return Err(Error::new(Code::ManagementRateLimited, message).retry_after(seconds));
        }
        if buckets.len() >= MOST && !buckets.contains_key(credential) {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= MOST {
                // More credentials at once than anybody has: starting over beats growing.
                buckets.clear();
            }
        }
        buckets.insert(credential.to_owned(), after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_the_pace_holds() {
        let meters = Meters::new(100, "calls");
        let start = Instant::now();
        for call in 0..100 {
            meters
                .spend("a", start)
                .unwrap_or_else(|_| panic!("call {call}"));
        }
        let refused = meters.spend("a", start).expect_err("the bucket is empty");
        assert_eq!(refused.retry_after_seconds(), Some(1));
        meters
            .spend("b", start)
            .expect("another credential has its own");
        let later = start + Duration::from_millis(600);
        meters.spend("a", later).expect("one came back");
        meters.spend("a", later).expect_err("and only one");
        for _ in 0..100 {
            meters
                .spend("a", start + Duration::from_secs(120))
                .expect("it is full again");
        }
    }

    #[test]
    fn zero_is_no_limit_and_the_number_of_buckets_is_bounded() {
        let now = Instant::now();
        let none = Meters::new(0, "calls");
        for _ in 0..1_000 {
            none.spend("a", now).expect("no limit");
        }
        let meters = Meters::new(1, "calls");
        for name in 0..MOST * 2 {
            meters
                .spend(&name.to_string(), now)
                .expect("the first call");
        }
        assert!(meters.full_at.lock().len() <= MOST);
    }
}
