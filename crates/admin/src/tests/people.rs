//! Members and invitations.

use http::Method;
use lw_core::ApiKeyId;
use lw_store::rows::{BoundRole, BudgetTarget, MemberRole, Principal};
use serde_json::{Value, json};

use super::organization::{actions, bind_person, budget, holding, of_person, sorted, word};
use super::{NOW, Plane, organization, team};

const MEMBERS: &str = "/api/organization/members";
const INVITES: &str = "/api/organization/invites";

fn path(name: &str) -> String {
    format!("{MEMBERS}/user_{name}")
}

#[tokio::test]
async fn members_are_listed_and_read() {
    let plane = Plane::new();
    for (name, role) in [
        ("ada", MemberRole::Admin),
        ("bob", MemberRole::Member),
        ("eve", MemberRole::External),
    ] {
        plane.member("acme", name, role);
    }
    plane.member("globex", "hank", MemberRole::Admin);
    plane
        .patch(&path("eve"), json!({ "disabled": true }))
        .await
        .fine(200);
    let got = plane.get(MEMBERS).await.fine(200);
    assert_eq!(got["totalCount"], 2);
    let got = plane
        .get(&format!("{MEMBERS}?includeDisabled=true&offset=1&limit=5"))
        .await
        .fine(200);
    insta::assert_json_snapshot!(got);
    for query in [
        "includeDisabled=maybe",
        "offset=-1",
        "limit=0",
        "limit=1001",
    ] {
        let got = plane.get(&format!("{MEMBERS}?{query}")).await;
        assert_eq!(word(&got), (422, "validation_error".into()), "{query}");
    }
    let foreign = plane.get(&path("hank")).await;
    assert_eq!(word(&foreign), (404, "member_not_found".into()));
    assert_eq!(foreign, plane.get(&path("nobody")).await);
    assert_eq!(foreign, plane.get(&format!("{MEMBERS}/x")).await);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let plane = Plane::new();
    plane.member("acme", "ada", MemberRole::Admin);
    plane.member("acme", "bob", MemberRole::Member);
    for (method, body) in [
        (Method::PATCH, Some(json!({ "role": "MEMBER" }))),
        (Method::PATCH, Some(json!({ "disabled": true }))),
        (Method::DELETE, None),
    ] {
        let got = plane.call(method, &path("ada"), body).await;
        assert_eq!(word(&got), (409, "last_admin".into()));
    }
    // A disabled administrator does not count.
    plane
        .patch(&path("bob"), json!({ "role": "ADMIN", "disabled": true }))
        .await
        .fine(200);
    let got = plane.call(Method::DELETE, &path("ada"), None).await;
    assert_eq!(word(&got), (409, "last_admin".into()));
    plane
        .patch(&path("bob"), json!({ "disabled": false }))
        .await
        .fine(200);
    let gone = plane.call(Method::DELETE, &path("ada"), None).await;
    assert_eq!(gone.fine(200), json!({ "success": true }));
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "organization.member.updated",
            "organization.member.updated",
            "organization.member.removed"
        ])
    );
}

#[tokio::test]
async fn two_administrators_who_demote_each_other_leave_one() {
    let plane = Plane::new();
    let names = ["ada", "bob", "cy", "dee"];
    for name in names {
        plane.member("acme", name, MemberRole::Admin);
    }
    let calls = names.map(|name| {
        let plane = &plane;
        async move {
            let body = json!({ "role": "MEMBER" });
            plane.patch(&path(name), body).await.status.as_u16()
        }
    });
    let mut statuses = futures_util::future::join_all(calls).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 409]);
}

