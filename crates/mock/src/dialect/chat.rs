//! OpenAI chat completions.
//!
//! Usage of a stream goes in a last chunk with empty `choices`, and only if the caller asked. What
//! nearly-OpenAI vendors do differently is in [`crate::scripted::Quirks`]. Start at [`whole`] and
//! [`stream`].

use crate::answer::{Bill, Block, Draft, with_before};
use crate::json::{Obj, quote};
use crate::plan::Piece;
use crate::scripted::{Quirks, StopReason};

pub(crate) fn id(draft: &Draft) -> String {
    format!("chatcmpl-mock-{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let text = draft.text();
    let mut message = Obj::new().str("role", "assistant");
    message = if text.is_empty() && (draft.calls_tools() || draft.refusal().is_some()) {
        message.raw("content", "null")
    } else {
        message.str("content", &text)
    };
    if let Some(field) = draft.quirks.reasoning_field.as_deref() {
        message = message.str(field, &draft.thoughts());
    }
    if draft.calls_tools() {
        message = message.raw("tool_calls", &tool_calls(draft));
    }
    message = match draft.refusal() {
        Some(refusal) => message.str("refusal", &refusal),
        None => message.raw("refusal", "null"),
    };
    let message = message.raw("annotations", "[]").end();
    let choice = Obj::new()
        .num("index", 0)
        .raw("message", &message)
        .raw("logprobs", "null")
        .str("finish_reason", finish(draft))
        .end();
    Obj::new()
        .str("id", &id(draft))
        .str("object", "chat.completion")
        .num("created", draft.created)
        .str("model", &draft.model)
        .raw("choices", &format!("[{choice}]"))
        .raw_if("usage", reported(draft).as_deref())
        .str("service_tier", "default")
        .str("system_fingerprint", "fp_mock")
        .end()
}

/// `azure` puts the filter's verdict on the prompt in front.
pub(crate) fn stream(draft: &Draft, azure: bool) -> Vec<Piece> {
    let mut chunks = Chunks::new(draft);
    if azure {
        chunks.prompt_filter();
    }
    chunks.first(draft);
    for block in &draft.blocks {
        match block {
            Block::Text(frames) => {
                for part in frames {
                    chunks.said("content", part);
                }
            }
            Block::Refusal(frames) => {
                for part in frames {
                    chunks.said("refusal", part);
                }
            }
            Block::Thinking { frames, .. } => {
                if let Some(field) = draft.quirks.reasoning_field.as_deref() {
                    for part in frames {
                        chunks.lead(&format!("{{{}:{}}}", quote(field), quote(part)));
                    }
                }
            }
            Block::Tool { call, frames, .. } => {
                if !chunks.opened_call || *call > 0 {
                    let opening = opening(draft, block);
                    chunks.lead(&format!("{{\"tool_calls\":[{opening}]}}"));
                }
                for (before, part) in with_before(frames) {
                    let delta = format!(
                        r#"{{"tool_calls":[{{"index":{call},"function":{{"arguments":{}}}}}]}}"#,
                        quote(part)
                    );
                    chunks.lead(&delta);
                    chunks.mark(|piece| piece.arguing(before, part));
                }
            }
            // The vendor keeps both to itself.
            Block::Redacted(_) | Block::Server { .. } => {}
        }
    }
    chunks.last(draft);
    let mut pieces = chunks.pieces;
    if !draft.quirks.no_done {
        let done = if draft.quirks.done_lower {
            "[done]"
        } else {
            "[DONE]"
        };
        pieces.push(Piece::lead(format!("data: {done}\n\n")));
    }
    quirky(pieces, &draft.quirks)
}

/// The error that OpenAI puts into a stream that has begun.
pub(crate) fn error_event(kind: &str, message: &str) -> String {
    let error = Obj::new()
        .str("message", message)
        .str("type", kind)
        .raw("param", "null")
        .raw("code", "null")
        .end();
    format!("data: {{\"error\":{error}}}\n\n")
}

/// The chunks of one stream, which all begin alike.
struct Chunks {
    head: String,
    rest: &'static str,
    /// The first chunk has opened the first tool call.
    opened_call: bool,
    pieces: Vec<Piece>,
}

impl Chunks {
    fn new(draft: &Draft) -> Self {
        let head = Obj::new()
            .str("id", &id(draft))
            .str("object", "chat.completion.chunk")
            .num("created", draft.created)
            .str("model", &draft.model)
            .str("service_tier", "default")
            .str("system_fingerprint", "fp_mock")
            .end();
        let counts = draft.include_usage && !draft.quirks.usage_in_last_chunk;
        Self {
            head: head.strip_suffix('}').unwrap_or(&head).to_owned(),
            rest: if counts { ",\"usage\":null" } else { "" },
            opened_call: false,
            pieces: Vec::with_capacity(draft.frames()),
        }
    }

    fn chunk(&self, delta: &str, finish: &str, rest: &str) -> String {
        let head = &self.head;
        format!(
            "data: {head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{rest}}}\n\n"
        )
    }

    fn lead(&mut self, delta: &str) {
        let chunk = self.chunk(delta, "null", self.rest);
        self.pieces.push(Piece::lead(chunk));
    }

    /// Changes what was said last.
    fn mark(&mut self, change: impl FnOnce(Piece) -> Piece) {
        if let Some(last) = self.pieces.pop() {
            self.pieces.push(change(last));
        }
    }

    fn content(&mut self, delta: &str, part: &str) {
        let chunk = self.chunk(delta, "null", self.rest);
        self.pieces.push(Piece::content(chunk, part));
    }

    fn said(&mut self, field: &str, part: &str) {
        self.content(&format!("{{\"{field}\":{}}}", quote(part)), part);
    }

    /// Azure's first chunk, which has neither id nor choices.
    fn prompt_filter(&mut self) {
        let verdict = Obj::new()
            .num("prompt_index", 0)
            .raw("content_filter_results", SAFE)
            .end();
        let chunk = Obj::new()
            .raw("choices", "[]")
            .num("created", 0)
            .str("id", "")
            .str("model", "")
            .str("object", "")
            .raw("prompt_filter_results", &format!("[{verdict}]"))
            .end();
        self.pieces.push(Piece::lead(format!("data: {chunk}\n\n")));
    }

    /// The role; together with the call's name when a call is all there is.
    fn first(&mut self, draft: &Draft) {
        let spoken = draft.blocks.iter().find(|block| {
            matches!(
                block,
                Block::Text(_) | Block::Refusal(_) | Block::Tool { .. }
            )
        });
        let thinks_aloud = draft.quirks.reasoning_field.is_some() && !draft.thoughts().is_empty();
        match spoken {
            Some(call @ Block::Tool { .. }) if !thinks_aloud => {
                self.opened_call = true;
                let opening = opening(draft, call);
                self.lead(&format!(
                    r#"{{"role":"assistant","content":null,"tool_calls":[{opening}],"refusal":null}}"#
                ));
            }
            _ => self.lead(r#"{"role":"assistant","content":"","refusal":null}"#),
        }
    }

    fn last(&mut self, draft: &Draft) {
        let usage = reported(draft);
        let finish = quote(finish(draft));
        if draft.quirks.usage_in_last_chunk {
            let rest = usage
                .as_ref()
                .map_or_else(String::new, |usage| format!(",\"usage\":{usage}"));
            let chunk = self.chunk("{}", &finish, &rest);
            self.pieces.push(Piece::usage(chunk, usage.is_some()));
            return;
        }
        let chunk = self.chunk("{}", &finish, self.rest);
        self.pieces.push(Piece::lead(chunk));
        if draft.include_usage
            && let Some(usage) = usage
        {
            let head = &self.head;
            let last = format!("data: {head},\"choices\":[],\"usage\":{usage}}}\n\n");
            self.pieces.push(Piece::usage(last, true));
        }
    }
}

/// What a filter says that found nothing.
pub(crate) const SAFE: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#;

fn opening(draft: &Draft, block: &Block) -> String {
    let Block::Tool { call, id, name, .. } = block else {
        return String::from("{}");
    };
    let id = id.clone().unwrap_or_else(|| draft.call_id("call", *call));
    format!(
        r#"{{"index":{call},"id":{},"type":"function","function":{{"name":{},"arguments":""}}}}"#,
        quote(&id),
        quote(name)
    )
}

fn tool_calls(draft: &Draft) -> String {
    let call = |block: &Block| {
        let Block::Tool {
            call,
            id,
            name,
            frames,
        } = block
        else {
            return None;
        };
        let function = Obj::new()
            .str("name", name)
            .str("arguments", &frames.concat())
            .end();
        let id = id.clone().unwrap_or_else(|| draft.call_id("call", *call));
        let call = Obj::new()
            .str("id", &id)
            .str("type", "function")
            .raw("function", &function);
        Some(call.end())
    };
    let calls: Vec<String> = draft.blocks.iter().filter_map(call).collect();
    format!("[{}]", calls.join(","))
}

fn finish(draft: &Draft) -> &str {
    let usual = match draft.stop {
        StopReason::End | StopReason::StopSequence | StopReason::Refusal | StopReason::Pause => {
            "stop"
        }
        StopReason::Length => "length",
        StopReason::Tool => "tool_calls",
        StopReason::Filter => "content_filter",
    };
    draft.finish.as_deref().unwrap_or(usual)
}

/// Bends the frames as a directive says.
fn quirky(pieces: Vec<Piece>, quirks: &Quirks) -> Vec<Piece> {
    let Quirks {
        no_space,
        crlf,
        comments,
        no_done: _,
        done_lower: _,
        usage_in_last_chunk: _,
        no_usage: _,
        reasoning_field: _,
        cache_hit_names: _,
    } = quirks;
    if !(*no_space || *crlf || *comments) {
        return pieces;
    }
    let mut out = Vec::with_capacity(pieces.len() * 2);
    for piece in pieces {
        if *comments {
            out.push(Piece::lead(String::from(": keep-alive\n\n\n")).map(|text| ends(text, *crlf)));
        }
        out.push(piece.map(|text| {
            let text = match text.strip_prefix("data: ") {
                Some(data) if *no_space => format!("data:{data}"),
                Some(_) | None => text,
            };
            ends(text, *crlf)
        }));
    }
    out
}

/// Payloads have no line ends of their own: JSON escapes them.
fn ends(text: String, crlf: bool) -> String {
    if crlf {
        text.replace('\n', "\r\n")
    } else {
        text
    }
}

fn reported(draft: &Draft) -> Option<String> {
    if draft.quirks.no_usage {
        return None;
    }
    draft
        .bill
        .reported(|| usage(&draft.bill, draft.quirks.cache_hit_names))
}

fn usage(bill: &Bill, cache_hit_names: bool) -> String {
    let input = Obj::new()
        .raw("cached_tokens", &bill.cached())
        .raw("audio_tokens", &bill.audio_input())
        .num("cache_write_tokens", bill.written())
        .end();
    let output = Obj::new()
        .raw("reasoning_tokens", &bill.reasoning())
        .raw("audio_tokens", &bill.audio_output())
        .num("accepted_prediction_tokens", 0)
        .num("rejected_prediction_tokens", 0)
        .end();
    let mut made = Obj::new()
        .raw("prompt_tokens", &bill.prompt())
        .raw("completion_tokens", &bill.output())
        .raw("total_tokens", &bill.total())
        .raw("prompt_tokens_details", &input)
        .raw("completion_tokens_details", &output);
    if cache_hit_names {
        let missed = bill.usage.input + bill.written();
        made = made
            .raw("prompt_cache_hit_tokens", &bill.cached())
            .num("prompt_cache_miss_tokens", missed);
    }
    made.end()
}
