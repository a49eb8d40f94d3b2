//! What a refused caller is told, and what the span and the log keep of it.
//!
//! Must never show a caller a pattern that did not match his value, nor why one cannot be enforced. Start
//! at [`Violation::error`] and [`Broken::error`].

use lw_core::{Code, Error};
use serde_json::Value;

use super::{Dimension, List};

/// The most characters that are kept of a value.
const KEPT: usize = 64;

/// A rule that refuses a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    dimension: Dimension,
    list: List,
    pattern: Option<String>,
    value: String,
    place: String,
}

impl Violation {
    pub(super) fn new(
        dimension: Dimension,
        list: List,
        pattern: Option<&str>,
        value: &str,
        place: String,
    ) -> Self {
        Self {
            dimension,
            list,
            pattern: pattern.map(str::to_owned),
            value: value.chars().take(KEPT).collect(),
            place,
        }
    }

    /// What the rule is about: the kind on spans and in audit entries.
    #[must_use]
    pub const fn kind(&self) -> Dimension {
        self.dimension
    }

    /// Which list refused.
    #[must_use]
    pub const fn list(&self) -> List {
        self.list
    }

    /// The pattern that matched. There is none when a value is missing on an allow-list: nothing
    /// matched, and what would have is not for callers to know.
    #[must_use]
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_deref()
    }

    /// The value, cut to 64 characters.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The span attribute `langwatch.policy.violation`: `<kind>:<pattern>`, and `<kind>:` when a value is
    /// missing on an allow-list.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.dimension, self.pattern().unwrap_or_default())
    }

    /// The answer to the caller. `meta.pattern` is `null` where there is no [pattern](Self::pattern).
    #[must_use]
    pub fn error(&self) -> Error {
        let Self {
            dimension,
            list,
            pattern,
            value,
            place,
        } = self;
        let (code, noun, key, policy) = match dimension {
            Dimension::Tools => (
                Code::ToolNotAllowed,
                "tool",
                "tool",
                "policy_violation_tools",
            ),
            Dimension::Mcp => (
                Code::ToolNotAllowed,
                "MCP server",
                "mcp_server",
                "policy_violation_mcp",
            ),
            Dimension::Urls => (Code::UrlNotAllowed, "URL", "url", "policy_violation_urls"),
            Dimension::Models => (
                Code::ModelNotAllowed,
                "model",
                "model",
                "policy_violation_models",
            ),
        };
        let verb = match list {
            List::Deny => "is denied by",
            List::Allow => "is not among what is allowed by",
        };
        let message = format!("The {noun} `{value}` {verb} policy_rules.{dimension}.");
        Error::new(code, message)
            .at(place)
            .with(key, value.as_str())
            .with("dimension", dimension.name())
            .with("pattern", pattern.as_deref())
            .with("list", list.name())
            .with("policies_triggered", vec![Value::from(policy)])
    }
}

/// A rule that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    dimension: Dimension,
    list: List,
    pattern: Option<String>,
    reason: String,
}

impl Broken {
    pub(super) fn new(
        dimension: Dimension,
        list: List,
        pattern: Option<&str>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            dimension,
            list,
            pattern: pattern.map(str::to_owned),
            reason: reason.into(),
        }
    }

    /// What the rule was to be about.
    #[must_use]
    pub const fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// The list that it stands in.
    #[must_use]
    pub const fn list(&self) -> List {
        self.list
    }

    /// The pattern, when a single one is at fault.
    #[must_use]
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_deref()
    }

    /// What is wrong, for the log.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The span attribute `langwatch.policy.broken`: `<dimension>:<list>`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.dimension, self.list)
    }

    /// The answer to every caller until the rule is mended.
    #[must_use]
    pub fn error(&self) -> Error {
        let Self {
            dimension,
            list,
            pattern: _,
            reason,
        } = self;
        let message = format!(
            "A pattern of policy_rules.{dimension}.{list} cannot be enforced, so requests that need it are refused."
        );
        Error::new(Code::PolicyRulesInvalidRegex, message)
            .because(reason)
            .with("dimension", dimension.name())
            .with("list", list.name())
            .tip("Mend the pattern in the rules of the virtual key or of its routing policy.")
    }
}
