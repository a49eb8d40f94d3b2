//! Whole answers: a provider's read, a caller's written.

use lw_wire::usage::{self, Reading};
use serde_json::value::RawValue;

use crate::ir::{Answer, Media, Part, Source, Stop, Text, Thinking, ToolCall};
use crate::json::{self, Object};
use crate::signature::{Origin, Signature};
use crate::{Caller, Problem};

use super::envelope::{self, Envelope, Outcome};
use super::freeform;
use super::items::{citations, thinking_text};
use super::output::{self, Call, Ids, Status};
use super::tools::Namespaces;
use super::write_seal;

/// Reads a provider's answer.
///
/// # Errors
/// It is not a Response, or one that failed.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, Problem> {
    let mut object = Object::of_body(body)?;
    let text = |object: &mut Object<'_>, key| object.take(key).and_then(json::text);
    let status = text(&mut object, "status");
    if status.as_deref() == Some("failed") {
        let failure = crate::failure::of_response(object.get("error"));
        return Err(Problem::bad(
            format!("the provider failed: {}", failure.message),
            "",
        ));
    }
    let is_response = text(&mut object, "object").as_deref() == Some("response");
    let output = object
        .take("output")
        .and_then(|raw| json::list(raw, "output").ok());
    if output.is_none() && !is_response {
        return Err(Problem::bad("the answer is not a Response", "output"));
    }
    let mut reading = Items::default();
    for item in output.unwrap_or_default() {
        reading.item(item);
    }
    let calls = reading
        .parts
        .iter()
        .any(|part| matches!(part, Part::ToolCall(_)));
    let details = object.take("incomplete_details");
    let incomplete = details.is_some() || status.as_deref() == Some("incomplete");
    Ok(Answer {
        id: text(&mut object, "id"),
        model: text(&mut object, "model"),
        created: created(&mut object),
        stop: if incomplete {
            incomplete_stop(details)
        } else {
            whole_stop(calls)
        },
        parts: reading.parts,
        usage: object
            .get("usage")
            .and_then(read_usage)
            .and_then(Reading::reported),
        service_tier: text(&mut object, "service_tier"),
        logprobs: output::logprobs_as_chat(reading.logprobs).map(json::raw),
    })
}

/// `created_at` may have a fraction.
fn created(object: &mut Object<'_>) -> Option<u64> {
    let raw = object.take("created_at")?;
    let whole = raw.get().split('.').next().unwrap_or_default();
    whole.trim_matches('"').parse().ok()
}

/// Tokens.
pub(super) fn read_usage(raw: &RawValue) -> Option<Reading> {
    usage::openai(raw.get())
}

/// Why a whole answer stopped.
pub(super) const fn whole_stop(calls: bool) -> Stop {
    if calls { Stop::ToolUse } else { Stop::End }
}

/// Why an incomplete one did (providers 17): no reason is the limit, an unknown one a filter.
pub(super) fn incomplete_stop(details: Option<&RawValue>) -> Stop {
    let reason = details
        .and_then(|raw| Object::read(raw, "incomplete_details").ok())
        .and_then(|mut details| details.take("reason").and_then(json::text));
    match reason.as_deref() {
        None | Some("max_output_tokens") => Stop::Length,
        Some(_) => Stop::Filtered,
    }
}

#[derive(Default)]
struct Items {
    parts: Vec<Part>,
    logprobs: Vec<String>,
}

