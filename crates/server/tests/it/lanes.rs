//! Every kind of provider, called on every surface: what arrives, what it costs, and what becomes of it when
//! the provider fails in its own framing.
//!
//! The dialects themselves are held against the official SDKs (`tests/sdk`) and by golden files
//! (`crates/translate/tests`); here stand the promises of the path: exact bills, terminal frames, tokens
//! that are fetched once, callers that leave.

use std::sync::Arc;

use lw_core::NanoUsd;
use lw_mock::MockProvider;
use lw_store::ledger::{Certainty, EntryKind};
use serde_json::{Value, json};

use crate::support::{Ask, Conn, Gateway, Key, eventually, once, parsed, provider, text, usage};

/// A provider row and the model that it is asked for.
pub(crate) struct Lane {
    pub(crate) kind: &'static str,
    pub(crate) model: &'static str,
    pub(crate) keys: Value,
    pub(crate) config: Value,
}

/// Asks the mock itself.
fn mock_get(mock: &MockProvider, path: &str) -> Value {
    let answer = Conn::open(mock.addr()).call(&Ask::get(path));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

fn service_account(mock: &MockProvider) -> String {
    let issuer = format!("{}/token", mock.base_url());
    let path = format!("/_mock/service-account.json?token_uri={issuer}");
    mock_get(mock, &path).to_string()
}

pub(crate) fn vertex(mock: &MockProvider, model: &'static str) -> Lane {
    Lane {
        kind: "vertex",
        model,
        keys: json!({
            "GOOGLE_APPLICATION_CREDENTIALS": service_account(mock),
            "VERTEXAI_PROJECT": "acme", "VERTEXAI_LOCATION": "europe-west4",
        }),
        config: json!({"base_url": mock.base_url()}),
    }
}

pub(crate) fn bedrock(mock: &MockProvider) -> Lane {
    Lane {
        kind: "bedrock",
        model: "anthropic.claude-haiku-4-5-20251001-v1:0",
        keys: json!({
            "AWS_ACCESS_KEY_ID": "AKIAMOCKMOCKMOCKMOCK", "AWS_SECRET_ACCESS_KEY": "mock-secret",
            "AWS_REGION_NAME": "us-east-1",
        }),
        config: json!({"base_url": mock.base_url()}),
    }
}

pub(crate) fn gemini(mock: &MockProvider) -> Lane {
    Lane {
        kind: "gemini",
        model: "gemini-2.5-flash",
        keys: json!({"GEMINI_API_KEY": "sk-lane-secret-4"}),
        config: json!({"base_url": mock.base_url()}),
    }
}

fn lanes(mock: &MockProvider) -> Vec<Lane> {
    let url = mock.base_url();
    vec![
        Lane {
            kind: "openai",
            model: "gpt-5-mini",
            keys: json!({"OPENAI_API_KEY": "sk-lane-secret-1", "OPENAI_BASE_URL": format!("{url}/v1")}),
            config: json!({}),
        },
        Lane {
            kind: "azure",
            model: "gpt-5-mini",
            keys: json!({"AZURE_OPENAI_API_KEY": "sk-lane-secret-2", "AZURE_OPENAI_ENDPOINT": url}),
            config: json!({"deployment_map": {"gpt-5-mini": "mini-deployment"}}),
        },
        Lane {
            kind: "anthropic",
            model: "claude-haiku-4-5",
            keys: json!({"ANTHROPIC_API_KEY": "sk-lane-secret-3", "ANTHROPIC_BASE_URL": url}),
            config: json!({}),
        },
        bedrock(mock),
        vertex(mock, "gemini-2.5-flash"),
        vertex(mock, "claude-haiku-4-5@20251001"),
        gemini(mock),
    ]
}

/// A gateway with this one provider, and a key that reaches it.
pub(crate) fn with_lane(lane: &Lane) -> (Gateway, Key) {
    // One row fails more often here than a circuit bears.
    let gateway = Gateway::builder()
        .env("LW_GATEWAY_CIRCUIT_THRESHOLD", "1000")
        .start();
    gateway.create_provider(&json!({
        "provider": lane.kind, "name": "the lane", "custom_keys": lane.keys,
        "provider_config": lane.config,
    }));
    let key = gateway.create_key();
    (gateway, key)
}

/// The same question on each surface: path and body.
fn questions(lane: &Lane, stream: bool) -> Vec<(&'static str, Question)> {
    let model = format!("{}/{}", lane.kind, lane.model);
    let method = if stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    let text = "What is the weather in Paris?";
    vec![
        (
            "chat",
            Question {
                path: "/v1/chat/completions".to_owned(),
                body: json!({
                    "model": model, "stream": stream,
                    "messages": [{"role": "user", "content": text}],
                }),
            },
        ),
        (
            "responses",
            Question {
                path: "/v1/responses".to_owned(),
                body: json!({"model": model, "stream": stream, "input": text}),
            },
        ),
        (
            "messages",
            Question {
                path: "/v1/messages".to_owned(),
                body: json!({
                    "model": model, "stream": stream, "max_tokens": 500,
                    "messages": [{"role": "user", "content": text}],
                }),
            },
        ),
        (
            "gemini",
            Question {
                path: format!("/v1beta/models/{}:{method}", model.replace('/', "%2F")),
                body: json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
            },
        ),
    ]
}

/// A question without its key.
struct Question {
    path: String,
    body: Value,
}

impl Question {
    fn with(&self, key: &Key) -> Ask {
        Ask::post(&self.path, &key.secret, &self.body)
    }
}

/// The text of an answer, whole or streamed, in any dialect: all that is called `text`, `content` or
/// `delta` and is a string.
fn words(value: &Value, found: &mut String) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| words(item, found)),
        Value::Object(map) => {
            for (name, item) in map {
                match item {
                    Value::String(text)
                        if ["text", "content", "delta"].contains(&name.as_str()) =>
                    {
                        found.push_str(text);
                    }
                    item => words(item, found),
                }
            }
        }
        _ => {}
    }
}

