//! What every mutation leaves behind: the change event that gateways follow, the audit row, the answer
//! to a repeated call.
//!
//! Must never hold a secret in clear. Start at [`Change`].

use lw_core::{BudgetId, ModelProviderId, OrganizationId, ProjectId, UnixMicros, VirtualKeyId};
use serde::{Deserialize, Serialize};

use super::{Cursor, Page};
use crate::StoreError;

/// The place of a change in the global order of changes. Not the revision of a row.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ChangeRevision(pub i64);

/// What kind of change gateways are told about: exactly these (domain 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeKind {
    /// A key was minted.
    VkCreated,
    /// A key, or something that its bundle is built from, changed.
    VkConfigUpdated,
    /// A key was revoked.
    VkRevoked,
    /// A key has a new secret.
    VkRotated,
    /// A key was disabled.
    VkDisabled,
    /// A key was enabled again.
    VkEnabled,
    /// A budget was created.
    BudgetCreated,
    /// A budget, its spend or its membership changed.
    BudgetUpdated,
    /// A budget was archived.
    BudgetDeleted,
    /// A provider was created, changed or deleted.
    ModelProviderUpdated,
    /// A cache rule was created.
    CacheRuleCreated,
    /// A cache rule changed.
    CacheRuleUpdated,
    /// A cache rule was archived.
    CacheRuleDeleted,
    /// A routing policy changed.
    RoutingPolicyUpdated,
    /// A routing policy was deleted.
    RoutingPolicyDeleted,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::VkCreated,
        Self::VkConfigUpdated,
        Self::VkRevoked,
        Self::VkRotated,
        Self::VkDisabled,
        Self::VkEnabled,
        Self::BudgetCreated,
        Self::BudgetUpdated,
        Self::BudgetDeleted,
        Self::ModelProviderUpdated,
        Self::CacheRuleCreated,
        Self::CacheRuleUpdated,
        Self::CacheRuleDeleted,
        Self::RoutingPolicyUpdated,
        Self::RoutingPolicyDeleted,
    ];

    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VkCreated => "VK_CREATED",
            Self::VkConfigUpdated => "VK_CONFIG_UPDATED",
            Self::VkRevoked => "VK_REVOKED",
            Self::VkRotated => "VK_ROTATED",
            Self::VkDisabled => "VK_DISABLED",
            Self::VkEnabled => "VK_ENABLED",
            Self::BudgetCreated => "BUDGET_CREATED",
            Self::BudgetUpdated => "BUDGET_UPDATED",
            Self::BudgetDeleted => "BUDGET_DELETED",
            Self::ModelProviderUpdated => "MODEL_PROVIDER_UPDATED",
            Self::CacheRuleCreated => "CACHE_RULE_CREATED",
            Self::CacheRuleUpdated => "CACHE_RULE_UPDATED",
            Self::CacheRuleDeleted => "CACHE_RULE_DELETED",
            Self::RoutingPolicyUpdated => "ROUTING_POLICY_UPDATED",
            Self::RoutingPolicyDeleted => "ROUTING_POLICY_DELETED",
        }
    }

    /// Reads a name of [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What gateways are told about a change, so that they drop what they hold (domain 17).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// What happened.
    pub kind: ChangeKind,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The key that changed.
    pub virtual_key_id: Option<VirtualKeyId>,
    /// The provider that changed.
    pub model_provider_id: Option<ModelProviderId>,
    /// The budget that changed.
    pub budget_id: Option<BudgetId>,
    /// The project concerned.
    pub project_id: Option<ProjectId>,
    /// Anything else that a gateway needs, a JSON object as text: `{"routing_policy_id":"rp_…"}`.
    pub payload: Option<String>,
}

impl ChangeEvent {
    /// An event that names its tenant only.
    #[must_use]
    pub const fn of(kind: ChangeKind, organization_id: OrganizationId) -> Self {
        Self {
            kind,
            organization_id,
            virtual_key_id: None,
            model_provider_id: None,
            budget_id: None,
            project_id: None,
            payload: None,
        }
    }
}

