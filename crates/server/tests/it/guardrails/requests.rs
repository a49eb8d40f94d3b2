//! Before a provider is asked: who is blocked reaches nobody, and what is changed is all that anybody sees.

use lw_core::NanoUsd;
use lw_store::ledger::EntryKind;
use serde_json::{Value, json};

use super::{MAIL, TAKEN_OUT, WORD, Way, World, captured, ways};
use crate::support::{Ask, parsed};

/// `text` on every surface that takes one.
fn everywhere(text: &str) -> Vec<Way> {
    let turn = json!([{"role": "user", "content": text}]);
    let contents = json!([{"role": "user", "parts": [{"text": text}]}]);
    let content = json!({"parts": [{"text": text}]});
    let mut all = ways(text, false);
    all.extend(ways(text, true));
    for (name, path, body) in [
        (
            "embeddings",
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": [text, "and this"]}),
        ),
        (
            "count",
            "/v1/messages/count_tokens",
            json!({"model": "claude-haiku-4-5", "messages": turn}),
        ),
        (
            "gemini count",
            "/v1beta/models/gemini-2.5-flash:countTokens",
            json!({"contents": contents}),
        ),
        (
            "gemini embed",
            "/v1beta/models/gemini-embedding-001:embedContent",
            json!({"content": content}),
        ),
        (
            "gemini keep",
            "/v1beta/cachedContents",
            json!({"model": "models/gemini-2.5-flash", "contents": contents}),
        ),
    ] {
        let path = path.to_owned();
        all.push(Way {
            name,
            path,
            body,
            native: true,
        });
    }
    all
}

#[test]
fn a_blocked_request_reaches_no_provider_on_any_surface_and_costs_nothing() {
    let world = World::start();
    let guard = world.blocks("pre");
    let key = world.key_of("pre", &guard);
    let book = world.gateway.book();
    let all = everywhere(&format!("say {WORD} twice"));
    for way in &all {
        let answer = world.ask(&key, way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.code(), (403, "guardrail_blocked".to_owned()), "{at}");
        let handled = answer.header("x-langwatch-handled-error");
        assert_eq!(handled, Some("guardrail_blocked"), "{at}");
        let error = &answer.json()["error"];
        assert_eq!(error["meta"]["policies_triggered"], json!([guard]), "{at}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("`the guard`"), "{at}");
        let top = answer.json()["type"].clone();
        let anthropic = way.path.starts_with("/v1/messages");
        assert_eq!(top == json!("error"), anthropic, "{at}");
    }
    assert_eq!(world.called(), 0);
    assert_eq!(world.verdicts("request", "block"), all.len() as u64);

    let answer = world.ask(&key, &all[0]);
    let entry = book.ended(&answer.request_id());
    assert_eq!(
        (entry.kind, entry.amount),
        (EntryKind::Release, NanoUsd::ZERO)
    );
    assert_eq!(
        entry.detail.error_type.as_deref(),
        Some("guardrail_blocked")
    );
    let trace = book.trace(&answer.request_id());
    assert_eq!((trace.http_status, trace.facts.attempts.len()), (403, 0));
    let attributes = world.attributes(&answer.request_id());
    assert_eq!(attributes["langwatch.status"], "blocked_by_guardrail");
    assert_eq!(attributes["langwatch.guardrail.verdict"], "block");
    let triggered = &attributes["langwatch.guardrail.policies_triggered"];
    assert_eq!(*triggered, json!([guard]));

    for way in everywhere("say anything else") {
        let before = world.called();
        let answer = world.ask(&key, &way);
        assert_eq!(answer.status(), 200, "{}: {}", way.name, answer.text());
        assert_eq!(world.called(), before + 1, "{}", way.name);
    }
    assert_eq!(world.verdicts("request", "allow"), all.len() as u64);
}

#[test]
fn what_is_taken_out_of_a_request_reaches_neither_the_provider_nor_the_trace() {
    let world = World::start();
    let guard = world.redacts("pre");
    let key = world.key_of("pre", &guard);
    let book = world.gateway.book();
    for way in everywhere(&format!("Write to {MAIL} today.")) {
        let before = world.called();
        let answer = world.ask(&key, &way);
        let at = format!("{} native {}: {}", way.name, way.native, answer.text());
        assert_eq!(answer.status(), 200, "{at}");
        assert_eq!(world.called(), before + 1, "{at}");
        let received = world.received();
        let told = format!("Write to {TAKEN_OUT} today.");
        assert!(
            received.contains(&told) && !received.contains(MAIL),
            "{received} {at}"
        );
        // Counting leaves no trace.
        if way.name.contains("count") || way.name == "gemini keep" {
            continue;
        }
        let trace = book.trace(&answer.request_id());
        let input = captured(trace.input.as_ref());
        assert!(
            input.contains(&told) && !input.contains(MAIL),
            "{input} {at}"
        );
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(attributes["langwatch.guardrail.verdict"], "modify", "{at}");
        assert_eq!(
            attributes["langwatch.guardrail.applied"],
            json!([guard]),
            "{at}"
        );
    }
    let shown = world.gateway.stdout() + &world.gateway.stderr();
    assert!(!shown.contains(MAIL), "{shown}");
}

#[test]
fn everything_else_of_a_changed_body_is_what_the_caller_wrote_and_the_gateways_own_edits_hold() {
    let world = World::start();
    let guard = world.redacts("pre");
    let body = json!({
        "scopes": [{"scope_type": "project", "scope_id": "default"}],
        "config": {
            "modelAliases": {"fast": "openai/gpt-4o-mini"},
            "guardrailAttachments": super::attachments(&[("pre", &[&guard])]),
        },
    });
    let key = world.gateway.create_key_with(body);
    let asked = format!(
        r#"{{ "messages":[ {{"role":"system","content":"{MAIL} {MAIL}"}},{{"content":[{{"type":"text","text":"to {MAIL}"}}],"role":"user"}}],
            "temperature": 0.10, "stream":true, "model" : "fast", "metadata":{{"owner":"{MAIL}"}},"stop":["{MAIL}"] }}"#
    );
    let answer = world
        .gateway
        .call(&Ask::post("/v1/chat/completions", &key.secret, &asked));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(answer.text().contains("\"usage\""), "{}", answer.text());
    let received = world.received();
    // Names of things are no texts.
    let rest = r#""metadata":{"owner":"ann@example.com"},"stop":["ann@example.com"]"#;
    assert!(received.contains(rest), "{received}");
    assert!(
        received.contains(r#""temperature": 0.10, "stream":true, "model" : "gpt-4o-mini""#),
        "{received}"
    );
    let body = parsed(&received);
    assert_eq!(
        body["stream_options"],
        json!({"include_usage": true}),
        "{received}"
    );
    assert_eq!(
        body["messages"][0]["content"], "[EMAIL] [EMAIL]",
        "{received}"
    );
    assert_eq!(
        body["messages"][1]["content"][0]["text"], "to [EMAIL]",
        "{received}"
    );
    let truth = world.mock.truth().pop().expect("a generation");
    let book = world.gateway.book();
    book.charged_exactly(&answer.request_id(), "openai", &truth);
}

