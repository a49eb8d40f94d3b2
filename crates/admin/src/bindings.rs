//! Roles at scopes as the organization families read, check and show them (domain 4.2, management-api 15,
//! 18, 20).
//!
//! Nobody grants what they do not have: every binding that is written anywhere was asked of [`may_give`].
//! Must never look at a caller's role, only at what it may do. Start at [`Wish`] and [`may_give`].

use lw_core::{Code, Error, OrganizationId, RoleBindingId, RoleId, UnixMicros};
use lw_engine::access::{Access, Grant, Mode, Permission, Place};
use lw_store::config::{BindingFilter, Bound, ScopeKind};
use lw_store::rows::{BoundRole, CustomRole, Principal, RoleBinding, RoleKind, Scope};
use serde_json::{Value, json};

use crate::Admin;
use crate::caller::{Caller, grant, permission_denied};
use crate::edge::stored;
use crate::input::{Fields, Given, Problems, required};
use crate::schemas::{Named, input, list, list_of, named, object, one_of, or_null, text, text_of};
use crate::scope::{self, Wanted};

/// The words of roles.
const ROLES: [&str; 4] = ["ADMIN", "MEMBER", "VIEWER", "CUSTOM"];
/// The words of the roles that need no list.
pub(crate) const PLAIN_ROLES: [&str; 3] = ["ADMIN", "MEMBER", "VIEWER"];
/// The words of scopes.
const SCOPES: [&str; 3] = ["ORGANIZATION", "TEAM", "PROJECT"];
/// The most bindings of one body.
pub(crate) const MOST: usize = 20;

/// A binding that a caller asks for, before anything was looked up.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// What.
    pub(crate) role: BoundRole,
    /// Which, when the role is custom.
    pub(crate) custom_role: Option<String>,
    /// Where.
    pub(crate) scope: Wanted,
}

/// Where the permissions of a CUSTOM binding stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Custom {
    /// In the role that `customRoleId` names.
    Named,
    /// Beside the bindings: the key has a private role.
    Private,
}

impl Wish {
    /// Reads `{role, customRoleId?, scopeType, scopeId}`. `None` says that the problems tell why.
    pub(crate) fn read(
        fields: &Fields<'_>,
        custom: Custom,
        problems: &mut Problems,
    ) -> Option<Self> {
        let role = read_role(fields, custom, problems);
        let kind = fields.choice(&["scopeType"], &SCOPES, problems);
        let kind = required(kind, fields, "scopeType", problems);
        let id = fields.trimmed("scopeId", 1..=256, problems);
        let id = required(id, fields, "scopeId", problems);
        let ((role, custom_role), kind, id) = (role?, kind?, id?);
        Some(Self {
            role,
            custom_role,
            scope: Wanted::new(kind_of(kind), id),
        })
    }

    /// Reads a list of them, at most [`MOST`].
    pub(crate) fn read_list(
        fields: &Fields<'_>,
        custom: Custom,
        problems: &mut Problems,
    ) -> Given<Vec<Self>> {
        fields.list(&["bindings"], problems).map(|entries| {
            let path = fields.path("bindings");
            if entries.len() > MOST {
                let text = format!("must hold at most {MOST} bindings");
                problems.add(&path, "too_big", text);
            }
            let mut wishes = Vec::new();
            for (place, entry) in entries.iter().enumerate().take(MOST) {
                let path = format!("{path}.{place}");
                match entry.as_object() {
                    Some(map) => {
                        wishes.extend(Self::read(&Fields::new(map, path), custom, problems));
                    }
                    None => problems.add(path, "invalid_type", "must be an object"),
                }
            }
            wishes
        })
    }

    /// Looks up where it is and which role it names.
    ///
    /// # Errors
    /// `gateway_scope_org_mismatch`, `role_not_found`, or the store failed.
    pub(crate) fn resolve(
        &self,
        admin: &Admin,
        organization: &OrganizationId,
    ) -> Result<Resolved, Error> {
        let Self {
            role,
            custom_role,
            scope: wanted,
        } = self;
        let scope = resolve_one(admin, organization, wanted)?;
        let custom_role = match custom_role {
            Some(id) => Some(custom_role_of(admin, organization, id)?),
            None => None,
        };
        Ok(Resolved {
            role: *role,
            custom_role,
            scope,
        })
    }
}

