//! The rules of budgets: what may be created, changed, reset and archived, and what is told to whom
//! (domain 11, 12, 13.4; management-api 9).
//!
//! A change is read, made and written back against the revision that was read. When somebody else was
//! faster it is tried again on the newer row, unless the caller named the revision it means. Must never
//! change what was charged: a reset moves where a period begins and nothing else. Start at [`prepare`],
//! [`create`] and [`Mutation`].

use lw_core::{BudgetId, Code, Error, ModelProviderId, ProjectId, UnixMicros};
use lw_engine::access::{Action, Permission, Resource};
use lw_engine::budget_scope::{Reach, bucket_id};
use lw_engine::period::Schedule;
use lw_store::StoreError;
use lw_store::config::{BudgetFilter, ChangeEvent, ChangeKind, Cursor, Write};
use lw_store::rows::{Budget, BudgetTarget, Enforcement, OnBreach, Scope};
use serde_json::{Value, json};

use super::body::{BudgetPatch, NewBudget};
use super::target::{Sees, budgets, gate};
use super::view::{Figures, is_template, schedule};
use super::{audited, open};
use crate::Admin;
use crate::caller::{Caller, Permit};
use crate::edge::{changed_since, stored, unwritten};
use crate::idempotency::Keep;
use crate::input::{BODY, refuse};
use crate::keys;
use crate::page::Keyset;
use crate::permission::{
    GatewayBudgetsCreate, GatewayBudgetsDelete, GatewayBudgetsUpdate, GatewayBudgetsView,
    VirtualKeysView,
};
use crate::serve::Answer;
use crate::write::{Act, Filed, Tried, commit, commit_answer, until_fresh};

/// Budgets as the caller sees them, and whether their figures are real.
pub(super) struct Listed {
    pub(super) data: Vec<Value>,
    pub(super) spend_available: bool,
    pub(super) next: Option<Cursor>,
}

/// One budget as the caller sees it, and its revision.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) body: Value,
    pub(super) spend_available: bool,
    pub(super) revision: i64,
}

/// A page of the live budgets that the caller sees.
pub(super) fn list(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsView>,
    filter: &BudgetFilter,
    wanted: &Keyset,
) -> Result<Listed, Error> {
    let organization = &permit.organization.id;
    let page = admin
        .store
        .budgets(organization, filter, wanted.limit, wanted.after.as_ref())
        .map_err(stored)?;
    let sees = Sees::by(admin, permit)?;
    let mut figures = Figures::at(admin, organization, admin.clock.now());
    let mut worked_out = Vec::new();
    for row in page.rows {
        if sees.sees(&row.target)? {
            let figure = figures.of(row)?;
            worked_out.push(figures.with_reach(figure)?);
        }
    }
    Ok(Listed {
        data: worked_out.iter().map(|each| figures.show(each)).collect(),
        spend_available: figures.available(),
        next: page.next,
    })
}

/// The live budgets that apply to a key which the caller sees (domain 13.1), by scope type, then id. Of
/// a group's budget it shows what the key's person spent of it.
pub(super) fn of_key(
    admin: &Admin,
    permit: &Permit<VirtualKeysView>,
    id: &str,
) -> Result<Listed, Error> {
    let key = keys::visible(admin, permit, id)?;
    // Like the budgets themselves: at the project, or at a scope of the key.
    let context = permit.project.is_some().then(|| permit.context_scope());
    let at: Vec<Scope> = context.map_or_else(|| key.scopes.clone(), |scope| vec![scope]);
    permit.require_at_one(admin, budgets(Action::View), &at)?;

    let organization = &permit.organization.id;
    let mut figures = Figures::at(admin, organization, admin.clock.now());
    let targets = figures.counting().targets(&key)?;
    let rows = admin
        .store
        .budgets_of(organization, &targets)
        .map_err(stored)?;
    let sees = Sees::by(admin, permit)?;
    let mut worked_out = Vec::new();
    for row in rows {
        if sees.sees(&row.target)? {
            let figure = figures.for_person(row, key.principal_user_id.as_ref())?;
            worked_out.push(figures.with_reach(figure)?);
        }
    }
    Ok(Listed {
        data: worked_out.iter().map(|each| figures.show(each)).collect(),
        spend_available: figures.available(),
        next: None,
    })
}

