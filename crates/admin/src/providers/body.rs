//! What callers send about a model provider, read and checked in itself (management-api 12.2, domain 6).
//!
//! Must never put a credential into a problem. Start at [`NewProvider`] and [`ProviderPatch`].

use std::collections::BTreeMap;

use lw_core::Error;
use lw_store::rows::RateLimit;
use serde_json::{Map, Value};

use super::bag::{BagPatch, Headers, HeadersPatch, base_url};
use super::kind::{Kind, RESERVED, supported};
use crate::input::{BODY, Fields, Given, MAX_WHOLE, Problems, never_null};
use crate::scope::{self, Wanted};

/// The most declared models or deployments of a row.
const ENTRIES: usize = 1_000;
/// The largest provider config, in bytes of JSON.
const CONFIG: usize = 64 * 1024;

/// The body of a create.
#[derive(Debug)]
pub(crate) struct NewProvider {
    pub(super) kind: Kind,
    pub(super) bag: BagPatch,
    pub(super) rest: ProviderPatch,
}

/// The body of an update: what is absent stays. The credential bag is read apart: its fields depend on
/// the kind of the stored row.
#[derive(Debug)]
pub(crate) struct ProviderPatch {
    pub(super) name: Option<String>,
    pub(super) routing_handle: Given<String>,
    pub(super) enabled: Option<bool>,
    pub(super) scopes: Option<Vec<Wanted>>,
    pub(super) extra_headers: Given<HeadersPatch>,
    pub(super) custom_models: Given<Vec<String>>,
    pub(super) custom_embeddings_models: Given<Vec<String>>,
    pub(super) deployment_mapping: Given<BTreeMap<String, String>>,
    pub(super) rate_limit: Given<RatePatch>,
    pub(super) fallback_priority_global: Given<i64>,
    pub(super) provider_config: Given<String>,
}

/// A change of ceilings: each of them is kept, cleared or set.
#[derive(Debug, Clone)]
pub(crate) struct RatePatch {
    rpm: Given<u64>,
    tpm: Given<u64>,
    rpd: Given<u64>,
}

impl RatePatch {
    /// The ceilings afterwards.
    pub(super) fn over(self, current: RateLimit) -> RateLimit {
        RateLimit {
            rpm: self.rpm.over(current.rpm),
            tpm: self.tpm.over(current.tpm),
            rpd: self.rpd.over(current.rpd),
        }
    }
}

/// What checks a base URL.
type Policy<'a> = &'a dyn Fn(&str) -> Result<(), String>;

impl NewProvider {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(body: &Map<String, Value>, policy: Policy<'_>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let kind = match fields.raw(&["provider"]) {
            Some((_, Value::String(text))) => Kind::parse(text).or_else(|| {
                let text = format!("must be a kind that this version supports: {}", supported());
                problems.add("provider", "invalid_value", text);
                None
            }),
            Some(_) | None => {
                problems.add(
                    "provider",
                    "required",
                    format!("must be one of {}", supported()),
                );
                None
            }
        };
        let bag = match (fields.object(&["custom_keys"], &mut problems), kind) {
            (Given::Value(keys), Some(kind)) => BagPatch::read(kind, &keys, policy, &mut problems),
            (Given::Value(_), None) => BagPatch::default(),
            (Given::Absent | Given::Null, _) => {
                if fields
                    .raw(&["custom_keys"])
                    .is_none_or(|(_, value)| value.is_null())
                {
                    problems.add("custom_keys", "required", "is required");
                }
                BagPatch::default()
            }
        };
        let rest = ProviderPatch::common(&fields, policy, &mut problems);
        problems.finish()?;
        // Without problems there is a kind.
        let kind = kind.unwrap_or(Kind::Custom);
        Ok(Self { kind, bag, rest })
    }
}

