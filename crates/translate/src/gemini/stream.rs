//! Streams. They have no end marker: a stream that ended after it said why is complete.

use super::chunk::{Chunks, Said};
use super::{citations, logprobs, write};
use crate::Caller;
use crate::ir::{BlockKind, Citation, Delta, Event, Failure, ToolCall};
use crate::json::Obj;
use crate::sequencer::Step;
use crate::signature::Signature;
use crate::stream::{StreamReader, StreamWriter};

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader(Chunks);

impl StreamReader for Reader {
    fn frame(&mut self, _name: Option<&str>, data: &[u8], out: &mut Vec<Event>) {
        let mut said = Vec::new();
        self.0.take(data, &mut said);
        out.extend(said.into_iter().filter_map(|one| match one {
            Said::Event(event) => Some(event),
            // Streams have no event for it.
            Said::Part(_) => None,
        }));
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if self.0.stopped {
            out.push(Event::End);
        }
    }
}

/// Writes a stream.
pub struct Writer {
    caller: Caller,
    model: String,
    id: String,
    block: Block,
    calls: usize,
    /// Bytes of text before the open block, and the text in it: sources count in it.
    before: usize,
    text: String,
    sources: Vec<String>,
}

/// The open block.
enum Block {
    /// Text, a refusal, or none.
    Text,
    Thinking {
        redacted: bool,
    },
    /// A call: it goes out whole.
    Tool(ToolCall),
}

impl Writer {
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            model: caller.model.clone(),
            id: write::response_id(&caller, None),
            caller,
            block: Block::Text,
            calls: 0,
            before: 0,
            text: String::new(),
            sources: Vec::new(),
        }
    }

    fn frame(&self, candidate: Obj, usage: Option<&lw_core::Usage>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        let chunk = write::envelope(candidate, usage, &self.model, &self.id);
        out.extend_from_slice(chunk.as_bytes());
        out.extend_from_slice(b"\n\n");
    }

    fn part(&self, part: String, out: &mut Vec<u8>) {
        let content = write::content(vec![part]);
        self.frame(Obj::new().raw("content", &content), None, out);
    }

    fn open(&mut self, kind: BlockKind) {
        self.before += self.text.len();
        self.text.clear();
        self.block = match kind {
            BlockKind::Text | BlockKind::Refusal => Block::Text,
            BlockKind::Thinking { id: _, redacted } => Block::Thinking { redacted },
            BlockKind::Tool { id, name } => {
                let id = write::call_id(&self.caller, id, self.calls);
                self.calls += 1;
                Block::Tool(ToolCall {
                    id,
                    freeform: self.caller.freeform_tools.contains(&name),
                    name,
                    arguments: String::new(),
                    signature: None,
                    cache: None,
                })
            }
        };
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => {
                self.text.push_str(&text);
                if !text.is_empty() {
                    self.part(write::text_part(&text), out);
                }
            }
            Delta::Thinking(text) => {
                if !text.is_empty() {
                    self.part(write::thought_part(&text, None, false), out);
                }
            }
            Delta::Arguments(more) => {
                if let Block::Tool(call) = &mut self.block {
                    call.arguments.push_str(&more);
                }
            }
            Delta::Signature(seal) => self.seal(seal, out),
            Delta::Citation(citation) => self.cite(&citation),
            Delta::Logprobs(written) => {
                if let Some(result) = logprobs::from_chat(&written) {
                    self.frame(Obj::new().raw("logprobsResult", &result), None, out);
                }
            }
        }
    }

    fn seal(&mut self, seal: Signature, out: &mut Vec<u8>) {
        match &mut self.block {
            Block::Tool(call) => call.signature = Some(seal),
            Block::Thinking { redacted } => {
                let part = write::thought_part("", Some(&seal), *redacted);
                self.part(part, out);
            }
            Block::Text => self.part(write::sealed_text_part("", &seal), out),
        }
    }

    fn cite(&mut self, citation: &Citation) {
        let written = citations::write(citation, &self.text, self.before);
        self.sources.push(written);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Block::Tool(call) = std::mem::replace(&mut self.block, Block::Text) {
            let arguments = call.object();
            let arguments = write::one_line(&arguments);
            let seal = call.signature.as_ref();
            let part = write::call_part(&call.id, &call.name, &arguments, seal);
            self.part(part, out);
        }
    }
}

impl StreamWriter for Writer {
    fn step(&mut self, step: Step, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model, .. } => {
                self.id = write::response_id(&self.caller, id);
                self.model = write::model(&self.caller, model.as_deref()).to_owned();
            }
            Step::Open { kind, .. } => self.open(kind),
            Step::Delta { delta, .. } => self.delta(delta, out),
            Step::Close { .. } => self.close(out),
            Step::Ping => {}
            Step::Finish {
                stop,
                usage,
                service_tier: _,
            } => {
                let content = write::content(vec![write::text_part("")]);
                let mut candidate = Obj::new()
                    .raw("content", &content)
                    .str("finishReason", write::finish_reason(&stop));
                let sources = std::mem::take(&mut self.sources);
                if !sources.is_empty() {
                    let metadata = Obj::new().list("citationSources", sources).end();
                    candidate = candidate.raw("citationMetadata", &metadata);
                }
                self.frame(candidate, usage.as_ref(), out);
            }
            Step::Failed(failure) => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(failed(&failure).as_bytes());
                out.extend_from_slice(b"\n\n");
            }
        }
    }
}

/// The error object of a failure. A failure without a status of its own is one of the provider.
fn failed(failure: &Failure) -> String {
    let Failure {
        status,
        kind,
        code: _,
        message,
        param: _,
    } = failure;
    let code = status.unwrap_or(match kind.as_deref() {
        Some("overloaded_error" | "UNAVAILABLE") => 503,
        Some("rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED") => 429,
        Some("invalid_request_error" | "INVALID_ARGUMENT") => 400,
        _ => 502,
    });
    let word = match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        502 | 503 | 529 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let message = if message.is_empty() {
        "the provider's stream failed"
    } else {
        message
    };
    let error = Obj::new()
        .num("code", code)
        .str("message", message)
        .str("status", word)
        .end();
    Obj::new().raw("error", &error).end()
}
