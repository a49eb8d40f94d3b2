//! Finds image, audio and document bytes in the shapes of the vendors and puts their size there.
//!
//! The forms: Anthropic `source`, chat `image_url`, `input_audio`, `file` and `audio`, Responses
//! `input_image`, `input_file` and `image_generation_call`, Gemini `inlineData`, MCP `data` with
//! `mimeType`, and `data:` addresses wherever they stand.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{raw, set};

/// Base64 of this length under a name that holds bytes is taken for bytes.
const LONG: usize = 512;

type Field<'a> = (&'a RawValue, &'a RawValue);

/// The replacement of an object that is a piece of media.
pub(super) fn of_object(fields: &[Field<'_>]) -> Option<Value> {
    let field = |wanted: &str| {
        fields
            .iter()
            .rev()
            .find(|(key, _)| raw::name(key) == wanted)
            .map(|(_, value)| *value)
    };
    let text = |wanted: &str| field(wanted).and_then(raw::string);
    let kind = text("type");
    let kind = kind.as_deref();

    if let Some(source) = field("source")
        && let Some(data) = raw::member(source, "data")
        && is(source, "type", "base64")
    {
        return replaced(kind, string_member(source, "media_type").as_deref(), data);
    }
    if let Some(image) = field("image_url") {
        let address = raw::member(image, "url").unwrap_or(image);
        if let Some((mime, payload)) = data_address(address) {
            return Some(described("image", Some(&mime), decoded_size(payload)));
        }
    }
    if let Some(audio) = field("input_audio")
        && let Some(data) = raw::member(audio, "data")
    {
        let mime = string_member(audio, "format").map(|format| format!("audio/{format}"));
        return replaced(Some("audio"), mime.as_deref(), data);
    }
    if let Some(file) = field("file")
        && let Some(data) = raw::member(file, "file_data")
    {
        return file_of(data, string_member(file, "filename"));
    }
    if let Some(data) = field("file_data") {
        return file_of(data, text("filename").map(Cow::into_owned));
    }
    if let Some(inline) = field("inlineData").or_else(|| field("inline_data"))
        && let Some(data) = raw::member(inline, "data")
    {
        let mime = string_member(inline, "mimeType").or_else(|| string_member(inline, "mime_type"));
        return replaced(None, mime.as_deref(), data);
    }
    if kind == Some("image_generation_call")
        && let Some(data) = field("result")
    {
        let format = text("output_format");
        let mime = format!("image/{}", format.as_deref().unwrap_or("png"));
        return replaced(Some("image"), Some(&mime), data);
    }
    // Anthropic's `source` of type `text` has a media type too, and words in its data.
    let data = field("data").filter(|data| kind != Some("text") && is_packed(data))?;
    if kind == Some("redacted_thinking") {
        return replaced(kind, None, data);
    }
    if let Some(mime) = ["mimeType", "mime_type", "media_type"]
        .into_iter()
        .find_map(text)
    {
        return replaced(kind, Some(&mime), data);
    }
    // The spoken answer of a chat completion.
    if field("transcript").is_some() || field("expires_at").is_some() {
        let mut audio = replaced(Some("audio"), None, data)?;
        if let Some(transcript) = text("transcript") {
            set(&mut audio, "transcript", transcript.into_owned());
        }
        return Some(audio);
    }
    None
}

/// The replacement of a field whose name says that it holds bytes.
pub(super) fn of_field(name: &str, value: &RawValue) -> Option<Value> {
    let named = matches!(
        name,
        "data" | "b64_json" | "file_data" | "result" | "partial_image_b64"
    );
    let inner = raw::inner(value).filter(|inner| named && inner.len() >= LONG)?;
    is_base64(inner).then(|| described("base64", None, decoded_size(inner)))
}

/// The replacement of a string that is a `data:` address.
pub(super) fn of_string(value: &RawValue) -> Option<Value> {
    let (mime, payload) = data_address(value)?;
    Some(described(
        kind_of(&mime),
        Some(&mime),
        decoded_size(payload),
    ))
}

fn file_of(data: &RawValue, name: Option<String>) -> Option<Value> {
    let mut file = match data_address(data) {
        Some((mime, payload)) => described("file", Some(&mime), decoded_size(payload)),
        None => described("file", None, decoded_size(raw::inner(data)?)),
    };
    if let Some(name) = name {
        set(&mut file, "filename", name);
    }
    Some(file)
}

fn replaced(kind: Option<&str>, mime: Option<&str>, data: &RawValue) -> Option<Value> {
    let bytes = decoded_size(raw::inner(data)?);
    let kind = kind.or_else(|| mime.map(kind_of)).unwrap_or("file");
    Some(described(kind, mime, bytes))
}

fn described(kind: &str, mime: Option<&str>, bytes: usize) -> Value {
    let mut media = json!({"type": kind, "bytes": bytes});
    if let Some(mime) = mime {
        set(&mut media, "mime", mime);
    }
    media
}

fn kind_of(mime: &str) -> &'static str {
    match mime.split('/').next() {
        Some("image") => "image",
        Some("audio") => "audio",
        Some("video") => "video",
        Some(_) | None => "file",
    }
}

fn is(object: &RawValue, name: &str, wanted: &str) -> bool {
    raw::member(object, name)
        .and_then(raw::string)
        .is_some_and(|found| found == wanted)
}

fn string_member(object: &RawValue, name: &str) -> Option<String> {
    raw::member(object, name)
        .and_then(raw::string)
        .map(Cow::into_owned)
}

/// The media type and the payload of a `data:` address.
fn data_address(value: &RawValue) -> Option<(String, &str)> {
    let rest = raw::inner(value)?.strip_prefix("data:")?;
    // Media types are short; `\/` is how PHP writes their slash.
    let at = memchr::memmem::find(rest.as_bytes().get(..rest.len().min(256))?, b";base64,")?;
    let payload = rest.get(at + 8..)?;
    is_base64(payload).then(|| {
        (
            raw::unescape(rest.get(..at).unwrap_or_default()).into_owned(),
            payload,
        )
    })
}

fn is_packed(value: &RawValue) -> bool {
    raw::inner(value).is_some_and(is_base64)
}

/// Whether the beginning and the end are base64 of either alphabet.
fn is_base64(payload: &str) -> bool {
    let bytes = payload.as_bytes();
    let known = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\\')
    };
    bytes.iter().take(128).all(known) && bytes.iter().rev().take(128).all(known)
}

fn decoded_size(payload: &str) -> usize {
    let escapes = memchr::memchr_iter(b'\\', payload.as_bytes()).count();
    let padding = payload
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    (payload.len() - escapes).saturating_sub(padding) * 3 / 4
}
