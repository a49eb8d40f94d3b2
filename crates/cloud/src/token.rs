//! A token that is fetched once for all who need it, and renewed before it expires.
//!
//! Several event loops share one [`CachedToken`]. A valid token is handed out without waiting and
//! without a lock; five minutes before it expires one exchange starts in the background while the old
//! token stays in use. When there is none, all callers wait for the same exchange. An exchange belongs
//! to no caller: it runs as a task of its own, and when that task is dropped (its event loop stopped)
//! the next of the waiting callers starts another on its own loop.
//!
//! A failed exchange is told to all who waited for it, and then left alone for 1 s, doubling to 30 s: in
//! that time callers without a token get the same error at once. Never holds a lock across an await,
//! never fetches twice at a time, never hands out a token past its end.
//!
//! Start at [`CachedToken::get`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use lw_core::UnixMicros;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Cloud, CloudError};
use crate::outside::Outside;

/// How long before its end a token is renewed; half of its life if that is shorter.
const AHEAD_US: i64 = 5 * 60 * SECOND_US;
/// How long before its end a token is no longer handed out, because the request has to arrive; a
/// quarter of its life if that is shorter.
const SLACK_US: i64 = 10 * SECOND_US;
/// A token that is refused by a provider is only dropped at this age: when a fresh one is refused,
/// another fresh one will be too.
const YOUNG_US: i64 = 30 * SECOND_US;
/// How long a failed exchange is left alone the first time, and at most.
const FIRST_PAUSE_US: i64 = SECOND_US;
const LONGEST_PAUSE_US: i64 = 30 * SECOND_US;
/// Limit of one exchange, which may take several requests.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);
/// Exchanges that one caller starts before it gives up, when they keep being dropped.
const STARTS: u32 = 3;
const SECOND_US: i64 = 1_000_000;

/// Where tokens come from.
pub trait TokenSource<T>: Send + Sync {
    /// Whose tokens they are.
    fn cloud(&self) -> Cloud;

    /// Fetches a new token. Called by one task at a time for each [`CachedToken`].
    fn fetch<'a>(&'a self, outside: &'a Outside) -> BoxFuture<'a, Result<Fresh<T>, CloudError>>;
}

/// A token as it arrived.
#[derive(Debug, Clone)]
pub struct Fresh<T> {
    /// The token.
    pub value: T,
    /// When it ends; `None` when it does not.
    pub expires_at: Option<UnixMicros>,
}

/// What every caller of one exchange gets.
type Outcome<T> = Result<Arc<T>, CloudError>;

/// One token and its source. Cloning shares it.
pub struct CachedToken<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    source: Arc<dyn TokenSource<T>>,
    held: ArcSwapOption<Held<T>>,
    work: Mutex<Work<T>>,
}

/// A token that is or was good.
struct Held<T> {
    value: Arc<T>,
    fetched_at: UnixMicros,
    /// When to renew and until when to use it; `None` when it does not end.
    ends: Option<Ends>,
}

#[derive(Clone, Copy)]
struct Ends {
    renew_at: UnixMicros,
    usable_until: UnixMicros,
}

/// What the callers agree on. Held for a few instructions at a time.
struct Work<T> {
    flight: Option<Flight<T>>,
    flights: u64,
    setback: Option<Setback>,
}

/// The exchange that is under way.
struct Flight<T> {
    number: u64,
    outcome: watch::Receiver<Option<Outcome<T>>>,
}

/// The failures since the last success.
struct Setback {
    pause_us: i64,
    until: UnixMicros,
    error: CloudError,
}

impl Setback {
    /// Whether the pause is not over. A wall clock that was set back does not make it longer.
    fn lasts(&self, now: UnixMicros) -> bool {
        now < self.until && self.until <= now.plus_micros(LONGEST_PAUSE_US)
    }
}

