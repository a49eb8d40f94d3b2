//! Cache rules: lifecycle, strict conditions, order, and who may.

use http::Method;
use lw_store::rows::{BoundRole, MemberRole};
use serde_json::{Value, json};

use super::keys::mint;
use super::revised::{acts, contended, created_once, path_of, refusals, revisions_conflict, walk};
use super::{Plane, project_token};

const RULES: &str = "/api/gateway/v1/cache-rules";

fn body(more: &Value) -> Value {
    let mut body =
        json!({ "name": "r", "matchers": { "model": "gpt-5*" }, "action": { "mode": "force" } });
    let map = body.as_object_mut().expect("an object");
    map.extend(more.as_object().expect("an object").clone());
    body
}

async fn create(plane: &Plane, more: Value) -> Value {
    plane.post(RULES, body(&more)).await.fine(201)
}

fn rule_path(answer: &Value) -> String {
    path_of(RULES, "cache_rule", answer)
}

#[tokio::test]
async fn a_rule_is_created_read_changed_and_archived() {
    let plane = Plane::new();
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let key = mint(&plane, json!({})).await["virtual_key"]["id"].clone();
    plane.announced();
    let made = create(
        &plane,
        json!({
            "description": "evaluations", "priority": 900, "enabled": false,
            "matchers": {
                "vk_id": key, "vk_tags": ["eval", "ci"], "vk_prefix": "vk-lw-01H",
                "principal_id": anna, "model": "openai/gpt-5*",
                "request_metadata": { "X-Team": "a", "x-empty": "" },
                "time_window": { "days": [5, 1, 1], "from": "22:00", "to": "06:00", "tz": "Europe/Berlin" },
            },
            "action": { "mode": "force", "ttl": 300, "salt": "v2" },
        }),
    )
    .await;
    insta::assert_json_snapshot!(made);
    let path = rule_path(&made);
    assert_eq!(plane.get(&path).await.fine(200), made);

    let changed = plane
        .patch(
            &path,
            json!({ "matchers": { "model": null, "vk_tags": ["prod"] }, "action": { "mode": "disable", "ttl": null },
                    "description": null, "enabled": true }),
        )
        .await;
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let rule = changed.fine(200)["cache_rule"].clone();
    assert_eq!(
        rule["matchers"],
        json!({ "vk_tags": ["prod"] }),
        "replaced whole"
    );
    assert_eq!(rule["action"], json!({ "mode": "disable" }));
    assert_eq!(
        (&rule["mode_enum"], &rule["priority"], &rule["description"]),
        (&json!("disable"), &json!(900), &json!(null))
    );

    let archived = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(
        archived["cache_rule"]["archived_at"],
        "2026-11-23T14:00:00.000Z"
    );
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let sent = (method == Method::PATCH).then(|| json!({}));
        let got = plane.call(method, &path, sent).await;
        assert_eq!(got.code(), (404, "cache_rule_not_found".into()));
    }
    assert_eq!(plane.get(RULES).await.fine(200)["data"], json!([]));
    assert_eq!(
        plane.announced(),
        [
            "CACHE_RULE_CREATED",
            "CACHE_RULE_UPDATED",
            "CACHE_RULE_DELETED"
        ]
    );
    assert_eq!(
        acts(&plane, "cache_rule"),
        [
            "gateway.cache_rule.created",
            "gateway.cache_rule.deleted",
            "gateway.cache_rule.updated"
        ]
    );
}

#[tokio::test]
async fn a_window_of_time_is_kept_complete() {
    let plane = Plane::new();
    for (sent, kept) in [
        (
            json!({ "days": [1] }),
            json!({ "days": [1], "from": "00:00", "to": "24:00", "tz": "UTC" }),
        ),
        (
            json!({ "from": "09:00", "to": "24:00", "tz": "+02:00", "days": null }),
            json!({ "days": [0, 1, 2, 3, 4, 5, 6], "from": "09:00", "to": "24:00", "tz": "+02:00" }),
        ),
    ] {
        let made = create(&plane, json!({ "matchers": { "time_window": sent } })).await;
        assert_eq!(made["cache_rule"]["matchers"]["time_window"], kept);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_said_by_field() {
    let plane = Plane::new();
    let matcher = |matchers: Value| body(&json!({ "matchers": matchers }));
    let window = |window: Value| matcher(json!({ "time_window": window }));
    let action = |action: Value| body(&json!({ "action": action }));
    let bodies = [
        json!({}),
        json!({ "name": "", "description": 1, "priority": 1001, "enabled": "yes", "matchers": [], "action": null }),
        body(&json!({ "priority": -1 })),
        body(&json!({ "description": "d".repeat(513) })),
        matcher(json!({})),
        matcher(json!({ "vk_id": null })),
        matcher(json!({ "modle": "gpt-5" })),
        matcher(json!({ "vk_tags": [] })),
        matcher(json!({ "vk_tags": ["", 7] })),
        matcher(json!({ "vk_id": "", "vk_prefix": 1, "principal_id": [], "model": "gpt-*-mini" })),
        matcher(json!({ "request_metadata": {} })),
        matcher(json!({ "request_metadata": { "not a header": "x", "x-a": 1 } })),
        window(json!({})),
        window(json!({ "day": [1] })),
        window(json!({ "days": [] })),
        window(json!({ "days": [7, "1"] })),
        window(json!({ "from": "09:00" })),
        window(json!({ "from": "9:00", "to": "25:00" })),
        window(json!({ "from": "24:00", "to": "09:00" })),
        window(json!({ "from": "09:00", "to": "09:00" })),
        window(json!({ "days": [1], "tz": "Mars/Phobos" })),
        action(json!({})),
        action(json!({ "mode": "FORCE" })),
        action(json!({ "mode": "force", "ttl": 86_401, "salt": "s".repeat(65), "more": 1 })),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::POST, RULES, &bodies).await);
    let path = rule_path(&create(&plane, json!({})).await);
    let bodies = [
        json!({ "name": null, "priority": null, "enabled": null, "matchers": null, "action": null }),
        json!({ "matchers": { "unknown": 1 } }),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::PATCH, &path, &bodies).await);
    assert_eq!(plane.announced(), ["CACHE_RULE_CREATED"]);
}

