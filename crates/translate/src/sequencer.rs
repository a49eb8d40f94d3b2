//! Makes a legal stream of whatever a provider sends (providers 17).
//!
//! Readers report events in the provider's order. This turns them into [`Step`]s that every writer may
//! rely on, whatever came in:
//!
//! 1. [`Step::Start`] comes first, once. Only a failure may come without it.
//! 2. Blocks do not overlap: at most one is open, indices are dense from 0 in the order of opening.
//! 3. Every delta lies in the open block and is of its kind.
//! 4. Every block is closed before the one [`Step::Finish`]. [`Step::Failed`] may come in the middle of a
//!    block, because what was cut off must not look whole: a caller would run a tool with half of its
//!    arguments. Nothing comes after either.
//!
//! A provider may interleave the arguments of parallel calls. A call that is not finished is not closed for
//! another one: what belongs to the other waits. Start at [`Sequencer::take`].

use std::collections::VecDeque;

use lw_core::Usage;
use lw_wire::usage::Reading;

use crate::ir::{BlockKind, Delta, Event, Failure, JSON_TOOL, Stop};

/// What a writer is told.
#[derive(Debug, Clone)]
pub enum Step {
    /// The answer begins.
    Start {
        /// The provider's id.
        id: Option<String>,
        /// The model as the provider names it.
        model: Option<String>,
        /// What is known of the tokens so far.
        usage: Option<Usage>,
    },
    /// A block opens.
    Open {
        /// Its number.
        index: usize,
        /// What it is. A tool's id may be missing: the writer makes one.
        kind: BlockKind,
    },
    /// More of the open block.
    Delta {
        /// Its number.
        index: usize,
        /// What comes.
        delta: Delta,
    },
    /// The open block is complete.
    Close {
        /// Its number.
        index: usize,
    },
    /// Nothing, to keep the line open. Only after the start.
    Ping,
    /// The end.
    Finish {
        /// Why the model stopped.
        stop: Stop,
        /// Tokens.
        usage: Option<Usage>,
        /// The service tier that served.
        service_tier: Option<String>,
    },
    /// The end, because something failed.
    Failed(Failure),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Sequencer {
    /// `json_output` calls become text.
    json_tool: bool,
    begun: bool,
    id: Option<String>,
    model: Option<String>,
    started: bool,
    blocks: Vec<Block>,
    /// The open block, as a position in `blocks`.
    current: Option<usize>,
    /// Blocks that wait for the open one, in order.
    waiting: VecDeque<usize>,
    next_index: usize,
    usage: Option<Usage>,
    tier: Option<String>,
    stop: Option<Stop>,
    saw_tool: bool,
    over: bool,
}

#[derive(Debug)]
struct Block {
    key: u32,
    kind: BlockKind,
    /// Its number, once it opened.
    index: Option<usize>,
    /// What came while it waited.
    queue: Vec<Delta>,
    /// The provider says that it is complete.
    complete: bool,
    /// It was closed.
    closed: bool,
    arguments: JsonEnd,
}

impl Sequencer {
    /// For an answer. `json_tool`: see [`crate::Outgoing::json_tool`].
    #[must_use]
    pub fn new(json_tool: bool) -> Self {
        Self {
            json_tool,
            ..Self::default()
        }
    }

