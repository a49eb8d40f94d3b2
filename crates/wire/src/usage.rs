//! Usage objects of the providers, read into disjoint token classes (providers 20).
//!
//! Numbers given as texts are read; a number that is negative, not whole or beyond any context window
//! makes the whole report [`Reading::Absurd`], because a bill must not rest on half of it. Absent is
//! absent, never zero.

mod converse;
mod gemini;

use lw_core::Usage;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

pub use converse::converse;
pub use gemini::gemini;

/// More tokens than any one call can have; a larger report is broken.
const MOST_TOKENS: u64 = 100_000_000;

/// What a provider reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Numbers that can be billed.
    Reported(Usage),
    /// Something was reported that cannot be true.
    Absurd,
}

/// A token count as it may stand in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Count {
    #[default]
    Absent,
    Of(u64),
    Absurd,
}

impl Count {
    fn add_to(self, sum: &mut Option<u64>) {
        *sum = match (self, *sum) {
            (Self::Absurd, _) | (_, None) => None,
            (Self::Absent, sum) => sum,
            (Self::Of(n), Some(sum)) => sum.checked_add(n),
        };
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a token count")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Count, E> {
                Ok(if n <= MOST_TOKENS {
                    Count::Of(n)
                } else {
                    Count::Absurd
                })
            }
            fn visit_i64<E>(self, n: i64) -> Result<Count, E> {
                Ok(u64::try_from(n).map_or(Count::Absurd, Count::Of))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Count, E> {
                // `7.0` is seven; there is no other float that counts tokens.
                let text = format!("{n}");
                Ok(text
                    .parse::<u64>()
                    .ok()
                    .filter(|n| *n <= MOST_TOKENS)
                    .map_or(Count::Absurd, Count::Of))
            }
            fn visit_str<E>(self, text: &str) -> Result<Count, E> {
                let number = text
                    .trim()
                    .parse::<u64>()
                    .ok()
                    .filter(|n| *n <= MOST_TOKENS);
                Ok(number.map_or(Count::Absurd, Count::Of))
            }
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count::Absent)
            }
            fn visit_none<E>(self) -> Result<Count, E> {
                Ok(Count::Absent)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count::Absurd)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Count, A::Error> {
                while map
                    .next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?
                    .is_some()
                {}
                Ok(Count::Absurd)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Count, A::Error> {
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Count::Absurd)
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenAi {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Count,
    #[serde(alias = "output_tokens")]
    completion_tokens: Count,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<InputDetails>,
    #[serde(alias = "output_tokens_details")]
    completion_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    /// Tokens written to the prompt cache, on the models that charge for it. Part of the prompt.
    cache_write_tokens: Count,
    /// The same, as most servers in front of other vendors' models call it. Some send both.
    cache_creation_tokens: Count,
    audio_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
}

/// Reads the `usage` of Chat Completions, Responses and embeddings. `None`: nothing was reported.
#[must_use]
pub fn openai(json: &str) -> Option<Reading> {
    if json == "null" {
        return None;
    }
    let Ok(usage) = serde_json::from_str::<OpenAi>(json) else {
        return Some(Reading::Absurd);
    };
    let OpenAi {
        prompt_tokens,
        completion_tokens,
        prompt_tokens_details,
        completion_tokens_details,
    } = usage;
    if (prompt_tokens, completion_tokens) == (Count::Absent, Count::Absent) {
        return None;
    }
    let input = prompt_tokens_details.unwrap_or_default();
    let output = completion_tokens_details.unwrap_or_default();
    let numbers = Numbers::of([
        prompt_tokens,
        input.cached_tokens,
        input.cache_write_tokens,
        input.cache_creation_tokens,
        input.audio_tokens,
        completion_tokens,
        output.audio_tokens,
        output.reasoning_tokens,
    ]);
    let Some(
        [
            prompt,
            cached,
            written,
            created,
            audio_in,
            completion,
            audio_out,
            reasoning,
        ],
    ) = numbers
    else {
        return Some(Reading::Absurd);
    };
    let written = written.max(created);
    // Parts that exceed their whole: the whole is what was billed upstream.
    let parts = cached.saturating_add(written).saturating_add(audio_in);
    let (input, cache_read, cache_write_5m, input_audio) = match prompt.checked_sub(parts) {
        Some(fresh) => (fresh, cached, written, audio_in),
        None => (prompt, 0, 0, 0),
    };
    let (output, output_audio) = match completion.checked_sub(audio_out) {
        Some(text) => (text, audio_out),
        None => (completion, 0),
    };
    Some(Reading::Reported(Usage {
        input,
        cache_read,
        cache_write_5m,
        output,
        reasoning: reasoning.min(output),
        input_audio,
        output_audio,
        ..Usage::default()
    }))
}

/// Turns counts into numbers, absent ones into zero; `None` when one of them is absurd.
struct Numbers;

impl Numbers {
    fn of<const N: usize>(counts: [Count; N]) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for (slot, count) in numbers.iter_mut().zip(counts) {
            let mut sum = Some(0);
            count.add_to(&mut sum);
            *slot = sum?;
        }
        Some(numbers)
    }
}

/// The usage of an Anthropic answer, gathered over the events of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anthropic {
    input: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_1h: Count,
    output: Count,
    absurd: bool,
}

/// The tier that an Anthropic `usage` object says was served: another speed than the standard one has a
/// price of its own and wins.
#[must_use]
pub fn anthropic_tier(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Tier {
        service_tier: Option<String>,
        speed: Option<String>,
    }
    let Tier {
        service_tier,
        speed,
    } = serde_json::from_str(json).ok()?;
    speed.filter(|speed| speed != "standard").or(service_tier)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AnthropicUsage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Option<CacheCreation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Count,
    ephemeral_5m_input_tokens: Count,
}

