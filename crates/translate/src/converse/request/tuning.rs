//! What steers the model: sampling, limits, thinking, structured output (providers 13, 14).

use serde_json::Number;

use super::has_schemas;
use super::turns::thinking_block;
use crate::drops::Drops;
use crate::ir::{Effort, OutputFormat, Part, Reasoning, Request, Role};
use crate::json::{Obj, list, text};
use crate::models::Family;
use crate::names::Field;
use crate::reasoning::{self, ClaudeThinking};
use crate::{Dialect, Problem, Target};

/// How much the model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Nothing is said.
    Unsaid,
    /// Claude is told not to.
    Disabled,
    /// Claude decides, under this effort.
    Adaptive(Option<Effort>),
    /// Claude has so many tokens.
    Budget(u64),
    /// Nova's `low`, `medium` or `high`.
    Nova(&'static str),
}

impl Thinking {
    /// Claude thinks.
    pub(super) const fn is_claude(self) -> bool {
        matches!(self, Self::Adaptive(_) | Self::Budget(_))
    }

    /// Nova at its hardest, when it takes neither sampling nor limits.
    fn is_nova_high(self) -> bool {
        self == Self::Nova("high")
    }
}

/// Decides about thinking.
///
/// # Errors
/// A budget that cannot be, or thinking that is wanted of a model that cannot.
pub(super) fn thinking(
    request: &Request,
    target: &Target<'_>,
    family: Family,
    schema_tool: bool,
    drops: &mut Drops,
) -> Result<Thinking, Problem> {
    let Some(wanted) = request
        .reasoning
        .as_ref()
        .filter(|wanted| says_something(wanted))
    else {
        return Ok(Thinking::Unsaid);
    };
    let off = wanted.enabled == Some(false)
        || wanted.effort == Some(Effort::None)
        || (wanted.budget == Some(0) && wanted.effort.is_none());
    if off {
        let says_so = family.claude_thinks() && wanted.enabled == Some(false);
        return Ok(if says_so {
            Thinking::Disabled
        } else {
            Thinking::Unsaid
        });
    }
    match family {
        Family::Claude { .. } => {
            claude_thinking(request, wanted, target, family, schema_tool, drops)
        }
        Family::Nova => Ok(Thinking::Nova(nova_effort(wanted, request.max_output))),
        Family::Gemini { .. } | Family::Other => {
            let why = "on Bedrock only Claude and Nova are told how much to think";
            if request.from == Dialect::Chat {
                let remedy = "remove it, or use another model";
                return Err(drops.refuse_field(Field::Reasoning, why, remedy));
            }
            drops.leave_out_field(Field::Reasoning, why)?;
            Ok(Thinking::Unsaid)
        }
    }
}

fn says_something(wanted: &Reasoning) -> bool {
    let Reasoning {
        effort,
        budget,
        enabled,
        // How the thinking is shown says nothing about whether there is any.
        summary: _,
    } = wanted;
    effort.is_some() || budget.is_some() || enabled.is_some()
}

fn claude_thinking(
    request: &Request,
    wanted: &Reasoning,
    target: &Target<'_>,
    family: Family,
    schema_tool: bool,
    drops: &mut Drops,
) -> Result<Thinking, Problem> {
    if !family.claude_thinks() {
        drops.leave_out_field(Field::Reasoning, "this model does not think")?;
        return Ok(Thinking::Unsaid);
    }
    if schema_tool {
        let why = "its structured output is a forced tool call, which excludes thinking";
        drops.leave_out_field(Field::Reasoning, why)?;
        return Ok(Thinking::Unsaid);
    }
    let most = target
        .max_output
        .unwrap_or_else(|| family.claude_max_output());
    let thinking = reasoning::for_claude(Some(wanted), family, request.max_output, most)?;
    match thinking {
        ClaudeThinking::Off => Ok(Thinking::Unsaid),
        ClaudeThinking::Adaptive(effort) => Ok(Thinking::Adaptive(effort)),
        ClaudeThinking::Budget(_) if continues_without_thinking(request, family) => {
            let why =
                "the tool calls that it goes on from have no thinking of this model before them";
            drops.leave_out_field(Field::Reasoning, why)?;
            Ok(Thinking::Unsaid)
        }
        ClaudeThinking::Budget(tokens) => Ok(Thinking::Budget(tokens)),
    }
}

/// Whether the conversation stands in the middle of tool use that did not begin with thinking: Claude
/// refuses to begin thinking there.
fn continues_without_thinking(request: &Request, family: Family) -> bool {
    let turns = &request.turns;
    let Some(last) = turns.iter().rposition(|turn| turn.role == Role::Assistant) else {
        return false;
    };
    let (before, after) = turns.split_at(last + 1);
    let answered = after
        .iter()
        .flat_map(|turn| &turn.parts)
        .any(|part| matches!(part, Part::ToolResult(_)));
    let user = before.iter().rposition(|turn| turn.role == Role::User);
    let run = before
        .get(user.map_or(0, |user| user + 1)..)
        .unwrap_or_default();
    let first = run
        .iter()
        .flat_map(|turn| &turn.parts)
        .find(|part| match part {
            // What is not written does not come first.
            Part::Thinking(thinking) => thinking_block(thinking, family).is_some(),
            Part::Text(text) => !text.text.trim().is_empty(),
            _ => true,
        });
    answered && !matches!(first, Some(Part::Thinking(_)))
}

