//! The rules of API keys: who sees which, who may mint, change and end them (management-api 15, domain 5.1).
//!
//! Two ceilings hold for every binding: what the caller may do, and for a personal key what its owner may
//! do. Service keys outlive people, so only who really runs the organization may make or change them. Must
//! never log or keep a token. Start at [`mint`].

use lw_core::{ApiKeyId, Code, Error, OrganizationId, UnixMicros, UserId};
use lw_engine::access::{Access, Action, Grant, Level, Permission, Place, Resource, Role};
use lw_store::StoreError;
use lw_store::config::{Bound, Known, Member, ScopeKind, Write};
use lw_store::rows::{ApiKey, BoundRole, PermissionMode, Principal, RoleBinding, Scope};
use serde_json::Value;

use super::body::{Kind, NewKey, Patch, Shape};
use super::mint::{Draft, Grants, Minted};
use super::view::{detail, row};
use crate::Admin;
use crate::bindings::{Wish, all_of, beyond, bound_of, resolve_one};
use crate::caller::{Caller, grant, owner_of};
use crate::edge::stored;
use crate::input::{BODY, Given, Problems, refuse};
use crate::scope::{self, Wanted};
use crate::stamp::{self, landed};
use crate::write::{Act, Tried, commit, until_fresh};

/// The keys that the caller may see: a person's own and those of the organization; a service key sees all.
pub(super) fn list(admin: &Admin, caller: &Caller) -> Result<Vec<Value>, Error> {
    const MANAGE: Permission = Permission::new(Resource::Organization, Action::Manage);
    let organization = &caller.organization.id;
    let person = caller.person();
    if person.is_none() {
        let whole = Scope::Organization(organization.clone());
        caller.require(admin, MANAGE, &whole)?;
    }
    let ended_too = person.is_none() || runs_organization(admin, caller)?;
    let bindings = all_of(admin, organization, None)?;
    let keys = admin.store.api_keys(organization).map_err(stored)?;
    let seen = keys.iter().filter(|key| {
        let whose = person.is_none() || key.user_id.is_none() || key.user_id.as_ref() == person;
        whose && (ended_too || key.revoked_at.is_none())
    });
    Ok(seen
        .map(|key| {
            let own: Vec<RoleBinding> = bindings
                .iter()
                .filter(|row| matches!(&row.principal, Principal::ApiKey(id) if *id == key.id))
                .cloned()
                .collect();
            row(key, &own)
        })
        .collect())
}

/// A key with all that it may do.
#[derive(Debug)]
struct Held {
    key: ApiKey,
    bindings: Vec<RoleBinding>,
    /// What its private role lists.
    permissions: Vec<String>,
}

impl Held {
    fn shown(&self) -> Value {
        detail(&self.key, &self.bindings, &self.permissions)
    }
}

fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<ApiKey, Error> {
    let id = ApiKeyId::parse(id).map_err(|_not_an_id| not_found())?;
    let found = admin.store.api_key(&caller.organization.id, &id);
    found.map_err(stored)?.ok_or_else(not_found)
}

/// Reads what a key may do. Its private role goes with its bindings, so a role that is gone says that they
/// were read before somebody else replaced both.
fn held(admin: &Admin, key: ApiKey) -> Result<Held, Error> {
    let organization = &key.organization_id;
    let (bindings, permissions) = until_fresh(
        || {
            let principal = Principal::ApiKey(key.id.clone());
            let bindings = all_of(admin, organization, Some(principal))?;
            let role = bindings.iter().find_map(|row| row.custom_role_id.as_ref());
            let Some(role) = role else {
                return Ok(Tried::Done((bindings, Vec::new())));
            };
            let role = admin.store.role(organization, role).map_err(stored)?;
            Ok(match role {
                Some(role) => Tried::Done((bindings, role.permissions)),
                None => Tried::Stale,
            })
        },
        stamp::conflict,
    )?;
    Ok(Held {
        key,
        bindings,
        permissions,
    })
}

