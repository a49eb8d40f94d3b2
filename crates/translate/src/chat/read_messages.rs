//! Reads `messages`: roles, content parts, tool calls and what the model thought.
//!
//! Instructions of any position go to the system list in order; every other message becomes a turn. A part
//! that holds content and is not known is an error that names it, because leaving it out would change what
//! was said.

use serde_json::value::RawValue;

use super::details;
use super::node::Node;
use crate::Problem;
use crate::ir::{
    CacheMarker, Media, Part, Request, Role, Source, Text, Thinking, ToolCall, ToolResult, Turn,
};
use crate::json::{is_text, list, text};
use crate::media::source_of;
use crate::signature::{Origin, Signature};

/// Reads the list into `request`.
pub(super) fn read(request: &mut Request, messages: &[&RawValue]) -> Result<(), Problem> {
    for (n, raw) in messages.iter().enumerate() {
        let mut message = Node::read(raw, format!("messages[{n}]"))?;
        let role = message.required("role")?;
        let turn = match role.as_str() {
            "system" | "developer" => {
                request.system.extend(system(&mut message)?);
                continue;
            }
            "user" => Turn {
                role: Role::User,
                parts: user(&mut message)?,
            },
            "assistant" => Turn {
                role: Role::Assistant,
                parts: assistant(&mut message)?,
            },
            "tool" => Turn {
                role: Role::User,
                parts: vec![Part::ToolResult(tool(&mut message)?)],
            },
            "function" => {
                return Err(message.bad(
                    "role",
                    "is the old form of a tool's result: use a `tool` message",
                ));
            }
            _ => {
                return Err(message.bad(
                    "role",
                    "must be one of system, developer, user, assistant, tool",
                ));
            }
        };
        request.turns.push(turn);
    }
    Ok(())
}

fn system(message: &mut Node<'_>) -> Result<Vec<Part>, Problem> {
    let parts = user(message)?;
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        Ok(parts)
    } else {
        Err(message.bad("content", "of this role must be text"))
    }
}

fn user(message: &mut Node<'_>) -> Result<Vec<Part>, Problem> {
    let mut parts = content(message)?;
    mark_last(&mut parts, message.cache()?);
    Ok(parts)
}

fn tool(message: &mut Node<'_>) -> Result<ToolResult, Problem> {
    Ok(ToolResult {
        call_id: message.required("tool_call_id")?,
        name: message.text("name")?,
        content: content(message)?,
        is_error: false,
        freeform: false,
        cache: message.cache()?,
    })
}

/// Thinking, text, calls: the order inside an answer (providers 15.1).
fn assistant(message: &mut Node<'_>) -> Result<Vec<Part>, Problem> {
    if message.has("function_call") {
        return Err(message.bad(
            "function_call",
            "is the old form of a call: use `tool_calls`",
        ));
    }
    let mut calls = calls(message)?;
    let mut parts: Vec<Part> = thinking(message, &mut calls)?
        .into_iter()
        .map(Part::Thinking)
        .collect();
    parts.extend(content(message)?);
    if let Some(refusal) = message.text("refusal")?.filter(|text| !text.is_empty()) {
        parts.push(Part::Refusal(refusal));
    }
    parts.extend(calls.into_iter().map(Part::ToolCall));
    mark_last(&mut parts, message.cache()?);
    Ok(parts)
}

/// What was thought. Seals that name a call go to it; the plain texts repeat the list and count only where
/// there is none.
fn thinking(message: &mut Node<'_>, calls: &mut [ToolCall]) -> Result<Vec<Thinking>, Problem> {
    let plain = message.text("reasoning")?;
    let plain = plain.or(message.text("reasoning_content")?);
    let entries = message.list("reasoning_details")?.unwrap_or_default();
    let mut found = Vec::new();
    for detail in details::read(&entries) {
        let call = detail
            .call()
            .and_then(|id| calls.iter_mut().find(|call| call.id == id));
        match call {
            Some(call) => call.signature = call.signature.take().or(detail.seal),
            None => found.push(Thinking::from(detail)),
        }
    }
    let said = found.iter().any(|one| !one.text.is_empty());
    if let Some(text) = plain.filter(|text| !said && !text.is_empty()) {
        // Seals without text belong to what was thought, when there is one of them.
        match found.as_mut_slice() {
            [only] if !only.redacted => only.text = text,
            _ => found.insert(
                0,
                Thinking {
                    text,
                    ..Thinking::default()
                },
            ),
        }
    }
    Ok(found)
}

fn calls(message: &mut Node<'_>) -> Result<Vec<ToolCall>, Problem> {
    let at = message.at("tool_calls");
    let entries = message.list("tool_calls")?.unwrap_or_default();
    let read = entries
        .iter()
        .enumerate()
        .map(|(n, raw)| call(Node::read(raw, format!("{at}[{n}]"))?));
    read.collect()
}

