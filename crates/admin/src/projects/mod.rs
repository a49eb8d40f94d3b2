//! Projects: where traces and spend are filed (management-api 16, domain 3.3, 5.2).
//!
//! A caller knows of the projects where it holds `project:view`, the governance project among them: keys
//! file traces there, so an administrator must be able to find its id; `kind` says what it is. Archived
//! projects exist for nobody, but virtual keys that file there keep filing. Start at [`reach`]; new ones
//! are made in [`create`], their keys are in [`keys`].

mod create;
mod keys;

use http::Method;
use lw_core::{Code, Error};
use lw_engine::access::{Action, Permission, Resource};
use lw_store::config::{Known, ScopeKind, Write};
use lw_store::rows::{BudgetTarget, PiiRedactionLevel, Project, Scope};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::caller::{Caller, permission_denied, place_of};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, never_null};
use crate::page::Numbered;
use crate::permission::{
    AnyCredential, ProjectCreate, ProjectDelete, ProjectManage, ProjectUpdate, ProjectView,
};
use crate::routes::Route;
use crate::schemas::{
    Named, if_match, input, named, nothing, numbered, numbered_params, object, one_of, text,
    text_of, time,
};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The words of [`PiiRedactionLevel`].
const LEVELS: [&str; 3] = ["STRICT", "ESSENTIAL", "DISABLED"];
/// The longest name, language and framework.
const LONGEST: usize = 255;

const fn project(action: Action) -> Permission {
    Permission::new(Resource::Project, action)
}

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/projects";
    let at = |tail: &str| format!("{base}/{{id}}{tail}");
    let gated = [Code::PermissionDenied, Code::RevisionConflict];
    vec![
        Route::anywhere::<AnyCredential>(Family, Method::GET, base, list)
            .named(
                "listProjects",
                "List the projects that the caller sees, oldest first",
            )
            .query(numbered_params())
            .answers(200, numbered("Project")),
        Route::anywhere::<ProjectCreate>(Family, Method::POST, base, create::create)
            .named(
                "createProject",
                "Create a project; the key of its service account is shown once",
            )
            .body(named("NewProject"))
            .answers(201, named("MintedProject"))
            .refuses(&gated)
            .refuses(&[Code::TeamNotFound]),
        Route::anywhere::<ProjectView>(Family, Method::GET, at(""), get)
            .named("getProject", "Read a project")
            .answers(200, named("Project")),
        Route::anywhere::<ProjectUpdate>(Family, Method::PATCH, at(""), update)
            .named("updateProject", "Change a project")
            .headers(vec![if_match()])
            .body(named("ProjectPatch"))
            .answers(200, named("Project"))
            .refuses(&gated),
        Route::anywhere::<ProjectDelete>(Family, Method::DELETE, at(""), archive)
            .named(
                "archiveProject",
                "Archive a project; virtual keys that trace there keep working",
            )
            .headers(vec![if_match()])
            .answers(200, named("Archived"))
            .refuses(&gated),
        Route::anywhere::<ProjectUpdate>(Family, Method::GET, at("/api-key"), keys::get)
            .named("getProjectApiKey", "Read the key of a project")
            .answers(200, named("ProjectApiKey"))
            .refuses(&[Code::PermissionDenied]),
        Route::anywhere::<ProjectManage>(
            Family,
            Method::POST,
            at("/regenerate-api-key"),
            keys::regenerate,
        )
        .named(
            "regenerateProjectApiKey",
            "Give a project a new key; the old one stops at once",
        )
        .optional_body(nothing())
        .answers(200, named("ProjectApiKey"))
        .refuses(&gated),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let fields = || {
        vec![
            ("id", text()),
            ("name", text()),
            ("slug", text()),
            (
                "kind",
                one_of(&["application", "internal_governance", "personal"]),
            ),
            ("language", text()),
            ("framework", text()),
            ("piiRedactionLevel", one_of(&LEVELS)),
            ("teamId", text()),
            ("createdAt", time()),
            ("updatedAt", time()),
        ]
    };
    let mut minted = fields();
    minted.extend([("serviceApiKey", text()), ("serviceApiKeyId", text())]);
    let words = |name| (name, text_of(1, 255));
    vec![
        ("Project", object(&fields(), &[])),
        ("MintedProject", object(&minted, &[])),
        (
            "NewProject",
            input(
                &[words("name"), words("language"), words("framework")],
                &[
                    ("teamId", text_of(1, 256)),
                    words("newTeamName"),
                    ("piiRedactionLevel", one_of(&LEVELS)),
                ],
            ),
        ),
        (
            "ProjectPatch",
            input(
                &[],
                &[
                    words("name"),
                    words("language"),
                    words("framework"),
                    ("piiRedactionLevel", one_of(&LEVELS)),
                ],
            ),
        ),
        ("ProjectApiKey", object(&[("apiKey", text())], &[])),
    ]
}

/// `GET /projects`.
fn list(call: &Call<AnyCredential>) -> Result<Answer, Error> {
    let page = Numbered::of(call)?;
    let projects = seen(call.admin(), &call.permit)?;
    Ok(Answer::ok(
        page.of_all(projects.iter().map(shown).collect()),
    ))
}

/// The live projects that the caller sees, oldest first.
///
/// # Errors
/// The store failed.
pub(crate) fn seen(admin: &Admin, caller: &Caller) -> Result<Vec<Project>, Error> {
    let all = admin.store.projects(&caller.organization.id);
    let mut projects = all.map_err(stored)?;
    projects.retain(|row| {
        row.archived_at.is_none() && caller.access.may(project(Action::View), &place_of(row))
    });
    Ok(projects)
}

