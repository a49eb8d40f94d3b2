//! The calls of the management API that are timed.
//!
//! Plain data; must never touch a socket. Start at [`Ask`].

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::side::Filled;
use crate::bench::http::Fetched;
use crate::bench::rig::API_KEY;

const KEYS: &str = "/api/gateway/v1/virtual-keys";
const BUDGETS: &str = "/api/gateway/v1/budgets";
const PROVIDERS: &str = "/api/gateway/v1/model-providers";

/// One kind of call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    FirstPage,
    MiddlePage,
    ByExternalId,
    OfProject,
    OfTeam,
    Get,
    Create,
    CreateOnce,
    FirstBudgets,
    BudgetsOfKey,
    GetBudget,
    CreateBudget,
    FirstProviders,
    MiddleProviders,
    GetProvider,
    CreateProvider,
}

/// A call as it is sent.
pub(super) struct Sent {
    pub(super) path: String,
    pub(super) bearer: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Ask {
    pub(super) const ALL: [Self; 16] = [
        Self::FirstPage,
        Self::MiddlePage,
        Self::ByExternalId,
        Self::OfProject,
        Self::OfTeam,
        Self::Get,
        Self::Create,
        Self::CreateOnce,
        Self::FirstBudgets,
        Self::BudgetsOfKey,
        Self::GetBudget,
        Self::CreateBudget,
        Self::FirstProviders,
        Self::MiddleProviders,
        Self::GetProvider,
        Self::CreateProvider,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FirstPage => "keys: first page",
            Self::MiddlePage => "keys: page in the middle",
            Self::ByExternalId => "keys: by external id",
            Self::OfProject => "keys: first page, in a project",
            Self::OfTeam => "keys: first page, caller of one team",
            Self::Get => "keys: get",
            Self::Create => "keys: create",
            Self::CreateOnce => "keys: create, Idempotency-Key",
            Self::FirstBudgets => "budgets: first page",
            Self::BudgetsOfKey => "budgets: of a key",
            Self::GetBudget => "budgets: get",
            Self::CreateBudget => "budgets: create",
            Self::FirstProviders => "providers: first page",
            Self::MiddleProviders => "providers: page in the middle",
            Self::GetProvider => "providers: get",
            Self::CreateProvider => "providers: create",
        }
    }

    pub(super) const fn is_list(self) -> bool {
        matches!(
            self,
            Self::FirstPage
                | Self::MiddlePage
                | Self::ByExternalId
                | Self::OfProject
                | Self::OfTeam
                | Self::FirstBudgets
                | Self::BudgetsOfKey
                | Self::FirstProviders
                | Self::MiddleProviders
        )
    }

    const fn status(self) -> u16 {
        match self {
            Self::Create | Self::CreateOnce | Self::CreateBudget | Self::CreateProvider => 201,
            _ => 200,
        }
    }

    /// The call for the `turn`th time.
    pub(super) fn sent(self, filled: &Filled, turn: usize) -> anyhow::Result<Sent> {
        let key = filled.key(turn)?;
        let one_of = |ids: &'_ [String], what| {
            let id = ids.get(turn % ids.len().max(1)).cloned();
            id.with_context(|| format!("no {what} was told"))
        };
        let provider = one_of(&filled.providers, "provider")?;
        let budget = one_of(&filled.budgets, "budget")?;
        let path = match self {
            Self::FirstPage | Self::OfProject | Self::OfTeam | Self::Create | Self::CreateOnce => {
                KEYS.to_owned()
            }
            Self::MiddlePage => format!("{KEYS}?cursor={}", filled.middle_key),
            Self::ByExternalId => format!("{KEYS}?external_id={}", key.external_id),
            Self::Get => format!("{KEYS}/{}", key.id),
            Self::FirstBudgets | Self::CreateBudget => BUDGETS.to_owned(),
            Self::BudgetsOfKey => format!("{KEYS}/{}/budgets", key.id),
            Self::GetBudget => format!("{BUDGETS}/{budget}"),
            Self::FirstProviders | Self::CreateProvider => PROVIDERS.to_owned(),
            Self::MiddleProviders => format!("{PROVIDERS}?cursor={}", filled.middle_provider),
            Self::GetProvider => format!("{PROVIDERS}/{provider}"),
        };
        let bearer = match self {
            Self::OfTeam => &filled.team_api_key,
            _ => API_KEY,
        };
        let headers = match self {
            Self::OfProject => vec![("X-Project-Id", filled.project.clone())],
            Self::CreateOnce => vec![("Idempotency-Key", format!("scale-bench-{turn}"))],
            _ => Vec::new(),
        };
        let scopes = json!([{"scope_type": "project", "scope_id": filled.project}]);
        let body = match self {
            Self::Create | Self::CreateOnce => {
                Some(json!({"name": format!("new {turn}"), "scopes": scopes}))
            }
            Self::CreateBudget => Some(json!({
                "scope": {"kind": "virtual_key", "virtual_key_id": key.id},
                "name": format!("new {turn}"), "window": "month", "limit_usd": "1000000",
            })),
            Self::CreateProvider => Some(json!({
                "provider": "openai",
                "name": format!("new {turn}"),
                "scopes": scopes,
                "custom_keys": {"OPENAI_API_KEY": "sk-mock"},
            })),
            _ => None,
        };
        Ok(Sent {
            path,
            bearer: bearer.to_owned(),
            headers,
            body,
        })
    }

    /// Insists on a right answer. Returns how many rows a list has.
    pub(super) fn check(self, answer: &Fetched) -> anyhow::Result<Option<usize>> {
        ensure!(
            answer.status == self.status(),
            "{}: {} {}",
            self.name(),
            answer.status,
            answer.snippet()
        );
        if !self.is_list() {
            return Ok(None);
        }
        let body: Value = serde_json::from_slice(&answer.body)?;
        let data = body.get("data").and_then(Value::as_array);
        let rows = data.context("a list without data")?.len();
        ensure!(
            self != Self::ByExternalId || rows == 1,
            "an external id has {rows} keys"
        );
        Ok(Some(rows))
    }
}
