//! What is refused before a provider is dialled: keys, routes, bodies, names. Every refusal is in the
//! caller's dialect, carries its ids, and no provider ever hears of it.

use std::io::Write as _;

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::support::{
    Answer, Ask, Conn, Gateway, Key, chat, chat_stream, eventually, messages, responses, sha256,
};

const CHAT: &str = "/v1/chat/completions";

/// Headers, and the key that is found in them.
type Case<'a> = (Vec<(&'static str, String)>, Option<&'a Key>);

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A brotli stream of one stored block: written by hand, because no encoder is at hand.
fn brotli(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() - 1).expect("a short text");
    assert!(length < 1 << 16);
    // From the lowest bit: window 16, not last, four nibbles of length, stored.
    let head = (length << 4 | 1 << 20).to_le_bytes();
    [&head[..3], data, &[0x03]].concat()
}

/// A refusal of ours on the customer surface: everything that must be in it.
fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    assert_eq!(answer.code(), (status, code.to_owned()), "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-langwatch-handled-error"), Some(code));
    assert_eq!(answer.header("x-langwatch-provider"), None, "{body}");
    let error = &body["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{body}"
    );
    assert_eq!(
        error["trace_id"].as_str(),
        answer.header("x-langwatch-trace-id"),
        "{body}"
    );
    assert_eq!(
        error["span_id"].as_str(),
        answer.header("x-langwatch-span-id"),
        "{body}"
    );
    assert!(answer.header("traceparent").is_some() && answer.request_id().starts_with("req_"));
    assert!(answer.header("x-langwatch-gateway-version").is_some());
    error.clone()
}

fn nobody_was_asked(mock: &MockProvider) {
    assert!(mock.requests().is_empty(), "{:?}", mock.requests());
}

#[test]
fn a_key_is_taken_from_five_headers_and_the_first_that_holds_one_wins() {
    let (gateway, mock, key) = Gateway::with_provider();
    let other = gateway.create_key();
    let book = gateway.book();
    let bearer = |secret: &str| format!("Bearer {secret}");
    let (ours, theirs) = (key.secret.as_str(), other.secret.as_str());
    let cases: Vec<Case<'_>> = vec![
        (vec![("Authorization", bearer(ours))], Some(&key)),
        (
            vec![("authorization", format!("bEaReR   {ours}  "))],
            Some(&key),
        ),
        (vec![("x-api-key", ours.into())], Some(&key)),
        (vec![("api-key", ours.into())], Some(&key)),
        (vec![("x-goog-api-key", ours.into())], Some(&key)),
        (vec![("xi-api-key", ours.into())], Some(&key)),
        (
            vec![
                ("x-api-key", theirs.into()),
                ("Authorization", bearer(ours)),
            ],
            Some(&key),
        ),
        (
            vec![("api-key", theirs.into()), ("x-api-key", ours.into())],
            Some(&key),
        ),
        (
            vec![("x-goog-api-key", theirs.into()), ("api-key", ours.into())],
            Some(&key),
        ),
        (
            vec![
                ("xi-api-key", theirs.into()),
                ("x-goog-api-key", ours.into()),
            ],
            Some(&key),
        ),
        (
            vec![
                ("Authorization", "Bearer ".into()),
                ("x-api-key", ours.into()),
            ],
            Some(&key),
        ),
        (
            vec![
                ("Authorization", "Basic eDp5".into()),
                ("x-api-key", ours.into()),
            ],
            Some(&key),
        ),
        (
            vec![
                ("Authorization", bearer("vk-lw-wrong")),
                ("x-api-key", ours.into()),
            ],
            None,
        ),
        (
            vec![("x-api-key", "   ".into()), ("api-key", ours.into())],
            Some(&key),
        ),
    ];
    for (headers, expected) in cases {
        let mut ask = Ask::new("POST", CHAT).body(chat("hi").to_string());
        for (name, value) in &headers {
            ask = ask.header(name, value);
        }
        let answer = gateway.call(&ask);
        match expected {
            Some(key) => {
                assert_eq!(answer.status(), 200, "{headers:?}: {}", answer.text());
                let entry = book.ended(&answer.request_id());
                assert_eq!(entry.virtual_key_id.to_string(), key.id, "{headers:?}");
            }
            None => {
                refused(&answer, 401, "invalid_api_key");
            }
        }
    }
    for seen in mock.requests() {
        assert!(!format!("{seen:?}").contains("vk-lw-"), "{seen:?}");
    }
}

