//! Budgets as callers see them: the row, what was spent in its current period, and whom it meets
//! (management-api 9.1; domain 12, 13.4).
//!
//! What was spent is what was charged to the budget's buckets, whoever belongs to its target now.
//! Everything of one answer is as of one instant. A ledger that cannot be read makes every figure of the
//! answer null and `spend_available` false; it never fails the answer. Must never show a figure that was
//! not summed. Start at [`Figures`].

use std::collections::HashMap;

use lw_core::{Code, Error, NanoUsd, OrganizationId, UnixMicros, UserId};
use lw_engine::budget_scope::bucket_id;
use lw_engine::period::{Period, Schedule, Window};
use lw_store::StoreError;
use lw_store::rows::{Budget, BudgetTarget};
use serde_json::{Map, Value, json};

use super::counting::{Books, Counting};
use crate::Admin;
use crate::edge::stored;

/// The largest integer that every JSON reader holds exactly (billing 3).
const SAFE: u64 = 9_007_199_254_740_991;
/// End users that are read at once.
const PAGE: usize = 1_000;

/// Works out what an answer says of budgets beyond their rows. Asks about each target once.
pub(super) struct Figures<'a> {
    admin: &'a Admin,
    organization: &'a OrganizationId,
    now: UnixMicros,
    counting: Counting<'a>,
    reachable: HashMap<BudgetTarget, bool>,
    available: bool,
}

/// A budget and what was worked out about it.
pub(super) struct Figure {
    row: Budget,
    schedule: Schedule,
    spent: Option<NanoUsd>,
    reachable: Option<bool>,
    members: Option<usize>,
    end_users: Option<EndUsers>,
}

/// How the end users of a template stand in its current period (domain 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct EndUsers {
    /// Those that something was charged to.
    seen: u64,
    /// Those of them who have spent the limit.
    over: u64,
}

impl<'a> Figures<'a> {
    /// As of `now`.
    pub(super) fn at(admin: &'a Admin, organization: &'a OrganizationId, now: UnixMicros) -> Self {
        Self {
            admin,
            organization,
            now,
            counting: Counting::of(Books::of(admin), organization),
            reachable: HashMap::new(),
            available: true,
        }
    }

    /// Who counts toward what.
    pub(super) const fn counting(&self) -> &Counting<'a> {
        &self.counting
    }

    /// Works out a budget; a group's spend is that of all its members.
    pub(super) fn of(&mut self, row: Budget) -> Result<Figure, Error> {
        self.for_person(row, None)
    }

    /// Works out a budget as it stands for the keys of one person: a group's spend is that person's.
    pub(super) fn for_person(
        &mut self,
        row: Budget,
        person: Option<&UserId>,
    ) -> Result<Figure, Error> {
        let schedule = schedule(&row)?;
        let (mut spent, mut end_users, mut members) = (None, None, None);
        if is_template(&row.target) {
            let found = self.end_users(&row, &schedule);
            end_users = self.real(&row, found);
        } else {
            let found = self.spent(&row, &schedule, person);
            spent = self.real(&row, found);
        }
        if let BudgetTarget::Group(group) = &row.target {
            let found = self.admin.store.group_members(self.organization, group);
            members = Some(found.map_err(stored)?.len());
        }
        Ok(Figure {
            row,
            schedule,
            spent,
            reachable: None,
            members,
            end_users,
        })
    }

    /// Adds whether some active key meets the budget.
    pub(super) fn with_reach(&mut self, mut figure: Figure) -> Result<Figure, Error> {
        let target = &figure.row.target;
        let reachable = match self.reachable.get(target) {
            Some(known) => *known,
            None => {
                let principals = self.admin.settings.team_budget_principals;
                let store = &self.admin.store;
                let reach = store
                    .budget_reach(self.organization, target, principals)
                    .map_err(stored)?;
                self.reachable.insert(target.clone(), reach.reachable);
                reach.reachable
            }
        };
        figure.reachable = Some(reachable);
        Ok(figure)
    }

    fn spent(
        &self,
        row: &Budget,
        schedule: &Schedule,
        person: Option<&UserId>,
    ) -> Result<NanoUsd, StoreError> {
        let ledger = &self.admin.ledger;
        let from = schedule.counts_from(self.now).unwrap_or_default();
        match (&row.target, person) {
            (BudgetTarget::Group(_), Some(user)) => {
                ledger.budget_spent(&row.id, user.as_str(), from)
            }
            (BudgetTarget::Group(_), None) => ledger.budget_spent_in_all(&row.id, from),
            _ => ledger.budget_spent(&row.id, "", from),
        }
    }

    /// Counts the end users of a template, each from when its own period began.
    fn end_users(&self, row: &Budget, schedule: &Schedule) -> Result<EndUsers, StoreError> {
        let Admin { store, ledger, .. } = self.admin;
        let moved = store.bucket_boundaries(&row.id)?;
        let moved: HashMap<String, UnixMicros> = moved.into_iter().collect();
        let from = schedule.counts_from(self.now).unwrap_or_default();
        let mut counted = EndUsers::default();
        let mut before: Option<String> = None;
        loop {
            let page = ledger.budget_members(&row.id, from, before.as_deref(), PAGE)?;
            let more = page.len() == PAGE;
            for (end_user, spent) in page {
                let bucket = bucket_id(
                    &row.target,
                    None,
                    Some(&end_user),
                    row.provider_key.as_ref(),
                );
                let boundary = bucket.and_then(|bucket| moved.get(&bucket).copied());
                let own = schedule.bucket_counts_from(boundary, self.now);
                let spent = match own.filter(|own| *own > from) {
                    None => Some(spent),
                    Some(own) => {
                        // Whoever comes next after the one before, since then: this one, if anything
                        // was charged since then.
                        let next = ledger.budget_members(&row.id, own, before.as_deref(), 1)?;
                        let next = next.into_iter().find(|(next, _)| *next == end_user);
                        next.map(|(_, spent)| spent)
                    }
                };
                counted.seen += u64::from(spent.is_some());
                counted.over += u64::from(spent.is_some_and(|spent| spent >= row.limit));
                before = Some(end_user);
            }
            if !more {
                return Ok(counted);
            }
        }
    }

    /// What was read, or nothing and a note that not every figure is real.
    fn real<T>(&mut self, row: &Budget, found: Result<T, StoreError>) -> Option<T> {
        found
            .inspect_err(|error| {
                tracing::warn!(%error, budget = %row.id, "the spend of a budget could not be read");
                self.available = false;
            })
            .ok()
    }

    /// Whether every figure so far is real.
    pub(super) const fn available(&self) -> bool {
        self.available
    }

    /// The resource.
    pub(super) fn show(&self, figure: &Figure) -> Value {
        let Figure {
            row,
            schedule,
            spent,
            reachable,
            members,
            end_users,
        } = figure;
        let spent = spent.filter(|_| self.available);
        let mut shown = facts(row, schedule.published(self.now));
        shown.insert(
            "spent_usd".into(),
            json!(spent.map(|spent| spent.to_string())),
        );
        shown.insert("spent_nano_usd".into(), json!(spent.and_then(safe)));
        if let Some(reachable) = reachable {
            let word = if *reachable {
                "reachable"
            } else {
                "unreachable"
            };
            shown.insert("scope_reach".into(), word.into());
        }
        if let Some(members) = members {
            shown.insert("member_count".into(), (*members).into());
        }
        if let Some(EndUsers { seen, over }) = end_users.filter(|_| self.available) {
            shown.insert("end_users_seen".into(), seen.into());
            shown.insert("end_users_over".into(), over.into());
        }
        Value::Object(shown)
    }
}

