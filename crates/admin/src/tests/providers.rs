//! Model providers: what goes in, what is shown, and what never is.

use http::Method;
use lw_store::config::{ModelProviderFilter, Write};
use serde_json::{Value, json};

use super::{Plane, organization, quiet};
use crate::providers::PLACEHOLDER;

pub(super) const PROVIDERS: &str = "/api/gateway/v1/model-providers";

pub(super) async fn store(plane: &Plane, body: Value) -> (String, Value) {
    let stored = plane.post(PROVIDERS, body).await.fine(201)["model_provider"].clone();
    (
        format!("{PROVIDERS}/{}", stored["id"].as_str().expect("an id")),
        stored,
    )
}

pub(super) fn openai() -> Value {
    json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-very-secret" } })
}

#[tokio::test]
async fn a_provider_lives_and_its_credential_is_never_shown() {
    let plane = Plane::new();
    let mut body = openai();
    body["extra_headers"] = json!([{ "key": "X-Team", "value": "header-secret" }]);
    body["custom_keys"]["OPENAI_BASE_URL"] = json!("https://proxy.example.com/v1");
    body["routing_handle"] = json!("EU-Openai");
    body["rate_limit"] = json!({ "rpm": 10 });
    body["fallback_priority_global"] = json!(-1);
    body["provider_config"] = json!({ "region": "eu" });
    let (path, stored) = store(&plane, body).await;
    insta::assert_json_snapshot!(stored);

    let read = plane.get(&path).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(read.fine(200)["model_provider"], stored);
    let listed = plane
        .get(&format!("{PROVIDERS}?provider=openai"))
        .await
        .fine(200);
    assert_eq!(listed, json!({ "data": [stored], "next_cursor": null }));
    let none = plane
        .get(&format!("{PROVIDERS}?provider=anthropic"))
        .await
        .fine(200);
    assert_eq!(none["data"], json!([]));
    let alias = path.replace("/gateway/", "/gateway-platform/");
    assert_eq!(plane.get(&alias).await.fine(200)["model_provider"], stored);

    let patched = plane.patch(&path, json!({ "enabled": false })).await;
    assert_eq!(patched.header("etag"), Some("\"2\""));
    assert_eq!(patched.fine(200)["model_provider"]["enabled"], false);
    let deleted = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(deleted["model_provider"]["id"], stored["id"]);
    assert_eq!(
        plane.get(&path).await.code(),
        (404, "model_provider_not_found".into())
    );
    let again = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(again.code(), (404, "model_provider_not_found".into()));

    assert_eq!(plane.announced(), ["MODEL_PROVIDER_UPDATED"; 3]);
    let audit = plane.audit();
    // Audit ids of one instant sort by chance.
    let mut actions: Vec<&str> = audit.iter().map(|row| row.action.as_str()).collect();
    actions.sort_unstable();
    let words = ["created", "deleted", "updated"];
    assert_eq!(
        actions,
        words.map(|word| format!("gateway.provider_binding.{word}"))
    );
    let all = format!("{audit:?}");
    assert!(
        !all.contains("sk-very-secret") && !all.contains("header-secret"),
        "{all}"
    );
}

#[tokio::test]
async fn credentials_are_sealed_for_their_own_row() {
    let plane = Plane::new();
    store(&plane, openai()).await;
    let page = plane.store.model_providers(
        &organization("acme"),
        &ModelProviderFilter::default(),
        10,
        None,
    );
    let row = page.expect("asked").rows.remove(0);
    assert!(!row.sealed_keys.contains("sk-very-secret") && !row.sealed_keys.is_empty());
    assert_eq!(row.sealed_extra_headers, None);
}

