//! `GET /v1/models`: what a key can reach (data-plane 21).
//!
//! Aliases, literal allowlist entries, declared models, and what providers list when they are asked.
//! Answers of providers are kept for a minute. A provider that cannot be asked is a header, never an
//! error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream::{self, StreamExt as _};
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use lw_cloud::Outside;
use lw_core::{Code, Error};
use lw_engine::resolve::{LaneFacts, resolve};
use lw_upstream::{Endpoint, RequestBody, Timeouts};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::bundle::Bundle;
use crate::lane::{Lane, LaneKind};
use crate::ops::json_reply;
use crate::reply::Reply;
use crate::worker::Worker;
use crate::{access, headers};

const PROBE_LIMIT: Duration = Duration::from_secs(5);
const ALL_LIMIT: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;
const ANSWER_BYTES: usize = 1024 * 1024;
const MODELS_PER_PROVIDER: usize = 2_000;
const KEPT: usize = 1_024;
const KEEP_FOR: Duration = Duration::from_secs(60);
const KEEP_EMPTY_FOR: Duration = Duration::from_secs(5);

/// What a provider listed, and until when that is believed.
#[derive(Debug)]
struct Listed {
    /// `None`: it could not be asked.
    models: Option<Vec<String>>,
    until: Instant,
}

/// Answers of providers, shared by all data threads.
pub struct Discovery(Cache<String, Arc<Listed>>);

impl Default for Discovery {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

/// Answers `GET /v1/models` and, with a name, `GET /v1/models/{model}`.
pub(crate) async fn answer(
    worker: &Worker,
    bundle: &Bundle,
    caller: &HeaderMap,
    wanted: Option<&str>,
    gemini: bool,
) -> Result<Reply, Error> {
    let (models, gaps) = list(worker, bundle).await;
    if let Some(wanted) = wanted {
        let Some(owner) = models.get(wanted) else {
            return Err(Error::new(
                Code::NotFound,
                format!("the key reaches no model named `{wanted}`"),
            ));
        };
        let body = if gemini {
            gemini_entry(wanted)
        } else if caller.contains_key(headers::ANTHROPIC_VERSION) {
            anthropic_entry(wanted)
        } else {
            openai_entry(wanted, owner)
        };
        return Ok(json_reply(200, &body));
    }
    let body = if gemini {
        let entries: Vec<Value> = models.keys().map(|id| gemini_entry(id)).collect();
        json!({"models": entries})
    } else if caller.contains_key(headers::ANTHROPIC_VERSION) {
        let ids: Vec<&String> = models.keys().collect();
        json!({
            "data": ids.iter().map(|id| anthropic_entry(id)).collect::<Vec<_>>(),
            "has_more": false,
            "first_id": ids.first(),
            "last_id": ids.last(),
        })
    } else {
        let data: Vec<Value> = models
            .iter()
            .map(|(id, owner)| openai_entry(id, owner))
            .collect();
        json!({"object": "list", "data": data})
    };
    let mut reply = json_reply(200, &body);
    if !gaps.is_empty()
        && let Ok(value) = HeaderValue::from_str(&gaps.join(","))
    {
        reply
            .headers_mut()
            .insert(headers::MODELS_INCOMPLETE, value);
    }
    Ok(reply)
}

fn openai_entry(id: &str, owner: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
}

/// Gemini's own form. What a model of another vendor can do is what is translated for it.
fn gemini_entry(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"),
        "baseModelId": id,
        "version": "1",
        "displayName": id,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    })
}

fn anthropic_entry(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"})
}

/// Model names with their owners, sorted, and the providers that could not be asked.
async fn list(worker: &Worker, bundle: &Bundle) -> (BTreeMap<String, String>, Vec<String>) {
    let mut names: Vec<(String, String)> = Vec::new();
    for alias in bundle.reach.aliases.keys() {
        names.push((alias.clone(), owner_of(bundle, alias)));
    }
    for literal in bundle
        .reach
        .models_allowed
        .iter()
        .flat_map(|list| list.literals())
    {
        names.push((literal.to_owned(), owner_of(bundle, literal)));
    }
    let lanes = bundle.lanes.iter().zip(&bundle.reach.lanes);
    let mut probes = Vec::new();
    for (lane, facts) in lanes.clone() {
        probes.push(known(worker, lane, facts));
    }
    let probes = stream::iter(probes).buffered(AT_ONCE).collect::<Vec<_>>();
    let found = timeout(ALL_LIMIT, probes).await.unwrap_or_default();
    let mut gaps = Vec::new();
    for (index, (lane, facts)) in lanes.enumerate() {
        let kind = lane.kind.as_str();
        let models = match found.get(index) {
            Some(Known::Models(models)) => models,
            Some(Known::NotEnumerable) => {
                gaps.push(format!("{kind}:not-enumerable"));
                continue;
            }
            Some(Known::Failed) | None => {
                gaps.push(format!("{kind}:probe-failed"));
                continue;
            }
        };
        for model in models {
            let name = match &facts.handle {
                Some(handle) => format!("{handle}/{model}"),
                None => model.clone(),
            };
            names.push((name, kind.to_owned()));
        }
    }
    gaps.sort_unstable();
    gaps.dedup();
    // Only what a request could reach is shown: the same rules decide.
    let reachable = names.into_iter().filter(|(name, _)| reaches(bundle, name));
    (reachable.collect(), gaps)
}

