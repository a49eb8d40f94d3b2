//! Groups, who is in them and what they are bound to.

use http::Method;
use lw_core::GroupId;
use lw_store::rows::{BudgetTarget, MemberRole};
use serde_json::{Value, json};

use super::Plane;
use super::organization::{actions, budget, holding, is_archived, sorted, word};

const GROUPS: &str = "/api/groups";

async fn makers(plane: &Plane) -> (String, GroupId) {
    plane.member("acme", "ada", MemberRole::Member);
    plane.member("acme", "bob", MemberRole::Member);
    let body = json!({
        "name": "Makers",
        "memberIds": ["user_ada", "user_ada"],
        "bindings": [{ "role": "MEMBER", "scopeType": "TEAM", "scopeId": "default" }],
    });
    let got = plane.post(GROUPS, body).await.fine(201);
    let id = got["id"].as_str().expect("an id");
    (format!("{GROUPS}/{id}"), GroupId::parse(id).expect("an id"))
}

#[tokio::test]
async fn a_group_lives() {
    let plane = Plane::new();
    let (path, id) = makers(&plane).await;
    let got = plane.get(&path).await.fine(200);
    assert_eq!(got["memberCount"], 1);
    assert_eq!(got["slug"], "makers");
    assert_eq!(got["bindings"][0]["scopeId"], "team_acme-default");
    let list = plane.get(GROUPS).await.fine(200);
    assert_eq!(list["data"], json!([got]));
    let renamed = plane.patch(&path, json!({ "name": "Ops" })).await.fine(200);
    assert_eq!(
        (&renamed["name"], &renamed["slug"]),
        (&json!("Ops"), &json!("makers"))
    );
    let shared = budget(&plane, "g", BudgetTarget::Group(id));
    let foreign = plane
        .call_with(&plane.globex, Method::DELETE, &path, &[], None)
        .await;
    let unknown = plane
        .call_with(
            &plane.globex,
            Method::DELETE,
            "/api/groups/grp_x",
            &[],
            None,
        )
        .await;
    assert_eq!(foreign, unknown);
    let gone = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(gone, json!({ "success": true }));
    assert!(is_archived(&plane, &shared));
    assert_eq!(plane.announced(), ["BUDGET_DELETED"]);
    assert_eq!(
        word(&plane.get(&path).await),
        (404, "group_not_found".into())
    );
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "management.group.create",
            "management.group.update",
            "management.group.delete"
        ])
    );
}

