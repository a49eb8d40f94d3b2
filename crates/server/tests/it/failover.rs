//! Falling over from one provider to the next: who is asked, what the caller reads, what it costs.
//!
//! Two mocks stand behind one gateway, so that what each was asked is plain to see. Here stand the cases for
//! one caller; in [`callers`] those of every dialect, in [`circuits`] the breakers, in [`money`] the bill, in
//! [`matrix`] every fault in every place. Start at [`Stand`].

mod callers;
mod circuits;
mod matrix;
mod money;
mod words;

use lw_mock::{MockProvider, Script};
use lw_store::trace::TraceRecord;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Answer, Ask, Book, Gateway, Key, chat, directive, eventually, once, provider, sha256,
};

const CHAT: &str = "/v1/chat/completions";
const MINI: &str = "gpt-5-mini";
const HAIKU: &str = "claude-haiku-4-5-20251001";

/// A gateway with OpenAI and Anthropic, in this order, and a routing policy over both.
struct Stand {
    gateway: Gateway,
    openai: MockProvider,
    anthropic: MockProvider,
    /// The rows of OpenAI and Anthropic.
    rows: [String; 2],
    policy: String,
}

impl Stand {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With these variables set.
    fn with(variables: &[(&str, &str)]) -> Self {
        // Circuits stay closed where they are not the matter.
        let mut builder = Gateway::builder()
            .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
            .env("LW_GATEWAY_CIRCUIT_THRESHOLD", "1000");
        for (name, value) in variables {
            builder = builder.env(name, value);
        }
        let gateway = builder.start();
        let (openai, anthropic) = (provider(), provider());
        let rows = [
            gateway.openai(&openai, "sk-failover-openai"),
            gateway.anthropic(&anthropic, "sk-failover-anthropic"),
        ];
        let policy = policy(&gateway, &[&rows[0], &rows[1]]);
        Self {
            gateway,
            openai,
            anthropic,
            rows,
            policy,
        }
    }

    /// A key under the policy, with this for its `fallback`.
    fn key(&self, fallback: &Value) -> Key {
        let config = json!({"fallback": fallback});
        self.key_with(json!({"config": config}))
    }

    /// A key under the policy with these fields.
    fn key_with(&self, mut fields: Value) -> Key {
        fields["routing_policy_id"] = json!(self.policy);
        self.gateway.create_key_with(fields)
    }

    fn call(&self, key: &Key, body: &Value) -> Answer {
        self.gateway.call(&Ask::post(CHAT, &key.secret, body))
    }

    /// How many requests each provider saw so far.
    fn asked(&self) -> [usize; 2] {
        [
            self.openai.requests().len(),
            self.anthropic.requests().len(),
        ]
    }

    fn book(&self) -> Book {
        self.gateway.book()
    }
}

/// A routing policy over these rows, in this order.
fn policy(gateway: &Gateway, rows: &[&str]) -> String {
    let made = gateway
        .api(
            "POST",
            "/api/gateway/v1/routing-policies",
            Some(&json!({
                "name": "failover", "model_provider_ids": rows,
                "scopes": [{"scope_type": "organization", "scope_id": crate::support::ORG}],
            })),
        )
        .fine(201);
    let id = made.pointer("/routing_policy/id").and_then(Value::as_str);
    id.unwrap_or_else(|| panic!("no id in {made}")).to_owned()
}

fn question(stream: bool) -> Value {
    asking(MINI, stream)
}

fn asking(model: &str, stream: bool) -> Value {
    let mut body = chat("What is the weather in Paris?");
    body["model"] = json!(model);
    body["stream"] = json!(stream);
    body
}

/// From now on the mock answers every request like this.
fn always(mock: &MockProvider, json: &Value) {
    mock.script(Script::always(directive(json)));
}

/// What the trace says of the candidates, in order: provider, outcome, status.
fn attempts(trace: &TraceRecord) -> Vec<String> {
    let shown = |attempt: &lw_store::trace::Attempt| {
        let status = attempt.status.map(|status| format!(" {status}"));
        format!(
            "{} {}{}",
            attempt.provider,
            attempt.outcome,
            status.unwrap_or_default()
        )
    };
    trace.facts.attempts.iter().map(shown).collect()
}

