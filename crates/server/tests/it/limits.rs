//! How often one credential may call the gateway family of the management API (management-api 27).

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Answer, Ask, Conn, Gateway};

const KEYS: &str = "/api/gateway/v1/virtual-keys";

/// Calls until one is refused; returns how many were served, and the refusal.
fn exhausted(gateway: &Gateway, credential: &str) -> (usize, Answer) {
    let mut conn = Conn::open(gateway.control);
    let ask = Ask::get(KEYS).bearer(credential);
    for served in 0..1_000 {
        let answer = conn.call(&ask);
        if answer.status() != 200 {
            return (served, answer);
        }
    }
    panic!("a thousand calls were served");
}

#[test]
fn a_hundred_calls_in_a_minute_and_then_each_credential_waits_for_itself() {
    let gateway = Gateway::start();
    let other = gateway.mint_api_key(&json!({
        "name": "other", "keyType": "service",
        "bindings": [{"role": "ADMIN", "scopeType": "ORGANIZATION", "scopeId": "acme"}],
    }));
    let (served, refusal) = exhausted(&gateway, gateway.api_key());
    // A call comes back every 600 ms while the test is asking.
    assert!((100..150).contains(&served), "{served}");
    assert_eq!(refusal.code(), (429, "rate_limited".to_owned()));
    assert_eq!(refusal.header("retry-after"), Some("1"));
    assert_eq!(refusal.json()["error"]["type"], "rate_limited");

    // Another credential of the same organization has its own hundred, under both its spellings.
    let alias = other.replace("sk-lw-", "lwp_");
    for credential in [&other, &alias] {
        gateway.api_as(credential, "GET", KEYS, None).fine(200);
    }
    let (served, _) = exhausted(&gateway, &alias);
    assert!((98..150).contains(&served), "{served}");
    let same = gateway.api_as(&other, "GET", KEYS, None);
    assert_eq!(same.status(), 429, "{}", same.text());

    // The organization's own families are not counted, and who is unknown is told so however often.
    gateway.api("GET", "/api/organization", None).fine(200);
    let (served, refusal) = exhausted(&gateway, "sk-lw-unknown");
    assert_eq!((served, refusal.status()), (0, 401));
}

#[test]
fn no_limit_is_no_limit() {
    let gateway = Gateway::builder()
        .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
        .start();
    let mut conn = Conn::open(gateway.control);
    let ask = Ask::get(KEYS).bearer(gateway.api_key());
    for _ in 0..300 {
        conn.call(&ask).fine(200);
    }
}

#[test]
fn the_command_line_waits_until_it_may_call_again() {
    let gateway = Gateway::builder()
        .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "20")
        .start();
    let (_, refusal) = exhausted(&gateway, gateway.api_key());
    let wait = refusal
        .header("retry-after")
        .and_then(|text| text.parse().ok());
    let wait: u64 = wait.expect("seconds");
    assert!((1..=3).contains(&wait), "{wait}");
    let began = Instant::now();
    let listed = gateway.cli(&["virtual-keys", "list", "-f", "json"]).json();
    assert_eq!(listed, json!([]));
    // It was refused, waited the whole seconds that it was told, and was served.
    assert!(began.elapsed().as_millis() > 900, "{:?}", began.elapsed());
}
