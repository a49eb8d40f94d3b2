//! The `usageMetadata` of Gemini (providers 20).
//!
//! Counts are cumulative over a stream: the last report holds. Start at [`gemini`].

use lw_core::Usage;
use serde::Deserialize;

use super::{Count, Numbers, Reading};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    prompt_token_count: Count,
    /// What a tool of the provider put into the prompt. Not part of the prompt's own count.
    tool_use_prompt_token_count: Count,
    /// Part of the prompt.
    cached_content_token_count: Count,
    candidates_token_count: Count,
    /// Not part of the candidates' count.
    thoughts_token_count: Count,
    prompt_tokens_details: Option<Vec<Modality>>,
    tool_use_prompt_tokens_details: Option<Vec<Modality>>,
    cache_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Modality {
    modality: Option<String>,
    token_count: Count,
}

/// The tier that a `usageMetadata` says was served: Vertex's kind of traffic, or the API's own word.
#[must_use]
pub fn gemini_tier(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tier {
        service_tier: Option<String>,
        traffic_type: Option<String>,
    }
    let Tier {
        service_tier,
        traffic_type,
    } = serde_json::from_str(json).ok()?;
    let told = service_tier.or(traffic_type)?;
    // Both are enums, of which one value says nothing.
    (!told.is_empty() && !told.ends_with("_UNSPECIFIED")).then_some(told)
}

/// The tokens of sound among the details; `None` when one of them is absurd.
fn audio(details: &[Option<Vec<Modality>>]) -> Option<u64> {
    let mut sum = Some(0);
    for detail in details.iter().flatten().flatten() {
        if detail
            .modality
            .as_deref()
            .is_some_and(|word| word.eq_ignore_ascii_case("audio"))
        {
            detail.token_count.add_to(&mut sum);
        }
    }
    sum
}

/// Reads a `usageMetadata`. `None`: nothing was reported.
#[must_use]
pub fn gemini(json: &str) -> Option<Reading> {
    if json == "null" {
        return None;
    }
    let Ok(metadata) = serde_json::from_str::<Metadata>(json) else {
        return Some(Reading::Absurd);
    };
    let Metadata {
        prompt_token_count,
        tool_use_prompt_token_count,
        cached_content_token_count,
        candidates_token_count,
        thoughts_token_count,
        prompt_tokens_details,
        tool_use_prompt_tokens_details,
        cache_tokens_details,
        candidates_tokens_details,
    } = metadata;
    let wholes = (
        prompt_token_count,
        candidates_token_count,
        thoughts_token_count,
    );
    if wholes == (Count::Absent, Count::Absent, Count::Absent) {
        return None;
    }
    let counts = Numbers::of([
        prompt_token_count,
        tool_use_prompt_token_count,
        cached_content_token_count,
        candidates_token_count,
        thoughts_token_count,
    ]);
    let sounds = (
        audio(&[prompt_tokens_details, tool_use_prompt_tokens_details]),
        audio(&[cache_tokens_details]),
        audio(&[candidates_tokens_details]),
    );
    let (
        Some([prompt, tools, cached, candidates, thoughts]),
        (Some(audio_in), Some(audio_cached), Some(audio_out)),
    ) = (counts, sounds)
    else {
        return Some(Reading::Absurd);
    };
    let prompt = prompt.saturating_add(tools);
    // Sound that came out of the cache is counted there.
    let audio_in = audio_in.saturating_sub(audio_cached);
    // Parts that exceed their whole: the whole is what was billed upstream.
    let (input, cache_read, input_audio) = match prompt.checked_sub(cached.saturating_add(audio_in))
    {
        Some(fresh) => (fresh, cached, audio_in),
        None => (prompt, 0, 0),
    };
    let (text, output_audio) = match candidates.checked_sub(audio_out) {
        Some(text) => (text, audio_out),
        None => (candidates, 0),
    };
    Some(Reading::Reported(Usage {
        input,
        cache_read,
        output: text.saturating_add(thoughts),
        reasoning: thoughts,
        input_audio,
        output_audio,
        ..Usage::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(json: &str) -> Usage {
        match gemini(json) {
            Some(Reading::Reported(usage)) => usage,
            other => panic!("{other:?} of {json}"),
        }
    }

    #[test]
    fn thoughts_are_output_and_the_cached_part_is_not_fresh() {
        let usage = reported(
            r#"{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":15,
                "thoughtsTokenCount":5,"totalTokenCount":160,
                "promptTokensDetails":[{"modality":"TEXT","tokenCount":140}]}"#,
        );
        let expected = Usage {
            input: 100,
            cache_read: 40,
            output: 20,
            reasoning: 5,
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        assert_eq!((usage.prompt(), usage.completion()), (140, 20));
    }

    #[test]
    fn sound_is_beside_the_fresh_input_unless_it_was_cached() {
        let usage = reported(
            r#"{"promptTokenCount":"100","cachedContentTokenCount":30,"candidatesTokenCount":10,
                "promptTokensDetails":[{"modality":"TEXT","tokenCount":40},{"modality":"AUDIO","tokenCount":60}],
                "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":20},{"modality":"TEXT","tokenCount":10}],
                "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":8}]}"#,
        );
        let expected = Usage {
            input: 30,
            cache_read: 30,
            input_audio: 40,
            output: 2,
            output_audio: 8,
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        assert_eq!((usage.prompt(), usage.completion()), (100, 10));
    }

    #[test]
    fn the_tier_is_told_by_the_traffic_or_by_its_own_word() {
        for (json, tier) in [
            (
                r#"{"trafficType":"ON_DEMAND_FLEX"}"#,
                Some("ON_DEMAND_FLEX"),
            ),
            (
                r#"{"serviceTier":"priority","trafficType":"ON_DEMAND"}"#,
                Some("priority"),
            ),
            (r#"{"trafficType":"TRAFFIC_TYPE_UNSPECIFIED"}"#, None),
            (r#"{"promptTokenCount":1}"#, None),
            ("7", None),
        ] {
            assert_eq!(gemini_tier(json).as_deref(), tier, "{json}");
        }
    }

    #[test]
    fn what_a_tool_of_the_provider_brought_is_input() {
        let usage = reported(r#"{"promptTokenCount":7,"toolUsePromptTokenCount":50}"#);
        assert_eq!((usage.input, usage.output), (57, 0));
    }

    #[test]
    fn nothing_is_absent_and_nonsense_is_absurd() {
        for json in ["null", "{}", r#"{"trafficType":"ON_DEMAND"}"#] {
            assert_eq!(gemini(json), None, "{json}");
        }
        for json in [
            r#""x""#,
            "7",
            r#"{"promptTokenCount":-1}"#,
            r#"{"promptTokenCount":1,"thoughtsTokenCount":"x"}"#,
            r#"{"promptTokenCount":1,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":{}}]}"#,
        ] {
            assert_eq!(gemini(json), Some(Reading::Absurd), "{json}");
        }
        let wrong = reported(r#"{"promptTokenCount":5,"cachedContentTokenCount":9}"#);
        assert_eq!((wrong.input, wrong.cache_read), (5, 0));
    }
}
