//! Writes a Messages request for Anthropic and those who speak like it (providers 13 to 15.1, 18).
//!
//! Start at [`write_request`].

use super::media::cache;
use super::read::STANDARD_ONLY;
use super::turns::{self, Turns};
use crate::claude::{self, Model, Plan, Sampling, schema};
use crate::drops::Drops;
use crate::ir::{CacheMarker, Function, JSON_TOOL, OutputFormat, Part, Request, Tool, ToolChoice};
use crate::json::{self, Obj, Object};
use crate::models::Family;
use crate::names::Field;
use crate::{Dialect, Outgoing, Problem, Target};

/// Fields of the dialect that callers of Chat Completions may send as well, in the order in which they
/// are written.
const EXTRAS: [&str; 5] = [
    "container",
    "context_management",
    "mcp_servers",
    "speed",
    "inference_geo",
];

/// The beta of `output_config.task_budget`.
const TASK_BUDGET: &str = "task-budgets-2026-03-13";

/// How the answer is made to follow a schema.
enum Structure {
    /// It is not.
    Free,
    /// `output_config.format` with this schema.
    Native(String),
    /// One forced tool with this schema.
    Tool(Function),
}

/// Writes a request. `max_tokens` is filled in for callers whose dialect does not require it.
///
/// # Errors
/// The request has something that the provider cannot be given and that must not be left out.
pub(crate) fn write_request(
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let mut drops = Drops::new(&request, target);
    let mut betas = Vec::new();
    let model = Model::of(target);
    judge_fields(&request, &mut drops)?;
    let structure = structure(&mut request, model, &drops)?;
    let forced = matches!(structure, Structure::Tool(_));
    let plan = claude::plan(&request, model, forced, &mut drops)?;

    let max_tokens = match request.max_output {
        // Callers of this dialect have to say it themselves; the provider tells them.
        None if request.from == Dialect::Messages => None,
        cap => Some(cap.unwrap_or(model.most)),
    };
    let at_the_end = ending(&mut request, target);
    let mut messages = Turns {
        from: request.from,
        at_the_end,
        drops: &mut drops,
        betas: &mut betas,
        thinks: model.family.claude_thinks(),
    };
    let messages = messages.write(std::mem::take(&mut request.turns))?;
    let system = request.system.iter().filter_map(|part| match part {
        Part::Text(text) => turns::text_block(text),
        _ => None,
    });
    let mut body = Obj::new()
        .str("model", target.model)
        .num_if("max_tokens", max_tokens)
        .list_if("system", system.collect())
        .list("messages", messages);

    let (json_tool, format) = match structure {
        Structure::Free => (None, None),
        Structure::Native(format) => (None, Some(format)),
        Structure::Tool(function) => (Some(function), None),
    };
    let tools = tools(&request, json_tool.as_ref(), model, &mut drops)?;
    let has_tools = !tools.is_empty();
    body = body.list_if("tools", tools);
    if let Some(ToolChoice::Named(name)) = &request.tool_choice
        && !knows(&request, name)
    {
        let why = "it names a tool that is not among `tools`";
        return Err(drops.refuse_field(Field::ToolChoice, why, "name one of the tools"));
    }
    if has_tools {
        let choice = tool_choice(&request, json_tool.is_some(), plan, &mut drops)?;
        body = body.raw_if("tool_choice", choice.as_deref());
    } else if matches!(request.tool_choice, Some(ToolChoice::Any)) {
        drops.leave_out_field(Field::ToolChoice, "there is no tool to call")?;
    }

    body = body.raw_if("thinking", plan.json().as_deref());
    let task_budget = request.take("task_budget");
    if task_budget.is_some() {
        betas.push(TASK_BUDGET.to_owned());
    }
    let config = Obj::new()
        .str_if("effort", plan.effort().map(|effort| effort.as_str()))
        .raw_if("format", format.as_deref())
        .raw_if("task_budget", task_budget.as_ref().map(|raw| raw.get()));
    if !config.is_empty() {
        body = body.raw("output_config", &config.end());
    }
    let Sampling {
        temperature,
        top_p,
        top_k,
        stop,
    } = claude::sampling(&request, model, plan, &mut drops)?;
    body = body
        .num_if("temperature", temperature)
        .num_if("top_p", top_p)
        .num_if("top_k", top_k)
        .texts_if("stop_sequences", &stop);
    body = body.raw_if("cache_control", cache(request.cache));
    body = owned(body, &mut request, &mut betas, &mut drops)?;
    if request.stream {
        body = body.num("stream", true);
    }
    drops.judge_rest(&mut request)?;
    betas.sort_unstable();
    betas.dedup();
    Ok(Outgoing {
        body: body.end().into_bytes(),
        dropped: drops.finish(),
        betas,
        json_tool: json_tool.is_some(),
    })
}

