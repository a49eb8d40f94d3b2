//! Writes a stream for a caller (providers 17).
//!
//! One item is open at a time. Texts and refusals that follow one another are parts of one message, as the
//! API has them, so that a message ends when something else begins. An item begins with the first thing
//! that it says: a seal that comes first can so stand before it, and what says nothing leaves no item.

use crate::Caller;
use crate::failure;
use crate::ir::{BlockKind, Citation, Delta, Failure};
use crate::json::Obj;
use crate::sequencer::Step;
use crate::signature::Signature;
use crate::stream::StreamWriter;

use super::answer::arguments;
use super::envelope::{self, Envelope, Outcome};
use super::freeform::Freeform;
use super::output::{self, Call, Ids, Status};
use super::tools::Namespaces;
use super::write_seal;

/// Writes a stream.
#[derive(Debug)]
pub struct Writer {
    caller: Caller,
    ids: Ids,
    namespaces: Namespaces,
    envelope: Envelope,
    /// The number of the next event.
    sequence: u64,
    /// Items that are whole.
    items: Vec<String>,
    /// A block that has said nothing yet.
    pending: Option<BlockKind>,
    open: Open,
}

/// The item that is open.
#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    Message(Message),
    Thinking(Thought),
    Call(Calling),
}

#[derive(Debug)]
struct Message {
    id: String,
    /// Parts that are whole.
    parts: Vec<String>,
    part: Option<Part>,
}

#[derive(Debug, Default)]
struct Part {
    refusal: bool,
    text: String,
    annotations: Vec<String>,
    /// Sources that are for the whole text.
    late: Vec<Citation>,
    logprobs: Vec<String>,
}

#[derive(Debug)]
struct Thought {
    id: String,
    redacted: bool,
    text: String,
    seal: Option<Signature>,
}

#[derive(Debug)]
struct Calling {
    call: Call,
    arguments: String,
    freeform: Freeform,
}

impl Writer {
    /// For a caller.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            ids: Ids::of(&caller),
            namespaces: Namespaces::of(envelope::tools_of(&caller)),
            envelope: Envelope::new(None, None, &caller),
            caller,
            sequence: 0,
            items: Vec::new(),
            pending: None,
            open: Open::None,
        }
    }
}

impl StreamWriter for Writer {
    fn step(&mut self, step: Step, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, .. } => {
                self.envelope = Envelope::new(id, None, &self.caller);
                let response = self.envelope.response(Outcome::InProgress, &[], None, None);
                for name in ["response.created", "response.in_progress"] {
                    self.event(name, out, |event| event.raw("response", &response));
                }
            }
            Step::Open { kind, .. } => self.pending = Some(kind),
            Step::Delta { delta, .. } => self.delta(delta, out),
            Step::Close { .. } => self.close(out),
            Step::Ping => out.extend_from_slice(b": ping\n\n"),
            Step::Finish {
                stop,
                usage,
                service_tier,
            } => {
                let outcome = Outcome::of(&stop);
                self.end_message(outcome.of_last_item(), out);
                let response = self.envelope.response(
                    outcome,
                    &self.items,
                    usage.as_ref(),
                    service_tier.as_deref(),
                );
                let name = format!("response.{}", outcome.as_str());
                self.event(&name, out, |event| event.raw("response", &response));
            }
            Step::Failed(failure) => fail(&failure, out),
        }
    }
}

/// The one frame that ends a stream which broke (data-plane 17.4). It has no number: its form is fixed.
fn fail(failure: &Failure, out: &mut Vec<u8>) {
    let data = Obj::new()
        .str("type", "error")
        .raw("error", &failure::stream_object(failure))
        .end();
    frame("error", &data, out);
}