fn nova_effort(wanted: &Reasoning, cap: Option<u64>) -> &'static str {
    match reasoning::effort(wanted, cap).unwrap_or(Effort::Medium) {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    }
}

/// Writes `inferenceConfig`.
///
/// # Errors
/// Something cannot go together and the caller wants nothing left out.
pub(super) fn inference(
    request: &mut Request,
    family: Family,
    thinking: Thinking,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    if thinking.is_claude() {
        let why = "the model does not take it while it thinks";
        if request.temperature.as_ref().is_some_and(|it| !is_one(it)) {
            request.temperature = None;
            drops.leave_out_field(Field::Temperature, why)?;
        }
        let low = |top_p: &Number| top_p.as_f64().is_none_or(|top_p| top_p < 0.95);
        if request.top_p.as_ref().is_some_and(low) {
            request.top_p = None;
            drops.leave_out_field(Field::TopP, why)?;
        }
        if request.top_k.take().is_some() {
            drops.leave_out_field(Field::TopK, why)?;
        }
    }
    if thinking.is_nova_high() {
        let why = "Nova does not take it at its highest effort";
        for (present, field) in [
            (request.max_output.take().is_some(), Field::MaxOutput),
            (request.temperature.take().is_some(), Field::Temperature),
            (request.top_p.take().is_some(), Field::TopP),
            (request.top_k.take().is_some(), Field::TopK),
        ] {
            if present {
                drops.leave_out_field(field, why)?;
            }
        }
    }
    if family.is_claude() && request.temperature.is_some() && request.top_p.take().is_some() {
        drops.leave_out_field(Field::TopP, "the model takes it or `temperature`, not both")?;
    }
    Ok(Obj::new()
        .num_if("maxTokens", request.max_output)
        .num_if("temperature", request.temperature.as_ref())
        .num_if("topP", request.top_p.as_ref())
        .texts_if("stopSequences", &request.stop))
}

fn is_one(number: &Number) -> bool {
    number
        .as_f64()
        .is_some_and(|it| (it - 1.0).abs() < f64::EPSILON)
}

/// Writes `additionalModelRequestFields`: what Converse has no field for.
///
/// # Errors
/// Something cannot be carried and the caller wants nothing left out.
pub(super) fn additional(
    request: &mut Request,
    target: &Target<'_>,
    family: Family,
    thinking: Thinking,
    schema_tool: bool,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let mut fields = Obj::new();
    fields = match thinking {
        Thinking::Unsaid => fields,
        Thinking::Disabled => fields.raw("thinking", r#"{"type":"disabled"}"#),
        Thinking::Adaptive(_) => fields.raw("thinking", r#"{"type":"adaptive"}"#),
        Thinking::Budget(tokens) => {
            let thinking = Obj::new()
                .str("type", "enabled")
                .num("budget_tokens", tokens);
            fields.raw("thinking", &thinking.end())
        }
        Thinking::Nova(effort) => {
            let config = Obj::new()
                .str("type", "enabled")
                .str("maxReasoningEffort", effort);
            fields.raw("reasoningConfig", &config.end())
        }
    };
    let mut output = Obj::new();
    if let Thinking::Adaptive(Some(effort)) = thinking {
        output = output.str("effort", effort.as_str());
    }
    if let Some(OutputFormat::Schema { schema, .. }) = &request.output
        && has_schemas(family)
        && !schema_tool
    {
        let format = Obj::new()
            .str("type", "json_schema")
            .raw("schema", schema.get());
        output = output.raw("format", &format.end());
    }
    if !output.is_empty() {
        fields = fields.raw("output_config", &output.end());
    }
    if let Some(top_k) = request.top_k.take() {
        let model = target.name.to_ascii_lowercase();
        fields = match family {
            Family::Claude { .. } => fields.num("top_k", top_k),
            Family::Nova => fields.raw("inferenceConfig", &Obj::new().num("topK", top_k).end()),
            _ if model.contains("mistral") || model.contains("mixtral") => {
                fields.num("top_k", top_k)
            }
            _ if model.contains("cohere") => fields.num("k", top_k),
            Family::Gemini { .. } | Family::Other => {
                drops.leave_out_field(Field::TopK, "the model has nothing like it")?;
                fields
            }
        };
    }
    if family.is_claude()
        && let Some(raw) = request.take("anthropic_beta")
    {
        let betas = list(&raw, "anthropic_beta")?.into_iter().filter_map(text);
        fields = fields.texts_if("anthropic_beta", &betas.collect::<Vec<_>>());
    }
    Ok(fields)
}
