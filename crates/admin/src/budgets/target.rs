//! What a budget is for: looking it up, who may have a budget there, and who sees it (domain 11,
//! management-api 9.3).
//!
//! In organization context an organization, a team, a person or a group asks for nothing beyond the
//! route's permission; a project or a key, also as an anchor, asks for it there too.
//!
//! In a project's context every target asks for the permission at its own level. This is narrower than
//! management-api 9.3 on purpose: whoever administers one project, or holds its legacy key, must not lift
//! or end the cap that the organization set, nor cap another team. A budget of the project's own team may
//! still be created from there, because it only adds a limit where the project itself spends.
//!
//! Must never tell a foreign target from one that does not exist. Start at [`Named::look_up`], [`gate`]
//! and [`Sees`].

use lw_core::{Code, Error, GroupId, ProjectId, TeamId, UserId, VirtualKeyId};
use lw_engine::access::{Action, Permission, Place, Resource};
use lw_store::config::ScopeKind;
use lw_store::rows::{BudgetTarget, Scope};

use crate::Admin;
use crate::caller::{Caller, Sight};
use crate::edge::stored;
use crate::keys::{self, Seen};
use crate::scope::{self, Wanted};

/// A permission on budgets.
pub(super) const fn budgets(action: Action) -> Permission {
    Permission::new(Resource::GatewayBudgets, action)
}

/// A target as a caller names it: ids, or slugs of organizations, teams and projects (C-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// Id or slug; only the caller's own.
    Organization(String),
    /// Id or slug.
    Team(String),
    /// Id or slug.
    Project(String),
    /// Id.
    VirtualKey(String),
    /// Id of a person.
    Principal(String),
    /// Id.
    Group(String),
    /// Id of the key that is the anchor.
    EndUsersOfKey(String),
    /// Id or slug of the project that is the anchor.
    EndUsersOfProject(String),
}

impl Named {
    /// The target, where the caller may create a budget. For the organization and for a person a project
    /// may create one as it may for itself (management-api 9.3).
    ///
    /// # Errors
    /// `gateway_scope_org_mismatch`, `virtual_key_not_found`, `permission_denied`, or the store failed.
    pub(super) fn look_up(&self, admin: &Admin, caller: &Caller) -> Result<BudgetTarget, Error> {
        let organization = &caller.organization.id;
        match self {
            Self::Organization(text) => {
                let wanted = [Wanted::new(ScopeKind::Organization, text)];
                scope::resolve(admin, organization, &wanted)?;
                Ok(BudgetTarget::Organization(organization.clone()))
            }
            Self::Team(text) => team(admin, caller, text).map(BudgetTarget::Team),
            Self::Project(text) => project(admin, caller, text).map(BudgetTarget::Project),
            Self::EndUsersOfProject(text) => {
                project(admin, caller, text).map(BudgetTarget::EndUsersOfProject)
            }
            Self::VirtualKey(text) => key(admin, caller, text).map(BudgetTarget::VirtualKey),
            Self::EndUsersOfKey(text) => key(admin, caller, text).map(BudgetTarget::EndUsersOfKey),
            Self::Principal(text) => {
                let unknown = || mismatch("user");
                let id = UserId::parse(text).map_err(|_not_an_id| unknown())?;
                let found = admin.store.member(organization, &id).map_err(stored)?;
                let current = found.filter(|member| member.disabled_at.is_none());
                current
                    .map(|member| BudgetTarget::Principal(member.user.id))
                    .ok_or_else(unknown)
            }
            Self::Group(text) => {
                at_organization(admin, caller, Action::Create)?;
                let unknown = || mismatch("group");
                let id = GroupId::parse(text).map_err(|_not_an_id| unknown())?;
                let found = admin.store.group(organization, &id).map_err(stored)?;
                found
                    .map(|group| BudgetTarget::Group(group.id))
                    .ok_or_else(unknown)
            }
        }
    }
}

/// In a project's context, insists that the caller may do `action` to budgets of the organization. Asked
/// before anything is looked up: a refusal says nothing about who exists.
fn at_organization(admin: &Admin, caller: &Caller, action: Action) -> Result<(), Error> {
    match &caller.project {
        Some(_) => caller.require_at_organization(admin, budgets(action)),
        None => Ok(()),
    }
}

