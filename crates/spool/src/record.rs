//! One spool line: an admission or an outcome, as it is written and as it is read back.
//!
//! The writing side borrows everything ([`Admission`], [`Outcome`]) and appends one JSON line to a
//! reused buffer. The reading side is owned ([`Record`]) and tolerant: unknown fields are ignored, so a
//! newer version may add some. Payload names are those of internal-protocol 10; ours beside them are
//! `attempt`, `hold_nano_usd`, `cost_nano_usd`, `certainty`, `priced`, `price_version`, `period`,
//! `response_id`, `made_at_provider`, `http_status`, `cache_creation_5m_tokens` and `budgets`.
//!
//! An outcome repeats who is charged, so that it can be folded before or without its admission. Must
//! never carry content: no prompt, no answer (billing 1). Start at [`Admission`].

use std::borrow::Cow;

use lw_core::{
    ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, TraceId, UnixMicros, Usage,
    VirtualKeyId,
};
use lw_store::ledger::{Certainty, Detail, Entry, EntryKind, push_json_string};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod scan;

/// Longest model name that is kept, in bytes (internal-protocol 10).
const MODEL_MAX: usize = 512;
/// Longest end user id, label and response id that is kept, in bytes.
const NAME_MAX: usize = 256;
/// Longest end user that is kept, in bytes: 256 characters of up to four bytes (data-plane 9.1).
const END_USER_MAX: usize = 1_024;
/// Most ids of what an answer left at the provider that are kept. A longer id is left out, not cut,
/// and so is what looks like no id.
const MADE_MAX: usize = 128;
/// Most labels that are kept.
const LABELS_MAX: usize = 64;
/// Longest metadata echo that is kept, in bytes; a longer one is dropped, the record stays.
const METADATA_MAX: usize = 4_096;
/// Longest error type that is kept, in bytes.
const ERROR_TYPE_MAX: usize = 128;
/// Longest list of buckets that is kept, in bytes: some hundreds of budgets, and well within a line.
const BUDGETS_MAX: usize = 64 << 10;

/// Who a request is charged to. Fixed at admission, repeated verbatim on the outcome.
#[derive(Debug, Clone, Copy)]
pub struct Attribution<'a> {
    /// The request.
    pub request_id: RequestId,
    /// When the request arrived: the time of its spend, and the source of its billing period.
    pub admitted_at: UnixMicros,
    /// The tenant.
    pub organization_id: &'a OrganizationId,
    /// The project that the spend is filed in.
    pub project_id: &'a ProjectId,
    /// The key.
    pub virtual_key_id: &'a VirtualKeyId,
    /// `chat`, `messages`, `responses`, `embeddings`.
    pub request_type: &'a str,
    /// The caller's user, already cleaned.
    pub end_user_id: Option<&'a str>,
    /// The customer trace.
    pub trace_id: Option<TraceId>,
    /// Tags of the key.
    pub labels: &'a [String],
    /// `X-LangWatch-Metadata`, verbatim JSON object text.
    pub metadata: Option<&'a str>,
}

/// What is written before a provider is dialled: who asks, and the most that the attempt may cost.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// Who is charged.
    pub who: Attribution<'a>,
    /// Which attempt of the request, from 0.
    pub attempt: u16,
    /// The model as sent, or `unknown`.
    pub model: &'a str,
    /// The provider row that is about to be dialled, when it is known.
    pub model_provider_id: Option<&'a ModelProviderId>,
    /// The most that the attempt may cost; zero for a request that the gateway refuses.
    pub hold: NanoUsd,
    /// Whether a price was known for the hold.
    pub priced: bool,
    /// The price list that the hold comes from.
    pub price_version: Option<&'a str>,
    /// The buckets that are charged if no outcome is ever written, as the text of a JSON list:
    /// `["bgt_a","bgt_b:user_1"]` ([`Entry::budgets`]). Empty for none.
    pub budgets: &'a str,
}

