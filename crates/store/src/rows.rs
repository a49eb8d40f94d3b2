//! Rows as the stores keep them (domain 3, 6, 7). Times are UTC, money is nano-USD.

mod people;
mod policy;

use std::collections::{BTreeMap, BTreeSet};

use lw_core::{
    ModelProviderId, OrganizationId, ProjectId, RoutingPolicyId, TeamId, UnixMicros, UserId,
    VirtualKeyId,
};
use serde::{Deserialize, Serialize};

pub use self::people::{
    ApiKey, BoundRole, CustomRole, Group, Invite, InviteStatus, InvitedTo, MemberRole,
    PermissionMode, Principal, RoleBinding, RoleKind, TeamMember, User,
};
pub use lw_core::BudgetTarget;

pub use self::policy::{
    Budget, CacheRule, Enforcement, FailureMode, Guardrail, GuardrailDirection, ModelPrice,
    OnBreach, RoutingPolicy, Strategy,
};

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

/// How much of bodies is kept, from most to least (domain 7.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMode {
    /// Everything, bounded.
    #[default]
    Raw,
    /// Everything, with personal data taken out.
    Redacted,
    /// Sizes and counts only.
    MetadataOnly,
    /// Nothing.
    None,
}

impl CaptureMode {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Redacted => "redacted",
            Self::MetadataOnly => "metadata_only",
            Self::None => "none",
        }
    }

    /// Reads a word of [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Raw, Self::Redacted, Self::MetadataOnly, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// What an administrator may set of an organization. A field that a stored row lacks has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrganizationSettings {
    /// Whom members ask for help.
    pub support_contact: Option<String>,
    /// The longest sign-in in days; zero is unlimited.
    pub max_session_duration_days: u32,
    /// Whether people see who else is looking.
    pub presence_enabled: bool,
    /// Whether traces may be shared by link.
    pub trace_sharing_enabled: bool,
    /// What the organization said it came for.
    pub primary_intent: Option<String>,
    /// `false` switches content capture off for every key.
    pub payload_capture_enabled: bool,
    /// What keys capture that say nothing themselves.
    pub payload_capture_default: CaptureMode,
}

impl Default for OrganizationSettings {
    fn default() -> Self {
        Self {
            support_contact: None,
            max_session_duration_days: 0,
            presence_enabled: true,
            trace_sharing_enabled: true,
            primary_intent: None,
            payload_capture_enabled: true,
            payload_capture_default: CaptureMode::Raw,
        }
    }
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
    /// What an administrator may set.
    pub settings: OrganizationSettings,
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
    /// The one person whose workspace this team is (domain 3.6).
    pub personal_owner: Option<UserId>,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
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

/// How thoroughly personal data is taken out of what is kept (domain 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PiiRedactionLevel {
    /// Everything that may identify somebody.
    Strict,
    /// What surely identifies somebody.
    #[default]
    Essential,
    /// Nothing.
    Disabled,
}

/// The legacy key of a project (domain 5.2): found by its hash, shown again on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectKey {
    /// `hex(hmac_sha256(CREDENTIALS_SECRET, token))`, unique.
    pub hash: String,
    /// The token, sealed with the project's id bound in.
    pub sealed: String,
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
    /// The programming language that it said it uses; `other` when it did not.
    pub language: String,
    /// The framework, likewise.
    pub framework: String,
    /// What is taken out of its traces.
    pub pii_redaction_level: PiiRedactionLevel,
    /// Its legacy key; projects of the first version have none until one is made.
    pub key: Option<ProjectKey>,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
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
    /// Requests that are open at the same time; ours.
    pub concurrent: Option<u64>,
}

/// A model that the operator declared for a provider: its name alone, or an entry that says more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DeclaredModel {
    /// The name that requests use.
    Name(String),
    /// An object with the name and whatever else was said (modes, limits), kept as it was sent.
    Entry(serde_json::Map<String, serde_json::Value>),
}

