//! Everything a request needs to know about its key, compiled once and never changed.
//!
//! A [`Bundle`] is built off the data threads from the rows of the store: addresses are parsed,
//! credentials are ready-made headers, patterns and lists are compiled. Must never be shown: it holds
//! provider credentials. Start at [`compile`].

use std::collections::HashMap;
use std::sync::Arc;

use lw_core::{ModelProviderId, OrganizationId, ProjectId, TeamId, UnixMicros, VirtualKeyId};
use lw_engine::access::{Level, Place as Where};
use lw_engine::eligible::{Eligible, Policy, PolicyStrategy, Provider, eligible};
use lw_engine::price::{OwnPrice, PriceCatalogue};
use lw_engine::resolve::{LaneFacts, ModelList, Reach, provider_type};
use lw_engine::route::{Mode, Routing, Triggers};
use lw_store::bundle::KeyRecord;
use lw_store::rows::{
    CaptureMode, KeyStatus, ModelPrice, ModelProvider, Organization, RateLimit, RoutingMode,
    RoutingPolicy, Strategy, VirtualKey,
};
use serde::Deserialize;

use crate::governed::{Governed, Live, OwnCache, OwnSettings};
use crate::guardrail::Attachment;
use crate::lane::Lane;
use crate::lane::compile::Compiler;
use crate::shelf::Shelf;

/// How much of the bodies goes into the trace (observability 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Everything, bounded.
    Raw,
    /// Nothing. The stamp says why.
    None(&'static str),
}

/// A compiled key.
#[derive(Debug)]
pub struct Bundle {
    /// The key.
    pub key_id: VirtualKeyId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// Where traces and spend are filed.
    pub project_id: ProjectId,
    /// The team of that project.
    pub team_id: TeamId,
    /// The first 13 characters of the secret.
    pub display_prefix: String,
    /// Where the key stands.
    pub status: KeyStatus,
    /// When it stops working; the instant itself counts.
    pub expires_at: Option<UnixMicros>,
    /// Set when the presented secret is the previous one: until when it is accepted.
    pub grace_until: Option<UnixMicros>,
    /// What names resolve to.
    pub reach: Reach,
    /// The providers of `reach.lanes`, in the same order.
    pub lanes: Vec<Arc<Lane>>,
    /// Which candidates are walked along, and when.
    pub routing: Routing,
    /// Ceilings, circuits, budgets.
    pub governed: Governed,
    /// Tags of the key.
    pub labels: Vec<String>,
    /// Prices that the organization set itself; they come before the published ones.
    pub own_prices: Option<PriceCatalogue>,
    /// What is captured.
    pub capture: Capture,
    /// `max_tokens` is renamed where OpenAI refuses it (providers 4).
    pub renames_max_tokens: bool,
}

/// Why a key's rows cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A sealed value does not open: wrong sealing key, or a moved or damaged row.
    #[error("the credentials of {0} cannot be opened")]
    Sealed(ModelProviderId, #[source] lw_crypto::CryptoError),
    /// What a budget has spent cannot be read, or the budget itself.
    #[error("the budget {0} cannot be read")]
    Ledger(String, #[source] lw_store::StoreError),
    /// A stored JSON text is broken.
    #[error("a stored setting of {0} cannot be read")]
    Stored(String, #[source] serde_json::Error),
}

/// The parts of a key's configuration (domain 7.5) that this version acts on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KeyConfig {
    models_allowed: Option<Vec<String>>,
    providers_allowed: Option<Vec<String>>,
    model_aliases: HashMap<String, String>,
    capture_payload: Option<String>,
    openai_compat_translate: Option<bool>,
    fallback: Fallback,
    rate_limits: RateLimit,
    policy_rules: Option<serde_json::Value>,
    cache: OwnCache,
    guardrail_attachments: Vec<Attachment>,
    metadata: KeyMetadata,
}

/// `fallback` of a key or of a routing policy (domain 7.5, 8.1).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fallback {
    max_attempts: Option<u16>,
    on: Option<Vec<String>>,
    attempt_timeout_ms: Option<u64>,
    model_map: Option<HashMap<String, HashMap<String, String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyMetadata {
    tags: Vec<String>,
}

/// The parts of a row's advanced settings that names are resolved by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RowNames {
    deployment_map: HashMap<String, String>,
}