/// One live budget that the caller sees.
pub(super) fn get(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsView>,
    id: &str,
) -> Result<Shown, Error> {
    let unknown = || Error::new(Code::BudgetNotFound, "Budget not found.");
    let row = live(admin, permit, id)?.ok_or_else(unknown)?;
    shown(admin, row, admin.clock.now(), true)
}

/// A live budget that the caller sees.
fn live(admin: &Admin, caller: &Caller, id: &str) -> Result<Option<Budget>, Error> {
    let Ok(id) = BudgetId::parse(id) else {
        return Ok(None);
    };
    let found = admin
        .store
        .budget(&caller.organization.id, &id)
        .map_err(stored)?;
    match found.filter(|row| row.archived_at.is_none()) {
        Some(row) if Sees::by(admin, caller)?.sees(&row.target)? => Ok(Some(row)),
        _ => Ok(None),
    }
}

fn shown(admin: &Admin, row: Budget, now: UnixMicros, with_reach: bool) -> Result<Shown, Error> {
    let (organization, revision) = (row.organization_id.clone(), row.revision);
    let mut figures = Figures::at(admin, &organization, now);
    let mut figure = figures.of(row)?;
    if with_reach {
        figure = figures.with_reach(figure)?;
    }
    Ok(Shown {
        body: figures.show(&figure),
        spend_available: figures.available(),
        revision,
    })
}

/// A new budget whose target and provider were checked.
#[derive(Debug)]
pub(super) struct Prepared {
    new: NewBudget,
    target: BudgetTarget,
    provider_key: Option<ModelProviderId>,
}

/// The checks that come before an `Idempotency-Key` is looked at.
pub(super) fn prepare(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsCreate>,
    new: NewBudget,
) -> Result<Prepared, Error> {
    let target = new.target.look_up(admin, permit)?;
    let provider_key = match &new.provider_key {
        Some(id) => Some(provider(admin, permit, id)?),
        None => None,
    };
    if new.cycle_anchor_at.is_some() && !new.window.cycles() {
        let window = new.window.as_str();
        let message = format!(
            "A budget with the window {window} does not start anew: leave cycle_anchor_at out, or \
             choose another window."
        );
        return Err(Error::new(Code::BudgetCycleAnchorInvalid, message).with("window", window));
    }
    Ok(Prepared {
        new,
        target,
        provider_key,
    })
}

/// A provider of the organization that the caller knows of.
fn provider(admin: &Admin, caller: &Caller, id: &str) -> Result<ModelProviderId, Error> {
    const VIEW: Permission = Permission::new(Resource::ModelProviders, Action::View);
    let text = "must be the id of a model provider of the organization";
    let unknown = || refuse(BODY, "provider_key", "invalid_value", text);
    let id = ModelProviderId::parse(id).map_err(|_not_an_id| unknown())?;
    let found = admin
        .store
        .model_provider(&caller.organization.id, &id)
        .map_err(stored)?;
    let row = found.ok_or_else(unknown)?;
    let sight = caller.sight(admin, VIEW)?;
    if caller.project.is_some() && !sight.sees_inherited(&row.scopes) {
        return Err(unknown());
    }
    Ok(row.id)
}