fn call(mut entry: Node<'_>) -> Result<ToolCall, Problem> {
    let id = entry.required("id")?;
    let kind = entry.text("type")?;
    let freeform = kind.as_deref() == Some("custom");
    let (name, arguments) = if freeform {
        let mut custom = entry.required_node("custom")?;
        (
            custom.required("name")?,
            custom.text("input")?.unwrap_or_default(),
        )
    } else if entry.has("function") {
        let mut function = entry.required_node("function")?;
        let arguments = match function.take("arguments") {
            None => String::new(),
            Some(raw) if raw.get().starts_with('{') => raw.get().to_owned(),
            Some(raw) => text(raw).ok_or_else(|| function.bad("arguments", "must be a string"))?,
        };
        (function.required("name")?, arguments)
    } else {
        return Err(entry.bad("function", "is missing: it must be an object"));
    };
    Ok(ToolCall {
        id,
        name,
        arguments,
        freeform,
        signature: google_seal(entry.take("extra_content")),
        cache: entry.cache()?,
    })
}

/// The seal in a call's `extra_content.google.thought_signature`.
pub(super) fn google_seal(extra: Option<&RawValue>) -> Option<Signature> {
    #[derive(serde::Deserialize)]
    struct Extra {
        google: Google,
    }
    #[derive(serde::Deserialize)]
    struct Google {
        thought_signature: String,
    }
    let extra: Extra = serde_json::from_str(extra?.get()).ok()?;
    let seal = extra.google.thought_signature;
    (!seal.is_empty()).then(|| Signature::read(&seal, Origin::Google))
}

fn content(message: &mut Node<'_>) -> Result<Vec<Part>, Problem> {
    let at = message.at("content");
    let Some(raw) = message.take("content") else {
        return Ok(Vec::new());
    };
    if is_text(raw) {
        return Ok(text(raw).map(Part::text).into_iter().collect());
    }
    if !raw.get().starts_with('[') {
        return Err(message.bad("content", "must be a string or a list of parts"));
    }
    let parts = list(raw, &at)?;
    let read = parts
        .iter()
        .enumerate()
        .map(|(n, raw)| part(Node::read(raw, format!("{at}[{n}]"))?));
    read.collect()
}

fn part(mut entry: Node<'_>) -> Result<Part, Problem> {
    let kind = entry.required("type")?;
    let cache = entry.cache()?;
    let with_cache = |source| Media {
        cache,
        ..Media::new(source)
    };
    match kind.as_str() {
        "text" => Ok(Part::Text(Text {
            text: entry.required("text")?,
            cache,
            ..Text::default()
        })),
        "refusal" => Ok(Part::Refusal(entry.required("refusal")?)),
        "image_url" => {
            let at = entry.at("image_url");
            let Some(raw) = entry.take("image_url") else {
                return Err(entry.bad("image_url", "is missing: it must be an object"));
            };
            if let Some(url) = text(raw) {
                return Ok(Part::Image(with_cache(source_of(&url))));
            }
            let mut image = Node::read(raw, at)?;
            Ok(Part::Image(Media {
                detail: image.text("detail")?,
                ..with_cache(source_of(&image.required("url")?))
            }))
        }
        "input_audio" => {
            let mut audio = entry.required_node("input_audio")?;
            let data = audio.required("data")?;
            let format = audio.required("format")?;
            let media_type = match format.as_str() {
                "mp3" => "audio/mpeg".to_owned(),
                other => format!("audio/{other}"),
            };
            Ok(Part::Audio(with_cache(Source::Inline { media_type, data })))
        }
        "file" => {
            let mut file = entry.required_node("file")?;
            let name = file.text("filename")?;
            let data = file.text("file_data")?;
            let source = match (data, file.text("file_id")?) {
                (Some(data), _) => file_source(data, name.as_deref()),
                (None, Some(id)) => Source::File(id),
                (None, None) => {
                    return Err(file.bad("file_data", "is missing, and so is `file_id`"));
                }
            };
            let media = Media {
                name,
                ..with_cache(source)
            };
            Ok(match &media.source {
                Source::Inline { media_type, .. } if media_type.starts_with("image/") => {
                    Part::Image(media)
                }
                Source::Inline { media_type, .. } if media_type.starts_with("audio/") => {
                    Part::Audio(media)
                }
                _ => Part::Document(media),
            })
        }
        other => {
            let path = entry.path();
            Err(Problem::bad(
                format!("`{path}` has the type `{other}`, which no message can have"),
                entry.at("type"),
            ))
        }
    }
}

/// A file comes as a data URI, as an address (some vendors take that), or as bare base64.
fn file_source(data: String, name: Option<&str>) -> Source {
    match source_of(&data) {
        Source::Url(url) if !url.contains(':') => Source::Inline {
            media_type: media_type_of(name).to_owned(),
            data,
        },
        source => source,
    }
}

fn media_type_of(name: Option<&str>) -> &'static str {
    let ending = name.and_then(|name| name.rsplit_once('.')).map(|(_, e)| e);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html") => "text/html",
        _ => "application/pdf",
    }
}

/// A marker on a whole message stands behind its last part.
fn mark_last(parts: &mut [Part], marker: Option<CacheMarker>) {
    let (Some(marker), Some(last)) = (marker, parts.last_mut()) else {
        return;
    };
    if let Some(place) = last.cache_mut() {
        *place = place.or(Some(marker));
    }
}
