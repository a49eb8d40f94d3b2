//! Reads a Messages request.
//!
//! Fields without a neutral counterpart stay in `Request::rest`, nested ones under their dotted name, so
//! that what is left out can be said. Start at [`read_request`].

use serde_json::value::RawValue;

use super::blocks::{self, cache, inside, object, required};
use super::client_tools;
use crate::ir::{
    Effort, Function, OutputFormat, Part, Reasoning, Request, Role, Text, Tool, ToolChoice, Turn,
};
use crate::json::{self, Object};
use crate::{Dialect, Problem};

/// The dialect's word for the tier that is `default` elsewhere.
pub(super) const STANDARD_ONLY: &str = "standard_only";

/// Reads a body of `POST /v1/messages` or of its token count.
///
/// # Errors
/// The body is not what the dialect allows.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, Problem> {
    let mut top = Object::of_body(body)?;
    let mut request = Request::new(Dialect::Messages);
    request.model = top.text("model")?.unwrap_or_default();
    request.stream = top.flag("stream")?.unwrap_or(false);
    request.drop_tuning = top.flag("drop_tuning_params")?.unwrap_or(true);
    if let Some(system) = top.take("system") {
        request.system = texts(system, "system")?;
    }
    let Some(messages) = top.list("messages")? else {
        return Err(Problem::bad("`messages` is missing", "messages"));
    };
    for (n, message) in messages.into_iter().enumerate() {
        read_message(&mut request, message)
            .map_err(|problem| inside(problem, &format!("messages[{n}]")))?;
    }
    for (n, entry) in top
        .list("tools")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let read = tool(entry).map_err(|problem| inside(problem, &format!("tools[{n}]")))?;
        request.tools.push(read);
    }
    if let Some(choice) = top.object("tool_choice")? {
        tool_choice(&mut request, choice).map_err(|problem| inside(problem, "tool_choice"))?;
    }
    sampling(&mut request, &mut top)?;
    request.reasoning = reasoning(&mut request, &mut top)?;
    if let Some(mut metadata) = top.object("metadata")? {
        request.end_user = metadata
            .text("user_id")
            .map_err(|problem| inside(problem, "metadata"))?;
        keep_rest(&mut request, metadata, "metadata");
    }
    request.service_tier = top.text("service_tier")?.map(|tier| match tier.as_str() {
        STANDARD_ONLY => "default".to_owned(),
        _ => tier,
    });
    request.cache = cache(&mut top)?;
    // How Bedrock and Vertex name the version and the betas; elsewhere these are headers.
    for protocol in ["anthropic_version", "anthropic_beta"] {
        top.take(protocol);
    }
    request.rest.extend(top.rest());
    Ok(request)
}

/// Keeps what was not taken of a nested object under its dotted name.
fn keep_rest(request: &mut Request, object: Object<'_>, outer: &str) {
    let named = object.rest().into_iter();
    request
        .rest
        .extend(named.map(|(key, raw)| (format!("{outer}.{key}"), raw)));
}

/// Reads instructions: a text or a list of text blocks.
fn texts(raw: &RawValue, at: &str) -> Result<Vec<Part>, Problem> {
    if let Some(text) = json::text(raw) {
        return Ok(vec![Part::text(text)]);
    }
    let Ok(blocks) = json::list(raw, at) else {
        let message = format!("`{at}` must be a string or a list of text blocks");
        return Err(Problem::bad(message, at));
    };
    let read = blocks.into_iter().enumerate().map(|(n, raw)| {
        text_block(raw)
            .map(Part::Text)
            .map_err(|problem| inside(problem, &format!("{at}[{n}]")))
    });
    read.collect()
}

fn text_block(raw: &RawValue) -> Result<Text, Problem> {
    let mut block = object(raw, "a text block")?;
    match required(&mut block, "type")?.as_str() {
        "text" => blocks::text(block),
        other => Err(Problem::bad(
            format!("instructions have text blocks only, not `{other}`"),
            "type",
        )),
    }
}

fn read_message(request: &mut Request, raw: &RawValue) -> Result<(), Problem> {
    let mut message = object(raw, "a message")?;
    let role = required(&mut message, "role")?;
    let Some(content) = message.take("content") else {
        return Err(Problem::bad("`content` is missing", "content"));
    };
    let role = match role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Instructions between the turns stand with the others elsewhere.
        "system" => {
            request.system.extend(texts(content, "content")?);
            return Ok(());
        }
        other => {
            let message = format!("the role `{other}` is not known");
            return Err(Problem::bad(message, "role"));
        }
    };
    let parts = blocks::content(content, 0)?;
    request.turns.push(Turn { role, parts });
    Ok(())
}

