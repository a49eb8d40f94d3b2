//! Writes `contents`: turns of alternating roles, and the parts in them.
//!
//! Start at [`contents`].

use data_encoding::BASE64;

use crate::drops::Drops;
use crate::gemini::thinking::demands_seals;
use crate::ir::{Media, Part, Request, Role, Source, Text, Thinking, ToolCall, ToolResult};
use crate::json::Obj;
use crate::signature::{Origin, Signature};
use crate::{Dialect, Problem};

/// Google's own word for "this call is not from a model of yours": newer models refuse a history whose
/// calls carry no seal, and calls that another vendor's model made have none.
const NO_SEAL: &str = "skip_thought_signature_validator";

/// Writes the conversation.
///
/// # Errors
/// A result answers no call, or a file is kept by another provider.
pub(super) fn contents(
    request: &Request,
    model: &str,
    drops: &mut Drops,
) -> Result<Vec<String>, Problem> {
    let mut written = Contents::default();
    for turn in &request.turns {
        written.enter(turn.role);
        for part in &turn.parts {
            written.part(part, request, drops)?;
        }
    }
    written.flush_seal();
    let mut turns = written.turns;
    turns.retain(|turn| !turn.parts.is_empty());
    if turns
        .first()
        .is_some_and(|first| first.role == Role::Assistant)
    {
        let mut opening = Content::new(Role::User);
        opening
            .parts
            .push(Written::Plain(Obj::new().str("text", " ")));
        turns.insert(0, opening);
    }
    let demands = demands_seals(model);
    Ok(turns.into_iter().map(|turn| turn.end(demands)).collect())
}

/// The parts of the instructions.
pub(super) fn instructions(system: &[Part]) -> Vec<String> {
    let texts = system.iter().filter_map(|part| match part {
        Part::Text(text) if !text.text.is_empty() => Some(Obj::new().str("text", &text.text).end()),
        _ => None,
    });
    texts.collect()
}

#[derive(Debug, Default)]
struct Contents {
    turns: Vec<Content>,
    /// A seal of Google's that came by itself: it belongs to the part behind it.
    seal: Option<String>,
}

#[derive(Debug)]
struct Content {
    role: Role,
    parts: Vec<Written>,
}

#[derive(Debug)]
enum Written {
    /// A part that is ready.
    Whole(String),
    Plain(Obj),
    Call {
        part: Obj,
        sealed: bool,
    },
}

impl Content {
    const fn new(role: Role) -> Self {
        Self {
            role,
            parts: Vec::new(),
        }
    }

    fn end(self, demands_seals: bool) -> String {
        let role = match self.role {
            Role::User => "user",
            Role::Assistant => "model",
        };
        // Of calls at the same time only the first is sealed.
        let mut first = true;
        let parts = self.parts.into_iter().map(|part| match part {
            Written::Whole(part) => part,
            Written::Plain(part) => part.end(),
            Written::Call { part, sealed } => {
                let bare = std::mem::take(&mut first) && !sealed && demands_seals;
                part.str_if("thoughtSignature", bare.then_some(NO_SEAL))
                    .end()
            }
        });
        let parts: Vec<String> = parts.collect();
        Obj::new().str("role", role).list("parts", parts).end()
    }
}

impl Contents {
    /// Turns of the same role are one.
    fn enter(&mut self, role: Role) {
        if self.turns.last().is_none_or(|last| last.role != role) {
            self.flush_seal();
            self.turns.push(Content::new(role));
        }
    }

    fn push(&mut self, part: Written) {
        if let Some(turn) = self.turns.last_mut() {
            turn.parts.push(part);
        }
    }

    fn plain(&mut self, part: Obj) {
        self.push(Written::Plain(part));
    }

    /// The seal of a part: its own, or the one that came before it.
    fn seal_of(&mut self, own: Option<&Signature>) -> Option<String> {
        let own = own.and_then(|seal| seal.for_provider(Origin::Google));
        match own {
            Some(own) => {
                self.flush_seal();
                Some(own.to_owned())
            }
            None => self.seal.take(),
        }
    }

    /// A seal that nothing came behind gets a part of its own.
    fn flush_seal(&mut self) {
        if let Some(seal) = self.seal.take() {
            self.plain(Obj::new().str("text", "").str("thoughtSignature", &seal));
        }
    }

