//! The conversation as Messages has it.
//!
//! Anthropic refuses empty text, results that do not come first in the turn after their calls, and a
//! beginning that is not the user's; callers of other dialects send all of these. A conversation that was
//! read from this dialect is not rearranged. Start at [`Turns::write`].

use super::media::{self, cache};
use crate::drops::Drops;
use crate::ir::{CacheMarker, Part, Role, Text, Thinking, ToolCall, ToolResult, Turn};
use crate::json::{self, Obj};
use crate::signature::Origin;
use crate::tool_ids::sanitised;
use crate::{Dialect, Problem};

/// What stands for a turn of the user where there is none. Blank text is refused.
const PLACEHOLDER: &str = ".";

/// Writes the turns of one request.
pub(super) struct Turns<'a> {
    pub(super) from: Dialect,
    /// A marker for the last block that takes one.
    pub(super) at_the_end: Option<CacheMarker>,
    pub(super) drops: &'a mut Drops,
    /// Gets the betas that are needed.
    pub(super) betas: &'a mut Vec<String>,
    /// The model takes thinking back.
    pub(super) thinks: bool,
}

impl Turns<'_> {
    /// The entries of `messages`.
    ///
    /// # Errors
    /// A part cannot be sent and must not be left out.
    pub(super) fn write(&mut self, turns: Vec<Turn>) -> Result<Vec<String>, Problem> {
        let native = self.from == Dialect::Messages;
        let mut turns = if native { turns } else { joined(turns) };
        if !native {
            for turn in &mut turns {
                arrange(turn);
            }
        }
        if let Some(last) = turns.last_mut().filter(|turn| turn.role == Role::Assistant) {
            strip_end(last);
        }
        if let Some(marker) = self.at_the_end.take() {
            mark_end(&mut turns, marker);
        }
        let mut messages = Vec::with_capacity(turns.len());
        for turn in &turns {
            let mut blocks = Vec::with_capacity(turn.parts.len());
            for part in &turn.parts {
                blocks.extend(self.block(part)?);
            }
            if blocks.is_empty() {
                continue;
            }
            if messages.is_empty() && turn.role == Role::Assistant && !native {
                messages.push(message(Role::User, vec![plain(PLACEHOLDER)]));
            }
            messages.push(message(turn.role, blocks));
        }
        if messages.is_empty() && !native {
            messages.push(message(Role::User, vec![plain(PLACEHOLDER)]));
        }
        Ok(messages)
    }

    fn block(&mut self, part: &Part) -> Result<Option<String>, Problem> {
        Ok(match part {
            Part::Text(text) => text_block(text),
            Part::Refusal(text) => is_said(text).then(|| plain(text)),
            Part::Image(media) => Some(self.media().image(media)?),
            Part::Document(media) => Some(self.media().document(media)?),
            Part::Audio(_) => return Err(self.media().audio()),
            Part::ToolCall(call) => Some(tool_use(call)),
            Part::ToolResult(result) => Some(self.tool_result(result)?),
            Part::Thinking(thinking) => self.thinks.then(|| sealed(thinking)).flatten(),
            Part::Hosted { raw, .. } if self.from == Dialect::Messages => {
                Some(raw.get().to_owned())
            }
            Part::Hosted { kind, .. } => {
                self.drops.leave_out(kind, "another vendor ran that tool")?;
                None
            }
        })
    }

    fn media(&mut self) -> media::Writer<'_> {
        media::Writer {
            from: self.from,
            drops: self.drops,
            betas: self.betas,
        }
    }

    fn tool_result(&mut self, result: &ToolResult) -> Result<String, Problem> {
        let ToolResult {
            call_id,
            name: _,
            content,
            is_error,
            freeform: _,
            cache: marker,
        } = result;
        let mut blocks = Vec::with_capacity(content.len());
        for part in content {
            blocks.extend(self.block(part)?);
        }
        if blocks.is_empty() && *is_error {
            // A failure has to say something.
            blocks.push(plain("The tool failed."));
        }
        let entry = Obj::new()
            .str("type", "tool_result")
            .str("tool_use_id", &sanitised(call_id));
        let entry = match (content.as_slice(), blocks.len()) {
            ([Part::Text(text)], 1) if text.cache.is_none() && is_said(&text.text) => {
                entry.str("content", &text.text)
            }
            _ => entry.list_if("content", blocks),
        };
        Ok(entry
            .num_if("is_error", is_error.then_some(true))
            .raw_if("cache_control", cache(*marker))
            .end())
    }
}

