//! What a JSON answer or an event says that the bill and the span need.
//!
//! Reads leniently: a field of an unexpected type reads as absent and never spoils the fields beside it,
//! because usage must be found in whatever a compatible server writes. Most events of a stream carry a
//! few letters of text and nothing that is wanted; they are told apart without being parsed.

use std::borrow::Cow;
use std::sync::LazyLock;

use lw_core::BodyForm;
use memchr::memmem;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Observed, gemini, made};
use crate::usage::{self, Reading};

/// The most finish reasons that are kept.
const MOST_REASONS: usize = 128;

/// A text field; whatever is no text reads as none.
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let json = raw.get();
        let inner = json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Ok(Self(match inner {
            Some(text) if !text.contains('\\') => Some(Cow::Borrowed(text)),
            Some(_) => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
            None => None,
        }))
    }
}

/// What the choices say; empty when `choices` is not a list of objects.
#[derive(Default)]
struct Choices<'a> {
    /// Why each ended.
    reasons: Vec<Text<'a>>,
    /// Where Moonshot puts the usage of a stream.
    usage: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Choice<'a> {
            #[serde(borrow, default)]
            finish_reason: Text<'a>,
            #[serde(borrow, default)]
            usage: Option<&'a RawValue>,
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let choices: Vec<Choice<'de>> = serde_json::from_str(raw.get()).unwrap_or_default();
        Ok(Self {
            usage: choices.iter().find_map(|choice| choice.usage),
            reasons: choices
                .into_iter()
                .map(|choice| choice.finish_reason)
                .collect(),
        })
    }
}

/// The fields of a JSON answer that are read, in every dialect.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Text<'a>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    choices: Choices<'a>,
}

/// What a chunk or event of any dialect may say that is wanted.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Text<'a>,
    #[serde(borrow, default)]
    choices: Choices<'a>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    /// Groq's own block.
    #[serde(borrow, default)]
    x_groq: Option<&'a RawValue>,
}

/// A searcher that is built once.
struct Needle(LazyLock<memmem::Finder<'static>>);

impl Needle {
    fn is_in(&self, data: &[u8]) -> bool {
        self.0.find(data).is_some()
    }

    /// Whether the key stands there with a value that is not `null`.
    fn has_value(&self, data: &[u8]) -> bool {
        self.0.find_iter(data).any(|at| {
            let behind = data
                .get(at + self.0.needle().len()..)
                .unwrap_or_default()
                .trim_ascii_start();
            let value = behind.strip_prefix(b":").unwrap_or(behind);
            !value.trim_ascii_start().starts_with(b"null")
        })
    }
}

static USAGE: Needle = Needle(LazyLock::new(|| memmem::Finder::new("\"usage\"")));
static FINISH: Needle = Needle(LazyLock::new(|| memmem::Finder::new("\"finish_reason\"")));
static ERROR: Needle = Needle(LazyLock::new(|| memmem::Finder::new("\"error\"")));
static RESPONSE: Needle = Needle(LazyLock::new(|| memmem::Finder::new("\"response\"")));
static BLOCK: Needle = Needle(LazyLock::new(|| memmem::Finder::new("content_block_")));
static PING: Needle = Needle(LazyLock::new(|| memmem::Finder::new("\"ping\"")));

/// Whether the token stands there, as a key or as the type of an event. Inside a text its quotes would be
/// escaped.
pub(super) fn mentions_error(data: &[u8]) -> bool {
    ERROR.is_in(data)
}

pub(super) fn set(slot: &mut Option<String>, value: Text<'_>) {
    if let (None, Some(value)) = (slot.as_ref(), value.0.filter(|value| !value.is_empty())) {
        *slot = Some(value.into_owned());
    }
}

pub(super) fn add_reasons<'a>(
    observed: &mut Observed,
    reasons: impl IntoIterator<Item = Text<'a>>,
) {
    let room = MOST_REASONS.saturating_sub(observed.finish_reasons.len());
    let reasons = reasons.into_iter().filter_map(|reason| reason.0).take(room);
    observed.finish_reasons.extend(reasons.map(Cow::into_owned));
}

fn reading(form: BodyForm, usage: &RawValue) -> Option<Reading> {
    match form {
        BodyForm::MessagesJson => {}
        BodyForm::GeminiJson => return usage::gemini(usage.get()),
        BodyForm::EmbeddingsJson => return usage::embeddings(usage.get()),
        _ => return usage::openai(usage.get()),
    }
    let mut gathered = usage::Anthropic::default();
    gathered.take(usage.get());
    gathered.reading()
}

