//! The text of a free-form call inside the JSON that other providers' models write it in.
//!
//! Elsewhere a free-form tool is a function with one text argument `input`. Its arguments come in pieces
//! that may be cut anywhere; the text goes on as it comes.

use crate::json::{self, Object};

/// Takes the text out of `{"input": "…"}` piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Freeform {
    /// All that came.
    whole: String,
    /// How much of it has been looked at, in bytes.
    at: usize,
    state: State,
    /// The first half of a surrogate pair.
    high: Option<u32>,
    /// The text so far.
    text: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the text.
    #[default]
    Lead,
    /// In the text.
    Text,
    /// Behind it.
    Done,
    /// It is no such object: the end will tell.
    Odd,
}

impl Freeform {
    /// Takes a piece and gives the text in it.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.whole.push_str(piece);
        if self.state == State::Lead {
            self.lead();
        }
        let before = self.text.len();
        if self.state == State::Text {
            self.decode();
        }
        self.text.get(before..).unwrap_or_default().to_owned()
    }

    /// The arguments are over: the rest of the text. [`Self::text`] is whole after this.
    pub(crate) fn finish(&mut self) -> String {
        if matches!(self.state, State::Text | State::Done) {
            return String::new();
        }
        self.text = text_of(&self.whole);
        self.text.clone()
    }

    /// The text so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Looks for `{"input":"`.
    fn lead(&mut self) {
        let mut rest = self.whole.as_str();
        for token in ["{", "\"input\"", ":", "\""] {
            rest = rest.trim_start();
            match rest.strip_prefix(token) {
                Some(after) => rest = after,
                None => {
                    if !token.starts_with(rest) {
                        self.state = State::Odd;
                    }
                    return;
                }
            }
        }
        self.at = self.whole.len() - rest.len();
        self.state = State::Text;
    }

    /// Decodes as many whole characters and escapes as there are.
    fn decode(&mut self) {
        let Self {
            whole,
            at,
            state,
            high,
            text,
        } = self;
        while let Some(rest) = whole.get(*at..) {
            let Some(first) = rest.chars().next() else {
                return;
            };
            let length = match first {
                '"' => {
                    *state = State::Done;
                    return;
                }
                '\\' => match escape(rest) {
                    Some((Escape::Half(unit), length)) => {
                        join(unit, high, text);
                        length
                    }
                    Some((Escape::Char(plain), length)) => {
                        lone(high, text);
                        text.push(plain);
                        length
                    }
                    None => return,
                },
                plain => {
                    lone(high, text);
                    text.push(plain);
                    plain.len_utf8()
                }
            };
            *at += length;
        }
    }
}

enum Escape {
    Char(char),
    /// A UTF-16 unit.
    Half(u32),
}

/// The escape at the beginning of `rest` and its length; `None`: it is not whole yet.
fn escape(rest: &str) -> Option<(Escape, usize)> {
    let letter = rest.chars().nth(1)?;
    let plain = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let digits = rest.get(2..6)?;
            let unit = u32::from_str_radix(digits, 16).unwrap_or(0xfffd);
            return Some((Escape::Half(unit), 6));
        }
        other => other,
    };
    Some((Escape::Char(plain), 1 + letter.len_utf8()))
}

/// Adds a UTF-16 unit, joined with the one before where the two are a pair.
fn join(unit: u32, high: &mut Option<u32>, text: &mut String) {
    match (*high, unit) {
        (Some(first), 0xdc00..=0xdfff) => {
            *high = None;
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (unit - 0xdc00);
            text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        (_, 0xd800..=0xdbff) => {
            lone(high, text);
            *high = Some(unit);
        }
        _ => {
            lone(high, text);
            text.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
}

/// A first half that nothing followed.
fn lone(high: &mut Option<u32>, text: &mut String) {
    if high.take().is_some() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
}

/// The text in whole arguments: that of `input`, or all of them when they have none.
pub(crate) fn text_of(arguments: &str) -> String {
    Object::of_body(arguments.as_bytes())
        .ok()
        .and_then(|mut object| object.take("input").and_then(json::text))
        .unwrap_or_else(|| arguments.to_owned())
}

/// The description of a tool whose input has a grammar. No other provider can hold a model to a grammar;
/// the model is told of it instead.
pub(crate) fn described(description: Option<String>, syntax: &str, definition: &str) -> String {
    let grammar = format!("The input must follow this {syntax} grammar:\n{definition}");
    match description {
        Some(text) => format!("{text}\n\n{grammar}"),
        None => grammar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pieces: &[&str]) -> (String, String) {
        let mut freeform = Freeform::default();
        let mut told = String::new();
        for piece in pieces {
            told.push_str(&freeform.push(piece));
        }
        told.push_str(&freeform.finish());
        (told, freeform.text().to_owned())
    }

    #[test]
    fn what_is_no_such_object_comes_whole_at_the_end() {
        for (arguments, text) in [
            ("plain", "plain"),
            ("", ""),
            (r#"{"patch":"x"}"#, r#"{"patch":"x"}"#),
            (r#"{"a":1,"input":"x\ny"}"#, "x\ny"),
            (r#"{"input":7}"#, r#"{"input":7}"#),
        ] {
            assert_eq!(run(&[arguments]), (text.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn text_goes_on_before_the_arguments_are_whole() {
        let mut freeform = Freeform::default();
        assert_eq!(freeform.push("{\"inp"), "");
        assert_eq!(freeform.push("ut\": \"a\\"), "a");
        assert_eq!(freeform.push("n\\ud83d"), "\n");
        assert_eq!(freeform.push("\\ude00b"), "😀b");
        assert_eq!(freeform.push("\",\"x\":\"y\"}"), "");
        assert_eq!(freeform.finish(), "");
        assert_eq!(freeform.text(), "a\n😀b");
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_text(text in any::<String>(), ascii: bool, cut in prop::collection::vec(0..200_usize, 0..8)) {
            let mut json = format!("{{ \"input\" : {}}}", serde_json::Value::from(text.as_str()));
            if ascii {
                let units = json.encode_utf16().map(|unit| match u8::try_from(unit) {
                    Ok(byte) if byte < 0x80 => char::from(byte).to_string(),
                    _ => format!("\\u{unit:04x}"),
                });
                json = units.collect();
            }
            let mut cuts: Vec<usize> = cut.into_iter().filter(|at| json.is_char_boundary(*at)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in cuts {
                pieces.push(&json[from..at]);
                from = at;
            }
            pieces.push(&json[from..]);
            prop_assert_eq!(run(&pieces), (text.clone(), text));
        }

        #[test]
        fn arbitrary_pieces_do_no_harm(pieces in prop::collection::vec(any::<String>(), 0..6)) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (told, text) = run(&pieces);
            prop_assert_eq!(told, text);
        }
    }
}
