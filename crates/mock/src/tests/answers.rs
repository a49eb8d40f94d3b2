//! One scripted answer in every dialect, whole and streamed, and tool loops.

use serde_json::{Value, json};

use super::client::{CHAT, Got, MESSAGES, RESPONSES, ask, call, frames, post, start, told};
use crate::MockProvider;
use crate::seal::{opened, sign};

const GEMINI: &str = "/v1beta/models/gemini-3-pro:generateContent";
const GEMINI_STREAM: &str = "/v1beta/models/gemini-3-pro:streamGenerateContent";
const CONVERSE: &str = "/model/anthropic.claude-x-v1%3A0/converse";
const HELLO: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello there mock"}]}]}"#;
const CONVERSE_HELLO: &str =
    r#"{"messages":[{"role":"user","content":[{"text":"hello there mock"}]}]}"#;
const ANSWER: &str = r#"{"answer":{"parts":[{"thinking":"let me see"},{"text":"two of them"},{"tool":{"name":"look","arguments":{"b":"x","a":1.10},"id":"id_1"}},{"tool":{"name":"find","arguments":{}}}]}}"#;

fn gemini(mock: &MockProvider, path: &str, directive: &str, body: &str) -> Got {
    let headers = format!("x-goog-api-key: g\r\nx-mock: {directive}\r\n");
    call(mock, "POST", path, &headers, body)
}

fn bedrock(mock: &MockProvider, path: &str, directive: &str, body: &str) -> Got {
    let headers = format!("authorization: Bearer b\r\nx-mock: {directive}\r\n");
    call(mock, "POST", path, &headers, body)
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value
        .pointer(path)
        .unwrap_or_else(|| panic!("no {path} in {value}"))
}

/// Everything at this path, in order.
fn strings(events: &[Value], path: &str) -> String {
    let each = events.iter().filter_map(|event| event.pointer(path));
    each.filter_map(Value::as_str).collect()
}

