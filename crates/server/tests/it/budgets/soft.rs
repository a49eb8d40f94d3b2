//! A stream that outgrows what is left of a soft budget is ended, with one frame that says so (data-plane 15,
//! 17.4).

use lw_store::ledger::Certainty;
use serde_json::{Value, json};

use super::{CHAT, INPUT, MODEL, OUTPUT, Stand, body, usd};
use crate::support::{Ask, parsed, text};

/// Output tokens that a call usually writes, as the gateway is told.
const USUAL: i64 = 10;

fn stand() -> Stand {
    let usual = USUAL.to_string();
    Stand::start_with(&[("LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS", &usual)])
}

/// What a call with this body holds of a soft budget at first.
fn usual_of(body: &Value) -> i64 {
    let bytes = i64::try_from(body.to_string().len()).expect("a length") + 1_024;
    (bytes + 3) / 4 * INPUT + USUAL * OUTPUT
}

/// A model of another dialect than Chat's.
const CLAUDE: &str = "anthropic/claude-cash-9";

/// A stream of `frames` words of eight letters and a space.
fn long(path: &str, model: &str, frames: i64) -> Value {
    let directive = json!({"frames": frames, "frame_text_bytes": 9, "pace_ms": 2});
    let cap = (path == "/v1/messages").then_some(1_000);
    let mut body = body(model, cap, &directive);
    if path == "/v1/responses" {
        let text = body["messages"][0]["content"].clone();
        body = json!({ "model": model, "input": text });
    }
    body["stream"] = true.into();
    body
}

#[test]
fn a_stream_ends_with_one_frame_when_the_money_runs_out() {
    let stand = stand();
    let key = stand.key(json!({}));
    let soft = json!({ "enforcement": "soft" });
    let budget = stand.org_budget(soft);
    for (path, model) in [
        (CHAT, MODEL),
        (CHAT, CLAUDE),
        ("/v1/messages", CLAUDE),
        ("/v1/messages", MODEL),
        ("/v1/responses", MODEL),
        ("/v1/responses", CLAUDE),
    ] {
        stand.post(
            &format!("{}/{budget}/reset", super::BUDGETS),
            &json!({}),
            200,
        );
        let body = long(path, model, 400);
        // Room for the input and some two hundred bytes of output.
        let limit = usual_of(&body) / 1_000 * 1_000 + 200 * OUTPUT;
        stand.patch(&budget, &json!({ "limit_usd": usd(limit) }));
        let answer = stand.gateway.call(&Ask::post(path, &key.secret, &body));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert!(!answer.cut, "{path}: the body ends as it should");
        let said = text(&answer.body);
        let (before, last) = said
            .rsplit_once("event: error\ndata: ")
            .expect("a frame of ours");
        assert!(before.ends_with("\n\n"), "{path}: {before}");
        assert!(!before.contains("event: error"), "{path}: one frame");
        let frame = last.strip_suffix("\n\n").expect("the frame is the end");
        let error = parsed(frame);
        let message = error["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("organization"), "{path}: {message}");
        // Key order and `null` are part of it.
        let outer = if path == CHAT {
            ""
        } else {
            r#""type":"error","#
        };
        let expected = format!(
            r#"{{{outer}"error":{{"type":"budget_exceeded","code":"budget_exceeded","message":{},"param":null}}}}"#,
            error["error"]["message"]
        );
        assert_eq!(frame, expected, "{path}");
        assert!(!said.contains("[DONE]") && !said.contains("message_stop"));
        // It is charged what was delivered, marked as an estimate, and within the limit.
        let entry = stand.gateway.book().ended(&answer.request_id());
        assert_eq!(entry.certainty, Certainty::Estimated, "{path} {entry:#?}");
        assert_eq!(entry.detail.error_type.as_deref(), Some("budget_exceeded"));
        let words = i64::try_from(before.matches("xx ").count()).expect("a count");
        assert!(words > 5, "{path}: {before}");
        assert!(
            entry.amount.0 >= words * OUTPUT,
            "{path} {words} {entry:#?}"
        );
        assert!(entry.amount.0 <= limit, "{path} {entry:#?}");
        let spent = stand.spent_after(&budget, &answer.request_id());
        assert_eq!(spent, entry.amount.0, "{path}");
        // The provider is not kept writing for nobody.
        crate::support::eventually("the provider's call is over", || {
            let truth = stand.mock.truth().pop()?;
            truth.disconnected.then_some(())
        });
    }
}

#[test]
fn a_stream_that_finds_room_goes_on_to_its_end() {
    let stand = stand();
    let key = stand.key(json!({}));
    let limit = 100_000_000;
    let budget = stand.org_budget(json!({ "enforcement": "soft", "limit_usd": usd(limit) }));
    let answer = stand
        .gateway
        .call(&Ask::post(CHAT, &key.secret, long(CHAT, MODEL, 300)));
    assert!(
        answer.text().ends_with("data: [DONE]\n\n"),
        "{}",
        answer.text()
    );
    let entry = stand.gateway.book().ended(&answer.request_id());
    assert_eq!(entry.certainty, Certainty::Exact);
    assert_eq!(entry.usage.output, 300);
    assert_eq!(stand.shown(&budget)["spent_nano_usd"], entry.amount.0);
    // What it grew by is given back with the rest.
    stand.has_no_hold_left(&key, &budget);
}

#[test]
fn only_soft_budgets_that_block_end_a_stream() {
    let stand = stand();
    let key = stand.key(json!({}));
    for change in [
        json!({ "enforcement": "soft", "on_breach": "warn" }),
        json!({ "enforcement": "strict", "on_breach": "warn" }),
    ] {
        let mut fields = change.clone();
        fields["window"] = "manual".into();
        fields["limit_usd"] = usd(1_000_000).into();
        let budget = stand.org_budget(fields);
        let answer = stand
            .gateway
            .call(&Ask::post(CHAT, &key.secret, long(CHAT, MODEL, 300)));
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{change}");
        let id = answer.request_id();
        let cost = stand.gateway.book().ended(&id).amount.0;
        assert!(cost > 1_000_000, "{cost}");
        assert_eq!(stand.spent_after(&budget, &id), cost, "{change}");
    }
}
