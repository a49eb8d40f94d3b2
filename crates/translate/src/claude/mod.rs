//! What Claude takes on every cloud: thinking and what has to give way to it (providers 14), sampling, and
//! the form of schemas.
//!
//! Anthropic's own API and Bedrock's Converse put the same things into different fields; what they are is
//! decided here. Start at [`plan`] and [`sampling`].

mod sampling;
pub(crate) mod schema;

use crate::drops::Drops;
use crate::ir::{Effort, Part, Reasoning, Request, Role};
use crate::json::Obj;
use crate::models::{ClaudeTier, Family};
use crate::names::Field;
use crate::reasoning::{self, CLAUDE_LEAST, ClaudeThinking};
use crate::signature::Origin;
use crate::{Dialect, Problem, Target};

pub(crate) use sampling::{Sampling, sampling};

/// What is known of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) family: Family,
    /// Most output tokens.
    pub(crate) most: u64,
}

impl Model {
    pub(crate) fn of(target: &Target<'_>) -> Self {
        let family = match Family::of(target.name) {
            claude @ Family::Claude { .. } => claude,
            // A server that imitates the dialect: its models are taken for a Claude that does not tell
            // its version.
            _ => Family::Claude {
                tier: ClaudeTier::Unknown,
                version: (0, 0),
            },
        };
        let known = Self::of_family(family);
        Self {
            most: target.max_output.unwrap_or(known.most),
            ..known
        }
    }

    /// A model of which only the family is known.
    pub(crate) fn of_family(family: Family) -> Self {
        Self {
            family,
            most: family.claude_max_output(),
        }
    }

    /// From Opus 4.7 and Sonnet 5 on: sampling parameters and thinking budgets are refused, and thinking
    /// may be on by itself.
    pub(crate) fn is_self_steering(self) -> bool {
        let Family::Claude { tier, version } = self.family else {
            return false;
        };
        version >= (5, 0) || (tier == ClaudeTier::Opus && version >= (4, 7))
    }

    /// From 4.5 on: output by a schema without a forced tool, and strict tools.
    pub(crate) fn has_structured_output(self) -> bool {
        matches!(self.family, Family::Claude { version, .. } if version >= (4, 5))
    }
}

/// The decision about thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) told: ClaudeThinking,
    /// It is switched off in so many words.
    pub(crate) disabled: bool,
    /// Its text is wanted even where the model would hide it.
    summarized: bool,
}

impl Plan {
    pub(crate) const fn is_on(self) -> bool {
        !matches!(self.told, ClaudeThinking::Off)
    }

    /// The field `thinking`.
    pub(crate) fn json(self) -> Option<String> {
        let on = |kind: &str| Obj::new().str("type", kind);
        let display = self.summarized.then_some("summarized");
        match self.told {
            ClaudeThinking::Adaptive(_) => Some(on("adaptive").str_if("display", display).end()),
            ClaudeThinking::Budget(tokens) => {
                Some(on("enabled").num("budget_tokens", tokens).end())
            }
            ClaudeThinking::Off => self.disabled.then(|| on("disabled").end()),
        }
    }

    /// `output_config.effort`.
    pub(crate) const fn effort(self) -> Option<Effort> {
        match self.told {
            ClaudeThinking::Adaptive(effort) => effort,
            _ => None,
        }
    }

    const OFF: Self = Self {
        told: ClaudeThinking::Off,
        disabled: false,
        summarized: false,
    };
}

/// Decides about thinking. `forced` says that the answer has to be one tool call, with which no thinking
/// goes together.
///
/// # Errors
/// The output cap cannot hold the least that Claude thinks, or something has to be left out that must not.
pub(crate) fn plan(
    request: &Request,
    model: Model,
    forced: bool,
    drops: &mut Drops,
) -> Result<Plan, Problem> {
    let Some(wanted) = request.reasoning.as_ref().filter(|wanted| says(wanted)) else {
        return Ok(Plan::OFF);
    };
    if is_off(wanted) {
        let disabled = wanted.enabled == Some(false) || model.is_self_steering();
        return Ok(Plan {
            disabled: disabled && model.family.claude_thinks(),
            ..Plan::OFF
        });
    }
    if forced {
        drops.leave_out_field(Field::Reasoning, "the output format forces a tool call")?;
        return Ok(Plan::OFF);
    }
    let wanted = suited(wanted, request, model);
    let told = reasoning::for_claude(
        Some(&wanted),
        model.family,
        request.max_output,
        model.most,
        request.from,
    )?;
    if told == ClaudeThinking::Off {
        drops.leave_out_field(Field::Reasoning, "the model does not think")?;
        return Ok(Plan::OFF);
    }
    if matches!(told, ClaudeThinking::Budget(_)) && lacks_thinking(request) {
        drops.leave_out_field(
            Field::Reasoning,
            "the tool call that is being answered comes without the thinking before it",
        )?;
        return Ok(Plan::OFF);
    }
    let summary = wanted.summary.as_deref().filter(|word| *word != "none");
    Ok(Plan {
        told,
        disabled: false,
        summarized: summary.is_some(),
    })
}

/// Whether anything is said about how much to think.
const fn says(wanted: &Reasoning) -> bool {
    wanted.effort.is_some() || wanted.budget.is_some() || wanted.enabled.is_some()
}

fn is_off(wanted: &Reasoning) -> bool {
    wanted.enabled == Some(false)
        || wanted.effort == Some(Effort::None)
        || (wanted.budget == Some(0) && wanted.effort.is_none())
}

/// The wish in the form that the model takes.
fn suited(wanted: &Reasoning, request: &Request, model: Model) -> Reasoning {
    let mut wanted = wanted.clone();
    if model.is_self_steering() && wanted.budget.is_some() {
        wanted.effort = reasoning::effort(&wanted, request.max_output);
        wanted.budget = None;
    }
    // Other vendors think in smaller steps.
    if request.from == Dialect::Gemini
        && let Some(budget) = wanted.budget.filter(|budget| *budget > 0)
    {
        let least = i64::try_from(CLAUDE_LEAST).unwrap_or(i64::MAX);
        wanted.budget = Some(budget.max(least));
    }
    wanted
}

/// Whether tool results answer a turn that does not begin with thinking of Anthropic's own: with a budget
/// set, that is refused.
fn lacks_thinking(request: &Request) -> bool {
    let mut backwards = request.turns.iter().rev();
    let results = backwards
        .by_ref()
        .take_while(|turn| turn.role == Role::User)
        .flat_map(|turn| &turn.parts)
        .filter(|part| matches!(part, Part::ToolResult(_)))
        .count();
    if results == 0 {
        return false;
    }
    let last = request.turns.iter().rev();
    let mut assistant = last.skip_while(|turn| turn.role == Role::User);
    let Some(turn) = assistant.next() else {
        return false;
    };
    !turn.parts.iter().any(is_own_thinking)
}

fn is_own_thinking(part: &Part) -> bool {
    matches!(part, Part::Thinking(thinking)
        if thinking.signature.as_ref().is_some_and(|seal| seal.origin == Origin::Anthropic))
}
