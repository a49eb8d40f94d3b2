//! The `usage` of Anthropic, told in parts over a stream (providers 20).
//!
//! Start at [`Anthropic::take`].

use lw_core::Usage;
use serde::Deserialize;

use super::{Count, Numbers, Reading};

/// The usage of an Anthropic answer, gathered over the events of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anthropic {
    answer: Counts,
    /// What the provider read and wrote to shorten the conversation first. Billed, and not in the totals.
    compaction: Counts,
    absurd: bool,
}

/// The classes of one report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    input: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_1h: Count,
    output: Count,
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
struct Report {
    #[serde(flatten)]
    counts: Reported,
    /// One entry for each time the model was asked.
    iterations: Option<Vec<Iteration>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Iteration {
    r#type: Option<String>,
    #[serde(flatten)]
    counts: Reported,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reported {
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

impl From<Reported> for Counts {
    fn from(reported: Reported) -> Self {
        let Reported {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation,
        } = reported;
        let CacheCreation {
            ephemeral_1h_input_tokens: hour,
            ephemeral_5m_input_tokens: minutes,
        } = cache_creation.unwrap_or_default();
        // A report of the split alone is a report of the total.
        let total = match (cache_creation_input_tokens, hour, minutes) {
            (Count::Absent, Count::Of(hour), Count::Of(minutes)) => Count::Of(hour + minutes),
            (Count::Absent, Count::Absent, minutes) => minutes,
            (total, _, _) => total,
        };
        Self {
            input: input_tokens,
            cache_read: cache_read_input_tokens,
            cache_write: total,
            cache_write_1h: hour,
            output: output_tokens,
        }
    }
}

impl Counts {
    /// Values replace earlier ones when they are there and not zero.
    fn update(&mut self, news: Self) {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
        } = news;
        for (held, new) in [
            (&mut self.input, input),
            (&mut self.output, output),
            (&mut self.cache_read, cache_read),
            (&mut self.cache_write, cache_write),
            (&mut self.cache_write_1h, cache_write_1h),
        ] {
            match (new, *held) {
                (Count::Absent, _) | (Count::Of(0), Count::Of(_)) => {}
                _ => *held = new,
            }
        }
    }

    /// Class by class, both together.
    fn plus(self, more: Self) -> Self {
        let sum = |a: Count, b: Count| match (a, b) {
            (Count::Absurd, _) | (_, Count::Absurd) => Count::Absurd,
            (Count::Absent, told) | (told, Count::Absent) => told,
            (Count::Of(a), Count::Of(b)) => Count::Of(a.saturating_add(b)),
        };
        Self {
            input: sum(self.input, more.input),
            cache_read: sum(self.cache_read, more.cache_read),
            cache_write: sum(self.cache_write, more.cache_write),
            cache_write_1h: sum(self.cache_write_1h, more.cache_write_1h),
            output: sum(self.output, more.output),
        }
    }

    /// In numbers; `None` when one of them is absurd.
    fn usage(self) -> Option<Usage> {
        let counts = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
            self.output,
        ];
        let [input, cache_read, cache_write, hour, output] = Numbers::of(counts)?;
        Some(Usage {
            input,
            cache_read,
            cache_write_5m: cache_write.saturating_sub(hour),
            cache_write_1h: hour,
            output,
            ..Usage::default()
        })
    }
}

impl Anthropic {
    /// Takes the `usage` of `message_start`, `message_delta` or a whole message. Values replace earlier
    /// ones when they are there and not zero.
    pub fn take(&mut self, json: &str) {
        let Ok(Report { counts, iterations }) = serde_json::from_str::<Report>(json) else {
            self.absurd |= json != "null";
            return;
        };
        self.answer.update(counts.into());
        let compacting = iterations
            .into_iter()
            .flatten()
            .filter(|iteration| iteration.r#type.as_deref() == Some("compaction"))
            .map(|iteration| Counts::from(iteration.counts))
            .reduce(Counts::plus);
        if let Some(compacting) = compacting {
            self.compaction = compacting;
        }
    }

    /// What was reported in all; `None` when nothing was.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        if self.absurd {
            return Some(Reading::Absurd);
        }
        if (self.answer.input, self.answer.output) == (Count::Absent, Count::Absent) {
            return None;
        }
        let all = self.answer.plus(self.compaction).usage();
        Some(all.map_or(Reading::Absurd, Reading::Reported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_gathered_over_a_stream() {
        let mut usage = Anthropic::default();
        assert_eq!(usage.reading(), None);
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

    #[test]
    fn what_a_compaction_took_is_billed_beside_the_answer() {
        let mut usage = Anthropic::default();
        let json = r#"{"input_tokens":23000,"output_tokens":1000,"iterations":[
            {"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":10},
            {"type":"message","input_tokens":23000,"output_tokens":1000}]}"#;
        // The last event of a stream repeats what the first said.
        usage.take(json);
        usage.take(json);
        let expected = Usage {
            input: 203_000,
            cache_read: 10,
            output: 4_500,
            ..Usage::default()
        };
        assert_eq!(usage.reading(), Some(Reading::Reported(expected)));
        usage.take(r#"{"output_tokens":1001,"iterations":[{"type":"message"}]}"#);
        let Some(Reading::Reported(usage)) = usage.reading() else {
            panic!("{usage:?}");
        };
        assert_eq!((usage.input, usage.output), (203_000, 4_501));
    }

    #[test]
    fn a_lone_split_is_the_total_and_nonsense_is_absurd() {
        for (split, minutes, hour) in [
            (
                r#"{"ephemeral_5m_input_tokens":6,"ephemeral_1h_input_tokens":4}"#,
                6,
                4,
            ),
            (r#"{"ephemeral_5m_input_tokens":6}"#, 6, 0),
            (r#"{"ephemeral_1h_input_tokens":4}"#, 0, 4),
        ] {
            let mut usage = Anthropic::default();
            usage.take(&format!(
                r#"{{"input_tokens":1,"output_tokens":1,"cache_creation":{split}}}"#
            ));
            let Some(Reading::Reported(usage)) = usage.reading() else {
                panic!("{split}");
            };
            assert_eq!(
                (usage.cache_write_5m, usage.cache_write_1h),
                (minutes, hour),
                "{split}"
            );
        }
        for json in [
            r#"{"input_tokens":-1,"output_tokens":2}"#,
            r#"{"input_tokens":1,"iterations":[{"type":"compaction","input_tokens":-1}]}"#,
            r#"{"input_tokens":1,"iterations":7}"#,
        ] {
            let mut usage = Anthropic::default();
            usage.take(json);
            assert_eq!(usage.reading(), Some(Reading::Absurd), "{json}");
        }
    }
}
