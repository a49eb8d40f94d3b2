//! From a stored row to a lane: credentials are opened and made into headers, addresses are parsed.
//!
//! What is wrong with a row's address becomes part of the lane, so that a call to it says why; what is wrong
//! with what is stored (a sealed value that does not open) is an error. Start at [`compile_lane`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use lw_cloud::{Ambient, AwsCredentials, Bearer, CachedToken, aws, entra, google};
use lw_core::{ProjectId, Secret};
use lw_crypto::{Place, Sealer};
use lw_engine::resolve::provider_type;
use lw_store::rows::ModelProvider;
use lw_upstream::{AddressGuard, Endpoint};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::paths::Fixed;
use super::{Access, Address, AwsAccess, Keys, Lane, LaneKind, Rotation, Speaks};
use crate::bundle::CompileError;
use crate::redact::Secrets;

/// What compiling needs beside the row.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// Opens credentials.
    pub sealer: Arc<Sealer>,
    /// The machine's own identity, for rows without a credential.
    pub ambient: AmbientIdentity,
    /// Which token addresses a service account may name beside the vendor's own.
    pub guard: Arc<AddressGuard>,
}

/// The machine's own identity in each cloud, when providers may use it: one of each for the process.
#[derive(Debug, Clone)]
pub struct AmbientIdentity {
    /// Whether they may.
    pub permission: Ambient,
    entra: Option<CachedToken<Bearer>>,
    aws: Option<CachedToken<AwsCredentials>>,
    google: Option<CachedToken<Bearer>>,
}

impl AmbientIdentity {
    /// With the operator's permission or without.
    #[must_use]
    pub fn new(permission: Ambient) -> Self {
        Self {
            permission,
            entra: entra::ambient(permission).ok(),
            aws: aws::ambient(permission).ok(),
            google: google::ambient(permission).ok(),
        }
    }
}

/// Whether the machine's own identity may be shown to this address: it is the cloud's own, or the operator
/// lists it. Whoever may edit a row could otherwise have it sent to a server of theirs.
fn may_see_ambient(url: &str, own: &[&str], guard: &AddressGuard) -> bool {
    let Ok(endpoint) = Endpoint::parse(url) else {
        return false;
    };
    let host = endpoint.host().trim_end_matches('.').to_ascii_lowercase();
    let clouds = own.iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
    });
    (clouds && endpoint.is_https()) || guard.is_listed(&endpoint)
}

/// Why a row without a credential is not called.
const ELSEWHERE: &str = "it has no credential of its own, and the gateway's own identity is only shown to \
                         the cloud itself and to addresses that the operator lists";

/// The parts of a row's advanced settings (providers 3) that this version acts on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RowConfig {
    #[serde(alias = "BASE_URL", alias = "api_base")]
    base_url: Option<String>,
    endpoint: Option<String>,
    #[serde(alias = "aws_bedrock_runtime_endpoint")]
    bedrock_runtime_endpoint: Option<String>,
    token_uri: Option<String>,
    region: Option<String>,
    project_id: Option<String>,
    account_id: Option<String>,
    api_version: Option<String>,
    default_deployment: Option<String>,
    inference_profile_arn: Option<String>,
    organization: Option<String>,
    project: Option<String>,
    extra_headers: serde_json::Value,
    extra_body: Option<BTreeMap<String, Box<RawValue>>>,
    auth_mode: Option<String>,
    auth_header: Option<String>,
    rotation_policy: Option<String>,
    responses_api: bool,
    anthropic_api: bool,
    anthropic_invoke: bool,
    timeout_ms: Option<u64>,
    shared_state: bool,
}

