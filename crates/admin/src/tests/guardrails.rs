//! Guardrails: lifecycle, the settings of each evaluator, secrets, the keys that attach them, who may.

use http::Method;
use lw_core::GuardrailId;
use lw_store::rows::BoundRole;
use serde_json::{Value, json};

use super::keys::{mint, path_of as key_path};
use super::revised::{acts, contended, created_once, path_of, refusals, revisions_conflict, walk};
use super::{Plane, organization, project, project_token};
use crate::providers::PLACEHOLDER;

const GUARDRAILS: &str = "/api/gateway/v1/guardrails";

fn body(slug: &str, settings: &Value) -> Value {
    json!({ "name": "g", "direction": "pre", "project_id": "default",
            "evaluator": { "slug": slug, "settings": settings } })
}

async fn create(plane: &Plane, slug: &str, settings: Value) -> Value {
    plane
        .post(GUARDRAILS, body(slug, &settings))
        .await
        .fine(201)
}

fn guardrail_path(answer: &Value) -> String {
    path_of(GUARDRAILS, "guardrail", answer)
}

#[tokio::test]
async fn a_guardrail_is_created_read_changed_and_archived() {
    let plane = Plane::new();
    let made = create(&plane, "keyword-list", json!({ "words": ["secret"] })).await;
    insta::assert_json_snapshot!(made);
    let path = guardrail_path(&made);
    assert_eq!(plane.get(&path).await.fine(200), made);
    let changed = plane
        .patch(
            &path,
            json!({ "name": "n", "description": "d", "direction": "stream_chunk", "failure_mode": "fail_open",
                    "project_id": "proj_acme-default",
                    "evaluator": { "slug": "length", "settings": { "max_chars": 9 } } }),
        )
        .await;
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let changed = changed.fine(200)["guardrail"].clone();
    assert_eq!(
        changed["evaluator"],
        json!({ "slug": "length", "settings": { "min_chars": null, "max_chars": 9 } })
    );
    assert_eq!(changed["evaluator_id"], made["guardrail"]["evaluator_id"]);
    assert_eq!(
        (&changed["direction"], &changed["failure_mode"]),
        (&json!("stream_chunk"), &json!("fail_open"))
    );
    let archived = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(
        archived["guardrail"]["archived_at"],
        "2026-11-23T14:00:00.000Z"
    );
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let sent = (method == Method::PATCH).then(|| json!({}));
        let got = plane.call(method, &path, sent).await;
        assert_eq!(got.code(), (404, "guardrail_not_found".into()));
    }
    assert_eq!(plane.get(GUARDRAILS).await.fine(200)["data"], json!([]));
    let rows = plane.audit();
    assert_eq!(
        acts(&plane, "guardrail"),
        [
            "gateway.guardrail.archived",
            "gateway.guardrail.created",
            "gateway.guardrail.updated"
        ]
    );
    assert!(rows[..3].iter().all(|row| {
        row.project_id == Some(project("acme", "default"))
            && row.target_kind.as_deref() == Some("guardrail")
    }));
    assert_eq!(plane.announced(), Vec::<&str>::new(), "no key attaches it");
}

#[tokio::test]
async fn every_evaluator_keeps_its_settings_complete() {
    let plane = Plane::new();
    let mut out = String::new();
    for (slug, settings) in [
        ("regex", json!({ "patterns": ["^a", "(?i)b"] })),
        ("regex", json!({ "patterns": ["a"], "match": "none" })),
        (
            "keyword-list",
            json!({ "words": ["a b"], "case_sensitive": true, "whole_word": false }),
        ),
        ("pii-check", json!({ "kinds": ["email", "iban", "email"] })),
        ("pii-check", json!({ "kinds": ["ssn"], "action": "redact" })),
        (
            "json-schema",
            json!({ "schema": { "type": "object", "$ref": "#/$defs/a" } }),
        ),
        ("length", json!({ "min_chars": 1 })),
        (
            "http-callout",
            json!({ "url": "https://guard.example.com/check?a=1" }),
        ),
        (
            "http-callout",
            json!({ "url": "http://guard:8080", "timeout_ms": 50, "headers": { "X-Key": "k-1" } }),
        ),
    ] {
        let made = create(&plane, slug, settings).await;
        out.push_str(&format!(
            "{} {}\n",
            made["guardrail"]["evaluator"], made["warnings"]
        ));
    }
    insta::assert_snapshot!(out);
}

