//! Directives: how a test tells the mock to misbehave, and where it finds them.
//!
//! One struct, [`Directive`], whatever the way in: a queued [`Script`], the `x-mock` header, or an
//! inline `[[mock:{...}]]` inside any string of the request body, which survives a gateway. Never
//! guesses: an unknown field or a value out of range is refused with a sentence that says why.
//! Start at [`Directive`], then [`inline`].

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::scripted::{Answer, Quirks};

/// How an inline directive begins.
pub(crate) const MARK: &str = "[[mock:";

const MAX_FRAMES: u32 = 1_000_000;
const MAX_PADDING: usize = 256 * 1024 * 1024;

/// What the mock shall do with one request. Every field is optional.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directive {
    /// Answer with this status. Outside 200 to 299 the body is the vendor's error shape.
    pub status: Option<u16>,
    /// `error.type` of the error body or of the error event.
    pub error_type: Option<String>,
    /// `error.message` of the error body or of the error event.
    pub error_message: Option<String>,
    /// The `retry-after` header, as text (a JSON number is taken too).
    #[serde(deserialize_with = "text_or_number")]
    pub retry_after: Option<String>,
    /// More response headers; they replace ours of the same name.
    pub headers: BTreeMap<String, String>,
    /// Wait before the response head.
    pub delay_head_ms: Option<u64>,
    /// RST (linger 0) instead of an answer.
    pub reset_before_head: bool,
    /// FIN instead of an answer.
    pub close_before_head: bool,
    /// Never answer; the call ends when the caller hangs up.
    pub stall_before_head: bool,
    /// Number of content frames (text or argument deltas) of a stream, and words of the answer.
    pub frames: Option<u32>,
    /// Size of each content frame's text.
    pub frame_text_bytes: Option<usize>,
    /// Pad a body that is not a stream to this size.
    pub response_bytes: Option<usize>,
    /// Gap between stream frames, or between the pieces of a split.
    pub pace_ms: Option<u64>,
    /// RST after so many content frames; 0 is right after the response head.
    pub reset_after_frames: Option<u32>,
    /// FIN after so many content frames, without the end of the body.
    pub close_after_frames: Option<u32>,
    /// Silence after so many content frames, with the connection left open.
    pub stall_after_frames: Option<u32>,
    /// The vendor's error event after so many content frames, then the end of the body.
    pub error_event_after_frames: Option<u32>,
    /// Status 200 with JSON that does not parse (streams: the first content frame).
    pub malformed_json: bool,
    /// Cut what goes on the socket at these offsets, counted from the first byte of the head.
    pub split_bytes: Vec<u64>,
    /// Cut what goes on the socket into pieces of this size.
    pub split_every: Option<u64>,
    /// A body that is not a stream goes out without `Content-Length`.
    pub chunked: bool,
    /// Leave usage out.
    pub no_usage: bool,
    /// Numbers to report (and, where they are sane, to count).
    pub usage: Option<UsageSpec>,
    /// Put verbatim in place of the usage object.
    pub usage_raw: Option<Box<RawValue>>,
    /// The whole response body, verbatim.
    pub body_raw: Option<String>,
    /// The response's `Content-Type`.
    pub content_type: Option<String>,
    /// Call the first tool of the request (when it has tools).
    pub tool_call: bool,
    /// Think (`true`) or do not (`false`), whatever the request says.
    pub thinking: Option<bool>,
    /// The text of the answer.
    pub text: Option<String>,
    /// The model name in the answer.
    pub model: Option<String>,
    /// An error body that contains the credential that was received (status 401 if not given).
    pub echo_credential_in_error: bool,
    /// The whole answer, in whatever dialect was asked; `text` and `tool_call` do not matter then.
    pub answer: Option<Answer>,
    /// The answers of a tool loop: the next one comes once the request holds the results of every
    /// tool that the ones before it called. Wins over `answer`.
    pub turns: Vec<Answer>,
    /// How the chat stream differs from OpenAI's.
    pub quirks: Quirks,
    /// The finish reason, verbatim; of Responses the status, so that `failed` ends a stream with
    /// `response.failed`.
    pub finish_reason: Option<String>,
    /// The prompt is refused by the vendor's filter: Gemini's `promptFeedback.blockReason` (200, no
    /// candidate), elsewhere Azure's and OpenAI's 400 `content_filter`.
    pub block_reason: Option<String>,
    /// A wrong checksum on the frame after so many content frames, then the end (event streams of
    /// AWS only).
    pub bad_crc_after_frames: Option<u32>,
    /// Half of the frame after so many content frames, then a proper end of the body.
    pub cut_frame_after_frames: Option<u32>,
    /// Lifetime in seconds of the token that this call hands out.
    pub expires_in: Option<u64>,
}

