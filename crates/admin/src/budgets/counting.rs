//! Which keys count toward which budgets (domain 13.1, C-15): the facts of a key for the engine, and the
//! keys and projects that stand behind a target.
//!
//! Memberships and scopes are those of now, so this says what a budget would count from here on, and what
//! it is opened at; what a live budget has spent is in its buckets. Must never decide applicability
//! itself: that is [`lw_engine::budget_scope`]. Start at [`Counting`].

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use lw_core::{Error, OrganizationId, ProjectId, TeamId, UserId, VirtualKeyId};
use lw_engine::budget_scope::{KeyScope, Principal, Spender, TeamRule, TraceProject};
use lw_store::config::{ConfigStore, VirtualKeyFilter};
use lw_store::ledger::{Ledger, Spenders};
use lw_store::rows::{BudgetTarget, Project, ProjectKind, Scope, Team, VirtualKey};

use crate::Admin;
use crate::edge::stored;

/// The most keys that one sum is made over.
const MOST_KEYS: usize = 20_000;
/// Keys that are read at once.
const PAGE: usize = 500;

/// What is needed to tell who spent what.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// Tenants, people, keys and budgets.
    pub store: &'a dyn ConfigStore,
    /// What was spent.
    pub ledger: &'a dyn Ledger,
    /// Whether people's keys count toward their teams (domain C-15).
    pub team_budget_principals: bool,
}

impl fmt::Debug for Books<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books")
            .field("team_budget_principals", &self.team_budget_principals)
            .finish_non_exhaustive()
    }
}

impl<'a> Books<'a> {
    /// Those of the control plane.
    pub(super) fn of(admin: &'a Admin) -> Self {
        Self {
            store: admin.store.as_ref(),
            ledger: admin.ledger.as_ref(),
            team_budget_principals: admin.settings.team_budget_principals,
        }
    }
}

/// The teams and projects of an organization, read once when they are first asked for.
pub(super) struct Counting<'a> {
    books: Books<'a>,
    organization: &'a OrganizationId,
    teams: OnceCell<HashMap<TeamId, Team>>,
    projects: OnceCell<HashMap<ProjectId, Project>>,
}

impl<'a> Counting<'a> {
    /// Nothing read so far.
    pub(super) const fn of(books: Books<'a>, organization: &'a OrganizationId) -> Self {
        Self {
            books,
            organization,
            teams: OnceCell::new(),
            projects: OnceCell::new(),
        }
    }

