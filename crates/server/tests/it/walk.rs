//! The walk of the migration guide: from an empty folder to a served, billed and traced call, and the
//! life of keys afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lw_mock::key_digest;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Answer, Ask, Conn, Gateway, Key, chat, chat_stream, eventually, messages, parsed, provider,
    responses, sha256, text,
};

/// The headers that every answer of the customer surface carries.
const EVERY: [&str; 7] = [
    "x-langwatch-request-id",
    "x-langwatch-gateway-request-id",
    "x-request-id",
    "x-langwatch-gateway-version",
    "x-langwatch-trace-id",
    "x-langwatch-span-id",
    "traceparent",
];

pub(crate) fn has_the_headers_of_a_dispatched_answer(answer: &Answer, kind: &str, model: &str) {
    for name in EVERY {
        assert!(answer.header(name).is_some(), "{name}: {:?}", answer.head);
    }
    let id = answer.request_id();
    assert!(id.len() == 34 && id.starts_with("req_"), "{id}");
    assert_eq!(
        answer.header("x-langwatch-gateway-request-id"),
        Some(id.as_str())
    );
    let trace = answer.header("x-langwatch-trace-id").unwrap_or_default();
    let span = answer.header("x-langwatch-span-id").unwrap_or_default();
    let parent = format!("00-{trace}-{span}-01");
    assert_eq!(answer.header("traceparent"), Some(parent.as_str()));
    assert_eq!(answer.header("x-langwatch-provider"), Some(kind));
    assert_eq!(answer.header("x-langwatch-model"), Some(model));
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("0"));
    assert_eq!(answer.header("x-langwatch-cache-mode"), Some("respect"));
    assert_eq!(answer.header("x-langwatch-handled-error"), None);
}

#[test]
fn the_migration_guide_works_as_it_is_written() {
    let mock = provider();
    let gateway = Gateway::start();
    for (kind, base) in [
        ("openai", format!("{}/v1", mock.base_url())),
        ("anthropic", mock.base_url()),
    ] {
        let upper = kind.to_uppercase();
        let key = format!("{upper}_API_KEY=sk-guide-{kind}-credential");
        let url = format!("{upper}_BASE_URL={base}");
        let scope = "org:acme";
        let arguments = [
            "model-provider",
            "create",
            "--provider",
            kind,
            "--scope",
            scope,
            "--key",
            &key,
            "--key",
            &url,
            "--format",
            "json",
        ];
        gateway.cli(&arguments).json();
    }
    let arguments = [
        "virtual-keys",
        "create",
        "--name",
        "dev-migration",
        "--env",
        "live",
        "--scope",
        "ORG:acme",
        "--format",
        "json",
    ];
    let minted = gateway.cli(&arguments).json();
    let secret = minted["secret"]
        .as_str()
        .expect("the secret, once")
        .to_owned();
    assert!(
        secret.starts_with("vk-lw-") && secret.len() == 32,
        "{secret}"
    );
    let listed = gateway
        .cli(&["virtual-keys", "list", "--format", "json"])
        .stdout;
    assert!(
        listed.contains("dev-migration") && !listed.contains(&secret),
        "{listed}"
    );

    let book = gateway.book();
    for (path, kind, body) in [
        ("/v1/chat/completions", "openai", chat("Say one two three.")),
        (
            "/v1/chat/completions",
            "openai",
            chat_stream("Say one two three."),
        ),
        (
            "/v1/messages",
            "anthropic",
            messages("Say one two three.", false),
        ),
        (
            "/v1/messages",
            "anthropic",
            messages("Say one two three.", true),
        ),
        (
            "/v1/responses",
            "openai",
            responses("Say one two three.", false),
        ),
        (
            "/v1/responses",
            "openai",
            responses("Say one two three.", true),
        ),
        (
            "/v1/embeddings",
            "openai",
            json!({"model": "text-embedding-3-small", "input": ["one two", "three"]}),
        ),
    ] {
        let model = body["model"].as_str().expect("a model").to_owned();
        let mut ask = Ask::post(path, &secret, &body);
        if kind == "anthropic" {
            ask = ask.header("anthropic-version", "2026-10-21");
        }
        let answer = gateway.call(&ask);
        let at = format!("{path} {body}");
        assert_eq!(answer.status(), 200, "{at}: {}", answer.text());
        has_the_headers_of_a_dispatched_answer(&answer, kind, &model);
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(
            sha256(&answer.body),
            truth.body_sha256,
            "{at}: {}",
            answer.text()
        );
        let seen = mock.requests().pop().expect("a request");
        let header = if kind == "anthropic" {
            "x-api-key"
        } else {
            "authorization"
        };
        let credential = key_digest(&format!("sk-guide-{kind}-credential"));
        assert_eq!(seen.headers.get(header), Some(&credential), "{at}");
        assert!(!format!("{seen:?}").contains(&secret), "{at}");
        let cache = answer.header("x-langwatch-cache");
        if body["stream"] == true {
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("text/event-stream"), "{at}: {kind}");
            assert_eq!(answer.header("cache-control"), Some("no-cache"), "{at}");
            assert_eq!(answer.header("connection"), Some("keep-alive"), "{at}");
            assert_eq!(cache, None, "{at}");
        } else {
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{at}"
            );
            assert_eq!(cache, Some("miss"), "{at}");
        }
        book.charged_exactly(&answer.request_id(), kind, &truth);
        let trace = book.trace(&answer.request_id());
        assert_eq!(trace.facts.status, "success", "{at}");
        assert_eq!(trace.facts.streaming, body["stream"] == true, "{at}");
        assert_eq!(
            Some(trace.trace_id.to_string().as_str()),
            answer.header("x-langwatch-trace-id")
        );
    }
}

