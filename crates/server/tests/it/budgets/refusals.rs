//! What callers are told: refusals, warnings, and providers that are left out.

use lw_store::ledger::EntryKind;
use serde_json::{Value, json};

use super::{CHAT, LIMIT, MODEL, OUTPUT, Stand, body, body_costing, most_of, refused, usd};
use crate::support::{Answer, Ask, Key};

#[test]
fn a_refusal_reads_the_same_on_every_surface_and_leaves_a_record_that_costs_nothing() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let budget = stand.org_budget(json!({}));
    stand.spent(&key, LIMIT);
    let dialled = stand.dialled();
    let chat = body_costing(MODEL, LIMIT);
    let mut stream = chat.clone();
    stream["stream"] = true.into();
    for (path, body) in [
        (CHAT, chat),
        (CHAT, stream),
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-cash-9", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}),
        ),
        ("/v1/responses", json!({"model": MODEL, "input": "hi"})),
        (
            "/v1/embeddings",
            json!({"model": "openai/text-embedding-3-small", "input": "hi"}),
        ),
    ] {
        let answer = stand.gateway.call(&Ask::post(path, &key.secret, &body));
        let error = refused(&answer, &budget, "organization", "month");
        assert_eq!(error["meta"]["budget_provider"], Value::Null, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let outer = (path == "/v1/messages").then_some("error");
        assert_eq!(answer.json()["type"].as_str(), outer, "{path}");
        let entry = stand.gateway.book().ended(&answer.request_id());
        assert_eq!((entry.kind, entry.amount.0), (EntryKind::Release, 0));
        assert_eq!(entry.detail.http_status, Some(402), "{path}");
        assert_eq!(
            entry.detail.error_type.as_deref(),
            Some("budget_exceeded"),
            "{path}"
        );
    }
    assert_eq!(stand.dialled(), dialled, "nothing is dialled");
    let id = stand.spend(&key, LIMIT).request_id();
    assert_eq!(stand.spent_after(&budget, &id), LIMIT);
}

#[test]
fn a_call_that_does_not_fit_is_told_so_and_a_smaller_one_is_served() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let budget = stand.org_budget(json!({}));
    let large = body(MODEL, Some(200), &json!({}));
    assert!(most_of(&large, 200) > LIMIT);
    let ask = Ask::post(CHAT, &key.secret, &large);
    let error = refused(&stand.gateway.call(&ask), &budget, "organization", "month");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(&usd(most_of(&large, 200))), "{message}");
    assert!(error["tips"].to_string().contains("max_tokens"), "{error}");
    assert_eq!(stand.dialled(), 0);
    // Exactly what fits is served.
    stand.patch(&budget, &json!({ "limit_usd": usd(most_of(&large, 200)) }));
    let answer = stand.gateway.call(&ask);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stand.held(&answer), most_of(&large, 200));
}

/// `X-LangWatch-Budget-Warning`.
fn warning(answer: &Answer) -> Option<&str> {
    answer.header("x-langwatch-budget-warning")
}

#[test]
fn a_warning_comes_from_eighty_percent_on_and_names_every_budget() {
    let stand = Stand::start();
    let key = stand.key(json!({}));
    let roomy = 10 * LIMIT;
    let limit = json!({ "limit_usd": usd(roomy) });
    stand.org_budget(limit.clone());
    let of_key = json!({"kind": "virtual_key", "virtual_key_id": key.id});
    stand.budget(&of_key, limit.clone());
    let mut filtered = limit;
    filtered["provider_key"] = stand.openai.clone().into();
    stand.budget(&of_key, filtered);
    stand.spent(&key, roomy / 10 * 7);
    assert_eq!(warning(&stand.spent(&key, roomy / 10 - INPUT_STEP)), None);
    // One nano-thousand below.
    assert_eq!(warning(&stand.spent(&key, INPUT_STEP)), None);
    let expected = |percent: u64| {
        let by_provider = format!("virtual_key/{}:{percent}", stand.openai);
        format!("organization:{percent},virtual_key:{percent},{by_provider}")
    };
    for (spend, percent) in [(roomy / 20, 80), (10_000, 85), (10_000, 85)] {
        let mut ask = body_costing(MODEL, spend);
        ask["stream"] = (percent == 85).into();
        let answer = stand.gateway.call(&Ask::post(CHAT, &key.secret, &ask));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(warning(&answer), Some(expected(percent).as_str()));
    }
    // A provider's budget warns whoever serves: it says why calls are about to go elsewhere.
    let elsewhere = body_costing("anthropic/claude-cash-9", 10_000);
    let answer = stand
        .gateway
        .call(&Ask::post(CHAT, &key.secret, &elsewhere));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(warning(&answer), Some(expected(85).as_str()));
}

