//! The server's settings as a file that changes nothing when it is applied.

use super::compare::pruned;
use super::read::{Wants, stored, world};
use super::schema::fields;
use super::shape::{Kind, Write};
use super::value::{is_reference, variable_name};
use super::world::{Found, What, World};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// The document, and what could not be read.
pub(super) fn export(
    context: &mut Context<'_>,
    kinds: &[Kind],
) -> Result<(Json, Vec<String>), CliError> {
    let world = world(context, &Wants::all(kinds), kinds.len() > 1)?;
    let mut document = Json::object([("version", 1_i64.into())]);
    let mut unread = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        if let Some(reason) = world.closed(What::Of(kind)) {
            unread.push(format!("{} left out: {reason}.", kind.section()));
            continue;
        }
        let mut rows: Vec<Json> = (0..world.entries(What::Of(kind)).len())
            .filter_map(|at| entry(kind, at, &world))
            .collect();
        rows.sort_by(|a, b| a.text("name").cmp(&b.text("name")));
        if !rows.is_empty() {
            document.set(kind.section(), rows.into());
        }
    }
    tell_variables_apart(&mut document);
    Ok((document, unread))
}

fn entry(kind: Kind, at: usize, world: &World) -> Option<Json> {
    let entry = world.entry(kind, at)?;
    let row = entry.remote.as_ref()?;
    let what = What::Of(kind);
    let stored = stored(kind, row, world);
    let mut out = Json::Object(Vec::new());
    // Whatever the file would be matched by must mean this one only.
    let external = matches!(kind, Kind::Key | Kind::Budget).then(|| entry.names.get(1));
    let own = match (external.flatten(), kind) {
        (Some(_), _) => entry.names.get(1),
        (None, Kind::Guardrail) => entry.names.get(1),
        (None, _) => entry.names.first(),
    };
    let mine = |other: &&super::world::Entry| match own {
        Some(own) if external.flatten().is_some() || kind == Kind::Guardrail => {
            other.names.get(1) == Some(own)
        }
        Some(own) => other.names.first() == Some(own),
        None => false,
    };
    if world.entries(what).iter().filter(mine).count() != 1 {
        out.set("id", entry.id.as_deref().into());
    }
    for field in fields(kind) {
        let Some(value) = stored.get(field.name) else {
            continue;
        };
        let implied = match field.name {
            "routing_mode" => stored
                .get("routing_policy_id")
                .is_some_and(|p| !p.is_null()),
            "trace_project_id" => is_own_trace_project(&stored, value, world),
            _ => field.write == Write::OnlyNew,
        };
        if implied {
            continue;
        }
        if let Some(value) = pruned(field, value) {
            out.set(field.name, value);
        }
    }
    Some(out)
}

/// Where traces land without being told, or a project that has no name here.
fn is_own_trace_project(stored: &Json, project: &Json, world: &World) -> bool {
    let label = project.as_str().unwrap_or_default();
    let scopes = stored.get("scopes").map(Json::items).unwrap_or_default();
    let own = format!("project:{label}");
    let only = matches!(scopes, [scope] if scope.as_str() == Some(own.as_str()));
    only || world.find(What::Project, label) == Found::Nothing
}

/// Two things must not be given the same secret by mistake: where a variable would be named twice,
/// or after nothing but a header, it is named after its owner.
fn tell_variables_apart(document: &mut Json) {
    let mut all = Vec::new();
    names(document, &mut |name| all.push(name.to_owned()));
    let shared = |name: &str| all.iter().filter(|known| *known == name).count() > 1;
    let mut used: Vec<String> = Vec::new();
    for kind in [Kind::Provider, Kind::Guardrail] {
        let Some(Json::Array(mut rows)) = document.get(kind.section()).cloned() else {
            continue;
        };
        for row in &mut rows {
            let prefix = variable_name(row.text("name").unwrap_or_default());
            for section in ["custom_keys", "extra_headers", "evaluator"] {
                let Some(mut value) = row.get(section).cloned() else {
                    continue;
                };
                rename(&mut value, &mut |name| {
                    if section == "custom_keys" && !shared(name) {
                        return name.to_owned();
                    }
                    let mut unique = format!("{prefix}_{name}");
                    let mut next = 2;
                    while used.contains(&unique) {
                        unique = format!("{prefix}_{next}_{name}");
                        next += 1;
                    }
                    used.push(unique.clone());
                    unique
                });
                row.set(section, value);
            }
        }
        document.set(kind.section(), rows.into());
    }
}

/// Every variable that a document names.
fn names(value: &Json, take: &mut impl FnMut(&str)) {
    match value {
        reference if is_reference(reference) => {
            take(reference.text("from_env").unwrap_or_default());
        }
        Json::Object(fields) => fields.iter().for_each(|(_, value)| names(value, take)),
        Json::Array(items) => items.iter().for_each(|item| names(item, take)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn rename(value: &mut Json, edit: &mut impl FnMut(&str) -> String) {
    if is_reference(value) {
        if let Some(name) = value.text("from_env").map(str::to_owned) {
            value.set("from_env", edit(&name).into());
        }
        return;
    }
    match value {
        Json::Object(fields) => fields.iter_mut().for_each(|(_, v)| rename(v, edit)),
        Json::Array(items) => items.iter_mut().for_each(|item| rename(item, edit)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Whether whoever applies the document elsewhere must have secrets.
pub(super) fn names_secrets(document: &Json) -> bool {
    let mut any = false;
    names(document, &mut |_| any = true);
    any
}
