//! Looks at a response while somebody else forwards it.
//!
//! A [`Tap`] is shown the bytes of a JSON answer or an event stream, keeps a bounded copy for the trace,
//! and gathers what the bill and the span need: usage, ids, why the model stopped. It can fail to
//! understand; it can never delay, change or break what passes.
//!
//! Start at [`Tap::push`] and [`Tap::finish`].

use std::borrow::Cow;

use bytes::Bytes;
use lw_core::{BodyForm, Usage};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sse::Events;
use crate::usage::{self, Reading};

/// The most of one answer that is held for the trace and the usage (data-plane 17.6).
pub const MOST_HELD: usize = 8 * 1024 * 1024;

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
    total: u64,
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
            total: 0,
        }
    }

    /// Whether the answer is an event stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(
            self.form,
            BodyForm::ChatStream | BodyForm::ResponsesStream | BodyForm::MessagesStream
        )
    }

    /// How the answer is read.
    #[must_use]
    pub const fn form(&self) -> BodyForm {
        self.form
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
            events.push(bytes, |data| event(*form, data, observed, anthropic));
        }
    }

    fn hold(&mut self, bytes: &Bytes) {
        let room = self.hold_at_most.saturating_sub(self.held_bytes);
        self.truncated |= bytes.len() > room;
        let kept = bytes.len().min(room);
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
            events.finish(|data| event(*form, data, observed, anthropic));
        } else if !self.truncated {
            match self.held.as_slice() {
                [] => {}
                [whole] => json_answer(self.form, whole, &mut self.observed),
                pieces => json_answer(self.form, &pieces.concat(), &mut self.observed),
            }
        }
        if self.form == BodyForm::MessagesStream {
            self.observed.usage = self.anthropic.reading();
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

/// The fields of a JSON answer that are read, in every dialect.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

fn set(slot: &mut Option<String>, value: Option<Cow<'_, str>>) {
    if let (None, Some(value)) = (slot.as_ref(), value) {
        *slot = Some(value.into_owned());
    }
}

fn json_answer(form: BodyForm, body: &[u8], observed: &mut Observed) {
    let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body) else {
        return;
    };
    let Answer {
        id,
        model,
        usage,
        service_tier,
        stop_reason,
        status,
        choices,
    } = answer;
    set(&mut observed.response_id, id);
    set(&mut observed.model, model);
    set(&mut observed.service_tier, service_tier);
    observed.usage = match (form, usage) {
        (_, None) => None,
        (BodyForm::MessagesJson, Some(usage)) => {
            let mut gathered = usage::Anthropic::default();
            gathered.take(usage.get());
            gathered.reading()
        }
        (_, Some(usage)) => usage::openai(usage.get()),
    };
    let reasons = choices
        .into_iter()
        .flatten()
        .filter_map(|choice| choice.finish_reason);
    let status = status.filter(|_| form == BodyForm::ResponsesJson);
    observed.finish_reasons = reasons
        .chain(stop_reason)
        .chain(status)
        .map(Cow::into_owned)
        .collect();
    observed.complete = true;
}

/// What a chunk or event of any dialect may say that we want to know.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<Answer<'a>>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

fn event(form: BodyForm, data: &[u8], observed: &mut Observed, gathered: &mut usage::Anthropic) {
    observed.events += 1;
    match form {
        BodyForm::ChatStream => chat_event(data, observed),
        BodyForm::MessagesStream => messages_event(data, observed, gathered),
        BodyForm::ResponsesStream => responses_event(data, observed),
        _ => {}
    }
}

fn contains(data: &[u8], needle: &str) -> bool {
    memmem::find(data, needle.as_bytes()).is_some()
}

fn chat_event(data: &[u8], observed: &mut Observed) {
    if data.trim_ascii().eq_ignore_ascii_case(b"[DONE]") {
        observed.complete = true;
        return;
    }
    // Most chunks carry a few letters of text and nothing that we want.
    let first = observed.response_id.is_none();
    let wanted = first
        || contains(data, "\"usage\"")
        || contains(data, "\"finish_reason\":\"")
        || contains(data, "\"error\"");
    if !wanted {
        return;
    }
    let Ok(chunk) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    set(&mut observed.response_id, chunk.id);
    set(
        &mut observed.model,
        chunk.model.filter(|model| !model.is_empty()),
    );
    set(&mut observed.service_tier, chunk.service_tier);
    for reason in chunk
        .choices
        .into_iter()
        .flatten()
        .filter_map(|choice| choice.finish_reason)
    {
        observed.finish_reasons.push(reason.into_owned());
    }
    if let Some(reading) = chunk.usage.and_then(|usage| usage::openai(usage.get())) {
        // The last usage that is not empty wins; later empty blocks never zero it (17.3).
        let empty = matches!(reading, Reading::Reported(usage) if usage.is_zero());
        if observed.usage.is_none() || !empty {
            observed.usage = Some(reading);
        }
    }
    if let Some(error) = chunk.error {
        observed.stream_error = error_name(error);
    }
}

