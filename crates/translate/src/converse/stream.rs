//! Reads a stream: frames as the AWS framing names them (providers 17, 21, 22).
//!
//! Tokens are told after the stop, so the end is the later of the two. Seals of thinking may come in pieces
//! and go on whole.

use data_encoding::BASE64;
use serde_json::value::RawValue;

use super::answer::{arguments, citation, is_hosted, object, stop, tier, tokens, word};
use super::block::TOOL_USE;
use crate::ir::{BlockKind, Delta, Event, Failure};
use crate::json::Object;
use crate::signature::{Origin, Signature};
use crate::stream::StreamReader;

/// Status of an exception, where the framing has none.
const STATUS: [(&str, u16); 9] = [
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ModelStreamErrorException", 424),
    ("ThrottlingException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
    ("ModelNotReadyException", 503),
];

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader {
    /// Blocks of tools that Bedrock runs: what belongs to them is passed over.
    hosted: Vec<u32>,
    /// Seals whose end has not come.
    seals: Vec<Seal>,
    /// The block that the last frame was about.
    block: u32,
    stopped: bool,
    counted: bool,
}

#[derive(Debug)]
struct Seal {
    block: u32,
    value: String,
}

impl StreamReader for Reader {
    fn frame(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<Event>) {
        let Ok(mut fields) = Object::of_body(data) else {
            // An exception may have a body that is no JSON; the others say nothing without one.
            if let Some(name) = name.filter(|name| is_failure(name)) {
                out.push(Event::Failed(failure(name, Object::default())));
            }
            return;
        };
        match name {
            Some(name) => self.named(name, fields, out),
            // Frames without names wrap the payload in it, as the API's own union does.
            None => {
                let wrapped = fields.iter().next().map(|(name, _)| name.to_owned());
                let wrapped = wrapped.and_then(|name| {
                    let payload = fields.take(&name).and_then(object)?;
                    Some((name, payload))
                });
                if let Some((name, payload)) = wrapped {
                    self.named(&name, payload, out);
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.seal_all(out);
        if self.stopped && !self.counted {
            out.push(Event::End);
        }
    }
}

impl Reader {
    fn named(&mut self, name: &str, mut fields: Object<'_>, out: &mut Vec<Event>) {
        match name {
            "messageStart" => out.push(Event::Start {
                id: None,
                model: None,
            }),
            "contentBlockStart" => self.open(fields, out),
            "contentBlockDelta" => self.delta(fields, out),
            "contentBlockStop" => {
                let block = self.block_of(&mut fields);
                self.seal(block, out);
                if !self.hosted.contains(&block) {
                    out.push(Event::Close { block });
                }
            }
            "messageStop" => {
                self.seal_all(out);
                let extra = fields.take("additionalModelResponseFields");
                let reason = word(&mut fields, "stopReason").unwrap_or_default();
                out.push(Event::Stop(stop(&reason, extra)));
                self.stopped = true;
                self.end_if_all_came(out);
            }
            "metadata" => {
                let usage = fields.take("usage").and_then(tokens);
                out.extend(usage.map(Event::Usage));
                out.extend(tier(&mut fields).map(Event::Tier));
                self.counted = true;
                self.end_if_all_came(out);
            }
            name if is_failure(name) => out.push(Event::Failed(failure(name, fields))),
            _ => {}
        }
    }

    fn end_if_all_came(&self, out: &mut Vec<Event>) {
        if self.stopped && self.counted {
            out.push(Event::End);
        }
    }

    /// The block that a frame is about; one that does not say it is about the last one.
    fn block_of(&mut self, fields: &mut Object<'_>) -> u32 {
        let index = fields.take("contentBlockIndex");
        let index = index.and_then(|raw| raw.get().trim_matches('"').parse().ok());
        self.block = index.unwrap_or(self.block);
        self.block
    }

    fn open(&mut self, mut fields: Object<'_>, out: &mut Vec<Event>) {
        let block = self.block_of(&mut fields);
        self.seal_others(block, out);
        self.hosted.retain(|hosted| *hosted != block);
        let Some(mut start) = fields.take("start").and_then(object) else {
            return;
        };
        match start.take(TOOL_USE).and_then(object) {
            Some(mut call) if !is_hosted(&call) => out.push(Event::Open {
                block,
                kind: BlockKind::Tool {
                    id: word(&mut call, "toolUseId").filter(|id| !id.is_empty()),
                    name: word(&mut call, "name").unwrap_or_else(|| "tool".to_owned()),
                },
            }),
            // A tool that Bedrock runs, its result, a picture: nothing that a caller's stream has.
            Some(_) => self.hosted.push(block),
            None if start.iter().next().is_some() => self.hosted.push(block),
            None => {}
        }
    }

    fn delta(&mut self, mut fields: Object<'_>, out: &mut Vec<Event>) {
        let block = self.block_of(&mut fields);
        self.seal_others(block, out);
        if self.hosted.contains(&block) {
            return;
        }
        let Some(mut delta) = fields.take("delta").and_then(object) else {
            return;
        };
        let mut say = |delta| out.push(Event::Delta { block, delta });
        if let Some(text) = word(&mut delta, "text") {
            say(Delta::Text(text));
        }
        if let Some(mut call) = delta.take(TOOL_USE).and_then(object)
            && let Some(input) = call.take("input")
        {
            say(Delta::Arguments(arguments(input)));
        }
        if let Some(citation) = delta.take("citation").and_then(citation) {
            say(Delta::Citation(citation));
        }
        if let Some(reasoning) = delta.take("reasoningContent").and_then(object) {
            self.reasoning(block, reasoning, out);
        }
    }

    fn reasoning(&mut self, block: u32, mut fields: Object<'_>, out: &mut Vec<Event>) {
        if let Some(text) = word(&mut fields, "text") {
            out.push(Event::Delta {
                block,
                delta: Delta::Thinking(text),
            });
        }
        if let Some(piece) = word(&mut fields, "signature") {
            self.add_to_seal(block, |so_far| format!("{so_far}{piece}"));
        }
        if let Some(piece) = word(&mut fields, "redactedContent") {
            let known = self.seals.iter().any(|seal| seal.block == block);
            if !known {
                out.push(Event::Open {
                    block,
                    kind: BlockKind::Thinking {
                        id: None,
                        redacted: true,
                    },
                });
            }
            self.add_to_seal(block, |so_far| joined_base64(so_far, &piece));
        }
    }

    /// Adds a piece to the seal of a block by `join`, which gets what came before it.
    fn add_to_seal(&mut self, block: u32, join: impl FnOnce(&str) -> String) {
        let held = self.seals.iter_mut().find(|seal| seal.block == block);
        match held {
            Some(seal) => seal.value = join(&seal.value),
            None => self.seals.push(Seal {
                block,
                value: join(""),
            }),
        }
    }

    /// The block is complete, and so is its seal.
    fn seal(&mut self, block: u32, out: &mut Vec<Event>) {
        let Some(at) = self.seals.iter().position(|seal| seal.block == block) else {
            return;
        };
        let Seal { block, value } = self.seals.remove(at);
        if !value.is_empty() {
            // Only Claude seals its thinking; the stream does not tell the model.
            let delta = Delta::Signature(Signature::new(Origin::Anthropic, value));
            out.push(Event::Delta { block, delta });
        }
    }

    fn seal_all(&mut self, out: &mut Vec<Event>) {
        while let Some(block) = self.seals.first().map(|seal| seal.block) {
            self.seal(block, out);
        }
    }

    /// Another block goes on: those before it are complete, whether or not that was said.
    fn seal_others(&mut self, block: u32, out: &mut Vec<Event>) {
        while let Some(other) = self.seals.iter().find(|seal| seal.block != block) {
            self.seal(other.block, out);
        }
    }
}

/// Bytes that come in pieces, each in base64 of its own.
fn joined_base64(so_far: &str, piece: &str) -> String {
    if so_far.is_empty() {
        return piece.to_owned();
    }
    let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok();
    match (bytes(so_far), bytes(piece)) {
        (Some(mut whole), Some(more)) => {
            whole.extend(more);
            BASE64.encode(&whole)
        }
        _ => format!("{so_far}{piece}"),
    }
}

fn is_failure(name: &str) -> bool {
    name.ends_with("Exception") || name.ends_with("Error")
}

fn failure(name: &str, mut fields: Object<'_>) -> Failure {
    // The framing spells `throttlingException`, the errors of the API `ThrottlingException`.
    let mut letters = name.chars();
    let kind: String = letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect();
    let own = fields
        .take("originalStatusCode")
        .and_then(|raw: &RawValue| raw.get().parse::<u16>().ok());
    let status = STATUS.iter().find(|(name, _)| *name == kind);
    let message = word(&mut fields, "message")
        .or_else(|| word(&mut fields, "Message"))
        .or_else(|| word(&mut fields, "originalMessage"))
        .filter(|message| !message.is_empty());
    Failure {
        status: status.map(|(_, status)| *status).or(own),
        message: message.unwrap_or_else(|| format!("the provider reported {kind}")),
        kind: Some(kind),
        ..Failure::default()
    }
}

/// The Anthropic event in a frame of `invoke-with-response-stream`; `None` when there is none.
#[must_use]
pub fn invoke_chunk(payload: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Object::of_body(payload).ok()?;
    let bytes = word(&mut fields, "bytes")?;
    BASE64.decode(bytes.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Stop;
    use proptest::prelude::*;

    fn read(frames: &[(&str, &str)]) -> Vec<Event> {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        for (name, payload) in frames {
            reader.frame(Some(name), payload.as_bytes(), &mut out);
        }
        reader.end(&mut out);
        out
    }

    #[test]
    fn every_frame_becomes_its_events() {
        insta::assert_debug_snapshot!(read(&[
            ("messageStart", r#"{"p":"abc","role":"assistant"}"#),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"Eq"}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"QB"}}}"#
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AAE="}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"Ag=="}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":2,"delta":{"text":"Paris"}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":2,"delta":{"citation":{"title":"W","location":{"web":{"url":"https://example.com"}}}}}"#
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"call_1","name":"get_weather"}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":"3","delta":{"toolUse":{"input":"{\"a\":"}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"delta":{"toolUse":{"input":"1}"}}}"#
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}}"#
            ),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":4,"delta":{"toolUse":{"input":"{}"}}}"#
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":4}"#),
            ("somethingNew", r#"{"contentBlockIndex":4}"#),
            ("messageStop", r#"{"stopReason":"tool_use"}"#),
            (
                "metadata",
                r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1},"serviceTier":{"type":"flex"}}"#
            ),
        ]));
    }

    #[test]
    fn the_end_waits_for_the_tokens_and_comes_without_them_at_the_last() {
        let stop = ("messageStop", r#"{"stopReason":"end_turn"}"#);
        let usage = (
            "metadata",
            r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#,
        );
        let ends = |frames: &[(&str, &str)]| {
            let events = read(frames);
            let last = matches!(events.last(), Some(Event::End));
            let count = events
                .iter()
                .filter(|event| matches!(event, Event::End))
                .count();
            (last, count)
        };
        assert_eq!(ends(&[stop, usage]), (true, 1));
        assert_eq!(ends(&[usage, stop]), (true, 1));
        assert_eq!(ends(&[stop]), (true, 1));
        assert_eq!(ends(&[usage]), (false, 0));
        assert_eq!(ends(&[]), (false, 0));
    }

    #[test]
    fn exceptions_have_the_status_of_the_table() {
        for (name, status) in [
            ("validationException", Some(400)),
            ("throttlingException", Some(429)),
            ("ModelTimeoutException", Some(408)),
            ("modelStreamErrorException", Some(424)),
            ("internalServerException", Some(500)),
            ("serviceUnavailableException", Some(503)),
            ("NewException", None),
        ] {
            let events = read(&[(name, r#"{"message":"Too many tokens"}"#)]);
            let [Event::Failed(failure)] = &events[..] else {
                panic!("{name}: {events:?}");
            };
            assert_eq!(failure.status, status, "{name}");
            assert_eq!(failure.message, "Too many tokens");
            assert!(
                failure
                    .kind
                    .as_ref()
                    .is_some_and(|kind| kind.ends_with("Exception"))
            );
        }
        let events = read(&[("throttlingException", "not JSON")]);
        assert!(matches!(&events[..], [Event::Failed(failure)]
            if failure.message == "the provider reported ThrottlingException"));
    }

    #[test]
    fn frames_without_a_name_are_read_by_their_wrapping() {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        reader.frame(
            None,
            br#"{"messageStop":{"stopReason":"max_tokens"}}"#,
            &mut out,
        );
        assert!(matches!(out[..], [Event::Stop(Stop::Length)]));
    }

    #[test]
    fn an_invoke_frame_holds_an_event_of_anthropic() {
        let payload = br#"{"bytes":"eyJ0eXBlIjoicGluZyJ9","p":"abcd"}"#;
        assert_eq!(
            invoke_chunk(payload).as_deref(),
            Some(&br#"{"type":"ping"}"#[..])
        );
        for broken in [&b"{}"[..], b"", br#"{"bytes":"*"}"#, br#"{"bytes":1}"#] {
            assert_eq!(invoke_chunk(broken), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_frames_do_no_harm(
            name in prop_oneof![
                Just("contentBlockDelta"), Just("contentBlockStart"), Just("metadata"),
                Just("messageStop"), Just("xException"),
            ],
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            depth in r#"[\{\}\[\]":,a-z0-9]{0,60}"#,
        ) {
            let mut reader = Reader::default();
            let mut out = Vec::new();
            reader.frame(Some(name), &bytes, &mut out);
            reader.frame(Some(name), format!("{{\"delta\":{depth}}}").as_bytes(), &mut out);
            reader.frame(None, &bytes, &mut out);
            reader.end(&mut out);
            let _ = invoke_chunk(&bytes);
        }

        #[test]
        fn texts_and_arguments_survive_any_chunking(
            pieces in prop::collection::vec("[a-zé{}\" ]{0,5}", 0..12),
        ) {
            let mut reader = Reader::default();
            let mut out = Vec::new();
            for piece in &pieces {
                let json = serde_json::Value::from(piece.as_str());
                for (index, delta) in [(0, format!("{{\"text\":{json}}}")),
                    (1, format!("{{\"toolUse\":{{\"input\":{json}}}}}"))] {
                    let frame = format!("{{\"contentBlockIndex\":{index},\"delta\":{delta}}}");
                    reader.frame(Some("contentBlockDelta"), frame.as_bytes(), &mut out);
                }
            }
            let (mut text, mut arguments) = (String::new(), String::new());
            for event in out {
                match event {
                    Event::Delta { delta: Delta::Text(piece), .. } => text.push_str(&piece),
                    Event::Delta { delta: Delta::Arguments(piece), .. } => arguments.push_str(&piece),
                    _ => {}
                }
            }
            prop_assert_eq!(&text, &pieces.concat());
            prop_assert_eq!(&arguments, &pieces.concat());
        }
    }
}
