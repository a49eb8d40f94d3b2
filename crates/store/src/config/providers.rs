//! Reading model providers.

use lw_core::{ModelProviderId, OrganizationId};

use super::{Cursor, Page};
use crate::StoreError;
use crate::rows::{ModelProvider, Scope};

/// Which providers are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct ModelProviderFilter {
    /// Only this kind: `openai`.
    pub provider: Option<String>,
    /// Only those with at least one of these scope rows; `None` is all.
    pub scopes: Option<Vec<Scope>>,
}

/// Model providers. Errors: see [`super::ConfigStore`].
pub trait ModelProviders {
    /// A provider of an organization.
    fn model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
    ) -> Result<Option<ModelProvider>, StoreError>;

    /// Providers of an organization, newest first.
    fn model_providers(
        &self,
        organization: &OrganizationId,
        filter: &ModelProviderFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<ModelProvider>, StoreError>;

    /// Enabled, dispatchable providers that are reachable from `scopes`, in dispatch order (domain 9,
    /// steps 1 and 2 without a policy). Scopes of another organization reach nothing.
    fn reachable_providers(
        &self,
        organization: &OrganizationId,
        scopes: &[Scope],
    ) -> Result<Vec<ModelProvider>, StoreError>;
}
