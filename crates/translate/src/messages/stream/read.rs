//! Reads the events of a provider.
//!
//! Imitations of the API send whole inputs in the opening of a block, leave out `message_stop`, or send
//! bare error objects: all of that is understood. Blocks of tools that the provider runs are passed over.

use std::collections::BTreeMap;

use lw_wire::usage::{Anthropic, anthropic_tier};
use serde_json::value::RawValue;

use crate::ir::{BlockKind, Delta, Event, Failure};
use crate::json::{self, Object};
use crate::messages::{answer, citation};
use crate::signature::{Origin, Signature};
use crate::stream::StreamReader;

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    usage: Anthropic,
    blocks: BTreeMap<u32, Block>,
    stopped: bool,
    over: bool,
}

#[derive(Debug)]
enum Block {
    /// Of no concern to other dialects.
    Hosted,
    /// A call: its whole input, when the opening had it and no pieces followed.
    Tool(Option<String>),
    Other,
}

impl StreamReader for Reader {
    fn frame(&mut self, _name: Option<&str>, data: &[u8], out: &mut Vec<Event>) {
        let Ok(mut event) = Object::of_body(data) else {
            return;
        };
        let kind = event.take("type").and_then(json::text).unwrap_or_default();
        let block = event
            .take("index")
            .and_then(|raw| raw.get().trim_matches('"').parse::<u32>().ok())
            .unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.start(event.take("message"), out),
            "content_block_start" => self.open(block, event.take("content_block"), out),
            "content_block_delta" => self.delta(block, event.take("delta"), out),
            "content_block_stop" => self.close(block, out),
            "message_delta" => {
                self.take_usage(event.take("usage"), out);
                self.stop(event.take("delta"), out);
            }
            "message_stop" => self.finish(out),
            "ping" => out.push(Event::Ping),
            _ => {
                if let Some(error) = event.take("error") {
                    self.over = true;
                    out.push(Event::Failed(failure(error)));
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if self.stopped {
            self.finish(out);
        }
    }
}

impl Reader {
    fn start(&mut self, message: Option<&RawValue>, out: &mut Vec<Event>) {
        let mut message = message
            .and_then(|raw| Object::read(raw, "message").ok())
            .unwrap_or_default();
        let mut text = |key: &str| message.take(key).and_then(json::text);
        out.push(Event::Start {
            id: text("id").filter(|id| !id.is_empty()),
            model: text("model"),
        });
        self.take_usage(message.take("usage"), out);
    }

    fn take_usage(&mut self, raw: Option<&RawValue>, out: &mut Vec<Event>) {
        let Some(json) = raw.map(RawValue::get) else {
            return;
        };
        self.usage.take(json);
        out.extend(self.usage.reading().map(Event::Usage));
        out.extend(anthropic_tier(json).map(Event::Tier));
    }

    fn open(&mut self, block: u32, raw: Option<&RawValue>, out: &mut Vec<Event>) {
        let mut object = raw
            .and_then(|raw| Object::read(raw, "content_block").ok())
            .unwrap_or_default();
        let mut text = |key: &str| {
            let text = object.take(key).and_then(json::text);
            text.filter(|text| !text.is_empty())
        };
        let open = |kind| Event::Open { block, kind };
        let more = |delta| Event::Delta { block, delta };
        let seal = |text: String| Delta::Signature(Signature::read(&text, Origin::Anthropic));
        let state = match text("type").as_deref() {
            Some("text") => {
                out.push(open(BlockKind::Text));
                out.extend(text("text").map(Delta::Text).map(more));
                let cited = citation::read_all(object.take("citations"));
                out.extend(cited.into_iter().map(Delta::Citation).map(more));
                Block::Other
            }
            Some("thinking") => {
                out.push(open(BlockKind::Thinking {
                    id: None,
                    redacted: false,
                }));
                out.extend(text("thinking").map(Delta::Thinking).map(more));
                out.extend(text("signature").map(seal).map(more));
                Block::Other
            }
            Some("redacted_thinking") => {
                out.push(open(BlockKind::Thinking {
                    id: None,
                    redacted: true,
                }));
                out.extend(text("data").map(seal).map(more));
                Block::Other
            }
            Some("tool_use") => {
                out.push(open(BlockKind::Tool {
                    id: text("id"),
                    name: text("name").unwrap_or_else(|| "tool".to_owned()),
                }));
                let input = answer::arguments(object.take("input"));
                Block::Tool(Some(input))
            }
            _ => Block::Hosted,
        };
        self.blocks.insert(block, state);
    }

    fn delta(&mut self, block: u32, raw: Option<&RawValue>, out: &mut Vec<Event>) {
        if matches!(self.blocks.get(&block), Some(Block::Hosted)) {
            return;
        }
        let Some(mut object) = raw.and_then(|raw| Object::read(raw, "delta").ok()) else {
            return;
        };
        let mut text = |key: &str| {
            let text = object.take(key).and_then(json::text);
            text.filter(|text| !text.is_empty())
        };
        let kind = text("type").unwrap_or_default();
        let delta = match kind.as_str() {
            "text_delta" => text("text").map(Delta::Text),
            "thinking_delta" => text("thinking").map(Delta::Thinking),
            "signature_delta" => text("signature")
                .map(|text| Delta::Signature(Signature::read(&text, Origin::Anthropic))),
            "input_json_delta" => text("partial_json").map(Delta::Arguments),
            "citations_delta" => object
                .take("citation")
                .and_then(citation::read)
                .map(Delta::Citation),
            _ => None,
        };
        if matches!(delta, Some(Delta::Arguments(_)))
            && let Some(Block::Tool(whole)) = self.blocks.get_mut(&block)
        {
            *whole = None;
        }
        out.extend(delta.map(|delta| Event::Delta { block, delta }));
    }

    fn close(&mut self, block: u32, out: &mut Vec<Event>) {
        match self.blocks.remove(&block) {
            Some(Block::Hosted) => return,
            Some(Block::Tool(Some(input))) => {
                let delta = Delta::Arguments(input);
                out.push(Event::Delta { block, delta });
            }
            Some(Block::Tool(None) | Block::Other) | None => {}
        }
        out.push(Event::Close { block });
    }

    fn stop(&mut self, raw: Option<&RawValue>, out: &mut Vec<Event>) {
        let Some(mut delta) = raw.and_then(|raw| Object::read(raw, "delta").ok()) else {
            return;
        };
        let mut text = |key: &str| delta.take(key).and_then(json::text);
        if let Some(reason) = text("stop_reason") {
            self.stopped = true;
            out.push(Event::Stop(answer::stop_of(&reason, text("stop_sequence"))));
        }
    }

    /// The answer is complete. Calls that were never closed get their inputs.
    fn finish(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let open: Vec<u32> = self.blocks.keys().copied().collect();
        for block in open {
            self.close(block, out);
        }
        out.push(Event::End);
    }
}

/// The provider's error, with the status that its type stands for.
fn failure(raw: &RawValue) -> Failure {
    let mut error = Object::read(raw, "error").unwrap_or_default();
    let mut text = |key: &str| {
        let text = error.take(key).and_then(json::text);
        text.filter(|text| !text.is_empty())
    };
    let kind = text("type");
    let message = text("message").or_else(|| json::text(raw));
    Failure {
        status: kind.as_deref().and_then(status_of),
        code: text("code"),
        message: message.unwrap_or_else(|| "the provider reported an error".to_owned()),
        param: text("param"),
        kind,
    }
}

fn status_of(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}
