//! Makes the answer to a request that is allowed to have one.
//!
//! Picks the dialect's writer, applies what a directive changes about the body, and keeps the
//! counts beside it. Never touches a socket. Start at [`generate`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::HeaderValue;
use serde_json::Value;

use crate::answer::{Bill, Block, Draft};
use crate::body::{Chunk, Ending};
use crate::check::{filtered, nothing_kept};
use crate::conn::Kill;
use crate::dialect::{chat, converse, embeddings, gemini, messages, models, responses};
use crate::directive::Directive;
use crate::frame::Frame;
use crate::identity;
use crate::json::Obj;
use crate::plan::{Piece, plan};
use crate::record::Usage;
use crate::reply::{EVENTS, FRAMES, GOOGLE_EVENTS, GOOGLE_JSON, JSON, Refusal, error_headers};
use crate::request::Ask;
use crate::seal::sign;
use crate::serve::{Call, message_of};
use crate::target::{Dialect, Route, Shelf, Vendor};

/// A finished answer.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) status: u16,
    pub(crate) id: String,
    pub(crate) usage: Usage,
    pub(crate) content_type: HeaderValue,
    pub(crate) chunks: VecDeque<Chunk>,
    pub(crate) ending: Ending,
    pub(crate) gap: Duration,
    /// The length to announce, if any.
    pub(crate) has_len: Option<u64>,
    /// It is a stream of events.
    pub(crate) events: bool,
    /// Headers of this answer, besides those that every answer of the vendor has.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// The answer that the request asks for.
pub(crate) fn generate(
    call: &Call<'_>,
    ask: &Ask,
    directive: &Directive,
    gap: Duration,
) -> Result<Made, Refusal> {
    let target = call.target;
    if let Some(reason) = &directive.block_reason
        && target.route.generates()
        && let Some(refusal) = filtered(call, reason)
    {
        return Err(refusal);
    }
    let plain = |json: String| whole(json, &Chunk::default(), directive);
    let made = match target.route {
        Route::Models => plain(models::list(target)),
        Route::Model(id) => match models::one(id, target.dialect) {
            Some(json) => plain(json),
            None => {
                let message = format!("The model '{id}' does not exist");
                return Err(Refusal::new(target.dialect, 404, message));
            }
        },
        Route::CountTokens => plain(Obj::new().num("input_tokens", ask.words).end()),
        Route::InputTokens => {
            let counted = Obj::new().str("object", "response.input_tokens");
            plain(counted.num("input_tokens", ask.words).end())
        }
        Route::BedrockCount => {
            let tokens = counted_input(call.body).unwrap_or(ask.words);
            plain(Obj::new().num("inputTokens", tokens).end())
        }
        Route::GeminiCount => {
            let tokens = wrapped_input(call.body).unwrap_or(ask.words);
            plain(Obj::new().num("totalTokens", tokens).end())
        }
        Route::Embeddings
        | Route::GeminiEmbed { .. }
        | Route::Predict
        | Route::Titan
        | Route::Cohere => embedded(call, ask, directive),
        Route::Chat | Route::Responses | Route::Messages | Route::Gemini | Route::Converse => {
            spoken(call, ask, directive, gap)
        }
        Route::Kept(shelf, id) => plain(kept(call, ask, shelf, id)?),
        Route::Identity(which) => {
            let (status, content_type, body) = identity::answer(call, which, directive);
            return Ok(Made {
                status: directive.status.unwrap_or(status),
                content_type,
                ..plain(body)
            });
        }
        // Reached only with a 2xx status in a script for a path that we do not serve.
        Route::Root | Route::WrongMethod | Route::Unknown => plain(String::from("{}")),
    };
    let content_type = match (target.dialect, made.content_type == JSON) {
        (Dialect::Gemini, true) => GOOGLE_JSON,
        (_, _) => made.content_type,
    };
    Ok(Made {
        status: directive.status.unwrap_or(200),
        content_type,
        ..made
    })
}

