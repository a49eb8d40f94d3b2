//! Gemini `generateContent`.

use serde_json::Value;

use super::{Asked, Said, Tokens, add, count, is_some_thinking, items, word};

/// What callers may also send: `snake_case` names. What the caller's own data is stays as it is.
fn camel(body: &Value) -> Value {
    match body {
        Value::Object(fields) => {
            let renamed = fields.iter().map(|(key, value)| {
                let mut words = key.split('_');
                let mut name = words.next().unwrap_or_default().to_owned();
                for word in words {
                    let (first, rest) = word.split_at(word.len().min(1));
                    name.push_str(&first.to_uppercase());
                    name.push_str(rest);
                }
                let own = matches!(name.as_str(), "args" | "response" | "parameters")
                    || name.ends_with("Schema");
                let value = if own { value.clone() } else { camel(value) };
                (name, value)
            });
            Value::Object(renamed.collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(camel).collect()),
        value => value.clone(),
    }
}

pub(super) fn request(body: &Value) -> Asked {
    let body = &camel(body);
    let mut asked = Asked::default();
    for part in items(&body["systemInstruction"]["parts"]) {
        add(&mut asked.system, word(part, "text"));
    }
    for content in items(&body["contents"]) {
        for part in items(&content["parts"]) {
            self::part(part, word(content, "role"), &mut asked);
        }
    }
    for tool in items(&body["tools"]) {
        for function in items(&tool["functionDeclarations"]) {
            asked.tool(function);
        }
    }
    let calling = &body["toolConfig"]["functionCallingConfig"];
    asked.choice = match word(calling, "mode") {
        "AUTO" => Some("auto".to_owned()),
        "NONE" => Some("none".to_owned()),
        "ANY" => {
            let names = items(&calling["allowedFunctionNames"]);
            let only = names.first().and_then(Value::as_str);
            Some(only.unwrap_or("any").to_owned())
        }
        _ => None,
    };
    let config = &body["generationConfig"];
    asked.schema = ["responseJsonSchema", "responseSchema"]
        .iter()
        .find_map(|key| config.get(key).cloned());
    let thinking = &config["thinkingConfig"];
    asked.thinks = is_some_thinking(&thinking["thinkingBudget"])
        || is_some_thinking(&thinking["thinkingLevel"]);
    for (name, key) in [
        ("max", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("top_k", "topK"),
        ("stop", "stopSequences"),
        ("presence", "presencePenalty"),
        ("frequency", "frequencyPenalty"),
    ] {
        asked.number(name, &config[key]);
    }
    asked
}

fn part(part: &Value, role: &str, asked: &mut Asked) {
    if let Some(text) = part["text"].as_str() {
        let to = match (part["thought"] == true, role) {
            (true, _) => &mut asked.thinking,
            (false, "model") => &mut asked.assistant,
            (false, _) => &mut asked.user,
        };
        add(to, text);
    }
    media(part, asked);
    if let Some(call) = part.get("functionCall") {
        let name = word(call, "name");
        let arguments = call
            .get("args")
            .cloned()
            .unwrap_or_else(|| Value::Object(Default::default()));
        asked.call(name, name, arguments);
    }
    if let Some(response) = part.get("functionResponse") {
        let name = word(response, "name").to_owned();
        asked.ids.insert(name.clone(), name.clone());
        asked.result(&name, unwrapped(&response["response"]));
        for inner in items(&response["parts"]) {
            media(inner, asked);
        }
    }
}

fn media(part: &Value, asked: &mut Asked) {
    for key in ["inlineData", "fileData"] {
        match part[key]["mimeType"].as_str() {
            Some(kind) if kind.starts_with("image/") => asked.images += 1,
            Some(kind) if !kind.starts_with("audio/") => asked.documents += 1,
            _ => {}
        }
    }
}

/// The one member that wraps a result that is not an object itself.
fn unwrapped(response: &Value) -> &Value {
    let fields = response.as_object();
    let only = fields.filter(|fields| fields.len() == 1);
    let inner = only.and_then(|fields| {
        let keys = ["result", "output", "error"];
        keys.iter().find_map(|key| fields.get(*key))
    });
    inner.unwrap_or(response)
}

fn stop(body: &Value) -> Option<&'static str> {
    if body["promptFeedback"]["blockReason"].is_string() {
        return Some("filtered");
    }
    Some(match body["candidates"][0]["finishReason"].as_str()? {
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
        | "LANGUAGE" => "filtered",
        _ => "stop",
    })
}

fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let reasoning = count(&usage["thoughtsTokenCount"]);
    Some(Tokens {
        prompt: count(&usage["promptTokenCount"]) + count(&usage["toolUsePromptTokenCount"]),
        completion: count(&usage["candidatesTokenCount"]) + reasoning,
        read: count(&usage["cachedContentTokenCount"]),
        write: 0,
        reasoning,
    })
}

fn hear(body: &Value, said: &mut Said) {
    for part in items(&body["candidates"][0]["content"]["parts"]) {
        if part["thought"] == true {
            said.thinking.push_str(word(part, "text"));
        } else {
            said.text.push_str(word(part, "text"));
        }
        if let Some(call) = part.get("functionCall") {
            let arguments = call
                .get("args")
                .cloned()
                .unwrap_or_else(|| Value::Object(Default::default()));
            said.calls.push((word(call, "name").to_owned(), arguments));
        }
    }
    said.stop = stop(body).or(said.stop);
    said.usage = usage(&body["usageMetadata"])
        .and_then(Tokens::reported)
        .or(said.usage);
    said.failed |= body.get("error").is_some();
}

pub(super) fn answer(body: &Value) -> Said {
    let mut said = Said::default();
    hear(body, &mut said);
    if said.stop.is_none() && !said.failed {
        // No candidate at all: thinking used up the cap.
        said.stop = Some("length");
    }
    said
}

pub(super) fn stream(frames: &[Value]) -> Said {
    let mut said = Said::default();
    for frame in frames {
        hear(frame, &mut said);
    }
    said
}