/// Creates a budget.
pub(super) fn create(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsCreate>,
    prepared: &Prepared,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let Prepared {
        new,
        target,
        provider_key,
    } = prepared;
    let NewBudget {
        target: _,
        provider_key: _,
        window,
        cycle_anchor_at,
        allow_unreachable,
        name,
        limit,
        rest,
    } = new.clone();
    reached(admin, permit, target, allow_unreachable)?;
    let now = admin.clock.now();
    let Schedule {
        window,
        anchor,
        period_started_at,
        resets_at,
        last_reset_at,
    } = Schedule::opening(window, cycle_anchor_at, now);
    let empty = Budget {
        id: BudgetId::mint(now, admin.entropy.as_ref()),
        organization_id: permit.organization.id.clone(),
        name,
        description: None,
        target: target.clone(),
        provider_key: provider_key.clone(),
        window: window.as_str().to_owned(),
        limit,
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: anchor,
        current_period_started_at: period_started_at,
        resets_at,
        last_reset_at,
        external_id: None,
        metadata: std::collections::BTreeMap::new(),
        managed_by_virtual_key_id: None,
        archived_at: None,
        created_by: permit.actor(),
        made_from: made_from(admin, permit, target)?,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = rest.over(empty);
    let change = Act {
        action: "gateway.budget.created",
        target_kind: Some("budget"),
        target_id: row.id.as_str(),
        filed: filed(admin, &row).map_err(stored)?,
        after: Some(audited(&row)),
        events: vec![event(&row, ChangeKind::BudgetCreated)],
        ..Act::default()
    }
    .by(admin, permit, now);
    open(admin, &row, now)?;
    let Shown { body, revision, .. } = shown(admin, row.clone(), now, true)?;
    let answer = Answer::created(json!({ "budget": body })).at_revision(revision);
    let writes = [Write::InsertBudget(&row)];
    commit_answer(admin, &writes, change, answer, keep, |error| {
        unwritten("budget", row.external_id.as_deref(), error)
    })
}

/// The guard of 13.4: a team, a project or a group that no key could ever meet is most likely a mistake.
fn reached(
    admin: &Admin,
    caller: &Caller,
    target: &BudgetTarget,
    allow_unreachable: bool,
) -> Result<(), Error> {
    let principals = admin.settings.team_budget_principals;
    let found = admin
        .store
        .budget_reach(&caller.organization.id, target, principals)
        .map_err(stored)?;
    let reach = Reach {
        reachable: found.reachable,
        any_key: found.any_key,
        ancestor_key: found.ancestor_key,
    };
    if reach.accepts(target, allow_unreachable) {
        return Ok(());
    }
    let sight = caller.sight(admin, budgets(Action::View))?;
    let seen: Vec<&ProjectId> = found
        .projects
        .iter()
        .filter(|id| sight.sees(&[Scope::Project((*id).clone())]))
        .collect();
    let kind = target.scope_type();
    let message = format!(
        "No active virtual key counts toward this {kind}: the budget would never be spent."
    );
    Err(Error::new(Code::BudgetScopeUnreachable, message)
        .with("scope_type", kind)
        .with("reachable_project_ids", json!(seen))
        .with("reachable_project_count", found.project_count)
        .tip("Mint a key there first, choose a target that keys reach, or send allow_unreachable: true."))
}

impl BudgetPatch {
    /// The row with what was sent.
    fn over(self, row: Budget) -> Budget {
        let Self {
            name,
            description,
            limit,
            on_breach,
            enforcement,
            timezone,
            external_id,
            metadata,
        } = self;
        Budget {
            name: name.unwrap_or(row.name),
            description: description.over(row.description),
            limit: limit.unwrap_or(row.limit),
            on_breach: on_breach.unwrap_or(row.on_breach),
            enforcement: enforcement.unwrap_or(row.enforcement),
            timezone: timezone.over(row.timezone),
            external_id: external_id.over(row.external_id),
            metadata: metadata.unwrap_or(row.metadata),
            ..row
        }
    }
}

/// Changes what `patch` names.
pub(super) fn update(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsUpdate>,
    id: &str,
    seen: Option<i64>,
    patch: &BudgetPatch,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.budget.updated",
        kind: ChangeKind::BudgetUpdated,
        needs: Action::Update,
        args: None,
        forgets_boundaries: false,
    };
    mutation.run(admin, permit, id, seen, |row, _| {
        Ok(patch.clone().over(row))
    })
}

