//! OpenAI Responses events.
//!
//! The same text comes up to four times: in deltas, in the end of its part, in the end of its item and in
//! the final event. The most complete one that came is shown.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{events, incomplete, index, push};
use crate::capture::response::{all, fail, finish, output_items};
use crate::capture::{items, raw, set};

// Leaves are raw: a value of an unexpected kind must not cost the event.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow)]
    content_index: Option<&'a RawValue>,
    #[serde(borrow)]
    summary_index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Default)]
struct Item {
    /// The item as it began, or as it ended.
    item: Value,
    ended: bool,
    text: BTreeMap<u64, String>,
    refusal: BTreeMap<u64, String>,
    summary: BTreeMap<u64, String>,
    reasoning: BTreeMap<u64, String>,
    arguments: String,
}

#[derive(Debug, Default)]
struct Answer {
    items: BTreeMap<u64, Item>,
    /// The final event and the messages that it repeats, if it does.
    ended: bool,
    last: Vec<Value>,
    reason: Option<Value>,
    error: Option<Value>,
}

/// The messages of a Responses stream, or `None` if the bytes are no stream.
pub(in crate::capture) fn responses(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut answer = Answer::default();
    let is_stream = events(bytes, |data| {
        if let Ok(event) = serde_json::from_slice::<Event<'_>>(data) {
            answer.add(event);
        }
    });
    is_stream.then(|| answer.messages())
}

impl Answer {
    fn add(&mut self, event: Event<'_>) {
        let kind = event.kind.and_then(raw::string).unwrap_or_default();
        match kind.as_ref() {
            "response.output_item.added" | "response.output_item.done" => {
                let Some(item) = event.item else { return };
                let slot = self.items.entry(index(event.output_index)).or_default();
                slot.item = all(item);
                slot.ended = kind.ends_with("done");
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.ended = true;
                if let Some(response) = event.response {
                    self.end(&response);
                }
            }
            "error" => self.error = Some(error(&event)),
            _ if kind.ends_with(".delta") => self.delta(&kind, &event),
            _ if kind.is_empty() && event.error.is_some() => self.error = Some(error(&event)),
            _ => {}
        }
    }

    fn delta(&mut self, kind: &str, event: &Event<'_>) {
        let slot = self.items.entry(index(event.output_index)).or_default();
        let content = index(event.content_index);
        let text = match kind {
            "response.output_text.delta" => slot.text.entry(content).or_default(),
            "response.refusal.delta" => slot.refusal.entry(content).or_default(),
            "response.reasoning_text.delta" => slot.reasoning.entry(content).or_default(),
            "response.reasoning_summary_text.delta" => {
                slot.summary.entry(index(event.summary_index)).or_default()
            }
            "response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta"
            | "response.mcp_call_arguments.delta" => &mut slot.arguments,
            _ => return,
        };
        push(text, event.delta);
    }

    fn end(&mut self, response: &Response<'_>) {
        // Some backends leave the output of the final event empty.
        self.last = response.output.map(output_items).unwrap_or_default();
        // Through the same door as a body, to end up the same.
        let mut end = [json!({})];
        finish(&mut end, response.status, response.incomplete_details);
        let [end] = &mut end;
        self.reason = end.get_mut("finish_reason").map(Value::take);
        self.error = response.error.map(all).or_else(|| self.error.take());
    }

    fn messages(self) -> Vec<Value> {
        let Self {
            items,
            ended,
            last,
            reason,
            error,
        } = self;
        let mut messages = if last.is_empty() {
            items::merge(
                items
                    .into_values()
                    .map(|item| items::message(item.value()))
                    .collect(),
            )
        } else {
            last
        };
        if let (Some(last), Some(reason)) = (messages.last_mut(), reason) {
            set(last, "finish_reason", reason);
        }
        match error {
            Some(error) => fail(&mut messages, error),
            None if !ended => incomplete(&mut messages),
            None => {}
        }
        messages
    }
}

impl Item {
    /// The item, with what its deltas brought if it did not end.
    fn value(self) -> Value {
        let Self {
            mut item,
            ended,
            text,
            refusal,
            summary,
            reasoning,
            arguments,
        } = self;
        if ended {
            return item;
        }
        if !item.is_object() {
            // The start was lost: the deltas say what it was.
            let kind = match (
                summary.is_empty() && reasoning.is_empty(),
                arguments.is_empty(),
            ) {
                (false, _) => "reasoning",
                (true, false) => "function_call",
                (true, true) => "message",
            };
            item = json!({"type": kind, "role": "assistant"});
        }
        let parts = |kind: &str, field: &str, texts: BTreeMap<u64, String>| {
            let part = |text| json!({"type": kind, field: text});
            texts
                .into_iter()
                .map(|(at, text)| (at, part(text)))
                .collect::<Vec<_>>()
        };
        let mut content = parts("output_text", "text", text);
        content.extend(parts("refusal", "refusal", refusal));
        content.extend(parts("reasoning_text", "text", reasoning));
        content.sort_by_key(|(at, _)| *at);
        let lists = [
            ("content", content),
            ("summary", parts("summary_text", "text", summary)),
        ];
        for (name, parts) in lists {
            if !parts.is_empty() {
                let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
                set(&mut item, name, parts);
            }
        }
        if !arguments.is_empty() {
            let custom = item.get("type").and_then(Value::as_str) == Some("custom_tool_call");
            set(
                &mut item,
                if custom { "input" } else { "arguments" },
                arguments,
            );
        }
        item
    }
}

/// The error of an error event: under `error`, or in the event itself.
fn error(event: &Event<'_>) -> Value {
    event.error.map_or_else(
        || json!({"code": event.code.map(all), "message": event.message.map(all)}),
        all,
    )
}
