//! Who is bound to what (management-api 20, domain 4.2).
//!
//! Bindings of people and groups may name a custom role; those of API keys may not, for what a restricted
//! key lists is changed at the key itself. Nothing is granted that the caller does not have. Start at
//! [`create`].

use http::Method;
use lw_core::{ApiKeyId, Code, Error, GroupId, RoleBindingId, UserId};
use lw_store::StoreError;
use lw_store::config::{Bound, Known, ScopeKind, Write};
use lw_store::rows::{ApiKey, BoundRole, CustomRole, Principal, RoleBinding};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::api_keys;
use crate::bindings::{Custom, Wish, all_of, custom_role_of, may_give, read_role, shown as plain};
use crate::caller::Caller;
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::groups;
use crate::input::{BODY, Fields, Problems, QUERY, refuse};
use crate::organization::member;
use crate::page::Offset;
use crate::permission::OrganizationManage;
use crate::routes::{Param, Route};
use crate::schemas::{
    Named, input, named, object, offset_page, offset_params, or_null, success, text, text_of, time,
};
use crate::scope;
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The fields that name a principal.
const PRINCIPALS: [&str; 3] = ["userId", "groupId", "apiKeyId"];

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/role-bindings";
    let one = || format!("{base}/{{id}}");
    let grants = [
        Code::PermissionDenied,
        Code::ApiKeyScopeViolation,
        Code::ApiKeyNotFound,
        Code::ApiKeyAlreadyRevoked,
        Code::RoleNotFound,
        Code::RevisionConflict,
    ];
    vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list)
            .named("listRoleBindings", "List role bindings, oldest first")
            .query(filters())
            .query(offset_params())
            .answers(200, offset_page("bindings", "RoleBinding")),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named(
                "createRoleBinding",
                "Bind a person, a group or an API key to a role",
            )
            .body(named("NewRoleBinding"))
            .answers(201, named("RoleBinding"))
            .refuses(&grants)
            .refuses(&[
                Code::ScopeOrgMismatch,
                Code::MemberNotFound,
                Code::GroupNotFound,
            ]),
        Route::new::<OrganizationManage>(Family, Method::PATCH, one(), update)
            .named("updateRoleBinding", "Change what a binding grants")
            .body(named("RoleBindingPatch"))
            .answers(200, named("RoleBinding"))
            .refuses(&grants)
            .refuses(&[Code::RoleBindingNotFound]),
        Route::new::<OrganizationManage>(Family, Method::DELETE, one(), delete)
            .named("deleteRoleBinding", "Take a binding away")
            .answers(200, success())
            .refuses(&[
                Code::RoleBindingNotFound,
                Code::ApiKeyNotFound,
                Code::ApiKeyAlreadyRevoked,
            ]),
    ]
}

fn filters() -> Vec<Param> {
    let id = |name, about| Param {
        name,
        about,
        schema: text_of(1, 256),
    };
    vec![
        id("userId", "Only of this person."),
        id("groupId", "Only of this group."),
        id("apiKeyId", "Only of this API key."),
        Param {
            name: "scopeType",
            about: "Only at this kind of scope.",
            schema: named("ScopeType"),
        },
        id("scopeId", "Only at exactly this scope, by id or slug."),
    ]
}

pub(super) fn schemas() -> Vec<Named> {
    let id = || or_null(text_of(1, 128));
    vec![
        (
            "RoleBinding",
            object(
                &[
                    ("id", text()),
                    ("organizationId", text()),
                    ("userId", or_null(text())),
                    ("groupId", or_null(text())),
                    ("apiKeyId", or_null(text())),
                    ("role", named("BoundRole")),
                    ("customRoleId", or_null(text())),
                    ("scopeType", named("ScopeType")),
                    ("scopeId", text()),
                    ("createdAt", time()),
                ],
                &[],
            ),
        ),
        (
            "NewRoleBinding",
            input(
                &[
                    ("role", named("BoundRole")),
                    ("scopeType", named("ScopeType")),
                    ("scopeId", text_of(1, 256)),
                ],
                &[
                    ("userId", id()),
                    ("groupId", id()),
                    ("apiKeyId", id()),
                    ("customRoleId", id()),
                ],
            ),
        ),
        (
            "RoleBindingPatch",
            input(&[("role", named("BoundRole"))], &[("customRoleId", id())]),
        ),
    ]
}

