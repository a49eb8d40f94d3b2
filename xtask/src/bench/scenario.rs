//! What is measured: the scenarios and the requests that they send.
//!
//! Plain data; must never touch a socket. Start at [`Scenario`].

use clap::ValueEnum;
use serde::Serialize;

/// How a finished stream of the OpenAI dialect ends.
pub(crate) const STREAM_END: &[u8] = b"data: [DONE]\n\n";

const KIB: usize = 1024;
/// Text to fill prompts with: plain, so that nothing in it needs escaping.
const FILLER: &str = "The quick brown fox jumps over the lazy dog while the band plays on. ";

/// What a judged request has beyond the others: members behind its model, and words before its text.
const TOOLS: &str = r#","tools":[{"type":"function","function":{"name":"search_documents","parameters":{"type":"object"}}}]"#;
const LINK: &str = "Summarise https://docs.example.com/handbook/travel please. ";

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// 1 KiB request, 1 KiB answer.
    #[value(name = "json-1k")]
    #[serde(rename = "json-1k")]
    Json1k,
    /// The same with LOG_LEVEL=info: an access line per request.
    #[value(name = "json-1k-info")]
    #[serde(rename = "json-1k-info")]
    Json1kInfo,
    /// 100 KiB request, 1 KiB answer.
    #[value(name = "json-100k")]
    #[serde(rename = "json-100k")]
    Json100k,
    /// 1 MiB request, 1 KiB answer.
    #[value(name = "json-1m")]
    #[serde(rename = "json-1m")]
    Json1m,
    /// 1 KiB request, 100 KiB answer.
    #[value(name = "answer-100k")]
    #[serde(rename = "answer-100k")]
    Answer100k,
    /// 1 KiB request, 1 MiB answer.
    #[value(name = "answer-1m")]
    #[serde(rename = "answer-1m")]
    Answer1m,
    /// 1 KiB request, an event stream of 50 frames as fast as it comes.
    #[value(name = "stream-50")]
    #[serde(rename = "stream-50")]
    Stream50,
    /// json-1k with TLS to the provider.
    #[value(name = "tls-json-1k")]
    #[serde(rename = "tls-json-1k")]
    TlsJson1k,
    /// stream-50 with TLS to the provider.
    #[value(name = "tls-stream-50")]
    #[serde(rename = "tls-stream-50")]
    TlsStream50,
    /// json-1k for a model of Anthropic: request and answer are translated.
    #[value(name = "translated-json-1k")]
    #[serde(rename = "translated-json-1k")]
    TranslatedJson1k,
    /// stream-50 for a model of Anthropic: the stream is translated.
    #[value(name = "translated-stream-50")]
    #[serde(rename = "translated-stream-50")]
    TranslatedStream50,
    /// json-1k with a tool and a URL in it, with a key that nothing governs and one that much does.
    Governance,
    /// stream-50 likewise.
    GovernanceStream,
    /// Many streams open at once, a frame a second each: memory.
    SlowStreams,
    /// Nothing at all: memory after the start.
    Idle,
    /// Very many keys, budgets and providers beside few.
    Scale,
}

/// What a provider is asked to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Json { bytes: usize },
    Stream { frames: u32, pace_ms: u32 },
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The size of the request's body.
    pub(crate) fn request_bytes(self) -> usize {
        match self {
            Self::Json100k => 100 * KIB,
            Self::Json1m => KIB * KIB,
            Self::Json1k
            | Self::Json1kInfo
            | Self::Answer100k
            | Self::Answer1m
            | Self::Stream50
            | Self::TlsJson1k
            | Self::TlsStream50
            | Self::TranslatedJson1k
            | Self::TranslatedStream50
            | Self::Governance
            | Self::GovernanceStream
            | Self::SlowStreams
            | Self::Idle
            | Self::Scale => KIB,
        }
    }

    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Json1k
            | Self::Json1kInfo
            | Self::Json100k
            | Self::Json1m
            | Self::TlsJson1k
            | Self::TranslatedJson1k
            | Self::Governance
            | Self::Idle
            | Self::Scale => Answer::Json { bytes: KIB },
            Self::Answer100k => Answer::Json { bytes: 100 * KIB },
            Self::Answer1m => Answer::Json { bytes: KIB * KIB },
            Self::Stream50
            | Self::TlsStream50
            | Self::TranslatedStream50
            | Self::GovernanceStream => Answer::Stream {
                frames: 50,
                pace_ms: 0,
            },
            Self::SlowStreams => Answer::Stream {
                frames: 10,
                pace_ms: 1_000,
            },
        }
    }

    /// Whether the provider is reached over TLS.
    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::TlsJson1k | Self::TlsStream50)
    }

    /// Whether the gateway calls a provider of another dialect. Nobody else can: the others ask for the same
    /// answer in the caller's.
    pub(crate) fn is_translated(self) -> bool {
        matches!(self, Self::TranslatedJson1k | Self::TranslatedStream50)
    }

    /// Whether a key with budgets, rules and limits is measured beside one without.
    pub(crate) fn is_governed(self) -> bool {
        matches!(self, Self::Governance | Self::GovernanceStream)
    }

    pub(crate) fn log_level(self) -> &'static str {
        if self == Self::Json1kInfo {
            "info"
        } else {
            "warn"
        }
    }
}

