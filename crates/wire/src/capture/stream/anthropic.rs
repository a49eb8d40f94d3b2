//! Anthropic Messages events.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{events, incomplete, index, push};
use crate::capture::response::{all, blocks, fail};
use crate::capture::{raw, set};

// Leaves are raw: a value of an unexpected kind must not cost the event.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
}

#[derive(Debug, Default)]
struct Block {
    /// The block as it began.
    start: Value,
    text: String,
    thinking: String,
    input: String,
}

/// The message of an Anthropic stream, or `None` if the bytes are no stream.
pub(in crate::capture) fn anthropic(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut content: BTreeMap<u64, Block> = BTreeMap::new();
    let (mut started, mut ended) = (false, false);
    let (mut reason, mut error) = (None, None);
    let is_stream = events(bytes, |data| {
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
            return;
        };
        let kind = event.kind.and_then(raw::string).unwrap_or_default();
        match kind.as_ref() {
            "message_start" => started = true,
            "content_block_start" => {
                let start = event.content_block.map(all).unwrap_or_default();
                content.entry(index(event.index)).or_default().start = start;
            }
            "content_block_delta" => {
                let Some(delta) = event.delta else { return };
                let block = content.entry(index(event.index)).or_default();
                // Signatures and citations are not shown.
                push(&mut block.text, delta.text);
                push(&mut block.thinking, delta.thinking);
                push(&mut block.input, delta.partial_json);
            }
            "message_delta" => {
                let stop = event.delta.and_then(|delta| delta.stop_reason);
                reason = stop.map(all).or_else(|| reason.take());
            }
            "message_stop" => ended = true,
            _ => error = event.error.map(all).or_else(|| error.take()),
        }
    });
    if !is_stream {
        return None;
    }
    let mut messages = Vec::new();
    if started || !content.is_empty() {
        let content = content.into_values().map(Block::value).collect();
        messages.push(json!({"role": "assistant", "content": blocks(Value::Array(content))}));
    }
    let ended = ended || reason.is_some();
    if let (Some(last), Some(reason)) = (messages.last_mut(), reason) {
        set(last, "finish_reason", reason);
    }
    match error {
        Some(error) => fail(&mut messages, error),
        None if !ended => incomplete(&mut messages),
        None => {}
    }
    Some(messages)
}

impl Block {
    fn value(self) -> Value {
        let Self {
            start,
            text,
            thinking,
            input,
        } = self;
        let mut block = if start.is_object() {
            start
        } else {
            // The start was lost: the deltas say what it was.
            json!({"type": match (thinking.is_empty(), input.is_empty()) {
                (false, _) => "thinking",
                (true, false) => "tool_use",
                (true, true) => "text",
            }})
        };
        for (name, deltas) in [("text", text), ("thinking", thinking)] {
            if !deltas.is_empty() {
                let begun = block.get(name).and_then(Value::as_str).unwrap_or_default();
                let whole = format!("{begun}{deltas}");
                set(&mut block, name, whole);
            }
        }
        if !input.is_empty() {
            // Half of the arguments is shown as the text that came.
            let parsed = raw::value(&input).map(all).unwrap_or(Value::String(input));
            set(&mut block, "input", parsed);
        }
        block
    }
}
