//! Money that was held and spent: append-only rows, and the port that keeps them.
//!
//! A request's rows are keyed by (request, attempt, kind), so that folding a record twice changes
//! nothing. Spent is the sum over `settle` and `adjust`; reserved is every `hold` without a `settle` or
//! `release` of the same (request, attempt). Both can be rebuilt from the rows at any time.

use lw_core::{
    BudgetId, ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, UnixMicros, Usage,
    VirtualKeyId,
};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// What a row records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EntryKind {
    /// The most that the attempt may cost, taken before the provider was dialled.
    Hold = 0,
    /// What the attempt did cost.
    Settle = 1,
    /// The attempt cost nothing; its hold is given back.
    Release = 2,
    /// A correction of an earlier `settle`, signed.
    Adjust = 3,
}

impl EntryKind {
    /// From the number that a store keeps.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Hold),
            1 => Some(Self::Settle),
            2 => Some(Self::Release),
            3 => Some(Self::Adjust),
            _ => None,
        }
    }
}

/// How sure a charge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Certainty {
    /// The provider reported the usage.
    Exact = 0,
    /// The provider reported nothing usable: between what was delivered and the hold.
    Estimated = 1,
    /// No outcome was ever recorded (the process died): charged at the hold.
    Orphaned = 2,
}

impl Certainty {
    /// From the number that a store keeps.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Exact),
            1 => Some(Self::Estimated),
            2 => Some(Self::Orphaned),
            _ => None,
        }
    }
}

/// One row of the ledger. Everything but the amount of an adjustment is fixed at admission.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The request.
    pub request_id: RequestId,
    /// Which attempt of the request, from 0.
    pub attempt: u16,
    /// What the row records.
    pub kind: EntryKind,
    /// When the request was admitted, on every row of it: spend counts for the period of the request,
    /// not of its outcome (billing 4, rule 3). `detail.duration_ms` leads to the outcome's instant.
    pub at: UnixMicros,
    /// Nano-USD: the hold, the cost, zero for a release, the signed difference for an adjustment.
    pub amount: NanoUsd,
    /// How sure the amount is.
    pub certainty: Certainty,
    /// Whether a price was known. An unpriced charge has amount 0 and is never shown as free.
    pub priced: bool,
    /// The price list that the amount comes from; `None` when unpriced.
    pub price_version: Option<String>,
    /// The billing period that the request was admitted in, UTC: `2026-11`.
    pub period: String,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The project that the spend is filed in.
    pub project_id: ProjectId,
    /// The key.
    pub virtual_key_id: VirtualKeyId,
    /// The provider row that was (or was to be) dialled.
    pub model_provider_id: Option<ModelProviderId>,
    /// The model: as sent on a hold, as served on the others.
    pub model: String,
    /// Token classes; zero on a hold.
    pub usage: Usage,
    /// Everything else that a spend record shows.
    pub detail: Detail,
    /// Ids of what the attempt made at the provider and is to be recorded as its project's
    /// ([`crate::objects`]). No part of the row: it reads back empty.
    pub made: Vec<String>,
    /// The buckets that the amount is charged to: the text of a JSON list of texts, each a budget's id
    /// and, after the first colon, the member that the bucket is for (`["bgt_a","bgt_b:user_1"]`). Empty
    /// for none. A hold charges nothing; its list is that of its orphaned charge.
    pub budgets: String,
}

/// Facts of a spend record that no sum is made over (billing 15).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// `chat`, `messages`, `responses`, `embeddings`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_type: String,
    /// The caller's user, already cleaned (data-plane 9.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_user_id: Option<String>,
    /// The customer trace, 32 hex characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Tags of the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `X-LangWatch-Metadata`, verbatim JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The provider's id for the answer (`chatcmpl-…`, `msg_…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// `error.type` of a failed request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The status that the caller saw; 499 when the caller left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Arrival to outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// Appends `text` as a JSON string.
