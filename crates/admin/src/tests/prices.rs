//! Own prices: exact rates, uniqueness, and who may.

use http::Method;
use lw_store::rows::BoundRole;
use serde_json::{Value, json};

use super::revised::{acts, contended, created_once, path_of, refusals, revisions_conflict, walk};
use super::{Plane, project_token};

const PRICES: &str = "/api/gateway/v1/model-prices";

async fn create(plane: &Plane, model: &str, provider: Value) -> Value {
    let body = json!({ "model": model, "provider": provider, "rates": { "input_cost_per_token": 2.5e-6 } });
    plane.post(PRICES, body).await.fine(201)
}

fn price_path(answer: &Value) -> String {
    path_of(PRICES, "model_price", answer)
}

#[tokio::test]
async fn a_price_is_set_changed_and_deleted() {
    let plane = Plane::new();
    let made = plane
        .post(
            PRICES,
            json!({ "model": " my-finetune ", "provider": "openai", "rates": {
                "input_cost_per_token": 0.0000025, "output_cost_per_token": "0.0000100",
                "cache_read_cost_per_token": "2.5e-7", "cache_creation_cost_per_token": null,
            } }),
        )
        .await
        .fine(201);
    insta::assert_json_snapshot!(made);
    let path = price_path(&made);
    assert_eq!(plane.get(&path).await.fine(200), made);
    let told = std::mem::take(&mut *plane.news.0.lock());
    assert_eq!(told[0].kind.as_str(), "MODEL_PROVIDER_UPDATED");
    assert_eq!(
        told[0].model_provider_id, None,
        "all bundles are built anew"
    );

    let changed = plane
        .patch(
            &path,
            json!({ "provider": null, "rates": { "cache_read_cost_per_token": null,
                    "cache_creation_1h_cost_per_token": "1e-15" } }),
        )
        .await;
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let changed = changed.fine(200);
    assert_eq!(changed["model_price"]["provider"], json!(null));
    assert_eq!(
        changed["model_price"]["rates"],
        json!({
            "input_cost_per_token": "0.0000025", "output_cost_per_token": "0.00001",
            "cache_read_cost_per_token": null, "cache_creation_cost_per_token": null,
            "cache_creation_1h_cost_per_token": "0.000000000000001",
        })
    );
    let gone = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(gone, changed);
    let got = plane.get(&path).await;
    assert_eq!(got.code(), (404, "model_price_not_found".into()));
    assert_eq!(
        plane.announced(),
        ["MODEL_PROVIDER_UPDATED", "MODEL_PROVIDER_UPDATED"]
    );
    assert_eq!(
        acts(&plane, "model_price"),
        [
            "gateway.model_price.created",
            "gateway.model_price.deleted",
            "gateway.model_price.updated"
        ]
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_price_is_said_by_field() {
    let plane = Plane::new();
    let rates = |rates: Value| json!({ "model": "m", "rates": rates });
    let bodies = [
        json!({}),
        json!({ "model": "", "provider": "Open AI", "rates": null }),
        rates(json!({})),
        rates(json!({ "input_cost_per_token": null })),
        rates(json!({ "input": 1 })),
        rates(json!({
            "input_cost_per_token": -1, "output_cost_per_token": "1e-16",
            "cache_read_cost_per_token": "1.5", "cache_creation_cost_per_token": "cheap",
            "cache_creation_1h_cost_per_token": true,
        })),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::POST, PRICES, &bodies).await);
    let path = price_path(&create(&plane, "m", json!(null)).await);
    let bodies = [
        json!({ "model": null, "rates": null }),
        json!({ "rates": { "input_cost_per_token": null } }),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::PATCH, &path, &bodies).await);
}

