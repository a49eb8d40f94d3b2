//! Names of headers, and which of them pass in which direction (data-plane 5, 9, 18, 19; providers 2).
//!
//! Upwards an allow list, downwards an allow list too. Credentials of the caller never reach a provider
//! and a provider never sets a header of ours.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, USER_AGENT,
};

use lw_wire::Surface;
use percent_encoding::percent_decode_str;

use crate::foreign::{Exchange, Framed};
use crate::lane::{Lane, LaneKind};

macro_rules! names {
    ($($constant:ident = $name:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: HeaderName = HeaderName::from_static($name);
        )*
    };
}

names! {
    REQUEST_ID = "x-langwatch-request-id";
    GATEWAY_REQUEST_ID = "x-langwatch-gateway-request-id";
    X_REQUEST_ID = "x-request-id";
    UPSTREAM_REQUEST_ID = "x-upstream-request-id";
    VERSION = "x-langwatch-gateway-version";
    TRACE_ID = "x-langwatch-trace-id";
    SPAN_ID = "x-langwatch-span-id";
    PARENT_SPAN_ID = "x-langwatch-parent-span-id";
    TRACEPARENT = "traceparent";
    TRACESTATE = "tracestate";
    PROVIDER = "x-langwatch-provider";
    MODEL = "x-langwatch-model";
    FALLBACK_COUNT = "x-langwatch-fallback-count";
    CACHE = "x-langwatch-cache";
    CACHE_MODE = "x-langwatch-cache-mode";
    COMPAT = "x-langwatch-compat";
    HANDLED_ERROR = "x-langwatch-handled-error";
    HEARTBEAT_ACTIVE = "x-langwatch-heartbeat-active";
    MODELS_INCOMPLETE = "x-langwatch-models-discovery-incomplete";
    END_USER_ID = "x-langwatch-end-user-id";
    LITELLM_END_USER_ID = "x-litellm-end-user-id";
    METADATA = "x-langwatch-metadata";
    TRACE_METADATA = "x-langwatch-trace-metadata";
    THREAD_ID = "x-langwatch-thread-id";
    CLAUDE_CODE_SESSION_ID = "x-claude-code-session-id";
    SESSION_AFFINITY = "x-session-affinity";
    SESSION_ID = "session-id";
    ANTHROPIC_VERSION = "anthropic-version";
    ANTHROPIC_BETA = "anthropic-beta";
    X_API_KEY = "x-api-key";
    API_KEY = "api-key";
    X_GOOG_API_KEY = "x-goog-api-key";
    XI_API_KEY = "xi-api-key";
    OPENAI_BETA = "openai-beta";
    OPENAI_ORGANIZATION = "openai-organization";
    OPENAI_PROJECT = "openai-project";
    IDEMPOTENCY_KEY = "idempotency-key";
    SHOULD_RETRY = "x-should-retry";
    RETRY_AFTER_MS = "retry-after-ms";
    PROVIDER_REQUEST_ID = "request-id";
    OPENAI_PROCESSING_MS = "openai-processing-ms";
    X_GOOG_REQUEST_PARAMS = "x-goog-request-params";
    X_GOOG_API_CLIENT = "x-goog-api-client";
    BUDGET_WARNING = "x-langwatch-budget-warning";
    BUDGET_BLOCKED_BY = "x-langwatch-budget-blocked-by";
    RATE_LIMIT_DIMENSION = "x-langwatch-ratelimit-dimension";
    PARAMS_DROPPED = "x-langwatch-params-dropped";
}

/// The presented key: the first non-empty one of the headers of data-plane 5.2, trimmed.
#[must_use]
pub fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let bearer = text(&AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    [
        bearer,
        text(&X_API_KEY),
        text(&API_KEY),
        text(&X_GOOG_API_KEY),
        text(&XI_API_KEY),
    ]
    .into_iter()
    .flatten()
    .find(|key| !key.is_empty())
}

/// Older Google clients put the key into the query string (data-plane 5.2): where no header has one, it
/// counts as sent in Google's.
pub(crate) fn take_key_of_query(headers: &mut HeaderMap, query: Option<&str>) {
    if presented_key(headers).is_some() {
        return;
    }
    let key = query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("key="));
    let key = key.map(|key| percent_decode_str(key).decode_utf8_lossy());
    if let Some(Ok(mut value)) = key.as_deref().map(HeaderValue::from_str) {
        value.set_sensitive(true);
        headers.insert(X_GOOG_API_KEY, value);
    }
}

