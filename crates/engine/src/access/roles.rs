//! What each role grants, as one table (domain 4.3 and 4.4).
//!
//! Everything that is said of a resource is said in `row`: who gets which action, whether only the
//! organization can grant it, which actions the role editor offers. Must never look at where a binding
//! applies; that is [`super::Level::covers`]. Start at `row` and `granted`.

use super::vocabulary::{Action, Permission, Resource};
use Action::{
    Attach, Create, Delete, Detach, Manage, Rotate, Share, Update, View, ViewOtherPersonal,
};

/// A role that a binding gives (domain 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the scope.
    Admin,
    /// Works in the scope.
    Member,
    /// Looks at the scope.
    Viewer,
    /// What a list of permissions says.
    Custom,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = &[Self::Admin, Self::Member, Self::Viewer, Self::Custom];

    /// The role as it is written: upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Member => "MEMBER",
            Self::Viewer => "VIEWER",
            Self::Custom => "CUSTOM",
        }
    }

    /// Reads a role, case-sensitively.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }
}

/// Who can grant a resource at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    /// Bindings of every level.
    Nobody,
    /// Bindings of the organization only (domain 4.3 rule 3).
    Organization,
    /// No binding.
    Platform,
}

/// One resource: the lowest role that gets each action. A role has what the roles before it have.
#[derive(Debug, Clone, Copy)]
struct Row {
    reserve: Reserve,
    /// What MEMBER and VIEWER have at the organization.
    everyone: &'static [Action],
    /// What VIEWER has at a team or project.
    viewer: &'static [Action],
    /// What MEMBER has there beyond VIEWER.
    member: &'static [Action],
    /// What ADMIN has there beyond MEMBER.
    admin: &'static [Action],
    /// What only ADMIN at the organization has.
    organization: &'static [Action],
}

const fn shared(
    viewer: &'static [Action],
    member: &'static [Action],
    admin: &'static [Action],
) -> Row {
    Row {
        reserve: Reserve::Nobody,
        everyone: &[],
        viewer,
        member,
        admin,
        organization: &[],
    }
}

const fn exclusive(everyone: &'static [Action], organization: &'static [Action]) -> Row {
    Row {
        reserve: Reserve::Organization,
        everyone,
        viewer: &[],
        member: &[],
        admin: &[],
        organization,
    }
}

/// The table.
const fn row(resource: Resource) -> Row {
    match resource {
        Resource::VirtualKeys => shared(
            &[View],
            &[Create, Update, Rotate],
            &[Delete, Manage, ViewOtherPersonal],
        ),
        Resource::GatewayBudgets | Resource::GatewayCacheRules => {
            shared(&[View], &[], &[Create, Update, Delete, Manage])
        }
        Resource::GatewayProviders | Resource::ModelProviders => {
            shared(&[View], &[], &[Update, Manage])
        }
        Resource::RoutingPolicies | Resource::Team => shared(&[View], &[], &[Manage]),
        Resource::GatewayGuardrails => shared(&[View], &[], &[Attach, Detach, Manage]),
        // To capture more than the organization's default is for the organization to allow.
        Resource::GatewayLogs => Row {
            organization: &[Manage],
            ..shared(&[View], &[], &[])
        },
        Resource::AuditLog | Resource::GatewayUsage => shared(&[View], &[], &[]),
        Resource::Traces => shared(&[View], &[Create, Update, Share], &[]),
        Resource::Project => shared(&[View], &[Create, Update], &[Delete, Manage]),
        Resource::Analytics
        | Resource::Cost
        | Resource::Annotations
        | Resource::Evaluations
        | Resource::Datasets
        | Resource::Triggers
        | Resource::Workflows
        | Resource::Experiments
        | Resource::Prompts
        | Resource::Scenarios
        | Resource::Secrets
        | Resource::Playground
        | Resource::Langy => shared(
            &[View],
            &[Create, Update],
            &[Delete, Manage, Share, ViewOtherPersonal],
        ),
        Resource::WebhookEndpoints | Resource::GatewaySpend => exclusive(&[], &[View, Manage]),
        Resource::Organization => exclusive(&[View], &[Delete, Manage]),
        Resource::AiTools => exclusive(&[View], &[Create, Update, Delete, Manage]),
        Resource::Governance
        | Resource::IngestionSources
        | Resource::AnomalyRules
        | Resource::ComplianceExport
        | Resource::ActivityMonitor => exclusive(&[], &[View, Create, Update, Delete, Manage]),
        Resource::Ops => Row {
            reserve: Reserve::Platform,
            ..shared(&[], &[], &[])
        },
    }
}