/// [`Answer`] as every vendor writes it: read in one go.
#[derive(Deserialize)]
struct Usual<'a> {
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
    choices: Option<Vec<UsualChoice<'a>>>,
}

#[derive(Deserialize)]
struct UsualChoice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl<'a> From<Usual<'a>> for Answer<'a> {
    fn from(usual: Usual<'a>) -> Self {
        let Usual {
            id,
            model,
            usage,
            service_tier,
            stop_reason,
            status,
            choices,
        } = usual;
        let reasons = choices
            .into_iter()
            .flatten()
            .map(|choice| Text(choice.finish_reason));
        Self {
            id: Text(id),
            model: Text(model),
            usage,
            service_tier: Text(service_tier),
            stop_reason: Text(stop_reason),
            status: Text(status),
            choices: Choices {
                reasons: reasons.collect(),
                usage: None,
            },
        }
    }
}

/// Reads a whole JSON answer.
pub(super) fn json(form: BodyForm, body: &[u8], observed: &mut Observed) {
    if form == BodyForm::GeminiJson {
        gemini::json(body, observed);
        return;
    }
    if let Some(made) = &mut observed.made {
        made::json(form, body, made);
    }
    let usual = serde_json::from_slice::<Usual<'_>>(body).map(Answer::from);
    // A server of its own kind is read field by field.
    let Ok(answer) = usual.or_else(|_| serde_json::from_slice::<Answer<'_>>(body)) else {
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
    observed.usage = usage.and_then(|usage| reading(form, usage));
    if form == BodyForm::MessagesJson {
        observed.service_tier = usage.and_then(|usage| usage::anthropic_tier(usage.get()));
    }
    observed.finish_reasons.clear();
    add_reasons(observed, choices.reasons);
    add_reasons(observed, [stop_reason]);
    if form == BodyForm::ResponsesJson {
        add_reasons(observed, [status]);
    }
    observed.complete = true;
}

/// The usage of a JSON answer that was not held whole: the last object of that name in its last bytes.
/// What a model wrote stands inside a JSON string, where the quotes of such an object are escaped.
pub(super) fn usage_at_the_end(form: BodyForm, end: &[u8]) -> Option<Reading> {
    let name: &[u8] = if form == BodyForm::GeminiJson {
        b"\"usageMetadata\""
    } else {
        b"\"usage\""
    };
    let at = memmem::rfind(end, name)?;
    let value = end.get(at + name.len()..)?.trim_ascii_start();
    let value = value.strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<&RawValue>();
    reading(form, values.next()?.ok()?)
}

/// Reads one event of a stream.
pub(super) fn event(
    form: BodyForm,
    data: &[u8],
    observed: &mut Observed,
    gathered: &mut usage::Anthropic,
) {
    observed.events += 1;
    match form {
        BodyForm::ChatStream => chat(data, observed),
        BodyForm::MessagesStream => messages(data, observed, gathered),
        BodyForm::ResponsesStream => responses(data, observed),
        BodyForm::GeminiStream => gemini::chunk(data, observed),
        _ => {}
    }
}

fn chat(data: &[u8], observed: &mut Observed) {
    if data.trim_ascii().eq_ignore_ascii_case(b"[DONE]") {
        observed.complete = true;
        return;
    }
    if let Some(made) = &mut observed.made {
        made::json(BodyForm::ChatStream, data, made);
    }
    let first = observed.response_id.is_none();
    if !first && !USAGE.has_value(data) && !FINISH.has_value(data) && !ERROR.has_value(data) {
        return;
    }
    let Ok(chunk) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    set(&mut observed.response_id, chunk.id);
    set(&mut observed.model, chunk.model);
    // The first chunk may only repeat what was asked for; the last one knows what served.
    let tier = chunk.service_tier.0.filter(|tier| !tier.is_empty());
    if let Some(tier) = tier {
        observed.service_tier = Some(tier.into_owned());
    }
    let places = [chunk.usage, chunk.choices.usage, groq(chunk.x_groq)];
    add_reasons(observed, chunk.choices.reasons);
    let read = |usage: &RawValue| usage::openai(usage.get());
    if let Some(reading) = places.into_iter().flatten().find_map(read) {
        // The last usage that is not empty wins; later empty blocks never zero it (data-plane 17.3).
        let empty = matches!(reading, Reading::Reported(usage) if usage.is_zero());
        if observed.usage.is_none() || !empty {
            observed.usage = Some(reading);
        }
    }
    if let Some(error) = chunk.error {
        observed.stream_error = error_name(error);
    }
}

/// Notes what a part of a stream says was left at the provider, if anybody wants to know.
fn note(observed: &mut Observed, form: BodyForm, part: &RawValue) {
    if let Some(made) = &mut observed.made {
        made::json(form, part.get().as_bytes(), made);
    }
}

/// The usage in Groq's own block.
fn groq(block: Option<&RawValue>) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
    }
    serde_json::from_str::<Block<'_>>(block?.get()).ok()?.usage
}

