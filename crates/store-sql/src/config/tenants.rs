//! Organizations, teams and projects.

use lw_core::{OrganizationId, ProjectId, TeamId};
use lw_store::StoreError;
use lw_store::config::{ScopeKind, Tenant};
use lw_store::rows::{Organization, Project, ProjectKey, Scope, Team};
use rusqlite::{Connection, Row};

use super::columns::{
    get, id, id_option, json, micros, must_exist, serde_word, text, time, time_option, to_json,
    to_word,
};
use super::people;
use super::statement::Fields;
use crate::sqlite::{DbError, all, one};

pub(super) fn is_empty(db: &Connection) -> Result<bool, DbError> {
    let first = one(db, "SELECT id FROM organizations LIMIT 1", [], |_| Ok(()))?;
    Ok(first.is_none())
}

pub(super) fn insert_first(db: &Connection, tenant: &Tenant) -> Result<(), DbError> {
    if !is_empty(db)? {
        return Err(StoreError::Conflict {
            field: "organization",
        }
        .into());
    }
    insert_tenant(db, tenant)
}

pub(super) fn insert_tenant(db: &Connection, tenant: &Tenant) -> Result<(), DbError> {
    let Tenant {
        organization,
        default_team,
        default_project,
        hidden_team,
        governance_project,
    } = tenant;
    organization_fields(organization)?.insert(db)?;
    for team in [default_team, hidden_team] {
        insert_team(db, team)?;
    }
    for project in [default_project, governance_project] {
        insert_project(db, project)?;
    }
    Ok(())
}

pub(super) fn update_organization(db: &Connection, row: &Organization) -> Result<(), DbError> {
    organization_fields(row)?.update(db, None)
}

fn organization_fields(row: &Organization) -> Result<Fields<'_>, DbError> {
    let Organization {
        id,
        name,
        slug,
        settings,
        created_at,
        updated_at,
    } = row;
    Ok(Fields::of("organizations")
        .key("id", id.as_str())
        .keep("created_at", created_at.0)
        .set("name", name)
        .set("slug", slug)
        .set("settings", to_json("settings", settings)?)
        .set("updated_at", updated_at.0))
}

pub(super) fn insert_team(db: &Connection, row: &Team) -> Result<(), DbError> {
    if let Some(owner) = &row.personal_owner {
        let member = people::is_member(db, &row.organization_id, owner)?;
        must_exist(member, "person")?;
    }
    team_fields(row).insert(db)
}

pub(super) fn update_team(db: &Connection, row: &Team) -> Result<(), DbError> {
    team_fields(row).update(db, None)
}

fn team_fields(row: &Team) -> Fields<'_> {
    let Team {
        id,
        organization_id,
        name,
        slug,
        hidden,
        personal_owner,
        archived_at,
        created_at,
        updated_at,
    } = row;
    Fields::of("teams")
        .key("organization_id", organization_id.as_str())
        .key("id", id.as_str())
        .keep("created_at", created_at.0)
        .set("name", name)
        .set("slug", slug)
        .set("hidden", hidden)
        .set("personal_owner", text(personal_owner.as_ref()))
        .set("archived_at", micros(*archived_at))
        .set("updated_at", updated_at.0)
}

pub(super) fn insert_project(db: &Connection, row: &Project) -> Result<(), DbError> {
    project_fields(row)?.insert(db)
}

pub(super) fn update_project(db: &Connection, row: &Project) -> Result<(), DbError> {
    project_fields(row)?.update(db, None)
}

fn project_fields(row: &Project) -> Result<Fields<'_>, DbError> {
    let Project {
        id,
        team_id,
        organization_id,
        name,
        slug,
        kind,
        language,
        framework,
        pii_redaction_level,
        key,
        archived_at,
        created_at,
        updated_at,
    } = row;
    let (hash, sealed) = key
        .as_ref()
        .map(|ProjectKey { hash, sealed }| (hash, sealed))
        .unzip();
    Ok(Fields::of("projects")
        .key("organization_id", organization_id.as_str())
        .key("id", id.as_str())
        .keep("created_at", created_at.0)
        .set("team_id", team_id.as_str())
        .set("name", name)
        .set("slug", slug)
        .set("kind", to_word(kind)?)
        .set("language", language)
        .set("framework", framework)
        .set("pii_redaction_level", to_word(pii_redaction_level)?)
        .set("key_hash", hash)
        .set("key_sealed", sealed)
        .set("archived_at", micros(*archived_at))
        .set("updated_at", updated_at.0))
}

pub(super) fn organizations(db: &Connection) -> Result<Vec<Organization>, DbError> {
    all(
        db,
        "SELECT * FROM organizations ORDER BY created_at, id",
        [],
        read_organization,
    )
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

pub(super) fn team(
    db: &Connection,
    organization: &OrganizationId,
    id: &TeamId,
) -> Result<Option<Team>, DbError> {
    one(
        db,
        "SELECT * FROM teams WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
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

pub(super) fn projects_of_team(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
) -> Result<Vec<Project>, DbError> {
    all(
        db,
        "SELECT * FROM projects WHERE organization_id = $1 AND team_id = $2 ORDER BY created_at, id",
        [organization.as_str(), team.as_str()],
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

pub(super) fn project_by_key_hash(
    db: &Connection,
    hash: &str,
) -> Result<Option<(Organization, Project)>, DbError> {
    let project = one(
        db,
        "SELECT p.* FROM projects p
         JOIN teams t ON t.organization_id = p.organization_id AND t.id = p.team_id
         WHERE p.key_hash = $1 AND p.archived_at IS NULL AND t.archived_at IS NULL",
        [hash],
        read_project,
    )?;
    let Some(project) = project else {
        return Ok(None);
    };
    let organization = owner(db, &project.organization_id)?;
    Ok(Some((organization, project)))
}

/// The organization that a stored row names.
pub(super) fn owner(db: &Connection, id: &OrganizationId) -> Result<Organization, DbError> {
    organization(db, id)?.ok_or_else(|| {
        let why = String::from("a row belongs to an organization that is not there");
        StoreError::Corrupt(why).into()
    })
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
               AND archived_at IS NULL
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

pub(super) fn read_organization(row: &Row<'_>) -> Result<Organization, DbError> {
    Ok(Organization {
        id: id(row, "id")?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        settings: json(row, "settings")?,
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
        personal_owner: id_option(row, "personal_owner")?,
        archived_at: time_option(row, "archived_at")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn read_project(row: &Row<'_>) -> Result<Project, DbError> {
    let hash: Option<String> = get(row, "key_hash")?;
    let sealed: Option<String> = get(row, "key_sealed")?;
    Ok(Project {
        id: id(row, "id")?,
        team_id: id(row, "team_id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        kind: serde_word(row, "kind")?,
        language: get(row, "language")?,
        framework: get(row, "framework")?,
        pii_redaction_level: serde_word(row, "pii_redaction_level")?,
        key: hash
            .zip(sealed)
            .map(|(hash, sealed)| ProjectKey { hash, sealed }),
        archived_at: time_option(row, "archived_at")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}