/// Whether the caller really runs the organization: the credential may do everything, and so may its
/// person. A permission to manage it is not enough, and neither is the narrow key of an administrator.
fn runs_organization(admin: &Admin, caller: &Caller) -> Result<bool, Error> {
    let everything = Grant::of(Role::Admin, Level::Organization);
    if !caller.access.within(&everything, &Place::organization()) {
        return Ok(false);
    }
    let Some(person) = caller.person() else {
        return Ok(true);
    };
    let access = owner_access(admin, caller, person)?;
    Ok(access.is_some_and(|access| access.within(&everything, &Place::organization())))
}

/// What a person may do; `None` when they are no current member.
fn owner_access(admin: &Admin, caller: &Caller, owner: &UserId) -> Result<Option<Access>, Error> {
    let found = admin.store.access_of_user(&caller.organization.id, owner);
    let current = found.map_err(stored)?.filter(|access| access.enabled);
    Ok(current.map(|access| Access::person(owner_of(&access))))
}

/// One key, whole. Reading it is an act that the audit log keeps.
pub(super) fn get(admin: &Admin, caller: &Caller, id: &str) -> Result<Value, Error> {
    let key = existing(admin, caller, id)?;
    let own = key.user_id.is_some() && key.user_id.as_ref() == caller.person();
    if !own && !runs_organization(admin, caller)? {
        return Err(not_found());
    }
    let held = held(admin, key)?;
    let change = Act {
        action: "management.apiKey.read",
        target_id: held.key.id.as_str(),
        ..Act::default()
    }
    .by(admin, caller, admin.clock.now());
    commit(admin, &[], &change).map_err(stored)?;
    Ok(held.shown())
}

/// Mints a key. When its owner changes at this very moment everything is asked again, so that the key of
/// somebody who is being disabled does not slip through.
pub(super) fn mint(admin: &Admin, caller: &Caller, new: &NewKey) -> Result<Minted, Error> {
    until_fresh(|| try_to_mint(admin, caller, new), stamp::conflict)
}

fn try_to_mint(admin: &Admin, caller: &Caller, new: &NewKey) -> Result<Tried<Minted>, Error> {
    let NewKey {
        kind,
        name,
        description,
        expires_at,
        mode,
        permissions,
        bindings,
    } = new;
    let organization = &caller.organization.id;
    let owner = match kind {
        Kind::Personal(named) => Some(owner(admin, caller, named.as_deref())?),
        Kind::Service(_) => {
            only_administrators(admin, caller, "Service keys")?;
            None
        }
    };
    let bound = wanted_bindings(admin, organization, kind, bindings)?;
    for each in bounds(&bound, permissions) {
        let owner = owner.as_ref().map(|member| &member.user.id);
        below_ceilings(admin, caller, owner, &each)?;
    }
    let now = admin.clock.now();
    let draft = Draft {
        organization: organization.clone(),
        name: name.clone(),
        description: description.clone(),
        owner: owner.as_ref().map(|member| member.user.id.clone()),
        maker: caller.person().cloned(),
        mode: *mode,
        expires_at: *expires_at,
        permissions: permissions.clone(),
        bindings: bound,
    };
    let minted = draft.mint(now, admin.entropy.as_ref(), &admin.credential_pepper);
    let change = minted.created().by(admin, caller, now);
    let still = owner.as_ref().map(|member| {
        Write::StillIs(Known::Member {
            organization,
            member,
        })
    });
    let writes: Vec<Write<'_>> = still.into_iter().chain(minted.writes()).collect();
    let committed = commit(admin, &writes, &change);
    drop(writes);
    landed(committed, minted, stored)
}