    /// Whether nothing more will come out.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the answer has begun.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// What is known of the tokens.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Takes an event and appends what follows from it.
    pub fn take(&mut self, event: Event, out: &mut Vec<Step>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model } => {
                self.begun = true;
                self.id = self.id.take().or(id);
                self.model = self.model.take().or(model);
            }
            Event::Usage(reading) => {
                self.begun = true;
                self.usage = match (reading, self.usage) {
                    (Reading::Absurd, _) => None,
                    (Reading::Reported(news), Some(known)) if news.is_zero() => Some(known),
                    (Reading::Reported(news), _) => Some(news),
                };
            }
            Event::Tier(tier) => self.tier = Some(tier),
            Event::Open { block, kind } => {
                self.start(out);
                self.open(block, kind, out);
            }
            Event::Delta { block, delta } => {
                self.start(out);
                self.delta(block, delta, out);
            }
            Event::Close { block } => self.close(block, out),
            Event::Stop(stop) => {
                self.start(out);
                // A stop that says more is kept; a later plain one does not replace it.
                if !matches!(self.stop, Some(Stop::Filtered | Stop::Length)) {
                    self.stop = Some(stop);
                }
            }
            Event::Ping if self.started => out.push(Step::Ping),
            Event::Ping => {}
            Event::Failed(failure) => self.fail(failure, out),
            Event::End => self.finish(out),
        }
    }

    /// The events of one frame have been taken: a start that waited for its usage goes out.
    pub fn flush(&mut self, out: &mut Vec<Step>) {
        if self.begun && !self.over {
            self.start(out);
        }
    }

    /// The answer is complete: closes what is open and ends. Idempotent.
    pub fn finish(&mut self, out: &mut Vec<Step>) {
        if self.over {
            return;
        }
        self.start(out);
        self.close_all(out);
        let stop = match self.stop.take() {
            Some(Stop::End | Stop::Other) | None if self.saw_tool => Stop::ToolUse,
            Some(Stop::ToolUse) if !self.saw_tool && self.json_tool => Stop::End,
            Some(stop) => stop,
            None => Stop::Length,
        };
        out.push(Step::Finish {
            stop,
            usage: self.usage,
            service_tier: self.tier.take(),
        });
        self.over = true;
    }

    /// Something failed: ends, with what is open left as it is. Idempotent.
    pub fn fail(&mut self, failure: Failure, out: &mut Vec<Step>) {
        if !std::mem::replace(&mut self.over, true) {
            out.push(Step::Failed(failure));
        }
    }

    fn start(&mut self, out: &mut Vec<Step>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        out.push(Step::Start {
            id: self.id.clone(),
            model: self.model.clone(),
            usage: self.usage,
        });
    }

    /// The newest block of a key, unless it was closed.
    fn live(&self, key: u32) -> Option<usize> {
        let newest = self.blocks.iter().rposition(|block| block.key == key)?;
        let closed = self
            .blocks
            .get(newest)
            .is_none_or(|block| block.closed || block.complete);
        (!closed).then_some(newest)
    }

    fn open(&mut self, key: u32, kind: BlockKind, out: &mut Vec<Step>) {
        // A second opening of the same key ends the first.
        self.close(key, out);
        let kind = match kind {
            BlockKind::Tool { name, .. } if self.json_tool && name == JSON_TOOL => BlockKind::Text,
            kind => kind,
        };
        self.saw_tool |= matches!(kind, BlockKind::Tool { .. });
        let at = self.blocks.len();
        self.blocks.push(Block {
            key,
            kind,
            index: None,
            queue: Vec::new(),
            complete: false,
            closed: false,
            arguments: JsonEnd::default(),
        });
        if self.current.is_some_and(|current| !self.may_close(current)) || !self.waiting.is_empty()
        {
            self.waiting.push_back(at);
            return;
        }
        self.end_current(out);
        self.activate(at, out);
    }

    /// Whether another block may take the place of this one. Text and thinking can go on in a new block;
    /// a call whose arguments are not whole cannot.
    fn may_close(&self, at: usize) -> bool {
        self.blocks.get(at).is_none_or(|block| match block.kind {
            BlockKind::Tool { .. } => block.complete || block.arguments.is_whole(),
            BlockKind::Text | BlockKind::Refusal | BlockKind::Thinking { .. } => true,
        })
    }

    fn activate(&mut self, at: usize, out: &mut Vec<Step>) {
        let Some(block) = self.blocks.get_mut(at) else {
            return;
        };
        let index = self.next_index;
        self.next_index += 1;
        block.index = Some(index);
        self.current = Some(at);
        out.push(Step::Open {
            index,
            kind: block.kind.clone(),
        });
        for delta in std::mem::take(&mut block.queue) {
            out.push(Step::Delta { index, delta });
        }
    }

    fn end_current(&mut self, out: &mut Vec<Step>) {
        let Some(block) = self.current.take().and_then(|at| self.blocks.get_mut(at)) else {
            return;
        };
        block.closed = true;
        if let Some(index) = block.index {
            out.push(Step::Close { index });
        }
    }

    /// Lets blocks that wait have their turn, as far as the open one allows.
    fn advance(&mut self, out: &mut Vec<Step>) {
        while let Some(next) = self.waiting.front().copied() {
            if self.current.is_some_and(|current| !self.may_close(current)) {
                return;
            }
            self.end_current(out);
            self.waiting.pop_front();
            self.activate(next, out);
        }
        let done = |at: usize| self.blocks.get(at).is_some_and(|block| block.complete);
        if self.current.is_some_and(done) {
            self.end_current(out);
        }
    }

    fn close(&mut self, key: u32, out: &mut Vec<Step>) {
        let Some(at) = self.live(key) else {
            return;
        };
        if let Some(block) = self.blocks.get_mut(at) {
            block.complete = true;
        }
        self.advance(out);
    }

    fn close_all(&mut self, out: &mut Vec<Step>) {
        self.end_current(out);
        while let Some(next) = self.waiting.pop_front() {
            self.activate(next, out);
            self.end_current(out);
        }
    }

    fn delta(&mut self, key: u32, delta: Delta, out: &mut Vec<Step>) {
        let fitting = self.live(key).filter(|at| self.fits(*at, &delta));
        let at = match fitting {
            Some(at) => at,
            None => {
                if self.is_late_blank(key, &delta) {
                    return;
                }
                self.open(key, kind_of(&delta), out);
                match self.live(key) {
                    Some(at) => at,
                    None => return,
                }
            }
        };
        let current = self.current == Some(at);
        let json_tool = self.json_tool;
        let Some(block) = self.blocks.get_mut(at) else {
            return;
        };
        let delta = match delta {
            Delta::Arguments(text) if json_tool && block.kind == BlockKind::Text => {
                Delta::Text(text)
            }
            delta => delta,
        };
        if let Delta::Arguments(text) = &delta {
            block.arguments.push(text);
        }
        match block.index {
            Some(index) if current => out.push(Step::Delta { index, delta }),
            _ => block.queue.push(delta),
        }
        if current {
            self.advance(out);
        }
    }

    /// White space behind complete arguments says nothing.
    fn is_late_blank(&self, key: u32, delta: &Delta) -> bool {
        let known = self.blocks.iter().any(|block| block.key == key);
        match delta {
            Delta::Arguments(text) => known && text.trim().is_empty(),
            Delta::Text(text) | Delta::Thinking(text) => text.is_empty(),
            _ => false,
        }
    }

    fn fits(&self, at: usize, delta: &Delta) -> bool {
        let Some(block) = self.blocks.get(at) else {
            return false;
        };
        match (&block.kind, delta) {
            (BlockKind::Text, Delta::Arguments(_)) => self.json_tool,
            (
                BlockKind::Text,
                Delta::Text(_) | Delta::Citation(_) | Delta::Signature(_) | Delta::Logprobs(_),
            )
            | (BlockKind::Refusal, Delta::Text(_))
            | (BlockKind::Thinking { .. }, Delta::Thinking(_) | Delta::Signature(_))
            | (BlockKind::Tool { .. }, Delta::Arguments(_) | Delta::Signature(_)) => true,
            _ => false,
        }
    }
}

