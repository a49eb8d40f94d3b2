//! Whose calls count toward which budget, and until when.

use serde_json::{Value, json};

use super::{BUDGETS, LIMIT, Stand, refused, usd};
use crate::support::{Ask, Key};

/// A scope, whose spend counts toward it and whose does not.
struct Case {
    name: &'static str,
    scope: Value,
    counted: Key,
    /// Of a budget for end users: who asks.
    user: Option<&'static str>,
    /// Others, with the end user that they name.
    apart: Vec<(Key, Option<&'static str>)>,
}

impl Case {
    fn ask(key: &Key, user: Option<&str>, nano: i64) -> Ask {
        let mut body = super::body_costing(super::MODEL, nano);
        if let Some(user) = user {
            body["user"] = user.into();
        }
        Ask::post(super::CHAT, &key.secret, body)
    }
}

fn cases(stand: &Stand) -> Vec<Case> {
    let (eng, web) = stand.team("eng");
    let (data, bot) = stand.team("data");
    let (anna, otto) = (stand.person("anna"), stand.person("otto"));
    let group = json!({"name": "makers", "memberIds": [anna, otto]});
    let group = super::id_of(&stand.post("/api/groups", &group, 201));
    let of_eng = stand.key_of(&eng, &web);
    let of_data = stand.key_of(&data, &bot);
    let of_all = stand.key(json!({}));
    let of_anna = stand.key(json!({ "principal_user_id": anna }));
    let of_otto = stand.key(json!({ "principal_user_id": otto }));
    let other = |key: &Key| (key.clone(), None);
    let case = |name, scope, counted: &Key, apart| Case {
        name,
        scope,
        counted: counted.clone(),
        user: None,
        apart,
    };
    vec![
        case("organization", stand.whole(), &of_all, vec![]),
        case(
            "team",
            json!({"kind": "team", "team_id": eng}),
            &of_eng,
            vec![other(&of_data), other(&of_all), other(&of_anna)],
        ),
        case(
            "project",
            json!({"kind": "project", "project_id": web}),
            &of_eng,
            vec![other(&of_data), other(&of_all)],
        ),
        case(
            "virtual_key",
            json!({"kind": "virtual_key", "virtual_key_id": of_all.id}),
            &of_all,
            vec![other(&of_eng), other(&of_anna)],
        ),
        case(
            "principal",
            json!({"kind": "principal", "principal_user_id": anna}),
            &of_anna,
            vec![other(&of_otto), other(&of_all)],
        ),
        // Each member has an allowance: otto's is not anna's.
        case(
            "group",
            json!({"kind": "group", "group_id": group}),
            &of_anna,
            vec![other(&of_otto), other(&of_all)],
        ),
        Case {
            name: "attributed_user",
            scope: json!({"kind": "attributed_user", "anchor_virtual_key_id": of_eng.id}),
            counted: of_eng.clone(),
            user: Some("u-1"),
            apart: vec![
                (of_eng.clone(), Some("u-2")),
                (of_data.clone(), Some("u-1")),
            ],
        },
        Case {
            name: "attributed_user",
            scope: json!({"kind": "attributed_user", "anchor_project_id": web}),
            counted: of_eng.clone(),
            user: Some("u-1"),
            apart: vec![(of_eng, Some("u-3")), (of_data, Some("u-1"))],
        },
    ]
}

#[test]
fn every_scope_blocks_those_whose_spend_counts_and_nobody_else() {
    let stand = Stand::start();
    for case in cases(&stand) {
        let Case {
            name,
            scope,
            counted,
            user,
            apart,
        } = case;
        // What was spent for the cases before does not count: it begins when it is made.
        let budget = stand.budget(&scope, json!({ "window": "manual" }));
        let answer = stand.gateway.call(&Case::ask(&counted, user, LIMIT));
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
        assert_eq!(answer.header("x-langwatch-budget-warning"), None, "{name}");
        let dialled = stand.dialled();
        let answer = stand.gateway.call(&Case::ask(&counted, user, LIMIT));
        refused(&answer, &budget, name, "manual");
        assert_eq!(stand.dialled(), dialled, "{name}: nothing is dialled");
        if name != "attributed_user" {
            let id = answer.request_id();
            assert_eq!(stand.spent_after(&budget, &id), LIMIT, "{name}");
        }
        for (key, user) in apart {
            let answer = stand.gateway.call(&Case::ask(&key, user, 10_000));
            assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
        }
        // The same one only warns, from the next request on.
        stand.patch(&budget, &json!({ "on_breach": "warn" }));
        let answer = stand.gateway.call(&Case::ask(&counted, user, 10_000));
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
        let warning = format!("{name}:100");
        assert_eq!(
            answer.header("x-langwatch-budget-warning"),
            Some(warning.as_str()),
            "{name}"
        );
        stand
            .gateway
            .api("DELETE", &format!("{BUDGETS}/{budget}"), None)
            .fine(200);
    }
}

#[test]
fn every_window_blocks_until_its_period_is_over() {
    let stand = Stand::start();
    for window in ["minute", "hour", "day", "week", "month", "total", "manual"] {
        // Again when a period ended meanwhile, which the figures tell.
        loop {
            let key = stand.key(json!({}));
            let scope = json!({"kind": "virtual_key", "virtual_key_id": key.id});
            let budget = stand.budget(&scope, json!({ "window": window }));
            let began = stand.shown(&budget)["current_period_started_at"].clone();
            let first = stand.spend(&key, LIMIT);
            let second = stand.spend(&key, LIMIT);
            let spent = stand.spent_after(&budget, &second.request_id());
            if stand.shown(&budget)["current_period_started_at"] != began {
                continue;
            }
            assert_eq!(first.status(), 200, "{window}: {}", first.text());
            refused(&second, &budget, "virtual_key", window);
            assert_eq!(spent, LIMIT, "{window}");
            break;
        }
    }
}

#[test]
fn the_period_of_a_minute_gives_back_all_of_it() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let scope = json!({"kind": "virtual_key", "virtual_key_id": key.id});
    // A cycle of its own that ends in two seconds: nobody waits for the calendar's.
    let now = lw_core::Clock::now(&lw_core::SystemClock);
    let anchor = lw_core::UnixMicros(now.0 + 2_000_000).to_rfc3339();
    let anchored = json!({ "window": "minute", "cycle_anchor_at": anchor });
    let budget = stand.budget(&scope, anchored);
    // Before its anchor nothing counts.
    let early = stand.spend(&key, LIMIT);
    let again = stand.spend(&key, LIMIT);
    assert_eq!((early.status(), again.status()), (200, 200));
    let blocked = crate::support::eventually("the cycle begins and is spent", || {
        let answer = stand.spend(&key, LIMIT);
        (answer.status() == 402).then_some(answer)
    });
    refused(&blocked, &budget, "virtual_key", "minute");
    let spent = stand.spent_after(&budget, &blocked.request_id());
    assert_eq!(spent, LIMIT, "what came before the anchor is not in it");
}