fn messages(data: &[u8], observed: &mut Observed, gathered: &mut usage::Anthropic) {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow, default)]
        stop_reason: Text<'a>,
    }
    let head = data.get(..data.len().min(64)).unwrap_or_default();
    if BLOCK.is_in(head) || PING.is_in(head) {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    match event.kind.0.as_deref() {
        Some("message_start") => {
            let Some(message) = event.message else { return };
            note(observed, BodyForm::MessagesStream, message);
            let Ok(message) = serde_json::from_str::<Answer<'_>>(message.get()) else {
                return;
            };
            set(&mut observed.response_id, message.id);
            set(&mut observed.model, message.model);
            if let Some(usage) = message.usage {
                gathered.take(usage.get());
                observed.service_tier = usage::anthropic_tier(usage.get());
            }
        }
        Some("message_delta") => {
            if let Some(usage) = event.usage {
                gathered.take(usage.get());
            }
            if let Some(delta) = event.delta {
                note(observed, BodyForm::MessagesStream, delta);
            }
            let delta = event.delta.map(RawValue::get);
            let delta = delta.and_then(|delta| serde_json::from_str::<Delta<'_>>(delta).ok());
            add_reasons(observed, delta.map(|delta| delta.stop_reason));
        }
        Some("message_stop") => observed.complete = true,
        Some("error") => observed.stream_error = event.error.and_then(error_name),
        _ => {}
    }
    observed.usage = gathered.reading();
}

fn responses(data: &[u8], observed: &mut Observed) {
    // Deltas have neither; events about the whole response carry it, wherever their type stands.
    if !RESPONSE.is_in(data) && !ERROR.has_value(data) {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
        return;
    };
    let kind = event.kind.0.as_deref().unwrap_or_default();
    if kind == "error" {
        let name = event.error.and_then(error_name);
        observed.stream_error = Some(name.unwrap_or_else(|| "error".to_owned()));
    }
    let Some(answer) = event.response else { return };
    note(observed, BodyForm::ResponsesStream, answer);
    let Ok(answer) = serde_json::from_str::<Answer<'_>>(answer.get()) else {
        return;
    };
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
        observed.service_tier = answer.service_tier.0.map(Cow::into_owned);
        add_reasons(observed, [answer.status]);
    }
    if kind == "response.failed" {
        observed.stream_error = Some("response.failed".to_owned());
    }
}

/// Type, code or status of an error object, or `error` when it has none of them.
pub(super) fn error_name(error: &RawValue) -> Option<String> {
    #[derive(Deserialize, Default)]
    struct ErrorObject<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Text<'a>,
        /// Google's word for it.
        #[serde(borrow, default)]
        status: Text<'a>,
        #[serde(borrow, default)]
        code: Text<'a>,
    }
    if error.get() == "null" {
        return None;
    }
    let object: ErrorObject<'_> = serde_json::from_str(error.get()).unwrap_or_default();
    let name = object.kind.0.or(object.code.0).or(object.status.0);
    Some(name.map_or_else(|| "error".to_owned(), Cow::into_owned))
}

/// Reads type or code of a provider's error body, whatever its dialect (providers 21).
#[must_use]
pub fn provider_error_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    // Google writes the error of a stream without `alt=sse` into a list.
    let outer = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<[Outer<'_>; 1]>(body).map(|[only]| only)
    } else {
        serde_json::from_slice::<Outer<'_>>(body)
    };
    outer.ok().and_then(|outer| error_name(outer.error))
}
