//! The spool folder: recovery at start, what its writers and its folder share, making it durable.
//!
//! Must never be opened twice: a lock file says so. Start at [`Spool::open`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use lw_core::UnixMicros;
use parking_lot::Mutex;

use crate::segment::{Key, Segment};
use crate::stop::Stop;
use crate::writer::{Pod, SpoolWriter};

/// Backlog beyond which admissions are refused, unless configured otherwise: 64 MiB.
pub const DEFAULT_MAX_BYTES: u64 = 64 << 20;

/// The name of the lock file.
const LOCK: &str = "lock";
/// The writer of outcomes that had to wait.
const LATE: &str = "late";

/// Why the spool refuses.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be created, read or written. The process must not start serving.
    #[error("the spool folder `{}` cannot be used", path.display())]
    Unusable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("the spool folder `{}` is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A node id becomes part of file names: 1 to 100 letters, digits, `.`, `_` and `-`.
    #[error("the node id `{0}` cannot be part of a file name")]
    InvalidNodeId(String),
    /// There is already a writer with this index.
    #[error("the spool writer `{0}` is already in use")]
    WriterTaken(String),
    /// More was appended than folded: the ledger does not keep up, or cannot be written.
    #[error("the spool is full: {backlog} bytes wait to be folded, {max} are allowed")]
    Full {
        /// Bytes that wait.
        backlog: u64,
        /// Bytes that may wait.
        max: u64,
    },
    /// Outcomes of admitted requests could not be written yet; nothing new is admitted before them.
    #[error("{0} outcomes wait for the spool to be writable again")]
    OutcomesWaiting(u64),
    /// The last attempt to make the spool durable failed.
    #[error("the spool could not be made durable")]
    NotDurable,
    /// The record could not be written; nothing of it was kept.
    #[error("the spool cannot be written")]
    Unwritable(#[source] io::Error),
    /// The record cannot be encoded.
    #[error("the record cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

/// Numbers for metrics and readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolStats {
    /// Bytes that wait to be folded.
    pub backlog_bytes: u64,
    /// Backlog beyond which admissions are refused.
    pub max_bytes: u64,
    /// Records appended by this process.
    pub appended: u64,
    /// Appends that failed; each was refused or is waiting.
    pub write_errors: u64,
    /// Outcomes in memory that wait to be written.
    pub waiting: u64,
    /// Complete lines that could not be read and were skipped.
    pub malformed: u64,
    /// Last lines without an end that were dropped at recovery.
    pub torn: u64,
    /// Gaps in the numbers of a pod.
    pub sequence_gaps: u64,
    /// Records folded by this process.
    pub folded: u64,
    /// How long the oldest record that is not folded has waited at most; zero without a backlog.
    pub oldest_unfolded: Duration,
}

/// A spool folder that this process holds. Cheap to clone; the last clone, writer or
/// [`crate::Folder`] that is dropped lets go of the folder.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

impl Spool {
    /// Takes the folder (creating it, mode 0700), and prepares what an earlier process left: torn last
    /// lines are cut off and counted, its files are sealed, the number of each pod goes on.
    ///
    /// # Errors
    /// The folder cannot be used or is in use. The process must not start serving.
    pub fn open(dir: &Path, node_id: &str, max_bytes: u64) -> Result<Self, SpoolError> {
        let fine = (1..=100).contains(&node_id.len())
            && node_id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !fine {
            return Err(SpoolError::InvalidNodeId(node_id.to_owned()));
        }
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| SpoolError::Unusable { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(unusable(dir))?;
        if let Err(error) = fs::set_permissions(dir, Permissions::from_mode(0o700)) {
            // A mounted volume may belong to somebody else and still be ours to write.
            tracing::warn!(%error, dir = %dir.display(), "the spool folder keeps its permissions");
        }
        let dir_file = File::open(dir).map_err(unusable(dir))?;
        let lock_path = dir.join(LOCK);
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&lock_path).map_err(unusable(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SpoolError::InUse {
                    path: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(&lock_path)(source)),
        }
        let recovered = recover(dir, node_id)?;
        let backlog = recovered
            .segments
            .values()
            .map(|segment| segment.good())
            .sum();
        let since = if backlog == 0 {
            i64::MAX
        } else {
            recovered.since
        };
        let shared = Shared {
            dir: dir.to_owned(),
            dir_file,
            _lock: lock,
            node_id: node_id.to_owned(),
            max_bytes,
            backlog: AtomicU64::new(backlog),
            since: AtomicI64::new(since),
            appended: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            not_durable: AtomicBool::new(false),
            dir_dirty: AtomicBool::new(true),
            write_errors: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            torn: AtomicU64::new(recovered.torn),
            gaps: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            has_folder: AtomicBool::new(false),
            segments: Mutex::new(recovered.segments),
            pods: Mutex::new(HashMap::new()),
            numbers: recovered.numbers,
            queue: Mutex::new(VecDeque::new()),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The writer of the data thread `index`. Dropping it makes the index free again.
    ///
    /// # Errors
    /// There is one already, or its file cannot be created.
    pub fn writer(&self, index: usize) -> Result<SpoolWriter, SpoolError> {
        let id = format!("{}-{index}", self.shared.node_id);
        Ok(SpoolWriter::new(Pod::open(&self.shared, &id)?))
    }

    /// Writes outcomes that wait, then makes everything that was appended before this call durable.
    /// To be called every 100 ms: this is the group commit that a loss of power may cost.
    ///
    /// # Errors
    /// Something is not durable; until a later call succeeds, admissions are refused.
    pub fn sync(&self) -> Result<(), SpoolError> {
        let waiting = self.shared.write_waiting();
        let synced = self.shared.sync().map_err(SpoolError::Unwritable);
        self.shared
            .not_durable
            .store(synced.is_err(), Ordering::Release);
        waiting.and(synced)
    }

    /// Calls [`Self::sync`] every `interval` until `stop` rings, and once more then.
    pub fn run(&self, stop: &Stop, interval: Duration) {
        let mut failing = false;
        loop {
            let stopped = stop.wait(interval);
            match self.sync() {
                Ok(()) if failing => tracing::info!("the spool is durable again"),
                Ok(()) => {}
                Err(error) if failing => tracing::debug!(%error, "the spool is still not durable"),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the spool is not durable, nothing is admitted");
                    failing = true;
                    if stopped {
                        return;
                    }
                    continue;
                }
            }
            failing = false;
            if stopped {
                return;
            }
        }
    }

    /// The numbers of this moment. `now` is compared with the time of the oldest unfolded record.
    #[must_use]
    pub fn stats(&self, now: UnixMicros) -> SpoolStats {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let backlog_bytes = count(&shared.backlog);
        let age = now.0.saturating_sub(shared.since.load(Ordering::Relaxed));
        let age = if backlog_bytes == 0 {
            0
        } else {
            u64::try_from(age).unwrap_or(0)
        };
        SpoolStats {
            backlog_bytes,
            max_bytes: shared.max_bytes,
            appended: count(&shared.appended),
            write_errors: count(&shared.write_errors),
            waiting: count(&shared.waiting),
            malformed: count(&shared.malformed),
            torn: count(&shared.torn),
            sequence_gaps: count(&shared.gaps),
            folded: count(&shared.folded),
            oldest_unfolded: Duration::from_micros(age),
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// A pod that nobody writes at the moment.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) segment: Arc<Segment>,
    pub(crate) next_seq: u64,
    pub(crate) torn: bool,
}

/// An outcome that could not be written: its line up to the end of the payload.
#[derive(Debug)]
struct Unwritten {
    payload: Vec<u8>,
    at: UnixMicros,
}

/// What writers, folder and maintenance share.
#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    dir_file: File,
    _lock: File,
    node_id: String,
    max_bytes: u64,
    /// Bytes appended and not folded.
    backlog: AtomicU64,
    /// Nothing older than this is unfolded; micros, only meaningful with a backlog.
    since: AtomicI64,
    appended: AtomicU64,
    /// Length of `queue`.
    waiting: AtomicU64,
    not_durable: AtomicBool,
    /// Whether files were created, renamed or removed since the folder was last synced.
    dir_dirty: AtomicBool,
    write_errors: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) torn: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) folded: AtomicU64,
    pub(crate) has_folder: AtomicBool,
    /// Every file that is not yet deleted. Writers lock it at a change of file only.
    segments: Mutex<BTreeMap<Key, Arc<Segment>>>,
    /// Pods opened by this process; `None` while one is in use.
    pods: Mutex<HashMap<Arc<str>, Option<Idle>>>,
    /// Where the numbers of pods on disk went on when the spool was opened.
    numbers: HashMap<Arc<str>, u64>,
    /// Outcomes that could not be written. Bounded by the admitted requests in flight, because nothing
    /// is admitted while one waits.
    queue: Mutex<VecDeque<Unwritten>>,
}

impl Shared {
    /// Whether a request may be admitted.
    pub(crate) fn check_open(&self) -> Result<(), SpoolError> {
        let backlog = self.backlog.load(Ordering::Relaxed);
        if backlog >= self.max_bytes {
            return Err(SpoolError::Full {
                backlog,
                max: self.max_bytes,
            });
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 {
            return Err(SpoolError::OutcomesWaiting(waiting));
        }
        if self.not_durable.load(Ordering::Relaxed) {
            return Err(SpoolError::NotDurable);
        }
        Ok(())
    }

    pub(crate) fn count_appended(&self, bytes: u64, records: u64, at: UnixMicros) {
        self.appended.fetch_add(records, Ordering::Relaxed);
        if self.backlog.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.since.store(at.0, Ordering::Relaxed);
        }
    }

    /// Takes folded bytes off the backlog. With `since`, nothing older than it is unfolded any more.
    pub(crate) fn count_folded(&self, bytes: u64, since: Option<UnixMicros>) {
        self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(since) = since {
            self.since.store(since.0, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_write_error(&self) {
        self.write_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps an outcome in memory until it can be written.
    pub(crate) fn keep_waiting(&self, payload: Vec<u8>, at: UnixMicros) {
        let mut queue = self.queue.lock();
        queue.push_back(Unwritten { payload, at });
        self.waiting.store(
            u64::try_from(queue.len()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Writes what waits, oldest first, through a pod of its own.
    pub(crate) fn write_waiting(self: &Arc<Self>) -> Result<(), SpoolError> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut pod = match Pod::open(self, &format!("{}-{LATE}", self.node_id)) {
            Ok(pod) => pod,
            // Another thread is at it.
            Err(SpoolError::WriterTaken(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        loop {
            let Some(Unwritten { payload, at }) = self.queue.lock().pop_front() else {
                self.count_waiting();
                return Ok(());
            };
            let mut line = payload.clone();
            pod.end_line(&mut line, 0);
            if let Err(error) = pod.append(&line, 1, at) {
                self.queue.lock().push_front(Unwritten { payload, at });
                self.count_waiting();
                return Err(SpoolError::Unwritable(error));
            }
        }
    }

    fn count_waiting(&self) {
        let queue = self.queue.lock();
        self.waiting.store(
            u64::try_from(queue.len()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Creates the next file of a pod and makes it known to the folder.
    pub(crate) fn create_segment(&self, key: Key) -> io::Result<Arc<Segment>> {
        let segment = Arc::new(Segment::create(&self.dir, key.clone())?);
        self.dir_dirty.store(true, Ordering::Release);
        self.segments.lock().insert(key, Arc::clone(&segment));
        Ok(segment)
    }

    /// Marks a file as complete, also in its name.
    pub(crate) fn seal(&self, segment: &Segment) {
        let key = &segment.key;
        if let Err(error) = fs::rename(key.active_path(&self.dir), key.sealed_path(&self.dir)) {
            // The name is for people; recovery treats both the same.
            tracing::warn!(%error, segment = key.name(), "a complete spool file keeps its old name");
        }
        self.dir_dirty.store(true, Ordering::Release);
        segment.seal();
    }

    /// All files, in the order (pod, number).
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.lock().values().map(Arc::clone).collect()
    }

    /// Deletes a file that was folded to its end.
    pub(crate) fn remove(&self, segment: &Segment) -> io::Result<()> {
        let key = &segment.key;
        let gone = |removed: io::Result<()>| match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(fs::remove_file(key.sealed_path(&self.dir)))?;
        gone(fs::remove_file(key.active_path(&self.dir)))?;
        self.dir_dirty.store(true, Ordering::Release);
        self.segments.lock().remove(key);
        Ok(())
    }

    pub(crate) fn take_pod(&self, id: &str) -> Result<Idle, SpoolError> {
        let known: Arc<str> = Arc::from(id);
        match self.pods.lock().insert(Arc::clone(&known), None) {
            Some(Some(idle)) => return Ok(idle),
            Some(None) => return Err(SpoolError::WriterTaken(id.to_owned())),
            None => {}
        }
        let next_seq = self.numbers.get(id).copied().unwrap_or(1);
        let key = Key {
            pod: Arc::clone(&known),
            number: next_seq,
        };
        match self.create_segment(key) {
            Ok(segment) => Ok(Idle {
                segment,
                next_seq,
                torn: false,
            }),
            Err(error) => {
                self.pods.lock().remove(&known);
                Err(SpoolError::Unwritable(error))
            }
        }
    }

    pub(crate) fn give_back(&self, idle: Idle) {
        self.pods
            .lock()
            .insert(Arc::clone(&idle.segment.key.pod), Some(idle));
    }

    fn sync(&self) -> io::Result<()> {
        let mut result = Ok(());
        for segment in self.segments() {
            result = result.and(segment.sync());
        }
        if self.dir_dirty.swap(false, Ordering::AcqRel) {
            let synced = self.dir_file.sync_all();
            if synced.is_err() {
                self.dir_dirty.store(true, Ordering::Release);
            }
            result = result.and(synced);
        }
        result
    }
}

/// What an earlier process left.
struct Recovered {
    /// Files with lines in them, all sealed.
    segments: BTreeMap<Key, Arc<Segment>>,
    /// The next number of each pod.
    numbers: HashMap<Arc<str>, u64>,
    torn: u64,
    /// When the oldest of them was last written; micros.
    since: i64,
}

fn recover(dir: &Path, node_id: &str) -> Result<Recovered, SpoolError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| SpoolError::Unusable { path, source }
    };
    let mut found = Recovered {
        segments: BTreeMap::new(),
        numbers: HashMap::new(),
        torn: 0,
        since: i64::MAX,
    };
    let mut empty = Vec::new();
    for entry in fs::read_dir(dir).map_err(unusable(dir))? {
        let entry = entry.map_err(unusable(dir))?;
        let Some(key) = entry.file_name().to_str().and_then(Key::parse) else {
            continue;
        };
        let path = entry.path();
        let (segment, lines, torn) =
            Segment::recover(&path, key.clone()).map_err(unusable(&path))?;
        if torn {
            found.torn += 1;
            tracing::warn!(file = %path.display(), "dropped the torn last line of a spool file");
        }
        let next = key.number.saturating_add(lines);
        let number = found.numbers.entry(Arc::clone(&key.pod)).or_insert(next);
        *number = next.max(*number);
        if lines == 0 {
            empty.push((path, key));
            continue;
        }
        if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
            let age = modified
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            found.since = found
                .since
                .min(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        }
        let sealed = key.sealed_path(dir);
        if path != sealed {
            fs::rename(&path, &sealed).map_err(unusable(&path))?;
        }
        found.segments.insert(key, Arc::new(segment));
    }
    // One empty file per pod of this node keeps its number; all others are litter.
    let ours = |pod: &str| {
        pod.strip_prefix(node_id)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    for (pod, number) in found.numbers.iter().filter(|(pod, _)| ours(pod)) {
        let key = Key {
            pod: Arc::clone(pod),
            number: *number,
        };
        let path = key.active_path(dir);
        Segment::create(dir, key).map_err(unusable(&path))?;
    }
    for (path, key) in empty {
        let marker = ours(&key.pod) && found.numbers.get(&key.pod) == Some(&key.number);
        if !marker || path != key.active_path(dir) {
            fs::remove_file(&path).map_err(unusable(&path))?;
        }
    }
    Ok(found)
}
