//! What Anthropic refuses: caps, roles, tool results without their calls, thoughts that it did not
//! sign.
//!
//! Start at [`check`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, text};
use crate::serve::Call;
use crate::target::Vendor;

const KNOWN: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "thinking",
    "output_config",
    "output_format",
    "service_tier",
    "container",
    "context_management",
    "mcp_servers",
    "cache_control",
    "inference_geo",
    "speed",
];
/// What the clouds take in the body in place of a header.
const CLOUD: &[&str] = &["anthropic_version", "anthropic_beta"];
const MOST_CACHE_MARKS: usize = 4;

pub(super) fn check(call: &Call<'_>, body: &Value, all: bool) -> Result<(), String> {
    let members = body.as_object().ok_or("The body must be an object.")?;
    let clouds = if call.target.vendor == Vendor::Anthropic {
        &[][..]
    } else {
        CLOUD
    };
    let unknown = members
        .keys()
        .find(|key| !KNOWN.contains(&key.as_str()) && !clouds.contains(&key.as_str()));
    if let Some(name) = unknown.filter(|_| all) {
        return Err(format!("{name}: Extra inputs are not permitted"));
    }
    numbers(body)?;
    system(body)?;
    let marks = cache_marks(body);
    if marks > MOST_CACHE_MARKS {
        return Err(format!(
            "A maximum of {MOST_CACHE_MARKS} blocks with cache_control may be provided. Found \
             {marks}."
        ));
    }
    tools(body)?;
    turns(call, list(body, "messages"))
}

fn numbers(body: &Value) -> Result<(), String> {
    let cap = body.get("max_tokens").and_then(Value::as_i64);
    let cap = match body.get("max_tokens") {
        None => return Err(String::from("max_tokens: Field required")),
        Some(_) => cap.ok_or("max_tokens: Input should be a valid integer")?,
    };
    if cap < 1 {
        return Err(String::from(
            "max_tokens: Input should be greater than or equal to 1",
        ));
    }
    let temperature = body.get("temperature").and_then(Value::as_f64);
    if temperature.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return Err(String::from("temperature: range: 0..1"));
    }
    let Some(thinking) = body.get("thinking") else {
        return Ok(());
    };
    let kind = text(thinking, "type");
    if !matches!(kind, Some("enabled" | "adaptive" | "disabled")) {
        return Err(String::from(
            "thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', \
             'enabled'",
        ));
    }
    if kind == Some("disabled") {
        return Ok(());
    }
    if kind == Some("enabled") {
        let budget = thinking.get("budget_tokens").and_then(Value::as_i64);
        let budget = budget.ok_or("thinking.enabled.budget_tokens: Field required")?;
        if budget < 1_024 {
            return Err(String::from(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            ));
        }
        if budget >= cap {
            return Err(String::from(
                "`max_tokens` must be greater than `thinking.budget_tokens`.",
            ));
        }
    }
    if temperature.is_some_and(|value| value < 1.0) {
        return Err(String::from(
            "`temperature` may only be set to 1 when thinking is enabled.",
        ));
    }
    let choice = body
        .get("tool_choice")
        .and_then(|choice| text(choice, "type"));
    if matches!(choice, Some("any" | "tool")) {
        return Err(String::from(
            "Thinking may not be enabled when tool_choice forces tool use.",
        ));
    }
    Ok(())
}

fn system(body: &Value) -> Result<(), String> {
    match body.get("system") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(blocks)) => {
            let bad = blocks.iter().position(|block| {
                text(block, "type") != Some("text") || text(block, "text").is_none_or(str::is_empty)
            });
            bad.map_or(Ok(()), |at| {
                Err(format!(
                    "system.{at}: text content blocks must be non-empty"
                ))
            })
        }
        Some(_) => Err(String::from("system: Input should be a valid list")),
    }
}

fn cache_marks(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(cache_marks).sum(),
        Value::Object(members) => {
            let inside = members
                .iter()
                .filter(|(key, _)| *key != "input" && *key != "input_schema");
            usize::from(members.get("cache_control").is_some_and(Value::is_object))
                + inside.map(|(_, inner)| cache_marks(inner)).sum::<usize>()
        }
        _ => 0,
    }
}

