//! Budgets that each end user of a key or a project has an allowance of.

use serde_json::{Value, json};

use super::{BUDGETS, CHAT, LIMIT, MODEL, Stand, body_costing, refused, usd};
use crate::support::{Answer, Ask, Key};

/// A key with a template on it, and the template.
fn metered(stand: &Stand, fields: Value) -> (Key, String) {
    let key = stand.key(json!({}));
    let scope = json!({"kind": "attributed_user", "anchor_virtual_key_id": key.id});
    let budget = stand.budget(&scope, fields);
    (key, budget)
}

/// A call of `key` that costs `nano`, for an end user who is named in the body.
fn call_of(stand: &Stand, key: &Key, user: &str, nano: i64) -> Answer {
    let mut body = body_costing(MODEL, nano);
    body["user"] = user.into();
    stand.gateway.call(&Ask::post(CHAT, &key.secret, body))
}

#[test]
fn a_request_must_name_its_end_user_where_each_has_an_allowance() {
    let stand = Stand::start();
    let (key, budget) = metered(&stand, json!({}));
    let plain = body_costing(MODEL, 10_000);
    let mut blank = plain.clone();
    blank["user"] = " \u{1} ".into();
    for body in [&plain, &blank] {
        let answer = stand.gateway.call(&Ask::post(CHAT, &key.secret, body));
        assert_eq!(answer.code(), (400, "end_user_required".into()));
        let error = &answer.json()["error"];
        let (message, tips) = (error["message"].to_string(), error["tips"].to_string());
        assert!(!message.is_empty());
        assert!(
            tips.contains("`user`") && tips.contains("X-LangWatch-End-User-Id"),
            "{error}"
        );
        assert_eq!(error["fault"], "customer");
    }
    assert_eq!(stand.dialled(), 0);
    // In the Messages dialect `metadata.user_id` names a session, not an end user.
    let messages = json!({
        "model": "anthropic/claude-cash-9", "max_tokens": 1, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "hi"}],
    });
    let ask = Ask::post("/v1/messages", &key.secret, &messages);
    assert_eq!(
        stand.gateway.call(&ask).code(),
        (400, "end_user_required".into())
    );
    // A template that only warns wants to know as well: whose allowance would it be?
    stand.patch(&budget, &json!({ "on_breach": "warn" }));
    let answer = stand.gateway.call(&Ask::post(CHAT, &key.secret, &plain));
    assert_eq!(answer.code(), (400, "end_user_required".into()));
    // Archived, it asks nobody any more.
    stand
        .gateway
        .api("DELETE", &format!("{BUDGETS}/{budget}"), None)
        .fine(200);
    stand.spent(&key, 10_000);
}

