//! The shapes of budgets in the API description (management-api 9). Start at [`schemas`].

use serde_json::{Value, json};

use super::body::{DESCRIPTION, ID, TIMEZONE};
use crate::keys::usd;
use crate::schemas::{
    Named, boolean, input, integer, list, map_of, named, object, one_of, or_null, text, text_of,
    time, whole,
};

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("Budget", budget()),
        ("BudgetScope", scope()),
        ("NewBudget", new()),
        ("BudgetPatch", input(&[], &patchable())),
        (
            "BudgetWithSpend",
            object(
                &[("spend_available", boolean()), ("budget", named("Budget"))],
                &[],
            ),
        ),
        (
            "BudgetPage",
            object(
                &[
                    ("spend_available", boolean()),
                    ("data", list(named("Budget"))),
                    ("next_cursor", or_null(text())),
                ],
                &[],
            ),
        ),
        (
            "BudgetsOfVirtualKey",
            object(
                &[
                    ("spend_available", boolean()),
                    ("data", list(named("Budget"))),
                ],
                &[],
            ),
        ),
    ]
}

/// The body of a reset.
pub(super) fn reason() -> Value {
    input(&[], &[("reason", or_null(text_of(0, 500)))])
}

/// The words of `scope_type`.
pub(super) const SCOPE_TYPES: [&str; 7] = [
    "organization",
    "team",
    "project",
    "virtual_key",
    "principal",
    "group",
    "attributed_user",
];

fn windows() -> Value {
    one_of(&["minute", "hour", "day", "week", "month", "total", "manual"])
}

fn budget() -> Value {
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("scope_type", one_of(&SCOPE_TYPES)),
            ("scope_id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("window", windows()),
            ("on_breach", one_of(&["block", "warn"])),
            ("enforcement", one_of(&["strict", "soft"])),
            ("limit_usd", text()),
            ("limit_nano_usd", or_null(integer())),
            ("spent_usd", or_null(text())),
            ("spent_nano_usd", or_null(integer())),
            ("timezone", or_null(text())),
            ("provider_key", or_null(text())),
            ("external_id", or_null(text())),
            ("metadata", map_of(text())),
            ("current_period_started_at", time()),
            ("resets_at", time()),
            ("cycle_anchor_at", or_null(time())),
            ("last_reset_at", or_null(time())),
            ("archived_at", or_null(time())),
            ("created_at", time()),
        ],
        &[
            ("scope_reach", one_of(&["reachable", "unreachable"])),
            ("member_count", whole()),
            ("end_users_seen", whole()),
            ("end_users_over", whole()),
        ],
    )
}

fn scope() -> Value {
    let id = || text_of(1, bound(ID));
    let of = |kind: &str, field: &str, other: Option<&str>| {
        let nothing: Vec<(&str, Value)> = other
            .into_iter()
            .map(|other| (other, json!({ "type": "null" })))
            .collect();
        input(
            &[("kind", json!({ "const": kind })), (field, id())],
            &nothing,
        )
    };
    let (key, project) = ("anchor_virtual_key_id", "anchor_project_id");
    json!({ "oneOf": [
        of("organization", "organization_id", None),
        of("team", "team_id", None),
        of("project", "project_id", None),
        of("virtual_key", "virtual_key_id", None),
        of("principal", "principal_user_id", None),
        of("group", "group_id", None),
        of("attributed_user", key, Some(project)),
        of("attributed_user", project, Some(key)),
    ] })
}

fn new() -> Value {
    let mut optional: Vec<(&str, Value)> = patchable()
        .into_iter()
        .filter(|(name, _)| !["name", "limit_usd"].contains(name))
        .collect();
    optional.extend([
        ("provider_key", or_null(text_of(1, bound(ID)))),
        ("cycle_anchor_at", or_null(time())),
        ("allow_unreachable", boolean()),
    ]);
    input(
        &[
            ("scope", named("BudgetScope")),
            ("name", text_of(1, 128)),
            ("window", windows()),
            ("limit_usd", usd()),
        ],
        &optional,
    )
}

fn patchable() -> Vec<(&'static str, Value)> {
    vec![
        ("name", text_of(1, 128)),
        ("description", or_null(text_of(0, bound(DESCRIPTION)))),
        ("limit_usd", usd()),
        ("on_breach", one_of(&["block", "warn"])),
        ("enforcement", one_of(&["strict", "soft"])),
        ("timezone", or_null(text_of(1, bound(TIMEZONE)))),
        ("external_id", or_null(text_of(1, 128))),
        ("metadata", map_of(text_of(0, 500))),
    ]
}

/// A length as schemas have it.
fn bound(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
