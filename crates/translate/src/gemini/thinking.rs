//! What a Gemini model is told about thinking (providers 14).
//!
//! From 3 on a model takes a level, from 2.5 on a number of tokens, before that nothing. Another vendor's
//! number is never sent on, because it may exceed what the model takes. Start at [`config`].

use crate::ir::{Effort, Reasoning, Request};
use crate::models::{Family, GeminiTier};
use crate::reasoning::{effort, gemini_budget};
use crate::{Dialect, json::Obj};

/// How a model is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `thinkingLevel`.
    Level(GeminiTier),
    /// `thinkingBudget`.
    Budget(GeminiTier),
    /// The model does not think, or cannot be told.
    Nothing,
}

/// What becomes of the wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Config {
    /// Nothing was wished, or what was wished is what happens anyway.
    Absent,
    /// The `thinkingConfig`.
    Is(String),
    /// The model cannot be told to think.
    Impossible,
}

/// The `thinkingConfig` for a model.
pub(super) fn config(request: &Request, model: &str) -> Config {
    let Some(wanted) = &request.reasoning else {
        return Config::Absent;
    };
    let level = effort(wanted, request.max_output);
    let off = level == Some(Effort::None);
    // Google's own callers say themselves whether they want to read the thoughts.
    let unread = request.from == Dialect::Gemini && wanted.summary.is_none();
    let thoughts = (!off && !unread).then_some(true);
    let out = match Style::of(model) {
        Style::Nothing if off => return Config::Absent,
        Style::Nothing => return Config::Impossible,
        Style::Level(tier) => {
            let word = level.map(|effort| word(least(wanted, effort), tier));
            Obj::new()
                .str_if("thinkingLevel", word)
                .num_if("includeThoughts", thoughts)
        }
        Style::Budget(tier) => {
            let tokens = match (wanted.budget, level) {
                (Some(budget), _) if request.from == Dialect::Gemini => {
                    let (fewest, most) = range(tier);
                    let budget = u64::try_from(budget).unwrap_or(fewest);
                    Some(budget.clamp(fewest, most))
                }
                (Some(-1), _) => Some(range(tier).0),
                (_, Some(effort)) => Some(gemini_budget(effort, tier)),
                (_, None) => None,
            };
            Obj::new()
                .num_if("thinkingBudget", tokens)
                .num_if("includeThoughts", thoughts)
        }
    };
    Config::Is(out.end())
}

/// As few tokens as possible is the lowest level.
fn least(wanted: &Reasoning, effort: Effort) -> Effort {
    if wanted.budget == Some(-1) {
        Effort::Minimal
    } else {
        effort
    }
}

/// The fewest and the most tokens that a 2.5 model can be given while it thinks.
fn range(tier: GeminiTier) -> (u64, u64) {
    let fewest = gemini_budget(Effort::Minimal, tier).min(match tier {
        GeminiTier::Pro => 128,
        GeminiTier::Flash => 1,
        GeminiTier::FlashLite => 512,
    });
    (fewest, gemini_budget(Effort::Max, tier))
}

/// The level as the model's size knows it: the Pro models neither stop thinking nor think minimally.
const fn word(effort: Effort, tier: GeminiTier) -> &'static str {
    match (effort, tier) {
        (Effort::None | Effort::Minimal, GeminiTier::Flash | GeminiTier::FlashLite) => "minimal",
        (Effort::None | Effort::Minimal | Effort::Low, _) => "low",
        (Effort::Medium, _) => "medium",
        (Effort::High | Effort::XHigh | Effort::Max, _) => "high",
    }
}

impl Style {
    fn of(model: &str) -> Self {
        let Family::Gemini { major, tier } = Family::of(model) else {
            return Self::Nothing;
        };
        let model = model.to_ascii_lowercase();
        let paints_or_speaks = model.contains("-image") || model.contains("-tts");
        match major {
            3.. => Self::Level(tier),
            2 if model.contains("gemini-2.5") && !paints_or_speaks => Self::Budget(tier),
            // Names that follow the newest model (`gemini-flash-latest`): all of them take a number.
            0 if model.ends_with("-latest") => Self::Budget(tier),
            _ => Self::Nothing,
        }
    }
}

