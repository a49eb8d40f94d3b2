//! Writes a Chat Completions request for a provider: custom servers and the vendors of OpenAI-like APIs.
//!
//! What a vendor takes stands in [`super::quirks`]. A request that came in this dialect keeps its other
//! top-level fields as they are; of another dialect's only those that mean the same here are given on.
//! Start at [`write_request`].

use super::quirks::{Quirks, Thinking};
use super::write_messages;
use crate::drops::Drops;
use crate::ir::{Effort, Function, JSON_TOOL, OutputFormat, Reasoning, Request, Tool, ToolChoice};
use crate::json::Obj;
use crate::names::Field;
use crate::{Dialect, Outgoing, Problem, Target, reasoning};

/// Fields of Responses that Chat Completions has too: the name there and here.
const PLATFORM: [(&str, &str); 5] = [
    ("metadata", "metadata"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("prompt_cache_retention", "prompt_cache_retention"),
    ("safety_identifier", "safety_identifier"),
    ("text.verbosity", "verbosity"),
];

/// Writes a request.
pub(crate) fn write_request(
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let quirks = Quirks::of(target);
    let mut drops = Drops::new(&request, target);
    let messages = write_messages::write(&request, &quirks, &mut drops)?;
    let mut body = Obj::new()
        .str("model", target.model)
        .list("messages", messages);
    let plan = plan(&request, &quirks, &mut drops)?;
    body = tools(body, &plan, &request, &quirks, &mut drops)?;
    body = sampling(body, &request, &quirks, &mut drops)?;
    if !plan.json_tool {
        body = output(body, request.output.as_ref());
    }
    if let Some(wanted) = &request.reasoning {
        let cap = request.max_output;
        body = thinking(body, wanted, cap, &quirks, &mut drops)?;
    }
    body = account(body, &request, &quirks, &mut drops)?;
    if request.stream {
        body = body.num("stream", true);
        if quirks.stream_options {
            let usage = request.include_usage.unwrap_or(true);
            body = body.raw(
                "stream_options",
                &Obj::new().num("include_usage", usage).end(),
            );
        }
    }
    body = others(body, &mut request, &quirks);
    drops.judge_rest(&mut request)?;
    Ok(Outgoing {
        body: body.end().into_bytes(),
        dropped: drops.finish(),
        betas: Vec::new(),
        json_tool: plan.json_tool,
    })
}

/// What the model may call, once it is known what the vendor takes.
struct Plan {
    tools: Vec<String>,
    choice: Option<ToolChoice>,
    json_tool: bool,
}

fn plan(request: &Request, quirks: &Quirks, drops: &mut Drops) -> Result<Plan, Problem> {
    let mut plan = Plan {
        tools: Vec::new(),
        choice: request.tool_choice.clone(),
        json_tool: false,
    };
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => plan.tools.push(self::function(function, quirks, drops)?),
            Tool::Hosted { raw, .. } if request.from == Dialect::Chat => {
                plan.tools.push(raw.get().to_owned());
            }
            Tool::Hosted { kind, .. } if kind == "mcp" => {
                return Err(drops.refuse_field(
                    Field::Tools,
                    "only OpenAI connects to servers of tools",
                    "call the server yourself and offer its tools as functions",
                ));
            }
            Tool::Hosted { .. } => {
                drops.leave_out_field(Field::Tools, "the provider does not run such a tool")?;
            }
        }
    }
    if let Some(OutputFormat::Schema {
        schema,
        description,
        ..
    }) = &request.output
        && !quirks.schema
    {
        // The schema is asked for as the arguments of a tool that the model has to call.
        let tool = Function {
            name: JSON_TOOL.to_owned(),
            description: Some(
                description
                    .clone()
                    .unwrap_or_else(|| "Gives the answer in its final form".to_owned()),
            ),
            schema: Some(schema.clone()),
            strict: None,
            freeform: false,
            cache: None,
        };
        if plan.choice == Some(ToolChoice::None) {
            plan.tools.clear();
        }
        plan.choice = match plan.choice.take() {
            Some(ToolChoice::Named(name)) => Some(ToolChoice::Named(name)),
            _ if plan.tools.is_empty() => Some(ToolChoice::Named(JSON_TOOL.to_owned())),
            _ => Some(ToolChoice::Any),
        };
        plan.tools.push(function(&tool, quirks, drops)?);
        plan.json_tool = true;
    }
    Ok(plan)
}

