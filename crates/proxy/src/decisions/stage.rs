//! The stages of the pipeline as decisions name them (data-plane 8).

use lw_core::{Code, Error};
use lw_engine::rules::Dimension;

/// A stage, in the order in which requests meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Whose request it is.
    Authentication,
    /// What it says.
    Body,
    /// The key's ceilings.
    RateLimit,
    /// What its header says of the prompt cache.
    CacheHeader,
    /// Rules on tools.
    PolicyTools,
    /// Rules on MCP servers.
    PolicyMcp,
    /// Rules on URLs.
    PolicyUrls,
    /// Which model is meant, and who has it.
    Model,
    /// Rules on models.
    PolicyModels,
    /// What is done about the prompt cache.
    Cache,
    /// Budgets.
    Budget,
    /// Guardrails.
    Guardrail,
    /// Who may be asked.
    Candidates,
    /// One call to a provider.
    Attempt,
}

impl Stage {
    /// The name in the record.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Body => "body",
            Self::RateLimit => "rate_limit",
            Self::PolicyTools => "policy_tools",
            Self::PolicyMcp => "policy_mcp",
            Self::PolicyUrls => "policy_urls",
            Self::Model => "model",
            Self::PolicyModels => "policy_models",
            Self::CacheHeader | Self::Cache => "cache",
            Self::Budget => "budget",
            Self::Guardrail => "guardrail",
            Self::Candidates => "candidates",
            Self::Attempt => "attempt",
        }
    }

    /// What the rules of the stage are about.
    pub(crate) const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::PolicyTools => Some(Dimension::Tools),
            Self::PolicyMcp => Some(Dimension::Mcp),
            Self::PolicyUrls => Some(Dimension::Urls),
            Self::PolicyModels => Some(Dimension::Models),
            _ => None,
        }
    }

    const fn of_dimension(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Tools => Self::PolicyTools,
            Dimension::Mcp => Self::PolicyMcp,
            Dimension::Urls => Self::PolicyUrls,
            Dimension::Models => Self::PolicyModels,
        }
    }

    /// The stage that refuses with this error. `dispatched`: a candidate had been chosen.
    pub(crate) fn of(error: &Error, dispatched: bool) -> Self {
        let dimension = || {
            let name = error.meta("dimension")?.as_str()?;
            Dimension::ALL.into_iter().find(|one| one.name() == name)
        };
        match error.code() {
            Code::InvalidApiKey
            | Code::VirtualKeyRevoked
            | Code::VirtualKeyDisabled
            | Code::VirtualKeyExpired
            | Code::PermissionDenied
            | Code::AuthUpstreamUnavailable => Self::Authentication,
            Code::KeyRateLimitExceeded => Self::RateLimit,
            Code::CacheOverrideInvalid => Self::CacheHeader,
            Code::ToolNotAllowed
            | Code::UrlNotAllowed
            | Code::ModelNotAllowed
            | Code::PolicyRulesInvalidRegex => dimension().map_or(Self::Model, Self::of_dimension),
            Code::MissingModel | Code::NoProviderConfigured => Self::Model,
            Code::EndUserRequired
            | Code::BudgetExceeded
            | Code::BudgetUnavailable
            | Code::ModelUnpriced => Self::Budget,
            Code::GuardrailBlocked
            | Code::StreamChunkBlocked
            | Code::GuardrailUpstreamUnavailable => Self::Guardrail,
            Code::CircuitOpen | Code::ProviderRateLimitExceeded | Code::ChainExhausted => {
                Self::Candidates
            }
            _ if dispatched => Self::Attempt,
            _ => Self::Body,
        }
    }
}
