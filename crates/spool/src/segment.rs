//! One spool file: who may read how much of it, and how a failed write is taken back.
//!
//! The writer publishes the length up to which the file holds complete lines; nobody reads beyond it.
//! That is what makes it safe to cut off a write that failed half-way while the folder is reading.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A segment is sealed when the next line would make it longer than this.
pub(crate) const SEGMENT_BYTES: u64 = 1 << 20;

const ACTIVE: &str = "active-";
const SEALED: &str = "seg-";
const EXTENSION: &str = ".ndjson";
const DIGITS: usize = 20;

/// What a segment is called wherever its state does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Its writer.
    pub(crate) pod: Arc<str>,
    /// The `pod_seq` of its first line.
    pub(crate) number: u64,
}

impl Key {
    /// The name that the ledger keeps the progress under; it survives the renaming at the seal.
    pub(crate) fn name(&self) -> String {
        format!("{}-{:020}", self.pod, self.number)
    }

    pub(crate) fn active_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{ACTIVE}{}{EXTENSION}", self.name()))
    }

    pub(crate) fn sealed_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{SEALED}{}{EXTENSION}", self.name()))
    }

    /// Reads a file name; `None` when the file is not a segment.
    pub(crate) fn parse(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_suffix(EXTENSION)?;
        let name = stem
            .strip_prefix(ACTIVE)
            .or_else(|| stem.strip_prefix(SEALED))?;
        let (pod, digits) = name.rsplit_once('-')?;
        let fine = !pod.is_empty()
            && digits.len() == DIGITS
            && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !fine {
            return None;
        }
        Some(Self {
            pod: Arc::from(pod),
            number: digits.parse().ok()?,
        })
    }
}

/// Why a line is not in the file.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// Nothing of it is there.
    RolledBack(io::Error),
    /// A part of it may be there: the file must not be written again.
    Torn(io::Error),
}

/// One file of the spool.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) key: Key,
    /// Whether an earlier process left it.
    pub(crate) recovered: bool,
    file: File,
    /// Bytes that are complete lines. Only the writer stores.
    good: AtomicU64,
    /// Set after the last store to `good`.
    sealed: AtomicBool,
    /// Whether there are bytes that no fdatasync has covered.
    dirty: AtomicBool,
    /// Bytes whose rows the ledger has. Only the folder stores.
    folded: AtomicU64,
    /// The `pod_seq` that the folder expects next; 0 when it cannot know. Only the folder stores.
    expected: AtomicU64,
    #[cfg(test)]
    pub(crate) fault: Fault,
}

/// Makes the next writes fail, as a full disk would.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Fault {
    /// Bytes that still fit; `u64::MAX` + 1 is spelled as `armed == false`.
    pub(crate) armed: AtomicBool,
    pub(crate) room: AtomicU64,
    pub(crate) no_rollback: AtomicBool,
}

impl Segment {
    /// Creates (or, when it is an empty marker, reuses) the file that a pod writes to.
    pub(crate) fn create(dir: &Path, key: Key) -> io::Result<Self> {
        let file = options().create(true).open(key.active_path(dir))?;
        if file.metadata()?.len() != 0 {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let number = key.number;
        Ok(Self {
            key,
            recovered: false,
            file,
            good: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            folded: AtomicU64::new(0),
            expected: AtomicU64::new(number),
            #[cfg(test)]
            fault: Fault::default(),
        })
    }

    /// Opens a file that an earlier process left, and cuts off a torn last line.
    /// Returns it with its number of lines and whether there was such a line.
    pub(crate) fn recover(path: &Path, key: Key) -> io::Result<(Self, u64, bool)> {
        let file = options().open(path)?;
        let length = file.metadata()?.len();
        let (mut good, mut lines, mut offset) = (0, 0, 0);
        let mut buffer = vec![0; 64 * 1024];
        while offset < length {
            let read = file.read_at(&mut buffer, offset)?;
            if read == 0 {
                break;
            }
            for (place, byte) in (offset + 1..).zip(buffer.iter().take(read)) {
                if *byte == b'\n' {
                    (good, lines) = (place, lines + 1);
                }
            }
            offset += u64::try_from(read).unwrap_or(0);
        }
        let torn = good < length;
        if torn {
            file.set_len(good)?;
        }
        let number = key.number;
        let segment = Self {
            key,
            recovered: true,
            file,
            good: AtomicU64::new(good),
            sealed: AtomicBool::new(true),
            dirty: AtomicBool::new(torn),
            folded: AtomicU64::new(0),
            expected: AtomicU64::new(number),
            #[cfg(test)]
            fault: Fault::default(),
        };
        Ok((segment, lines, torn))
    }

    /// Appends complete lines with one `write(2)`. The caller is the only writer.
    pub(crate) fn write(&self, lines: &[u8]) -> Result<(), WriteFailure> {
        let Err(error) = self.write_all(lines) else {
            return Ok(());
        };
        match self.roll_back() {
            Ok(()) => Err(WriteFailure::RolledBack(error)),
            Err(_) => Err(WriteFailure::Torn(error)),
        }
    }

    /// Lets readers see `bytes` more. Call after the backlog was told about them.
    pub(crate) fn publish(&self, bytes: u64) {
        let good = self.good.load(Ordering::Relaxed);
        self.good
            .store(good.saturating_add(bytes), Ordering::Release);
        self.dirty.store(true, Ordering::Release);
    }

    /// Bytes that are complete lines.
    pub(crate) fn good(&self) -> u64 {
        self.good.load(Ordering::Acquire)
    }

    /// No line will be added any more.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Whether no line will be added; ask before [`Self::good`].
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Acquire)
    }

    pub(crate) fn set_folded(&self, offset: u64) {
        self.folded.store(offset, Ordering::Release);
    }

    pub(crate) fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_expected(&self, seq: u64) {
        self.expected.store(seq, Ordering::Relaxed);
    }

    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Makes what was written durable; does nothing when it already is.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.file
            .sync_data()
            .inspect_err(|_| self.dirty.store(true, Ordering::Release))
    }

    #[cfg(not(test))]
    fn write_all(&self, lines: &[u8]) -> io::Result<()> {
        (&self.file).write_all(lines)
    }

    #[cfg(not(test))]
    fn roll_back(&self) -> io::Result<()> {
        self.file.set_len(self.good.load(Ordering::Relaxed))
    }

    #[cfg(test)]
    fn write_all(&self, lines: &[u8]) -> io::Result<()> {
        if !self.fault.armed.load(Ordering::SeqCst) {
            return (&self.file).write_all(lines);
        }
        let room = usize::try_from(self.fault.room.load(Ordering::SeqCst)).unwrap_or(usize::MAX);
        (&self.file).write_all(&lines[..room.min(lines.len())])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    #[cfg(test)]
    fn roll_back(&self) -> io::Result<()> {
        if self.fault.no_rollback.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::Other));
        }
        self.file.set_len(self.good.load(Ordering::Relaxed))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}
