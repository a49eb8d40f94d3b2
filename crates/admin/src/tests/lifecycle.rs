//! The life of a virtual key: rotate, disable, enable, expire, revoke; and who was faster.

use http::Method;
use lw_store::rows::VirtualKey;
use serde_json::{Value, json};

use super::keys::{mint, path_of};
use super::{NOW, Plane, organization};

fn row(plane: &Plane, minted: &Value) -> VirtualKey {
    let id = minted["virtual_key"]["id"].as_str().expect("an id");
    let id = lw_core::VirtualKeyId::parse(id).expect("an id");
    plane
        .store
        .virtual_key(&organization("acme"), &id)
        .expect("asked")
        .expect("a key")
}

#[tokio::test]
async fn rotating_mints_a_secret_and_keeps_the_old_one_for_a_day() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let before = row(&plane, &minted);
    let rotated = plane
        .post(&format!("{}/rotate", path_of(&minted)), json!({}))
        .await;
    assert_eq!(rotated.header("etag"), Some("\"2\""));
    let rotated = rotated.fine(200);
    assert_ne!(rotated["secret"], minted["secret"]);
    let after = row(&plane, &minted);
    assert_eq!(
        after.previous_hashed_secret.as_deref(),
        Some(before.hashed_secret.as_str())
    );
    assert_eq!(
        after.previous_secret_valid_until,
        Some(NOW.plus_micros(86_400_000_000))
    );
    assert_ne!(after.hashed_secret, before.hashed_secret);
    let secret = rotated["secret"].as_str().expect("a secret");
    assert_eq!(rotated["virtual_key"]["display_prefix"], &secret[..13]);

    plane
        .post(&format!("{}/rotate", path_of(&minted)), json!({}))
        .await
        .fine(200);
    let twice = row(&plane, &minted);
    assert_eq!(
        twice.previous_hashed_secret,
        Some(after.hashed_secret),
        "only one is kept"
    );
    assert_eq!(
        plane.announced(),
        ["VK_CREATED", "VK_ROTATED", "VK_ROTATED"]
    );
}

#[tokio::test]
async fn disabling_is_reversible_idempotent_and_keeps_its_reason() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let path = path_of(&minted);
    let (disable, enable) = (format!("{path}/disable"), format!("{path}/enable"));
    let got = plane
        .post(&disable, json!({ "reason": "leaked" }))
        .await
        .fine(200);
    assert_eq!(got["virtual_key"]["status"], "disabled");
    assert_eq!(
        row(&plane, &minted).disabled_reason.as_deref(),
        Some("leaked")
    );
    let again = plane.call(Method::POST, &disable, None).await.fine(200);
    assert_eq!(again["virtual_key"]["revision"], "2", "nothing was written");
    let got = plane.post(&enable, json!({})).await.fine(200);
    assert_eq!(got["virtual_key"]["status"], "active");
    assert_eq!(row(&plane, &minted).disabled_reason, None);
    plane.post(&enable, json!({})).await.fine(200);
    assert_eq!(
        plane.announced(),
        ["VK_CREATED", "VK_DISABLED", "VK_ENABLED"]
    );
    // Audit ids of one instant sort by chance.
    let mut actions: Vec<String> = plane.audit().into_iter().map(|row| row.action).collect();
    actions.sort();
    assert_eq!(
        actions,
        ["created", "disabled", "enabled"].map(|word| format!("gateway.virtual_key.{word}"))
    );
    let got = plane
        .post(&disable, json!({ "reason": "x".repeat(501) }))
        .await;
    assert_eq!(got.code(), (400, "validation_error".into()));
}

