//! An API key as callers see it (management-api 15).
//!
//! Must never show the token, its hash, or the part that it is looked up by: the row is taken apart field
//! by field, so that a new one has to be classified here. Start at [`detail`].

use lw_core::UnixMicros;
use lw_store::rows::{ApiKey, RoleBinding};
use serde_json::{Map, Value, json};

use crate::scope;

/// A key in a list.
pub(super) fn row(key: &ApiKey, bindings: &[RoleBinding]) -> Value {
    let ApiKey {
        id,
        organization_id: _,
        name,
        description,
        lookup_id: _,
        hashed_secret: _,
        user_id: _,
        created_by_user_id: _,
        permission_mode: _,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
    } = key;
    let time = |at: &Option<UnixMicros>| at.map(UnixMicros::to_rfc3339);
    let bindings: Vec<Value> = bindings.iter().map(|row| binding(row, true)).collect();
    json!({
        "id": id,
        "name": name,
        "description": description,
        "createdAt": created_at.to_rfc3339(),
        "expiresAt": time(expires_at),
        "lastUsedAt": time(last_used_at),
        "revokedAt": time(revoked_at),
        "roleBindings": bindings,
    })
}

/// A key by itself.
pub(crate) fn detail(key: &ApiKey, bindings: &[RoleBinding], permissions: &[String]) -> Value {
    let mut value = row(key, bindings);
    let kind = if key.user_id.is_some() {
        "personal"
    } else {
        "service"
    };
    let plain: Vec<Value> = bindings.iter().map(|row| binding(row, false)).collect();
    let more = json!({
        "keyType": kind,
        "assignedToUserId": key.user_id,
        "createdByUserId": key.created_by_user_id,
        "permissionMode": key.permission_mode,
        "permissions": permissions,
        "bindings": plain,
    });
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
    value
}

fn binding(row: &RoleBinding, with_id: bool) -> Value {
    let (kind, scope_id) = scope::words(&row.scope);
    let mut map = Map::new();
    if with_id {
        map.insert("id".into(), json!(row.id));
    }
    map.insert("role".into(), json!(row.role));
    map.insert("scopeType".into(), kind.to_ascii_uppercase().into());
    map.insert("scopeId".into(), scope_id.into());
    Value::Object(map)
}
