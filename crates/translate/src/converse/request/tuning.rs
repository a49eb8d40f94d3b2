//! What steers the model: sampling, limits, thinking, structured output (providers 13, 14).

use super::has_schemas;
use crate::claude::{self, Model, Plan, Sampling, schema};
use crate::drops::Drops;
use crate::ir::{Effort, OutputFormat, Reasoning, Request};
use crate::json::{Obj, list, text};
use crate::models::Family;
use crate::names::Field;
use crate::{Dialect, Problem, Target, reasoning};

/// How much the model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Nothing is said.
    Unsaid,
    /// As Claude is told.
    Claude(Model, Plan),
    /// Nova's `low`, `medium` or `high`.
    Nova(&'static str),
}

impl Thinking {
    /// Claude thinks.
    pub(super) const fn is_claude(self) -> bool {
        matches!(self, Self::Claude(_, plan) if plan.is_on())
    }
}

/// Decides about thinking. `schema_tool`: the answer has to be a tool call.
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
    if family.is_claude() {
        let model = Model::of(target);
        let plan = claude::plan(request, model, schema_tool, drops)?;
        return Ok(Thinking::Claude(model, plan));
    }
    let Some(wanted) = request
        .reasoning
        .as_ref()
        .filter(|wanted| wants_some(wanted))
    else {
        return Ok(Thinking::Unsaid);
    };
    if family == Family::Nova {
        return Ok(Thinking::Nova(nova_effort(wanted, request.max_output)));
    }
    let why = "on Bedrock only Claude and Nova are told how much to think";
    if request.from == Dialect::Chat {
        let remedy = "remove it, or use another model";
        return Err(drops.refuse_field(Field::Reasoning, why, remedy));
    }
    drops.leave_out_field(Field::Reasoning, why)?;
    Ok(Thinking::Unsaid)
}

/// Whether thinking is asked for: without being asked, these models do not think.
fn wants_some(wanted: &Reasoning) -> bool {
    let Reasoning {
        effort,
        budget,
        enabled,
        // How thinking is shown says nothing about whether there is any.
        summary: _,
    } = wanted;
    match (enabled, effort, budget) {
        (Some(false), ..) | (_, Some(Effort::None), _) | (_, None, Some(0)) => false,
        (enabled, effort, budget) => enabled.is_some() || effort.is_some() || budget.is_some(),
    }
}

fn nova_effort(wanted: &Reasoning, cap: Option<u64>) -> &'static str {
    match reasoning::effort(wanted, cap).unwrap_or(Effort::Medium) {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    }
}

/// Takes out of the request what the model does not take.
///
/// # Errors
/// Something cannot go together and the caller wants nothing left out.
pub(super) fn sampling(
    request: &mut Request,
    thinking: Thinking,
    drops: &mut Drops,
) -> Result<(), Problem> {
    match thinking {
        Thinking::Claude(model, plan) => {
            let Sampling {
                temperature,
                top_p,
                top_k,
                stop,
            } = claude::sampling(request, model, plan, drops)?;
            request.temperature = temperature;
            request.top_p = top_p;
            request.top_k = top_k;
            request.stop = stop;
        }
        Thinking::Nova("high") => {
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
        Thinking::Nova(_) | Thinking::Unsaid => {}
    }
    Ok(())
}

/// Writes `inferenceConfig`.
pub(super) fn inference(request: &Request) -> Obj {
    Obj::new()
        .num_if("maxTokens", request.max_output)
        .num_if("temperature", request.temperature.as_ref())
        .num_if("topP", request.top_p.as_ref())
        .texts_if("stopSequences", &request.stop)
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
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let mut fields = Obj::new();
    let mut output = Obj::new();
    match thinking {
        Thinking::Unsaid => {}
        Thinking::Claude(_, plan) => {
            fields = fields.raw_if("thinking", plan.json().as_deref());
            output = output.str_if("effort", plan.effort().map(Effort::as_str));
        }
        Thinking::Nova(effort) => {
            let config = Obj::new()
                .str("type", "enabled")
                .str("maxReasoningEffort", effort);
            fields = fields.raw("reasoningConfig", &config.end());
        }
    }
    if let Some(OutputFormat::Schema { schema, .. }) = &request.output
        && has_schemas(family)
    {
        let format = Obj::new()
            .str("type", "json_schema")
            .raw("schema", &schema::closed(schema.get()));
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