#[tokio::test]
async fn rules_are_listed_in_the_order_in_which_they_are_asked() {
    let plane = Plane::new();
    let mut expected = Vec::new();
    for (age, priority) in [(0, 100), (1, 1000), (2, 0), (3, 100), (4, 1000), (5, 7)] {
        plane.clock.set(super::NOW.plus_micros(age));
        let made = create(&plane, json!({ "priority": priority })).await;
        let id = made["cache_rule"]["id"].as_str().expect("an id").to_owned();
        expected.push((-priority, age, id));
    }
    expected.sort();
    let expected: Vec<String> = expected.into_iter().map(|(_, _, id)| id).collect();
    for limit in [1, 2, 3, 6, 200] {
        assert_eq!(
            walk(&plane, RULES, limit, async |_| {}).await,
            expected,
            "{limit}"
        );
    }
    let archiving = walk(&plane, RULES, 2, async |ids| {
        for id in ids {
            plane
                .call(Method::DELETE, &format!("{RULES}/{id}"), None)
                .await
                .fine(200);
        }
    });
    assert_eq!(
        archiving.await,
        expected,
        "the row of a cursor may be archived"
    );
}

#[tokio::test]
async fn changes_are_repeatable_ordered_and_none_is_lost() {
    let plane = Plane::new();
    let made = created_once(&plane, RULES, &body(&json!({}))).await;
    let path = rule_path(&made);
    contended(
        &plane,
        &path,
        "cache_rule",
        |place| json!({ "priority": place }),
    )
    .await;
    revisions_conflict(&plane, &path, "cache_rule", &json!({ "name": "n" })).await;
}

#[tokio::test]
async fn rules_are_the_organizations_and_each_act_has_its_permission() {
    let plane = Plane::new();
    let path = rule_path(&create(&plane, json!({})).await);
    let single = |permission: &'static str| {
        let name = permission.rsplit(':').next().expect("an action");
        let grants = [(
            BoundRole::Custom,
            Some(&[permission][..]),
            "organization",
            "acme",
        )];
        plane.service_key("acme", name, &grants, |_| {})
    };
    let keys = [
        (Method::GET, single("gatewayCacheRules:view")),
        (Method::POST, single("gatewayCacheRules:create")),
        (Method::PATCH, single("gatewayCacheRules:update")),
        (Method::DELETE, single("gatewayCacheRules:delete")),
    ];
    for (may, token) in &keys {
        for (method, _) in &keys {
            let at = if *method == Method::POST {
                RULES
            } else {
                &path
            };
            let sent = match *method {
                Method::POST => Some(body(&json!({}))),
                Method::PATCH => Some(json!({})),
                _ => None,
            };
            let got = plane.call_with(token, method.clone(), at, &[], sent).await;
            if method == may {
                assert!(got.status.is_success(), "{method}: {}", got.text);
            } else {
                assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
            }
            if got.status.is_success() && *method == Method::DELETE {
                return;
            }
        }
    }
    panic!("the rule was never archived");
}

