//! Who creates, sees and changes which budgets: nobody without the permission, nobody from a sibling
//! project or another organization.

use lw_store::rows::{BoundRole, MemberRole, Principal};

use super::*;
use crate::tests::project_token;

const ALL: &[&str] = &["gatewayBudgets:manage"];

struct World {
    plane: Plane,
    /// Budgets by the name of what they are for.
    budgets: Vec<(&'static str, Value)>,
    /// A key of the sibling project.
    sibling_key: String,
}

/// Acme with a second team, and a budget for each place that the two teams could see or not.
async fn world() -> World {
    let plane = Plane::new();
    plane.further_team("acme", "second");
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let friends = group(&plane, "friends", &[&anna]);
    let key = async |project: &str| {
        let scopes = json!([{ "scope_type": "project", "scope_id": project }]);
        id_of(&mint(&plane, json!({ "scopes": scopes })).await)
    };
    let (own, sibling_key) = (key("default").await, key("second").await);
    let shared = id_of(&mint(&plane, json!({})).await);
    let mut budgets = Vec::new();
    for (name, scope) in [
        (
            "organization",
            json!({ "kind": "organization", "organization_id": "acme" }),
        ),
        ("own team", json!({ "kind": "team", "team_id": "default" })),
        (
            "sibling team",
            json!({ "kind": "team", "team_id": "second" }),
        ),
        (
            "own project",
            json!({ "kind": "project", "project_id": "default" }),
        ),
        (
            "sibling project",
            json!({ "kind": "project", "project_id": "second" }),
        ),
        (
            "own key",
            json!({ "kind": "virtual_key", "virtual_key_id": own }),
        ),
        (
            "sibling key",
            json!({ "kind": "virtual_key", "virtual_key_id": sibling_key }),
        ),
        (
            "shared key",
            json!({ "kind": "virtual_key", "virtual_key_id": shared }),
        ),
        (
            "person",
            json!({ "kind": "principal", "principal_user_id": anna }),
        ),
        ("group", json!({ "kind": "group", "group_id": friends })),
        (
            "own anchor",
            json!({ "kind": "attributed_user", "anchor_project_id": "default" }),
        ),
        (
            "sibling anchor",
            json!({ "kind": "attributed_user", "anchor_virtual_key_id": sibling_key }),
        ),
    ] {
        let wish = json!({ "scope": scope, "name": name, "allow_unreachable": true });
        budgets.push((name, create(&plane, wish).await.1));
    }
    plane.announced();
    World {
        plane,
        budgets,
        sibling_key,
    }
}

#[tokio::test]
async fn a_project_sees_what_counts_for_it_and_a_sibling_does_not_exist() {
    let World { plane, budgets, .. } = world().await;
    let bound = [(BoundRole::Admin, None, "project", "default")];
    let admin = plane.service_key("acme", "of-project", &bound, |_| {});
    let legacy = project_token("acme", "default");
    for token in [&admin, &legacy] {
        let listed = plane
            .call_with(token, Method::GET, BUDGETS, &[], None)
            .await
            .fine(200);
        let names = listed["data"].as_array().expect("rows").iter();
        let mut names: Vec<&str> = names.filter_map(|row| row["name"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "group",
                "organization",
                "own anchor",
                "own key",
                "own project",
                "own team",
                "person",
                "shared key"
            ]
        );
        for (name, budget) in &budgets {
            let path = path(budget);
            let reset = format!("{path}/reset");
            let read = plane.call_with(token, Method::GET, &path, &[], None).await;
            if names.contains(name) {
                read.fine(200);
                continue;
            }
            let unknown = format!("{BUDGETS}/bgt_unknown");
            let missing = plane
                .call_with(token, Method::GET, &unknown, &[], None)
                .await;
            assert_eq!(read, missing, "{name}");
            for (method, path) in [
                (Method::PATCH, &path),
                (Method::POST, &reset),
                (Method::DELETE, &path),
            ] {
                let body = (method != Method::DELETE).then(|| json!({ "name": "x" }));
                let got = plane.call_with(token, method, path, &[], body).await;
                assert_eq!(
                    got.code(),
                    (404, "gateway_budget_not_found".into()),
                    "{name}"
                );
            }
        }
    }
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_project_or_a_key_asks_for_the_permission_there() {
    let World {
        plane,
        budgets,
        sibling_key,
    } = world().await;
    let bound = [(BoundRole::Admin, None, "project", "default")];
    let token = plane.service_key("acme", "of-project", &bound, |_| {});
    let call = async |method: Method, path: &str, body: Option<Value>| {
        plane.call_with(&token, method, path, &[], body).await
    };
    let wish = |scope: Value| Some(body(json!({ "scope": scope, "allow_unreachable": true })));
    let target = |name: &str| {
        let found = budgets.iter().find(|(known, _)| *known == name);
        found.map(|(_, budget)| budget.clone()).expect("is there")
    };
    // Nothing further is asked for.
    for scope in [
        json!({ "kind": "team", "team_id": "default" }),
        json!({ "kind": "project", "project_id": "default" }),
        json!({ "kind": "virtual_key", "virtual_key_id": target("own key")["scope_id"] }),
        json!({ "kind": "attributed_user", "anchor_project_id": "default" }),
    ] {
        call(Method::POST, BUDGETS, wish(scope)).await.fine(201);
    }
    for (field, kind) in [
        ("project_id", "project"),
        ("anchor_project_id", "attributed_user"),
    ] {
        // Both that of a sibling and one that does not exist.
        for project in ["second", "nowhere", "proj_globex-default"] {
            let got = call(
                Method::POST,
                BUDGETS,
                wish(json!({ "kind": kind, field: project })),
            )
            .await;
            assert_eq!(got.code(), (403, "permission_denied".into()));
            let message = format!("permission_denied: gatewayBudgets:create at PROJECT:{project}");
            assert_eq!(got.json()["error"]["message"], json!(message));
        }
    }
    for (field, kind) in [
        ("virtual_key_id", "virtual_key"),
        ("anchor_virtual_key_id", "attributed_user"),
    ] {
        let scope = |key: &Value| json!({ "kind": kind, field: key });
        let foreign = call(Method::POST, BUDGETS, wish(scope(&json!(sibling_key)))).await;
        let unknown = call(Method::POST, BUDGETS, wish(scope(&json!("vk_nobody")))).await;
        assert_eq!(foreign, unknown);
        assert_eq!(foreign.code(), (404, "virtual_key_not_found".into()));
        let shared = wish(scope(&target("shared key")["scope_id"]));
        let got = call(Method::POST, BUDGETS, shared).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "it is seen");
    }
    // A budget of the shared key is seen and not the project's to change.
    let shared = path(&target("shared key"));
    call(Method::GET, &shared, None).await.fine(200);
    for (method, path, needs) in [
        (Method::PATCH, shared.clone(), "update"),
        (Method::POST, format!("{shared}/reset"), "update"),
        (Method::DELETE, shared.clone(), "delete"),
    ] {
        let body = (method != Method::DELETE).then(|| json!({}));
        let got = call(method, &path, body).await;
        let message = format!("permission_denied: gatewayBudgets:{needs} at ORGANIZATION:org_acme");
        assert_eq!(got.json()["error"]["message"], json!(message));
    }
    let own = path(&target("own key"));
    call(Method::PATCH, &own, Some(json!({ "name": "n" })))
        .await
        .fine(200);
    call(Method::DELETE, &own, None).await.fine(200);
}

#[tokio::test]
async fn without_the_permission_nothing_is_done_and_nothing_shown() {
    let World { plane, budgets, .. } = world().await;
    let viewer = [(BoundRole::Viewer, None, "project", "default")];
    let viewer = plane.service_key("acme", "viewer", &viewer, |_| {});
    let team = [(BoundRole::Custom, Some(ALL), "team", "default")];
    let team = plane.service_key("acme", "team", &team, |_| {});
    // Anna holds a key that could do more than she may.
    let anna = lw_core::UserId::parse("user_anna").expect("an id");
    let role = [(BoundRole::Viewer, None, "project", "default")];
    plane.bind("acme", "anna", &Principal::User(anna.clone()), &role);
    let everything = [(BoundRole::Admin, None, "project", "default")];
    let personal = plane.service_key("acme", "personal", &everything, |row| {
        row.user_id = Some(anna.clone());
    });
    let (_, budget) = &budgets[0];
    let path = path(budget);
    let reset = format!("{path}/reset");
    let denied = (403, "api_key_permission_denied".to_owned());
    let writes = [
        (Method::POST, BUDGETS, "create"),
        (Method::PATCH, &path, "update"),
        (Method::POST, &reset, "update"),
        (Method::DELETE, &path, "delete"),
    ];
    for token in [&viewer, &personal] {
        plane
            .call_with(token, Method::GET, &path, &[], None)
            .await
            .fine(200);
        for (method, path, needs) in &writes {
            let body = (*method != Method::DELETE).then(|| body(json!({})));
            let got = plane
                .call_with(token, method.clone(), path, &[], body)
                .await;
            assert_eq!(got.code(), denied);
            let permission = &got.json()["error"]["meta"]["permission"];
            assert_eq!(*permission, json!(format!("gatewayBudgets:{needs}")));
        }
    }
    // In organization context the organization is asked about, not the team that the key is bound to.
    for (method, path) in [(Method::GET, BUDGETS), (Method::GET, &path)] {
        let got = plane.call_with(&team, method, path, &[], None).await;
        assert_eq!(got.code(), denied);
    }
    let foreign = plane
        .call_with(&plane.globex, Method::GET, &path, &[], None)
        .await;
    assert_eq!(foreign.code(), (404, "budget_not_found".into()));
    let theirs = plane
        .call_with(&plane.globex, Method::GET, BUDGETS, &[], None)
        .await;
    assert_eq!(theirs.fine(200)["data"], json!([]));
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_provider_that_a_project_does_not_know_of_is_no_provider() {
    let World { plane, .. } = world().await;
    let of = |project| {
        json!(provider(
            &plane,
            project,
            scope_of("acme", "project", project)
        ))
    };
    let (own, sibling) = (of("default"), of("second"));
    let bound = [(BoundRole::Admin, None, "project", "default")];
    let token = plane.service_key("acme", "of-project", &bound, |_| {});
    let filtered = async |id: &Value| {
        let scope = json!({ "kind": "project", "project_id": "default" });
        let wish = json!({ "provider_key": id, "scope": scope, "allow_unreachable": true });
        let body = Some(body(wish));
        plane
            .call_with(&token, Method::POST, BUDGETS, &[], body)
            .await
    };
    let budget = filtered(&own).await.fine(201);
    assert_eq!(budget["budget"]["provider_key"], own);
    let got = filtered(&sibling).await;
    assert_eq!(got, filtered(&json!("mp_nobody")).await);
    assert_eq!(got.code(), (400, "validation_error".into()));
    create(&plane, json!({ "provider_key": sibling })).await;
}

#[tokio::test]
async fn the_budgets_of_a_key_are_shown_to_who_sees_both() {
    let World {
        plane, sibling_key, ..
    } = world().await;
    let of = |key: &str| format!("/api/gateway/v1/virtual-keys/{key}/budgets");
    let both: &[&str] = &["virtualKeys:view", "gatewayBudgets:view"];
    let keys: &[&str] = &["virtualKeys:view"];
    let token = |name: &str, list: &'static [&'static str], kind: &'static str| {
        let bound = [(BoundRole::Custom, Some(list), kind, "second")];
        plane.service_key("acme", name, &bound, |_| {})
    };
    let names = |answer: &Value| {
        let rows = answer["data"].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let applicable = [
        "sibling anchor",
        "organization",
        "sibling project",
        "sibling team",
        "sibling key",
    ];
    let everything = plane.get(&of(&sibling_key)).await.fine(200);
    assert_eq!(names(&everything), applicable);
    assert_eq!(everything["spend_available"], true);
    for kind in ["team", "project"] {
        let token = token(kind, both, kind);
        let got = plane
            .call_with(&token, Method::GET, &of(&sibling_key), &[], None)
            .await;
        assert_eq!(names(&got.fine(200)), applicable, "{kind}");
    }
    let blind = token("blind", keys, "project");
    let got = plane
        .call_with(&blind, Method::GET, &of(&sibling_key), &[], None)
        .await;
    assert_eq!(got.code(), (403, "permission_denied".into()));
    let legacy = project_token("acme", "default");
    let hidden = plane
        .call_with(&legacy, Method::GET, &of(&sibling_key), &[], None)
        .await;
    let unknown = plane
        .call_with(&legacy, Method::GET, &of("vk_nobody"), &[], None)
        .await;
    assert_eq!(hidden, unknown);
    assert_eq!(hidden.code(), (404, "virtual_key_not_found".into()));
}

/// Makes every kind of write to what the organization, a team, a person and a group were given.
async fn writes_of(world: &World, token: &str, headers: &[(&str, &str)]) -> String {
    let World { plane, budgets, .. } = world;
    let call = async |method: Method, path: &str, body: Option<Value>| {
        let got = plane.call_with(token, method, path, headers, body).await;
        let message = got.json()["error"]["message"].clone();
        let message = message.as_str().unwrap_or_default();
        format!("{} {message}", got.status.as_u16())
    };
    let mut table = String::new();
    let mut note = |what: String, got: String| {
        table.push_str(&format!("{what}: {}\n", got.trim_end()));
    };
    for (kind, field, id) in [
        ("organization", "organization_id", "acme"),
        ("organization", "organization_id", "globex"),
        ("team", "team_id", "default"),
        ("team", "team_id", "second"),
        ("team", "team_id", "nowhere"),
        ("principal", "principal_user_id", "user_anna"),
        ("principal", "principal_user_id", "user_nobody"),
        ("group", "group_id", "grp_friends"),
        ("group", "group_id", "grp_nobody"),
    ] {
        let scope = json!({ "kind": kind, field: id });
        let wish = body(json!({ "scope": scope, "allow_unreachable": true }));
        let got = call(Method::POST, BUDGETS, Some(wish)).await;
        note(format!("create {kind} {id}"), got);
    }
    for wanted in [
        "organization",
        "own team",
        "person",
        "group",
        "own project",
        "own anchor",
    ] {
        let found = budgets.iter().find(|(name, _)| *name == wanted);
        let path = path(&found.expect("is there").1);
        let got = call(Method::PATCH, &path, Some(json!({ "limit_usd": 999_999 }))).await;
        note(format!("update {wanted}"), got);
        let got = call(Method::POST, &format!("{path}/reset"), None).await;
        note(format!("reset {wanted}"), got);
        let got = call(Method::DELETE, &path, None).await;
        note(format!("delete {wanted}"), got);
    }
    table
}

#[tokio::test]
async fn a_project_does_not_lift_the_caps_that_were_set_above_it() {
    let world = world().await;
    let by_legacy = writes_of(&world, &project_token("acme", "default"), &[]).await;
    insta::assert_snapshot!(by_legacy);
    // Once more for a key that is bound there: the first one ended the project's own budgets.
    let world = self::world().await;
    let bound = [(BoundRole::Admin, None, "project", "default")];
    let plane = &world.plane;
    let admin = plane.service_key("acme", "of-project", &bound, |_| {});
    assert_eq!(writes_of(&world, &admin, &[]).await, by_legacy);
}

#[tokio::test]
async fn a_project_changes_what_it_made_above_itself_and_not_what_an_administrator_made_there() {
    let World { plane, .. } = world().await;
    let legacy = project_token("acme", "default");
    let sibling = project_token("acme", "second");
    let named = [("x-project-id", "default")];
    for scope in [
        json!({ "kind": "organization", "organization_id": "acme" }),
        json!({ "kind": "team", "team_id": "default" }),
        json!({ "kind": "principal", "principal_user_id": "user_anna" }),
    ] {
        let wish = body(json!({ "scope": scope, "allow_unreachable": true }));
        let make = async |token: &str| {
            let sent = Some(wish.clone());
            let got = plane
                .call_with(token, Method::POST, BUDGETS, &named, sent)
                .await;
            assert_eq!(got.status, 201, "{got:?}");
            path(&got.json()["budget"])
        };
        let raise = async |token: &str, path: &str| {
            let more = Some(json!({ "limit_usd": 999_999 }));
            let got = plane.call_with(token, Method::PATCH, path, &[], more).await;
            got.status.as_u16()
        };
        // An administrator's key without an owner goes by the project's name in the audit log, too.
        let set_above = make(&plane.acme).await;
        assert_eq!(raise(&legacy, &set_above).await, 403, "{scope}");
        let its_own = make(&legacy).await;
        assert_eq!(raise(&legacy, &its_own).await, 200, "{scope}");
        assert!(
            [403, 404].contains(&raise(&sibling, &its_own).await),
            "{scope}"
        );
        assert_eq!(raise(&plane.acme, &its_own).await, 200, "{scope}");
        let ended = plane
            .call_with(&legacy, Method::DELETE, &its_own, &[], None)
            .await;
        assert_eq!(ended.status, 200, "{scope}");
    }
}

#[tokio::test]
async fn whoever_may_at_the_level_of_a_budget_may_also_name_a_project() {
    let named = [("x-project-id", "default")];
    let world_of_team = world().await;
    let bound = [(BoundRole::Admin, None, "team", "default")];
    let plane = &world_of_team.plane;
    let team = plane.service_key("acme", "of-team", &bound, |_| {});
    insta::assert_snapshot!(writes_of(&world_of_team, &team, &named).await);
    // The organization's administrator may everything, with a project and without.
    for headers in [&named[..], &[]] {
        let world = world().await;
        let table = writes_of(&world, &world.plane.acme, headers).await;
        assert!(!table.contains("403"), "{table}");
        assert_eq!(table.matches(": 200").count(), 18, "{table}");
        assert_eq!(table.matches(": 201").count(), 5, "{table}");
    }
}
