//! What became of one gateway request (management-api 14).
//!
//! Asks the traces first and then the ledger, so that a request is found as soon as either has it. Must
//! never answer for another organization, or from a project context for another project. Start at
//! [`get`].

use http::Method;
use lw_core::{Code, Error, NanoUsd, OrganizationId, ProjectId, RequestId};
use lw_engine::access::{Action, Permission as Wanted, Resource};
use lw_store::ledger::{EntryKind, SpendRecord};
use lw_store::rows::Scope;
use lw_store::trace::TraceRecord;
use serde_json::{Value, json};

use crate::Admin;
use crate::caller::{Caller, Sight};
use crate::edge::Family::Gateway;
use crate::edge::stored;
use crate::permission::TracesView;
use crate::routes::Route;
use crate::schemas::{self, Named};
use crate::serve::{Answer, Call};

/// `GET /requests/:gateway_request_id`.
pub(crate) fn get(call: &Call<TracesView>) -> Result<Answer, Error> {
    let not_found = || Error::new(Code::RequestNotFound, "Request not found.");
    let id = RequestId::parse(call.id()).ok_or_else(not_found)?;
    let readable = Readable::of(call.admin(), &call.permit)?;
    let traced = call.admin().traces.by_request(id).map_err(stored)?;
    if let Some(shown) = traced.and_then(|record| from_trace(&record, &readable)) {
        return Ok(Answer::ok(shown));
    }
    let spent = call.admin().ledger.request(id).map_err(stored)?;
    let shown = spent.and_then(|record| from_ledger(&record, &readable));
    shown.map(Answer::ok).ok_or_else(not_found)
}

/// Whose records a caller reads: those of the project of its context, or of every project where it may.
pub(crate) struct Readable {
    organization: OrganizationId,
    project: Option<ProjectId>,
    sight: Sight,
}

impl Readable {
    /// What the caller reads.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn of(admin: &Admin, caller: &Caller) -> Result<Self, Error> {
        const VIEW: Wanted = Wanted::new(Resource::Traces, Action::View);
        Ok(Self {
            organization: caller.organization.id.clone(),
            project: caller.project.as_ref().map(|project| project.id.clone()),
            sight: caller.sight(admin, VIEW)?,
        })
    }

    /// Whether a record that is filed there is the caller's to see.
    pub(crate) fn sees(&self, organization: &OrganizationId, project: &ProjectId) -> bool {
        *organization == self.organization
            && match &self.project {
                Some(own) => own == project,
                None => self.sight.sees(&[Scope::Project(project.clone())]),
            }
    }
}

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::anywhere::<TracesView>(Gateway, Method::GET, "/api/gateway/v1/requests/{id}", get)
            .named(
                "getApiGatewayV1RequestsById",
                "Look up what became of a gateway request",
            )
            .answers(200, schemas::named("GatewayRequest"))
            .refuses(&[Code::RequestNotFound]),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    use schemas::{integer, object, or_null, text, time};
    vec![(
        "GatewayRequest",
        object(
            &[
                ("gateway_request_id", text()),
                ("trace_id", or_null(text())),
                ("project_id", text()),
                ("virtual_key_id", or_null(text())),
                ("status", text()),
                ("occurred_at", time()),
                ("model", or_null(text())),
                (
                    "cost",
                    or_null(object(
                        &[("total_usd", text()), ("nano_usd", or_null(integer()))],
                        &[],
                    )),
                ),
            ],
            &[],
        ),
    )]
}

fn from_trace(record: &TraceRecord, readable: &Readable) -> Option<Value> {
    readable
        .sees(&record.organization_id, &record.project_id)
        .then(|| {
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
fn from_ledger(record: &SpendRecord, readable: &Readable) -> Option<Value> {
    let first = record.entries.first()?;
    if !readable.sees(&first.organization_id, &first.project_id) {
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