#[test]
fn without_a_usable_key_nothing_is_served() {
    let (gateway, mock, key) = Gateway::with_provider();
    let long = format!("vk-lw-{}", "x".repeat(300));
    for path in [
        CHAT,
        "/v1/messages",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages/count_tokens",
    ] {
        let plain = || Ask::new("POST", path).body("{}");
        for (ask, word) in [
            (plain(), "x-goog-api-key"),
            (plain().bearer(""), "x-api-key"),
            (plain().bearer("vk-lw-00000000000000000000000000"), ""),
            (plain().bearer(&long), ""),
            (plain().bearer("two words"), ""),
            (plain().header("Authorization", &key.secret), ""),
        ] {
            let answer = gateway.call(&ask);
            let error = refused(&answer, 401, "invalid_api_key");
            assert_eq!(error["type"], "invalid_api_key");
            assert_eq!(error["fault"], "customer");
            assert!(answer.text().contains(word), "{}", answer.text());
            // Anthropic clients look for the type at the top, OpenAI clients at `error`.
            let top = answer.json()["type"].clone();
            let expected = if path.starts_with("/v1/messages") {
                json!("error")
            } else {
                Value::Null
            };
            assert_eq!(top, expected, "{path}");
        }
    }
    for path in ["/v1/models", "/v1/models/gpt-4o"] {
        refused(&gateway.get(path), 401, "invalid_api_key");
    }
    nobody_was_asked(&mock);
}

#[test]
fn a_key_that_may_not_be_used_says_why_in_the_callers_dialect() {
    let (gateway, mock, _) = Gateway::with_provider();
    let make = |action: &str| {
        let key = gateway.create_key();
        gateway.act(&key, action);
        key
    };
    for (key, code) in [
        (make("disable"), "virtual_key_disabled"),
        (make("revoke"), "virtual_key_revoked"),
    ] {
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
        refused(&answer, 403, code);
        assert_eq!(answer.json()["type"], Value::Null);
        let ask = Ask::new("POST", "/v1/messages").header("x-api-key", &key.secret);
        let answer = gateway.call(&ask.body(messages("hi", true).to_string()));
        refused(&answer, 403, code);
        assert_eq!(answer.json()["type"], "error");
    }
    nobody_was_asked(&mock);
}

#[test]
fn unknown_routes_and_wrong_methods_are_named_as_such() {
    let (gateway, mock, key) = Gateway::with_provider();
    let with_key =
        |method: &str, path: &str| gateway.call(&Ask::new(method, path).bearer(&key.secret));
    for path in [
        "/v2/chat",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v1",
        "/api/health",
        "/x%00y",
    ] {
        refused(&with_key("POST", path), 404, "not_found");
    }
    for (method, path, allowed) in [
        ("GET", CHAT, "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("POST", "/v1/models/gpt-4o", "GET"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/v1/responses", "POST"),
    ] {
        let answer = with_key(method, path);
        refused(&answer, 405, "bad_request");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_eq!(with_key("GET", "/v1/messages").json()["type"], "error");
    nobody_was_asked(&mock);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_anybody_is_asked_who_they_are() {
    let (gateway, mock, key) = Gateway::builder()
        .env("SERVER_MAX_REQUEST_BODY_BYTES", "1000")
        .with_provider();
    // The length alone is enough: no key, and not one byte of the body.
    let mut conn = Conn::open(gateway.addr);
    let answer = conn.call(&Ask::new("POST", CHAT).header("Content-Length", "1001"));
    let error = refused(&answer, 413, "payload_too_large");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("1000")),
        "{error}"
    );
    assert!(conn.is_closed(), "the rest of the body is not read");

    let text = chat(&"x".repeat(2_000)).to_string();
    let chunked = Ask::post(CHAT, &key.secret, &text).chunked(500);
    refused(&gateway.call(&chunked), 413, "payload_too_large");
    let endless = Ask::new("POST", CHAT).body(text.clone()).chunked(500);
    refused(&gateway.call(&endless), 401, "invalid_api_key");

    let bomb = chat(&"0".repeat(3_000_000)).to_string();
    for (name, packed) in [
        ("gzip", gzip(bomb.as_bytes())),
        ("deflate", zlib(bomb.as_bytes())),
        ("zstd", zstd(bomb.as_bytes())),
    ] {
        // What arrives is within the cap or is refused by its length; what comes out is not.
        let ask = Ask::post(CHAT, &key.secret, "").header("Content-Encoding", name);
        let answer = gateway.call(&ask.body(packed.clone()).chunked(4_096));
        refused(&answer, 413, "payload_too_large");
    }
    let twice = gzip(&gzip(bomb.as_bytes()));
    assert!(twice.len() < 1_000, "{}", twice.len());
    let ask = Ask::post(CHAT, &key.secret, "").header("Content-Encoding", "gzip, gzip");
    refused(&gateway.call(&ask.body(twice)), 413, "payload_too_large");
    nobody_was_asked(&mock);
    let fits = Ask::post(CHAT, &key.secret, chat("hi")).chunked(10);
    assert_eq!(gateway.call(&fits).status(), 200);
}

