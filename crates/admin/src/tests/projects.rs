//! Projects, their keys, and what a credential says of its own project.

use http::Method;
use lw_store::config::Write;
use lw_store::rows::{BoundRole, BudgetTarget, Project};
use serde_json::{Value, json};

use super::organization::{actions, budget, holding, is_archived, race, sorted, word};
use super::{Got, NOW, Plane, organization, project, project_token, quiet};

const PROJECTS: &str = "/api/projects";

fn new(more: Value) -> Value {
    let mut body = json!({ "name": "Web", "language": "rust", "framework": "axum" });
    let (Value::Object(map), Value::Object(more)) = (&mut body, more) else {
        panic!("both are objects");
    };
    map.extend(more);
    body
}

fn slugs(got: &Value) -> Vec<&str> {
    let rows = got["data"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["slug"].as_str().expect("a slug"))
        .collect()
}

async fn as_(plane: &Plane, token: &str, method: Method, at: &str, body: Option<Value>) -> Got {
    let path = format!("{PROJECTS}{at}");
    plane.call_with(token, method, &path, &[], body).await
}

fn row(plane: &Plane, name: &str) -> Project {
    let found = plane
        .store
        .project(&organization("acme"), &project("acme", name));
    found.expect("asked").expect("a project")
}

#[tokio::test]
async fn a_project_lives() {
    let plane = Plane::new();
    let got = plane.post(PROJECTS, new(json!({}))).await.fine(201);
    assert_eq!(got["teamId"], "team_acme-default");
    assert_eq!(
        (&got["slug"], &got["kind"]),
        (&json!("web"), &json!("application"))
    );
    let service = got["serviceApiKey"].as_str().expect("a key").to_owned();
    let mut plain = got.clone();
    let map = plain.as_object_mut().expect("an object");
    map.retain(|name, _| !name.starts_with("serviceApiKey"));
    assert_eq!(plane.get("/api/projects/web").await.fine(200), plain);
    // The service key runs the project and nothing else.
    let list = as_(&plane, &service, Method::GET, "", None).await.fine(200);
    assert_eq!(slugs(&list), ["web"]);
    let body = Some(json!({ "framework": "actix" }));
    as_(&plane, &service, Method::PATCH, "/web", body)
        .await
        .fine(200);
    let sibling = as_(&plane, &service, Method::GET, "/default", None).await;
    assert_eq!(word(&sibling), (404, "project_not_found".into()));
    // It has a key of its own from the start.
    let key = plane.get("/api/projects/web/api-key").await.fine(200);
    let key = key["apiKey"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("sk-lw-") && key.len() == 54);
    let me = plane
        .call_with(&key, Method::GET, "/api/me/project", &[], None)
        .await;
    assert_eq!(
        me.fine(200),
        json!({ "id": got["id"], "name": "Web", "slug": "web", "isPersonal": false })
    );
    let gone = plane.call(Method::DELETE, "/api/projects/web", None).await;
    assert_eq!(
        gone.fine(200),
        json!({ "id": got["id"], "name": "Web", "archivedAt": NOW.to_rfc3339() })
    );
    assert_eq!(
        slugs(&plane.get(PROJECTS).await.fine(200)),
        ["default", "governance"]
    );
    let me = plane
        .call_with(&key, Method::GET, "/api/me/project", &[], None)
        .await;
    assert_eq!(word(&me), (401, "invalid_credentials".into()));
    let again = plane.call(Method::DELETE, "/api/projects/web", None).await;
    assert_eq!(word(&again), (404, "project_not_found".into()));
    // Its slug stays taken: keys that file there still show it.
    let next = plane.post(PROJECTS, new(json!({}))).await.fine(201);
    assert_eq!(next["slug"], "web-2");
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "project.created",
            "management.apiKey.create",
            "project.updated",
            "project.api_key.read",
            "project.archived",
            "project.created",
            "management.apiKey.create"
        ])
    );
    for secret in [&service, &key] {
        let tail = &secret[secret.len() - 48..];
        assert!(
            plane
                .audit()
                .iter()
                .all(|row| !format!("{row:?}").contains(tail))
        );
    }
}

#[tokio::test]
async fn the_list_is_paged() {
    let plane = Plane::new();
    let got = plane.get("/api/projects?page=2&limit=1").await.fine(200);
    insta::assert_json_snapshot!(got);
}

