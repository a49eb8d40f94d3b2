//! What joining or leaving a group or a team means to budgets (domain 17).
//!
//! No version token of a bundle covers memberships, so gateways hear of them through the budgets that
//! target the group or the team. Must never change a budget. Start at [`touched_by`].

use lw_core::{Error, OrganizationId};
use lw_store::StoreError;
use lw_store::config::{ChangeEvent, ChangeKind, ConfigStore};
use lw_store::rows::BudgetTarget;

use crate::Admin;
use crate::edge::stored;

/// The events of somebody joining or leaving `target`: one for each live budget that targets it, in the
/// order of their ids. None for what has no members.
///
/// # Errors
/// The store failed.
pub(crate) fn touched_by(
    admin: &Admin,
    organization: &OrganizationId,
    target: &BudgetTarget,
) -> Result<Vec<ChangeEvent>, Error> {
    touched(admin.store.as_ref(), organization, target).map_err(stored)
}

/// The same, of a store.
pub(crate) fn touched(
    store: &dyn ConfigStore,
    organization: &OrganizationId,
    target: &BudgetTarget,
) -> Result<Vec<ChangeEvent>, StoreError> {
    if !matches!(target, BudgetTarget::Team(_) | BudgetTarget::Group(_)) {
        return Ok(Vec::new());
    }
    let budgets = store.budgets_of(organization, std::slice::from_ref(target))?;
    Ok(budgets
        .into_iter()
        .map(|budget| ChangeEvent {
            budget_id: Some(budget.id),
            ..ChangeEvent::of(ChangeKind::BudgetUpdated, organization.clone())
        })
        .collect())
}
