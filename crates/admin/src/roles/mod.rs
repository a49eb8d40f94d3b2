//! Custom roles and what there is to list in them (management-api 20, domain 4.1, 4.2).
//!
//! A role is changed for everybody who is bound to it, so nobody may list what they could not do
//! themselves. The private roles of API keys do not exist here. Start at [`create`]; who is bound to what
//! is in [`bindings`].

mod bindings;

use http::Method;
use lw_core::{Code, Error, RoleId, TeamId, UnixMicros};
use lw_engine::access::{Action, vocabulary};
use lw_store::StoreError;
use lw_store::config::{Bound, Known, Write};
use lw_store::rows::{BoundRole, CustomRole, RoleKind, Scope};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::bindings::{
    beyond, custom_role_of, may_give, permissions_schema, read_permissions, role_not_found,
};
use crate::caller::{Caller, grant, permission_denied};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Given, Problems, never_null, required};
use crate::permission::OrganizationManage;
use crate::routes::Route;
use crate::schemas::{
    Named, boolean, if_match, input, list, named, object, or_null, success, text, text_of, time,
};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/roles";
    let one = || format!("{base}/{{id}}");
    let mut rows = vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list_all)
            .named("listRoles", "List the custom roles, oldest first")
            .answers(200, object(&[("roles", list(named("Role")))], &[])),
        Route::new::<OrganizationManage>(
            Family,
            Method::GET,
            "/api/roles/permissions",
            permissions,
        )
        .named("listPermissions", "List what roles and API keys can grant")
        .answers(200, named("Vocabulary")),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named("createRole", "Create a custom role")
            .body(named("NewRole"))
            .answers(201, named("Role"))
            .refuses(&[Code::NameConflict, Code::PermissionDenied]),
        Route::new::<OrganizationManage>(Family, Method::GET, one(), get)
            .named("getRole", "Read a custom role")
            .answers(200, named("Role"))
            .refuses(&[Code::RoleNotFound]),
        Route::new::<OrganizationManage>(Family, Method::PATCH, one(), update)
            .named(
                "updateRole",
                "Change a custom role for everybody who is bound to it",
            )
            .headers(vec![if_match()])
            .body(named("RolePatch"))
            .answers(200, named("Role"))
            .refuses(&[
                Code::RoleNotFound,
                Code::NameConflict,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationManage>(Family, Method::DELETE, one(), delete)
            .named(
                "deleteRole",
                "Delete a custom role that nothing is bound to",
            )
            .headers(vec![if_match()])
            .answers(200, success())
            .refuses(&[Code::RoleNotFound, Code::RoleInUse, Code::RevisionConflict]),
    ];
    rows.extend(bindings::routes());
    rows
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let description = || ("description", or_null(text_of(0, 500)));
    let mut all = vec![
        (
            "Role",
            object(
                &[
                    ("id", text()),
                    ("name", text()),
                    ("description", or_null(text())),
                    ("permissions", list(text())),
                    ("createdAt", time()),
                    ("updatedAt", time()),
                ],
                &[],
            ),
        ),
        (
            "NewRole",
            input(
                &[
                    ("name", text_of(1, 100)),
                    ("permissions", permissions_schema()),
                ],
                &[description()],
            ),
        ),
        (
            "RolePatch",
            input(
                &[],
                &[
                    ("name", text_of(1, 100)),
                    ("permissions", permissions_schema()),
                    description(),
                ],
            ),
        ),
        (
            "Vocabulary",
            object(
                &[
                    (
                        "resources",
                        list(object(
                            &[
                                ("resource", text()),
                                ("organizationExclusive", boolean()),
                                ("actions", list(text())),
                                ("permissions", list(text())),
                            ],
                            &[],
                        )),
                    ),
                    ("actions", list(text())),
                ],
                &[],
            ),
        ),
    ];
    all.extend(bindings::schemas());
    all
}

/// `GET /roles`.
fn list_all(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let roles = call.admin().store.roles(&call.permit.organization.id);
    let rows: Vec<Value> = roles
        .map_err(stored)?
        .iter()
        .filter(|role| role.kind == RoleKind::Custom)
        .map(shown)
        .collect();
    Ok(Answer::ok(json!({ "roles": rows })))
}

/// `GET /roles/permissions`.
fn permissions(_: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let resources: Vec<Value> = vocabulary()
        .map(|(resource, actions)| {
            let words: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
            let permissions: Vec<String> = words
                .iter()
                .map(|action| format!("{}:{action}", resource.as_str()))
                .collect();
            json!({
                "resource": resource.as_str(),
                "organizationExclusive": resource.organization_exclusive(),
                "actions": words,
                "permissions": permissions,
            })
        })
        .collect();
    let actions: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    Ok(Answer::ok(
        json!({ "resources": resources, "actions": actions }),
    ))
}

/// `GET /roles/:id`.
fn get(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let row = custom_role_of(call.admin(), &call.permit.organization.id, call.id())?;
    Ok(stamp::answer(shown(&row), row.updated_at))
}

