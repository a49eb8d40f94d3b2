//! Each endpoint's shape, and that the truth equals what was reported.

use serde_json::{Value, json};

use super::client::{CHAT, MESSAGES, RESPONSES, ask, get, post, receive, send, start, told};
use crate::record::sha256;

fn field<'a>(value: &'a Value, path: &str) -> &'a Value {
    value
        .pointer(path)
        .unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn chat_json_reports_what_the_truth_says() {
    let mock = start();
    let got = post(&mock, CHAT, &ask(CHAT, false, r#","user":"u-7""#));
    assert_eq!(got.status, 200);
    assert!(got.header("x-request-id").is_some() && got.header("date").is_some());
    let body = got.json();
    assert_eq!(field(&body, "/object"), "chat.completion");
    let text = field(&body, "/choices/0/message/content")
        .as_str()
        .expect("text");
    assert!(text.contains("hello there mock"), "{text}");
    let truth = mock.truth().pop().expect("one");
    assert_eq!(field(&body, "/id"), &json!(truth.id));
    assert_eq!(
        field(&body, "/usage/prompt_tokens"),
        &json!(truth.usage.input)
    );
    assert_eq!(
        field(&body, "/usage/completion_tokens"),
        &json!(truth.usage.output)
    );
    assert_eq!((truth.usage.input, truth.user.as_deref()), (3, Some("u-7")));
    assert!(truth.completed && truth.usage_reported && !truth.disconnected);
    assert_eq!(truth.body_sha256, sha256(got.body.as_bytes()));
    assert_eq!(truth.bytes_sent, got.body.len() as u64);
    assert_eq!(truth.delivered_text_bytes, text.len() as u64);
}

#[test]
fn chat_stream_ends_with_usage_only_if_asked() {
    let mock = start();
    let got = post(&mock, CHAT, &ask(CHAT, true, ""));
    let events = got.events();
    assert!(got.body.ends_with("data: [DONE]\n\n"));
    assert!(events.iter().all(|(_, event)| event.get("usage").is_none()));
    assert!(!mock.truth()[0].usage_reported);

    let got = post(
        &mock,
        CHAT,
        &ask(CHAT, true, r#","stream_options":{"include_usage":true}"#),
    );
    let events = got.events();
    let text: String = events
        .iter()
        .filter_map(|(_, e)| e.pointer("/choices/0/delta/content")?.as_str())
        .collect();
    let (_, last) = &events[events.len() - 2];
    assert_eq!(field(last, "/choices"), &json!([]));
    let truth = mock.truth().pop().expect("two");
    assert_eq!(
        field(last, "/usage/prompt_tokens"),
        &json!(truth.usage.input)
    );
    assert_eq!(
        field(last, "/usage/completion_tokens"),
        &json!(truth.usage.output)
    );
    assert!(truth.usage_reported && truth.stream);
    assert_eq!(truth.delivered_text_bytes, text.len() as u64);
    assert_eq!(truth.frames_sent, events.len() as u64);
    assert_eq!(truth.delivered_tokens, truth.usage.output);
    assert_eq!(truth.body_sha256, sha256(got.body.as_bytes()));
}

#[test]
fn responses_stream_is_named_and_numbered() {
    let mock = start();
    let more = r#","reasoning":{"effort":"low"}"#;
    let got = told(
        &mock,
        RESPONSES,
        r#"{"usage":{"cached_tokens":5,"cache_creation_5m":3,"cache_creation_1h":4}}"#,
        &ask(RESPONSES, true, more),
    );
    let events = got.events();
    for (at, (name, event)) in events.iter().enumerate() {
        assert_eq!(field(event, "/type"), name);
        assert_eq!(field(event, "/sequence_number"), &json!(at));
    }
    assert_eq!(events[0].0, "response.created");
    let (name, last) = events.last().expect("events");
    assert_eq!(name, "response.completed");
    let truth = mock.truth().pop().expect("one");
    let usage = field(last, "/response/usage");
    assert_eq!(
        field(usage, "/input_tokens"),
        &json!(truth.usage.input + 5 + 7)
    );
    assert_eq!(
        field(usage, "/input_tokens_details/cached_tokens"),
        &json!(5)
    );
    assert_eq!(field(usage, "/output_tokens"), &json!(truth.usage.output));
    assert_eq!(
        field(usage, "/output_tokens_details/reasoning_tokens"),
        &json!(truth.usage.reasoning)
    );
    assert_eq!(
        field(usage, "/input_tokens_details/cache_write_tokens"),
        &json!(7)
    );
    assert_eq!(
        (
            truth.usage.input,
            truth.usage.cache_write_5m,
            truth.usage.cache_write_1h
        ),
        (3, 3, 4)
    );
    assert!(truth.usage.reasoning > 0);
    assert_eq!(field(last, "/response/id"), &json!(truth.id));
    let whole = post(&mock, RESPONSES, &ask(RESPONSES, false, "")).json();
    assert_eq!(field(&whole, "/output/0/content/0/type"), "output_text");
}

#[test]
fn messages_stream_thinks_signs_and_counts() {
    let mock = start();
    let more = r#","thinking":{"type":"enabled","budget_tokens":1024},"max_tokens":2048"#;
    let directive = r#"{"usage":{"cached_tokens":11,"cache_creation_5m":7,"cache_creation_1h":2}}"#;
    let got = told(
        &mock,
        "/v1/messages?beta=true",
        directive,
        &ask(MESSAGES, true, more),
    );
    let events = got.events();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
    assert!(got.body.contains("thinking_delta") && got.body.contains("signature_delta"));
    let truth = mock.truth().pop().expect("one");
    let begun = field(&events[0].1, "/message/usage");
    assert_eq!(field(begun, "/input_tokens"), &json!(truth.usage.input));
    assert_eq!(field(begun, "/cache_read_input_tokens"), &json!(11));
    assert_eq!(field(begun, "/cache_creation_input_tokens"), &json!(9));
    assert_eq!(
        field(begun, "/cache_creation/ephemeral_1h_input_tokens"),
        &json!(2)
    );
    let (_, delta) = &events[events.len() - 2];
    assert_eq!(
        field(delta, "/usage/output_tokens"),
        &json!(truth.usage.output)
    );
    assert_eq!(
        (truth.usage.cache_write_5m, truth.usage.cache_write_1h),
        (7, 2)
    );
    assert!(truth.usage.reasoning > 0);
    assert_eq!(
        (truth.path.as_str(), truth.dialect.as_str()),
        (MESSAGES, "anthropic")
    );
    assert_eq!(mock.requests()[0].path, "/v1/messages?beta=true");
}

#[test]
fn messages_need_max_tokens_and_other_endpoints_answer() {
    let mock = start();
    let body = ask(MESSAGES, false, "").replace(r#""max_tokens":100,"#, "");
    let got = post(&mock, MESSAGES, &body);
    assert_eq!(got.status, 400);
    assert_eq!(
        field(&got.json(), "/error/message"),
        "max_tokens: Field required"
    );
    let got = post(&mock, "/v1/messages/count_tokens", &body);
    assert_eq!(got.json(), json!({"input_tokens": 3}));
    assert_eq!(field(&get(&mock, "/v1/models").json(), "/object"), "list");
    assert_eq!(
        field(&get(&mock, "/v1/models/gpt-4o").json(), "/id"),
        "gpt-4o"
    );
    assert_eq!(get(&mock, "/v1/models/none").status, 404);
    let headers = "anthropic-version: 2023-06-01\r\n";
    let got = receive(&mut send(&mock, "GET", "/v1/models", headers, ""));
    assert_eq!(field(&got.json(), "/has_more"), &json!(false));
    assert!(got.header("request-id").is_some());
    assert_eq!(
        receive(&mut send(&mock, "HEAD", "/", "connection: close\r\n", "")).status,
        200
    );
}

#[test]
fn embeddings_are_the_same_as_floats_and_base64() {
    let mock = start();
    let body = |format: &str| {
        format!(
            r#"{{"model":"e","input":["one two","three"],"dimensions":4,"encoding_format":"{format}"}}"#
        )
    };
    let floats = post(&mock, "/v1/embeddings", &body("float")).json();
    let coded = post(&mock, "/v1/embeddings", &body("base64")).json();
    let text = field(&coded, "/data/1/embedding").as_str().expect("text");
    let bytes = data_encoding::BASE64
        .decode(text.as_bytes())
        .expect("base64");
    assert_eq!(bytes.len(), 16);
    let first = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let same = field(&floats, "/data/1/embedding/0")
        .as_f64()
        .expect("a float");
    assert!((f64::from(first) - same).abs() < 1e-6);
    assert_eq!(
        field(&floats, "/usage"),
        &json!({"prompt_tokens": 3, "total_tokens": 3})
    );
    assert_eq!(mock.truth()[0].usage.input, 3);
}

#[test]
fn tools_are_called_in_every_dialect() {
    let mock = start();
    let directive = r#"{"tool_call":true}"#;
    let tools = r#","tools":[{"type":"function","function":{"name":"look"}}]"#;
    let got = told(&mock, CHAT, directive, &ask(CHAT, false, tools)).json();
    assert_eq!(
        field(&got, "/choices/0/message/tool_calls/0/function/name"),
        "look"
    );
    assert_eq!(field(&got, "/choices/0/finish_reason"), "tool_calls");
    let got = told(&mock, CHAT, directive, &ask(CHAT, true, tools)).events();
    let arguments: String = got
        .iter()
        .filter_map(|(_, e)| {
            e.pointer("/choices/0/delta/tool_calls/0/function/arguments")?
                .as_str()
        })
        .collect();
    assert_eq!(arguments, r#"{"input": "hello there mock"}"#);
    let tools = r#","tools":[{"name":"look","input_schema":{"type":"object"}}]"#;
    let got = told(&mock, MESSAGES, directive, &ask(MESSAGES, false, tools)).json();
    assert_eq!(
        field(&got, "/content/0/input"),
        &json!({"input": "hello there mock"})
    );
    let got = told(&mock, MESSAGES, directive, &ask(MESSAGES, true, tools));
    assert!(got.body.contains("input_json_delta") && got.body.contains("tool_use"));
    let got = told(&mock, RESPONSES, directive, &ask(RESPONSES, true, tools));
    assert!(
        got.body
            .contains("event: response.function_call_arguments.done")
    );
    assert_eq!(
        told(&mock, CHAT, directive, &ask(CHAT, false, "")).status,
        200
    );
}

#[test]
fn usage_can_be_left_out_absurd_or_verbatim() {
    let mock = start();
    let body = ask(CHAT, false, "");
    let with = |directive: &str| told(&mock, CHAT, directive, &body).json();
    assert!(with(r#"{"no_usage":true}"#).get("usage").is_none());
    assert!(!mock.truth()[0].usage_reported);
    let got = with(r#"{"usage":{"prompt_tokens":-5,"completion_tokens":"text"}}"#);
    assert_eq!(field(&got, "/usage/prompt_tokens"), &json!(-5));
    assert_eq!(field(&got, "/usage/completion_tokens"), "text");
    assert_eq!(mock.truth()[1].usage.input, 3);
    let got = told(&mock, CHAT, r#"{"usage_raw":{"a":1.10}}"#, &body);
    assert!(got.body.contains(r#""usage":{"a":1.10}"#), "{}", got.body);
    let got = with(r#"{"usage":{"prompt_tokens":100,"cached_tokens":60,"completion_tokens":9}}"#);
    assert_eq!(field(&got, "/usage/total_tokens"), &json!(109));
    let usage = &mock.truth()[3].usage;
    assert_eq!((usage.input, usage.cached_read, usage.output), (40, 60, 9));
}

#[test]
fn an_answer_stops_at_max_tokens() {
    let mock = start();
    let got = post(&mock, CHAT, &ask(CHAT, false, r#","max_tokens":2"#)).json();
    assert_eq!(field(&got, "/usage/completion_tokens"), &json!(2));
    assert_eq!(field(&got, "/choices/0/finish_reason"), "length");
}

#[test]
fn the_input_of_a_response_is_counted_and_not_billed() {
    let mock = start();
    let path = format!("{RESPONSES}/input_tokens");
    let got = post(&mock, &path, &ask(RESPONSES, false, "")).json();
    assert_eq!(
        got,
        json!({"object": "response.input_tokens", "input_tokens": 3})
    );
    assert!(mock.truth().is_empty());
}
