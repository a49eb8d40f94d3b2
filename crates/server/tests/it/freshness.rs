//! A change holds from the next request on, whoever else is asking at that moment.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lw_core::{Clock as _, NanoUsd, SystemClock, UnixMicros};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Answer, Ask, Conn, Gateway, ORG, chat, eventually, provider};

const CHAT: &str = "/v1/chat/completions";
const POLICIES: &str = "/api/gateway/v1/routing-policies";

#[test]
fn after_a_revoke_has_answered_no_request_succeeds() {
    let (gateway, _mock, _) = Gateway::with_provider();
    for action in [
        "revoke", "disable", "revoke", "revoke", "disable", "revoke", "revoke", "revoke",
    ] {
        let key = gateway.create_key();
        let ask = Ask::post(CHAT, &key.secret, chat("hi"));
        let expected = format!("403 virtual_key_{action}d");
        holds_at_once(&gateway, &ask, action, outcome, &expected, || {
            gateway.act(&key, action);
        });
    }
}

#[test]
fn what_was_read_before_a_write_is_not_kept_after_it() {
    let mock = provider();
    let gateway = Gateway::builder()
        .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
        .start();
    // The more a key reaches, the longer it takes to read it: a write follows before that is over.
    for number in 0..25 {
        gateway.openai(&mock, &format!("sk-freshness-{number}"));
    }
    let key = gateway.create_key();
    let ask = Ask::post(CHAT, &key.secret, chat("hi"));
    for round in 0..50 {
        let (acts, expected) = if round % 2 == 0 {
            (["disable", "enable", "disable"], "403 virtual_key_disabled")
        } else {
            (["enable", "disable", "enable"], "200")
        };
        holds_at_once(
            &gateway,
            &ask,
            expected,
            outcome,
            &expected.to_owned(),
            || {
                for act in acts {
                    gateway.act(&key, act);
                }
            },
        );
    }
}

#[test]
fn a_change_of_a_key_holds_from_the_next_request_on() {
    let mock = provider();
    let gateway = Gateway::start();
    let openai = gateway.openai(&mock, "sk-freshness-openai");
    let anthropic = gateway.anthropic(&mock, "sk-freshness-anthropic");
    let key = gateway.create_key();
    let ask = Ask::post(
        CHAT,
        &key.secret,
        json!({"model": "fast", "messages": chat("hi")["messages"]}),
    );
    let served = "200 openai gpt-4o-mini";
    let holds = |what: &str, body: Value, expected: &str| {
        holds_at_once(
            &gateway,
            &ask,
            what,
            served_by,
            &expected.to_owned(),
            || {
                gateway.patch_key(&key, &body).fine(200);
            },
        );
    };
    let aliases = |model: &str| json!({"config": {"modelAliases": {"fast": model}}});
    holds("an alias", aliases("openai/gpt-4o"), "200 openai gpt-4o");
    holds("another alias", aliases("openai/gpt-4o-mini"), served);
    holds(
        "other models",
        json!({"config": {"modelsAllowed": ["claude-*"]}}),
        "403 model_not_allowed models_allowed",
    );
    holds(
        "all models",
        json!({"config": {"modelsAllowed": null}}),
        served,
    );
    holds(
        "other providers",
        json!({"config": {"providersAllowed": [anthropic]}}),
        "403 model_not_allowed model_provider_not_bound",
    );
    holds(
        "its provider",
        json!({"config": {"providersAllowed": [openai]}}),
        served,
    );
    let any = json!({"config": {"providersAllowed": null}});
    holds("any provider", any, served);

    // A provider of one project serves the keys of that project.
    let narrow = |scope: &str, id: &str| {
        let scopes = json!([{"scope_type": scope, "scope_id": id}]);
        json!({"scopes": scopes})
    };
    gateway
        .patch_key(&key, &narrow("project", "default"))
        .fine(200);
    for id in [&openai, &anthropic] {
        gateway.patch_provider(id, &narrow("project", "default"));
    }
    holds(
        "a wider scope",
        narrow("organization", ORG),
        "400 no_provider_configured",
    );
    holds("a narrower scope", narrow("project", "default"), served);

    // The clock ends a key without anybody writing.
    let soon = UnixMicros(SystemClock.now().0 + 700_000);
    holds_at_once(
        &gateway,
        &ask,
        "an end",
        served_by,
        &"403 virtual_key_expired".to_owned(),
        || {
            let body = json!({"expires_at": soon.to_rfc3339()});
            gateway.patch_key(&key, &body).fine(200);
            eventually("the end comes", || (SystemClock.now() > soon).then_some(()));
        },
    );
    holds("no end", json!({"expires_at": null}), served);
}

