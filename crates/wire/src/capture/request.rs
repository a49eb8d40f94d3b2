//! The messages of a request, whatever its dialect.

use lw_core::BodyForm;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::build::{Newest, Room, size, value};
use super::raw::{self, Top};
use super::{contents, items};

/// System messages at the head of a list that are kept whatever comes after them.
const LEADING: usize = 4;

/// What the conversion of a Responses item may add to its size.
const CONVERSION: usize = 128;

/// The note of what was left out, brackets and commas.
const FRAME: usize = 96;

/// How the elements of a list become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Message,
    Item,
    Content,
}

/// Whether these are the fields of a request; the same form serves for requests and answers.
pub(super) fn is_request(form: BodyForm, top: &Top<'_>) -> bool {
    match form {
        BodyForm::ChatJson | BodyForm::MessagesJson => top.messages.is_some(),
        // A stored prompt can stand in for the input; an answer always has an output or an error.
        BodyForm::ResponsesJson => {
            top.input.is_some() || (top.instructions.is_some() && top.output.is_none())
        }
        BodyForm::GeminiJson => top.contents.is_some(),
        BodyForm::EmbeddingsJson => top.input.is_some(),
        BodyForm::ChatStream
        | BodyForm::ResponsesStream
        | BodyForm::MessagesStream
        | BodyForm::GeminiStream
        | BodyForm::Opaque
        | BodyForm::Messages => false,
    }
}

/// The messages of a request, or `None` if it has none that can be read.
pub(super) fn messages(form: BodyForm, top: &Top<'_>, room: &mut Room) -> Option<Vec<Value>> {
    if !is_request(form, top) {
        return None;
    }
    match form {
        BodyForm::ChatJson => list(None, top.messages?, Shape::Message, room),
        BodyForm::MessagesJson => list(top.system, top.messages?, Shape::Message, room),
        BodyForm::ResponsesJson => match top.input {
            Some(input) if raw::is_array(input) => list(top.instructions, input, Shape::Item, room),
            input => Some(plain(top.instructions, input, room)),
        },
        BodyForm::GeminiJson => gemini(top.system_instruction, top.contents?, room),
        BodyForm::EmbeddingsJson => Some(vec![embedded(top.input?, room)]),
        BodyForm::ChatStream
        | BodyForm::ResponsesStream
        | BodyForm::MessagesStream
        | BodyForm::GeminiStream
        | BodyForm::Opaque
        | BodyForm::Messages => None,
    }
}

/// An array that holds messages already.
pub(super) fn array(messages: &RawValue, room: &mut Room) -> Option<Vec<Value>> {
    list(None, messages, Shape::Message, room)
}

/// A list of messages behind a system text. The turns come first when there is not room for all, but
/// leave a quarter for the system text.
fn list(
    system: Option<&RawValue>,
    list: &RawValue,
    shape: Shape,
    room: &mut Room,
) -> Option<Vec<Value>> {
    if !raw::is_array(list) {
        return None;
    }
    room.left = room.left.saturating_sub(FRAME);
    let mut leading = Vec::new();
    let mut turns = Newest {
        items: Default::default(),
        seen: 0,
    };
    raw::elements(list, |element| {
        if turns.seen == 0 && leading.len() < LEADING && is_system(element) {
            leading.push(element);
        } else {
            turns.push(element, room);
        }
    });
    let each = |raw: &RawValue, room: &mut Room| match shape {
        Shape::Message => value(raw, room),
        Shape::Item => room.take(CONVERSION).then(|| {
            let item = value(raw, room)?;
            Some(items::message(item))
        })?,
        Shape::Content => room.take(contents::growth(raw)).then(|| {
            let content = value(raw, room)?;
            Some(contents::message(content))
        })?,
    };

    let heads = system.into_iter().chain(leading.iter().copied());
    let wanted: usize = heads.map(|raw| raw.get().len() + CONVERSION).sum();
    let reserved = wanted.min(room.left / 4);
    let available = room.left - reserved;
    let (turns, left_out) = room.within(available, |room| turns.build(room, true, each));

    let mut messages = Vec::with_capacity(turns.len() + leading.len() + 2);
    messages.extend(system.and_then(|system| spoken("system", system, room)));
    let mut waiting = leading.len();
    for head in leading {
        let share = room.left / waiting.max(1);
        waiting -= 1;
        let built = room.within(share, |room| {
            room.take(1).then(|| each(head, room)).flatten()
        });
        messages.extend(built);
    }
    if left_out > 0 {
        messages.push(json!({
            "role": "left_out",
            "content": format!("[{left_out} messages left out]"),
            "left_out": left_out,
        }));
    }
    messages.extend(turns);
    Some(match shape {
        Shape::Message | Shape::Content => messages,
        Shape::Item => items::merge(messages),
    })
}

