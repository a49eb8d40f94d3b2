//! The messages of an answer that came as one JSON body.

use lw_core::BodyForm;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::build::{Room, value};
use super::raw::{self, Top};
use super::{items, set};

/// The messages of an answer, or `None` if it has none that can be read.
pub(super) fn messages(form: BodyForm, top: &Top<'_>) -> Option<Vec<Value>> {
    let read = match form {
        BodyForm::ChatJson => top.choices.filter(|list| raw::is_array(list)).map(chat),
        BodyForm::ResponsesJson => top.output.filter(|list| raw::is_array(list)).map(|output| {
            let mut messages = output_items(output);
            finish(&mut messages, top.status, top.incomplete_details);
            messages
        }),
        BodyForm::MessagesJson => top
            .content
            .filter(|list| raw::is_array(list))
            .map(|content| {
                let mut message = json!({"role": "assistant", "content": blocks(all(content))});
                if let Some(reason) = top.stop_reason {
                    set(&mut message, "finish_reason", all(reason));
                }
                vec![message]
            }),
        BodyForm::EmbeddingsJson => top.data.filter(|list| raw::is_array(list)).map(embeddings),
        BodyForm::ChatStream
        | BodyForm::ResponsesStream
        | BodyForm::MessagesStream
        // A Gemini answer may be a list: it is not read by its top-level fields.
        | BodyForm::GeminiJson
        | BodyForm::GeminiStream
        | BodyForm::Opaque
        | BodyForm::Messages => None,
    };
    match (read, top.error) {
        (Some(mut messages), Some(error)) => {
            fail(&mut messages, all(error));
            Some(messages)
        }
        (None, Some(error)) => {
            let mut messages = Vec::new();
            fail(&mut messages, all(error));
            Some(messages)
        }
        (read, None) => read,
    }
}

/// Notes an error on the last answer, or on an empty one if there is none.
pub(super) fn fail(messages: &mut Vec<Value>, error: Value) {
    if messages.is_empty() {
        messages.push(json!({"role": "assistant", "content": null}));
    }
    if let Some(last) = messages.last_mut() {
        set(last, "error", error);
    }
}

/// The whole value, media replaced.
pub(super) fn all(raw: &RawValue) -> Value {
    value(raw, &mut Room::unlimited()).unwrap_or_default()
}

/// The items of a Responses answer, as messages.
pub(super) fn output_items(output: &RawValue) -> Vec<Value> {
    let mut messages = Vec::new();
    raw::elements(output, |item| messages.push(items::message(all(item))));
    items::merge(messages)
}

/// Notes how a Responses answer ended: why it is incomplete, else its status.
pub(super) fn finish(
    messages: &mut [Value],
    status: Option<&RawValue>,
    details: Option<&RawValue>,
) {
    let reason = details
        .and_then(|details| raw::member(details, "reason"))
        .or(status);
    if let (Some(last), Some(reason)) = (messages.last_mut(), reason) {
        set(last, "finish_reason", all(reason));
    }
}

/// Anthropic content blocks without signatures and citations.
pub(super) fn blocks(mut content: Value) -> Value {
    for block in content.as_array_mut().into_iter().flatten() {
        if let Value::Object(fields) = block {
            fields.remove("signature");
            fields.remove("citations");
        }
    }
    content
}

fn chat(choices: &RawValue) -> Vec<Value> {
    let mut messages = Vec::new();
    raw::elements(choices, |choice| {
        let mut message = match raw::member(choice, "message").map(all) {
            Some(Value::Object(fields)) => Value::Object(tidy(fields)),
            // Legacy completions.
            Some(_) | None => {
                let text = raw::member(choice, "text").map(all).unwrap_or_default();
                json!({"role": "assistant", "content": text})
            }
        };
        if let Some(reason) = raw::member(choice, "finish_reason").map(all)
            && !reason.is_null()
        {
            set(&mut message, "finish_reason", reason);
        }
        messages.push(message);
    });
    messages
}

/// One spelling of reasoning, and nothing that is empty, so that an answer looks the same whether it
/// was streamed or not.
fn tidy(fields: Map<String, Value>) -> Map<String, Value> {
    let mut tidy = Map::new();
    for (name, value) in fields {
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || (value == "" && name.starts_with("reasoning"));
        match name.as_str() {
            "content" | "role" => {
                tidy.insert(name, value);
            }
            _ if empty => {}
            "reasoning_content" => {
                tidy.entry("reasoning").or_insert(value);
            }
            _ => {
                tidy.insert(name, value);
            }
        }
    }
    if tidy.contains_key("reasoning") {
        tidy.remove("reasoning_details");
    }
    tidy
}

/// Vectors are counted, not shown.
fn embeddings(data: &RawValue) -> Vec<Value> {
    let (mut count, mut dimensions) = (0usize, 0usize);
    raw::elements(data, |entry| {
        count += 1;
        if count > 1 {
            return;
        }
        let Some(vector) = raw::member(entry, "embedding") else {
            return;
        };
        match raw::inner(vector) {
            // Base64 of 32-bit floats.
            Some(packed) => dimensions = packed.trim_end_matches('=').len() * 3 / 16,
            None => raw::elements(vector, |_| dimensions += 1),
        }
    });
    let part = json!({"type": "embeddings", "count": count, "dimensions": dimensions});
    vec![json!({"role": "assistant", "content": [part]})]
}
