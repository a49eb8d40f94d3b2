//! The rules of routing policies: who may write which, what they may name, and what the keys that use
//! them are told (domain 8).
//!
//! A policy is read where its scopes hand it down, and written by who manages policies at every one of its
//! scopes. A scope has one default at most: whatever makes a policy the default takes the flag from the
//! others in the same transaction. Start at [`create`] and [`update`].

use lw_core::{Code, Error, ModelProviderId, RoutingPolicyId, UnixMicros};
use lw_engine::access::{Action, Permission as Wanted, Resource};
use lw_store::config::{ChangeEvent, ChangeKind, ScopeKind, Write};
use lw_store::rows::{RoutingPolicy, Scope, Strategy};
use serde_json::{Map, Value, json};

use super::body::{NewPolicy, PolicyPatch, no_rule};
use super::view;
use crate::Admin;
use crate::caller::{Caller, Permit, permission_denied};
use crate::edge::stored;
use crate::idempotency::Keep;
use crate::input::{BODY, Problems, QUERY, refuse};
use crate::permission::{RoutingPoliciesManage, RoutingPoliciesView};
use crate::revised::{self, Change, New, Row, Shown, Step};
use crate::scope;
use crate::serve::Answer;
use crate::sorted;
use crate::write::{Filed, commit};

const VIEW: Wanted = Wanted::new(Resource::RoutingPolicies, Action::View);
const MANAGE: Wanted = Wanted::new(Resource::RoutingPolicies, Action::Manage);
const SEE_PROVIDERS: Wanted = Wanted::new(Resource::ModelProviders, Action::View);

impl Row for RoutingPolicy {
    const KIND: &'static str = "routing_policy";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn advance(&mut self, now: UnixMicros) {
        self.revision = self.revision.saturating_add(1);
        self.updated_at = now;
    }

    fn show(&self, _: &Admin) -> Value {
        view::policy(self)
    }

    fn missing() -> Error {
        Error::new(Code::RoutingPolicyNotFound, "Routing policy not found.")
    }

    fn filed(&self) -> Filed {
        Filed::at(&self.scopes)
    }
}

/// What a list of policies is sorted by: the defaults, the name, the id.
pub(super) fn sort_key(row: &RoutingPolicy) -> (bool, String, String) {
    (!row.is_default, sorted::name(&row.name), row.id.to_string())
}

/// The policies that the caller sees, or those of them that a key at a scope may select.
pub(super) fn list(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesView>,
    selectable_for: Option<&(ScopeKind, scope::Wanted)>,
) -> Result<Vec<RoutingPolicy>, Error> {
    let selectable = match selectable_for {
        Some((kind, wanted)) => Some(above(admin, permit, *kind, wanted)?),
        None => None,
    };
    let sight = permit.sight(admin, VIEW)?;
    let rows = admin
        .store
        .routing_policies(&permit.organization.id)
        .map_err(stored)?;
    let seen = rows.into_iter().filter(|row| {
        sight.sees_inherited(&row.scopes)
            && selectable
                .as_ref()
                .is_none_or(|levels| row.scopes.iter().any(|scope| levels.contains(scope)))
    });
    Ok(seen.collect())
}

/// A scope and everything above it: where a policy may sit that a key at the scope selects (domain 8.2).
///
/// # Errors
/// `permission_denied` at a team or a project where the caller sees no policies, which is also the answer
/// to one that does not exist; `gateway_scope_org_mismatch`.
fn above(
    admin: &Admin,
    caller: &Caller,
    kind: ScopeKind,
    wanted: &scope::Wanted,
) -> Result<Vec<Scope>, Error> {
    let wanted = std::slice::from_ref(wanted);
    // Whoever is let in knows its own organization.
    let found = scope::permitted(admin, caller, wanted, VIEW, |place| {
        kind == ScopeKind::Organization || caller.access.may(VIEW, place)
    })?;
    let mut levels = vec![Scope::Organization(caller.organization.id.clone())];
    for scope in found {
        if let Scope::Project(id) = &scope {
            let project = admin.store.project(&caller.organization.id, id);
            let team = project.map_err(stored)?.map(|project| project.team_id);
            levels.extend(team.map(Scope::Team));
        }
        levels.push(scope);
    }
    Ok(levels)
}

/// A policy that the caller sees.
pub(super) fn visible(admin: &Admin, caller: &Caller, id: &str) -> Result<RoutingPolicy, Error> {
    let id = RoutingPolicyId::parse(id).map_err(|_not_an_id| RoutingPolicy::missing())?;
    let row = admin
        .store
        .routing_policy(&caller.organization.id, &id)
        .map_err(stored)?
        .ok_or_else(RoutingPolicy::missing)?;
    if caller.sight(admin, VIEW)?.sees_inherited(&row.scopes) {
        Ok(row)
    } else {
        Err(RoutingPolicy::missing())
    }
}

