//! What a walk costs: each attempt is admitted and settled on its own, and budgets hold nothing afterwards.

use lw_core::NanoUsd;
use lw_store::ledger::{Certainty, Entry, EntryKind};
use serde_json::{Value, json};

use super::{HAIKU, MINI, Stand, always, question};
use crate::support::{Ask, Book, ORG, eventually, once, price, usage};

/// Waits until `attempts` attempts of a request are over; returns their holds and their outcomes.
pub(super) fn settled(book: &Book, request_id: &str, attempts: usize) -> (Vec<Entry>, Vec<Entry>) {
    let entries = eventually("the attempts end in the ledger", || {
        let entries = book.entries(request_id);
        let ends = entries.iter().filter(|entry| entry.kind != EntryKind::Hold);
        (ends.count() >= attempts).then_some(entries)
    });
    let (holds, ends): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.kind == EntryKind::Hold);
    let numbers = |entries: &[Entry]| {
        entries
            .iter()
            .map(|entry| entry.attempt)
            .collect::<Vec<_>>()
    };
    let expected: Vec<u16> = (0..u16::try_from(attempts).unwrap_or(0)).collect();
    assert_eq!(numbers(&holds), expected, "one hold each: {holds:#?}");
    assert_eq!(numbers(&ends), expected, "one outcome each: {ends:#?}");
    (holds, ends)
}

/// A budget of the organization; returns its path.
fn budget(stand: &Stand, limit: &str) -> String {
    let made = stand
        .gateway
        .api(
            "POST",
            "/api/gateway/v1/budgets",
            Some(&json!({
                "name": "cap", "window": "total", "limit_usd": limit, "enforcement": "strict",
                "scope": {"kind": "organization", "organization_id": ORG},
            })),
        )
        .fine(201);
    let id = made.pointer("/budget/id").and_then(Value::as_str);
    format!("/api/gateway/v1/budgets/{}", id.expect("an id"))
}

/// Waits until the budget shows that so much was spent.
fn spends(stand: &Stand, budget: &str, expected: NanoUsd) {
    eventually("the budget shows what was spent", || {
        let shown = stand.gateway.api("GET", budget, None).fine(200);
        let spent = shown
            .pointer("/budget/spent_nano_usd")
            .and_then(Value::as_i64);
        (spent == Some(expected.0)).then_some(())
    });
}

#[test]
fn every_attempt_is_admitted_and_settled_and_the_sum_is_what_was_generated() {
    let stand = Stand::start();
    let budget = budget(&stand, "100");
    let key = stand.key(&json!({"attempt_timeout_ms": 700}));
    let book = stand.book();
    let mut sum = NanoUsd::ZERO;
    for (how, error, estimated) in [
        (
            json!({"status": 503, "error_type": "overloaded"}),
            "overloaded",
            false,
        ),
        (
            json!({"status": 429, "error_type": "slow_down"}),
            "slow_down",
            false,
        ),
        (json!({"reset_before_head": true}), "provider_error", true),
        (json!({"stall_before_head": true}), "upstream_timeout", true),
        (json!({"close_after_frames": 1}), "provider_error", true),
    ] {
        once(&stand.openai, &how);
        let answer = stand.call(&key, &question(false));
        assert_eq!(answer.status(), 200, "{how}: {}", answer.text());
        let (holds, ends) = settled(&book, &answer.request_id(), 2);
        let [first, second] = &ends[..] else {
            panic!("two")
        };
        let providers =
            [first, second].map(|entry| entry.model_provider_id.as_ref().map(ToString::to_string));
        assert_eq!(providers, stand.rows.clone().map(Some), "{how}");
        assert_eq!(
            first.detail.error_type.as_deref(),
            Some(error),
            "{how} {first:#?}"
        );
        if estimated {
            // It may have been worked on: what was sent is charged, and marked as an estimate.
            assert_eq!(
                (first.kind, first.certainty),
                (EntryKind::Settle, Certainty::Estimated)
            );
            assert!(
                first.amount > NanoUsd::ZERO && first.amount <= holds[0].amount,
                "{first:#?}"
            );
        } else {
            assert_eq!(
                (first.kind, first.amount),
                (EntryKind::Release, NanoUsd::ZERO)
            );
        }
        let truth = stand.anthropic.truth().pop().expect("a generation");
        let counted = usage(&truth.usage);
        assert_eq!(
            (second.kind, second.certainty, second.amount),
            (
                EntryKind::Settle,
                Certainty::Exact,
                price("anthropic", HAIKU, &counted)
            ),
            "{how} {second:#?}"
        );
        assert_eq!((second.usage, second.model.as_str()), (counted, HAIKU));
        let trace = book.trace(&answer.request_id());
        assert_eq!(
            trace.facts.cost,
            Some(first.amount + second.amount),
            "{how}"
        );
        sum = sum + first.amount + second.amount;
    }
    // Nothing was sent to whom nobody could reach.
    stand.openai.stop();
    let answer = stand.call(&key, &question(true));
    let (_, ends) = settled(&book, &answer.request_id(), 2);
    assert_eq!(
        (ends[0].kind, ends[0].amount),
        (EntryKind::Release, NanoUsd::ZERO)
    );
    sum = sum + ends[1].amount;
    spends(&stand, &budget, sum);
}

