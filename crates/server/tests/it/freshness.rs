//! A change holds from the next request on, whoever else is asking at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Ask, Conn, Gateway, chat, eventually};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn after_a_revoke_has_answered_no_request_succeeds() {
    let (gateway, _mock, _) = Gateway::with_provider();
    for action in [
        "revoke", "disable", "revoke", "revoke", "disable", "revoke", "revoke", "revoke",
    ] {
        let key = gateway.create_key();
        let (done, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (done, served) = (done.clone(), served.clone());
                let (addr, secret) = (gateway.addr, key.secret.clone());
                std::thread::spawn(move || {
                    let mut conn = Conn::open(addr);
                    let mut refused = 0;
                    while refused < 10 {
                        // Read before the request is sent: what is sent now must be refused.
                        let must_fail = done.load(Ordering::SeqCst);
                        let answer = conn.call(&Ask::post(CHAT, &secret, chat("hi")));
                        match answer.status() {
                            200 if must_fail => {
                                return Err("served after the change was confirmed");
                            }
                            200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                            403 if must_fail => refused += 1,
                            403 => {}
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        eventually("calls go on", || {
            (served.load(Ordering::Relaxed) > 30).then_some(())
        });
        gateway.act(&key, action);
        done.store(true, Ordering::SeqCst);
        for caller in callers {
            assert_eq!(caller.join().expect("it ran"), Ok(()), "{action}");
        }
    }
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
    for round in 0..10 {
        gateway.patch_provider(&id, &json!({"enabled": false}));
        let answer = gateway.call(&ask);
        assert_ne!(answer.status(), 200, "{round}: {}", answer.text());
        gateway.patch_provider(&id, &json!({"enabled": true}));
        assert_eq!(gateway.call(&ask).status(), 200, "{round}");
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