/// Enough to cross a border of percent.
const INPUT_STEP: i64 = 2 * OUTPUT;

/// A second OpenAI behind the same mock.
fn second(stand: &Stand) -> String {
    stand.gateway.openai(&stand.mock, "sk-cash-second")
}

/// The credential that the last call was made with.
fn last_credential(stand: &Stand) -> Option<String> {
    stand.mock.truth().pop().and_then(|truth| truth.credential)
}

#[test]
fn a_provider_whose_budget_is_spent_leaves_the_chain_and_the_warning_says_why() {
    let stand = Stand::start();
    let other = second(&stand);
    for mode in ["none", "fallback_all"] {
        let key = stand.key(json!({ "routing_mode": mode }));
        let of_key = json!({"kind": "virtual_key", "virtual_key_id": key.id});
        let first = json!({ "provider_key": stand.openai });
        let first = stand.budget(&of_key, first);
        stand.spent(&key, LIMIT);
        assert_eq!(
            last_credential(&stand),
            Some(lw_mock::key_digest("sk-cash-first"))
        );
        let answer = stand.spend(&key, LIMIT);
        assert_eq!(answer.status(), 200, "{mode}: {}", answer.text());
        assert_eq!(
            last_credential(&stand),
            Some(lw_mock::key_digest("sk-cash-second"))
        );
        let by_provider = format!("virtual_key/{}:100", stand.openai);
        assert_eq!(warning(&answer), Some(by_provider.as_str()), "{mode}");
        // What the other provider cost is not on it.
        let id = answer.request_id();
        assert_eq!(stand.spent_after(&first, &id), LIMIT, "{mode}");

        let second = stand.budget(&of_key, json!({ "provider_key": other }));
        assert_eq!(
            stand.shown(&second)["spent_nano_usd"],
            LIMIT,
            "{mode}: what was spent before counts"
        );
        let dialled = stand.dialled();
        let answer = stand.spend(&key, LIMIT);
        let error = refused(&answer, &first, "virtual_key", "month");
        assert_eq!(error["meta"]["budget_provider"], json!(stand.openai));
        assert_eq!(stand.dialled(), dialled, "{mode}");
        // One that only warns keeps nobody out.
        stand.patch(&first, &json!({ "on_breach": "warn" }));
        assert_eq!(stand.spend(&key, LIMIT).status(), 200, "{mode}");
        assert_eq!(
            last_credential(&stand),
            Some(lw_mock::key_digest("sk-cash-first"))
        );
    }
}

#[test]
fn a_provider_whose_budget_has_no_room_for_the_call_is_passed_over_where_the_key_falls_over() {
    let stand = Stand::start();
    second(&stand);
    let large = body(MODEL, Some(200), &json!({}));
    let ask = |key: &Key| Ask::post(CHAT, &key.secret, &large);
    let key = stand.key(json!({ "routing_mode": "fallback_all" }));
    let of_key = json!({"kind": "virtual_key", "virtual_key_id": key.id});
    let budget = stand.budget(&of_key, json!({ "provider_key": stand.openai }));
    let answer = stand.gateway.call(&ask(&key));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    assert_eq!(
        last_credential(&stand),
        Some(lw_mock::key_digest("sk-cash-second"))
    );
    assert_eq!(stand.spent_after(&budget, &answer.request_id()), 0);
    // With nobody else to ask, it is the answer.
    let alone = stand.key(json!({"config": {"providersAllowed": [stand.openai]}}));
    let of_alone = json!({"kind": "virtual_key", "virtual_key_id": alone.id});
    let budget = stand.budget(&of_alone, json!({ "provider_key": stand.openai }));
    let error = refused(
        &stand.gateway.call(&ask(&alone)),
        &budget,
        "virtual_key",
        "month",
    );
    assert_eq!(error["meta"]["budget_provider"], json!(stand.openai));
}
