//! A provider's stream in, the caller's stream out: reader, sequencer and writer in a row.
//!
//! Bytes may be cut anywhere. Start at [`Translator`].

use lw_core::Usage;
use lw_wire::sse::Events;
use lw_wire::usage::Reading;

use crate::frames::JsonItems;
use crate::ir::{Answer, BlockKind, Delta, Event, Failure, Part, Stop};
use crate::sequencer::{Sequencer, Step};
use crate::{Caller, Dialect, chat, converse, gemini, messages, responses};

/// Reads the frames of one dialect.
pub trait StreamReader: Send {
    /// Takes one frame. `name` is its type where the framing has one (AWS event streams).
    fn frame(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<Event>);
    /// The provider's bytes are over. A dialect whose streams end by ending reports [`Event::End`] here if
    /// what came was complete.
    fn end(&mut self, out: &mut Vec<Event>);
}

/// Writes the frames of one dialect.
pub trait StreamWriter: Send {
    /// Writes what follows from one step.
    fn step(&mut self, step: Step, out: &mut Vec<u8>);
}

/// How a provider's frames stand in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON list, or objects behind one another (Gemini without `alt=sse`).
    Json,
    /// Already cut by somebody else: [`Translator::frame`] (AWS event streams).
    Cut,
}

/// What was seen of a translated stream.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The provider's id for the answer.
    pub id: Option<String>,
    /// The model as the provider names it.
    pub model: Option<String>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// The service tier that served.
    pub service_tier: Option<String>,
    /// Why the model stopped.
    pub stop: Option<Stop>,
    /// Frames that had data.
    pub frames: u64,
    /// The stream came to its end.
    pub complete: bool,
    /// The provider failed in its stream.
    pub failure: Option<Failure>,
}

/// One stream on its way.
pub struct Translator {
    framing: Framing,
    events: Events,
    items: JsonItems,
    reader: Box<dyn StreamReader>,
    sequencer: Sequencer,
    writer: Box<dyn StreamWriter>,
    seen: Seen,
}

fn writer(to: Dialect, caller: Caller) -> Box<dyn StreamWriter> {
    match to {
        Dialect::Chat => Box::new(chat::Writer::new(caller)),
        Dialect::Responses => Box::new(responses::Writer::new(caller)),
        Dialect::Messages => Box::new(messages::Writer::new(caller)),
        // Nobody calls in Converse.
        Dialect::Gemini | Dialect::Converse => Box::new(gemini::Writer::new(caller)),
    }
}

/// A whole answer as a stream, for callers that wanted one from a provider that does not stream.
#[must_use]
pub fn replay(to: Dialect, answer: Answer, caller: &Caller) -> Vec<u8> {
    let Answer {
        id,
        model,
        created: _,
        parts,
        stop,
        usage,
        service_tier,
        logprobs: _,
    } = answer;
    let mut events = vec![Event::Start { id, model }];
    events.extend(usage.map(|usage| Event::Usage(Reading::Reported(usage))));
    events.extend(service_tier.map(Event::Tier));
    for (block, part) in (0_u32..).zip(parts) {
        block_of(block, part, &mut events);
    }
    events.push(Event::Stop(stop));
    events.push(Event::End);
    let mut sequencer = Sequencer::new(caller.json_tool);
    let mut steps = Vec::new();
    for event in events {
        sequencer.take(event, &mut steps);
    }
    let mut writer = writer(to, caller.clone());
    let mut out = Vec::new();
    for step in steps {
        writer.step(step, &mut out);
    }
    out
}

/// One part of an answer as a block. What a stream has no block for is left out, as in any stream.
fn block_of(block: u32, part: Part, events: &mut Vec<Event>) {
    let (kind, signature, deltas) = match part {
        Part::Text(text) => {
            let citations = text.citations.into_iter().map(Delta::Citation);
            let deltas = std::iter::once(Delta::Text(text.text)).chain(citations);
            (BlockKind::Text, text.signature, deltas.collect())
        }
        Part::Refusal(text) => (BlockKind::Refusal, None, vec![Delta::Text(text)]),
        Part::ToolCall(call) => {
            let kind = BlockKind::Tool {
                id: Some(call.id.clone()).filter(|id| !id.is_empty()),
                name: call.name.clone(),
            };
            (
                kind,
                call.signature.clone(),
                vec![Delta::Arguments(call.object())],
            )
        }
        Part::Thinking(thinking) => {
            let kind = BlockKind::Thinking {
                id: thinking.id,
                redacted: thinking.redacted,
            };
            let text = Some(thinking.text).filter(|text| !text.is_empty());
            let mut deltas: Vec<Delta> = text.map(Delta::Thinking).into_iter().collect();
            deltas.extend(thinking.signature.map(Delta::Signature));
            (kind, None, deltas)
        }
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::ToolResult(_)
        | Part::Hosted { .. } => return,
    };
    events.push(Event::Open { block, kind });
    let sealed = signature.map(Delta::Signature).into_iter();
    events.extend(
        sealed
            .chain(deltas)
            .map(|delta| Event::Delta { block, delta }),
    );
    events.push(Event::Close { block });
}