/// Contents behind their instructions. Google also takes one content that is not in a list.
fn gemini(system: Option<&RawValue>, contents: &RawValue, room: &mut Room) -> Option<Vec<Value>> {
    let mut messages = if raw::is_array(contents) {
        list(system, contents, Shape::Content, room)?
    } else {
        let available = room.left.saturating_sub(contents::growth(contents));
        let mut content = room.within(available, |room| value(contents, room))?;
        if raw::is_object(contents) || raw::inner(contents).is_some() {
            content = contents::message(content);
        }
        let system = system.and_then(|system| spoken("system", system, room));
        system.into_iter().chain([content]).collect()
    };
    if let Some(first) = messages.first_mut().filter(|_| system.is_some()) {
        contents::instructions(first);
    }
    Some(messages)
}

fn is_system(message: &RawValue) -> bool {
    let role = raw::member(message, "role").and_then(raw::string);
    matches!(role.as_deref(), Some("system" | "developer"))
}

/// Instructions and one piece of input.
fn plain(system: Option<&RawValue>, input: Option<&RawValue>, room: &mut Room) -> Vec<Value> {
    let reserved = system.map_or(0, |system| {
        (system.get().len() + CONVERSION).min(room.left / 4)
    });
    let available = room.left - reserved;
    let input = input.and_then(|input| room.within(available, |room| spoken("user", input, room)));
    let system = system.and_then(|system| spoken("system", system, room));
    system.into_iter().chain(input).collect()
}

/// A message around its content.
fn spoken(role: &str, content: &RawValue, room: &mut Room) -> Option<Value> {
    room.take(48)
        .then(|| Some(json!({"role": role, "content": value(content, room)?})))?
}

/// The input of an embeddings call. Token ids are counted, not shown.
fn embedded(input: &RawValue, room: &mut Room) -> Value {
    room.left = room.left.saturating_sub(FRAME);
    if !raw::is_array(input) {
        return json!({"role": "user", "content": value(input, room)});
    }
    let part = |text: Value, room: &mut Room| {
        let part = json!({"type": "text", "text": text});
        room.take(size(&part) - size(part.get("text")?))
            .then_some(part)
    };
    let (mut texts, mut tokens) = (
        Newest {
            items: Default::default(),
            seen: 0,
        },
        0usize,
    );
    raw::elements(input, |element| {
        if raw::inner(element).is_some() || raw::is_array(element) {
            texts.push(element, room);
        } else {
            tokens += 1;
        }
    });
    let (mut parts, left_out) = texts.build(room, false, |raw, room| {
        if raw::is_array(raw) {
            let mut tokens = 0usize;
            raw::elements(raw, |_| tokens += 1);
            return room.take(32).then(|| part(counted(tokens), room))?;
        }
        let text = value(raw, room)?;
        part(text, room)
    });
    if left_out > 0 {
        parts.insert(0, json!({"type": "left_out", "left_out": left_out}));
    }
    if tokens > 0 {
        parts.extend(part(counted(tokens), room));
    }
    json!({"role": "user", "content": parts})
}

fn counted(tokens: usize) -> Value {
    Value::String(format!("[{tokens} tokens]"))
}
