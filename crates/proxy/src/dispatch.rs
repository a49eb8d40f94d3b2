//! The call to the provider, and what its answer becomes: passed on, held back, or an error.
//!
//! The admission is in the spool before anything is dialled. Nothing is tried twice here: a POST that
//! may have reached a provider is not repeated against it. Start at [`dispatch`].

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use lw_core::error::render;
use lw_core::{Code, Error};
use lw_upstream::{RequestBody, UpstreamBody, UpstreamError};
use lw_wire::Surface;
use lw_wire::tap::{MOST_HELD, Tap, provider_error_name};
use memchr::memmem;
use tokio::time::timeout;

use crate::bundle::{Capture, Lane};
use crate::call::{Call, Ending, micros};
use crate::headers;
use crate::relay::Relay;
use crate::reply::{Reply, ReplyBody};
use crate::stages::Target;

/// JSON answers up to this size are held back, so that their head can tell what they say.
const HELD_BACK: usize = 256 * 1024;
/// Error answers up to this size are held back and searched for our credential.
const ERROR_HELD: usize = 1024 * 1024;
/// How long the head of a stream waits for its first bytes, to leave in one write with them.
const FIRST_BYTES: Duration = Duration::from_millis(20);

/// What the caller's head says that matters for the call.
pub(crate) struct CallerHead {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// `Connection: keep-alive` may be said.
    pub(crate) http1: bool,
}

/// Dials the provider and answers. Never fails: a failure is an answer.
pub(crate) async fn dispatch(mut call: Box<Call>, target: Target, head: CallerHead) -> Reply {
    match attempt(&mut call, target, &head).await {
        Ok(answer) => answered(call, answer, &head).await,
        Err(error) => refuse(&mut call, error),
    }
}

/// Ends `call` with an error of ours and renders it.
pub(crate) fn refuse(call: &mut Call, error: Error) -> Reply {
    let error = match call.end(&Ending::Failed(&error), None) {
        Ok(()) => error,
        // A refusal that leaves no record would be a silence: say that records cannot be taken.
        Err(full) => spool_error(&full),
    };
    let stamp = call.stamp();
    let mut reply = error_reply(&error, call);
    stamp.write(reply.headers_mut());
    reply
}

pub(crate) fn spool_error(cause: &lw_spool::SpoolError) -> Error {
    Error::new(
        Code::BudgetUnavailable,
        "the spend of the request cannot be recorded right now; try again",
    )
    .because(cause)
    .retry_after(1)
}

fn error_reply(error: &Error, call: &Call) -> Reply {
    let body = render(error, call.dialect(), call.correlation());
    let mut reply = Response::new(ReplyBody::whole(vec![body.into()]));
    *reply.status_mut() =
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = reply.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(
        headers::HANDLED_ERROR,
        HeaderValue::from_static(error.code().row().name),
    );
    if let Some(seconds) = error.retry_after_seconds() {
        map.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.code() == Code::PayloadTooLarge {
        // The rest of the body is not going to be read.
        map.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

async fn attempt(
    call: &mut Call,
    target: Target,
    head: &CallerHead,
) -> Result<Response<UpstreamBody>, Error> {
    let Some(bundle) = call.bundle.clone() else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no bundle"));
    };
    let (Some(lane), Some(surface)) = (bundle.lanes.get(target.lane), call.surface) else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no lane"));
    };
    let endpoint = lane.endpoint.as_ref().map_err(|why| {
        Error::new(
            Code::BadRequest,
            format!("the provider cannot be called: {why}"),
        )
    })?;
    call.admit().map_err(|error| spool_error(&error))?;
    let gateway = call.worker.gateway.clone();
    let streaming = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
    let mut request = Request::new(RequestBody::new(target.body.into_inner()));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers::upstream(&head.headers, lane, streaming, &gateway.user_agent);
    let path = with_query(lane.path(surface), head.query.as_deref())?;
    let mut timeouts = gateway.settings.timeouts;
    if let Some(limit) = lane.head_timeout {
        timeouts.head = timeouts.head.min(limit);
    }
    let pool = call.worker.pool.clone();
    let sent = pool.send(endpoint, &path, request, &timeouts).await;
    let Some(dispatch) = call.dispatch.as_mut() else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no dispatch"));
    };
    match sent {
        Ok(sent) => {
            let status = sent.response.status();
            dispatch.status = Some(status.as_u16());
            dispatch.outcome = outcome(status);
            call.status = status.as_u16();
            Ok(sent.response)
        }
        Err(error) => {
            dispatch.outcome = error.outcome();
            Err(upstream_failure(&error, lane))
        }
    }
}

