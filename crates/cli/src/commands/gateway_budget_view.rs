//! How budgets look to a person.

use super::virtual_key_view::{field, metadata, optional};
use crate::args::when;
use crate::decimal::{Use, dollars, used, with_cents};
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

/// Periods that never end have this year as their boundary.
const FOR_EVER: &str = "9999-";

/// `{budgets, spend_available}`.
pub(crate) fn list(listing: &Json, style: Style) -> String {
    let Some(budgets) = listing.get("budgets").filter(|b| !b.items().is_empty()) else {
        return "No gateway budgets found. Create one with:\n  \
                langwatch gateway-budgets create --name <name> --scope project --project <id> \
                --window month --limit 100\n"
            .to_owned();
    };
    let mut out = table(budgets, style);
    if listing.get("spend_available").and_then(Json::as_bool) == Some(false) {
        let line =
            "The server could not total what was spent: the limits are real, the use is unknown.";
        out.push_str(&format!("\n{}\n", style.yellow(line)));
    }
    out
}

/// One row for each budget.
pub(crate) fn table(budgets: &Json, style: Style) -> String {
    let mut table = Table::new([
        "ID", "Name", "Scope", "Window", "Breach", "Limit", "Spent", "Provider", "Resets",
        "Archived",
    ]);
    for budget in budgets.items() {
        table.row([
            style.grey(&field(budget, "id")),
            style.cyan(&field(budget, "name")),
            scope(budget),
            field(budget, "window"),
            field(budget, "on_breach"),
            limit(budget),
            spent(budget, style),
            optional(budget, "provider_key").unwrap_or_else(dash),
            resets(budget).unwrap_or_else(dash),
            when(budget.get("archived_at")).map_or_else(dash, |at| date(&at)),
        ]);
    }
    table.render(style)
}

pub(crate) fn budget(budget: &Json, style: Style) -> String {
    let reach = match budget.text("scope_reach") {
        Some("unreachable") => Some(style.yellow("unreachable: no active key counts toward it")),
        _ => optional(budget, "scope_reach"),
    };
    let rows = [
        ("ID", Some(field(budget, "id"))),
        ("Name", Some(field(budget, "name"))),
        ("Description", optional(budget, "description")),
        ("Scope", Some(scope(budget))),
        ("Window", Some(field(budget, "window"))),
        ("Limit", Some(limit(budget))),
        ("Spent", Some(spent(budget, style))),
        ("On breach", optional(budget, "on_breach")),
        ("Enforcement", optional(budget, "enforcement")),
        ("Provider", optional(budget, "provider_key")),
        ("Reach", reach),
        ("Time zone", optional(budget, "timezone")),
        ("Anchor", when(budget.get("cycle_anchor_at"))),
        (
            "Period since",
            when(budget.get("current_period_started_at")),
        ),
        ("Resets", resets(budget)),
        ("Last reset", when(budget.get("last_reset_at"))),
        ("External id", optional(budget, "external_id")),
        ("Metadata", metadata(budget)),
        ("Created", when(budget.get("created_at"))),
        ("Archived", when(budget.get("archived_at"))),
    ];
    details(style, 0, &rows)
}

/// One sentence and the budget.
pub(crate) fn changed(value: &Json, style: Style, done: &str) -> String {
    let sentence = format!("Budget \"{}\" {done}.", field(value, "name"));
    format!("{}\n\n{}", style.green(&sentence), budget(value, style))
}

/// Whether the server totalled what this budget has spent. A per-person budget has no total.
pub(crate) fn has_figure(budget: &Json) -> bool {
    is(budget, "attributed_user")
        || budget
            .get("spent_usd")
            .is_some_and(|spent| !spent.is_null())
}

fn is(budget: &Json, scope_type: &str) -> bool {
    budget
        .text("scope_type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case(scope_type))
}

fn scope(budget: &Json) -> String {
    let kind = field(budget, "scope_type").to_ascii_lowercase();
    format!("{kind}:{}", field(budget, "scope_id"))
}

fn count(budget: &Json, name: &str) -> u64 {
    budget
        .get(name)
        .and_then(Json::as_i64)
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or_default()
}

/// What one period allows, and to whom.
fn limit(budget: &Json) -> String {
    let limit = dollars(budget.get("limit_usd"));
    if is(budget, "group") {
        format!("{limit}/member x{}", count(budget, "member_count"))
    } else if is(budget, "attributed_user") {
        format!("{limit}/person")
    } else {
        limit
    }
}

/// Yellow from 80 % of the limit on, red at the limit. Of a per-person budget, how many people are
/// there: their spend against one person's limit would mean nothing.
fn spent(budget: &Json, style: Style) -> String {
    if is(budget, "attributed_user") {
        let over = count(budget, "end_users_over");
        let text = format!("{over} of {} over cap", count(budget, "end_users_seen"));
        return if over > 0 { style.red(&text) } else { text };
    }
    let Some(spent) = budget.text("spent_usd") else {
        return style.grey("unavailable");
    };
    let text = match with_cents(spent) {
        Some(amount) => format!("${amount}"),
        None => clean(spent),
    };
    let times = if is(budget, "group") {
        count(budget, "member_count")
    } else {
        1
    };
    match budget
        .text("limit_usd")
        .and_then(|limit| used(spent, limit, times))
    {
        Some(Use::Over) => style.red(&text),
        Some(Use::Near) => style.yellow(&text),
        Some(Use::Fine) | None => text,
    }
}

/// The end of the period; short windows end at a time of day.
fn resets(budget: &Json) -> Option<String> {
    let window = field(budget, "window").to_ascii_lowercase();
    // Too late for a time stamp, so it is told by its text.
    if budget.text("resets_at")?.starts_with(FOR_EVER) {
        let by_hand = window == "manual";
        return Some(if by_hand { "by hand" } else { "never" }.to_owned());
    }
    let at = when(budget.get("resets_at"))?;
    let is_short = matches!(window.as_str(), "minute" | "hour");
    Some(if is_short { at } else { date(&at) })
}

fn date(minute: &str) -> String {
    minute.chars().take(10).collect()
}

fn dash() -> String {
    "-".to_owned()
}
