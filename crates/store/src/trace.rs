//! Traces as compact records with bodies by reference, and the port that keeps them.
//!
//! One record is one gateway request: its own span, its attempts, and the captured bodies as they were
//! on the wire. Attributes and messages are derived when somebody reads.

use std::borrow::Cow;

use bytes::Bytes;
pub use lw_core::BodyForm;
use lw_core::{
    ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, SpanId, TraceId, UnixMicros,
    Usage, VirtualKeyId,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// A captured body: the bytes of the wire, shared with whoever forwarded them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The pieces, in order.
    pub pieces: Vec<Bytes>,
    /// How to read them.
    pub form: BodyForm,
    /// Whether there was more than was kept.
    pub truncated: bool,
}

/// One candidate that was tried (observability 5.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The attempt's own span.
    pub span_id: SpanId,
    /// Microseconds from the start of the request.
    pub start_us: u64,
    /// Microseconds that it took.
    pub duration_us: u64,
    /// The kind of provider.
    pub provider: String,
    /// The provider row.
    pub model_provider_id: ModelProviderId,
    /// The model that was asked for.
    pub model: String,
    /// The outcome label of data-plane 13.2.
    pub outcome: String,
    /// The provider's status, when it answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// `host:port` that was dialled.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub server: String,
    /// The circuit of the credential as the attempt met it: `closed`, `open`, `half_open`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circuit: Option<Cow<'static, str>>,
}

impl Attempt {
    /// Whether the candidate was passed over: for its circuit, its own limit, its budget, or a missing
    /// price. Nothing was dialled.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        match self.outcome.as_str() {
            "circuit_open" | "budget_exceeded" | "model_unpriced" => true,
            // With a status it is the provider that said so.
            "rate_limit" => self.status.is_none(),
            _ => false,
        }
    }

    /// Whether it answered the caller.
    #[must_use]
    pub fn won(&self) -> bool {
        matches!(self.outcome.as_str(), "success" | "fallback_success")
    }
}

/// One decision about a request, in the words of an explanation (management-api 28.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The stage of the pipeline, `lower_snake_case`: `rate_limit`, `policy_tools`, `model`, `attempt`.
    pub stage: Cow<'static, str>,
    /// `pass`, `refuse`, `skip`, `warn` or `info`.
    pub outcome: Cow<'static, str>,
    /// One sentence for a person.
    pub detail: String,
}

/// The rule that refused a request (data-plane 11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violated {
    /// `tools`, `mcp`, `urls`, `models`.
    pub kind: String,
    /// The pattern that matched; absent for a value that is missing on an allow-list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pattern: Option<String>,
    /// The offending value, at most 64 characters.
    pub value: String,
}

/// What somebody asked for about the provider's prompt cache (data-plane 14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheControl {
    /// `respect`, `disable`, `force`, `auto`.
    pub mode: Cow<'static, str>,
    /// `header`, `rule`, `key`.
    pub source: Cow<'static, str>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule_id: Option<String>,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule_priority: Option<i64>,
}

/// What governed a request, as far as anything did (observability 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Governance {
    /// The rule that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Violated>,
    /// `<dimension>:<list>` of a rule that cannot be enforced and refused for that reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_broken: Option<String>,
    /// The dimension of the rate limit that refused it: `rpm`, `rpd`, `tpm`, `concurrent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// What was done about the prompt cache; absent when nobody said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheControl>,
    /// Budgets that it counted toward, in the attempt that had most of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub budgets: u32,
    /// Budgets that were nearly spent: `<scope>:<percent>`, comma-separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_warnings: Option<String>,
    /// The budget that refused it: `<scope>:<window>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_blocked: Option<String>,
}