/// `GET /role-bindings`: all filters hold at once.
fn list(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let page = Offset::of(call)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    let filter = Filter::read(call, admin, caller)?;
    let rows = all_of(admin, &caller.organization.id, None)?;
    let rows = rows.iter().filter(|row| filter.keeps(row)).map(shown);
    Ok(Answer::ok(page.of_all("bindings", rows.collect())))
}

/// Which bindings are asked for.
#[derive(Debug)]
struct Filter {
    principals: Vec<Option<Principal>>,
    kind: Option<&'static str>,
    /// The ids that a given id or slug may stand for.
    scopes: Option<Vec<String>>,
}

impl Filter {
    fn read(
        call: &Call<OrganizationManage>,
        admin: &Admin,
        caller: &Caller,
    ) -> Result<Self, Error> {
        let given = |name: &str| call.query(name).map(str::trim).filter(|id| !id.is_empty());
        let kind = match given("scopeType") {
            None => None,
            Some("ORGANIZATION") => Some("organization"),
            Some("TEAM") => Some("team"),
            Some("PROJECT") => Some("project"),
            Some(_) => {
                let text = "must be one of ORGANIZATION, TEAM, PROJECT";
                return Err(refuse(QUERY, "scopeType", "invalid_value", text));
            }
        };
        let scopes = match given("scopeId") {
            None => None,
            Some(id) => {
                // What was archived still has bindings: its id is asked for as it is.
                let mut ids = vec![id.to_owned()];
                for kind in [ScopeKind::Organization, ScopeKind::Team, ScopeKind::Project] {
                    let found = admin
                        .store
                        .resolve_scope(&caller.organization.id, kind, id)
                        .map_err(stored)?;
                    ids.extend(found.map(|scope| scope::words(&scope).1.to_owned()));
                }
                Some(ids)
            }
        };
        let mut principals = Vec::new();
        principals.extend(given("userId").map(|id| UserId::parse(id).ok().map(Principal::User)));
        principals.extend(given("groupId").map(|id| GroupId::parse(id).ok().map(Principal::Group)));
        principals
            .extend(given("apiKeyId").map(|id| ApiKeyId::parse(id).ok().map(Principal::ApiKey)));
        Ok(Self {
            principals,
            kind,
            scopes,
        })
    }

    fn keeps(&self, row: &RoleBinding) -> bool {
        let (kind, id) = scope::words(&row.scope);
        self.principals
            .iter()
            .all(|wanted| wanted.as_ref() == Some(&row.principal))
            && self.kind.is_none_or(|wanted| wanted == kind)
            && self
                .scopes
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|wanted| wanted == id))
    }
}

