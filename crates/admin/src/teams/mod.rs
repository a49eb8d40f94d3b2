//! Teams (management-api 17, domain 3.2).
//!
//! Hidden teams and the teams of personal workspaces are shown to nobody: they exist for the product. A
//! team that still holds live projects cannot be archived. Start at [`reach`]; who is in a team is in
//! [`members`].

mod members;

use http::Method;
use lw_core::{Code, Error, TeamId, UnixMicros};
use lw_engine::access::{Action, Permission, Place, Resource};
use lw_store::StoreError;
use lw_store::config::{Known, ScopeKind, Write};
use lw_store::rows::{BoundRole, BudgetTarget, Scope, Team, TeamMember};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::caller::{Caller, permission_denied};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, never_null, required};
use crate::page::Numbered;
use crate::permission::{OrganizationManage, TeamManage, TeamView};
use crate::projects;
use crate::routes::Route;
use crate::schemas::{
    Named, if_match, input, named, numbered, numbered_params, object, text, text_of, time,
};
use crate::serve::{Answer, Call};
use crate::slug;
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

const fn team(action: Action) -> Permission {
    Permission::new(Resource::Team, action)
}

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/teams";
    let one = || format!("{base}/{{id}}");
    let missing = [Code::TeamNotFound];
    let mut rows = vec![
        Route::anywhere::<TeamView>(Family, Method::GET, base, list)
            .named("listTeams", "List teams, oldest first")
            .query(numbered_params())
            .answers(200, numbered("Team")),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named("createTeam", "Create a team")
            .body(named("NewTeam"))
            .answers(201, named("Team"))
            .refuses(&[Code::RevisionConflict]),
        Route::anywhere::<TeamView>(Family, Method::GET, one(), get)
            .named("getTeam", "Read a team")
            .answers(200, named("Team"))
            .refuses(&missing),
        Route::anywhere::<TeamManage>(Family, Method::PATCH, one(), update)
            .named("updateTeam", "Change a team")
            .headers(vec![if_match()])
            .body(named("TeamPatch"))
            .answers(200, named("Team"))
            .refuses(&[
                Code::TeamNotFound,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
        Route::anywhere::<TeamManage>(Family, Method::DELETE, one(), archive)
            .named("archiveTeam", "Archive a team that has no live projects")
            .headers(vec![if_match()])
            .answers(200, named("Archived"))
            .refuses(&[
                Code::TeamNotFound,
                Code::PermissionDenied,
                Code::TeamInUse,
                Code::RevisionConflict,
            ]),
        Route::anywhere::<TeamView>(Family, Method::GET, format!("{}/projects", one()), inside)
            .named("listTeamProjects", "List the projects of a team")
            .query(numbered_params())
            .answers(200, numbered("Project"))
            .refuses(&missing),
    ];
    rows.extend(members::routes());
    rows
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let mut all = vec![
        (
            "Team",
            object(
                &[
                    ("id", text()),
                    ("name", text()),
                    ("slug", text()),
                    ("organizationId", text()),
                    ("createdAt", time()),
                    ("updatedAt", time()),
                ],
                &[],
            ),
        ),
        ("NewTeam", input(&[("name", text_of(1, 255))], &[])),
        ("TeamPatch", input(&[], &[("name", text_of(1, 255))])),
        (
            "Archived",
            object(
                &[("id", text()), ("name", text()), ("archivedAt", time())],
                &[],
            ),
        ),
    ];
    all.extend(members::schemas());
    all
}

/// `GET /teams`: those where the caller may look, and those of the projects where it may.
fn list(call: &Call<TeamView>) -> Result<Answer, Error> {
    let page = Numbered::of(call)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    let sight = caller.sight(admin, team(Action::View))?;
    let teams = admin.store.teams(&caller.organization.id).map_err(stored)?;
    let rows = teams
        .iter()
        .filter(|team| is_shown(team) && sight.sees_inherited(&[Scope::Team(team.id.clone())]))
        .map(shown);
    Ok(Answer::ok(page.of_all(rows.collect())))
}

/// `GET /teams/:id`.
fn get(call: &Call<TeamView>) -> Result<Answer, Error> {
    let row = reach(call.admin(), &call.permit, call.id(), team(Action::View))?;
    Ok(stamp::answer(shown(&row), row.updated_at))
}

/// `GET /teams/:id/projects`: those that the caller sees.
fn inside(call: &Call<TeamView>) -> Result<Answer, Error> {
    let page = Numbered::of(call)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    let row = reach(admin, caller, call.id(), team(Action::View))?;
    let mut projects = projects::seen(admin, caller)?;
    projects.retain(|project| project.team_id == row.id);
    let rows = projects.iter().map(projects::shown).collect();
    Ok(Answer::ok(page.of_all(rows)))
}

/// `POST /teams`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(&body, "");
    let name = fields.trimmed("name", 1..=255, &mut problems);
    let name = required(name, &fields, "name", &mut problems).unwrap_or_default();
    problems.finish()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let now = admin.clock.now();
            let new = NewTeam::called(admin, caller, &name, now)?;
            let change = new.created().by(admin, caller, now);
            let answer = Answer::created(shown(&new.team)).at_revision(now.millis());
            named_apart(commit(admin, &new.writes(), &change), answer)
        },
        stamp::conflict,
    )
}

