//! How what a virtual key reaches looks to a person: providers in order, what is left out and why,
//! model aliases.
//!
//! Never sorts or completes the answer: the server worked it out as the gateway does. Start at
//! [`effective`].

use super::virtual_key_view::{field, optional};
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

pub(crate) fn effective(reach: &Json, style: Style) -> String {
    let rows = [
        ("Virtual key", Some(field(reach, "virtual_key_id"))),
        ("Routing mode", Some(field(reach, "routing_mode"))),
        ("Policy", policy(reach, style)),
        ("Trace project", optional(reach, "trace_project_id")),
        ("Models", Some(models(reach, style))),
        ("Max attempts", attempts(reach)),
    ];
    let mut out = details(style, 0, &rows);
    let parts = [
        ("Providers, in order", providers(reach, style)),
        ("Left out", left_out(reach, style)),
        ("Model aliases", aliases(reach, style)),
    ];
    for (title, text) in parts {
        if let Some(text) = text {
            out.push_str(&format!("\n{}\n{text}", style.bold(title)));
        }
    }
    out
}

fn policy(reach: &Json, style: Style) -> Option<String> {
    match reach
        .get("routing_policy")
        .filter(|policy| !policy.is_null())
    {
        Some(policy) => Some(format!(
            "{} ({})",
            field(policy, "name"),
            field(policy, "id")
        )),
        None if reach.text("routing_mode") == Some("policy") => {
            Some(style.yellow("none: it was deleted"))
        }
        None => None,
    }
}

/// A list without entries is a closed one.
fn models(reach: &Json, style: Style) -> String {
    match reach.get("models_allowed").filter(|list| !list.is_null()) {
        None => "any".to_owned(),
        Some(list) if list.items().is_empty() => style.yellow("none"),
        Some(list) => {
            let names: Vec<String> = list.items().iter().map(Json::display).collect();
            clean(&names.join(", "))
        }
    }
}

fn attempts(reach: &Json) -> Option<String> {
    let attempts = optional(reach, "max_attempts")?;
    Some(match attempts.as_str() {
        "1" => "1 (no fallback)".to_owned(),
        _ => attempts,
    })
}

fn providers(reach: &Json, style: Style) -> Option<String> {
    let providers = reach.get("providers")?.items();
    if providers.is_empty() {
        let sentence = "None: the gateway refuses every request of this key.";
        return Some(format!("{}\n", style.yellow(sentence)));
    }
    let mut table = Table::new(["#", "ID", "Name", "Provider", "Handle"]);
    for provider in providers {
        // The first is number one to a person, zero on the wire.
        let position = provider.get("position").and_then(Json::as_i64);
        let position = position.map(|position| position.saturating_add(1).to_string());
        let [id, name, kind, handle] = identity(provider, style);
        let position = position.unwrap_or_else(|| "-".to_owned());
        table.row([position, id, name, kind, handle]);
    }
    Some(table.render(style))
}

fn left_out(reach: &Json, style: Style) -> Option<String> {
    let providers = reach.get("excluded_providers")?.items();
    if providers.is_empty() {
        return None;
    }
    let mut table = Table::new(["ID", "Name", "Provider", "Handle", "Why"]);
    for provider in providers {
        let why = match provider.text("reason") {
            Some("not_in_policy") => "not in the routing policy".to_owned(),
            Some("not_allowed") => "not among the key's allowed providers".to_owned(),
            _ => field(provider, "reason"),
        };
        let [id, name, kind, handle] = identity(provider, style);
        table.row([id, name, kind, handle, why]);
    }
    Some(table.render(style))
}

fn identity(provider: &Json, style: Style) -> [String; 4] {
    [
        style.grey(&field(provider, "id")),
        style.cyan(&field(provider, "name")),
        field(provider, "provider"),
        field(provider, "routing_handle"),
    ]
}

fn aliases(reach: &Json, style: Style) -> Option<String> {
    let aliases = reach.get("model_aliases")?.fields();
    if aliases.is_empty() {
        return None;
    }
    let mut table = Table::new(["Name", "Model", "Set by"]);
    for (name, alias) in aliases {
        let origin = match alias.text("origin") {
            Some("policy") => "the routing policy".to_owned(),
            Some("key") => "the key".to_owned(),
            _ => field(alias, "origin"),
        };
        table.row([style.cyan(&clean(name)), field(alias, "target"), origin]);
    }
    Some(table.render(style))
}
