//! Groups of people who share roles and budgets (management-api 18, domain 3.5, C-14).
//!
//! Served only where the installation has them. Whoever is put into a group gets all that the group is
//! bound to, and whoever binds a group gives it to everybody in it: neither may exceed the caller. Start
//! at [`create`]; who is in a group is in [`members`], what it is bound to in [`bindings`].

mod bindings;
mod members;

use std::collections::HashMap;

use http::Method;
use lw_core::{Code, Error, GroupId, UnixMicros};
use lw_store::StoreError;
use lw_store::config::{Known, Member, Write};
use lw_store::rows::{BudgetTarget, Group, Principal, RoleBinding};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::bindings::{Custom, Resolved, Wish, all_of, may_give, shown as binding_shown};
use crate::caller::Caller;
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, never_null, required};
use crate::organization::member;
use crate::page::Numbered;
use crate::permission::OrganizationManage;
use crate::routes::Route;
use crate::schemas::{
    Named, if_match, input, list_of, named, numbered, numbered_params, object, or_null, success,
    text, text_of, time, whole,
};
use crate::serve::{Answer, Call};
use crate::slug;
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The most people that a create takes.
const MOST_MEMBERS: usize = 500;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/groups";
    let one = || format!("{base}/{{id}}");
    let changes = [Code::Forbidden, Code::GroupNotFound, Code::RevisionConflict];
    let mut rows = vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list)
            .named("listGroups", "List groups, oldest first")
            .query(numbered_params())
            .answers(200, numbered("Group"))
            .refuses(&[Code::Forbidden]),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named("createGroup", "Create a group")
            .body(named("NewGroup"))
            .answers(201, named("Group"))
            .refuses(&[
                Code::Forbidden,
                Code::PermissionDenied,
                Code::ScopeOrgMismatch,
                Code::RoleNotFound,
                Code::MemberNotFound,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationManage>(Family, Method::GET, one(), get)
            .named("getGroup", "Read a group")
            .answers(200, named("Group"))
            .refuses(&[Code::Forbidden, Code::GroupNotFound]),
        Route::new::<OrganizationManage>(Family, Method::PATCH, one(), update)
            .named("updateGroup", "Give a group another name")
            .headers(vec![if_match()])
            .body(named("GroupPatch"))
            .answers(200, named("Group"))
            .refuses(&changes),
        Route::new::<OrganizationManage>(Family, Method::DELETE, one(), delete)
            .named(
                "deleteGroup",
                "Delete a group; its members lose what it granted",
            )
            .headers(vec![if_match()])
            .answers(200, success())
            .refuses(&changes),
    ];
    rows.extend(members::routes());
    rows.extend(bindings::routes());
    rows
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let mut all = vec![
        (
            "Group",
            object(
                &[
                    ("id", text()),
                    ("name", text()),
                    ("slug", text()),
                    ("externalId", or_null(text())),
                    ("scimSource", or_null(text())),
                    ("memberCount", whole()),
                    ("bindings", named("Bindings")),
                    ("createdAt", time()),
                ],
                &[],
            ),
        ),
        (
            "NewGroup",
            input(
                &[("name", text_of(1, 100))],
                &[
                    ("bindings", list_of(named("NewBinding"), 20)),
                    ("memberIds", list_of(text_of(1, 128), 500)),
                ],
            ),
        ),
        ("GroupPatch", input(&[], &[("name", text_of(1, 100))])),
    ];
    all.extend(members::schemas());
    all
}

/// Insists that the installation has groups.
fn enabled(admin: &Admin) -> Result<(), Error> {
    if admin.settings.enterprise_features {
        return Ok(());
    }
    let message = "Groups are an enterprise feature, and this installation does not have them.";
    Err(Error::new(Code::Forbidden, message)
        .tip("Whoever runs the installation sets LW_ENTERPRISE_FEATURES=true."))
}

