//! What OpenAI refuses: parameters that it does not know, tool messages without their calls,
//! reasoning that it did not seal.
//!
//! Start at [`check_chat`] and [`check_responses`].

use serde_json::Value;

use super::{list, text};
use crate::reply::Refusal;
use crate::seal::opened;
use crate::target::Dialect;

const CHAT: &[&str] = &[
    "messages",
    "model",
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
const RESPONSES: &[&str] = &[
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

pub(super) fn check_chat(body: &Value) -> Result<(), Refusal> {
    if let Some(name) = stranger(body, CHAT) {
        return Err(refused(format!(
            "Unrecognized request argument supplied: {name}"
        )));
    }
    if newer_family(body) && body.get("max_tokens").is_some() {
        return Err(refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
             'max_completion_tokens' instead.",
        )
        .param("max_tokens")
        .code(Some("unsupported_parameter")));
    }
    let mut asked: Vec<&str> = Vec::new();
    for (at, message) in list(body, "messages").iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        let param = format!("messages[{at}].role");
        if !matches!(
            role,
            "developer" | "system" | "user" | "assistant" | "tool" | "function"
        ) {
            return Err(refused(format!("Invalid value: '{role}'."))
                .param(param)
                .code(Some("invalid_value")));
        }
        if role == "tool" {
            let id = text(message, "tool_call_id").unwrap_or_default();
            let before = asked.len();
            asked.retain(|known| *known != id);
            if asked.len() == before {
                return Err(refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding \
                     message with 'tool_calls'.",
                )
                .param(param));
            }
            continue;
        }
        unanswered(&asked)?;
        asked = list(message, "tool_calls")
            .iter()
            .filter_map(|call| text(call, "id"))
            .collect();
    }
    unanswered(&asked)
}

fn unanswered(asked: &[&str]) -> Result<(), Refusal> {
    if asked.is_empty() {
        return Ok(());
    }
    Err(refused(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        asked.join(", ")
    ))
    .param("messages"))
}

pub(super) fn check_responses(body: &Value) -> Result<(), Refusal> {
    if let Some(name) = stranger(body, RESPONSES) {
        return Err(refused(format!("Unknown parameter: '{name}'."))
            .param(name)
            .code(Some("unknown_parameter")));
    }
    if newer_family(body) && body.get("temperature").is_some_and(|value| *value != 1) {
        return Err(refused(
            "Unsupported parameter: 'temperature' is not supported with this model.",
        )
        .param("temperature")
        .code(None));
    }
    let input = list(body, "input");
    let continued = body
        .get("previous_response_id")
        .is_some_and(Value::is_string);
    let mut asked: Vec<&str> = Vec::new();
    for (at, item) in input.iter().enumerate() {
        let call = text(item, "call_id").unwrap_or_default();
        match text(item, "type") {
            Some("function_call") => {
                if text(item, "arguments").is_none() {
                    let param = format!("input[{at}].arguments");
                    return Err(refused(format!("Missing required parameter: '{param}'."))
                        .param(param)
                        .code(Some("missing_required_parameter")));
                }
                asked.push(call);
            }
            Some("function_call_output") => {
                let before = asked.len();
                asked.retain(|known| *known != call);
                if asked.len() == before && !continued {
                    return Err(refused(format!(
                        "No tool call found for function call output with call_id {call}."
                    ))
                    .param("input"));
                }
            }
            Some("reasoning") => {
                let sealed = text(item, "encrypted_content");
                if sealed.is_some_and(|sealed| opened(sealed).is_none()) {
                    return Err(refused(
                        "The encrypted content could not be verified: it could not be decrypted or \
                         parsed.",
                    )
                    .code(Some("invalid_encrypted_content")));
                }
            }
            _ => {}
        }
    }
    match asked.first() {
        Some(call) => {
            Err(refused(format!("No tool output found for function call {call}.")).param("input"))
        }
        None => Ok(()),
    }
}

fn stranger<'a>(body: &'a Value, known: &[&str]) -> Option<&'a str> {
    let mut names = body.as_object()?.keys();
    names
        .find(|name| !known.contains(&name.as_str()))
        .map(String::as_str)
}

/// Families that reason always, and take fewer parameters.
fn newer_family(body: &Value) -> bool {
    let model = text(body, "model").unwrap_or_default();
    ["gpt-5", "o1", "o3", "o4"]
        .iter()
        .any(|family| model.starts_with(family))
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::bad_request(Dialect::OpenAi, message)
}
