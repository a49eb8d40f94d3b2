//! Token counting between dialects: what a conversation would cost as input.
//!
//! The conversation itself goes through the readers and writers of requests; this only puts it into the
//! envelope of the counting operation and takes out what that does not accept. Must never count by itself.
//! Start at [`request`]; answers go through [`read_answer`] and [`write_answer`].

use serde_json::value::RawValue;

use crate::json::{self, Obj, Object};
use crate::{Dialect, Outgoing, Problem, Target, ir, read_request, write_request};

/// An operation that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// `POST /v1/messages/count_tokens` of Anthropic, and of Claude on Vertex.
    Anthropic,
    /// `:countTokens` of the Gemini API.
    Gemini,
    /// `:countTokens` of Gemini on Vertex.
    Vertex,
    /// `POST /model/{id}/count-tokens` of Bedrock.
    Bedrock,
    /// `POST /v1/responses/input_tokens` of OpenAI.
    OpenAi,
}

impl Counter {
    /// The dialect that the conversation is written in.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic => Dialect::Messages,
            Self::Gemini | Self::Vertex => Dialect::Gemini,
            Self::Bedrock => Dialect::Converse,
            Self::OpenAi => Dialect::Responses,
        }
    }

    /// The fields of a request that count; `None`: all of them.
    const fn counted(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Anthropic => Some(&[
                "model",
                "system",
                "messages",
                "tools",
                "tool_choice",
                "thinking",
                "output_config",
                "cache_control",
                "context_management",
                "mcp_servers",
            ]),
            Self::Gemini => None,
            Self::Vertex => Some(&["contents", "systemInstruction", "tools", "generationConfig"]),
            Self::Bedrock => Some(&[
                "messages",
                "system",
                "toolConfig",
                "additionalModelRequestFields",
            ]),
            Self::OpenAi => Some(&[
                "model",
                "instructions",
                "input",
                "tools",
                "tool_choice",
                "parallel_tool_calls",
                "reasoning",
                "text",
                "truncation",
            ]),
        }
    }
}

/// Turns the body of one counting operation into that of another. `from` is the caller's dialect.
///
/// # Errors
/// The body is not what its dialect allows, or holds what the provider cannot be given.
pub fn request(
    from: Dialect,
    body: &[u8],
    to: Counter,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let conversation = read(from, body)?;
    write(conversation, to, target)
}

/// Reads the conversation that shall be counted, for callers that have to look at it first
/// ([`ir::Request::remote_sources`]).
///
/// # Errors
/// The body is not what its dialect allows.
pub fn read(from: Dialect, body: &[u8]) -> Result<ir::Request, Problem> {
    match from {
        Dialect::Gemini => read_request(from, unwrapped(body)?.as_bytes()),
        _ => read_request(from, body),
    }
}

/// Writes the body of a counting operation.
///
/// # Errors
/// The conversation holds what the provider cannot be given.
pub fn write(
    mut conversation: ir::Request,
    to: Counter,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    conversation.stream = false;
    let mut outgoing = write_request(to.dialect(), conversation, target)?;
    outgoing.body = wrapped(&outgoing.body, to, target.model)?.into_bytes();
    Ok(outgoing)
}

/// The `generateContent` body inside a `countTokens` body: under `generateContentRequest`, or the body
/// itself.
fn unwrapped(body: &[u8]) -> Result<String, Problem> {
    let mut top = Object::of_body(body)?;
    for name in ["generateContentRequest", "generate_content_request"] {
        if let Some(inner) = top.take(name) {
            let inner = without(&Object::read(inner, name)?, "model");
            return Ok(inner);
        }
    }
    Ok(without(&top, "model"))
}

fn without(object: &Object<'_>, key: &str) -> String {
    let kept = object.iter().filter(|(name, _)| *name != key);
    kept.fold(Obj::new(), |out, (name, value)| out.raw(name, value.get()))
        .end()
}

/// Puts a request's body into the envelope of the operation.
fn wrapped(body: &[u8], to: Counter, model: &str) -> Result<String, Problem> {
    let body = Object::of_body(body)?;
    let counted = |name: &str| to.counted().is_none_or(|names| names.contains(&name));
    // Gemini names the model once more inside.
    let inner = match to {
        Counter::Gemini => Obj::new().str("model", &format!("models/{model}")),
        _ => Obj::new(),
    };
    let inner = body
        .iter()
        .filter(|(name, _)| counted(name))
        .fold(inner, |out, (name, value)| out.raw(name, value.get()))
        .end();
    Ok(match to {
        Counter::Anthropic | Counter::Vertex | Counter::OpenAi => inner,
        Counter::Gemini => Obj::new().raw("generateContentRequest", &inner).end(),
        Counter::Bedrock => {
            let converse = Obj::new().raw("converse", &inner).end();
            Obj::new().raw("input", &converse).end()
        }
    })
}

/// Reads how many tokens a provider counted.
///
/// # Errors
/// The answer does not say it.
pub fn read_answer(from: Counter, body: &[u8]) -> Result<u64, Problem> {
    let name = match from {
        Counter::Anthropic | Counter::OpenAi => "input_tokens",
        Counter::Gemini | Counter::Vertex => "totalTokens",
        Counter::Bedrock => "inputTokens",
    };
    let top = Object::of_body(body)?;
    let number = |raw: &RawValue| {
        let text = json::text(raw).unwrap_or_else(|| raw.get().to_owned());
        text.parse::<u64>().ok()
    };
    let missing = || Problem::bad("the provider's answer has no count of tokens", name);
    match top.get(name) {
        Some(raw) => number(raw).ok_or_else(missing),
        // Google leaves zeros out.
        None if name == "totalTokens" => Ok(0),
        None => Err(missing()),
    }
}

