//! Each way to fail, as a caller sees it and as the truth tells it.

use std::io::Read;

use super::client::{CHAT, MESSAGES, RESPONSES, ask, post, receive, send, start, told};
use crate::{Directive, MockConfig, MockProvider, Script, TlsMode};

#[test]
fn errors_have_the_shape_of_the_vendor() {
    let mock = start();
    let directive = r#"{"status":429,"error_type":"tokens","error_message":"slow","retry_after":"7","headers":{"x-should-retry":"true"}}"#;
    let got = told(&mock, CHAT, directive, &ask(CHAT, false, ""));
    assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
    assert_eq!(got.header("x-should-retry"), Some("true"));
    assert_eq!(got.json()["error"]["type"], "tokens");
    assert_eq!(got.json()["error"]["message"], "slow");
    let got = told(
        &mock,
        MESSAGES,
        r#"{"status":529}"#,
        &ask(MESSAGES, true, ""),
    );
    assert_eq!(
        (got.status, got.json()["error"]["type"].as_str()),
        (529, Some("overloaded_error"))
    );
    assert_eq!(got.json()["request_id"].as_str(), got.header("request-id"));
    let truth = mock.truth();
    assert_eq!((truth[1].status, truth[1].usage.output), (529, 0));
    let got = told(
        &mock,
        CHAT,
        r#"{"echo_credential_in_error":true}"#,
        &ask(CHAT, false, ""),
    );
    assert_eq!(got.status, 401);
    assert!(got.body.contains("sk-test"));
}