#[tokio::test]
async fn a_projects_key_reaches_rules_and_another_organizations_does_not() {
    let plane = Plane::new();
    let path = rule_path(&create(&plane, json!({})).await);
    let own = project_token("acme", "default");
    let got = plane.call_with(&own, Method::GET, &path, &[], None).await;
    got.fine(200);
    // A team's administrator holds nothing at the organization itself.
    let grants = [(BoundRole::Admin, None, "team", "default")];
    let team = plane.service_key("acme", "team", &grants, |_| {});
    let got = plane.call_with(&team, Method::GET, &path, &[], None).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    for (method, sent) in [
        (Method::GET, None),
        (Method::PATCH, Some(json!({ "name": "n" }))),
        (Method::DELETE, None),
    ] {
        let foreign = plane
            .call_with(&plane.globex, method.clone(), &path, &[], sent.clone())
            .await;
        let unknown = format!("{RULES}/rule_none");
        let unknown = plane
            .call_with(&plane.globex, method, &unknown, &[], sent)
            .await;
        assert_eq!(foreign.code(), (404, "cache_rule_not_found".into()));
        assert_eq!(foreign.text, unknown.text);
    }
}

#[tokio::test]
async fn a_project_reads_the_organizations_rules_and_does_not_write_them() {
    let plane = Plane::new();
    let path = rule_path(&create(&plane, json!({})).await);
    let grants = [(BoundRole::Admin, None, "project", "default")];
    let bound = plane.service_key("acme", "bound", &grants, |_| {});
    let writes = || {
        [
            ("create", Method::POST, RULES, Some(body(&json!({})))),
            (
                "update",
                Method::PATCH,
                path.as_str(),
                Some(json!({ "name": "n" })),
            ),
            ("delete", Method::DELETE, path.as_str(), None),
        ]
    };
    plane.announced();
    for token in [&bound, &project_token("acme", "default")] {
        for (action, method, at, sent) in writes() {
            let got = plane.call_with(token, method, at, &[], sent).await;
            assert_eq!(got.code(), (403, "permission_denied".into()));
            let expected =
                format!("permission_denied: gatewayCacheRules:{action} at ORGANIZATION:org_acme");
            assert_eq!(got.json()["error"]["message"], json!(expected));
        }
    }
    assert_eq!(plane.announced(), Vec::<&str>::new());
    // Whoever may at the organization may also name a project.
    let headers = [("x-project-id", "default")];
    for (_, method, at, sent) in writes() {
        let got = plane
            .call_with(&plane.acme, method, at, &headers, sent)
            .await;
        assert!(got.status.is_success(), "{}", got.text);
    }
}

#[tokio::test]
async fn a_rule_names_a_key_and_a_person_of_the_organization() {
    let plane = Plane::new();
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let theirs = plane.member("globex", "greta", MemberRole::Member);
    let key = mint(&plane, json!({})).await["virtual_key"]["id"].clone();
    let scopes = json!([{ "scope_type": "organization", "scope_id": "globex" }]);
    let minted = plane
        .call_with(
            &plane.globex,
            Method::POST,
            "/api/gateway/v1/virtual-keys",
            &[],
            Some(json!({ "name": "k", "scopes": scopes })),
        )
        .await;
    let foreign = minted.fine(201)["virtual_key"]["id"].clone();
    let matcher = |matchers: Value| body(&json!({ "matchers": matchers }));
    let refused = |got: &super::Got, fields: &[&str]| {
        assert_eq!(got.code(), (400, "validation_error".into()));
        for field in fields {
            assert!(got.text.contains(field), "{}", got.text);
        }
    };
    for (vk, person) in [
        (&foreign, theirs.as_str()),
        (&json!("vk_nobody"), "user_nobody"),
        (&json!("no id"), "no id"),
    ] {
        let both = matcher(json!({ "vk_id": vk, "principal_id": person }));
        let got = plane.post(RULES, both).await;
        refused(&got, &["matchers.vk_id", "matchers.principal_id"]);
    }
    let unknown = plane
        .post(RULES, matcher(json!({ "vk_id": "vk_nobody" })))
        .await;
    // Whoever sees no keys learns nothing about them.
    let only = [(
        BoundRole::Custom,
        Some(&["gatewayCacheRules:manage"][..]),
        "organization",
        "acme",
    )];
    let blind = plane.service_key("acme", "blind", &only, |_| {});
    let fine = json!({ "vk_id": key, "principal_id": anna });
    let unseen = plane
        .call_with(
            &blind,
            Method::POST,
            RULES,
            &[],
            Some(matcher(json!({ "vk_id": key }))),
        )
        .await;
    assert_eq!(unseen, unknown);

    let path = rule_path(&plane.post(RULES, matcher(fine.clone())).await.fine(201));
    let got = plane
        .patch(&path, json!({ "matchers": { "vk_id": foreign } }))
        .await;
    refused(&got, &["matchers.vk_id"]);
    let got = plane
        .patch(
            &path,
            json!({ "matchers": { "principal_id": theirs.as_str() } }),
        )
        .await;
    refused(&got, &["matchers.principal_id"]);
    // What the rule says already may be said again.
    let same = Some(json!({ "matchers": fine, "priority": 7 }));
    let got = plane
        .call_with(&blind, Method::PATCH, &path, &[], same)
        .await;
    assert_eq!(got.fine(200)["cache_rule"]["priority"], 7);
}
