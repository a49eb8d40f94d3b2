//! Management API keys (domain 5.1).

use lw_core::{ApiKeyId, OrganizationId, UnixMicros, UserId};
use lw_store::rows::ApiKey;
use rusqlite::{Connection, Row, params};

use super::columns::{
    get, id, id_option, micros, must_exist, serde_word, text, time, time_option, to_word,
};
use super::people;
use super::statement::Fields;
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert(db: &Connection, row: &ApiKey) -> Result<(), DbError> {
    if let Some(owner) = &row.user_id {
        let member = people::is_member(db, &row.organization_id, owner)?;
        must_exist(member, "person")?;
    }
    fields(row)?.insert(db)
}

pub(super) fn update(db: &Connection, row: &ApiKey) -> Result<(), DbError> {
    fields(row)?.update(db, None)
}

/// Revokes the keys of a person; returns how many.
pub(super) fn revoke_of(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
    now: UnixMicros,
) -> Result<usize, DbError> {
    run(
        db,
        "UPDATE api_keys SET revoked_at = $1
         WHERE organization_id = $2 AND user_id = $3 AND revoked_at IS NULL",
        params![now.0, organization.as_str(), user.as_str()],
    )
}

fn fields(row: &ApiKey) -> Result<Fields<'_>, DbError> {
    let ApiKey {
        id,
        organization_id,
        name,
        description,
        lookup_id,
        hashed_secret,
        user_id,
        created_by_user_id,
        permission_mode,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
    } = row;
    Ok(Fields::of("api_keys")
        .key("organization_id", organization_id.as_str())
        .key("id", id.as_str())
        .keep("lookup_id", lookup_id)
        .keep("hashed_secret", hashed_secret)
        .keep("user_id", text(user_id.as_ref()))
        .keep("created_by_user_id", text(created_by_user_id.as_ref()))
        .keep("created_at", created_at.0)
        .keep("last_used_at", micros(*last_used_at))
        .set("name", name)
        .set("description", description)
        .set("permission_mode", to_word(permission_mode)?)
        .set("expires_at", micros(*expires_at))
        .set("revoked_at", micros(*revoked_at)))
}

pub(super) fn by_lookup_id(db: &Connection, lookup_id: &str) -> Result<Option<ApiKey>, DbError> {
    one(
        db,
        "SELECT * FROM api_keys WHERE lookup_id = $1",
        [lookup_id],
        read,
    )
}

pub(super) fn get_one(
    db: &Connection,
    organization: &OrganizationId,
    id: &ApiKeyId,
) -> Result<Option<ApiKey>, DbError> {
    one(
        db,
        "SELECT * FROM api_keys WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
        read,
    )
}

pub(super) fn list(db: &Connection, organization: &OrganizationId) -> Result<Vec<ApiKey>, DbError> {
    all(
        db,
        "SELECT * FROM api_keys WHERE organization_id = $1 ORDER BY created_at DESC, id DESC",
        [organization.as_str()],
        read,
    )
}

pub(super) fn touch(db: &Connection, id: &ApiKeyId, at: UnixMicros) -> Result<(), DbError> {
    run(
        db,
        "UPDATE api_keys SET last_used_at = $1
         WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
        params![at.0, id.as_str()],
    )?;
    Ok(())
}

pub(super) fn rehash(db: &Connection, id: &ApiKeyId, hashed_secret: &str) -> Result<(), DbError> {
    run(
        db,
        "UPDATE api_keys SET hashed_secret = $1 WHERE id = $2",
        [hashed_secret, id.as_str()],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<ApiKey, DbError> {
    Ok(ApiKey {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        lookup_id: get(row, "lookup_id")?,
        hashed_secret: get(row, "hashed_secret")?,
        user_id: id_option(row, "user_id")?,
        created_by_user_id: id_option(row, "created_by_user_id")?,
        permission_mode: serde_word(row, "permission_mode")?,
        created_at: time(row, "created_at")?,
        expires_at: time_option(row, "expires_at")?,
        revoked_at: time_option(row, "revoked_at")?,
        last_used_at: time_option(row, "last_used_at")?,
    })
}
