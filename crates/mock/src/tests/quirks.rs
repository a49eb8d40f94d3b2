//! How nearly-OpenAI vendors differ.

use serde_json::{Value, json};

use super::client::{CHAT, ask, start, told};

const ANSWER: &str = r#""answer":{"parts":[{"thinking":"hm hm"},{"text":"yes"}]}"#;

#[test]
fn a_chat_stream_bends_as_told() {
    let mock = start();
    let with = |quirks: &str| {
        let directive = format!(r#"{{{ANSWER},"quirks":{quirks}}}"#);
        let more = r#","stream_options":{"include_usage":true}"#;
        told(&mock, CHAT, &directive, &ask(CHAT, true, more)).body
    };
    let plain = with("{}");
    assert!(plain.contains("\"choices\":[],\"usage\"") && !plain.contains("hm hm"));
    assert!(!with(r#"{"no_space":true}"#).contains("data: "));
    let crlf = with(r#"{"crlf":true}"#);
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count());
    assert!(with(r#"{"comments":true}"#).starts_with(": "));
    assert!(!with(r#"{"no_done":true}"#).contains("[DONE]"));
    assert!(with(r#"{"done_lower":true}"#).ends_with("data: [done]\n\n"));
    assert!(!with(r#"{"no_usage":true}"#).contains("prompt_tokens"));
    let last = with(r#"{"usage_in_last_chunk":true,"cache_hit_names":true}"#);
    assert!(!last.contains("\"choices\":[]"));
    let chunk = last
        .split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .find(|data| data.contains("\"usage\":{"))
        .expect("a chunk with usage");
    let chunk: Value = serde_json::from_str(chunk).expect("JSON");
    assert_eq!(chunk["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunk["usage"]["prompt_cache_miss_tokens"], 3);
    assert_eq!(chunk["usage"]["prompt_cache_hit_tokens"], 0);
    assert!(mock.truth().pop().is_some_and(|truth| truth.usage_reported));
    let thinking = with(r#"{"reasoning_field":"reasoning_content"}"#);
    assert!(thinking.contains(r#""delta":{"reasoning_content":"hm "}"#));
}

#[test]
fn a_whole_answer_bends_as_told() {
    let mock = start();
    let directive = format!(
        r#"{{{ANSWER},"quirks":{{"reasoning_field":"reasoning","cache_hit_names":true}},"usage":{{"prompt_tokens":10,"cached_tokens":4}}}}"#
    );
    let got = told(&mock, CHAT, &directive, &ask(CHAT, false, "")).json();
    assert_eq!(got["choices"][0]["message"]["reasoning"], "hm hm");
    assert_eq!(
        (
            &got["usage"]["prompt_cache_hit_tokens"],
            &got["usage"]["prompt_cache_miss_tokens"]
        ),
        (&json!(4), &json!(6))
    );
    let got = told(
        &mock,
        CHAT,
        r#"{"quirks":{"none":true}}"#,
        &ask(CHAT, false, ""),
    );
    assert_eq!(got.status, 400);
}