/// What is written before the last bytes leave: what the attempt did cost.
///
/// With an [`error_type`](Self::error_type) it is a `failSpend`, without one a `confirmSpend`.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Who is charged: the admission's own value.
    pub who: Attribution<'a>,
    /// The attempt that the admission named.
    pub attempt: u16,
    /// The outcome's own instant.
    pub at: UnixMicros,
    /// The model that served, or as sent when none did.
    pub model: &'a str,
    /// The provider row that was dialled last.
    pub model_provider_id: Option<&'a ModelProviderId>,
    /// What was consumed; zero when nothing or unknown.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
    /// How sure the cost is.
    pub certainty: Certainty,
    /// Whether a price was known.
    pub priced: bool,
    /// The price list that the cost comes from.
    pub price_version: Option<&'a str>,
    /// The provider's id for its answer.
    pub response_id: Option<&'a str>,
    /// Ids of what the attempt made at the provider and is to be recorded as the project's.
    pub made: &'a [String],
    /// The status that the caller saw; 499 when the caller left.
    pub http_status: u16,
    /// Why it failed: our error code, or the provider's type of a forwarded error.
    pub error_type: Option<&'a str>,
    /// Arrival to outcome.
    pub duration_ms: u64,
    /// The buckets that are charged, in the form of the admission's, which it replaces: it need not be
    /// the same.
    pub budgets: &'a str,
}

/// A month in UTC, `2026-11`: the billing period that a request was admitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period([u8; 7]);

impl Period {
    /// The period that `at` lies in. Years outside of 0 to 9999 are clamped.
    #[must_use]
    pub fn of(at: UnixMicros) -> Self {
        // Civil date from days, after Howard Hinnant; eras of 400 years begin on 1 March.
        let days = at.seconds().div_euclid(86_400).saturating_add(719_468);
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let in_year = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * in_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = (year + era * 400 + i64::from(month <= 2)).clamp(0, 9_999);
        let digit = |number: i64| b'0'.saturating_add(u8::try_from(number % 10).unwrap_or(0));
        Self([
            digit(year / 1_000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
        ])
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("0000-00")
    }
}

/// Cuts `text` to at most `max` bytes, at a character boundary.
fn bounded(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

type Encoded = Result<(), serde_json::Error>;

/// Appends one member; `key` is its literal text with comma, quotes and colon.
fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, key: &'static str, value: &T) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    serde_json::to_writer(out, value)
}

/// Appends a member that is a text.
fn put_text(out: &mut Vec<u8>, key: &'static str, text: &str) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    push_json_string(out, text)
}

fn put_some(out: &mut Vec<u8>, key: &'static str, text: Option<&str>) -> Encoded {
    text.map_or(Ok(()), |text| put_text(out, key, text))
}

/// Appends a member that is a list of texts, unless it is empty; `key` ends with the bracket.
fn put_list<T: AsRef<str>>(
    out: &mut Vec<u8>,
    key: &'static str,
    texts: impl Iterator<Item = T>,
) -> Encoded {
    let mut separator = key;
    for text in texts {
        put_text(out, separator, text.as_ref())?;
        separator = ",";
    }
    if separator == "," {
        out.push(b']');
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, key: &'static str, count: u64) -> Encoded {
    if count == 0 {
        Ok(())
    } else {
        put(out, key, &count)
    }
}

/// Appends a member that is plain ASCII in any case: an id in hex.
fn put_ascii(out: &mut Vec<u8>, key: &'static str, text: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Appends the buckets as they were rendered, unless there are none. What would break the line is left out.
fn put_budgets(out: &mut Vec<u8>, list: &str) {
    let fits = list.len() <= BUDGETS_MAX && list.bytes().all(|byte| byte >= 0x20);
    if fits && list.starts_with('[') && list.ends_with(']') {
        out.extend_from_slice(b",\"budgets\":");
        out.extend_from_slice(list.as_bytes());
    }
}

impl Attribution<'_> {
    fn encode(&self, out: &mut Vec<u8>) -> Encoded {
        put_ascii(out, "\"gateway_request_id\":", &self.request_id.to_ascii());
        put_text(out, ",\"organization_id\":", self.organization_id.as_str())?;
        put_text(out, ",\"project_id\":", self.project_id.as_str())?;
        put_text(out, ",\"virtual_key_id\":", self.virtual_key_id.as_str())?;
        put_text(out, ",\"request_type\":", self.request_type)?;
        put_some(
            out,
            ",\"end_user_id\":",
            self.end_user_id.map(|text| bounded(text, END_USER_MAX)),
        )?;
        if let Some(trace) = self.trace_id {
            put_ascii(out, ",\"trace_id\":", &trace.to_ascii());
        }
        let labels = self.labels.iter().take(LABELS_MAX);
        put_list(
            out,
            ",\"labels\":[",
            labels.map(|label| bounded(label, NAME_MAX)),
        )?;
        let metadata = self.metadata.filter(|text| text.len() <= METADATA_MAX);
        put_some(out, ",\"metadata\":", metadata)?;
        put_text(out, ",\"period\":", Period::of(self.admitted_at).as_str())
    }
}

impl Admission<'_> {
    /// Appends the line up to the end of its payload. The writer adds pod and number.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Encoded {
        out.extend_from_slice(b"{\"command\":\"admitSpend\",\"payload\":{");
        self.who.encode(out)?;
        put(out, ",\"occurred_at\":", &self.who.admitted_at.millis())?;
        put(out, ",\"attempt\":", &self.attempt)?;
        put_text(out, ",\"model\":", bounded(self.model, MODEL_MAX))?;
        let provider = self.model_provider_id.map(ModelProviderId::as_str);
        put_some(out, ",\"model_provider_id\":", provider)?;
        put(out, ",\"hold_nano_usd\":", &self.hold)?;
        put(out, ",\"priced\":", &self.priced)?;
        put_some(out, ",\"price_version\":", self.price_version)?;
        put_budgets(out, self.budgets);
        out.extend_from_slice(b",\"outcome_carries_attribution\":true}");
        Ok(())
    }
}