#[test]
fn a_change_of_a_policy_holds_from_the_next_request_of_its_keys_on() {
    let mock = provider();
    let gateway = Gateway::start();
    let openai = gateway.openai(&mock, "sk-freshness-openai");
    let anthropic = gateway.anthropic(&mock, "sk-freshness-anthropic");
    let key = gateway.create_key();
    let ask = Ask::post(
        CHAT,
        &key.secret,
        json!({"model": "fast", "messages": chat("hi")["messages"]}),
    );
    let holds = |what: &str, expected: &str, method: &str, path: &str, body: Value| {
        holds_at_once(
            &gateway,
            &ask,
            what,
            served_by,
            &expected.to_owned(),
            || {
                gateway.api(method, path, Some(&body)).fine(200);
            },
        );
    };
    let create = |name: &str, model: &str| {
        let made = gateway.api("POST", POLICIES, Some(&json!({
            "name": name, "model_provider_ids": [openai, anthropic], "model_aliases": {"fast": model},
        })));
        let made = made.fine(201);
        made["routing_policy"]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (one, two) = (
        create("one", "openai/gpt-4o"),
        create("two", "openai/gpt-4.1-mini"),
    );
    let of_key = format!("/api/gateway/v1/virtual-keys/{}", key.id);
    let of_one = format!("{POLICIES}/{one}");
    holds(
        "a policy",
        "200 openai gpt-4o",
        "PATCH",
        &of_key,
        json!({"routing_policy_id": one}),
    );
    let aliases = json!({"model_aliases": {"fast": "openai/gpt-4o-mini"}});
    holds(
        "an alias",
        "200 openai gpt-4o-mini",
        "PATCH",
        &of_one,
        aliases,
    );
    let other = json!({"model_provider_ids": [anthropic]});
    let left_out = "403 model_not_allowed model_provider_not_bound";
    holds("another provider", left_out, "PATCH", &of_one, other);
    let both = json!({"model_provider_ids": [openai, anthropic]});
    holds(
        "both providers",
        "200 openai gpt-4o-mini",
        "PATCH",
        &of_one,
        both,
    );
    let replaced = format!("{of_one}?replacement_policy_id={two}");
    holds(
        "a replacement",
        "200 openai gpt-4.1-mini",
        "DELETE",
        &replaced,
        json!({}),
    );
    let gone = format!("{POLICIES}/{two}");
    holds(
        "no policy any more",
        "200 openai fast",
        "DELETE",
        &gone,
        json!({}),
    );
}

#[test]
fn an_own_price_holds_from_the_next_request_on() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let ask = Ask::post(CHAT, &key.secret, chat("What does this cost?"));
    let first = gateway.book().ended(&gateway.call(&ask).request_id());
    let prices = "/api/gateway/v1/model-prices";
    let body = |input: &str| {
        json!({
            "model": "gpt-4o-mini",
            "rates": {"input_cost_per_token": input, "output_cost_per_token": "0"},
        })
    };
    let charged = |answer: &Answer| gateway.book().ended(&answer.request_id()).amount;
    let tokens = i64::try_from(first.usage.input).expect("few");
    let mut id = String::new();
    holds_at_once(
        &gateway,
        &ask,
        "created",
        charged,
        &NanoUsd(tokens * 1_000_000),
        || {
            let made = gateway.api("POST", prices, Some(&body("0.001"))).fine(201);
            id = made["model_price"]["id"]
                .as_str()
                .expect("an id")
                .to_owned();
        },
    );
    let one = format!("{prices}/{id}");
    holds_at_once(
        &gateway,
        &ask,
        "updated",
        charged,
        &NanoUsd(tokens * 2_000_000),
        || {
            gateway.api("PATCH", &one, Some(&body("0.002"))).fine(200);
        },
    );
    holds_at_once(&gateway, &ask, "deleted", charged, &first.amount, || {
        gateway.api("DELETE", &one, None).fine(200);
    });
}

