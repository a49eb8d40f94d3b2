//! Anthropic Messages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asked, Said, Tokens, add, count, is_on, items, parsed, word};

pub(super) fn request(body: &Value) -> Asked {
    let mut asked = Asked::default();
    match &body["system"] {
        Value::String(text) => asked.system.push_str(text),
        blocks => {
            for block in items(blocks) {
                add(&mut asked.system, word(block, "text"));
            }
        }
    }
    for message in items(&body["messages"]) {
        let own = json!([{"type": "text", "text": message["content"]}]);
        let content = if message["content"].is_string() {
            &own
        } else {
            &message["content"]
        };
        for block in items(content) {
            self::block(block, word(message, "role"), &mut asked);
        }
    }
    for tool in items(&body["tools"]) {
        if matches!(word(tool, "type"), "" | "custom") {
            asked.tool(tool);
        }
    }
    let choice = &body["tool_choice"];
    asked.choice = match word(choice, "type") {
        "" => None,
        "tool" => Some(word(choice, "name").to_owned()),
        other => Some(other.to_owned()),
    };
    let format = &body["output_config"]["format"];
    if format["type"] == "json_schema" {
        asked.schema = Some(format["schema"].clone());
    }
    asked.thinks = is_on(&body["thinking"]);
    for (name, key) in [
        ("max", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("stop", "stop_sequences"),
    ] {
        asked.number(name, &body[key]);
    }
    asked
}

fn block(block: &Value, role: &str, asked: &mut Asked) {
    match word(block, "type") {
        "text" if role == "assistant" => add(&mut asked.assistant, word(block, "text")),
        "text" if role == "system" => add(&mut asked.system, word(block, "text")),
        "text" => add(&mut asked.user, word(block, "text")),
        "image" => asked.images += 1,
        "document" => asked.documents += 1,
        "thinking" => add(&mut asked.thinking, word(block, "thinking")),
        "tool_use" => {
            let input = block["input"].clone();
            asked.call(word(block, "id"), word(block, "name"), input);
        }
        "tool_result" => {
            asked.result(word(block, "tool_use_id"), &block["content"]);
            for inner in items(&block["content"]) {
                match word(inner, "type") {
                    "image" => asked.images += 1,
                    "document" => asked.documents += 1,
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn stop(reason: &Value) -> Option<&'static str> {
    Some(match reason.as_str()? {
        "tool_use" => "tool",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "refusal" => "filtered",
        _ => "stop",
    })
}

fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let read = count(&usage["cache_read_input_tokens"]);
    let write = count(&usage["cache_creation_input_tokens"]);
    Some(Tokens {
        prompt: count(&usage["input_tokens"]) + read + write,
        completion: count(&usage["output_tokens"]),
        read,
        write,
        reasoning: 0,
    })
}

pub(super) fn answer(body: &Value) -> Said {
    let mut said = Said {
        stop: stop(&body["stop_reason"]),
        usage: usage(&body["usage"]),
        ..Said::default()
    };
    for block in items(&body["content"]) {
        match word(block, "type") {
            "text" => said.text.push_str(word(block, "text")),
            "thinking" => said.thinking.push_str(word(block, "thinking")),
            "tool_use" => said
                .calls
                .push((word(block, "name").to_owned(), block["input"].clone())),
            _ => {}
        }
    }
    said
}

pub(super) fn stream(frames: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut newest = json!({});
    let mut told = false;
    let mut report = |usage: &Value| {
        for (key, value) in usage.as_object().into_iter().flatten() {
            told = true;
            if count(value) > 0 {
                newest[key] = value.clone();
            }
        }
    };
    for frame in frames {
        let index = count(&frame["index"]);
        match word(frame, "type") {
            "message_start" => report(&frame["message"]["usage"]),
            "content_block_start" => {
                let block = &frame["content_block"];
                said.text.push_str(word(block, "text"));
                said.thinking.push_str(word(block, "thinking"));
                if block["type"] == "tool_use" {
                    let name = word(block, "name").to_owned();
                    // Some servers give the whole input at once.
                    let input = &block["input"];
                    let whole = *input != json!({}) && !input.is_null();
                    let whole = if whole {
                        input.to_string()
                    } else {
                        String::new()
                    };
                    calls.insert(index, (name, whole));
                }
            }
            "content_block_delta" => {
                let delta = &frame["delta"];
                said.text.push_str(word(delta, "text"));
                said.thinking.push_str(word(delta, "thinking"));
                if let Some(call) = calls.get_mut(&index) {
                    call.1.push_str(word(delta, "partial_json"));
                }
            }
            "message_delta" => {
                said.stop = stop(&frame["delta"]["stop_reason"]).or(said.stop);
                report(&frame["usage"]);
            }
            "error" => said.failed = true,
            _ => {}
        }
    }
    said.usage = told.then(|| usage(&newest)).flatten();
    let calls = calls.into_values();
    said.calls = calls
        .map(|(name, arguments)| (name, parsed(&arguments)))
        .collect();
    said
}
