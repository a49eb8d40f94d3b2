//! The audit log: filters, pages, CSV, who sees what, and that nothing secret ever stands in it.

use http::Method;
use lw_store::config::AuditRow;
use lw_store::rows::BoundRole;
use serde_json::{Value, json};

use super::policies::provider;
use super::revised::walk;
use super::{NOW, Plane, organization, project, project_token, quiet};

const LOG: &str = "/api/gateway/v1/audit-log";

/// Writes a row; `change` says what is special about it.
fn record(plane: &Plane, name: &str, at: i64, change: impl FnOnce(&mut AuditRow)) {
    let mut quiet = quiet(name);
    for row in &mut quiet.audit {
        row.id = format!("audit_{name}");
        row.created_at = NOW.plus_micros(at);
        row.organization_id = Some(organization("acme"));
    }
    change(&mut quiet.audit[0]);
    plane.store.commit(&[], &quiet).expect("a row");
}

/// A plane whose log has four rows, `a` the oldest.
fn plane() -> Plane {
    let plane = Plane::new();
    record(&plane, "a", 1_000, |row| {
        row.action = "gateway.budget.created".into();
        row.target_kind = Some("budget".into());
        row.target_id = Some("bgt_1".into());
        row.user_id = Some("user_1".into());
        row.after = Some(r#"{"limit":9007199254740993,"list":[1,{"n":-9007199254740993}]}"#.into());
        row.metadata = Some("not JSON".into());
    });
    record(&plane, "b", 2_000, |row| {
        row.action = "gateway.budget.reset".into();
        row.project_id = Some(project("acme", "default"));
        row.user_id = Some("=cmd|'/c calc'!A1".into());
        row.error = Some("a \"quoted\", long\nreason".into());
    });
    record(&plane, "c", 3_000, |row| {
        row.action = "gateway.budgets".into()
    });
    record(&plane, "d", 4_000, |row| {
        row.action = "project.created".into();
        row.project_id = Some(project("acme", "governance"));
        row.ip_address = Some("203.0.113.7".into());
        row.user_agent = Some("langwatch-cli/1.2".into());
        row.args = Some(json!({ "text": "x".repeat(5_000) }).to_string());
    });
    record(&plane, "foreign", 5_000, |row| {
        row.organization_id = Some(organization("globex"));
    });
    plane
}

#[tokio::test]
async fn rows_are_shown_newest_first_with_their_json() {
    let plane = plane();
    let mut list = plane.get(LOG).await.fine(200);
    list["data"][0]["args"] = json!("long");
    insta::assert_json_snapshot!(list);
    for limit in [1, 3, 4] {
        let ids = walk(&plane, LOG, limit, async |_| {}).await;
        assert_eq!(ids, ["audit_d", "audit_c", "audit_b", "audit_a"], "{limit}");
    }
}

#[tokio::test]
async fn filters_hold_all_at_once() {
    let plane = plane();
    let millis = |at: i64| NOW.plus_micros(at).0 / 1_000;
    for (query, found) in [
        ("action=gateway.budget.reset".to_owned(), "b"),
        ("action=gateway.budget.".into(), "ba"),
        ("action=gateway.".into(), "cba"),
        ("action=gateway".into(), ""),
        ("action=gateway.&target_kind=budget".into(), "a"),
        ("target_id=bgt_1".into(), "a"),
        ("user_id=user_1".into(), "a"),
        ("project_id=default".into(), "b"),
        ("project_id=proj_acme-governance".into(), "d"),
        ("project_id=nowhere".into(), ""),
        ("project_id=proj_globex-default".into(), ""),
        (format!("from={}", millis(3_000)), "dc"),
        (format!("from={}&to={}", millis(2_000), millis(4_000)), "cb"),
        (
            "from=2026-11-23T14:00:00.002Z&to=2026-11-23T15:00:00.003%2B01:00".into(),
            "b",
        ),
        ("to=2026-11-23".into(), ""),
        ("from=2026-11-23&user_id=".into(), "dcba"),
    ] {
        let list = plane.get(&format!("{LOG}?{query}")).await.fine(200);
        let rows = list["data"].as_array().expect("rows").iter();
        let ids: String = rows
            .filter_map(|row| row["id"].as_str()?.strip_prefix("audit_"))
            .collect();
        assert_eq!(ids, found, "{query}");
    }
    let long = format!("action={}", "x".repeat(257));
    for query in [
        "from=yesterday",
        "to=99999999999999999999",
        "limit=0",
        "limit=201",
        "limit=x",
        &long,
    ] {
        let got = plane.get(&format!("{LOG}?{query}")).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{query}");
    }
    let got = plane.get(&format!("{LOG}?cursor=x")).await;
    assert_eq!(got.code(), (400, "invalid_cursor".into()));
}

async fn csv(plane: &Plane, query: &str) -> super::Got {
    let headers = [("accept", "text/html;q=0.5, text/csv")];
    let path = format!("{LOG}{query}");
    plane
        .call_with(&plane.acme, Method::GET, &path, &headers, None)
        .await
}

#[tokio::test]
async fn a_table_is_quoted_harmless_and_says_where_it_goes_on() {
    let plane = plane();
    let got = csv(&plane, "").await;
    assert_eq!(got.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(got.header("x-next-cursor"), None);
    insta::assert_snapshot!(got.text.replace(&"x".repeat(3_000), "…"));

    let first = csv(&plane, "?limit=2&action=gateway.").await;
    let next = first.header("x-next-cursor").expect("a cursor");
    let rest = csv(&plane, &format!("?limit=2&action=gateway.&cursor={next}")).await;
    assert_eq!(first.text.matches("\r\naudit_").count(), 2);
    assert_eq!(rest.text.matches("\r\naudit_").count(), 1);
    assert!(rest.text.contains("\r\naudit_a,"), "{}", rest.text);
    let got = csv(&plane, "?limit=10001").await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    for accept in ["text/csv;q=0", "application/json", "*/*"] {
        let got = plane
            .call_with(&plane.acme, Method::GET, LOG, &[("accept", accept)], None)
            .await;
        assert_eq!(
            got.header("content-type"),
            Some("application/json"),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn a_table_holds_more_rows_than_a_page_and_every_one_once() {
    let plane = Plane::new();
    for place in 0..1_203 {
        record(&plane, &format!("n{place:05}"), place / 7, |_| {});
    }
    let text = csv(&plane, "").await.text;
    let mut ids: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(ids.len(), 1_203);
    ids.dedup();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_203);
}

#[tokio::test]
async fn a_project_sees_its_own_rows() {
    let plane = plane();
    let own = project_token("acme", "default");
    let ids = async |token: &str, query: &str, headers: &[(&str, &str)]| {
        let path = format!("{LOG}{query}");
        let got = plane
            .call_with(token, Method::GET, &path, headers, None)
            .await;
        let list = got.fine(200);
        let rows = list["data"].as_array().expect("rows").iter();
        rows.filter_map(|row| Some(row["id"].as_str()?.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&own, "", &[]).await, ["audit_b"]);
    assert_eq!(ids(&own, "?project_id=default", &[]).await, ["audit_b"]);
    assert_eq!(
        ids(&own, "?project_id=proj_acme-governance", &[]).await,
        Vec::<String>::new()
    );
    let named = [("x-project-id", "default")];
    assert_eq!(ids(&plane.acme, "", &named).await, ["audit_b"]);
    assert_eq!(ids(&plane.globex, "", &[]).await, ["audit_foreign"]);

    // A team's administrator is in no project's context and holds nothing at the organization.
    let team = [(BoundRole::Admin, None, "team", "default")];
    let team = plane.service_key("acme", "team", &team, |_| {});
    let got = plane.call_with(&team, Method::GET, LOG, &[], None).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    assert_eq!(ids(&team, "", &named).await, ["audit_b"]);
}

#[tokio::test]
async fn nothing_secret_ever_stands_in_the_log() {
    let plane = Plane::new();
    provider(&plane, "acme", "a", ("organization", "acme"));
    let secret = "s3cr3t-of-the-callout";
    let callout = json!({ "slug": "http-callout", "settings": {
        "url": "https://guard.example.com", "headers": { "authorization": secret } } });
    let created = [
        (
            "routing-policies",
            "routing_policy",
            json!({ "name": "p", "model_provider_ids": ["mp_a"] }),
        ),
        (
            "cache-rules",
            "cache_rule",
            json!({ "name": "r", "matchers": { "model": "m" }, "action": { "mode": "force" } }),
        ),
        (
            "guardrails",
            "guardrail",
            json!({ "name": "g", "direction": "pre", "project_id": "default", "evaluator": callout }),
        ),
        (
            "model-prices",
            "model_price",
            json!({ "model": "m", "rates": { "input_cost_per_token": 0 } }),
        ),
    ];
    let mut answers = Vec::new();
    for (place, (resource, kind, body)) in created.iter().enumerate() {
        let base = format!("/api/gateway/v1/{resource}");
        let key = format!("idempotent-{place}");
        let headers = [("idempotency-key", key.as_str()), ("user-agent", "tests")];
        let made = plane
            .call_with(
                &plane.acme,
                Method::POST,
                &base,
                &headers,
                Some(body.clone()),
            )
            .await;
        let id = made.fine(201)[*kind]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let path = format!("{base}/{id}");
        let patch = match *kind {
            "guardrail" => json!({ "name": "n", "evaluator": callout }),
            "model_price" => json!({ "model": "n" }),
            _ => json!({ "name": "n" }),
        };
        answers.push(plane.patch(&path, patch).await.text);
        if *kind == "routing_policy" {
            answers.push(
                plane
                    .post(&format!("{path}/set-default"), json!({}))
                    .await
                    .text,
            );
        }
        answers.push(plane.call(Method::DELETE, &path, None).await.text);
    }
    answers.push(plane.get(&format!("{LOG}?limit=200")).await.text);
    answers.push(csv(&plane, "").await.text);
    answers.push(format!("{:?}", plane.news.0.lock()));
    answers.push(format!("{:?}", plane.audit()));
    let log: Value = plane.get(LOG).await.fine(200);
    assert_eq!(log["data"].as_array().map(Vec::len), Some(13));
    let token = plane.acme.clone();
    for text in &answers {
        for bad in [secret, &token, "sealed", "hash", "sealed by nobody"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
    }
    for row in log["data"].as_array().expect("rows") {
        assert_eq!(row["metadata"], json!({ "api_key_id": "ak_acme-live" }));
        let by = (row["action"]
            .as_str()
            .unwrap_or_default()
            .ends_with("created"))
        .then_some("tests");
        assert_eq!(row["user_agent"], json!(by));
        assert_eq!(row["created_at"], NOW.to_rfc3339());
    }
}

/// Action and project of the acts on one row, oldest first, each once.
fn filings(plane: &Plane, id: &Value) -> Vec<(String, Option<String>)> {
    let rows = plane.audit();
    let of_row = rows
        .iter()
        .filter(|row| row.target_id.as_deref() == id.as_str());
    let mut found: Vec<_> = of_row
        .map(|row| {
            (
                row.action.clone(),
                row.project_id.as_ref().map(ToString::to_string),
            )
        })
        .collect();
    found.reverse();
    found
}

#[tokio::test]
async fn an_act_is_filed_by_what_it_is_about_and_not_by_where_it_is_made() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    provider(&plane, "acme", "a", ("organization", "acme"));
    let at = |kind: &str, id: &str| json!([{ "scope_type": kind, "scope_id": id }]);
    let cases = |scopes: Value| {
        [
            (
                "virtual-keys",
                "virtual_key",
                json!({ "name": "k", "scopes": scopes }),
            ),
            (
                "model-providers",
                "model_provider",
                json!({ "provider": "groq", "scopes": scopes, "custom_keys": { "GROQ_API_KEY": "k" } }),
            ),
            (
                "routing-policies",
                "routing_policy",
                json!({ "name": "p", "scopes": scopes, "model_provider_ids": ["mp_a"] }),
            ),
        ]
    };
    let budget = |scope: Value| {
        let body = json!({ "name": "b", "window": "day", "limit_usd": 1, "scope": scope,
                           "allow_unreachable": true });
        ("budgets", "budget", body)
    };
    let web = Some(project("acme", "web").to_string());
    let mut wanted = Vec::new();
    for case in cases(at("project", "web")) {
        wanted.push((case, web.clone()));
    }
    for wide in [at("organization", "acme"), at("team", "web")] {
        for case in cases(wide) {
            wanted.push((case, None));
        }
    }
    for (scope, filed) in [
        (
            json!({ "kind": "project", "project_id": "web" }),
            web.clone(),
        ),
        (
            json!({ "kind": "attributed_user", "anchor_project_id": "web" }),
            web.clone(),
        ),
        (json!({ "kind": "team", "team_id": "web" }), None),
        (
            json!({ "kind": "organization", "organization_id": "acme" }),
            None,
        ),
    ] {
        wanted.push((budget(scope), filed));
    }
    let guardrail = json!({ "name": "g", "direction": "pre", "project_id": "web",
        "evaluator": { "slug": "length", "settings": { "max_chars": 1 } } });
    wanted.push((("guardrails", "guardrail", guardrail), web.clone()));
    let rule = json!({ "name": "r", "matchers": { "model": "m" }, "action": { "mode": "force" } });
    wanted.push((("cache-rules", "cache_rule", rule), None));
    let price = json!({ "model": "m", "rates": { "input_cost_per_token": 0 } });
    wanted.push((("model-prices", "model_price", price), None));

    // The organization's administrator works in the context of another project.
    let named = [("x-project-id", "default")];
    let call = async |method: Method, path: &str, body: Option<Value>| {
        let got = plane
            .call_with(&plane.acme, method, path, &named, body)
            .await;
        assert!(got.status.is_success(), "{path}: {}", got.text);
        got.json()
    };
    for ((resource, kind, body), filed) in wanted {
        let base = format!("/api/gateway/v1/{resource}");
        let made = call(Method::POST, &base, Some(body.clone())).await;
        let id = made[kind]["id"].clone();
        let path = format!("{base}/{}", id.as_str().expect("an id"));
        let patch = match kind {
            "model_price" => json!({ "model": "n" }),
            _ => json!({ "name": "n" }),
        };
        // In a project's context only what the project sees can be changed.
        let of_web = body.to_string().contains("web");
        let context = if of_web { &[][..] } else { &named[..] };
        let change =
            |method: Method, body| plane.call_with(&plane.acme, method, &path, context, body);
        let got = change(Method::PATCH, Some(patch)).await;
        assert!(got.status.is_success(), "{path}: {}", got.text);
        if kind == "budget" {
            let reset = format!("{path}/reset");
            let got = plane
                .call_with(&plane.acme, Method::POST, &reset, context, None)
                .await;
            assert!(got.status.is_success(), "{path}: {}", got.text);
        }
        if kind == "virtual_key" {
            let rotate = format!("{path}/rotate");
            call(Method::POST, &rotate, None).await;
            call(Method::POST, &format!("{path}/revoke"), None).await;
        } else {
            let got = change(Method::DELETE, None).await;
            assert!(got.status.is_success(), "{path}: {}", got.text);
        }
        let found = filings(&plane, &id);
        assert!(found.len() >= 3, "{found:?}");
        for (action, place) in found {
            assert_eq!(place, filed, "{action} of {body}");
        }
    }
    // So the project in whose context all this was done learns nothing of it.
    let default = project_token("acme", "default");
    let log = plane.call_with(&default, Method::GET, LOG, &[], None).await;
    assert_eq!(log.fine(200)["data"], json!([]));
}

#[tokio::test]
async fn what_moves_between_projects_is_filed_in_neither_and_budgets_of_a_key_where_the_key_is() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let web = Some(project("acme", "web").to_string());
    let at = |id: &str| json!([{ "scope_type": "project", "scope_id": id }]);
    let wish = json!({ "name": "k", "scopes": at("web"),
                       "budget": { "limit_usd": 1, "window": "day" } });
    let keys = "/api/gateway/v1/virtual-keys";
    let key = plane.post(keys, wish).await.fine(201)["virtual_key"]["id"].clone();
    let path = format!("{keys}/{}", key.as_str().expect("an id"));
    let beside = json!({ "name": "b", "window": "day", "limit_usd": 1,
                         "scope": { "kind": "virtual_key", "virtual_key_id": key } });
    plane
        .post("/api/gateway/v1/budgets", beside)
        .await
        .fine(201);
    let budgets = |plane: &Plane| {
        let rows = plane.audit();
        let of = rows
            .iter()
            .filter(|row| row.target_kind.as_deref() == Some("budget"));
        of.map(|row| row.project_id.as_ref().map(ToString::to_string))
            .collect::<Vec<_>>()
    };
    assert_eq!(budgets(&plane), vec![web.clone(); 2]);
    plane.clock.set(NOW.plus_micros(1_000_000));
    plane
        .patch(&path, json!({ "scopes": at("default") }))
        .await
        .fine(200);
    let moved = filings(&plane, &key);
    assert_eq!(
        moved,
        [
            ("gateway.virtual_key.created".to_owned(), web),
            ("gateway.virtual_key.updated".to_owned(), None),
        ]
    );
    plane.clock.set(NOW.plus_micros(2_000_000));
    plane
        .call(Method::POST, &format!("{path}/revoke"), None)
        .await
        .fine(200);
    let default = Some(project("acme", "default").to_string());
    assert_eq!(filings(&plane, &key)[2].1, default);
    assert_eq!(budgets(&plane)[..2], vec![default; 2]);
}
