//! The response body: frames at a pace, an ending that may be a fault, and the account of it.
//!
//! [`Account`] writes the truth. Whatever ends an answer, it is settled once: the last frame, a
//! fault of our own, or a drop, which is the caller hanging up. Start at [`MockBody`].

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::clock::now_ms;
use crate::conn::{Handle, Kill};
use crate::record::{Truth, hex};
use crate::state::Shared;

/// How long an HTTP/2 stream waits for its frames to leave before it is reset.
const H2_FLUSH: Duration = Duration::from_millis(20);

/// Bytes handed to hyper in one go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// Stream frames in them.
    pub(crate) frames: u64,
    pub(crate) text_bytes: u64,
    pub(crate) words: u64,
    /// The final usage is in them.
    pub(crate) usage: bool,
}

/// What follows the last chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Done,
    Kill(Kill),
    Stall,
}

/// A body for hyper.
pub(crate) struct MockBody {
    chunks: VecDeque<Chunk>,
    ending: Ending,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    known_len: Option<u64>,
    waited: bool,
    handle: Arc<Handle>,
    account: Option<Account>,
}

impl MockBody {
    pub(crate) fn new(
        chunks: VecDeque<Chunk>,
        ending: Ending,
        gap: Duration,
        handle: Arc<Handle>,
        account: Option<Account>,
    ) -> Self {
        Self {
            chunks,
            ending,
            gap,
            pause: None,
            known_len: None,
            waited: false,
            handle,
            account,
        }
    }

    /// One piece of known length.
    pub(crate) fn whole(bytes: impl Into<Bytes>, handle: Arc<Handle>) -> Self {
        let chunk = Chunk {
            bytes: bytes.into(),
            ..Chunk::default()
        };
        let len = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let chunks = VecDeque::from([chunk]);
        Self::new(chunks, Ending::Done, Duration::ZERO, handle, None).with_len(len)
    }

    /// Announce this length (as `Content-Length`).
    pub(crate) fn with_len(mut self, len: u64) -> Self {
        self.known_len = Some(len);
        self
    }

    /// Settles an answer without a body, which nobody polls.
    pub(crate) fn settle_if_empty(mut self) -> Self {
        if self.is_over() {
            self.settle(true);
        }
        self
    }

    fn is_over(&self) -> bool {
        self.chunks.is_empty() && self.ending == Ending::Done
    }

    fn settle(&mut self, completed: bool) {
        if let Some(account) = &mut self.account {
            account.settle(completed);
        }
    }
}

impl http_body::Body for MockBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if let Some(chunk) = self.chunks.pop_front() {
            if let Some(account) = &mut self.account {
                account.handed_out(&chunk);
            }
            // hyper stops asking once a known length is reached, so the last chunk settles.
            if self.is_over() {
                self.settle(true);
            } else if !self.gap.is_zero() && !self.chunks.is_empty() {
                self.pause = Some(Box::pin(sleep(self.gap)));
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk.bytes))));
        }
        match self.ending {
            Ending::Done => Poll::Ready(None),
            Ending::Stall => Poll::Pending,
            Ending::Kill(kill) => {
                self.settle(false);
                if self.handle.is_h2 {
                    // A stream reset overtakes frames that h2 still holds.
                    if !std::mem::replace(&mut self.waited, true) {
                        let pause = self.pause.insert(Box::pin(sleep(H2_FLUSH)));
                        ready!(pause.as_mut().poll(cx));
                    }
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
                }
                // hyper flushes when a body has nothing to give; the wire acts after that.
                self.handle.kill(kill);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.known_len
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The books of one generation.
pub(crate) struct Account {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    /// Its number in the truth, if there is a record.
    seq: Option<u64>,
    sums: Chunk,
    bytes: u64,
    digest: Option<ring::digest::Context>,
    settled: bool,
}

impl Account {
    /// Opens the books. `truth` is `None` when nothing is recorded.
    pub(crate) fn open(shared: &Arc<Shared>, handle: &Arc<Handle>, truth: Option<Truth>) -> Self {
        shared.counts.generations.fetch_add(1, Ordering::Relaxed);
        let seq = truth.map(|truth| shared.records.began(truth));
        Self {
            shared: Arc::clone(shared),
            handle: Arc::clone(handle),
            seq,
            sums: Chunk::default(),
            bytes: 0,
            digest: seq.map(|_| ring::digest::Context::new(&ring::digest::SHA256)),
            settled: false,
        }
    }

    /// Adds what is known once the answer is made.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Truth)) {
        if let Some(seq) = self.seq {
            self.shared.records.update(seq, change);
        }
    }

    fn handed_out(&mut self, chunk: &Chunk) {
        self.bytes += u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        self.sums.frames += chunk.frames;
        self.sums.text_bytes += chunk.text_bytes;
        self.sums.words += chunk.words;
        self.sums.usage |= chunk.usage;
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk.bytes);
        }
    }

    /// Ends the answer by our own will: `completed`, or cut short by a fault.
    pub(crate) fn settle(&mut self, completed: bool) {
        self.close(completed, false);
    }

    fn close(&mut self, completed: bool, disconnected: bool) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let counts = &self.shared.counts;
        counts.bytes_sent.fetch_add(self.bytes, Ordering::Relaxed);
        if let Some(seq) = self.seq {
            let digest = self.digest.take().map(ring::digest::Context::finish);
            let Chunk {
                bytes: _,
                frames,
                text_bytes,
                words,
                usage,
            } = self.sums;
            self.shared.records.update(seq, |truth| {
                truth.frames_sent = frames;
                truth.delivered_text_bytes = text_bytes;
                truth.delivered_tokens = words;
                truth.usage_reported = usage;
                truth.bytes_sent = self.bytes;
                truth.completed = completed;
                truth.disconnected = disconnected;
                truth.body_sha256 = digest.map_or_else(String::new, |digest| hex(digest.as_ref()));
                truth.finished_at = Some(now_ms());
            });
        }
        // Behind the record: who sees the count finds the record complete.
        if disconnected {
            counts.disconnects.fetch_add(1, Ordering::Release);
        }
        if completed {
            counts.completed.fetch_add(1, Ordering::Relaxed);
            self.handle.flush_pending(self.seq);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close(false, !self.shared.stopping.load(Ordering::Acquire));
    }
}
