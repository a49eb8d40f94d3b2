//! Model providers: who sees and who may write what, and what happens when several write at once.

use std::sync::Arc;

use http::Method;
use lw_store::rows::{BoundRole, MemberRole};
use serde_json::{Value, json};

use super::providers::{PROVIDERS, openai, store};
use super::{Got, Plane, project_token};
use crate::providers::PLACEHOLDER;

fn at(kind: &str, name: &str) -> Value {
    json!([{ "scope_type": kind, "scope_id": name }])
}

/// Stores a provider at one scope; its path and id.
async fn stored_at(plane: &Plane, kind: &str, name: &str) -> (String, String) {
    let mut body = openai();
    body["scopes"] = at(kind, name);
    let (path, stored) = store(plane, body).await;
    (path, stored["id"].as_str().expect("an id").to_owned())
}

async fn create_at(plane: &Plane, token: &str, kind: &str, name: &str) -> Got {
    let mut body = openai();
    body["scopes"] = at(kind, name);
    plane
        .call_with(token, Method::POST, PROVIDERS, &[], Some(body))
        .await
}

async fn as_who(plane: &Plane, token: &str, method: Method, path: &str) -> Got {
    let body = (method == Method::PATCH).then(|| json!({ "name": "n" }));
    plane.call_with(token, method, path, &[], body).await
}

async fn ids(plane: &Plane, token: &str) -> Vec<String> {
    let listed = plane
        .call_with(token, Method::GET, PROVIDERS, &[], None)
        .await;
    let data = listed.fine(200)["data"].clone();
    let rows = data.as_array().expect("rows");
    rows.iter()
        .map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn what_is_handed_down_is_seen_and_what_is_beside_is_not() {
    let plane = Plane::new();
    plane.further_team("acme", "red");
    let (_, organization) = stored_at(&plane, "organization", "acme").await;
    let (_, team) = stored_at(&plane, "team", "default").await;
    let (_, project) = stored_at(&plane, "project", "default").await;
    let (red_path, red) = stored_at(&plane, "team", "red").await;

    let viewer = |name: &str, kind: &'static str, scope: &'static str| {
        plane.service_key(
            "acme",
            name,
            &[(BoundRole::Viewer, None, kind, scope)],
            |_| {},
        )
    };
    let mut in_project = ids(&plane, &viewer("p", "project", "default")).await;
    in_project.sort();
    let mut expected = vec![organization.clone(), team.clone(), project.clone()];
    expected.sort();
    assert_eq!(in_project, expected);
    let mut legacy = ids(&plane, &project_token("acme", "default")).await;
    legacy.sort();
    assert_eq!(legacy, expected);
    let mut in_team = ids(&plane, &viewer("t", "team", "default")).await;
    in_team.sort();
    assert_eq!(in_team, expected);
    assert_eq!(ids(&plane, &plane.acme).await.len(), 4);
    assert!(ids(&plane, &plane.globex).await.is_empty());

    // One page is full although other teams' rows lie between.
    let key = viewer("red", "team", "red");
    let first = plane
        .call_with(
            &key,
            Method::GET,
            &format!("{PROVIDERS}?limit=1"),
            &[],
            None,
        )
        .await
        .fine(200);
    assert_eq!(first["data"].as_array().map(Vec::len), Some(1));
    let mut seen = ids(&plane, &key).await;
    seen.sort();
    let mut expected = vec![organization, red];
    expected.sort();
    assert_eq!(seen, expected);

    // A sibling's provider is one that does not exist.
    let stranger = viewer("stranger", "project", "default");
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let theirs = as_who(&plane, &stranger, method.clone(), &red_path).await;
        let unknown = format!("{PROVIDERS}/mp_unknown");
        let none = as_who(&plane, &stranger, method.clone(), &unknown).await;
        assert_eq!(theirs, none, "{method}");
    }
}