/// Begins a new period now, of every bucket.
pub(super) fn reset(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsUpdate>,
    id: &str,
    seen: Option<i64>,
    reason: Option<&str>,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.budget.reset",
        kind: ChangeKind::BudgetUpdated,
        needs: Action::Update,
        args: Some(json!({ "reason": reason })),
        forgets_boundaries: true,
    };
    mutation.run(admin, permit, id, seen, |row, now| {
        let Schedule {
            window: _,
            anchor: _,
            period_started_at,
            resets_at,
            last_reset_at,
        } = schedule(&row)?.reset(now);
        Ok(Budget {
            current_period_started_at: period_started_at,
            resets_at,
            last_reset_at,
            ..row
        })
    })
}

/// Begins a new period now, of one end user's bucket; nothing else moves.
pub(super) fn reset_bucket(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsUpdate>,
    id: &str,
    seen: Option<i64>,
    end_user: &str,
    reason: Option<&str>,
) -> Result<Shown, Error> {
    let row = changeable(admin, permit, id, Action::Update)?;
    let now = admin.clock.now();
    let template = is_template(&row.target);
    let provider = row.provider_key.as_ref();
    let bucket = bucket_id(&row.target, None, Some(end_user), provider);
    let Some(bucket) = bucket.filter(|_| template) else {
        let message = "Only a budget with the scope attributed_user has a period for each end user: leave \
                       end_user_id out to reset the whole budget.";
        return Err(
            Error::new(Code::ScopeOrgMismatch, message).with("scope_type", row.target.scope_type())
        );
    };
    let shown = shown(admin, row.clone(), now, false)?;
    if seen.is_some_and(|seen| seen != row.revision) {
        return Err(changed_since("budget", shown.body));
    }
    let change = Act {
        action: "gateway.budget.reset",
        target_kind: Some("budget"),
        target_id: row.id.as_str(),
        filed: filed(admin, &row).map_err(stored)?,
        args: Some(json!({ "reason": reason, "bucket_id": bucket })),
        events: vec![event(&row, ChangeKind::BudgetUpdated)],
        ..Act::default()
    }
    .by(admin, permit, now);
    let write = Write::PutBucketBoundary {
        budget: &row.id,
        bucket: &bucket,
        period_started_at: now,
    };
    commit(admin, &[write], &change).map_err(stored)?;
    Ok(shown)
}

/// Ends a budget; its spend stays in the ledger.
pub(super) fn archive(
    admin: &Admin,
    permit: &Permit<GatewayBudgetsDelete>,
    id: &str,
    seen: Option<i64>,
) -> Result<Shown, Error> {
    let mutation = Mutation {
        action: "gateway.budget.deleted",
        kind: ChangeKind::BudgetDeleted,
        needs: Action::Delete,
        args: None,
        forgets_boundaries: false,
    };
    mutation.run(admin, permit, id, seen, |row, now| {
        Ok(Budget {
            archived_at: Some(now),
            ..row
        })
    })
}

/// A change of an existing budget: what it is called, what it needs, what goes with it.
struct Mutation {
    action: &'static str,
    kind: ChangeKind,
    needs: Action,
    args: Option<Value>,
    forgets_boundaries: bool,
}

impl Mutation {
    /// Reads, changes, writes, announces. What leaves the row as it is writes nothing.
    fn run(
        self,
        admin: &Admin,
        caller: &Caller,
        id: &str,
        seen: Option<i64>,
        change: impl Fn(Budget, UnixMicros) -> Result<Budget, Error>,
    ) -> Result<Shown, Error> {
        let last = std::cell::Cell::new(None);
        until_fresh(
            || {
                let before = changeable(admin, caller, id, self.needs)?;
                let now = admin.clock.now();
                if seen.is_some_and(|seen| seen != before.revision) {
                    return Err(changed_since(
                        "budget",
                        shown(admin, before, now, false)?.body,
                    ));
                }
                let changed = change(before.clone(), now)?;
                if changed == before && !self.forgets_boundaries {
                    return shown(admin, before, now, false).map(Tried::Done);
                }
                let after = Budget {
                    revision: before.revision.saturating_add(1),
                    updated_at: now,
                    ..changed
                };
                match self.write(admin, caller, &before, &after, now) {
                    Ok(()) => shown(admin, after, now, false).map(Tried::Done),
                    Err(StoreError::Stale) => {
                        last.set(Some(before));
                        Ok(Tried::Stale)
                    }
                    Err(StoreError::Missing) => Err(not_found()),
                    Err(error) => Err(unwritten("budget", after.external_id.as_deref(), error)),
                }
            },
            || {
                let now = admin.clock.now();
                let current = last.take().map(|row| shown(admin, row, now, false));
                match current.transpose() {
                    Ok(shown) => {
                        changed_since("budget", shown.map_or(Value::Null, |shown| shown.body))
                    }
                    Err(error) => error,
                }
            },
        )
    }

