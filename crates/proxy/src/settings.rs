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
    /// The product's version, shown in `X-LangWatch-Gateway-Version` and `User-Agent`.
    pub version: String,
    /// Where the control plane is reached, shown on `/debug/control-plane`.
    pub control_plane_base_url: String,
}