#[tokio::test]
async fn each_write_has_its_gate() {
    let plane = Plane::new();
    plane.further_team("acme", "red");
    let admin = [(BoundRole::Admin, None, "team", "default")];
    let admin = plane.service_key("acme", "admin", &admin, |_| {});
    let member = [(BoundRole::Member, None, "team", "default")];
    let member = plane.service_key("acme", "member", &member, |_| {});

    // Managing at every scope, or the route's permission is lacking at all.
    create_at(&plane, &admin, "team", "default").await.fine(201);
    create_at(&plane, &admin, "project", "default")
        .await
        .fine(201);
    let got = create_at(&plane, &admin, "team", "red").await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let got = create_at(&plane, &admin, "organization", "acme").await;
    let message = got.json()["error"]["message"].clone();
    assert_eq!(
        message,
        "permission_denied: modelProviders:manage at ORGANIZATION:org_acme"
    );
    let got = create_at(&plane, &member, "team", "default").await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));

    // What a team's administrator sees of the organization's it may not touch.
    let (wide, id) = stored_at(&plane, "organization", "acme").await;
    for method in [Method::PATCH, Method::DELETE] {
        let got = as_who(&plane, &admin, method.clone(), &wide).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{method}");
    }
    let got = as_who(&plane, &admin, Method::POST, &format!("{wide}/test")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    assert!(plane.probes.lock().asked.is_empty());

    // Shared: updating takes one of the scopes, deleting and leaving one takes all of them.
    let both = json!([
        { "scope_type": "organization", "scope_id": "acme" },
        { "scope_type": "team", "scope_id": "default" },
    ]);
    plane
        .patch(&wide, json!({ "scopes": both }))
        .await
        .fine(200);
    as_who(&plane, &admin, Method::PATCH, &wide).await.fine(200);
    let got = as_who(&plane, &admin, Method::DELETE, &wide).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let scopes = |scopes: Value| {
        plane.call_with(
            &admin,
            Method::PATCH,
            &wide,
            &[],
            Some(json!({ "scopes": scopes })),
        )
    };
    let got = scopes(at("team", "default")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let got = scopes(at("team", "red")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let got = scopes(at("team", "nowhere")).await;
    assert_eq!(
        got.code(),
        (403, "permission_denied".into()),
        "unknown or foreign"
    );
    // Naming the same scopes again is no change.
    scopes(both).await.fine(200);
    let got = plane
        .patch(
            &wide,
            json!({ "scopes": at("project", "proj_globex-default") }),
        )
        .await;
    assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
    assert!(plane.get(&wide).await.text.contains(&id));
}

#[tokio::test]
async fn a_role_that_lists_updating_may_create_at_its_scope_and_nothing_else() {
    let plane = Plane::new();
    let list: &[&str] = &["modelProviders:update", "modelProviders:view"];
    let key = [(BoundRole::Custom, Some(list), "team", "default")];
    let key = plane.service_key("acme", "ci", &key, |_| {});
    let made = create_at(&plane, &key, "team", "default").await.fine(201);
    let id = made["model_provider"]["id"].as_str().expect("an id");
    let got = create_at(&plane, &key, "organization", "acme").await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let path = format!("{PROVIDERS}/{id}");
    as_who(&plane, &key, Method::PATCH, &path).await.fine(200);
    let got = as_who(&plane, &key, Method::DELETE, &path).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));

    // The gateway's spelling is the same permission (C-9).
    let list: &[&str] = &["gatewayProviders:manage"];
    let key = [(BoundRole::Custom, Some(list), "project", "default")];
    let key = plane.service_key("acme", "c9", &key, |_| {});
    let made = create_at(&plane, &key, "project", "default")
        .await
        .fine(201);
    let id = made["model_provider"]["id"].as_str().expect("an id");
    let path = format!("{PROVIDERS}/{id}");
    as_who(&plane, &key, Method::DELETE, &path).await.fine(200);
}

#[tokio::test]
async fn a_personal_key_does_no_more_than_its_owner() {
    let plane = Plane::new();
    let owner = plane.member("acme", "ann", MemberRole::Member);
    plane.in_team("acme", "default", &owner, BoundRole::Viewer);
    let everything = [(BoundRole::Admin, None, "team", "default")];
    let key = plane.service_key("acme", "anns", &everything, |row| {
        row.user_id = Some(owner.clone());
    });
    let (path, id) = stored_at(&plane, "team", "default").await;
    assert_eq!(ids(&plane, &key).await, [id]);
    let got = as_who(&plane, &key, Method::PATCH, &path).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
}

#[tokio::test]
async fn a_project_key_writes_in_its_project_only() {
    let plane = Plane::new();
    let key = project_token("acme", "default");
    let call = |body: Value| plane.call_with(&key, Method::POST, PROVIDERS, &[], Some(body));
    let made = call(openai()).await.fine(201);
    let scope = json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }]);
    assert_eq!(made["model_provider"]["scopes"], scope);
    let mut wider = openai();
    wider["scopes"] = at("organization", "acme");
    assert_eq!(call(wider).await.code(), (403, "permission_denied".into()));
}

