//! Bedrock Converse, and the frames of Bedrock's streams.
//!
//! Usage comes behind the stop reason. Text blocks open without a start event, tool blocks with
//! one. Start at [`whole`] and [`stream`].

use data_encoding::BASE64;

use crate::answer::{Bill, Block, Draft, with_before};
use crate::frame::Frame;
use crate::json::{Obj, json_or_text};
use crate::plan::Piece;
use crate::scripted::StopReason;

/// The vendor pads its frames, against those who measure them.
const PADDING: &str = "abcdefghijkl";
const METRICS: &str = r#"{"latencyMs":1}"#;

pub(crate) fn whole(draft: &Draft) -> String {
    let blocks: Vec<String> = draft
        .blocks
        .iter()
        .zip(0..)
        .flat_map(|(block, at)| full(draft, block, at))
        .collect();
    let message = Obj::new()
        .raw("content", &format!("[{}]", blocks.join(",")))
        .str("role", "assistant")
        .end();
    let usage = draft.bill.reported(|| usage(&draft.bill));
    Obj::new()
        .raw("metrics", METRICS)
        .raw("output", &Obj::new().raw("message", &message).end())
        .str("stopReason", reason(draft))
        .raw_if("usage", usage.as_deref())
        .end()
}

pub(crate) fn stream(draft: &Draft) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(draft.frames());
    pieces.push(event("messageStart", |event| {
        event.str("role", "assistant")
    }));
    let mut index = 0;
    for (block, at) in draft.blocks.iter().zip(0..) {
        block_events(draft, block, at, &mut index, &mut pieces);
    }
    pieces.push(event("messageStop", |event| {
        event.str("stopReason", reason(draft))
    }));
    let usage = draft.bill.reported(|| usage(&draft.bill));
    let last = event("metadata", |event| {
        event
            .raw("metrics", METRICS)
            .raw_if("usage", usage.as_deref())
    });
    pieces.push(last.reporting(usage.is_some()));
    pieces
}

fn block_events(draft: &Draft, block: &Block, at: u64, index: &mut u64, pieces: &mut Vec<Piece>) {
    let here = *index;
    let mut delta = |delta: String, part: Option<&str>| {
        let piece = event("contentBlockDelta", |event| {
            event.num("contentBlockIndex", here).raw("delta", &delta)
        });
        pieces.push(match part {
            Some(part) => piece.carrying(part),
            None => piece,
        });
    };
    let reasoning = |field: &str, text: &str| {
        let inner = Obj::new().str(field, text).end();
        Obj::new().raw("reasoningContent", &inner).end()
    };
    match block {
        Block::Text(frames) | Block::Refusal(frames) => {
            for part in frames {
                delta(Obj::new().str("text", part).end(), Some(part));
            }
        }
        Block::Thinking { frames, signature } => {
            for part in frames {
                delta(reasoning("text", part), None);
            }
            delta(reasoning("signature", signature), None);
        }
        Block::Redacted(data) => delta(reasoning("redactedContent", &blob(data)), None),
        Block::Tool {
            call,
            id,
            name,
            frames,
        } => {
            let made = draft.call_id("tooluse", *call);
            let tool = Obj::new()
                .str("name", name)
                .str("toolUseId", id.as_deref().unwrap_or(&made))
                .end();
            pieces.push(start(here, &tool));
            for (before, part) in with_before(frames) {
                let input = Obj::new().str("input", part).end();
                let piece = event("contentBlockDelta", |event| {
                    let delta = Obj::new().raw("toolUse", &input).end();
                    event.num("contentBlockIndex", here).raw("delta", &delta)
                });
                pieces.push(piece.arguing(before, part));
            }
        }
        Block::Server { name, input, .. } => {
            let tool = Obj::new()
                .str("name", name)
                .str("toolUseId", &server_id(draft, at))
                .str("type", "server_tool_use")
                .end();
            pieces.push(start(here, &tool));
            let input = Obj::new().str("input", input).end();
            pieces.push(event("contentBlockDelta", |event| {
                let delta = Obj::new().raw("toolUse", &input).end();
                event.num("contentBlockIndex", here).raw("delta", &delta)
            }));
        }
    }
    pieces.push(event("contentBlockStop", |event| {
        event.num("contentBlockIndex", here)
    }));
    *index += 1;
}

