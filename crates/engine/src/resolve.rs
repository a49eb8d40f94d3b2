//! Which provider may serve a model name, and under which name (data-plane 12).
//!
//! Reads a name by the first rule that matches (alias, handle, provider type, bare), judges the
//! allowlist on the resolved model, and lists the lanes that may be tried, in the key's order. Pure:
//! no I/O, no clock. Must never widen what a key may reach. Start at [`resolve`].

use std::borrow::Cow;
use std::collections::HashMap;

use lw_core::{Code, Error};
use serde_json::{Value, json};

/// Provider types that a name may begin with, and what they are normalised to (12.2).
const TYPES: [(&str, &str); 27] = [
    ("openai", "openai"),
    ("openai_codex", "openai_codex"),
    ("anthropic", "anthropic"),
    ("azure", "azure"),
    ("azure_openai", "azure"),
    ("azure_safety", "azure_safety"),
    ("bedrock", "bedrock"),
    ("aws_bedrock", "bedrock"),
    ("vertex", "vertex"),
    ("vertex_ai", "vertex"),
    ("google_vertex", "vertex"),
    ("gemini", "gemini"),
    ("google_gemini", "gemini"),
    ("google_agent_platform", "gemini"),
    ("xai", "xai"),
    ("groq", "groq"),
    ("cerebras", "cerebras"),
    ("deepseek", "deepseek"),
    ("voyage", "voyage"),
    ("custom", "custom"),
    ("custom_openai", "custom"),
    ("elevenlabs", "elevenlabs"),
    ("cloudflare", "cloudflare"),
    ("mistral", "mistral"),
    ("cohere", "cohere"),
    ("fireworks_ai", "fireworks_ai"),
    ("fireworks", "fireworks_ai"),
];

/// Prefixes of bare names and the vendor they belong to (12.4 b).
const FAMILIES: [(&str, &str); 16] = [
    ("claude-", "anthropic"),
    ("gpt-", "openai"),
    ("o1-", "openai"),
    ("o3-", "openai"),
    ("o4-", "openai"),
    ("chatgpt-", "openai"),
    ("text-embedding-", "openai"),
    ("dall-e-", "openai"),
    ("whisper-", "openai"),
    ("tts-", "openai"),
    ("gpt-image-", "openai"),
    ("omni-moderation-", "openai"),
    ("text-moderation-", "openai"),
    ("gemini-", "gemini"),
    ("imagen-", "gemini"),
    ("codex-", "openai"),
];

/// The most names that a refusal lists.
const MOST_OPTIONS: usize = 10;

/// The normalised provider type that `name` spells, whatever its case.
#[must_use]
pub fn provider_type(name: &str) -> Option<&'static str> {
    TYPES
        .iter()
        .find(|(spelling, _)| spelling.eq_ignore_ascii_case(name))
        .map(|(_, kind)| *kind)
}

/// What resolution needs to know of one provider row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneFacts {
    /// The row.
    pub id: String,
    /// Its normalised type.
    pub kind: String,
    /// Its handle, lowercase.
    pub handle: Option<String>,
    /// Models that it declares: listed ones and keys of its deployment map.
    pub models: Vec<String>,
    /// Model name to the provider's own name.
    pub deployments: HashMap<String, String>,
}

impl LaneFacts {
    /// Whether the row itself names the model.
    #[must_use]
    pub fn declares(&self, model: &str) -> bool {
        self.models.iter().any(|name| name == model) || self.deployments.contains_key(model)
    }

    fn declares_nothing(&self) -> bool {
        self.models.is_empty() && self.deployments.is_empty()
    }
}

/// A list of model names, literal or with a trailing `*` (12.3). Compared case-sensitively.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelList(Vec<String>);

impl ModelList {
    /// From the entries of `modelsAllowed`.
    #[must_use]
    pub const fn new(entries: Vec<String>) -> Self {
        Self(entries)
    }

