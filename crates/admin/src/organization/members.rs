//! The people of the organization (management-api 19, domain 3.4).
//!
//! Whoever leaves or is disabled loses their personal keys of both kinds in the same transaction, and the
//! budgets of the teams and groups that they leave are told. Nobody is made more than the caller is. Must
//! never leave the organization without an administrator. Start at [`update`] and [`remove`].

use http::Method;
use lw_core::{Code, Error, OrganizationId, UnixMicros, UserId};
use lw_engine::access::{Action, Permission, Resource};
use lw_store::StoreError;
use lw_store::config::{Bound, Known, Member, Write};
use lw_store::rows::{BoundRole, MemberRole, Principal, RoleBinding, Scope, TeamMember};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::bindings::{all_of, may_give};
use crate::caller::Caller;
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, QUERY, never_null, refuse};
use crate::page::Offset;
use crate::permission::{OrganizationManage, OrganizationView};
use crate::routes::{Param, Route};
use crate::schemas::{
    Named, boolean, input, list, named, object, offset_page, offset_params, one_of, or_null,
    success, text, time,
};
use crate::scope;
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The words of [`MemberRole`].
pub(super) const ROLES: [&str; 3] = ["ADMIN", "MEMBER", "EXTERNAL"];

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/organization/members";
    let one = || format!("{base}/{{userId}}");
    let missing = [Code::MemberNotFound];
    vec![
        Route::new::<OrganizationView>(Family, Method::GET, base, list_all)
            .named("listMembers", "List the people of the organization")
            .query(vec![Param {
                name: "includeDisabled",
                about: "Also those who are disabled.",
                schema: boolean(),
            }])
            .query(offset_params())
            .answers(200, offset_page("members", "Member")),
        Route::new::<OrganizationView>(Family, Method::GET, one(), get)
            .named("getMember", "Read one person")
            .answers(200, named("Member"))
            .refuses(&missing),
        Route::new::<OrganizationManage>(Family, Method::PATCH, one(), update)
            .named(
                "updateMember",
                "Change what a person is, disable or enable them",
            )
            .body(named("MemberPatch"))
            .answers(200, named("Member"))
            .refuses(&[
                Code::MemberNotFound,
                Code::LastAdmin,
                Code::PermissionDenied,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationManage>(Family, Method::DELETE, one(), remove)
            .named("removeMember", "Take a person out of the organization")
            .answers(200, success())
            .refuses(&[
                Code::PermissionDenied,
                Code::MemberNotFound,
                Code::LastAdmin,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationView>(Family, Method::GET, format!("{}/access", one()), access)
            .named("getMemberAccess", "What a person may do, and where")
            .answers(200, named("MemberAccess"))
            .refuses(&[Code::MemberNotFound, Code::PermissionDenied]),
    ]
}

pub(super) fn schemas() -> Vec<Named> {
    let role = || one_of(&ROLES);
    vec![
        (
            "Member",
            object(
                &[
                    ("userId", text()),
                    ("name", text()),
                    ("email", or_null(text())),
                    ("role", role()),
                    ("disabledAt", or_null(time())),
                    ("createdAt", time()),
                ],
                &[],
            ),
        ),
        (
            "MemberPatch",
            input(&[], &[("role", role()), ("disabled", boolean())]),
        ),
        (
            "MemberAccess",
            object(
                &[
                    ("userId", text()),
                    ("role", role()),
                    ("disabledAt", or_null(time())),
                    ("bindings", list(named("MemberBinding"))),
                ],
                &[],
            ),
        ),
        (
            "MemberBinding",
            object(
                &[
                    ("source", one_of(&["DIRECT", "GROUP", "TEAM"])),
                    ("id", or_null(text())),
                    ("groupId", or_null(text())),
                    ("role", named("BoundRole")),
                    ("customRoleId", or_null(text())),
                    ("scopeType", named("ScopeType")),
                    ("scopeId", text()),
                ],
                &[],
            ),
        ),
    ]
}

/// `GET /members`: oldest first.
fn list_all(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    let page = Offset::of(call)?;
    let disabled_too = match call.query("includeDisabled") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => {
            let text = "must be true or false";
            return Err(refuse(QUERY, "includeDisabled", "invalid_type", text));
        }
    };
    let members = call.admin().store.members(&call.permit.organization.id);
    let rows = members
        .map_err(stored)?
        .iter()
        .filter(|member| disabled_too || member.disabled_at.is_none())
        .map(shown)
        .collect();
    Ok(Answer::ok(page.of_all("members", rows)))
}

/// `GET /members/:userId`.
fn get(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    let member = existing(call.admin(), &call.permit, call.param("userId"))?;
    Ok(Answer::ok(shown(&member)))
}

/// `PATCH /members/:userId`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let patch = Patch::read(&call.object()?)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = existing(admin, caller, call.param("userId"))?;
            let now = admin.clock.now();
            let after = patch.over(&before, now);
            if after == before {
                return Ok(Tried::Done(Answer::ok(shown(&before))));
            }
            gains(admin, caller, &before, &after)?;
            let organization = &caller.organization.id;
            let actor = caller.actor();
            let mut writes = vec![
                Write::StillIs(Known::Member {
                    organization,
                    member: &before,
                }),
                Write::PutMember {
                    organization,
                    user: &after.user.id,
                    role: after.role,
                    disabled_at: after.disabled_at,
                    now,
                },
            ];
            if before.disabled_at.is_none() && after.disabled_at.is_some() {
                writes.extend(ended(organization, &after.user.id, &actor, now));
            }
            if runs(&before) && !runs(&after) {
                writes.push(Write::RequireAdministrator { organization });
            }
            let change = Act {
                action: "organization.member.updated",
                target_id: after.user.id.as_str(),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::ok(shown(&after));
            landed(commit(admin, &writes, &change), answer, refused)
        },
        stamp::conflict,
    )
}

