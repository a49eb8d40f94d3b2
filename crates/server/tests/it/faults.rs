//! A provider that fails in each way that providers fail, and callers that leave: what each side sees,
//! and that the bill has exactly one outcome, which is right.

use lw_core::{NanoUsd, Usage};
use lw_mock::{MockConfig, MockProvider};
use lw_store::ledger::{Certainty, EntryKind};
use serde_json::{Value, json};

use crate::support::{
    Answer, Ask, Book, Conn, Gateway, chat, chat_stream, eventually, messages, once, price,
    responses, sha256, usage, whenever,
};

const CHAT: &str = "/v1/chat/completions";

/// The three dialects: path, body, provider, and the frame that ends a broken stream.
fn streams() -> [(&'static str, Value, &'static str, &'static str); 3] {
    [
        (
            CHAT,
            chat_stream("tell me"),
            "openai",
            r#"{"error":{"type":"provider_error","code":"upstream_mid_stream_failure","message":"#,
        ),
        (
            "/v1/messages",
            messages("tell me", true),
            "anthropic",
            r#"{"type":"error","error":{"type":"api_error","code":"upstream_mid_stream_failure","message":"#,
        ),
        (
            "/v1/responses",
            responses("tell me", true),
            "openai",
            r#"{"type":"error","error":{"type":"provider_error","code":"upstream_mid_stream_failure","message":"#,
        ),
    ]
}

/// Nothing was charged: the hold went back, and the outcome says why.
fn released(book: &Book, request_id: &str, error: &str) {
    let entry = book.ended(request_id);
    assert_eq!(
        (entry.kind, entry.amount),
        (EntryKind::Release, NanoUsd::ZERO),
        "{entry:?}"
    );
    assert_eq!(entry.detail.error_type.as_deref(), Some(error), "{entry:?}");
    let trace = book.trace(request_id);
    assert!(trace.error, "{trace:?}");
}

/// An estimate, between what was delivered and the hold.
fn estimated(book: &Book, request_id: &str, kind: &str, truth: &lw_mock::Truth) {
    let entry = book.ended(request_id);
    assert_eq!(
        (entry.kind, entry.certainty),
        (EntryKind::Settle, Certainty::Estimated),
        "{entry:?}"
    );
    let delivered = Usage {
        output: truth.delivered_tokens,
        ..Usage::default()
    };
    let least = price(kind, &truth.model, &delivered);
    let hold = book.hold(request_id);
    assert!(
        least <= entry.amount && entry.amount <= hold,
        "{least:?} {hold:?} {entry:#?}"
    );
    assert!(entry.amount > NanoUsd::ZERO, "{entry:#?}");
    assert!(
        entry.usage.output >= truth.delivered_tokens,
        "{entry:#?} {truth:#?}"
    );
}

/// A failure of the provider, told by us.
fn ours(answer: &Answer, status: u16, code: &str, path: &str) {
    assert_eq!(
        answer.code(),
        (status, code.to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("x-langwatch-handled-error"), Some(code));
    let error = &answer.json()["error"];
    assert_eq!(error["fault"], "provider", "{error}");
    let top = if path == "/v1/messages" {
        json!("error")
    } else {
        Value::Null
    };
    assert_eq!(answer.json()["type"], top);
}

#[test]
fn errors_of_the_provider_are_passed_on_as_they_came() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (status, name) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "model_not_found"),
        (409, "conflict"),
        (413, "request_too_large"),
        (422, "unprocessable"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
        (503, "overloaded"),
        (529, "overloaded_error"),
    ] {
        for (path, body, kind) in [
            (CHAT, chat("hi"), "openai"),
            (CHAT, chat_stream("hi"), "openai"),
            ("/v1/messages", messages("hi", true), "anthropic"),
        ] {
            let how = json!({
                "status": status, "error_type": name, "error_message": "says the vendor é",
                "retry_after": "7", "headers": {"x-should-retry": "true"},
            });
            once(&mock, &how);
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            let at = format!("{status} {path}: {}", answer.text());
            let truth = mock.truth().pop().expect("a call");
            assert_eq!(answer.status(), status, "{at}");
            assert_eq!(sha256(&answer.body), truth.body_sha256, "{at}");
            assert_eq!(answer.header("retry-after"), Some("7"), "{at}");
            assert_eq!(answer.header("x-should-retry"), Some("true"), "{at}");
            assert_eq!(answer.header("x-langwatch-provider"), Some(kind), "{at}");
            assert_eq!(answer.header("x-langwatch-handled-error"), None, "{at}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{at}"
            );
            let entry = book.ended(&answer.request_id());
            assert_eq!(
                (entry.kind, entry.amount),
                (EntryKind::Release, NanoUsd::ZERO),
                "{at}"
            );
            assert_eq!(entry.detail.http_status, Some(status), "{at}");
        }
    }
}