    /// Whether `model`, or `kind/model`, is on the list.
    #[must_use]
    pub fn allows(&self, kind: &str, model: &str) -> bool {
        self.0.iter().any(|entry| {
            let qualified = entry
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix('/'))
                .map(|rest| matches(rest, model));
            matches(entry, model)
                || qualified == Some(true)
                || entry.strip_suffix('*').is_some_and(|prefix| {
                    // `openai*` or `open*` cover the qualified spelling too.
                    prefix.len() <= kind.len() + 1 && format!("{kind}/").starts_with(prefix)
                })
        })
    }

    /// The entries without a wildcard.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(String::as_str)
            .filter(|entry| !entry.ends_with('*'))
    }
}

fn matches(entry: &str, model: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(prefix) => model.starts_with(prefix),
        None => entry == model,
    }
}

/// What a key may reach: the part of its bundle that names are resolved against.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Dispatchable providers in dispatch order.
    pub lanes: Vec<LaneFacts>,
    /// Reachable by scope, but not in `providersAllowed`.
    pub access_excluded: Vec<LaneFacts>,
    /// Reachable and allowed, but not in the routing policy.
    pub routing_excluded: Vec<LaneFacts>,
    /// The name of that policy.
    pub policy_name: Option<String>,
    /// Client name to target.
    pub aliases: HashMap<String, String>,
    /// `None` allows every model.
    pub models_allowed: Option<ModelList>,
}

/// How a name was read (`langwatch.model_source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSource {
    /// An alias of the key.
    Alias,
    /// `type/model` or `handle/model`.
    ExplicitSlash,
    /// A bare name.
    Implicit,
}

impl ModelSource {
    /// The word on the span.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::ExplicitSlash => "explicit_slash",
            Self::Implicit => "implicit",
        }
    }
}

/// A name that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The model to ask for, without a prefix. A lane's deployment map may still rename it.
    pub model: Cow<'a, str>,
    /// How the name was read.
    pub source: ModelSource,
    /// Nobody of another vendor may serve it: the caller named a type, or the name or its alias a provider
    /// (data-plane 13.4).
    pub pinned: bool,
    /// Lanes that may serve it, as indices into [`Reach::lanes`], in order; never empty.
    pub candidates: Vec<usize>,
}

enum Place<'a> {
    Handle(usize),
    ExcludedHandle(&'a LaneFacts),
    Type(&'static str),
    Bare,
}

/// Resolves `sent`. `serves` tells which lanes can serve the surface at all, and `surface` names it for
/// the refusal.
///
/// # Errors
/// The refusals of 12.3 and 12.5: `model_not_allowed` with a reason, or `no_provider_configured`.
pub fn resolve<'a>(
    reach: &'a Reach,
    sent: &'a str,
    surface: &str,
    serves: impl Fn(usize) -> bool,
) -> Result<Resolved<'a>, Error> {
    let nothing = [
        &reach.lanes,
        &reach.access_excluded,
        &reach.routing_excluded,
    ];
    if nothing.iter().all(|lanes| lanes.is_empty()) {
        return Err(Error::new(
            Code::NoProviderConfigured,
            "the virtual key reaches no model provider",
        )
        .tip(
            "Add one under Settings → Model Providers, or with `langwatch model-provider create`.",
        ));
    }
    let alias = reach.aliases.get(sent);
    let name = alias.map_or(sent, String::as_str);
    let (place, model) = place(reach, name);
    let source = match (alias, &place) {
        (Some(_), _) => ModelSource::Alias,
        (None, Place::Bare) => ModelSource::Implicit,
        (None, _) => ModelSource::ExplicitSlash,
    };
    let candidates: Vec<usize> = match &place {
        Place::ExcludedHandle(lane) => return Err(exclusion_refusal(reach, sent, lane)),
        Place::Handle(index) => vec![*index],
        Place::Type(kind) => of_lanes(reach, |lane| lane.kind == *kind),
        Place::Bare => bare_candidates(reach, model),
    };
    if candidates.is_empty() {
        return Err(unplaced(reach, sent, model, &place));
    }
    let serving: Vec<usize> = candidates
        .iter()
        .copied()
        .filter(|index| serves(*index))
        .collect();
    if serving.is_empty() {
        return Err(wrong_surface(reach, sent, surface, &candidates));
    }
    let allowed: Vec<usize> = serving
        .into_iter()
        .filter(|index| {
            let kind = reach
                .lanes
                .get(*index)
                .map_or("", |lane| lane.kind.as_str());
            reach
                .models_allowed
                .as_ref()
                .is_none_or(|list| list.allows(kind, model))
        })
        .collect();
    if allowed.is_empty() {
        return Err(not_on_the_list(sent, model, alias.is_some(), &place));
    }
    Ok(Resolved {
        model: Cow::Borrowed(model),
        source,
        pinned: match place {
            Place::Bare => false,
            Place::Type(_) => alias.is_none(),
            Place::Handle(_) | Place::ExcludedHandle(_) => true,
        },
        candidates: allowed,
    })
}

