//! Reading routing policies, budgets, cache rules, guardrails and own prices.

use lw_core::{
    BudgetId, CacheRuleId, GuardrailId, ModelPriceId, OrganizationId, ProjectId, RoutingPolicyId,
    UnixMicros, VirtualKeyId,
};

use super::{Cursor, Page};
use crate::StoreError;
use crate::rows::{Budget, BudgetTarget, CacheRule, Guardrail, ModelPrice, RoutingPolicy};

/// Which budgets are asked for. All conditions hold at once; archived ones are never listed.
#[derive(Debug, Clone, Default)]
pub struct BudgetFilter {
    /// Only these kinds of target (`team`, `attributed_user`); `None` is all.
    pub scope_types: Option<Vec<String>>,
    /// Only the budget with this external id.
    pub external_id: Option<String>,
}

/// Which keys a budget would meet (domain 13.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BudgetReach {
    /// Some active key of the organization matches the target (domain 13.1).
    pub reachable: bool,
    /// The organization has an active key at all.
    pub any_key: bool,
    /// Some active key is scoped to an ancestor of the target (C-8).
    pub ancestor_key: bool,
    /// Live projects that active keys file into: the first ten by id, and how many there are.
    pub projects: Vec<ProjectId>,
    /// How many there are.
    pub project_count: u64,
}

/// What decides about requests. Errors: see [`super::ConfigStore`].
pub trait Policies {
    /// The routing policies of an organization: the defaults first, then by name, then by id.
    fn routing_policies(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<RoutingPolicy>, StoreError>;

    /// One routing policy.
    fn routing_policy(
        &self,
        organization: &OrganizationId,
        id: &RoutingPolicyId,
    ) -> Result<Option<RoutingPolicy>, StoreError>;

    /// Live budgets of an organization, newest first.
    fn budgets(
        &self,
        organization: &OrganizationId,
        filter: &BudgetFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<Budget>, StoreError>;

    /// One budget, archived or not.
    fn budget(
        &self,
        organization: &OrganizationId,
        id: &BudgetId,
    ) -> Result<Option<Budget>, StoreError>;

    /// The live budgets of all organizations, by id: the first `limit` of those whose ids come after
    /// `after`.
    fn live_budgets(
        &self,
        after: Option<&BudgetId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, BudgetId)>, StoreError>;

    /// Live budgets of any of these targets, sorted by scope type, then id.
    fn budgets_of(
        &self,
        organization: &OrganizationId,
        targets: &[BudgetTarget],
    ) -> Result<Vec<Budget>, StoreError>;

    /// The live budget that a key's `budget` field manages (domain 7.7).
    fn own_budget(
        &self,
        organization: &OrganizationId,
        key: &VirtualKeyId,
    ) -> Result<Option<Budget>, StoreError>;

    /// Whom a target would meet. `principal_teams` is C-15: a key without a shared team of its own also
    /// counts for the teams of its principal.
    fn budget_reach(
        &self,
        organization: &OrganizationId,
        target: &BudgetTarget,
        principal_teams: bool,
    ) -> Result<BudgetReach, StoreError>;

    /// When the period of one bucket of a template began, if it was moved.
    fn bucket_boundary(
        &self,
        budget: &BudgetId,
        bucket: &str,
    ) -> Result<Option<UnixMicros>, StoreError>;

    /// The buckets of a template whose period was moved, and when it began. In no order.
    fn bucket_boundaries(&self, budget: &BudgetId)
    -> Result<Vec<(String, UnixMicros)>, StoreError>;

    /// The live cache rules of an organization: priority descending, then oldest first, then by id.
    fn cache_rules(&self, organization: &OrganizationId) -> Result<Vec<CacheRule>, StoreError>;

    /// One cache rule, archived or not.
    fn cache_rule(
        &self,
        organization: &OrganizationId,
        id: &CacheRuleId,
    ) -> Result<Option<CacheRule>, StoreError>;

    /// The live guardrails of an organization, or of one project, newest first.
    fn guardrails(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Vec<Guardrail>, StoreError>;

    /// One guardrail, archived or not.
    fn guardrail(
        &self,
        organization: &OrganizationId,
        id: &GuardrailId,
    ) -> Result<Option<Guardrail>, StoreError>;

    /// The organization's own prices, by model, then provider kind.
    fn model_prices(&self, organization: &OrganizationId) -> Result<Vec<ModelPrice>, StoreError>;

    /// One own price.
    fn model_price(
        &self,
        organization: &OrganizationId,
        id: &ModelPriceId,
    ) -> Result<Option<ModelPrice>, StoreError>;
}
