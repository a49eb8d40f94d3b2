//! The official route: one provider of each kind, as a project sees it (management-api 12.1).
//!
//! Of several rows of one kind the narrowest is shown and changed. A row of the team or the organization
//! is changed only by who may change it there; whoever may not gets a row of the project's own, which then
//! is the narrowest. Must never let a project overwrite what others share. Start at [`map`] and [`put`].

use lw_core::{Code, Error};
use lw_store::config::{ModelProviderFilter, Write};
use lw_store::rows::{ModelProvider, Scope};
use serde_json::{Map, Value};

use super::body::{NOT_A_KIND, NewProvider, Upsert};
use super::kind::Kind;
use super::kinds::KINDS;
use super::{gates, service, view};
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::{changed_since, stored};
use crate::permission::{ModelProvidersSet, ProjectView};
use crate::write::{Tried, commit, until_fresh};

/// Rows that are read at once.
const PAGE: usize = 200;

/// The providers that the context sees, by kind.
pub(crate) fn map(admin: &Admin, permit: &Permit<ProjectView>) -> Result<Value, Error> {
    of(admin, permit)
}

/// Stores or changes the provider of a kind, and gives the map.
///
/// # Errors
/// `bad_request` for whatever is wrong with the body, `permission_denied`, or the store failed.
pub(crate) fn put(
    admin: &Admin,
    permit: &Permit<ModelProvidersSet>,
    kind: &str,
    body: &Map<String, Value>,
) -> Result<Value, Error> {
    let kind = Kind::parse(kind)
        .ok_or_else(|| Error::new(Code::BadRequest, format!("The kind {NOT_A_KIND}.")))?;
    let upsert = Upsert::read(body, &kind, admin.base_url_policy.as_ref())?;
    until_fresh(
        || {
            let mut rows = visible(admin, permit, Some(kind.name()))?;
            rows.sort_by_cached_key(|row| rank(permit, row));
            match rows.first() {
                Some(row) if gates::may_set(admin, permit, row)? => {
                    let Upsert { bag, rest } = upsert.clone();
                    let tried = service::rewrite(admin, permit, row, row.clone(), rest, bag)?;
                    Ok(match tried {
                        Tried::Done(_) => Tried::Done(()),
                        Tried::Stale => Tried::Stale,
                    })
                }
                // Nothing is there that could be switched off.
                None if upsert.rest.enabled == Some(false) && !upsert.bag.brings_a_value() => {
                    Ok(Tried::Done(()))
                }
                found => {
                    let own = upsert.bag.brings_a_value() || found.is_none();
                    if !own || !gates::may_set_here(permit) {
                        return Err(refused(permit, found));
                    }
                    insert(admin, permit, &kind, upsert.clone())?;
                    Ok(Tried::Done(()))
                }
            }
        },
        || changed_since("model_provider", Value::Null),
    )?;
    of(admin, permit)
}

fn insert(admin: &Admin, caller: &Caller, kind: &Kind, upsert: Upsert) -> Result<(), Error> {
    let Upsert { bag, rest } = upsert;
    let new = NewProvider {
        kind: kind.clone(),
        bag,
        rest,
    };
    let (row, body) = service::fresh(admin, caller, new, &[caller.context_scope()])?;
    let change = service::created(admin, caller, &row, &body);
    commit(admin, &[Write::InsertModelProvider(&row)], &change).map_err(service::conflict)?;
    Ok(())
}

fn refused(caller: &Caller, row: Option<&ModelProvider>) -> Error {
    let context = caller.context_scope();
    let scope = row.and_then(|row| row.scopes.first()).unwrap_or(&context);
    let error = gates::not_settable(scope);
    if row.is_some() && gates::may_set_here(caller) {
        error.tip("Send `customKeys` to store a provider of the project's own in its place.")
    } else {
        error
    }
}

/// The map: every known kind, and whatever else is stored.
fn of(admin: &Admin, caller: &Caller) -> Result<Value, Error> {
    let mut map: Map<String, Value> = KINDS
        .iter()
        .map(|spec| (spec.name.to_owned(), view::unconfigured(spec.name)))
        .collect();
    let mut rows = visible(admin, caller, None)?;
    rows.sort_by_cached_key(|row| rank(caller, row));
    // The first of a kind wins: it is written last.
    for row in rows.iter().rev() {
        map.insert(row.provider.clone(), view::entry(admin, row));
    }
    Ok(map.into())
}

/// What is handed down to the context of a request: to a project from its team and the organization, to
/// the organization from nobody.
fn visible(
    admin: &Admin,
    caller: &Caller,
    kind: Option<&str>,
) -> Result<Vec<ModelProvider>, Error> {
    let organization = &caller.organization.id;
    let mut scopes = vec![Scope::Organization(organization.clone())];
    if let Some(project) = &caller.project {
        scopes.push(Scope::Team(project.team_id.clone()));
        scopes.push(Scope::Project(project.id.clone()));
    }
    let filter = ModelProviderFilter {
        provider: kind.map(str::to_owned),
        scopes: Some(scopes),
    };
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = admin
            .store
            .model_providers(organization, &filter, PAGE, after.as_ref())
            .map_err(stored)?;
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
    }
}

/// What decides among rows of one kind, smallest first: the narrowest scope, enabled before disabled,
/// then the order of dispatch (priority with none last, age).
type Rank = (u8, bool, (bool, Option<i64>), i64, String);

fn rank(caller: &Caller, row: &ModelProvider) -> Rank {
    let width = |scope: &Scope| match (scope, &caller.project) {
        (Scope::Project(id), Some(project)) if *id == project.id => 0,
        (Scope::Team(id), Some(project)) if *id == project.team_id => 1,
        (Scope::Organization(_), _) => 2,
        // Seen through another of its scopes.
        (Scope::Project(_) | Scope::Team(_), _) => 3,
    };
    let priority = row.fallback_priority_global;
    (
        row.scopes.iter().map(width).min().unwrap_or(3),
        !view::serves(row),
        (priority.is_none(), priority),
        row.created_at.0,
        row.id.to_string(),
    )
}
