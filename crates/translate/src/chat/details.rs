//! `reasoning_details`: thinking and its seals in Chat Completions, in the form that OpenRouter gave them.
//!
//! An entry says by its `format` whose seal it holds, so a message that the caller sends back unchanged
//! restores what the provider wants to see again. Callers gather the entries of a stream without joining
//! them, so pieces of one block (same `index` or `id`) are joined when they are read. Reading is lenient: an
//! entry that says nothing is passed over.

use serde_json::value::RawValue;

use crate::ir::Thinking;
use crate::json::{Obj, Object, text};
use crate::signature::{Origin, Signature};

/// One entry as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Detail {
    /// What was thought, or a summary of it.
    pub(super) text: String,
    /// The seal.
    pub(super) seal: Option<Signature>,
    /// The provider's id; for Google's seals the id of the call that is sealed.
    pub(super) id: Option<String>,
    /// Number of the block that it belongs to.
    pub(super) index: Option<u64>,
    /// It is the whole of a hidden block.
    pub(super) redacted: bool,
}

impl Detail {
    /// Reads an entry; `None` when it holds nothing that is known.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let entry = Object::read(raw, "").ok()?;
        let field = |key: &str| entry.get(key).and_then(text);
        let format = field("format");
        let vendor = format.as_deref().and_then(vendor);
        let index = entry
            .get("index")
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        let mut detail = Self {
            id: field("id").filter(|id| !id.is_empty()),
            index,
            ..Self::default()
        };
        match field("type")?.as_str() {
            "reasoning.text" => {
                detail.text = field("text").unwrap_or_default();
                // Entries without a format are older than the field: they are Anthropic's.
                let home = vendor.or(format.is_none().then_some(Origin::Anthropic));
                detail.take_seal(field("signature"), home);
            }
            "reasoning.summary" => detail.text = field("summary").unwrap_or_default(),
            "reasoning.encrypted" => {
                detail.take_seal(field("data"), vendor);
                let whole =
                    |seal: &Signature| matches!(seal.origin, Origin::Anthropic | Origin::Bedrock);
                detail.redacted |= detail.seal.as_ref().is_some_and(whole);
            }
            _ => return None,
        }
        (!detail.text.is_empty() || detail.seal.is_some()).then_some(detail)
    }

    /// Takes the seal in a field. One of OpenAI's goes with the id that stands beside it.
    fn take_seal(&mut self, field: Option<String>, vendor: Option<Origin>) {
        let Some((seal, redacted)) = field.and_then(|value| sealed(&value, vendor)) else {
            return;
        };
        self.redacted = redacted;
        self.seal = Some(match (seal.origin, seal.item()) {
            (Origin::OpenAi, (None, bare)) => Signature::of_item(self.id.as_deref(), bare),
            _ => seal,
        });
    }

    /// The call that a seal of Google is for.
    pub(super) fn call(&self) -> Option<&str> {
        let google = matches!(&self.seal, Some(seal) if seal.origin == Origin::Google);
        self.id
            .as_deref()
            .filter(|_| google && self.text.is_empty())
    }

    /// Whether `next` goes on with this block.
    fn goes_on(&self, next: &Self) -> bool {
        let same_index = self.index.is_some() && self.index == next.index;
        let same_id = self.id.is_some() && self.id == next.id;
        let other_id = self.id.is_some() && next.id.is_some() && !same_id;
        (same_id || (same_index && !other_id))
            && self.seal.is_none()
            && !next.redacted
            && next.call().is_none_or(|_| same_id)
    }

    fn join(&mut self, next: Self) {
        let Self {
            text,
            seal,
            id,
            index,
            redacted: _,
        } = next;
        if self.index != index && !self.text.is_empty() && !text.is_empty() {
            // Another paragraph of the same item.
            self.text.push_str("\n\n");
            self.index = index;
        }
        self.text.push_str(&text);
        self.seal = seal;
        self.id = self.id.take().or(id);
    }
}

impl From<Detail> for Thinking {
    fn from(detail: Detail) -> Self {
        let Detail {
            text,
            seal,
            id,
            index: _,
            redacted,
        } = detail;
        Self {
            text,
            signature: seal,
            redacted,
            id,
        }
    }
}

/// Reads a list of entries and joins the pieces of each block.
pub(super) fn read(list: &[&RawValue]) -> Vec<Detail> {
    let mut found: Vec<Detail> = Vec::new();
    for detail in list.iter().filter_map(|raw| Detail::read(raw)) {
        match found.last_mut() {
            Some(last) if last.goes_on(&detail) => last.join(detail),
            _ => found.push(detail),
        }
    }
    found
}

/// Whose seals a format is of.
fn vendor(format: &str) -> Option<Origin> {
    match format {
        "anthropic-claude-v1" => Some(Origin::Anthropic),
        "openai-responses-v1" | "azure-openai-responses-v1" => Some(Origin::OpenAi),
        "google-gemini-v1" => Some(Origin::Google),
        "bedrock-converse-v1" => Some(Origin::Bedrock),
        _ => None,
    }
}

const fn format(origin: Origin) -> &'static str {
    match origin {
        Origin::Anthropic => "anthropic-claude-v1",
        Origin::OpenAi => "openai-responses-v1",
        Origin::Google => "google-gemini-v1",
        Origin::Bedrock => "bedrock-converse-v1",
    }
}

