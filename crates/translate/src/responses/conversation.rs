//! Writes the conversation as the items of `input`.
//!
//! Calls, results and thinking are items of their own; what is said stands in messages. A result may hold
//! images, as the API allows. Must never hand OpenAI another vendor's seal: the whole request would be
//! refused.

use crate::drops::Drops;
use crate::ir::{Media, Part, Request, Role, Source, Text, Thinking, ToolCall, ToolResult};
use crate::json::Obj;
use crate::signature::{Origin, Signature};
use crate::{Dialect, Problem, media};

/// The items of `input`.
pub(super) struct Input {
    /// As JSON.
    pub(super) items: Vec<String>,
    /// The caller hands in thinking that OpenAI sealed.
    pub(super) seals: bool,
    /// The caller speaks this dialect: ids and blocks of the provider are its own.
    at_home: bool,
    freeform: Vec<String>,
}

/// The parts of a message that is open.
#[derive(Default)]
struct Content {
    /// As JSON.
    parts: Vec<String>,
    /// Their whole text, as long as they are nothing but texts.
    text: Option<String>,
}

impl Content {
    fn push(&mut self, part: &Part, json: String) {
        self.text = match part {
            Part::Text(text) if self.parts.is_empty() => Some(text.text.clone()),
            Part::Text(text) => self.text.take().map(|said| said + &text.text),
            _ => None,
        };
        self.parts.push(json);
    }
}

impl Input {
    /// None yet.
    pub(super) fn new(request: &Request) -> Self {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        let freeform = parts.filter_map(|part| match part {
            Part::ToolCall(call) if call.freeform => Some(call.id.clone()),
            _ => None,
        });
        Self {
            items: Vec::new(),
            seals: false,
            at_home: request.from == Dialect::Responses,
            freeform: freeform.collect(),
        }
    }

    /// Adds those of the whole conversation.
    pub(super) fn turns(&mut self, request: &Request, drops: &mut Drops) -> Result<(), Problem> {
        for turn in &request.turns {
            let mut content = Content::default();
            for part in &turn.parts {
                if let Some(json) = self.content(part, turn.role, drops)? {
                    content.push(part, json);
                } else if let Some(item) = self.item(part, drops)? {
                    self.message(turn.role, &mut content);
                    self.items.push(item);
                }
            }
            self.message(turn.role, &mut content);
        }
        Ok(())
    }

    /// What the model said is one text where it can be: as parts it would be an answer of the API's own, which
    /// has an id and a status.
    fn message(&mut self, role: Role, content: &mut Content) {
        let Content { parts, text } = std::mem::take(content);
        if parts.is_empty() {
            return;
        }
        let message = Obj::new().str("type", "message");
        let message = match (role, text) {
            (Role::User, _) => message.str("role", "user").list("content", parts),
            (Role::Assistant, Some(text)) => message.str("role", "assistant").str("content", &text),
            (Role::Assistant, None) => message.str("role", "assistant").list("content", parts),
        };
        self.items.push(message.end());
    }

    /// A part of a message; `None`: it is an item of its own, or nothing.
    fn content(&self, part: &Part, role: Role, drops: &Drops) -> Result<Option<String>, Problem> {
        match part {
            Part::Text(text) => Ok(text_part(text, role)),
            Part::Refusal(text) if text.is_empty() => Ok(None),
            Part::Refusal(text) if role == Role::Assistant => {
                let part = Obj::new().str("type", "refusal").str("refusal", text);
                Ok(Some(part.end()))
            }
            Part::Refusal(text) => Ok(text_part(&plain(text), role)),
            Part::Image(media) => image(media, self.at_home, drops).map(Some),
            Part::Document(media) => document(media, self.at_home, drops).map(Some),
            Part::Audio(media) => audio(media, drops).map(Some),
            Part::ToolCall(_) | Part::ToolResult(_) | Part::Thinking(_) | Part::Hosted { .. } => {
                Ok(None)
            }
        }
    }

