//! What accompanies every write: the change events for gateways, the rows of the audit log, and the
//! answer to a repeated call.
//!
//! All land in the transaction of the rows (domain 1); [`commit`] then tells this process, before the
//! caller has its answer. Must never be given a secret, a hash or a credential: `before` and `after` are
//! what callers see of the row. Start at [`Act`].

use lw_core::{Error, ProjectId, UnixMicros};
use lw_store::StoreError;
use lw_store::config::{AuditRow, Change, ChangeEvent, Committed, Write};
use lw_store::rows::Scope;
use serde_json::{Value, json};

use crate::Admin;
use crate::caller::{Caller, Credential};
use crate::idempotency::Keep;
use crate::serve::Answer;

/// How often a change is tried again when somebody else was faster.
const TRIES: usize = 64;

/// Whose part of the audit log an act is filed in: whoever reads the log of a project reads the row before
/// and after, so it must be the project's alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Filed {
    /// The project that the call is made in: for acts that are about no row of a project or above it.
    #[default]
    Context,
    /// The one project that the row belongs to, whatever project the call names.
    Project(ProjectId),
    /// No project's: the row is wider than one.
    Organization,
}

impl Filed {
    /// Of a row that is anchored at scopes: the project that is the only one.
    pub(crate) fn at(scopes: &[Scope]) -> Self {
        match scopes {
            [Scope::Project(id)] => Self::Project(id.clone()),
            _ => Self::Organization,
        }
    }

    /// Of a change that may have moved the row: one project's only if the row was and stays there.
    pub(crate) fn still(self, after: Self) -> Self {
        if self == after {
            after
        } else {
            Self::Organization
        }
    }

    /// The project of the audit row.
    fn project(self, caller: &Caller) -> Option<ProjectId> {
        match self {
            Self::Context => caller.project.as_ref().map(|project| project.id.clone()),
            Self::Project(id) => Some(id),
            Self::Organization => None,
        }
    }
}

/// One act of a caller on one row.
#[derive(Debug, Default)]
pub(crate) struct Act<'a> {
    /// `gateway.virtual_key.created`.
    pub(crate) action: &'static str,
    /// `virtual_key`; `None` for acts that are not about the gateway (domain 19).
    pub(crate) target_kind: Option<&'static str>,
    /// The row.
    pub(crate) target_id: &'a str,
    /// Whose audit log it stands in.
    pub(crate) filed: Filed,
    /// The row before, as callers see it.
    pub(crate) before: Option<Value>,
    /// The row after, as callers see it.
    pub(crate) after: Option<Value>,
    /// What the caller said beyond the row.
    pub(crate) args: Option<Value>,
    /// What gateways are told.
    pub(crate) events: Vec<ChangeEvent>,
}

impl Act<'_> {
    /// What the store keeps of the act.
    pub(crate) fn by(self, admin: &Admin, caller: &Caller, now: UnixMicros) -> Change {
        let Self {
            action,
            target_kind,
            target_id,
            filed,
            before,
            after,
            args,
            events,
        } = self;
        let metadata = match &caller.credential {
            Credential::ApiKey { id, .. } => json!({ "api_key_id": id }),
            Credential::Project(id) => json!({ "project_key_of": id }),
        };
        let audit = AuditRow {
            id: format!("audit_{}", lw_core::id::ulid(now, admin.entropy.as_ref())),
            created_at: now,
            user_id: Some(caller.actor()),
            organization_id: Some(caller.organization.id.clone()),
            project_id: filed.project(caller),
            action: action.to_owned(),
            target_kind: target_kind.map(str::to_owned),
            target_id: Some(target_id.to_owned()),
            before: before.map(|value| value.to_string()),
            after: after.map(|value| value.to_string()),
            args: args.map(|value| value.to_string()),
            metadata: Some(metadata.to_string()),
            error: None,
            ip_address: caller.ip.map(|ip| ip.to_string()),
            user_agent: caller.user_agent.clone(),
        };
        Change {
            events,
            audit: vec![audit],
            receipt: None,
        }
    }
}

/// Adds what another act left to a change: one transaction, several audit rows.
pub(crate) fn also(mut change: Change, other: Change) -> Change {
    change.events.extend(other.events);
    change.audit.extend(other.audit);
    change
}

/// Commits and tells this process what happened.
///
/// # Errors
/// Those of [`lw_store::config::ConfigStore::commit`].
pub(crate) fn commit(
    admin: &Admin,
    writes: &[Write<'_>],
    change: &Change,
) -> Result<Committed, StoreError> {
    let committed = admin.store.commit(writes, change)?;
    for event in &committed.events {
        admin.freshness.changed(event);
    }
    Ok(committed)
}

/// Commits a create together with its answer, so that a repetition of the call gets the same one.
///
/// # Errors
/// As `refused` says of the store's.
pub(crate) fn commit_answer(
    admin: &Admin,
    writes: &[Write<'_>],
    mut change: Change,
    answer: Answer,
    keep: &Keep<'_>,
    refused: impl FnOnce(StoreError) -> Error,
) -> Result<Answer, Error> {
    change.receipt = keep.receipt(admin, &answer)?;
    commit(admin, writes, &change).map_err(refused)?;
    Ok(answer)
}

/// How one try of a change ended.
pub(crate) enum Tried<T> {
    /// It is done.
    Done(T),
    /// The row changed since it was read.
    Stale,
}

/// Reads, changes and writes until nobody else was faster.
///
/// # Errors
/// Those of `attempt`, and those of `gave_up` when it was never fast enough.
pub(crate) fn until_fresh<T>(
    mut attempt: impl FnMut() -> Result<Tried<T>, Error>,
    gave_up: impl FnOnce() -> Error,
) -> Result<T, Error> {
    for _ in 0..TRIES {
        if let Tried::Done(value) = attempt()? {
            return Ok(value);
        }
    }
    Err(gave_up())
}
