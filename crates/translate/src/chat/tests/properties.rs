//! What holds for any input.

use proptest::prelude::*;

use super::{caller, frames, gathered, read, stream, target};
use crate::Dialect;
use crate::chat;
use crate::ir::Event;
use crate::stream::{Framing, StreamReader, Translator};

/// Any JSON value, with the keys that the readers look for.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    const KEYS: [&str; 34] = [
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "tool_calls",
        "id",
        "index",
        "function",
        "name",
        "arguments",
        "choices",
        "delta",
        "message",
        "reasoning",
        "reasoning_details",
        "reasoning_content",
        "signature",
        "data",
        "format",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "error",
        "refusal",
        "annotations",
        "logprobs",
        "tools",
        "response_format",
        "extra_content",
    ];
    let words = prop::sample::select(vec![
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "function",
        "reasoning.text",
        "reasoning.encrypted",
        "anthropic-claude-v1",
        "stop",
        "",
        "{}",
        "0",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        words.prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((prop::sample::select(KEYS.to_vec()), inner), 0..6).prop_map(
                |entries| {
                    let entries = entries
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value));
                    serde_json::Value::Object(entries.collect())
                }
            ),
        ]
    })
}

/// Puts bytes into every reader, and what was read into the writers.
fn swallow(bytes: &[u8]) {
    if let Ok(request) = chat::read_request(bytes) {
        let _ = chat::write_request(request.clone(), &target("custom", "m"));
        let _ = chat::write_request(request, &target("mistral", "m"));
    }
    if let Ok(answer) = chat::read_answer(bytes) {
        let written = crate::write_answer(Dialect::Chat, answer, &caller());
        assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok());
    }
    let mut reader = chat::Reader::default();
    let mut events: Vec<Event> = Vec::new();
    reader.frame(None, bytes, &mut events);
    reader.frame(Some("x"), bytes, &mut events);
    reader.end(&mut events);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        swallow(&bytes);
    }

    #[test]
    fn arbitrary_json_does_no_harm(json in any_json()) {
        swallow(json.to_string().as_bytes());
        swallow(format!(r#"{{"messages":[{json}],"tools":[{json}],"stop":{json}}}"#).as_bytes());
        swallow(format!(r#"{{"choices":[{{"message":{json},"delta":{json}}}]}}"#).as_bytes());
    }

    #[test]
    fn text_comes_out_as_it_went_in(pieces in prop::collection::vec("\\PC{0,12}", 0..8)) {
        let mut reader = String::new();
        for piece in &pieces {
            let piece = serde_json::Value::from(piece.as_str());
            reader.push_str(&frames(&[&format!(r#"{{"index":0,"delta":{{"content":{piece}}}}}"#)]));
        }
        let out = stream(&format!("{reader}data: [DONE]\n\n"), caller());
        prop_assert_eq!(gathered(&out).0, pieces.concat());
    }

    #[test]
    fn arguments_survive_any_cutting(
        values in prop::collection::vec("\\PC{0,10}", 1..4),
        cuts in prop::collection::vec(0..400_usize, 0..6),
        step in 1..40_usize,
    ) {
        let mut bytes = String::new();
        let mut expected = Vec::new();
        for (n, value) in values.iter().enumerate() {
            let arguments = format!("{{\"v\":{}}}", serde_json::Value::from(value.as_str()));
            let letters: Vec<char> = arguments.chars().collect();
            for (at, piece) in letters.chunks(step).enumerate() {
                let piece = serde_json::Value::from(piece.iter().collect::<String>());
                let name = if at == 0 { format!(r#""id":"c{n}","function":{{"name":"f","arguments":{piece}}}"#) }
                    else { format!(r#""function":{{"arguments":{piece}}}"#) };
                bytes.push_str(&frames(&[&format!(r#"{{"delta":{{"tool_calls":[{{"index":{n},{name}}}]}}}}"#)]));
            }
            expected.push(arguments);
        }
        bytes.push_str("data: [DONE]\n\n");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut translator = Translator::new(Dialect::Chat, Framing::Sse, Dialect::Chat, caller());
        let (mut out, mut from) = (Vec::new(), 0);
        for at in cuts.into_iter().chain([bytes.len()]) {
            translator.push(&bytes.as_bytes()[from..at], &mut out);
            from = at;
        }
        translator.end(&mut out);
        let (_, calls) = gathered(std::str::from_utf8(&out).expect("text"));
        let got: Vec<String> = calls.into_iter().map(|(_, _, arguments)| arguments).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn texts_of_a_request_survive_a_round_trip(said in "\\PC{1,20}") {
        let json = serde_json::Value::from(said.as_str());
        let request = read(&format!(r#"{{"messages":[{{"role":"user","content":{json}}}]}}"#));
        let outgoing = chat::write_request(request, &target("custom", "m")).expect("written");
        let value: serde_json::Value = serde_json::from_slice(&outgoing.body).expect("JSON");
        prop_assert_eq!(value["messages"][0]["content"].as_str(), Some(said.as_str()));
    }
}
