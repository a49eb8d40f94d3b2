//! Virtual keys, and how a presented one is found (domain 7).

use lw_core::{OrganizationId, UnixMicros, VirtualKeyId};
use lw_store::StoreError;
use lw_store::bundle::KeyRecord;
use lw_store::config::{Cursor, Page, VirtualKeyFilter};
use lw_store::rows::{KeyStatus, Scope, VirtualKey};
use rusqlite::{Connection, Row, params};

use super::columns::{
    below, corrupt, get, id, id_option, json, limit, micros, page, time, time_option, to_json, word,
};
use super::providers;
use super::tenants::{self, read_scope, scope_columns};
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert(db: &Connection, row: &VirtualKey) -> Result<(), DbError> {
    let VirtualKey {
        id,
        organization_id,
        name,
        description,
        status,
        env,
        external_id,
        metadata,
        scopes,
        trace_project_id,
        principal_user_id,
        routing_mode,
        expires_at,
        config,
        revision: _,
        hashed_secret,
        display_prefix,
        previous_hashed_secret,
        previous_secret_valid_until,
        disabled_reason,
        disabled_at,
        revoked_at,
        last_used_at,
        created_by,
        created_at,
        updated_at,
    } = row;
    run(
        db,
        "INSERT INTO virtual_keys (
             id, organization_id, name, description, status, env, external_id, metadata,
             trace_project_id, principal_user_id, routing_mode, expires_at, config, revision,
             hashed_secret, display_prefix, previous_hashed_secret, previous_secret_valid_until,
             disabled_reason, disabled_at, revoked_at, last_used_at, created_by, created_at,
             updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $15, $16, $17, $18,
                 $19, $20, $21, $22, $23, $24)",
        params![
            id.as_str(),
            organization_id.as_str(),
            name,
            description,
            status_word(*status),
            env,
            external_id,
            to_json("metadata", metadata)?,
            trace_project_id.as_str(),
            principal_user_id.as_ref().map(|id| id.as_str()),
            routing_mode,
            micros(*expires_at),
            config,
            hashed_secret,
            display_prefix,
            previous_hashed_secret,
            micros(*previous_secret_valid_until),
            disabled_reason,
            micros(*disabled_at),
            micros(*revoked_at),
            micros(*last_used_at),
            created_by,
            created_at.0,
            updated_at.0,
        ],
    )?;
    insert_scopes(db, organization_id, id, scopes)
}

/// `None` when the organization has no such key.
pub(super) fn update(
    db: &Connection,
    row: &VirtualKey,
    expected: i64,
) -> Result<Option<()>, DbError> {
    let VirtualKey {
        id,
        organization_id,
        name,
        description,
        status,
        env,
        external_id,
        metadata,
        scopes,
        trace_project_id,
        principal_user_id,
        routing_mode,
        expires_at,
        config,
        revision: _,
        hashed_secret,
        display_prefix,
        previous_hashed_secret,
        previous_secret_valid_until,
        disabled_reason,
        disabled_at,
        revoked_at,
        last_used_at: _,
        created_by: _,
        created_at: _,
        updated_at,
    } = row;
    let changed = run(
        db,
        "UPDATE virtual_keys SET
             name = $1, description = $2, status = $3, env = $4, external_id = $5, metadata = $6,
             trace_project_id = $7, principal_user_id = $8, routing_mode = $9, expires_at = $10,
             config = $11, hashed_secret = $12, display_prefix = $13, previous_hashed_secret = $14,
             previous_secret_valid_until = $15, disabled_reason = $16, disabled_at = $17,
             revoked_at = $18, updated_at = $19, revision = revision + 1
         WHERE organization_id = $20 AND id = $21 AND revision = $22",
        params![
            name,
            description,
            status_word(*status),
            env,
            external_id,
            to_json("metadata", metadata)?,
            trace_project_id.as_str(),
            principal_user_id.as_ref().map(|id| id.as_str()),
            routing_mode,
            micros(*expires_at),
            config,
            hashed_secret,
            display_prefix,
            previous_hashed_secret,
            micros(*previous_secret_valid_until),
            disabled_reason,
            micros(*disabled_at),
            micros(*revoked_at),
            updated_at.0,
            organization_id.as_str(),
            id.as_str(),
            expected,
        ],
    )?;
    if changed == 0 {
        let known = one(
            db,
            "SELECT id FROM virtual_keys WHERE organization_id = $1 AND id = $2",
            [organization_id.as_str(), id.as_str()],
            |_| Ok(()),
        )?;
        return if known.is_some() {
            Err(StoreError::Stale.into())
        } else {
            Ok(None)
        };
    }
    run(
        db,
        "DELETE FROM virtual_key_scopes WHERE virtual_key_id = $1",
        [id.as_str()],
    )?;
    insert_scopes(db, organization_id, id, scopes).map(Some)
}

pub(super) fn get_one(
    db: &Connection,
    organization: &OrganizationId,
    id: &VirtualKeyId,
) -> Result<Option<VirtualKey>, DbError> {
    one(
        db,
        "SELECT * FROM virtual_keys WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
        read,
    )?
    .map(|row| with_scopes(db, row))
    .transpose()
}