fn said(body: &str) -> String {
    let mut found = String::new();
    let events: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| data.starts_with('{'))
        .collect();
    if events.is_empty() {
        words(&parsed(body), &mut found);
    }
    for event in events {
        words(&parsed(event), &mut found);
    }
    found
}

#[test]
fn every_surface_reaches_every_provider_and_the_bill_is_what_the_provider_counted() {
    let mock = provider();
    for lane in lanes(&mock) {
        let (gateway, key) = with_lane(&lane);
        let (_, first) = questions(&lane, false).remove(0);
        gateway.call(&first.with(&key)).fine(200);
        for stream in [false, true] {
            for (surface, question) in questions(&lane, stream) {
                let at = format!("{surface} on {} {}, stream {stream}", lane.kind, lane.model);
                once(
                    &mock,
                    &json!({
                        "text": "Paris is cloudy today.",
                        "usage": {"prompt_tokens": 1000, "cached_tokens": 200, "completion_tokens": 50},
                    }),
                );
                let answer = gateway.call(&question.with(&key));
                assert_eq!(answer.status(), 200, "{at}: {}", answer.text());
                let body = answer.text();
                assert!(
                    said(&body).contains("Paris is cloudy today."),
                    "{at}: {body}"
                );
                assert_eq!(
                    answer.header("x-langwatch-provider"),
                    Some(lane.kind),
                    "{at}"
                );
                let truth = mock.truth().pop().expect("a generation");
                let book = gateway.book();
                let entry = book.ended(&answer.request_id());
                assert_eq!(
                    (entry.kind, entry.certainty),
                    (EntryKind::Settle, Certainty::Exact),
                    "{at}: {entry:?}"
                );
                assert_eq!(entry.usage, usage(&truth.usage), "{at}: {truth:?}");
                assert!(
                    entry.priced && entry.amount > NanoUsd::ZERO,
                    "{at}: {entry:?}"
                );
            }
        }
    }
}