impl Items {
    fn item(&mut self, raw: &RawValue) {
        let Ok(mut object) = Object::read(raw, "output") else {
            return;
        };
        let text = |object: &mut Object<'_>, key| object.take(key).and_then(json::text);
        let kind = text(&mut object, "type").unwrap_or_default();
        match kind.as_str() {
            "message" => {
                let content = object.take("content");
                let content = content.and_then(|raw| json::list(raw, "content").ok());
                for part in content.unwrap_or_default() {
                    self.content(part);
                }
            }
            "reasoning" => self.parts.extend(thinking(&mut object).map(Part::Thinking)),
            "function_call" | "custom_tool_call" => {
                let freeform = kind == "custom_tool_call";
                let key = if freeform { "input" } else { "arguments" };
                let id = text(&mut object, "call_id").or_else(|| text(&mut object, "id"));
                let arguments = object.take(key).map(super::read::text_or_json);
                self.parts.push(Part::ToolCall(ToolCall {
                    id: id.unwrap_or_default(),
                    name: text(&mut object, "name").unwrap_or_default(),
                    arguments: arguments.unwrap_or_default(),
                    freeform,
                    signature: None,
                    cache: None,
                }));
            }
            _ => self.parts.push(Part::Hosted {
                kind,
                raw: raw.to_owned(),
            }),
        }
    }

    fn content(&mut self, raw: &RawValue) {
        let Ok(mut part) = Object::read(raw, "content") else {
            return;
        };
        if let Some(refusal) = part.take("refusal").and_then(json::text) {
            self.parts.push(Part::Refusal(refusal));
        }
        if let Some(text) = part.take("text").and_then(json::text) {
            self.parts.push(Part::Text(Text {
                text,
                citations: citations(part.take("annotations")),
                ..Text::default()
            }));
        }
        self.logprobs.extend(entries(part.take("logprobs")));
    }
}

/// Entries of a list, as JSON.
pub(super) fn entries(raw: Option<&RawValue>) -> Vec<String> {
    let list = raw.and_then(|raw| json::list(raw, "logprobs").ok());
    let list = list.unwrap_or_default();
    list.into_iter().map(|raw| raw.get().to_owned()).collect()
}

/// Thinking; `None` when nothing of it is told.
pub(super) fn thinking(object: &mut Object<'_>) -> Option<Thinking> {
    let mut text = String::new();
    for key in ["summary", "content"] {
        if text.is_empty() {
            let parts = object.take(key).and_then(|raw| json::list(raw, key).ok());
            text = thinking_text(&parts.unwrap_or_default());
        }
    }
    let seal = object.take("encrypted_content").and_then(json::text);
    let id = object.take("id").and_then(json::text);
    let seal = seal.filter(|seal| !seal.is_empty()).map(|seal| {
        let (seal, redacted) = Signature::read_marked(&seal, Origin::OpenAi);
        match seal.origin {
            Origin::OpenAi => (Signature::of_item(id.as_deref(), &seal.value), redacted),
            Origin::Anthropic | Origin::Google | Origin::Bedrock => (seal, redacted),
        }
    });
    if text.is_empty() && seal.is_none() {
        return None;
    }
    Some(Thinking {
        text,
        redacted: seal.as_ref().is_some_and(|(_, redacted)| *redacted),
        signature: seal.map(|(seal, _)| seal),
        id,
    })
}

/// Writes an answer for a caller.
pub(crate) fn write_answer(answer: Answer, caller: &Caller) -> Vec<u8> {
    let Answer {
        id,
        model: _,
        created,
        parts,
        stop,
        usage,
        service_tier,
        logprobs,
    } = answer;
    let outcome = Outcome::of(&stop);
    let mut writing = Writing::new(caller, logprobs.as_deref());
    for part in &parts {
        writing.part(part);
    }
    writing.message(outcome.of_last_item());
    let envelope = Envelope::new(id, created, caller);
    envelope
        .response(
            outcome,
            &writing.items,
            usage.as_ref(),
            service_tier.as_deref(),
        )
        .into_bytes()
}

struct Writing<'a> {
    caller: &'a Caller,
    ids: Ids,
    namespaces: Namespaces,
    items: Vec<String>,
    /// Parts of the message that is open.
    content: Vec<String>,
    /// Log probabilities of the first text.
    logprobs: Vec<String>,
}

