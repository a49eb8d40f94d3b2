//! Connections to providers, kept by one data thread.
//!
//! HTTP/1.1 connections serve one request at a time and wait in a stack, so that few stay warm and the
//! rest close. HTTP/2 connections are shared up to [`STREAMS_PER_CONNECTION`] streams and further ones
//! are opened beside them, because one connection per host is one slow reader for everybody.
//!
//! A request is sent again on another connection only if nothing of it was written: hyper hands it back
//! in that case and in no other. Start at [`Pool::send`].

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::body::{RequestBody, UpstreamBody};
use crate::endpoint::Endpoint;
use crate::guard::{AddressGuard, Refusal};
use crate::stream::MaybeTls;

/// Streams on one HTTP/2 connection before another one is opened.
pub const STREAMS_PER_CONNECTION: usize = 64;
/// Idle HTTP/1.1 connections kept for one origin.
const IDLE_PER_ORIGIN: usize = 256;
/// Idle connections are closed after this time; providers and their balancers close them a bit later.
const IDLE_FOR: Duration = Duration::from_secs(55);
/// How long a connection that was just given back may take to be ready.
const READY_WITHIN: Duration = Duration::from_millis(100);
/// How long it is remembered what an origin chose.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Stale connections that one request may meet before it opens its own.
const STALE_AT_MOST: usize = 16;

/// How long each step of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution and TCP together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the request to the head of the answer.
    pub head: Duration,
    /// Between two frames of the answer.
    pub idle: Duration,
    /// The whole call; zero is no limit.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            head: Duration::from_secs(840),
            idle: Duration::from_secs(840),
            total: Duration::from_secs(7_200),
        }
    }
}

/// Why a provider gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The address must not be dialled.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name does not exist.
    #[error("the host `{0}` does not exist")]
    UnknownHost(String),
    /// The name could not be looked up right now.
    #[error("the name of the provider's host could not be resolved")]
    Dns(#[source] io::Error),
    /// No connection.
    #[error("no connection to {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// What the system said last.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("the TLS handshake with {server} failed")]
    Tls {
        /// `host:port`.
        server: String,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// A step took too long.
    #[error("{step} took longer than {seconds} s")]
    Timeout {
        /// `connecting`, `the TLS handshake`, `the answer`.
        step: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The connection broke before the head of the answer.
    #[error("the provider broke off before it answered")]
    Broken(#[source] hyper::Error),
}

impl UpstreamError {
    /// The outcome label of data-plane 13.2.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Refused(_) | Self::UnknownHost(_) => "non_retryable",
            Self::Dns(_) | Self::Connect { .. } | Self::Tls { .. } | Self::Broken(_) => "network",
        }
    }

    /// Whether the provider may have seen the request: then it may cost money.
    #[must_use]
    pub const fn may_have_reached_provider(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Timeout { step, .. } => matches!(step.as_bytes(), b"the answer"),
            Self::Refused(_)
            | Self::UnknownHost(_)
            | Self::Dns(_)
            | Self::Connect { .. }
            | Self::Tls { .. } => false,
        }
    }

    /// The whole chain of causes, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// An answer and how it was got.
#[derive(Debug)]
pub struct Sent {
    /// The answer.
    pub response: Response<UpstreamBody>,
    /// The connection had served another request before.
    pub reused: bool,
}

/// The connections of one data thread. Clones share them.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    guard: Arc<AddressGuard>,
    tls: Arc<ClientConfig>,
    hosts: Mutex<HashMap<Box<str>, Host>>,
}

#[derive(Default)]
struct Host {
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    /// Whether the origin chose HTTP/2, once that is known. Until then, and if so, whoever needs another
    /// connection waits for the one being opened.
    speaks_http2: Option<bool>,
    /// When a connection was last opened; what is known outlives the connections for a while.
    opened: Option<Instant>,
    opening: Arc<tokio::sync::Mutex<()>>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
    /// When it was last taken for a request.
    used: Instant,
}

enum Connection {
    One(http1::SendRequest<RequestBody>),
    Many(Shared),
}

/// What a response body holds until it ends.
#[derive(Debug)]
pub(crate) struct Lease(LeaseKind);

