//! Why a request was served as it was, or refused: on its trace, in the metrics, in the audit log.
//!
//! Start at [`told`].

use lw_store::trace::TraceRecord;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Gateway, Key, ORG, chat, eventually, once, provider};

const CHAT: &str = "/v1/chat/completions";

/// The decisions of a trace, one a line; `names` take the place of ids, and durations go.
fn told(trace: &TraceRecord, names: &[(&str, &str)]) -> String {
    let lines = trace.facts.decisions.iter().map(|decision| {
        let mut detail = decision.detail.clone();
        for (id, name) in names {
            detail = detail.replace(id, name);
        }
        if let Some((before, rest)) = detail.split_once(", after ") {
            let rest = rest.split_once(" s").map_or("", |(_, rest)| rest);
            detail = format!("{before}{rest}");
        }
        format!("{} {}: {detail}", decision.outcome, decision.stage)
    });
    lines.collect::<Vec<String>>().join("\n")
}

fn ask(key: &Key, body: &Value) -> Ask {
    Ask::post(CHAT, &key.secret, body)
}

fn with_tool(name: &str) -> Value {
    let mut body = chat("hi");
    body["tools"] = json!([{"type": "function", "function": {"name": name}}]);
    body
}

/// Waits until the metrics have these series with these values.
fn counted(gateway: &Gateway, series: &[String]) {
    eventually("everything is counted", || {
        let metrics = gateway.get("/metrics").text();
        let has = |wanted: &String| metrics.lines().any(|line| line == wanted);
        series.iter().all(has).then_some(())
    });
}

fn trace_of(gateway: &Gateway, answer: &Answer, form: &str) -> Value {
    let path = format!("/api/traces/{}?format={form}", answer.request_id());
    eventually("the trace is found", || {
        let got = gateway.api("GET", &path, None);
        (got.status() == 200).then(|| got.json())
    })
}

fn budget(gateway: &Gateway, limit: &str) -> String {
    let body = json!({
        "scope": {"kind": "organization", "organization_id": ORG}, "name": "cap",
        "window": "month", "limit_usd": limit,
    });
    let made = gateway
        .api("POST", "/api/gateway/v1/budgets", Some(&body))
        .fine(201);
    let id = made.pointer("/budget/id").and_then(Value::as_str);
    id.expect("an id").to_owned()
}

#[test]
fn a_plain_request_leaves_two_short_entries_and_no_section() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let answer = gateway.call(&ask(&key, &chat("hi")));
    answer.fine(200);
    let trace = gateway.book().trace(&answer.request_id());
    let row = trace.facts.model_provider_id.clone().expect("a row");
    insta::assert_snapshot!(told(&trace, &[(row.as_str(), "mp")]), @r"
    info model: `gpt-4o-mini` is asked by its own name
    pass attempt: openai mp as `gpt-4o-mini`: success, status 200
    ");
    assert!(trace.facts.governance.is_empty());
    let digest = trace_of(&gateway, &answer, "digest");
    let text = digest["formatted_trace"].as_str().unwrap_or_default();
    assert!(!text.contains("## Decisions"), "{text}");
}