/// Words of the request inside a request to count: a Converse body as it is, or a body to invoke a
/// model with, in base64.
fn counted_input(body: &[u8]) -> Option<u64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let input = body.get("input")?;
    let inner = match input.get("converse") {
        Some(converse) => converse.to_string().into_bytes(),
        None => {
            let coded = input.pointer("/invokeModel/body")?.as_str()?;
            BASE64.decode(coded.as_bytes()).ok()?
        }
    };
    Some(Ask::read(&inner).ok()?.words)
}

/// Words of the whole request that Gemini may be given to count in place of `contents`.
fn wrapped_input(body: &[u8]) -> Option<u64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let wrapped = ["generateContentRequest", "generate_content_request"];
    let inner = wrapped.into_iter().find_map(|name| body.get(name))?;
    Some(Ask::read(inner.to_string().as_bytes()).ok()?.words)
}

/// Puts onto a shelf, shows what is there, or takes it away.
fn kept(call: &Call<'_>, ask: &Ask, shelf: Shelf, id: Option<&str>) -> Result<String, Refusal> {
    let shelves = &call.shared.shelves;
    let Some(id) = id else {
        if call.head.method == http::Method::GET {
            return Ok(shelves.list(shelf));
        }
        let body = serde_json::from_slice(call.body).unwrap_or_default();
        return Ok(shelves.put(shelf, call.n, &body, ask.words, call.now()));
    };
    let name = format!("{}/{id}", shelf.name());
    let nothing = || nothing_kept(shelf, id);
    if call.head.method == http::Method::DELETE {
        return shelves
            .take(&name)
            .then(|| String::from("{}"))
            .ok_or_else(nothing);
    }
    shelves.get(&name).ok_or_else(nothing)
}

/// The error that a directive asks for.
pub(crate) fn error_body(call: &Call<'_>, directive: &Directive) -> Made {
    let dialect = call.target.dialect;
    let asked = directive.status.filter(|status| *status >= 300);
    let status = asked.unwrap_or(401);
    let mut message = message_of(directive, status);
    if directive.echo_credential_in_error {
        let key = call.key.as_deref().unwrap_or_default();
        message = format!("{message} Incorrect API key provided: {key}.");
    }
    if let Route::Identity(which) = call.target.route {
        let kind = directive.error_type.as_deref().unwrap_or("server_error");
        let (status, content_type, body) = identity::error(which, status, kind, &message);
        return Made {
            status,
            content_type,
            ..whole(body, &Chunk::default(), directive)
        };
    }
    let mut refusal = Refusal::new(dialect, status, message);
    if let Some(kind) = &directive.error_type {
        refusal.kind.clone_from(kind);
        if status == 429 {
            refusal = refusal.code(Some(kind));
        }
    }
    let body = refusal.body(dialect, &call.request_id);
    Made {
        status,
        headers: error_headers(call, &refusal).into_iter().collect(),
        ..whole(body, &Chunk::default(), directive)
    }
}

/// A body given verbatim.
pub(crate) fn raw(call: &Call<'_>, text: &str, stream: bool, directive: &Directive) -> Made {
    let made = whole(text.to_owned(), &Chunk::default(), directive);
    Made {
        status: directive.status.unwrap_or(200),
        content_type: if stream { stream_type(call) } else { JSON },
        events: stream,
        ..made
    }
}

/// The content type of a stream.
fn stream_type(call: &Call<'_>) -> HeaderValue {
    match call.target.dialect {
        Dialect::Bedrock => FRAMES,
        Dialect::Gemini if call.target.array => GOOGLE_JSON,
        Dialect::Gemini => GOOGLE_EVENTS,
        Dialect::OpenAi | Dialect::Anthropic => EVENTS,
    }
}

