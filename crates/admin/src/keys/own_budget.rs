//! The budget that a key's `budget` field manages (domain 7.7): one row of its own, or none.
//!
//! Must never touch a budget that somebody created beside it. Start at [`Wish`].

use std::collections::BTreeMap;

use lw_core::{BudgetId, Error, NanoUsd, UnixMicros};
use lw_engine::period::{Schedule, Window};
use lw_store::config::{Change, ChangeEvent, ChangeKind, Write};
use lw_store::rows::{Budget, BudgetTarget, Enforcement, OnBreach, VirtualKey};

use crate::Admin;
use crate::budgets;
use crate::caller::Caller;
use crate::edge::stored;
use crate::input::{Fields, Given, Problems, never_null};
use crate::money;
use crate::write::{Act, Filed};

/// What a caller wants of the key's budget.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    limit: NanoUsd,
    window: Window,
    on_breach: OnBreach,
    name: Option<String>,
}

/// What is to be written.
pub(super) enum Step {
    Insert(Budget),
    Update { row: Budget, expected: i64 },
}

impl Wish {
    /// Reads `budget`: `{limit_usd, window: day|week|month, on_breach?, name?}`.
    pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Given<Self> {
        fields.object(&["budget"], problems).and_then(|budget| {
            let limit = money::limit(&budget, "limit_usd", problems);
            let window = budget.choice(&["window"], &["day", "week", "month"], problems);
            let breach = budget.choice(&["on_breach"], &["block", "warn"], problems);
            let name = budget.trimmed("name", 1..=128, problems);
            for field in ["limit_usd", "window"] {
                if budget
                    .raw(&[field])
                    .is_none_or(|(_, value)| value.is_null())
                {
                    problems.add(budget.path(field), "required", "is required");
                }
            }
            let breach = never_null(breach, budget.path("on_breach"), problems);
            Some(Self {
                limit: limit.value()?,
                window: Window::parse(window.value()?)?,
                on_breach: match breach {
                    Some("warn") => OnBreach::Warn,
                    _ => OnBreach::Block,
                },
                name: name.value(),
            })
        })
    }

    /// What has to be written so that the key's budget is as wished.
    pub(super) fn over(
        &self,
        admin: &Admin,
        caller: &Caller,
        key: &VirtualKey,
        now: UnixMicros,
    ) -> Result<Step, Error> {
        let Self {
            limit,
            window,
            on_breach,
            name,
        } = self;
        let existing = admin
            .store
            .own_budget(&key.organization_id, &key.id)
            .map_err(stored)?;
        let opening = Schedule::opening(*window, None, now);
        if let Some(before) = existing {
            let expected = before.revision;
            let mut row = before;
            if row.window != window.as_str() {
                row.window = window.as_str().to_owned();
                row.current_period_started_at = opening.period_started_at;
                row.resets_at = opening.resets_at;
                row.last_reset_at = None;
            }
            row.limit = *limit;
            row.on_breach = *on_breach;
            if let Some(name) = name {
                row.name.clone_from(name);
            }
            row.revision = expected.saturating_add(1);
            row.updated_at = now;
            return Ok(Step::Update { row, expected });
        }
        let fallback = || format!("{} budget", key.name).chars().take(128).collect();
        Ok(Step::Insert(Budget {
            id: BudgetId::mint(now, admin.entropy.as_ref()),
            organization_id: key.organization_id.clone(),
            name: name.clone().unwrap_or_else(fallback),
            description: None,
            target: BudgetTarget::VirtualKey(key.id.clone()),
            provider_key: None,
            window: window.as_str().to_owned(),
            limit: *limit,
            on_breach: *on_breach,
            enforcement: Enforcement::Strict,
            timezone: None,
            cycle_anchor_at: None,
            current_period_started_at: opening.period_started_at,
            resets_at: opening.resets_at,
            last_reset_at: None,
            external_id: None,
            metadata: BTreeMap::new(),
            managed_by_virtual_key_id: Some(key.id.clone()),
            archived_at: None,
            created_by: caller.actor(),
            made_from: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        }))
    }
}

