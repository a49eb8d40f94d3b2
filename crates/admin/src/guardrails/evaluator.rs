//! The built-in evaluators and their settings (domain 15): read strictly, kept complete.
//!
//! A setting that nobody reads would be a check that nobody makes, so unknown ones are refused, and what is
//! left out is kept with its default. Patterns must compile. Start at [`read`]; a new evaluator is a slug
//! in [`SLUGS`] and an arm there.

use lw_engine::pattern::{ListError, PatternList};
use serde_json::{Map, Value, json};

use super::callout;
use super::headers::Wishes;
use crate::input::{Fields, Given, MAX_WHOLE, Problems};

/// Every evaluator.
pub(super) const SLUGS: [&str; 6] = [
    "regex",
    "keyword-list",
    "pii-check",
    "json-schema",
    "length",
    "http-callout",
];
/// What `pii-check` finds.
pub(super) const KINDS: [&str; 7] = [
    "email",
    "phone",
    "credit_card",
    "iban",
    "ip",
    "ssn",
    "api_key",
];
/// The most patterns or words.
pub(super) const ENTRIES: usize = 1_000;
/// The most that all patterns, all words or a schema may weigh, in bytes.
const WEIGHT: usize = 64 * 1024;
/// The longest word, in characters.
pub(super) const WORD: usize = 256;

/// What checks the address of a callout.
pub(super) type Policy<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// An evaluator as a caller wants it.
#[derive(Debug, Clone, Default)]
pub(super) struct Evaluator {
    /// One of [`SLUGS`].
    pub(super) slug: &'static str,
    /// Its settings without anything write-only.
    pub(super) settings: Value,
    /// The headers of a callout; empty for the others.
    pub(super) headers: Wishes,
}

/// Reads `evaluator`: `{slug, settings}`. `None` when there is no slug; that is among the problems.
pub(super) fn read(
    fields: &Fields<'_>,
    policy: Policy<'_>,
    problems: &mut Problems,
) -> Option<Evaluator> {
    fields.only(&["slug", "settings"], problems);
    for name in ["slug", "settings"] {
        if fields.raw(&[name]).is_none_or(|(_, value)| value.is_null()) {
            problems.add(fields.path(name), "required", "is required");
        }
    }
    let slug = fields.choice(&["slug"], &SLUGS, problems).value()?;
    let settings = fields.object(&["settings"], problems).value()?;
    let mut headers = Wishes::default();
    let settings = match slug {
        "regex" => regex(&settings, problems),
        "keyword-list" => keywords(&settings, problems),
        "pii-check" => pii(&settings, problems),
        "json-schema" => schema(&settings, problems),
        "length" => length(&settings, problems),
        _ => {
            let (settings, wishes) = callout::read(&settings, policy, problems);
            headers = wishes;
            settings
        }
    };
    Some(Evaluator {
        slug,
        settings,
        headers,
    })
}

/// What a gateway of LangWatch cannot do of this evaluator: what it changes stays as it was.
pub(super) fn warnings(slug: &str, settings: &Value) -> Vec<String> {
    let redacts = slug == "pii-check" && settings.get("action") == Some(&json!("redact"));
    let subject = if redacts {
        "This guardrail rewrites what it finds."
    } else if slug == "http-callout" {
        "A callout may rewrite what it is asked about."
    } else {
        return Vec::new();
    };
    vec![format!(
        "{subject} The gateway of this installation sends on what was rewritten; a LangWatch gateway \
         ignores it and lets the request pass unchanged."
    )]
}

/// `{patterns, match}`.
fn regex(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["patterns", "match"], problems);
    let patterns = list(fields, "patterns", WEIGHT, problems);
    let path = fields.path("patterns");
    match PatternList::new(patterns.clone()) {
        Ok(_) => {}
        Err(ListError::Pattern { index, error }) => {
            problems.add(
                format!("{path}.{index}"),
                "invalid_pattern",
                error.to_string(),
            );
        }
        Err(error @ ListError::TooMuch) => problems.add(path, "too_big", error.to_string()),
    }
    let words = ["any", "all", "none"];
    let how = fields.choice(&["match"], &words, problems).value();
    json!({ "patterns": patterns, "match": how.unwrap_or("any") })
}

/// `{words, case_sensitive, whole_word}`.
fn keywords(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["words", "case_sensitive", "whole_word"], problems);
    let words = list(fields, "words", WORD, problems);
    let cased = fields.boolean(&["case_sensitive"], problems).value();
    let whole = fields.boolean(&["whole_word"], problems).value();
    json!({
        "words": words,
        "case_sensitive": cased.unwrap_or(false),
        "whole_word": whole.unwrap_or(true),
    })
}