#[test]
fn a_refusal_comes_out_in_the_callers_dialect_with_status_words_and_the_time_to_wait() {
    let mock = provider();
    for lane in lanes(&mock) {
        let (gateway, key) = with_lane(&lane);
        // Whoever needs a token has one before the provider is told to refuse.
        let (_, first) = questions(&lane, false).remove(0);
        gateway.call(&first.with(&key)).fine(200);
        for (surface, question) in questions(&lane, false) {
            let at = format!("{surface} on {} {}", lane.kind, lane.model);
            once(&mock, &json!({"status": 429, "retry_after": "7"}));
            let answer = gateway.call(&question.with(&key));
            assert_eq!(answer.status(), 429, "{at}: {}", answer.text());
            assert_eq!(answer.header("retry-after"), Some("7"), "{at}");
            let body = answer.json();
            let message = body["error"]["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty(), "{at}: {body}");
            match surface {
                "messages" => assert_eq!(body["error"]["type"], "rate_limit_error", "{at}: {body}"),
                "gemini" => assert_eq!(
                    body["error"]["status"], "RESOURCE_EXHAUSTED",
                    "{at}: {body}"
                ),
                _ => assert!(body["error"]["type"].is_string(), "{at}: {body}"),
            }
            let entry = gateway.book().ended(&answer.request_id());
            assert_eq!(entry.kind, EntryKind::Release, "{at}: {entry:?}");
        }
    }
}

#[test]
fn claude_on_another_cloud_gets_no_query_and_no_seal_of_another_vendor() {
    let mock = provider();
    let lane = vertex(&mock, "claude-haiku-4-5@20251001");
    let (gateway, key) = with_lane(&lane);
    let body = json!({
        "model": format!("vertex/{}", lane.model), "max_tokens": 500,
        "messages": [
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "lw1.openai.gAAAAB"},
                {"type": "text", "text": "Let me check."},
            ]},
            {"role": "user", "content": "And?"},
        ],
    });
    let answer = gateway.call(&Ask::post("/v1/messages?beta=true", &key.secret, body));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = format!("{:?}", mock.requests().pop().expect("a request"));
    assert!(
        seen.contains("rawPredict") && seen.contains("Let me check."),
        "{seen}"
    );
    assert!(
        !seen.contains("beta=true") && !seen.contains("lw1."),
        "{seen}"
    );
}

#[test]
fn a_gemini_stream_without_events_is_a_json_list_whoever_answers() {
    let mock = provider();
    for lane in [&lanes(&mock)[0], &gemini(&mock)] {
        let (gateway, key) = with_lane(lane);
        let (_, question) = questions(lane, true).remove(3);
        let path = question.path.trim_end_matches("?alt=sse").to_owned();
        let answer = gateway.call(&Ask::post(
            &format!("{path}?key={}", key.secret),
            "",
            &question.body,
        ));
        let at = format!("{}: {}", lane.kind, answer.text());
        assert_eq!(answer.status(), 200, "{at}");
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{kind}: {at}");
        let list = answer.json();
        let last = list.as_array().and_then(|list| list.last());
        let reason = last.and_then(|last| last.pointer("/candidates/0/finishReason"));
        assert_eq!(reason, Some(&json!("STOP")), "{at}");
        let truth = mock.truth().pop().expect("a generation");
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!(entry.usage, usage(&truth.usage), "{at}");
    }
}

#[test]
fn a_credential_that_a_provider_echoes_is_not_passed_on_even_when_it_was_fetched() {
    let mock = provider();
    for lane in lanes(&mock) {
        let (gateway, key) = with_lane(&lane);
        let (_, first) = questions(&lane, false).remove(0);
        gateway.call(&first.with(&key)).fine(200);
        for (surface, question) in questions(&lane, false) {
            once(&mock, &json!({"echo_credential_in_error": true}));
            let answer = gateway.call(&question.with(&key));
            let (status, text) = (answer.status(), answer.text());
            let at = format!("{surface} on {} {}: {text}", lane.kind, lane.model);
            assert_eq!(status, 401, "{at}");
            // A signature is no secret; everything else is cut out where it stood.
            assert!(
                text.contains("[redacted]") || lane.kind == "bedrock",
                "{at}"
            );
            for secret in [
                "mock-secret",
                "ya29.",
                "sk-lane-secret",
                "BEGIN PRIVATE KEY",
            ] {
                assert!(!text.contains(secret), "{at}");
            }
        }
    }
}

