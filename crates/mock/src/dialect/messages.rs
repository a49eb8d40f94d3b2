//! Anthropic messages.
//!
//! A stream reports the input side in `message_start` and the whole bill in `message_delta`.
//! Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Block, Draft, with_before};
use crate::dialect::named_event;
use crate::json::{Obj, json_or_text, quote};
use crate::plan::Piece;
use crate::scripted::StopReason;

pub(crate) fn id(draft: &Draft) -> String {
    format!("msg_mock_{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let blocks: Vec<String> = draft
        .blocks
        .iter()
        .zip(0..)
        .map(|(block, at)| full(draft, block, at))
        .collect();
    let usage = draft.bill.reported(|| usage(&draft.bill, At::Whole));
    message(
        draft,
        &blocks.join(","),
        &quote(reason(draft)),
        usage.as_deref(),
    )
}

/// `metrics` is what Bedrock adds to the last event.
pub(crate) fn stream(draft: &Draft, metrics: bool) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(draft.frames());
    let begun = draft.bill.reported(|| usage(&draft.bill, At::Start));
    let begun = message(draft, "", "null", begun.as_deref());
    pieces.push(Piece::lead(event("message_start", |event| {
        event.raw("message", &begun)
    })));
    let mut index = 0;
    for (block, at) in draft.blocks.iter().zip(0..) {
        block_events(draft, block, at, &mut index, &mut pieces);
    }
    let total = draft.bill.reported(|| usage(&draft.bill, At::Delta));
    let delta = Obj::new()
        .str("stop_reason", reason(draft))
        .raw("stop_sequence", &sequence(draft))
        .end();
    let last = event("message_delta", |event| {
        event.raw("delta", &delta).raw_if("usage", total.as_deref())
    });
    pieces.push(Piece::usage(last, total.is_some()));
    let metrics = metrics.then(|| {
        Obj::new()
            .raw("inputTokenCount", &draft.bill.fresh())
            .raw("outputTokenCount", &draft.bill.output())
            .num("invocationLatency", 1)
            .num("firstByteLatency", 1)
            .end()
    });
    pieces.push(Piece::lead(event("message_stop", |event| {
        event.raw_if("amazon-bedrock-invocationMetrics", metrics.as_deref())
    })));
    pieces
}

/// Start, deltas and stop of one block; the vendor's own tools make two.
fn block_events(draft: &Draft, block: &Block, at: u64, index: &mut u64, pieces: &mut Vec<Piece>) {
    let mut open = |block: &str, pieces: &mut Vec<Piece>| {
        pieces.push(block_start(*index, block));
        if *index == 0 {
            pieces.push(Piece::lead(event("ping", |event| event)));
        }
        *index += 1;
        *index - 1
    };
    match block {
        Block::Thinking { frames, signature } => {
            let index = open(&thinking_block("", ""), pieces);
            for thought in frames {
                let delta = delta("thinking_delta", "thinking", thought);
                pieces.push(Piece::lead(block_delta(index, &delta)));
            }
            let signed = delta("signature_delta", "signature", signature);
            pieces.push(Piece::lead(block_delta(index, &signed)));
            pieces.push(block_stop(index));
        }
        Block::Text(frames) | Block::Refusal(frames) => {
            let index = open(&text_block(""), pieces);
            for part in frames {
                let delta = delta("text_delta", "text", part);
                pieces.push(Piece::content(block_delta(index, &delta), part));
            }
            pieces.push(block_stop(index));
        }
        Block::Tool {
            call,
            id,
            name,
            frames,
        } => {
            let index = open(&tool_block(draft, *call, id.as_deref(), name, "{}"), pieces);
            for (before, part) in with_before(frames) {
                let delta = delta("input_json_delta", "partial_json", part);
                let piece = Piece::lead(block_delta(index, &delta));
                pieces.push(piece.arguing(before, part));
            }
            pieces.push(block_stop(index));
        }
        Block::Redacted(data) => {
            let index = open(&redacted_block(data), pieces);
            pieces.push(block_stop(index));
        }
        Block::Server {
            name,
            input,
            result,
        } => {
            let index = open(&server_block(draft, at, name, "{}"), pieces);
            let asked = delta("input_json_delta", "partial_json", input);
            pieces.push(Piece::lead(block_delta(index, &asked)));
            pieces.push(block_stop(index));
            let index = open(&server_result(draft, at, name, result), pieces);
            pieces.push(block_stop(index));
        }
    }
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

fn delta(kind: &str, field: &str, text: &str) -> String {
    Obj::new().str("type", kind).str(field, text).end()
}

fn message(draft: &Draft, blocks: &str, reason: &str, usage: Option<&str>) -> String {
    let sequence = if reason == "null" {
        String::from("null")
    } else {
        sequence(draft)
    };
    Obj::new()
        .str("model", &draft.model)
        .str("id", &id(draft))
        .str("type", "message")
        .str("role", "assistant")
        .raw("content", &format!("[{blocks}]"))
        .raw("stop_reason", reason)
        .raw("stop_sequence", &sequence)
        .raw_if("usage", usage)
        .end()
}

fn sequence(draft: &Draft) -> String {
    let met = draft.stop_sequence.as_deref();
    met.filter(|_| draft.stop == StopReason::StopSequence)
        .map_or_else(|| String::from("null"), quote)
}

/// A whole block; the vendor's own tools make two, joined by a comma.
fn full(draft: &Draft, block: &Block, at: u64) -> String {
    match block {
        Block::Text(frames) | Block::Refusal(frames) => text_block(&frames.concat()),
        Block::Thinking { frames, signature } => thinking_block(&frames.concat(), signature),
        Block::Redacted(data) => redacted_block(data),
        Block::Tool {
            call,
            id,
            name,
            frames,
        } => tool_block(draft, *call, id.as_deref(), name, &frames.concat()),
        Block::Server {
            name,
            input,
            result,
        } => format!(
            "{},{}",
            server_block(draft, at, name, input),
            server_result(draft, at, name, result)
        ),
    }
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

fn redacted_block(data: &str) -> String {
    Obj::new()
        .str("type", "redacted_thinking")
        .str("data", data)
        .end()
}

/// Arguments that are not JSON (a directive's text) travel as a string, or the body would not parse.
fn tool_block(draft: &Draft, call: u64, id: Option<&str>, name: &str, input: &str) -> String {
    let made = draft.call_id("toolu", call);
    Obj::new()
        .str("type", "tool_use")
        .str("id", id.unwrap_or(&made))
        .str("name", name)
        .raw("input", &json_or_text(input))
        .end()
}

fn server_id(draft: &Draft, at: u64) -> String {
    format!("srvtoolu_mock_{}_{at}", draft.n)
}

fn server_block(draft: &Draft, at: u64, name: &str, input: &str) -> String {
    Obj::new()
        .str("type", "server_tool_use")
        .str("id", &server_id(draft, at))
        .str("name", name)
        .raw("input", input)
        .end()
}

fn server_result(draft: &Draft, at: u64, name: &str, result: &str) -> String {
    Obj::new()
        .str("type", &format!("{name}_tool_result"))
        .str("tool_use_id", &server_id(draft, at))
        .raw("content", result)
        .end()
}

fn reason(draft: &Draft) -> &str {
    let usual = match draft.stop {
        StopReason::End => "end_turn",
        StopReason::Length => "max_tokens",
        StopReason::Tool => "tool_use",
        StopReason::Filter | StopReason::Refusal => "refusal",
        StopReason::StopSequence => "stop_sequence",
        StopReason::Pause => "pause_turn",
    };
    draft.finish.as_deref().unwrap_or(usual)
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