fn messages_event(data: &[u8], observed: &mut Observed, gathered: &mut usage::Anthropic) {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow, default)]
        stop_reason: Option<Cow<'a, str>>,
    }
    let head = data.get(..data.len().min(64)).unwrap_or_default();
    let frequent = contains(head, "content_block_") || contains(head, "\"ping\"");
    if frequent {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    match event.kind.as_deref() {
        Some("message_start") => {
            let Some(message) = event.message else { return };
            let Ok(message) = serde_json::from_str::<Answer<'_>>(message.get()) else {
                return;
            };
            set(&mut observed.response_id, message.id);
            set(&mut observed.model, message.model);
            if let Some(usage) = message.usage {
                gathered.take(usage.get());
            }
        }
        Some("message_delta") => {
            if let Some(usage) = event.usage {
                gathered.take(usage.get());
            }
            let delta = event
                .delta
                .and_then(|delta| serde_json::from_str::<Delta<'_>>(delta.get()).ok());
            if let Some(reason) = delta.and_then(|delta| delta.stop_reason) {
                observed.finish_reasons.push(reason.into_owned());
            }
        }
        Some("message_stop") => observed.complete = true,
        Some("error") => observed.stream_error = event.error.and_then(error_name),
        _ => {}
    }
    observed.usage = gathered.reading();
}

fn responses_event(data: &[u8], observed: &mut Observed) {
    let head = data.get(..data.len().min(96)).unwrap_or_default();
    let wanted = [
        "response.created",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    .iter()
    .any(|name| contains(head, name))
        || contains(head, "\"error\"");
    if !wanted {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    let kind = event.kind.as_deref().unwrap_or_default();
    if kind == "error" {
        observed.stream_error = Some(
            event
                .error
                .and_then(error_name)
                .unwrap_or_else(|| "error".into()),
        );
    }
    let Some(answer) = event.response else { return };
    set(&mut observed.response_id, answer.id);
    set(&mut observed.model, answer.model);
    if let Some(reading) = answer.usage.and_then(|usage| usage::openai(usage.get())) {
        observed.usage = Some(reading);
    }
    if matches!(
        kind,
        "response.completed" | "response.incomplete" | "response.failed"
    ) {
        observed.complete = true;
        observed.service_tier = answer.service_tier.map(Cow::into_owned);
        observed
            .finish_reasons
            .extend(answer.status.map(Cow::into_owned));
    }
    if kind == "response.failed" {
        observed.stream_error = Some("response.failed".into());
    }
}

/// Type or code of an error object, or the text itself when it is one.
fn error_name(error: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorObject<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        code: Option<&'a RawValue>,
    }
    if error.get() == "null" {
        return None;
    }
    let object: Option<ErrorObject<'_>> = serde_json::from_str(error.get()).ok();
    let code = |object: &ErrorObject<'_>| {
        object
            .code
            .map(|code| code.get().trim_matches('"').to_owned())
    };
    let name = object.and_then(|object| {
        object
            .kind
            .as_deref()
            .map(str::to_owned)
            .or_else(|| code(&object))
    });
    Some(name.unwrap_or_else(|| "error".to_owned()))
}

/// Reads type or code of a provider's error body, whatever its dialect (providers 21).
#[must_use]
pub fn provider_error_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    serde_json::from_slice::<Outer<'_>>(body)
        .ok()
        .and_then(|outer| error_name(outer.error))
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

    proptest! {
        #[test]
        fn any_cutting_is_observed_alike(
            which in 0..3_usize, cuts in prop::collection::vec(0..600_usize, 0..10),
        ) {
            let (form, stream) = [
                (BodyForm::ChatStream, CHAT),
                (BodyForm::MessagesStream, MESSAGES),
                (BodyForm::ResponsesStream, RESPONSES),
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
        fn any_bytes_are_safe(form in 0..9_u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = observe(BodyForm::from_u8(form), &[&bytes]);
        }
    }
}