/// `{kinds, action}`.
fn pii(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["kinds", "action"], problems);
    let mut kinds: Vec<&str> = Vec::new();
    for (place, kind) in list(fields, "kinds", WORD, problems).iter().enumerate() {
        match KINDS.iter().find(|known| *known == kind) {
            Some(kind) if kinds.contains(kind) => {}
            Some(kind) => kinds.push(kind),
            None => {
                let text = format!("must be one of {}", KINDS.join(", "));
                let path = format!("{}.{place}", fields.path("kinds"));
                problems.add(path, "invalid_value", text);
            }
        }
    }
    let words = ["block", "redact"];
    let action = fields.choice(&["action"], &words, problems).value();
    json!({ "kinds": kinds, "action": action.unwrap_or("block") })
}

/// `{schema}`: an object of a bounded size that refers to itself only.
fn schema(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["schema"], problems);
    let path = fields.path("schema");
    if fields
        .raw(&["schema"])
        .is_none_or(|(_, sent)| sent.is_null())
    {
        problems.add(&path, "required", "is required");
    }
    let sent = fields.object(&["schema"], problems).value();
    let schema: Map<String, Value> = sent.map(|sent| sent.map().clone()).unwrap_or_default();
    let schema = Value::Object(schema);
    if schema.to_string().len() > WEIGHT {
        let text = format!("must be at most {WEIGHT} bytes of JSON");
        problems.add(&path, "too_big", text);
    } else if refers_outside(&schema) {
        let text = "must refer to itself only: every `$ref` begins with `#`";
        problems.add(&path, "invalid_value", text);
    }
    json!({ "schema": schema })
}

/// Whether a schema names another document. A member called `$ref` that is no text is a property.
fn refers_outside(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(name, value)| match (name.as_str(), value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                    !to.starts_with('#')
                }
                _ => refers_outside(value),
            }),
        Value::Array(list) => list.iter().any(refers_outside),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// `{min_chars, max_chars}`, at least one of them.
fn length(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["min_chars", "max_chars"], problems);
    let sent = |name: &'static str| {
        fields
            .raw(&[name])
            .is_some_and(|(_, value)| !value.is_null())
    };
    let least = fields
        .whole(&["min_chars"], 0..=MAX_WHOLE, problems)
        .value();
    let most = fields
        .whole(&["max_chars"], 0..=MAX_WHOLE, problems)
        .value();
    if !sent("min_chars") && !sent("max_chars") {
        let text = "is required, or `min_chars`";
        problems.add(fields.path("max_chars"), "required", text);
    }
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        let text = "must be at least `min_chars`";
        problems.add(fields.path("max_chars"), "too_small", text);
    }
    json!({ "min_chars": least, "max_chars": most })
}

/// A list of texts that must not be empty.
fn list(
    fields: &Fields<'_>,
    name: &'static str,
    longest: usize,
    problems: &mut Problems,
) -> Vec<String> {
    let path = fields.path(name);
    let sent = fields.raw(&[name]).map(|(_, sent)| sent);
    match sent.and_then(Value::as_array).map(Vec::len) {
        Some(0) => problems.add(&path, "too_small", "must hold at least one entry"),
        Some(count) if count > ENTRIES => {
            problems.add(
                &path,
                "too_big",
                format!("must hold at most {ENTRIES} entries"),
            );
        }
        None if sent.is_none_or(Value::is_null) => problems.add(&path, "required", "is required"),
        _ => {}
    }
    let texts = match fields.texts(&[name], 1..=longest, problems) {
        Given::Value(texts) => texts,
        Given::Absent | Given::Null => Vec::new(),
    };
    if texts.iter().map(String::len).sum::<usize>() > WEIGHT {
        let text = format!("must hold at most {WEIGHT} bytes of text");
        problems.add(path, "too_big", text);
        return Vec::new();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_refers_to_itself_only() {
        for (schema, outside) in [
            (json!({ "$ref": "#/$defs/a" }), false),
            (
                json!({ "properties": { "$ref": { "type": "string" } } }),
                false,
            ),
            (json!({ "enum": ["https://example.com"] }), false),
            (
                json!({ "allOf": [{ "$ref": "https://example.com/a.json" }] }),
                true,
            ),
            (
                json!({ "items": { "$dynamicRef": "file:///etc/passwd" } }),
                true,
            ),
        ] {
            assert_eq!(refers_outside(&schema), outside, "{schema}");
        }
    }
}