#[test]
fn compressed_bodies_are_undone_before_they_are_forwarded() {
    let (gateway, mock, key) = Gateway::with_provider();
    let body = chat("squeeze me").to_string();
    let plain = body.as_bytes();
    for (encoding, packed) in [
        ("gzip", gzip(plain)),
        ("X-GZIP", gzip(plain)),
        ("deflate", zlib(plain)),
        ("zstd", zstd(plain)),
        ("br", brotli(plain)),
        ("identity", plain.to_vec()),
        ("deflate, gzip", gzip(&zlib(plain))),
        ("zstd,identity , gzip", gzip(&zstd(plain))),
    ] {
        let ask = Ask::post(CHAT, &key.secret, "").header("Content-Encoding", encoding);
        let answer = gateway.call(&ask.body(packed));
        assert_eq!(answer.status(), 200, "{encoding}: {}", answer.text());
        let seen = mock.requests().pop().expect("a request");
        assert_eq!(seen.body_sha256, sha256(plain), "{encoding}");
        assert_eq!(seen.headers.get("content-encoding"), None, "{encoding}");
        assert_eq!(
            seen.headers.get("content-length"),
            Some(&plain.len().to_string())
        );
    }
    let before = mock.requests().len();
    let mut cut = gzip(plain);
    cut.truncate(cut.len() - 6);
    for (encoding, packed, word) in [
        ("gzip", cut, "damaged"),
        ("gzip", plain.to_vec(), "damaged"),
        ("zstd", b"\x28\xb5\x2f\xfdnot".to_vec(), "damaged"),
        ("br", b"\xff\xff\xff".to_vec(), "damaged"),
        ("deflate", gzip(plain), "damaged"),
        ("lzma", plain.to_vec(), "lzma"),
        ("gzip, compress", gzip(plain), "compress"),
    ] {
        let ask = Ask::post(CHAT, &key.secret, "").header("Content-Encoding", encoding);
        let error = refused(&gateway.call(&ask.body(packed)), 400, "bad_request");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(word)),
            "{error}"
        );
    }
    assert_eq!(mock.requests().len(), before);
}

#[test]
fn a_body_that_can_be_read_in_two_ways_is_refused() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (body, param) in [
        (
            r#"{"model":"gpt-4o","messages":[],"model":"gpt-4o-mini"}"#,
            json!("model"),
        ),
        (
            r#"{"model":"gpt-4o","messages":[],"mod\u0065l":"gpt-4o-mini"}"#,
            json!("model"),
        ),
        (
            r#"{"stream":true,"model":"gpt-4o","messages":[],"stream":false}"#,
            json!("stream"),
        ),
        (
            r#"{"messages":[],"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}"#,
            json!("messages"),
        ),
        (
            r#"{"tools":[],"model":"gpt-4o","messages":[],"tools":[]}"#,
            json!("tools"),
        ),
        (
            r#"{"user":"a","model":"gpt-4o","messages":[],"user":"b"}"#,
            json!("user"),
        ),
        (r#"{"model":17,"messages":[]}"#, json!("model")),
        ("[]", Value::Null),
        ("\"text\"", Value::Null),
        ("", Value::Null),
        ("{", Value::Null),
        (r#"{"model":"gpt-4o"} {}"#, Value::Null),
        (r#"{"model":"gpt-4o",}"#, Value::Null),
        (r#"{"model":"gpt-4o" "messages":[]}"#, Value::Null),
        ("\u{feff}{\"model\":\"gpt-4o\"}", Value::Null),
        ("not json", Value::Null),
    ] {
        let answer = gateway.call(&Ask::post(CHAT, &key.secret, body));
        assert!(mock.requests().is_empty(), "it passed: {body}");
        let error = refused(&answer, 400, "bad_request");
        if !param.is_null() {
            assert_eq!(error["param"], param, "{body}");
        }
    }
    nobody_was_asked(&mock);
    // Text that is no UTF-8 in a field that decides nothing is the provider's to refuse.
    let raw = b"{\"model\":\"gpt-4o\",\"x\":\"\xff\"}".to_vec();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, "").body(raw.clone()));
    assert_eq!(answer.status(), 400);
    if let Some(seen) = mock.requests().pop() {
        assert_eq!(seen.body_sha256, sha256(&raw));
    }
    let raw = b"{\"model\":\"gpt-4o\xff\",\"messages\":[]}".to_vec();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, "").body(raw));
    refused(&answer, 400, "bad_request");
}