/// A team: in a project's context its own, or one where the caller may create budgets.
fn team(admin: &Admin, caller: &Caller, text: &str) -> Result<TeamId, Error> {
    const CREATE: Permission = budgets(Action::Create);
    let wanted = [Wanted::new(ScopeKind::Team, text)];
    let found = match &caller.project {
        None => scope::resolve(admin, &caller.organization.id, &wanted)?,
        Some(project) => {
            let own = Place::team(project.team_id.clone());
            let may = |place: &Place| *place == own || caller.access.may(CREATE, place);
            scope::permitted(admin, caller, &wanted, CREATE, may)?
        }
    };
    match found.into_iter().next() {
        Some(Scope::Team(id)) => Ok(id),
        _ => Err(scope::mismatch(ScopeKind::Team)),
    }
}

fn project(admin: &Admin, caller: &Caller, text: &str) -> Result<ProjectId, Error> {
    const CREATE: Permission = budgets(Action::Create);
    let wanted = [Wanted::new(ScopeKind::Project, text)];
    let may = |place: &_| caller.access.may(CREATE, place);
    match scope::permitted(admin, caller, &wanted, CREATE, may)?.pop() {
        Some(Scope::Project(id)) => Ok(id),
        _ => Err(scope::mismatch(ScopeKind::Project)),
    }
}

fn key(admin: &Admin, caller: &Caller, text: &str) -> Result<VirtualKeyId, Error> {
    let key = keys::visible(admin, caller, text)?;
    caller.require_at_one(admin, budgets(Action::Create), &key.scopes)?;
    Ok(key.id)
}

/// The refusal of a target that is not the organization's. Never says which.
fn mismatch(kind: &'static str) -> Error {
    let message = format!("The {kind} does not belong to this organization.");
    Error::new(Code::ScopeOrgMismatch, message).with("scope_type", kind)
}

/// Insists that the caller may do `action` to an existing budget where its target asks for it.
///
/// A project may create budgets above itself (management-api 9.3) and not lift those of others.
///
/// # Errors
/// `permission_denied`, or the store failed.
pub(super) fn gate(
    admin: &Admin,
    caller: &Caller,
    target: &BudgetTarget,
    action: Action,
) -> Result<(), Error> {
    match target {
        BudgetTarget::Organization(_) | BudgetTarget::Principal(_) | BudgetTarget::Group(_) => {
            at_organization(admin, caller, action)
        }
        BudgetTarget::Team(id) => match &caller.project {
            Some(_) => caller.require(admin, budgets(action), &Scope::Team(id.clone())),
            None => Ok(()),
        },
        BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => {
            caller.require(admin, budgets(action), &Scope::Project(id.clone()))
        }
        BudgetTarget::VirtualKey(id) | BudgetTarget::EndUsersOfKey(id) => {
            let found = admin
                .store
                .virtual_key(&caller.organization.id, id)
                .map_err(stored)?;
            let scopes = found.map(|key| key.scopes).unwrap_or_default();
            caller.require_at_one(admin, budgets(action), &scopes)
        }
    }
}

/// Which budgets a caller sees, worked out once for a list.
pub(super) struct Sees<'a> {
    admin: &'a Admin,
    caller: &'a Caller,
    sight: Sight,
    keys: Seen<'a>,
}

impl<'a> Sees<'a> {
    /// What the caller sees.
    pub(super) fn by(admin: &'a Admin, caller: &'a Caller) -> Result<Self, Error> {
        Ok(Self {
            admin,
            caller,
            sight: caller.sight(admin, budgets(Action::View))?,
            keys: Seen::by(admin, caller)?,
        })
    }

    /// Whether budgets of a target are seen. Whoever sees budgets of the whole organization sees all;
    /// others see those that their place counts toward, those of keys that they see, and those of people
    /// and groups.
    pub(super) fn sees(&self, target: &BudgetTarget) -> Result<bool, Error> {
        let inherited = |scope: Scope| Ok(self.sight.sees_inherited(&[scope]));
        if matches!(self.sight, Sight::All) {
            return Ok(true);
        }
        match target {
            BudgetTarget::Principal(_) | BudgetTarget::Group(_) => Ok(true),
            BudgetTarget::Organization(id) => inherited(Scope::Organization(id.clone())),
            BudgetTarget::Team(id) => inherited(Scope::Team(id.clone())),
            BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => {
                inherited(Scope::Project(id.clone()))
            }
            BudgetTarget::VirtualKey(id) | BudgetTarget::EndUsersOfKey(id) => {
                let organization = &self.caller.organization.id;
                let found = self.admin.store.virtual_key(organization, id);
                match found.map_err(stored)? {
                    Some(key) => self.keys.sees(&key),
                    None => Ok(false),
                }
            }
        }
    }
}
