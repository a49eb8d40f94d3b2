//! Gemini contents and answers as messages with content blocks.
//!
//! A content becomes one message: `model` is `assistant`, a function call is a `tool_use` block, its
//! response a `tool_result` block, a thought a `thinking` block. Both spellings of Google's JSON are read.
//! Start at [`message`] for what stands in a request and at [`Gathered`] for an answer.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::response::{all, fail};
use super::{raw, set};

/// What the conversion of a part may add to its size.
const PART: usize = 48;

/// What the conversion of a content may add to its size.
pub(super) fn growth(content: &RawValue) -> usize {
    let mut parts = 0usize;
    if let Some(list) = raw::member(content, "parts").filter(|list| raw::is_array(list)) {
        raw::elements(list, |_| parts += 1);
    }
    parts.saturating_add(1).saturating_mul(PART)
}

/// A content as a message; what is none stays as it is.
pub(super) fn message(content: Value) -> Value {
    match content {
        Value::String(text) => json!({"role": "user", "content": text}),
        Value::Object(mut fields) if fields.contains_key("parts") => {
            let parts = fields.remove("parts").unwrap_or_default();
            let role = match fields.remove("role") {
                Some(Value::String(role)) if role == "model" => "assistant".to_owned(),
                Some(Value::String(role)) if role == "function" => "user".to_owned(),
                Some(Value::String(role)) => role,
                Some(_) | None => "user".to_owned(),
            };
            json!({"role": role, "content": spoken(parts)})
        }
        other => other,
    }
}

/// Instructions: a text, or a content of which only the text counts.
pub(super) fn instructions(message: &mut Value) {
    let content = message.get_mut("content").map(Value::take);
    let content = match content.unwrap_or_default() {
        Value::Object(mut fields) if fields.contains_key("parts") => {
            spoken(fields.remove("parts").unwrap_or_default())
        }
        Value::Object(fields) if fields.contains_key("text") => {
            spoken(Value::Array(vec![Value::Object(fields)]))
        }
        other => other,
    };
    set(message, "content", content);
}

/// The content of a message: one plain text is a text, everything else is blocks.
fn spoken(parts: Value) -> Value {
    let parts = match parts {
        Value::Array(parts) => parts,
        Value::String(text) => return Value::String(text),
        other => vec![other],
    };
    let mut blocks: Vec<Value> = parts.into_iter().map(block).collect();
    if let [only] = blocks.as_mut_slice()
        && only.get("type").is_some_and(|kind| kind == "text")
        && let Some(text) = only.get_mut("text")
    {
        return text.take();
    }
    Value::Array(blocks)
}

/// A field under either of its spellings.
fn field(fields: &mut Map<String, Value>, camel: &str, snake: &str) -> Option<Value> {
    let found = fields.remove(camel).or_else(|| fields.remove(snake));
    found.filter(|value| !value.is_null())
}

fn block(part: Value) -> Value {
    let mut fields = match part {
        Value::String(text) => return json!({"type": "text", "text": text}),
        Value::Object(fields) => fields,
        other => return other,
    };
    // Seals are not shown.
    let _ = field(&mut fields, "thoughtSignature", "thought_signature");
    if fields.get("text").is_some_and(Value::is_string) {
        let text = fields.remove("text").unwrap_or_default();
        return if fields.get("thought") == Some(&Value::Bool(true)) {
            json!({"type": "thinking", "thinking": text})
        } else {
            json!({"type": "text", "text": text})
        };
    }
    if let Some(Value::Object(mut call)) = field(&mut fields, "functionCall", "function_call") {
        let mut block = json!({"type": "tool_use"});
        for (from, to) in [("id", "id"), ("name", "name"), ("args", "input")] {
            if let Some(value) = call.remove(from) {
                set(&mut block, to, value);
            }
        }
        return block;
    }
    if let Some(Value::Object(mut result)) =
        field(&mut fields, "functionResponse", "function_response")
    {
        let mut block = json!({"type": "tool_result"});
        for (from, to) in [("id", "tool_use_id"), ("name", "name")] {
            if let Some(value) = result.remove(from) {
                set(&mut block, to, value);
            }
        }
        set(&mut block, "content", returned(result.remove("response")));
        return block;
    }
    Value::Object(fields)
}

/// What a function returned: the text of a response that holds nothing else.
fn returned(response: Option<Value>) -> Value {
    let Some(Value::Object(mut fields)) = response else {
        return response.unwrap_or_default();
    };
    if fields.len() == 1 {
        for name in ["result", "output", "error"] {
            if fields.get(name).is_some_and(Value::is_string) {
                return fields.remove(name).unwrap_or_default();
            }
        }
    }
    Value::Object(fields)
}

