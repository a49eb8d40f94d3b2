//! Patterns of rules: RE2's language, searched without anchoring (data-plane 11, domain 8.1).
//!
//! RE2 and the engine below agree on most of a pattern; the module `re2` rewrites the rest, so that a rule means
//! here what it means to every other gateway that reads it. Matching takes time linear in the value and
//! a compiled pattern has a bounded size. Must never match more or less than RE2 would: a deny rule that
//! matches less lets something through. Start at [`check`] to validate one and
//! at [`PatternList`] to match.

mod re2;

#[cfg(test)]
mod tests;

use std::fmt;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// The most that one compiled pattern may weigh, in bytes.
const ONE_COMPILED: usize = 2 << 20;
/// The most that a list of compiled patterns may weigh, in bytes: small patterns can compile to large
/// ones, and a key may have many.
const LIST_COMPILED: usize = 8 << 20;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {offset})")]
pub struct PatternError {
    /// What is wrong, as the end of a sentence that begins with the pattern.
    pub message: String,
    /// Where in the pattern, in bytes.
    pub offset: usize,
}

impl PatternError {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self {
            message: message.into(),
            offset,
        }
    }
}

/// A compiled pattern.
#[derive(Clone)]
pub struct Pattern {
    source: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is not in RE2's language, or it compiles to more than is allowed.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let translated = re2::translate(source)?;
        let regex = build(&translated.text).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::new(
                "compiles to more than is allowed; it needs shorter repetitions",
                0,
            ),
            error => explain(&translated, &error),
        })?;
        Ok(Self {
            source: source.into(),
            regex,
        })
    }

    /// Whether the pattern occurs anywhere in `value`.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

/// A list of patterns that is matched in one pass.
#[derive(Clone, Default)]
pub struct PatternList {
    sources: Vec<String>,
    set: RegexSet,
}

/// Why a list of patterns cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// One of them is not a pattern.
    #[error("pattern {index} {error}")]
    Pattern {
        /// Which one, from 0.
        index: usize,
        /// Why.
        error: PatternError,
    },
    /// Each of them is, but together they compile to more than is allowed.
    #[error("the patterns compile together to more than is allowed")]
    TooMuch,
}

impl PatternList {
    /// Compiles a list.
    ///
    /// # Errors
    /// A pattern is none, or they are too much together.
    pub fn new(sources: Vec<String>) -> Result<Self, ListError> {
        let mut translated = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            let compiled =
                Pattern::new(source).map_err(|error| ListError::Pattern { index, error })?;
            translated.push(compiled.regex.as_str().to_owned());
        }
        let set = RegexSetBuilder::new(&translated)
            .size_limit(LIST_COMPILED)
            .build()
            .map_err(|_| ListError::TooMuch)?;
        Ok(Self { sources, set })
    }

    /// The first pattern of the list, as it was written, that occurs anywhere in `value`.
    #[must_use]
    pub fn first_match(&self, value: &str) -> Option<&str> {
        let index = self.set.matches(value).iter().next()?;
        self.sources.get(index).map(String::as_str)
    }

    /// The patterns as they were written.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }
}

impl fmt::Debug for PatternList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PatternList").field(&self.sources).finish()
    }
}

/// Whether a text is a pattern that can be enforced. What passes here compiles later, too.
///
/// # Errors
/// As [`Pattern::new`].
pub fn check(pattern: &str) -> Result<(), PatternError> {
    Pattern::new(pattern).map(drop)
}

fn build(translated: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(translated)
        .size_limit(ONE_COMPILED)
        .build()
}

/// What the engine refused although the translation let it pass: a property that it does not know, or
/// something about the whole, for which it has its own words.
fn explain(translated: &re2::Translated, error: &regex::Error) -> PatternError {
    let unknown = translated
        .properties
        .iter()
        .find(|(name, _)| build(&format!("\\p{{{name}}}")).is_err());
    if let Some((name, offset)) = unknown {
        let message = format!("names an unknown Unicode category or script `{name}`");
        return PatternError::new(message, *offset);
    }
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    PatternError::new(format!("is refused: {reason}"), 0)
}
