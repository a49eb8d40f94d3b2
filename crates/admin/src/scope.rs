//! Scopes as callers write them: a type and an id or a slug (domain C-3).
//!
//! Must never say which id it could not find: a foreign scope and an unknown one answer alike. Start at
//! [`read`] and [`resolve`].

use lw_core::{Code, Error, OrganizationId};
use lw_engine::access::{Permission, Place};
use lw_store::config::ScopeKind;
use lw_store::rows::Scope;

use crate::Admin;
use crate::caller::Caller;
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
    for each in wanted {
        let scope = each
            .look_up(admin, organization)?
            .ok_or_else(|| mismatch(each.kind))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// Looks scopes up and insists that the caller is permitted at every one of them (domain 4.6). A scope
/// that is not the organization's answers as one where the caller is not permitted, unless the caller is
/// permitted everywhere.
///
/// # Errors
/// `permission_denied` naming the first scope without permission; `gateway_scope_org_mismatch`.
pub(crate) fn permitted(
    admin: &Admin,
    caller: &Caller,
    wanted: &[Wanted],
    permission: Permission,
    may: impl Fn(&Place) -> bool,
) -> Result<Vec<Scope>, Error> {
    let mut scopes = Vec::new();
    for each in wanted {
        let found = each.look_up(admin, &caller.organization.id)?;
        let place = match &found {
            Some(scope) => caller.place(admin, scope)?,
            None => Place::organization(),
        };
        if !may(&place) {
            let kind = word(each.kind).to_ascii_uppercase();
            // Answers carry ids (C-3), but not of what the caller knows nothing about.
            let shown = found.as_ref().filter(|scope| {
                matches!(scope, Scope::Organization(_))
                    || !caller.access.permissions_at(&place).is_empty()
            });
            let id = shown.map_or(each.id_or_slug.as_str(), |scope| words(scope).1);
            let message = format!("permission_denied: {permission} at {kind}:{id}");
            let error = Error::new(Code::PermissionDenied, message);
            return Err(error.with("permission", permission.to_string()));
        }
        let scope = found.ok_or_else(|| mismatch(each.kind))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

impl Wanted {
    /// The scope that a caller means.
    pub(crate) fn new(kind: ScopeKind, id_or_slug: impl Into<String>) -> Self {
        Self {
            kind,
            id_or_slug: id_or_slug.into(),
        }
    }

    fn look_up(
        &self,
        admin: &Admin,
        organization: &OrganizationId,
    ) -> Result<Option<Scope>, Error> {
        admin
            .store
            .resolve_scope(organization, self.kind, &self.id_or_slug)
            .map_err(stored)
    }
}

/// The refusal of a scope that is not the organization's. Never says which.
pub(crate) fn mismatch(kind: ScopeKind) -> Error {
    let word = word(kind);
    let article = if kind == ScopeKind::Organization {
        "An"
    } else {
        "A"
    };
    let message = format!("{article} {word} scope does not belong to this organization.");
    Error::new(Code::ScopeOrgMismatch, message).with("scope_type", word)
}

const fn word(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::Organization => "organization",
        ScopeKind::Team => "team",
        ScopeKind::Project => "project",
    }
}

/// The type and the id of a scope, as the API writes them.
pub(crate) fn words(scope: &Scope) -> (&'static str, &str) {
    match scope {
        Scope::Organization(id) => ("organization", id.as_str()),
        Scope::Team(id) => ("team", id.as_str()),
        Scope::Project(id) => ("project", id.as_str()),
    }
}
