//! What callers send about a routing policy, read and checked in itself (management-api 11, domain 8.1).
//!
//! Whatever needs the store (is that provider there?) is the service's question. Start at [`NewPolicy`]
//! and [`PolicyPatch`].

use std::collections::BTreeMap;

use lw_core::{Code, Error};
use lw_store::config::ScopeKind;
use lw_store::rows::Strategy;
use serde_json::{Map, Value, json};

use crate::input::{BODY, Fields, Given, Problems, never_null};
use crate::keys::config::{NAME, fallback};
use crate::keys::rules;
use crate::scope::{self, Wanted};

/// The most providers of a policy.
const PROVIDERS: usize = 100;
/// What rules can be about (domain 8.1).
pub(super) const DIMENSIONS: [&str; 4] = ["tools", "mcp", "urls", "models"];

/// The body of a create.
#[derive(Debug)]
pub(crate) struct NewPolicy {
    pub(super) name: String,
    pub(super) providers: Vec<String>,
    pub(super) rest: PolicyPatch,
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
pub(crate) struct PolicyPatch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    pub(super) strategy: Option<Strategy>,
    /// At least one.
    pub(super) providers: Option<Vec<String>>,
    pub(super) aliases: Option<BTreeMap<String, String>>,
    pub(super) default_model: Given<String>,
    /// All four dimensions.
    pub(super) rules: Option<Value>,
    /// The stored form.
    pub(super) fallback: Given<Value>,
    /// At least one.
    pub(super) scopes: Option<Vec<Wanted>>,
    pub(super) is_default: Option<bool>,
}

impl NewPolicy {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem; `routing_policy_must_have_provider`,
    /// `routing_policy_must_have_scope`, `routing_policy_model_must_be_concrete`.
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        if fields.raw(&["name"]).is_none() {
            problems.add("name", "required", "is required");
        }
        let mut rest = PolicyPatch::common(&fields, problems)?;
        Ok(Self {
            name: rest.name.take().unwrap_or_default(),
            providers: rest.providers.take().ok_or_else(no_provider)?,
            rest,
        })
    }
}

impl PolicyPatch {
    /// Reads a body.
    ///
    /// # Errors
    /// As [`NewPolicy::read`].
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        Self::common(&Fields::new(body, ""), Problems::of(BODY))
    }

    fn common(fields: &Fields<'_>, mut problems: Problems) -> Result<Self, Error> {
        let problems_of = &mut problems;
        let name = fields.trimmed("name", 1..=128, problems_of);
        let strategy = fields.choice(&["strategy"], &["ordered", "priority"], problems_of);
        let providers = fields.texts(&["model_provider_ids"], 1..=128, problems_of);
        let unscoped = fields.raw(&["scopes"]).map(|(_, value)| value) == Some(&json!([]));
        let scopes = if unscoped {
            Given::Absent
        } else {
            scope::read(fields, problems_of)
        };
        let is_default = fields.boolean(&["is_default"], problems_of);
        let patch = Self {
            name: never_null(name, "name".into(), problems_of),
            description: fields.text("description", 0..=2_000, problems_of),
            strategy: never_null(strategy, "strategy".into(), problems_of).map(|word| match word {
                "priority" => Strategy::Priority,
                _ => Strategy::Ordered,
            }),
            providers: never_null(providers, "model_provider_ids".into(), problems_of),
            aliases: aliases(fields, problems_of),
            default_model: fields.trimmed("default_model", NAME, problems_of),
            rules: all_rules(rules::policy_rules(fields, problems_of)),
            fallback: match fallback(fields, problems_of) {
                Given::Value(empty) if empty == json!({}) => Given::Null,
                other => other,
            },
            scopes: never_null(scopes, "scopes".into(), problems_of),
            is_default: never_null(is_default, "is_default".into(), problems_of),
        };
        if patch
            .providers
            .as_ref()
            .is_some_and(|ids| ids.len() > PROVIDERS)
        {
            let text = format!("must name at most {PROVIDERS} model providers");
            problems.add("model_provider_ids", "too_big", text);
        }
        problems.finish()?;
        if patch.providers.as_ref().is_some_and(Vec::is_empty) {
            return Err(no_provider());
        }
        if unscoped {
            let message = "A routing policy needs at least one scope in `scopes`.";
            return Err(Error::new(Code::RoutingPolicyMustHaveScope, message));
        }
        patch.concrete()?;
        Ok(patch)
    }

    /// Refuses the first target that names whatever is newest: what a policy means must not change
    /// behind its back.
    fn concrete(&self) -> Result<(), Error> {
        let aliases = self.aliases.iter().flatten();
        let aliases = aliases.map(|(name, to)| (format!("model_aliases.{name}"), to.as_str()));
        let default = match &self.default_model {
            Given::Value(model) => Some(("default_model".to_owned(), model.as_str())),
            Given::Absent | Given::Null => None,
        };
        let map = match &self.fallback {
            Given::Value(fallback) => fallback.get("modelMap").and_then(Value::as_object),
            Given::Absent | Given::Null => None,
        };
        let substitutes = map.into_iter().flatten().flat_map(|(model, targets)| {
            let targets = targets.as_object().into_iter().flatten();
            targets.filter_map(move |(provider, to)| {
                Some((
                    format!("fallback.model_map.{model}.{provider}"),
                    to.as_str()?,
                ))
            })
        });
        let mut targets = aliases.chain(default).chain(substitutes);
        match targets.find(|(_, to)| floats(to)) {
            None => Ok(()),
            Some((field, _)) => {
                let field: String = field.chars().take(200).collect();
                let message = format!("{field}: must name a fixed model, not whatever is latest.");
                Err(Error::new(Code::RoutingPolicyModelMustBeConcrete, message)
                    .with("target", BODY)
                    .with("fields", vec![field])
                    .tip("Name the model with its version; GET /v1/models lists them."))
            }
        }
    }
}

