//! The official route for model providers: a map by kind, and one upsert.

use http::Method;
use lw_store::rows::BoundRole;
use serde_json::{Value, json};

use super::providers::{PROVIDERS, openai, store};
use super::{Got, Plane, project_token};
use crate::providers::PLACEHOLDER;

const OFFICIAL: &str = "/api/model-providers";

async fn put(plane: &Plane, token: &str, kind: &str, body: Value) -> Got {
    let path = format!("{OFFICIAL}/{kind}");
    plane
        .call_with(token, Method::PUT, &path, &[], Some(body))
        .await
}

async fn map(plane: &Plane, token: &str) -> Value {
    plane
        .call_with(token, Method::GET, OFFICIAL, &[], None)
        .await
        .fine(200)
}

fn key(name: &str, value: &str) -> Value {
    json!({ "enabled": true, "customKeys": { name: value } })
}

#[tokio::test]
async fn every_kind_is_listed_and_an_upsert_answers_the_same_map() {
    let plane = Plane::new();
    let token = project_token("acme", "default");
    let before = map(&plane, &token).await;
    insta::assert_json_snapshot!(before);

    let body = json!({
        "enabled": true,
        "customKeys": { "OPENAI_API_KEY": "sk-very-secret", "OPENAI_BASE_URL": "" },
        "customModels": [{ "modelId": "m", "mode": "chat" }], "customEmbeddingsModels": ["e"],
        "extraHeaders": [{ "key": "X-Team", "value": "very-secret" }], "defaultModel": "gpt-5-mini",
    });
    let after = put(&plane, &token, "openai", body).await.fine(200);
    assert_eq!(after, map(&plane, &token).await);
    let mut entry = after["openai"].clone();
    let id = entry["id"].take();
    insta::assert_json_snapshot!(entry);

    let path = format!("{PROVIDERS}/{}", id.as_str().expect("an id"));
    let row = plane.get(&path).await.fine(200)["model_provider"].clone();
    assert_eq!(
        row["provider_config"],
        json!({ "default_model": "openai/gpt-5-mini" })
    );
    let scope = json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }]);
    assert_eq!(row["scopes"], scope);

    // The masks keep what is stored; what is not named stays.
    let masked = json!({
        "enabled": false, "customKeys": { "OPENAI_API_KEY": PLACEHOLDER }, "defaultModel": "other/m",
        "extraHeaders": [{ "key": "x-team", "value": PLACEHOLDER }],
    });
    let got = put(&plane, &token, "openai", masked).await.fine(200);
    assert_eq!(got["openai"]["id"], id);
    assert_eq!(got["openai"]["enabled"], false);
    assert_eq!(
        got["openai"]["customModels"],
        after["openai"]["customModels"]
    );
    assert_eq!(
        got["openai"]["extraHeaders"],
        after["openai"]["extraHeaders"]
    );
    let cleared = put(
        &plane,
        &token,
        "openai",
        json!({ "enabled": true, "defaultModel": null }),
    );
    cleared.await.fine(200);
    let row = plane.get(&path).await.fine(200)["model_provider"].clone();
    assert_eq!(row["provider_config"], Value::Null);

    assert_eq!(plane.announced(), ["MODEL_PROVIDER_UPDATED"; 3]);
    let audit = format!("{:?}", plane.audit());
    assert!(!audit.contains("very-secret"), "{audit}");
    assert!(audit.contains("gateway.provider_binding.created"));
}

#[tokio::test]
async fn the_names_that_the_official_command_line_sends_are_understood() {
    let plane = Plane::new();
    for (sent, name, kind, stored) in [
        ("azure", "AZURE_API_KEY", "azure", "AZURE_OPENAI_API_KEY"),
        ("google", "GOOGLE_API_KEY", "gemini", "GEMINI_API_KEY"),
        ("cohere", "COHERE_API_KEY", "cohere", "COHERE_API_KEY"),
    ] {
        let got = put(&plane, &plane.acme, sent, key(name, "k"))
            .await
            .fine(200);
        assert_eq!(got[kind]["enabled"], true, "{sent}");
        assert_eq!(got[kind]["customKeys"][stored], PLACEHOLDER, "{sent}");
    }
    // The command line cannot name an endpoint: the row is there, and says what it lacks once its
    // credential is changed by id.
    let azure = plane
        .get(&format!("{PROVIDERS}?provider=azure"))
        .await
        .fine(200);
    let id = azure["data"][0]["id"].as_str().expect("an id");
    let path = format!("{PROVIDERS}/{id}");
    plane
        .patch(&path, json!({ "name": "Azure EU" }))
        .await
        .fine(200);
    let got = plane
        .patch(&path, json!({ "custom_keys": { "AZURE_API_KEY": "k2" } }))
        .await;
    assert_eq!(
        got.json()["error"]["meta"]["fields"],
        json!(["custom_keys.AZURE_OPENAI_ENDPOINT"])
    );
    let endpoint = json!({ "provider_config": { "endpoint": "https://a.example.com" } });
    plane.patch(&path, endpoint).await.fine(200);

    let path = format!("{PROVIDERS}?provider=google");
    let listed = plane.get(&path).await.fine(200);
    let scope = json!([{ "scope_type": "organization", "scope_id": "org_acme" }]);
    assert_eq!(listed["data"][0]["scopes"], scope);
}

