//! What the data plane is told by the configuration. Plain values with units in their names.

use std::net::SocketAddr;
use std::time::Duration;

use lw_upstream::Timeouts;

/// Settings of the data plane (data-plane 24.3).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 picks one.
    pub addr: SocketAddr,
    /// The most bytes of a request body, compressed or not.
    pub max_body_bytes: usize,
    /// A pending JSON answer is kept alive by a space this often; `None` is off.
    pub heartbeat: Option<Duration>,
    /// Limits of a provider call.
    pub timeouts: Timeouts,
    /// Limits of guardrail checks.
    pub guardrails: GuardrailLimits,
    /// The product's version, shown in `X-LangWatch-Gateway-Version` and `User-Agent`.
    pub version: String,
    /// Where the control plane is reached, shown on `/debug/control-plane`.
    pub control_plane_base_url: String,
}

/// How long guardrails may take, and how much of a stream they see (data-plane 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardrailLimits {
    /// All checks of a request together (`GUARDRAIL_PRE_TIMEOUT_MS`).
    pub request: Duration,
    /// All checks of an answer together (`GUARDRAIL_POST_TIMEOUT_MS`).
    pub response: Duration,
    /// All checks of one piece of a stream together (`GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS`).
    pub stream_chunk: Duration,
    /// The last characters of a stream that are checked together with its next piece; 0 checks each piece by
    /// itself (`GUARDRAIL_STREAM_WINDOW_CHARS`).
    pub window_chars: usize,
}

impl Default for GuardrailLimits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            response: Duration::from_secs(5),
            stream_chunk: Duration::from_millis(50),
            window_chars: 0,
        }
    }
}
