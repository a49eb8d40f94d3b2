//! Builds JSON values out of slices within a budget of serialised bytes.
//!
//! Everything fits an unlimited [`Room`]; in a limited one, what is too large loses its middle. Media
//! is replaced on the way, before its bytes are ever copied.

use std::collections::VecDeque;
use std::io;

use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

use super::{media, raw};

/// Nesting that is looked into: each level is another pass over what it holds. Deeper values are named,
/// not shown.
const DEPTH: u8 = 32;

/// The same for values that do not fit and so may be megabytes of brackets. An image in a tool result is
/// at 4.
const DEPTH_OF_LARGE: u8 = 8;

/// Less than this is not worth a piece of a message.
const SCRAP: usize = 96;

/// How many serialised bytes may still be built.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) left: usize,
    /// Something was left out for want of room.
    pub(super) cut: bool,
}

impl Room {
    pub(super) const fn new(left: usize) -> Self {
        Self { left, cut: false }
    }

    pub(super) const fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    pub(super) const fn take(&mut self, size: usize) -> bool {
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.cut = true;
                false
            }
        }
    }

    /// Builds in a part of the room and gives back what was not used.
    pub(super) fn within<T>(&mut self, most: usize, build: impl FnOnce(&mut Self) -> T) -> T {
        let part = most.min(self.left);
        let mut inside = Self::new(part);
        let built = build(&mut inside);
        self.left -= part - inside.left.min(part);
        self.cut |= inside.cut;
        built
    }
}

/// The value, or as much of it as there is room for.
pub(super) fn value(raw: &RawValue, room: &mut Room) -> Option<Value> {
    nested(raw, room, 0)
}

fn nested(raw: &RawValue, room: &mut Room, depth: u8) -> Option<Value> {
    let deepest = if raw.get().len() > room.left {
        DEPTH_OF_LARGE
    } else {
        DEPTH
    };
    if depth >= deepest && (raw::is_object(raw) || raw::is_array(raw)) {
        room.cut = true;
        return whole(json!("[nested too deeply]"), room);
    }
    match raw.get().as_bytes().first() {
        Some(b'{') => object(raw, room, depth + 1),
        Some(b'[') => array(raw, room, depth + 1),
        Some(b'"') => string(raw, room),
        Some(b't') => whole(Value::Bool(true), room),
        Some(b'f') => whole(Value::Bool(false), room),
        Some(b'n') => whole(Value::Null, room),
        _ => number(raw.get(), room),
    }
}

/// The value if it fits, otherwise nothing.
fn whole(value: Value, room: &mut Room) -> Option<Value> {
    room.take(size(&value)).then_some(value)
}

fn string(raw: &RawValue, room: &mut Room) -> Option<Value> {
    if let Some(media) = media::of_string(raw) {
        return whole(media, room);
    }
    let inner = raw::inner(raw)?;
    // Unescaping and escaping again never makes a string longer, so that its length is a fair price.
    if room.left >= raw.get().len() {
        room.left -= raw.get().len();
        return Some(Value::String(raw::unescape(inner).into_owned()));
    }
    room.cut = true;
    if room.left < SCRAP {
        return None;
    }
    let text = raw::string_without_middle(inner, room.left);
    room.left = 0;
    Some(Value::String(text))
}

/// Numbers that a double would change stay readable as strings.
fn number(digits: &str, room: &mut Room) -> Option<Value> {
    if digits.len() > room.left {
        room.cut = true;
        return None;
    }
    let exact = serde_json::from_str::<Number>(digits)
        .ok()
        .filter(|number| !number.is_f64() || digits.contains(['.', 'e', 'E']));
    whole(
        exact.map_or_else(|| Value::String(digits.to_owned()), Value::Number),
        room,
    )
}

