//! Reads a whole answer (providers 16).
//!
//! Lenient: what is not known is kept as a block of the provider or passed over; only a body that is no
//! answer at all is a problem.

use lw_wire::usage::{self, Reading};

use super::block;
use crate::Problem;
use crate::ir::{Answer, Citation, Media, Part, Raw, Source, Stop, Text, Thinking, ToolCall};
use crate::json::{Object, list, text};
use crate::signature::{Origin, Signature};
use serde_json::value::RawValue;

/// Reads an answer.
///
/// # Errors
/// The body is not a Converse answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, Problem> {
    let mut body = Object::of_body(body)?;
    let output = body.take("output");
    let reason = body.take("stopReason").and_then(text);
    if output.is_none() && reason.is_none() {
        return Err(Problem::bad("the body is not a Converse answer", "output"));
    }
    let extra = body.take("additionalModelResponseFields");
    let message = output
        .and_then(|raw| object(raw)?.take("message"))
        .and_then(object);
    let blocks = message
        .and_then(|mut message| message.take("content"))
        .and_then(|raw| list(raw, "").ok());
    Ok(Answer {
        id: None,
        model: None,
        created: None,
        parts: blocks.into_iter().flatten().filter_map(part).collect(),
        stop: stop(reason.as_deref().unwrap_or_default(), extra),
        usage: body
            .take("usage")
            .and_then(tokens)
            .and_then(Reading::reported),
        service_tier: tier(&mut body),
        logprobs: None,
    })
}

/// An object, unless it is something else.
pub(super) fn object(raw: &RawValue) -> Option<Object<'_>> {
    Object::read(raw, "").ok()
}

/// A text field, unless it is something else.
pub(super) fn word(object: &mut Object<'_>, key: &str) -> Option<String> {
    object.take(key).and_then(text)
}

/// The tier that served, of an answer or of the `metadata` of a stream.
pub(super) fn tier(body: &mut Object<'_>) -> Option<String> {
    let mut tier = body.take("serviceTier").and_then(object)?;
    word(&mut tier, "type")
}

/// Tokens, of an answer or of the `metadata` of a stream.
pub(super) fn tokens(raw: &RawValue) -> Option<Reading> {
    usage::converse(raw.get())
}

/// The reason in neutral words. `extra` are `additionalModelResponseFields`, where the sequence stands that
/// ended the answer.
pub(super) fn stop(reason: &str, extra: Option<&RawValue>) -> Stop {
    match reason {
        "end_turn" => Stop::End,
        "stop_sequence" => Stop::Sequence(extra.and_then(object).and_then(|mut extra| {
            word(&mut extra, "stop_sequence").filter(|sequence| !sequence.is_empty())
        })),
        "tool_use" => Stop::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => Stop::Length,
        "content_filtered" | "guardrail_intervened" | "refusal" => Stop::Filtered,
        "pause_turn" => Stop::Paused,
        _ => Stop::Other,
    }
}

fn part(raw: &RawValue) -> Option<Part> {
    let mut fields = object(raw)?;
    if let Some(text) = word(&mut fields, "text") {
        return Some(Part::text(text));
    }
    if let Some(call) = fields.get(block::TOOL_USE).and_then(object) {
        return Some(tool_call(call).unwrap_or_else(|| hosted(block::TOOL_USE, raw)));
    }
    if let Some(reasoning) = fields.take("reasoningContent").and_then(object) {
        return Some(thinking(reasoning));
    }
    if let Some(cited) = fields.take("citationsContent").and_then(object) {
        return Some(cited_text(cited));
    }
    if let Some(image) = fields.get("image").and_then(object) {
        return Some(picture(image).unwrap_or_else(|| hosted("image", raw)));
    }
    let kind = fields.iter().next().map(|(kind, _)| kind.to_owned())?;
    Some(hosted(&kind, raw))
}

fn hosted(kind: &str, raw: &RawValue) -> Part {
    let raw: Raw = raw.to_owned();
    Part::Hosted {
        kind: kind.to_owned(),
        raw,
    }
}

/// `None`: a call of a tool that Bedrock runs itself.
fn tool_call(mut call: Object<'_>) -> Option<Part> {
    if is_hosted(&call) {
        return None;
    }
    Some(Part::ToolCall(ToolCall {
        id: word(&mut call, "toolUseId").unwrap_or_default(),
        name: word(&mut call, "name").unwrap_or_else(|| "tool".to_owned()),
        arguments: call.take("input").map(arguments).unwrap_or_default(),
        freeform: false,
        signature: None,
        cache: None,
    }))
}

/// Whether a call is one of a tool that Bedrock runs itself.
pub(super) fn is_hosted(call: &Object<'_>) -> bool {
    call.get("type").and_then(text).as_deref() == Some("server_tool_use")
}

/// Arguments stand as JSON, or as a text of JSON.
pub(super) fn arguments(raw: &RawValue) -> String {
    text(raw).unwrap_or_else(|| raw.get().to_owned())
}