/// Whether there is more than blanks in a text.
fn is_said(text: &str) -> bool {
    !text.trim().is_empty()
}

fn plain(text: &str) -> String {
    Obj::new().str("type", "text").str("text", text).end()
}

/// A text block; none for blank text. Citations stay behind: their proofs are the provider's own.
pub(super) fn text_block(text: &Text) -> Option<String> {
    let Text {
        text,
        cache: marker,
        citations: _,
        signature: _,
    } = text;
    let block = || Obj::new().str("type", "text").str("text", text);
    is_said(text).then(|| block().raw_if("cache_control", cache(*marker)).end())
}

fn tool_use(call: &ToolCall) -> String {
    Obj::new()
        .str("type", "tool_use")
        .str("id", &sanitised(&call.id))
        .str("name", &call.name)
        .raw("input", &call.object())
        .raw_if("cache_control", cache(call.cache))
        .end()
}

/// Thinking that Anthropic sealed; any other is refused by it, and so stays behind.
fn sealed(thinking: &Thinking) -> Option<String> {
    let seal = thinking.signature.as_ref()?;
    let seal = seal.for_provider(Origin::Anthropic)?;
    let block = if thinking.redacted {
        Obj::new()
            .str("type", "redacted_thinking")
            .str("data", seal)
    } else {
        Obj::new()
            .str("type", "thinking")
            .str("thinking", &thinking.text)
            .str("signature", seal)
    };
    Some(block.end())
}

fn message(role: Role, blocks: Vec<String>) -> String {
    let role = match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    Obj::new()
        .str("role", role)
        .raw("content", &json::array(blocks))
        .end()
}

const fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult(_))
}

/// Joins the results of parallel calls into one turn, and what the user says after them.
fn joined(turns: Vec<Turn>) -> Vec<Turn> {
    let mut out: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match out.last_mut() {
            Some(last)
                if last.role == Role::User
                    && turn.role == Role::User
                    && (last.parts.iter().all(is_result) || turn.parts.iter().any(is_result)) =>
            {
                last.parts.extend(turn.parts);
            }
            _ => out.push(turn),
        }
    }
    out
}

/// Results come first in a turn of the user; in one of the model thinking, text, calls. Thinking that
/// already leads stays where it is: between blocks it was sealed in that place.
fn arrange(turn: &mut Turn) {
    match turn.role {
        Role::User => turn.parts.sort_by_key(|part| !is_result(part)),
        Role::Assistant => {
            let leads = matches!(turn.parts.first(), Some(Part::Thinking(_)));
            turn.parts.sort_by_key(|part| match part {
                Part::Thinking(_) if !leads => 0,
                Part::ToolCall(_) => 2,
                _ => 1,
            });
        }
    }
}

/// Puts a marker on the last block that takes one, unless it has one.
fn mark_end(turns: &mut [Turn], marker: CacheMarker) {
    let parts = turns
        .iter_mut()
        .rev()
        .flat_map(|turn| turn.parts.iter_mut().rev());
    let mut places = parts
        .filter(|part| !matches!(part, Part::Text(text) if !is_said(&text.text)))
        .filter_map(Part::cache_mut);
    if let Some(place) = places.next() {
        place.get_or_insert(marker);
    }
}

/// A beginning of the answer must not end in blanks.
fn strip_end(turn: &mut Turn) {
    while let Some(Part::Text(text)) = turn.parts.last_mut() {
        let kept = text.text.trim_end().len();
        text.text.truncate(kept);
        if kept > 0 {
            return;
        }
        turn.parts.pop();
    }
}
