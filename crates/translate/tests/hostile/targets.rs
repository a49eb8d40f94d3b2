//! Everything that reads bytes of strangers, as functions of bytes: the fuzzers of `fuzz/` and the walk beside
//! this file run the same bodies.
//!
//! A body may refuse its bytes. It must never panic, and it asserts what holds for all bytes: whatever is
//! written is JSON, and how bytes are cut makes no difference. Start at [`TARGETS`].

use std::fmt::Debug;
use std::ops::ControlFlow;

use bytes::Bytes;
use lw_core::BodyForm;
use lw_translate::count::{self, Counter};
use lw_translate::embeddings::{self, EmbeddingAnswer, EmbeddingsRequest, Encoding};
use lw_translate::ir::Failure;
use lw_translate::stream::{Framing, Translator};
use lw_translate::{Caller, Dialect, Target, converse, failure, messages};
use lw_wire::envelope::Envelope;
use lw_wire::splice::{NativeEdits, add_absent, native};
use lw_wire::sse::Events;
use lw_wire::subjects::{self, Kind, Unreadable, Wants};
use lw_wire::tap::{MOST_HELD, Tap};
use lw_wire::{Surface, capture, usage};
use serde::de::IgnoredAny;

/// A body: a byte that chooses among what the target can do, and the bytes of the stranger.
pub(crate) type Body = fn(u8, &[u8]);

/// Every target by the name of its fuzzer.
pub(crate) const TARGETS: [(&str, Body); 13] = [
    ("requests", requests),
    ("answers", answers),
    ("streams", streams),
    ("embeddings", vectors),
    ("counts", counts),
    ("failures", failures),
    ("near_native", near_native),
    ("sse", sse),
    ("tap", tap),
    ("envelope", envelope),
    ("capture", captured),
    ("eventstream", eventstream),
    ("subjects", judged),
];

/// Runs one target as a fuzzer does: the first byte chooses.
pub(crate) fn run(name: &str, data: &[u8]) {
    let body = TARGETS.iter().find(|(known, _)| *known == name);
    if let (Some((_, body)), Some((which, data))) = (body, data.split_first()) {
        body(*which, data);
    }
}

const DIALECTS: [Dialect; 5] = [
    Dialect::Chat,
    Dialect::Responses,
    Dialect::Messages,
    Dialect::Gemini,
    Dialect::Converse,
];

const CALLERS: [Dialect; 4] = [
    Dialect::Chat,
    Dialect::Responses,
    Dialect::Messages,
    Dialect::Gemini,
];

const LANES: [(Dialect, &str, &str); 8] = [
    (Dialect::Chat, "custom", "test-model"),
    (Dialect::Responses, "openai", "gpt-5"),
    (Dialect::Messages, "anthropic", "claude-sonnet-4-5-20250929"),
    (Dialect::Messages, "anthropic", "claude-opus-4-6"),
    (Dialect::Gemini, "gemini", "gemini-2.5-flash"),
    (Dialect::Gemini, "vertex", "gemini-3-pro-preview"),
    (
        Dialect::Converse,
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (Dialect::Converse, "bedrock", "amazon.nova-pro-v1:0"),
];

/// The part of `which` that counts one list, taken off it.
fn pick<T: Copy>(which: &mut u8, list: &[T]) -> T {
    let count = u8::try_from(list.len()).expect("a short list");
    let one = list[usize::from(*which % count)];
    *which /= count;
    one
}

fn target(provider: &'static str, model: &'static str) -> Target<'static> {
    Target {
        provider,
        model,
        name: model,
        max_output: None,
    }
}

fn caller() -> Caller {
    Caller {
        model: "test-model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcd".to_owned(),
        created: 1_700_000_000,
        ..Caller::default()
    }
}

#[track_caller]
fn is_json(bytes: &[u8]) {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        panic!("not JSON: {error} in {}", String::from_utf8_lossy(bytes));
    }
}