/// A team that is about to be created, with the person who creates it as its administrator.
#[derive(Debug)]
pub(crate) struct NewTeam {
    pub(crate) team: Team,
    founder: Option<TeamMember>,
}

impl NewTeam {
    /// A team of the caller's organization, with a slug that is free now.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn called(
        admin: &Admin,
        caller: &Caller,
        name: &str,
        now: UnixMicros,
    ) -> Result<Self, Error> {
        let organization = &caller.organization.id;
        let others = admin.store.teams(organization).map_err(stored)?;
        let taken = others.iter().map(|team| team.slug.as_str());
        let team = Team {
            id: TeamId::mint(now, admin.entropy.as_ref()),
            organization_id: organization.clone(),
            name: name.to_owned(),
            slug: slug::free(name, "team", taken),
            hidden: false,
            personal_owner: None,
            archived_at: None,
            created_at: now,
            updated_at: now,
        };
        let founder = caller.person().map(|person| TeamMember {
            team_id: team.id.clone(),
            user_id: person.clone(),
            role: BoundRole::Admin,
            custom_role_id: None,
        });
        Ok(Self { team, founder })
    }

    /// What is to be written.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        let Self { team, founder } = self;
        let founder = founder.iter().map(|row| Write::PutTeamMember {
            organization: &team.organization_id,
            row,
        });
        std::iter::once(Write::InsertTeam(team))
            .chain(founder)
            .collect()
    }

    /// What the audit log keeps of it.
    pub(crate) fn created(&self) -> Act<'_> {
        Act {
            action: "management.team.create",
            target_id: self.team.id.as_str(),
            after: Some(shown(&self.team)),
            ..Act::default()
        }
    }
}

/// How a create ended. Somebody else may just have taken the slug: then it is tried again.
///
/// # Errors
/// The store failed.
pub(crate) fn named_apart<T>(
    committed: Result<lw_store::config::Committed, StoreError>,
    done: T,
) -> Result<Tried<T>, Error> {
    match committed {
        Err(StoreError::Conflict { field: "slug" }) => Ok(Tried::Stale),
        other => landed(other, done, stored),
    }
}

