//! What a provider's answer becomes: passed on, held back until its end, or a setback.
//!
//! Nothing has gone out to the caller when a setback is returned. Start at [`answered`].

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use lw_core::{BodyForm, Code, Error};
use lw_upstream::UpstreamBody;
use lw_wire::Surface;
use lw_wire::tap::{MOST_HELD, Tap, provider_error_name};
use tokio::time::{Instant, timeout_at};

use crate::attempt::CallerHead;
use crate::beginning::Beginning;
use crate::bundle::Capture;
use crate::call::{Call, Ending, micros};
use crate::convert::Conversion;
use crate::foreign::Exchange;
use crate::refusal::refuse_after;
use crate::relay::Relay;
use crate::reply::{Reply, ReplyBody};
use crate::setback::{Fallen, Held, Setback};
use crate::{caching, exhausted, guarded, headers, translated};

/// JSON answers up to this size are held back, so that their head can tell what they say.
const HELD_BACK: usize = 256 * 1024;
/// Error answers up to this size are held back and searched for our credential.
pub(crate) const ERROR_HELD: usize = 1024 * 1024;
/// The largest answer that guardrails check.
const LARGEST_CHECKED: usize = 32 * 1024 * 1024;

/// Turns the provider's answer into ours. `more`: another candidate may follow, so that an answer counts as
/// one only when its first event is there and says so (data-plane 13.2).
///
/// # Errors
/// The answer cannot be the caller's; nothing has gone out.
pub(crate) async fn answered(
    mut call: Box<Call>,
    answer: Response<UpstreamBody>,
    exchange: Exchange,
    head: &CallerHead,
    more: bool,
) -> Result<Reply, Box<Fallen>> {
    if let Exchange::Translated(_) | Exchange::Counted(_) = exchange
        && (!answer.status().is_success() || !is_stream(&answer, &call))
    {
        return Box::pin(translated::answer(call, answer, exchange)).await;
    }
    let (parts, body) = answer.into_parts();
    let native = exchange.is_native();
    let surface = call.surface.unwrap_or(Surface::Chat);
    let mut reply_head = reply_head(&call, &parts.headers, native, surface);
    // We asked for none: a coding that came all the same is passed on, and what is inside is not read.
    let encoded = parts.headers.get(CONTENT_ENCODING);
    if let Some(encoding) = encoded {
        reply_head.insert(CONTENT_ENCODING, encoding.clone());
    }
    if !parts.status.is_success() {
        return Err(match provider_error(&call, body).await {
            Ok((body, name)) => {
                let held = Held {
                    status: parts.status,
                    head: reply_head,
                    body,
                    name,
                };
                Setback::theirs(held).of(call)
            }
            Err(error) => translated::unreadable(call, error),
        });
    }
    let as_list = surface.is_gemini() && !asks_for_events(head.query.as_deref());
    let conversion = Conversion::new(&exchange, as_list);
    let event_stream = conversion.is_some() || is_event_stream(&parts.headers);
    let form = if encoded.is_some() {
        BodyForm::Opaque
    } else {
        surface.response_form(event_stream)
    };
    let body = if event_stream {
        let kind = if as_list {
            "application/json"
        } else {
            "text/event-stream"
        };
        stream_head(&mut reply_head, conversion.is_some().then_some(kind), head);
        let mut beginning = Beginning::new(conversion, form, more);
        let body = match beginning.read(&call, body).await {
            Ok(body) => body,
            // Nothing went out yet: this is an ordinary error with its own status (17.1).
            Err(error) => {
                call.broke_off(&error);
                let seen = beginning.tap(form);
                return Err(Setback::ours(error).having_seen(seen).of(call));
            }
        };
        let provider = call.lane().map_or("unknown", |lane| lane.kind.as_str());
        if let Some(failure) = beginning.failure(provider) {
            // The same, told inside a stream that had just begun.
            return Err(translated::refused(call, &parts.headers, failure));
        }
        call.accepted();
        let Beginning {
            pieces, conversion, ..
        } = beginning;
        let tap = tap(&call, form, held_of_stream(&call), native);
        ReplyBody::relay(Relay::new(call, body, pieces, tap, conversion))
    } else if call.inbound.as_ref().is_some_and(|inbound| inbound.stream)
        && (surface.is_gemini() || !guarded::checks_answers(&call))
    {
        // A stream in another form (Gemini's JSON list): not held back. What is no stream at all is, for a key
        // that checks answers.
        let tap = tap(&call, form, MOST_HELD, native);
        call.accepted();
        ReplyBody::relay(Relay::new(call, body, Vec::new(), tap, None))
    } else {
        let mut tap = tap(&call, form, MOST_HELD, native);
        let mode = call.cache.mode;
        if guarded::checks_answers(&call) {
            // Boxed: few keys check answers.
            return Box::pin(checked(call, body, parts.status, reply_head, tap)).await;
        }
        match json(&mut call, body, &mut tap).await {
            Ok(Json::Whole(pieces, cached)) => {
                let outcome = caching::outcome(mode, cached);
                reply_head.insert(headers::CACHE, HeaderValue::from_static(outcome));
                ReplyBody::whole(pieces)
            }
            // The pieces are shown to a fresh tap again when the relay passes them on.
            Ok(Json::Large(pieces, body)) => {
                let tap = self::tap(&call, form, MOST_HELD, native);
                call.accepted();
                ReplyBody::relay(Relay::new(call, body, pieces, tap, None))
            }
            Err(error) => return Err(Setback::ours(error).having_seen(tap).of(call)),
        }
    };
    let mut reply = Response::new(body);
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = reply_head;
    Ok(reply)
}

