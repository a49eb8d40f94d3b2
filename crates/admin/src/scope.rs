//! Scopes as callers write them: a type and an id or a slug (domain C-3).
//!
//! Must never say which id it could not find: a foreign scope and an unknown one answer alike. Start at
//! [`read`] and [`resolve`].

use lw_core::{Code, Error, OrganizationId};
use lw_store::config::ScopeKind;
use lw_store::rows::Scope;

use crate::Admin;
use crate::edge::stored;
use crate::input::{Fields, Given, Problems};

/// The most scopes of one row.
const MOST: usize = 100;

/// A scope before it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    kind: ScopeKind,
    id_or_slug: String,
}

/// Reads `scopes`: `[{scope_type, scope_id}]`, at least one.
pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Given<Vec<Wanted>> {
    fields.list(&["scopes"], problems).map(|entries| {
        let path = fields.path("scopes");
        if entries.is_empty() || entries.len() > MOST {
            problems.add(
                &path,
                "invalid_length",
                format!("must name 1 to {MOST} scopes"),
            );
        }
        let mut wanted = Vec::new();
        for (place, entry) in entries.iter().enumerate().take(MOST) {
            let path = format!("{path}.{place}");
            let Some(map) = entry.as_object() else {
                problems.add(
                    path,
                    "invalid_type",
                    "must be an object of scope_type and scope_id",
                );
                continue;
            };
            let entry = Fields::new(map, path);
            let words = ["organization", "team", "project"];
            let kind = entry.choice(&["scope_type"], &words, problems);
            let id = entry.trimmed("scope_id", 1..=256, problems);
            for (name, missing) in [
                (
                    "scope_type",
                    entry
                        .raw(&["scope_type"])
                        .is_none_or(|(_, value)| value.is_null()),
                ),
                (
                    "scope_id",
                    entry
                        .raw(&["scope_id"])
                        .is_none_or(|(_, value)| value.is_null()),
                ),
            ] {
                if missing {
                    problems.add(entry.path(name), "required", "is required");
                }
            }
            let (Given::Value(kind), Given::Value(id_or_slug)) = (kind, id) else {
                continue;
            };
            let kind = match kind {
                "organization" => ScopeKind::Organization,
                "team" => ScopeKind::Team,
                _ => ScopeKind::Project,
            };
            wanted.push(Wanted { kind, id_or_slug });
        }
        wanted
    })
}

/// Looks scopes up inside an organization.
///
/// # Errors
/// `gateway_scope_org_mismatch` with the type of the first one that is not the organization's.
pub(crate) fn resolve(
    admin: &Admin,
    organization: &OrganizationId,
    wanted: &[Wanted],
) -> Result<Vec<Scope>, Error> {
    let mut scopes = Vec::new();
    for Wanted { kind, id_or_slug } in wanted {
        let found = admin
            .store
            .resolve_scope(organization, *kind, id_or_slug)
            .map_err(stored)?;
        let Some(scope) = found else {
            let word = match kind {
                ScopeKind::Organization => "organization",
                ScopeKind::Team => "team",
                ScopeKind::Project => "project",
            };
            let message = format!("A {word} scope does not belong to this organization.");
            return Err(Error::new(Code::ScopeOrgMismatch, message).with("scope_type", word));
        };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}
