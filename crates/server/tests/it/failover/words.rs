//! The last word: what the caller is told when nobody answered (data-plane 13.3).

use serde_json::{Value, json};

use super::{MINI, Stand, always, attempts, policy, question, substituted};
use crate::support::{Answer, once, provider, sha256};

/// An error of ours.
fn ours(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        answer.code(),
        (status, code.to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("x-langwatch-handled-error"), Some(code));
    assert_eq!(
        answer.header("x-langwatch-provider"),
        None,
        "{:?}",
        answer.head
    );
    assert_eq!(answer.json()["error"]["fault"], "provider");
}

#[test]
fn the_last_error_that_a_provider_answered_is_the_callers() {
    let stand = Stand::start();
    let spare = provider();
    let spare_row = stand.gateway.openai(&spare, "sk-failover-spare");
    let two = policy(&stand.gateway, &[&stand.rows[0], &spare_row]);
    let key = stand
        .gateway
        .create_key_with(json!({"routing_policy_id": two}));
    for stream in [false, true] {
        // In its own dialect: byte for byte, with what it says about trying again.
        once(
            &stand.openai,
            &json!({"status": 503, "error_message": "first", "retry_after": "3"}),
        );
        let last = json!({
            "status": 429, "error_type": "rate_limit_exceeded", "error_message": "zweite Störung",
            "retry_after": "7", "headers": {"x-should-retry": "true"},
        });
        once(&spare, &last);
        let answer = stand.call(&key, &question(stream));
        let truth = spare.truth().pop().expect("a call");
        assert_eq!(answer.status(), 429, "{}", answer.text());
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{}", answer.text());
        for (name, value) in [
            ("retry-after", Some("7")),
            ("x-should-retry", Some("true")),
            ("content-type", Some("application/json")),
            ("x-langwatch-provider", Some("openai")),
            ("x-langwatch-model", Some(MINI)),
            ("x-langwatch-fallback-count", Some("1")),
            ("x-langwatch-handled-error", None),
        ] {
            assert_eq!(answer.header(name), value, "{name} {:?}", answer.head);
        }
    }
    // In another one: an envelope with the provider's own words.
    let key = stand.key(&json!({}));
    for stream in [false, true] {
        once(&stand.openai, &json!({"status": 503}));
        once(
            &stand.anthropic,
            &json!({"status": 529, "error_message": "too many of you"}),
        );
        let answer = stand.call(&key, &question(stream));
        let body = answer.fine(529);
        let error = &body["error"];
        assert_eq!(
            (&error["type"], &error["message"], &error["meta"]),
            (
                &json!("overloaded_error"),
                &json!("too many of you"),
                &json!({"status": 529, "provider": "anthropic"}),
            ),
            "{body}"
        );
        assert_eq!(answer.header("x-langwatch-provider"), Some("anthropic"));
        assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
        assert_eq!(answer.header("x-langwatch-handled-error"), None);
    }
}

#[test]
fn an_answered_error_is_worth_more_than_silence() {
    let stand = Stand::start();
    let key = stand.key(&json!({"attempt_timeout_ms": 700}));
    let book = stand.book();
    for (how, outcome) in [
        (json!({"reset_before_head": true}), "anthropic network"),
        (json!({"stall_before_head": true}), "anthropic timeout"),
    ] {
        once(&stand.openai, &json!({"status": 503, "retry_after": "9"}));
        once(&stand.anthropic, &how);
        let answer = stand.call(&key, &question(false));
        let truth = stand.openai.truth().pop().expect("a call");
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("9"));
        assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
        assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
        let trace = book.trace(&answer.request_id());
        assert_eq!(attempts(&trace), ["openai retryable_5xx 503", outcome]);
    }
}

#[test]
fn where_nobody_answered_the_last_silence_is_named() {
    let stand = Stand::start();
    let key = stand.key(&json!({"attempt_timeout_ms": 700}));
    let (reset, hang) = (
        json!({"reset_before_head": true}),
        json!({"stall_before_head": true}),
    );
    for (first, second, status, code) in [
        (&reset, &hang, 504, "upstream_timeout"),
        (&hang, &reset, 502, "provider_error"),
    ] {
        for stream in [false, true] {
            once(&stand.openai, first);
            once(&stand.anthropic, second);
            let answer = stand.call(&key, &question(stream));
            ours(&answer, status, code);
            assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
        }
    }
}

