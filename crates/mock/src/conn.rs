//! One connection: the socket wrapper that can cut, delay and kill, and the handle that says so.
//!
//! [`Wire`] sits between hyper and the transport (above TLS, so that a split is a split of what the
//! caller's HTTP parser reads). [`Handle`] is how the code that answers reaches it. Without a fault
//! the wrapper only forwards. Never decides anything by itself. Start at [`Handle`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::state::Shared;

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kill {
    /// Linger 0, so that the kernel sends RST.
    Reset,
    /// An ordinary close.
    Close,
}

/// Where the bytes of one answer are cut.
#[derive(Debug)]
pub(crate) struct Split {
    /// Offsets from the first byte of the head, ascending.
    at: Vec<u64>,
    /// Or every so many bytes.
    every: Option<u64>,
    gap: Duration,
    position: u64,
}

impl Split {
    pub(crate) fn new(mut at: Vec<u64>, every: Option<u64>, gap: Duration) -> Self {
        at.sort_unstable();
        Self {
            at,
            every,
            gap,
            position: 0,
        }
    }

    /// Bytes that may go out before the next cut.
    fn room(&self) -> usize {
        let listed = self
            .at
            .iter()
            .find(|cut| **cut > self.position)
            .map(|cut| cut - self.position);
        let regular = self.every.map(|every| every - self.position % every);
        let room = listed.into_iter().chain(regular).min();
        room.map_or(usize::MAX, |room| {
            usize::try_from(room).unwrap_or(usize::MAX)
        })
    }

    /// Whether this many more bytes end at a cut.
    fn advance(&mut self, bytes: usize) -> bool {
        let cut = bytes == self.room();
        self.position += u64::try_from(bytes).unwrap_or(u64::MAX);
        cut
    }
}

/// What the answering code may ask of its connection.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    pub(crate) is_h2: bool,
    /// Something below needs attention.
    armed: AtomicBool,
    orders: Mutex<Orders>,
}

#[derive(Default)]
struct Orders {
    kill: Option<Kill>,
    split: Option<Split>,
    /// Answers given to hyper in full and not yet known to be flushed: their number in the truth.
    unflushed: Vec<Option<u64>>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, is_h2: bool) -> Arc<Self> {
        shared
            .counts
            .open_connections
            .fetch_add(1, Ordering::Relaxed);
        shared.counts.connections.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            shared,
            is_h2,
            armed: AtomicBool::new(false),
            orders: Mutex::default(),
        })
    }

    /// End the connection once everything written so far is flushed (or at once, when it drops).
    pub(crate) fn kill(&self, kill: Kill) {
        self.orders.lock().kill = Some(kill);
        self.armed.store(true, Ordering::Release);
    }

    /// Cut the next answer.
    pub(crate) fn split(&self, split: Split) {
        self.orders.lock().split = Some(split);
        self.armed.store(true, Ordering::Release);
    }

    /// An answer is complete on our side; it counts as a disconnect if it is never flushed.
    pub(crate) fn flush_pending(&self, truth_seq: Option<u64>) {
        self.orders.lock().unflushed.push(truth_seq);
        self.armed.store(true, Ordering::Release);
    }

    fn flushed(&self) -> io::Result<()> {
        if !self.armed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut orders = self.orders.lock();
        if !orders.unflushed.is_empty() {
            orders.unflushed.clear();
            orders.split = None;
        }
        if orders.kill.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.armed.store(orders.split.is_some(), Ordering::Release);
        Ok(())
    }

    /// The socket goes away. True when it shall go with a RST.
    fn dropped(&self) -> bool {
        let (reset, unflushed) = {
            let mut orders = self.orders.lock();
            (
                orders.kill == Some(Kill::Reset),
                std::mem::take(&mut orders.unflushed),
            )
        };
        let by_caller = !self.shared.stopping.load(Ordering::Acquire);
        for truth_seq in unflushed {
            let completed = &self.shared.counts.completed;
            // Fails only at zero, right after a reset.
            let _ =
                completed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if let Some(seq) = truth_seq {
                self.shared.records.update(seq, |truth| {
                    truth.completed = false;
                    truth.disconnected = by_caller;
                });
            }
            let disconnects = &self.shared.counts.disconnects;
            disconnects.fetch_add(u64::from(by_caller), Ordering::Release);
        }
        self.shared
            .counts
            .open_connections
            .fetch_sub(1, Ordering::Relaxed);
        reset
    }
}

/// A transport that knows its socket.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The transport as hyper sees it.
pub(crate) struct Wire<T: Transport> {
    transport: T,
    handle: Arc<Handle>,
    pause: Option<Pin<Box<Sleep>>>,
    yielding: bool,
}

impl<T: Transport> Wire<T> {
    pub(crate) fn new(transport: T, handle: Arc<Handle>) -> Self {
        Self {
            transport,
            handle,
            pause: None,
            yielding: false,
        }
    }

    /// Bytes that may be written now; waits out the pause after a cut.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if std::mem::take(&mut self.yielding) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let orders = self.handle.orders.lock();
        Poll::Ready(orders.split.as_ref().map_or(usize::MAX, Split::room))
    }

    fn wrote(&mut self, bytes: usize, cx: &mut Context<'_>) -> io::Result<()> {
        let gap = {
            let mut orders = self.handle.orders.lock();
            let Some(split) = orders.split.as_mut() else {
                return Ok(());
            };
            if !split.advance(bytes) {
                return Ok(());
            }
            split.gap
        };
        if gap.is_zero() {
            self.yielding = true;
        } else {
            self.pause = Some(Box::pin(sleep(gap)));
        }
        match Pin::new(&mut self.transport).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl<T: Transport> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl<T: Transport> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.handle.armed.load(Ordering::Acquire) {
            return Pin::new(&mut self.transport).poll_write(cx, buf);
        }
        let room = ready!(self.poll_room(cx));
        let buf = buf.get(..room).unwrap_or(buf);
        let bytes = ready!(Pin::new(&mut self.transport).poll_write(cx, buf))?;
        self.wrote(bytes, cx)?;
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.handle.armed.load(Ordering::Acquire) {
            return Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        }
        let whole =
            self.pause.is_none() && !self.yielding && self.handle.orders.lock().split.is_none();
        if whole {
            return Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        }
        let first = bufs
            .iter()
            .find(|buf| !buf.is_empty())
            .map_or(&[][..], |buf| buf);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        Poll::Ready(self.handle.flushed())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl<T: Transport> Drop for Wire<T> {
    fn drop(&mut self) {
        if self.handle.dropped() {
            let socket = socket2::SockRef::from(self.transport.tcp());
            // Nothing can be done about a socket that refuses: it is closed next either way.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Split;
    use std::time::Duration;

    #[test]
    fn a_split_names_every_cut_once() {
        let mut split = Split::new(vec![7, 3, 3], Some(5), Duration::ZERO);
        let mut pieces = Vec::new();
        for _ in 0..5 {
            let room = split.room();
            assert!(split.advance(room));
            pieces.push(room);
        }
        assert_eq!(pieces, [3, 2, 2, 3, 5]);
    }
}
