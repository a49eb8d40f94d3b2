//! Counters of what refuses, moves and changes requests (observability 10.2 to 10.4).
//!
//! Counted on the traces thread from what is left of a finished request; only verdicts of guardrails are
//! counted where they fall. Start at [`Governance::finished`].

use lw_core::{BudgetTarget, Code, Error, Fault, UnixMicros};
use lw_engine::cache_rule::CacheMode;
use lw_engine::rules::Dimension;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::by_id::{ById, Labels, OTHER};
use crate::call::Dispatch;
use crate::ended::Ended;
use crate::guardrail::Direction;
use crate::record::Access;

/// Verdicts of guardrails.
const VERDICTS: [&str; 4] = ["allow", "block", "modify", "fail_open"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RejectLabels {
    code: &'static str,
    vk_id: String,
}

impl Labels for RejectLabels {
    fn folded(self) -> Self {
        let vk_id = OTHER.to_owned();
        Self { vk_id, ..self }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DenialLabels {
    dimension: &'static str,
    vk_id: String,
}

impl Labels for DenialLabels {
    fn folded(self) -> Self {
        let vk_id = OTHER.to_owned();
        Self { vk_id, ..self }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyLabels {
    vk_id: String,
}

impl Labels for KeyLabels {
    fn folded(self) -> Self {
        let vk_id = OTHER.to_owned();
        Self { vk_id }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AttemptLabels {
    credential_id: String,
    outcome: &'static str,
}

impl Labels for AttemptLabels {
    fn folded(self) -> Self {
        let credential_id = OTHER.to_owned();
        Self {
            credential_id,
            ..self
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HopLabels {
    from_credential: String,
    to_credential: String,
}

impl Labels for HopLabels {
    fn folded(self) -> Self {
        Self {
            from_credential: OTHER.to_owned(),
            to_credential: OTHER.to_owned(),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CacheRuleLabels {
    rule_id: String,
    mode_applied: &'static str,
}

impl Labels for CacheRuleLabels {
    fn folded(self) -> Self {
        let rule_id = OTHER.to_owned();
        Self { rule_id, ..self }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScopeLabels {
    scope: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DimensionLabels {
    dimension: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerdictLabels {
    direction: &'static str,
    verdict: &'static str,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Governance {
    rejects: ById<RejectLabels>,
    denials: ById<DenialLabels>,
    attempts: ById<AttemptLabels>,
    hops: ById<HopLabels>,
    cache_rules: ById<CacheRuleLabels>,
    grace: ById<KeyLabels>,
    budget_blocks: Family<ScopeLabels, Counter>,
    violations: Family<DimensionLabels, Counter>,
    broken: Family<DimensionLabels, Counter>,
    cache: Family<OutcomeLabels, Counter>,
    verdicts: Family<VerdictLabels, Counter>,
}

impl Governance {
    /// Registers all of them; those of closed sets of labels at 0.
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self {
            rejects,
            denials,
            attempts,
            hops,
            cache_rules,
            grace,
            budget_blocks,
            violations,
            broken,
            cache,
            verdicts,
        } = self;
        registry.register(
            "gateway_client_rejects",
            "Refusals of ours that the caller can mend",
            rejects.family(),
        );
        registry.register(
            "gateway_rate_limit_denied",
            "Requests and attempts over a rate limit",
            denials.family(),
        );
        registry.register(
            "gateway_provider_attempts",
            "Candidates that were tried or passed over",
            attempts.family(),
        );
        registry.register(
            "gateway_fallback_events",
            "Hops that ended in success",
            hops.family(),
        );
        registry.register(
            "gateway_cache_rule_hits",
            "Requests whose cache mode a rule decided",
            cache_rules.family(),
        );
        registry.register(
            "gateway_vk_grace_window_hit",
            "Requests with the secret before a rotation",
            grace.family(),
        );
        registry.register(
            "gateway_budget_blocks",
            "Requests that a budget refused",
            budget_blocks.clone(),
        );
        registry.register(
            "gateway_policy_violations",
            "Requests that a policy rule refused",
            violations.clone(),
        );
        registry.register(
            "gateway_policy_broken",
            "Requests refused because a policy rule cannot be enforced",
            broken.clone(),
        );
        registry.register(
            "gateway_cache_hits",
            "Answers that read the provider's prompt cache, or did not",
            cache.clone(),
        );
        registry.register(
            "gateway_guardrail_verdicts",
            "Verdicts of guardrails",
            verdicts.clone(),
        );
        for scope in BudgetTarget::SCOPES {
            drop(budget_blocks.get_or_create(&ScopeLabels { scope }));
        }
        for dimension in Dimension::ALL.map(Dimension::name) {
            drop(violations.get_or_create(&DimensionLabels { dimension }));
            drop(broken.get_or_create(&DimensionLabels { dimension }));
        }
        for outcome in ["hit", "miss"] {
            drop(cache.get_or_create(&OutcomeLabels { outcome }));
        }
        for direction in Direction::ALL.map(Direction::as_str) {
            for verdict in VERDICTS {
                drop(verdicts.get_or_create(&VerdictLabels { direction, verdict }));
            }
        }
    }

    /// Counts what guardrails came to.
    pub(super) fn verdicts(&self, direction: &'static str, verdict: &'static str, count: u64) {
        if count > 0 {
            let labels = VerdictLabels { direction, verdict };
            self.verdicts.get_or_create(&labels).inc_by(count);
        }
    }

    /// Removes series of ids that were idle for a day.
    pub(super) fn forget_idle(&self, now: UnixMicros) {
        self.rejects.forget_idle(now);
        self.denials.forget_idle(now);
        self.attempts.forget_idle(now);
        self.hops.forget_idle(now);
        self.cache_rules.forget_idle(now);
        self.grace.forget_idle(now);
    }

    /// Counts a finished request.
    pub(super) fn finished(&self, access: &Access, ended: Option<&Ended>) {
        if let Some(error) = &access.refusal {
            self.refused(error, access);
        }
        if let Some(ended) = ended {
            self.walked(ended, access);
            self.cached(ended, access);
        }
    }

    fn refused(&self, error: &Error, access: &Access) {
        let word = |key: &str| error.meta(key).and_then(|value| value.as_str());
        let dimension = || {
            let name = word("dimension")?;
            Dimension::ALL
                .into_iter()
                .map(Dimension::name)
                .find(|one| *one == name)
        };
        let row = error.code().row();
        match error.code() {
            Code::KeyRateLimitExceeded => self.denied(error, access),
            // Counted where it passed a candidate over.
            Code::ProviderRateLimitExceeded => {}
            Code::BudgetExceeded => {
                let scope = BudgetTarget::SCOPES
                    .into_iter()
                    .find(|scope| word("budget_scope") == Some(scope));
                if let Some(scope) = scope {
                    self.budget_blocks
                        .get_or_create(&ScopeLabels { scope })
                        .inc();
                }
            }
            Code::PolicyRulesInvalidRegex => {
                if let Some(dimension) = dimension() {
                    let labels = DimensionLabels { dimension };
                    self.broken.get_or_create(&labels).inc();
                }
            }
            Code::ToolNotAllowed | Code::UrlNotAllowed | Code::ModelNotAllowed => {
                if let Some(dimension) = dimension() {
                    let labels = DimensionLabels { dimension };
                    self.violations.get_or_create(&labels).inc();
                }
            }
            _ => {}
        }
        let limited = matches!(
            error.code(),
            Code::KeyRateLimitExceeded | Code::ProviderRateLimitExceeded
        );
        // An answer that was ended in the middle was no refusal.
        let refused = access.status >= 400;
        if let (Fault::Customer, false, true, Some(key)) =
            (row.fault, limited, refused, &access.vk_id)
        {
            let labels = RejectLabels {
                code: row.name,
                vk_id: key.to_string(),
            };
            self.rejects.count(labels, access.at);
        }
    }

    fn denied(&self, error: &Error, access: &Access) {
        let word = error.meta("dimension").and_then(|value| value.as_str());
        let dimension = lw_engine::limit::Dimension::ALL
            .iter()
            .map(|dimension| dimension.as_str())
            .find(|name| word == Some(name));
        if let (Some(dimension), Some(key)) = (dimension, &access.vk_id) {
            let vk_id = key.to_string();
            self.denials
                .count(DenialLabels { dimension, vk_id }, access.at);
        }
    }

    /// The candidates, those that were passed over too.
    fn walked(&self, ended: &Ended, access: &Access) {
        for tried in &ended.tried {
            if let Some(error) = &tried.why
                && error.code() == Code::ProviderRateLimitExceeded
            {
                self.denied(error, access);
            }
        }
        let credential = |dispatch: &Dispatch| {
            let lane = ended.bundle.lanes.get(dispatch.lane)?;
            Some(lane.id.to_string())
        };
        let mut before = None;
        for (dispatch, _) in ended.walk() {
            let Some(credential_id) = credential(dispatch) else {
                continue;
            };
            let outcome = dispatch.outcome;
            if outcome == "fallback_success"
                && let Some(from_credential) = before.take()
            {
                let labels = HopLabels {
                    from_credential,
                    to_credential: credential_id.clone(),
                };
                self.hops.count(labels, access.at);
            }
            before = Some(credential_id.clone());
            let labels = AttemptLabels {
                credential_id,
                outcome,
            };
            self.attempts.count(labels, access.at);
        }
    }

    fn cached(&self, ended: &Ended, access: &Access) {
        let rule = ended.cache.rule_id.as_deref();
        if let (Some(rule), Some(_)) = (rule, &ended.dispatch) {
            let labels = CacheRuleLabels {
                rule_id: rule.to_owned(),
                mode_applied: mode_applied(ended.cache.mode),
            };
            self.cache_rules.count(labels, access.at);
        }
        let usage = ended.usage.filter(|_| !ended.error && !ended.estimated);
        if let Some(usage) = usage {
            let outcome = if usage.cache_read > 0 { "hit" } else { "miss" };
            self.cache.get_or_create(&OutcomeLabels { outcome }).inc();
        }
        if ended.bundle.grace_until.is_some() {
            let vk_id = ended.bundle.key_id.to_string();
            self.grace.count(KeyLabels { vk_id }, access.at);
        }
    }
}

/// The mode as metrics and spans name it.
const fn mode_applied(mode: CacheMode) -> &'static str {
    match mode {
        CacheMode::Respect => "RESPECT",
        CacheMode::Disable => "DISABLE",
        CacheMode::Force { .. } => "FORCE",
        CacheMode::Auto => "AUTO",
    }
}
