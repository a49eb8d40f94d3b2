//! What became of one gateway request (management-api 14).
//!
//! Asks the traces first and then the ledger, so that a request is found as soon as either has it. Must
//! never answer for another organization, or from a project context for another project. Start at
//! [`get`].

use lw_core::{Code, Error, NanoUsd, RequestId};
use lw_store::ledger::{EntryKind, SpendRecord};
use lw_store::trace::TraceRecord;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::edge::stored;
use crate::permission::TracesView;
use crate::serve::{Answer, Call};

/// `GET /requests/:gateway_request_id`.
pub(crate) fn get(call: &Call<TracesView>) -> Result<Answer, Error> {
    let not_found = || Error::new(Code::RequestNotFound, "Request not found.");
    let id = RequestId::parse(call.id()).ok_or_else(not_found)?;
    let traced = call.admin().traces.by_request(id).map_err(stored)?;
    if let Some(shown) = traced.and_then(|record| from_trace(&record, &call.permit)) {
        return Ok(Answer::ok(shown));
    }
    let spent = call.admin().ledger.request(id).map_err(stored)?;
    let shown = spent.and_then(|record| from_ledger(&record, &call.permit));
    shown.map(Answer::ok).ok_or_else(not_found)
}

/// Whether a record of this organization and project is the caller's to see.
pub(crate) fn is_visible(
    caller: &Caller,
    organization: &lw_core::OrganizationId,
    project: &lw_core::ProjectId,
) -> bool {
    *organization == caller.organization.id
        && caller.project.as_ref().is_none_or(|own| own.id == *project)
}

fn from_trace(record: &TraceRecord, caller: &Caller) -> Option<Value> {
    is_visible(caller, &record.organization_id, &record.project_id).then(|| {
        let facts = &record.facts;
        json!({
            "gateway_request_id": record.request_id,
            "trace_id": record.trace_id,
            "project_id": record.project_id,
            "virtual_key_id": record.virtual_key_id,
            "status": facts.status,
            "occurred_at": record.started_at.to_rfc3339(),
            "model": facts.model.as_ref().or(facts.requested_model.as_ref()),
            "cost": facts.cost.map(cost),
        })
    })
}

/// The ledger folds to the last thing known: charged, given back, or still held (`admitted`).
fn from_ledger(record: &SpendRecord, caller: &Caller) -> Option<Value> {
    let first = record.entries.first()?;
    if !is_visible(caller, &first.organization_id, &first.project_id) {
        return None;
    }
    let ended = |kind| record.entries.iter().rev().find(|entry| entry.kind == kind);
    let last = ended(EntryKind::Settle).or_else(|| ended(EntryKind::Release));
    let status = match last {
        None => "admitted",
        Some(entry) => match (&entry.detail.error_type, entry.kind) {
            (Some(error), _) => error.as_str(),
            (None, EntryKind::Release) => "failed",
            (None, EntryKind::Settle | EntryKind::Hold | EntryKind::Adjust) => "success",
        },
    };
    let mut charged = record
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Settle | EntryKind::Adjust))
        .filter(|entry| entry.priced)
        .peekable();
    let known = charged.peek().is_some();
    let total: NanoUsd = charged.map(|entry| entry.amount).sum();
    let shown = last.unwrap_or(first);
    Some(json!({
        "gateway_request_id": first.request_id,
        "trace_id": Some(&shown.detail.trace_id).filter(|id| !id.is_empty()),
        "project_id": first.project_id,
        "virtual_key_id": first.virtual_key_id,
        "status": status,
        "occurred_at": first.at.to_rfc3339(),
        "model": shown.model,
        "cost": known.then(|| cost(total)),
    }))
}

fn cost(amount: NanoUsd) -> Value {
    json!({ "total_usd": amount.to_string(), "nano_usd": amount.0 })
}