enum LeaseKind {
    One {
        pool: Pool,
        origin: Endpoint,
        sender: http1::SendRequest<RequestBody>,
    },
    Many(#[expect(dead_code, reason = "held for its drop")] StreamCount),
}

impl std::fmt::Debug for LeaseKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

struct StreamCount(Arc<AtomicUsize>);

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    pub(crate) fn release(self) {
        match self.0 {
            LeaseKind::One {
                pool,
                origin,
                sender,
            } => pool.give_back(&origin, sender),
            LeaseKind::Many(_) => {}
        }
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(guard: Arc<AddressGuard>, tls: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Inner {
            guard,
            tls,
            hosts: Mutex::new(HashMap::new()),
        }))
    }

    /// Sends `request` to `endpoint` and waits for the head of the answer. `Host` and the target are set
    /// here; everything else of the head is the caller's.
    ///
    /// `reached` becomes true when the provider may have seen the request, and stays so when this future
    /// is dropped.
    ///
    /// # Errors
    /// See [`UpstreamError`]; whatever the provider answers with is not an error.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        path: &PathAndQuery,
        mut request: Request<RequestBody>,
        timeouts: &Timeouts,
        reached: &mut bool,
    ) -> Result<Sent, UpstreamError> {
        let deadline = Instant::now() + timeouts.head;
        let seconds = timeouts.head.as_secs();
        let too_late = |step| UpstreamError::Timeout { step, seconds };
        for _ in 0..STALE_AT_MOST {
            let Some(connection) = self.check_out(endpoint) else {
                break;
            };
            let sending = self.send_on(connection, endpoint, path, request, reached);
            let sent = timeout_at(deadline, sending)
                .await
                .map_err(|_| too_late("the answer"))?;
            match sent {
                Ok(response) => {
                    return Ok(Sent {
                        response,
                        reused: true,
                    });
                }
                Err(Failed::Unsent(back, _)) => request = *back,
                Err(Failed::Broken(error)) => return Err(UpstreamError::Broken(error)),
            }
        }
        // Boxed: a TLS handshake's state is large, and most requests find a connection.
        let opening = timeout_at(deadline, Box::pin(self.open(endpoint, timeouts)));
        let connection = opening.await.map_err(|_| too_late("connecting"))??;
        let sending = self.send_on(connection, endpoint, path, request, reached);
        match timeout_at(deadline, sending)
            .await
            .map_err(|_| too_late("the answer"))?
        {
            Ok(response) => Ok(Sent {
                response,
                reused: false,
            }),
            Err(Failed::Unsent(_, None)) => Err(too_late("a free connection")),
            Err(Failed::Unsent(_, Some(error)) | Failed::Broken(error)) => {
                Err(UpstreamError::Broken(error))
            }
        }
    }

    /// Closes connections that were idle for too long. Called every few seconds.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.hosts.lock().retain(|_, host| {
            host.idle.retain(|idle| {
                !idle.sender.is_closed() && now.duration_since(idle.since) < IDLE_FOR
            });
            host.shared.retain(|shared| {
                let busy = shared.streams.load(Ordering::Relaxed) > 0;
                !shared.sender.is_closed() && (busy || now.duration_since(shared.used) < IDLE_FOR)
            });
            let known = host
                .opened
                .is_some_and(|opened| now.duration_since(opened) < KNOWN_FOR);
            known || !host.idle.is_empty() || !host.shared.is_empty()
        });
    }

    fn check_out(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut hosts = self.0.hosts.lock();
        let host = hosts.get_mut(endpoint.origin())?;
        while let Some(Idle { sender, since }) = host.idle.pop() {
            if !sender.is_closed() && since.elapsed() < IDLE_FOR {
                return Some(Connection::One(sender));
            }
        }
        host.shared.retain(|shared| !shared.sender.is_closed());
        let free = host
            .shared
            .iter_mut()
            .find(|shared| shared.streams.load(Ordering::Relaxed) < STREAMS_PER_CONNECTION)?;
        free.used = Instant::now();
        free.streams.fetch_add(1, Ordering::Relaxed);
        Some(Connection::Many(free.clone()))
    }

    fn give_back(&self, endpoint: &Endpoint, sender: http1::SendRequest<RequestBody>) {
        if sender.is_closed() {
            return;
        }
        let idle = Idle {
            sender,
            since: Instant::now(),
        };
        let mut hosts = self.0.hosts.lock();
        match hosts.get_mut(endpoint.origin()) {
            Some(host) if host.idle.len() < IDLE_PER_ORIGIN => host.idle.push(idle),
            Some(_) => {}
            None => {
                let host = Host {
                    idle: vec![idle],
                    ..Host::default()
                };
                hosts.insert(endpoint.origin().into(), host);
            }
        }
    }

    async fn send_on(
        &self,
        connection: Connection,
        endpoint: &Endpoint,
        path: &PathAndQuery,
        mut request: Request<RequestBody>,
        reached: &mut bool,
    ) -> Result<Response<UpstreamBody>, Failed> {
        match connection {
            Connection::One(mut sender) => {
                endpoint.address(&mut request, path, false);
                if !sender.is_ready() {
                    // Just given back: its task gets ready in a moment, or something is left unsent on it.
                    match timeout(READY_WITHIN, sender.ready()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            return Err(Failed::Unsent(Box::new(request), Some(error)));
                        }
                        Err(_) => return Err(Failed::Unsent(Box::new(request), None)),
                    }
                }
                *reached = true;
                let sent = sender.try_send_request(request).await;
                let response = sent.map_err(|error| Failed::from_hyper(error, reached))?;
                let lease = LeaseKind::One {
                    pool: self.clone(),
                    origin: endpoint.clone(),
                    sender,
                };
                Ok(response.map(|incoming| UpstreamBody::new(incoming, Lease(lease))))
            }
            Connection::Many(Shared {
                mut sender,
                streams,
                ..
            }) => {
                let count = StreamCount(streams);
                endpoint.address(&mut request, path, true);
                if let Err(error) = sender.ready().await {
                    return Err(Failed::Unsent(Box::new(request), Some(error)));
                }
                *reached = true;
                let sent = sender.try_send_request(request).await;
                let response = sent.map_err(|error| Failed::from_hyper(error, reached))?;
                let lease = Lease(LeaseKind::Many(count));
                Ok(response.map(|incoming| UpstreamBody::new(incoming, lease)))
            }
        }
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        timeouts: &Timeouts,
    ) -> Result<Connection, UpstreamError> {
        let opening = {
            let mut hosts = self.0.hosts.lock();
            let host = hosts.entry(endpoint.origin().into()).or_default();
            host.opened = Some(Instant::now());
            let wait = endpoint.is_https() && host.speaks_http2 != Some(false);
            wait.then(|| host.opening.clone())
        };
        // With HTTP/2 one new connection serves many waiting requests: the first one opens it. Whoever
        // waited for as long as opening may take goes on alone.
        let mut turn = None;
        if let Some(opening) = &opening {
            turn = timeout(timeouts.connect + timeouts.tls, opening.lock())
                .await
                .ok();
            if let Some(connection) = self.check_out(endpoint) {
                return Ok(connection);
            }
            let hosts = self.0.hosts.lock();
            if hosts
                .get(endpoint.origin())
                .is_some_and(|host| host.speaks_http2 == Some(false))
            {
                turn = None;
            }
        }
        let tcp = self.connect(endpoint, timeouts).await?;
        if !endpoint.is_https() {
            return handshake_http1(endpoint, MaybeTls::Plain { io: tcp }).await;
        }
        let io = self.secure(endpoint, tcp, timeouts).await?;
        let http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = MaybeTls::Tls { io: Box::new(io) };
        if !http2 {
            self.note(endpoint, None);
            return handshake_http1(endpoint, io).await;
        }
        let shared = handshake_http2(endpoint, io).await?;
        self.note(endpoint, Some(shared.clone()));
        drop(turn);
        Ok(Connection::Many(shared))
    }

    /// Notes what an origin chose, and the connection that others may share.
    fn note(&self, endpoint: &Endpoint, shared: Option<Shared>) {
        let mut hosts = self.0.hosts.lock();
        let host = hosts.entry(endpoint.origin().into()).or_default();
        host.speaks_http2 = Some(shared.is_some());
        host.shared.extend(shared);
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        timeouts: &Timeouts,
    ) -> Result<TcpStream, UpstreamError> {
        let slow = || UpstreamError::Timeout {
            step: "connecting",
            seconds: timeouts.connect.as_secs(),
        };
        let deadline = Instant::now() + timeouts.connect;
        self.0.guard.check_endpoint(endpoint)?;
        let addresses = timeout_at(deadline, resolve(endpoint))
            .await
            .map_err(|_| slow())??;
        for address in &addresses {
            self.0.guard.check_address(endpoint.host(), *address)?;
        }
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut left = addresses.len();
        for address in addresses {
            // No address may use up the time of the ones behind it.
            let share = deadline.saturating_duration_since(Instant::now())
                / u32::try_from(left).unwrap_or(1);
            left = left.saturating_sub(1).max(1);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Best effort: a socket without it is only slower.
                    let _ = stream.set_nodelay(true);
                    let probes = TcpKeepalive::new()
                        .with_time(Duration::from_secs(30))
                        .with_interval(Duration::from_secs(10));
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        if last.kind() == io::ErrorKind::TimedOut {
            return Err(slow());
        }
        Err(UpstreamError::Connect {
            server: endpoint.server(),
            source: last,
        })
    }

    async fn secure(
        &self,
        endpoint: &Endpoint,
        tcp: TcpStream,
        timeouts: &Timeouts,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, UpstreamError> {
        let failed = |source| UpstreamError::Tls {
            server: endpoint.server(),
            source,
        };
        let name = ServerName::try_from(endpoint.host().to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(self.0.tls.clone());
        let slow = || UpstreamError::Timeout {
            step: "the TLS handshake",
            seconds: timeouts.tls.as_secs(),
        };
        timeout(timeouts.tls, connector.connect(name, tcp))
            .await
            .map_err(|_| slow())?
            .map_err(failed)
    }
}

/// A request that did not get an answer.
enum Failed {
    /// Nothing of it was written: it can be sent elsewhere.
    Unsent(Box<Request<RequestBody>>, Option<hyper::Error>),
    /// It may have arrived.
    Broken(hyper::Error),
}

impl Failed {
    fn from_hyper(
        mut error: hyper::client::conn::TrySendError<Request<RequestBody>>,
        reached: &mut bool,
    ) -> Self {
        match error.take_message() {
            Some(request) => {
                *reached = false;
                Self::Unsent(Box::new(request), Some(error.into_error()))
            }
            None => Self::Broken(error.into_error()),
        }
    }
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, UpstreamError> {
    if let Ok(ip) = endpoint.host().parse() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port())]);
    }
    let looked_up = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await;
    match looked_up {
        Ok(addresses) => Ok(addresses.collect()),
        // The system's resolver tells the two cases apart in its text only.
        Err(error) if error.to_string().contains("not known") => {
            Err(UpstreamError::UnknownHost(endpoint.host().to_owned()))
        }
        Err(error) => Err(UpstreamError::Dns(error)),
    }
}

