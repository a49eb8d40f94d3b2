//! The built-in evaluators of guardrails (domain 15), compiled from their stored settings.
//!
//! Pure: texts in, a [`Verdict`] out. A check takes time linear in the texts. Must never put what it found into a
//! reason: a reason is shown to the caller and kept in traces. What cannot be compiled is an error, and the
//! caller lets its guardrail fail as its failure mode says; it never passes for a check that was made.
//!
//! A request is several texts. Each is searched by itself; `length` adds them up, `json-schema` reads them as
//! one. `http-callout` is only described here: whoever may dial runs it.
//!
//! Start at [`Evaluator::compile`] and [`Evaluator::check`].

mod pii;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::pattern::{ListError, Pattern, PatternError, PatternList};

pub use pii::Kind;
use words::Words;

/// What an evaluator says of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Allow,
    /// The texts must not pass.
    Block {
        /// Why, as a clause without a capital or a full stop; never holds a piece of the texts.
        reason: String,
        /// Which settings were hit: `email`, `patterns.0`, `max_chars`, …
        policies: Vec<String>,
    },
    /// The texts may pass when they are changed.
    Modify {
        /// All texts, in order, changed or not.
        texts: Vec<String>,
        /// As in `Block`.
        policies: Vec<String>,
    },
}

/// Why stored settings make no evaluator.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// There is no such evaluator.
    #[error("`{0}` is no evaluator")]
    UnknownSlug(String),
    /// The settings are not of the evaluator's form.
    #[error("the settings cannot be read")]
    Settings(#[source] serde_json::Error),
    /// A pattern does not compile.
    #[error("a pattern cannot be enforced")]
    Pattern(#[source] ListError),
    /// The schema does not compile, or refers to another document.
    #[error("the schema cannot be enforced: {0}")]
    Schema(String),
}

/// A compiled evaluator.
#[derive(Debug)]
pub enum Evaluator {
    /// Runs here.
    BuiltIn(BuiltIn),
    /// Asks a service of the customer's own.
    HttpCallout(HttpCallout),
}

/// Where a callout asks. Its headers are kept apart, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCallout {
    /// The address, as it is stored.
    pub url: String,
    /// How long the service may take.
    pub timeout: Duration,
}

/// An evaluator that needs nothing but the texts.
#[derive(Debug)]
pub struct BuiltIn(Check);

