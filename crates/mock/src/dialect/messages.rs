//! Anthropic messages.
//!
//! A stream reports the input side in `message_start` and the whole bill in `message_delta`.
//! Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Draft, Stop};
use crate::dialect::named_event;
use crate::json::{Obj, quote};
use crate::plan::Piece;

/// Opaque to callers, and the same every time.
const SIGNATURE: &str = "EqQBCgIYAhIkbW9jay1zaWduYXR1cmUtbm90LWZvci1wcm9kdWN0aW9u";

pub(crate) fn id(draft: &Draft) -> String {
    format!("msg_mock_{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let mut blocks = Vec::new();
    if !draft.thought.is_empty() {
        blocks.push(thinking_block(&draft.thought.concat(), SIGNATURE));
    }
    blocks.push(match &draft.tool {
        Some(tool) => tool_block(draft, tool, &draft.text()),
        None => text_block(&draft.text()),
    });
    let usage = draft.bill.reported(|| usage(&draft.bill, At::Whole));
    message(
        draft,
        &blocks.join(","),
        &quote(reason(draft.stop)),
        usage.as_deref(),
    )
}

pub(crate) fn stream(draft: &Draft) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(draft.parts.len() + draft.thought.len() + 8);
    let begun = draft.bill.reported(|| usage(&draft.bill, At::Start));
    let begun = message(draft, "", "null", begun.as_deref());
    pieces.push(Piece::lead(event("message_start", |event| {
        event.raw("message", &begun)
    })));

    let mut index = 0;
    let ping = || Piece::lead(event("ping", |event| event));
    if !draft.thought.is_empty() {
        pieces.push(block_start(index, &thinking_block("", "")));
        pieces.push(ping());
        for thought in &draft.thought {
            let delta = Obj::new()
                .str("type", "thinking_delta")
                .str("thinking", thought)
                .end();
            pieces.push(Piece::lead(block_delta(index, &delta)));
        }
        let signed = Obj::new()
            .str("type", "signature_delta")
            .str("signature", SIGNATURE)
            .end();
        pieces.push(Piece::lead(block_delta(index, &signed)));
        pieces.push(block_stop(index));
        index += 1;
    }
    let (block, kind, field) = match &draft.tool {
        Some(tool) => (
            tool_block(draft, tool, "{}"),
            "input_json_delta",
            "partial_json",
        ),
        None => (text_block(""), "text_delta", "text"),
    };
    pieces.push(block_start(index, &block));
    if index == 0 {
        pieces.push(ping());
    }
    for part in &draft.parts {
        let delta = Obj::new().str("type", kind).str(field, part).end();
        pieces.push(Piece::content(block_delta(index, &delta), part));
    }
    pieces.push(block_stop(index));

    let total = draft.bill.reported(|| usage(&draft.bill, At::Delta));
    let delta = Obj::new()
        .str("stop_reason", reason(draft.stop))
        .raw("stop_sequence", "null")
        .end();
    let last = event("message_delta", |event| {
        event.raw("delta", &delta).raw_if("usage", total.as_deref())
    });
    pieces.push(Piece::usage(last, total.is_some()));
    pieces.push(Piece::lead(event("message_stop", |event| event)));
    pieces
}

/// The error that Anthropic puts into a stream that has begun.
pub(crate) fn error_event(kind: &str, message: &str, request_id: &str) -> String {
    let error = Obj::new().str("type", kind).str("message", message).end();
    event("error", |event| {
        event.raw("error", &error).str("request_id", request_id)
    })
}

fn event(name: &str, fields: impl FnOnce(Obj) -> Obj) -> String {
    named_event(name, &fields(Obj::new().str("type", name)).end())
}

fn block_start(index: u64, block: &str) -> Piece {
    Piece::lead(event("content_block_start", |event| {
        event.num("index", index).raw("content_block", block)
    }))
}

fn block_delta(index: u64, delta: &str) -> String {
    event("content_block_delta", |event| {
        event.num("index", index).raw("delta", delta)
    })
}

fn block_stop(index: u64) -> Piece {
    Piece::lead(event("content_block_stop", |event| {
        event.num("index", index)
    }))
}

fn message(draft: &Draft, blocks: &str, reason: &str, usage: Option<&str>) -> String {
    Obj::new()
        .str("model", &draft.model)
        .str("id", &id(draft))
        .str("type", "message")
        .str("role", "assistant")
        .raw("content", &format!("[{blocks}]"))
        .raw("stop_reason", reason)
        .raw("stop_sequence", "null")
        .raw_if("usage", usage)
        .end()
}

fn text_block(text: &str) -> String {
    Obj::new().str("type", "text").str("text", text).end()
}

fn thinking_block(thinking: &str, signature: &str) -> String {
    Obj::new()
        .str("type", "thinking")
        .str("thinking", thinking)
        .str("signature", signature)
        .end()
}

/// Arguments that are not JSON (a directive's text) travel as a string, or the body would not parse.
fn tool_block(draft: &Draft, tool: &str, input: &str) -> String {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(input).is_ok();
    let input = if is_json {
        input.to_owned()
    } else {
        quote(input)
    };
    Obj::new()
        .str("type", "tool_use")
        .str("id", &format!("toolu_mock_{}", draft.n))
        .str("name", tool)
        .raw("input", &input)
        .end()
}

fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Tool => "tool_use",
    }
}

/// The start knows the input side only, the `message_delta` has the totals, a whole answer has all.
#[derive(Clone, Copy, Eq, PartialEq)]
enum At {
    Start,
    Delta,
    Whole,
}

fn usage(bill: &Bill, at: At) -> String {
    let mut made = Obj::new()
        .raw("input_tokens", &bill.fresh())
        .num("cache_creation_input_tokens", bill.written())
        .raw("cache_read_input_tokens", &bill.cached());
    if at != At::Delta {
        let split = Obj::new()
            .raw("ephemeral_5m_input_tokens", &bill.write_5m())
            .raw("ephemeral_1h_input_tokens", &bill.write_1h())
            .end();
        made = made.raw("cache_creation", &split);
    }
    made = match at {
        At::Start => made.num("output_tokens", 1),
        At::Delta | At::Whole => made.raw("output_tokens", &bill.output()),
    };
    if at != At::Start && bill.usage.reasoning > 0 {
        let details = Obj::new().raw("thinking_tokens", &bill.reasoning()).end();
        made = made.raw("output_tokens_details", &details);
    }
    if at != At::Delta {
        made = made.str("service_tier", "standard");
    }
    made.end()
}