impl Outcome<'_> {
    /// Appends the line up to the end of its payload. The writer adds pod and number.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Encoded {
        out.extend_from_slice(match self.error_type {
            Some(_) => b"{\"command\":\"failSpend\",\"payload\":{".as_slice(),
            None => b"{\"command\":\"confirmSpend\",\"payload\":{".as_slice(),
        });
        self.who.encode(out)?;
        put(out, ",\"occurred_at\":", &self.at.millis())?;
        put(out, ",\"admitted_at\":", &self.who.admitted_at.millis())?;
        put(out, ",\"attempt\":", &self.attempt)?;
        put_text(out, ",\"model\":", bounded(self.model, MODEL_MAX))?;
        let provider = self.model_provider_id.map(ModelProviderId::as_str);
        put_some(out, ",\"model_provider_id\":", provider)?;
        encode_usage(&self.usage, out)?;
        put(out, ",\"cost_nano_usd\":", &self.cost)?;
        put(out, ",\"certainty\":", &self.certainty)?;
        put(out, ",\"priced\":", &self.priced)?;
        put_some(out, ",\"price_version\":", self.price_version)?;
        put_some(
            out,
            ",\"response_id\":",
            self.response_id.map(|text| bounded(text, NAME_MAX)),
        )?;
        let made = self
            .made
            .iter()
            .filter(|id| id.len() <= NAME_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()));
        put_list(out, ",\"made_at_provider\":[", made.take(MADE_MAX))?;
        put(out, ",\"http_status\":", &self.http_status)?;
        put(out, ",\"duration_ms\":", &self.duration_ms)?;
        if let Some(kind) = self.error_type {
            put_text(out, ",\"error\":{\"type\":", bounded(kind, ERROR_TYPE_MAX))?;
            put(out, ",\"http_status\":", &self.http_status)?;
            out.push(b'}');
        }
        put_budgets(out, self.budgets);
        out.push(b'}');
        Ok(())
    }
}

fn encode_usage(usage: &Usage, out: &mut Vec<u8>) -> Encoded {
    let Usage {
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        output,
        reasoning,
        input_audio,
        output_audio,
    } = *usage;
    put(out, ",\"usage\":{\"input_tokens\":", &input)?;
    put(out, ",\"output_tokens\":", &output)?;
    put_count(out, ",\"cache_read_input_tokens\":", cache_read)?;
    put_count(
        out,
        ",\"cache_creation_input_tokens\":",
        usage.cache_write(),
    )?;
    put_count(out, ",\"cache_creation_5m_tokens\":", cache_write_5m)?;
    put_count(out, ",\"cache_creation_1h_tokens\":", cache_write_1h)?;
    put_count(out, ",\"reasoning_tokens\":", reasoning)?;
    put_count(out, ",\"input_audio_tokens\":", input_audio)?;
    put_count(out, ",\"output_audio_tokens\":", output_audio)?;
    out.push(b'}');
    Ok(())
}