#[test]
fn a_missing_model_is_said_for_the_route() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (path, kind, body) in [
        (CHAT, "chat", r#"{"messages":[]}"#),
        (CHAT, "chat", r#"{"model":null,"messages":[]}"#),
        (CHAT, "chat", r#"{"model":"","messages":[{"model":"x"}]}"#),
        (
            "/v1/messages",
            "messages",
            r#"{"max_tokens":1,"messages":[]}"#,
        ),
        ("/v1/responses", "responses", r#"{"input":"x"}"#),
        ("/v1/embeddings", "embeddings", r#"{"input":"x"}"#),
    ] {
        let answer = gateway.call(&Ask::post(path, &key.secret, body));
        let error = refused(&answer, 400, "missing_model");
        assert_eq!(error["meta"]["request_type"], kind);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains("model")),
            "{error}"
        );
        // The key is known, so the refusal is on the record, at no cost.
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!(entry.amount.0, 0);
        assert_eq!(entry.detail.error_type.as_deref(), Some("missing_model"));
    }
    nobody_was_asked(&mock);
}

#[test]
fn without_a_provider_the_caller_is_told_where_to_add_one() {
    let gateway = Gateway::start();
    let key = gateway.create_key();
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, chat("hi")));
    let error = refused(&answer, 400, "no_provider_configured");
    assert!(answer.text().contains("Model Providers"), "{error}");
    let listed = gateway.call(&Ask::get("/v1/models").bearer(&key.secret));
    assert_eq!(listed.fine(200)["data"], json!([]));
}

#[test]
fn a_refused_model_names_what_was_asked_and_what_is_reachable() {
    let (gateway, mock, key) = Gateway::with_provider();
    let config = |config: Value| gateway.create_key_with(json!({"config": config}));
    let listed = config(json!({
        "modelsAllowed": ["gpt-4o*", "anthropic/claude-haiku-4-5"],
        "modelAliases": {"claude": "anthropic/claude-sonnet-4-5"},
    }));
    let ask = |key: &Key, path: &str, model: &str| {
        let mut body = if path == CHAT {
            chat("hi")
        } else {
            messages("hi", false)
        };
        body["model"] = json!(model);
        gateway.call(&Ask::post(path, &key.secret, &body))
    };
    let says = |answer: &Answer, words: &[&str]| {
        let error = refused(answer, 403, "model_not_allowed");
        for word in words {
            assert!(error.to_string().contains(word), "`{word}` in {error}");
        }
        error
    };
    says(&ask(&listed, CHAT, "gpt-5-mini"), &["gpt-5-mini"]);
    says(
        &ask(&listed, CHAT, "openai/gpt-5-mini"),
        &["openai/gpt-5-mini"],
    );
    says(
        &ask(&listed, "/v1/messages", "claude"),
        &["claude-sonnet-4-5", "`claude`"],
    );
    says(&ask(&listed, CHAT, "GPT-4o"), &["GPT-4o"]);
    let error = says(
        &ask(&key, CHAT, "gemini/gemini-2.5-pro"),
        &["gemini", "openai", "anthropic"],
    );
    assert_eq!(
        error["meta"]["reason"], "model_provider_not_bound",
        "{error}"
    );
    assert_eq!(
        error["meta"]["options"],
        json!(["anthropic", "openai"]),
        "{error}"
    );
    // A surface that no candidate serves.
    says(
        &ask(&key, "/v1/embeddings", "claude-haiku-4-5"),
        &["claude-haiku-4-5", "/v1/embeddings"],
    );
    nobody_was_asked(&mock);
    assert_eq!(ask(&listed, CHAT, "gpt-4o-mini").status(), 200);
    assert_eq!(
        ask(&listed, "/v1/messages", "claude-haiku-4-5").status(),
        200
    );
}

