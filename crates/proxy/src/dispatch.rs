//! The call to the provider, and what its answer becomes: passed on, held back, or an error.
//!
//! The admission is in the spool before anything is dialled. Nothing is tried twice here: a POST that
//! may have reached a provider is not repeated against it. Start at [`dispatch`].

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use lw_core::error::render;
use lw_core::{BodyForm, Code, Error};
use lw_upstream::{RequestBody, UpstreamBody, UpstreamError};
use lw_wire::Surface;
use lw_wire::splice::Pieces;
use lw_wire::tap::{MOST_HELD, Tap, provider_error_name};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bundle::Capture;
use crate::call::{Call, Ending, micros};
use crate::convert::Conversion;
use crate::foreign::Exchange;
use crate::lane::Lane;
use crate::relay::Relay;
use crate::reply::{Reply, ReplyBody};
use crate::stages::Target;
use crate::{access, headers, translated, vectors};

/// JSON answers up to this size are held back, so that their head can tell what they say.
const HELD_BACK: usize = 256 * 1024;
/// Error answers up to this size are held back and searched for our credential.
pub(crate) const ERROR_HELD: usize = 1024 * 1024;
/// How long the head of a stream waits for its first bytes, to leave in one write with them.
const FIRST_BYTES: Duration = Duration::from_millis(20);

/// What the caller's head says that matters for the call.
pub(crate) struct CallerHead {
    /// The method, which goes on.
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// `Connection: keep-alive` may be said.
    pub(crate) http1: bool,
}

/// Dials the provider and answers. Never fails: a failure is an answer.
pub(crate) async fn dispatch(mut call: Box<Call>, target: Target, head: CallerHead) -> Reply {
    let exchange = match admitted(&mut call, &target) {
        Ok(()) => target.exchange,
        Err(error) => return refuse(&mut call, error),
    };
    let Target { path, body, .. } = target;
    if let Exchange::Vectors(gathering) = exchange {
        return Box::pin(vectors::answer(call, *gathering, &head)).await;
    }
    match attempt(&mut call, path, body, &exchange, &head).await {
        Ok(answer) => answered(call, answer, exchange, &head).await,
        Err(error) => refuse(&mut call, error),
    }
}

/// Writes the admission, once it is known that the provider can be dialled at all.
fn admitted(call: &mut Call, target: &Target) -> Result<(), Error> {
    let lane = call
        .bundle
        .as_ref()
        .and_then(|bundle| bundle.lanes.get(target.lane));
    let lane = lane.ok_or_else(|| lost("no lane"))?;
    lane.endpoint.as_ref().map_err(|why| lost_address(why))?;
    call.admit().map_err(|error| spool_error(&error))
}

fn lost(why: &'static str) -> Error {
    Error::new(Code::InternalError, "the request was lost").because(why)
}

/// Ends `call` with an error of ours and renders it.
pub(crate) fn refuse(call: &mut Call, error: Error) -> Reply {
    refuse_after(call, error, None)
}