/// Streams that end badly in the provider's own framing, for callers of other dialects: one terminal frame,
/// and a bill that is an estimate.
#[test]
fn a_stream_that_breaks_in_the_clouds_framing_ends_with_one_frame_and_an_estimate() {
    let mock = provider();
    let faults = [
        json!({"text": "one two three four five six", "bad_crc_after_frames": 3}),
        json!({"text": "one two three four five six", "cut_frame_after_frames": 3}),
        json!({"text": "one two three four five six", "reset_after_frames": 3}),
    ];
    let lane = bedrock(&mock);
    let (gateway, key) = with_lane(&lane);
    for fault in faults {
        for (surface, question) in questions(&lane, true) {
            once(&mock, &fault);
            let mut stream = gateway.stream(&question.with(&key));
            let id = stream.request_id();
            let (body, whole) = stream.rest();
            let body = text(&body);
            let at = format!("{surface}, {fault}: {body}");
            assert!(whole, "the answer ends as HTTP wants it: {at}");
            assert_eq!(body.matches("\"error\":{").count(), 1, "{at}");
            assert!(
                body.trim_end().ends_with('}'),
                "nothing after the failure: {at}"
            );
            assert!(
                !body.contains("[DONE]") && !body.contains("message_stop"),
                "{at}"
            );
            let entry = gateway.book().ended(&id);
            assert_eq!(entry.certainty, Certainty::Estimated, "{at}");
        }
    }
}

#[test]
fn a_thousand_calls_at_once_make_one_exchange_for_a_token() {
    let mock = provider();
    let lane = vertex(&mock, "gemini-2.5-flash");
    let (gateway, key) = with_lane(&lane);
    let (gateway, key) = (Arc::new(gateway), Arc::new(key));
    let question = Arc::new(questions(&lane, false).remove(0).1);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (gateway, key, question) = (gateway.clone(), key.clone(), question.clone());
            std::thread::spawn(move || {
                for _ in 0..20 {
                    let answer = gateway.call(&question.with(&key));
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().expect("a caller");
    }
    let stats = mock_get(&mock, "/_mock/stats");
    assert_eq!(stats["token_exchanges"], 1, "{stats}");
}

#[test]
fn a_caller_that_leaves_a_translated_stream_ends_the_providers() {
    let mock = provider();
    let lane = bedrock(&mock);
    let (gateway, key) = with_lane(&lane);
    let (_, question) = questions(&lane, true).remove(0);
    once(&mock, &json!({"text": "word ".repeat(2_000), "pace_ms": 5}));
    let mut stream = gateway.stream(&question.with(&key));
    let id = stream.request_id();
    stream.until("word");
    drop(stream);
    eventually("the provider sees the caller leave", || {
        (mock.disconnects() > 0).then_some(())
    });
    let entry = gateway.book().ended(&id);
    assert_eq!(entry.certainty, Certainty::Estimated, "{entry:?}");
    assert!(entry.amount > NanoUsd::ZERO, "{entry:?}");
}

#[test]
fn pictures_are_fetched_for_providers_that_cannot_but_never_from_the_inside() {
    let mock = provider();
    let lane = bedrock(&mock);
    let gateway = Gateway::builder()
        .env(
            "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS",
            &format!("{}/32", mock.addr().ip()),
        )
        .start();
    gateway.create_provider(&json!({
        "provider": lane.kind, "name": "the lane", "custom_keys": lane.keys,
        "provider_config": lane.config,
    }));
    let key = gateway.create_key();
    let body = |url: &str| {
        json!({
            "model": format!("bedrock/{}", lane.model),
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": url}},
            ]}],
        })
    };
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/cat.png",
        "http://metadata.google.internal/x",
        "file:///etc/passwd",
        "ftp://example.com/cat.png",
    ] {
        let before = mock.requests().len();
        let ask = Ask::post("/v1/chat/completions", &key.secret, body(url));
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 400, "{url}: {}", answer.text());
        assert_eq!(mock.requests().len(), before, "{url}");
    }
}
