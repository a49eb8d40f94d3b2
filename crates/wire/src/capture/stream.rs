//! Puts an answer together again from its event stream.
//!
//! Everything that a stream may lack is tolerated: its end, half of its last event, an event that is not
//! JSON. What came is shown, and `incomplete` says that more was meant to come. The result is the same
//! as if the answer had come as one body.
//!
//! [`crate::sse`] reads a stream that goes by and caps its lines; here the bytes lie still, so that
//! data is borrowed from them and no line is too long.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use serde_json::Value;
use serde_json::value::RawValue;

use super::raw;

pub(super) use anthropic::anthropic;
pub(super) use chat::chat;
pub(super) use gemini::gemini;
pub(super) use responses::responses;

/// Calls `each` with the data of every event. Answers whether the bytes are an event stream at all, or
/// the first bytes of one.
pub(super) fn events(bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (mut found, mut several) = (false, Vec::new());
    let mut data: Option<&[u8]> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let ending = if tail.starts_with(b"\r\n") { 2 } else { 1 };
        rest = tail.get(ending..).unwrap_or_default();
        if line.is_empty() {
            dispatch(&mut data, &mut several, &mut each);
        } else if let Some(more) = line.strip_prefix(b"data:") {
            found = true;
            let more = more.strip_prefix(b" ").unwrap_or(more);
            if let Some(first) = data.replace(more) {
                several.extend_from_slice(first);
                several.push(b'\n');
            }
        }
    }
    dispatch(&mut data, &mut several, &mut each);
    found || begins_like_a_stream(bytes)
}

/// Hands over one event: its last data line, behind those before it if there were several.
fn dispatch(data: &mut Option<&[u8]>, several: &mut Vec<u8>, each: &mut impl FnMut(&[u8])) {
    let Some(last) = data.take() else { return };
    if several.is_empty() {
        each(last);
    } else {
        several.extend_from_slice(last);
        each(several);
        several.clear();
    }
}

fn begins_like_a_stream(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let bytes = start
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    !bytes.is_empty()
        && fields
            .iter()
            .any(|field| bytes.starts_with(field) || field.starts_with(bytes))
}

/// A number, or 0.
fn index(raw: Option<&RawValue>) -> u64 {
    raw.and_then(|raw| raw.get().parse().ok())
        .unwrap_or_default()
}

/// Adds a string to a text; anything else adds nothing.
fn push(text: &mut String, piece: Option<&RawValue>) {
    if let Some(piece) = piece.and_then(raw::string) {
        text.push_str(&piece);
    }
}

/// Adds a string to a text that need not exist.
fn push_some(text: &mut Option<String>, piece: Option<&RawValue>) {
    if let Some(piece) = piece.and_then(raw::string) {
        text.get_or_insert_default().push_str(&piece);
    }
}

/// Text that is not empty, as a value.
fn filled(text: String) -> Option<Value> {
    (!text.is_empty()).then_some(Value::String(text))
}

/// Says that the end of the stream is missing.
pub(super) fn incomplete(messages: &mut Vec<Value>) {
    if messages.is_empty() {
        messages.push(serde_json::json!({"role": "assistant", "content": null}));
    }
    if let Some(last) = messages.last_mut() {
        super::set(last, "incomplete", true);
    }
}
