//! Answers and streams.

use lw_core::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Reader, Writer, read_answer, write_answer};
use crate::Caller;
use crate::ir::{
    Answer, BlockKind, Citation, Delta, Event, Failure, Part, Stop, Text, Thinking, ToolCall,
};
use crate::sequencer::{Sequencer, Step};
use crate::signature::{Origin, Signature};
use crate::stream::{StreamReader, StreamWriter};

fn read(body: &Value) -> Answer {
    read_answer(body.to_string().as_bytes()).expect("an answer")
}

#[expect(clippy::needless_pass_by_value, reason = "takes what `json!` makes")]
fn said(parts: Value, reason: &str) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if !reason.is_empty() {
        candidate["finishReason"] = json!(reason);
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r-1"})
}

fn caller() -> Caller {
    Caller {
        model: "vendor/model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcdef".to_owned(),
        ..Caller::default()
    }
}

/// Runs frames through the reader, the sequencer and the writer.
fn stream(frames: &[Value]) -> (Vec<Event>, Vec<Value>) {
    let (mut reader, mut events) = (Reader::default(), Vec::new());
    for frame in frames {
        reader.frame(None, frame.to_string().as_bytes(), &mut events);
    }
    reader.end(&mut events);
    (events.clone(), rewritten(events))
}

fn rewritten(events: Vec<Event>) -> Vec<Value> {
    let (mut sequencer, mut steps) = (Sequencer::new(false), Vec::new());
    for event in events {
        sequencer.take(event, &mut steps);
    }
    sequencer.finish(&mut steps);
    let (mut writer, mut out) = (Writer::new(caller()), Vec::new());
    for step in steps {
        writer.step(step, &mut out);
    }
    let text = String::from_utf8(out).expect("text");
    let frames = text.split_terminator("\n\n").map(|frame| {
        let data = frame.strip_prefix("data: ").expect("a data line");
        serde_json::from_str(data).expect("JSON")
    });
    frames.collect()
}

#[test]
fn finish_reasons_are_read_as_the_table_says() {
    for (reason, stop) in [
        ("STOP", Stop::End),
        ("MAX_TOKENS", Stop::Length),
        ("SAFETY", Stop::Filtered),
        ("RECITATION", Stop::Filtered),
        ("BLOCKLIST", Stop::Filtered),
        ("PROHIBITED_CONTENT", Stop::Filtered),
        ("SPII", Stop::Filtered),
        ("IMAGE_SAFETY", Stop::Filtered),
        ("LANGUAGE", Stop::Filtered),
        ("OTHER", Stop::Other),
        ("MALFORMED_FUNCTION_CALL", Stop::Other),
        ("UNEXPECTED_TOOL_CALL", Stop::Other),
        ("SOMETHING_NEW", Stop::Other),
        ("FINISH_REASON_UNSPECIFIED", Stop::Length),
    ] {
        let answer = read(&said(json!([{"text": "x"}]), reason));
        assert_eq!(answer.stop, stop, "{reason}");
    }
}

