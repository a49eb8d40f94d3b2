//! The traits of the management plane and the data plane, led to the statements of their aggregates. Each
//! method is one transaction.

use lw_core::{
    ApiKeyId, BudgetId, CacheRuleId, GroupId, GuardrailId, InviteId, ModelPriceId, ModelProviderId,
    OrganizationId, ProjectId, RoleBindingId, RoleId, RoutingPolicyId, TeamId, UnixMicros, UserId,
    VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::bundle::{KeyRecord, KeySource};
use lw_store::config::{
    AccessOf, AuditFilter, AuditRow, BindingFilter, BudgetFilter, BudgetReach, Change, ChangeLog,
    ChangeRevision, ChangeRow, Committed, ConfigStore, Cursor, Member, Membership,
    ModelProviderFilter, ModelProviders, OwnerAccess, Page, People, Policies, Receipt, ScopeKind,
    Tenancy, VirtualKeyFilter, VirtualKeys, Write,
};
use lw_store::rows::{
    ApiKey, Budget, BudgetTarget, CacheRule, CustomRole, Group, Guardrail, Invite, ModelPrice,
    ModelProvider, Organization, Project, RoleBinding, RoutingPolicy, Scope, Team, TeamMember,
    User, VirtualKey,
};

use super::{
    SqliteConfig, access, api_keys, budgets, bundle, changes, document, keys, people, policies,
    providers, reach, receipts, tenants, write,
};

impl ConfigStore for SqliteConfig {
    fn commit(&self, writes: &[Write<'_>], change: &Change) -> Result<Committed, StoreError> {
        self.db.write(|db| write::commit(db, writes, change))
    }
}

impl KeySource for SqliteConfig {
    fn key_by_hash(&self, hashes: &[String]) -> Result<Option<KeyRecord>, StoreError> {
        self.db.read(|db| bundle::by_hash(db, hashes))
    }

    fn key_by_id(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<KeyRecord>, StoreError> {
        self.db.read(|db| bundle::by_id(db, organization, id))
    }

    fn rehash_virtual_key(&self, old: &str, new: &str) -> Result<(), StoreError> {
        self.db.write(|db| keys::rehash(db, old, new))
    }

    fn bucket_boundary(
        &self,
        budget: &BudgetId,
        bucket: &str,
    ) -> Result<Option<UnixMicros>, StoreError> {
        self.db.read(|db| budgets::boundary(db, budget, bucket))
    }
}

impl Tenancy for SqliteConfig {
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.db.read(tenants::is_empty)
    }

    fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.db.read(tenants::organizations)
    }

    fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError> {
        self.db.read(|db| tenants::organization(db, id))
    }

    fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, StoreError> {
        self.db.read(|db| tenants::organization_by_slug(db, slug))
    }

    fn teams(&self, organization: &OrganizationId) -> Result<Vec<Team>, StoreError> {
        self.db.read(|db| tenants::teams(db, organization))
    }

    fn team(&self, organization: &OrganizationId, id: &TeamId) -> Result<Option<Team>, StoreError> {
        self.db.read(|db| tenants::team(db, organization, id))
    }

    fn projects(&self, organization: &OrganizationId) -> Result<Vec<Project>, StoreError> {
        self.db.read(|db| tenants::projects(db, organization))
    }

    fn projects_of_team(
        &self,
        organization: &OrganizationId,
        team: &TeamId,
    ) -> Result<Vec<Project>, StoreError> {
        self.db
            .read(|db| tenants::projects_of_team(db, organization, team))
    }

    fn project(
        &self,
        organization: &OrganizationId,
        id: &ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        self.db.read(|db| tenants::project(db, organization, id))
    }

    fn project_by_key_hash(
        &self,
        hash: &str,
    ) -> Result<Option<(Organization, Project)>, StoreError> {
        self.db.read(|db| tenants::project_by_key_hash(db, hash))
    }

    fn governance_project(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<Project>, StoreError> {
        self.db
            .read(|db| tenants::governance_project(db, organization))
    }

    fn resolve_scope(
        &self,
        organization: &OrganizationId,
        kind: ScopeKind,
        id_or_slug: &str,
    ) -> Result<Option<Scope>, StoreError> {
        self.db
            .read(|db| tenants::resolve_scope(db, organization, kind, id_or_slug))
    }
}

impl People for SqliteConfig {
    fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.db.read(|db| people::user(db, id))
    }

    fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.db.read(|db| people::user_by_email(db, email))
    }

    fn members(&self, organization: &OrganizationId) -> Result<Vec<Member>, StoreError> {
        self.db.read(|db| people::members(db, organization))
    }

    fn member(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<Member>, StoreError> {
        self.db.read(|db| people::member(db, organization, user))
    }

    fn memberships(&self, user: &UserId) -> Result<Vec<Membership>, StoreError> {
        self.db.read(|db| people::memberships(db, user))
    }

    fn team_members(
        &self,
        organization: &OrganizationId,
        team: &TeamId,
    ) -> Result<Vec<TeamMember>, StoreError> {
        self.db
            .read(|db| people::team_members(db, organization, team))
    }

    fn teams_of(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Vec<TeamMember>, StoreError> {
        self.db.read(|db| people::teams_of(db, organization, user))
    }

    fn groups(&self, organization: &OrganizationId) -> Result<Vec<(Group, u64)>, StoreError> {
        self.db.read(|db| people::groups(db, organization))
    }

    fn group(
        &self,
        organization: &OrganizationId,
        id: &GroupId,
    ) -> Result<Option<Group>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn group_members(
        &self,
        organization: &OrganizationId,
        id: &GroupId,
    ) -> Result<Vec<User>, StoreError> {
        self.db
            .read(|db| people::group_members(db, organization, id))
    }

    fn groups_of(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Vec<GroupId>, StoreError> {
        self.db.read(|db| people::groups_of(db, organization, user))
    }

    fn roles(&self, organization: &OrganizationId) -> Result<Vec<CustomRole>, StoreError> {
        self.db.read(|db| access::roles(db, organization))
    }

    fn role(
        &self,
        organization: &OrganizationId,
        id: &RoleId,
    ) -> Result<Option<CustomRole>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn bindings(
        &self,
        organization: &OrganizationId,
        filter: &BindingFilter,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<RoleBinding>, u64), StoreError> {
        self.db
            .read(|db| access::bindings(db, organization, filter, offset, limit))
    }

    fn binding(
        &self,
        organization: &OrganizationId,
        id: &RoleBindingId,
    ) -> Result<Option<RoleBinding>, StoreError> {
        self.db.read(|db| access::binding(db, organization, id))
    }

    fn access_by_lookup_id(&self, lookup_id: &str) -> Result<Option<AccessOf>, StoreError> {
        self.db.read(|db| access::by_lookup_id(db, lookup_id))
    }

    fn access_of_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Option<OwnerAccess>, StoreError> {
        self.db.read(|db| access::of_user(db, organization, user))
    }

    fn api_keys(&self, organization: &OrganizationId) -> Result<Vec<ApiKey>, StoreError> {
        self.db.read(|db| api_keys::list(db, organization))
    }

    fn api_key(
        &self,
        organization: &OrganizationId,
        id: &ApiKeyId,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.db.read(|db| api_keys::get_one(db, organization, id))
    }

    fn touch_api_key(&self, id: &ApiKeyId, at: UnixMicros) -> Result<(), StoreError> {
        self.db.write(|db| api_keys::touch(db, id, at))
    }

    fn rehash_api_key(&self, id: &ApiKeyId, hashed_secret: &str) -> Result<(), StoreError> {
        self.db.write(|db| api_keys::rehash(db, id, hashed_secret))
    }

    fn invites(&self, organization: &OrganizationId) -> Result<Vec<Invite>, StoreError> {
        self.db.read(|db| people::invites(db, organization))
    }

    fn invite(
        &self,
        organization: &OrganizationId,
        id: &InviteId,
    ) -> Result<Option<Invite>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }
}

impl ModelProviders for SqliteConfig {
    fn model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
    ) -> Result<Option<ModelProvider>, StoreError> {
        self.db
            .read(|db| providers::get_one(db, organization, id.as_str()))
    }

    fn model_providers(
        &self,
        organization: &OrganizationId,
        filter: &ModelProviderFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<ModelProvider>, StoreError> {
        self.db
            .read(|db| providers::list(db, organization, filter, limit, after))
    }

    fn reachable_providers(
        &self,
        organization: &OrganizationId,
        scopes: &[Scope],
    ) -> Result<Vec<ModelProvider>, StoreError> {
        self.db
            .read(|db| providers::reachable(db, organization, scopes))
    }
}

impl VirtualKeys for SqliteConfig {
    fn virtual_key(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<VirtualKey>, StoreError> {
        self.db
            .read(|db| keys::get_one(db, organization, id.as_str()))
    }

    fn virtual_keys(
        &self,
        organization: &OrganizationId,
        filter: &VirtualKeyFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<VirtualKey>, StoreError> {
        self.db
            .read(|db| keys::list(db, organization, filter, limit, after))
    }

    fn touch_virtual_keys(&self, touched: &[(VirtualKeyId, UnixMicros)]) -> Result<(), StoreError> {
        if touched.is_empty() {
            return Ok(());
        }
        self.db.write(|db| keys::touch(db, touched))
    }
}

impl Policies for SqliteConfig {
    fn routing_policies(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<RoutingPolicy>, StoreError> {
        self.db
            .read(|db| policies::routing_policies(db, organization))
    }

    fn routing_policy(
        &self,
        organization: &OrganizationId,
        id: &RoutingPolicyId,
    ) -> Result<Option<RoutingPolicy>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn budgets(
        &self,
        organization: &OrganizationId,
        filter: &BudgetFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<Budget>, StoreError> {
        self.db
            .read(|db| budgets::list(db, organization, filter, limit, after))
    }

    fn budget(
        &self,
        organization: &OrganizationId,
        id: &BudgetId,
    ) -> Result<Option<Budget>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn budgets_of(
        &self,
        organization: &OrganizationId,
        targets: &[BudgetTarget],
    ) -> Result<Vec<Budget>, StoreError> {
        self.db
            .read(|db| budgets::of_targets(db, organization, targets))
    }

    fn live_budgets(
        &self,
        after: Option<&BudgetId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, BudgetId)>, StoreError> {
        self.db.read(|db| budgets::live(db, after, limit))
    }

    fn own_budget(
        &self,
        organization: &OrganizationId,
        key: &VirtualKeyId,
    ) -> Result<Option<Budget>, StoreError> {
        self.db.read(|db| budgets::own(db, organization, key))
    }

    fn budget_reach(
        &self,
        organization: &OrganizationId,
        target: &BudgetTarget,
        principal_teams: bool,
    ) -> Result<BudgetReach, StoreError> {
        self.db
            .read(|db| reach::reach(db, organization, target, principal_teams))
    }

    fn bucket_boundary(
        &self,
        budget: &BudgetId,
        bucket: &str,
    ) -> Result<Option<UnixMicros>, StoreError> {
        self.db.read(|db| budgets::boundary(db, budget, bucket))
    }

    fn bucket_boundaries(
        &self,
        budget: &BudgetId,
    ) -> Result<Vec<(String, UnixMicros)>, StoreError> {
        self.db.read(|db| budgets::boundaries(db, budget))
    }

    fn cache_rules(&self, organization: &OrganizationId) -> Result<Vec<CacheRule>, StoreError> {
        self.db.read(|db| policies::cache_rules(db, organization))
    }

    fn cache_rule(
        &self,
        organization: &OrganizationId,
        id: &CacheRuleId,
    ) -> Result<Option<CacheRule>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn guardrails(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Vec<Guardrail>, StoreError> {
        self.db
            .read(|db| policies::guardrails(db, organization, project))
    }

    fn guardrail(
        &self,
        organization: &OrganizationId,
        id: &GuardrailId,
    ) -> Result<Option<Guardrail>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }

    fn model_prices(&self, organization: &OrganizationId) -> Result<Vec<ModelPrice>, StoreError> {
        self.db.read(|db| policies::model_prices(db, organization))
    }

    fn model_price(
        &self,
        organization: &OrganizationId,
        id: &ModelPriceId,
    ) -> Result<Option<ModelPrice>, StoreError> {
        self.db
            .read(|db| document::get_one(db, organization, id.as_str()))
    }
}

impl ChangeLog for SqliteConfig {
    fn latest_change(&self) -> Result<ChangeRevision, StoreError> {
        self.db.read(changes::latest)
    }

    fn changes_since(
        &self,
        revision: ChangeRevision,
        limit: usize,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        self.db.read(|db| changes::since(db, revision, limit))
    }

    fn audit(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<AuditRow>, StoreError> {
        self.db
            .read(|db| changes::audit(db, organization, filter, limit, after))
    }

    fn receipt(
        &self,
        scope_id: &str,
        key: &str,
        now: UnixMicros,
    ) -> Result<Option<Receipt>, StoreError> {
        self.db.read(|db| receipts::find(db, scope_id, key, now))
    }
}