#[tokio::test]
async fn a_project_may_bring_its_team_along() {
    let plane = Plane::new();
    let body = new(json!({ "newTeamName": "Research" }));
    let got = plane.post(PROJECTS, body).await.fine(201);
    let team = plane.get("/api/teams/research").await.fine(200);
    assert_eq!(got["teamId"], team["id"]);
    // A new team is for who manages the organization.
    let permissions: &[&str] = &["project:create"];
    let bindings = [(BoundRole::Custom, Some(permissions), "organization", "acme")];
    let token = plane.service_key("acme", "c", &bindings, |_| {});
    let body = Some(new(json!({ "newTeamName": "Mine" })));
    let got = as_(&plane, &token, Method::POST, "", body).await;
    assert_eq!(word(&got), (403, "permission_denied".into()));
    assert!(
        got.text
            .contains("organization:manage at ORGANIZATION:org_acme")
    );
    for id in ["team_x", "hidden", "team_globex-default"] {
        let got = plane.post(PROJECTS, new(json!({ "teamId": id }))).await;
        assert_eq!(word(&got), (404, "team_not_found".into()), "{id}");
    }
}

#[tokio::test]
async fn the_service_key_of_a_project_may_no_more_than_its_maker() {
    let plane = Plane::new();
    let make = |token: String, name: &'static str| {
        let plane = &plane;
        async move {
            let body = Some(new(json!({ "name": name })));
            let got = as_(plane, &token, Method::POST, "", body).await.fine(201);
            let id = got["serviceApiKeyId"].as_str().expect("an id");
            let path = format!("/api/api-keys/{id}");
            plane.get(&path).await.fine(200)
        }
    };
    let bindings = [(BoundRole::Member, None, "team", "default")];
    let member = plane.service_key("acme", "m", &bindings, |_| {});
    let got = make(member, "by member").await;
    assert_eq!(got["bindings"][0]["role"], "MEMBER");
    let permissions: &[&str] = &["project:create", "project:view", "organization:view"];
    let bindings = [(BoundRole::Custom, Some(permissions), "organization", "acme")];
    let narrow = plane.service_key("acme", "n", &bindings, |_| {});
    let got = make(narrow, "by narrow").await;
    assert_eq!(got["permissionMode"], "restricted");
    assert_eq!(
        got["permissions"],
        json!(["project:create", "project:view"])
    );
    let got = make(plane.acme.clone(), "by admin").await;
    assert_eq!(got["bindings"][0]["role"], "ADMIN");
}

#[tokio::test]
async fn what_is_wrong_with_a_project_is_said_at_once() {
    let plane = Plane::new();
    let body = json!({
        "name": "", "language": 7, "teamId": "a", "newTeamName": "b", "piiRedactionLevel": "none",
    });
    let got = plane.post(PROJECTS, body).await.fine(422);
    assert_eq!(
        got["fields"],
        json!([
            "name",
            "language",
            "framework",
            "newTeamName",
            "piiRedactionLevel"
        ])
    );
    for body in [
        json!({ "name": null }),
        json!({ "language": "" }),
        json!({ "piiRedactionLevel": "strict" }),
    ] {
        let got = plane.patch("/api/projects/default", body).await;
        assert_eq!(word(&got), (422, "validation_error".into()));
    }
}

#[tokio::test]
async fn the_keys_that_file_here_hear_of_what_their_bundles_hold() {
    let plane = Plane::new();
    let body = json!({ "trace_project_id": "default" });
    let here = super::keys::mint(&plane, body).await;
    let elsewhere = super::keys::mint(&plane, json!({})).await;
    plane.announced();
    let revision = |minted: &Value| {
        let (plane, path) = (&plane, super::keys::path_of(minted));
        async move { plane.get(&path).await.fine(200)["virtual_key"]["revision"].clone() }
    };
    let path = "/api/projects/default";
    let body = json!({ "piiRedactionLevel": "STRICT" });
    plane.patch(path, body).await.fine(200);
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED"]);
    assert_eq!(revision(&here).await, "2");
    plane.patch(path, json!({ "name": "x" })).await.fine(200);
    assert_eq!(plane.announced(), Vec::<&str>::new());

    let old = project_token("acme", "default");
    let path = format!("{path}/regenerate-api-key");
    let got = plane.call(Method::POST, &path, None).await.fine(200);
    let token = got["apiKey"].as_str().expect("a key");
    assert_eq!(plane.announced(), ["VK_CONFIG_UPDATED"]);
    assert_eq!(revision(&here).await, "3");
    assert_eq!(revision(&elsewhere).await, "1");
    let read = plane.get("/api/projects/default/api-key").await.fine(200);
    assert_eq!(read, got);
    let me = |token: &str| {
        let (plane, token) = (&plane, token.to_owned());
        async move {
            let path = "/api/me/project";
            let got = plane.call_with(&token, Method::GET, path, &[], None).await;
            got.status.as_u16()
        }
    };
    assert_eq!((me(token).await, me(&old).await), (200, 401));
    assert!(
        !row(&plane, "default")
            .key
            .expect("a key")
            .sealed
            .contains(token)
    );
    assert!(
        plane
            .audit()
            .iter()
            .all(|row| !format!("{row:?}").contains(token))
    );
}

