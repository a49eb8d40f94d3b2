//! A virtual key as callers see it (management-api 8.1).
//!
//! Must never show a hash or a secret: the row is taken apart field by field, so that a new one has to
//! be classified here. Start at [`key`].

use lw_store::rows::VirtualKey;
use serde_json::{Value, json};

use super::config;

/// The resource. `archived` says whether the trace project is.
pub(crate) fn key(key: &VirtualKey, archived: bool) -> Value {
    let VirtualKey {
        id,
        organization_id,
        name,
        description,
        status,
        purpose,
        env,
        external_id,
        metadata,
        scopes,
        trace_project_id,
        principal_user_id,
        routing_mode,
        routing_policy_id,
        expires_at,
        config,
        revision,
        hashed_secret: _,
        display_prefix,
        previous_hashed_secret: _,
        previous_secret_valid_until: _,
        disabled_reason: _,
        disabled_at: _,
        revoked_at,
        revoked_by: _,
        last_used_at,
        created_by: _,
        created_at,
        updated_at,
    } = key;
    json!({
        "id": id,
        "organization_id": organization_id,
        "name": name,
        "description": description,
        "status": status,
        "purpose": purpose,
        "display_prefix": display_prefix,
        "principal_user_id": principal_user_id,
        "trace_project_id": trace_project_id,
        "trace_project_archived": archived,
        "external_id": external_id,
        "metadata": metadata,
        "scopes": scopes,
        "routing_policy_id": routing_policy_id,
        "routing_mode": routing_mode,
        "config": config::shown(config),
        "revision": revision.to_string(),
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
        "last_used_at": last_used_at.map(|at| at.to_rfc3339()),
        "revoked_at": revoked_at.map(|at| at.to_rfc3339()),
        "expires_at": expires_at.map(|at| at.to_rfc3339()),
        "env": env,
        "project_id": trace_project_id,
    })
}
