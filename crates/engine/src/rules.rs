//! Policy rules: compiled, and what they say of a request (data-plane 11).
//!
//! A key brings several sets of rules, its own and its routing policy's; a value must pass each of them on
//! its own. They are compiled once, when the key is looked up. A rule that cannot be enforced does not fail
//! that: it breaks its dimension, and every request whose [`Stage`] needs the dimension is refused. Such a
//! rule must never be skipped, and no pattern of an allow-list may be shown to whoever is refused by it.
//!
//! Start at [`Rules::compile`]. A request then goes through its two stages like this:
//!
//! 1. [`Rules::stage`] with [`Stage::Body`], before the model is resolved: an error is the answer, `None`
//!    means that the body need not be read for rules.
//! 2. Otherwise the body is walked by `lw_wire::subjects::visit`, which is asked for the dimensions that the
//!    [`Judge`] [judges](Judge::has), and every subject goes to [`Judge::judge`]: its value and, if it has
//!    one, its alias as the spellings, and its place. The first [`Violation`] breaks the walk. A body that is
//!    unreadable is `bad_request`; parts of forms go through `lw_wire::subjects::visit_text`.
//! 3. [`Rules::stage`] with [`Stage::Models`] for the resolved model, and again for each substitute that the
//!    request could fall over to: both spellings of the model are one value, its place is `model`.

mod refusal;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use self::refusal::{Broken, Violation};
use crate::pattern::{ListError, PatternList};

/// What rules can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Names of tools.
    Tools,
    /// Names and addresses of MCP servers.
    Mcp,
    /// URLs anywhere in the body.
    Urls,
    /// The model, as it was resolved.
    Models,
}

impl Dimension {
    /// All of them, in the order in which a request meets them.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Mcp, Self::Urls, Self::Models];

    /// The name in stored rules, on spans and as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Mcp => "mcp",
            Self::Urls => "urls",
            Self::Models => "models",
        }
    }

    /// When it is judged.
    const fn stage(self) -> Stage {
        match self {
            Self::Tools | Self::Mcp | Self::Urls => Stage::Body,
            Self::Models => Stage::Models,
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which list of a rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// What is refused.
    Deny,
    /// What alone is let through.
    Allow,
}

impl List {
    /// The name in stored rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When in the life of a request rules are asked (data-plane 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Stage 8: tools, MCP servers and URLs of the body as it was sent.
    Body,
    /// Stage 10: the resolved model.
    Models,
}

/// All rules of a key. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    sets: Vec<Set>,
}

impl Rules {
    /// Compiles sets of rules as they are stored: `{tools, mcp, urls, models}`, each
    /// `{deny: [pattern], allow: [pattern] | null}`. What is absent or `null` says nothing, at every level;
    /// dimensions that are not known here are left to those who know them.
    #[must_use]
    pub fn compile<'a>(sets: impl IntoIterator<Item = &'a Value>) -> Self {
        let sets = sets.into_iter().map(Set::compile);
        Self {
            sets: sets.filter(|set| !set.is_empty()).collect(),
        }
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// What cannot be enforced, for the log.
    pub fn broken(&self) -> impl Iterator<Item = &Broken> {
        let all = Dimension::ALL.into_iter();
        all.flat_map(|dimension| self.of(dimension).filter_map(Rule::broken))
    }

    /// The judge of a stage; `None` when no rule has a say there.
    ///
    /// # Errors
    /// A rule of this stage is broken: the request must be refused, whatever is in it.
    pub fn stage(&self, stage: Stage) -> Result<Option<Judge<'_>>, &Broken> {
        let of_stage = |dimension: &Dimension| dimension.stage() == stage;
        if let Some(broken) = self.broken().find(|broken| of_stage(&broken.dimension())) {
            return Err(broken);
        }
        let judge = Judge { rules: self };
        let needed = Dimension::ALL
            .iter()
            .any(|dimension| of_stage(dimension) && judge.has(*dimension));
        Ok(needed.then_some(judge))
    }

    /// The rules about a dimension, one for each set that has any.
    fn of(&self, dimension: Dimension) -> impl Iterator<Item = &Rule> {
        self.sets.iter().filter_map(move |set| set.of(dimension))
    }
}

/// Rules of which none that a stage needs is broken.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    rules: &'a Rules,
}

impl Judge<'_> {
    /// Whether any rule is about `dimension`.
    #[must_use]
    pub fn has(self, dimension: Dimension) -> bool {
        self.rules.of(dimension).next().is_some()
    }

    /// Judges one value, given in all its `spellings`, the one that the caller sent first: in each set no
    /// denying pattern may match any of them, and if there is an allow-list, it must match one.
    ///
    /// # Errors
    /// The first rule that refuses, with `place` as what is at fault.
    pub fn judge(
        self,
        dimension: Dimension,
        spellings: &[&str],
        place: impl fmt::Display,
    ) -> Result<(), Violation> {
        for rule in self.rules.of(dimension) {
            let (list, pattern) = match rule {
                Rule::Lists(lists) => match lists.refuses(spellings) {
                    None => continue,
                    Some(refusal) => refusal,
                },
                // A rule of another stage than the judge's. It lets nothing pass.
                Rule::Broken(broken) => (broken.list(), None),
            };
            let value = spellings.first().copied().unwrap_or_default();
            return Err(Violation::new(
                dimension,
                list,
                pattern,
                value,
                place.to_string(),
            ));
        }
        Ok(())
    }
}