fn function(function: &Function, quirks: &Quirks, drops: &mut Drops) -> Result<String, Problem> {
    let mut out = Obj::new()
        .str("name", &function.name)
        .str_if("description", function.description.as_deref())
        .raw("parameters", function.schema());
    if quirks.strict {
        out = out.num_if("strict", function.strict);
    } else if function.strict == Some(true) {
        drops.leave_out(
            "tools.strict",
            "the provider does not hold calls to a schema",
        )?;
    }
    let cache = function.cache.filter(|_| quirks.cache);
    Ok(Obj::new()
        .str("type", "function")
        .raw("function", &out.end())
        .raw_if(
            "cache_control",
            cache.map(write_messages::marker).as_deref(),
        )
        .end())
}

fn tools(
    body: Obj,
    plan: &Plan,
    request: &Request,
    quirks: &Quirks,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    if plan.tools.is_empty() {
        if matches!(plan.choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
            drops.leave_out_field(Field::ToolChoice, "there is no tool left to choose")?;
        }
        return Ok(body);
    }
    let choice = plan.choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => "\"auto\"".to_owned(),
        ToolChoice::None => "\"none\"".to_owned(),
        ToolChoice::Any => "\"required\"".to_owned(),
        ToolChoice::Named(name) => Obj::new()
            .str("type", "function")
            .raw("function", &Obj::new().str("name", name).end())
            .end(),
    });
    let body = body
        .list("tools", plan.tools.iter().cloned())
        .raw_if("tool_choice", choice.as_deref());
    match request.parallel_tools {
        Some(parallel) if quirks.parallel => Ok(body.num("parallel_tool_calls", parallel)),
        Some(false) => {
            drops.leave_out_field(
                Field::ParallelTools,
                "the provider does not limit the calls of an answer",
            )?;
            Ok(body)
        }
        Some(true) | None => Ok(body),
    }
}

fn sampling(
    body: Obj,
    request: &Request,
    quirks: &Quirks,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    const UNKNOWN: &str = "its API has no such field";
    let mut body = body
        .num_if(quirks.cap, request.max_output)
        .num_if("temperature", request.temperature.as_ref())
        .num_if("top_p", request.top_p.as_ref());
    for (name, field, value, taken) in [
        ("top_k", Field::TopK, &request.top_k, quirks.top_k),
        (
            "presence_penalty",
            Field::PresencePenalty,
            &request.presence_penalty,
            quirks.penalties,
        ),
        (
            "frequency_penalty",
            Field::FrequencyPenalty,
            &request.frequency_penalty,
            quirks.penalties,
        ),
    ] {
        match value {
            Some(value) if taken => body = body.num(name, value),
            Some(_) => drops.leave_out_field(field, UNKNOWN)?,
            None => {}
        }
    }
    body = body.texts_if("stop", &request.stop);
    match request.logprobs {
        Some(alternatives) if quirks.logprobs => {
            body = body
                .num("logprobs", true)
                .num_if("top_logprobs", Some(alternatives).filter(|n| *n > 0));
        }
        Some(_) => drops.leave_out_field(Field::Logprobs, UNKNOWN)?,
        None => {}
    }
    Ok(body)
}

fn output(body: Obj, output: Option<&OutputFormat>) -> Obj {
    match output {
        None => body,
        Some(OutputFormat::Json) => body.raw(
            "response_format",
            &Obj::new().str("type", "json_object").end(),
        ),
        Some(OutputFormat::Schema {
            name,
            description,
            schema,
            strict,
        }) => {
            let wanted = Obj::new()
                .str("name", name.as_deref().unwrap_or("output"))
                .str_if("description", description.as_deref())
                .raw("schema", schema.get())
                .num_if("strict", *strict);
            let format = Obj::new()
                .str("type", "json_schema")
                .raw("json_schema", &wanted.end());
            body.raw("response_format", &format.end())
        }
    }
}

