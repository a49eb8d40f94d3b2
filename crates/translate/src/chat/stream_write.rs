//! Writes a stream of Chat Completions chunks (providers 17, data-plane 17.2 to 17.4).
//!
//! Every piece goes out as a chunk of its own at once; only sources wait for the end of the text that they
//! are for, because their place in it is told. Start at [`Writer`].

use lw_core::Usage;

use super::answer::extra_content;
use super::{details, shared};
use crate::Caller;
use crate::ir::{BlockKind, Citation, Delta, Failure, Stop};
use crate::json::Obj;
use crate::responses::freeform::Freeform;
use crate::sequencer::Step;
use crate::signature::{Origin, Signature};
use crate::stream::StreamWriter;

/// Said before the end when the provider reported no tokens (data-plane 17.3).
const NO_USAGE: &str =
    "event: warning\ndata: {\"warning\":\"provider_did_not_report_usage_on_stream\"}\n\n";

/// Writes the chunks.
pub struct Writer {
    caller: Caller,
    /// What every chunk begins with, up to its choices.
    head: String,
    block: Block,
    /// Calls so far: their numbers count calls, not blocks.
    calls: usize,
    /// Entries of `reasoning_details` so far that have a number of their own.
    thoughts: usize,
    /// Characters of content so far.
    said: u64,
    /// Something was thought in an earlier block.
    thought: bool,
}

/// The open block.
enum Block {
    /// None.
    Closed,
    /// Text, with the place of its first character and its sources.
    Text {
        start: u64,
        citations: Vec<Citation>,
    },
    Refusal,
    Thinking {
        id: Option<String>,
        redacted: bool,
        /// Nothing of it went out yet.
        fresh: bool,
    },
    Tool {
        id: String,
        /// No arguments went out yet.
        bare: bool,
    },
    /// A free-form call.
    Freeform(Box<Freeform>),
}

