//! Ports of the stores and the rows that cross them. No engine is named here.
//!
//! Each port is a small trait owned by its consumer's needs: [`bundle::KeySource`] for the data plane,
//! [`config`] for the management plane, [`ledger::Ledger`] for money, [`trace::TraceStore`] for traces.
//! All methods block: callers run them on threads of their own, never on a data thread.
//!
//! Must never hold SQL, and a secret only in its sealed form. Start at [`rows`].

pub mod bundle;
pub mod config;
pub mod ledger;
pub mod objects;
pub mod rows;
pub mod trace;

/// Why a store could not answer. A read never says "not found": that is an `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be used right now: locked, full, unreachable. Trying again later may help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A uniqueness rule refused the write.
    #[error("another row already has this {field}")]
    Conflict {
        /// The field that must be unique.
        field: &'static str,
    },
    /// A row that was to be changed or deleted does not exist in its organization.
    #[error("the row does not exist")]
    Missing,
    /// The row changed since it was read.
    #[error("the row changed since it was read")]
    Stale,
    /// A stored row cannot be understood: damaged, or written by a newer version.
    #[error("a stored row cannot be understood: {0}")]
    Corrupt(String),
}