/// The spans of a request as the API shows them: the attributes of its own, and of those below it.
fn spans(gateway: &Gateway, request_id: &str) -> (Value, Vec<Value>) {
    let path = format!("/api/traces/{request_id}?format=json");
    let shown = gateway.api("GET", &path, None).fine(200);
    let mut spans = shown["spans"].as_array().cloned().unwrap_or_default();
    assert!(!spans.is_empty(), "{shown}");
    let own = spans.remove(0);
    for span in &spans {
        assert_eq!(span["name"], "lw_gateway.attempt", "{shown}");
        assert_eq!(span["parent_id"], own["span_id"], "{shown}");
    }
    let below = spans.iter().map(|span| span["attributes"].clone());
    (own["attributes"].clone(), below.collect())
}

/// The answer came from the provider that stands for the first one.
fn substituted(answer: &Answer, at: &str) {
    assert_eq!(answer.status(), 200, "{at}: {}", answer.text());
    for (name, value) in [
        ("x-langwatch-provider", "anthropic"),
        ("x-langwatch-model", HAIKU),
        ("x-langwatch-fallback-count", "1"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{at}: {:?}", answer.head);
    }
    assert_eq!(answer.header("x-langwatch-handled-error"), None, "{at}");
    assert_eq!(answer.header("retry-after"), None, "{at}");
}

/// What makes the walk go on, and how the trace calls it. None of them hangs.
fn setbacks() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"status": 503}), "retryable_5xx 503"),
        (json!({"status": 529}), "retryable_5xx 529"),
        (
            json!({"status": 500, "close_after_frames": 0}),
            "retryable_5xx 500",
        ),
        (
            json!({"status": 429, "retry_after": "3600"}),
            "rate_limit 429",
        ),
        (json!({"status": 404}), "not_found 404"),
        (json!({"reset_before_head": true}), "network"),
        (json!({"close_before_head": true}), "network"),
    ]
}

#[test]
fn a_failed_vendor_is_replaced_by_another_one_and_the_caller_reads_its_own_dialect() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let book = stand.book();
    for (fault, outcome) in setbacks() {
        for stream in [false, true] {
            let at = format!("{fault} stream={stream}");
            let before = stand.asked();
            once(&stand.openai, &fault);
            once(&stand.anthropic, &json!({"text": "cloudy"}));
            let began = Instant::now();
            let answer = stand.call(&key, &question(stream));
            assert!(began.elapsed().as_secs() < 20, "{at}: at once");
            substituted(&answer, &at);
            assert_eq!(stand.asked(), before.map(|seen| seen + 1), "{at}");
            let body = answer.text();
            assert!(body.contains("cloudy"), "{at}: {body}");
            if stream {
                assert!(body.contains("chat.completion.chunk"), "{at}: {body}");
                assert!(body.ends_with("data: [DONE]\n\n"), "{at}: {body}");
                assert!(!body.contains("\"error\""), "{at}: {body}");
            } else {
                assert_eq!(answer.json()["object"], "chat.completion", "{at}: {body}");
            }
            let sent = stand.anthropic.requests().pop().expect("a request");
            assert_eq!(sent.path, "/v1/messages", "{at}");
            let trace = book.trace(&answer.request_id());
            let expected = [
                format!("openai {outcome}"),
                "anthropic fallback_success 200".to_owned(),
            ];
            assert_eq!(attempts(&trace), expected, "{at}");
            assert!(!trace.error, "{at}: {trace:?}");
            let served = trace.facts.substituted_model.as_deref();
            assert_eq!(served, Some(HAIKU), "{at}");
        }
    }
}

#[test]
fn a_stream_that_begins_with_an_error_is_one_that_has_not_begun() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let book = stand.book();
    let told = |kind: &str| {
        format!(
            "data: {{\"error\":{{\"type\":\"{kind}\",\"message\":\"no\"}}}}\n\ndata: [DONE]\n\n"
        )
    };
    for (kind, outcome) in [
        ("server_error", "retryable_5xx 500"),
        ("overloaded_error", "retryable_5xx 529"),
        ("rate_limit_error", "rate_limit 429"),
        ("something_else", "retryable_5xx 502"),
    ] {
        let how = json!({"body_raw": told(kind), "content_type": "text/event-stream"});
        // In one piece, and in many.
        for split in [json!({}), json!({"split_every": 7, "pace_ms": 1})] {
            let mut how = how.clone();
            for (name, value) in split.as_object().into_iter().flatten() {
                how[name] = value.clone();
            }
            once(&stand.openai, &how);
            let answer = stand.call(&key, &question(true));
            substituted(&answer, kind);
            assert!(!answer.text().contains("\"error\""), "{}", answer.text());
            let trace = book.trace(&answer.request_id());
            assert_eq!(attempts(&trace)[0], format!("openai {outcome}"));
        }
    }
    // About the request, not the provider: nobody else is asked, and it has its own status.
    let before = stand.asked();
    let how =
        json!({"body_raw": told("invalid_request_error"), "content_type": "text/event-stream"});
    once(&stand.openai, &how);
    let answer = stand.call(&key, &question(true));
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    assert_eq!(stand.asked(), [before[0] + 1, before[1]]);
    // Nothing at all is no stream either.
    let nothing = json!({"body_raw": "", "content_type": "text/event-stream"});
    once(&stand.openai, &nothing);
    let answer = stand.call(&key, &question(true));
    substituted(&answer, "an empty stream");
    // An error that came later is a part of the stream.
    let later = format!("data: {{\"choices\":[]}}\n\n{}", told("server_error"));
    once(
        &stand.openai,
        &json!({"body_raw": later, "content_type": "text/event-stream"}),
    );
    let answer = stand.call(&key, &question(true));
    assert_eq!((answer.status(), answer.text()), (200, later));
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("0"));
}

