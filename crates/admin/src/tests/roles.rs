//! Custom roles and role bindings.

use http::Method;
use lw_store::rows::MemberRole;
use serde_json::{Value, json};

use super::Plane;
use super::organization::{actions, holding, of_person, sorted, word};

const ROLES: &str = "/api/roles";
const BINDINGS: &str = "/api/role-bindings";

async fn issuer(plane: &Plane) -> String {
    let body = json!({
        "name": "Issuer", "description": "mints",
        "permissions": ["virtualKeys:create", "virtualKeys:view", "virtualKeys:create"],
    });
    let got = plane.post(ROLES, body).await.fine(201);
    got["id"].as_str().expect("an id").to_owned()
}

async fn bind(plane: &Plane, token: &str, body: Value) -> super::Got {
    plane
        .call_with(token, Method::POST, BINDINGS, &[], Some(body))
        .await
}

#[tokio::test]
async fn a_role_lives() {
    let plane = Plane::new();
    let id = issuer(&plane).await;
    let path = format!("{ROLES}/{id}");
    let got = plane.get(&path).await.fine(200);
    assert_eq!(
        got["permissions"],
        json!(["virtualKeys:create", "virtualKeys:view"])
    );
    let list = plane.get(ROLES).await.fine(200);
    assert_eq!(list, json!({ "roles": [got] }));
    let body = json!({ "name": "Issuer", "permissions": [] });
    let twin = plane.post(ROLES, body).await;
    assert_eq!(word(&twin), (409, "name_conflict".into()));
    let body = json!({ "description": null, "permissions": ["traces:view"] });
    let got = plane.patch(&path, body).await.fine(200);
    assert_eq!(
        (&got["name"], &got["description"]),
        (&json!("Issuer"), &Value::Null)
    );
    assert_eq!(got["permissions"], json!(["traces:view"]));
    let foreign = plane
        .call_with(&plane.globex, Method::GET, &path, &[], None)
        .await;
    assert_eq!(word(&foreign), (404, "role_not_found".into()));

    plane.member("acme", "bob", MemberRole::Member);
    let body = json!({
        "userId": "user_bob", "role": "CUSTOM", "customRoleId": id, "scopeType": "TEAM",
        "scopeId": "default",
    });
    let bound = plane.post(BINDINGS, body).await.fine(201);
    let used = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(word(&used), (409, "role_in_use".into()));
    let binding = format!("{BINDINGS}/{}", bound["id"].as_str().expect("an id"));
    plane.call(Method::DELETE, &binding, None).await.fine(200);
    plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(plane.call(Method::DELETE, &path, None).await, foreign);
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "management.role.create",
            "management.role.update",
            "management.roleBinding.create",
            "management.roleBinding.delete",
            "management.role.delete"
        ])
    );
}

#[tokio::test]
async fn what_cannot_be_granted_cannot_be_listed() {
    let plane = Plane::new();
    let body = json!({
        "name": "", "permissions": ["virtualKeys:view", "ops:view", "traces:fly", "x", 7],
    });
    let got = plane.post(ROLES, body).await.fine(422);
    assert_eq!(
        got["fields"],
        json!([
            "name",
            "permissions.4",
            "permissions.1",
            "permissions.2",
            "permissions.3"
        ])
    );
    let got = plane.post(ROLES, json!({ "name": "x" })).await.fine(422);
    assert_eq!(got["fields"], json!(["permissions"]));
    let id = issuer(&plane).await;
    let body = json!({ "permissions": ["ops:view"] });
    let got = plane.patch(&format!("{ROLES}/{id}"), body).await;
    assert_eq!(word(&got), (422, "validation_error".into()));
}

#[tokio::test]
async fn the_vocabulary_is_the_engines() {
    let plane = Plane::new();
    let got = plane.get("/api/roles/permissions").await.fine(200);
    let resources = got["resources"].as_array().expect("rows");
    assert!(resources.iter().all(|row| row["resource"] != "ops"));
    let spend = resources
        .iter()
        .find(|row| row["resource"] == "gatewaySpend");
    insta::assert_json_snapshot!(json!({ "spend": spend, "actions": got["actions"] }));
    // Everything that is published is accepted.
    let all: Vec<&Value> = resources
        .iter()
        .flat_map(|row| row["permissions"].as_array().expect("a list"))
        .collect();
    let body = json!({ "name": "all", "permissions": all });
    plane.post(ROLES, body).await.fine(201);
}

