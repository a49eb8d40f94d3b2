//! Content blocks of a request, read into parts.
//!
//! What carries content and is unknown is refused with its place; blocks of tools that Anthropic runs are
//! kept whole. Start at [`content`].

use serde_json::value::RawValue;

use super::{citation, hosted};
use crate::Problem;
use crate::ir::{CacheMarker, Media, Part, Source, Text, Thinking, ToolCall, ToolResult};
use crate::json::{self, Object};
use crate::signature::{Origin, Signature};

/// Puts the path of what surrounds it before a problem's own.
pub(super) fn inside(problem: Problem, outer: &str) -> Problem {
    match problem {
        Problem::Bad { message, param } if param.is_empty() => Problem::bad(message, outer),
        Problem::Bad { message, param } => Problem::bad(message, format!("{outer}.{param}")),
        unsupported @ Problem::Unsupported { .. } => unsupported,
    }
}

/// Reads an entry of a list, which must be an object.
pub(super) fn object<'a>(raw: &'a RawValue, what: &str) -> Result<Object<'a>, Problem> {
    Object::read(raw, what).map_err(|problem| Problem::bad(problem.to_string(), ""))
}

/// Takes a text that must be there.
pub(super) fn required(object: &mut Object<'_>, key: &str) -> Result<String, Problem> {
    let text = object.text(key)?;
    text.ok_or_else(|| Problem::bad(format!("`{key}` is missing"), key))
}

/// Takes `cache_control`.
pub(super) fn cache(object: &mut Object<'_>) -> Result<Option<CacheMarker>, Problem> {
    let Some(mut marker) = object.object("cache_control")? else {
        return Ok(None);
    };
    let ttl = marker
        .text("ttl")
        .map_err(|problem| inside(problem, "cache_control"))?;
    Ok(Some(CacheMarker::of(marker.get("type"), ttl.as_deref())))
}

/// How deep content may stand in content: a turn, a tool's result in it, a document in that.
const DEEPEST: usize = 2;

