//! Responses items as chat messages: one assistant message for each run of reasoning, text and calls.

use serde_json::{Map, Value, json};

use super::set;

/// One item as one message; `Null` for items with nothing to show (reasoning kept encrypted).
pub(super) fn message(item: Value) -> Value {
    let Value::Object(mut item) = item else {
        return json!({"role": "user", "content": item});
    };
    let kind = match item.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) | None => "message".to_owned(),
    };
    match kind.as_str() {
        "message" => {
            let role = item.remove("role").unwrap_or_else(|| json!("user"));
            json!({"role": role, "content": content(take(&mut item, "content"))})
        }
        "reasoning" => {
            let of = |list: Value| match list {
                Value::Array(parts) => parts
                    .iter()
                    .filter_map(text)
                    .collect::<Vec<_>>()
                    .join("\n\n"),
                _ => String::new(),
            };
            let full = of(take(&mut item, "content"));
            let text = if full.is_empty() {
                of(take(&mut item, "summary"))
            } else {
                full
            };
            if text.is_empty() {
                return Value::Null;
            }
            json!({"role": "assistant", "content": null, "reasoning": text})
        }
        "function_call" | "custom_tool_call" => {
            let arguments = match item.remove("arguments") {
                Some(arguments) => arguments,
                None => take(&mut item, "input"),
            };
            calling(json!({
                "id": take(&mut item, "call_id"),
                "type": if kind == "function_call" { "function" } else { "custom" },
                "function": {"name": take(&mut item, "name"), "arguments": arguments},
            }))
        }
        _ if kind.ends_with("_output") => json!({
            "role": "tool",
            "tool_call_id": take(&mut item, "call_id"),
            "content": content(take(&mut item, "output")),
        }),
        // Calls of tools that the provider runs itself, and kinds to come: shown as they are.
        _ if kind.ends_with("_call") => {
            item.remove("status");
            calling(Value::Object(item))
        }
        _ => json!({"role": "assistant", "content": [item]}),
    }
}

/// Joins assistant messages that follow each other, as long as the order of their pieces stays that of
/// a chat message: reasoning, text, calls.
pub(super) fn merge(messages: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        if message.is_null() {
            continue;
        }
        match (merged.last_mut(), message) {
            (Some(Value::Object(last)), Value::Object(next)) if joinable(last, &next) => {
                join(last, next);
            }
            (_, message) => merged.push(message),
        }
    }
    merged
}

fn joinable(last: &Map<String, Value>, next: &Map<String, Value>) -> bool {
    let assistant = |message: &Map<String, Value>| {
        message.get("role").and_then(Value::as_str) == Some("assistant")
    };
    let has = |message: &Map<String, Value>, name| message.get(name).is_some_and(|v| !v.is_null());
    let (content, calls) = (has(last, "content"), has(last, "tool_calls"));
    assistant(last)
        && assistant(next)
        && !(has(next, "reasoning") && (content || calls || has(last, "reasoning")))
        && !(has(next, "content") && (content || calls))
}

fn join(last: &mut Map<String, Value>, next: Map<String, Value>) {
    for (name, value) in next {
        match (last.get_mut(&name), value) {
            (Some(Value::Array(calls)), Value::Array(more)) => calls.extend(more),
            (Some(_), Value::Null) => {}
            (_, value) => {
                last.insert(name, value);
            }
        }
    }
}

fn calling(call: Value) -> Value {
    let mut message = json!({"role": "assistant", "content": null});
    set(&mut message, "tool_calls", vec![call]);
    message
}

/// Parts under the chat names; text alone becomes a string.
fn content(content: Value) -> Value {
    let Value::Array(mut parts) = content else {
        return content;
    };
    for part in &mut parts {
        let Value::Object(fields) = part else {
            continue;
        };
        let kind = fields.get("type").and_then(Value::as_str);
        if matches!(kind, Some("input_text" | "output_text")) {
            *part = json!({"type": "text", "text": take(fields, "text")});
        }
    }
    match parts.as_mut_slice() {
        [Value::Object(only)] if only.get("type").and_then(Value::as_str) == Some("text") => {
            take(only, "text")
        }
        _ => Value::Array(parts),
    }
}

fn text(part: &Value) -> Option<&str> {
    part.get("text")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Value {
    fields.get_mut(name).map(Value::take).unwrap_or_default()
}