#[tokio::test]
async fn what_is_wrong_with_a_guardrail_is_said_by_field() {
    let plane = Plane::new();
    let bodies = [
        json!({}),
        json!({ "name": "", "direction": "request", "failure_mode": "open", "description": 1, "evaluator": [] }),
        json!({ "name": "g", "direction": "pre", "evaluator": {} }),
        json!({ "name": "g", "direction": "pre", "evaluator": { "slug": "magic", "settings": {}, "more": 1 } }),
        body("regex", &json!({})),
        body(
            "regex",
            &json!({ "patterns": ["ok", "(?=x)"], "match": "some", "flags": "i" }),
        ),
        body("regex", &json!({ "patterns": [] })),
        body(
            "regex",
            &json!({ "patterns": ["a".repeat(40_000), "b".repeat(40_000)] }),
        ),
        body(
            "keyword-list",
            &json!({ "words": [""], "case_sensitive": 1 }),
        ),
        body("keyword-list", &json!({ "words": null })),
        body(
            "pii-check",
            &json!({ "kinds": ["email", "name"], "action": "hide" }),
        ),
        body("json-schema", &json!({})),
        body("json-schema", &json!({ "schema": true })),
        body(
            "json-schema",
            &json!({ "schema": { "$ref": "https://example.com/s.json" } }),
        ),
        body(
            "json-schema",
            &json!({ "schema": { "description": "x".repeat(70_000) } }),
        ),
        body("length", &json!({})),
        body("length", &json!({ "min_chars": 5, "max_chars": 4 })),
        body("length", &json!({ "min_chars": -1 })),
        body("http-callout", &json!({})),
        body(
            "http-callout",
            &json!({ "url": "http://guard.example.com" }),
        ),
        body("http-callout", &json!({ "url": "http://10.0.0.1/check" })),
        body(
            "http-callout",
            &json!({ "url": "https://g.example.com", "timeout_ms": 4501 }),
        ),
        body(
            "http-callout",
            &json!({ "url": "https://g.example.com", "headers": {
            "Host": "x", "bad name": "x", "x-a": 7, "x-b": "", "x-c": "nicht-ä-scii", "x-d": PLACEHOLDER,
        } }),
        ),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::POST, GUARDRAILS, &bodies).await);
    let path = guardrail_path(&create(&plane, "length", json!({ "max_chars": 1 })).await);
    let bodies = [
        json!({ "name": null, "direction": null, "failure_mode": null, "evaluator": null, "project_id": null }),
        json!({ "project_id": "proj_acme-governance" }),
        json!({ "evaluator": { "settings": { "max_chars": 5 } } }),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::PATCH, &path, &bodies).await);
    let mut unscoped = body("length", &json!({ "max_chars": 1 }));
    unscoped
        .as_object_mut()
        .expect("an object")
        .remove("project_id");
    let got = plane.post(GUARDRAILS, unscoped).await;
    assert_eq!(got.code(), (400, "project_required".into()));
}

#[tokio::test]
async fn the_headers_of_a_callout_are_sealed_masked_and_bound_to_their_server() {
    let plane = Plane::new();
    let callout = |url: &str, headers: Value| json!({ "url": url, "headers": headers });
    let home = "https://guard.example.com/check";
    let made = create(
        &plane,
        "http-callout",
        callout(
            home,
            json!({ "Authorization": "Bearer s3cr3t", "x-a": "v4lu3" }),
        ),
    )
    .await;
    let masked = json!({ "authorization": PLACEHOLDER, "x-a": PLACEHOLDER });
    let headers = |answer: &Value| answer["guardrail"]["evaluator"]["settings"]["headers"].clone();
    assert_eq!(headers(&made), masked);
    let path = guardrail_path(&made);
    let id = GuardrailId::parse(made["guardrail"]["id"].as_str().expect("an id")).expect("an id");
    let stored = || {
        let row = plane
            .store
            .guardrail(&organization("acme"), &id)
            .expect("asked");
        row.expect("a row")
    };
    let sealed = stored().sealed_settings.expect("sealed headers");
    assert!(!sealed.contains("s3cr3t") && !stored().settings.to_string().contains("PLACEHOLDER"));
    assert!(!stored().settings.to_string().contains("s3cr3t"));

    let patch = async |settings: Value| {
        let evaluator = json!({ "slug": "http-callout", "settings": settings });
        plane.patch(&path, json!({ "evaluator": evaluator })).await
    };
    // A placeholder keeps the value, on another path of the same server too.
    let kept = patch(callout(
        "https://guard.example.com/v2",
        json!({ "authorization": PLACEHOLDER }),
    ))
    .await;
    assert_eq!(
        headers(&kept.fine(200)),
        json!({ "authorization": PLACEHOLDER })
    );
    let stolen = patch(callout(
        "https://evil.example.com/",
        json!({ "authorization": PLACEHOLDER }),
    ))
    .await;
    assert_eq!(stolen.code(), (400, "validation_error".into()));
    let field = json!(["evaluator.settings.headers.authorization"]);
    assert_eq!(stolen.json()["error"]["meta"]["fields"], field);
    let unknown = patch(callout(home, json!({ "x-a": PLACEHOLDER }))).await;
    assert_eq!(
        unknown.code(),
        (400, "validation_error".into()),
        "x-a was dropped before"
    );
    let moved = patch(callout(
        "https://new.example.com/",
        json!({ "authorization": "n3w" }),
    ))
    .await;
    assert_eq!(
        headers(&moved.fine(200)),
        json!({ "authorization": PLACEHOLDER })
    );
    let none = patch(json!({ "url": home })).await.fine(200);
    assert_eq!(headers(&none), json!({}));
    assert_eq!(stored().sealed_settings, None);
}

