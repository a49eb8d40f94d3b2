//! The rules of model providers: what may be stored, changed and deleted, and what is told to whom
//! (domain 6).
//!
//! Must never show, log or audit a credential: `before` and `after` are the masked resource. Start at
//! [`create`].

use lw_core::{Code, Error, ModelProviderId};
use lw_store::StoreError;
use lw_store::config::{ChangeEvent, ChangeKind, Cursor, ModelProviderFilter};
use lw_store::rows::{ModelProvider, RateLimit, Scope};
use serde_json::{Map, Value};

use super::bag::{Bag, BagPatch, Headers};
use super::body::{NewProvider, ProviderPatch};
use super::kind::Kind;
use super::view;
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::stored;
use crate::input::{BODY, Given, Problems};
use crate::page::Keyset;
use crate::permission::{ModelProvidersManage, ModelProvidersUpdate, ModelProvidersView};
use crate::scope;
use crate::write::{Act, announce};

/// How often an update is tried again when somebody else was faster.
const TRIES: usize = 5;

/// A provider as the caller sees it, and its revision.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) body: Value,
    pub(super) revision: i64,
}

/// A page of the providers that the caller sees.
pub(crate) fn list(
    admin: &Admin,
    permit: &Permit<ModelProvidersView>,
    filter: &ModelProviderFilter,
    wanted: &Keyset,
) -> Result<(Vec<Value>, Option<Cursor>), Error> {
    let page = admin
        .store
        .model_providers(
            &permit.organization.id,
            filter,
            wanted.limit,
            wanted.after.as_ref(),
        )
        .map_err(stored)?;
    let seen = page.rows.iter().filter(|row| permit.sees(&row.scopes));
    let rows = seen.map(|row| view::provider(admin, row)).collect();
    Ok((rows, page.next))
}

/// One provider that the caller sees.
pub(crate) fn get(
    admin: &Admin,
    permit: &Permit<ModelProvidersView>,
    id: &str,
) -> Result<Shown, Error> {
    let row = existing(admin, permit, id)?;
    if !permit.sees(&row.scopes) {
        return Err(not_found());
    }
    Ok(Shown {
        body: view::provider(admin, &row),
        revision: row.revision,
    })
}

