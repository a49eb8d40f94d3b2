//! The text of a whole answer (data-plane 16.3), and how it is replaced.
//!
//! What the caller reads counts: no reasoning, no refusal, no call of a tool. Where one answer holds several
//! (`n`), each is one [`Output`]: a second one is no way around a check.

use std::ops::Range;

use bytes::Bytes;
use lw_core::BodyForm;
use serde_json::value::RawValue;

use super::{
    Piece, Unreadable, has_member, is_true, number_member, place, quoted, text_member, whole,
};
use crate::capture::raw;
use crate::splice::Edits;

/// What guardrails look at in an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the model wrote; more than one when the caller asked for several.
    pub outputs: Vec<Output>,
    /// Why nothing is to be checked.
    pub skipped: Option<Skip>,
}

/// Why an answer is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The model calls tools: the conversation goes on.
    ToolCalls,
    /// There is no text.
    NoText,
}

impl Skip {
    /// The word of `langwatch.guardrail.post.skipped`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToolCalls => "tool_calls",
            Self::NoText => "no_text",
        }
    }
}

/// One answer's text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// All of its text blocks together.
    pub text: String,
    places: Vec<Range<usize>>,
    /// What repeats the text in another form, and what to put there when it changed.
    echoes: Vec<(Range<usize>, &'static str)>,
    calls: bool,
}

/// Items of the Responses dialect that ask the caller to do something.
pub(super) const CALLS: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "mcp_approval_request",
];

impl Answer {
    /// Reads the body of an answer. Forms without a conversation have no text.
    ///
    /// # Errors
    /// [`Unreadable::NotAnObject`]
    pub fn read(form: BodyForm, body: &[u8]) -> Result<Self, Unreadable> {
        let (body, whole) = whole(body)?;
        let outputs = match form {
            BodyForm::ChatJson => chat(body, whole),
            BodyForm::ResponsesJson => vec![responses(body, whole)],
            BodyForm::MessagesJson => vec![messages(body, whole)],
            BodyForm::GeminiJson => gemini(body, whole),
            BodyForm::ChatStream
            | BodyForm::ResponsesStream
            | BodyForm::MessagesStream
            | BodyForm::GeminiStream
            | BodyForm::EmbeddingsJson
            | BodyForm::Opaque
            | BodyForm::Messages => Vec::new(),
        };
        Ok(Self::of(outputs))
    }

    /// Reads the transcript of a recording: `{"text": …}`.
    ///
    /// # Errors
    /// [`Unreadable::NotAnObject`]
    pub fn transcript(body: &[u8]) -> Result<Self, Unreadable> {
        let (body, whole) = whole(body)?;
        let mut output = Output::default();
        output.add(body, whole, "text");
        raw::members(whole, |key, value| {
            if matches!(&*raw::name(key), "segments" | "words" | "logprobs") {
                output.echoes.push((place(body, value), "[]"));
            }
        });
        Ok(Self::of(vec![output]))
    }

    fn of(outputs: Vec<Output>) -> Self {
        let calls = outputs.iter().any(|output| output.calls);
        let outputs: Vec<Output> = outputs
            .into_iter()
            .filter(|output| !output.calls && !output.text.is_empty())
            .collect();
        let skipped =
            outputs
                .is_empty()
                .then_some(if calls { Skip::ToolCalls } else { Skip::NoText });
        Self { outputs, skipped }
    }

    /// The edits that put `texts` in the place of the outputs, one for each: the first text block becomes the
    /// text, the others become empty, and what repeats the old text (its log probabilities) goes.
    #[must_use]
    pub fn with_texts(&self, texts: &[String]) -> Edits {
        let mut edits = Edits::default();
        for (output, text) in self.outputs.iter().zip(texts) {
            if output.text == *text {
                continue;
            }
            let mut text = text.as_str();
            for at in &output.places {
                edits.replace(at.clone(), quoted(std::mem::take(&mut text)));
            }
            for (at, instead) in &output.echoes {
                edits.replace(at.clone(), Bytes::from_static(instead.as_bytes()));
            }
        }
        edits
    }
}