/// An event of an Anthropic stream inside a frame of an `invoke` stream; pings are left out.
pub(crate) fn invoked(event: &str) -> Option<Frame> {
    let (name, data) = event.split_once('\n')?;
    if name == "event: ping" {
        return None;
    }
    let data = data.strip_prefix("data: ")?.trim_end();
    let payload = Obj::new()
        .str("bytes", &BASE64.encode(data.as_bytes()))
        .str("p", PADDING)
        .end();
    Some(Frame::event("chunk", payload))
}

fn event(name: &str, fields: impl FnOnce(Obj) -> Obj) -> Piece {
    let payload = fields(Obj::new()).str("p", PADDING).end();
    Piece::frame(Frame::event(name, payload))
}

fn start(index: u64, tool: &str) -> Piece {
    event("contentBlockStart", |event| {
        let start = Obj::new().raw("toolUse", tool).end();
        event.num("contentBlockIndex", index).raw("start", &start)
    })
}

fn full(draft: &Draft, block: &Block, at: u64) -> Vec<String> {
    let inside = |name: &str, value: Obj| Obj::new().raw(name, &value.end()).end();
    match block {
        Block::Text(frames) | Block::Refusal(frames) => {
            vec![Obj::new().str("text", &frames.concat()).end()]
        }
        Block::Thinking { frames, signature } => {
            let text = Obj::new()
                .str("signature", signature)
                .str("text", &frames.concat())
                .end();
            vec![inside(
                "reasoningContent",
                Obj::new().raw("reasoningText", &text),
            )]
        }
        Block::Redacted(data) => vec![inside(
            "reasoningContent",
            Obj::new().str("redactedContent", &blob(data)),
        )],
        Block::Tool {
            call,
            id,
            name,
            frames,
        } => {
            let made = draft.call_id("tooluse", *call);
            let tool = Obj::new()
                .raw("input", &json_or_text(&frames.concat()))
                .str("name", name)
                .str("toolUseId", id.as_deref().unwrap_or(&made));
            vec![inside("toolUse", tool)]
        }
        Block::Server {
            name,
            input,
            result,
        } => {
            let id = server_id(draft, at);
            let tool = Obj::new()
                .raw("input", input)
                .str("name", name)
                .str("toolUseId", &id)
                .str("type", "server_tool_use");
            let result = Obj::new().raw("json", &Obj::new().raw("result", result).end());
            let result = Obj::new()
                .raw("content", &format!("[{}]", result.end()))
                .str("status", "success")
                .str("toolUseId", &id)
                .str("type", &format!("{name}_result"));
            vec![inside("toolUse", tool), inside("toolResult", result)]
        }
    }
}

fn server_id(draft: &Draft, at: u64) -> String {
    format!("srvtooluse_mock_{}_{at}", draft.n)
}

/// Blobs are base64 on this wire.
fn blob(data: &str) -> String {
    if BASE64.decode(data.as_bytes()).is_ok() {
        data.to_owned()
    } else {
        BASE64.encode(data.as_bytes())
    }
}

fn reason(draft: &Draft) -> &str {
    let usual = match draft.stop {
        StopReason::End | StopReason::Pause => "end_turn",
        StopReason::Length => "max_tokens",
        StopReason::Tool => "tool_use",
        StopReason::Filter | StopReason::Refusal => "content_filtered",
        StopReason::StopSequence => "stop_sequence",
    };
    draft.finish.as_deref().unwrap_or(usual)
}

fn usage(bill: &Bill) -> String {
    let mut made = Obj::new()
        .raw("inputTokens", &bill.fresh())
        .raw("outputTokens", &bill.output())
        .raw("totalTokens", &bill.total())
        .raw("cacheReadInputTokens", &bill.cached())
        .num("cacheWriteInputTokens", bill.written());
    if bill.written() > 0 {
        let part = |ttl: &str, tokens: String| {
            Obj::new().str("ttl", ttl).raw("inputTokens", &tokens).end()
        };
        let details = [part("5m", bill.write_5m()), part("1h", bill.write_1h())];
        made = made.raw("cacheDetails", &format!("[{}]", details.join(",")));
    }
    made.end()
}
