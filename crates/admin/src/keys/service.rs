//! The rules of virtual keys: what may be minted, changed and ended, and what is told to whom
//! (domain 7, 10; management-api 8).
//!
//! Each mutation is read, changed and written back against the revision that was read. When somebody
//! else was faster it is tried again on the newer row, unless the caller named the revision it means.
//!
//! The secret exists here for the moment between minting and answering. Must never be logged, audited or
//! kept. Start at [`create`] and [`Mutation`].

use lw_core::{Code, Error, ProjectId, Secret, UnixMicros, VirtualKeyId};
use lw_store::StoreError;
use lw_store::config::{ChangeEvent, ChangeKind, Cursor, VirtualKeyFilter};
use lw_store::rows::{KeyStatus, Scope, VirtualKey};
use serde_json::{Value, json};

use super::body::{KeyPatch, NewKey};
use super::checks::{
    decided_trace_project, member, named_trace_project, not_in_the_past, providers_reachable,
    some_provider_allowed,
};
use super::view;
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::stored;
use crate::input::Given;
use crate::page::Keyset;
use crate::permission::{
    VirtualKeysCreate, VirtualKeysDelete, VirtualKeysRotate, VirtualKeysUpdate, VirtualKeysView,
};
use crate::scope;
use crate::write::{Act, announce};

/// How long the secret before a rotation stays good.
const GRACE_US: i64 = 24 * 60 * 60 * 1_000_000;
/// How often a mutation is tried again when somebody else was faster.
const TRIES: usize = 5;

/// A key as the caller sees it, and its revision.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) body: Value,
    pub(super) revision: i64,
}

/// A page of the keys that the caller sees.
pub(crate) fn list(
    admin: &Admin,
    permit: &Permit<VirtualKeysView>,
    filter: &VirtualKeyFilter,
    wanted: &Keyset,
) -> Result<(Vec<Shown>, Option<Cursor>), Error> {
    let organization = &permit.organization.id;
    let page = admin
        .store
        .virtual_keys(organization, filter, wanted.limit, wanted.after.as_ref())
        .map_err(stored)?;
    let projects = admin.store.projects(organization).map_err(stored)?;
    let live = |id: &ProjectId| {
        projects
            .iter()
            .any(|project| project.id == *id && project.archived_at.is_none())
    };
    let keys = page
        .rows
        .iter()
        .filter(|key| permit.sees(&key.scopes))
        .map(|key| Shown {
            body: view::key(key, !live(&key.trace_project_id)),
            revision: key.revision,
        })
        .collect();
    Ok((keys, page.next))
}

/// One key that the caller sees.
pub(crate) fn get(
    admin: &Admin,
    permit: &Permit<VirtualKeysView>,
    id: &str,
) -> Result<Shown, Error> {
    shown(admin, &visible(admin, permit, id)?)
}

/// The row of a key that the caller sees.
pub(super) fn visible(admin: &Admin, caller: &Caller, id: &str) -> Result<VirtualKey, Error> {
    let key = existing(admin, caller, id)?;
    if caller.sees(&key.scopes) {
        Ok(key)
    } else {
        Err(not_found())
    }
}