impl Output {
    /// Adds every text under `name`.
    fn add(&mut self, body: &str, object: &RawValue, name: &str) {
        raw::members(object, |key, value| {
            if raw::name(key) == name
                && let Some(piece) = Piece::of(body, value)
            {
                self.text.push_str(&piece.text);
                self.places.push(piece.at);
            }
        });
    }

    /// Adds what repeats the text.
    fn echo(&mut self, body: &str, object: &RawValue, name: &str, instead: &'static str) {
        if let Some(value) = raw::member(object, name).filter(|value| value.get() != "null") {
            self.echoes.push((place(body, value), instead));
        }
    }
}

fn chat(body: &str, whole: &RawValue) -> Vec<Output> {
    let mut outputs = Vec::new();
    let Some(choices) = raw::member(whole, "choices") else {
        return outputs;
    };
    raw::elements(choices, |choice| {
        let mut output = Output::default();
        output.echo(body, choice, "logprobs", "null");
        if let Some(message) = raw::member(choice, "message") {
            output.calls =
                has_member(message, "tool_calls") || has_member(message, "function_call");
            output.add(body, message, "content");
            if let Some(parts) =
                raw::member(message, "content").filter(|parts| raw::is_array(parts))
            {
                raw::elements(parts, |part| output.add(body, part, "text"));
            }
        }
        outputs.push(output);
    });
    outputs
}

fn messages(body: &str, whole: &RawValue) -> Output {
    let mut output = Output::default();
    if let Some(content) = raw::member(whole, "content") {
        raw::elements(content, |block| {
            match text_member(block, "type").as_deref() {
                Some("text") => output.add(body, block, "text"),
                Some("tool_use") => output.calls = true,
                Some(_) | None => {}
            }
        });
    }
    output
}

fn responses(body: &str, whole: &RawValue) -> Output {
    let mut output = Output::default();
    let Some(items) = raw::member(whole, "output") else {
        return output;
    };
    raw::elements(items, |item| {
        let kind = text_member(item, "type").unwrap_or_default();
        output.calls |= CALLS.contains(&&*kind);
        if let Some(content) = raw::member(item, "content").filter(|_| kind == "message") {
            raw::elements(content, |part| {
                if text_member(part, "type").as_deref() == Some("output_text") {
                    output.add(body, part, "text");
                    output.echo(body, part, "logprobs", "[]");
                }
            });
        }
    });
    output
}

/// One object, or the list of chunks that a stream without events is.
fn gemini(body: &str, whole: &RawValue) -> Vec<Output> {
    let mut outputs: Vec<(u64, Output)> = Vec::new();
    let mut chunk = |chunk: &RawValue| {
        let Some(candidates) = raw::member(chunk, "candidates") else {
            return;
        };
        raw::elements(candidates, |candidate| {
            let index = number_member(candidate, "index").unwrap_or_default();
            let mut output = match outputs.iter().position(|(known, _)| *known == index) {
                Some(place) => outputs.swap_remove(place).1,
                None => Output::default(),
            };
            output.echo(body, candidate, "logprobsResult", "null");
            let content = raw::member(candidate, "content");
            if let Some(parts) = content.and_then(|content| raw::member(content, "parts")) {
                raw::elements(parts, |part| {
                    output.calls |= has_member(part, "functionCall");
                    if !is_true(part, "thought") {
                        output.add(body, part, "text");
                    }
                });
            }
            outputs.push((index, output));
        });
    };
    if raw::is_array(whole) {
        raw::elements(whole, &mut chunk);
    } else {
        chunk(whole);
    }
    outputs.sort_by_key(|(index, _)| *index);
    outputs.into_iter().map(|(_, output)| output).collect()
}
