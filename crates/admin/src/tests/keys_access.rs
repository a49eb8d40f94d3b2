//! Who may mint, see and change which key (domain 4.5 to 4.7, C-6).

use http::Method;
use lw_store::rows::{BoundRole, MemberRole, PermissionMode, Principal};
use serde_json::{Value, json};

use super::keys::mint;
use super::{Got, Plane, project_token};

const KEYS: &str = "/api/gateway/v1/virtual-keys";

fn scoped(kind: &str, id: &str) -> Value {
    json!({ "name": "k", "scopes": [{ "scope_type": kind, "scope_id": id }] })
}

async fn create(plane: &Plane, token: &str, body: Value) -> Got {
    plane
        .call_with(token, Method::POST, KEYS, &[], Some(body))
        .await
}

fn id_of(minted: &Value) -> String {
    minted["virtual_key"]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[tokio::test]
async fn the_token_of_the_migration_mints_everywhere_and_may_do_nothing_else() {
    let plane = Plane::new();
    let list = ["modelProviders:update", "virtualKeys:create"];
    let custom = [(BoundRole::Custom, Some(&list[..]), "organization", "acme")];
    let token = plane.service_key("acme", "migration", &custom, |row| {
        row.permission_mode = PermissionMode::Restricted;
    });
    let minted = create(&plane, &token, scoped("organization", "acme"))
        .await
        .fine(201);
    create(&plane, &token, scoped("project", "default"))
        .await
        .fine(201);
    let path = format!("{KEYS}/{}", id_of(&minted));
    for (method, path) in [
        (Method::GET, KEYS.to_owned()),
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::POST, format!("{path}/rotate")),
        (Method::POST, format!("{path}/revoke")),
        (Method::GET, format!("{path}/spend")),
    ] {
        let body = (method != Method::GET).then(|| json!({}));
        let got = plane.call_with(&token, method, &path, &[], body).await;
        assert_eq!(
            got.code(),
            (403, "api_key_permission_denied".into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_member_role_creates_only_where_it_manages() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    // MEMBER holds `virtualKeys:create` and not `:manage`: the built-in role stays refused (C-6).
    let member = plane.service_key(
        "acme",
        "member",
        &[(BoundRole::Member, None, "team", "web")],
        |_| {},
    );
    let got = create(&plane, &member, scoped("team", "web")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let message = "permission_denied: virtualKeys:manage at TEAM:team_acme-web";
    assert_eq!(got.json()["error"]["message"], message);

    let admin = plane.service_key(
        "acme",
        "admin",
        &[(BoundRole::Admin, None, "team", "web")],
        |_| {},
    );
    create(&plane, &admin, scoped("team", "web"))
        .await
        .fine(201);
    create(&plane, &admin, scoped("project", "web"))
        .await
        .fine(201);
    // What exists and what does not answer alike where the caller may do nothing.
    for id in ["default", "proj_acme-default", "nowhere"] {
        let got = create(&plane, &admin, scoped("project", id)).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{id}");
        let message = format!("permission_denied: virtualKeys:manage at PROJECT:{id}");
        assert_eq!(got.json()["error"]["message"], message);
    }
    // Every scope is checked, not only the first.
    let both = json!({ "name": "k", "scopes": [
        { "scope_type": "team", "scope_id": "web" },
        { "scope_type": "organization", "scope_id": "acme" },
    ] });
    let got = create(&plane, &admin, both).await;
    let message = "permission_denied: virtualKeys:manage at ORGANIZATION:org_acme";
    assert_eq!(got.json()["error"]["message"], message);
    // For whoever may mint everywhere, an unknown scope is a mistake in the scope.
    let got = create(&plane, &plane.acme, scoped("project", "nowhere")).await;
    assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
    assert_eq!(got.json()["error"]["meta"]["scope_type"], "project");
}

#[tokio::test]
async fn filing_into_a_project_needs_managing_keys_there() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let token = plane.service_key(
        "acme",
        "mixed",
        &[
            (BoundRole::Admin, None, "project", "web"),
            (BoundRole::Viewer, None, "project", "default"),
        ],
        |_| {},
    );
    let with = |project: &str| {
        let mut body = scoped("project", "web");
        body["trace_project_id"] = json!(project);
        body
    };
    create(&plane, &token, with("web")).await.fine(201);
    let got = create(&plane, &token, with("default")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    // A project where the caller may do nothing does not exist.
    let hidden = create(&plane, &token, with("governance")).await;
    let unknown = create(&plane, &token, with("nowhere")).await;
    assert_eq!(hidden.code(), (400, "gateway_trace_project_unknown".into()));
    assert_eq!(hidden.text, unknown.text);
}

#[tokio::test]
async fn a_key_of_a_sibling_project_does_not_exist() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let theirs = id_of(&mint(&plane, scoped("project", "web")).await);
    let ours = id_of(&mint(&plane, scoped("project", "default")).await);
    let everybodys = id_of(&mint(&plane, scoped("organization", "acme")).await);
    let admin = [(BoundRole::Admin, None, "project", "default")];
    let legacy = project_token("acme", "default");
    for token in [plane.service_key("acme", "p", &admin, |_| {}), legacy] {
        let list = plane
            .call_with(&token, Method::GET, KEYS, &[], None)
            .await
            .fine(200);
        let mut seen: Vec<&str> = list["data"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row["id"].as_str())
            .collect();
        seen.sort_unstable();
        let mut expected = [ours.as_str(), everybodys.as_str()];
        expected.sort_unstable();
        assert_eq!(seen, expected);
        for (method, tail) in [
            (Method::GET, ""),
            (Method::PATCH, ""),
            (Method::GET, "/spend"),
            (Method::GET, "/effective"),
            (Method::POST, "/rotate"),
            (Method::POST, "/disable"),
            (Method::POST, "/enable"),
            (Method::POST, "/revoke"),
        ] {
            let body = (method != Method::GET).then(|| json!({}));
            let ask = |id: &str| {
                let path = format!("{KEYS}/{id}{tail}");
                let (method, body, token, plane) = (method.clone(), body.clone(), &token, &plane);
                async move { plane.call_with(token, method, &path, &[], body).await }
            };
            let sibling = ask(&theirs).await;
            assert_eq!(
                sibling.code(),
                (404, "virtual_key_not_found".into()),
                "{tail}"
            );
            assert_eq!(sibling, ask("vk_unknown").await, "{tail}");
        }
        // What the organization hands down is seen and not theirs to change.
        let path = format!("{KEYS}/{everybodys}");
        plane
            .call_with(&token, Method::GET, &path, &[], None)
            .await
            .fine(200);
        let got = plane
            .call_with(
                &token,
                Method::PATCH,
                &path,
                &[],
                Some(json!({ "name": "x" })),
            )
            .await;
        assert_eq!(got.code(), (403, "permission_denied".into()));
    }
}

#[tokio::test]
async fn demoting_its_owner_degrades_a_personal_key_at_once() {
    let plane = Plane::new();
    let ann = plane.member("acme", "ann", MemberRole::Admin);
    let owner = ann.clone();
    let token = plane.service_key(
        "acme",
        "anns",
        &[(BoundRole::Admin, None, "organization", "acme")],
        move |row| row.user_id = Some(owner.clone()),
    );
    create(&plane, &token, scoped("organization", "acme"))
        .await
        .fine(201);
    let audit = plane.audit();
    assert_eq!(audit[0].user_id.as_deref(), Some(ann.as_str()));

    let organization = super::organization("acme");
    let put = |role, disabled_at| lw_store::config::Write::PutMember {
        organization: &organization,
        user: &ann,
        role,
        disabled_at,
        now: super::NOW,
    };
    let store = &plane.store;
    store
        .commit(&[put(MemberRole::Member, None)], &super::quiet("demote"))
        .expect("demoted");
    let got = create(&plane, &token, scoped("organization", "acme")).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    // With a role in one team the key does what both may: its own binding and its owner's.
    plane.in_team("acme", "default", &ann, BoundRole::Admin);
    create(&plane, &token, scoped("team", "default"))
        .await
        .fine(201);
    let got = create(&plane, &token, scoped("organization", "acme")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    store
        .commit(
            &[put(MemberRole::Admin, Some(super::NOW))],
            &super::quiet("disable"),
        )
        .expect("disabled");
    let got = create(&plane, &token, scoped("team", "default")).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
}

#[tokio::test]
async fn a_personal_key_is_its_persons_and_the_administrators() {
    let plane = Plane::new();
    let ann = plane.member("acme", "ann", MemberRole::Member);
    plane.in_team("acme", "default", &ann, BoundRole::Member);
    let mut body = scoped("team", "default");
    body["principal_user_id"] = json!(ann);
    let minted = mint(&plane, body).await;
    assert_eq!(minted["virtual_key"]["principal_user_id"], json!(ann));
    let path = format!("{KEYS}/{}", id_of(&minted));

    let owner = ann.clone();
    let member = [(BoundRole::Member, None, "team", "default")];
    let own = plane.service_key("acme", "own", &member, move |row| {
        row.user_id = Some(owner.clone());
    });
    let colleague = plane.service_key("acme", "colleague", &member, |_| {});
    let admin = plane.service_key(
        "acme",
        "team-admin",
        &[(BoundRole::Admin, None, "team", "default")],
        |_| {},
    );
    for (token, status) in [
        (&own, 200),
        (&admin, 200),
        (&plane.acme, 200),
        (&colleague, 404),
    ] {
        let got = plane.call_with(token, Method::GET, &path, &[], None).await;
        assert_eq!(got.status.as_u16(), status, "{}", got.text);
    }
    let got = plane
        .post(KEYS, {
            let mut body = scoped("organization", "acme");
            body["principal_user_id"] = json!("user_nobody");
            body
        })
        .await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    assert_eq!(
        got.json()["error"]["meta"]["fields"],
        json!(["principal_user_id"])
    );
}

#[tokio::test]
async fn bindings_of_a_group_count_for_its_people() {
    let plane = Plane::new();
    let bob = plane.member("acme", "bob", MemberRole::Member);
    let group = lw_store::rows::Group {
        id: lw_core::GroupId::parse("grp_ops").expect("an id"),
        organization_id: super::organization("acme"),
        name: "ops".into(),
        slug: "ops".into(),
        external_id: None,
        scim_source: None,
        created_at: super::NOW,
        updated_at: super::NOW,
    };
    let writes = [
        lw_store::config::Write::InsertGroup(&group),
        lw_store::config::Write::AddGroupMember {
            organization: &group.organization_id,
            group: &group.id,
            user: &bob,
        },
    ];
    plane
        .store
        .commit(&writes, &super::quiet("group"))
        .expect("a group");
    let owner = bob.clone();
    let token = plane.service_key(
        "acme",
        "bobs",
        &[(BoundRole::Admin, None, "organization", "acme")],
        move |row| row.user_id = Some(owner.clone()),
    );
    let got = create(&plane, &token, scoped("project", "default")).await;
    assert_eq!(got.status.as_u16(), 403);
    plane.bind(
        "acme",
        "ops",
        &Principal::Group(group.id.clone()),
        &[(BoundRole::Admin, None, "project", "default")],
    );
    create(&plane, &token, scoped("project", "default"))
        .await
        .fine(201);
}

#[tokio::test]
async fn a_readonly_key_reads() {
    let plane = Plane::new();
    let everything = [(BoundRole::Admin, None, "organization", "acme")];
    let token = plane.service_key("acme", "reader", &everything, |row| {
        row.permission_mode = PermissionMode::Readonly;
    });
    plane
        .call_with(&token, Method::GET, KEYS, &[], None)
        .await
        .fine(200);
    let got = create(&plane, &token, scoped("organization", "acme")).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
    assert_eq!(
        got.json()["error"]["meta"]["permission"],
        "virtualKeys:create"
    );
}

#[tokio::test]
async fn a_projects_own_key_lives_in_its_project_and_nowhere_else() {
    let plane = Plane::new();
    let token = project_token("acme", "default");
    let minted = create(&plane, &token, json!({ "name": "k" }))
        .await
        .fine(201);
    let scopes = &minted["virtual_key"]["scopes"];
    assert_eq!(
        *scopes,
        json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }])
    );
    let audit = plane.audit();
    assert_eq!(audit[0].user_id.as_deref(), Some("svc_proj_acme-default"));
    let got = create(&plane, &token, scoped("team", "default")).await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    // Organization families want another class of credential, and say so only to a real one.
    let got = plane
        .call_with(&token, Method::GET, "/api/organization", &[], None)
        .await;
    assert_eq!(got.status.as_u16(), 401);
    let body = got.json();
    assert_eq!(body["error"], "credential_class_mismatch");
    assert_eq!(body["required"], "organization_api_key");
    assert_eq!(body["presented"], "project_api_key");
    let stranger = project_token("acme", "nobody");
    let got = plane
        .call_with(&stranger, Method::GET, "/api/organization", &[], None)
        .await;
    assert_eq!(got.json()["error"], "Unauthorized");
}

#[tokio::test]
async fn a_key_bound_to_one_project_is_in_its_context() {
    let plane = Plane::new();
    let one = plane.service_key(
        "acme",
        "one",
        &[(BoundRole::Admin, None, "project", "default")],
        |_| {},
    );
    let minted = create(&plane, &one, json!({ "name": "k" })).await.fine(201);
    assert_eq!(minted["virtual_key"]["project_id"], "proj_acme-default");
    plane.further_team("acme", "web");
    let two = plane.service_key(
        "acme",
        "two",
        &[
            (BoundRole::Admin, None, "project", "default"),
            (BoundRole::Admin, None, "project", "web"),
        ],
        |_| {},
    );
    let got = create(&plane, &two, json!({ "name": "k" })).await;
    assert_eq!(got.code(), (400, "project_required".into()));
    let minted = plane
        .call_with(
            &two,
            Method::POST,
            KEYS,
            &[("x-project-id", "web")],
            Some(json!({ "name": "k" })),
        )
        .await
        .fine(201);
    assert_eq!(minted["virtual_key"]["project_id"], "proj_acme-web");
}

#[tokio::test]
async fn the_key_of_an_archived_project_is_no_key_any_more() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let minted = mint(&plane, scoped("project", "web")).await;
    let path = format!("{KEYS}/{}", id_of(&minted));
    let admin = [(BoundRole::Admin, None, "project", "web")];
    let token = plane.service_key("acme", "webs", &admin, |_| {});
    plane
        .call_with(&token, Method::GET, &path, &[], None)
        .await
        .fine(200);
    let web = plane
        .store
        .project(&super::organization("acme"), &super::project("acme", "web"))
        .expect("asked")
        .expect("a project");
    let archived = lw_store::rows::Project {
        archived_at: Some(super::NOW),
        ..web
    };
    let write = lw_store::config::Write::UpdateProject(&archived);
    plane
        .store
        .commit(&[write], &super::quiet("archive"))
        .expect("archived");
    for (method, path) in [
        (Method::GET, KEYS.to_owned()),
        (Method::POST, format!("{path}/rotate")),
        (Method::GET, "/api/projects".to_owned()),
    ] {
        let got = plane.call_with(&token, method, &path, &[], None).await;
        assert_eq!(got.status.as_u16(), 401, "{path}: {}", got.text);
    }
}

