//! Writes `messages` for a provider.
//!
//! Chat Completions knows tool results as messages of text alone that must follow their calls without a
//! gap: pictures and files in them are moved behind all results of the turn, into a message of the user.
//! Instructions become one message, texts become plain strings where nothing else stands beside them,
//! because many servers take nothing else. Start at [`write`].

use super::details;
use super::quirks::{History, Quirks};
use crate::drops::Drops;
use crate::ir::{
    CacheMarker, Media, Part, Request, Role, Source, Text, Thinking, ToolCall, ToolResult,
};
use crate::json::{Obj, array, quote};
use crate::media::data_uri;
use crate::signature::Origin;
use crate::{Dialect, Problem};

/// What stands in a tool message whose result is moved as a whole.
const MOVED: &str = "The result is in the next message.";

/// Writes the instructions and the conversation.
pub(super) fn write(
    request: &Request,
    quirks: &Quirks,
    drops: &mut Drops,
) -> Result<Vec<String>, Problem> {
    let mut writer = Writer {
        quirks,
        from: request.from,
        out: Vec::new(),
        moved: Vec::new(),
    };
    let system = writer.pieces(&request.system, drops)?;
    if !system.is_empty() {
        let content = joined(&system).unwrap_or_else(|| listed(&system));
        writer
            .out
            .push(message("system").raw("content", &content).end());
    }
    let last = request.turns.len().saturating_sub(1);
    for (n, turn) in request.turns.iter().enumerate() {
        match turn.role {
            Role::User => writer.user(&turn.parts, drops)?,
            Role::Assistant => writer.assistant(&turn.parts, n == last, drops)?,
        }
    }
    writer.flush(Vec::new());
    Ok(writer.out)
}

/// A part of a message's content.
enum Piece {
    /// Text without a marker.
    Text(String),
    /// Any part, written.
    Json(String),
}

struct Writer<'a> {
    quirks: &'a Quirks,
    from: Dialect,
    out: Vec<String>,
    /// Parts that wait for the next message of the user.
    moved: Vec<Piece>,
}