fn embedded(call: &Call<'_>, ask: &Ask, directive: &Directive) -> Made {
    let mut bill = Bill::new(ask.words, 0, 0, directive);
    bill.usage.output = 0;
    let model = directive
        .model
        .as_deref()
        .or(ask.model.as_deref())
        .unwrap_or_default();
    let mut headers = Vec::new();
    let json = match call.target.route {
        // This API has no counts: the caller asks for them apart.
        Route::GeminiEmbed { batch } => embeddings::gemini(ask, batch),
        Route::Predict => embeddings::vertex(ask),
        Route::Titan => embeddings::titan(ask, model, &bill),
        Route::Cohere => embeddings::cohere(ask, call.n),
        _ => embeddings::whole(ask, model, &bill),
    };
    if matches!(call.target.route, Route::Titan | Route::Cohere) {
        headers = counted(&bill);
    }
    let reported = bill.reported(String::new).is_some();
    let counts = Chunk {
        usage: reported && !matches!(call.target.route, Route::GeminiEmbed { .. }),
        ..Chunk::default()
    };
    let made = whole(json, &counts, directive);
    Made {
        usage: bill.usage,
        headers,
        ..made
    }
}

/// Bedrock's counts of an invocation, which it puts in headers too.
fn counted(bill: &Bill) -> Vec<(&'static str, String)> {
    if bill.reported(String::new).is_none() {
        return Vec::new();
    }
    vec![
        ("x-amzn-bedrock-input-token-count", bill.fresh()),
        ("x-amzn-bedrock-output-token-count", bill.output()),
        ("x-amzn-bedrock-invocation-latency", String::from("1")),
    ]
}

type Writer = fn(&Draft) -> String;

fn spoken(call: &Call<'_>, ask: &Ask, directive: &Directive, gap: Duration) -> Made {
    let mut draft = Draft::new(call.n, call.now(), ask, directive);
    let target = call.target;
    let (id, writer): (String, Writer) = match target.route {
        Route::Responses => (responses::id(&draft), responses::whole),
        Route::Messages => (messages::id(&draft), messages::whole),
        Route::Gemini => (gemini::id(&draft), gemini::whole),
        Route::Converse => (String::new(), converse::whole),
        _ => (chat::id(&draft), chat::whole),
    };
    remember(call, ask, &draft, &id);
    let made = if ask.stream {
        let error = |frames| error_event(call, directive, frames);
        let (chunks, ending) = plan(frames(call, &draft), directive, gap, error);
        Made {
            chunks,
            ending,
            gap,
            has_len: None,
            events: true,
            content_type: stream_type(call),
            ..Made::empty()
        }
    } else {
        let mut json = writer(&draft);
        let short = directive
            .response_bytes
            .unwrap_or(0)
            .saturating_sub(json.len());
        // Inside the last word, so that the token count stays.
        if short > 0 && !draft.calls_tools() && draft.pad(&"x".repeat(short)) {
            json = writer(&draft);
        }
        let counts = Chunk {
            text_bytes: draft.text_bytes(),
            words: draft.words(),
            usage: draft.bill.reported(String::new).is_some(),
            ..Chunk::default()
        };
        let invoked = target.vendor == Vendor::Bedrock && target.route == Route::Messages;
        Made {
            headers: if invoked {
                counted(&draft.bill)
            } else {
                Vec::new()
            },
            ..whole(json, &counts, directive)
        }
    };
    Made {
        id,
        usage: draft.bill.usage,
        ..made
    }
}

/// The frames of a stream, in the framing of whose server the mock is.
fn frames(call: &Call<'_>, draft: &Draft) -> Vec<Piece> {
    let target = call.target;
    let is_bedrock = target.vendor == Vendor::Bedrock;
    match target.route {
        Route::Responses => responses::stream(draft),
        Route::Messages => {
            let pieces = messages::stream(draft, is_bedrock);
            if is_bedrock {
                let pieces = pieces.into_iter();
                return pieces
                    .filter_map(|piece| piece.framed(converse::invoked))
                    .collect();
            }
            pieces
        }
        Route::Gemini => gemini::stream(draft, target.array),
        Route::Converse => converse::stream(draft),
        _ => chat::stream(draft, target.vendor == Vendor::Azure),
    }
}

