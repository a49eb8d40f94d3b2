//! What decides about requests: routing policies, budgets, cache rules, guardrails, own prices
//! (domain 8, 11, 14, 15; billing 5).

use std::collections::BTreeMap;

use lw_core::{
    BudgetId, CacheRuleId, GuardrailId, ModelPriceId, ModelProviderId, NanoUsd, OrganizationId,
    ProjectId, RoutingPolicyId, UnixMicros, VirtualKeyId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BudgetTarget, Scope};

/// How a routing policy orders its providers (domain 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As listed.
    Ordered,
    /// By their fallback priority, then by age.
    Priority,
}

/// A routing policy (domain 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutingPolicy {
    /// `rp_…`.
    pub id: RoutingPolicyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 128 characters.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// How `model_provider_ids` are ordered.
    pub strategy: Strategy,
    /// At least one. Ids of deleted providers stay and are passed over.
    pub model_provider_ids: Vec<ModelProviderId>,
    /// Client name to target.
    pub model_aliases: BTreeMap<String, String>,
    /// What the tier names without an alias mean (domain 8.3).
    pub default_model: Option<String>,
    /// `{tools, mcp, urls, models}`, each `{deny, allow}`, in the form that callers see.
    pub policy_rules: Value,
    /// `{maxAttempts, on, attemptTimeoutMs, modelMap}` in the stored form of a key's config; what is
    /// unset is missing.
    pub fallback: Option<Value>,
    /// Whether it is the default of its scopes; at most one per scope.
    pub is_default: bool,
    /// Where it may be selected; at least one.
    pub scopes: Vec<Scope>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// What a breached budget does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// Refuses.
    Block,
    /// Only says so.
    Warn,
}

/// How exactly a budget is kept (data-plane 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Never overspent: calls are reserved.
    Strict,
    /// Compared with what was spent.
    Soft,
}

/// A budget (domain 11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// `bgt_…`.
    pub id: BudgetId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 128 characters.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// What it is for. Immutable.
    pub target: BudgetTarget,
    /// Only dispatches to this provider count. Immutable.
    pub provider_key: Option<ModelProviderId>,
    /// `minute` … `manual` (domain 12). Immutable.
    pub window: String,
    /// Above zero, in whole micro-dollars.
    pub limit: NanoUsd,
    /// What a breach does.
    pub on_breach: OnBreach,
    /// How exactly it is kept.
    pub enforcement: Enforcement,
    /// Stored and echoed, never used.
    pub timezone: Option<String>,
    /// Where the cycles of an anchored budget begin. Immutable.
    pub cycle_anchor_at: Option<UnixMicros>,
    /// Moves only at creation and reset; the live pair is computed.
    pub current_period_started_at: UnixMicros,
    /// Likewise.
    pub resets_at: UnixMicros,
    /// When it was last reset.
    pub last_reset_at: Option<UnixMicros>,
    /// The caller's own name for it, unique in the organization.
    pub external_id: Option<String>,
    /// The caller's own facts.
    pub metadata: BTreeMap<String, String>,
    /// The key whose `budget` field manages it.
    pub managed_by_virtual_key_id: Option<VirtualKeyId>,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// Who created it.
    pub created_by: String,
    /// The project that made it for something above itself, by the leave of management-api 9.3 alone:
    /// whoever may change budgets there may change this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<ProjectId>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// A cache rule (domain 14).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheRule {
    /// `rule_…`.
    pub id: CacheRuleId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// 1 to 128 characters.
    pub name: String,
    /// At most 512 characters.
    pub description: Option<String>,
    /// 0 to 1000; higher is asked first.
    pub priority: i64,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// The matchers as REST shows them; only what was set.
    pub matchers: Value,
    /// `{mode, ttl?, salt?}` as REST shows it.
    pub action: Value,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// When a guardrail looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailDirection {
    /// At the request.
    Pre,
    /// At the whole answer.
    Post,
    /// At each piece of a stream.
    StreamChunk,
}

/// What happens when a guardrail cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureMode {
    /// The request is refused.
    FailClosed,
    /// The request goes on.
    FailOpen,
}

/// A guardrail (domain 15).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// `guard_…`.
    pub id: GuardrailId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Its project.
    pub project_id: ProjectId,
    /// 1 to 128 characters.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// The evaluator that the bundle names; minted once.
    pub evaluator_id: String,
    /// `regex`, `pii-check`, …
    pub evaluator_slug: String,
    /// The evaluator's settings without anything write-only.
    pub settings: Value,
    /// Write-only settings (the headers of a callout, a JSON object), sealed with the row bound in.
    pub sealed_settings: Option<String>,
    /// When it looks.
    pub direction: GuardrailDirection,
    /// What a failure means.
    pub failure_mode: FailureMode,
    /// Set when it was archived.
    pub archived_at: Option<UnixMicros>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

/// An organization's own price of a model, which replaces the catalogue's (billing 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
    /// `price_…`.
    pub id: ModelPriceId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Only for this kind of provider (`openai`); `None` is any. Unique together with `model`.
    pub provider: Option<String>,
    /// The model as it is asked of the provider.
    pub model: String,
    /// `input_cost_per_token` and its siblings (billing 5), decimal US dollars for one token.
    pub rates: BTreeMap<String, String>,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}
