//! Reads and writes whole answers of Chat Completions.
//!
//! Reading is lenient: servers differ in where they put thinking, whether content is a string, and what
//! they leave out. Writing always gives one choice. Start at [`read_answer`] and [`write_answer`].

use lw_wire::usage::Reading;
use serde_json::value::RawValue;

use super::details;
use super::read_messages::google_seal;
use super::shared;
use crate::ir::{Answer, Media, Part, Source, Stop, Text, Thinking, ToolCall};
use crate::json::{Obj, Object, text};
use crate::media::{data_uri, source_of};
use crate::responses::freeform;
use crate::signature::{Origin, Signature};
use crate::{Caller, Problem};

/// Reads an answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, Problem> {
    let body = Object::of_body(body)?;
    let field = |key: &str| body.get(key).and_then(text);
    if !body.has("choices") {
        let failure = super::stream::failure(&body);
        let message = failure.map_or_else(
            || "the answer has no `choices`".to_owned(),
            |failure| failure.message,
        );
        return Err(Problem::bad(message, "choices"));
    }
    let choice = first_choice(&body);
    let message = choice
        .as_ref()
        .and_then(|choice| choice.get("message"))
        .and_then(|raw| Object::read(raw, "message").ok());
    let parts = message.map(|message| parts(&message)).unwrap_or_default();
    let said = choice.as_ref().and_then(shared::read_stop);
    let stop = said.unwrap_or(if choice.is_some() {
        Stop::Other
    } else {
        Stop::Length
    });
    Ok(Answer {
        id: field("id").filter(|id| !id.is_empty()),
        model: field("model").filter(|model| !model.is_empty()),
        created: body
            .get("created")
            .and_then(|raw| serde_json::from_str(raw.get()).ok()),
        parts,
        stop,
        usage: shared::read_usage(&body, choice.as_ref()).and_then(Reading::reported),
        service_tier: field("service_tier"),
        logprobs: choice
            .as_ref()
            .and_then(|choice| choice.get("logprobs"))
            .map(RawValue::to_owned),
    })
}

/// The choice with the index 0, or the first without an index: others were never asked for.
pub(super) fn first_choice<'a>(body: &Object<'a>) -> Option<Object<'a>> {
    let list: Vec<&RawValue> = serde_json::from_str(body.get("choices")?.get()).ok()?;
    let read = list.iter().filter_map(|raw| Object::read(raw, "").ok());
    read.into_iter().find(|choice| {
        choice
            .get("index")
            .is_none_or(|index| index.get().trim_matches('"') == "0")
    })
}

fn entries<'a>(object: &Object<'a>, key: &str) -> Vec<&'a RawValue> {
    let list = object.get(key).map(RawValue::get);
    list.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// Thinking, text, refusal, pictures, calls.
fn parts(message: &Object<'_>) -> Vec<Part> {
    let field = |key: &str| {
        message
            .get(key)
            .and_then(text)
            .filter(|one| !one.is_empty())
    };
    let mut calls = calls(message);
    let mut thoughts: Vec<Thinking> = Vec::new();
    for detail in details::read(&entries(message, "reasoning_details")) {
        let sealed = detail
            .call()
            .and_then(|id| calls.iter_mut().find(|call| call.id == id));
        match sealed {
            Some(call) => call.signature = call.signature.take().or(detail.seal),
            None => thoughts.push(detail.into()),
        }
    }
    let mut content = Vec::new();
    match message.get("content") {
        Some(raw) => content_parts(raw, &mut thoughts, &mut content),
        // A spoken answer has its words beside the sound.
        None => content.extend(
            message
                .get("audio")
                .and_then(|raw| Object::read(raw, "").ok())
                .and_then(|audio| audio.get("transcript").and_then(text))
                .map(Part::text),
        ),
    }
    if thoughts.iter().all(|one| one.text.is_empty())
        && let Some(text) = field("reasoning_content").or_else(|| field("reasoning"))
    {
        match thoughts.as_mut_slice() {
            [only] if !only.redacted => only.text = text,
            _ => thoughts.insert(
                0,
                Thinking {
                    text,
                    ..Thinking::default()
                },
            ),
        }
    }
    let citations = shared::read_annotations(&entries(message, "annotations"));
    if let Some(Part::Text(text)) = content
        .iter_mut()
        .find(|part| matches!(part, Part::Text(_)))
    {
        text.citations = citations;
    }
    let mut parts: Vec<Part> = thoughts.into_iter().map(Part::Thinking).collect();
    parts.append(&mut content);
    parts.extend(field("refusal").map(Part::Refusal));
    parts.extend(entries(message, "images").into_iter().filter_map(image));
    parts.extend(calls.into_iter().map(Part::ToolCall));
    parts
}

