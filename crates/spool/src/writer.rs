//! The data thread's end of the spool.
//!
//! One writer, one file, one data thread: an append takes no lock and waits for nobody. The rare things
//! that do take one are the change of file at 1 MiB and an outcome that cannot be written.
//!
//! Start at [`SpoolWriter::append_admission`].

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use lw_core::UnixMicros;

use crate::record::{Admission, Outcome};
use crate::segment::{Key, SEGMENT_BYTES, Segment, WriteFailure};
use crate::spool::{Idle, Shared, SpoolError};

/// What became of an outcome. Neither is a reason to fail the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the file.
    Spooled,
    /// The file could not be written; it waits in memory and is tried again by [`crate::Spool::sync`].
    Waiting,
}

/// Appends the records of one data thread. `Send`, but not `Sync`: each thread has its own.
#[derive(Debug)]
pub struct SpoolWriter {
    pod: Pod,
    buffer: Vec<u8>,
    not_sync: PhantomData<Cell<()>>,
}

impl SpoolWriter {
    pub(crate) fn new(pod: Pod) -> Self {
        Self {
            pod,
            buffer: Vec::with_capacity(4_096),
            not_sync: PhantomData,
        }
    }

    /// Writes an admission. When this returns `Ok`, it survives the death of the process.
    ///
    /// # Errors
    /// The spool is full or cannot be written: nothing was recorded and the request must be refused
    /// (503). Fails closed.
    pub fn append_admission(&mut self, admission: &Admission<'_>) -> Result<(), SpoolError> {
        self.pod.shared.check_open()?;
        self.buffer.clear();
        admission.encode(&mut self.buffer)?;
        self.pod.end_line(&mut self.buffer, 0);
        self.pod
            .append(&self.buffer, 1, admission.who.admitted_at)
            .map_err(SpoolError::Unwritable)
    }

    /// Writes the outcome of an admitted attempt. It is always taken, also by a full spool.
    ///
    /// # Errors
    /// The record cannot be encoded, which is a bug: the admission stands and will be charged at its
    /// hold.
    pub fn append_outcome(&mut self, outcome: &Outcome<'_>) -> Result<Taken, SpoolError> {
        self.buffer.clear();
        outcome.encode(&mut self.buffer)?;
        let payload = self.buffer.len();
        self.pod.end_line(&mut self.buffer, 0);
        if self.pod.append(&self.buffer, 1, outcome.at).is_ok() {
            return Ok(Taken::Spooled);
        }
        self.buffer.truncate(payload);
        self.pod
            .shared
            .keep_waiting(self.buffer.clone(), outcome.at);
        Ok(Taken::Waiting)
    }

    /// Writes both records of a request that the gateway itself refuses, in one write.
    ///
    /// # Errors
    /// As [`Self::append_admission`]: neither was recorded.
    pub fn append_refused(
        &mut self,
        admission: &Admission<'_>,
        outcome: &Outcome<'_>,
    ) -> Result<(), SpoolError> {
        self.pod.shared.check_open()?;
        self.buffer.clear();
        admission.encode(&mut self.buffer)?;
        self.pod.end_line(&mut self.buffer, 0);
        outcome.encode(&mut self.buffer)?;
        self.pod.end_line(&mut self.buffer, 1);
        self.pod
            .append(&self.buffer, 2, outcome.at)
            .map_err(SpoolError::Unwritable)
    }

    #[cfg(test)]
    pub(crate) fn segment(&self) -> &Segment {
        &self.pod.segment
    }
}

/// One sequence of numbered lines and the file that it is being written to.
#[derive(Debug)]
pub(crate) struct Pod {
    shared: Arc<Shared>,
    id: Arc<str>,
    /// What stands between a payload and the line's number.
    suffix: String,
    next_seq: u64,
    segment: Arc<Segment>,
    /// The file may end in half a line: nothing is written until there is a new one.
    torn: bool,
}

impl Pod {
    /// Goes on where the sequence `id` was left, by this process or by an earlier one.
    pub(crate) fn open(shared: &Arc<Shared>, id: &str) -> Result<Self, SpoolError> {
        let Idle {
            segment,
            next_seq,
            torn,
        } = shared.take_pod(id)?;
        Ok(Self {
            shared: Arc::clone(shared),
            id: Arc::clone(&segment.key.pod),
            suffix: format!(",\"pod_id\":\"{id}\",\"pod_seq\":"),
            next_seq,
            segment,
            torn,
        })
    }

    /// Ends the line whose payload `out` ends with; `ahead` lines come before it in the same write.
    pub(crate) fn end_line(&self, out: &mut Vec<u8>, ahead: u64) {
        out.extend_from_slice(self.suffix.as_bytes());
        let mut digits = [b'0'; 20];
        let mut rest = self.next_seq.saturating_add(ahead);
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            (rest, used) = (rest / 10, used + 1);
            if rest == 0 {
                break;
            }
        }
        out.extend(digits.iter().skip(digits.len() - used));
        out.extend_from_slice(b"}\n");
    }

    /// Appends complete lines: all of them or none.
    pub(crate) fn append(&mut self, lines: &[u8], count: u64, at: UnixMicros) -> io::Result<()> {
        let bytes = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let good = self.segment.good();
        if self.torn {
            self.next_file()?;
        } else if good > 0 && good.saturating_add(bytes) > SEGMENT_BYTES {
            // Without a new file the old one simply grows; the next append tries again.
            if let Err(error) = self.next_file() {
                self.shared.count_write_error();
                tracing::debug!(%error, pod = %self.id, "no new spool file, the old one is kept");
            }
        }
        match self.segment.write(lines) {
            Ok(()) => {
                self.next_seq = self.next_seq.saturating_add(count);
                self.shared.count_appended(bytes, count, at);
                self.segment.publish(bytes);
                Ok(())
            }
            Err(failure) => {
                self.shared.count_write_error();
                match failure {
                    WriteFailure::RolledBack(error) => Err(error),
                    WriteFailure::Torn(error) => {
                        self.torn = true;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Seals the file and goes on in a new one.
    fn next_file(&mut self) -> io::Result<()> {
        // What is left of a torn write may contain a complete line with the next number.
        let number = self.next_seq.saturating_add(if self.torn { 2 } else { 0 });
        let segment = self.shared.create_segment(Key {
            pod: Arc::clone(&self.id),
            number,
        })?;
        self.shared.seal(&self.segment);
        self.segment = segment;
        self.next_seq = number;
        self.torn = false;
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let Self {
            segment,
            next_seq,
            torn,
            ..
        } = self;
        let idle = Idle {
            segment: Arc::clone(segment),
            next_seq: *next_seq,
            torn: *torn,
        };
        self.shared.give_back(idle);
    }
}