/// A person of acme with a virtual key, an API key, a team and a group, all of which have budgets.
async fn busy_person(plane: &Plane) -> (String, String) {
    let user = plane.member("acme", "bob", MemberRole::Member);
    plane.in_team("acme", "default", &user, BoundRole::Member);
    let body = json!({ "name": "Makers", "memberIds": ["user_bob"] });
    let group = plane.post("/api/groups", body).await.fine(201);
    let group = lw_core::GroupId::parse(group["id"].as_str().expect("an id")).expect("an id");
    budget(plane, "team", BudgetTarget::Team(team("acme", "default")));
    budget(plane, "group", BudgetTarget::Group(group));
    let body =
        json!({ "principal_user_id": "user_bob", "budget": { "limit_usd": 5, "window": "day" } });
    let minted = super::keys::mint(plane, body).await;
    let bindings = [(BoundRole::Member, None, "team", "default")];
    let token = plane.service_key("acme", "of-bob", &bindings, |row| {
        row.user_id = Some(user.clone());
    });
    plane.announced();
    (super::keys::path_of(&minted), token)
}

#[tokio::test]
async fn whoever_is_disabled_loses_their_keys_and_nobody_elses() {
    let plane = Plane::new();
    plane.member("acme", "ada", MemberRole::Admin);
    let (key, token) = busy_person(&plane).await;
    let other = super::keys::mint(&plane, json!({ "name": "other" })).await;
    plane.announced();
    let got = plane
        .patch(&path("bob"), json!({ "disabled": true }))
        .await
        .fine(200);
    assert_eq!(got["disabledAt"], NOW.to_rfc3339());
    assert_eq!(plane.announced(), ["VK_REVOKED", "BUDGET_DELETED"]);
    let status = |got: Value| got["virtual_key"]["status"].clone();
    assert_eq!(status(plane.get(&key).await.fine(200)), "revoked");
    let other = plane.get(&super::keys::path_of(&other)).await;
    assert_eq!(status(other.fine(200)), "active");
    let got = plane
        .call_with(&token, Method::GET, "/api/teams", &[], None)
        .await;
    assert_eq!(got.status.as_u16(), 401);
    // Being let in again does not bring the keys back.
    plane
        .patch(&path("bob"), json!({ "disabled": false }))
        .await
        .fine(200);
    assert_eq!(status(plane.get(&key).await.fine(200)), "revoked");
    let id = ApiKeyId::parse("ak_acme-of-bob").expect("an id");
    let row = plane.store.api_key(&organization("acme"), &id);
    assert_eq!(row.expect("asked").expect("a key").revoked_at, Some(NOW));
}

#[tokio::test]
async fn whoever_leaves_is_out_of_teams_and_groups_and_budgets_are_told() {
    let plane = Plane::new();
    let (key, token) = busy_person(&plane).await;
    let path = path("bob");
    plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(
        plane.announced(),
        [
            "VK_REVOKED",
            "BUDGET_DELETED",
            "BUDGET_UPDATED",
            "BUDGET_UPDATED"
        ]
    );
    assert_eq!(plane.get(&path).await.status.as_u16(), 404);
    let got = plane.get(&key).await.fine(200);
    assert_eq!(got["virtual_key"]["status"], "revoked");
    let got = plane
        .call_with(&token, Method::GET, "/api/teams", &[], None)
        .await;
    assert_eq!(got.status.as_u16(), 401);
    let team = plane.get("/api/teams/default/members").await.fine(200);
    assert_eq!(team["data"], json!([]));
    let again = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(word(&again), (404, "member_not_found".into()));
}

#[tokio::test]
async fn access_names_where_each_role_comes_from() {
    let plane = Plane::new();
    let user = plane.member("acme", "bob", MemberRole::Member);
    plane.in_team("acme", "default", &user, BoundRole::Viewer);
    let bindings = [(BoundRole::Member, None, "project", "default")];
    plane.bind("acme", "bob", &Principal::User(user), &bindings);
    let body = json!({
        "name": "Makers", "memberIds": ["user_bob"],
        "bindings": [{ "role": "VIEWER", "scopeType": "ORGANIZATION", "scopeId": "acme" }],
    });
    plane.post("/api/groups", body).await.fine(201);
    let access = format!("{}/access", path("bob"));
    let got = plane.get(&access).await.fine(200);
    let rows: Vec<String> = got["bindings"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            let part = |name: &str| row[name].as_str().expect("a text").to_owned();
            ["source", "role", "scopeType", "scopeId"]
                .map(part)
                .join(" ")
        })
        .collect();
    assert_eq!(
        rows,
        [
            "DIRECT MEMBER PROJECT proj_acme-default",
            "GROUP VIEWER ORGANIZATION org_acme",
            "TEAM VIEWER TEAM team_acme-default",
        ]
    );
    // One's own may be read by oneself; that of others by who may change it.
    let own = of_person(&plane, "mia", MemberRole::Member);
    let get = |who: &str| {
        let path = format!("{MEMBERS}/user_{who}/access");
        let (plane, own) = (&plane, &own);
        async move { plane.call_with(own, Method::GET, &path, &[], None).await }
    };
    get("mia").await.fine(200);
    assert_eq!(word(&get("bob").await), (403, "permission_denied".into()));
}

