//! The chain of candidates and the walk along it (data-plane 13).
//!
//! [`chain`] says which providers may be tried for a placed name, in order, and under which model each;
//! [`Routing::goes_on_after`] says whether the walk continues after what an attempt came to. Pure: breakers,
//! limits and budgets are asked by the walk itself. Must never send a name that the caller pinned to a vendor
//! to another vendor. Start at [`chain`].

mod equivalents;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

pub use self::equivalents::{Equivalents, EquivalentsError};
use crate::resolve::{Reach, Resolved};

/// Attempts when nobody said how many.
const ATTEMPTS: u16 = 3;

/// What may make the walk go on (`fallback.on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Trigger {
    /// A status of 500 or above.
    ServerError = 1,
    /// No answer in time.
    Timeout = 2,
    /// 429.
    RateLimit = 4,
    /// DNS, TCP, TLS, a reset, a truncated answer.
    Network = 8,
    /// 404.
    NotFound = 16,
}

impl Trigger {
    /// As `fallback.on` spells it, older spellings included.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "5xx" => Self::ServerError,
            "timeout" => Self::Timeout,
            "rate_limit" | "rate_limit_exceeded" => Self::RateLimit,
            "network_error" | "network" => Self::Network,
            "404" | "not_found" => Self::NotFound,
            _ => return None,
        })
    }

    /// The trigger that an outcome label of data-plane 13.2 belongs to; `None`: nothing follows it.
    #[must_use]
    pub fn of_outcome(label: &str) -> Option<Self> {
        Some(match label {
            "retryable_5xx" => Self::ServerError,
            "timeout" => Self::Timeout,
            "rate_limit" => Self::RateLimit,
            "network" => Self::Network,
            "not_found" => Self::NotFound,
            _ => return None,
        })
    }
}

/// A set of triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triggers(u8);

impl Triggers {
    /// All five: what holds when nothing is said.
    pub const ALL: Self = Self(31);

    /// From the words of `fallback.on`; unknown words are left out, so an unknown list never widens.
    #[must_use]
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().filter_map(Trigger::parse);
        Self(words.fold(0, |all, trigger| all | trigger as u8))
    }

    /// Whether `trigger` is among them.
    #[must_use]
    pub const fn contains(self, trigger: Trigger) -> bool {
        self.0 & trigger as u8 != 0
    }
}

/// Which candidates are considered (data-plane 13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The first one only.
    #[default]
    First,
    /// All that the key reaches.
    All,
    /// Those of a routing policy, and models that stand for one another.
    Policy,
}

/// How a key's requests are routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    /// Which candidates are considered.
    pub mode: Mode,
    /// The most attempts; 0 is the whole chain.
    pub max_attempts: u16,
    /// What makes the walk go on.
    pub on: Triggers,
    /// Milliseconds to the first byte of an answer, for each attempt.
    pub attempt_timeout_ms: Option<u64>,
    /// Model (literal, or with a trailing `*`) to what stands for it, by provider row or provider type.
    pub model_map: HashMap<String, HashMap<String, String>>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            mode: Mode::First,
            max_attempts: ATTEMPTS,
            on: Triggers::ALL,
            attempt_timeout_ms: None,
            model_map: HashMap::new(),
        }
    }
}

impl Routing {
    /// Whether another candidate is tried after an attempt with this outcome label.
    #[must_use]
    pub fn goes_on_after(&self, outcome: &str) -> bool {
        self.mode != Mode::First
            && Trigger::of_outcome(outcome).is_some_and(|trigger| self.on.contains(trigger))
    }

    /// Whether one more attempt may be made after `made`.
    #[must_use]
    pub const fn has_attempt_left(&self, made: u16) -> bool {
        match self.mode {
            Mode::First => made == 0,
            Mode::All | Mode::Policy => self.max_attempts == 0 || made < self.max_attempts,
        }
    }
}

/// One provider that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Index into [`Reach::lanes`].
    pub lane: usize,
    /// The model to ask it for, before its deployment map.
    pub model: Cow<'a, str>,
    /// Whether that is another model than the caller's name resolved to.
    pub substituted: bool,
}

/// The candidates for a placed name, in order (13.1, 13.4). `crosses`: the surface can be asked of another
/// vendor (a conversation). `serves` tells which lanes serve the surface; `allowed` judges a substitute by
/// the rules on models. The allowlist is judged here.
#[must_use]
pub fn chain<'a>(
    reach: &'a Reach,
    routing: &'a Routing,
    equivalents: &'a Equivalents,
    resolved: &Resolved<'a>,
    crosses: bool,
    serves: impl Fn(usize) -> bool,
    allowed: impl Fn(&str, &str) -> bool,
) -> Vec<Candidate<'a>> {
    let mut chain: Vec<Candidate<'a>> = resolved
        .candidates
        .iter()
        .map(|lane| Candidate {
            lane: *lane,
            model: resolved.model.clone(),
            substituted: false,
        })
        .collect();
    if routing.mode == Mode::First || !crosses || resolved.pinned {
        return chain;
    }
    let kind_of = |lane: usize| reach.lanes.get(lane).map(|facts| facts.kind.as_str());
    // A bare name belongs to the vendor that it was placed with.
    let vendor = resolved.candidates.first().and_then(|lane| kind_of(*lane));
    for (lane, facts) in reach.lanes.iter().enumerate() {
        if resolved.candidates.contains(&lane) || !serves(lane) {
            continue;
        }
        let mapped = mapped(&routing.model_map, vendor, &resolved.model, facts);
        let declared = || {
            let known = facts.declares(&resolved.model);
            known.then(|| resolved.model.clone())
        };
        let equivalent = || {
            let table = (routing.mode == Mode::Policy).then_some(equivalents)?;
            table
                .substitute(&resolved.model, &facts.kind)
                .map(Cow::Borrowed)
        };
        let Some(model) = mapped
            .map(Cow::Borrowed)
            .or_else(declared)
            .or_else(equivalent)
        else {
            continue;
        };
        let listed = reach
            .models_allowed
            .as_ref()
            .is_none_or(|list| list.allows(&facts.kind, &model));
        if listed && allowed(&facts.kind, &model) {
            chain.push(Candidate {
                lane,
                substituted: *model != *resolved.model,
                model,
            });
        }
    }
    chain
}

/// What the key's map names for a model at a provider: its row before its type, a literal before a prefix,
/// a longer prefix before a shorter one.
fn mapped<'a>(
    map: &'a HashMap<String, HashMap<String, String>>,
    vendor: Option<&str>,
    model: &str,
    facts: &crate::resolve::LaneFacts,
) -> Option<&'a str> {
    let fits = |key: &str| {
        let bare = vendor
            .and_then(|vendor| key.strip_prefix(vendor)?.strip_prefix('/'))
            .unwrap_or(key);
        match bare.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix).then_some(prefix.len()),
            None => (bare == model).then_some(usize::MAX),
        }
    };
    let mut best: Option<(usize, &'a str)> = None;
    for (key, targets) in map {
        let Some(weight) = fits(key) else { continue };
        let Some(target) = targets.get(&facts.id).or_else(|| targets.get(&facts.kind)) else {
            continue;
        };
        // The name decides between equals, so that one start and the next agree.
        if best.is_none_or(|(other, name)| (weight, target.as_str()) > (other, name)) {
            best = Some((weight, target));
        }
    }
    let (_, target) = best?;
    // Both spellings: the prefix never reaches the provider.
    let bare = target
        .strip_prefix(facts.kind.as_str())
        .and_then(|rest| rest.strip_prefix('/'));
    Some(bare.unwrap_or(target))
}
