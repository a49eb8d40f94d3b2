//! The conversation: turns that alternate, and the blocks in them (providers 15, 15.1).

use super::media::{self, Names};
use crate::converse::block;
use crate::drops::Drops;
use crate::ir::{CacheMarker, Part, Request, Role, Thinking, ToolCall, ToolResult, Turn};
use crate::json::Obj;
use crate::models::Family;
use crate::signature::Origin;
use crate::{Problem, tool_ids};

/// Stands where Bedrock wants text and there is none. It refuses blank text.
const PLACEHOLDER: &str = ".";

/// A message that grows while turns of one speaker follow each other.
#[derive(Debug)]
struct Message {
    role: Role,
    /// Tool results: they come first.
    results: Vec<String>,
    blocks: Vec<String>,
    has_text: bool,
    has_document: bool,
}

impl Message {
    const fn new(role: Role) -> Self {
        Self {
            role,
            results: Vec::new(),
            blocks: Vec::new(),
            has_text: false,
            has_document: false,
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(block) = text_block(text) {
            self.blocks.push(block);
            self.has_text = true;
        }
    }

    const fn is_empty(&self) -> bool {
        self.results.is_empty() && self.blocks.is_empty()
    }

    fn write(mut self) -> String {
        if self.has_document && !self.has_text {
            // Bedrock refuses documents without words beside them.
            self.text(PLACEHOLDER);
        }
        let role = match self.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let content = self.results.into_iter().chain(self.blocks);
        Obj::new().str("role", role).list("content", content).end()
    }
}

/// The messages: speakers alternate, the user begins, tool results come first in their turn, nothing is
/// blank.
///
/// # Errors
/// A part cannot be sent and must not be left out.
pub(super) fn messages(
    request: &Request,
    family: Family,
    drops: &mut Drops,
) -> Result<Vec<String>, Problem> {
    let mut writer = Writer {
        family,
        drops,
        names: Names::default(),
        is_prefill: false,
    };
    let mut messages: Vec<Message> = Vec::new();
    for (n, turn) in request.turns.iter().enumerate() {
        // A beginning that the model shall go on from: white space at its end is refused.
        writer.is_prefill = n + 1 == request.turns.len() && turn.role == Role::Assistant;
        let mut message = match messages.pop() {
            Some(last) if last.role == turn.role => last,
            Some(last) => {
                messages.push(last);
                Message::new(turn.role)
            }
            None => Message::new(turn.role),
        };
        writer.turn(turn, &mut message)?;
        if !message.is_empty() {
            messages.push(message);
        }
    }
    if messages
        .first()
        .is_some_and(|first| first.role == Role::Assistant)
    {
        let mut first = Message::new(Role::User);
        first.text(PLACEHOLDER);
        messages.insert(0, first);
    }
    if let Some(marker) = request.cache
        && let Some(last) = messages.last_mut()
    {
        writer.mark(Some(marker), last, false);
    }
    Ok(messages.into_iter().map(Message::write).collect())
}

/// Text, unless it is blank: Bedrock refuses that.
pub(super) fn text_block(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| Obj::new().str("text", text).end())
}

/// The block that stands for a marker; `None` where the model has no cache to mark (providers 18: left out
/// without a word).
pub(super) fn cache_point(marker: CacheMarker, family: Family) -> Option<String> {
    if !family.is_claude() && family != Family::Nova {
        return None;
    }
    let ttl = (marker.one_hour && family.keeps_an_hour_on_bedrock()).then_some("1h");
    let point = Obj::new().str("type", "default").str_if("ttl", ttl).end();
    Some(Obj::new().raw("cachePoint", &point).end())
}

/// Whether thinking can be given back to the model: Claude takes its own, sealed.
pub(super) fn thinking_block(thinking: &Thinking, family: Family) -> Option<String> {
    if !family.is_claude() {
        return None;
    }
    let seal = thinking
        .signature
        .as_ref()?
        .for_provider(Origin::Anthropic)?;
    let content = if thinking.redacted {
        Obj::new().str("redactedContent", seal)
    } else {
        let text = Obj::new()
            .str("text", &thinking.text)
            .str("signature", seal);
        Obj::new().raw("reasoningText", &text.end())
    };
    Some(Obj::new().raw("reasoningContent", &content.end()).end())
}