fn object(raw: &RawValue, room: &mut Room, depth: u8) -> Option<Value> {
    let most = room.left / 16 + 1;
    let (mut fields, mut seen) = (Vec::new(), 0usize);
    raw::members(raw, |key, value| {
        seen += 1;
        if fields.len() < most {
            fields.push((key, value));
        }
    });
    room.cut |= seen > fields.len();
    if let Some(media) = media::of_object(&fields) {
        return whole(media, room);
    }
    if !room.take(2) {
        return None;
    }
    // The smallest first, each with a fair share: role, type, ids and names survive a huge text.
    let price = |(key, value): &(&RawValue, &RawValue)| key.get().len() + value.get().len() + 2;
    let fits = raw.get().len() <= room.left;
    if !fits {
        fields.sort_by_key(price);
    }
    let mut built = Map::new();
    let mut waiting = fields.len();
    for (key, value) in fields {
        let share = if fits {
            room.left
        } else {
            room.left / waiting.max(1)
        };
        waiting -= 1;
        let entry = room.within(share, |room| {
            let before = room.left;
            if !room.take(key.get().len() + 2) {
                return None;
            }
            let name = raw::name(key);
            let value = match media::of_field(&name, value) {
                Some(media) => whole(media, room),
                None => nested(value, room, depth),
            };
            if value.is_none() {
                room.left = before;
            }
            Some((name.into_owned(), value?))
        });
        built.extend(entry);
    }
    Some(Value::Object(built))
}

fn array(raw: &RawValue, room: &mut Room, depth: u8) -> Option<Value> {
    if !room.take(2) {
        return None;
    }
    let list = Newest::of(raw, room);
    let each = |raw: &RawValue, room: &mut Room| nested(raw, room, depth);
    if raw.get().len() <= room.left || list.seen > 32 {
        let (mut built, left_out) = list.build(room, false, each);
        if left_out > 0 && room.take(64) {
            built.insert(0, json!({"type": "left_out", "left_out": left_out}));
        }
        return Some(Value::Array(built));
    }
    // A few parts that do not fit: the smallest first, each with a fair share.
    let mut order: Vec<_> = list.items.iter().enumerate().collect();
    order.sort_by_key(|(_, raw)| raw.get().len());
    let mut waiting = order.len();
    let mut built = Vec::with_capacity(waiting);
    for (at, raw) in order {
        let share = room.left / waiting.max(1);
        waiting -= 1;
        let part = room.within(share, |room| {
            room.take(1).then(|| each(raw, room)).flatten()
        });
        built.extend(part.map(|part| (at, part)));
    }
    built.sort_by_key(|(at, _)| *at);
    Some(Value::Array(
        built.into_iter().map(|(_, part)| part).collect(),
    ))
}

/// The newest elements of an array, no more of them than could ever fit the room.
pub(super) struct Newest<'a> {
    pub(super) items: VecDeque<&'a RawValue>,
    pub(super) seen: usize,
}

impl<'a> Newest<'a> {
    pub(super) fn of(raw: &'a RawValue, room: &Room) -> Self {
        let mut list = Self {
            items: VecDeque::new(),
            seen: 0,
        };
        raw::elements(raw, |element| list.push(element, room));
        list
    }

    pub(super) fn push(&mut self, element: &'a RawValue, room: &Room) {
        // A slice is 16 bytes here, and as little as 2 in the text.
        if self.items.len() > room.left / 16 {
            self.items.pop_front();
        }
        self.items.push_back(element);
        self.seen += 1;
    }

    /// Builds from the newest back until the room is used up. An element that does not fit gets half
    /// of what is left, so that one huge tool result does not hide the question before it. Answers
    /// what was built, in the order of the text, and how many older elements were left out.
    ///
    /// Whether an element fits once its media is replaced is found by trying. Only the outermost list
    /// may try: nested lists that each build twice would take a time that doubles with the depth.
    pub(super) fn build(
        mut self,
        room: &mut Room,
        try_whole: bool,
        each: impl Fn(&RawValue, &mut Room) -> Option<Value>,
    ) -> (Vec<Value>, usize) {
        let (mut built, mut used) = (Vec::new(), 0);
        while let Some(raw) = self.items.pop_back() {
            let oldest = used + 1 == self.seen;
            let fits = raw.get().len() < room.left;
            if room.left < SCRAP && !fits {
                break;
            }
            let mut part = room.left.saturating_sub(1);
            if !fits && !oldest && !try_whole {
                part /= 2;
            }
            let mut inside = Room::new(part);
            let mut element = each(raw, &mut inside);
            if inside.cut && !oldest && try_whole {
                part /= 2;
                inside = Room::new(part);
                element = each(raw, &mut inside);
            }
            let Some(element) = element else { break };
            room.left = room.left.saturating_sub(1 + part - inside.left.min(part));
            room.cut |= inside.cut;
            built.push(element);
            used += 1;
        }
        built.reverse();
        let left_out = self.seen - used;
        room.cut |= left_out > 0;
        (built, left_out)
    }
}

/// The serialised size.
pub(super) fn size(value: &Value) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Counting cannot fail, and neither can writing a `Value`, whose keys are strings.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}
