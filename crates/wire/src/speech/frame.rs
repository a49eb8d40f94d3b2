//! What one frame of a stream says to the reader, and the frame with other words.
//!
//! Only text that a client shows counts. The Responses dialect repeats at the end of each part, item and answer
//! what was said before; such a text is marked `whole`, so that what was taken out of the pieces does not come
//! back with it.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use lw_core::BodyForm;
use serde_json::value::RawValue;

use super::answer::CALLS;
use super::{Framing, Piece, has_member, is_true, number_member, place, quoted, text_member};
use crate::capture::raw;
use crate::splice::Edits;

/// Which of the texts that a stream interleaves: its output (choice, block, item) and the part in it.
pub type Lane = (u64, u64);

/// A text in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which text it goes on with.
    pub lane: Lane,
    /// What it says, unescaped.
    pub text: String,
    /// Whether it repeats all that its lane said.
    pub whole: bool,
    /// Where its JSON string stands in the frame.
    at: Range<usize>,
    /// What repeats the text in another form, and what to put there when it changes.
    echo: Option<(Range<usize>, &'static str)>,
}

/// What a frame says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Its texts; none that is empty.
    pub texts: Vec<Said>,
    /// It calls a tool.
    pub calls_tool: bool,
}

impl Spoken {
    /// The frame with `texts` in the place of its own, one for each; every other byte stays.
    #[must_use]
    pub fn rewritten(&self, frame: &Bytes, texts: &[Cow<'_, str>]) -> Bytes {
        let mut edits = Edits::default();
        for (said, text) in self.texts.iter().zip(texts) {
            if said.text == *text {
                continue;
            }
            edits.replace(said.at.clone(), quoted(text));
            if let Some((at, instead)) = &said.echo {
                edits.replace(at.clone(), Bytes::from_static(instead.as_bytes()));
            }
        }
        if edits.is_empty() {
            return frame.clone();
        }
        edits.apply(frame).into_inner().concat().into()
    }
}

/// Reads a frame. One that cannot be read, or is of no dialect with texts, says nothing.
#[must_use]
pub fn said(form: BodyForm, framing: Framing, frame: &[u8]) -> Spoken {
    let mut reader = Reader::default();
    if let Some(data) = Data::of(framing, frame) {
        if let Some(whole) = raw::value(&data.json) {
            reader.read(form, &data.json, whole);
        }
        for said in &mut reader.spoken.texts {
            said.at = data.in_frame(&said.at);
            if let Some((at, _)) = &mut said.echo {
                *at = data.in_frame(at);
            }
        }
    }
    reader.spoken
}

/// The JSON of a frame and where it stands.
struct Data<'a> {
    json: Cow<'a, str>,
    /// Where each line begins in the JSON and in the frame.
    lines: Vec<(usize, usize)>,
}

impl<'a> Data<'a> {
    fn of(framing: Framing, frame: &'a [u8]) -> Option<Self> {
        let frame = std::str::from_utf8(frame).ok()?;
        if framing == Framing::List {
            let start = frame.find('{')?;
            return Some(Self {
                json: frame.get(start..)?.into(),
                lines: vec![(0, start)],
            });
        }
        let mut data = Self {
            json: Cow::Borrowed(""),
            lines: Vec::new(),
        };
        let mut at = 0;
        for line in frame.split_inclusive(['\n', '\r']) {
            let start = at;
            at += line.len();
            let Some(rest) = line.trim_end_matches(['\n', '\r']).strip_prefix("data:") else {
                continue;
            };
            let text = rest.strip_prefix(' ').unwrap_or(rest);
            let from = start + "data:".len() + (rest.len() - text.len());
            if data.lines.is_empty() {
                data.lines.push((0, from));
                data.json = Cow::Borrowed(text);
            } else {
                let json = data.json.to_mut();
                json.push('\n');
                data.lines.push((json.len(), from));
                json.push_str(text);
            }
        }
        (!data.lines.is_empty()).then_some(data)
    }

    /// A place in the JSON as one in the frame. A text never spans two lines: it cannot hold a line's end.
    fn in_frame(&self, at: &Range<usize>) -> Range<usize> {
        let shift = |place: usize| {
            let (json, frame) = self
                .lines
                .iter()
                .rev()
                .find(|(json, _)| *json <= place)
                .copied()
                .unwrap_or_default();
            place - json + frame
        };
        let start = shift(at.start);
        // The last byte lies on a line; the place behind it may not.
        let end = at.end.checked_sub(1).map_or(start, |last| shift(last) + 1);
        start..end
    }
}

#[derive(Default)]
struct Reader {
    spoken: Spoken,
}

impl Reader {
    fn read(&mut self, form: BodyForm, json: &str, whole: &RawValue) {
        match form {
            BodyForm::ChatStream | BodyForm::ChatJson => self.chat(json, whole),
            BodyForm::MessagesStream | BodyForm::MessagesJson => self.messages(json, whole),
            BodyForm::ResponsesStream | BodyForm::ResponsesJson => self.responses(json, whole),
            BodyForm::GeminiStream | BodyForm::GeminiJson => self.gemini(json, whole),
            BodyForm::EmbeddingsJson | BodyForm::Opaque | BodyForm::Messages => {}
        }
    }