/// A budget as the audit log keeps it: what callers see of the row, with the stored period, and without
/// any figure.
pub(crate) fn audited(row: &Budget) -> Value {
    let stored = Period {
        start: row.current_period_started_at,
        resets_at: row.resets_at,
    };
    let mut kept = facts(row, stored);
    kept.insert("revision".into(), row.revision.to_string().into());
    kept.insert(
        "managed_by_virtual_key_id".into(),
        json!(row.managed_by_virtual_key_id),
    );
    Value::Object(kept)
}

/// What the row itself says.
fn facts(row: &Budget, period: Period) -> Map<String, Value> {
    let Budget {
        id,
        organization_id,
        name,
        description,
        target,
        provider_key,
        window,
        limit,
        on_breach,
        enforcement,
        timezone,
        cycle_anchor_at,
        current_period_started_at: _,
        resets_at: _,
        last_reset_at,
        external_id,
        metadata,
        managed_by_virtual_key_id: _,
        archived_at,
        created_by: _,
        made_from: _,
        revision: _,
        created_at,
        updated_at: _,
    } = row;
    let time = |at: &Option<UnixMicros>| at.map(UnixMicros::to_rfc3339);
    let fields = [
        ("id", json!(id)),
        ("organization_id", json!(organization_id)),
        ("scope_type", json!(target.scope_type())),
        ("scope_id", json!(target.scope_id())),
        ("name", json!(name)),
        ("description", json!(description)),
        ("window", json!(window)),
        ("on_breach", json!(on_breach)),
        ("enforcement", json!(enforcement)),
        ("limit_usd", json!(limit.to_string())),
        ("limit_nano_usd", json!(safe(*limit))),
        ("timezone", json!(timezone)),
        ("provider_key", json!(provider_key)),
        ("external_id", json!(external_id)),
        ("metadata", json!(metadata)),
        (
            "current_period_started_at",
            json!(period.start.to_rfc3339()),
        ),
        ("resets_at", json!(period.resets_at.to_rfc3339())),
        ("cycle_anchor_at", json!(time(cycle_anchor_at))),
        ("last_reset_at", json!(time(last_reset_at))),
        ("archived_at", json!(time(archived_at))),
        ("created_at", json!(created_at.to_rfc3339())),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Whether each end user has a bucket of the budget.
pub(super) const fn is_template(target: &BudgetTarget) -> bool {
    matches!(
        target,
        BudgetTarget::EndUsersOfKey(_) | BudgetTarget::EndUsersOfProject(_)
    )
}

/// The integer, unless a JSON reader could round it.
fn safe(amount: NanoUsd) -> Option<i64> {
    (amount.0.unsigned_abs() <= SAFE).then_some(amount.0)
}

/// What a row stores about its periods.
///
/// # Errors
/// The row holds no window.
pub(super) fn schedule(row: &Budget) -> Result<Schedule, Error> {
    let window = Window::parse(&row.window)
        .ok_or_else(|| Error::new(Code::InternalError, "a stored budget has no window"))?;
    Ok(Schedule {
        window,
        anchor: row.cycle_anchor_at,
        period_started_at: row.current_period_started_at,
        resets_at: row.resets_at,
        last_reset_at: row.last_reset_at,
    })
}
