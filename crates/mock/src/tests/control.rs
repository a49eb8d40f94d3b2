//! Scripts, keys, records, bench mode, starting and stopping.

use super::client::{CHAT, MESSAGES, ask, call, get, post, receive, send, start, told};
use crate::{Directive, Match, MockConfig, MockProvider, Script, key_digest};

#[test]
fn scripts_match_in_order_and_run_out() {
    let mock = start();
    let script = r#"[
        {"match":{"path":"/v1/messages"},"status":529},
        {"match":{"model":"m-1","body_contains":"hello"},"times":2,"status":503},
        {"match":{"api_key":"sk-other"},"times":0,"status":401}]"#;
    assert_eq!(post(&mock, "/_mock/script", script).json()["queued"], 3);
    let status = |path: &str| post(&mock, path, &ask(path, false, "")).status;
    let seen: Vec<u16> = [CHAT, CHAT, CHAT, MESSAGES, MESSAGES].map(status).to_vec();
    assert_eq!(seen, [503, 503, 200, 529, 200]);
    let elsewhere = Match {
        method: Some("get".to_owned()),
        ..Match::default()
    };
    let teapot = Directive {
        status: Some(418),
        ..Directive::default()
    };
    mock.script(Script::always(teapot).matching(elsewhere));
    assert_eq!(get(&mock, "/v1/models").status, 418);
    assert_eq!(get(&mock, "/v1/models").status, 418);
    assert_eq!(status(CHAT), 200);
    assert_eq!(
        receive(&mut send(&mock, "DELETE", "/_mock/script", "", "")).status,
        200
    );
    assert_eq!(get(&mock, "/v1/models").status, 200);
    let got = post(&mock, "/_mock/script", r#"[{"status":500},{"statos":1}]"#);
    assert_eq!(got.status, 400);
    assert!(
        got.body.contains("entry 1: unknown field `statos`"),
        "{}",
        got.body
    );
    assert_eq!(status(CHAT), 200);
}

#[test]
fn a_script_beats_the_header_and_the_header_beats_the_body() {
    let mock = start();
    let body = ask(CHAT, false, "").replace("mock\"", r#"mock [[mock:{\"status\":501}]]""#);
    assert_eq!(post(&mock, CHAT, &body).status, 501);
    assert_eq!(told(&mock, CHAT, r#"{"status":502}"#, &body).status, 502);
    mock.script(Script::once(Directive {
        status: Some(503),
        ..Directive::default()
    }));
    assert_eq!(told(&mock, CHAT, r#"{"status":502}"#, &body).status, 503);
}

#[test]
fn keys_can_be_restricted_and_rotated() {
    let mock = start();
    let status = || post(&mock, CHAT, &ask(CHAT, false, "")).status;
    assert_eq!(status(), 200);
    mock.valid_keys(["sk-new"]);
    assert_eq!(status(), 401);
    assert_eq!(
        post(&mock, "/_mock/keys", r#"{"valid":["sk-test","sk-new"]}"#).status,
        200
    );
    assert_eq!(status(), 200);
    let headers = "x-api-key: sk-bad\r\n";
    let got = receive(&mut send(
        &mock,
        "POST",
        MESSAGES,
        headers,
        &ask(MESSAGES, false, ""),
    ));
    assert_eq!(
        (got.status, got.json()["error"]["type"].as_str()),
        (401, Some("authentication_error"))
    );
    assert_eq!(post(&mock, "/_mock/keys", r#"{"valid":null}"#).status, 200);
    let bare = "POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\ncontent-length: 2\r\n\r\n{}";
    let mut socket = std::net::TcpStream::connect(mock.addr()).expect("connects");
    std::io::Write::write_all(&mut socket, bare.as_bytes()).expect("writes");
    let got = receive(&mut socket);
    assert_eq!(got.status, 401);
    assert!(got.body.contains("You didn't provide an API key"));
}

#[test]
fn records_hold_no_credential_and_page() {
    let mock = start();
    let headers = "x-api-key: sk-ant-secret\r\nx-extra: 1\r\n";
    receive(&mut send(
        &mock,
        "POST",
        MESSAGES,
        headers,
        &ask(MESSAGES, false, ""),
    ));
    post(&mock, CHAT, &ask(CHAT, false, ""));
    let page = get(&mock, "/_mock/requests");
    assert!(!page.body.contains("sk-ant-secret") && !page.body.contains("sk-test"));
    let page = page.json();
    assert_eq!(
        page["data"][0]["headers"]["x-api-key"],
        key_digest("sk-ant-secret")
    );
    assert_eq!(
        page["data"][0]["headers"]["authorization"],
        key_digest("sk-test")
    );
    assert_eq!(page["data"][0]["headers"]["x-extra"], "1");
    assert_eq!(page["data"][1]["body"], ask(CHAT, false, ""));
    assert_eq!(page["last_seq"], 2);
    let page = get(&mock, "/_mock/truth?since=1").json();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["data"][0]["request_seq"], 2);
    assert_eq!(get(&mock, "/_mock/truth?since=x").status, 400);
    assert_eq!(get(&mock, "/_mock/health").json()["status"], "ok");
    let stats = get(&mock, "/_mock/stats").json();
    assert_eq!(
        (stats["requests"].as_u64(), stats["generations"].as_u64()),
        (Some(2), Some(2))
    );
    assert_eq!(post(&mock, "/_mock/reset", "").status, 200);
    assert!(mock.truth().is_empty() && mock.requests().is_empty());
    post(&mock, CHAT, &ask(CHAT, false, ""));
    assert_eq!(mock.truth()[0].seq, 3);
}

#[test]
fn bench_mode_keeps_counters_only() {
    let config = MockConfig {
        record: false,
        workers: 2,
        ..MockConfig::default()
    };
    let mock = MockProvider::start(config).expect("starts");
    for _ in 0..3 {
        assert_eq!(post(&mock, CHAT, &ask(CHAT, true, "")).status, 200);
        assert_eq!(
            told(&mock, CHAT, r#"{"status":500}"#, &ask(CHAT, true, "")).status,
            500
        );
    }
    assert!(mock.truth().is_empty() && mock.requests().is_empty());
    let stats = get(&mock, "/_mock/stats").json();
    assert_eq!(
        (stats["requests"].as_u64(), stats["completed"].as_u64()),
        (Some(6), Some(6))
    );
    let gemini = |query: &str| {
        let path = format!("/v1beta/models/g:streamGenerateContent{query}");
        let body = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
        call(&mock, "POST", &path, "x-goog-api-key: g\r\n", body).body
    };
    assert!(gemini("").starts_with('[') && gemini("?alt=sse").starts_with("data: "));
}

#[tokio::test]
async fn it_starts_and_stops_inside_a_runtime() {
    let mock = start();
    let addr = mock.addr();
    let open = tokio::net::TcpStream::connect(addr)
        .await
        .expect("connects");
    mock.stop();
    assert_eq!(mock.open_connections(), 0);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    drop(open);
}

#[test]
fn a_large_body_is_taken_and_its_record_is_capped() {
    let mock = start();
    let more = format!(r#","padding":"{}""#, "x".repeat(3_000_000));
    assert_eq!(post(&mock, CHAT, &ask(CHAT, false, &more)).status, 200);
    let seen = mock.requests().pop().expect("one");
    assert!(seen.body_len > 3_000_000);
    assert_eq!(seen.body.map(|body| body.len()), Some(64 * 1024));
}
