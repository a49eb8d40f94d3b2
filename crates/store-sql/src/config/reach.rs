//! Which keys a budget would meet (domain 13.1, 13.4 and C-15).
//!
//! Every question is "is there one?" and stops at the first key. The indexes lead to the keys of one trace
//! project, one scope, one person; only active ones count. Two questions may look further: keys with one
//! scope are walked until an active one is found, so a scope whose keys were all revoked is walked whole;
//! and the projects are counted over the live projects of the organization.
//!
//! `coalesce(status, '')` is `status` that no index is asked for: the keys of a person are few, the active
//! ones of an organization are many, and a planner without statistics takes either for the shorter way.
//!
//! Must never look at budgets, spend or a clock: a key that has expired is active here. Start at [`reach`].

use lw_core::{OrganizationId, ProjectId, TeamId, VirtualKeyId};
use lw_store::config::BudgetReach;
use lw_store::rows::BudgetTarget;
use rusqlite::{Connection, Params};

use super::columns::{corrupt, get, id};
use super::tenants::team_of;
use crate::sqlite::{DbError, all, one};

/// How many projects are named.
const NAMED: i64 = 10;

pub(super) fn reach(
    db: &Connection,
    organization: &OrganizationId,
    target: &BudgetTarget,
    principal_teams: bool,
) -> Result<BudgetReach, DbError> {
    let any_key = any_key(db, organization)?;
    if !any_key {
        return Ok(BudgetReach::default());
    }
    let reachable = match target {
        BudgetTarget::Organization(id) => id == organization,
        BudgetTarget::Team(team) => meets_team(db, organization, team, principal_teams)?,
        BudgetTarget::Project(project) | BudgetTarget::EndUsersOfProject(project) => {
            files_into(db, organization, project)?
        }
        BudgetTarget::VirtualKey(key) | BudgetTarget::EndUsersOfKey(key) => {
            is_active(db, organization, key)?
        }
        BudgetTarget::Principal(user) => found(
            db,
            "SELECT 1 FROM virtual_keys
             WHERE organization_id = $1 AND principal_user_id = $2 AND status = 'ACTIVE' LIMIT 1",
            [organization.as_str(), user.as_str()],
        )?,
        BudgetTarget::Group(group) => found(
            db,
            "SELECT 1 FROM group_members m
             WHERE m.organization_id = $1 AND m.group_id = $2 AND EXISTS (
                 SELECT 1 FROM virtual_keys k
                 WHERE k.organization_id = $1 AND k.principal_user_id = m.user_id
                   AND coalesce(k.status, '') = 'ACTIVE')
             LIMIT 1",
            [organization.as_str(), group.as_str()],
        )?,
    };
    let (projects, project_count) = projects(db, organization)?;
    Ok(BudgetReach {
        reachable,
        any_key,
        ancestor_key: has_ancestor_key(db, organization, target)?,
        projects,
        project_count,
    })
}

fn found(db: &Connection, sql: &str, params: impl Params) -> Result<bool, DbError> {
    Ok(one(db, sql, params, |_| Ok(()))?.is_some())
}

fn any_key(db: &Connection, organization: &OrganizationId) -> Result<bool, DbError> {
    found(
        db,
        "SELECT 1 FROM virtual_keys WHERE organization_id = $1 AND status = 'ACTIVE' LIMIT 1",
        [organization.as_str()],
    )
}

fn is_active(
    db: &Connection,
    organization: &OrganizationId,
    key: &VirtualKeyId,
) -> Result<bool, DbError> {
    found(
        db,
        "SELECT 1 FROM virtual_keys WHERE organization_id = $1 AND id = $2 AND status = 'ACTIVE'",
        [organization.as_str(), key.as_str()],
    )
}

fn files_into(
    db: &Connection,
    organization: &OrganizationId,
    project: &ProjectId,
) -> Result<bool, DbError> {
    found(
        db,
        "SELECT 1 FROM virtual_keys
         WHERE organization_id = $1 AND trace_project_id = $2 AND status = 'ACTIVE' LIMIT 1",
        [organization.as_str(), project.as_str()],
    )
}

