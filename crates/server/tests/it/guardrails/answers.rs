//! A whole answer on its way back: checked as a whole before any of it leaves, paid for as it was made.

use lw_core::NanoUsd;
use lw_store::ledger::Certainty;
use serde_json::{Value, json};

use super::{MAIL, TAKEN_OUT, WORD, World, captured, spoken, ways};
use crate::support::{Ask, once, sha256, usage};

#[test]
fn a_blocked_answer_shows_none_of_its_text_and_costs_the_customer_nothing() {
    let world = World::start();
    let guard = world.blocks("post");
    let key = world.key_of("post", &guard);
    let book = world.gateway.book();
    for way in ways("hello", false) {
        once(
            &world.mock,
            &json!({"text": format!("the secret is {WORD} indeed")}),
        );
        let answer = world.ask(&key, &way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.code(), (403, "guardrail_blocked".to_owned()), "{at}");
        assert!(!answer.text().contains("secret"), "{at}");
        let error = &answer.json()["error"];
        assert_eq!(error["meta"]["policies_triggered"], json!([guard]), "{at}");
        let truth = world.mock.truth().pop().expect("a generation");
        let entry = book.ended(&answer.request_id());
        assert_eq!(entry.amount, NanoUsd::ZERO, "{at}");
        assert_eq!(entry.usage, usage(&truth.usage), "{at}");
        assert_eq!(entry.certainty, Certainty::Exact, "{at}");
        let error = entry.detail.error_type.as_deref();
        assert_eq!(error, Some("guardrail_blocked"), "{at}");
        let trace = book.trace(&answer.request_id());
        assert_eq!(trace.http_status, 403, "{at}");
        assert_eq!(captured(trace.output.as_ref()), "", "{at}");
        assert_eq!(trace.facts.usage, Some(usage(&truth.usage)), "{at}");
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(
            attributes["langwatch.status"], "blocked_by_guardrail",
            "{at}"
        );
        assert_eq!(
            attributes["langwatch.guardrail.post.verdict"], "block",
            "{at}"
        );
    }
    assert_eq!(world.verdicts("response", "block"), 8);
    let shown = world.gateway.stdout() + &world.gateway.stderr();
    assert!(!shown.contains(WORD), "{shown}");
}

#[test]
fn what_is_taken_out_of_an_answer_reaches_neither_the_caller_nor_the_trace() {
    let world = World::start();
    let guard = world.redacts("post");
    let key = world.key_of("post", &guard);
    let book = world.gateway.book();
    for way in ways("hello", false) {
        once(
            &world.mock,
            &json!({
                "text": format!("Write to {MAIL} today."),
                "usage": {"prompt_tokens": 1000, "cached_tokens": 200, "completion_tokens": 50},
            }),
        );
        let answer = world.ask(&key, &way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.status(), 200, "{at}");
        let told = format!("Write to {TAKEN_OUT} today.");
        assert!(spoken(&answer.text()).contains(&told), "{at}");
        assert!(!answer.text().contains(MAIL), "{at}");
        let truth = world.mock.truth().pop().expect("a generation");
        if way.native {
            // Nothing else changed.
            let before = answer.text().replace(TAKEN_OUT, MAIL);
            assert_eq!(sha256(before.as_bytes()), truth.body_sha256, "{at}");
        }
        let kind = match truth.dialect.as_str() {
            "anthropic" => "anthropic",
            "gemini" => "gemini",
            _ => "openai",
        };
        book.charged_exactly(&answer.request_id(), kind, &truth);
        let trace = book.trace(&answer.request_id());
        let output = captured(trace.output.as_ref());
        assert!(
            output.contains(&told) && !output.contains(MAIL),
            "{output} {at}"
        );
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(
            attributes["langwatch.guardrail.post.verdict"], "modify",
            "{at}"
        );
        assert_eq!(
            attributes["langwatch.guardrail.applied"],
            json!([guard]),
            "{at}"
        );
    }
    assert_eq!(world.verdicts("response", "modify"), 8);
}

#[test]
fn an_answer_that_passes_comes_as_the_provider_wrote_it() {
    let world = World::start();
    let guard = world.blocks("post");
    let key = world.key_of("post", &guard);
    for way in ways("hello", false).iter().filter(|way| way.native) {
        let answer = world.ask(&key, way);
        assert_eq!(answer.status(), 200, "{}: {}", way.name, answer.text());
        let truth = world.mock.truth().pop().expect("a generation");
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{}", way.name);
    }
    assert_eq!(world.verdicts("response", "allow"), 4);
    // What is no conversation has no answer to check.
    let counted = json!({"model": "text-embedding-3-small", "input": WORD});
    let ask = Ask::post("/v1/embeddings", &key.secret, counted);
    assert_eq!(world.gateway.call(&ask).status(), 200);
    assert_eq!(world.verdicts("response", "allow"), 4);
}

