//! The migration guide as a session (cli 12 and 13): our command line against our server, step by step,
//! with the token that the guide mints and nothing more.

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, CliRun, Gateway, chat, eventually, messages, provider};

/// A command line as it is typed: words between blanks, the credential in the environment.
fn typed(gateway: &Gateway, variables: &[(&str, &str)], line: &str) -> CliRun {
    let words: Vec<&str> = line.split_whitespace().collect();
    gateway.cli_with(variables, &words)
}

/// What a command printed that must print JSON and nothing else.
fn quiet(run: &CliRun) -> Value {
    assert_eq!(run.stderr, "", "{run:?}");
    run.json()
}

fn text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| panic!("{value} is no text"))
}

/// Whoever walks through the guide.
struct Session {
    gateway: Gateway,
    mock: MockProvider,
    /// The token of the guide, as the guide calls it: `lwp_…`.
    token: String,
}

/// The key that the guide mints.
struct Minted {
    id: String,
    secret: String,
    shown: Value,
}

impl Session {
    fn start() -> Self {
        let gateway = Gateway::start();
        let mock = provider();
        let line = "api-keys create --name migration --permission modelProviders:update \
                    --permission virtualKeys:create --binding CUSTOM:ORGANIZATION:acme -f json";
        let minted = quiet(&typed(
            &gateway,
            &[("LANGWATCH_API_KEY", gateway.api_key())],
            line,
        ));
        let token = text(&minted["token"]);
        assert!(token.starts_with("sk-lw-"), "{minted}");
        Self {
            token: token.replace("sk-lw-", "lwp_"),
            gateway,
            mock,
        }
    }

    /// A command with the token of the guide.
    fn guide(&self, line: &str) -> CliRun {
        let variables = [
            ("LANGWATCH_API_KEY", self.token.as_str()),
            ("OPENAI_API_KEY", "sk-guide-openai"),
            ("ANTHROPIC_API_KEY", "sk-guide-anthropic"),
        ];
        typed(&self.gateway, &variables, line)
    }

    /// A command with the organization's own key, which must print JSON alone.
    fn admin(&self, line: &str) -> Value {
        quiet(&self.shown(line))
    }

    /// The same, whatever it prints.
    fn shown(&self, line: &str) -> CliRun {
        typed(
            &self.gateway,
            &[("LANGWATCH_API_KEY", self.gateway.api_key())],
            line,
        )
    }

    fn call(&self, key: &Minted, model: &str) -> Answer {
        let body = json!({"model": model, "messages": chat("Hello")["messages"]});
        self.gateway
            .call(&Ask::post("/v1/chat/completions", &key.secret, body))
    }

    /// Step 1: the two providers.
    fn create_providers(&self) -> [String; 2] {
        let base = self.mock.base_url();
        let openai = quiet(&self.guide(&format!(
            "model-provider create --provider openai --scope org:acme --key-from-env OPENAI_API_KEY \
             --key OPENAI_BASE_URL={base}/v1 --priority 10 --rpm 3000 --format json"
        )));
        assert_eq!(
            (
                &openai["rate_limit"]["rpm"],
                &openai["fallback_priority_global"]
            ),
            (&json!(3000), &json!(10)),
            "{openai}"
        );
        let anthropic = quiet(&self.guide(&format!(
            "model-provider create --provider anthropic --scope org:acme \
             --key-from-env ANTHROPIC_API_KEY --key ANTHROPIC_BASE_URL={base} --format json"
        )));
        [text(&openai["id"]), text(&anthropic["id"])]
    }

    /// Step 2: a key. `tee vk.json | jq -r '.secret'` works because nothing else is printed.
    fn mint(&self) -> Minted {
        let minted = quiet(&self.guide(
            "virtual-keys create --name dev-migration --env live --scope ORG:acme --format json",
        ));
        let secret = text(&minted["secret"]);
        assert!(
            secret.starts_with("vk-lw-") && secret.len() == 32,
            "{minted}"
        );
        let key = &minted["virtual_key"];
        let expected = json!({
            "name": "dev-migration", "status": "active", "purpose": "user", "env": "live",
            "display_prefix": secret[..13], "revision": "1", "routing_mode": "none",
            "routing_policy_id": null,
            "scopes": [{"scope_type": "organization", "scope_id": key["organization_id"]}],
        });
        for (name, value) in expected.as_object().expect("fields") {
            assert_eq!(&key[name], value, "{name}");
        }
        Minted {
            id: text(&key["id"]),
            secret,
            shown: key.clone(),
        }
    }