#[test]
fn a_request_that_rules_limits_budgets_and_a_header_govern_tells_of_each() {
    let (gateway, _mock, _) = Gateway::with_provider();
    let budget = budget(&gateway, "1000");
    let key = gateway.create_key_with(json!({"config": {
        "rateLimits": {"rpm": 60, "tpm": 100_000},
        "policyRules": {"tools": {"deny": ["^shell"], "allow": null}},
        "modelAliases": {"fast": "openai/gpt-5-mini"},
    }}));
    let mut body = with_tool("lookup");
    body["model"] = json!("fast");
    body["max_tokens"] = json!(100);
    let answer = gateway.call(&ask(&key, &body).header("X-LangWatch-Cache", "force"));
    answer.fine(200);
    let trace = gateway.book().trace(&answer.request_id());
    let row = trace.facts.model_provider_id.clone().expect("a row");
    let told = told(&trace, &[(row.as_str(), "mp"), (&budget, "budget_1")]);
    // What is left of the tokens and what is held depend on the length of the body.
    for line in [
        "info model: `fast` is an alias of `openai/gpt-5-mini`",
        "pass policy_tools: policy_rules.tools has nothing against it",
        "info cache: `force`, the header asks for it",
        "pass budget: 1 budget is spent to less than 80 %",
    ] {
        assert!(told.lines().any(|one| one == line), "{line}: {told}");
    }
    let limits = told.lines().next().unwrap_or_default();
    assert!(
        limits.starts_with("pass rate_limit: 59 of 60 requests left, "),
        "{told}"
    );
    let attempt = told.lines().last().unwrap_or_default();
    assert!(
        attempt.starts_with("pass attempt: openai mp as `gpt-5-mini`: success, status 200")
            && attempt.contains("; 1 budget held $0.0"),
        "{told}"
    );
    let shown = trace_of(&gateway, &answer, "json");
    let attributes = &shown["spans"][0]["attributes"];
    assert_eq!(attributes["langwatch.cache.mode_applied"], "FORCE");
    assert_eq!(attributes["langwatch.cache.outcome"], "force");
    assert_eq!(attributes["langwatch.budget.decision"], "allowed");
    assert_eq!(attributes["langwatch.policy.violation"], Value::Null);
    counted(
        &gateway,
        &["gateway_cache_hits_total{outcome=\"miss\"} 1".to_owned()],
    );
}

#[test]
fn a_refused_request_says_why_on_its_trace_in_the_metrics_and_in_the_audit_log() {
    let (gateway, mock, _) = Gateway::with_provider();
    let key = gateway.create_key_with(json!({"config": {
        "policyRules": {"tools": {"deny": ["^shell"], "allow": null}},
    }}));
    let answer = gateway.call(&ask(&key, &with_tool("shell.exec")));
    assert_eq!(answer.code(), (403, "tool_not_allowed".to_owned()));
    assert_eq!(mock.requests().len(), 0);
    let trace = gateway.book().trace(&answer.request_id());
    insta::assert_snapshot!(told(&trace, &[]), @"refuse policy_tools: 403 tool_not_allowed: The tool `shell.exec` is denied by policy_rules.tools. The pattern is `^shell`.");
    let shown = trace_of(&gateway, &answer, "json");
    let span = &shown["spans"][0];
    let attributes = &span["attributes"];
    assert_eq!(attributes["langwatch.policy.violation"], "tools:^shell");
    assert_eq!(attributes["langwatch.policy.value"], "shell.exec");
    assert_eq!(attributes["langwatch.policy.blocked"], "tools");
    assert_eq!(span["decisions"][0]["outcome"], "refuse");
    let digest = trace_of(&gateway, &answer, "digest");
    let text = digest["formatted_trace"].as_str().unwrap_or_default();
    assert!(
        text.contains("## Decisions\nrefuse policy_tools: 403"),
        "{text}"
    );
    let id = &key.id;
    counted(
        &gateway,
        &[
            format!("gateway_client_rejects_total{{code=\"tool_not_allowed\",vk_id=\"{id}\"}} 1"),
            "gateway_policy_violations_total{dimension=\"tools\"} 1".to_owned(),
            "gateway_policy_violations_total{dimension=\"urls\"} 0".to_owned(),
        ],
    );

    let log = gateway.stdout();
    let line = log
        .lines()
        .find(|line| line.contains("gateway_request_failed"));
    let line = crate::support::parsed(line.unwrap_or_default());
    assert_eq!(line["request_id"], answer.request_id());
    assert_eq!(line["level"], "info");
    assert_eq!(line["fault"], "customer");
    assert_eq!(
        line["policy"],
        json!({"kind": "tools", "pattern": "^shell", "value": "shell.exec"})
    );

    // A client that loops leaves ten entries a minute.
    for _ in 0..30 {
        gateway.call(&ask(&key, &with_tool("shell.exec"))).fine(403);
    }
    let metric = "gateway_policy_violations_total{dimension=\"tools\"} 31".to_owned();
    counted(&gateway, &[metric]);
    let path = "/api/gateway/v1/audit-log?action=gateway.policy.blocked&limit=200";
    let rows = eventually("the refusals are audited", || {
        let log = gateway.api("GET", path, None).fine(200);
        let rows = log["data"].as_array().expect("rows").clone();
        (rows.len() >= 10).then_some(rows)
    });
    // The test may take longer than the minute.
    assert!(rows.len() <= 20, "{}", rows.len());
    let first = rows.last().expect("the oldest");
    assert_eq!(first["target_kind"], "virtual_key");
    assert_eq!(first["target_id"], id.as_str());
    assert_eq!(
        first["args"],
        json!({
            "kind": "tools", "pattern": "^shell", "value": "shell.exec",
            "gateway_request_id": answer.request_id(),
        })
    );
    let actor = first["user_id"].as_str().unwrap_or_default();
    assert!(actor.starts_with("svc_"), "{first}");
}