#[tokio::test]
async fn reading_a_key_never_makes_one() {
    let plane = Plane::new();
    // The rows of the tests were sealed by nobody.
    let path = "/api/projects/default/api-key";
    let got = plane.get(path).await;
    assert_eq!(word(&got), (400, "bad_request".into()));
    assert!(got.text.contains("regenerate-api-key"));
    let without = Project {
        key: None,
        ..row(&plane, "default")
    };
    plane
        .store
        .commit(&[Write::UpdateProject(&without)], &quiet("no-key"))
        .expect("written");
    let got = plane.get(path).await;
    assert_eq!(word(&got), (400, "bad_request".into()));
    assert!(got.text.contains("regenerate-api-key"));
    assert_eq!(row(&plane, "default").key, None);
}

#[tokio::test]
async fn archiving_keeps_keys_tracing_and_takes_budgets_along() {
    let plane = Plane::new();
    let body = json!({ "trace_project_id": "default" });
    let minted = super::keys::mint(&plane, body).await;
    let id = project("acme", "default");
    let plain = budget(&plane, "p", BudgetTarget::Project(id.clone()));
    let template = budget(&plane, "t", BudgetTarget::EndUsersOfProject(id));
    plane.announced();
    plane
        .call(Method::DELETE, "/api/projects/default", None)
        .await
        .fine(200);
    assert_eq!(plane.announced(), ["BUDGET_DELETED", "BUDGET_DELETED"]);
    assert!(is_archived(&plane, &plain) && is_archived(&plane, &template));
    let got = plane.get(&super::keys::path_of(&minted)).await.fine(200);
    assert_eq!(got["virtual_key"]["status"], "active");
    assert_eq!(got["virtual_key"]["trace_project_archived"], true);
}

#[tokio::test]
async fn each_may_what_its_role_says_where_it_is_bound() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let key = |name: &str, role| {
        let bindings = [(role, None, "project", "web")];
        plane.service_key("acme", name, &bindings, |_| {})
    };
    let viewer = key("v", BoundRole::Viewer);
    let member = key("m", BoundRole::Member);
    let boss = key("b", BoundRole::Admin);
    let rename = || Some(json!({ "name": "x" }));
    for (token, method, at, body, expected) in [
        (&viewer, Method::GET, "", None, 200),
        (&viewer, Method::PATCH, "", rename(), 403),
        (&viewer, Method::GET, "/api-key", None, 403),
        (&viewer, Method::DELETE, "", None, 403),
        (&member, Method::PATCH, "", rename(), 200),
        (&member, Method::POST, "/regenerate-api-key", None, 403),
        (&member, Method::DELETE, "", None, 403),
        (&boss, Method::POST, "/regenerate-api-key", None, 200),
        (&member, Method::GET, "/api-key", None, 200),
        (&boss, Method::DELETE, "", None, 200),
    ] {
        // Elsewhere nothing exists, whatever the role.
        let own = format!("/web{at}");
        for other in ["default", "proj_globex-default", "proj_x"] {
            let at = format!("/{other}{at}");
            let got = as_(&plane, token, method.clone(), &at, body.clone()).await;
            let known = [
                (404, "project_not_found".to_owned()),
                (403, "insufficient_permissions".to_owned()),
            ];
            assert!(known.contains(&word(&got)), "{method} {at}: {}", got.text);
        }
        let got = as_(&plane, token, method.clone(), &own, body).await;
        assert_eq!(
            got.status.as_u16(),
            expected,
            "{method} {own}: {}",
            got.text
        );
    }
    // What is seen is refused by name.
    let both = [
        (BoundRole::Viewer, None, "project", "default"),
        (BoundRole::Admin, None, "team", "web"),
    ];
    let token = plane.service_key("acme", "both", &both, |_| {});
    let got = as_(&plane, &token, Method::PATCH, "/default", rename()).await;
    let text = "permission_denied: project:update at PROJECT:proj_acme-default";
    assert_eq!(got.json()["message"], text);
    // Keys without any project see an empty list.
    let none = holding(&plane, "none", &["organization:view"]);
    let got = as_(&plane, &none, Method::GET, "", None).await.fine(200);
    assert_eq!(slugs(&got), Vec::<&str>::new());
}

#[tokio::test]
async fn of_patches_at_once_none_is_lost() {
    let plane = Plane::new();
    race(&plane, "/api/projects/default", "project.updated", "name").await;
}

#[tokio::test]
async fn a_credential_knows_its_project_or_is_asked_for_one() {
    let plane = Plane::new();
    let path = "/api/me/project";
    let token = project_token("acme", "default");
    let got = plane.call_with(&token, Method::GET, path, &[], None).await;
    assert_eq!(got.fine(200)["id"], "proj_acme-default");
    let named = [("x-project-id", "governance")];
    let got = plane
        .call_with(&plane.acme, Method::GET, path, &named, None)
        .await;
    assert_eq!(got.fine(200)["slug"], "governance");
    let got = plane.get(path).await;
    assert_eq!(word(&got), (401, "invalid_credentials".into()));
}