impl ProviderPatch {
    /// Reads a body for a row of `kind`: the patch, and what it wants of the bag.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(
        body: &Map<String, Value>,
        kind: Kind,
        policy: Policy<'_>,
    ) -> Result<(Self, BagPatch), Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        if let Some((_, value)) = fields.raw(&["provider"])
            && value.as_str() != Some(kind.name())
        {
            let text = "cannot be changed: create another provider instead";
            problems.add("provider", "invalid_value", text);
        }
        let bag = match fields.object(&["custom_keys"], &mut problems) {
            Given::Value(keys) => BagPatch::read(kind, &keys, policy, &mut problems),
            Given::Absent => BagPatch::default(),
            Given::Null => {
                let text = "must be an object; send null for the single keys to delete";
                problems.add("custom_keys", "invalid_type", text);
                BagPatch::default()
            }
        };
        let patch = Self::common(&fields, policy, &mut problems);
        problems.finish()?;
        Ok((patch, bag))
    }

    fn common(fields: &Fields<'_>, policy: Policy<'_>, problems: &mut Problems) -> Self {
        let name = fields.trimmed("name", 1..=128, problems);
        let enabled = fields.boolean(&["enabled"], problems);
        let scopes = scope::read(fields, problems);
        Self {
            name: never_null(name, "name".into(), problems),
            routing_handle: handle(fields, problems),
            enabled: never_null(enabled, "enabled".into(), problems),
            scopes: never_null(scopes, "scopes".into(), problems),
            extra_headers: Headers::read(fields, problems),
            custom_models: models(fields, "custom_models", problems),
            custom_embeddings_models: models(fields, "custom_embeddings_models", problems),
            deployment_mapping: mapping(fields, problems),
            rate_limit: rate_limit(fields, problems),
            fallback_priority_global: fields.integer("fallback_priority_global", problems),
            provider_config: config(fields, policy, problems),
        }
    }
}

/// The name that a provider is addressed by: lowercase, short, and no kind's name. Empty clears it.
fn handle(fields: &Fields<'_>, problems: &mut Problems) -> Given<String> {
    let given = fields.trimmed("routing_handle", 0..=32, problems);
    let given = given.map(|text| text.to_ascii_lowercase());
    if given == Given::Value(String::new()) {
        return Given::Null;
    }
    given.and_then(|text| {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fine = text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'_' || b == b'-');
        if !fine {
            let text = "must be letters, digits, `_` and `-`, and begin with a letter or a digit";
            problems.add("routing_handle", "invalid_value", text);
        } else if RESERVED.contains(&text.as_str()) {
            problems.add(
                "routing_handle",
                "invalid_value",
                "must not be the name of a kind",
            );
        } else {
            return Some(text);
        }
        None
    })
}

fn models(fields: &Fields<'_>, name: &'static str, problems: &mut Problems) -> Given<Vec<String>> {
    fields.texts(&[name], 1..=256, problems).map(|models| {
        if models.len() > ENTRIES {
            problems.add(
                name,
                "too_big",
                format!("must hold at most {ENTRIES} models"),
            );
        }
        models
    })
}

fn mapping(fields: &Fields<'_>, problems: &mut Problems) -> Given<BTreeMap<String, String>> {
    fields.object(&["deployment_mapping"], problems).map(|map| {
        if map.map().len() > ENTRIES {
            let text = format!("must hold at most {ENTRIES} entries");
            problems.add("deployment_mapping", "too_big", text);
        }
        let mut out = BTreeMap::new();
        for (model, native) in map.map() {
            let fine = |text: &str| (1..=256).contains(&text.chars().count());
            match native.as_str() {
                Some(native) if fine(native) && fine(model) => {
                    out.insert(model.clone(), native.to_owned());
                }
                _ => {
                    let text = "must map a model to the provider's own name for it";
                    problems.add(map.path(model), "invalid_value", text);
                }
            }
        }
        out
    })
}

fn rate_limit(fields: &Fields<'_>, problems: &mut Problems) -> Given<RatePatch> {
    fields
        .object(&["rate_limit"], problems)
        .map(|limits| RatePatch {
            rpm: limits.whole(&["rpm"], 0..=MAX_WHOLE, problems),
            tpm: limits.whole(&["tpm"], 0..=MAX_WHOLE, problems),
            rpd: limits.whole(&["rpd"], 0..=MAX_WHOLE, problems),
        })
}

/// Advanced settings: any JSON object. A base URL in it is an address like any other.
fn config(fields: &Fields<'_>, policy: Policy<'_>, problems: &mut Problems) -> Given<String> {
    fields.object(&["provider_config"], problems).map(|map| {
        for name in ["base_url", "BASE_URL"] {
            let Some((_, value)) = map.raw(&[name]).filter(|(_, value)| !value.is_null()) else {
                continue;
            };
            let checked = value.as_str().map(|text| base_url(text, policy));
            let checked = checked.unwrap_or_else(|| Err("must be a string".into()));
            if let Err(message) = checked {
                problems.add(map.path(name), "invalid_value", message);
            }
        }
        let text = Value::Object(map.map().clone()).to_string();
        if text.len() > CONFIG {
            let message = format!("must be at most {CONFIG} bytes of JSON");
            problems.add("provider_config", "too_big", message);
        }
        text
    })
}
