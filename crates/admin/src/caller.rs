//! Who calls, in which context, and what they may do there (domain 4.3 to 4.7, 5.4).
//!
//! [`authorize`] turns a credential into a [`Permit`], which only this module can make and which every
//! service function asks for. Whatever a service does to a further scope it asks [`Caller::require`].
//! What may be seen in a list is asked of a [`Sight`].
//!
//! Must never answer differently for what is foreign and what does not exist. Start at [`authorize`].

use std::collections::HashSet;
use std::marker::PhantomData;
use std::net::IpAddr;

use http::{HeaderMap, header};
use lw_core::{ApiKeyId, Code, Error, OrganizationId, ProjectId, TeamId, UnixMicros, UserId};
use lw_engine::access::{
    Access, Grant, Level, Membership, Mode, Owner, Permission as Wanted, Place, Role,
};
use lw_store::config::{AccessOf, Bound, OwnerAccess, ScopeKind};
use lw_store::rows::{ApiKey, BoundRole, MemberRole, Organization, PermissionMode, Project, Scope};

use crate::Admin;
use crate::credential::{Identity, Presented, identify, invalid_credentials, presented};
use crate::edge::{Family, stored};
use crate::permission::Permission;
use crate::scope;

/// How often `lastUsedAt` of an API key moves at most: one minute.
const TOUCH_EVERY_US: i64 = 60_000_000;

/// The prefix of keys that only ingest (domain 5.1), whatever the key behind it may do: nothing that is served
/// here.
const INGEST: &str = "ik-lw-";

/// Where a route's permission must be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// At the project of the request, or in organization context at the organization.
    Context,
    /// At the project of the request, or in organization context at any scope that the caller is bound
    /// to; the service checks each row.
    Anywhere,
}

/// What was presented.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// An API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// The person whose key it is; a service key has none.
        owner: Option<UserId>,
        last_used_at: Option<UnixMicros>,
    },
    /// The legacy key of the project.
    Project(ProjectId),
}

/// What a credential stands for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The tenant; nothing outside of it exists for this caller.
    pub(crate) organization: Organization,
    /// The project of the request, or `None` in organization context (C-4).
    pub(crate) project: Option<Project>,
    /// What was presented.
    pub(crate) credential: Credential,
    /// What it may do.
    pub(crate) access: Access,
    /// Where the call came from, when the listener tells.
    pub(crate) ip: Option<IpAddr>,
    /// What the caller says it is, cut to what an audit row should hold.
    pub(crate) user_agent: Option<String>,
}

/// Proof that the caller may do `P` where its route asks for it.
#[derive(Debug)]
pub(crate) struct Permit<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> std::ops::Deref for Permit<P> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Checks the credential, the context and the permission of a request.
///
/// # Errors
/// `missing_credentials`, `invalid_credentials`, `credential_class_mismatch`, `project_not_found`, the
/// family's word for a missing permission, or the store failed.
pub(crate) fn authorize<P: Permission>(
    admin: &Admin,
    family: Family,
    at: At,
    headers: &HeaderMap,
    ip: Option<IpAddr>,
) -> Result<Permit<P>, Error> {
    let Presented { token, project } = presented(headers)?;
    let user_agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|text| text.chars().take(256).collect());
    let caller = match identify(admin, family, &token)? {
        Identity::Project(found) => {
            let (organization, project) = *found;
            Caller {
                organization,
                access: Access::everything_at_project(project.id.clone()),
                credential: Credential::Project(project.id.clone()),
                project: Some(project),
                ip,
                user_agent,
            }
        }
        Identity::ApiKey(found) => {
            // A key whose every scope was archived stands for nothing: it must not become one of the
            // whole organization.
            if found.bound.is_empty() {
                return Err(invalid_credentials());
            }
            let access = if token.expose().starts_with(INGEST) {
                Access::key(Vec::new(), None, Mode::Restricted)
            } else {
                access(&found)
            };
            let AccessOf {
                key, organization, ..
            } = *found;
            let project = if family.has_project_context() {
                context(admin, &organization, &access, project.as_deref())?
            } else {
                None
            };
            if family == Family::OwnProject && project.is_none() {
                return Err(invalid_credentials()
                    .tip("Name a project in `X-Project-Id`, or use a project's own key."));
            }
            let ApiKey {
                id,
                user_id: owner,
                last_used_at,
                ..
            } = key;
            Caller {
                organization,
                project,
                credential: Credential::ApiKey {
                    id,
                    owner,
                    last_used_at,
                },
                access,
                ip,
                user_agent,
            }
        }
    };
    if let Some(wanted) = P::WANTED
        && !caller.holds(admin, wanted, at)?
    {
        match P::OR {
            Some(or) if caller.holds(admin, or, at)? => {}
            _ => return Err(denied::<P>(family, wanted)),
        }
    }
    Ok(Permit {
        caller,
        permission: PhantomData,
    })
}

