//! What governance costs: a key with everything configured beside one with nothing, in one process.
//!
//! Budgets and cache rules of an organization hold for all of its keys, so the two keys are of two
//! organizations; apart from what governs they are alike. [`set_up`] asks the gateway itself whether each
//! part applies, because a key that is governed by less would look cheap. Must never measure a governed key
//! that has not been seen to be governed. The figures are in [`cost`].

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::manage::{Api, text};
use super::rig::{MOCK_KEY, ORGANIZATION};
use super::scenario::{MODEL, Scenario, judged_body};

pub(crate) mod cost;

const KEYS: &str = "/api/gateway/v1/virtual-keys";
/// The organization of the plain key.
const PLAIN: &str = "plain";
/// Budgets of the governed key: one for each of these.
const BUDGETS: usize = 5;
/// Providers of its routing policy.
const PROVIDERS: usize = 2;
/// More than a run can spend or send.
const LIMIT_USD: &str = "1000000000";
const LIMIT: u64 = 1_000_000_000_000;

/// The keys that are compared.
pub(crate) struct Pair {
    /// The secret of the key that nothing governs.
    pub(crate) plain: String,
    pub(crate) governed: Governed,
}

/// The key that much governs.
pub(crate) struct Governed {
    id: String,
    pub(crate) secret: String,
}

/// Makes both keys, and insists that one is governed and the other is not. `api`: the administrator of the
/// organization that is to be governed. `instance`: may make organizations.
pub(crate) async fn set_up(
    api: &Api<'_>,
    instance: &Api<'_>,
    provider: &str,
) -> anyhow::Result<Pair> {
    let made = json!({"name": PLAIN, "slug": PLAIN});
    let made = instance.post("/api/organizations", &made).await?;
    let other = api.of(text(&made, "/adminApiKey/token")?);

    let tenant = Tenant::make(&other, PLAIN, provider).await?;
    let plain = json!({"name": "plain", "scopes": tenant.scopes()});
    let plain = Governed::of(&other.post(KEYS, &plain).await?)?;
    let found = Found::of(&other, &plain).await?;
    let nothing = Found {
        limited: false,
        ruled: false,
        budgets: 0,
        // Without a policy and a mode the first provider is all.
        providers: 1,
    };
    ensure!(found == nothing, "the plain key is governed: {found:?}");

    let tenant = Tenant::make(api, ORGANIZATION, provider).await?;
    let governed = govern(api, &tenant).await?;
    let found = Found::of(api, &governed).await?;
    let everything = Found {
        limited: true,
        ruled: true,
        budgets: BUDGETS,
        providers: PROVIDERS,
    };
    ensure!(
        found == everything,
        "the governed key lacks something: {found:?}"
    );
    Ok(Pair {
        plain: plain.secret,
        governed,
    })
}

/// Where a key is: the same in both organizations.
struct Tenant {
    team: String,
    project: String,
    providers: Vec<String>,
}

impl Tenant {
    async fn make(api: &Api<'_>, organization: &str, base_url: &str) -> anyhow::Result<Self> {
        let team = api.post("/api/teams", &json!({"name": "bench"})).await?;
        let team = text(&team, "/id")?.to_owned();
        let project = json!({
            "name": "bench", "language": "other", "framework": "other", "teamId": team,
        });
        let project = api.post("/api/projects", &project).await?;
        let mut providers = Vec::new();
        for place in 0..PROVIDERS {
            let row = json!({
                "provider": "openai", "name": format!("mock {place}"),
                "scopes": [{"scope_type": "organization", "scope_id": organization}],
                "custom_keys": {"OPENAI_API_KEY": MOCK_KEY, "OPENAI_BASE_URL": base_url},
            });
            let made = api.post("/api/gateway/v1/model-providers", &row).await?;
            providers.push(text(&made, "/model_provider/id")?.to_owned());
        }
        Ok(Self {
            team,
            project: text(&project, "/id")?.to_owned(),
            providers,
        })
    }

    fn scopes(&self) -> Value {
        json!([{"scope_type": "project", "scope_id": self.project}])
    }
}