#[test]
fn our_credential_never_reaches_the_caller_even_when_the_provider_repeats_it() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (path, body, credential) in [
        (CHAT, chat("hi"), "sk-mock-openai-credential"),
        (CHAT, chat_stream("hi"), "sk-mock-openai-credential"),
        (
            "/v1/messages",
            messages("hi", false),
            "sk-mock-anthropic-credential",
        ),
    ] {
        once(
            &mock,
            &json!({"status": 401, "echo_credential_in_error": true}),
        );
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        assert_eq!(answer.status(), 401);
        let said = format!("{:?} {}", answer.head, answer.text());
        assert!(
            !said.contains(credential) && said.contains("[redacted]"),
            "{said}"
        );
        let shown = gateway.api("GET", &format!("/api/traces/{}", answer.request_id()), None);
        assert!(!shown.text().contains(credential), "{}", shown.text());
    }
    assert!(!gateway.stdout().contains("sk-mock-"), "nor does a log");
}

#[test]
fn a_provider_that_breaks_off_before_its_head_is_a_502() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for how in [
        json!({"reset_before_head": true}),
        json!({"close_before_head": true}),
    ] {
        for (path, body) in [
            (CHAT, chat("hi")),
            (CHAT, chat_stream("hi")),
            ("/v1/messages", messages("hi", false)),
            ("/v1/responses", responses("hi", true)),
        ] {
            let before = mock.requests().len();
            once(&mock, &how);
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            ours(&answer, 502, "provider_error", path);
            let entry = book.ended(&answer.request_id());
            assert_eq!(entry.detail.error_type.as_deref(), Some("provider_error"));
            assert_eq!(
                entry.certainty,
                Certainty::Estimated,
                "it may be billed: {entry:?}"
            );
            assert!(entry.amount <= book.hold(&answer.request_id()), "{entry:?}");
            // It may have been worked on: it is not sent a second time.
            assert_eq!(mock.requests().len(), before + 1, "{path} {how}");
        }
    }
}

#[test]
fn an_unreachable_provider_is_a_502() {
    let gateway = Gateway::start();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let url = format!("http://{}/v1", port.expect("a port"));
    gateway.create_provider(&json!({
        "provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-nobody", "OPENAI_BASE_URL": url},
    }));
    let key = gateway.create_key();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    ours(&answer, 502, "provider_error", CHAT);
    released(&gateway.book(), &answer.request_id(), "provider_error");
}

#[test]
fn a_provider_that_does_not_answer_in_time_is_a_504() {
    let builder = Gateway::builder().env("LW_GATEWAY_UPSTREAM_HEAD_TIMEOUT_SECONDS", "1");
    let (gateway, mock, key) = builder.with_provider();
    whenever(&mock, "dawdle", &json!({"delay_head_ms": 60_000}));
    let open: Vec<_> = [
        (CHAT, chat("dawdle")),
        (CHAT, chat_stream("dawdle")),
        ("/v1/messages", messages("dawdle", true)),
    ]
    .into_iter()
    .map(|(path, body)| {
        let mut conn = Conn::open(gateway.addr);
        conn.write(&Ask::post(path, &key.secret, &body).wire());
        (path, conn)
    })
    .collect();
    for (path, mut conn) in open {
        let answer = conn.answer(false).expect("an answer");
        ours(&answer, 504, "upstream_timeout", path);
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!(entry.detail.error_type.as_deref(), Some("upstream_timeout"));
        assert_eq!(
            entry.certainty,
            Certainty::Estimated,
            "it may be billed: {entry:?}"
        );
    }
    eventually("the provider's connections are closed", || {
        (mock.disconnects() == 3).then_some(())
    });
}

