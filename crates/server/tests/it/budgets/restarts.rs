//! What was spent and held survives the process.

use lw_store::ledger::Certainty;
use serde_json::json;

use super::{CHAT, LIMIT, MODEL, OUTPUT, Stand, body, most_of, refused, usd};
use crate::crash::views::rows;
use crate::support::{Ask, Conn, eventually};

#[test]
fn what_was_spent_is_there_after_every_kind_of_restart() {
    let mut stand = Stand::start();
    let key = stand.key(json!({}));
    let budget = stand.org_budget(json!({ "limit_usd": usd(4 * LIMIT) }));
    let mut spent = 0;
    for kill in [false, true, true] {
        stand.spent(&key, LIMIT);
        spent += LIMIT;
        // At once: the ledger has had no time to fold it.
        if kill {
            stand.gateway.kill9();
        }
        stand.gateway.restart();
        assert_eq!(stand.shown(&budget)["spent_nano_usd"], spent, "kill={kill}");
        let percent = spent * 100 / (4 * LIMIT);
        let near = (percent >= 80).then(|| format!("organization:{percent}"));
        let answer = stand.spent(&key, OUTPUT);
        spent += OUTPUT;
        assert_eq!(answer.header("x-langwatch-budget-warning"), near.as_deref());
    }
    let answer = stand.spend(&key, LIMIT);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    stand.gateway.kill9();
    stand.gateway.restart();
    refused(&stand.spend(&key, OUTPUT), &budget, "organization", "month");
}

#[test]
fn what_a_killed_process_held_is_charged_to_the_buckets_that_held_it() {
    let mut stand = Stand::start();
    let (team, project) = stand.team("eng");
    let key = stand.key_of(&team, &project);
    let other = stand.key(json!({}));
    let stalled = |user: &str| {
        let mut body = body(MODEL, Some(10), &json!({ "stall_before_head": true }));
        body["user"] = user.into();
        body
    };
    let hold = most_of(&stalled("u-1"), 10);
    let limit = 3 * hold;
    let fits = json!({ "limit_usd": usd(limit) });
    let org = stand.org_budget(fits.clone());
    let of_team = stand.budget(&json!({"kind": "team", "team_id": team}), fits.clone());
    let mut by_provider = fits.clone();
    by_provider["provider_key"] = stand.openai.clone().into();
    let by_provider = stand.budget(
        &json!({"kind": "project", "project_id": project}),
        by_provider,
    );
    let scope = json!({"kind": "attributed_user", "anchor_virtual_key_id": key.id});
    let template = stand.budget(&scope, fits);
    let mut open = Vec::new();
    for user in ["u-1", "u-1", "u-2"] {
        let mut conn = Conn::open(stand.gateway.addr);
        conn.write(&Ask::post(CHAT, &key.secret, stalled(user)).wire());
        open.push(conn);
    }
    eventually("the provider has them", || {
        (stand.dialled() == 3).then_some(())
    });
    // While they are open they hold all of it.
    let mut small = body(MODEL, Some(1), &json!({}));
    small["user"] = "u-2".into();
    let ask = Ask::post(CHAT, &key.secret, &small);
    refused(&stand.gateway.call(&ask), &org, "organization", "month");
    stand.gateway.kill9();
    stand.gateway.restart();
    drop(open);
    for budget in [&org, &of_team, &by_provider] {
        assert_eq!(stand.shown(budget)["spent_nano_usd"], limit, "{budget}");
        assert_eq!(stand.shown(budget)["limit_nano_usd"], limit);
    }
    let ended = rows(&stand.gateway.data(), [0; 15]);
    let orphans = ended.values().flatten();
    let orphans = orphans.filter(|entry| entry.certainty == Certainty::Orphaned);
    let amounts: Vec<i64> = orphans.map(|entry| entry.amount.0).collect();
    assert_eq!(amounts, [hold; 3]);
    // All are spent now: the organization's first, the others behind it.
    for (budget, scope) in [
        (&org, "organization"),
        (&of_team, "team"),
        // One of a provider comes when nobody else would serve.
        (&by_provider, "project"),
    ] {
        refused(&stand.gateway.call(&ask), budget, scope, "month");
        stand.patch(budget, &json!({ "limit_usd": usd(5 * hold) }));
    }
    // Of the end users' allowances one call each is left, or two.
    let large = |user: &str| {
        let answer = stand.gateway.call(&Ask::post(CHAT, &key.secret, {
            let mut body = body(MODEL, Some(10), &json!({ "pace_ms": 10 }));
            body["user"] = user.into();
            body
        }));
        answer.status()
    };
    assert_eq!((large("u-1"), large("u-2")), (200, 200));
    let room = usd(2 * hold + 100 * OUTPUT);
    stand.patch(&template, &json!({ "limit_usd": room }));
    assert_eq!((large("u-1"), large("u-2")), (402, 200));
    assert_eq!(stand.spend(&other, LIMIT / 2).status(), 200);
}