/// Reads `{role, customRoleId?}`: a custom role is named exactly when the role is custom.
pub(crate) fn read_role(
    fields: &Fields<'_>,
    custom: Custom,
    problems: &mut Problems,
) -> Option<(BoundRole, Option<String>)> {
    let role = fields.choice(&["role"], &ROLES, problems);
    let role = required(role, fields, "role", problems).map(role_of);
    if custom == Custom::Private {
        return role.map(|role| (role, None));
    }
    let named = fields.trimmed("customRoleId", 1..=128, problems).value();
    match (role?, named) {
        (BoundRole::Custom, None) => {
            let path = fields.path("customRoleId");
            problems.add(path, "required", "is required when role is CUSTOM");
            None
        }
        (BoundRole::Custom, named) => Some((BoundRole::Custom, named)),
        (_, Some(_)) => {
            let path = fields.path("customRoleId");
            problems.add(path, "invalid_value", "needs the role CUSTOM");
            None
        }
        (role, None) => Some((role, None)),
    }
}

/// The most permissions of one list.
const MOST_PERMISSIONS: usize = 500;

/// Reads `permissions`: a list of what any binding can grant, each once.
pub(crate) fn read_permissions(fields: &Fields<'_>, problems: &mut Problems) -> Given<Vec<String>> {
    let entries = fields.texts(&["permissions"], 1..=128, problems);
    entries.map(|entries| {
        let path = fields.path("permissions");
        if entries.len() > MOST_PERMISSIONS {
            let text = format!("must hold at most {MOST_PERMISSIONS} permissions");
            problems.add(&path, "too_big", text);
        }
        let mut permissions: Vec<String> = Vec::new();
        for (place, entry) in entries.iter().enumerate().take(MOST_PERMISSIONS) {
            let path = format!("{path}.{place}");
            match Permission::parse(entry) {
                None => problems.add(
                    path,
                    "invalid_value",
                    "is no permission; list them with `langwatch roles permissions`",
                ),
                Some(each) if !each.resource.grantable() => {
                    problems.add(path, "invalid_value", "can be granted to nobody");
                }
                Some(_) if permissions.contains(entry) => {}
                Some(_) => permissions.push(entry.clone()),
            }
        }
        permissions
    })
}

/// What `permissions` takes.
pub(crate) fn permissions_schema() -> Value {
    list_of(text_of(1, 128), 500)
}

/// The role that a word stands for; the readers let no other word through.
pub(crate) fn role_of(word: &str) -> BoundRole {
    match word {
        "ADMIN" => BoundRole::Admin,
        "MEMBER" => BoundRole::Member,
        "CUSTOM" => BoundRole::Custom,
        _ => BoundRole::Viewer,
    }
}

fn kind_of(word: &str) -> ScopeKind {
    match word {
        "ORGANIZATION" => ScopeKind::Organization,
        "TEAM" => ScopeKind::Team,
        _ => ScopeKind::Project,
    }
}

/// The scope that a caller means.
///
/// # Errors
/// `gateway_scope_org_mismatch`, or the store failed.
pub(crate) fn resolve_one(
    admin: &Admin,
    organization: &OrganizationId,
    wanted: &Wanted,
) -> Result<Scope, Error> {
    let found = scope::resolve(admin, organization, std::slice::from_ref(wanted))?;
    let missing = || Error::new(Code::InternalError, "a scope was resolved to nothing");
    found.into_iter().next().ok_or_else(missing)
}

/// A role of the organization that may be bound freely. Private ones do not exist here.
///
/// # Errors
/// `role_not_found`, or the store failed.
pub(crate) fn custom_role_of(
    admin: &Admin,
    organization: &OrganizationId,
    id: &str,
) -> Result<CustomRole, Error> {
    let id = RoleId::parse(id).map_err(|_not_an_id| role_not_found())?;
    let found = admin.store.role(organization, &id).map_err(stored)?;
    found
        .filter(|role| role.kind == RoleKind::Custom)
        .ok_or_else(role_not_found)
}

/// The answer to a role that does not exist for the caller.
pub(crate) fn role_not_found() -> Error {
    Error::new(Code::RoleNotFound, "Role not found.").tip("List them: `langwatch roles list`.")
}

/// A binding whose scope and role exist.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) role: BoundRole,
    pub(crate) custom_role: Option<CustomRole>,
    pub(crate) scope: Scope,
}

