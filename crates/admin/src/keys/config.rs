//! The `config` of a virtual key: read from what callers send, kept sparse, shown filled (domain 7.5).
//!
//! Stored: camelCase, only what was set. Shown: the official fields with their defaults, and the fields
//! that are ours only when they are set, so that official clients see the official shape. An update
//! replaces whole top-level keys; `null` puts one back to its default. Unknown keys are stripped, except
//! under `policyRules`, where a misspelt dimension would be a rule that nobody enforces.
//!
//! Whether the providers and guardrails that it names can be reached is the service's question: it depends
//! on scopes. Start at [`read`].

use std::ops::RangeInclusive;

use lw_store::rows::CaptureMode;
use serde_json::{Map, Value, json};

use super::rules;
use crate::input::{Fields, Given, MAX_WHOLE, Problems};

/// The longest name of a model, a provider or an alias.
pub(crate) const NAME: RangeInclusive<usize> = 1..=256;
/// The most entries of a list or a map.
pub(crate) const ENTRIES: usize = 1_000;

/// What an input wants to change: top-level keys with their new stored value; `None` is the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ConfigPatch(Vec<(&'static str, Option<Value>)>);

impl ConfigPatch {
    /// Whether a top-level key is among the wishes.
    pub(crate) fn touches(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == key)
    }

    /// The stored form afterwards.
    pub(crate) fn over(self, stored: &str) -> String {
        let mut map = parse(stored);
        for (key, value) in self.0 {
            match value {
                Some(value) => map.insert(key.to_owned(), value),
                None => map.remove(key),
            };
        }
        Value::Object(map).to_string()
    }
}

/// The stored form, parsed; what is damaged reads as empty.
fn parse(stored: &str) -> Map<String, Value> {
    match serde_json::from_str(stored) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// `providersAllowed` as it is stored; `None` is every provider.
pub(crate) fn providers_allowed(stored: &str) -> Option<Vec<String>> {
    let map = parse(stored);
    let list = map.get("providersAllowed")?.as_array()?;
    Some(
        list.iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
    )
}

/// The provider that the semantic cache asks for embeddings.
pub(crate) fn embedding_provider(stored: &str) -> Option<String> {
    let map = parse(stored);
    Some(
        map.get("semanticCache")?
            .get("embeddingModelProviderId")?
            .as_str()?
            .to_owned(),
    )
}

/// What the key itself says about capture; `None` follows the organization.
pub(crate) fn capture(stored: &str) -> Option<CaptureMode> {
    CaptureMode::parse(parse(stored).get("capturePayload")?.as_str()?)
}

/// The config as callers see it.
pub(crate) fn shown(stored: &str) -> Value {
    let map = parse(stored);
    let set = |path: [&str; 2]| {
        map.get(path[0])
            .and_then(|inner| inner.get(path[1]))
            .cloned()
    };
    let whole = |key: &str| map.get(key).cloned();
    let or = |value: Option<Value>, default: Value| value.unwrap_or(default);

    let mut fallback = Map::new();
    fallback.insert(
        "maxAttempts".into(),
        or(set(["fallback", "maxAttempts"]), json!(3)),
    );
    for key in ["on", "attemptTimeoutMs", "modelMap"] {
        if let Some(value) = set(["fallback", key]) {
            fallback.insert(key.into(), value);
        }
    }
    let mut metadata = Map::new();
    metadata.insert("tags".into(), or(set(["metadata", "tags"]), json!([])));
    if let Some(label) = set(["metadata", "label"]) {
        metadata.insert("label".into(), label);
    }
    let mut out = Map::new();
    out.insert(
        "modelsAllowed".into(),
        or(whole("modelsAllowed"), Value::Null),
    );
    let allowed = whole("providersAllowed").filter(|list| *list != json!([]));
    out.insert("providersAllowed".into(), or(allowed, Value::Null));
    out.insert(
        "cache".into(),
        json!({
            "mode": or(set(["cache", "mode"]), json!("respect")),
            "ttlS": or(set(["cache", "ttlS"]), json!(3600)),
        }),
    );
    out.insert("fallback".into(), fallback.into());
    out.insert(
        "guardrailAttachments".into(),
        or(whole("guardrailAttachments"), json!([])),
    );
    let mut limits = Map::new();
    for key in ["rpm", "tpm", "rpd"] {
        let limit = set(["rateLimits", key]);
        limits.insert(key.into(), or(limit, Value::Null));
    }
    if let Some(limit) = set(["rateLimits", "concurrent"]) {
        limits.insert("concurrent".into(), limit);
    }
    out.insert("rateLimits".into(), limits.into());
    out.insert(
        "realtime".into(),
        json!({ "maxOpenSessions": set(["realtime", "maxOpenSessions"]) }),
    );
    out.insert("metadata".into(), metadata.into());
    for key in [
        "semanticCache",
        "capturePayload",
        "openaiCompatTranslate",
        "modelAliases",
        "policyRules",
    ] {
        if let Some(value) = whole(key) {
            out.insert(key.into(), value);
        }
    }
    out.into()
}

/// Reads what a caller sent. Problems name the path below `config`.
pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> ConfigPatch {
    let mut patch = ConfigPatch::default();
    let mut wish = |key: &'static str, given: Given<Value>| match given {
        Given::Absent => {}
        Given::Null => patch.0.push((key, None)),
        Given::Value(value) => patch.0.push((key, Some(value))),
    };
    wish("modelsAllowed", models_allowed(fields, problems));
    wish("providersAllowed", providers(fields, problems));
    wish("cache", cache(fields, problems));
    wish("fallback", fallback(fields, problems));
    wish("guardrailAttachments", guardrails(fields, problems));
    wish("rateLimits", rate_limits(fields, problems));
    wish("realtime", realtime(fields, problems));
    wish("semanticCache", semantic_cache(fields, problems));
    let modes = ["raw", "redacted", "metadata_only", "none"];
    let capture = fields.choice(&["capturePayload", "capture_payload"], &modes, problems);
    wish("capturePayload", capture.map(Value::from));
    let translate = fields.boolean(
        &["openaiCompatTranslate", "openai_compat_translate"],
        problems,
    );
    wish("openaiCompatTranslate", translate.map(Value::from));
    wish("modelAliases", rules::aliases(fields, problems));
    wish("policyRules", rules::policy_rules(fields, problems));
    wish("metadata", metadata(fields, problems));
    patch
}