/// Steps 2 to 4 of 12.2.
fn place<'a>(reach: &'a Reach, name: &'a str) -> (Place<'a>, &'a str) {
    let Some((first, rest)) = name.split_once('/') else {
        return (Place::Bare, name);
    };
    let is_handle = |lane: &LaneFacts| {
        lane.handle
            .as_deref()
            .is_some_and(|handle| handle.eq_ignore_ascii_case(first))
    };
    if let Some(index) = reach.lanes.iter().position(is_handle) {
        return (Place::Handle(index), rest);
    }
    if let Some(lane) = excluded(reach).find(|lane| is_handle(lane)) {
        return (Place::ExcludedHandle(lane), rest);
    }
    match provider_type(first) {
        Some(kind) => (Place::Type(kind), rest),
        None => (Place::Bare, name),
    }
}

fn of_lanes(reach: &Reach, keep: impl Fn(&LaneFacts) -> bool) -> Vec<usize> {
    let lanes = reach.lanes.iter().enumerate();
    lanes
        .filter(|(_, lane)| keep(lane))
        .map(|(index, _)| index)
        .collect()
}

/// 12.4 for a bare name: the first rule that finds anybody wins.
fn bare_candidates(reach: &Reach, model: &str) -> Vec<usize> {
    let declared = of_lanes(reach, |lane| lane.declares(model));
    if !declared.is_empty() {
        return declared;
    }
    let family = FAMILIES
        .iter()
        .find(|(prefix, _)| model.starts_with(prefix))
        .map(|(_, kind)| *kind);
    let family = family.or(match model {
        "o1" | "o3" | "o4" => Some("openai"),
        _ => None,
    });
    if let Some(kind) = family {
        let vendor = of_lanes(reach, |lane| lane.kind == kind);
        if !vendor.is_empty() {
            return vendor;
        }
    }
    let open = of_lanes(reach, LaneFacts::declares_nothing);
    if open.is_empty() && reach.lanes.len() == 1 {
        vec![0]
    } else {
        open
    }
}

