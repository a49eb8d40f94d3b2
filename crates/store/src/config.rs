//! What the management plane reads and writes: tenants, people, credentials, and the record of changes.
//!
//! Every mutation carries a [`Change`]: the row, the change event that gateways follow and the audit row
//! land in one transaction, or none does (domain 1). Every read and write names the organization it is
//! for; a row of another organization behaves like a row that does not exist.
//!
//! Must never decide who may do what, mint an id or read a clock: callers bring all three. Start at
//! [`ConfigStore`].

use lw_core::{
    ApiKeyId, ModelProviderId, OrganizationId, ProjectId, UnixMicros, UserId, VirtualKeyId,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::rows::{
    ApiKey, KeyStatus, ModelProvider, Organization, Project, Scope, Team, User, VirtualKey,
};

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
    /// The project concerned.
    pub project_id: Option<ProjectId>,
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

/// What lands together with a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What gateways are told; `None` when no gateway needs to know.
    pub event: Option<ChangeEvent>,
    /// What the audit log keeps.
    pub audit: AuditRow,
}

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

/// What a person is in an organization (domain 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// May do everything.
    Admin,
    /// An ordinary member.
    Member,
    /// A lite member.
    External,
}

/// A person and what they are in the organization that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user: User,
    /// Their role.
    pub role: MemberRole,
}

/// An organization and what the person who was asked about is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: Organization,
    /// The person's role.
    pub role: MemberRole,
}

/// An organization with what every organization starts with (domain 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The organization.
    pub organization: Organization,
    /// Its first team.
    pub default_team: Team,
    /// A project in the first team.
    pub default_project: Project,
    /// The team that holds the governance project.
    pub hidden_team: Team,
    /// The project of kind `internal_governance`.
    pub governance_project: Project,
}

/// Everything that an empty installation begins with.
#[derive(Debug, Clone)]
pub struct FirstStart {
    /// The organization.
    pub tenant: Tenant,
    /// The first person, an organization admin. Without email and password until `/setup` sets them.
    pub administrator: User,
    /// The organization-wide key.
    pub api_key: ApiKey,
}

/// Which providers are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct ModelProviderFilter {
    /// Only this kind: `openai`.
    pub provider: Option<String>,
}

/// Which keys are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct VirtualKeyFilter {
    /// Only the key with this external id.
    pub external_id: Option<String>,
    /// Only keys that stand so.
    pub status: Option<KeyStatus>,
}

