//! What a key reaches, worked out as the data plane works it out: providers in dispatch order, what is
//! left out and why, aliases, attempts (domain 9, 8.3, 16.2).
//!
//! Must never show a credential. Start at [`of`].

use std::collections::BTreeMap;

use lw_core::{Error, ModelProviderId};
use lw_engine::access::{Level, Place};
use lw_engine::eligible::{Policy, PolicyStrategy, Provider, eligible};
use lw_store::rows::{ModelProvider, RoutingMode, RoutingPolicy, Scope, Strategy, VirtualKey};
use serde_json::{Map, Value, json};

use super::config;
use crate::Admin;
use crate::caller::{level_of, place_of};
use crate::edge::stored;

/// Names that mean the policy's default model when it has one (domain 8.3).
const TIERS: [&str; 3] = ["complex", "reasoning", "fast"];

/// The shape `EffectiveVirtualKey`.
///
/// # Errors
/// The store failed.
pub(super) fn of(admin: &Admin, key: &VirtualKey) -> Result<Value, Error> {
    let organization = &key.organization_id;
    let rows = admin
        .store
        .reachable_providers(organization, &key.scopes)
        .map_err(stored)?;
    let policy = match &key.routing_policy_id {
        Some(id) => admin
            .store
            .routing_policy(organization, id)
            .map_err(stored)?,
        None => None,
    };
    let levels: Vec<Vec<Level>> = rows
        .iter()
        .map(|row| row.scopes.iter().map(level_of).collect())
        .collect();
    let facts: Vec<Provider<'_>> = rows
        .iter()
        .zip(&levels)
        .map(|(row, levels)| Provider {
            id: &row.id,
            levels,
            enabled: row.enabled,
            disabled: row.disabled_at.is_some(),
            // The store hands out nothing else.
            dispatchable: true,
            priority: row.fallback_priority_global,
            created_at: row.created_at,
        })
        .collect();
    let strategy = |strategy| match strategy {
        Strategy::Ordered => PolicyStrategy::Ordered,
        Strategy::Priority => PolicyStrategy::Priority,
    };
    let rules = policy.as_ref().map(|policy| Policy {
        strategy: strategy(policy.strategy),
        providers: &policy.model_provider_ids,
    });
    // A key whose policy is gone reaches nothing.
    let gone = Policy {
        strategy: PolicyStrategy::Ordered,
        providers: &[],
    };
    let rules = match key.routing_mode {
        RoutingMode::Policy => Some(rules.unwrap_or(gone)),
        RoutingMode::None | RoutingMode::FallbackAll => None,
    };
    let allowed: Option<Vec<ModelProviderId>> = config::providers_allowed(&key.config)
        .filter(|list| !list.is_empty())
        .map(|list| {
            list.iter()
                .filter_map(|id| ModelProviderId::parse(id).ok())
                .collect()
        });
    let scopes = places(admin, key)?;
    let found = eligible(&scopes, &facts, rules, allowed.as_deref());
    let row_of = |id: &ModelProviderId| rows.iter().find(|row| row.id == *id);
    let providers: Vec<Value> = found
        .chain
        .iter()
        .filter_map(|id| row_of(id))
        .enumerate()
        .map(|(position, row)| shown(row, &[("position", json!(position))]))
        .collect();
    let excluded = |ids: &[&ModelProviderId], reason: &str| -> Vec<Value> {
        ids.iter()
            .filter_map(|id| row_of(id))
            .map(|row| shown(row, &[("reason", json!(reason))]))
            .collect()
    };
    let mut left_out = excluded(&found.routing_excluded, "not_in_policy");
    left_out.extend(excluded(&found.access_excluded, "not_allowed"));
    let config = config::shown(&key.config);
    let attempts = match key.routing_mode {
        RoutingMode::None => json!(1),
        RoutingMode::FallbackAll | RoutingMode::Policy => {
            attempts(&key.config, policy.as_ref()).into()
        }
    };
    Ok(json!({
        "virtual_key_id": key.id,
        "routing_mode": key.routing_mode,
        "routing_policy": policy.as_ref().map(|policy| json!({ "id": policy.id, "name": policy.name })),
        "trace_project_id": key.trace_project_id,
        "providers": providers,
        "excluded_providers": left_out,
        "model_aliases": aliases(&key.config, policy.as_ref()),
        "models_allowed": config.get("modelsAllowed"),
        "max_attempts": attempts,
    }))
}

/// The places of a key's scopes.
fn places(admin: &Admin, key: &VirtualKey) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for scope in &key.scopes {
        match scope {
            Scope::Organization(_) => places.push(Place::organization()),
            Scope::Team(id) => places.push(Place::team(id.clone())),
            Scope::Project(id) => {
                let project = admin
                    .store
                    .project(&key.organization_id, id)
                    .map_err(stored)?;
                places.extend(project.as_ref().map(place_of));
            }
        }
    }
    Ok(places)
}

fn shown(row: &ModelProvider, more: &[(&str, Value)]) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), json!(row.id));
    map.insert("name".into(), json!(row.name));
    map.insert("provider".into(), json!(row.provider));
    map.insert("routing_handle".into(), json!(row.routing_handle));
    for (name, value) in more {
        map.insert((*name).to_owned(), value.clone());
    }
    Value::Object(map)
}

/// The key's own number, else the policy's, else three (domain 8.1).
fn attempts(config: &str, policy: Option<&RoutingPolicy>) -> u64 {
    let of = |fallback: Option<&Value>| fallback?.get("maxAttempts")?.as_u64();
    let stored: Value = serde_json::from_str(config).unwrap_or_default();
    of(stored.get("fallback"))
        .or_else(|| of(policy.and_then(|policy| policy.fallback.as_ref())))
        .unwrap_or(3)
}

/// The policy's aliases and tiers, overlaid by the key's (domain 7.6, 8.3), each with its origin.
fn aliases(config: &str, policy: Option<&RoutingPolicy>) -> BTreeMap<String, Value> {
    let from = |target: &str, origin: &str| json!({ "target": target, "origin": origin });
    let mut all = BTreeMap::new();
    if let Some(policy) = policy {
        for tier in policy.default_model.iter().flat_map(|model| {
            let pair = move |tier: &&str| ((*tier).to_owned(), from(model, "policy"));
            TIERS.iter().map(pair)
        }) {
            all.insert(tier.0, tier.1);
        }
        let own = policy.model_aliases.iter();
        all.extend(own.map(|(name, target)| (name.clone(), from(target, "policy"))));
    }
    let stored: Value = serde_json::from_str(config).unwrap_or_default();
    let own = stored.get("modelAliases").and_then(Value::as_object);
    for (name, target) in own.into_iter().flatten() {
        if let Some(target) = target.as_str() {
            all.insert(name.clone(), from(target, "key"));
        }
    }
    all
}
