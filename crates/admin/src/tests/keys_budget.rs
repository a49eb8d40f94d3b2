//! A key's own budget, and calls that are repeated with an `Idempotency-Key` (domain 7.7, management-api 6).

use http::Method;
use lw_core::{NanoUsd, VirtualKeyId};
use lw_store::rows::{Budget, OnBreach};
use serde_json::{Value, json};

use super::keys::mint;
use super::{Got, NOW, Plane, organization};

const KEYS: &str = "/api/gateway/v1/virtual-keys";

fn own(plane: &Plane, id: &str) -> Option<Budget> {
    let id = VirtualKeyId::parse(id).expect("an id");
    plane
        .store
        .own_budget(&organization("acme"), &id)
        .expect("asked")
}

#[tokio::test]
async fn the_budget_field_manages_exactly_one_row() {
    let plane = Plane::new();
    let minted = mint(
        &plane,
        json!({ "name": "ci", "budget": { "limit_usd": 25, "window": "month" } }),
    )
    .await;
    assert_eq!(plane.announced(), ["VK_CREATED", "BUDGET_CREATED"]);
    let id = minted["virtual_key"]["id"].as_str().expect("id");
    let path = format!("{KEYS}/{id}");
    let first = own(&plane, id).expect("a budget");
    assert_eq!(first.name, "ci budget");
    assert_eq!(first.limit, NanoUsd(25_000_000_000));
    assert_eq!(first.on_breach, OnBreach::Block);
    assert_eq!(first.resets_at.to_rfc3339(), "2026-12-01T00:00:00.000Z");

    plane
        .patch(&path, json!({ "name": "other" }))
        .await
        .fine(200);
    assert_eq!(own(&plane, id), Some(first.clone()));
    plane.announced();
    let budget =
        json!({ "limit_usd": "0.5", "window": "day", "on_breach": "warn", "name": "daily" });
    plane
        .patch(&path, json!({ "budget": budget }))
        .await
        .fine(200);
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED", "BUDGET_UPDATED"]);
    let second = own(&plane, id).expect("the budget");
    assert_eq!(second.id, first.id);
    assert_eq!(second.resets_at.to_rfc3339(), "2026-11-24T00:00:00.000Z");
    assert_eq!(
        (second.limit, second.on_breach),
        (NanoUsd(500_000_000), OnBreach::Warn)
    );
    plane
        .patch(&path, json!({ "budget": null }))
        .await
        .fine(200);
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED", "BUDGET_DELETED"]);
    assert_eq!(own(&plane, id), None);
    // A further one is a new row; revoking the key archives it.
    let budget = json!({ "limit_usd": 1, "window": "week" });
    plane
        .patch(&path, json!({ "budget": budget }))
        .await
        .fine(200);
    plane.announced();
    plane
        .post(&format!("{path}/revoke"), json!({}))
        .await
        .fine(200);
    assert_eq!(plane.announced(), ["VK_REVOKED", "BUDGET_DELETED"]);
    assert_eq!(own(&plane, id), None);
    let ended = plane.audit().into_iter();
    let ended = ended.filter(|row| row.action == "gateway.budget.deleted");
    assert_eq!(ended.count(), 2, "one by the patch, one with the key");
}

#[tokio::test]
async fn what_is_wrong_with_a_budget_is_said_at_its_field() {
    let plane = Plane::new();
    for (budget, field) in [
        (json!({ "window": "day" }), "budget.limit_usd"),
        (json!({ "limit_usd": 5 }), "budget.window"),
        (
            json!({ "limit_usd": 0, "window": "day" }),
            "budget.limit_usd",
        ),
        (
            json!({ "limit_usd": "0.0000001", "window": "day" }),
            "budget.limit_usd",
        ),
        (json!({ "limit_usd": 5, "window": "hour" }), "budget.window"),
        (
            json!({ "limit_usd": 5, "window": "day", "on_breach": "shout" }),
            "budget.on_breach",
        ),
        (json!(5), "budget"),
    ] {
        let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
        let body = json!({ "name": "k", "scopes": scopes, "budget": budget });
        let got = plane.post(KEYS, body).await;
        assert_eq!(got.code(), (400, "validation_error".into()));
        assert_eq!(
            got.json()["error"]["meta"]["fields"],
            json!([field]),
            "{budget}"
        );
    }
}

async fn keyed(plane: &Plane, token: &str, key: &str, body: &Value) -> Got {
    let headers = [("idempotency-key", key)];
    plane
        .call_with(token, Method::POST, KEYS, &headers, Some(body.clone()))
        .await
}

fn body() -> Value {
    json!({ "name": "k", "scopes": [{ "scope_type": "organization", "scope_id": "acme" }] })
}

