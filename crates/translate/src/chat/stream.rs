//! Reads a stream of Chat Completions chunks, of whatever server sends them.
//!
//! Servers differ: thinking has three names, calls come in pieces or whole, with and without an index,
//! usage comes with the finish or behind it. Nothing here is an error; a frame that says nothing known is
//! passed over. Start at [`Reader`].

use serde_json::value::RawValue;

use super::answer::{arguments_text, content_parts, first_choice};
use super::details::Detail;
use super::read_messages::google_seal;
use super::shared;
use crate::ir::{BlockKind, Delta, Event, Failure, Part, Thinking};
use crate::json::{Object, text};
use crate::stream::StreamReader;

/// Key of the text.
const TEXT: u32 = 0;
/// Key of the refusal.
const REFUSAL: u32 = 1;
/// Key of thinking without an index; with one, it is added.
const THINKING: u32 = 2;
/// Key of the first call.
const CALLS: u32 = 1_000_000;

/// Reads the frames.
#[derive(Debug, Default)]
pub struct Reader {
    /// The id and the model were told.
    named: bool,
    tier: Option<String>,
    calls: Vec<Call>,
    /// The call of the last delta.
    current: Option<usize>,
    /// The block of the last delta.
    last: Option<u32>,
    /// A reason to stop was seen.
    stopped: bool,
}

#[derive(Debug)]
struct Call {
    key: u32,
    /// The provider's index, when it has one.
    index: Option<u64>,
    id: Option<String>,
    name: Option<String>,
    /// What came before the name.
    waiting: Vec<Delta>,
}

impl StreamReader for Reader {
    fn frame(&mut self, _name: Option<&str>, data: &[u8], out: &mut Vec<Event>) {
        let data = data.trim_ascii();
        if data.eq_ignore_ascii_case(b"[done]") {
            self.finish(out);
            return;
        }
        let Ok(chunk) = Object::of_body(data) else {
            return;
        };
        if let Some(failure) = failure(&chunk) {
            out.push(Event::Failed(failure));
            return;
        }
        let choice = first_choice(&chunk);
        self.name(&chunk, choice.is_some(), out);
        if let Some(choice) = &choice {
            self.choice(choice, out);
        }
        if let Some(usage) = shared::read_usage(&chunk, choice.as_ref()) {
            out.push(Event::Usage(usage));
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        // Some servers forget the end marker; what has a reason to stop is complete.
        if self.stopped {
            self.finish(out);
        }
    }
}

impl Reader {
    fn finish(&mut self, out: &mut Vec<Event>) {
        for at in 0..self.calls.len() {
            self.open_call(at, true, out);
        }
        out.push(Event::End);
    }

    fn name(&mut self, chunk: &Object<'_>, has_choice: bool, out: &mut Vec<Event>) {
        let field = |key: &str| chunk.get(key).and_then(text).filter(|one| !one.is_empty());
        let tier = field("service_tier");
        if tier.is_some() && tier != self.tier {
            self.tier.clone_from(&tier);
            out.extend(tier.map(Event::Tier));
        }
        if self.named {
            return;
        }
        let (id, model) = (field("id"), field("model"));
        // Azure begins with a chunk that names nothing.
        if has_choice || id.is_some() || model.is_some() {
            self.named = id.is_some() && model.is_some();
            out.push(Event::Start { id, model });
        }
    }

    fn choice(&mut self, choice: &Object<'_>, out: &mut Vec<Event>) {
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        if let Some(delta) = delta.and_then(|raw| Object::read(raw, "").ok()) {
            self.thinking(&delta, out);
            self.content(&delta, out);
            if let Some(words) = delta.get("refusal").and_then(text) {
                self.refusal(words, out);
            }
            for citation in shared::read_annotations(&list(&delta, "annotations")) {
                self.delta(TEXT, Delta::Citation(citation), out);
            }
            for entry in list(&delta, "tool_calls") {
                if let Ok(entry) = Object::read(entry, "") {
                    self.call(&entry, out);
                }
            }
            if let Some(old) = delta.get("function_call")
                && let Ok(function) = Object::read(old, "")
            {
                let at = self.find_call(Some(0), None, false);
                self.function(at, &function, out);
            }
        }
        if let Some(logprobs) = choice.get("logprobs") {
            self.delta(TEXT, Delta::Logprobs(logprobs.get().to_owned()), out);
        }
        if let Some(stop) = shared::read_stop(choice) {
            self.stopped = true;
            out.push(Event::Stop(stop));
        }
    }