/// An answer, gathered over its chunks. One that came whole is one chunk.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    candidates: BTreeMap<u64, Candidate>,
    blocked: Option<Value>,
    error: Option<Value>,
    /// Something of an answer was there.
    known: bool,
}

#[derive(Debug, Default)]
struct Candidate {
    blocks: Vec<Value>,
    reason: Option<Value>,
}

impl Gathered {
    /// Takes a chunk.
    pub(super) fn take(&mut self, chunk: &RawValue) {
        let member = |object, camel, snake| {
            raw::member(object, camel).or_else(|| raw::member(object, snake))
        };
        if let Some(list) = raw::member(chunk, "candidates").filter(|list| raw::is_array(list)) {
            self.known = true;
            let mut at = 0u64;
            raw::elements(list, |candidate| {
                let index = raw::member(candidate, "index");
                let index = index.and_then(|raw| raw.get().parse().ok()).unwrap_or(at);
                at += 1;
                let held = self.candidates.entry(index).or_default();
                let parts = raw::member(candidate, "content")
                    .and_then(|content| raw::member(content, "parts"));
                if let Some(parts) = parts.filter(|parts| raw::is_array(parts)) {
                    raw::elements(parts, |part| held.push(block(all(part))));
                }
                if let Some(reason) = member(candidate, "finishReason", "finish_reason") {
                    held.reason = Some(all(reason)).filter(Value::is_string);
                }
            });
        }
        if let Some(feedback) = member(chunk, "promptFeedback", "prompt_feedback") {
            self.known = true;
            let reason = member(feedback, "blockReason", "block_reason").map(all);
            self.blocked = reason.or_else(|| self.blocked.take());
        }
        if let Some(error) = raw::member(chunk, "error") {
            self.error = Some(all(error));
        }
    }

    /// The messages, one for each candidate; `None` when nothing of an answer was seen. Of a stream it is
    /// noted when its end is missing.
    pub(super) fn messages(self, stream: bool) -> Option<Vec<Value>> {
        let Self {
            candidates,
            blocked,
            error,
            known,
        } = self;
        if !known && error.is_none() && !stream {
            return None;
        }
        let ended = blocked.is_some()
            || candidates
                .values()
                .any(|candidate| candidate.reason.is_some());
        let mut messages: Vec<Value> = candidates.into_values().map(Candidate::message).collect();
        if let Some(reason) = blocked {
            messages.push(json!({"role": "assistant", "content": null, "finish_reason": reason}));
        }
        match error {
            Some(error) => fail(&mut messages, error),
            None if stream && !ended => super::stream::incomplete(&mut messages),
            None => {}
        }
        Some(messages)
    }
}

impl Candidate {
    /// Adds a block; text goes on where text was.
    fn push(&mut self, mut block: Value) {
        for name in ["text", "thinking"] {
            let same = self.blocks.last().is_some_and(|last| {
                last.get("type") == block.get("type") && last.get(name).is_some()
            });
            if let Some(Value::String(more)) = block.get_mut(name) {
                if more.is_empty() {
                    return;
                }
                if same
                    && let Some(Value::String(text)) =
                        self.blocks.last_mut().and_then(|last| last.get_mut(name))
                {
                    text.push_str(more);
                    return;
                }
            }
        }
        let empty = block.as_object().is_some_and(Map::is_empty);
        if !empty {
            self.blocks.push(block);
        }
    }

    fn message(self) -> Value {
        let mut message = json!({"role": "assistant", "content": self.blocks});
        if let Some(reason) = self.reason {
            set(&mut message, "finish_reason", reason);
        }
        message
    }
}

/// The answer in a JSON body: one object, or the list that a stream without `alt=sse` is.
pub(super) fn answer(body: &RawValue) -> Option<Vec<Value>> {
    let mut gathered = Gathered::default();
    if raw::is_array(body) {
        raw::elements(body, |chunk| gathered.take(chunk));
    } else {
        gathered.take(body);
    }
    gathered.messages(false)
}

/// The same of a list of chunks that was cut off.
pub(super) fn answer_so_far(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut gathered = Gathered::default();
    let (chunks, _) = raw::elements_so_far(bytes)?;
    for chunk in chunks {
        gathered.take(chunk);
    }
    gathered.messages(true)
}