/// One line, read back.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// `admitSpend`.
    Admission(Admitted),
    /// `confirmSpend` or `failSpend`.
    Outcome(Finished),
}

/// Who a request is charged to, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributed {
    /// The request.
    pub request_id: RequestId,
    /// Which attempt of the request.
    pub attempt: u16,
    /// When the request arrived.
    pub admitted_at: UnixMicros,
    /// The billing period of the arrival.
    pub period: String,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The project that the spend is filed in.
    pub project_id: ProjectId,
    /// The key.
    pub virtual_key_id: VirtualKeyId,
    /// The model: as sent on an admission, as served on an outcome.
    pub model: String,
    /// The provider row.
    pub model_provider_id: Option<ModelProviderId>,
    /// Whether a price was known.
    pub priced: bool,
    /// The price list.
    pub price_version: Option<String>,
    /// Route family.
    pub request_type: String,
    /// The caller's user.
    pub end_user_id: Option<String>,
    /// The customer trace, hex; empty when unknown.
    pub trace_id: String,
    /// Tags of the key.
    pub labels: Vec<String>,
    /// The metadata echo.
    pub metadata: Option<String>,
    /// The buckets that are charged: the text of a JSON list of texts, empty for none.
    pub budgets: String,
    /// Whether the line named buckets in a form that cannot be read, so that none is charged.
    pub budgets_unreadable: bool,
}

/// An admission, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// Who is charged.
    pub who: Attributed,
    /// The most that the attempt may cost.
    pub hold: NanoUsd,
}

/// An outcome, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Who is charged.
    pub who: Attributed,
    /// The outcome's own instant.
    pub at: UnixMicros,
    /// What was consumed.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
    /// How sure the cost is.
    pub certainty: Certainty,
    /// The provider's id for its answer.
    pub response_id: Option<String>,
    /// Ids of what the attempt made at the provider.
    pub made: Vec<String>,
    /// The status that the caller saw.
    pub http_status: Option<u16>,
    /// Why it failed; `None` for `confirmSpend`.
    pub error_type: Option<String>,
    /// Arrival to outcome.
    pub duration_ms: Option<u64>,
}

/// Why a complete line cannot be used. Never holds the line itself.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON of the expected shape.
    #[error("the line is not a spend command")]
    Json(#[from] serde_json::Error),
    /// A required field is missing or holds something else.
    #[error("the field `{0}` is missing or not valid")]
    Field(&'static str),
}

/// Text that is borrowed from the line unless it had escapes.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn full(text: Option<Self>) -> Option<String> {
        text.filter(|text| !text.0.is_empty())
            .map(|text| text.0.into_owned())
    }
}

/// The text of a member that is any JSON, as it stands in the line.
#[derive(Debug, PartialEq)]
struct Verbatim<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Verbatim<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(from).map(|raw| Self(raw.get()))
    }
}

impl Verbatim<'_> {
    /// The text, if it is a list of texts.
    fn list_of_texts(&self) -> Option<String> {
        let texts = serde_json::from_str::<Vec<Text<'_>>>(self.0);
        texts.is_ok().then(|| self.0.to_owned())
    }
}

#[derive(Deserialize, Debug, PartialEq)]
struct Line<'a> {
    #[serde(borrow)]
    command: Text<'a>,
    #[serde(borrow)]
    payload: Payload<'a>,
    #[serde(default)]
    pod_seq: u64,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Payload<'a> {
    #[serde(borrow)]
    gateway_request_id: Text<'a>,
    occurred_at: i64,
    admitted_at: Option<i64>,
    #[serde(borrow)]
    organization_id: Option<Text<'a>>,
    #[serde(borrow)]
    project_id: Text<'a>,
    #[serde(borrow)]
    virtual_key_id: Option<Text<'a>>,
    #[serde(borrow)]
    end_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    trace_id: Option<Text<'a>>,
    #[serde(borrow)]
    request_type: Option<Text<'a>>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(borrow)]
    metadata: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    model_provider_id: Option<Text<'a>>,
    #[serde(default)]
    attempt: u16,
    #[serde(default)]
    hold_nano_usd: NanoUsd,
    #[serde(default)]
    cost_nano_usd: NanoUsd,
    certainty: Option<Certainty>,
    #[serde(default)]
    priced: bool,
    #[serde(borrow)]
    price_version: Option<Text<'a>>,
    #[serde(borrow)]
    period: Option<Text<'a>>,
    #[serde(borrow)]
    response_id: Option<Text<'a>>,
    #[serde(default)]
    made_at_provider: Vec<String>,
    http_status: Option<u16>,
    duration_ms: Option<u64>,
    usage: Option<UsageIn>,
    #[serde(borrow)]
    error: Option<ErrorIn<'a>>,
    #[serde(borrow)]
    budgets: Option<Verbatim<'a>>,
}

