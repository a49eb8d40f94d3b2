//! Organizations, teams and projects.

use lw_core::{OrganizationId, ProjectId, TeamId};
use lw_store::StoreError;
use lw_store::config::{ScopeKind, Tenant};
use lw_store::rows::{Organization, Project, ProjectKind, Scope, Team};
use rusqlite::{Connection, Row, params};

use super::columns::{get, id, id_option, micros, time, time_option, word};
use crate::sqlite::{DbError, all, one, run};

pub(super) fn is_empty(db: &Connection) -> Result<bool, DbError> {
    let first = one(db, "SELECT id FROM organizations LIMIT 1", [], |_| Ok(()))?;
    Ok(first.is_none())
}

pub(super) fn insert_tenant(db: &Connection, tenant: &Tenant) -> Result<(), DbError> {
    let Tenant {
        organization,
        default_team,
        default_project,
        hidden_team,
        governance_project,
    } = tenant;
    insert_organization(db, organization)?;
    for team in [default_team, hidden_team] {
        insert_team(db, team)?;
    }
    for project in [default_project, governance_project] {
        insert_project(db, project)?;
    }
    Ok(())
}

fn insert_organization(db: &Connection, row: &Organization) -> Result<(), DbError> {
    let Organization {
        id,
        name,
        slug,
        created_at,
        updated_at,
    } = row;
    run(
        db,
        "INSERT INTO organizations (id, name, slug, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5)",
        params![id.as_str(), name, slug, created_at.0, updated_at.0],
    )?;
    Ok(())
}

pub(super) fn insert_team(db: &Connection, row: &Team) -> Result<(), DbError> {
    let Team {
        id,
        organization_id,
        name,
        slug,
        hidden,
        created_at,
    } = row;
    run(
        db,
        "INSERT INTO teams (id, organization_id, name, slug, hidden, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            id.as_str(),
            organization_id.as_str(),
            name,
            slug,
            hidden,
            created_at.0
        ],
    )?;
    Ok(())
}

pub(super) fn insert_project(db: &Connection, row: &Project) -> Result<(), DbError> {
    let Project {
        id,
        team_id,
        organization_id,
        name,
        slug,
        kind,
        archived_at,
        created_at,
    } = row;
    run(
        db,
        "INSERT INTO projects (id, organization_id, team_id, name, slug, kind, archived_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            id.as_str(),
            organization_id.as_str(),
            team_id.as_str(),
            name,
            slug,
            kind_word(*kind),
            micros(*archived_at),
            created_at.0,
        ],
    )?;
    Ok(())
}

pub(super) fn organization(
    db: &Connection,
    id: &OrganizationId,
) -> Result<Option<Organization>, DbError> {
    one(
        db,
        "SELECT * FROM organizations WHERE id = $1",
        [id.as_str()],
        read_organization,
    )
}

pub(super) fn organization_by_slug(
    db: &Connection,
    slug: &str,
) -> Result<Option<Organization>, DbError> {
    one(
        db,
        "SELECT * FROM organizations WHERE slug = $1",
        [slug],
        read_organization,
    )
}

pub(super) fn teams(db: &Connection, organization: &OrganizationId) -> Result<Vec<Team>, DbError> {
    all(
        db,
        "SELECT * FROM teams WHERE organization_id = $1 ORDER BY created_at, id",
        [organization.as_str()],
        read_team,
    )
}

