//! What whole answers and streams have in common: usage, reasons to stop, made ids, citations.

use lw_core::Usage;
use lw_wire::usage::{Reading, openai};
use serde_json::value::RawValue;

use crate::Caller;
use crate::ir::{Citation, Stop, ToolCall};
use crate::json::{Obj, Object, quote, text};

/// The usage that a provider reports in an answer or chunk: beside the choices, in the choice (Moonshot)
/// or in Groq's own block. A report that says something wins over one that is all zero.
pub(super) fn read_usage(body: &Object<'_>, choice: Option<&Object<'_>>) -> Option<Reading> {
    let own = body.get("usage");
    let in_choice = choice.and_then(|choice| choice.get("usage"));
    let groq = body
        .get("x_groq")
        .and_then(|raw| Object::read(raw, "").ok())
        .and_then(|block| block.get("usage"));
    let places = [own, in_choice, groq].into_iter().flatten();
    let readings: Vec<Reading> = places.filter_map(|raw| openai(raw.get())).collect();
    let is_zero = |reading: &Reading| reading.reported().is_some_and(|usage| usage.is_zero());
    let said = readings.iter().find(|reading| !is_zero(reading));
    said.or(readings.first()).copied()
}

/// A usage block.
pub(super) fn write_usage(usage: &Usage) -> String {
    let (prompt, completion) = (usage.prompt(), usage.completion());
    let written = usage.cache_write();
    let Usage {
        cache_read,
        reasoning,
        input_audio,
        output_audio,
        // Summed up above.
        input: _,
        cache_write_5m: _,
        cache_write_1h: _,
        output: _,
    } = *usage;
    let some = |n: u64| Some(n).filter(|n| *n > 0);
    let input = Obj::new()
        .num("cached_tokens", cache_read)
        .num_if("cache_creation_tokens", some(written))
        .num_if("audio_tokens", some(input_audio));
    let output = Obj::new()
        .num("reasoning_tokens", reasoning)
        .num_if("audio_tokens", some(output_audio));
    Obj::new()
        .num("prompt_tokens", prompt)
        .num("completion_tokens", completion)
        .num("total_tokens", prompt.saturating_add(completion))
        .raw("prompt_tokens_details", &input.end())
        .raw("completion_tokens_details", &output.end())
        .end()
}

/// The reason in a choice. vLLM tells the stop sequence beside it.
pub(super) fn read_stop(choice: &Object<'_>) -> Option<Stop> {
    let reason = choice.get("finish_reason").and_then(text)?;
    let sequence = choice.get("stop_reason").and_then(text);
    Some(match reason.as_str() {
        "stop" if sequence.is_some() => Stop::Sequence(sequence),
        "stop" | "eos" | "end_turn" | "eos_token" => Stop::End,
        "stop_sequence" => Stop::Sequence(sequence),
        "length" | "max_tokens" | "model_length" => Stop::Length,
        "tool_calls" | "function_call" | "tool_use" => Stop::ToolUse,
        "content_filter" | "safety" | "refusal" => Stop::Filtered,
        "" => return None,
        _ => Stop::Other,
    })
}

/// The reason as Chat Completions names it.
pub(super) const fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Paused | Stop::Other => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::Length => "length",
        Stop::Filtered => "content_filter",
    }
}

/// The first digits of the request id, so many of them.
fn digits(caller: &Caller, count: usize) -> String {
    caller
        .request_hex
        .chars()
        .chain(std::iter::repeat('0'))
        .take(count)
        .collect()
}

/// The answer's id: the provider's, or one that is made of the request's.
pub(super) fn answer_id(given: Option<String>, caller: &Caller) -> String {
    given
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| format!("chatcmpl-lw{}", digits(caller, 24)))
}

/// The id of the n-th call where the provider has none.
pub(super) fn call_id(given: Option<&str>, n: usize, caller: &Caller) -> String {
    match given.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => format!("call_{}{n:04x}", digits(caller, 20)),
    }
}

/// Whether a call is of a tool whose input is plain text.
pub(super) fn is_freeform(name: &str, caller: &Caller) -> bool {
    caller.freeform_tools.iter().any(|own| own == name)
}

/// What goes into `arguments`: the provider's own text, so that the caller sees what the model wrote, and
/// `{}` for nothing.
pub(super) fn arguments(call: &ToolCall) -> String {
    if call.freeform || call.arguments.trim().is_empty() {
        call.object()
    } else {
        call.arguments.clone()
    }
}

/// A source as an annotation; `start` and `end` are the characters of the whole content that it is for.
/// Sources without an address cannot be written.
pub(super) fn annotation(citation: &Citation, start: u64, end: u64) -> Option<String> {
    let Citation {
        url,
        title,
        cited_text: _,
        span,
    } = citation;
    let (start, end) = match span {
        Some((from, to)) => (start.saturating_add(*from), start.saturating_add(*to)),
        None => (start, end),
    };
    let url = url.as_deref()?;
    let source = Obj::new()
        .str("url", url)
        .str("title", title.as_deref().unwrap_or(url))
        .num("start_index", start)
        .num("end_index", end);
    Some(
        Obj::new()
            .str("type", "url_citation")
            .raw("url_citation", &source.end())
            .end(),
    )
}

/// The sources among annotations.
pub(super) fn read_annotations(list: &[&RawValue]) -> Vec<Citation> {
    #[derive(serde::Deserialize)]
    struct Entry {
        url_citation: Source,
    }
    #[derive(serde::Deserialize)]
    struct Source {
        url: String,
        title: Option<String>,
        start_index: Option<u64>,
        end_index: Option<u64>,
    }
    let read = list.iter().filter_map(|raw| {
        let Entry { url_citation } = serde_json::from_str(raw.get()).ok()?;
        let Source {
            url,
            title,
            start_index,
            end_index,
        } = url_citation;
        Some(Citation {
            url: Some(url),
            title,
            cited_text: None,
            span: start_index.zip(end_index),
        })
    });
    read.collect()
}

/// `extra_fields`, when something was left out.
pub(super) fn extra_fields(caller: &Caller) -> Option<String> {
    let dropped = !caller.dropped.is_empty();
    dropped.then(|| Obj::new().texts_if("params_dropped", &caller.dropped).end())
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(text, &mut out);
    out
}

/// Characters of a text.
pub(super) fn length(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
