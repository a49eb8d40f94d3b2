//! The organization itself, and what tests of the organization families share.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use lw_core::{BudgetId, NanoUsd};
use lw_store::config::Write;
use lw_store::rows::{
    BoundRole, Budget, BudgetTarget, Enforcement, MemberRole, OnBreach, Principal,
};
use serde_json::{Value, json};

use super::{Got, NOW, Plane, organization, project_token, quiet};

/// Status and code of a legacy refusal.
pub(super) fn word(got: &Got) -> (u16, String) {
    let body = got.json();
    let code = [&body["code"], &body["error"]]
        .into_iter()
        .find_map(Value::as_str);
    (got.status.as_u16(), code.unwrap_or_default().to_owned())
}

/// A budget that stands on its own.
pub(super) fn budget(plane: &Plane, name: &str, target: BudgetTarget) -> BudgetId {
    let row = Budget {
        id: BudgetId::parse(&format!("bgt_{name}")).expect("an id"),
        organization_id: organization("acme"),
        name: name.to_owned(),
        description: None,
        target,
        provider_key: None,
        window: "month".into(),
        limit: NanoUsd(1_000_000_000),
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: None,
        current_period_started_at: NOW,
        resets_at: NOW,
        last_reset_at: None,
        external_id: None,
        metadata: BTreeMap::new(),
        managed_by_virtual_key_id: None,
        archived_at: None,
        created_by: "test".into(),
        made_from: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    let quiet = quiet(&format!("budget-{name}"));
    plane
        .store
        .commit(&[Write::InsertBudget(&row)], &quiet)
        .expect("a budget");
    row.id
}

/// Whether a budget was archived.
pub(super) fn is_archived(plane: &Plane, id: &BudgetId) -> bool {
    let row = plane.store.budget(&organization("acme"), id);
    row.expect("asked").expect("a budget").archived_at.is_some()
}

/// The token of a key of acme that holds exactly these permissions at the organization.
pub(super) fn holding(plane: &Plane, name: &str, permissions: &[&str]) -> String {
    let bindings = [(BoundRole::Custom, Some(permissions), "organization", "acme")];
    plane.service_key("acme", name, &bindings, |_| {})
}

/// The token of an administrator's own key, who is a person.
pub(super) fn of_person(plane: &Plane, name: &str, role: MemberRole) -> String {
    let user = plane.member("acme", name, role);
    let bindings = [(BoundRole::Admin, None, "organization", "acme")];
    plane.service_key("acme", &format!("of-{name}"), &bindings, |row| {
        row.user_id = Some(user.clone());
    })
}

/// What the audit log says happened, sorted: the clock of the tests stands still.
pub(super) fn actions(plane: &Plane) -> Vec<String> {
    let mut rows: Vec<String> = plane
        .audit()
        .into_iter()
        .filter(|row| row.action != "setup")
        .map(|row| {
            assert_eq!(
                row.target_kind, None,
                "{}: platform rows have none",
                row.action
            );
            row.action
        })
        .collect();
    rows.sort();
    rows
}

/// What [`actions`] should say.
pub(super) fn sorted(mut expected: Vec<&str>) -> Vec<String> {
    expected.sort_unstable();
    expected.into_iter().map(str::to_owned).collect()
}

/// The `before` and `after` of the rows of an action.
pub(super) fn changes(plane: &Plane, action: &str) -> Vec<(Value, Value)> {
    let read = |text: Option<String>| {
        text.map_or(Value::Null, |text| {
            serde_json::from_str(&text).expect("JSON")
        })
    };
    let rows = plane.audit().into_iter().filter(|row| row.action == action);
    rows.map(|row| (read(row.before), read(row.after)))
        .collect()
}

/// Patches one row 32 times at once: every write must land, each on the one before.
pub(super) async fn race(plane: &Plane, path: &str, action: &str, field: &str) {
    let calls = (0..32).map(|number| async move {
        let body = json!({ field: format!("name {number}") });
        let got = plane.patch(path, body).await;
        let tag = got.header("etag").expect("a tag").to_owned();
        got.fine(200);
        tag
    });
    let mut tags = join_all(calls).await;
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 32, "every version has a tag of its own");
    let mut changes = changes(plane, action);
    assert_eq!(changes.len(), 32);
    let stamp = |value: &Value| value["updatedAt"].as_str().map(str::to_owned);
    changes.sort_by_key(|(before, _)| stamp(before));
    for pair in changes.windows(2) {
        if let [(_, after), (before, _)] = pair {
            assert_eq!(after, before, "nothing was lost in between");
        }
    }
}

#[tokio::test]
async fn an_organization_reads_itself() {
    let plane = Plane::new();
    let got = plane.get("/api/organization").await;
    assert_eq!(got.header("etag"), Some("\"1795442400000\""));
    insta::assert_json_snapshot!(got.fine(200));
}

