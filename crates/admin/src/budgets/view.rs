//! Budgets as callers see them: the row, what was spent in its current period, and whom it meets
//! (management-api 9.1; domain 12, 13.4).
//!
//! Everything of one answer is as of one instant. A ledger that cannot be read makes every figure of the
//! answer null and `spend_available` false; it never fails the answer. Must never show a figure that was
//! not summed. Start at [`Figures`].

use std::collections::HashMap;

use lw_core::{Code, Error, NanoUsd, OrganizationId, UnixMicros, UserId};
use lw_engine::period::{Period, Schedule, Window};
use lw_store::ledger::{SpendQuery, Spenders};
use lw_store::rows::{Budget, BudgetTarget};
use serde_json::{Map, Value, json};

use super::counting::Counting;
use crate::Admin;
use crate::edge::stored;

/// The largest integer that every JSON reader holds exactly (billing 3).
const SAFE: u64 = 9_007_199_254_740_991;

/// Works out what an answer says of budgets beyond their rows. Asks about each target once.
pub(super) struct Figures<'a> {
    admin: &'a Admin,
    organization: &'a OrganizationId,
    now: UnixMicros,
    counting: Counting<'a>,
    spenders: HashMap<BudgetTarget, Option<Spenders>>,
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
}

impl<'a> Figures<'a> {
    /// As of `now`.
    pub(super) fn at(admin: &'a Admin, organization: &'a OrganizationId, now: UnixMicros) -> Self {
        Self {
            admin,
            organization,
            now,
            counting: Counting::of(admin, organization),
            spenders: HashMap::new(),
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
        let spenders = self.spenders(&row.target)?;
        self.figure(row, spenders)
    }

    /// Works out a budget as it stands for the keys of one person: a group's spend is that person's.
    pub(super) fn for_person(
        &mut self,
        row: Budget,
        person: Option<&UserId>,
    ) -> Result<Figure, Error> {
        let spenders = match (&row.target, person) {
            (BudgetTarget::Group(_), Some(user)) => {
                self.spenders(&BudgetTarget::Principal(user.clone()))?
            }
            (target, _) => self.spenders(target)?,
        };
        self.figure(row, spenders)
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

    fn spenders(&mut self, target: &BudgetTarget) -> Result<Option<Spenders>, Error> {
        if let Some(known) = self.spenders.get(target) {
            return Ok(known.clone());
        }
        let found = self.counting.behind(target)?;
        self.spenders.insert(target.clone(), found.clone());
        Ok(found)
    }

    fn figure(&mut self, row: Budget, spenders: Option<Spenders>) -> Result<Figure, Error> {
        let schedule = schedule(&row)?;
        let spent = spenders.and_then(|spenders| self.spent(&row, &schedule, spenders));
        let members = match &row.target {
            BudgetTarget::Group(group) => {
                let store = &self.admin.store;
                let found = store.group_members(self.organization, group);
                Some(found.map_err(stored)?.len())
            }
            _ => None,
        };
        Ok(Figure {
            row,
            schedule,
            spent,
            reachable: None,
            members,
        })
    }

    fn spent(&mut self, row: &Budget, schedule: &Schedule, spenders: Spenders) -> Option<NanoUsd> {
        let query = SpendQuery {
            organization_id: self.organization.clone(),
            spenders,
            model_provider_id: row.provider_key.clone(),
            from: schedule.counts_from(self.now).unwrap_or_default(),
            to: schedule.next_boundary(self.now),
        };
        match self.admin.ledger.spent(&query) {
            Ok(spent) => Some(spent),
            Err(error) => {
                tracing::warn!(%error, budget = %row.id, "the spend of a budget could not be read");
                self.available = false;
                None
            }
        }
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