impl Governance {
    /// Whether nothing governed the request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What is known about a request beyond the columns that are searched by (observability 4).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// `chat`, `messages`, `responses`, `embeddings`.
    pub request_type: String,
    /// The route pattern, `/v1/chat/completions`.
    pub endpoint: String,
    /// The first 13 characters of the key.
    pub display_prefix: String,
    /// Kind of the provider that served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Row of the provider that served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider_id: Option<ModelProviderId>,
    /// The model as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<String>,
    /// The model as dispatched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model of another vendor that stood in for the one that was asked (data-plane 13.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substituted_model: Option<String>,
    /// What guardrails said, name and word: `verdict.<direction>`, `fail_open.<direction>` with the reason,
    /// `timeout` with the direction, `applied` and `policy` with a guardrail's id each, `post.skipped`,
    /// `post_flag`, and `stream_chunk.skipped` with a count of frames.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guardrails: Vec<(String, String)>,
    /// `alias`, `explicit_slash`, `implicit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_source: Option<String>,
    /// Whether a stream was asked for.
    pub streaming: bool,
    /// Sampling parameters as they stood in the body: name to JSON text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// Names of parameters that the provider was not given (providers 13).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params_dropped: Vec<String>,
    /// The provider's id for its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// The model that the answer names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// Native words for why the model stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finish_reasons: Vec<String>,
    /// Token classes; `None` when unknown, never zero instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the request cost; `None` when the model has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// Whether the cost is an estimate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cost_estimated: bool,
    /// `success`, `success_no_usage`, `provider_error`, or an error code.
    pub status: String,
    /// `error.type` of the span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The public text of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The caller's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_user_id: Option<String>,
    /// The conversation that the client named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// `X-LangWatch-Thread-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// `X-LangWatch-Metadata`, verbatim JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<String>,
    /// `X-LangWatch-Trace-Metadata`, verbatim JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_metadata: Option<String>,
    /// Recognised client (`claude-code`, `openai-python`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The caller's own `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// Tags of the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The caller's `tracestate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// Microseconds to the first byte of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Frames of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_count: Option<u64>,
    /// Whether the secret was the one before a rotation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub grace_window: bool,
    /// `raw`, or why nothing was captured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub payload_capture: String,
    /// The candidates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What governed it.
    #[serde(skip_serializing_if = "Governance::is_empty")]
    pub governance: Governance,
    /// What was decided about it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// One gateway request.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRecord {
    /// The request.
    pub request_id: RequestId,
    /// The trace it is part of: the caller's when one was sent.
    pub trace_id: TraceId,
    /// Its own span.
    pub span_id: SpanId,
    /// The caller's span.
    pub parent_span_id: Option<SpanId>,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The project it is filed in.
    pub project_id: ProjectId,
    /// The key.
    pub virtual_key_id: VirtualKeyId,
    /// When the request arrived.
    pub started_at: UnixMicros,
    /// From arrival to the last byte.
    pub duration_us: u64,
    /// The status that the caller saw; 499 when the caller left before one.
    pub http_status: u16,
    /// Whether the request failed.
    pub error: bool,
    /// Everything else.
    pub facts: Facts,
    /// The request body.
    pub input: Option<Captured>,
    /// The answer.
    pub output: Option<Captured>,
}

/// Which traces are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct TraceQuery {
    /// The projects that the reader may see; never empty.
    pub projects: Vec<ProjectId>,
    /// First instant, inclusive.
    pub from: Option<UnixMicros>,
    /// Last instant, exclusive.
    pub to: Option<UnixMicros>,
    /// Plain text: matched against model names, key ids, users, labels and captured text.
    pub text: Option<String>,
    /// Only failed (`true`) or only successful ones.
    pub error: Option<bool>,
    /// Rows that were already read: everything strictly older than this (started_at, request).
    pub before: Option<(UnixMicros, RequestId)>,
    /// The most rows to return.
    pub limit: usize,
}

/// The port of the trace store. One writer appends batches; readers may ask at any time.
pub trait TraceStore: Send + Sync + 'static {
    /// Stores records; one that is already there is replaced (last write wins).
    ///
    /// # Errors
    /// Nothing of the batch was stored.
    fn append(&self, records: &[TraceRecord]) -> Result<(), StoreError>;

    /// The record of a gateway request.
    ///
    /// # Errors
    /// The store could not be asked.
    fn by_request(&self, id: RequestId) -> Result<Option<TraceRecord>, StoreError>;

    /// All records of a trace, oldest first.
    ///
    /// # Errors
    /// The store could not be asked.
    fn by_trace(&self, id: TraceId) -> Result<Vec<TraceRecord>, StoreError>;

    /// Up to `limit` distinct trace ids in `projects` that begin with `prefix` (hex, 8 characters or
    /// more).
    ///
    /// # Errors
    /// The store could not be asked.
    fn trace_ids(
        &self,
        projects: &[ProjectId],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<TraceId>, StoreError>;

    /// Newest first, and how many there are in all (counted up to 10 000).
    ///
    /// # Errors
    /// The store could not be asked.
    fn search(&self, query: &TraceQuery) -> Result<(Vec<TraceRecord>, u64), StoreError>;
}
