//! Turns captured request and response bytes into the message arrays that traces show (observability 7).
//!
//! Pure: bytes in, JSON out. Never fails: what cannot be read becomes one message with the raw text,
//! decoded lossily and marked `"unparsed": true`. Must never be used to change what is forwarded.
//!
//! Two message shapes come out, the ones that callers send: chat messages (`content`, `reasoning`,
//! `tool_calls`, role `tool`), to which Responses items are flattened too, and Anthropic messages with
//! content blocks, which Gemini contents become. What we add to them:
//!
//! | field | on | says |
//! |---|---|---|
//! | `finish_reason` | an answer | the provider's own word |
//! | `incomplete: true` | an answer | its stream stopped before its end |
//! | `error` | an answer | the error body or error event; `content` is what came before it |
//! | `unparsed: true` | any | the bytes were not what the form said: `content` is their text |
//! | `lossy: true` | any | some bytes were not UTF-8 and were replaced |
//! | `left_out: n` | a message of role `left_out` | n messages were cut here |
//!
//! Image, audio and document bytes become `{type, mime, bytes}`, with the decoded size.
//!
//! Start at [`input_messages`], [`output_messages`] and, for bodies over the limit, [`cut`].

mod build;
mod contents;
mod items;
mod media;
pub(crate) mod raw;
mod request;
mod response;
mod stream;
mod text;

use lw_core::BodyForm;
use serde_json::{Value, json};

use build::Room;
use raw::Top;

pub use text::{preview_of, text_of};

/// A body made to fit the trace store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What to keep.
    pub bytes: Vec<u8>,
    /// How to read it: [`BodyForm::Messages`], or the form that it had.
    pub form: BodyForm,
    /// Whether any message text is missing. Replaced media, and fields outside the messages such as
    /// tool definitions, do not count.
    pub truncated: bool,
}

/// The messages of a request: always an array.
#[must_use]
pub fn input_messages(form: BodyForm, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Array(Vec::new());
    }
    if form == BodyForm::Messages {
        return kept_messages("user", bytes);
    }
    let read = || {
        let top = Top::read(raw::utf8(bytes)?)?;
        request::messages(form, &top, &mut Room::unlimited())
    };
    read().map_or_else(|| raw_messages("user", form, bytes), Value::Array)
}

/// The messages of an answer, its stream put together again: always an array.
#[must_use]
pub fn output_messages(form: BodyForm, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Array(Vec::new());
    }
    if form == BodyForm::Messages {
        return kept_messages("assistant", bytes);
    }
    answer(form, bytes).map_or_else(|| raw_messages("assistant", form, bytes), Value::Array)
}

/// The text of [`input_messages`], a line for each piece, for search.
#[must_use]
pub fn input_text(form: BodyForm, bytes: &[u8]) -> String {
    text_of(&input_messages(form, bytes))
}

/// The text of [`output_messages`], a line for each piece, for search.
#[must_use]
pub fn output_text(form: BodyForm, bytes: &[u8]) -> String {
    text_of(&output_messages(form, bytes))
}

/// Makes a body fit `limit` bytes, give or take a short note of what is missing.
///
/// A body that fits comes back as it is. Of a larger one only its messages are kept; if they are too
/// large as well, the middle goes: the system message and the newest turns stay, and what is itself too
/// large loses its own middle, never half a character. Whether the bytes are a request or an answer is
/// seen from their top-level fields. A large request costs one pass of the JSON scanner and memory in
/// proportion to `limit`, not to the body; answers are put together first.
///
/// A body that cannot be read keeps its form and loses the middle of its text.
#[must_use]
pub fn cut(form: BodyForm, bytes: &[u8], limit: usize) -> Cut {
    if bytes.len() <= limit {
        return Cut {
            bytes: bytes.to_vec(),
            form,
            truncated: false,
        };
    }
    let mut room = Room::new(limit);
    if let Some(messages) = shortened(form, bytes, &mut room)
        && let Ok(bytes) = serde_json::to_vec(&messages)
    {
        return Cut {
            bytes,
            form: BodyForm::Messages,
            truncated: room.cut,
        };
    }
    Cut {
        bytes: raw::without_middle(bytes, limit),
        form,
        truncated: true,
    }
}

