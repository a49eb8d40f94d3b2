//! Whose request made what is kept at a provider: stored answers, containers, caches.
//!
//! Providers know one credential, not our projects. What was made by a request is the property of the project
//! that the request was filed in; whoever else names it must not reach it. What nobody's request made has no
//! owner. Objects of answers are recorded with the money of their requests ([`crate::ledger::Entry::made`]).
//! Must never give an object another owner once it has one, but through [`ProviderObjects::keep`].

use lw_core::{ModelProviderId, ProjectId, UnixMicros};

use crate::StoreError;

/// The port. Blocks: not for data threads.
pub trait ProviderObjects: Send + Sync + 'static {
    /// The owner of each of `ids` at the provider of this row, in their order; `None` for what nobody's
    /// request made.
    ///
    /// # Errors
    /// The store could not be asked.
    fn owners(
        &self,
        provider: &ModelProviderId,
        ids: &[String],
    ) -> Result<Vec<Option<ProjectId>>, StoreError>;

    /// Records, durably, that a request of `project` has just made `id` there. The provider says that it is
    /// new, so whoever had something of that id before has it no longer.
    ///
    /// # Errors
    /// Nothing was written.
    fn keep(
        &self,
        provider: &ModelProviderId,
        project: &ProjectId,
        id: &str,
        at: UnixMicros,
    ) -> Result<(), StoreError>;
}
