//! Rate limits of keys and of providers, as their callers meet them (data-plane 10).
//!
//! No clock is moved: a limit that matters to a test refills much slower than the test runs.

use std::sync::Barrier;

use lw_core::{NanoUsd, UnixMicros};
use lw_mock::{MockProvider, Script, key_digest};
use lw_store::ledger::EntryKind;
use serde_json::{Value, json};

use crate::support::{
    Answer, Ask, Conn, Gateway, Key, chat, chat_stream, directive, eventually, messages, once,
    provider, responses,
};

const CHAT: &str = "/v1/chat/completions";
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const DAY: u64 = 86_400;

fn limited(limits: &Value) -> Value {
    json!({"config": {"rateLimits": limits}})
}

/// Changes a key's limits; those that are not named are lifted.
fn set(gateway: &Gateway, key: &Key, limits: &Value) {
    gateway.patch_key(key, &limited(limits)).fine(200);
}

fn ask(key: &Key) -> Ask {
    Ask::post(CHAT, &key.secret, chat("hi"))
}

fn number(answer: &Answer, header: &str) -> u64 {
    let text = answer.header(header);
    let number = text.and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{header}: {text:?} in {:?}", answer.head))
}

/// Checks a refusal by a key's limit in `dimension`; returns the seconds to wait.
fn denied(answer: &Answer, dimension: &str) -> u64 {
    refused(answer, "vk_rate_limit_exceeded", dimension)
}

fn refused(answer: &Answer, code: &str, dimension: &str) -> u64 {
    let at = format!("{:?} {}", answer.head, answer.text());
    assert_eq!(answer.code(), (429, code.to_owned()), "{at}");
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "rate_limit_exceeded", "{at}");
    assert_eq!(error["param"], Value::Null, "{at}");
    assert_eq!(error["fault"], "customer", "{at}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(dimension), "{at}");
    for (name, value) in [
        ("x-langwatch-ratelimit-dimension", Some(dimension)),
        ("x-langwatch-handled-error", Some(code)),
        ("x-langwatch-provider", None),
        ("x-langwatch-model", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}: {at}");
    }
    let wait = number(answer, "retry-after");
    assert!(wait >= 1, "{at}");
    wait
}

#[test]
fn a_burst_is_served_to_its_limit_and_not_beyond_however_many_come_at_once() {
    let (gateway, mock, _) = Gateway::with_provider();
    let key = gateway.create_key_with(limited(&json!({"rpm": 7, "rpd": 9})));
    let together = Barrier::new(30);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..30)
            .map(|_| {
                scope.spawn(|| {
                    let mut conn = Conn::open(gateway.addr);
                    together.wait();
                    conn.call(&ask(&key))
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller"))
            .collect()
    });
    let (served, denials): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status() == 200);
    assert_eq!(served.len(), 7);
    assert_eq!(mock.requests().len(), 7, "nobody is called for a refusal");
    for answer in &denials {
        let wait = denied(answer, "rpm");
        assert!(wait <= 9, "one comes back every 60/7 s: {wait}");
        assert_eq!(number(answer, "x-ratelimit-limit-requests"), 7);
        assert_eq!(number(answer, "x-ratelimit-remaining-requests"), 0);
    }
    let mut left: Vec<u64> = served
        .iter()
        .map(|answer| number(answer, "x-ratelimit-remaining-requests"))
        .collect();
    left.sort_unstable();
    assert!(left[0] == 0 && left[6] <= 6, "{left:?}");

    let id = &key.id;
    let counted = format!("gateway_rate_limit_denied_total{{dimension=\"rpm\",vk_id=\"{id}\"}} 23");
    eventually("every denial is counted", || {
        let metrics = gateway.get("/metrics").text();
        metrics.lines().any(|line| line == counted).then_some(())
    });

    // A denial by one limit counts in no other: of the day's nine, two are left.
    set(&gateway, &key, &json!({"rpm": 4, "rpd": 9}));
    for _ in 0..2 {
        gateway.call(&ask(&key)).fine(200);
    }
    for _ in 0..5 {
        let wait = denied(&gateway.call(&ask(&key)), "rpd");
        assert!((DAY - 60..=DAY).contains(&wait), "{wait}");
    }
    // And a denial by the day takes nothing of the minute: of its four, two are left.
    set(&gateway, &key, &json!({"rpm": 4}));
    for _ in 0..2 {
        gateway.call(&ask(&key)).fine(200);
    }
    denied(&gateway.call(&ask(&key)), "rpm");

    // Every refusal is a record.
    let book = gateway.book();
    for answer in denials.iter().take(3) {
        let entry = book.ended(&answer.request_id());
        assert_eq!(
            (entry.kind, entry.amount),
            (EntryKind::Release, NanoUsd::ZERO)
        );
        let named = entry.detail.error_type.as_deref();
        assert_eq!(named, Some("vk_rate_limit_exceeded"), "{entry:?}");
        let trace = book.trace(&answer.request_id());
        assert_eq!(trace.http_status, 429);
        assert!(trace.error && trace.facts.attempts.is_empty(), "{trace:?}");
        assert_eq!(trace.facts.status, "vk_rate_limit_exceeded");
    }
}