    /// The token may mint and nothing else: not even look at what it made.
    fn is_refused_everything_else(&self, key: &Minted) {
        for line in [
            "virtual-keys list -f json".to_owned(),
            format!("virtual-keys revoke {} -f json", key.id),
            "gateway-budgets list -f json".to_owned(),
            "routing-policies list -f json".to_owned(),
        ] {
            let error = document(&self.guide(&line));
            assert_eq!(
                (&error["code"], &error["httpStatus"], &error["terminal"]),
                (
                    &json!("api_key_permission_denied"),
                    &json!(403),
                    &json!(true)
                ),
                "{line}: {error}"
            );
            assert!(error["meta"]["permission"].is_string(), "{error}");
        }
    }

    /// A budget of a team that no key reaches yet.
    fn cap_the_team(&self) {
        let team = text(&self.admin("teams create --name Engineering -f json")["id"]);
        let budget = self.admin(&format!(
            "gateway-budgets create --name engineering-monthly-cap --scope team --team {team} \
             --window month --limit 5000 --on-breach block -f json"
        ));
        assert!(text(&budget["id"]).starts_with("bgt_"), "{budget}");
        assert_eq!(
            (&budget["limit_usd"], &budget["scope_reach"]),
            (&json!("5000"), &json!("unreachable"))
        );
        let listed = self.shown("gateway-budgets list");
        assert_eq!(listed.code, Some(0), "{listed:?}");
        for shown in [
            "engineering-monthly-cap",
            "month",
            "block",
            "$5000.00",
            "$0.00",
        ] {
            assert!(listed.stdout.contains(shown), "{shown}: {}", listed.stdout);
        }
        let listed = self.admin("gateway-budgets list -f json");
        assert_eq!(listed["spend_available"], true);
        assert_eq!(listed["budgets"][0]["id"], budget["id"]);
    }

    /// Failover by a policy, whose mode is inferred, and by the key's own configuration.
    fn fail_over(&self, key: &Minted, [openai, anthropic]: &[String; 2]) {
        let id = &key.id;
        let policy = text(&self.admin(&format!(
            "routing-policies create --scope ORG:acme --name openai-then-anthropic --strategy ordered \
             --model-provider {openai} --model-provider {anthropic} --format json"
        ))["id"]);
        let updated = self.admin(&format!(
            "virtual-keys update {id} --routing-policy {policy} -f json"
        ));
        assert_eq!(
            (&updated["routing_mode"], &updated["routing_policy_id"]),
            (&json!("policy"), &json!(policy))
        );
        // snake_case and camelCase go in, camelCase comes out.
        let config = r#"{"fallback":{"maxAttempts":2,"on":["5xx","timeout","rate_limit","network_error"]},"model_aliases":{"gpt-4o":"openai/gpt-4o-mini"}}"#;
        let updated = self.admin(&format!(
            "virtual-keys update {id} --config-json {config} -f json"
        ));
        assert_eq!(
            (
                &updated["config"]["fallback"],
                &updated["config"]["modelAliases"]
            ),
            (
                &json!({"maxAttempts": 2, "on": ["5xx", "timeout", "rate_limit", "network_error"]}),
                &json!({"gpt-4o": "openai/gpt-4o-mini"})
            )
        );
        let answer = self.call(key, "gpt-4o");
        let model = answer.header("x-langwatch-model");
        assert_eq!(model, Some("gpt-4o-mini"), "{}", answer.text());

        let rules = r#"{"policy_rules":{"tools":{"deny":["^shell\\.exec$"],"allow":null}}}"#;
        let updated = self.admin(&format!(
            "virtual-keys update {id} --config-json {rules} -f json"
        ));
        assert_eq!(
            updated["config"]["policyRules"]["tools"],
            json!({"deny": ["^shell\\.exec$"], "allow": null}),
            "{updated}"
        );
        assert_eq!(
            updated["config"]["fallback"]["maxAttempts"], 2,
            "the rest stays"
        );
    }

    /// The trace of a request by the request's id.
    fn look_up(&self, request: &str) -> Value {
        let search = format!("trace search -q {request} -f json");
        let found = eventually("the trace is found by the request's id", || {
            let found = self.admin(&search);
            (found["pagination"]["totalHits"] == 1).then_some(found)
        });
        let trace = text(&found["traces"][0]["trace_id"]);
        let got = self.admin(&format!("trace get {request} -f json"));
        assert_eq!(got["trace_id"], json!(trace));
        let digest = self.shown(&format!("trace get {trace}"));
        assert!(
            digest.code == Some(0) && digest.stdout.contains("Hello"),
            "{digest:?}"
        );
        got
    }

