//! What a server said when it said no, whichever envelope it used.
//!
//! The reader accepts the canonical `error.code` object, the legacy `error` string with or without
//! a `message`, OAuth's `error_description`, a bare `message`, and plain text. Nothing here prints.

use crate::advice;
use crate::json::Json;
use crate::table::shorten;

/// Longest plain-text answer that is worth repeating.
const MAX_PLAIN_TEXT: usize = 300;

/// A refused or failed call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: Option<u16>,
    pub(crate) meta: Vec<(String, Json)>,
    pub(crate) trace_id: Option<String>,
    pub(crate) reasons: Vec<Json>,
    pub(crate) suggestions: Vec<String>,
    pub(crate) doc_url: Option<String>,
    /// The server named the failure itself, and it is not its own fault.
    pub(crate) handled: bool,
}

impl Failure {
    /// A failure found on this side of the wire.
    pub(crate) fn local(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            status: None,
            meta: Vec::new(),
            trace_id: None,
            reasons: Vec::new(),
            suggestions: Vec::new(),
            doc_url: None,
            handled: true,
        }
    }

    /// The server could not be reached, or hung up.
    pub(crate) fn network(endpoint: &str, cause: &str) -> Self {
        let mut failure = Self::local("network_error", format!("cannot reach {endpoint}: {cause}"));
        failure.handled = false;
        failure.meta.push(("endpoint".to_owned(), endpoint.into()));
        failure.suggestions.push(
            "Start a server with `langwatch serve`, or point LANGWATCH_ENDPOINT at yours."
                .to_owned(),
        );
        failure
    }

    /// The answer was a success that this client cannot read.
    pub(crate) fn unreadable(endpoint: &str, status: u16) -> Self {
        let message = format!("{endpoint} answered with something that is not JSON");
        let mut failure = Self::local("invalid_response", message);
        failure.status = Some(status);
        failure.handled = false;
        failure
            .suggestions
            .push("Check that LANGWATCH_ENDPOINT names the control plane.".into());
        failure
    }

    /// Reads the body of an answer that is no success.
    pub(crate) fn from_response(status: u16, retry_after: Option<&str>, body: &str) -> Self {
        let mut failure = match Json::parse(body) {
            Ok(value @ Json::Object(_)) => from_envelope(status, value),
            _ => from_text(status, body),
        };
        failure.status = Some(status);
        failure.handled &= status < 500;
        if status == 429 {
            let wait = retry_after.unwrap_or("unknown").trim();
            failure
                .meta
                .push(("retry_after_seconds".to_owned(), number_or_text(wait)));
        }
        // What the server itself suggests comes first.
        for line in advice::suggestions(&failure) {
            if !failure.suggestions.contains(&line) {
                failure.suggestions.push(line);
            }
        }
        failure
    }

    /// Whether the credential is good, but of a kind that these routes do not take.
    pub(crate) fn is_wrong_class(&self) -> bool {
        self.code == "credential_class_mismatch"
    }

    /// Whether trying the same again is pointless.
    pub(crate) fn is_terminal(&self) -> bool {
        match self.status {
            Some(status) => !matches!(status, 408 | 429 | 500..),
            None => self.code != "network_error",
        }
    }

    /// The document that machine formats print.
    pub(crate) fn document(&self) -> Json {
        let mut error = Json::object([
            ("code", self.code.as_str().into()),
            ("kind", self.code.as_str().into()),
            ("message", self.message.as_str().into()),
        ]);
        if let Some(status) = self.status {
            error.set("httpStatus", i64::from(status).into());
        }
        error.set("meta", Json::Object(self.meta.clone()));
        error.set("isHandled", self.handled.into());
        if let Some(trace_id) = &self.trace_id {
            error.set("traceId", trace_id.as_str().into());
        }
        error.set("reasons", self.reasons.clone().into());
        let suggestions: Vec<Json> = self.suggestions.iter().map(|s| s.as_str().into()).collect();
        error.set("suggestions", suggestions.into());
        if let Some(url) = &self.doc_url {
            error.set("docUrl", url.as_str().into());
        }
        error.set("terminal", self.is_terminal().into());
        Json::object([("ok", false.into()), ("error", error)])
    }
}

