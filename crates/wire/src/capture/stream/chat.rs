//! OpenAI Chat Completions chunks, and what the vendors that speak that dialect make of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{events, filled, incomplete, index, push, push_some};
use crate::capture::response::{all, fail};
use crate::capture::{raw, set};

// Leaves are raw: a value of an unexpected kind must not cost the event.
#[derive(Debug, Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct ChunkChoice<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
    #[serde(borrow)]
    function_call: Option<FunctionDelta<'a>>,
    #[serde(borrow)]
    audio: Option<AudioDelta<'a>>,
}

#[derive(Debug, Deserialize)]
struct CallDelta<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Debug, Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct AudioDelta<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    transcript: Option<&'a RawValue>,
}

#[derive(Debug, Default)]
struct Choice {
    content: Option<String>,
    refusal: String,
    reasoning: String,
    calls: Vec<Call>,
    /// Where the call of an index stands in `calls`.
    places: BTreeMap<u64, usize>,
    function: Option<Call>,
    transcript: String,
    audio_bytes: usize,
    finish_reason: Option<Value>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    kind: String,
    name: String,
    arguments: String,
}

/// The messages of a chat stream, one for each choice, or `None` if the bytes are no stream.
pub(in crate::capture) fn chat(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut choices: BTreeMap<u64, Choice> = BTreeMap::new();
    let (mut done, mut error) = (false, None);
    let is_stream = events(bytes, |data| {
        if data.trim_ascii() == b"[DONE]" {
            done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
            return;
        };
        for choice in chunk.choices.into_iter().flatten() {
            choices.entry(index(choice.index)).or_default().add(choice);
        }
        error = chunk.error.map(all).or_else(|| error.take());
    });
    if !is_stream {
        return None;
    }
    let ended = done
        || choices
            .values()
            .any(|choice| choice.finish_reason.is_some());
    let mut messages: Vec<Value> = choices.into_values().map(Choice::message).collect();
    match error {
        Some(error) => fail(&mut messages, error),
        None if !ended => incomplete(&mut messages),
        None => {}
    }
    Some(messages)
}

impl Choice {
    fn add(&mut self, choice: ChunkChoice<'_>) {
        if let Some(reason) = choice.finish_reason {
            self.finish_reason = Some(all(reason));
        }
        push_some(&mut self.content, choice.text);
        let Some(delta) = choice.delta else { return };
        push_some(&mut self.content, delta.content);
        push(&mut self.refusal, delta.refusal);
        // Some vendors send both names with the same text.
        push(
            &mut self.reasoning,
            delta.reasoning.or(delta.reasoning_content),
        );
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(&call);
        }
        if let Some(function) = delta.function_call {
            self.function.get_or_insert_default().add(&function);
        }
        if let Some(audio) = delta.audio {
            push(&mut self.transcript, audio.transcript);
            self.audio_bytes += audio
                .data
                .and_then(raw::inner)
                .map_or(0, |data| data.len() * 3 / 4);
        }
    }

    fn call(&mut self, delta: &CallDelta<'_>) {
        let id = delta.id.and_then(raw::string).unwrap_or_default();
        let place = match delta.index {
            Some(_) => self.places.get(&index(delta.index)).copied(),
            None => self.calls.len().checked_sub(1),
        };
        // A new id is a new call, even where a vendor leaves the index out or always sends 0.
        let known = place.filter(|place| {
            let held = self
                .calls
                .get(*place)
                .map(|call| call.id.as_str())
                .unwrap_or_default();
            id.is_empty() || held.is_empty() || held == id
        });
        let place = known.unwrap_or_else(|| {
            self.calls.push(Call::default());
            let place = self.calls.len() - 1;
            if delta.index.is_some() {
                self.places.insert(index(delta.index), place);
            }
            place
        });
        let Some(call) = self.calls.get_mut(place) else {
            return;
        };
        if call.id.is_empty() {
            call.id = id.into_owned();
        }
        if call.kind.is_empty() {
            push(&mut call.kind, delta.kind);
        }
        if let Some(function) = &delta.function {
            call.add(function);
        }
    }

    fn message(self) -> Value {
        let Self {
            content,
            refusal,
            reasoning,
            calls,
            places: _,
            function,
            transcript,
            audio_bytes,
            finish_reason,
        } = self;
        let mut message = json!({"role": "assistant", "content": content});
        let function = function.map(|call| json!({"name": call.name, "arguments": call.arguments}));
        let calls: Vec<Value> = calls.into_iter().map(Call::value).collect();
        let audio = (audio_bytes > 0 || !transcript.is_empty()).then(|| {
            let mut audio = json!({"type": "audio", "bytes": audio_bytes});
            if let Some(transcript) = filled(transcript) {
                set(&mut audio, "transcript", transcript);
            }
            audio
        });
        let fields = [
            ("refusal", filled(refusal)),
            ("reasoning", filled(reasoning)),
            (
                "tool_calls",
                (!calls.is_empty()).then_some(Value::Array(calls)),
            ),
            ("function_call", function),
            ("audio", audio),
            ("finish_reason", finish_reason),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                set(&mut message, name, value);
            }
        }
        message
    }
}

impl Call {
    fn add(&mut self, function: &FunctionDelta<'_>) {
        // The name comes once; vendors that repeat it must not double it.
        if self.name.is_empty() {
            push(&mut self.name, function.name);
        }
        push(&mut self.arguments, function.arguments);
    }

    fn value(self) -> Value {
        let kind = if self.kind.is_empty() {
            "function".to_owned()
        } else {
            self.kind
        };
        json!({
            "id": self.id,
            "type": kind,
            "function": {"name": self.name, "arguments": self.arguments},
        })
    }
}
