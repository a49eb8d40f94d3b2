//! The parts of a key's config, and of a routing policy, that name models and rules: aliases, substitutes,
//! policy rules.
//!
//! Patterns are kept as they were written and must compile (domain 8.1): what cannot be enforced is
//! refused when it is written. Must never change a pattern. Start at [`policy_rules`].

use lw_engine::pattern::{ListError, PatternList};
use serde_json::{Map, Value};

use super::config::{NAME, bounded};
use crate::input::{Fields, Given, Problems};

/// The most that all patterns of a key may weigh together, in bytes.
const PATTERNS: usize = 64 * 1024;
/// What rules can be about.
const DIMENSIONS: [&str; 4] = ["tools", "mcp", "urls", "models"];

/// `modelAliases`: what a caller says to what is asked for. An empty map is the default.
pub(crate) fn aliases(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    let given = fields.object(&["modelAliases", "model_aliases"], problems);
    match given.map(|map| names(&map, problems)) {
        Given::Value(map) if map.is_empty() => Given::Null,
        other => other.map(Value::Object),
    }
}

/// `fallback.modelMap`: for each model, what another provider is asked for instead.
pub(crate) fn model_map(fallback: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    let given = fallback
        .object(&["modelMap", "model_map"], problems)
        .map(|map| {
            let path = fallback.path("modelMap");
            bounded(&path, map.map().len(), problems);
            let mut out = Map::new();
            for (model, targets) in map.map() {
                let path = format!("{path}.{model}");
                match targets.as_object() {
                    Some(targets) => {
                        let targets = names(&Fields::new(targets, path), problems);
                        out.insert(model.clone(), targets.into());
                    }
                    None => problems.add(path, "invalid_type", "must map providers to models"),
                }
            }
            out
        });
    match given {
        Given::Value(map) if map.is_empty() => Given::Null,
        other => other.map(Value::Object),
    }
}

/// A map of names to names.
fn names(map: &Fields<'_>, problems: &mut Problems) -> Map<String, Value> {
    bounded(&map.path("*"), map.map().len(), problems);
    let mut out = Map::new();
    for (from, to) in map.map() {
        let fine = |text: &str| NAME.contains(&text.chars().count());
        match to.as_str() {
            Some(to) if fine(to) && fine(from) => {
                out.insert(from.clone(), to.into());
            }
            _ => problems.add(
                map.path(from),
                "invalid_value",
                "must map a name to a model's name",
            ),
        }
    }
    out
}

/// `policyRules`: `{tools, mcp, urls, models}`, each `{deny: [pattern], allow: [pattern] | null}`.
pub(crate) fn policy_rules(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields
        .object(&["policyRules", "policy_rules"], problems)
        .map(|rules| {
            let mut weight = 0;
            let mut out = Map::new();
            for (name, rule) in rules.map() {
                let Some(dimension) = DIMENSIONS.iter().find(|dimension| **dimension == name)
                else {
                    let text = format!("is not one of {}", DIMENSIONS.join(", "));
                    problems.add(rules.path(name), "unrecognized_key", text);
                    continue;
                };
                let rule = match rule {
                    Value::Null => continue,
                    Value::Object(rule) => Fields::new(rule, rules.path(dimension)),
                    _ => {
                        problems.add(rules.path(dimension), "invalid_type", "must be an object");
                        continue;
                    }
                };
                let unknown = rule
                    .map()
                    .keys()
                    .filter(|key| !["deny", "allow"].contains(&key.as_str()));
                for key in unknown {
                    problems.add(
                        rule.path(key),
                        "unrecognized_key",
                        "is not one of deny, allow",
                    );
                }
                let mut list = |key: &'static str, problems: &mut Problems| {
                    let patterns = rule.texts(&[key], 1..=PATTERNS, problems).value();
                    let patterns = patterns.unwrap_or_default();
                    weight += patterns.iter().map(String::len).sum::<usize>();
                    compile(&rule.path(key), &patterns, problems);
                    patterns
                };
                let deny = list("deny", problems);
                let allow = Some(list("allow", problems)).filter(|list| !list.is_empty());
                let mut kept = Map::new();
                kept.insert("deny".into(), deny.into());
                kept.insert("allow".into(), allow.into());
                out.insert((*dimension).to_owned(), kept.into());
            }
            if weight > PATTERNS {
                let text = format!("must hold at most {PATTERNS} bytes of patterns");
                problems.add(fields.path("policyRules"), "too_big", text);
            }
            out.into()
        })
}

/// Every pattern must compile, alone and with the others of its list.
fn compile(path: &str, patterns: &[String], problems: &mut Problems) {
    match PatternList::new(patterns.to_vec()) {
        Ok(_) => {}
        Err(ListError::Pattern { index, error }) => {
            problems.add(
                format!("{path}.{index}"),
                "invalid_pattern",
                error.to_string(),
            );
        }
        Err(error @ ListError::TooMuch) => {
            problems.add(path, "too_big", error.to_string());
        }
    }
}
