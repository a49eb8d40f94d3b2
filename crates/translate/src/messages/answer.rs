//! Whole answers, read from a provider and written for a caller (providers 16).
//!
//! Reading is lenient: only a body that is no message at all is a problem. Start at [`read_answer`] and
//! [`write_answer`].

use lw_wire::usage::{Anthropic, anthropic_tier};
use serde_json::value::RawValue;

use super::{call_id, citation, message_id, usage};
use crate::ir::{Answer, Part, Stop, Text, Thinking, ToolCall};
use crate::json::{self, Obj, Object};
use crate::signature::{Origin, Signature};
use crate::{Caller, Problem};

/// Reads a provider's message.
///
/// # Errors
/// The body is not a message.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, Problem> {
    let mut top = Object::of_body(body)?;
    let mut text = |key: &str| top.take(key).and_then(json::text);
    let kind = text("type");
    let id = text("id").filter(|id| !id.is_empty());
    let model = text("model");
    let reason = text("stop_reason");
    let sequence = text("stop_sequence");
    let content = top.take("content");
    if kind.as_deref() == Some("error") || (kind.is_none() && content.is_none()) {
        return Err(Problem::bad("the provider's answer is not a message", ""));
    }
    let blocks = content.and_then(|raw| json::list(raw, "content").ok());
    let parts = blocks
        .unwrap_or_default()
        .into_iter()
        .filter_map(read_block);
    let mut gathered = Anthropic::default();
    let reported = top.take("usage").map(RawValue::get);
    if let Some(json) = reported {
        gathered.take(json);
    }
    Ok(Answer {
        id,
        model,
        created: None,
        parts: parts.collect(),
        stop: reason.map_or(Stop::Other, |word| stop_of(&word, sequence)),
        usage: usage::read(&gathered),
        service_tier: reported.and_then(anthropic_tier),
        logprobs: None,
    })
}

/// The neutral reason for a `stop_reason`.
pub(super) fn stop_of(word: &str, sequence: Option<String>) -> Stop {
    match word {
        "end_turn" => Stop::End,
        "stop_sequence" => Stop::Sequence(sequence),
        "tool_use" => Stop::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => Stop::Length,
        "refusal" => Stop::Filtered,
        "pause_turn" | "compaction" => Stop::Paused,
        _ => Stop::Other,
    }
}

/// The dialect's words for a reason: `stop_reason`, and `stop_sequence` as JSON. `refused`: the model said
/// that it does not answer.
pub(super) fn reason(stop: &Stop, refused: bool) -> (&'static str, String) {
    let mut sequence = "null".to_owned();
    let word = match stop {
        Stop::End | Stop::Other if refused => "refusal",
        Stop::End | Stop::Other => "end_turn",
        Stop::Sequence(found) => {
            if let Some(found) = found {
                sequence.clear();
                json::quote(found, &mut sequence);
            }
            "stop_sequence"
        }
        Stop::ToolUse => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Filtered => "refusal",
        Stop::Paused => "pause_turn",
    };
    (word, sequence)
}

fn read_block(raw: &RawValue) -> Option<Part> {
    let mut block = Object::read(raw, "content").ok()?;
    let mut text = |key: &str| block.take(key).and_then(json::text);
    let kind = text("type")?;
    let seal = |text: String| Signature::read(&text, Origin::Anthropic);
    Some(match kind.as_str() {
        "text" => {
            let said = text("text").filter(|text| !text.is_empty())?;
            Part::Text(Text {
                text: said,
                citations: citation::read_all(block.take("citations")),
                ..Text::default()
            })
        }
        "thinking" => Part::Thinking(Thinking {
            text: text("thinking").unwrap_or_default(),
            signature: text("signature").filter(|text| !text.is_empty()).map(seal),
            ..Thinking::default()
        }),
        "redacted_thinking" => Part::Thinking(Thinking {
            signature: Some(seal(text("data")?)),
            redacted: true,
            ..Thinking::default()
        }),
        "tool_use" => Part::ToolCall(ToolCall {
            id: text("id").unwrap_or_default(),
            name: text("name").unwrap_or_else(|| "tool".to_owned()),
            arguments: arguments(block.take("input")),
            freeform: false,
            signature: None,
            cache: None,
        }),
        // Blocks of tools that the provider ran, and what is not known: only this dialect has them.
        _ => Part::Hosted {
            kind,
            raw: raw.to_owned(),
        },
    })
}

/// The arguments of a call as JSON text, also where they came as a text that holds JSON.
pub(super) fn arguments(input: Option<&RawValue>) -> String {
    match input {
        None => "{}".to_owned(),
        Some(raw) => json::text(raw).unwrap_or_else(|| raw.get().to_owned()),
    }
}

