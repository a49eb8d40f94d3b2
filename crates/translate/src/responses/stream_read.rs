//! Reads a provider's stream.
//!
//! Servers that imitate the API leave events out or send them in another order. What a `.done` event or
//! the final Response has that no delta told is told then. Start at [`Reader::frame`].

use serde_json::value::RawValue;

use crate::ir::{BlockKind, Delta, Event, Stop};
use crate::json::{self, Object};
use crate::stream::StreamReader;

use super::answer::{entries, incomplete_stop, read_usage, thinking, whole_stop};
use super::items::citation;
use super::output::logprobs_as_chat;

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader {
    slots: Vec<Slot>,
    /// Places of items that were seen.
    items: Vec<String>,
    /// A call was seen.
    calls: bool,
    over: bool,
}

/// A block, as far as it was told.
#[derive(Debug)]
struct Slot {
    /// The item's place.
    place: String,
    /// The part in the item.
    part: u64,
    kind: Kind,
    key: u32,
    open: bool,
    /// Something of its text or arguments was told.
    told: bool,
    closed: bool,
    /// How many sources were told.
    cited: usize,
    /// The number of the last part of a summary.
    section: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thinking,
    Call,
    Custom,
}

/// One event of the stream.
struct Frame<'a> {
    object: Object<'a>,
    /// Where its item stands.
    place: String,
    /// The part in the item.
    part: u64,
}

impl<'a> Frame<'a> {
    fn new(mut object: Object<'a>) -> Self {
        let place = match object.get("output_index") {
            Some(index) => index.get().trim_matches('"').to_owned(),
            None => text(&mut object, "item_id").unwrap_or_default(),
        };
        let part = number(&object, "content_index");
        Self {
            object,
            place,
            part,
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        text(&mut self.object, key)
    }
}

fn text(object: &mut Object<'_>, key: &str) -> Option<String> {
    object.take(key).and_then(json::text)
}

fn number(object: &Object<'_>, key: &str) -> u64 {
    let raw = object.get(key).map(RawValue::get).unwrap_or_default();
    raw.trim_matches('"').parse().unwrap_or(0)
}

impl StreamReader for Reader {
    fn frame(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<Event>) {
        let Ok(mut object) = Object::of_body(data) else {
            return;
        };
        if self.over {
            return;
        }
        let kind = text(&mut object, "type").or_else(|| name.map(ToOwned::to_owned));
        let kind = kind.unwrap_or_default();
        match kind.strip_prefix("response.").unwrap_or(&kind) {
            "created" | "in_progress" | "queued" => start(object.take("response"), out),
            "completed" | "incomplete" | "done" => self.end_with(object.take("response"), out),
            "failed" | "cancelled" => {
                self.over = true;
                let response = object.take("response");
                start(response, out);
                let error = response
                    .and_then(|raw| Object::read(raw, "response").ok())
                    .and_then(|mut response| response.take("error"));
                out.push(Event::Failed(crate::failure::of_response(error)));
            }
            "error" => {
                self.over = true;
                out.push(Event::Failed(crate::failure::of_event(data)));
            }
            "keepalive" | "ping" => out.push(Event::Ping),
            event => self.item_event(event, Frame::new(object), out),
        }
    }