/// A JSON answer of a key that checks answers: it is held back as a whole.
async fn checked(
    mut call: Box<Call>,
    body: UpstreamBody,
    status: StatusCode,
    mut head: HeaderMap,
    mut tap: Tap,
) -> Result<Reply, Box<Fallen>> {
    let body = match whole(&call, body, LARGEST_CHECKED, "an answer").await {
        Ok(body) => body,
        Err(error) => {
            call.broke_off(&error);
            return Err(Setback::ours(error).having_seen(tap).of(call));
        }
    };
    let body = match Box::pin(guarded::answer(&mut call, tap.form(), body.clone())).await {
        Ok(body) => body,
        Err(error) => {
            tap.push(&body);
            return Ok(withheld(&mut call, error, tap));
        }
    };
    // What was taken out of it is not for the trace either.
    tap.push(&body);
    call.bytes_out = body.len() as u64;
    call.first_byte_us = Some(micros(call.start));
    call.accepted();
    let mode = call.cache.mode;
    let _ = call.end(&Ending::Complete, Some(&mut tap));
    let usage = tap.observed().billable();
    let read = usage.is_some_and(|usage| usage.cache_read > 0);
    let outcome = caching::outcome(mode, read);
    head.insert(headers::CACHE, HeaderValue::from_static(outcome));
    let mut reply = Response::new(ReplyBody::whole(vec![body]));
    *reply.status_mut() = status;
    *reply.headers_mut() = head;
    Ok(reply)
}

/// Refuses a whole answer that `tap` saw. It was paid for all the same; its text goes nowhere, not into the
/// trace either.
pub(crate) fn withheld(call: &mut Call, error: Error, mut tap: Tap) -> Reply {
    tap.finish();
    let _ = tap.take_held();
    refuse_after(call, error, Some(&mut tap))
}

/// What looks at an answer. One that is the provider's own may say what was left there.
fn tap(call: &Call, form: BodyForm, held: usize, native: bool) -> Tap {
    let mut tap = Tap::new(form, held);
    if native && call.is_guarded() {
        tap.note_made();
    }
    tap
}

/// The head of an answer: what the provider's says as far as it passes, and what we say about it.
pub(crate) fn reply_head(
    call: &Call,
    provider: &HeaderMap,
    native: bool,
    surface: Surface,
) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(24);
    let pass = if !native {
        headers::Pass::Hints
    } else if surface.is_gemini() {
        headers::Pass::Everything
    } else {
        headers::Pass::Known
    };
    headers::downstream(provider, &mut head, call.client_names_request(), pass);
    let stamp = call.stamp();
    stamp.write(&mut head);
    stamp.write_dispatched(&mut head);
    head
}

/// What the head of every stream says.
fn stream_head(reply: &mut HeaderMap, converted: Option<&'static str>, head: &CallerHead) {
    if let Some(kind) = converted {
        reply.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    reply.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if head.http1 {
        reply.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    }
}

/// Whether a caller of Gemini wants server-sent events; without it, a stream is a JSON list.
fn asks_for_events(query: Option<&str>) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair == "alt=sse" || pair == "%24alt=sse" || pair == "$alt=sse")
}