    /// What it reads.
    pub(super) const fn books(&self) -> Books<'a> {
        self.books
    }

    fn teams(&self) -> Result<&HashMap<TeamId, Team>, Error> {
        if let Some(known) = self.teams.get() {
            return Ok(known);
        }
        let rows = self.books.store.teams(self.organization).map_err(stored)?;
        let by_id = rows.into_iter().map(|row| (row.id.clone(), row));
        Ok(self.teams.get_or_init(|| by_id.collect()))
    }

    fn projects(&self) -> Result<&HashMap<ProjectId, Project>, Error> {
        if let Some(known) = self.projects.get() {
            return Ok(known);
        }
        let rows = self.books.store.projects(self.organization);
        let by_id = rows
            .map_err(stored)?
            .into_iter()
            .map(|row| (row.id.clone(), row));
        Ok(self.projects.get_or_init(|| by_id.collect()))
    }

    /// Whether people's keys count toward their teams.
    pub(super) const fn rule(&self) -> TeamRule {
        if self.books.team_budget_principals {
            TeamRule::WithPrincipals
        } else {
            TeamRule::Narrow
        }
    }

    /// A key with all that it counts toward.
    pub(super) fn spender(&self, key: &VirtualKey) -> Result<Spender, Error> {
        let principal = match &key.principal_user_id {
            Some(user) => Some(self.principal(user)?),
            None => None,
        };
        self.spender_of(key, principal)
    }

    fn spender_of(&self, key: &VirtualKey, principal: Option<Principal>) -> Result<Spender, Error> {
        let teams = self.teams()?;
        let scopes = key.scopes.iter().map(|scope| match scope {
            Scope::Organization(_) => KeyScope::Organization,
            Scope::Team(id) => KeyScope::Team {
                id: id.clone(),
                personal: teams
                    .get(id)
                    .is_some_and(|team| team.personal_owner.is_some()),
            },
            Scope::Project(id) => KeyScope::Project(id.clone()),
        });
        let trace_project =
            self.projects()?
                .get(&key.trace_project_id)
                .map(|project| TraceProject {
                    id: project.id.clone(),
                    team: project.team_id.clone(),
                    shared: match project.kind {
                        ProjectKind::Application => true,
                        ProjectKind::InternalGovernance | ProjectKind::Personal => false,
                    },
                });
        Ok(Spender {
            organization: self.organization.clone(),
            key: Some(key.id.clone()),
            scopes: scopes.collect(),
            trace_project,
            principal,
        })
    }

    fn principal(&self, user: &UserId) -> Result<Principal, Error> {
        let store = self.books.store;
        let places = store.teams_of(self.organization, user).map_err(stored)?;
        let teams = self.teams()?;
        let shared = |id: &TeamId| {
            teams
                .get(id)
                .is_some_and(|team| team.archived_at.is_none() && team.personal_owner.is_none())
        };
        Ok(Principal {
            user: user.clone(),
            teams: places
                .into_iter()
                .map(|place| place.team_id)
                .filter(shared)
                .collect(),
            groups: store.groups_of(self.organization, user).map_err(stored)?,
        })
    }

    /// All that a budget can be for to apply to a key.
    pub(super) fn targets(&self, key: &VirtualKey) -> Result<Vec<BudgetTarget>, Error> {
        Ok(self.spender(key)?.targets(self.rule()))
    }

    /// Whose spend counts toward budgets for a target. `None`: each end user has a bucket of its own, or
    /// there are more keys than one sum is made over.
    pub(super) fn behind(&self, target: &BudgetTarget) -> Result<Option<Spenders>, Error> {
        let any = |keys, projects| Ok(Some(Spenders::Any { keys, projects }));
        match target {
            BudgetTarget::Organization(_) => Ok(Some(Spenders::Organization)),
            BudgetTarget::Project(id) => any(Vec::new(), vec![id.clone()]),
            BudgetTarget::VirtualKey(id) => any(vec![id.clone()], Vec::new()),
            BudgetTarget::Principal(user) => {
                let mut found = Found::default();
                self.keys_of(user, &mut found, |_| Ok(true))?;
                found.spenders(Vec::new())
            }
            BudgetTarget::Group(group) => {
                let members = self
                    .books
                    .store
                    .group_members(self.organization, group)
                    .map_err(stored)?;
                let mut found = Found::default();
                for member in members {
                    self.keys_of(&member.id, &mut found, |_| Ok(true))?;
                }
                found.spenders(Vec::new())
            }
            BudgetTarget::Team(team) => self.behind_team(team),
            BudgetTarget::EndUsersOfKey(_) | BudgetTarget::EndUsersOfProject(_) => Ok(None),
        }
    }

    fn behind_team(&self, team: &TeamId) -> Result<Option<Spenders>, Error> {
        let projects = self.projects()?.values();
        let projects = projects
            .filter(|project| project.team_id == *team)
            .map(|project| project.id.clone());
        let mut found = Found::default();
        let scoped = VirtualKeyFilter {
            scopes: Some(vec![Scope::Team(team.clone())]),
            ..VirtualKeyFilter::default()
        };
        self.keys(&scoped, &mut found, |_| Ok(true))?;
        if self.rule() == TeamRule::WithPrincipals {
            let members = self.books.store.team_members(self.organization, team);
            let target = BudgetTarget::Team(team.clone());
            for member in members.map_err(stored)? {
                let person = self.principal(&member.user_id)?;
                self.keys_of(&member.user_id, &mut found, |key| {
                    self.counts(key, &person, &target)
                })?;
            }
        }
        found.spenders(projects.collect())
    }

    fn counts(
        &self,
        key: &VirtualKey,
        person: &Principal,
        target: &BudgetTarget,
    ) -> Result<bool, Error> {
        let spender = self.spender_of(key, Some(person.clone()))?;
        Ok(spender.counts_toward(target, self.rule()))
    }

    /// Adds the keys of a person, ended ones too.
    fn keys_of(
        &self,
        user: &UserId,
        found: &mut Found,
        wanted: impl Fn(&VirtualKey) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let filter = VirtualKeyFilter {
            principal_user_id: Some(user.clone()),
            ..VirtualKeyFilter::default()
        };
        self.keys(&filter, found, wanted)
    }

    fn keys(
        &self,
        filter: &VirtualKeyFilter,
        found: &mut Found,
        wanted: impl Fn(&VirtualKey) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut after = None;
        while !found.too_many() {
            let page = self
                .books
                .store
                .virtual_keys(self.organization, filter, PAGE, after.as_ref())
                .map_err(stored)?;
            for key in page.rows {
                found.read += 1;
                if wanted(&key)? {
                    found.keys.insert(key.id);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Keys that were found, and how many were looked at.
#[derive(Debug, Default)]
struct Found {
    keys: BTreeSet<VirtualKeyId>,
    read: usize,
}

impl Found {
    const fn too_many(&self) -> bool {
        self.read > MOST_KEYS
    }

    fn spenders(self, projects: Vec<ProjectId>) -> Result<Option<Spenders>, Error> {
        let fine = !self.too_many();
        Ok(fine.then(|| Spenders::Any {
            keys: self.keys.into_iter().collect(),
            projects,
        }))
    }
}