#[test]
fn an_answer_without_parts_is_cut_short_and_a_blocked_one_is_filtered() {
    for (body, stop) in [
        (
            json!({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]}),
            Stop::End,
        ),
        (json!({"candidates": [], "responseId": "r"}), Stop::Length),
        (
            json!({"usageMetadata": {"promptTokenCount": 7}}),
            Stop::Length,
        ),
        (
            json!({"candidates": [{"finishReason": "STOP"}]}),
            Stop::Length,
        ),
        (
            json!({"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}),
            Stop::Length,
        ),
        (
            json!({"candidates": [{"finishReason": "SAFETY", "safetyRatings": []}]}),
            Stop::Filtered,
        ),
        (
            json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            Stop::Filtered,
        ),
    ] {
        let answer = read(&body);
        assert!(answer.parts.is_empty());
        assert_eq!(answer.stop, stop, "{body}");
    }
}

#[test]
fn what_is_no_answer_is_a_problem() {
    for body in [
        "",
        "x",
        "7",
        "[]",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#,
    ] {
        assert!(read_answer(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn an_answer_keeps_parts_seals_and_exact_arguments() {
    let body = br#"{"candidates":[{"content":{"parts":[
        {"text":"The user wants ","thought":true},{"text":"the weather.","thought":true},
        {"text":"Let me "},{"text":"check.","thoughtSignature":"CpcA"},{"text":"Now."},
        {"functionCall":{"id":"call_1","name":"get_weather","args":{"n": 12345678901234567890123, "location":"Paris"}},"thoughtSignature":"CpcB"},
        {"functionCall":{"name":"get_time"}},
        {"executableCode":{"language":"PYTHON","code":"1"}},
        {"inlineData":{"mimeType":"image/png","data":"AAAA"}},
        7, {"text":7}, {}
      ],"role":"model"},"finishReason":"STOP","index":0},{"index":1,"content":{"parts":[{"text":"other"}]}}],
      "usageMetadata":{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":15,"thoughtsTokenCount":5},
      "modelVersion":"gemini-3","responseId":"r-1"}"#;
    let answer = read_answer(body).expect("an answer");
    assert_eq!(answer.id.as_deref(), Some("r-1"));
    assert_eq!(answer.model.as_deref(), Some("gemini-3"));
    assert_eq!(
        answer.usage.map(|usage| (usage.input, usage.reasoning)),
        Some((100, 5))
    );
    let [
        Part::Thinking(thinking),
        Part::Text(sealed),
        Part::Text(text),
        Part::ToolCall(first),
        Part::ToolCall(second),
        Part::Hosted { kind, .. },
        Part::Image(_),
        Part::Hosted { .. },
    ] = answer.parts.as_slice()
    else {
        panic!("{:?}", answer.parts);
    };
    assert_eq!(thinking.text, "The user wants the weather.");
    assert_eq!(sealed.text, "Let me check.");
    assert_eq!(
        sealed.signature,
        Some(Signature::new(Origin::Google, "CpcA"))
    );
    assert_eq!(text.text, "Now.");
    assert_eq!(
        first.arguments,
        r#"{"n": 12345678901234567890123, "location":"Paris"}"#
    );
    assert_eq!(
        first.signature,
        Some(Signature::new(Origin::Google, "CpcB"))
    );
    assert_eq!((second.id.as_str(), second.arguments.as_str()), ("", "{}"));
    assert_eq!(kind, "executableCode");
}

#[test]
fn a_list_of_chunks_reads_like_the_answer_itself() {
    let whole = read(&said(json!([{"text": "Paris is cloudy."}]), "STOP"));
    let list = json!([
        said(json!([{"text": "Paris "}]), ""),
        said(json!([{"text": "is cloudy."}]), "STOP")
    ]);
    let list = read(&list);
    assert_eq!(format!("{:?}", list.parts), format!("{:?}", whole.parts));
    assert_eq!(list.stop, whole.stop);
}

#[test]
fn an_answer_is_written_as_google_writes_it() {
    let answer = Answer {
        id: Some("msg_1".to_owned()),
        model: Some("claude".to_owned()),
        created: None,
        parts: vec![
            Part::Thinking(Thinking {
                text: "The user wants the weather.".to_owned(),
                signature: Some(Signature::new(Origin::Anthropic, "sig")),
                ..Thinking::default()
            }),
            Part::Text(Text {
                text: "Let me check.".to_owned(),
                citations: vec![Citation {
                    url: Some("https://example.com".to_owned()),
                    title: None,
                    cited_text: None,
                    span: Some((4, 6)),
                }],
                ..Text::default()
            }),
            Part::text(""),
            Part::ToolCall(ToolCall {
                id: "toolu_1".to_owned(),
                name: "get_weather".to_owned(),
                arguments: r#"{"n": 1.50}"#.to_owned(),
                freeform: false,
                signature: None,
                cache: None,
            }),
        ],
        stop: Stop::ToolUse,
        usage: Some(Usage {
            input: 100,
            cache_read: 40,
            cache_write_5m: 6,
            cache_write_1h: 4,
            output: 20,
            reasoning: 5,
            ..Usage::default()
        }),
        service_tier: None,
        logprobs: None,
    };
    let written = String::from_utf8(write_answer(answer, &caller())).expect("text");
    assert_eq!(
        written,
        concat!(
            r#"{"candidates":[{"content":{"parts":["#,
            r#"{"text":"The user wants the weather.","thought":true,"thoughtSignature":"bHcxLmFudGhyb3BpYy5zaWc="},"#,
            r#"{"text":"Let me check."},"#,
            r#"{"functionCall":{"id":"toolu_1","name":"get_weather","args":{"n": 1.50}}}],"role":"model"},"#,
            r#""finishReason":"STOP","citationMetadata":{"citationSources":[{"startIndex":4,"endIndex":6,"uri":"https://example.com"}]},"index":0}],"#,
            r#""usageMetadata":{"promptTokenCount":150,"candidatesTokenCount":15,"totalTokenCount":170,"cachedContentTokenCount":40,"thoughtsTokenCount":5},"#,
            r#""modelVersion":"vendor/model","responseId":"msg_1"}"#,
        )
    );
}

#[test]
fn an_empty_answer_has_one_empty_part_and_made_ids() {
    let mut answer = read(&json!({"candidates": []}));
    answer.stop = Stop::Filtered;
    let written: Value = serde_json::from_slice(&write_answer(answer, &caller())).expect("JSON");
    assert_eq!(
        written,
        json!({
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "SAFETY", "index": 0}],
            "modelVersion": "vendor/model", "responseId": "lw0123456789abcdef01234567",
        })
    );
}

