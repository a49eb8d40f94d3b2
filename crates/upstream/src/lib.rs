//! The only code that dials a provider: addresses, TLS, pooled connections.
//!
//! A [`Pool`] belongs to one data thread, so that no connection is ever shared between threads. Must
//! never follow a redirect, retry what may have reached a provider, or dial an address that the
//! [`AddressGuard`] refuses.
//!
//! Start at [`Pool::send`].

pub mod body;
pub mod endpoint;
pub mod guard;
pub mod pool;
mod stream;
pub mod tls;

pub use body::{RequestBody, UpstreamBody};
pub use endpoint::{Endpoint, EndpointError};
pub use guard::{AddressGuard, Refusal};
pub use pool::{Pool, Sent, Timeouts, UpstreamError};