    /// Adds every text under `name`.
    fn add(
        &mut self,
        json: &str,
        object: &RawValue,
        name: &str,
        lane: Lane,
        whole: bool,
        echo: Option<&(Range<usize>, &'static str)>,
    ) {
        raw::members(object, |key, value| {
            if raw::name(key) == name
                && let Some(piece) = Piece::of(json, value)
                && !piece.text.is_empty()
            {
                self.spoken.texts.push(Said {
                    lane,
                    text: piece.text.into_owned(),
                    whole,
                    at: piece.at,
                    echo: echo.cloned(),
                });
            }
        });
    }

    fn chat(&mut self, json: &str, whole: &RawValue) {
        let Some(choices) = raw::member(whole, "choices") else {
            return;
        };
        raw::elements(choices, |choice| {
            let Some(delta) = raw::member(choice, "delta") else {
                return;
            };
            self.spoken.calls_tool |=
                has_member(delta, "tool_calls") || has_member(delta, "function_call");
            let lane = (number_member(choice, "index").unwrap_or_default(), 0);
            let echo = echo(json, choice, "logprobs", "null");
            self.add(json, delta, "content", lane, false, echo.as_ref());
        });
    }

    fn messages(&mut self, json: &str, whole: &RawValue) {
        let lane = (number_member(whole, "index").unwrap_or_default(), 0);
        let part = match text_member(whole, "type").as_deref() {
            Some("content_block_delta") => raw::member(whole, "delta"),
            Some("content_block_start") => raw::member(whole, "content_block"),
            Some(_) | None => None,
        };
        let Some(part) = part else { return };
        match text_member(part, "type").as_deref() {
            Some("text_delta" | "text") => self.add(json, part, "text", lane, false, None),
            Some("tool_use") => self.spoken.calls_tool = true,
            Some(_) | None => {}
        }
    }

    fn responses(&mut self, json: &str, whole: &RawValue) {
        let kind = text_member(whole, "type").unwrap_or_default();
        let index = |name| number_member(whole, name).unwrap_or_default();
        let output = index("output_index");
        let lane = (output, index("content_index"));
        match &*kind {
            "response.output_text.delta" | "response.output_text.done" => {
                let echo = echo(json, whole, "logprobs", "[]");
                let (name, whole_text) = if kind.ends_with("delta") {
                    ("delta", false)
                } else {
                    ("text", true)
                };
                self.add(json, whole, name, lane, whole_text, echo.as_ref());
            }
            "response.content_part.added" | "response.content_part.done" => {
                if let Some(part) = raw::member(whole, "part") {
                    self.part(json, part, lane, kind.ends_with("done"));
                }
            }
            "response.output_item.added" | "response.output_item.done" => {
                if let Some(item) = raw::member(whole, "item") {
                    self.item(json, item, output, kind.ends_with("done"));
                }
            }
            _ => {
                let items = raw::member(whole, "response")
                    .and_then(|response| raw::member(response, "output"));
                let mut output = 0;
                if let Some(items) = items {
                    raw::elements(items, |item| {
                        self.item(json, item, output, true);
                        output += 1;
                    });
                }
            }
        }
    }

    fn item(&mut self, json: &str, item: &RawValue, output: u64, whole: bool) {
        let kind = text_member(item, "type").unwrap_or_default();
        self.spoken.calls_tool |= CALLS.contains(&&*kind);
        let Some(content) = raw::member(item, "content").filter(|_| kind == "message") else {
            return;
        };
        let mut part_index = 0;
        raw::elements(content, |part| {
            self.part(json, part, (output, part_index), whole);
            part_index += 1;
        });
    }

    fn part(&mut self, json: &str, part: &RawValue, lane: Lane, whole: bool) {
        if text_member(part, "type").as_deref() == Some("output_text") {
            let echo = echo(json, part, "logprobs", "[]");
            self.add(json, part, "text", lane, whole, echo.as_ref());
        }
    }

    fn gemini(&mut self, json: &str, whole: &RawValue) {
        let Some(candidates) = raw::member(whole, "candidates") else {
            return;
        };
        raw::elements(candidates, |candidate| {
            let lane = (number_member(candidate, "index").unwrap_or_default(), 0);
            let echo = echo(json, candidate, "logprobsResult", "null");
            let content = raw::member(candidate, "content");
            if let Some(parts) = content.and_then(|content| raw::member(content, "parts")) {
                raw::elements(parts, |part| {
                    self.spoken.calls_tool |= has_member(part, "functionCall");
                    if !is_true(part, "thought") {
                        self.add(json, part, "text", lane, false, echo.as_ref());
                    }
                });
            }
        });
    }
}

/// What repeats a text in another form.
fn echo(
    json: &str,
    object: &RawValue,
    name: &str,
    instead: &'static str,
) -> Option<(Range<usize>, &'static str)> {
    let value = raw::member(object, name).filter(|value| value.get() != "null")?;
    Some((place(json, value), instead))
}
