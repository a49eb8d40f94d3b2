//! The `usage` object (providers 16 and 20).

use lw_core::Usage;
use lw_wire::usage::{Anthropic, Reading};

use crate::json::Obj;

/// What was gathered so far, when it can be believed.
pub(super) fn read(gathered: &Anthropic) -> Option<Usage> {
    match gathered.reading() {
        Some(Reading::Reported(usage)) => Some(usage),
        Some(Reading::Absurd) | None => None,
    }
}

/// Input without the cache, the cache by lifetime, output with thinking. Unknown is zero, because the
/// official clients want numbers. The lifetimes are told only of what was written: at the begin of a stream
/// that is often not known yet, and no later event puts them right.
pub(super) fn write(usage: Option<Usage>, tier: Option<&str>) -> String {
    let usage = usage.unwrap_or_default();
    let split = if usage.cache_write() == 0 {
        "null".to_owned()
    } else {
        Obj::new()
            .num("ephemeral_5m_input_tokens", usage.cache_write_5m)
            .num("ephemeral_1h_input_tokens", usage.cache_write_1h)
            .end()
    };
    object(usage, Some(&split))
        .str_if("service_tier", tier.and_then(crate::tier::anthropic))
        .end()
}

/// What the end of a stream reports: totals alone.
pub(super) fn write_totals(usage: Option<Usage>) -> String {
    object(usage.unwrap_or_default(), None).end()
}

fn object(usage: Usage, split: Option<&str>) -> Obj {
    let Usage {
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        output,
        reasoning: _,
        input_audio,
        output_audio,
    } = usage;
    let written = cache_write_5m.saturating_add(cache_write_1h);
    Obj::new()
        .num("input_tokens", input.saturating_add(input_audio))
        .num("cache_creation_input_tokens", written)
        .num("cache_read_input_tokens", cache_read)
        .raw_if("cache_creation", split)
        .num("output_tokens", output.saturating_add(output_audio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_written_without_the_cache_and_read_back_the_same() {
        let usage = Usage {
            input: 100,
            cache_read: 40,
            cache_write_5m: 6,
            cache_write_1h: 4,
            output: 20,
            ..Usage::default()
        };
        let json = write(Some(usage), Some("default"));
        assert_eq!(
            json,
            r#"{"input_tokens":100,"cache_creation_input_tokens":10,"cache_read_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":6,"ephemeral_1h_input_tokens":4},"output_tokens":20,"service_tier":"standard"}"#
        );
        let mut gathered = Anthropic::default();
        gathered.take(&json);
        assert_eq!(read(&gathered), Some(usage));
        gathered.take(r#"{"input_tokens":-1}"#);
        assert_eq!(read(&gathered), None);
    }
}
