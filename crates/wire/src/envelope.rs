//! The few top-level fields of a request body that the gateway decides on.
//!
//! The body is validated as JSON in one pass without building a tree; what is not declared here is
//! skipped. Escaped spellings of a key count as the key, and a deciding key that stands twice is refused,
//! because the gateway and the provider could read different copies (data-plane 4.3).
//!
//! Must never look at nested fields of the same name. Start at [`Envelope::read`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Not JSON, or not an object. Holds what is wrong and where.
    NotAnObject(String),
    /// A deciding key stands twice.
    Duplicate(&'static str),
    /// `model` is there and is not a text.
    ModelNotText,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(why) => write!(f, "the body is not a JSON object: {why}"),
            Self::Duplicate(key) => write!(f, "the body has the key `{key}` more than once"),
            Self::ModelNotText => f.write_str("`model` must be a string"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// Keys that decide what happens to a request: each may stand once.
const DECIDING: [&str; 17] = [
    "model",
    "stream",
    "messages",
    "input",
    "tools",
    "mcp_servers",
    "system",
    "user",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "stream_options",
    "n",
    "contents",
    "systemInstruction",
    "generationConfig",
    "toolConfig",
];

/// Sampling parameters that the span shows, as they stand in the body (observability 4.2).
const SHOWN: [&str; 8] = [
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
];

/// What a request body says at its top level.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The model as sent, and where its JSON text stands.
    pub model: Option<(Cow<'a, str>, Range<usize>)>,
    /// `stream: true`.
    pub stream: bool,
    /// `user`.
    pub user: Option<Cow<'a, str>>,
    /// The caller's cap on output tokens, under any of its three names (the largest when several).
    pub max_output: Option<u64>,
    /// Where the key `max_tokens` stands, quotes included, when `max_completion_tokens` is not there.
    pub legacy_max_tokens: Option<Range<usize>>,
    /// `n`: how many answers are asked for, at least 1.
    pub choices: u64,
    /// `max_completion_tokens` is there.
    renamed: bool,
    /// Where `stream_options` stands and what it says.
    pub stream_options: StreamOptions,
    /// Where `drop_tuning_params` stands: from the start of the key to the end of the value.
    pub drop_tuning_params: Option<Range<usize>>,
    /// The session inside `metadata.user_id` (Anthropic) or `prompt_cache_key` (Responses).
    pub session: Option<String>,
    /// Sampling parameters: name and JSON text.
    pub parameters: Vec<(&'static str, &'a str)>,
    /// Whether the body points at what cannot be counted from its bytes: files, images or stored
    /// context. Such a call is bounded by the context window alone (data-plane 15).
    pub unbounded_input: bool,
    /// Whether a top-level key names something that the provider keeps; what it is,
    /// [`stored`](crate::stored) tells.
    pub refers: bool,
}

/// What the body says about `stream_options.include_usage`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StreamOptions {
    /// There is no `stream_options`.
    #[default]
    Absent,
    /// It is `null`; its text stands here.
    Null(Range<usize>),
    /// It is an object without `include_usage`; it opens here, and is empty or not.
    WithoutUsage {
        /// Offset just behind the opening brace.
        inside: usize,
        /// Whether the object has no other key.
        empty: bool,
    },
    /// `include_usage` is there, whatever it says, or `stream_options` is not an object.
    Decided,
}

impl<'a> Envelope<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn read(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let mut fault = None;
        let visitor = TopLevel {
            body,
            fault: &mut fault,
        };
        let read = reader.deserialize_map(visitor).and_then(|envelope| {
            reader.end()?;
            Ok(envelope)
        });
        match (read, fault) {
            (_, Some(fault)) => Err(fault),
            (Ok(envelope), None) => Ok(envelope),
            (Err(error), None) => Err(EnvelopeError::NotAnObject(error.to_string())),
        }
    }
}

struct TopLevel<'a, 'f> {
    body: &'a [u8],
    fault: &'f mut Option<EnvelopeError>,
}

impl<'a> Visitor<'a> for TopLevel<'a, '_> {
    type Value = Envelope<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Envelope<'a>, A::Error> {
        let mut envelope = Envelope {
            choices: 1,
            ..Envelope::default()
        };
        let mut seen = [false; DECIDING.len()];
        while let Some(raw_key) = map.next_key::<&'a RawValue>()? {
            let key = text_of(raw_key).unwrap_or_default();
            if let Some((slot, name)) = seen
                .iter_mut()
                .zip(DECIDING)
                .find(|(_, name)| **name == *key)
                && std::mem::replace(slot, true)
            {
                *self.fault = Some(EnvelopeError::Duplicate(name));
            }
            if !interesting(&key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'a RawValue>()?;
            if let Err(fault) = envelope.take(self.body, &key, raw_key, value) {
                self.fault.get_or_insert(fault);
            }
        }
        if envelope.renamed {
            envelope.legacy_max_tokens = None;
        }
        Ok(envelope)
    }
}

