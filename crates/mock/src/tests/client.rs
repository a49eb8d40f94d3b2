//! A small HTTP client on a raw socket: it sees pieces, resets and half answers as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{MockConfig, MockProvider};

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const RESPONSES: &str = "/v1/responses";
pub(super) const MESSAGES: &str = "/v1/messages";

pub(super) fn start() -> MockProvider {
    MockProvider::start(MockConfig::default()).expect("a free port")
}

/// An answer, or what came of it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
    /// The body ended as its framing says.
    pub(super) whole: bool,
    /// The connection was reset.
    pub(super) reset: bool,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Name (where there is one) and JSON of each event; `[DONE]` is null.
    pub(super) fn events(&self) -> Vec<(String, Value)> {
        let frames = self.body.split("\n\n").filter(|frame| !frame.is_empty());
        let event = |frame: &str| {
            let line = |prefix: &str| frame.lines().find_map(|line| line.strip_prefix(prefix));
            let data = line("data: ").expect("data");
            (
                line("event: ").unwrap_or_default().to_owned(),
                serde_json::from_str(data).unwrap_or(Value::Null),
            )
        };
        frames.map(event).collect()
    }
}

pub(super) fn send(
    mock: &MockProvider,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> TcpStream {
    let mut socket = TcpStream::connect(mock.addr()).expect("connects");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nauthorization: Bearer sk-test\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + body).as_bytes()).expect("writes");
    socket
}

/// Reads one answer, however it ends.
pub(super) fn receive(socket: &mut TcpStream) -> Got {
    let mut raw = Vec::new();
    let mut reset = false;
    let mut chunk = [0; 16 * 1024];
    while !is_whole(&raw) {
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => raw.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                reset = true;
                break;
            }
            Err(error) => panic!("unexpected: {error}"),
        }
    }
    let whole = is_whole(&raw);
    let text = String::from_utf8(raw).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .map_or(0, |status| status.parse().expect("a status"));
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked {
        dechunked(body)
    } else {
        body.to_owned()
    };
    Got {
        status,
        head: head.to_owned(),
        body,
        whole,
        reset,
    }
}

fn is_whole(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_lowercase();
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let len: usize = rest
            .lines()
            .next()
            .expect("a value")
            .parse()
            .expect("a number");
        return body.len() >= len;
    }
    body.ends_with("0\r\n\r\n")
}

fn dechunked(body: &str) -> String {
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        out.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or_default();
    }
    out
}

pub(super) fn post(mock: &MockProvider, path: &str, body: &str) -> Got {
    receive(&mut send(mock, "POST", path, "", body))
}

/// With a directive in the header.
pub(super) fn told(mock: &MockProvider, path: &str, directive: &str, body: &str) -> Got {
    receive(&mut send(
        mock,
        "POST",
        path,
        &format!("x-mock: {directive}\r\n"),
        body,
    ))
}

pub(super) fn get(mock: &MockProvider, path: &str) -> Got {
    receive(&mut send(mock, "GET", path, "", ""))
}

/// A request that every generating endpoint takes.
pub(super) fn ask(path: &str, stream: bool, more: &str) -> String {
    let field = if path == RESPONSES {
        "input"
    } else {
        "messages"
    };
    let max = if path == MESSAGES {
        r#""max_tokens":100,"#
    } else {
        ""
    };
    format!(
        r#"{{"model":"m-1","{field}":[{{"role":"user","content":"hello there mock"}}],{max}"stream":{stream}{more}}}"#
    )
}

/// Waits for something that happens on another thread.
#[expect(
    clippy::disallowed_methods,
    reason = "a deadline of a test on real sockets"
)]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