/// Takes the marker for the whole prompt where it has to stand on a block: only Anthropic itself finds the
/// end of the prompt.
fn ending(request: &mut Request, target: &Target<'_>) -> Option<CacheMarker> {
    if !matches!(target.provider, "bedrock" | "vertex") {
        return None;
    }
    let CacheMarker { one_hour } = request.cache.take()?;
    let keeps_it =
        target.provider != "bedrock" || Family::of(target.name).keeps_an_hour_on_bedrock();
    Some(CacheMarker {
        one_hour: one_hour && keeps_it,
    })
}

/// Fields that there is nothing for in this dialect.
fn judge_fields(request: &Request, drops: &mut Drops) -> Result<(), Problem> {
    const WHY: &str = "the provider has nothing like it";
    if request.logprobs.is_some() {
        return Err(drops.refuse_field(Field::Logprobs, WHY, "remove it, or use another model"));
    }
    for (field, is_there) in [
        (Field::PresencePenalty, request.presence_penalty.is_some()),
        (Field::FrequencyPenalty, request.frequency_penalty.is_some()),
    ] {
        if is_there {
            drops.leave_out_field(field, WHY)?;
        }
    }
    Ok(())
}

fn structure(request: &mut Request, model: Model, drops: &Drops) -> Result<Structure, Problem> {
    Ok(match request.output.take() {
        None => Structure::Free,
        Some(OutputFormat::Json) => {
            return Err(drops.refuse_field(
                Field::Output,
                "the provider has no JSON mode without a schema",
                "give a JSON schema, or use another model",
            ));
        }
        Some(OutputFormat::Schema { schema, .. }) if model.has_structured_output() => {
            let format = Obj::new()
                .str("type", "json_schema")
                .raw("schema", &schema::closed(schema.get()));
            Structure::Native(format.end())
        }
        Some(OutputFormat::Schema {
            description,
            schema,
            name: _,
            strict: _,
        }) => Structure::Tool(Function {
            name: JSON_TOOL.to_owned(),
            description: description.or_else(|| Some("Gives the answer as JSON.".to_owned())),
            schema: Some(schema),
            strict: None,
            freeform: false,
            cache: None,
        }),
    })
}

fn tools(
    request: &Request,
    json_tool: Option<&Function>,
    model: Model,
    drops: &mut Drops,
) -> Result<Vec<String>, Problem> {
    let mut out = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        match tool {
            Tool::Function(one) => {
                let strict = one.strict == Some(true);
                if strict && !model.has_structured_output() {
                    drops.leave_out("tools.strict", "the model does not keep to schemas")?;
                }
                out.push(function(one, strict && model.has_structured_output()));
            }
            Tool::Hosted { raw, .. } if request.from == Dialect::Messages => {
                out.push(raw.get().to_owned());
            }
            Tool::Hosted { kind, .. } => {
                let why = "the provider does not run that tool";
                if kind == "mcp" {
                    return Err(drops.refuse("tools", why, "remove it, or use another model"));
                }
                drops.leave_out_field(Field::Tools, why)?;
            }
        }
    }
    out.extend(json_tool.map(|tool| function(tool, false)));
    Ok(out)
}

fn function(function: &Function, strict: bool) -> String {
    Obj::new()
        .str("name", &function.name)
        .str_if("description", function.description.as_deref())
        .raw("input_schema", &schema::typed(function.schema()))
        .num_if("strict", strict.then_some(true))
        .raw_if("cache_control", cache(function.cache))
        .end()
}

