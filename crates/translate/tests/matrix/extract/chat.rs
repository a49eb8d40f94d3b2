//! OpenAI Chat Completions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Asked, Said, Tokens, add, count, is_on, is_some_thinking, items, parsed, word};

pub(super) fn request(body: &Value) -> Asked {
    let mut asked = Asked::default();
    for message in items(&body["messages"]) {
        match word(message, "role") {
            "system" | "developer" => {
                content(&message["content"], |text| add(&mut asked.system, text))
            }
            "user" => {
                let mut user = String::new();
                content(&message["content"], |text| add(&mut user, text));
                add(&mut asked.user, &user);
                media(&message["content"], &mut asked);
            }
            "assistant" => assistant(message, &mut asked),
            "tool" => {
                asked.result(word(message, "tool_call_id"), &message["content"]);
                media(&message["content"], &mut asked);
            }
            _ => {}
        }
    }
    for tool in items(&body["tools"]) {
        if tool["type"] == "function" {
            asked.tool(&tool["function"]);
        }
    }
    asked.choice = match &body["tool_choice"] {
        Value::String(word) if word == "required" => Some("any".to_owned()),
        Value::String(word) => Some(word.clone()),
        Value::Object(choice) => choice["function"]["name"].as_str().map(str::to_owned),
        _ => None,
    };
    let format = &body["response_format"];
    if format["type"] == "json_schema" {
        asked.schema = Some(format["json_schema"]["schema"].clone());
    }
    let reasoning = &body["reasoning"];
    asked.thinks = [
        &body["reasoning_effort"],
        &reasoning["effort"],
        &reasoning["max_tokens"],
    ]
    .into_iter()
    .any(is_some_thinking)
        || reasoning["enabled"] == true
        || is_on(&body["thinking"]);
    for (name, key) in [
        ("max", "max_completion_tokens"),
        ("max", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("stop", "stop"),
        ("presence", "presence_penalty"),
        ("frequency", "frequency_penalty"),
    ] {
        asked.number(name, &body[key]);
    }
    asked
}

fn content(content: &Value, mut see: impl FnMut(&str)) {
    match content {
        Value::String(text) => see(text),
        content => {
            for part in items(content) {
                see(word(part, "text"));
            }
        }
    }
}

fn media(content: &Value, asked: &mut Asked) {
    for part in items(content) {
        match word(part, "type") {
            "image_url" => asked.images += 1,
            "file" => asked.documents += 1,
            _ => {}
        }
    }
}

fn assistant(message: &Value, asked: &mut Asked) {
    content(&message["content"], |text| add(&mut asked.assistant, text));
    let spoken = thinking(message);
    add(&mut asked.thinking, &spoken);
    for call in items(&message["tool_calls"]) {
        let (name, arguments) = called(call);
        asked.call(word(call, "id"), &name, arguments);
    }
}

fn called(call: &Value) -> (String, Value) {
    let function = &call["function"];
    (
        word(function, "name").to_owned(),
        parsed(word(function, "arguments")),
    )
}

fn thinking(message: &Value) -> String {
    let plain = [
        word(message, "reasoning"),
        word(message, "reasoning_content"),
    ]
    .concat();
    if plain.is_empty() {
        let details = items(&message["reasoning_details"]).iter();
        details
            .map(|detail| [word(detail, "text"), word(detail, "summary")].concat())
            .collect()
    } else {
        plain
    }
}

fn stop(reason: &Value) -> Option<&'static str> {
    Some(match reason.as_str()? {
        "tool_calls" | "function_call" => "tool",
        "length" => "length",
        "content_filter" => "filtered",
        _ => "stop",
    })
}

fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let input = &usage["prompt_tokens_details"];
    Some(Tokens {
        prompt: count(&usage["prompt_tokens"]),
        completion: count(&usage["completion_tokens"]),
        read: count(&input["cached_tokens"]),
        write: count(&input["cache_creation_tokens"]) + count(&input["cache_write_tokens"]),
        reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
    })
}

pub(super) fn answer(body: &Value) -> Said {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut said = Said {
        thinking: thinking(message),
        stop: stop(&choice["finish_reason"]),
        usage: usage(&body["usage"]),
        ..Said::default()
    };
    content(&message["content"], |text| said.text.push_str(text));
    said.text.push_str(word(message, "refusal"));
    let calls = items(&message["tool_calls"]).iter();
    said.calls = calls
        .filter(|call| call.get("function").is_some())
        .map(called)
        .collect();
    said
}

pub(super) fn stream(frames: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for frame in frames {
        if frame.get("error").is_some() {
            said.failed = true;
        }
        said.usage = usage(&frame["usage"])
            .and_then(Tokens::reported)
            .or(said.usage);
        let choice = &frame["choices"][0];
        let delta = &choice["delta"];
        content(&delta["content"], |text| said.text.push_str(text));
        said.text.push_str(word(delta, "refusal"));
        said.thinking.push_str(&thinking(delta));
        for call in items(&delta["tool_calls"]) {
            let entry = calls.entry(count(&call["index"])).or_default();
            entry.0.push_str(word(&call["function"], "name"));
            entry.1.push_str(word(&call["function"], "arguments"));
        }
        said.stop = stop(&choice["finish_reason"]).or(said.stop);
    }
    let calls = calls.into_values();
    said.calls = calls
        .map(|(name, arguments)| (name, parsed(&arguments)))
        .collect();
    said
}