#[tokio::test]
async fn nobody_lists_or_binds_more_than_they_may() {
    let plane = Plane::new();
    let manages = holding(&plane, "m", &["organization:manage", "traces:view"]);
    plane.member("acme", "bob", MemberRole::Member);
    let id = issuer(&plane).await;
    let call = |method: Method, at: String, body: Value| {
        let (plane, manages) = (&plane, &manages);
        async move {
            let got = plane.call_with(manages, method, &at, &[], Some(body)).await;
            word(&got)
        }
    };
    let denied = (403, "permission_denied".to_owned());
    let body = json!({ "name": "r", "permissions": ["virtualKeys:view"] });
    assert_eq!(call(Method::POST, ROLES.into(), body).await, denied);
    // An empty list is what a VIEWER may do.
    let body = json!({ "name": "r", "permissions": [] });
    assert_eq!(call(Method::POST, ROLES.into(), body).await, denied);
    let body = json!({ "name": "r", "permissions": ["traces:view"] });
    assert_eq!(call(Method::POST, ROLES.into(), body).await.0, 201);
    let at = format!("{ROLES}/{id}");
    let body = json!({ "permissions": ["virtualKeys:manage"] });
    assert_eq!(call(Method::PATCH, at.clone(), body).await, denied);
    assert_eq!(call(Method::PATCH, at, json!({ "name": "n" })).await.0, 200);
    let body = json!({
        "userId": "user_bob", "role": "ADMIN", "scopeType": "ORGANIZATION", "scopeId": "acme",
    });
    assert_eq!(call(Method::POST, BINDINGS.into(), body).await, denied);
    let body = json!({
        "userId": "user_bob", "role": "CUSTOM", "customRoleId": id, "scopeType": "TEAM",
        "scopeId": "default",
    });
    assert_eq!(call(Method::POST, BINDINGS.into(), body).await, denied);
}

#[tokio::test]
async fn bindings_are_made_changed_filtered_and_taken_away() {
    let plane = Plane::new();
    plane.member("acme", "bob", MemberRole::Member);
    let group = plane.post("/api/groups", json!({ "name": "g" })).await;
    let group = group.fine(201)["id"].clone();
    let body = json!({
        "userId": "user_bob", "role": "VIEWER", "scopeType": "PROJECT", "scopeId": "default",
    });
    let made = plane.post(BINDINGS, body.clone()).await.fine(201);
    assert_eq!(made["scopeId"], "proj_acme-default");
    // The same once more is the same row.
    assert_eq!(plane.post(BINDINGS, body).await.fine(201), made);
    let body = json!({
        "groupId": group, "role": "MEMBER", "scopeType": "TEAM", "scopeId": "default",
    });
    plane.post(BINDINGS, body).await.fine(201);
    let count = |query: &str| {
        let (plane, path) = (&plane, format!("{BINDINGS}?{query}"));
        async move { plane.get(&path).await.fine(200)["totalCount"].clone() }
    };
    assert_eq!(count("userId=user_bob").await, 1);
    assert_eq!(count("userId=user_x").await, 0);
    assert_eq!(count("userId=user_bob&scopeType=TEAM").await, 0);
    assert_eq!(count("scopeType=TEAM&scopeId=default").await, 1);
    // A slug names whatever is called so.
    assert_eq!(count("scopeId=default").await, 2);
    assert_eq!(count("scopeType=ORGANIZATION&limit=1").await, 3);
    assert_eq!(count("apiKeyId=ak_acme-live").await, 1);
    let got = plane.get(&format!("{BINDINGS}?scopeType=team")).await;
    assert_eq!(word(&got), (422, "validation_error".into()));

    let path = format!("{BINDINGS}/{}", made["id"].as_str().expect("an id"));
    let got = plane
        .patch(&path, json!({ "role": "ADMIN" }))
        .await
        .fine(200);
    assert_eq!((&got["role"], &got["id"]), (&json!("ADMIN"), &made["id"]));
    let foreign = plane
        .call_with(&plane.globex, Method::DELETE, &path, &[], None)
        .await;
    assert_eq!(word(&foreign), (404, "role_binding_not_found".into()));
    plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(plane.call(Method::DELETE, &path, None).await, foreign);
}

