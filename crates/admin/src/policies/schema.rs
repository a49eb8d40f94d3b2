//! The shapes of routing policies in the API description (management-api 11). Start at [`schemas`].

use lw_core::Code;
use serde_json::{Value, json};

use crate::schemas::{
    Named, boolean, input, list, map_of, named, object, one_of, or_null, text, text_of, time, whole,
};

/// What creates and updates may refuse with.
pub(super) const WRITES: &[Code] = &[
    Code::ScopeOrgMismatch,
    Code::RoutingPolicyMustHaveProvider,
    Code::RoutingPolicyMustHaveScope,
    Code::RoutingPolicyModelMustBeConcrete,
];

/// What every change of an existing policy may refuse with.
pub(super) const CHANGES: &[Code] = &[Code::RoutingPolicyNotFound, Code::RevisionConflict];

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("RoutingPolicy", policy()),
        ("PolicyRules", rules()),
        ("PolicyFallback", fallback()),
        (
            "DeletedRoutingPolicy",
            object(
                &[
                    ("routing_policy", named("RoutingPolicy")),
                    ("affected_virtual_keys", whole()),
                ],
                &[],
            ),
        ),
        ("NewRoutingPolicy", new()),
        ("RoutingPolicyPatch", patch()),
    ]
}

fn policy() -> Value {
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("strategy", strategy()),
            ("model_provider_ids", list(text())),
            ("model_aliases", map_of(text())),
            ("default_model", or_null(text())),
            ("policy_rules", named("PolicyRules")),
            ("is_default", boolean()),
            ("scopes", list(named("Scope"))),
            ("created_at", time()),
            ("updated_at", time()),
        ],
        &[("fallback", named("PolicyFallback"))],
    )
}

fn strategy() -> Value {
    one_of(&["ordered", "priority"])
}

fn rules() -> Value {
    let rule = || {
        object(
            &[("deny", list(text())), ("allow", or_null(list(text())))],
            &[],
        )
    };
    object(
        &[
            ("tools", rule()),
            ("mcp", rule()),
            ("urls", rule()),
            ("models", rule()),
        ],
        &[],
    )
}

fn fallback() -> Value {
    object(
        &[],
        &[
            ("max_attempts", json!({ "type": "integer", "minimum": 1 })),
            (
                "on",
                list(one_of(&[
                    "5xx",
                    "timeout",
                    "rate_limit",
                    "network_error",
                    "404",
                ])),
            ),
            (
                "attempt_timeout_ms",
                json!({ "type": "integer", "minimum": 1, "maximum": 840_000 }),
            ),
            ("model_map", map_of(map_of(text()))),
        ],
    )
}

/// What may be sent; the lists that must not be empty are refused with codes of their own.
fn common() -> Vec<(&'static str, Value)> {
    let scope = input(
        &[
            ("scope_type", one_of(&["organization", "team", "project"])),
            ("scope_id", text_of(1, 256)),
        ],
        &[],
    );
    let patterns = || or_null(list(text_of(1, 65_536)));
    let rule = || or_null(object(&[], &[("deny", patterns()), ("allow", patterns())]));
    let rules = object(
        &[],
        &[
            ("tools", rule()),
            ("mcp", rule()),
            ("urls", rule()),
            ("models", rule()),
        ],
    );
    let fallback = input(
        &[],
        &[
            (
                "max_attempts",
                or_null(json!({ "type": "integer", "minimum": 1 })),
            ),
            (
                "on",
                or_null(list(one_of(&[
                    "5xx",
                    "timeout",
                    "rate_limit",
                    "rate_limit_exceeded",
                    "network_error",
                    "network",
                    "404",
                    "not_found",
                ]))),
            ),
            (
                "attempt_timeout_ms",
                or_null(json!({ "type": "integer", "minimum": 1, "maximum": 840_000 })),
            ),
            ("model_map", or_null(map_of(map_of(text_of(1, 256))))),
        ],
    );
    vec![
        ("description", or_null(text_of(0, 2000))),
        ("strategy", strategy()),
        (
            "scopes",
            json!({ "type": "array", "items": scope, "maxItems": 100 }),
        ),
        ("model_aliases", or_null(map_of(text_of(1, 256)))),
        ("default_model", or_null(text_of(1, 256))),
        ("policy_rules", or_null(rules)),
        ("fallback", or_null(fallback)),
        ("is_default", boolean()),
    ]
}

fn provider_ids() -> Value {
    json!({ "type": "array", "items": text_of(1, 128), "maxItems": 100 })
}

fn new() -> Value {
    // A missing list of providers has a code of its own, so it is not required here.
    let mut optional = common();
    optional.push(("model_provider_ids", provider_ids()));
    input(&[("name", text_of(1, 128))], &optional)
}

fn patch() -> Value {
    let mut optional = common();
    optional.push(("name", text_of(1, 128)));
    optional.push(("model_provider_ids", provider_ids()));
    input(&[], &optional)
}
