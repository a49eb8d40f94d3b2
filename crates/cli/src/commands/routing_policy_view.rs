//! How routing policies look to a person.

use super::virtual_key_view::{field, optional};
use crate::args::{scopes_text, when};
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

pub(crate) fn list(policies: &Json, style: Style) -> String {
    if policies.items().is_empty() {
        return "No routing policies found. Create one with:\n  \
                langwatch routing-policies create --name <name> --model-provider <id>\n"
            .to_owned();
    }
    let mut table = Table::new(["ID", "Name", "Default", "Strategy", "Providers", "Scopes"]);
    for policy in policies.items() {
        table.row([
            style.grey(&field(policy, "id")),
            style.cyan(&field(policy, "name")),
            if is_default(policy) {
                style.green("yes")
            } else {
                "-".to_owned()
            },
            field(policy, "strategy"),
            providers(policy),
            scopes_text(policy.get("scopes")),
        ]);
    }
    table.render(style)
}

pub(crate) fn policy(policy: &Json, style: Style) -> String {
    let rows = [
        ("ID", Some(field(policy, "id"))),
        ("Name", Some(field(policy, "name"))),
        ("Description", optional(policy, "description")),
        ("Default", is_default(policy).then(|| style.green("yes"))),
        ("Scopes", Some(scopes_text(policy.get("scopes")))),
        ("Strategy", optional(policy, "strategy")),
        ("Providers", Some(providers(policy))),
        ("Aliases", aliases(policy)),
        ("Default model", optional(policy, "default_model")),
        ("Rules", rules(policy)),
        ("Fallback", fallback(policy)),
        ("Created", when(policy.get("created_at"))),
        ("Updated", when(policy.get("updated_at"))),
    ];
    details(style, 0, &rows)
}

/// One sentence and the policy.
pub(crate) fn changed(value: &Json, style: Style, done: &str) -> String {
    let sentence = format!("Routing policy \"{}\" {done}.", field(value, "name"));
    format!("{}\n\n{}", style.green(&sentence), policy(value, style))
}

/// One sentence: the policy is gone, its keys are not.
pub(crate) fn deleted(policy: &Json, style: Style) -> String {
    let moved = match policy.get("affected_virtual_keys").and_then(Json::as_i64) {
        None => String::new(),
        Some(1) => " 1 virtual key now routes without it.".to_owned(),
        Some(keys) => format!(" {keys} virtual keys now route without it."),
    };
    let sentence = format!("Routing policy \"{}\" deleted.", field(policy, "name"));
    format!("{}{moved}\n", style.green(&sentence))
}

fn is_default(policy: &Json) -> bool {
    policy.get("is_default").and_then(Json::as_bool) == Some(true)
}

/// In the order of dispatch.
fn providers(policy: &Json) -> String {
    let ids = policy
        .get("model_provider_ids")
        .map(Json::items)
        .unwrap_or_default();
    if ids.is_empty() {
        return "-".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(Json::display).collect();
    let joint = if policy.text("strategy") == Some("priority") {
        ", "
    } else {
        " → "
    };
    clean(&ids.join(joint))
}

fn aliases(policy: &Json) -> Option<String> {
    let pairs = policy.get("model_aliases")?.fields();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(from, to)| format!("{from} → {}", to.display()))
        .collect();
    (!pairs.is_empty()).then(|| clean(&pairs.join(", ")))
}

/// How many patterns each list holds; the patterns themselves are for `-f json`.
fn rules(policy: &Json) -> Option<String> {
    let mut parts = Vec::new();
    for (subject, lists) in policy.get("policy_rules")?.fields() {
        let count = |list| lists.get(list).map(Json::items).unwrap_or_default().len();
        let lists: Vec<String> = ["deny", "allow"]
            .into_iter()
            .filter(|list| count(list) > 0)
            .map(|list| format!("{list} {}", count(list)))
            .collect();
        if !lists.is_empty() {
            parts.push(format!("{subject}: {}", lists.join(", ")));
        }
    }
    (!parts.is_empty()).then(|| clean(&parts.join("; ")))
}

fn fallback(policy: &Json) -> Option<String> {
    let fallback = policy.get("fallback").filter(|value| !value.is_null())?;
    let on = fallback.get("on").filter(|on| !on.is_null()).map(|on| {
        let words: Vec<String> = on.items().iter().map(Json::display).collect();
        if words.is_empty() {
            "never".to_owned()
        } else {
            format!("on {}", words.join(", "))
        }
    });
    let parts = [
        optional(fallback, "max_attempts").map(|n| format!("{n} attempts")),
        on,
        optional(fallback, "attempt_timeout_ms").map(|ms| format!("{ms} ms each")),
        fallback
            .get("model_map")
            .map(|map| map.fields().len())
            .filter(|count| *count > 0)
            .map(|count| format!("{count} mapped models")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| clean(&parts.join(", ")))
}
