//! Every fault of the mock in every place: whole answers and streams, at the first candidate and at the
//! second.
//!
//! The caller speaks chat; the first candidate answers it as it is, the second one in another dialect. Each
//! row of the table has providers of its own, whose circuits open at the first failure: the call after the
//! faulty one tells whether they did. Rows are walked side by side, because some of them wait for a limit.

use std::sync::atomic::{AtomicUsize, Ordering};

use lw_mock::{Match, MockProvider, Script};
use lw_store::ledger::{Certainty, Entry, EntryKind};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::money::settled;
use super::{CHAT, attempts, policy, question};
use crate::support::{Answer, Ask, Gateway, directive, provider, sha256};

/// Rows that are walked at the same time.
const ABREAST: usize = 8;

/// Milliseconds that an attempt may take where the fault is to take longer.
const LIMIT: u64 = 1_500;

struct Fault {
    name: &'static str,
    /// What OpenAI does, and Anthropic.
    how: [Value; 2],
    /// The attempt's own limit ends it.
    hangs: bool,
}

fn fault(name: &'static str, how: Value) -> Fault {
    Fault {
        name,
        how: [how.clone(), how],
        hangs: false,
    }
}

fn hang(name: &'static str, how: Value) -> Fault {
    Fault {
        hangs: true,
        ..fault(name, how)
    }
}

/// A status with the words that the vendors give it.
fn status(name: &'static str, status: u16) -> Fault {
    fault(name, json!({ "status": status }))
}

/// An error where an answer was promised.
fn told() -> Fault {
    let openai = json!({"error": {"type": "server_error", "message": "no"}});
    let anthropic =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}});
    let how = |event: Value| json!({"body_raw": format!("data: {event}\n\n"), "content_type": "text/event-stream"});
    Fault {
        name: "an error event at once",
        how: [how(openai), how(anthropic)],
        hangs: false,
    }
}

fn faults() -> Vec<Fault> {
    vec![
        fault("none", json!({})),
        status("302", 302),
        status("400", 400),
        status("401", 401),
        status("402", 402),
        status("403", 403),
        status("404", 404),
        status("408", 408),
        status("409", 409),
        status("413", 413),
        status("422", 422),
        status("424", 424),
        status("429", 429),
        status("500", 500),
        status("503", 503),
        status("504", 504),
        status("529", 529),
        fault(
            "an error page",
            json!({"status": 502, "body_raw": "<html>Bad Gateway</html>", "content_type": "text/html"}),
        ),
        fault(
            "an error without words",
            json!({"status": 500, "body_raw": ""}),
        ),
        fault(
            "the credential in an error",
            json!({"echo_credential_in_error": true}),
        ),
        fault("a filter", json!({"block_reason": "SAFETY"})),
        fault(
            "a reset before the head",
            json!({"reset_before_head": true}),
        ),
        fault("an end before the head", json!({"close_before_head": true})),
        hang(
            "silence before the head",
            json!({"stall_before_head": true}),
        ),
        hang("a head that is late", json!({"delay_head_ms": 60_000})),
        fault("a reset after the head", json!({"reset_after_frames": 0})),
        fault("an end after the head", json!({"close_after_frames": 0})),
        hang("silence after the head", json!({"stall_after_frames": 0})),
        told(),
        fault(
            "a reset after 3 frames",
            json!({"frames": 9, "reset_after_frames": 3, "pace_ms": 5}),
        ),
        fault(
            "an end after 3 frames",
            json!({"frames": 9, "close_after_frames": 3, "pace_ms": 5}),
        ),
        hang(
            "silence after 3 frames",
            json!({"frames": 9, "stall_after_frames": 3, "pace_ms": 5}),
        ),
        fault(
            "an error event after 3 frames",
            json!({"frames": 9, "error_event_after_frames": 3, "pace_ms": 5}),
        ),
        fault(
            "JSON that is none",
            json!({"malformed_json": true, "frames": 9}),
        ),
        fault("nothing at all", json!({"body_raw": ""})),
        fault("no usage", json!({"no_usage": true})),
        fault(
            "usage that cannot be true",
            json!({"usage": {"prompt_tokens": -5, "completion_tokens": 1e18}}),
        ),
    ]
}

/// One row of the table.
struct Row<'a> {
    number: usize,
    fault: &'a Fault,
    stream: bool,
    /// The place of the faulty candidate.
    place: usize,
}

