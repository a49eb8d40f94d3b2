//! The words that permissions are made of: resources, actions, and `<resource>:<action>` (domain 4.1).
//!
//! Must never say who holds a permission: that is [`super::roles`] for roles and [`super::Access`] for
//! callers. Start at [`Permission`].

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)*
        }

        impl $name {
            /// Every one of them, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word as it is written in permissions.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Reads the word, case-sensitively. `None` when it is not in the vocabulary.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What a permission is about.
    Resource {
        /// Virtual keys.
        VirtualKeys = "virtualKeys",
        /// Budgets of the gateway.
        GatewayBudgets = "gatewayBudgets",
        /// Providers, in the gateway's spelling; the same as [`Self::ModelProviders`] (C-9).
        GatewayProviders = "gatewayProviders",
        /// Providers, in the platform's spelling.
        ModelProviders = "modelProviders",
        /// Routing policies.
        RoutingPolicies = "routingPolicies",
        /// Guardrails and their attachment to keys.
        GatewayGuardrails = "gatewayGuardrails",
        /// Capture of full payloads.
        GatewayLogs = "gatewayLogs",
        /// What keys spent.
        GatewayUsage = "gatewayUsage",
        /// Cache rules.
        GatewayCacheRules = "gatewayCacheRules",
        /// Webhooks of the organization.
        WebhookEndpoints = "webhookEndpoints",
        /// The spend of the organization.
        GatewaySpend = "gatewaySpend",
        /// The audit log.
        AuditLog = "auditLog",
        /// The organization itself.
        Organization = "organization",
        /// Teams.
        Team = "team",
        /// Projects.
        Project = "project",
        /// Traces.
        Traces = "traces",
        /// Analytics.
        Analytics = "analytics",
        /// Costs in analytics.
        Cost = "cost",
        /// Annotations of traces.
        Annotations = "annotations",
        /// Evaluations.
        Evaluations = "evaluations",
        /// Data sets.
        Datasets = "datasets",
        /// Triggers.
        Triggers = "triggers",
        /// Workflows.
        Workflows = "workflows",
        /// Experiments.
        Experiments = "experiments",
        /// Prompts.
        Prompts = "prompts",
        /// Scenarios.
        Scenarios = "scenarios",
        /// Named secrets of a project.
        Secrets = "secrets",
        /// The playground.
        Playground = "playground",
        /// Governance of the organization.
        Governance = "governance",
        /// Sources that traces are read from.
        IngestionSources = "ingestionSources",
        /// Rules that look for anomalies.
        AnomalyRules = "anomalyRules",
        /// Exports for auditors.
        ComplianceExport = "complianceExport",
        /// The activity monitor.
        ActivityMonitor = "activityMonitor",
        /// Tools that the organization publishes to its people.
        AiTools = "aiTools",
        /// Operation of the platform; nobody can be granted it.
        Ops = "ops",
        /// The assistant.
        Langy = "langy",
    }
}

words! {
    /// What is done to a resource.
    Action {
        /// See it.
        View = "view",
        /// Make a new one.
        Create = "create",
        /// Change it.
        Update = "update",
        /// Take it away.
        Delete = "delete",
        /// All of it but sharing and the personal things of others.
        Manage = "manage",
        /// Publish it beyond those who may see it.
        Share = "share",
        /// Give it a new secret.
        Rotate = "rotate",
        /// Attach it to something.
        Attach = "attach",
        /// Detach it from something.
        Detach = "detach",
        /// See what belongs to other people alone.
        ViewOtherPersonal = "viewOtherPersonal",
    }
}

impl Action {
    /// Whether `manage` includes this action.
    #[must_use]
    pub const fn within_manage(self) -> bool {
        match self {
            Self::View
            | Self::Create
            | Self::Update
            | Self::Delete
            | Self::Manage
            | Self::Rotate
            | Self::Attach
            | Self::Detach => true,
            Self::Share | Self::ViewOtherPersonal => false,
        }
    }
}

/// One thing that somebody may do, written `<resource>:<action>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// What it is about.
    pub resource: Resource,
    /// What may be done.
    pub action: Action,
}

impl Permission {
    /// The permission to do `action` to `resource`.
    #[must_use]
    pub const fn new(resource: Resource, action: Action) -> Self {
        Self { resource, action }
    }

    /// Reads `<resource>:<action>`: any resource with any action. `None` for everything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (resource, action) = text.split_once(':')?;
        Some(Self::new(
            Resource::parse(resource)?,
            Action::parse(action)?,
        ))
    }

    /// Reads a list of permissions. `None` as soon as one entry is not a permission: such a list is
    /// malformed as a whole (domain 4.3 rule 4).
    pub fn parse_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<Self>> {
        texts.into_iter().map(Self::parse).collect()
    }

    /// Every permission there is, by resource and then by action.
    pub fn all() -> impl Iterator<Item = Self> {
        Resource::ALL.iter().flat_map(|resource| {
            Action::ALL
                .iter()
                .map(|action| Self::new(*resource, *action))
        })
    }

    /// Whether somebody who was granted `granted` may do this: the same permission, or `manage` of the
    /// same resource where the action lies within it. Both spellings of providers are one (C-9).
    #[must_use]
    pub fn satisfied_by(self, granted: Self) -> bool {
        self.resource.canonical() == granted.resource.canonical()
            && (self.action == granted.action
                || (granted.action == Action::Manage && self.action.within_manage()))
    }

    /// Whether this is `other`, be it in the other spelling (C-9).
    #[must_use]
    pub fn same_as(self, other: Self) -> bool {
        self.action == other.action && self.resource.canonical() == other.resource.canonical()
    }
}

impl Resource {
    /// One spelling of a resource that has two.
    const fn canonical(self) -> Self {
        match self {
            Self::GatewayProviders => Self::ModelProviders,
            other => other,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.as_str(), self.action.as_str())
    }
}