#[test]
fn changes_are_chained_in_the_order_of_attachment_and_the_first_block_wins() {
    let world = World::start();
    let redacts = world.redacts("pre");
    let blocks = world.guardrail(
        "pre",
        "keyword-list",
        &json!({"words": ["example"], "whole_word": false}),
    );
    let phone = json!({"kinds": ["phone"], "action": "redact"});
    let phones = world.guardrail("pre", "pii-check", &phone);
    let way = |text: &str| ways(text, false).remove(0);
    let both = world.key(&[("pre", &[&redacts, &phones])]);
    let answer = world.ask(&both, &way(&format!("{MAIL} or +14155550123")));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        parsed(world.received())["messages"][0]["content"],
        "[EMAIL] or [PHONE]"
    );
    let applied = &world.attributes(&answer.request_id())["langwatch.guardrail.applied"];
    assert_eq!(*applied, json!([redacts, phones]));
    // A block is looked for in what the caller sent, whatever stands before it.
    let blocked = world.key(&[("pre", &[&redacts, &blocks])]);
    let answer = world.ask(&blocked, &way(&format!("to {MAIL}")));
    assert_eq!(answer.code(), (403, "guardrail_blocked".to_owned()));
    let triggered = &answer.json()["error"]["meta"]["policies_triggered"];
    assert_eq!(*triggered, json!([blocks]));
}

#[test]
fn a_text_that_is_cut_or_hidden_in_a_body_is_found_all_the_same() {
    let world = World::start();
    let guard = world.blocks("pre");
    let key = world.key_of("pre", &guard);
    let part = |text: &str| json!({"type": "text", "text": text});
    let chat = |content: Value| {
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]})
            .to_string()
    };
    for body in [
        chat(json!([part("sword"), part("fish")])),
        chat(json!("x")).replace('x', r"\u0073wordfish"),
        chat(json!([{"type": "image_url", "text": WORD}])),
        chat(json!("fine")).replacen("{", &format!(r#"{{"messages":[{{"role":"user","content":"{WORD}"}}],"#), 1),
        json!({"model": "gpt-4o-mini", "messages": [
            {"role": "user", "content": "go on"}, {"role": "tool", "tool_call_id": "c", "content": WORD},
        ]}).to_string(),
    ] {
        let answer = world.gateway.call(&Ask::post("/v1/chat/completions", &key.secret, &body));
        // Members that stand twice may be refused before that.
        assert!([400, 403].contains(&answer.status()), "{body}: {}", answer.text());
    }
    assert_eq!(world.called(), 0);
}
