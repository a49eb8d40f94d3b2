//! Checks of streams.

use std::future::poll_fn;
use std::task::{Context, Poll};

use GuardrailDirection::StreamChunk;
use lw_core::BodyForm;
use proptest::prelude::*;

use super::service::{Reply, Service, allow, modify};
use super::*;
use crate::guardrail::stream::{Listener, MOST_HELD, Step, StreamGuard, blocked_frame};

fn guard(rows: &[Guardrail], form: BodyForm, limits: GuardrailTimes) -> StreamGuard {
    let checker = checker_with(limits, true);
    StreamGuard::new(checker, Arc::new(compiled(rows)), Arc::new(who()), form)
}

/// All that comes out now, and whether a guardrail ended it. Nothing may have to be waited for.
fn drained(guard: &mut StreamGuard, out: &mut Vec<u8>) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        match guard.poll(&mut cx) {
            Poll::Ready(Some(Step::Pass(bytes))) => out.extend_from_slice(&bytes),
            Poll::Ready(Some(Step::Block(bytes))) => {
                out.extend_from_slice(&bytes);
                return true;
            }
            Poll::Ready(None) => return false,
            Poll::Pending => panic!("nothing has to be waited for"),
        }
    }
}

/// What comes out of a stream that is cut at these places.
fn passed(guard: &mut StreamGuard, stream: &str, cuts: &[usize]) -> (String, bool) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(stream.len())).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    let (mut out, mut from, mut ended) = (Vec::new(), 0, false);
    for cut in cuts {
        guard.push(&stream.as_bytes()[from..cut]);
        from = cut;
        ended |= drained(guard, &mut out);
    }
    guard.end();
    ended |= drained(guard, &mut out);
    (String::from_utf8(out).expect("text"), ended)
}

fn said(text: &str) -> String {
    let text = Value::from(text);
    format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}},\"x\":1.10}}]}}\n\n"
    )
}

const OPENING: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: ping\n\n";
const CLOSING: &str =
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_text_is_changed_in_its_frame_and_nothing_else_is() {
    let stream = |text: &str| format!("{OPENING}{}{}{CLOSING}", said("to "), said(text));
    let mut guard = guard(
        &[redacts("a", StreamChunk)],
        BodyForm::ChatStream,
        patient(),
    );
    let (out, _) = passed(&mut guard, &stream("jo@x.example!"), &[]);
    assert_eq!(out, stream("[EMAIL]!"));
    let facts = guard.facts();
    assert_eq!(
        (facts.checks, facts.allowed, facts.modified, facts.skipped),
        (2, 1, 1, 4)
    );
    assert_eq!(facts.applied.len(), 1);
    assert_eq!(guard.whole(), Some(vec!["to [EMAIL]!".to_owned()]));
}

#[test]
fn a_block_ends_the_stream_with_one_frame() {
    let stream = format!(
        "{OPENING}{}{}{}{CLOSING}",
        said("fine "),
        said("a secret"),
        said("more")
    );
    let mut guard = guard(
        &[forbids("a", StreamChunk, "secret")],
        BodyForm::ChatStream,
        patient(),
    );
    let (out, ended) = passed(&mut guard, &stream, &[]);
    let last = r#"event: error
data: {"error":{"type":"guardrail_blocked","code":"stream_chunk_blocked","message":"the stream was blocked by the guardrail `a`: it holds a word that is not allowed","param":null}}

"#;
    assert_eq!(out, format!("{OPENING}{}{last}", said("fine ")));
    assert!(ended && guard.facts().blocked.is_some());
}

#[test]
fn the_last_frame_is_what_each_client_expects() {
    let blocked = Blocked {
        direction: Direction::StreamChunk,
        guardrail: "a \"b\"".to_owned(),
        reason: "no".to_owned(),
        policies: Vec::new(),
    };
    let forms = [
        BodyForm::ChatStream,
        BodyForm::MessagesStream,
        BodyForm::ResponsesStream,
        BodyForm::GeminiStream,
        BodyForm::GeminiJson,
    ];
    let frames = forms.map(|form| {
        let frame = blocked_frame(form, &blocked, true);
        format!("{form:?}\n{}", String::from_utf8_lossy(&frame))
    });
    insta::assert_snapshot!("blocked_frames", frames.join("\n"));
    let first = blocked_frame(BodyForm::GeminiJson, &blocked, false);
    assert!(
        serde_json::from_slice::<Value>(&first)
            .expect("JSON")
            .is_array()
    );
}