/// Compiles a key. Lanes come from the shelf where another key's bundle has them.
///
/// # Errors
/// A stored value cannot be opened or read. The caller answers 503: the key may be fine.
pub fn compile(
    record: KeyRecord,
    compiler: &Compiler,
    shelf: &Shelf,
    live: &Live,
) -> Result<Bundle, CompileError> {
    let config: KeyConfig = serde_json::from_str(&record.key.config)
        .map_err(|error| CompileError::Stored(record.key.id.to_string(), error))?;
    let allowed = config.providers_allowed.unwrap_or_default();
    let (lanes, reach) = reached(&record, &allowed, compiler, shelf)?;
    let own = OwnSettings {
        rate_limits: config.rate_limits,
        policy_rules: config.policy_rules,
        cache: config.cache,
        guardrails: config.guardrail_attachments,
        tags: config.metadata.tags,
    };
    let governed = Governed::compile(&record, &lanes, &own, &compiler.sealer, live)?;
    let KeyRecord {
        key,
        previous_secret,
        organization,
        trace_project,
        providers: _,
        policy,
        prices,
        personal_teams: _,
        principal: _,
        cache_rules: _,
        guardrails: _,
        budgets: _,
    } = record;
    let reach = Reach {
        aliases: aliases(config.model_aliases, policy.as_ref()),
        models_allowed: config.models_allowed.map(ModelList::new),
        policy_name: policy.as_ref().map(|policy| policy.name.clone()),
        ..reach
    };
    Ok(Bundle {
        routing: routing(&key, config.fallback, policy.as_ref())?,
        own_prices: own_prices(&prices),
        capture: capture(config.capture_payload.as_deref(), &organization),
        key_id: key.id,
        organization_id: key.organization_id,
        project_id: trace_project.id,
        team_id: trace_project.team_id,
        display_prefix: key.display_prefix,
        status: key.status,
        expires_at: key.expires_at,
        grace_until: if previous_secret {
            Some(key.previous_secret_valid_until.unwrap_or_default())
        } else {
            None
        },
        reach,
        lanes: lanes.into_iter().map(|(lane, _)| lane).collect(),
        governed,
        labels: own.tags,
        renames_max_tokens: config.openai_compat_translate.unwrap_or(false),
    })
}

/// A provider with its own ceilings.
type OwnLane = (Arc<Lane>, RateLimit);

/// The providers of a key in dispatch order, and what is left out of it.
fn reached(
    record: &KeyRecord,
    allowed: &[String],
    compiler: &Compiler,
    shelf: &Shelf,
) -> Result<(Vec<OwnLane>, Reach), CompileError> {
    let providers = &record.providers;
    let order = dispatch_order(&record.key, providers, record.policy.as_ref(), allowed);
    let mut reach = Reach::default();
    let mut lanes = Vec::with_capacity(providers.len());
    for row in order.chain.iter().filter_map(|id| row_of(providers, id)) {
        if let Some(lane) = shelf.lane(row, compiler)? {
            reach.lanes.push(lane_facts(row));
            lanes.push((lane, row.rate_limit));
        }
    }
    let facts_of = |ids: &[&ModelProviderId]| {
        let rows = ids.iter().filter_map(|id| row_of(providers, id));
        rows.map(lane_facts).collect::<Vec<_>>()
    };
    reach.routing_excluded = facts_of(&order.routing_excluded);
    reach.access_excluded = facts_of(&order.access_excluded);
    Ok((lanes, reach))
}

/// How the key is routed. Per field: the key's stored value, else the policy's, else the default (domain 8.1).
fn routing(
    key: &VirtualKey,
    own: Fallback,
    policy: Option<&RoutingPolicy>,
) -> Result<Routing, CompileError> {
    let shared = policy.and_then(|policy| policy.fallback.clone());
    let shared: Fallback = match shared {
        Some(value) => serde_json::from_value(value)
            .map_err(|error| CompileError::Stored(key.id.to_string(), error))?,
        None => Fallback::default(),
    };
    let default = Routing::default();
    let on = own.on.or(shared.on);
    Ok(Routing {
        mode: match key.routing_mode {
            RoutingMode::None => Mode::First,
            RoutingMode::FallbackAll => Mode::All,
            RoutingMode::Policy => Mode::Policy,
        },
        max_attempts: own
            .max_attempts
            .or(shared.max_attempts)
            .unwrap_or(default.max_attempts),
        on: on.map_or(default.on, |words| {
            Triggers::of(words.iter().map(String::as_str))
        }),
        attempt_timeout_ms: own.attempt_timeout_ms.or(shared.attempt_timeout_ms),
        model_map: own.model_map.or(shared.model_map).unwrap_or_default(),
    })
}