impl Writer<'_> {
    fn user(&mut self, parts: &[Part], drops: &mut Drops) -> Result<(), Problem> {
        for part in parts {
            if let Part::ToolResult(result) = part {
                self.result(result, drops)?;
            }
        }
        let pieces = self.pieces(parts, drops)?;
        if !pieces.is_empty() {
            self.flush(pieces);
        }
        Ok(())
    }

    /// Writes what waits and `pieces` as a message of the user.
    fn flush(&mut self, pieces: Vec<Piece>) {
        let mut all = std::mem::take(&mut self.moved);
        all.extend(pieces);
        if !all.is_empty() {
            let content = joined(&all).unwrap_or_else(|| listed(&all));
            self.out
                .push(message("user").raw("content", &content).end());
        }
    }

    /// The dialect has no mark for a tool that failed: its text says so.
    fn result(&mut self, result: &ToolResult, drops: &mut Drops) -> Result<(), Problem> {
        let mut texts = Vec::new();
        let mut moved = Vec::new();
        for piece in self.pieces(&result.content, drops)? {
            match piece {
                Piece::Text(text) => texts.push(text),
                json @ Piece::Json(_) => moved.push(json),
            }
        }
        let text = match (texts.is_empty(), moved.is_empty()) {
            (true, false) => MOVED.to_owned(),
            _ => texts.join("\n\n"),
        };
        self.out.push(
            message("tool")
                .str("tool_call_id", &self.call_id(&result.call_id))
                .str("content", &text)
                .end(),
        );
        self.moved.append(&mut moved);
        Ok(())
    }

    fn assistant(&mut self, parts: &[Part], last: bool, drops: &mut Drops) -> Result<(), Problem> {
        self.flush(Vec::new());
        let (mut text, mut refusal) = (String::new(), None);
        let (mut calls, mut thoughts) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(one) => text.push_str(&one.text),
                Part::Refusal(words) if self.quirks.refusal => refusal = Some(words.as_str()),
                Part::Refusal(words) => text.push_str(words),
                Part::ToolCall(call) => calls.push(self.call(call)),
                Part::Thinking(thinking) => thoughts.push(thinking),
                Part::Hosted { kind, .. } => leave_out_block(drops, kind)?,
                Part::ToolResult(_) | Part::Image(_) | Part::Document(_) | Part::Audio(_) => {}
            }
        }
        if !text.is_empty() || refusal.is_some() || !calls.is_empty() {
            let prefix = self.quirks.prefix && last && calls.is_empty();
            let mut out = message("assistant");
            out = if text.is_empty() {
                out.raw("content", "null")
            } else {
                out.str("content", &text)
            };
            out = out.str_if("refusal", refusal);
            out = self.thoughts(out, &thoughts, &calls);
            out = out.list_if("tool_calls", calls);
            self.out
                .push(out.num_if("prefix", prefix.then_some(true)).end());
        }
        // What an assistant cannot say in this dialect stands in the message behind it.
        for part in parts {
            if let Part::ToolResult(result) = part {
                self.result(result, drops)?;
            }
        }
        let media =
            |part: &&Part| matches!(part, Part::Image(_) | Part::Document(_) | Part::Audio(_));
        for part in parts.iter().filter(media) {
            let piece = self.piece(part, drops)?;
            self.moved.extend(piece);
        }
        Ok(())
    }

    fn thoughts(&self, out: Obj, thoughts: &[&Thinking], calls: &[String]) -> Obj {
        match self.quirks.history {
            History::Nothing => out,
            History::OnCalls if calls.is_empty() => out,
            History::OnCalls => {
                let texts: Vec<&str> = thoughts.iter().map(|one| one.text.as_str()).collect();
                out.str("reasoning_content", texts.join("\n\n").trim())
            }
            History::Details => {
                // Only what the vendor's seal makes worth something.
                let sealed = thoughts.iter().filter(
                    |one| matches!(&one.signature, Some(seal) if seal.origin != Origin::Bedrock),
                );
                let entries = sealed
                    .enumerate()
                    .flat_map(|(n, one)| details::write(one, n));
                out.list_if("reasoning_details", entries.collect())
            }
        }
    }

    fn call(&self, call: &ToolCall) -> String {
        let function = Obj::new()
            .str("name", &call.name)
            .str("arguments", &call.object());
        let google = call.signature.as_ref();
        let seal = google
            .and_then(|seal| seal.for_provider(Origin::Google))
            .filter(|_| self.quirks.seals || self.quirks.history == History::Details);
        let extra = seal.map(|seal| {
            let google = Obj::new().str("thought_signature", seal).end();
            Obj::new().raw("google", &google).end()
        });
        Obj::new()
            .str("id", &self.call_id(&call.id))
            .str("type", "function")
            .raw("function", &function.end())
            .raw_if("extra_content", extra.as_deref())
            .end()
    }

    fn call_id(&self, id: &str) -> String {
        let fits = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !self.quirks.short_ids || fits {
            id.to_owned()
        } else {
            short(id)
        }
    }

    /// The parts that content can hold. Tool results stand apart.
    fn pieces(&self, parts: &[Part], drops: &mut Drops) -> Result<Vec<Piece>, Problem> {
        let mut pieces = Vec::new();
        for part in parts {
            pieces.extend(self.piece(part, drops)?);
        }
        Ok(pieces)
    }

    fn piece(&self, part: &Part, drops: &mut Drops) -> Result<Option<Piece>, Problem> {
        Ok(match part {
            Part::Text(Text { text, cache, .. }) if !text.is_empty() => {
                Some(self.text(text, *cache))
            }
            Part::Refusal(words) if !words.is_empty() => Some(Piece::Text(words.clone())),
            Part::Image(media) => Some(self.image(media, drops)?),
            Part::Audio(media) => Some(self.audio(media, drops)?),
            Part::Document(media) => self.document(media, drops)?,
            Part::Hosted { kind, .. } => {
                leave_out_block(drops, kind)?;
                None
            }
            Part::Text(_)
            | Part::Refusal(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Thinking(_) => None,
        })
    }

    fn text(&self, text: &str, cache: Option<CacheMarker>) -> Piece {
        match self.marker(cache) {
            None => Piece::Text(text.to_owned()),
            Some(marker) => Piece::Json(
                Obj::new()
                    .str("type", "text")
                    .str("text", text)
                    .raw("cache_control", &marker)
                    .end(),
            ),
        }
    }

    fn marker(&self, cache: Option<CacheMarker>) -> Option<String> {
        cache.filter(|_| self.quirks.cache).map(marker)
    }

    fn image(&self, media: &Media, drops: &Drops) -> Result<Piece, Problem> {
        let url = match &media.source {
            Source::Inline { media_type, data } => data_uri(media_type, data),
            Source::Url(url) => url.clone(),
            Source::Text(_) | Source::File(_) => return Err(self.elsewhere(drops)),
        };
        let image = Obj::new()
            .str("url", &url)
            .str_if("detail", media.detail.as_deref());
        Ok(Piece::Json(
            Obj::new()
                .str("type", "image_url")
                .raw("image_url", &image.end())
                .raw_if("cache_control", self.marker(media.cache).as_deref())
                .end(),
        ))
    }

    fn audio(&self, media: &Media, drops: &Drops) -> Result<Piece, Problem> {
        let Source::Inline { media_type, data } = &media.source else {
            return Err(self.elsewhere(drops));
        };
        let format = match media_type.as_str() {
            "audio/mpeg" | "audio/mp3" => "mp3",
            "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
            other => other.strip_prefix("audio/").unwrap_or(other),
        };
        let audio = Obj::new().str("data", data).str("format", format);
        Ok(Piece::Json(
            Obj::new()
                .str("type", "input_audio")
                .raw("input_audio", &audio.end())
                .end(),
        ))
    }

    /// Text documents are text everywhere; other files are `file` parts.
    fn document(&self, media: &Media, drops: &Drops) -> Result<Option<Piece>, Problem> {
        let file = match &media.source {
            Source::Text(text) if text.is_empty() => return Ok(None),
            Source::Text(text) => return Ok(Some(self.text(text, media.cache))),
            Source::Inline { media_type, data } => {
                if self.from != Dialect::Chat
                    && let Some(text) = plain_text(media_type, data)
                {
                    return Ok((!text.is_empty()).then(|| self.text(&text, media.cache)));
                }
                Obj::new()
                    .str("filename", media.name.as_deref().unwrap_or("document.pdf"))
                    .str("file_data", &data_uri(media_type, data))
            }
            // An id is known at the one provider that gave it.
            Source::File(id) if self.from == Dialect::Chat || self.quirks.platform => Obj::new()
                .str_if("filename", media.name.as_deref())
                .str("file_id", id),
            Source::File(_) | Source::Url(_) => return Err(self.elsewhere(drops)),
        };
        Ok(Some(Piece::Json(
            Obj::new()
                .str("type", "file")
                .raw("file", &file.end())
                .raw_if("cache_control", self.marker(media.cache).as_deref())
                .end(),
        )))
    }

    fn elsewhere(&self, drops: &Drops) -> Problem {
        let name = match self.from {
            Dialect::Responses => "input",
            Dialect::Gemini => "contents",
            Dialect::Chat | Dialect::Messages | Dialect::Converse => "messages",
        };
        drops.refuse(
            name,
            "it cannot get at a file that is stored elsewhere",
            "send the file itself in the message",
        )
    }
}