#[test]
fn a_window_finds_what_two_pieces_hold_together() {
    let limits = GuardrailTimes {
        window_chars: 8,
        ..patient()
    };
    let stream = format!("{}{}{}", said("it is a sec"), said("ret, is it"), said("?"));
    let rows = [forbids("a", StreamChunk, "secret")];
    let (_, ended) = passed(
        &mut guard(&rows, BodyForm::ChatStream, patient()),
        &stream,
        &[],
    );
    assert!(!ended);
    let (out, ended) = passed(
        &mut guard(&rows, BodyForm::ChatStream, limits),
        &stream,
        &[],
    );
    assert!(ended && out.starts_with(&said("it is a sec")) && !out.contains("ret, is it"));
    // What went out before cannot be taken back; the rest does not follow.
    let stream = format!(
        "{}{}{}",
        said("mail jo"),
        said("hn@x.example now"),
        said(" or then")
    );
    let rows = [redacts("a", StreamChunk)];
    let (out, _) = passed(
        &mut guard(&rows, BodyForm::ChatStream, limits),
        &stream,
        &[],
    );
    assert_eq!(
        out,
        format!(
            "{}{}{}",
            said("mail jo"),
            said("[EMAIL] now"),
            said(" or then")
        )
    );
}

fn event(json: &Value) -> String {
    format!(
        "event: {}\ndata: {json}\n\n",
        json["type"].as_str().expect("a type")
    )
}

