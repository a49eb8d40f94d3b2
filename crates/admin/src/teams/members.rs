//! Who is in a team, and as what (management-api 17).
//!
//! Whoever is put into a team gets what its role grants there, so nobody can give more than they have.
//! Budgets of the team are told. Start at [`add`].

use http::Method;
use lw_core::{Code, Error};
use lw_engine::access::Action;
use lw_store::StoreError;
use lw_store::config::{Bound, Known, Member, Write};
use lw_store::rows::{BoundRole, Scope, TeamMember};
use serde_json::{Value, json};

use super::{reach, team};
use crate::bindings::{PLAIN_ROLES, may_give, role_of};
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, never_null, required};
use crate::organization::{member, member_not_found};
use crate::permission::{TeamManage, TeamView};
use crate::routes::Route;
use crate::schemas::{Named, input, list, named, object, one_of, or_null, success, text, text_of};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/teams/{id}/members";
    vec![
        Route::anywhere::<TeamView>(Family, Method::GET, base, list_all)
            .named("listTeamMembers", "List the people in a team")
            .answers(200, object(&[("data", list(named("TeamMember")))], &[]))
            .refuses(&[Code::TeamNotFound]),
        Route::anywhere::<TeamManage>(Family, Method::POST, base, add)
            .named(
                "addTeamMember",
                "Put a person into a team, or change their role there",
            )
            .body(named("NewTeamMember"))
            .answers(201, named("TeamMember"))
            .refuses(&[
                Code::TeamNotFound,
                Code::MemberNotFound,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
        Route::anywhere::<TeamManage>(Family, Method::DELETE, format!("{base}/{{userId}}"), remove)
            .named("removeTeamMember", "Take a person out of a team")
            .answers(200, success())
            .refuses(&[
                Code::TeamNotFound,
                Code::MemberNotFound,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
    ]
}

pub(super) fn schemas() -> Vec<Named> {
    vec![
        (
            "TeamMember",
            object(
                &[
                    ("userId", text()),
                    ("name", text()),
                    ("email", or_null(text())),
                    ("role", named("BoundRole")),
                ],
                &[],
            ),
        ),
        (
            "NewTeamMember",
            input(
                &[("userId", text_of(1, 128))],
                &[("role", one_of(&PLAIN_ROLES))],
            ),
        ),
    ]
}

/// `GET /teams/:id/members`.
fn list_all(call: &Call<TeamView>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let row = reach(admin, caller, call.id(), team(Action::View))?;
    let organization = &caller.organization.id;
    let places = admin.store.team_members(organization, &row.id);
    let mut rows = Vec::new();
    for place in places.map_err(stored)? {
        let found = admin.store.member(organization, &place.user_id);
        rows.extend(found.map_err(stored)?.map(|member| shown(&place, &member)));
    }
    Ok(Answer::ok(json!({ "data": rows })))
}

/// `POST /teams/:id/members`.
fn add(call: &Call<TeamManage>) -> Result<Answer, Error> {
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(&body, "");
    let user = fields.trimmed("userId", 1..=128, &mut problems);
    let user = required(user, &fields, "userId", &mut problems).unwrap_or_default();
    let role = fields.choice(&["role"], &PLAIN_ROLES, &mut problems);
    let role = never_null(role, "role".into(), &mut problems);
    problems.finish()?;
    let role = role.map_or(BoundRole::Member, role_of);
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let row = reach(admin, caller, call.id(), team(Action::Manage))?;
            let bound = Bound {
                role,
                permissions: None,
                scope: Scope::Team(row.id.clone()),
            };
            may_give(admin, caller, &bound)?;
            let organization = &caller.organization.id;
            let person = member(admin, caller, &user)?;
            let place = TeamMember {
                team_id: row.id.clone(),
                user_id: person.user.id.clone(),
                role,
                custom_role_id: None,
            };
            let earlier = admin.store.teams_of(organization, &person.user.id);
            let earlier = earlier
                .map_err(stored)?
                .into_iter()
                .find(|place| place.team_id == row.id);
            let answer = Answer::created(shown(&place, &person));
            if earlier.as_ref() == Some(&place) {
                return Ok(Tried::Done(answer));
            }
            let now = admin.clock.now();
            let change = Act {
                action: "management.team.member.add",
                target_id: row.id.as_str(),
                before: earlier.map(|place| shown(&place, &person)),
                after: Some(shown(&place, &person)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let writes = [
                Write::StillIs(Known::Team(&row)),
                Write::StillIs(Known::Member {
                    organization,
                    member: &person,
                }),
                Write::PutTeamMember {
                    organization,
                    row: &place,
                },
            ];
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// `DELETE /teams/:id/members/:userId`.
fn remove(call: &Call<TeamManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let row = reach(admin, caller, call.id(), team(Action::Manage))?;
    let organization = &caller.organization.id;
    let person = member(admin, caller, call.param("userId"))?;
    let places = admin.store.teams_of(organization, &person.user.id);
    let place = places
        .map_err(stored)?
        .into_iter()
        .find(|place| place.team_id == row.id)
        .ok_or_else(member_not_found)?;
    let now = admin.clock.now();
    let change = Act {
        action: "management.team.member.remove",
        target_id: row.id.as_str(),
        before: Some(shown(&place, &person)),
        ..Act::default()
    }
    .by(admin, caller, now);
    let write = Write::RemoveTeamMember {
        organization,
        team: &row.id,
        user: &person.user.id,
    };
    commit(admin, &[write], &change).map_err(|error| match error {
        StoreError::Missing => member_not_found(),
        error => stored(error),
    })?;
    Ok(Answer::ok(json!({ "success": true })))
}

fn shown(place: &TeamMember, person: &Member) -> Value {
    let TeamMember {
        team_id: _,
        user_id,
        role,
        custom_role_id: _,
    } = place;
    json!({
        "userId": user_id,
        "name": person.user.name,
        "email": person.user.email,
        "role": role,
    })
}