fn leave_out_block(drops: &mut Drops, kind: &str) -> Result<(), Problem> {
    drops.leave_out(kind, "it is of a tool that another provider runs")
}

fn message(role: &str) -> Obj {
    Obj::new().str("role", role)
}

/// A cache marker as it stands on a part.
pub(super) fn marker(marker: CacheMarker) -> String {
    let ttl = marker.one_hour.then_some("1h");
    Obj::new().str("type", "ephemeral").str_if("ttl", ttl).end()
}

/// One string, when all is text.
fn joined(pieces: &[Piece]) -> Option<String> {
    let texts: Option<Vec<&str>> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Json(_) => None,
        })
        .collect();
    let mut out = String::new();
    quote(&texts?.join("\n\n"), &mut out);
    Some(out)
}

fn listed(pieces: &[Piece]) -> String {
    array(pieces.iter().map(|piece| match piece {
        Piece::Text(text) => Obj::new().str("type", "text").str("text", text).end(),
        Piece::Json(json) => json.clone(),
    }))
}

/// The text in a text document.
fn plain_text(media_type: &str, data: &str) -> Option<String> {
    let is_text = media_type.starts_with("text/") || media_type == "application/json";
    let bytes = is_text.then(|| data_encoding::BASE64.decode(data.as_bytes()).ok())??;
    String::from_utf8(bytes).ok()
}

/// A stable id of nine letters and digits for a longer one.
fn short(id: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // FNV-1a: short, the same on every machine, and nobody gains by a collision in an own conversation.
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut out = String::new();
    for _ in 0..9 {
        let digit = usize::try_from(hash % 36).unwrap_or_default();
        out.extend(DIGITS.get(digit).copied().map(char::from));
        hash /= 36;
    }
    out
}
