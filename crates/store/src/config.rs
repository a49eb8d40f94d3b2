//! What the management plane reads and writes: tenants, people, credentials, policies, and the record of
//! changes.
//!
//! Everything is written by [`ConfigStore::commit`]: a list of [`Write`]s and the [`Change`] that comes with
//! them land in one transaction, or none does (domain 1). Reads are one small trait for each aggregate.
//! Every read and write names the organization it is for; a row of another organization behaves like a
//! row that does not exist.
//!
//! Must never decide who may do what, mint an id or read a clock: callers bring all three. Start at
//! [`ConfigStore`].

mod changes;
mod keys;
mod people;
mod policies;
mod providers;
mod tenancy;
mod write;

use lw_core::UnixMicros;
use serde::{Deserialize, Serialize};

use crate::StoreError;

pub use self::changes::{
    AuditFilter, AuditRow, Change, ChangeEvent, ChangeKind, ChangeLog, ChangeRevision, ChangeRow,
    Freshness, Receipt,
};
pub use self::keys::{VirtualKeyFilter, VirtualKeys};
pub use self::people::{AccessOf, BindingFilter, Bound, Member, Membership, OwnerAccess, People};
pub use self::policies::{BudgetFilter, BudgetReach, Policies};
pub use self::providers::{ModelProviderFilter, ModelProviders};
pub use self::tenancy::{Tenancy, Tenant};
pub use self::write::{Committed, Known, Write};

/// Where a page ended: the sort key of its last row. It stays good when that row changes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When the row was created.
    pub created_at: UnixMicros,
    /// Its id.
    pub id: String,
}

/// One page of a list, newest first: `created_at` descending, then id descending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where to go on; set exactly when the page is full.
    pub next: Option<Cursor>,
}

/// What a scope is about, before it is known which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// The whole organization.
    Organization,
    /// One team.
    Team,
    /// One project.
    Project,
}

/// The management plane's port. Methods block; writes are serialised by the store.
///
/// Rows are checked against their organization on the way in: what names a scope, a project, a person or
/// a role that does not exist in the row's organization is refused as [`StoreError::Corrupt`], because
/// callers resolve all of these before they write.
///
/// # Errors
/// Every method, of the traits below too, fails with [`StoreError::Unavailable`] when the store is locked,
/// full or gone, and with [`StoreError::Corrupt`] when a stored row makes no sense. Other failures are
/// named at the method.
pub trait ConfigStore:
    Tenancy + People + ModelProviders + VirtualKeys + Policies + ChangeLog + Send + Sync + 'static
{
    /// Does `writes` in their order and records `change`, in one transaction.
    ///
    /// # Errors
    /// Nothing was written when it fails: [`StoreError::Missing`] when an updated or deleted row does not
    /// exist in its organization, [`StoreError::Stale`] when it has another revision than expected,
    /// [`StoreError::Conflict`] with the field (`slug`, `email`, `external_id`, `routing_handle`,
    /// `hashed_secret`, `name`, `idempotency_key`, `id`, …) that another row already has. See the trait.
    fn commit(&self, writes: &[Write<'_>], change: &Change) -> Result<Committed, StoreError>;
}