/// Mints a key. The checks stand in the order of management-api 8.3.
pub(crate) fn create(
    admin: &Admin,
    permit: &Permit<VirtualKeysCreate>,
    new: NewKey,
) -> Result<(Shown, Secret), Error> {
    let NewKey {
        name,
        description,
        principal_user_id,
        scopes,
        trace_project,
        routing_mode,
        expires_at,
        config: patch,
        external_id,
        metadata,
        env,
    } = new;
    let organization = &permit.organization.id;
    let scopes = match (scopes, &permit.project) {
        (Some(wanted), _) => scope::resolve(admin, organization, &wanted)?,
        (None, Some(project)) => vec![Scope::Project(project.id.clone())],
        (None, None) => {
            let message = "Name at least one scope in `scopes`, or a project in `X-Project-Id`.";
            return Err(Error::new(Code::ProjectRequired, message));
        }
    };
    let named = match trace_project {
        Some(name) => Some(named_trace_project(admin, permit, &name)?),
        None => None,
    };
    let principal_user_id = match principal_user_id {
        Some(id) => Some(member(admin, permit, &id)?),
        None => None,
    };
    let now = admin.clock.now();
    let config = patch.over("{}");
    some_provider_allowed(&config)?;
    not_in_the_past(expires_at, now)?;
    let trace_project_id = match named {
        Some(project) => project,
        None => decided_trace_project(admin, permit, &scopes)?,
    };
    providers_reachable(admin, permit, &scopes, &config)?;

    let secret = lw_crypto::virtual_key::mint(now, admin.entropy.as_ref());
    let key = VirtualKey {
        id: VirtualKeyId::mint_random(admin.entropy.as_ref()),
        organization_id: organization.clone(),
        name,
        description,
        status: KeyStatus::Active,
        env: env.to_owned(),
        external_id,
        metadata,
        scopes,
        trace_project_id,
        principal_user_id,
        routing_mode: routing_mode.to_owned(),
        expires_at,
        config,
        revision: 1,
        hashed_secret: admin.key_pepper.hash(secret.expose()),
        display_prefix: lw_crypto::virtual_key::display_prefix(secret.expose()).to_owned(),
        previous_hashed_secret: None,
        previous_secret_valid_until: None,
        disabled_reason: None,
        disabled_at: None,
        revoked_at: None,
        last_used_at: None,
        created_by: permit.actor(),
        created_at: now,
        updated_at: now,
    };
    let shown = shown(admin, &key)?;
    let change = Act {
        action: "gateway.virtual_key.created",
        target_kind: "virtual_key",
        target_id: key.id.as_str(),
        before: None,
        after: Some(shown.body.clone()),
        args: None,
        event: event(&key, ChangeKind::VkCreated),
    }
    .by(admin, permit, now);
    admin
        .store
        .create_virtual_key(&key, &change)
        .map_err(|error| conflict(error, &key))?;
    announce(admin, &change);
    Ok((shown, secret))
}

/// Changes what `patch` names.
pub(crate) fn update(
    admin: &Admin,
    permit: &Permit<VirtualKeysUpdate>,
    id: &str,
    seen: Option<i64>,
    patch: &KeyPatch,
) -> Result<Shown, Error> {
    let KeyPatch {
        name,
        description,
        scopes,
        trace_project,
        routing_mode,
        expires_at,
        config,
        external_id,
        metadata,
    } = patch;
    let new_scopes = match scopes {
        Some(wanted) => Some(scope::resolve(admin, &permit.organization.id, wanted)?),
        None => None,
    };
    let destination = match trace_project {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(name) => Given::Value(named_trace_project(admin, permit, name)?),
    };
    let mutation = Mutation {
        action: "gateway.virtual_key.updated",
        kind: ChangeKind::VkConfigUpdated,
        refusal: "Cannot update a revoked virtual key",
        args: None,
    };
    mutation.run(admin, permit, id, seen, |key, now| {
        if let Some(name) = name {
            key.name.clone_from(name);
        }
        key.description = description.clone().over(key.description.take());
        if let Some(scopes) = &new_scopes {
            key.scopes.clone_from(scopes);
        }
        if let Some(mode) = routing_mode {
            key.routing_mode = (*mode).to_owned();
        }
        let allowed_given = config.touches("providersAllowed") || config.touches("semanticCache");
        key.config = config.clone().over(&key.config);
        some_provider_allowed(&key.config)?;
        if let Given::Value(at) = expires_at {
            not_in_the_past(Some(*at), now)?;
        }
        key.expires_at = expires_at.clone().over(key.expires_at);
        match &destination {
            Given::Absent => {}
            Given::Value(project) => key.trace_project_id = project.clone(),
            Given::Null => {
                key.trace_project_id = decided_trace_project(admin, permit, &key.scopes)?;
            }
        }
        if allowed_given || new_scopes.is_some() {
            providers_reachable(admin, permit, &key.scopes, &key.config)?;
        }
        key.external_id = external_id.clone().over(key.external_id.take());
        if let Some(metadata) = metadata {
            key.metadata.clone_from(metadata);
        }
        Ok(Step::Write)
    })
}

