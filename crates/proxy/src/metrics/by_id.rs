//! Counters by ids of keys, providers and rules: ids that come and go (observability 11).
//!
//! A series whose ids were idle for a day is removed, and there are never more than so many of one metric:
//! what comes on top is counted under `other`. Start at [`ById::count`].

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use lw_core::UnixMicros;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// The id of what is counted beyond the bound.
pub(super) const OTHER: &str = "other";
/// Series of one metric.
const MOST: usize = 10_000;
/// Seconds after which a series that nobody counted is removed.
const IDLE_SECONDS: i64 = 24 * 60 * 60;
/// Seconds between two looks for them.
const LOOK_SECONDS: i64 = 10 * 60;

/// Labels with ids in them.
pub(super) trait Labels:
    Clone + Debug + Hash + Eq + EncodeLabelSet + Send + Sync + 'static
{
    /// The same with `other` in the place of the ids.
    fn folded(self) -> Self;
}

/// A counter by ids. See the module.
#[derive(Debug)]
pub(super) struct ById<L: Labels> {
    family: Family<L, Counter>,
    seen: Mutex<Seen<L>>,
}

#[derive(Debug)]
struct Seen<L> {
    /// When each series was last counted, in seconds.
    at: HashMap<L, i64>,
    looked: i64,
}

impl<L: Labels> Default for ById<L> {
    fn default() -> Self {
        Self {
            family: Family::default(),
            seen: Mutex::new(Seen {
                at: HashMap::new(),
                looked: 0,
            }),
        }
    }
}

impl<L: Labels> ById<L> {
    /// The family, for the registry.
    pub(super) fn family(&self) -> Family<L, Counter> {
        self.family.clone()
    }

    /// Counts one.
    pub(super) fn count(&self, labels: L, now: UnixMicros) {
        let seconds = now.seconds();
        self.forget_idle(now);
        let mut seen = self.seen.lock();
        let labels = if seen.at.len() >= MOST && !seen.at.contains_key(&labels) {
            labels.folded()
        } else {
            labels
        };
        self.family.get_or_create(&labels).inc();
        seen.at.insert(labels, seconds);
    }

    /// Removes series that were idle for a day.
    pub(super) fn forget_idle(&self, now: UnixMicros) {
        let seconds = now.seconds();
        let mut seen = self.seen.lock();
        if (seconds - seen.looked).abs() < LOOK_SECONDS {
            return;
        }
        seen.looked = seconds;
        seen.at.retain(|labels, at| {
            let keeps = seconds - *at < IDLE_SECONDS;
            if !keeps {
                self.family.remove(labels);
            }
            keeps
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
    struct Key {
        vk_id: String,
    }

    impl Labels for Key {
        fn folded(self) -> Self {
            key(OTHER)
        }
    }

    fn key(id: &str) -> Key {
        Key {
            vk_id: id.to_owned(),
        }
    }

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros(seconds * 1_000_000)
    }

    #[test]
    fn a_series_that_was_idle_for_a_day_is_removed() {
        let counters = ById::default();
        counters.count(key("old"), at(1_000_000));
        counters.count(key("young"), at(1_000_000 + 3_600));
        counters.forget_idle(at(1_000_000 + IDLE_SECONDS));
        assert!(counters.family.get(&key("old")).is_none());
        assert_eq!(
            counters.family.get(&key("young")).map(|one| one.get()),
            Some(1)
        );
    }

    #[test]
    fn there_are_never_more_series_than_the_bound_and_nothing_goes_uncounted() {
        let counters = ById::default();
        let counted = MOST + 500;
        for number in 0..counted {
            counters.count(key(&number.to_string()), at(1_000));
        }
        let series = counters.seen.lock().at.len();
        assert_eq!(series, MOST + 1);
        assert_eq!(
            counters.family.get(&key(OTHER)).map(|one| one.get()),
            Some(500)
        );
    }
}