/// What a new key is to be bound to: what was asked for, ADMIN on the projects that were named, and for a
/// service key without either ADMIN at the organization.
fn wanted_bindings(
    admin: &Admin,
    organization: &OrganizationId,
    kind: &Kind,
    bindings: &[Wish],
) -> Result<Vec<(BoundRole, Scope)>, Error> {
    let mut bound = Vec::new();
    for wish in bindings {
        bound.push((wish.role, resolve_one(admin, organization, &wish.scope)?));
    }
    if let Kind::Service(projects) = kind {
        for project in projects {
            let wanted = Wanted::new(ScopeKind::Project, project.trim());
            bound.push((BoundRole::Admin, resolve_one(admin, organization, &wanted)?));
        }
    }
    if bound.is_empty() {
        bound.push((BoundRole::Admin, Scope::Organization(organization.clone())));
    }
    Ok(once_each(bound))
}

/// The owner of a new personal key, who is a current member.
fn owner(admin: &Admin, caller: &Caller, named: Option<&str>) -> Result<Member, Error> {
    let field = "assignedToUserId";
    let person = caller.person();
    let owner = match (named, person) {
        (Some(id), _) => UserId::parse(id).ok(),
        (None, Some(person)) => Some(person.clone()),
        (None, None) => {
            let text = "is required: this credential belongs to nobody, so name whose key it is";
            return Err(refuse(BODY, field, "required", text));
        }
    };
    if owner.is_none() || owner.as_ref() != person {
        only_administrators(admin, caller, "Keys of other people")?;
    }
    let found = match owner {
        Some(owner) => admin
            .store
            .member(&caller.organization.id, &owner)
            .map_err(stored)?,
        None => None,
    };
    let current = found.filter(|member| member.disabled_at.is_none());
    current.ok_or_else(|| {
        let text = "must be a current member of the organization";
        refuse(BODY, field, "invalid_value", text)
    })
}

fn only_administrators(admin: &Admin, caller: &Caller, what: &str) -> Result<(), Error> {
    if runs_organization(admin, caller)? {
        return Ok(());
    }
    let message = format!("{what} are made by administrators of the organization only.");
    Err(Error::new(Code::Forbidden, message).tip("Ask an administrator of the organization."))
}

/// Bindings without repetition, in their order.
fn once_each(bindings: Vec<(BoundRole, Scope)>) -> Vec<(BoundRole, Scope)> {
    let mut once: Vec<(BoundRole, Scope)> = Vec::new();
    for each in bindings {
        if !once.contains(&each) {
            once.push(each);
        }
    }
    once
}

fn bounds(bindings: &[(BoundRole, Scope)], permissions: &[String]) -> Vec<Bound> {
    bindings
        .iter()
        .map(|(role, scope)| Bound {
            role: *role,
            permissions: (*role == BoundRole::Custom).then(|| permissions.to_vec()),
            scope: scope.clone(),
        })
        .collect()
}

/// Insists that neither the caller nor the owner is exceeded.
fn below_ceilings(
    admin: &Admin,
    caller: &Caller,
    owner: Option<&UserId>,
    bound: &Bound,
) -> Result<(), Error> {
    let place = caller.place(admin, &bound.scope)?;
    let wanted = grant(bound);
    let (kind, id) = scope::words(&bound.scope);
    let refused = |missing: Permission, whose: &str| {
        let kind = kind.to_ascii_uppercase();
        let message = format!(
            "A binding at {kind}:{id} would allow {missing}, which {whose} does not have there."
        );
        Error::new(Code::ApiKeyScopeViolation, message)
            .with("permission", missing.to_string())
            .with("scope_type", kind)
            .with("scope_id", id)
            .tip("Ask for less: another role, a narrower scope, or a list of permissions.")
    };
    if let Some(missing) = beyond(&caller.access, &wanted, &place) {
        return Err(refused(missing, "this credential"));
    }
    if let Some(owner) = owner {
        let Some(access) = owner_access(admin, caller, owner)? else {
            let first = Permission::all().find(|each| caller.access.may(*each, &place));
            let missing = first.unwrap_or(Permission::new(Resource::Organization, Action::View));
            return Err(refused(missing, "the owner, who is no current member,"));
        };
        if let Some(missing) = beyond(&access, &wanted, &place) {
            return Err(refused(missing, "the owner of the key"));
        }
    }
    Ok(())
}