/// The outcome label of data-plane 13.2.
fn outcome(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=399 => "success",
        404 => "not_found",
        429 => "rate_limit",
        500.. => "retryable_5xx",
        _ => "non_retryable",
    }
}

fn with_query(path: &PathAndQuery, query: Option<&str>) -> Result<PathAndQuery, Error> {
    let Some(query) = query else {
        return Ok(path.clone());
    };
    let joint = if path.query().is_some() { '&' } else { '?' };
    PathAndQuery::try_from(format!("{path}{joint}{query}")).map_err(|error| {
        Error::new(Code::BadRequest, "the query string cannot be forwarded").because(error)
    })
}

fn upstream_failure(error: &UpstreamError, lane: &Lane) -> Error {
    let provider = lane.kind.as_str();
    let answer = match error {
        UpstreamError::Refused(_) | UpstreamError::UnknownHost(_) => Error::new(
            Code::BadRequest,
            format!("the provider `{provider}` cannot be called: {error}"),
        ),
        UpstreamError::Timeout { .. } => Error::new(
            Code::UpstreamTimeout,
            format!("the provider `{provider}` did not answer in time: {error}"),
        ),
        UpstreamError::Dns(_)
        | UpstreamError::Connect { .. }
        | UpstreamError::Tls { .. }
        | UpstreamError::Broken(_) => Error::new(
            Code::ProviderError,
            format!("the provider `{provider}` could not be reached or broke off"),
        ),
    };
    answer.because(error.chain()).with("provider", provider)
}

/// Turns the provider's answer into ours.
async fn answered(mut call: Box<Call>, answer: Response<UpstreamBody>, head: &CallerHead) -> Reply {
    let (parts, body) = answer.into_parts();
    let mut reply_head = HeaderMap::with_capacity(24);
    headers::downstream(&parts.headers, &mut reply_head, call.client_names_request());
    if let Some(encoding) = parts.headers.get(CONTENT_ENCODING) {
        reply_head.insert(CONTENT_ENCODING, encoding.clone());
    }
    let stamp = call.stamp();
    stamp.write(&mut reply_head);
    stamp.write_dispatched(&mut reply_head);
    let surface = call.surface.unwrap_or(Surface::Chat);
    let body = if !parts.status.is_success() {
        provider_error(call, body, &mut reply_head).await
    } else if is_event_stream(&parts.headers) {
        reply_head.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if head.http1 {
            reply_head.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        }
        let hold = held_of_stream(&call);
        let tap = Tap::new(surface.response_form(true), hold);
        stream(call, body, tap).await
    } else {
        let tap = Tap::new(surface.response_form(false), MOST_HELD);
        match json(&mut call, body, tap).await {
            Ok(Json::Whole(pieces, cached)) => {
                let outcome = if cached { "hit" } else { "miss" };
                reply_head.insert(headers::CACHE, HeaderValue::from_static(outcome));
                ReplyBody::whole(pieces)
            }
            Ok(Json::Large(pieces, body, tap)) => {
                ReplyBody::relay(Relay::new(call, body, pieces, replay(tap)))
            }
            Err(error) => return refuse(&mut call, error),
        }
    };
    let mut reply = Response::new(body);
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = reply_head;
    reply
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

/// Waits a moment for the first bytes, so that head and first bytes leave in one write.
async fn stream(call: Box<Call>, mut body: UpstreamBody, tap: Tap) -> ReplyBody {
    let mut early = Vec::new();
    if let Ok(Some(Ok(frame))) = timeout(FIRST_BYTES, body.frame()).await
        && let Ok(data) = frame.into_data()
    {
        early.push(data);
    }
    ReplyBody::relay(Relay::new(call, body, early, tap))
}

/// The pieces of a large answer are shown to a fresh tap again when the relay passes them on.
fn replay(tap: Tap) -> Tap {
    Tap::new(tap.form(), MOST_HELD)
}

enum Json {
    /// All of it, and whether the provider's prompt cache was read. The call has ended.
    Whole(Vec<Bytes>, bool),
    /// The beginning of one that is passed on while it comes.
    Large(Vec<Bytes>, UpstreamBody, Tap),
}

/// Reads a JSON answer until its end or until it is too large to be held back.
async fn json(call: &mut Call, mut body: UpstreamBody, mut tap: Tap) -> Result<Json, Error> {
    let idle = call.worker.gateway.settings.timeouts.idle;
    let mut pieces = Vec::new();
    let mut length = 0;
    if body.size_hint().lower() > HELD_BACK as u64 {
        return Ok(Json::Large(pieces, body, tap));
    }
    while !body.is_end_stream() {
        let frame = match timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Error::new(
                    Code::ProviderError,
                    "the provider broke off in the middle of its answer",
                )
                .because(error));
            }
            Err(_) => {
                return Err(Error::new(
                    Code::UpstreamTimeout,
                    "the provider fell silent in the middle of its answer",
                ));
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        tap.push(&data);
        pieces.push(data);
        if length > HELD_BACK {
            return Ok(Json::Large(pieces, body, tap));
        }
    }
    call.bytes_out = length as u64;
    call.first_byte_us = Some(micros(call.start));
    let _ = call.end(&Ending::Complete, Some(&mut tap));
    let cached = tap
        .observed()
        .billable()
        .is_some_and(|usage| usage.cache_read > 0);
    Ok(Json::Whole(pieces, cached))
}