    fn delta(&mut self, block: u32, delta: Delta, out: &mut Vec<Event>) {
        self.last = Some(block);
        out.push(Event::Delta { block, delta });
    }

    fn thinking(&mut self, delta: &Object<'_>, out: &mut Vec<Event>) {
        let mut said = false;
        for raw in list(delta, "reasoning_details") {
            if let Some(detail) = Detail::read(raw) {
                said |= !detail.text.is_empty();
                self.detail(detail, out);
            }
        }
        if said {
            return;
        }
        let field = |key: &str| delta.get(key).and_then(text).filter(|one| !one.is_empty());
        if let Some(text) = field("reasoning_content").or_else(|| field("reasoning")) {
            self.delta(THINKING, Delta::Thinking(text), out);
        }
    }

    fn detail(&mut self, detail: Detail, out: &mut Vec<Event>) {
        let sealed_call = detail.call().and_then(|id| {
            self.calls
                .iter()
                .position(|call| call.id.as_deref() == Some(id))
        });
        if let (Some(at), Some(seal)) = (sealed_call, &detail.seal) {
            self.call_delta(at, Delta::Signature(seal.clone()), out);
            return;
        }
        let Detail {
            text,
            seal,
            id,
            index,
            redacted,
        } = detail;
        let offset = index.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let block = THINKING + offset.min(CALLS - THINKING - 1);
        if redacted || (id.is_some() && self.last != Some(block)) {
            let kind = BlockKind::Thinking { id, redacted };
            self.last = Some(block);
            out.push(Event::Open { block, kind });
        }
        if !text.is_empty() {
            self.delta(block, Delta::Thinking(text), out);
        }
        if let Some(seal) = seal {
            self.delta(block, Delta::Signature(seal), out);
        }
    }

    fn content(&mut self, delta: &Object<'_>, out: &mut Vec<Event>) {
        let Some(raw) = delta.get("content") else {
            return;
        };
        let (mut thoughts, mut parts) = (Vec::new(), Vec::new());
        content_parts(raw, &mut thoughts, &mut parts);
        for Thinking { text, .. } in thoughts {
            self.delta(THINKING, Delta::Thinking(text), out);
        }
        for part in parts {
            match part {
                Part::Text(text) => self.delta(TEXT, Delta::Text(text.text), out),
                Part::Refusal(words) => self.refusal(words, out),
                _ => {}
            }
        }
    }

    fn refusal(&mut self, words: String, out: &mut Vec<Event>) {
        if words.is_empty() {
            return;
        }
        if self.last != Some(REFUSAL) {
            out.push(Event::Open {
                block: REFUSAL,
                kind: BlockKind::Refusal,
            });
        }
        self.delta(REFUSAL, Delta::Text(words), out);
    }

    fn call(&mut self, entry: &Object<'_>, out: &mut Vec<Event>) {
        let field = |key: &str| entry.get(key).and_then(text).filter(|one| !one.is_empty());
        let id = field("id");
        let index = entry
            .get("index")
            .and_then(|raw| raw.get().trim_matches('"').parse().ok());
        let function = entry
            .get("function")
            .and_then(|raw| Object::read(raw, "").ok());
        let named = function.as_ref().is_some_and(|function| {
            function
                .get("name")
                .and_then(text)
                .is_some_and(|name| !name.is_empty())
        });
        let at = self.find_call(index, id.as_deref(), named);
        if let (Some(call), Some(id)) = (self.calls.get_mut(at), id) {
            call.id.get_or_insert(id);
        }
        if let Some(seal) = google_seal(entry.get("extra_content")) {
            self.call_delta(at, Delta::Signature(seal), out);
        }
        if let Some(function) = function {
            self.function(at, &function, out);
        }
    }

