//! What one accepted connection is doing, so that a head that never ends can be cut off.
//!
//! hyper's own limit on reading a head also runs while a connection rests between two requests. Callers
//! keep connections for much longer than a head may take, so the two are told apart here: bytes that
//! arrive while no request is being answered begin a head, and the request's arrival ends it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a caller may take for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests.
const REST_LIMIT: Duration = Duration::from_secs(300);
/// How long a caller may take nothing of an answer that waits for it.
const STALL_LIMIT: Duration = Duration::from_secs(600);

/// One connection's state.
#[derive(Debug)]
pub(crate) struct ConnState {
    epoch: Instant,
    /// Milliseconds since `epoch` at which the present phase began.
    since: AtomicU64,
    /// A head has begun and has not ended. Only on HTTP/1: frames of HTTP/2 come at any time.
    in_head: AtomicBool,
    /// The caller speaks HTTP/2.
    http2: AtomicBool,
    /// Requests being answered.
    requests: AtomicUsize,
    /// Milliseconds since `epoch` at which a write began to wait for the caller; 0: none waits.
    stalled: AtomicU64,
    /// What the connection's task has to do besides serving.
    order: AtomicU8,
    /// Wakes that task when there is an order.
    task: AtomicWaker,
}

/// What a connection's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Answer what has arrived and end.
    Finish,
    /// End at once.
    Cut,
}

/// A request being answered. Dropping it means that its answer is over, or that nobody wants it.
#[derive(Debug)]
pub(crate) struct Answering(Arc<ConnState>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnState {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// A request arrived: its head is complete.
    pub(crate) fn arrived(self: &Arc<Self>, http2: bool) -> Answering {
        self.http2.store(http2, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// The order that stands. Called by the connection's task each time it has nothing else to do; it is
    /// woken when the order changes.
    pub(crate) fn order(&self, cx: &Context<'_>) -> Order {
        self.task.register(cx.waker());
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Cut,
        }
    }

    fn tell(&self, order: Order) {
        let number = match order {
            Order::Serve => 0,
            Order::Finish => 1,
            Order::Cut => 2,
        };
        self.order.fetch_max(number, Ordering::AcqRel);
        self.task.wake();
    }

    fn read(&self) {
        if self.http2.load(Ordering::Relaxed) || self.requests.load(Ordering::Relaxed) > 0 {
            return;
        }
        if !self.in_head.swap(true, Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wrote(&self, waits: bool) {
        if !waits {
            self.stalled.store(0, Ordering::Relaxed);
        } else if self.stalled.load(Ordering::Relaxed) == 0 {
            self.stalled.store(self.now(), Ordering::Relaxed);
        }
    }

    fn is_overdue(&self) -> bool {
        let passed = |since: u64| Duration::from_millis(self.now().saturating_sub(since));
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled != 0 && passed(stalled) > STALL_LIMIT {
            return true;
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let in_head = self.in_head.load(Ordering::Relaxed);
        passed(self.since.load(Ordering::Relaxed)) > if in_head { HEAD_LIMIT } else { REST_LIMIT }
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
            // The first head is due at once; later ones may rest before they begin.
            in_head: AtomicBool::new(true),
            http2: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            stalled: AtomicU64::new(0),
            order: AtomicU8::new(0),
            task: AtomicWaker::new(),
        });
        state.since.store(state.now(), Ordering::Relaxed);
        self.open.lock().push(Arc::downgrade(&state));
        state
    }

    /// Lets every connection answer what has arrived and end.
    pub(crate) fn finish(&self) {
        for state in self.open.lock().iter().filter_map(Weak::upgrade) {
            state.tell(Order::Finish);
        }
    }

    /// Ends connections whose head or rest takes too long. Called every second.
    pub(crate) fn sweep(&self) {
        self.open.lock().retain(|weak| {
            let Some(state) = weak.upgrade() else {
                return false;
            };
            if state.is_overdue() {
                state.tell(Order::Cut);
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
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.state.wrote(polled.is_pending());
        polled
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
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.state.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_seconds_and_a_rest_has_minutes() {
        let connections = Connections::new();
        let state = connections.add();
        after(9).await;
        assert!(!state.is_overdue(), "still within the head's limit");
        state.read();
        after(2).await;
        assert!(state.is_overdue(), "a head that trickles");
        let answering = state.arrived(false);
        after(3_600).await;
        assert!(!state.is_overdue(), "a request may take long");
        drop(answering);
        after(299).await;
        assert!(!state.is_overdue(), "resting");
        state.read();
        after(11).await;
        assert!(state.is_overdue(), "the next head trickles");
        drop(state);
        connections.sweep();
        assert!(connections.open.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_one_http2_connection_do_not_end_each_other() {
        let connections = Connections::new();
        let state = connections.add();
        let (short, long) = (state.arrived(true), state.arrived(true));
        drop(short);
        state.read();
        after(60).await;
        assert!(!state.is_overdue(), "the long stream is open");
        drop(long);
        state.read();
        after(60).await;
        assert!(!state.is_overdue(), "a ping begins no head");
        after(300).await;
        assert!(state.is_overdue(), "rested too long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_is_cut_in_the_end() {
        let connections = Connections::new();
        let state = connections.add();
        let _answering = state.arrived(false);
        state.wrote(true);
        after(500).await;
        state.wrote(false);
        state.wrote(true);
        after(500).await;
        assert!(!state.is_overdue(), "it took something in between");
        after(101).await;
        assert!(state.is_overdue());
    }
}