#[test]
fn body_and_headers_name_the_same_end_user() {
    let stand = Stand::start();
    let (key, budget) = metered(&stand, json!({}));
    let with = |headers: &[(&str, &str)], user: Option<&str>| {
        let mut body = body_costing(MODEL, LIMIT);
        if let Some(user) = user {
            body["user"] = user.into();
        }
        let mut ask = Ask::post(CHAT, &key.secret, body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        stand.gateway.call(&ask)
    };
    const OURS: &str = "X-LangWatch-End-User-Id";
    const THEIRS: &str = "X-Litellm-End-User-Id";
    // Each way to name somebody spends the allowance of that one; it is spent for every other way.
    for (index, headers) in [vec![], vec![OURS], vec![THEIRS]].into_iter().enumerate() {
        let user = format!("user-{index}");
        let named: Vec<_> = headers.iter().map(|name| (*name, user.as_str())).collect();
        let in_body = named.is_empty().then_some(user.as_str());
        let first = with(&named, in_body);
        assert_eq!(first.status(), 200, "{user}: {}", first.text());
        for answer in [
            with(&[], Some(&user)),
            with(&[(OURS, &user)], None),
            with(&[(THEIRS, &user)], None),
            // Cleaned, it is the same name; and ours goes before theirs before the body.
            with(&[(OURS, &format!("  {user} "))], Some("somebody")),
            with(&[(OURS, &user), (THEIRS, "somebody")], None),
            with(&[(THEIRS, &user)], Some("somebody")),
        ] {
            refused(&answer, &budget, "attributed_user", "month");
        }
    }
    assert_eq!(stand.dialled(), 3);
}

#[test]
fn end_users_have_what_they_have_after_a_reset_and_a_restart() {
    let mut stand = Stand::start();
    let (key, budget) = metered(&stand, json!({}));
    for user in ["ada", "bob:with|odd:parts", "cyd"] {
        assert_eq!(call_of(&stand, &key, user, LIMIT).status(), 200, "{user}");
        let answer = call_of(&stand, &key, user, LIMIT);
        refused(&answer, &budget, "attributed_user", "month");
    }
    // One is reset: from the next request on, and nobody else.
    let path = format!("{BUDGETS}/{budget}/reset?end_user_id=bob%3Awith%7Codd%3Aparts");
    stand.post(&path, &json!({ "reason": "a mistake" }), 200);
    let odd = "bob:with|odd:parts";
    assert_eq!(call_of(&stand, &key, odd, LIMIT).status(), 200);
    for user in ["ada", odd, "cyd"] {
        let answer = call_of(&stand, &key, user, LIMIT);
        refused(&answer, &budget, "attributed_user", "month");
    }
    let path = format!("{BUDGETS}/{budget}/reset?end_user_id=ada");
    stand.post(&path, &json!({}), 200);
    // The reset is as good after a restart, and so is what was spent since, and before by others.
    for kill in [false, true] {
        if kill {
            stand.gateway.kill9();
        }
        stand.gateway.restart();
        for user in [odd, "cyd"] {
            let answer = call_of(&stand, &key, user, LIMIT);
            refused(&answer, &budget, "attributed_user", "month");
        }
        assert_eq!(call_of(&stand, &key, "ada", 10_000).status(), 200);
    }
    // A reset of the whole budget is one of every end user.
    stand.post(&format!("{BUDGETS}/{budget}/reset"), &json!({}), 200);
    for user in ["ada", odd, "cyd", "new"] {
        let served = call_of(&stand, &key, user, LIMIT);
        assert_eq!(served.status(), 200, "{user}: {}", served.text());
        let answer = call_of(&stand, &key, user, LIMIT);
        refused(&answer, &budget, "attributed_user", "month");
        stand.gateway.book().ended(&served.request_id());
    }
    let shown = stand.shown(&budget);
    assert_eq!(
        (&shown["end_users_seen"], &shown["end_users_over"]),
        (&json!(4), &json!(4)),
        "{shown}"
    );
}

#[test]
fn the_warning_is_the_end_users_own() {
    let stand = Stand::start();
    let (key, budget) = metered(&stand, json!({ "limit_usd": usd(10 * LIMIT) }));
    assert_eq!(call_of(&stand, &key, "near", 8 * LIMIT).status(), 200);
    for (user, expected) in [("near", Some("attributed_user:80")), ("far", None)] {
        let answer = call_of(&stand, &key, user, 10_000);
        assert_eq!(answer.status(), 200, "{user}: {}", answer.text());
        let told = answer.header("x-langwatch-budget-warning");
        assert_eq!(told, expected, "{user}");
    }
    // More for everybody from the next request on.
    stand.patch(&budget, &json!({ "limit_usd": usd(20 * LIMIT) }));
    let answer = call_of(&stand, &key, "near", 10_000);
    assert_eq!(answer.header("x-langwatch-budget-warning"), None);
    stand.patch(&budget, &json!({ "limit_usd": usd(8 * LIMIT) }));
    let answer = call_of(&stand, &key, "near", 10_000);
    refused(&answer, &budget, "attributed_user", "month");
    assert_eq!(call_of(&stand, &key, "far", 10_000).status(), 200);
}