impl<'a> Writing<'a> {
    fn new(caller: &'a Caller, logprobs: Option<&RawValue>) -> Self {
        Self {
            caller,
            ids: Ids::of(caller),
            namespaces: Namespaces::of(envelope::tools_of(caller)),
            items: Vec::new(),
            content: Vec::new(),
            logprobs: logprobs.map_or_else(Vec::new, |raw: &RawValue| {
                output::logprob_entries(raw.get())
            }),
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => {
                self.seal(text.signature.as_ref());
                self.text(text);
            }
            Part::Refusal(text) if text.is_empty() => {}
            Part::Refusal(text) => self.content.push(output::refusal_part(text)),
            Part::Thinking(thinking) => self.thinking(thinking),
            Part::ToolCall(call) => {
                self.seal(call.signature.as_ref());
                self.call(call);
            }
            Part::Hosted { kind, raw } => {
                // Items of this dialect's own providers; blocks of others are not items.
                if super::items::is_hosted(kind) {
                    self.message(Status::Completed);
                    self.items.push(raw.get().to_owned());
                }
            }
            Part::Image(image) => self.image(image),
            // The dialect has no answers of these.
            Part::Document(_) | Part::Audio(_) | Part::ToolResult(_) => {}
        }
    }

    /// A picture that the model made is an item of its own here.
    fn image(&mut self, image: &Media) {
        if let Source::Inline { data, .. } = &image.source {
            self.message(Status::Completed);
            let id = self.ids.item("ig", self.items.len());
            self.items.push(output::picture(&id, data));
        }
    }

    /// Ends the message that is open.
    fn message(&mut self, status: Status) {
        if self.content.is_empty() {
            return;
        }
        let id = self.ids.item("msg", self.items.len());
        let content = std::mem::take(&mut self.content);
        self.items.push(output::message(&id, status, &content));
    }

    fn text(&mut self, text: &Text) {
        if text.text.is_empty() {
            return;
        }
        let length = text.text.chars().count();
        let annotations = text.citations.iter();
        let annotations: Vec<String> = annotations
            .filter_map(|citation| output::annotation(citation, length))
            .collect();
        let logprobs = std::mem::take(&mut self.logprobs);
        self.content
            .push(output::text_part(&text.text, &annotations, &logprobs));
    }

    /// A seal that belongs to the next part stands before it as thinking without a text.
    fn seal(&mut self, seal: Option<&Signature>) {
        if let Some(seal) = seal {
            self.thinking(&Thinking {
                signature: Some(seal.clone()),
                ..Thinking::default()
            });
        }
    }

    fn thinking(&mut self, thinking: &Thinking) {
        let Thinking {
            text,
            signature,
            redacted,
            id,
        } = thinking;
        if text.is_empty() && signature.is_none() {
            return;
        }
        self.message(Status::Completed);
        let id = id.clone();
        let id = id.unwrap_or_else(|| self.ids.item("rs", self.items.len()));
        let sealed = signature.as_ref().map(|seal| write_seal(seal, *redacted));
        self.items
            .push(output::reasoning(&id, text, sealed.as_deref()));
    }

    fn call(&mut self, call: &ToolCall) {
        self.message(Status::Completed);
        let index = self.items.len();
        let freeform = call.freeform || self.caller.freeform_tools.contains(&call.name);
        let call_id = Some(call.id.clone()).filter(|id| !id.is_empty());
        let (namespace, name) = self.namespaces.split(&call.name);
        let item = Call {
            id: self.ids.item(if freeform { "ctc" } else { "fc" }, index),
            call_id: call_id.unwrap_or_else(|| self.ids.call(index)),
            name: name.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            freeform,
        };
        let input = if !freeform {
            arguments(&call.arguments)
        } else if call.freeform {
            call.arguments.clone()
        } else {
            freeform::text_of(&call.arguments)
        };
        self.items.push(item.item(Status::Completed, &input));
    }
}

/// Callers parse the arguments: nothing is an empty object.
pub(super) fn arguments(text: &str) -> String {
    if text.trim().is_empty() {
        "{}".to_owned()
    } else {
        text.to_owned()
    }
}
