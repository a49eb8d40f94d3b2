//! The threads: each one listener, one single-threaded runtime, many connections.
//!
//! With several workers the kernel spreads connections over their listeners (`SO_REUSEPORT`).
//! Start at [`listen`] and [`run`].

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::conn::{Handle, Transport, Wire};
use crate::serve::{Worker, serve};
use crate::state::Shared;

const BACKLOG: i32 = 4_096;

/// A bound listener.
pub(crate) fn listen(addr: SocketAddr, shared_port: bool) -> io::Result<StdListener> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until told to stop. Reports once through `ready`, when it can accept.
pub(crate) fn run(
    listener: StdListener,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
    ready: &mpsc::Sender<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // A receiver that is gone means that `start` has failed already.
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener);
        let (listener, outcome) = match listener {
            Ok(listener) => (Some(listener), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = ready.send(outcome);
        if let Some(listener) = listener {
            accept(
                listener,
                Arc::new(Worker::new(shared)),
                tls.map(TlsAcceptor::from),
                stop,
            )
            .await;
        }
    });
}

async fn accept(
    listener: TcpListener,
    worker: Arc<Worker>,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, Arc::clone(&worker), tls.clone()));
                }
                // Out of file descriptors, most likely: give some back first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

/// Errors end here: a caller that broke the protocol or left is not our failure, and the account of
/// its answer has noted it.
async fn connection(socket: TcpStream, worker: Arc<Worker>, tls: Option<TlsAcceptor>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let Some(acceptor) = tls else {
        return http1(socket, worker).await;
    };
    let Ok(stream) = acceptor.accept(socket).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, worker).await;
    } else {
        http1(stream, worker).await;
    }
}

async fn http1<T: Transport + Send + 'static>(transport: T, worker: Arc<Worker>) {
    let handle = Handle::new(Arc::clone(&worker.shared), false);
    let wire = TokioIo::new(Wire::new(transport, Arc::clone(&handle)));
    let service = service_fn(|request| serve(Arc::clone(&worker), Arc::clone(&handle), request));
    let _ = http1::Builder::new().serve_connection(wire, service).await;
}

async fn http2<T: Transport + Send + 'static>(transport: T, worker: Arc<Worker>) {
    let handle = Handle::new(Arc::clone(&worker.shared), true);
    let wire = TokioIo::new(Wire::new(transport, Arc::clone(&handle)));
    let service =
        service_fn(move |request| serve(Arc::clone(&worker), Arc::clone(&handle), request));
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(wire, service)
        .await;
}
