//! Teams and who is in them.

use http::Method;
use lw_core::TeamId;
use lw_store::config::Write;
use lw_store::rows::{BoundRole, BudgetTarget, MemberRole, Team};
use serde_json::{Value, json};

use super::organization::{actions, budget, is_archived, of_person, race, sorted, word};
use super::{NOW, Plane, organization, project_token, quiet, team};

const TEAMS: &str = "/api/teams";

fn names(got: &Value) -> Vec<&str> {
    let rows = got["data"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn a_team_lives() {
    let plane = Plane::new();
    plane.clock.set(NOW.plus_micros(1_000_000));
    let got = plane.post(TEAMS, json!({ "name": " Web / API " })).await;
    assert_eq!(got.header("etag"), Some("\"1795442401000\""));
    plane.clock.set(NOW.plus_micros(2_000_000));
    let made = got.fine(201);
    assert_eq!(
        (&made["name"], &made["slug"], &made["organizationId"]),
        (&json!("Web / API"), &json!("web-api"), &json!("org_acme"))
    );
    let again = plane
        .post(TEAMS, json!({ "name": "web api" }))
        .await
        .fine(201);
    assert_eq!(again["slug"], "web-api-2");
    let path = format!("{TEAMS}/web-api");
    assert_eq!(plane.get(&path).await.fine(200), made);
    let renamed = plane.patch(&path, json!({ "name": "Web" })).await.fine(200);
    assert_eq!(
        (&renamed["name"], &renamed["slug"]),
        (&json!("Web"), &json!("web-api"))
    );
    let page = plane
        .get(&format!("{TEAMS}?page=2&limit=2"))
        .await
        .fine(200);
    assert_eq!(names(&page), ["web api"]);
    assert_eq!(
        page["pagination"],
        json!({ "page": 2, "limit": 2, "total": 3 })
    );
    let gone = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(
        gone,
        json!({ "id": made["id"], "name": "Web", "archivedAt": "2026-11-23T14:00:02.000Z" })
    );
    let after = plane.get(&path).await;
    assert_eq!(word(&after), (404, "team_not_found".into()));
    assert_eq!(plane.call(Method::DELETE, &path, None).await, after);
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "management.team.create",
            "management.team.create",
            "management.team.update",
            "management.team.archive"
        ])
    );
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_team_with_projects_stays_and_one_without_takes_its_budgets_along() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let own = budget(&plane, "web", BudgetTarget::Team(team("acme", "web")));
    let other = budget(&plane, "def", BudgetTarget::Team(team("acme", "default")));
    let path = format!("{TEAMS}/web");
    let got = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(word(&got), (409, "team_in_use".into()));
    assert!(got.text.contains("langwatch projects delete"));
    plane
        .call(Method::DELETE, "/api/projects/web", None)
        .await
        .fine(200);
    plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(plane.announced(), ["BUDGET_DELETED"]);
    assert!(is_archived(&plane, &own) && !is_archived(&plane, &other));
}

#[tokio::test]
async fn hidden_personal_and_archived_teams_do_not_exist() {
    let plane = Plane::new();
    let owner = plane.member("acme", "ada", MemberRole::Member);
    let personal = Team {
        id: TeamId::parse("team_acme-own").expect("an id"),
        organization_id: organization("acme"),
        name: "own".into(),
        slug: "own".into(),
        hidden: false,
        personal_owner: Some(owner),
        archived_at: None,
        created_at: NOW,
        updated_at: NOW,
    };
    plane
        .store
        .commit(&[Write::InsertTeam(&personal)], &quiet("own"))
        .expect("a team");
    assert_eq!(names(&plane.get(TEAMS).await.fine(200)), ["default"]);
    let unknown = plane.get(&format!("{TEAMS}/team_x")).await;
    for id in [
        "team_acme-hidden",
        "hidden",
        "own",
        "team_acme-own",
        "team_globex-default",
    ] {
        for (method, body) in [
            (Method::GET, None),
            (Method::PATCH, Some(json!({ "name": "x" }))),
            (Method::DELETE, None),
        ] {
            let got = plane.call(method, &format!("{TEAMS}/{id}"), body).await;
            assert_eq!(got, unknown, "{id}");
        }
        let got = plane.get(&format!("{TEAMS}/{id}/members")).await;
        assert_eq!(got, unknown, "{id}");
    }
}

