//! Reads the items of `input` into turns.
//!
//! Items of one assistant turn (thinking, texts, calls) stand one after the other and become one turn;
//! outputs that follow one another become one user turn, which a user message behind them joins
//! (providers 15.1).

use serde_json::value::RawValue;

use crate::Problem;
use crate::ir::{
    CacheMarker, Citation, Media, Part, Role, Source, Text, Thinking, Tool, ToolCall, ToolResult,
    Turn,
};
use crate::json::{self, Object};
use crate::media;
use crate::signature::{Origin, Signature};

use super::read::{cache_marker_of, required_text, text_or_json};
use super::{tools, under};

/// Items that only the provider's own tools make: the model's side.
const HOSTED_CALLS: [&str; 14] = [
    "web_search_call",
    "file_search_call",
    "computer_call",
    "image_generation_call",
    "code_interpreter_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "tool_search_call",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "program",
    "program_output",
];

/// The caller's side of them.
const HOSTED_OUTPUTS: [&str; 6] = [
    "computer_call_output",
    "local_shell_call_output",
    "shell_call_output",
    "apply_patch_call_output",
    "tool_search_output",
    "mcp_approval_response",
];

/// Items that stand for what only the provider has.
const STATE: [&str; 2] = ["compaction", "compaction_trigger"];

/// What has been read.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Texts of system and developer messages.
    pub(super) system: Vec<Part>,
    /// The turns.
    pub(super) turns: Vec<Turn>,
    /// Tools, also those that an item adds.
    pub(super) tools: Vec<Tool>,
}

impl Conversation {
    /// Adds a part to the assistant's turn.
    fn assistant(&mut self, part: Part) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == Role::Assistant => turn.parts.push(part),
            _ => self.turns.push(Turn {
                role: Role::Assistant,
                parts: vec![part],
            }),
        }
    }

    /// Whether the newest turn holds nothing but results.
    fn has_results_only(&mut self) -> Option<&mut Turn> {
        self.turns.last_mut().filter(|turn| {
            let result = |part: &Part| matches!(part, Part::ToolResult(_) | Part::Hosted { .. });
            turn.role == Role::User && !turn.parts.is_empty() && turn.parts.iter().all(result)
        })
    }

    /// Adds a user's message, which joins the results before it.
    pub(super) fn user(&mut self, parts: Vec<Part>) {
        match self.has_results_only() {
            Some(turn) => turn.parts.extend(parts),
            None => self.turns.push(Turn {
                role: Role::User,
                parts,
            }),
        }
    }

    /// Reads one item. `at` is its path.
    pub(super) fn item(&mut self, raw: &RawValue, at: &str) -> Result<(), Problem> {
        let mut object = Object::read(raw, at)?;
        let kind = under(at, object.text("type"))?;
        let kind = match kind.as_deref() {
            Some(kind) => kind,
            None if object.has("role") => "message",
            None if object.has("id") => "item_reference",
            None => {
                return Err(Problem::bad(
                    format!("`{at}.type` is missing"),
                    format!("{at}.type"),
                ));
            }
        };
        match kind {
            "message" => self.message(object, at)?,
            "reasoning" => self.assistant(Part::Thinking(thinking(&mut object, at)?)),
            "function_call" => self.assistant(Part::ToolCall(call(&mut object, at, false)?)),
            "custom_tool_call" => self.assistant(Part::ToolCall(call(&mut object, at, true)?)),
            "function_call_output" => self.result(&mut object, at, false)?,
            "custom_tool_call_output" => self.result(&mut object, at, true)?,
            "additional_tools" => {
                let more = under(at, object.list("tools"))?.unwrap_or_default();
                for (n, tool) in more.into_iter().enumerate() {
                    tools::read(tool, &format!("{at}.tools[{n}]"), None, &mut self.tools)?;
                }
            }
            "item_reference" => {
                let id = required_text(&mut object, "id", at)?;
                self.assistant(Part::Thinking(referenced(id, at)?));
            }
            kind if STATE.contains(&kind) => return Err(state(kind, at)),
            kind if HOSTED_CALLS.contains(&kind) => self.assistant(hosted(kind, raw)),
            kind if HOSTED_OUTPUTS.contains(&kind) => self.output(hosted(kind, raw)),
            kind => {
                return Err(Problem::bad(
                    format!("`{at}.type` is `{kind}`, which is not known"),
                    format!("{at}.type"),
                ));
            }
        }
        Ok(())
    }

    fn message(&mut self, mut object: Object<'_>, at: &str) -> Result<(), Problem> {
        let role = required_text(&mut object, "role", at)?;
        let content = object.take("content").ok_or_else(|| {
            Problem::bad(
                format!("`{at}.content` is missing"),
                format!("{at}.content"),
            )
        })?;
        let parts = parts(content, &format!("{at}.content"))?;
        match role.as_str() {
            "user" => self.user(parts),
            "assistant" => parts.into_iter().for_each(|part| self.assistant(part)),
            "system" | "developer" => {
                if !parts.iter().all(|part| matches!(part, Part::Text(_))) {
                    return Err(Problem::bad(
                        format!("`{at}.content` of a {role} message must be text"),
                        format!("{at}.content"),
                    ));
                }
                self.system.extend(parts);
            }
            _ => {
                return Err(Problem::bad(
                    format!("`{at}.role` must be `user`, `assistant`, `system` or `developer`"),
                    format!("{at}.role"),
                ));
            }
        }
        Ok(())
    }

    fn result(&mut self, object: &mut Object<'_>, at: &str, freeform: bool) -> Result<(), Problem> {
        let call_id = required_text(object, "call_id", at)?;
        let content = match object.take("output") {
            Some(output) => parts(output, &format!("{at}.output"))?,
            None => Vec::new(),
        };
        self.output(Part::ToolResult(ToolResult {
            call_id,
            name: None,
            content,
            is_error: false,
            freeform,
            cache: None,
        }));
        Ok(())
    }

    fn output(&mut self, part: Part) {
        match self.has_results_only() {
            Some(turn) => turn.parts.push(part),
            None => self.turns.push(Turn {
                role: Role::User,
                parts: vec![part],
            }),
        }
    }
}

