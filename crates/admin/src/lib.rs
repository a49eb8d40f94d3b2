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

mod api_keys;
mod audit;
mod bindings;
mod budgets;
mod cache_rules;
mod caller;
mod credential;
mod edge;
pub mod explain;
mod groups;
mod guardrails;
mod idempotency;
mod input;
mod instance;
mod keys;
mod limit;
mod me;
mod money;
mod open;
mod openapi;
mod organization;
mod page;
mod permission;
mod policies;
mod prices;
mod projects;
mod providers;
mod requests;
mod revised;
mod roles;
mod routes;
mod schemas;
mod scope;
mod serve;
mod slug;
mod sorted;
mod stamp;
mod teams;
mod tenant;
#[cfg(test)]
mod tests;
mod traces;
mod write;

pub use self::budgets::{Books, open_missing as open_missing_budgets};
use self::explain::Explains;
pub use self::tenant::new_tenant;

use std::fmt;
use std::sync::Arc;

use lw_core::{Clock, Entropy, Secret};
use lw_crypto::{Pepper, Sealer};
use lw_store::config::{ConfigStore, Freshness};
use lw_store::ledger::Ledger;
use lw_store::trace::TraceStore;

/// Says whether a base URL may be stored: `Err` holds the public reason (SSRF, README).
pub type BaseUrlPolicy = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What asking a provider came to (management-api 12.2, `test`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// How long the provider took, in milliseconds.
    pub latency_ms: u64,
    /// Why it does not work, in words for the administrator; without any credential.
    pub error: Option<String>,
}

/// Makes one cheap call to a provider. The process that dials providers implements it.
pub trait Prober: Send + Sync {
    /// Asks the provider of a stored row, with its credentials. Blocks for at most some seconds.
    fn probe(&self, row: &lw_store::rows::ModelProvider) -> Probe;
}

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
    /// Calls that one credential may make to the gateway family in a minute; zero is no limit.
    pub rate_limit_rpm: u32,
    /// `LW_ENTERPRISE_FEATURES`: whether groups may be used (domain C-14).
    pub enterprise_features: bool,
    /// `LW_GATEWAY_TEAM_BUDGET_PRINCIPALS`: people's keys count for their teams' budgets (domain C-15).
    pub team_budget_principals: bool,
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
    /// Hashes API keys and project keys.
    pub credential_pepper: Pepper,
    /// What they may still be hashed with since the sealing key was rotated.
    pub previous_credential_peppers: Vec<Pepper>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Asks providers whether a credential works.
    pub prober: Arc<dyn Prober>,
    /// Says what would become of a request.
    pub explainer: Arc<dyn Explains>,
    /// The key of whoever runs the installation; `None` closes `/api/organizations` (domain 5.5).
    pub instance_key: Option<Secret>,
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

/// The description of the whole API (OpenAPI 3.1) as it is committed: indented JSON and a final newline.
#[must_use]
pub fn openapi_text() -> String {
    format!("{:#}\n", openapi::document())
}

/// The router of the control plane, ready to be served.
pub fn router(admin: Admin) -> axum::Router {
    serve::mount(admin, routes::table())
}
