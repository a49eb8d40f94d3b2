//! The words of a request or an answer: taken out for guardrails, and put back changed (data-plane 16).
//!
//! Pure: bytes in, texts and [`Edits`] out. A text is found with the place where it stands, so that changing it
//! leaves every other byte as it was. Where a key stands twice, the texts of both are found, because nobody knows
//! which one a provider reads. Must never judge a text, and never take what cannot be read for something without
//! words: that is [`Unreadable`].
//!
//! Start at [`Request::read`], at [`Answer::read`], and for streams at [`Frames`] and [`said`].

mod answer;
mod frame;
mod frames;
mod request;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

pub use answer::{Answer, Output, Skip};
pub use frame::{Lane, Said, Spoken, said};
pub use frames::{Frame, Frames, Framing};
pub use request::{Content, Modified, Request, Unfit};

use crate::capture::raw;
use crate::splice::Edits;

/// Why no texts could be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The bytes are not a JSON object.
    NotAnObject,
    /// Texts are nested deeper than any dialect nests them.
    TooDeep,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "the body is not a JSON object",
            Self::TooDeep => "the body nests texts too deeply",
        })
    }
}

impl std::error::Error for Unreadable {}

/// A text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text, unescaped.
    pub text: Cow<'a, str>,
    /// Where its JSON string stands in the body, with its quotes.
    pub at: Range<usize>,
}

impl<'a> Piece<'a> {
    /// The text of a JSON string; `None` for any other value.
    fn of(body: &str, value: &'a RawValue) -> Option<Self> {
        raw::string(value).map(|text| Self {
            text,
            at: place(body, value),
        })
    }
}

/// A body as the text that places count in, and the one value that it is. A byte order mark may stand in front.
fn whole(body: &[u8]) -> Result<(&str, &RawValue), Unreadable> {
    let read = || {
        let text = std::str::from_utf8(body).ok()?;
        Some((text, raw::value(raw::utf8(body)?)?))
    };
    read().ok_or(Unreadable::NotAnObject)
}

/// Where a value stands in the body that it was read from.
fn place(body: &str, value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + value.get().len()
}

/// A text as JSON.
fn quoted(text: &str) -> Bytes {
    serde_json::Value::from(text).to_string().into()
}

/// The edits that put `texts` in the place of `pieces`, in the same order. What is the same stays untouched.
fn edits<'p>(
    pieces: impl IntoIterator<Item = (&'p str, &'p Range<usize>)>,
    texts: impl IntoIterator<Item = impl AsRef<str>>,
) -> Edits {
    let mut edits = Edits::default();
    for ((old, at), new) in pieces.into_iter().zip(texts) {
        let new = new.as_ref();
        if new != old {
            edits.replace(at.clone(), quoted(new));
        }
    }
    edits
}

/// The value of a member that is a text.
fn text_member<'a>(object: &'a RawValue, name: &str) -> Option<Cow<'a, str>> {
    raw::member(object, name).and_then(raw::string)
}

/// The value of a member that is a whole number.
fn number_member(object: &RawValue, name: &str) -> Option<u64> {
    raw::member(object, name)?.get().parse().ok()
}

/// Whether a member is there and says something: not `null`, not empty.
fn has_member(object: &RawValue, name: &str) -> bool {
    raw::member(object, name).is_some_and(|value| {
        let inside: String = value.get().split_ascii_whitespace().collect();
        !matches!(inside.as_str(), "null" | "[]" | "{}" | "\"\"")
    })
}

/// Whether a member is `true`.
fn is_true(object: &RawValue, name: &str) -> bool {
    raw::member(object, name).is_some_and(|value| value.get() == "true")
}
