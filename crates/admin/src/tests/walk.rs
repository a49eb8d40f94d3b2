//! The walk over the table of routes: every row refuses strangers, and foreign ids are unknown ids.

use http::Method;
use lw_store::trace::TraceStore as _;
use serde_json::{Value, json};

use super::traces::record;
use super::{Got, Plane, project};
use crate::edge::Family;
use crate::routes::{Route, table};

const UNKNOWN_KEY: &str = "vk_unknown";
const UNKNOWN_PROVIDER: &str = "mp_unknown";
const UNKNOWN_REQUEST: &str = "req_ffffffffffffffffffffffffffffff";
const UNKNOWN_TRACE: &str = "ffffffffffffffffffffffffffffffff";

/// A body that a route would take.
fn body(route: &Route) -> Option<Value> {
    match (&route.method, route.path) {
        (&Method::GET | &Method::DELETE, _) => None,
        (_, "/api/traces/search") => Some(json!({ "startDate": 0, "endDate": "2030-01-01" })),
        (&Method::POST, path) if path.ends_with("virtual-keys") => Some(
            json!({ "name": "k", "scopes": [{ "scope_type": "project", "scope_id": "default" }] }),
        ),
        (&Method::POST, path) if path.ends_with("model-providers") => {
            Some(json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" } }))
        }
        _ => Some(json!({})),
    }
}

async fn call(plane: &Plane, route: &Route, token: &str, path: &str, project: Option<&str>) -> Got {
    let headers: Vec<(&str, &str)> = project.map(|id| ("x-project-id", id)).into_iter().collect();
    plane
        .call_with(token, route.method.clone(), path, &headers, body(route))
        .await
}

fn refused(got: &Got, family: Family, code: &str, at: &str) {
    assert_eq!(got.status.as_u16(), 401, "{at}: {}", got.text);
    match family {
        Family::Gateway => assert_eq!(got.json()["error"]["code"], code, "{at}"),
        Family::Project | Family::Organization => {
            assert_eq!(got.json()["error"], "Unauthorized", "{at}");
        }
    }
    assert!(got.header("www-authenticate").is_some(), "{at}");
}

#[tokio::test]
async fn every_route_refuses_who_has_no_usable_credential() {
    let plane = Plane::new();
    let mut wrong_secret = plane.acme.clone();
    wrong_secret.replace_range(wrong_secret.len() - 4.., "zzzz");
    let unknown = lw_crypto::api_key::mint(&lw_core::SystemEntropy)
        .token
        .expose()
        .to_owned();
    let legacy = format!("sk-lw-{}", "a".repeat(48));
    let bad = [
        "nonsense",
        &unknown,
        &legacy,
        &wrong_secret,
        &plane.revoked,
        &plane.expired,
    ];
    for route in &table().guarded {
        let path = route.path.replace("{id}", "vk_1");
        let at = format!("{} {}", route.method, route.path);
        refused(
            &call(&plane, route, "", &path, None).await,
            route.family,
            "missing_credentials",
            &at,
        );
        for token in bad {
            let got = call(&plane, route, token, &path, None).await;
            refused(&got, route.family, "invalid_credentials", &at);
            assert!(!got.text.contains(token), "{at}");
        }
    }
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_foreign_id_answers_exactly_like_an_unknown_one() {
    let plane = Plane::new();
    let key = plane
        .post("/api/gateway/v1/virtual-keys", body_of_key())
        .await
        .fine(201);
    let provider = plane
        .post(
            "/api/gateway/v1/model-providers",
            json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" } }),
        )
        .await
        .fine(201);
    let traced = record("acme", 1);
    plane
        .traces
        .append(std::slice::from_ref(&traced))
        .expect("stored");
    let (request, trace) = (traced.request_id.to_string(), traced.trace_id.to_string());
    plane.announced();

    for route in table()
        .guarded
        .iter()
        .filter(|route| route.path.contains("{id}"))
    {
        let at = format!("{} {}", route.method, route.path);
        let (ours, unknown) = if route.path.contains("virtual-keys") {
            (
                key["virtual_key"]["id"].as_str().expect("an id"),
                UNKNOWN_KEY,
            )
        } else if route.path.contains("model-providers") {
            (
                provider["model_provider"]["id"].as_str().expect("an id"),
                UNKNOWN_PROVIDER,
            )
        } else if route.path.contains("/requests/") {
            (request.as_str(), UNKNOWN_REQUEST)
        } else if route.path.contains("/traces/") {
            (trace.as_str(), UNKNOWN_TRACE)
        } else {
            (UNKNOWN_PROVIDER, "mp_other")
        };
        let path = |id: &str| route.path.replace("{id}", id);
        let foreign = call(&plane, route, &plane.globex, &path(ours), None).await;
        let missing = call(&plane, route, &plane.globex, &path(unknown), None).await;
        assert_eq!(foreign, missing, "{at}");
        let expected = if route.path.contains("/providers/") {
            410
        } else {
            404
        };
        assert_eq!(foreign.status.as_u16(), expected, "{at}: {}", foreign.text);
    }
    assert_eq!(plane.announced(), Vec::<&str>::new());
    // And nothing happened to acme's rows.
    let path = format!(
        "/api/gateway/v1/virtual-keys/{}",
        key["virtual_key"]["id"].as_str().expect("id")
    );
    assert_eq!(
        plane.get(&path).await.fine(200)["virtual_key"],
        key["virtual_key"]
    );
}

fn body_of_key() -> Value {
    json!({ "name": "k", "scopes": [{ "scope_type": "organization", "scope_id": "acme" }] })
}

#[tokio::test]
async fn a_foreign_project_is_not_found_and_an_own_one_is_found_by_id_or_slug() {
    let plane = Plane::new();
    let foreign = project("acme", "default");
    for route in &table().guarded {
        let at = format!("{} {}", route.method, route.path);
        let path = route.path.replace("{id}", "vk_1");
        let context = route.family.has_project_context();
        let alien = call(&plane, route, &plane.globex, &path, Some(foreign.as_str())).await;
        let unknown = call(&plane, route, &plane.globex, &path, Some("proj_unknown")).await;
        if context {
            assert_eq!(alien, unknown, "{at}");
            assert_eq!(alien.status.as_u16(), 404, "{at}");
            let value = alien.json();
            let code = if route.family == Family::Gateway {
                &value["error"]["code"]
            } else {
                &value["error"]
            };
            assert_eq!(*code, "project_not_found", "{at}");
        }
        for own in ["default", "proj_globex-default"] {
            let got = call(&plane, route, &plane.globex, &path, Some(own)).await;
            assert!(
                ![401, 403].contains(&got.status.as_u16()),
                "{at}: {}",
                got.text
            );
            assert!(!got.text.contains("project_not_found"), "{at}");
        }
    }
}

#[tokio::test]
async fn a_credential_is_taken_in_each_of_its_three_forms() {
    let plane = Plane::new();
    let path = "/api/gateway/v1/virtual-keys";
    let basic = |user: &str| {
        let text = format!("{user}:{}", plane.acme);
        format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()))
    };
    let alias = plane.acme.replace("sk-lw-", "lwp_");
    for headers in [
        vec![("authorization", format!("Bearer {}", plane.acme))],
        vec![("authorization", format!("Bearer {alias}"))],
        vec![("authorization", basic("proj_acme-default"))],
        vec![("authorization", basic("default"))],
        vec![("x-auth-token", plane.acme.clone())],
        vec![
            ("authorization", "Basic %%%".into()),
            ("x-auth-token", plane.acme.clone()),
        ],
    ] {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let got = plane.call_with("", Method::GET, path, &headers, None).await;
        assert_eq!(got.status.as_u16(), 200, "{headers:?}: {}", got.text);
    }
    let got = plane
        .call_with(
            "",
            Method::GET,
            path,
            &[("authorization", &basic("nope"))],
            None,
        )
        .await;
    assert_eq!(got.code(), (404, "project_not_found".into()));
}