/// The block that a delta without one belongs in.
fn kind_of(delta: &Delta) -> BlockKind {
    match delta {
        Delta::Text(_) | Delta::Citation(_) | Delta::Logprobs(_) => BlockKind::Text,
        Delta::Thinking(_) | Delta::Signature(_) => BlockKind::Thinking {
            id: None,
            redacted: false,
        },
        Delta::Arguments(_) => BlockKind::Tool {
            id: None,
            name: "tool".to_owned(),
        },
    }
}

/// Finds the end of a JSON object that comes in pieces.
#[derive(Debug, Default)]
struct JsonEnd {
    depth: u32,
    in_text: bool,
    escaped: bool,
    begun: bool,
}

impl JsonEnd {
    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.escaped {
                self.escaped = false;
                continue;
            }
            match byte {
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' if !self.in_text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    const fn is_whole(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(events: Vec<Event>) -> Vec<Step> {
        let mut sequencer = Sequencer::new(false);
        let mut out = Vec::new();
        for event in events {
            sequencer.take(event, &mut out);
            sequencer.flush(&mut out);
        }
        sequencer.finish(&mut out);
        out
    }

    /// Checks the four promises, independently of how they are kept.
    fn check(steps: &[Step]) -> Result<(), String> {
        let mut open: Option<(usize, BlockKind)> = None;
        let (mut next, mut started, mut over) = (0, false, false);
        for step in steps {
            if over {
                return Err(format!("{step:?} after the end"));
            }
            if !started && !matches!(step, Step::Start { .. } | Step::Failed(_)) {
                return Err(format!("{step:?} before the start"));
            }
            match step {
                Step::Start { .. } if started => return Err("a second start".to_owned()),
                Step::Start { .. } => started = true,
                Step::Open { index, kind } => {
                    if open.is_some() || *index != next {
                        return Err(format!("{step:?} while {open:?} is open"));
                    }
                    next += 1;
                    open = Some((*index, kind.clone()));
                }
                Step::Delta { index, delta } => match &open {
                    Some((at, kind)) if at == index => {
                        let fits = match delta {
                            Delta::Arguments(_) => matches!(kind, BlockKind::Tool { .. }),
                            Delta::Thinking(_) => matches!(kind, BlockKind::Thinking { .. }),
                            Delta::Text(_) => matches!(kind, BlockKind::Text | BlockKind::Refusal),
                            Delta::Citation(_) | Delta::Logprobs(_) => *kind == BlockKind::Text,
                            Delta::Signature(_) => *kind != BlockKind::Refusal,
                        };
                        if !fits {
                            return Err(format!("{delta:?} in {kind:?}"));
                        }
                    }
                    _ => return Err(format!("{step:?} outside of its block")),
                },
                Step::Close { index } => {
                    if open.take().map(|(at, _)| at) != Some(*index) {
                        return Err(format!("{step:?} of a block that is not open"));
                    }
                }
                Step::Ping => {}
                Step::Failed(_) => over = true,
                Step::Finish { .. } => {
                    if open.is_some() {
                        return Err("an end with an open block".to_owned());
                    }
                    over = true;
                }
            }
        }
        if over {
            Ok(())
        } else {
            Err("no end".to_owned())
        }
    }