/// Content is a string, or (Mistral) a list with texts and thinking.
pub(super) fn content_parts(raw: &RawValue, thoughts: &mut Vec<Thinking>, out: &mut Vec<Part>) {
    if let Some(one) = text(raw) {
        if !one.is_empty() {
            out.push(Part::text(one));
        }
        return;
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    for entry in list.iter().filter_map(|raw| Object::read(raw, "").ok()) {
        match entry.get("type").and_then(text).as_deref() {
            Some("thinking") => {
                let mut inner = Vec::new();
                if let Some(raw) = entry.get("thinking") {
                    content_parts(raw, &mut Vec::new(), &mut inner);
                }
                let said: String = inner.iter().filter_map(text_of).collect();
                if !said.is_empty() {
                    thoughts.push(Thinking {
                        text: said,
                        ..Thinking::default()
                    });
                }
            }
            Some("refusal") => {
                let words = entry.get("refusal").and_then(text);
                out.extend(words.map(Part::Refusal));
            }
            _ => {
                let said = entry.get("text").and_then(text);
                out.extend(said.filter(|text| !text.is_empty()).map(Part::text));
            }
        }
    }
}

fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(&text.text),
        _ => None,
    }
}

fn image(raw: &RawValue) -> Option<Part> {
    let entry = Object::read(raw, "").ok()?;
    let image = Object::read(entry.get("image_url")?, "").ok()?;
    let url = image.get("url").and_then(text)?;
    Some(Part::Image(Media::new(source_of(&url))))
}

fn calls(message: &Object<'_>) -> Vec<ToolCall> {
    let mut calls: Vec<ToolCall> = entries(message, "tool_calls")
        .into_iter()
        .filter_map(|raw| call(&Object::read(raw, "").ok()?))
        .collect();
    if calls.is_empty()
        && let Some(raw) = message.get("function_call")
    {
        let old = Object::read(raw, "").ok().and_then(|old| function(&old));
        calls.extend(old.map(|(name, arguments)| ToolCall {
            id: String::new(),
            name,
            arguments,
            freeform: false,
            signature: None,
            cache: None,
        }));
    }
    calls
}

fn call(entry: &Object<'_>) -> Option<ToolCall> {
    let inner = |key: &str| Object::read(entry.get(key)?, "").ok();
    let custom = inner("custom");
    let freeform = custom.is_some();
    let (name, arguments) = match custom {
        Some(custom) => (
            custom.get("name").and_then(text)?,
            custom.get("input").and_then(text).unwrap_or_default(),
        ),
        None => function(&inner("function")?)?,
    };
    Some(ToolCall {
        id: entry.get("id").and_then(text).unwrap_or_default(),
        name,
        arguments,
        freeform,
        signature: google_seal(entry.get("extra_content")),
        cache: None,
    })
}

fn function(function: &Object<'_>) -> Option<(String, String)> {
    let name = function.get("name").and_then(text)?;
    let arguments = function.get("arguments").map(arguments_text);
    Some((name, arguments.unwrap_or_default()))
}

/// Arguments are JSON in a string; some servers send the object itself.
pub(super) fn arguments_text(raw: &RawValue) -> String {
    text(raw).unwrap_or_else(|| raw.get().to_owned())
}

/// Writes an answer.
pub(crate) fn write_answer(answer: Answer, caller: &Caller) -> Vec<u8> {
    let Answer {
        id,
        // The caller's own name for the model is written.
        model: _,
        created: _,
        parts,
        stop,
        usage,
        service_tier,
        logprobs,
    } = answer;
    let choice = Obj::new()
        .num("index", 0)
        .raw("message", &message(&parts, caller))
        .raw(
            "logprobs",
            logprobs.as_deref().map_or("null", RawValue::get),
        )
        .str("finish_reason", shared::finish_reason(&stop));
    Obj::new()
        .str("id", &shared::answer_id(id, caller))
        .str("object", "chat.completion")
        .num("created", caller.created)
        .str("model", &caller.model)
        .list("choices", [choice.end()])
        .raw_if("usage", usage.as_ref().map(shared::write_usage).as_deref())
        .str_if(
            "service_tier",
            service_tier.as_deref().and_then(crate::tier::openai),
        )
        .raw_if("extra_fields", shared::extra_fields(caller).as_deref())
        .end()
        .into_bytes()
}

