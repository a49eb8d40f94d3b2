//! Bytes are the product: what was sent is what the provider gets, what it answers is what the caller
//! gets, however it is cut.

use lw_mock::{MockProvider, Script};
use serde_json::{Value, json};

use crate::support::{
    Ask, Conn, Gateway, chat, chat_stream, directive, eventually, messages, once, parsed,
    responses, sha256, text,
};

/// Bodies that a parser and a printer would change: big numbers, white space, escapes, order, doubles.
fn odd(model: &str, rest: &str) -> String {
    format!(
        "\n {{\t\"zeta\" : 123456789012345678901234567890, \"tiny\":1e-400,\"one\":1.0 ,\r\n \
         \"model\" :\"{model}\",\"nested\":{{\"model\":\"keep-me\",\"stream\":true}},\
         \"esc\":\"\\u0041\\ud83d\\ude00\\/\\u00e9 é 😀\",\"twice\":1,\"twice\":2,\"empty\":{{ }} , {rest} }} \n\n"
    )
}

const CHAT: &str = r#""messages":[{"role":"user", "content":"hi"}]"#;

fn seen_body(mock: &MockProvider) -> String {
    let seen = mock.requests().pop().expect("a request");
    let body = seen.body.expect("its body");
    assert_eq!(seen.body_sha256, sha256(body.as_bytes()));
    body
}