#[test]
fn calls_come_whole_each_in_a_block_of_its_own() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {"x": 1}}});
    let (events, frames) = stream(&[
        said(json!([{"text": "Let me check."}]), ""),
        said(json!([call("a"), call("b")]), ""),
        said(json!([call("c")]), "STOP"),
    ]);
    let opened: Vec<(u32, String)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Open {
                block,
                kind: BlockKind::Tool { name, .. },
            } => Some((*block, name.clone())),
            _ => None,
        })
        .collect();
    let expected = [(1, "a"), (2, "b"), (3, "c")].map(|(block, name)| (block, name.to_owned()));
    assert_eq!(opened, expected);
    assert!(matches!(events.last(), Some(Event::End)));
    let calls: Vec<&Value> = frames
        .iter()
        .map(|frame| &frame["candidates"][0]["content"]["parts"][0]["functionCall"])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(
        calls[2],
        &json!({"id": "call_0123456789abcdef01230002", "name": "c", "args": {"x": 1}})
    );
    let last = frames.last().expect("a frame");
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn a_seal_at_the_end_stays_on_the_text_or_stands_alone() {
    let (events, _) = stream(&[
        said(json!([{"text": "Hi."}]), ""),
        said(json!([{"text": "", "thoughtSignature": "CpcA"}]), "STOP"),
    ]);
    let seals: Vec<u32> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delta {
                block,
                delta: Delta::Signature(_),
            } => Some(*block),
            _ => None,
        })
        .collect();
    assert_eq!(seals, [0]);
    let (events, _) = stream(&[said(json!([{"text": "", "thoughtSignature": "CpcA"}]), "")]);
    assert!(matches!(
        events.get(1),
        Some(Event::Open {
            kind: BlockKind::Thinking { .. },
            ..
        })
    ));
}

#[test]
fn a_stream_is_complete_only_after_a_reason() {
    let complete = |frames: &[Value]| {
        let (events, _) = stream(frames);
        matches!(events.last(), Some(Event::End))
    };
    assert!(!complete(&[said(json!([{"text": "x"}]), "")]));
    assert!(complete(&[said(json!([{"text": "x"}]), "STOP")]));
    assert!(complete(&[
        json!({"promptFeedback": {"blockReason": "SAFETY"}})
    ]));
    assert!(!complete(&[]));
}

