//! Writes the events of a stream for a caller, so that the accumulators of the official clients get a
//! message that they could send back.
//!
//! A block opens with the first thing that is in it: a text that stays empty, or thinking of which nothing
//! is shown, must not stand in a conversation. Nothing that was said is held back.

use lw_core::Usage;

use crate::Caller;
use crate::ir::{BlockKind, Delta, Failure, Stop};
use crate::json::{self, Obj};
use crate::messages::{answer, call_id, citation, message_id, usage};
use crate::sequencer::Step;
use crate::signature::{Origin, Signature};
use crate::stream::StreamWriter;

/// Writes one stream.
#[derive(Debug)]
pub struct Writer {
    caller: Caller,
    /// The number of the next block. The caller's blocks are not always the provider's.
    next: usize,
    block: Option<Block>,
    refused: bool,
}

/// The block that the provider is at.
#[derive(Debug)]
struct Block {
    kind: BlockKind,
    /// Its number, once the caller knows of it.
    number: Option<usize>,
    /// A seal that came after the text or the call had begun.
    late: Option<Signature>,
}

impl Writer {
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            caller,
            next: 0,
            block: None,
            refused: false,
        }
    }

    fn begin(&self, id: Option<String>, model: Option<String>, known: Option<Usage>) -> String {
        let model = if self.caller.model.is_empty() {
            model.unwrap_or_default()
        } else {
            self.caller.model.clone()
        };
        let message = Obj::new()
            .str("id", &id.unwrap_or_else(|| message_id(&self.caller)))
            .str("type", "message")
            .str("role", "assistant")
            .str("model", &model)
            .raw("content", "[]")
            .raw("stop_reason", "null")
            .raw("stop_sequence", "null")
            .raw("usage", &usage::write(known, None));
        message.end()
    }

    /// Opens a block of the caller's and gives its number.
    fn open(&mut self, block: &str, out: &mut Vec<u8>) -> usize {
        let number = self.next;
        self.next += 1;
        let data = of("content_block_start")
            .num("index", number)
            .raw("content_block", block);
        frame("content_block_start", data, out);
        number
    }

    /// A whole block of thinking that only carries a seal.
    fn carry(&mut self, seal: &Signature, out: &mut Vec<u8>) {
        let number = self.open(&answer::thinking_block("", ""), out);
        more(number, signature(seal), out);
        close(number, out);
    }

    /// The number of the current block, which opens if it has not.
    fn number(&mut self, block: &mut Block, out: &mut Vec<u8>) -> usize {
        if let Some(number) = block.number {
            return number;
        }
        let opening = match &block.kind {
            BlockKind::Text | BlockKind::Refusal => {
                Obj::new().str("type", "text").str("text", "").end()
            }
            BlockKind::Thinking { .. } => answer::thinking_block("", ""),
            BlockKind::Tool { id, name } => {
                let made = || call_id(&self.caller, self.next);
                let id = id.clone().filter(|id| !id.is_empty()).unwrap_or_else(made);
                Obj::new()
                    .str("type", "tool_use")
                    .str("id", &id)
                    .str("name", name)
                    .raw("input", "{}")
                    .end()
            }
        };
        let number = self.open(&opening, out);
        block.number = Some(number);
        number
    }

    fn delta(&mut self, block: &mut Block, delta: Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) if !text.is_empty() => {
                let number = self.number(block, out);
                more(number, of("text_delta").str("text", &text), out);
            }
            Delta::Thinking(text) if !text.is_empty() => {
                show(block, out);
                let number = self.number(block, out);
                more(number, of("thinking_delta").str("thinking", &text), out);
            }
            Delta::Arguments(text) if !text.is_empty() => {
                let number = self.number(block, out);
                more(
                    number,
                    of("input_json_delta").str("partial_json", &text),
                    out,
                );
            }
            Delta::Citation(found) => {
                if let Some(entry) = citation::write(&found) {
                    let number = self.number(block, out);
                    more(number, of("citations_delta").raw("citation", &entry), out);
                }
            }
            Delta::Signature(seal) => self.seal(block, seal, out),
            Delta::Text(_) | Delta::Thinking(_) | Delta::Arguments(_) | Delta::Logprobs(_) => {}
        }
    }

    fn seal(&mut self, block: &mut Block, seal: Signature, out: &mut Vec<u8>) {
        match &block.kind {
            BlockKind::Thinking { redacted: true, .. } => {
                if block.number.is_none() {
                    let data = answer::redacted_block(&seal.write_marked(Origin::Anthropic, true));
                    block.number = Some(self.open(&data, out));
                }
            }
            BlockKind::Thinking { .. } => {
                let number = self.number(block, out);
                more(number, signature(&seal), out);
            }
            // The dialect has no field for it: it comes before, or, when that is too late, after.
            BlockKind::Text | BlockKind::Refusal | BlockKind::Tool { .. } => {
                if block.number.is_none() {
                    self.carry(&seal, out);
                } else {
                    block.late = Some(seal);
                }
            }
        }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        if matches!(block.kind, BlockKind::Tool { .. }) {
            // A call without arguments is a call.
            self.number(&mut block, out);
        }
        if let Some(number) = block.number {
            close(number, out);
        }
        if let Some(seal) = block.late {
            self.carry(&seal, out);
        }
    }

    fn finish(&self, stop: &Stop, usage: Option<Usage>, out: &mut Vec<u8>) {
        let (reason, sequence) = answer::reason(stop, self.refused);
        let delta = Obj::new()
            .str("stop_reason", reason)
            .raw("stop_sequence", &sequence);
        let data = of("message_delta")
            .raw("delta", &delta.end())
            .raw("usage", &usage::write_totals(usage));
        frame("message_delta", data, out);
        frame("message_stop", of("message_stop"), out);
    }
}