#[tokio::test]
async fn nobody_is_made_more_than_the_caller() {
    let plane = Plane::new();
    let manages = holding(&plane, "m", &["organization:manage", "aiTools:view"]);
    plane.member("acme", "ada", MemberRole::Admin);
    plane.member("acme", "bob", MemberRole::External);
    let patch = |name: &str, body: Value| {
        let (plane, manages, path) = (&plane, &manages, path(name));
        async move {
            let got = plane
                .call_with(manages, Method::PATCH, &path, &[], Some(body))
                .await;
            word(&got)
        }
    };
    let denied = (403, "permission_denied".to_owned());
    assert_eq!(patch("bob", json!({ "role": "ADMIN" })).await, denied);
    assert_eq!(patch("bob", json!({ "role": "MEMBER" })).await.0, 200);
    // What slept while the person was disabled wakes up with them.
    bind_person(&plane, "bob", BoundRole::Admin);
    assert_eq!(patch("bob", json!({ "disabled": true })).await.0, 200);
    assert_eq!(patch("bob", json!({ "disabled": false })).await, denied);
    // Taking is asked as giving is.
    plane.member("acme", "cy", MemberRole::Admin);
    assert_eq!(patch("ada", json!({ "role": "MEMBER" })).await, denied);
}

#[tokio::test]
async fn what_is_wrong_with_a_member_patch_is_said() {
    let plane = Plane::new();
    plane.member("acme", "ada", MemberRole::Admin);
    for body in [
        json!({ "role": "admin" }),
        json!({ "role": null }),
        json!({ "disabled": "yes" }),
    ] {
        let got = plane.patch(&path("ada"), body.clone()).await;
        assert_eq!(word(&got), (422, "validation_error".into()), "{body}");
    }
}

#[tokio::test]
async fn an_invitation_lives() {
    let plane = Plane::new();
    let body = json!({ "invites": [
        { "email": " Ada@Example.com ", "role": "MEMBER", "teams": [{ "teamId": "default", "role": "ADMIN" }] },
        { "email": "bob@example.com", "role": "ADMIN", "teams": ["team_acme-default"] },
    ] });
    let got = plane.post(INVITES, body).await.fine(201);
    let first = &got["invites"][0];
    assert_eq!(first["email"], "ada@example.com");
    assert_eq!(
        first["teams"],
        json!([{ "teamId": "team_acme-default", "role": "ADMIN" }])
    );
    assert_eq!(got["invites"][1]["teams"][0]["role"], "MEMBER");
    assert_eq!(first["expiresAt"], "2026-11-30T14:00:00.000Z");
    let code = first["inviteCode"].as_str().expect("a code");
    assert_eq!(code.len(), 32);
    let url = format!("http://127.0.0.1:5560/invite/accept?code={code}");
    assert_eq!(first["inviteUrl"], url);
    // The code is stored as a hash and shown nowhere else.
    let list = plane.get(INVITES).await;
    assert!(!list.text.contains(code), "{}", list.text);
    assert!(
        plane
            .audit()
            .iter()
            .all(|row| !format!("{row:?}").contains(code))
    );
    let list = list.fine(200);
    assert_eq!(list["invites"].as_array().map(Vec::len), Some(2));
    let id = first["id"].as_str().expect("an id");
    let stored = plane.store.invites(&organization("acme")).expect("asked");
    let digest = lw_crypto::digest(code);
    let hash = data_encoding::HEXLOWER.encode(digest.as_bytes());
    assert!(
        stored
            .iter()
            .any(|row| row.id.as_str() == id && row.hashed_code == hash)
    );

    let path = format!("{INVITES}/{id}");
    let foreign = plane
        .call_with(&plane.globex, Method::DELETE, &path, &[], None)
        .await;
    assert_eq!(word(&foreign), (404, "invite_not_found".into()));
    plane.call(Method::DELETE, &path, None).await.fine(200);
    let again = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(again, foreign);
    let list = plane.get(INVITES).await.fine(200);
    assert_eq!(list["invites"].as_array().map(Vec::len), Some(1));
    plane.clock.set(NOW.plus_micros(7 * 86_400_000_000));
    let list = plane.get(INVITES).await.fine(200);
    assert_eq!(list["invites"][0]["status"], "expired");
    assert_eq!(
        actions(&plane),
        sorted(vec![
            "organization.member.invited",
            "organization.member.invited",
            "organization.member.invite_revoked"
        ])
    );
}

