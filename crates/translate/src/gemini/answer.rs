//! Whole answers.

use super::chunk::{Chunks, Said};
use super::{citations, logprobs, write};
use crate::ir::{
    Answer, BlockKind, Delta, Event, Media, Part, Source, Stop, Text, Thinking, ToolCall,
};
use crate::json::{self, Obj};
use crate::{Caller, Problem};

/// Reads a provider's answer; a list of chunks is one too.
///
/// # Errors
/// It is not an answer of Gemini, or it is an error.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, Problem> {
    let mut chunks = Chunks::default();
    let mut said = Vec::new();
    chunks.take(body, &mut said);
    if !chunks.known {
        return Err(Problem::bad("the provider's answer is not Gemini's", ""));
    }
    let mut gathered = Gathered::new();
    for one in said {
        match one {
            Said::Part(part) => gathered.answer.parts.push(part),
            Said::Event(Event::Failed(failure)) => return Err(Problem::bad(failure.message, "")),
            Said::Event(event) => gathered.take(event),
        }
    }
    Ok(gathered.answer)
}

/// An answer put together from its events.
struct Gathered {
    answer: Answer,
    /// The part that each block became.
    places: Vec<(u32, usize)>,
}

impl Gathered {
    const fn new() -> Self {
        Self {
            answer: Answer {
                id: None,
                model: None,
                created: None,
                parts: Vec::new(),
                // Without a word about it the answer is not whole.
                stop: Stop::Length,
                usage: None,
                service_tier: None,
                logprobs: None,
            },
            places: Vec::new(),
        }
    }

    fn take(&mut self, event: Event) {
        let answer = &mut self.answer;
        match event {
            Event::Start { id, model } => {
                answer.id = answer.id.take().or(id);
                answer.model = answer.model.take().or(model);
            }
            Event::Usage(reading) => answer.usage = reading.reported(),
            Event::Stop(stop) => answer.stop = stop,
            Event::Tier(tier) => answer.service_tier = Some(tier),
            Event::Open { block, kind } => {
                self.places.push((block, answer.parts.len()));
                answer.parts.push(part_of(kind));
            }
            Event::Delta { block, delta } => {
                let place = self.places.iter().rev().find(|(key, _)| *key == block);
                let part = place.and_then(|(_, at)| answer.parts.get_mut(*at));
                match (delta, part) {
                    (Delta::Logprobs(written), _) => answer.logprobs = Some(json::raw(written)),
                    (delta, Some(part)) => add(part, delta),
                    (_, None) => {}
                }
            }
            Event::Close { .. } | Event::Ping | Event::Failed(_) | Event::End => {}
        }
    }
}

fn part_of(kind: BlockKind) -> Part {
    match kind {
        BlockKind::Text => Part::text(""),
        BlockKind::Refusal => Part::Refusal(String::new()),
        BlockKind::Thinking { id, redacted } => Part::Thinking(Thinking {
            id,
            redacted,
            ..Thinking::default()
        }),
        BlockKind::Tool { id, name } => Part::ToolCall(ToolCall {
            // Without an id of Google's the caller's writer makes one.
            id: id.unwrap_or_default(),
            name,
            arguments: String::new(),
            freeform: false,
            signature: None,
            cache: None,
        }),
    }
}

fn add(part: &mut Part, delta: Delta) {
    match (part, delta) {
        (Part::Text(held), Delta::Text(more)) => held.text.push_str(&more),
        (Part::Text(held), Delta::Citation(citation)) => held.citations.push(citation),
        (Part::Text(held), Delta::Signature(seal)) => held.signature = Some(seal),
        (Part::Refusal(held), Delta::Text(more)) => held.push_str(&more),
        (Part::Thinking(held), Delta::Thinking(more)) => held.text.push_str(&more),
        (Part::Thinking(held), Delta::Signature(seal)) => held.signature = Some(seal),
        (Part::ToolCall(held), Delta::Arguments(more)) => held.arguments.push_str(&more),
        (Part::ToolCall(held), Delta::Signature(seal)) => held.signature = Some(seal),
        _ => {}
    }
}

/// Writes an answer for Gemini's callers.
#[must_use]
pub(crate) fn write_answer(answer: Answer, caller: &Caller) -> Vec<u8> {
    let Answer {
        id,
        model,
        created: _,
        parts,
        stop,
        usage,
        service_tier: _,
        logprobs,
    } = answer;
    let mut written = Parts::default();
    for part in parts {
        written.take(part, caller);
    }
    let Parts {
        mut parts, sources, ..
    } = written;
    if parts.is_empty() {
        // Clients look into the first part without asking.
        parts.push(write::text_part(""));
    }
    let mut candidate = Obj::new()
        .raw("content", &write::content(parts))
        .str("finishReason", write::finish_reason(&stop));
    if !sources.is_empty() {
        let metadata = Obj::new().list("citationSources", sources).end();
        candidate = candidate.raw("citationMetadata", &metadata);
    }
    let logprobs = logprobs.and_then(|raw| logprobs::from_chat(raw.get()));
    let candidate = candidate.raw_if("logprobsResult", logprobs.as_deref());
    let model = write::model(caller, model.as_deref());
    let id = write::response_id(caller, id);
    write::envelope(candidate, usage.as_ref(), model, &id).into_bytes()
}

#[derive(Default)]
struct Parts {
    parts: Vec<String>,
    sources: Vec<String>,
    /// Bytes of text so far.
    text: usize,
    calls: usize,
}

impl Parts {
    fn take(&mut self, part: Part, caller: &Caller) {
        match part {
            Part::Text(text) => self.text(&text),
            Part::Refusal(text) => self.text(&Text {
                text,
                ..Text::default()
            }),
            Part::Thinking(thinking) => {
                let Thinking {
                    text,
                    signature,
                    redacted,
                    id: _,
                } = thinking;
                if !text.is_empty() || signature.is_some() {
                    let part = write::thought_part(&text, signature.as_ref(), redacted);
                    self.parts.push(part);
                }
            }
            Part::ToolCall(call) => {
                let arguments = call.object();
                let id = write::call_id(caller, Some(call.id), self.calls);
                self.calls += 1;
                let seal = call.signature.as_ref();
                let part = write::call_part(&id, &call.name, &arguments, seal);
                self.parts.push(part);
            }
            Part::Image(media) | Part::Audio(media) | Part::Document(media) => self.media(media),
            // Only the provider that ran the tool knows its blocks; no model returns results.
            Part::Hosted { .. } | Part::ToolResult(_) => {}
        }
    }

    fn text(&mut self, text: &Text) {
        let Text {
            text,
            cache: _,
            citations,
            signature,
        } = text;
        for citation in citations {
            self.sources
                .push(citations::write(citation, text, self.text));
        }
        self.text += text.len();
        match signature {
            Some(seal) => self.parts.push(write::sealed_text_part(text, seal)),
            None if text.is_empty() => {}
            None => self.parts.push(write::text_part(text)),
        }
    }

    fn media(&mut self, media: Media) {
        if let Source::Inline { media_type, data } = media.source {
            let inline = Obj::new().str("mimeType", &media_type).str("data", &data);
            let part = Obj::new().raw("inlineData", &inline.end());
            self.parts.push(part.end());
        }
    }
}