impl StreamWriter for Writer {
    fn step(&mut self, step: Step, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model, usage } => {
                let message = self.begin(id, model, usage);
                frame(
                    "message_start",
                    of("message_start").raw("message", &message),
                    out,
                );
            }
            Step::Open { index: _, kind } => {
                self.end_block(out);
                self.refused |= kind == BlockKind::Refusal;
                self.block = Some(Block {
                    kind,
                    number: None,
                    late: None,
                });
            }
            Step::Delta { index: _, delta } => {
                if let Some(mut block) = self.block.take() {
                    self.delta(&mut block, delta, out);
                    self.block = Some(block);
                }
            }
            Step::Close { index: _ } => self.end_block(out),
            Step::Ping => frame("ping", of("ping"), out),
            Step::Finish {
                stop,
                usage,
                // The event has no field for it.
                service_tier: _,
            } => {
                self.end_block(out);
                self.finish(&stop, usage, out);
            }
            Step::Failed(failure) => fail(&failure, out),
        }
    }
}

/// Makes room for words in a block of thinking that was said to be hidden.
fn show(block: &mut Block, out: &mut Vec<u8>) {
    if let BlockKind::Thinking { redacted, .. } = &mut block.kind
        && std::mem::take(redacted)
        && let Some(number) = block.number.take()
    {
        close(number, out);
    }
}

/// An object that begins with its type.
fn of(kind: &str) -> Obj {
    Obj::new().str("type", kind)
}

fn frame(name: &str, data: Obj, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\ndata: {}\n\n", data.end()).as_bytes());
}

fn more(number: usize, delta: Obj, out: &mut Vec<u8>) {
    let data = of("content_block_delta")
        .num("index", number)
        .raw("delta", &delta.end());
    frame("content_block_delta", data, out);
}

fn signature(seal: &Signature) -> Obj {
    of("signature_delta").str("signature", &seal.write(Origin::Anthropic))
}

fn close(number: usize, out: &mut Vec<u8>) {
    let data = of("content_block_stop").num("index", number);
    frame("content_block_stop", data, out);
}

/// The frame of a failure (data-plane 17.4).
fn fail(failure: &Failure, out: &mut Vec<u8>) {
    let code = failure.code.as_deref();
    let message = if failure.message.is_empty() {
        "the provider broke off"
    } else {
        &failure.message
    };
    let mut param = "null".to_owned();
    if let Some(name) = &failure.param {
        param.clear();
        json::quote(name, &mut param);
    }
    let error = of(error_kind(failure))
        .str("code", code.unwrap_or("upstream_mid_stream_failure"))
        .str("message", message)
        .raw("param", &param);
    frame("error", of("error").raw("error", &error.end()), out);
}

/// The dialect's type for a failure: its own words stay, those of the gateway as well, others follow the
/// status (providers 21).
fn error_kind(failure: &Failure) -> &str {
    const KNOWN: [&str; 12] = [
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
        "guardrail_blocked",
        "budget_exceeded",
    ];
    if let Some(kind) = &failure.kind
        && KNOWN.contains(&kind.as_str())
    {
        return kind;
    }
    match failure.status {
        Some(400) => "invalid_request_error",
        Some(401) => "authentication_error",
        Some(403) => "permission_error",
        Some(404) => "not_found_error",
        Some(413) => "request_too_large",
        Some(429) => "rate_limit_error",
        Some(503 | 529) => "overloaded_error",
        _ => "api_error",
    }
}
