//! The rules of virtual keys: what may be minted, changed and ended, and what is told to whom
//! (domain 7, 10; management-api 8).
//!
//! Each mutation is read, changed and written back against the revision that was read. When somebody
//! else was faster it is tried again on the newer row, unless the caller named the revision it means.
//!
//! The secret exists here for the moment between minting and answering. Must never be logged, audited or
//! kept. Start at [`prepare`], [`mint`] and [`Mutation`].

use lw_core::{Code, Error, ProjectId, Secret, UnixMicros, VirtualKeyId};
use lw_engine::access::Action;
use lw_store::StoreError;
use lw_store::config::{ChangeEvent, ChangeKind, Cursor, VirtualKeyFilter, Write};
use lw_store::rows::{CaptureMode, KeyPurpose, KeyStatus, RoutingMode, Scope, VirtualKey};
use serde_json::{Value, json};

use super::body::{KeyPatch, NewKey};
use super::checks::{
    decided_trace_project, guardrails, member, named_trace_project, not_in_the_past, policy,
    providers_reachable, some_provider_allowed,
};
use super::gates::{self, Seen};
use super::own_budget;
use super::{config, routing, view};
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::{changed_since, stored, unwritten};
use crate::idempotency::Keep;
use crate::input::Given;
use crate::page::Keyset;
use crate::permission::{
    VirtualKeysCreate, VirtualKeysDelete, VirtualKeysRotate, VirtualKeysUpdate, VirtualKeysView,
};
use crate::serve::Answer;
use crate::write::{Act, Filed, Tried, also, commit, commit_answer, until_fresh};

/// How long the secret before a rotation stays good.
const GRACE_US: i64 = 24 * 60 * 60 * 1_000_000;

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
    let seen = Seen::by(admin, permit)?;
    let filter = seen.narrowed(filter);
    let page = admin
        .store
        .virtual_keys(organization, &filter, wanted.limit, wanted.after.as_ref())
        .map_err(stored)?;
    let mut keys = Vec::new();
    let mut archived = Archived::default();
    for key in &page.rows {
        if seen.sees(key)? {
            let archived = archived.is(admin, key)?;
            keys.push(Shown {
                body: view::key(key, archived),
                revision: key.revision,
            });
        }
    }
    Ok((keys, page.next))
}

/// Which trace projects are archived, asked once each.
#[derive(Default)]
struct Archived(std::collections::HashMap<ProjectId, bool>);

impl Archived {
    fn is(&mut self, admin: &Admin, key: &VirtualKey) -> Result<bool, Error> {
        if let Some(known) = self.0.get(&key.trace_project_id) {
            return Ok(*known);
        }
        let project = admin
            .store
            .project(&key.organization_id, &key.trace_project_id)
            .map_err(stored)?;
        let archived = project.is_none_or(|project| project.archived_at.is_some());
        self.0.insert(key.trace_project_id.clone(), archived);
        Ok(archived)
    }
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
pub(crate) fn visible(admin: &Admin, caller: &Caller, id: &str) -> Result<VirtualKey, Error> {
    let key = existing(admin, caller, id)?;
    if key.purpose == KeyPurpose::User && Seen::by(admin, caller)?.sees(&key)? {
        Ok(key)
    } else {
        Err(not_found())
    }
}

/// A new key whose scopes, trace project and guardrails were checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    new: NewKey,
    scopes: Vec<Scope>,
    named: Option<ProjectId>,
}

/// The checks that come before an `Idempotency-Key` is looked at, in the order of management-api 8.3.
pub(crate) fn prepare(
    admin: &Admin,
    permit: &Permit<VirtualKeysCreate>,
    new: NewKey,
) -> Result<Prepared, Error> {
    let scopes = match (&new.scopes, &permit.project) {
        (Some(wanted), _) => gates::new_scopes(admin, permit, wanted)?,
        (None, Some(project)) => {
            let scope = Scope::Project(project.id.clone());
            gates::default_scope(admin, permit, &scope)?;
            vec![scope]
        }
        (None, None) => {
            let message = "Name at least one scope in `scopes`, or a project in `X-Project-Id`.";
            return Err(Error::new(Code::ProjectRequired, message));
        }
    };
    let named = match &new.trace_project {
        Some(name) => {
            let project = named_trace_project(admin, permit, name)?;
            gates::trace_project(admin, permit, &Scope::Project(project.clone()), true)?;
            Some(project)
        }
        None => None,
    };
    let config = new.config.clone().over("{}");
    let attached = VirtualKey::guardrails_of(&config);
    if !attached.is_empty() {
        // Where no project can be decided, minting says so.
        let project = match &named {
            Some(project) => Ok(project.clone()),
            None => decided_trace_project(admin, permit, &scopes),
        };
        if let Ok(project) = project {
            guardrails(admin, permit, &scopes, &project, &attached)?;
        }
    }
    may_capture(admin, permit, &scopes, &config)?;
    Ok(Prepared { new, scopes, named })
}

