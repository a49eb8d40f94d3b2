//! Usage objects of the providers, read into disjoint token classes (providers 20).
//!
//! Numbers given as texts are read; a number that is negative, not whole or beyond any context window
//! makes the whole report [`Reading::Absurd`], because a bill must not rest on half of it. Absent is
//! absent, never zero.

mod anthropic;
mod converse;
mod gemini;

use lw_core::Usage;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

pub use anthropic::{Anthropic, anthropic_tier};
pub use converse::converse;
pub use gemini::{gemini, gemini_tier};

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

impl Reading {
    /// The numbers, when they can be billed.
    #[must_use]
    pub const fn reported(self) -> Option<Usage> {
        match self {
            Self::Reported(usage) => Some(usage),
            Self::Absurd => None,
        }
    }
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
    /// This one, or `other` where this one is absent.
    const fn or(self, other: Self) -> Self {
        match self {
            Self::Absent => other,
            told => told,
        }
    }

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
    total_tokens: Count,
    /// Where Moonshot tells what came out of the cache.
    cached_tokens: Count,
    /// Where DeepSeek does.
    prompt_cache_hit_tokens: Count,
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
        total_tokens,
        cached_tokens,
        prompt_cache_hit_tokens,
    } = usage;
    if (prompt_tokens, completion_tokens) == (Count::Absent, Count::Absent) {
        return None;
    }
    let input = prompt_tokens_details.unwrap_or_default();
    let output = completion_tokens_details.unwrap_or_default();
    let cached = input
        .cached_tokens
        .or(cached_tokens)
        .or(prompt_cache_hit_tokens);
    let numbers = Numbers::of([
        prompt_tokens,
        cached,
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
    // xAI counts thinking beside the completion: its total says so.
    let apart = prompt.saturating_add(completion).saturating_add(reasoning);
    let completion = if reasoning > 0 && total_tokens == Count::Of(apart) {
        completion.saturating_add(reasoning)
    } else {
        completion
    };
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

/// Reads the `usage` of embeddings. Voyage tells the total alone, which is all input.
#[must_use]
pub fn embeddings(json: &str) -> Option<Reading> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Total {
        total_tokens: Count,
    }
    let read = openai(json);
    if read.is_some() {
        return read;
    }
    match serde_json::from_str::<Total>(json).ok()?.total_tokens {
        Count::Absent => None,
        Count::Absurd => Some(Reading::Absurd),
        Count::Of(input) => Some(Reading::Reported(Usage {
            input,
            ..Usage::default()
        })),
    }
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
    fn what_came_out_of_the_cache_is_found_wherever_a_vendor_tells_it() {
        let expected = Usage {
            input: 60,
            cache_read: 40,
            output: 5,
            ..Usage::default()
        };
        for cached in [
            r#""prompt_tokens_details":{"cached_tokens":40}"#,
            r#""cached_tokens":40"#,
            r#""prompt_cache_hit_tokens":40,"prompt_cache_miss_tokens":60"#,
            r#""prompt_tokens_details":{"cached_tokens":40},"prompt_cache_hit_tokens":7"#,
        ] {
            let json = format!(r#"{{"prompt_tokens":100,"completion_tokens":5,{cached}}}"#);
            assert_eq!(openai(&json), Some(Reading::Reported(expected)), "{json}");
        }
    }

    #[test]
    fn thinking_that_the_total_counts_beside_the_completion_is_output() {
        let usage = |total: u64| {
            let json = format!(
                r#"{{"prompt_tokens":12,"completion_tokens":200,"total_tokens":{total},
                "completion_tokens_details":{{"reasoning_tokens":150}}}}"#
            );
            match openai(&json) {
                Some(Reading::Reported(usage)) => (usage.input, usage.output, usage.reasoning),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(usage(362), (12, 350, 150), "xAI");
        assert_eq!(usage(212), (12, 200, 150), "OpenAI");
        assert_eq!(usage(999), (12, 200, 150), "a total of its own making");
    }

    #[test]
    fn embeddings_may_tell_the_total_alone() {
        let input = |json| match embeddings(json) {
            Some(Reading::Reported(usage)) => Some(usage.input),
            Some(Reading::Absurd) => Some(u64::MAX),
            None => None,
        };
        assert_eq!(input(r#"{"total_tokens":"9"}"#), Some(9));
        assert_eq!(input(r#"{"prompt_tokens":7,"total_tokens":9}"#), Some(7));
        assert_eq!(input(r#"{"total_tokens":-9}"#), Some(u64::MAX));
        assert_eq!(input("{}"), None);
        assert_eq!(input("null"), None);
    }
}