#[test]
fn an_answer_that_calls_a_tool_is_not_checked_and_that_is_noted() {
    let world = World::start();
    let guard = world.blocks("post");
    let key = world.key_of("post", &guard);
    let call = json!({"answer": {"parts": [
        {"text": format!("I ask about {WORD}")},
        {"tool": {"name": "look", "arguments": {"what": WORD}}},
    ]}});
    for mut way in ways("hello", false) {
        way.body["tools"] = match way.name {
            "chat" => {
                json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}])
            }
            "responses" => {
                json!([{"type": "function", "name": "look", "parameters": {"type": "object"}}])
            }
            "messages" => json!([{"name": "look", "input_schema": {"type": "object"}}]),
            _ => json!([{"functionDeclarations": [{"name": "look"}]}]),
        };
        once(&world.mock, &call);
        let answer = world.ask(&key, &way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.status(), 200, "{at}");
        assert!(answer.text().contains("look"), "{at}");
        let attributes = world.attributes(&answer.request_id());
        let skipped = &attributes["langwatch.guardrail.post.skipped"];
        assert_eq!(*skipped, "tool_calls", "{at}");
        assert_eq!(
            attributes["langwatch.guardrail.verdict"],
            Value::Null,
            "{at}"
        );
    }
}

#[test]
fn a_large_answer_is_checked_to_its_end() {
    let world = World::start();
    let blocks = world.blocks("post");
    let redacts = world.redacts("post");
    let long = "harmless words ".repeat(40_000);
    for way in ways("hello", false).iter().filter(|way| way.native) {
        let say = |text: &str| once(&world.mock, &json!({"text": format!("{long}{text}")}));
        say(WORD);
        let answer = world.ask(&world.key_of("post", &blocks), way);
        assert_eq!(
            answer.code(),
            (403, "guardrail_blocked".to_owned()),
            "{}",
            way.name
        );
        say(&format!("to {MAIL}"));
        let answer = world.ask(&world.key_of("post", &redacts), way);
        assert_eq!(answer.status(), 200, "{}", way.name);
        let spoken = spoken(&answer.text());
        assert!(
            spoken.ends_with("to [EMAIL]"),
            "{}: {}",
            way.name,
            spoken.len()
        );
        assert!(spoken.len() > long.len(), "{}", way.name);
    }
}

#[test]
fn an_error_of_the_provider_is_no_answer_to_check() {
    let world = World::start();
    let guard = world.blocks("post");
    let key = world.key_of("post", &guard);
    for way in ways("hello", false) {
        once(
            &world.mock,
            &json!({"status": 400, "error_message": format!("no {WORD} here")}),
        );
        let answer = world.ask(&key, &way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.status(), 400, "{at}");
        assert!(answer.text().contains(WORD), "{at}");
    }
    assert_eq!(world.verdicts("response", "block"), 0);
}

#[test]
fn an_answer_that_cannot_be_read_does_not_pass_unless_the_guardrail_fails_open() {
    let world = World::start();
    let closed = world.blocks("post");
    let settings = json!({"words": [WORD]});
    let open = world.guardrail_with("post", "keyword-list", &settings, "fail_open");
    let coded = json!({"text": "coded", "headers": {"content-encoding": "gzip"}});
    for way in ways("hello", false).iter().filter(|way| way.native) {
        once(&world.mock, &coded);
        let answer = world.ask(&world.key_of("post", &closed), way);
        let at = format!("{}: {}", way.name, answer.text());
        let code = "guardrail_upstream_unavailable".to_owned();
        assert_eq!(answer.code(), (503, code), "{at}");
        once(&world.mock, &coded);
        let answer = world.ask(&world.key_of("post", &open), way);
        assert_eq!(answer.status(), 200, "{at}");
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{at}");
        let truth = world.mock.truth().pop().expect("a generation");
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{at}");
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(
            attributes["langwatch.guardrail.verdict"], "fail_open",
            "{at}"
        );
        assert_eq!(
            attributes["langwatch.guardrail.direction"], "response",
            "{at}"
        );
    }
    assert_eq!(world.verdicts("response", "fail_open"), 4);
}

#[test]
fn a_whole_answer_where_a_stream_was_asked_for_is_checked_too() {
    let world = World::start();
    let blocks = world.key_of("post", &world.blocks("post"));
    let redacts = world.key_of("post", &world.redacts("post"));
    let chat = |text: &str| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
        })
    };
    let message = |text: &str| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 5},
        })
    };
    let response = |text: &str| {
        json!({
            "id": "resp_1", "object": "response", "model": "gpt-4o-mini", "status": "completed",
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": text, "annotations": []}]}],
            "usage": {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10},
        })
    };
    let say = |body: &Value| {
        let directive = json!({"body_raw": body.to_string(), "content_type": "application/json"});
        once(&world.mock, &directive);
    };
    for way in ways("hello", true) {
        if !["chat", "messages"].contains(&way.name) {
            continue;
        }
        let at = |text: &str| format!("{} native {}: {text}", way.name, way.native);
        let answering = |text: &str| match (way.name, way.native) {
            ("chat", true) => chat(text),
            ("messages", false) => response(text),
            _ => message(text),
        };
        say(&answering(&format!("it is {WORD}")));
        let answer = world.ask(&blocks, &way);
        let code = (403, "guardrail_blocked".to_owned());
        assert_eq!(answer.code(), code, "{}", at(&answer.text()));
        assert!(!answer.text().contains(WORD), "{}", at(&answer.text()));
        say(&answering(&format!("to {MAIL}")));
        let answer = world.ask(&redacts, &way);
        assert_eq!(answer.status(), 200, "{}", at(&answer.text()));
        assert!(!answer.text().contains(MAIL), "{}", at(&answer.text()));
        assert!(
            spoken(&answer.text()).contains("to [EMAIL]"),
            "{}",
            at(&answer.text())
        );
    }
}