fn meets_team(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
    principal_teams: bool,
) -> Result<bool, DbError> {
    let who = [organization.as_str(), team.as_str()];
    let of_projects = "SELECT 1 FROM projects p
         WHERE p.organization_id = $1 AND p.team_id = $2 AND EXISTS (
             SELECT 1 FROM virtual_keys k
             WHERE k.organization_id = $1 AND k.trace_project_id = p.id AND k.status = 'ACTIVE')
         LIMIT 1";
    if scoped_to_team(db, organization, team)? || found(db, of_projects, who)? {
        return Ok(true);
    }
    // C-15: a key without a shared team of its own takes the live, shared teams of its principal.
    let of_principals = "SELECT 1 FROM teams t
         JOIN team_users m ON m.organization_id = t.organization_id AND m.team_id = t.id
         WHERE t.organization_id = $1 AND t.id = $2 AND t.archived_at IS NULL
           AND t.personal_owner IS NULL AND EXISTS (
               SELECT 1 FROM virtual_keys k
               JOIN projects p ON p.organization_id = k.organization_id
                              AND p.id = k.trace_project_id
               WHERE k.organization_id = $1 AND k.principal_user_id = m.user_id
                 AND coalesce(k.status, '') = 'ACTIVE'
                 AND p.kind IN ('internal_governance', 'personal')
                 AND NOT EXISTS (
                     SELECT 1 FROM virtual_key_scopes s
                     JOIN teams own ON own.organization_id = s.organization_id
                                   AND own.id = s.team_id
                     WHERE s.virtual_key_id = k.id AND own.personal_owner IS NULL))
         LIMIT 1";
    Ok(principal_teams && found(db, of_principals, who)?)
}

fn scoped_to_team(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
) -> Result<bool, DbError> {
    found(
        db,
        "SELECT 1 FROM virtual_key_scopes s JOIN virtual_keys k ON k.id = s.virtual_key_id
         WHERE s.organization_id = $1 AND s.team_id = $2 AND k.status = 'ACTIVE' LIMIT 1",
        [organization.as_str(), team.as_str()],
    )
}

/// C-8: the organization is above teams, projects and groups, and a team is above its projects.
fn has_ancestor_key(
    db: &Connection,
    organization: &OrganizationId,
    target: &BudgetTarget,
) -> Result<bool, DbError> {
    let project = match target {
        BudgetTarget::Project(project) | BudgetTarget::EndUsersOfProject(project) => Some(project),
        BudgetTarget::Team(_) | BudgetTarget::Group(_) => None,
        BudgetTarget::Organization(_)
        | BudgetTarget::VirtualKey(_)
        | BudgetTarget::EndUsersOfKey(_)
        | BudgetTarget::Principal(_) => return Ok(false),
    };
    let of_organization = "SELECT 1 FROM virtual_key_scopes s
         JOIN virtual_keys k ON k.id = s.virtual_key_id
         WHERE s.organization_id = $1 AND s.team_id IS NULL AND s.project_id IS NULL
           AND k.status = 'ACTIVE' LIMIT 1";
    if found(db, of_organization, [organization.as_str()])? {
        return Ok(true);
    }
    let team = project.map(|project| team_of(db, organization, project));
    match team.transpose()?.flatten() {
        Some(team) => scoped_to_team(db, organization, &team),
        None => Ok(false),
    }
}

/// The live projects that active keys file into: the first ones by id, and how many.
fn projects(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<(Vec<ProjectId>, u64), DbError> {
    let first = all(
        db,
        "SELECT p.id FROM projects p
         WHERE p.organization_id = $1 AND p.archived_at IS NULL AND EXISTS (
             SELECT 1 FROM virtual_keys k
             WHERE k.organization_id = $1 AND k.trace_project_id = p.id AND k.status = 'ACTIVE')
         ORDER BY p.id LIMIT $2",
        rusqlite::params![organization.as_str(), NAMED],
        |row| id(row, "id"),
    )?;
    let count: Option<i64> = one(
        db,
        "SELECT count(*) AS many FROM projects p
         WHERE p.organization_id = $1 AND p.archived_at IS NULL AND EXISTS (
             SELECT 1 FROM virtual_keys k
             WHERE k.organization_id = $1 AND k.trace_project_id = p.id AND k.status = 'ACTIVE')",
        [organization.as_str()],
        |row| get(row, "many"),
    )?;
    let count = u64::try_from(count.unwrap_or(0)).map_err(|error| corrupt("many", &error))?;
    Ok((first, count))
}