/// Stores a provider, by default for the caller's context.
pub(crate) fn create(
    admin: &Admin,
    permit: &Permit<ModelProvidersManage>,
    new: NewProvider,
) -> Result<Shown, Error> {
    let NewProvider { kind, bag, rest } = new;
    let organization = &permit.organization.id;
    let scopes = match (&rest.scopes, &permit.project) {
        (Some(wanted), _) => scope::resolve(admin, organization, wanted)?,
        (None, Some(project)) => vec![Scope::Project(project.id.clone())],
        (None, None) => vec![Scope::Organization(organization.clone())],
    };
    let now = admin.clock.now();
    let empty = ModelProvider {
        id: ModelProviderId::mint(now, admin.entropy.as_ref()),
        organization_id: organization.clone(),
        name: kind.display_name().to_owned(),
        provider: kind.name().to_owned(),
        routing_handle: None,
        enabled: true,
        scopes,
        sealed_keys: String::new(),
        sealed_extra_headers: None,
        custom_models: None,
        custom_embeddings_models: None,
        deployment_mapping: None,
        rate_limit: RateLimit::default(),
        fallback_priority_global: None,
        provider_config: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let secrets = Secrets {
        kind,
        bag: Bag::default(),
        headers: Headers::default(),
    };
    let scopes = Some(empty.scopes.clone());
    let (row, body) = changed(admin, empty, secrets, rest, bag, scopes)?;
    let change = Act {
        action: "gateway.provider_binding.created",
        target_kind: "provider_binding",
        target_id: row.id.as_str(),
        before: None,
        after: Some(body.clone()),
        args: None,
        event: event(&row),
    }
    .by(admin, permit, now);
    admin
        .store
        .create_model_provider(&row, &change)
        .map_err(conflict)?;
    announce(admin, &change);
    Ok(Shown {
        body,
        revision: row.revision,
    })
}

/// Changes what `body` names. Needs no read visibility, only existence.
pub(crate) fn update(
    admin: &Admin,
    permit: &Permit<ModelProvidersUpdate>,
    id: &str,
    seen: Option<i64>,
    body: &Map<String, Value>,
) -> Result<Shown, Error> {
    for _ in 0..TRIES {
        let before = existing(admin, permit, id)?;
        let kind = Kind::parse(&before.provider).ok_or_else(|| {
            Error::new(
                Code::InternalError,
                "a stored provider is of an unknown kind",
            )
        })?;
        let (bag, headers) = (Bag::open(admin, &before)?, Headers::open(admin, &before)?);
        let old = view::shown(&before, &bag, &headers);
        if seen.is_some_and(|seen| seen != before.revision) {
            return Err(revision_conflict(old));
        }
        let (patch, wishes) = ProviderPatch::read(body, kind, admin.base_url_policy.as_ref())?;
        let scopes = match &patch.scopes {
            Some(wanted) => Some(scope::resolve(admin, &permit.organization.id, wanted)?),
            None => None,
        };
        let now = admin.clock.now();
        let expected = before.revision;
        let next = ModelProvider {
            revision: expected.saturating_add(1),
            updated_at: now,
            ..before
        };
        let secrets = Secrets { kind, bag, headers };
        let (row, new) = changed(admin, next, secrets, patch, wishes, scopes)?;
        let change = Act {
            action: "gateway.provider_binding.updated",
            target_kind: "provider_binding",
            target_id: row.id.as_str(),
            before: Some(old),
            after: Some(new.clone()),
            args: None,
            event: event(&row),
        }
        .by(admin, permit, now);
        match admin.store.update_model_provider(&row, expected, &change) {
            Ok(Some(_)) => {
                announce(admin, &change);
                return Ok(Shown {
                    body: new,
                    revision: row.revision,
                });
            }
            Ok(None) => return Err(not_found()),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(conflict(error)),
        }
    }
    Err(revision_conflict(view::provider(
        admin,
        &existing(admin, permit, id)?,
    )))
}

/// Deletes a provider with its credentials; what is answered is what it was.
pub(crate) fn delete(
    admin: &Admin,
    permit: &Permit<ModelProvidersManage>,
    id: &str,
    seen: Option<i64>,
) -> Result<Value, Error> {
    let row = existing(admin, permit, id)?;
    let body = view::provider(admin, &row);
    if seen.is_some_and(|seen| seen != row.revision) {
        return Err(revision_conflict(body));
    }
    let change = Act {
        action: "gateway.provider_binding.deleted",
        target_kind: "provider_binding",
        target_id: row.id.as_str(),
        before: Some(body.clone()),
        after: None,
        args: None,
        event: event(&row),
    }
    .by(admin, permit, admin.clock.now());
    let deleted = admin
        .store
        .delete_model_provider(&permit.organization.id, &row.id, &change)
        .map_err(stored)?;
    deleted.ok_or_else(not_found)?;
    announce(admin, &change);
    Ok(body)
}

/// The opened secrets of a row that is being written.
struct Secrets {
    kind: Kind,
    bag: Bag,
    headers: Headers,
}

/// The row afterwards, sealed, and the resource that shows it.
fn changed(
    admin: &Admin,
    mut row: ModelProvider,
    secrets: Secrets,
    patch: ProviderPatch,
    wishes: BagPatch,
    new_scopes: Option<Vec<Scope>>,
) -> Result<(ModelProvider, Value), Error> {
    let ProviderPatch {
        name,
        routing_handle,
        enabled,
        scopes: _,
        extra_headers,
        custom_models,
        custom_embeddings_models,
        deployment_mapping,
        rate_limit,
        fallback_priority_global,
        provider_config,
    } = patch;
    let Secrets { kind, bag, headers } = secrets;
    let mut problems = Problems::of(BODY);
    let bag = bag.patched(kind, wishes, &mut problems);
    let headers = match extra_headers {
        Given::Absent => headers,
        Given::Null => Headers::default(),
        Given::Value(list) => headers.replaced(list, &mut problems),
    };
    problems.finish()?;
    if let Some(name) = name {
        row.name = name;
    }
    if let Some(enabled) = enabled {
        row.enabled = enabled;
    }
    if let Some(scopes) = new_scopes {
        row.scopes = scopes;
    }
    row.routing_handle = routing_handle.over(row.routing_handle);
    row.custom_models = custom_models.over(row.custom_models);
    row.custom_embeddings_models = custom_embeddings_models.over(row.custom_embeddings_models);
    row.deployment_mapping = deployment_mapping.over(row.deployment_mapping);
    row.rate_limit = match rate_limit {
        Given::Absent => row.rate_limit,
        Given::Null => RateLimit::default(),
        Given::Value(limits) => limits.over(row.rate_limit),
    };
    row.fallback_priority_global = fallback_priority_global.over(row.fallback_priority_global);
    row.provider_config = provider_config.over(row.provider_config);
    row.sealed_keys = bag.seal(admin, row.id.as_str())?;
    row.sealed_extra_headers = headers.seal(admin, row.id.as_str())?;
    let body = view::shown(&row, &bag, &headers);
    Ok((row, body))
}

fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<ModelProvider, Error> {
    let id = ModelProviderId::parse(id).map_err(|_not_an_id| not_found())?;
    let row = admin
        .store
        .model_provider(&caller.organization.id, &id)
        .map_err(stored)?;
    row.ok_or_else(not_found)
}

fn event(row: &ModelProvider) -> ChangeEvent {
    ChangeEvent {
        kind: ChangeKind::ModelProviderUpdated,
        organization_id: row.organization_id.clone(),
        virtual_key_id: None,
        model_provider_id: Some(row.id.clone()),
        project_id: None,
    }
}

fn not_found() -> Error {
    Error::new(Code::ModelProviderNotFound, "Model provider not found.")
}

fn revision_conflict(current: Value) -> Error {
    let message =
        "The model provider changed since it was read. Read it again and repeat the change.";
    Error::new(Code::RevisionConflict, message).with("current", current)
}

fn conflict(error: StoreError) -> Error {
    match error {
        StoreError::Conflict {
            field: "routing_handle",
        } => Error::new(
            Code::RoutingHandleConflict,
            "Another model provider of the organization has this routing_handle.",
        ),
        error => stored(error),
    }
}
