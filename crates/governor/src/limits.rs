//! Levels of rate limits by key and by provider.
//!
//! A bounded registry: a subject that nobody has asked about for long is forgotten and begins with full
//! buckets. One with requests under way never is, so that no place of a concurrent request is given
//! out twice. Must never hold a lock while anything waits: each call is a short sum under one subject's lock.
//!
//! A request that must fit a key and a provider takes of the key first; if the provider denies, the key's
//! grant is given back. Start at [`Limits::take`].

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::hash::RandomState;
use std::sync::Arc;

use lw_core::{ModelProviderId, UnixMicros, VirtualKeyId};
use lw_engine::limit::{Ceilings, Denied, Level, Standing, Taken};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, UnitWeighter};

/// Subjects that are remembered (data-plane 10.2).
pub const SUBJECTS: usize = 50_000;

/// Whose ceilings are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A virtual key's.
    Key(VirtualKeyId),
    /// A provider's.
    Provider(ModelProviderId),
}

type Shared = Arc<Mutex<Level>>;

/// The registry. One for the process.
#[derive(Debug)]
pub struct Limits {
    levels: Cache<Subject, Shared, UnitWeighter, RandomState, KeepHeld>,
}

/// Keeps the levels that a request holds.
#[derive(Debug, Clone, Copy)]
struct KeepHeld;

impl Lifecycle<Subject, Shared> for KeepHeld {
    type RequestState = ();

    fn is_pinned(&self, _: &Subject, level: &Shared) -> bool {
        // Only the registry hands levels out, and evicts under the lock that it does so under.
        Arc::strong_count(level) > 1
    }

    fn begin_request(&self) -> Self::RequestState {}
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(SUBJECTS)
    }
}

impl Limits {
    /// A registry that remembers `subjects`, and more only while more have requests under way.
    #[must_use]
    pub fn new(subjects: usize) -> Self {
        let weight = u64::try_from(subjects).unwrap_or(u64::MAX);
        let hasher = RandomState::new();
        Self {
            levels: Cache::with(subjects, weight, UnitWeighter, hasher, KeepHeld),
        }
    }

    /// Reserves one request and `tokens` (`lw_engine::limit::estimate`) of a subject. Ceilings are those of
    /// this request; without any, nothing is looked up and the grant is empty.
    ///
    /// # Errors
    /// The request does not fit, and nothing is reserved.
    pub fn take(
        &self,
        subject: &Subject,
        ceilings: &Ceilings,
        now: UnixMicros,
        tokens: u64,
    ) -> Result<Grant, Denied> {
        if ceilings.is_empty() {
            return Ok(Grant(None));
        }
        let level = self.level(subject);
        let taken = level.lock().take(ceilings, now, tokens)?;
        Ok(Grant(Some(Held { level, taken })))
    }

    /// What is left of a subject's ceilings. Asking does not make it remembered.
    #[must_use]
    pub fn standing(&self, subject: &Subject, ceilings: &Ceilings, now: UnixMicros) -> Standing {
        match self.levels.peek(subject) {
            Some(level) => level.lock().standing(ceilings, now),
            None => Level::default().standing(ceilings, now),
        }
    }

    /// Subjects remembered, for the metric of this cache.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Whether no subject is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    fn level(&self, subject: &Subject) -> Shared {
        let fresh = || Ok::<_, Infallible>(Shared::default());
        match self.levels.get_or_insert_with(subject, fresh) {
            Ok(level) => level,
            Err(never) => match never {},
        }
    }
}

/// What a request has reserved of one subject, until it is settled or given back.
///
/// Dropped, it frees the place of the concurrent request and leaves request and tokens counted as
/// reserved: whoever vanished may well have been served, and the estimate is all that is known of it.
#[derive(Debug)]
#[must_use = "a grant that is dropped counts as a request with the estimated tokens"]
pub struct Grant(Option<Held>);

#[derive(Debug)]
struct Held {
    level: Shared,
    taken: Taken,
}

impl Grant {
    /// Ends a request that was sent: the tokens that it used replace the reserved ones. An attempt that
    /// failed used 0.
    pub fn settle(mut self, now: UnixMicros, actual_tokens: u64) {
        if let Some(Held { level, taken }) = self.0.take() {
            level.lock().settle(now, taken, actual_tokens);
        }
    }

    /// Undoes the reservation of a request that was sent nowhere.
    pub fn give_back(mut self, now: UnixMicros) {
        if let Some(Held { level, taken }) = self.0.take() {
            level.lock().give_back(now, taken);
        }
    }

    /// What is left of the subject's ceilings, this request counted. Of an empty grant nothing is limited.
    #[must_use]
    pub fn standing(&self, ceilings: &Ceilings, now: UnixMicros) -> Standing {
        let Some(Held { level, taken: _ }) = &self.0 else {
            return Standing::default();
        };
        level.lock().standing(ceilings, now)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(Held { level, taken }) = self.0.take() {
            level.lock().release(taken);
        }
    }
}