#[tokio::test]
async fn a_patch_of_keys_merges_keeps_behind_the_placeholder_and_deletes_with_null() {
    let plane = Plane::new();
    let mut body = openai();
    body["custom_keys"]["OPENAI_BASE_URL"] = json!("https://a.example.com");
    let (path, _) = store(&plane, body).await;
    let sealed = || {
        let page = plane.store.model_providers(
            &organization("acme"),
            &ModelProviderFilter::default(),
            10,
            None,
        );
        page.expect("asked").rows.remove(0)
    };
    let keys = |keys: Value| plane.patch(&path, json!({ "custom_keys": keys }));
    let shown = |got: Value| got["model_provider"]["custom_keys"].clone();

    let kept = keys(json!({ "OPENAI_API_KEY": PLACEHOLDER }))
        .await
        .fine(200);
    assert_eq!(
        shown(kept),
        json!({ "OPENAI_API_KEY": PLACEHOLDER, "OPENAI_BASE_URL": "https://a.example.com" })
    );
    let dropped = keys(json!({ "OPENAI_BASE_URL": null })).await.fine(200);
    assert_eq!(shown(dropped), json!({ "OPENAI_API_KEY": PLACEHOLDER }));
    let got = keys(json!({ "OPENAI_API_KEY": null })).await;
    assert_eq!(
        got.code(),
        (400, "validation_error".into()),
        "it is required"
    );
    assert_eq!(
        got.json()["error"]["meta"]["fields"],
        json!(["custom_keys.OPENAI_API_KEY"])
    );
    assert_eq!(sealed().revision, 3);

    let got = plane
        .post(
            PROVIDERS,
            json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": PLACEHOLDER } }),
        )
        .await;
    assert_eq!(
        got.code(),
        (400, "validation_error".into()),
        "there is nothing to keep"
    );
}