/// `GET /projects/:id`.
fn get(call: &Call<ProjectView>) -> Result<Answer, Error> {
    let row = reach(call.admin(), &call.permit, call.id(), project(Action::View))?;
    Ok(stamp::answer(shown(&row), row.updated_at))
}

/// `PATCH /projects/:id`.
fn update(call: &Call<ProjectUpdate>) -> Result<Answer, Error> {
    let patch = Patch::read(&call.object()?)?;
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = reach(admin, caller, call.id(), project(Action::Update))?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let mut after = patch.over(&before);
            if after == before {
                let answer = stamp::answer(shown(&before), before.updated_at);
                return Ok(Tried::Done(answer));
            }
            let now = admin.clock.now();
            after.updated_at = stamp::next(now, before.updated_at);
            let mut writes = vec![
                Write::StillIs(Known::Project(&before)),
                Write::UpdateProject(&after),
            ];
            if before.pii_redaction_level != after.pii_redaction_level {
                // The level stands in the bundle of every key that files here.
                writes.push(traced_keys(&after, now));
            }
            let change = Act {
                action: "project.updated",
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

/// Tells gateways that the bundles of the keys that file here are another now.
fn traced_keys(row: &Project, now: lw_core::UnixMicros) -> Write<'_> {
    Write::BumpKeysTracingInto {
        organization: &row.organization_id,
        project: &row.id,
        now,
    }
}

/// `DELETE /projects/:id`.
fn archive(call: &Call<ProjectDelete>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = reach(admin, caller, call.id(), project(Action::Delete))?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let now = admin.clock.now();
            let after = Project {
                archived_at: Some(now),
                updated_at: stamp::next(now, before.updated_at),
                ..before.clone()
            };
            let targets = [
                BudgetTarget::Project(after.id.clone()),
                BudgetTarget::EndUsersOfProject(after.id.clone()),
            ];
            let mut writes = vec![
                Write::StillIs(Known::Project(&before)),
                Write::UpdateProject(&after),
            ];
            writes.extend(targets.iter().map(|target| Write::ArchiveBudgetsOf {
                organization: &after.organization_id,
                target,
                now,
            }));
            let change = Act {
                action: "project.archived",
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
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
struct Patch {
    name: Option<String>,
    language: Option<String>,
    framework: Option<String>,
    level: Option<PiiRedactionLevel>,
}

impl Patch {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let mut text = |name: &'static str| {
            let given = fields.trimmed(name, 1..=LONGEST, &mut problems);
            never_null(given, name.into(), &mut problems)
        };
        let (name, language, framework) = (text("name"), text("language"), text("framework"));
        let level = read_level(&fields, &mut problems);
        problems.finish()?;
        Ok(Self {
            name,
            language,
            framework,
            level,
        })
    }

    fn over(&self, row: &Project) -> Project {
        let Self {
            name,
            language,
            framework,
            level,
        } = self;
        let text = |new: &Option<String>, old: &str| new.clone().unwrap_or_else(|| old.to_owned());
        Project {
            name: text(name, &row.name),
            language: text(language, &row.language),
            framework: text(framework, &row.framework),
            pii_redaction_level: level.unwrap_or(row.pii_redaction_level),
            ..row.clone()
        }
    }
}

fn read_level(fields: &Fields<'_>, problems: &mut Problems) -> Option<PiiRedactionLevel> {
    let level = fields.choice(&["piiRedactionLevel"], &LEVELS, problems);
    let level = never_null(level, fields.path("piiRedactionLevel"), problems)?;
    Some(match level {
        "STRICT" => PiiRedactionLevel::Strict,
        "DISABLED" => PiiRedactionLevel::Disabled,
        _ => PiiRedactionLevel::Essential,
    })
}

/// A live project where the caller may do `wanted`, by id or slug.
///
/// # Errors
/// `permission_denied` where the caller sees the project, else `project_not_found`; or the store failed.
fn reach(
    admin: &Admin,
    caller: &Caller,
    id_or_slug: &str,
    wanted: Permission,
) -> Result<Project, Error> {
    let organization = &caller.organization.id;
    let found = admin
        .store
        .resolve_scope(organization, ScopeKind::Project, id_or_slug)
        .map_err(stored)?;
    let Some(Scope::Project(id)) = found else {
        return Err(not_found());
    };
    let row = admin.store.project(organization, &id).map_err(stored)?;
    let row = row
        .filter(|row| row.archived_at.is_none())
        .ok_or_else(not_found)?;
    let place = place_of(&row);
    if caller.access.may(wanted, &place) {
        Ok(row)
    } else if caller.access.may(project(Action::View), &place) {
        Err(permission_denied(wanted, &Scope::Project(id)))
    } else {
        Err(not_found())
    }
}

fn not_found() -> Error {
    Error::new(Code::ProjectNotFound, "Project not found.")
        .tip("List them: `langwatch projects list`.")
}

/// A project as callers see it.
pub(crate) fn shown(row: &Project) -> Value {
    let Project {
        id,
        team_id,
        organization_id: _,
        name,
        slug,
        kind,
        language,
        framework,
        pii_redaction_level,
        key: _,
        archived_at: _,
        created_at,
        updated_at,
    } = row;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "kind": kind,
        "language": language,
        "framework": framework,
        "piiRedactionLevel": pii_redaction_level,
        "teamId": team_id,
        "createdAt": created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })
}
