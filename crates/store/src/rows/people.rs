//! People, groups, roles and what binds them (domain 3.4, 3.5, 4), and the keys that act for them (5.1).

use lw_core::{
    ApiKeyId, GroupId, InviteId, OrganizationId, RoleBindingId, RoleId, TeamId, UnixMicros, UserId,
};
use serde::{Deserialize, Serialize};

use super::Scope;

/// A person (domain 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `user_…`.
    pub id: UserId,
    /// Lowercased; unset until the first administrator completed the account.
    pub email: Option<String>,
    /// Display name.
    pub name: String,
    /// Argon2id in PHC form; unset until a password was chosen.
    pub password_hash: Option<String>,
    /// When it was created.
    pub created_at: UnixMicros,
}

/// What a person is in an organization (domain 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MemberRole {
    /// May do everything.
    Admin,
    /// An ordinary member.
    Member,
    /// A lite member.
    External,
}

/// What a binding lets its principal be (domain 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BoundRole {
    /// Everything at its scope.
    Admin,
    /// Reads and ordinary writes.
    Member,
    /// Reads.
    Viewer,
    /// What its custom role lists.
    Custom,
}

/// A person's place in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamMember {
    /// The team.
    pub team_id: TeamId,
    /// The person.
    pub user_id: UserId,
    /// What they are there.
    pub role: BoundRole,
    /// Their custom role, when `role` is custom.
    pub custom_role_id: Option<RoleId>,
}

/// A group of people (domain 3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `grp_…`.
    pub id: GroupId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 100 characters.
    pub name: String,
    /// Unique in the organization.
    pub slug: String,
    /// The name that a directory knows it by.
    pub external_id: Option<String>,
    /// The directory that keeps it.
    pub scim_source: Option<String>,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// Whether a custom role may be bound freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleKind {
    /// Made by an administrator.
    Custom,
    /// The private role of one API key; only that key's bindings may name it.
    SystemApiKey,
}

/// A role that an organization made (domain 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRole {
    /// `role_…`.
    pub id: RoleId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Unique in the organization among the roles of kind [`RoleKind::Custom`].
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// `<resource>:<action>`.
    pub permissions: Vec<String>,
    /// Who may be bound to it.
    pub kind: RoleKind,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// Whom a binding is for: exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A person.
    User(UserId),
    /// Everybody in a group.
    Group(GroupId),
    /// An API key.
    ApiKey(ApiKeyId),
}

/// What a principal is at a scope (domain 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleBinding {
    /// `rb_…`.
    pub id: RoleBindingId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Who.
    pub principal: Principal,
    /// What.
    pub role: BoundRole,
    /// The custom role, exactly when `role` is custom.
    pub custom_role_id: Option<RoleId>,
    /// Where.
    pub scope: Scope,
    /// When it was created.
    pub created_at: UnixMicros,
}

/// What an API key may do with its bindings (domain 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionMode {
    /// What the bindings say.
    All,
    /// Only the reading part of it.
    Readonly,
    /// What its private custom role lists.
    Restricted,
}

/// A management API key (domain 5.1). The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `ak_…`.
    pub id: ApiKeyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 100 characters.
    pub name: String,
    /// At most 500 characters.
    pub description: Option<String>,
    /// The public part of the token, 16 characters; unique.
    pub lookup_id: String,
    /// `hex(hmac_sha256(CREDENTIALS_SECRET, secret part))`.
    pub hashed_secret: String,
    /// The person whose rights are the ceiling of a personal key; a service key has none.
    pub user_id: Option<UserId>,
    /// The person who minted it, when it was a person.
    pub created_by_user_id: Option<UserId>,
    /// What its bindings come to.
    pub permission_mode: PermissionMode,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: Option<UnixMicros>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMicros>,
    /// When it last served a successful call.
    pub last_used_at: Option<UnixMicros>,
}

/// Where an invitation stands; that it has expired is a date, not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteStatus {
    /// Waits for its addressee.
    Pending,
    /// Was accepted.
    Accepted,
    /// Was withdrawn.
    Revoked,
}

/// A place in a team that an invitation promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedTo {
    /// The team.
    pub team_id: TeamId,
    /// What the person will be there; never custom.
    pub role: BoundRole,
}

/// An invitation into an organization (management-api 19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// `inv_…`.
    pub id: InviteId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// Lowercased.
    pub email: String,
    /// What the person will be.
    pub role: MemberRole,
    /// The teams that the person will join.
    pub teams: Vec<InvitedTo>,
    /// `hex(sha256(code))`; the code itself is shown once.
    pub hashed_code: String,
    /// Where it stands.
    pub status: InviteStatus,
    /// When it stops working.
    pub expires_at: UnixMicros,
    /// Who invited.
    pub created_by: String,
    /// When it was created.
    pub created_at: UnixMicros,
}
