//! Change events and the audit log: what every mutation leaves behind in its own transaction.

use lw_core::{OrganizationId, UnixMicros};
use lw_store::StoreError;
use lw_store::config::{
    AuditFilter, AuditRow, Change, ChangeEvent, ChangeKind, ChangeRevision, ChangeRow, Cursor, Page,
};
use rusqlite::{Connection, Row};

use super::columns::{get, id, id_option, limit, page, text, time, word};
use super::receipts;
use super::statement::{Fields, Select};
use crate::sqlite::{DbError, all, one};

/// Writes what comes with a mutation: `events` are those of the change and those that its writes added.
/// Called last, inside the transaction of the mutation. Returns the newest revision.
pub(super) fn record(
    db: &Connection,
    events: &[ChangeEvent],
    change: &Change,
) -> Result<ChangeRevision, DbError> {
    let Change {
        events: _,
        audit,
        receipt,
    } = change;
    if let Some(receipt) = receipt {
        receipts::insert(db, receipt)?;
    }
    for row in audit {
        audit_fields(row).insert(db)?;
    }
    if events.is_empty() {
        return latest(db);
    }
    let created_at = moment(db, change)?;
    let count = limit(events.len());
    let newest: Option<i64> = one(
        db,
        "UPDATE change_counter SET revision = revision + $1 WHERE id = 1 RETURNING revision",
        [count],
        |row| get(row, "revision"),
    )?;
    let newest = newest.ok_or_else(no_counter)?;
    for (revision, event) in (newest - count + 1..).zip(events) {
        event_fields(event)
            .set("revision", revision)
            .set("created_at", created_at.0)
            .insert(db)?;
    }
    Ok(ChangeRevision(newest))
}

/// When the events of a change happened: at the time of its first audit row. A change that leaves no audit
/// row is stamped with the time of its receipt, else with the newest time that an event has, so that times
/// never go back along the revisions for want of a clock; the very first one with zero.
fn moment(db: &Connection, change: &Change) -> Result<UnixMicros, DbError> {
    let audited = change.audit.first().map(|row| row.created_at);
    let known = audited.or(change.receipt.as_ref().map(|receipt| receipt.created_at));
    if let Some(at) = known {
        return Ok(at);
    }
    let newest = one(
        db,
        "SELECT created_at FROM change_events ORDER BY revision DESC LIMIT 1",
        [],
        |row| time(row, "created_at"),
    )?;
    Ok(newest.unwrap_or(UnixMicros(0)))
}

fn event_fields(event: &ChangeEvent) -> Fields<'_> {
    let ChangeEvent {
        kind,
        organization_id,
        virtual_key_id,
        model_provider_id,
        budget_id,
        project_id,
        payload,
    } = event;
    Fields::of("change_events")
        .set("organization_id", organization_id.as_str())
        .set("kind", kind.as_str())
        .set("virtual_key_id", text(virtual_key_id.as_ref()))
        .set("model_provider_id", text(model_provider_id.as_ref()))
        .set("budget_id", text(budget_id.as_ref()))
        .set("project_id", text(project_id.as_ref()))
        .set("payload", payload)
}

pub(super) fn latest(db: &Connection) -> Result<ChangeRevision, DbError> {
    one(
        db,
        "SELECT revision FROM change_counter WHERE id = 1",
        [],
        |row| get(row, "revision"),
    )?
    .map(ChangeRevision)
    .ok_or_else(no_counter)
}

fn no_counter() -> DbError {
    StoreError::Corrupt(String::from("the counter of changes is gone")).into()
}

pub(super) fn since(
    db: &Connection,
    revision: ChangeRevision,
    most: usize,
) -> Result<Vec<ChangeRow>, DbError> {
    all(
        db,
        "SELECT * FROM change_events WHERE revision > $1 ORDER BY revision LIMIT $2",
        [revision.0, limit(most)],
        |row| {
            Ok(ChangeRow {
                revision: ChangeRevision(get(row, "revision")?),
                event: ChangeEvent {
                    kind: word(row, "kind", ChangeKind::parse)?,
                    organization_id: id(row, "organization_id")?,
                    virtual_key_id: id_option(row, "virtual_key_id")?,
                    model_provider_id: id_option(row, "model_provider_id")?,
                    budget_id: id_option(row, "budget_id")?,
                    project_id: id_option(row, "project_id")?,
                    payload: get(row, "payload")?,
                },
                created_at: time(row, "created_at")?,
            })
        },
    )
}

fn audit_fields(row: &AuditRow) -> Fields<'_> {
    let AuditRow {
        id,
        created_at,
        user_id,
        organization_id,
        project_id,
        action,
        target_kind,
        target_id,
        before,
        after,
        args,
        metadata,
        error,
        ip_address,
        user_agent,
    } = row;
    Fields::of("audit_log")
        .key("id", id)
        .set("created_at", created_at.0)
        .set("user_id", user_id)
        .set("organization_id", text(organization_id.as_ref()))
        .set("project_id", text(project_id.as_ref()))
        .set("action", action)
        .set("target_kind", target_kind)
        .set("target_id", target_id)
        .set("before_row", before)
        .set("after_row", after)
        .set("args", args)
        .set("metadata", metadata)
        .set("error", error)
        .set("ip_address", ip_address)
        .set("user_agent", user_agent)
}

/// A target is found by its index; other conditions pass over rows of the time that was asked for.
pub(super) fn audit(
    db: &Connection,
    organization: &OrganizationId,
    filter: &AuditFilter,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<AuditRow>, DbError> {
    let AuditFilter {
        from,
        to,
        action,
        target_kind,
        target_id,
        user_id,
        project_id,
    } = filter;
    let select = Select::new(
        "SELECT * FROM audit_log WHERE organization_id =",
        organization.as_str(),
    )
    .when("created_at >=", from.map(|at| at.0))
    .when("created_at <", to.map(|at| at.0))
    .when("target_kind =", target_kind.as_ref())
    .when("target_id =", target_id.as_ref())
    .when("user_id =", user_id.as_ref())
    .when("project_id =", text(project_id.as_ref()));
    let select = match action.as_deref() {
        Some(prefix) if prefix.ends_with('.') => select
            .and_text("substr(action, 1,")
            .value(limit(prefix.chars().count()))
            .text(") =")
            .value(prefix),
        exact => select.when("action =", exact),
    };
    let rows = select
        .newest("created_at", "id", most, after)
        .all(db, read_audit)?;
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.clone(),
    }))
}

fn read_audit(row: &Row<'_>) -> Result<AuditRow, DbError> {
    Ok(AuditRow {
        id: get(row, "id")?,
        created_at: time(row, "created_at")?,
        user_id: get(row, "user_id")?,
        organization_id: id_option(row, "organization_id")?,
        project_id: id_option(row, "project_id")?,
        action: get(row, "action")?,
        target_kind: get(row, "target_kind")?,
        target_id: get(row, "target_id")?,
        before: get(row, "before_row")?,
        after: get(row, "after_row")?,
        args: get(row, "args")?,
        metadata: get(row, "metadata")?,
        error: get(row, "error")?,
        ip_address: get(row, "ip_address")?,
        user_agent: get(row, "user_agent")?,
    })
}
