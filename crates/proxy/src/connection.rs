//! What one accepted connection is doing, so that a head that never ends can be cut off.
//!
//! hyper's own limit on reading a head also runs while a connection rests between two requests. Callers
//! keep connections for much longer than a head may take, so the two are told apart here: bytes that
//! arrive while no request is being answered begin a head, and the request's arrival ends it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a caller may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests.
const REST_LIMIT: Duration = Duration::from_secs(300);

/// One connection's state.
#[derive(Debug)]
pub(crate) struct ConnState {
    epoch: Instant,
    /// Milliseconds since `epoch` at which the present phase began.
    since: AtomicU64,
    /// A head has begun and has not ended.
    in_head: AtomicBool,
    /// A request is being answered.
    in_request: AtomicBool,
    /// Tells the connection's task to end it.
    pub(crate) cut: Notify,
}

impl ConnState {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A request arrived: its head is complete.
    pub(crate) fn arrived(&self) {
        self.in_request.store(true, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
    }

    /// The answer is over.
    pub(crate) fn answered(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.in_request.store(false, Ordering::Relaxed);
    }

    fn read(&self) {
        if !self.in_request.load(Ordering::Relaxed) && !self.in_head.swap(true, Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn is_overdue(&self) -> bool {
        if self.in_request.load(Ordering::Relaxed) {
            return false;
        }
        let limit = if self.in_head.load(Ordering::Relaxed) {
            HEAD_LIMIT
        } else {
            REST_LIMIT
        };
        let passed = self
            .now()
            .saturating_sub(self.since.load(Ordering::Relaxed));
        u128::from(passed) > limit.as_millis()
    }
}

/// The connections of one data thread.
#[derive(Debug)]
pub(crate) struct Connections {
    epoch: Instant,
    open: Mutex<Vec<Weak<ConnState>>>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            open: Mutex::default(),
        }
    }

    pub(crate) fn add(&self) -> Arc<ConnState> {
        let state = Arc::new(ConnState {
            epoch: self.epoch,
            since: AtomicU64::new(0),
            in_head: AtomicBool::new(false),
            in_request: AtomicBool::new(false),
            cut: Notify::new(),
        });
        state.since.store(state.now(), Ordering::Relaxed);
        self.open.lock().push(Arc::downgrade(&state));
        state
    }

    /// Ends connections whose head or rest takes too long. Called every second.
    pub(crate) fn sweep(&self) {
        self.open.lock().retain(|weak| {
            let Some(state) = weak.upgrade() else {
                return false;
            };
            if state.is_overdue() {
                state.cut.notify_one();
            }
            true
        });
    }
}

/// A caller's socket that tells its state when bytes arrive.
pub(crate) struct CallerIo {
    pub(crate) tcp: TcpStream,
    pub(crate) state: Arc<ConnState>,
}

impl AsyncRead for CallerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.state.read();
        }
        polled
    }
}

impl AsyncWrite for CallerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_has_seconds_and_a_rest_has_minutes() {
        let connections = Connections::new();
        let state = connections.add();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!state.is_overdue(), "resting");
        state.read();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!state.is_overdue(), "still within the head's limit");
        state.read();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(state.is_overdue(), "a head that trickles");
        state.arrived();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(!state.is_overdue(), "a request may take long");
        state.answered();
        tokio::time::advance(Duration::from_secs(301)).await;
        assert!(state.is_overdue(), "rested too long");
        drop(state);
        connections.sweep();
        assert!(connections.open.lock().is_empty());
    }
}
