//! What a budget says was spent is what was charged to its buckets, from an opening on.

use std::collections::BTreeMap;

use lw_core::{BudgetId, UnixMicros, UserId};
use lw_engine::period::{Schedule, Window};
use lw_store::rows::{Budget, BudgetTarget, Enforcement, OnBreach};

use super::*;
use crate::tests::errors::Gone;
use crate::{Books, open_missing_budgets};

/// A live budget that came into the store without the API: an older version left it, with no opening.
fn left_behind(plane: &Plane, name: &str, target: BudgetTarget, window: Window) -> Budget {
    let schedule = Schedule::opening(window, None, NOW);
    let row = Budget {
        id: BudgetId::parse(&format!("bgt_{name}")).expect("an id"),
        organization_id: organization("acme"),
        name: name.to_owned(),
        description: None,
        target,
        provider_key: None,
        window: window.as_str().to_owned(),
        limit: NanoUsd(5_000_000_000),
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: None,
        current_period_started_at: schedule.period_started_at,
        resets_at: schedule.resets_at,
        last_reset_at: None,
        external_id: None,
        metadata: BTreeMap::new(),
        managed_by_virtual_key_id: None,
        archived_at: None,
        created_by: "somebody".into(),
        made_from: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    };
    let write = [Write::InsertBudget(&row)];
    let quiet = quiet(&format!("budget-{name}"));
    plane.store.commit(&write, &quiet).expect("a budget");
    row
}

fn books(plane: &Plane) -> Books<'_> {
    Books {
        store: &*plane.store,
        ledger: &*plane.ledger,
        team_budget_principals: true,
    }
}

async fn spent(plane: &Plane, path: &str) -> Value {
    plane.get(path).await.fine(200)["budget"]["spent_usd"].clone()
}

/// The budgets of a key, as (id, spent).
async fn of_key(plane: &Plane, key: &str) -> Vec<(Value, Value)> {
    let path = format!("/api/gateway/v1/virtual-keys/{key}/budgets");
    let listed = plane.get(&path).await.fine(200);
    let rows = listed["data"].as_array().expect("rows").iter();
    rows.map(|row| (row["id"].clone(), row["spent_usd"].clone()))
        .collect()
}

fn move_member(plane: &Plane, user: &UserId, joins: bool) {
    let (organization, group) = (organization("acme"), GroupId::parse("grp_both"));
    let (organization, group) = (&organization, &group.expect("an id"));
    let write = if joins {
        Write::AddGroupMember {
            organization,
            group,
            user,
        }
    } else {
        Write::RemoveGroupMember {
            organization,
            group,
            user,
        }
    };
    let quiet = quiet(&format!("move-{user}-{joins}"));
    plane.store.commit(&[write], &quiet).expect("moves");
}

#[tokio::test]
async fn spend_stays_where_it_was_charged_whoever_joins_or_leaves() {
    let plane = Plane::new();
    let people = ["anna", "otto", "eva"];
    let [anna, otto, eva] = people.map(|name| plane.member("acme", name, MemberRole::Member));
    group(&plane, "both", &[&anna, &otto]);
    let mut keys = Vec::new();
    for user in [&anna, &otto, &eva] {
        keys.push(id_of(
            &mint(&plane, json!({ "principal_user_id": user })).await,
        ));
    }
    let governance = project("acme", "governance");
    for (key, usd) in keys.iter().zip(["1", "20", "300"]) {
        spend(&plane, key, &governance, None, usd, -HOUR);
    }
    let scope = json!({ "kind": "group", "group_id": "grp_both" });
    let (path, budget) = create(&plane, json!({ "scope": scope })).await;
    assert_eq!(budget["spent_usd"], "21", "what its members spent before");
    let id = budget["id"].as_str().expect("an id").to_owned();

    move_member(&plane, &eva, true);
    move_member(&plane, &otto, false);
    assert_eq!(spent(&plane, &path).await, "21");
    let bucket = |user: &UserId| json!([format!("{id}:{user}")]).to_string();
    charge(&plane, &keys[0], &bucket(&anna), "4000", HOUR);
    charge(&plane, &keys[2], &bucket(&eva), "50000", HOUR);
    charge(&plane, &keys[1], "", "600000", HOUR);
    let read = plane.get(&path).await.fine(200);
    assert_eq!(read["budget"]["spent_usd"], "54021");
    assert_eq!(read["budget"]["member_count"], 2);
    for (key, own) in [(0, Some("4001")), (1, None), (2, Some("50000"))] {
        let expected: Vec<_> = own.map(|own| (json!(id), json!(own))).into_iter().collect();
        assert_eq!(of_key(&plane, &keys[key]).await, expected);
    }
}