#[test]
fn nothing_is_asked_again_once_a_byte_went_out() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    for how in [
        "reset_after_frames",
        "close_after_frames",
        "error_event_after_frames",
    ] {
        let before = stand.asked();
        once(&stand.openai, &json!({"frames": 9, how: 3, "pace_ms": 5}));
        let answer = stand.call(&key, &question(true));
        let said = answer.text();
        assert_eq!(answer.status(), 200, "{how}: {said}");
        assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
        assert_eq!(answer.header("x-langwatch-fallback-count"), Some("0"));
        let chunks = said.matches("\"content\":\"").count();
        assert!(chunks >= 3, "{how}: {said}");
        assert_eq!(said.matches("\"error\":{").count(), 1, "{how}: {said}");
        assert!(!said.contains("[DONE]") && !answer.cut, "{how}: {said}");
        if how != "error_event_after_frames" {
            assert!(
                said.contains("upstream_mid_stream_failure"),
                "{how}: {said}"
            );
        }
        assert_eq!(stand.asked(), [before[0] + 1, before[1]], "{how}");
    }
}

#[test]
fn what_is_wrong_with_the_request_is_passed_on_and_nobody_else_is_asked() {
    let stand = Stand::start();
    let key = stand.key(&json!({}));
    let book = stand.book();
    for status in [400, 401, 403, 409, 413, 422] {
        for stream in [false, true] {
            let before = stand.asked();
            let how = json!({"status": status, "error_message": "says the vendor é"});
            once(&stand.openai, &how);
            let answer = stand.call(&key, &question(stream));
            let at = format!("{status} stream={stream}: {}", answer.text());
            let truth = stand.openai.truth().pop().expect("a call");
            assert_eq!(answer.status(), status, "{at}");
            assert_eq!(sha256(&answer.body), truth.body_sha256, "{at}");
            assert_eq!(
                answer.header("x-langwatch-provider"),
                Some("openai"),
                "{at}"
            );
            assert_eq!(answer.header("x-langwatch-handled-error"), None, "{at}");
            assert_eq!(
                answer.header("x-langwatch-fallback-count"),
                Some("0"),
                "{at}"
            );
            assert_eq!(stand.asked(), [before[0] + 1, before[1]], "{at}");
            let trace = book.trace(&answer.request_id());
            assert_eq!(attempts(&trace), [format!("openai non_retryable {status}")]);
        }
    }
    // The status decides, also where the words behind it broke off.
    let before = stand.asked();
    once(
        &stand.openai,
        &json!({"status": 400, "close_after_frames": 0}),
    );
    let answer = stand.call(&key, &question(false));
    assert_ne!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stand.asked(), [before[0] + 1, before[1]]);
}

#[test]
fn a_dead_or_hung_provider_costs_no_more_than_it_may() {
    let stand = Stand::start();
    let key = stand.key(&json!({"attempt_timeout_ms": 700}));
    let book = stand.book();
    for (how, stream) in [
        (json!({"stall_before_head": true}), false),
        (json!({"stall_before_head": true}), true),
        // A head alone is no beginning of a stream.
        (json!({"stall_after_frames": 0}), true),
    ] {
        once(&stand.openai, &how);
        let began = Instant::now();
        let answer = stand.call(&key, &question(stream));
        let took = began.elapsed();
        let at = format!("{how} stream={stream}");
        substituted(&answer, &at);
        assert!((700..8_000).contains(&took.as_millis()), "{at}: {took:?}");
        let trace = book.trace(&answer.request_id());
        assert!(
            attempts(&trace)[0].starts_with("openai timeout"),
            "{at} {trace:?}"
        );
        let hung = &trace.facts.attempts[0];
        assert!(hung.duration_us >= 600_000, "{at} {hung:?}");
    }
    // Nobody listens there any more.
    stand.openai.stop();
    let answer = stand.call(&key, &question(false));
    substituted(&answer, "refused");
    let trace = book.trace(&answer.request_id());
    assert_eq!(attempts(&trace)[0], "openai network");
}

