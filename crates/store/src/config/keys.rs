//! Reading virtual keys.

use lw_core::{OrganizationId, RoutingPolicyId, UnixMicros, UserId, VirtualKeyId};

use super::{Cursor, Page};
use crate::StoreError;
use crate::rows::{KeyStatus, Scope, VirtualKey};

/// Which keys are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct VirtualKeyFilter {
    /// Only the key with this external id.
    pub external_id: Option<String>,
    /// Only keys that stand so.
    pub status: Option<KeyStatus>,
    /// Only keys that use this policy.
    pub routing_policy_id: Option<RoutingPolicyId>,
    /// Only keys of this person.
    pub principal_user_id: Option<UserId>,
    /// Only keys with at least one of these scope rows.
    pub scopes: Option<Vec<Scope>>,
}

/// Virtual keys. Errors: see [`super::ConfigStore`].
pub trait VirtualKeys {
    /// A key of an organization, whatever its status.
    fn virtual_key(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<VirtualKey>, StoreError>;

    /// Keys of an organization, newest first.
    fn virtual_keys(
        &self,
        organization: &OrganizationId,
        filter: &VirtualKeyFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<VirtualKey>, StoreError>;

    /// Remembers when keys last served a request; never moves back, skips keys that are unknown.
    /// Neither audited nor announced. That a key is touched at most once a minute is the caller's job.
    fn touch_virtual_keys(&self, touched: &[(VirtualKeyId, UnixMicros)]) -> Result<(), StoreError>;
}