#[tokio::test]
async fn extra_headers_are_replaced_and_their_masked_values_kept() {
    let plane = Plane::new();
    let mut body = openai();
    body["extra_headers"] = json!([{ "key": "X-A", "value": "1" }, { "key": "x-b", "value": "2" }]);
    let (path, _) = store(&plane, body).await;
    let patch = json!({ "extra_headers": [{ "key": "x-b", "value": PLACEHOLDER }] });
    let got = plane.patch(&path, patch).await.fine(200);
    let shown = json!([{ "key": "x-b", "value": PLACEHOLDER }]);
    assert_eq!(got["model_provider"]["extra_headers"], shown);
    let got = plane
        .patch(
            &path,
            json!({ "extra_headers": [{ "key": "host", "value": "x" }] }),
        )
        .await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    let got = plane
        .patch(&path, json!({ "extra_headers": null }))
        .await
        .fine(200);
    assert_eq!(got["model_provider"]["extra_headers"], Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_a_provider_is_said_at_once_and_without_its_secret() {
    let plane = Plane::new();
    let got = plane
        .post(
            PROVIDERS,
            json!({
                "provider": "custom", "routing_handle": "openai", "rate_limit": { "rpm": -1, "concurrent": "few" },
                "custom_keys": {
                    "CUSTOM_API_KEY": "sk-very\nsecret", "CUSTOM_BASE_URL": "http://10.0.0.1/v1",
                    "OPENAI_API_KEY": "sk-very-secret",
                },
                "provider_config": { "base_url": "ftp://x" }, "enabled": null, "name": "",
            }),
        )
        .await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    assert!(!got.text.contains("secret"), "{}", got.text);
    insta::assert_json_snapshot!(got.json());

    let got = plane
        .post(
            PROVIDERS,
            json!({ "provider": "custom", "custom_keys": {} }),
        )
        .await;
    assert_eq!(
        got.json()["error"]["meta"]["fields"],
        json!(["custom_keys.CUSTOM_BASE_URL"])
    );
    let local = json!({ "CUSTOM_BASE_URL": "http://127.0.0.1:11434/v1" });
    store(
        &plane,
        json!({ "provider": "custom", "custom_keys": local }),
    )
    .await;
    let claude = json!({ "ANTHROPIC_API_KEY": " sk-ant-1\n" });
    let (_, stored) = store(
        &plane,
        json!({ "provider": "anthropic", "custom_keys": claude }),
    )
    .await;
    assert_eq!(stored["name"], "Anthropic");
}

#[tokio::test]
async fn a_routing_handle_is_unique_in_its_organization_and_can_be_cleared() {
    let plane = Plane::new();
    let mut body = openai();
    body["routing_handle"] = json!("eu");
    let (path, stored) = store(&plane, body.clone()).await;
    assert_eq!(stored["routing_handle"], "eu");
    let got = plane.post(PROVIDERS, body.clone()).await;
    assert_eq!(got.code(), (409, "routing_handle_conflict".into()));
    plane
        .call_with(&plane.globex, Method::POST, PROVIDERS, &[], Some(body))
        .await
        .fine(201);
    let got = plane
        .patch(&path, json!({ "routing_handle": "" }))
        .await
        .fine(200);
    assert_eq!(got["model_provider"]["routing_handle"], Value::Null);
    for handle in ["-x", "a b", "ä", &"a".repeat(33), "Gemini"] {
        let got = plane
            .patch(&path, json!({ "routing_handle": handle }))
            .await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{handle}");
    }
}

#[tokio::test]
async fn a_provider_patch_tells_absent_from_null_from_a_value() {
    let plane = Plane::new();
    let mut body = openai();
    body["rate_limit"] = json!({ "rpm": 1, "tpm": 2, "concurrent": 8 });
    body["fallback_priority_global"] = json!(5);
    body["custom_models"] = json!(["m"]);
    body["deployment_mapping"] = json!({ "m": "n" });
    let (path, stored) = store(&plane, body).await;
    let got = plane
        .patch(&path, json!({ "rate_limit": { "rpm": null, "rpd": 3 } }))
        .await
        .fine(200);
    let now = &got["model_provider"];
    assert_eq!(
        now["rate_limit"],
        json!({ "rpm": null, "tpm": 2, "rpd": 3, "concurrent": 8 })
    );
    for field in [
        "fallback_priority_global",
        "custom_models",
        "deployment_mapping",
        "name",
    ] {
        assert_eq!(now[field], stored[field], "{field} is kept");
    }
    let nulls = json!({
        "rate_limit": null, "fallback_priority_global": null, "custom_models": null,
        "deployment_mapping": null, "provider_config": null,
    });
    let got = plane.patch(&path, nulls).await.fine(200);
    let now = &got["model_provider"];
    assert_eq!(
        now["rate_limit"],
        json!({ "rpm": null, "tpm": null, "rpd": null, "concurrent": null })
    );
    for field in [
        "fallback_priority_global",
        "custom_models",
        "deployment_mapping",
    ] {
        assert_eq!(now[field], Value::Null, "{field} is cleared");
    }
    let headers = [("if-match", "\"1\"")];
    let body = Some(json!({ "name": "late" }));
    let got = plane
        .call_with(&plane.acme, Method::PATCH, &path, &headers, body)
        .await;
    assert_eq!(got.code(), (409, "revision_conflict".into()));
    assert_eq!(got.json()["error"]["meta"]["current"]["id"], stored["id"]);
    let got = plane.patch(&path, json!({ "provider": "anthropic" })).await;
    assert_eq!(got.code(), (400, "validation_error".into()));
}

#[tokio::test]
async fn a_provider_made_in_a_project_is_that_projects() {
    let plane = Plane::new();
    let headers = [("x-project-id", "default")];
    let got = plane
        .call_with(
            &plane.acme,
            Method::POST,
            PROVIDERS,
            &headers,
            Some(openai()),
        )
        .await
        .fine(201);
    let scope = json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }]);
    assert_eq!(got["model_provider"]["scopes"], scope);
    let other = [("x-project-id", "governance")];
    let seen = plane
        .call_with(&plane.acme, Method::GET, PROVIDERS, &other, None)
        .await
        .fine(200);
    assert_eq!(seen["data"], json!([]));
}

#[tokio::test]
async fn a_provider_that_cannot_be_opened_is_shown_without_keys_and_can_be_deleted() {
    let plane = Plane::new();
    let (path, _) = store(&plane, openai()).await;
    let page = plane.store.model_providers(
        &organization("acme"),
        &ModelProviderFilter::default(),
        10,
        None,
    );
    let mut row = page.expect("asked").rows.remove(0);
    row.sealed_keys = "damaged".into();
    plane
        .store
        .commit(
            &[Write::UpdateModelProvider {
                row: &row,
                expected: 1,
            }],
            &quiet("damage"),
        )
        .expect("stored");
    let got = plane.get(&path).await.fine(200);
    assert_eq!(got["model_provider"]["custom_keys"], Value::Null);
    let got = plane.patch(&path, json!({ "name": "n" })).await;
    assert_eq!(got.code(), (500, "internal_error".into()));
    plane.call(Method::DELETE, &path, None).await.fine(200);
}
