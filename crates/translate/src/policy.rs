//! The parameter policy: what of a Chat Completions request an Anthropic, Bedrock or Google lane is given,
//! and what is left out or refused (providers 13).
//!
//! It is applied before the request is written and takes out of it what that lane is not given, so that
//! every writer only sees what the table maps. Fields are judged in the order of the body: the refusal
//! names the first. Requests of other dialects and other lanes pass; their writers judge
//! ([`crate::drops`]). Start at [`apply`].

use crate::drops::Drops;
use crate::ir::{Effort, OutputFormat, Request, Tool, ToolChoice};
use crate::models::Family;
use crate::{Dialect, Problem, Target};

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Anthropic,
    Bedrock,
    Google,
}

impl Lane {
    fn of(to: Dialect, target: &Target<'_>) -> Option<Self> {
        match to {
            // Claude by its own API on Bedrock.
            Dialect::Messages if target.provider == "bedrock" => Some(Self::Bedrock),
            Dialect::Messages => Some(Self::Anthropic),
            Dialect::Converse => Some(Self::Bedrock),
            Dialect::Gemini => Some(Self::Google),
            Dialect::Chat | Dialect::Responses => None,
        }
    }
}

/// What becomes of a field.
enum Verdict {
    /// It is given on.
    Mapped,
    /// It is left out, because of this.
    Dropped(&'static str),
    /// It is refused: why, and what helps.
    Refused(&'static str, &'static str),
}

const UNKNOWN: &str = "the provider has nothing like it";

/// Applies the policy and gives the names of what was left out, sorted.
///
/// # Errors
/// Something must not be left out.
pub fn apply(
    request: &mut Request,
    to: Dialect,
    target: &Target<'_>,
) -> Result<Vec<String>, Problem> {
    let lane = match Lane::of(to, target) {
        Some(lane) if request.from == Dialect::Chat => lane,
        _ => return Ok(Vec::new()),
    };
    let mut drops = Drops::new(request, target);
    for name in std::mem::take(&mut request.order) {
        if is_consumed(&name) || drops.is_never_judged(&name) {
            continue;
        }
        if request.rest.iter().any(|(left, _)| *left == name)
            && let Some(refusal) = drops.refusal_of(&name)
        {
            return Err(refusal);
        }
        match verdict(&name, request, lane, target) {
            Verdict::Mapped => {}
            Verdict::Dropped(why) => {
                drops.leave_out(&name, why)?;
                remove(&name, request);
            }
            Verdict::Refused(why, remedy) => return Err(drops.refuse(&name, why, remedy)),
        }
    }
    Ok(drops.finish())
}

/// Fields that the reader has taken and that are never judged.
fn is_consumed(name: &str) -> bool {
    matches!(
        name,
        "model"
            | "messages"
            | "stream"
            | "drop_tuning_params"
            | "max_tokens"
            | "max_completion_tokens"
            | "top_k"
            | "cache_control"
            | "thinking"
            | "reasoning"
    )
}

fn verdict(name: &str, request: &Request, lane: Lane, target: &Target<'_>) -> Verdict {
    use Verdict::{Dropped, Mapped, Refused};
    let family = Family::of(target.name);
    match name {
        "temperature" | "stop" | "stream_options" => Mapped,
        "top_p" => {
            let claude = lane == Lane::Anthropic || family.is_claude();
            if claude && request.temperature.is_some() {
                Dropped("the model takes `temperature` or `top_p`, not both")
            } else {
                Mapped
            }
        }
        "n" if !more_than_one(request) => Mapped,
        "n" => Dropped("one answer is given"),
        "presence_penalty" | "frequency_penalty" if lane == Lane::Google => Mapped,
        "logprobs" | "top_logprobs" if lane == Lane::Google || request.logprobs.is_none() => Mapped,
        "logprobs" | "top_logprobs" => Refused(
            "the provider does not tell log probabilities",
            "remove it, or use another model",
        ),
        "response_format" => match (&request.output, lane) {
            (Some(OutputFormat::Json), Lane::Anthropic | Lane::Bedrock) => Refused(
                "the provider has no `json_object` mode",
                "use `json_schema`, or another model",
            ),
            _ => Mapped,
        },
        "tools" if request.tools.iter().all(is_function) => Mapped,
        "tools" => Dropped("the provider takes functions alone"),
        "tool_choice" => match &request.tool_choice {
            Some(ToolChoice::Named(name)) if !offers(request, name) => Refused(
                "it names a function that is not in `tools`",
                "name one of `tools`",
            ),
            _ => Mapped,
        },
        "reasoning_effort" => {
            let thinks = family.is_claude() || family == Family::Nova;
            let wanted = request.reasoning.as_ref().and_then(|wanted| wanted.effort);
            if lane == Lane::Bedrock && !thinks && wanted != Some(Effort::None) {
                Refused(
                    "on Bedrock only Claude and Nova can be told how much to think",
                    "remove it, or use another model",
                )
            } else {
                Mapped
            }
        }
        "service_tier"
            if lane == Lane::Anthropic && request.service_tier.as_deref() == Some("auto") =>
        {
            Mapped
        }
        _ => Dropped(UNKNOWN),
    }
}

fn more_than_one(request: &Request) -> bool {
    let value = request.rest.iter().find(|(name, _)| name == "n");
    value.is_some_and(|(_, raw)| {
        let count = serde_json::from_str::<f64>(raw.get());
        !count.is_ok_and(|count| count <= 1.0)
    })
}

fn is_function(tool: &Tool) -> bool {
    matches!(tool, Tool::Function(_))
}

fn offers(request: &Request, name: &str) -> bool {
    request
        .tools
        .iter()
        .any(|tool| matches!(tool, Tool::Function(function) if function.name == name))
}

/// Takes a field out of the request.
fn remove(name: &str, request: &mut Request) {
    match name {
        "top_p" => request.top_p = None,
        "presence_penalty" => request.presence_penalty = None,
        "frequency_penalty" => request.frequency_penalty = None,
        "tools" => request.tools.retain(is_function),
        "parallel_tool_calls" => request.parallel_tools = None,
        "service_tier" => request.service_tier = None,
        "user" => request.end_user = None,
        other => {
            request.take(other);
        }
    }
}