/// `DELETE /members/:userId`.
fn remove(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let member = existing(admin, caller, call.param("userId"))?;
            takes(admin, caller, &member, None)?;
            let organization = &caller.organization.id;
            let (user, now, actor) = (&member.user.id, admin.clock.now(), caller.actor());
            let mut writes = vec![Write::StillIs(Known::Member {
                organization,
                member: &member,
            })];
            writes.extend(ended(organization, user, &actor, now));
            writes.push(Write::RemoveMember { organization, user });
            if runs(&member) {
                writes.push(Write::RequireAdministrator { organization });
            }
            let change = Act {
                action: "organization.member.removed",
                target_id: user.as_str(),
                before: Some(shown(&member)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::ok(json!({ "success": true }));
            landed(commit(admin, &writes, &change), answer, refused)
        },
        stamp::conflict,
    )
}

/// `GET /members/:userId/access`: one's own, or anybody's for who may change it.
fn access(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    const MANAGE: Permission = Permission::new(Resource::Organization, Action::Manage);
    let (admin, caller) = (call.admin(), &*call.permit);
    let organization = &caller.organization.id;
    let member = existing(admin, caller, call.param("userId"))?;
    let user = &member.user.id;
    if caller.person() != Some(user) {
        let whole = Scope::Organization(organization.clone());
        caller.require(admin, MANAGE, &whole)?;
    }
    let store = &admin.store;
    let own = all_of(admin, organization, Some(Principal::User(user.clone())))?;
    let mut rows: Vec<Value> = own.iter().map(|row| bound("DIRECT", row)).collect();
    for group in store.groups_of(organization, user).map_err(stored)? {
        let of_group = all_of(admin, organization, Some(Principal::Group(group)))?;
        rows.extend(of_group.iter().map(|row| bound("GROUP", row)));
    }
    for place in store.teams_of(organization, user).map_err(stored)? {
        let TeamMember {
            team_id,
            user_id: _,
            role,
            custom_role_id,
        } = place;
        rows.push(json!({
            "source": "TEAM",
            "id": null,
            "groupId": null,
            "role": role,
            "customRoleId": custom_role_id,
            "scopeType": "TEAM",
            "scopeId": team_id,
        }));
    }
    Ok(Answer::ok(json!({
        "userId": user,
        "role": member.role,
        "disabledAt": member.disabled_at.map(UnixMicros::to_rfc3339),
        "bindings": rows,
    })))
}

fn bound(source: &str, binding: &RoleBinding) -> Value {
    let (kind, scope_id) = scope::words(&binding.scope);
    let group = match &binding.principal {
        Principal::Group(id) => Some(id),
        Principal::User(_) | Principal::ApiKey(_) => None,
    };
    json!({
        "source": source,
        "id": binding.id,
        "groupId": group,
        "role": binding.role,
        "customRoleId": binding.custom_role_id,
        "scopeType": kind.to_ascii_uppercase(),
        "scopeId": scope_id,
    })
}

/// What a body asks to change.
#[derive(Debug)]
struct Patch {
    role: Option<MemberRole>,
    disabled: Option<bool>,
}