/// Vendors of the OpenAI dialect: type, name of the key's field, address (providers 10).
const COMPATIBLE: [(&str, &str, Option<&str>); 10] = [
    ("custom", "CUSTOM_API_KEY", None),
    (
        "deepseek",
        "DEEPSEEK_API_KEY",
        Some("https://api.deepseek.com"),
    ),
    ("xai", "XAI_API_KEY", Some("https://api.x.ai/v1")),
    (
        "groq",
        "GROQ_API_KEY",
        Some("https://api.groq.com/openai/v1"),
    ),
    (
        "cerebras",
        "CEREBRAS_API_KEY",
        Some("https://api.cerebras.ai/v1"),
    ),
    (
        "mistral",
        "MISTRAL_API_KEY",
        Some("https://api.mistral.ai/v1"),
    ),
    (
        "cohere",
        "COHERE_API_KEY",
        Some("https://api.cohere.ai/compatibility/v1"),
    ),
    (
        "fireworks_ai",
        "FIREWORKS_AI_API_KEY",
        Some("https://api.fireworks.ai/inference/v1"),
    ),
    (
        "voyage",
        "VOYAGE_API_KEY",
        Some("https://api.voyageai.com/v1"),
    ),
    // Its address has the account in it.
    ("cloudflare", "CLOUDFLARE_API_KEY", None),
];

/// A credential bag, emptied as its fields are taken.
struct Bag(BTreeMap<String, String>);

