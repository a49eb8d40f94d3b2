//! API keys: who may have which, and that none exceeds who made it.

use http::Method;
use lw_store::rows::{BoundRole, MemberRole};
use serde_json::{Value, json};

use super::organization::{actions, holding, of_person, sorted, word};
use super::{Got, NOW, Plane};

const KEYS: &str = "/api/api-keys";

async fn send(plane: &Plane, token: &str, method: Method, at: &str, body: Option<Value>) -> Got {
    let path = format!("{KEYS}{at}");
    plane.call_with(token, method, &path, &[], body).await
}

fn binding(role: &str, kind: &str, id: &str) -> Value {
    json!({ "role": role, "scopeType": kind, "scopeId": id })
}

/// A body with more in it.
fn key(more: Value) -> Value {
    let mut body = json!({ "name": "ci" });
    let (Value::Object(map), Value::Object(more)) = (&mut body, more) else {
        panic!("both are objects");
    };
    map.extend(more);
    body
}

/// The path of a minted key.
fn at(minted: &Value) -> String {
    format!("/{}", minted["apiKey"]["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_key_lives_and_its_token_is_shown_once() {
    let plane = Plane::new();
    let body = key(json!({
        "keyType": "service", "description": "nightly", "expiresAt": "2026-12-01T00:00:00Z",
        "permissions": ["virtualKeys:view", "virtualKeys:view"],
        "bindings": [binding("CUSTOM", "TEAM", "default"), binding("VIEWER", "PROJECT", "default")],
    }));
    let made = plane.post(KEYS, body).await.fine(201);
    let token = made["token"].as_str().expect("a token").to_owned();
    assert!(lw_crypto::api_key::parse(&token).is_some());
    let names: Vec<&String> = made["apiKey"].as_object().expect("a key").keys().collect();
    assert_eq!(names, ["createdAt", "id", "name"]);
    let path = format!("{KEYS}{}", at(&made));
    let got = plane.get(&path).await;
    let secret = token.rsplit('_').next().expect("a secret").to_owned();
    assert!(!got.text.contains(&secret));
    let mut got = got.fine(200);
    for id in ["/id", "/roleBindings/0/id", "/roleBindings/1/id"] {
        *got.pointer_mut(id).expect("an id") = json!("…");
    }
    insta::assert_json_snapshot!(got);

    let body = json!({
        "name": "night", "description": null, "expiresAt": null,
        "bindings": [binding("CUSTOM", "PROJECT", "default")],
    });
    let got = plane.patch(&path, body).await.fine(200);
    assert_eq!(
        got["permissions"],
        json!(["virtualKeys:view"]),
        "the list stays"
    );
    assert_eq!(
        got["bindings"],
        json!([binding("CUSTOM", "PROJECT", "proj_acme-default")])
    );
    assert_eq!(
        (&got["description"], &got["expiresAt"]),
        (&Value::Null, &Value::Null)
    );
    let body =
        json!({ "permissionMode": "readonly", "bindings": [binding("ADMIN", "TEAM", "default")] });
    let got = plane.patch(&path, body).await.fine(200);
    assert_eq!(
        (&got["permissions"], &got["permissionMode"]),
        (&json!([]), &json!("readonly"))
    );
    // The token still works, and only looks.
    let teams = plane
        .call_with(&token, Method::GET, "/api/teams", &[], None)
        .await;
    teams.fine(200);
    let body = Some(json!({ "name": "x" }));
    let got = plane
        .call_with(&token, Method::PATCH, "/api/teams/default", &[], body)
        .await;
    assert_eq!(word(&got), (403, "insufficient_permissions".into()));
    let got = plane.get(&path).await.fine(200);
    assert_eq!(got["lastUsedAt"], NOW.to_rfc3339());

    let gone = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(gone, json!({ "success": true }));
    let again = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(word(&again), (409, "api_key_already_revoked".into()));
    let patch = plane.patch(&path, json!({ "name": "x" })).await;
    assert_eq!(word(&patch), (409, "api_key_already_revoked".into()));
    let teams = plane
        .call_with(&token, Method::GET, "/api/teams", &[], None)
        .await;
    assert_eq!(teams.status.as_u16(), 401);
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "management.apiKey.create",
            "management.apiKey.read",
            "management.apiKey.update",
            "management.apiKey.update",
            "management.apiKey.read",
            "management.apiKey.revoke"
        ])
    );
    assert!(
        plane
            .audit()
            .iter()
            .all(|row| !format!("{row:?}").contains(&secret))
    );
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_said_at_once() {
    let plane = Plane::new();
    let custom = || binding("CUSTOM", "TEAM", "default");
    let plain = || binding("VIEWER", "TEAM", "default");
    let service = |more: Value| {
        let mut body = key(json!({ "keyType": "service" }));
        let map = body.as_object_mut().expect("an object");
        map.extend(more.as_object().expect("an object").clone());
        body
    };
    let mut golden = String::new();
    for body in [
        json!({}),
        json!({ "name": "", "description": 7, "expiresAt": "soon", "keyType": "robot", "permissionMode": "ALL",
                "permissions": ["x"], "bindings": [{ "role": "viewer" }, 7], "projectIds": "p" }),
        key(json!({})),
        key(json!({ "projectIds": ["default"], "bindings": [plain()] })),
        service(json!({ "assignedToUserId": "user_x" })),
        service(json!({ "expiresAt": "2026-11-23T14:00:00Z" })),
        service(json!({ "bindings": [custom()] })),
        service(json!({ "permissions": ["traces:view"] })),
        service(json!({ "permissions": ["traces:view"], "bindings": [plain()] })),
        service(json!({ "permissionMode": "restricted" })),
        service(
            json!({ "permissionMode": "all", "permissions": ["traces:view"], "bindings": [custom()] }),
        ),
        service(json!({ "permissions": ["ops:view"], "bindings": [custom()] })),
        service(json!({ "bindings": vec![plain(); 21] })),
        service(json!({ "projectIds": vec!["default"; 51] })),
        service(json!({ "name": " langy Session " })),
        service(json!({ "bindings": [binding("ADMIN", "TEAM", "team_globex-default")] })),
        service(json!({ "projectIds": ["proj_globex-default"] })),
        key(json!({ "assignedToUserId": "user_x", "bindings": [plain()] })),
    ] {
        let got = plane.post(KEYS, body.clone()).await;
        let (status, code) = word(&got);
        let said = got.json();
        let mut lines: Vec<String> = vec![said["message"].as_str().unwrap_or_default().to_owned()];
        if let Some(reasons) = said["reasons"].as_array() {
            lines = reasons
                .iter()
                .map(|row| format!("{}: {}", row["meta"]["field"], row["message"]))
                .collect();
        }
        golden.push_str(&format!("{status} {code}\n  {}\n", lines.join("\n  ")));
    }
    insta::assert_snapshot!(golden);
}