#[test]
fn new_limits_hold_from_the_next_request_on() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let conn = &mut Conn::open(gateway.addr);
    for ceiling in [2_u64, 1, 3] {
        set(&gateway, &key, &json!({"rpm": ceiling}));
        for _ in 0..ceiling {
            let answer = conn.call(&ask(&key));
            answer.fine(200);
            assert_eq!(number(&answer, "x-ratelimit-limit-requests"), ceiling);
        }
        denied(&conn.call(&ask(&key)), "rpm");
        // A change of something else is no new bucket.
        gateway
            .patch_key(&key, &json!({"name": format!("renamed {ceiling}")}))
            .fine(200);
        denied(&conn.call(&ask(&key)), "rpm");
    }
    let none = json!({"rpm": 0, "tpm": 0, "rpd": 0, "concurrent": 0});
    for (ceiling, unlimited) in [(1, json!({"rpm": null})), (2, none)] {
        set(&gateway, &key, &json!({"rpm": ceiling}));
        for _ in 0..ceiling {
            conn.call(&ask(&key)).fine(200);
        }
        denied(&conn.call(&ask(&key)), "rpm");
        set(&gateway, &key, &unlimited);
        for _ in 0..5 {
            conn.call(&ask(&key)).fine(200);
        }
    }
}

#[test]
fn a_limit_is_one_for_all_surfaces_and_all_secrets_of_a_key() {
    let (gateway, mock, key) = Gateway::with_provider();
    gateway.create_provider(&json!({
        "provider": "gemini", "name": "Mock Gemini",
        "custom_keys": {"GEMINI_API_KEY": "mock-limits-gemini"},
        "provider_config": {"base_url": mock.base_url()},
    }));
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let mut kept = gemini.clone();
    kept["model"] = json!("models/gemini-2.5-flash");
    let counted =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}]});
    let calls = [
        (CHAT, chat("hi")),
        (CHAT, chat_stream("hi")),
        ("/v1/responses", responses("hi", false)),
        ("/v1/messages", messages("hi", false)),
        ("/v1/messages/count_tokens", counted),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": "hi"}),
        ),
        (GENERATE, gemini),
        ("/v1beta/cachedContents", kept),
    ];
    let ceiling = u64::try_from(calls.len()).expect("few");
    set(&gateway, &key, &json!({"rpd": ceiling}));
    let rotated = gateway.act(&key, "rotate");
    let secrets = [
        key.secret.as_str(),
        rotated["secret"].as_str().expect("a secret"),
    ];
    for (number, (path, body)) in calls.iter().enumerate() {
        let answer = gateway.call(&Ask::post(path, secrets[number % 2], body));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    let called = mock.requests().len();
    for (path, body) in &calls {
        let answer = gateway.call(&Ask::post(path, secrets[1], body));
        denied(&answer, "rpd");
        let anthropic = path.starts_with("/v1/messages");
        let top = answer.json()["type"] == "error";
        assert_eq!(top, anthropic, "{path}: {}", answer.text());
    }
    let list = Ask::get("/v1beta/cachedContents").header("x-goog-api-key", &key.secret);
    denied(&gateway.call(&list), "rpd");
    assert_eq!(mock.requests().len(), called);
    // Asking which models there are is free.
    let models = gateway.call(&Ask::get("/v1/models").bearer(&key.secret));
    assert_eq!(models.status(), 200, "{}", models.text());
    // Another key has its own.
    gateway
        .call(&ask(&gateway.create_key_with(limited(&json!({"rpm": 1})))))
        .fine(200);
}

