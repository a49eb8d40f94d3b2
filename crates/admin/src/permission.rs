//! The permissions that routes ask for, each a type (domain 4.1).
//!
//! A type rather than a text, because a service function that takes `&Permit<VirtualKeysRotate>` cannot
//! be reached through a route that checked something else. Must never decide who holds a permission:
//! that is [`crate::caller`]. Start at [`Permission`].

/// Something that a caller may or may not do.
pub(crate) trait Permission: Send + Sync + 'static {
    /// `<resource>:<action>`.
    const NAME: &'static str;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum $name {}

        impl Permission for $name {
            const NAME: &'static str = $text;
        })*
    };
}

permissions! {
    /// See the organization.
    OrganizationView = "organization:view";
    /// See teams.
    TeamView = "team:view";
    /// See projects.
    ProjectView = "project:view";
    /// See virtual keys.
    VirtualKeysView = "virtualKeys:view";
    /// Mint a virtual key.
    VirtualKeysCreate = "virtualKeys:create";
    /// Change, disable and enable a virtual key.
    VirtualKeysUpdate = "virtualKeys:update";
    /// Give a virtual key a new secret.
    VirtualKeysRotate = "virtualKeys:rotate";
    /// Revoke a virtual key.
    VirtualKeysDelete = "virtualKeys:delete";
    /// See what a virtual key spent.
    GatewayUsageView = "gatewayUsage:view";
    /// See model providers.
    ModelProvidersView = "modelProviders:view";
    /// Change a model provider.
    ModelProvidersUpdate = "modelProviders:update";
    /// Create and delete model providers.
    ModelProvidersManage = "modelProviders:manage";
    /// Read traces and look requests up.
    TracesView = "traces:view";
}