/// What is said of a refusal may quote the stranger; it must be printable all the same.
fn shown<T, E: Debug>(outcome: Result<T, E>) -> Option<T> {
    outcome.map_err(|error| format!("{error:?}")).ok()
}

fn requests(mut which: u8, data: &[u8]) {
    let from = pick(&mut which, &CALLERS);
    let (to, provider, model) = pick(&mut which, &LANES);
    let Some(request) = shown(lw_translate::read_request(from, data)) else {
        return;
    };
    let told = Caller::of(&request);
    for (_, echoed) in &told.echo {
        is_json(echoed.get().as_bytes());
    }
    if let Some(outgoing) = shown(lw_translate::write_request(
        to,
        request,
        &target(provider, model),
    )) {
        is_json(&outgoing.body);
        assert!(outgoing.dropped.is_sorted(), "{:?}", outgoing.dropped);
    }
}

fn answers(mut which: u8, data: &[u8]) {
    let from = pick(&mut which, &DIALECTS);
    let to = pick(&mut which, &CALLERS);
    if let Some(answer) = shown(lw_translate::read_answer(from, data)) {
        is_json(&lw_translate::write_answer(to, answer, &caller()));
    }
}

/// One stream in pieces of `size` bytes.
fn translated(from: Dialect, framing: Framing, to: Dialect, data: &[u8], size: usize) -> Vec<u8> {
    let mut translator = Translator::new(from, framing, to, caller());
    let mut out = Vec::new();
    if framing == Framing::Cut {
        for line in data.split(|byte| *byte == b'\n') {
            // A frame of AWS as the cases have it, or a payload alone.
            match serde_json::from_slice::<AwsFrame<'_>>(line) {
                Ok(AwsFrame { r#type, payload }) => {
                    translator.frame(Some(r#type), payload.get().as_bytes(), &mut out);
                }
                Err(_) => translator.frame(None, line, &mut out),
            }
        }
    } else {
        for piece in data.chunks(size.max(1)) {
            translator.push(piece, &mut out);
        }
    }
    translator.end(&mut out);
    if !translator.is_over() {
        translator.fail(
            Failure {
                message: "the provider broke off".to_owned(),
                ..Failure::default()
            },
            &mut out,
        );
    }
    assert!(translator.is_over(), "a stream that was ended is over");
    let after = out.len();
    translator.push(data, &mut out);
    translator.end(&mut out);
    assert_eq!(out.len(), after, "nothing comes behind the end");
    out
}

#[derive(serde::Deserialize)]
struct AwsFrame<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    payload: &'a serde_json::value::RawValue,
}

fn streams(mut which: u8, data: &[u8]) {
    let from = pick(&mut which, &DIALECTS);
    let to = pick(&mut which, &CALLERS);
    let framing = pick(&mut which, &[Framing::Sse, Framing::Cut, Framing::Json]);
    let whole = translated(from, framing, to, data, data.len());
    let single = translated(from, framing, to, data, 1);
    assert!(whole == single, "the cutting shows");
    let text = String::from_utf8(whole).expect("what a caller gets is UTF-8");
    for line in text.lines() {
        if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
            is_json(data.as_bytes());
        }
    }
    let _ = converse::invoke_chunk(data);
}