#[test]
fn a_stream_that_breaks_ends_with_one_frame_in_the_callers_dialect() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for how in [
        json!({"frames": 9, "reset_after_frames": 3, "pace_ms": 5}),
        json!({"frames": 9, "close_after_frames": 3, "pace_ms": 5}),
    ] {
        for (path, body, kind, frame) in streams() {
            once(&mock, &how);
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            let (said, at) = (answer.text(), format!("{path} {how}: {}", answer.text()));
            assert_eq!(answer.status(), 200, "{at}");
            assert!(
                !answer.cut,
                "the frame is the end, not a broken connection: {at}"
            );
            assert!(
                !said.contains("[DONE]") && !said.contains("message_stop"),
                "{at}"
            );
            let mut parts = said.split("event: error\ndata: ");
            let (before, last) = (parts.next().unwrap_or_default(), parts.next().expect(&at));
            assert_eq!(parts.next(), None, "one frame: {at}");
            assert!(before.ends_with("\n\n") && last.ends_with("\n\n"), "{at}");
            assert!(
                last.starts_with(frame) && last.ends_with(",\"param\":null}}\n\n"),
                "{at}"
            );
            let truth = mock.truth().pop().expect("a generation");
            assert_eq!(
                sha256(before.as_bytes()),
                truth.body_sha256,
                "what came before: {at}"
            );
            estimated(&book, &answer.request_id(), kind, &truth);
            let entry = book.ended(&answer.request_id());
            let why = entry.detail.error_type.as_deref();
            assert_eq!(why, Some("upstream_mid_stream_failure"), "{at}");
            let trace = book.trace(&answer.request_id());
            assert!(trace.error && trace.facts.cost_estimated, "{trace:?}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_in_the_middle_of_a_frame_still_ends_with_a_readable_one() {
    let (gateway, mock, key) = Gateway::with_provider();
    // Half a frame: the event in hand is closed before the last one begins.
    once(
        &mock,
        &json!({"body_raw": "data: {\"choices\":[{\"delta\":{\"content\":\"hal", "close_after_frames": 1, "chunked": true}),
    );
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    let said = answer.text();
    let at = said
        .find("event: error\n")
        .unwrap_or_else(|| panic!("no frame: {said}"));
    assert!(said[..at].ends_with("\n\n"), "{said}");
}

#[test]
fn a_stream_that_falls_silent_is_ended_by_the_idle_limit() {
    let builder = Gateway::builder().env("LW_GATEWAY_UPSTREAM_IDLE_TIMEOUT_SECONDS", "1");
    let (gateway, mock, key) = builder.with_provider();
    whenever(
        &mock,
        "tell me",
        &json!({"frames": 9, "stall_after_frames": 2}),
    );
    let open: Vec<_> = streams()
        .into_iter()
        .map(|(path, body, kind, frame)| {
            let mut conn = Conn::open(gateway.addr);
            conn.write(&Ask::post(path, &key.secret, &body).wire());
            (path, kind, frame, conn)
        })
        .collect();
    let book = gateway.book();
    for (path, kind, frame, mut conn) in open {
        let answer = conn.answer(false).expect("an answer");
        let said = answer.text();
        assert!(said.contains(frame) && !answer.cut, "{path}: {said}");
        let asked = |truth: &lw_mock::Truth| truth.path == path;
        let truth = eventually("the provider sees it", || {
            mock.truth()
                .into_iter()
                .find(|truth| asked(truth) && truth.disconnected)
        });
        estimated(&book, &answer.request_id(), kind, &truth);
    }
    // A JSON answer that stops in its middle has no place for a frame.
    once(&mock, &json!({"stall_after_frames": 1}));
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    ours(&answer, 504, "upstream_timeout", CHAT);
    let entry = book.ended(&answer.request_id());
    assert_eq!(entry.certainty, Certainty::Estimated, "{entry:?}");
}

#[test]
fn a_json_answer_that_breaks_in_its_middle_is_never_taken_for_a_whole_one() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for how in [
        json!({"reset_after_frames": 1}),
        json!({"close_after_frames": 1}),
        json!({"close_after_frames": 1, "chunked": true}),
    ] {
        once(&mock, &how);
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
        ours(&answer, 502, "provider_error", CHAT);
        let entry = book.ended(&answer.request_id());
        assert_eq!(
            entry.certainty,
            Certainty::Estimated,
            "it may be billed: {entry:?}"
        );
        assert!(entry.amount > NanoUsd::ZERO && entry.amount <= book.hold(&answer.request_id()));
    }
    // One that is too large to be held back has begun already: its connection breaks.
    once(
        &mock,
        &json!({"response_bytes": 2_000_000, "reset_after_frames": 1}),
    );
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert!(
        answer.cut || answer.status() == 502,
        "{} of {:?}",
        answer.body.len(),
        answer.head
    );
    let entry = book.ended(&answer.request_id());
    assert_eq!(entry.certainty, Certainty::Estimated, "{entry:?}");
}

#[test]
fn an_error_event_of_the_provider_passes_as_it_is_and_nothing_follows() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (path, body, kind, _) in streams() {
        once(
            &mock,
            &json!({"frames": 9, "error_event_after_frames": 2, "error_message": "too much"}),
        );
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(
            sha256(&answer.body),
            truth.body_sha256,
            "{path}: {}",
            answer.text()
        );
        assert!(
            answer.text().contains("too much") && !answer.cut,
            "{}",
            answer.text()
        );
        estimated(&book, &answer.request_id(), kind, &truth);
        assert!(book.trace(&answer.request_id()).error, "{path}");
    }
}