/// What a caller does next.
enum Step<T> {
    Use(Arc<T>),
    Renew(Arc<T>, Driver<T>),
    Fail(CloudError),
    Wait(watch::Receiver<Option<Outcome<T>>>),
    Begin(watch::Receiver<Option<Outcome<T>>>, Driver<T>),
}

impl<T: Send + Sync + 'static> CachedToken<T> {
    /// A cache without a token yet; the first caller fetches it.
    #[must_use]
    pub fn new(source: impl TokenSource<T> + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                source: Arc::new(source),
                held: ArcSwapOption::empty(),
                work: Mutex::new(Work {
                    flight: None,
                    flights: 0,
                    setback: None,
                }),
            }),
        }
    }

    /// The token. Waits only when there is no valid one.
    ///
    /// # Errors
    /// No token could be fetched, now or within the pause after the last attempt.
    pub async fn get(&self, outside: &Outside) -> Result<Arc<T>, CloudError> {
        let mut started = 0;
        loop {
            let waiting = match self.shared.step(outside.now()) {
                Step::Use(value) => return Ok(value),
                Step::Renew(value, driver) => {
                    driver.start(outside);
                    return Ok(value);
                }
                Step::Fail(error) => return Err(error),
                Step::Wait(waiting) => waiting,
                Step::Begin(waiting, driver) => {
                    started += 1;
                    if started > STARTS {
                        return Err(CloudError::Abandoned);
                    }
                    driver.start(outside);
                    waiting
                }
            };
            if let Some(outcome) = outcome(waiting).await {
                return outcome;
            }
        }
    }

    /// Drops `refused`, which a provider answered with 401, so that the next caller fetches another.
    /// Says whether it did: not when it is no longer the current one, and not when it was fetched less
    /// than 30 s ago, so that a provider that refuses everything does not cause an exchange for each
    /// request.
    pub fn invalidate(&self, refused: &Arc<T>, now: UnixMicros) -> bool {
        // Under the lock, so that a token that arrives meanwhile is not dropped in its place.
        let _work = self.shared.work.lock();
        let held = self.shared.held.load();
        let Some(held) = held.as_ref() else {
            return false;
        };
        let young = held.fetched_at <= now && now < held.fetched_at.plus_micros(YOUNG_US);
        if young || !Arc::ptr_eq(&held.value, refused) {
            return false;
        }
        self.shared.held.store(None);
        true
    }
}

impl<T> Clone for CachedToken<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> fmt::Debug for CachedToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").finish_non_exhaustive()
    }
}

/// Waits for the end of an exchange; `None` when it was dropped.
async fn outcome<T: Send + Sync>(
    mut waiting: watch::Receiver<Option<Outcome<T>>>,
) -> Option<Outcome<T>> {
    let settled = waiting.wait_for(Option::is_some).await.ok()?;
    settled.clone()
}

impl<T> Held<T> {
    /// `None` when the token has ended by `now`.
    fn new(fresh: Fresh<T>, now: UnixMicros) -> Option<Self> {
        let Fresh { value, expires_at } = fresh;
        let ends = match expires_at {
            None => None,
            Some(expires_at) => {
                let life = expires_at.0.saturating_sub(now.0);
                if life <= 0 {
                    return None;
                }
                Some(Ends {
                    renew_at: expires_at.plus_micros(-AHEAD_US.min(life / 2)),
                    usable_until: expires_at.plus_micros(-SLACK_US.min(life / 4)),
                })
            }
        };
        Some(Self {
            value: Arc::new(value),
            fetched_at: now,
            ends,
        })
    }

    fn usable(&self, now: UnixMicros) -> bool {
        self.ends.is_none_or(|ends| now < ends.usable_until)
    }

    fn due(&self, now: UnixMicros) -> bool {
        self.ends.is_some_and(|ends| ends.renew_at <= now)
    }
}

