//! Looks at a response while somebody else forwards it.
//!
//! A [`Tap`] is shown the bytes of a JSON answer or an event stream, keeps a bounded copy for the trace,
//! and gathers what the bill and the span need: usage, ids, why the model stopped. It can fail to
//! understand; it can never delay, change or break what passes.
//!
//! Start at [`Tap::push`] and [`Tap::finish`].

mod answer;
mod gemini;
mod made;

use bytes::Bytes;
use lw_core::{BodyForm, Usage};

pub use answer::provider_error_name;

use crate::sse::Events;
use crate::usage::{self, Reading};

/// The most of one answer that is held for the trace and the usage (data-plane 17.6).
pub const MOST_HELD: usize = 8 * 1024 * 1024;

/// The end of a JSON answer that is too large to be held: its usage usually stands there.
const TAIL: usize = 64 * 1024;

/// What was seen of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The provider's report of tokens.
    pub usage: Option<Reading>,
    /// The provider's id for the answer.
    pub response_id: Option<String>,
    /// The model that the answer names.
    pub model: Option<String>,
    /// `service_tier` as the answer names it: another price may hold.
    pub service_tier: Option<String>,
    /// Why the model stopped, in the dialect's own words.
    pub finish_reasons: Vec<String>,
    /// Events of a stream that carried data.
    pub events: u64,
    /// The stream said that it is complete.
    pub complete: bool,
    /// The stream said that it failed: type or code of the error.
    pub stream_error: Option<String>,
    /// Ids of what the answer left at the provider, when somebody asked for them ([`Tap::note_made`]).
    pub made: Option<Vec<String>>,
}

impl Observed {
    /// The reported usage, when it can be billed.
    #[must_use]
    pub const fn billable(&self) -> Option<Usage> {
        match self.usage {
            Some(Reading::Reported(usage)) => Some(usage),
            _ => None,
        }
    }
}

/// An observer of one answer.
#[derive(Debug)]
pub struct Tap {
    form: BodyForm,
    observed: Observed,
    anthropic: usage::Anthropic,
    events: Events,
    /// The copy for the trace: pieces of a JSON answer, or one growing piece of a stream.
    held: Vec<Bytes>,
    stream_held: Vec<u8>,
    held_bytes: usize,
    hold_at_most: usize,
    truncated: bool,
    /// The last bytes of a JSON answer that was not held whole.
    tail: Vec<u8>,
    total: u64,
    told: Option<Told>,
}

/// What whoever wrote the answer knows better than its bytes: the provider's own report, when the answer was
/// translated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Tokens, in all classes.
    pub usage: Option<Usage>,
    /// The service tier that served.
    pub service_tier: Option<String>,
}

impl Tap {
    /// A tap for an answer of this form that keeps at most `hold_at_most` bytes.
    #[must_use]
    pub fn new(form: BodyForm, hold_at_most: usize) -> Self {
        Self {
            form,
            observed: Observed::default(),
            anthropic: usage::Anthropic::default(),
            events: Events::default(),
            held: Vec::new(),
            stream_held: Vec::new(),
            held_bytes: 0,
            hold_at_most: hold_at_most.min(MOST_HELD),
            truncated: false,
            tail: Vec::new(),
            total: 0,
            told: None,
        }
    }

    /// Gathers the ids of what the answer leaves at the provider as well ([`Observed::made`]).
    pub fn note_made(&mut self) {
        self.observed.made.get_or_insert_default();
    }

