//! Texts come out of every dialect and go back in with nothing else changed.

use std::borrow::Cow;

use bytes::Bytes;
use lw_core::BodyForm;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn texts(body: &Value) -> Vec<String> {
    let body = body.to_string();
    let request = Request::read(body.as_bytes()).expect("a readable body");
    let texts = request.texts.iter();
    texts.map(|piece| piece.text.clone().into_owned()).collect()
}

fn joined(body: &[u8], edits: Edits) -> String {
    let body = Bytes::copy_from_slice(body);
    String::from_utf8(edits.apply(&body).into_inner().concat()).expect("text")
}

#[test]
fn the_words_of_every_dialect_are_found() {
    let chat = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "one" },
            { "role": "user", "name": "no", "content": [
                { "type": "text", "text": "two" },
                { "type": "image_url", "image_url": { "url": "data:no" } },
                { "type": "input_audio", "input_audio": { "data": "no" } },
            ] },
            { "role": "assistant", "content": null, "refusal": "three", "tool_calls": [
                { "id": "no", "function": { "name": "no", "arguments": "{\"no\":1}" } } ] },
            { "role": "tool", "tool_call_id": "no", "content": "four" },
        ],
        "prediction": { "type": "content", "content": "five" },
        "tools": [{ "function": { "description": "no" } }],
    });
    let responses = json!({
        "instructions": "one",
        "input": [
            { "role": "user", "content": [{ "type": "input_text", "text": "two" }] },
            { "type": "reasoning", "summary": [{ "text": "no" }], "content": [{ "text": "no" }] },
            { "type": "function_call", "name": "no", "arguments": "no" },
            { "type": "function_call_output", "call_id": "no", "output": "three" },
            { "type": "shell_call_output", "output": [{ "stdout": "four", "stderr": "five" }] },
            { "type": "message", "content": "six" },
        ],
        "prompt": { "id": "no", "variables": { "a": "seven", "b": { "type": "input_text", "text": "eight" } } },
    });
    let messages = json!({
        "system": [{ "type": "text", "text": "one", "cache_control": { "type": "ephemeral" } }],
        "messages": [
            { "role": "user", "content": "two" },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "no", "signature": "no" },
                { "type": "text", "text": "three" },
                { "type": "tool_use", "id": "no", "input": { "text": "no" } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "no", "content": [{ "type": "text", "text": "four" }] },
                { "type": "document", "title": "five", "source": { "type": "text", "media_type": "no", "data": "six" } },
                { "type": "document", "source": { "type": "base64", "data": "no" } },
            ] },
        ],
    });
    let gemini = json!({
        "systemInstruction": { "parts": [{ "text": "one" }] },
        "contents": [
            { "role": "user", "parts": [{ "text": "two" }, { "inlineData": { "data": "no" } }] },
            { "role": "model", "parts": [{ "thought": true, "text": "no" }, { "functionCall": { "args": { "text": "no" } } }] },
            { "parts": [{ "functionResponse": { "name": "no", "response": { "a": ["three", 1, { "b": "four" }] } } }] },
        ],
    });
    let numbers = [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ];
    let found = |body: &Value, count: usize| {
        let mut texts = texts(body);
        texts.sort_by_key(|text| numbers.iter().position(|number| number == text));
        assert_eq!(texts, &numbers[..count], "{body}");
    };
    found(&chat, 5);
    found(&responses, 8);
    found(&messages, 6);
    found(&gemini, 4);
    assert_eq!(texts(&json!({ "input": "a" })), ["a"]);
    assert_eq!(texts(&json!({ "input": ["a", "b"] })), ["a", "b"]);
    assert_eq!(texts(&json!({ "input": [[1, 2], [3]] })), [""; 0]);
    assert_eq!(
        texts(&json!({ "requests": [{ "content": { "parts": [{ "text": "a" }] } }] })),
        ["a"]
    );
    assert_eq!(texts(&json!({ "prompt": "draw" })), ["draw"]);
}