/// The model that every target is asked for.
pub(crate) const MODEL: &str = "gpt-4o-mini";
/// The model that the gateway is asked for when it shall translate.
pub(crate) const FOREIGN_MODEL: &str = "anthropic/claude-haiku-4-5";

/// A chat request of exactly `bytes` bytes that asks the mock provider for `answer`.
pub(crate) fn body(bytes: usize, answer: Answer, model: &str) -> Vec<u8> {
    body_with(bytes, answer, model, "", "")
}

/// The same with a tool and a URL, so that rules have something to judge.
pub(crate) fn judged_body(bytes: usize, answer: Answer, model: &str) -> Vec<u8> {
    body_with(bytes, answer, model, TOOLS, LINK)
}

fn body_with(bytes: usize, answer: Answer, model: &str, members: &str, text: &str) -> Vec<u8> {
    let (directive, options) = match answer {
        Answer::Json { bytes } => (serde_json::json!({"response_bytes": bytes}), ""),
        // Usage is asked for, so that no gateway has a reason to add that wish.
        Answer::Stream { frames, pace_ms } => (
            serde_json::json!({"frames": frames, "pace_ms": pace_ms}),
            r#","stream":true,"stream_options":{"include_usage":true}"#,
        ),
    };
    let directive = directive.to_string().replace('"', "\\\"");
    let start = format!(
        r#"{{"model":"{model}"{options}{members},"messages":[{{"role":"user","content":"[[mock:{directive}]] {text}"#
    );
    let end = r#""}]}"#;
    let filler = bytes.saturating_sub(start.len() + end.len());
    let mut body = Vec::with_capacity(bytes);
    body.extend_from_slice(start.as_bytes());
    body.extend(FILLER.bytes().cycle().take(filler));
    body.extend_from_slice(end.as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_promised_size_with_the_directive_inside() {
        for scenario in Scenario::value_variants() {
            let bytes = body(scenario.request_bytes(), scenario.answer(), MODEL);
            assert_eq!(bytes.len(), scenario.request_bytes());
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let prompt = json["messages"][0]["content"].as_str().unwrap();
            let directive = prompt
                .strip_prefix("[[mock:")
                .unwrap()
                .split_once("]]")
                .unwrap()
                .0;
            let directive: serde_json::Value = serde_json::from_str(directive).unwrap();
            match scenario.answer() {
                Answer::Json { bytes } => {
                    assert_eq!(directive["response_bytes"], bytes);
                    assert_eq!(json.get("stream"), None);
                }
                Answer::Stream { frames, .. } => {
                    assert_eq!(directive["frames"], frames);
                    assert_eq!(json["stream"], true);
                }
            }
        }
    }

    #[test]
    fn judged_bodies_have_a_tool_and_a_url_in_the_same_size() {
        for scenario in [Scenario::Governance, Scenario::GovernanceStream] {
            let bytes = judged_body(scenario.request_bytes(), scenario.answer(), MODEL);
            assert_eq!(bytes.len(), scenario.request_bytes());
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(json["tools"][0]["function"]["name"], "search_documents");
            let prompt = json["messages"][0]["content"].as_str().unwrap();
            assert!(prompt.contains(" https://docs.example.com/handbook/travel "));
        }
    }

    #[test]
    fn scenarios_have_one_name_each() {
        assert_eq!(Scenario::TlsStream50.name(), "tls-stream-50");
        for scenario in Scenario::value_variants() {
            let json = serde_json::to_value(scenario).unwrap();
            assert_eq!(json, serde_json::Value::String(scenario.name()));
        }
    }
}