#[tokio::test]
async fn who_is_here_or_invited_is_not_invited_again_and_then_nobody_is() {
    let plane = Plane::new();
    plane.member("acme", "ada", MemberRole::Member);
    plane.member("globex", "gus", MemberRole::Member);
    let invite = |names: &[&str]| {
        let rows: Vec<Value> = names
            .iter()
            .map(|name| json!({ "email": format!("{name}@example.com"), "role": "MEMBER" }))
            .collect();
        let plane = &plane;
        async move { plane.post(INVITES, json!({ "invites": rows })).await }
    };
    // A member of another organization is nobody here.
    invite(&["gus"]).await.fine(201);
    let got = invite(&["new", "ADA", "gus"]).await;
    assert_eq!(word(&got), (409, "already_member".into()));
    assert_eq!(got.json()["members"], json!(["ada@example.com"]));
    assert_eq!(got.json()["invited"], json!(["gus@example.com"]));
    let list = plane.get(INVITES).await.fine(200);
    assert_eq!(list["invites"].as_array().map(Vec::len), Some(1));
    // An invitation that ran out does not stand in the way.
    plane.clock.set(NOW.plus_micros(7 * 86_400_000_000));
    invite(&["gus"]).await.fine(201);
}

#[tokio::test]
async fn what_is_wrong_with_invitations_is_said_at_once() {
    let plane = Plane::new();
    let bad = json!({ "invites": [
        { "email": "ada", "role": "MEMBER" },
        { "role": "OWNER" },
        { "email": "a@b", "role": "ADMIN", "teams": [7, { "role": "CUSTOM" }] },
        { "email": "A@b", "role": "ADMIN" },
        "x",
    ] });
    let got = plane.post(INVITES, bad).await.fine(422);
    assert_eq!(
        got["fields"],
        json!([
            "invites.0.email",
            "invites.1.email",
            "invites.1.role",
            "invites.2.teams.0",
            "invites.2.teams.1.teamId",
            "invites.2.teams.1.role",
            "invites.3.email",
            "invites.4"
        ])
    );
    for bad in [
        json!({}),
        json!({ "invites": [] }),
        json!({ "invites": null }),
    ] {
        let got = plane.post(INVITES, bad).await;
        assert_eq!(word(&got), (422, "validation_error".into()));
    }
    for id in ["hidden", "team_globex-default", "team_x"] {
        let rows = json!([{ "email": "a@b", "role": "MEMBER", "teams": [id] }]);
        let got = plane.post(INVITES, json!({ "invites": rows })).await;
        assert_eq!(word(&got), (404, "team_not_found".into()), "{id}");
    }
    let manages = holding(&plane, "m", &["organization:manage"]);
    let rows = json!([{ "email": "a@b", "role": "ADMIN" }]);
    let body = Some(json!({ "invites": rows }));
    let got = plane
        .call_with(&manages, Method::POST, INVITES, &[], body)
        .await;
    assert_eq!(word(&got), (403, "permission_denied".into()));
}