fn vectors(mut which: u8, data: &[u8]) {
    const TARGETS: [(&str, &str); 6] = [
        ("custom", "nomic-embed-text"),
        ("gemini", "gemini-embedding-001"),
        ("vertex", "text-embedding-005"),
        ("vertex", "gemini-embedding-001"),
        ("bedrock", "amazon.titan-embed-text-v2:0"),
        ("bedrock", "cohere.embed-english-v3"),
    ];
    let (provider, model) = pick(&mut which, &TARGETS);
    let dialect = pick(&mut which, &[0, 1, 2]);
    let asked = match dialect {
        0 => embeddings::read_openai(data),
        one => embeddings::read_gemini(data, one == 2),
    };
    if let Some(request) = shown(asked)
        && let Some(plan) = shown(embeddings::plan(request, &target(provider, model)))
    {
        plan.calls.iter().for_each(|call| is_json(&call.body));
    }
    let fixed = EmbeddingsRequest {
        from: Dialect::Chat,
        model: model.to_owned(),
        inputs: vec!["one".to_owned()],
        dimensions: None,
        encoding: Encoding::Float,
        batch: false,
        drop_tuning: true,
        rest: Vec::new(),
    };
    let Some(plan) = shown(embeddings::plan(fixed, &target(provider, model))) else {
        return;
    };
    let answer = EmbeddingAnswer {
        body: data,
        header_tokens: None,
    };
    let _ = plan.tokens(&[answer]);
    if let Some(vectors) = shown(plan.merge(&[answer])) {
        is_json(&embeddings::write_openai(&vectors, Encoding::Float, model));
        is_json(&embeddings::write_openai(&vectors, Encoding::Base64, model));
        is_json(&embeddings::write_gemini(&vectors, false));
        is_json(&embeddings::write_gemini(&vectors, true));
    }
}