fn from_envelope(status: u16, mut body: Json) -> Failure {
    let mut failure = Failure::local(status_code(status), "");
    match body.take("error") {
        Some(mut error @ Json::Object(_)) => {
            let kind = take_text(&mut error, "type");
            if let Some(code) = take_text(&mut error, "code").or(kind) {
                failure.code = code;
            }
            failure.message = take_text(&mut error, "message").unwrap_or_default();
            let meta = error.take("meta").unwrap_or(Json::Null);
            read_extras(&mut failure, error);
            // `meta` is the server's own list; anything else in the envelope comes after it.
            let extras = std::mem::take(&mut failure.meta);
            read_extras(&mut failure, meta);
            failure.meta.extend(extras);
        }
        Some(Json::String(phrase)) => {
            let sentence =
                take_text(&mut body, "message").or(take_text(&mut body, "error_description"));
            if let Some(code) = code_of_phrase(&phrase, sentence.is_some()) {
                failure.code = code;
            }
            failure.message = sentence.unwrap_or(phrase);
            read_extras(&mut failure, body);
        }
        _ => {
            failure.message = take_text(&mut body, "message").unwrap_or_default();
            read_extras(&mut failure, body);
        }
    }
    if failure.message.is_empty() {
        failure.message = format!("the server answered {status}");
    }
    failure
}

/// Sorts the fields beside the code and the message into their places.
fn read_extras(failure: &mut Failure, value: Json) {
    let Json::Object(fields) = value else { return };
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Json::Null) | ("span_id" | "spanId" | "fault", _) => {}
            ("trace_id" | "traceId", Json::String(id)) => failure.trace_id = Some(id),
            ("trace", trace @ Json::Object(_)) => {
                failure.trace_id = trace.text("traceId").map(str::to_owned);
            }
            ("reasons", Json::Array(reasons)) => failure.reasons.extend(reasons),
            ("tips" | "suggestions", Json::Array(tips)) => {
                failure.suggestions.extend(tips.iter().map(Json::display));
            }
            ("tips" | "suggestions", Json::String(tip)) => failure.suggestions.push(tip),
            ("docsUrl" | "docUrl" | "docs_url" | "doc_url", Json::String(url)) => {
                failure.doc_url = Some(url);
            }
            (_, value) => failure.meta.push((name, value)),
        }
    }
}

fn from_text(status: u16, body: &str) -> Failure {
    let body = body.trim();
    let message = if body.is_empty() || body.starts_with('<') {
        format!("the server answered {status}")
    } else {
        shorten(body, MAX_PLAIN_TEXT)
    };
    let mut failure = Failure::local(status_code(status), message);
    failure.handled = false;
    failure
}

