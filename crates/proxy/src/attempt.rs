//! One call to a provider, up to the head of its answer.
//!
//! A POST that may have reached a provider is not repeated against it. Start at [`attempt`].

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use lw_core::{Code, Error};
use lw_upstream::{RequestBody, Timeouts, UpstreamBody, UpstreamError};
use lw_wire::splice::Pieces;
use percent_encoding::percent_decode_str;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

use crate::bundle::Bundle;
use crate::call::Call;
use crate::foreign::Exchange;
use crate::lane::{Lane, LaneKind};
use crate::refusal::lost;
use crate::{access, headers};

/// What the caller's head says that matters for the call.
pub(crate) struct CallerHead {
    /// The method, which goes on.
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    /// `Connection: keep-alive` may be said.
    pub(crate) http1: bool,
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
    let mut timeouts = gateway.settings.timeouts;
    timeouts.head = head_limit(timeouts, &bundle, lane, call.start.elapsed());
    // Whoever waits for a token waits on the provider's account too.
    let deadline = Instant::now() + timeouts.head;
    let authorising = access::authorise(
        &worker.outside,
        lane,
        endpoint,
        &head.method,
        &path,
        &mut headers,
        &body,
    );
    dispatch.authorised = match timeout_at(deadline, authorising).await {
        Ok(authorised) => authorised?,
        Err(_) => {
            dispatch.outcome = "timeout";
            return Err(too_late(lane, "authorising the call"));
        }
    };
    let mut request = Request::new(RequestBody::new(body));
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = headers;
    // The time that a caller's own text took to be written for the provider is not the provider's.
    dispatch.started = Instant::now();
    timeouts.head = deadline.saturating_duration_since(dispatch.started);
    dispatch.deadline = Some(deadline);
    let sending = worker
        .pool
        .send(endpoint, &path, request, &timeouts, &mut dispatch.reached);
    match sending.await {
        Ok(sent) => {
            let status = sent.response.status();
            dispatch.status = Some(status.as_u16());
            dispatch.served = status.is_success();
            dispatch.tier = headers::served_tier(sent.response.headers());
            dispatch.outcome = outcome(status.as_u16(), lane.kind == LaneKind::Bedrock);
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

/// How long the provider may take until its answer begins, when the request has taken `elapsed` already.
fn head_limit(limits: Timeouts, bundle: &Bundle, lane: &Lane, elapsed: Duration) -> Duration {
    let own = bundle.routing.attempt_timeout_ms.map(Duration::from_millis);
    // What earlier attempts took is gone.
    let left = (!limits.total.is_zero()).then(|| limits.total.saturating_sub(elapsed));
    let shorter = [lane.head_timeout, own, left].into_iter().flatten();
    shorter.fold(limits.head, Duration::min)
}

pub(crate) fn lost_address(why: &str) -> Error {
    Error::new(
        Code::BadRequest,
        format!("the provider cannot be called: {why}"),
    )
}

/// The outcome label of data-plane 13.2 for a status. `excepted`: the status may stand for an exception of
/// Bedrock's, where 408 and 424 are failures of the model and not of the request (providers 21).
pub(crate) const fn outcome(status: u16, excepted: bool) -> &'static str {
    match status {
        200..=299 => "success",
        404 => "not_found",
        408 if excepted => "timeout",
        424 if excepted => "retryable_5xx",
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
        UpstreamError::Timeout { step, .. } => too_late(lane, step),
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

fn too_late(lane: &Lane, step: &str) -> Error {
    let provider = lane.kind.as_str();
    Error::new(
        Code::UpstreamTimeout,
        format!("the provider `{provider}` did not answer in time: {step} took too long"),
    )
    .with("provider", provider)
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
