//! People, their memberships, and management API keys.

use lw_core::{ApiKeyId, OrganizationId, UnixMicros, UserId};
use lw_store::config::{Member, MemberRole, Membership};
use lw_store::rows::{ApiKey, User};
use rusqlite::{Connection, Row, params};

use super::columns::{get, id, micros, time, time_option, word};
use super::tenants::read_organization;
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert_user(
    db: &Connection,
    row: &User,
    organization: &OrganizationId,
    role: MemberRole,
) -> Result<(), DbError> {
    let User {
        id,
        email,
        name,
        password_hash,
        created_at,
    } = row;
    run(
        db,
        "INSERT INTO users (id, email, name, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        params![
            id.as_str(),
            lowered(email.as_deref()),
            name,
            password_hash,
            created_at.0
        ],
    )?;
    run(
        db,
        "INSERT INTO organization_users (organization_id, user_id, role) VALUES ($1, $2, $3)",
        params![organization.as_str(), id.as_str(), role_word(role)],
    )?;
    Ok(())
}

/// Whether there was such a person.
pub(super) fn update_user(db: &Connection, row: &User) -> Result<bool, DbError> {
    let User {
        id,
        email,
        name,
        password_hash,
        created_at: _,
    } = row;
    let changed = run(
        db,
        "UPDATE users SET email = $1, name = $2, password_hash = $3 WHERE id = $4",
        params![lowered(email.as_deref()), name, password_hash, id.as_str()],
    )?;
    Ok(changed > 0)
}

pub(super) fn user(db: &Connection, id: &UserId) -> Result<Option<User>, DbError> {
    one(
        db,
        "SELECT * FROM users WHERE id = $1",
        [id.as_str()],
        read_user,
    )
}

pub(super) fn user_by_email(db: &Connection, email: &str) -> Result<Option<User>, DbError> {
    one(
        db,
        "SELECT * FROM users WHERE email = $1",
        [email.to_lowercase()],
        read_user,
    )
}

pub(super) fn members(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<Member>, DbError> {
    all(
        db,
        "SELECT u.*, m.role FROM organization_users m JOIN users u ON u.id = m.user_id
         WHERE m.organization_id = $1 ORDER BY u.created_at, u.id",
        [organization.as_str()],
        |row| {
            Ok(Member {
                user: read_user(row)?,
                role: word(row, "role", parse_role)?,
            })
        },
    )
}

pub(super) fn memberships(db: &Connection, user: &UserId) -> Result<Vec<Membership>, DbError> {
    all(
        db,
        "SELECT o.*, m.role FROM organization_users m JOIN organizations o ON o.id = m.organization_id
         WHERE m.user_id = $1 ORDER BY o.created_at, o.id",
        [user.as_str()],
        |row| {
            let organization = read_organization(row)?;
            Ok(Membership { organization, role: word(row, "role", parse_role)? })
        },
    )
}

pub(super) fn insert_api_key(db: &Connection, row: &ApiKey) -> Result<(), DbError> {
    let ApiKey {
        id,
        organization_id,
        name,
        lookup_id,
        hashed_secret,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
    } = row;
    run(
        db,
        "INSERT INTO api_keys (id, organization_id, name, lookup_id, hashed_secret, created_at,
                               expires_at, revoked_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            id.as_str(),
            organization_id.as_str(),
            name,
            lookup_id,
            hashed_secret,
            created_at.0,
            micros(*expires_at),
            micros(*revoked_at),
            micros(*last_used_at),
        ],
    )?;
    Ok(())
}

pub(super) fn api_key_by_lookup_id(
    db: &Connection,
    lookup_id: &str,
) -> Result<Option<ApiKey>, DbError> {
    one(
        db,
        "SELECT * FROM api_keys WHERE lookup_id = $1",
        [lookup_id],
        |row| {
            Ok(ApiKey {
                id: id(row, "id")?,
                organization_id: id(row, "organization_id")?,
                name: get(row, "name")?,
                lookup_id: get(row, "lookup_id")?,
                hashed_secret: get(row, "hashed_secret")?,
                created_at: time(row, "created_at")?,
                expires_at: time_option(row, "expires_at")?,
                revoked_at: time_option(row, "revoked_at")?,
                last_used_at: time_option(row, "last_used_at")?,
            })
        },
    )
}

pub(super) fn touch_api_key(db: &Connection, id: &ApiKeyId, at: UnixMicros) -> Result<(), DbError> {
    run(
        db,
        "UPDATE api_keys SET last_used_at = $1
         WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
        params![at.0, id.as_str()],
    )?;
    Ok(())
}

fn lowered(email: Option<&str>) -> Option<String> {
    email.map(str::to_lowercase)
}

fn read_user(row: &Row<'_>) -> Result<User, DbError> {
    Ok(User {
        id: id(row, "id")?,
        email: get(row, "email")?,
        name: get(row, "name")?,
        password_hash: get(row, "password_hash")?,
        created_at: time(row, "created_at")?,
    })
}

const fn role_word(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Admin => "ADMIN",
        MemberRole::Member => "MEMBER",
        MemberRole::External => "EXTERNAL",
    }
}

fn parse_role(text: &str) -> Option<MemberRole> {
    [MemberRole::Admin, MemberRole::Member, MemberRole::External]
        .into_iter()
        .find(|role| role_word(*role) == text)
}
