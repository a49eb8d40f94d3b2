//! OpenAI responses.
//!
//! Events are named and numbered; the last one repeats the whole response, with usage. No `[DONE]`.
//! Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Block, Draft, with_before};
use crate::dialect::named_event;
use crate::json::{Obj, quote};
use crate::plan::Piece;
use crate::scripted::StopReason;
use crate::seal::seal;

pub(crate) fn id(draft: &Draft) -> String {
    format!("resp_mock_{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let items: Vec<String> = draft
        .blocks
        .iter()
        .enumerate()
        .map(|(at, block)| Item::new(draft, block, at).json(true))
        .collect();
    let usage = draft.bill.reported(|| usage(&draft.bill));
    response(
        draft,
        final_status(draft),
        &items.join(","),
        usage.as_deref(),
    )
}

pub(crate) fn stream(draft: &Draft) -> Vec<Piece> {
    let mut events = Events {
        pieces: Vec::with_capacity(draft.frames()),
        next: 0,
    };
    let begun = response(draft, "in_progress", "", Some("null"));
    events.lead("response.created", |event| event.raw("response", &begun));
    events.lead("response.in_progress", |event| {
        event.raw("response", &begun)
    });
    for (at, block) in draft.blocks.iter().enumerate() {
        Item::new(draft, block, at).events(&mut events);
    }
    let last = format!("response.{}", final_status(draft));
    let done = events.event(&last, |event| event.raw("response", &whole(draft)));
    events.pieces.push(Piece::usage(
        done,
        draft.bill.reported(String::new).is_some(),
    ));
    events.pieces
}

/// The error event; `sequence` is how many events came before. The reference shows the flat fields,
/// the official SDKs raise on a nested `error`: this has both.
pub(crate) fn error_event(kind: &str, message: &str, sequence: usize) -> String {
    let error = Obj::new()
        .str("type", kind)
        .str("code", kind)
        .str("message", message)
        .raw("param", "null")
        .end();
    let payload = Obj::new()
        .str("type", "error")
        .num(
            "sequence_number",
            u64::try_from(sequence).unwrap_or(u64::MAX),
        )
        .str("code", kind)
        .str("message", message)
        .raw("param", "null")
        .raw("error", &error)
        .end();
    named_event("error", &payload)
}

struct Events {
    pieces: Vec<Piece>,
    next: u64,
}

impl Events {
    fn event(&mut self, name: &str, fields: impl FnOnce(Obj) -> Obj) -> String {
        let event = Obj::new()
            .str("type", name)
            .num("sequence_number", self.next);
        self.next += 1;
        named_event(name, &fields(event).end())
    }

    fn lead(&mut self, name: &str, fields: impl FnOnce(Obj) -> Obj) {
        let event = self.event(name, fields);
        self.pieces.push(Piece::lead(event));
    }

    fn content(&mut self, name: &str, part: &str, fields: impl FnOnce(Obj) -> Obj) {
        let event = self.event(name, fields);
        self.pieces.push(Piece::content(event, part));
    }
}

fn response(draft: &Draft, status: &str, items: &str, usage: Option<&str>) -> String {
    let incomplete = match (status, draft.stop) {
        ("incomplete", StopReason::Filter) => r#"{"reason":"content_filter"}"#,
        ("incomplete", _) => r#"{"reason":"max_output_tokens"}"#,
        _ => "null",
    };
    let error = match status {
        "failed" => r#"{"code":"server_error","message":"The model failed to answer."}"#,
        _ => "null",
    };
    let previous = draft
        .previous
        .as_deref()
        .map_or_else(|| String::from("null"), quote);
    Obj::new()
        .str("id", &id(draft))
        .str("object", "response")
        .num("created_at", draft.created)
        .str("status", status)
        .raw("background", "false")
        .raw("error", error)
        .raw("incomplete_details", incomplete)
        .raw("instructions", "null")
        .raw("max_output_tokens", "null")
        .raw("max_tool_calls", "null")
        .str("model", &draft.model)
        .raw("output", &format!("[{items}]"))
        .raw("parallel_tool_calls", "true")
        .raw("previous_response_id", &previous)
        .raw("prompt_cache_key", "null")
        .raw("reasoning", r#"{"effort":null,"summary":null}"#)
        .raw("safety_identifier", "null")
        .str("service_tier", "default")
        .raw("store", "true")
        .raw("temperature", "1.0")
        .raw("text", r#"{"format":{"type":"text"},"verbosity":"medium"}"#)
        .str("tool_choice", "auto")
        .raw("tools", "[]")
        .num("top_logprobs", 0)
        .raw("top_p", "1.0")
        .str("truncation", "disabled")
        .raw_if("usage", usage)
        .raw("user", "null")
        .raw("metadata", "{}")
        .end()
}

fn final_status(draft: &Draft) -> &str {
    let usual = match draft.stop {
        StopReason::Length | StopReason::Filter => "incomplete",
        StopReason::End
        | StopReason::Tool
        | StopReason::StopSequence
        | StopReason::Refusal
        | StopReason::Pause => "completed",
    };
    draft.finish.as_deref().unwrap_or(usual)
}

/// One output item.
struct Item<'a> {
    draft: &'a Draft,
    block: &'a Block,
    /// Its place in the output.
    at: u64,
    id: String,
    status: &'static str,
}

impl<'a> Item<'a> {
    fn new(draft: &'a Draft, block: &'a Block, at: usize) -> Self {
        let kind = prefix(block);
        let before = draft.blocks.iter().take(at);
        let same = before.filter(|block| prefix(block) == kind).count();
        let is_last = at + 1 == draft.blocks.len();
        Self {
            draft,
            block,
            at: u64::try_from(at).unwrap_or(u64::MAX),
            id: draft.call_id(kind, u64::try_from(same).unwrap_or(u64::MAX)),
            status: if is_last && final_status(draft) != "completed" {
                "incomplete"
            } else {
                "completed"
            },
        }
    }

    /// As it is at first, or as it is in the end.
    fn json(&self, done: bool) -> String {
        let status = if done { self.status } else { "in_progress" };
        let item = Obj::new().str("id", &self.id);
        match self.block {
            Block::Text(_) | Block::Refusal(_) => {
                let content = match (done, self.part()) {
                    (true, Some(part)) => format!("[{}]", part.json(&part.text)),
                    (_, _) => String::from("[]"),
                };
                item.str("type", "message")
                    .str("status", status)
                    .raw("content", &content)
                    .str("role", "assistant")
                    .end()
            }
            Block::Tool {
                call,
                id,
                name,
                frames,
            } => {
                let made = self.draft.call_id("call", *call);
                let arguments = if done { frames.concat() } else { String::new() };
                item.str("type", "function_call")
                    .str("status", status)
                    .str("arguments", &arguments)
                    .str("call_id", id.as_deref().unwrap_or(&made))
                    .str("name", name)
                    .end()
            }
            Block::Thinking { frames, .. } => {
                let thought = frames.concat();
                let summary = (done && self.draft.summary).then(|| summary_part(&thought));
                let summary = format!("[{}]", summary.unwrap_or_default());
                let item = item.str("type", "reasoning").raw("summary", &summary);
                if self.draft.sealed {
                    return item.str("encrypted_content", &seal(&thought)).end();
                }
                item.end()
            }
            Block::Redacted(data) => {
                let item = item.str("type", "reasoning").raw("summary", "[]");
                if self.draft.sealed {
                    return item.str("encrypted_content", data).end();
                }
                item.end()
            }
            Block::Server { name, input, .. } => {
                let item = item.str("type", &format!("{name}_call"));
                item.str("status", status).raw("action", input).end()
            }
        }
    }

    fn part(&self) -> Option<MessagePart> {
        let (kind, field, frames) = match self.block {
            Block::Text(frames) => ("output_text", "text", frames),
            Block::Refusal(frames) => ("refusal", "refusal", frames),
            _ => return None,
        };
        let text = frames.concat();
        Some(MessagePart { kind, field, text })
    }

    fn events(&self, events: &mut Events) {
        let placed = |item: String| {
            let at = self.at;
            move |event: Obj| event.num("output_index", at).raw("item", &item)
        };
        events.lead("response.output_item.added", placed(self.json(false)));
        match self.block {
            Block::Text(frames) | Block::Refusal(frames) => self.text_events(frames, events),
            Block::Tool { name, frames, .. } => self.argument_events(name, frames, events),
            Block::Thinking { frames, .. } if self.draft.summary => {
                self.summary_events(frames, events);
            }
            Block::Thinking { .. } | Block::Redacted(_) => {}
            Block::Server { name, .. } => {
                for state in ["in_progress", "searching", "completed"] {
                    let name = format!("response.{name}_call.{state}");
                    events.lead(&name, |event| self.place(event));
                }
            }
        }
        events.lead("response.output_item.done", placed(self.json(true)));
    }

    fn place(&self, event: Obj) -> Obj {
        event.str("item_id", &self.id).num("output_index", self.at)
    }

    fn text_events(&self, frames: &[String], events: &mut Events) {
        let Some(part) = self.part() else {
            return;
        };
        let (kind, field) = (part.kind, part.field);
        let place = |event: Obj| self.place(event).num("content_index", 0);
        let probable = |event: Obj| match self.block {
            Block::Text(_) => event.raw("logprobs", "[]"),
            _ => event,
        };
        events.lead("response.content_part.added", |event| {
            place(event).raw("part", &part.json(""))
        });
        for text in frames {
            events.content(&format!("response.{kind}.delta"), text, |event| {
                probable(place(event).str("delta", text))
            });
        }
        events.lead(&format!("response.{kind}.done"), |event| {
            probable(place(event).str(field, &part.text))
        });
        events.lead("response.content_part.done", |event| {
            place(event).raw("part", &part.json(&part.text))
        });
    }

    fn argument_events(&self, name: &str, frames: &[String], events: &mut Events) {
        for (before, part) in with_before(frames) {
            let name = "response.function_call_arguments.delta";
            let event = events.event(name, |event| self.place(event).str("delta", part));
            events.pieces.push(Piece::lead(event).arguing(before, part));
        }
        events.lead("response.function_call_arguments.done", |event| {
            self.place(event)
                .str("name", name)
                .str("arguments", &frames.concat())
        });
    }

    fn summary_events(&self, frames: &[String], events: &mut Events) {
        let place = |event: Obj| self.place(event).num("summary_index", 0);
        let thought = frames.concat();
        events.lead("response.reasoning_summary_part.added", |event| {
            place(event).raw("part", &summary_part(""))
        });
        for text in frames {
            events.lead("response.reasoning_summary_text.delta", |event| {
                place(event).str("delta", text)
            });
        }
        events.lead("response.reasoning_summary_text.done", |event| {
            place(event).str("text", &thought)
        });
        events.lead("response.reasoning_summary_part.done", |event| {
            place(event).raw("part", &summary_part(&thought))
        });
    }
}

fn prefix(block: &Block) -> &'static str {
    match block {
        Block::Text(_) | Block::Refusal(_) => "msg",
        Block::Tool { .. } => "fc",
        Block::Thinking { .. } | Block::Redacted(_) => "rs",
        Block::Server { .. } => "ws",
    }
}

/// The one part of a message.
struct MessagePart {
    kind: &'static str,
    field: &'static str,
    text: String,
}

impl MessagePart {
    fn json(&self, text: &str) -> String {
        let part = Obj::new().str("type", self.kind);
        let part = if self.kind == "output_text" {
            part.raw("annotations", "[]").raw("logprobs", "[]")
        } else {
            part
        };
        part.str(self.field, text).end()
    }
}

fn summary_part(text: &str) -> String {
    Obj::new()
        .str("type", "summary_text")
        .str("text", text)
        .end()
}

fn usage(bill: &Bill) -> String {
    let by_time = Obj::new()
        .raw("ttl_30m_tokens", &bill.write_5m())
        .raw("ttl_12h_tokens", &bill.write_1h())
        .end();
    let by_time = (bill.written() > 0).then_some(by_time);
    let input = Obj::new()
        .num("cache_write_tokens", bill.written())
        .raw("cached_tokens", &bill.cached())
        .raw_if("cache_write_tokens_details", by_time.as_deref())
        .end();
    let output = Obj::new().raw("reasoning_tokens", &bill.reasoning()).end();
    Obj::new()
        .raw("input_tokens", &bill.prompt())
        .raw("input_tokens_details", &input)
        .raw("output_tokens", &bill.output())
        .raw("output_tokens_details", &output)
        .raw("total_tokens", &bill.total())
        .end()
}
