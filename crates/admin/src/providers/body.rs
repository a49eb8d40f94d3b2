//! What callers send about a model provider, read and checked in itself (management-api 12, domain 6).
//!
//! The same fields have two spellings: snake case by id, camel case on the official route. Must never put
//! a credential into a problem. Start at [`NewProvider`], [`ProviderPatch`] and [`Upsert`].

use std::collections::BTreeMap;

use lw_core::Error;
use lw_store::rows::{DeclaredModel, RateLimit};
use serde_json::{Map, Value};

use super::bag::{BagPatch, Route};
use super::headers::{Headers, HeadersPatch};
use super::kind::Kind;
use super::settings::{self, Settings};
use super::value::Policy;
use crate::input::{BODY, Fields, Given, MAX_WHOLE, Problems, never_null};
use crate::scope::{self, Wanted};

/// The most declared models or deployments of a row.
const ENTRIES: usize = 1_000;
/// The largest entry of a declared model, in bytes of JSON.
const ENTRY: usize = 4 * 1024;

/// The body of a create.
#[derive(Debug, Clone)]
pub(crate) struct NewProvider {
    pub(super) kind: Kind,
    pub(super) bag: BagPatch,
    pub(super) rest: ProviderPatch,
}

/// The body of an update: what is absent stays. The credential bag is read apart: its fields depend on
/// the kind of the stored row.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProviderPatch {
    pub(super) name: Option<String>,
    pub(super) routing_handle: Given<String>,
    pub(super) enabled: Option<bool>,
    pub(super) scopes: Option<Vec<Wanted>>,
    pub(super) extra_headers: Given<HeadersPatch>,
    pub(super) custom_models: Given<Vec<DeclaredModel>>,
    pub(super) custom_embeddings_models: Given<Vec<DeclaredModel>>,
    pub(super) deployment_mapping: Given<BTreeMap<String, String>>,
    pub(super) rate_limit: Given<RatePatch>,
    pub(super) fallback_priority_global: Given<i64>,
    pub(super) provider_config: Given<String>,
    /// `default_model` of the official route, a setting like any other.
    pub(super) default_model: Given<String>,
}

/// The body of the official upsert.
#[derive(Debug, Clone)]
pub(crate) struct Upsert {
    pub(super) bag: BagPatch,
    pub(super) rest: ProviderPatch,
}

/// A change of ceilings: each of them is kept, cleared or set.
#[derive(Debug, Clone)]
pub(crate) struct RatePatch {
    rpm: Given<u64>,
    tpm: Given<u64>,
    rpd: Given<u64>,
    concurrent: Given<u64>,
}

impl RatePatch {
    /// The ceilings afterwards.
    pub(super) fn over(self, current: RateLimit) -> RateLimit {
        let Self {
            rpm,
            tpm,
            rpd,
            concurrent,
        } = self;
        RateLimit {
            rpm: rpm.over(current.rpm),
            tpm: tpm.over(current.tpm),
            rpd: rpd.over(current.rpd),
            concurrent: concurrent.over(current.concurrent),
        }
    }
}

impl NewProvider {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(body: &Map<String, Value>, policy: Policy<'_>) -> Result<Self, Error> {
        const MEMBER: &str = Route::ById.member();
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let kind = match fields.raw(&["provider"]) {
            Some((_, Value::String(text))) => Kind::parse(text).or_else(|| {
                problems.add("provider", "invalid_value", NOT_A_KIND);
                None
            }),
            Some((_, Value::Null)) | None => {
                problems.add("provider", "required", "is required, for example openai");
                None
            }
            Some(_) => {
                problems.add("provider", "invalid_type", "must be a string");
                None
            }
        };
        let given = fields.object(&[MEMBER], &mut problems);
        let absent = fields
            .raw(&[MEMBER])
            .is_none_or(|(_, value)| value.is_null());
        let bag = match (&given, &kind) {
            (Given::Value(keys), Some(kind)) => {
                BagPatch::read(kind, Route::ById, keys, policy, &mut problems)
            }
            _ => BagPatch::nothing(Route::ById),
        };
        if absent {
            problems.add(MEMBER, "required", "is required");
        }
        let rest = ProviderPatch::common(&fields, policy, &mut problems);
        problems.finish()?;
        let Some(kind) = kind else {
            return Err(crate::input::refuse(
                BODY,
                "provider",
                "invalid_value",
                NOT_A_KIND,
            ));
        };
        Ok(Self { kind, bag, rest })
    }
}

/// What is said of a kind that is none.
pub(super) const NOT_A_KIND: &str =
    "must be the name of a kind of provider: lowercase letters, digits and `_`, such as openai";