#[tokio::test]
async fn what_is_wrong_is_a_400_in_the_legacy_envelope() {
    let plane = Plane::new();
    let mut golden = Vec::new();
    for (kind, body) in [
        ("openai", json!({})),
        ("openai", json!({ "enabled": true })),
        ("openai", key("OPENAI_API_KEY", PLACEHOLDER)),
        ("openai", key("ANTHROPIC_API_KEY", "k")),
        ("Open%20AI", key("OPENAI_API_KEY", "k")),
        ("custom", key("CUSTOM_BASE_URL", "http://10.0.0.1")),
        ("openai", json!([1])),
    ] {
        let got = put(&plane, &plane.acme, kind, body).await;
        assert_eq!(got.status.as_u16(), 400, "{kind}: {}", got.text);
        golden.push(got.json());
    }
    insta::assert_json_snapshot!(golden);
    // Switching off what is not there is done already.
    let off = put(&plane, &plane.acme, "openai", json!({ "enabled": false })).await;
    assert_eq!(off.fine(200)["openai"]["enabled"], false);
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn the_narrowest_provider_wins_and_enabled_ones_come_first() {
    let plane = Plane::new();
    let token = project_token("acme", "default");
    let at = |kind: &str, name: &str, more: Value| {
        let mut body = openai();
        body["scopes"] = json!([{ "scope_type": kind, "scope_id": name }]);
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let shown = || async { map(&plane, &token).await["openai"]["id"].clone() };
    let (_, wide) = store(&plane, at("organization", "acme", json!({}))).await;
    assert_eq!(shown().await, wide["id"]);
    let (_, team) = store(&plane, at("team", "default", json!({}))).await;
    assert_eq!(shown().await, team["id"]);
    let (_, off) = store(
        &plane,
        at("project", "default", json!({ "enabled": false })),
    )
    .await;
    assert_eq!(shown().await, off["id"]);
    let (_, on) = store(&plane, at("project", "default", json!({}))).await;
    assert_eq!(shown().await, on["id"]);
    let first = at(
        "project",
        "default",
        json!({ "fallback_priority_global": 1 }),
    );
    let (_, first) = store(&plane, first).await;
    assert_eq!(shown().await, first["id"]);
    // The organization sees what is its own.
    assert_eq!(map(&plane, &plane.acme).await["openai"]["id"], wide["id"]);
}

#[tokio::test]
async fn a_project_cannot_overwrite_what_others_share() {
    let plane = Plane::new();
    let (path, wide) = store(&plane, openai()).await;
    let member = [(BoundRole::Member, None, "project", "default")];
    let member = plane.service_key("acme", "member", &member, |_| {});
    for token in [member, project_token("acme", "default")] {
        // Switching off what the organization hands down is not the project's to do.
        let got = put(&plane, &token, "openai", json!({ "enabled": false })).await;
        assert_eq!(got.status.as_u16(), 403, "{}", got.text);
        let message = "permission_denied: modelProviders:update at ORGANIZATION:org_acme";
        assert_eq!(got.json()["message"], message);
        // A key of its own goes before the organization's.
        let got = put(&plane, &token, "openai", key("OPENAI_API_KEY", "own")).await;
        let id = got.fine(200)["openai"]["id"].clone();
        assert_ne!(id, wide["id"]);
        let own = format!("{PROVIDERS}/{}", id.as_str().expect("an id"));
        plane.call(Method::DELETE, &own, None).await.fine(200);
    }
    assert_eq!(plane.get(&path).await.fine(200)["model_provider"], wide);

    // Who may change it where it is, changes it there.
    let context = [("x-project-id", "default")];
    let body = Some(json!({ "enabled": false }));
    let path = format!("{OFFICIAL}/openai");
    let got = plane
        .call_with(&plane.acme, Method::PUT, &path, &context, body)
        .await
        .fine(200);
    assert_eq!(got["openai"]["id"], wide["id"]);
    assert_eq!(got["openai"]["enabled"], false);
}

#[tokio::test]
async fn the_official_route_takes_either_permission_and_no_less() {
    let plane = Plane::new();
    for (name, list, may) in [
        ("a", "project:update", true),
        ("b", "modelProviders:update", true),
        ("c", "gatewayProviders:manage", true),
        ("d", "modelProviders:view", false),
        ("e", "virtualKeys:manage", false),
    ] {
        let list: &[&str] = &[list, "project:view"];
        let key_of = [(BoundRole::Custom, Some(list), "project", "default")];
        let token = plane.service_key("acme", name, &key_of, |_| {});
        let got = put(&plane, &token, "groq", key("GROQ_API_KEY", "k")).await;
        let expected = if may { 200 } else { 403 };
        assert_eq!(got.status.as_u16(), expected, "{name}: {}", got.text);
        if !may {
            assert_eq!(got.json()["permission"], "project:update", "{}", got.text);
            assert!(got.text.contains("project:update or modelProviders:update"));
        }
        map(&plane, &token).await;
    }
    // In the organization's context it is asked for at the organization.
    let team = [(BoundRole::Admin, None, "team", "default")];
    let token = plane.service_key("acme", "team", &team, |_| {});
    let got = put(&plane, &token, "xai", key("XAI_API_KEY", "k")).await;
    assert_eq!(got.status.as_u16(), 403, "{}", got.text);
    assert_eq!(
        map(&plane, &plane.globex).await["groq"]["customKeys"],
        Value::Null
    );
}