/// Writes a message for the caller.
pub(crate) fn write_answer(answer: Answer, caller: &Caller) -> Vec<u8> {
    let Answer {
        id,
        model,
        created: _,
        parts,
        stop,
        usage,
        service_tier,
        logprobs: _,
    } = answer;
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let mut blocks = Vec::with_capacity(parts.len());
    for part in &parts {
        write_part(part, caller, &mut blocks);
    }
    let (reason, sequence) = reason(&stop, refused);
    let model = if caller.model.is_empty() {
        model.unwrap_or_default()
    } else {
        caller.model.clone()
    };
    Obj::new()
        .str("id", &id.unwrap_or_else(|| message_id(caller)))
        .str("type", "message")
        .str("role", "assistant")
        .str("model", &model)
        .list("content", blocks)
        .str("stop_reason", reason)
        .raw("stop_sequence", &sequence)
        .raw("usage", &usage::write(usage, service_tier.as_deref()))
        .end()
        .into_bytes()
}

/// Writes the blocks that a part becomes.
fn write_part(part: &Part, caller: &Caller, blocks: &mut Vec<String>) {
    let text_block = |text: &str| Obj::new().str("type", "text").str("text", text);
    match part {
        Part::Text(text) => {
            blocks.extend(text.signature.as_ref().map(carrier));
            if !text.text.is_empty() {
                let cited = text.citations.iter().filter_map(citation::write).collect();
                blocks.push(text_block(&text.text).list_if("citations", cited).end());
            }
        }
        Part::Refusal(text) if text.is_empty() => {}
        Part::Refusal(text) => blocks.push(text_block(text).end()),
        Part::Thinking(thinking) => blocks.extend(write_thinking(thinking)),
        Part::ToolCall(call) => {
            blocks.extend(call.signature.as_ref().map(carrier));
            let id = if call.id.is_empty() {
                call_id(caller, blocks.len())
            } else {
                call.id.clone()
            };
            let block = Obj::new()
                .str("type", "tool_use")
                .str("id", &id)
                .str("name", &call.name)
                .raw("input", &call.object());
            blocks.push(block.end());
        }
        // Blocks of another vendor's tools, and what the dialect has no block for.
        Part::Hosted { .. }
        | Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_) => {}
    }
}

fn write_thinking(thinking: &Thinking) -> Option<String> {
    let Thinking {
        text,
        signature,
        redacted,
        id: _,
    } = thinking;
    let seal = signature
        .as_ref()
        .map(|seal| seal.write_marked(Origin::Anthropic, *redacted));
    if *redacted {
        return seal.map(|seal| redacted_block(&seal));
    }
    if text.is_empty() && seal.is_none() {
        return None;
    }
    Some(thinking_block(text, &seal.unwrap_or_default()))
}

/// A block `thinking`.
pub(super) fn thinking_block(text: &str, seal: &str) -> String {
    Obj::new()
        .str("type", "thinking")
        .str("thinking", text)
        .str("signature", seal)
        .end()
}

/// A block `redacted_thinking`.
pub(super) fn redacted_block(data: &str) -> String {
    Obj::new()
        .str("type", "redacted_thinking")
        .str("data", data)
        .end()
}

/// The seal of a call or a text, for which the dialect has no field: thinking without words before it.
fn carrier(seal: &Signature) -> String {
    thinking_block("", &seal.write(Origin::Anthropic))
}

#[cfg(test)]
mod tests {
    use lw_core::Usage;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::ir::Citation;
    use crate::{Dialect, write_answer as write_settled};

    fn caller() -> Caller {
        Caller {
            model: "test-model".to_owned(),
            request_hex: "0123456789abcdef0123456789abcdef".to_owned(),
            ..Caller::default()
        }
    }

    fn answer(parts: Vec<Part>, stop: Stop) -> Answer {
        Answer {
            id: None,
            model: Some("m".to_owned()),
            created: None,
            parts,
            stop,
            usage: None,
            service_tier: None,
            logprobs: None,
        }
    }

