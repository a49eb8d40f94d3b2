//! Change events and the audit log: what every mutation leaves behind in its own transaction.

use lw_core::OrganizationId;
use lw_store::StoreError;
use lw_store::config::{
    AuditRow, Change, ChangeEvent, ChangeKind, ChangeRevision, ChangeRow, Cursor, Page,
};
use rusqlite::{Connection, params};

use super::columns::{below, get, id, id_option, limit, page, time, word};
use crate::sqlite::{DbError, all, one, run};

/// Writes what comes with a mutation. Called last, inside the transaction of the mutation.
pub(super) fn record(db: &Connection, change: &Change) -> Result<ChangeRevision, DbError> {
    let Change { event, audit } = change;
    insert_audit(db, audit)?;
    let Some(event) = event else {
        return latest(db);
    };
    let revision = one(
        db,
        "UPDATE change_counter SET revision = revision + 1 WHERE id = 1 RETURNING revision",
        [],
        |row| get(row, "revision"),
    )?;
    let revision = ChangeRevision(revision.ok_or_else(no_counter)?);
    let ChangeEvent {
        kind,
        organization_id,
        virtual_key_id,
        model_provider_id,
        project_id,
    } = event;
    run(
        db,
        "INSERT INTO change_events (revision, organization_id, kind, virtual_key_id,
                                    model_provider_id, project_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            revision.0,
            organization_id.as_str(),
            kind.as_str(),
            virtual_key_id.as_ref().map(|id| id.as_str()),
            model_provider_id.as_ref().map(|id| id.as_str()),
            project_id.as_ref().map(|id| id.as_str()),
            audit.created_at.0,
        ],
    )?;
    Ok(revision)
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
                    project_id: id_option(row, "project_id")?,
                },
                created_at: time(row, "created_at")?,
            })
        },
    )
}

fn insert_audit(db: &Connection, row: &AuditRow) -> Result<(), DbError> {
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
    run(
        db,
        "INSERT INTO audit_log (id, created_at, user_id, organization_id, project_id, action,
                                target_kind, target_id, before_row, after_row, args, metadata, error,
                                ip_address, user_agent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        params![
            id,
            created_at.0,
            user_id,
            organization_id.as_ref().map(|id| id.as_str()),
            project_id.as_ref().map(|id| id.as_str()),
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
        ],
    )?;
    Ok(())
}

pub(super) fn audit(
    db: &Connection,
    organization: &OrganizationId,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<AuditRow>, DbError> {
    let (before, before_id) = below(after);
    let rows = all(
        db,
        "SELECT * FROM audit_log WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
         ORDER BY created_at DESC, id DESC LIMIT $4",
        params![organization.as_str(), before, before_id, limit(most)],
        |row| {
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
        },
    )?;
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.clone(),
    }))
}
