//! What each text of a stream said so far: as it was delivered, and whether that is what the provider sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lw_core::BodyForm;
use lw_wire::speech::{Lane, Said};

use crate::guardrail::Checker;
use crate::worker::BytePermit;

/// The most text that is kept of one stream, in bytes (data-plane 17.6).
const MOST_KEPT: usize = 8 * 1024 * 1024;
/// The most texts that are told apart in one stream.
const MOST_LANES: usize = 1_024;

/// The texts of one stream.
#[derive(Debug)]
pub(super) struct Lanes {
    known: BTreeMap<Lane, Known>,
    kept: usize,
    /// Kept bytes, counted against the process.
    permit: Option<BytePermit>,
    /// Not everything could be kept.
    lost: bool,
    /// Characters of the window.
    window: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// What was delivered.
    said: String,
    /// The last characters of it, kept even when the rest is not.
    tail: String,
    /// Something else than what the provider sent.
    changed: bool,
    /// `said` is not all.
    lost: bool,
}

impl Lanes {
    pub(super) fn new(checker: &Checker) -> Self {
        Self {
            known: BTreeMap::new(),
            kept: 0,
            permit: checker.bytes.take(0),
            lost: false,
            window: checker.limits.window_chars,
        }
    }

    /// The last characters of a lane.
    pub(super) fn window(&self, lane: Lane) -> String {
        self.known
            .get(&lane)
            .map(|known| known.tail.clone())
            .unwrap_or_default()
    }

    /// What becomes of a text that only repeats what its lane said; `None` when it has to be checked, because it
    /// is new.
    pub(super) fn repeated<'s>(&'s self, said: &'s Said) -> Option<Cow<'s, str>> {
        let known = self.known.get(&said.lane).filter(|_| said.whole)?;
        match (known.changed, known.lost) {
            (true, false) => Some(Cow::Borrowed(&known.said)),
            // What was delivered is not known any more, and what the provider sent must not come out.
            (true, true) => Some(Cow::Borrowed("")),
            (false, true) => Some(Cow::Borrowed(&said.text)),
            (false, false) => (known.said == said.text).then_some(Cow::Borrowed(&said.text)),
        }
    }

    /// A text was delivered as `text`.
    pub(super) fn add(&mut self, said: &Said, text: &str) {
        if !self.known.contains_key(&said.lane) && self.known.len() >= MOST_LANES {
            self.lost = true;
            return;
        }
        let known = self.known.entry(said.lane).or_default();
        if said.whole {
            known.said.clear();
            known.tail.clear();
        }
        known.changed |= text != said.text;
        if self.window > 0 {
            known.tail.push_str(text);
            let over = known.tail.chars().count().saturating_sub(self.window);
            if let Some((at, _)) = known.tail.char_indices().nth(over) {
                known.tail.drain(..at);
            }
        }
        let room = self.kept + text.len() <= MOST_KEPT
            && self
                .permit
                .as_mut()
                .is_some_and(|permit| permit.grow(text.len()));
        if known.lost || !room {
            known.lost = true;
            self.lost = true;
            return;
        }
        self.kept += text.len();
        known.said.push_str(text);
    }

    /// Gives up what was delivered: a text for each output. `None` when there is none, or not all of it is kept.
    pub(super) fn take(&mut self, form: BodyForm) -> Option<Vec<String>> {
        let known = std::mem::take(&mut self.known);
        if self.lost {
            return None;
        }
        let texts = known.into_iter().map(|(lane, known)| (lane, known.said));
        let texts: Vec<String> = match form {
            // Blocks and items are one answer; choices and candidates are several.
            BodyForm::MessagesStream | BodyForm::ResponsesStream => {
                vec![texts.map(|(_, text)| text).collect()]
            }
            _ => texts.map(|(_, text)| text).collect(),
        };
        let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        (!texts.is_empty()).then_some(texts)
    }
}
