//! Circuit breakers by credential.
//!
//! Whoever compiles a provider asks for its breaker once and keeps it; a request then touches only that
//! one, and while it is closed and knows of no failure, with one atomic load. A breaker is kept
//! while a provider holds it or it has something to say, so that compiling a provider anew does not close
//! its circuit. Must never hold the registry's lock and a breaker's at once. Start at [`Breakers::breaker`].

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lw_core::{ModelProviderId, UnixMicros};
use lw_engine::breaker::{Breaker, Pass, Refused, Settings, State};
use parking_lot::Mutex;

/// Breakers below which sweeping is not worth it.
const SWEPT_FROM: usize = 256;

/// The registry. One for the process.
#[derive(Debug, Default)]
pub struct Breakers {
    settings: Settings,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    breakers: HashMap<ModelProviderId, Arc<SharedBreaker>>,
    /// How many there may be before those that are of no use are swept.
    most: usize,
}

/// One credential's circuit, as the metric and the health report show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// The credential.
    pub id: ModelProviderId,
    /// Its state.
    pub state: State,
    /// Since when it has not been closed.
    pub opened_at: Option<UnixMicros>,
}

impl Breakers {
    /// An empty registry whose breakers have these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            kept: Mutex::default(),
        }
    }

    /// The breaker of a credential, closed if it is new. To be kept by whoever calls the credential: this
    /// takes a lock that all share.
    #[must_use]
    pub fn breaker(&self, id: &ModelProviderId, now: UnixMicros) -> Arc<SharedBreaker> {
        let (breaker, crowded) = {
            let mut kept = self.kept.lock();
            let crowded = kept.breakers.len() >= kept.most.max(SWEPT_FROM);
            let breaker = kept.breakers.entry(id.clone());
            let breaker = breaker.or_insert_with(|| Arc::new(SharedBreaker::new(self.settings)));
            (breaker.clone(), crowded)
        };
        if crowded {
            self.sweep(now);
        }
        breaker
    }

    /// Every circuit that is kept, in the order of the ids.
    #[must_use]
    pub fn circuits(&self, now: UnixMicros) -> Vec<Circuit> {
        self.sweep(now);
        let mut circuits: Vec<_> = self
            .matching(|_| true)
            .into_iter()
            .map(|(id, shared)| {
                let breaker = shared.breaker.lock();
                Circuit {
                    id,
                    state: breaker.state(now),
                    opened_at: breaker.opened_at(),
                }
            })
            .collect();
        circuits.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        circuits
    }

    /// Forgets breakers that nobody holds and that have nothing to say.
    fn sweep(&self, now: UnixMicros) {
        let mut idle = self.matching(|breaker| Arc::strong_count(breaker) == 1);
        idle.retain(|(_, shared)| shared.breaker.lock().is_idle(&self.settings, now));
        let mut kept = self.kept.lock();
        for (id, shared) in idle {
            // One is the registry's and one is ours, unless somebody has asked for it meanwhile, or swept it.
            let found = kept.breakers.get(&id);
            if found.is_some_and(|found| Arc::ptr_eq(found, &shared))
                && Arc::strong_count(&shared) == 2
            {
                kept.breakers.remove(&id);
            }
        }
        kept.most = kept.breakers.len().saturating_mul(2);
    }

    fn matching(
        &self,
        wanted: impl Fn(&Arc<SharedBreaker>) -> bool,
    ) -> Vec<(ModelProviderId, Arc<SharedBreaker>)> {
        let kept = self.kept.lock();
        let wanted = kept.breakers.iter().filter(|(_, breaker)| wanted(breaker));
        wanted.map(|(id, b)| (id.clone(), b.clone())).collect()
    }
}

/// One credential's breaker, shared by the data threads.
#[derive(Debug)]
pub struct SharedBreaker {
    settings: Settings,
    /// What [`Breaker::calm`] says: 0 for nothing, else the period above the lowest bit, which is set.
    /// Written under the lock.
    calm: AtomicU64,
    breaker: Mutex<Breaker>,
}

impl SharedBreaker {
    fn new(settings: Settings) -> Self {
        let breaker = Breaker::default();
        Self {
            settings,
            calm: AtomicU64::new(calm_word(&breaker)),
            breaker: Mutex::new(breaker),
        }
    }

    /// Asks for leave to call the credential.
    ///
    /// # Errors
    /// The credential is to be skipped.
    pub fn admit(self: &Arc<Self>, now: UnixMicros) -> Result<Ticket, Refused> {
        let pass = match self.calm() {
            Some(era) => Pass::Closed { era },
            None => self.change(|breaker| breaker.admit(&self.settings, now))?,
        };
        Ok(Ticket {
            breaker: self.clone(),
            pass: Some(pass),
        })
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: UnixMicros) -> State {
        match self.calm() {
            Some(_) => State::Closed,
            None => self.breaker.lock().state(now),
        }
    }

    fn calm(&self) -> Option<u32> {
        let word = self.calm.load(Ordering::Acquire);
        (word & 1 == 1).then(|| u32::try_from(word >> 1).unwrap_or(0))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker.lock();
        let outcome = change(&mut breaker);
        self.calm.store(calm_word(&breaker), Ordering::Release);
        outcome
    }
}

fn calm_word(breaker: &Breaker) -> u64 {
    breaker.calm().map_or(0, |era| u64::from(era) << 1 | 1)
}

/// The leave to make one call. Dropped without a report, nothing is known of the call, as when its caller
/// left; if it was a probe, the next call may be one.
#[derive(Debug)]
#[must_use = "a ticket that is dropped reports nothing"]
pub struct Ticket {
    breaker: Arc<SharedBreaker>,
    pass: Option<Pass>,
}

impl Ticket {
    /// The state that the call met: closed, or half-open for a probe.
    #[must_use]
    pub const fn met(&self) -> State {
        match self.pass {
            Some(Pass::Probe { era: _, serial: _ }) => State::HalfOpen,
            Some(Pass::Closed { era: _ }) | None => State::Closed,
        }
    }

    /// The provider answered, below 500. Whether this closed the circuit.
    pub fn succeed(mut self) -> bool {
        match self.pass.take() {
            None => false,
            // Without a failure in this period there is none to clear, and in another it would count for nothing.
            Some(Pass::Closed { era: _ }) if self.breaker.calm().is_some() => false,
            Some(pass) => self.breaker.change(|breaker| breaker.succeeded(pass)),
        }
    }

    /// The provider failed. Whether this opened the circuit, or opened it again.
    pub fn fail(mut self, now: UnixMicros) -> bool {
        let Some(pass) = self.pass.take() else {
            return false;
        };
        let Self { breaker, pass: _ } = &self;
        breaker.change(|state| state.failed(&breaker.settings, pass, now))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(pass @ Pass::Probe { era: _, serial: _ }) = self.pass.take() {
            self.breaker.change(|breaker| breaker.abandoned(pass));
        }
    }
}