/// Writes the answer for the caller.
#[must_use]
pub fn write_answer(to: Dialect, tokens: u64) -> Vec<u8> {
    let answer = match to {
        Dialect::Messages => Obj::new().num("input_tokens", tokens),
        Dialect::Gemini => Obj::new().num("totalTokens", tokens),
        Dialect::Converse => Obj::new().num("inputTokens", tokens),
        Dialect::Chat | Dialect::Responses => Obj::new()
            .str("object", "response.input_tokens")
            .num("input_tokens", tokens),
    };
    answer.end().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ALL: [Counter; 5] = [
        Counter::Anthropic,
        Counter::Gemini,
        Counter::Vertex,
        Counter::Bedrock,
        Counter::OpenAi,
    ];

    fn target() -> Target<'static> {
        Target {
            provider: "p",
            model: "claude-sonnet-4-5",
            name: "claude-sonnet-4-5",
            max_output: None,
        }
    }

    #[test]
    fn a_conversation_is_counted_without_what_does_not_count() {
        let body = json!({
            "model": "m", "system": "You are terse.", "stream": true, "temperature": 0.5,
            "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}], "max_tokens": 5000,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
        });
        let outgoing = request(
            Dialect::Messages,
            body.to_string().as_bytes(),
            Counter::Anthropic,
            &target(),
        );
        let back: Value = serde_json::from_slice(&outgoing.expect("written").body).expect("JSON");
        assert_eq!(
            back,
            json!({
                "model": "claude-sonnet-4-5",
                "system": [{"type": "text", "text": "You are terse."}],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "What is the weather in Paris?"}]}],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "thinking": {"type": "enabled", "budget_tokens": 2000},
            })
        );
    }

    #[test]
    fn each_operation_has_its_envelope() {
        for (to, body, expected) in [
            (
                Counter::Gemini,
                r#"{"contents":[1.10],"generationConfig":{}}"#,
                r#"{"generateContentRequest":{"model":"models/m","contents":[1.10],"generationConfig":{}}}"#,
            ),
            (
                Counter::Vertex,
                r#"{"contents":[],"safetySettings":[],"systemInstruction":{}}"#,
                r#"{"contents":[],"systemInstruction":{}}"#,
            ),
            (
                Counter::Bedrock,
                r#"{"messages":[],"inferenceConfig":{},"system":[]}"#,
                r#"{"input":{"converse":{"messages":[],"system":[]}}}"#,
            ),
            (
                Counter::OpenAi,
                r#"{"model":"m","input":[],"store":false,"include":[],"reasoning":{}}"#,
                r#"{"model":"m","input":[],"reasoning":{}}"#,
            ),
            (
                Counter::Anthropic,
                r#"{"model":"m","max_tokens":1,"messages":[]}"#,
                r#"{"model":"m","messages":[]}"#,
            ),
        ] {
            assert_eq!(wrapped(body.as_bytes(), to, "m").as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_gemini_body_is_taken_out_of_its_envelope() {
        for (body, expected) in [
            (
                r#"{"contents":[{"parts":[]}],"model":"m"}"#,
                r#"{"contents":[{"parts":[]}]}"#,
            ),
            (
                r#"{"generateContentRequest":{"model":"models/m","contents":[1.10]}}"#,
                r#"{"contents":[1.10]}"#,
            ),
            (
                r#"{"generate_content_request":{"contents":[]}}"#,
                r#"{"contents":[]}"#,
            ),
        ] {
            assert_eq!(unwrapped(body.as_bytes()).as_deref(), Ok(expected));
        }
        assert!(unwrapped(b"[]").is_err());
        assert!(unwrapped(br#"{"generateContentRequest":7}"#).is_err());
    }

    #[test]
    fn counts_are_read_and_written() {
        for (from, body, tokens) in [
            (Counter::Anthropic, r#"{"input_tokens":14}"#, 14),
            (
                Counter::OpenAi,
                r#"{"object":"response.input_tokens","input_tokens":14}"#,
                14,
            ),
            (
                Counter::Gemini,
                r#"{"totalTokens":"14","promptTokensDetails":[]}"#,
                14,
            ),
            (Counter::Vertex, "{}", 0),
            (Counter::Bedrock, r#"{"inputTokens":14}"#, 14),
        ] {
            assert_eq!(read_answer(from, body.as_bytes()), Ok(tokens));
        }
        for from in ALL {
            let odd = br#"{"input_tokens":-1,"totalTokens":[],"inputTokens":"x"}"#;
            assert!(read_answer(from, odd).is_err());
            assert!(read_answer(from, b"oops").is_err());
            let own = write_answer(from.dialect(), 7);
            assert_eq!(read_answer(from, &own), Ok(7));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            for to in ALL {
                let _ = request(Dialect::Messages, &bytes, to, &target());
                let _ = request(Dialect::Gemini, &bytes, to, &target());
                let _ = read_answer(to, &bytes);
            }
        }
    }
}