impl Resolved {
    /// What it lets its principal do.
    pub(crate) fn bound(&self) -> Bound {
        let permissions = self.custom_role.as_ref().map(|role| &role.permissions);
        Bound {
            role: self.role,
            permissions: permissions.cloned(),
            scope: self.scope.clone(),
        }
    }

    /// The row that gives it to somebody.
    pub(crate) fn to(
        &self,
        admin: &Admin,
        organization: &OrganizationId,
        principal: Principal,
        now: UnixMicros,
    ) -> RoleBinding {
        RoleBinding {
            id: RoleBindingId::mint(now, admin.entropy.as_ref()),
            organization_id: organization.clone(),
            principal,
            role: self.role,
            custom_role_id: self.custom_role.as_ref().map(|role| role.id.clone()),
            scope: self.scope.clone(),
            created_at: now,
        }
    }
}

/// The first thing that `wanted` would allow at `place` and `access` does not.
pub(crate) fn beyond(access: &Access, wanted: &Grant, place: &Place) -> Option<Permission> {
    let asked = Access::key(vec![wanted.clone()], None, Mode::All);
    Permission::all().find(|each| asked.may(*each, place) && !access.may(*each, place))
}

/// Insists that the caller may itself do all that it is about to let somebody do.
///
/// # Errors
/// `permission_denied`, naming what is missing and where; or the store failed.
pub(crate) fn may_give(admin: &Admin, caller: &Caller, bound: &Bound) -> Result<(), Error> {
    let place = caller.place(admin, &bound.scope)?;
    match beyond(&caller.access, &grant(bound), &place) {
        None => Ok(()),
        Some(missing) => Err(permission_denied(missing, &bound.scope)
            .tip("Nobody can grant more than they have. Ask an administrator.")),
    }
}

/// What a stored binding lets its principal do.
///
/// # Errors
/// The store failed.
pub(crate) fn bound_of(admin: &Admin, binding: &RoleBinding) -> Result<Bound, Error> {
    let role = match &binding.custom_role_id {
        Some(id) => admin
            .store
            .role(&binding.organization_id, id)
            .map_err(stored)?,
        None => None,
    };
    Ok(Bound {
        role: binding.role,
        permissions: role.map(|role| role.permissions),
        scope: binding.scope.clone(),
    })
}

/// All bindings of a principal, or of everybody, oldest first.
///
/// # Errors
/// The store failed.
pub(crate) fn all_of(
    admin: &Admin,
    organization: &OrganizationId,
    principal: Option<Principal>,
) -> Result<Vec<RoleBinding>, Error> {
    let filter = BindingFilter {
        principal,
        scope: None,
    };
    let found = admin.store.bindings(organization, &filter, 0, usize::MAX);
    Ok(found.map_err(stored)?.0)
}

/// A binding as it is shown beside its principal.
pub(crate) fn shown(binding: &RoleBinding) -> Value {
    let RoleBinding {
        id,
        organization_id: _,
        principal: _,
        role,
        custom_role_id,
        scope,
        created_at: _,
    } = binding;
    let (kind, scope_id) = scope::words(scope);
    json!({
        "id": id,
        "role": role,
        "customRoleId": custom_role_id,
        "scopeType": kind.to_ascii_uppercase(),
        "scopeId": scope_id,
    })
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let place = || [("scopeType", one_of(&SCOPES)), ("scopeId", text_of(1, 256))];
    let [kind, id] = place();
    let new = input(
        &[("role", one_of(&ROLES)), kind, id],
        &[("customRoleId", or_null(text_of(1, 128)))],
    );
    let [kind, id] = place();
    let new_of_key = input(&[("role", one_of(&ROLES)), kind, id], &[]);
    let binding = object(
        &[
            ("id", text()),
            ("role", one_of(&ROLES)),
            ("customRoleId", or_null(text())),
            ("scopeType", one_of(&SCOPES)),
            ("scopeId", text()),
        ],
        &[],
    );
    vec![
        ("NewBinding", new),
        ("NewApiKeyBinding", new_of_key),
        ("Binding", binding),
        ("Bindings", list(named("Binding"))),
        ("BoundRole", one_of(&ROLES)),
        ("ScopeType", one_of(&SCOPES)),
    ]
}