    fn written(answer: Answer) -> Value {
        let bytes = write_settled(Dialect::Messages, answer, &caller());
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn call(id: &str, arguments: &str, signature: Option<Signature>) -> Part {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments: arguments.to_owned(),
            freeform: false,
            signature,
            cache: None,
        })
    }

    #[test]
    fn a_message_comes_back_with_its_meaning() {
        let body = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "test-model",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "cmVk"},
                {"type": "text", "text": "Paris is cloudy.", "citations": [
                    {"type": "web_search_result_location", "cited_text": "w", "url": "https://a.example/",
                     "title": null, "encrypted_index": ""}]},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Paris"}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 100, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 40,
                "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
                "output_tokens": 20, "service_tier": "standard"},
        });
        let read = read_answer(body.to_string().as_bytes()).expect("read");
        assert_eq!(
            read.usage,
            Some(Usage {
                input: 100,
                cache_read: 40,
                cache_write_5m: 6,
                cache_write_1h: 4,
                output: 20,
                ..Usage::default()
            })
        );
        assert_eq!(written(read), body);
    }

    #[test]
    fn stop_reasons_go_both_ways() {
        for (word, stop, back) in [
            ("end_turn", Stop::End, "end_turn"),
            (
                "stop_sequence",
                Stop::Sequence(Some("END".to_owned())),
                "stop_sequence",
            ),
            ("tool_use", Stop::ToolUse, "tool_use"),
            ("max_tokens", Stop::Length, "max_tokens"),
            ("model_context_window_exceeded", Stop::Length, "max_tokens"),
            ("refusal", Stop::Filtered, "refusal"),
            ("pause_turn", Stop::Paused, "pause_turn"),
            ("bored", Stop::Other, "end_turn"),
        ] {
            let body = json!({"type": "message", "content": [], "stop_reason": word, "stop_sequence": "END"});
            let read = read_answer(body.to_string().as_bytes()).expect("read");
            assert_eq!(read.stop, stop);
            let message = written(read);
            assert_eq!(message["stop_reason"], back);
            let sequence = if back == "stop_sequence" {
                json!("END")
            } else {
                json!(null)
            };
            assert_eq!(message["stop_sequence"], sequence);
        }
    }

    #[test]
    fn odd_bodies_of_a_provider_are_survived() {
        let read = read_answer(
            br#"{"content":[7,{"type":"text"},{"type":"text","text":"","citations":null},
                {"type":"tool_use","input":"{\"a\":1}"},{"type":"tool_use","name":"f"},
                {"type":"server_tool_use","id":"s"},{"type":"hologram"},{"no":"type"}],
                "usage":{"input_tokens":"12","output_tokens":"3"},"stop_reason":null,"new":1}"#,
        )
        .expect("read");
        let seen: Vec<String> = read
            .parts
            .iter()
            .map(|part| match part {
                Part::ToolCall(call) => format!("{} {}", call.name, call.arguments),
                Part::Hosted { kind, .. } => kind.clone(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            seen,
            [r#"tool {"a":1}"#, "f {}", "server_tool_use", "hologram"]
        );
        assert_eq!(
            read.usage.map(|usage| (usage.input, usage.output)),
            Some((12, 3))
        );
        assert_eq!(read.stop, Stop::Other);
        for body in [
            &b"[]"[..],
            b"{}",
            b"oops",
            br#"{"type":"error","error":{},"content":[]}"#,
        ] {
            assert!(read_answer(body).is_err());
        }
    }

    #[test]
    fn what_the_dialect_has_no_field_for_is_carried_or_made() {
        let google = |value: &str| Some(Signature::new(Origin::Google, value));
        let parts = vec![
            Part::Thinking(Thinking::default()),
            Part::Thinking(Thinking {
                text: "Hm".to_owned(),
                signature: Some(Signature::new(Origin::OpenAi, "enc")),
                ..Thinking::default()
            }),
            Part::text(""),
            Part::Text(Text {
                text: "Paris".to_owned(),
                citations: vec![Citation {
                    url: None,
                    title: Some("t".to_owned()),
                    cited_text: None,
                    span: None,
                }],
                ..Text::default()
            }),
            call("", "", google("s1")),
            call("call_2", "broken", None),
        ];
        let message = written(answer(parts, Stop::End));
        assert_eq!(
            message,
            json!({
                "id": "msg_lwgw_0123456789abcdef01234567", "type": "message", "role": "assistant",
                "model": "test-model",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "lw1.openai.enc"},
                    {"type": "text", "text": "Paris"},
                    {"type": "thinking", "thinking": "", "signature": "lw1.google.s1"},
                    {"type": "tool_use", "id": "toolu_lwgw_0123456789abcdef01234567_3", "name": "get_weather", "input": {}},
                    {"type": "tool_use", "id": "call_2", "name": "get_weather", "input": {"_raw": "broken"}},
                ],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                    "cache_creation": null,
                    "output_tokens": 0},
            })
        );
        let refusal = written(answer(vec![Part::Refusal("No.".to_owned())], Stop::End));
        assert_eq!(refusal["stop_reason"], "refusal");
        assert_eq!(refusal["content"], json!([{"type": "text", "text": "No."}]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_answer(&bytes);
        }

        #[test]
        fn text_comes_out_as_it_came_in(texts in prop::collection::vec("\\PC{1,20}", 0..5)) {
            let parts = texts.iter().map(Part::text).collect();
            let message = written(answer(parts, Stop::End));
            let out: Vec<String> = message["content"].as_array().expect("a list").iter()
                .filter_map(|block| block["text"].as_str().map(ToOwned::to_owned)).collect();
            prop_assert_eq!(&out, &texts);
            let back = read_answer(message.to_string().as_bytes()).expect("read");
            prop_assert_eq!(back.parts.len(), texts.len());
        }
    }
}
