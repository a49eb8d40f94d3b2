//! Writes a request for Converse. Start at [`write_request`].
//!
//! Model and stream are in the path, so the body has neither. Parts: [`turns`] has the conversation,
//! [`media`] pictures and documents, [`tools`] the tools, [`tuning`] all that steers the model.

mod media;
#[cfg(test)]
mod tests;
mod tools;
mod tuning;
mod turns;

use crate::claude::Model;
use crate::drops::Drops;
use crate::ir::{OutputFormat, Part, Request, ToolChoice};
use crate::json::Obj;
use crate::models::Family;
use crate::names::Field;
use crate::{Outgoing, Problem, Target};
use turns::{cache_point, text_block};

/// Writes the body.
///
/// # Errors
/// The request has something that Bedrock cannot be given and that must not be left out.
pub(crate) fn write_request(
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let family = Family::of(target.name);
    let mut drops = Drops::new(&request, target);
    refuse_and_leave_out(&mut request, &mut drops)?;

    let schema_tool = needs_schema_tool(&request, family);
    let thinking = tuning::thinking(&request, target, family, schema_tool, &mut drops)?;
    let messages = turns::messages(&request, family, &mut drops)?;
    let tools = tools::write(
        &request,
        family,
        schema_tool,
        thinking.is_claude(),
        &mut drops,
    )?;
    tuning::sampling(&mut request, thinking, &mut drops)?;
    let inference = tuning::inference(&request);
    let additional = tuning::additional(&mut request, target, family, thinking, &mut drops)?;
    drops.judge_rest(&mut request)?;

    let mut body = Obj::new()
        .list_if("system", system(&request, family))
        .list("messages", messages);
    if !inference.is_empty() {
        body = body.raw("inferenceConfig", &inference.end());
    }
    body = body.raw_if("toolConfig", tools.config.as_deref());
    if !additional.is_empty() {
        body = body.raw("additionalModelRequestFields", &additional.end());
    }
    if family.is_claude() && !request.stop.is_empty() {
        // Which of the sequences ended the answer is told only when it is asked for.
        body = body.raw("additionalModelResponseFieldPaths", r#"["/stop_sequence"]"#);
    }
    Ok(Outgoing {
        body: body.end().into_bytes(),
        dropped: drops.finish(),
        betas: Vec::new(),
        json_tool: tools.json_tool,
    })
}

/// What no model behind Converse can be given.
fn refuse_and_leave_out(request: &mut Request, drops: &mut Drops) -> Result<(), Problem> {
    if matches!(request.output, Some(OutputFormat::Json)) {
        return Err(drops.refuse_field(
            Field::Output,
            "Bedrock has no JSON mode without a schema",
            "use a JSON schema, or another model",
        ));
    }
    if request.logprobs.is_some() {
        return Err(drops.refuse_field(
            Field::Logprobs,
            "Bedrock reports no log probabilities",
            "remove it, or use another model",
        ));
    }
    let tier = request.service_tier.take();
    let wants_tier = tier.is_some_and(|tier| tier != "auto");
    for (present, field) in [
        (
            request.presence_penalty.take().is_some(),
            Field::PresencePenalty,
        ),
        (
            request.frequency_penalty.take().is_some(),
            Field::FrequencyPenalty,
        ),
        (request.end_user.take().is_some(), Field::EndUser),
        (request.parallel_tools == Some(false), Field::ParallelTools),
        (wants_tier, Field::ServiceTier),
    ] {
        if present {
            drops.leave_out_field(field, "Bedrock has nothing like it")?;
        }
    }
    Ok(())
}

/// Whether Bedrock itself can hold the model to a schema.
fn has_schemas(family: Family) -> bool {
    family.is_claude() && Model::of_family(family).has_structured_output()
}

/// Whether a tool has to stand in for a schema (providers 15.1). Where the caller wants a tool called, there
/// is no text that a schema could hold for.
fn needs_schema_tool(request: &Request, family: Family) -> bool {
    let wants = matches!(request.output, Some(OutputFormat::Schema { .. }));
    let calls_first = matches!(
        request.tool_choice,
        Some(ToolChoice::Any | ToolChoice::Named(_))
    );
    wants && !has_schemas(family) && !calls_first
}

fn system(request: &Request, family: Family) -> Vec<String> {
    let mut blocks = Vec::new();
    for part in &request.system {
        let Part::Text(text) = part else {
            continue;
        };
        blocks.extend(text_block(&text.text));
        if !blocks.is_empty() {
            blocks.extend(text.cache.and_then(|marker| cache_point(marker, family)));
        }
    }
    blocks
}