impl Bag {
    fn take(&mut self, names: &[&str]) -> Option<String> {
        let found = names.iter().find_map(|name| self.0.remove(*name));
        found
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn secret(&mut self, names: &[&str]) -> Option<Secret> {
        self.take(names).map(Secret::new)
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

/// What differs from kind to kind.
struct Parts {
    kind: LaneKind,
    /// Where it is, or why that is not known.
    base_url: Result<String, String>,
    access: Access,
    /// Headers that are not credentials.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The one key, where there is one.
    credential: Option<Secret>,
    /// Everything that must not come out in an error.
    secrets: Vec<Secret>,
    address: Address,
    default_model: Option<String>,
    speaks: Speaks,
}

impl Parts {
    fn new(kind: LaneKind) -> Self {
        Self {
            kind,
            base_url: Err("the provider has no base URL".to_owned()),
            access: Access::Open,
            headers: Vec::new(),
            credential: None,
            secrets: Vec::new(),
            address: Address::default(),
            default_model: None,
            speaks: Speaks::default(),
        }
    }

    /// Reached with a key in a header that `name` writes.
    fn keyed(
        mut self,
        key: Option<Secret>,
        config: &RowConfig,
        name: impl Fn(&Secret) -> Option<(HeaderName, HeaderValue)>,
    ) -> Self {
        let Some(secret) = key else {
            return self;
        };
        // Several keys, comma-separated, take turns (providers 3).
        let rotation = match config.rotation_policy.as_deref() {
            Some("on_rate_limit") => Some(Rotation::OnRateLimit),
            Some("round_robin") => Some(Rotation::RoundRobin),
            _ => None,
        };
        let keys: Vec<Secret> = match rotation {
            Some(_) => secret
                .expose()
                .split(',')
                .map(str::trim)
                .filter(|key| !key.is_empty())
                .map(Secret::new)
                .collect(),
            None => vec![secret],
        };
        let headers: Vec<_> = keys.iter().filter_map(name).collect();
        if !headers.is_empty() {
            self.access =
                Access::Keys(Keys::new(headers, rotation.unwrap_or(Rotation::RoundRobin)));
        }
        self.credential = keys.first().map(|key| Secret::new(key.expose()));
        self.secrets = keys;
        self
    }
}

/// Compiles a row; `None` for a kind that is not called yet.
///
/// # Errors
/// A stored value cannot be opened or read.
pub(crate) fn compile_lane(
    row: &ModelProvider,
    compiler: &Compiler,
) -> Result<Option<Lane>, CompileError> {
    let sealer = &compiler.sealer;
    let mut bag = Bag(open(sealer, row, "sealed_keys", &row.sealed_keys)?);
    let config: RowConfig = match &row.provider_config {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| CompileError::Stored(row.id.to_string(), error))?,
        None => RowConfig::default(),
    };
    let kind = provider_type(&row.provider).unwrap_or(row.provider.as_str());
    let parts = match kind {
        "openai" => openai(&mut bag, &config),
        "azure" => azure(&mut bag, &config, compiler),
        "anthropic" => anthropic(&mut bag, &config),
        "bedrock" => bedrock(&mut bag, &config, compiler),
        "vertex" => vertex(&mut bag, &config, compiler),
        "gemini" => gemini(&mut bag, &config, &row.provider),
        other => match COMPATIBLE.iter().find(|(name, ..)| *name == other) {
            Some((name, key, url)) => compatible(name, key, *url, &mut bag, &config),
            None => return Ok(None),
        },
    };
    finish(row, sealer, &config, parts).map(Some)
}

fn finish(
    row: &ModelProvider,
    sealer: &Sealer,
    config: &RowConfig,
    parts: Parts,
) -> Result<Lane, CompileError> {
    let Parts {
        kind,
        base_url,
        access,
        mut headers,
        credential,
        secrets,
        mut address,
        default_model,
        speaks,
    } = parts;
    let endpoint =
        base_url.and_then(|url| Endpoint::parse(&url).map_err(|error| error.to_string()));
    address.base = endpoint
        .as_ref()
        .map_or(String::new(), |endpoint| endpoint.base_path().to_owned());
    if kind == LaneKind::Azure {
        // Owners paste the address with and without it (providers 5).
        if let Some(base) = address.base.strip_suffix("/openai") {
            address.base = base.to_owned();
        }
    }
    address.fixed = Fixed::new(kind, &address.base, &address.api_version);
    let mut sets_openai_account = false;
    for (name, value) in [
        ("openai-organization", &config.organization),
        ("openai-project", &config.project),
    ] {
        let value = value
            .as_ref()
            .and_then(|value| HeaderValue::from_str(value).ok());
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
    let secrets = Secrets::new(secrets.iter().map(Secret::expose).chain(echoed));
    headers.extend(extra);
    let extra_body = config.extra_body.iter().flatten();
    Ok(Lane {
        id: row.id.clone(),
        kind,
        endpoint,
        access,
        headers,
        sets_openai_account,
        credential,
        secrets,
        head_timeout: config
            .timeout_ms
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis),
        extra_body: extra_body
            .map(|(key, json)| (key.clone(), Bytes::from(json.get().to_owned())))
            .collect(),
        default_model,
        speaks,
        address,
        sole_project: sole_project(row),
        shared_state: config.shared_state,
    })
}

/// The project of a row that is visible in one project alone.
fn sole_project(row: &ModelProvider) -> Option<ProjectId> {
    match row.scopes.as_slice() {
        [lw_store::rows::Scope::Project(id)] => Some(id.clone()),
        _ => None,
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bearer(secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    Some((
        AUTHORIZATION,
        sensitive(&format!("Bearer {}", secret.expose()))?,
    ))
}

fn plain(name: &'static str) -> impl Fn(&Secret) -> Option<(HeaderName, HeaderValue)> {
    move |secret| Some((HeaderName::from_static(name), sensitive(secret.expose())?))
}

fn openai(bag: &mut Bag, config: &RowConfig) -> Parts {
    let mut parts =
        Parts::new(LaneKind::OpenAi).keyed(bag.secret(&["OPENAI_API_KEY"]), config, bearer);
    let url = config.base_url.clone();
    let url = url.or_else(|| bag.take(&["OPENAI_BASE_URL", "BASE_URL", "base_url"]));
    parts.base_url = Ok(url.unwrap_or_else(|| "https://api.openai.com".to_owned()));
    parts.speaks = Speaks {
        responses: true,
        messages: config.anthropic_api,
        invoke: false,
    };
    parts
}

fn anthropic(bag: &mut Bag, config: &RowConfig) -> Parts {
    let key = bag.secret(&["ANTHROPIC_API_KEY"]);
    let mut parts = Parts::new(LaneKind::Anthropic).keyed(key, config, plain("x-api-key"));
    let url = config.base_url.clone();
    let url = url.or_else(|| bag.take(&["ANTHROPIC_BASE_URL", "BASE_URL", "base_url"]));
    parts.base_url = Ok(url.unwrap_or_else(|| "https://api.anthropic.com".to_owned()));
    parts.speaks.messages = true;
    parts
}

fn compatible(
    name: &'static str,
    key: &str,
    url: Option<&str>,
    bag: &mut Bag,
    config: &RowConfig,
) -> Parts {
    let (mode, header) = (config.auth_mode.as_deref(), config.auth_header.as_deref());
    let write = |secret: &Secret| match mode {
        Some("none") => None,
        Some("api-key") => plain("api-key")(secret),
        Some("header") => Some((header?.parse().ok()?, sensitive(secret.expose())?)),
        _ => bearer(secret),
    };
    let mut parts = Parts::new(LaneKind::Compatible(name)).keyed(bag.secret(&[key]), config, write);
    let account = config.account_id.clone();
    let account = account.or_else(|| bag.take(&["CLOUDFLARE_ACCOUNT_ID"]));
    let own = match (name, account) {
        ("cloudflare", Some(account)) => Some(format!(
            "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1"
        )),
        _ => url.map(str::to_owned),
    };
    let names = [
        format!("{}_BASE_URL", name.to_ascii_uppercase()),
        "BASE_URL".to_owned(),
        "base_url".to_owned(),
    ];
    let url = config.base_url.clone();
    let url = url
        .or_else(|| bag.take(&[&names[0], &names[1], &names[2]]))
        .or(own);
    parts.base_url = url.ok_or_else(|| "the provider has no base URL".to_owned());
    parts.speaks = Speaks {
        responses: config.responses_api,
        messages: config.anthropic_api,
        invoke: false,
    };
    parts
}

fn azure(bag: &mut Bag, config: &RowConfig, compiler: &Compiler) -> Parts {
    let key = bag.secret(&["AZURE_OPENAI_API_KEY"]);
    let entra = key.as_ref().is_none_or(|key| key.expose() == "__use_aad__");
    let mut parts = Parts::new(LaneKind::Azure);
    if entra {
        if let Some(token) = &compiler.ambient.entra {
            parts.access = Access::Token(token.clone());
        }
    } else {
        parts = parts.keyed(key, config, plain("api-key"));
    }
    let url = config.base_url.clone().or_else(|| config.endpoint.clone());
    let url = url.or_else(|| bag.take(&["AZURE_OPENAI_ENDPOINT"]));
    parts.base_url = match url {
        Some(_) if entra && compiler.ambient.entra.is_none() => Err(not_allowed("Entra ID")),
        Some(url)
            if entra
                && !may_see_ambient(
                    &url,
                    &[
                        "openai.azure.com",
                        "cognitiveservices.azure.com",
                        "services.ai.azure.com",
                    ],
                    &compiler.guard,
                ) =>
        {
            Err(ELSEWHERE.to_owned())
        }
        Some(url) => Ok(url),
        None => Err("the provider has no endpoint".to_owned()),
    };
    parts.address.api_version = config
        .api_version
        .clone()
        .or_else(|| bag.take(&["AZURE_OPENAI_API_VERSION"]))
        .unwrap_or_else(|| "2024-10-21".to_owned());
    parts.default_model.clone_from(&config.default_deployment);
    parts.speaks.responses = true;
    parts
}

fn not_allowed(what: &str) -> String {
    format!(
        "it has no credential of its own, and this gateway's own {what} identity may not be used by \
         providers (LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY)"
    )
}

fn bedrock(bag: &mut Bag, config: &RowConfig, compiler: &Compiler) -> Parts {
    let region = config
        .region
        .clone()
        .or_else(|| bag.take(&["AWS_REGION_NAME"]))
        .unwrap_or_else(|| "us-east-1".to_owned());
    let url = config.base_url.clone();
    let url = url
        .or_else(|| config.bedrock_runtime_endpoint.clone())
        .or_else(|| config.endpoint.clone())
        .unwrap_or_else(|| format!("https://bedrock-runtime.{region}.amazonaws.com"));
    let access_key = bag.take(&["AWS_ACCESS_KEY_ID"]);
    let secret_key = bag.secret(&["AWS_SECRET_ACCESS_KEY"]);
    let session = bag.secret(&["AWS_SESSION_TOKEN"]);
    let token = bag.secret(&["AWS_BEARER_TOKEN_BEDROCK"]);
    let mut parts = Parts::new(LaneKind::Bedrock);
    parts.base_url = Ok(url);
    match (access_key, secret_key, token, &compiler.ambient.aws) {
        (Some(access_key), Some(secret_key), _, _) => {
            match AwsCredentials::new(&access_key, &secret_key, session.as_ref()) {
                Ok(credentials) => {
                    parts.access = Access::Signature(AwsAccess::Stored(credentials));
                }
                Err(error) => parts.base_url = Err(error.to_string()),
            }
            parts.secrets.push(secret_key);
            parts.secrets.extend(session);
        }
        (_, _, Some(token), _) => parts = parts.keyed(Some(token), config, bearer),
        (_, _, _, Some(chain)) => {
            parts.access = Access::Signature(AwsAccess::Fetched(chain.clone()));
        }
        _ => parts.base_url = Err(not_allowed("AWS")),
    }
    parts.address.region = region;
    parts
        .default_model
        .clone_from(&config.inference_profile_arn);
    parts.speaks.invoke = config.anthropic_invoke;
    parts
}

fn vertex(bag: &mut Bag, config: &RowConfig, compiler: &Compiler) -> Parts {
    let mut parts = Parts::new(LaneKind::Vertex);
    let project = config.project_id.clone();
    let project = project.or_else(|| bag.take(&["VERTEXAI_PROJECT", "GOOGLE_PROJECT_ID"]));
    let region = config.region.clone();
    let region = region
        .or_else(|| bag.take(&["VERTEXAI_LOCATION", "GOOGLE_REGION"]))
        .unwrap_or_else(|| "us-central1".to_owned());
    let host = match region.as_str() {
        "global" => "aiplatform.googleapis.com".to_owned(),
        region => format!("{region}-aiplatform.googleapis.com"),
    };
    let url = config.base_url.clone().or_else(|| config.endpoint.clone());
    parts.base_url = Ok(url.unwrap_or_else(|| format!("https://{host}")));
    match bag.secret(&[
        "GOOGLE_APPLICATION_CREDENTIALS",
        "VERTEXAI_SERVICE_ACCOUNT_JSON",
    ]) {
        Some(json) => match google_identity(&json, config, compiler) {
            Ok(token) => parts.access = Access::Token(token),
            Err(why) => parts.base_url = Err(why),
        },
        None => match &compiler.ambient.google {
            Some(token) => {
                let url = parts.base_url.as_deref().unwrap_or_default();
                if may_see_ambient(url, &["googleapis.com"], &compiler.guard) {
                    parts.access = Access::Token(token.clone());
                } else {
                    parts.base_url = Err(ELSEWHERE.to_owned());
                }
            }
            None => parts.base_url = Err(not_allowed("Google Cloud")),
        },
    }
    if let Some(value) = project
        .as_ref()
        .and_then(|project| HeaderValue::from_str(project).ok())
    {
        parts
            .headers
            .push((HeaderName::from_static("x-goog-user-project"), value));
    }
    if project.is_none() {
        parts.base_url = Err("it has no project (VERTEXAI_PROJECT)".to_owned());
    }
    parts.address.project = project.unwrap_or_default();
    parts.address.region = region;
    parts
}

fn google_identity(
    json: &Secret,
    config: &RowConfig,
    compiler: &Compiler,
) -> Result<CachedToken<Bearer>, String> {
    let guard = compiler.guard.clone();
    // A token address of the owner's own is honoured where the operator lets providers be: it is judged
    // again when it is dialled (README, "Every provider kind").
    let named = config.token_uri.clone();
    let policy = google::Policy {
        ambient: compiler.ambient.permission,
        address_allowed: Arc::new(move |url| {
            let own = named.as_deref() == Some(url.as_str());
            let Ok(endpoint) = Endpoint::parse(url.as_str()) else {
                return false;
            };
            (own || guard.is_listed(&endpoint)) && guard.check_endpoint(&endpoint).is_ok()
        }),
    };
    google::StoredCredential::parse(json, &policy)
        .map(CachedToken::new)
        .map_err(|error| error.to_string())
}

fn gemini(bag: &mut Bag, config: &RowConfig, provider: &str) -> Parts {
    let key = bag.secret(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]);
    let mut parts = Parts::new(LaneKind::Gemini).keyed(key, config, plain("x-goog-api-key"));
    let project = config.project_id.clone();
    let project = project.or_else(|| bag.take(&["GEMINI_PROJECT", "GOOGLE_PROJECT_ID"]));
    let region = config.region.clone();
    let region = region.or_else(|| bag.take(&["GEMINI_LOCATION", "GOOGLE_REGION"]));
    let url = config.base_url.clone();
    parts.base_url = match (project, region) {
        (Some(project), Some(region)) => {
            parts.address.project = project;
            parts.address.region = region;
            Ok(url.unwrap_or_else(|| "https://aiplatform.googleapis.com".to_owned()))
        }
        _ if provider == "google_agent_platform" => {
            Err("it needs a project and a region (GEMINI_PROJECT, GEMINI_LOCATION)".to_owned())
        }
        _ => Ok(url.unwrap_or_else(|| "https://generativelanguage.googleapis.com".to_owned())),
    };
    parts
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
        let value = sensitive(value.trim())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn header(parts: &Parts) -> Option<(String, String)> {
        let Access::Keys(keys) = &parts.access else {
            return None;
        };
        let (_, (name, value)) = keys.pick(tokio::time::Instant::now())?;
        assert!(
            !format!("{value:?}").contains("canary"),
            "a value shows itself"
        );
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    }

    fn bag(pairs: &[(&str, &str)]) -> Bag {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Bag(pairs.iter().map(owned).collect())
    }

    fn config(json: serde_json::Value) -> RowConfig {
        serde_json::from_value(json).expect("a configuration")
    }

    #[test]
    fn a_credential_becomes_a_header_that_does_not_show_itself() {
        let none = RowConfig::default();
        let parts = openai(&mut bag(&[("OPENAI_API_KEY", "sk-canary")]), &none);
        let expected = ("authorization".to_owned(), "Bearer sk-canary".to_owned());
        assert_eq!(header(&parts), Some(expected));
        let parts = anthropic(&mut bag(&[("ANTHROPIC_API_KEY", "sk-canary")]), &none);
        assert_eq!(
            header(&parts).map(|(name, _)| name).as_deref(),
            Some("x-api-key")
        );
        for (json, name) in [
            (serde_json::json!({"auth_mode": "none"}), None),
            (serde_json::json!({"auth_mode": "api-key"}), Some("api-key")),
            (
                serde_json::json!({"auth_mode": "header", "auth_header": "X-Token"}),
                Some("x-token"),
            ),
        ] {
            let mut bag = bag(&[("CUSTOM_API_KEY", "sk-canary")]);
            let parts = compatible("custom", "CUSTOM_API_KEY", None, &mut bag, &config(json));
            assert_eq!(header(&parts).map(|(name, _)| name).as_deref(), name);
        }
    }

    #[test]
    fn several_keys_take_turns_only_when_the_row_says_so() {
        let several = || bag(&[("OPENAI_API_KEY", "sk-canary-1, sk-canary-2")]);
        let parts = openai(&mut several(), &RowConfig::default());
        let one = header(&parts).map(|(_, value)| value);
        assert_eq!(one.as_deref(), Some("Bearer sk-canary-1, sk-canary-2"));
        let turns = config(serde_json::json!({"rotation_policy": "round_robin"}));
        let parts = openai(&mut several(), &turns);
        let values = [0; 2].map(|_| header(&parts).map(|(_, value)| value).unwrap_or_default());
        assert_eq!(values, ["Bearer sk-canary-1", "Bearer sk-canary-2"]);
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