#[tokio::test]
async fn a_key_sees_its_own_teams_and_may_there_what_its_role_says() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let key = |name: &str, role, kind, at| {
        let bindings = [(role, None, kind, at)];
        plane.service_key("acme", name, &bindings, |_| {})
    };
    let viewer = key("v", BoundRole::Viewer, "team", "web");
    let boss = key("b", BoundRole::Admin, "team", "web");
    let below = key("p", BoundRole::Admin, "project", "web");
    let call = |token: &str, method: Method, at: &str, body: Option<Value>| {
        let (plane, token, path) = (&plane, token.to_owned(), format!("{TEAMS}{at}"));
        async move { plane.call_with(&token, method, &path, &[], body).await }
    };
    for token in [&viewer, &boss, &below] {
        let got = call(token, Method::GET, "", None).await.fine(200);
        assert_eq!(names(&got), ["web"]);
        call(token, Method::GET, "/web", None).await.fine(200);
        let sibling = call(token, Method::GET, "/default", None).await;
        assert_eq!(word(&sibling), (404, "team_not_found".into()));
        let inside = call(token, Method::GET, "/web/projects", None).await;
        assert_eq!(names(&inside.fine(200)), ["web"]);
    }
    let body = || Some(json!({ "name": "x" }));
    // The route refuses who manages no team at all.
    let got = call(&viewer, Method::PATCH, "/web", body()).await;
    assert_eq!(word(&got), (403, "insufficient_permissions".into()));
    call(&boss, Method::PATCH, "/web", body()).await.fine(200);
    let sibling = call(&boss, Method::PATCH, "/default", body()).await;
    assert_eq!(word(&sibling), (404, "team_not_found".into()));
    // The team of a project is seen and not changed.
    let got = call(&below, Method::PATCH, "/web", body()).await;
    assert_eq!(word(&got), (403, "permission_denied".into()));
    let text = "permission_denied: team:manage at TEAM:team_acme-web";
    assert_eq!(got.json()["message"], text);
    let got = call(&boss, Method::POST, "", body()).await;
    assert_eq!(word(&got), (403, "insufficient_permissions".into()));
    let legacy = call(&project_token("acme", "web"), Method::GET, "", None).await;
    assert_eq!(word(&legacy), (401, "credential_class_mismatch".into()));
}

#[tokio::test]
async fn joining_and_leaving_tells_the_budgets_of_the_team() {
    let plane = Plane::new();
    plane.member("acme", "bob", MemberRole::Member);
    budget(&plane, "t", BudgetTarget::Team(team("acme", "default")));
    let path = format!("{TEAMS}/default/members");
    let body = json!({ "userId": "user_bob" });
    let got = plane.post(&path, body.clone()).await.fine(201);
    let row = json!({
        "userId": "user_bob", "name": "bob", "email": "bob@example.com", "role": "MEMBER",
    });
    assert_eq!(got, row);
    assert_eq!(plane.announced(), ["BUDGET_UPDATED"]);
    // Once more is nothing; another role changes nobody's budget.
    plane.post(&path, body).await.fine(201);
    let body = json!({ "userId": "user_bob", "role": "ADMIN" });
    plane.post(&path, body).await.fine(201);
    assert_eq!(plane.announced(), Vec::<&str>::new());
    let list = plane.get(&path).await.fine(200);
    assert_eq!(list["data"][0]["role"], "ADMIN");
    let one = format!("{path}/user_bob");
    let got = plane.call(Method::DELETE, &one, None).await.fine(200);
    assert_eq!(got, json!({ "success": true }));
    assert_eq!(plane.announced(), ["BUDGET_UPDATED"]);
    let again = plane.call(Method::DELETE, &one, None).await;
    assert_eq!(word(&again), (404, "member_not_found".into()));
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "management.team.member.add",
            "management.team.member.add",
            "management.team.member.remove"
        ])
    );
}

#[tokio::test]
async fn nobody_puts_somebody_into_a_team_as_more_than_they_are() {
    let plane = Plane::new();
    plane.member("acme", "bob", MemberRole::Member);
    plane.member("globex", "gus", MemberRole::Member);
    let permissions: &[&str] = &["team:manage"];
    let bindings = [(BoundRole::Custom, Some(permissions), "team", "default")];
    let token = plane.service_key("acme", "hr", &bindings, |_| {});
    let path = format!("{TEAMS}/default/members");
    let body = Some(json!({ "userId": "user_bob", "role": "VIEWER" }));
    let got = plane
        .call_with(&token, Method::POST, &path, &[], body)
        .await;
    assert_eq!(word(&got), (403, "permission_denied".into()));
    for id in ["user_gus", "user_x", "x"] {
        let got = plane.post(&path, json!({ "userId": id })).await;
        assert_eq!(word(&got), (404, "member_not_found".into()), "{id}");
    }
    for body in [json!({}), json!({ "userId": "user_bob", "role": "CUSTOM" })] {
        let got = plane.post(&path, body).await;
        assert_eq!(word(&got), (422, "validation_error".into()));
    }
}

#[tokio::test]
async fn who_founds_a_team_runs_it() {
    let plane = Plane::new();
    let token = of_person(&plane, "ada", MemberRole::Admin);
    let body = Some(json!({ "name": "Ops" }));
    let got = plane
        .call_with(&token, Method::POST, TEAMS, &[], body)
        .await;
    got.fine(201);
    let list = plane.get(&format!("{TEAMS}/ops/members")).await.fine(200);
    assert_eq!(list["data"][0]["userId"], "user_ada");
    assert_eq!(list["data"][0]["role"], "ADMIN");
}

#[tokio::test]
async fn of_patches_and_of_creates_at_once_none_is_lost() {
    let plane = Plane::new();
    let path = format!("{TEAMS}/default");
    race(&plane, &path, "management.team.update", "name").await;
    let calls = (0..32).map(|_| plane.post(TEAMS, json!({ "name": "same" })));
    let mut slugs: Vec<String> = futures_util::future::join_all(calls)
        .await
        .iter()
        .map(|got| got.fine(201)["slug"].as_str().expect("a slug").to_owned())
        .collect();
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 32);
}
