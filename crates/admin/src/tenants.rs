//! The caller's organization with its teams and projects (management-api 16, 17, 19), to read.
//!
//! Hidden teams are shown to nobody. Their governance project is: keys file traces there, so somebody
//! with an organization key must be able to find its id; `kind` says what it is. Archived projects are
//! not listed. Start at [`organization`].

use lw_core::Error;
use lw_store::rows::{Organization, Project, Team};
use serde_json::{Value, json};

use crate::edge::stored;
use crate::page::Numbered;
use crate::permission::{OrganizationView, ProjectView, TeamView};
use crate::serve::{Answer, Call};

/// `GET /api/organization`.
pub(crate) fn organization(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    let Organization {
        id,
        name,
        slug,
        created_at,
        updated_at,
    } = &call.permit.organization;
    Ok(Answer::ok(json!({
        "id": id,
        "name": name,
        "slug": slug,
        "createdAt": created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })))
}

/// `GET /api/teams`.
pub(crate) fn teams(call: &Call<TeamView>) -> Result<Answer, Error> {
    let page = Numbered::of(call)?;
    let teams = call
        .admin()
        .store
        .teams(&call.permit.organization.id)
        .map_err(stored)?;
    let shown = teams
        .into_iter()
        .filter(|team| !team.hidden)
        .map(|team| team_shown(&team));
    Ok(Answer::ok(page.of_all(shown.collect())))
}

/// `GET /api/projects`.
pub(crate) fn projects(call: &Call<ProjectView>) -> Result<Answer, Error> {
    let page = Numbered::of(call)?;
    let projects = call
        .admin()
        .store
        .projects(&call.permit.organization.id)
        .map_err(stored)?;
    let live = projects
        .into_iter()
        .filter(|project| project.archived_at.is_none());
    Ok(Answer::ok(page.of_all(
        live.map(|project| project_shown(&project)).collect(),
    )))
}

fn team_shown(team: &Team) -> Value {
    let Team {
        id,
        organization_id,
        name,
        slug,
        hidden: _,
        created_at,
    } = team;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "organizationId": organization_id,
        "createdAt": created_at.to_rfc3339(),
        // Teams cannot be changed yet.
        "updatedAt": created_at.to_rfc3339(),
    })
}

fn project_shown(project: &Project) -> Value {
    let Project {
        id,
        team_id,
        organization_id: _,
        name,
        slug,
        kind,
        archived_at: _,
        created_at,
    } = project;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "kind": kind,
        "language": "other",
        "framework": "other",
        "teamId": team_id,
        "createdAt": created_at.to_rfc3339(),
        // Projects cannot be changed yet.
        "updatedAt": created_at.to_rfc3339(),
    })
}
