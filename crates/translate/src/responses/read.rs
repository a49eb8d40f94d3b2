//! Reads a caller's request.

use crate::ir::{CacheMarker, Effort, OutputFormat, Part, Raw, Reasoning, Request};
use crate::json::{self, Object};
use crate::{Dialect, Problem};
use serde_json::value::RawValue;

use super::items::Conversation;
use super::{envelope, tools, under};

/// Reads a request.
///
/// # Errors
/// The body is not what the dialect allows, or it asks for something that only the provider's own state
/// could answer (`item_reference`, MCP servers).
pub(crate) fn read_request(body: &[u8]) -> Result<Request, Problem> {
    let mut object = Object::of_body(body)?;
    let mut request = Request::new(Dialect::Responses);
    request.echo = envelope::echo_of(&object);
    request.model = object.text("model")?.unwrap_or_default();
    request.stream = object.flag("stream")?.unwrap_or(false);
    // It only says how the provider's own frames are padded.
    object.take("stream_options");
    request.drop_tuning = object.flag("drop_tuning_params")?.unwrap_or(true);
    if let Some(text) = object.text("instructions")? {
        request.system.push(Part::text(text));
    }
    conversation(&mut object, &mut request)?;
    let (choice, allowed) = tools::choice(&mut object, &mut request.rest)?;
    request.tool_choice = choice;
    if let Some(allowed) = allowed {
        request.tools.retain(|tool| allowed.holds(tool));
    }
    request.parallel_tools = object.flag("parallel_tool_calls")?;
    request.max_output = object.count("max_output_tokens")?;
    request.temperature = object.number("temperature")?;
    request.top_p = object.number("top_p")?;
    request.service_tier = object.text("service_tier")?;
    request.end_user = object.text("user")?;
    request.cache = object
        .object("cache_control")?
        .as_ref()
        .map(cache_marker_of);
    request.logprobs = logprobs(&mut object)?;
    request.output = output_format(&mut object, &mut request.rest)?;
    request.reasoning = reasoning(&mut object, &mut request.rest)?;
    request.rest.extend(object.rest());
    Ok(request)
}

fn conversation(object: &mut Object<'_>, request: &mut Request) -> Result<(), Problem> {
    let mut conversation = Conversation::default();
    for (n, raw) in object.list("tools")?.unwrap_or_default().iter().enumerate() {
        tools::read(raw, &format!("tools[{n}]"), None, &mut conversation.tools)?;
    }
    match object.take("input") {
        Some(raw) if json::is_text(raw) => {
            conversation.user(vec![Part::text(json::text(raw).unwrap_or_default())]);
        }
        Some(raw) => {
            for (n, item) in json::list(raw, "input")?.iter().enumerate() {
                conversation.item(item, &format!("input[{n}]"))?;
            }
        }
        // A stored prompt stands for the input; it is refused by name later.
        None if object.has("prompt") => {}
        None => return Err(Problem::bad("`input` is missing", "input")),
    }
    let Conversation {
        system,
        turns,
        tools,
    } = conversation;
    request.system.extend(system);
    request.turns = turns;
    request.tools = tools;
    Ok(())
}

/// A marker in Anthropic's spelling.
pub(super) fn cache_marker_of(object: &Object<'_>) -> CacheMarker {
    let ttl = object.get("ttl").and_then(json::text);
    CacheMarker {
        one_hour: ttl.as_deref() == Some("1h"),
    }
}

fn logprobs(object: &mut Object<'_>) -> Result<Option<u64>, Problem> {
    let alternatives = object.count("top_logprobs")?;
    // `include` stays: a provider of this dialect is given all of it.
    let included = object
        .get("include")
        .map_or(Ok(Vec::new()), |raw| json::list(raw, "include"))?;
    let wanted = included
        .iter()
        .any(|word| json::text(word).as_deref() == Some("message.output_text.logprobs"));
    Ok(match alternatives {
        Some(0) | None if !wanted => None,
        count => Some(count.unwrap_or(0)),
    })
}

fn output_format(
    object: &mut Object<'_>,
    rest: &mut Vec<(String, Raw)>,
) -> Result<Option<OutputFormat>, Problem> {
    let Some(mut text) = object.object("text")? else {
        return Ok(None);
    };
    let format = under("text", text.object("format"))?;
    keep_rest("text", text, rest);
    let Some(mut format) = format else {
        return Ok(None);
    };
    let at = "text.format";
    match under(at, format.text("type"))?.as_deref() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(OutputFormat::Json)),
        Some("json_schema") => {
            let schema = format.take("schema").ok_or_else(|| {
                Problem::bad("`text.format.schema` is missing", "text.format.schema")
            })?;
            Ok(Some(OutputFormat::Schema {
                name: under(at, format.text("name"))?,
                description: under(at, format.text("description"))?,
                schema: schema.to_owned(),
                strict: under(at, format.flag("strict"))?,
            }))
        }
        _ => Err(Problem::bad(
            "`text.format.type` must be `text`, `json_object` or `json_schema`",
            "text.format.type",
        )),
    }
}

fn reasoning(
    object: &mut Object<'_>,
    rest: &mut Vec<(String, Raw)>,
) -> Result<Option<Reasoning>, Problem> {
    let Some(mut wanted) = object.object("reasoning")? else {
        return Ok(None);
    };
    let effort = match under("reasoning", wanted.text("effort"))? {
        None => None,
        Some(word) => Some(Effort::parse(&word).ok_or_else(|| {
            let words: Vec<&str> = Effort::ALL.into_iter().map(Effort::as_str).collect();
            Problem::bad(
                format!("`reasoning.effort` must be one of {}", words.join(", ")),
                "reasoning.effort",
            )
        })?),
    };
    let old_summary = under("reasoning", wanted.text("generate_summary"))?;
    let summary = under("reasoning", wanted.text("summary"))?.or(old_summary);
    keep_rest("reasoning", wanted, rest);
    if effort.is_none() && summary.is_none() {
        return Ok(None);
    }
    Ok(Some(Reasoning {
        effort,
        summary,
        ..Reasoning::default()
    }))
}

/// What a nested object holds beyond the neutral form, by its path.
fn keep_rest(path: &str, object: Object<'_>, rest: &mut Vec<(String, Raw)>) {
    let named = object.rest().into_iter();
    rest.extend(named.map(|(key, value)| (format!("{path}.{key}"), value)));
}

/// Any value that must be a text.
pub(super) fn required_text(
    object: &mut Object<'_>,
    key: &str,
    at: &str,
) -> Result<String, Problem> {
    under(at, object.text(key))?
        .ok_or_else(|| Problem::bad(format!("`{at}.{key}` is missing"), format!("{at}.{key}")))
}

/// A text, or any other JSON as it is written.
pub(super) fn text_or_json(raw: &RawValue) -> String {
    json::text(raw).unwrap_or_else(|| raw.get().to_owned())
}
