//! A provider made for testing: a real HTTP server that is every vendor at once.
//!
//! It answers deterministically, fails in every way that a provider fails when a [`Directive`] says
//! so, and records what it received ([`Seen`]) and what it generated ([`Truth`]): bills are tested
//! against that. The `mock-provider` command, our tests and the benches use it, and so do users in
//! their own CI.
//!
//! | vendor | paths | credential |
//! |---|---|---|
//! | OpenAI and alike | `/v1/chat/completions`, `/v1/responses`, `/v1/embeddings`, `/v1/models` | bearer key |
//! | Anthropic | `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models` | `x-api-key` or bearer |
//! | Gemini | `/v1beta/models/{m}:{method}` (also under `/v1`), `/v1beta/{models,cachedContents,files}`, `/v1beta/openai/*` | `x-goog-api-key` or `?key=` |
//! | Vertex AI | `/v1/projects/{p}/locations/{l}/publishers/{google,anthropic}/models/{m}:{method}`, `.../endpoints/openapi/chat/completions` | a token of `/token` or of the metadata server; or `x-goog-api-key` |
//! | Azure OpenAI | `/openai/deployments/{d}/*?api-version=`, `/openai/v1/*` | `api-key`, or a token of `/{tenant}/oauth2/v2.0/token` or `/metadata/identity/oauth2/token` |
//! | Bedrock | `/model/{id}/{converse,converse-stream,invoke,invoke-with-response-stream,count-tokens}` | signature version 4 (`AKIAMOCKMOCKMOCKMOCK` / `mock-secret`, or what STS at `POST /` and the instance metadata give out), or a bearer key |
//!
//! Keys are any that is not empty, until a list is given. Assertions, tokens and signatures are
//! really checked.
//!
//! **Counting rule.** A token is a word between white space. Input is all text of the request
//! (messages, system, input; inline directives removed), output is the text of the answer plus the
//! thinking. A directive's `usage` replaces these numbers.
//!
//! **Directives** come from, first wins: the script queue (`POST /_mock/script`, a list of
//! directives with `match` and `times`), the `x-mock` header, and the last `[[mock:{...}]]` in a
//! string of the request body. Every field is in [`Directive`]; one scripted [`Answer`] is rendered
//! natively in every dialect.
//!
//! **Strictness.** Gemini, Converse and Messages bodies are refused as their vendors refuse them,
//! except that unknown members of Messages pass. Thoughts in a history must be the mock's own.
//! `POST /_mock/strict` with `{"strict": true}` checks every dialect and every member, `false`
//! nothing, `null` is the usual.
//!
//! **Control**, all JSON:
//!
//! | | |
//! |---|---|
//! | `GET /_mock/health`, `GET /_mock/stats` | counts, `token_exchanges` among them |
//! | `POST`, `DELETE /_mock/script` | the queue |
//! | `POST /_mock/keys` | `{"valid": [...]}`, `null` for any; also client secrets, refresh tokens and web identity tokens |
//! | `GET /_mock/requests?since=N`, `GET /_mock/truth?since=N` | `{"data": [...], "last_seq": N}` |
//! | `POST /_mock/strict` | `{"strict": true}`, `false` or `null` |
//! | `POST /_mock/deployments` | `{"valid": [...]}`: Azure answers for no others; `null` for any |
//! | `POST /_mock/tokens` | `{"expires_in": S, "revoke": true}`: lifetime of tokens from now on; take all back |
//! | `POST /_mock/aws-credentials` | `{"access_key", "secret_key", "session_token"?, "region"?}` |
//! | `POST /_mock/service-accounts` | `{"client_email", "public_key_pem", "private_key_id"?}` |
//! | `GET /_mock/service-account.json?token_uri=` | a ready service account; its key is made on the first call |
//! | `POST /_mock/reset` | forget all of it |
//!
//! It must never share a parser or a writer with the product, or both could be wrong together; and
//! it must never hold a credential in clear in what it records.
//!
//! Start at [`MockProvider`]; behind it the way of a request is `worker` (threads and sockets),
//! `serve` (one request), `target` (what its path asks of whom), `auth`, `check` and `strict` (what is
//! refused), `generate` (its answer), `dialect` (the wire shapes), `body` and `conn` (how the bytes
//! leave, and how they fail to).
//!
//! ```
//! use lw_mock::{Directive, MockConfig, MockProvider, Script};
//!
//! let mock = MockProvider::start(MockConfig::default())?;
//! mock.script(Script::once(Directive { status: Some(503), ..Directive::default() }));
//! assert!(mock.base_url().starts_with("http://127.0.0.1:"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod accounts;
mod answer;
mod auth;
mod body;
mod check;
mod clock;
mod conn;
mod control;
mod dialect;
mod directive;
mod frame;
mod generate;
mod identity;
mod json;
mod kept;
mod plan;
mod record;
mod reply;
mod request;
mod scripted;
mod seal;
mod serve;
mod sigv4;
mod state;
mod strict;
mod target;
mod tls;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use crate::directive::{BadDirective, Directive, Match, Script, UsageSpec};
pub use crate::record::{Seen, Truth, Usage, key_digest};
pub use crate::scripted::{Answer, Part, Quirks, ServerTool, StopReason, ToolCall};

