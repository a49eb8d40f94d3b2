//! How cache rules look to a person.

use super::virtual_key_view::{field, optional};
use crate::args::when;
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

pub(crate) fn list(rules: &Json, style: Style) -> String {
    if rules.items().is_empty() {
        return "No cache rules found. Create one with:\n  \
                langwatch cache-rules create --name <name> --mode force --ttl 3600 --vk-tag <tag>\n"
            .to_owned();
    }
    let mut table = Table::new([
        "ID",
        "Name",
        "Priority",
        "Enabled",
        "Mode",
        "TTL",
        "Conditions",
    ]);
    for rule in rules.items() {
        table.row([
            style.grey(&field(rule, "id")),
            style.cyan(&field(rule, "name")),
            field(rule, "priority"),
            enabled(rule, style),
            mode(rule),
            ttl(rule).unwrap_or_else(|| "-".to_owned()),
            conditions(rule).join(" and "),
        ]);
    }
    table.render(style)
}

pub(crate) fn rule(rule: &Json, style: Style) -> String {
    let salt = rule.at(&["action", "salt"]).filter(|salt| !salt.is_null());
    let rows = [
        ("ID", Some(field(rule, "id"))),
        ("Name", Some(field(rule, "name"))),
        ("Description", optional(rule, "description")),
        ("Enabled", Some(enabled(rule, style))),
        ("Priority", optional(rule, "priority")),
        ("Conditions", Some(conditions(rule).join(" and "))),
        ("Mode", Some(mode(rule))),
        ("TTL", ttl(rule)),
        ("Salt", salt.map(|salt| clean(&salt.display()))),
        ("Created", when(rule.get("created_at"))),
        ("Updated", when(rule.get("updated_at"))),
        ("Archived", when(rule.get("archived_at"))),
    ];
    details(style, 0, &rows)
}

/// One sentence and the rule.
pub(crate) fn changed(value: &Json, style: Style, done: &str) -> String {
    let sentence = format!("Cache rule \"{}\" {done}.", field(value, "name"));
    format!("{}\n\n{}", style.green(&sentence), rule(value, style))
}

fn enabled(rule: &Json, style: Style) -> String {
    match rule.get("enabled").and_then(Json::as_bool) {
        Some(false) => style.grey("no"),
        _ => style.green("yes"),
    }
}

fn mode(rule: &Json) -> String {
    rule.at(&["action", "mode"]).map_or_else(
        || field(rule, "mode_enum").to_ascii_lowercase(),
        |mode| clean(&mode.display()),
    )
}

fn ttl(rule: &Json) -> Option<String> {
    let seconds = rule.at(&["action", "ttl"])?.as_i64()?;
    Some(format!("{seconds} s"))
}

/// `model=gpt-5`, one for each condition.
fn conditions(rule: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let matchers = rule.get("matchers").map(Json::fields).unwrap_or_default();
    for (name, value) in matchers {
        match (name.as_str(), value) {
            (_, Json::Null) => {}
            ("vk_tags", Json::Array(tags)) => {
                found.extend(tags.iter().map(|tag| format!("vk_tag={}", tag.display())));
            }
            ("request_metadata", Json::Object(headers)) => found.extend(
                headers
                    .iter()
                    .map(|(name, value)| format!("header {name}={}", value.display())),
            ),
            (name, value) => found.push(format!("{name}={}", value.display())),
        }
    }
    if found.is_empty() {
        found.push("-".to_owned());
    }
    found.iter().map(|text| clean(text)).collect()
}