/// Keys whose values are looked at; everything else is skipped without being remembered.
fn interesting(key: &str) -> bool {
    matches!(
        key,
        "model"
            | "stream"
            | "user"
            | "stream_options"
            | "drop_tuning_params"
            | "metadata"
            | "n"
            | "prompt_cache_key"
            | "max_completion_tokens"
            | "max_output_tokens"
            | "previous_response_id"
            | "conversation"
            | "prompt"
            | "container"
            | "prediction"
            | "generationConfig"
            | "generation_config"
            | "cachedContent"
            | "cached_content"
    ) || SHOWN.contains(&key)
}

impl<'a> Envelope<'a> {
    fn take(
        &mut self,
        body: &[u8],
        key: &str,
        raw_key: &'a RawValue,
        value: &'a RawValue,
    ) -> Result<(), EnvelopeError> {
        let at = |raw: &RawValue| {
            let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
            start..start + raw.get().len()
        };
        let text = value.get();
        if let Some(name) = SHOWN.iter().find(|name| **name == key) {
            self.parameters.push((name, text));
        }
        match key {
            "model" if text == "null" => {}
            "model" => {
                let model = text_of(value).ok_or(EnvelopeError::ModelNotText)?;
                self.model = Some((model, at(value)));
            }
            "stream" => self.stream = text == "true",
            "user" => self.user = text_of(value),
            "n" => self.choices = text.parse().unwrap_or(1).max(1),
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                match key {
                    "max_tokens" => self.legacy_max_tokens = Some(at(raw_key)),
                    "max_completion_tokens" => self.renamed = true,
                    _ => {}
                }
                self.max_output = self.max_output.max(text.parse().ok());
            }
            "stream_options" => self.stream_options = stream_options(value, at(value)),
            "drop_tuning_params" => {
                self.drop_tuning_params = Some(at(raw_key).start..at(value).end);
            }
            "metadata" => self.session = self.session.take().or_else(|| anthropic_session(text)),
            "prompt_cache_key" => {
                self.session = self
                    .session
                    .take()
                    .or_else(|| text_of(value).map(Cow::into_owned));
            }
            // Context that the provider keeps, or that is no text: not countable from here.
            "previous_response_id"
            | "conversation"
            | "prompt"
            | "container"
            | "cachedContent"
            | "cached_content" => {
                self.unbounded_input |= text != "null";
                self.refers |= text != "null";
            }
            "generationConfig" | "generation_config" => self.take_generation(text),
            _ => {}
        }
        Ok(())
    }
}

impl Envelope<'_> {
    /// What Gemini keeps one level down.
    fn take_generation(&mut self, json: &str) {
        #[derive(Default, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Generation<'a> {
            #[serde(borrow, alias = "max_output_tokens")]
            max_output_tokens: Option<&'a RawValue>,
            #[serde(borrow, alias = "candidate_count")]
            candidate_count: Option<&'a RawValue>,
        }
        let Ok(generation) = serde_json::from_str::<Generation<'_>>(json) else {
            return;
        };
        let number = |raw: Option<&RawValue>| raw?.get().trim_matches('"').parse().ok();
        self.max_output = self.max_output.max(number(generation.max_output_tokens));
        self.choices = number(generation.candidate_count).unwrap_or(1).max(1);
    }
}

/// The text of a JSON string; `None` for any other value.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn stream_options(value: &RawValue, at: Range<usize>) -> StreamOptions {
    struct Keys {
        has_usage: bool,
        count: usize,
    }
    struct KeysVisitor;
    impl<'a> Visitor<'a> for KeysVisitor {
        type Value = Keys;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Keys, A::Error> {
            let mut keys = Keys {
                has_usage: false,
                count: 0,
            };
            while let Some(key) = map.next_key::<Cow<'a, str>>()? {
                keys.count += 1;
                keys.has_usage |= key == "include_usage";
                map.next_value::<IgnoredAny>()?;
            }
            Ok(keys)
        }
    }
    if value.get() == "null" {
        return StreamOptions::Null(at);
    }
    match serde_json::Deserializer::from_str(value.get()).deserialize_map(KeysVisitor) {
        Ok(Keys {
            has_usage: false,
            count,
        }) => StreamOptions::WithoutUsage {
            inside: at.start + 1,
            empty: count == 0,
        },
        _ => StreamOptions::Decided,
    }
}