impl Patch {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let role = fields.choice(&["role"], &ROLES, &mut problems);
        let role = never_null(role, "role".into(), &mut problems);
        let disabled = fields.boolean(&["disabled"], &mut problems);
        let disabled = never_null(disabled, "disabled".into(), &mut problems);
        problems.finish()?;
        Ok(Self {
            role: role.map(role_of),
            disabled,
        })
    }

    fn over(&self, before: &Member, now: UnixMicros) -> Member {
        let disabled_at = match self.disabled {
            None => before.disabled_at,
            Some(false) => None,
            Some(true) => before.disabled_at.or(Some(now)),
        };
        Member {
            role: self.role.unwrap_or(before.role),
            disabled_at,
            ..before.clone()
        }
    }
}

/// The role that a word stands for; the readers let no other word through.
pub(super) fn role_of(word: &str) -> MemberRole {
    match word {
        "ADMIN" => MemberRole::Admin,
        "EXTERNAL" => MemberRole::External,
        _ => MemberRole::Member,
    }
}

/// What the role of a member lets somebody do at the organization.
pub(super) fn implied(organization: &OrganizationId, role: MemberRole) -> Option<Bound> {
    let role = match role {
        MemberRole::Admin => BoundRole::Admin,
        MemberRole::Member => BoundRole::Member,
        MemberRole::External => return None,
    };
    Some(Bound {
        role,
        permissions: None,
        scope: Scope::Organization(organization.clone()),
    })
}

/// Insists that who ends the reign of an administrator has as much to lose: taking is asked as giving is.
fn takes(
    admin: &Admin,
    caller: &Caller,
    before: &Member,
    after: Option<&Member>,
) -> Result<(), Error> {
    let ends = runs(before) && !after.is_some_and(runs);
    match implied(&caller.organization.id, MemberRole::Admin) {
        Some(bound) if ends => may_give(admin, caller, &bound),
        Some(_) | None => Ok(()),
    }
}

/// Insists that the caller may do all that the person gains: the role, and whatever was dormant while the
/// person was disabled or a lite member.
fn gains(admin: &Admin, caller: &Caller, before: &Member, after: &Member) -> Result<(), Error> {
    takes(admin, caller, before, Some(after))?;
    if after.disabled_at.is_some() {
        return Ok(());
    }
    let organization = &caller.organization.id;
    let awakes = before.disabled_at.is_some() || before.role == MemberRole::External;
    let raised = before.role != after.role && before.role != MemberRole::Admin;
    if (awakes || raised)
        && let Some(bound) = implied(organization, after.role)
    {
        may_give(admin, caller, &bound)?;
    }
    if awakes {
        let access = admin
            .store
            .access_of_user(organization, &after.user.id)
            .map_err(stored)?;
        for bound in access.iter().flat_map(|access| &access.bound) {
            may_give(admin, caller, bound)?;
        }
    }
    Ok(())
}

fn runs(member: &Member) -> bool {
    member.role == MemberRole::Admin && member.disabled_at.is_none()
}

/// What ends with the membership of a person.
fn ended<'a>(
    organization: &'a OrganizationId,
    user: &'a UserId,
    by: &'a str,
    now: UnixMicros,
) -> [Write<'a>; 2] {
    [
        Write::RevokeKeysOf {
            organization,
            user,
            by,
            now,
        },
        Write::RevokeApiKeysOf {
            organization,
            user,
            now,
        },
    ]
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Conflict {
            field: "administrator",
        } => Error::new(
            Code::LastAdmin,
            "The organization would have no administrator left.",
        )
        .tip("Make somebody else an administrator first: `langwatch members update <user> --role admin`."),
        StoreError::Missing => not_found(),
        error => stored(error),
    }
}

/// A member of the caller's organization, disabled or not.
///
/// # Errors
/// `member_not_found`, or the store failed.
pub(crate) fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<Member, Error> {
    let id = UserId::parse(id).map_err(|_not_an_id| not_found())?;
    let found = admin.store.member(&caller.organization.id, &id);
    found.map_err(stored)?.ok_or_else(not_found)
}

/// The answer to a person who is no member of the caller's organization.
pub(crate) fn not_found() -> Error {
    Error::new(Code::MemberNotFound, "Member not found.")
        .tip("List them: `langwatch members list`.")
}

fn shown(member: &Member) -> Value {
    let Member {
        user,
        role,
        disabled_at,
        created_at,
    } = member;
    json!({
        "userId": user.id,
        "name": user.name,
        "email": user.email,
        "role": role,
        "disabledAt": disabled_at.map(UnixMicros::to_rfc3339),
        "createdAt": created_at.to_rfc3339(),
    })
}
