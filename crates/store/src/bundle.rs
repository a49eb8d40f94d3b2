//! What the data plane asks when it meets a key, or an end user of a template, that it does not hold.

use lw_core::{BudgetId, GroupId, OrganizationId, TeamId, UnixMicros, UserId, VirtualKeyId};

use crate::StoreError;
use crate::rows::{
    Budget, CacheRule, Guardrail, ModelPrice, ModelProvider, Organization, Project, RoutingPolicy,
    VirtualKey,
};

/// Everything that one key's bundle is compiled from.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The key.
    pub key: VirtualKey,
    /// Whether the presented secret is the one before the last rotation.
    pub previous_secret: bool,
    /// Its organization.
    pub organization: Organization,
    /// The project that receives traces and spend.
    pub trace_project: Project,
    /// Enabled providers that are reachable from the key's scopes, in dispatch order (domain 9 steps 1
    /// and 2; `providersAllowed` is not applied yet).
    pub providers: Vec<ModelProvider>,
    /// The key's routing policy. `None` although the key names one: it belongs to nobody any more, and
    /// nothing may be dispatched.
    pub policy: Option<RoutingPolicy>,
    /// The organization's own prices.
    pub prices: Vec<ModelPrice>,
    /// Those of the key's TEAM scopes that are a person's own team, in the order of the scopes.
    pub personal_teams: Vec<TeamId>,
    /// The person whose key it is, if it is a personal one.
    pub principal: Option<PrincipalFacts>,
    /// The organization's enabled, live cache rules: priority descending, then oldest first, then by id.
    pub cache_rules: Vec<CacheRule>,
    /// The live guardrails that the key's configuration attaches and that are its guardrail project's
    /// (domain 15), by id. What else the configuration names is not there.
    pub guardrails: Vec<Guardrail>,
    /// Live budgets for anything that the key can count toward, templates included, by scope type, then
    /// id. Those for teams of the principal are among them whether or not the key counts toward those
    /// (C-15): the caller narrows.
    pub budgets: Vec<Budget>,
}

/// What is known of the person whose key it is, within the key's organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalFacts {
    /// Who.
    pub user: UserId,
    /// The live, non-personal teams that the person is a member of, by id.
    pub teams: Vec<TeamId>,
    /// The groups that the person is in, by id.
    pub groups: Vec<GroupId>,
}

/// The data plane's port: one read per unknown key, one per unknown bucket of an end user.
pub trait KeySource: Send + Sync + 'static {
    /// Finds a key by one of the hashes that its secret may be stored under (current pepper first). A
    /// previous secret is found whether or not its grace has ended: the caller compares
    /// `previous_secret_valid_until` with its clock. `Ok(None)` means that there is no such key.
    ///
    /// The whole answer comes from one read transaction.
    ///
    /// # Errors
    /// The store could not be asked. The caller answers 503, never 401.
    fn key_by_hash(&self, hashes: &[String]) -> Result<Option<KeyRecord>, StoreError>;

    /// The same of a key that is known by its id, whatever its status; with its current secret.
    ///
    /// # Errors
    /// The store could not be asked.
    fn key_by_id(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<KeyRecord>, StoreError>;

    /// Replaces the stored hash of a key that was found under the previous pepper (domain 7.4): the row
    /// that has `old` as its current or previous hash gets `new` there. Neither audited nor announced:
    /// the secret is the same.
    ///
    /// # Errors
    /// The store could not be written. The caller goes on: the old hash still finds the key.
    fn rehash_virtual_key(&self, old: &str, new: &str) -> Result<(), StoreError>;

    /// When the period of one bucket of a template began, if an end user was reset (domain 11). `bucket`
    /// is the bucket id of domain 13.2.
    ///
    /// # Errors
    /// The store could not be asked.
    fn bucket_boundary(
        &self,
        budget: &BudgetId,
        bucket: &str,
    ) -> Result<Option<UnixMicros>, StoreError>;
}