async fn handshake_http1(endpoint: &Endpoint, io: MaybeTls) -> Result<Connection, UpstreamError> {
    let (sender, connection) = http1::Builder::new()
        .handshake::<_, RequestBody>(TokioIo::new(io))
        .await
        .map_err(|error| UpstreamError::Connect {
            server: endpoint.server(),
            source: io::Error::other(error),
        })?;
    drive(connection);
    Ok(Connection::One(sender))
}

async fn handshake_http2(endpoint: &Endpoint, io: MaybeTls) -> Result<Shared, UpstreamError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        // A balancer that forgot the connection says nothing: the ping finds out.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 22)
        .handshake::<_, RequestBody>(TokioIo::new(io))
        .await
        .map_err(|error| UpstreamError::Connect {
            server: endpoint.server(),
            source: io::Error::other(error),
        })?;
    drive(connection);
    // The caller's own stream is counted from the start.
    Ok(Shared {
        sender,
        streams: Arc::new(AtomicUsize::new(1)),
        used: Instant::now(),
    })
}

/// Runs a connection until it ends. Its errors reach whoever waits for an answer on it.
fn drive(connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
}

const _: fn() = || {
    fn incoming_is_send<T: Send>() {}
    incoming_is_send::<Incoming>();
    incoming_is_send::<Pool>();
};
