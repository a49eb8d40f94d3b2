//! The `usage` of Bedrock Converse.

use lw_core::Usage;
use serde::Deserialize;

use super::{Count, Numbers, Reading};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Converse {
    /// Fresh input only: the cache stands beside it.
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
    /// What was written to the cache, by how long it is kept.
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CacheDetail {
    ttl: Option<String>,
    input_tokens: Count,
}

/// Reads the `usage` of an answer, or of the `metadata` frame of a stream. `None`: nothing was reported.
///
/// A write total that is smaller than its one-hour part is raised to it (providers 20).
#[must_use]
pub fn converse(json: &str) -> Option<Reading> {
    if json == "null" {
        return None;
    }
    let Ok(usage) = serde_json::from_str::<Converse>(json) else {
        return Some(Reading::Absurd);
    };
    let Converse {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        cache_details,
    } = usage;
    if (input_tokens, output_tokens) == (Count::Absent, Count::Absent) {
        return None;
    }
    let mut hour = Some(0);
    let mut listed = Some(0);
    for detail in cache_details.iter().flatten() {
        let CacheDetail { ttl, input_tokens } = detail;
        input_tokens.add_to(&mut listed);
        if ttl.as_deref() == Some("1h") {
            input_tokens.add_to(&mut hour);
        }
    }
    let numbers = Numbers::of([
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
    ]);
    let (Some([input, output, cache_read, written]), Some(hour), Some(listed)) =
        (numbers, hour, listed)
    else {
        return Some(Reading::Absurd);
    };
    // A report of the split alone is a report of the total.
    let written = if cache_write_input_tokens == Count::Absent {
        listed
    } else {
        written
    };
    Some(Reading::Reported(Usage {
        input,
        cache_read,
        cache_write_5m: written.saturating_sub(hour),
        cache_write_1h: hour,
        output,
        ..Usage::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stands_beside_the_fresh_input_and_is_split_by_its_life() {
        let json = r#"{"inputTokens":100,"outputTokens":"20","totalTokens":170,
            "cacheReadInputTokens":40,"cacheWriteInputTokens":10,
            "cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":6}]}"#;
        let expected = Usage {
            input: 100,
            cache_read: 40,
            cache_write_5m: 6,
            cache_write_1h: 4,
            output: 20,
            ..Usage::default()
        };
        assert_eq!(converse(json), Some(Reading::Reported(expected)));
    }

    #[test]
    fn a_split_larger_than_its_total_raises_it_and_a_lone_split_is_the_total() {
        for json in [
            r#"{"inputTokens":1,"outputTokens":1,"cacheWriteInputTokens":2,
                "cacheDetails":[{"ttl":"1h","inputTokens":4}]}"#,
            r#"{"inputTokens":1,"outputTokens":1,"cacheDetails":[{"ttl":"1h","inputTokens":4}]}"#,
        ] {
            let Some(Reading::Reported(usage)) = converse(json) else {
                panic!("{json}");
            };
            assert_eq!((usage.cache_write_1h, usage.cache_write_5m), (4, 0));
        }
    }

    #[test]
    fn nothing_is_not_zero_and_nonsense_is_absurd() {
        assert_eq!(converse("null"), None);
        assert_eq!(converse("{}"), None);
        for json in [
            "\"text\"",
            r#"{"inputTokens":-1,"outputTokens":2}"#,
            r#"{"inputTokens":1,"outputTokens":2,"cacheDetails":[{"ttl":"1h","inputTokens":1e18}]}"#,
        ] {
            assert_eq!(converse(json), Some(Reading::Absurd), "{json}");
        }
    }
}
