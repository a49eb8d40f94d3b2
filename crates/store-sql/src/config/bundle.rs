//! What one key's bundle is compiled from: the rows that decide about its calls.
//!
//! The caller's transaction makes them facts of one moment. What is read grows with what applies to this
//! key, not with how many keys, teams, people or budgets there are. Must never decide which budgets count:
//! that is the engine's, and this only reads all that could. Start at [`by_hash`].

use lw_core::{OrganizationId, TeamId, UserId, VirtualKeyId};
use lw_store::bundle::{KeyRecord, PrincipalFacts};
use lw_store::rows::{BudgetTarget, Guardrail, Project, Scope, VirtualKey};
use rusqlite::Connection;

use super::columns::{corrupt, id};
use super::{budgets, document, keys, people, policies, providers, tenants};
use crate::sqlite::{DbError, all};

/// Domain 7.4 and 16.1.
pub(super) fn by_hash(db: &Connection, hashes: &[String]) -> Result<Option<KeyRecord>, DbError> {
    let found = keys::by_hash(db, hashes)?;
    found
        .map(|(key, previous_secret)| record(db, key, previous_secret))
        .transpose()
}

/// The same of a key that is known by its id.
pub(super) fn by_id(
    db: &Connection,
    organization: &OrganizationId,
    id: &VirtualKeyId,
) -> Result<Option<KeyRecord>, DbError> {
    let found = keys::get_one(db, organization, id.as_str())?;
    found.map(|key| record(db, key, false)).transpose()
}

fn record(db: &Connection, key: VirtualKey, previous_secret: bool) -> Result<KeyRecord, DbError> {
    let organization = tenants::owner(db, &key.organization_id)?;
    let trace_project = tenants::project(db, &key.organization_id, &key.trace_project_id)?
        .ok_or_else(|| corrupt("trace_project_id", &"no such project"))?;
    let providers = providers::reachable(db, &key.organization_id, &key.scopes)?;
    let policy = key
        .routing_policy_id
        .as_ref()
        .map(|id| document::get_one(db, &key.organization_id, id.as_str()))
        .transpose()?
        .flatten();
    let prices = policies::model_prices(db, &key.organization_id)?;
    let personal_teams = personal_teams(db, &key)?;
    let principal = key
        .principal_user_id
        .as_ref()
        .map(|user| principal(db, &key.organization_id, user))
        .transpose()?;
    let mut cache_rules = policies::cache_rules(db, &key.organization_id)?;
    cache_rules.retain(|rule| rule.enabled);
    let guardrails = guardrails(db, &key)?;
    let targets = targets(&key, &trace_project, principal.as_ref());
    let budgets = budgets::of_targets(db, &key.organization_id, &targets)?;
    Ok(KeyRecord {
        key,
        previous_secret,
        organization,
        trace_project,
        providers,
        policy,
        prices,
        personal_teams,
        principal,
        cache_rules,
        guardrails,
        budgets,
    })
}

fn personal_teams(db: &Connection, key: &VirtualKey) -> Result<Vec<TeamId>, DbError> {
    all(
        db,
        "SELECT t.id FROM virtual_key_scopes s
         JOIN teams t ON t.organization_id = s.organization_id AND t.id = s.team_id
         WHERE s.virtual_key_id = $1 AND t.personal_owner IS NOT NULL ORDER BY s.place",
        [key.id.as_str()],
        |row| id(row, "id"),
    )
}

fn principal(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<PrincipalFacts, DbError> {
    Ok(PrincipalFacts {
        user: user.clone(),
        teams: people::shared_teams_of(db, organization, user)?,
        groups: people::groups_of(db, organization, user)?,
    })
}

/// One look for each attached guardrail: a project may have many more than a key attaches.
fn guardrails(db: &Connection, key: &VirtualKey) -> Result<Vec<Guardrail>, DbError> {
    let project = key.guardrail_project();
    let mut rows = Vec::new();
    for attached in key.attached_guardrails() {
        let row: Option<Guardrail> = document::get_one(db, &key.organization_id, &attached)?;
        rows.extend(row.filter(|row| row.project_id == *project && row.archived_at.is_none()));
    }
    Ok(rows)
}

/// All that a budget can be for to apply to the key, and perhaps more (domain 13.1).
fn targets(
    key: &VirtualKey,
    trace_project: &Project,
    principal: Option<&PrincipalFacts>,
) -> Vec<BudgetTarget> {
    let mut targets = vec![
        BudgetTarget::Organization(key.organization_id.clone()),
        BudgetTarget::VirtualKey(key.id.clone()),
        BudgetTarget::EndUsersOfKey(key.id.clone()),
        BudgetTarget::Project(trace_project.id.clone()),
        BudgetTarget::EndUsersOfProject(trace_project.id.clone()),
        BudgetTarget::Team(trace_project.team_id.clone()),
    ];
    targets.extend(key.scopes.iter().filter_map(|scope| match scope {
        Scope::Team(id) => Some(BudgetTarget::Team(id.clone())),
        Scope::Organization(_) | Scope::Project(_) => None,
    }));
    if let Some(PrincipalFacts {
        user,
        teams,
        groups,
    }) = principal
    {
        targets.push(BudgetTarget::Principal(user.clone()));
        targets.extend(teams.iter().cloned().map(BudgetTarget::Team));
        targets.extend(groups.iter().cloned().map(BudgetTarget::Group));
    }
    targets
}