#[tokio::test]
async fn what_is_wrong_with_a_binding_is_said() {
    let plane = Plane::new();
    plane.member("acme", "bob", MemberRole::Member);
    plane.member("globex", "gus", MemberRole::Member);
    let at = |more: Value| {
        let mut body = json!({ "role": "VIEWER", "scopeType": "TEAM", "scopeId": "default" });
        let map = body.as_object_mut().expect("an object");
        map.extend(more.as_object().expect("an object").clone());
        body
    };
    for (body, expected) in [
        (at(json!({})), (422, "validation_error")),
        (
            at(json!({ "userId": "user_bob", "groupId": "grp_x" })),
            (422, "validation_error"),
        ),
        (
            at(json!({ "userId": "user_gus" })),
            (404, "member_not_found"),
        ),
        (at(json!({ "groupId": "grp_x" })), (404, "group_not_found")),
        (
            at(json!({ "apiKeyId": "ak_globex-live" })),
            (404, "api_key_not_found"),
        ),
        (
            at(json!({ "apiKeyId": "ak_acme-live", "role": "CUSTOM", "customRoleId": "role_x" })),
            (422, "validation_error"),
        ),
        (
            at(json!({ "userId": "user_bob", "scopeId": "team_globex-default" })),
            (400, "gateway_scope_org_mismatch"),
        ),
        (
            at(json!({ "apiKeyId": "ak_acme-revoked" })),
            (409, "api_key_already_revoked"),
        ),
    ] {
        let got = bind(&plane, &plane.acme, body.clone()).await;
        assert_eq!(word(&got), (expected.0, expected.1.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn what_a_restricted_key_may_is_changed_at_the_key() {
    let plane = Plane::new();
    let body = json!({
        "name": "r", "keyType": "service", "permissions": ["traces:view"],
        "bindings": [{ "role": "CUSTOM", "scopeType": "TEAM", "scopeId": "default" }],
    });
    let made = plane.post("/api/api-keys", body).await.fine(201);
    let key = made["apiKey"]["id"].as_str().expect("an id");
    // Its private role does not exist for anybody.
    let roles = plane.get(ROLES).await.fine(200);
    assert_eq!(roles["roles"], json!([]));
    let list = plane
        .get(&format!("{BINDINGS}?apiKeyId={key}"))
        .await
        .fine(200);
    let private = list["bindings"][0]["customRoleId"].as_str().expect("an id");
    let got = plane.get(&format!("{ROLES}/{private}")).await;
    assert_eq!(word(&got), (404, "role_not_found".into()));
    plane.member("acme", "bob", MemberRole::Member);
    let body = json!({
        "userId": "user_bob", "role": "CUSTOM", "customRoleId": private, "scopeType": "TEAM",
        "scopeId": "default",
    });
    let got = plane.post(BINDINGS, body).await;
    assert_eq!(word(&got), (404, "role_not_found".into()));
    let path = format!(
        "{BINDINGS}/{}",
        list["bindings"][0]["id"].as_str().expect("an id")
    );
    let patch = plane.patch(&path, json!({ "role": "VIEWER" })).await;
    assert_eq!(word(&patch), (400, "bad_request".into()));
    let delete = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(word(&delete), (400, "bad_request".into()));
    // A plain binding of a key is made here as well, below the ceiling of its owner.
    let member = of_person(&plane, "mia", MemberRole::Member);
    let runs = of_person(&plane, "ada", MemberRole::Admin);
    let body = |key: &str| json!({ "apiKeyId": key, "role": "ADMIN", "scopeType": "TEAM", "scopeId": "default" });
    bind(&plane, &runs, body("ak_acme-of-ada")).await.fine(201);
    bind(&plane, &runs, body("ak_acme-live")).await.fine(201);
    let others = bind(&plane, &runs, body("ak_acme-of-mia")).await;
    assert_eq!(word(&others), (404, "api_key_not_found".into()));
    let got = bind(&plane, &member, body("ak_acme-of-mia")).await;
    assert_eq!(word(&got), (403, "insufficient_permissions".into()));
}

#[tokio::test]
async fn of_patches_at_once_none_is_lost() {
    let plane = Plane::new();
    let id = issuer(&plane).await;
    let path = format!("{ROLES}/{id}");
    super::organization::race(&plane, &path, "management.role.update", "description").await;
}