    /// What the key spent, once `requests` are in it.
    fn spent(&self, key: &Minted, requests: u64) {
        let line = format!(
            "virtual-keys spend {} --from 2026-01-01T00:00:00Z -f json",
            key.id
        );
        let spent = eventually("every call is in the spend", || {
            Some(self.admin(&line)).filter(|spent| spent["requests"] == requests)
        });
        assert_eq!(spent["virtual_key_id"], json!(key.id));
        assert_eq!(spent["window"]["from"], 1_767_225_600_000_i64);
        let usd: f64 = text(&spent["spent_usd"]).parse().expect("a number");
        assert!(usd > 0.0, "{spent}");
    }
}

#[test]
fn the_guide_is_walked_with_the_two_permissions_it_asks_for() {
    let session = Session::start();
    let providers = session.create_providers();
    let key = session.mint();
    session.is_refused_everything_else(&key);

    let answer = session.call(&key, "gpt-4o-mini");
    answer.fine(200);
    let by_messages = Ask::post("/v1/messages", &key.secret, messages("Hello", false));
    session.gateway.call(&by_messages).fine(200);

    session.cap_the_team();
    session.fail_over(&key, &providers);

    let shown = session.admin(&format!("virtual-keys get {} -f json", key.id));
    assert_eq!(shown["scopes"], key.shown["scopes"]);
    assert_eq!(shown["project_id"], shown["trace_project_id"]);
    let trace = session.look_up(&answer.request_id());
    assert_eq!(trace["project_id"], shown["project_id"]);
    session.spent(&key, 3);
    let listed = session.admin("virtual-keys list -f json");
    assert_eq!(listed[0]["display_prefix"], key.shown["display_prefix"]);
    for line in [
        "virtual-keys list".to_owned(),
        format!("virtual-keys get {}", key.id),
    ] {
        let said = session.shown(&line);
        assert!(
            said.code == Some(0) && !said.stdout.contains(&key.secret),
            "{said:?}"
        );
    }
}

/// The error of a command that failed with a document.
fn document(run: &CliRun) -> Value {
    assert_eq!(run.code, Some(1), "{run:?}");
    let document: Value = serde_json::from_str(&run.stdout).expect("a document");
    assert_eq!(document["ok"], false);
    assert_eq!(document["error"]["kind"], document["error"]["code"]);
    assert_eq!(
        run.stderr.trim_end().lines().count(),
        1,
        "one line of summary: {run:?}"
    );
    document["error"].clone()
}

/// What a person is told of a failure.
fn told(run: &CliRun, words: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
}

#[test]
fn refused_credentials_say_what_is_wrong_and_exit_1() {
    let gateway = Gateway::start();
    let [list, machine] = ["virtual-keys list", "virtual-keys list -f json"];

    let nobody = |line| typed(&gateway, &[], line);
    told(&nobody(list), &["langwatch login", "LANGWATCH_API_KEY"]);
    let error = document(&nobody(machine));
    assert_eq!(
        (&error["code"], error.get("httpStatus")),
        (&json!("not_logged_in"), None)
    );

    let unknown = lw_crypto::api_key::mint(&lw_core::SystemEntropy).token;
    let wrong = |line| typed(&gateway, &[("LANGWATCH_API_KEY", unknown.expose())], line);
    told(
        &wrong(list),
        &["Failed to list", "invalid_credentials", "401"],
    );
    let error = document(&wrong(machine));
    assert_eq!(
        (&error["code"], &error["httpStatus"], &error["terminal"]),
        (&json!("invalid_credentials"), &json!(401), &json!(true))
    );

    // A project's own key where the organization is asked.
    let shown = gateway
        .cli(&["projects", "api-key", "default", "-f", "json"])
        .json();
    let key = text(&shown["apiKey"]);
    let error = document(&typed(
        &gateway,
        &[("LANGWATCH_API_KEY", &key)],
        "api-keys list -f json",
    ));
    assert_eq!(
        (&error["code"], &error["httpStatus"]),
        (&json!("credential_class_mismatch"), &json!(401)),
        "{error}"
    );
    for named in ["required", "presented"] {
        assert!(error["meta"][named].is_string(), "{named}: {error}");
    }

    // Nobody listens there.
    let closed = "http://127.0.0.1:9";
    let variables = [
        ("LANGWATCH_API_KEY", gateway.api_key()),
        ("LANGWATCH_ENDPOINT", closed),
    ];
    let away = |line| typed(&gateway, &variables, line);
    told(&away(list), &[closed]);
    let error = document(&away(machine));
    assert_eq!(
        (&error["code"], &error["terminal"]),
        (&json!("network_error"), &json!(false))
    );
}