#[test]
fn a_keys_own_budget_blocks_it_and_goes_with_a_change_of_the_key() {
    let stand = Stand::start();
    let own = |limit: i64, breach: &str| json!({"budget": {"limit_usd": usd(limit), "window": "day", "on_breach": breach}});
    let key = stand.key(own(LIMIT, "block"));
    let other = stand.key(json!({}));
    stand.spent(&key, LIMIT);
    let listed = stand.gateway.api("GET", BUDGETS, None).fine(200);
    let budget = super::id_of(&listed["data"][0]);
    let answer = stand.spend(&key, LIMIT);
    refused(&answer, &budget, "virtual_key", "day");
    stand.spent(&other, LIMIT);
    for (change, status, warning) in [
        (own(4 * LIMIT, "block"), 200, None),
        (own(LIMIT + 10_000, "block"), 402, None),
        (own(LIMIT, "warn"), 200, Some("virtual_key:100")),
        (json!({ "budget": null }), 200, None),
    ] {
        stand.gateway.patch_key(&key, &change).fine(200);
        let answer = stand.spend(&key, 10_000);
        assert_eq!(answer.status(), status, "{change}: {}", answer.text());
        assert_eq!(
            answer.header("x-langwatch-budget-warning"),
            warning,
            "{change}"
        );
    }
}

#[test]
fn a_keys_own_budget_counts_its_new_window_when_that_changes() {
    let stand = Stand::start();
    let own =
        |window: &str, limit: i64| json!({"budget": {"limit_usd": usd(limit), "window": window}});
    let key = stand.key(own("day", LIMIT));
    stand.spent(&key, LIMIT);
    let listed = stand.gateway.api("GET", BUDGETS, None).fine(200);
    let budget = super::id_of(&listed["data"][0]);
    refused(&stand.spend(&key, LIMIT), &budget, "virtual_key", "day");
    // What was spent today was spent in this week and in this month, and the other way round.
    for window in ["month", "day", "week", "day"] {
        stand.gateway.patch_key(&key, &own(window, LIMIT)).fine(200);
        refused(&stand.spend(&key, LIMIT), &budget, "virtual_key", window);
    }
    let more = own("month", 2 * LIMIT);
    stand.gateway.patch_key(&key, &more).fine(200);
    let last = stand.spent(&key, LIMIT);
    refused(&stand.spend(&key, LIMIT), &budget, "virtual_key", "month");
    assert_eq!(stand.spent_after(&budget, &last.request_id()), 2 * LIMIT);
}

#[test]
fn the_key_of_a_person_counts_toward_the_teams_of_that_person_unless_it_names_one() {
    for (setting, status) in [("true", 402), ("false", 200)] {
        let stand = Stand::start_with(&[("LW_GATEWAY_TEAM_BUDGET_PRINCIPALS", setting)]);
        let ((eng, _), (data, bot)) = (stand.team("eng"), stand.team("data"));
        let anna = stand.person("anna");
        let members = format!("/api/teams/{eng}/members");
        stand
            .gateway
            .api("POST", &members, Some(&json!({ "userId": anna })));
        let scope = json!({"kind": "team", "team_id": eng});
        let budget = stand.budget(&scope, json!({ "allow_unreachable": true }));
        let key = stand.key(json!({ "principal_user_id": anna }));
        let elsewhere = stand.key(json!({
            "principal_user_id": anna, "trace_project_id": bot,
            "scopes": [{"scope_type": "team", "scope_id": data}],
        }));
        stand.spent(&key, LIMIT);
        let answer = stand.spend(&key, LIMIT);
        assert_eq!(answer.status(), status, "{setting}: {}", answer.text());
        if status == 402 {
            refused(&answer, &budget, "team", "month");
        }
        stand.spent(&elsewhere, LIMIT);
    }
}
