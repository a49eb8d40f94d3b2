//! Who may do what to a key (domain 4.6, 4.7): gates at the key's scopes, and what is seen at all.
//!
//! A key that the caller neither sees nor may change does not exist for it. Start at [`Seen`] and
//! [`change`].

use lw_core::{Code, Error, ProjectId};
use lw_engine::access::{Action, Permission, Place, Resource};
use lw_store::config::VirtualKeyFilter;
use lw_store::rows::{KeyPurpose, Scope, VirtualKey};

use crate::Admin;
use crate::caller::{Caller, Sight, permission_denied};
use crate::scope::{self, Wanted};

const fn keys(action: Action) -> Permission {
    Permission::new(Resource::VirtualKeys, action)
}

/// What a caller sees of keys, worked out once for a list.
pub(crate) struct Seen<'a> {
    admin: &'a Admin,
    caller: &'a Caller,
    sight: Sight,
}

impl<'a> Seen<'a> {
    /// What the caller sees.
    pub(crate) fn by(admin: &'a Admin, caller: &'a Caller) -> Result<Self, Error> {
        Ok(Self {
            admin,
            caller,
            sight: caller.sight(admin, keys(Action::View))?,
        })
    }

    /// Leads the store to what is seen, unless something else leads it already, so that a page is not full
    /// of what is then left out. Each row is still asked for.
    pub(super) fn narrowed(&self, filter: &VirtualKeyFilter) -> VirtualKeyFilter {
        let VirtualKeyFilter {
            external_id,
            status,
            routing_policy_id,
            principal_user_id,
            scopes,
        } = filter;
        let led = external_id.is_some()
            || status.is_some()
            || routing_policy_id.is_some()
            || principal_user_id.is_some()
            || scopes.is_some();
        if led {
            return filter.clone();
        }
        VirtualKeyFilter {
            scopes: self.sight.scopes(&self.caller.organization.id),
            ..filter.clone()
        }
    }

    /// Whether a key is seen. Personal keys of others need a permission of their own.
    pub(crate) fn sees(&self, key: &VirtualKey) -> Result<bool, Error> {
        Ok(self.sight.sees(&key.scopes) && self.may_see_person(key)?)
    }

    /// Whether the key is nobody's, the caller's own, or the caller may see what is others' alone.
    fn may_see_person(&self, key: &VirtualKey) -> Result<bool, Error> {
        let Self { admin, caller, .. } = self;
        let Some(principal) = &key.principal_user_id else {
            return Ok(true);
        };
        if caller.person() == Some(principal) {
            return Ok(true);
        }
        for scope in &key.scopes {
            if caller.may(admin, keys(Action::ViewOtherPersonal), scope)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Insists that the caller may do `action` to the key: at one of its scopes at least.
///
/// # Errors
/// `virtual_key_not_found` when the caller does not see the key either, else `permission_denied`.
pub(super) fn change(
    admin: &Admin,
    caller: &Caller,
    key: &VirtualKey,
    action: Action,
) -> Result<(), Error> {
    if key.purpose == KeyPurpose::Langy {
        return Err(super::service::not_found());
    }
    // A rotation hands out a live secret: whoever may not even see a colleague's key does not get it.
    if action == Action::Rotate && !Seen::by(admin, caller)?.may_see_person(key)? {
        return Err(super::service::not_found());
    }
    match caller.require_at_one(admin, keys(action), &key.scopes) {
        Err(refused) if refused.code() == Code::PermissionDenied => {
            if Seen::by(admin, caller)?.sees(key)? {
                Err(refused)
            } else {
                Err(super::service::not_found())
            }
        }
        other => other,
    }
}

/// The scopes of a new key: the caller manages keys at each of them, or its own role lists
/// `virtualKeys:create` there (C-6).
pub(super) fn new_scopes(
    admin: &Admin,
    caller: &Caller,
    wanted: &[Wanted],
) -> Result<Vec<Scope>, Error> {
    scope::permitted(admin, caller, wanted, keys(Action::Manage), |place| {
        may_mint(caller, place)
    })
}

/// The new scopes of an existing key: the caller manages keys at each of them.
pub(super) fn other_scopes(
    admin: &Admin,
    caller: &Caller,
    wanted: &[Wanted],
) -> Result<Vec<Scope>, Error> {
    scope::permitted(admin, caller, wanted, keys(Action::Manage), |place| {
        caller.access.may(keys(Action::Manage), place)
    })
}

/// The scope that a key has when nobody names one: that of the request.
pub(super) fn default_scope(admin: &Admin, caller: &Caller, scope: &Scope) -> Result<(), Error> {
    let place = caller.place(admin, scope)?;
    if may_mint(caller, &place) {
        Ok(())
    } else {
        Err(permission_denied(keys(Action::Manage), scope))
    }
}

fn may_mint(caller: &Caller, place: &Place) -> bool {
    caller.access.may(keys(Action::Manage), place)
        || caller.access.explicitly(keys(Action::Create), place)
}

/// Insists that the caller may file a key's traces into a project. Where the caller may do nothing at
/// all, the project does not exist.
pub(super) fn trace_project(
    admin: &Admin,
    caller: &Caller,
    project: &Scope,
    minting: bool,
) -> Result<(), Error> {
    let place = caller.place(admin, project)?;
    let may = if minting {
        may_mint(caller, &place)
    } else {
        caller.access.may(keys(Action::Manage), &place)
    };
    if may {
        Ok(())
    } else if caller.access.permissions_at(&place).is_empty() {
        Err(super::checks::unknown_trace_project())
    } else {
        Err(permission_denied(keys(Action::Manage), project))
    }
}

/// Insists that the caller may take a key's traces and spend out of a project: as choosing it, that is
/// managing keys there.
pub(super) fn leave_project(
    admin: &Admin,
    caller: &Caller,
    project: &ProjectId,
) -> Result<(), Error> {
    caller.require(
        admin,
        keys(Action::Manage),
        &Scope::Project(project.clone()),
    )
}

/// Insists that the caller may detach guardrails from a key.
pub(super) fn detach(admin: &Admin, caller: &Caller, key: &VirtualKey) -> Result<(), Error> {
    const DETACH: Permission = Permission::new(Resource::GatewayGuardrails, Action::Detach);
    let project = key.guardrail_project().clone();
    caller.require(admin, DETACH, &Scope::Project(project))
}

/// Insists that the caller may capture more than the organization's default, at one of the key's scopes.
pub(super) fn full_capture(admin: &Admin, caller: &Caller, scopes: &[Scope]) -> Result<(), Error> {
    const MANAGE: Permission = Permission::new(Resource::GatewayLogs, Action::Manage);
    caller.require_at_one(admin, MANAGE, scopes)
}