#[test]
fn an_answer_that_is_no_json_passes_and_is_charged_as_an_estimate() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (path, body, kind) in [
        (CHAT, chat("tell me"), "openai"),
        ("/v1/messages", messages("tell me", false), "anthropic"),
        ("/v1/responses", responses("tell me", false), "openai"),
    ] {
        once(&mock, &json!({"malformed_json": true}));
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(answer.status(), 200);
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{path}");
        estimated(&book, &answer.request_id(), kind, &truth);
    }
    // In a stream one bad frame is not the end: the usage that follows counts.
    for (path, body, kind, _) in streams() {
        once(&mock, &json!({"malformed_json": true, "frames": 5}));
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{path}");
        book.charged_exactly(&answer.request_id(), kind, &truth);
    }
}

#[test]
fn usage_that_is_missing_or_cannot_be_true_is_replaced_by_a_flagged_estimate() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for how in [
        json!({"no_usage": true}),
        json!({"usage": {"prompt_tokens": -5, "completion_tokens": 3}}),
        json!({"usage": {"prompt_tokens": 3, "completion_tokens": 1e18}}),
        json!({"usage": {"prompt_tokens": "many", "completion_tokens": 3}}),
        json!({"usage": {"prompt_tokens": 900_000_000_000_u64, "completion_tokens": 3}}),
        json!({"usage_raw": []}),
        json!({"usage_raw": {"prompt_tokens": null, "input_tokens": null}}),
    ] {
        for (path, body, kind) in [
            (CHAT, chat("tell me"), "openai"),
            (CHAT, chat_stream("tell me"), "openai"),
            ("/v1/responses", responses("tell me", true), "openai"),
            ("/v1/messages", messages("tell me", false), "anthropic"),
        ] {
            once(&mock, &how);
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            let mut truth = mock.truth().pop().expect("a generation");
            assert_eq!(
                (answer.status(), sha256(&answer.body)),
                (200, truth.body_sha256.clone())
            );
            truth.usage = lw_mock::Usage::default();
            let entry = book.ended(&answer.request_id());
            let at = format!("{path} {how} {entry:#?}");
            assert_eq!(entry.certainty, Certainty::Estimated, "{at}");
            estimated(&book, &answer.request_id(), kind, &truth);
        }
    }
}

#[test]
fn cached_and_reasoning_tokens_are_priced_by_their_class() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let openai = json!({"usage": {"prompt_tokens": 2_000, "cached_tokens": 1_500, "completion_tokens": 300, "reasoning_tokens": 200}});
    let anthropic = json!({"usage": {
        "input_tokens": 100, "cached_tokens": 4_000, "cache_creation_5m": 700,
        "cache_creation_1h": 900, "completion_tokens": 50,
    }});
    for (path, body, kind, how) in [
        (CHAT, chat("tell me"), "openai", &openai),
        (CHAT, chat_stream("tell me"), "openai", &openai),
        (
            "/v1/responses",
            responses("tell me", true),
            "openai",
            &openai,
        ),
        (
            "/v1/messages",
            messages("tell me", false),
            "anthropic",
            &anthropic,
        ),
        (
            "/v1/messages",
            messages("tell me", true),
            "anthropic",
            &anthropic,
        ),
    ] {
        once(&mock, how);
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        let truth = mock.truth().pop().expect("a generation");
        assert!(truth.usage.cached_read > 0, "{truth:?}");
        book.charged_exactly(&answer.request_id(), kind, &truth);
        let expected = (body["stream"] != true).then_some("hit");
        assert_eq!(answer.header("x-langwatch-cache"), expected, "{path}");
    }
}