/// What a later request may refer to: the response, and proofs that the mock did not make itself.
fn remember(call: &Call<'_>, ask: &Ask, draft: &Draft, id: &str) {
    let shared = call.shared;
    if call.target.route == Route::Responses && shared.record && !ask.unstored {
        shared.remember(id);
    }
    for block in &draft.blocks {
        match block {
            Block::Thinking { frames, signature } if *signature != sign(&frames.concat()) => {
                shared.remember(signature);
            }
            Block::Redacted(data) => shared.remember(data),
            _ => {}
        }
    }
}

fn error_event(call: &Call<'_>, directive: &Directive, frames: usize) -> Piece {
    let kind = |usual: &'static str| directive.error_type.as_deref().unwrap_or(usual);
    let target = call.target;
    let message = |status| message_of(directive, status);
    if target.dialect == Dialect::Bedrock {
        let payload = Obj::new().str("message", &message(500)).end();
        let kind = kind("internalServerException");
        return Piece::frame(Frame::exception(kind, payload));
    }
    Piece::lead(match target.route {
        Route::Messages => {
            let message = directive.error_message.as_deref().unwrap_or("Overloaded");
            messages::error_event(kind("overloaded_error"), message, &call.request_id)
        }
        Route::Responses => responses::error_event(kind("server_error"), &message(500), frames),
        Route::Gemini => {
            let refusal = Refusal::new(target.dialect, 503, message(503)).kind(kind("UNAVAILABLE"));
            let json = refusal.body(target.dialect, &call.request_id);
            let end = if target.array { "]" } else { "" };
            gemini::framed(&json, target.array, frames) + end
        }
        _ => chat::error_event(kind("server_error"), &message(500)),
    })
}

/// A body that is not a stream, with the faults that such a body can have.
fn whole(mut json: String, counts: &Chunk, directive: &Directive) -> Made {
    let short = directive
        .response_bytes
        .unwrap_or(0)
        .saturating_sub(json.len());
    if directive.body_raw.is_none() && short > 0 {
        json.extend(std::iter::repeat_n(' ', short));
    }
    if directive.malformed_json {
        json = json.chars().take(json.chars().count() * 2 / 3).collect();
    }
    let bytes = Bytes::from(json);
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let half = bytes.len() / 2;
    let mut made = Made {
        has_len: (!directive.chunked).then_some(len),
        ..Made::empty()
    };
    let cuts = [
        (directive.reset_after_frames, Ending::Kill(Kill::Reset)),
        (directive.close_after_frames, Ending::Kill(Kill::Close)),
        (directive.stall_after_frames, Ending::Stall),
    ];
    if let Some((after, ending)) = cuts
        .into_iter()
        .find_map(|(after, end)| Some((after?, end)))
    {
        made.ending = ending;
        if after > 0 {
            made.chunks.push_back(Chunk {
                bytes: bytes.slice(..half),
                ..Chunk::default()
            });
        }
    } else if directive.chunked && half > 0 {
        made.chunks.push_back(Chunk {
            bytes: bytes.slice(..half),
            ..Chunk::default()
        });
        made.chunks.push_back(Chunk {
            bytes: bytes.slice(half..),
            ..counts.clone()
        });
    } else if !bytes.is_empty() {
        made.chunks.push_back(Chunk {
            bytes,
            ..counts.clone()
        });
    }
    made
}

impl Made {
    fn empty() -> Self {
        Self {
            status: 200,
            id: String::new(),
            usage: Usage::default(),
            content_type: JSON,
            chunks: VecDeque::new(),
            ending: Ending::Done,
            gap: Duration::ZERO,
            has_len: None,
            events: false,
            headers: Vec::new(),
        }
    }
}
