//! From a presented key to its compiled bundle.
//!
//! A bounded cache finds most keys. A key that is not there is read once for all who wait for it, on
//! threads of its own; "no such key" is remembered for a moment. Nothing here grows with the number of
//! keys that exist.
//!
//! Freshness: a write commits, then calls [`KeyCache::changed`], then answers its caller. That call
//! advances the generation and evicts under one lock, and a read that began before it is not installed
//! but done again, so a revoked key cannot come back to life. Fails closed: what cannot be looked up is
//! 503, never 401 and never served.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use lw_core::{Code, Error};
use lw_crypto::{KeyDigest, Pepper, digest};
use lw_store::bundle::{KeyRecord, KeySource};
use lw_store::config::{ChangeEvent, ChangeKind, Freshness};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::bundle::{Bundle, compile};
use crate::governed::Live;
use crate::lane::compile::Compiler;
use crate::shelf::Shelf;

/// How long "no such key" is remembered.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// Lookups that may wait for a lookup thread.
const LOOKUP_QUEUE: usize = 1_024;
/// Threads that read keys from the store.
const LOOKUP_THREADS: usize = 2;
/// How long a request waits for a lookup.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How often a read is done again because a write came in between.
const READ_AGAIN: usize = 64;

/// What a lookup found; shared by all who waited for it.
#[derive(Clone)]
enum Answer {
    Found(Arc<Bundle>),
    Unknown,
    Failed,
}

/// The cache. One for the process.
pub struct KeyCache {
    bundles: Cache<KeyDigest, Arc<Bundle>>,
    unknown: Cache<KeyDigest, Instant>,
    filling: Mutex<Filling>,
    lookups: mpsc::Sender<Lookup>,
}

/// What fills and evictions agree on.
#[derive(Default)]
struct Filling {
    generation: u64,
    waiting: HashMap<KeyDigest, Vec<oneshot::Sender<Answer>>>,
}

/// A key to look up. Holds the hashes that it may be stored under, never the key.
struct Lookup {
    digest: KeyDigest,
    hashes: Vec<String>,
}

/// What the lookup threads work with.
pub struct Lookups {
    /// Where keys are read.
    pub source: Arc<dyn KeySource>,
    /// What makes lanes of provider rows.
    pub compiler: Compiler,
    /// Lanes that keys share.
    pub shelf: Shelf,
    /// Circuits and balances.
    pub live: Live,
}

impl KeyCache {
    /// A cache of `entries` keys and the threads that fill it. The threads end when the cache is dropped.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(entries: usize, lookups: &Arc<Lookups>) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel(LOOKUP_QUEUE);
        let cache = Arc::new(Self {
            bundles: Cache::new(entries),
            unknown: Cache::new(entries),
            filling: Mutex::default(),
            lookups: sender,
        });
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..LOOKUP_THREADS {
            let cache = Arc::downgrade(&cache);
            let (receiver, lookups) = (receiver.clone(), lookups.clone());
            std::thread::Builder::new()
                .name(format!("lookup-{index}"))
                .spawn(move || {
                    loop {
                        let next = receiver.lock().blocking_recv();
                        let (Some(lookup), Some(cache)) = (next, cache.upgrade()) else {
                            return;
                        };
                        let filling = AssertUnwindSafe(|| cache.fill(&lookup, &lookups));
                        if std::panic::catch_unwind(filling).is_err() {
                            tracing::error!("a key lookup panicked");
                            cache.filling.lock().waiting.remove(&lookup.digest);
                        }
                    }
                })?;
        }
        Ok(cache)
    }

    /// Keys held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bundles.len()
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// The bundle of `presented` when it is held: the way of nearly every request.
    #[must_use]
    pub fn held(&self, digest: KeyDigest) -> Option<Arc<Bundle>> {
        self.bundles.get(&digest)
    }

    /// Looks `presented` up in the store, together with whoever else waits for it. `peppers` are the
    /// ones that its hash may be made with, the current one first.
    ///
    /// # Errors
    /// `invalid_api_key` when there is no such key; `auth_upstream_unavailable` when it could not be
    /// looked up.
    pub async fn look_up(&self, presented: &str, peppers: &[Pepper]) -> Result<Arc<Bundle>, Error> {
        let digest = digest(presented);
        if self
            .unknown
            .get(&digest)
            .is_some_and(|until| until > Instant::now())
        {
            return Err(unknown());
        }
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut filling = self.filling.lock();
            // A fill may have ended between the caller's look and this lock.
            if let Some(bundle) = self.bundles.get(&digest) {
                return Ok(bundle);
            }
            let waiting = filling.waiting.entry(digest).or_default();
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.push(sender);
            waiting.len() == 1
        };
        if first {
            let hashes = peppers
                .iter()
                .map(|pepper| pepper.hash(presented))
                .collect();
            if self.lookups.try_send(Lookup { digest, hashes }).is_err() {
                self.filling.lock().waiting.remove(&digest);
                return Err(unavailable("the queue of key lookups is full"));
            }
        }
        match tokio::time::timeout(LOOKUP_LIMIT, receiver).await {
            Ok(Ok(Answer::Found(bundle))) => Ok(bundle),
            Ok(Ok(Answer::Unknown)) => Err(unknown()),
            Ok(Ok(Answer::Failed) | Err(_)) => Err(unavailable("the key could not be read")),
            Err(_) => Err(unavailable("the key lookup took too long")),
        }
    }

    fn fill(&self, lookup: &Lookup, lookups: &Lookups) {
        for _ in 0..READ_AGAIN {
            let generation = self.filling.lock().generation;
            let answer = read(lookup, lookups);
            let mut filling = self.filling.lock();
            if filling.generation != generation {
                continue;
            }
            match &answer {
                Answer::Found(bundle) => self.bundles.insert(lookup.digest, bundle.clone()),
                Answer::Unknown => self
                    .unknown
                    .insert(lookup.digest, Instant::now() + UNKNOWN_FOR),
                Answer::Failed => {}
            }
            let waiting = filling.waiting.remove(&lookup.digest).unwrap_or_default();
            drop(filling);
            for sender in waiting {
                // Whoever left does not need the answer.
                let _ = sender.send(answer.clone());
            }
            return;
        }
        self.filling.lock().waiting.remove(&lookup.digest);
    }
}

