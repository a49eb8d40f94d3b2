//! Who and what a request is for, read from its headers (data-plane 9). Bad values are dropped, never
//! an error.

use http::HeaderMap;
use http::header::{HeaderName, USER_AGENT};
use lw_core::TraceContext;

use crate::headers;

/// The most bytes of a metadata header.
const METADATA_BYTES: usize = 4_096;
/// The most characters of an end user.
const END_USER_CHARS: usize = 256;
/// The most bytes of any other name that a caller gives.
const NAME_BYTES: usize = 512;

/// What the headers say.
#[derive(Debug, Default, Clone)]
pub struct Attribution {
    /// The end user that a header names.
    pub end_user: Option<String>,
    /// `X-LangWatch-Metadata`, verbatim.
    pub metadata: Option<String>,
    /// `X-LangWatch-Trace-Metadata`, verbatim.
    pub trace_metadata: Option<String>,
    /// The session that a header names.
    pub session: Option<String>,
    /// `X-LangWatch-Thread-Id`.
    pub thread_id: Option<String>,
    /// Recognised client.
    pub client: Option<&'static str>,
    /// `tracestate`, carried on the span.
    pub tracestate: Option<String>,
    /// The caller's own `X-Request-Id`.
    pub client_request_id: Option<String>,
}

/// Reads the trace context of the caller.
#[must_use]
pub fn trace_context(headers: &HeaderMap) -> TraceContext {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext::read(
        text(&headers::TRACEPARENT),
        text(&headers::TRACE_ID),
        text(&headers::PARENT_SPAN_ID),
    )
}

/// Reads everything else.
#[must_use]
pub fn read(headers: &HeaderMap) -> Attribution {
    let text = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty() && value.len() <= NAME_BYTES).then(|| value.to_owned())
    };
    let user = |name: &HeaderName| {
        headers
            .get(name)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
            .and_then(clean_user)
    };
    Attribution {
        end_user: user(&headers::END_USER_ID).or_else(|| user(&headers::LITELLM_END_USER_ID)),
        metadata: json_object(headers, &headers::METADATA),
        trace_metadata: json_object(headers, &headers::TRACE_METADATA),
        session: text(&headers::CLAUDE_CODE_SESSION_ID)
            .or_else(|| text(&headers::SESSION_AFFINITY))
            .or_else(|| text(&headers::SESSION_ID)),
        thread_id: text(&headers::THREAD_ID),
        client: headers
            .get(USER_AGENT)
            .and_then(|value| client(value.to_str().ok()?)),
        tracestate: text(&headers::TRACESTATE),
        client_request_id: text(&headers::X_REQUEST_ID),
    }
}

/// Cleans an end user: no control characters, trimmed, at most 256 characters; `None` when nothing is
/// left.
#[must_use]
pub fn clean_user(text: &str) -> Option<String> {
    let kept: String = text
        .chars()
        .filter(|c| *c >= ' ' && *c != '\u{7f}')
        .collect();
    let user: String = kept.trim().chars().take(END_USER_CHARS).collect();
    (!user.is_empty()).then_some(user)
}

fn json_object(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?;
    let object = text.len() <= METADATA_BYTES
        && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
    if !object {
        tracing::debug!(size = text.len(), "request_metadata_dropped");
    }
    object.then(|| text.to_owned())
}

fn client(user_agent: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 12] = [
        ("claude-cli", "claude-code"),
        ("claude-code", "claude-code"),
        ("codex", "codex"),
        ("cursor", "cursor"),
        ("opencode", "opencode"),
        ("gemini-cli", "gemini-cli"),
        ("geminicli", "gemini-cli"),
        ("aider", "aider"),
        ("openai/python", "openai-python"),
        ("openai/js", "openai-node"),
        ("anthropic/python", "anthropic-python"),
        ("anthropic/js", "anthropic-typescript"),
    ];
    let lower = user_agent
        .get(..user_agent.len().min(256))?
        .to_ascii_lowercase();
    if let Some((_, name)) = KNOWN.iter().find(|(part, _)| lower.contains(part)) {
        return Some(name);
    }
    // `AsyncOpenAI/Python 2.54.0` and `AsyncAnthropic/Python …`.
    match (
        lower.contains("openai/python"),
        lower.contains("anthropic/python"),
    ) {
        (true, _) => Some("openai-python"),
        (_, true) => Some("anthropic-python"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(name: HeaderName, value: &str) -> Attribution {
        let mut headers = HeaderMap::new();
        headers.insert(
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
        read(&headers)
    }

    #[test]
    fn an_end_user_is_cleaned() {
        assert_eq!(clean_user(" a\u{1}b\u{7f} ").as_deref(), Some("ab"));
        assert_eq!(clean_user(" \t "), None);
        assert_eq!(
            clean_user(&"x".repeat(300)).map(|user| user.len()),
            Some(256)
        );
        assert_eq!(
            with(headers::LITELLM_END_USER_ID, "u1").end_user.as_deref(),
            Some("u1")
        );
    }

    #[test]
    fn metadata_must_be_a_small_object() {
        assert!(with(headers::METADATA, r#"{"a":1}"#).metadata.is_some());
        assert!(with(headers::METADATA, "[1]").metadata.is_none());
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(METADATA_BYTES));
        assert!(with(headers::METADATA, &large).metadata.is_none());
    }

    #[test]
    fn clients_are_recognised() {
        for (agent, expected) in [
            ("claude-cli/2.1.197 (external, cli)", Some("claude-code")),
            ("AsyncOpenAI/Python 2.54.0", Some("openai-python")),
            ("Anthropic/JS 1.12.0", Some("anthropic-typescript")),
            ("curl/8", None),
        ] {
            assert_eq!(with(USER_AGENT, agent).client, expected, "{agent}");
        }
    }
}
