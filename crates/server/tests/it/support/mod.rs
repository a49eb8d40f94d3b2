//! What every test stands on: a running gateway, a mock provider, a caller that shows bytes as they are.

mod book;
mod chance;
mod gateway;
mod http;

use std::fmt::Debug;
use std::time::Duration;

use lw_mock::{Directive, Match, MockConfig, MockProvider, Script};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use book::{Book, price, usage};
pub(crate) use chance::{Chance, setting};
pub(crate) use gateway::{CliRun, Gateway, Key, ORG, Refused};
pub(crate) use http::{Answer, Ask, Conn, Stream};

/// How long a condition may take to come true: generous, because it only costs time when it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A provider in this process, with an empty script.
pub(crate) fn provider() -> MockProvider {
    MockProvider::start(MockConfig::default()).expect("a mock provider")
}

/// A directive from its JSON, the form in which the mock documents it.
pub(crate) fn directive(json: &Value) -> Directive {
    Directive::from_json(&json.to_string()).expect("a directive")
}

/// The mock answers its next request like this.
pub(crate) fn once(mock: &MockProvider, json: &Value) {
    mock.script(Script::once(directive(json)));
}

/// The mock answers every request whose body contains `piece` like this.
pub(crate) fn whenever(mock: &MockProvider, piece: &str, json: &Value) {
    mock.script(Script::always(directive(json)).matching(Match {
        body_contains: Some(piece.to_owned()),
        ..Match::default()
    }));
}

/// A chat request.
pub(crate) fn chat(text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]})
}

/// A chat request that streams.
pub(crate) fn chat_stream(text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// A Messages request.
pub(crate) fn messages(text: &str, stream: bool) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 256, "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
}

/// A Responses request.
pub(crate) fn responses(text: &str, stream: bool) -> Value {
    json!({"model": "gpt-4o-mini", "stream": stream, "input": text})
}

/// SHA-256 in lower-case hexadecimal, as the mock writes it down.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// The JSON of `bytes`.
pub(crate) fn parsed(bytes: impl AsRef<[u8]> + Debug) -> Value {
    serde_json::from_slice(bytes.as_ref())
        .unwrap_or_else(|error| panic!("{error} in {}", text(bytes.as_ref())))
}

/// `bytes` as text, for messages.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
