//! Who may do what to a provider (domain 6.2): gates at its scopes, and what is seen at all.
//!
//! A provider that the caller neither sees nor may change does not exist for it. Start at [`change`].

use lw_core::{Code, Error};
use lw_engine::access::{Action, Permission, Place, Resource};
use lw_store::rows::{ModelProvider, Scope};

use super::service::not_found;
use crate::Admin;
use crate::caller::{Caller, Sight, permission_denied};
use crate::scope::{self, Wanted};

const VIEW: Permission = Permission::new(Resource::ModelProviders, Action::View);
const UPDATE: Permission = Permission::new(Resource::ModelProviders, Action::Update);
const MANAGE: Permission = Permission::new(Resource::ModelProviders, Action::Manage);
const PROJECT_UPDATE: Permission = Permission::new(Resource::Project, Action::Update);

/// The scopes whose providers the caller sees; `None` is all of them.
pub(super) fn seen_scopes(admin: &Admin, caller: &Caller) -> Result<Option<Vec<Scope>>, Error> {
    let Sight::Some {
        organization,
        teams,
        projects,
        holds_organization,
        below_teams,
    } = caller.sight(admin, VIEW)?
    else {
        return Ok(None);
    };
    let mut scopes = Vec::new();
    if organization || holds_organization {
        scopes.push(Scope::Organization(caller.organization.id.clone()));
    }
    scopes.extend(teams.union(&below_teams).cloned().map(Scope::Team));
    scopes.extend(projects.into_iter().map(Scope::Project));
    Ok(Some(scopes))
}

/// Whether the caller sees a provider: where it is, and everywhere below.
pub(super) fn sees(admin: &Admin, caller: &Caller, row: &ModelProvider) -> Result<bool, Error> {
    Ok(caller.sight(admin, VIEW)?.sees_inherited(&row.scopes))
}

/// Insists that the caller may change a provider: at one of its scopes at least.
///
/// # Errors
/// `model_provider_not_found` when the caller does not see it either, else `permission_denied`.
pub(super) fn change(admin: &Admin, caller: &Caller, row: &ModelProvider) -> Result<(), Error> {
    let gate = caller.require_at_one(admin, UPDATE, &row.scopes);
    or_unseen(admin, caller, row, gate)
}

/// Insists that the caller may delete a provider: at every one of its scopes.
///
/// # Errors
/// As [`change`].
pub(super) fn delete(admin: &Admin, caller: &Caller, row: &ModelProvider) -> Result<(), Error> {
    let gate = row
        .scopes
        .iter()
        .try_for_each(|scope| caller.require(admin, MANAGE, scope));
    or_unseen(admin, caller, row, gate)
}

/// Insists that the caller may send what is stored, a credential or the value of an extra header, to
/// another server. Who may only update providers could read it that way: it has to come with the address,
/// or the caller has to manage providers at every scope of the row.
///
/// # Errors
/// `permission_denied`.
pub(super) fn redirect(admin: &Admin, caller: &Caller, row: &ModelProvider) -> Result<(), Error> {
    for scope in &row.scopes {
        if let Err(refused) = caller.require(admin, MANAGE, scope) {
            let tip = "The address of a provider changes while a stored credential or extra header stays. \
                       Send the credential again in the same request, and the extra headers with their \
                       values, or ask somebody who manages the provider.";
            return Err(refused.tip(tip));
        }
    }
    Ok(())
}

fn or_unseen(
    admin: &Admin,
    caller: &Caller,
    row: &ModelProvider,
    gate: Result<(), Error>,
) -> Result<(), Error> {
    match gate {
        Err(refused) if refused.code() == Code::PermissionDenied && !sees(admin, caller, row)? => {
            Err(not_found())
        }
        other => other,
    }
}

/// The scopes of a new provider: the caller manages providers at each of them, or its own role lists
/// `modelProviders:update` there (management-api 12.2).
pub(super) fn new_scopes(
    admin: &Admin,
    caller: &Caller,
    wanted: Option<&[Wanted]>,
) -> Result<Vec<Scope>, Error> {
    let may =
        |place: &Place| caller.access.may(MANAGE, place) || caller.access.explicitly(UPDATE, place);
    match wanted {
        Some(wanted) => scope::permitted(admin, caller, wanted, MANAGE, may),
        None if may(&caller.context_place()) => Ok(vec![caller.context_scope()]),
        None => Err(permission_denied(MANAGE, &caller.context_scope())),
    }
}

/// The new scopes of an existing provider. Naming the ones that it has is no change. Else the caller
/// manages providers at each new one, and at each that the provider leaves: that is deleting it there.
pub(super) fn other_scopes(
    admin: &Admin,
    caller: &Caller,
    row: &ModelProvider,
    wanted: &[Wanted],
) -> Result<Vec<Scope>, Error> {
    let may = |place: &Place| caller.access.may(MANAGE, place);
    let known = scope::resolve(admin, &caller.organization.id, wanted);
    if let Ok(scopes) = known
        && scopes.len() == row.scopes.len()
        && scopes.iter().all(|scope| row.scopes.contains(scope))
    {
        return Ok(scopes);
    }
    let scopes = scope::permitted(admin, caller, wanted, MANAGE, may)?;
    let left = row.scopes.iter().filter(|scope| !scopes.contains(scope));
    for scope in left {
        caller.require(admin, MANAGE, scope)?;
    }
    Ok(scopes)
}

/// Whether the official route lets the caller change a provider: what the caller may change by id, and
/// what belongs to the context alone.
pub(super) fn may_set(admin: &Admin, caller: &Caller, row: &ModelProvider) -> Result<bool, Error> {
    let context = caller.context_scope();
    if row.scopes.iter().all(|scope| *scope == context) {
        return Ok(may_set_here(caller));
    }
    for scope in &row.scopes {
        if caller.may(admin, UPDATE, scope)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the official route lets the caller store a provider in the context of the request.
pub(super) fn may_set_here(caller: &Caller) -> bool {
    let place = caller.context_place();
    caller.access.may(UPDATE, &place) || caller.access.may(PROJECT_UPDATE, &place)
}

/// The refusal of the official route.
pub(super) fn not_settable(scope: &Scope) -> Error {
    permission_denied(UPDATE, scope)
}