impl Row<'_> {
    /// Walks it; returns the line of the table.
    fn walked(&self, gateway: &Gateway, mock: &MockProvider) -> String {
        let Self {
            number,
            fault,
            stream,
            place,
        } = *self;
        let credentials = [0, 1].map(|place| format!("sk-matrix-{number}-{place}"));
        let rows = [
            gateway.openai(mock, &credentials[0]),
            gateway.anthropic(mock, &credentials[1]),
        ];
        let policy = policy(gateway, &[&rows[0], &rows[1]]);
        let limit = fault.hangs.then_some(LIMIT);
        let key = gateway.create_key_with(json!({
            "routing_policy_id": policy, "config": {"fallback": {"attempt_timeout_ms": limit}},
        }));
        let says = |credential: &str, how: &Value, times: u64| {
            let script = Script::once(directive(how)).times(times);
            mock.script(script.matching(Match {
                api_key: Some(credential.to_owned()),
                ..Match::default()
            }));
        };
        says(&credentials[place], &fault.how[place], 1);
        if place == 1 {
            says(&credentials[0], &json!({"status": 503}), 0);
        }
        let ask = Ask::post(CHAT, &key.secret, question(stream));
        let answer = gateway.call(&ask);
        let book = gateway.book();
        let trace = book.trace(&answer.request_id());
        let attempts = attempts(&trace);
        let (_, ends) = settled(&book, &answer.request_id(), attempts.len());
        let bill: Vec<_> = ends.iter().map(charged).collect();
        let verbatim = mock
            .truth()
            .iter()
            .any(|truth| truth.body_sha256 == sha256(&answer.body));
        let count = answer.header("x-langwatch-fallback-count");
        let secret = answer.text().contains("sk-matrix");
        assert!(!secret, "{}: {}", fault.name, answer.text());
        // Whoever is passed over now has failed.
        let then = gateway.call(&ask);
        let open = match place {
            0 => then.header("x-langwatch-fallback-count") == Some("1"),
            _ => then.status() == 503 && then.code().1 == "circuit_open",
        };
        format!(
            "{} | {} | {} | {} | {} | {} | {} | {} | {}\n",
            fault.name,
            if stream { "stream" } else { "json" },
            ["first", "second"][place],
            attempts.join(", "),
            answer.status(),
            shape(&answer, stream, verbatim),
            count.unwrap_or("-"),
            bill.join(", "),
            if open { "open" } else { "closed" },
        )
    }
}

fn charged(entry: &Entry) -> &'static str {
    match (entry.kind, entry.certainty) {
        (EntryKind::Release, _) => "nothing",
        (_, Certainty::Exact) => "exact",
        (_, Certainty::Estimated | Certainty::Orphaned) => "estimate",
    }
}

/// What the caller reads.
fn shape(answer: &Answer, stream: bool, verbatim: bool) -> String {
    let text = answer.text();
    let cut = if answer.cut { ", cut" } else { "" };
    if let Some(code) = answer.header("x-langwatch-handled-error") {
        return format!("ours: {code}{cut}");
    }
    if answer.status() != 200 {
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let word = |pointer| json.pointer(pointer).and_then(Value::as_str);
        let kind = word("/error/type").unwrap_or("no type");
        let how = match json.pointer("/error/meta") {
            Some(_) => "anew",
            None if verbatim => "as it came",
            // Not every answer is in the mock's book, and ours has no credential in it.
            None => "in their words",
        };
        return format!("theirs, {how}: {kind}{cut}");
    }
    if !stream {
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let object = json.get("object").and_then(Value::as_str);
        return format!("{}{cut}", object.unwrap_or("as it came"));
    }
    let chunks = text.matches("\"chat.completion.chunk\"").count();
    let first = if chunks > 0 { "chunks" } else { "nothing" };
    let frame = text
        .split_once("event: error\ndata: ")
        .map(|(_, frame)| frame);
    let frame = frame.or_else(|| text.contains("{\"error\"").then_some(text.as_str()));
    let last = match frame {
        Some(frame) => {
            let code = |name: &str| {
                let (_, rest) = frame.split_once(&format!("\"{name}\":\""))?;
                rest.split('"').next()
            };
            let code = code("code").or_else(|| code("type"));
            format!("error {}", code.unwrap_or("without a name"))
        }
        None if text.ends_with("data: [DONE]\n\n") => "[DONE]".to_owned(),
        None => "no end".to_owned(),
    };
    format!("{first}, {last}{cut}")
}

#[test]
fn every_fault_in_every_place_has_its_attempts_answer_bill_and_circuit() {
    let gateway = Gateway::builder()
        .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
        .env("LW_GATEWAY_CIRCUIT_THRESHOLD", "1")
        .env("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "600")
        .env("LW_GATEWAY_UPSTREAM_IDLE_TIMEOUT_SECONDS", "2")
        .start();
    let mock = provider();
    let faults = faults();
    let mut rows = Vec::new();
    for fault in &faults {
        for stream in [false, true] {
            for place in [0, 1] {
                rows.push(Row {
                    number: rows.len(),
                    fault,
                    stream,
                    place,
                });
            }
        }
    }
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(vec![String::new(); rows.len()]);
    std::thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let line = row.walked(&gateway, &mock);
                    lines.lock()[row.number] = line;
                }
            });
        }
    });
    let head = "fault | answer | place | attempts | status | shape | fallbacks | bill | circuit\n";
    insta::assert_snapshot!(head.to_owned() + &lines.into_inner().concat());
}