impl DeclaredModel {
    /// The fields of an entry that may hold the name; the first that is there counts.
    pub const NAMES: [&str; 4] = ["id", "modelId", "model", "name"];

    /// The name that requests use; `None` for an entry without one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Entry(entry) => Self::NAMES
                .iter()
                .find_map(|field| entry.get(*field))
                .and_then(serde_json::Value::as_str),
        }
    }
}

impl From<String> for DeclaredModel {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
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
    /// The kind in its one spelling (domain 6.1): `openai`, `vertex_ai`, or one that nobody knows yet.
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
    pub custom_models: Option<Vec<DeclaredModel>>,
    /// Embedding models that the operator declared.
    pub custom_embeddings_models: Option<Vec<DeclaredModel>>,
    /// Model name to the provider's own name.
    pub deployment_mapping: Option<BTreeMap<String, String>>,
    /// Ceilings.
    pub rate_limit: RateLimit,
    /// Lower is tried first; unset comes last.
    pub fallback_priority_global: Option<i64>,
    /// Advanced settings, a JSON object as text.
    pub provider_config: Option<String>,
    /// Softly withdrawn since then: not eligible.
    pub disabled_at: Option<UnixMicros>,
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

/// How a key chooses among its providers (domain 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingMode {
    /// The best provider; no fallback.
    None,
    /// Every eligible provider, one after the other.
    FallbackAll,
    /// What its routing policy lists.
    Policy,
}

impl RoutingMode {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::FallbackAll => "fallback_all",
            Self::Policy => "policy",
        }
    }

    /// Reads a word of [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::FallbackAll, Self::Policy]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Whose business a key is (domain 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// A customer's.
    User,
    /// The product's own: listed, otherwise hidden.
    Langy,
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
    /// Whose business it is.
    pub purpose: KeyPurpose,
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
    /// How it chooses among its providers.
    pub routing_mode: RoutingMode,
    /// The policy, exactly when the mode is [`RoutingMode::Policy`].
    pub routing_policy_id: Option<RoutingPolicyId>,
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
    /// Who revoked it.
    pub revoked_by: Option<String>,
    /// When it last served a request.
    pub last_used_at: Option<UnixMicros>,
    /// Who created it.
    pub created_by: String,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

impl VirtualKey {
    /// The guardrails that its configuration attaches, each once.
    #[must_use]
    pub fn attached_guardrails(&self) -> BTreeSet<String> {
        Self::guardrails_of(&self.config)
    }

    /// The guardrails that a stored configuration attaches, each once. One that cannot be read attaches
    /// none.
    #[must_use]
    pub fn guardrails_of(config: &str) -> BTreeSet<String> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Config {
            guardrail_attachments: Vec<Attachment>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Attachment {
            guardrail_ids: Vec<String>,
        }
        let config: Config = serde_json::from_str(config).unwrap_or_default();
        let attachments = config.guardrail_attachments.into_iter();
        attachments.flat_map(|entry| entry.guardrail_ids).collect()
    }

    /// The project whose guardrails it may attach (domain 15).
    #[must_use]
    pub fn guardrail_project(&self) -> &ProjectId {
        Self::guardrail_project_of(&self.scopes, &self.trace_project_id)
    }

    /// The project whose guardrails a key with these scopes and this trace project may attach: its single
    /// project scope, else its trace project (domain 15).
    #[must_use]
    pub fn guardrail_project_of<'a>(
        scopes: &'a [Scope],
        trace_project: &'a ProjectId,
    ) -> &'a ProjectId {
        let mut projects = scopes.iter().filter_map(|scope| match scope {
            Scope::Project(id) => Some(id),
            Scope::Organization(_) | Scope::Team(_) => None,
        });
        match (projects.next(), projects.next()) {
            (Some(only), None) => only,
            _ => trace_project,
        }
    }
}
