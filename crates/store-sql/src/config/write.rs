//! The one way in: each write of a transaction, in its order, then what comes with them.
//!
//! Must never begin or end a transaction itself. Start at [`commit`].

use lw_store::config::{Change, ChangeEvent, Committed, Write};
use rusqlite::Connection;

use super::{
    access, api_keys, budgets, changes, conditions, document, keys, people, policies, providers,
    tenants,
};
use crate::sqlite::DbError;

/// What writes leave behind besides rows.
struct Effects {
    events: Vec<ChangeEvent>,
    counted: u64,
}

impl Effects {
    fn count(&mut self, rows: usize) {
        self.counted += u64::try_from(rows).unwrap_or(u64::MAX);
    }

    /// Adds what a write tells, if it was done.
    fn tell(&mut self, events: Result<Vec<ChangeEvent>, DbError>) -> Result<(), DbError> {
        self.events.extend(events?);
        Ok(())
    }

    /// Counts one row for each event.
    fn announce(&mut self, events: Vec<ChangeEvent>) {
        self.count(events.len());
        self.events.extend(events);
    }
}

/// Does all of it, inside a transaction of the caller.
pub(super) fn commit(
    db: &Connection,
    writes: &[Write<'_>],
    change: &Change,
) -> Result<Committed, DbError> {
    let mut effects = Effects {
        events: change.events.clone(),
        counted: 0,
    };
    for write in writes {
        apply(db, *write, &mut effects)?;
    }
    let Effects { events, counted } = effects;
    let revision = changes::record(db, &events, change)?;
    Ok(Committed {
        revision,
        events,
        counted,
    })
}

/// One write. Each line names where it is done; nothing is decided here.
fn apply(db: &Connection, write: Write<'_>, effects: &mut Effects) -> Result<(), DbError> {
    match write {
        Write::StillIs(known) => conditions::still_is(db, known),
        Write::RequireAdministrator { organization } => conditions::administrator(db, organization),
        Write::RequireNoProject { organization, team } => {
            conditions::no_project(db, organization, team)
        }

        Write::FirstOrganization(tenant) => tenants::insert_first(db, tenant),
        Write::InsertOrganization(tenant) => tenants::insert_tenant(db, tenant),
        Write::UpdateOrganization(row) => tenants::update_organization(db, row),
        Write::InsertTeam(row) => tenants::insert_team(db, row),
        Write::UpdateTeam(row) => tenants::update_team(db, row),
        Write::InsertProject(row) => tenants::insert_project(db, row),
        Write::UpdateProject(row) => tenants::update_project(db, row),

        Write::InsertUser(row) => people::insert_user(db, row),
        Write::UpdateUser(row) => people::update_user(db, row),
        Write::PutMember {
            organization,
            user,
            role,
            disabled_at,
            now,
        } => people::put_member(db, organization, user, role, disabled_at, now),
        Write::RemoveMember { organization, user } => {
            effects.tell(people::remove_member(db, organization, user))
        }
        Write::PutTeamMember { organization, row } => {
            effects.tell(people::put_team_member(db, organization, row))
        }
        Write::RemoveTeamMember {
            organization,
            team,
            user,
        } => effects.tell(people::remove_team_member(db, organization, team, user)),
        Write::InsertGroup(row) => document::insert(db, row),
        Write::UpdateGroup(row) => document::update(db, row, None),
        Write::DeleteGroup { organization, id } => {
            document::delete::<lw_store::rows::Group>(db, organization, id.as_str())
        }
        Write::AddGroupMember {
            organization,
            group,
            user,
        } => effects.tell(people::add_group_member(db, organization, group, user)),
        Write::RemoveGroupMember {
            organization,
            group,
            user,
        } => effects.tell(people::remove_group_member(db, organization, group, user)),
        Write::InsertRole(row) => document::insert(db, row),
        Write::UpdateRole(row) => document::update(db, row, None),
        Write::DeleteRole { organization, id } => access::delete_role(db, organization, id),
        Write::InsertBinding(row) => access::insert_binding(db, row),
        Write::UpdateBinding(row) => access::update_binding(db, row),
        Write::DeleteBinding { organization, id } => access::delete_binding(db, organization, id),
        Write::DeleteBindingsOf {
            organization,
            principal,
        } => access::delete_bindings_of(db, organization, principal),
        Write::InsertApiKey(row) => api_keys::insert(db, row),
        Write::UpdateApiKey(row) => api_keys::update(db, row),
        Write::RevokeApiKeysOf {
            organization,
            user,
            now,
        } => {
            effects.count(api_keys::revoke_of(db, organization, user, now)?);
            Ok(())
        }
        Write::InsertInvite(row) => document::insert(db, row),
        Write::UpdateInvite(row) => document::update(db, row, None),

        Write::InsertModelProvider(row) => providers::insert(db, row),
        Write::UpdateModelProvider { row, expected } => providers::update(db, row, expected),
        Write::DeleteModelProvider {
            organization,
            id,
            expected,
        } => providers::delete(db, organization, id, expected),

        Write::InsertVirtualKey(row) => keys::insert(db, row),
        Write::UpdateVirtualKey { row, expected } => keys::update(db, row, expected),
        Write::RevokeKeysOf {
            organization,
            user,
            by,
            now,
        } => {
            let (keys, events) = keys::revoke_of(db, organization, user, by, now)?;
            effects.count(keys);
            effects.events.extend(events);
            Ok(())
        }
        Write::BumpKeysWithGuardrail {
            organization,
            guardrail,
            now,
        } => {
            effects.announce(keys::bump_with_guardrail(db, organization, guardrail, now)?);
            Ok(())
        }
        Write::BumpKeysTracingInto {
            organization,
            project,
            now,
        } => {
            effects.announce(keys::bump_tracing_into(db, organization, project, now)?);
            Ok(())
        }
        Write::BumpKeysOf { organization, now } => {
            effects.count(keys::bump_all(db, organization, now)?);
            Ok(())
        }
        Write::BumpKeysWithPolicy {
            organization,
            policy,
            now,
        } => {
            effects.count(keys::bump_with_policy(db, organization, policy, now)?);
            Ok(())
        }

        Write::InsertRoutingPolicy(row) => policies::insert_policy(db, row),
        Write::UpdateRoutingPolicy { row, expected } => policies::update_policy(db, row, expected),
        Write::ClearDefaultPolicies {
            organization,
            scopes,
            except,
            now,
        } => policies::clear_defaults(db, organization, scopes, except, now),
        Write::DeleteRoutingPolicy {
            organization,
            id,
            replacement,
            now,
        } => {
            effects.count(policies::delete_policy(
                db,
                organization,
                id,
                replacement,
                now,
            )?);
            Ok(())
        }
        Write::InsertBudget(row) => budgets::insert(db, row),
        Write::UpdateBudget { row, expected } => document::update(db, row, Some(expected)),
        Write::ArchiveBudgetsOf {
            organization,
            target,
            now,
        } => {
            effects.announce(budgets::archive_of(db, organization, target, now)?);
            Ok(())
        }
        Write::ArchiveBudgetsOfKey {
            organization,
            key,
            now,
        } => {
            effects.announce(budgets::archive_of_key(db, organization, key, now)?);
            Ok(())
        }
        Write::PutBucketBoundary {
            budget,
            bucket,
            period_started_at,
        } => budgets::put_boundary(db, budget, bucket, period_started_at),
        Write::DeleteBucketBoundaries { budget } => budgets::delete_boundaries(db, budget),
        Write::InsertCacheRule(row) => document::insert(db, row),
        Write::UpdateCacheRule { row, expected } => document::update(db, row, Some(expected)),
        Write::InsertGuardrail(row) => document::insert(db, row),
        Write::UpdateGuardrail { row, expected } => document::update(db, row, Some(expected)),
        Write::InsertModelPrice(row) => document::insert(db, row),
        Write::UpdateModelPrice { row, expected } => document::update(db, row, Some(expected)),
        Write::DeleteModelPrice { organization, id } => {
            document::delete::<lw_store::rows::ModelPrice>(db, organization, id.as_str())
        }
    }
}
