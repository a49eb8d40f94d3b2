//! Budgets for everything that there is: the organization, each team, project, person and key.
//!
//! Each is opened in the ledger as well, at some spend of before: a start that finds budgets without an
//! opening sums that up first. Must never open what it does not insert. Start at [`Filler::budgets`].

use std::collections::BTreeMap;
use std::error::Error;

use lw_core::{BudgetId, NanoUsd};
use lw_store::config::Write;
use lw_store::ledger::{Ledger as _, Opening};
use lw_store::rows::{Budget, BudgetTarget, Enforcement, OnBreach, VirtualKey};

use super::{AT_ONCE, DAY_US, Filler, Places};

/// What a key may spend in a month.
const OF_A_KEY: NanoUsd = NanoUsd(1_000_000_000_000);
/// What everything else may spend: more than a bench does.
const OF_OTHERS: NanoUsd = NanoUsd(1_000_000_000_000_000);
/// What was spent before there was the budget.
const BEFORE: NanoUsd = NanoUsd(1_000_000_000);

impl Filler {
    /// Inserts the budgets of everything but the keys; returns their ids.
    pub(super) fn budgets(&self, places: &Places) -> Result<Vec<BudgetId>, Box<dyn Error>> {
        let Places {
            teams,
            projects,
            users,
            policies: _,
        } = places;
        let teams = teams.iter().cloned().map(BudgetTarget::Team);
        let projects = projects.iter().cloned().map(BudgetTarget::Project);
        let users = users.iter().cloned().map(BudgetTarget::Principal);
        let rows: Vec<Budget> = [BudgetTarget::Organization(self.organization.clone())]
            .into_iter()
            .chain(teams)
            .chain(projects)
            .chain(users)
            .map(|target| Budget {
                limit: OF_OTHERS,
                ..self.budget(format!("Budget of {}", target.scope_id()), target)
            })
            .collect();
        for rows in rows.chunks(AT_ONCE) {
            self.open(rows)?;
            let writes: Vec<_> = rows.iter().map(Write::InsertBudget).collect();
            self.commit(&writes)?;
        }
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The budget that a key's own `budget` field manages.
    pub(super) fn own_budget(&self, key: &VirtualKey) -> Budget {
        let target = BudgetTarget::VirtualKey(key.id.clone());
        Budget {
            managed_by_virtual_key_id: Some(key.id.clone()),
            ..self.budget(key.name.clone(), target)
        }
    }

    /// Opens budgets, which must come before they are inserted.
    pub(super) fn open(&self, rows: &[Budget]) -> Result<(), Box<dyn Error>> {
        let opened: Vec<_> = rows
            .iter()
            .map(|row| {
                let opening = Opening {
                    member: String::new(),
                    at: self.now,
                    amount: BEFORE,
                };
                (row.id.clone(), vec![opening])
            })
            .collect();
        Ok(self.ledger.open_budgets(&opened)?)
    }

    fn budget(&self, name: String, target: BudgetTarget) -> Budget {
        let at = self.now;
        Budget {
            id: BudgetId::mint(at, &self.entropy),
            organization_id: self.organization.clone(),
            name,
            description: None,
            target,
            provider_key: None,
            window: "month".to_owned(),
            limit: OF_A_KEY,
            on_breach: OnBreach::Block,
            enforcement: Enforcement::Strict,
            timezone: None,
            cycle_anchor_at: None,
            current_period_started_at: at,
            resets_at: at.plus_micros(30 * DAY_US),
            last_reset_at: None,
            external_id: None,
            metadata: BTreeMap::new(),
            managed_by_virtual_key_id: None,
            archived_at: None,
            created_by: "instance-admin".to_owned(),
            made_from: None,
            revision: 1,
            created_at: at,
            updated_at: at,
        }
    }
}
