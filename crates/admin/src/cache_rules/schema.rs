//! The shapes of cache rules in the API description (management-api 10). Start at [`schemas`].

use serde_json::{Value, json};

use crate::schemas::{
    Named, boolean, input, list, map_of, named, object, one_of, or_null, text, text_of, time,
};

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("CacheRule", rule()),
        ("NewCacheRule", new()),
        ("CacheRulePatch", patch()),
        ("CacheRuleMatchers", matchers()),
        ("CacheRuleAction", action()),
    ]
}

fn rule() -> Value {
    let window = object(
        &[
            ("days", list(day())),
            ("from", text()),
            ("to", text()),
            ("tz", text()),
        ],
        &[],
    );
    let matchers = object(
        &[],
        &[
            ("vk_id", text()),
            ("vk_tags", list(text())),
            ("vk_prefix", text()),
            ("principal_id", text()),
            ("model", text()),
            ("request_metadata", map_of(text())),
            ("time_window", window),
        ],
    );
    let action = object(
        &[("mode", mode())],
        &[("ttl", ttl()), ("salt", text_of(0, 64))],
    );
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("priority", priority()),
            ("enabled", boolean()),
            ("matchers", matchers),
            ("action", action),
            ("mode_enum", mode()),
            ("archived_at", or_null(time())),
            ("created_at", time()),
            ("updated_at", time()),
        ],
        &[],
    )
}

fn mode() -> Value {
    one_of(&["respect", "force", "disable"])
}

fn day() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 6 })
}

fn ttl() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 86_400 })
}

fn priority() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 1_000 })
}

fn matchers() -> Value {
    let clock = |end: &str| json!({ "type": "string", "pattern": format!("^(([01][0-9]|2[0-3]):[0-5][0-9]{end})$") });
    let window = object(
        &[],
        &[
            (
                "days",
                or_null(json!({ "type": "array", "items": day(), "minItems": 1, "maxItems": 7 })),
            ),
            ("from", or_null(clock(""))),
            ("to", or_null(clock("|24:00"))),
            ("tz", or_null(text_of(1, 64))),
        ],
    );
    object(
        &[],
        &[
            ("vk_id", or_null(text_of(1, 128))),
            (
                "vk_tags",
                or_null(json!({
                    "type": "array", "items": text_of(1, 128), "minItems": 1, "maxItems": 32,
                })),
            ),
            ("vk_prefix", or_null(text_of(1, 64))),
            ("principal_id", or_null(text_of(1, 128))),
            ("model", or_null(text_of(1, 256))),
            ("request_metadata", or_null(map_of(text_of(0, 1_024)))),
            ("time_window", or_null(window)),
        ],
    )
}

fn action() -> Value {
    object(
        &[("mode", mode())],
        &[("ttl", or_null(ttl())), ("salt", or_null(text_of(0, 64)))],
    )
}

fn common() -> Vec<(&'static str, Value)> {
    vec![
        ("description", or_null(text_of(0, 512))),
        ("priority", priority()),
        ("enabled", boolean()),
    ]
}

fn new() -> Value {
    input(
        &[
            ("name", text_of(1, 128)),
            ("matchers", named("CacheRuleMatchers")),
            ("action", named("CacheRuleAction")),
        ],
        &common(),
    )
}

fn patch() -> Value {
    let mut optional = common();
    optional.push(("name", text_of(1, 128)));
    optional.push(("matchers", named("CacheRuleMatchers")));
    optional.push(("action", named("CacheRuleAction")));
    input(&[], &optional)
}