struct Writer<'a> {
    family: Family,
    drops: &'a mut Drops,
    names: Names,
    /// The turn is the last one, and the model's.
    is_prefill: bool,
}

impl Writer<'_> {
    fn turn(&mut self, turn: &Turn, message: &mut Message) -> Result<(), Problem> {
        let last = turn.parts.len().saturating_sub(1);
        for (n, part) in turn.parts.iter().enumerate() {
            match part {
                Part::Text(text) if self.is_prefill && n == last => {
                    message.text(text.text.trim_end());
                    self.mark(text.cache, message, false);
                }
                part => self.part(part, message)?,
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &Part, message: &mut Message) -> Result<(), Problem> {
        match part {
            Part::Text(text) => {
                message.text(&text.text);
                self.mark(text.cache, message, false);
            }
            Part::Refusal(text) => message.text(text),
            Part::Image(image) => {
                message.blocks.push(media::image(image, self.drops)?);
                self.mark(image.cache, message, false);
            }
            Part::Document(document) => {
                let block = media::document(document, self.family, &mut self.names, self.drops)?;
                message.blocks.push(block);
                message.has_document = true;
                self.mark(document.cache, message, false);
            }
            Part::Audio(_) => return Err(media::no_audio(self.drops)),
            Part::ToolCall(call) => {
                message.blocks.push(tool_use(call));
                self.mark(call.cache, message, false);
            }
            Part::ToolResult(result) => {
                let block = self.tool_result(result)?;
                message.results.push(block);
                let inner = result.content.iter().find_map(marker_of);
                self.mark(result.cache.or(inner), message, true);
            }
            Part::Thinking(thinking) => {
                message.blocks.extend(thinking_block(thinking, self.family));
            }
            Part::Hosted { kind, .. } => {
                self.drops
                    .leave_out(kind, "another provider ran this tool")?;
            }
        }
        Ok(())
    }

    /// Puts a cache point behind what was written last, unless one stands there or there is nothing to
    /// cache.
    fn mark(&self, marker: Option<CacheMarker>, message: &mut Message, results: bool) {
        let to = if results || message.blocks.is_empty() {
            &mut message.results
        } else {
            &mut message.blocks
        };
        let markable = to
            .last()
            .is_some_and(|last| !last.starts_with(r#"{"cachePoint""#));
        if markable {
            to.extend(marker.and_then(|marker| cache_point(marker, self.family)));
        }
    }

    fn tool_result(&mut self, result: &ToolResult) -> Result<String, Problem> {
        let mut content = Vec::new();
        for part in &result.content {
            match part {
                Part::Text(text) => content.extend(text_block(&text.text)),
                Part::Refusal(text) => content.extend(text_block(text)),
                Part::Image(image) => content.push(media::image(image, self.drops)?),
                Part::Document(document) => {
                    let names = &mut self.names;
                    content.push(media::document(document, self.family, names, self.drops)?);
                }
                Part::Audio(_) => return Err(media::no_audio(self.drops)),
                Part::Hosted { kind, .. } => {
                    self.drops
                        .leave_out(kind, "another provider ran this tool")?;
                }
                Part::ToolCall(_) | Part::ToolResult(_) | Part::Thinking(_) => {}
            }
        }
        let body = Obj::new()
            .str("toolUseId", &tool_ids::sanitised(&result.call_id))
            .list("content", content)
            .str_if("status", result.is_error.then_some("error"));
        Ok(Obj::new().raw(block::TOOL_RESULT, &body.end()).end())
    }
}

fn tool_use(call: &ToolCall) -> String {
    let body = Obj::new()
        .str("toolUseId", &tool_ids::sanitised(&call.id))
        .str("name", &call.name)
        .raw("input", &call.object());
    Obj::new().raw(block::TOOL_USE, &body.end()).end()
}

/// A result's blocks cannot be marked one by one: a marker in it is one behind it.
const fn marker_of(part: &Part) -> Option<CacheMarker> {
    match part {
        Part::Text(text) => text.cache,
        Part::Image(media) | Part::Document(media) => media.cache,
        _ => None,
    }
}