#[tokio::test]
async fn a_service_key_without_bindings_runs_the_organization() {
    let plane = Plane::new();
    let made = plane
        .post(KEYS, key(json!({ "keyType": "service" })))
        .await
        .fine(201);
    let got = plane.get(&format!("{KEYS}{}", at(&made))).await.fine(200);
    assert_eq!(
        got["bindings"],
        json!([binding("ADMIN", "ORGANIZATION", "org_acme")])
    );
    let body =
        key(json!({ "keyType": "service", "projectIds": ["default", "governance", "default"] }));
    let made = plane.post(KEYS, body).await.fine(201);
    let got = plane.get(&format!("{KEYS}{}", at(&made))).await.fine(200);
    assert_eq!(
        got["bindings"],
        json!([
            binding("ADMIN", "PROJECT", "proj_acme-default"),
            binding("ADMIN", "PROJECT", "proj_acme-governance")
        ])
    );
}

#[tokio::test]
async fn no_key_exceeds_who_minted_it() {
    let plane = Plane::new();
    let ada = of_person(&plane, "ada", MemberRole::Admin);
    // A key of an administrator that may itself only manage people.
    let permissions: &[&str] = &["organization:manage", "traces:view"];
    let bindings = [(BoundRole::Custom, Some(permissions), "organization", "acme")];
    let narrow = plane.service_key("acme", "narrow", &bindings, |row| {
        row.user_id = lw_core::UserId::parse("user_ada").ok();
    });
    let ownerless = holding(&plane, "ownerless", permissions);
    let personal =
        |role: &str, kind: &str, id: &str| key(json!({ "bindings": [binding(role, kind, id)] }));
    let listing = |list: &[&str]| {
        key(json!({ "permissions": list, "bindings": [binding("CUSTOM", "ORGANIZATION", "acme")] }))
    };
    for (token, body, expected) in [
        (
            &narrow,
            personal("ADMIN", "ORGANIZATION", "acme"),
            (403, "api_key_scope_violation"),
        ),
        (
            &narrow,
            personal("VIEWER", "TEAM", "default"),
            (403, "api_key_scope_violation"),
        ),
        (
            &narrow,
            listing(&["traces:view", "virtualKeys:view"]),
            (403, "api_key_scope_violation"),
        ),
        (
            &narrow,
            listing(&["traces:view", "organization:view"]),
            (201, ""),
        ),
        // The owner runs the organization; what the key may do still bounds it.
        (
            &narrow,
            key(json!({ "keyType": "service" })),
            (403, "forbidden"),
        ),
        // Without an owner, a permission to manage is not to run.
        (
            &ownerless,
            key(json!({ "keyType": "service", "projectIds": ["default"] })),
            (403, "forbidden"),
        ),
        (
            &ownerless,
            listing(&["traces:view"]),
            (422, "validation_error"),
        ),
        (&ada, personal("ADMIN", "ORGANIZATION", "acme"), (201, "")),
        (&ada, key(json!({ "keyType": "service" })), (201, "")),
    ] {
        let got = send(&plane, token, Method::POST, "", Some(body.clone())).await;
        assert_eq!(
            word(&got),
            (expected.0, expected.1.to_owned()),
            "{body}: {}",
            got.text
        );
    }
    // Nor is a key made more by a change.
    let made = send(
        &plane,
        &narrow,
        Method::POST,
        "",
        Some(listing(&["traces:view"])),
    )
    .await;
    let path = at(&made.fine(201));
    for body in [
        json!({ "permissionMode": "all", "bindings": [binding("ADMIN", "TEAM", "default")] }),
        json!({ "permissions": ["virtualKeys:manage"] }),
    ] {
        let got = send(&plane, &narrow, Method::PATCH, &path, Some(body)).await;
        assert_eq!(word(&got), (403, "api_key_scope_violation".into()));
        assert!(got.json()["permission"].is_string());
    }
    let own = send(&plane, &narrow, Method::GET, "/ak_acme-of-ada", None)
        .await
        .fine(200);
    let body = json!({ "permissionMode": "readonly" });
    let got = send(
        &plane,
        &narrow,
        Method::PATCH,
        "/ak_acme-of-ada",
        Some(body),
    )
    .await;
    assert_eq!(word(&got), (403, "api_key_scope_violation".into()), "{own}");
}