#[tokio::test]
async fn a_model_has_one_price_with_each_provider() {
    let plane = Plane::new();
    create(&plane, "m", json!(null)).await;
    create(&plane, "m", json!("openai")).await;
    let gemini = create(&plane, "m", json!("google")).await;
    assert_eq!(
        gemini["model_price"]["provider"], "gemini",
        "an alias is the same kind"
    );
    for provider in [json!(null), json!("openai"), json!("google_gemini")] {
        let body =
            json!({ "model": "m", "provider": provider, "rates": { "input_cost_per_token": 0 } });
        let got = plane.post(PRICES, body).await;
        assert_eq!(got.code(), (409, "model_price_conflict".into()));
    }
    let got = plane
        .patch(&price_path(&gemini), json!({ "provider": "openai" }))
        .await;
    assert_eq!(got.code(), (409, "model_price_conflict".into()));
    // Another organization has prices of its own.
    let body = json!({ "model": "m", "rates": { "input_cost_per_token": 0 } });
    plane
        .call_with(&plane.globex, Method::POST, PRICES, &[], Some(body))
        .await
        .fine(201);
}

#[tokio::test]
async fn prices_are_listed_by_model_and_provider() {
    let plane = Plane::new();
    for (model, provider) in [
        ("b", json!("openai")),
        ("b", json!(null)),
        ("a", json!("zeta")),
    ] {
        create(&plane, model, provider).await;
    }
    let list = plane.get(PRICES).await.fine(200);
    let rows = list["data"].as_array().expect("rows").iter();
    let found: Vec<_> = rows
        .map(|row| (row["model"].clone(), row["provider"].clone()))
        .collect();
    let row = |model: &str, provider: Value| (json!(model), provider);
    assert_eq!(
        found,
        [
            row("a", json!("zeta")),
            row("b", json!(null)),
            row("b", json!("openai"))
        ]
    );
    let all = walk(&plane, PRICES, 200, async |_| {}).await;
    assert_eq!(walk(&plane, PRICES, 1, async |_| {}).await, all);
}

#[tokio::test]
async fn changes_are_repeatable_ordered_and_none_is_lost() {
    let plane = Plane::new();
    let body = json!({ "model": "m", "rates": { "input_cost_per_token": 0 } });
    let made = created_once(&plane, PRICES, &body).await;
    let path = price_path(&made);
    contended(
        &plane,
        &path,
        "model_price",
        |place| json!({ "rates": { "output_cost_per_token": format!("0.{place:02}") } }),
    )
    .await;
    revisions_conflict(&plane, &path, "model_price", &json!({ "model": "n" })).await;
}

#[tokio::test]
async fn prices_are_seen_where_providers_are_and_written_at_the_organization() {
    let plane = Plane::new();
    let path = price_path(&create(&plane, "m", json!(null)).await);
    let project = project_token("acme", "default");
    let grants = [(BoundRole::Admin, None, "project", "default")];
    let bound = plane.service_key("acme", "bound", &grants, |_| {});
    let body = || json!({ "model": "n", "rates": { "input_cost_per_token": 0 } });
    for token in [&project, &bound] {
        let call =
            async |method, path: &str, sent| plane.call_with(token, method, path, &[], sent).await;
        call(Method::GET, &path, None).await.fine(200);
        for (method, at, sent) in [
            (Method::POST, PRICES, Some(body())),
            (Method::PATCH, path.as_str(), Some(json!({ "model": "x" }))),
            (Method::DELETE, path.as_str(), None),
        ] {
            let got = call(method, at, sent).await;
            assert_eq!(got.code(), (403, "permission_denied".into()));
            let message = &got.json()["error"]["message"];
            assert_eq!(
                message,
                "permission_denied: modelProviders:manage at ORGANIZATION:org_acme"
            );
        }
    }
    // Whoever manages at the organization may also name a project.
    let headers = [("x-project-id", "default")];
    plane
        .call_with(&plane.acme, Method::POST, PRICES, &headers, Some(body()))
        .await
        .fine(201);
    let looks = [(
        BoundRole::Custom,
        Some(&["modelProviders:view"][..]),
        "organization",
        "acme",
    )];
    let looks = plane.service_key("acme", "looks", &looks, |_| {});
    let got = plane
        .call_with(&looks, Method::POST, PRICES, &[], Some(body()))
        .await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    for id in [
        path.clone(),
        format!("{PRICES}/price_none"),
        format!("{PRICES}/nonsense"),
    ] {
        let got = plane
            .call_with(&plane.globex, Method::DELETE, &id, &[], None)
            .await;
        assert_eq!(got.code(), (404, "model_price_not_found".into()));
    }
}