#[test]
fn a_change_of_a_provider_holds_from_the_next_request_on() {
    let mock = crate::support::provider();
    let gateway = Gateway::start();
    let key = gateway.create_key();
    let ask = Ask::post(CHAT, &key.secret, chat("hi"));
    assert_eq!(gateway.call(&ask).code().1, "no_provider_configured");
    let id = gateway.openai(&mock, "sk-freshness-one");
    assert_eq!(gateway.call(&ask).status(), 200);
    let nobody = "400 no_provider_configured";
    let holds = |what: &str, expected: &str, body: Value| {
        holds_at_once(&gateway, &ask, what, outcome, &expected.to_owned(), || {
            gateway.patch_provider(&id, &body);
        });
    };
    let scope = |kind: &str, id: &str| json!({"scopes": [{"scope_type": kind, "scope_id": id}]});
    for _ in 0..4 {
        holds("disabled", nobody, json!({"enabled": false}));
        holds("enabled", "200", json!({"enabled": true}));
        holds("out of reach", nobody, scope("project", "default"));
        holds("within reach", "200", scope("organization", ORG));
    }
    let credential = format!("sk-freshness-{}", "two");
    gateway.patch_provider(&id, &json!({"custom_keys": {"OPENAI_API_KEY": credential}}));
    assert_eq!(gateway.call(&ask).status(), 200);
    let seen = mock.requests().pop().expect("a request");
    assert_eq!(
        seen.headers["authorization"],
        lw_mock::key_digest(&credential)
    );
    gateway.api(
        "DELETE",
        &format!("/api/gateway/v1/model-providers/{id}"),
        None,
    );
    assert_eq!(gateway.call(&ask).code().1, "no_provider_configured");
}

#[test]
fn what_an_organization_captures_holds_from_the_next_request_on() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let ask = Ask::post(CHAT, &key.secret, chat("Keep this?"));
    let kept = |answer: &Answer| {
        let trace = gateway.book().trace(&answer.request_id());
        (trace.input.is_some(), trace.output.is_some())
    };
    let holds = |what: &str, expected: bool, body: Value| {
        holds_at_once(&gateway, &ask, what, kept, &(expected, expected), || {
            gateway
                .api("PATCH", "/api/organization", Some(&body))
                .fine(200);
        });
    };
    for _ in 0..2 {
        holds("off", false, json!({"payloadCaptureEnabled": false}));
        holds("on", true, json!({"payloadCaptureEnabled": true}));
        let nothing = json!({"payloadCaptureDefault": "metadata_only"});
        holds("nothing by default", false, nothing);
        holds(
            "all by default",
            true,
            json!({"payloadCaptureDefault": "raw"}),
        );
    }
}

#[test]
fn a_minted_key_works_at_once_even_if_it_was_tried_before() {
    let (gateway, _mock, _) = Gateway::with_provider();
    for _ in 0..5 {
        let unknown = gateway.call(&Ask::post(
            CHAT,
            "vk-lw-00000000000000000000000000",
            chat("hi"),
        ));
        assert_eq!(unknown.status(), 401);
        let key = gateway.create_key();
        assert_eq!(
            gateway
                .call(&Ask::post(CHAT, &key.secret, chat("hi")))
                .status(),
            200
        );
    }
}

#[test]
fn an_unknown_key_is_looked_up_once_for_a_thousand_callers() {
    let (gateway, mock, _) = Gateway::with_provider();
    let store = Connection::open(gateway.data().join("config.db")).expect("the store");
    let mut number = 0;
    eventually(
        "a thousand calls fit into the time that an unknown key is remembered",
        || {
            number += 1;
            let ask = Ask::post(CHAT, &format!("vk-lw-unknown-{number}"), chat("hi"));
            // Asked once by many at the same time, who share one lookup.
            let wire = ask.wire();
            let mut open: Vec<Conn> = (0..20).map(|_| Conn::open(gateway.addr)).collect();
            for conn in &mut open {
                conn.write(&wire);
            }
            for conn in &mut open {
                assert_eq!(conn.answer(false).expect("an answer").status(), 401);
            }
            // From here on every lookup would fail, and say so with another status.
            store
                .execute_batch("ALTER TABLE virtual_keys RENAME TO gone")
                .expect("renamed");
            let began = Instant::now();
            let fifty = wire.repeat(50);
            for conn in &mut open {
                conn.write(&fifty);
            }
            let mut statuses: Vec<u16> = Vec::new();
            for conn in &mut open {
                statuses.extend((0..50).map(|_| conn.answer(false).expect("an answer").status()));
            }
            let in_time = began.elapsed() < Duration::from_millis(1_500);
            store
                .execute_batch("ALTER TABLE gone RENAME TO virtual_keys")
                .expect("renamed back");
            assert_eq!(statuses.len(), 1_000);
            if in_time {
                assert!(
                    statuses.iter().all(|status| *status == 401),
                    "the store was asked again"
                );
            }
            in_time.then_some(())
        },
    );
    assert!(mock.requests().is_empty());
}

