//! Several budgets that apply to one call from different directions, and several attempts at one call.

use lw_mock::{Match, Script};
use serde_json::{Value, json};

use super::{BUDGETS, CHAT, MODEL, OUTPUT, Stand, body, most_of, refused, usd};
use crate::support::{Ask, Conn, Key, directive, eventually};

/// The three figures as an administrator reads them.
fn figures(stand: &Stand, budgets: &[String; 3]) -> [i64; 3] {
    budgets.each_ref().map(|budget| {
        stand.shown(budget)["spent_nano_usd"]
            .as_i64()
            .expect("a figure")
    })
}

#[test]
fn budgets_of_key_team_and_organization_hold_and_settle_together() {
    let stand = Stand::start();
    let (team, project) = stand.team("eng");
    let (key, mate) = (stand.key_of(&team, &project), stand.key_of(&team, &project));
    let stranger = stand.key(json!({}));
    let stalled = body(
        MODEL,
        Some(10),
        &json!({"stall_after_frames": 2, "frames": 5}),
    );
    let mut stalled = stalled;
    stalled["stream"] = true.into();
    let hold = most_of(&stalled, 10);
    // One such call and a bit fit into each.
    let limit = json!({ "limit_usd": usd(hold + hold / 2_000 * 1_000) });
    let budgets = [
        stand.org_budget(limit.clone()),
        stand.budget(&json!({"kind": "team", "team_id": team}), limit.clone()),
        stand.budget(
            &json!({"kind": "virtual_key", "virtual_key_id": key.id}),
            limit.clone(),
        ),
    ];
    let [org, of_team, of_key] = &budgets;
    let small = |key: &Key| {
        let body = body(MODEL, Some(10), &json!({}));
        stand.gateway.call(&Ask::post(CHAT, &key.secret, body))
    };
    let open = Conn::open(stand.gateway.addr).start(&Ask::post(CHAT, &key.secret, &stalled));
    assert_eq!(open.head.status, 200);
    let id = open.request_id();
    // The first in the order of scopes refuses, and what it refuses holds nothing in the others.
    for whose in [&key, &mate, &stranger] {
        refused(&small(whose), org, "organization", "month");
    }
    let more = json!({ "limit_usd": usd(10 * hold) });
    stand.patch(org, &more);
    assert_eq!(small(&stranger).status(), 200);
    for whose in [&key, &mate] {
        refused(&small(whose), of_team, "team", "month");
    }
    stand.patch(of_team, &more);
    let mates = small(&mate);
    assert_eq!(mates.status(), 200);
    refused(&small(&key), of_key, "virtual_key", "month");
    // The caller hangs up: all three give back what it did not use.
    drop(open);
    let entry = stand.gateway.book().ended(&id);
    assert!(
        entry.amount.0 > 0 && entry.amount.0 < hold / 2,
        "{entry:#?}"
    );
    let last = eventually("the hold is given back", || {
        let answer = small(&key);
        (answer.status() == 200).then_some(answer)
    });
    stand.gateway.book().ended(&last.request_id());
    let rows = crate::crash::views::rows(&stand.gateway.data(), [0; 15]);
    let sum: i64 = rows
        .values()
        .flatten()
        .filter(|entry| entry.kind != lw_store::ledger::EntryKind::Hold)
        .map(|entry| entry.amount.0)
        .sum();
    let [all, teams, keys] = figures(&stand, &budgets);
    assert_eq!(all, sum);
    let of =
        |answer: &crate::support::Answer| stand.gateway.book().ended(&answer.request_id()).amount.0;
    assert_eq!(keys, entry.amount.0 + of(&last));
    assert_eq!(teams, keys + of(&mates));
    // Nothing is held any more: what is left of each fits to the micro-dollar.
    for budget in &budgets {
        stand.has_no_hold_left(&key, budget);
    }
}

#[test]
fn an_attempt_that_fails_gives_back_what_it_held_before_the_next_one_holds() {
    let stand = Stand::start();
    let second = stand.gateway.openai(&stand.mock, "sk-cash-second");
    let key = stand.key(json!({ "routing_mode": "fallback_all" }));
    let asked = body(MODEL, Some(10), &Value::Object(serde_json::Map::new()));
    let hold = most_of(&asked, 10);
    let once = json!({ "limit_usd": usd(hold + 100 * OUTPUT) });
    let by = |provider: &str| {
        let mut fields = once.clone();
        fields["provider_key"] = provider.into();
        stand.org_budget(fields)
    };
    let (by_first, by_second) = (by(&stand.openai), by(&second));
    // Room for one hold, not for two.
    let both = stand.org_budget(once.clone());
    let ask = Ask::post(CHAT, &key.secret, &asked);
    for (how, costs) in [
        (json!({ "status": 503 }), false),
        (json!({ "status": 429 }), false),
        (json!({ "status": 500 }), false),
        // It may have been read: its input is charged, as an estimate.
        (json!({ "reset_before_head": true }), true),
        (
            json!({ "malformed_json": true, "close_before_head": true }),
            true,
        ),
    ] {
        for budget in [&by_first, &by_second, &both] {
            stand.post(&format!("{BUDGETS}/{budget}/reset"), &json!({}), 200);
        }
        let first = Match {
            api_key: Some("sk-cash-first".into()),
            ..Match::default()
        };
        stand
            .mock
            .script(Script::once(directive(&how)).matching(first));
        let answer = stand.gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{how}: {}", answer.text());
        assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
        let id = answer.request_id();
        let settled = eventually("both attempts are over", || {
            let entries = stand.gateway.book().entries(&id);
            let ends = entries
                .iter()
                .filter(|entry| entry.kind != lw_store::ledger::EntryKind::Hold);
            let ends: Vec<i64> = ends.map(|entry| entry.amount.0).collect();
            (ends.len() == 2).then_some(ends)
        });
        let shown = figures(&stand, &[by_first.clone(), by_second.clone(), both.clone()]);
        assert_eq!(
            shown,
            [settled[0], settled[1], settled[0] + settled[1]],
            "{how}"
        );
        assert_eq!(settled[0] > 0, costs, "{how}: {settled:?}");
        assert!(settled[1] > 0, "{how}: {settled:?}");
    }
    // And when everybody fails, nothing is held anywhere.
    for budget in [&by_first, &by_second, &both] {
        stand.post(&format!("{BUDGETS}/{budget}/reset"), &json!({}), 200);
    }
    stand
        .mock
        .script(Script::once(directive(&json!({ "status": 503 }))).times(2));
    assert_eq!(stand.gateway.call(&ask).status(), 503);
    assert_eq!(
        figures(&stand, &[by_first, by_second, both.clone()]),
        [0, 0, 0]
    );
    stand.has_no_hold_left(&key, &both);
}
