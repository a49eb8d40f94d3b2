//! The shapes of model providers in the API description (management-api 12). Start at [`schemas`].

use lw_core::Code;
use serde_json::{Value, json};

use crate::routes::Param;
use crate::schemas::{
    Named, any_object, boolean, input, integer, list, map_of, named, object, one_of, or_null, text,
    text_of, time, whole,
};

/// What creates and updates may refuse with.
pub(super) const WRITES: &[Code] = &[Code::ScopeOrgMismatch, Code::RoutingHandleConflict];

/// A body that says nothing.
pub(super) fn nothing() -> Value {
    input(&[], &[])
}

/// `?provider=`.
pub(super) fn filter() -> Param {
    Param {
        name: "provider",
        about: "Only providers of this kind.",
        schema: kind(),
    }
}

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("ModelProvider", provider()),
        ("NewModelProvider", new_provider()),
        ("ModelProviderPatch", patch()),
        ("ModelProviderTest", test()),
        ("ModelProvidersByKind", map_of(named("ModelProviderOfKind"))),
        ("ModelProviderOfKind", entry()),
        ("ModelProviderUpsert", upsert()),
        ("DeclaredModel", declared()),
        ("ExtraHeader", header()),
        ("ProviderRateLimit", limits()),
        ("ProviderRateLimitPatch", limits_patch()),
    ]
}

fn kind() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9_]{1,64}$" })
}

fn provider() -> Value {
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("name", text()),
            ("provider", kind()),
            ("routing_handle", or_null(text())),
            ("enabled", boolean()),
            ("scopes", list(named("Scope"))),
            ("custom_keys", or_null(map_of(text()))),
            ("extra_headers", or_null(list(named("ExtraHeader")))),
            ("custom_models", or_null(list(named("DeclaredModel")))),
            (
                "custom_embeddings_models",
                or_null(list(named("DeclaredModel"))),
            ),
            ("deployment_mapping", or_null(map_of(text()))),
            ("rate_limit", named("ProviderRateLimit")),
            ("fallback_priority_global", or_null(integer())),
            ("provider_config", or_null(any_object())),
            (
                "health_status",
                one_of(&["unknown", "healthy", "degraded", "unhealthy"]),
            ),
            ("circuit_opened_at", or_null(time())),
            ("disabled_at", or_null(time())),
            ("created_at", time()),
            ("updated_at", time()),
        ],
        &[],
    )
}

/// Requests a minute, tokens a minute, requests a day, requests at the same time.
const LIMITS: [&str; 4] = ["rpm", "tpm", "rpd", "concurrent"];

fn limits() -> Value {
    let limit = || or_null(whole());
    object(&LIMITS.map(|name| (name, limit())), &[])
}

fn limits_patch() -> Value {
    let limit = || or_null(json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }));
    input(&[], &LIMITS.map(|name| (name, limit())))
}

/// A name, or an object with the name in one of four fields.
fn declared() -> Value {
    json!({ "anyOf": [text_of(1, 256), any_object()] })
}

fn header() -> Value {
    input(&[("key", text_of(1, 256)), ("value", text())], &[])
}

fn keys() -> Value {
    map_of(or_null(text()))
}

/// The fields that creates and updates share.
fn common() -> Vec<(&'static str, Value)> {
    let scope = input(
        &[
            ("scope_type", one_of(&["organization", "team", "project"])),
            ("scope_id", text_of(1, 256)),
        ],
        &[],
    );
    let scopes = json!({ "type": "array", "items": scope, "minItems": 1, "maxItems": 100 });
    vec![
        ("name", text_of(1, 128)),
        ("routing_handle", or_null(handle())),
        ("enabled", boolean()),
        ("scopes", scopes),
        ("extra_headers", or_null(headers())),
        ("custom_models", or_null(models())),
        ("custom_embeddings_models", or_null(models())),
        ("deployment_mapping", or_null(map_of(text_of(1, 256)))),
        ("rate_limit", or_null(named("ProviderRateLimitPatch"))),
        (
            "fallback_priority_global",
            or_null(json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX })),
        ),
        ("provider_config", or_null(any_object())),
    ]
}

/// An empty one clears it.
fn handle() -> Value {
    json!({ "type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9_-]{0,31})?$" })
}

fn headers() -> Value {
    json!({ "type": "array", "items": named("ExtraHeader"), "maxItems": 50 })
}

fn models() -> Value {
    json!({ "type": "array", "items": named("DeclaredModel"), "maxItems": 1000 })
}

fn new_provider() -> Value {
    input(&[("provider", kind()), ("custom_keys", keys())], &common())
}

fn patch() -> Value {
    let mut optional = common();
    optional.push(("custom_keys", keys()));
    optional.push(("provider", kind()));
    input(&[], &optional)
}

fn test() -> Value {
    object(
        &[("ok", boolean()), ("latency_ms", whole())],
        &[("error", text())],
    )
}

fn entry() -> Value {
    object(
        &[
            ("provider", kind()),
            ("enabled", boolean()),
            ("customKeys", or_null(map_of(text()))),
            ("deploymentMapping", or_null(map_of(text()))),
        ],
        &[
            ("id", text()),
            ("customModels", list(named("DeclaredModel"))),
            ("customEmbeddingsModels", list(named("DeclaredModel"))),
            ("extraHeaders", list(named("ExtraHeader"))),
        ],
    )
}

fn upsert() -> Value {
    input(
        &[("enabled", boolean())],
        &[
            ("customKeys", or_null(keys())),
            ("customModels", or_null(models())),
            ("customEmbeddingsModels", or_null(models())),
            ("extraHeaders", or_null(headers())),
            ("defaultModel", or_null(text_of(1, 256))),
        ],
    )
}