/// Whether a model refuses function calls in the history that do not carry a seal of its own: from 3 on.
pub(super) fn demands_seals(model: &str) -> bool {
    matches!(Family::of(model), Family::Gemini { major: 3.., .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(from: Dialect, wanted: Reasoning, cap: Option<u64>, model: &str) -> Config {
        let mut request = Request::new(from);
        request.reasoning = Some(wanted);
        request.max_output = cap;
        config(&request, model)
    }

    fn is(json: &str) -> Config {
        Config::Is(json.to_owned())
    }

    #[test]
    fn levels_are_written_as_the_model_takes_them() {
        let level = |effort| Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        };
        for (effort, model, expected) in [
            (
                Effort::Medium,
                "gemini-3-flash-preview",
                is(r#"{"thinkingLevel":"medium","includeThoughts":true}"#),
            ),
            (
                Effort::Minimal,
                "gemini-3.1-pro-preview",
                is(r#"{"thinkingLevel":"low","includeThoughts":true}"#),
            ),
            (
                Effort::XHigh,
                "gemini-3-pro",
                is(r#"{"thinkingLevel":"high","includeThoughts":true}"#),
            ),
            (
                Effort::None,
                "gemini-3-flash",
                is(r#"{"thinkingLevel":"minimal"}"#),
            ),
            (
                Effort::Medium,
                "gemini-2.5-flash",
                is(r#"{"thinkingBudget":10444,"includeThoughts":true}"#),
            ),
            (
                Effort::None,
                "gemini-2.5-flash-lite",
                is(r#"{"thinkingBudget":0}"#),
            ),
            (
                Effort::None,
                "publishers/google/models/gemini-2.5-pro",
                is(r#"{"thinkingBudget":128}"#),
            ),
            (
                Effort::Low,
                "gemini-flash-latest",
                is(r#"{"thinkingBudget":3686,"includeThoughts":true}"#),
            ),
            (Effort::High, "gemini-2.0-flash", Config::Impossible),
            (Effort::None, "gemini-2.0-flash", Config::Absent),
            (Effort::High, "gemini-1.5-pro", Config::Impossible),
            (Effort::High, "gemma-3-27b-it", Config::Impossible),
        ] {
            assert_eq!(
                written(Dialect::Chat, level(effort), None, model),
                expected,
                "{effort:?} {model}"
            );
        }
    }

    #[test]
    fn the_budget_of_a_coding_client_becomes_one_that_the_model_takes() {
        let budget = |tokens| Reasoning {
            budget: Some(tokens),
            ..Reasoning::default()
        };
        let wanted = |from, tokens, cap| written(from, budget(tokens), cap, "gemini-2.5-flash");
        let high = is(r#"{"thinkingBudget":19660,"includeThoughts":true}"#);
        assert_eq!(wanted(Dialect::Messages, 31_999, Some(32_000)), high);
        assert_eq!(wanted(Dialect::Messages, 31_999, None), high);
        for (tokens, json) in [
            (31_999, r#"{"thinkingBudget":24576}"#),
            (8_192, r#"{"thinkingBudget":8192}"#),
        ] {
            assert_eq!(wanted(Dialect::Gemini, tokens, None), is(json));
        }
        assert_eq!(
            wanted(Dialect::Chat, -1, None),
            is(r#"{"thinkingBudget":1,"includeThoughts":true}"#)
        );
        assert_eq!(
            written(Dialect::Chat, budget(-1), None, "gemini-3-flash"),
            is(r#"{"thinkingLevel":"minimal","includeThoughts":true}"#)
        );
    }

    #[test]
    fn thinking_without_a_level_is_left_to_the_model() {
        let on = Reasoning {
            enabled: Some(true),
            ..Reasoning::default()
        };
        for model in ["gemini-3-pro", "gemini-2.5-pro"] {
            assert_eq!(
                written(Dialect::Messages, on.clone(), None, model),
                is(r#"{"includeThoughts":true}"#)
            );
        }
        assert_eq!(
            config(&Request::new(Dialect::Chat), "gemini-3-pro"),
            Config::Absent
        );
    }
}
