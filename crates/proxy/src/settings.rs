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
    /// The product's version, shown in `X-LangWatch-Gateway-Version` and `User-Agent`.
    pub version: String,
    /// Where the control plane is reached, shown on `/debug/control-plane`.
    pub control_plane_base_url: String,
    /// What budgets, circuits and guardrails are told.
    pub governance: Governance,
}

/// Settings of what refuses, holds back or moves requests (data-plane 13.5, 15, 16.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Governance {
    /// The output tokens that a soft budget holds for a call that names no limit of its own.
    pub usual_output_tokens: u64,
    /// People's keys count for their teams' budgets (domain C-15).
    pub team_budget_principals: bool,
    /// When a provider credential is left alone for a while.
    pub circuit: Circuit,
    /// How long guardrails may take, and how far a stream is looked back on.
    pub guardrails: GuardrailTimes,
}

impl Default for Governance {
    fn default() -> Self {
        Self {
            usual_output_tokens: 1024,
            team_budget_principals: true,
            circuit: Circuit::default(),
            guardrails: GuardrailTimes::default(),
        }
    }
}

/// Settings of the circuit of each provider credential (data-plane 13.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// Failures that lie further back than this do not count.
    pub window: Duration,
    /// Failures within the window that open the circuit; at least 1.
    pub threshold: u32,
    /// How long it stays open before one request may try again.
    pub cooldown: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            threshold: 10,
            cooldown: Duration::from_secs(60),
        }
    }
}

/// Limits of guardrail checks (data-plane 16.1, 16.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardrailTimes {
    /// All checks of a request together.
    pub request: Duration,
    /// All checks of a whole answer together.
    pub response: Duration,
    /// The checks of one piece of a stream; afterwards it passes unchecked.
    pub stream_chunk: Duration,
    /// Characters before a piece of a stream that are checked with it, so that a pattern which is split
    /// over two pieces is found; 0 checks each piece alone.
    pub window_chars: usize,
}

impl Default for GuardrailTimes {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            response: Duration::from_secs(5),
            stream_chunk: Duration::from_millis(50),
            window_chars: 0,
        }
    }
}