    fn tool(name: &str) -> BlockKind {
        BlockKind::Tool {
            id: Some(format!("id_{name}")),
            name: name.to_owned(),
        }
    }

    fn arguments(block: u32, text: &str) -> Event {
        Event::Delta {
            block,
            delta: Delta::Arguments(text.to_owned()),
        }
    }

    #[test]
    fn interleaved_calls_come_out_one_after_the_other_and_whole() {
        let steps = run(vec![
            Event::Open {
                block: 1,
                kind: tool("a"),
            },
            Event::Open {
                block: 2,
                kind: tool("b"),
            },
            arguments(1, "{\"x\":"),
            arguments(2, "{\"y\":\"}\\\""),
            arguments(1, "1}"),
            arguments(2, "\"}"),
        ]);
        check(&steps).expect("a legal sequence");
        let mut texts = [String::new(), String::new()];
        for step in &steps {
            if let Step::Delta {
                index,
                delta: Delta::Arguments(text),
            } = step
            {
                texts[*index].push_str(text);
            }
        }
        assert_eq!(texts, ["{\"x\":1}", "{\"y\":\"}\\\"\"}"]);
        assert!(matches!(
            steps.last(),
            Some(Step::Finish {
                stop: Stop::ToolUse,
                ..
            })
        ));
    }

    #[test]
    fn a_start_waits_for_the_usage_of_its_own_frame() {
        let mut sequencer = Sequencer::new(false);
        let mut out = Vec::new();
        sequencer.take(
            Event::Start {
                id: Some("m".to_owned()),
                model: None,
            },
            &mut out,
        );
        sequencer.take(
            Event::Usage(Reading::Reported(Usage {
                input: 7,
                ..Usage::default()
            })),
            &mut out,
        );
        assert!(out.is_empty());
        sequencer.flush(&mut out);
        assert!(matches!(&out[..], [Step::Start { usage: Some(usage), .. }] if usage.input == 7));
    }