fn thinking(mut reasoning: Object<'_>) -> Part {
    // Only Claude seals its thinking; the answer does not tell the model.
    let seal = |value: String| Signature::new(Origin::Anthropic, value);
    if let Some(hidden) = word(&mut reasoning, "redactedContent") {
        return Part::Thinking(Thinking {
            signature: Some(seal(hidden)),
            redacted: true,
            ..Thinking::default()
        });
    }
    let mut inner = reasoning
        .take("reasoningText")
        .and_then(object)
        .unwrap_or_default();
    Part::Thinking(Thinking {
        text: word(&mut inner, "text").unwrap_or_default(),
        signature: word(&mut inner, "signature")
            .filter(|value| !value.is_empty())
            .map(seal),
        ..Thinking::default()
    })
}

fn cited_text(mut cited: Object<'_>) -> Part {
    let citations = cited.take("citations").and_then(|raw| list(raw, "").ok());
    Part::Text(Text {
        text: cited.take("content").map(texts).unwrap_or_default(),
        citations: citations
            .into_iter()
            .flatten()
            .filter_map(citation)
            .collect(),
        ..Text::default()
    })
}

/// The `text` of all entries of a list, behind one another.
fn texts(raw: &RawValue) -> String {
    let entries = list(raw, "").unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|entry| word(&mut object(entry)?, "text"))
        .collect()
}

/// A source, of an answer or of a stream.
pub(super) fn citation(raw: &RawValue) -> Option<Citation> {
    let mut fields = object(raw)?;
    let url = fields
        .take("location")
        .and_then(object)
        .and_then(|mut location| location.take("web").and_then(object))
        .and_then(|mut web| word(&mut web, "url"));
    let words = fields.take("sourceContent").map(texts);
    Some(Citation {
        url,
        title: word(&mut fields, "title").or_else(|| word(&mut fields, "source")),
        cited_text: words.filter(|words| !words.is_empty()),
        span: None,
    })
}

fn picture(mut image: Object<'_>) -> Option<Part> {
    let format = word(&mut image, "format")?;
    let mut source = image.take("source").and_then(object)?;
    let source = match (word(&mut source, "bytes"), source.take("s3Location")) {
        (Some(data), _) => Source::Inline {
            media_type: format!("image/{format}"),
            data,
        },
        (None, place) => Source::Url(word(&mut object(place?)?, "uri")?),
    };
    Some(Part::Image(Media::new(source)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Answer {
        read_answer(body.as_bytes()).expect("an answer")
    }

    #[test]
    fn every_kind_of_block_is_read() {
        let answer = read(
            r#"{"output":{"message":{"role":"assistant","content":[
              {"reasoningContent":{"reasoningText":{"text":"The user wants the weather.","signature":"EqQB"}}},
              {"reasoningContent":{"redactedContent":"EvAF"}},
              {"text":"Let me check."},
              {"citationsContent":{"content":[{"text":"Paris is "},{"text":"cloudy."}],"citations":[
                {"title":"Weather","sourceContent":[{"text":"cloudy all day"}],
                 "location":{"web":{"url":"https://example.com","domain":"example.com"}}}]}},
              {"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{"n": 1.10,"location":"Paris"}}},
              {"toolUse":{"toolUseId":"s1","name":"nova_grounding","input":{},"type":"server_tool_use"}},
              {"searchResult":{"source":"x"}}]}},
            "stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},
            "metrics":{"latencyMs":7},"serviceTier":{"type":"priority"}}"#,
        );
        insta::assert_debug_snapshot!(answer);
    }

    #[test]
    fn every_reason_has_its_neutral_word() {
        for (reason, expected) in [
            ("end_turn", Stop::End),
            ("tool_use", Stop::ToolUse),
            ("max_tokens", Stop::Length),
            ("model_context_window_exceeded", Stop::Length),
            ("stop_sequence", Stop::Sequence(None)),
            ("content_filtered", Stop::Filtered),
            ("guardrail_intervened", Stop::Filtered),
            ("malformed_model_output", Stop::Other),
            ("malformed_tool_use", Stop::Other),
            ("something_new", Stop::Other),
        ] {
            assert_eq!(stop(reason, None), expected, "{reason}");
        }
        let told = read(
            r#"{"output":{},"stopReason":"stop_sequence",
                "additionalModelResponseFields":{"stop_sequence":"END"}}"#,
        );
        assert_eq!(told.stop, Stop::Sequence(Some("END".to_owned())));
    }

    #[test]
    fn only_what_is_no_answer_at_all_is_a_problem() {
        for body in ["", "[]", "nonsense", r#"{"message":"denied"}"#] {
            assert!(read_answer(body.as_bytes()).is_err(), "{body}");
        }
        for body in [
            r#"{"output":null,"stopReason":"end_turn"}"#,
            r#"{"output":{"message":{"content":"text"}},"stopReason":7,"usage":"none"}"#,
            r#"{"output":{"message":{"content":[null,1,{},{"text":7},{"toolUse":{}}]}}}"#,
        ] {
            assert!(read_answer(body.as_bytes()).is_ok(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_answer(&bytes);
        }
    }
}