    fn end(&mut self, _out: &mut Vec<Event>) {
        // Only the final event says that the answer is whole.
    }
}

fn start(response: Option<&RawValue>, out: &mut Vec<Event>) {
    let Some(mut response) = response.and_then(|raw| Object::read(raw, "response").ok()) else {
        return;
    };
    out.push(Event::Start {
        id: text(&mut response, "id"),
        model: text(&mut response, "model"),
    });
}

impl Reader {
    fn item_event(&mut self, event: &str, mut frame: Frame<'_>, out: &mut Vec<Event>) {
        match event {
            "output_item.added" => {
                if let Some(item) = frame.object.take("item") {
                    self.added(&frame.place, item, out);
                }
            }
            "output_item.done" => {
                if let Some(item) = frame.object.take("item") {
                    self.item_done(&frame.place, item, out);
                }
            }
            "output_text.delta" => {
                let logprobs = frame.object.take("logprobs");
                let delta = frame.text("delta").unwrap_or_default();
                self.tell(&frame, Kind::Text, Delta::Text(delta), out);
                if let Some(logprobs) = logprobs_as_chat(entries(logprobs)) {
                    self.tell(&frame, Kind::Text, Delta::Logprobs(logprobs), out);
                }
            }
            "output_text.annotation.added" => {
                if let Some(annotation) = frame.object.take("annotation") {
                    self.cite(&frame, annotation, out);
                }
            }
            "output_text.done" => {
                let whole = frame.text("text").unwrap_or_default();
                self.tell_missing(&frame, Kind::Text, whole, out);
            }
            "refusal.delta" => {
                let delta = frame.text("delta").unwrap_or_default();
                self.tell(&frame, Kind::Refusal, Delta::Text(delta), out);
            }
            "refusal.done" => {
                let whole = frame.text("refusal").unwrap_or_default();
                self.tell_missing(&frame, Kind::Refusal, whole, out);
            }
            "content_part.done" => {
                if let Some(part) = frame.object.take("part") {
                    self.part_done(&frame, part, out);
                }
            }
            "reasoning_summary_text.delta" => self.think(frame, "summary_index", out),
            "reasoning_text.delta" => self.think(frame, "content_index", out),
            "function_call_arguments.delta" => {
                let delta = frame.text("delta").unwrap_or_default();
                frame.part = 0;
                self.tell(&frame, Kind::Call, Delta::Arguments(delta), out);
            }
            "function_call_arguments.done" => {
                let whole = frame.text("arguments").unwrap_or_default();
                frame.part = 0;
                self.tell_missing(&frame, Kind::Call, whole, out);
            }
            "custom_tool_call_input.delta" => {
                let delta = frame.text("delta").unwrap_or_default();
                frame.part = 0;
                self.tell_custom(&frame, &delta, out);
            }
            "custom_tool_call_input.done" => {
                let whole = frame.text("input").unwrap_or_default();
                frame.part = 0;
                self.tell_missing(&frame, Kind::Custom, whole, out);
            }
            _ => {}
        }
    }

    /// The slot of a block, made when there is none.
    fn slot(&mut self, place: &str, part: u64, kind: Kind) -> Option<&mut Slot> {
        let found = self
            .slots
            .iter()
            .rposition(|slot| slot.kind == kind && slot.part == part && slot.place == place);
        let at = match found {
            Some(at) => at,
            None => {
                let key = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot {
                    place: place.to_owned(),
                    part,
                    kind,
                    key,
                    open: false,
                    told: false,
                    closed: false,
                    cited: 0,
                    section: 0,
                });
                self.slots.len() - 1
            }
        };
        self.slots.get_mut(at)
    }

    fn see(&mut self, place: &str) {
        if self.items.last().is_none_or(|last| last != place) {
            self.items.push(place.to_owned());
        }
    }

    fn tell(&mut self, frame: &Frame<'_>, kind: Kind, delta: Delta, out: &mut Vec<Event>) {
        self.see(&frame.place);
        self.calls |= kind == Kind::Call;
        let Some(slot) = self.slot(&frame.place, frame.part, kind) else {
            return;
        };
        slot.tell(delta, out);
    }

    /// What a `.done` event repeats, when no delta had told it.
    fn tell_missing(&mut self, frame: &Frame<'_>, kind: Kind, whole: String, out: &mut Vec<Event>) {
        let Some(slot) = self.slot(&frame.place, frame.part, kind) else {
            return;
        };
        if slot.told || slot.closed || whole.is_empty() {
            return;
        }
        match kind {
            Kind::Custom => self.tell_custom(frame, &whole, out),
            Kind::Call => self.tell(frame, kind, Delta::Arguments(whole), out),
            Kind::Thinking => self.tell(frame, kind, Delta::Thinking(whole), out),
            Kind::Text | Kind::Refusal => self.tell(frame, kind, Delta::Text(whole), out),
        }
    }