/// A policy that the caller may change: whoever does changes it for every one of its scopes.
fn managed(admin: &Admin, caller: &Caller, id: &str) -> Result<RoutingPolicy, Error> {
    let row = visible(admin, caller, id)?;
    for scope in &row.scopes {
        caller.require(admin, MANAGE, scope)?;
    }
    Ok(row)
}

/// Scopes that the caller named and manages policies at.
fn new_scopes(
    admin: &Admin,
    caller: &Caller,
    wanted: &[scope::Wanted],
) -> Result<Vec<Scope>, Error> {
    scope::permitted(admin, caller, wanted, MANAGE, |place| {
        caller.access.may(MANAGE, place)
    })
}

/// The providers that a policy is to list. What it lists already may stay although it was deleted or the
/// caller does not see it; what is new must be the organization's and seen.
fn providers(
    admin: &Admin,
    caller: &Caller,
    wanted: &[String],
    listed: &[ModelProviderId],
) -> Result<Vec<ModelProviderId>, Error> {
    let sight = caller.sight(admin, SEE_PROVIDERS)?;
    let mut problems = Problems::of(BODY);
    let mut ids: Vec<ModelProviderId> = Vec::new();
    for (place, text) in wanted.iter().enumerate() {
        let known = match ModelProviderId::parse(text) {
            Err(_not_an_id) => None,
            Ok(id) if listed.contains(&id) => Some(id),
            Ok(id) => admin
                .store
                .model_provider(&caller.organization.id, &id)
                .map_err(stored)?
                .filter(|row| sight.sees_inherited(&row.scopes))
                .map(|row| row.id),
        };
        match known {
            None => problems.add(
                format!("model_provider_ids.{place}"),
                "not_found",
                "is not a model provider of this organization that you can see",
            ),
            Some(id) if ids.contains(&id) => problems.add(
                format!("model_provider_ids.{place}"),
                "invalid_value",
                "is there twice",
            ),
            Some(id) => ids.push(id),
        }
    }
    problems.finish()?;
    Ok(ids)
}

/// A new policy whose scopes and providers were checked.
pub(super) struct Prepared {
    new: NewPolicy,
    scopes: Vec<Scope>,
    providers: Vec<ModelProviderId>,
}

/// The checks that come before an `Idempotency-Key` is looked at.
pub(super) fn prepare(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesManage>,
    new: NewPolicy,
) -> Result<Prepared, Error> {
    let scopes = match &new.rest.scopes {
        Some(wanted) => new_scopes(admin, permit, wanted)?,
        None => {
            let scope = permit.context_scope();
            if !permit.may(admin, MANAGE, &scope)? {
                let refused = permission_denied(MANAGE, &scope);
                return Err(refused.tip("Name the scopes of the policy in `scopes`."));
            }
            vec![scope]
        }
    };
    let providers = providers(admin, permit, &new.providers, &[])?;
    Ok(Prepared {
        new,
        scopes,
        providers,
    })
}

/// Creates a policy. No key uses it yet, so gateways are told nothing.
pub(super) fn create(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesManage>,
    prepared: &Prepared,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let Prepared {
        new,
        scopes,
        providers,
    } = prepared;
    let NewPolicy {
        name,
        providers: _,
        rest,
    } = new;
    let PolicyPatch {
        name: _,
        description,
        strategy,
        providers: _,
        aliases,
        default_model,
        rules,
        fallback,
        scopes: _,
        is_default,
    } = rest;
    let now = admin.clock.now();
    let no_rules = || {
        let open = ["tools", "mcp", "urls", "models"].map(|name| (name.to_owned(), no_rule()));
        Value::Object(Map::from_iter(open))
    };
    let row = RoutingPolicy {
        id: RoutingPolicyId::mint(now, admin.entropy.as_ref()),
        organization_id: permit.organization.id.clone(),
        name: name.clone(),
        description: description.clone().value(),
        strategy: strategy.unwrap_or(Strategy::Ordered),
        model_provider_ids: providers.clone(),
        model_aliases: aliases.clone().unwrap_or_default(),
        default_model: default_model.clone().value(),
        policy_rules: rules.clone().unwrap_or_else(no_rules),
        fallback: fallback.clone().value(),
        is_default: is_default.unwrap_or(false),
        scopes: scopes.clone(),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let mut writes = vec![Write::InsertRoutingPolicy(&row)];
    writes.extend(others_default_no_more(&row, now));
    let new = New {
        row: &row,
        writes,
        events: Vec::new(),
        beside: Map::new(),
        now,
    };
    revised::create(admin, permit, "gateway.routing_policy.created", &new, keep)
}

/// Takes the flag from the other defaults of a default's scopes.
fn others_default_no_more(row: &RoutingPolicy, now: UnixMicros) -> Option<Write<'_>> {
    row.is_default.then_some(Write::ClearDefaultPolicies {
        organization: &row.organization_id,
        scopes: &row.scopes,
        except: &row.id,
        now,
    })
}