/// Token counts to report, each any JSON value.
///
/// A whole number up to 10^12 is also what the truth says. Anything else (`-5`, `1e18`, `"text"`)
/// is reported verbatim, and the truth keeps what the counting rule gives.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageSpec {
    /// All input, cache reads and writes included, in every dialect.
    pub prompt_tokens: Option<Value>,
    /// Input outside every cache class; wins over `prompt_tokens` on the Anthropic dialect.
    pub input_tokens: Option<Value>,
    /// All output, reasoning included.
    #[serde(alias = "output_tokens")]
    pub completion_tokens: Option<Value>,
    /// The reported sum (OpenAI); the sum of the counts if not given.
    pub total_tokens: Option<Value>,
    /// Input read from the cache.
    #[serde(alias = "cache_read_input_tokens")]
    pub cached_tokens: Option<Value>,
    /// Input written to the short-lived cache: five minutes at Anthropic, thirty at OpenAI.
    pub cache_creation_5m: Option<Value>,
    /// Input written to the long-lived cache: one hour at Anthropic, twelve at OpenAI.
    pub cache_creation_1h: Option<Value>,
    /// Reasoning, a part of the output.
    pub reasoning_tokens: Option<Value>,
    /// Audio, a part of the input.
    pub audio_input_tokens: Option<Value>,
    /// Audio, a part of the output.
    pub audio_output_tokens: Option<Value>,
}

/// Which requests a script is for. An absent field matches everything.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The path without its query.
    pub path: Option<String>,
    /// The method, in any case.
    pub method: Option<String>,
    /// The body's `model`.
    pub model: Option<String>,
    /// A piece of the raw body.
    pub body_contains: Option<String>,
    /// The credential that was presented.
    pub api_key: Option<String>,
}

/// A directive in the queue.
#[derive(Clone, Debug)]
pub struct Script {
    /// Which requests it is for.
    pub matching: Match,
    /// How many requests it serves; 0 is for ever.
    pub times: u64,
    /// What to do with them.
    pub directive: Directive,
}

/// Why a directive was refused. Starts lower-case, ready to follow a prefix.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadDirective(String);

impl Directive {
    /// Reads and checks one directive.
    pub fn from_json(json: &str) -> Result<Self, BadDirective> {
        let directive: Self = serde_json::from_str(json).map_err(refused)?;
        directive.checked()
    }

    fn checked(self) -> Result<Self, BadDirective> {
        let refuse = |text: &str| Err(BadDirective(text.to_owned()));
        if self
            .status
            .is_some_and(|status| !(200..=599).contains(&status))
        {
            return refuse("`status` must be from 200 to 599");
        }
        if self.frames.is_some_and(|frames| frames > MAX_FRAMES) {
            return refuse("`frames` must be at most 1000000");
        }
        let frames = usize::try_from(self.frames.unwrap_or(64)).unwrap_or(usize::MAX);
        if self.frame_text_bytes.unwrap_or(0).saturating_mul(frames) > MAX_PADDING {
            return refuse("`frames` times `frame_text_bytes` must be at most 256 MiB");
        }
        if self.response_bytes.unwrap_or(0) > MAX_PADDING {
            return refuse("`response_bytes` must be at most 256 MiB");
        }
        if self.split_every == Some(0) {
            return refuse("`split_every` must be at least 1");
        }
        let mut headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let named = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let extra = [
            named("retry-after", &self.retry_after),
            named("content-type", &self.content_type),
        ];
        let mut extra = extra
            .iter()
            .flatten()
            .map(|(name, value)| (*name, value.as_str()));
        if let Some((name, _)) = headers.find(|pair| !is_header(*pair)) {
            return refuse(&format!("`headers`: `{name}` is not a valid header"));
        }
        if let Some((name, _)) = extra.find(|pair| !is_header(*pair)) {
            return refuse(&format!("`{name}` is not a valid header value"));
        }
        Ok(self)
    }
}

impl Directive {
    /// Whether what was asked does not matter, as the outcome is given.
    pub(crate) fn forced(&self) -> bool {
        self.fails()
            || self.body_raw.is_some()
            || self.reset_before_head
            || self.close_before_head
            || self.stall_before_head
    }

    /// Whether the answer is an error.
    pub(crate) fn fails(&self) -> bool {
        let failed = |status: u16| !(200..300).contains(&status);
        self.status.is_some_and(failed) || self.echo_credential_in_error
    }
}

impl Script {
    /// For the next request, whichever it is.
    pub fn once(directive: Directive) -> Self {
        Self {
            matching: Match::default(),
            times: 1,
            directive,
        }
    }

    /// For every request from now on.
    pub fn always(directive: Directive) -> Self {
        Self {
            matching: Match::default(),
            times: 0,
            directive,
        }
    }

    /// The same for `times` requests (0: for ever).
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The same, only for requests that match.
    #[must_use]
    pub fn matching(mut self, matching: Match) -> Self {
        self.matching = matching;
        self
    }

