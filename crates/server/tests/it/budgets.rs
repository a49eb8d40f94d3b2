//! Money limits from a caller's request to the administrator's figures (data-plane 15, domain 11 to 13).
//!
//! Every case runs through the real binary: budgets are made over the management API, calls go to a mock
//! provider that is told what to report, and what is asserted is what the caller got, what was dialled, what
//! the ledger holds and what an administrator reads. Amounts are nano-dollars, exact: the prices of the
//! models here are round ([`INPUT`], [`OUTPUT`]), so that every cost can be worked out by hand.
//!
//! Start at [`Stand`]; the zero-overspend test is in [`overspend`].

mod bounds;
mod changes;
mod crowd;
mod end_users;
mod overspend;
mod refusals;
mod restarts;
mod scopes;
mod several;
mod soft;

use lw_core::NanoUsd;
use lw_mock::MockProvider;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Ask, Gateway, Key, ORG, provider};

/// Where chats go.
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// Where budgets are kept.
pub(crate) const BUDGETS: &str = "/api/gateway/v1/budgets";
/// The model that most cases ask for.
pub(crate) const MODEL: &str = "openai/gpt-4-cash";
/// The price of a token that goes in, in nano-dollars.
pub(crate) const INPUT: i64 = 1_000;
/// The price of a token that comes out.
pub(crate) const OUTPUT: i64 = 10_000;
/// The context window of the models.
pub(crate) const WINDOW: i64 = 20_000;
/// The most that the models write.
pub(crate) const MOST: i64 = 4_000;
/// The limit of most budgets: a call or two fit, as each holds a thousand tokens that a provider may add.
pub(crate) const LIMIT: i64 = 2_000_000;

/// A gateway whose prices are known, with the mock as OpenAI, as a second OpenAI and as Anthropic.
pub(crate) struct Stand {
    pub(crate) gateway: Gateway,
    pub(crate) mock: MockProvider,
    /// The first OpenAI.
    pub(crate) openai: String,
    /// The organization's id.
    pub(crate) org: String,
    _prices: TempDir,
}

