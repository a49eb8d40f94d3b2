//! What a Gemini answer says that the bill and the span need.
//!
//! A stream has no end marker: it is complete when its bytes end after a finish reason, because late
//! chunks may still bring usage. Every chunk repeats the usage so far.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Observed;
use super::answer::{Text, add_reasons, error_name, set};
use crate::capture::raw;
use crate::usage::{self, Reading};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow, default)]
    response_id: Text<'a>,
    #[serde(borrow, default)]
    model_version: Text<'a>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    candidates: Reasons<'a>,
    #[serde(borrow, default)]
    prompt_feedback: Blocked<'a>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Why each candidate ended; empty when they are not a list of objects.
#[derive(Default)]
struct Reasons<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Reasons<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Candidate<'a> {
            #[serde(borrow, default)]
            finish_reason: Text<'a>,
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let list: Vec<Candidate<'de>> = serde_json::from_str(raw.get()).unwrap_or_default();
        Ok(Self(
            list.into_iter()
                .map(|candidate| candidate.finish_reason)
                .collect(),
        ))
    }
}

/// Why the prompt was refused.
#[derive(Default)]
struct Blocked<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Blocked<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Feedback<'a> {
            #[serde(borrow, default)]
            block_reason: Text<'a>,
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let feedback: Feedback<'de> = serde_json::from_str(raw.get()).unwrap_or_default();
        Ok(Self(feedback.block_reason))
    }
}

/// Reads one chunk of a stream, or a whole answer.
pub(super) fn chunk(data: &[u8], observed: &mut Observed) {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return;
    };
    let Chunk {
        response_id,
        model_version,
        usage_metadata,
        candidates,
        prompt_feedback,
        error,
    } = chunk;
    set(&mut observed.response_id, response_id);
    set(&mut observed.model, model_version);
    add_reasons(observed, candidates.0.into_iter().filter(is_reason));
    add_reasons(observed, Some(prompt_feedback.0).filter(is_reason));
    // The last one says what served, as the last usage says what it took.
    if let Some(tier) = usage_metadata.and_then(|usage| usage::gemini_tier(usage.get())) {
        observed.service_tier = Some(tier);
    }
    if let Some(reading) = usage_metadata.and_then(|usage| usage::gemini(usage.get())) {
        let empty = matches!(reading, Reading::Reported(usage) if usage.is_zero());
        if observed.usage.is_none() || !empty {
            observed.usage = Some(reading);
        }
    }
    if let Some(error) = error {
        observed.stream_error = error_name(error);
    }
}

fn is_reason(reason: &Text<'_>) -> bool {
    let word = reason.0.as_deref().unwrap_or_default();
    !word.is_empty() && !word.ends_with("_UNSPECIFIED")
}

/// Reads a JSON answer: one object, or the list that a stream without `alt=sse` is. A list that was cut off says what
/// its whole chunks say.
pub(super) fn json(body: &[u8], observed: &mut Observed) {
    // A whole answer is complete whatever it says; an error in it is told by its status.
    observed.complete = true;
    match raw::elements_so_far(body) {
        Some((chunks, whole)) => {
            for one in chunks {
                chunk(one.get().as_bytes(), observed);
            }
            if !whole {
                ended(observed);
            }
        }
        None => chunk(body, observed),
    }
    observed.stream_error = None;
}

/// The bytes of a stream are over.
pub(super) fn ended(observed: &mut Observed) {
    observed.complete = !observed.finish_reasons.is_empty() && observed.stream_error.is_none();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: &[&str]) -> Observed {
        let mut observed = Observed::default();
        for one in chunks {
            chunk(one.as_bytes(), &mut observed);
        }
        ended(&mut observed);
        observed
    }

    #[test]
    fn a_stream_that_ends_without_a_reason_is_not_complete() {
        let text = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":{"promptTokenCount":1}}"#;
        assert!(!of(&[text]).complete);
        let unspecified = r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#;
        assert!(!of(&[text, unspecified]).complete);
        assert!(of(&[text, r#"{"candidates":[{"finishReason":"STOP"}]}"#]).complete);
    }

    #[test]
    fn a_list_that_was_cut_off_says_what_its_whole_chunks_say() {
        let whole = concat!(
            r#"[{"responseId":"r","candidates":[{"content":{"parts":[{"text":"]"}]}}],"#,
            r#""usageMetadata":{"promptTokenCount":7}}"#,
            ",\r\n",
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":2}}]"#,
        );
        let first = whole.find(",\r\n").expect("two chunks");
        for at in 0..=whole.len() {
            let mut seen = Observed::default();
            json(whole.as_bytes().get(..at).expect("ASCII"), &mut seen);
            let output = seen.billable().map(|usage| usage.output);
            match at {
                0 => {}
                at if at < first => assert_eq!((output, seen.complete), (None, false), "{at}"),
                at if at < whole.len() - 1 => {
                    assert_eq!((output, seen.complete), (Some(0), false), "{at}");
                }
                _ => assert_eq!((output, seen.complete), (Some(2), true), "{at}"),
            }
        }
    }

    #[test]
    fn usage_may_come_after_the_reason_and_empty_usage_changes_nothing() {
        let seen = of(&[
            r#"{"candidates":[{"finishReason":"STOP"}]}"#,
            r#"{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":2}}"#,
            r#"{"usageMetadata":{"promptTokenCount":0}}"#,
        ]);
        assert!(seen.complete);
        assert_eq!(seen.billable().map(|usage| usage.input), Some(7));
    }

    #[test]
    fn a_blocked_prompt_is_a_reason_and_an_error_is_named_by_its_status() {
        let seen = of(&[
            r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7}}"#,
        ]);
        assert!(seen.complete);
        assert_eq!(seen.finish_reasons, ["SAFETY"]);
        let failed =
            of(&[r#"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}"#]);
        assert_eq!(failed.stream_error.as_deref(), Some("RESOURCE_EXHAUSTED"));
        for body in [
            r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]"#,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT"}}"#,
        ] {
            let name = super::super::provider_error_name(body.as_bytes());
            assert_eq!(name.as_deref(), Some("INVALID_ARGUMENT"), "{body}");
        }
        assert!(!failed.complete);
    }

    #[test]
    fn a_list_of_chunks_is_one_answer() {
        let mut observed = Observed::default();
        let body = br#" [{"responseId":"r","candidates":"?"},
            {"modelVersion":"m","candidates":[{"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":7}}]"#;
        json(body, &mut observed);
        assert!(observed.complete);
        assert_eq!(observed.response_id.as_deref(), Some("r"));
        assert_eq!(observed.model.as_deref(), Some("m"));
        assert_eq!(observed.finish_reasons, ["MAX_TOKENS"]);
    }
}