    /// The text of a free-form call, as the one argument that it is elsewhere.
    fn tell_custom(&mut self, frame: &Frame<'_>, piece: &str, out: &mut Vec<Event>) {
        self.see(&frame.place);
        self.calls = true;
        let Some(slot) = self.slot(&frame.place, frame.part, Kind::Custom) else {
            return;
        };
        let mut json = String::new();
        json::quote(piece, &mut json);
        let inner = json
            .get(1..json.len().saturating_sub(1))
            .unwrap_or_default();
        let lead = if slot.told { "" } else { "{\"input\":\"" };
        slot.tell(Delta::Arguments(format!("{lead}{inner}")), out);
    }

    fn think(&mut self, mut frame: Frame<'_>, index: &str, out: &mut Vec<Event>) {
        let section = number(&frame.object, index);
        let id = text(&mut frame.object, "item_id");
        let mut delta = frame.text("delta").unwrap_or_default();
        self.see(&frame.place);
        let Some(slot) = self.slot(&frame.place, 0, Kind::Thinking) else {
            return;
        };
        if slot.told && slot.section != section {
            delta.insert_str(0, "\n\n");
        }
        slot.section = section;
        slot.open_thinking(id, false, out);
        slot.tell(Delta::Thinking(delta), out);
    }

    fn cite(&mut self, frame: &Frame<'_>, annotation: &RawValue, out: &mut Vec<Event>) {
        self.see(&frame.place);
        let Some(slot) = self.slot(&frame.place, frame.part, Kind::Text) else {
            return;
        };
        slot.cited += 1;
        if let Some(citation) = citation(annotation) {
            slot.tell(Delta::Citation(citation), out);
        }
    }

    fn added(&mut self, place: &str, item: &RawValue, out: &mut Vec<Event>) {
        let Ok(mut item) = Object::read(item, "item") else {
            return;
        };
        self.see(place);
        let kind = match text(&mut item, "type").as_deref() {
            Some("function_call") => Kind::Call,
            Some("custom_tool_call") => Kind::Custom,
            // The others open with what they say.
            _ => return,
        };
        self.open_call(place, kind, &mut item, out);
    }

    fn open_call(&mut self, place: &str, kind: Kind, item: &mut Object<'_>, out: &mut Vec<Event>) {
        self.calls = true;
        let Some(slot) = self.slot(place, 0, kind) else {
            return;
        };
        let id = text(item, "call_id").or_else(|| text(item, "id"));
        let name = text(item, "name").unwrap_or_default();
        slot.open(BlockKind::Tool { id, name }, out);
    }

    /// An item is whole: what was not told of it is told, and its blocks close.
    fn item_done(&mut self, place: &str, raw: &RawValue, out: &mut Vec<Event>) {
        let Ok(mut item) = Object::read(raw, "item") else {
            return;
        };
        self.see(place);
        let frame = |part| Frame {
            object: Object::default(),
            place: place.to_owned(),
            part,
        };
        match text(&mut item, "type").unwrap_or_default().as_str() {
            "message" => {
                let content = item
                    .take("content")
                    .and_then(|raw| json::list(raw, "content").ok());
                for (part, raw) in (0..).zip(content.unwrap_or_default()) {
                    self.part_done(&frame(part), raw, out);
                }
            }
            "function_call" => {
                let whole = item.take("arguments").map(super::read::text_or_json);
                self.open_call(place, Kind::Call, &mut item, out);
                self.tell_missing(&frame(0), Kind::Call, whole.unwrap_or_default(), out);
            }
            "custom_tool_call" => {
                let whole = text(&mut item, "input").unwrap_or_default();
                self.open_call(place, Kind::Custom, &mut item, out);
                self.tell_missing(&frame(0), Kind::Custom, whole, out);
            }
            "reasoning" => self.thinking_done(place, &mut item, out),
            _ => {}
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.place == place) {
            slot.close(out);
        }
    }

    fn thinking_done(&mut self, place: &str, item: &mut Object<'_>, out: &mut Vec<Event>) {
        let Some(whole) = thinking(item) else {
            return;
        };
        let Some(slot) = self.slot(place, 0, Kind::Thinking) else {
            return;
        };
        if slot.closed {
            return;
        }
        slot.open_thinking(whole.id, whole.redacted, out);
        if !slot.told && !whole.text.is_empty() {
            slot.tell(Delta::Thinking(whole.text), out);
        }
        if let Some(seal) = whole.signature {
            slot.tell(Delta::Signature(seal), out);
        }
    }