/// Gives the key a new secret; the old one stays good for a day.
pub(crate) fn rotate(
    admin: &Admin,
    permit: &Permit<VirtualKeysRotate>,
    id: &str,
    seen: Option<i64>,
) -> Result<(Shown, Secret), Error> {
    let secret = lw_crypto::virtual_key::mint(admin.clock.now(), admin.entropy.as_ref());
    let mutation = Mutation {
        action: "gateway.virtual_key.rotated",
        kind: ChangeKind::VkRotated,
        refusal: "Cannot rotate a revoked virtual key",
        args: None,
    };
    let shown = mutation.run(admin, permit, id, seen, |key, now| {
        let hash = admin.key_pepper.hash(secret.expose());
        key.previous_hashed_secret = Some(std::mem::replace(&mut key.hashed_secret, hash));
        key.previous_secret_valid_until = Some(now.plus_micros(GRACE_US));
        key.display_prefix = lw_crypto::virtual_key::display_prefix(secret.expose()).to_owned();
        Ok(Step::Write)
    })?;
    Ok((shown, secret))
}

/// Refuses the key's requests until it is enabled again.
pub(crate) fn disable(
    admin: &Admin,
    permit: &Permit<VirtualKeysUpdate>,
    id: &str,
    seen: Option<i64>,
    reason: Option<&str>,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.virtual_key.disabled",
        kind: ChangeKind::VkDisabled,
        refusal: "A revoked key cannot be disabled; revocation is terminal.",
        args: reason.map(|reason| json!({ "reason": reason })),
    };
    mutation.run(admin, permit, id, seen, |key, now| {
        if key.status == KeyStatus::Disabled {
            return Ok(Step::Nothing);
        }
        key.status = KeyStatus::Disabled;
        key.disabled_reason = reason.map(str::to_owned);
        key.disabled_at = Some(now);
        Ok(Step::Write)
    })
}

/// Lets a disabled key serve again, exactly as before.
pub(crate) fn enable(
    admin: &Admin,
    permit: &Permit<VirtualKeysUpdate>,
    id: &str,
    seen: Option<i64>,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.virtual_key.enabled",
        kind: ChangeKind::VkEnabled,
        refusal: "A revoked key cannot be enabled; mint a new key instead.",
        args: None,
    };
    mutation.run(admin, permit, id, seen, |key, _| {
        if key.status == KeyStatus::Active {
            return Ok(Step::Nothing);
        }
        key.status = KeyStatus::Active;
        key.disabled_reason = None;
        key.disabled_at = None;
        Ok(Step::Write)
    })
}

/// Ends the key for ever; both secrets stop at once.
pub(crate) fn revoke(
    admin: &Admin,
    permit: &Permit<VirtualKeysDelete>,
    id: &str,
    seen: Option<i64>,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.virtual_key.revoked",
        kind: ChangeKind::VkRevoked,
        // Revoking twice is fine: the closure sees the revoked key and writes nothing.
        refusal: "",
        args: None,
    };
    mutation.run(admin, permit, id, seen, |key, now| {
        if key.status == KeyStatus::Revoked {
            return Ok(Step::Nothing);
        }
        key.status = KeyStatus::Revoked;
        key.revoked_at = Some(now);
        key.previous_hashed_secret = None;
        key.previous_secret_valid_until = None;
        Ok(Step::Write)
    })
}

