//! How model providers look to a person. Keys are shown by name only.

use super::virtual_key_view::{field, optional};
use crate::args::{scopes_text, when};
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

const EMPTY: &str = "No model providers found. Store one with:\n  \
    langwatch model-provider create --provider openai --scope org:<id> --key-from-env OPENAI_API_KEY\n";

/// The official map by kind.
pub(crate) fn kinds(map: &Json, style: Style) -> String {
    if map.fields().is_empty() {
        return EMPTY.to_owned();
    }
    let mut table = Table::new(["Provider", "Enabled", "Keys", "ID"]);
    for (kind, entry) in map.fields() {
        table.row([
            clean(kind),
            enabled(entry, style),
            key_names(entry.get("customKeys")).unwrap_or_else(|| "-".to_owned()),
            field(entry, "id"),
        ]);
    }
    table.render(style)
}

/// One row for each stored credential.
pub(crate) fn rows(rows: &Json, style: Style) -> String {
    if rows.items().is_empty() {
        return EMPTY.to_owned();
    }
    let mut table = Table::new([
        "ID", "Name", "Provider", "Enabled", "Scopes", "Priority", "Health",
    ]);
    for row in rows.items() {
        table.row([
            field(row, "id"),
            field(row, "name"),
            field(row, "provider"),
            enabled(row, style),
            scopes_text(row.get("scopes")),
            field(row, "fallback_priority_global"),
            field(row, "health_status"),
        ]);
    }
    table.render(style)
}

pub(crate) fn provider(provider: &Json, style: Style) -> String {
    let limit = |name| {
        let value = provider
            .at(&["rate_limit", name])
            .filter(|value| !value.is_null())?;
        Some(format!("{name} {}", value.display()))
    };
    let limits: Vec<String> = ["rpm", "tpm", "rpd", "concurrent"]
        .into_iter()
        .filter_map(limit)
        .collect();
    let rows = [
        ("ID", Some(field(provider, "id"))),
        ("Name", optional(provider, "name")),
        ("Provider", optional(provider, "provider")),
        ("Handle", optional(provider, "routing_handle")),
        ("Enabled", Some(enabled(provider, style))),
        ("Scopes", Some(scopes_text(provider.get("scopes")))),
        ("Keys", key_names(provider.get("custom_keys"))),
        (
            "Rate limits",
            (!limits.is_empty()).then(|| limits.join(", ")),
        ),
        ("Priority", optional(provider, "fallback_priority_global")),
        ("Settings", optional(provider, "provider_config")),
        ("Extra headers", header_names(provider.get("extra_headers"))),
        ("Models", models(provider.get("custom_models"))),
        (
            "Embeddings",
            models(provider.get("custom_embeddings_models")),
        ),
        ("Deployments", deployments(provider)),
        ("Health", optional(provider, "health_status")),
        ("Circuit opened", when(provider.get("circuit_opened_at"))),
        ("Disabled", when(provider.get("disabled_at"))),
        ("Created", when(provider.get("created_at"))),
    ];
    details(style, 0, &rows)
}

/// One sentence and the provider.
pub(crate) fn changed(value: &Json, style: Style, done: &str) -> String {
    let name = optional(value, "name").unwrap_or_else(|| field(value, "provider"));
    let sentence = format!("Model provider \"{name}\" {done}.");
    format!("{}\n\n{}", style.green(&sentence), provider(value, style))
}

pub(crate) fn test(result: &Json, style: Style) -> String {
    let time = optional(result, "latency_ms").map(|ms| format!(" after {ms} ms"));
    let time = time.unwrap_or_default();
    if result.get("ok").and_then(Json::as_bool) == Some(true) {
        return format!("{}{time}\n", style.green("The provider answered"));
    }
    let error = match result.get("error") {
        Some(error) => error
            .text("message")
            .map_or_else(|| error.display(), str::to_owned),
        None => "no reason given".to_owned(),
    };
    format!(
        "{}{time}: {}\n",
        style.red("The provider failed"),
        clean(&error)
    )
}

pub(crate) fn set(result: &Json, style: Style) -> String {
    let state = if result.get("enabled").and_then(Json::as_bool) == Some(true) {
        "enabled"
    } else {
        "disabled"
    };
    let model = optional(result, "defaultModel").map(|model| format!(", default model {model}"));
    let provider = field(result, "provider");
    format!(
        "{} {provider} is {state}{}\n",
        style.green("✓"),
        model.unwrap_or_default()
    )
}

fn enabled(entry: &Json, style: Style) -> String {
    match entry.get("enabled").and_then(Json::as_bool) {
        Some(true) => style.green("yes"),
        _ => style.grey("no"),
    }
}

fn key_names(keys: Option<&Json>) -> Option<String> {
    let names: Vec<&str> = keys?
        .fields()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    (!names.is_empty()).then(|| clean(&names.join(", ")))
}

/// Their values may be credentials.
fn header_names(headers: Option<&Json>) -> Option<String> {
    let names: Vec<&str> = headers?
        .items()
        .iter()
        .filter_map(|h| h.text("key"))
        .collect();
    (!names.is_empty()).then(|| clean(&names.join(", ")))
}

/// Declared models: names, or entries with an id.
fn models(models: Option<&Json>) -> Option<String> {
    let names = models?.items().iter().map(|model| {
        let entry = model.text("id").or_else(|| model.text("name"));
        entry.map_or_else(|| model.display(), str::to_owned)
    });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| clean(&names.join(", ")))
}

fn deployments(provider: &Json) -> Option<String> {
    let pairs = provider.get("deployment_mapping")?.fields();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(model, native)| format!("{model} → {}", native.display()))
        .collect();
    (!pairs.is_empty()).then(|| clean(&pairs.join(", ")))
}