#[test]
fn late_usage_and_grounding_of_the_last_frame_are_not_lost() {
    let mut last = said(json!([{"text": "", "thoughtSignature": "CpcA"}]), "STOP");
    last["candidates"][0]["groundingMetadata"] = json!({
        "groundingChunks": [{"web": {"uri": "https://example.com", "title": "t"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 5}, "groundingChunkIndices": [0]}],
    });
    let (events, frames) = stream(&[
        said(json!([{"text": "Paris is cloudy."}]), ""),
        last.clone(),
        last,
        json!({"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}}),
    ]);
    let cited = events.iter().filter(|event| {
        matches!(
            event,
            Event::Delta {
                delta: Delta::Citation(_),
                ..
            }
        )
    });
    assert_eq!(cited.count(), 1);
    let last = frames.last().expect("a frame");
    assert_eq!(last["usageMetadata"]["totalTokenCount"], 10);
    assert_eq!(
        last["candidates"][0]["citationMetadata"]["citationSources"][0],
        json!({"startIndex": 0, "endIndex": 5, "uri": "https://example.com", "title": "t"})
    );
}

#[test]
fn an_error_object_is_a_failure_in_googles_words() {
    let (events, frames) = stream(&[
        said(json!([{"text": "x"}]), ""),
        json!([{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}]),
    ]);
    assert!(matches!(
        events.last(),
        Some(Event::Failed(Failure { status: Some(503), kind: Some(kind), .. })) if kind == "UNAVAILABLE"
    ));
    assert_eq!(
        frames.last(),
        Some(&json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}))
    );
    let foreign = rewritten(vec![Event::Failed(Failure {
        kind: Some("overloaded_error".to_owned()),
        message: "Overloaded".to_owned(),
        ..Failure::default()
    })]);
    assert_eq!(
        foreign,
        [json!({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}})]
    );
}

#[test]
fn arguments_on_several_lines_stay_one_frame() {
    let events = vec![
        Event::Open {
            block: 0,
            kind: BlockKind::Tool {
                id: None,
                name: "f".to_owned(),
            },
        },
        Event::Delta {
            block: 0,
            delta: Delta::Arguments("{\n\n  \"a\": \"x\\n\"\n}".to_owned()),
        },
    ];
    let frames = rewritten(events);
    assert_eq!(frames.len(), 2);
    let call = &frames[0]["candidates"][0]["content"]["parts"][0]["functionCall"];
    assert_eq!(call["args"], json!({"a": "x\n"}));
}

#[test]
fn foreign_thinking_is_streamed_in_pieces_and_sealed_at_its_end() {
    let events = vec![
        Event::Start {
            id: Some("msg_1".to_owned()),
            model: None,
        },
        Event::Open {
            block: 0,
            kind: BlockKind::Thinking {
                id: None,
                redacted: false,
            },
        },
        Event::Delta {
            block: 0,
            delta: Delta::Thinking("hm".to_owned()),
        },
        Event::Delta {
            block: 0,
            delta: Delta::Signature(Signature::new(Origin::Anthropic, "sig")),
        },
        Event::Close { block: 0 },
        Event::Stop(Stop::End),
    ];
    let parts: Vec<Value> = rewritten(events)
        .iter()
        .map(|frame| frame["candidates"][0]["content"]["parts"].clone())
        .collect();
    assert_eq!(
        parts,
        [
            json!([{"text": "hm", "thought": true}]),
            json!([{"text": "", "thought": true, "thoughtSignature": "bHcxLmFudGhyb3BpYy5zaWc="}]),
            json!([{"text": ""}]),
        ]
    );
}

#[test]
fn only_what_can_be_written_is_framed() {
    let (mut writer, mut out) = (Writer::new(caller()), Vec::new());
    writer.step(Step::Ping, &mut out);
    writer.step(
        Step::Start {
            id: None,
            model: None,
            usage: None,
        },
        &mut out,
    );
    assert!(out.is_empty());
}