/// `POST /role-bindings`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (who, wish) = read(&call.object()?)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let organization = &caller.organization.id;
            let holder = who.holder(admin, caller)?;
            let resolved = wish.resolve(admin, organization)?;
            holder.may_get(admin, caller, &resolved.bound())?;
            let principal = holder.principal();
            let now = admin.clock.now();
            let row = resolved.to(admin, organization, principal.clone(), now);
            let same = |old: &RoleBinding| {
                (old.role, &old.custom_role_id, &old.scope)
                    == (row.role, &row.custom_role_id, &row.scope)
            };
            let held = all_of(admin, organization, Some(principal))?;
            if let Some(old) = held.iter().find(|old| same(old)) {
                return Ok(Tried::Done(Answer::created(shown(old))));
            }
            let mut writes = holder.conditions(organization);
            writes.extend(still(resolved.custom_role.as_ref()));
            writes.push(Write::InsertBinding(&row));
            let change = Act {
                action: "management.roleBinding.create",
                target_id: row.id.as_str(),
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

/// `PATCH /role-bindings/:id`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let body = call.object()?;
    let mut problems = Problems::of(BODY);
    let wanted = read_role(&Fields::new(&body, ""), Custom::Named, &mut problems);
    problems.finish()?;
    let (role, named) = wanted.ok_or_else(|| refuse(BODY, "role", "required", "is required"))?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let before = existing(admin, caller, call.id())?;
            let organization = &before.organization_id;
            let holder = holder_of(admin, caller, &before)?;
            if role == BoundRole::Custom && holder.is_key() {
                return Err(no_custom_role());
            }
            let custom_role = match &named {
                Some(id) => Some(custom_role_of(admin, organization, id)?),
                None => None,
            };
            let bound = Bound {
                role,
                permissions: custom_role.as_ref().map(|role| role.permissions.clone()),
                scope: before.scope.clone(),
            };
            holder.may_get(admin, caller, &bound)?;
            let after = RoleBinding {
                role,
                custom_role_id: custom_role.as_ref().map(|role| role.id.clone()),
                ..before.clone()
            };
            if after == before {
                return Ok(Tried::Done(Answer::ok(shown(&before))));
            }
            let mut writes = holder.conditions(organization);
            writes.extend(still(custom_role.as_ref()));
            writes.push(Write::StillIs(Known::Binding(&before)));
            writes.push(Write::UpdateBinding(&after));
            let change = Act {
                action: "management.roleBinding.update",
                target_id: after.id.as_str(),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
                ..Act::default()
            }
            .by(admin, caller, admin.clock.now());
            let answer = Answer::ok(shown(&after));
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// `DELETE /role-bindings/:id`.
fn delete(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let (admin, caller) = (call.admin(), &*call.permit);
    let row = existing(admin, caller, call.id())?;
    if let Principal::ApiKey(_) = &row.principal {
        holder_of(admin, caller, &row)?;
    }
    let change = Act {
        action: "management.roleBinding.delete",
        target_id: row.id.as_str(),
        before: Some(shown(&row)),
        ..Act::default()
    }
    .by(admin, caller, admin.clock.now());
    let write = Write::DeleteBinding {
        organization: &row.organization_id,
        id: &row.id,
    };
    commit(admin, &[write], &change).map_err(|error| match error {
        StoreError::Missing => not_found(),
        error => stored(error),
    })?;
    Ok(Answer::ok(json!({ "success": true })))
}

/// Whom a body names.
#[derive(Debug)]
enum Who {
    User(String),
    Group(String),
    ApiKey(String),
}

fn read(body: &Map<String, Value>) -> Result<(Who, Wish), Error> {
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(body, "");
    let wish = Wish::read(&fields, Custom::Named, &mut problems);
    let [user, group, key] =
        PRINCIPALS.map(|name| fields.trimmed(name, 1..=128, &mut problems).value());
    let mut named: Vec<Who> = user.into_iter().map(Who::User).collect();
    named.extend(group.map(Who::Group));
    named.extend(key.map(Who::ApiKey));
    let many = named.len();
    let who = named.pop().filter(|_| many == 1);
    if who.is_none() {
        let text = "exactly one of userId, groupId and apiKeyId is required";
        problems.add("userId", "required", text);
    }
    problems.finish()?;
    let (Some(who), Some(wish)) = (who, wish) else {
        return Err(refuse(BODY, "role", "required", "is required"));
    };
    match (&who, wish.role) {
        (Who::ApiKey(_), BoundRole::Custom) => Err(no_custom_role()),
        _ => Ok((who, wish)),
    }
}

fn no_custom_role() -> Error {
    let text = "must not be CUSTOM: an API key lists its permissions itself";
    refuse(BODY, "role", "invalid_value", text)
        .tip("Change the key: `langwatch api-keys update <key> --binding … --permission …`.")
}

/// Who holds, or is about to hold, a binding.
#[derive(Debug)]
enum Holder {
    User(lw_store::config::Member),
    Group(lw_store::rows::Group),
    ApiKey(ApiKey),
}

impl Who {
    fn holder(&self, admin: &Admin, caller: &Caller) -> Result<Holder, Error> {
        match self {
            Self::User(id) => member(admin, caller, id).map(Holder::User),
            Self::Group(id) => groups::by_id(admin, caller, id).map(Holder::Group),
            Self::ApiKey(id) => api_keys::editable(admin, caller, id).map(Holder::ApiKey),
        }
    }
}

/// The holder of a binding that is about to change. The private bindings of API keys change at the key.
fn holder_of(admin: &Admin, caller: &Caller, row: &RoleBinding) -> Result<Holder, Error> {
    let who = match &row.principal {
        Principal::User(id) => Who::User(id.to_string()),
        Principal::Group(id) => Who::Group(id.to_string()),
        Principal::ApiKey(id) => Who::ApiKey(id.to_string()),
    };
    let holder = who.holder(admin, caller)?;
    if holder.is_key() && row.role == BoundRole::Custom {
        let message = "What a restricted API key may do is changed at the key itself.";
        return Err(Error::new(Code::BadRequest, message)
            .tip("`langwatch api-keys update <key> --binding … --permission …`"));
    }
    Ok(holder)
}

impl Holder {
    fn principal(&self) -> Principal {
        match self {
            Self::User(member) => Principal::User(member.user.id.clone()),
            Self::Group(group) => Principal::Group(group.id.clone()),
            Self::ApiKey(key) => Principal::ApiKey(key.id.clone()),
        }
    }

    const fn is_key(&self) -> bool {
        matches!(self, Self::ApiKey(_))
    }

    /// Insists that neither the caller nor the owner of a personal key is exceeded.
    fn may_get(&self, admin: &Admin, caller: &Caller, bound: &Bound) -> Result<(), Error> {
        match self {
            Self::User(_) | Self::Group(_) => may_give(admin, caller, bound),
            Self::ApiKey(key) => api_keys::within(admin, caller, key, bound),
        }
    }

    /// What must still be true when it is written.
    fn conditions<'a>(&'a self, organization: &'a lw_core::OrganizationId) -> Vec<Write<'a>> {
        vec![Write::StillIs(match self {
            Self::User(member) => Known::Member {
                organization,
                member,
            },
            Self::Group(group) => Known::Group(group),
            Self::ApiKey(key) => Known::ApiKey(key),
        })]
    }
}

fn still(role: Option<&CustomRole>) -> Option<Write<'_>> {
    role.map(|role| Write::StillIs(Known::Role(role)))
}

fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<RoleBinding, Error> {
    let id = RoleBindingId::parse(id).map_err(|_not_an_id| not_found())?;
    let found = admin.store.binding(&caller.organization.id, &id);
    found.map_err(stored)?.ok_or_else(not_found)
}

fn not_found() -> Error {
    Error::new(Code::RoleBindingNotFound, "Role binding not found.")
        .tip("List them: `langwatch role-bindings list`.")
}

fn shown(row: &RoleBinding) -> Value {
    let mut value = plain(row);
    let (user, group, key) = match &row.principal {
        Principal::User(id) => (Some(id), None, None),
        Principal::Group(id) => (None, Some(id), None),
        Principal::ApiKey(id) => (None, None, Some(id)),
    };
    let more = json!({
        "organizationId": row.organization_id,
        "userId": user,
        "groupId": group,
        "apiKeyId": key,
        "createdAt": row.created_at.to_rfc3339(),
    });
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
    value
}
