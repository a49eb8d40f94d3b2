//! Seals of other vendors in a body that goes on natively.
//!
//! A conversation may change its provider: a caller then sends back thinking that another vendor sealed, in
//! the tagged form of [`crate::signature`]. The vendor whose dialect it is refuses what it did not seal, so
//! these blocks are cut out; every other byte stays. Start at [`foreign`].

use std::ops::Range;

use data_encoding::BASE64;
use lw_wire::splice::Edits;
use memchr::memmem;
use serde_json::value::RawValue;

use crate::Dialect;
use crate::json::{self, Object};

/// How a tagged seal begins.
const TAG: &str = "lw1.";

/// The edits that take the seals of other vendors out of a body; `None` when there are none, which costs one
/// look at the bytes.
#[must_use]
pub fn foreign(dialect: Dialect, body: &[u8]) -> Option<Edits> {
    let mark: &[u8] = match dialect {
        Dialect::Messages | Dialect::Responses => TAG.as_bytes(),
        // Tagged text in base64: the first bytes are the same whatever follows.
        Dialect::Gemini => b"bHcxL",
        Dialect::Chat | Dialect::Converse => return None,
    };
    memmem::find(body, mark)?;
    let top = Object::of_body(body).ok()?;
    let mut edits = Edits::default();
    match dialect {
        Dialect::Messages => {
            for message in elements(top.get("messages")) {
                let content = object(message).and_then(|message| message.get("content"));
                cut(body, content, &mut edits, is_foreign_thinking);
            }
        }
        Dialect::Responses => cut(body, top.get("input"), &mut edits, is_foreign_reasoning),
        _ => {
            for content in elements(top.get("contents")) {
                let parts = object(content).and_then(|content| content.get("parts"));
                cut(body, parts, &mut edits, is_foreign_thought);
                unseal(body, parts, &mut edits);
            }
        }
    }
    (!edits.is_empty()).then_some(edits)
}

fn object(raw: &RawValue) -> Option<Object<'_>> {
    Object::read(raw, "").ok()
}

fn elements(raw: Option<&RawValue>) -> Vec<&RawValue> {
    raw.and_then(|raw| json::list(raw, "").ok())
        .unwrap_or_default()
}

fn text_at(object: &Object<'_>, key: &str) -> Option<String> {
    json::text(object.get(key)?)
}

fn is_foreign_thinking(block: &Object<'_>) -> bool {
    let field = match text_at(block, "type").as_deref() {
        Some("thinking") => "signature",
        Some("redacted_thinking") => "data",
        _ => return false,
    };
    text_at(block, field).is_some_and(|seal| seal.starts_with(TAG))
}

fn is_foreign_reasoning(item: &Object<'_>) -> bool {
    text_at(item, "type").as_deref() == Some("reasoning")
        && text_at(item, "encrypted_content").is_some_and(|seal| seal.starts_with(TAG))
}

fn seal_of(part: &Object<'_>) -> Option<(&'static str, String)> {
    ["thoughtSignature", "thought_signature"]
        .into_iter()
        .find_map(|key| Some((key, text_at(part, key)?)))
}

/// Whether a seal of Gemini's form is a tagged one. Callers send either alphabet.
fn is_tagged(seal: &str) -> bool {
    let standard = seal.replace('-', "+").replace('_', "/");
    let padded = format!("{}{}", standard.trim_end_matches('='), padding(&standard));
    BASE64
        .decode(padded.as_bytes())
        .is_ok_and(|bytes| memmem::find(&bytes, TAG.as_bytes()).is_some_and(|at| at < 16))
}

fn padding(text: &str) -> &'static str {
    match text.trim_end_matches('=').len() % 4 {
        2 => "==",
        3 => "=",
        _ => "",
    }
}

/// Thinking that another vendor sealed.
fn is_foreign_thought(part: &Object<'_>) -> bool {
    let thought = part.get("thought").is_some_and(|raw| raw.get() == "true");
    thought && seal_of(part).is_some_and(|(_, seal)| is_tagged(&seal))
}

/// Where `raw` stands in `body`.
fn place(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + raw.get().len()
}