impl ProviderPatch {
    /// Reads a body for a row of `kind`: the patch, and what it wants of the bag.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(
        body: &Map<String, Value>,
        kind: &Kind,
        policy: Policy<'_>,
    ) -> Result<(Self, BagPatch), Error> {
        const MEMBER: &str = Route::ById.member();
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        if let Some((_, value)) = fields.raw(&["provider"])
            && value.as_str().and_then(Kind::parse).as_ref() != Some(kind)
        {
            let text = "cannot be changed: create another provider instead";
            problems.add("provider", "invalid_value", text);
        }
        let bag = match fields.object(&[MEMBER], &mut problems) {
            Given::Value(keys) => BagPatch::read(kind, Route::ById, &keys, policy, &mut problems),
            Given::Absent => BagPatch::nothing(Route::ById),
            Given::Null => {
                let text = "must be an object; send null for the single keys to delete";
                problems.add(MEMBER, "invalid_type", text);
                BagPatch::nothing(Route::ById)
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
        let mut extra_headers = Headers::read("extra_headers", fields, problems);
        let provider_config = settings::read(fields, policy, problems);
        let provider_config = provider_config.map(|Settings { text, headers }| {
            match (headers, &extra_headers) {
                (Some(headers), Given::Absent) => extra_headers = Given::Value(headers),
                (Some(_), Given::Null | Given::Value(_)) => {
                    let text = "is there twice: send it as `extra_headers` only";
                    problems.add("provider_config.extra_headers", "invalid_value", text);
                }
                (None, _) => {}
            }
            text
        });
        Self {
            name: never_null(name, "name".into(), problems),
            routing_handle: handle(fields, problems),
            enabled: never_null(enabled, "enabled".into(), problems),
            scopes: never_null(scopes, "scopes".into(), problems),
            extra_headers,
            custom_models: models(fields, "custom_models", problems),
            custom_embeddings_models: models(fields, "custom_embeddings_models", problems),
            deployment_mapping: mapping(fields, problems),
            rate_limit: rate_limit(fields, problems),
            fallback_priority_global: fields.integer("fallback_priority_global", problems),
            provider_config,
            default_model: Given::Absent,
        }
    }
}

impl Upsert {
    /// Reads the body of the official route for a kind.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(
        body: &Map<String, Value>,
        kind: &Kind,
        policy: Policy<'_>,
    ) -> Result<Self, Error> {
        const MEMBER: &str = Route::Official.member();
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let enabled = fields.boolean(&["enabled"], &mut problems);
        if fields
            .raw(&["enabled"])
            .is_none_or(|(_, value)| value.is_null())
        {
            problems.add("enabled", "required", "must be true or false");
        }
        let bag = match fields.object(&[MEMBER], &mut problems) {
            Given::Value(keys) => {
                BagPatch::read(kind, Route::Official, &keys, policy, &mut problems)
            }
            Given::Absent | Given::Null => BagPatch::nothing(Route::Official),
        };
        let default_model = fields.trimmed("defaultModel", 1..=256, &mut problems);
        let rest = ProviderPatch {
            enabled: enabled.value(),
            extra_headers: Headers::read("extraHeaders", &fields, &mut problems),
            custom_models: models(&fields, "customModels", &mut problems),
            custom_embeddings_models: models(&fields, "customEmbeddingsModels", &mut problems),
            default_model: default_model.map(|model| {
                if model.contains('/') {
                    model
                } else {
                    format!("{}/{model}", kind.name())
                }
            }),
            ..ProviderPatch::default()
        };
        problems.finish()?;
        Ok(Self { bag, rest })
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
        } else if Kind::reserves(&text) {
            let text = "must not be the name of a kind";
            problems.add("routing_handle", "invalid_value", text);
        } else {
            return Some(text);
        }
        None
    })
}

/// Declared models: names, or objects that hold the name in one of [`DeclaredModel::NAMES`].
fn models(
    fields: &Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Given<Vec<DeclaredModel>> {
    fields.list(&[name], problems).map(|entries| {
        if entries.len() > ENTRIES {
            let text = format!("must hold at most {ENTRIES} models");
            problems.add(name, "too_big", text);
        }
        let mut models = Vec::new();
        for (place, entry) in entries.iter().enumerate().take(ENTRIES) {
            let path = format!("{}.{place}", fields.path(name));
            let model = match entry {
                Value::String(name) => DeclaredModel::Name(name.clone()),
                Value::Object(map) => DeclaredModel::Entry(map.clone()),
                _ => {
                    let text = "must be a name, or an object with an `id`";
                    problems.add(path, "invalid_type", text);
                    continue;
                }
            };
            let length = model.name().map_or(0, |name| name.chars().count());
            if !(1..=256).contains(&length) {
                let text = "must be, or have an `id` of, 1 to 256 characters";
                problems.add(path, "invalid_length", text);
            } else if entry.to_string().len() > ENTRY {
                let text = format!("must be at most {ENTRY} bytes of JSON");
                problems.add(path, "too_big", text);
            } else {
                models.push(model);
            }
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
            concurrent: limits.whole(&["concurrent"], 0..=MAX_WHOLE, problems),
        })
}