impl<T> Shared<T> {
    fn step(self: &Arc<Self>, now: UnixMicros) -> Step<T> {
        if let Some(held) = self.held.load().as_ref()
            && held.usable(now)
            && !held.due(now)
        {
            return Step::Use(held.value.clone());
        }
        let mut work = self.work.lock();
        // Again: another caller may have been faster.
        let held = self.held.load();
        let usable = held.as_ref().filter(|held| held.usable(now));
        let pausing = work.setback.as_ref().filter(|setback| setback.lasts(now));
        if let Some(held) = usable {
            if !held.due(now) || work.flight.is_some() || pausing.is_some() {
                return Step::Use(held.value.clone());
            }
            let (_, driver) = self.take_off(&mut work);
            return Step::Renew(held.value.clone(), driver);
        }
        if let Some(flight) = &work.flight {
            return Step::Wait(flight.outcome.clone());
        }
        if let Some(setback) = pausing {
            return Step::Fail(setback.error.clone());
        }
        let (waiting, driver) = self.take_off(&mut work);
        Step::Begin(waiting, driver)
    }

    fn take_off(
        self: &Arc<Self>,
        work: &mut Work<T>,
    ) -> (watch::Receiver<Option<Outcome<T>>>, Driver<T>) {
        let (sender, outcome) = watch::channel(None);
        let number = work.flights;
        work.flights = number.wrapping_add(1);
        work.flight = Some(Flight {
            number,
            outcome: outcome.clone(),
        });
        let driver = Driver {
            shared: self.clone(),
            number,
            sender,
        };
        (outcome, driver)
    }

    /// Keeps what an exchange brought, and lands it.
    fn land(
        &self,
        number: u64,
        fetched: Result<Fresh<T>, CloudError>,
        now: UnixMicros,
    ) -> Outcome<T> {
        let cloud = self.source.cloud();
        let held = fetched
            .and_then(|fresh| Held::new(fresh, now).ok_or(CloudError::AlreadyExpired { cloud }));
        let mut work = self.work.lock();
        work.clear(number);
        match held {
            Ok(held) => {
                work.setback = None;
                let value = held.value.clone();
                self.held.store(Some(Arc::new(held)));
                Ok(value)
            }
            Err(error) => {
                let pause_us = work.setback.as_ref().map_or(FIRST_PAUSE_US, |before| {
                    before.pause_us.saturating_mul(2).min(LONGEST_PAUSE_US)
                });
                work.setback = Some(Setback {
                    pause_us,
                    until: now.plus_micros(pause_us),
                    error: error.clone(),
                });
                drop(work);
                // Callers that hold a valid token never see this error, so it is told here.
                tracing::warn!(%cloud, %error, "a token could not be fetched");
                Err(error)
            }
        }
    }
}

impl<T> Work<T> {
    fn clear(&mut self, number: u64) {
        if self
            .flight
            .as_ref()
            .is_some_and(|flight| flight.number == number)
        {
            self.flight = None;
        }
    }
}

/// The one task that runs an exchange. Dropping it before the end lets another one start: it clears the
/// flight, then its sender goes and wakes whoever waits.
struct Driver<T> {
    shared: Arc<Shared<T>>,
    number: u64,
    sender: watch::Sender<Option<Outcome<T>>>,
}

impl<T: Send + Sync + 'static> Driver<T> {
    fn start(self, outside: &Outside) {
        let outside_of_task = outside.clone();
        outside.tasks.spawn(Box::pin(self.run(outside_of_task)));
    }

    async fn run(self, outside: Outside) {
        let fetch = self.shared.source.fetch(&outside);
        let fetched = tokio::time::timeout(EXCHANGE_LIMIT, fetch)
            .await
            .unwrap_or(Err(CloudError::TimedOut {
                seconds: EXCHANGE_LIMIT.as_secs(),
            }));
        let outcome = self.shared.land(self.number, fetched, outside.now());
        self.sender.send_replace(Some(outcome));
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.shared.work.lock().clear(self.number);
    }
}

#[cfg(test)]
mod tests;