fn hosted(kind: &str, raw: &RawValue) -> Part {
    Part::Hosted {
        kind: kind.to_owned(),
        raw: raw.to_owned(),
    }
}

fn state(kind: &str, at: &str) -> Problem {
    Problem::Unsupported {
        param: "input".to_owned(),
        message: format!(
            "`{at}` of type `{kind}` cannot be sent to the chosen provider: it stands for what only \
             OpenAI has; send the items themselves in `input` (many clients do when `store` is false), \
             or use a model of OpenAI"
        ),
    }
}

/// What an item stands for that is kept elsewhere. Clients that believe an answer to be stored hand its
/// thinking in by its id alone. The provider does without, as it does with thinking that another one sealed;
/// of anything else the conversation would lose its words.
fn referenced(id: String, at: &str) -> Result<Thinking, Problem> {
    if !id.starts_with("rs_") {
        return Err(state("item_reference", at));
    }
    Ok(Thinking {
        id: Some(id),
        ..Thinking::default()
    })
}

fn call(object: &mut Object<'_>, at: &str, freeform: bool) -> Result<ToolCall, Problem> {
    let name = required_text(object, "name", at)?;
    let namespace = under(at, object.text("namespace"))?;
    let key = if freeform { "input" } else { "arguments" };
    Ok(ToolCall {
        id: required_text(object, "call_id", at)?,
        name: tools::flat_name(namespace.as_deref(), &name),
        arguments: object.take(key).map(text_or_json).unwrap_or_default(),
        freeform,
        signature: None,
        cache: None,
    })
}

fn thinking(object: &mut Object<'_>, at: &str) -> Result<Thinking, Problem> {
    let id = under(at, object.text("id"))?;
    let seal = under(at, object.text("encrypted_content"))?;
    let mut text = String::new();
    for key in ["summary", "content"] {
        if text.is_empty() {
            text = thinking_text(&under(at, object.list(key))?.unwrap_or_default());
        }
    }
    let seal = seal
        .filter(|seal| !seal.is_empty())
        .map(|seal| Signature::read_marked(&seal, Origin::OpenAi));
    let redacted = seal.as_ref().is_some_and(|(_, redacted)| *redacted);
    Ok(Thinking {
        text,
        signature: seal.map(|(seal, _)| seal),
        redacted,
        id,
    })
}

