//! Whole answers of a provider that speaks another dialect: written anew in the caller's, errors included.
//!
//! Streams go through [`crate::convert`] instead. Start at [`answer`].

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use lw_core::{Code, Error};
use lw_translate::Dialect;
use lw_translate::ir::{Answer, Failure};
use lw_upstream::UpstreamBody;
use lw_wire::Surface;
use lw_wire::tap::{MOST_HELD, Tap, Told};

use crate::answered::{ERROR_HELD, reply_head, whole, withheld};
use crate::attempt::outcome;
use crate::call::{Call, Ending, micros};
use crate::foreign::{Exchange, Translation};
use crate::refusal::lost;
use crate::reply::{Reply, ReplyBody};
use crate::setback::{Fallen, Held, Setback};
use crate::{caching, exhausted, guarded, headers};

/// The largest answer that is translated.
const LARGEST: usize = 32 * 1024 * 1024;

/// Turns the provider's whole answer into the caller's.
///
/// # Errors
/// It is no answer, or none that can be understood; nothing has gone out.
pub(crate) async fn answer(
    mut call: Box<Call>,
    answer: Response<UpstreamBody>,
    exchange: Exchange,
) -> Result<Reply, Box<Fallen>> {
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        return Err(match whole(&call, body, ERROR_HELD, "an error").await {
            Ok(body) => failed(call, &parts, &body, exchange),
            Err(error) => unreadable(call, error),
        });
    }
    let body = match whole(&call, body, LARGEST, "an answer").await {
        Ok(body) => body,
        Err(error) => return Err(unreadable(call, error)),
    };
    match exchange {
        Exchange::Translated(translation) => {
            translate(call, &parts.headers, &body, *translation).await
        }
        Exchange::Counted(counting) => match counting.answer(&body) {
            Ok(json) => Ok(finished(&mut call, &parts.headers, json, Told::default())),
            Err(error) => Err(unreadable(call, error)),
        },
        Exchange::Native
        | Exchange::Near
        | Exchange::Unframed
        | Exchange::Vectors(_)
        | Exchange::Part => Err(Setback::ours(lost("not translated")).of(call)),
    }
}

/// What cannot be read counts as a connection that broke: somebody else may be asked (providers 21).
pub(crate) fn unreadable(mut call: Box<Call>, error: Error) -> Box<Fallen> {
    call.broke_off(&error);
    Setback::ours(error).of(call)
}

async fn translate(
    mut call: Box<Call>,
    provider: &HeaderMap,
    body: &Bytes,
    translation: Translation,
) -> Result<Reply, Box<Fallen>> {
    let Translation {
        from, to, caller, ..
    } = translation;
    let answer: Answer = match lw_translate::read_answer(from, body) {
        Ok(answer) => answer,
        Err(problem) => {
            // It was paid for all the same: what can be read of it is not known (providers 21).
            return Err(unreadable(call, not_understood(&problem)));
        }
    };
    let told = Told {
        usage: answer.usage,
        service_tier: answer.service_tier.clone(),
    };
    let streams = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
    let mut answer = answer;
    let mut written = None;
    if guarded::checks_answers(&call) {
        let json = Bytes::from(lw_translate::write_answer(to, answer.clone(), &caller));
        let form = surface_of(&call).response_form(false);
        let passed = match Box::pin(guarded::answer(&mut call, form, json.clone())).await {
            Ok(passed) => passed,
            Err(error) => {
                // The provider was paid, whatever becomes of its answer.
                let mut tap = Tap::new(form, MOST_HELD);
                tap.push(&json);
                tap.tell(told);
                return Ok(withheld(&mut call, error, tap));
            }
        };
        if streams && passed != json {
            // What was changed stands in the caller's dialect alone.
            answer = match lw_translate::read_answer(to, &passed) {
                Ok(answer) => answer,
                Err(problem) => return Err(unreadable(call, not_understood(&problem))),
            };
        }
        written = Some(passed);
    }
    if streams {
        // The provider does not stream, whatever it was asked; the caller reads a stream all the same.
        let events = lw_translate::stream::replay(to, answer, &caller);
        let form = surface_of(&call).response_form(true);
        let (events, blocked) = Box::pin(guarded::events(&mut call, form, events)).await;
        let blocked = blocked.as_ref();
        return Ok(ended(&mut call, provider, events, told, blocked, true));
    }
    let json = written.unwrap_or_else(|| lw_translate::write_answer(to, answer, &caller).into());
    Ok(finished(&mut call, provider, json, told))
}

fn not_understood(problem: &lw_translate::Problem) -> Error {
    Error::new(
        Code::ProviderError,
        "the provider's answer cannot be understood",
    )
    .because(problem)
}

