//! Data threads: listeners, connections, and the way to a stop.
//!
//! Each data thread runs its own single-threaded event loop on its own listening socket
//! (`SO_REUSEPORT`), with its own connections to providers and its own spool file: nothing on the way of
//! a request is shared between threads but immutable values, the key cache and counters. Nothing else
//! runs on these threads. Start at [`DataPlane::start`].

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use lw_spool::SpoolWriter;
use lw_upstream::Pool;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::access;
use crate::connection::{CallerIo, Connections, Order};
use crate::edge::handle;
use crate::worker::{Gateway, Worker};

/// Connections that wait to be accepted, on each data thread.
const BACKLOG: i32 = 1_024;
/// How often connections are looked after.
const SWEEP: Duration = Duration::from_secs(1);

/// How far the way to a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// No new connections; requests in flight go on.
    Finishing,
    /// Whatever is left is cut.
    Cut,
}

/// The running data plane.
pub struct DataPlane {
    gateway: Arc<Gateway>,
    addr: SocketAddr,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
}

impl DataPlane {
    /// Binds the listeners and starts the data threads, one for each of `writers`.
    ///
    /// # Errors
    /// The address is taken or cannot be bound, or a thread could not be started.
    pub fn start(gateway: Arc<Gateway>, writers: Vec<SpoolWriter>) -> io::Result<Self> {
        let mut addr = gateway.settings.addr;
        // Sharing a port on purpose must not hide that another program has it.
        if addr.port() != 0 {
            drop(bind(addr, false)?);
        }
        let (phase, watch) = watch::channel(Phase::Serving);
        let mut threads = Vec::with_capacity(writers.len());
        for (index, writer) in writers.into_iter().enumerate() {
            let listener = bind(addr, true)?;
            addr = listener.local_addr()?;
            let pool = Pool::new(gateway.guard.clone(), gateway.tls.clone());
            let (clock, tls) = (gateway.clock.clone(), gateway.tls.clone());
            let worker = Arc::new(Worker {
                outside: access::outside(clock, tls, pool.clone()),
                pool,
                gateway: gateway.clone(),
                index,
                spool: Mutex::new(writer),
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .thread_name("blocking")
                .max_blocking_threads(16)
                .build()?;
            let watch = watch.clone();
            let thread = std::thread::Builder::new()
                .name(format!("data-{index}"))
                .spawn(move || {
                    runtime.block_on(run(worker, listener, watch));
                    // Streams that were cut end here; a lookup that hangs must not hold the stop.
                    runtime.shutdown_timeout(Duration::from_millis(100));
                })?;
            threads.push(thread);
        }
        Ok(Self {
            gateway,
            addr,
            phase,
            threads,
        })
    }

    /// Where the data plane listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Tells the probes that this process is going to stop. It goes on accepting.
    pub fn announce(&self) {
        self.gateway.draining.store(true, Ordering::SeqCst);
        self.gateway.metrics.draining.set(1);
    }

    /// Stops accepting, lets requests in flight finish for at most `limit`, cuts the rest, and returns
    /// when every thread has ended. Blocks.
    pub fn finish(self, limit: Duration) {
        self.phase.send_replace(Phase::Finishing);
        let phase = self.phase.clone();
        let (done, waiting) = std::sync::mpsc::channel::<()>();
        let cutter = std::thread::spawn(move || {
            if waiting.recv_timeout(limit).is_err() {
                phase.send_replace(Phase::Cut);
            }
        });
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a data thread panicked");
            }
        }
        let _ = done.send(());
        let _ = cutter.join();
    }
}

fn bind(addr: SocketAddr, share: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn run(worker: Arc<Worker>, listener: StdListener, mut phase: watch::Receiver<Phase>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a data thread cannot listen");
            return;
        }
    };
    let connections = Arc::new(Connections::new());
    // Every connection holds one end: when the last one is gone, the other end says so.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => accept(&worker, &connections, tcp, alive.clone()),
                Err(error) => {
                    // Out of descriptors, most likely: a pause lets some come back.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = sweep.tick() => {
                connections.sweep();
                worker.pool.sweep();
            }
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
        }
    }
    drop(listener);
    connections.finish();
    drop(alive);
    tokio::select! {
        _ = all_gone.recv() => {}
        _ = phase.wait_for(|phase| *phase == Phase::Cut) => {
            tracing::warn!("requests in flight were cut: the drain limit passed");
        }
    }
}

fn accept(
    worker: &Arc<Worker>,
    connections: &Connections,
    tcp: TcpStream,
    alive: mpsc::Sender<()>,
) {
    // Best effort: a socket without it is only slower.
    let _ = tcp.set_nodelay(true);
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    let _ = SockRef::from(&tcp).set_tcp_keepalive(&probes);
    let state = connections.add();
    let (worker, service_state) = (worker.clone(), state.clone());
    let service = service_fn(move |request| handle(worker.clone(), service_state.clone(), request));
    let io = TokioIo::new(CallerIo {
        tcp,
        state: state.clone(),
    });
    tokio::spawn(async move {
        let _alive = alive;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .pipeline_flush(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_concurrent_streams(1_024);
        let connection = builder.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut finishing = false;
        let ended = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            match state.order(cx) {
                Order::Serve => Poll::Pending,
                Order::Finish => {
                    if !std::mem::replace(&mut finishing, true) {
                        connection.as_mut().graceful_shutdown();
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                Order::Cut => Poll::Ready(Ok(())),
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}
