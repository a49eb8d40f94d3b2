//! Everything a request needs to know about its key, compiled once and never changed.
//!
//! A [`Bundle`] is built off the data threads from the rows of the store: addresses are parsed,
//! credentials are ready-made headers, patterns and lists are compiled. Must never be shown: it holds
//! provider credentials. Start at [`compile`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use lw_core::{
    ModelProviderId, OrganizationId, ProjectId, Secret, TeamId, UnixMicros, VirtualKeyId,
};
use lw_crypto::{Place, Sealer};
use lw_engine::access::{Level, Place as Where};
use lw_engine::eligible::{Eligible, Policy, PolicyStrategy, Provider, eligible};
use lw_engine::price::{OwnPrice, PriceCatalogue};
use lw_engine::resolve::{LaneFacts, ModelList, Reach, provider_type};
use lw_store::bundle::KeyRecord;
use lw_store::rows::{
    CaptureMode, KeyStatus, ModelPrice, ModelProvider, Organization, RoutingMode, RoutingPolicy,
    Strategy, VirtualKey,
};
use lw_upstream::Endpoint;
use lw_wire::Surface;
use serde::Deserialize;

use crate::redact::Secrets;
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
    /// Tags of the key.
    pub labels: Vec<String>,
    /// Prices that the organization set itself; they come before the published ones.
    pub own_prices: Option<PriceCatalogue>,
    /// What is captured.
    pub capture: Capture,
    /// `max_tokens` is renamed where OpenAI refuses it (providers 4).
    pub renames_max_tokens: bool,
}

/// The dialect family of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// OpenAI itself, or what stands in for it.
    OpenAi,
    /// Anthropic, or a server that speaks the Messages API.
    Anthropic,
    /// Any OpenAI-compatible server.
    Custom,
}

impl LaneKind {
    /// The type on the wire: `X-LangWatch-Provider`, spans, prices.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Custom => "custom",
        }
    }
}

/// One provider row, ready to be dialled.
#[derive(Debug)]
pub struct Lane {
    /// The row.
    pub id: ModelProviderId,
    /// Its dialect family.
    pub kind: LaneKind,
    /// Where it is; or why it cannot be reached (a row that was saved before a rule became stricter).
    pub endpoint: Result<Endpoint, String>,
    /// Credentials and the row's extra headers. Secret values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The row names an OpenAI organization or project: the caller's own is not forwarded.
    pub sets_openai_account: bool,
    /// The credential, for providers that want it in another header when they list their models.
    pub credential: Option<Secret>,
    /// What is taken out of the provider's errors: the credential and the values of extra headers.
    pub secrets: Secrets,
    /// Time to the first byte of the answer, when the row narrows it.
    pub head_timeout: Option<Duration>,
    /// The row answers `/v1/responses` itself.
    speaks_responses: bool,
    /// The row answers `/v1/messages` itself.
    speaks_messages: bool,
    paths: [PathAndQuery; 6],
}

/// The path that lists models, next to the surfaces.
const MODELS: usize = 5;

impl Lane {
    /// Whether the lane speaks the surface's dialect natively (providers 1).
    #[must_use]
    pub const fn serves(&self, surface: Surface) -> bool {
        match (self.kind, surface) {
            (LaneKind::Anthropic, Surface::Messages | Surface::CountTokens) => true,
            (LaneKind::Anthropic, _) => false,
            (_, Surface::Chat | Surface::Embeddings) => true,
            (_, Surface::Responses) => self.speaks_responses,
            (_, Surface::Messages | Surface::CountTokens) => self.speaks_messages,
        }
    }

    /// The path of an operation below the row's base.
    #[must_use]
    pub fn path(&self, surface: Surface) -> &PathAndQuery {
        let [chat, responses, embeddings, messages, count, _] = &self.paths;
        match surface {
            Surface::Chat => chat,
            Surface::Responses => responses,
            Surface::Embeddings => embeddings,
            Surface::Messages => messages,
            Surface::CountTokens => count,
        }
    }

