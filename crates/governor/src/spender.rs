//! Which budgets the calls of one key count toward: the store's facts of the key, put to the engine.
//!
//! Everything is about one key and is done once, when its bundle is compiled. Must never decide
//! applicability itself: that is [`lw_engine::budget_scope`]. Start at [`applied`].

#[cfg(test)]
mod tests;

use lw_engine::budget_scope::{KeyScope, Principal, Spender, TeamRule, TraceProject};
use lw_store::bundle::{KeyRecord, PrincipalFacts};
use lw_store::rows::{Budget, BudgetTarget, ProjectKind, Scope};

/// A budget that the key's calls count toward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// Whose bucket of it: the key's person for a group's, empty for every other. A template's is the end
    /// user's, whom a request names.
    pub member: &'a str,
    /// Whether each end user has a bucket, so that a request must name one (domain 11).
    pub template: bool,
}

/// The budgets that apply to the key (domain 13.1), sorted by scope type, then budget.
#[must_use]
pub fn applied(record: &KeyRecord, rule: TeamRule) -> Vec<Applied<'_>> {
    let spender = spender(record);
    let person = record.principal.as_ref().map(|person| person.user.as_str());
    let mut applied: Vec<_> = record
        .budgets
        .iter()
        .filter(|budget| spender.counts_toward(&budget.target, rule))
        .filter_map(|budget| {
            let (member, template) = match budget.target {
                BudgetTarget::Group(_) => (person?, false),
                BudgetTarget::EndUsersOfKey(_) | BudgetTarget::EndUsersOfProject(_) => ("", true),
                BudgetTarget::Organization(_)
                | BudgetTarget::Team(_)
                | BudgetTarget::Project(_)
                | BudgetTarget::VirtualKey(_)
                | BudgetTarget::Principal(_) => ("", false),
            };
            Some(Applied {
                budget,
                member,
                template,
            })
        })
        .collect();
    applied.sort_by_key(|each| (each.budget.target.scope_type(), &each.budget.id));
    applied
}

/// The key with all that it counts toward.
#[must_use]
pub fn spender(record: &KeyRecord) -> Spender {
    let KeyRecord {
        key,
        previous_secret: _,
        organization,
        trace_project,
        providers: _,
        policy: _,
        prices: _,
        personal_teams,
        principal,
        cache_rules: _,
        guardrails: _,
        budgets: _,
    } = record;
    let scopes = key.scopes.iter().map(|scope| match scope {
        Scope::Organization(_) => KeyScope::Organization,
        Scope::Team(id) => KeyScope::Team {
            id: id.clone(),
            personal: personal_teams.contains(id),
        },
        Scope::Project(id) => KeyScope::Project(id.clone()),
    });
    let person = |facts: &PrincipalFacts| {
        let PrincipalFacts {
            user,
            teams,
            groups,
        } = facts;
        Principal {
            user: user.clone(),
            teams: teams.clone(),
            groups: groups.clone(),
        }
    };
    Spender {
        organization: organization.id.clone(),
        key: Some(key.id.clone()),
        scopes: scopes.collect(),
        trace_project: Some(TraceProject {
            id: trace_project.id.clone(),
            team: trace_project.team_id.clone(),
            shared: match trace_project.kind {
                ProjectKind::Application => true,
                ProjectKind::InternalGovernance | ProjectKind::Personal => false,
            },
        }),
        principal: principal.as_ref().map(person),
    }
}
