//! What must be true of a key before it is written: its trace project, its providers, its date
//! (domain 7.5, 9, 10).
//!
//! Each check asks the store and answers with the code that the catalogue has for it; none repeats an id
//! that it could not find in the organization, except those of providers, which the catalogue wants
//! named. Start at [`decided_trace_project`].

use std::collections::BTreeSet;

use lw_core::{Code, Error, ProjectId, RoutingPolicyId, UnixMicros, UserId};
use lw_engine::access::{Action, Permission, Resource};
use lw_store::config::ScopeKind;
use lw_store::rows::{Scope, VirtualKey};
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
        _ => Err(unknown_trace_project()),
    }
}

/// The refusal of a trace project. Never says which.
pub(super) fn unknown_trace_project() -> Error {
    let message = "The trace project is not a live project of this organization.";
    Error::new(Code::TraceProjectUnknown, message)
}

/// A routing policy of the organization, by id.
pub(super) fn policy(admin: &Admin, caller: &Caller, id: &str) -> Result<RoutingPolicyId, Error> {
    let unknown = || Error::new(Code::RoutingPolicyNotFound, "Routing policy not found.");
    let id = RoutingPolicyId::parse(id).map_err(|_not_an_id| unknown())?;
    let found = admin
        .store
        .routing_policy(&caller.organization.id, &id)
        .map_err(stored)?;
    found.map(|policy| policy.id).ok_or_else(unknown)
}

/// Every attached guardrail is a live one of the key's guardrail project, its single project scope or
/// else its trace project, and the caller may attach guardrails there (domain 15).
pub(super) fn guardrails(
    admin: &Admin,
    caller: &Caller,
    scopes: &[Scope],
    trace_project: &ProjectId,
    attached: &BTreeSet<String>,
) -> Result<(), Error> {
    const ATTACH: Permission = Permission::new(Resource::GatewayGuardrails, Action::Attach);
    if attached.is_empty() {
        return Ok(());
    }
    let project = VirtualKey::guardrail_project_of(scopes, trace_project);
    if !caller.may(admin, ATTACH, &Scope::Project(project.clone()))? {
        let message = "The credential may not attach guardrails in the key's project.";
        return Err(Error::new(Code::GuardrailAttachForbidden, message)
            .with("permission", ATTACH.to_string()));
    }
    let known = admin
        .store
        .guardrails(&caller.organization.id, Some(project))
        .map_err(stored)?;
    let all_known = attached
        .iter()
        .all(|id| known.iter().any(|row| row.id.as_str() == id));
    if all_known {
        Ok(())
    } else {
        let message = "A guardrail does not belong to the key's project. Attach guardrails of the \
                       project that the key is scoped to, or of its trace project.";
        Err(Error::new(Code::GuardrailProjectMismatch, message))
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

/// A current member of the organization, by id.
pub(super) fn member(admin: &Admin, caller: &Caller, id: &str) -> Result<UserId, Error> {
    let text = "must be a member of the organization";
    let unknown = || refuse(BODY, "principal_user_id", "invalid_value", text);
    let id = UserId::parse(id).map_err(|_not_an_id| unknown())?;
    let found = admin
        .store
        .member(&caller.organization.id, &id)
        .map_err(stored)?;
    let current = found.filter(|member| member.disabled_at.is_none());
    current.map(|member| member.user.id).ok_or_else(unknown)
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