/// A stored change event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its place in the global order. A reader that saw one never later finds a smaller new one.
    pub revision: ChangeRevision,
    /// What happened.
    pub event: ChangeEvent,
    /// When it was written.
    pub created_at: UnixMicros,
}

/// One row of the audit log (domain 19). Never holds a secret, a hash or a credential: the caller masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Unique; minted by the caller.
    pub id: String,
    /// When it happened. The change event of the same [`Change`] is stamped with it too.
    pub created_at: UnixMicros,
    /// The actor: `user_…`, `svc_…` or `instance-admin`.
    pub user_id: Option<String>,
    /// The tenant; unset for acts on the installation.
    pub organization_id: Option<OrganizationId>,
    /// The project concerned.
    pub project_id: Option<ProjectId>,
    /// `gateway.virtual_key.created`.
    pub action: String,
    /// `virtual_key`, `provider_binding`.
    pub target_kind: Option<String>,
    /// The row concerned.
    pub target_id: Option<String>,
    /// The row before, JSON text.
    pub before: Option<String>,
    /// The row after, JSON text.
    pub after: Option<String>,
    /// The arguments of the call, JSON text.
    pub args: Option<String>,
    /// Anything else, JSON text.
    pub metadata: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Where the call came from.
    pub ip_address: Option<String>,
    /// What called.
    pub user_agent: Option<String>,
}

/// The answer of a creating call, kept so that a repetition gets the same one (domain 21).
///
/// It is written in the transaction of what it answers for, so either both are there or neither is: a
/// call that died in the middle leaves nothing that a repetition could trip over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The project or organization that the key belongs to.
    pub scope_id: String,
    /// What the caller sent as `Idempotency-Key`.
    pub key: String,
    /// `hex(sha256(operation and body))`: another body under the same key is refused.
    pub fingerprint: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The answer, sealed: it may hold a secret that was shown once.
    pub sealed_body: String,
    /// When it was written.
    pub created_at: UnixMicros,
    /// From then on the key may be used anew.
    pub expires_at: UnixMicros,
}

/// What lands together with a mutation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// What gateways are told.
    pub events: Vec<ChangeEvent>,
    /// What the audit log keeps.
    pub audit: Vec<AuditRow>,
    /// The answer to be given again.
    pub receipt: Option<Receipt>,
}

/// Which rows of the audit log are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From this instant on.
    pub from: Option<UnixMicros>,
    /// Before this instant.
    pub to: Option<UnixMicros>,
    /// Exactly this action; a text that ends in `.` is a prefix.
    pub action: Option<String>,
    /// Only this kind of target.
    pub target_kind: Option<String>,
    /// Only this target.
    pub target_id: Option<String>,
    /// Only this actor.
    pub user_id: Option<String>,
    /// Only this project.
    pub project_id: Option<ProjectId>,
}

/// The record of changes and the answers to repeated calls.
pub trait ChangeLog {
    /// The newest change revision; zero before the first.
    fn latest_change(&self) -> Result<ChangeRevision, StoreError>;

    /// Changes of all organizations after `revision`, oldest first.
    fn changes_since(
        &self,
        revision: ChangeRevision,
        limit: usize,
    ) -> Result<Vec<ChangeRow>, StoreError>;

    /// The audit log of an organization, newest first.
    fn audit(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<AuditRow>, StoreError>;

    /// The receipt of a key that has not expired at `now`.
    fn receipt(
        &self,
        scope_id: &str,
        key: &str,
        now: UnixMicros,
    ) -> Result<Option<Receipt>, StoreError>;
}

/// Hears of changes in the same process. The control plane calls it after the commit and before it
/// answers, so that the next request already sees the change.
pub trait Freshness: Send + Sync {
    /// Drops whatever is held about the rows that `change` names. Must not block on the store.
    fn changed(&self, change: &ChangeEvent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_reads_back_and_serialises_under_its_own_name() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
        assert_eq!(ChangeKind::parse("vk_created"), None);
    }
}