/// Whether a mutation has something to write.
enum Step {
    Write,
    /// The row is already as it was asked to be.
    Nothing,
}

/// A change of an existing key: what it is called, and what a revoked key answers to it.
struct Mutation {
    action: &'static str,
    kind: ChangeKind,
    refusal: &'static str,
    args: Option<Value>,
}

impl Mutation {
    /// Reads, changes, writes, announces. Needs no read visibility, only existence (8.2).
    fn run(
        self,
        admin: &Admin,
        caller: &Caller,
        id: &str,
        seen: Option<i64>,
        change: impl Fn(&mut VirtualKey, UnixMicros) -> Result<Step, Error>,
    ) -> Result<Shown, Error> {
        let Self {
            action,
            kind,
            refusal,
            args,
        } = self;
        for _ in 0..TRIES {
            let before = existing(admin, caller, id)?;
            let old = shown(admin, &before)?;
            if seen.is_some_and(|seen| seen != before.revision) {
                return Err(revision_conflict(old.body));
            }
            if before.status == KeyStatus::Revoked && !refusal.is_empty() {
                return Err(Error::new(Code::BadRequest, refusal));
            }
            let now = admin.clock.now();
            let mut after = before.clone();
            match change(&mut after, now)? {
                Step::Nothing => return Ok(old),
                Step::Write => {}
            }
            after.revision = before.revision.saturating_add(1);
            after.updated_at = now;
            let new = shown(admin, &after)?;
            let change = Act {
                action,
                target_kind: "virtual_key",
                target_id: after.id.as_str(),
                before: Some(old.body),
                after: Some(new.body.clone()),
                args: args.clone(),
                event: event(&after, kind),
            }
            .by(admin, caller, now);
            match admin
                .store
                .update_virtual_key(&after, before.revision, &change)
            {
                Ok(Some(_)) => {
                    announce(admin, &change);
                    return Ok(new);
                }
                Ok(None) => return Err(not_found()),
                Err(StoreError::Stale) => {}
                Err(error) => return Err(conflict(error, &after)),
            }
        }
        Err(revision_conflict(
            shown(admin, &existing(admin, caller, id)?)?.body,
        ))
    }
}

fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<VirtualKey, Error> {
    let id = VirtualKeyId::parse(id).map_err(|_not_an_id| not_found())?;
    let key = admin
        .store
        .virtual_key(&caller.organization.id, &id)
        .map_err(stored)?;
    key.ok_or_else(not_found)
}

fn shown(admin: &Admin, key: &VirtualKey) -> Result<Shown, Error> {
    let project = admin
        .store
        .project(&key.organization_id, &key.trace_project_id)
        .map_err(stored)?;
    let archived = project.is_none_or(|project| project.archived_at.is_some());
    Ok(Shown {
        body: view::key(key, archived),
        revision: key.revision,
    })
}

fn event(key: &VirtualKey, kind: ChangeKind) -> ChangeEvent {
    ChangeEvent {
        kind,
        organization_id: key.organization_id.clone(),
        virtual_key_id: Some(key.id.clone()),
        model_provider_id: None,
        project_id: Some(key.trace_project_id.clone()),
    }
}

fn not_found() -> Error {
    Error::new(Code::VirtualKeyNotFound, "Virtual key not found.")
}

fn revision_conflict(current: Value) -> Error {
    let message = "The virtual key changed since it was read. Read it again and repeat the change.";
    Error::new(Code::RevisionConflict, message).with("current", current)
}

fn conflict(error: StoreError, key: &VirtualKey) -> Error {
    match error {
        StoreError::Conflict {
            field: "external_id",
        } => {
            let message = "Another virtual key of the organization has this external_id.";
            Error::new(Code::ExternalIdConflict, message)
                .with("resource", "virtual_key")
                .with("external_id", key.external_id.clone())
        }
        error => stored(error),
    }
}