/// Ends the call with a whole answer in the caller's dialect.
pub(crate) fn finished(
    call: &mut Call,
    provider: &HeaderMap,
    json: impl Into<Bytes>,
    told: Told,
) -> Reply {
    ended(call, provider, json, told, None, false)
}

fn surface_of(call: &Call) -> Surface {
    call.surface.unwrap_or(Surface::Chat)
}

/// `blocked`: what ended a stream before its end.
fn ended(
    call: &mut Call,
    provider: &HeaderMap,
    body: impl Into<Bytes>,
    told: Told,
    blocked: Option<&Error>,
    stream: bool,
) -> Reply {
    let body = body.into();
    let surface = surface_of(call);
    let mut tap = Tap::new(surface.response_form(stream), MOST_HELD);
    tap.push(&body);
    let cached = told.usage.is_some_and(|usage| usage.cache_read > 0);
    tap.tell(told);
    call.bytes_out = body.len() as u64;
    call.first_byte_us = Some(micros(call.start));
    call.accepted();
    let mut head = reply_head(call, provider, false, surface);
    // The end takes with it what was decided.
    let cache = caching::outcome(call.cache.mode, cached);
    let ending = blocked.map_or(Ending::Complete, Ending::Stopped);
    let _ = call.end(&ending, Some(&mut tap));
    let kind = if stream {
        head.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        "text/event-stream"
    } else {
        head.insert(headers::CACHE, HeaderValue::from_static(cache));
        "application/json"
    };
    reply(StatusCode::OK, head, kind, body)
}

/// The provider's error, in the caller's dialect.
pub(crate) fn failed(
    call: Box<Call>,
    parts: &Parts,
    body: &Bytes,
    exchange: Exchange,
) -> Box<Fallen> {
    let Some((provider, body)) = call
        .lane()
        .map(|lane| (lane.kind.as_str(), call.without_secrets(body.clone())))
    else {
        return Setback::ours(lost("no lane")).of(call);
    };
    let from = match exchange {
        Exchange::Translated(translation) => translation.from,
        _ => own_dialect(provider),
    };
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let told: Vec<(&str, &str)> = text("x-amzn-errortype")
        .map(|kind| ("x-amzn-errortype", kind))
        .into_iter()
        .collect();
    let failure = lw_translate::failure::read(
        from,
        provider,
        parts.status.as_u16(),
        text("content-type"),
        &told,
        &body,
    );
    let to = crate::foreign::dialect_of(call.surface.unwrap_or(Surface::Chat));
    answer_failure(call, &parts.headers, failure, to, provider)
}

/// The dialect that a vendor's errors are in, where nothing was translated.
pub(crate) fn own_dialect(provider: &str) -> Dialect {
    match provider {
        "anthropic" => Dialect::Messages,
        "gemini" | "vertex" => Dialect::Gemini,
        "bedrock" => Dialect::Converse,
        _ => Dialect::Chat,
    }
}

/// A failure that the provider told in a stream of which nothing went out.
pub(crate) fn refused(
    mut call: Box<Call>,
    provider_headers: &HeaderMap,
    failure: Failure,
) -> Box<Fallen> {
    let provider = call.lane().map_or("unknown", |lane| lane.kind.as_str());
    let to = crate::foreign::dialect_of(call.surface.unwrap_or(Surface::Chat));
    let status = failure.status.unwrap_or(502);
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.outcome = outcome(status, true);
        dispatch.status = Some(status);
        // A refusal costs nothing, wherever it stands; a failure may have.
        dispatch.served &= status >= 500;
    }
    let failure = Failure {
        status: Some(status),
        ..failure
    };
    answer_failure(call, provider_headers, failure, to, provider)
}

fn answer_failure(
    call: Box<Call>,
    provider_headers: &HeaderMap,
    mut failure: Failure,
    to: Dialect,
    provider: &str,
) -> Box<Fallen> {
    exhausted::cover(&mut failure);
    let (status, json) = lw_translate::failure::write(to, &failure, provider);
    let surface = call.surface.unwrap_or(Surface::Chat);
    let head = reply_head(&call, provider_headers, false, surface);
    let name = failure.code.clone().or_else(|| failure.kind.clone());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // What the provider says about a failure may repeat our secrets.
    let body = call.without_secrets(json.into());
    Setback::theirs(Held::json(status, head, body, name)).of(call)
}

fn reply(status: StatusCode, mut head: HeaderMap, kind: &'static str, body: Bytes) -> Reply {
    head.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let mut reply = Response::new(ReplyBody::whole(vec![body]));
    *reply.status_mut() = status;
    *reply.headers_mut() = head;
    reply
}