    /// Reads one entry of `POST /_mock/script`: a directive plus `match` and `times`.
    pub fn from_json(json: &str) -> Result<Self, BadDirective> {
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(json).map_err(refused)?;
        let matching = match fields.remove("match") {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| BadDirective(format!("`match`: {error}")))?,
            None => Match::default(),
        };
        let times = match fields.remove("times") {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| BadDirective(format!("`times`: {error}")))?,
            None => 1,
        };
        let rest = serde_json::to_string(&fields).map_err(refused)?;
        Ok(Self {
            matching,
            times,
            directive: Directive::from_json(&rest)?,
        })
    }
}

impl Match {
    pub(crate) fn accepts(&self, seen: &Candidate<'_>) -> bool {
        let Self {
            path,
            method,
            model,
            body_contains,
            api_key,
        } = self;
        let same = |wanted: &Option<String>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        same(path, Some(seen.path))
            && method
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(seen.method))
            && same(model, seen.model)
            && same(api_key, seen.api_key)
            && body_contains
                .as_deref()
                .is_none_or(|piece| seen.body.contains(piece))
    }
}

/// What a script is matched against.
pub(crate) struct Candidate<'a> {
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) body: &'a str,
    pub(crate) api_key: Option<&'a str>,
}

/// The last inline directive of a raw JSON body: the last, so that a long conversation obeys its
/// latest message.
pub(crate) fn inline(body: &str) -> Result<Option<Directive>, BadDirective> {
    // `contains` is vectorised, `rfind` is not, and most bodies carry no directive.
    if !body.contains(MARK) {
        return Ok(None);
    }
    let Some((_, rest)) = body.rsplit_once(MARK) else {
        return Ok(None);
    };
    let string = rest_of_string(rest);
    let text: String = serde_json::from_str(&format!("\"{string}\"")).map_err(refused)?;
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Directive>();
    let directive = match values.next() {
        Some(Ok(directive)) => directive,
        Some(Err(error)) => return Err(refused(error)),
        None => return Err(BadDirective(String::from("nothing after `[[mock:`"))),
    };
    let after = text.get(values.byte_offset()..).unwrap_or_default();
    if !after.trim_start().starts_with("]]") {
        return Err(BadDirective(String::from("no `]]` after the directive")));
    }
    directive.checked().map(Some)
}

/// A prompt without its inline directives.
pub(crate) fn without_inline(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        let mut values =
            serde_json::Deserializer::from_str(after).into_iter::<serde::de::IgnoredAny>();
        let read = values.next().is_some_and(|value| value.is_ok());
        let tail = after.get(values.byte_offset()..).unwrap_or_default();
        rest = match tail.trim_start().strip_prefix("]]") {
            Some(tail) if read => tail,
            Some(_) | None => "",
        };
    }
    kept.push_str(rest);
    kept
}

fn rest_of_string(raw: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in raw.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return raw.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    raw
}

fn is_header((name, value): (&str, &str)) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && http::HeaderValue::from_str(value).is_ok()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn refused(error: serde_json::Error) -> BadDirective {
    BadDirective(error.to_string())
}

fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(serde::de::Error::custom("`retry_after` must be a string"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Directive, Script, inline, without_inline};

    #[test]
    fn an_inline_directive_is_unescaped() {
        let body = r#"{"messages":[{"content":"hi [[mock:{\"status\":503,\"text\":\"a \\\"b\\\" ]] c\"}]] there"}]}"#;
        let found = inline(body).expect("well formed").expect("there");
        assert_eq!(found.status, Some(503));
        assert_eq!(found.text.as_deref(), Some("a \"b\" ]] c"));
    }

    #[test]
    fn the_last_inline_directive_wins() {
        let body = r#"{"a":"[[mock:{\"status\":500}]]","b":"[[mock:{\"split_bytes\":[1,2]}]]"}"#;
        let found = inline(body).expect("well formed").expect("there");
        assert_eq!((found.status, found.split_bytes), (None, vec![1, 2]));
    }

    #[test]
    fn mistakes_are_named() {
        let error = inline(r#"{"a":"[[mock:{\"statos\":500}]]"}"#).expect_err("unknown field");
        assert!(error.to_string().contains("statos"), "{error}");
        let error = inline(r#"{"a":"[[mock:{\"status\":500}"}"#).expect_err("no end");
        assert!(error.to_string().contains("]]"), "{error}");
        let error = Directive::from_json(r#"{"status":99}"#).expect_err("out of range");
        assert!(error.to_string().contains("200 to 599"), "{error}");
    }

    #[test]
    fn prompts_lose_their_directives() {
        assert_eq!(
            without_inline(r#"say [[mock:{"text":"x"}]]hello"#),
            "say hello"
        );
        assert_eq!(without_inline("plain"), "plain");
    }

    #[test]
    fn a_script_keeps_raw_usage_verbatim() {
        let script = Script::from_json(
            r#"{"match":{"model":"m"},"times":0,"usage_raw":{"prompt_tokens":1.10}}"#,
        )
        .expect("well formed");
        assert_eq!(script.times, 0);
        let raw = script.directive.usage_raw.expect("there");
        assert_eq!(raw.get(), r#"{"prompt_tokens":1.10}"#);
    }
}
