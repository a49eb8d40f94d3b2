//! What a call holds: the most that it may cost, what such calls usually cost, and what has no price.

use serde_json::{Value, json};

use super::{CHAT, INPUT, MODEL, MOST, OUTPUT, Stand, WINDOW, body, most_of, refused, usd};
use crate::support::{Answer, Ask, Key, eventually};

const UNPRICED: &str = "openai/gpt-of-tomorrow";

fn call(stand: &Stand, key: &Key, body: &Value) -> Answer {
    stand.gateway.call(&Ask::post(CHAT, &key.secret, body))
}

#[test]
fn a_model_without_a_price_is_refused_only_where_a_strict_budget_must_be_kept() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let asked = body(UNPRICED, Some(1), &json!({}));
    assert_eq!(call(&stand, &key, &asked).status(), 200, "no budget at all");
    let budget = stand.org_budget(json!({}));
    let dialled = stand.dialled();
    let answer = call(&stand, &key, &asked);
    assert_eq!(answer.code(), (403, "model_unpriced".into()));
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "model");
    assert!(
        error["message"].to_string().contains("gpt-of-tomorrow"),
        "{error}"
    );
    assert!(
        error["tips"]
            .as_array()
            .is_some_and(|tips| !tips.is_empty()),
        "{error}"
    );
    assert_eq!(stand.dialled(), dialled);
    for change in [
        json!({ "enforcement": "soft" }),
        json!({ "enforcement": "strict", "on_breach": "warn" }),
    ] {
        stand.patch(&budget, &change);
        let answer = call(&stand, &key, &asked);
        assert_eq!(answer.status(), 200, "{change}: {}", answer.text());
        assert_eq!(stand.spent_after(&budget, &answer.request_id()), 0);
    }
    stand.patch(&budget, &json!({ "on_breach": "block" }));
    assert_eq!(call(&stand, &key, &asked).status(), 403);
    // A strict budget of another provider has nothing to say about it.
    let other = stand.gateway.openai(&stand.mock, "sk-cash-second");
    stand.patch(&budget, &json!({ "enforcement": "soft" }));
    stand.org_budget(json!({ "provider_key": other }));
    assert_eq!(call(&stand, &key, &asked).status(), 200);
    stand.org_budget(json!({ "provider_key": stand.openai }));
    let only = json!({"config": {"providersAllowed": [stand.openai]}});
    let answer = call(&stand, &stand.key(only), &asked);
    assert_eq!(answer.code(), (403, "model_unpriced".into()));
}

#[test]
fn a_strict_budget_holds_the_most_that_a_call_may_cost() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let budget = stand.org_budget(json!({}));
    let quiet = json!({});
    let mut three = body(MODEL, Some(10), &quiet);
    three["n"] = 3.into();
    let mut modern = body(MODEL, None, &quiet);
    modern["max_completion_tokens"] = 20.into();
    let mut picture = body(MODEL, Some(10), &quiet);
    picture["messages"][0]["content"] = json!([
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}},
    ]);
    for (what, body, most) in [
        ("a cap", body(MODEL, Some(10), &quiet), None),
        ("no cap", body(MODEL, None, &quiet), Some(MOST)),
        (
            "a cap above the model's",
            body(MODEL, Some(1_000_000), &quiet),
            Some(MOST),
        ),
        ("three answers", three, Some(30)),
        ("the newer name", modern, Some(20)),
        ("a picture", picture, None),
    ] {
        let most = match what {
            "a picture" => WINDOW * INPUT + 10 * OUTPUT,
            _ => most_of(&body, most.unwrap_or(10)),
        };
        // Not a micro-dollar less.
        stand.post(
            &format!("{}/{budget}/reset", super::BUDGETS),
            &json!({}),
            200,
        );
        stand.patch(&budget, &json!({ "limit_usd": usd(most - 1_000) }));
        refused(&call(&stand, &key, &body), &budget, "organization", "month");
        stand.patch(&budget, &json!({ "limit_usd": usd(most) }));
        let answer = call(&stand, &key, &body);
        assert_eq!(answer.status(), 200, "{what}: {}", answer.text());
        assert_eq!(stand.held(&answer), most, "{what}");
    }
}

#[test]
fn a_soft_budget_holds_what_such_a_call_usually_costs() {
    const USUAL: i64 = 50;
    let usual = USUAL.to_string();
    let stand = Stand::start_with(&[("LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS", &usual)]);
    let key = stand.key(json!({}));
    let soft = json!({ "enforcement": "soft" });
    let budget = stand.org_budget(soft.clone());
    let asked = |cap| {
        let directive =
            json!({"delay_head_ms": 200, "usage": {"prompt_tokens": 1, "output_tokens": 1}});
        body(MODEL, cap, &directive)
    };
    for (cap, output) in [(None, USUAL), (Some(1_000), USUAL), (Some(20), 20)] {
        let body = asked(cap);
        let bytes = i64::try_from(body.to_string().len()).expect("a length") + 1_024;
        let hold = (bytes + 3) / 4 * INPUT + output * OUTPUT;
        // Room for one at a time, and two begin.
        stand.post(
            &format!("{}/{budget}/reset", super::BUDGETS),
            &json!({}),
            200,
        );
        let limit = (2 * hold - 1_000) / 1_000 * 1_000;
        stand.patch(&budget, &json!({ "limit_usd": usd(limit) }));
        let before = stand.dialled();
        std::thread::scope(|threads| {
            let first = threads.spawn(|| call(&stand, &key, &body));
            eventually("it is under way", || {
                (stand.dialled() > before).then_some(())
            });
            let second = call(&stand, &key, &body);
            refused(&second, &budget, "organization", "month");
            let first = first.join().expect("an answer");
            assert_eq!(first.status(), 200, "{}", first.text());
        });
        stand.patch(
            &budget,
            &json!({ "limit_usd": usd((2 * hold + 1_000) / 1_000 * 1_000) }),
        );
        let before = stand.dialled();
        std::thread::scope(|threads| {
            let first = threads.spawn(|| call(&stand, &key, &body));
            eventually("it is under way", || {
                (stand.dialled() > before).then_some(())
            });
            // What the one before cost is little; what it holds leaves room for another.
            stand.patch(
                &budget,
                &json!({ "limit_usd": usd(2 * hold / 1_000 * 1_000 + 20_000) }),
            );
            let second = call(&stand, &key, &body);
            assert_eq!(second.status(), 200, "{}", second.text());
            assert_eq!(first.join().expect("an answer").status(), 200);
        });
    }
}