fn models_allowed(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    let names = ["modelsAllowed", "models_allowed"];
    fields.texts(&names, NAME, problems).map(|models| {
        let path = fields.path("modelsAllowed");
        bounded(&path, models.len(), problems);
        for (place, model) in models.iter().enumerate() {
            if model.strip_suffix('*').unwrap_or(model).contains('*') {
                let text = "may hold `*` only at its end";
                problems.add(format!("{path}.{place}"), "invalid_value", text);
            }
        }
        models.into()
    })
}

/// An empty list is left standing: the service refuses it with a code of its own.
fn providers(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    let names = ["providersAllowed", "providers_allowed"];
    fields.texts(&names, NAME, problems).map(|given| {
        bounded(&fields.path("providersAllowed"), given.len(), problems);
        let mut ids: Vec<String> = Vec::new();
        for id in given {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.into()
    })
}

fn cache(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.object(&["cache"], problems).map(|cache| {
        let mut out = Sparse::default();
        let modes = ["respect", "force", "disable", "auto"];
        out.put("mode", cache.choice(&["mode"], &modes, problems));
        out.put(
            "ttlS",
            cache.whole(&["ttlS", "ttl_s"], 0..=MAX_WHOLE, problems),
        );
        out.into()
    })
}

/// `fallback` of a key, and of a routing policy: camelCase and snake_case alike, stored in camelCase with
/// only what was set.
pub(crate) fn fallback(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.object(&["fallback"], problems).map(|fallback| {
        let mut out = Sparse::default();
        let attempts = ["maxAttempts", "max_attempts"];
        out.put(
            "maxAttempts",
            fallback.whole(&attempts, 1..=MAX_WHOLE, problems),
        );
        out.put("on", triggers(&fallback, problems));
        let timeout = [
            "attemptTimeoutMs",
            "attempt_timeout_ms",
            "timeoutMs",
            "timeout_ms",
        ];
        out.put(
            "attemptTimeoutMs",
            fallback.whole(&timeout, 1..=840_000, problems),
        );
        out.put("modelMap", rules::model_map(&fallback, problems));
        out.into()
    })
}

fn triggers(fallback: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fallback.list(&["on"], problems).map(|given| {
        let mut triggers: Vec<&'static str> = Vec::new();
        for (place, entry) in given.iter().enumerate().take(ENTRIES) {
            let trigger = match entry.as_str() {
                Some("5xx") => "5xx",
                Some("timeout") => "timeout",
                Some("rate_limit" | "rate_limit_exceeded") => "rate_limit",
                Some("network_error" | "network") => "network_error",
                Some("404" | "not_found") => "404",
                _ => {
                    let text = "must be one of 5xx, timeout, rate_limit, network_error, 404";
                    let path = format!("{}.{place}", fallback.path("on"));
                    problems.add(path, "invalid_value", text);
                    continue;
                }
            };
            if !triggers.contains(&trigger) {
                triggers.push(trigger);
            }
        }
        triggers.into()
    })
}

/// An empty list is the default. Whether the guardrails exist is the service's question.
fn guardrails(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    let names = ["guardrailAttachments", "guardrail_attachments"];
    let path = fields.path("guardrailAttachments");
    let given = fields.list(&names, problems).map(|list| {
        bounded(&path, list.len(), problems);
        let mut attachments: Vec<Value> = Vec::new();
        for (place, entry) in list.iter().enumerate().take(ENTRIES) {
            let path = format!("{path}.{place}");
            let Some(map) = entry.as_object() else {
                problems.add(path, "invalid_type", "must be {direction, guardrailIds}");
                continue;
            };
            let entry = Fields::new(map, path);
            let words = ["pre", "post", "stream_chunk"];
            let direction = entry.choice(&["direction"], &words, problems);
            let ids = entry.texts(&["guardrailIds", "guardrail_ids"], NAME, problems);
            if let Some(ids) = ids.clone().value() {
                bounded(&entry.path("guardrailIds"), ids.len(), problems);
            }
            match (direction, ids) {
                (Given::Value(direction), Given::Value(ids)) => {
                    attachments.push(json!({ "direction": direction, "guardrailIds": ids }));
                }
                (Given::Absent | Given::Null, _) if entry.raw(&["direction"]).is_none() => {
                    problems.add(entry.path("direction"), "required", "is required");
                }
                _ if entry.raw(&["guardrailIds", "guardrail_ids"]).is_none() => {
                    problems.add(entry.path("guardrailIds"), "required", "is required");
                }
                _ => {}
            }
        }
        attachments
    });
    match given {
        Given::Value(list) if list.is_empty() => Given::Null,
        other => other.map(Value::Array),
    }
}

fn rate_limits(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields
        .object(&["rateLimits", "rate_limits"], problems)
        .map(|limits| {
            let mut out = Sparse::default();
            for key in ["rpm", "tpm", "rpd", "concurrent"] {
                out.put(key, limits.whole(&[key], 0..=MAX_WHOLE, problems));
            }
            out.into()
        })
}

fn realtime(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.object(&["realtime"], problems).map(|realtime| {
        let mut out = Sparse::default();
        let names = ["maxOpenSessions", "max_open_sessions"];
        out.put(
            "maxOpenSessions",
            realtime.whole(&names, 1..=MAX_WHOLE, problems),
        );
        out.into()
    })
}

fn semantic_cache(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields
        .object(&["semanticCache", "semantic_cache"], problems)
        .map(|cache| {
            let enabled = cache
                .boolean(&["enabled"], problems)
                .value()
                .unwrap_or(true);
            let mut needed = |names: [&'static str; 2]| {
                let (name, value) = cache.raw(&names).unwrap_or((names[0], &Value::Null));
                match value.as_str() {
                    Some(text) if NAME.contains(&text.chars().count()) => text.to_owned(),
                    _ => {
                        problems.add(cache.path(name), "required", "must be a non-empty string");
                        String::new()
                    }
                }
            };
            let provider = needed(["embeddingModelProviderId", "embedding_model_provider_id"]);
            let model = needed(["embeddingModel", "embedding_model"]);
            let threshold = ["similarityThreshold", "similarity_threshold"];
            let threshold = cache
                .number(&threshold, 0.80..=1.00, problems)
                .value()
                .unwrap_or(0.95);
            let ttl = ["ttlSeconds", "ttl_seconds"];
            let ttl = cache
                .whole(&ttl, 60..=86_400, problems)
                .value()
                .unwrap_or(3600);
            let loose = ["allowNondeterministic", "allow_nondeterministic"];
            let loose = cache.boolean(&loose, problems).value().unwrap_or(false);
            json!({
                "enabled": enabled,
                "embeddingModelProviderId": provider,
                "embeddingModel": model,
                "similarityThreshold": threshold,
                "ttlSeconds": ttl,
                "allowNondeterministic": loose,
            })
        })
}

fn metadata(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.object(&["metadata"], problems).map(|metadata| {
        let mut out = Sparse::default();
        out.put("label", metadata.trimmed("label", 0..=128, problems));
        out.put(
            "tags",
            metadata
                .list(&["tags"], problems)
                .map(|tags| normal_tags(tags)),
        );
        out.into()
    })
}

/// Tags are normalised, never rejected (7.5).
fn normal_tags(given: &[Value]) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in given.iter().filter_map(Value::as_str) {
        let tag: String = tag.trim().chars().take(128).collect();
        let tag = tag.trim_end();
        if !tag.is_empty() && !tags.iter().any(|known| known == tag) && tags.len() < 32 {
            tags.push(tag.to_owned());
        }
    }
    tags
}

/// Adds a problem when a list or a map is longer than anybody needs.
pub(crate) fn bounded(path: &str, length: usize, problems: &mut Problems) {
    if length > ENTRIES {
        problems.add(
            path,
            "too_big",
            format!("must hold at most {ENTRIES} entries"),
        );
    }
}

/// An object that holds what was set, and nothing for what was not.
#[derive(Debug, Default)]
struct Sparse(Map<String, Value>);

impl Sparse {
    fn put(&mut self, key: &'static str, given: Given<impl Into<Value>>) {
        if let Given::Value(value) = given {
            self.0.insert(key.to_owned(), value.into());
        }
    }
}

impl From<Sparse> for Value {
    fn from(sparse: Sparse) -> Self {
        Self::Object(sparse.0)
    }
}
