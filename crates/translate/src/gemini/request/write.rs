//! Writes a request for Gemini and for Gemini models on Vertex AI. The model stands in the path.

use super::turns;
use super::{CARRIED, CONFIG, TOOL_CONFIG};
use crate::drops::Drops;
use crate::gemini::thinking::{self, Config};
use crate::ir::{Function, OutputFormat, Raw, Request, Tool, ToolChoice};
use crate::json::Obj;
use crate::names::Field;
use crate::{Dialect, Outgoing, Problem, Target};

/// Writes a request.
///
/// # Errors
/// The request has something that must not be left out and that Google's API does not take.
pub(crate) fn write_request(
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let mut drops = Drops::new(&request, target);
    let carried = CARRIED.map(|(name, carried)| (name, request.take(carried)));
    let own = own_fields(&mut request);
    drop_neutral(&request, &mut drops)?;
    let contents = turns::contents(&request, target.name, &mut drops)?;
    let instructions = turns::instructions(&request.system);
    let tools = tools(&request, &mut drops)?;
    let tool_config = tool_config(&request, &own, !tools.is_empty(), &mut drops)?;
    let config = generation_config(&request, target, &own, &mut drops)?;
    drops.judge_rest(&mut request)?;

    let mut body = Obj::new().list("contents", contents);
    if !instructions.is_empty() {
        let system = Obj::new().list("parts", instructions).end();
        body = body.raw("systemInstruction", &system);
    }
    body = body.list_if("tools", tools);
    for (name, fields) in [("toolConfig", tool_config), ("generationConfig", config)] {
        if !fields.is_empty() {
            body = body.raw(name, &fields.end());
        }
    }
    for (name, raw) in &carried {
        body = body.raw_if(name, raw.as_ref().map(|raw| raw.get()));
    }
    for (name, raw) in &own.top {
        body = body.raw(name, raw.get());
    }
    Ok(Outgoing {
        body: body.end().into_bytes(),
        dropped: drops.finish(),
        ..Outgoing::default()
    })
}

/// Fields that Google's own callers sent and that go back to their places.
#[derive(Debug, Default)]
struct Own {
    top: Vec<(String, Raw)>,
    config: Vec<(String, Raw)>,
    tool_config: Vec<(String, Raw)>,
}

fn own_fields(request: &mut Request) -> Own {
    let mut own = Own::default();
    if request.from != Dialect::Gemini {
        return own;
    }
    for (name, raw) in std::mem::take(&mut request.rest) {
        if let Some(inner) = name.strip_prefix(CONFIG) {
            own.config.push((inner.to_owned(), raw));
        } else if let Some(inner) = name.strip_prefix(TOOL_CONFIG) {
            own.tool_config.push((inner.to_owned(), raw));
        } else if name == "seed" {
            own.config.push((name, raw));
        } else {
            own.top.push((name, raw));
        }
    }
    own
}

/// Neutral fields that Google's API has nothing for.
fn drop_neutral(request: &Request, drops: &mut Drops) -> Result<(), Problem> {
    if request.end_user.is_some() {
        drops.leave_out_field(Field::EndUser, "the API does not take the end user")?;
    }
    if request
        .service_tier
        .as_deref()
        .is_some_and(|tier| tier != "auto")
    {
        drops.leave_out_field(Field::ServiceTier, "the API has no such tiers")?;
    }
    if request.parallel_tools == Some(false) {
        drops.leave_out_field(
            Field::ParallelTools,
            "the API cannot be held to one call at a time",
        )?;
    }
    Ok(())
}

fn tools(request: &Request, drops: &mut Drops) -> Result<Vec<String>, Problem> {
    let mut declarations = Vec::new();
    let mut hosted = Vec::new();
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => declarations.push(declaration(function)),
            Tool::Hosted { raw, .. } if request.from == Dialect::Gemini => {
                hosted.push(raw.get().to_owned());
            }
            Tool::Hosted { kind, .. } if kind == "mcp" => {
                return Err(drops.refuse_field(
                    Field::Tools,
                    "a remote MCP server can only be reached by the provider that offers it",
                    "remove the `mcp` tool",
                ));
            }
            Tool::Hosted { .. } => drops.leave_out_field(
                Field::Tools,
                "a tool that another provider runs cannot be called here",
            )?,
        }
    }
    let mut tools = Vec::new();
    if !declarations.is_empty() {
        tools.push(Obj::new().list("functionDeclarations", declarations).end());
    }
    tools.extend(hosted);
    Ok(tools)
}

fn declaration(function: &Function) -> String {
    let Function {
        name,
        description,
        schema: _,
        strict: _,
        freeform: _,
        cache: _,
    } = function;
    Obj::new()
        .str("name", name)
        .str_if("description", description.as_deref())
        .raw("parametersJsonSchema", function.schema())
        .end()
}

fn tool_config(
    request: &Request,
    own: &Own,
    tools: bool,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let mut out = Obj::new();
    if let Some(choice) = &request.tool_choice {
        let known = |wanted: &str| {
            request
                .tools
                .iter()
                .any(|tool| matches!(tool, Tool::Function(function) if function.name == wanted))
        };
        let calling = match choice {
            ToolChoice::Named(name) if !known(name) => {
                return Err(drops.refuse_field(
                    Field::ToolChoice,
                    &format!("there is no tool named `{name}`"),
                    "name one of `tools`",
                ));
            }
            ToolChoice::Any if !tools => {
                drops.leave_out_field(Field::ToolChoice, "there is no tool to call")?;
                None
            }
            _ if !tools => None,
            ToolChoice::Auto => Some(Obj::new().str("mode", "AUTO")),
            ToolChoice::None => Some(Obj::new().str("mode", "NONE")),
            ToolChoice::Any => Some(Obj::new().str("mode", "ANY")),
            ToolChoice::Named(name) => Some(
                Obj::new()
                    .str("mode", "ANY")
                    .texts_if("allowedFunctionNames", std::slice::from_ref(name)),
            ),
        };
        if let Some(calling) = calling {
            out = out.raw("functionCallingConfig", &calling.end());
        }
    }
    Ok(own
        .tool_config
        .iter()
        .fold(out, |out, (name, raw)| out.raw(name, raw.get())))
}

fn generation_config(
    request: &Request,
    target: &Target<'_>,
    own: &Own,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let mut out = Obj::new()
        .num_if("temperature", request.temperature.as_ref())
        .num_if("topP", request.top_p.as_ref())
        .num_if("topK", request.top_k.as_ref())
        .num_if("maxOutputTokens", request.max_output)
        .texts_if("stopSequences", &request.stop)
        .num_if("presencePenalty", request.presence_penalty.as_ref())
        .num_if("frequencyPenalty", request.frequency_penalty.as_ref());
    if let Some(alternatives) = request.logprobs {
        out = out
            .num("responseLogprobs", true)
            .num_if("logprobs", Some(alternatives).filter(|many| *many > 0));
    }
    out = match &request.output {
        None => out,
        Some(OutputFormat::Json) => out.str("responseMimeType", "application/json"),
        Some(OutputFormat::Schema {
            schema,
            name: _,
            description: _,
            strict: _,
        }) => out
            .str("responseMimeType", "application/json")
            .raw("responseJsonSchema", schema.get()),
    };
    match thinking::config(request, target.name) {
        Config::Absent => {}
        Config::Is(config) => out = out.raw("thinkingConfig", &config),
        Config::Impossible => {
            drops.leave_out_field(Field::Reasoning, "the model cannot be told to think")?;
        }
    }
    Ok(own
        .config
        .iter()
        .fold(out, |out, (name, raw)| out.raw(name, raw.get())))
}