/// What archives the key's budget; `None` when it has none.
pub(super) fn archived(
    admin: &Admin,
    key: &VirtualKey,
    now: UnixMicros,
) -> Result<Option<Step>, Error> {
    let existing = admin
        .store
        .own_budget(&key.organization_id, &key.id)
        .map_err(stored)?;
    Ok(existing.map(|before| {
        let expected = before.revision;
        Step::Update {
            row: Budget {
                archived_at: Some(now),
                updated_at: now,
                revision: expected.saturating_add(1),
                ..before
            },
            expected,
        }
    }))
}

/// The live budgets that end with a key: the one that it manages and those that are about it.
pub(super) fn of_key(admin: &Admin, key: &VirtualKey) -> Result<Vec<Budget>, Error> {
    let organization = &key.organization_id;
    let targets = [
        BudgetTarget::VirtualKey(key.id.clone()),
        BudgetTarget::EndUsersOfKey(key.id.clone()),
    ];
    let mut budgets = admin
        .store
        .budgets_of(organization, &targets)
        .map_err(stored)?;
    let own = admin
        .store
        .own_budget(organization, &key.id)
        .map_err(stored)?;
    budgets.extend(own.filter(|own| budgets.iter().all(|budget| budget.id != own.id)));
    Ok(budgets)
}

/// The audit row of a budget that ends with its key; the store adds the event.
pub(super) fn ended(
    admin: &Admin,
    caller: &Caller,
    key: &VirtualKey,
    budget: &Budget,
    now: UnixMicros,
) -> Change {
    let archived = Budget {
        archived_at: Some(now),
        updated_at: now,
        ..budget.clone()
    };
    Act {
        action: "gateway.budget.deleted",
        target_kind: Some("budget"),
        target_id: budget.id.as_str(),
        filed: Filed::at(&key.scopes),
        before: Some(budgets::audited(budget)),
        after: Some(budgets::audited(&archived)),
        ..Act::default()
    }
    .by(admin, caller, now)
}

impl Step {
    /// Opens a budget that is about to be inserted; a key that is new itself has spent nothing.
    ///
    /// # Errors
    /// A store failed.
    pub(super) fn open(&self, admin: &Admin, new_key: bool, now: UnixMicros) -> Result<(), Error> {
        match self {
            Self::Insert(row) if new_key => budgets::open_empty(admin, row),
            Self::Insert(row) => budgets::open(admin, row, now),
            Self::Update { .. } => Ok(()),
        }
    }

    /// The write.
    pub(super) const fn write(&self) -> Write<'_> {
        match self {
            Self::Insert(row) => Write::InsertBudget(row),
            Self::Update { row, expected } => Write::UpdateBudget {
                row,
                expected: *expected,
            },
        }
    }

    /// What comes with it: the budget's own event and audit row.
    pub(super) fn change(
        &self,
        admin: &Admin,
        caller: &Caller,
        key: &VirtualKey,
        now: UnixMicros,
    ) -> Change {
        let (row, action, kind) = match self {
            Self::Insert(row) => (row, "gateway.budget.created", ChangeKind::BudgetCreated),
            Self::Update { row, .. } if row.archived_at.is_some() => {
                (row, "gateway.budget.deleted", ChangeKind::BudgetDeleted)
            }
            Self::Update { row, .. } => (row, "gateway.budget.updated", ChangeKind::BudgetUpdated),
        };
        Act {
            action,
            target_kind: Some("budget"),
            target_id: row.id.as_str(),
            filed: Filed::at(&key.scopes),
            after: Some(budgets::audited(row)),
            events: vec![ChangeEvent {
                budget_id: Some(row.id.clone()),
                virtual_key_id: row.managed_by_virtual_key_id.clone(),
                ..ChangeEvent::of(kind, row.organization_id.clone())
            }],
            ..Act::default()
        }
        .by(admin, caller, now)
    }
}