    #[test]
    fn structured_output_by_a_forced_tool_is_text() {
        let mut sequencer = Sequencer::new(true);
        let mut out = Vec::new();
        sequencer.take(
            Event::Open {
                block: 0,
                kind: tool(JSON_TOOL),
            },
            &mut out,
        );
        sequencer.take(arguments(0, "{}"), &mut out);
        sequencer.take(Event::Stop(Stop::ToolUse), &mut out);
        sequencer.finish(&mut out);
        check(&out).expect("a legal sequence");
        assert!(out.iter().any(
            |step| matches!(step, Step::Delta { delta: Delta::Text(text), .. } if text == "{}")
        ));
        assert!(matches!(
            out.last(),
            Some(Step::Finish {
                stop: Stop::End,
                ..
            })
        ));
    }

    #[test]
    fn a_call_that_is_cut_off_by_a_failure_is_not_closed() {
        let mut sequencer = Sequencer::new(false);
        let mut out = Vec::new();
        let kind = tool("a");
        sequencer.take(Event::Open { block: 0, kind }, &mut out);
        sequencer.take(arguments(0, "{\"x\":"), &mut out);
        sequencer.take(Event::Failed(Failure::default()), &mut out);
        check(&out).expect("a legal sequence");
        assert!(!out.iter().any(|step| matches!(step, Step::Close { .. })));
    }

    #[test]
    fn a_failure_before_the_start_stands_alone() {
        let mut sequencer = Sequencer::new(false);
        let mut out = Vec::new();
        sequencer.take(Event::Failed(Failure::default()), &mut out);
        sequencer.finish(&mut out);
        assert!(matches!(out[..], [Step::Failed(_)]));
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let text = "[a-z{}\"\\\\ ]{0,4}";
        let kind = prop_oneof![
            Just(BlockKind::Text),
            Just(BlockKind::Refusal),
            Just(BlockKind::Thinking {
                id: None,
                redacted: false
            }),
            Just(tool("a")),
        ];
        let delta = prop_oneof![
            text.prop_map(Delta::Text),
            text.prop_map(Delta::Thinking),
            text.prop_map(Delta::Arguments),
            Just(Delta::Signature(crate::signature::Signature::read(
                "s",
                crate::signature::Origin::Google
            ))),
        ];
        prop_oneof![
            Just(Event::Start {
                id: None,
                model: None
            }),
            (0..4_u32, kind).prop_map(|(block, kind)| Event::Open { block, kind }),
            (0..4_u32, delta).prop_map(|(block, delta)| Event::Delta { block, delta }),
            (0..4_u32).prop_map(|block| Event::Close { block }),
            Just(Event::Stop(Stop::End)),
            Just(Event::Ping),
            Just(Event::Usage(Reading::Reported(Usage {
                output: 3,
                ..Usage::default()
            }))),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_in_a_legal_sequence_comes_out(
            events in prop::collection::vec(any_event(), 0..40),
            fails in any::<bool>(),
        ) {
            let mut events = events;
            if fails {
                events.push(Event::Failed(Failure::default()));
            }
            let steps = run(events);
            prop_assert!(check(&steps).is_ok(), "{:?}: {:?}", check(&steps), steps);
        }

        #[test]
        fn the_text_of_every_block_survives(
            events in prop::collection::vec(any_event(), 0..40),
        ) {
            let sent: usize = events.iter().map(|event| match event {
                Event::Delta { delta: Delta::Text(text) | Delta::Thinking(text), .. } => text.len(),
                _ => 0,
            }).sum();
            let steps = run(events);
            let got: usize = steps.iter().map(|step| match step {
                Step::Delta { delta: Delta::Text(text) | Delta::Thinking(text), .. } => text.len(),
                _ => 0,
            }).sum();
            prop_assert_eq!(sent, got);
        }
    }
}
