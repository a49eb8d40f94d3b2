//! A provider's stream in, the caller's stream out: reader, sequencer and writer in a row.
//!
//! Bytes may be cut anywhere. Start at [`Translator`].

use lw_core::Usage;
use lw_wire::sse::Events;

use crate::frames::JsonItems;
use crate::ir::{Event, Failure, Stop};
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
            writer: match to {
                Dialect::Chat => Box::new(chat::Writer::new(caller)),
                Dialect::Responses => Box::new(responses::Writer::new(caller)),
                Dialect::Messages => Box::new(messages::Writer::new(caller)),
                // Nobody calls in Converse.
                Dialect::Gemini | Dialect::Converse => Box::new(gemini::Writer::new(caller)),
            },
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
