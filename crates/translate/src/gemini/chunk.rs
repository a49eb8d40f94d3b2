//! What a Gemini answer says, chunk by chunk. An answer that came whole is one chunk.
//!
//! Reads leniently: what is not understood is passed over. Start at [`Chunks::take`].

use lw_wire::usage;
use serde_json::value::RawValue;

use super::{citations, logprobs, write};
use crate::ir::{BlockKind, Citation, Delta, Event, Failure, Media, Part, Source, Stop};
use crate::json::{self, Object};
use crate::signature::{Origin, Signature};

/// Something that was said.
#[derive(Debug)]
pub(super) enum Said {
    /// As an event of a stream.
    Event(Event),
    /// A part that streams have no event for: a picture, a block of a tool that Google runs.
    Part(Part),
}

/// Reads the chunks of one answer.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Something of an answer was seen.
    pub(super) known: bool,
    /// The answer said why it stopped.
    pub(super) stopped: bool,
    named: bool,
    /// Something was said.
    spoke: bool,
    next_block: u32,
    open: Option<Open>,
    /// The text of the open block, to count characters in.
    text: String,
    cited: Vec<Citation>,
}

/// The block that text goes into.
#[derive(Debug, Clone, Copy)]
struct Open {
    block: u32,
    thinking: bool,
    /// It has its seal: what comes next is another part.
    sealed: bool,
}

impl Chunks {
    /// Takes a chunk, or a list of them.
    pub(super) fn take(&mut self, data: &[u8], out: &mut Vec<Said>) {
        let Ok(raw) = serde_json::from_slice::<&RawValue>(data) else {
            return;
        };
        match json::list(raw, "") {
            Ok(list) => list.into_iter().for_each(|one| self.chunk(one, out)),
            Err(_) => self.chunk(raw, out),
        }
    }

    fn chunk(&mut self, raw: &RawValue, out: &mut Vec<Said>) {
        let Ok(chunk) = Object::read(raw, "") else {
            return;
        };
        if let Some(error) = chunk.get("error") {
            self.known = true;
            out.push(Said::Event(Event::Failed(failure(error))));
            return;
        }
        self.name(&chunk, out);
        if let Some(metadata) = chunk.get("usageMetadata") {
            self.known = true;
            let reading = usage::gemini(metadata.get()).map(Event::Usage);
            let tier = usage::gemini_tier(metadata.get()).map(Event::Tier);
            out.extend(reading.into_iter().chain(tier).map(Said::Event));
        }
        if let Some(list) = chunk
            .get("candidates")
            .and_then(|raw| json::list(raw, "").ok())
        {
            self.known = true;
            for candidate in list {
                self.candidate(candidate, out);
            }
        }
        let blocked = inner(&chunk, "promptFeedback").and_then(|it| word(&it, "blockReason"));
        self.known |= chunk.has("promptFeedback");
        if blocked.is_some() {
            self.stop(Stop::Filtered, out);
        }
    }

    fn name(&mut self, chunk: &Object<'_>, out: &mut Vec<Said>) {
        let id = text(chunk, "responseId");
        let model = text(chunk, "modelVersion");
        if (id.is_some() || model.is_some()) && !self.named {
            self.known = true;
            self.named = id.is_some() && model.is_some();
            out.push(Said::Event(Event::Start { id, model }));
        }
    }

    fn stop(&mut self, stop: Stop, out: &mut Vec<Said>) {
        self.stopped = true;
        out.push(Said::Event(Event::Stop(stop)));
    }

    fn candidate(&mut self, raw: &RawValue, out: &mut Vec<Said>) {
        let Ok(candidate) = Object::read(raw, "") else {
            return;
        };
        // More than one is never asked for.
        if candidate
            .get("index")
            .is_some_and(|index| index.get() != "0")
        {
            return;
        }
        let parts = inner(&candidate, "content").and_then(|content| content.get("parts"));
        for part in parts
            .and_then(|raw| json::list(raw, "").ok())
            .unwrap_or_default()
        {
            self.part(part, out);
        }
        self.cite(&candidate, out);
        if let Some(result) = candidate.get("logprobsResult")
            && let Some(written) = logprobs::to_chat(result)
        {
            self.on_text(Delta::Logprobs(written), out);
        }
        if let Some(reason) = word(&candidate, "finishReason") {
            let stop = match stop_of(&reason) {
                // Thinking used up the cap (providers 16).
                Stop::End if !self.spoke => Stop::Length,
                stop => stop,
            };
            self.stop(stop, out);
        }
    }

    /// A delta that only means something on text; without an open text it is lost.
    fn on_text(&self, delta: Delta, out: &mut Vec<Said>) {
        if let Some(open) = self.open.filter(|open| !open.thinking) {
            let block = open.block;
            out.push(Said::Event(Event::Delta { block, delta }));
        }
    }

    fn cite(&mut self, candidate: &Object<'_>, out: &mut Vec<Said>) {
        for citation in citations::read(candidate, &self.text) {
            if !self.cited.contains(&citation) {
                self.cited.push(citation.clone());
                self.on_text(Delta::Citation(citation), out);
            }
        }
    }

