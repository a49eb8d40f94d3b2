//! Routing policies: lifecycle, rules of the body, defaults, keys that use them, and who may.

use http::Method;
use lw_core::ModelProviderId;
use lw_store::config::Write;
use lw_store::rows::{BoundRole, MemberRole, ModelProvider, Principal, RateLimit};
use serde_json::{Value, json};

use super::keys::{mint, path_of as key_path};
use super::revised::{acts, contended, created_once, path_of, refusals, revisions_conflict, walk};
use super::{NOW, Plane, organization, project_token, quiet, scope_of};

const POLICIES: &str = "/api/gateway/v1/routing-policies";

/// Stores a provider and gives its id.
pub(super) fn provider(plane: &Plane, org: &str, name: &str, scope: (&str, &str)) -> String {
    let row = ModelProvider {
        id: ModelProviderId::parse(&format!("mp_{name}")).expect("an id"),
        organization_id: organization(org),
        name: name.to_owned(),
        provider: "openai".into(),
        routing_handle: None,
        enabled: true,
        scopes: vec![scope_of(org, scope.0, scope.1)],
        sealed_keys: "sealed by nobody".into(),
        sealed_extra_headers: None,
        custom_models: None,
        custom_embeddings_models: None,
        deployment_mapping: None,
        rate_limit: RateLimit::default(),
        fallback_priority_global: None,
        provider_config: None,
        disabled_at: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    let quiet = quiet(&format!("provider-{org}-{name}"));
    plane
        .store
        .commit(&[Write::InsertModelProvider(&row)], &quiet)
        .expect("a provider");
    row.id.to_string()
}

/// A plane with two providers of acme's, and the ids.
fn plane() -> (Plane, String, String) {
    let plane = Plane::new();
    let a = provider(&plane, "acme", "a", ("organization", "acme"));
    let b = provider(&plane, "acme", "b", ("project", "default"));
    (plane, a, b)
}

async fn create(plane: &Plane, more: Value) -> Value {
    let mut body = json!({ "name": "p", "model_provider_ids": ["mp_a"] });
    let map = body.as_object_mut().expect("an object");
    map.extend(more.as_object().expect("an object").clone());
    plane.post(POLICIES, body).await.fine(201)
}

fn scopes(list: &[(&str, &str)]) -> Value {
    let scope = |(kind, id): &(&str, &str)| json!({ "scope_type": kind, "scope_id": id });
    list.iter().map(scope).collect()
}

fn policy_path(answer: &Value) -> String {
    path_of(POLICIES, "routing_policy", answer)
}

#[tokio::test]
async fn a_policy_is_created_read_changed_and_deleted() {
    let (plane, a, b) = plane();
    let made = plane
        .post(
            POLICIES,
            json!({
                "name": " openai-then-own ", "description": "d", "strategy": "priority",
                "model_provider_ids": [b, a], "model_aliases": { "fast": "openai/gpt-5-mini" },
                "default_model": "gpt-5",
                "policy_rules": { "tools": { "deny": ["^shell"], "allow": [] }, "urls": null },
                "fallback": {
                    "max_attempts": 2, "on": ["rate_limit_exceeded", "5xx"], "attemptTimeoutMs": 900,
                    "model_map": { "gpt-5": { "anthropic": "claude-opus" } },
                },
                "scopes": scopes(&[("project", "default"), ("team", "default")]),
            }),
        )
        .await;
    assert_eq!(made.header("etag"), Some("\"1\""));
    let made = made.fine(201);
    insta::assert_json_snapshot!(made);
    assert_eq!(plane.announced(), Vec::<&str>::new(), "no key uses it yet");
    let path = policy_path(&made);
    assert_eq!(plane.get(&path).await.fine(200), made);

    let changed = plane
        .patch(
            &path,
            json!({ "description": null, "fallback": {}, "policy_rules": null, "model_aliases": null,
                    "default_model": null, "strategy": "ordered", "model_provider_ids": [a] }),
        )
        .await;
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let changed = changed.fine(200);
    insta::assert_json_snapshot!(changed);
    assert_eq!(plane.announced(), ["ROUTING_POLICY_UPDATED"]);

    let gone = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(gone["routing_policy"], changed["routing_policy"]);
    assert_eq!(gone["affected_virtual_keys"], 0);
    let told = std::mem::take(&mut *plane.news.0.lock());
    let id = made["routing_policy"]["id"].clone();
    let payload = told[0].payload.as_deref().expect("a payload");
    assert_eq!(told[0].kind.as_str(), "ROUTING_POLICY_DELETED");
    assert_eq!(
        serde_json::from_str::<Value>(payload).expect("JSON"),
        json!({ "routing_policy_id": id })
    );
    for method in [Method::GET, Method::DELETE] {
        let got = plane.call(method, &path, None).await;
        assert_eq!(got.code(), (404, "routing_policy_not_found".into()));
    }
    assert_eq!(
        acts(&plane, "routing_policy"),
        [
            "gateway.routing_policy.created",
            "gateway.routing_policy.deleted",
            "gateway.routing_policy.updated"
        ]
    );
    for row in plane.audit().iter().filter(|row| row.target_kind.is_some()) {
        assert_eq!(row.target_id.as_deref(), id.as_str());
        assert_eq!(row.before.is_some(), !row.action.ends_with("created"));
        assert_eq!(row.after.is_some(), !row.action.ends_with("deleted"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_is_said_by_field() {
    let (plane, _, _) = plane();
    provider(&plane, "globex", "theirs", ("organization", "globex"));
    let with = |more: Value| {
        let mut body = json!({ "name": "p", "model_provider_ids": ["mp_a"] });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let bodies = [
        json!({}),
        json!({ "name": "p" }),
        json!({ "name": "p", "model_provider_ids": [] }),
        with(json!({ "name": "  ", "description": 7, "strategy": "ORDERED", "is_default": null })),
        with(json!({ "model_provider_ids": null })),
        with(json!({ "model_provider_ids": ["mp_theirs", "mp_none", "nonsense", "mp_a", "mp_a"] })),
        with(json!({ "scopes": [] })),
        with(json!({ "scopes": null })),
        with(json!({ "scopes": [{ "scope_type": "ORGANIZATION" }] })),
        with(json!({ "scopes": scopes(&[("project", "theirs")]) })),
        with(json!({ "model_aliases": { "fast": "openai/latest" } })),
        with(json!({ "model_aliases": { "fast": "" } })),
        with(json!({ "default_model": "claude-sonnet-latest" })),
        with(json!({ "fallback": { "model_map": { "gpt-5": { "mp_a": "Latest" } } } })),
        with(json!({ "fallback": { "max_attempts": 0, "on": ["sometimes"] } })),
        with(json!({ "policy_rules": {
            "tools": { "deny": ["ok", "(?=x)"], "allow": ["("] }, "tool": {}, "urls": { "denied": [] },
        } })),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::POST, POLICIES, &bodies).await);

    let path = policy_path(&create(&plane, json!({})).await);
    let bodies = [
        json!({ "name": null, "scopes": null, "model_provider_ids": null, "strategy": null }),
        json!({ "model_provider_ids": [] }),
        json!({ "scopes": [] }),
        json!({ "default_model": "openai/latest" }),
        json!({ "model_provider_ids": ["mp_theirs"] }),
        json!({ "policy_rules": { "models": { "allow": ["a", "b["] } } }),
    ];
    insta::assert_snapshot!(refusals(&plane, Method::PATCH, &path, &bodies).await);
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_deleted_provider_may_stay_in_the_list_but_not_come_into_it() {
    let (plane, a, b) = plane();
    let path = policy_path(&create(&plane, json!({ "model_provider_ids": [a, b] })).await);
    let organization = organization("acme");
    let id = ModelProviderId::parse(&b).expect("an id");
    let write = Write::DeleteModelProvider {
        organization: &organization,
        id: &id,
        expected: None,
    };
    plane.store.commit(&[write], &quiet("gone")).expect("gone");
    let ids = json!({ "model_provider_ids": [b, a] });
    let kept = plane.patch(&path, ids.clone()).await.fine(200);
    assert_eq!(kept["routing_policy"]["model_provider_ids"], json!([b, a]));
    let other = policy_path(&create(&plane, json!({})).await);
    assert_eq!(
        plane.patch(&other, ids).await.code(),
        (400, "validation_error".into())
    );
}

#[tokio::test]
async fn a_scope_has_one_default_at_most() {
    let (plane, _, _) = plane();
    let org = [("organization", "acme")];
    let first = create(&plane, json!({ "name": "b", "is_default": true })).await;
    let team = scopes(&[("team", "default")]);
    let aside = create(
        &plane,
        json!({ "name": "t", "is_default": true, "scopes": team }),
    )
    .await;
    let second = create(&plane, json!({ "name": "a" })).await;
    let defaults = async || {
        let list = plane.get(POLICIES).await.fine(200);
        let rows = list["data"].as_array().expect("rows").iter();
        rows.map(|row| {
            let name = row["name"].as_str().expect("a name").to_owned();
            (name, row["is_default"] == true)
        })
        .collect::<Vec<_>>()
    };
    let row = |name: &str, is: bool| (name.to_owned(), is);
    assert_eq!(
        defaults().await,
        [row("b", true), row("t", true), row("a", false)]
    );

    let path = format!("{}/set-default", policy_path(&second));
    let set = plane.post(&path, json!({})).await.fine(200);
    assert_eq!(set["routing_policy"]["is_default"], true);
    assert_eq!(
        defaults().await,
        [row("a", true), row("t", true), row("b", false)]
    );
    let again = plane.call(Method::POST, &path, None).await;
    assert_eq!(again.header("etag"), Some("\"2\""), "nothing was written");

    // A default that comes to a scope takes the flag there, and a patch may give it back.
    let both = scopes(&[("team", "default"), org[0]]);
    plane
        .patch(&policy_path(&aside), json!({ "scopes": both }))
        .await
        .fine(200);
    assert_eq!(
        defaults().await,
        [row("t", true), row("a", false), row("b", false)]
    );
    plane
        .patch(&policy_path(&aside), json!({ "is_default": false }))
        .await
        .fine(200);
    plane
        .patch(&policy_path(&first), json!({ "is_default": true }))
        .await
        .fine(200);
    assert_eq!(
        defaults().await,
        [row("b", true), row("a", false), row("t", false)]
    );
}

#[tokio::test]
async fn keys_feel_every_change_of_their_policy_and_move_when_it_goes() {
    let (plane, _, _) = plane();
    let made = create(&plane, json!({ "name": "old" })).await;
    let next = create(&plane, json!({ "name": "new" })).await;
    let id = |answer: &Value| answer["routing_policy"]["id"].clone();
    let key = mint(&plane, json!({ "routing_policy_id": id(&made) })).await;
    let other = mint(&plane, json!({ "routing_policy_id": id(&next) })).await;
    plane.announced();
    let revision = async |key: &Value| {
        let key = plane.get(&key_path(key)).await.fine(200)["virtual_key"].clone();
        let mode = key["routing_mode"].as_str().expect("a mode").to_owned();
        (
            key["revision"].clone(),
            mode,
            key["routing_policy_id"].clone(),
        )
    };
    plane
        .patch(&policy_path(&made), json!({ "name": "older" }))
        .await
        .fine(200);
    assert_eq!(
        revision(&key).await,
        (json!("2"), "policy".into(), id(&made))
    );
    assert_eq!(
        revision(&other).await,
        (json!("1"), "policy".into(), id(&next))
    );
    plane
        .post(&format!("{}/set-default", policy_path(&made)), json!({}))
        .await
        .fine(200);
    assert_eq!(
        revision(&key).await.0,
        json!("2"),
        "a default is nothing to its keys"
    );

    let gone = async |path: &str| plane.call(Method::DELETE, path, None).await;
    for (replacement, code) in [
        ("rp_none".to_owned(), (404, "routing_policy_not_found")),
        ("nonsense".to_owned(), (404, "routing_policy_not_found")),
        (
            id(&made).as_str().expect("an id").to_owned(),
            (400, "validation_error"),
        ),
    ] {
        let path = format!("{}?replacement_policy_id={replacement}", policy_path(&made));
        assert_eq!(gone(&path).await.code(), (code.0, code.1.to_owned()));
    }
    let to = id(&next);
    let path = format!(
        "{}?replacement_policy_id={}",
        policy_path(&made),
        to.as_str().expect("an id")
    );
    let moved = gone(&path).await.fine(200);
    assert_eq!(moved["affected_virtual_keys"], 1);
    assert_eq!(
        revision(&key).await,
        (json!("3"), "policy".into(), to.clone())
    );
    let args: Vec<String> = plane
        .audit()
        .into_iter()
        .filter_map(|row| row.args)
        .collect();
    assert_eq!(args, [json!({ "replacement_policy_id": to }).to_string()]);

    let moved = gone(&policy_path(&next)).await.fine(200);
    assert_eq!(moved["affected_virtual_keys"], 2);
    let fallen = (json!("4"), "fallback_all".to_owned(), json!(null));
    assert_eq!(revision(&key).await, fallen);
}

#[tokio::test]
async fn a_key_selects_policies_of_its_scope_and_of_what_is_above() {
    let (plane, _, _) = plane();
    plane.further_team("acme", "other");
    for (name, list) in [
        ("org", scopes(&[("organization", "acme")])),
        ("team", scopes(&[("team", "default")])),
        ("project", scopes(&[("project", "default")])),
        ("two", scopes(&[("team", "other"), ("project", "default")])),
    ] {
        create(&plane, json!({ "name": name, "scopes": list })).await;
    }
    for (scope, names) in [
        ("organization:acme", vec!["org"]),
        ("team:default", vec!["org", "team"]),
        ("team:team_acme-other", vec!["org", "two"]),
        ("project:default", vec!["org", "project", "team", "two"]),
        ("project:other", vec!["org", "two"]),
    ] {
        let list = plane
            .get(&format!("{POLICIES}?selectable_for={scope}"))
            .await;
        let list = list.fine(200);
        let rows = list["data"].as_array().expect("rows").iter();
        let found: Vec<&str> = rows.filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(found, names, "{scope}");
    }
    for (scope, code) in [
        ("organization:globex", "gateway_scope_org_mismatch"),
        ("project:nowhere", "gateway_scope_org_mismatch"),
        ("key:vk_1", "validation_error"),
        ("project", "validation_error"),
    ] {
        let got = plane
            .get(&format!("{POLICIES}?selectable_for={scope}"))
            .await;
        assert_eq!(got.code(), (400, code.into()), "{scope}");
    }
    // Who sees nothing there learns nothing of what is there.
    let grants = [(BoundRole::Viewer, None, "team", "default")];
    let viewer = plane.service_key("acme", "viewer", &grants, |_| {});
    for scope in [
        "project:other",
        "project:nowhere",
        "team:other",
        "team:nowhere",
    ] {
        let path = format!("{POLICIES}?selectable_for={scope}");
        let got = plane
            .call_with(&viewer, Method::GET, &path, &[], None)
            .await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{scope}");
    }
}

#[tokio::test]
async fn the_list_is_walked_in_order_and_survives_deletions() {
    let (plane, _, _) = plane();
    let mut paths = Vec::new();
    for name in ["c", "a", "é".repeat(128).as_str(), "b", "a"] {
        paths.push(create(&plane, json!({ "name": name })).await);
    }
    create(&plane, json!({ "name": "z", "is_default": true })).await;
    let all = walk(&plane, POLICIES, 200, async |_| {}).await;
    assert_eq!(all.len(), 6);
    assert_eq!(walk(&plane, POLICIES, 1, async |_| {}).await, all);
    let deleting = walk(&plane, POLICIES, 2, async |ids| {
        for id in ids {
            let path = format!("{POLICIES}/{id}");
            plane.call(Method::DELETE, &path, None).await.fine(200);
        }
    });
    assert_eq!(deleting.await, all, "the row of a cursor may go");
    for cursor in ["x", "AAAA", &"A".repeat(501)] {
        let got = plane.get(&format!("{POLICIES}?cursor={cursor}")).await;
        assert_eq!(got.status.as_u16(), 400, "{}", got.text);
    }
}

#[tokio::test]
async fn changes_are_repeatable_ordered_and_none_is_lost() {
    let (plane, a, _) = plane();
    let body = json!({ "name": "p", "model_provider_ids": [a] });
    let made = created_once(&plane, POLICIES, &body).await;
    let scope = json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }]);
    assert_eq!(
        made["routing_policy"]["scopes"], scope,
        "by default the project of the call"
    );
    let path = policy_path(&made);
    contended(
        &plane,
        &path,
        "routing_policy",
        |place| json!({ "name": format!("n{place}") }),
    )
    .await;
    revisions_conflict(&plane, &path, "routing_policy", &json!({ "name": "n" })).await;
}

#[tokio::test]
async fn a_policy_is_written_by_who_manages_all_of_its_scopes() {
    let (plane, _, _) = plane();
    plane.further_team("acme", "other");
    let admin_of = |kind, scope| [(BoundRole::Admin, None, kind, scope)];
    let team = plane.service_key("acme", "team", &admin_of("team", "default"), |_| {});
    let other = plane.service_key("acme", "other", &admin_of("project", "other"), |_| {});
    let looks = [(
        BoundRole::Custom,
        Some(&["routingPolicies:view"][..]),
        "team",
        "default",
    )];
    let looks = plane.service_key("acme", "looks", &looks, |_| {});
    let nothing = [(
        BoundRole::Custom,
        Some(&["traces:view"][..]),
        "organization",
        "acme",
    )];
    let nothing = plane.service_key("acme", "nothing", &nothing, |_| {});
    let person = plane.member("acme", "pat", MemberRole::Member);
    plane.bind(
        "acme",
        "pat",
        &Principal::User(person.clone()),
        &[(BoundRole::Viewer, None, "team", "default")],
    );
    let owned = plane.service_key("acme", "owned", &admin_of("team", "default"), |row| {
        row.user_id = Some(person.clone());
    });
    let project = project_token("acme", "default");

    let in_team = create(&plane, json!({ "scopes": scopes(&[("team", "default")]) })).await;
    let in_both = scopes(&[("team", "default"), ("organization", "acme")]);
    let in_both = create(&plane, json!({ "scopes": in_both })).await;
    let in_other = create(&plane, json!({ "scopes": scopes(&[("project", "other")]) })).await;
    let call = async |token: &str, method: Method, path: &str, body: Option<Value>| {
        plane.call_with(token, method, path, &[], body).await
    };
    let rename = || Some(json!({ "name": "n" }));

    let patch = async |token: &str, row: &Value| {
        call(token, Method::PATCH, &policy_path(row), rename()).await
    };
    patch(&team, &in_team).await.fine(200);
    let refused = patch(&team, &in_both).await;
    assert_eq!(refused.code(), (403, "permission_denied".into()));
    let message = &refused.json()["error"]["message"];
    assert_eq!(
        message,
        "permission_denied: routingPolicies:manage at ORGANIZATION:org_acme"
    );
    for (token, who) in [(&looks, "looks"), (&owned, "owned"), (&nothing, "nothing")] {
        let got = patch(token, &in_team).await;
        assert_eq!(
            got.code(),
            (403, "api_key_permission_denied".into()),
            "{who}"
        );
    }
    assert_eq!(
        patch(&project, &in_team).await.code(),
        (403, "permission_denied".into())
    );

    // What is in a project that the caller does not see does not exist, and neither does another tenant's.
    let foreign = patch(&plane.globex, &in_team).await;
    assert_eq!(foreign.code(), (404, "routing_policy_not_found".into()));
    for token in [&team, &project] {
        let hidden = patch(token, &in_other).await;
        let unknown = call(
            token,
            Method::PATCH,
            &format!("{POLICIES}/rp_none"),
            rename(),
        )
        .await;
        assert_eq!((hidden.status, hidden.text), (unknown.status, unknown.text));
    }
    // A policy is handed down to what is below its scopes, and not aside.
    for (token, row, status) in [
        (&project, &in_team, 200),
        (&project, &in_both, 200),
        (&other, &in_both, 200),
        (&other, &in_team, 404),
        (&looks, &in_other, 404),
        (&owned, &in_team, 200),
    ] {
        let got = call(token, Method::GET, &policy_path(row), None).await;
        assert_eq!(got.status.as_u16(), status, "{}", got.text);
    }

    let new = |list: &[(&str, &str)]| {
        Some(json!({ "name": "p", "model_provider_ids": ["mp_a"], "scopes": scopes(list) }))
    };
    let make = async |token: &str, list: &[(&str, &str)]| {
        call(token, Method::POST, POLICIES, new(list)).await
    };
    make(&team, &[("project", "default"), ("team", "default")])
        .await
        .fine(201);
    make(&project, &[("project", "default")]).await.fine(201);
    for (token, list) in [
        (&team, vec![("team", "default"), ("organization", "acme")]),
        (&team, vec![("project", "other")]),
        (&team, vec![("project", "nowhere")]),
        (&project, vec![("team", "default")]),
    ] {
        let got = make(token, &list).await;
        assert_eq!(got.code(), (403, "permission_denied".into()), "{list:?}");
    }
    let away = Some(json!({ "scopes": scopes(&[("project", "other")]) }));
    let got = call(&team, Method::PATCH, &policy_path(&in_team), away).await;
    assert_eq!(
        got.code(),
        (403, "permission_denied".into()),
        "moving needs the new scope"
    );
    // A provider that the caller does not see is no provider.
    let hidden = Some(json!({ "model_provider_ids": ["mp_b"] }));
    provider(&plane, "acme", "aside", ("project", "other"));
    let aside = Some(json!({ "model_provider_ids": ["mp_aside"] }));
    call(&team, Method::PATCH, &policy_path(&in_team), hidden)
        .await
        .fine(200);
    let got = call(&team, Method::PATCH, &policy_path(&in_team), aside).await;
    assert_eq!(got.code(), (400, "validation_error".into()));
}
