//! Budgets: what may be created and changed, what was spent, who sees them, and which apply to a key.

mod access;
mod applicable;
mod charged;
mod figures;

use http::Method;
use lw_core::{GroupId, ModelProviderId, NanoUsd, ProjectId, RequestId, UnixMicros, VirtualKeyId};
use lw_store::config::Write;
use lw_store::ledger::{Certainty, Detail, Entry, EntryKind, Ledger as _};
use lw_store::rows::{BoundRole, Group, MemberRole, ModelProvider, RateLimit, Scope};
use serde_json::{Value, json};

use super::keys::mint;
use super::{NOW, Plane, organization, project, quiet, scope_of};

const BUDGETS: &str = "/api/gateway/v1/budgets";
const HOUR: i64 = 3_600_000_000;

/// A budget of the whole organization, with more fields or others.
fn body(more: Value) -> Value {
    let mut body = json!({
        "scope": { "kind": "organization", "organization_id": "acme" },
        "name": "cap", "window": "month", "limit_usd": 5000,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// Creates a budget; its path and the resource.
async fn create(plane: &Plane, more: Value) -> (String, Value) {
    let budget = plane.post(BUDGETS, body(more)).await.fine(201)["budget"].clone();
    (path(&budget), budget)
}

fn path(budget: &Value) -> String {
    format!("{BUDGETS}/{}", budget["id"].as_str().expect("an id"))
}

fn id_of(minted: &Value) -> String {
    let id = minted["virtual_key"]["id"].as_str().expect("an id");
    id.to_owned()
}

/// A group with people in it.
fn group(plane: &Plane, name: &str, members: &[&lw_core::UserId]) -> GroupId {
    let row = Group {
        id: GroupId::parse(&format!("grp_{name}")).expect("an id"),
        organization_id: organization("acme"),
        name: name.to_owned(),
        slug: name.to_owned(),
        external_id: None,
        scim_source: None,
        created_at: NOW,
        updated_at: NOW,
    };
    let mut writes = vec![Write::InsertGroup(&row)];
    writes.extend(members.iter().map(|user| Write::AddGroupMember {
        organization: &row.organization_id,
        group: &row.id,
        user,
    }));
    let quiet = quiet(&format!("group-{name}"));
    plane.store.commit(&writes, &quiet).expect("a group");
    row.id
}

/// A provider that is visible from a scope.
fn provider(plane: &Plane, name: &str, scope: Scope) -> ModelProviderId {
    let row = ModelProvider {
        id: ModelProviderId::parse(&format!("mp_{name}")).expect("an id"),
        organization_id: organization("acme"),
        name: name.to_owned(),
        provider: "openai".into(),
        routing_handle: None,
        enabled: true,
        scopes: vec![scope],
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
    let write = [Write::InsertModelProvider(&row)];
    let quiet = quiet(&format!("provider-{name}"));
    plane.store.commit(&write, &quiet).expect("a provider");
    row.id
}

/// Files what a key spent at an instant, that no budget was charged with.
fn spend(plane: &Plane, key: &str, filed: &ProjectId, provider: Option<&str>, usd: &str, at: i64) {
    let entry = Entry {
        model_provider_id: provider.map(|id| ModelProviderId::parse(id).expect("an id")),
        ..charged(key, filed, "", usd, NOW.plus_micros(at))
    };
    plane.ledger.append(&[entry], &[]).expect("stored");
}

/// Files what a key spent at an instant, and the buckets that were charged with it.
fn charge(plane: &Plane, key: &str, budgets: &str, usd: &str, at: i64) {
    let filed = project("acme", "governance");
    let entry = charged(key, &filed, budgets, usd, NOW.plus_micros(at));
    plane.ledger.append(&[entry], &[]).expect("stored");
}

fn charged(key: &str, filed: &ProjectId, budgets: &str, usd: &str, at: UnixMicros) -> Entry {
    // The id of a request begins with the milliseconds of its arrival.
    let mut bytes = [0; 15];
    lw_core::Entropy::fill(&lw_core::SystemEntropy, &mut bytes);
    bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    Entry {
        request_id: RequestId::from_bytes(bytes),
        attempt: 0,
        kind: EntryKind::Settle,
        at,
        amount: NanoUsd::parse_usd(usd).expect("an amount"),
        certainty: Certainty::Exact,
        priced: true,
        price_version: Some("v1".into()),
        period: "2026-11".into(),
        organization_id: organization("acme"),
        project_id: filed.clone(),
        virtual_key_id: VirtualKeyId::parse(key).expect("an id"),
        model_provider_id: None,
        model: "gpt-5-mini".into(),
        usage: lw_core::Usage::default(),
        detail: Detail::default(),
        made: Vec::new(),
        budgets: budgets.to_owned(),
    }
}

#[tokio::test]
async fn a_budget_lives() {
    let plane = Plane::new();
    let (path, created) = create(&plane, json!({ "description": "all of it" })).await;
    insta::assert_json_snapshot!(created);
    let read = plane.get(&path).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(
        read.fine(200),
        json!({ "spend_available": true, "budget": created })
    );
    assert_eq!(
        plane.get(BUDGETS).await.fine(200),
        json!({ "spend_available": true, "data": [created], "next_cursor": null })
    );
    plane.clock.set(NOW.plus_micros(HOUR));
    let patch = json!({
        "name": "half", "limit_usd": "2500.5", "on_breach": "warn", "enforcement": "soft",
        "timezone": "Europe/Berlin", "window": "day", "provider_key": "mp_no", "scope": 7,
    });
    let patched = plane.patch(&path, patch).await;
    assert_eq!(patched.header("etag"), Some("\"2\""));
    insta::assert_json_snapshot!("a_patched_budget", patched.fine(200));
    plane.clock.set(NOW.plus_micros(2 * HOUR));
    let reset = plane
        .post(&format!("{path}/reset"), json!({ "reason": "paid" }))
        .await;
    insta::assert_json_snapshot!("a_reset_budget", reset.fine(200));
    plane.clock.set(NOW.plus_micros(3 * HOUR));
    let archived = plane.call(Method::DELETE, &path, None).await.fine(200);
    assert_eq!(
        archived["budget"]["archived_at"],
        "2026-11-23T17:00:00.000Z"
    );
    assert_eq!(
        plane.announced(),
        [
            "BUDGET_CREATED",
            "BUDGET_UPDATED",
            "BUDGET_UPDATED",
            "BUDGET_DELETED"
        ]
    );
    let audit: Vec<Value> = plane
        .audit()
        .into_iter()
        .take(4)
        .map(|row| {
            let read = |text: Option<String>| {
                text.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"))
            };
            json!({
                "action": row.action, "target_kind": row.target_kind, "user_id": row.user_id,
                "before": read(row.before), "after": read(row.after), "args": read(row.args),
            })
        })
        .collect();
    insta::assert_json_snapshot!("the_audit_log_of_a_budget", audit);

    assert_eq!(
        plane.get(&path).await.code(),
        (404, "budget_not_found".into())
    );
    let gone = (404, "gateway_budget_not_found".into());
    assert_eq!(plane.patch(&path, json!({})).await.code(), gone);
    let reset = format!("{path}/reset");
    assert_eq!(plane.post(&reset, json!({})).await.code(), gone);
    let again = plane.call(Method::DELETE, &path, None).await;
    assert_eq!(again.code(), gone);
    assert_eq!(plane.get(BUDGETS).await.fine(200)["data"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_budget_is_said_at_once() {
    let plane = Plane::new();
    let long = "x".repeat(129);
    let all_wrong = json!({
        "scope": { "kind": "team" }, "name": long, "description": 7, "window": "year",
        "limit_usd": "0.0000001", "on_breach": "stop", "enforcement": null, "timezone": "",
        "provider_key": 7, "cycle_anchor_at": "tomorrow", "allow_unreachable": "yes",
        "external_id": " ", "metadata": { "a": 1 },
    });
    let mut said = Vec::new();
    for wrong in [
        json!({}),
        all_wrong,
        body(json!({ "scope": null })),
        body(json!({ "scope": { "kind": "planet" } })),
        body(json!({ "scope": { "kind": "attributed_user" } })),
        body(json!({ "scope": { "kind": "attributed_user",
            "anchor_virtual_key_id": "vk_a", "anchor_project_id": "default" } })),
        body(json!({ "limit_usd": null, "name": null, "window": null })),
        body(json!({ "limit_usd": -1 })),
        body(json!({ "provider_key": "mp_nobody" })),
    ] {
        let got = plane.post(BUDGETS, wrong).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{}", got.text);
        let error = &got.json()["error"];
        let reasons = error["meta"]["reasons"].as_array().expect("reasons");
        let reasons = reasons
            .iter()
            .map(|reason| (reason["meta"]["field"].clone(), reason["message"].clone()));
        said.push(reasons.collect::<Vec<_>>());
    }
    insta::assert_json_snapshot!(said);

    let (path, _) = create(&plane, json!({})).await;
    let nulls = json!({
        "name": null, "limit_usd": null, "on_breach": null, "enforcement": null, "metadata": null,
    });
    let got = plane.patch(&path, nulls).await;
    assert_eq!(
        got.json()["error"]["meta"]["fields"],
        json!(["on_breach", "enforcement", "name", "limit_usd", "metadata"])
    );
    for query in [
        "scope_type=planet",
        "scope_type=Team",
        "scope_type=",
        "limit=0",
    ] {
        let got = plane.get(&format!("{BUDGETS}?{query}")).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{query}");
    }
    let got = plane.get(&format!("{BUDGETS}?cursor=x")).await;
    assert_eq!(got.code(), (400, "invalid_cursor".into()));
}

#[tokio::test]
async fn a_budget_is_for_anything_of_the_organization_and_nothing_else() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let stranger = plane.member("globex", "stranger", MemberRole::Member);
    let friends = group(&plane, "friends", &[&anna]);
    for (scope, kind, id) in [
        (
            json!({ "kind": "organization", "organization_id": "org_acme" }),
            "organization",
            "org_acme",
        ),
        (
            json!({ "kind": "team", "team_id": "default" }),
            "team",
            "team_acme-default",
        ),
        (
            json!({ "kind": "project", "project_id": "default" }),
            "project",
            "proj_acme-default",
        ),
        (
            json!({ "kind": "virtual_key", "virtual_key_id": key }),
            "virtual_key",
            key.as_str(),
        ),
        (
            json!({ "kind": "principal", "principal_user_id": anna }),
            "principal",
            "user_anna",
        ),
        (
            json!({ "kind": "group", "group_id": friends }),
            "group",
            "grp_friends",
        ),
        (
            json!({ "kind": "attributed_user", "anchor_virtual_key_id": key, "anchor_project_id": null }),
            "attributed_user",
            key.as_str(),
        ),
        (
            json!({ "kind": "attributed_user", "anchor_project_id": "default" }),
            "attributed_user",
            "proj_acme-default",
        ),
    ] {
        let (_, budget) = create(&plane, json!({ "scope": scope })).await;
        assert_eq!(
            (&budget["scope_type"], &budget["scope_id"]),
            (&json!(kind), &json!(id))
        );
        let template = kind == "attributed_user";
        assert_eq!(budget["spent_usd"].is_null(), template, "{kind}");
        assert_eq!(budget.get("member_count").is_some(), kind == "group");
    }
    for (scope, word) in [
        (
            json!({ "kind": "organization", "organization_id": "globex" }),
            "organization",
        ),
        (
            json!({ "kind": "team", "team_id": "team_globex-default" }),
            "team",
        ),
        (json!({ "kind": "team", "team_id": "hidden" }), "team"),
        (
            json!({ "kind": "project", "project_id": "proj_globex-default" }),
            "project",
        ),
        (
            json!({ "kind": "principal", "principal_user_id": stranger }),
            "user",
        ),
        (
            json!({ "kind": "principal", "principal_user_id": "anna" }),
            "user",
        ),
        (
            json!({ "kind": "group", "group_id": "grp_nobody" }),
            "group",
        ),
    ] {
        let got = plane.post(BUDGETS, body(json!({ "scope": scope }))).await;
        assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
        assert_eq!(got.json()["error"]["meta"], json!({ "scope_type": word }));
    }
    for field in ["virtual_key_id", "anchor_virtual_key_id"] {
        let kind = if field == "virtual_key_id" {
            "virtual_key"
        } else {
            "attributed_user"
        };
        let scope = json!({ "kind": kind, field: "vk_nobody" });
        let got = plane.post(BUDGETS, body(json!({ "scope": scope }))).await;
        assert_eq!(got.code(), (404, "virtual_key_not_found".into()));
    }

    let walk = |types: &str| format!("{BUDGETS}?limit=3&scope_type={types}");
    let page = plane
        .get(&walk("attributed_user,group,team,project"))
        .await
        .fine(200);
    let kinds = |page: &Value| {
        let rows = page["data"].as_array().expect("rows").clone();
        rows.into_iter()
            .map(|row| row["scope_type"].clone())
            .collect::<Vec<_>>()
    };
    let first = kinds(&page);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let rest = format!(
        "{}&cursor={cursor}",
        walk("attributed_user,group,team,project")
    );
    let second = kinds(&plane.get(&rest).await.fine(200));
    assert_eq!((first.len(), second.len()), (3, 2));
}

#[tokio::test]
async fn a_budget_that_no_key_could_meet_is_refused_unless_it_is_meant() {
    let plane = Plane::new();
    plane.further_team("acme", "second");
    let of_team = json!({ "scope": { "kind": "team", "team_id": "second" } });
    let (_, budget) = create(&plane, of_team.clone()).await;
    assert_eq!(
        budget["scope_reach"], "unreachable",
        "there is no key at all"
    );
    let scopes = json!([{ "scope_type": "project", "scope_id": "default" }]);
    mint(&plane, json!({ "scopes": scopes })).await;
    let friends = group(&plane, "friends", &[]);
    for scope in [
        json!({ "kind": "team", "team_id": "second" }),
        json!({ "kind": "project", "project_id": "second" }),
        json!({ "kind": "group", "group_id": friends }),
    ] {
        let kind = scope["kind"].clone();
        let got = plane.post(BUDGETS, body(json!({ "scope": scope }))).await;
        assert_eq!(got.code(), (400, "gateway_budget_scope_unreachable".into()));
        assert_eq!(
            got.json()["error"]["meta"],
            json!({
                "scope_type": kind, "reachable_project_ids": ["proj_acme-default"],
                "reachable_project_count": 1,
            })
        );
        let wish = json!({ "scope": scope, "allow_unreachable": true });
        let (_, budget) = create(&plane, wish).await;
        assert_eq!(budget["scope_reach"], "unreachable");
    }
    let (_, budget) = create(
        &plane,
        json!({ "scope": { "kind": "team", "team_id": "default" } }),
    )
    .await;
    assert_eq!(budget["scope_reach"], "reachable");
    mint(&plane, json!({})).await;
    let (_, budget) = create(&plane, of_team).await;
    assert_eq!(
        budget["scope_reach"], "unreachable",
        "accepted for the key above it"
    );
}

#[tokio::test]
async fn external_ids_are_unique_and_a_repeated_create_has_one_answer() {
    let plane = Plane::new();
    let wish = body(json!({ "external_id": " erp-7 ", "metadata": { "cost": "7" } }));
    let headers = [("idempotency-key", "create-cap-1")];
    let first = plane
        .call_with(
            &plane.acme,
            Method::POST,
            BUDGETS,
            &headers,
            Some(wish.clone()),
        )
        .await;
    let again = plane
        .call_with(
            &plane.acme,
            Method::POST,
            BUDGETS,
            &headers,
            Some(wish.clone()),
        )
        .await;
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("x-idempotent-replay"), Some("true"));
    assert_eq!(plane.announced(), ["BUDGET_CREATED"]);
    let other = plane
        .call_with(
            &plane.acme,
            Method::POST,
            BUDGETS,
            &headers,
            Some(body(json!({}))),
        )
        .await;
    assert_eq!(other.code(), (409, "idempotency_error".into()));

    let budget = first.fine(201)["budget"].clone();
    let got = plane.post(BUDGETS, wish).await;
    assert_eq!(got.code(), (409, "external_id_conflict".into()));
    assert_eq!(
        got.json()["error"]["meta"],
        json!({ "resource": "budget", "external_id": "erp-7" })
    );
    let (path, second) = create(&plane, json!({})).await;
    let got = plane.patch(&path, json!({ "external_id": "erp-7" })).await;
    assert_eq!(got.code(), (409, "external_id_conflict".into()));
    let found = plane
        .get(&format!("{BUDGETS}?external_id=erp-7"))
        .await
        .fine(200);
    assert_eq!(found["data"], json!([budget]));
    assert_eq!(
        (&second["external_id"], &second["metadata"]),
        (&json!(null), &json!({}))
    );

    let path = self::path(&budget);
    let kept = plane.patch(&path, json!({ "name": "n" })).await.fine(200)["budget"].clone();
    assert_eq!(
        (&kept["external_id"], &kept["metadata"]),
        (&json!("erp-7"), &json!({ "cost": "7" }))
    );
    let nulls =
        json!({ "external_id": null, "metadata": {}, "description": null, "timezone": null });
    let cleared = plane.patch(&path, nulls).await.fine(200)["budget"].clone();
    assert_eq!(
        (&cleared["external_id"], &cleared["metadata"]),
        (&json!(null), &json!({}))
    );
}

#[tokio::test]
async fn whoever_names_an_old_revision_is_told_the_current_budget_and_races_all_land() {
    let plane = Plane::new();
    let (path, _) = create(&plane, json!({})).await;
    let tagged = async |method: Method, path: &str, tag: &str| {
        let headers = [("if-match", tag)];
        let body = (method != Method::DELETE).then(|| json!({ "name": "first" }));
        plane
            .call_with(&plane.acme, method, path, &headers, body)
            .await
    };
    tagged(Method::PATCH, &path, "\"1\"").await.fine(200);
    let reset = format!("{path}/reset");
    for (method, path) in [
        (Method::PATCH, &path),
        (Method::POST, &reset),
        (Method::DELETE, &path),
    ] {
        let got = tagged(method, path, "\"1\"").await;
        assert_eq!(got.code(), (409, "revision_conflict".into()));
        assert_eq!(got.json()["error"]["meta"]["current"]["name"], "first");
    }
    plane.announced();
    let same = plane.patch(&path, json!({ "name": "first" })).await;
    assert_eq!(same.header("etag"), Some("\"2\""), "nothing changed");
    assert_eq!(plane.announced(), Vec::<&str>::new());

    let calls = (0..32).map(|n| plane.patch(&path, json!({ "name": format!("n{n}") })));
    let mut revisions: Vec<u32> = futures_util::future::join_all(calls)
        .await
        .iter()
        .map(|got| {
            got.fine(200);
            let tag = got.header("etag").expect("a tag").trim_matches('"');
            tag.parse().expect("a number")
        })
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (3..35).collect::<Vec<_>>());
    assert_eq!(plane.announced().len(), 32);
}
