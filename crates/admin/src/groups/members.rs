//! Who is in a group (management-api 18). Budgets of the group are told. Start at [`add`].

use http::Method;
use lw_core::{Code, Error};
use lw_store::StoreError;
use lw_store::config::{Known, Write};
use lw_store::rows::{Principal, User};
use serde_json::{Value, json};

use super::existing;
use crate::bindings::{all_of, bound_of, may_give};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, required};
use crate::organization::{member, member_not_found};
use crate::permission::OrganizationManage;
use crate::routes::Route;
use crate::schemas::{Named, input, list, named, object, or_null, success, text, text_of};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/groups/{id}/members";
    let missing = [
        Code::Forbidden,
        Code::GroupNotFound,
        Code::MemberNotFound,
        Code::RevisionConflict,
    ];
    vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list_all)
            .named("listGroupMembers", "List the people in a group")
            .answers(200, object(&[("data", list(named("GroupMember")))], &[]))
            .refuses(&[Code::Forbidden, Code::GroupNotFound]),
        Route::new::<OrganizationManage>(Family, Method::POST, base, add)
            .named("addGroupMember", "Put a person into a group")
            .body(input(&[("userId", text_of(1, 128))], &[]))
            .answers(201, named("GroupMember"))
            .refuses(&missing)
            .refuses(&[Code::PermissionDenied]),
        Route::new::<OrganizationManage>(
            Family,
            Method::DELETE,
            format!("{base}/{{userId}}"),
            remove,
        )
        .named("removeGroupMember", "Take a person out of a group")
        .answers(200, success())
        .refuses(&missing),
    ]
}

pub(super) fn schemas() -> Vec<Named> {
    vec![(
        "GroupMember",
        object(
            &[
                ("userId", text()),
                ("name", text()),
                ("email", or_null(text())),
            ],
            &[],
        ),
    )]
}

/// `GET /groups/:id/members`.
fn list_all(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let group = existing(admin, caller, call.id())?;
    let people = admin
        .store
        .group_members(&caller.organization.id, &group.id);
    let rows: Vec<Value> = people.map_err(stored)?.iter().map(shown).collect();
    Ok(Answer::ok(json!({ "data": rows })))
}

/// `POST /groups/:id/members`.
fn add(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    super::enabled(call.admin())?;
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(&body, "");
    let user = fields.trimmed("userId", 1..=128, &mut problems);
    let user = required(user, &fields, "userId", &mut problems).unwrap_or_default();
    problems.finish()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let group = existing(admin, caller, call.id())?;
            let organization = &caller.organization.id;
            let person = member(admin, caller, &user)?;
            let answer = Answer::created(shown(&person.user));
            let groups = admin.store.groups_of(organization, &person.user.id);
            if groups.map_err(stored)?.contains(&group.id) {
                return Ok(Tried::Done(answer));
            }
            let principal = Principal::Group(group.id.clone());
            let bindings = all_of(admin, organization, Some(principal.clone()))?;
            for binding in &bindings {
                may_give(admin, caller, &bound_of(admin, binding)?)?;
            }
            let now = admin.clock.now();
            let change = Act {
                action: "management.group.member.add",
                target_id: group.id.as_str(),
                after: Some(shown(&person.user)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let writes = [
                Write::StillIs(Known::Group(&group)),
                Write::StillIs(Known::BindingsOf {
                    organization,
                    principal: &principal,
                    bindings: &bindings,
                }),
                Write::StillIs(Known::Member {
                    organization,
                    member: &person,
                }),
                Write::AddGroupMember {
                    organization,
                    group: &group.id,
                    user: &person.user.id,
                },
            ];
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// `DELETE /groups/:id/members/:userId`.
fn remove(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let group = existing(admin, caller, call.id())?;
    let organization = &caller.organization.id;
    let person = member(admin, caller, call.param("userId"))?;
    let now = admin.clock.now();
    let change = Act {
        action: "management.group.member.remove",
        target_id: group.id.as_str(),
        before: Some(shown(&person.user)),
        ..Act::default()
    }
    .by(admin, caller, now);
    let write = Write::RemoveGroupMember {
        organization,
        group: &group.id,
        user: &person.user.id,
    };
    commit(admin, &[write], &change).map_err(|error| match error {
        StoreError::Missing => member_not_found(),
        error => stored(error),
    })?;
    Ok(Answer::ok(json!({ "success": true })))
}

fn shown(user: &User) -> Value {
    let User {
        id,
        email,
        name,
        password_hash: _,
        created_at: _,
    } = user;
    json!({ "userId": id, "name": name, "email": email })
}