    fn part(&mut self, part: &Part, request: &Request, drops: &mut Drops) -> Result<(), Problem> {
        match part {
            Part::Text(text) => self.text(text),
            Part::Refusal(text) if text.is_empty() => {}
            Part::Refusal(text) => self.plain(Obj::new().str("text", text)),
            Part::Image(media) | Part::Document(media) | Part::Audio(media) => {
                self.plain(media_part(media, drops)?);
            }
            Part::ToolCall(call) => self.call(call),
            Part::ToolResult(result) => self.result(result, request, drops)?,
            Part::Thinking(thinking) => self.thinking(thinking),
            Part::Hosted { raw, .. } if request.from == Dialect::Gemini => {
                self.flush_seal();
                self.push(Written::Whole(raw.get().to_owned()));
            }
            Part::Hosted { kind, .. } => {
                drops.leave_out(
                    kind,
                    "only the provider that ran this tool knows its blocks",
                )?;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &Text) {
        let Text {
            text,
            signature,
            cache: _,
            citations: _,
        } = text;
        let own = signature
            .as_ref()
            .is_some_and(|seal| seal.for_provider(Origin::Google).is_some());
        if text.is_empty() && !own {
            return;
        }
        let seal = self.seal_of(signature.as_ref());
        self.plain(
            Obj::new()
                .str("text", text)
                .str_if("thoughtSignature", seal.as_deref()),
        );
    }

    fn thinking(&mut self, thinking: &Thinking) {
        let Thinking {
            text,
            signature,
            redacted: _,
            id: _,
        } = thinking;
        // Without a seal of Google's it is not taken back.
        let Some(seal) = signature
            .as_ref()
            .and_then(|seal| seal.for_provider(Origin::Google))
        else {
            return;
        };
        self.flush_seal();
        if text.is_empty() {
            self.seal = Some(seal.to_owned());
        } else {
            let part = Obj::new().str("text", text).num("thought", true);
            self.plain(part.str("thoughtSignature", seal));
        }
    }

    fn call(&mut self, call: &ToolCall) {
        let seal = self.seal_of(call.signature.as_ref());
        let function = Obj::new()
            .str_if("id", filled(&call.id))
            .str("name", &call.name)
            .raw("args", &call.object());
        self.push(Written::Call {
            part: Obj::new()
                .raw("functionCall", &function.end())
                .str_if("thoughtSignature", seal.as_deref()),
            sealed: seal.is_some(),
        });
    }

    /// A result, and behind it the pictures and documents in it.
    fn result(
        &mut self,
        result: &ToolResult,
        request: &Request,
        drops: &mut Drops,
    ) -> Result<(), Problem> {
        let ToolResult {
            call_id,
            name,
            content,
            is_error,
            freeform: _,
            cache: _,
        } = result;
        let Some(name) = request.tool_of_call(call_id).or(name.as_deref()) else {
            return Err(Problem::bad(
                format!("the tool result for `{call_id}` answers no call of the conversation"),
                "tool_call_id",
            ));
        };
        let response = Obj::new()
            .str_if("id", filled(call_id))
            .str("name", name)
            .raw("response", &response(content, *is_error));
        self.plain(Obj::new().raw("functionResponse", &response.end()));
        for part in content {
            if let Part::Image(media) | Part::Document(media) | Part::Audio(media) = part {
                self.plain(media_part(media, drops)?);
            }
        }
        Ok(())
    }
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// What a function returned: a JSON object as it is, everything else under a name.
fn response(content: &[Part], is_error: bool) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => filled(&text.text),
            Part::Refusal(text) => filled(text),
            _ => None,
        })
        .collect();
    let text = texts.join("\n");
    if is_error {
        return Obj::new().str("error", &text).end();
    }
    let object = text.trim();
    let is_object = object.starts_with('{')
        && serde_json::from_str::<&serde_json::value::RawValue>(object).is_ok();
    if is_object {
        object.to_owned()
    } else {
        Obj::new().str("result", &text).end()
    }
}

fn media_part(media: &Media, drops: &mut Drops) -> Result<Obj, Problem> {
    let inline = |media_type: &str, data: &str| {
        let inline = Obj::new().str("mimeType", media_type).str("data", data);
        Obj::new().raw("inlineData", &inline.end())
    };
    let file = |url: &str| {
        let file = Obj::new()
            .str_if("mimeType", media_type_of(url))
            .str("fileUri", url);
        Obj::new().raw("fileData", &file.end())
    };
    let Media {
        source,
        name: _,
        detail: _,
        citations: _,
        cache: _,
    } = media;
    Ok(match source {
        Source::Inline { media_type, data } => inline(media_type, data),
        Source::Text(text) => inline("text/plain", &BASE64.encode(text.as_bytes())),
        Source::Url(url) => file(url),
        Source::File(id) if id.starts_with("files/") => file(&format!(
            "https://generativelanguage.googleapis.com/v1beta/{id}"
        )),
        Source::File(_) => {
            return Err(drops.refuse(
                "file_id",
                "the file is kept by another provider",
                "send its content instead",
            ));
        }
    })
}

/// The media type that the end of an address tells.
pub(super) fn media_type_of(url: &str) -> Option<&'static str> {
    if ["https://www.youtube.com/", "https://youtu.be/"]
        .iter()
        .any(|start| url.starts_with(start))
    {
        return Some("video/mp4");
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "aac" => "audio/aac",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        _ => return None,
    })
}
