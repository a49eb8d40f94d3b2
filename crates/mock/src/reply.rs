//! What every answer of a vendor has besides its body: error shapes and response headers.
//!
//! Never makes a generation. Start at [`Refusal`] and [`head`].

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{StatusCode, response};

use crate::clock::{now_ms, rfc3339};
use crate::json::Obj;
use crate::serve::Call;
use crate::target::{Dialect, Target, Vendor};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
pub(crate) const GOOGLE_JSON: HeaderValue =
    HeaderValue::from_static("application/json; charset=UTF-8");
pub(crate) const GOOGLE_EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
pub(crate) const FRAMES: HeaderValue =
    HeaderValue::from_static("application/vnd.amazon.eventstream");
pub(crate) const XML: HeaderValue = HeaderValue::from_static("text/xml");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// An error answer in the shape of whichever vendor.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// OpenAI's and Anthropic's `type`, Google's `status`, the name of AWS's exception.
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    /// Boxed, as most errors have none of it.
    more: Option<Box<More>>,
    /// Code and message are all there is, as in front of Azure's models.
    bare: bool,
}

#[derive(Debug, Default)]
struct More {
    param: Option<String>,
    /// JSON: Google's `details`, Azure's `innererror`.
    details: Option<String>,
}

impl Refusal {
    /// The vendor's usual type and code for a status.
    pub(crate) fn new(dialect: Dialect, status: u16, message: impl Into<String>) -> Self {
        let code = match (dialect, status) {
            (Dialect::OpenAi, 401) => Some("invalid_api_key"),
            (Dialect::OpenAi, 404) => Some("model_not_found"),
            (Dialect::OpenAi, 429) => Some("rate_limit_exceeded"),
            (_, _) => None,
        };
        let kind = error_kind(dialect, status);
        let code = code.map(str::to_owned);
        Self {
            status,
            kind: kind.to_owned(),
            message: message.into(),
            code,
            more: None,
            bare: false,
        }
    }

    pub(crate) fn bad_request(dialect: Dialect, message: impl Into<String>) -> Self {
        Self::new(dialect, 400, message)
    }

    /// What Azure answers by itself, without asking a model.
    pub(crate) fn azure(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            bare: true,
            ..Self::new(Dialect::OpenAi, status, message).code(Some(code))
        }
    }

    /// An exception of AWS by its name.
    pub(crate) fn aws(status: u16, exception: &str, message: impl Into<String>) -> Self {
        Self::new(Dialect::Bedrock, status, message).kind(exception)
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.more.get_or_insert_default().param = Some(param.into());
        self
    }

    pub(crate) fn code(mut self, code: Option<&str>) -> Self {
        self.code = code.map(str::to_owned);
        self
    }

    pub(crate) fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    pub(crate) fn details(mut self, details: String) -> Self {
        self.more.get_or_insert_default().details = Some(details);
        self
    }

    pub(crate) fn body(&self, dialect: Dialect, request_id: &str) -> String {
        let Self {
            status,
            kind,
            message,
            code,
            more,
            bare,
        } = self;
        let param = more.as_ref().and_then(|more| more.param.as_deref());
        let details = more.as_ref().and_then(|more| more.details.as_deref());
        match dialect {
            Dialect::Anthropic => {
                let error = Obj::new().str("type", kind).str("message", message).end();
                Obj::new()
                    .str("type", "error")
                    .raw("error", &error)
                    .str("request_id", request_id)
                    .end()
            }
            Dialect::OpenAi if *bare => {
                let error = Obj::new()
                    .str("code", code.as_deref().unwrap_or_default())
                    .str("message", message)
                    .end();
                Obj::new().raw("error", &error).end()
            }
            Dialect::OpenAi => {
                let error = Obj::new().str("message", message).str("type", kind);
                let error = or_null(error, "param", param);
                let error = or_null(error, "code", code.as_deref());
                let error = match details {
                    Some(inner) => error
                        .num("status", u64::from(*status))
                        .raw("innererror", inner),
                    None => error,
                };
                Obj::new().raw("error", &error.end()).end()
            }
            Dialect::Gemini => {
                let error = Obj::new()
                    .num("code", u64::from(*status))
                    .str("message", message)
                    .str("status", kind)
                    .raw_if("details", details)
                    .end();
                Obj::new().raw("error", &error).end()
            }
            Dialect::Bedrock => Obj::new().str("message", message).end(),
        }
    }
}

/// Headers that an error has in addition: AWS names the exception in one.
pub(crate) fn error_headers(call: &Call<'_>, refusal: &Refusal) -> Option<(&'static str, String)> {
    (call.target.vendor == Vendor::Bedrock)
        .then(|| ("x-amzn-errortype", format!("{}:", refusal.kind)))
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
        Dialect::Gemini => match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            501 => "UNIMPLEMENTED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            500.. => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        },
        Dialect::Bedrock => match status {
            401 => "UnrecognizedClientException",
            403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            408 => "ModelTimeoutException",
            424 => "ModelErrorException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            500.. => "InternalServerException",
            _ => "ValidationException",
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

/// The number as the vendors' headers show it.
pub(crate) fn request_id(n: u64) -> String {
    format!("req_mock_{n}")
}

/// A response head with everything that SDKs and gateways read.
pub(crate) fn head(
    target: &Target<'_>,
    status: u16,
    request_id: &str,
    content_type: HeaderValue,
) -> response::Builder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let head = response::Builder::new()
        .status(status)
        .header(CONTENT_TYPE, content_type);
    match target.vendor {
        Vendor::OpenAi => openai_head(head, request_id),
        Vendor::Azure => openai_head(head, request_id)
            .header("apim-request-id", request_id)
            .header("x-ms-region", "Mock Region")
            .header(
                "x-ms-deployment-name",
                target.deployment.as_deref().unwrap_or("none"),
            ),
        Vendor::Anthropic => {
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
        Vendor::Gemini => head.header("server-timing", "gfet4t7; dur=1"),
        Vendor::Vertex if target.dialect == Dialect::Anthropic => {
            head.header("request-id", request_id)
        }
        Vendor::Vertex => head.header("x-vertex-ai-llm-request-type", "shared"),
        Vendor::Bedrock => head.header("x-amzn-requestid", request_id),
    }
}

fn openai_head(head: response::Builder, request_id: &str) -> response::Builder {
    head.header("x-request-id", request_id)
        .header("openai-organization", "mock-org")
        .header("openai-processing-ms", "1")
        .header("openai-version", "2020-10-01")
        .header("x-ratelimit-limit-requests", "10000")
        .header("x-ratelimit-limit-tokens", "2000000")
        .header("x-ratelimit-remaining-requests", "9999")
        .header("x-ratelimit-remaining-tokens", "1999900")
        .header("x-ratelimit-reset-requests", "6ms")
        .header("x-ratelimit-reset-tokens", "3ms")
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