/// Mints a key.
pub(crate) fn mint(
    admin: &Admin,
    permit: &Permit<VirtualKeysCreate>,
    prepared: &Prepared,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let Prepared { new, scopes, named } = prepared;
    let NewKey {
        name,
        description,
        principal_user_id,
        scopes: _,
        trace_project: _,
        routing_mode,
        routing_policy,
        budget,
        expires_at,
        config: patch,
        external_id,
        metadata,
        env,
    } = new.clone();
    let organization = &permit.organization;
    let policy_id = match &routing_policy {
        Given::Value(id) => Given::Value(policy(admin, permit, id)?),
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
    };
    let unrouted = (RoutingMode::None, None);
    let (routing_mode, routing_policy_id) = routing::decide(routing_mode, &policy_id, unrouted)?;
    let principal_user_id = match principal_user_id {
        Some(id) => Some(member(admin, permit, &id)?),
        None => None,
    };
    let now = admin.clock.now();
    let config = patch.over("{}");
    some_provider_allowed(&config)?;
    not_in_the_past(expires_at, now)?;
    let trace_project_id = match named {
        Some(project) => project.clone(),
        None => decided_trace_project(admin, permit, scopes)?,
    };
    providers_reachable(admin, permit, scopes, &config)?;

    let secret = lw_crypto::virtual_key::mint(now, admin.entropy.as_ref());
    let key = VirtualKey {
        id: VirtualKeyId::mint_random(admin.entropy.as_ref()),
        organization_id: organization.id.clone(),
        name,
        description,
        status: KeyStatus::Active,
        purpose: KeyPurpose::User,
        env: env.to_owned(),
        external_id,
        metadata,
        scopes: scopes.clone(),
        trace_project_id,
        principal_user_id,
        routing_mode,
        routing_policy_id,
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
        revoked_by: None,
        last_used_at: None,
        created_by: permit.actor(),
        created_at: now,
        updated_at: now,
    };
    let attached = key.attached_guardrails();
    let budget = match budget {
        Some(wish) => Some(wish.over(admin, permit, &key, now)?),
        None => None,
    };
    let shown = shown(admin, &key)?;
    let mut change = Act {
        action: "gateway.virtual_key.created",
        target_kind: Some("virtual_key"),
        target_id: key.id.as_str(),
        filed: Filed::at(&key.scopes),
        after: Some(shown.body.clone()),
        events: vec![event(&key, ChangeKind::VkCreated)],
        ..Act::default()
    }
    .by(admin, permit, now);
    for guardrail in &attached {
        change = also(
            change,
            attachment(admin, permit, &key, guardrail, true, now),
        );
    }
    let mut writes = vec![Write::InsertVirtualKey(&key)];
    if let Some(budget) = &budget {
        budget.open(admin, true, now)?;
        writes.push(budget.write());
        change = also(change, budget.change(admin, permit, &key, now));
    }
    let answer = Answer::created(minted(&shown.body, &secret)).at_revision(shown.revision);
    commit_answer(admin, &writes, change, answer, keep, |error| {
        unwritten("virtual_key", key.external_id.as_deref(), error)
    })
}

/// What a create and a rotate answer.
pub(super) fn minted(body: &Value, secret: &Secret) -> Value {
    json!({ "virtual_key": body, "secret": secret.expose() })
}

/// Capturing more than the organization's default needs a permission (domain 7.5).
fn may_capture(
    admin: &Admin,
    caller: &Caller,
    scopes: &[Scope],
    config: &str,
) -> Result<(), Error> {
    let default = caller.organization.settings.payload_capture_default;
    if config::capture(config) == Some(CaptureMode::Raw) && default > CaptureMode::Raw {
        gates::full_capture(admin, caller, scopes)?;
    }
    Ok(())
}

