//! Makes the answer to a request that is allowed to have one.
//!
//! Picks the dialect's writer, applies what a directive changes about the body, and keeps the
//! counts beside it. Never touches a socket. Start at [`generate`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::answer::{Bill, Draft};
use crate::body::{Chunk, Ending};
use crate::conn::Kill;
use crate::dialect::{chat, embeddings, messages, models, responses};
use crate::directive::Directive;
use crate::json::Obj;
use crate::plan::{Piece, plan};
use crate::record::Usage;
use crate::reply::{Dialect, EVENTS, JSON, Refusal, Route};
use crate::request::Ask;
use crate::serve::{Call, message_of};

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
}

/// The answer that the request asks for.
pub(crate) fn generate(
    call: &Call<'_>,
    ask: &Ask,
    directive: &Directive,
    gap: Duration,
) -> Result<Made, Refusal> {
    let anthropic = call.dialect == Dialect::Anthropic;
    let plain = |json: String| whole(json, &Chunk::default(), directive);
    let made = match call.route {
        Route::Models => plain(models::list(anthropic)),
        Route::Model(id) => match models::one(id, anthropic) {
            Some(json) => plain(json),
            None => {
                let message = format!("The model '{id}' does not exist");
                return Err(Refusal::new(call.dialect, 404, message));
            }
        },
        Route::CountTokens => plain(Obj::new().num("input_tokens", ask.words).end()),
        Route::Embeddings => embedded(ask, directive),
        Route::Chat | Route::Responses | Route::Messages => spoken(call, ask, directive, gap),
        // Reached only with a 2xx status in a script for a path that we do not serve.
        Route::Root | Route::WrongMethod | Route::Unknown => plain(String::from("{}")),
    };
    Ok(Made {
        status: directive.status.unwrap_or(200),
        ..made
    })
}

/// The error that a directive asks for.
pub(crate) fn error_body(call: &Call<'_>, directive: &Directive) -> Made {
    let asked = directive.status.filter(|status| *status >= 300);
    let status = asked.unwrap_or(401);
    let mut message = message_of(directive, status);
    if directive.echo_credential_in_error {
        let key = call.key.unwrap_or_default();
        message = format!("{message} Incorrect API key provided: {key}.");
    }
    let mut refusal = Refusal::new(call.dialect, status, message);
    if let Some(kind) = &directive.error_type {
        refusal.kind.clone_from(kind);
        if status == 429 {
            refusal = refusal.code(Some(kind));
        }
    }
    let body = refusal.body(call.dialect, &call.request_id);
    Made {
        status,
        ..whole(body, &Chunk::default(), directive)
    }
}

/// A body given verbatim.
pub(crate) fn raw(text: &str, stream: bool, directive: &Directive) -> Made {
    let made = whole(text.to_owned(), &Chunk::default(), directive);
    let content_type = if stream { EVENTS } else { JSON };
    Made {
        status: directive.status.unwrap_or(200),
        content_type,
        events: stream,
        ..made
    }
}

fn embedded(ask: &Ask, directive: &Directive) -> Made {
    let mut bill = Bill::new(ask.words, 0, 0, directive);
    bill.usage.output = 0;
    let model = directive
        .model
        .as_deref()
        .or(ask.model.as_deref())
        .unwrap_or_default();
    let usage = bill.reported(String::new).is_some();
    let counts = Chunk {
        usage,
        ..Chunk::default()
    };
    let made = whole(embeddings::whole(ask, model, &bill), &counts, directive);
    Made {
        usage: bill.usage,
        ..made
    }
}

type Writer = fn(&Draft) -> String;
type Streamer = fn(&Draft) -> Vec<Piece>;

fn spoken(call: &Call<'_>, ask: &Ask, directive: &Directive, gap: Duration) -> Made {
    let mut draft = Draft::new(call.n, call.started_at / 1_000, ask, directive);
    let (id, writer, streamer): (String, Writer, Streamer) = match call.route {
        Route::Responses => (responses::id(&draft), responses::whole, responses::stream),
        Route::Messages => (messages::id(&draft), messages::whole, messages::stream),
        _ => (chat::id(&draft), chat::whole, chat::stream),
    };
    let made = if ask.stream {
        let error = |frames| error_event(call, directive, frames);
        let (chunks, ending) = plan(streamer(&draft), directive, gap, error);
        Made {
            chunks,
            ending,
            gap,
            has_len: None,
            events: true,
            content_type: EVENTS,
            ..Made::empty()
        }
    } else {
        let mut json = writer(&draft);
        let short = directive
            .response_bytes
            .unwrap_or(0)
            .saturating_sub(json.len());
        if short > 0 && draft.tool.is_none() {
            // Inside the last word, so that the token count stays.
            let padding = "x".repeat(short);
            match draft.parts.last_mut() {
                Some(last) => last.push_str(&padding),
                None => draft.parts.push(padding),
            }
            json = writer(&draft);
        }
        let counts = Chunk {
            text_bytes: draft.text_bytes(),
            words: draft.words(),
            usage: draft.bill.reported(String::new).is_some(),
            ..Chunk::default()
        };
        whole(json, &counts, directive)
    };
    Made {
        id,
        usage: draft.bill.usage,
        ..made
    }
}

fn error_event(call: &Call<'_>, directive: &Directive, frames: usize) -> String {
    let kind = |usual: &'static str| directive.error_type.as_deref().unwrap_or(usual);
    match call.route {
        Route::Messages => {
            let message = directive.error_message.as_deref().unwrap_or("Overloaded");
            messages::error_event(kind("overloaded_error"), message, &call.request_id)
        }
        Route::Responses => {
            responses::error_event(kind("server_error"), &message_of(directive, 500), frames)
        }
        _ => chat::error_event(kind("server_error"), &message_of(directive, 500)),
    }
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
        }
    }
}