#[derive(Deserialize, Debug, PartialEq, Default)]
#[serde(default)]
struct UsageIn {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_creation_5m_tokens: u64,
    cache_creation_1h_tokens: u64,
    reasoning_tokens: u64,
    input_audio_tokens: u64,
    output_audio_tokens: u64,
}

#[derive(Deserialize, Debug, PartialEq)]
struct ErrorIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    http_status: Option<u16>,
}

impl UsageIn {
    fn into_usage(self) -> Usage {
        let Self {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation_5m_tokens,
            cache_creation_1h_tokens,
            reasoning_tokens,
            input_audio_tokens,
            output_audio_tokens,
        } = self;
        // A sender that knows the total only: what is not the one-hour share is the five-minute one.
        let rest = cache_creation_input_tokens.saturating_sub(cache_creation_1h_tokens);
        Usage {
            input: input_tokens,
            cache_read: cache_read_input_tokens,
            cache_write_5m: cache_creation_5m_tokens.max(rest),
            cache_write_1h: cache_creation_1h_tokens,
            output: output_tokens,
            reasoning: reasoning_tokens,
            input_audio: input_audio_tokens,
            output_audio: output_audio_tokens,
        }
    }
}

impl Record {
    /// Reads one complete line (with or without its newline) and the number it carries in its pod.
    ///
    /// # Errors
    /// The line is not a spend command, or a field that money depends on is missing.
    pub fn parse(line: &[u8]) -> Result<(Self, u64), Malformed> {
        let ours = std::str::from_utf8(line).ok().and_then(scan::line);
        let Line {
            command,
            payload,
            pod_seq,
        } = ours.map_or_else(|| serde_json::from_slice(line), Ok)?;
        let record = match command.0.as_ref() {
            "admitSpend" => payload.admission()?,
            "confirmSpend" => payload.outcome(false)?,
            "failSpend" => payload.outcome(true)?,
            _ => return Err(Malformed::Field("command")),
        };
        Ok((record, pod_seq))
    }

    /// Whether a member that money depends on was there and could not be read. The rest of the record is
    /// good.
    #[must_use]
    pub const fn is_partly_malformed(&self) -> bool {
        match self {
            Self::Admission(admitted) => admitted.who.budgets_unreadable,
            Self::Outcome(finished) => finished.who.budgets_unreadable,
        }
    }

    /// The ledger row of this record.
    ///
    /// An admission is a `hold`. A confirmation is a `settle`, also at cost zero; a failure is a
    /// `settle` when it cost or consumed something, else a `release`.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        match self {
            Self::Admission(Admitted { who, hold }) => who.into_entry(EntryKind::Hold, hold),
            Self::Outcome(finished) => {
                let Finished {
                    who,
                    at: _,
                    usage,
                    cost,
                    certainty,
                    response_id,
                    made,
                    http_status,
                    error_type,
                    duration_ms,
                } = finished;
                let moved = error_type.is_none() || cost != NanoUsd::ZERO || !usage.is_zero();
                let kind = if moved {
                    EntryKind::Settle
                } else {
                    EntryKind::Release
                };
                let mut entry = who.into_entry(kind, cost);
                entry.usage = usage;
                entry.certainty = certainty;
                entry.made = made;
                entry.detail.response_id = response_id;
                entry.detail.http_status = http_status;
                entry.detail.error_type = error_type;
                entry.detail.duration_ms = duration_ms;
                entry
            }
        }
    }
}