fn row_of<'a>(rows: &'a [ModelProvider], id: &ModelProviderId) -> Option<&'a ModelProvider> {
    rows.iter().find(|row| row.id == *id)
}

/// The key's providers in dispatch order, and what is left out of it (domain 9). The store has already
/// kept to the key's scopes, so every row counts as the organization's here.
fn dispatch_order<'a>(
    key: &VirtualKey,
    providers: &'a [ModelProvider],
    policy: Option<&RoutingPolicy>,
    allowed: &[String],
) -> Eligible<'a> {
    const REACHED: &[Level] = &[Level::Organization];
    let facts: Vec<Provider<'a>> = providers
        .iter()
        .map(|row| Provider {
            id: &row.id,
            levels: REACHED,
            enabled: row.enabled,
            disabled: row.disabled_at.is_some(),
            dispatchable: true,
            priority: row.fallback_priority_global,
            created_at: row.created_at,
        })
        .collect();
    let strategy = match policy.map(|policy| policy.strategy) {
        Some(Strategy::Priority) => PolicyStrategy::Priority,
        Some(Strategy::Ordered) | None => PolicyStrategy::Ordered,
    };
    // A key whose policy is gone dispatches to nobody.
    let listed = policy.map_or(&[][..], |policy| &policy.model_provider_ids);
    let rules = (key.routing_mode == RoutingMode::Policy).then_some(Policy {
        strategy,
        providers: listed,
    });
    let allowed: Vec<ModelProviderId> = allowed
        .iter()
        .filter_map(|id| ModelProviderId::parse(id).ok())
        .collect();
    eligible(&[Where::organization()], &facts, rules, Some(&allowed))
}

/// The policy's aliases and tiers, overlaid by the key's own (domain 7.6, 8.3).
fn aliases(
    own: HashMap<String, String>,
    policy: Option<&RoutingPolicy>,
) -> HashMap<String, String> {
    const TIERS: [&str; 3] = ["complex", "reasoning", "fast"];
    let mut all = HashMap::new();
    if let Some(policy) = policy {
        if let Some(model) = &policy.default_model {
            all.extend(TIERS.map(|tier| (tier.to_owned(), model.clone())));
        }
        all.extend(policy.model_aliases.clone());
    }
    all.extend(own);
    all
}

/// The organization's switch beats every key; a key that says nothing follows the organization's default.
fn capture(own: Option<&str>, organization: &Organization) -> Capture {
    let settings = &organization.settings;
    if !settings.payload_capture_enabled {
        return Capture::None("none");
    }
    let mode = match own {
        Some(own) => CaptureMode::parse(own).unwrap_or(CaptureMode::None),
        None => settings.payload_capture_default,
    };
    match mode {
        CaptureMode::Raw => Capture::Raw,
        // Redaction is not there yet: the narrower promise is kept by capturing nothing.
        CaptureMode::Redacted | CaptureMode::MetadataOnly | CaptureMode::None => {
            Capture::None(mode.as_str())
        }
    }
}

/// The organization's own prices; `None` when it has none. They were checked when they were written; if
/// one cannot be read, the published prices hold for all.
fn own_prices(rows: &[ModelPrice]) -> Option<PriceCatalogue> {
    if rows.is_empty() {
        return None;
    }
    let versions: Vec<String> = rows
        .iter()
        .map(|row| format!("{}@{}", row.id, row.revision))
        .collect();
    let prices = rows.iter().zip(&versions).map(|(row, version)| OwnPrice {
        provider: row.provider.as_deref(),
        model: &row.model,
        rates: &row.rates,
        version,
    });
    PriceCatalogue::own(prices)
        .map_err(|error| tracing::error!(%error, "an organization's own prices cannot be read"))
        .ok()
}

fn lane_facts(row: &ModelProvider) -> LaneFacts {
    let custom = row.custom_models.iter().flatten();
    let embeddings = row.custom_embeddings_models.iter().flatten();
    LaneFacts {
        id: row.id.to_string(),
        kind: provider_type(&row.provider)
            .unwrap_or(row.provider.as_str())
            .to_owned(),
        handle: row.routing_handle.clone(),
        models: custom
            .chain(embeddings)
            .filter_map(|model| model.name().map(str::to_owned))
            .collect(),
        deployments: deployments(row),
    }
}

/// The row's map, under what its advanced settings say (providers 3).
fn deployments(row: &ModelProvider) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = row
        .deployment_mapping
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    let settings = row.provider_config.as_deref();
    let names: Option<RowNames> = settings.and_then(|text| serde_json::from_str(text).ok());
    all.extend(names.unwrap_or_default().deployment_map);
    all
}