fn take_text(value: &mut Json, key: &str) -> Option<String> {
    match value.take(key)? {
        Json::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn number_or_text(text: &str) -> Json {
    text.parse::<i64>().map_or_else(|_| text.into(), Json::from)
}

/// A legacy `error` is a code (`api_key_not_found`), a title (`Unauthorized`) or a sentence.
fn code_of_phrase(phrase: &str, is_title: bool) -> Option<String> {
    let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if phrase.chars().all(is_code) {
        return Some(phrase.to_owned());
    }
    let is_word = |c: char| c.is_ascii_alphabetic() || c == ' ';
    (is_title && phrase.len() <= 40 && phrase.chars().all(is_word))
        .then(|| phrase.to_ascii_lowercase().replace(' ', "_"))
}

fn status_code(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        401 => "unauthorized",
        402 => "payment_required",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        409 => "conflict",
        410 => "gone",
        412 => "precondition_failed",
        413 => "payload_too_large",
        422 => "validation_error",
        429 => "rate_limited",
        502 => "bad_gateway",
        503 => "service_unavailable",
        504 => "gateway_timeout",
        500.. => "internal_error",
        _ => "unexpected_status",
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn every_envelope_is_read() {
        for (status, body, code, message) in [
            (
                400,
                r#"{"error":{"type":"bad_request","code":"validation_error","message":"m"}}"#,
                "validation_error",
                "m",
            ),
            (
                404,
                r#"{"error":{"type":"not_found","message":"m"}}"#,
                "not_found",
                "m",
            ),
            (
                404,
                r#"{"error":"api_key_not_found"}"#,
                "api_key_not_found",
                "api_key_not_found",
            ),
            (
                401,
                r#"{"error":"Unauthorized","message":"No."}"#,
                "unauthorized",
                "No.",
            ),
            (
                400,
                r#"{"error":"Provider is unknown."}"#,
                "bad_request",
                "Provider is unknown.",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Gone."}"#,
                "invalid_grant",
                "Gone.",
            ),
            (
                404,
                r#"{"message":"Trace not found."}"#,
                "not_found",
                "Trace not found.",
            ),
            (
                502,
                "<html>bad</html>",
                "bad_gateway",
                "the server answered 502",
            ),
            (503, "try later\n", "service_unavailable", "try later"),
            (500, "", "internal_error", "the server answered 500"),
            (418, "[]", "unexpected_status", "[]"),
        ] {
            let failure = Failure::from_response(status, None, body);
            assert_eq!(
                (failure.code.as_str(), failure.message.as_str()),
                (code, message),
                "{body}"
            );
            assert_eq!(failure.is_terminal(), status < 500, "{body}");
        }
    }

    #[test]
    fn the_machine_document_holds_all_that_is_known() {
        let body = r#"{"error":{"type":"bad_request","code":"gateway_budget_scope_unreachable",
            "message":"No key.","meta":{"scope_type":"team","reasons":[{"code":"c","message":"r"}]},
            "trace_id":"t1","span_id":"s1"}}"#;
        let mut failure = Failure::from_response(400, None, body);
        failure.doc_url = Some("https://docs.example/x".into());
        insta::assert_snapshot!(failure.document().pretty(), @r#"
        {
          "ok": false,
          "error": {
            "code": "gateway_budget_scope_unreachable",
            "kind": "gateway_budget_scope_unreachable",
            "message": "No key.",
            "httpStatus": 400,
            "meta": {
              "scope_type": "team"
            },
            "isHandled": true,
            "traceId": "t1",
            "reasons": [
              {
                "code": "c",
                "message": "r"
              }
            ],
            "suggestions": [
              "Create a key that counts toward it with `langwatch virtual-keys create --name <name> --scope team:<id>`.",
              "To create it before such a key exists, run `langwatch gateway-budgets create` again with `--allow-unreachable`."
            ],
            "docUrl": "https://docs.example/x",
            "terminal": true
          }
        }
        "#);
    }

    #[test]
    fn legacy_extras_find_their_place() {
        let body = r#"{"error":"x_y","message":"m","limit":3,"tips":["do a"],"docsUrl":"u",
            "fault":"customer","trace":{"traceId":"t","spanId":"s"}}"#;
        let failure = Failure::from_response(422, None, body);
        assert_eq!(failure.meta, [("limit".to_owned(), 3_i64.into())]);
        assert_eq!(failure.suggestions, ["do a"]);
        assert_eq!(
            (failure.doc_url.as_deref(), failure.trace_id.as_deref()),
            (Some("u"), Some("t"))
        );
    }

    #[test]
    fn trying_again_is_worth_it_only_sometimes() {
        for (status, terminal) in [(400, true), (408, false), (429, false), (500, false)] {
            assert_eq!(
                Failure::from_response(status, Some("2"), "").is_terminal(),
                terminal
            );
        }
        assert!(!Failure::network("http://x", "refused").is_terminal());
        assert!(Failure::local("not_logged_in", "m").is_terminal());
    }
}