#[test]
fn the_limit_of_the_whole_request_ends_the_walk() {
    let stand = Stand::with(&[("LW_GATEWAY_UPSTREAM_TOTAL_TIMEOUT_SECONDS", "1")]);
    let key = stand.key(&json!({}));
    always(&stand.openai, &json!({"stall_before_head": true}));
    let began = Instant::now();
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.code(), (504, "upstream_timeout".to_owned()));
    assert!(began.elapsed().as_secs() < 10);
    assert_eq!(stand.asked(), [1, 0], "there is no time left for another");
    // What the first one took is not there for the second.
    let key = stand.key(&json!({"attempt_timeout_ms": 600}));
    always(&stand.anthropic, &json!({"stall_before_head": true}));
    let began = Instant::now();
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.code(), (504, "upstream_timeout".to_owned()));
    assert!(began.elapsed().as_millis() < 8_000, "{:?}", began.elapsed());
    assert_eq!(stand.asked(), [2, 1]);
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    let trace = stand.book().trace(&answer.request_id());
    assert_eq!(attempts(&trace), ["openai timeout", "anthropic timeout"]);
    let second = &trace.facts.attempts[1];
    assert!(second.duration_us < 550_000, "{second:?}");
}

#[test]
fn an_answer_that_breaks_in_its_middle_was_none() {
    let stand = Stand::with(&[("LW_GATEWAY_UPSTREAM_IDLE_TIMEOUT_SECONDS", "1")]);
    let key = stand.key(&json!({}));
    let book = stand.book();
    for (how, outcome) in [
        (json!({"reset_after_frames": 1}), "network 200"),
        (json!({"close_after_frames": 1}), "network 200"),
        (
            json!({"close_after_frames": 1, "chunked": true}),
            "network 200",
        ),
        (json!({"stall_after_frames": 1}), "timeout 200"),
    ] {
        once(&stand.openai, &how);
        let answer = stand.call(&key, &question(false));
        substituted(&answer, &how.to_string());
        assert_eq!(answer.json()["object"], "chat.completion");
        let trace = book.trace(&answer.request_id());
        assert_eq!(attempts(&trace)[0], format!("openai {outcome}"), "{how}");
    }
    // A whole answer that is no JSON passes where nothing has to be read in it, as it came.
    once(&stand.openai, &json!({"malformed_json": true}));
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
    // Where it has to be translated it is none.
    let back = policy(&stand.gateway, &[&stand.rows[1], &stand.rows[0]]);
    let key = stand
        .gateway
        .create_key_with(json!({"routing_policy_id": back}));
    once(&stand.anthropic, &json!({"malformed_json": true}));
    let answer = stand.call(&key, &asking(HAIKU, false));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
    assert_eq!(answer.header("x-langwatch-model"), Some(MINI));
    let trace = book.trace(&answer.request_id());
    assert_eq!(
        attempts(&trace),
        ["anthropic network 200", "openai fallback_success 200"]
    );
}

#[test]
fn the_keys_own_list_narrows_what_makes_the_walk_go_on() {
    let stand = Stand::start();
    let faults = [
        ("5xx", json!({"status": 503})),
        ("timeout", json!({"stall_before_head": true})),
        ("rate_limit", json!({"status": 429})),
        ("network_error", json!({"reset_before_head": true})),
        ("404", json!({"status": 404})),
    ];
    let lists = faults.iter().map(|(word, _)| vec![*word]);
    for list in lists.chain([vec![], vec!["5xx", "404"]]) {
        let key = stand.key(&json!({"on": list, "attempt_timeout_ms": 700}));
        for (word, fault) in &faults {
            // One that hangs is waited for: in two lists that is enough.
            if *word == "timeout" && !list.contains(&"timeout") && !list.is_empty() {
                continue;
            }
            let before = stand.asked();
            once(&stand.openai, fault);
            let answer = stand.call(&key, &question(false));
            let at = format!("{word} with {list:?}: {}", answer.text());
            let goes_on = list.contains(word);
            assert_eq!(answer.status() == 200, goes_on, "{at}");
            let second = before[1] + usize::from(goes_on);
            assert_eq!(stand.asked(), [before[0] + 1, second], "{at}");
        }
    }
}