/// Whether the answer to translate is a stream: one was asked for and the provider sends one.
fn is_stream(answer: &Response<UpstreamBody>, call: &Call) -> bool {
    let wanted = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
    let text = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    wanted
        && (is_event_stream(answer.headers())
            || text.starts_with("application/vnd.amazon.eventstream"))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.get(..17)
        .is_some_and(|start| start.eq_ignore_ascii_case("text/event-stream"))
}

/// A stream's bytes are kept for the trace; without one, none are.
fn held_of_stream(call: &Call) -> usize {
    match call.bundle.as_ref().map(|bundle| bundle.capture) {
        Some(Capture::Raw) => MOST_HELD,
        _ => 0,
    }
}

enum Json {
    /// All of it, and whether the provider's prompt cache was read. The call has ended.
    Whole(Vec<Bytes>, bool),
    /// The beginning of one that is passed on while it comes.
    Large(Vec<Bytes>, UpstreamBody),
}

/// The next frame of a held answer, within the limits between frames and in total.
pub(crate) async fn next_frame(
    call: &Call,
    body: &mut UpstreamBody,
) -> Result<Option<Bytes>, Error> {
    let limits = call.worker.gateway.settings.timeouts;
    let idle = Instant::now() + limits.idle;
    let deadline = if limits.total.is_zero() {
        idle
    } else {
        idle.min(call.start + limits.total)
    };
    match timeout_at(deadline, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => Err(Error::new(
            Code::ProviderError,
            "the provider broke off in the middle of its answer",
        )
        .because(error)),
        Err(_) => Err(Error::new(
            Code::UpstreamTimeout,
            "the provider fell silent in the middle of its answer",
        )),
    }
}

/// Reads a JSON answer until its end, or until it is too large to be held back.
async fn json(call: &mut Call, mut body: UpstreamBody, tap: &mut Tap) -> Result<Json, Error> {
    let mut pieces = Vec::new();
    let mut length = 0;
    let mut permit = call.worker.gateway.bytes.take(0);
    if body.size_hint().lower() > HELD_BACK as u64 {
        return Ok(Json::Large(pieces, body));
    }
    while !body.is_end_stream() {
        let data = match next_frame(call, &mut body).await {
            Ok(Some(data)) => data,
            Ok(None) => break,
            Err(error) => {
                call.broke_off(&error);
                return Err(error);
            }
        };
        length += data.len();
        let room = permit
            .as_mut()
            .is_some_and(|permit| permit.grow(data.len()));
        tap.push(&data);
        pieces.push(data);
        if length > HELD_BACK || !room {
            return Ok(Json::Large(pieces, body));
        }
    }
    call.bytes_out = length as u64;
    call.first_byte_us = Some(micros(call.start));
    call.accepted();
    let _ = call.end(&Ending::Complete, Some(tap));
    let cached = tap
        .observed()
        .billable()
        .is_some_and(|usage| usage.cache_read > 0);
    Ok(Json::Whole(pieces, cached))
}

/// Reads a whole body of at most `most` bytes; `what` it is goes into the refusal of a larger one.
pub(crate) async fn whole(
    call: &Call,
    mut body: UpstreamBody,
    most: usize,
    what: &str,
) -> Result<Bytes, Error> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    let mut permit = call.worker.gateway.bytes.take(0);
    while let Some(data) = next_frame(call, &mut body).await? {
        length += data.len();
        let room = permit
            .as_mut()
            .is_some_and(|permit| permit.grow(data.len()));
        if length > most || !room {
            let text = format!("the provider answered with {what} of more than {most} bytes");
            return Err(Error::new(Code::ProviderError, text));
        }
        pieces.push(data);
    }
    Ok(match pieces.as_mut_slice() {
        [one] => std::mem::take(one),
        many => many.concat().into(),
    })
}

/// Reads a provider's error as it came, and its type or code. Only our own secrets, should they stand in
/// there, are taken out, and what it says about the provider's account.
pub(crate) async fn provider_error(
    call: &Call,
    body: UpstreamBody,
) -> Result<(Bytes, Option<String>), Error> {
    let whole = whole(call, body, ERROR_HELD, "an error").await?;
    let whole = call.without_secrets(whole);
    let name = provider_error_name(&whole);
    Ok((exhausted::covered(call.status, whole), name))
}