fn thinking(
    body: Obj,
    wanted: &Reasoning,
    cap: Option<u64>,
    quirks: &Quirks,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let level = reasoning::effort(wanted, cap);
    let off = level == Some(Effort::None);
    let mut unheard = |off: bool| {
        // A model that is not asked to think does what was wanted, unless its API says otherwise.
        if off && wanted.effort != Some(Effort::None) {
            return Ok(());
        }
        drops.leave_out_field(Field::Reasoning, "its API has no such setting")
    };
    match quirks.thinking {
        Thinking::Effort(words) => match level.map(|level| nearest(level, words)) {
            Some(Some(word)) => Ok(body.str("reasoning_effort", word.as_str())),
            Some(None) => unheard(off).map(|()| body),
            None => Ok(body),
        },
        // Nothing was said but how it shall be shown.
        Thinking::Switch(_) | Thinking::Router | Thinking::Unknown
            if level.is_none() && wanted.enabled != Some(true) =>
        {
            Ok(body)
        }
        Thinking::Switch(words) => {
            let state = if off { "disabled" } else { "enabled" };
            let word = level.and_then(|level| nearest(level, words));
            Ok(body
                .raw("thinking", &Obj::new().str("type", state).end())
                .str_if("reasoning_effort", word.map(Effort::as_str)))
        }
        Thinking::Router => {
            let budget = wanted.budget.and_then(|budget| u64::try_from(budget).ok());
            let object = match (off, budget, level) {
                (true, ..) => Obj::new().num("enabled", false),
                (_, Some(budget), _) => Obj::new().num("max_tokens", budget),
                (_, None, Some(Effort::Max)) => Obj::new().str("effort", Effort::XHigh.as_str()),
                (_, None, Some(level)) => Obj::new().str("effort", level.as_str()),
                (_, None, None) => Obj::new().num("enabled", true),
            };
            Ok(body.raw("reasoning", &object.end()))
        }
        Thinking::Unknown => unheard(off).map(|()| body),
    }
}

/// The word that a vendor has for a level. Thinking is not switched off for want of a word, nor on.
fn nearest(level: Effort, words: &[Effort]) -> Option<Effort> {
    if level == Effort::None {
        return words.contains(&level).then_some(level);
    }
    let rank = |one: Effort| Effort::ALL.iter().position(|other| *other == one);
    let rank = |one: Effort| rank(one).unwrap_or_default();
    words
        .iter()
        .copied()
        .filter(|word| *word != Effort::None)
        .min_by_key(|word| rank(*word).abs_diff(rank(level)))
}

/// Who asks, and on which tier.
fn account(
    mut body: Obj,
    request: &Request,
    quirks: &Quirks,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let same_words = matches!(request.from, Dialect::Chat | Dialect::Responses);
    match request.service_tier.as_deref() {
        Some(tier) if quirks.tier && same_words => body = body.str("service_tier", tier),
        Some("auto") | None => {}
        Some(_) => drops.leave_out_field(Field::ServiceTier, "the provider has no such tier")?,
    }
    match request.end_user.as_deref() {
        // What an Anthropic client calls a user is an id of a device (providers 18).
        Some(user) if quirks.user && same_words => body = body.str("user", user),
        Some(_) => drops.leave_out_field(Field::EndUser, "it is not given on to this provider")?,
        None => {}
    }
    Ok(body)
}

/// Fields without a neutral counterpart that mean the same here.
fn others(mut body: Obj, request: &mut Request, quirks: &Quirks) -> Obj {
    if request.from == Dialect::Chat {
        for (name, value) in std::mem::take(&mut request.rest) {
            body = body.raw(&name, value.get());
        }
    } else if quirks.platform {
        for (there, name) in PLATFORM {
            if let Some(value) = request.take(there) {
                body = body.raw(name, value.get());
            }
        }
    }
    if let Some(marker) = request.cache.filter(|_| quirks.cache) {
        body = body.raw("cache_control", &write_messages::marker(marker));
    }
    body
}
