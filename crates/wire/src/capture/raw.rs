//! Reading JSON by slices: what is not looked at is skipped, not built.
//!
//! The scanner is `serde_json`'s own, so that this has no second idea of what valid JSON is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The top-level fields of the bodies that we know. A later duplicate wins; `null` is absence.
#[derive(Debug, Default)]
pub(super) struct Top<'a> {
    pub(super) messages: Option<&'a RawValue>,
    pub(super) system: Option<&'a RawValue>,
    pub(super) instructions: Option<&'a RawValue>,
    pub(super) input: Option<&'a RawValue>,
    pub(super) choices: Option<&'a RawValue>,
    pub(super) content: Option<&'a RawValue>,
    pub(super) stop_reason: Option<&'a RawValue>,
    pub(super) output: Option<&'a RawValue>,
    pub(super) status: Option<&'a RawValue>,
    pub(super) incomplete_details: Option<&'a RawValue>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    pub(super) contents: Option<&'a RawValue>,
    pub(super) system_instruction: Option<&'a RawValue>,
}

impl<'a> Top<'a> {
    /// The fields of an object that fills `text`.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut top = Self::default();
        let mut reader = serde_json::Deserializer::from_str(text);
        let visitor = Members(|key: &'a RawValue, value: &'a RawValue| {
            let slot = match name(key).as_ref() {
                "messages" => &mut top.messages,
                "system" => &mut top.system,
                "instructions" => &mut top.instructions,
                "input" => &mut top.input,
                "choices" => &mut top.choices,
                "content" => &mut top.content,
                "stop_reason" => &mut top.stop_reason,
                "output" => &mut top.output,
                "status" => &mut top.status,
                "incomplete_details" => &mut top.incomplete_details,
                "data" => &mut top.data,
                "error" => &mut top.error,
                "contents" => &mut top.contents,
                "systemInstruction" | "system_instruction" => &mut top.system_instruction,
                _ => return,
            };
            *slot = Some(value).filter(|value| value.get() != "null");
        });
        reader.deserialize_map(visitor).ok()?;
        reader.end().ok()?;
        Some(top)
    }
}

/// The bytes as text, without a byte order mark.
pub(crate) fn utf8(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The one value that fills `text`.
pub(crate) fn value(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

pub(crate) fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// What stands between the quotes of a string.
pub(super) fn inner(raw: &RawValue) -> Option<&str> {
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

/// A string, unescaped.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    inner(raw).map(unescape)
}

/// A key, unescaped. Keys so long that none of ours is meant are left as they are.
pub(crate) fn name(key: &RawValue) -> Cow<'_, str> {
    let inner = inner(key).unwrap_or_default();
    if inner.len() > 256 {
        Cow::Borrowed(inner)
    } else {
        unescape(inner)
    }
}

/// Calls `each` with the members of an object.
pub(crate) fn members<'a>(raw: &'a RawValue, each: impl FnMut(&'a RawValue, &'a RawValue)) {
    // The raw value has been scanned before, so that only a value of another kind is an error here.
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members(each));
}

/// Calls `each` with the elements of an array.
pub(crate) fn elements<'a>(raw: &'a RawValue, each: impl FnMut(&'a RawValue)) {
    // As above.
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Elements(each));
}

/// The whole elements of a list of which the end may be missing, and whether it is there. `None` for what is no list.
pub(crate) fn elements_so_far(bytes: &[u8]) -> Option<(Vec<&RawValue>, bool)> {
    let mut rest = bytes.trim_ascii_start().strip_prefix(b"[")?;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest);
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let Some(Ok(value)) = values.next() else {
            return Some((found, rest.trim_ascii() == b"]"));
        };
        found.push(value);
        rest = rest.get(values.byte_offset()..).unwrap_or_default();
    }
}

/// The last member of an object with that name.
pub(crate) fn member<'a>(raw: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    if is_object(raw) {
        members(raw, |key, value| {
            if name(key) == wanted {
                found = Some(value);
            }
        });
    }
    found
}