impl Stand {
    /// With everything at its default.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these variables.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let prices = folder.path().join("prices.json");
        std::fs::write(&prices, prices_file()).expect("a file");
        let mock = provider();
        let mut builder = Gateway::builder()
            .env("LW_PRICES_FILE", prices.to_str().expect("a path"))
            .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0");
        for (name, value) in variables {
            builder = builder.env(name, value);
        }
        let gateway = builder.start();
        let openai = gateway.openai(&mock, "sk-cash-first");
        gateway.anthropic(&mock, "sk-cash-anthropic");
        let org = gateway.api("GET", "/api/organization", None).fine(200)["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        Self {
            gateway,
            mock,
            openai,
            org,
            _prices: folder,
        }
    }

    /// A team with a project in it, named after it; returns their ids.
    pub(crate) fn team(&self, name: &str) -> (String, String) {
        let made = self.post("/api/teams", &json!({ "name": name }), 201);
        let team = id_of(&made);
        let project = json!({
            "name": format!("{name}-app"), "language": "python", "framework": "openai", "teamId": team,
        });
        (team, id_of(&self.post("/api/projects", &project, 201)))
    }

    /// A person of the organization; returns their id.
    pub(crate) fn person(&self, name: &str) -> String {
        let store = rusqlite::Connection::open(self.gateway.data().join("config.db"));
        let store = store.expect("the store");
        store
            .busy_timeout(std::time::Duration::from_secs(10))
            .expect("a setting");
        let id = format!("user_{name}");
        store
            .execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 INSERT INTO users (id, name, created_at) VALUES ('{id}', '{name}', 1);
                 INSERT INTO organization_users (organization_id, user_id, role)
                     VALUES ('{}', '{id}', 'MEMBER');
                 COMMIT;",
                self.org
            ))
            .expect("a person");
        id
    }

    /// A key of the whole organization with these fields as well.
    pub(crate) fn key(&self, fields: Value) -> Key {
        self.gateway.create_key_with(fields)
    }

    /// A key of a team that files its traces in a project.
    pub(crate) fn key_of(&self, team: &str, project: &str) -> Key {
        self.key(json!({
            "scopes": [{"scope_type": "team", "scope_id": team}], "trace_project_id": project,
        }))
    }

    /// A budget of [`LIMIT`] a month for `scope`, with these fields as well; returns its id.
    pub(crate) fn budget(&self, scope: &Value, fields: Value) -> String {
        let mut body = json!({
            "scope": scope, "name": "cap", "window": "month", "limit_usd": usd(LIMIT),
        });
        merge(&mut body, fields);
        id_of(&self.post(BUDGETS, &body, 201)["budget"])
    }

    /// A budget for the whole organization.
    pub(crate) fn org_budget(&self, fields: Value) -> String {
        self.budget(&self.whole(), fields)
    }

    /// The scope of the whole organization.
    pub(crate) fn whole(&self) -> Value {
        json!({"kind": "organization", "organization_id": ORG})
    }

    /// Changes a budget.
    pub(crate) fn patch(&self, budget: &str, body: &Value) {
        let path = format!("{BUDGETS}/{budget}");
        self.gateway.api("PATCH", &path, Some(body)).fine(200);
    }

    /// A budget as an administrator sees it.
    pub(crate) fn shown(&self, budget: &str) -> Value {
        let path = format!("{BUDGETS}/{budget}");
        self.gateway.api("GET", &path, None).fine(200)["budget"].clone()
    }

    /// What an administrator reads as its spend, once the ledger has caught up with this request.
    pub(crate) fn spent_after(&self, budget: &str, request_id: &str) -> i64 {
        self.gateway.book().ended(request_id);
        self.shown(budget)["spent_nano_usd"]
            .as_i64()
            .expect("a figure")
    }

    /// What a call held, once the ledger has caught up with it.
    pub(crate) fn held(&self, answer: &Answer) -> i64 {
        let book = self.gateway.book();
        book.ended(&answer.request_id());
        book.hold(&answer.request_id()).0
    }

    /// A call that costs `nano`, which must be a multiple of [`INPUT`] of at least [`OUTPUT`].
    pub(crate) fn spend(&self, key: &Key, nano: i64) -> Answer {
        self.gateway.call(&costing(key, MODEL, nano))
    }

    /// A call that costs `nano` and is served.
    pub(crate) fn spent(&self, key: &Key, nano: i64) -> Answer {
        let answer = self.spend(key, nano);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer
    }

    /// Checks that nothing is held in a budget, and that it knows of exactly what the ledger has: leaves room
    /// for exactly one small call, and makes it. No other budget may be in its way. The limit is larger
    /// afterwards, and the budget strict.
    pub(crate) fn has_no_hold_left(&self, key: &Key, budget: &str) {
        let small = body(MODEL, Some(10), &json!({}));
        let shown = self.shown(budget);
        let spent = shown["spent_nano_usd"].as_i64().expect("a figure");
        // Limits are whole micro-dollars.
        let fits = (spent + most_of(&small, 10) + 999) / 1_000 * 1_000;
        let limit = |nano: i64| {
            let body = json!({
                "limit_usd": usd(nano), "on_breach": "block", "enforcement": "strict",
            });
            self.patch(budget, &body);
        };
        let ask = Ask::post(CHAT, &key.secret, small);
        limit(fits - 1_000);
        let answer = self.gateway.call(&ask);
        assert_eq!(answer.status(), 402, "spent without a trace: {shown}");
        limit(fits);
        let answer = self.gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{} {shown}", answer.text());
        limit(10 * fits);
        self.gateway.book().ended(&answer.request_id());
    }

    /// A management call that must answer with this status.
    pub(crate) fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        self.gateway.api("POST", path, Some(body)).fine(status)
    }

    /// How many requests the provider has seen.
    pub(crate) fn dialled(&self) -> usize {
        self.mock.requests().len()
    }
}

/// A call that costs `nano` and holds little.
pub(crate) fn costing(key: &Key, model: &str, nano: i64) -> Ask {
    Ask::post(CHAT, &key.secret, body_costing(model, nano))
}