fn counts(mut which: u8, data: &[u8]) {
    let from = pick(&mut which, &CALLERS);
    let (to, model) = pick(
        &mut which,
        &[
            (Counter::Anthropic, "claude-sonnet-4-5"),
            (Counter::Gemini, "gemini-2.5-flash"),
            (Counter::Vertex, "gemini-2.5-flash"),
            (
                Counter::Bedrock,
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (Counter::OpenAi, "gpt-5"),
        ],
    );
    if let Some(outgoing) = shown(count::request(from, data, to, &target("openai", model))) {
        is_json(&outgoing.body);
    }
    if let Some(tokens) = shown(count::read_answer(to, data)) {
        is_json(&count::write_answer(from, tokens));
    }
}

fn failures(mut which: u8, data: &[u8]) {
    let from = pick(&mut which, &DIALECTS);
    let to = pick(&mut which, &CALLERS);
    let status = pick(&mut which, &[400, 429, 500, 529]);
    let kind = pick(
        &mut which,
        &[None, Some("text/html"), Some("application/json")],
    );
    let text = String::from_utf8_lossy(data);
    let failure = failure::read(from, "vendor", status, kind, &[], data);
    let (code, body) = failure::write(to, &failure, "vendor");
    assert!((400..600).contains(&code), "{code}");
    is_json(&body);
    is_json(failure::stream_object(&failure).as_bytes());
    let _ = failure::implied_status(&failure);
    let _ = failure::exception_status(&text);
    let told = [("x-amzn-errortype", &*text)];
    let told = failure::read(from, "vendor", status, kind, &told, b"{}");
    is_json(&failure::write(to, &told, "vendor").1);
}

fn near_native(mut which: u8, data: &[u8]) {
    let door = pick(
        &mut which,
        &[messages::Door::Vertex, messages::Door::BedrockInvoke],
    );
    let betas = ["one-2025-01-01".to_owned()];
    let betas = pick(&mut which, &[&betas[..], &[]]);
    if let Some(body) = shown(messages::near_native(
        data,
        door,
        "vertex-2023-10-16",
        betas,
    )) {
        is_json(&body);
    }
}

fn sse(which: u8, data: &[u8]) {
    let cut = |size: usize| {
        let mut events = Events::default();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for piece in data.chunks(size.max(1)) {
            events.push(piece, |data| seen.push(data.to_vec()));
        }
        events.finish(|data| seen.push(data.to_vec()));
        (seen, events.skipped())
    };
    let whole = cut(data.len());
    assert_eq!(whole, cut(1), "one by one");
    assert_eq!(whole, cut(usize::from(which)), "in pieces of {which}");
}

fn tap(which: u8, data: &[u8]) {
    let form = BodyForm::from_u8(which % 11);
    let cut = |size: usize, most: usize| {
        let mut tap = Tap::new(form, most);
        for piece in data.chunks(size.max(1)) {
            tap.push(&Bytes::copy_from_slice(piece));
        }
        tap.finish();
        tap.observed().clone()
    };
    let whole = cut(data.len(), MOST_HELD);
    assert_eq!(whole, cut(1, MOST_HELD), "one by one");
    if let Some(usage) = whole.billable() {
        assert!(
            usage.prompt() < 1 << 40 && usage.completion() < 1 << 40,
            "{usage:?}"
        );
    }
    let _ = cut(7, 16);
}

fn envelope(which: u8, data: &[u8]) {
    let Some(envelope) = shown(Envelope::read(data)) else {
        return;
    };
    let wanted = NativeEdits {
        model: (which & 1 == 1).then_some("another \"model\""),
        include_usage: which & 2 == 2,
        rename_max_tokens: which & 4 == 4,
    };
    let mut edits = native(data, &envelope, wanted);
    if which & 8 == 8 {
        let added = [("extra".to_owned(), Bytes::from_static(b"{\"a\":1}"))];
        add_absent(&mut edits, data, &added);
    }
    let edited = edits.apply(&Bytes::copy_from_slice(data));
    let edited = edited.into_inner().concat();
    if serde_json::from_slice::<IgnoredAny>(data).is_ok() {
        is_json(&edited);
    }
}

fn captured(which: u8, data: &[u8]) {
    let form = BodyForm::from_u8(which % 11);
    let _ = capture::input_messages(form, data);
    let _ = capture::output_messages(form, data);
    let _ = capture::input_text(form, data);
    let _ = capture::output_text(form, data);
    let _ = capture::cut(form, data, usize::from(which));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut gathered = usage::Anthropic::default();
    gathered.take(text);
    let _ = gathered.reading();
    let _ = (usage::openai(text), usage::embeddings(text));
    let _ = (usage::gemini(text), usage::converse(text));
    let _ = (usage::gemini_tier(text), usage::anthropic_tier(text));
}

fn eventstream(which: u8, data: &[u8]) {
    let whole = lw_cloud::eventstream::decode(data, data.len());
    assert_eq!(whole, lw_cloud::eventstream::decode(data, 1), "one by one");
    let size = usize::from(which);
    assert_eq!(
        whole,
        lw_cloud::eventstream::decode(data, size),
        "in pieces of {size}"
    );
}

fn judged(which: u8, data: &[u8]) {
    let surface = if which & 1 == 1 {
        Surface::Generate
    } else {
        Surface::Chat
    };
    let seen = |tools, mcp, urls| {
        let mut seen = Vec::new();
        let wants = Wants { tools, mcp, urls };
        let walked = subjects::visit(surface, data, wants, |subject| {
            let alias = subject.alias.map(str::to_owned);
            seen.push((
                subject.kind,
                subject.value.to_owned(),
                alias,
                subject.place.to_string(),
            ));
            ControlFlow::<()>::Continue(())
        });
        walked.map(|_| seen)
    };
    let all = match seen(true, true, true) {
        Ok(all) => all,
        Err(Unreadable::NotJson { .. }) => {
            let strict = std::str::from_utf8(data).map(serde_json::from_str::<IgnoredAny>);
            assert!(!matches!(strict, Ok(Ok(_))), "refused, and JSON");
            return;
        }
        Err(_) => return,
    };
    if !data.is_empty() {
        is_json(data);
    }
    for (kind, alone) in [
        (Kind::Tool, seen(true, false, false)),
        (Kind::Mcp, seen(false, true, false)),
        (Kind::Url, seen(false, false, true)),
    ] {
        let among: Vec<_> = all.iter().filter(|each| each.0 == kind).cloned().collect();
        assert_eq!(alone, Ok(among), "asked for alone");
    }
}
