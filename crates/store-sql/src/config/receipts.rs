//! The answers to repeated calls (domain 21).

use lw_core::UnixMicros;
use lw_store::StoreError;
use lw_store::config::Receipt;
use rusqlite::{Connection, Row, params};

use super::columns::{get, time};
use super::statement::Fields;
use crate::sqlite::{DbError, one, run};

/// Expired receipts that one write clears away: more than it adds, so that they never pile up, and few
/// enough that no write waits for it.
const CLEARED: i64 = 32;

/// Writes a receipt in the place of an expired one.
pub(super) fn insert(db: &Connection, row: &Receipt) -> Result<(), DbError> {
    let Receipt {
        scope_id,
        key,
        fingerprint,
        status,
        sealed_body,
        created_at,
        expires_at,
    } = row;
    if find(db, scope_id, key, *created_at)?.is_some() {
        return Err(StoreError::Conflict {
            field: "idempotency_key",
        }
        .into());
    }
    run(
        db,
        "DELETE FROM idempotency_receipts WHERE (scope_id, idempotency_key) IN (
             SELECT scope_id, idempotency_key FROM idempotency_receipts
             WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        [created_at.0, CLEARED],
    )?;
    run(
        db,
        "DELETE FROM idempotency_receipts WHERE scope_id = $1 AND idempotency_key = $2",
        [scope_id, key],
    )?;
    Fields::of("idempotency_receipts")
        .key("scope_id", scope_id)
        .key("idempotency_key", key)
        .set("fingerprint", fingerprint)
        .set("status", status)
        .set("sealed_body", sealed_body)
        .set("created_at", created_at.0)
        .set("expires_at", expires_at.0)
        .insert(db)
}

/// The receipt of a key that has not expired.
pub(super) fn find(
    db: &Connection,
    scope_id: &str,
    key: &str,
    now: UnixMicros,
) -> Result<Option<Receipt>, DbError> {
    one(
        db,
        "SELECT * FROM idempotency_receipts
         WHERE scope_id = $1 AND idempotency_key = $2 AND expires_at > $3",
        params![scope_id, key, now.0],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<Receipt, DbError> {
    Ok(Receipt {
        scope_id: get(row, "scope_id")?,
        key: get(row, "idempotency_key")?,
        fingerprint: get(row, "fingerprint")?,
        status: get(row, "status")?,
        sealed_body: get(row, "sealed_body")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
