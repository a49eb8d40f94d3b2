//! Errors of providers: read in every shape that they come in, written in the caller's (providers 21).
//!
//! A caller's own retry logic reads type, code and status, so these stay the provider's where the caller's
//! dialect has room for them. Must never give an empty message, and never the text of an error page.
//! Start at [`read`] and [`write`].

use serde_json::value::RawValue;

use crate::Dialect;
use crate::ir::Failure;
use crate::json::{self, Obj, Object};

/// Type of a failure that has none of its own.
const PROVIDER_ERROR: &str = "provider_error";

/// Code of a stream that broke without a code of its own (data-plane 17.4).
const BROKEN_STREAM: &str = "upstream_mid_stream_failure";

/// Message of a failure that has none of its own.
const SILENT: &str = "the provider failed and did not say why";

/// Status of an error that came without one.
const NO_STATUS: u16 = 502;

/// Longest plain text that is taken for a message, in bytes.
const TEXT_CAP: usize = 1_000;

/// Bedrock's exceptions with their status, for where HTTP has none (streams).
const EXCEPTIONS: [(&str, u16); 11] = [
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ModelStreamErrorException", 424),
    ("ModelErrorException", 424),
    ("ThrottlingException", 429),
    ("ServiceQuotaExceededException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
    ("ModelNotReadyException", 503),
];

/// Status of one of Bedrock's exceptions, however it is decorated: `…#ThrottlingException:http://…`,
/// `throttlingException`.
#[must_use]
pub fn exception_status(name: &str) -> Option<u16> {
    let name = bare_exception(name);
    let found = EXCEPTIONS
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, status)| *status)
}

/// The name alone.
fn bare_exception(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or(name).trim()
}

/// Anthropic's type for a status.
#[must_use]
pub const fn anthropic_type(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// Google's name for a status.
#[must_use]
pub const fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 | 529 => "UNAVAILABLE",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// Reads a provider's error answer. `provider` is its kind, for messages; `status` that of HTTP; `headers`
/// are looked at for `x-amzn-errortype`, whatever the case of their names.
#[must_use]
pub fn read(
    provider_dialect: Dialect,
    provider: &str,
    status: u16,
    content_type: Option<&str>,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Failure {
    let mut failure = read_body(body).unwrap_or_default();
    if provider_dialect == Dialect::Converse {
        let header = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("x-amzn-errortype"));
        if let Some((_, value)) = header {
            failure.kind = Some((*value).to_owned());
        }
    }
    failure.kind = failure.kind.map(|kind| match provider_dialect {
        Dialect::Converse => bare_exception(&kind).to_owned(),
        _ => kind,
    });
    failure.kind = failure
        .kind
        .or_else(|| kind_of_code(failure.code.as_deref()?));
    // Below 400 a stream was accepted whose first frame is an error.
    failure.status = match status {
        400.. => Some(status),
        _ => failure.status.or_else(|| implied_status(&failure)),
    };
    if failure.message.is_empty() {
        failure.message = plain_text(content_type, body).unwrap_or_else(|| {
            format!("{provider} answered with status {status} and did not say why")
        });
    }
    if failure.kind.as_deref().is_none_or(str::is_empty) {
        failure.kind = Some(PROVIDER_ERROR.to_owned());
    }
    failure
}

/// A short text that is no page.
fn plain_text(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let page = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let looks_like_text = !text.is_empty()
        && text.len() <= TEXT_CAP
        && !text.starts_with(['<', '{', '['])
        && !text.contains(char::is_control);
    (looks_like_text && !page).then(|| text.to_owned())
}

/// Reads any error body that is JSON: an object, a list of them, or an event with one as its data.
fn read_body(body: &[u8]) -> Option<Failure> {
    if let Ok(object) = Object::of_body(body) {
        return Some(of_object(object));
    }
    if let Ok(list) = serde_json::from_slice::<Vec<&RawValue>>(body) {
        let first = list.first()?;
        return Object::read(first, "").ok().map(of_object);
    }
    let text = std::str::from_utf8(body).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data:"))?;
    Object::of_body(data.trim().as_bytes()).ok().map(of_object)
}

/// A text, or a number as text.
fn word(raw: &RawValue) -> Option<String> {
    let text = json::text(raw).or_else(|| {
        let number = raw.get();
        number
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| number.to_owned())
    });
    text.filter(|text| !text.is_empty())
}

fn of_object(mut object: Object<'_>) -> Failure {
    // `{error: {…}}`, and ElevenLabs' `{detail: {…}}`.
    for key in ["error", "detail"] {
        let Some(raw) = object.get(key) else {
            continue;
        };
        if let Some(text) = json::text(raw) {
            // `{error: "text"}`: the rest stands beside it.
            object.take(key);
            let mut failure = of_fields(object);
            if failure.message.is_empty() {
                failure.message = text;
            } else if failure.kind.is_none() {
                failure.kind = Some(text);
            }
            return failure;
        }
        // Some give a list of what is wrong: the first says enough.
        let list = json::list(raw, key).unwrap_or_default();
        let inner = list.first().copied().unwrap_or(raw);
        if let Ok(inner) = Object::read(inner, key) {
            return of_fields(inner);
        }
    }
    of_fields(object)
}