/// `model_aliases`; null is none.
fn aliases(fields: &Fields<'_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    match rules::aliases(fields, problems) {
        Given::Absent => None,
        Given::Null => Some(BTreeMap::new()),
        Given::Value(map) => Some(
            map.as_object()
                .into_iter()
                .flatten()
                .filter_map(|(name, to)| Some((name.clone(), to.as_str()?.to_owned())))
                .collect(),
        ),
    }
}

/// The rules with all four dimensions; null is no rules.
fn all_rules(given: Given<Value>) -> Option<Value> {
    let sent = match given {
        Given::Absent => return None,
        Given::Null => Value::Null,
        Given::Value(rules) => rules,
    };
    let dimensions = DIMENSIONS.iter().map(|name| {
        let rule = sent.get(name).cloned();
        ((*name).to_owned(), rule.unwrap_or_else(no_rule))
    });
    Some(Value::Object(dimensions.collect()))
}

/// A dimension that nothing is said about.
pub(super) fn no_rule() -> Value {
    json!({ "deny": [], "allow": null })
}

/// Whether a target means whatever is newest: `latest` itself, or a name that ends in `-latest`.
fn floats(target: &str) -> bool {
    let model = target.rsplit('/').next().unwrap_or_default();
    let model = model.trim().to_ascii_lowercase();
    model == "latest" || model.ends_with("-latest")
}

fn no_provider() -> Error {
    let message = "A routing policy needs at least one model provider in `model_provider_ids`.";
    Error::new(Code::RoutingPolicyMustHaveProvider, message)
}

/// `<type>:<id or slug>`.
pub(super) fn selectable_for(text: &str) -> Option<(ScopeKind, Wanted)> {
    let (kind, name) = text.split_once(':')?;
    let kind = match kind {
        "organization" => ScopeKind::Organization,
        "team" => ScopeKind::Team,
        "project" => ScopeKind::Project,
        _ => return None,
    };
    let name = name.trim();
    let fine = (1..=256).contains(&name.chars().count());
    fine.then(|| (kind, Wanted::new(kind, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_latest_is_not_concrete() {
        for target in [
            "latest",
            "openai/latest",
            "openai/LATEST",
            "claude-sonnet-latest",
            "eu/gpt-latest ",
        ] {
            assert!(floats(target), "{target}");
        }
        for target in [
            "gpt-5",
            "openai/gpt-5-mini",
            "latest/gpt-5",
            "latestish",
            "llama3:latest",
        ] {
            assert!(!floats(target), "{target}");
        }
    }

    #[test]
    fn a_scope_is_a_type_and_a_name() {
        assert!(selectable_for("team:core").is_some());
        for text in ["team", "team:", "team: ", "key:vk_1", ":x", "Team:x"] {
            assert!(selectable_for(text).is_none(), "{text}");
        }
    }
}