#[tokio::test]
async fn a_repeated_create_gets_the_same_answer_with_its_secret() {
    let plane = Plane::new();
    let first = keyed(&plane, &plane.acme, "same-call", &body()).await;
    assert_eq!(first.status.as_u16(), 201);
    assert_eq!(first.header("x-idempotent-replay"), None);
    let again = keyed(&plane, &plane.acme, "  same-call ", &body()).await;
    assert_eq!(again.text, first.text);
    assert_eq!(again.status, first.status);
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("x-idempotent-replay"), Some("true"));
    assert_eq!(plane.announced(), ["VK_CREATED"]);

    // What the API does not know, and white space around a text, make no other request of it.
    let mut same = body();
    same["name"] = json!(" k ");
    same["a_field_of_a_later_sdk"] = json!(1);
    let got = keyed(&plane, &plane.acme, "same-call", &same).await;
    assert_eq!(got.text, first.text);
    let mut other = body();
    other["name"] = json!("another");
    let got = keyed(&plane, &plane.acme, "same-call", &other).await;
    assert_eq!(got.code(), (409, "idempotency_error".into()));
    assert_eq!(got.json()["error"]["meta"]["reason"], "body_mismatch");
    // Another organization's and another project's keys are their own.
    let mut theirs = body();
    theirs["scopes"][0]["scope_id"] = json!("globex");
    let got = keyed(&plane, &plane.globex, "same-call", &theirs).await;
    assert_eq!(got.status.as_u16(), 201);
    assert_eq!(got.header("x-idempotent-replay"), None);
    for key in ["short", &"x".repeat(256)] {
        let got = keyed(&plane, &plane.acme, key, &body()).await;
        assert_eq!(got.code(), (400, "validation_error".into()));
        assert_eq!(got.json()["error"]["meta"]["target"], "header");
    }
    // After a day the key may be used anew.
    plane.clock.set(NOW.plus_micros(24 * 60 * 60 * 1_000_000));
    let got = keyed(&plane, &plane.acme, "same-call", &other).await;
    assert_eq!(got.status.as_u16(), 201, "{}", got.text);
}

#[tokio::test]
async fn a_failed_create_keeps_its_key_free_and_the_secret_is_sealed() {
    let plane = Plane::new();
    let mut wrong = body();
    wrong["expires_at"] = json!("2020-01-01T00:00:00Z");
    let got = keyed(&plane, &plane.acme, "try-again", &wrong).await;
    assert_eq!(got.code(), (400, "virtual_key_expiry_in_past".into()));
    let made = keyed(&plane, &plane.acme, "try-again", &body()).await;
    let secret = made.fine(201)["secret"]
        .as_str()
        .expect("secret")
        .to_owned();
    let receipt = plane
        .store
        .receipt("org_acme", "try-again", NOW)
        .expect("asked")
        .expect("a receipt");
    assert!(!receipt.sealed_body.contains(&secret));
    // Who lost the permission does not get the answer either.
    let reader = [(
        lw_store::rows::BoundRole::Viewer,
        None,
        "project",
        "default",
    )];
    let token = plane.service_key("acme", "reader", &reader, |_| {});
    let got = keyed(&plane, &token, "try-again", &body()).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
}

#[tokio::test]
async fn of_thirty_two_calls_at_once_one_mints_and_all_get_its_answer() {
    let plane = std::sync::Arc::new(Plane::new());
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let plane = std::sync::Arc::clone(&plane);
            tokio::spawn(async move { keyed(&plane, &plane.acme, "all-at-once", &body()).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("an answer"));
    }
    let first = answers
        .iter()
        .filter(|got| got.header("x-idempotent-replay").is_none())
        .count();
    assert_eq!(first, 1);
    for got in &answers {
        assert_eq!((got.status.as_u16(), &got.text), (201, &answers[0].text));
    }
    let list = plane.get(KEYS).await.fine(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn thirty_two_writers_of_one_key_lose_nothing() {
    let plane = std::sync::Arc::new(Plane::new());
    let minted = mint(&plane, json!({})).await;
    let path = format!(
        "{KEYS}/{}",
        minted["virtual_key"]["id"].as_str().expect("id")
    );
    // Each writer sets a field of its own kind: whatever is lost shows in the end.
    let fields = [
        json!({ "description": "d" }),
        json!({ "external_id": "e" }),
        json!({ "config": { "modelsAllowed": ["gpt-*"] } }),
        json!({ "config": { "rateLimits": { "rpm": 5 } } }),
    ];
    let calls: Vec<_> = (0..32)
        .map(|writer| {
            let (plane, path) = (std::sync::Arc::clone(&plane), path.clone());
            let body = fields[writer % fields.len()].clone();
            tokio::spawn(async move { plane.patch(&path, body).await.fine(200) })
        })
        .collect();
    let mut revisions: Vec<u64> = Vec::new();
    for call in calls {
        let body = call.await.expect("an answer");
        let text = body["virtual_key"]["revision"]
            .as_str()
            .expect("text")
            .to_owned();
        revisions.push(text.parse().expect("a number"));
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=33).collect::<Vec<u64>>());
    let key = plane.get(&path).await.fine(200)["virtual_key"].clone();
    assert_eq!(
        (&key["description"], &key["external_id"]),
        (&json!("d"), &json!("e"))
    );
    assert_eq!(key["config"]["modelsAllowed"], json!(["gpt-*"]));
    assert_eq!(key["config"]["rateLimits"]["rpm"], 5);
    let updates = plane
        .audit()
        .into_iter()
        .filter(|row| row.action.ends_with(".updated"));
    assert_eq!(updates.count(), 32);
}