#[test]
fn counting_tokens_is_served_and_never_billed() {
    let (gateway, mock, key) = Gateway::with_provider();
    let body =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "one two"}]});
    let ask = Ask::post("/v1/messages/count_tokens", &key.secret, &body);
    let answer = gateway.call(&ask);
    assert_eq!(answer.fine(200)["input_tokens"], 2);
    has_the_headers_of_a_dispatched_answer(&answer, "anthropic", "claude-haiku-4-5");
    assert_eq!(mock.requests()[0].path, "/v1/messages/count_tokens");
    let other = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, chat("hi")));
    let book = gateway.book();
    book.ended(&other.request_id());
    assert_eq!(book.entries(&answer.request_id()), []);
}

#[test]
fn a_trace_is_found_by_its_request_id_over_rest_and_command_line() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let ask = Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat("Say hi to the tracer."),
    );
    let answer = gateway.call(&ask);
    let id = answer.request_id();
    let path = format!("/api/traces/{id}");
    let trace = eventually("the trace is found", || {
        let got = gateway.api("GET", &path, None);
        (got.status() == 200).then(|| got.json())
    });
    assert_eq!(
        trace["trace_id"].as_str(),
        answer.header("x-langwatch-trace-id")
    );
    assert_eq!(trace["input"]["value"], "Say hi to the tracer.");
    let span = &trace["spans"][0];
    assert_eq!(
        span["span_id"].as_str(),
        answer.header("x-langwatch-span-id")
    );
    assert_eq!(
        span["attributes"]["langwatch.gateway_request_id"],
        id.as_str()
    );
    let said = answer.json()["choices"][0]["message"]["content"].clone();
    assert_eq!(trace["output"]["value"], said);

    let told = gateway
        .cli(&["trace", "get", &id, "--format", "json"])
        .json();
    assert_eq!(told["trace_id"], trace["trace_id"], "{told}");
    let found = gateway.cli(&["trace", "search", "--format", "json"]).stdout;
    let trace_id = trace["trace_id"].as_str().unwrap_or_default();
    assert!(found.contains(trace_id), "{found}");

    let request = gateway
        .api("GET", &format!("/api/gateway/v1/requests/{id}"), None)
        .fine(200);
    let entry = gateway.book().ended(&id);
    assert_eq!(request["cost"]["nano_usd"], entry.amount.0);
    assert_eq!(request["status"], "success");
}

#[test]
fn a_trace_is_there_within_a_second_and_the_spend_adds_up() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let mut ids = Vec::new();
    // A busy machine may be late once; a product that is late is late every time.
    let fastest = (0..5).map(|_| {
        let answer = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, chat("hi")));
        let began = Instant::now();
        book.trace(&answer.request_id());
        ids.push(answer.request_id());
        began.elapsed()
    });
    let fastest = fastest.min().expect("five");
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    let total: i64 = ids.iter().map(|id| book.ended(id).amount.0).sum();
    let path = format!("/api/gateway/v1/virtual-keys/{}/spend", key.id);
    let spend = gateway.api("GET", &path, None).fine(200);
    assert_eq!(spend["spent_usd"], lw_core::NanoUsd(total).to_string());
    assert_eq!(spend["requests"], 5);
    assert_eq!(mock.truth().len(), 5);
}