#[test]
fn a_widened_allowlist_takes_effect_with_the_next_request() {
    let (gateway, _mock, _) = Gateway::with_provider();
    let key = gateway.create_key_with(json!({"config": {"modelsAllowed": ["gpt-5*"]}}));
    let ask = Ask::post(CHAT, &key.secret, chat("hi"));
    refused(&gateway.call(&ask), 403, "model_not_allowed");
    gateway
        .patch_key(&key, &json!({"config": {"modelsAllowed": null}}))
        .fine(200);
    assert_eq!(gateway.call(&ask).status(), 200);
}

#[test]
fn provider_access_and_handles_decide_which_row_serves() {
    let mock = crate::support::provider();
    let gateway = Gateway::start();
    let row = |handle: &str, credential: &str| {
        gateway.create_provider(&json!({
            "provider": "anthropic", "name": handle, "routing_handle": handle,
            "custom_keys": {"ANTHROPIC_API_KEY": credential, "ANTHROPIC_BASE_URL": mock.base_url()},
        }))
    };
    let (_europe, us) = (row("europe", "sk-row-europe"), row("us", "sk-row-us"));
    let key = gateway.create_key();
    let narrow = gateway.create_key_with(json!({"config": {"providersAllowed": [us]}}));
    let ask = |key: &Key, model: &str| {
        let mut body = messages("hi", false);
        body["model"] = json!(model);
        gateway.call(&Ask::post("/v1/messages", &key.secret, &body))
    };
    for (key, model, credential) in [
        (&key, "europe/claude-haiku-4-5", "sk-row-europe"),
        (&key, "US/claude-haiku-4-5", "sk-row-us"),
        (&key, "claude-haiku-4-5", "sk-row-europe"),
        (&narrow, "claude-haiku-4-5", "sk-row-us"),
    ] {
        assert_eq!(ask(key, model).status(), 200, "{model}");
        let seen = mock.requests().pop().expect("a request");
        assert_eq!(
            seen.headers["x-api-key"],
            lw_mock::key_digest(credential),
            "{model}"
        );
        assert!(
            seen.body
                .is_some_and(|body| body.contains("\"claude-haiku-4-5\""))
        );
    }
    let before = mock.requests().len();
    let answer = ask(&narrow, "europe/claude-haiku-4-5");
    let error = refused(&answer, 403, "model_not_allowed");
    assert!(error.to_string().contains("access"), "{error}");
    assert_eq!(mock.requests().len(), before);
    // Neither a handle nor a type: the whole is a name, which the provider may know.
    assert_eq!(ask(&key, "asia/claude-haiku-4-5").status(), 200);
    let seen = mock.requests().pop().and_then(|seen| seen.body);
    assert!(seen.is_some_and(|body| body.contains("\"asia/claude-haiku-4-5\"")));
}

#[test]
fn the_model_list_is_what_the_key_reaches_in_either_shape() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let narrow = gateway.create_key_with(json!({
        "config": {"modelsAllowed": ["gpt-4o*", "exactly-this"], "modelAliases": {"fast": "gpt-4o-mini", "gone": "gpt-5"}},
    }));
    let list = |key: &Key| gateway.call(&Ask::get("/v1/models").bearer(&key.secret));
    let ids = |answer: &Answer| -> Vec<String> {
        let rows = answer.fine(200)["data"].as_array().expect("rows").clone();
        rows.iter()
            .map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let all = ids(&list(&key));
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    assert!(!all.is_empty());
    assert_eq!(all, sorted, "sorted, and each once");
    let few = ids(&list(&narrow));
    assert!(
        few.contains(&"fast".to_owned()) && !few.contains(&"gone".to_owned()),
        "{few:?}"
    );
    assert!(
        !few.iter()
            .any(|id| id.contains('*') || id.starts_with("claude")),
        "{few:?}"
    );
    let one = gateway.call(&Ask::get(&format!("/v1/models/{}", all[0])).bearer(&key.secret));
    assert_eq!(one.fine(200)["id"], all[0].as_str());
    let none = gateway.call(&Ask::get("/v1/models/no/such").bearer(&key.secret));
    refused(&none, 404, "not_found");
    let ask = Ask::get("/v1/models")
        .header("x-api-key", &key.secret)
        .header("anthropic-version", "2023-06-01");
    let anthropic = gateway.call(&ask).fine(200);
    assert_eq!(anthropic["data"][0]["type"], "model", "{anthropic}");
    assert_eq!(anthropic["first_id"], anthropic["data"][0]["id"]);
    assert_eq!(anthropic["has_more"], false);
}