/// Cuts the elements of a list that `goes` says so of, each with one of the commas beside it.
fn cut(
    body: &[u8],
    list: Option<&RawValue>,
    edits: &mut Edits,
    goes: impl Fn(&Object<'_>) -> bool,
) {
    let elements = elements(list);
    let going: Vec<bool> = elements
        .iter()
        .map(|raw| object(raw).is_some_and(|object| goes(&object)))
        .collect();
    if going.iter().all(|goes| *goes) {
        // A turn without anything is refused as well: then the provider shall say what it does not like.
        return;
    }
    let mut kept_before = false;
    for (n, raw) in elements.iter().enumerate() {
        if going.get(n) != Some(&true) {
            kept_before = true;
            continue;
        }
        let at = place(body, raw);
        let next = elements.get(n + 1).map(|next| place(body, next).start);
        let before = n
            .checked_sub(1)
            .and_then(|n| elements.get(n))
            .map(|before| place(body, before).end);
        match (next, before) {
            // Up to the next element, comma included; the last ones take the comma before them.
            (Some(next), _) if !rest_goes(&going, n) => edits.replace(at.start..next, ""),
            (_, Some(before)) if kept_before => edits.replace(before..at.end, ""),
            _ => {}
        }
    }
}

/// Whether everything from `n` on goes.
fn rest_goes(going: &[bool], n: usize) -> bool {
    going.iter().skip(n).all(|goes| *goes)
}

/// Takes a foreign seal off a part that stays.
fn unseal(body: &[u8], parts: Option<&RawValue>, edits: &mut Edits) {
    for raw in elements(parts) {
        let Some(part) = object(raw) else {
            continue;
        };
        let Some((key, seal)) = seal_of(&part) else {
            continue;
        };
        if is_foreign_thought(&part) || !is_tagged(&seal) {
            continue;
        }
        let kept = part
            .iter()
            .filter(|(name, _)| *name != key)
            .fold(json::Obj::new(), |out, (name, value)| {
                out.raw(name, value.get())
            });
        edits.replace(place(body, raw), kept.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn without(dialect: Dialect, body: &str) -> Option<String> {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let pieces = foreign(dialect, &bytes)?.apply(&bytes);
        String::from_utf8(pieces.into_inner().concat()).ok()
    }

    #[test]
    fn blocks_that_another_vendor_sealed_are_cut_and_nothing_else() {
        let theirs = r#"{"type":"thinking","thinking":"x","signature":"lw1.openai.abc"}"#;
        let own = r#"{"type":"thinking","thinking":"x","signature":"EqQB"}"#;
        let text = r#"{"type":"text","text":"lw1. is a tag"}"#;
        let body = |blocks: &str| {
            format!(r#"{{ "messages" : [{{"role":"assistant","content":[{blocks}]}}], "n":1.0 }}"#)
        };
        for (before, after) in [
            (format!("{theirs}, {text}"), text.to_owned()),
            (format!("{text} ,{theirs}"), text.to_owned()),
            (
                format!("{theirs},{text},{theirs},{theirs}"),
                text.to_owned(),
            ),
            (format!("{own},{theirs},{text}"), format!("{own},{text}")),
        ] {
            assert_eq!(
                without(Dialect::Messages, &body(&before)),
                Some(body(&after))
            );
        }
        assert_eq!(without(Dialect::Messages, &body(text)), None);
        assert_eq!(
            without(Dialect::Messages, &body(theirs)),
            None,
            "a turn is never emptied"
        );
    }

    #[test]
    fn reasoning_items_and_thought_signatures_of_others_go_too() {
        let body = r#"{"input":[{"type":"reasoning","summary":[],"encrypted_content":"lw1.anthropic.x"},{"role":"user","content":"hi"}]}"#;
        assert_eq!(
            without(Dialect::Responses, body).as_deref(),
            Some(r#"{"input":[{"role":"user","content":"hi"}]}"#)
        );
        let seal = BASE64.encode(b"lw1.anthropic.EqQB");
        let body = format!(
            r#"{{"contents":[{{"parts":[{{"thought":true,"text":"x","thoughtSignature":"{seal}"}},{{"functionCall":{{"name":"f"}},"thoughtSignature":"{seal}"}}]}}]}}"#
        );
        assert_eq!(
            without(Dialect::Gemini, &body).as_deref(),
            Some(r#"{"contents":[{"parts":[{"functionCall":{"name":"f"}}]}]}"#)
        );
        let own = BASE64.encode(b"\x0a\x24\x01\xe3google");
        let body = format!(
            r#"{{"contents":[{{"parts":[{{"text":"bHcxL","thoughtSignature":"{own}"}}]}}]}}"#
        );
        assert_eq!(without(Dialect::Gemini, &body), None);
    }
}