#[tokio::test]
async fn a_personal_key_is_bounded_by_its_owner_now_and_later() {
    let plane = Plane::new();
    let user = plane.member("acme", "bob", MemberRole::Member);
    plane.in_team("acme", "default", &user, BoundRole::Member);
    let of_bob = |role: &str| {
        key(
            json!({ "assignedToUserId": "user_bob", "bindings": [binding(role, "TEAM", "default")] }),
        )
    };
    let got = plane.post(KEYS, of_bob("ADMIN")).await;
    assert_eq!(word(&got), (403, "api_key_scope_violation".into()));
    assert!(got.text.contains("the owner of the key"));
    let made = plane.post(KEYS, of_bob("MEMBER")).await.fine(201);
    let detail = plane.get(&format!("{KEYS}{}", at(&made))).await.fine(200);
    assert_eq!(
        (
            &detail["keyType"],
            &detail["assignedToUserId"],
            &detail["createdByUserId"]
        ),
        (&json!("personal"), &json!("user_bob"), &Value::Null)
    );
    let token = made["token"].as_str().expect("a token");
    let patch = || {
        let body = Some(json!({ "language": "go" }));
        plane.call_with(token, Method::PATCH, "/api/projects/default", &[], body)
    };
    patch().await.fine(200);
    let body = json!({ "userId": "user_bob", "role": "VIEWER" });
    plane
        .post("/api/teams/default/members", body)
        .await
        .fine(201);
    assert_eq!(patch().await.status.as_u16(), 403);
    // Whoever is disabled gets no key.
    plane
        .patch(
            "/api/organization/members/user_bob",
            json!({ "disabled": true }),
        )
        .await
        .fine(200);
    let got = plane.post(KEYS, of_bob("VIEWER")).await;
    assert_eq!(word(&got), (422, "validation_error".into()));
}