/// The management plane's port. Methods block; writes are serialised by the store.
///
/// Rows are checked against their organization on the way in: a scope or a trace project that does not
/// exist in the row's organization is refused as [`StoreError::Corrupt`], because callers resolve both
/// ([`Self::resolve_scope`], [`Self::project`]) before they write.
///
/// # Errors
/// Every method fails with [`StoreError::Unavailable`] when the store is locked, full or gone, and with
/// [`StoreError::Corrupt`] when a stored row makes no sense. Other failures are named at the method.
pub trait ConfigStore: Send + Sync + 'static {
    // First start and tenants.

    /// Whether no organization exists yet.
    ///
    /// # Errors
    /// See the trait.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// Writes everything that an empty installation begins with, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `organization` when the installation is not empty. See the trait.
    fn first_start(
        &self,
        start: &FirstStart,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError>;

    /// Adds an organization with its teams and projects.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `slug` or `id`. See the trait.
    fn create_organization(
        &self,
        tenant: &Tenant,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError>;

    /// Adds a team to its organization.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `slug` or `id`. See the trait.
    fn create_team(&self, row: &Team, change: &Change) -> Result<ChangeRevision, StoreError>;

    /// Adds a project to its team, which must be of the same organization.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `slug` or `id`. See the trait.
    fn create_project(&self, row: &Project, change: &Change) -> Result<ChangeRevision, StoreError>;

    /// An organization by its id.
    ///
    /// # Errors
    /// See the trait.
    fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError>;

    /// An organization by its slug.
    ///
    /// # Errors
    /// See the trait.
    fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, StoreError>;

    /// All teams of an organization, oldest first, hidden ones too (see [`Team::hidden`]).
    ///
    /// # Errors
    /// See the trait.
    fn teams(&self, organization: &OrganizationId) -> Result<Vec<Team>, StoreError>;

    /// All projects of an organization, oldest first, archived and governance ones too.
    ///
    /// # Errors
    /// See the trait.
    fn projects(&self, organization: &OrganizationId) -> Result<Vec<Project>, StoreError>;

    /// A project of an organization by its id, archived or not.
    ///
    /// # Errors
    /// See the trait.
    fn project(
        &self,
        organization: &OrganizationId,
        id: &ProjectId,
    ) -> Result<Option<Project>, StoreError>;

    /// The oldest live project of kind `internal_governance` (domain 10, rule 3).
    ///
    /// # Errors
    /// See the trait.
    fn governance_project(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<Project>, StoreError>;

    /// Turns what a caller wrote into a scope: an exact id wins, else a slug inside the organization
    /// (domain C-3). Archived projects and hidden teams do not resolve.
    ///
    /// # Errors
    /// See the trait.
    fn resolve_scope(
        &self,
        organization: &OrganizationId,
        kind: ScopeKind,
        id_or_slug: &str,
    ) -> Result<Option<Scope>, StoreError>;

    // People.

    /// A person by id.
    ///
    /// # Errors
    /// See the trait.
    fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// A person by email, which is compared in lower case.
    ///
    /// # Errors
    /// See the trait.
    fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError>;

    /// The people of an organization, oldest first.
    ///
    /// # Errors
    /// See the trait.
    fn members(&self, organization: &OrganizationId) -> Result<Vec<Member>, StoreError>;

    /// The organizations of a person, oldest first.
    ///
    /// # Errors
    /// See the trait.
    fn memberships(&self, user: &UserId) -> Result<Vec<Membership>, StoreError>;

    /// Replaces email, name and password hash of a person. `None` when there is no such person.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `email`. See the trait.
    fn update_user(
        &self,
        row: &User,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError>;

    // Management API keys.

    /// An API key by the public part of its token, whatever its organization and state.
    ///
    /// # Errors
    /// See the trait.
    fn api_key_by_lookup_id(&self, lookup_id: &str) -> Result<Option<ApiKey>, StoreError>;

    /// Adds an API key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `lookup_id` or `id`. See the trait.
    fn create_api_key(&self, row: &ApiKey, change: &Change) -> Result<ChangeRevision, StoreError>;

    /// Remembers when an API key last served a call; never moves back. Neither audited nor announced.
    ///
    /// # Errors
    /// See the trait.
    fn touch_api_key(&self, id: &ApiKeyId, at: UnixMicros) -> Result<(), StoreError>;

    // Model providers.

    /// Adds a provider; it is stored with revision 1 whatever `row.revision` says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `routing_handle` or `id`. See the trait.
    fn create_model_provider(
        &self,
        row: &ModelProvider,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError>;

    /// Replaces a provider that still has revision `expected`; it is stored with `expected + 1`, and
    /// keeps its `created_at`. `None` when the organization has no such provider.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the revision is another one, [`StoreError::Conflict`] on
    /// `routing_handle`. See the trait.
    fn update_model_provider(
        &self,
        row: &ModelProvider,
        expected: i64,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError>;

    /// Deletes a provider with its credentials and scopes. `None` when the organization has no such
    /// provider; nothing is written then.
    ///
    /// # Errors
    /// See the trait.
    fn delete_model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError>;

    /// A provider of an organization.
    ///
    /// # Errors
    /// See the trait.
    fn model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
    ) -> Result<Option<ModelProvider>, StoreError>;

    /// Providers of an organization, newest first.
    ///
    /// # Errors
    /// See the trait.
    fn model_providers(
        &self,
        organization: &OrganizationId,
        filter: &ModelProviderFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<ModelProvider>, StoreError>;

    /// Enabled, dispatchable providers that are reachable from `scopes`, in dispatch order (domain 9,
    /// steps 1 and 2 without a policy). Scopes of another organization reach nothing.
    ///
    /// # Errors
    /// See the trait.
    fn reachable_providers(
        &self,
        organization: &OrganizationId,
        scopes: &[Scope],
    ) -> Result<Vec<ModelProvider>, StoreError>;

    // Virtual keys.

    /// Adds a key; it is stored with revision 1 whatever `row.revision` says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] on `external_id`, `hashed_secret` or `id`. See the trait.
    fn create_virtual_key(
        &self,
        row: &VirtualKey,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError>;

    /// Replaces a key that still has revision `expected`; it is stored with `expected + 1`, and keeps
    /// its `created_at`, `created_by` and `last_used_at`. `None` when the organization has no such key.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the revision is another one, [`StoreError::Conflict`] on
    /// `external_id` or `hashed_secret`. See the trait.
    fn update_virtual_key(
        &self,
        row: &VirtualKey,
        expected: i64,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError>;

    /// A key of an organization, whatever its status.
    ///
    /// # Errors
    /// See the trait.
    fn virtual_key(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<VirtualKey>, StoreError>;

    /// Keys of an organization, newest first.
    ///
    /// # Errors
    /// See the trait.
    fn virtual_keys(
        &self,
        organization: &OrganizationId,
        filter: &VirtualKeyFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<VirtualKey>, StoreError>;

    /// Remembers when keys last served a request; never moves back, skips keys that are unknown.
    /// Neither audited nor announced. That a key is touched at most once a minute is the caller's job.
    ///
    /// # Errors
    /// See the trait.
    fn touch_virtual_keys(&self, touched: &[(VirtualKeyId, UnixMicros)]) -> Result<(), StoreError>;

    // The record of changes.

    /// The newest change revision; zero before the first.
    ///
    /// # Errors
    /// See the trait.
    fn latest_change(&self) -> Result<ChangeRevision, StoreError>;

    /// Changes of all organizations after `revision`, oldest first.
    ///
    /// # Errors
    /// See the trait.
    fn changes_since(
        &self,
        revision: ChangeRevision,
        limit: usize,
    ) -> Result<Vec<ChangeRow>, StoreError>;

    /// The audit log of an organization, newest first.
    ///
    /// # Errors
    /// See the trait.
    fn audit(
        &self,
        organization: &OrganizationId,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<AuditRow>, StoreError>;
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
