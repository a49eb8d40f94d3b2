//! Guardrails of a key: what may pass to a model, and back (data-plane 16).
//!
//! [`Guards`] are compiled once per key. A [`Checker`] runs those of one direction: what is built in on the data
//! thread (large texts beside it), callouts through the one guarded connector. The first block wins; changes are
//! applied in the order of attachment, each to what the one before made. A direction fails closed unless every
//! guardrail on it fails open; a piece of a stream always passes when its check fails.
//!
//! Must never show a text in an error or a log line, follow a redirect, or take an answer that it does not know
//! for a yes. Start at [`Guards::compile`], [`Checker::request`] and [`stream::StreamGuard`].

mod callout;
mod compile;
mod run;
pub mod stream;
mod subject;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use lw_core::{Code, Error, GuardrailId};
use lw_engine::guardrail::BuiltIn;
use lw_upstream::Pool;

use crate::settings::GuardrailTimes;
use crate::worker::{ByteBudget, Worker};
use callout::Callout;
pub use compile::Attachment;
pub use subject::Unreadable;

/// When a check happens, in the words of checks and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Before the provider is called.
    Request,
    /// When the whole answer is there.
    Response,
    /// For each piece of a stream.
    StreamChunk,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Request, Self::Response, Self::StreamChunk];

    /// The word of check bodies and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::StreamChunk => "stream_chunk",
        }
    }

    /// What a blocked thing is called.
    pub(crate) const fn subject(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "answer",
            Self::StreamChunk => "stream",
        }
    }
}

/// A key's guardrails, by direction, each list in the order of attachment.
#[derive(Debug, Default)]
pub struct Guards {
    request: List,
    response: List,
    stream_chunk: List,
}

impl Guards {
    /// Whether nothing is checked in a direction.
    #[must_use]
    pub fn is_empty(&self, direction: Direction) -> bool {
        self.list(direction).guards.is_empty()
    }

    /// The guardrails of a direction, for spans.
    pub fn ids(&self, direction: Direction) -> impl Iterator<Item = &GuardrailId> {
        self.list(direction).guards.iter().map(|guard| &guard.id)
    }

    const fn list(&self, direction: Direction) -> &List {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
            Direction::StreamChunk => &self.stream_chunk,
        }
    }
}

#[derive(Debug, Default)]
struct List {
    guards: Vec<Guard>,
    /// Whether a failure lets pass: only if every guardrail says so.
    fails_open: bool,
}

#[derive(Debug)]
struct Guard {
    id: GuardrailId,
    name: String,
    check: Check,
}

#[derive(Debug)]
enum Check {
    BuiltIn(Arc<BuiltIn>),
    Callout(Box<Callout>),
    /// Its settings cannot be used; why, for the log. Every check fails.
    Broken(String),
}

/// Whose request is checked: what callouts are told.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// The virtual key.
    pub vk_id: String,
    /// The key's project.
    pub project_id: String,
    /// The request.
    pub gateway_request_id: String,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The person behind a personal key.
    pub principal_id: Option<String>,
}

/// Runs checks.
#[derive(Clone)]
pub struct Checker {
    pool: Pool,
    user_agent: HeaderValue,
    limits: GuardrailTimes,
    bytes: Arc<ByteBudget>,
}

impl Checker {
    /// With a data thread's connections.
    #[must_use]
    pub fn of(worker: &Worker) -> Self {
        Self {
            pool: worker.pool.clone(),
            user_agent: worker.gateway.user_agent.clone(),
            limits: worker.gateway.settings.governance.guardrails,
            bytes: worker.gateway.bytes.clone(),
        }
    }

    /// The time for all checks of one call.
    const fn limit(&self, direction: Direction) -> Duration {
        match direction {
            Direction::Request => self.limits.request,
            Direction::Response => self.limits.response,
            Direction::StreamChunk => self.limits.stream_chunk,
        }
    }
}

/// What the checks of one direction say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<T> {
    /// What happens to what was checked.
    pub outcome: Outcome<T>,
    /// Checks that failed and let pass, in the order of attachment.
    pub failed_open: Vec<(GuardrailId, Failure)>,
}

/// What happens to what was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It passes as it is.
    Allow,
    /// It does not pass.
    Block(Blocked),
    /// This passes in its place.
    Modify {
        /// What passes.
        content: T,
        /// Who changed it, in the order of attachment.
        applied: Vec<GuardrailId>,
    },
}

impl<T> Checked<T> {
    const fn allow() -> Self {
        Self {
            outcome: Outcome::Allow,
            failed_open: Vec::new(),
        }
    }

    /// The label of the verdict metric.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        match &self.outcome {
            Outcome::Block(_) => "block",
            Outcome::Allow | Outcome::Modify { .. } if !self.failed_open.is_empty() => "fail_open",
            Outcome::Modify { .. } => "modify",
            Outcome::Allow => "allow",
        }
    }
}

/// Who blocked, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// When.
    pub direction: Direction,
    /// The guardrail's name.
    pub guardrail: String,
    /// A clause that is safe to show; never empty.
    pub reason: String,
    /// The guardrails that blocked.
    pub policies: Vec<GuardrailId>,
}

impl Blocked {
    /// The sentence for the caller.
    #[must_use]
    pub fn message(&self) -> String {
        format!(
            "the {} was blocked by the guardrail `{}`: {}",
            self.direction.subject(),
            self.guardrail,
            self.reason
        )
    }

    /// `403 guardrail_blocked`.
    #[must_use]
    pub fn error(&self) -> Error {
        let policies: Vec<&str> = self.policies.iter().map(GuardrailId::as_str).collect();
        Error::new(Code::GuardrailBlocked, self.message()).with("policies_triggered", policies)
    }
}

/// Why a check could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It took too long.
    #[error("it took longer than it may")]
    Timeout,
    /// The service of a callout gave no answer; why.
    #[error("its service cannot be reached: {0}")]
    Unreachable(String),
    /// The service answered something else than a decision; what.
    #[error("its service answered something unusable: {0}")]
    BadAnswer(String),
    /// The guardrail's settings cannot be used; why.
    #[error("its settings cannot be used: {0}")]
    Settings(String),
    /// What is to be checked cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The process is at one of its bounds.
    #[error("the process is at its limit")]
    Overloaded,
}

impl Failure {
    /// A word for labels and spans.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::BadAnswer(_) => "bad_answer",
            Self::Settings(_) => "settings",
            Self::Unreadable(_) => "unreadable",
            Self::Overloaded => "overloaded",
        }
    }
}

/// A check failed, and nothing passes without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// When.
    pub direction: Direction,
    /// Which guardrail, when it was one.
    pub guardrail: Option<(GuardrailId, String)>,
    /// Why. For the log: it may name addresses.
    pub failure: Failure,
}

impl Unavailable {
    /// `503 guardrail_upstream_unavailable`.
    #[must_use]
    pub fn error(&self) -> Error {
        let subject = self.direction.subject();
        let text = match &self.guardrail {
            Some((_, name)) => format!(
                "the {subject} could not be checked by the guardrail `{name}`, and does not pass without it"
            ),
            None => format!("the {subject} could not be checked, and does not pass without it"),
        };
        Error::new(Code::GuardrailUpstreamUnavailable, text).because(&self.failure)
    }
}

/// The body of a request after its checks.
pub type CheckedRequest = Checked<Bytes>;
/// The texts of an answer after their checks.
pub type CheckedTexts = Checked<Vec<String>>;
