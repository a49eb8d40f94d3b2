//! What must be true for a transaction to go on: what a caller read still is, and what must never be empty.
//!
//! Rows that count no revisions are compared as a whole. Must never write. Start at [`still_is`].

use lw_core::{OrganizationId, TeamId};
use lw_store::StoreError;
use lw_store::config::{BindingFilter, Known};
use lw_store::rows::{ApiKey, CustomRole, Group, Invite};
use rusqlite::Connection;

use super::{access, api_keys, document, people, tenants};
use crate::sqlite::{DbError, one};

/// Whether the row that a caller read is still the same.
pub(super) fn still_is(db: &Connection, known: Known<'_>) -> Result<(), DbError> {
    let same = match known {
        Known::Organization(row) => {
            tenants::organization(db, &row.id)?.is_some_and(|now| now == *row)
        }
        Known::Team(row) => {
            tenants::team(db, &row.organization_id, &row.id)?.is_some_and(|now| now == *row)
        }
        Known::Project(row) => {
            tenants::project(db, &row.organization_id, &row.id)?.is_some_and(|now| now == *row)
        }
        Known::Member {
            organization,
            member,
        } => people::member(db, organization, &member.user.id)?.is_some_and(|now| now == *member),
        Known::Group(row) => {
            let now: Option<Group> = document::get_one(db, &row.organization_id, row.id.as_str())?;
            now.is_some_and(|now| now == *row)
        }
        Known::Role(row) => {
            let now: Option<CustomRole> =
                document::get_one(db, &row.organization_id, row.id.as_str())?;
            now.is_some_and(|now| now == *row)
        }
        Known::Binding(row) => {
            access::binding(db, &row.organization_id, &row.id)?.is_some_and(|now| now == *row)
        }
        Known::BindingsOf {
            organization,
            principal,
            bindings,
        } => {
            let filter = BindingFilter {
                principal: Some(principal.clone()),
                scope: None,
            };
            let (now, _) = access::bindings(db, organization, &filter, 0, usize::MAX)?;
            now == bindings
        }
        Known::ApiKey(row) => api_keys::get_one(db, &row.organization_id, &row.id)?
            .is_some_and(|now| same_key(now, row)),
        Known::Invite(row) => {
            let now: Option<Invite> = document::get_one(db, &row.organization_id, row.id.as_str())?;
            now.is_some_and(|now| now == *row)
        }
    };
    if same {
        Ok(())
    } else {
        Err(StoreError::Stale.into())
    }
}

/// A use moves the one, and may renew the other, without anybody changing the key.
fn same_key(now: ApiKey, row: &ApiKey) -> bool {
    let now = ApiKey {
        last_used_at: row.last_used_at,
        hashed_secret: row.hashed_secret.clone(),
        ..now
    };
    now == *row
}

/// Whether somebody who is enabled runs the organization.
pub(super) fn administrator(db: &Connection, organization: &OrganizationId) -> Result<(), DbError> {
    let found = one(
        db,
        "SELECT 1 FROM organization_users
         WHERE organization_id = $1 AND role = 'ADMIN' AND disabled_at IS NULL LIMIT 1",
        [organization.as_str()],
        |_| Ok(()),
    )?;
    let field = "administrator";
    found.ok_or_else(|| StoreError::Conflict { field }.into())
}

/// Whether no live project is in the team.
pub(super) fn no_project(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
) -> Result<(), DbError> {
    let found = one(
        db,
        "SELECT 1 FROM projects
         WHERE organization_id = $1 AND team_id = $2 AND archived_at IS NULL LIMIT 1",
        [organization.as_str(), team.as_str()],
        |_| Ok(()),
    )?;
    match found {
        None => Ok(()),
        Some(()) => Err(StoreError::Conflict { field: "team" }.into()),
    }
}
