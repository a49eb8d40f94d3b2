//! What a group is bound to (management-api 18). Start at [`add`].

use http::Method;
use lw_core::{Code, Error, RoleBindingId};
use lw_store::StoreError;
use lw_store::config::{Known, Write};
use lw_store::rows::Principal;
use serde_json::{Value, json};

use super::existing;
use crate::bindings::{Custom, Wish, all_of, may_give, shown};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, refuse};
use crate::permission::OrganizationManage;
use crate::routes::Route;
use crate::schemas::{named, object, success};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, commit, until_fresh};

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/groups/{id}/bindings";
    vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list_all)
            .named("listGroupBindings", "List what a group is bound to")
            .answers(200, object(&[("data", named("Bindings"))], &[]))
            .refuses(&[Code::Forbidden, Code::GroupNotFound]),
        Route::new::<OrganizationManage>(Family, Method::POST, base, add)
            .named("addGroupBinding", "Bind a group to a role at a scope")
            .body(named("NewBinding"))
            .answers(201, named("Binding"))
            .refuses(&[
                Code::Forbidden,
                Code::GroupNotFound,
                Code::RoleNotFound,
                Code::ScopeOrgMismatch,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationManage>(
            Family,
            Method::DELETE,
            format!("{base}/{{bindingId}}"),
            remove,
        )
        .named("removeGroupBinding", "Take a binding away from a group")
        .answers(200, success())
        .refuses(&[
            Code::Forbidden,
            Code::GroupNotFound,
            Code::RoleBindingNotFound,
        ]),
    ]
}

/// `GET /groups/:id/bindings`.
fn list_all(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let group = existing(admin, caller, call.id())?;
    let principal = Principal::Group(group.id);
    let bindings = all_of(admin, &caller.organization.id, Some(principal))?;
    let rows: Vec<Value> = bindings.iter().map(shown).collect();
    Ok(Answer::ok(json!({ "data": rows })))
}

/// `POST /groups/:id/bindings`.
fn add(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    super::enabled(call.admin())?;
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let wish = Wish::read(&Fields::new(&body, ""), Custom::Named, &mut problems);
    problems.finish()?;
    let wish = wish.ok_or_else(|| refuse(BODY, "role", "required", "is required"))?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let group = existing(admin, caller, call.id())?;
            let organization = &caller.organization.id;
            let resolved = wish.resolve(admin, organization)?;
            may_give(admin, caller, &resolved.bound())?;
            let now = admin.clock.now();
            let row = resolved.to(admin, organization, Principal::Group(group.id.clone()), now);
            let mut writes = vec![Write::StillIs(Known::Group(&group))];
            writes.extend(
                resolved
                    .custom_role
                    .as_ref()
                    .map(|role| Write::StillIs(Known::Role(role))),
            );
            writes.push(Write::InsertBinding(&row));
            let change = Act {
                action: "management.group.binding.add",
                target_id: group.id.as_str(),
                after: Some(shown(&row)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::created(shown(&row));
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// `DELETE /groups/:id/bindings/:bindingId`.
fn remove(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let not_found = || {
        Error::new(Code::RoleBindingNotFound, "Role binding not found.")
            .tip("List them: `langwatch groups bindings list <group>`.")
    };
    let (admin, caller) = (call.admin(), &*call.permit);
    let group = existing(admin, caller, call.id())?;
    let organization = &caller.organization.id;
    let id = RoleBindingId::parse(call.param("bindingId")).map_err(|_not_an_id| not_found())?;
    let found = admin.store.binding(organization, &id).map_err(stored)?;
    let row = found
        .filter(|row| row.principal == Principal::Group(group.id.clone()))
        .ok_or_else(not_found)?;
    let now = admin.clock.now();
    let change = Act {
        action: "management.group.binding.remove",
        target_id: group.id.as_str(),
        before: Some(shown(&row)),
        ..Act::default()
    }
    .by(admin, caller, now);
    let write = Write::DeleteBinding {
        organization,
        id: &id,
    };
    commit(admin, &[write], &change).map_err(|error| match error {
        StoreError::Missing => not_found(),
        error => stored(error),
    })?;
    Ok(Answer::ok(json!({ "success": true })))
}
