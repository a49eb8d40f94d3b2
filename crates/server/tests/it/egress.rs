//! Where the gateway may be made to call: nowhere private, unless the operator listed it (data-plane 23).

use serde_json::{Value, json};

use crate::support::{Ask, Gateway, chat, once, provider};

const CHAT: &str = "/v1/chat/completions";

fn stored(gateway: &Gateway, url: &str) -> (u16, String) {
    let body = json!({
        "provider": "custom", "name": "try",
        "custom_keys": {"CUSTOM_API_KEY": "sk-egress-canary", "CUSTOM_BASE_URL": url},
    });
    let answer = gateway.api("POST", "/api/gateway/v1/model-providers", Some(&body));
    assert!(
        !answer.text().contains("egress-canary"),
        "{}",
        answer.text()
    );
    (answer.status(), answer.text())
}

#[test]
fn a_private_address_is_refused_when_it_is_saved() {
    let gateway = Gateway::builder()
        .without("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS")
        .start();
    for url in [
        "http://127.0.0.1:9/v1",
        "http://127.1.2.3/v1",
        "http://10.0.0.1/v1",
        "http://172.16.5.4",
        "https://192.168.1.1/v1",
        "http://100.64.0.1",
        "http://169.254.169.254/latest",
        "http://0.0.0.0:80",
        "http://[::1]:80/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[::ffff:7f00:1]/v1",
        "http://[fd00::1]/v1",
        "http://[fe80::1]/v1",
        "http://[64:ff9b::7f00:1]/v1",
        "http://2130706433/v1",
        "http://0x7f.1/v1",
        "http://0177.0.0.1/v1",
        "http://metadata.google.internal/v1",
        "http://METADATA/v1",
        "http://x.compute.internal",
        "http://user:pass@api.example.com/v1",
        "ftp://api.example.com/v1",
        "file:///etc/passwd",
        "//api.example.com",
        "not a url",
    ] {
        let (status, text) = stored(&gateway, url);
        assert_eq!(status, 400, "{url}: {text}");
        assert!(
            text.contains("CUSTOM_BASE_URL") || text.contains("base_url"),
            "{url}: {text}"
        );
    }
    let (status, text) = stored(&gateway, "https://api.example.com/v1");
    assert_eq!(status, 201, "{text}");
    let config = json!({
        "provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-egress-canary"},
        "provider_config": {"base_url": "http://10.1.1.1/v1"},
    });
    let answer = gateway.api("POST", "/api/gateway/v1/model-providers", Some(&config));
    assert_eq!(answer.status(), 400, "{}", answer.text());
}

#[test]
fn a_listed_range_is_allowed_and_never_the_metadata_service() {
    for allowed in ["127.0.0.0/8,10.0.0.0/8", "true"] {
        let gateway = Gateway::builder()
            .env("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", allowed)
            .start();
        assert_eq!(
            stored(&gateway, "http://127.0.0.1:9/v1").0,
            201,
            "{allowed}"
        );
        assert_eq!(stored(&gateway, "http://10.9.8.7/v1").0, 201, "{allowed}");
        let elsewhere = if allowed == "true" { 201 } else { 400 };
        assert_eq!(
            stored(&gateway, "http://192.168.1.1/v1").0,
            elsewhere,
            "{allowed}"
        );
        for url in [
            "http://169.254.169.254/v1",
            "http://[::ffff:169.254.169.254]/v1",
            "http://168.63.129.16/v1",
            "http://[fd00:ec2::254]/v1",
            "http://metadata.google.internal/v1",
            "http://0.0.0.0/v1",
        ] {
            assert_eq!(stored(&gateway, url).0, 400, "{allowed} {url}");
        }
    }
}

#[test]
fn a_private_address_is_refused_when_it_is_dialled() {
    let (mut gateway, mock, key) = Gateway::with_provider();
    let port = mock.addr().port();
    gateway.create_provider(&json!({
        "provider": "custom", "name": "By name", "routing_handle": "named",
        "custom_keys": {"CUSTOM_API_KEY": "sk-x", "CUSTOM_BASE_URL": format!("http://localhost:{port}/v1")},
    }));
    let named = |model: &str| {
        let mut body = chat("hi");
        body["model"] = json!(model);
        Ask::post(CHAT, &key.secret, &body)
    };
    assert_eq!(gateway.call(&named("gpt-4o-mini")).status(), 200);
    // What was fine when it was saved is not fine any more: as with a name that is bound anew.
    gateway.stop();
    gateway
        .relaunch(&[("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", None)])
        .expect("it starts");
    let before = mock.requests().len();
    for model in ["gpt-4o-mini", "named/gpt-4o-mini"] {
        let answer = gateway.call(&named(model));
        assert_eq!(
            answer.code(),
            (400, "bad_request".to_owned()),
            "{model}: {}",
            answer.text()
        );
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!(entry.amount.0, 0, "{entry:?}");
    }
    assert_eq!(mock.requests().len(), before, "nothing was dialled");
    assert_eq!(mock.open_connections(), 0);
    let listed = gateway.call(&Ask::get("/v1/models").bearer(&key.secret));
    assert_eq!(listed.status(), 200);
    assert_eq!(mock.requests().len(), before, "nor for the list of models");
    assert!(
        listed
            .header("x-langwatch-models-discovery-incomplete")
            .is_some(),
        "{:?}",
        listed.head
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let (gateway, mock, key) = Gateway::with_provider();
    let elsewhere = provider();
    let location = format!("{}/v1/chat/completions", elsewhere.base_url());
    for status in [301, 302, 307, 308] {
        once(
            &mock,
            &json!({"status": status, "headers": {"location": location}}),
        );
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.header("location"), None);
    }
    assert!(elsewhere.requests().is_empty());
    assert_eq!(mock.requests().len(), 4);
}

#[test]
fn a_host_that_does_not_exist_is_the_configurations_fault() {
    let gateway = Gateway::start();
    let key = gateway.create_key();
    assert_eq!(stored(&gateway, "https://no-such-host.invalid/v1").0, 201);
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    // Resolvers without a network say "try again" where others say "no such name".
    let (status, code) = answer.code();
    assert!(
        (status, code.as_str()) == (400, "bad_request")
            || (status, code.as_str()) == (502, "provider_error"),
        "{}",
        answer.text()
    );
    assert_ne!(answer.json()["error"]["message"], Value::Null);
}