#[test]
fn a_walk_that_fails_costs_what_was_sent_and_nothing_else() {
    let stand = Stand::start();
    let budget = budget(&stand, "100");
    let key = stand.key(&json!({"attempt_timeout_ms": 700}));
    let book = stand.book();
    always(&stand.openai, &json!({"status": 503}));
    once(&stand.anthropic, &json!({"status": 529}));
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.status(), 529);
    let (_, ends) = settled(&book, &answer.request_id(), 2);
    assert!(
        ends.iter().all(|entry| entry.kind == EntryKind::Release),
        "{ends:#?}"
    );
    assert_eq!(
        book.trace(&answer.request_id()).facts.cost,
        Some(NanoUsd::ZERO)
    );
    once(&stand.anthropic, &json!({"stall_before_head": true}));
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.status(), 503);
    let (holds, ends) = settled(&book, &answer.request_id(), 2);
    assert_eq!(ends[0].kind, EntryKind::Release);
    let second = &ends[1];
    assert_eq!(
        (second.kind, second.certainty),
        (EntryKind::Settle, Certainty::Estimated)
    );
    assert!(second.amount > NanoUsd::ZERO && second.amount <= holds[1].amount);
    assert_eq!(second.usage.output, 0, "nothing was delivered: {second:#?}");
    spends(&stand, &budget, second.amount);
}

#[test]
fn a_budget_holds_nothing_of_an_attempt_that_is_over() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let book = stand.book();
    let mut body = question(false);
    body["max_completion_tokens"] = json!(1_000);
    always(&stand.openai, &json!({"status": 503}));
    let answer = stand.call(&key, &body);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let (holds, ends) = settled(&book, &answer.request_id(), 2);
    let spent = ends[1].amount;
    // Room for the dearer of the two holds and for what ten answers cost, but not for two holds.
    let dearer = holds[0].amount.max(holds[1].amount);
    let both = holds[0].amount + holds[1].amount;
    let limit = NanoUsd(dearer.0 + spent.0 * 11);
    assert!(limit < both, "{holds:#?} {spent:?}");
    let limit = format!(
        "{}.{:06}",
        limit.0 / 1_000_000_000,
        limit.0 % 1_000_000_000 / 1_000 + 1
    );
    let budget = budget(&stand, &limit);
    let mut sum = spent;
    for turn in 0..10 {
        let answer = stand.call(&key, &body);
        assert_eq!(answer.status(), 200, "{turn}: {}", answer.text());
        let (_, ends) = settled(&book, &answer.request_id(), 2);
        sum = sum + ends[0].amount + ends[1].amount;
    }
    spends(&stand, &budget, sum);
}

#[test]
fn a_stream_that_fell_over_is_charged_once_for_what_it_delivered() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let book = stand.book();
    let raw = "data: {\"error\":{\"type\":\"server_error\",\"message\":\"no\"}}\n\n";
    for (how, cost) in [
        (json!({"status": 503}), EntryKind::Release),
        // It had begun to answer, and says that it failed before it says anything else: who knows what that costs.
        (
            json!({"body_raw": raw, "content_type": "text/event-stream"}),
            EntryKind::Settle,
        ),
    ] {
        once(&stand.openai, &how);
        let ask = Ask::post(super::CHAT, &key.secret, question(true));
        let answer = stand.gateway.call(&ask);
        let (_, ends) = settled(&book, &answer.request_id(), 2);
        assert_eq!(ends[0].kind, cost);
        let flagged = ends[0].certainty == Certainty::Estimated;
        assert_eq!(flagged, cost == EntryKind::Settle, "{ends:#?}");
        assert_eq!(ends[0].amount > NanoUsd::ZERO, flagged, "{ends:#?}");
        let truth = stand.anthropic.truth().pop().expect("a generation");
        let counted = usage(&truth.usage);
        assert_eq!(ends[1].amount, price("anthropic", HAIKU, &counted));
    }
    // The second one breaks: an estimate.
    once(&stand.openai, &json!({"status": 503}));
    once(
        &stand.anthropic,
        &json!({"frames": 9, "reset_after_frames": 3, "pace_ms": 5}),
    );
    let answer = stand.call(&key, &question(true));
    let (_, ends) = settled(&book, &answer.request_id(), 2);
    assert_eq!(ends[1].certainty, Certainty::Estimated);
    let why = ends[1].detail.error_type.as_deref();
    assert_eq!(why, Some("upstream_mid_stream_failure"), "{ends:#?}");
    assert_ne!(ends[1].model, MINI);
}
