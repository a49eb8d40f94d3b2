//! The control plane's HTTP API: tenants, model providers, virtual keys, traces.
//!
//! A request passes four stations, one file each. `routes` is the table of everything that is served,
//! with the permission of each route. `serve` runs a request: credential, body, handler, answer.
//! `caller` turns a credential into a `caller::Permit`, which every service function asks for, so
//! that nothing can be done for a caller nobody checked. `edge` is the one place that writes an error.
//!
//! What can be done lives in a folder for each kind of thing: `keys`, `providers`, `traces`; each
//! has `mod.rs` (handlers), `body.rs` (what callers send), `service.rs` (the rules) and `view.rs` (what
//! callers see). Roles go into `caller`, a new resource gets a folder and rows in `routes`.
//!
//! Must never hold SQL, show a secret after the answer that mints it, or block an async thread: handlers
//! are plain functions on blocking threads, so a caller who hangs up cannot stop a write between its
//! commit and the news of it. Start at [`router`].

mod caller;
mod edge;
mod input;
mod keys;
mod open;
mod page;
mod permission;
mod providers;
mod requests;
mod routes;
mod scope;
mod serve;
mod tenants;
#[cfg(test)]
mod tests;
mod traces;
mod write;

use std::fmt;
use std::sync::Arc;

use lw_core::{Clock, Entropy};
use lw_crypto::{Pepper, Sealer};
use lw_store::config::{ConfigStore, Freshness};
use lw_store::ledger::Ledger;
use lw_store::trace::TraceStore;

/// Says whether a base URL may be stored: `Err` holds the public reason (SSRF, README).
pub type BaseUrlPolicy = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Facts of this installation that answers mention or that change a rule.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The version of the product.
    pub version: String,
    /// Where people open the console, without a trailing slash: links in answers begin with it.
    pub ui_base_url: String,
    /// Where applications reach the data plane.
    pub gateway_public_url: String,
    /// `LW_GATEWAY_TRACE_PROJECT_STRICT`: refuse to guess a key's trace project (domain 10, rule 4).
    pub trace_project_strict: bool,
}

/// Everything that the control plane works with. The process that serves it brings all of it.
pub struct Admin {
    /// Tenants, providers, keys, and the record of changes.
    pub store: Arc<dyn ConfigStore>,
    /// What was spent.
    pub ledger: Arc<dyn Ledger>,
    /// What was asked and answered.
    pub traces: Arc<dyn TraceStore>,
    /// Told of every change after its commit and before the answer.
    pub freshness: Arc<dyn Freshness>,
    /// Seals provider credentials.
    pub sealer: Arc<Sealer>,
    /// Hashes virtual keys.
    pub key_pepper: Pepper,
    /// Hashes API keys.
    pub credential_pepper: Pepper,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Chance for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Checks a base URL when it is saved.
    pub base_url_policy: BaseUrlPolicy,
    /// Facts of this installation.
    pub settings: AdminSettings,
    /// Whether migrations are done and the process can serve (`/readyz`).
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The router of the control plane, ready to be served.
pub fn router(admin: Admin) -> axum::Router {
    serve::mount(admin, routes::table())
}
