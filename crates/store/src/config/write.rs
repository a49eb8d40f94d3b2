//! The one way in: what a transaction may do. See [`super::ConfigStore::commit`].

use lw_core::{
    BudgetId, GroupId, ModelPriceId, ModelProviderId, OrganizationId, ProjectId, RoleBindingId,
    RoleId, RoutingPolicyId, TeamId, UnixMicros, UserId,
};

use super::{ChangeEvent, ChangeRevision, Member, Tenant};
use crate::rows::{
    ApiKey, Budget, BudgetTarget, CacheRule, CustomRole, Group, Guardrail, Invite, MemberRole,
    ModelPrice, ModelProvider, Organization, Principal, Project, RoleBinding, RoutingPolicy, Scope,
    Team, TeamMember, User, VirtualKey,
};

/// What a caller read before it decided what to write.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// An organization.
    Organization(&'a Organization),
    /// A team.
    Team(&'a Team),
    /// A project.
    Project(&'a Project),
    /// What a person is in an organization.
    Member {
        /// The organization.
        organization: &'a OrganizationId,
        /// The membership.
        member: &'a Member,
    },
    /// A group.
    Group(&'a Group),
    /// A custom role.
    Role(&'a CustomRole),
    /// A binding.
    Binding(&'a RoleBinding),
    /// All bindings of a principal, oldest first.
    BindingsOf {
        /// The organization.
        organization: &'a OrganizationId,
        /// Whose they are.
        principal: &'a Principal,
        /// All of them.
        bindings: &'a [RoleBinding],
    },
    /// An API key, whenever it was used last.
    ApiKey(&'a ApiKey),
    /// An invitation.
    Invite(&'a Invite),
}

/// One step of a transaction.
///
/// Rows with a revision are inserted with revision 1 whatever they say, and updated only while they still
/// have revision `expected`; they get `expected + 1`. An update keeps `created_at`, `created_by` and
/// `last_used_at` of the stored row.
#[derive(Debug, Clone, Copy)]
#[expect(
    missing_docs,
    reason = "the fields of the variants repeat the names of what they hold"
)]
pub enum Write<'a> {
    // Conditions.
    /// Writes nothing; [`crate::StoreError::Stale`] when what was read is not there any more, or not the
    /// same. For rows that count no revisions.
    StillIs(Known<'a>),
    /// Writes nothing; a conflict on `administrator` when the organization has no enabled one. Stands
    /// behind what takes one away.
    RequireAdministrator {
        organization: &'a OrganizationId,
    },
    /// Writes nothing; a conflict on `team` while the team has a live project.
    RequireNoProject {
        organization: &'a OrganizationId,
        team: &'a TeamId,
    },

    // Tenants.
    /// The first organization of an installation; a conflict on `organization` when there is one.
    FirstOrganization(&'a Tenant),
    /// A further organization with its teams and projects.
    InsertOrganization(&'a Tenant),
    UpdateOrganization(&'a Organization),
    InsertTeam(&'a Team),
    UpdateTeam(&'a Team),
    InsertProject(&'a Project),
    UpdateProject(&'a Project),

    // People.
    InsertUser(&'a User),
    UpdateUser(&'a User),
    /// Adds a membership or replaces its role and whether it is disabled.
    PutMember {
        organization: &'a OrganizationId,
        user: &'a UserId,
        role: MemberRole,
        disabled_at: Option<UnixMicros>,
        /// When the membership began; kept when it exists.
        now: UnixMicros,
    },
    /// Ends a membership, with the person's places in teams and groups and the bindings there. Each live
    /// budget of those teams and groups adds `BUDGET_UPDATED`.
    RemoveMember {
        organization: &'a OrganizationId,
        user: &'a UserId,
    },
    /// Adds a place in a team or replaces its role. Each live budget of the team adds `BUDGET_UPDATED` when
    /// the person was not in it.
    PutTeamMember {
        organization: &'a OrganizationId,
        row: &'a TeamMember,
    },
    /// Each live budget of the team adds `BUDGET_UPDATED`.
    RemoveTeamMember {
        organization: &'a OrganizationId,
        team: &'a TeamId,
        user: &'a UserId,
    },
    InsertGroup(&'a Group),
    UpdateGroup(&'a Group),
    /// Deletes a group with its members and bindings.
    DeleteGroup {
        organization: &'a OrganizationId,
        id: &'a GroupId,
    },
    /// Adds a person to a group, and each live budget of the group adds `BUDGET_UPDATED`; nothing happens
    /// when they are in it.
    AddGroupMember {
        organization: &'a OrganizationId,
        group: &'a GroupId,
        user: &'a UserId,
    },
    /// Each live budget of the group adds `BUDGET_UPDATED`.
    RemoveGroupMember {
        organization: &'a OrganizationId,
        group: &'a GroupId,
        user: &'a UserId,
    },
    /// A conflict on `name` when another role of kind custom has it.
    InsertRole(&'a CustomRole),
    UpdateRole(&'a CustomRole),
    /// A conflict on `role` while something is bound to it.
    DeleteRole {
        organization: &'a OrganizationId,
        id: &'a RoleId,
    },
    InsertBinding(&'a RoleBinding),
    UpdateBinding(&'a RoleBinding),
    DeleteBinding {
        organization: &'a OrganizationId,
        id: &'a RoleBindingId,
    },
    /// Deletes every binding of a principal, and private roles that only they used.
    DeleteBindingsOf {
        organization: &'a OrganizationId,
        principal: &'a Principal,
    },
    InsertApiKey(&'a ApiKey),
    /// Replaces name, description, mode, expiry and revocation; keeps the rest.
    UpdateApiKey(&'a ApiKey),
    /// Revokes every personal API key of a person. Counts the keys.
    RevokeApiKeysOf {
        organization: &'a OrganizationId,
        user: &'a UserId,
        now: UnixMicros,
    },
    InsertInvite(&'a Invite),
    UpdateInvite(&'a Invite),

    // Providers.
    InsertModelProvider(&'a ModelProvider),
    UpdateModelProvider {
        row: &'a ModelProvider,
        expected: i64,
    },
    /// Deletes a provider with its credentials and scopes, when it has the expected revision if one is
    /// named.
    DeleteModelProvider {
        organization: &'a OrganizationId,
        id: &'a ModelProviderId,
        expected: Option<i64>,
    },

    // Keys.
    InsertVirtualKey(&'a VirtualKey),
    UpdateVirtualKey {
        row: &'a VirtualKey,
        expected: i64,
    },
    /// Revokes every key whose principal this is, as domain 7.3 says of revoking; each adds its event.
    /// Counts the keys.
    RevokeKeysOf {
        organization: &'a OrganizationId,
        user: &'a UserId,
        by: &'a str,
        now: UnixMicros,
    },
    /// Counts one more revision on every key that attaches the guardrail; each adds `VK_CONFIG_UPDATED`.
    /// Counts the keys.
    BumpKeysWithGuardrail {
        organization: &'a OrganizationId,
        guardrail: &'a str,
        now: UnixMicros,
    },
    /// Counts one more revision on every key that files its traces in the project; each adds
    /// `VK_CONFIG_UPDATED`. Counts the keys.
    BumpKeysTracingInto {
        organization: &'a OrganizationId,
        project: &'a ProjectId,
        now: UnixMicros,
    },
    /// Counts one more revision on every key of the organization. Adds no events: one that names the
    /// organization says it for all of them. Counts the keys.
    BumpKeysOf {
        organization: &'a OrganizationId,
        now: UnixMicros,
    },
    /// Counts one more revision on every key that uses the policy. Adds no events. Counts the keys.
    BumpKeysWithPolicy {
        organization: &'a OrganizationId,
        policy: &'a RoutingPolicyId,
        now: UnixMicros,
    },

    // Policies.
    InsertRoutingPolicy(&'a RoutingPolicy),
    UpdateRoutingPolicy {
        row: &'a RoutingPolicy,
        expected: i64,
    },
    /// Takes the default flag from every policy but `except` that shares a scope row with `scopes`.
    ClearDefaultPolicies {
        organization: &'a OrganizationId,
        scopes: &'a [Scope],
        except: &'a RoutingPolicyId,
        now: UnixMicros,
    },
    /// Deletes a policy. Its keys move to `replacement`, or to `FALLBACK_ALL` without a policy, with one
    /// more revision. Counts the keys.
    DeleteRoutingPolicy {
        organization: &'a OrganizationId,
        id: &'a RoutingPolicyId,
        replacement: Option<&'a RoutingPolicyId>,
        now: UnixMicros,
    },
    InsertBudget(&'a Budget),
    UpdateBudget {
        row: &'a Budget,
        expected: i64,
    },
    /// Archives every live budget of a target; each adds `BUDGET_DELETED`. Counts the budgets.
    ArchiveBudgetsOf {
        organization: &'a OrganizationId,
        target: &'a BudgetTarget,
        now: UnixMicros,
    },
    /// Archives every live budget that a key manages or that is about the key (domain 7.3); each adds
    /// `BUDGET_DELETED`. Counts the budgets.
    ArchiveBudgetsOfKey {
        organization: &'a OrganizationId,
        key: &'a lw_core::VirtualKeyId,
        now: UnixMicros,
    },
    /// Says when the period of one bucket of a template began.
    PutBucketBoundary {
        budget: &'a BudgetId,
        bucket: &'a str,
        period_started_at: UnixMicros,
    },
    /// Forgets all bucket boundaries of a budget.
    DeleteBucketBoundaries {
        budget: &'a BudgetId,
    },
    InsertCacheRule(&'a CacheRule),
    UpdateCacheRule {
        row: &'a CacheRule,
        expected: i64,
    },
    InsertGuardrail(&'a Guardrail),
    UpdateGuardrail {
        row: &'a Guardrail,
        expected: i64,
    },
    /// A conflict on `model` when the organization has a price for the same provider kind and model.
    InsertModelPrice(&'a ModelPrice),
    UpdateModelPrice {
        row: &'a ModelPrice,
        expected: i64,
    },
    DeleteModelPrice {
        organization: &'a OrganizationId,
        id: &'a ModelPriceId,
    },
}

/// What a transaction left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The newest change revision afterwards.
    pub revision: ChangeRevision,
    /// Every event that was appended: those of the change, then those that writes added. The caller
    /// announces all of them.
    pub events: Vec<ChangeEvent>,
    /// The sum of what counting writes counted.
    pub counted: u64,
}