/// The text of the parts of a summary or of its content.
pub(super) fn thinking_text(parts: &[&RawValue]) -> String {
    let texts = parts.iter().filter_map(|part| {
        let mut part = Object::read(part, "summary").ok()?;
        part.take("text").and_then(json::text)
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// Reads content: a text, or a list of parts.
fn parts(raw: &RawValue, at: &str) -> Result<Vec<Part>, Problem> {
    if let Some(text) = json::text(raw) {
        return Ok(vec![Part::text(text)]);
    }
    let list = json::list(raw, at)
        .map_err(|_| Problem::bad(format!("`{at}` must be a string or a list of parts"), at))?;
    let parts = list.into_iter().enumerate();
    parts
        .map(|(n, part)| content_part(part, &format!("{at}[{n}]")))
        .collect()
}

fn content_part(raw: &RawValue, at: &str) -> Result<Part, Problem> {
    let mut object = Object::read(raw, at)?;
    let kind = required_text(&mut object, "type", at)?;
    let cache = cache_marker(&mut object, at)?;
    let media = |source: Source, name: Option<String>, detail: Option<String>| Media {
        name,
        detail,
        cache,
        ..Media::new(source)
    };
    match kind.as_str() {
        "input_text" | "output_text" | "text" => Ok(Part::Text(Text {
            text: required_text(&mut object, "text", at)?,
            cache,
            citations: citations(object.take("annotations")),
            signature: None,
        })),
        "refusal" => Ok(Part::Refusal(required_text(&mut object, "refusal", at)?)),
        "input_image" | "computer_screenshot" => {
            let detail = under(at, object.text("detail"))?;
            let source = address(&mut object, "image_url", at)?
                .map(|url| media::source_of(&url))
                .or(under(at, object.text("file_id"))?.map(Source::File))
                .ok_or_else(|| {
                    Problem::bad(format!("`{at}` needs `image_url` or `file_id`"), at)
                })?;
            Ok(Part::Image(media(source, None, detail)))
        }
        "input_file" => {
            let name = under(at, object.text("filename"))?;
            let source = file(&mut object, name.as_deref(), at)?;
            Ok(Part::Document(media(source, name, None)))
        }
        "input_audio" => {
            let mut audio = under(at, object.object("input_audio"))?
                .ok_or_else(|| Problem::bad(format!("`{at}.input_audio` is missing"), at))?;
            let inner = format!("{at}.input_audio");
            let data = required_text(&mut audio, "data", &inner)?;
            let format = required_text(&mut audio, "format", &inner)?;
            let media_type = match format.as_str() {
                "mp3" => "audio/mpeg".to_owned(),
                other => format!("audio/{other}"),
            };
            let source = Source::Inline { media_type, data };
            Ok(Part::Audio(media(source, None, None)))
        }
        kind => Err(Problem::bad(
            format!("`{at}.type` is `{kind}`, which is not known"),
            format!("{at}.type"),
        )),
    }
}

/// An address that stands as a text or as an object with `url`.
fn address(object: &mut Object<'_>, key: &str, at: &str) -> Result<Option<String>, Problem> {
    match object.get(key) {
        Some(raw) if raw.get().starts_with('{') => {
            let mut inner = under(at, object.object(key))?.unwrap_or_default();
            under(&format!("{at}.{key}"), inner.text("url"))
        }
        _ => under(at, object.text(key)),
    }
}

fn file(object: &mut Object<'_>, name: Option<&str>, at: &str) -> Result<Source, Problem> {
    if let Some(data) = under(at, object.text("file_data"))? {
        return Ok(match media::source_of(&data) {
            inline @ Source::Inline { .. } => inline,
            // Bare base64: the name tells the type.
            _ => Source::Inline {
                media_type: media_type_of(name).to_owned(),
                data,
            },
        });
    }
    if let Some(url) = under(at, object.text("file_url"))? {
        return Ok(media::source_of(&url));
    }
    let id = under(at, object.text("file_id"))?;
    id.map(Source::File).ok_or_else(|| {
        Problem::bad(
            format!("`{at}` needs `file_data`, `file_url` or `file_id`"),
            at,
        )
    })
}

fn media_type_of(name: Option<&str>) -> &'static str {
    let ending = name
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/pdf",
    }
}

/// OpenAI's own breakpoint, or Anthropic's spelling of it.
fn cache_marker(object: &mut Object<'_>, at: &str) -> Result<Option<CacheMarker>, Problem> {
    let own = object
        .take("prompt_cache_breakpoint")
        .map(|_| CacheMarker { one_hour: false });
    let foreign = under(at, object.object("cache_control"))?;
    Ok(own.or(foreign.as_ref().map(cache_marker_of)))
}

/// Sources of a text. What is not an address on the web says nothing outside of the provider.
pub(super) fn citations(annotations: Option<&RawValue>) -> Vec<Citation> {
    let list = annotations.and_then(|raw| json::list(raw, "annotations").ok());
    let list = list.unwrap_or_default();
    list.into_iter().filter_map(citation).collect()
}

/// One annotation.
pub(super) fn citation(raw: &RawValue) -> Option<Citation> {
    let mut object = Object::read(raw, "annotation").ok()?;
    if object.take("type").and_then(json::text)? != "url_citation" {
        return None;
    }
    let start = object.count("start_index").ok().flatten();
    let end = object.count("end_index").ok().flatten();
    Some(Citation {
        url: Some(object.take("url").and_then(json::text)?),
        title: object.take("title").and_then(json::text),
        cited_text: None,
        span: start.zip(end),
    })
}

/// Whether an item is one that a provider's own tool makes.
pub(super) fn is_hosted(kind: &str) -> bool {
    HOSTED_CALLS.contains(&kind) || HOSTED_OUTPUTS.contains(&kind)
}