    /// The path that lists the row's models.
    #[must_use]
    pub const fn models_path(&self) -> &PathAndQuery {
        let [_, _, _, _, _, models] = &self.paths;
        models
    }
}

/// Why a key's rows cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A sealed value does not open: wrong sealing key, or a moved or damaged row.
    #[error("the credentials of {0} cannot be opened")]
    Sealed(ModelProviderId, #[source] lw_crypto::CryptoError),
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
    metadata: KeyMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyMetadata {
    tags: Vec<String>,
}

/// The parts of a row's advanced settings (providers 3) that this version acts on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RowConfig {
    base_url: Option<String>,
    organization: Option<String>,
    project: Option<String>,
    extra_headers: serde_json::Value,
    auth_mode: Option<String>,
    auth_header: Option<String>,
    responses_api: bool,
    anthropic_api: bool,
    timeout_ms: Option<u64>,
}

/// Compiles a key. Lanes come from the shelf where another key's bundle has them.
///
/// # Errors
/// A stored value cannot be opened or read. The caller answers 503: the key may be fine.
pub fn compile(record: KeyRecord, sealer: &Sealer, shelf: &Shelf) -> Result<Bundle, CompileError> {
    let KeyRecord {
        key,
        previous_secret,
        organization,
        trace_project,
        providers,
        policy,
        prices,
    } = record;
    let config: KeyConfig = serde_json::from_str(&key.config)
        .map_err(|error| CompileError::Stored(key.id.to_string(), error))?;
    let mut reach = Reach {
        aliases: aliases(config.model_aliases, policy.as_ref()),
        models_allowed: config.models_allowed.map(ModelList::new),
        policy_name: policy.as_ref().map(|policy| policy.name.clone()),
        ..Reach::default()
    };
    let allowed = config.providers_allowed.unwrap_or_default();
    let order = dispatch_order(&key, &providers, policy.as_ref(), &allowed);
    let mut lanes = Vec::with_capacity(providers.len());
    for row in order.chain.iter().filter_map(|id| row_of(&providers, id)) {
        if let Some(lane) = shelf.lane(row, sealer)? {
            reach.lanes.push(lane_facts(row));
            lanes.push(lane);
        }
    }
    let facts_of = |ids: &[&ModelProviderId]| {
        let rows = ids.iter().filter_map(|id| row_of(&providers, id));
        rows.map(lane_facts).collect::<Vec<_>>()
    };
    reach.routing_excluded = facts_of(&order.routing_excluded);
    reach.access_excluded = facts_of(&order.access_excluded);
    Ok(Bundle {
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
        lanes,
        labels: config.metadata.tags,
        renames_max_tokens: config.openai_compat_translate.unwrap_or(false),
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
        deployments: row
            .deployment_mapping
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
    }
}

/// A credential bag, emptied as its fields are taken.
struct Bag(BTreeMap<String, String>);

impl Bag {
    fn take(&mut self, names: &[&str]) -> Option<String> {
        let found = names.iter().find_map(|name| self.0.remove(*name));
        found
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }
}

fn open<T: serde::de::DeserializeOwned>(
    sealer: &Sealer,
    row: &ModelProvider,
    column: &str,
    sealed: &str,
) -> Result<T, CompileError> {
    let place = Place {
        table: "model_providers",
        column,
        row_id: row.id.as_str(),
    };
    let plain = sealer
        .open(sealed, place)
        .map_err(|error| CompileError::Sealed(row.id.clone(), error))?;
    serde_json::from_slice(&plain).map_err(|error| CompileError::Stored(row.id.to_string(), error))
}

/// `None` for a kind that has no lane yet.
pub(crate) fn compile_lane(
    row: &ModelProvider,
    sealer: &Sealer,
) -> Result<Option<Lane>, CompileError> {
    let (kind, key_names, url_names, default_url) = match provider_type(&row.provider) {
        Some("openai") => (
            LaneKind::OpenAi,
            ["OPENAI_API_KEY"],
            ["OPENAI_BASE_URL", "BASE_URL", "base_url"],
            Some("https://api.openai.com"),
        ),
        Some("anthropic") => (
            LaneKind::Anthropic,
            ["ANTHROPIC_API_KEY"],
            ["ANTHROPIC_BASE_URL", "BASE_URL", "base_url"],
            Some("https://api.anthropic.com"),
        ),
        Some("custom") => (
            LaneKind::Custom,
            ["CUSTOM_API_KEY"],
            ["CUSTOM_BASE_URL", "BASE_URL", "base_url"],
            None,
        ),
        _ => return Ok(None),
    };
    let mut bag = Bag(open(sealer, row, "sealed_keys", &row.sealed_keys)?);
    let config: RowConfig = match &row.provider_config {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| CompileError::Stored(row.id.to_string(), error))?,
        None => RowConfig::default(),
    };
    let credential = bag.take(&key_names).map(Secret::new);
    let base_url = config
        .base_url
        .or_else(|| bag.take(&url_names))
        .or(default_url.map(str::to_owned));
    let endpoint = match &base_url {
        Some(url) => Endpoint::parse(url).map_err(|error| error.to_string()),
        None => Err("the provider has no base URL".to_owned()),
    };
    let auth = credential.as_ref().and_then(|secret| {
        auth_header(
            kind,
            secret,
            config.auth_mode.as_deref(),
            config.auth_header.as_deref(),
        )
    });
    let mut headers = Vec::new();
    let mut sets_openai_account = false;
    for (name, value) in [
        ("openai-organization", config.organization),
        ("openai-project", config.project),
    ] {
        let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
        if let (LaneKind::OpenAi, Some(value)) = (kind, value) {
            headers.push((HeaderName::from_static(name), value));
            sets_openai_account = true;
        }
    }
    let sealed = row.sealed_extra_headers.as_deref();
    let stored: serde_json::Value = sealed.map_or(Ok(serde_json::Value::Null), |text| {
        open(sealer, row, "sealed_extra_headers", text)
    })?;
    let extra: Vec<_> = [extra_headers(&stored), extra_headers(&config.extra_headers)].concat();
    let echoed = extra.iter().filter_map(|(_, value)| value.to_str().ok());
    let secrets = Secrets::new(credential.iter().map(Secret::expose).chain(echoed));
    // Extra headers have the last word over everything but the credential (providers 2).
    headers.extend(extra);
    headers.extend(auth);
    let base_path = endpoint.as_ref().map_or("", Endpoint::base_path);
    Ok(Some(Lane {
        id: row.id.clone(),
        kind,
        headers,
        sets_openai_account,
        credential,
        secrets,
        head_timeout: config
            .timeout_ms
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis),
        speaks_responses: kind == LaneKind::OpenAi || config.responses_api,
        speaks_messages: kind == LaneKind::Anthropic || config.anthropic_api,
        paths: paths(kind, base_path),
        endpoint,
    }))
}