fn options(lanes: &[LaneFacts]) -> (Vec<String>, usize) {
    let mut kinds: Vec<String> = lanes.iter().map(|lane| lane.kind.clone()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut handles: Vec<String> = lanes
        .iter()
        .filter_map(|lane| lane.handle.clone())
        .collect();
    handles.sort_unstable();
    let all = kinds.len() + handles.len();
    // Types are dropped before handles.
    kinds.truncate(MOST_OPTIONS.saturating_sub(handles.len()));
    kinds.append(&mut handles);
    kinds.truncate(MOST_OPTIONS);
    let over = all - kinds.len();
    (kinds, over)
}

fn reaches(lanes: &[LaneFacts]) -> (String, Value) {
    let (options, over) = options(lanes);
    let mut text = if options.is_empty() {
        "nothing".to_owned()
    } else {
        options.join(", ")
    };
    if over > 0 {
        text.push_str(&format!(" and {over} more"));
    }
    (text, json!(options))
}

/// What the key could reach by its scopes; the policy's reason comes before the key's own (12.5).
fn excluded(reach: &Reach) -> impl Iterator<Item = &LaneFacts> {
    reach.routing_excluded.iter().chain(&reach.access_excluded)
}

fn exclusion_refusal(reach: &Reach, sent: &str, lane: &LaneFacts) -> Error {
    let name = lane.handle.as_deref().unwrap_or(&lane.kind);
    if reach.routing_excluded.iter().any(|row| row.id == lane.id) {
        let policy = reach.policy_name.as_deref().unwrap_or_default();
        return Error::new(
            Code::ModelNotAllowed,
            format!("`{sent}` needs the provider `{name}`, which the routing policy `{policy}` leaves out"),
        )
        .at("model")
        .with("reason", "model_provider_not_bound")
        .with("routing_policy", policy)
        .tip("Add the provider to the routing policy, or name a model of a provider that it lists.");
    }
    Error::new(
        Code::ModelNotAllowed,
        format!("`{sent}` needs the provider `{name}`, which is outside the key's provider access"),
    )
    .at("model")
    .with("reason", "model_provider_not_bound")
    .tip("Widen the key's provider access (`providersAllowed`).")
}

fn unplaced(reach: &Reach, sent: &str, model: &str, place: &Place<'_>) -> Error {
    let excluded = excluded(reach).find(|lane| match place {
        Place::Type(kind) => lane.kind == *kind,
        Place::Bare => {
            lane.declares(model)
                || FAMILIES
                    .iter()
                    .any(|(prefix, kind)| model.starts_with(prefix) && lane.kind == *kind)
        }
        Place::Handle(_) | Place::ExcludedHandle(_) => false,
    });
    if let Some(lane) = excluded {
        return exclusion_refusal(reach, sent, lane);
    }
    let (text, options) = reaches(&reach.lanes);
    match place {
        Place::Type(kind) => Error::new(
            Code::ModelNotAllowed,
            format!("`{sent}` names the provider `{kind}`, which this key does not reach; it reaches {text}"),
        )
        .with("reason", "model_provider_not_bound")
        .with("hint", "name one of the options as `<option>/<model>`, or add the provider"),
        Place::Bare | Place::Handle(_) | Place::ExcludedHandle(_) => Error::new(
            Code::ModelNotAllowed,
            format!("no provider of this key is known to serve `{sent}`; it reaches {text}"),
        )
        .with("reason", "model_not_recognized")
        .with("model", sent),
    }
    .at("model")
    .with("options", options)
}

fn wrong_surface(reach: &Reach, sent: &str, surface: &str, candidates: &[usize]) -> Error {
    let kinds: Vec<LaneFacts> = candidates
        .iter()
        .filter_map(|index| reach.lanes.get(*index))
        .cloned()
        .collect();
    let (found, _) = reaches(&kinds);
    let (text, options) = reaches(&reach.lanes);
    Error::new(
        Code::ModelNotAllowed,
        format!(
            "`{sent}` is served by {found}, which does not speak `{surface}` natively, and translation \
             between the dialects is not available for it; the key reaches {text}"
        ),
    )
    .at("model")
    .with("reason", "surface_not_served")
    .with("surface", surface)
    .with("options", options)
    .tip("Call the endpoint of that provider's own dialect, or name a model of another provider.")
}

fn not_on_the_list(sent: &str, model: &str, alias: bool, place: &Place<'_>) -> Error {
    let shown = if matches!(place, Place::Bare) {
        model
    } else {
        sent
    };
    let message = if alias {
        format!(
            "the alias `{sent}` stands for `{model}`, which is not on the key's list of allowed models"
        )
    } else {
        format!("`{shown}` is not on the key's list of allowed models")
    };
    Error::new(Code::ModelNotAllowed, message)
        .at("model")
        .with("reason", "models_allowed")
        .with("model", model)
        .tip("Ask an administrator to add the model to `modelsAllowed` of the virtual key.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(id: &str, kind: &str) -> LaneFacts {
        LaneFacts {
            id: id.into(),
            kind: kind.into(),
            ..LaneFacts::default()
        }
    }

    fn reach() -> Reach {
        Reach {
            lanes: vec![
                lane("mp_o", "openai"),
                LaneFacts {
                    handle: Some("eu".into()),
                    ..lane("mp_e", "anthropic")
                },
                LaneFacts {
                    handle: Some("us".into()),
                    ..lane("mp_u", "anthropic")
                },
                LaneFacts {
                    models: vec!["llama-3".into()],
                    ..lane("mp_c", "custom")
                },
            ],
            aliases: [
                ("fast".into(), "openai/gpt-5-mini".into()),
                ("gpt-4o".into(), "llama-3".into()),
            ]
            .into(),
            ..Reach::default()
        }
    }

    fn placed(reach: &Reach, name: &str) -> Option<(String, ModelSource, Vec<usize>)> {
        resolve(reach, name, "/v1/x", |_| true)
            .ok()
            .map(|r| (r.model.into_owned(), r.source, r.candidates))
    }

    #[test]
    fn names_are_read_by_the_first_rule_that_matches() {
        use ModelSource::{Alias, ExplicitSlash, Implicit};
        let reach = reach();
        for (name, expected) in [
            ("fast", ("gpt-5-mini", Alias, vec![0])),
            ("gpt-4o", ("llama-3", Alias, vec![3])),
            ("openai/gpt-4o", ("gpt-4o", ExplicitSlash, vec![0])),
            ("OpenAI/gpt-4o", ("gpt-4o", ExplicitSlash, vec![0])),
            ("EU/claude-x", ("claude-x", ExplicitSlash, vec![1])),
            (
                "anthropic/claude-x",
                ("claude-x", ExplicitSlash, vec![1, 2]),
            ),
            ("custom/meta/llama", ("meta/llama", ExplicitSlash, vec![3])),
            ("llama-3", ("llama-3", Implicit, vec![3])),
            ("claude-x", ("claude-x", Implicit, vec![1, 2])),
            ("o3", ("o3", Implicit, vec![0])),
            ("unheard-of", ("unheard-of", Implicit, vec![0, 1, 2])),
            ("meta/llama", ("meta/llama", Implicit, vec![0, 1, 2])),
        ] {
            let (model, source, candidates) = expected;
            assert_eq!(
                placed(&reach, name),
                Some((model.into(), source, candidates)),
                "{name}"
            );
        }
    }

    #[test]
    fn refusals_say_why_and_what_is_reachable() {
        let mut reach = reach();
        reach.access_excluded = vec![LaneFacts {
            handle: Some("vip".into()),
            ..lane("mp_v", "gemini")
        }];
        for (name, needle) in [
            ("groq/x", "it reaches anthropic, custom, openai, eu, us"),
            ("vip/gemini-x", "outside the key's provider access"),
            ("gemini/x", "outside the key's provider access"),
        ] {
            let error = resolve(&reach, name, "/v1/x", |_| true).expect_err(name);
            assert_eq!(error.code(), Code::ModelNotAllowed);
            assert!(error.message().contains(needle), "{}", error.message());
        }
        let error =
            resolve(&reach, "gpt-4", "/v1/messages", |index| index == 1).expect_err("surface");
        assert!(
            error.message().contains("/v1/messages"),
            "{}",
            error.message()
        );
        let error = resolve(&Reach::default(), "x", "/v1/x", |_| true).expect_err("empty");
        assert_eq!(error.code(), Code::NoProviderConfigured);
    }

    #[test]
    fn the_allowlist_judges_the_resolved_model_in_both_spellings() {
        let mut reach = reach();
        for (entries, name, allowed) in [
            (vec!["gpt-5*"], "fast", true),
            (vec!["openai/gpt-5-mini"], "fast", true),
            (vec!["openai/*"], "fast", true),
            (vec!["fast"], "fast", false),
            (vec!["anthropic/*"], "openai/gpt-5-mini", false),
            (vec!["GPT-5-mini"], "gpt-5-mini", false),
            (vec!["*"], "gpt-5-mini", true),
            (vec!["openai*"], "gpt-5-mini", true),
            (vec!["gpt-5-mini"], "gpt-5-mini", true),
        ] {
            let list = entries.iter().map(|entry| (*entry).to_owned()).collect();
            reach.models_allowed = Some(ModelList::new(list));
            assert_eq!(
                placed(&reach, name).is_some(),
                allowed,
                "{entries:?} {name}"
            );
        }
        reach.models_allowed = Some(ModelList::new(vec!["x".into()]));
        let error = resolve(&reach, "fast", "/v1/x", |_| true).expect_err("refused");
        assert!(error.message().contains("fast") && error.message().contains("gpt-5-mini"));
    }

    #[test]
    fn the_only_provider_serves_what_nobody_knows() {
        let reach = Reach {
            lanes: vec![LaneFacts {
                models: vec!["a".into()],
                ..lane("mp_c", "custom")
            }],
            ..Reach::default()
        };
        assert_eq!(
            placed(&reach, "b").map(|(_, _, lanes)| lanes),
            Some(vec![0])
        );
    }
}