#[test]
fn the_parts_of_a_message_are_one_run() {
    let body = json!({
        "system": [{ "text": "a" }, { "text": "b" }],
        "messages": [
            { "content": "c" },
            { "content": [{ "text": "d" }, { "type": "image" }, { "text": "e" }] },
            { "content": [{ "text": "f" }, { "content": [{ "text": "g" }, { "text": "h" }] }] },
        ],
    });
    // The order of the keys is the alphabet's here: the messages come first.
    let body = body.to_string();
    let request = Request::read(body.as_bytes()).expect("a readable body");
    let run = |run: &std::ops::Range<usize>| -> String {
        request.texts[run.clone()]
            .iter()
            .map(|piece| &*piece.text)
            .collect()
    };
    let runs: Vec<String> = request.runs.iter().map(run).collect();
    assert_eq!(runs, ["de", "gh", "ab"]);
}

#[test]
fn no_trick_hides_a_text() {
    for body in [
        r#"{"messages":[{"content":"a","content":"found"}]}"#,
        r#"{"messages":[{"c\u006fntent":"found"}]}"#,
        r#"{"messages":[{"content":[{"type":"image_url","text":"found"}]}]}"#,
        r#"{"messages":[{"content":[{"type":"thinking","type":"text","text":"found"}]}]}"#,
        r#"{"messages":[{"content":"\u0066ound"}]}"#,
        r#"{"contents":[{"parts":[{"thought":true,"thought":false,"text":"found"}]}]}"#,
        r#"{"messages":null,"messages":[{"content":"found"}]}"#,
    ] {
        let request = Request::read(body.as_bytes()).expect("a readable body");
        assert!(
            request.texts.iter().any(|piece| piece.text == "found"),
            "{body}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_not_taken_for_silence() {
    for body in [&b"[]"[..], b"\"x\"", b"{", b"\xff", b""] {
        assert_eq!(Request::read(body).err(), Some(Unreadable::NotAnObject));
    }
    let deep = format!("{}\"x\"{}", "{\"content\":".repeat(60), "}".repeat(60));
    assert_eq!(
        Request::read(deep.as_bytes()).err(),
        Some(Unreadable::TooDeep)
    );
}

fn sent(body: &str) -> Value {
    let request = Request::read(body.as_bytes()).expect("a readable body");
    serde_json::to_value(request.content()).expect("JSON")
}

fn modified(body: &str, answer: &Value) -> Result<Value, Unfit> {
    let request = Request::read(body.as_bytes()).expect("a readable body");
    let answer = answer.to_string();
    let answer: Modified<'_> = serde_json::from_str(&answer).expect("members");
    let edits = request.with_content(&answer)?;
    Ok(serde_json::from_str(&joined(body.as_bytes(), edits)).expect("JSON"))
}

#[test]
fn a_check_is_sent_the_conversation_as_it_stands() {
    let body = r#"{"messages":[{"role":"user","content":"a", "n":1.10}],"tools":[{"x":1}],"mcp_servers":[],"system":"s"}"#;
    let request = Request::read(body.as_bytes()).expect("a readable body");
    assert_eq!(
        serde_json::to_string(&request.content()).expect("JSON"),
        r#"{"messages":[{"role":"user","content":"a", "n":1.10}],"tools":[{"x":1}],"mcps":[],"system":"s"}"#
    );
    assert_eq!(
        sent(r#"{"input":"a","instructions":"i"}"#),
        json!({ "messages": [{ "role": "user", "content": "a" }], "tools": [], "mcps": [], "input": "a", "instructions": "i" })
    );
    assert_eq!(
        sent(r#"{"input":[{"role":"user","content":"a"}]}"#),
        json!({ "messages": [{ "role": "user", "content": "a" }], "tools": [], "mcps": [] })
    );
    assert_eq!(
        sent(r#"{"input":["a","b"]}"#)["messages"],
        json!([{ "role": "user", "content": "a" }, { "role": "user", "content": "b" }])
    );
}

#[test]
fn what_a_check_answers_goes_where_it_came_from() {
    let chat = r#"{"messages":[{"content":"a"}],"system":"s"}"#;
    assert_eq!(
        modified(
            chat,
            &json!({ "messages": [{ "content": "b" }], "system": "t" })
        ),
        Ok(json!({ "messages": [{ "content": "b" }], "system": "t" }))
    );
    assert_eq!(
        modified(
            r#"{"input":"a"}"#,
            &json!({ "input": "a", "messages": [{ "role": "user", "content": "b" }] })
        ),
        Ok(json!({ "input": "b" }))
    );
    assert_eq!(
        modified(
            r#"{"input":"a"}"#,
            &json!({ "input": "c", "messages": [{ "role": "user", "content": "a" }] })
        ),
        Ok(json!({ "input": "c" }))
    );
    assert_eq!(
        modified(
            r#"{"input":["a","a"]}"#,
            &json!({ "messages": [{ "content": "a" }, { "content": "b" }] })
        ),
        Ok(json!({ "input": ["a", "b"] }))
    );
    assert_eq!(
        modified(
            r#"{"input":[{"content":"a"}]}"#,
            &json!({ "messages": [{ "content": "b" }] })
        ),
        Ok(json!({ "input": [{ "content": "b" }] }))
    );
    for (answer, wrong) in [
        (json!({}), Unfit::Nothing),
        (json!({ "messages": "b" }), Unfit::Shape("messages")),
        (
            json!({ "messages": [], "instructions": "x" }),
            Unfit::NotSent("instructions"),
        ),
        (json!({ "system": 7 }), Unfit::Shape("system")),
        (json!({ "input": "x" }), Unfit::NotSent("input")),
    ] {
        assert_eq!(modified(chat, &answer), Err(wrong), "{answer}");
    }
    assert_eq!(
        modified(r#"{"input":["a"]}"#, &json!({ "messages": [] })),
        Err(Unfit::Shape("messages"))
    );
}

/// An answer of each dialect that says `texts`.
fn answers(texts: &[&str]) -> Vec<(BodyForm, Value)> {
    let blocks = |kind: &str| -> Vec<Value> {
        let block = |text: &&str| match kind {
            "output_text" => json!({ "type": kind, "text": text, "logprobs": [{ "token": text }] }),
            _ => json!({ "type": kind, "text": text }),
        };
        texts.iter().map(block).collect()
    };
    vec![
        (BodyForm::ChatJson, json!({ "choices": [{ "message": { "content": blocks("text") }, "logprobs": { "content": texts } }] })),
        (BodyForm::MessagesJson, json!({ "content": blocks("text"), "usage": { "output_tokens": 7 } })),
        (BodyForm::ResponsesJson, json!({ "output": [
            { "type": "reasoning", "content": [{ "text": "hm" }] },
            { "type": "message", "content": blocks("output_text") },
        ] })),
        (BodyForm::GeminiJson, json!({ "candidates": [{ "content": { "parts": blocks("-") } }] })),
        (BodyForm::GeminiJson, Value::Array(texts.iter().map(|text|
            json!({ "candidates": [{ "content": { "parts": [{ "text": text }, { "thought": true, "text": "hm" }] } }] })).collect())),
    ]
}

#[test]
fn calls_of_tools_and_silence_are_not_checked() {
    for (form, body, skip) in [
        (
            BodyForm::ChatJson,
            json!({ "choices": [{ "message": { "content": "x", "tool_calls": [{ "id": "1" }] } }] }),
            Skip::ToolCalls,
        ),
        (
            BodyForm::MessagesJson,
            json!({ "content": [{ "type": "text", "text": "x" }, { "type": "tool_use" }] }),
            Skip::ToolCalls,
        ),
        (
            BodyForm::ResponsesJson,
            json!({ "output": [{ "type": "function_call" }] }),
            Skip::ToolCalls,
        ),
        (
            BodyForm::GeminiJson,
            json!({ "candidates": [{ "content": { "parts": [{ "functionCall": { "name": "f" } }] } }] }),
            Skip::ToolCalls,
        ),
        (
            BodyForm::ChatJson,
            json!({ "choices": [{ "message": { "content": null, "tool_calls": [] } }] }),
            Skip::NoText,
        ),
        (
            BodyForm::ChatJson,
            json!({ "error": { "message": "x" } }),
            Skip::NoText,
        ),
        (
            BodyForm::EmbeddingsJson,
            json!({ "data": [] }),
            Skip::NoText,
        ),
    ] {
        let answer = Answer::read(form, body.to_string().as_bytes()).expect("JSON");
        assert_eq!(
            (answer.skipped, answer.outputs.len()),
            (Some(skip), 0),
            "{body}"
        );
    }
}

#[test]
fn a_byte_order_mark_moves_no_place() {
    let body = "\u{feff}{\"messages\":[{\"content\":\"a\"}],\"choices\":[{\"message\":{\"content\":\"b\"}}]}";
    let request = Request::read(body.as_bytes()).expect("a readable body");
    let out = joined(body.as_bytes(), request.with_texts(&["x".to_owned()]));
    assert_eq!(out, body.replace("\"a\"", "\"x\""));
    let answer = Answer::read(BodyForm::ChatJson, body.as_bytes()).expect("JSON");
    let out = joined(body.as_bytes(), answer.with_texts(&["x".to_owned()]));
    assert_eq!(out, body.replace("\"b\"", "\"x\""));
}

#[test]
fn a_second_choice_is_an_output_of_its_own() {
    let body = json!({ "choices": [{ "message": { "content": "a" } }, { "message": { "content": "b" } }] }).to_string();
    let answer = Answer::read(BodyForm::ChatJson, body.as_bytes()).expect("JSON");
    let edits = answer.with_texts(&["a".into(), "c".into()]);
    assert_eq!(
        joined(body.as_bytes(), edits),
        body.replace("\"b\"", "\"c\"")
    );
}

/// A stream of each dialect: its frames, and which of them say `text`.
fn frames_of(text: &str) -> Vec<(BodyForm, Framing, String)> {
    let event = |json: Value| format!("event: x\r\nid: 7\ndata: {json}\n\n");
    let item = json!({ "type": "message", "content": [{ "type": "output_text", "text": text, "logprobs": [] }] });
    let responses = |json| (BodyForm::ResponsesStream, Framing::Events, event(json));
    let gemini = json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }], "usageMetadata": { "a": 1 } });
    vec![
        (
            BodyForm::ChatStream,
            Framing::Events,
            event(
                json!({ "choices": [{ "index": 1, "delta": { "content": text }, "logprobs": null }] }),
            ),
        ),
        (
            BodyForm::MessagesStream,
            Framing::Events,
            event(
                json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": text } }),
            ),
        ),
        (
            BodyForm::MessagesStream,
            Framing::Events,
            event(
                json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": text } }),
            ),
        ),
        responses(
            json!({ "type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": text, "logprobs": [] }),
        ),
        responses(json!({ "type": "response.output_text.done", "output_index": 1, "text": text })),
        responses(
            json!({ "type": "response.content_part.done", "output_index": 1, "part": { "type": "output_text", "text": text } }),
        ),
        responses(json!({ "type": "response.output_item.done", "output_index": 1, "item": item })),
        responses(
            json!({ "type": "response.completed", "response": { "output": [{ "type": "reasoning" }, item], "usage": {} } }),
        ),
        (
            BodyForm::GeminiStream,
            Framing::Events,
            event(gemini.clone()),
        ),
        (
            BodyForm::GeminiStream,
            Framing::List,
            format!(",\n  {gemini:#}"),
        ),
    ]
}

#[test]
fn frames_without_words_say_nothing() {
    for (form, frame) in [
        (
            BodyForm::ChatStream,
            r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        ),
        (
            BodyForm::ChatStream,
            r#"data: {"choices":[],"usage":{"prompt_tokens":1}}"#,
        ),
        (BodyForm::ChatStream, "data: [DONE]"),
        (BodyForm::ChatStream, ": ping"),
        (BodyForm::MessagesStream, r#"data: {"type":"ping"}"#),
        (
            BodyForm::MessagesStream,
            r#"data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"x"}}"#,
        ),
        (
            BodyForm::ResponsesStream,
            r#"data: {"type":"response.reasoning_summary_text.delta","delta":"x"}"#,
        ),
        (
            BodyForm::GeminiStream,
            r#"data: {"candidates":[{"content":{"parts":[{"text":"x","thought":true}]}}]}"#,
        ),
        (
            BodyForm::Opaque,
            r#"data: {"choices":[{"delta":{"content":"x"}}]}"#,
        ),
        (BodyForm::ChatStream, "data: {\"choices\""),
    ] {
        let spoken = said(form, Framing::Events, format!("{frame}\n\n").as_bytes());
        assert_eq!(spoken, Spoken::default(), "{frame}");
    }
    let call = br#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#;
    assert!(said(BodyForm::ChatStream, Framing::Events, call).calls_tool);
}

#[test]
fn a_changed_text_takes_its_log_probabilities_along() {
    let frame = Bytes::from_static(
        br#"data: {"choices":[{"delta":{"content":"secret"},"logprobs":{"content":[{"token":"secret"}]}}]}"#,
    );
    let spoken = said(BodyForm::ChatStream, Framing::Events, &frame);
    let out = spoken.rewritten(&frame, &["[X]".into()]);
    assert_eq!(
        &out[..],
        br#"data: {"choices":[{"delta":{"content":"[X]"},"logprobs":null}]}"#
    );
    for (form, body) in answers(&["secret", "more secret"]) {
        let body = body.to_string();
        let answer = Answer::read(form, body.as_bytes()).expect("JSON");
        let out = joined(body.as_bytes(), answer.with_texts(&["[X]".to_owned()]));
        assert!(!out.contains("secret"), "{out}");
        assert!(out.contains("[X]"), "{out}");
    }
}

#[test]
fn a_frame_of_many_data_lines_is_rewritten_in_place() {
    let frame = Bytes::from_static(
        b"data: {\"choices\":[{\ndata:  \"delta\":{\"content\":\r\ndata: \"old\"}}]}\n\n",
    );
    let spoken = said(BodyForm::ChatStream, Framing::Events, &frame);
    let out = spoken.rewritten(&frame, &["new".into()]);
    assert_eq!(out, String::from_utf8_lossy(&frame).replace("old", "new"));
}

/// JSON with every escape that callers use.
fn written(text: &str, style: u8) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match (style, character) {
            (_, '"') => out.push_str("\\\""),
            (_, '\\') => out.push_str("\\\\"),
            (1, '/') => out.push_str("\\/"),
            (2, _) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
            (_, character) if character < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            (_, character) => out.push(character),
        }
    }
    out.push('"');
    out
}

proptest! {
    #[test]
    fn texts_of_a_request_come_out_and_go_back(
        old in prop::collection::vec(".{0,12}", 3),
        new in prop::collection::vec(".{0,12}", 3),
        style in 0u8..3,
        change in prop::collection::vec(any::<bool>(), 3),
    ) {
        let templates = [
            r#"{"temperature":1.10, "messages" : [ {"role":"user","content": @0@ , "x":12345678901234567890}, {"content":[{"text": @1@ }]}],"system":[{"type":"text","text":@2@}]}"#,
            r#"{"input":[{"content":@0@},{"type":"function_call_output","output":@1@}],"big":1e400,"instructions":@2@}"#,
            r#"{"contents":[{"parts":[{"text":@0@},{"functionResponse":{"response":{"deep":[@1@]}}}]}],"systemInstruction":{"parts":[{"text":@2@}]}}"#,
            r#"{"input":[@0@,@1@,@2@],"model":"m"}"#,
        ];
        let wanted: Vec<String> = (0..3).map(|at| if change[at] { new[at].clone() } else { old[at].clone() }).collect();
        for template in templates {
            let fill = |text: &dyn Fn(usize) -> String| -> String {
                let pieces = template.split('@').enumerate();
                let piece = |(at, piece): (usize, &str)| if at % 2 == 0 { piece.to_owned() } else { text(at / 2) };
                pieces.map(piece).collect()
            };
            let before = fill(&|at| written(&old[at], style));
            let request = Request::read(before.as_bytes()).expect("a readable body");
            let found: Vec<&str> = request.texts.iter().map(|piece| &*piece.text).collect();
            prop_assert_eq!(&found, &old.iter().map(String::as_str).collect::<Vec<_>>());
            let after = joined(before.as_bytes(), request.with_texts(&wanted));
            // What did not change keeps even its escapes.
            let expected = fill(&|at| if wanted[at] == old[at] { written(&old[at], style) } else { Value::from(&*wanted[at]).to_string() });
            prop_assert_eq!(after, expected);
        }
    }

    #[test]
    fn an_answer_is_replaced_as_a_whole(
        old in prop::collection::vec(".{1,12}", 1..4),
        new in ".{0,12}",
    ) {
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        for (form, body) in answers(&old) {
            let body = body.to_string();
            let answer = Answer::read(form, body.as_bytes()).expect("JSON");
            prop_assert_eq!(&answer.outputs[0].text, &old.concat());
            let same = joined(body.as_bytes(), answer.with_texts(&[old.concat()]));
            prop_assert_eq!(&same, &body);
            let after = joined(body.as_bytes(), answer.with_texts(std::slice::from_ref(&new)));
            let again = Answer::read(form, after.as_bytes()).expect("still JSON");
            let text = again.outputs.first().map(|output| output.text.clone()).unwrap_or_default();
            prop_assert_eq!(text, new.clone());
        }
    }

    #[test]
    fn a_frame_is_changed_in_its_text_only(old in ".{1,12}", new in ".{0,12}") {
        for (form, framing, frame) in frames_of(&old) {
            let frame = Bytes::from(frame);
            let spoken = said(form, framing, &frame);
            prop_assert_eq!(spoken.texts.len(), 1, "{:?}", frame);
            prop_assert_eq!(&spoken.texts[0].text, &old);
            let same = spoken.rewritten(&frame, &[Cow::Borrowed(&*old)]);
            prop_assert_eq!(&same, &frame);
            let out = spoken.rewritten(&frame, &[Cow::Borrowed(&*new)]);
            let (before, after) = (Value::from(old.as_str()).to_string(), Value::from(new.as_str()).to_string());
            let at = String::from_utf8_lossy(&frame).rfind(&before).expect("the text");
            let mut wanted = String::from_utf8_lossy(&frame).into_owned();
            wanted.replace_range(at..at + before.len(), &after);
            if frame.windows(before.len()).filter(|window| *window == before.as_bytes()).count() == 1 && new != old {
                prop_assert_eq!(String::from_utf8_lossy(&out), wanted);
            }
            let again = said(form, framing, &out);
            prop_assert_eq!(again.texts.first().map_or("", |said| &*said.text), &*new);
        }
    }

    #[test]
    fn frames_are_the_stream_however_it_was_cut(
        texts in prop::collection::vec("[a-z{}\"\\\\\\[\\] ]{0,12}", 0..6),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 6),
        cuts in prop::collection::vec(0usize..300, 0..12),
        list in any::<bool>(),
    ) {
        let mut stream = String::new();
        for (at, (text, end)) in texts.iter().zip(&ends).enumerate() {
            let json = json!({ "candidates": [{ "content": { "parts": [{ "text": format!("{at}{text}") }] } }] });
            if list {
                stream.push_str(&format!("{}{json}", if at == 0 { "[" } else { ",\r\n" }));
            } else {
                stream.push_str(&format!("event: x{end}data: {json}{end}{end}"));
            }
        }
        if list && !texts.is_empty() {
            stream.push_str("]\n");
        }
        let framing = if list { Framing::List } else { Framing::Events };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let (mut frames, mut out, mut heard, mut from) = (Frames::new(framing), Vec::new(), Vec::new(), 0);
        let mut take = |frame: Frame| {
            prop_assert!(frame.whole);
            let spoken = said(BodyForm::GeminiStream, framing, &frame.bytes);
            prop_assert!(spoken.texts.len() <= 1, "one frame at a time");
            heard.extend(spoken.texts.into_iter().map(|said| said.text));
            out.extend_from_slice(&frame.bytes);
            Ok(())
        };
        for cut in cuts {
            frames.push(&stream.as_bytes()[from..cut]);
            from = cut;
            while let Some(frame) = frames.next_frame() {
                take(frame)?;
            }
        }
        if let Some(frame) = frames.finish() {
            take(frame)?;
        }
        prop_assert_eq!(String::from_utf8_lossy(&out), stream);
        let wanted: Vec<String> = texts.iter().enumerate().map(|(at, text)| format!("{at}{text}")).collect();
        prop_assert_eq!(heard, wanted);
    }

    #[test]
    fn any_bytes_are_safe(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::read(&body);
        let _ = Answer::read(BodyForm::ChatJson, &body);
        let _ = said(BodyForm::GeminiStream, Framing::List, &body);
    }
}

#[test]
fn a_frame_over_the_cap_passes_in_pieces_and_the_next_one_is_read() {
    let mut frames = Frames::new(Framing::Events);
    let long = vec![b'x'; 5 * 1024 * 1024];
    frames.push(&long);
    let piece = frames.next_frame().expect("a piece");
    assert_eq!((piece.whole, piece.bytes.len()), (false, long.len()));
    frames.push(b"x\n\ndata: 1\n\n");
    assert!(!frames.next_frame().expect("its end").whole);
    let next = frames.next_frame().expect("the next one");
    assert_eq!((next.whole, &next.bytes[..]), (true, &b"data: 1\n\n"[..]));
}