fn reaches(bundle: &Bundle, name: &str) -> bool {
    resolve(&bundle.reach, name, "/v1/models", |_| true).is_ok()
}

fn owner_of(bundle: &Bundle, name: &str) -> String {
    let resolved = resolve(&bundle.reach, name, "/v1/models", |_| true).ok();
    let lane = resolved.and_then(|resolved| bundle.lanes.get(*resolved.candidates.first()?));
    lane.map_or("langwatch", |lane| lane.kind.as_str())
        .to_owned()
}

/// What is known of a lane's models.
enum Known {
    Models(Vec<String>),
    /// The provider has no list that says what may be called (deployments, clouds).
    NotEnumerable,
    Failed,
}

/// The models that a lane declares, or else lists when it is asked.
async fn known(worker: &Worker, lane: &Lane, facts: &LaneFacts) -> Known {
    let declared: Vec<String> = facts
        .models
        .iter()
        .chain(facts.deployments.keys())
        .cloned()
        .collect();
    if !declared.is_empty() {
        return Known::Models(declared);
    }
    match lane.models_path() {
        Some(path) => discovered(worker, lane, path).await,
        None => Known::NotEnumerable,
    }
}

async fn discovered(worker: &Worker, lane: &Lane, path: &PathAndQuery) -> Known {
    let Ok(endpoint) = &lane.endpoint else {
        return Known::Failed;
    };
    let key = format!("{} {}{path}", lane.id, endpoint.origin());
    let cache = &worker.gateway.discovery.0;
    let held = cache
        .get(&key)
        .filter(|listed| listed.until > Instant::now());
    let models = match held {
        Some(listed) => listed.models.clone(),
        None => {
            let asked = timeout(PROBE_LIMIT, probe(worker, lane, path)).await;
            let models = asked.ok().flatten();
            let empty = models.as_ref().is_none_or(Vec::is_empty);
            let until = Instant::now() + if empty { KEEP_EMPTY_FOR } else { KEEP_FOR };
            let listed = Listed {
                models: models.clone(),
                until,
            };
            cache.insert(key, Arc::new(listed));
            models
        }
    };
    models.map_or(Known::Failed, Known::Models)
}

async fn probe(worker: &Worker, lane: &Lane, path: &PathAndQuery) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
    }
    let endpoint = lane.endpoint.as_ref().ok()?;
    let user_agent = &worker.gateway.user_agent;
    let request = list_request(&worker.outside, lane, endpoint, path, user_agent)
        .await
        .ok()?;
    let timeouts = Timeouts {
        head: PROBE_LIMIT,
        ..worker.gateway.settings.timeouts
    };
    let sent = worker
        .pool
        .send(endpoint, path, request, &timeouts, &mut false)
        .await
        .ok()?;
    if !sent.response.status().is_success() {
        return None;
    }
    let mut body = sent.response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        bytes.extend_from_slice(&data);
        if bytes.len() > ANSWER_BYTES {
            return None;
        }
    }
    let page: Page = serde_json::from_slice(&bytes).ok()?;
    Some(
        page.data
            .into_iter()
            .map(|entry| match entry.id.strip_prefix("models/") {
                Some(bare) => bare.to_owned(),
                None => entry.id,
            })
            .take(MODELS_PER_PROVIDER)
            .collect(),
    )
}

/// The request that lists a lane's models, ready to be sent.
///
/// # Errors
/// It cannot be authorised.
async fn list_request(
    outside: &Outside,
    lane: &Lane,
    endpoint: &Endpoint,
    path: &PathAndQuery,
    user_agent: &HeaderValue,
) -> Result<Request<RequestBody>, Error> {
    let mut request = Request::new(RequestBody::default());
    *request.headers_mut() = list_headers(lane, user_agent);
    let map = request.headers_mut();
    access::authorise(outside, lane, endpoint, &Method::GET, path, map, &[]).await?;
    // Servers behind a base URL may want either form of the key, and so does Gemini's list.
    let key = lane
        .credential
        .as_ref()
        .and_then(|secret| HeaderValue::from_str(secret.expose()).ok());
    match (lane.kind, key) {
        (LaneKind::Compatible(_), Some(mut key)) if map.contains_key(AUTHORIZATION) => {
            key.set_sensitive(true);
            map.insert(headers::X_API_KEY, key);
        }
        (LaneKind::Gemini, Some(key)) => {
            let text = format!("Bearer {}", key.to_str().unwrap_or_default());
            if let Ok(mut bearer) = HeaderValue::from_str(&text) {
                bearer.set_sensitive(true);
                map.insert(AUTHORIZATION, bearer);
            }
        }
        _ => {}
    }
    Ok(request)
}

/// The head of a request of our own to a provider, but for its credential.
pub(crate) fn list_headers(lane: &Lane, user_agent: &HeaderValue) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(8);
    map.insert(ACCEPT, HeaderValue::from_static("application/json"));
    map.insert(USER_AGENT, user_agent.clone());
    if lane.kind == LaneKind::Anthropic {
        map.insert(
            headers::ANTHROPIC_VERSION,
            HeaderValue::from_static("2023-06-01"),
        );
    }
    for (name, value) in &lane.headers {
        map.insert(name.clone(), value.clone());
    }
    map
}
