//! Which budgets a key's calls count toward, in which bucket, and whether a budget can be met at all
//! (domain 13.1, 13.2, 13.4 and C-15).
//!
//! All facts are of one organization. Must never take a bucket id apart again: end users are named by
//! callers and may hold any character. Start at [`applicable`] and [`Reach::of`].

#[cfg(test)]
mod tests;

use lw_core::{
    BudgetId, BudgetTarget, GroupId, ModelProviderId, OrganizationId, ProjectId, TeamId, UserId,
    VirtualKeyId,
};

/// One scope of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyScope {
    /// The organization.
    Organization,
    /// A team.
    Team {
        /// Which one.
        id: TeamId,
        /// Whether it is a person's own.
        personal: bool,
    },
    /// A project.
    Project(ProjectId),
}

/// The project that receives a key's traces and spend (domain 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceProject {
    /// Which one.
    pub id: ProjectId,
    /// Its team.
    pub team: TeamId,
    /// Whether people work in it together: neither the governance project nor a personal one.
    pub shared: bool,
}

/// The person that a personal key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// The live, non-personal teams of the organization that the person is a member of.
    pub teams: Vec<TeamId>,
    /// The groups of the organization that the person is in.
    pub groups: Vec<GroupId>,
}

/// Whose calls are counted: one key with all that it counts toward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spender {
    /// The tenant.
    pub organization: OrganizationId,
    /// The key, when it is known.
    pub key: Option<VirtualKeyId>,
    /// The key's scopes.
    pub scopes: Vec<KeyScope>,
    /// Where the key files its calls; legacy keys may have no destination.
    pub trace_project: Option<TraceProject>,
    /// The key's person, if it is a personal key.
    pub principal: Option<Principal>,
}

/// Whether a personal key counts toward the teams of its person
/// (`LW_GATEWAY_TEAM_BUDGET_PRINCIPALS`, C-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TeamRule {
    /// A key that names no shared team of its own counts toward its principal's teams.
    WithPrincipals,
    /// Only the key's own teams count.
    Narrow,
}

impl Spender {
    /// All that a budget can be for to apply to this key (domain 13.1), each once, sorted.
    #[must_use]
    pub fn targets(&self, rule: TeamRule) -> Vec<BudgetTarget> {
        let Self {
            organization,
            key,
            scopes: _,
            trace_project,
            principal,
        } = self;
        let mut targets = vec![BudgetTarget::Organization(organization.clone())];
        if let Some(key) = key {
            targets.push(BudgetTarget::VirtualKey(key.clone()));
            targets.push(BudgetTarget::EndUsersOfKey(key.clone()));
        }
        if let Some(project) = trace_project {
            targets.push(BudgetTarget::Project(project.id.clone()));
            targets.push(BudgetTarget::EndUsersOfProject(project.id.clone()));
        }
        if let Some(principal) = principal {
            targets.push(BudgetTarget::Principal(principal.user.clone()));
            targets.extend(principal.groups.iter().cloned().map(BudgetTarget::Group));
        }
        targets.extend(self.teams(rule).cloned().map(BudgetTarget::Team));
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// Whether a budget for `target` applies to this key.
    #[must_use]
    pub fn counts_toward(&self, target: &BudgetTarget, rule: TeamRule) -> bool {
        let Self {
            organization,
            key,
            scopes: _,
            trace_project,
            principal,
        } = self;
        let files_into = |id: &ProjectId| {
            trace_project
                .as_ref()
                .is_some_and(|project| project.id == *id)
        };
        match target {
            BudgetTarget::Organization(id) => id == organization,
            BudgetTarget::Team(id) => self.teams(rule).any(|team| team == id),
            BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => files_into(id),
            BudgetTarget::VirtualKey(id) | BudgetTarget::EndUsersOfKey(id) => {
                key.as_ref() == Some(id)
            }
            BudgetTarget::Principal(id) => {
                principal.as_ref().is_some_and(|person| person.user == *id)
            }
            BudgetTarget::Group(id) => principal
                .as_ref()
                .is_some_and(|person| person.groups.contains(id)),
        }
    }

    /// The teams that the key counts toward; one may come twice.
    fn teams(&self, rule: TeamRule) -> impl Iterator<Item = &TeamId> {
        let filed = self.trace_project.iter().map(|project| &project.team);
        let scoped = self.scopes.iter().filter_map(|scope| match scope {
            KeyScope::Team { id, .. } => Some(id),
            KeyScope::Organization | KeyScope::Project(_) => None,
        });
        let through_person = rule == TeamRule::WithPrincipals && !self.names_shared_team();
        let person = self.principal.as_ref().filter(|_| through_person);
        let of_person = person.into_iter().flat_map(|person| &person.teams);
        filed.chain(scoped).chain(of_person)
    }

    /// Whether the key belongs to a team that people share, by its scopes or by where it files its
    /// calls. Without a destination nothing says that it does not, so its person's teams stay out.
    fn names_shared_team(&self) -> bool {
        let scoped = |scope: &KeyScope| match scope {
            KeyScope::Team { id: _, personal } => !personal,
            KeyScope::Organization | KeyScope::Project(_) => false,
        };
        self.scopes.iter().any(scoped)
            || self
                .trace_project
                .as_ref()
                .is_none_or(|project| project.shared)
    }
}

/// The bucket that a budget counts a call in (domain 13.2). `provider` is the budget's filter. `None`
/// when there is none: a group's bucket is a member's, a template's an end user's.
#[must_use]
pub fn bucket_id(
    target: &BudgetTarget,
    principal: Option<&UserId>,
    end_user: Option<&str>,
    provider: Option<&ModelProviderId>,
) -> Option<String> {
    let base = target.scope_id();
    let mut bucket = match target {
        BudgetTarget::Group(_) => format!("{base}:{}", principal?),
        BudgetTarget::EndUsersOfKey(_) | BudgetTarget::EndUsersOfProject(_) => {
            format!("{base}:{}", end_user?)
        }
        BudgetTarget::Organization(_)
        | BudgetTarget::Team(_)
        | BudgetTarget::Project(_)
        | BudgetTarget::VirtualKey(_)
        | BudgetTarget::Principal(_) => base.to_owned(),
    };
    if let Some(provider) = provider {
        bucket.push_str("|provider:");
        bucket.push_str(provider.as_str());
    }
    Some(bucket)
}

/// What is known of a live budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetFacts<'a> {
    /// The row.
    pub id: &'a BudgetId,
    /// What it is for.
    pub target: &'a BudgetTarget,
    /// The only provider that counts, if it is limited to one.
    pub provider: Option<&'a ModelProviderId>,
}

