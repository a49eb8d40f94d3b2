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
    /// The same, where it is no text.
    pub(super) bytes: Vec<u8>,
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
    let headers = format!("authorization: Bearer sk-test\r\n{headers}");
    send_bare(mock, method, path, &headers, body)
}

/// Without a credential of its own.
pub(super) fn send_bare(
    mock: &MockProvider,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> TcpStream {
    let mut socket = TcpStream::connect(mock.addr()).expect("connects");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + body).as_bytes()).expect("writes");
    socket
}

/// A call with just these headers.
pub(super) fn call(
    mock: &MockProvider,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Got {
    receive(&mut send_bare(mock, method, path, headers, body))
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
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = end.map_or((&raw[..], &[][..]), |at| (&raw[..at], &raw[at + 4..]));
    let head = String::from_utf8(head.to_vec()).expect("a head in ASCII");
    let status = head
        .split(' ')
        .nth(1)
        .map_or(0, |status| status.parse().expect("a status"));
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let bytes = if chunked {
        dechunked(body)
    } else {
        body.to_vec()
    };
    Got {
        status,
        head,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        whole,
        reset,
    }
}

fn is_whole(raw: &[u8]) -> bool {
    let Some(at) = raw.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let body = &raw[at + 4..];
    let head = String::from_utf8_lossy(&raw[..at]).to_lowercase();
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let len: usize = rest
            .lines()
            .next()
            .expect("a value")
            .parse()
            .expect("a number");
        return body.len() >= len;
    }
    body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n")
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let after = &rest[at + 2..];
        out.extend_from_slice(after.get(..size).unwrap_or(after));
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

/// A frame of an AWS event stream.
#[derive(Debug)]
pub(super) struct FrameGot {
    /// `event` or `exception`.
    pub(super) message: String,
    pub(super) kind: String,
    pub(super) payload: Value,
}

/// Reads frames and checks their sums. The error says what is wrong, after how many frames.
pub(super) fn frames(mut bytes: &[u8]) -> Result<Vec<FrameGot>, (usize, &'static str)> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let wrong = |why| (out.len(), why);
        let number = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map(u32::from_be_bytes).ok_or(wrong("cut"))
        };
        let (total, headers) = (number(0)? as usize, number(4)? as usize);
        let frame = bytes.get(..total).ok_or(wrong("cut"))?;
        if number(8)? != crc32fast::hash(&frame[..8])
            || number(total - 4)? != crc32fast::hash(&frame[..total - 4])
        {
            return Err(wrong("checksum"));
        }
        let (mut message, mut kind) = (String::new(), String::new());
        let mut rest = &frame[12..12 + headers];
        while let Some((len, after)) = rest.split_first() {
            let (name, after) = after.split_at(usize::from(*len));
            assert_eq!(after[0], 7, "a string");
            let len = usize::from(u16::from_be_bytes([after[1], after[2]]));
            let value = String::from_utf8_lossy(&after[3..3 + len]).into_owned();
            match name {
                b":message-type" => message = value,
                b":event-type" | b":exception-type" => kind = value,
                _ => {}
            }
            rest = &after[3 + len..];
        }
        let payload = serde_json::from_slice(&frame[12 + headers..total - 4]);
        out.push(FrameGot {
            message,
            kind,
            payload: payload.unwrap_or(Value::Null),
        });
        bytes = &bytes[total..];
    }
    Ok(out)
}