/// One set of rules.
#[derive(Debug, Clone)]
struct Set {
    tools: Option<Rule>,
    mcp: Option<Rule>,
    urls: Option<Rule>,
    models: Option<Rule>,
}

impl Set {
    fn compile(stored: &Value) -> Self {
        let rule = |dimension: Dimension| match stored {
            Value::Null => None,
            Value::Object(dimensions) => {
                Rule::compile(dimension, dimensions.get(dimension.name())?)
            }
            _ => Some(Rule::shapeless(dimension)),
        };
        Self {
            tools: rule(Dimension::Tools),
            mcp: rule(Dimension::Mcp),
            urls: rule(Dimension::Urls),
            models: rule(Dimension::Models),
        }
    }

    fn is_empty(&self) -> bool {
        Dimension::ALL
            .iter()
            .all(|dimension| self.of(*dimension).is_none())
    }

    const fn of(&self, dimension: Dimension) -> Option<&Rule> {
        match dimension {
            Dimension::Tools => self.tools.as_ref(),
            Dimension::Mcp => self.mcp.as_ref(),
            Dimension::Urls => self.urls.as_ref(),
            Dimension::Models => self.models.as_ref(),
        }
    }
}

/// What a set says about a dimension.
#[derive(Debug, Clone)]
enum Rule {
    Lists(Box<Lists>),
    Broken(Broken),
}

impl Rule {
    /// `None` when both lists are empty.
    fn compile(dimension: Dimension, stored: &Value) -> Option<Self> {
        let lists = match stored {
            Value::Null => return None,
            Value::Object(lists) => lists,
            _ => return Some(Self::shapeless(dimension)),
        };
        let list = |list: List| compile(dimension, list, lists.get(list.name()));
        match (list(List::Deny), list(List::Allow)) {
            (Ok(None), Ok(None)) => None,
            (Ok(deny), Ok(allow)) => Some(Self::Lists(Box::new(Lists { deny, allow }))),
            (Err(broken), _) | (_, Err(broken)) => Some(Self::Broken(broken)),
        }
    }

    /// What is no rule at all. Nobody knows what it was to refuse.
    fn shapeless(dimension: Dimension) -> Self {
        let reason = "the rules are not of the shape {deny: [], allow: []}";
        Self::Broken(Broken::new(dimension, List::Deny, None, reason))
    }

    const fn broken(&self) -> Option<&Broken> {
        match self {
            Self::Lists(_) => None,
            Self::Broken(broken) => Some(broken),
        }
    }
}

/// The two lists of a rule; one that is empty says nothing.
#[derive(Debug, Clone)]
struct Lists {
    deny: Option<PatternList>,
    allow: Option<PatternList>,
}

impl Lists {
    /// Which list refuses a value of these spellings, and with which pattern: a value that is missing on
    /// an allow-list matched none.
    fn refuses(&self, spellings: &[&str]) -> Option<(List, Option<&str>)> {
        fn first<'a>(list: &'a PatternList, spellings: &[&str]) -> Option<&'a str> {
            spellings
                .iter()
                .find_map(|spelling| list.first_match(spelling))
        }
        let denied = self.deny.as_ref().and_then(|deny| first(deny, spellings));
        if denied.is_some() {
            return Some((List::Deny, denied));
        }
        let allow = self.allow.as_ref()?;
        match first(allow, spellings) {
            Some(_) => None,
            None => Some((List::Allow, None)),
        }
    }
}

/// Compiles a list; `None` when it is absent, `null` or empty.
fn compile(
    dimension: Dimension,
    list: List,
    stored: Option<&Value>,
) -> Result<Option<PatternList>, Broken> {
    let stored = match stored {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(stored)) => stored,
        Some(_) => {
            let reason = "the patterns are no list";
            return Err(Broken::new(dimension, list, None, reason));
        }
    };
    let patterns: Option<Vec<String>> = stored
        .iter()
        .map(|pattern| pattern.as_str().map(str::to_owned))
        .collect();
    let Some(patterns) = patterns else {
        let reason = "a pattern is no text";
        return Err(Broken::new(dimension, list, None, reason));
    };
    if patterns.is_empty() {
        return Ok(None);
    }
    PatternList::new(patterns).map(Some).map_err(|error| {
        let pattern = match &error {
            ListError::Pattern { index, .. } => stored.get(*index).and_then(Value::as_str),
            ListError::TooMuch => None,
        };
        Broken::new(dimension, list, pattern, error.to_string())
    })
}
