//! What governs a key's requests, compiled with its bundle: ceilings, circuits, budgets.
//!
//! Live values (levels, circuits, balances) are shared by all bundles that name them; this holds the ways to
//! them, so that a request looks nothing up. Compiled on lookup threads: it reads the ledger. Start at
//! [`Governed::compile`].

use std::sync::Arc;

use lw_core::{Clock, ModelProviderId, UnixMicros};
use lw_crypto::Sealer;
use lw_engine::budget_scope::{TeamRule, bucket_id};
use lw_engine::cache_rule::{CacheMode, CacheRules, KeyFacts, StoredRule};
use lw_engine::limit::Ceilings;
use lw_engine::rules::Rules;
use lw_governor::books::{Account, Accounts, Books};
use lw_governor::breakers::{Breakers, SharedBreaker};
use lw_governor::limits::Subject;
use lw_governor::spender::applied;
use lw_store::StoreError;
use lw_store::bundle::{KeyRecord, KeySource};
use lw_store::rows::{Budget, Enforcement, OnBreach, RateLimit};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::Value;

use crate::bundle::CompileError;
use crate::guardrail::{Attachment, Guards};
use crate::lane::Lane;

/// End users of a key whose accounts are remembered.
const END_USERS: usize = 10_000;

/// The live values of the process, and how they are reached.
#[derive(Clone)]
pub struct Live {
    /// Circuits of credentials.
    pub breakers: Arc<Breakers>,
    /// Balances of budgets.
    pub books: Arc<Books>,
    /// Whether people's keys count toward their teams.
    pub team_rule: TeamRule,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("breakers", &self.breakers)
            .field("books", &self.books)
            .finish_non_exhaustive()
    }
}

/// What a key's own configuration says about its governance (domain 7.5).
#[derive(Debug, Default)]
pub struct OwnSettings {
    /// Ceilings.
    pub rate_limits: RateLimit,
    /// `policyRules` as stored.
    pub policy_rules: Option<Value>,
    /// Its cache mode.
    pub cache: OwnCache,
    /// `guardrailAttachments`.
    pub guardrails: Vec<Attachment>,
    /// Tags.
    pub tags: Vec<String>,
}

/// `cache` of a key's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnCache {
    /// `respect`, `force`, `disable`, `auto`.
    pub mode: Option<String>,
    /// Lifetime of what is forced, in seconds.
    pub ttl_s: Option<u64>,
}

/// A subject and its ceilings.
#[derive(Debug, Clone)]
pub struct Limited {
    /// Whose.
    pub subject: Subject,
    /// What holds for it.
    pub ceilings: Ceilings,
}

/// What governs calls to one provider of a key.
#[derive(Debug)]
pub struct GovernedLane {
    /// The provider's own ceilings.
    pub limited: Limited,
    /// The circuit of its credential.
    pub breaker: Arc<SharedBreaker>,
    /// The budgets that a call to it counts toward; those of end users are not among them.
    pub accounts: Accounts,
    /// Their buckets as spool and ledger write them: a JSON list, or nothing.
    pub buckets: String,
}

/// A budget of which each end user has an allowance.
#[derive(Debug)]
pub struct Template {
    /// The budget.
    pub budget: Budget,
    seen: Cache<Box<str>, Arc<Account>>,
}

/// What governs a key's requests. See the module.
#[derive(Debug)]
pub struct Governed {
    /// The key's own ceilings.
    pub key: Limited,
    /// By the bundle's lanes.
    pub lanes: Vec<GovernedLane>,
    /// All accounts of the key, those of single providers too.
    pub accounts: Accounts,
    /// Budgets for each end user: a request must name one.
    pub templates: Vec<Template>,
    /// Rules on tools, MCP servers, URLs and models: the key's and its policy's.
    pub rules: Rules,
    /// Rules on the provider's prompt cache that may apply to the key.
    pub cache_rules: CacheRules,
    /// Guardrails of the key.
    pub guards: Arc<Guards>,
    /// The person behind a personal key.
    pub principal_id: Option<String>,
    /// The key's own cache mode.
    pub cache_default: Option<CacheMode>,
    /// Whether a budget that refuses is kept exactly, so that a model without a price cannot be asked.
    strict: Vec<Option<ModelProviderId>>,
    /// Whether a budget that refuses is kept softly: a stream may outgrow what it holds there.
    pub soft: bool,
    books: Arc<Books>,
}

