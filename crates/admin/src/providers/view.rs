//! A model provider as callers see it (management-api 12): credentials masked, settings in clear.
//!
//! Must never show a sealed value or an opened one. Start at [`provider`], and at
//! [`entry`] for the official route.

use lw_store::rows::ModelProvider;
use serde_json::{Value, json};

use super::bag::Bag;
use super::headers::Headers;
use super::kind::Kind;
use crate::Admin;

/// The resource. A row whose credentials cannot be opened (another sealing key, a damaged row) is shown
/// without them, so that it can still be found and deleted.
pub(crate) fn provider(admin: &Admin, row: &ModelProvider) -> Value {
    match (Bag::open(admin, row), Headers::open(admin, row)) {
        (Ok(bag), Ok(headers)) => shown(row, &bag, &headers),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(?error, model_provider = %row.id, "a provider is shown without its keys");
            let mut shown = shown(row, &Bag::default(), &Headers::default());
            if let Some(map) = shown.as_object_mut() {
                map.insert("custom_keys".into(), Value::Null);
            }
            shown
        }
    }
}

/// The resource, of a row whose secrets are at hand.
pub(crate) fn shown(row: &ModelProvider, bag: &Bag, headers: &Headers) -> Value {
    let ModelProvider {
        id,
        organization_id,
        name,
        provider,
        routing_handle,
        enabled,
        scopes,
        sealed_keys: _,
        sealed_extra_headers: _,
        custom_models,
        custom_embeddings_models,
        deployment_mapping,
        rate_limit,
        fallback_priority_global,
        provider_config,
        disabled_at,
        revision: _,
        created_at,
        updated_at,
    } = row;
    let config: Option<Value> = provider_config
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": id,
        "organization_id": organization_id,
        "name": name,
        "provider": provider,
        "routing_handle": routing_handle,
        "enabled": enabled,
        "scopes": scopes,
        "custom_keys": bag.masked(Kind::parse(provider).as_ref()),
        "extra_headers": headers.masked(),
        "custom_models": custom_models,
        "custom_embeddings_models": custom_embeddings_models,
        "deployment_mapping": deployment_mapping,
        "rate_limit": rate_limit,
        "fallback_priority_global": fallback_priority_global,
        "provider_config": config,
        "health_status": "unknown",
        "circuit_opened_at": null,
        "disabled_at": disabled_at.map(|at| at.to_rfc3339()),
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
    })
}

/// Whether a row takes calls as far as it is concerned itself.
pub(super) const fn serves(row: &ModelProvider) -> bool {
    row.enabled && row.disabled_at.is_none()
}

/// A row as the official map shows it.
pub(super) fn entry(admin: &Admin, row: &ModelProvider) -> Value {
    let (keys, headers) = match (Bag::open(admin, row), Headers::open(admin, row)) {
        (Ok(bag), Ok(headers)) => (
            bag.masked(Kind::parse(&row.provider).as_ref()),
            headers.masked(),
        ),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(?error, model_provider = %row.id, "a provider is shown without its keys");
            (Value::Null, Value::Null)
        }
    };
    let mut entry = json!({
        "id": row.id,
        "provider": row.provider,
        "enabled": serves(row),
        "customKeys": keys,
        "deploymentMapping": row.deployment_mapping,
    });
    let more = [
        ("customModels", json!(row.custom_models)),
        (
            "customEmbeddingsModels",
            json!(row.custom_embeddings_models),
        ),
        ("extraHeaders", headers),
    ];
    if let Some(entry) = entry.as_object_mut() {
        let there = more.into_iter().filter(|(_, value)| !value.is_null());
        entry.extend(there.map(|(name, value)| (name.to_owned(), value)));
    }
    entry
}

/// A kind that nobody stored a provider of, as the official map shows it.
pub(super) fn unconfigured(kind: &str) -> Value {
    json!({ "provider": kind, "enabled": false, "customKeys": null, "deploymentMapping": null })
}