impl Translator {
    /// From a provider's dialect to the caller's.
    #[must_use]
    pub fn new(from: Dialect, framing: Framing, to: Dialect, caller: Caller) -> Self {
        Self {
            framing,
            events: Events::default(),
            items: JsonItems::default(),
            reader: match from {
                Dialect::Chat => Box::new(chat::Reader::default()),
                Dialect::Responses => Box::new(responses::Reader::default()),
                Dialect::Messages => Box::new(messages::Reader::default()),
                Dialect::Gemini => Box::new(gemini::Reader::default()),
                Dialect::Converse => Box::new(converse::Reader::default()),
            },
            sequencer: Sequencer::new(caller.json_tool),
            writer: writer(to, caller),
            seen: Seen::default(),
        }
    }

    /// Takes the next bytes of the provider and appends what the caller gets.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut events = std::mem::take(&mut self.events);
        let mut items = std::mem::take(&mut self.items);
        match self.framing {
            Framing::Sse => events.push(bytes, |data| self.frame(None, data, out)),
            Framing::Json => items.push(bytes, |data| self.frame(None, data, out)),
            Framing::Cut => {}
        }
        self.events = events;
        self.items = items;
    }

    /// Takes one frame of the provider.
    pub fn frame(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
        self.seen.frames += 1;
        let mut events = Vec::new();
        self.reader.frame(name, data, &mut events);
        self.run(events, out);
    }

    /// The provider's bytes are over. Whether that was the end or a break tells [`Self::seen`]: a stream
    /// that is not complete has to be failed by [`Self::fail`].
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let mut events = std::mem::take(&mut self.events);
        let mut items = std::mem::take(&mut self.items);
        match self.framing {
            Framing::Sse => events.finish(|data| self.frame(None, data, out)),
            Framing::Json => items.finish(|data| self.frame(None, data, out)),
            Framing::Cut => {}
        }
        let mut last = Vec::new();
        self.reader.end(&mut last);
        self.run(last, out);
    }

    /// Ends the stream with a failure, unless it is over.
    pub fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        self.run(vec![Event::Failed(failure)], out);
    }

    /// What was seen so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether anything but a failure came out.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.sequencer.has_started()
    }

    /// Whether nothing more will come out.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.sequencer.is_over()
    }

    fn run(&mut self, events: Vec<Event>, out: &mut Vec<u8>) {
        let mut steps = Vec::new();
        for event in events {
            self.note(&event);
            self.sequencer.take(event, &mut steps);
        }
        self.sequencer.flush(&mut steps);
        self.seen.usage = self.sequencer.usage();
        for step in steps {
            self.writer.step(step, out);
        }
    }

    fn note(&mut self, event: &Event) {
        if self.sequencer.is_over() {
            return;
        }
        match event {
            Event::Start { id, model } => {
                self.seen.id = self.seen.id.take().or_else(|| id.clone());
                self.seen.model = self.seen.model.take().or_else(|| model.clone());
            }
            Event::Tier(tier) => self.seen.service_tier = Some(tier.clone()),
            Event::Stop(stop) => self.seen.stop = Some(stop.clone()),
            Event::Failed(failure) => self.seen.failure = Some(failure.clone()),
            Event::End => self.seen.complete = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_is_told_as_a_stream_in_every_dialect() {
        let body = br#"{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"Let me check.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"location\":\"Paris\"}"}}]}}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        for (to, end) in [
            (Dialect::Chat, "data: [DONE]\n\n"),
            (Dialect::Responses, "response.completed"),
            (Dialect::Messages, "message_stop"),
            (Dialect::Gemini, "\"finishReason\":\"STOP\""),
        ] {
            let answer = crate::read_answer(Dialect::Chat, body).expect("an answer");
            let out = String::from_utf8(replay(to, answer, &Caller::default())).expect("text");
            for wanted in ["Let me check.", "get_weather", "Paris", end] {
                assert!(out.contains(wanted), "{wanted} in {to:?}: {out}");
            }
        }
    }
}
