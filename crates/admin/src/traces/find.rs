//! Brings the records that a caller asks for and may see.
//!
//! A trace id is chosen by whoever sends the request, so two organizations may use the same one: every
//! record is checked by itself, and what is foreign is as if it were not there. Start at [`trace`] and
//! [`search`].

use std::cmp::Reverse;

use lw_core::{Code, Error, ProjectId, RequestId, TraceId};
use lw_store::trace::{TraceQuery, TraceRecord};

use super::body::{Search, write_scroll};
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::stored;
use crate::permission::TracesView;
use crate::requests::Readable;

/// The shortest prefix of a trace id that is looked up.
const PREFIX: usize = 8;
/// How many traces an ambiguous prefix names.
const CANDIDATES: usize = 10;

/// A page of records, newest first.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) records: Vec<TraceRecord>,
    pub(super) total: u64,
    pub(super) scroll: Option<String>,
}

/// All visible records of one trace, oldest first; at least one.
///
/// # Errors
/// `trace_not_found`, `trace_ambiguous`, or the store failed.
pub(crate) fn trace(
    admin: &Admin,
    permit: &Permit<TracesView>,
    id: &str,
) -> Result<Vec<TraceRecord>, Error> {
    let not_found = || Error::new(Code::TraceNotFound, "Trace not found.");
    let id = id.trim();
    let trace_id = if let Some(request) = RequestId::parse(id) {
        by_request(admin, permit, request)?
            .ok_or_else(not_found)?
            .trace_id
    } else if let Some(whole) = TraceId::parse(id) {
        whole
    } else {
        let found = match hex_prefix(id) {
            Some(prefix) => with_prefix(admin, permit, &prefix, CANDIDATES)?,
            None => Vec::new(),
        };
        match found.as_slice() {
            [] => return Err(not_found()),
            [only] => *only,
            several => {
                let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                let message = "Several traces begin with this prefix.";
                return Err(
                    Error::new(Code::TraceAmbiguous, message).with("candidateTraceIds", ids)
                );
            }
        }
    };
    let records = by_trace(admin, permit, trace_id)?;
    if records.is_empty() {
        Err(not_found())
    } else {
        Ok(records)
    }
}

/// A page of a search.
///
/// # Errors
/// The store failed.
pub(crate) fn search(
    admin: &Admin,
    permit: &Permit<TracesView>,
    wanted: &Search,
) -> Result<Found, Error> {
    let Search {
        from,
        to,
        query,
        error,
        nothing,
        ids,
        page_size,
        scroll,
        ..
    } = wanted;
    if *nothing {
        return Ok(Found::default());
    }
    // A gateway request id ignores the window (25.1): who pastes one wants that request.
    if let Some(id) = query.as_deref().and_then(RequestId::parse) {
        return Ok(whole(by_request(admin, permit, id)?.into_iter().collect()));
    }
    let asked = |record: &TraceRecord| {
        (*from..*to).contains(&record.started_at) && error.is_none_or(|error| record.error == error)
    };
    let named = match (ids, query.as_deref().and_then(hex_prefix)) {
        (Some(ids), _) => Some(ids.clone()),
        (None, Some(prefix)) => {
            Some(with_prefix(admin, permit, &prefix, *page_size)?).filter(|ids| !ids.is_empty())
        }
        (None, None) => None,
    };
    if let Some(named) = named {
        let mut records = Vec::new();
        for id in named {
            records.extend(by_trace(admin, permit, id)?.into_iter().filter(asked));
        }
        records.sort_by_key(|row| Reverse((row.started_at, row.request_id)));
        return Ok(whole(records));
    }
    let projects = projects(admin, permit)?;
    if projects.is_empty() || from >= to {
        return Ok(Found::default());
    }
    let query = TraceQuery {
        projects,
        from: Some(*from),
        to: Some(*to),
        text: query.clone(),
        error: *error,
        before: *scroll,
        limit: *page_size,
    };
    let (records, total) = admin.traces.search(&query).map_err(stored)?;
    let full = records.len() >= *page_size;
    let last = records
        .last()
        .map(|last| (last.started_at, last.request_id));
    Ok(Found {
        scroll: last.filter(|_| full).map(write_scroll),
        records,
        total,
    })
}

/// An answer without further pages.
fn whole(records: Vec<TraceRecord>) -> Found {
    let total = u64::try_from(records.len()).unwrap_or(u64::MAX);
    Found {
        records,
        total,
        scroll: None,
    }
}

fn by_request(admin: &Admin, caller: &Caller, id: RequestId) -> Result<Option<TraceRecord>, Error> {
    let Some(row) = admin.traces.by_request(id).map_err(stored)? else {
        return Ok(None);
    };
    let readable = Readable::of(admin, caller)?;
    Ok(Some(row).filter(|row| readable.sees(&row.organization_id, &row.project_id)))
}

fn by_trace(admin: &Admin, caller: &Caller, id: TraceId) -> Result<Vec<TraceRecord>, Error> {
    let mut records = admin.traces.by_trace(id).map_err(stored)?;
    if records.is_empty() {
        return Ok(records);
    }
    let readable = Readable::of(admin, caller)?;
    records.retain(|row| readable.sees(&row.organization_id, &row.project_id));
    Ok(records)
}

fn with_prefix(
    admin: &Admin,
    caller: &Caller,
    prefix: &str,
    limit: usize,
) -> Result<Vec<TraceId>, Error> {
    let projects = projects(admin, caller)?;
    if projects.is_empty() {
        return Ok(Vec::new());
    }
    admin
        .traces
        .trace_ids(&projects, prefix, limit)
        .map_err(stored)
}

/// The projects that the caller reads: the one of its context, or all of the organization where it may,
/// with the governance project and archived ones (25.1).
fn projects(admin: &Admin, caller: &Caller) -> Result<Vec<ProjectId>, Error> {
    if let Some(project) = &caller.project {
        return Ok(vec![project.id.clone()]);
    }
    let projects = admin
        .store
        .projects(&caller.organization.id)
        .map_err(stored)?;
    let readable = Readable::of(admin, caller)?;
    let ids = projects.into_iter().map(|project| project.id);
    Ok(ids
        .filter(|id| readable.sees(&caller.organization.id, id))
        .collect())
}

/// A text that can be the beginning of a trace id, in lowercase.
fn hex_prefix(text: &str) -> Option<String> {
    let fine = (PREFIX..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then(|| text.to_ascii_lowercase())
}
