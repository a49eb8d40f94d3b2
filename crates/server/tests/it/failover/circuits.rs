//! The breaker of each credential, as callers see it (data-plane 13.5).

use serde_json::json;
use tokio::time::Instant;

use super::{Stand, always, attempts, question, spans, substituted};
use crate::support::{eventually, once};

const THRESHOLD: (&str, &str) = ("LW_GATEWAY_CIRCUIT_THRESHOLD", "3");
const WINDOW: (&str, &str) = ("LW_GATEWAY_CIRCUIT_WINDOW_S", "600");

#[test]
fn a_provider_that_keeps_failing_is_left_alone_and_costs_nothing() {
    let stand = Stand::with(&[THRESHOLD, WINDOW]);
    let key = stand.key(&json!({"max_attempts": 1}));
    // What is no failure clears what was counted.
    for status in [503, 503, 429, 503, 503, 401, 503, 503] {
        once(&stand.openai, &json!({"status": status}));
        let answer = stand.call(&key, &question(false));
        assert_eq!(answer.status(), status, "{}", answer.text());
    }
    // The third in a row opens it.
    once(&stand.openai, &json!({"reset_before_head": true}));
    assert_eq!(stand.call(&key, &question(false)).status(), 502);
    let before = stand.asked();
    for stream in [false, true] {
        // To pass somebody over is no attempt.
        let answer = stand.call(&key, &question(stream));
        substituted(&answer, "an open circuit");
        let trace = stand.book().trace(&answer.request_id());
        assert_eq!(
            attempts(&trace),
            ["openai circuit_open", "anthropic fallback_success 200"]
        );
        assert_eq!(trace.facts.attempts[0].duration_us, 0);
        let (own, below) = spans(&stand.gateway, &answer.request_id());
        assert_eq!(own["langwatch.fallback.attempts_count"], 1, "{own}");
        assert_eq!(own["langwatch.fallback.winning_provider"], "anthropic");
        assert_eq!(below[0]["langwatch.provider.circuit"], "open", "{below:?}");
        let why = &below[1]["langwatch.fallback.reason"];
        assert_eq!(why, "circuit_open", "{below:?}");
    }
    assert_eq!(
        stand.asked(),
        [before[0], before[1] + 2],
        "it was not dialled"
    );
    // Nobody else is considered for a key that does not fall over.
    let alone = stand.gateway.create_key();
    let answer = stand.call(&alone, &question(false));
    assert_eq!(
        answer.code(),
        (503, "circuit_open".to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["error"]["fault"], "provider");
    let wait = answer
        .header("retry-after")
        .and_then(|text| text.parse().ok());
    assert!((1..=60).contains(&wait.unwrap_or(0)), "{:?}", answer.head);
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("0"));
    let entry = stand.book().ended(&answer.request_id());
    assert_eq!(entry.amount.0, 0, "{entry:?}");
    // When all are passed over, that is the answer.
    always(&stand.anthropic, &json!({"status": 500}));
    for _ in 0..3 {
        assert_eq!(stand.call(&key, &question(false)).status(), 500);
    }
    let before = stand.asked();
    let answer = stand.call(&key, &question(true));
    assert_eq!(
        answer.code(),
        (503, "circuit_open".to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    assert_eq!(
        answer.header("x-langwatch-handled-error"),
        Some("circuit_open")
    );
    assert_eq!(stand.asked(), before);
    let trace = stand.book().trace(&answer.request_id());
    assert_eq!(
        attempts(&trace),
        ["openai circuit_open", "anthropic circuit_open"]
    );
}

#[test]
fn after_the_cool_down_one_call_finds_out() {
    let stand = Stand::with(&[THRESHOLD, WINDOW, ("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "1")]);
    let key = stand.key(&json!({}));
    let fail = |times: usize| {
        for _ in 0..times {
            once(&stand.openai, &json!({"status": 503}));
            substituted(&stand.call(&key, &question(false)), "a failure");
        }
    };
    fail(3);
    let asked = stand.asked()[0];
    let opened = Instant::now();
    // A probe that fails opens it for another cool-down.
    once(&stand.openai, &json!({"status": 503}));
    eventually("a probe is let through", || {
        substituted(&stand.call(&key, &question(false)), "open");
        (stand.asked()[0] > asked).then_some(())
    });
    assert!(
        opened.elapsed().as_millis() >= 900,
        "{:?}",
        opened.elapsed()
    );
    let reopened = Instant::now();
    substituted(&stand.call(&key, &question(false)), "open again");
    assert_eq!(stand.asked()[0], asked + 1, "one probe");
    // One that succeeds closes it: all are served by the first provider again.
    let served = || {
        let answer = stand.call(&key, &question(false));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.header("x-langwatch-fallback-count") == Some("0")
    };
    eventually("a probe succeeds", || served().then_some(()));
    assert!(
        reopened.elapsed().as_millis() >= 900,
        "{:?}",
        reopened.elapsed()
    );
    assert!((0..5).all(|_| served()));
    // What was counted before is forgotten.
    fail(2);
    assert!(served());
}

#[test]
fn while_one_call_finds_out_others_do_not_wait_for_it() {
    let stand = Stand::with(&[
        ("LW_GATEWAY_CIRCUIT_THRESHOLD", "1"),
        ("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "1"),
        ("LW_GATEWAY_DATA_THREADS", "1"),
    ]);
    let key = stand.key(&json!({}));
    once(&stand.openai, &json!({"status": 503}));
    substituted(&stand.call(&key, &question(false)), "a failure");
    always(&stand.openai, &json!({"stall_before_head": true}));
    let ask = crate::support::Ask::post(super::CHAT, &key.secret, question(false));
    // Callers come until one of them is the probe, which hangs.
    let mut waiting = Vec::new();
    eventually("a probe is let through", || {
        let mut conn = crate::support::Conn::open(stand.gateway.addr);
        conn.write(&ask.wire());
        waiting.push(conn);
        (stand.openai.requests().len() == 2).then_some(())
    });
    for _ in 0..3 {
        substituted(&stand.call(&key, &question(false)), "meanwhile");
    }
    assert_eq!(stand.openai.requests().len(), 2, "one at a time");
    // Its caller leaves: that says nothing, and the next call may find out.
    drop(waiting);
    eventually("the next probe", || {
        let mut conn = crate::support::Conn::open(stand.gateway.addr);
        conn.write(&ask.wire());
        (stand.openai.requests().len() == 3).then_some(())
    });
}

#[test]
fn a_stream_that_breaks_and_an_answer_that_hangs_count_as_failures() {
    for (how, stream) in [
        (
            json!({"frames": 9, "reset_after_frames": 3, "pace_ms": 5}),
            true,
        ),
        (
            json!({"frames": 9, "error_event_after_frames": 3, "pace_ms": 5}),
            true,
        ),
        (json!({"close_after_frames": 1}), false),
        (json!({"stall_before_head": true}), false),
    ] {
        let stand = Stand::with(&[("LW_GATEWAY_CIRCUIT_THRESHOLD", "1"), WINDOW]);
        let key = stand.key(&json!({"attempt_timeout_ms": 700}));
        once(&stand.openai, &how);
        stand.call(&key, &question(stream));
        let answer = stand.call(&key, &question(stream));
        substituted(&answer, &how.to_string());
        assert_eq!(
            stand.openai.requests().len(),
            1,
            "{how}: it was passed over"
        );
    }
}