#[tokio::test]
async fn each_sees_and_ends_what_is_theirs() {
    let plane = Plane::new();
    let ada = of_person(&plane, "ada", MemberRole::Admin);
    let mia = of_person(&plane, "mia", MemberRole::Member);
    // A member who may manage the organization without running it.
    let permissions: &[&str] = &["organization:manage"];
    let user = plane.member("acme", "max", MemberRole::Member);
    let bindings = [(BoundRole::Custom, Some(permissions), "organization", "acme")];
    plane.bind(
        "acme",
        "max",
        &lw_store::rows::Principal::User(user.clone()),
        &bindings,
    );
    let max = plane.service_key("acme", "of-max", &bindings, |row| {
        row.user_id = Some(user.clone());
    });
    let list = |token: &str| {
        let (plane, token) = (&plane, token.to_owned());
        async move {
            let got = send(plane, &token, Method::GET, "", None).await.fine(200);
            let mut ids: Vec<String> = got["data"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|row| row["id"].as_str().expect("an id").replace("ak_acme-", ""))
                .collect();
            ids.sort();
            ids
        }
    };
    assert_eq!(list(&mia).await, ["expired", "live", "of-mia"]);
    assert_eq!(list(&ada).await, ["expired", "live", "of-ada", "revoked"]);
    assert_eq!(
        list(&plane.acme).await,
        ["expired", "live", "of-ada", "of-max", "of-mia", "revoked"]
    );
    let views = holding(&plane, "views", &["organization:view"]);
    let got = send(&plane, &views, Method::GET, "", None).await;
    assert_eq!(word(&got), (403, "permission_denied".into()));

    let unknown = send(&plane, &mia, Method::GET, "/ak_x", None).await;
    assert_eq!(word(&unknown), (404, "api_key_not_found".into()));
    for id in ["/ak_acme-live", "/ak_acme-of-ada", "/ak_globex-live", "/x"] {
        assert_eq!(
            send(&plane, &mia, Method::GET, id, None).await,
            unknown,
            "{id}"
        );
    }
    send(&plane, &mia, Method::GET, "/ak_acme-of-mia", None)
        .await
        .fine(200);
    send(&plane, &ada, Method::GET, "/ak_acme-of-mia", None)
        .await
        .fine(200);

    // Changing is for the owner; ending also for who runs the organization.
    let rename = || Some(json!({ "name": "x" }));
    let got = send(&plane, &ada, Method::PATCH, "/ak_acme-of-mia", rename()).await;
    assert_eq!(got, unknown);
    send(&plane, &ada, Method::PATCH, "/ak_acme-expired", rename())
        .await
        .fine(200);
    for (token, id, expected) in [
        (&max, "/ak_acme-of-mia", (404, "api_key_not_found")),
        (&max, "/ak_acme-live", (403, "api_key_not_owned")),
        (&max, "/ak_globex-live", (404, "api_key_not_found")),
        (&mia, "/ak_acme-of-mia", (403, "insufficient_permissions")),
        (&ada, "/ak_acme-of-mia", (200, "")),
        (&max, "/ak_acme-of-max", (200, "")),
    ] {
        let got = send(&plane, token, Method::DELETE, id, None).await;
        assert_eq!(word(&got), (expected.0, expected.1.to_owned()), "{id}");
    }
}

#[tokio::test]
async fn two_permissions_are_enough_for_the_migration_and_for_nothing_else() {
    let plane = Plane::new();
    let body = key(json!({
        "keyType": "service",
        "permissions": ["modelProviders:update", "virtualKeys:create"],
        "bindings": [binding("CUSTOM", "ORGANIZATION", "acme")],
    }));
    let made = plane.post(KEYS, body).await.fine(201);
    let token = made["token"].as_str().expect("a token");
    let alias = token.replace("sk-lw-", "lwp_");
    let call = |method: Method, path: &'static str, body: Option<Value>| {
        let (plane, alias) = (&plane, &alias);
        async move { plane.call_with(alias, method, path, &[], body).await }
    };
    let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
    let body = json!({
        "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" }, "scopes": scopes,
    });
    let path = "/api/gateway/v1/model-providers";
    call(Method::POST, path, Some(body)).await.fine(201);
    let body = json!({ "name": "dev", "scopes": scopes });
    let path = "/api/gateway/v1/virtual-keys";
    let minted = call(Method::POST, path, Some(body)).await.fine(201);
    let id = minted["virtual_key"]["id"].as_str().expect("an id");
    for (method, path) in [
        (Method::GET, path),
        (Method::GET, KEYS),
        (Method::POST, KEYS),
        (Method::GET, "/api/organization"),
        (Method::GET, "/api/organization/members"),
        (Method::POST, "/api/organization/invites"),
        (Method::GET, "/api/teams"),
        (Method::POST, "/api/teams"),
        (Method::POST, "/api/projects"),
        (Method::GET, "/api/projects/default/api-key"),
        (Method::GET, "/api/groups"),
        (Method::GET, "/api/roles"),
        (Method::POST, "/api/role-bindings"),
    ] {
        let got = call(method.clone(), path, Some(json!({}))).await;
        assert_eq!(got.status.as_u16(), 403, "{method} {path}: {}", got.text);
    }
    for tail in ["", "/rotate", "/disable", "/revoke"] {
        let path = format!("/api/gateway/v1/virtual-keys/{id}{tail}");
        let method = if tail.is_empty() {
            Method::PATCH
        } else {
            Method::POST
        };
        let got = plane
            .call_with(&alias, method, &path, &[], Some(json!({})))
            .await;
        assert_eq!(got.status.as_u16(), 403, "{path}: {}", got.text);
    }
    let got = call(Method::GET, "/api/projects", None).await.fine(200);
    assert_eq!(got["data"], json!([]));
}