/// JSON that is carried as it was written may have line ends between its tokens; in a frame they would end
/// the line.
fn frame(name: &str, data: &str, out: &mut Vec<u8>) {
    let data = data.replace(['\n', '\r'], " ");
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

impl Writer {
    fn event(&mut self, name: &str, out: &mut Vec<u8>, fields: impl FnOnce(Obj) -> Obj) {
        let event = Obj::new()
            .str("type", name)
            .num("sequence_number", self.sequence);
        self.sequence += 1;
        frame(name, &fields(event).end(), out);
    }

    /// An event about the open item.
    fn item_event(
        &mut self,
        name: &str,
        id: &str,
        out: &mut Vec<u8>,
        fields: impl FnOnce(Obj) -> Obj,
    ) {
        let index = self.items.len();
        self.event(name, out, |event| {
            fields(event.str("item_id", id).num("output_index", index))
        });
    }

    fn added(&mut self, item: &str, out: &mut Vec<u8>) {
        let index = self.items.len();
        self.event("response.output_item.added", out, |event| {
            event.num("output_index", index).raw("item", item)
        });
    }

    fn done(&mut self, item: String, out: &mut Vec<u8>) {
        let index = self.items.len();
        self.event("response.output_item.done", out, |event| {
            event.num("output_index", index).raw("item", &item)
        });
        self.items.push(item);
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Signature(seal) => self.seal(seal, out),
            // Only what says something begins an item.
            Delta::Text(text) if text.is_empty() => {}
            Delta::Text(text) => {
                self.begin(out);
                self.text(&text, Vec::new(), out);
            }
            Delta::Logprobs(logprobs) => {
                self.begin(out);
                self.text("", output::logprob_entries(&logprobs), out);
            }
            Delta::Citation(citation) => {
                self.begin(out);
                self.cite(citation, out);
            }
            Delta::Thinking(text) => {
                self.begin(out);
                self.think(&text, out);
            }
            Delta::Arguments(piece) => {
                self.begin(out);
                self.arguments(&piece, out);
            }
        }
    }

    /// Lets a block that was pending begin.
    fn begin(&mut self, out: &mut Vec<u8>) {
        match self.pending.take() {
            None => {}
            Some(BlockKind::Text) => self.begin_part(false, out),
            Some(BlockKind::Refusal) => self.begin_part(true, out),
            Some(BlockKind::Thinking { id, redacted }) => self.begin_thought(id, redacted, out),
            Some(BlockKind::Tool { id, name }) => self.begin_call(id, &name, out),
        }
    }

    fn begin_part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Message(_)) {
            let id = self.ids.item("msg", self.items.len());
            self.added(&output::message(&id, Status::InProgress, &[]), out);
            self.open = Open::Message(Message {
                id,
                parts: Vec::new(),
                part: None,
            });
        }
        let Open::Message(message) = &mut self.open else {
            return;
        };
        let part = Part {
            refusal,
            ..Part::default()
        };
        let (id, index, json) = (message.id.clone(), message.parts.len(), part.json());
        message.part = Some(part);
        self.item_event("response.content_part.added", &id, out, |event| {
            event.num("content_index", index).raw("part", &json)
        });
    }

    fn text(&mut self, text: &str, logprobs: Vec<String>, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else {
            return;
        };
        let (id, index) = (message.id.clone(), message.parts.len());
        let Some(part) = &mut message.part else {
            return;
        };
        part.text.push_str(text);
        part.logprobs.extend(logprobs.iter().cloned());
        if part.refusal {
            self.item_event("response.refusal.delta", &id, out, |event| {
                event.num("content_index", index).str("delta", text)
            });
        } else {
            self.item_event("response.output_text.delta", &id, out, |event| {
                event
                    .num("content_index", index)
                    .str("delta", text)
                    .list("logprobs", logprobs)
            });
        }
    }

    fn cite(&mut self, citation: Citation, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else {
            return;
        };
        let (id, index) = (message.id.clone(), message.parts.len());
        let Some(part) = &mut message.part else {
            return;
        };
        // Where it stands in the text is known when the text is whole.
        if citation.span.is_none() {
            part.late.push(citation);
            return;
        }
        let Some(annotation) = output::annotation(&citation, 0) else {
            return;
        };
        let number = part.annotations.len();
        part.annotations.push(annotation.clone());
        self.annotated(&id, index, number, &annotation, out);
    }

    fn annotated(
        &mut self,
        id: &str,
        part: usize,
        number: usize,
        annotation: &str,
        out: &mut Vec<u8>,
    ) {
        self.item_event("response.output_text.annotation.added", id, out, |event| {
            event
                .num("content_index", part)
                .num("annotation_index", number)
                .raw("annotation", annotation)
        });
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else {
            return;
        };
        let Some(mut part) = message.part.take() else {
            return;
        };
        let (id, index) = (message.id.clone(), message.parts.len());
        let length = part.text.chars().count();
        for citation in std::mem::take(&mut part.late) {
            if let Some(annotation) = output::annotation(&citation, length) {
                let number = part.annotations.len();
                self.annotated(&id, index, number, &annotation, out);
                part.annotations.push(annotation);
            }
        }
        let json = part.json();
        if part.refusal {
            self.item_event("response.refusal.done", &id, out, |event| {
                event.num("content_index", index).str("refusal", &part.text)
            });
        } else {
            self.item_event("response.output_text.done", &id, out, |event| {
                event
                    .num("content_index", index)
                    .str("text", &part.text)
                    .list("logprobs", part.logprobs)
            });
        }
        self.item_event("response.content_part.done", &id, out, |event| {
            event.num("content_index", index).raw("part", &json)
        });
        if let Open::Message(message) = &mut self.open {
            message.parts.push(json);
        }
    }

    /// Ends the message, when one is open.
    fn end_message(&mut self, status: Status, out: &mut Vec<u8>) {
        match std::mem::take(&mut self.open) {
            Open::Message(message) => {
                self.done(output::message(&message.id, status, &message.parts), out);
            }
            other => self.open = other,
        }
    }

    fn begin_thought(&mut self, id: Option<String>, redacted: bool, out: &mut Vec<u8>) {
        self.end_message(Status::Completed, out);
        let id = id.unwrap_or_else(|| self.ids.item("rs", self.items.len()));
        self.added(&output::reasoning(&id, "", None), out);
        self.open = Open::Thinking(Thought {
            id,
            redacted,
            text: String::new(),
            seal: None,
        });
    }

    fn think(&mut self, text: &str, out: &mut Vec<u8>) {
        let Open::Thinking(thought) = &mut self.open else {
            return;
        };
        let (id, first) = (thought.id.clone(), thought.text.is_empty());
        thought.text.push_str(text);
        if text.is_empty() {
            return;
        }
        if first {
            self.item_event("response.reasoning_summary_part.added", &id, out, |event| {
                let part = output::summary_part("");
                event.num("summary_index", 0).raw("part", &part)
            });
        }
        self.item_event("response.reasoning_summary_text.delta", &id, out, |event| {
            event.num("summary_index", 0).str("delta", text)
        });
    }

    /// A seal on thinking is told when the item is done. One on a text or a call stands before it, as
    /// thinking without a text; when the block has begun it is too late for that.
    fn seal(&mut self, seal: Signature, out: &mut Vec<u8>) {
        match &self.pending {
            Some(BlockKind::Thinking { .. }) => self.begin(out),
            Some(_) => {
                self.begin_thought(None, false, out);
                if let Open::Thinking(thought) = &mut self.open {
                    thought.seal = Some(seal);
                }
                self.end_thought(out);
                return;
            }
            None => {}
        }
        if let Open::Thinking(thought) = &mut self.open {
            thought.seal = Some(seal);
        }
    }

    fn end_thought(&mut self, out: &mut Vec<u8>) {
        let Open::Thinking(thought) = std::mem::take(&mut self.open) else {
            return;
        };
        let Thought {
            id,
            redacted,
            text,
            seal,
        } = thought;
        if !text.is_empty() {
            self.item_event("response.reasoning_summary_text.done", &id, out, |event| {
                event.num("summary_index", 0).str("text", &text)
            });
            self.item_event("response.reasoning_summary_part.done", &id, out, |event| {
                let part = output::summary_part(&text);
                event.num("summary_index", 0).raw("part", &part)
            });
        }
        let seal = seal.map(|seal| write_seal(&seal, redacted));
        self.done(output::reasoning(&id, &text, seal.as_deref()), out);
    }

    fn begin_call(&mut self, call_id: Option<String>, name: &str, out: &mut Vec<u8>) {
        self.end_message(Status::Completed, out);
        let index = self.items.len();
        let freeform = self.caller.freeform_tools.iter().any(|own| own == name);
        let (namespace, name) = self.namespaces.split(name);
        let call = Call {
            id: self.ids.item(if freeform { "ctc" } else { "fc" }, index),
            call_id: call_id
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| self.ids.call(index)),
            name: name.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            freeform,
        };
        self.added(&call.item(Status::InProgress, ""), out);
        self.open = Open::Call(Calling {
            call,
            arguments: String::new(),
            freeform: Freeform::default(),
        });
    }

    fn arguments(&mut self, piece: &str, out: &mut Vec<u8>) {
        let Open::Call(calling) = &mut self.open else {
            return;
        };
        let id = calling.call.id.clone();
        let (name, delta) = if calling.call.freeform {
            let text = calling.freeform.push(piece);
            ("response.custom_tool_call_input.delta", text)
        } else {
            calling.arguments.push_str(piece);
            let name = "response.function_call_arguments.delta";
            (name, piece.to_owned())
        };
        if !delta.is_empty() {
            self.item_event(name, &id, out, |event| event.str("delta", &delta));
        }
    }

    fn end_call(&mut self, out: &mut Vec<u8>) {
        let Open::Call(mut calling) = std::mem::take(&mut self.open) else {
            return;
        };
        let Calling { call, .. } = &calling;
        let (call, id) = (call.clone(), call.id.clone());
        if call.freeform {
            let rest = calling.freeform.finish();
            if !rest.is_empty() {
                self.item_event("response.custom_tool_call_input.delta", &id, out, |event| {
                    event.str("delta", &rest)
                });
            }
            let text = calling.freeform.text().to_owned();
            self.item_event("response.custom_tool_call_input.done", &id, out, |event| {
                event.str("input", &text)
            });
            self.done(call.item(Status::Completed, &text), out);
            return;
        }
        let whole = arguments(&calling.arguments);
        if calling.arguments.trim().is_empty() {
            // Accumulators add up the deltas: they must come to what is said to be whole.
            self.item_event(
                "response.function_call_arguments.delta",
                &id,
                out,
                |event| event.str("delta", &whole),
            );
        }
        self.item_event("response.function_call_arguments.done", &id, out, |event| {
            event.str("name", &call.name).str("arguments", &whole)
        });
        self.done(call.item(Status::Completed, &whole), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self.pending {
            // A call says something by being one.
            Some(BlockKind::Tool { .. }) => self.begin(out),
            Some(_) => {
                self.pending = None;
                return;
            }
            None => {}
        }
        self.end_part(out);
        self.end_thought_or_call(out);
    }

    fn end_thought_or_call(&mut self, out: &mut Vec<u8>) {
        match self.open {
            Open::Thinking(_) => self.end_thought(out),
            Open::Call(_) => self.end_call(out),
            Open::Message(_) | Open::None => {}
        }
    }
}

impl Part {
    fn json(&self) -> String {
        if self.refusal {
            output::refusal_part(&self.text)
        } else {
            output::text_part(&self.text, &self.annotations, &self.logprobs)
        }
    }
}
