//! The shapes of virtual keys in the API description (management-api 8). Start at [`schemas`].

use lw_core::Code;
use serde_json::{Value, json};

use crate::schemas::{
    Named, any_object, input, integer, list, map_of, named, object, one_of, or_null, text, text_of,
    time, whole,
};

/// What creates and updates may refuse with.
pub(super) const WRITES: &[Code] = &[
    Code::ScopeOrgMismatch,
    Code::TraceProjectUnknown,
    Code::TraceProjectAmbiguous,
    Code::TraceProjectRequired,
    Code::RoutingPolicyNotFound,
    Code::RoutingPolicyRequired,
    Code::RoutingPolicyConflict,
    Code::GuardrailProjectMismatch,
    Code::GuardrailAttachForbidden,
    Code::ProvidersAllowedEmpty,
    Code::ProvidersNotInScope,
    Code::VirtualKeyExpiryInPast,
    Code::ExternalIdConflict,
];

/// A body that says nothing.
pub(super) fn nothing() -> Value {
    input(&[], &[])
}

/// The body of a disable.
pub(super) fn reason() -> Value {
    input(&[], &[("reason", or_null(text_of(0, 500)))])
}

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("VirtualKey", key()),
        ("VirtualKeyConfig", config()),
        ("VirtualKeyConfigPatch", any_object()),
        ("OwnBudget", own_budget()),
        ("NewVirtualKey", new_key()),
        ("VirtualKeyPatch", patch()),
        (
            "MintedVirtualKey",
            object(
                &[("virtual_key", named("VirtualKey")), ("secret", text())],
                &[],
            ),
        ),
        ("VirtualKeySpend", spend()),
        ("EffectiveVirtualKey", effective()),
    ]
}

fn key() -> Value {
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("status", one_of(&["active", "disabled", "revoked"])),
            ("purpose", one_of(&["user", "langy"])),
            ("display_prefix", text()),
            ("principal_user_id", or_null(text())),
            ("trace_project_id", text()),
            ("trace_project_archived", json!({ "type": "boolean" })),
            ("external_id", or_null(text())),
            ("metadata", map_of(text())),
            ("scopes", list(named("Scope"))),
            ("routing_policy_id", or_null(text())),
            ("routing_mode", mode()),
            ("config", named("VirtualKeyConfig")),
            ("revision", text()),
            ("created_at", time()),
            ("updated_at", time()),
            ("last_used_at", or_null(time())),
            ("revoked_at", or_null(time())),
            ("expires_at", or_null(time())),
            ("env", one_of(&["live", "test"])),
            ("project_id", text()),
        ],
        &[],
    )
}

fn mode() -> Value {
    one_of(&["none", "fallback_all", "policy"])
}

fn limits() -> Value {
    object(
        &[
            ("rpm", or_null(whole())),
            ("tpm", or_null(whole())),
            ("rpd", or_null(whole())),
        ],
        &[("concurrent", whole())],
    )
}

fn config() -> Value {
    object(
        &[
            ("modelsAllowed", or_null(list(text()))),
            ("providersAllowed", or_null(list(text()))),
            ("cache", object(&[("mode", text()), ("ttlS", whole())], &[])),
            (
                "fallback",
                object(
                    &[("maxAttempts", whole())],
                    &[
                        ("on", list(text())),
                        ("attemptTimeoutMs", whole()),
                        ("modelMap", map_of(map_of(text()))),
                    ],
                ),
            ),
            (
                "guardrailAttachments",
                list(object(
                    &[
                        ("direction", one_of(&["pre", "post", "stream_chunk"])),
                        ("guardrailIds", list(text())),
                    ],
                    &[],
                )),
            ),
            ("rateLimits", limits()),
            (
                "realtime",
                object(&[("maxOpenSessions", or_null(whole()))], &[]),
            ),
            (
                "metadata",
                object(&[("tags", list(text()))], &[("label", text())]),
            ),
        ],
        &[
            ("semanticCache", any_object()),
            (
                "capturePayload",
                one_of(&["raw", "redacted", "metadata_only", "none"]),
            ),
            ("openaiCompatTranslate", json!({ "type": "boolean" })),
            ("modelAliases", map_of(text())),
            ("policyRules", any_object()),
        ],
    )
}

fn own_budget() -> Value {
    input(
        &[
            ("limit_usd", usd()),
            ("window", one_of(&["day", "week", "month"])),
        ],
        &[
            ("on_breach", one_of(&["block", "warn"])),
            ("name", or_null(text_of(1, 128))),
        ],
    )
}

/// Dollars above zero, as a number or a decimal text.
pub(crate) fn usd() -> Value {
    json!({ "anyOf": [
        { "type": "number", "exclusiveMinimum": 0 },
        { "type": "string", "pattern": "^\\d+(\\.\\d+)?$" },
    ] })
}

fn common() -> Vec<(&'static str, Value)> {
    let scopes = input(
        &[
            ("scope_type", one_of(&["organization", "team", "project"])),
            ("scope_id", text_of(1, 256)),
        ],
        &[],
    );
    vec![
        ("description", or_null(text_of(0, 2000))),
        (
            "scopes",
            json!({ "type": "array", "items": scopes, "minItems": 1, "maxItems": 100 }),
        ),
        ("trace_project_id", or_null(text_of(1, 256))),
        ("routing_policy_id", or_null(text_of(1, 128))),
        ("routing_mode", mode()),
        ("expires_at", or_null(time())),
        ("budget", or_null(named("OwnBudget"))),
        ("config", named("VirtualKeyConfigPatch")),
        ("external_id", or_null(text_of(1, 128))),
        ("metadata", map_of(text_of(0, 500))),
    ]
}

fn new_key() -> Value {
    let mut optional = common();
    optional.push(("principal_user_id", or_null(text_of(1, 128))));
    optional.push(("purpose", one_of(&["user"])));
    optional.push(("env", one_of(&["live", "test"])));
    input(&[("name", text_of(1, 128))], &optional)
}

fn patch() -> Value {
    let mut optional = common();
    optional.push(("name", text_of(1, 128)));
    input(&[], &optional)
}

fn spend() -> Value {
    object(
        &[
            ("virtual_key_id", text()),
            ("spent_usd", text()),
            ("requests", whole()),
            (
                "window",
                object(&[("from", integer()), ("to", integer())], &[]),
            ),
        ],
        &[],
    )
}

fn effective() -> Value {
    let provider = |more: (&'static str, Value)| {
        object(
            &[
                ("id", text()),
                ("name", text()),
                ("provider", text()),
                ("routing_handle", or_null(text())),
                more,
            ],
            &[],
        )
    };
    let alias = object(
        &[("target", text()), ("origin", one_of(&["policy", "key"]))],
        &[],
    );
    object(
        &[
            ("virtual_key_id", text()),
            ("routing_mode", mode()),
            (
                "routing_policy",
                or_null(object(&[("id", text()), ("name", text())], &[])),
            ),
            ("trace_project_id", text()),
            ("providers", list(provider(("position", whole())))),
            (
                "excluded_providers",
                list(provider((
                    "reason",
                    one_of(&["not_in_policy", "not_allowed"]),
                ))),
            ),
            ("model_aliases", map_of(alias)),
            ("models_allowed", or_null(list(text()))),
            ("max_attempts", whole()),
        ],
        &[],
    )
}