#[tokio::test]
async fn a_reset_and_the_end_of_a_period_leave_the_opening_behind() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let governance = project("acme", "governance");
    spend(&plane, &key, &governance, None, "3", -20 * HOUR);
    spend(&plane, &key, &governance, None, "40", -HOUR);
    let (month, budget) = create(&plane, json!({})).await;
    let (day, daily) = create(&plane, json!({ "window": "day" })).await;
    assert_eq!(budget["spent_usd"], "43");
    assert_eq!(daily["spent_usd"], "40");
    let both = json!([budget["id"], daily["id"]]).to_string();
    charge(&plane, &key, &both, "500", 1);
    assert_eq!(spent(&plane, &month).await, "543");
    assert_eq!(spent(&plane, &day).await, "540");
    plane.clock.set(NOW.plus_micros(24 * HOUR));
    assert_eq!(spent(&plane, &month).await, "543");
    assert_eq!(spent(&plane, &day).await, "0");
    plane.clock.set(NOW.plus_micros(1_000));
    plane
        .post(&format!("{month}/reset"), json!({}))
        .await
        .fine(200);
    assert_eq!(spent(&plane, &month).await, "0", "charged before the reset");
    charge(&plane, &key, &both, "6000", 1_000);
    assert_eq!(spent(&plane, &month).await, "6000", "charged since");
}

#[tokio::test]
async fn a_keys_own_budget_knows_earlier_spend_whatever_its_window_becomes() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let governance = project("acme", "governance");
    // Early in the month, last Saturday, and today, which is a Monday.
    for (usd, at) in [("1", -500), ("20", -48), ("300", -2)] {
        spend(&plane, &key, &governance, None, usd, at * HOUR);
    }
    let path = format!("/api/gateway/v1/virtual-keys/{key}");
    for (window, expected) in [("day", "300"), ("month", "321"), ("week", "300")] {
        let budget = json!({ "limit_usd": 25, "window": window });
        plane
            .patch(&path, json!({ "budget": budget }))
            .await
            .fine(200);
        let found = of_key(&plane, &key).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, expected, "{window}");
    }
    plane.clock.set(NOW.plus_micros(24 * HOUR));
    assert_eq!(of_key(&plane, &key).await[0].1, "300", "still this week");
}

#[tokio::test]
async fn a_template_counts_its_end_users_and_who_is_over_each_in_an_own_period() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let scope = json!({ "kind": "attributed_user", "anchor_virtual_key_id": key });
    let (path, budget) = create(&plane, json!({ "scope": scope, "limit_usd": 5 })).await;
    let standing = async || {
        let read = plane.get(&path).await.fine(200)["budget"].clone();
        assert_eq!(read["spent_usd"], Value::Null);
        [
            read["end_users_seen"].clone(),
            read["end_users_over"].clone(),
        ]
    };
    assert_eq!(
        [&budget["end_users_seen"], &budget["end_users_over"]],
        [&json!(0), &json!(0)]
    );
    let id = budget["id"].as_str().expect("an id");
    for (user, usd, at) in [
        ("a", "4.999999999", -2 * HOUR),
        ("b|c:d", "5", -2 * HOUR),
        ("e", "5", -2 * HOUR),
        ("last month", "50", -600 * HOUR),
    ] {
        let bucket = json!([format!("{id}:{user}")]).to_string();
        charge(&plane, &key, &bucket, usd, at);
    }
    assert_eq!(standing().await, [3, 2]);
    let reset = async |user: &str| {
        let reset = format!("{path}/reset?end_user_id={user}");
        plane.post(&reset, json!({})).await.fine(200);
    };
    reset("b%7Cc%3Ad").await;
    reset("nobody").await;
    assert_eq!(standing().await, [2, 1], "not seen since");
    let bucket = json!([format!("{id}:b|c:d")]).to_string();
    charge(&plane, &key, &bucket, "4", 1_000_000);
    plane.clock.set(NOW.plus_micros(HOUR));
    assert_eq!(standing().await, [3, 1]);
    charge(&plane, &key, &bucket, "1", HOUR);
    assert_eq!(standing().await, [3, 2]);
    plane
        .post(&format!("{path}/reset"), json!({}))
        .await
        .fine(200);
    // What arrived in the very instant belongs to the new period.
    assert_eq!(standing().await, [1, 0]);
}

#[tokio::test]
async fn more_end_users_than_one_page_are_all_counted() {
    let plane = Plane::new();
    let key = id_of(&mint(&plane, json!({})).await);
    let scope = json!({ "kind": "attributed_user", "anchor_virtual_key_id": key });
    let (path, budget) = create(&plane, json!({ "scope": scope, "limit_usd": 5 })).await;
    let id = budget["id"].as_str().expect("an id");
    let entries: Vec<Entry> = (0..2_001)
        .map(|n| {
            let bucket = json!([format!("{id}:user {n}")]).to_string();
            let usd = if n % 3 == 0 { "5" } else { "1" };
            charged(&key, &project("acme", "governance"), &bucket, usd, NOW)
        })
        .collect();
    plane.ledger.append(&entries, &[]).expect("stored");
    let read = plane.get(&path).await.fine(200)["budget"].clone();
    assert_eq!(
        (&read["end_users_seen"], &read["end_users_over"]),
        (&json!(2_001), &json!(667))
    );
}