///
/// A ledger and its spool write some forty of them for a request. Nearly none needs an escape, so that
/// is found out first, many bytes at a time; a text that does need one is left to `serde_json`.
///
/// # Errors
/// None: writing to a `Vec` does not fail. The type is that of `serde_json`.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    let plain = |byte: &u8| (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\');
    // Not `all`: it stops at the first byte and so looks at one after the other.
    if text
        .as_bytes()
        .iter()
        .fold(true, |fine, byte| fine & plain(byte))
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    serde_json::to_writer(out, text)
}

impl Detail {
    /// Appends the same JSON as its `Serialize`, several times faster.
    ///
    /// # Errors
    /// As [`push_json_string`].
    pub fn push_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let Self {
            request_type,
            end_user_id,
            trace_id,
            labels,
            metadata,
            response_id,
            error_type,
            http_status,
            duration_ms,
        } = self;
        out.push(b'{');
        let start = out.len();
        let key = |out: &mut Vec<u8>, key: &str| {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
        };
        for (name, text) in [
            (
                "\"request_type\":",
                Some(request_type).filter(|text| !text.is_empty()),
            ),
            ("\"end_user_id\":", end_user_id.as_ref()),
            (
                "\"trace_id\":",
                Some(trace_id).filter(|text| !text.is_empty()),
            ),
            ("\"metadata\":", metadata.as_ref()),
            ("\"response_id\":", response_id.as_ref()),
            ("\"error_type\":", error_type.as_ref()),
        ] {
            if let Some(text) = text {
                key(out, name);
                push_json_string(out, text)?;
            }
        }
        if !labels.is_empty() {
            key(out, "\"labels\":");
            let mut separator = b'[';
            for label in labels {
                out.push(separator);
                push_json_string(out, label)?;
                separator = b',';
            }
            out.push(b']');
        }
        for (name, number) in [
            ("\"http_status\":", http_status.map(u64::from)),
            ("\"duration_ms\":", *duration_ms),
        ] {
            if let Some(number) = number {
                key(out, name);
                serde_json::to_writer(&mut *out, &number)?;
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// How far one spool file has been folded, stored in the same transaction as the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file's lasting name: pod and number, without what changes when it is sealed.
    pub file: String,
    /// Bytes folded.
    pub offset: u64,
}

/// The rows of one request, folded into what a person asks about.
#[derive(Debug, Clone, PartialEq)]
pub struct SpendRecord {
    /// The rows in the order (attempt, kind).
    pub entries: Vec<Entry>,
}

/// Sums over a key's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeySpend {
    /// Sum over `settle` and `adjust`.
    pub spent: NanoUsd,
    /// Sum over open holds.
    pub reserved: NanoUsd,
    /// Number of requests with an outcome.
    pub requests: u64,
}

/// Whose spend is summed, inside of one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spenders {
    /// Everybody's.
    Organization,
    /// What any of these keys spent, wherever it was filed, and what was filed into any of these
    /// projects, whoever spent it; a request that is both counts once.
    Any {
        /// Keys, ended ones too.
        keys: Vec<VirtualKeyId>,
        /// Projects, archived ones too.
        projects: Vec<ProjectId>,
    },
}

/// What had been spent of a budget before there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Whose bucket; empty for a budget that has one for all.
    pub member: String,
    /// When it counts as spent: in every sum from this instant or an earlier one on.
    pub at: UnixMicros,
    /// How much.
    pub amount: NanoUsd,
}

/// A sum over `settle` and `adjust`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendQuery {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Whose spend.
    pub spenders: Spenders,
    /// Only what was spent at this provider; rows without a provider then count for nothing.
    pub model_provider_id: Option<ModelProviderId>,
    /// Only requests that were admitted from here on.
    pub from: UnixMicros,
    /// Only requests that were admitted before.
    pub to: UnixMicros,
}