/// The session id that Claude Code puts, as JSON text, into `metadata.user_id`.
fn anthropic_session(metadata: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Option<Cow<'a, str>>,
    }
    #[derive(serde::Deserialize)]
    struct UserId {
        session_id: Option<String>,
    }
    let metadata: Metadata<'_> = serde_json::from_str(metadata).ok()?;
    serde_json::from_str::<UserId>(&metadata.user_id?)
        .ok()?
        .session_id
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Envelope<'_> {
        Envelope::read(body.as_bytes()).expect("a readable body")
    }

    #[test]
    fn the_top_level_decides_and_nested_names_do_not() {
        let body =
            r#"{"messages":[{"model":"nested","stream":true}],"model":"gpt-4o","user":"u1"}"#;
        let envelope = read(body);
        let (model, at) = envelope.model.expect("a model");
        assert_eq!(model, "gpt-4o");
        assert_eq!(body.get(at), Some("\"gpt-4o\""));
        assert!(!envelope.stream);
        assert_eq!(envelope.user.as_deref(), Some("u1"));
    }

    #[test]
    fn stream_may_come_last() {
        assert!(read(r#"{"model":"m","messages":[],"stream" : true}"#).stream);
    }

    #[test]
    fn an_escaped_key_is_the_key() {
        let error = Envelope::read(br#"{"model":"cheap","mod\u0065l":"dear"}"#);
        assert_eq!(error, Err(EnvelopeError::Duplicate("model")));
        assert!(read(r#"{"str\u0065am":true,"model":"m"}"#).stream);
    }

    #[test]
    fn each_deciding_key_may_stand_once() {
        for key in DECIDING {
            let body = format!(r#"{{"{key}":null,"x":1,"{key}":null}}"#);
            assert_eq!(
                Envelope::read(body.as_bytes()),
                Err(EnvelopeError::Duplicate(key)),
                "{key}"
            );
        }
        assert!(Envelope::read(br#"{"temperature":1,"temperature":1,"model":"m"}"#).is_ok());
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "\"x\"",
            "{",
            "{\"a\":1",
            "{\"a\":[}",
            "{} x",
            "{\"a\":tru}",
            "\u{1}",
        ] {
            assert!(
                matches!(
                    Envelope::read(body.as_bytes()),
                    Err(EnvelopeError::NotAnObject(_))
                ),
                "{body}"
            );
        }
        let error = Envelope::read(br#"{"model":4}"#);
        assert_eq!(error, Err(EnvelopeError::ModelNotText));
    }

    #[test]
    fn the_places_for_the_edits_are_found() {
        let body = r#"{"model":"m","stream_options":{ },"drop_tuning_params":true}"#;
        let envelope = read(body);
        let StreamOptions::WithoutUsage {
            inside,
            empty: true,
        } = envelope.stream_options
        else {
            panic!("{:?}", envelope.stream_options);
        };
        assert!(body.get(..inside).is_some_and(|head| head.ends_with(":{")));
        let at = envelope.drop_tuning_params.expect("a range");
        assert_eq!(body.get(at), Some(r#""drop_tuning_params":true"#));
        let decided = read(r#"{"model":"m","stream_options":{"include_usage":false}}"#);
        assert_eq!(decided.stream_options, StreamOptions::Decided);
    }

    #[test]
    fn a_reference_at_the_top_is_seen_whatever_it_is() {
        for body in [
            r#"{"previous_response_id":"resp_1"}"#,
            r#"{"conversation":{"id":"a","id":"b"}}"#,
            r#"{"contain\u0065r":7}"#,
        ] {
            assert!(read(body).refers, "{body}");
        }
        assert!(!read(r#"{"previous_response_id":null,"metadata":{"container":"x"}}"#).refers);
    }

    #[test]
    fn a_claude_code_session_is_found() {
        let body = r#"{"model":"m","metadata":{"user_id":"{\"session_id\":\"s-1\",\"x\":2}"}}"#;
        assert_eq!(read(body).session.as_deref(), Some("s-1"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::read(&body);
        }

        #[test]
        fn it_reads_what_a_tree_reads(
            model in "\\PC{0,12}",
            stream in any::<bool>(),
            text in "\\PC{0,60}",
            pad in "[ \n\t]{0,3}",
        ) {
            let tree = serde_json::json!({
                "messages": [{"role": "user", "content": text, "model": "other"}],
                "model": model,
                "stream": stream,
            });
            let body = format!("{pad}{tree}{pad}");
            let envelope = Envelope::read(body.as_bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(envelope.model.map(|(m, _)| m.into_owned()), Some(model));
            prop_assert_eq!(envelope.stream, stream);
        }
    }
}