    /// Whether the answer is an event stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(
            self.form,
            BodyForm::ChatStream
                | BodyForm::ResponsesStream
                | BodyForm::MessagesStream
                | BodyForm::GeminiStream
        )
    }

    /// How the answer is read.
    #[must_use]
    pub const fn form(&self) -> BodyForm {
        self.form
    }

    /// What holds instead of what the bytes say, from the end on.
    pub fn tell(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// Keeps no more bytes than it has: the process is at its cap.
    pub const fn hold_no_more(&mut self) {
        self.hold_at_most = self.held_bytes;
    }

    /// Everything that passed, in one piece; `None` when not all of it was kept.
    #[must_use]
    pub fn held_copy(&self) -> Option<Vec<u8>> {
        if self.truncated {
            return None;
        }
        Some(if self.is_stream() {
            self.stream_held.clone()
        } else {
            self.held.concat()
        })
    }

    /// Bytes seen so far.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes held so far.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What was seen so far.
    #[must_use]
    pub const fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Gives up the texts that were seen. What decides how the answer is passed on stays.
    #[must_use]
    pub fn take_texts(&mut self) -> Observed {
        self.observed.made = None;
        let Observed {
            response_id,
            model,
            service_tier,
            finish_reasons,
            ..
        } = &mut self.observed;
        let texts = (
            response_id.take(),
            model.take(),
            service_tier.take(),
            std::mem::take(finish_reasons),
        );
        let (response_id, model, service_tier, finish_reasons) = texts;
        Observed {
            response_id,
            model,
            service_tier,
            finish_reasons,
            ..self.observed.clone()
        }
    }

    /// Sees the next bytes. Afterwards [`Self::observed`] tells whether the stream called itself complete.
    pub fn push(&mut self, bytes: &Bytes) {
        self.total += bytes.len() as u64;
        self.hold(bytes);
        if self.is_stream() {
            let Self {
                form,
                observed,
                anthropic,
                events,
                ..
            } = self;
            events.push(bytes, |data| {
                answer::event(*form, data, observed, anthropic)
            });
        }
    }

    fn hold(&mut self, bytes: &Bytes) {
        let room = self.hold_at_most.saturating_sub(self.held_bytes);
        self.truncated |= bytes.len() > room;
        let kept = bytes.len().min(room);
        if self.truncated && !self.is_stream() {
            self.keep_tail(bytes.get(kept..).unwrap_or_default());
        }
        if kept == 0 {
            return;
        }
        self.held_bytes += kept;
        if self.is_stream() {
            // Copied: holding small frames by reference would pin whole read buffers.
            self.stream_held
                .extend_from_slice(bytes.get(..kept).unwrap_or_default());
        } else {
            self.held.push(bytes.slice(..kept));
        }
    }

    fn keep_tail(&mut self, rest: &[u8]) {
        let last = rest
            .get(rest.len().saturating_sub(TAIL)..)
            .unwrap_or_default();
        let over = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..over.min(self.tail.len()));
        self.tail.extend_from_slice(last);
    }

    /// Whether every event of the stream was short enough to be looked at.
    #[must_use]
    pub const fn saw_everything(&self) -> bool {
        self.events.skipped() == 0
    }

    /// Whether an event that has not come whole yet may be about a failure.
    #[must_use]
    pub fn may_be_failing(&self) -> bool {
        self.is_stream() && self.events.open().into_iter().any(answer::mentions_error)
    }

    /// The answer is over: reads what a JSON answer says. Idempotent.
    pub fn finish(&mut self) {
        if self.is_stream() {
            let Self {
                form,
                observed,
                anthropic,
                events,
                ..
            } = self;
            events.finish(|data| answer::event(*form, data, observed, anthropic));
        } else if self.truncated {
            if self.observed.usage.is_none() {
                let held = self.held.last().map(|piece| &piece[..]).unwrap_or_default();
                let from = held
                    .len()
                    .saturating_sub(TAIL.saturating_sub(self.tail.len()));
                let end = [held.get(from..).unwrap_or_default(), &self.tail].concat();
                self.observed.usage = answer::usage_at_the_end(self.form, &end);
            }
        } else {
            match self.held.as_slice() {
                [] => {}
                [whole] => answer::json(self.form, whole, &mut self.observed),
                pieces => answer::json(self.form, &pieces.concat(), &mut self.observed),
            }
        }
        if self.form == BodyForm::MessagesStream {
            self.observed.usage = self.anthropic.reading();
        }
        if self.form == BodyForm::GeminiStream {
            gemini::ended(&mut self.observed);
        }
        if let Some(Told {
            usage,
            service_tier,
        }) = &self.told
        {
            self.observed.usage = usage.map(Reading::Reported);
            self.observed.service_tier.clone_from(service_tier);
        }
    }

    /// Gives up the copy for the trace: the pieces and whether there was more.
    #[must_use]
    pub fn take_held(&mut self) -> (Vec<Bytes>, bool) {
        if !self.stream_held.is_empty() {
            self.held
                .push(Bytes::from(std::mem::take(&mut self.stream_held)));
        }
        (std::mem::take(&mut self.held), self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHAT: &str = "data: {\"id\":\"chatcmpl-1\",\"model\":\"gpt-4o-mini\",\"choices\":[{\"delta\":{\"content\":\"he\"},\"finish_reason\":null}]}\n\n\
        data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":119}}\n\n\
        data: [DONE]\n\n";
    const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop\"}}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":119}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const RESPONSES: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"gpt-5\",\"status\":\"in_progress\"}}\n\n\
        event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n\
        event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":7,\"output_tokens\":119}}}\n\n";

    const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"he\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":1},\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"r-1\"}\r\n\r\n\
        data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"y\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":100,\"thoughtsTokenCount\":19},\"responseId\":\"r-1\"}\r\n\r\n";

    fn observe(form: BodyForm, pieces: &[&[u8]]) -> Observed {
        let mut tap = Tap::new(form, MOST_HELD);
        for piece in pieces {
            tap.push(&Bytes::copy_from_slice(piece));
        }
        tap.finish();
        tap.observed().clone()
    }

    #[test]
    fn every_stream_dialect_yields_usage_ids_and_reasons() {
        for (form, stream, id, reason) in [
            (BodyForm::ChatStream, CHAT, "chatcmpl-1", "stop"),
            (BodyForm::MessagesStream, MESSAGES, "msg_1", "end_turn"),
            (BodyForm::ResponsesStream, RESPONSES, "resp_1", "completed"),
            (BodyForm::GeminiStream, GEMINI, "r-1", "STOP"),
        ] {
            let seen = observe(form, &[stream.as_bytes()]);
            let usage = seen.billable().expect("usage");
            assert_eq!((usage.input, usage.output), (7, 119), "{form:?}");
            assert_eq!(seen.response_id.as_deref(), Some(id));
            assert_eq!(seen.finish_reasons, [reason]);
            assert!(seen.complete && seen.stream_error.is_none(), "{form:?}");
        }
    }

    #[test]
    fn json_answers_are_read_in_every_dialect() {
        let chat = br#"{"id":"c1","model":"m","choices":[{"finish_reason":"length","message":{"content":"usage"}}],"usage":{"prompt_tokens":7,"completion_tokens":119},"service_tier":"flex"}"#;
        let seen = observe(BodyForm::ChatJson, &[&chat[..20], &chat[20..]]);
        assert_eq!(seen.billable().map(|usage| usage.output), Some(119));
        assert_eq!(seen.service_tier.as_deref(), Some("flex"));
        let messages = br#"{"id":"m1","type":"message","stop_reason":"max_tokens","usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":119}}"#;
        let seen = observe(BodyForm::MessagesJson, &[messages]);
        assert_eq!(seen.billable().map(|usage| usage.prompt()), Some(10));
        assert_eq!(seen.finish_reasons, ["max_tokens"]);
    }

    #[test]
    fn errors_inside_a_stream_are_seen() {
        let chat = b"data: {\"error\":{\"type\":\"server_error\",\"message\":\"x\"}}\n\n";
        assert_eq!(
            observe(BodyForm::ChatStream, &[chat])
                .stream_error
                .as_deref(),
            Some("server_error")
        );
        let messages = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        let seen = observe(BodyForm::MessagesStream, &[messages]);
        assert_eq!(seen.stream_error.as_deref(), Some("overloaded_error"));
    }

    #[test]
    fn what_an_answer_leaves_behind_is_noted_when_asked_for() {
        const CONTAINER: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"container\":null}}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"container\":{\"id\":\"container_1\"}}}\n\n";
        const SOUND: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
            data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"audio\":{\"id\":\"audio_1\"}}}]}\n\n";
        for (form, answer, id) in [
            (BodyForm::ResponsesStream, RESPONSES, "resp_1"),
            (BodyForm::MessagesStream, CONTAINER, "container_1"),
            (BodyForm::ChatStream, SOUND, "audio_1"),
            (BodyForm::ResponsesJson, r#"{"id":"resp_2"}"#, "resp_2"),
        ] {
            let mut tap = Tap::new(form, MOST_HELD);
            tap.note_made();
            tap.push(&Bytes::from_static(answer.as_bytes()));
            tap.finish();
            let made = tap.observed().made.as_deref();
            assert_eq!(made, Some(&[id.to_owned()][..]), "{form:?}");
            assert_eq!(observe(form, &[answer.as_bytes()]).made, None);
        }
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut tap = Tap::new(BodyForm::ChatJson, 10);
        tap.push(&Bytes::from_static(b"123456"));
        tap.push(&Bytes::from_static(b"789012"));
        tap.finish();
        let (pieces, truncated) = tap.take_held();
        assert_eq!(pieces.concat(), b"1234567890");
        assert!(truncated);
        assert_eq!(tap.total(), 12);
    }

    #[test]
    fn a_field_of_another_type_does_not_spoil_the_usage() {
        let chat = br#"{"id":7,"model":{},"choices":"x","service_tier":null,"usage":{"prompt_tokens":7,"completion_tokens":119}}"#;
        let seen = observe(BodyForm::ChatJson, &[chat]);
        assert_eq!(seen.billable().map(|usage| usage.output), Some(119));
        let chunk = b"data: {\"id\":7,\"choices\":[{\"finish_reason\": \"stop\"}],\"usage\": {\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
        let seen = observe(BodyForm::ChatStream, &[chunk]);
        assert_eq!(seen.billable().map(|usage| usage.output), Some(3));
        assert_eq!(seen.finish_reasons, ["stop"]);
    }

    #[test]
    fn the_usage_of_a_huge_answer_is_found_at_its_end() {
        let mut tap = Tap::new(BodyForm::EmbeddingsJson, 100);
        tap.push(&Bytes::from(format!(
            "{{\"data\":\"{}\"",
            "A".repeat(200_000)
        )));
        let tricky = r#","x":"\"usage\":{\"prompt_tokens\":1}""#;
        tap.push(&Bytes::from(format!("{tricky},\"usage\":{{\"prompt_to")));
        tap.push(&Bytes::from_static(
            b"kens\":300000,\"total_tokens\":300000}}",
        ));
        tap.finish();
        assert_eq!(
            tap.observed().billable().map(|usage| usage.input),
            Some(300_000)
        );
    }

    #[test]
    fn the_type_of_a_responses_event_may_come_last() {
        let event = b"data: {\"response\":{\"id\":\"r\",\"status\":\"completed\",\"usage\":{\"input_tokens\":7,\"output_tokens\":2}},\"type\":\"response.completed\"}\n\n";
        let seen = observe(BodyForm::ResponsesStream, &[event]);
        assert!(seen.complete);
        assert_eq!(seen.billable().map(|usage| usage.output), Some(2));
    }

    #[test]
    fn a_fast_anthropic_answer_has_another_price() {
        let body = br#"{"id":"m","usage":{"input_tokens":7,"output_tokens":2,"service_tier":"standard","speed":"fast"}}"#;
        let seen = observe(BodyForm::MessagesJson, &[body]);
        assert_eq!(seen.service_tier.as_deref(), Some("fast"));
    }

    proptest! {
        #[test]
        fn any_cutting_is_observed_alike(
            which in 0..4_usize, cuts in prop::collection::vec(0..600_usize, 0..10),
        ) {
            let (form, stream) = [
                (BodyForm::ChatStream, CHAT),
                (BodyForm::MessagesStream, MESSAGES),
                (BodyForm::ResponsesStream, RESPONSES),
                (BodyForm::GeminiStream, GEMINI),
            ][which];
            let whole = observe(form, &[stream.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&stream.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(observe(form, &pieces), whole);
        }

        #[test]
        fn any_bytes_are_safe(form in 0..11_u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = observe(BodyForm::from_u8(form), &[&bytes]);
        }
    }
}