fn auth_header(
    kind: LaneKind,
    secret: &Secret,
    mode: Option<&str>,
    header: Option<&str>,
) -> Option<(HeaderName, HeaderValue)> {
    let sensitive = |text: &str| {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    };
    let bearer = || {
        Some((
            AUTHORIZATION,
            sensitive(&format!("Bearer {}", secret.expose()))?,
        ))
    };
    match (kind, mode) {
        (LaneKind::Custom, Some("none")) => None,
        (LaneKind::Custom, Some("api-key")) => Some((
            HeaderName::from_static("api-key"),
            sensitive(secret.expose())?,
        )),
        (LaneKind::Custom, Some("header")) => Some((
            header?.parse::<HeaderName>().ok()?,
            sensitive(secret.expose())?,
        )),
        (LaneKind::Anthropic, _) => Some((
            HeaderName::from_static("x-api-key"),
            sensitive(secret.expose())?,
        )),
        (LaneKind::OpenAi | LaneKind::Custom, _) => bearer(),
    }
}

/// `[{key, value}]` or an object. Values may be secrets, so all are marked sensitive. What would break
/// the framing of the request is left out.
fn extra_headers(stored: &serde_json::Value) -> Vec<(HeaderName, HeaderValue)> {
    let pair = |name: &str, value: &str| {
        let name: HeaderName = name.trim().parse().ok()?;
        let framing = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "te",
            "upgrade",
        ];
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        (!framing.contains(&name.as_str())).then_some((name, value))
    };
    match stored {
        serde_json::Value::Array(list) => list
            .iter()
            .filter_map(|entry| pair(entry.get("key")?.as_str()?, entry.get("value")?.as_str()?))
            .collect(),
        serde_json::Value::Object(map) => map
            .iter()
            .filter_map(|(name, value)| pair(name, value.as_str()?))
            .collect(),
        _ => Vec::new(),
    }
}

