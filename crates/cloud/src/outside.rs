//! What this crate needs from the rest of the process, as ports.
//!
//! The data plane implements them over its guarded connections, its configuration and its event loop.
//! Nothing here has a default implementation, so that nothing can reach the network by accident.
//! Start at [`Outside`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lw_core::{Clock, UnixMicros};

use crate::error::{Cloud, CloudError};

/// Sends the small requests that fetch tokens.
///
/// The implementation must not follow redirects, must bound the answer (64 KiB is plenty) and the time
/// that one request takes, and must judge the address as [`Reach::of`] the request says. Answers of
/// any status are answers, not failures.
pub trait TokenHttp: Send + Sync {
    /// Sends `request` and collects the answer.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpFailure>>;
}

/// Why a request got no answer. Holds no text, so that no secret can travel in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpFailure {
    /// The address guard does not let this process dial there.
    #[error("is an address that may not be dialled")]
    Refused,
    /// No connection: unknown name, no route, TLS failure.
    #[error("could not be reached")]
    Unreachable,
    /// No whole answer in time.
    #[error("did not answer in time")]
    TimedOut,
    /// The answer is larger than any token.
    #[error("sent an answer that is too large")]
    TooLarge,
    /// The connection broke within the answer.
    #[error("broke the connection")]
    Broken,
}

/// Whose address a request goes to; it travels in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An address on the internet, perhaps chosen by a tenant: the address guard applies in full, and
    /// so does an outbound proxy.
    Guarded,
    /// The platform that runs this process: a metadata service at its well-known address, or one that
    /// the operator named in the environment. Link-local, private and plain `http`; never through an
    /// outbound proxy. Only made where the machine's own identity is allowed, never from a stored row.
    Platform,
}

impl Reach {
    /// What the sender of `request` asks for. A request without a mark is [`Reach::Guarded`].
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        request.extensions().get().copied().unwrap_or(Self::Guarded)
    }
}

/// The environment variables and files that a platform hands to this process.
pub trait Env: Send + Sync {
    /// The value of `name`; `None` when it is not set or not text.
    fn var(&self, name: &str) -> Option<String>;

    /// The content of the file at `path`, which is named by a variable above or by the operator's own
    /// credential file. The implementation bounds the size (1 MiB is plenty) and must not block the
    /// event loop for long.
    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FileFailure>>;
}

impl dyn Env + '_ {
    /// The value of `name`, trimmed; an empty one counts as not set.
    pub(crate) fn set(&self, name: &str) -> Option<String> {
        let value = self.var(name)?;
        let trimmed = value.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// Whether `name` is set to something that means yes.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.set(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileFailure {
    /// There is no such file.
    #[error("does not exist")]
    Missing,
    /// This process may not read it.
    #[error("may not be read by this process")]
    Denied,
    /// Larger than any credential.
    #[error("is too large for a credential")]
    TooLarge,
    /// Anything else.
    #[error("cannot be read")]
    Unreadable,
}

/// Runs a task to its end without anybody waiting for it.
///
/// A task may be dropped before its end, for instance when the event loop stops: whoever waits for
/// its token then starts another.
pub trait Background: Send + Sync {
    /// Starts `task`.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Whether rows without a credential may use the identity of the machine that runs this process.
///
/// Everybody who may edit such a row acts with that identity, so the operator has to say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambient {
    /// The operator said yes.
    Allowed,
    /// The machine's identity is for the operator alone.
    Refused,
}

impl Ambient {
    /// The way to the machine's identity in `cloud`.
    pub(crate) const fn check(self, cloud: Cloud) -> Result<(), CloudError> {
        match self {
            Self::Allowed => Ok(()),
            Self::Refused => Err(CloudError::AmbientRefused { cloud }),
        }
    }
}

/// The world outside, as one data thread sees it. Cloning is cheap.
#[derive(Clone)]
pub struct Outside {
    /// Sends requests. Each thread may bring its own.
    pub http: Arc<dyn TokenHttp>,
    /// Variables and files.
    pub env: Arc<dyn Env>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Runs what nobody waits for.
    pub tasks: Arc<dyn Background>,
}

impl Outside {
    /// The current wall-clock time.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        self.clock.now()
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