fn tools(body: &Value) -> Result<(), String> {
    let tools = list(body, "tools");
    let mut seen = BTreeSet::new();
    for (at, tool) in tools.iter().enumerate() {
        let name = text(tool, "name").ok_or(format!("tools.{at}.name: Field required"))?;
        if !is_name(name, 128) {
            return Err(format!(
                "tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            ));
        }
        let is_own = matches!(text(tool, "type"), None | Some("custom"));
        let schema = tool.get("input_schema");
        if is_own && schema.is_none_or(|schema| text(schema, "type") != Some("object")) {
            return Err(format!(
                "tools.{at}.custom.input_schema.type: Field required"
            ));
        }
        if !seen.insert(name) {
            return Err(String::from("tools: Tool names must be unique."));
        }
    }
    let choice = body.get("tool_choice");
    if choice.is_some_and(|choice| text(choice, "type") != Some("none")) && tools.is_empty() {
        return Err(String::from(
            "tool_choice: may only be specified while providing tools.",
        ));
    }
    match choice.and_then(|choice| text(choice, "name")) {
        Some(name) if !seen.contains(name) => {
            Err(format!("Tool '{name}' not found in provided tools"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Turns of the same role in a row are taken as one, as the vendor does.
fn turns(call: &Call<'_>, messages: &[Value]) -> Result<(), String> {
    if messages.is_empty() {
        return Err(String::from("messages: at least one message is required"));
    }
    let mut asked: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = text(message, "role").ok_or(format!("messages.{at}.role: Field required"))?;
        if !matches!(role, "user" | "assistant") {
            return Err(format!(
                "messages: Unexpected role \"{role}\". Roles are 'user' and 'assistant'; the system \
                 prompt is the top-level `system` parameter."
            ));
        }
        if at == 0 && role != "user" {
            return Err(String::from(
                "messages: first message must use the \"user\" role",
            ));
        }
        let is_last = at + 1 == messages.len();
        let empty = match message.get("content") {
            None => return Err(format!("messages.{at}.content: Field required")),
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(blocks)) => blocks.is_empty(),
            Some(_) => {
                return Err(format!(
                    "messages.{at}.content: Input should be a valid list"
                ));
            }
        };
        if empty && !(is_last && role == "assistant") {
            return Err(format!(
                "messages.{at}: all messages must have non-empty content except for the optional \
                 final assistant message"
            ));
        }
        let blocks = list(message, "content");
        for (n, block) in blocks.iter().enumerate() {
            checked_block(call, role, block, &format!("messages.{at}.content.{n}"))?;
        }
        if role == "user" {
            results_match(blocks, &mut asked, at)?;
        } else {
            asked.extend(ids(blocks, "tool_use", "id").map(str::to_owned));
        }
    }
    Ok(())
}

fn ids<'a>(blocks: &'a [Value], kind: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let of_kind = blocks
        .iter()
        .filter(move |block| text(block, "type") == Some(kind));
    of_kind.filter_map(move |block| text(block, key))
}

fn checked_block(call: &Call<'_>, role: &str, block: &Value, at: &str) -> Result<(), String> {
    let kind = text(block, "type").ok_or(format!("{at}.type: Field required"))?;
    match kind {
        "text" if text(block, "text").is_none_or(str::is_empty) => Err(String::from(
            "messages: text content blocks must be non-empty",
        )),
        "tool_use" | "thinking" | "redacted_thinking" if role != "assistant" => Err(format!(
            "{at}: `{kind}` blocks can only be in `assistant` messages"
        )),
        "tool_result" if role != "user" => Err(format!(
            "{at}: `tool_result` blocks can only be in `user` messages"
        )),
        "tool_use" => {
            let id = text(block, "id").unwrap_or_default();
            if !is_name(id, 256) {
                return Err(format!(
                    "{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                ));
            }
            if !block.get("input").is_some_and(Value::is_object) {
                return Err(format!(
                    "{at}.tool_use.input: Input should be a valid dictionary"
                ));
            }
            Ok(())
        }
        "thinking" => {
            let (thinking, signature) = (text(block, "thinking"), text(block, "signature"));
            let (Some(thinking), Some(signature)) = (thinking, signature) else {
                return Err(format!("{at}.thinking.signature: Field required"));
            };
            if call.shared.signed(thinking, signature) {
                return Ok(());
            }
            Err(format!("{at}: Invalid `signature` in `thinking` block"))
        }
        "redacted_thinking" => {
            if text(block, "data").is_some_and(|data| call.shared.sealed(data)) {
                return Ok(());
            }
            Err(format!("{at}: Invalid `data` in `redacted_thinking` block"))
        }
        _ => Ok(()),
    }
}

/// Each call is answered in the next user turn, and nothing else is.
fn results_match(blocks: &[Value], asked: &mut Vec<String>, at: usize) -> Result<(), String> {
    let given: Vec<&str> = ids(blocks, "tool_result", "tool_use_id").collect();
    if let Some(id) = given
        .iter()
        .find(|id| !asked.iter().any(|asked| asked == *id))
    {
        return Err(format!(
            "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
             `tool_result` block must have a corresponding `tool_use` block in the previous \
             message."
        ));
    }
    let missing: Vec<&str> = asked
        .iter()
        .map(String::as_str)
        .filter(|id| !given.contains(id))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately \
             after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the \
             next message.",
            missing.join(", ")
        ));
    }
    let first_other = blocks
        .iter()
        .position(|block| text(block, "type") != Some("tool_result"));
    let last_result = blocks
        .iter()
        .rposition(|block| text(block, "type") == Some("tool_result"));
    if !asked.is_empty() && first_other.is_some() && first_other < last_result {
        return Err(format!(
            "messages.{at}: `tool_result` blocks must come first in the content that answers \
             `tool_use` blocks."
        ));
    }
    asked.clear();
    Ok(())
}

fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
