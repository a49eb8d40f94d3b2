//! Pieces of Google's answers, shared by whole answers and streams.

use std::borrow::Cow;

use lw_core::Usage;

use super::seal;
use crate::Caller;
use crate::ir::Stop;
use crate::json::Obj;
use crate::signature::Signature;

/// JSON without line breaks: a line ends a frame's data. What has none stays as it is.
pub(super) fn one_line(json: &str) -> Cow<'_, str> {
    if !json.contains(['\n', '\r']) {
        return Cow::Borrowed(json);
    }
    let (mut out, mut in_text, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if in_text {
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            in_text = letter == '"';
        }
        out.push(letter);
    }
    Cow::Owned(out)
}

/// A part with text.
pub(super) fn text_part(text: &str) -> String {
    Obj::new().str("text", text).end()
}

/// A part that seals the text before it, or holds it.
pub(super) fn sealed_text_part(text: &str, signature: &Signature) -> String {
    Obj::new()
        .str("text", text)
        .str("thoughtSignature", &seal::write(signature, false))
        .end()
}

/// A thought.
pub(super) fn thought_part(text: &str, signature: Option<&Signature>, redacted: bool) -> String {
    let seal = signature.map(|signature| seal::write(signature, redacted));
    Obj::new()
        .str("text", text)
        .num("thought", true)
        .str_if("thoughtSignature", seal.as_deref())
        .end()
}

/// A call. `arguments` is a JSON object.
pub(super) fn call_part(
    id: &str,
    name: &str,
    arguments: &str,
    signature: Option<&Signature>,
) -> String {
    let seal = signature.map(|signature| seal::write(signature, false));
    let call = Obj::new()
        .str("id", id)
        .str("name", name)
        .raw("args", arguments)
        .end();
    Obj::new()
        .raw("functionCall", &call)
        .str_if("thoughtSignature", seal.as_deref())
        .end()
}

/// The candidate's content.
pub(super) fn content(parts: Vec<String>) -> String {
    Obj::new().list("parts", parts).str("role", "model").end()
}

/// The answer or chunk around its candidate.
pub(super) fn envelope(candidate: Obj, usage: Option<&Usage>, model: &str, id: &str) -> String {
    let candidate = candidate.num("index", 0).end();
    let usage = usage.map(usage_metadata);
    Obj::new()
        .list("candidates", [candidate])
        .raw_if("usageMetadata", usage.as_deref())
        .str("modelVersion", model)
        .str("responseId", id)
        .end()
}

/// Google's word for why a model stopped (providers 16).
pub(super) const fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::ToolUse | Stop::Paused => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Filtered => "SAFETY",
        Stop::Other => "OTHER",
    }
}

/// Google's count of tokens: the cached part is inside the prompt, the thoughts are beside the candidates.
fn usage_metadata(usage: &Usage) -> String {
    let prompt = usage.prompt();
    let completion = usage.completion();
    let thoughts = usage.reasoning.min(completion);
    let some = |count: u64| Some(count).filter(|count| *count > 0);
    let by_kind = |whole: u64, audio: u64| {
        let one = |modality: &str, count: u64| {
            Obj::new()
                .str("modality", modality)
                .num("tokenCount", count)
                .end()
        };
        if audio == 0 {
            return Vec::new();
        }
        vec![
            one("TEXT", whole.saturating_sub(audio)),
            one("AUDIO", audio),
        ]
    };
    let candidates = completion - thoughts;
    Obj::new()
        .num("promptTokenCount", prompt)
        .num("candidatesTokenCount", candidates)
        .num("totalTokenCount", prompt.saturating_add(completion))
        .num_if("cachedContentTokenCount", some(usage.cache_read))
        .num_if("thoughtsTokenCount", some(thoughts))
        .list_if("promptTokensDetails", by_kind(prompt, usage.input_audio))
        .list_if(
            "candidatesTokensDetails",
            by_kind(candidates, usage.output_audio),
        )
        .end()
}

/// The model as the answer names it.
pub(super) fn model<'a>(caller: &'a Caller, own: Option<&'a str>) -> &'a str {
    if caller.model.is_empty() {
        own.unwrap_or_default()
    } else {
        &caller.model
    }
}

/// The provider's id for the answer, or one made of the request's.
pub(super) fn response_id(caller: &Caller, own: Option<String>) -> String {
    own.filter(|id| !id.is_empty())
        .unwrap_or_else(|| format!("lw{:0<24.24}", caller.request_hex))
}

/// The provider's id for the n-th call of an answer, or one made of the request's.
pub(super) fn call_id(caller: &Caller, own: Option<String>, n: usize) -> String {
    own.filter(|id| !id.is_empty())
        .unwrap_or_else(|| format!("call_{:0<20.20}{:04x}", caller.request_hex, n & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_go_and_texts_stay() {
        assert_eq!(
            one_line("{\n  \"a b\": \"x \\\" y\\\\\",\r\n  \"n\": [1.50, 2]\n}"),
            r#"{"a b":"x \" y\\","n":[1.50,2]}"#
        );
        assert_eq!(one_line(r#"{"a": 1}"#), r#"{"a": 1}"#);
    }
}