/// Changes what `patch` names, and counts a revision on every key that uses the policy.
pub(super) fn update(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesManage>,
    id: &str,
    seen: Option<i64>,
    patch: &PolicyPatch,
) -> Result<Shown, Error> {
    let PolicyPatch {
        name,
        description,
        strategy,
        providers: wanted,
        aliases,
        default_model,
        rules,
        fallback,
        scopes,
        is_default,
    } = patch;
    managed(admin, permit, id)?;
    let scopes = match scopes {
        Some(wanted) => Some(new_scopes(admin, permit, wanted)?),
        None => None,
    };
    let change = changing(admin, permit, "gateway.routing_policy.updated", id, seen);
    let done = change.run(
        || managed(admin, permit, id),
        |row, _| {
            if let Some(wanted) = wanted {
                row.model_provider_ids = providers(admin, permit, wanted, &row.model_provider_ids)?;
            }
            if let Some(scopes) = &scopes {
                row.scopes.clone_from(scopes);
            }
            if let Some(name) = name {
                row.name.clone_from(name);
            }
            if let Some(aliases) = aliases {
                row.model_aliases.clone_from(aliases);
            }
            if let Some(rules) = rules {
                row.policy_rules.clone_from(rules);
            }
            row.strategy = strategy.unwrap_or(row.strategy);
            row.is_default = is_default.unwrap_or(row.is_default);
            row.description = description.clone().over(row.description.take());
            row.default_model = default_model.clone().over(row.default_model.take());
            row.fallback = fallback.clone().over(row.fallback.take());
            Ok(Step::Write)
        },
        |writing| {
            let (row, expected, now) = (writing.row, writing.expected, writing.now);
            let mut writes = vec![
                Write::UpdateRoutingPolicy { row, expected },
                Write::BumpKeysWithPolicy {
                    organization: &row.organization_id,
                    policy: &row.id,
                    now,
                },
            ];
            writes.extend(others_default_no_more(row, now));
            commit(admin, &writes, writing.change)
        },
    )?;
    Ok(done.new)
}

/// Makes a policy the default of its scopes. The keys that use it notice nothing.
pub(super) fn set_default(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesManage>,
    id: &str,
    seen: Option<i64>,
) -> Result<Shown, Error> {
    let change = changing(admin, permit, "gateway.routing_policy.updated", id, seen);
    let done = change.run(
        || managed(admin, permit, id),
        |row, _| {
            if row.is_default {
                return Ok(Step::Nothing);
            }
            row.is_default = true;
            Ok(Step::Write)
        },
        |writing| {
            let (row, expected) = (writing.row, writing.expected);
            let mut writes = vec![Write::UpdateRoutingPolicy { row, expected }];
            writes.extend(others_default_no_more(row, writing.now));
            commit(admin, &writes, writing.change)
        },
    )?;
    Ok(done.new)
}

/// Deletes a policy; gives what it was and how many keys had to move.
pub(super) fn delete(
    admin: &Admin,
    permit: &Permit<RoutingPoliciesManage>,
    id: &str,
    seen: Option<i64>,
    replacement: Option<&str>,
) -> Result<(Shown, u64), Error> {
    let row = managed(admin, permit, id)?;
    let replacement = match replacement {
        None => None,
        Some(text) if text == row.id.as_str() => {
            let text = "must be another policy than the one that is deleted";
            return Err(refuse(
                QUERY,
                "replacement_policy_id",
                "invalid_value",
                text,
            ));
        }
        Some(text) => Some(visible(admin, permit, text)?.id),
    };
    let deleting = Change {
        args: replacement
            .as_ref()
            .map(|id| json!({ "replacement_policy_id": id })),
        events: vec![event(
            permit,
            ChangeKind::RoutingPolicyDeleted,
            row.id.as_str(),
        )],
        deletes: true,
        ..changing(admin, permit, "gateway.routing_policy.deleted", id, seen)
    };
    let done = deleting.run(
        || managed(admin, permit, id),
        |_, _| Ok(Step::Write),
        |writing| {
            let (row, expected, now) = (writing.row, writing.expected, writing.now);
            // The update only makes sure that nobody changed the policy meanwhile.
            let writes = [
                Write::UpdateRoutingPolicy { row, expected },
                Write::DeleteRoutingPolicy {
                    organization: &row.organization_id,
                    id: &row.id,
                    replacement: replacement.as_ref(),
                    now,
                },
            ];
            commit(admin, &writes, writing.change)
        },
    )?;
    let moved = done.committed.map_or(0, |committed| committed.counted);
    Ok((done.old, moved))
}

fn changing<'a>(
    admin: &'a Admin,
    caller: &'a Caller,
    action: &'static str,
    id: &str,
    seen: Option<i64>,
) -> Change<'a> {
    Change {
        admin,
        caller,
        action,
        args: None,
        events: vec![event(caller, ChangeKind::RoutingPolicyUpdated, id)],
        seen,
        deletes: false,
    }
}

fn event(caller: &Caller, kind: ChangeKind, id: &str) -> ChangeEvent {
    ChangeEvent {
        payload: Some(json!({ "routing_policy_id": id }).to_string()),
        ..ChangeEvent::of(kind, caller.organization.id.clone())
    }
}