/// The operations' paths below `base` (providers 4, 6 and 10): a base that ends in a version keeps it,
/// any other gets `/v1`.
fn paths(kind: LaneKind, base: &str) -> [PathAndQuery; 6] {
    let last = base.rsplit('/').next().unwrap_or_default();
    let versioned = last
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    let root = match kind {
        LaneKind::Anthropic => format!("{}/v1", base.strip_suffix("/v1").unwrap_or(base)),
        _ if versioned => base.to_owned(),
        _ => format!("{base}/v1"),
    };
    let at = |operation: &str| {
        PathAndQuery::try_from(format!("{root}/{operation}"))
            .unwrap_or_else(|_| PathAndQuery::from_static("/"))
    };
    let mut all = [
        at("chat/completions"),
        at("responses"),
        at("embeddings"),
        at("messages"),
        at("messages/count_tokens"),
        at("models"),
    ];
    if let (LaneKind::Anthropic, Some(models)) = (kind, all.get_mut(MODELS)) {
        *models = at("models?limit=1000");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_appended_to_a_versioned_base_and_get_v1_otherwise() {
        for (kind, base, expected) in [
            (LaneKind::OpenAi, "", "/v1/chat/completions"),
            (LaneKind::OpenAi, "/v1", "/v1/chat/completions"),
            (
                LaneKind::Custom,
                "/openai/v1",
                "/openai/v1/chat/completions",
            ),
            (LaneKind::Custom, "/api/v4", "/api/v4/chat/completions"),
            (
                LaneKind::Custom,
                "/api/vision",
                "/api/vision/v1/chat/completions",
            ),
        ] {
            let [chat, ..] = paths(kind, base);
            assert_eq!(chat.as_str(), expected);
        }
        let [.., messages, count, models] = paths(LaneKind::Anthropic, "/proxy/v1");
        assert_eq!(messages.as_str(), "/proxy/v1/messages");
        assert_eq!(count.as_str(), "/proxy/v1/messages/count_tokens");
        assert_eq!(models.as_str(), "/proxy/v1/models?limit=1000");
    }

    #[test]
    fn a_credential_becomes_a_header_that_does_not_show_itself() {
        let secret = Secret::new("sk-canary");
        let (name, value) = auth_header(LaneKind::OpenAi, &secret, None, None).expect("a header");
        assert_eq!(
            (name.as_str(), value.to_str().ok()),
            ("authorization", Some("Bearer sk-canary"))
        );
        assert!(!format!("{value:?}").contains("canary"));
        let (name, _) = auth_header(LaneKind::Anthropic, &secret, None, None).expect("a header");
        assert_eq!(name.as_str(), "x-api-key");
        assert!(auth_header(LaneKind::Custom, &secret, Some("none"), None).is_none());
        let (name, _) = auth_header(LaneKind::Custom, &secret, Some("header"), Some("X-Token"))
            .expect("a header");
        assert_eq!(name.as_str(), "x-token");
    }

    #[test]
    fn extra_headers_cannot_break_the_framing() {
        let stored = serde_json::json!([
            {"key": "X-A", "value": "1"}, {"key": "Content-Length", "value": "5"}, {"key": "bad name", "value": "x"},
        ]);
        let names: Vec<String> = extra_headers(&stored)
            .into_iter()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(names, ["x-a"]);
    }
}
