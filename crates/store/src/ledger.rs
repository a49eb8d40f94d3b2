//! Money that was held and spent: append-only rows, and the port that keeps them.
//!
//! A request's rows are keyed by (request, attempt, kind), so that folding a record twice changes
//! nothing. Spent is the sum over `settle` and `adjust`; reserved is every `hold` without a `settle` or
//! `release` of the same (request, attempt). Both can be rebuilt from the rows at any time.

use lw_core::{
    ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, UnixMicros, Usage, VirtualKeyId,
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
}
