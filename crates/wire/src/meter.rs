//! Bytes of output that a stream has delivered: text, thinking, arguments of tools.
//!
//! An upper bound of the tokens that can be seen in it, because no token is shorter than a byte: what a
//! budget goes by while a provider has not reported anything. Reads strings only, in one pass, wherever the
//! bytes are cut; knows nothing of structure and may count a little too much, never too little of what the
//! dialect delivers in strings. Start at [`Meter::push`].

use lw_core::BodyForm;

/// The longest name of a member that is looked at.
const NAME: usize = 24;

/// Counts one stream.
#[derive(Debug)]
pub struct Meter {
    names: &'static [&'static str],
    state: State,
    /// The string that was read last, as far as it may be a name.
    last: [u8; NAME],
    length: usize,
    /// The value that follows belongs to a name that counts.
    counts: bool,
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between strings.
    Outside,
    /// In a string that is no counted value: it may be a name.
    Other,
    OtherEscape,
    /// A string has ended: a colon makes it a name.
    After,
    /// A counted name and its colon have been read.
    Value,
    /// In a counted value.
    Counted,
    CountedEscape,
}

impl Meter {
    /// For a stream of this form; `None` where nothing is known to count.
    #[must_use]
    pub const fn new(form: BodyForm) -> Option<Self> {
        let names: &'static [&'static str] = match form {
            BodyForm::ChatStream => &[
                "content",
                "reasoning_content",
                "reasoning",
                "refusal",
                "arguments",
                "text",
            ],
            BodyForm::MessagesStream => &["text", "thinking", "partial_json"],
            BodyForm::ResponsesStream => &["delta"],
            BodyForm::GeminiStream => &["text"],
            _ => return None,
        };
        Some(Self {
            names,
            state: State::Outside,
            last: [0; NAME],
            length: 0,
            counts: false,
            total: 0,
        })
    }

    /// Takes the next bytes of the stream and returns the bytes of output so far.
    pub fn push(&mut self, bytes: &[u8]) -> u64 {
        for &byte in bytes {
            self.step(byte);
        }
        self.total
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Outside | State::After | State::Value, b'"') => {
                let value = self.state == State::Value;
                self.length = 0;
                if value { State::Counted } else { State::Other }
            }
            (State::Other, b'\\') => State::OtherEscape,
            (State::Other, b'"') => State::After,
            (State::Other | State::OtherEscape, byte) => {
                if let Some(slot) = self.last.get_mut(self.length) {
                    *slot = byte;
                }
                self.length = self.length.saturating_add(1);
                State::Other
            }
            (State::Counted, b'\\') => self.count(State::CountedEscape),
            (State::Counted, b'"') => State::Outside,
            (State::Counted | State::CountedEscape, _) => self.count(State::Counted),
            (State::After, b':') => {
                let name = self.last.get(..self.length).unwrap_or_default();
                self.counts = self.names.iter().any(|known| known.as_bytes() == name);
                if self.counts {
                    State::Value
                } else {
                    State::Outside
                }
            }
            (State::After | State::Value, b' ' | b'\t' | b'\r' | b'\n') => self.state,
            (State::After | State::Value | State::Outside, _) => State::Outside,
        };
    }

    fn count(&mut self, next: State) -> State {
        self.total = self.total.saturating_add(1);
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(form: BodyForm, stream: &str) -> u64 {
        Meter::new(form)
            .expect("a form that counts")
            .push(stream.as_bytes())
    }

    #[test]
    fn text_thinking_and_arguments_count_in_every_dialect() {
        for (form, stream, expected) in [
            (
                BodyForm::ChatStream,
                r#"data: {"id":"x","model":"content","choices":[{"delta":{"role":"assistant","content":"Hello"}}]}"#,
                5,
            ),
            (
                BodyForm::ChatStream,
                r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
                6,
            ),
            (
                BodyForm::MessagesStream,
                r#"data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking": "ab\n"}}"#,
                4,
            ),
            (
                BodyForm::ResponsesStream,
                "event: response.output_text.delta\ndata: {\"delta\":\"abc\",\"obfuscation\":\"zzzz\"}",
                3,
            ),
            (
                BodyForm::ResponsesStream,
                r#"data: {"type":"response.output_text.done","text":"all of it"}"#,
                0,
            ),
            (
                BodyForm::GeminiStream,
                r#"data: {"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#,
                2,
            ),
        ] {
            assert_eq!(counted(form, stream), expected, "{stream}");
        }
        assert!(Meter::new(BodyForm::Opaque).is_none());
    }

    proptest! {
        #[test]
        fn what_is_counted_is_at_least_the_text_wherever_the_bytes_are_cut(
            text in ".{0,40}",
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let json = serde_json::json!({"choices": [{"delta": {"content": text}}]}).to_string();
            let bytes = json.as_bytes();
            let mut meter = Meter::new(BodyForm::ChatStream).expect("counts");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            let mut total = 0;
            for cut in cuts {
                total = meter.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert!(total >= text.len() as u64);
            prop_assert_eq!(total, counted(BodyForm::ChatStream, &json));
        }
    }
}