/// `PATCH /teams/:id`.
fn update(call: &Call<TeamManage>) -> Result<Answer, Error> {
    let name = read_patch(&call.object()?)?;
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = reach(admin, caller, call.id(), team(Action::Manage))?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let Some(name) = name.as_ref().filter(|name| **name != before.name) else {
                let answer = stamp::answer(shown(&before), before.updated_at);
                return Ok(Tried::Done(answer));
            };
            let now = admin.clock.now();
            let after = Team {
                name: name.clone(),
                updated_at: stamp::next(now, before.updated_at),
                ..before.clone()
            };
            let writes = [
                Write::StillIs(Known::Team(&before)),
                Write::UpdateTeam(&after),
            ];
            let change = Act {
                action: "management.team.update",
                target_id: after.id.as_str(),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = stamp::answer(shown(&after), after.updated_at);
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

fn read_patch(body: &Map<String, Value>) -> Result<Option<String>, Error> {
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(body, "");
    let name = fields.trimmed("name", 1..=255, &mut problems);
    let name = never_null(name, "name".into(), &mut problems);
    problems.finish()?;
    Ok(name)
}

/// `DELETE /teams/:id`.
fn archive(call: &Call<TeamManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = reach(admin, caller, call.id(), team(Action::Manage))?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let now = admin.clock.now();
            let after = Team {
                archived_at: Some(now),
                updated_at: stamp::next(now, before.updated_at),
                ..before.clone()
            };
            let organization = &after.organization_id;
            let target = BudgetTarget::Team(after.id.clone());
            let writes = [
                Write::StillIs(Known::Team(&before)),
                Write::RequireNoProject {
                    organization,
                    team: &after.id,
                },
                Write::UpdateTeam(&after),
                Write::ArchiveBudgetsOf {
                    organization,
                    target: &target,
                    now,
                },
            ];
            let change = Act {
                action: "management.team.archive",
                target_id: after.id.as_str(),
                before: Some(shown(&before)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::ok(json!({
                "id": after.id,
                "name": after.name,
                "archivedAt": now.to_rfc3339(),
            }));
            landed(commit(admin, &writes, &change), answer, in_use)
        },
        stamp::conflict,
    )
}

fn in_use(error: StoreError) -> Error {
    match error {
        StoreError::Conflict { field: "team" } => {
            Error::new(Code::TeamInUse, "The team still has live projects.").tip(
                "Archive them first: `langwatch teams projects list <team>`, then \
                 `langwatch projects delete <project>`.",
            )
        }
        error => stored(error),
    }
}

/// A live team that people know of, by id or slug.
///
/// # Errors
/// The store failed.
pub(crate) fn existing(
    admin: &Admin,
    caller: &Caller,
    id_or_slug: &str,
) -> Result<Option<Team>, Error> {
    let organization = &caller.organization.id;
    let found = admin
        .store
        .resolve_scope(organization, ScopeKind::Team, id_or_slug)
        .map_err(stored)?;
    let Some(Scope::Team(id)) = found else {
        return Ok(None);
    };
    let team = admin.store.team(organization, &id).map_err(stored)?;
    Ok(team.filter(is_shown))
}

/// A team where the caller may do `wanted`.
///
/// # Errors
/// `permission_denied` where the caller sees the team, else `team_not_found`; or the store failed.
pub(crate) fn reach(
    admin: &Admin,
    caller: &Caller,
    id_or_slug: &str,
    wanted: Permission,
) -> Result<Team, Error> {
    let row = existing(admin, caller, id_or_slug)?.ok_or_else(not_found)?;
    if caller.access.may(wanted, &Place::team(row.id.clone())) {
        return Ok(row);
    }
    let scope = Scope::Team(row.id.clone());
    let sight = caller.sight(admin, team(Action::View))?;
    match (sight.sees_inherited(std::slice::from_ref(&scope)), wanted) {
        (true, wanted) if wanted == team(Action::View) => Ok(row),
        (true, wanted) => Err(permission_denied(wanted, &scope)),
        (false, _) => Err(not_found()),
    }
}

/// The answer to a team that does not exist for the caller.
pub(crate) fn not_found() -> Error {
    Error::new(Code::TeamNotFound, "Team not found.").tip("List them: `langwatch teams list`.")
}

/// Whether people know of the team.
pub(crate) fn is_shown(team: &Team) -> bool {
    !team.hidden && team.personal_owner.is_none() && team.archived_at.is_none()
}

fn shown(team: &Team) -> Value {
    let Team {
        id,
        organization_id,
        name,
        slug,
        hidden: _,
        personal_owner: _,
        archived_at: _,
        created_at,
        updated_at,
    } = team;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "organizationId": organization_id,
        "createdAt": created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })
}