/// Insists that a further binding of a key exceeds neither the caller nor the key's owner.
///
/// # Errors
/// `api_key_scope_violation`, or the store failed.
pub(crate) fn within(
    admin: &Admin,
    caller: &Caller,
    key: &ApiKey,
    bound: &Bound,
) -> Result<(), Error> {
    below_ceilings(admin, caller, key.user_id.as_ref(), bound)
}

/// A key that the caller may change: its own, or the organization's for who runs it. Any other does not
/// exist, and a revoked one changes no more.
///
/// # Errors
/// `api_key_not_found`, `api_key_already_revoked`, or the store failed.
pub(crate) fn editable(admin: &Admin, caller: &Caller, id: &str) -> Result<ApiKey, Error> {
    let key = existing(admin, caller, id)?;
    let may = match &key.user_id {
        Some(owner) => caller.person() == Some(owner),
        None => runs_organization(admin, caller)?,
    };
    if !may {
        return Err(not_found());
    }
    if key.revoked_at.is_some() {
        return Err(already_revoked());
    }
    Ok(key)
}

/// Changes a key.
pub(super) fn update(
    admin: &Admin,
    caller: &Caller,
    id: &str,
    patch: &Patch,
) -> Result<Value, Error> {
    until_fresh(
        || {
            let before = held(admin, editable(admin, caller, id)?)?;
            let now = admin.clock.now();
            let regranted = regranted(admin, caller, patch, &before, now)?;
            let key = ApiKey {
                name: patch
                    .name
                    .clone()
                    .unwrap_or_else(|| before.key.name.clone()),
                description: patch
                    .description
                    .clone()
                    .over(before.key.description.clone()),
                expires_at: match &patch.expires_at {
                    Given::Absent => before.key.expires_at,
                    Given::Null => None,
                    Given::Value(at) => Some(*at),
                },
                permission_mode: match &regranted {
                    Some((mode, _)) => *mode,
                    None => before.key.permission_mode,
                },
                ..before.key.clone()
            };
            if key == before.key && regranted.is_none() {
                return Ok(Tried::Done(before.shown()));
            }
            // Letting a key live longer is giving what it may do once more.
            let longer = match (before.key.expires_at, key.expires_at) {
                (Some(before), Some(after)) => after > before,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if longer && regranted.is_none() {
                let owner = before.key.user_id.as_ref();
                for row in &before.bindings {
                    below_ceilings(admin, caller, owner, &bound_of(admin, row)?)?;
                }
            }
            let organization = &key.organization_id;
            let principal = Principal::ApiKey(key.id.clone());
            let mut writes = vec![
                Write::StillIs(Known::ApiKey(&before.key)),
                Write::StillIs(Known::BindingsOf {
                    organization,
                    principal: &principal,
                    bindings: &before.bindings,
                }),
                Write::UpdateApiKey(&key),
            ];
            let grants = regranted.as_ref().map(|(_, grants)| grants);
            if let Some(grants) = grants {
                writes.push(Write::DeleteBindingsOf {
                    organization,
                    principal: &principal,
                });
                writes.extend(grants.writes());
            }
            let new = match grants {
                Some(grants) => detail(&key, &grants.bindings, &grants.permissions()),
                None => detail(&key, &before.bindings, &before.permissions),
            };
            let change = Act {
                action: "management.apiKey.update",
                target_id: key.id.as_str(),
                before: Some(before.shown()),
                after: Some(new.clone()),
                ..Act::default()
            }
            .by(admin, caller, now);
            landed(commit(admin, &writes, &change), new, refused)
        },
        stamp::conflict,
    )
}

/// What a patch makes of the mode, the permissions and the bindings of a key; `None` when it names none of
/// them. The result fits together and stays below the ceilings.
fn regranted(
    admin: &Admin,
    caller: &Caller,
    patch: &Patch,
    before: &Held,
    now: UnixMicros,
) -> Result<Option<(PermissionMode, Grants)>, Error> {
    let Patch {
        name: _,
        description: _,
        expires_at: _,
        mode,
        permissions,
        bindings,
    } = patch;
    if mode.is_none() && permissions.is_none() && bindings.is_none() {
        return Ok(None);
    }
    let organization = &before.key.organization_id;
    let bound = match bindings {
        Some(wishes) => {
            let mut bound = Vec::new();
            for wish in wishes {
                bound.push((wish.role, resolve_one(admin, organization, &wish.scope)?));
            }
            once_each(bound)
        }
        None => before
            .bindings
            .iter()
            .map(|row| (row.role, row.scope.clone()))
            .collect(),
    };
    // Who asks for another mode gives the list up, which only a restricted key has.
    let keeps = mode.is_none_or(|mode| mode == PermissionMode::Restricted);
    let permissions = match permissions {
        Some(list) => list.clone(),
        None if keeps => before.permissions.clone(),
        None => Vec::new(),
    };
    let mut problems = Problems::of(BODY);
    if bound.is_empty() {
        problems.add("bindings", "required", "must hold at least one binding");
    }
    let shape = Shape {
        custom: bound.iter().any(|(role, _)| *role == BoundRole::Custom),
        permissions: !permissions.is_empty(),
    };
    let unchanged = before.key.permission_mode;
    let asked = mode.or((unchanged == PermissionMode::Readonly).then_some(unchanged));
    let mode = shape.mode(asked, &mut problems);
    problems.finish()?;
    for each in bounds(&bound, &permissions) {
        below_ceilings(admin, caller, before.key.user_id.as_ref(), &each)?;
    }
    let entropy = admin.entropy.as_ref();
    let grants = Grants::of(&before.key, permissions, &bound, now, entropy);
    Ok(Some((mode, grants)))
}

/// Ends a key for ever.
pub(super) fn revoke(admin: &Admin, caller: &Caller, id: &str) -> Result<(), Error> {
    until_fresh(
        || {
            let before = existing(admin, caller, id)?;
            may_revoke(admin, caller, &before)?;
            if before.revoked_at.is_some() {
                return Err(already_revoked());
            }
            let now = admin.clock.now();
            let after = ApiKey {
                revoked_at: Some(now),
                ..before.clone()
            };
            let writes = [
                Write::StillIs(Known::ApiKey(&before)),
                Write::UpdateApiKey(&after),
            ];
            let before = held(admin, before.clone())?;
            let change = Act {
                action: "management.apiKey.revoke",
                target_id: after.id.as_str(),
                before: Some(before.shown()),
                after: Some(detail(&after, &before.bindings, &before.permissions)),
                ..Act::default()
            }
            .by(admin, caller, now);
            landed(commit(admin, &writes, &change), (), refused)
        },
        stamp::conflict,
    )
}

/// One's own key, or any for who runs the organization. The organization's keys stand in everybody's list,
/// so they are refused by name; what others hold does not exist.
fn may_revoke(admin: &Admin, caller: &Caller, key: &ApiKey) -> Result<(), Error> {
    let own = key.user_id.is_some() && key.user_id.as_ref() == caller.person();
    if own || runs_organization(admin, caller)? {
        return Ok(());
    }
    if key.user_id.is_some() {
        return Err(not_found());
    }
    let message = "The API key belongs to the organization. Its administrators may revoke it.";
    Err(Error::new(Code::ApiKeyNotOwned, message))
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Missing => not_found(),
        error => stored(error),
    }
}

fn already_revoked() -> Error {
    Error::new(
        Code::ApiKeyAlreadyRevoked,
        "The API key is revoked already; mint a new one instead.",
    )
}

/// The answer to a key that does not exist for the caller.
fn not_found() -> Error {
    Error::new(Code::ApiKeyNotFound, "API key not found.")
        .tip("List them: `langwatch api-keys list`.")
}