#[test]
fn a_store_that_cannot_be_read_is_a_503_and_never_a_401() {
    let (gateway, mock, warm) = Gateway::with_provider();
    let cold = gateway.create_key();
    let call = |secret: &str| gateway.call(&Ask::post(CHAT, secret, chat("hi")));
    assert_eq!(call(&warm.secret).status(), 200);
    let store = Connection::open(gateway.data().join("config.db")).expect("the store");
    store
        .execute_batch("ALTER TABLE virtual_keys RENAME TO gone")
        .expect("renamed");
    for secret in [cold.secret.as_str(), "vk-lw-00000000000000000000000000"] {
        let answer = call(secret);
        assert_eq!(
            answer.code(),
            (503, "auth_upstream_unavailable".to_owned()),
            "{}",
            answer.text()
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.json()["error"]["fault"], "platform");
        assert!(!answer.text().contains("virtual_keys"), "{}", answer.text());
    }
    assert_eq!(
        call(&warm.secret).status(),
        200,
        "a key that is held needs no store"
    );
    let listed = gateway.api("GET", "/api/gateway/v1/virtual-keys", None);
    assert!((500..=503).contains(&listed.status()), "{}", listed.text());
    assert!(
        !listed.text().contains("no such table"),
        "{}",
        listed.text()
    );
    store
        .execute_batch("ALTER TABLE gone RENAME TO virtual_keys")
        .expect("renamed back");
    assert_eq!(call(&cold.secret).status(), 200);
    assert_eq!(mock.requests().len(), 3);
}

/// What a caller is answered: the status, and the code and reason of a refusal.
fn outcome(answer: &Answer) -> String {
    let (status, code) = answer.code();
    let reason = answer.json()["error"]["meta"]["reason"].clone();
    match (status, reason.as_str()) {
        (200, _) => "200".to_owned(),
        (_, Some(reason)) => format!("{status} {code} {reason}"),
        (_, None) => format!("{status} {code}"),
    }
}

/// The same, and who served what.
fn served_by(answer: &Answer) -> String {
    let named = ["x-langwatch-provider", "x-langwatch-model"].map(|name| answer.header(name));
    match (answer.status(), named) {
        (200, [Some(provider), Some(model)]) => format!("200 {provider} {model}"),
        _ => outcome(answer),
    }
}

/// Four callers ask again and again while `write` is done. Whoever sends a request after it has answered
/// is shown what it left, by `seen`; the requests before may show either.
fn holds_at_once<S: PartialEq + Debug + Sync>(
    gateway: &Gateway,
    ask: &Ask,
    what: &str,
    seen: impl Fn(&Answer) -> S + Sync,
    expected: &S,
    write: impl FnOnce(),
) {
    const AFTERWARDS: usize = 6;
    let (done, going) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = Conn::open(gateway.addr);
                let mut afterwards = 0;
                while afterwards < AFTERWARDS {
                    // Read before the request is sent.
                    let must_hold = done.load(Ordering::SeqCst);
                    let answer = conn.call(ask);
                    going.fetch_add(1, Ordering::Relaxed);
                    if must_hold {
                        assert_eq!(seen(&answer), *expected, "{what}: {}", answer.text());
                        afterwards += 1;
                    }
                }
            });
        }
        eventually("calls go on", || {
            (going.load(Ordering::Relaxed) > 12).then_some(())
        });
        // Whatever becomes of the write, the callers come to an end.
        let written = catch_unwind(AssertUnwindSafe(write));
        done.store(true, Ordering::SeqCst);
        if let Err(panic) = written {
            resume_unwind(panic);
        }
    });
}
