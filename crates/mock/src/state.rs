//! What all threads of one mock share: scripts, keys, records, counters.
//!
//! Locks here are short and never nested, and none is taken for a bench request without scripts.
//! Start at [`Shared`].

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::accounts::Accounts;
use crate::directive::{Candidate, Directive, Script};
use crate::json::Obj;
use crate::kept::Shelves;
use crate::record::Records;
use crate::seal::{opened, sign};
use crate::strict::Strictness;

/// Ids and signatures that are remembered, at most.
const REMEMBERED: usize = 100_000;

pub(crate) struct Shared {
    pub(crate) record: bool,
    pub(crate) pace: Duration,
    pub(crate) tls: bool,
    pub(crate) records: Records,
    pub(crate) counts: Counts,
    /// Set by `stop`: connections that end now end by our own will.
    pub(crate) stopping: AtomicBool,
    scripts: Mutex<VecDeque<Script>>,
    any_script: AtomicBool,
    keys: RwLock<Option<HashSet<String>>>,
    next_id: AtomicU64,
    pub(crate) accounts: Accounts,
    pub(crate) shelves: Shelves,
    strictness: RwLock<Strictness>,
    /// Ids of stored responses, and signatures and seals that a directive gave.
    issued: Mutex<HashSet<String>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) open_connections: AtomicUsize,
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) generations: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
}

impl Shared {
    pub(crate) fn new(record: bool, pace: Duration, tls: bool) -> Self {
        Self {
            record,
            pace,
            tls,
            records: Records::default(),
            counts: Counts::default(),
            stopping: AtomicBool::new(false),
            scripts: Mutex::default(),
            any_script: AtomicBool::new(false),
            keys: RwLock::new(None),
            next_id: AtomicU64::new(0),
            accounts: Accounts::default(),
            shelves: Shelves::default(),
            strictness: RwLock::default(),
            issued: Mutex::default(),
        }
    }

    pub(crate) fn strictness(&self) -> Strictness {
        *self.strictness.read()
    }

    pub(crate) fn set_strictness(&self, strictness: Strictness) {
        *self.strictness.write() = strictness;
    }

    /// Remembers that this came from the mock.
    pub(crate) fn remember(&self, what: &str) {
        let mut issued = self.issued.lock();
        if issued.len() >= REMEMBERED {
            issued.clear();
        }
        issued.insert(what.to_owned());
    }

    pub(crate) fn remembers(&self, what: &str) -> bool {
        self.issued.lock().contains(what)
    }

    /// Whether the mock signed this thought.
    pub(crate) fn signed(&self, thought: &str, signature: &str) -> bool {
        sign(thought) == signature || self.remembers(signature)
    }

    /// Whether the mock sealed this.
    pub(crate) fn sealed(&self, data: &str) -> bool {
        opened(data).is_some() || self.remembers(data)
    }

    /// The number in the next response id and request id.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn has_scripts(&self) -> bool {
        self.any_script.load(Ordering::Acquire)
    }

    pub(crate) fn queue(&self, more: impl IntoIterator<Item = Script>) -> usize {
        let mut scripts = self.scripts.lock();
        scripts.extend(more);
        self.any_script
            .store(!scripts.is_empty(), Ordering::Release);
        scripts.len()
    }

    pub(crate) fn unqueue_all(&self) {
        self.scripts.lock().clear();
        self.any_script.store(false, Ordering::Release);
    }

    /// The directive of the first script that matches, which is used up by that.
    pub(crate) fn scripted(&self, candidate: &Candidate<'_>) -> Option<Directive> {
        if !self.has_scripts() {
            return None;
        }
        let mut scripts = self.scripts.lock();
        let at = scripts
            .iter()
            .position(|script| script.matching.accepts(candidate))?;
        let script = scripts.get_mut(at)?;
        let directive = script.directive.clone();
        if script.times == 1 {
            scripts.remove(at);
            self.any_script
                .store(!scripts.is_empty(), Ordering::Release);
        } else if script.times > 1 {
            script.times -= 1;
        }
        Some(directive)
    }

    /// Accept only these credentials; `None` accepts any.
    pub(crate) fn restrict_keys(&self, valid: Option<HashSet<String>>) {
        *self.keys.write() = valid;
    }

    pub(crate) fn accepts_key(&self, key: &str) -> bool {
        self.keys
            .read()
            .as_ref()
            .is_none_or(|valid| valid.contains(key))
    }

    /// Whether there is a list of keys and this one is on it.
    pub(crate) fn lists_key(&self, key: &str) -> bool {
        let keys = self.keys.read();
        keys.as_ref().is_some_and(|valid| valid.contains(key))
    }

    /// Forgets everything that callers and controls have done. Numbers go on counting, so that an answer that is
    /// still under way cannot be taken for a later one.
    pub(crate) fn reset(&self) {
        self.unqueue_all();
        self.restrict_keys(None);
        self.records.clear();
        self.accounts.reset();
        self.shelves.clear();
        self.set_strictness(Strictness::default());
        self.issued.lock().clear();
        let Counts {
            open_connections: _,
            connections,
            requests,
            generations,
            completed,
            disconnects,
            bytes_sent,
        } = &self.counts;
        for count in [
            connections,
            requests,
            generations,
            completed,
            disconnects,
            bytes_sent,
        ] {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats_json(&self) -> String {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let open = counts.open_connections.load(Ordering::Relaxed);
        let scripts = self.scripts.lock().len();
        Obj::new()
            .num("open_connections", u64::try_from(open).unwrap_or(u64::MAX))
            .num("connections", read(&counts.connections))
            .num("requests", read(&counts.requests))
            .num("generations", read(&counts.generations))
            .num("completed", read(&counts.completed))
            .num("disconnects", read(&counts.disconnects))
            .num("bytes_sent", read(&counts.bytes_sent))
            .num("scripts_queued", u64::try_from(scripts).unwrap_or(u64::MAX))
            .num("token_exchanges", self.accounts.exchanges())
            .raw("recording", if self.record { "true" } else { "false" })
            .end()
    }
}
