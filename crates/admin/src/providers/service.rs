//! The rules of model providers: what may be stored, changed and deleted, and what is told to whom
//! (domain 6).
//!
//! Must never show, log or audit a credential: `before` and `after` are the masked resource. Start at
//! [`prepare`], [`create`] and [`rewrite`].

use lw_core::{Code, Error, ModelProviderId};
use lw_store::StoreError;
use lw_store::config::{Change, ChangeEvent, ChangeKind, Cursor, ModelProviderFilter, Write};
use lw_store::rows::{ModelProvider, RateLimit, Scope};
use serde_json::{Map, Value, json};

use super::bag::{Bag, BagPatch};
use super::body::{NewProvider, ProviderPatch};
use super::headers::Headers;
use super::kind::Kind;
use super::{dialled, gates, settings, view};
use crate::caller::{Caller, Permit};
use crate::edge::{changed_since, stored};
use crate::idempotency::Keep;
use crate::input::{BODY, Given, Problems};
use crate::page::Keyset;
use crate::permission::{ModelProvidersManage, ModelProvidersUpdate, ModelProvidersView};
use crate::serve::Answer;
use crate::write::{Act, Filed, Tried, commit, commit_answer, until_fresh};
use crate::{Admin, Probe};

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
    provider: Option<String>,
    wanted: &Keyset,
) -> Result<(Vec<Value>, Option<Cursor>), Error> {
    let filter = ModelProviderFilter {
        provider,
        scopes: gates::seen_scopes(admin, permit)?,
    };
    let page = admin
        .store
        .model_providers(
            &permit.organization.id,
            &filter,
            wanted.limit,
            wanted.after.as_ref(),
        )
        .map_err(stored)?;
    let rows = page.rows.iter().map(|row| view::provider(admin, row));
    Ok((rows.collect(), page.next))
}

/// One provider that the caller sees.
pub(crate) fn get(
    admin: &Admin,
    permit: &Permit<ModelProvidersView>,
    id: &str,
) -> Result<Shown, Error> {
    let row = existing(admin, permit, id)?;
    if !gates::sees(admin, permit, &row)? {
        return Err(not_found());
    }
    Ok(Shown {
        body: view::provider(admin, &row),
        revision: row.revision,
    })
}

/// Asks a provider whether its credential works.
pub(crate) fn probe(
    admin: &Admin,
    permit: &Permit<ModelProvidersUpdate>,
    id: &str,
    count: impl FnOnce() -> Result<(), Error>,
) -> Result<Probe, Error> {
    let row = existing(admin, permit, id)?;
    gates::change(admin, permit, &row)?;
    count()?;
    Ok(admin.prober.probe(&row))
}

/// A new provider that may be stored: everything about it was checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    row: ModelProvider,
    body: Value,
}

/// The checks, all of which come before an `Idempotency-Key` is looked at. Without scopes a provider is
/// the context's.
pub(crate) fn prepare(
    admin: &Admin,
    permit: &Permit<ModelProvidersUpdate>,
    new: NewProvider,
) -> Result<Prepared, Error> {
    let scopes = gates::new_scopes(admin, permit, new.rest.scopes.as_deref())?;
    let (row, body) = fresh(admin, permit, new, &scopes)?;
    Ok(Prepared { row, body })
}

/// Stores a provider.
pub(crate) fn create(
    admin: &Admin,
    permit: &Permit<ModelProvidersUpdate>,
    prepared: &Prepared,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let Prepared { row, body } = prepared;
    let change = created(admin, permit, row, body);
    let answer = Answer::created(json!({ "model_provider": body })).at_revision(row.revision);
    let writes = [Write::InsertModelProvider(row)];
    commit_answer(admin, &writes, change, answer, keep, conflict)
}

