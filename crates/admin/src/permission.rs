//! The permissions that routes ask for, each a type (domain 4.1).
//!
//! A type rather than a text, because a service function that takes `&Permit<VirtualKeysRotate>` cannot
//! be reached through a route that checked something else. Must never decide who holds a permission:
//! that is [`lw_engine::access`]. Start at [`Permission`].

use lw_engine::access::{Action, Permission as Wanted, Resource};

/// Something that a caller may or may not do.
pub(crate) trait Permission: Send + Sync + 'static {
    /// What is asked for; `None` on routes that only ask for a credential and check the rest row by row.
    const WANTED: Option<Wanted>;
    /// What does as well, on the few routes that take either of two.
    const OR: Option<Wanted> = None;

    /// How the permission is written.
    fn name() -> String {
        match (Self::WANTED, Self::OR) {
            (Some(wanted), Some(or)) => format!("{wanted} or {or}"),
            (Some(wanted), None) => wanted.to_string(),
            (None, _) => "any".to_owned(),
        }
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $resource:ident $action:ident;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum $name {}

        impl Permission for $name {
            const WANTED: Option<Wanted> = Some(Wanted::new(Resource::$resource, Action::$action));
        })*
    };
}

/// Any usable credential of the family.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyCredential {}

impl Permission for AnyCredential {
    const WANTED: Option<Wanted> = None;
}

/// Change the provider of a kind through the official route (management-api 12.1).
#[derive(Debug, Clone, Copy)]
pub(crate) enum ModelProvidersSet {}

impl Permission for ModelProvidersSet {
    const WANTED: Option<Wanted> = Some(Wanted::new(Resource::Project, Action::Update));
    const OR: Option<Wanted> = Some(Wanted::new(Resource::ModelProviders, Action::Update));
}

permissions! {
    /// See the organization.
    OrganizationView = Organization View;
    /// Change the organization, its people, groups, roles and keys.
    OrganizationManage = Organization Manage;
    /// See teams.
    TeamView = Team View;
    /// Change and archive teams, and who is in them.
    TeamManage = Team Manage;
    /// See projects.
    ProjectView = Project View;
    /// Create projects.
    ProjectCreate = Project Create;
    /// Change projects and read their keys.
    ProjectUpdate = Project Update;
    /// Archive projects.
    ProjectDelete = Project Delete;
    /// Replace the keys of projects.
    ProjectManage = Project Manage;
    /// See virtual keys.
    VirtualKeysView = VirtualKeys View;
    /// Mint a virtual key.
    VirtualKeysCreate = VirtualKeys Create;
    /// Change, disable and enable a virtual key.
    VirtualKeysUpdate = VirtualKeys Update;
    /// Give a virtual key a new secret.
    VirtualKeysRotate = VirtualKeys Rotate;
    /// Revoke a virtual key.
    VirtualKeysDelete = VirtualKeys Delete;
    /// See what a virtual key spent.
    GatewayUsageView = GatewayUsage View;
    /// See budgets.
    GatewayBudgetsView = GatewayBudgets View;
    /// Create budgets.
    GatewayBudgetsCreate = GatewayBudgets Create;
    /// Change and reset budgets.
    GatewayBudgetsUpdate = GatewayBudgets Update;
    /// Archive budgets.
    GatewayBudgetsDelete = GatewayBudgets Delete;
    /// See cache rules.
    GatewayCacheRulesView = GatewayCacheRules View;
    /// Create cache rules.
    GatewayCacheRulesCreate = GatewayCacheRules Create;
    /// Change cache rules.
    GatewayCacheRulesUpdate = GatewayCacheRules Update;
    /// Archive cache rules.
    GatewayCacheRulesDelete = GatewayCacheRules Delete;
    /// See guardrails.
    GatewayGuardrailsView = GatewayGuardrails View;
    /// Write guardrails.
    GatewayGuardrailsManage = GatewayGuardrails Manage;
    /// See routing policies.
    RoutingPoliciesView = RoutingPolicies View;
    /// Write routing policies.
    RoutingPoliciesManage = RoutingPolicies Manage;
    /// See model providers.
    ModelProvidersView = ModelProviders View;
    /// Change a model provider.
    ModelProvidersUpdate = ModelProviders Update;
    /// Create and delete model providers.
    ModelProvidersManage = ModelProviders Manage;
    /// Read traces and look requests up.
    TracesView = Traces View;
    /// Read the audit log.
    AuditLogView = AuditLog View;
}
