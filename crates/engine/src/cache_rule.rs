//! Which cache mode applies to a request, and what decided it (data-plane 14.1 and 14.4).
//!
//! The header comes before the rules, the rules before the key's own setting. Rules are compiled for one
//! key: what never changes for it is decided once, so that a request asks only about models, headers and
//! the time. Must never widen a rule: one with a condition or an action that is not understood applies to
//! nothing. Start at [`decide`]; rules are read by [`CacheRules::compile`], headers by [`parse_header`].

mod action;
mod matchers;
mod window;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use lw_core::UnixMicros;
use serde_json::Value;

use self::matchers::Conditions;

/// The longest lifetime that can be asked for, in seconds: a day.
const LONGEST: u32 = 86_400;

/// What is done about the provider's prompt cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Nothing is touched.
    #[default]
    Respect,
    /// Every directive of the caller is removed.
    Disable,
    /// Markers are inserted where they are missing.
    Force {
        /// How long the provider shall keep what it caches, in seconds; `None` leaves it to the provider.
        ttl: Option<u32>,
    },
    /// As [`CacheMode::Force`] for long prompts of callers that set no marker themselves.
    Auto,
}

impl CacheMode {
    /// The mode as `X-LangWatch-Cache-Mode` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Respect => "respect",
            Self::Disable => "disable",
            Self::Force { .. } => "force",
            Self::Auto => "auto",
        }
    }

    /// A key's own setting, `cache.mode` with `cache.ttlS` in seconds (domain 7.5); `None` when the mode is
    /// not known. A lifetime of 0 is none, and only `force` has one.
    #[must_use]
    pub fn of_key(mode: &str, ttl_s: Option<u64>) -> Option<Self> {
        match mode {
            "auto" => Some(Self::Auto),
            mode => Self::plain(mode, ttl_s.map(within_a_day)),
        }
    }

    /// What headers and rules may say as well.
    fn plain(mode: &str, ttl: Option<u32>) -> Option<Self> {
        match mode {
            "respect" => Some(Self::Respect),
            "disable" => Some(Self::Disable),
            "force" => Some(Self::Force {
                ttl: ttl.filter(|seconds| *seconds > 0),
            }),
            _ => None,
        }
    }
}

/// A lifetime in seconds, no longer than a day: to a provider everything above an hour is the same.
fn within_a_day(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(LONGEST).min(LONGEST)
}

/// A mode that the caller asked for by header: never `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested(CacheMode);

impl Requested {
    /// The mode.
    #[must_use]
    pub const fn mode(self) -> CacheMode {
        self.0
    }
}

/// Reads the value of `X-LangWatch-Cache`: `respect`, `disable`, `force` or `ttl=<seconds>`, whatever its
/// case and the blanks around it.
///
/// # Errors
/// It is none of these: why, as a sentence for `cache_override_invalid`.
pub fn parse_header(value: &str) -> Result<Requested, String> {
    let word = value.trim().to_ascii_lowercase();
    let mode = match word.strip_prefix("ttl=") {
        Some(seconds) => CacheMode::Force {
            ttl: Some(lifetime(seconds)?),
        },
        None => CacheMode::plain(&word, None).ok_or_else(|| {
            "it must be `respect`, `disable`, `force` or `ttl=` with a number of seconds".to_owned()
        })?,
    };
    Ok(Requested(mode))
}

fn lifetime(seconds: &str) -> Result<u32, String> {
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is too long as well.
    let seconds = is_number.then(|| seconds.parse().unwrap_or(u32::MAX));
    seconds
        .filter(|seconds| (1..=LONGEST).contains(seconds))
        .ok_or_else(|| format!("`ttl` must be a whole number of seconds from 1 to {LONGEST}"))
}

/// What rules ask about a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyFacts<'a> {
    /// The key's id.
    pub id: &'a str,
    /// The first characters of its secret, as they are shown.
    pub display_prefix: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// The person that it belongs to, if it is a personal key.
    pub principal_id: Option<&'a str>,
}

