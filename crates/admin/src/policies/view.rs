//! A routing policy as callers see it (management-api 11). Start at [`policy`].

use lw_store::rows::{RoutingPolicy, Strategy};
use serde_json::{Map, Value, json};

use super::body::{DIMENSIONS, no_rule};

/// The resource. All four dimensions of the rules are there; `fallback` only when it is set.
pub(super) fn policy(row: &RoutingPolicy) -> Value {
    let RoutingPolicy {
        id,
        organization_id,
        name,
        description,
        strategy,
        model_provider_ids,
        model_aliases,
        default_model,
        policy_rules,
        fallback,
        is_default,
        scopes,
        revision: _,
        created_at,
        updated_at,
    } = row;
    let rules: Map<String, Value> = DIMENSIONS
        .iter()
        .map(|name| {
            let rule = policy_rules.get(name).cloned().unwrap_or_else(no_rule);
            ((*name).to_owned(), rule)
        })
        .collect();
    let mut out = json!({
        "id": id,
        "organization_id": organization_id,
        "name": name,
        "description": description,
        "strategy": match strategy {
            Strategy::Ordered => "ordered",
            Strategy::Priority => "priority",
        },
        "model_provider_ids": model_provider_ids,
        "model_aliases": model_aliases,
        "default_model": default_model,
        "policy_rules": rules,
        "is_default": is_default,
        "scopes": scopes,
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
    });
    if let (Some(fallback), Some(out)) = (fallback.as_ref().and_then(shown), out.as_object_mut()) {
        out.insert("fallback".into(), fallback);
    }
    out
}

/// The stored form of `fallback` under the names of the API; `None` when nothing is set.
fn shown(stored: &Value) -> Option<Value> {
    let names = [
        ("maxAttempts", "max_attempts"),
        ("on", "on"),
        ("attemptTimeoutMs", "attempt_timeout_ms"),
        ("modelMap", "model_map"),
    ];
    let set: Map<String, Value> = names
        .into_iter()
        .filter_map(|(kept, name)| Some((name.to_owned(), stored.get(kept)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    (!set.is_empty()).then_some(Value::Object(set))
}