fn denied<P: Permission>(family: Family, wanted: Wanted) -> Error {
    let name = wanted.to_string();
    let either = P::name();
    let message = format!("The credential lacks the permission {either}.");
    let error = if family.has_project_context() {
        Error::new(Code::ApiKeyPermissionDenied, message).with("permission", name.clone())
    } else {
        Error::new(Code::InsufficientPermissions, message).with("required_permission", name.clone())
    };
    error.tip(format!(
        "Ask an administrator for a role or an API key with {either}."
    ))
}

/// Domain 5.4: the project that the request names, else the only one that the key is bound to.
fn context(
    admin: &Admin,
    organization: &Organization,
    access: &Access,
    named: Option<&str>,
) -> Result<Option<Project>, Error> {
    if let Some(name) = named {
        return live_project(admin, organization, access, name).map(Some);
    }
    let bound: HashSet<&ProjectId> = access.bound_projects().collect();
    let mut bound = bound.into_iter();
    let (Some(only), None) = (bound.next(), bound.next()) else {
        return Ok(None);
    };
    let project = admin
        .store
        .project(&organization.id, only)
        .map_err(stored)?;
    match project.filter(|project| project.archived_at.is_none()) {
        Some(project) => Ok(Some(project)),
        None => Err(Error::new(Code::ProjectNotFound, "Project not found.")),
    }
}

/// A project that a request named by id or slug. Foreign, archived and unknown ones and those where the
/// caller may do nothing at all answer alike.
fn live_project(
    admin: &Admin,
    organization: &Organization,
    access: &Access,
    name: &str,
) -> Result<Project, Error> {
    let unknown = || Error::new(Code::ProjectNotFound, "Project not found.");
    let found = admin
        .store
        .resolve_scope(&organization.id, ScopeKind::Project, name)
        .map_err(stored)?;
    let Some(Scope::Project(id)) = found else {
        return Err(unknown());
    };
    let project = admin
        .store
        .project(&organization.id, &id)
        .map_err(stored)?
        .ok_or_else(unknown)?;
    if access.permissions_at(&place_of(&project)).is_empty() {
        return Err(unknown());
    }
    Ok(project)
}

/// Remembers that the caller's key served a call, at most once a minute. Fails open: the call itself
/// has succeeded.
pub(crate) fn touch(admin: &Admin, caller: &Caller) {
    let Credential::ApiKey {
        id, last_used_at, ..
    } = &caller.credential
    else {
        return;
    };
    let now = admin.clock.now();
    if last_used_at.is_some_and(|at| at.plus_micros(TOUCH_EVERY_US) > now) {
        return;
    }
    if let Err(error) = admin.store.touch_api_key(id, now) {
        tracing::warn!(%error, api_key = %id, "the last use of an API key was not kept");
    }
}

impl Caller {
    /// The name that the audit log knows the caller by (domain 19).
    pub(crate) fn actor(&self) -> String {
        match (&self.credential, &self.project) {
            (
                Credential::ApiKey {
                    owner: Some(owner), ..
                },
                _,
            ) => owner.to_string(),
            (Credential::Project(id), _) => format!("svc_{id}"),
            (Credential::ApiKey { owner: None, .. }, Some(project)) => {
                format!("svc_{}", project.id)
            }
            (Credential::ApiKey { owner: None, .. }, None) => {
                format!("svc_{}", self.organization.id)
            }
        }
    }

    /// The person who calls, if it is a person's key.
    pub(crate) const fn person(&self) -> Option<&UserId> {
        match &self.credential {
            Credential::ApiKey { owner, .. } => owner.as_ref(),
            Credential::Project(_) => None,
        }
    }

    /// What the caller's calls are counted under: the same for every call of one credential.
    pub(crate) fn meter(&self) -> &str {
        match &self.credential {
            Credential::ApiKey { id, .. } => id.as_str(),
            Credential::Project(id) => id.as_str(),
        }
    }

    /// The scope of the request: its project, else the organization.
    pub(crate) fn context_scope(&self) -> Scope {
        match &self.project {
            Some(project) => Scope::Project(project.id.clone()),
            None => Scope::Organization(self.organization.id.clone()),
        }
    }

    /// Where the request is made.
    pub(crate) fn context_place(&self) -> Place {
        match &self.project {
            Some(project) => place_of(project),
            None => Place::organization(),
        }
    }

    /// Whether the caller may do `wanted` at a scope of its organization. Scopes that do not exist are
    /// places where nobody but the organization's administrators may do anything.
    pub(crate) fn may(&self, admin: &Admin, wanted: Wanted, scope: &Scope) -> Result<bool, Error> {
        Ok(self.access.may(wanted, &self.place(admin, scope)?))
    }