impl Writer {
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            caller,
            head: String::new(),
            block: Block::Closed,
            calls: 0,
            thoughts: 0,
            said: 0,
            thought: false,
        }
    }

    fn begin(&mut self, id: Option<String>, out: &mut Vec<u8>) {
        let head = Obj::new()
            .str("id", &shared::answer_id(id, &self.caller))
            .str("object", "chat.completion.chunk")
            .num("created", self.caller.created)
            .str("model", &self.caller.model)
            .end();
        self.head = head.trim_end_matches('}').to_owned();
        let delta = Obj::new().str("role", "assistant").str("content", "");
        self.chunk(delta, out);
    }

    /// A chunk whose only choice has this delta.
    fn chunk(&self, delta: Obj, out: &mut Vec<u8>) {
        self.choice(&delta.end(), None, "null", None, out);
    }

    fn choice(
        &self,
        delta: &str,
        logprobs: Option<&str>,
        finish: &str,
        tail: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let choice = Obj::new()
            .num("index", 0)
            .raw("delta", delta)
            .raw_if("logprobs", logprobs)
            .raw("finish_reason", finish)
            .end();
        self.frame(&format!("[{choice}]"), tail, out);
    }

    fn frame(&self, choices: &str, tail: Option<&str>, out: &mut Vec<u8>) {
        let tail = tail.unwrap_or_default();
        let text = format!("data: {},\"choices\":{choices}{tail}}}\n\n", self.head);
        out.extend_from_slice(text.as_bytes());
    }

    fn open(&mut self, kind: BlockKind, out: &mut Vec<u8>) {
        self.block = match kind {
            BlockKind::Text => Block::Text {
                start: self.said,
                citations: Vec::new(),
            },
            BlockKind::Refusal => Block::Refusal,
            BlockKind::Thinking { id, redacted } => Block::Thinking {
                id,
                redacted,
                fresh: true,
            },
            BlockKind::Tool { id, name } => {
                let id = shared::call_id(id.as_deref(), self.calls, &self.caller);
                let entry = Obj::new().num("index", self.calls).str("id", &id);
                let freeform = shared::is_freeform(&name, &self.caller);
                let entry = if freeform {
                    let custom = Obj::new().str("name", &name).str("input", "");
                    entry.str("type", "custom").raw("custom", &custom.end())
                } else {
                    let function = Obj::new().str("name", &name).str("arguments", "");
                    entry
                        .str("type", "function")
                        .raw("function", &function.end())
                };
                self.chunk(Obj::new().list("tool_calls", [entry.end()]), out);
                self.calls += 1;
                if freeform {
                    Block::Freeform(Box::default())
                } else {
                    Block::Tool { id, bare: true }
                }
            }
        };
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.text(&text, out),
            Delta::Thinking(text) => self.thinking(&text, out),
            Delta::Signature(seal) => self.seal(&seal, out),
            Delta::Arguments(text) => self.arguments(&text, out),
            Delta::Citation(citation) => {
                if let Block::Text { citations, .. } = &mut self.block {
                    citations.push(citation);
                }
            }
            Delta::Logprobs(json) => self.choice("{}", Some(&json), "null", None, out),
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if matches!(self.block, Block::Refusal) {
            self.chunk(Obj::new().str("refusal", text), out);
        } else {
            self.said = self.said.saturating_add(shared::length(text));
            self.chunk(Obj::new().str("content", text), out);
        }
    }

    fn thinking(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() || self.caller.hide_thinking {
            return;
        }
        let Block::Thinking { id, fresh, .. } = &mut self.block else {
            return;
        };
        // Blocks stand apart in the plain text, as they do in a whole answer.
        let apart = std::mem::replace(fresh, false) && self.thought;
        let entry = details::plain(text, self.thoughts, id.as_deref());
        self.thought = true;
        let plain = if apart {
            format!("\n\n{text}")
        } else {
            text.to_owned()
        };
        let delta = Obj::new()
            .str("reasoning", &plain)
            .list("reasoning_details", [entry]);
        self.chunk(delta, out);
    }

    fn seal(&mut self, seal: &Signature, out: &mut Vec<u8>) {
        let hidden = self.caller.hide_thinking;
        match &self.block {
            Block::Thinking { .. } | Block::Text { .. } if hidden => {}
            Block::Thinking { id, redacted, .. } => {
                let entry = details::seal(seal, self.thoughts, id.as_deref(), *redacted);
                self.chunk(Obj::new().list("reasoning_details", [entry]), out);
            }
            Block::Text { .. } => {
                let entry = details::seal(seal, self.thoughts, None, false);
                self.thoughts += 1;
                self.chunk(Obj::new().list("reasoning_details", [entry]), out);
            }
            Block::Tool { id, .. } => {
                // Callers add up arguments of every piece without a look whether there are any.
                let call = Obj::new()
                    .num("index", self.calls.saturating_sub(1))
                    .raw("function", &Obj::new().str("arguments", "").end())
                    .raw("extra_content", &extra_content(seal));
                let mut delta = Obj::new().list("tool_calls", [call.end()]);
                if seal.origin == Origin::Google {
                    let entry = details::seal(seal, self.thoughts, Some(id), false);
                    delta = delta.list("reasoning_details", [entry]);
                    self.thoughts += 1;
                }
                self.chunk(delta, out);
            }
            Block::Closed | Block::Refusal | Block::Freeform(_) => {}
        }
    }

    fn arguments(&mut self, text: &str, out: &mut Vec<u8>) {
        match &mut self.block {
            Block::Freeform(input) => {
                let piece = input.push(text);
                self.input(&piece, out);
            }
            Block::Tool { bare, .. } if !text.is_empty() => {
                *bare = false;
                self.call_piece("function", "arguments", text, out);
            }
            _ => {}
        }
    }

    fn input(&self, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.call_piece("custom", "input", text, out);
        }
    }

    fn call_piece(&self, kind: &str, field: &str, text: &str, out: &mut Vec<u8>) {
        let call = Obj::new()
            .num("index", self.calls.saturating_sub(1))
            .raw(kind, &Obj::new().str(field, text).end());
        self.chunk(Obj::new().list("tool_calls", [call.end()]), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.block, Block::Closed) {
            Block::Text { start, citations } => {
                let written = citations
                    .iter()
                    .filter_map(|citation| shared::annotation(citation, start, self.said));
                let written: Vec<String> = written.collect();
                if !written.is_empty() {
                    self.chunk(Obj::new().list("annotations", written), out);
                }
            }
            Block::Thinking { .. } => self.thoughts += 1,
            // Callers parse what they gathered: nothing is not JSON.
            Block::Tool { bare: true, .. } => self.call_piece("function", "arguments", "{}", out),
            Block::Freeform(mut input) => {
                let rest = input.finish();
                self.input(&rest, out);
            }
            Block::Tool { .. } | Block::Refusal | Block::Closed => {}
        }
    }

    fn finish(&self, stop: &Stop, usage: Option<Usage>, tier: Option<&str>, out: &mut Vec<u8>) {
        let wanted = self.caller.include_usage != Some(false);
        let tier = tier.and_then(crate::tier::openai);
        let tier = tier.map(|tier| format!(",\"service_tier\":{}", shared::quoted(tier)));
        let tier = tier.unwrap_or_default();
        let extra = shared::extra_fields(&self.caller)
            .map(|extra| format!(",\"extra_fields\":{extra}"))
            .unwrap_or_default();
        let usage = usage.filter(|_| wanted);
        // What was left out is told on the last chunk.
        let tail = if usage.is_some() {
            tier.clone()
        } else {
            format!("{tier}{extra}")
        };
        let reason = shared::quoted(shared::finish_reason(stop));
        self.choice("{}", None, &reason, Some(&tail), out);
        match usage {
            Some(usage) => {
                let usage = shared::write_usage(&usage);
                let tail = format!(",\"usage\":{usage}{tier}{extra}");
                self.frame("[]", Some(&tail), out);
            }
            None if wanted => out.extend_from_slice(NO_USAGE.as_bytes()),
            None => {}
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl StreamWriter for Writer {
    fn step(&mut self, step: Step, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, .. } => self.begin(id, out),
            Step::Open { kind, .. } => self.open(kind, out),
            Step::Delta { delta, .. } => self.delta(delta, out),
            Step::Close { .. } => self.close(out),
            // Callers skip comments; the line stays open.
            Step::Ping => out.extend_from_slice(b": ping\n\n"),
            Step::Finish {
                stop,
                usage,
                service_tier,
            } => self.finish(&stop, usage, service_tier.as_deref(), out),
            Step::Failed(failure) => failed(&failure, out),
        }
    }
}

fn failed(failure: &Failure, out: &mut Vec<u8>) {
    let Failure {
        status: _,
        kind,
        code,
        message,
        param,
    } = failure;
    let message = Some(message.as_str()).filter(|text| !text.trim().is_empty());
    let param = param.as_deref().map(shared::quoted);
    let error = Obj::new()
        .str("type", kind.as_deref().unwrap_or("provider_error"))
        .str(
            "code",
            code.as_deref().unwrap_or("upstream_mid_stream_failure"),
        )
        .str(
            "message",
            message.unwrap_or("the provider's stream broke off"),
        )
        .raw("param", param.as_deref().unwrap_or("null"))
        .end();
    let frame = format!("event: error\ndata: {{\"error\":{error}}}\n\n");
    out.extend_from_slice(frame.as_bytes());
}
