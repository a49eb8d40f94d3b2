//! Who asks, in which trace, under which name: what callers say about a request and where it turns up.

use lw_store::trace::TraceRecord;
use serde_json::{Value, json};

use crate::support::{Ask, Gateway, Stream, chat, chat_stream, messages, once, responses};

const CHAT: &str = "/v1/chat/completions";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const OTHER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Headers, the trace that the span must be in (`None`: a new one), and its parent.
type Case<'a> = (Vec<(&'a str, &'a str)>, Option<&'a str>, Option<&'a str>);

#[test]
fn the_customer_span_nests_in_the_trace_that_the_caller_names() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let w3c = format!("00-{TRACE}-{SPAN}-01");
    let future = format!("cc-{TRACE}-{SPAN}-00-more");
    let upper = w3c.to_uppercase();
    let zero = format!("00-{}-{SPAN}-01", "0".repeat(32));
    let no_span = format!("00-{TRACE}-{}-01", "0".repeat(16));
    let long = format!("{w3c}-x");
    let cases: Vec<Case<'_>> = vec![
        (vec![], None, None),
        (vec![("traceparent", &w3c)], Some(TRACE), Some(SPAN)),
        (vec![("traceparent", &future)], Some(TRACE), Some(SPAN)),
        (vec![("X-LangWatch-Trace-Id", OTHER)], Some(OTHER), None),
        (
            vec![
                ("X-LangWatch-Trace-Id", OTHER),
                ("X-LangWatch-Parent-Span-Id", SPAN),
            ],
            Some(OTHER),
            Some(SPAN),
        ),
        (
            vec![
                ("traceparent", &w3c),
                ("X-LangWatch-Parent-Span-Id", "00f067aa0ba902b7"),
            ],
            Some(TRACE),
            Some("00f067aa0ba902b7"),
        ),
        // The parent of one trace is no parent in another.
        (
            vec![("traceparent", &w3c), ("X-LangWatch-Trace-Id", OTHER)],
            Some(OTHER),
            None,
        ),
        (vec![("traceparent", &upper)], None, None),
        (vec![("traceparent", &zero)], None, None),
        (vec![("traceparent", &no_span)], None, None),
        (vec![("traceparent", &long)], None, None),
        (vec![("traceparent", "nonsense")], None, None),
        (
            vec![("X-LangWatch-Trace-Id", "xyz"), ("traceparent", &w3c)],
            Some(TRACE),
            Some(SPAN),
        ),
        (
            vec![("X-LangWatch-Trace-Id", "00000000000000000000000000000000")],
            None,
            None,
        ),
        (vec![("X-LangWatch-Parent-Span-Id", SPAN)], None, None),
    ];
    for (headers, trace, parent) in cases {
        let mut ask = Ask::post(CHAT, &key.secret, chat("hi")).header("tracestate", "a=1,b=2");
        for (name, value) in &headers {
            ask = ask.header(name, value);
        }
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{headers:?}");
        let told = answer
            .header("x-langwatch-trace-id")
            .expect("a trace id")
            .to_owned();
        let span = answer
            .header("x-langwatch-span-id")
            .expect("a span id")
            .to_owned();
        match trace {
            Some(trace) => assert_eq!(told, trace, "{headers:?}"),
            None => assert!(
                told != TRACE && told != OTHER && told.len() == 32,
                "{headers:?} {told}"
            ),
        }
        let expected = format!("00-{told}-{span}-01");
        assert_eq!(answer.header("traceparent"), Some(expected.as_str()));
        let stored = book.trace(&answer.request_id());
        assert_eq!(stored.trace_id.to_string(), told, "{headers:?}");
        assert_eq!(stored.span_id.to_string(), span, "{headers:?}");
        assert_eq!(
            stored.parent_span_id.map(|id| id.to_string()).as_deref(),
            parent,
            "{headers:?}"
        );
        assert_eq!(stored.facts.tracestate.as_deref(), Some("a=1,b=2"));
        let seen = mock.requests().pop().expect("a request");
        assert!(
            !seen.headers.contains_key("traceparent") && !seen.headers.contains_key("tracestate")
        );
    }
}

