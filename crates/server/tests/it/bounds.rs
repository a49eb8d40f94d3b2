//! Everything has a bound, reaching it is visible, and nothing stays behind afterwards.

use serde_json::{Value, json};

use crate::support::{
    Ask, Conn, Gateway, chat, chat_stream, eventually, messages, once, parsed, sha256, text,
};

const CHAT: &str = "/v1/chat/completions";

fn at_rest(gateway: &Gateway) {
    eventually("nothing is held", || {
        // The request that asks is in flight itself.
        let rests = gateway.metric("gateway_in_flight_requests") <= 1.0
            && gateway.metric("gateway_streaming_active") == 0.0
            && gateway.metric("gateway_bytes_in_flight") == 0.0;
        rests.then_some(())
    });
}

#[test]
fn request_bytes_in_flight_are_bounded_and_given_back() {
    let builder = Gateway::builder().env("LW_GATEWAY_MAX_BYTES_IN_FLIGHT", "100000");
    let (gateway, mock, key) = builder.with_provider();
    let fits = chat(&"x".repeat(60_000));
    let large = chat(&"x".repeat(150_000));
    let refused = |answer: &crate::support::Answer| {
        assert_eq!(answer.code().0, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.head);
    };
    refused(&gateway.call(&Ask::post(CHAT, &key.secret, &large)));
    refused(&gateway.call(&Ask::post(CHAT, &key.secret, &large).chunked(5_000)));
    // One that is being worked on takes the room of the next.
    let mut body = fits.clone();
    body["user"] = json!("[[mock:{\"stall_before_head\":true}]]");
    let mut first = Conn::open(gateway.addr);
    first.write(&Ask::post(CHAT, &key.secret, &body).wire());
    eventually("the provider is asked", || {
        (mock.truth().len() == 1).then_some(())
    });
    refused(&gateway.call(&Ask::post(CHAT, &key.secret, &fits)));
    assert_eq!(
        gateway
            .call(&Ask::post(CHAT, &key.secret, chat("hi")))
            .status(),
        200
    );
    drop(first);
    eventually("the room is given back", || {
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, &fits));
        (answer.status() == 200).then_some(())
    });
    at_rest(&gateway);
}

#[test]
fn nothing_stays_behind_when_calls_end_in_every_way() {
    let (gateway, mock, key) = Gateway::with_provider();
    for round in 0..3 {
        for how in [
            json!({}),
            json!({"status": 500}),
            json!({"reset_before_head": true}),
            json!({"frames": 5, "reset_after_frames": 2}),
            json!({"frames": 5, "error_event_after_frames": 2}),
            json!({"malformed_json": true}),
            json!({"response_bytes": 600_000}),
            json!({"no_usage": true}),
        ] {
            for body in [chat("hi"), chat_stream("hi")] {
                once(&mock, &how);
                gateway.call(&Ask::post(CHAT, &key.secret, &body));
            }
        }
        for how in [
            json!({"frames": 9, "stall_after_frames": 1}),
            json!({"response_bytes": 900_000, "stall_after_frames": 1}),
        ] {
            once(&mock, &how);
            let body = if how["frames"].is_u64() {
                chat_stream("hi")
            } else {
                chat("hi")
            };
            let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, &body));
            stream.piece().expect("a piece");
        }
        gateway.call(&Ask::post(CHAT, &key.secret, "{"));
        gateway.call(&Ask::post(CHAT, "nobody", chat("hi")));
        assert!(
            mock.open_connections() <= 8,
            "{round}: {}",
            mock.open_connections()
        );
    }
    at_rest(&gateway);
    assert_eq!(
        gateway.metric("gateway_customer_trace_spans_dropped_total"),
        0.0
    );
    assert_eq!(gateway.metric("gateway_spend_spool_dropped_total"), 0.0);
}

#[test]
fn one_event_of_many_megabytes_passes_and_its_trace_is_bounded() {
    let (gateway, mock, key) = Gateway::with_provider();
    once(&mock, &json!({"frames": 2, "frame_text_bytes": 10_000_000}));
    let answer = gateway.call(&Ask::post(
        "/v1/messages",
        &key.secret,
        messages("hi", true),
    ));
    let truth = mock.truth().pop().expect("a generation");
    assert!(truth.completed && !answer.cut);
    assert_eq!(sha256(&answer.body), truth.body_sha256);
    gateway
        .book()
        .charged_exactly(&answer.request_id(), "anthropic", &truth);
    gateway.book().trace(&answer.request_id());
    let shown = gateway.api("GET", &format!("/api/traces/{}", answer.request_id()), None);
    assert_eq!(shown.status(), 200);
    assert!(shown.body.len() < 1_000_000, "{}", shown.body.len());
}

#[test]
fn a_caller_of_http_1_0_is_served_until_its_connection_closes() {
    let (gateway, mock, key) = Gateway::with_provider();
    for body in [chat("hi").to_string(), chat_stream("hi").to_string()] {
        let mut conn = Conn::open(gateway.addr);
        let head = format!(
            "POST {CHAT} HTTP/1.0\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            key.secret,
            body.len()
        );
        conn.write(format!("{head}{body}").as_bytes());
        let answer = conn.answer(false).expect("an answer");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(
            answer.header("transfer-encoding"),
            None,
            "it knows no chunks"
        );
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(sha256(&answer.body), truth.body_sha256);
        assert!(conn.is_closed());
    }
}

#[test]
fn a_connection_that_the_caller_wants_closed_is_closed() {
    let (gateway, _mock, key) = Gateway::with_provider();
    for body in [chat("hi"), chat_stream("hi")] {
        let mut conn = Conn::open(gateway.addr);
        let ask = Ask::post(CHAT, &key.secret, &body).header("Connection", "close");
        assert_eq!(conn.call(&ask).status(), 200);
        assert!(conn.is_closed());
    }
}

#[test]
fn every_request_is_one_line_of_the_log() {
    let (mut gateway, mock, key) = Gateway::with_provider();
    let good = gateway.call(&Ask::post(
        CHAT,
        &key.secret,
        chat("the prompt is no log line"),
    ));
    once(&mock, &json!({"reset_before_head": true}));
    let bad = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    let stranger = gateway.call(&Ask::post(CHAT, "nobody-canary", chat("hi")));
    gateway.stop();
    let log = gateway.stdout();
    let lines: Vec<Value> = log.lines().map(parsed).collect();
    let of = |id: &str| -> Vec<&Value> {
        let own = lines.iter().filter(|line| line["request_id"] == id);
        own.filter(|line| line["msg"] == "request_completed")
            .collect()
    };
    for (answer, status) in [(&good, 200), (&bad, 502), (&stranger, 401)] {
        let own = of(&answer.request_id());
        assert_eq!(own.len(), 1, "{log}");
        assert_eq!(own[0]["status"], status, "{own:?}");
        assert_eq!(own[0]["route"], CHAT, "{own:?}");
    }
    assert_eq!(of(&good.request_id())[0]["vk_id"], key.id.as_str());
    for secret in [
        &key.secret,
        "nobody-canary",
        "sk-mock-openai",
        "the prompt is",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert!(
        !text(gateway.stderr().as_bytes()).contains("panic"),
        "{}",
        gateway.stderr()
    );
}