#[tokio::test]
async fn a_patch_tells_absent_from_null_from_a_value() {
    let plane = Plane::new();
    let path = "/api/organization";
    let body = json!({
        "name": " Acme Corp ", "supportContact": "it@acme.example", "presenceEnabled": false,
        "traceSharingEnabled": false, "primaryIntent": "gateway", "maxSessionDurationDays": 30,
    });
    let got = plane.patch(path, body).await.fine(200);
    assert_eq!(got["name"], "Acme Corp");
    let body = json!({ "supportContact": null });
    let got = plane.patch(path, body).await.fine(200);
    assert_eq!(
        (&got["supportContact"], &got["primaryIntent"]),
        (&Value::Null, &json!("gateway"))
    );
    assert_eq!(got["maxSessionDurationDays"], 30);
    assert_eq!(plane.get(path).await.fine(200), got);
    // Nothing to change is nothing to write.
    let same = plane.patch(path, json!({ "name": "Acme Corp" })).await;
    assert_eq!(same.fine(200), got);
    assert_eq!(
        actions(&plane),
        ["management.organization.update"; 2].map(String::from)
    );
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_wrong_with_a_patch_is_said_at_once() {
    let plane = Plane::new();
    let body = json!({
        "name": "", "supportContact": 7, "presenceEnabled": null, "maxSessionDurationDays": -1,
        "payloadCaptureDefault": "RAW", "payloadCaptureEnabled": "yes",
    });
    let got = plane.patch("/api/organization", body).await.fine(422);
    assert_eq!(
        got["fields"],
        json!([
            "name",
            "maxSessionDurationDays",
            "payloadCaptureDefault",
            "presenceEnabled",
            "payloadCaptureEnabled",
            "supportContact"
        ])
    );
}

#[tokio::test]
async fn a_change_of_capture_reaches_every_key() {
    let plane = Plane::new();
    let minted = super::keys::mint(&plane, json!({})).await;
    let key = super::keys::path_of(&minted);
    plane.announced();
    let body = json!({ "payloadCaptureDefault": "redacted" });
    plane.patch("/api/organization", body).await.fine(200);
    // A kind without an id makes gateways drop all that they hold of the organization.
    assert_eq!(plane.announced(), ["ROUTING_POLICY_UPDATED"]);
    let got = plane.get(&key).await.fine(200);
    assert_eq!(got["virtual_key"]["revision"], "2");
    let body = json!({ "payloadCaptureEnabled": false });
    plane.patch("/api/organization", body).await.fine(200);
    assert_eq!(plane.announced(), ["ROUTING_POLICY_UPDATED"]);
    let body = json!({ "payloadCaptureEnabled": false, "presenceEnabled": false });
    plane.patch("/api/organization", body).await.fine(200);
    assert_eq!(plane.announced(), Vec::<&str>::new());
    let got = plane.get(&key).await.fine(200);
    assert_eq!(got["virtual_key"]["revision"], "3");
}

#[tokio::test]
async fn who_saw_an_older_version_is_told_the_newest() {
    let plane = Plane::new();
    let path = "/api/organization";
    let first = plane.get(path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let newest = plane.patch(path, json!({ "name": "A" })).await.fine(200);
    let headers = [("if-match", tag.as_str())];
    let body = Some(json!({ "name": "B" }));
    let got = plane
        .call_with(&plane.acme, Method::PATCH, path, &headers, body.clone())
        .await;
    assert_eq!(word(&got), (409, "revision_conflict".into()));
    assert_eq!(got.json()["current"], newest);
    let tag = plane.get(path).await;
    let headers = [("if-match", tag.header("etag").expect("a tag"))];
    plane
        .call_with(&plane.acme, Method::PATCH, path, &headers, body)
        .await
        .fine(200);
}

#[tokio::test]
async fn of_patches_at_once_none_is_lost() {
    let plane = Plane::new();
    let path = "/api/organization";
    race(&plane, path, "management.organization.update", "name").await;
}

#[tokio::test]
async fn only_who_may_manage_the_organization_changes_it() {
    let plane = Plane::new();
    let viewer = holding(&plane, "viewer", &["organization:view"]);
    let project = project_token("acme", "default");
    let path = "/api/organization";
    let body = || Some(json!({ "name": "B" }));
    let got = plane
        .call_with(&viewer, Method::PATCH, path, &[], body())
        .await;
    assert_eq!(word(&got), (403, "insufficient_permissions".into()));
    assert_eq!(got.json()["required_permission"], "organization:manage");
    let got = plane.call_with(&viewer, Method::GET, path, &[], None).await;
    got.fine(200);
    let got = plane
        .call_with(&project, Method::GET, path, &[], None)
        .await;
    assert_eq!(word(&got), (401, "credential_class_mismatch".into()));
    // An owner who is no administrator cuts the key.
    let member = of_person(&plane, "mia", MemberRole::Member);
    let got = plane
        .call_with(&member, Method::PATCH, path, &[], body())
        .await;
    assert_eq!(got.status.as_u16(), 403);
    let runs = of_person(&plane, "ada", MemberRole::Admin);
    plane
        .call_with(&runs, Method::PATCH, path, &[], body())
        .await
        .fine(200);
    let actor = plane.audit().remove(0).user_id;
    assert_eq!(actor.as_deref(), Some("user_ada"));
}

/// Binds a person at the organization.
pub(super) fn bind_person(plane: &Plane, name: &str, role: BoundRole) {
    let user = lw_core::UserId::parse(&format!("user_{name}")).expect("an id");
    let bindings = [(role, None, "organization", "acme")];
    plane.bind(
        "acme",
        &format!("p-{name}"),
        &Principal::User(user),
        &bindings,
    );
}