#[test]
fn two_calls_of_one_trace_are_shown_together_and_each_is_billed_once() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let ask =
                Ask::post(CHAT, &key.secret, chat("hi")).header("X-LangWatch-Trace-Id", OTHER);
            gateway.call(&ask).request_id()
        })
        .collect();
    let cost: i64 = ids.iter().map(|id| book.ended(id).amount.0).sum();
    for id in &ids {
        book.trace(id);
    }
    let trace = gateway
        .api("GET", &format!("/api/traces/{OTHER}"), None)
        .fine(200);
    let shown: Vec<&Value> = trace["metadata"]["gateway_request_ids"]
        .as_array()
        .expect("ids")
        .iter()
        .collect();
    assert_eq!(shown.len(), 2, "{trace}");
    let total = trace["metrics"]["total_cost"].as_f64().expect("a cost");
    let expected = lw_core::NanoUsd(cost)
        .to_string()
        .parse::<f64>()
        .expect("a number");
    assert!((total - expected).abs() < 1e-9, "{total} {expected}");
}

#[test]
fn a_callers_own_request_id_is_echoed_and_never_adopted() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let mut minted = Vec::new();
    for _ in 0..2 {
        once(&mock, &json!({"headers": {"x-request-id": "vendor-1"}}));
        let ask = Ask::post(CHAT, &key.secret, chat("hi")).header("X-Request-Id", "mine-1");
        let answer = gateway.call(&ask);
        assert_eq!(answer.header("x-request-id"), Some("mine-1"));
        assert_eq!(answer.header("x-upstream-request-id"), Some("vendor-1"));
        let id = answer.request_id();
        assert_eq!(
            book.trace(&id).facts.client_request_id.as_deref(),
            Some("mine-1")
        );
        book.ended(&id);
        minted.push(id);
    }
    assert_ne!(
        minted[0], minted[1],
        "one id of the caller, two requests, two bills"
    );
    // Also where nobody was asked.
    let refused =
        gateway.call(&Ask::post(CHAT, "nobody", chat("hi")).header("X-Request-Id", "mine-2"));
    assert_eq!(refused.header("x-request-id"), Some("mine-2"));
    let plain = gateway.call(&Ask::post(CHAT, "nobody", chat("hi")));
    assert_eq!(
        plain.header("x-request-id"),
        Some(plain.request_id().as_str())
    );
    let probe = gateway.call(&Ask::get("/healthz").header("X-Request-Id", "mine-3"));
    assert_eq!(probe.header("x-request-id"), Some("mine-3"));
}

#[test]
fn the_end_user_is_the_first_one_named_and_goes_into_the_bill() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let with_user = |mut body: Value| {
        body["user"] = json!("body-user");
        body
    };
    let long = "é".repeat(300);
    let cut = "é".repeat(256);
    for (path, body, headers, expected) in [
        (CHAT, chat("hi"), vec![], None),
        (CHAT, with_user(chat("hi")), vec![], Some("body-user")),
        (
            CHAT,
            with_user(chat("hi")),
            vec![("X-Litellm-End-User-Id", "lite")],
            Some("lite"),
        ),
        (
            CHAT,
            with_user(chat("hi")),
            vec![
                ("X-Litellm-End-User-Id", "lite"),
                ("X-LangWatch-End-User-Id", " own "),
            ],
            Some("own"),
        ),
        (
            CHAT,
            with_user(chat("hi")),
            vec![("X-LangWatch-End-User-Id", "   ")],
            Some("body-user"),
        ),
        (
            CHAT,
            chat("hi"),
            vec![("X-LangWatch-End-User-Id", long.as_str())],
            Some(cut.as_str()),
        ),
        (
            "/v1/responses",
            with_user(responses("hi", true)),
            vec![],
            Some("body-user"),
        ),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": "x", "user": "embedder"}),
            vec![],
            Some("embedder"),
        ),
    ] {
        let mut ask = Ask::post(path, &key.secret, &body);
        for (name, value) in &headers {
            ask = ask.header(name, value);
        }
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let entry = book.ended(&answer.request_id());
        assert_eq!(
            entry.detail.end_user_id.as_deref(),
            expected,
            "{path} {headers:?}"
        );
        let trace = book.trace(&answer.request_id());
        assert_eq!(
            trace.facts.end_user_id.as_deref(),
            expected,
            "{path} {headers:?}"
        );
        let seen = mock.requests().pop().expect("a request");
        assert!(
            !seen.headers.keys().any(|name| name.contains("end-user")),
            "{seen:?}"
        );
    }
}