/// The fields of the error itself, in any vendor's spelling.
fn of_fields(mut fields: Object<'_>) -> Failure {
    let code = fields.take("code").and_then(word);
    let number = code.as_deref().and_then(|code| code.parse::<u16>().ok());
    let status = number.filter(|status| (400..600).contains(status));
    // Google names the status in `status`; where `code` is a number it is that of HTTP.
    let name = fields.take("status").and_then(json::text);
    let exception = fields.take("__type").and_then(json::text);
    let own = fields.take("type").and_then(json::text);
    let kind = own
        .filter(|kind| kind != "error")
        .or(name)
        .or(exception)
        .filter(|kind| !kind.is_empty());
    let message = ["message", "Message", "msg", "errorMessage"]
        .into_iter()
        .find_map(|key| fields.take(key).and_then(json::text));
    Failure {
        status,
        kind,
        code: code.filter(|_| status.is_none()),
        message: message.unwrap_or_default(),
        param: fields.take("param").and_then(json::text),
    }
}

/// The error of a Response that failed (`response.error`).
pub(crate) fn of_response(error: Option<&RawValue>) -> Failure {
    let fields = error.and_then(|raw| Object::read(raw, "error").ok());
    told(of_fields(fields.unwrap_or_default()))
}

/// An `error` event of a stream, its fields inside `error` or beside the type.
pub(crate) fn of_event(data: &[u8]) -> Failure {
    told(read_body(data).unwrap_or_default())
}

/// A failure in a stream: its type and status, where they are missing, from what is there.
fn told(mut failure: Failure) -> Failure {
    failure.kind = failure
        .kind
        .or_else(|| kind_of_code(failure.code.as_deref()?));
    failure.status = failure.status.or_else(|| implied_status(&failure));
    if failure.message.is_empty() {
        SILENT.clone_into(&mut failure.message);
    }
    failure
}

/// The type that OpenAI gives errors of that code.
fn kind_of_code(code: &str) -> Option<String> {
    let kind = match code {
        "rate_limit_exceeded" => "rate_limit_error",
        "insufficient_quota" => "insufficient_quota",
        "server_error" | "server_is_overloaded" | "slow_down" | "vector_store_timeout" => {
            "server_error"
        }
        "invalid_api_key" | "model_not_found" | "invalid_prompt" | "context_length_exceeded" => {
            "invalid_request_error"
        }
        _ => return None,
    };
    Some(kind.to_owned())
}

/// The status that a failure's own words stand for: in a stream that was accepted HTTP has none. `None`:
/// they stand for no status in particular.
#[must_use]
pub fn implied_status(failure: &Failure) -> Option<u16> {
    let by_code = failure.code.as_deref().and_then(|code| match code {
        "rate_limit_exceeded" | "insufficient_quota" => Some(429),
        "server_is_overloaded" | "slow_down" => Some(503),
        "vector_store_timeout" => Some(504),
        "invalid_api_key" => Some(401),
        "model_not_found" => Some(404),
        _ => None,
    });
    let kind = failure.kind.as_deref()?;
    by_code.or_else(|| exception_status(kind)).or(match kind {
        "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => Some(400),
        "authentication_error" | "UNAUTHENTICATED" => Some(401),
        "permission_error" | "PERMISSION_DENIED" => Some(403),
        "not_found_error" | "NOT_FOUND" => Some(404),
        "request_too_large" => Some(413),
        "rate_limit_error" | "insufficient_quota" | "RESOURCE_EXHAUSTED" => Some(429),
        "api_error" | "server_error" | "INTERNAL" => Some(500),
        "UNAVAILABLE" => Some(503),
        "DEADLINE_EXCEEDED" => Some(504),
        "overloaded_error" => Some(529),
        _ => None,
    })
}

/// Writes an error answer for a caller: HTTP status and body.
#[must_use]
pub fn write(to: Dialect, failure: &Failure, provider: &str) -> (u16, Vec<u8>) {
    let status = failure
        .status
        .filter(|status| (400..600).contains(status))
        .unwrap_or(NO_STATUS);
    let message = message(failure);
    let body = match to {
        Dialect::Chat | Dialect::Responses | Dialect::Converse => {
            let kind = failure.kind.as_deref().unwrap_or(PROVIDER_ERROR);
            let meta = Obj::new().num("status", status).str("provider", provider);
            let error = Obj::new()
                .str("type", kind)
                .str("code", failure.code.as_deref().unwrap_or(kind))
                .str("message", message)
                .str_if("param", failure.param.as_deref())
                .raw("meta", &meta.end());
            Obj::new().raw("error", &error.end())
        }
        Dialect::Messages => {
            let error = Obj::new()
                .str("type", anthropic_type(status))
                .str("message", message)
                .str_if("code", failure.code.as_deref());
            Obj::new().str("type", "error").raw("error", &error.end())
        }
        Dialect::Gemini => {
            let error = Obj::new()
                .num("code", status)
                .str("message", message)
                .str("status", google_status(status));
            Obj::new().raw("error", &error.end())
        }
    };
    (status, body.end().into_bytes())
}

fn message(failure: &Failure) -> &str {
    if failure.message.trim().is_empty() {
        SILENT
    } else {
        &failure.message
    }
}

/// The object under `error` in the frame that ends a broken stream, in OpenAI's words (data-plane 17.4).
#[must_use]
pub fn stream_object(failure: &Failure) -> String {
    let code = failure.code.as_deref().filter(|code| !code.is_empty());
    let error = Obj::new()
        .str("type", failure.kind.as_deref().unwrap_or(PROVIDER_ERROR))
        .str("code", code.unwrap_or(BROKEN_STREAM))
        .str("message", message(failure));
    match failure.param.as_deref() {
        Some(param) => error.str("param", param),
        None => error.raw("param", "null"),
    }
    .end()
}

#[cfg(test)]
mod tests;
