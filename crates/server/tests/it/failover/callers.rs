//! Callers of every dialect, served by the vendor that stands in for another one.

use lw_mock::MockProvider;
use serde_json::{Value, json};

use super::{HAIKU, MINI, Stand, policy};
use crate::bill::lanes::Surface;
use crate::support::{Gateway, Key, once, provider};

const SURFACES: [Surface; 4] = [
    Surface::Chat,
    Surface::Messages,
    Surface::Responses,
    Surface::Generate,
];

/// What ends a good stream.
fn end_of_stream(surface: Surface) -> &'static str {
    match surface {
        Surface::Chat => "data: [DONE]",
        Surface::Messages => "\"message_stop\"",
        Surface::Responses => "\"response.completed\"",
        Surface::Generate => "\"finishReason\":\"STOP\"",
    }
}

/// A member that whole answers of the dialect have, and its value.
fn mark(surface: Surface) -> (&'static str, Value) {
    match surface {
        Surface::Chat => ("/object", json!("chat.completion")),
        Surface::Messages => ("/type", json!("message")),
        Surface::Responses => ("/object", json!("response")),
        Surface::Generate => ("/candidates/0/finishReason", json!("STOP")),
    }
}

/// Asks on every surface while the first provider fails, and checks that the caller reads its own dialect
/// from the second.
fn walked(
    gateway: &Gateway,
    key: &Key,
    model: &str,
    first: &MockProvider,
    second: &MockProvider,
    serves: (&str, &str),
) {
    for surface in SURFACES {
        for stream in [false, true] {
            for fault in [json!({"status": 503}), json!({"reset_before_head": true})] {
                let at = format!("{surface:?} {model} stream={stream} {fault}");
                once(first, &fault);
                once(second, &json!({"text": "cloudy"}));
                let ask = surface.ask(&key.secret, model, stream, "What is the weather?");
                let answer = gateway.call(&ask);
                let body = answer.text();
                assert_eq!(answer.status(), 200, "{at}: {body}");
                let shown = [
                    answer.header("x-langwatch-provider"),
                    answer.header("x-langwatch-model"),
                    answer.header("x-langwatch-fallback-count"),
                ];
                assert_eq!(shown, [Some(serves.0), Some(serves.1), Some("1")], "{at}");
                assert!(body.contains("cloudy"), "{at}: {body}");
                if stream {
                    assert!(body.contains(end_of_stream(surface)), "{at}: {body}");
                    assert!(!body.contains("\"error\":{"), "{at}: {body}");
                } else {
                    let (pointer, value) = mark(surface);
                    assert_eq!(answer.json().pointer(pointer), Some(&value), "{at}: {body}");
                }
            }
        }
    }
}

#[test]
fn callers_of_every_dialect_are_served_by_the_vendor_that_stands_in() {
    let stand = Stand::start();
    let gateway = &stand.gateway;
    let key = stand.key(&json!({}));
    let (openai, anthropic) = (&stand.openai, &stand.anthropic);
    walked(gateway, &key, MINI, openai, anthropic, ("anthropic", HAIKU));
    // And back, from the other end of the same policy: the vendor that owns the name is asked first.
    walked(gateway, &key, HAIKU, anthropic, openai, ("openai", MINI));
}

#[test]
fn gemini_is_replaced_and_replaces() {
    let stand = Stand::start();
    let gemini = provider();
    let row = stand.gateway.create_provider(&json!({
        "provider": "gemini", "name": "gemini", "custom_keys": {"GEMINI_API_KEY": "sk-failover-gemini"},
        "provider_config": {"base_url": gemini.base_url()},
    }));
    let policy = policy(&stand.gateway, &[&row, &stand.rows[0]]);
    let key = stand
        .gateway
        .create_key_with(json!({"routing_policy_id": policy}));
    let (gateway, openai) = (&stand.gateway, &stand.openai);
    let flash = "gemini-2.5-flash";
    walked(gateway, &key, flash, &gemini, openai, ("openai", MINI));
    walked(gateway, &key, MINI, openai, &gemini, ("gemini", flash));
}

#[test]
fn an_error_of_the_vendor_that_stands_in_is_told_in_the_callers_dialect() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    for surface in SURFACES {
        for stream in [false, true] {
            once(&stand.openai, &json!({"status": 503}));
            let how = json!({"status": 429, "error_message": "slow down", "retry_after": "7"});
            once(&stand.anthropic, &how);
            let ask = surface.ask(&key.secret, MINI, stream, "What is the weather?");
            let answer = stand.gateway.call(&ask);
            let at = format!("{surface:?} stream={stream}: {}", answer.text());
            assert_eq!(answer.status(), 429, "{at}");
            assert_eq!(answer.header("retry-after"), Some("7"), "{at}");
            assert_eq!(
                answer.header("x-langwatch-fallback-count"),
                Some("1"),
                "{at}"
            );
            let body = answer.json();
            let (pointer, value) = match surface {
                Surface::Generate => ("/error/status", "RESOURCE_EXHAUSTED"),
                Surface::Chat | Surface::Messages | Surface::Responses => {
                    ("/error/type", "rate_limit_error")
                }
            };
            assert_eq!(body.pointer(pointer), Some(&json!(value)), "{at}");
            assert_eq!(
                body.pointer("/error/message"),
                Some(&json!("slow down")),
                "{at}"
            );
        }
    }
}

#[test]
fn the_clouds_own_framing_is_looked_into_before_anything_goes_out() {
    let stand = Stand::start();
    let mock = provider();
    let bedrock = |invoke: bool| {
        stand.gateway.create_provider(&json!({
            "provider": "bedrock", "name": format!("bedrock {invoke}"),
            "custom_keys": {
                "AWS_ACCESS_KEY_ID": "AKIAMOCKMOCKMOCKMOCK", "AWS_SECRET_ACCESS_KEY": "mock-secret",
                "AWS_REGION_NAME": "us-east-1",
            },
            "provider_config": {"endpoint": mock.base_url(), "anthropic_invoke": invoke},
        }))
    };
    let model = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
    for (row, surfaces) in [
        (bedrock(false), [Surface::Chat, Surface::Messages]),
        (bedrock(true), [Surface::Messages, Surface::Chat]),
    ] {
        let policy = policy(&stand.gateway, &[&row, &stand.rows[1]]);
        let key = stand.gateway.create_key_with(json!({
            "routing_policy_id": policy,
            "config": {"fallback": {"model_map": {model: {"anthropic": HAIKU}}}},
        }));
        for surface in surfaces {
            for fault in [
                json!({"status": 424}),
                json!({"status": 408}),
                json!({"body_raw": "nonsense", "content_type": "application/vnd.amazon.eventstream"}),
                json!({"body_raw": "", "content_type": "application/vnd.amazon.eventstream"}),
            ] {
                let at = format!("{surface:?} {fault}");
                once(&mock, &fault);
                let ask = surface.ask(&key.secret, model, true, "What is the weather?");
                let answer = stand.gateway.call(&ask);
                let body = answer.text();
                assert_eq!(answer.status(), 200, "{at}: {body}");
                assert_eq!(
                    answer.header("x-langwatch-provider"),
                    Some("anthropic"),
                    "{at}"
                );
                assert!(body.contains(end_of_stream(surface)), "{at}: {body}");
            }
            // A good stream is still the provider's own.
            let ask = surface.ask(&key.secret, model, true, "What is the weather?");
            let answer = stand.gateway.call(&ask);
            assert_eq!(answer.header("x-langwatch-provider"), Some("bedrock"));
            assert!(
                answer.text().contains(end_of_stream(surface)),
                "{}",
                answer.text()
            );
        }
    }
}