    fn part(&mut self, raw: &RawValue, out: &mut Vec<Said>) {
        let Ok(part) = Object::read(raw, "") else {
            return;
        };
        let seal = text(&part, "thoughtSignature").filter(|seal| !seal.is_empty());
        let seal = seal.map(|seal| Signature::new(Origin::Google, seal));
        let thought = part.get("thought").map(RawValue::get) == Some("true");
        if let Some(words) = text(&part, "text") {
            self.words(words, thought, seal, out);
        } else if let Some(call) = inner(&part, "functionCall") {
            self.call(&call, seal, out);
        } else if let Some(data) = inner(&part, "inlineData") {
            if let Some(part) = media(&data) {
                self.other(part, out);
            }
        } else if let Some((kind, _)) = part
            .iter()
            .find(|(key, _)| !matches!(*key, "thought" | "thoughtSignature"))
        {
            let kind = kind.to_owned();
            let raw = raw.to_owned();
            self.other(Part::Hosted { kind, raw }, out);
        } else if seal.is_some() {
            self.words(String::new(), thought, seal, out);
        }
    }

    fn begin(&mut self, kind: BlockKind, out: &mut Vec<Said>) -> u32 {
        self.close(out);
        let block = self.next_block;
        self.next_block = self.next_block.saturating_add(1);
        out.push(Said::Event(Event::Open { block, kind }));
        block
    }

    fn close(&mut self, out: &mut Vec<Said>) {
        if let Some(Open { block, .. }) = self.open.take() {
            out.push(Said::Event(Event::Close { block }));
        }
    }

    fn words(
        &mut self,
        words: String,
        thought: bool,
        seal: Option<Signature>,
        out: &mut Vec<Said>,
    ) {
        // Even an empty part is one: the model had its turn.
        self.spoke = true;
        if words.is_empty() && seal.is_none() {
            return;
        }
        // A seal by itself belongs to what is open, or else to what comes.
        let fits = |open: &Open| !open.sealed && (open.thinking == thought || words.is_empty());
        let mut open = match self.open.filter(fits) {
            Some(open) => open,
            None => {
                let thinking = thought || words.is_empty();
                let kind = if thinking {
                    BlockKind::Thinking {
                        id: None,
                        redacted: false,
                    }
                } else {
                    BlockKind::Text
                };
                self.text.clear();
                Open {
                    block: self.begin(kind, out),
                    thinking,
                    sealed: false,
                }
            }
        };
        let block = open.block;
        if !words.is_empty() {
            let delta = if open.thinking {
                Delta::Thinking(words)
            } else {
                self.text.push_str(&words);
                Delta::Text(words)
            };
            out.push(Said::Event(Event::Delta { block, delta }));
        }
        if let Some(seal) = seal {
            open.sealed = true;
            let delta = Delta::Signature(seal);
            out.push(Said::Event(Event::Delta { block, delta }));
        }
        self.open = Some(open);
    }

    /// A call is always whole.
    fn call(&mut self, call: &Object<'_>, seal: Option<Signature>, out: &mut Vec<Said>) {
        self.spoke = true;
        let kind = BlockKind::Tool {
            id: text(call, "id").filter(|id| !id.is_empty()),
            name: text(call, "name").unwrap_or_default(),
        };
        let block = self.begin(kind, out);
        let arguments = call.get("args").map(RawValue::get);
        let arguments = arguments.filter(|args| args.starts_with('{'));
        // Google lays a whole answer out on lines.
        let arguments = write::one_line(arguments.unwrap_or("{}")).into_owned();
        let arguments = Delta::Arguments(arguments);
        for delta in seal.map(Delta::Signature).into_iter().chain([arguments]) {
            out.push(Said::Event(Event::Delta { block, delta }));
        }
        out.push(Said::Event(Event::Close { block }));
    }

    fn other(&mut self, part: Part, out: &mut Vec<Said>) {
        self.spoke = true;
        self.close(out);
        out.push(Said::Part(part));
    }
}

/// A member that is an object.
fn inner<'a>(object: &Object<'a>, key: &str) -> Option<Object<'a>> {
    Object::read(object.get(key)?, "").ok()
}

/// A member that is a text.
fn text(object: &Object<'_>, key: &str) -> Option<String> {
    json::text(object.get(key)?)
}

/// A word of an enumeration that says something.
fn word(object: &Object<'_>, key: &str) -> Option<String> {
    text(object, key).filter(|word| !word.is_empty() && !word.ends_with("_UNSPECIFIED"))
}

fn media(data: &Object<'_>) -> Option<Part> {
    let media_type = text(data, "mimeType").unwrap_or_default();
    let data = text(data, "data")?;
    let part = match media_type.split('/').next() {
        Some("image") => Part::Image,
        Some("audio") => Part::Audio,
        _ => Part::Document,
    };
    Some(part(Media::new(Source::Inline { media_type, data })))
}

/// Why a model stopped (providers 16).
fn stop_of(reason: &str) -> Stop {
    match reason {
        "STOP" => Stop::End,
        "MAX_TOKENS" => Stop::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Stop::Filtered,
        _ => Stop::Other,
    }
}

/// The failure in an error object.
fn failure(error: &RawValue) -> Failure {
    let Ok(error) = Object::read(error, "") else {
        return Failure {
            message: json::text(error).unwrap_or_else(|| error.get().to_owned()),
            ..Failure::default()
        };
    };
    let kind = text(&error, "status");
    let message = text(&error, "message").filter(|message| !message.is_empty());
    Failure {
        status: error.get("code").and_then(|code| code.get().parse().ok()),
        message: message
            .or_else(|| kind.clone())
            .unwrap_or_else(|| "the provider failed without a word".to_owned()),
        kind,
        code: None,
        param: None,
    }
}