#[test]
fn a_key_that_does_not_fall_over_asks_one_provider() {
    let stand = Stand::start();
    let alone = stand.gateway.create_key();
    let once_only = stand.key(&json!({"max_attempts": 1}));
    for (key, model) in [
        (&alone, MINI),
        (&once_only, MINI),
        (&alone, "openai/gpt-5-mini"),
    ] {
        let before = stand.asked();
        once(&stand.openai, &json!({"status": 503}));
        let answer = stand.call(key, &asking(model, false));
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert_eq!(answer.header("x-langwatch-fallback-count"), Some("0"));
        assert_eq!(stand.asked(), [before[0] + 1, before[1]]);
    }
    // Of three, two may be tried.
    let third = provider();
    let row = stand.gateway.openai(&third, "sk-failover-third");
    let rows = [stand.rows[0].as_str(), &stand.rows[1], &row];
    let over_three = policy(&stand.gateway, &rows);
    let key = stand.gateway.create_key_with(json!({
        "routing_policy_id": over_three, "config": {"fallback": {"max_attempts": 2}},
    }));
    always(&stand.openai, &json!({"status": 503}));
    always(&stand.anthropic, &json!({"status": 529}));
    always(&third, &json!({"status": 500}));
    let answer = stand.call(&key, &question(false));
    // Those of the vendor that the name belongs to come first.
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    assert_eq!(third.requests().len(), 1);
    // Three are the default.
    let key = stand
        .gateway
        .create_key_with(json!({"routing_policy_id": over_three}));
    let answer = stand.call(&key, &question(false));
    assert_eq!(answer.status(), 529, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("2"));
    let trace = stand.book().trace(&answer.request_id());
    let (own, below) = spans(&stand.gateway, &answer.request_id());
    assert_eq!(own["langwatch.fallback.attempts_count"], 3, "{own}");
    let told = |name: &str| {
        below
            .iter()
            .map(|span| span[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told("langwatch.fallback.attempt"), [0, 1, 2]);
    assert_eq!(
        told("langwatch.fallback.reason"),
        [Value::Null, json!("5xx:503"), json!("5xx:500")]
    );
    assert_eq!(told("langwatch.upstream.status_code"), [503, 500, 529]);
    assert_eq!(
        attempts(&trace),
        [
            "openai retryable_5xx 503",
            "openai retryable_5xx 500",
            "anthropic retryable_5xx 529"
        ]
    );
}

#[test]
fn a_name_that_is_pinned_stays_where_it_was_pinned() {
    let stand = Stand::start();
    let spare = provider();
    let spare_row = stand.gateway.openai(&spare, "sk-failover-spare");
    stand
        .gateway
        .patch_provider(&stand.rows[0], &json!({"routing_handle": "main"}));
    let rows = [stand.rows[0].as_str(), &spare_row, &stand.rows[1]];
    let policy = policy(&stand.gateway, &rows);
    let key = stand
        .gateway
        .create_key_with(json!({"routing_policy_id": policy}));
    always(&stand.openai, &json!({"status": 503}));
    // A handle: that credential only.
    let answer = stand.call(&key, &asking("main/gpt-5-mini", false));
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!((stand.asked(), spare.requests().len()), ([1, 0], 0));
    // A type: the other one of the type.
    let answer = stand.call(&key, &asking("openai/gpt-5-mini", false));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    assert_eq!(answer.header("x-langwatch-model"), Some(MINI));
    assert_eq!((stand.asked(), spare.requests().len()), ([2, 0], 1));
    // And never another vendor.
    once(&spare, &json!({"status": 500}));
    let answer = stand.call(&key, &asking("openai/gpt-5-mini", false));
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert_eq!((stand.asked(), spare.requests().len()), ([3, 0], 2));
}

#[test]
fn what_stands_for_a_model_is_the_keys_own_word_first_and_must_be_allowed() {
    let stand = Stand::start();
    always(&stand.openai, &json!({"status": 503}));
    let [openai, anthropic] = &stand.rows;
    let served = |key: &Key| {
        let answer = stand.call(key, &question(false));
        let model = answer.header("x-langwatch-model").map(str::to_owned);
        (answer.status(), model.unwrap_or_default())
    };
    let mapped = |map: Value| stand.key(&json!({"model_map": map}));
    let by_row = mapped(json!({MINI: {anthropic: "claude-sonnet-4-6", "anthropic": "claude-no"}}));
    assert_eq!(served(&by_row), (200, "claude-sonnet-4-6".to_owned()));
    let by_type = mapped(json!({"openai/gpt-5*": {"anthropic": "anthropic/claude-sonnet-4-6"}}));
    assert_eq!(served(&by_type), (200, "claude-sonnet-4-6".to_owned()));
    let sent = stand.anthropic.requests().pop().and_then(|seen| seen.body);
    let sent = crate::support::parsed(sent.expect("a body"));
    assert_eq!(sent["model"], "claude-sonnet-4-6");
    // Without a word of the key, and without a policy, nothing stands for it.
    let all = |more: Value| {
        let mut fields = json!({"routing_mode": "fallback_all"});
        for (name, value) in more.as_object().into_iter().flatten() {
            fields[name] = value.clone();
        }
        stand.gateway.create_key_with(fields)
    };
    assert_eq!(served(&all(json!({}))).0, 503);
    let map = json!({"fallback": {"model_map": {MINI: {"anthropic": HAIKU}}}});
    assert_eq!(
        served(&all(json!({"config": map}))),
        (200, HAIKU.to_owned())
    );
    // The list and the rules on models hold for what stands for it.
    let narrow = |config: Value| stand.key_with(json!({"config": config}));
    assert_eq!(served(&narrow(json!({"models_allowed": [MINI]}))).0, 503);
    let wide = narrow(json!({"models_allowed": [MINI, "anthropic/claude-haiku*"]}));
    assert_eq!(served(&wide), (200, HAIKU.to_owned()));
    let denied = json!({"policy_rules": {"models": {"deny": ["claude"]}}});
    assert_eq!(served(&narrow(denied)).0, 503);
    // As does the list of providers.
    assert_eq!(
        served(&narrow(json!({"providers_allowed": [openai]}))).0,
        503
    );
    // An alias is a name like another.
    let alias = narrow(json!({"model_aliases": {"assistant": MINI}}));
    let answer = stand.call(&alias, &asking("assistant", false));
    substituted(&answer, "an alias");
}

#[test]
fn vectors_fall_over_within_a_vendor_and_never_to_another() {
    let stand = Stand::start();
    let spare = provider();
    let spare_row = stand.gateway.openai(&spare, "sk-failover-spare");
    let rows = [stand.rows[0].as_str(), &stand.rows[1], &spare_row];
    let policy = policy(&stand.gateway, &rows);
    let key = stand.gateway.create_key_with(json!({
        "routing_policy_id": policy,
        "config": {"fallback": {"model_map": {"text-embedding-3-small": {"anthropic": HAIKU}}}},
    }));
    let body = json!({"model": "text-embedding-3-small", "input": "Paris"});
    let ask = Ask::post("/v1/embeddings", &key.secret, &body);
    always(&stand.openai, &json!({"status": 503}));
    let answer = stand.gateway.call(&ask);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-fallback-count"), Some("1"));
    assert_eq!(
        answer.header("x-langwatch-model"),
        Some("text-embedding-3-small")
    );
    once(&spare, &json!({"status": 500}));
    let answer = stand.gateway.call(&ask);
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert_eq!((stand.asked(), spare.requests().len()), ([2, 0], 2));
}

#[test]
fn a_caller_that_leaves_ends_the_walk_and_says_nothing_of_the_provider() {
    let stand = Stand::with(&[("LW_GATEWAY_CIRCUIT_THRESHOLD", "1")]);
    let key = stand.key(&json!({}));
    for (number, stream) in [false, true].into_iter().enumerate() {
        once(&stand.openai, &json!({"stall_before_head": true}));
        let mut conn = crate::support::Conn::open(stand.gateway.addr);
        conn.write(&Ask::post(CHAT, &key.secret, question(stream)).wire());
        eventually("the provider is asked", || {
            (stand.openai.requests().len() == number * 2 + 1).then_some(())
        });
        drop(conn);
        eventually("the provider sees the caller leave", || {
            (stand.openai.disconnects() == u64::try_from(number + 1).ok()?).then_some(())
        });
        // Its circuit is closed: it is asked first again.
        let answer = stand.call(&key, &question(stream));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
        assert_eq!(stand.asked()[1], 0, "nobody else was");
    }
}
