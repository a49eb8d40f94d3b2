//! What a body or stream says, read from its JSON tree by the providers' own documentation.
//!
//! A second opinion: it shares no code with the crate. It is strict about what it understands and silent
//! about what it does not, and knows only what is compared.

mod chat;
mod converse;
mod gemini;
mod messages;
mod responses;

use std::collections::BTreeMap;

use lw_translate::Dialect;
use serde_json::{Value, json};

use super::cases::converse_frames;

/// What a request asks for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Asked {
    /// Instructions, words only.
    pub(crate) system: String,
    /// What the user says.
    pub(crate) user: String,
    /// What the model said.
    pub(crate) assistant: String,
    /// What the model thought.
    pub(crate) thinking: String,
    /// Name and arguments of each call.
    pub(crate) calls: Vec<(String, Value)>,
    /// Name of the tool and words of each result.
    pub(crate) results: Vec<(String, String)>,
    /// Pictures, those in results included.
    pub(crate) images: usize,
    /// Documents.
    pub(crate) documents: usize,
    /// Name and description of each function.
    pub(crate) tools: Vec<(String, String)>,
    /// `auto`, `none`, `any`, or the name of a tool.
    pub(crate) choice: Option<String>,
    /// The schema of the answer.
    pub(crate) schema: Option<Value>,
    /// Thinking is switched on, by whatever means.
    pub(crate) thinks: bool,
    /// Numbers and texts that steer, by neutral name.
    pub(crate) numbers: BTreeMap<&'static str, Value>,
    /// Ids of calls, with the tool's name.
    ids: BTreeMap<String, String>,
}

/// What an answer says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Said {
    /// All text, refusals included.
    pub(crate) text: String,
    /// All thinking.
    pub(crate) thinking: String,
    /// Name and arguments of each call.
    pub(crate) calls: Vec<(String, Value)>,
    /// `stop`, `tool`, `length` or `filtered`; `None`: it was not said.
    pub(crate) stop: Option<&'static str>,
    /// Tokens, unless nothing was reported.
    pub(crate) usage: Option<Tokens>,
    /// It ended in an error, or without an end.
    pub(crate) failed: bool,
}

/// Tokens as the first provider of each dialect counts them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// All input.
    pub(crate) prompt: u64,
    /// All output.
    pub(crate) completion: u64,
    /// Of the input: read from a cache.
    pub(crate) read: u64,
    /// Of the input: written to a cache.
    pub(crate) write: u64,
    /// Of the output: thinking.
    pub(crate) reasoning: u64,
}

impl Tokens {
    /// Zeros only are no report.
    fn reported(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// Reads a request.
pub(crate) fn request(dialect: Dialect, body: &Value) -> Asked {
    let mut asked = match dialect {
        Dialect::Chat => chat::request(body),
        Dialect::Responses => responses::request(body),
        Dialect::Messages => messages::request(body),
        Dialect::Gemini => gemini::request(body),
        Dialect::Converse => converse::request(body),
    };
    for text in [
        &mut asked.system,
        &mut asked.user,
        &mut asked.assistant,
        &mut asked.thinking,
    ] {
        *text = squeezed(text);
    }
    asked
}

/// Reads an answer.
pub(crate) fn answer(dialect: Dialect, body: &Value) -> Said {
    let said = match dialect {
        Dialect::Chat => chat::answer(body),
        Dialect::Responses => responses::answer(body),
        Dialect::Messages => messages::answer(body),
        Dialect::Gemini => gemini::answer(body),
        Dialect::Converse => converse::answer(body),
    };
    settled(said)
}

/// Reads a stream.
pub(crate) fn stream(dialect: Dialect, bytes: &[u8]) -> Said {
    let said = match dialect {
        Dialect::Converse => converse::stream(&converse_frames(bytes)),
        dialect => {
            let frames: Vec<Value> = frames(bytes)
                .into_iter()
                .filter_map(|(_, data)| serde_json::from_str(&data).ok())
                .collect();
            match dialect {
                Dialect::Chat => chat::stream(&frames),
                Dialect::Responses => responses::stream(&frames),
                Dialect::Messages => messages::stream(&frames),
                Dialect::Gemini | Dialect::Converse => gemini::stream(&frames),
            }
        }
    };
    settled(said)
}

/// Event name and data of each SSE frame.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(Option<String>, String)> {
    let text = String::from_utf8_lossy(bytes)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let mut frames = Vec::new();
    for block in text.split("\n\n") {
        let field = |name: &str| {
            let lines = block.lines().filter_map(move |line| {
                let value = line.strip_prefix(name)?.strip_prefix(':')?;
                Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
            });
            lines.collect::<Vec<String>>()
        };
        let data = field("data");
        if !data.is_empty() {
            frames.push((field("event").pop(), data.join("\n")));
        }
    }
    frames
}

/// A call makes a plain stop a wait for tools; an answer that failed has no stop.
fn settled(mut said: Said) -> Said {
    if !said.calls.is_empty() && said.stop == Some("stop") {
        said.stop = Some("tool");
    }
    if said.stop.is_none() {
        said.failed = true;
    }
    said.usage = said.usage.and_then(Tokens::reported);
    said
}

/// One space where there was any white space: dialects join texts differently.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds words.
fn add(to: &mut String, text: &str) {
    if !to.is_empty() {
        to.push('\n');
    }
    to.push_str(text);
}

/// A text field, empty when there is none.
fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The entries of a list, none when it is something else.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether an effort or a budget stands for any thinking at all.
fn is_some_thinking(level: &Value) -> bool {
    match level {
        Value::String(word) => word != "none",
        Value::Number(number) => number.as_i64() != Some(0),
        _ => false,
    }
}

/// Whether Anthropic's `thinking`, or what is made after it, switches thinking on.
fn is_on(thinking: &Value) -> bool {
    matches!(word(thinking, "type"), "enabled" | "adaptive")
}

/// A count, also one in quotes.
fn count(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text).unwrap_or_default()
}

/// Arguments that stand as a text.
fn parsed(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({"_raw": arguments}),
    }
}

/// The words of a result, whatever the dialect wraps them in.
fn result_words(content: &Value) -> String {
    let words = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| word(part, "text"))
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    // JSON in a text is the JSON.
    match serde_json::from_str::<Value>(&words) {
        Ok(Value::Object(object)) => Value::Object(object).to_string(),
        _ => squeezed(&words),
    }
}

impl Asked {
    fn number(&mut self, name: &'static str, value: &Value) {
        let value = match value {
            Value::Null => return,
            // One stop sequence is a list of one.
            Value::String(text) => json!([text]),
            value => value.clone(),
        };
        if value != json!([]) {
            self.numbers.entry(name).or_insert(value);
        }
    }

    fn call(&mut self, id: &str, name: &str, arguments: Value) {
        self.ids.insert(id.to_owned(), name.to_owned());
        self.calls.push((name.to_owned(), arguments));
    }

    fn result(&mut self, id: &str, content: &Value) {
        let name = self.ids.get(id).cloned().unwrap_or_default();
        self.results.push((name, result_words(content)));
    }

    fn tool(&mut self, tool: &Value) {
        let entry = (
            word(tool, "name").to_owned(),
            word(tool, "description").to_owned(),
        );
        self.tools.push(entry);
    }
}