/// `POST /roles`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(&body, "");
    let name = fields.trimmed("name", 1..=100, &mut problems);
    let name = required(name, &fields, "name", &mut problems).unwrap_or_default();
    let description = fields.text("description", 0..=500, &mut problems).value();
    let permissions = read_permissions(&fields, &mut problems);
    let permissions =
        required(permissions, &fields, "permissions", &mut problems).unwrap_or_default();
    problems.finish()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    may_list(admin, caller, &permissions)?;
    let now = admin.clock.now();
    let row = CustomRole {
        id: RoleId::mint(now, admin.entropy.as_ref()),
        organization_id: caller.organization.id.clone(),
        name,
        description,
        permissions,
        kind: RoleKind::Custom,
        created_at: now,
        updated_at: now,
    };
    let change = Act {
        action: "management.role.create",
        target_id: row.id.as_str(),
        after: Some(shown(&row)),
        ..Act::default()
    }
    .by(admin, caller, now);
    commit(admin, &[Write::InsertRole(&row)], &change).map_err(refused)?;
    Ok(Answer::created(shown(&row)).at_revision(row.updated_at.millis()))
}

/// `PATCH /roles/:id`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let patch = Patch::read(&call.object()?)?;
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = custom_role_of(admin, &caller.organization.id, call.id())?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let mut after = patch.over(&before);
            if after == before {
                let answer = stamp::answer(shown(&before), before.updated_at);
                return Ok(Tried::Done(answer));
            }
            if after.permissions != before.permissions {
                may_list(admin, caller, &after.permissions)?;
            }
            let now = admin.clock.now();
            after.updated_at = stamp::next(now, before.updated_at);
            let writes = [
                Write::StillIs(Known::Role(&before)),
                Write::UpdateRole(&after),
            ];
            let change = Act {
                action: "management.role.update",
                target_id: after.id.as_str(),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = stamp::answer(shown(&after), after.updated_at);
            landed(commit(admin, &writes, &change), answer, refused)
        },
        stamp::conflict,
    )
}

/// `DELETE /roles/:id`.
fn delete(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = custom_role_of(admin, &caller.organization.id, call.id())?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let writes = [
                Write::StillIs(Known::Role(&before)),
                Write::DeleteRole {
                    organization: &before.organization_id,
                    id: &before.id,
                },
            ];
            let change = Act {
                action: "management.role.delete",
                target_id: before.id.as_str(),
                before: Some(shown(&before)),
                ..Act::default()
            }
            .by(admin, caller, admin.clock.now());
            let answer = Answer::ok(json!({ "success": true }));
            landed(commit(admin, &writes, &change), answer, refused)
        },
        stamp::conflict,
    )
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
struct Patch {
    name: Option<String>,
    description: Given<String>,
    permissions: Option<Vec<String>>,
}

impl Patch {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let name = fields.trimmed("name", 1..=100, &mut problems);
        let permissions = read_permissions(&fields, &mut problems);
        let patch = Self {
            name: never_null(name, "name".into(), &mut problems),
            description: fields.text("description", 0..=500, &mut problems),
            permissions: never_null(permissions, "permissions".into(), &mut problems),
        };
        problems.finish()?;
        Ok(patch)
    }

    fn over(&self, row: &CustomRole) -> CustomRole {
        let Self {
            name,
            description,
            permissions,
        } = self;
        CustomRole {
            name: name.clone().unwrap_or_else(|| row.name.clone()),
            description: description.clone().over(row.description.clone()),
            permissions: permissions
                .clone()
                .unwrap_or_else(|| row.permissions.clone()),
            ..row.clone()
        }
    }
}

/// Insists that the caller may do everywhere what a role would list: it may be bound anywhere. An empty
/// list is what a VIEWER may do in a team.
fn may_list(admin: &Admin, caller: &Caller, permissions: &[String]) -> Result<(), Error> {
    let whole = Scope::Organization(caller.organization.id.clone());
    let bound = |scope: &Scope| Bound {
        role: BoundRole::Custom,
        permissions: Some(permissions.to_vec()),
        scope: scope.clone(),
    };
    may_give(admin, caller, &bound(&whole))?;
    // A team that nobody has: only what is held at the organization counts there.
    let Ok(anywhere) = TeamId::parse("team_anywhere") else {
        return Ok(());
    };
    let place = lw_engine::access::Place::team(anywhere.clone());
    let wanted = grant(&bound(&Scope::Team(anywhere)));
    match beyond(&caller.access, &wanted, &place) {
        None => Ok(()),
        Some(missing) => Err(permission_denied(missing, &whole)),
    }
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Conflict { field: "name" } => {
            Error::new(Code::NameConflict, "Another role has this name.")
                .tip("Choose another name, or change that role: `langwatch roles list`.")
        }
        StoreError::Conflict { field: "role" } => Error::new(
            Code::RoleInUse,
            "People, groups or keys are still bound to the role.",
        )
        .tip("Find them with `langwatch role-bindings list` and delete their bindings first."),
        StoreError::Missing => role_not_found(),
        error => stored(error),
    }
}

fn shown(row: &CustomRole) -> Value {
    let CustomRole {
        id,
        organization_id: _,
        name,
        description,
        permissions,
        kind: _,
        created_at,
        updated_at,
    } = row;
    let time = |at: &UnixMicros| at.to_rfc3339();
    json!({
        "id": id,
        "name": name,
        "description": description,
        "permissions": permissions,
        "createdAt": time(created_at),
        "updatedAt": time(updated_at),
    })
}