#[tokio::test]
async fn keys_feel_every_change_of_what_they_attach() {
    let plane = Plane::new();
    let made = create(&plane, "length", json!({ "max_chars": 1 })).await;
    let id = &made["guardrail"]["id"];
    let attaching = mint(
        &plane,
        json!({
            "scopes": [{ "scope_type": "project", "scope_id": "default" }],
            "config": { "guardrailAttachments": [{ "direction": "pre", "guardrailIds": [id] }] },
        }),
    )
    .await;
    let other = mint(&plane, json!({})).await;
    plane.announced();
    let revision = async |key: &Value| {
        plane.get(&key_path(key)).await.fine(200)["virtual_key"]["revision"].clone()
    };
    let path = guardrail_path(&made);
    plane.patch(&path, json!({ "name": "n" })).await.fine(200);
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED"]);
    plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED"]);
    assert_eq!(
        (revision(&attaching).await, revision(&other).await),
        (json!("3"), json!("1"))
    );
}

#[tokio::test]
async fn changes_are_repeatable_ordered_and_none_is_lost() {
    let plane = Plane::new();
    let made = created_once(
        &plane,
        GUARDRAILS,
        &body("length", &json!({ "max_chars": 1 })),
    )
    .await;
    let path = guardrail_path(&made);
    contended(
        &plane,
        &path,
        "guardrail",
        |place| json!({ "name": format!("n{place}") }),
    )
    .await;
    revisions_conflict(&plane, &path, "guardrail", &json!({ "name": "n" })).await;
}

#[tokio::test]
async fn a_guardrail_is_its_projects() {
    let plane = Plane::new();
    plane.further_team("acme", "other");
    let here = create(&plane, "length", json!({ "max_chars": 1 })).await;
    let mut there = body("length", &json!({ "max_chars": 1 }));
    there["project_id"] = json!("proj_acme-other");
    plane.clock.set(super::NOW.plus_micros(1));
    let there = plane.post(GUARDRAILS, there).await.fine(201);
    let id = |answer: &Value| {
        answer["guardrail"]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    assert_eq!(
        walk(&plane, GUARDRAILS, 1, async |_| {}).await,
        [id(&there), id(&here)]
    );
    let one = format!("{GUARDRAILS}?project_id=other");
    assert_eq!(walk(&plane, &one, 50, async |_| {}).await, [id(&there)]);

    let team = [(BoundRole::Admin, None, "team", "default")];
    let team = plane.service_key("acme", "team", &team, |_| {});
    let member = [(BoundRole::Member, None, "team", "default")];
    let member = plane.service_key("acme", "member", &member, |_| {});
    let own = project_token("acme", "default");
    let call = async |token: &str, method, path: &str, sent| {
        plane.call_with(token, method, path, &[], sent).await
    };
    for token in [&team, &own, &member] {
        let list = call(token, Method::GET, GUARDRAILS, None).await.fine(200);
        assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["data"][0]["id"], json!(id(&here)));
        for method in [Method::GET, Method::DELETE] {
            if token == &member && method == Method::DELETE {
                continue;
            }
            let hidden = call(token, method.clone(), &guardrail_path(&there), None).await;
            let unknown = format!("{GUARDRAILS}/guard_none");
            let unknown = call(token, method, &unknown, None).await;
            assert_eq!(hidden.code(), (404, "guardrail_not_found".into()));
            assert_eq!(hidden.text, unknown.text);
        }
    }
    let rename = || Some(json!({ "name": "n" }));
    call(&team, Method::PATCH, &guardrail_path(&here), rename())
        .await
        .fine(200);
    let got = call(&member, Method::PATCH, &guardrail_path(&here), rename()).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    // Managing in one project and looking into another is no permission to write there.
    let mixed = [
        (BoundRole::Admin, None, "project", "default"),
        (BoundRole::Viewer, None, "project", "other"),
    ];
    let mixed = plane.service_key("acme", "mixed", &mixed, |_| {});
    let got = call(&mixed, Method::PATCH, &guardrail_path(&there), rename()).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let message = &got.json()["error"]["message"];
    assert_eq!(
        message,
        "permission_denied: gatewayGuardrails:manage at PROJECT:proj_acme-other"
    );
    for project in ["other", "nowhere", "proj_globex-default"] {
        let mut sent = body("length", &json!({ "max_chars": 1 }));
        sent["project_id"] = json!(project);
        let got = call(&team, Method::POST, GUARDRAILS, Some(sent.clone())).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{project}");
        let path = format!("{GUARDRAILS}?project_id={project}");
        let got = call(&team, Method::GET, &path, None).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{project}");
    }
    let mut foreign = body("length", &json!({ "max_chars": 1 }));
    foreign["project_id"] = json!("proj_globex-default");
    let got = plane.post(GUARDRAILS, foreign).await;
    assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
    let got = call(&plane.globex, Method::GET, &guardrail_path(&here), None).await;
    assert_eq!(got.code(), (404, "guardrail_not_found".into()));
}
