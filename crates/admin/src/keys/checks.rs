//! What must be true of a key before it is written: its trace project, its providers, its date
//! (domain 7.5, 9, 10).
//!
//! Each check asks the store and answers with the code that the catalogue has for it; none repeats an id
//! that it could not find in the organization, except those of providers, which the catalogue wants
//! named. Start at [`decided_trace_project`].

use lw_core::{Code, Error, ProjectId, UnixMicros, UserId};
use lw_store::config::ScopeKind;
use lw_store::rows::Scope;
use serde_json::json;

use super::config;
use crate::Admin;
use crate::caller::Caller;
use crate::edge::stored;
use crate::input::{BODY, refuse};

/// Rule 1 of domain 10: a live project of the organization, by id or slug. Never echoed.
pub(super) fn named_trace_project(
    admin: &Admin,
    caller: &Caller,
    name: &str,
) -> Result<ProjectId, Error> {
    let organization = &caller.organization.id;
    let kind = ScopeKind::Project;
    match admin
        .store
        .resolve_scope(organization, kind, name)
        .map_err(stored)?
    {
        Some(Scope::Project(id)) => Ok(id),
        _ => {
            let message = "The trace project is not a live project of this organization.";
            Err(Error::new(Code::TraceProjectUnknown, message))
        }
    }
}

/// Rules 2 to 4 of domain 10. Scopes were resolved, so a project among them is live.
pub(super) fn decided_trace_project(
    admin: &Admin,
    caller: &Caller,
    scopes: &[Scope],
) -> Result<ProjectId, Error> {
    let organization = &caller.organization.id;
    let projects: Vec<&ProjectId> = scopes
        .iter()
        .filter_map(|scope| match scope {
            Scope::Project(id) => Some(id),
            Scope::Organization(_) | Scope::Team(_) => None,
        })
        .collect();
    if let [only] = projects.as_slice() {
        let project = admin.store.project(organization, only).map_err(stored)?;
        if project.is_some_and(|project| project.archived_at.is_none()) {
            return Ok((*only).clone());
        }
    }
    let governance = admin
        .store
        .governance_project(organization)
        .map_err(stored)?;
    let Some(governance) = governance else {
        let message = "The key needs a trace project: name one in `trace_project_id`.";
        return Err(Error::new(Code::TraceProjectRequired, message));
    };
    if admin.settings.trace_project_strict {
        let all = admin.store.projects(organization).map_err(stored)?;
        if all
            .iter()
            .any(|row| row.archived_at.is_none() && row.id != governance.id)
        {
            let message = "Several projects could receive the key's traces: name one in \
                           `trace_project_id`.";
            return Err(Error::new(Code::TraceProjectAmbiguous, message)
                .with("project_scope_count", projects.len()));
        }
    }
    Ok(governance.id)
}

/// A member of the organization, by id.
pub(super) fn member(admin: &Admin, caller: &Caller, id: &str) -> Result<UserId, Error> {
    let members = admin
        .store
        .members(&caller.organization.id)
        .map_err(stored)?;
    let found = members
        .into_iter()
        .find(|member| member.user.id.as_str() == id);
    found.map(|member| member.user.id).ok_or_else(|| {
        let text = "must be a member of the organization";
        refuse(BODY, "principal_user_id", "invalid_value", text)
    })
}

/// `providersAllowed` names somebody, if it is a list.
pub(super) fn some_provider_allowed(config: &str) -> Result<(), Error> {
    match config::providers_allowed(config) {
        Some(list) if list.is_empty() => {
            let message = "`config.providersAllowed` is an empty list: send null for every provider, \
                           or name at least one.";
            Err(Error::new(Code::ProvidersAllowedEmpty, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// A key cannot be made to have expired.
pub(super) fn not_in_the_past(at: Option<UnixMicros>, now: UnixMicros) -> Result<(), Error> {
    if at.is_none_or(|at| at > now) {
        return Ok(());
    }
    let message = "The expiry date lies in the past.";
    let errors = json!({ "expiresAt": [message], "expires_at": [message] });
    Err(Error::new(Code::VirtualKeyExpiryInPast, message).with("fieldErrors", errors))
}

/// Every provider that the config names must be visible from the key's scopes (domain 9, step 1).
pub(super) fn providers_reachable(
    admin: &Admin,
    caller: &Caller,
    scopes: &[Scope],
    config: &str,
) -> Result<(), Error> {
    let (allowed, embedding) = (
        config::providers_allowed(config),
        config::embedding_provider(config),
    );
    if allowed.is_none() && embedding.is_none() {
        return Ok(());
    }
    let organization = &caller.organization.id;
    let reachable = admin
        .store
        .reachable_providers(organization, scopes)
        .map_err(stored)?;
    let reached = |id: &str| reachable.iter().any(|provider| provider.id.as_str() == id);
    let missing: Vec<String> = allowed
        .unwrap_or_default()
        .into_iter()
        .filter(|id| !reached(id))
        .collect();
    if !missing.is_empty() {
        let message = format!("providers_not_in_scope: {}", missing.join(", "));
        return Err(Error::new(Code::ProvidersNotInScope, message).with("provider_ids", missing));
    }
    match embedding {
        Some(id) if !reached(&id) => {
            let field = "config.semanticCache.embeddingModelProviderId";
            Err(refuse(
                BODY,
                field,
                "invalid_value",
                "must be a provider that the key reaches",
            ))
        }
        Some(_) | None => Ok(()),
    }
}
