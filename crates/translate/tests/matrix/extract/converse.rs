//! Bedrock Converse.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Asked, Said, Tokens, add, count, is_on, items, parsed, word};

pub(super) fn request(body: &Value) -> Asked {
    let mut asked = Asked::default();
    for block in items(&body["system"]) {
        add(&mut asked.system, word(block, "text"));
    }
    for message in items(&body["messages"]) {
        for block in items(&message["content"]) {
            self::block(block, word(message, "role"), &mut asked);
        }
    }
    let config = &body["toolConfig"];
    for tool in items(&config["tools"]) {
        if let Some(spec) = tool.get("toolSpec") {
            asked.tool(spec);
        }
    }
    let choice = config["toolChoice"].as_object();
    asked.choice = choice.and_then(|choice| {
        let (kind, inner) = choice.iter().next()?;
        Some(if kind == "tool" {
            word(inner, "name").to_owned()
        } else {
            kind.clone()
        })
    });
    let additional = &body["additionalModelRequestFields"];
    asked.schema = additional["output_config"]["format"].get("schema").cloned();
    asked.number("top_k", &additional["top_k"]);
    asked.number("top_k", &additional["inferenceConfig"]["topK"]);
    asked.thinks = is_on(&additional["thinking"]) || is_on(&additional["reasoningConfig"]);
    for (name, key) in [
        ("max", "maxTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("stop", "stopSequences"),
    ] {
        asked.number(name, &body["inferenceConfig"][key]);
    }
    asked
}

fn block(block: &Value, role: &str, asked: &mut Asked) {
    if let Some(text) = block["text"].as_str() {
        let to = if role == "assistant" {
            &mut asked.assistant
        } else {
            &mut asked.user
        };
        add(to, text);
    }
    media(block, asked);
    add(
        &mut asked.thinking,
        word(&block["reasoningContent"]["reasoningText"], "text"),
    );
    if let Some(call) = block.get("toolUse") {
        asked.call(
            word(call, "toolUseId"),
            word(call, "name"),
            call["input"].clone(),
        );
    }
    if let Some(result) = block.get("toolResult") {
        asked.result(word(result, "toolUseId"), &result["content"]);
        for inner in items(&result["content"]) {
            media(inner, asked);
        }
    }
}

fn media(block: &Value, asked: &mut Asked) {
    asked.images += usize::from(block.get("image").is_some());
    asked.documents += usize::from(block.get("document").is_some());
}

fn stop(reason: &Value) -> Option<&'static str> {
    Some(match reason.as_str()? {
        "tool_use" => "tool",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "content_filtered" | "guardrail_intervened" => "filtered",
        _ => "stop",
    })
}

fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let read = count(&usage["cacheReadInputTokens"]);
    let write = count(&usage["cacheWriteInputTokens"]);
    Some(Tokens {
        prompt: count(&usage["inputTokens"]) + read + write,
        completion: count(&usage["outputTokens"]),
        read,
        write,
        reasoning: 0,
    })
}

/// A call that the caller has to answer.
fn is_own(call: &Value) -> bool {
    call.is_object() && call["type"] != "server_tool_use"
}

pub(super) fn answer(body: &Value) -> Said {
    let mut said = Said {
        stop: stop(&body["stopReason"]),
        usage: usage(&body["usage"]),
        ..Said::default()
    };
    for block in items(&body["output"]["message"]["content"]) {
        said.text.push_str(word(block, "text"));
        for cited in items(&block["citationsContent"]["content"]) {
            said.text.push_str(word(cited, "text"));
        }
        said.thinking
            .push_str(word(&block["reasoningContent"]["reasoningText"], "text"));
        let call = &block["toolUse"];
        if is_own(call) {
            said.calls
                .push((word(call, "name").to_owned(), call["input"].clone()));
        }
    }
    said
}

pub(super) fn stream(frames: &[(String, Box<RawValue>)]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for (name, payload) in frames {
        let frame: Value = serde_json::from_str(payload.get()).expect("a payload is JSON");
        let index = count(&frame["contentBlockIndex"]);
        match name.as_str() {
            "contentBlockStart" => {
                let call = &frame["start"]["toolUse"];
                if is_own(call) {
                    calls.insert(index, (word(call, "name").to_owned(), String::new()));
                }
            }
            "contentBlockDelta" => {
                let delta = &frame["delta"];
                said.text.push_str(word(delta, "text"));
                said.thinking
                    .push_str(word(&delta["reasoningContent"], "text"));
                if let Some(call) = calls.get_mut(&index) {
                    call.1.push_str(word(&delta["toolUse"], "input"));
                }
            }
            "messageStop" => said.stop = stop(&frame["stopReason"]),
            "metadata" => said.usage = usage(&frame["usage"]),
            name if name.ends_with("Exception") => said.failed = true,
            _ => {}
        }
    }
    let calls = calls.into_values();
    said.calls = calls
        .map(|(name, arguments)| (name, parsed(&arguments)))
        .collect();
    said
}