    /// The call that a piece belongs to. The index tells, unless a server gives every call the same one:
    /// another id beside another name begins another call.
    fn find_call(&mut self, index: Option<u64>, id: Option<&str>, named: bool) -> usize {
        let other =
            |call: &Call| named && id.is_some() && call.id.is_some() && call.id.as_deref() != id;
        let found = match (index, id) {
            (Some(index), _) => self
                .calls
                .iter()
                .rposition(|call| call.index == Some(index))
                .filter(|at| self.calls.get(*at).is_some_and(|call| !other(call))),
            (None, Some(id)) => self
                .calls
                .iter()
                .rposition(|call| call.id.as_deref() == Some(id))
                .or(self.current.filter(|_| !named)),
            (None, None) => self.current.filter(|_| !named),
        };
        let at = found.unwrap_or_else(|| {
            let at = self.calls.len();
            self.calls.push(Call {
                key: CALLS.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)),
                index,
                id: None,
                name: None,
                waiting: Vec::new(),
            });
            at
        });
        self.current = Some(at);
        at
    }

    fn function(&mut self, at: usize, function: &Object<'_>, out: &mut Vec<Event>) {
        let name = function.get("name").and_then(text);
        if let (Some(name), Some(call)) = (
            name.filter(|name| !name.is_empty()),
            self.calls.get_mut(at).filter(|call| call.name.is_none()),
        ) {
            call.name = Some(name);
            self.open_call(at, false, out);
        }
        let arguments = function.get("arguments").map(arguments_text);
        if let Some(text) = arguments.filter(|text| !text.is_empty()) {
            self.call_delta(at, Delta::Arguments(text), out);
        }
    }

    /// Opens a call that has just got its name, or, at the end, one that never got any but has something
    /// to say.
    fn open_call(&mut self, at: usize, at_end: bool, out: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        let settled = call.name.is_some() || call.waiting.is_empty();
        if at_end && settled {
            return;
        }
        let name = call.name.get_or_insert_with(|| "tool".to_owned()).clone();
        let (block, id) = (call.key, call.id.clone());
        let waiting = std::mem::take(&mut call.waiting);
        out.push(Event::Open {
            block,
            kind: BlockKind::Tool { id, name },
        });
        for delta in waiting {
            self.delta(block, delta, out);
        }
    }

    fn call_delta(&mut self, at: usize, delta: Delta, out: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        if call.name.is_none() {
            call.waiting.push(delta);
            return;
        }
        let block = call.key;
        self.delta(block, delta, out);
    }
}

fn list<'a>(object: &Object<'a>, key: &str) -> Vec<&'a RawValue> {
    let json = object.get(key).map(RawValue::get);
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// The failure in a body or frame: an `error` of any form, or vLLM's bare object.
pub(super) fn failure(body: &Object<'_>) -> Option<Failure> {
    let nested = match body.get("error") {
        Some(raw) => raw,
        None => {
            let bare = body.get("object").and_then(text)? == "error";
            return bare.then(|| failure_of(body));
        }
    };
    match text(nested) {
        Some(message) => Some(Failure {
            message,
            ..Failure::default()
        }),
        None => Some(match Object::read(nested, "error") {
            Ok(error) => failure_of(&error),
            Err(_) => Failure {
                message: nested.get().to_owned(),
                ..Failure::default()
            },
        }),
    }
}

fn failure_of(error: &Object<'_>) -> Failure {
    let field = |key: &str| error.get(key).and_then(text).filter(|one| !one.is_empty());
    let number = |key: &str| {
        let raw = error.get(key)?.get();
        let status: u16 = raw.trim_matches('"').parse().ok()?;
        (400..600).contains(&status).then_some(status)
    };
    let status = number("status")
        .or_else(|| number("status_code"))
        .or_else(|| number("code"));
    // A code that is the status says nothing more.
    let code = field("code").filter(|code| status.is_none_or(|status| *code != status.to_string()));
    Failure {
        status,
        kind: field("type"),
        code,
        message: field("message").unwrap_or_else(|| "the provider reported an error".to_owned()),
        param: field("param"),
    }
}