pub(super) fn projects(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<Project>, DbError> {
    all(
        db,
        "SELECT * FROM projects WHERE organization_id = $1 ORDER BY created_at, id",
        [organization.as_str()],
        read_project,
    )
}

pub(super) fn project(
    db: &Connection,
    organization: &OrganizationId,
    id: &ProjectId,
) -> Result<Option<Project>, DbError> {
    one(
        db,
        "SELECT * FROM projects WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
        read_project,
    )
}

pub(super) fn governance_project(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Option<Project>, DbError> {
    one(
        db,
        "SELECT * FROM projects
         WHERE organization_id = $1 AND kind = 'internal_governance' AND archived_at IS NULL
         ORDER BY created_at, id LIMIT 1",
        [organization.as_str()],
        read_project,
    )
}

pub(super) fn resolve_scope(
    db: &Connection,
    organization: &OrganizationId,
    kind: ScopeKind,
    id_or_slug: &str,
) -> Result<Option<Scope>, DbError> {
    let wanted = [organization.as_str(), id_or_slug];
    // An exact id comes before a slug that happens to read the same.
    match kind {
        ScopeKind::Organization => one(
            db,
            "SELECT id FROM organizations WHERE id = $1 AND (id = $2 OR slug = $2)",
            wanted,
            |row| id(row, "id").map(Scope::Organization),
        ),
        ScopeKind::Team => one(
            db,
            "SELECT id FROM teams
             WHERE organization_id = $1 AND (id = $2 OR slug = $2) AND hidden = 0
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
            wanted,
            |row| id(row, "id").map(Scope::Team),
        ),
        ScopeKind::Project => one(
            db,
            "SELECT id FROM projects
             WHERE organization_id = $1 AND (id = $2 OR slug = $2) AND archived_at IS NULL
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
            wanted,
            |row| id(row, "id").map(Scope::Project),
        ),
    }
}

/// The team of a project, when the project is one of the organization.
pub(super) fn team_of(
    db: &Connection,
    organization: &OrganizationId,
    project: &ProjectId,
) -> Result<Option<TeamId>, DbError> {
    one(
        db,
        "SELECT team_id FROM projects WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), project.as_str()],
        |row| id(row, "team_id"),
    )
}

/// A scope as its row keeps it: the team and the project; neither is the organization.
///
/// Foreign keys refuse a team or project of another organization; an organization is compared here.
pub(super) fn scope_columns<'a>(
    organization: &OrganizationId,
    scope: &'a Scope,
) -> Result<(Option<&'a str>, Option<&'a str>), DbError> {
    match scope {
        Scope::Organization(id) if id == organization => Ok((None, None)),
        Scope::Organization(_) => {
            let why = String::from("a scope names another organization than its row");
            Err(StoreError::Corrupt(why).into())
        }
        Scope::Team(id) => Ok((Some(id.as_str()), None)),
        Scope::Project(id) => Ok((None, Some(id.as_str()))),
    }
}

/// Reads what [`scope_columns`] wrote.
pub(super) fn read_scope(row: &Row<'_>) -> Result<Scope, DbError> {
    Ok(
        match (id_option(row, "project_id")?, id_option(row, "team_id")?) {
            (Some(project), _) => Scope::Project(project),
            (None, Some(team)) => Scope::Team(team),
            (None, None) => Scope::Organization(id(row, "organization_id")?),
        },
    )
}

pub(super) fn read_organization(row: &Row<'_>) -> Result<Organization, DbError> {
    Ok(Organization {
        id: id(row, "id")?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn read_team(row: &Row<'_>) -> Result<Team, DbError> {
    Ok(Team {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        hidden: get(row, "hidden")?,
        created_at: time(row, "created_at")?,
    })
}

fn read_project(row: &Row<'_>) -> Result<Project, DbError> {
    Ok(Project {
        id: id(row, "id")?,
        team_id: id(row, "team_id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        kind: word(row, "kind", parse_kind)?,
        archived_at: time_option(row, "archived_at")?,
        created_at: time(row, "created_at")?,
    })
}

const fn kind_word(kind: ProjectKind) -> &'static str {
    match kind {
        ProjectKind::Application => "application",
        ProjectKind::InternalGovernance => "internal_governance",
        ProjectKind::Personal => "personal",
    }
}

fn parse_kind(text: &str) -> Option<ProjectKind> {
    [
        ProjectKind::Application,
        ProjectKind::InternalGovernance,
        ProjectKind::Personal,
    ]
    .into_iter()
    .find(|kind| kind_word(*kind) == text)
}