#[tokio::test]
async fn no_key_of_whoever_is_being_disabled_slips_through() {
    let plane = Plane::new();
    let user = plane.member("acme", "bob", MemberRole::Member);
    plane.in_team("acme", "default", &user, BoundRole::Member);
    let mints = (0..16).map(|_| {
        let body = json!({
            "assignedToUserId": "user_bob", "bindings": [binding("MEMBER", "TEAM", "default")],
        });
        plane.post(KEYS, key(body))
    });
    let member = "/api/organization/members/user_bob";
    let disable = plane.patch(member, json!({ "disabled": true }));
    let (made, disabled) =
        futures_util::future::join(futures_util::future::join_all(mints), disable).await;
    disabled.fine(200);
    for got in made {
        assert!(
            [201, 403, 422].contains(&got.status.as_u16()),
            "{}",
            got.text
        );
    }
    let keys = plane.store.api_keys(&super::organization("acme"));
    let keys = keys.expect("asked");
    let live = keys
        .iter()
        .filter(|row| row.user_id.is_some() && row.revoked_at.is_none());
    assert_eq!(live.count(), 0);
}

#[tokio::test]
async fn of_changes_at_once_none_is_lost() {
    let plane = Plane::new();
    let body = key(json!({
        "keyType": "service", "permissions": ["traces:view"],
        "bindings": [binding("CUSTOM", "TEAM", "default")],
    }));
    let made = plane.post(KEYS, body).await.fine(201);
    let path = format!("{KEYS}{}", at(&made));
    let calls = (0..32).map(|number| {
        let body = match number % 3 {
            0 => json!({ "name": format!("n{number}") }),
            1 => json!({ "permissions": ["traces:view", "datasets:view"] }),
            _ => json!({ "bindings": [binding("CUSTOM", "PROJECT", "default")] }),
        };
        plane.patch(&path, body)
    });
    for got in futures_util::future::join_all(calls).await {
        got.fine(200);
    }
    let got = plane.get(&path).await.fine(200);
    assert_ne!(got["name"], "ci");
    assert_eq!(got["permissions"], json!(["traces:view", "datasets:view"]));
    assert_eq!(
        got["bindings"],
        json!([binding("CUSTOM", "PROJECT", "proj_acme-default")])
    );
}

#[tokio::test]
async fn the_narrow_key_of_an_administrator_does_not_run_the_organization() {
    let plane = Plane::new();
    let ann = plane.member("acme", "ann", MemberRole::Admin);
    let list = ["organization:manage", "organization:view"];
    let custom = [(BoundRole::Custom, Some(&list[..]), "organization", "acme")];
    let owner = ann.clone();
    let narrow = plane.service_key("acme", "narrow", &custom, move |row| {
        row.user_id = Some(owner.clone());
    });
    let full = [(BoundRole::Admin, None, "organization", "acme")];
    plane.service_key("acme", "victim", &full, |_| {});
    let owner = ann.clone();
    let ends = NOW.plus_micros(60_000_000);
    plane.service_key("acme", "fuller", &full, move |row| {
        row.user_id = Some(owner.clone());
        row.expires_at = Some(ends);
    });
    let call = |method: Method, path: &str, body: Option<Value>| {
        let (plane, token, path) = (&plane, narrow.clone(), path.to_owned());
        async move { plane.call_with(&token, method, &path, &[], body).await }
    };
    let got = call(Method::DELETE, "/api/api-keys/ak_acme-victim", None).await;
    assert!(!got.status.is_success(), "{}", got.text);
    let longer = json!({ "expiresAt": null });
    let got = call(Method::PATCH, "/api/api-keys/ak_acme-fuller", Some(longer)).await;
    assert_eq!(got.status.as_u16(), 403, "{}", got.text);
    assert_eq!(got.json()["error"], "api_key_scope_violation");
    // Nor does it take the administrator's own place away.
    let path = format!("/api/organization/members/{ann}");
    plane.member("acme", "bob", MemberRole::Admin);
    for body in [json!({ "role": "MEMBER" }), json!({ "disabled": true })] {
        let got = call(Method::PATCH, &path, Some(body)).await;
        assert_eq!(got.status.as_u16(), 403, "{}", got.text);
    }
    let got = call(Method::DELETE, &path, None).await;
    assert_eq!(got.status.as_u16(), 403, "{}", got.text);
}