/// `GET /groups`.
fn list(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let admin = call.admin();
    enabled(admin)?;
    let page = Numbered::of(call)?;
    let organization = &call.permit.organization.id;
    let mut of_group: HashMap<GroupId, Vec<RoleBinding>> = HashMap::new();
    for row in all_of(admin, organization, None)? {
        if let Principal::Group(id) = &row.principal {
            of_group.entry(id.clone()).or_default().push(row);
        }
    }
    let groups = admin.store.groups(organization).map_err(stored)?;
    let rows = groups.iter().map(|(group, people)| {
        let bindings = of_group.remove(&group.id).unwrap_or_default();
        shown(group, *people, &bindings)
    });
    Ok(Answer::ok(page.of_all(rows.collect())))
}

/// `GET /groups/:id`.
fn get(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let row = existing(admin, caller, call.id())?;
    Ok(stamp::answer(whole_of(admin, &row)?, row.updated_at))
}

/// `POST /groups`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    enabled(call.admin())?;
    let new = NewGroup::read(&call.object()?)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let (bindings, people) = new.resolve(admin, caller)?;
            let organization = &caller.organization.id;
            let now = admin.clock.now();
            let others = admin.store.groups(organization).map_err(stored)?;
            let taken = others.iter().map(|(group, _)| group.slug.as_str());
            let group = Group {
                id: GroupId::mint(now, admin.entropy.as_ref()),
                organization_id: organization.clone(),
                name: new.name.clone(),
                slug: slug::free(&new.name, "group", taken),
                external_id: None,
                scim_source: None,
                created_at: now,
                updated_at: now,
            };
            let principal = Principal::Group(group.id.clone());
            let bindings: Vec<RoleBinding> = bindings
                .iter()
                .map(|each| each.to(admin, organization, principal.clone(), now))
                .collect();
            let mut writes = vec![Write::InsertGroup(&group)];
            writes.extend(bindings.iter().map(Write::InsertBinding));
            for person in &people {
                writes.push(Write::StillIs(Known::Member {
                    organization,
                    member: person,
                }));
                writes.push(Write::AddGroupMember {
                    organization,
                    group: &group.id,
                    user: &person.user.id,
                });
            }
            let count = u64::try_from(people.len()).unwrap_or(u64::MAX);
            let after = shown(&group, count, &bindings);
            let ids: Vec<_> = people.iter().map(|person| &person.user.id).collect();
            let change = Act {
                action: "management.group.create",
                target_id: group.id.as_str(),
                after: Some(after.clone()),
                args: Some(json!({ "memberIds": ids })),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::created(after).at_revision(group.updated_at.millis());
            match commit(admin, &writes, &change) {
                Err(StoreError::Conflict { field: "slug" }) => Ok(Tried::Stale),
                other => landed(other, answer, stored),
            }
        },
        stamp::conflict,
    )
}

/// The body of a create.
#[derive(Debug)]
struct NewGroup {
    name: String,
    bindings: Vec<Wish>,
    members: Vec<String>,
}

impl NewGroup {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let name = fields.trimmed("name", 1..=100, &mut problems);
        let name = required(name, &fields, "name", &mut problems).unwrap_or_default();
        let bindings = Wish::read_list(&fields, Custom::Named, &mut problems).value();
        let members = fields.texts(&["memberIds"], 1..=128, &mut problems).value();
        let mut members = members.unwrap_or_default();
        if members.len() > MOST_MEMBERS {
            let text = format!("must hold at most {MOST_MEMBERS} people");
            problems.add("memberIds", "too_big", text);
        }
        problems.finish()?;
        members.sort();
        members.dedup();
        Ok(Self {
            name,
            bindings: bindings.unwrap_or_default(),
            members,
        })
    }

    fn resolve(
        &self,
        admin: &Admin,
        caller: &Caller,
    ) -> Result<(Vec<Resolved>, Vec<Member>), Error> {
        let mut bindings = Vec::new();
        for wish in &self.bindings {
            let resolved = wish.resolve(admin, &caller.organization.id)?;
            may_give(admin, caller, &resolved.bound())?;
            bindings.push(resolved);
        }
        let people = self.members.iter().map(|id| member(admin, caller, id));
        Ok((bindings, people.collect::<Result<_, _>>()?))
    }
}

