//! What holds for any input.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Dialect;
use crate::ir::Event;
use crate::responses::{Reader, read_answer, read_request, write_request};
use crate::stream::StreamReader;

use super::{THINKER, caller, check, events, translate};

/// Sends pieces through the reader as deltas of one event and gives the text that comes out of the writer.
fn through(pieces: &[String], arguments: bool) -> String {
    let mut stream = String::new();
    let kind = if arguments {
        "response.function_call_arguments.delta"
    } else {
        "response.output_text.delta"
    };
    for piece in pieces {
        let data = json!({"type": kind, "item_id": "x", "output_index": 0, "content_index": 0, "delta": piece});
        stream.push_str(&format!("data: {data}\n\n"));
    }
    stream.push_str(
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n",
    );
    let out = translate(stream.as_bytes(), caller(), 13);
    let last = events(&out).pop().expect("an end");
    let item = &last["response"]["output"][0];
    let found = if arguments {
        &item["arguments"]
    } else {
        &item["content"][0]["text"]
    };
    found.as_str().unwrap_or_default().to_owned()
}

proptest! {
    #[test]
    fn text_comes_out_as_it_went_in(pieces in prop::collection::vec(any::<String>(), 0..6)) {
        prop_assert_eq!(through(&pieces, false), pieces.concat());
    }

    #[test]
    fn arguments_survive_any_cutting(value in any::<String>(), cut in 1..20_usize) {
        let arguments: Vec<char> = json!({"a": {"b": [value]}}).to_string().chars().collect();
        let pieces: Vec<String> = arguments.chunks(cut).map(|piece| piece.iter().collect()).collect();
        prop_assert_eq!(through(&pieces, true), pieces.concat());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_request(&bytes);
        let _ = read_answer(&bytes);
        let mut events: Vec<Event> = Vec::new();
        Reader::default().frame(None, &bytes, &mut events);
        translate(&bytes, caller(), 5);
    }

    #[test]
    fn arbitrary_json_does_no_harm(value in json_like(), more in json_like()) {
        let body = json!({
            "input": [value, {"type": "message", "role": "user", "content": more}],
            "tools": [more], "tool_choice": more, "text": value, "reasoning": more,
        });
        if let Ok(request) = read_request(body.to_string().as_bytes()) {
            let _ = write_request(request, &THINKER);
        }
        let answer = json!({"object": "response", "output": [value, more], "usage": more});
        if let Ok(answer) = read_answer(answer.to_string().as_bytes()) {
            let written = crate::write_answer(Dialect::Responses, answer, &caller());
            prop_assert!(serde_json::from_slice::<Value>(&written).is_ok());
        }
        let mut stream = String::new();
        for kind in ["output_item.added", "output_item.done", "output_text.delta", "completed"] {
            let event = json!({
                "type": format!("response.{kind}"), "item": value, "delta": more,
                "response": {"output": [more], "usage": value},
            });
            stream.push_str(&format!("data: {event}\n\n"));
        }
        let out = translate(stream.as_bytes(), caller(), 64);
        check("arbitrary", &events(&out));
    }
}

/// JSON made of the words of the dialect.
fn json_like() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "message",
        "reasoning",
        "function_call",
        "custom_tool_call",
        "output_text",
        "input_text",
        "input_image",
        "input_file",
        "refusal",
        "assistant",
        "user",
        "text",
        "x",
        "lw1.google.A",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "role",
            "content",
            "text",
            "id",
            "call_id",
            "name",
            "arguments",
            "input",
            "summary",
            "encrypted_content",
            "image_url",
            "file_data",
            "output",
            "annotations",
            "tools",
            "format",
            "effort",
            "refusal",
            "logprobs",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