#[test]
fn a_caller_that_hangs_up_in_the_middle_of_a_stream_is_noticed_and_billed_once() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (path, body, kind, _) in streams() {
        let seen = mock.disconnects();
        once(
            &mock,
            &json!({"frames": 9, "stall_after_frames": 3, "text": "a1 b2 c3 d4 e5"}),
        );
        let mut stream = gateway.stream(&Ask::post(path, &key.secret, &body));
        stream.until("c3");
        let id = stream.request_id();
        drop(stream);
        eventually("the provider sees the caller leave", || {
            (mock.disconnects() == seen + 1).then_some(())
        });
        let truth = mock.truth().pop().expect("a generation");
        estimated(&book, &id, kind, &truth);
        let entry = book.ended(&id);
        // What was reported before is a confirmation; without a report it is a failure.
        let failed = (kind == "openai").then_some("client_disconnected");
        assert_eq!(entry.detail.error_type.as_deref(), failed);
        assert_eq!(entry.detail.http_status, Some(499));
    }
    assert_eq!(gateway.metric("gateway_streaming_active"), 0.0);
}

#[test]
fn a_caller_that_hangs_up_before_the_head_is_noticed_and_billed_once() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (number, (path, body)) in [
        (CHAT, chat("[[mock:{\"stall_before_head\":true}]]")),
        (CHAT, chat_stream("[[mock:{\"stall_before_head\":true}]]")),
        (
            "/v1/messages",
            messages("[[mock:{\"stall_before_head\":true}]]", false),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut conn = Conn::open(gateway.addr);
        conn.write(&Ask::post(path, &key.secret, &body).wire());
        eventually("the provider is asked", || {
            (mock.truth().len() == number + 1).then_some(())
        });
        drop(conn);
        eventually("the provider sees the caller leave", || {
            (mock.disconnects() == u64::try_from(number + 1).ok()?).then_some(())
        });
    }
    let spent = eventually("three outcomes are in the ledger", || {
        let path = format!("/api/gateway/v1/virtual-keys/{}/spend", key.id);
        let spend = gateway.api("GET", &path, None).fine(200);
        let searched = gateway.api(
            "POST",
            "/api/traces/search",
            Some(&json!({"startDate": 0, "endDate": 4_102_444_800_000_u64})),
        );
        let found = searched.fine(200);
        let rows = found["traces"].as_array().map_or(0, Vec::len);
        (rows == 3).then_some((spend, found))
    });
    for trace in spent.1["traces"].as_array().expect("traces") {
        let id = trace
            .pointer("/metadata/gateway_request_ids/0")
            .and_then(Value::as_str);
        let id = id.unwrap_or_else(|| panic!("no request id in {trace}"));
        let entry = book.ended(id);
        assert_eq!(
            entry.detail.error_type.as_deref(),
            Some("client_disconnected"),
            "{entry:?}"
        );
        assert_eq!(
            entry.certainty,
            Certainty::Estimated,
            "the prompt may have been read"
        );
        assert!(entry.amount <= book.hold(id));
    }
}

#[test]
fn a_caller_that_reads_the_whole_stream_and_leaves_is_charged_what_was_reported() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    for (path, body, kind, _) in streams() {
        let mut stream = gateway.stream(&Ask::post(path, &key.secret, &body));
        let last = if path == CHAT {
            "[DONE]\n\n"
        } else if kind == "anthropic" {
            "message_stop\"}"
        } else {
            "response.completed\""
        };
        stream.until(last);
        let id = stream.request_id();
        drop(stream);
        book.charged_exactly(&id, kind, &mock.truth().pop().expect("a generation"));
        assert_eq!(book.ended(&id).detail.error_type, None, "{path}");
    }
}