#[test]
fn a_caller_that_hangs_up_in_the_middle_of_its_body_leaves_nothing_behind() {
    let (gateway, mock, key) = Gateway::with_provider();
    for ask in [
        Ask::post(CHAT, &key.secret, chat_stream("hi")).chunked(20),
        Ask::post(CHAT, &key.secret, responses("hi", false)),
    ] {
        let wire = ask.wire();
        let mut conn = Conn::open(gateway.addr);
        conn.write(&wire[..wire.len() - 10]);
        conn.finish();
        // Either a refusal or a closed connection; never a call to the provider.
        if let Ok(answer) = conn.answer(false) {
            assert_eq!(answer.status(), 400, "{}", answer.text());
        }
    }
    eventually("nothing is in flight", || {
        (gateway.metric("gateway_in_flight_requests") <= 1.0).then_some(())
    });
    nobody_was_asked(&mock);
}

#[test]
fn a_refusal_reaches_a_caller_that_is_still_sending() {
    let (gateway, mock, key) = Gateway::with_provider();
    // Far more than sockets hold: whoever closes without reading resets the connection, and the caller
    // would never read why.
    let large = chat(&"x".repeat(24 << 20)).to_string();
    for (secret, path, status, code) in [
        ("vk-lw-unknown", CHAT, 401, "invalid_api_key"),
        (key.secret.as_str(), "/v1/nowhere", 404, "not_found"),
    ] {
        let mut conn = Conn::open(gateway.addr);
        let answer = conn.try_call(&Ask::post(path, secret, &large));
        let answer = answer.unwrap_or_else(|error| panic!("{code}: {error}"));
        refused(&answer, status, code);
    }
    let mut conn = Conn::open(gateway.addr);
    let over = chat(&"x".repeat(33 << 20)).to_string();
    let answer = conn.try_call(&Ask::post(CHAT, &key.secret, &over));
    refused(&answer.expect("413, not a reset"), 413, "payload_too_large");
    let mut conn = Conn::open(gateway.addr);
    let answer = conn.try_call(&Ask::post(CHAT, &key.secret, &over).chunked(1 << 16));
    refused(&answer.expect("413, not a reset"), 413, "payload_too_large");
    nobody_was_asked(&mock);
}

#[test]
fn a_caller_that_asks_before_it_sends_its_body_is_told_to_go_on() {
    let (gateway, mock, key) = Gateway::with_provider();
    let wire = Ask::post(CHAT, &key.secret, chat("hi"))
        .header("Expect", "100-continue")
        .wire();
    let at = wire
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let mut conn = Conn::open(gateway.addr);
    conn.write(&wire[..at]);
    assert_eq!(conn.interim().expect("a word"), 100);
    conn.write(&wire[at..]);
    assert_eq!(conn.answer(false).expect("an answer").status(), 200);
    assert_eq!(mock.requests().len(), 1);
    // Who is refused anyway is not asked for the body.
    let wire = Ask::post(CHAT, "nobody", chat("hi"))
        .header("Expect", "100-continue")
        .wire();
    let mut conn = Conn::open(gateway.addr);
    conn.write(&wire[..at - key.secret.len() + 6]);
    let answer = conn.answer(false).expect("an answer");
    refused(&answer, 401, "invalid_api_key");
}

#[test]
fn lengths_that_contradict_each_other_reach_nobody() {
    let (gateway, mock, key) = Gateway::with_provider();
    let body = chat("hi").to_string();
    let head = |lines: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
            key.secret
        )
    };
    for lines in [
        format!("Content-Length: {}\r\nContent-Length: 5\r\n", body.len()),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 1e3\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
    ] {
        let mut conn = Conn::open(gateway.addr);
        conn.write(format!("{}{body}", head(&lines)).as_bytes());
        let answer = conn.answer(false);
        assert!(
            answer
                .as_ref()
                .map_or(true, |answer| answer.status() == 400),
            "{lines}: {answer:?}"
        );
    }
    nobody_was_asked(&mock);
    // Both framings at once: at most one request comes of it, and nothing hides behind it.
    let mut conn = Conn::open(gateway.addr);
    let hidden = format!(
        "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        key.secret
    );
    let both = head(&format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
        5 + hidden.len()
    ));
    conn.write(format!("{both}0\r\n\r\n{hidden}").as_bytes());
    let first = conn.answer(false);
    assert!(
        first.as_ref().map_or(true, |answer| answer.status() == 400),
        "{first:?}"
    );
    nobody_was_asked(&mock);
}
