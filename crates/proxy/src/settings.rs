//! What the data plane is told by the configuration. Plain values with units in their names.

use std::net::SocketAddr;
use std::time::Duration;

use lw_upstream::Timeouts;

/// Settings of the data plane (data-plane 24.3).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 picks one.
    pub addr: SocketAddr,
    /// Data threads; each runs its own event loop.
    pub threads: usize,
    /// The most bytes of a request body, compressed or not.
    pub max_body_bytes: usize,
    /// The most bytes of request and response bodies that the process holds at one time.
    pub max_bytes_in_flight: usize,
    /// The most captured bytes that wait for the trace store.
    pub max_captured_bytes: usize,
    /// Keys held in memory.
    pub key_cache_entries: usize,
    /// A pending JSON answer is kept alive by a space this often; `None` is off.
    pub heartbeat: Option<Duration>,
    /// Limits of a provider call.
    pub timeouts: Timeouts,
    /// How long to go on accepting after the signal to stop.
    pub drain_delay: Duration,
    /// How long requests in flight may go on after that.
    pub drain_limit: Duration,
    /// The product's version, shown in `X-LangWatch-Gateway-Version` and `User-Agent`.
    pub version: String,
    /// Log every request.
    pub access_log: bool,
    /// Where the control plane is reached, shown on `/debug/control-plane`.
    pub control_plane_base_url: String,
}