#[test]
fn provider_keys_rotate_under_load_and_no_application_notices() {
    let mock = provider();
    let gateway = Gateway::start();
    let id = gateway.openai(&mock, "sk-old-provider-key");
    let key = gateway.create_key();
    mock.valid_keys(["sk-old-provider-key", "sk-new-provider-key"]);
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (stop.clone(), served.clone());
            let (addr, secret) = (gateway.addr, key.secret.clone());
            std::thread::spawn(move || {
                let mut conn = Conn::open(addr);
                while !stop.load(Ordering::Relaxed) {
                    let ask = Ask::post("/v1/chat/completions", &secret, chat("hi"));
                    let answer = conn.call(&ask);
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = |count: u64| {
        let from = served.load(Ordering::Relaxed);
        eventually("calls go on", || {
            let died = callers.iter().any(std::thread::JoinHandle::is_finished);
            (died || served.load(Ordering::Relaxed) >= from + count).then_some(())
        });
    };
    more(40);
    gateway.patch_provider(
        &id,
        &json!({"custom_keys": {"OPENAI_API_KEY": "sk-new-provider-key"}}),
    );
    // From here on no new call may use the old one; those in flight have it already.
    more(40);
    mock.valid_keys(["sk-new-provider-key"]);
    more(40);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("no call failed");
    }
    let last = mock.requests().pop().expect("a request");
    assert_eq!(
        last.headers.get("authorization"),
        Some(&key_digest("sk-new-provider-key"))
    );
    let shown = gateway
        .api(
            "GET",
            &format!("/api/gateway/v1/model-providers/{id}"),
            None,
        )
        .text();
    assert!(!shown.contains("provider-key"), "{shown}");
}

fn says(gateway: &Gateway, secret: &str) -> (u16, String) {
    let answer = gateway.call(&Ask::post("/v1/chat/completions", secret, chat("hi")));
    if answer.status() == 200 {
        (200, String::new())
    } else {
        answer.code()
    }
}

#[test]
fn a_rotated_key_works_with_both_secrets() {
    let (gateway, _mock, key) = Gateway::with_provider();
    assert_eq!(says(&gateway, &key.secret).0, 200);
    let rotated = gateway.act(&key, "rotate");
    let new = rotated["secret"]
        .as_str()
        .expect("the new secret")
        .to_owned();
    assert_ne!(new, key.secret);
    assert_eq!(says(&gateway, &new).0, 200);
    assert_eq!(says(&gateway, &key.secret).0, 200);
    let new = Key {
        secret: new,
        ..key.clone()
    };
    gateway.act(&new, "revoke");
    let revoked = (403, "virtual_key_revoked".to_owned());
    assert_eq!(says(&gateway, &new.secret), revoked);
    // A revoke clears the previous secret: nobody knows it any more.
    let unknown = (401, "invalid_api_key".to_owned());
    assert_eq!(says(&gateway, &key.secret), unknown);
}

#[test]
fn what_happens_to_a_key_holds_from_the_next_request_on() {
    let (gateway, mock, key) = Gateway::with_provider();
    assert_eq!(says(&gateway, &key.secret).0, 200);
    gateway.act(&key, "disable");
    assert_eq!(
        says(&gateway, &key.secret),
        (403, "virtual_key_disabled".to_owned())
    );
    gateway.act(&key, "enable");
    assert_eq!(says(&gateway, &key.secret).0, 200);

    let dated = |date: Value| gateway.patch_key(&key, &json!({"expires_at": date}));
    let soon = lw_core::UnixMicros(lw_core::Clock::now(&lw_core::SystemClock).0 + 1_500_000);
    dated(json!(soon.to_rfc3339())).fine(200);
    assert_eq!(says(&gateway, &key.secret).0, 200);
    eventually("the date passes", || {
        (says(&gateway, &key.secret) == (403, "virtual_key_expired".to_owned())).then_some(())
    });
    dated(Value::Null).fine(200);
    assert_eq!(says(&gateway, &key.secret).0, 200);

    gateway.act(&key, "revoke");
    let before = mock.requests().len();
    assert_eq!(
        says(&gateway, &key.secret),
        (403, "virtual_key_revoked".to_owned())
    );
    assert_eq!(
        mock.requests().len(),
        before,
        "a refused call reaches no provider"
    );
}

#[test]
fn an_event_stream_is_read_by_its_client_as_it_is_sent() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let ask = Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat_stream("one two three"),
    );
    let answer = gateway.call(&ask);
    let body = text(&answer.body);
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    let events: Vec<&str> = body
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .collect();
    let usage = events
        .get(events.len() - 2)
        .and_then(|event| event.strip_prefix("data: "));
    let usage = parsed(usage.expect("the event before the end"));
    assert_eq!(
        usage["choices"],
        json!([]),
        "the last chunk has no choices and the usage"
    );
    assert!(usage["usage"]["prompt_tokens"].is_u64(), "{usage}");
}