#[test]
fn a_failover_lists_both_attempts_and_then_the_circuit_that_is_left_alone() {
    let gateway = Gateway::builder()
        .env("LW_GATEWAY_CIRCUIT_THRESHOLD", "1")
        .env("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "600")
        .start();
    let (first, second) = (provider(), provider());
    let rows = [
        gateway.openai(&first, "sk-decisions-first"),
        gateway.openai(&second, "sk-decisions-second"),
    ];
    let names = [(rows[0].as_str(), "mp_1"), (rows[1].as_str(), "mp_2")];
    let key = gateway.create_key_with(json!({"routing_mode": "fallback_all"}));
    once(&first, &json!({"status": 503}));
    let answer = gateway.call(&ask(&key, &chat("hi")));
    answer.fine(200);
    let trace = gateway.book().trace(&answer.request_id());
    insta::assert_snapshot!(told(&trace, &names), @r"
    info model: `gpt-4o-mini` is asked by its own name
    info candidates: 2 candidates, of which 2 were looked at
    warn attempt: openai mp_1 as `gpt-4o-mini`: retryable_5xx, status 503
    pass attempt: openai mp_2 as `gpt-4o-mini`: fallback_success, status 200
    ");

    let skipped = gateway.call(&ask(&key, &chat("hi")));
    skipped.fine(200);
    let trace = gateway.book().trace(&skipped.request_id());
    insta::assert_snapshot!(told(&trace, &names), @r"
    info model: `gpt-4o-mini` is asked by its own name
    info candidates: 2 candidates, of which 2 were looked at
    skip attempt: openai mp_1: passed over, the provider `openai` keeps failing and is left alone for a while
    pass attempt: openai mp_2 as `gpt-4o-mini`: fallback_success, status 200
    ");
    let shown = trace_of(&gateway, &skipped, "json");
    let circuit =
        |span: usize| shown["spans"][span]["attributes"]["langwatch.provider.circuit"].clone();
    assert_eq!(
        [circuit(0), circuit(1), circuit(2)],
        ["open", "open", "closed"]
    );
    let attributes = &shown["spans"][0]["attributes"];
    assert_eq!(attributes["langwatch.fallback.attempts_count"], 1);
    assert_eq!(
        attributes["langwatch.fallback.winning_credential"],
        rows[1].as_str()
    );
    let [one, two] = &rows;
    let attempts = |id: &str, outcome: &str, count: u32| {
        format!(
            "gateway_provider_attempts_total{{credential_id=\"{id}\",outcome=\"{outcome}\"}} {count}"
        )
    };
    counted(
        &gateway,
        &[
            attempts(one, "retryable_5xx", 1),
            attempts(one, "circuit_open", 1),
            attempts(two, "fallback_success", 2),
            format!(
                "gateway_fallback_events_total{{from_credential=\"{one}\",to_credential=\"{two}\"}} 2"
            ),
            format!("gateway_circuit_state{{credential_id=\"{one}\"}} 1"),
            format!("gateway_circuit_state{{credential_id=\"{two}\"}} 0"),
        ],
    );
    let log = gateway.stdout() + &gateway.stderr();
    let opened = log.lines().find(|line| line.contains("circuit_opened"));
    assert!(opened.is_some_and(|line| line.contains(one)), "{log}");
}

#[test]
fn every_kind_of_refusal_is_counted_under_its_own_name() {
    let (gateway, _mock, _) = Gateway::with_provider();
    let limited = gateway.create_key_with(json!({"config": {"rateLimits": {"rpm": 1}}}));
    gateway.call(&ask(&limited, &chat("hi"))).fine(200);
    let denied = gateway.call(&ask(&limited, &chat("hi")));
    assert_eq!(denied.status(), 429);
    let wrong = gateway.call(&ask(&limited, &chat("hi")).header("X-LangWatch-Cache", "never"));
    // The limit comes first.
    assert_eq!(wrong.status(), 429);
    let free = gateway.create_key();
    let wrong = gateway.call(&ask(&free, &chat("hi")).header("X-LangWatch-Cache", "never"));
    assert_eq!(wrong.status(), 400);
    budget(&gateway, "0.000001");
    let broke = gateway.call(&ask(&free, &chat("hi")));
    assert_eq!(broke.status(), 402);

    let book = gateway.book();
    let trace = book.trace(&denied.request_id());
    assert_eq!(trace.facts.governance.rate_limit.as_deref(), Some("rpm"));
    insta::assert_snapshot!(told(&trace, &[]), @"refuse rate_limit: 429 vk_rate_limit_exceeded: the virtual key is over its rate limit `rpm`: 1 requests a minute");
    let trace = book.trace(&wrong.request_id());
    let told_cache = told(&trace, &[]);
    assert!(
        told_cache.starts_with("refuse cache: 400 cache_override_invalid: "),
        "{told_cache}"
    );
    let trace = book.trace(&broke.request_id());
    assert_eq!(
        trace.facts.governance.budget_blocked.as_deref(),
        Some("organization:month")
    );
    let last = trace.facts.decisions.last().expect("a refusal");
    assert_eq!((&*last.stage, &*last.outcome), ("budget", "refuse"));
    assert!(last.detail.contains(" of $0.000001)"), "{}", last.detail);
    let shown = trace_of(&gateway, &broke, "json");
    let attributes = &shown["spans"][0]["attributes"];
    assert_eq!(attributes["langwatch.budget.decision"], "blocked");
    assert_eq!(
        attributes["langwatch.budget.breached_scope"],
        "organization:month"
    );

    let (limited, free) = (&limited.id, &free.id);
    let rejects =
        |code: &str| format!("gateway_client_rejects_total{{code=\"{code}\",vk_id=\"{free}\"}} 1");
    counted(
        &gateway,
        &[
            format!("gateway_rate_limit_denied_total{{dimension=\"rpm\",vk_id=\"{limited}\"}} 2"),
            "gateway_budget_blocks_total{scope=\"organization\"} 1".to_owned(),
            "gateway_budget_blocks_total{scope=\"team\"} 0".to_owned(),
            "gateway_guardrail_verdicts_total{direction=\"stream_chunk\",verdict=\"fail_open\"} 0"
                .to_owned(),
            rejects("cache_override_invalid"),
            rejects("budget_exceeded"),
        ],
    );
    let metrics = gateway.get("/metrics").text();
    let limits = metrics.lines().filter(|line| {
        line.contains("gateway_client_rejects_total") && line.contains("rate_limit")
    });
    assert_eq!(limits.count(), 0, "{metrics}");
}