/// Passes a provider's error on as it came: status, bytes and type. Only our own credential, should it
/// stand in there, is taken out.
async fn provider_error(
    mut call: Box<Call>,
    mut body: UpstreamBody,
    head: &mut HeaderMap,
) -> ReplyBody {
    let idle = call.worker.gateway.settings.timeouts.idle;
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Ok(Some(Ok(frame))) = timeout(idle, body.frame()).await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        pieces.push(data);
        if length > ERROR_HELD {
            break;
        }
    }
    let whole: Bytes = match pieces.as_mut_slice() {
        [one] => std::mem::take(one),
        many => many.concat().into(),
    };
    let whole = match call.lane().and_then(|lane| lane.credential.as_ref()) {
        Some(secret) => redacted(whole, secret.expose().as_bytes()),
        None => whole,
    };
    head.remove(CONTENT_LENGTH);
    call.bytes_out = whole.len() as u64;
    call.first_byte_us = Some(micros(call.start));
    let name = provider_error_name(&whole);
    let mut tap = Tap::new(lw_core::BodyForm::Opaque, MOST_HELD);
    tap.push(&whole);
    let _ = call.end(&Ending::ProviderRefused(name), Some(&mut tap));
    ReplyBody::whole(vec![whole])
}

/// Takes every occurrence of `secret` out of `body`. Short credentials are placeholders, not secrets.
fn redacted(body: Bytes, secret: &[u8]) -> Bytes {
    if secret.len() < 8 || memmem::find(&body, secret).is_none() {
        return body;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut from = 0;
    for at in memmem::find_iter(&body, secret) {
        out.extend_from_slice(body.get(from..at).unwrap_or_default());
        out.extend_from_slice(b"[redacted]");
        from = at + secret.len();
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_credential_is_taken_out_and_nothing_else() {
        let body = Bytes::from_static(b"bad key sk-canary-1, again sk-canary-1.");
        assert_eq!(
            redacted(body, b"sk-canary-1"),
            "bad key [redacted], again [redacted]."
        );
        let body = Bytes::from_static(b"nothing here");
        assert_eq!(
            redacted(body.clone(), b"sk-canary-1").as_ptr(),
            body.as_ptr()
        );
    }

    #[test]
    fn a_query_string_goes_on_to_the_provider() {
        let path = PathAndQuery::from_static("/v1/messages");
        let joined = with_query(&path, Some("beta=true")).expect("a path");
        assert_eq!(joined.as_str(), "/v1/messages?beta=true");
    }
}