/// The port of the ledger. One writer folds; readers may ask at any time.
pub trait Ledger: Send + Sync + 'static {
    /// Appends rows that are not there yet and remembers the progress, in one durable transaction.
    /// Returns how many rows were new.
    ///
    /// The first outcome (`settle` or `release`) of an attempt wins, a later one changes nothing; but
    /// one that meets an orphaned `settle` becomes an `adjust` of the difference, with its own facts.
    ///
    /// # Errors
    /// Nothing was written; the caller keeps the records and tries again.
    fn append(&self, entries: &[Entry], progress: &[Progress]) -> Result<u64, StoreError>;

    /// How far each spool file was folded.
    ///
    /// # Errors
    /// The store could not be asked.
    fn progress(&self) -> Result<Vec<Progress>, StoreError>;

    /// Forgets the progress of files that are gone.
    ///
    /// # Errors
    /// The store could not be written.
    fn forget(&self, files: &[String]) -> Result<(), StoreError>;

    /// Charges every open hold that was taken before `before` at its amount, flagged
    /// [`Certainty::Orphaned`]. Called once at start, after the spool was folded. Returns the number.
    ///
    /// # Errors
    /// The store could not be written; the process must not start serving.
    fn charge_orphans(&self, before: UnixMicros) -> Result<u64, StoreError>;

    /// The rows of one request.
    ///
    /// # Errors
    /// The store could not be asked.
    fn request(&self, id: RequestId) -> Result<Option<SpendRecord>, StoreError>;

    /// What a key spent on requests that were admitted in `[from, to)`.
    ///
    /// # Errors
    /// The store could not be asked.
    fn key_spend(
        &self,
        key: &VirtualKeyId,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<KeySpend, StoreError>;

    /// What was spent, as `query` asks. Walks no rows but those of the minutes at the ends of the range.
    ///
    /// # Errors
    /// The store could not be asked.
    fn spent(&self, query: &SpendQuery) -> Result<NanoUsd, StoreError>;

    /// What was charged to one bucket of a budget for requests that were admitted from `from` on, with
    /// what it was opened at. `member` is empty for a budget that has one bucket. An attempt is charged
    /// where its last outcome says: an `adjust` takes an assumed charge along to its own buckets.
    ///
    /// # Errors
    /// The store could not be asked.
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError>;

    /// The same, of all buckets of a budget together.
    ///
    /// # Errors
    /// The store could not be asked.
    fn budget_spent_in_all(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError>;

    /// The members after `after`, at most `limit`, in the order of their bytes, and what each was charged.
    /// Only those with an opening or a charge that moved something (billing 6) from `from` on.
    ///
    /// # Errors
    /// The store could not be asked.
    fn budget_members(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, NanoUsd)>, StoreError>;

    /// The last budget by id that was opened. Takes no longer for many of them.
    ///
    /// # Errors
    /// The store could not be asked.
    fn last_opened(&self) -> Result<Option<BudgetId>, StoreError>;

    /// Records what was spent before there were these budgets, all of it or nothing. Only the first call for
    /// a budget counts.
    ///
    /// # Errors
    /// The store could not be written; the budgets are as they were.
    fn open_budgets(&self, budgets: &[(BudgetId, Vec<Opening>)]) -> Result<(), StoreError>;
}

/// Takes an entry of [`Entry::budgets`] apart: the budget, and the member or nothing.
#[must_use]
pub fn bucket_parts(entry: &str) -> (&str, &str) {
    entry.split_once(':').unwrap_or((entry, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_the_same_json_either_way() {
        let full = Detail {
            request_type: String::from("chat"),
            end_user_id: Some(String::from("a \"quoted\" \\ one\n")),
            trace_id: String::from("4bf9"),
            labels: vec![String::from("tier:pro"), String::from("é\u{1}")],
            metadata: Some(String::from(r#"{"a":1}"#)),
            response_id: Some(String::from("msg_1")),
            error_type: Some(String::from("rate_limited")),
            http_status: Some(429),
            duration_ms: Some(0),
        };
        for detail in [full, Detail::default()] {
            let mut fast = Vec::new();
            detail.push_json(&mut fast).expect("encodes");
            let slow = serde_json::to_value(&detail).expect("encodes");
            let value: serde_json::Value = serde_json::from_slice(&fast).expect("is JSON");
            assert_eq!(value, slow);
            assert_eq!(
                serde_json::from_slice::<Detail>(&fast).expect("reads"),
                detail
            );
        }
    }
}