/// A rule as it is stored or delivered; only enabled ones that are not archived are.
#[derive(Debug, Clone, Copy)]
pub struct StoredRule<'a> {
    /// `rule_…`.
    pub id: &'a str,
    /// Higher is asked first.
    pub priority: i64,
    /// The conditions, as REST shows them.
    pub matchers: &'a Value,
    /// `{mode, ttl?, salt?}`.
    pub action: &'a Value,
}

/// The rules that may apply to the calls of one key, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct CacheRules(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    id: Arc<str>,
    priority: i64,
    mode: CacheMode,
    salt: Option<Arc<str>>,
    /// What is left to ask of a request.
    conditions: Conditions,
}

impl CacheRules {
    /// Compiles the rules of the key's organization for the key. Of equal priorities the one that was
    /// delivered first is asked first.
    #[must_use]
    pub fn compile<'a>(
        rules: impl IntoIterator<Item = StoredRule<'a>>,
        key: &KeyFacts<'_>,
    ) -> Self {
        let mut stored: Vec<StoredRule<'a>> = rules.into_iter().collect();
        stored.sort_by_key(|rule| Reverse(rule.priority));
        let mut compiled = Vec::new();
        for rule in stored {
            let StoredRule {
                id,
                priority,
                matchers,
                action,
            } = rule;
            let (Some(conditions), Some(action)) =
                (matchers::read(matchers, key), action::read(action))
            else {
                continue;
            };
            let applies_always = conditions.is_empty();
            compiled.push(Rule {
                id: id.into(),
                priority,
                mode: action.mode,
                salt: action.salt,
                conditions,
            });
            if applies_always {
                // Nothing behind it is ever asked.
                break;
            }
        }
        Self(compiled)
    }

    /// Whether no rule can apply to the key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What rules ask about a request.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The provider type that the model was resolved to.
    pub kind: &'a str,
    /// The resolved model, without a prefix.
    pub model: &'a str,
    /// The value of a request header, by its name in any case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// When the request came.
    pub now: UnixMicros,
}

/// What decided on the mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheSource {
    /// `X-LangWatch-Cache`.
    Header,
    /// A rule.
    Rule,
    /// The key's own setting.
    Key,
    /// Nobody said anything.
    #[default]
    Default,
}

impl CacheSource {
    /// The word on the span.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Rule => "rule",
            Self::Key => "key",
            Self::Default => "default",
        }
    }
}

/// The mode of a request and where it is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is done.
    pub mode: CacheMode,
    /// What decided.
    pub source: CacheSource,
    /// The rule that applied, if one did.
    pub rule_id: Option<Arc<str>>,
    /// Its priority.
    pub rule_priority: Option<i64>,
    /// What that rule parts the semantic cache by.
    pub salt: Option<Arc<str>>,
}

impl Decision {
    const fn of(mode: CacheMode, source: CacheSource) -> Self {
        Self {
            mode,
            source,
            rule_id: None,
            rule_priority: None,
            salt: None,
        }
    }
}

/// Decides: the header, else the first rule whose conditions all hold, else the key's setting, else
/// `respect`. With a header no rule is asked.
#[must_use]
pub fn decide(
    header: Option<Requested>,
    rules: &CacheRules,
    key_default: Option<CacheMode>,
    request: &RequestFacts<'_>,
) -> Decision {
    if let Some(Requested(mode)) = header {
        return Decision::of(mode, CacheSource::Header);
    }
    if let Some(rule) = rules.0.iter().find(|rule| rule.conditions.hold(request)) {
        let Rule {
            id,
            priority,
            mode,
            salt,
            conditions: _,
        } = rule;
        return Decision {
            rule_id: Some(Arc::clone(id)),
            rule_priority: Some(*priority),
            salt: salt.clone(),
            ..Decision::of(*mode, CacheSource::Rule)
        };
    }
    match key_default {
        Some(mode) => Decision::of(mode, CacheSource::Key),
        None => Decision::of(CacheMode::Respect, CacheSource::Default),
    }
}