pub(super) fn list(
    db: &Connection,
    organization: &OrganizationId,
    filter: &VirtualKeyFilter,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<VirtualKey>, DbError> {
    let VirtualKeyFilter {
        external_id,
        status,
    } = filter;
    let status = status.map(status_word);
    let (before, before_id) = below(after);
    let rows = match external_id {
        // At most one row: found by its index, not by walking through all keys.
        Some(external_id) => all(
            db,
            "SELECT * FROM virtual_keys
             WHERE organization_id = $1 AND external_id = $2 AND (created_at, id) < ($3, $4)
               AND (CAST($5 AS TEXT) IS NULL OR status = $5)
             ORDER BY created_at DESC, id DESC LIMIT $6",
            params![
                organization.as_str(),
                external_id,
                before,
                before_id,
                status,
                limit(most)
            ],
            read,
        )?,
        None => all(
            db,
            "SELECT * FROM virtual_keys
             WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
               AND (CAST($4 AS TEXT) IS NULL OR status = $4)
             ORDER BY created_at DESC, id DESC LIMIT $5",
            params![
                organization.as_str(),
                before,
                before_id,
                status,
                limit(most)
            ],
            read,
        )?,
    };
    let rows = rows
        .into_iter()
        .map(|row| with_scopes(db, row))
        .collect::<Result<Vec<_>, DbError>>()?;
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_str().to_owned(),
    }))
}

pub(super) fn touch(
    db: &Connection,
    touched: &[(VirtualKeyId, UnixMicros)],
) -> Result<(), DbError> {
    for (id, at) in touched {
        run(
            db,
            "UPDATE virtual_keys SET last_used_at = $1
             WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
            params![at.0, id.as_str()],
        )?;
    }
    Ok(())
}

/// Domain 7.4, with what the bundle of the key is compiled from.
pub(super) fn by_hash(db: &Connection, hashes: &[String]) -> Result<Option<KeyRecord>, DbError> {
    let Some((key, previous_secret)) = find(db, hashes)? else {
        return Ok(None);
    };
    let key = with_scopes(db, key)?;
    let trace_project = tenants::project(db, &key.organization_id, &key.trace_project_id)?
        .ok_or_else(|| corrupt("trace_project_id", &"no such project"))?;
    let providers = providers::reachable(db, &key.organization_id, &key.scopes)?;
    Ok(Some(KeyRecord {
        key,
        previous_secret,
        trace_project,
        providers,
    }))
}

fn find(db: &Connection, hashes: &[String]) -> Result<Option<(VirtualKey, bool)>, DbError> {
    for hash in hashes {
        let current = one(
            db,
            "SELECT * FROM virtual_keys WHERE hashed_secret = $1",
            [hash],
            read,
        )?;
        if let Some(key) = current {
            return Ok(Some((key, false)));
        }
        let previous = one(
            db,
            "SELECT * FROM virtual_keys WHERE previous_hashed_secret = $1 ORDER BY id LIMIT 1",
            [hash],
            read,
        )?;
        if let Some(key) = previous {
            return Ok(Some((key, true)));
        }
    }
    Ok(None)
}

fn insert_scopes(
    db: &Connection,
    organization: &OrganizationId,
    id: &VirtualKeyId,
    scopes: &[Scope],
) -> Result<(), DbError> {
    for (place, scope) in (0_i64..).zip(scopes) {
        let (team, project) = scope_columns(organization, scope)?;
        run(
            db,
            "INSERT INTO virtual_key_scopes (organization_id, virtual_key_id, place, team_id, project_id)
             VALUES ($1, $2, $3, $4, $5)",
            params![organization.as_str(), id.as_str(), place, team, project],
        )?;
    }
    Ok(())
}

fn with_scopes(db: &Connection, row: VirtualKey) -> Result<VirtualKey, DbError> {
    let scopes = all(
        db,
        "SELECT organization_id, team_id, project_id FROM virtual_key_scopes
         WHERE virtual_key_id = $1 ORDER BY place",
        [row.id.as_str()],
        read_scope,
    )?;
    Ok(VirtualKey { scopes, ..row })
}

/// The row without its scopes.
fn read(row: &Row<'_>) -> Result<VirtualKey, DbError> {
    Ok(VirtualKey {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        status: word(row, "status", parse_status)?,
        env: get(row, "env")?,
        external_id: get(row, "external_id")?,
        metadata: json(row, "metadata")?,
        scopes: Vec::new(),
        trace_project_id: id(row, "trace_project_id")?,
        principal_user_id: id_option(row, "principal_user_id")?,
        routing_mode: get(row, "routing_mode")?,
        expires_at: time_option(row, "expires_at")?,
        config: get(row, "config")?,
        revision: get(row, "revision")?,
        hashed_secret: get(row, "hashed_secret")?,
        display_prefix: get(row, "display_prefix")?,
        previous_hashed_secret: get(row, "previous_hashed_secret")?,
        previous_secret_valid_until: time_option(row, "previous_secret_valid_until")?,
        disabled_reason: get(row, "disabled_reason")?,
        disabled_at: time_option(row, "disabled_at")?,
        revoked_at: time_option(row, "revoked_at")?,
        last_used_at: time_option(row, "last_used_at")?,
        created_by: get(row, "created_by")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

const fn status_word(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "ACTIVE",
        KeyStatus::Disabled => "DISABLED",
        KeyStatus::Revoked => "REVOKED",
    }
}

fn parse_status(text: &str) -> Option<KeyStatus> {
    [KeyStatus::Active, KeyStatus::Disabled, KeyStatus::Revoked]
        .into_iter()
        .find(|status| status_word(*status) == text)
}
