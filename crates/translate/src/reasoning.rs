//! How much a model shall think: levels into tokens and back (providers 14).

use crate::ir::{Effort, Reasoning};
use crate::models::{Family, GeminiTier};
use crate::names::Field;
use crate::{Dialect, Problem};

/// The fewest thinking tokens that Claude takes.
pub const CLAUDE_LEAST: u64 = 1_024;

/// The share of a range that a level stands for, in thousandths.
const fn share(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 25,
        Effort::Low => 150,
        Effort::Medium => 425,
        Effort::High => 800,
        Effort::XHigh => 920,
        Effort::Max => 1_000,
    }
}

/// What Claude is told about thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaudeThinking {
    /// Nothing, or `disabled`.
    Off,
    /// `thinking {type: adaptive}` with this effort, when one is wanted.
    Adaptive(Option<Effort>),
    /// `thinking {type: enabled, budget_tokens}`.
    Budget(u64),
}

/// What a Claude model is told. `cap` is the request's own output cap, `most` that of the model; `from` is the
/// caller's dialect, in whose words a problem is told.
///
/// # Errors
/// The cap cannot hold the least that Claude thinks.
pub fn for_claude(
    wanted: Option<&Reasoning>,
    family: Family,
    cap: Option<u64>,
    most: u64,
    from: Dialect,
) -> Result<ClaudeThinking, Problem> {
    let Some(wanted) = wanted else {
        return Ok(ClaudeThinking::Off);
    };
    let off = wanted.enabled == Some(false) || wanted.effort == Some(Effort::None);
    if off || !family.claude_thinks() {
        return Ok(ClaudeThinking::Off);
    }
    if family.is_adaptive_claude() && wanted.budget.is_none() {
        let effort = wanted.effort.map(|effort| effort.max(Effort::Low));
        return Ok(ClaudeThinking::Adaptive(effort));
    }
    let cap = cap.unwrap_or(most);
    let budget = match (wanted.budget, wanted.effort) {
        (Some(-1), _) => CLAUDE_LEAST,
        (Some(budget), _) => {
            let budget = u64::try_from(budget).unwrap_or(0);
            if budget < CLAUDE_LEAST {
                return Err(Problem::bad(
                    format!("a thinking budget must be -1 or at least {CLAUDE_LEAST} tokens"),
                    Field::ReasoningBudget.spelled(from),
                ));
            }
            budget
        }
        (None, effort) => {
            let over = cap.saturating_sub(CLAUDE_LEAST);
            CLAUDE_LEAST + over * share(effort.unwrap_or(Effort::Medium)) / 1_000
        }
    };
    // The answer itself must fit as well.
    if budget >= cap {
        if cap <= CLAUDE_LEAST {
            return Err(Problem::bad(
                format!("thinking needs an output cap of more than {CLAUDE_LEAST} tokens"),
                Field::MaxOutput.spelled(from),
            ));
        }
        return Ok(ClaudeThinking::Budget(cap - 1));
    }
    Ok(ClaudeThinking::Budget(budget))
}

/// The level that a request asks for: its own, or the one nearest to its budget under `cap`. `None`: the
/// request says nothing about thinking.
#[must_use]
pub fn effort(wanted: &Reasoning, cap: Option<u64>) -> Option<Effort> {
    if wanted.enabled == Some(false) {
        return Some(Effort::None);
    }
    if let Some(effort) = wanted.effort {
        return Some(effort);
    }
    let budget = match wanted.budget? {
        0 => return Some(Effort::None),
        budget => u64::try_from(budget).unwrap_or(0),
    };
    let Some(room) = cap
        .and_then(|cap| cap.checked_sub(CLAUDE_LEAST))
        .filter(|room| *room > 0)
    else {
        return Some(match budget {
            0..=2_048 => Effort::Low,
            2_049..=8_192 => Effort::Medium,
            _ => Effort::High,
        });
    };
    let ratio = budget.saturating_sub(CLAUDE_LEAST).saturating_mul(1_000) / room;
    [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High]
        .into_iter()
        .min_by_key(|effort| share(*effort).abs_diff(ratio))
}

/// Thinking tokens of a Gemini 2.5 model for a level: -1 lets the model decide.
#[must_use]
pub fn gemini_budget(effort: Effort, tier: GeminiTier) -> u64 {
    let (least, most) = match tier {
        GeminiTier::Pro => (128, 32_768),
        GeminiTier::Flash => (0, 24_576),
        GeminiTier::FlashLite => (512, 24_576),
    };
    match (effort, tier) {
        (Effort::None, GeminiTier::Pro) => least,
        (Effort::None, _) => 0,
        (effort, _) => (most * share(effort) / 1_000).clamp(least, most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(effort: Effort) -> Reasoning {
        Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        }
    }

    #[test]
    fn levels_become_budgets_by_their_ratio() {
        let family = Family::of("claude-sonnet-4-20250514");
        for (effort, expected) in [
            (Effort::Low, 1_484),
            (Effort::Medium, 2_329),
            (Effort::High, 3_481),
        ] {
            let thinking = for_claude(
                Some(&level(effort)),
                family,
                Some(4_096),
                64_000,
                Dialect::Chat,
            );
            assert_eq!(thinking, Ok(ClaudeThinking::Budget(expected)), "{effort:?}");
        }
        for (from, name) in [
            (Dialect::Chat, "max_completion_tokens"),
            (Dialect::Messages, "max_tokens"),
            (Dialect::Gemini, "generationConfig.maxOutputTokens"),
        ] {
            let low = level(Effort::Low);
            let refused = for_claude(Some(&low), family, Some(1_000), 64_000, from);
            assert!(matches!(refused, Err(Problem::Bad { param, .. }) if param == name));
        }
        let adaptive = Family::of("claude-opus-4-6");
        assert_eq!(
            for_claude(
                Some(&level(Effort::Minimal)),
                adaptive,
                None,
                128_000,
                Dialect::Chat
            ),
            Ok(ClaudeThinking::Adaptive(Some(Effort::Low)))
        );
        assert_eq!(
            for_claude(Some(&level(Effort::None)), adaptive, None, 1, Dialect::Chat),
            Ok(ClaudeThinking::Off)
        );
    }

    #[test]
    fn budgets_become_the_nearest_level() {
        let budget = |tokens| Reasoning {
            budget: Some(tokens),
            ..Reasoning::default()
        };
        for (tokens, cap, expected) in [
            (1_484, Some(4_096), Effort::Low),
            (3_400, Some(4_096), Effort::High),
            (31_999, Some(32_000), Effort::High),
            (2_000, None, Effort::Low),
            (31_999, None, Effort::High),
            (0, None, Effort::None),
        ] {
            assert_eq!(
                effort(&budget(tokens), cap),
                Some(expected),
                "{tokens} of {cap:?}"
            );
        }
        assert_eq!(effort(&Reasoning::default(), None), None);
    }

    #[test]
    fn gemini_budgets_stay_in_their_range() {
        assert_eq!(gemini_budget(Effort::None, GeminiTier::Flash), 0);
        assert_eq!(gemini_budget(Effort::None, GeminiTier::Pro), 128);
        assert_eq!(gemini_budget(Effort::Minimal, GeminiTier::FlashLite), 614);
        assert_eq!(gemini_budget(Effort::Max, GeminiTier::Pro), 32_768);
    }
}