use crate::state::Shared;

/// How to run the mock.
#[derive(Clone, Debug)]
pub struct MockConfig {
    /// Where to listen. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// Threads, each with its own runtime and listener.
    pub workers: usize,
    /// TLS, or plain HTTP.
    pub tls: Option<TlsMode>,
    /// Gap between stream frames. Zero hands the frames out together.
    pub pace: Duration,
    /// Keep requests and truth. Without, only counters are kept, and equal requests get equal
    /// answers, ids included: that is for benches.
    pub record: bool,
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// A fresh authority, and a certificate for `localhost` and `127.0.0.1` signed by it.
    SelfSigned {
        /// File to write the authority's certificate to, as PEM.
        ca_out: Option<PathBuf>,
    },
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            workers: 1,
            tls: None,
            pace: Duration::ZERO,
            record: true,
        }
    }
}

/// A running mock. Dropping it stops it.
pub struct MockProvider {
    addr: SocketAddr,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl MockProvider {
    /// Starts the threads and returns once all of them can accept. Works inside and outside of an
    /// async runtime.
    pub fn start(config: MockConfig) -> io::Result<Self> {
        let MockConfig {
            addr,
            workers,
            tls,
            pace,
            record,
        } = config;
        let (server, ca_pem) = match tls {
            None => (None, None),
            Some(TlsMode::SelfSigned { ca_out }) => {
                let (server, pem) = tls::self_signed()?;
                if let Some(path) = ca_out {
                    std::fs::write(path, &pem)?;
                }
                (Some(server), Some(pem))
            }
        };
        let workers = workers.max(1);
        let first = worker::listen(addr, workers > 1)?;
        let addr = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..workers {
            listeners.push(worker::listen(addr, true)?);
        }
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = mpsc::channel();
        let shared = Arc::new(Shared::new(record, pace, ca_pem.is_some()));
        let mock = Self {
            addr,
            ca_pem,
            shared,
            stop,
            threads: Mutex::default(),
        };
        for (n, listener) in listeners.into_iter().enumerate() {
            let (shared, server) = (Arc::clone(&mock.shared), server.clone());
            let (stopped, ready) = (stopped.clone(), ready.clone());
            let thread = std::thread::Builder::new().name(format!("mock-{n}"));
            let thread =
                thread.spawn(move || worker::run(listener, shared, server, stopped, &ready))?;
            mock.threads.lock().push(thread);
        }
        for _ in 0..workers {
            started.recv().map_err(io::Error::other)??;
        }
        Ok(mock)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Scheme, host and port, without a path.
    pub fn base_url(&self) -> String {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.addr)
    }

    /// The certificate to trust, when it speaks TLS.
    pub fn ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    /// Adds to the end of the queue.
    pub fn script(&self, script: Script) {
        self.shared.queue([script]);
    }

    /// Accepts only these credentials from now on.
    pub fn valid_keys(&self, keys: impl IntoIterator<Item = impl Into<String>>) {
        let keys: HashSet<String> = keys.into_iter().map(Into::into).collect();
        self.shared.restrict_keys(Some(keys));
    }

    /// Every generation so far, oldest first.
    pub fn truth(&self) -> Vec<Truth> {
        self.shared.records.truth_since(0)
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.records.seen_since(0)
    }

    /// Forgets scripts, credentials, records and counts.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.counts.open_connections.load(Ordering::Relaxed)
    }

    /// Times that a caller hung up while a generation was being answered.
    pub fn disconnects(&self) -> u64 {
        self.shared.counts.disconnects.load(Ordering::Acquire)
    }

    /// Closes the listeners and every connection, and waits for the threads.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
        self.join();
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A worker that panicked has printed why; stopping goes on.
            let _ = thread.join();
        }
    }
}

impl Drop for MockProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves until the process ends. `on_ready` gets the bound address.
pub fn run_blocking(config: MockConfig, on_ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mock = MockProvider::start(config)?;
    on_ready(mock.addr());
    mock.join();
    Ok(())
}