/// A seal, and whether it is marked as all there is.
fn sealed(value: &str, vendor: Option<Origin>) -> Option<(Signature, bool)> {
    if value.is_empty() {
        return None;
    }
    match vendor {
        Some(home) => Some(Signature::read_marked(value, home)),
        // Without a home only a seal that says whose it is can be used.
        None => {
            let read = Signature::read_marked(value, Origin::Anthropic);
            (read.0.value != value).then_some(read)
        }
    }
}

/// An entry with text alone: a piece of a stream, or thinking without a seal.
pub(super) fn plain(text: &str, index: usize, id: Option<&str>) -> String {
    Obj::new()
        .str("type", "reasoning.text")
        .str("text", text)
        .str_if("id", id)
        .num("index", index)
        .end()
}

/// An entry with a seal alone. `redacted`: it holds the whole block.
pub(super) fn seal(seal: &Signature, index: usize, id: Option<&str>, redacted: bool) -> String {
    let origin = seal.origin;
    let (item, value) = seal.item();
    let signed = matches!(origin, Origin::Anthropic | Origin::Bedrock) && !redacted;
    let entry = if signed {
        Obj::new()
            .str("type", "reasoning.text")
            .str("signature", value)
    } else {
        Obj::new()
            .str("type", "reasoning.encrypted")
            .str("data", value)
    };
    entry
        .str_if("id", id.or(item))
        .str("format", format(origin))
        .num("index", index)
        .end()
}

/// The entries of a whole block.
pub(super) fn write(thinking: &Thinking, index: usize) -> Vec<String> {
    let Thinking {
        text,
        signature,
        redacted,
        id,
    } = thinking;
    let id = id.as_deref();
    match signature {
        None if text.is_empty() => Vec::new(),
        None => vec![plain(text, index, id)],
        Some(sign) if text.is_empty() || *redacted => vec![seal(sign, index, id, *redacted)],
        Some(Signature {
            origin: origin @ (Origin::Anthropic | Origin::Bedrock),
            value,
        }) => vec![
            Obj::new()
                .str("type", "reasoning.text")
                .str("text", text)
                .str("signature", value)
                .str_if("id", id)
                .str("format", format(*origin))
                .num("index", index)
                .end(),
        ],
        Some(sign) => vec![
            Obj::new()
                .str("type", "reasoning.summary")
                .str("summary", text)
                .str_if("id", id)
                .str("format", format(sign.origin))
                .num("index", index)
                .end(),
            seal(sign, index, id, false),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(entries: &[String]) -> Vec<Detail> {
        let json = crate::json::array(entries.iter().cloned());
        let list: Vec<&RawValue> = serde_json::from_str(&json).expect("a list");
        read(&list)
    }

    fn thinking(text: &str, seal: Option<(Origin, &str)>, redacted: bool) -> Thinking {
        Thinking {
            text: text.to_owned(),
            signature: seal.map(|(origin, value)| Signature::new(origin, value)),
            redacted,
            id: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back_whatever_vendor_sealed_it() {
        for block in [
            thinking("a", None, false),
            thinking("a", Some((Origin::Anthropic, "s")), false),
            thinking("", Some((Origin::Anthropic, "hidden")), true),
            thinking("a", Some((Origin::OpenAi, "s")), false),
            thinking("", Some((Origin::OpenAi, "s")), false),
            thinking("a", Some((Origin::Google, "s")), false),
            thinking("a", Some((Origin::Bedrock, "s")), false),
        ] {
            let read = back(&write(&block, 0));
            assert_eq!(read.len(), 1, "{block:?}");
            let again = Thinking::from(read[0].clone());
            assert_eq!(
                (&again.text, &again.signature, again.redacted),
                (&block.text, &block.signature, block.redacted)
            );
        }
    }

    #[test]
    fn the_pieces_of_a_stream_are_joined_and_blocks_kept_apart() {
        let claude = |value: &str| Signature::new(Origin::Anthropic, value);
        let read = back(&[
            plain("The user ", 0, None),
            plain("asks.", 0, None),
            seal(&claude("one"), 0, None, false),
            seal(&claude("hidden"), 1, None, true),
            plain("More.", 2, Some("rs_1")),
            seal(
                &Signature::new(Origin::OpenAi, "two"),
                2,
                Some("rs_1"),
                false,
            ),
        ]);
        let texts: Vec<(&str, bool)> = read
            .iter()
            .map(|one| (one.text.as_str(), one.redacted))
            .collect();
        assert_eq!(
            texts,
            [("The user asks.", false), ("", true), ("More.", false)]
        );
        assert!(read.iter().all(|one| one.seal.is_some()));
    }

    #[test]
    fn a_seal_of_an_unknown_vendor_is_not_believed() {
        let read = back(&[
            r#"{"type":"reasoning.encrypted","data":"x","format":"xai-responses-v1"}"#.to_owned(),
            r#"{"type":"reasoning.text","text":"t","signature":"x","format":"unknown"}"#.to_owned(),
            r#"{"type":"reasoning.text","text":"t","signature":"x"}"#.to_owned(),
            r#"{"type":"reasoning.encrypted","data":"lw1.openai.x"}"#.to_owned(),
            r#"{"type":"reasoning.other"}"#.to_owned(),
            "7".to_owned(),
        ]);
        let seals: Vec<Option<Origin>> = read
            .iter()
            .map(|one| one.seal.as_ref().map(|seal| seal.origin))
            .collect();
        assert_eq!(seals, [None, Some(Origin::Anthropic), Some(Origin::OpenAi)]);
    }
}