#[tokio::test]
async fn the_open_routes_are_these_and_no_others() {
    let plane = Plane::new();
    let table = table();
    let open: Vec<&str> = table.open.iter().map(|open| open.path).collect();
    assert_eq!(open, ["/", "/api/health", "/healthz", "/readyz"]);
    for path in open {
        assert_eq!(
            plane
                .call_with("", Method::GET, path, &[], None)
                .await
                .status
                .as_u16(),
            200,
            "{path}"
        );
        let head = plane.call_with("", Method::HEAD, path, &[], None).await;
        assert_eq!(
            (head.status.as_u16(), head.text.as_str()),
            (200, ""),
            "{path}"
        );
    }
    insta::assert_snapshot!(plane.call_with("", Method::GET, "/", &[], None).await.text);
    let starting = Plane::with(|admin| admin.ready = std::sync::Arc::new(|| false));
    let got = starting
        .call_with("", Method::GET, "/readyz", &[], None)
        .await;
    assert_eq!(got.status.as_u16(), 503);
}

#[test]
fn the_table_of_routes_and_permissions_is_a_promise() {
    let rows: Vec<String> = table()
        .guarded
        .iter()
        .map(|route| format!("{:6} {} {}", route.method, route.path, route.permission))
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[tokio::test]
async fn the_last_use_of_a_key_moves_after_a_success_and_once_a_minute() {
    use lw_store::config::ConfigStore as _;
    let plane = Plane::new();
    let lookup = lw_crypto::api_key::parse(&plane.acme)
        .expect("a token")
        .lookup_id;
    let last = || {
        plane
            .store
            .api_key_by_lookup_id(&lookup)
            .expect("asked")
            .expect("a key")
            .last_used_at
    };
    assert_eq!(
        plane
            .get("/api/gateway/v1/virtual-keys/vk_x")
            .await
            .status
            .as_u16(),
        404
    );
    assert_eq!(last(), None);
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(super::NOW));
    plane.clock.set(super::NOW.plus_micros(59_000_000));
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(super::NOW));
    let minute = super::NOW.plus_micros(60_000_000);
    plane.clock.set(minute);
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(minute));
}
