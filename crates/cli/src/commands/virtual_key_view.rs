//! How virtual keys, their spend and their budgets look to a person.

use super::gateway_budget_view;
use crate::args::{scopes_text, when};
use crate::client::segment;
use crate::context::Context;
use crate::decimal::dollars;
use crate::error::CliError;
use crate::json::Json;
use crate::redact::Redactor;
use crate::style::Style;
use crate::table::{Table, clean, details};

/// The key's page in the console.
pub(crate) fn link(context: &Context<'_>, key: &Json) -> Result<String, CliError> {
    let id = key.text("id").unwrap_or_default();
    context.link(&format!("/gateway/virtual-keys/{}", segment(id)))
}

pub(crate) fn list(keys: &Json, style: Style) -> String {
    if keys.items().is_empty() {
        return "No virtual keys found. Create one with:\n  \
                langwatch virtual-keys create --name <name>\n"
            .to_owned();
    }
    let mut table = Table::new([
        "ID",
        "Name",
        "Status",
        "Prefix",
        "Scopes",
        "Routing",
        "Purpose",
        "Last used",
    ]);
    for key in keys.items() {
        table.row([
            field(key, "id"),
            field(key, "name"),
            status(key, style),
            prefix(key),
            scopes_text(key.get("scopes")),
            field(key, "routing_mode"),
            field(key, "purpose"),
            when(key.get("last_used_at")).unwrap_or_else(|| style.grey("never")),
        ]);
    }
    table.render(style)
}

pub(crate) fn key(key: &Json, style: Style, link: &str) -> String {
    let trace_project = optional(key, "trace_project_id").map(|id| {
        let deleted = key.get("trace_project_archived").and_then(Json::as_bool) == Some(true);
        if deleted {
            format!("{id} (deleted)")
        } else {
            id
        }
    });
    let rows = [
        ("ID", Some(field(key, "id"))),
        ("Name", Some(field(key, "name"))),
        ("Description", optional(key, "description")),
        ("Status", Some(status(key, style))),
        ("Purpose", optional(key, "purpose")),
        ("Environment", optional(key, "env")),
        ("Prefix", Some(prefix(key))),
        ("Principal", optional(key, "principal_user_id")),
        ("Scopes", Some(scopes_text(key.get("scopes")))),
        ("Trace project", trace_project),
        ("Routing mode", optional(key, "routing_mode")),
        ("Policy", optional(key, "routing_policy_id")),
        ("External id", optional(key, "external_id")),
        ("Metadata", metadata(key)),
        ("Created", when(key.get("created_at"))),
        (
            "Last used",
            Some(when(key.get("last_used_at")).unwrap_or_else(|| "never".to_owned())),
        ),
        ("Revoked", when(key.get("revoked_at"))),
        ("Expires", when(key.get("expires_at"))),
        ("Link", Some(style.cyan(link))),
    ];
    let mut out = details(style, 0, &rows);
    if let Some(config) = key
        .get("config")
        .filter(|config| !config.fields().is_empty())
    {
        out.push_str(&style.grey("Config"));
        out.push('\n');
        for line in config.pretty().lines() {
            out.push_str(&format!("  {}\n", clean(line)));
        }
    }
    out
}

/// One sentence and the key.
pub(crate) fn changed(value: &Json, style: Style, link: &str, done: &str) -> String {
    let sentence = format!("Virtual key \"{}\" {done}.", field(value, "name"));
    format!("{}\n\n{}", style.green(&sentence), key(value, style, link))
}

/// The surroundings of a fresh secret.
pub(crate) struct Minted<'a> {
    pub(crate) done: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) link: &'a str,
}

/// The one place where a person sees a secret; everything around it is redacted here.
pub(crate) fn minted(
    answer: &Json,
    style: Style,
    redactor: &Redactor,
    minted: &Minted<'_>,
) -> String {
    let Minted {
        done,
        gateway,
        link,
    } = minted;
    let empty = Json::Null;
    let key = answer.get("virtual_key").unwrap_or(&empty);
    let secret = clean(answer.text("secret").unwrap_or_default());
    let sentence = format!("Virtual key \"{}\" {done}.", field(key, "name"));
    let rows = [
        ("ID", Some(field(key, "id"))),
        ("Prefix", Some(prefix(key))),
        ("Scopes", Some(scopes_text(key.get("scopes")))),
        ("Routing mode", optional(key, "routing_mode")),
        ("Trace project", optional(key, "trace_project_id")),
        ("Policy", optional(key, "routing_policy_id")),
        ("Principal", optional(key, "principal_user_id")),
        ("Budget", optional(key, "budget_text")),
        ("Expires", when(key.get("expires_at"))),
    ];
    let mut out = redactor.text(&format!(
        "{}\n{}\n\n",
        style.green(&sentence),
        style.yellow("Copy the secret now: it is shown only once."),
    ));
    out.push_str(&format!("{}\n\n", style.bold(&secret)));
    out.push_str(&format!("export OPENAI_API_KEY=\"{secret}\"\n"));
    out.push_str(&format!("export OPENAI_BASE_URL=\"{gateway}/v1\"\n\n"));
    let tail = format!("{}\n{}\n", details(style, 0, &rows), style.cyan(link));
    out.push_str(&redactor.text(&tail));
    out
}

pub(crate) fn spend(spend: &Json, style: Style) -> String {
    let edge = |name| when(spend.at(&["window", name]));
    let window = edge("from")
        .zip(edge("to"))
        .map(|(from, to)| format!("{from} to {to} UTC"));
    let rows = [
        ("Virtual key", Some(field(spend, "virtual_key_id"))),
        ("Spent", Some(dollars(spend.get("spent_usd")))),
        ("Requests", Some(field(spend, "requests"))),
        ("Window", window),
    ];
    details(style, 0, &rows)
}

pub(crate) fn budgets(budgets: &Json, style: Style) -> String {
    if budgets.items().is_empty() {
        return "No budgets apply to this virtual key. Give it one with:\n  \
                langwatch virtual-keys update <id> --budget-limit 25 --budget-window month\n"
            .to_owned();
    }
    gateway_budget_view::table(budgets, style)
}

fn status(key: &Json, style: Style) -> String {
    let text = field(key, "status");
    match text.as_str() {
        "active" => style.green(&text),
        "disabled" => style.yellow(&text),
        "revoked" => style.red(&text),
        _ => text,
    }
}

fn prefix(key: &Json) -> String {
    key.text("display_prefix")
        .map_or_else(|| "-".to_owned(), |p| clean(&format!("{p}...")))
}

/// The caller's own labels, `a=b, c=d`; nothing when there are none.
pub(crate) fn metadata(resource: &Json) -> Option<String> {
    let pairs = resource.get("metadata")?.fields();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(k, v)| format!("{k}={}", v.display()))
        .collect();
    (!pairs.is_empty()).then(|| clean(&pairs.join(", ")))
}

/// A field for a person, `-` when absent.
pub(crate) fn field(value: &Json, name: &str) -> String {
    value
        .get(name)
        .map_or_else(|| "-".to_owned(), |value| clean(&value.display()))
}

/// A field for a person, nothing when absent or null.
pub(crate) fn optional(value: &Json, name: &str) -> Option<String> {
    value
        .get(name)
        .filter(|value| !value.is_null())
        .map(|value| clean(&value.display()))
}