    /// Where a scope of the caller's organization is.
    pub(crate) fn place(&self, admin: &Admin, scope: &Scope) -> Result<Place, Error> {
        Ok(match scope {
            Scope::Organization(_) => Place::organization(),
            Scope::Team(id) => Place::team(id.clone()),
            Scope::Project(id) => {
                let own = self.project.as_ref().filter(|project| project.id == *id);
                if let Some(project) = own {
                    return Ok(place_of(project));
                }
                let found = admin
                    .store
                    .project(&self.organization.id, id)
                    .map_err(stored)?;
                found.as_ref().map_or_else(Place::organization, place_of)
            }
        })
    }

    /// Insists that the caller may do `wanted` at a scope (domain 4.6).
    ///
    /// # Errors
    /// `permission_denied`, naming the permission and the scope; or the store failed.
    pub(crate) fn require(
        &self,
        admin: &Admin,
        wanted: Wanted,
        scope: &Scope,
    ) -> Result<(), Error> {
        if self.may(admin, wanted, scope)? {
            return Ok(());
        }
        Err(permission_denied(wanted, scope))
    }

    /// Insists that the caller may do `wanted` at the organization, whatever project the call names: for
    /// what holds for the whole organization.
    ///
    /// # Errors
    /// `permission_denied`, naming the permission and the organization; or the store failed.
    pub(crate) fn require_at_organization(
        &self,
        admin: &Admin,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let organization = Scope::Organization(self.organization.id.clone());
        self.require(admin, wanted, &organization)
    }

    /// Insists that the caller may do `wanted` at one of `scopes` at least.
    ///
    /// # Errors
    /// `permission_denied`, naming the first scope; or the store failed.
    pub(crate) fn require_at_one(
        &self,
        admin: &Admin,
        wanted: Wanted,
        scopes: &[Scope],
    ) -> Result<(), Error> {
        for scope in scopes {
            if self.may(admin, wanted, scope)? {
                return Ok(());
            }
        }
        let context = self.context_scope();
        Err(permission_denied(
            wanted,
            scopes.first().unwrap_or(&context),
        ))
    }