#[tokio::test]
async fn budgets_of_an_older_version_are_opened_once_at_what_was_spent() {
    let plane = Plane::new();
    let anna = plane.member("acme", "anna", MemberRole::Member);
    let both = group(&plane, "both", &[&anna]);
    let free = id_of(&mint(&plane, json!({})).await);
    let of_anna = id_of(&mint(&plane, json!({ "principal_user_id": anna })).await);
    let whole = BudgetTarget::Organization(organization("acme"));
    let month = left_behind(&plane, "month", whole.clone(), Window::Month);
    let total = left_behind(&plane, "total", whole, Window::Total);
    let of_group = left_behind(&plane, "group", BudgetTarget::Group(both), Window::Month);
    let anchor = VirtualKeyId::parse(&free).expect("an id");
    let anchor = BudgetTarget::EndUsersOfKey(anchor);
    let template = left_behind(&plane, "template", anchor, Window::Month);
    let governance = project("acme", "governance");
    for (key, usd, at) in [
        (&free, "1", -HOUR),
        (&of_anna, "20", -HOUR),
        (&free, "300", -900 * HOUR),
    ] {
        spend(&plane, key, &governance, None, usd, at);
    }
    let (_, own) = create(&plane, json!({})).await;
    assert_eq!(own["spent_usd"], "21");
    let group_gone = BudgetTarget::Group(group(&plane, "gone", &[&anna]));
    left_behind(&plane, "orphan", group_gone, Window::Month);
    let whole = BudgetTarget::Organization(organization("acme"));
    let mut odd = left_behind(&plane, "odd", whole, Window::Month);
    odd.window = "fortnight".into();
    let writes = [
        Write::DeleteGroup {
            organization: &organization("acme"),
            id: &GroupId::parse("grp_gone").expect("an id"),
        },
        Write::UpdateBudget {
            row: &odd,
            expected: 1,
        },
    ];
    plane.store.commit(&writes, &quiet("odd")).expect("changes");
    let opened = open_missing_budgets(books(&plane), NOW).expect("opens");
    assert_eq!(opened, 5, "all but the odd one");
    let expected = [
        (&month, json!("21")),
        (&total, json!("321")),
        (&of_group, json!("20")),
    ];
    for (row, spent_usd) in expected.into_iter().chain([(&template, Value::Null)]) {
        let path = format!("{BUDGETS}/{}", row.id);
        assert_eq!(spent(&plane, &path).await, spent_usd, "{}", row.name);
    }
    spend(&plane, &free, &governance, None, "4000", 0);
    let again = open_missing_budgets(books(&plane), NOW).expect("opens");
    assert_eq!(again, 0);
    let path = format!("{BUDGETS}/{}", month.id);
    assert_eq!(spent(&plane, &path).await, "21");
    let gone = Books {
        ledger: &Gone,
        ..books(&plane)
    };
    assert!(open_missing_budgets(gone, UnixMicros(0)).is_err());
}

#[tokio::test]
async fn without_a_ledger_no_figure_is_shown_and_no_budget_is_created() {
    let plane = Plane::with(|admin| admin.ledger = std::sync::Arc::new(Gone));
    let refused = plane.post(BUDGETS, body(json!({}))).await;
    assert_eq!(refused.code(), (503, "internal_error".into()));
    let listed = plane.get(BUDGETS).await.fine(200);
    assert_eq!(listed["data"], json!([]));

    let key = id_of(&mint(&plane, json!({})).await);
    let own = json!({ "budget": { "limit_usd": 25, "window": "month" } });
    let path = format!("/api/gateway/v1/virtual-keys/{key}");
    assert_eq!(plane.patch(&path, own).await.status.as_u16(), 503);
    let id = VirtualKeyId::parse(&key).expect("an id");
    let found = plane.store.own_budget(&organization("acme"), &id);
    assert_eq!(found.expect("asked"), None);

    let whole = BudgetTarget::Organization(organization("acme"));
    let row = left_behind(&plane, "plain", whole, Window::Month);
    let template = BudgetTarget::EndUsersOfKey(id);
    left_behind(&plane, "template", template, Window::Month);
    let path = format!("{BUDGETS}/{}", row.id);
    for answer in [plane.get(&path).await, plane.get(BUDGETS).await] {
        let answer = answer.fine(200);
        assert_eq!(answer["spend_available"], false);
        let one = answer.get("budget").map(std::slice::from_ref);
        let all = one.unwrap_or_else(|| answer["data"].as_array().expect("rows"));
        for budget in all {
            assert_eq!(
                (&budget["spent_usd"], &budget["spent_nano_usd"]),
                (&json!(null), &json!(null))
            );
            assert_eq!(budget.get("end_users_seen"), None);
        }
    }
}