#[derive(Debug)]
enum Check {
    /// Any of the patterns blocks.
    AnyPattern(PatternList),
    /// All of them together block.
    AllPatterns(Vec<Pattern>),
    /// None of them blocks.
    NoPattern(PatternList),
    Words(Words),
    Pii {
        kinds: Vec<Kind>,
        redact: bool,
    },
    Schema(Box<jsonschema::Validator>),
    Length {
        least: Option<u64>,
        most: Option<u64>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexSettings {
    patterns: Vec<String>,
    #[serde(rename = "match", default)]
    how: Match,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Match {
    #[default]
    Any,
    All,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeywordSettings {
    words: Vec<String>,
    #[serde(default)]
    case_sensitive: bool,
    #[serde(default = "yes")]
    whole_word: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PiiSettings {
    kinds: Vec<Kind>,
    #[serde(default)]
    action: Action,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Block,
    Redact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaSettings {
    schema: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LengthSettings {
    #[serde(default)]
    min_chars: Option<u64>,
    #[serde(default)]
    max_chars: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalloutSettings {
    url: String,
    #[serde(default = "longest_callout")]
    timeout_ms: u64,
}

/// The longest that a callout may take, in milliseconds (domain 15).
const fn longest_callout() -> u64 {
    4_500
}

impl Evaluator {
    /// Compiles stored settings.
    ///
    /// # Errors
    /// See [`CompileError`]. A setting that is not known is one, because nobody would make the check that it
    /// asks for.
    pub fn compile(slug: &str, settings: &Value) -> Result<Self, CompileError> {
        let check = match slug {
            "regex" => patterns(read(settings)?)?,
            "keyword-list" => {
                let KeywordSettings {
                    words,
                    case_sensitive,
                    whole_word,
                } = read(settings)?;
                Check::Words(Words::new(&words, case_sensitive, whole_word))
            }
            "pii-check" => {
                let PiiSettings { kinds, action } = read(settings)?;
                Check::Pii {
                    kinds,
                    redact: action == Action::Redact,
                }
            }
            "json-schema" => {
                let SchemaSettings { schema } = read(settings)?;
                Check::Schema(Box::new(validator(&schema)?))
            }
            "length" => {
                let LengthSettings {
                    min_chars,
                    max_chars,
                } = read(settings)?;
                Check::Length {
                    least: min_chars,
                    most: max_chars,
                }
            }
            "http-callout" => {
                let CalloutSettings { url, timeout_ms } = read(settings)?;
                return Ok(Self::HttpCallout(HttpCallout {
                    url,
                    timeout: Duration::from_millis(timeout_ms.min(longest_callout())),
                }));
            }
            other => return Err(CompileError::UnknownSlug(other.to_owned())),
        };
        Ok(Self::BuiltIn(BuiltIn(check)))
    }
}

fn read<T: for<'de> Deserialize<'de>>(settings: &Value) -> Result<T, CompileError> {
    T::deserialize(settings).map_err(CompileError::Settings)
}

fn patterns(settings: RegexSettings) -> Result<Check, CompileError> {
    let RegexSettings { patterns, how } = settings;
    let list = |patterns| PatternList::new(patterns).map_err(CompileError::Pattern);
    Ok(match how {
        Match::Any => Check::AnyPattern(list(patterns)?),
        Match::None => Check::NoPattern(list(patterns)?),
        Match::All => {
            let compiled = patterns.iter().enumerate().map(|(index, source)| {
                let wrong = |error: PatternError| ListError::Pattern { index, error };
                Pattern::new(source).map_err(wrong)
            });
            Check::AllPatterns(
                compiled
                    .collect::<Result<_, _>>()
                    .map_err(CompileError::Pattern)?,
            )
        }
    })
}

/// Compiles a schema that stands by itself: nothing is fetched, and its patterns match in linear time.
fn validator(schema: &Value) -> Result<jsonschema::Validator, CompileError> {
    jsonschema::options()
        .offline()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .map_err(|error| CompileError::Schema(error.to_string()))
}

impl BuiltIn {
    /// Judges what is in texts only when they are put together: the parts of one message, in one piece. Looks for
    /// what must not be there; what is counted or wanted is the business of [`Self::check`]. Never modifies.
    #[must_use]
    pub fn check_together(&self, runs: &[&str]) -> Verdict {
        match &self.0 {
            Check::AnyPattern(_) | Check::Words(_) | Check::Pii { redact: false, .. } => {
                self.check(runs)
            }
            Check::AllPatterns(_)
            | Check::NoPattern(_)
            | Check::Pii { redact: true, .. }
            | Check::Schema(_)
            | Check::Length { .. } => Verdict::Allow,
        }
    }

    /// Judges texts.
    #[must_use]
    pub fn check(&self, texts: &[&str]) -> Verdict {
        match &self.0 {
            Check::AnyPattern(list) => any_pattern(list, texts),
            Check::AllPatterns(list) => {
                let occurs = |pattern: &Pattern| texts.iter().any(|text| pattern.is_match(text));
                if !list.is_empty() && list.iter().all(occurs) {
                    block(
                        "it matches all patterns that must not come together",
                        "patterns",
                    )
                } else {
                    Verdict::Allow
                }
            }
            Check::NoPattern(list) => {
                if texts.iter().any(|text| list.first_match(text).is_some()) {
                    Verdict::Allow
                } else {
                    block(
                        "it matches none of the patterns that are allowed",
                        "patterns",
                    )
                }
            }
            Check::Words(words) => match texts.iter().find_map(|text| words.find(text)) {
                Some(place) => block(
                    "it holds a word that is not allowed",
                    format!("words.{place}"),
                ),
                None => Verdict::Allow,
            },
            Check::Pii { kinds, redact } => personal(kinds, *redact, texts),
            Check::Schema(validator) => against_schema(validator, texts),
            Check::Length { least, most } => length(*least, *most, texts),
        }
    }
}

fn block(reason: impl Into<String>, policy: impl Into<String>) -> Verdict {
    Verdict::Block {
        reason: reason.into(),
        policies: vec![policy.into()],
    }
}

fn any_pattern(list: &PatternList, texts: &[&str]) -> Verdict {
    let Some(hit) = texts.iter().find_map(|text| list.first_match(text)) else {
        return Verdict::Allow;
    };
    let place = list.sources().iter().position(|source| source == hit);
    block(
        "it matches a pattern that is not allowed",
        format!("patterns.{}", place.unwrap_or_default()),
    )
}

fn personal(kinds: &[Kind], redact: bool, texts: &[&str]) -> Verdict {
    let mut found: Vec<Kind> = Vec::new();
    let mut redacted = Vec::with_capacity(if redact { texts.len() } else { 0 });
    for text in texts {
        let seen = if redact {
            let (text, seen) = pii::redact(kinds, text);
            redacted.push(text);
            seen
        } else {
            pii::kinds_in(kinds, text)
        };
        for kind in seen {
            if !found.contains(&kind) {
                found.push(kind);
            }
        }
    }
    if found.is_empty() {
        return Verdict::Allow;
    }
    found.sort_unstable();
    let policies = found.iter().map(|kind| kind.as_str().to_owned()).collect();
    if redact {
        return Verdict::Modify {
            texts: redacted,
            policies,
        };
    }
    let names: Vec<&str> = found.iter().map(|kind| kind.with_article()).collect();
    Verdict::Block {
        reason: format!("it holds {}", names.join(", ")),
        policies,
    }
}

/// The message of the validator quotes the text, so only the place in the schema is repeated.
fn against_schema(validator: &jsonschema::Validator, texts: &[&str]) -> Verdict {
    let joined = match texts {
        [one] => std::borrow::Cow::Borrowed(*one),
        several => several.concat().into(),
    };
    let Ok(value) = serde_json::from_str::<Value>(&joined) else {
        return block("it is not JSON", "schema");
    };
    match validator.validate(&value) {
        Ok(()) => Verdict::Allow,
        Err(error) => {
            let place = error.schema_path().to_string();
            let place: String = place.chars().take(200).collect();
            block(format!("it breaks `{place}` of the schema"), "schema")
        }
    }
}

fn length(least: Option<u64>, most: Option<u64>, texts: &[&str]) -> Verdict {
    let count: usize = texts.iter().map(|text| text.chars().count()).sum();
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    match (least, most) {
        (Some(least), _) if count < least => block(
            format!("it has {count} characters and {least} are needed"),
            "min_chars",
        ),
        (_, Some(most)) if count > most => block(
            format!("it has {count} characters and {most} are allowed"),
            "max_chars",
        ),
        _ => Verdict::Allow,
    }
}