/// A question with a large output limit.
fn large(key: &Key, stream: bool) -> Ask {
    let mut body = if stream {
        chat_stream("hi")
    } else {
        chat("hi")
    };
    body["max_tokens"] = json!(1_000_000);
    Ask::post(CHAT, &key.secret, body)
}

#[test]
fn tokens_are_reserved_by_estimate_and_counted_as_they_were_used() {
    let (gateway, mock, _) = Gateway::with_provider();
    // A quarter of the limit is reserved for an answer, and one token comes back in 15 ms.
    let key = gateway.create_key_with(limited(&json!({"tpm": 4_000})));
    let few = json!({"usage": {"prompt_tokens": 5, "completion_tokens": 5}, "text": "a b"});
    let outcomes = [
        (few.clone(), false, 200),
        (few, true, 200),
        // What failed has used nothing.
        (json!({"status": 500}), false, 500),
        (json!({"status": 429}), true, 429),
    ];
    // Were the reservations kept, four of these would be all.
    for (how, stream, status) in outcomes.iter().cycle().take(24) {
        once(&mock, how);
        let answer = gateway.call(&large(&key, *stream));
        assert_eq!(answer.status(), *status, "{how}: {}", answer.text());
        assert_eq!(answer.header("x-langwatch-handled-error"), None, "{how}");
        assert_eq!(number(&answer, "x-ratelimit-limit-tokens"), 4_000);
        let left = number(&answer, "x-ratelimit-remaining-tokens");
        assert!(left >= 2_500, "{how}: {left}");
    }
    // More than was reserved: a debt that the next requests wait out.
    let huge = json!({"usage": {
        "prompt_tokens": 60_000, "cached_tokens": 20_000, "completion_tokens": 8_000,
    }});
    once(&mock, &huge);
    gateway.call(&large(&key, false)).fine(200);
    let before = mock.requests().len();
    let answer = gateway.call(&ask(&key));
    let wait = denied(&answer, "tpm");
    // 68000 used of 4000, at 66.7 a second.
    assert!((900..=970).contains(&wait), "{wait}");
    assert_eq!(number(&answer, "x-ratelimit-remaining-tokens"), 0);
    assert_eq!(mock.requests().len(), before);
    // A debt by a stream as well, once it has ended.
    let streamed = gateway.create_key_with(limited(&json!({"tpm": 4_000})));
    once(&mock, &huge);
    gateway.call(&large(&streamed, true));
    eventually("the stream is settled", || {
        let answer = gateway.call(&ask(&streamed));
        (answer.status() == 429).then(|| denied(&answer, "tpm"))
    });
    // A request above the whole limit is served by a full bucket, and by no other.
    let small = gateway.create_key_with(limited(&json!({"tpm": 40})));
    let long = Ask::post(CHAT, &small.secret, chat(&"word ".repeat(400)));
    gateway.call(&long).fine(200);
    denied(&gateway.call(&long), "tpm");
}