fn responses(pieces: &[&str], whole: &str) -> String {
    let part = json!({ "type": "output_text", "text": whole, "annotations": [] });
    let item = json!({ "type": "message", "id": "m", "content": [part] });
    let mut events = vec![json!({ "type": "response.created", "response": { "output": [] } })];
    for piece in pieces {
        events.push(json!({ "type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": piece }));
    }
    events.extend([
        json!({ "type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": whole }),
        json!({ "type": "response.content_part.done", "output_index": 1, "content_index": 0, "part": part }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": item }),
        json!({ "type": "response.completed", "response": { "output": [{ "type": "reasoning" }, item], "usage": { "x": 1 } } }),
    ]);
    events.iter().map(event).collect()
}

#[test]
fn what_was_taken_out_does_not_come_back_at_the_end() {
    let rows = [redacts("a", StreamChunk)];
    let mut guarded = guard(&rows, BodyForm::ResponsesStream, patient());
    let stream = responses(&["to ", "jo@x.example", " bye"], "to jo@x.example bye");
    let (out, _) = passed(&mut guarded, &stream, &[]);
    assert_eq!(
        out,
        responses(&["to ", "[EMAIL]", " bye"], "to [EMAIL] bye")
    );
    assert_eq!(guarded.facts().checks, 3);
    // An end that says something that nobody saw is looked at.
    let stream = responses(&[], "to jo@x.example");
    let (out, _) = passed(
        &mut guard(&rows, BodyForm::ResponsesStream, patient()),
        &stream,
        &[],
    );
    assert_eq!(out, responses(&[], "to [EMAIL]"));
    let stream = responses(&["harmless"], "to jo@x.example");
    let (out, _) = passed(
        &mut guard(&rows, BodyForm::ResponsesStream, patient()),
        &stream,
        &[],
    );
    assert!(!out.contains("jo@"), "{out}");
}

#[test]
fn a_stream_is_heard_without_being_touched() {
    let mut listener = Listener::new(&checker(), BodyForm::ResponsesStream);
    for piece in responses(&["a", "b"], "ab").as_bytes().chunks(7) {
        listener.push(piece);
    }
    assert_eq!(listener.whole(), Some(vec!["ab".to_owned()]));
    let mut listener = Listener::new(&checker(), BodyForm::ChatStream);
    listener.push(said("a").as_bytes());
    listener.push(br#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#);
    assert_eq!(listener.whole(), None);
}

async fn pumped(guard: &mut StreamGuard) -> String {
    let mut out = Vec::new();
    while let Some(step) = poll_fn(|cx| guard.poll(cx)).await {
        match step {
            Step::Pass(bytes) | Step::Block(bytes) => out.extend_from_slice(&bytes),
        }
    }
    String::from_utf8(out).expect("text")
}

fn asks(service: &Service) -> Guardrail {
    row(
        "a",
        StreamChunk,
        "http-callout",
        json!({ "url": service.url }),
    )
}

#[tokio::test]
async fn a_service_changes_pieces_one_after_the_other() {
    let service = Service::start(|ask| match ask["content"]["chunk"].as_str() {
        Some("b") => modify(&json!({ "chunk": "B" })),
        _ => allow(),
    })
    .await;
    let mut guard = guard(&[asks(&service)], BodyForm::ChatStream, patient());
    guard.push(format!("{OPENING}{}{}{}{CLOSING}", said("a"), said("b"), said("c")).as_bytes());
    guard.end();
    let out = pumped(&mut guard).await;
    assert_eq!(
        out,
        format!("{OPENING}{}{}{}{CLOSING}", said("a"), said("B"), said("c"))
    );
    let asked = service.asked();
    let chunks: Vec<&Value> = asked
        .iter()
        .map(|(_, ask)| &ask["content"]["chunk"])
        .collect();
    assert_eq!(chunks, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_slow_or_broken_service_lets_pieces_pass_whatever_its_mode() {
    let service = Service::start(|ask| match ask["content"]["chunk"].as_str() {
        Some("slow") => Reply::Nothing,
        Some("bad") => Reply::Json(json!({ "decision": "perhaps" })),
        _ => allow(),
    })
    .await;
    let limits = GuardrailTimes {
        stream_chunk: Duration::from_millis(50),
        ..patient()
    };
    let mut guard = guard(&[asks(&service)], BodyForm::ChatStream, limits);
    let stream = format!("{}{}{CLOSING}", said("slow"), said("bad"));
    guard.push(stream.as_bytes());
    guard.end();
    assert_eq!(pumped(&mut guard).await, stream);
    let facts = guard.facts();
    assert_eq!(
        (facts.checks, facts.fail_open, facts.fail_open_reason),
        (2, 2, Some("timeout"))
    );
}

#[tokio::test]
async fn what_waits_is_bounded_and_passes_when_it_is_too_much() {
    let service = Service::start(|_| Reply::Nothing).await;
    let mut guard = guard(&[asks(&service)], BodyForm::ChatStream, patient());
    let piece = said("x");
    guard.push(piece.as_bytes());
    let pending = poll_fn(|cx| Poll::Ready(guard.poll(cx).is_pending())).await;
    assert!(pending);
    let much = piece.repeat(MOST_HELD / piece.len() + 2);
    guard.push(much.as_bytes());
    let mut out = 0;
    // What is too much comes out at once; the rest waits as before.
    while let Poll::Ready(Some(Step::Pass(bytes))) = poll_fn(|cx| Poll::Ready(guard.poll(cx))).await
    {
        out += bytes.len();
    }
    assert!(out > 0 && guard.held() <= MOST_HELD, "{out}");
    assert_eq!(guard.facts().fail_open_reason, Some("backlog"));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_stream(
        texts in prop::collection::vec(prop::sample::select(vec!["a", "jo@x.example", " ", "ä\n", "\"q\"", "\u{1f600}"]), 0..6),
        cuts in prop::collection::vec(0usize..900, 0..16),
        form in prop::sample::select(vec![BodyForm::ChatStream, BodyForm::ResponsesStream, BodyForm::MessagesStream, BodyForm::GeminiStream, BodyForm::GeminiJson]),
    ) {
        let hidden = |text: &&str| text.replace("jo@x.example", "[EMAIL]");
        let write = |texts: &[String]| -> String {
            let gemini = |text: &String| json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] }).to_string();
            match form {
                BodyForm::ChatStream => OPENING.to_owned() + &texts.iter().map(|text| said(text)).collect::<String>() + CLOSING,
                BodyForm::ResponsesStream => {
                    let pieces: Vec<&str> = texts.iter().map(String::as_str).collect();
                    responses(&pieces, &texts.concat())
                }
                BodyForm::MessagesStream => texts.iter().map(|text| event(&json!({
                    "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }))).collect(),
                BodyForm::GeminiStream => texts.iter().map(|text| format!("data: {}\r\n\r\n", gemini(text))).collect(),
                _ => format!("[{}]", texts.iter().map(gemini).collect::<Vec<_>>().join(",\r\n")),
            }
        };
        let sent = write(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let wanted = write(&texts.iter().map(hidden).collect::<Vec<_>>());
        let mut guard = guard(&[redacts("a", StreamChunk)], form, patient());
        let (out, _) = passed(&mut guard, &sent, &cuts);
        prop_assert_eq!(out, wanted);
        // Without a find the stream is what it was, byte for byte.
        let mut idle = self::guard(&[forbids("b", StreamChunk, "nowhere")], form, patient());
        let (out, _) = passed(&mut idle, &sent, &cuts);
        prop_assert_eq!(out, sent);
    }

    #[test]
    fn a_window_never_loses_or_repeats_harmless_text(
        text in "[a-z @.]{0,60}",
        cuts in prop::collection::vec(0usize..60, 0..8),
        window_chars in 0usize..20,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let stream: String = cuts.windows(2).map(|pair| said(&text[pair[0]..pair[1]])).collect();
        let rows = [row("a", StreamChunk, "pii-check", json!({ "kinds": ["iban"], "action": "redact" }))];
        let limits = GuardrailTimes { window_chars, ..patient() };
        let (out, _) = passed(&mut guard(&rows, BodyForm::ChatStream, limits), &stream, &[]);
        prop_assert_eq!(out, stream);
    }
}
