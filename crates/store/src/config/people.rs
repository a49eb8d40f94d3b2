//! Reading people, groups, roles, bindings and API keys.

use lw_core::{
    ApiKeyId, GroupId, InviteId, OrganizationId, RoleBindingId, RoleId, TeamId, UnixMicros, UserId,
};

use crate::StoreError;
use crate::rows::{
    ApiKey, BoundRole, CustomRole, Group, Invite, MemberRole, Organization, Principal, RoleBinding,
    Scope, TeamMember, User,
};

/// A person and what they are in the organization that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user: User,
    /// Their role.
    pub role: MemberRole,
    /// Set when the membership was disabled.
    pub disabled_at: Option<UnixMicros>,
    /// When it began.
    pub created_at: UnixMicros,
}

/// An organization and what the person who was asked about is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: Organization,
    /// The person's role.
    pub role: MemberRole,
    /// Set when the membership was disabled.
    pub disabled_at: Option<UnixMicros>,
}

/// One thing that a principal is, at one scope: a binding of its own or of a group, or a place in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// What.
    pub role: BoundRole,
    /// The permissions of the custom role; `None` when there is no custom role or it is gone.
    pub permissions: Option<Vec<String>>,
    /// Where.
    pub scope: Scope,
}

/// What a person may do: everything that evaluation needs, from one moment (domain 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerAccess {
    /// Their role in the organization.
    pub role: MemberRole,
    /// Whether the membership is in force.
    pub enabled: bool,
    /// Their bindings, those of their groups, and their places in teams.
    pub bound: Vec<Bound>,
}

/// What an API key may do (domain 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOf {
    /// The key.
    pub key: ApiKey,
    /// Its organization.
    pub organization: Organization,
    /// The key's own bindings.
    pub bound: Vec<Bound>,
    /// The owner of a personal key; `Some(None)` when the owner is no member any more.
    pub owner: Option<Option<OwnerAccess>>,
}

/// Which bindings are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct BindingFilter {
    /// Only of this principal.
    pub principal: Option<Principal>,
    /// Only at exactly this scope.
    pub scope: Option<Scope>,
}

/// People and what they may do. Errors: see [`super::ConfigStore`].
pub trait People {
    /// A person by id.
    fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// A person by email, which is compared in lower case.
    fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError>;

    /// The people of an organization, oldest first, disabled ones too.
    fn members(&self, organization: &OrganizationId) -> Result<Vec<Member>, StoreError>;

    /// One member of an organization, disabled or not.
    fn member(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<Member>, StoreError>;

    /// The organizations of a person, oldest first.
    fn memberships(&self, user: &UserId) -> Result<Vec<Membership>, StoreError>;

    /// The people in a team, in the order of their ids.
    fn team_members(
        &self,
        organization: &OrganizationId,
        team: &TeamId,
    ) -> Result<Vec<TeamMember>, StoreError>;

    /// A person's places in teams of an organization.
    fn teams_of(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Vec<TeamMember>, StoreError>;

    /// The groups of an organization, oldest first, each with how many people it has.
    fn groups(&self, organization: &OrganizationId) -> Result<Vec<(Group, u64)>, StoreError>;

    /// One group.
    fn group(
        &self,
        organization: &OrganizationId,
        id: &GroupId,
    ) -> Result<Option<Group>, StoreError>;

    /// The people in a group, in the order of their ids.
    fn group_members(
        &self,
        organization: &OrganizationId,
        id: &GroupId,
    ) -> Result<Vec<User>, StoreError>;

    /// The groups that a person is in.
    fn groups_of(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Vec<GroupId>, StoreError>;

    /// The roles of an organization, oldest first, private ones too.
    fn roles(&self, organization: &OrganizationId) -> Result<Vec<CustomRole>, StoreError>;

    /// One role.
    fn role(
        &self,
        organization: &OrganizationId,
        id: &RoleId,
    ) -> Result<Option<CustomRole>, StoreError>;

    /// Bindings of an organization, oldest first, and how many there are in all.
    fn bindings(
        &self,
        organization: &OrganizationId,
        filter: &BindingFilter,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<RoleBinding>, u64), StoreError>;

    /// One binding.
    fn binding(
        &self,
        organization: &OrganizationId,
        id: &RoleBindingId,
    ) -> Result<Option<RoleBinding>, StoreError>;

    /// An API key by the public part of its token, whatever its state, with all that decides what it may
    /// do, from one moment.
    fn access_by_lookup_id(&self, lookup_id: &str) -> Result<Option<AccessOf>, StoreError>;

    /// What a person may do in an organization; `None` when they are no member.
    fn access_of_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<OwnerAccess>, StoreError>;

    /// The API keys of an organization, newest first, revoked ones too.
    fn api_keys(&self, organization: &OrganizationId) -> Result<Vec<ApiKey>, StoreError>;

    /// One API key.
    fn api_key(
        &self,
        organization: &OrganizationId,
        id: &ApiKeyId,
    ) -> Result<Option<ApiKey>, StoreError>;

    /// Remembers when an API key last served a call; never moves back. Neither audited nor announced.
    fn touch_api_key(&self, id: &ApiKeyId, at: UnixMicros) -> Result<(), StoreError>;

    /// Replaces the stored hash of an API key's secret. Neither audited nor announced: the secret is the
    /// same.
    fn rehash_api_key(&self, id: &ApiKeyId, hashed_secret: &str) -> Result<(), StoreError>;

    /// The invitations of an organization, newest first, whatever their state.
    fn invites(&self, organization: &OrganizationId) -> Result<Vec<Invite>, StoreError>;

    /// One invitation.
    fn invite(
        &self,
        organization: &OrganizationId,
        id: &InviteId,
    ) -> Result<Option<Invite>, StoreError>;
}