struct Members<F>(F);

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

/// The text of the inside of a JSON string. Total: half a surrogate pair becomes U+FFFD, which
/// `serde_json` refuses and which callers do send (an emoji cut in two by a JavaScript `slice`).
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, tail)) =
        memchr::memchr(b'\\', rest.as_bytes()).and_then(|at| rest.split_at_checked(at))
    {
        text.push_str(plain);
        let (decoded, length) = escape(tail);
        text.extend(decoded);
        rest = tail.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character of the escape that `text` begins with, and the length of the escape.
fn escape(text: &str) -> (Option<char>, usize) {
    let short = |decoded| (Some(decoded), 2);
    match text.as_bytes().get(1) {
        Some(b'n') => short('\n'),
        Some(b't') => short('\t'),
        Some(b'r') => short('\r'),
        Some(b'b') => short('\u{8}'),
        Some(b'f') => short('\u{c}'),
        Some(b'"') => short('"'),
        Some(b'\\') => short('\\'),
        Some(b'/') => short('/'),
        Some(b'u') => {
            let Some(first) = hex(text, 2) else {
                return (None, text.len().min(6));
            };
            if (0xd800..0xdc00).contains(&first)
                && text.get(6..8) == Some("\\u")
                && let Some(second @ 0xdc00..0xe000) = hex(text, 8)
            {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return (char::from_u32(code), 12);
            }
            (
                Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)),
                6,
            )
        }
        Some(_) | None => (None, 1),
    }
}

fn hex(text: &str, at: usize) -> Option<u32> {
    u32::from_str_radix(text.get(at..at + 4)?, 16).ok()
}

/// The last place at or before `at` where the inside of a JSON string may be parted without breaking
/// a character or an escape.
pub(super) fn boundary(inner: &str, at: usize) -> usize {
    let bytes = inner.as_bytes();
    if at >= bytes.len() {
        return bytes.len();
    }
    // The longest escape is a surrogate pair, 12 bytes: one that covers `at` begins within 11.
    for start in at.saturating_sub(11)..at {
        if bytes.get(start) != Some(&b'\\') {
            continue;
        }
        let before = bytes.get(..start).unwrap_or_default();
        let run = before
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if run % 2 == 0 && start + escape(inner.get(start..).unwrap_or_default()).1 > at {
            return start;
        }
    }
    (0..=at)
        .rev()
        .find(|at| inner.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The text with its middle taken out and a note in its place, so that it serialises to no more than
/// `room` bytes with its quotes (given room for the note).
pub(crate) fn string_without_middle(inner: &str, room: usize) -> String {
    let half = room.saturating_sub(72) / 2;
    let head = boundary(inner, half);
    let tail = boundary(inner, inner.len().saturating_sub(half)).max(head);
    let text = |range: Option<&str>| unescape(range.unwrap_or_default()).into_owned();
    let missing = tail - head;
    let (head, tail) = (text(inner.get(..head)), text(inner.get(tail..)));
    format!("{head}\n[{missing} bytes left out]\n{tail}")
}

/// Bytes with their middle taken out and a note in its place. The note keeps them from being valid
/// JSON by accident.
pub(super) fn without_middle(bytes: &[u8], limit: usize) -> Vec<u8> {
    let half = limit.saturating_sub(48) / 2;
    let whole_character = |mut at: usize| {
        for _ in 0..3 {
            if bytes
                .get(at)
                .is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
            {
                at = at.saturating_sub(1);
            }
        }
        at
    };
    let head = whole_character(half.min(bytes.len()));
    let tail = whole_character(bytes.len().saturating_sub(half)).max(head);
    let mut kept = bytes.get(..head).unwrap_or_default().to_vec();
    kept.extend_from_slice(format!("\n[{} bytes left out]\n", tail - head).as_bytes());
    kept.extend_from_slice(bytes.get(tail..).unwrap_or_default());
    kept
}