#[tokio::test]
async fn revoking_is_terminal_and_each_refusal_has_its_sentence() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let path = path_of(&minted);
    plane
        .post(&format!("{path}/rotate"), json!({}))
        .await
        .fine(200);
    let got = plane
        .post(&format!("{path}/revoke"), json!({}))
        .await
        .fine(200);
    assert_eq!(got["virtual_key"]["status"], "revoked");
    assert_eq!(got["virtual_key"]["revoked_at"], "2026-11-23T14:00:00.000Z");
    let after = row(&plane, &minted);
    assert_eq!(
        (
            after.previous_hashed_secret,
            after.previous_secret_valid_until
        ),
        (None, None)
    );
    let again = plane
        .post(&format!("{path}/revoke"), json!({}))
        .await
        .fine(200);
    assert_eq!(again, got);
    for (method, action, sentence) in [
        (Method::PATCH, "", "Cannot update a revoked virtual key"),
        (
            Method::POST,
            "/rotate",
            "Cannot rotate a revoked virtual key",
        ),
        (
            Method::POST,
            "/disable",
            "A revoked key cannot be disabled; revocation is terminal.",
        ),
        (
            Method::POST,
            "/enable",
            "A revoked key cannot be enabled; mint a new key instead.",
        ),
    ] {
        let got = plane
            .call(method, &format!("{path}{action}"), Some(json!({})))
            .await;
        assert_eq!(got.code(), (400, "bad_request".into()));
        assert_eq!(got.json()["error"]["message"], sentence);
    }
    assert_eq!(
        plane.announced(),
        ["VK_CREATED", "VK_ROTATED", "VK_REVOKED"]
    );
    let listed = plane
        .get("/api/gateway/v1/virtual-keys?status=revoked")
        .await
        .fine(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_expired_key_stays_active_and_a_later_date_restores_it() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({ "expires_at": "2026-11-23T15:00:00Z" })).await;
    plane.clock.set(NOW.plus_micros(2 * 3_600_000_000));
    let path = path_of(&minted);
    let read = plane.get(&path).await.fine(200);
    assert_eq!(read["virtual_key"]["status"], "active");
    let got = plane
        .patch(&path, json!({ "expires_at": "2026-12-23T15:00:00Z" }))
        .await
        .fine(200);
    assert_eq!(got["virtual_key"]["expires_at"], "2026-12-23T15:00:00.000Z");
}

#[tokio::test]
async fn whoever_names_an_old_revision_is_told_the_current_row() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let path = path_of(&minted);
    let patch = |tag: &'static str, name: &'static str| {
        let (plane, path) = (&plane, path.clone());
        async move {
            let headers = [("if-match", tag)];
            let body = Some(json!({ "name": name }));
            plane
                .call_with(&plane.acme, Method::PATCH, &path, &headers, body)
                .await
        }
    };
    let got = patch("\"1\"", "first").await;
    assert_eq!(got.header("etag"), Some("\"2\""));
    got.fine(200);
    let got = patch("\"1\"", "second").await;
    assert_eq!(got.code(), (409, "revision_conflict".into()));
    assert_eq!(got.json()["error"]["meta"]["current"]["name"], "first");
    patch("*", "third").await.fine(200);
    let got = patch("soon", "fourth").await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    assert_eq!(got.json()["error"]["meta"]["target"], "header");
    let headers = [("if-match", "\"1\"")];
    let revoke = format!("{path}/revoke");
    let got = plane
        .call_with(&plane.acme, Method::POST, &revoke, &headers, None)
        .await;
    assert_eq!(got.code(), (409, "revision_conflict".into()));
}

#[tokio::test]
async fn changes_that_race_all_land() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let path = path_of(&minted);
    let a = plane.patch(&path, json!({ "name": "a" }));
    let b = plane.patch(&path, json!({ "description": "b" }));
    let c = plane.patch(&path, json!({ "metadata": { "c": "c" } }));
    let (a, b, c) = tokio::join!(a, b, c);
    for got in [a, b, c] {
        got.fine(200);
    }
    let read = plane.get(&path).await.fine(200)["virtual_key"].clone();
    assert_eq!(
        (
            &read["name"],
            &read["description"],
            &read["metadata"],
            &read["revision"]
        ),
        (&json!("a"), &json!("b"), &json!({ "c": "c" }), &json!("4"))
    );
}
