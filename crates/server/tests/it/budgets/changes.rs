//! Changes of a budget hold from the next request on.

use serde_json::{Value, json};

use super::{BUDGETS, LIMIT, Stand, refused, usd};

/// A thing that is done to a spent budget, and the status of the next request.
type Step<'a> = (&'a str, Box<dyn Fn() + 'a>, u16);

#[test]
fn the_next_request_meets_the_budget_as_it_was_left() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    // The bundle is held before there is any budget.
    stand.spent(&key, 10_000);
    let budget = stand.org_budget(json!({ "window": "manual" }));
    let path = format!("{BUDGETS}/{budget}");
    let patch = |body: Value| -> Box<dyn Fn() + '_> {
        let (stand, budget) = (&stand, &budget);
        Box::new(move || stand.patch(budget, &body))
    };
    let reset = || {
        let stand = &stand;
        let path = format!("{path}/reset");
        Box::new(move || {
            let reset = stand.post(&path, &json!({ "reason": "a test" }), 200);
            assert_eq!(reset["budget"]["spent_nano_usd"], 0, "{reset}");
        }) as Box<dyn Fn()>
    };
    // Every call that is served costs the limit.
    let steps: Vec<Step<'_>> = vec![
        ("made", Box::new(|| ()), 200),
        ("spent", Box::new(|| ()), 402),
        ("raised", patch(json!({ "limit_usd": usd(3 * LIMIT) })), 200),
        ("lowered", patch(json!({ "limit_usd": usd(LIMIT) })), 402),
        ("reset", reset(), 200),
        ("spent again", Box::new(|| ()), 402),
        ("only warns", patch(json!({ "on_breach": "warn" })), 200),
        ("blocks", patch(json!({ "on_breach": "block" })), 402),
        ("reset once more", reset(), 200),
        ("reset at once", reset(), 200),
    ];
    for (what, act, status) in steps {
        act();
        let answer = stand.spend(&key, LIMIT);
        assert_eq!(answer.status(), status, "{what}: {}", answer.text());
        if status == 402 {
            refused(&answer, &budget, "organization", "manual");
        }
    }
    assert_eq!(stand.spend(&key, LIMIT).status(), 402);
    stand.gateway.api("DELETE", &path, None).fine(200);
    stand.spent(&key, LIMIT);
}

#[test]
fn a_reset_leaves_the_call_that_is_under_way_in_the_period_that_it_began_in() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let budget = stand.org_budget(json!({ "window": "manual" }));
    let held = super::body(
        super::MODEL,
        Some(1),
        &json!({"delay_head_ms": 300, "usage": {"prompt_tokens": 990, "output_tokens": 1}}),
    );
    let ask = crate::support::Ask::post(super::CHAT, &key.secret, &held);
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| stand.gateway.call(&ask));
        crate::support::eventually("it is under way", || (stand.dialled() == 1).then_some(()));
        // It holds more than half of the limit.
        assert_eq!(stand.spend(&key, LIMIT).status(), 402);
        stand.post(&format!("{BUDGETS}/{budget}/reset"), &json!({}), 200);
        stand.spent(&key, LIMIT);
        let slow = slow.join().expect("an answer");
        assert_eq!(slow.status(), 200, "{}", slow.text());
        assert_eq!(
            stand.spent_after(&budget, &slow.request_id()),
            LIMIT,
            "the slow one belongs to the period before"
        );
    });
    let answer = stand.spend(&key, LIMIT);
    refused(&answer, &budget, "organization", "manual");
    // What it did not give back to the new period it does not owe there either.
    stand.patch(&budget, &json!({ "limit_usd": usd(2 * LIMIT) }));
    stand.spent(&key, LIMIT);
}

#[test]
fn a_new_budget_counts_what_was_spent_before_in_its_period() {
    let stand = Stand::start();
    let (team, project) = stand.team("eng");
    let person = stand.person("anna");
    let of_team = stand.key_of(&team, &project);
    let of_anna = stand.key(json!({ "principal_user_id": person }));
    let group = json!({"name": "makers", "memberIds": [person]});
    let group = super::id_of(&stand.post("/api/groups", &group, 201));
    stand.spent(&of_team, LIMIT);
    let last = stand.spent(&of_anna, LIMIT);
    stand.gateway.book().ended(&last.request_id());
    // What the calls under each manual budget add to the figures of the next.
    let mut spent = std::collections::BTreeMap::from([
        (of_team.id.clone(), LIMIT),
        (of_anna.id.clone(), LIMIT),
    ]);
    for (scope, name, key) in [
        (json!({"kind": "team", "team_id": team}), "team", &of_team),
        (
            json!({"kind": "project", "project_id": project}),
            "project",
            &of_team,
        ),
        (
            json!({"kind": "virtual_key", "virtual_key_id": of_team.id}),
            "virtual_key",
            &of_team,
        ),
        (
            json!({"kind": "principal", "principal_user_id": person}),
            "principal",
            &of_anna,
        ),
        (
            json!({"kind": "group", "group_id": group}),
            "group",
            &of_anna,
        ),
    ] {
        for (window, status) in [("total", 402), ("month", 402), ("manual", 200)] {
            let budget = stand.budget(&scope, json!({ "window": window }));
            let shown = stand.shown(&budget)["spent_nano_usd"].clone();
            let before = if status == 402 { spent[&key.id] } else { 0 };
            assert_eq!(shown, before, "{name} {window}");
            let answer = stand.spend(key, 10_000);
            assert_eq!(
                answer.status(),
                status,
                "{name} {window}: {}",
                answer.text()
            );
            if status == 402 {
                refused(&answer, &budget, name, window);
            } else {
                assert_eq!(stand.spent_after(&budget, &answer.request_id()), 10_000);
                *spent.entry(key.id.clone()).or_default() += 10_000;
            }
            stand
                .gateway
                .api("DELETE", &format!("{BUDGETS}/{budget}"), None)
                .fine(200);
        }
    }
}