#[tokio::test]
async fn joining_and_leaving_tells_the_budgets_of_the_group() {
    let plane = Plane::new();
    let (path, id) = makers(&plane).await;
    budget(&plane, "g", BudgetTarget::Group(id));
    let members = format!("{path}/members");
    let body = json!({ "userId": "user_bob" });
    let got = plane.post(&members, body.clone()).await.fine(201);
    assert_eq!(
        got,
        json!({ "userId": "user_bob", "name": "bob", "email": "bob@example.com" })
    );
    assert_eq!(plane.announced(), ["BUDGET_UPDATED"]);
    plane.post(&members, body).await.fine(201);
    assert_eq!(plane.announced(), Vec::<&str>::new());
    let list = plane.get(&members).await.fine(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let one = format!("{members}/user_bob");
    plane.call(Method::DELETE, &one, None).await.fine(200);
    assert_eq!(plane.announced(), ["BUDGET_UPDATED"]);
    let again = plane.call(Method::DELETE, &one, None).await;
    assert_eq!(word(&again), (404, "member_not_found".into()));
    let got = plane.post(&members, json!({ "userId": "user_x" })).await;
    assert_eq!(got, again);
}

#[tokio::test]
async fn bindings_come_and_go() {
    let plane = Plane::new();
    let (path, _) = makers(&plane).await;
    let role = json!({ "name": "Issuer", "permissions": ["virtualKeys:create"] });
    let role = plane.post("/api/roles", role).await.fine(201)["id"].clone();
    let bindings = format!("{path}/bindings");
    let body = json!({
        "role": "CUSTOM", "customRoleId": role, "scopeType": "ORGANIZATION", "scopeId": "acme",
    });
    let got = plane.post(&bindings, body).await.fine(201);
    assert_eq!(
        (&got["customRoleId"], &got["scopeId"]),
        (&role, &json!("org_acme"))
    );
    let list = plane.get(&bindings).await.fine(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let one = format!("{bindings}/{}", got["id"].as_str().expect("an id"));
    plane.call(Method::DELETE, &one, None).await.fine(200);
    let again = plane.call(Method::DELETE, &one, None).await;
    assert_eq!(word(&again), (404, "role_binding_not_found".into()));
}

#[tokio::test]
async fn nobody_gives_through_a_group_what_they_do_not_have() {
    let plane = Plane::new();
    let (path, _) = makers(&plane).await;
    let manages = holding(&plane, "m", &["organization:manage"]);
    let call = |at: String, body: Value| {
        let (plane, manages) = (&plane, &manages);
        async move {
            let got = plane
                .call_with(manages, Method::POST, &at, &[], Some(body))
                .await;
            word(&got)
        }
    };
    let denied = (403, "permission_denied".to_owned());
    let binding = json!({ "role": "VIEWER", "scopeType": "TEAM", "scopeId": "default" });
    let at = format!("{path}/bindings");
    assert_eq!(call(at, binding.clone()).await, denied);
    let body = json!({ "name": "x", "bindings": [binding] });
    assert_eq!(call(GROUPS.into(), body).await, denied);
    // Joining gives what the group has.
    let at = format!("{path}/members");
    assert_eq!(call(at, json!({ "userId": "user_bob" })).await, denied);
    assert_eq!(call(GROUPS.into(), json!({ "name": "x" })).await.0, 201);
}

#[tokio::test]
async fn what_is_wrong_with_a_group_is_said_at_once() {
    let plane = Plane::new();
    let body = json!({
        "name": "", "memberIds": [7],
        "bindings": [
            { "role": "CUSTOM", "scopeType": "TEAM", "scopeId": "default" },
            { "role": "ADMIN", "customRoleId": "role_1", "scopeType": "team" },
            "x",
        ],
    });
    let got = plane.post(GROUPS, body).await.fine(422);
    assert_eq!(
        got["fields"],
        json!([
            "name",
            "bindings.0.customRoleId",
            "bindings.1.customRoleId",
            "bindings.1.scopeType",
            "bindings.1.scopeId",
            "bindings.2",
            "memberIds.0"
        ])
    );
    for (binding, expected) in [
        (
            json!({ "role": "VIEWER", "scopeType": "TEAM", "scopeId": "team_globex-default" }),
            (400, "gateway_scope_org_mismatch"),
        ),
        (
            json!({ "role": "CUSTOM", "customRoleId": "role_x", "scopeType": "TEAM", "scopeId": "default" }),
            (404, "role_not_found"),
        ),
    ] {
        let got = plane
            .post(GROUPS, json!({ "name": "g", "bindings": [binding] }))
            .await;
        assert_eq!(word(&got), (expected.0, expected.1.to_owned()));
    }
}

#[tokio::test]
async fn without_enterprise_features_there_are_no_groups() {
    let plane = Plane::with(|admin| admin.settings.enterprise_features = false);
    for (method, path, body) in [
        (Method::GET, GROUPS, None),
        (Method::POST, GROUPS, Some(json!({ "name": "g" }))),
        (Method::GET, "/api/groups/grp_x", None),
        (
            Method::PATCH,
            "/api/groups/grp_x",
            Some(json!({ "name": "g" })),
        ),
        (Method::DELETE, "/api/groups/grp_x", None),
        (Method::GET, "/api/groups/grp_x/members", None),
        (
            Method::POST,
            "/api/groups/grp_x/members",
            Some(json!({ "userId": "u" })),
        ),
        (Method::DELETE, "/api/groups/grp_x/members/user_x", None),
        (Method::GET, "/api/groups/grp_x/bindings", None),
        (Method::POST, "/api/groups/grp_x/bindings", Some(json!({}))),
        (Method::DELETE, "/api/groups/grp_x/bindings/rb_x", None),
    ] {
        let got = plane.call(method.clone(), path, body).await;
        assert_eq!(word(&got), (403, "forbidden".into()), "{method} {path}");
        assert!(got.text.contains("LW_ENTERPRISE_FEATURES"));
    }
}
