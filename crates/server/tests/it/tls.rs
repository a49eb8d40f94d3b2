//! Providers behind TLS, over HTTP/2 and HTTP/1.1: what is true in the clear is true there.

use lw_mock::{MockConfig, MockProvider, TlsMode};
use lw_store::ledger::Certainty;
use serde_json::json;

use crate::support::{
    Ask, Conn, Gateway, Key, chat, chat_stream, eventually, messages, once, responses, sha256,
};

const CHAT: &str = "/v1/chat/completions";

/// A gateway that trusts its mock's authority.
fn behind_tls(http2: bool) -> (Gateway, MockProvider, Key, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("ca.pem");
    let mock = MockProvider::start(MockConfig {
        tls: Some(TlsMode::SelfSigned {
            ca_out: Some(authority.clone()),
        }),
        ..MockConfig::default()
    })
    .expect("a mock provider");
    let gateway = Gateway::builder()
        .env("SSL_CERT_FILE", &authority.display().to_string())
        .env("LW_GATEWAY_UPSTREAM_HTTP2", &http2.to_string())
        .start();
    gateway.openai(&mock, "sk-behind-tls");
    gateway.anthropic(&mock, "sk-behind-tls");
    let key = gateway.create_key();
    (gateway, mock, key, folder)
}

#[test]
fn every_lane_works_over_tls() {
    for http2 in [true, false] {
        let (gateway, mock, key, _folder) = behind_tls(http2);
        let book = gateway.book();
        for (path, body, kind) in [
            (CHAT, chat("hi"), "openai"),
            (CHAT, chat_stream("hi"), "openai"),
            ("/v1/messages", messages("hi", true), "anthropic"),
            ("/v1/responses", responses("hi", true), "openai"),
            (CHAT, chat(&"word ".repeat(210_000)), "openai"),
        ] {
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            assert_eq!(answer.status(), 200, "{http2} {path}: {}", answer.text());
            let truth = mock.truth().pop().expect("a generation");
            assert_eq!(sha256(&answer.body), truth.body_sha256, "{http2} {path}");
            let seen = mock.requests().pop().expect("a request");
            assert!(seen.body_len >= body.to_string().len(), "{http2} {path}");
            book.charged_exactly(&answer.request_id(), kind, &truth);
        }
        // Hop by hop is for HTTP/1 alone.
        let seen = mock.requests().pop().expect("a request");
        assert!(
            !http2 || !seen.headers.contains_key("transfer-encoding"),
            "{seen:?}"
        );
    }
}

#[test]
fn a_hundred_streams_share_connections_over_http2() {
    let (gateway, mock, key, _folder) = behind_tls(true);
    // Each data thread learns first that the provider speaks HTTP/2.
    for _ in 0..24 {
        assert_eq!(
            gateway
                .call(&Ask::post(CHAT, &key.secret, chat("hi")))
                .status(),
            200
        );
    }
    let mut open: Vec<(String, Conn)> = (0..100)
        .map(|number| {
            let user = format!("u{number}");
            let mut body = chat_stream("[[mock:{\"frames\":6,\"pace_ms\":20}]]");
            body["user"] = json!(user);
            let mut conn = Conn::open(gateway.addr);
            conn.write(&Ask::post(CHAT, &key.secret, &body).wire());
            (user, conn)
        })
        .collect();
    for (user, conn) in &mut open {
        let answer = conn.answer(false).expect("an answer");
        let truths = mock.truth();
        let truth = truths
            .iter()
            .find(|truth| truth.user.as_ref() == Some(user));
        assert_eq!(
            sha256(&answer.body),
            truth.expect("its generation").body_sha256,
            "{user}"
        );
    }
    assert!(
        mock.open_connections() <= 6,
        "{} connections",
        mock.open_connections()
    );
}

#[test]
fn faults_over_http2_are_told_as_over_http1() {
    let (gateway, mock, key, _folder) = behind_tls(true);
    let book = gateway.book();
    once(
        &mock,
        &json!({"status": 429, "retry_after": "3", "error_type": "rate_limit_exceeded"}),
    );
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert_eq!(
        (answer.status(), answer.header("retry-after")),
        (429, Some("3"))
    );

    once(&mock, &json!({"reset_before_head": true}));
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert_eq!(
        answer.code(),
        (502, "provider_error".to_owned()),
        "{}",
        answer.text()
    );

    once(
        &mock,
        &json!({"frames": 9, "reset_after_frames": 3, "pace_ms": 5}),
    );
    let answer = gateway.call(&Ask::post(
        "/v1/messages",
        &key.secret,
        messages("hi", true),
    ));
    assert!(
        answer.text().contains("upstream_mid_stream_failure"),
        "{}",
        answer.text()
    );
    assert_eq!(
        book.ended(&answer.request_id()).certainty,
        Certainty::Estimated
    );

    // A caller that leaves ends its own stream and no other one.
    let how = json!({"frames": 9, "stall_after_frames": 2, "text": "a1 b2 c3 d4"});
    once(&mock, &how);
    let mut leaves = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    leaves.until("b2");
    once(
        &mock,
        &json!({"frames": 40, "pace_ms": 10, "text": "a1 b2 c3 d4"}),
    );
    let mut stays = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
    stays.until("b2");
    drop(leaves);
    eventually("the provider sees the caller leave", || {
        (mock.disconnects() >= 1).then_some(())
    });
    let (rest, whole) = stays.rest();
    assert!(whole && String::from_utf8_lossy(&rest).ends_with("[DONE]\n\n"));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let (_other, mock, _key, _folder) = behind_tls(true);
    let gateway = Gateway::start();
    gateway.openai(&mock, "sk-must-not-be-sent");
    let key = gateway.create_key();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    assert_eq!(
        answer.code(),
        (502, "provider_error".to_owned()),
        "{}",
        answer.text()
    );
    let entry = gateway.book().ended(&answer.request_id());
    assert_eq!(entry.amount.0, 0, "nothing was sent: {entry:?}");
    assert!(mock.requests().is_empty());
}