#[test]
fn an_open_stream_takes_a_place_until_it_ends_or_its_caller_leaves() {
    let (gateway, mock, _) = Gateway::with_provider();
    let key = gateway.create_key_with(limited(&json!({"concurrent": 1})));
    let open = |how: Value| {
        once(&mock, &how);
        let mut stream = gateway.stream(&Ask::post(CHAT, &key.secret, chat_stream("hi")));
        stream.until("one");
        stream
    };
    let free = || {
        eventually("the place is free", || {
            let answer = gateway.call(&ask(&key));
            if answer.status() != 200 {
                denied(&answer, "concurrent");
            }
            (answer.status() == 200).then_some(())
        });
    };
    // The caller leaves.
    let stream = open(json!({"text": "one two three", "stall_after_frames": 1}));
    let before = mock.requests().len();
    for _ in 0..3 {
        assert_eq!(denied(&gateway.call(&ask(&key)), "concurrent"), 1);
    }
    assert_eq!(mock.requests().len(), before);
    drop(stream);
    free();
    // The stream ends.
    let mut stream = open(json!({"text": "one two three four", "pace_ms": 100}));
    denied(&gateway.call(&ask(&key)), "concurrent");
    let (_, whole) = stream.rest();
    assert!(whole);
    free();
    // The provider breaks off.
    let mut stream =
        open(json!({"text": "one two three", "pace_ms": 100, "reset_after_frames": 2}));
    stream.rest();
    free();
    // The provider fails, and a caller leaves while nobody has answered.
    once(&mock, &json!({"reset_before_head": true}));
    assert_eq!(gateway.call(&ask(&key)).status(), 502);
    free();
    once(&mock, &json!({"stall_before_head": true}));
    let mut conn = Conn::open(gateway.addr);
    let calls = mock.requests().len();
    conn.write(&ask(&key).wire());
    eventually("the provider is asked", || {
        (mock.requests().len() > calls).then_some(())
    });
    denied(&gateway.call(&ask(&key)), "concurrent");
    drop(conn);
    free();
    // A limit that is set while streams run knows of them.
    let other = gateway.create_key_with(limited(&json!({"concurrent": 5})));
    once(
        &mock,
        &json!({"text": "one two three", "stall_after_frames": 1}),
    );
    let mut stream = gateway.stream(&Ask::post(CHAT, &other.secret, chat_stream("hi")));
    stream.until("one");
    set(&gateway, &other, &json!({"concurrent": 1}));
    denied(&gateway.call(&ask(&other)), "concurrent");
}

/// Two rows of OpenAI, each with its own limit, and a key with a limit that tries both.
struct Pair {
    gateway: Gateway,
    mock: MockProvider,
    rows: [String; 2],
    key: Key,
}

const CREDENTIALS: [&str; 2] = ["sk-limits-one", "sk-limits-two"];

impl Pair {
    fn start(limits: [&Value; 2], of_key: &Value) -> Self {
        let (gateway, mock) = (Gateway::start(), provider());
        let rows = [0, 1].map(|at| {
            let id = gateway.openai(&mock, CREDENTIALS[at]);
            gateway.patch_provider(&id, &json!({"rate_limit": limits[at]}));
            id
        });
        let policy = json!({"name": "in order", "model_provider_ids": rows});
        let path = "/api/gateway/v1/routing-policies";
        let made = gateway.api("POST", path, Some(&policy)).fine(201);
        let key = gateway.create_key_with(json!({
            "routing_policy_id": made["routing_policy"]["id"], "config": {"rateLimits": of_key},
        }));
        Self {
            gateway,
            mock,
            rows,
            key,
        }
    }

    /// A call; which of the rows served it after how many others.
    fn served(&self) -> (usize, u64) {
        let answer = self.gateway.call(&ask(&self.key));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = self.mock.requests().pop().expect("a request");
        let digest = &seen.headers["authorization"];
        let row = CREDENTIALS
            .iter()
            .position(|credential| key_digest(credential) == *digest);
        let before = number(&answer, "x-langwatch-fallback-count");
        (row.expect("a row"), before)
    }