impl BudgetFacts<'_> {
    /// Whether a dispatch to `provider` counts. One that reported no provider counts only where all do.
    #[must_use]
    pub fn counts(&self, provider: Option<&ModelProviderId>) -> bool {
        self.provider.is_none() || self.provider == provider
    }
}

/// A budget that applies to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<'a> {
    /// The budget.
    pub budget: BudgetFacts<'a>,
    /// Its bucket. `None` for a template as long as no end user is named.
    pub bucket: Option<String>,
}

/// The budgets among `budgets` that apply to a key, sorted by scope type, budget and bucket, so that
/// the same facts make the same bytes. The caller brings live budgets only.
#[must_use]
pub fn applicable<'a>(
    spender: &Spender,
    rule: TeamRule,
    budgets: &[BudgetFacts<'a>],
    end_user: Option<&str>,
) -> Vec<Applied<'a>> {
    let principal = spender.principal.as_ref().map(|person| &person.user);
    let mut applied: Vec<_> = budgets
        .iter()
        .filter(|budget| spender.counts_toward(budget.target, rule))
        .map(|budget| Applied {
            budget: *budget,
            bucket: bucket_id(budget.target, principal, end_user, budget.provider),
        })
        .collect();
    applied.sort_by(|a, b| {
        let rank = |each: &Applied<'a>| (each.budget.target.scope_type(), each.budget.id);
        rank(a).cmp(&rank(b)).then_with(|| a.bucket.cmp(&b.bucket))
    });
    applied
}

/// Which keys a budget would meet (domain 13.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Some active key counts toward the target.
    pub reachable: bool,
    /// The organization has an active key at all.
    pub any_key: bool,
    /// Some active key is scoped to an ancestor of the target (C-8).
    pub ancestor_key: bool,
}

impl Reach {
    /// The reach of a budget for `target`, given all active keys of the organization. `team` is the
    /// team of the target when that is a project.
    #[must_use]
    pub fn of<'s>(
        target: &BudgetTarget,
        team: Option<&TeamId>,
        rule: TeamRule,
        active: impl IntoIterator<Item = &'s Spender>,
    ) -> Self {
        let above = |scope: &KeyScope| match (target, scope) {
            (
                BudgetTarget::Team(_) | BudgetTarget::Project(_) | BudgetTarget::Group(_),
                KeyScope::Organization,
            ) => true,
            (BudgetTarget::Project(_), KeyScope::Team { id, .. }) => team == Some(id),
            _ => false,
        };
        active
            .into_iter()
            .fold(Self::default(), |reach, spender| Self {
                reachable: reach.reachable || spender.counts_toward(target, rule),
                any_key: true,
                ancestor_key: reach.ancestor_key || spender.scopes.iter().any(above),
            })
    }

    /// Whether a budget for `target` may be created: `false` means
    /// `gateway_budget_scope_unreachable`. Only teams, projects and groups are guarded.
    #[must_use]
    pub const fn accepts(self, target: &BudgetTarget, allow_unreachable: bool) -> bool {
        let Self {
            reachable,
            any_key,
            ancestor_key,
        } = self;
        let guarded = matches!(
            target,
            BudgetTarget::Team(_) | BudgetTarget::Project(_) | BudgetTarget::Group(_)
        );
        !guarded || !any_key || reachable || allow_unreachable || ancestor_key
    }

    /// `scope_reach` as reads publish it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        if self.reachable {
            "reachable"
        } else {
            "unreachable"
        }
    }
}
