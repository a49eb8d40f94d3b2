//! The other end of the spool: turns lines into ledger rows, then deletes what was folded.
//!
//! The rows and how far each file was folded are committed together, so a crash at any point folds
//! nothing twice. A ledger that fails changes nothing here: the lines stay, the backlog grows, and in
//! the end admissions are refused.
//!
//! Must never run on a data thread: it reads files and waits for the ledger. Start at
//! [`Folder::recover`] and [`Folder::run`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lw_core::{Clock, UnixMicros};
use lw_store::StoreError;
use lw_store::ledger::{Entry, Ledger, Progress};

use crate::record::Record;
use crate::segment::Segment;
use crate::spool::{Shared, Spool};
use crate::stop::Stop;

/// Bytes folded in one transaction.
const BATCH_BYTES: u64 = 1 << 20;
/// A batch with less room than this is complete. No line is longer.
const LINE_BYTES: u64 = 256 << 10;
/// Deleted files whose progress the ledger is told to forget at once.
const FORGET_AT: usize = 64;
/// Longest wait between two attempts on a failing ledger.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Why nothing was folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// There is a folder for this spool already.
    #[error("the spool is already being folded")]
    Taken,
    /// The ledger could not be asked or written. Every line is kept.
    #[error("the ledger cannot be written")]
    Ledger(#[from] StoreError),
    /// A spool file could not be read. Its lines are kept.
    #[error("the spool file `{name}` cannot be read")]
    Unreadable {
        /// The segment.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What one or more batches did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoldReport {
    /// Records read.
    pub records: u64,
    /// Rows that the ledger did not have.
    pub rows: u64,
    /// Bytes folded.
    pub bytes: u64,
    /// Lines that could not be read, or not all of them.
    pub malformed: u64,
    /// Whether the batch was full: there is more to fold at once.
    pub more: bool,
}

/// What a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// What an earlier process left in the spool.
    pub folded: FoldReport,
    /// Admissions without an outcome, each charged at its hold.
    pub orphans: u64,
}

/// Folds one spool into one ledger. There is one per spool.
pub struct Folder {
    shared: Arc<Shared>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// Deleted files that the ledger still has a progress of.
    gone: Vec<String>,
    chunk: Vec<u8>,
    batch: Batch,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// What is read and not yet committed.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    reads: Vec<Read>,
    bytes: u64,
    malformed: u64,
    gaps: u64,
    more: bool,
}

struct Read {
    segment: Arc<Segment>,
    to: u64,
    expected: u64,
}

impl Folder {
    /// Takes up the work where the ledger says that it was left.
    ///
    /// # Errors
    /// There is a folder already, or the ledger could not be asked.
    pub fn new(
        spool: &Spool,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FoldError> {
        let shared = Arc::clone(spool.shared());
        if shared.has_folder.swap(true, Ordering::AcqRel) {
            return Err(FoldError::Taken);
        }
        let folder = Self {
            shared,
            ledger,
            clock,
            gone: Vec::new(),
            chunk: Vec::new(),
            batch: Batch::default(),
        };
        folder.restore()?;
        Ok(folder)
    }

    /// Sets every recovered file to where it was folded to, and forgets files that are gone.
    ///
    /// Only files that were there when the spool was opened can have been folded: a loss of power may
    /// have taken a file whose name is in use again, and its old progress must not hide new lines.
    fn restore(&self) -> Result<(), FoldError> {
        let segments = self.shared.segments();
        let mut stale = Vec::new();
        for Progress { file, offset } in self.ledger.progress()? {
            let found = segments
                .iter()
                .find(|s| s.recovered && s.key.name() == file);
            let Some(segment) = found else {
                stale.push(file);
                continue;
            };
            let offset = offset.min(segment.good());
            segment.set_folded(offset);
            segment.set_expected(0);
            self.shared.count_folded(offset, None);
        }
        if !stale.is_empty() {
            self.ledger.forget(&stale)?;
        }
        Ok(())
    }

    /// Folds everything that an earlier process left, then charges every admission without an outcome
    /// at its hold. Call it once, before anything is admitted; `now` is the start of this process.
    ///
    /// # Errors
    /// The ledger cannot be written: the process must not start serving.
    pub fn recover(&mut self, now: UnixMicros) -> Result<Recovery, FoldError> {
        let folded = self.drain()?;
        let orphans = self.ledger.charge_orphans(now)?;
        if orphans > 0 {
            tracing::warn!(
                orphans,
                "charged requests without an outcome at their holds"
            );
        }
        Ok(Recovery { folded, orphans })
    }

    /// Folds one batch.
    ///
    /// # Errors
    /// Nothing was folded and every line is kept; call again later.
    pub fn fold_once(&mut self) -> Result<FoldReport, FoldError> {
        let started = self.clock.now();
        let segments = self.shared.segments();
        self.batch.clear();
        let mut unreadable = None;
        for segment in &segments {
            if self.batch.bytes + LINE_BYTES > BATCH_BYTES {
                self.batch.more = true;
                break;
            }
            if let Err(source) = self.batch.read(segment, &mut self.chunk) {
                // One bad file must not keep the others.
                let name = segment.key.name();
                tracing::error!(error = %source, file = name, "a spool file cannot be read");
                unreadable = Some(FoldError::Unreadable { name, source });
            }
        }
        let report = self.commit(started)?;
        self.delete_folded(&segments);
        unreadable.map_or(Ok(report), Err)
    }

    /// Folds until nothing is left, outcomes that wait in memory included.
    ///
    /// # Errors
    /// As [`Self::fold_once`]; what was folded before stays folded.
    pub fn drain(&mut self) -> Result<FoldReport, FoldError> {
        if let Err(error) = self.shared.write_waiting() {
            tracing::error!(%error, "outcomes still wait for the spool to be writable");
        }
        let mut total = FoldReport::default();
        loop {
            let report = self.fold_once()?;
            total.records += report.records;
            total.rows += report.rows;
            total.bytes += report.bytes;
            total.malformed += report.malformed;
            if !report.more {
                break;
            }
        }
        self.forget_gone()?;
        Ok(total)
    }

    /// Folds every `interval` until `stop` rings. The caller drains afterwards, when the writers rest.
    pub fn run(&mut self, stop: &Stop, interval: Duration) {
        let mut backoff = None;
        while !stop.is_stopped() {
            let wait = match self.fold_once() {
                Ok(report) => {
                    if backoff.take().is_some() {
                        tracing::info!("the spool is being folded again");
                    }
                    if report.more {
                        continue;
                    }
                    interval
                }
                Err(error) => {
                    let next = backoff.map_or(interval, |last: Duration| last.saturating_mul(2));
                    let next = next.min(BACKOFF_MAX);
                    if backoff.replace(next).is_none() {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, cause, "spend is kept in the spool");
                    }
                    next
                }
            };
            if stop.wait(wait) {
                return;
            }
        }
    }