/// Makes a key with all that can be configured without a third party, all of it high enough to let
/// everything pass.
async fn govern(api: &Api<'_>, tenant: &Tenant) -> anyhow::Result<Governed> {
    let policy = json!({
        "name": "bench", "model_provider_ids": tenant.providers,
        "scopes": [{"scope_type": "organization", "scope_id": ORGANIZATION}],
        "policy_rules": policy_rules(),
    });
    let policy = api
        .post("/api/gateway/v1/routing-policies", &policy)
        .await?;
    let rule = json!({
        "name": "bench", "matchers": {"model": "claude-*"}, "action": {"mode": "disable"},
    });
    api.post("/api/gateway/v1/cache-rules", &rule).await?;
    let members = api.get("/api/organization/members").await?;
    let person = text(&members, "/members/0/userId")?;
    let key = json!({
        "name": "governed", "scopes": tenant.scopes(), "principal_user_id": person,
        "routing_policy_id": text(&policy, "/routing_policy/id")?,
        "config": {
            "rateLimits": {"rpm": LIMIT, "tpm": LIMIT, "rpd": LIMIT, "concurrent": LIMIT},
            "policyRules": key_rules(),
        },
    });
    let key = Governed::of(&api.post(KEYS, &key).await?)?;
    let scopes: [Value; BUDGETS] = [
        json!({"kind": "organization", "organization_id": ORGANIZATION}),
        json!({"kind": "team", "team_id": tenant.team}),
        json!({"kind": "project", "project_id": tenant.project}),
        json!({"kind": "virtual_key", "virtual_key_id": key.id}),
        json!({"kind": "principal", "principal_user_id": person}),
    ];
    for scope in scopes {
        let budget = json!({
            "scope": scope, "name": "bench", "window": "month", "limit_usd": LIMIT_USD,
        });
        api.post("/api/gateway/v1/budgets", &budget).await?;
    }
    Ok(key)
}

/// Six rules that refuse, none of them what the bench sends.
fn policy_rules() -> Value {
    json!({
        "tools": {"deny": ["^shell", "(?i)exec(ute)?_", "^delete_.*"], "allow": null},
        "urls": {
            "deny": [r"^https?://10\.", r"^https?://[^/]*\.internal(/|$)", r"(?i)[?&]token="],
            "allow": null,
        },
    })
}

/// Four more: two that refuse, and two of which one must match.
fn key_rules() -> Value {
    json!({
        "models": {
            "deny": ["^openai/gpt-3", "-preview$"],
            "allow": ["^openai/gpt-5", "^openai/gpt-4o"],
        },
    })
}

impl Governed {
    fn of(made: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            id: text(made, "/virtual_key/id")?.to_owned(),
            secret: text(made, "/secret")?.to_owned(),
        })
    }

    /// Says what is wrong when not each budget was charged, and all of them the same.
    pub(crate) async fn check_spent(&self, api: &Api<'_>) -> anyhow::Result<Option<String>> {
        let answer = api.get(&format!("{KEYS}/{}/budgets", self.id)).await?;
        let rows = answer.get("data").and_then(Value::as_array);
        let spent = |row: &Value| row.get("spent_nano_usd").and_then(Value::as_i64);
        let spent: Vec<_> = rows.context("no budgets")?.iter().map(spent).collect();
        let first = spent.first().copied().flatten().unwrap_or_default();
        let same = spent.iter().all(|spent| *spent == Some(first));
        let right = spent.len() == BUDGETS && same && first > 0;
        Ok((!right).then(|| format!("the budgets of the governed key were charged {spent:?}")))
    }
}

/// What the gateway says that it looks at for a key.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    limited: bool,
    ruled: bool,
    budgets: usize,
    providers: usize,
}

impl Found {
    /// Asks the gateway to explain the request of the bench.
    async fn of(api: &Api<'_>, key: &Governed) -> anyhow::Result<Self> {
        let scenario = Scenario::Governance;
        let body = judged_body(scenario.request_bytes(), scenario.answer(), MODEL);
        let question = json!({"body": String::from_utf8(body)?});
        let path = format!("{KEYS}/{}/check-request", key.id);
        Self::read(&api.post(&path, &question).await?)
    }

    fn read(explained: &Value) -> anyhow::Result<Self> {
        let list = |name: &str| {
            let list = explained.get(name).and_then(Value::as_array);
            list.with_context(|| format!("no {name} in {explained}"))
        };
        let steps = list("steps")?;
        let passed = |stage: &str| {
            let is = |step: &&Value, name, value| step.get(name).is_some_and(|got| got == value);
            let all = steps.iter().filter(|step| is(step, "stage", stage));
            all.filter(|step| is(step, "outcome", "pass")).count()
        };
        Ok(Self {
            limited: passed("rate_limit") > 0,
            ruled: passed("policy") > 0,
            budgets: passed("budget"),
            providers: list("would_dispatch")?.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_rules_are_configured() {
        let count = |rules: &Value| -> usize {
            let sets = rules.as_object().unwrap().values();
            let lists = sets.flat_map(|set| [&set["deny"], &set["allow"]]);
            lists.filter_map(Value::as_array).map(Vec::len).sum()
        };
        assert_eq!(count(&policy_rules()) + count(&key_rules()), 10);
    }

    #[test]
    fn only_what_passes_counts_as_looked_at() {
        let step = |stage, outcome| json!({"stage": stage, "outcome": outcome, "detail": ""});
        let explained = json!({
            "steps": [
                step("rate_limit", "skip"), step("policy", "pass"), step("budget", "pass"),
                step("budget", "warn"), step("budget", "pass"),
            ],
            "would_dispatch": [{}, {}], "refusal": null,
        });
        let found = Found {
            limited: false,
            ruled: true,
            budgets: 2,
            providers: 2,
        };
        assert_eq!(Found::read(&explained).unwrap(), found);
        assert!(Found::read(&json!({"steps": []})).is_err());
    }
}