fn tool(raw: &RawValue) -> Result<Tool, Problem> {
    let mut entry = object(raw, "a tool")?;
    let kind = entry.text("type")?;
    let kind = kind.as_deref().unwrap_or("custom");
    if kind != "custom" {
        let display = entry
            .count("display_width_px")?
            .zip(entry.count("display_height_px")?);
        let name = entry.text("name")?.unwrap_or_else(|| kind.to_owned());
        return Ok(match client_tools::function(kind, name, display) {
            Some(mut function) => {
                function.cache = cache(&mut entry)?;
                Tool::Function(function)
            }
            None => Tool::Hosted {
                kind: kind.to_owned(),
                raw: raw.to_owned(),
            },
        });
    }
    let name = required(&mut entry, "name")?;
    let schema = entry.take("input_schema");
    if let Some(schema) = schema
        && !schema.get().starts_with('{')
    {
        let message = "`input_schema` must be an object";
        return Err(Problem::bad(message, "input_schema"));
    }
    Ok(Tool::Function(Function {
        name,
        description: entry.text("description")?,
        schema: schema.map(ToOwned::to_owned),
        strict: entry.flag("strict")?,
        freeform: false,
        cache: cache(&mut entry)?,
    }))
}

fn tool_choice(request: &mut Request, mut choice: Object<'_>) -> Result<(), Problem> {
    let kind = required(&mut choice, "type")?;
    request.tool_choice = Some(match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(required(&mut choice, "name")?),
        other => {
            let message = format!("tool choices of type `{other}` are not known");
            return Err(Problem::bad(message, "type"));
        }
    });
    let alone = choice.flag("disable_parallel_tool_use")?;
    request.parallel_tools = alone.map(|alone| !alone);
    Ok(())
}

fn sampling(request: &mut Request, top: &mut Object<'_>) -> Result<(), Problem> {
    request.max_output = top.count("max_tokens")?;
    request.temperature = top.number("temperature")?;
    request.top_p = top.number("top_p")?;
    request.top_k = top.number("top_k")?;
    for (n, raw) in top
        .list("stop_sequences")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let text = json::text(raw).ok_or_else(|| {
            let at = format!("stop_sequences[{n}]");
            Problem::bad(format!("`{at}` must be a string"), at)
        })?;
        request.stop.push(text);
    }
    Ok(())
}

/// Takes `thinking`, `output_config` and the older `output_format`.
fn reasoning(request: &mut Request, top: &mut Object<'_>) -> Result<Option<Reasoning>, Problem> {
    let mut reasoning = None;
    if let Some(thinking) = top.object("thinking")? {
        let read = read_thinking(thinking).map_err(|problem| inside(problem, "thinking"))?;
        reasoning = Some(read);
    }
    if let Some(raw) = top.take("output_format") {
        request.output = Some(output_format(raw, "output_format")?);
    }
    let Some(mut config) = top.object("output_config")? else {
        return Ok(reasoning);
    };
    if let Some(raw) = config.take("format") {
        request.output = Some(output_format(raw, "output_config.format")?);
    }
    let effort = config.text("effort");
    let effort = effort.map_err(|problem| inside(problem, "output_config"))?;
    if let Some(word) = effort {
        let effort = Effort::parse(&word).ok_or_else(|| {
            let message = format!("the effort `{word}` is not known");
            Problem::bad(message, "output_config.effort")
        })?;
        reasoning.get_or_insert_default().effort = Some(effort);
    }
    // Chat callers give it at the top level (providers 13).
    if let Some(budget) = config.take("task_budget") {
        let budget = budget.to_owned();
        request.rest.push(("task_budget".to_owned(), budget));
    }
    keep_rest(request, config, "output_config");
    Ok(reasoning)
}

fn read_thinking(mut thinking: Object<'_>) -> Result<Reasoning, Problem> {
    let kind = required(&mut thinking, "type")?;
    let enabled = match kind.as_str() {
        "enabled" | "adaptive" => true,
        "disabled" => false,
        other => {
            let message = format!("thinking of type `{other}` is not known");
            return Err(Problem::bad(message, "type"));
        }
    };
    let budget = thinking.count("budget_tokens")?;
    let display = thinking.text("display")?;
    Ok(Reasoning {
        effort: None,
        // More than fits is more than any model has.
        budget: budget
            .filter(|_| enabled)
            .map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX)),
        enabled: Some(enabled),
        summary: display
            .filter(|display| display == "summarized")
            .map(|_| "auto".to_owned()),
    })
}

fn output_format(raw: &RawValue, at: &str) -> Result<OutputFormat, Problem> {
    let read = |raw| {
        let mut format = object(raw, "a format")?;
        match required(&mut format, "type")?.as_str() {
            "json_schema" => {
                let schema = format.take("schema");
                let schema = schema.filter(|schema| schema.get().starts_with('{'));
                let schema =
                    schema.ok_or_else(|| Problem::bad("`schema` must be an object", "schema"))?;
                Ok(OutputFormat::Schema {
                    name: None,
                    description: None,
                    schema: schema.to_owned(),
                    strict: None,
                })
            }
            other => {
                let message = format!("formats of type `{other}` are not known");
                Err(Problem::bad(message, "type"))
            }
        }
    };
    read(raw).map_err(|problem| inside(problem, at))
}

#[cfg(test)]
mod tests;
