//! The bill of embeddings: one call, several calls summed, and several of which one is refused.

use lw_core::NanoUsd;
use lw_store::ledger::{Certainty, EntryKind};
use serde_json::json;

use super::Stand;
use crate::support::{Ask, once};

const EMBEDDINGS: &str = "/v1/embeddings";

/// Nano-dollars for one token of amazon.titan-embed-text-v2:0 and of text-embedding-3-small.
const RATE: i64 = 20;

#[test]
fn vectors_cost_their_input_however_the_provider_tells_it() {
    let stand = Stand::start();
    for (model, usage, nano) in [
        // 0.02 for a million; Azure 0.022.
        (
            "openai/text-embedding-3-small",
            json!({"prompt_tokens": 9, "total_tokens": 9}),
            9 * 20,
        ),
        (
            "azure/text-embedding-3-small",
            json!({"prompt_tokens": "9", "total_tokens": 9}),
            9 * 22,
        ),
        // 0.06 for a million; the total alone.
        ("voyage/voyage-3.5", json!({"total_tokens": 9}), 9 * 60),
        ("bedrock/amazon.titan-embed-text-v2:0", json!(9), 9 * 20),
    ] {
        once(&stand.mock, &json!({ "usage_raw": usage }));
        let body = json!({"model": model, "input": "What does a vector cost?"});
        let answer = stand
            .gateway
            .call(&Ask::post(EMBEDDINGS, &stand.key.secret, body));
        assert_eq!(answer.status(), 200, "{model}: {}", answer.text());
        let entry = stand.gateway.book().ended(&answer.request_id());
        assert_eq!(
            (entry.amount.0, entry.certainty, entry.usage.input),
            (nano, Certainty::Exact, 9),
            "{model} {entry:#?}"
        );
    }
}

#[test]
fn several_calls_for_one_request_are_one_row_with_their_sum() {
    let stand = Stand::start();
    let before = stand.mock.requests().len();
    for tokens in [3, 50, 700] {
        once(&stand.mock, &json!({ "usage_raw": tokens }));
    }
    let body =
        json!({"model": "bedrock/amazon.titan-embed-text-v2:0", "input": ["one", "two", "three"]});
    let answer = stand
        .gateway
        .call(&Ask::post(EMBEDDINGS, &stand.key.secret, body));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stand.mock.requests().len() - before, 3);
    let entry = stand.gateway.book().ended(&answer.request_id());
    assert_eq!(
        (entry.amount, entry.usage.input, entry.certainty),
        (NanoUsd(753 * RATE), 753, Certainty::Exact)
    );
    let shown = answer.json();
    assert_eq!(shown["usage"]["prompt_tokens"], 753, "{shown}");
}

#[test]
fn what_was_answered_before_a_refusal_is_paid_for() {
    for (told, expected) in [
        ([json!(3), json!(50)], Some(53)),
        // Nobody counted the second: an estimate of all that was sent.
        ([json!(3), json!("nonsense")], None),
    ] {
        let stand = Stand::start();
        for tokens in told {
            let silent = json!({"x-amzn-bedrock-input-token-count": ""});
            once(
                &stand.mock,
                &json!({"usage_raw": tokens, "headers": silent}),
            );
        }
        once(&stand.mock, &json!({ "status": 429 }));
        let body = json!({
            "model": "bedrock/amazon.titan-embed-text-v2:0", "input": ["one", "two", "three"],
        });
        let answer = stand
            .gateway
            .call(&Ask::post(EMBEDDINGS, &stand.key.secret, body));
        assert_eq!(answer.status(), 429, "{}", answer.text());
        let entry = stand.gateway.book().ended(&answer.request_id());
        assert_eq!(entry.kind, EntryKind::Settle, "{entry:#?}");
        match expected {
            Some(tokens) => assert_eq!(
                (entry.amount, entry.certainty),
                (NanoUsd(tokens * RATE), Certainty::Exact)
            ),
            None => {
                assert_eq!(entry.certainty, Certainty::Estimated, "{entry:#?}");
                assert!(entry.amount > NanoUsd::ZERO, "{entry:#?}");
            }
        }
        // The first call's refusal costs nothing.
        once(&stand.mock, &json!({ "status": 429 }));
        let body =
            json!({"model": "bedrock/amazon.titan-embed-text-v2:0", "input": ["one", "two"]});
        let answer = stand
            .gateway
            .call(&Ask::post(EMBEDDINGS, &stand.key.secret, body));
        let entry = stand.gateway.book().ended(&answer.request_id());
        assert_eq!(entry.amount, NanoUsd::ZERO, "{entry:#?}");
    }
}