    fn part_done(&mut self, frame: &Frame<'_>, raw: &RawValue, out: &mut Vec<Event>) {
        let Ok(mut part) = Object::read(raw, "part") else {
            return;
        };
        if let Some(refusal) = text(&mut part, "refusal") {
            self.tell_missing(frame, Kind::Refusal, refusal, out);
            return;
        }
        if text(&mut part, "type").as_deref() == Some("reasoning_text") {
            return;
        }
        let Some(whole) = text(&mut part, "text") else {
            return;
        };
        self.tell_missing(frame, Kind::Text, whole, out);
        let annotations = part.take("annotations");
        let annotations = annotations.and_then(|raw| json::list(raw, "annotations").ok());
        let Some(slot) = self.slot(&frame.place, frame.part, Kind::Text) else {
            return;
        };
        let told = slot.cited;
        for annotation in annotations.unwrap_or_default().into_iter().skip(told) {
            self.cite(frame, annotation, out);
        }
    }

    /// The final event.
    fn end_with(&mut self, response: Option<&RawValue>, out: &mut Vec<Event>) {
        self.over = true;
        start(response, out);
        let response = response.and_then(|raw| Object::read(raw, "response").ok());
        let mut response = response.unwrap_or_default();
        let output = response
            .take("output")
            .and_then(|raw| json::list(raw, "output").ok());
        for (index, item) in output.unwrap_or_default().into_iter().enumerate() {
            let place = index.to_string();
            if !self.items.contains(&place) && !self.knows(item) {
                self.item_done(&place, item, out);
            }
        }
        out.extend(response.get("usage").and_then(read_usage).map(Event::Usage));
        out.extend(text(&mut response, "service_tier").map(Event::Tier));
        let details = response.take("incomplete_details");
        let cut = text(&mut response, "status").as_deref() == Some("incomplete");
        let stop: Stop = if cut || details.is_some() {
            incomplete_stop(details)
        } else {
            whole_stop(self.calls)
        };
        out.push(Event::Stop(stop));
        out.push(Event::End);
    }

    /// Whether an item was seen under its id.
    fn knows(&self, item: &RawValue) -> bool {
        let id = Object::read(item, "item").ok();
        let id = id.and_then(|mut item| text(&mut item, "id"));
        id.is_some_and(|id| self.items.contains(&id))
    }
}

impl Slot {
    fn open(&mut self, kind: BlockKind, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.open, true) {
            out.push(Event::Open {
                block: self.key,
                kind,
            });
        }
    }

    fn open_thinking(&mut self, id: Option<String>, redacted: bool, out: &mut Vec<Event>) {
        self.open(BlockKind::Thinking { id, redacted }, out);
    }

    fn tell(&mut self, delta: Delta, out: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        let empty = match &delta {
            Delta::Text(text) | Delta::Thinking(text) | Delta::Arguments(text) => text.is_empty(),
            Delta::Signature(_) | Delta::Citation(_) | Delta::Logprobs(_) => false,
        };
        if empty {
            return;
        }
        self.told |= matches!(
            delta,
            Delta::Text(_) | Delta::Thinking(_) | Delta::Arguments(_)
        );
        let kind = match self.kind {
            Kind::Text => BlockKind::Text,
            Kind::Refusal => BlockKind::Refusal,
            Kind::Thinking => BlockKind::Thinking {
                id: None,
                redacted: false,
            },
            Kind::Call | Kind::Custom => BlockKind::Tool {
                id: None,
                name: "tool".to_owned(),
            },
        };
        self.open(kind, out);
        out.push(Event::Delta {
            block: self.key,
            delta,
        });
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.closed, true) || !self.open {
            return;
        }
        if self.kind == Kind::Custom {
            let rest = if self.told { "\"}" } else { "{\"input\":\"\"}" };
            out.push(Event::Delta {
                block: self.key,
                delta: Delta::Arguments(rest.to_owned()),
            });
        }
        out.push(Event::Close { block: self.key });
    }
}