/// A row that is not stored yet, and the resource that shows it.
pub(super) fn fresh(
    admin: &Admin,
    caller: &Caller,
    new: NewProvider,
    scopes: &[Scope],
) -> Result<(ModelProvider, Value), Error> {
    let NewProvider { kind, bag, rest } = new;
    let now = admin.clock.now();
    let empty = ModelProvider {
        id: ModelProviderId::mint(now, admin.entropy.as_ref()),
        organization_id: caller.organization.id.clone(),
        name: kind.display_name().to_owned(),
        provider: kind.name().to_owned(),
        routing_handle: None,
        enabled: true,
        scopes: scopes.to_vec(),
        sealed_keys: String::new(),
        sealed_extra_headers: None,
        custom_models: None,
        custom_embeddings_models: None,
        deployment_mapping: None,
        rate_limit: RateLimit::default(),
        fallback_priority_global: None,
        provider_config: None,
        disabled_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let secrets = Secrets {
        fresh: true,
        bag: Bag::default(),
        headers: Headers::default(),
    };
    changed(admin, empty, &kind, secrets, rest, bag)
}

/// What accompanies the insert of a row.
pub(super) fn created(admin: &Admin, caller: &Caller, row: &ModelProvider, body: &Value) -> Change {
    Act {
        action: "gateway.provider_binding.created",
        target_kind: Some("provider_binding"),
        target_id: row.id.as_str(),
        filed: Filed::at(&row.scopes),
        after: Some(body.clone()),
        events: vec![event(row)],
        ..Act::default()
    }
    .by(admin, caller, row.created_at)
}

/// Changes what `body` names. Needs no read visibility, only existence and the permission at one of the
/// provider's scopes.
pub(crate) fn update(
    admin: &Admin,
    permit: &Permit<ModelProvidersUpdate>,
    id: &str,
    seen: Option<i64>,
    body: &Map<String, Value>,
) -> Result<Shown, Error> {
    let last = std::cell::Cell::new(Value::Null);
    until_fresh(
        || {
            let before = existing(admin, permit, id)?;
            gates::change(admin, permit, &before)?;
            if seen.is_some_and(|seen| seen != before.revision) {
                return Err(changed_since(
                    "model_provider",
                    view::provider(admin, &before),
                ));
            }
            let kind = kind_of(&before)?;
            let policy = admin.base_url_policy.as_ref();
            let (patch, wishes) = ProviderPatch::read(body, &kind, policy)?;
            let scopes = match &patch.scopes {
                Some(wanted) => gates::other_scopes(admin, permit, &before, wanted)?,
                None => before.scopes.clone(),
            };
            let after = ModelProvider {
                scopes,
                ..before.clone()
            };
            let tried = rewrite(admin, permit, &before, after, patch, wishes)?;
            if matches!(tried, Tried::Stale) {
                last.set(view::provider(admin, &before));
            }
            Ok(tried)
        },
        || changed_since("model_provider", last.take()),
    )
}

/// Writes one change of a row; `after` is the row with its new scopes.
pub(super) fn rewrite(
    admin: &Admin,
    caller: &Caller,
    before: &ModelProvider,
    after: ModelProvider,
    patch: ProviderPatch,
    wishes: BagPatch,
) -> Result<Tried<Shown>, Error> {
    let kind = kind_of(before)?;
    let secrets = Secrets {
        fresh: false,
        bag: Bag::open(admin, before)?,
        headers: Headers::open(admin, before)?,
    };
    let old = view::shown(before, &secrets.bag, &secrets.headers);
    let sent = wishes.sent();
    let keeps_a_header = secrets.headers.keeps_a_secret(&patch.extra_headers);
    let now = admin.clock.now();
    let expected = before.revision;
    let next = ModelProvider {
        revision: expected.saturating_add(1),
        updated_at: now,
        ..after
    };
    let (row, new) = changed(admin, next, &kind, secrets, patch, wishes)?;
    if dialled::redirects(&kind, &old, &new)
        && (keeps_a_header || Bag::open(admin, &row)?.keeps_a_secret(&kind, &sent))
    {
        gates::redirect(admin, caller, before)?;
    }
    let change = Act {
        action: "gateway.provider_binding.updated",
        target_kind: Some("provider_binding"),
        target_id: row.id.as_str(),
        filed: Filed::at(&before.scopes).still(Filed::at(&row.scopes)),
        before: Some(old),
        after: Some(new.clone()),
        events: vec![event(&row)],
        ..Act::default()
    }
    .by(admin, caller, now);
    let write = Write::UpdateModelProvider {
        row: &row,
        expected,
    };
    match commit(admin, &[write], &change) {
        Ok(_) => Ok(Tried::Done(Shown {
            body: new,
            revision: row.revision,
        })),
        Err(StoreError::Missing) => Err(not_found()),
        Err(StoreError::Stale) => Ok(Tried::Stale),
        Err(error) => Err(conflict(error)),
    }
}

/// Deletes a provider with its credentials; what is answered is what it was.
pub(crate) fn delete(
    admin: &Admin,
    permit: &Permit<ModelProvidersManage>,
    id: &str,
    seen: Option<i64>,
) -> Result<Value, Error> {
    let last = std::cell::Cell::new(Value::Null);
    until_fresh(
        || {
            let row = existing(admin, permit, id)?;
            gates::delete(admin, permit, &row)?;
            let body = view::provider(admin, &row);
            if seen.is_some_and(|seen| seen != row.revision) {
                return Err(changed_since("model_provider", body));
            }
            let change = Act {
                action: "gateway.provider_binding.deleted",
                target_kind: Some("provider_binding"),
                target_id: row.id.as_str(),
                filed: Filed::at(&row.scopes),
                before: Some(body.clone()),
                events: vec![event(&row)],
                ..Act::default()
            }
            .by(admin, permit, admin.clock.now());
            let write = Write::DeleteModelProvider {
                organization: &permit.organization.id,
                id: &row.id,
                expected: Some(row.revision),
            };
            match commit(admin, &[write], &change) {
                Ok(_) => Ok(Tried::Done(body)),
                Err(StoreError::Missing) => Err(not_found()),
                Err(StoreError::Stale) => {
                    last.set(body);
                    Ok(Tried::Stale)
                }
                Err(error) => Err(stored(error)),
            }
        },
        || changed_since("model_provider", last.take()),
    )
}

/// The opened secrets of a row that is being written.
struct Secrets {
    /// Whether the row is new.
    fresh: bool,
    bag: Bag,
    headers: Headers,
}

/// The row afterwards, sealed, and the resource that shows it.
fn changed(
    admin: &Admin,
    mut row: ModelProvider,
    kind: &Kind,
    secrets: Secrets,
    patch: ProviderPatch,
    wishes: BagPatch,
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
        default_model,
    } = patch;
    let Secrets {
        fresh,
        bag,
        headers,
    } = secrets;
    let touched = fresh || provider_config != Given::Absent;
    row.provider_config = provider_config.over(row.provider_config);
    let mut config = settings::stored(row.provider_config.as_deref());
    if default_model != Given::Absent {
        match default_model.value() {
            Some(model) => config.insert("default_model".into(), model.into()),
            None => config.remove("default_model"),
        };
        row.provider_config = (!config.is_empty()).then(|| Value::from(config.clone()).to_string());
    }
    let mut problems = Problems::of(BODY);
    let bag = bag.patched(kind, wishes, &config, touched, &mut problems);
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

/// The kind of a stored row.
fn kind_of(row: &ModelProvider) -> Result<Kind, Error> {
    Kind::parse(&row.provider).ok_or_else(|| {
        let text = "a stored provider is of a kind that cannot be read";
        Error::new(Code::InternalError, text)
    })
}

fn event(row: &ModelProvider) -> ChangeEvent {
    ChangeEvent {
        model_provider_id: Some(row.id.clone()),
        ..ChangeEvent::of(
            ChangeKind::ModelProviderUpdated,
            row.organization_id.clone(),
        )
    }
}

/// The refusal of what does not exist, and of what the caller may not know of.
pub(super) fn not_found() -> Error {
    Error::new(Code::ModelProviderNotFound, "Model provider not found.")
}

/// What a failed write means to the caller.
pub(super) fn conflict(error: StoreError) -> Error {
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