    fn refused(&self, dimension: &str) -> Answer {
        let before = self.mock.requests().len();
        let answer = self.gateway.call(&ask(&self.key));
        refused(&answer, "provider_rate_limit_exceeded", dimension);
        assert_eq!(self.mock.requests().len(), before);
        answer
    }
}

#[test]
fn a_provider_without_room_is_passed_over_and_when_none_has_any_the_key_gets_its_request_back() {
    let pair = Pair::start(
        [&json!({"rpd": 1}), &json!({"rpd": 2})],
        &json!({"rpd": 5, "tpm": 100_000}),
    );
    assert_eq!(pair.served(), (0, 0));
    assert_eq!(pair.served(), (1, 1));
    assert_eq!(pair.served(), (1, 1));
    for _ in 0..4 {
        let answer = pair.refused("rpd");
        assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), 2);
        assert!(number(&answer, "x-ratelimit-remaining-tokens") > 99_000);
        let error = &answer.json()["error"];
        assert_eq!(error["meta"]["provider"], "openai", "{error}");
        let entry = pair.gateway.book().ended(&answer.request_id());
        assert_eq!(entry.kind, EntryKind::Release, "{entry:?}");
        let named = entry.detail.error_type.as_deref();
        assert_eq!(named, Some("provider_rate_limit_exceeded"));
        // Both were considered, and neither was asked.
        let trace = pair.gateway.book().trace(&answer.request_id());
        let outcomes: Vec<&str> = trace
            .facts
            .attempts
            .iter()
            .map(|attempt| attempt.outcome.as_str())
            .collect();
        assert_eq!(outcomes, ["rate_limit", "rate_limit"]);
    }
    // Room at the provider holds from the next request on, and two of the key's five are left.
    pair.gateway
        .patch_provider(&pair.rows[1], &json!({"rate_limit": {"rpd": 100}}));
    assert_eq!(pair.served(), (1, 1));
    assert_eq!(pair.served(), (1, 1));
    denied(&pair.gateway.call(&ask(&pair.key)), "rpd");
    // A denial by the key takes nothing of a provider.
    set(&pair.gateway, &pair.key, &json!({}));
    pair.gateway
        .patch_provider(&pair.rows[0], &json!({"rate_limit": {"rpd": 2}}));
    assert_eq!(pair.served(), (0, 0));
    assert_eq!(pair.served(), (0, 0));
    assert_eq!(pair.served(), (1, 1));
}

#[test]
fn a_provider_that_is_passed_over_is_no_attempt() {
    let pair = Pair::start([&json!({"rpd": 1}), &json!({})], &json!({}));
    assert_eq!(pair.served(), (0, 0));
    let path = "/api/gateway/v1/routing-policies";
    let listed = pair.gateway.api("GET", path, None).fine(200);
    let id = listed["data"][0]["id"].as_str().expect("an id").to_owned();
    let one = json!({"fallback": {"max_attempts": 1}});
    let path = format!("{path}/{id}");
    pair.gateway.api("PATCH", &path, Some(&one)).fine(200);
    assert_eq!(pair.served(), (1, 1));
}

#[test]
fn tokens_and_places_of_a_provider_are_counted_for_all_keys_together() {
    let pair = Pair::start(
        [&json!({"tpm": 600}), &json!({"concurrent": 1})],
        &json!({}),
    );
    let other = pair.gateway.create_key();
    once(
        &pair.mock,
        &json!({"usage": {"prompt_tokens": 5_000, "completion_tokens": 5}}),
    );
    assert_eq!(pair.served(), (0, 0));
    // In debt: the other row serves, and its only place is taken by another key's stream.
    assert_eq!(pair.served(), (1, 1));
    pair.mock.script(Script::once(directive(
        &json!({"text": "one two three", "stall_after_frames": 1}),
    )));
    let body = json!({
        "model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "hi"}],
    });
    pair.gateway
        .patch_provider(&pair.rows[0], &json!({"enabled": false}));
    let mut stream = pair.gateway.stream(&Ask::post(CHAT, &other.secret, body));
    stream.until("one");
    pair.gateway
        .patch_provider(&pair.rows[0], &json!({"enabled": true}));
    let answer = pair.refused("tpm");
    assert!(number(&answer, "retry-after") > 300, "{:?}", answer.head);
    drop(stream);
    eventually("the place is free", || {
        let answer = pair.gateway.call(&ask(&pair.key));
        (answer.status() == 200).then_some(())
    });
}