/// All that a lite member may do, at the teams and projects the member is bound to (domain 4.4).
const LITE: [(Resource, Action); 14] = [
    (Resource::Project, View),
    (Resource::Analytics, View),
    (Resource::Traces, View),
    (Resource::Annotations, View),
    (Resource::Annotations, Create),
    (Resource::Annotations, Update),
    (Resource::Evaluations, View),
    (Resource::Datasets, View),
    (Resource::Workflows, View),
    (Resource::Experiments, View),
    (Resource::Prompts, View),
    (Resource::Scenarios, View),
    (Resource::Secrets, View),
    (Resource::Team, View),
];

impl Resource {
    /// Whether only a binding at the organization can grant it (domain 4.3 rule 3).
    #[must_use]
    pub const fn organization_exclusive(self) -> bool {
        matches!(row(self).reserve, Reserve::Organization)
    }

    /// Whether any binding can grant it; `ops` belongs to the platform.
    #[must_use]
    pub const fn grantable(self) -> bool {
        !matches!(row(self).reserve, Reserve::Platform)
    }

    /// The actions that mean something for it, in the order of [`Action::ALL`].
    #[must_use]
    pub fn actions(self) -> Vec<Action> {
        let Row {
            reserve: _,
            everyone,
            viewer,
            member,
            admin,
            organization,
        } = row(self);
        let columns = [everyone, viewer, member, admin, organization];
        let mut actions: Vec<Action> = columns.concat();
        actions.sort_unstable();
        actions.dedup();
        actions
    }
}

/// What a custom role can list: each grantable resource with the actions that mean something for it.
pub fn vocabulary() -> impl Iterator<Item = (Resource, Vec<Action>)> {
    Resource::ALL
        .iter()
        .filter(|resource| resource.grantable())
        .map(|resource| (*resource, resource.actions()))
}

/// Whether a binding grants `wanted` where it applies. `listed` is the list of a CUSTOM role; one that
/// is missing or empty makes the binding a VIEWER's.
pub(super) fn granted(
    role: Role,
    listed: Option<&[Permission]>,
    at_organization: bool,
    wanted: Permission,
) -> bool {
    let Row {
        reserve,
        everyone,
        viewer,
        member,
        admin,
        organization: _,
    } = row(wanted.resource);
    match reserve {
        Reserve::Nobody => {}
        Reserve::Organization if at_organization => {}
        Reserve::Organization | Reserve::Platform => return false,
    }
    let within = |columns: &[&[Action]]| {
        columns
            .iter()
            .copied()
            .flatten()
            .any(|action| wanted.satisfied_by(Permission::new(wanted.resource, *action)))
    };
    match (role, listed) {
        (Role::Custom, Some(listed)) if !listed.is_empty() => {
            listed.iter().any(|granted| wanted.satisfied_by(*granted))
        }
        (Role::Admin, _) if at_organization => true,
        (Role::Member | Role::Viewer | Role::Custom, _) if at_organization => within(&[everyone]),
        (Role::Viewer | Role::Custom, _) => within(&[viewer]),
        (Role::Member, _) => within(&[viewer, member]),
        (Role::Admin, _) => within(&[viewer, member, admin]),
    }
}

/// Whether a lite member has `wanted` at a team or project that some binding names.
pub(super) fn lite(wanted: Permission) -> bool {
    LITE.iter()
        .any(|(resource, action)| wanted == Permission::new(*resource, *action))
}