impl Anthropic {
    /// Takes the `usage` of `message_start`, `message_delta` or a whole message. Values replace earlier
    /// ones when they are there and not zero.
    pub fn take(&mut self, json: &str) {
        let Ok(usage) = serde_json::from_str::<AnthropicUsage>(json) else {
            self.absurd |= json != "null";
            return;
        };
        let AnthropicUsage {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation,
        } = usage;
        let CacheCreation {
            ephemeral_1h_input_tokens: hour,
            ephemeral_5m_input_tokens: minutes,
        } = cache_creation.unwrap_or_default();
        // A report of the split alone is a report of the total.
        let total = match (cache_creation_input_tokens, hour, minutes) {
            (Count::Absent, Count::Of(hour), Count::Of(minutes)) => Count::Of(hour + minutes),
            (total, _, _) => total,
        };
        for (held, new) in [
            (&mut self.input, input_tokens),
            (&mut self.output, output_tokens),
            (&mut self.cache_read, cache_read_input_tokens),
            (&mut self.cache_write, total),
            (&mut self.cache_write_1h, hour),
        ] {
            match (new, *held) {
                (Count::Absent, _) | (Count::Of(0), Count::Of(_)) => {}
                _ => *held = new,
            }
        }
    }

    /// What was reported in all; `None` when nothing was.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        if self.absurd {
            return Some(Reading::Absurd);
        }
        if (self.input, self.output) == (Count::Absent, Count::Absent) {
            return None;
        }
        let counts = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
            self.output,
        ];
        let Some([input, cache_read, cache_write, hour, output]) = Numbers::of(counts) else {
            return Some(Reading::Absurd);
        };
        Some(Reading::Reported(Usage {
            input,
            cache_read,
            cache_write_5m: cache_write.saturating_sub(hour),
            cache_write_1h: hour,
            output,
            ..Usage::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_usage_is_split_into_disjoint_classes() {
        let json = r#"{"prompt_tokens":1893,"completion_tokens":207,"total_tokens":2100,
            "prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":64}}"#;
        let expected = Usage {
            input: 869,
            cache_read: 1024,
            output: 207,
            reasoning: 64,
            ..Usage::default()
        };
        assert_eq!(openai(json), Some(Reading::Reported(expected)));
    }

    #[test]
    fn responses_usage_has_other_names() {
        let json = r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},
            "output_tokens":"5","output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}"#;
        let expected = Usage {
            input: 6,
            cache_read: 4,
            output: 5,
            reasoning: 2,
            ..Usage::default()
        };
        assert_eq!(openai(json), Some(Reading::Reported(expected)));
    }

    #[test]
    fn tokens_written_to_the_cache_may_be_told_under_both_of_their_names() {
        let expected = Usage {
            input: 6,
            cache_write_5m: 4,
            output: 1,
            ..Usage::default()
        };
        for details in [
            r#"{"cache_write_tokens":4}"#,
            r#"{"cache_creation_tokens":4}"#,
            r#"{"cache_write_tokens":4,"cache_creation_tokens":4}"#,
            r#"{"cache_write_tokens":0,"cache_creation_tokens":4}"#,
        ] {
            let json = format!(
                r#"{{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{details}}}"#
            );
            assert_eq!(
                openai(&json),
                Some(Reading::Reported(expected)),
                "{details}"
            );
        }
        let odd = r#"{"prompt_tokens":10,"prompt_tokens_details":{"cache_write_tokens":4,"cache_creation_tokens":-1}}"#;
        assert_eq!(openai(odd), Some(Reading::Absurd));
    }

    #[test]
    fn nothing_reported_is_not_zero() {
        assert_eq!(openai("null"), None);
        assert_eq!(openai("{}"), None);
        assert_eq!(Anthropic::default().reading(), None);
    }

    #[test]
    fn what_cannot_be_true_is_absurd() {
        for json in [
            r#"{"prompt_tokens":-5,"completion_tokens":1}"#,
            r#"{"prompt_tokens":1e18,"completion_tokens":1}"#,
            r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
            r#"{"prompt_tokens":"many","completion_tokens":1}"#,
            r#"{"prompt_tokens":{},"completion_tokens":[1]}"#,
            r#"{"prompt_tokens":99999999999999999999999}"#,
            r#""text""#,
        ] {
            assert_eq!(openai(json), Some(Reading::Absurd), "{json}");
        }
        let mut usage = Anthropic::default();
        usage.take(r#"{"input_tokens":-1,"output_tokens":2}"#);
        assert_eq!(usage.reading(), Some(Reading::Absurd));
    }

    #[test]
    fn parts_larger_than_the_whole_leave_the_whole() {
        let json = r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#;
        let expected = Usage {
            input: 5,
            output: 1,
            ..Usage::default()
        };
        assert_eq!(openai(json), Some(Reading::Reported(expected)));
    }

    #[test]
    fn anthropic_usage_is_gathered_over_a_stream() {
        let mut usage = Anthropic::default();
        usage.take(
            r#"{"input_tokens":120,"cache_read_input_tokens":8000,"cache_creation_input_tokens":2000,
            "cache_creation":{"ephemeral_5m_input_tokens":1500,"ephemeral_1h_input_tokens":500},
            "output_tokens":1}"#,
        );
        usage.take(r#"{"output_tokens":350,"input_tokens":0}"#);
        let expected = Usage {
            input: 120,
            cache_read: 8000,
            cache_write_5m: 1500,
            cache_write_1h: 500,
            output: 350,
            ..Usage::default()
        };
        assert_eq!(usage.reading(), Some(Reading::Reported(expected)));
    }
}