/// Reads what may stand under `content`: a text or a list of blocks. `depth` is how many contents this one
/// stands in.
pub(super) fn content(raw: &RawValue, depth: usize) -> Result<Vec<Part>, Problem> {
    if depth > DEEPEST {
        return Err(Problem::bad("blocks are nested too deeply", "content"));
    }
    if let Some(text) = json::text(raw) {
        return Ok(vec![Part::text(text)]);
    }
    let Ok(blocks) = json::list(raw, "content") else {
        let message = "`content` must be a string or a list of blocks";
        return Err(Problem::bad(message, "content"));
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (n, raw) in blocks.into_iter().enumerate() {
        block(raw, depth, &mut parts)
            .map_err(|problem| inside(problem, &format!("content[{n}]")))?;
    }
    Ok(parts)
}

/// Reads one block; some become several parts.
fn block(raw: &RawValue, depth: usize, parts: &mut Vec<Part>) -> Result<(), Problem> {
    let mut block = object(raw, "a content block")?;
    let kind = required(&mut block, "type")?;
    match kind.as_str() {
        "text" => parts.push(Part::Text(text(block)?)),
        "image" => parts.push(Part::Image(image(block)?)),
        "document" => document(block, depth, parts)?,
        "search_result" => parts.push(Part::Document(search_result(block, depth)?)),
        "tool_use" => parts.push(Part::ToolCall(tool_call(block)?)),
        "tool_result" => parts.push(Part::ToolResult(tool_result(block, depth)?)),
        "thinking" => {
            let signature = block.text("signature")?.filter(|text| !text.is_empty());
            let seal = signature.map(|text| Signature::read_marked(&text, Origin::Anthropic));
            parts.push(Part::Thinking(Thinking {
                text: block.text("thinking")?.unwrap_or_default(),
                redacted: seal.as_ref().is_some_and(|(_, redacted)| *redacted),
                signature: seal.map(|(seal, _)| seal),
                id: None,
            }));
        }
        "redacted_thinking" => parts.push(Part::Thinking(Thinking {
            signature: Some(Signature::read(
                &required(&mut block, "data")?,
                Origin::Anthropic,
            )),
            redacted: true,
            ..Thinking::default()
        })),
        // A summary stands for the turns before it; a tool that was searched for is one among all.
        "compaction" => parts.push(Part::text(block.text("content")?.unwrap_or_default())),
        "tool_reference" => parts.push(Part::text(required(&mut block, "tool_name")?)),
        kind if hosted::is_hosted_block(kind) => parts.push(Part::Hosted {
            kind: kind.to_owned(),
            raw: raw.to_owned(),
        }),
        kind => {
            let message = format!("content blocks of type `{kind}` are not known");
            return Err(Problem::bad(message, "type"));
        }
    }
    Ok(())
}

/// Reads a text block.
pub(super) fn text(mut block: Object<'_>) -> Result<Text, Problem> {
    Ok(Text {
        text: required(&mut block, "text")?,
        cache: cache(&mut block)?,
        citations: citation::read_all(block.take("citations")),
        signature: None,
    })
}

fn image(mut block: Object<'_>) -> Result<Media, Problem> {
    let mut media = Media::new(source(&mut block)?);
    media.cache = cache(&mut block)?;
    Ok(media)
}

/// Takes `source` where it is bytes, an address or a file.
fn source(block: &mut Object<'_>) -> Result<Source, Problem> {
    let Some(source) = block.object("source")? else {
        return Err(Problem::bad("`source` is missing", "source"));
    };
    read_source(source).map_err(|problem| inside(problem, "source"))
}

fn read_source(mut source: Object<'_>) -> Result<Source, Problem> {
    let kind = required(&mut source, "type")?;
    match kind.as_str() {
        "base64" => Ok(Source::Inline {
            media_type: required(&mut source, "media_type")?,
            data: required(&mut source, "data")?,
        }),
        "text" => Ok(Source::Text(required(&mut source, "data")?)),
        "url" => Ok(Source::Url(required(&mut source, "url")?)),
        "file" => Ok(Source::File(required(&mut source, "file_id")?)),
        other => {
            let message = format!("sources of type `{other}` are not known");
            Err(Problem::bad(message, "type"))
        }
    }
}

/// A document. One that is made of blocks becomes its text, and its images follow.
fn document(mut block: Object<'_>, depth: usize, parts: &mut Vec<Part>) -> Result<(), Problem> {
    let blocks = block
        .get("source")
        .and_then(|raw| Object::read(raw, "source").ok())
        .filter(|source| {
            source
                .get("type")
                .is_some_and(|raw| raw.get() == "\"content\"")
        });
    let (from, images) = match blocks {
        Some(blocks) => made_of_blocks(&blocks, depth)?,
        None => (source(&mut block)?, Vec::new()),
    };
    let mut media = Media::new(from);
    media.name = block.text("title")?;
    media.citations = wants_citations(&mut block)?;
    media.cache = cache(&mut block)?;
    // What is said about a document comes before it.
    if let Some(context) = block.text("context")? {
        parts.push(Part::text(context));
    }
    parts.push(Part::Document(media));
    parts.extend(images);
    Ok(())
}

fn made_of_blocks(source: &Object<'_>, depth: usize) -> Result<(Source, Vec<Part>), Problem> {
    let Some(raw) = source.get("content") else {
        return Err(Problem::bad("`content` is missing", "source.content"));
    };
    let parts = content(raw, depth + 1).map_err(|problem| inside(problem, "source"))?;
    let (text, images) = split_text(parts);
    Ok((Source::Text(text), images))
}

/// The texts of some parts, one after the other, and what is left.
fn split_text(parts: Vec<Part>) -> (String, Vec<Part>) {
    let mut texts = Vec::new();
    let mut others = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => texts.push(text.text),
            other => others.push(other),
        }
    }
    (texts.join("\n\n"), others)
}

fn wants_citations(block: &mut Object<'_>) -> Result<bool, Problem> {
    let Some(mut citations) = block.object("citations")? else {
        return Ok(false);
    };
    let enabled = citations.flag("enabled");
    let enabled = enabled.map_err(|problem| inside(problem, "citations"))?;
    Ok(enabled.unwrap_or(false))
}

/// A search result is a small document that says where it is from.
fn search_result(mut block: Object<'_>, depth: usize) -> Result<Media, Problem> {
    let from = required(&mut block, "source")?;
    let parts = block.take("content").map(|raw| content(raw, depth + 1));
    let parts = parts.transpose()?;
    let (text, _) = split_text(parts.unwrap_or_default());
    let mut media = Media::new(Source::Text(format!("Source: {from}\n\n{text}")));
    media.name = block.text("title")?;
    media.citations = wants_citations(&mut block)?;
    media.cache = cache(&mut block)?;
    Ok(media)
}

fn tool_call(mut block: Object<'_>) -> Result<ToolCall, Problem> {
    Ok(ToolCall {
        id: required(&mut block, "id")?,
        name: required(&mut block, "name")?,
        arguments: block
            .take("input")
            .map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned()),
        freeform: false,
        signature: None,
        cache: cache(&mut block)?,
    })
}

fn tool_result(mut block: Object<'_>, depth: usize) -> Result<ToolResult, Problem> {
    Ok(ToolResult {
        call_id: required(&mut block, "tool_use_id")?,
        name: None,
        content: match block.take("content") {
            Some(raw) => content(raw, depth + 1)?,
            None => Vec::new(),
        },
        is_error: block.flag("is_error")?.unwrap_or(false),
        freeform: false,
        cache: cache(&mut block)?,
    })
}