    fn write(
        &self,
        admin: &Admin,
        caller: &Caller,
        before: &Budget,
        after: &Budget,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let change = Act {
            action: self.action,
            target_kind: Some("budget"),
            target_id: after.id.as_str(),
            filed: filed(admin, after)?,
            before: Some(audited(before)),
            after: Some(audited(after)),
            args: self.args.clone(),
            events: vec![event(after, self.kind)],
        }
        .by(admin, caller, now);
        let mut writes = vec![Write::UpdateBudget {
            row: after,
            expected: before.revision,
        }];
        if self.forgets_boundaries {
            writes.push(Write::DeleteBucketBoundaries { budget: &after.id });
        }
        commit(admin, &writes, &change).map(|_committed| ())
    }
}

/// A live budget that the caller sees and may do `action` to.
fn changeable(admin: &Admin, caller: &Caller, id: &str, action: Action) -> Result<Budget, Error> {
    let row = live(admin, caller, id)?.ok_or_else(not_found)?;
    let made_here = (caller.project.as_ref())
        .is_some_and(|project| row.made_from.as_ref() == Some(&project.id));
    if !made_here {
        gate(admin, caller, &row.target, action)?;
    }
    Ok(row)
}

/// The project of a caller who may create a budget for `target` only because a project may.
fn made_from(
    admin: &Admin,
    caller: &Caller,
    target: &BudgetTarget,
) -> Result<Option<ProjectId>, Error> {
    let Some(project) = &caller.project else {
        return Ok(None);
    };
    match gate(admin, caller, target, Action::Create) {
        Ok(()) => Ok(None),
        Err(error) if error.code() == Code::PermissionDenied => Ok(Some(project.id.clone())),
        Err(error) => Err(error),
    }
}

/// Whose audit log a budget's changes stand in: that of the project that it is for, or of the only project
/// of the key that it is for.
fn filed(admin: &Admin, row: &Budget) -> Result<Filed, StoreError> {
    Ok(match &row.target {
        BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => {
            Filed::Project(id.clone())
        }
        BudgetTarget::VirtualKey(id) | BudgetTarget::EndUsersOfKey(id) => {
            let key = admin.store.virtual_key(&row.organization_id, id)?;
            Filed::at(&key.map(|key| key.scopes).unwrap_or_default())
        }
        BudgetTarget::Organization(_)
        | BudgetTarget::Team(_)
        | BudgetTarget::Principal(_)
        | BudgetTarget::Group(_) => Filed::Organization,
    })
}

/// What gateways are told. With a project they drop that project's keys, else the organization's.
fn event(row: &Budget, kind: ChangeKind) -> ChangeEvent {
    ChangeEvent {
        budget_id: Some(row.id.clone()),
        virtual_key_id: row.managed_by_virtual_key_id.clone(),
        project_id: match &row.target {
            BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => Some(id.clone()),
            _ => None,
        },
        ..ChangeEvent::of(kind, row.organization_id.clone())
    }
}

/// The answer of a write to a budget that does not exist for the caller.
fn not_found() -> Error {
    Error::new(Code::GatewayBudgetNotFound, "Budget not found.")
}