/// The audit row of a guardrail that was attached to or detached from a key.
fn attachment(
    admin: &Admin,
    caller: &Caller,
    key: &VirtualKey,
    guardrail: &str,
    attached: bool,
    now: UnixMicros,
) -> lw_store::config::Change {
    Act {
        action: if attached {
            "gateway.virtual_key.guardrail_attached"
        } else {
            "gateway.virtual_key.guardrail_detached"
        },
        target_kind: Some("virtual_key"),
        target_id: key.id.as_str(),
        filed: Filed::at(&key.scopes),
        args: Some(json!({ "guardrail_id": guardrail })),
        ..Act::default()
    }
    .by(admin, caller, now)
}

/// Changes what `patch` names.
pub(crate) fn update(
    admin: &Admin,
    permit: &Permit<VirtualKeysUpdate>,
    id: &str,
    seen: Option<i64>,
    patch: &KeyPatch,
) -> Result<Shown, Error> {
    gates::change(admin, permit, &existing(admin, permit, id)?, Action::Update)?;
    let wanted = patch.scopes.as_deref();
    let scopes = match wanted {
        Some(wanted) => Some(gates::other_scopes(admin, permit, wanted)?),
        None => None,
    };
    let destination = match &patch.trace_project {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(name) => {
            let project = named_trace_project(admin, permit, name)?;
            gates::trace_project(admin, permit, &Scope::Project(project.clone()), false)?;
            Given::Value(project)
        }
    };
    let policy_id = match &patch.routing_policy {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(id) => Given::Value(policy(admin, permit, id)?),
    };
    let mutation = Mutation {
        action: "gateway.virtual_key.updated",
        kind: ChangeKind::VkConfigUpdated,
        needs: Action::Update,
        refusal: "Cannot update a revoked virtual key",
        args: None,
        budget: &patch.budget,
    };
    mutation.run(admin, permit, id, seen, |key, now| {
        let before = key.clone();
        if let Some(name) = &patch.name {
            key.name.clone_from(name);
        }
        key.description = patch.description.clone().over(key.description.take());
        if let Some(scopes) = &scopes {
            key.scopes.clone_from(scopes);
        }
        let routed = (key.routing_mode, key.routing_policy_id.take());
        (key.routing_mode, key.routing_policy_id) =
            routing::decide(patch.routing_mode, &policy_id, routed)?;
        key.config = patch.config.clone().over(&key.config);
        some_provider_allowed(&key.config)?;
        if let Given::Value(at) = &patch.expires_at {
            not_in_the_past(Some(*at), now)?;
        }
        key.expires_at = patch.expires_at.clone().over(key.expires_at);
        match &destination {
            Given::Absent => {}
            Given::Value(project) => key.trace_project_id = project.clone(),
            Given::Null => {
                key.trace_project_id = decided_trace_project(admin, permit, &key.scopes)?;
                if key.trace_project_id != before.trace_project_id {
                    gates::leave_project(admin, permit, &before.trace_project_id)?;
                }
            }
        }
        let names_providers =
            patch.config.touches("providersAllowed") || patch.config.touches("semanticCache");
        if names_providers || scopes.is_some() {
            providers_reachable(admin, permit, &key.scopes, &key.config)?;
        }
        let attached = key.attached_guardrails();
        if !attached.is_superset(&before.attached_guardrails()) {
            gates::detach(admin, permit, &before)?;
        }
        let moved = key.scopes != before.scopes || key.trace_project_id != before.trace_project_id;
        if patch.config.touches("guardrailAttachments") || moved {
            guardrails(admin, permit, &key.scopes, &key.trace_project_id, &attached)?;
        }
        if patch.config.touches("capturePayload") {
            may_capture(admin, permit, &key.scopes, &key.config)?;
        }
        key.external_id = patch.external_id.clone().over(key.external_id.take());
        if let Some(metadata) = &patch.metadata {
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
        needs: Action::Rotate,
        budget: &Given::Absent,
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
        needs: Action::Update,
        budget: &Given::Absent,
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
        needs: Action::Update,
        budget: &Given::Absent,
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
        needs: Action::Delete,
        budget: &Given::Absent,
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
        key.revoked_by = Some(permit.actor());
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

/// A change of an existing key: what it is called, what it needs, and what a revoked key answers to it.
struct Mutation<'a> {
    action: &'static str,
    kind: ChangeKind,
    needs: Action,
    refusal: &'static str,
    args: Option<Value>,
    budget: &'a Given<own_budget::Wish>,
}

impl Mutation<'_> {
    /// Reads, changes, writes, announces. Needs no read visibility, only existence and the permission at
    /// one of the key's scopes (8.2).
    fn run(
        self,
        admin: &Admin,
        caller: &Caller,
        id: &str,
        seen: Option<i64>,
        change: impl Fn(&mut VirtualKey, UnixMicros) -> Result<Step, Error>,
    ) -> Result<Shown, Error> {
        let last = std::cell::Cell::new(Value::Null);
        until_fresh(
            || {
                let before = existing(admin, caller, id)?;
                gates::change(admin, caller, &before, self.needs)?;
                let old = shown(admin, &before)?;
                if seen.is_some_and(|seen| seen != before.revision) {
                    return Err(changed_since("virtual_key", old.body));
                }
                if before.status == KeyStatus::Revoked && !self.refusal.is_empty() {
                    return Err(Error::new(Code::BadRequest, self.refusal));
                }
                let now = admin.clock.now();
                let mut after = before.clone();
                if let Step::Nothing = change(&mut after, now)? {
                    return Ok(Tried::Done(old));
                }
                after.revision = before.revision.saturating_add(1);
                after.updated_at = now;
                last.set(old.body.clone());
                self.write(admin, caller, &before, old.body, &after, now)
            },
            || changed_since("virtual_key", last.take()),
        )
    }

    fn write(
        &self,
        admin: &Admin,
        caller: &Caller,
        before: &VirtualKey,
        old: Value,
        after: &VirtualKey,
        now: UnixMicros,
    ) -> Result<Tried<Shown>, Error> {
        let new = shown(admin, after)?;
        let mut change = Act {
            action: self.action,
            target_kind: Some("virtual_key"),
            target_id: after.id.as_str(),
            filed: Filed::at(&before.scopes).still(Filed::at(&after.scopes)),
            before: Some(old),
            after: Some(new.body.clone()),
            args: self.args.clone(),
            events: vec![event(after, self.kind)],
        }
        .by(admin, caller, now);
        let (had, has) = (before.attached_guardrails(), after.attached_guardrails());
        for guardrail in has.symmetric_difference(&had) {
            let attached = has.contains(guardrail);
            change = also(
                change,
                attachment(admin, caller, after, guardrail, attached, now),
            );
        }
        let budget = match self.budget {
            Given::Absent => None,
            Given::Null => own_budget::archived(admin, after, now)?,
            Given::Value(wish) => Some(wish.over(admin, caller, after, now)?),
        };
        let mut writes = vec![Write::UpdateVirtualKey {
            row: after,
            expected: before.revision,
        }];
        if let Some(budget) = &budget {
            budget.open(admin, false, now)?;
            writes.push(budget.write());
            change = also(change, budget.change(admin, caller, after, now));
        }
        if self.kind == ChangeKind::VkRevoked {
            for budget in own_budget::of_key(admin, after)? {
                change = also(
                    change,
                    own_budget::ended(admin, caller, after, &budget, now),
                );
            }
            writes.push(Write::ArchiveBudgetsOfKey {
                organization: &after.organization_id,
                key: &after.id,
                now,
            });
        }
        match commit(admin, &writes, &change) {
            Ok(_) => Ok(Tried::Done(new)),
            Err(StoreError::Missing) => Err(not_found()),
            Err(StoreError::Stale) => Ok(Tried::Stale),
            Err(error) => Err(unwritten(
                "virtual_key",
                after.external_id.as_deref(),
                error,
            )),
        }
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
    let archived = Archived::default().is(admin, key)?;
    Ok(Shown {
        body: view::key(key, archived),
        revision: key.revision,
    })
}

fn event(key: &VirtualKey, kind: ChangeKind) -> ChangeEvent {
    ChangeEvent {
        virtual_key_id: Some(key.id.clone()),
        project_id: Some(key.trace_project_id.clone()),
        ..ChangeEvent::of(kind, key.organization_id.clone())
    }
}

/// The answer to a key that does not exist for the caller.
pub(crate) fn not_found() -> Error {
    Error::new(Code::VirtualKeyNotFound, "Virtual key not found.")
}