#[test]
fn chat_renders_the_answer_whole_and_streamed() {
    let mock = start();
    let whole = told(&mock, CHAT, ANSWER, &ask(CHAT, false, "")).json();
    let message = at(&whole, "/choices/0/message");
    assert_eq!(at(message, "/content"), "two of them");
    assert_eq!(at(message, "/tool_calls/0/id"), "id_1");
    assert_eq!(
        at(message, "/tool_calls/0/function/arguments"),
        r#"{"b":"x","a":1.10}"#
    );
    assert_eq!(at(message, "/tool_calls/1/function/name"), "find");
    assert_eq!(at(&whole, "/choices/0/finish_reason"), "tool_calls");
    let got = told(&mock, CHAT, ANSWER, &ask(CHAT, true, ""));
    let events: Vec<Value> = got.events().into_iter().map(|(_, event)| event).collect();
    assert_eq!(strings(&events, "/choices/0/delta/content"), "two of them");
    for (index, (name, arguments)) in [("look", r#"{"b":"x","a":1.10}"#), ("find", "{}")]
        .iter()
        .enumerate()
    {
        let calls: Vec<Value> = events
            .iter()
            .filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0"))
            .filter(|call| call["index"] == index)
            .cloned()
            .collect();
        assert_eq!(strings(&calls, "/function/name"), *name);
        assert_eq!(strings(&calls, "/function/arguments"), *arguments);
    }
    let truth = mock.truth().pop().expect("two");
    // Three words of text and one of each call's arguments; the thought is counted apart.
    assert_eq!((truth.usage.output, truth.usage.reasoning), (8, 3));
    assert_eq!(truth.delivered_tokens, 5);
}

#[test]
fn responses_render_the_answer_with_dense_indices() {
    let mock = start();
    let more = r#","reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"]"#;
    let whole = told(&mock, RESPONSES, ANSWER, &ask(RESPONSES, false, more)).json();
    let kinds: Vec<&Value> = (0..4).map(|n| &whole["output"][n]["type"]).collect();
    assert_eq!(
        kinds,
        ["reasoning", "message", "function_call", "function_call"]
    );
    assert_eq!(at(&whole, "/output/0/summary/0/text"), "let me see");
    let sealed = at(&whole, "/output/0/encrypted_content").as_str();
    assert_eq!(sealed.and_then(opened).as_deref(), Some("let me see"));
    assert_eq!(at(&whole, "/output/2/call_id"), "id_1");
    let got = told(&mock, RESPONSES, ANSWER, &ask(RESPONSES, true, more));
    let events = got.events();
    let mut items: Vec<Value> = Vec::new();
    for (n, (name, event)) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
        match name.as_str() {
            "response.output_item.added" => assert_eq!(event["output_index"], items.len()),
            "response.output_item.done" => {
                assert_eq!(event["output_index"], items.len());
                items.push(event["item"].clone());
            }
            _ => {}
        }
    }
    let last = &events.last().expect("events").1;
    assert_eq!(at(last, "/response/output"), &json!(items));
    let plain: Vec<Value> = events.iter().map(|(_, event)| event.clone()).collect();
    let summary = events
        .iter()
        .filter(|(name, _)| name == "response.reasoning_summary_text.delta");
    assert_eq!(summary.count(), 3);
    assert!(strings(&plain, "/delta").contains(r#"{"b":"x","a":1.10}"#));
    let without = told(&mock, RESPONSES, ANSWER, &ask(RESPONSES, false, ""));
    assert!(!without.body.contains("encrypted_content"));
}

#[test]
fn messages_render_the_answer_with_signed_thoughts() {
    let mock = start();
    let whole = told(&mock, MESSAGES, ANSWER, &ask(MESSAGES, false, "")).json();
    let blocks = at(&whole, "/content");
    assert_eq!(
        blocks[0],
        json!({"type": "thinking", "thinking": "let me see", "signature": sign("let me see")})
    );
    assert_eq!(blocks[2]["id"], "id_1");
    assert_eq!(blocks[3]["name"], "find");
    assert_eq!(at(&whole, "/stop_reason"), "tool_use");
    let got = told(&mock, MESSAGES, ANSWER, &ask(MESSAGES, true, ""));
    let events: Vec<Value> = got.events().into_iter().map(|(_, event)| event).collect();
    let starts: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "content_block_start")
        .map(|event| &event["content_block"]["type"])
        .collect();
    assert_eq!(starts, ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(
        strings(&events, "/delta/partial_json"),
        r#"{"b":"x","a":1.10}{}"#
    );
    assert_eq!(strings(&events, "/delta/signature"), sign("let me see"));
    let paused = r#"{"answer":{"parts":[{"redacted":"c2VjcmV0"},{"server_tool":{"name":"web_search","input":{"query":"q"}}},{"text":"x"}],"stop":"pause"}}"#;
    let whole = told(&mock, MESSAGES, paused, &ask(MESSAGES, false, "")).json();
    let kinds: Vec<&Value> = (0..4).map(|n| &whole["content"][n]["type"]).collect();
    assert_eq!(
        kinds,
        [
            "redacted_thinking",
            "server_tool_use",
            "web_search_tool_result",
            "text"
        ]
    );
    assert_eq!(at(&whole, "/stop_reason"), "pause_turn");
    let met = r#"{"answer":{"parts":[{"text":"x"}],"stop":"stop_sequence","stop_sequence":"END"}}"#;
    let whole = told(&mock, MESSAGES, met, &ask(MESSAGES, false, "")).json();
    assert_eq!(at(&whole, "/stop_sequence"), "END");
}

#[test]
fn gemini_renders_the_answer_in_both_framings() {
    let mock = start();
    let got = gemini(&mock, GEMINI, ANSWER, HELLO);
    assert_eq!(
        got.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    let whole = got.json();
    let parts = at(&whole, "/candidates/0/content/parts");
    assert_eq!(parts[0], json!({"text": "let me see", "thought": true}));
    assert_eq!(parts[2]["thoughtSignature"], sign("let me see"));
    assert_eq!(
        parts[2]["functionCall"],
        json!({"id": "id_1", "name": "look", "args": {"b": "x", "a": 1.10}})
    );
    assert!(parts[3].get("thoughtSignature").is_none());
    let usage = at(&whole, "/usageMetadata");
    let truth = mock.truth().pop().expect("one");
    assert_eq!(usage["promptTokenCount"], truth.usage.input);
    assert_eq!(usage["thoughtsTokenCount"], truth.usage.reasoning);
    assert_eq!(
        usage["candidatesTokenCount"],
        truth.usage.output - truth.usage.reasoning
    );
    assert_eq!(
        usage["totalTokenCount"],
        truth.usage.input + truth.usage.output
    );
    assert_eq!(
        (truth.model.as_str(), truth.vendor.as_str()),
        ("gemini-3-pro", "gemini")
    );

    let sse = gemini(&mock, &format!("{GEMINI_STREAM}?alt=sse"), ANSWER, HELLO);
    assert!(sse.body.ends_with("\r\n\r\n"));
    let events: Vec<Value> = sse
        .body
        .split("\r\n\r\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let array = gemini(&mock, GEMINI_STREAM, ANSWER, HELLO).json();
    assert_eq!(array.as_array().map(Vec::len), Some(events.len()));
    let calls: Vec<&Value> = events
        .iter()
        .filter_map(|event| event.pointer("/candidates/0/content/parts/0/functionCall"))
        .collect();
    assert_eq!(calls.len(), 2);
    let last = events.last().expect("events");
    assert_eq!(at(last, "/candidates/0/finishReason"), "STOP");
    assert_eq!(
        at(last, "/usageMetadata/totalTokenCount"),
        at(&whole, "/usageMetadata/totalTokenCount")
    );
}

#[test]
fn converse_renders_the_answer_whole_and_in_frames() {
    let mock = start();
    let whole = bedrock(&mock, CONVERSE, ANSWER, CONVERSE_HELLO).json();
    let blocks = at(&whole, "/output/message/content");
    assert_eq!(
        blocks[0]["reasoningContent"]["reasoningText"],
        json!({"text": "let me see", "signature": sign("let me see")})
    );
    assert_eq!(blocks[2]["toolUse"]["toolUseId"], "id_1");
    assert_eq!(at(&whole, "/stopReason"), "tool_use");
    let got = bedrock(&mock, &format!("{CONVERSE}-stream"), ANSWER, CONVERSE_HELLO);
    assert_eq!(
        got.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    let frames = frames(&got.bytes).expect("whole frames");
    let names: Vec<&str> = frames.iter().map(|frame| frame.kind.as_str()).collect();
    assert_eq!(names[0], "messageStart");
    assert_eq!(names[names.len() - 2..], ["messageStop", "metadata"]);
    let payloads: Vec<Value> = frames.into_iter().map(|frame| frame.payload).collect();
    assert_eq!(strings(&payloads, "/delta/text"), "two of them");
    assert_eq!(
        strings(&payloads, "/delta/reasoningContent/signature"),
        sign("let me see")
    );
    assert_eq!(
        strings(&payloads, "/delta/toolUse/input"),
        r#"{"b":"x","a":1.10}{}"#
    );
    let starts = payloads
        .iter()
        .filter(|payload| payload.get("start").is_some());
    assert_eq!(starts.count(), 2);
    let truth = mock.truth().pop().expect("two");
    let last = payloads.last().expect("frames");
    assert_eq!(at(last, "/usage/outputTokens"), truth.usage.output);
    assert!(truth.usage_reported && truth.dialect == "bedrock");
    assert_eq!(truth.model, "anthropic.claude-x-v1:0");
}

#[test]
fn each_reason_to_stop_has_its_native_name() {
    let mock = start();
    for (stop, names) in [
        ("end", ["stop", "completed", "end_turn", "STOP", "end_turn"]),
        (
            "length",
            [
                "length",
                "incomplete",
                "max_tokens",
                "MAX_TOKENS",
                "max_tokens",
            ],
        ),
        (
            "filter",
            [
                "content_filter",
                "incomplete",
                "refusal",
                "SAFETY",
                "content_filtered",
            ],
        ),
        (
            "refusal",
            ["stop", "completed", "refusal", "SAFETY", "content_filtered"],
        ),
    ] {
        let directive = format!(r#"{{"answer":{{"parts":[{{"text":"x"}}],"stop":"{stop}"}}}}"#);
        let chat = told(&mock, CHAT, &directive, &ask(CHAT, false, "")).json();
        let responses = told(&mock, RESPONSES, &directive, &ask(RESPONSES, false, "")).json();
        let messages = told(&mock, MESSAGES, &directive, &ask(MESSAGES, false, "")).json();
        let gemini = gemini(&mock, GEMINI, &directive, HELLO).json();
        let converse = bedrock(&mock, CONVERSE, &directive, CONVERSE_HELLO).json();
        let met = [
            at(&chat, "/choices/0/finish_reason"),
            at(&responses, "/status"),
            at(&messages, "/stop_reason"),
            at(&gemini, "/candidates/0/finishReason"),
            at(&converse, "/stopReason"),
        ];
        assert_eq!(met, names, "{stop}");
    }
    let refused = r#"{"answer":{"parts":[{"refusal":"no"}]}}"#;
    let chat = told(&mock, CHAT, refused, &ask(CHAT, false, "")).json();
    assert_eq!(at(&chat, "/choices/0/message/refusal"), "no");
    assert_eq!(at(&chat, "/choices/0/message/content"), &Value::Null);
    let got = told(&mock, RESPONSES, refused, &ask(RESPONSES, true, ""));
    assert!(got.body.contains("event: response.refusal.delta"));
    let failed = r#"{"finish_reason":"failed"}"#;
    let got = told(&mock, RESPONSES, failed, &ask(RESPONSES, true, ""));
    let (name, last) = got.events().pop().expect("events");
    assert_eq!(name, "response.failed");
    assert_eq!(at(&last, "/response/error/code"), "server_error");
    let verbatim = r#"{"finish_reason":"MALFORMED_FUNCTION_CALL"}"#;
    let got = gemini(&mock, GEMINI, verbatim, HELLO).json();
    assert_eq!(
        at(&got, "/candidates/0/finishReason"),
        "MALFORMED_FUNCTION_CALL"
    );
    let blocked = gemini(&mock, GEMINI, r#"{"block_reason":"SAFETY"}"#, HELLO).json();
    assert_eq!(at(&blocked, "/promptFeedback/blockReason"), "SAFETY");
    assert!(blocked.get("candidates").is_none());
    let blocked = told(
        &mock,
        CHAT,
        r#"{"block_reason":"hate"}"#,
        &ask(CHAT, false, ""),
    );
    assert_eq!(
        (blocked.status, &blocked.json()["error"]["code"]),
        (400, &json!("content_filter"))
    );
}

#[test]
fn a_tool_loop_moves_on_with_the_results() {
    let mock = start();
    let directive = r#"[[mock:{\"turns\":[{\"parts\":[{\"tool\":{\"name\":\"f\",\"arguments\":{},\"id\":\"c1\"}}]},{\"parts\":[{\"text\":\"done\"}]}]}]]"#;
    let first = format!(r#"{{"role":"user","content":"go {directive}"}}"#);
    let chat = |more: &str| {
        let body = format!(r#"{{"model":"m","messages":[{first}{more}]}}"#);
        post(&mock, CHAT, &body).json()
    };
    assert_eq!(at(&chat(""), "/choices/0/message/tool_calls/0/id"), "c1");
    let more = r#",{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"ok"}"#;
    assert_eq!(at(&chat(more), "/choices/0/message/content"), "done");

    let more = r#",{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"ok"}]}"#;
    let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[{first}{more}]}}"#);
    let got = post(&mock, MESSAGES, &body).json();
    assert_eq!(at(&got, "/content/0/text"), "done");

    let more = r#",{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"ok"}"#;
    let body = format!(r#"{{"model":"m","input":[{first}{more}]}}"#);
    let got = post(&mock, RESPONSES, &body).json();
    assert_eq!(at(&got, "/output/0/content/0/text"), "done");

    let first = format!(r#"{{"role":"user","parts":[{{"text":"go {directive}"}}]}}"#);
    let more = r#",{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"ok"}}}]}"#;
    let body = format!(r#"{{"contents":[{first}{more}]}}"#);
    let got = call(&mock, "POST", GEMINI, "x-goog-api-key: g\r\n", &body).json();
    assert_eq!(at(&got, "/candidates/0/content/parts/0/text"), "done");

    let first = format!(r#"{{"role":"user","content":[{{"text":"go {directive}"}}]}}"#);
    let more = r#",{"role":"assistant","content":[{"toolUse":{"toolUseId":"c1","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c1","content":[{"text":"ok"}]}}]}"#;
    let tools = r#","toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]}"#;
    let body = format!(r#"{{"messages":[{first}{more}]{tools}}}"#);
    let got = call(
        &mock,
        "POST",
        CONVERSE,
        "authorization: Bearer b\r\n",
        &body,
    )
    .json();
    assert_eq!(at(&got, "/output/message/content/0/text"), "done");
}