#[test]
fn mistakes_of_the_caller_get_vendor_answers() {
    let mock = start();
    let got = post(&mock, CHAT, "{\"model\":");
    assert_eq!(
        (got.status, got.json()["error"]["type"].as_str()),
        (400, Some("invalid_request_error"))
    );
    let got = post(&mock, MESSAGES, "nonsense");
    assert_eq!(
        (got.status, got.json()["type"].as_str()),
        (400, Some("error"))
    );
    assert_eq!(post(&mock, "/v1/nothing", "{}").status, 404);
    assert_eq!(post(&mock, "/v1/models", "{}").status, 405);
    let got = told(&mock, CHAT, r#"{"stauts":500}"#, &ask(CHAT, false, ""));
    assert_eq!(got.status, 400);
    assert!(
        got.body.contains("mock directive: unknown field `stauts`"),
        "{}",
        got.body
    );
    assert!(mock.truth().is_empty());
    assert_eq!(mock.requests().len(), 5);
}

#[test]
fn connections_end_before_the_head() {
    let mock = start();
    let got = told(
        &mock,
        CHAT,
        r#"{"reset_before_head":true}"#,
        &ask(CHAT, false, ""),
    );
    assert!(got.reset && got.head.is_empty());
    let got = told(
        &mock,
        CHAT,
        r#"{"close_before_head":true}"#,
        &ask(CHAT, false, ""),
    );
    assert!(!got.reset && got.head.is_empty());
    let truth = mock.truth();
    assert_eq!(truth.len(), 2);
    assert!(
        truth
            .iter()
            .all(|t| t.status == 0 && !t.completed && !t.disconnected)
    );
    super::client::until("both closed", || mock.open_connections() == 0);
    assert_eq!(mock.disconnects(), 0);
}

#[test]
fn a_stall_ends_when_the_caller_hangs_up() {
    let mock = start();
    let headers = "x-mock: {\"stall_before_head\":true}\r\n";
    let socket = send(&mock, "POST", CHAT, headers, &ask(CHAT, true, ""));
    super::client::until("it stalls", || mock.truth().len() == 1);
    drop(socket);
    super::client::until("hang-up is seen", || mock.disconnects() == 1);
    assert!(mock.truth()[0].disconnected);
}

#[test]
fn streams_end_in_the_middle() {
    let mock = start();
    let deltas = |body: &str| body.matches("content_block_delta\n").count();
    let body = ask(MESSAGES, true, "");
    let got = told(&mock, MESSAGES, r#"{"reset_after_frames":2}"#, &body);
    assert!(got.reset && !got.whole);
    assert_eq!((got.status, deltas(&got.body)), (200, 2));
    let got = told(&mock, MESSAGES, r#"{"close_after_frames":3}"#, &body);
    assert!(!got.reset && !got.whole);
    assert_eq!(deltas(&got.body), 3);
    let got = told(&mock, MESSAGES, r#"{"close_after_frames":0}"#, &body);
    assert_eq!((got.status, got.body.as_str()), (200, ""));
    let truth = mock.truth();
    assert!(
        truth
            .iter()
            .all(|t| !t.completed && !t.usage_reported && t.finished_at.is_some())
    );
    assert_eq!(truth[0].delivered_tokens, 2);
    assert!(truth[0].usage.output > 2);
}

#[test]
fn a_stream_stalls_until_the_caller_leaves() {
    let mock = start();
    let headers = "x-mock: {\"stall_after_frames\":1}\r\n";
    let mut socket = send(&mock, "POST", CHAT, headers, &ask(CHAT, true, ""));
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"You \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n") {
        assert_eq!(socket.read(&mut byte).expect("reads"), 1);
        seen.push(byte[0]);
    }
    assert_eq!(mock.disconnects(), 0);
    drop(socket);
    super::client::until("hang-up is seen", || mock.disconnects() == 1);
    let truth = mock.truth().pop().expect("one");
    assert!(truth.disconnected && !truth.completed && !truth.usage_reported);
    assert_eq!(truth.delivered_tokens, 1);
}

#[test]
fn a_caller_that_leaves_a_long_answer_is_counted() {
    let mock = start();
    let headers = "x-mock: {\"frames\":2000,\"frame_text_bytes\":16384}\r\n";
    let mut socket = send(&mock, "POST", CHAT, headers, &ask(CHAT, true, ""));
    let mut some = [0; 1024];
    assert!(socket.read(&mut some).expect("reads") > 0);
    drop(socket);
    super::client::until("hang-up is seen", || mock.disconnects() == 1);
    let truth = mock.truth().pop().expect("one");
    assert!(truth.disconnected && !truth.completed);
    super::client::until("closed", || mock.open_connections() == 0);
}

#[test]
fn errors_inside_streams_are_the_vendors() {
    let mock = start();
    let directive = r#"{"error_event_after_frames":1,"error_type":"kaput"}"#;
    let last = |path: &str| {
        let got = told(&mock, path, directive, &ask(path, true, ""));
        assert!(got.whole);
        got.events().pop().expect("events")
    };
    let (_, event) = last(CHAT);
    assert_eq!(event["error"]["type"], "kaput");
    let (name, event) = last(MESSAGES);
    assert_eq!(
        (name.as_str(), event["error"]["type"].as_str()),
        ("error", Some("kaput"))
    );
    let (name, event) = last(RESPONSES);
    assert_eq!(
        (name.as_str(), event["code"].as_str()),
        ("error", Some("kaput"))
    );
    assert!(
        mock.truth()
            .iter()
            .all(|truth| !truth.usage_reported && truth.completed)
    );
}

#[test]
fn bodies_can_be_broken_padded_and_replaced() {
    let mock = start();
    let with = |directive: &str| told(&mock, CHAT, directive, &ask(CHAT, false, ""));
    let got = with(r#"{"malformed_json":true}"#);
    assert_eq!(got.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&got.body).is_err());
    let got = with(r#"{"response_bytes":5000}"#);
    assert_eq!(
        (
            got.body.len(),
            got.json()["usage"]["prompt_tokens"].as_u64()
        ),
        (5000, Some(3))
    );
    let got = with(r#"{"chunked":true}"#);
    assert!(got.header("content-length").is_none() && got.whole);
    assert_eq!(got.json()["object"], "chat.completion");
    let got = with(r#"{"body_raw":"<html>","content_type":"text/html","status":502}"#);
    assert_eq!((got.status, got.body.as_str()), (502, "<html>"));
    assert_eq!(got.header("content-type"), Some("text/html"));
    let got = with(r#"{"text":"just this","model":"other"}"#).json();
    assert_eq!(got["choices"][0]["message"]["content"], "just this");
    assert_eq!(got["model"], "other");
    let got = with(r#"{"reset_after_frames":1}"#);
    assert!(got.reset && !got.body.is_empty() && !got.whole);
}

#[test]
fn frames_have_the_number_and_size_asked_for() {
    let mock = start();
    let directive = r#"{"frames":50,"frame_text_bytes":20}"#;
    for path in [CHAT, RESPONSES, MESSAGES] {
        told(&mock, path, directive, &ask(path, true, ""));
        let truth = mock.truth().pop().expect("one");
        assert_eq!(
            (truth.delivered_text_bytes, truth.delivered_tokens),
            (1000, 50),
            "{path}"
        );
        assert_eq!(truth.usage.output, 50);
    }
}

#[test]
fn splits_cut_the_bytes_and_change_none() {
    let mock = start();
    let body = ask(CHAT, true, "");
    let plain = post(&mock, CHAT, &body).body.replace("mock-1", "");
    // The cut is inside the status line, and the rest waits for the pace.
    let headers = "x-mock: {\"split_bytes\":[5,9],\"pace_ms\":30}\r\n";
    let mut socket = send(&mock, "POST", CHAT, headers, &body);
    let mut first = [0; 64];
    let read = socket.read(&mut first).expect("reads");
    assert_eq!(&first[..read], b"HTTP/");
    let read = socket.read(&mut first).expect("reads");
    assert_eq!(&first[..read], b"1.1 ");
    let got = told(&mock, CHAT, r#"{"split_every":3}"#, &body);
    assert!(got.whole);
    let created = |text: &str| {
        text.split("\"created\":")
            .skip(1)
            .map(|s| s[10..].to_owned())
            .collect::<String>()
    };
    assert_eq!(created(&got.body.replace("mock-3", "")), created(&plain));
}

#[test]
fn a_paced_stream_arrives_frame_by_frame() {
    let pace = std::time::Duration::from_millis(15);
    let mock = MockProvider::start(MockConfig {
        pace,
        ..MockConfig::default()
    })
    .expect("starts");
    let mut socket = send(&mock, "POST", CHAT, "", &ask(CHAT, true, ""));
    let mut buffer = [0; 4096];
    let read = socket.read(&mut buffer).expect("reads");
    let first = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(!first.contains("[DONE]"));
    let mut rest = first;
    while !rest.ends_with("0\r\n\r\n") {
        let read = socket.read(&mut buffer).expect("reads");
        rest.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(rest.contains("[DONE]"));
}

#[test]
fn a_keep_alive_connection_survives_directives() {
    let mock = start();
    mock.script(Script::once(Directive {
        split_every: Some(10),
        ..Directive::default()
    }));
    let mut socket = send(&mock, "POST", CHAT, "", &ask(CHAT, false, ""));
    assert!(receive(&mut socket).whole);
    let body = ask(CHAT, false, "");
    let again = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: m\r\nauthorization: Bearer k\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    std::io::Write::write_all(&mut socket, again.as_bytes()).expect("writes");
    assert_eq!(receive(&mut socket).status, 200);
    assert_eq!(mock.open_connections(), 1);
}

fn trusting(mock: &MockProvider) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let pem = mock.ca_pem().expect("TLS");
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).expect("a PEM");
    roots.add(der).expect("an authority");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[test]
fn tls_is_trusted_through_its_authority() {
    let tls = Some(TlsMode::SelfSigned { ca_out: None });
    let mock = MockProvider::start(MockConfig {
        tls,
        ..MockConfig::default()
    })
    .expect("starts");
    assert!(mock.base_url().starts_with("https://"));
    let config = trusting(&mock);
    let name = "127.0.0.1".try_into().expect("a name");
    let client = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let socket = std::net::TcpStream::connect(mock.addr()).expect("connects");
    let mut stream = rustls::StreamOwned::new(client, socket);
    std::io::Write::write_all(&mut stream, b"HEAD / HTTP/1.1\r\nhost: m\r\n\r\n").expect("writes");
    let mut buffer = [0; 15];
    stream.read_exact(&mut buffer).expect("reads");
    assert_eq!(&buffer, b"HTTP/1.1 200 OK");
}

#[test]
fn http2_over_tls_answers_and_resets_only_the_stream() {
    use http_body_util::BodyExt;
    let tls = Some(TlsMode::SelfSigned { ca_out: None });
    let mock = MockProvider::start(MockConfig {
        tls,
        ..MockConfig::default()
    })
    .expect("starts");
    let mut config = trusting(&mock);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(mock.addr())
            .await
            .expect("connects");
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = "localhost".try_into().expect("a name");
        let stream = connector.connect(name, socket).await.expect("a handshake");
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .expect("h2");
        let driver = tokio::spawn(connection);
        let request = |directive: &str| {
            http::Request::post(format!("{}{CHAT}", mock.base_url()))
                .header("authorization", "Bearer k")
                .header("x-mock", directive)
                .body(ask(CHAT, true, ""))
                .expect("a request")
        };
        let got = sender
            .send_request(request(r#"{"close_after_frames":1}"#))
            .await
            .expect("a head");
        assert!(got.into_body().collect().await.is_err());
        assert!(
            sender
                .send_request(request(r#"{"reset_before_head":true}"#))
                .await
                .is_err()
        );
        let got = sender.send_request(request("{}")).await.expect("a head");
        let body = got.into_body().collect().await.expect("a body").to_bytes();
        assert!(body.ends_with(b"[DONE]\n\n"));
        driver.abort();
    });
    assert_eq!(mock.disconnects(), 0);
    mock.stop();
}
