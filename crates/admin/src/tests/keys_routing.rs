//! Routing policies and guardrails as keys use them, what a key effectively reaches, capture (domain 7.5,
//! 8, 9, 15).

use lw_core::{GuardrailId, ModelProviderId, RoutingPolicyId};
use lw_store::config::Write;
use lw_store::rows::{
    BoundRole, CaptureMode, FailureMode, Guardrail, GuardrailDirection, RoutingPolicy, Strategy,
};
use serde_json::{Value, json};

use super::keys::mint;
use super::{NOW, Plane, organization, project, quiet, scope_of};

const KEYS: &str = "/api/gateway/v1/virtual-keys";

fn policy(plane: &Plane, org: &str, name: &str, providers: &[&str]) -> RoutingPolicy {
    let row = RoutingPolicy {
        id: RoutingPolicyId::parse(&format!("rp_{org}-{name}")).expect("an id"),
        organization_id: organization(org),
        name: name.to_owned(),
        description: None,
        strategy: Strategy::Ordered,
        model_provider_ids: providers
            .iter()
            .map(|id| ModelProviderId::parse(id).expect("an id"))
            .collect(),
        model_aliases: [("mini".to_owned(), "openai/gpt-5-mini".to_owned())].into(),
        default_model: Some("openai/gpt-5".into()),
        policy_rules: json!({}),
        fallback: Some(json!({ "maxAttempts": 5 })),
        is_default: false,
        scopes: vec![scope_of(org, "organization", org)],
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    let quiet = quiet(&format!("policy-{org}-{name}"));
    plane
        .store
        .commit(&[Write::InsertRoutingPolicy(&row)], &quiet)
        .expect("a policy");
    row
}

fn guardrail(plane: &Plane, org: &str, name: &str) -> String {
    let row = Guardrail {
        id: GuardrailId::parse(&format!("guard_{org}-{name}")).expect("an id"),
        organization_id: organization(org),
        project_id: project(org, name),
        name: name.to_owned(),
        description: None,
        evaluator_id: format!("ev_{name}"),
        evaluator_slug: "length".into(),
        settings: json!({ "max_chars": 10 }),
        sealed_settings: None,
        direction: GuardrailDirection::Pre,
        failure_mode: FailureMode::FailClosed,
        archived_at: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    let quiet = quiet(&format!("guardrail-{org}-{name}"));
    plane
        .store
        .commit(&[Write::InsertGuardrail(&row)], &quiet)
        .expect("a guardrail");
    row.id.to_string()
}

async fn provider(plane: &Plane, kind: &str, key: &str, priority: Value) -> String {
    let body = json!({
        "provider": kind, "custom_keys": { key: "sk-1" }, "fallback_priority_global": priority,
    });
    let made = plane
        .post("/api/gateway/v1/model-providers", body)
        .await
        .fine(201);
    made["model_provider"]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[tokio::test]
async fn a_policy_is_inferred_from_its_id_and_leaves_with_null() {
    let plane = Plane::new();
    let row = policy(&plane, "acme", "p", &["mp_a"]);
    let minted = mint(&plane, json!({})).await;
    let path = format!(
        "{KEYS}/{}",
        minted["virtual_key"]["id"].as_str().expect("id")
    );
    let routed = |body: &Value| {
        let key = &body["virtual_key"];
        (
            key["routing_mode"].clone(),
            key["routing_policy_id"].clone(),
        )
    };
    let got = plane
        .patch(&path, json!({ "routing_policy_id": row.id }))
        .await;
    assert_eq!(routed(&got.fine(200)), (json!("policy"), json!(row.id)));
    let got = plane.patch(&path, json!({ "name": "x" })).await;
    assert_eq!(routed(&got.fine(200)), (json!("policy"), json!(row.id)));
    let got = plane
        .patch(
            &path,
            json!({ "routing_policy_id": row.id, "routing_mode": "none" }),
        )
        .await;
    assert_eq!(got.code(), (400, "routing_policy_conflict".into()));
    let got = plane
        .patch(&path, json!({ "routing_policy_id": null }))
        .await;
    assert_eq!(routed(&got.fine(200)), (json!("none"), Value::Null));
    let got = plane
        .patch(&path, json!({ "routing_mode": "policy" }))
        .await;
    assert_eq!(got.code(), (400, "routing_policy_required".into()));
    // A policy of somebody else is no policy.
    let foreign = policy(&plane, "globex", "p", &["mp_a"]);
    for id in [foreign.id.as_str(), "rp_unknown", "nonsense"] {
        let got = plane.patch(&path, json!({ "routing_policy_id": id })).await;
        assert_eq!(got.code(), (404, "routing_policy_not_found".into()), "{id}");
    }
    let found = plane
        .get(&format!("{KEYS}?routing_policy_id={}", row.id))
        .await
        .fine(200);
    assert_eq!(found["data"], json!([]));
}

#[tokio::test]
async fn what_a_key_effectively_reaches_says_order_exclusions_and_aliases() {
    let plane = Plane::new();
    let late = provider(&plane, "openai", "OPENAI_API_KEY", Value::Null).await;
    let early = provider(&plane, "anthropic", "ANTHROPIC_API_KEY", json!(1)).await;
    let shut = provider(&plane, "openai", "OPENAI_API_KEY", json!(5)).await;
    let minted = mint(&plane, json!({})).await;
    let path = format!(
        "{KEYS}/{}",
        minted["virtual_key"]["id"].as_str().expect("id")
    );
    let effective = || async { plane.get(&format!("{path}/effective")).await.fine(200) };
    let ids = |body: &Value, list: &str, more: &str| -> Vec<(String, Value)> {
        body[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| {
                (
                    row["id"].as_str().expect("id").to_owned(),
                    row[more].clone(),
                )
            })
            .collect()
    };
    let body = effective().await;
    let expected = [(&early, 0), (&shut, 1), (&late, 2)];
    let expected = expected.map(|(id, at)| (id.clone(), json!(at)));
    assert_eq!(ids(&body, "providers", "position"), expected);
    assert_eq!(body["max_attempts"], 1);

    let row = policy(&plane, "acme", "p", &[&late, "mp_deleted", &early]);
    let config = json!({
        "providersAllowed": [late, early],
        "model_aliases": { "fast": "anthropic/claude-haiku-4-5", "gpt-4o": "openai/gpt-5" },
    });
    plane
        .patch(
            &path,
            json!({ "routing_policy_id": row.id, "config": config }),
        )
        .await
        .fine(200);
    let body = effective().await;
    let expected = [(late.clone(), json!(0)), (early.clone(), json!(1))];
    assert_eq!(ids(&body, "providers", "position"), expected);
    let expected = [(shut.clone(), json!("not_allowed"))];
    assert_eq!(ids(&body, "excluded_providers", "reason"), expected);
    assert_eq!(body["max_attempts"], 5);
    let alias = |target: &str, origin: &str| json!({ "target": target, "origin": origin });
    assert_eq!(
        body["model_aliases"],
        json!({
            "mini": alias("openai/gpt-5-mini", "policy"),
            "complex": alias("openai/gpt-5", "policy"),
            "reasoning": alias("openai/gpt-5", "policy"),
            "fast": alias("anthropic/claude-haiku-4-5", "key"),
            "gpt-4o": alias("openai/gpt-5", "key"),
        })
    );
    // A provider that the policy leaves out says so.
    let narrow = policy(&plane, "acme", "narrow", &[&early]);
    plane
        .patch(&path, json!({ "routing_policy_id": narrow.id }))
        .await
        .fine(200);
    let body = effective().await;
    let expected = [
        (late.clone(), json!("not_in_policy")),
        (shut.clone(), json!("not_allowed")),
    ];
    assert_eq!(ids(&body, "excluded_providers", "reason"), expected);
}

#[tokio::test]
async fn guardrails_are_attached_from_the_keys_project_and_each_is_audited() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let (here, there) = (
        guardrail(&plane, "acme", "default"),
        guardrail(&plane, "acme", "web"),
    );
    let attach = |ids: &[&str]| json!({ "guardrail_attachments": [{ "direction": "pre", "guardrail_ids": ids }] });
    let minted = mint(
        &plane,
        json!({
            "scopes": [{ "scope_type": "project", "scope_id": "default" }],
            "config": attach(&[&here]),
        }),
    )
    .await;
    let shown = &minted["virtual_key"]["config"]["guardrailAttachments"];
    assert_eq!(
        *shown,
        json!([{ "direction": "pre", "guardrailIds": [here] }])
    );
    let actions = || -> Vec<String> {
        plane
            .audit()
            .into_iter()
            .map(|row| row.action)
            .filter(|action| action.contains("guardrail_"))
            .collect()
    };
    assert_eq!(actions(), ["gateway.virtual_key.guardrail_attached"]);
    let path = format!(
        "{KEYS}/{}",
        minted["virtual_key"]["id"].as_str().expect("id")
    );
    for ids in [vec![there.as_str()], vec![here.as_str(), "guard_unknown"]] {
        let got = plane.patch(&path, json!({ "config": attach(&ids) })).await;
        assert_eq!(
            got.code(),
            (400, "gateway_guardrail_project_mismatch".into())
        );
    }
    // Who may change the key may still not take its guardrails away.
    let member = [(BoundRole::Member, None, "project", "default")];
    let token = plane.service_key("acme", "member", &member, |_| {});
    let none = json!({ "config": { "guardrailAttachments": [] } });
    let got = plane
        .call_with(&token, http::Method::PATCH, &path, &[], Some(none))
        .await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let message = "permission_denied: gatewayGuardrails:detach at PROJECT:proj_acme-default";
    assert_eq!(got.json()["error"]["message"], message);
    plane
        .patch(&path, json!({ "config": { "guardrailAttachments": [] } }))
        .await
        .fine(200);
    assert_eq!(actions()[0], "gateway.virtual_key.guardrail_detached");
    // Without the permission nothing can be attached.
    let list = ["virtualKeys:create", "virtualKeys:manage"];
    let custom = [(BoundRole::Custom, Some(&list[..]), "project", "default")];
    let token = plane.service_key("acme", "minter", &custom, |_| {});
    let body = json!({ "name": "k", "config": attach(&[&here]) });
    let got = plane
        .call_with(&token, http::Method::POST, KEYS, &[], Some(body))
        .await;
    assert_eq!(got.code(), (403, "guardrail_attach_forbidden".into()));
    // Nor do they get the answer of somebody who could.
    let headers = [
        ("idempotency-key", "with-guardrail"),
        ("x-project-id", "default"),
    ];
    let body = json!({ "name": "k", "config": attach(&[&here]) });
    let made = plane
        .call_with(
            &plane.acme,
            http::Method::POST,
            KEYS,
            &headers,
            Some(body.clone()),
        )
        .await;
    made.fine(201);
    let got = plane
        .call_with(&token, http::Method::POST, KEYS, &headers, Some(body))
        .await;
    assert_eq!(got.code(), (403, "guardrail_attach_forbidden".into()));
}

#[tokio::test]
async fn capturing_more_than_the_organization_needs_a_permission() {
    let plane = Plane::new();
    let mut row = plane
        .store
        .organization(&organization("acme"))
        .expect("asked")
        .expect("acme");
    row.settings.payload_capture_default = CaptureMode::MetadataOnly;
    plane
        .store
        .commit(&[Write::UpdateOrganization(&row)], &quiet("narrow"))
        .expect("narrowed");
    let admin = [(BoundRole::Admin, None, "team", "default")];
    let token = plane.service_key("acme", "team-admin", &admin, |_| {});
    let body = |mode: &str| {
        json!({
            "name": "k", "config": { "capturePayload": mode },
            "scopes": [{ "scope_type": "team", "scope_id": "default" }],
        })
    };
    let post = |token: String, mode: &'static str| {
        let (plane, body) = (&plane, body(mode));
        async move {
            plane
                .call_with(&token, http::Method::POST, KEYS, &[], Some(body))
                .await
        }
    };
    let got = post(token.clone(), "raw").await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let message = "permission_denied: gatewayLogs:manage at TEAM:team_acme-default";
    assert_eq!(got.json()["error"]["message"], message);
    post(token, "none").await.fine(201);
    post(plane.acme.clone(), "raw").await.fine(201);
}