impl Freshness for KeyCache {
    fn changed(&self, change: &ChangeEvent) {
        let mut filling = self.filling.lock();
        filling.generation += 1;
        match change.kind {
            ChangeKind::VkCreated => self.unknown.clear(),
            ChangeKind::VkConfigUpdated
            | ChangeKind::VkRevoked
            | ChangeKind::VkRotated
            | ChangeKind::VkDisabled
            | ChangeKind::VkEnabled => {
                self.unknown.clear();
                self.bundles
                    .retain(|_, bundle| Some(&bundle.key_id) != change.virtual_key_id.as_ref());
            }
            // A provider may become newly reachable for any key of its organization.
            _ => self
                .bundles
                .retain(|_, bundle| bundle.organization_id != change.organization_id),
        }
    }
}

fn read(lookup: &Lookup, lookups: &Lookups) -> Answer {
    let record = match lookups.source.key_by_hash(&lookup.hashes) {
        Ok(Some(record)) => record,
        Ok(None) => return Answer::Unknown,
        Err(error) => {
            tracing::error!(%error, "key lookup failed");
            return Answer::Failed;
        }
    };
    rehash(&record, lookup, lookups);
    let id = record.key.id.clone();
    match compile(record, &lookups.compiler, &lookups.shelf, &lookups.live) {
        Ok(bundle) => Answer::Found(Arc::new(bundle)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(vk_id = %id, %error, cause, "key cannot be compiled");
            Answer::Failed
        }
    }
}

/// A key that was found under the previous pepper is stored under the current one from now on. Fails
/// open: the old hash finds it, too.
fn rehash(record: &KeyRecord, lookup: &Lookup, lookups: &Lookups) {
    let [current, older @ ..] = lookup.hashes.as_slice() else {
        return;
    };
    let stored = if record.previous_secret {
        record.key.previous_hashed_secret.as_ref()
    } else {
        Some(&record.key.hashed_secret)
    };
    if let Some(old) = stored.filter(|stored| older.contains(stored))
        && let Err(error) = lookups.source.rehash_virtual_key(old, current)
    {
        tracing::warn!(%error, vk_id = %record.key.id, "a key was not hashed anew");
    }
}

fn unknown() -> Error {
    Error::new(Code::InvalidApiKey, "the virtual key is not known here")
        .tip("Check that the whole key was copied; it begins with `vk-lw-`.")
}

fn unavailable(cause: &str) -> Error {
    Error::new(
        Code::AuthUpstreamUnavailable,
        "the virtual key could not be looked up; try again",
    )
    .because(cause)
    .retry_after(1)
}
