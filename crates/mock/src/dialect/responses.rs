//! OpenAI responses.
//!
//! Events are named and numbered; the last one repeats the whole response, with usage. No `[DONE]`.
//! Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Draft, Stop};
use crate::dialect::named_event;
use crate::json::Obj;
use crate::plan::Piece;

pub(crate) fn id(draft: &Draft) -> String {
    format!("resp_mock_{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let mut items = Vec::new();
    if !draft.thought.is_empty() {
        items.push(reasoning_item(draft));
    }
    items.push(item(draft, true));
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
        pieces: Vec::with_capacity(draft.parts.len() + 10),
        next: 0,
    };
    let begun = response(draft, "in_progress", "", Some("null"));
    events.lead("response.created", |event| event.raw("response", &begun));
    events.lead("response.in_progress", |event| {
        event.raw("response", &begun)
    });
    let mut at = 0;
    if !draft.thought.is_empty() {
        let thought = reasoning_item(draft);
        let placed = |event: Obj| event.num("output_index", 0).raw("item", &thought);
        events.lead("response.output_item.added", placed);
        events.lead("response.output_item.done", placed);
        at = 1;
    }
    let (empty, full) = (item(draft, false), item(draft, true));
    events.lead("response.output_item.added", |event| {
        event.num("output_index", at).raw("item", &empty)
    });
    match &draft.tool {
        None => text_events(draft, at, &mut events),
        Some(tool) => argument_events(draft, tool, at, &mut events),
    }
    events.lead("response.output_item.done", |event| {
        event.num("output_index", at).raw("item", &full)
    });
    let last = if draft.stop == Stop::Length {
        "response.incomplete"
    } else {
        "response.completed"
    };
    let done = events.event(last, |event| event.raw("response", &whole(draft)));
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

fn text_events(draft: &Draft, at: u64, events: &mut Events) {
    let item = item_id(draft);
    let place = |event: Obj| {
        event
            .str("item_id", &item)
            .num("output_index", at)
            .num("content_index", 0)
    };
    events.lead("response.content_part.added", |event| {
        place(event).raw("part", &part(""))
    });
    for text in &draft.parts {
        events.content("response.output_text.delta", text, |event| {
            place(event).str("delta", text).raw("logprobs", "[]")
        });
    }
    let text = draft.text();
    events.lead("response.output_text.done", |event| {
        place(event).str("text", &text).raw("logprobs", "[]")
    });
    events.lead("response.content_part.done", |event| {
        place(event).raw("part", &part(&text))
    });
}

fn argument_events(draft: &Draft, tool: &str, at: u64, events: &mut Events) {
    let item = item_id(draft);
    let place = |event: Obj| event.str("item_id", &item).num("output_index", at);
    for text in &draft.parts {
        events.content("response.function_call_arguments.delta", text, |event| {
            place(event).str("delta", text)
        });
    }
    events.lead("response.function_call_arguments.done", |event| {
        place(event)
            .str("name", tool)
            .str("arguments", &draft.text())
    });
}

fn response(draft: &Draft, status: &str, items: &str, usage: Option<&str>) -> String {
    let incomplete = match status {
        "incomplete" => r#"{"reason":"max_output_tokens"}"#,
        _ => "null",
    };
    Obj::new()
        .str("id", &id(draft))
        .str("object", "response")
        .num("created_at", draft.created)
        .str("status", status)
        .raw("background", "false")
        .raw("error", "null")
        .raw("incomplete_details", incomplete)
        .raw("instructions", "null")
        .raw("max_output_tokens", "null")
        .raw("max_tool_calls", "null")
        .str("model", &draft.model)
        .raw("output", &format!("[{items}]"))
        .raw("parallel_tool_calls", "true")
        .raw("previous_response_id", "null")
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

fn final_status(draft: &Draft) -> &'static str {
    match draft.stop {
        Stop::Length => "incomplete",
        Stop::End | Stop::Tool => "completed",
    }
}

fn item_id(draft: &Draft) -> String {
    let kind = if draft.tool.is_some() { "fc" } else { "msg" };
    format!("{kind}_mock_{}", draft.n)
}

fn item(draft: &Draft, done: bool) -> String {
    let status = if done {
        final_status(draft)
    } else {
        "in_progress"
    };
    let item = Obj::new().str("id", &item_id(draft));
    let Some(tool) = &draft.tool else {
        let content = if done {
            format!("[{}]", part(&draft.text()))
        } else {
            String::from("[]")
        };
        return item
            .str("type", "message")
            .str("status", status)
            .raw("content", &content)
            .str("role", "assistant")
            .end();
    };
    item.str("type", "function_call")
        .str("status", status)
        .str(
            "arguments",
            &if done { draft.text() } else { String::new() },
        )
        .str("call_id", &format!("call_mock_{}", draft.n))
        .str("name", tool)
        .end()
}

fn part(text: &str) -> String {
    Obj::new()
        .str("type", "output_text")
        .raw("annotations", "[]")
        .raw("logprobs", "[]")
        .str("text", text)
        .end()
}

/// Reasoning without a summary: the vendor keeps the text to itself.
fn reasoning_item(draft: &Draft) -> String {
    Obj::new()
        .str("id", &format!("rs_mock_{}", draft.n))
        .str("type", "reasoning")
        .raw("summary", "[]")
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