/// Its body.
pub(crate) fn body_costing(model: &str, nano: i64) -> Value {
    let input = (nano - OUTPUT) / INPUT;
    assert_eq!(input * INPUT + OUTPUT, nano, "a cost that can be reported");
    body(
        model,
        Some(1),
        &json!({"usage": {"prompt_tokens": input, "output_tokens": 1}}),
    )
}

/// A chat that the mock answers as told.
pub(crate) fn body(model: &str, cap: Option<i64>, directive: &Value) -> Value {
    let mut body = json!({
        "model": model, "messages": [{"role": "user", "content": format!("[[mock:{directive}]] hi")}],
    });
    if let Some(cap) = cap {
        body["max_tokens"] = cap.into();
    }
    body
}

/// The most that a call with this body may cost when it writes no more than `output`: a byte is a token at
/// most, and a provider may add some of its own.
pub(crate) fn most_of(body: &Value, output: i64) -> i64 {
    let bytes = i64::try_from(body.to_string().len()).expect("a length");
    (bytes + 1_024).min(WINDOW) * INPUT + output * OUTPUT
}

/// Nano-dollars as the management API takes them.
pub(crate) fn usd(nano: i64) -> String {
    NanoUsd(nano).to_string()
}

/// The `id` of a row.
pub(crate) fn id_of(row: &Value) -> String {
    let id = row["id"].as_str();
    id.unwrap_or_else(|| panic!("no id in {row}")).to_owned()
}

/// Adds the fields of one object to another.
pub(crate) fn merge(into: &mut Value, fields: Value) {
    if let (Some(into), Value::Object(fields)) = (into.as_object_mut(), fields) {
        into.extend(fields);
    }
}

fn prices_file() -> String {
    let row = json!({
        "context_window": WINDOW, "max_output": MOST,
        "rates": {"input": usd(INPUT), "output": usd(OUTPUT)},
    });
    let mut models = json!({});
    for (kind, model) in [("openai", "gpt-4-cash"), ("anthropic", "claude-cash-9")] {
        let mut row = row.clone();
        row["provider"] = kind.into();
        models[format!("{kind}/{model}")] = row;
    }
    json!({ "models": models }).to_string()
}

/// Checks everything that a refusal says (data-plane 15.4).
#[track_caller]
pub(crate) fn refused(answer: &Answer, budget: &str, scope: &str, window: &str) -> Value {
    assert_eq!(
        answer.code(),
        (402, "budget_exceeded".to_owned()),
        "{}",
        answer.text()
    );
    let error = answer.json()["error"].clone();
    assert_eq!(error["type"], "budget_exceeded");
    assert_eq!(error["fault"], "customer");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(scope) && message.contains(window),
        "{message}"
    );
    let meta = &error["meta"];
    assert_eq!(
        (
            &meta["budget_id"],
            &meta["budget_scope"],
            &meta["budget_window"]
        ),
        (&json!(budget), &json!(scope), &json!(window)),
        "{error}"
    );
    assert!(
        error["tips"]
            .as_array()
            .is_some_and(|tips| !tips.is_empty()),
        "{error}"
    );
    let by = format!("{scope}:{window}");
    assert_eq!(
        answer.header("x-langwatch-budget-blocked-by"),
        Some(by.as_str())
    );
    assert_eq!(
        answer.header("x-langwatch-handled-error"),
        Some("budget_exceeded")
    );
    assert_eq!(answer.header("x-langwatch-provider"), None);
    let wait: Option<u64> = answer
        .header("retry-after")
        .map(|text| text.parse().expect("whole seconds"));
    let longest = match window {
        "minute" => Some(60),
        "hour" => Some(3_600),
        "day" => Some(86_400),
        "week" => Some(7 * 86_400),
        "month" => Some(31 * 86_400),
        _ => None,
    };
    match (wait, longest) {
        (Some(wait), Some(longest)) => assert!((1..=longest).contains(&wait), "{wait}"),
        (None, None) => {}
        other => panic!("{window}: {other:?}"),
    }
    error
}