/// `PATCH /groups/:id`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    enabled(call.admin())?;
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(&body, "");
    let name = fields.trimmed("name", 1..=100, &mut problems);
    let name = never_null(name, "name".into(), &mut problems);
    problems.finish()?;
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = existing(admin, caller, call.id())?;
            let old = whole_of(admin, &before)?;
            stamp::insist(seen, before.updated_at, &old)?;
            let Some(name) = name.as_ref().filter(|name| **name != before.name) else {
                return Ok(Tried::Done(stamp::answer(old, before.updated_at)));
            };
            let now = admin.clock.now();
            let after = Group {
                name: name.clone(),
                updated_at: stamp::next(now, before.updated_at),
                ..before.clone()
            };
            let writes = [
                Write::StillIs(Known::Group(&before)),
                Write::UpdateGroup(&after),
            ];
            let new = whole_of(admin, &after)?;
            let change = Act {
                action: "management.group.update",
                target_id: after.id.as_str(),
                before: Some(old),
                after: Some(new.clone()),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = stamp::answer(new, after.updated_at);
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// `DELETE /groups/:id`.
fn delete(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = existing(admin, caller, call.id())?;
            let old = whole_of(admin, &before)?;
            stamp::insist(seen, before.updated_at, &old)?;
            let now = admin.clock.now();
            let organization = &before.organization_id;
            let target = BudgetTarget::Group(before.id.clone());
            let writes = [
                Write::StillIs(Known::Group(&before)),
                Write::ArchiveBudgetsOf {
                    organization,
                    target: &target,
                    now,
                },
                Write::DeleteGroup {
                    organization,
                    id: &before.id,
                },
            ];
            let change = Act {
                action: "management.group.delete",
                target_id: before.id.as_str(),
                before: Some(old),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::ok(json!({ "success": true }));
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// A group of the caller's organization, where the installation has groups.
///
/// # Errors
/// `forbidden`, `group_not_found`, or the store failed.
fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<Group, Error> {
    enabled(admin)?;
    by_id(admin, caller, id)
}

/// A group of the caller's organization.
///
/// # Errors
/// `group_not_found`, or the store failed.
pub(crate) fn by_id(admin: &Admin, caller: &Caller, id: &str) -> Result<Group, Error> {
    let id = GroupId::parse(id).map_err(|_not_an_id| not_found())?;
    let found = admin.store.group(&caller.organization.id, &id);
    found.map_err(stored)?.ok_or_else(not_found)
}

fn not_found() -> Error {
    Error::new(Code::GroupNotFound, "Group not found.").tip("List them: `langwatch groups list`.")
}

/// A group with its people counted and its bindings.
fn whole_of(admin: &Admin, row: &Group) -> Result<Value, Error> {
    let organization = &row.organization_id;
    let people = admin.store.group_members(organization, &row.id);
    let count = u64::try_from(people.map_err(stored)?.len()).unwrap_or(u64::MAX);
    let bindings = all_of(admin, organization, Some(Principal::Group(row.id.clone())))?;
    Ok(shown(row, count, &bindings))
}

fn shown(row: &Group, people: u64, bindings: &[RoleBinding]) -> Value {
    let Group {
        id,
        organization_id: _,
        name,
        slug,
        external_id,
        scim_source,
        created_at,
        updated_at: _,
    } = row;
    let bindings: Vec<Value> = bindings.iter().map(binding_shown).collect();
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "externalId": external_id,
        "scimSource": scim_source,
        "memberCount": people,
        "bindings": bindings,
        "createdAt": UnixMicros::to_rfc3339(*created_at),
    })
}