#[test]
fn a_connection_that_went_stale_in_the_pool_costs_no_request() {
    let (gateway, first, key) = Gateway::with_provider();
    let addr = first.addr();
    let ask = Ask::post(CHAT, &key.secret, chat("hi"));
    for _ in 0..4 {
        assert_eq!(gateway.call(&ask).status(), 200);
    }
    first.stop();
    let config = MockConfig {
        addr,
        ..MockConfig::default()
    };
    let second = MockProvider::start(config).expect("the same port");
    for _ in 0..8 {
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    assert_eq!(second.requests().len(), 8);
}

#[test]
fn a_model_without_a_price_is_served_and_recorded_as_unpriced() {
    let (gateway, mock, key) = Gateway::with_provider();
    let mut body = chat("hi");
    body["model"] = json!("gpt-unheard-of");
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, &body));
    assert_eq!(answer.status(), 200);
    let entry = gateway.book().ended(&answer.request_id());
    assert!(!entry.priced && entry.amount == NanoUsd::ZERO, "{entry:?}");
    let truth = mock.truth().pop().expect("a generation");
    assert_eq!(entry.usage, usage(&truth.usage));
}

#[test]
fn an_end_marker_that_the_provider_left_out_is_added_and_only_then() {
    let (gateway, mock, key) = Gateway::with_provider();
    let raw = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n\
               data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";
    for (end, added) in [
        ("\n\n", "data: [DONE]\n\n"),
        ("", "\n\ndata: [DONE]\n\n"),
        ("\n\ndata: [DONE]\n\n", ""),
    ] {
        once(&mock, &json!({"body_raw": format!("{raw}{end}")}));
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
        assert_eq!(answer.text(), format!("{raw}{end}{added}"));
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!((entry.certainty, entry.usage.output), (Certainty::Exact, 4));
    }
}

#[test]
fn slow_readers_get_every_byte() {
    let (gateway, mock, key) = Gateway::with_provider();
    once(&mock, &json!({"frames": 4_000, "frame_text_bytes": 2_000}));
    let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    let mut all = Vec::new();
    // The sockets fill up while the caller looks elsewhere; then it reads on.
    all.extend(stream.piece().expect("a piece").expect("not the end"));
    let other = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    gateway.book().trace(&other.request_id());
    let (rest, whole) = stream.rest();
    all.extend(rest);
    let mut truths = mock.truth().into_iter();
    let truth = truths.find(|truth| truth.stream).expect("a generation");
    assert!(whole && truth.completed);
    assert_eq!(sha256(&all), truth.body_sha256);
    gateway
        .book()
        .charged_exactly(&stream.request_id(), "openai", &truth);
}

#[test]
fn the_last_usage_that_says_something_counts() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let chunk = |usage: &str| format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    let (first, second) = (
        r#"{"prompt_tokens":3,"completion_tokens":1}"#,
        r#"{"prompt_tokens":3,"completion_tokens":4}"#,
    );
    for later in ["null", "{}", r#"{"prompt_tokens":null}"#] {
        let raw = [
            chunk(first),
            chunk(second),
            chunk(later),
            "data: [DONE]\n\n".to_owned(),
        ];
        once(&mock, &json!({"body_raw": raw.concat()}));
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
        let entry = book.ended(&answer.request_id());
        let counted = (entry.usage.input, entry.usage.output, entry.certainty);
        assert_eq!(counted, (3, 4, Certainty::Exact), "{later}");
    }
    // Anthropic's numbers grow from event to event.
    let raw = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":",
        "{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    once(&mock, &json!({"body_raw": raw}));
    let answer = gateway.call(&Ask::post(
        "/v1/messages",
        &key.secret,
        messages("hi", true),
    ));
    assert_eq!(answer.text(), raw);
    let entry = book.ended(&answer.request_id());
    let Usage {
        input,
        cache_read,
        output,
        ..
    } = entry.usage;
    assert_eq!(
        (input, cache_read, output, entry.certainty),
        (10, 5, 9, Certainty::Exact)
    );
}

#[test]
fn another_service_tier_has_another_price() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let counted = Usage {
        input: 1_000,
        output: 500,
        ..Usage::default()
    };
    let mut amounts = Vec::new();
    for tier in ["default", "flex", "priority"] {
        let raw = json!({
            "id": "c", "service_tier": tier,
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 500},
        });
        once(&mock, &json!({"body_raw": raw.to_string()}));
        let mut body = chat("hi");
        body["model"] = json!("gpt-5-mini");
        body["service_tier"] = json!(tier);
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, &body));
        let entry = book.ended(&answer.request_id());
        assert_eq!((entry.usage, entry.certainty), (counted, Certainty::Exact));
        amounts.push(entry.amount);
    }
    let [usual, flex, priority] = amounts[..] else {
        panic!("three")
    };
    assert_eq!(usual, price("openai", "gpt-5-mini", &counted));
    assert!(flex < usual && usual < priority, "{amounts:?}");
}
