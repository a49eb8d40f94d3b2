//! How guardrails look to a person.

use super::virtual_key_view::{field, optional};
use crate::args::when;
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, clean, details};

pub(crate) fn list(guardrails: &Json, style: Style) -> String {
    if guardrails.items().is_empty() {
        return "No guardrails found. Create one with:\n  \
                langwatch guardrails create --name <name> --direction pre --evaluator pii-check \
                --settings-json '{\"kinds\":[\"credit_card\"]}'\n"
            .to_owned();
    }
    let mut table = Table::new([
        "ID",
        "Name",
        "Direction",
        "Evaluator",
        "On failure",
        "Project",
    ]);
    for guardrail in guardrails.items() {
        table.row([
            style.grey(&field(guardrail, "id")),
            style.cyan(&field(guardrail, "name")),
            field(guardrail, "direction"),
            evaluator(guardrail).map_or_else(|| "-".to_owned(), clean),
            field(guardrail, "failure_mode"),
            field(guardrail, "project_id"),
        ]);
    }
    table.render(style)
}

pub(crate) fn guardrail(guardrail: &Json, style: Style) -> String {
    let settings = guardrail.at(&["evaluator", "settings"]);
    let rows = [
        ("ID", Some(field(guardrail, "id"))),
        ("Name", Some(field(guardrail, "name"))),
        ("Description", optional(guardrail, "description")),
        ("Project", optional(guardrail, "project_id")),
        ("Direction", Some(field(guardrail, "direction"))),
        ("On failure", Some(field(guardrail, "failure_mode"))),
        ("Evaluator", evaluator(guardrail).map(clean)),
        (
            "Settings",
            settings.map(|settings| clean(&settings.display())),
        ),
        ("Created", when(guardrail.get("created_at"))),
        ("Archived", when(guardrail.get("archived_at"))),
    ];
    details(style, 0, &rows)
}

/// One sentence, the guardrail, and what the server warns of.
pub(crate) fn changed(value: &Json, style: Style, done: &str) -> String {
    let sentence = format!("Guardrail \"{}\" {done}.", field(value, "name"));
    let mut out = format!("{}\n\n{}", style.green(&sentence), guardrail(value, style));
    let warnings = value.get("warnings").map(Json::items).unwrap_or_default();
    for warning in warnings {
        let text = format!("Warning: {}", clean(&warning.display()));
        out.push_str(&format!("\n{}\n", style.yellow(&text)));
    }
    out
}

/// The slug of the evaluator.
pub(crate) fn evaluator(guardrail: &Json) -> Option<&str> {
    match guardrail.get("evaluator")? {
        Json::String(slug) => Some(slug),
        evaluator => evaluator.text("slug"),
    }
}