    /// Whether the route's permission is held.
    fn holds(&self, admin: &Admin, wanted: Wanted, at: At) -> Result<bool, Error> {
        if self.access.may(wanted, &self.context_place()) {
            return Ok(true);
        }
        if at == At::Context || self.project.is_some() {
            return Ok(false);
        }
        for level in self.access.levels() {
            let place = match level {
                Level::Organization => continue,
                Level::Team(id) => Place::team(id.clone()),
                Level::Project(id) => self.place(admin, &Scope::Project(id.clone()))?,
            };
            if self.access.may(wanted, &place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the caller sees of the things that `wanted` is about.
    pub(crate) fn sight(&self, admin: &Admin, wanted: Wanted) -> Result<Sight, Error> {
        if let Some(project) = &self.project {
            return Ok(Sight::Some {
                organization: true,
                teams: HashSet::from([project.team_id.clone()]),
                projects: HashSet::from([project.id.clone()]),
                holds_organization: true,
                below_teams: HashSet::from([project.team_id.clone()]),
            });
        }
        if self.access.may(wanted, &Place::organization()) {
            return Ok(Sight::All);
        }
        // Whoever may not look at the organization may look only where a level below it covers: nowhere
        // else need be asked, however many projects there are.
        let (mut teams, mut projects) = (HashSet::new(), HashSet::new());
        let mut below_teams = HashSet::new();
        let (store, organization) = (&admin.store, &self.organization.id);
        let levels: HashSet<&Level> = self.access.levels().collect();
        for level in levels {
            let covered = match level {
                Level::Organization => Vec::new(),
                Level::Team(id) => {
                    if self.access.may(wanted, &Place::team(id.clone())) {
                        teams.insert(id.clone());
                    }
                    store.projects_of_team(organization, id).map_err(stored)?
                }
                Level::Project(id) => {
                    let found = store.project(organization, id).map_err(stored)?;
                    found.into_iter().collect()
                }
            };
            for project in covered {
                if self.access.may(wanted, &place_of(&project)) {
                    below_teams.insert(project.team_id);
                    projects.insert(project.id);
                }
            }
        }
        Ok(Sight::Some {
            organization: false,
            holds_organization: !teams.is_empty() || !projects.is_empty(),
            teams,
            projects,
            below_teams,
        })
    }
}

/// The refusal of a scope's gate.
pub(crate) fn permission_denied(wanted: Wanted, scope: &Scope) -> Error {
    let (kind, id) = scope::words(scope);
    let message = format!(
        "permission_denied: {wanted} at {}:{id}",
        kind.to_ascii_uppercase()
    );
    Error::new(Code::PermissionDenied, message).with("permission", wanted.to_string())
}

/// What a caller sees of one kind of thing, worked out once for a whole list (domain 4.7).
#[derive(Debug)]
pub(crate) enum Sight {
    /// Everything in the organization.
    All,
    /// What touches these.
    Some {
        /// Whether things of the organization are seen.
        organization: bool,
        teams: HashSet<TeamId>,
        projects: HashSet<ProjectId>,
        /// Whether the caller holds the permission anywhere: then what the organization hands down is
        /// seen too.
        holds_organization: bool,
        /// Teams that the caller sees a project of.
        below_teams: HashSet<TeamId>,
    },
}

impl Sight {
    /// The scopes that [`Self::sees`] looks for; `None` when there is nothing that it does not see.
    pub(crate) fn scopes(&self, of: &OrganizationId) -> Option<Vec<Scope>> {
        let Self::Some {
            organization,
            teams,
            projects,
            holds_organization: _,
            below_teams: _,
        } = self
        else {
            return None;
        };
        let organization = organization.then(|| Scope::Organization(of.clone()));
        let teams = teams.iter().cloned().map(Scope::Team);
        let projects = projects.iter().cloned().map(Scope::Project);
        let below = teams.chain(projects);
        Some(organization.into_iter().chain(below).collect())
    }

    /// Whether something that is anchored at `scopes` is seen: one of them is a place where the caller
    /// may look.
    pub(crate) fn sees(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| match self {
            Self::All => true,
            Self::Some {
                organization,
                teams,
                projects,
                ..
            } => match scope {
                Scope::Organization(_) => *organization,
                Scope::Team(id) => teams.contains(id),
                Scope::Project(id) => projects.contains(id),
            },
        })
    }

    /// The same for what is handed down from its scopes to everything below: providers and policies.
    pub(crate) fn sees_inherited(&self, scopes: &[Scope]) -> bool {
        self.sees(scopes)
            || scopes.iter().any(|scope| match self {
                Self::All => true,
                Self::Some {
                    holds_organization,
                    below_teams,
                    ..
                } => match scope {
                    Scope::Organization(_) => *holds_organization,
                    Scope::Team(id) => below_teams.contains(id),
                    Scope::Project(_) => false,
                },
            })
    }
}

/// Where a project is.
pub(crate) fn place_of(project: &Project) -> Place {
    Place::project(project.id.clone(), project.team_id.clone())
}

/// What an API key may do.
fn access(found: &AccessOf) -> Access {
    let AccessOf {
        key, bound, owner, ..
    } = found;
    let owner = owner.as_ref().map(|owner| match owner {
        Some(access) => owner_of(access),
        // Whoever left the organization grants nothing any more.
        None => Owner {
            membership: Membership::External,
            enabled: false,
            grants: Vec::new(),
        },
    });
    let mode = match key.permission_mode {
        PermissionMode::All => Mode::All,
        PermissionMode::Readonly => Mode::ReadOnly,
        PermissionMode::Restricted => Mode::Restricted,
    };
    Access::key(bound.iter().map(grant).collect(), owner, mode)
}

/// What a person may do.
pub(crate) fn owner_of(access: &OwnerAccess) -> Owner {
    let OwnerAccess {
        role,
        enabled,
        bound,
    } = access;
    Owner {
        membership: match role {
            MemberRole::Admin => Membership::Admin,
            MemberRole::Member => Membership::Member,
            MemberRole::External => Membership::External,
        },
        enabled: *enabled,
        grants: bound.iter().map(grant).collect(),
    }
}

/// A stored binding as the engine evaluates it.
pub(crate) fn grant(bound: &Bound) -> Grant {
    let Bound {
        role,
        permissions,
        scope,
    } = bound;
    let level = level_of(scope);
    match role {
        BoundRole::Admin => Grant::of(Role::Admin, level),
        BoundRole::Member => Grant::of(Role::Member, level),
        BoundRole::Viewer => Grant::of(Role::Viewer, level),
        BoundRole::Custom => {
            let texts = permissions.iter().flatten().map(String::as_str);
            let list = Wanted::parse_list(texts).unwrap_or_else(|| {
                tracing::warn!(
                    "a custom role holds something that is no permission: it reads only"
                );
                Vec::new()
            });
            Grant::custom(list, level)
        }
    }
}

/// The level that a scope of the caller's organization names.
pub(crate) fn level_of(scope: &Scope) -> Level {
    match scope {
        Scope::Organization(_) => Level::Organization,
        Scope::Team(id) => Level::Team(id.clone()),
        Scope::Project(id) => Level::Project(id.clone()),
    }
}
