//! OpenAI Responses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asked, Said, Tokens, add, count, is_some_thinking, items, parsed, word};

pub(super) fn request(body: &Value) -> Asked {
    let mut asked = Asked {
        system: word(body, "instructions").to_owned(),
        ..Asked::default()
    };
    if let Some(text) = body["input"].as_str() {
        asked.user = text.to_owned();
    }
    for item in items(&body["input"]) {
        input(item, &mut asked);
    }
    let choice = &body["tool_choice"];
    let allowed = (choice["type"] == "allowed_tools").then(|| &choice["tools"]);
    for tool in items(&body["tools"]) {
        let is_allowed = allowed.is_none_or(|allowed| {
            let mut names = items(allowed).iter().map(|allowed| &allowed["name"]);
            names.any(|name| *name == tool["name"])
        });
        if matches!(word(tool, "type"), "function" | "custom") && is_allowed {
            asked.tool(tool);
        }
    }
    let choice = choice.get("mode").unwrap_or(choice);
    asked.choice = match choice {
        Value::String(word) if word == "required" => Some("any".to_owned()),
        Value::String(word) => Some(word.clone()),
        Value::Object(choice) => choice
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned),
        _ => None,
    };
    let format = &body["text"]["format"];
    if format["type"] == "json_schema" {
        asked.schema = Some(format["schema"].clone());
    }
    asked.thinks = is_some_thinking(&body["reasoning"]["effort"]);
    for (name, key) in [
        ("max", "max_output_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
    ] {
        asked.number(name, &body[key]);
    }
    asked
}

fn input(item: &Value, asked: &mut Asked) {
    match word(item, "type") {
        "" | "message" => message(item, asked),
        "function_call" => {
            let arguments = parsed(word(item, "arguments"));
            asked.call(word(item, "call_id"), word(item, "name"), arguments);
        }
        "custom_tool_call" => {
            let arguments = json!({"input": item["input"]});
            asked.call(word(item, "call_id"), word(item, "name"), arguments);
        }
        "function_call_output" | "custom_tool_call_output" => {
            asked.result(word(item, "call_id"), &item["output"]);
            media(&item["output"], asked);
        }
        "reasoning" => {
            let spoken = reasoning(item);
            add(&mut asked.thinking, &spoken);
        }
        _ => {}
    }
}

fn message(item: &Value, asked: &mut Asked) {
    media(&item["content"], asked);
    let to = match word(item, "role") {
        "system" | "developer" => &mut asked.system,
        "assistant" => &mut asked.assistant,
        _ => &mut asked.user,
    };
    match &item["content"] {
        Value::String(text) => add(to, text),
        content => {
            for part in items(content) {
                add(to, &[word(part, "text"), word(part, "refusal")].concat());
            }
        }
    }
}

fn media(content: &Value, asked: &mut Asked) {
    for part in items(content) {
        match word(part, "type") {
            "input_image" => asked.images += 1,
            "input_file" => asked.documents += 1,
            _ => {}
        }
    }
}

fn reasoning(item: &Value) -> String {
    let parts = items(&item["summary"])
        .iter()
        .chain(items(&item["content"]));
    parts.map(|part| word(part, "text")).collect()
}

fn stop(response: &Value) -> Option<&'static str> {
    Some(match word(response, "status") {
        "completed" => "stop",
        "incomplete" => match word(&response["incomplete_details"], "reason") {
            "" | "max_output_tokens" => "length",
            _ => "filtered",
        },
        _ => return None,
    })
}

fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let input = &usage["input_tokens_details"];
    Some(Tokens {
        prompt: count(&usage["input_tokens"]),
        completion: count(&usage["output_tokens"]),
        read: count(&input["cached_tokens"]),
        write: count(&input["cache_creation_tokens"]) + count(&input["cache_write_tokens"]),
        reasoning: count(&usage["output_tokens_details"]["reasoning_tokens"]),
    })
}

pub(super) fn answer(body: &Value) -> Said {
    let mut said = Said {
        stop: stop(body),
        usage: usage(&body["usage"]),
        failed: body["status"] == "failed",
        ..Said::default()
    };
    for item in items(&body["output"]) {
        match word(item, "type") {
            "message" => {
                for part in items(&item["content"]) {
                    said.text.push_str(word(part, "text"));
                    said.text.push_str(word(part, "refusal"));
                }
            }
            "function_call" => said.calls.push((
                word(item, "name").to_owned(),
                parsed(word(item, "arguments")),
            )),
            "custom_tool_call" => said.calls.push((
                word(item, "name").to_owned(),
                json!({"input": item["input"]}),
            )),
            "reasoning" => said.thinking.push_str(&reasoning(item)),
            _ => {}
        }
    }
    said
}

pub(super) fn stream(frames: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut inputs: BTreeMap<u64, String> = BTreeMap::new();
    for frame in frames {
        let index = count(&frame["output_index"]);
        match word(frame, "type") {
            "response.output_text.delta" | "response.refusal.delta" => {
                said.text.push_str(word(frame, "delta"));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                said.thinking.push_str(word(frame, "delta"));
            }
            "response.output_item.added" if frame["item"].get("call_id").is_some() => {
                let item = &frame["item"];
                let entry = (
                    word(item, "name").to_owned(),
                    word(item, "arguments").to_owned(),
                );
                calls.insert(index, entry);
            }
            "response.function_call_arguments.delta" => {
                let entry = calls.entry(index).or_default();
                entry.1.push_str(word(frame, "delta"));
            }
            "response.custom_tool_call_input.delta" => {
                inputs
                    .entry(index)
                    .or_default()
                    .push_str(word(frame, "delta"));
            }
            "response.completed" | "response.incomplete" => {
                let whole = answer(&frame["response"]);
                if said.text.is_empty() && calls.is_empty() {
                    // The end has all of it, also what was never streamed.
                    return whole;
                }
                said.stop = whole.stop;
                said.usage = whole.usage;
            }
            "response.failed" | "error" => said.failed = true,
            _ => {}
        }
    }
    let called = |(index, (name, arguments)): (u64, (String, String))| {
        let own = inputs.get(&index).map(|input| json!({"input": input}));
        (name, own.unwrap_or_else(|| parsed(&arguments)))
    };
    said.calls = calls.into_iter().map(called).collect();
    said
}