#[test]
fn metadata_sessions_and_clients_are_noted_and_bad_ones_dropped() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let labelled =
        gateway.create_key_with(json!({"config": {"metadata": {"tags": ["prod", "eu"]}}}));
    let book = gateway.book();
    let note = |ask: Ask| -> (TraceRecord, lw_store::ledger::Entry) {
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        (
            book.trace(&answer.request_id()),
            book.ended(&answer.request_id()),
        )
    };
    let metadata = r#"{"ticket": 7, "big":123456789012345678901}"#;
    let ask = Ask::post(CHAT, &labelled.secret, chat("hi"))
        .header("X-LangWatch-Metadata", metadata)
        .header("X-LangWatch-Trace-Metadata", r#"{"run":"nightly"}"#)
        .header("X-LangWatch-Thread-Id", "thread-1")
        .header("User-Agent", "OpenAI/Python 2.54.0")
        .header("X-LangWatch-Principal", "root");
    let (trace, entry) = note(ask);
    assert_eq!(entry.detail.metadata.as_deref(), Some(metadata), "verbatim");
    assert_eq!(entry.detail.labels, ["prod", "eu"]);
    assert_eq!(trace.facts.request_metadata.as_deref(), Some(metadata));
    assert_eq!(
        trace.facts.trace_metadata.as_deref(),
        Some(r#"{"run":"nightly"}"#)
    );
    assert_eq!(trace.facts.thread_id.as_deref(), Some("thread-1"));
    assert_eq!(trace.facts.conversation_id.as_deref(), Some("thread-1"));
    assert_eq!(trace.facts.client_name.as_deref(), Some("openai-python"));

    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096));
    for bad in ["[1]", "{", "7", large.as_str()] {
        let (trace, entry) =
            note(Ask::post(CHAT, &key.secret, chat("hi")).header("X-LangWatch-Metadata", bad));
        assert_eq!(
            (entry.detail.metadata, trace.facts.request_metadata),
            (None, None),
            "{bad:.20}"
        );
    }

    let mut claude = messages("hi", false);
    claude["metadata"] = json!({"user_id": r#"{"device_id":"d","session_id":"sess-in-body"}"#});
    let (trace, entry) = note(
        Ask::post("/v1/messages?beta=true", &key.secret, &claude)
            .header("User-Agent", "claude-cli/2.1.197 (external, cli)"),
    );
    assert_eq!(trace.facts.conversation_id.as_deref(), Some("sess-in-body"));
    assert_eq!(trace.facts.client_name.as_deref(), Some("claude-code"));
    assert_eq!(
        entry.detail.end_user_id, None,
        "`metadata.user_id` is no end user"
    );
    let (trace, _) = note(
        Ask::post("/v1/messages", &key.secret, &claude)
            .header("Session-Id", "third")
            .header("X-Session-Affinity", "second")
            .header("X-Claude-Code-Session-Id", "first"),
    );
    assert_eq!(trace.facts.conversation_id.as_deref(), Some("first"));
    let mut codex = responses("hi", false);
    codex["prompt_cache_key"] = json!("cache-key");
    let (trace, _) = note(Ask::post("/v1/responses", &key.secret, &codex));
    assert_eq!(trace.facts.conversation_id.as_deref(), Some("cache-key"));
}

#[test]
fn what_is_captured_is_what_the_key_allows() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let silent = gateway.create_key_with(json!({"config": {"capturePayload": "none"}}));
    let shown = |secret: &str| {
        let canary = "captured-or-not";
        let mut stream: Stream = gateway.stream(&Ask::post(CHAT, secret, chat_stream(canary)));
        stream.rest();
        let id = stream.request_id();
        gateway.book().trace(&id);
        let text = gateway
            .api("GET", &format!("/api/traces/{id}"), None)
            .text();
        text.contains(canary)
    };
    assert!(shown(&key.secret));
    assert!(!shown(&silent.secret));
}