/// The inputs of a kind.
fn cases(kind: &str) -> Vec<(String, Vec<u8>)> {
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let entries = std::fs::read_dir(format!("{at}/{kind}/gemini")).expect("the cases");
    let read = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        (name.into_owned(), std::fs::read(&path).expect("a case"))
    });
    let mut found: Vec<_> = read.collect();
    found.sort();
    found
}

#[test]
fn every_case_is_read_and_a_whole_answer_says_what_its_stream_says() {
    for (name, body) in cases("requests") {
        assert!(super::read_request(&body).is_ok(), "{name}");
    }
    let streams = cases("streams");
    for (name, body) in cases("answers") {
        let answer = read_answer(&body).expect("an answer");
        let Some((_, stream)) = streams.iter().find(|(other, _)| *other == name) else {
            continue;
        };
        let text = std::str::from_utf8(stream).expect("text");
        let frames: Vec<Value> = text
            .split_terminator("\r\n\r\n")
            .filter_map(|frame| serde_json::from_str(frame.strip_prefix("data: ")?).ok())
            .collect();
        let list = read_answer(json!(frames).to_string().as_bytes()).expect("an answer");
        assert_eq!(list.stop, answer.stop, "{name}");
        assert_eq!(list.usage, answer.usage, "{name}");
        let words = |answer: &Answer| -> String {
            let each = answer.parts.iter().map(|part| match part {
                Part::Text(text) => text.text.clone(),
                Part::Thinking(thinking) => format!("({})", thinking.text),
                Part::ToolCall(call) => format!("{} {}", call.id, call.arguments),
                Part::Hosted { kind, .. } => kind.clone(),
                other => format!("{other:?}"),
            });
            each.collect()
        };
        assert_eq!(words(&list), words(&answer), "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        let _ = read_answer(&bytes);
        let (mut reader, mut events) = (Reader::default(), Vec::new());
        reader.frame(None, &bytes, &mut events);
        let quoted = json!(text);
        for frame in [
            json!({"candidates": [quoted.clone()]}),
            json!({"candidates": [{"content": {"parts": [quoted.clone(), {"functionCall": quoted.clone()}]}}]}),
            json!({"candidates": [{"groundingMetadata": {"groundingSupports": [{"segment": quoted}]}}]}),
        ] {
            reader.frame(None, frame.to_string().as_bytes(), &mut events);
        }
        reader.end(&mut events);
    }

    #[test]
    fn text_in_is_text_out(pieces in prop::collection::vec((any::<bool>(), ".{0,8}"), 0..12)) {
        let frames: Vec<Value> = pieces
            .iter()
            .map(|(thought, text)| said(json!([{"text": text, "thought": thought}]), ""))
            .collect();
        let (_, written) = stream(&frames);
        for thought in [false, true] {
            let sent: String = pieces.iter().filter(|(is, _)| *is == thought).map(|(_, text)| text.as_str()).collect();
            let got: String = written
                .iter()
                .map(|frame| &frame["candidates"][0]["content"]["parts"][0])
                .filter(|part| part["thought"].as_bool().unwrap_or_default() == thought)
                .filter_map(|part| part["text"].as_str())
                .collect();
            prop_assert_eq!(sent, got);
        }
    }

    #[test]
    fn arguments_survive_any_chunking(cuts in prop::collection::vec(0..40_usize, 0..6)) {
        let whole = r#"{"location":"Paris","n":1.50,"q":"\"}{"}"#;
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let mut events = vec![Event::Open { block: 0, kind: BlockKind::Tool { id: Some("c".to_owned()), name: "f".to_owned() } }];
        for pair in cuts.windows(2) {
            let delta = Delta::Arguments(whole[pair[0]..pair[1]].to_owned());
            events.push(Event::Delta { block: 0, delta });
        }
        let frames = rewritten(events);
        let call = &frames[0]["candidates"][0]["content"]["parts"][0]["functionCall"];
        prop_assert_eq!(&call["args"], &serde_json::from_str::<Value>(whole).expect("JSON"));
        prop_assert_eq!(frames.len(), 2);
    }
}
