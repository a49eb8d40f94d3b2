//! Finds the model provider that a person means: an id, a routing handle, or a name that only one
//! provider of the organization has.

use super::model_provider::PROVIDERS;
use crate::args::scopes_text;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::table::clean;

/// Ids of our own servers begin like this. They are sent as they are, without asking.
const ID_PREFIX: &str = "mp_";

/// The ids for what was typed, in its order. Asks the server only when something is not an id.
pub(super) fn ids(context: &mut Context<'_>, wanted: &[String]) -> Result<Vec<Json>, CliError> {
    let wanted: Vec<&str> = wanted.iter().map(|text| text.trim()).collect();
    if wanted.iter().all(|text| text.starts_with(ID_PREFIX)) {
        return Ok(wanted.into_iter().map(Json::from).collect());
    }
    let rows = context.send_all("look up the model providers", PROVIDERS.list())?;
    wanted.into_iter().map(|text| find(&rows, text)).collect()
}

fn find(rows: &[Json], wanted: &str) -> Result<Json, CliError> {
    let same = |row: &Json, name| {
        row.text(name)
            .is_some_and(|v| v.eq_ignore_ascii_case(wanted))
    };
    let is_id = |row: &&Json| row.text("id") == Some(wanted);
    if wanted.starts_with(ID_PREFIX) || rows.iter().any(|row| is_id(&row)) {
        return Ok(wanted.into());
    }
    // Handles are unique, names need not be.
    for field in ["routing_handle", "name"] {
        let found: Vec<&Json> = rows.iter().filter(|row| same(row, field)).collect();
        match found.as_slice() {
            [] => {}
            [row] => return Ok(row.text("id").unwrap_or_default().into()),
            several => return Err(ambiguous(wanted, several)),
        }
    }
    Err(CliError::usage(format!(
        "No model provider has the id, the handle or the name \"{}\". \
         `langwatch model-provider list --all` shows them.",
        clean(wanted)
    )))
}

fn ambiguous(wanted: &str, rows: &[&Json]) -> CliError {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let id = clean(row.text("id").unwrap_or("?"));
            format!("{id} ({})", scopes_text(row.get("scopes")))
        })
        .collect();
    CliError::usage(format!(
        "Several model providers are called \"{}\": {}. Name one by its id or its handle.",
        clean(wanted),
        rows.join(", ")
    ))
}
