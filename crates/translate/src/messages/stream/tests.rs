use std::fmt::Write as _;

use lw_core::Usage;
use lw_wire::usage::Reading;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ir::{BlockKind, Citation, Delta, Event, Failure, Stop};
use crate::sequencer::{Sequencer, Step};
use crate::signature::{Origin, Signature};
use crate::stream::{Framing, StreamReader, StreamWriter, Translator};
use crate::{Caller, Dialect};

fn caller() -> Caller {
    Caller {
        model: "test-model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcdef".to_owned(),
        ..Caller::default()
    }
}

/// What the caller gets of these events.
fn frames(events: Vec<Event>) -> Vec<Value> {
    let mut sequencer = Sequencer::new(false);
    let mut writer = Writer::new(caller());
    let mut out = Vec::new();
    for event in events {
        let mut steps = Vec::new();
        sequencer.take(event, &mut steps);
        sequencer.flush(&mut steps);
        for step in steps {
            writer.step(step, &mut out);
        }
    }
    parsed(&out)
}

/// The data of every frame, whose name must be its type.
fn parsed(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    let mut found = Vec::new();
    for frame in text.split_terminator("\n\n") {
        let (name, data) = frame.split_once("\ndata: ").expect("two lines");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        found.push(data);
    }
    found
}