impl Governed {
    /// Of a key that reaches `lanes`.
    ///
    /// # Errors
    /// The ledger or a stored budget cannot be read.
    pub(crate) fn compile(
        record: &KeyRecord,
        lanes: &[(Arc<Lane>, RateLimit)],
        own: &OwnSettings,
        sealer: &Sealer,
        live: &Live,
    ) -> Result<Self, CompileError> {
        let now = live.clock.now();
        let mut accounts = Vec::new();
        let mut templates = Vec::new();
        let mut strict = Vec::new();
        let mut soft = false;
        for each in applied(record, live.team_rule) {
            let budget = each.budget;
            match (budget.on_breach, budget.enforcement) {
                (OnBreach::Block, Enforcement::Strict) => strict.push(budget.provider_key.clone()),
                (OnBreach::Block, Enforcement::Soft) => soft = true,
                (OnBreach::Warn, _) => {}
            }
            if each.template {
                templates.push(Template {
                    budget: budget.clone(),
                    seen: Cache::new(END_USERS),
                });
                continue;
            }
            let account = live.books.account(budget, each.member, None, now);
            accounts
                .push(account.map_err(|error| CompileError::Ledger(budget.id.to_string(), error))?);
        }
        let of_lane = |(lane, limit): &(Arc<Lane>, RateLimit)| {
            let counts =
                |account: &&Arc<Account>| account.provider().is_none_or(|id| *id == lane.id);
            let accounts: Accounts = accounts.iter().filter(counts).cloned().collect();
            GovernedLane {
                limited: Limited {
                    subject: Subject::Provider(lane.id.clone()),
                    ceilings: ceilings(*limit),
                },
                breaker: live.breakers.breaker(&lane.id, now),
                buckets: buckets(&accounts),
                accounts,
            }
        };
        Ok(Self {
            key: Limited {
                subject: Subject::Key(record.key.id.clone()),
                ceilings: ceilings(own.rate_limits),
            },
            lanes: lanes.iter().map(of_lane).collect(),
            accounts: accounts.iter().cloned().collect(),
            templates,
            strict,
            soft,
            guards: Arc::new(Guards::compile(&record.guardrails, &own.guardrails, sealer)),
            principal_id: record
                .key
                .principal_user_id
                .as_ref()
                .map(ToString::to_string),
            rules: rules(record, own),
            cache_rules: cache_rules(record, &own.tags),
            cache_default: own
                .cache
                .mode
                .as_deref()
                .and_then(|mode| CacheMode::of_key(mode, own.cache.ttl_s)),
            books: live.books.clone(),
        })
    }

    /// Whether a call to this provider counts toward a budget that refuses and is kept exactly.
    #[must_use]
    pub fn is_strict_for(&self, provider: &ModelProviderId) -> bool {
        self.strict
            .iter()
            .any(|filter| filter.as_ref().is_none_or(|only| only == provider))
    }
}

impl Template {
    /// The account of an end user, when it is remembered.
    #[must_use]
    pub fn held(&self, end_user: &str) -> Option<Arc<Account>> {
        self.seen.get(end_user)
    }

    /// Reads it. Not on a data thread.
    ///
    /// # Errors
    /// Store or ledger could not be asked.
    pub fn read(
        &self,
        governed: &Governed,
        source: &dyn KeySource,
        end_user: &str,
        now: UnixMicros,
    ) -> Result<Arc<Account>, StoreError> {
        let Budget {
            id,
            target,
            provider_key,
            ..
        } = &self.budget;
        let bucket = bucket_id(target, None, Some(end_user), provider_key.as_ref());
        let boundary = match &bucket {
            Some(bucket) => source.bucket_boundary(id, bucket)?,
            None => None,
        };
        let account = governed
            .books
            .account(&self.budget, end_user, boundary, now)?;
        self.seen.insert(end_user.into(), account.clone());
        Ok(account)
    }
}

/// The rules of the key and of its routing policy. A broken one is told once, here; it refuses requests.
fn rules(record: &KeyRecord, own: &OwnSettings) -> Rules {
    let of_policy = record.policy.as_ref().map(|policy| &policy.policy_rules);
    let rules = Rules::compile(of_policy.into_iter().chain(&own.policy_rules));
    for broken in rules.broken() {
        tracing::error!(
            vk_id = %record.key.id,
            dimension = broken.dimension().name(),
            list = broken.list().name(),
            reason = broken.reason(),
            "policy_rules_compile_failed"
        );
    }
    rules
}

fn cache_rules(record: &KeyRecord, tags: &[String]) -> CacheRules {
    let key = &record.key;
    let facts = KeyFacts {
        id: key.id.as_str(),
        display_prefix: &key.display_prefix,
        tags,
        principal_id: key.principal_user_id.as_ref().map(lw_core::UserId::as_str),
    };
    let rules = record.cache_rules.iter().map(|rule| StoredRule {
        id: rule.id.as_str(),
        priority: rule.priority,
        matchers: &rule.matchers,
        action: &rule.action,
    });
    CacheRules::compile(rules, &facts)
}

fn ceilings(limit: RateLimit) -> Ceilings {
    let RateLimit {
        rpm,
        tpm,
        rpd,
        concurrent,
    } = limit;
    Ceilings {
        rpm,
        tpm,
        rpd,
        concurrent,
    }
}

/// The buckets as a JSON list; nothing for none.
pub(crate) fn buckets(accounts: &Accounts) -> String {
    if accounts.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = accounts.iter().map(|account| account.name()).collect();
    serde_json::to_string(&names).unwrap_or_default()
}