#[tokio::test]
async fn a_test_asks_the_provider_ten_times_a_minute() {
    let plane = Plane::new();
    let (path, id) = stored_at(&plane, "organization", "acme").await;
    let test = format!("{path}/test");
    let works = plane.post(&test, json!({})).await.fine(200);
    assert_eq!(works, json!({ "ok": true, "latency_ms": 7 }));
    plane.probes.lock().error = Some("The key is not valid.".into());
    let alias = test.replace("/gateway/", "/gateway-platform/");
    let fails = plane.call(Method::POST, &alias, None).await.fine(200);
    let said = json!({ "ok": false, "latency_ms": 7, "error": "The key is not valid." });
    assert_eq!(fails, said);
    let unknown = plane
        .post(&format!("{PROVIDERS}/mp_unknown/test"), json!({}))
        .await;
    assert_eq!(unknown.code(), (404, "model_provider_not_found".into()));
    for _ in 2..10 {
        plane.post(&test, json!({})).await.fine(200);
    }
    let got = plane.post(&test, json!({})).await;
    assert_eq!(got.code(), (429, "rate_limited".into()));
    assert!(got.header("retry-after").is_some());
    assert_eq!(plane.probes.lock().asked, vec![id; 10]);
    // The organization next door has its own ten, and nothing was audited but the create.
    let other = plane
        .call_with(&plane.globex, Method::POST, PROVIDERS, &[], Some(openai()))
        .await
        .fine(201);
    let id = other["model_provider"]["id"].as_str().expect("an id");
    let path = format!("{PROVIDERS}/{id}/test");
    plane
        .call_with(&plane.globex, Method::POST, &path, &[], None)
        .await
        .fine(200);
    let audit = plane.audit();
    let own = audit.iter().filter(|row| row.target_kind.is_some()).count();
    assert_eq!(own, 1);
}

#[tokio::test]
async fn a_create_that_is_repeated_with_its_key_happens_once() {
    let plane = Plane::new();
    let headers = [("idempotency-key", "create-openai-1")];
    let call =
        |body: Value| plane.call_with(&plane.acme, Method::POST, PROVIDERS, &headers, Some(body));
    let first = call(openai()).await;
    let again = call(openai()).await;
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("x-idempotent-replay"), Some("true"));
    assert_eq!(first.header("etag"), again.header("etag"));
    let mut other = openai();
    other["name"] = json!("other");
    assert_eq!(call(other).await.code(), (409, "idempotency_error".into()));
    let lacking = json!({ "provider": "openai", "custom_keys": {} });
    assert_eq!(call(lacking).await.code(), (400, "validation_error".into()));
    assert_eq!(ids(&plane, &plane.acme).await.len(), 1);
    assert_eq!(plane.announced(), ["MODEL_PROVIDER_UPDATED"]);
}

#[tokio::test]
async fn a_change_of_an_old_revision_is_refused_with_the_newest() {
    let plane = Plane::new();
    let (path, _) = stored_at(&plane, "organization", "acme").await;
    plane
        .patch(&path, json!({ "name": "second" }))
        .await
        .fine(200);
    for (method, body) in [
        (Method::PATCH, Some(json!({ "name": "late" }))),
        (Method::DELETE, None),
    ] {
        let headers = [("if-match", "\"1\"")];
        let got = plane
            .call_with(&plane.acme, method.clone(), &path, &headers, body.clone())
            .await;
        assert_eq!(got.code(), (409, "revision_conflict".into()));
        let current = got.json()["error"]["meta"]["current"]["name"].clone();
        assert_eq!(current, "second");
    }
    let headers = [("if-match", "\"2\"")];
    plane
        .call_with(&plane.acme, Method::DELETE, &path, &headers, None)
        .await
        .fine(200);
}