/// Builds the message that an official client would build, and checks the order on the way.
fn accumulate(frames: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut inputs: Vec<String> = Vec::new();
    let mut open = None;
    let mut over = false;
    for frame in frames {
        assert!(!over, "something after the end");
        let index = frame["index"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        match frame["type"].as_str().expect("a type") {
            "message_start" => {
                assert!(message.is_null());
                message = frame["message"].clone();
                assert_eq!(message["content"], json!([]));
                assert_eq!(message["stop_reason"], json!(null));
                assert!(message["usage"]["input_tokens"].is_u64());
            }
            "content_block_start" => {
                assert_eq!(open, None);
                assert_eq!(index, Some(inputs.len()), "dense");
                open = index;
                inputs.push(String::new());
                let content = message["content"].as_array_mut().expect("a list");
                content.push(frame["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let at = index.expect("an index");
                let delta = &frame["delta"];
                let block = &mut message["content"][at];
                let kind = block["type"].as_str().expect("a type").to_owned();
                let mut append = |key: &str| {
                    let more = delta[key].as_str().expect("text");
                    assert!(!more.is_empty());
                    let text = block[key].as_str().expect("text").to_owned();
                    block[key] = json!(text + more);
                };
                match (kind.as_str(), delta["type"].as_str().expect("a type")) {
                    ("text", "text_delta") => append("text"),
                    ("thinking", "thinking_delta") => append("thinking"),
                    ("thinking", "signature_delta") => {
                        block["signature"] = delta["signature"].clone()
                    }
                    ("tool_use", "input_json_delta") => {
                        inputs[at].push_str(delta["partial_json"].as_str().expect("text"));
                    }
                    ("text", "citations_delta") => {
                        if block["citations"].is_null() {
                            block["citations"] = json!([]);
                        }
                        block["citations"]
                            .as_array_mut()
                            .expect("a list")
                            .push(delta["citation"].clone());
                    }
                    pair => panic!("a delta in the wrong block: {pair:?}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), index);
                let at = index.expect("an index");
                if !inputs[at].is_empty() {
                    message["content"][at]["input"] =
                        serde_json::from_str(&inputs[at]).unwrap_or(json!(inputs[at]));
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                for key in ["stop_reason", "stop_sequence"] {
                    message[key] = frame["delta"][key].clone();
                }
                let totals = frame["usage"].as_object().expect("an object");
                for (key, value) in totals {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" => {
                assert!(message["stop_reason"].is_string());
                over = true;
            }
            "ping" => assert!(!message.is_null()),
            "error" => over = true,
            other => panic!("an unknown event {other}"),
        }
    }
    assert!(over, "no end");
    message
}

fn open(block: u32, kind: BlockKind) -> Event {
    Event::Open { block, kind }
}

fn delta(block: u32, delta: Delta) -> Event {
    Event::Delta { block, delta }
}

fn thinking(redacted: bool) -> BlockKind {
    BlockKind::Thinking { id: None, redacted }
}

fn tool(id: Option<&str>) -> BlockKind {
    BlockKind::Tool {
        id: id.map(ToOwned::to_owned),
        name: "f".to_owned(),
    }
}

fn seal(origin: Origin) -> Delta {
    Delta::Signature(Signature::new(origin, "c2ln"))
}

fn ended(mut events: Vec<Event>, stop: Stop) -> Vec<Event> {
    events.push(Event::Stop(stop));
    events.push(Event::End);
    events
}

#[test]
fn a_whole_answer_is_written_as_the_accumulators_want_it() {
    let events = vec![
        Event::Ping,
        Event::Start {
            id: Some("resp_1".to_owned()),
            model: Some("m".to_owned()),
        },
        Event::Ping,
        open(0, thinking(false)),
        delta(0, Delta::Thinking("Hm".to_owned())),
        delta(0, seal(Origin::OpenAi)),
        open(1, thinking(true)),
        delta(1, seal(Origin::Anthropic)),
        open(2, BlockKind::Text),
        delta(2, Delta::Text("Let me ".to_owned())),
        delta(2, Delta::Text("check.".to_owned())),
        delta(
            2,
            Delta::Citation(Citation {
                url: Some("https://a.example/".to_owned()),
                title: None,
                cited_text: None,
                span: None,
            }),
        ),
        delta(2, Delta::Logprobs("[]".to_owned())),
        open(3, BlockKind::Text),
        Event::Close { block: 3 },
        open(4, tool(Some("call_1"))),
        delta(4, seal(Origin::Google)),
        delta(4, Delta::Arguments("{\"a\"".to_owned())),
        delta(4, Delta::Arguments(":1}".to_owned())),
        open(5, tool(None)),
        Event::Close { block: 5 },
        Event::Usage(Reading::Reported(Usage {
            input: 100,
            cache_read: 40,
            cache_write_5m: 6,
            cache_write_1h: 4,
            output: 20,
            reasoning: 5,
            ..Usage::default()
        })),
        Event::Tier("default".to_owned()),
    ];
    let frames = frames(ended(events, Stop::End));
    let mut story = String::new();
    for frame in &frames {
        writeln!(story, "{frame}").expect("written");
    }
    insta::assert_snapshot!(story);
    assert_eq!(
        accumulate(&frames),
        json!({
            "id": "resp_1", "type": "message", "role": "assistant", "model": "test-model",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "lw1.openai.c2ln"},
                {"type": "redacted_thinking", "data": "c2ln"},
                {"type": "text", "text": "Let me check.", "citations": [
                    {"type": "web_search_result_location", "cited_text": "", "url": "https://a.example/",
                     "title": null, "encrypted_index": ""}]},
                {"type": "thinking", "thinking": "", "signature": "lw1.google.c2ln"},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "toolu_lwgw_0123456789abcdef01234567_5", "name": "f", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 100, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 40,
                "cache_creation": null, "output_tokens": 20},
        })
    );
}

#[test]
fn a_seal_that_comes_late_follows_its_block() {
    let events = vec![
        open(0, BlockKind::Text),
        delta(0, Delta::Text("a".to_owned())),
        delta(0, seal(Origin::Google)),
        delta(0, Delta::Text("b".to_owned())),
    ];
    let message = accumulate(&frames(ended(events, Stop::End)));
    assert_eq!(
        message["content"],
        json!([
            {"type": "text", "text": "ab"},
            {"type": "thinking", "thinking": "", "signature": "lw1.google.c2ln"},
        ])
    );
}

#[test]
fn hidden_thinking_that_speaks_after_all_gets_a_block_of_its_own() {
    let events = vec![
        open(0, thinking(true)),
        delta(0, seal(Origin::Anthropic)),
        delta(0, Delta::Thinking("Hm".to_owned())),
        open(1, thinking(true)),
        delta(1, Delta::Thinking("So".to_owned())),
        delta(1, seal(Origin::Anthropic)),
    ];
    let message = accumulate(&frames(ended(events, Stop::End)));
    assert_eq!(
        message["content"],
        json!([
            {"type": "redacted_thinking", "data": "c2ln"},
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "thinking", "thinking": "So", "signature": "c2ln"},
        ])
    );
}

#[test]
fn a_refusal_is_text_that_ends_in_one() {
    let events = vec![
        open(0, BlockKind::Refusal),
        delta(0, Delta::Text("No.".to_owned())),
    ];
    let message = accumulate(&frames(ended(events, Stop::End)));
    assert_eq!(message["stop_reason"], "refusal");
    assert_eq!(message["content"], json!([{"type": "text", "text": "No."}]));
    let message = accumulate(&frames(ended(
        vec![],
        Stop::Sequence(Some("END".to_owned())),
    )));
    assert_eq!(
        (&message["stop_reason"], &message["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
}

#[test]
fn a_failure_ends_the_stream_in_the_middle_of_a_block() {
    for (failure, kind, code) in [
        (
            Failure {
                kind: Some("overloaded_error".to_owned()),
                message: "Overloaded".to_owned(),
                ..Failure::default()
            },
            "overloaded_error",
            "upstream_mid_stream_failure",
        ),
        (
            Failure {
                status: Some(429),
                kind: Some("ThrottlingException".to_owned()),
                code: Some("slow_down".to_owned()),
                ..Failure::default()
            },
            "rate_limit_error",
            "slow_down",
        ),
        (
            Failure {
                kind: Some("guardrail_blocked".to_owned()),
                code: Some("stream_chunk_blocked".to_owned()),
                message: "No".to_owned(),
                ..Failure::default()
            },
            "guardrail_blocked",
            "stream_chunk_blocked",
        ),
        (
            Failure::default(),
            "api_error",
            "upstream_mid_stream_failure",
        ),
    ] {
        let events = vec![
            delta(0, Delta::Text("a".to_owned())),
            Event::Failed(failure),
            delta(0, Delta::Text("b".to_owned())),
        ];
        let frames = frames(events);
        accumulate(&frames);
        let names: Vec<&str> = frames
            .iter()
            .filter_map(|frame| frame["type"].as_str())
            .collect();
        assert_eq!(
            names,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "error"
            ]
        );
        let error = &frames[3]["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(kind), &json!(code))
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    let mut out = Vec::new();
    Writer::new(caller()).step(
        Step::Failed(Failure {
            message: "gone".to_owned(),
            ..Failure::default()
        }),
        &mut out,
    );
    assert_eq!(
        String::from_utf8_lossy(&out),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"code\":\"upstream_mid_stream_failure\",\"message\":\"gone\",\"param\":null}}\n\n"
    );
}

fn read(frames: &[Value]) -> Vec<Event> {
    let mut reader = Reader::default();
    let mut out = Vec::new();
    for frame in frames {
        reader.frame(None, frame.to_string().as_bytes(), &mut out);
    }
    reader.end(&mut out);
    out
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "content": [], "model": "claude", "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 1, "service_tier": "standard"}}})
}

#[test]
fn every_event_of_a_provider_is_read() {
    let at = |kind: &str, index: u32, key: &str, value: Value| json!({"type": kind, "index": index, key: value});
    let opening = |index, block| at("content_block_start", index, "content_block", block);
    let more = |index, delta| at("content_block_delta", index, "delta", delta);
    let close = |index: u32| json!({"type": "content_block_stop", "index": index});
    let frames = [
        start(),
        json!({"type": "ping"}),
        opening(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        more(0, json!({"type": "thinking_delta", "thinking": "Hm"})),
        more(0, json!({"type": "signature_delta", "signature": "c2ln"})),
        close(0),
        opening(1, json!({"type": "redacted_thinking", "data": "cmVk"})),
        close(1),
        opening(
            2,
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        ),
        more(2, json!({"type": "input_json_delta", "partial_json": "{}"})),
        close(2),
        opening(3, json!({"type": "text", "text": "So", "citations": []})),
        more(
            3,
            json!({"type": "citations_delta", "citation": {"url": "https://a.example/", "title": "A"}}),
        ),
        more(3, json!({"type": "text_delta", "text": " far"})),
        close(3),
        opening(
            4,
            json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        ),
        more(4, json!({"type": "input_json_delta", "partial_json": ""})),
        more(
            4,
            json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"}),
        ),
        close(4),
        opening(
            5,
            json!({"type": "tool_use", "id": "toolu_2", "name": "g", "input": {"b": 2}}),
        ),
        close(5),
        json!({"type": "new_event", "index": 7}),
        json!({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            "usage": {"input_tokens": 0, "output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ];
    let mut story = String::new();
    for event in read(&frames) {
        writeln!(story, "{event:?}").expect("written");
    }
    insta::assert_snapshot!(story);
}

#[test]
fn a_stream_is_complete_when_the_provider_said_why_it_stopped() {
    let ends = |frames: &[Value]| {
        read(frames)
            .iter()
            .filter(|event| matches!(event, Event::End))
            .count()
    };
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}});
    let stop = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}});
    let last = json!({"type": "message_stop"});
    assert_eq!(ends(&[start(), text.clone()]), 0);
    assert_eq!(ends(&[start(), text.clone(), stop.clone()]), 1);
    assert_eq!(ends(&[start(), text, stop, last]), 1);
}

#[test]
fn errors_of_a_provider_keep_their_words() {
    for (frame, kind, status, message) in [
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            Some("overloaded_error"),
            Some(529),
            "Overloaded",
        ),
        (json!({"error": {"message": "boom"}}), None, None, "boom"),
        (
            json!({"type": "error", "error": "plain"}),
            None,
            None,
            "plain",
        ),
        (
            json!({"type": "error", "error": {}}),
            None,
            None,
            "the provider reported an error",
        ),
    ] {
        let events = read(&[frame]);
        assert!(
            matches!(&events[..], [Event::Failed(failure)]
                if failure.kind.as_deref() == kind && failure.status == status && failure.message == message),
            "{events:?}"
        );
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let block = 0..4_u32;
    prop_oneof![
        (block.clone(), any_kind()).prop_map(|(block, kind)| open(block, kind)),
        (block.clone(), any_delta()).prop_map(|(block, one)| delta(block, one)),
        block.prop_map(|block| Event::Close { block }),
        Just(Event::Ping),
        Just(Event::Stop(Stop::Filtered)),
        Just(Event::Start {
            id: None,
            model: None
        }),
        (0..5_u64).prop_map(|output| Event::Usage(Reading::Reported(Usage {
            output,
            ..Usage::default()
        }))),
    ]
}

fn any_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        Just(BlockKind::Text),
        Just(BlockKind::Refusal),
        any::<bool>().prop_map(thinking),
        Just(tool(None)),
        Just(tool(Some("call_1"))),
    ]
}

fn any_delta() -> impl Strategy<Value = Delta> {
    prop_oneof![
        "\\PC{0,6}".prop_map(Delta::Text),
        "\\PC{0,6}".prop_map(Delta::Thinking),
        "[{}\":a1]{0,6}".prop_map(Delta::Arguments),
        Just(seal(Origin::Google)),
        Just(seal(Origin::Anthropic)),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_a_client_can_build_a_message(mut events in prop::collection::vec(any_event(), 0..25), fail in any::<bool>()) {
        let said: String = events.iter().filter_map(|event| match event {
            Event::Delta { delta: Delta::Text(text), .. } => Some(text.as_str()),
            _ => None,
        }).collect();
        events.push(if fail { Event::Failed(Failure::default()) } else { Event::End });
        let events_out = frames(events);
        if events_out.len() > 1 {
            let message = accumulate(&events_out);
            let empty = Vec::new();
            let content = message["content"].as_array().unwrap_or(&empty);
            let mut out: Vec<char> = content.iter().filter_map(|block| block["text"].as_str()).flat_map(str::chars).collect();
            let mut expected: Vec<char> = said.chars().collect();
            out.sort_unstable();
            expected.sort_unstable();
            // What waits for a call to end is not told any more when something fails before that.
            prop_assert!(out == expected || (fail && out.len() < expected.len()), "no text is lost or doubled");
            prop_assert!(content.iter().all(|block| block["text"] != ""), "no empty text");
        }
    }

    #[test]
    fn arguments_and_text_survive_any_cutting(
        cuts in prop::collection::vec(1..20_usize, 1..40), text in "\\PC{1,30}", value in "\\PC{0,20}",
    ) {
        let arguments = json!({"location": value}).to_string();
        let mut source = String::new();
        for (kind, data) in [
            ("message_start", start()),
            ("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})),
            ("content_block_start", json!({"type": "content_block_start", "index": 1,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}})),
        ] {
            write!(source, "event: {kind}\r\ndata: {data}\r\n\r\n").expect("written");
        }
        for piece in arguments.chars() {
            let data = json!({"type": "content_block_delta", "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": piece.to_string()}});
            write!(source, "data: {data}\n\n").expect("written");
        }
        source.push_str("data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n");
        let mut translator = Translator::new(Dialect::Messages, Framing::Sse, Dialect::Messages, caller());
        let mut out = Vec::new();
        let mut rest = source.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            translator.push(piece, &mut out);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        translator.end(&mut out);
        let message = accumulate(&parsed(&out));
        prop_assert_eq!(&message["content"][0]["text"], &json!(text));
        prop_assert_eq!(&message["content"][1]["input"], &json!({"location": value}));
        prop_assert!(translator.seen().complete);
    }

    #[test]
    fn arbitrary_frames_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..120), index in any::<i64>(), kind in "content_block_start|content_block_delta|message_delta|error|message_start") {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        reader.frame(None, &bytes, &mut out);
        let odd = json!({"type": kind, "index": index, "delta": index, "content_block": [index], "usage": "x", "message": 1, "error": []});
        reader.frame(Some("x"), odd.to_string().as_bytes(), &mut out);
        reader.end(&mut out);
    }
}