#[test]
fn a_request_that_the_second_provider_cannot_be_given_ends_with_what_the_first_one_said() {
    let stand = Stand::with(&[("LW_GATEWAY_CIRCUIT_THRESHOLD", "1")]);
    let key = stand.key(&json!({}));
    always(&stand.openai, &json!({"status": 503}));
    let mut body = question(false);
    // Anthropic takes no sound.
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": "What is said here?"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]);
    let answer = stand.call(&key, &body);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
    assert_eq!(stand.asked(), [1, 0], "nothing was sent there");
    let trace = stand.book().trace(&answer.request_id());
    assert_eq!(
        attempts(&trace),
        ["openai retryable_5xx 503", "anthropic non_retryable"]
    );
    // Its circuit hears nothing of it, though one failure would open it.
    let answer = stand.call(&key, &question(false));
    substituted(&answer, "the next question");
}

#[test]
fn what_a_provider_says_about_its_account_is_not_for_callers() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let bill = "You exceeded your current quota: see your plan and billing details";
    let quota = json!({
        "status": 429, "error_type": "insufficient_quota", "error_message": bill, "retry_after": "7",
    });
    let poor = json!({"status": 400, "error_message": "Your credit balance is too low"});
    for stream in [false, true] {
        // As it is, and in the caller's dialect.
        for (first, second, status, kind) in [
            (&poor, None, 400, "invalid_request_error"),
            (
                &json!({"status": 503}),
                Some(&quota),
                429,
                "insufficient_quota",
            ),
            (
                &json!({"status": 503}),
                Some(&poor),
                400,
                "invalid_request_error",
            ),
            (
                &quota,
                Some(&json!({"reset_before_head": true})),
                429,
                "insufficient_quota",
            ),
        ] {
            once(&stand.openai, first);
            if let Some(second) = second {
                once(&stand.anthropic, second);
            }
            let answer = stand.call(&key, &question(stream));
            let error = &answer.fine(status)["error"];
            assert_eq!(error["type"], kind, "{error}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains("administrator"), "{error}");
            assert_eq!(answer.header("x-langwatch-handled-error"), None);
            if status == 429 {
                assert_eq!(answer.header("retry-after"), Some("7"));
            }
            let said = answer.text();
            assert!(
                !said.contains("billing") && !said.contains("credit"),
                "{said}"
            );
        }
    }
}

#[test]
fn our_credentials_are_in_no_last_word() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let leak = |secret: &str| {
        let event =
            json!({"error": {"type": "rate_limit_error", "message": format!("key {secret}")}});
        json!({"body_raw": format!("data: {event}\n\n"), "content_type": "text/event-stream"})
    };
    let leaked = |secret: &str| {
        let event: Value = json!({
            "type": "error", "error": {"type": "overloaded_error", "message": format!("key {secret}")},
        });
        json!({
            "body_raw": format!("event: error\ndata: {event}\n\n"), "content_type": "text/event-stream",
        })
    };
    once(&stand.openai, &leak("sk-failover-openai"));
    once(&stand.anthropic, &leaked("sk-failover-anthropic"));
    let answer = stand.call(&key, &question(true));
    assert_eq!(answer.status(), 529, "{}", answer.text());
    let said = answer.text();
    assert!(
        said.contains("[redacted]") && !said.contains("sk-failover"),
        "{said}"
    );
    once(&stand.openai, &leak("sk-failover-openai"));
    once(&stand.anthropic, &json!({"reset_before_head": true}));
    let answer = stand.call(&key, &question(true));
    assert_eq!(answer.status(), 429, "{}", answer.text());
    let said = answer.text();
    assert!(
        said.contains("[redacted]") && !said.contains("sk-failover"),
        "{said}"
    );
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
}