#[test]
fn what_gemini_keeps_is_within_the_limit_of_its_provider() {
    let (gateway, mock) = (Gateway::start(), provider());
    gateway.create_provider(&json!({
        "provider": "gemini", "name": "Mock Gemini", "rate_limit": {"rpd": 2},
        "custom_keys": {"GEMINI_API_KEY": "mock-limits-gemini"},
        "provider_config": {"base_url": mock.base_url()},
    }));
    let key = gateway.create_key_with(limited(&json!({"rpd": 3})));
    let list = Ask::get("/v1beta/cachedContents").header("x-goog-api-key", &key.secret);
    let question = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    gateway.call(&list).fine(200);
    gateway
        .call(&Ask::post(GENERATE, &key.secret, question))
        .fine(200);
    let called = mock.requests().len();
    for _ in 0..3 {
        let answer = gateway.call(&list);
        refused(&answer, "provider_rate_limit_exceeded", "rpd");
    }
    assert_eq!(mock.requests().len(), called);
}

#[test]
fn what_is_left_is_told_in_the_dialect_of_the_caller_and_no_word_of_the_provider_contradicts() {
    let (gateway, mock, free) = Gateway::with_provider();
    let key = gateway.create_key_with(limited(&json!({"rpm": 100, "tpm": 1_000_000})));
    let theirs = json!({"headers": {
        "x-ratelimit-limit-requests": "7", "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-limit-images": "7", "anthropic-ratelimit-requests-limit": "7",
        "anthropic-ratelimit-input-tokens-remaining": "7",
    }});
    let ours = |answer: &Answer| -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = answer
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.contains("ratelimit") && !name.contains("langwatch"))
            .cloned()
            .collect();
        found.sort();
        found
    };
    for (path, body) in [
        (CHAT, chat("hi")),
        (CHAT, chat_stream("hi")),
        ("/v1/responses", responses("hi", true)),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": "hi"}),
        ),
    ] {
        once(&mock, &theirs);
        let answer = gateway.call(&Ask::post(path, &key.secret, &body));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let told = ours(&answer);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-requests",
                "x-ratelimit-reset-tokens",
            ],
            "{path}"
        );
        assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 100);
        let reset = answer
            .header("x-ratelimit-reset-requests")
            .unwrap_or_default();
        assert!(reset.ends_with('s'), "{reset}");
    }
    let before = lw_core::Clock::now(&lw_core::SystemClock);
    for stream in [false, true] {
        once(&mock, &theirs);
        let answer = gateway.call(&Ask::post(
            "/v1/messages",
            &key.secret,
            messages("hi", stream),
        ));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let told = ours(&answer);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
            ]
        );
        assert_eq!(number(&answer, "anthropic-ratelimit-requests-limit"), 100);
        let reset = answer
            .header("anthropic-ratelimit-requests-reset")
            .unwrap_or_default();
        let at = UnixMicros::parse_rfc3339(reset).expect("a time");
        assert!(at > before && at.0 < before.0 + 60_000_000, "{reset}");
    }
    // Without limits of its own, a key hears the provider.
    once(&mock, &theirs);
    let answer = gateway.call(&ask(&free));
    assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 7);
    // Who is refused before a limit was asked is told where he stands, too.
    let answer = gateway.call(&Ask::post(CHAT, &key.secret, "{"));
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 100);
}