/// [`refuse`] for a call whose answer had begun: `tap` saw that beginning.
pub(crate) fn refuse_after(call: &mut Call, error: Error, tap: Option<&mut Tap>) -> Reply {
    let stamp = call.stamp();
    let mut body = render(&error, call.dialect(), call.correlation());
    call.bytes_out = body.len() as u64;
    let error = match call.end(&Ending::Failed(&error), tap) {
        Ok(()) => error,
        // A refusal that leaves no record would be a silence: say that records cannot be taken.
        Err(full) => {
            let error = spool_error(&full);
            body = render(&error, call.dialect(), call.correlation());
            error
        }
    };
    let mut reply = error_reply(&error, body);
    stamp.write(reply.headers_mut());
    stamp.write_fallback_count(reply.headers_mut());
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

fn error_reply(error: &Error, body: String) -> Reply {
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

/// One request to the provider and the head of its answer.
pub(crate) async fn attempt(
    call: &mut Call,
    path: PathAndQuery,
    body: Pieces,
    exchange: &Exchange,
    head: &CallerHead,
) -> Result<Response<UpstreamBody>, Error> {
    let bundle = call.bundle.clone().ok_or_else(|| lost("no bundle"))?;
    let surface = call.surface.ok_or_else(|| lost("no surface"))?;
    let worker = call.worker.clone();
    let gateway = &worker.gateway;
    let streaming = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
    let dispatch = call.dispatch.as_mut().ok_or_else(|| lost("no dispatch"))?;
    let lane = bundle
        .lanes
        .get(dispatch.lane)
        .ok_or_else(|| lost("no lane"))?;
    let endpoint = lane.endpoint.as_ref().map_err(|why| lost_address(why))?;
    let path = if exchange.takes_query() {
        with_query(&path, head.query.as_deref())?
    } else {
        path
    };
    let mut headers = headers::upstream(&head.headers, lane, surface, &gateway.user_agent);
    headers::accept(&mut headers, exchange, streaming);
    let body = body.into_inner();
    dispatch.authorised = access::authorise(
        &worker.outside,
        lane,
        endpoint,
        &head.method,
        &path,
        &mut headers,
        &body,
    )
    .await?;
    let mut request = Request::new(RequestBody::new(body));
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = headers;
    let mut timeouts = gateway.settings.timeouts;
    if let Some(limit) = lane.head_timeout {
        timeouts.head = timeouts.head.min(limit);
    }
    let sending = worker
        .pool
        .send(endpoint, &path, request, &timeouts, &mut dispatch.reached);
    match sending.await {
        Ok(sent) => {
            let status = sent.response.status();
            dispatch.status = Some(status.as_u16());
            dispatch.tier = headers::served_tier(sent.response.headers());
            dispatch.outcome = outcome(status);
            call.status = status.as_u16();
            access::answered(&worker.outside, lane, &dispatch.authorised, status.as_u16());
            Ok(sent.response)
        }
        Err(error) => {
            dispatch.outcome = error.outcome();
            Err(upstream_failure(&error, lane))
        }
    }
}

fn lost_address(why: &str) -> Error {
    Error::new(
        Code::BadRequest,
        format!("the provider cannot be called: {why}"),
    )
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

/// The operation's path with the caller's query string, but for what may be a credential: clients of some
/// vendors put their key there.
fn with_query(path: &PathAndQuery, query: Option<&str>) -> Result<PathAndQuery, Error> {
    const CREDENTIALS: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];
    let Some(query) = query else {
        return Ok(path.clone());
    };
    let passes = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        !CREDENTIALS
            .iter()
            .any(|credential| name.eq_ignore_ascii_case(credential))
            && !pair.contains("vk-lw-")
    };
    let kept: Vec<&str> = query.split('&').filter(passes).collect();
    if kept.is_empty() {
        return Ok(path.clone());
    }
    let joint = if path.query().is_some() { '&' } else { '?' };
    PathAndQuery::try_from(format!("{path}{joint}{}", kept.join("&"))).map_err(|error| {
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
async fn answered(
    mut call: Box<Call>,
    answer: Response<UpstreamBody>,
    exchange: Exchange,
    head: &CallerHead,
) -> Reply {
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
    let as_list = surface.is_gemini() && !asks_for_events(head.query.as_deref());
    let conversion = if parts.status.is_success() {
        Conversion::new(&exchange, as_list)
    } else {
        None
    };
    let event_stream = conversion.is_some() || is_event_stream(&parts.headers);
    let form = if encoded.is_some() {
        BodyForm::Opaque
    } else {
        surface.response_form(event_stream)
    };
    let body = if !parts.status.is_success() {
        match provider_error(&mut call, body).await {
            Ok(whole) => ReplyBody::whole(vec![whole]),
            Err(error) => return refuse(&mut call, error),
        }
    } else if event_stream {
        let kind = if as_list {
            "application/json"
        } else {
            "text/event-stream"
        };
        stream_head(&mut reply_head, conversion.is_some().then_some(kind), head);
        let tap = tap(&call, form, held_of_stream(&call), native);
        match first_bytes(body).await {
            Ok((early, body)) => match converted(early, conversion) {
                Early::Pieces(early, conversion) => {
                    ReplyBody::relay(Relay::new(call, body, early, tap, conversion))
                }
                // The same, told inside a stream that had just begun.
                Early::Failed(failure) => {
                    return translated::refused(&mut call, &parts.headers, &failure);
                }
            },
            // Nothing went out yet: this is an ordinary error with its own status (17.1).
            Err(error) => {
                if let Some(dispatch) = call.dispatch.as_mut() {
                    dispatch.outcome = "network";
                }
                return refuse(&mut call, error);
            }
        }
    } else if call.inbound.as_ref().is_some_and(|inbound| inbound.stream) {
        // A stream in another form (Gemini's JSON list): not held back.
        let tap = tap(&call, form, MOST_HELD, native);
        ReplyBody::relay(Relay::new(call, body, Vec::new(), tap, None))
    } else {
        let mut tap = tap(&call, form, MOST_HELD, native);
        match json(&mut call, body, &mut tap).await {
            Ok(Json::Whole(pieces, cached)) => {
                let outcome = if cached { "hit" } else { "miss" };
                reply_head.insert(headers::CACHE, HeaderValue::from_static(outcome));
                ReplyBody::whole(pieces)
            }
            // The pieces are shown to a fresh tap again when the relay passes them on.
            Ok(Json::Large(pieces, body)) => {
                let tap = self::tap(&call, form, MOST_HELD, native);
                ReplyBody::relay(Relay::new(call, body, pieces, tap, None))
            }
            Err(error) => return refuse_after(&mut call, error, Some(&mut tap)),
        }
    };
    let mut reply = Response::new(body);
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = reply_head;
    reply
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

/// The first bytes of a stream in the caller's form.
enum Early {
    Pieces(Vec<Bytes>, Option<Box<Conversion>>),
    /// All that came is a failure.
    Failed(lw_translate::ir::Failure),
}

fn converted(early: Vec<Bytes>, conversion: Option<Box<Conversion>>) -> Early {
    let Some(mut conversion) = conversion else {
        return Early::Pieces(early, None);
    };
    let mut pieces = Vec::new();
    for piece in early {
        let began = !pieces.is_empty();
        let out = conversion.push(&piece);
        if let (false, Some(failure)) = (began || conversion.has_begun(), conversion.failure()) {
            return Early::Failed(failure.clone());
        }
        if !out.is_empty() {
            pieces.push(Bytes::from(out));
        }
    }
    Early::Pieces(pieces, Some(conversion))
}

/// Waits a moment for the first bytes, so that head and first bytes leave in one write.
async fn first_bytes(mut body: UpstreamBody) -> Result<(Vec<Bytes>, UpstreamBody), Error> {
    match timeout(FIRST_BYTES, body.frame()).await {
        Ok(Some(Ok(frame))) => Ok((frame.into_data().into_iter().collect(), body)),
        Ok(Some(Err(error))) => Err(Error::new(
            Code::ProviderError,
            "the provider broke off before its answer began",
        )
        .because(error)),
        Ok(None) | Err(_) => Ok((Vec::new(), body)),
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
                if let Some(dispatch) = call.dispatch.as_mut() {
                    dispatch.outcome = "network";
                }
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

/// Reads a provider's error as it came. Only our own secrets, should they stand in there, are taken out.
pub(crate) async fn provider_error(call: &mut Call, body: UpstreamBody) -> Result<Bytes, Error> {
    let whole = whole(call, body, ERROR_HELD, "an error").await?;
    let whole = call.without_secrets(whole);
    call.bytes_out = whole.len() as u64;
    call.first_byte_us = Some(micros(call.start));
    let name = provider_error_name(&whole);
    let mut tap = Tap::new(BodyForm::Opaque, MOST_HELD);
    tap.push(&whole);
    let _ = call.end(&Ending::ProviderRefused(name), Some(&mut tap));
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_goes_on_to_the_provider_without_a_key() {
        let path = PathAndQuery::from_static("/v1/messages");
        for (query, expected) in [
            ("beta=true", "/v1/messages?beta=true"),
            ("key=vk-1&beta=true&API_KEY=x", "/v1/messages?beta=true"),
            ("k%65y=secret", "/v1/messages"),
            ("x=vk-lw-01ABC", "/v1/messages"),
            ("a=%20b&c", "/v1/messages?a=%20b&c"),
        ] {
            let joined = with_query(&path, Some(query)).expect("a path");
            assert_eq!(joined.as_str(), expected);
        }
    }
}