    fn commit(&mut self, started: UnixMicros) -> Result<FoldReport, FoldError> {
        let batch = &mut self.batch;
        if batch.reads.is_empty() {
            return Ok(FoldReport::default());
        }
        let progress: Vec<Progress> = batch
            .reads
            .iter()
            .map(|read| Progress {
                file: read.segment.key.name(),
                offset: read.to,
            })
            .collect();
        let rows = self.ledger.append(&batch.entries, &progress)?;
        let records = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        for Read {
            segment,
            to,
            expected,
        } in batch.reads.drain(..)
        {
            segment.set_folded(to);
            segment.set_expected(expected);
        }
        // A batch that was not full read everything that was there when it began.
        self.shared
            .count_folded(batch.bytes, (!batch.more).then_some(started));
        self.shared.folded.fetch_add(records, Ordering::Relaxed);
        self.shared
            .malformed
            .fetch_add(batch.malformed, Ordering::Relaxed);
        self.shared.gaps.fetch_add(batch.gaps, Ordering::Relaxed);
        batch.entries.clear();
        Ok(FoldReport {
            records,
            rows,
            bytes: batch.bytes,
            malformed: batch.malformed,
            more: batch.more,
        })
    }

    fn delete_folded(&mut self, segments: &[Arc<Segment>]) {
        for segment in segments {
            // The order matters: a file that is sealed has its final length.
            if !segment.is_sealed() || segment.folded() < segment.good() {
                continue;
            }
            match self.shared.remove(segment) {
                Ok(()) => self.gone.push(segment.key.name()),
                Err(error) => {
                    let file = segment.key.name();
                    tracing::warn!(%error, file, "a folded spool file cannot be deleted");
                }
            }
        }
        if self.gone.len() >= FORGET_AT
            && let Err(error) = self.forget_gone()
        {
            tracing::warn!(%error, "the ledger still has the progress of deleted spool files");
        }
    }

    fn forget_gone(&mut self) -> Result<(), FoldError> {
        if !self.gone.is_empty() {
            self.ledger.forget(&self.gone)?;
            self.gone.clear();
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.shared.has_folder.store(false, Ordering::Release);
    }
}

impl Batch {
    fn clear(&mut self) {
        let Self {
            entries,
            reads,
            bytes,
            malformed,
            gaps,
            more,
        } = self;
        entries.clear();
        reads.clear();
        (*bytes, *malformed, *gaps, *more) = (0, 0, 0, false);
    }

    /// Reads what `segment` has beyond its folded part, as far as the batch has room.
    fn read(&mut self, segment: &Arc<Segment>, chunk: &mut Vec<u8>) -> std::io::Result<()> {
        let (from, good) = (segment.folded(), segment.good());
        let wanted = good.saturating_sub(from);
        if wanted == 0 {
            return Ok(());
        }
        let length = wanted.min(BATCH_BYTES.saturating_sub(self.bytes));
        let size = usize::try_from(length).unwrap_or(0);
        if chunk.len() < size {
            chunk.resize(size, 0);
        }
        let mut rest = chunk.get_mut(..size).unwrap_or_default();
        segment.read_exact_at(rest, from)?;
        let mut used = 0;
        let mut expected = segment.expected();
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (line, after) = rest.split_at_mut(end);
            rest = after;
            let complete = line.ends_with(b"\n");
            if !complete && length < wanted && used > 0 {
                break;
            }
            let at = from.saturating_add(used);
            used = used.saturating_add(u64::try_from(line.len()).unwrap_or(0));
            match Record::parse(line) {
                Ok((record, seq)) => {
                    if expected != 0 && seq > expected {
                        self.gaps = self.gaps.saturating_add(seq - expected);
                    }
                    expected = seq.saturating_add(1);
                    if record.is_partly_malformed() {
                        let file = segment.key.name();
                        tracing::error!(file, at, "a spool line names budgets that cannot be read");
                        self.malformed += 1;
                    }
                    self.entries.push(record.into_entry());
                }
                Err(error) => {
                    let file = segment.key.name();
                    tracing::error!(%error, file, at, "skipped a spool line that cannot be read");
                    self.malformed += 1;
                    expected = if expected == 0 { 0 } else { expected + 1 };
                }
            }
        }
        self.bytes = self.bytes.saturating_add(used);
        self.more |= used < wanted;
        self.reads.push(Read {
            segment: Arc::clone(segment),
            to: from + used,
            expected,
        });
        Ok(())
    }
}