/// What a message is made of, gathered from the parts.
#[derive(Default)]
struct Message {
    content: String,
    spoke: bool,
    refusal: String,
    reasoning: Vec<String>,
    details: Vec<String>,
    blocks: usize,
    calls: Vec<String>,
    annotations: Vec<String>,
    images: Vec<String>,
}

fn message(parts: &[Part], caller: &Caller) -> String {
    let mut gathered = Message::default();
    for part in parts {
        gathered.take(part, caller);
    }
    let Message {
        content,
        spoke,
        refusal,
        reasoning,
        details,
        blocks: _,
        calls,
        annotations,
        images,
    } = gathered;
    let silent = !spoke && (!calls.is_empty() || !refusal.is_empty());
    let content = if silent {
        "null".to_owned()
    } else {
        shared::quoted(&content)
    };
    let reasoning = reasoning.join("\n\n");
    Obj::new()
        .str("role", "assistant")
        .raw("content", &content)
        .str_if("refusal", Some(&*refusal).filter(|text| !text.is_empty()))
        .str_if(
            "reasoning",
            Some(&*reasoning).filter(|text| !text.is_empty()),
        )
        .list_if("reasoning_details", details)
        .list_if("tool_calls", calls)
        .list_if("annotations", annotations)
        .list_if("images", images)
        .end()
}

impl Message {
    fn take(&mut self, part: &Part, caller: &Caller) {
        match part {
            Part::Text(text) => self.text(text, caller),
            Part::Refusal(words) => self.refusal.push_str(words),
            Part::Thinking(thinking) if !caller.hide_thinking => {
                self.details.extend(details::write(thinking, self.blocks));
                self.blocks += 1;
                if !thinking.text.is_empty() {
                    self.reasoning.push(thinking.text.clone());
                }
            }
            Part::ToolCall(call) => self.call(call, caller),
            Part::Image(media) => self.image(media),
            // Nothing in this dialect can hold these.
            Part::Thinking(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::ToolResult(_)
            | Part::Hosted { .. } => {}
        }
    }

    fn text(&mut self, text: &Text, caller: &Caller) {
        let Text {
            text,
            cache: _,
            citations,
            signature,
        } = text;
        let start = shared::length(&self.content);
        self.content.push_str(text);
        self.spoke |= !text.is_empty();
        let end = shared::length(&self.content);
        let written = citations
            .iter()
            .filter_map(|citation| shared::annotation(citation, start, end));
        self.annotations.extend(written);
        if let Some(seal) = signature.as_ref().filter(|_| !caller.hide_thinking) {
            self.seal(seal, None);
        }
    }

    fn seal(&mut self, seal: &Signature, call: Option<&str>) {
        self.details
            .push(details::seal(seal, self.blocks, call, false));
        self.blocks += 1;
    }

    fn call(&mut self, call: &ToolCall, caller: &Caller) {
        let id = shared::call_id(Some(&call.id), self.calls.len(), caller);
        let entry = Obj::new().str("id", &id);
        let entry = if shared::is_freeform(&call.name, caller) {
            let input = if call.freeform {
                call.arguments.clone()
            } else {
                freeform::text_of(&call.arguments)
            };
            let custom = Obj::new().str("name", &call.name).str("input", &input);
            entry.str("type", "custom").raw("custom", &custom.end())
        } else {
            let function = Obj::new()
                .str("name", &call.name)
                .str("arguments", &shared::arguments(call));
            entry
                .str("type", "function")
                .raw("function", &function.end())
        };
        let seal = call.signature.as_ref();
        let extra = seal.map(extra_content);
        self.calls
            .push(entry.raw_if("extra_content", extra.as_deref()).end());
        if let Some(seal) = seal.filter(|seal| seal.origin == Origin::Google) {
            self.seal(seal, Some(&id));
        }
    }

    fn image(&mut self, media: &Media) {
        let url = match &media.source {
            Source::Inline { media_type, data } => data_uri(media_type, data),
            Source::Url(url) => url.clone(),
            Source::Text(_) | Source::File(_) => return,
        };
        self.images.push(
            Obj::new()
                .str("type", "image_url")
                .raw("image_url", &Obj::new().str("url", &url).end())
                .end(),
        );
    }
}

/// A call's seal, in the field that Google's own Chat Completions have for it.
pub(super) fn extra_content(seal: &Signature) -> String {
    let google = Obj::new().str("thought_signature", &seal.write(Origin::Google));
    Obj::new().raw("google", &google.end()).end()
}
