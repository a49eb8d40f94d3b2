//! The dialect against itself: what is read and written again must mean the same. The cases are shared with
//! the other dialects (`tests/cases`).

mod properties;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::ir::{Delta, Part, Role};
use crate::sequencer::Step;
use crate::stream::{Framing, StreamWriter, Translator};
use crate::{Caller, Dialect, Problem, Target};

use super::{Writer, read_answer, read_request, write_request};

/// A model that thinks, so that nothing is dropped for want of it.
const THINKER: Target<'_> = Target {
    provider: "openai",
    model: "gpt-5",
    name: "gpt-5",
    max_output: None,
};

fn cases(kind: &str) -> Vec<(String, Vec<u8>)> {
    let root: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "cases",
        kind,
        "responses",
    ]
    .iter()
    .collect();
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(root)
        .expect("cases")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), std::fs::read(&path).expect("a case"))
        })
        .collect();
    found.sort();
    assert!(found.len() > 20, "{kind}");
    found
}

fn caller() -> Caller {
    Caller {
        model: "test-model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcd".to_owned(),
        created: 1_760_000_001,
        ..Caller::default()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

#[test]
fn requests_of_every_case_are_written_as_they_were_meant() {
    let mut table = String::new();
    for (name, body) in cases("requests") {
        let request = match read_request(&body) {
            Ok(request) => request,
            Err(problem) => panic!("{name}: {problem}"),
        };
        let out = write_request(request, &THINKER).expect("a body");
        serde_json::from_slice::<Value>(&out.body).expect("JSON");
        // What was written is read as the same again.
        let again = read_request(&out.body).expect("its own body");
        let twice = write_request(again, &THINKER).expect("a body");
        let body = text(out.body);
        assert_eq!(text(twice.body), body, "{name}");
        table.push_str(&format!("{name} {:?}\n  {body}\n", out.dropped));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn answers_of_every_case_are_written_as_they_were_meant() {
    let mut table = String::new();
    for (name, body) in cases("answers") {
        let answer = read_answer(&body).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let out = crate::write_answer(Dialect::Responses, answer, &caller());
        let again = read_answer(&out).expect("its own body");
        let twice = crate::write_answer(Dialect::Responses, again, &caller());
        assert_eq!(text(twice), text(out.clone()), "{name}");
        table.push_str(&format!("{name}\n  {}\n", text(out)));
    }
    insta::assert_snapshot!(table);
}

fn translate(stream: &[u8], caller: Caller, pieces: usize) -> String {
    let mut translator =
        Translator::new(Dialect::Responses, Framing::Sse, Dialect::Responses, caller);
    let mut out = Vec::new();
    for piece in stream.chunks(pieces.max(1)) {
        translator.push(piece, &mut out);
    }
    translator.end(&mut out);
    text(out)
}

/// The events of a stream; every name is that of its data.
fn events(stream: &str) -> Vec<Value> {
    let frames = stream
        .split("\n\n")
        .filter(|frame| frame.starts_with("event: "));
    let read = frames.map(|frame| {
        let (name, data) = frame.split_once('\n').expect("two lines");
        let data: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(data["type"], name.strip_prefix("event: ").expect("a name"));
        data
    });
    read.collect()
}

/// What accumulators of the SDKs rely on, checked without the writer's own code.
fn check(name: &str, events: &[Value]) {
    let (last, body) = events.split_last().expect("an event");
    let mut done: Vec<Value> = Vec::new();
    let mut texts = std::collections::BTreeMap::<String, String>::new();
    for (n, event) in body.iter().enumerate() {
        assert_eq!(event["sequence_number"], n, "{name}: {event}");
        let kind = event["type"].as_str().expect("a type");
        assert_eq!(n == 0, kind == "response.created", "{name}");
        if kind.starts_with("response.output_item") {
            assert_eq!(event["output_index"], done.len(), "{name}: {event}");
        }
        let part = event.get("content_index").or(event.get("summary_index"));
        let place = format!(
            "{} {} {part:?}",
            kind.rsplit_once('.').map_or("", |(head, _)| head),
            event["item_id"]
        );
        if let Some(delta) = event.get("delta").and_then(Value::as_str) {
            assert_eq!(event["output_index"], done.len(), "{name}: {event}");
            texts.entry(place).or_default().push_str(delta);
        } else if kind.ends_with("text.done")
            || kind.ends_with("refusal.done")
            || kind.ends_with("arguments.done")
            || kind.ends_with("input.done")
        {
            let whole = ["text", "refusal", "arguments", "input"]
                .into_iter()
                .find_map(|key| event.get(key));
            let told = texts.get(&place).map(String::as_str);
            assert_eq!(whole.and_then(Value::as_str), told.or(Some("")), "{name}");
        }
        if kind == "response.output_item.done" {
            done.push(event["item"].clone());
        }
    }
    match last["type"].as_str() {
        Some("error") => {
            let error = &last["error"];
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
        Some("response.completed" | "response.incomplete") => {
            assert_eq!(last["sequence_number"], body.len(), "{name}");
            assert_eq!(last["response"]["output"], Value::Array(done), "{name}");
        }
        other => panic!("{name} ends in {other:?}"),
    }
}

#[test]
fn streams_of_every_case_are_written_as_they_were_meant() {
    let mut table = String::new();
    for (name, stream) in cases("streams") {
        let whole = translate(&stream, caller(), stream.len());
        for pieces in [1, 7, 64] {
            assert_eq!(translate(&stream, caller(), pieces), whole, "{name}");
        }
        if name == "sudden_close" {
            assert!(!whole.contains("response.completed"), "{name}");
            continue;
        }
        check(&name, &events(&whole));
        if name != "many_deltas" {
            table.push_str(&format!("# {name}\n{whole}"));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_streamed_answer_is_the_same_as_a_whole_one() {
    for (name, stream) in cases("streams") {
        let answers = cases("answers");
        let Some((_, answer)) = answers.iter().find(|(own, _)| *own == name) else {
            continue;
        };
        let answer = read_answer(answer).expect("an answer");
        let whole = crate::write_answer(Dialect::Responses, answer, &caller());
        let mut whole: Value = serde_json::from_slice(&whole).expect("JSON");
        let streamed = events(&translate(&stream, caller(), 4_096));
        let streamed = &streamed.last().expect("an end")["response"];
        // A whole answer knows when it was made; items that the caller's dialect shares with the
        // provider's tools are not streamed.
        whole["created_at"] = streamed["created_at"].clone();
        if name != "hosted_blocks" && name != "freeform_tool" {
            assert_eq!(streamed, &whole, "{name}");
        }
    }
}

#[test]
fn a_free_form_call_comes_as_plain_text() {
    let (_, stream) = cases("streams")
        .into_iter()
        .find(|(name, _)| name == "freeform_tool")
        .expect("the case");
    let caller = Caller {
        freeform_tools: vec!["apply_patch".to_owned()],
        ..caller()
    };
    let whole = translate(&stream, caller, 50);
    check("freeform_tool", &events(&whole));
    let item = &events(&whole).pop().expect("an end")["response"]["output"][0];
    assert_eq!(item["type"], "custom_tool_call");
    let input = item["input"].as_str().expect("text");
    assert!(input.starts_with("*** Begin Patch\n"), "{input}");
}

#[test]
fn calls_of_a_namespace_are_given_back_apart() {
    let (_, body) = cases("requests")
        .into_iter()
        .find(|(name, _)| name == "namespace_tools")
        .expect("the case");
    let request = read_request(&body).expect("a request");
    let mut writer = Writer::new(Caller {
        ..Caller::of(&request)
    });
    let mut out = Vec::new();
    let kind = crate::ir::BlockKind::Tool {
        id: None,
        name: "mcp__weather__get_weather".to_owned(),
    };
    writer.step(Step::Open { index: 0, kind }, &mut out);
    writer.step(Step::Close { index: 0 }, &mut out);
    let item = &events(&text(out)).pop().expect("an event")["item"];
    assert_eq!(item["name"], "get_weather");
    assert_eq!(item["namespace"], "mcp__weather");
    assert_eq!(item["arguments"], "{}");
}

#[test]
fn what_a_request_has_is_repeated_and_the_rest_has_the_usual_values() {
    let body = br#"{"model":"m","input":"x","temperature":0.20,"metadata":{"a":"b"},"tools":[{"type":"function","name":"f"}],"text":{"verbosity":"low"},"reasoning":{"effort":"low"},"store":null}"#;
    let request = read_request(body).expect("a request");
    let answer = read_answer(br#"{"object":"response"}"#).expect("an answer");
    let written = text(crate::write_answer(
        Dialect::Responses,
        answer,
        &Caller::of(&request),
    ));
    for expected in [
        r#""temperature":0.20"#,
        r#""metadata":{"a":"b"}"#,
        r#""tools":[{"type":"function","name":"f","description":null,"parameters":null,"strict":null}]"#,
        r#""text":{"verbosity":"low","format":{"type":"text"}}"#,
        r#""reasoning":{"effort":"low","summary":null}"#,
        r#""store":false"#,
        r#""top_p":1.0"#,
        r#""usage":null"#,
    ] {
        assert!(written.contains(expected), "{expected} in {written}");
    }
}

#[test]
fn what_is_repeated_from_a_pretty_request_does_not_break_a_frame() {
    let body = b"{\"input\":\"x\",\"tools\":[\r\n{\"type\":\"function\",\n\"name\":\"f\"}]}";
    let request = read_request(body).expect("a request");
    let (_, stream) = cases("streams").pop().expect("a case");
    let whole = translate(&stream, Caller::of(&request), 64);
    check("pretty", &events(&whole));
    assert!(whole.contains(r#""name":"f""#));
}

#[test]
fn what_lies_at_the_provider_is_refused() {
    for body in [
        r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#,
        r#"{"input":[{"id":"msg_1"}]}"#,
        r#"{"input":[{"type":"compaction","encrypted_content":"x"}]}"#,
        r#"{"input":"x","tools":[{"type":"mcp","server_label":"a"}]}"#,
    ] {
        let problem = read_request(body.as_bytes()).expect_err(body);
        assert!(matches!(problem, Problem::Unsupported { .. }), "{body}");
    }
}

#[test]
fn thinking_that_lies_at_the_provider_is_done_without() {
    let body = r#"{"input":[{"role":"user","content":"a"},{"type":"item_reference","id":"rs_1"},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c","output":"b"}]}"#;
    let request = read_request(body.as_bytes()).expect("a request");
    let kinds: Vec<usize> = request.turns.iter().map(|turn| turn.parts.len()).collect();
    assert_eq!(kinds, [1, 2, 1]);
    let Part::Thinking(thinking) = &request.turns[1].parts[0] else {
        panic!("{request:?}");
    };
    assert!(thinking.text.is_empty() && thinking.signature.is_none());
}

#[test]
fn a_wrong_type_is_named_by_its_path() {
    for (body, path) in [
        (r#"{"input":7}"#, "input"),
        (r"{}", "input"),
        (r#"{"input":[7]}"#, "input[0]"),
        (r#"{"input":[{"role":7,"content":""}]}"#, "input[0].role"),
        (
            r#"{"input":[{"role":"owner","content":""}]}"#,
            "input[0].role",
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"scent"}]}]}"#,
            "input[0].content[0].type",
        ),
        (
            r#"{"input":[{"type":"function_call","name":"f"}]}"#,
            "input[0].call_id",
        ),
        (r#"{"input":[{"type":"hologram"}]}"#, "input[0].type"),
        (
            r#"{"input":"x","tools":[{"type":"function"}]}"#,
            "tools[0].name",
        ),
        (r#"{"input":"x","temperature":"hot"}"#, "temperature"),
        (
            r#"{"input":"x","reasoning":{"effort":"huge"}}"#,
            "reasoning.effort",
        ),
        (
            r#"{"input":"x","text":{"format":{"type":"json_schema"}}}"#,
            "text.format.schema",
        ),
        (r#"{"input":"x","tool_choice":"sometimes"}"#, "tool_choice"),
    ] {
        match read_request(body.as_bytes()) {
            Err(Problem::Bad { param, message }) => {
                assert_eq!(param, path, "{body}");
                assert!(message.contains(path), "{message}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn items_become_turns() {
    let (_, body) = cases("requests")
        .into_iter()
        .find(|(name, _)| name == "coding_agent")
        .expect("the case");
    let request = read_request(&body).expect("a request");
    let turns: Vec<(Role, usize)> = request
        .turns
        .iter()
        .map(|turn| (turn.role, turn.parts.len()))
        .collect();
    assert_eq!(
        turns,
        [
            (Role::User, 1),
            (Role::User, 1),
            (Role::Assistant, 2),
            (Role::User, 1),
            (Role::Assistant, 1),
            (Role::User, 1)
        ]
    );
    assert_eq!(request.system.len(), 2);
}

#[test]
fn a_redacted_block_of_another_vendor_comes_home_as_one() {
    let (_, body) = cases("requests")
        .into_iter()
        .find(|(name, _)| name == "foreign_thinking")
        .expect("the case");
    let request = read_request(&body).expect("a request");
    let seals: Vec<(bool, String)> = request
        .turns
        .iter()
        .flat_map(|turn| &turn.parts)
        .filter_map(|part| match part {
            Part::Thinking(thinking) => {
                let seal = thinking.signature.as_ref().expect("a seal");
                Some((thinking.redacted, seal.value.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        seals,
        [
            (false, "EqQBCgIYAhIM".to_owned()),
            (true, "EmwKAhgBEgy3".to_owned()),
            (false, "CiQB4/H/XpA=".to_owned())
        ]
    );
}

/// A request in another dialect's words.
fn foreign(fill: impl FnOnce(&mut crate::ir::Request)) -> crate::ir::Request {
    let mut request = crate::ir::Request::new(Dialect::Messages);
    request.turns.push(crate::ir::Turn {
        role: Role::User,
        parts: vec![Part::text("x")],
    });
    fill(&mut request);
    request
}

#[test]
fn what_the_api_cannot_be_told_is_left_out_and_said() {
    let request = foreign(|request| {
        request.top_k = Some(40.into());
        request.stop = vec!["END".to_owned()];
        request.end_user = Some("u".to_owned());
        request.service_tier = Some("standard_only".to_owned());
        request.max_output = Some(1);
        request.reasoning = Some(crate::ir::Reasoning {
            budget: Some(2_000),
            ..crate::ir::Reasoning::default()
        });
        request.tools.push(crate::ir::Tool::Hosted {
            kind: "web_search_20250305".to_owned(),
            raw: crate::json::raw("{}".to_owned()),
        });
    });
    let target = Target {
        model: "deployed",
        name: "gpt-4o",
        ..THINKER
    };
    let out = write_request(request, &target).expect("a body");
    assert_eq!(
        out.dropped,
        [
            "max_tokens",
            "metadata.user_id",
            "service_tier",
            "stop_sequences",
            "thinking",
            "tools",
            "top_k"
        ]
    );
    let body: Value = serde_json::from_slice(&out.body).expect("JSON");
    let expected = json!({
        "model": "deployed",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "max_output_tokens": 16,
        "store": false,
    });
    assert_eq!(body, expected);
}

#[test]
fn thinking_is_asked_for_sealed() {
    let reasoning = |change: fn(&mut crate::ir::Reasoning)| {
        let request = foreign(|request| {
            let mut wanted = crate::ir::Reasoning::default();
            change(&mut wanted);
            request.max_output = Some(32_000);
            request.reasoning = Some(wanted);
        });
        let out = write_request(request, &THINKER).expect("a body");
        let body: Value = serde_json::from_slice(&out.body).expect("JSON");
        (body["reasoning"].clone(), body["include"].clone())
    };
    let sealed = json!(["reasoning.encrypted_content"]);
    assert_eq!(
        reasoning(|wanted| wanted.budget = Some(31_999)),
        (json!({"effort": "high"}), sealed.clone())
    );
    assert_eq!(
        reasoning(|wanted| wanted.enabled = Some(true)),
        (Value::Null, sealed)
    );
    assert_eq!(
        reasoning(|wanted| wanted.enabled = Some(false)),
        (json!({"effort": "minimal"}), Value::Null)
    );
}

#[test]
fn codex_is_told_only_what_it_takes() {
    let mut request = foreign(|request| {
        request.max_output = Some(100);
        request.temperature = Some(1.into());
    });
    request.from = Dialect::Chat;
    let metadata = crate::json::raw("{}".to_owned());
    request.rest.push(("metadata".to_owned(), metadata));
    let key = crate::json::raw("\"k\"".to_owned());
    request.rest.push(("prompt_cache_key".to_owned(), key));
    let target = Target {
        provider: "openai_codex",
        ..THINKER
    };
    let out = write_request(request, &target).expect("a body");
    assert_eq!(
        out.dropped,
        ["max_completion_tokens", "metadata", "temperature"]
    );
    let body: Value = serde_json::from_slice(&out.body).expect("JSON");
    assert_eq!(body["instructions"], "");
    assert_eq!(body["prompt_cache_key"], "k");
}

#[test]
fn a_seal_that_comes_first_stands_before_the_call() {
    let mut writer = Writer::new(caller());
    let mut out = Vec::new();
    let seal = crate::signature::Signature::new(crate::signature::Origin::Google, "AB==");
    for step in [
        Step::Open {
            index: 0,
            kind: crate::ir::BlockKind::Tool {
                id: Some("call_1".to_owned()),
                name: "f".to_owned(),
            },
        },
        Step::Delta {
            index: 0,
            delta: Delta::Signature(seal),
        },
        Step::Delta {
            index: 0,
            delta: Delta::Arguments("{}".to_owned()),
        },
        Step::Close { index: 0 },
    ] {
        writer.step(step, &mut out);
    }
    let items: Vec<Value> = events(&text(out))
        .into_iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"].clone())
        .collect();
    assert_eq!(items[0]["encrypted_content"], "lw1.google.AB==");
    assert_eq!(items[0]["summary"], json!([]));
    assert_eq!(items[1]["call_id"], "call_1");
}

#[test]
fn a_picture_that_the_model_made_is_an_item() {
    let mut answer = read_answer(br#"{"object":"response"}"#).expect("an answer");
    answer.parts.push(Part::Image(crate::ir::Media::new(
        crate::ir::Source::Inline {
            media_type: "image/png".to_owned(),
            data: "AAAA".to_owned(),
        },
    )));
    let written = crate::write_answer(Dialect::Responses, answer, &caller());
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["output"][0]["type"], "image_generation_call");
    assert_eq!(written["output"][0]["result"], "AAAA");
}