fn shortened(form: BodyForm, bytes: &[u8], room: &mut Room) -> Option<Vec<Value>> {
    match form {
        BodyForm::ChatJson
        | BodyForm::ResponsesJson
        | BodyForm::MessagesJson
        | BodyForm::GeminiJson
        | BodyForm::EmbeddingsJson => {
            // Without a top level it may still be a stream; `answer` sees to that.
            let top = raw::utf8(bytes).and_then(Top::read);
            if let Some(top) = top.filter(|top| request::is_request(form, top)) {
                return request::messages(form, &top, room);
            }
        }
        BodyForm::ChatStream
        | BodyForm::ResponsesStream
        | BodyForm::MessagesStream
        | BodyForm::GeminiStream => {}
        BodyForm::Opaque => return None,
        BodyForm::Messages => {
            return request::array(raw::value(raw::utf8(bytes)?)?, room);
        }
    }
    let whole = serde_json::to_string(&answer(form, bytes)?).ok()?;
    request::array(raw::value(&whole)?, room)
}

/// The messages of an answer, or `None` if it cannot be read.
fn answer(form: BodyForm, bytes: &[u8]) -> Option<Vec<Value>> {
    // A provider may answer a streaming request with plain JSON (mostly errors), and the reverse.
    let json = |form| response::messages(form, &Top::read(raw::utf8(bytes)?)?);
    let gemini = |bytes| contents::answer(raw::value(raw::utf8(bytes)?)?);
    match form {
        BodyForm::ChatJson => json(form).or_else(|| stream::chat(bytes)),
        BodyForm::ChatStream => stream::chat(bytes).or_else(|| json(BodyForm::ChatJson)),
        BodyForm::ResponsesJson => json(form).or_else(|| stream::responses(bytes)),
        BodyForm::ResponsesStream => {
            stream::responses(bytes).or_else(|| json(BodyForm::ResponsesJson))
        }
        BodyForm::MessagesJson => json(form).or_else(|| stream::anthropic(bytes)),
        BodyForm::MessagesStream => {
            stream::anthropic(bytes).or_else(|| json(BodyForm::MessagesJson))
        }
        BodyForm::GeminiJson => gemini(bytes)
            .or_else(|| stream::gemini(bytes))
            .or_else(|| contents::answer_so_far(bytes)),
        BodyForm::GeminiStream => stream::gemini(bytes)
            .or_else(|| gemini(bytes))
            .or_else(|| contents::answer_so_far(bytes)),
        BodyForm::EmbeddingsJson => json(form),
        BodyForm::Opaque | BodyForm::Messages => None,
    }
}

fn kept_messages(role: &str, bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(messages @ Value::Array(_)) => messages,
        Ok(_) | Err(_) => raw_messages(role, BodyForm::Messages, bytes),
    }
}

/// One message with the text of the bytes. Bytes with a NUL in them are no text (audio, archives).
fn raw_messages(role: &str, form: BodyForm, bytes: &[u8]) -> Value {
    let mut message = if memchr::memchr(0, bytes).is_some() {
        json!({"role": role, "content": [{"type": "binary", "bytes": bytes.len()}]})
    } else {
        let mut message = json!({"role": role, "content": String::from_utf8_lossy(bytes)});
        if std::str::from_utf8(bytes).is_err() {
            set(&mut message, "lossy", true);
        }
        message
    };
    if form != BodyForm::Opaque {
        set(&mut message, "unparsed", true);
    }
    Value::Array(vec![message])
}

/// Sets a field of an object; anything else stays as it is.
fn set(target: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = target {
        fields.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests;