#[tokio::test]
async fn leaving_a_project_needs_managing_keys_there() {
    let plane = Plane::new();
    let mut body = scoped("team", "default");
    body["trace_project_id"] = json!("default");
    let path = format!("{KEYS}/{}", id_of(&mint(&plane, body).await));
    let member = [(BoundRole::Member, None, "team", "default")];
    let token = plane.service_key("acme", "member", &member, |_| {});
    let away = json!({ "trace_project_id": null });
    let got = plane
        .call_with(&token, Method::PATCH, &path, &[], Some(away.clone()))
        .await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let got = plane.patch(&path, away).await.fine(200);
    assert_eq!(got["virtual_key"]["project_id"], "proj_acme-governance");
}

#[tokio::test]
async fn nobody_rotates_a_colleagues_key_that_they_may_not_see() {
    let plane = Plane::new();
    let ann = plane.member("acme", "ann", MemberRole::Member);
    let mut body = scoped("team", "default");
    body["principal_user_id"] = json!(ann);
    let path = format!("{KEYS}/{}/rotate", id_of(&mint(&plane, body).await));
    let member = [(BoundRole::Member, None, "team", "default")];
    let token = plane.service_key("acme", "colleague", &member, |_| {});
    let got = plane
        .call_with(&token, Method::POST, &path, &[], None)
        .await;
    assert_eq!(got.code(), (404, "virtual_key_not_found".into()));
    plane.post(&path, json!({})).await.fine(200);
}

#[tokio::test]
async fn a_key_that_ingests_does_nothing_else() {
    let plane = Plane::new();
    let ingest = plane.acme.replace("sk-lw-", "ik-lw-");
    let got = plane.call_with(&ingest, Method::GET, KEYS, &[], None).await;
    assert_eq!(got.code(), (403, "api_key_permission_denied".into()));
}