/// The head of the request to a provider, but for its credential.
#[must_use]
pub fn upstream(
    caller: &HeaderMap,
    lane: &Lane,
    surface: Surface,
    user_agent: &HeaderValue,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    if surface.is_gemini() && matches!(lane.kind, LaneKind::Gemini | LaneKind::Vertex) {
        pass_gemini(caller, &mut headers);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, user_agent.clone());
    let mut pass = |name: HeaderName| {
        headers.remove(&name);
        for value in caller.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    };
    pass(IDEMPOTENCY_KEY);
    match lane.kind {
        LaneKind::Anthropic => {
            pass(ANTHROPIC_BETA);
            pass(ANTHROPIC_VERSION);
            headers
                .entry(ANTHROPIC_VERSION)
                .or_insert_with(|| HeaderValue::from_static("2023-06-01"));
        }
        LaneKind::OpenAi | LaneKind::Azure | LaneKind::Compatible(_) => {
            pass(OPENAI_BETA);
            if !lane.sets_openai_account && lane.kind != LaneKind::Azure {
                pass(OPENAI_ORGANIZATION);
                pass(OPENAI_PROJECT);
            }
            // A row may speak the Messages API as well.
            if lane.speaks.messages && caller.contains_key(ANTHROPIC_VERSION) {
                pass(ANTHROPIC_VERSION);
                pass(ANTHROPIC_BETA);
            }
        }
        LaneKind::Gemini | LaneKind::Vertex => {
            pass(X_GOOG_REQUEST_PARAMS);
            pass(X_GOOG_API_CLIENT);
        }
        LaneKind::Bedrock => {}
    }
    for (name, value) in &lane.headers {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// What a Gemini caller sends goes on, but for credentials, cookies, what belongs to one connection, and
/// what is ours (providers 2).
fn pass_gemini(caller: &HeaderMap, headers: &mut HeaderMap) {
    const KEPT_BACK: [&str; 22] = [
        "authorization",
        "proxy-authorization",
        "proxy-authenticate",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "xi-api-key",
        "cookie",
        "forwarded",
        "x-real-ip",
        "x-goog-user-project",
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
        "content-encoding",
        "x-request-id",
    ];
    // What `Connection` names belongs to the connection as well.
    let named: Vec<String> = caller
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for (name, value) in caller {
        let text = name.as_str();
        let ours = text.starts_with("x-langwatch-") || text.starts_with("x-forwarded-");
        if !ours && !KEPT_BACK.contains(&text) && !named.iter().any(|other| other == text) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// The service tier that a provider tells in the head of its answer: Gemini and Bedrock do, the first nowhere
/// else.
pub(crate) fn served_tier(answer: &HeaderMap) -> Option<String> {
    ["x-gemini-service-tier", "x-amzn-bedrock-service-tier"]
        .into_iter()
        .find_map(|name| answer.get(name)?.to_str().ok())
        .map(str::to_owned)
}

/// What kind of answer is wanted from the provider, and the betas that a translated body needs.
pub(crate) fn accept(headers: &mut HeaderMap, exchange: &Exchange, streaming: bool) {
    let framed = match exchange {
        Exchange::Unframed => true,
        Exchange::Translated(translation) => translation.framed != Framed::No,
        _ => false,
    };
    let accept = match (streaming, framed) {
        (true, true) => "application/vnd.amazon.eventstream",
        (true, false) => "text/event-stream",
        (false, _) => "application/json",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if let Exchange::Translated(translation) = exchange {
        for beta in &translation.betas {
            if let Ok(value) = HeaderValue::from_str(beta) {
                headers.append(ANTHROPIC_BETA, value);
            }
        }
    }
}

/// The values of the caller's `anthropic-beta` headers.
pub(crate) fn betas(caller: &HeaderMap) -> Vec<String> {
    caller
        .get_all(ANTHROPIC_BETA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|beta| beta.trim().to_owned())
        .filter(|beta| !beta.is_empty())
        .collect()
}

/// Which of a provider's headers a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Those that SDKs read, on a native lane (data-plane 18).
    Known,
    /// All but those that belong to a connection or to us (Gemini's own surface).
    Everything,
    /// Only what tells when to try again: the rest is another vendor's.
    Hints,
}

/// Copies the headers of a provider's answer that a caller may see (data-plane 18).
pub fn downstream(
    provider: &HeaderMap,
    answer: &mut HeaderMap,
    client_names_request: bool,
    pass: Pass,
) {
    for (name, value) in provider {
        let text = name.as_str();
        let hint = *name == RETRY_AFTER || *name == SHOULD_RETRY || *name == RETRY_AFTER_MS;
        let known = *name == CONTENT_TYPE
            || *name == PROVIDER_REQUEST_ID
            || *name == OPENAI_PROCESSING_MS
            || text.starts_with("x-ratelimit-")
            || text.starts_with("anthropic-ratelimit-");
        let passes = match pass {
            Pass::Known => hint || known,
            Pass::Everything => !is_kept_back(text),
            Pass::Hints => hint,
        };
        if *name == X_REQUEST_ID {
            answer.insert(UPSTREAM_REQUEST_ID, value.clone());
            if !client_names_request {
                answer.insert(X_REQUEST_ID, value.clone());
            }
        } else if passes {
            answer.append(name.clone(), value.clone());
        }
    }
}

/// Headers of an answer that never pass.
fn is_kept_back(name: &str) -> bool {
    const KEPT_BACK: [&str; 12] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
        "set-cookie",
        "alt-svc",
    ];
    KEPT_BACK.contains(&name) || name.starts_with("x-langwatch-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_first_header_with_a_key_wins() {
        for (pairs, expected) in [
            (
                vec![("authorization", "Bearer  vk-1 "), ("x-api-key", "vk-2")],
                Some("vk-1"),
            ),
            (vec![("authorization", "bEARER vk-1")], Some("vk-1")),
            (
                vec![("authorization", "Bearer "), ("x-api-key", "vk-2")],
                Some("vk-2"),
            ),
            (
                vec![("authorization", "Basic abc"), ("api-key", "vk-3")],
                Some("vk-3"),
            ),
            (vec![("x-goog-api-key", "vk-4")], Some("vk-4")),
            (vec![("xi-api-key", " vk-5 ")], Some("vk-5")),
            (vec![("x-api-key", "  ")], None),
            (vec![], None),
        ] {
            assert_eq!(presented_key(&map(&pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_counts_where_no_header_has_one() {
        let mut headers = HeaderMap::new();
        take_key_of_query(&mut headers, Some("alt=sse&key=vk-lw%2D1"));
        assert_eq!(presented_key(&headers), Some("vk-lw-1"));
        take_key_of_query(&mut headers, Some("key=vk-2"));
        assert_eq!(presented_key(&headers), Some("vk-lw-1"));
        let mut headers = HeaderMap::new();
        take_key_of_query(&mut headers, Some("monkey=vk-3"));
        assert_eq!(presented_key(&headers), None);
    }

    #[test]
    fn a_provider_sets_no_header_of_ours() {
        let provider = map(&[
            ("x-langwatch-handled-error", "forged"),
            ("x-langwatch-cache", "hit"),
            ("set-cookie", "a=b"),
            ("openai-organization", "acme"),
            ("content-type", "application/json"),
            ("x-ratelimit-limit-requests", "10"),
            ("anthropic-ratelimit-requests-limit", "10"),
            ("x-request-id", "req_provider"),
            ("request-id", "r2"),
        ]);
        let mut answer = HeaderMap::new();
        downstream(&provider, &mut answer, false, Pass::Known);
        let mut names: Vec<&str> = answer.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "anthropic-ratelimit-requests-limit",
                "content-type",
                "request-id",
                "x-ratelimit-limit-requests",
                "x-request-id",
                "x-upstream-request-id",
            ]
        );
        let mut answer = HeaderMap::new();
        downstream(&provider, &mut answer, true, Pass::Known);
        assert!(!answer.contains_key(X_REQUEST_ID) && answer.contains_key(UPSTREAM_REQUEST_ID));
    }
}