#[tokio::test]
async fn thirty_two_writers_of_one_provider_all_land() {
    let plane = Arc::new(Plane::new());
    let (path, _) = stored_at(&plane, "organization", "acme").await;
    let writers: Vec<_> = (0..32)
        .map(|number| {
            let (plane, path) = (Arc::clone(&plane), path.clone());
            tokio::spawn(async move {
                let patch = json!({ "deployment_mapping": { format!("m{number}"): "n" } });
                plane.patch(&path, patch).await.fine(200);
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(plane.get(&path).await.header("etag"), Some("\"33\""));
    let audit = plane.audit();
    let updates = audit
        .iter()
        .filter(|row| row.action == "gateway.provider_binding.updated");
    assert_eq!(updates.count(), 32);
}

#[tokio::test]
async fn provider_bindings_are_gone_for_everybody_with_a_credential() {
    let plane = Plane::new();
    let base = "/api/gateway/v1/providers";
    let reader = [(BoundRole::Viewer, None, "project", "default")];
    let reader = plane.service_key("acme", "reader", &reader, |_| {});
    for (method, path) in [
        (Method::GET, base.to_owned()),
        (Method::POST, base.to_owned()),
        (Method::PATCH, format!("{base}/x")),
        (Method::DELETE, format!("{base}/x")),
    ] {
        let got = plane
            .call_with(&reader, method.clone(), &path, &[], None)
            .await;
        assert_eq!(
            got.code(),
            (410, "gateway_provider_bindings_gone".into()),
            "{method}"
        );
        assert_eq!(got.json()["error"]["type"], "gone");
        assert!(
            got.text
                .contains("/api/gateway-platform/v1/model-providers")
        );
    }
}

#[tokio::test]
async fn a_stored_credential_is_not_sent_elsewhere_by_who_may_only_update() {
    let plane = Plane::new();
    let made = plane
        .post(
            "/api/gateway/v1/model-providers",
            json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" } }),
        )
        .await
        .fine(201);
    let id = made["model_provider"]["id"].as_str().expect("an id");
    let path = format!("/api/gateway/v1/model-providers/{id}");
    let list = ["modelProviders:update"];
    let custom = [(BoundRole::Custom, Some(&list[..]), "organization", "acme")];
    let updater = plane.service_key("acme", "updater", &custom, |_| {});
    let elsewhere = "https://elsewhere.example.com/v1";
    let patch = |token: String, body: Value| {
        let (plane, path) = (&plane, path.clone());
        async move {
            plane
                .call_with(&token, Method::PATCH, &path, &[], Some(body))
                .await
        }
    };
    for body in [
        json!({ "custom_keys": { "OPENAI_BASE_URL": elsewhere } }),
        json!({ "provider_config": { "base_url": elsewhere } }),
    ] {
        let got = patch(updater.clone(), body).await;
        assert_eq!(got.code(), (403, "permission_denied".into()));
        assert!(
            got.text.contains("Send the credential again"),
            "{}",
            got.text
        );
    }
    let both = json!({ "custom_keys": { "OPENAI_API_KEY": "sk-2", "OPENAI_BASE_URL": elsewhere } });
    patch(updater.clone(), both).await.fine(200);
    // On the same server, and for who manages it, nothing is asked.
    let path_only = json!({ "custom_keys": { "OPENAI_BASE_URL": format!("{elsewhere}/x") } });
    patch(updater, path_only).await.fine(200);
    let back = json!({ "custom_keys": { "OPENAI_BASE_URL": "https://a.example.com" } });
    patch(plane.acme.clone(), back).await.fine(200);
}

/// A provider as an administrator stored it, and somebody who may update providers and no more.
struct Redirected {
    plane: Plane,
    path: String,
    updater: String,
}

impl Redirected {
    async fn new(body: Value) -> Self {
        let plane = Plane::new();
        let (path, _) = store(&plane, body).await;
        let list = ["modelProviders:update"];
        let custom = [(BoundRole::Custom, Some(&list[..]), "organization", "acme")];
        let updater = plane.service_key("acme", "updater", &custom, |_| {});
        Self {
            plane,
            path,
            updater,
        }
    }

    /// The status of a change by who may only update.
    async fn tries(&self, body: &Value) -> u16 {
        let got = self
            .plane
            .call_with(
                &self.updater,
                Method::PATCH,
                &self.path,
                &[],
                Some(body.clone()),
            )
            .await;
        if got.status == 403 {
            assert!(
                got.text.contains("Send the credential again"),
                "{}",
                got.text
            );
        }
        got.status.as_u16()
    }
}

#[tokio::test]
async fn a_stored_header_is_not_sent_elsewhere_by_who_may_only_update() {
    let elsewhere = json!({
        "CUSTOM_API_KEY": "mine", "CUSTOM_BASE_URL": "https://elsewhere.example.com",
    });
    let ours = json!({ "key": "x-ours", "value": "ours" });
    for (headers, status) in [
        (None, 403),
        (
            Some(json!([ours, { "key": "x-secret", "value": PLACEHOLDER }])),
            403,
        ),
        (
            Some(json!([ours, { "key": "x-secret", "value": "mine" }])),
            200,
        ),
        (Some(json!([])), 200),
        (Some(Value::Null), 200),
    ] {
        let row = Redirected::new(json!({
            "provider": "custom",
            "custom_keys": {
                "CUSTOM_API_KEY": "sk-c", "CUSTOM_BASE_URL": "https://c.example.com",
            },
            "extra_headers": [{ "key": "x-secret", "value": "TOP" }],
        }))
        .await;
        let mut body = json!({ "custom_keys": elsewhere });
        if let Some(headers) = &headers {
            body["extra_headers"] = headers.clone();
        }
        assert_eq!(row.tries(&body).await, status, "{headers:?}");
    }

    // The official route, by a member of the project.
    let row = Redirected::new(json!({
        "provider": "custom", "scopes": at("project", "default"),
        "custom_keys": { "CUSTOM_BASE_URL": "https://c.example.com" },
        "extra_headers": [{ "key": "x-secret", "value": "TOP" }],
    }))
    .await;
    let member = [(BoundRole::Member, None, "project", "default")];
    let member = row.plane.service_key("acme", "member", &member, |_| {});
    let put = |body: Value| {
        let path = "/api/model-providers/custom";
        row.plane
            .call_with(&member, Method::PUT, path, &[], Some(body))
    };
    let got = put(json!({ "enabled": true, "customKeys": elsewhere })).await;
    assert_eq!(got.status, 403, "{}", got.text);
    let got = put(json!({ "enabled": true, "customKeys": elsewhere, "extraHeaders": [] })).await;
    assert_eq!(got.status, 200, "{}", got.text);
}

#[tokio::test]
async fn what_is_dialled_decides_whether_a_change_redirects() {
    let azure = |config: Value| {
        json!({
            "provider": "azure", "provider_config": config,
            "custom_keys": {
                "AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://a.example.com",
            },
        })
    };
    let bag = |url: &str| json!({ "custom_keys": { "AZURE_OPENAI_ENDPOINT": url } });
    let config = |config: Value| json!({ "provider_config": config });
    let note = json!({ "note": { "docs": ["https://b.example.com/x"] } });
    let vertex = json!({
        "provider": "vertex_ai",
        "custom_keys": { "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "europe-west1" },
        "extra_headers": [{ "key": "x-secret", "value": "TOP" }],
    });
    let shadowed = json!({ "base_url": "https://b.example.com" });
    for (case, stored, change, status) in [
        (
            "an address in a note was never dialled",
            azure(note.clone()),
            bag("https://b.example.com"),
            403,
        ),
        (
            "a note is not dialled",
            azure(Value::Null),
            config(note),
            200,
        ),
        (
            "another path of the server",
            azure(Value::Null),
            bag("https://a.example.com/v1"),
            200,
        ),
        (
            "the same server by a setting",
            azure(Value::Null),
            config(json!({ "endpoint": "https://a.example.com/v1" })),
            200,
        ),
        (
            "a setting that wins goes, and what it hid is dialled",
            azure(shadowed.clone()),
            config(Value::Null),
            403,
        ),
        (
            "an address that a setting hides",
            azure(shadowed.clone()),
            bag("https://c.example.com"),
            403,
        ),
        (
            "two addresses change places",
            azure(shadowed),
            json!({
                "provider_config": { "base_url": "https://a.example.com" },
                "custom_keys": { "AZURE_OPENAI_ENDPOINT": "https://b.example.com" },
            }),
            403,
        ),
        (
            "where a token is fetched",
            azure(Value::Null),
            config(json!({ "token_uri": "https://a.example.com/token" })),
            403,
        ),
        (
            "a region that is part of the host",
            vertex.clone(),
            json!({ "custom_keys": { "VERTEXAI_LOCATION": "us-east1" } }),
            403,
        ),
        (
            "such a region by a setting",
            vertex.clone(),
            config(json!({ "region": "us-east1" })),
            403,
        ),
        (
            "the same region by a setting",
            vertex,
            config(json!({ "region": "europe-west1" })),
            200,
        ),
        (
            "a region that nothing is derived from",
            azure(Value::Null),
            config(json!({ "region": "eu" })),
            200,
        ),
    ] {
        let row = Redirected::new(stored).await;
        assert_eq!(row.tries(&change).await, status, "{case}");
    }
}