    /// A part that is an item of its own.
    fn item(&mut self, part: &Part, drops: &mut Drops) -> Result<Option<String>, Problem> {
        match part {
            Part::ToolCall(call) => Ok(Some(tool_call(call))),
            Part::ToolResult(result) => self.result(result, drops).map(Some),
            Part::Thinking(thinking) => Ok(self.thinking(thinking)),
            Part::Hosted { raw, .. } if self.at_home => Ok(Some(raw.get().to_owned())),
            Part::Hosted { kind, .. } => {
                drops.leave_out(kind, "it is a block of another provider's own tool")?;
                Ok(None)
            }
            Part::Text(_)
            | Part::Refusal(_)
            | Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_) => Ok(None),
        }
    }

    fn result(&self, result: &ToolResult, drops: &Drops) -> Result<String, Problem> {
        let ToolResult {
            call_id,
            name: _,
            content,
            // The text says what failed; there is no field for it.
            is_error: _,
            freeform,
            cache: _,
        } = result;
        let kind = if *freeform || self.freeform.contains(call_id) {
            "custom_tool_call_output"
        } else {
            "function_call_output"
        };
        let item = Obj::new().str("type", kind).str("call_id", call_id);
        match content.as_slice() {
            [] => return Ok(item.str("output", "").end()),
            [Part::Text(text)] => return Ok(item.str("output", &text.text).end()),
            _ => {}
        }
        let mut parts = Vec::new();
        for part in content {
            parts.extend(self.content(part, Role::User, drops)?);
        }
        Ok(if parts.is_empty() {
            item.str("output", "")
        } else {
            item.list("output", parts)
        }
        .end())
    }

    /// Thinking goes back only with OpenAI's own seal.
    fn thinking(&mut self, thinking: &Thinking) -> Option<String> {
        let Thinking {
            text,
            signature,
            redacted: _,
            id,
        } = thinking;
        let own = |seal: &&Signature| seal.origin == Origin::OpenAi;
        let (item_id, seal) = signature.as_ref().filter(own)?.item();
        self.seals = true;
        let summary = (!text.is_empty()).then(|| {
            let part = Obj::new().str("type", "summary_text").str("text", text);
            part.end()
        });
        let item = Obj::new().str("type", "reasoning");
        let item = item
            .str_if("id", id.as_deref().or(item_id))
            .list("summary", summary);
        Some(item.str("encrypted_content", seal).end())
    }
}

fn tool_call(call: &ToolCall) -> String {
    let ToolCall {
        id,
        name,
        arguments,
        freeform,
        signature: _,
        cache: _,
    } = call;
    let item = |kind| {
        Obj::new()
            .str("type", kind)
            .str("call_id", id)
            .str("name", name)
    };
    if *freeform {
        return item("custom_tool_call").str("input", arguments).end();
    }
    let arguments = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    };
    item("function_call").str("arguments", arguments).end()
}

fn plain(text: &str) -> Text {
    Text {
        text: text.to_owned(),
        ..Text::default()
    }
}

/// A part of a message; an empty text is none.
fn text_part(text: &Text, role: Role) -> Option<String> {
    let kind = match role {
        Role::User => "input_text",
        Role::Assistant => "output_text",
    };
    let part = Obj::new().str("type", kind).str("text", &text.text);
    (!text.text.is_empty()).then(|| part.end())
}

/// Files at another provider cannot be reached by this one.
fn foreign_file(drops: &Drops) -> Problem {
    drops.refuse(
        "file_id",
        "the file lies at another provider",
        "send its content or its address",
    )
}

fn image(image: &Media, at_home: bool, drops: &Drops) -> Result<String, Problem> {
    let part = Obj::new()
        .str("type", "input_image")
        .str("detail", image.detail.as_deref().unwrap_or("auto"));
    Ok(match &image.source {
        Source::Inline { media_type, data } => {
            part.str("image_url", &media::data_uri(media_type, data))
        }
        Source::Url(url) => part.str("image_url", url),
        Source::File(id) if at_home => part.str("file_id", id),
        Source::File(_) => return Err(foreign_file(drops)),
        Source::Text(_) => {
            return Err(drops.refuse("image", "text is no picture", "send it as a document"));
        }
    }
    .end())
}

fn document(document: &Media, at_home: bool, drops: &Drops) -> Result<String, Problem> {
    let part = Obj::new().str("type", "input_file");
    Ok(match &document.source {
        Source::Inline { media_type, data } => {
            let named = document.name.clone();
            let name = named.unwrap_or_else(|| format!("document.{}", ending(media_type)));
            part.str("filename", &name)
                .str("file_data", &media::data_uri(media_type, data))
        }
        Source::Url(url) => part.str("file_url", url),
        Source::File(id) if at_home => part.str("file_id", id),
        Source::File(_) => return Err(foreign_file(drops)),
        // Every model reads text; files of text only the newer ones.
        Source::Text(text) => Obj::new().str("type", "input_text").str("text", text),
    }
    .end())
}

fn ending(media_type: &str) -> &'static str {
    media::format_of(media_type).unwrap_or("bin")
}

fn audio(audio: &Media, drops: &Drops) -> Result<String, Problem> {
    let Source::Inline { media_type, data } = &audio.source else {
        return Err(drops.refuse("audio", "it has to be in the body", "send it as base64"));
    };
    let format = match media_type.as_str() {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        _ => return Err(drops.refuse("audio", "it takes only WAV and MP3", "convert it")),
    };
    let inner = Obj::new().str("data", data).str("format", format).end();
    Ok(Obj::new()
        .str("type", "input_audio")
        .raw("input_audio", &inner)
        .end())
}
