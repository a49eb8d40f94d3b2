//! Log probabilities: Google's `logprobsResult` and the `logprobs` of Chat Completions.

use serde_json::Number;
use serde_json::value::RawValue;

use crate::json::{self, Obj, Object, array};

/// Google's result as `choices[].logprobs`; `None` when there is none in it.
pub(super) fn to_chat(result: &RawValue) -> Option<String> {
    let result = Object::read(result, "").ok()?;
    let list = |key: &str| {
        let raw = result.get(key)?;
        json::list(raw, "").ok()
    };
    let chosen = list("chosenCandidates")?;
    let mut tops = list("topCandidates").unwrap_or_default().into_iter();
    let content: Vec<String> = chosen
        .into_iter()
        .filter_map(|one| {
            let top = tops.next().and_then(|top| {
                let top = Object::read(top, "").ok()?;
                json::list(top.get("candidates")?, "").ok()
            });
            let top = top.into_iter().flatten().filter_map(token);
            let top: Vec<String> = top.map(Obj::end).collect();
            Some(token(one)?.list("top_logprobs", top).end())
        })
        .collect();
    if content.is_empty() {
        return None;
    }
    let whole = Obj::new().list("content", content).raw("refusal", "null");
    Some(whole.end())
}

fn token(candidate: &RawValue) -> Option<Obj> {
    let candidate = Object::read(candidate, "").ok()?;
    let token = json::text(candidate.get("token")?)?;
    let logprob = number(candidate.get("logProbability"));
    let bytes = token.bytes().map(|byte| byte.to_string());
    Some(
        Obj::new()
            .str("token", &token)
            .num("logprob", logprob)
            .list("bytes", bytes),
    )
}

/// The number, or that of a token without doubt: Google leaves zeros out.
fn number(raw: Option<&RawValue>) -> Number {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_else(|| Number::from(0))
}

/// The `logprobs` of Chat Completions as Google's result; `None` when it is not one.
pub(super) fn from_chat(logprobs: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(logprobs).ok()?;
    let logprobs = Object::read(raw, "").ok()?;
    let content = json::list(logprobs.get("content")?, "").ok()?;
    let candidate = |raw: &RawValue| {
        let one = Object::read(raw, "").ok()?;
        let token = json::text(one.get("token")?)?;
        let written = Obj::new()
            .str("token", &token)
            .num("logProbability", number(one.get("logprob")));
        Some(written.end())
    };
    let chosen: Vec<String> = content.iter().filter_map(|raw| candidate(raw)).collect();
    let tops = content.iter().map(|raw| {
        let top = Object::read(raw, "").ok().and_then(|one| {
            let list = json::list(one.get("top_logprobs")?, "").ok()?;
            Some(list.into_iter().filter_map(candidate).collect::<Vec<_>>())
        });
        Obj::new().list("candidates", top.unwrap_or_default()).end()
    });
    let tops = array(tops);
    let whole = Obj::new()
        .raw("topCandidates", &tops)
        .list("chosenCandidates", chosen);
    Some(whole.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_go_both_ways() {
        let google = r#"{"topCandidates":[{"candidates":[{"token":"Hé","logProbability":-0.25},{"token":"Yo","logProbability":-2.5}]}],"chosenCandidates":[{"token":"Hé","logProbability":-0.25}]}"#;
        let chat = r#"{"content":[{"token":"Hé","logprob":-0.25,"bytes":[72,195,169],"top_logprobs":[{"token":"Hé","logprob":-0.25,"bytes":[72,195,169]},{"token":"Yo","logprob":-2.5,"bytes":[89,111]}]}],"refusal":null}"#;
        let raw = json::raw(google.to_owned());
        assert_eq!(to_chat(&raw).as_deref(), Some(chat));
        assert_eq!(from_chat(chat).as_deref(), Some(google));
    }

    #[test]
    fn what_is_none_reads_as_none() {
        for json in [
            "{}",
            "[]",
            r#"{"chosenCandidates":[]}"#,
            r#"{"chosenCandidates":[7,{}]}"#,
        ] {
            assert_eq!(to_chat(&json::raw(json.to_owned())), None, "{json}");
        }
        assert_eq!(from_chat("null"), None);
        assert_eq!(from_chat("x"), None);
    }
}
