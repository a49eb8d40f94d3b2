//! A guardrail as callers see it (management-api 14). Must never show the value of a header. Start at
//! [`guardrail`].

use lw_core::UnixMicros;
use lw_store::rows::Guardrail;
use serde_json::{Value, json};

use super::headers::Kept;
use crate::Admin;

/// The resource. A row whose headers cannot be opened (another sealing key, a damaged row) is shown with
/// null for them, so that it can still be found, mended and archived.
pub(super) fn guardrail(admin: &Admin, row: &Guardrail) -> Value {
    let Guardrail {
        id,
        organization_id,
        project_id,
        name,
        description,
        evaluator_id,
        evaluator_slug,
        settings,
        sealed_settings: _,
        direction,
        failure_mode,
        archived_at,
        revision: _,
        created_at,
        updated_at,
    } = row;
    let mut settings = settings.clone();
    if evaluator_slug == "http-callout"
        && let Some(map) = settings.as_object_mut()
    {
        let headers = Kept::open(admin, row).map_or_else(
            |error| {
                tracing::error!(?error, guardrail = %id, "a guardrail is shown without its headers");
                Value::Null
            },
            |kept| kept.masked(),
        );
        map.insert("headers".into(), headers);
    }
    json!({
        "id": id,
        "organization_id": organization_id,
        "project_id": project_id,
        "name": name,
        "description": description,
        "direction": direction,
        "failure_mode": failure_mode,
        "evaluator_id": evaluator_id,
        "evaluator": { "slug": evaluator_slug, "settings": settings },
        "archived_at": archived_at.map(UnixMicros::to_rfc3339),
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
    })
}