/// The field `tool_choice`, where there are tools.
fn tool_choice(
    request: &Request,
    json_tool: bool,
    plan: Plan,
    drops: &mut Drops,
) -> Result<Option<String>, Problem> {
    let mut choice = request.tool_choice.clone();
    if json_tool && !matches!(choice, Some(ToolChoice::Named(_))) {
        // The output is a call as well: one of the caller's own tools may come before it.
        choice = Some(match (request.tools.is_empty(), choice) {
            (true, _) | (_, Some(ToolChoice::None)) => ToolChoice::Named(JSON_TOOL.to_owned()),
            _ => ToolChoice::Any,
        });
    }
    // No tool can be forced while it thinks.
    if plan.is_on() && matches!(choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
        drops.note(Field::ToolChoice);
        choice = Some(ToolChoice::Auto);
    }
    let alone = (request.parallel_tools == Some(false)).then_some(true);
    let choice = match choice {
        None if alone.is_none() => return Ok(None),
        Some(ToolChoice::None) => return Ok(Some(Obj::new().str("type", "none").end())),
        None | Some(ToolChoice::Auto) => Obj::new().str("type", "auto"),
        Some(ToolChoice::Any) => Obj::new().str("type", "any"),
        Some(ToolChoice::Named(name)) => Obj::new().str("type", "tool").str("name", &name),
    };
    Ok(Some(
        choice.num_if("disable_parallel_tool_use", alone).end(),
    ))
}

fn knows(request: &Request, name: &str) -> bool {
    request.tools.iter().any(|tool| match tool {
        Tool::Function(function) => function.name == name,
        Tool::Hosted { raw, .. } => Object::read(raw, "tools")
            .ok()
            .and_then(|tool| tool.get("name").and_then(json::text))
            .is_some_and(|own| own == name),
    })
}

/// Fields that only this dialect has: end user, tier, and what callers of others may add.
fn owned(
    mut body: Obj,
    request: &mut Request,
    betas: &mut Vec<String>,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let native = request.from == Dialect::Messages;
    match request.end_user.take() {
        Some(user) if native => {
            body = body.raw("metadata", &Obj::new().str("user_id", &user).end());
        }
        Some(_) => drops.leave_out_field(Field::EndUser, "it stays with the gateway")?,
        None => {}
    }
    match request.service_tier.take() {
        Some(tier) if native && tier == "default" => {
            body = body.str("service_tier", STANDARD_ONLY);
        }
        Some(tier) if native || tier == "auto" => body = body.str("service_tier", &tier),
        Some(_) => drops.leave_out_field(Field::ServiceTier, "the provider has other tiers")?,
        None => {}
    }
    if !matches!(request.from, Dialect::Chat | Dialect::Messages) {
        return Ok(body);
    }
    for name in EXTRAS {
        if let Some(raw) = request.take(name) {
            body = body.raw(name, raw.get());
            let needed = betas_of(name, raw.get(), &request.tools);
            betas.extend(needed.iter().map(|beta| (*beta).to_owned()));
        }
    }
    Ok(body)
}

/// The betas that a field needs.
fn betas_of(name: &str, value: &str, tools: &[Tool]) -> &'static [&'static str] {
    let has_toolset = || {
        tools
            .iter()
            .any(|tool| matches!(tool, Tool::Hosted { kind, .. } if kind == "mcp_toolset"))
    };
    match name {
        // A container with skills is an object, one that is used again a name.
        "container" if value.starts_with('{') => {
            &["code-execution-2025-08-25", "skills-2025-10-02"]
        }
        "context_management" if value.contains("compact_") => {
            &["context-management-2025-06-27", "compact-2026-01-12"]
        }
        "context_management" => &["context-management-2025-06-27"],
        // The tools of a server are chosen in `tools`, formerly in the server's own entry.
        "mcp_servers" if has_toolset() => &["mcp-client-2025-11-20"],
        "mcp_servers" => &["mcp-client-2025-04-04"],
        "speed" => &["fast-mode-2026-02-01"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
