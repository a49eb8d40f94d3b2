//! What every answer of a vendor has besides its body: routes, error shapes, response headers.
//!
//! Never makes a generation. Start at [`Route`] and [`Refusal`].

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode, response};

use crate::clock::{now_ms, rfc3339};
use crate::json::Obj;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route<'a> {
    Root,
    Chat,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
    Models,
    Model(&'a str),
    WrongMethod,
    Unknown,
}

impl<'a> Route<'a> {
    pub(crate) fn of(method: &Method, path: &'a str) -> Self {
        let (route, wanted) = match path {
            "/" => (Self::Root, Method::HEAD),
            "/v1/chat/completions" => (Self::Chat, Method::POST),
            "/v1/responses" => (Self::Responses, Method::POST),
            "/v1/embeddings" => (Self::Embeddings, Method::POST),
            "/v1/messages" => (Self::Messages, Method::POST),
            "/v1/messages/count_tokens" => (Self::CountTokens, Method::POST),
            "/v1/models" => (Self::Models, Method::GET),
            _ => match path.strip_prefix("/v1/models/") {
                Some(id) if !id.is_empty() => (Self::Model(id), Method::GET),
                Some(_) | None => return Self::Unknown,
            },
        };
        if *method == wanted {
            route
        } else {
            Self::WrongMethod
        }
    }

    /// Whether it makes something that is billed.
    pub(crate) fn generates(self) -> bool {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings | Self::Messages => true,
            Self::Root
            | Self::CountTokens
            | Self::Models
            | Self::Model(_)
            | Self::WrongMethod
            | Self::Unknown => false,
        }
    }
}

/// The dialect that a path speaks; the model list has both.
pub(crate) fn dialect_of(path: &str, headers: &HeaderMap) -> Dialect {
    let anthropic = path.starts_with("/v1/messages")
        || (headers.contains_key("anthropic-version")
            && !matches!(
                path,
                "/v1/chat/completions" | "/v1/responses" | "/v1/embeddings"
            ));
    if anthropic {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

/// The credential of a request, if it has one that is not empty.
pub(crate) fn credential(headers: &HeaderMap, dialect: Dialect) -> Option<&str> {
    let get = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let own = match dialect {
        Dialect::Anthropic => get("x-api-key"),
        Dialect::OpenAi => None,
    };
    let bearer = || {
        let (scheme, key) = get("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    };
    own.filter(|key| !key.is_empty())
        .or_else(bearer)
        .filter(|key| !key.is_empty())
}

/// An error answer in the shape of either vendor.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) param: Option<&'static str>,
}

impl Refusal {
    /// The vendor's usual type and code for a status.
    pub(crate) fn new(dialect: Dialect, status: u16, message: impl Into<String>) -> Self {
        let code = match (dialect, status) {
            (Dialect::OpenAi, 401) => Some("invalid_api_key"),
            (Dialect::OpenAi, 404) => Some("model_not_found"),
            (Dialect::OpenAi, 429) => Some("rate_limit_exceeded"),
            (Dialect::OpenAi | Dialect::Anthropic, _) => None,
        };
        let kind = error_kind(dialect, status);
        let code = code.map(str::to_owned);
        Self {
            status,
            kind: kind.to_owned(),
            message: message.into(),
            code,
            param: None,
        }
    }

    pub(crate) fn bad_request(dialect: Dialect, message: impl Into<String>) -> Self {
        Self::new(dialect, 400, message)
    }

    pub(crate) fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(crate) fn code(mut self, code: Option<&str>) -> Self {
        self.code = code.map(str::to_owned);
        self
    }

    pub(crate) fn body(&self, dialect: Dialect, request_id: &str) -> String {
        let Self {
            status: _,
            kind,
            message,
            code,
            param,
        } = self;
        match dialect {
            Dialect::Anthropic => {
                let error = Obj::new().str("type", kind).str("message", message).end();
                Obj::new()
                    .str("type", "error")
                    .raw("error", &error)
                    .str("request_id", request_id)
                    .end()
            }
            Dialect::OpenAi => {
                let error = Obj::new().str("message", message).str("type", kind);
                let error = or_null(error, "param", *param);
                let error = or_null(error, "code", code.as_deref()).end();
                Obj::new().raw("error", &error).end()
            }
        }
    }
}

fn or_null(object: Obj, key: &str, value: Option<&str>) -> Obj {
    match value {
        Some(value) => object.str(key, value),
        None => object.raw(key, "null"),
    }
}

fn error_kind(dialect: Dialect, status: u16) -> &'static str {
    match dialect {
        Dialect::OpenAi => match status {
            429 => "requests",
            500.. => "server_error",
            _ => "invalid_request_error",
        },
        Dialect::Anthropic => match status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            504 => "timeout_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        },
    }
}

/// The usual text of an error, when the directive gives none.
pub(crate) fn error_message(status: u16) -> &'static str {
    match status {
        401 => "Incorrect API key provided.",
        403 => "You are not allowed to do this.",
        404 => "The model does not exist or you do not have access to it.",
        429 => "Rate limit reached for requests.",
        503 | 529 => "Overloaded",
        500.. => "The server had an error while processing your request.",
        _ => "Invalid request.",
    }
}

/// The number as both vendors' headers show it.
pub(crate) fn request_id(n: u64) -> String {
    format!("req_mock_{n}")
}

/// A response head with everything that SDKs and gateways read.
pub(crate) fn head(
    dialect: Dialect,
    status: u16,
    request_id: &str,
    content_type: HeaderValue,
) -> response::Builder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let head = response::Builder::new()
        .status(status)
        .header(CONTENT_TYPE, content_type);
    match dialect {
        Dialect::OpenAi => head
            .header("x-request-id", request_id)
            .header("openai-organization", "mock-org")
            .header("openai-processing-ms", "1")
            .header("openai-version", "2020-10-01")
            .header("x-ratelimit-limit-requests", "10000")
            .header("x-ratelimit-limit-tokens", "2000000")
            .header("x-ratelimit-remaining-requests", "9999")
            .header("x-ratelimit-remaining-tokens", "1999900")
            .header("x-ratelimit-reset-requests", "6ms")
            .header("x-ratelimit-reset-tokens", "3ms"),
        Dialect::Anthropic => {
            let reset = rfc3339(now_ms() / 1_000 + 1);
            let mut head = head.header("request-id", request_id).header(
                "anthropic-organization-id",
                "00000000-0000-4000-8000-000000000000",
            );
            for (limit, remaining, at) in LIMITS {
                head = head
                    .header(limit.0, limit.1)
                    .header(remaining.0, remaining.1);
                head = head.header(at, reset.as_str());
            }
            head
        }
    }
}

type Pair = (&'static str, &'static str);
const LIMITS: [(Pair, Pair, &str); 4] = [
    (
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        "anthropic-ratelimit-requests-reset",
    ),
    (
        ("anthropic-ratelimit-tokens-limit", "480000"),
        ("anthropic-ratelimit-tokens-remaining", "479000"),
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        ("anthropic-ratelimit-input-tokens-limit", "400000"),
        ("anthropic-ratelimit-input-tokens-remaining", "399000"),
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        ("anthropic-ratelimit-output-tokens-limit", "80000"),
        ("anthropic-ratelimit-output-tokens-remaining", "80000"),
        "anthropic-ratelimit-output-tokens-reset",
    ),
];