#[test]
fn a_request_body_reaches_the_provider_byte_for_byte_on_every_lane() {
    let (gateway, mock, key) = Gateway::with_provider();
    let chat_with = |more: &str| odd("gpt-4o-mini", &format!("{CHAT}{more}"));
    for (path, body) in [
        ("/v1/chat/completions", chat_with("")),
        (
            "/v1/chat/completions",
            chat_with(r#","stream" : true, "stream_options":{"include_usage" :false}"#),
        ),
        (
            "/v1/chat/completions",
            chat_with(r#", "stream_options" :{"a":1, "include_usage":true},"stream":true"#),
        ),
        ("/v1/chat/completions", chat_with(r#","stream":false"#)),
        (
            "/v1/responses",
            odd("gpt-4o-mini", r#""input" : "hi","stream":true"#),
        ),
        ("/v1/responses", odd("gpt-4o-mini", r#""input":"hi""#)),
        (
            "/v1/embeddings",
            odd("text-embedding-3-small", r#""input":["a" , "b"]"#),
        ),
        (
            "/v1/messages",
            odd("claude-haiku-4-5", &format!(r#""max_tokens":9,{CHAT}"#)),
        ),
        (
            "/v1/messages",
            odd(
                "claude-haiku-4-5",
                &format!(r#""max_tokens":9,{CHAT},"stream":true"#),
            ),
        ),
        // A default for what is missing would be ours: the provider's own refusal is the answer.
        ("/v1/messages/count_tokens", odd("claude-haiku-4-5", CHAT)),
    ] {
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_eq!(seen_body(&mock), body, "{path}");
    }
    let body = odd("claude-haiku-4-5", CHAT);
    let answer = gateway.call(&Ask::post("/v1/messages", &key.secret, &body));
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("max_tokens"), "{}", answer.text());
    assert_eq!(seen_body(&mock), body, "no default for max_tokens");
}

#[test]
fn an_answer_reaches_the_caller_byte_for_byte_on_every_lane() {
    let (gateway, mock, key) = Gateway::with_provider();
    let raw = "{\"n\":123456789012345678901234567890,\r\n \"u\":\"\\u0041\\ud83d\\ude00 \u{e9}\" , \
               \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1.0}, \"usage\" : null}\n ";
    let lanes = [
        ("/v1/chat/completions", chat("hi")),
        ("/v1/responses", responses("hi", false)),
        ("/v1/messages", messages("hi", false)),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": "hi"}),
        ),
    ];
    for (path, body) in lanes {
        for chunked in [false, true] {
            let odd = json!({"body_raw": raw, "chunked": chunked, "content_type": "application/json; x=\"y\""});
            once(&mock, &odd);
            let answer = gateway.call(&Ask::post(path, &key.secret, &body));
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.text(), raw, "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/json; x=\"y\"")
            );
            assert!(!answer.cut);
        }
    }
    // A stream with comments, other line ends, unknown events and no space behind the colon.
    let raw = ": hello\n\nevent:ping\r\ndata:{}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\
               \"completion_tokens\":4}}\n\nid: 7\nretry: 10\ndata: [DONE]\n\n: bye\n\n";
    once(&mock, &json!({"body_raw": raw}));
    let answer = gateway.call(&Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat_stream("hi"),
    ));
    assert_eq!(answer.text(), raw);
    let entry = gateway.book().ended(&answer.request_id());
    assert_eq!((entry.usage.input, entry.usage.output), (3, 4));
}

#[test]
fn bodies_of_a_mebibyte_pass_unchanged_in_both_directions() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let long = "word ".repeat(210_000);
    for (path, body, kind) in [
        ("/v1/chat/completions", chat(&long), "openai"),
        ("/v1/messages", messages(&long, false), "anthropic"),
        ("/v1/responses", responses(&long, false), "openai"),
    ] {
        let body = body.to_string();
        assert!(body.len() > 1 << 20);
        once(&mock, &json!({"response_bytes": 1_100_000}));
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        assert_eq!(answer.status(), 200);
        let truth = mock.truth().pop().expect("a generation");
        assert_eq!(
            mock.requests().pop().expect("a request").body_sha256,
            sha256(body.as_bytes())
        );
        assert!(answer.body.len() >= 1_100_000, "{}", answer.body.len());
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{path}");
        book.charged_exactly(&answer.request_id(), kind, &truth);
    }
}

#[test]
fn a_chunked_request_body_arrives_whole_and_unchanged() {
    let (gateway, mock, key) = Gateway::with_provider();
    let large = chat(&"word ".repeat(210_000)).to_string();
    let small = odd("gpt-4o-mini", CHAT);
    for (body, size) in [(&small, 1), (&small, 7), (&large, 7_919), (&large, 300_000)] {
        let ask = Ask::post("/v1/chat/completions", &key.secret, body).chunked(size);
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = mock.requests().pop().expect("a request");
        assert_eq!(seen.body_sha256, sha256(body.as_bytes()), "{size}");
    }
}

#[test]
fn a_model_name_is_replaced_in_its_place_and_nothing_else_changes() {
    let (gateway, mock, key) = Gateway::with_provider();
    let aliased = gateway.create_key_with(json!({
        "config": {"modelAliases": {
            "fast": "openai/gpt-4o-mini", "talk": "claude-haiku-4-5", "a/b": "gpt-4o",
        }},
    }));
    for (secret, path, sent, dispatched) in [
        (
            &aliased.secret,
            "/v1/chat/completions",
            "fast",
            "gpt-4o-mini",
        ),
        (&aliased.secret, "/v1/chat/completions", "a/b", "gpt-4o"),
        (&aliased.secret, "/v1/messages", "talk", "claude-haiku-4-5"),
        (
            &key.secret,
            "/v1/chat/completions",
            "openai/gpt-4o-mini",
            "gpt-4o-mini",
        ),
        (
            &key.secret,
            "/v1/chat/completions",
            "OpenAI/ft:x/y",
            "ft:x/y",
        ),
        (
            &key.secret,
            "/v1/chat/completions",
            r"openai\/gpt-4\u006f",
            "gpt-4o",
        ),
        (
            &key.secret,
            "/v1/responses",
            "openai/gpt-4o-mini",
            "gpt-4o-mini",
        ),
        (
            &key.secret,
            "/v1/messages",
            "anthropic/claude-haiku-4-5",
            "claude-haiku-4-5",
        ),
    ] {
        let rest = format!(r#""max_tokens":9,"input":"hi",{CHAT}"#);
        let answer = gateway.call(&Ask::post(path, secret, odd(sent, &rest)));
        assert_eq!(answer.status(), 200, "{sent}: {}", answer.text());
        assert_eq!(seen_body(&mock), odd(dispatched, &rest), "{sent}");
        assert_eq!(
            answer.header("x-langwatch-model"),
            Some(dispatched),
            "{sent}"
        );
        let entry = gateway.book().ended(&answer.request_id());
        assert_eq!(entry.model, dispatched);
    }
    // An escaped key is the key.
    let body = r#"{"mod\u0065l":"openai/gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, body));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(seen_body(&mock), body.replace("openai/", ""));
}

#[test]
fn max_tokens_gets_its_newer_name_only_for_keys_and_models_that_want_it() {
    let (gateway, mock, plain) = Gateway::with_provider();
    let willing = gateway.create_key_with(json!({"config": {"openaiCompatTranslate": true}}));
    for (secret, model, renamed) in [
        (&willing.secret, "gpt-5-mini", true),
        (&willing.secret, "gpt-4o", false),
        (&plain.secret, "gpt-5-mini", false),
    ] {
        let body = odd(model, &format!(r#""max_tokens" : 9,{CHAT}"#));
        let answer = gateway.call(&Ask::post("/v1/chat/completions", secret, body.as_str()));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let (name, header) = if renamed {
            (
                "max_completion_tokens",
                Some("max_tokens->max_completion_tokens"),
            )
        } else {
            ("max_tokens", None)
        };
        assert_eq!(
            seen_body(&mock),
            body.replace("max_tokens", name),
            "{model}"
        );
        assert_eq!(answer.header("x-langwatch-compat"), header, "{model}");
    }
}

#[test]
fn usage_is_asked_for_only_where_the_caller_left_it_open() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (sent, forwarded) in [
        (
            r#"  {  "stream":true,"#,
            r#"  {"stream_options":{"include_usage":true},  "stream":true,"#,
        ),
        (
            r#"{"stream":true,"stream_options":{},"#,
            r#"{"stream":true,"stream_options":{"include_usage":true},"#,
        ),
        (
            r#"{"stream_options": { "x":1 }, "stream":true,"#,
            r#"{"stream_options": {"include_usage":true, "x":1 }, "stream":true,"#,
        ),
        (
            r#"{"stream_options":null,"stream":true,"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"#,
        ),
        (r#"{"stream":false,"#, r#"{"stream":false,"#),
        (r#"{"x":{"stream":true},"#, r#"{"x":{"stream":true},"#),
    ] {
        let rest = r#""model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
        let ask = Ask::post("/v1/chat/completions", &key.secret, format!("{sent}{rest}"));
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{sent}: {}", answer.text());
        assert_eq!(seen_body(&mock), format!("{forwarded}{rest}"));
    }
}

#[test]
fn streams_arrive_unchanged_wherever_they_are_cut() {
    let (gateway, mock, key) = Gateway::with_provider();
    let book = gateway.book();
    let mut conn = Conn::open(gateway.addr);
    let mut random = 0x9E37_79B9_u64;
    let lanes = [
        (
            "/v1/chat/completions",
            chat_stream("one \u{e9} two"),
            "openai",
        ),
        (
            "/v1/messages",
            messages("one \u{e9} two", true),
            "anthropic",
        ),
        ("/v1/responses", responses("one \u{e9} two", true), "openai"),
    ];
    for round in 0..8_u64 {
        for (path, body, kind) in &lanes {
            let cuts: Vec<u64> = (0..12)
                .map(|_| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (random >> 33) % 4_000
                })
                .collect();
            let how = match round {
                0 => json!({"split_every": 1, "frames": 3, "text": "\u{e9}\u{1F600} x y"}),
                1 => json!({"split_every": 7, "frames": 30}),
                2 => json!({"split_every": 64, "pace_ms": 1, "frames": 10}),
                3 => json!({"frames": 400, "frame_text_bytes": 900}),
                _ => json!({"split_bytes": cuts, "pace_ms": 1, "frames": 20}),
            };
            once(&mock, &how);
            let answer = conn.call(&Ask::post(path, &key.secret, body));
            assert_eq!(answer.status(), 200, "{how}: {}", answer.text());
            let truth = mock.truth().pop().expect("a generation");
            assert!(!answer.cut && truth.completed, "{path} {how}");
            assert_eq!(sha256(&answer.body), truth.body_sha256, "{path} {how}");
            book.charged_exactly(&answer.request_id(), kind, &truth);
        }
    }
}

#[test]
fn two_hundred_streams_at_once_keep_apart() {
    let (gateway, mock, key) = Gateway::with_provider();
    mock.script(Script::always(directive(
        &json!({"frames": 8, "pace_ms": 25}),
    )));
    let asked: Vec<(String, Conn)> = (0..200)
        .map(|number| {
            let user = format!("user-{number}");
            let mut body = chat_stream(&format!("say {}", "word ".repeat(number % 17)));
            body["user"] = json!(user);
            let mut conn = Conn::open(gateway.addr);
            conn.write(&Ask::post("/v1/chat/completions", &key.secret, &body).wire());
            (user, conn)
        })
        .collect();
    let answers: Vec<_> = asked
        .into_iter()
        .map(|(user, mut conn)| (user, conn.answer(false).expect("an answer")))
        .collect();
    let (truths, book) = (mock.truth(), gateway.book());
    assert_eq!(truths.len(), 200);
    for (user, answer) in answers {
        assert_eq!(answer.status(), 200);
        let mut own = truths
            .iter()
            .filter(|truth| truth.user.as_ref() == Some(&user));
        let truth = own.next().expect("its generation");
        assert_eq!(sha256(&answer.body), truth.body_sha256, "{user}");
        book.charged_exactly(&answer.request_id(), "openai", truth);
        assert_eq!(
            book.ended(&answer.request_id()).detail.end_user_id,
            Some(user)
        );
    }
}

#[test]
fn a_frame_reaches_the_caller_before_the_next_one_is_sent() {
    let (gateway, mock, key) = Gateway::with_provider();
    let how =
        json!({"frames": 9, "stall_after_frames": 3, "pace_ms": 1, "text": "a1 b2 c3 d4 e5 f6"});
    for (path, body) in [
        ("/v1/chat/completions", chat_stream("hi")),
        ("/v1/messages", messages("hi", true)),
        ("/v1/responses", responses("hi", true)),
    ] {
        once(&mock, &how);
        let mut stream = gateway.stream(&Ask::post(path, &key.secret, &body));
        // The provider says nothing more after the third frame: it must be here already.
        let seen = text(&stream.until("c3"));
        assert!(
            seen.contains("a1") && seen.contains("b2") && !seen.contains("d4"),
            "{seen}"
        );
    }
    eventually("the provider sees its callers leave", || {
        (mock.disconnects() == 3).then_some(())
    });
}

#[test]
fn a_query_string_and_the_headers_of_the_dialect_go_on_to_the_provider() {
    let (gateway, mock, key) = Gateway::with_provider();
    let ask = Ask::post(
        "/v1/messages?beta=true&x=%20y",
        &key.secret,
        messages("hi", false),
    )
    .header("anthropic-version", "2026-10-21")
    .header("anthropic-beta", "a-2025,b-2026")
    .header("anthropic-dangerous-direct-browser-access", "true")
    .header("x-stainless-lang", "python")
    .header("X-LangWatch-Metadata", "{}")
    .header("Cookie", "a=b")
    .header("api-key", "other-canary")
    .header("x-goog-api-key", "other-canary");
    assert_eq!(gateway.call(&ask).status(), 200);
    let seen = mock.requests().pop().expect("a request");
    assert_eq!(seen.path, "/v1/messages?beta=true&x=%20y");
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    assert_eq!(header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(header("anthropic-beta"), Some("a-2025,b-2026"));
    assert_eq!(header("content-type"), Some("application/json"));
    for absent in [
        "authorization",
        "api-key",
        "x-goog-api-key",
        "xi-api-key",
        "cookie",
    ] {
        assert_eq!(header(absent), None, "{absent}");
    }
    assert!(
        !seen
            .headers
            .keys()
            .any(|name| name.starts_with("x-langwatch")),
        "{seen:?}"
    );

    let ask = Ask::post(
        "/v1/chat/completions?api-version=1",
        &key.secret,
        chat("hi"),
    )
    .header("OpenAI-Beta", "assistants=v2")
    .header("openai-organization", "org-caller")
    .header("x-stainless-retry-count", "0")
    .header("Idempotency-Key", "once");
    assert_eq!(gateway.call(&ask).status(), 200);
    let seen = mock.requests().pop().expect("a request");
    assert_eq!(seen.path, "/v1/chat/completions?api-version=1");
    for (name, value) in [
        ("openai-beta", "assistants=v2"),
        ("openai-organization", "org-caller"),
        ("idempotency-key", "once"),
    ] {
        assert_eq!(
            seen.headers.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}

#[test]
fn headers_of_the_provider_that_clients_read_survive_and_others_do_not() {
    let (gateway, mock, key) = Gateway::with_provider();
    let passing = [
        ("x-ratelimit-remaining-requests", "99"),
        ("anthropic-ratelimit-tokens-remaining", "98"),
        ("openai-processing-ms", "17"),
        ("x-should-retry", "false"),
        ("retry-after", "3"),
        ("request-id", "req_vendor"),
    ];
    let stopped = [
        ("x-langwatch-handled-error", "forged"),
        ("x-langwatch-cost", "0"),
        ("set-cookie", "a=b"),
        ("openai-organization", "acme-secret-org"),
        ("server", "vendor"),
        ("access-control-allow-origin", "*"),
    ];
    let mut headers: serde_json::Map<String, Value> = serde_json::Map::new();
    for (name, value) in passing.iter().chain(&stopped) {
        headers.insert((*name).to_owned(), json!(value));
    }
    headers.insert("x-request-id".to_owned(), json!("vendor-id"));
    for body in [chat("hi"), chat_stream("hi")] {
        once(&mock, &json!({"headers": headers}));
        let answer = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, &body));
        for (name, value) in passing {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        for (name, _) in stopped {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(answer.header("x-request-id"), Some("vendor-id"));
        assert_eq!(answer.header("x-upstream-request-id"), Some("vendor-id"));
        assert_ne!(answer.request_id(), "vendor-id");
    }
}

#[test]
fn many_calls_share_a_connection_in_both_directions() {
    let (gateway, mock, key) = Gateway::with_provider();
    let mut conn = Conn::open(gateway.addr);
    for number in 0..30 {
        let body = if number % 2 == 0 {
            chat("hi")
        } else {
            chat_stream("hi")
        };
        let answer = conn.call(&Ask::post("/v1/chat/completions", &key.secret, &body));
        assert_eq!(answer.status(), 200);
    }
    assert!(mock.open_connections() <= 2, "{}", mock.open_connections());
    // Two requests in one write: answered in their order.
    let first = Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat("[[mock:{\"text\":\"first\"}]]"),
    );
    let second = Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat("[[mock:{\"text\":\"second\"}]]"),
    );
    conn.write(&[first.wire(), second.wire()].concat());
    for expected in ["first", "second"] {
        let answer = conn.answer(false).expect("an answer");
        let said = parsed(&answer.body)["choices"][0]["message"]["content"].clone();
        assert_eq!(said, expected);
    }
}

#[test]
fn what_the_provider_answers_decides_how_it_is_passed_on() {
    let (gateway, mock, key) = Gateway::with_provider();
    let json_answer = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    // A stream was asked for and JSON came, and the other way round: the bytes are the provider's.
    once(
        &mock,
        &json!({"body_raw": json_answer, "content_type": "application/json"}),
    );
    let answer = gateway.call(&Ask::post(
        "/v1/chat/completions",
        &key.secret,
        chat_stream("hi"),
    ));
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, json_answer)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let entry = gateway.book().ended(&answer.request_id());
    assert_eq!((entry.usage.input, entry.usage.output), (3, 4), "{entry:?}");

    let events = format!("data: {json_answer}\n\ndata: [DONE]\n\n");
    once(
        &mock,
        &json!({"body_raw": events, "content_type": "text/event-stream"}),
    );
    let answer = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, chat("hi")));
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, events.as_str())
    );
    let entry = gateway.book().ended(&answer.request_id());
    assert_eq!((entry.usage.input, entry.usage.output), (3, 4), "{entry:?}");

    // An answer without a body, and one of no known type.
    for (body, kind) in [("", "application/json"), ("plain", "text/plain")] {
        once(&mock, &json!({"body_raw": body, "content_type": kind}));
        let answer = gateway.call(&Ask::post("/v1/chat/completions", &key.secret, chat("hi")));
        assert_eq!((answer.status(), answer.text().as_str()), (200, body));
        gateway.book().ended(&answer.request_id());
    }
}
