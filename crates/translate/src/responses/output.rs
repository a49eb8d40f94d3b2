//! The items that an answer consists of, and the ids of those that come without one. Whole answers and
//! streams are made of the same.

use crate::Caller;
use crate::ir::Citation;
use crate::json::{self, Obj, Object};

/// Makes ids. They depend on the request's id alone, so that an answer can be made again.
#[derive(Debug)]
pub(super) struct Ids(String);

impl Ids {
    /// For an answer.
    pub(super) fn of(caller: &Caller) -> Self {
        let hex = caller.request_hex.chars().take(24).collect::<String>();
        Self(format!("{hex:0<24}"))
    }

    /// Of the answer.
    pub(super) fn response(&self) -> String {
        format!("resp_lw{}", self.0)
    }

    /// Of the item in that place: `msg_…`, `rs_…`, `fc_…`, `ctc_…`.
    pub(super) fn item(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_lw{}_{index}", self.0)
    }

    /// Of the call in that place: `call_` and 24 hex digits.
    pub(super) fn call(&self, index: usize) -> String {
        let head = self.0.get(..20).unwrap_or_default();
        format!("call_{head}{:04x}", index & 0xffff)
    }
}

/// Where an item stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It has begun.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut.
    Incomplete,
}

impl Status {
    /// The word on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A message of the model. `content`: its parts as JSON.
pub(super) fn message(id: &str, status: Status, content: &[String]) -> String {
    Obj::new()
        .str("id", id)
        .str("type", "message")
        .str("status", status.as_str())
        .list("content", content.iter().cloned())
        .str("role", "assistant")
        .end()
}

/// A part that is text. Annotations and log probabilities are JSON.
pub(super) fn text_part(text: &str, annotations: &[String], logprobs: &[String]) -> String {
    Obj::new()
        .str("type", "output_text")
        .list("annotations", annotations.iter().cloned())
        .list("logprobs", logprobs.iter().cloned())
        .str("text", text)
        .end()
}

/// A part that is a refusal.
pub(super) fn refusal_part(text: &str) -> String {
    Obj::new().str("type", "refusal").str("refusal", text).end()
}

/// A part of a summary of thinking.
pub(super) fn summary_part(text: &str) -> String {
    Obj::new()
        .str("type", "summary_text")
        .str("text", text)
        .end()
}

/// Thinking. An empty text is no summary.
pub(super) fn reasoning(id: &str, text: &str, sealed: Option<&str>) -> String {
    Obj::new()
        .str("id", id)
        .str("type", "reasoning")
        .list("summary", (!text.is_empty()).then(|| summary_part(text)))
        .str_if("encrypted_content", sealed)
        .end()
}

/// A picture, as base64.
pub(super) fn picture(id: &str, data: &str) -> String {
    Obj::new()
        .str("id", id)
        .str("type", "image_generation_call")
        .str("status", "completed")
        .str("result", data)
        .end()
}

/// A call of a tool.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// The item's id.
    pub(super) id: String,
    /// The call's id.
    pub(super) call_id: String,
    /// The tool.
    pub(super) name: String,
    /// The group that the tool stands in.
    pub(super) namespace: Option<String>,
    /// Its input is plain text.
    pub(super) freeform: bool,
}

impl Call {
    /// The item with its arguments or its text.
    pub(super) fn item(&self, status: Status, input: &str) -> String {
        let Self {
            id,
            call_id,
            name,
            namespace,
            freeform,
        } = self;
        let (kind, key) = if *freeform {
            ("custom_tool_call", "input")
        } else {
            ("function_call", "arguments")
        };
        Obj::new()
            .str("id", id)
            .str("type", kind)
            .str("status", status.as_str())
            .str(key, input)
            .str("call_id", call_id)
            .str("name", name)
            .str_if("namespace", namespace.as_deref())
            .end()
    }
}

/// An annotation of a text that is so many characters long; `None`: the source has no address, and the
/// dialect has no form for such.
pub(super) fn annotation(citation: &Citation, length: usize) -> Option<String> {
    let Citation {
        url,
        title,
        cited_text: _,
        span,
    } = citation;
    let url = url.as_deref()?;
    let annotation = Obj::new().str("type", "url_citation");
    let annotation = match span {
        Some((start, end)) => annotation.num("start_index", start).num("end_index", end),
        None => annotation.num("start_index", 0).num("end_index", length),
    };
    let title = title.as_deref().unwrap_or(url);
    Some(annotation.str("url", url).str("title", title).end())
}

/// The entries of log probabilities in the form of Chat Completions (`{"content":[…]}`).
pub(super) fn logprob_entries(json: &str) -> Vec<String> {
    let list = Object::of_body(json.as_bytes())
        .ok()
        .and_then(|mut object| object.list("content").ok().flatten());
    let list = list.unwrap_or_default();
    list.into_iter().map(|raw| raw.get().to_owned()).collect()
}

/// Entries in the form of Chat Completions; `None` when there are none.
pub(super) fn logprobs_as_chat(entries: Vec<String>) -> Option<String> {
    if entries.is_empty() {
        return None;
    }
    Some(format!(
        "{{\"content\":{},\"refusal\":null}}",
        json::array(entries)
    ))
}