impl Attributed {
    /// The part of a row that admission and outcome share.
    fn into_entry(self, kind: EntryKind, amount: NanoUsd) -> Entry {
        let Self {
            request_id,
            attempt,
            admitted_at,
            period,
            organization_id,
            project_id,
            virtual_key_id,
            model,
            model_provider_id,
            priced,
            price_version,
            request_type,
            end_user_id,
            trace_id,
            labels,
            metadata,
            budgets,
            budgets_unreadable: _,
        } = self;
        Entry {
            request_id,
            attempt,
            kind,
            at: admitted_at,
            amount,
            certainty: Certainty::Exact,
            priced,
            price_version,
            period,
            organization_id,
            project_id,
            virtual_key_id,
            model_provider_id,
            model,
            usage: Usage::default(),
            detail: Detail {
                request_type,
                end_user_id,
                trace_id,
                labels,
                metadata,
                ..Detail::default()
            },
            made: Vec::new(),
            budgets,
        }
    }
}

impl Payload<'_> {
    fn admission(self) -> Result<Record, Malformed> {
        let hold = self.hold_nano_usd;
        let admitted_at = UnixMicros::from_millis(self.occurred_at);
        Ok(Record::Admission(Admitted {
            who: self.attributed(admitted_at)?,
            hold,
        }))
    }

    fn outcome(mut self, failed: bool) -> Result<Record, Malformed> {
        let at = UnixMicros::from_millis(self.occurred_at);
        let admitted_at = self.admitted_at.map_or(at, UnixMicros::from_millis);
        let error = self.error.take();
        let http_status = self
            .http_status
            .or_else(|| error.as_ref().and_then(|error| error.http_status));
        let error_type = error.map(|error| error.kind.0.into_owned());
        if failed && error_type.is_none() {
            return Err(Malformed::Field("error"));
        }
        Ok(Record::Outcome(Finished {
            at,
            usage: self.usage.take().unwrap_or_default().into_usage(),
            cost: self.cost_nano_usd,
            certainty: self.certainty.unwrap_or(Certainty::Exact),
            response_id: Text::full(self.response_id.take()),
            made: std::mem::take(&mut self.made_at_provider),
            http_status,
            error_type: error_type.filter(|_| failed),
            duration_ms: self.duration_ms,
            who: self.attributed(admitted_at)?,
        }))
    }

    fn attributed(self, admitted_at: UnixMicros) -> Result<Attributed, Malformed> {
        let text = |text: Option<Text<'_>>| Text::full(text).unwrap_or_default();
        let organization = self
            .organization_id
            .ok_or(Malformed::Field("organization_id"))?;
        let key = self
            .virtual_key_id
            .ok_or(Malformed::Field("virtual_key_id"))?;
        let provider = self.model_provider_id.filter(|id| !id.0.is_empty());
        let budgets = self.budgets.as_ref().map(Verbatim::list_of_texts);
        Ok(Attributed {
            request_id: RequestId::parse(&self.gateway_request_id.0)
                .ok_or(Malformed::Field("gateway_request_id"))?,
            attempt: self.attempt,
            admitted_at,
            period: Text::full(self.period)
                .unwrap_or_else(|| Period::of(admitted_at).as_str().to_owned()),
            organization_id: OrganizationId::parse(&organization.0)
                .map_err(|_| Malformed::Field("organization_id"))?,
            project_id: ProjectId::parse(&self.project_id.0)
                .map_err(|_| Malformed::Field("project_id"))?,
            virtual_key_id: VirtualKeyId::parse(&key.0)
                .map_err(|_| Malformed::Field("virtual_key_id"))?,
            model: text(self.model),
            // No sum depends on it: an odd provider must not cost the whole record.
            model_provider_id: provider.and_then(|id| ModelProviderId::parse(&id.0).ok()),
            priced: self.priced,
            price_version: Text::full(self.price_version),
            request_type: text(self.request_type),
            end_user_id: Text::full(self.end_user_id),
            trace_id: text(self.trace_id),
            labels: self.labels,
            metadata: Text::full(self.metadata),
            budgets_unreadable: matches!(budgets, Some(None)),
            budgets: budgets.flatten().unwrap_or_default(),
        })
    }
}

/// Both ways of reading a line, for a test that compares them: ours is `None` when it gives up.
#[cfg(test)]
pub(crate) fn both_ways(line: &[u8]) -> (Option<String>, Option<String>) {
    let ours = std::str::from_utf8(line).ok().and_then(scan::line);
    let general: Option<Line<'_>> = serde_json::from_slice(line).ok();
    (
        ours.map(|line| format!("{line:?}")),
        general.map(|line| format!("{line:?}")),
    )
}
