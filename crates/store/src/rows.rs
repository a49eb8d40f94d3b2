//! Rows as the stores keep them (domain 3, 6, 7). Times are UTC, money is nano-USD.

use std::collections::BTreeMap;

use lw_core::{
    ModelProviderId, OrganizationId, ProjectId, TeamId, UnixMicros, UserId, VirtualKeyId,
};
use serde::{Deserialize, Serialize};

/// What a scope row points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope_type", content = "scope_id", rename_all = "snake_case")]
pub enum Scope {
    /// The whole organization.
    Organization(OrganizationId),
    /// One team and its projects.
    Team(TeamId),
    /// One project.
    Project(ProjectId),
}

/// A tenant (domain 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// `org_…`.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique in the installation.
    pub slug: String,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// A team (domain 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// `team_…`.
    pub id: TeamId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique in the organization.
    pub slug: String,
    /// Hidden teams hold the governance project and are shown to nobody.
    pub hidden: bool,
    /// When it was created.
    pub created_at: UnixMicros,
}

/// What a project is for (domain 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// An application's own project.
    Application,
    /// Where keys without a project file their traces.
    InternalGovernance,
    /// One person's workspace.
    Personal,
}

/// A project (domain 3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// `proj_…`.
    pub id: ProjectId,
    /// Its team.
    pub team_id: TeamId,
    /// Its organization, through the team.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique in the organization.
    pub slug: String,
    /// What it is for.
    pub kind: ProjectKind,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// When it was created.
    pub created_at: UnixMicros,
}

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

/// A management API key (domain 5.1). The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `ak_…`.
    pub id: lw_core::ApiKeyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// The public part of the token, 16 characters; unique.
    pub lookup_id: String,
    /// `hex(hmac_sha256(CREDENTIALS_SECRET, secret part))`.
    pub hashed_secret: String,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: Option<UnixMicros>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMicros>,
    /// When it last served a successful call.
    pub last_used_at: Option<UnixMicros>,
}

/// Ceilings of a provider row or a key; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimit {
    /// Requests in a minute.
    pub rpm: Option<u64>,
    /// Tokens in a minute.
    pub tpm: Option<u64>,
    /// Requests in a day.
    pub rpd: Option<u64>,
}

/// A provider credential with its settings (domain 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelProvider {
    /// `mp_…`.
    pub id: ModelProviderId,
    /// Its owner.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// The kind: `openai`, `anthropic`, `custom`.
    pub provider: String,
    /// The name it can be addressed by (`<handle>/<model>`), lowercase, unique in the organization.
    pub routing_handle: Option<String>,
    /// Disabled rows are not eligible.
    pub enabled: bool,
    /// Where it is visible; at least one.
    pub scopes: Vec<Scope>,
    /// The credential bag (a JSON object of upper-snake keys to text), sealed by `lw-crypto` with the row
    /// id and the column name bound in. Opened only to compile a bundle or to mask it for display.
    pub sealed_keys: String,
    /// Extra headers (a JSON array of `{key, value}`), sealed likewise; `None` when there are none.
    pub sealed_extra_headers: Option<String>,
    /// Models that the operator declared.
    pub custom_models: Option<Vec<String>>,
    /// Embedding models that the operator declared.
    pub custom_embeddings_models: Option<Vec<String>>,
    /// Model name to the provider's own name.
    pub deployment_mapping: Option<BTreeMap<String, String>>,
    /// Ceilings.
    pub rate_limit: RateLimit,
    /// Lower is tried first; unset comes last.
    pub fallback_priority_global: Option<i64>,
    /// Advanced settings, a JSON object as text.
    pub provider_config: Option<String>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// Where a virtual key stands. Expiry is a date, not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Serves requests.
    Active,
    /// Refused until it is enabled again.
    Disabled,
    /// Refused for ever.
    Revoked,
}

/// A virtual key (domain 7.2). The secret itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualKey {
    /// `vk_…`.
    pub id: VirtualKeyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 128 characters.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Where it stands.
    pub status: KeyStatus,
    /// `live` or `test`; a label without behaviour.
    pub env: String,
    /// The caller's own name for it, unique in the organization.
    pub external_id: Option<String>,
    /// The caller's own facts.
    pub metadata: BTreeMap<String, String>,
    /// Where it is anchored; at least one.
    pub scopes: Vec<Scope>,
    /// The project that receives its traces and spend, decided when it was written (domain 10).
    pub trace_project_id: ProjectId,
    /// Set for a personal key.
    pub principal_user_id: Option<UserId>,
    /// `none`, `fallback_all` or `policy`.
    pub routing_mode: String,
    /// When it stops working.
    pub expires_at: Option<UnixMicros>,
    /// The configuration of domain 7.5 in its stored, camelCase form, as JSON text.
    pub config: String,
    /// Counts the changes; published as a string.
    pub revision: i64,
    /// `hex(hmac_sha256(LW_VIRTUAL_KEY_PEPPER, secret))`, unique.
    pub hashed_secret: String,
    /// The first 13 characters of the secret.
    pub display_prefix: String,
    /// The hash before the last rotation.
    pub previous_hashed_secret: Option<String>,
    /// Until when the previous secret is accepted.
    pub previous_secret_valid_until: Option<UnixMicros>,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// When it was disabled.
    pub disabled_at: Option<UnixMicros>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMicros>,
    /// When it last served a request.
    pub last_used_at: Option<UnixMicros>,
    /// Who created it.
    pub created_by: String,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}
