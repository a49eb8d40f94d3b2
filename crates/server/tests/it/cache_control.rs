//! What is done about the provider's prompt cache: who decides, what becomes of the bytes, what is told
//! (data-plane 14).

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::lanes::{bedrock, gemini, vertex, with_lane};
use crate::support::{
    Answer, Ask, Gateway, Key, chat, messages, once, parsed, provider, responses, usage, whenever,
};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const HEADER: &str = "X-LangWatch-Cache";
const RULES: &str = "/api/gateway/v1/cache-rules";

/// A body that a parser and a printer would change, with markers wherever they may stand.
const MARKED: &str = r#" {"zeta" : 1.10, "model":"claude-haiku-4-5","max_tokens" :9,
  "system":[ {"type":"text","text":"Be terse.", "cache_control" : {"type":"ephemeral"}} ],
  "messages":[{"role":"user","content":[
    {"cache_control":{"ttl":"1h","type":"ephemeral"},"type":"text","text":"h\u0069"},
    {"type":"text","text":"there","cache_control":{"type":"ephemeral"} , "big":123456789012345678901234567890}]}],
  "tools" : [{"name":"a","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}]} "#;

/// The same without its markers.
const UNMARKED: &str = r#" {"zeta" : 1.10, "model":"claude-haiku-4-5","max_tokens" :9,
  "system":[ {"type":"text","text":"Be terse."} ],
  "messages":[{"role":"user","content":[
    {"type":"text","text":"h\u0069"},
    {"type":"text","text":"there", "big":123456789012345678901234567890}]}],
  "tools" : [{"name":"a","input_schema":{"type":"object"}}]} "#;

/// A body without a marker, and what `force` makes of it.
const PLAIN: &str = r#"{"model":"claude-haiku-4-5","max_tokens":9, "system":"Be \u0074erse.","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}],"tools":[{"name":"a","input_schema":{"type":"object"}},{"name":"b","input_schema":{"type":"object"}}]}"#;

fn forced(marker: &str) -> String {
    let block =
        |text: &str| format!(r#"[{{"type":"text","text":{text},"cache_control":{marker}}}]"#);
    PLAIN
        .replace(r#""Be \u0074erse.""#, &block(r#""Be \u0074erse.""#))
        .replace(r#""three""#, &block(r#""three""#))
        .replace(
            r#"{"name":"b","input_schema":{"type":"object"}}"#,
            &format!(
                r#"{{"name":"b","input_schema":{{"type":"object"}},"cache_control":{marker}}}"#
            ),
        )
}

const USUAL: &str = r#"{"type":"ephemeral"}"#;
const FIVE_MINUTES: &str = r#"{"type":"ephemeral","ttl":"5m"}"#;
const ONE_HOUR: &str = r#"{"type":"ephemeral","ttl":"1h"}"#;

/// Asks with the header, if there is one; must be served.
fn asked(gateway: &Gateway, key: &Key, path: &str, body: &str, mode: Option<&str>) -> Answer {
    let mut ask = Ask::post(path, &key.secret, body);
    if let Some(mode) = mode {
        ask = ask.header(HEADER, mode);
    }
    let answer = gateway.call(&ask);
    assert_eq!(answer.status(), 200, "{path} {mode:?}: {}", answer.text());
    answer
}

fn sent(mock: &MockProvider) -> String {
    let seen = mock.requests().pop().expect("a request");
    assert!(
        !seen.headers.contains_key("x-langwatch-cache"),
        "{:?}",
        seen.headers
    );
    seen.body.expect("its body")
}

/// `X-LangWatch-Cache-Mode` and `X-LangWatch-Cache`.
fn told(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (
        answer.header("x-langwatch-cache-mode"),
        answer.header("x-langwatch-cache"),
    )
}

/// A key of which the cache mode is set.
fn key_with(gateway: &Gateway, cache: &Value) -> Key {
    gateway.create_key_with(json!({"config": {"cache": cache}}))
}

#[test]
fn respect_changes_no_byte_whoever_asks_for_it() {
    let (gateway, mock, key) = Gateway::with_provider();
    let respecting = key_with(&gateway, &json!({"mode": "respect"}));
    let forcing = key_with(&gateway, &json!({"mode": "force"}));
    let long = PLAIN.replace("three", &"word ".repeat(2_000));
    for body in [MARKED, PLAIN, &long] {
        for (key, header) in [
            (&key, None),
            (&key, Some("respect")),
            (&key, Some(" ReSpect\t")),
            (&respecting, None),
            (&forcing, Some("respect")),
        ] {
            let answer = asked(&gateway, key, MESSAGES, body, header);
            assert_eq!(told(&answer), (Some("respect"), Some("miss")), "{header:?}");
            assert_eq!(sent(&mock), body, "{header:?}");
        }
    }
}

#[test]
fn disable_takes_every_directive_out_and_nothing_else() {
    let (gateway, mock, key) = Gateway::with_provider();
    let answer = asked(&gateway, &key, MESSAGES, MARKED, Some("disable"));
    assert_eq!(sent(&mock), UNMARKED);
    assert_eq!(told(&answer), (Some("disable"), Some("bypass")));
    // Even when the provider has read from a cache of its own.
    once(
        &mock,
        &json!({"usage": {"prompt_tokens": 100, "cached_tokens": 50, "completion_tokens": 1}}),
    );
    let answer = asked(&gateway, &key, MESSAGES, MARKED, Some("DISABLE"));
    assert_eq!(told(&answer), (Some("disable"), Some("bypass")));
    let counted = MARKED.replace(r#""max_tokens" :9,"#, "");
    asked(
        &gateway,
        &key,
        "/v1/messages/count_tokens",
        &counted,
        Some("disable"),
    );
    assert_eq!(sent(&mock), UNMARKED.replace(r#""max_tokens" :9,"#, ""));
    // A body without directives is not touched, and OpenAI has none to take out.
    asked(&gateway, &key, MESSAGES, PLAIN, Some("disable"));
    assert_eq!(sent(&mock), PLAIN);
    for body in [
        r#"{"model":"gpt-4o-mini","prompt_cache_key":"k" ,"messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}"#,
    ] {
        let answer = asked(&gateway, &key, CHAT, body, Some("disable"));
        assert_eq!(sent(&mock), body);
        assert_eq!(told(&answer), (Some("disable"), Some("bypass")));
    }
}

#[test]
fn what_the_header_cannot_mean_is_refused_before_anybody_is_called() {
    let (gateway, mock, key) = Gateway::with_provider();
    for value in [
        "nonsense",
        "auto",
        "",
        "ttl",
        "ttl=",
        "ttl=0",
        "ttl=86401",
        "ttl=-1",
        "ttl=1.5",
        "ttl=99999999999999999999",
        "force, disable",
        "f\u{f6}rce",
    ] {
        for (path, body) in [(MESSAGES, messages("hi", true)), (CHAT, chat("hi"))] {
            let ask = Ask::post(path, &key.secret, body).header(HEADER, value);
            let answer = gateway.call(&ask);
            let at = format!("{value}: {}", answer.text());
            let code = "cache_override_invalid";
            assert_eq!(answer.code(), (400, code.to_owned()), "{at}");
            assert_eq!(
                answer.header("x-langwatch-handled-error"),
                Some(code),
                "{at}"
            );
            assert_eq!(told(&answer), (None, None), "{at}");
        }
    }
    assert!(mock.requests().is_empty());
}

#[test]
fn force_marks_instructions_last_message_and_last_tool() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (header, marker) in [
        ("force", USUAL),
        (" FORCE ", USUAL),
        ("ttl=1", FIVE_MINUTES),
        ("ttl=300", FIVE_MINUTES),
        ("ttl=301", ONE_HOUR),
        ("TTL=86400", ONE_HOUR),
    ] {
        let answer = asked(&gateway, &key, MESSAGES, PLAIN, Some(header));
        assert_eq!(sent(&mock), forced(marker), "{header}");
        assert_eq!(told(&answer), (Some("force"), Some("force")), "{header}");
    }
    // The caller's own markers stay as they are, and none is put beside one: all places are taken.
    asked(&gateway, &key, MESSAGES, MARKED, Some("ttl=3600"));
    assert_eq!(sent(&mock), MARKED);
    // Four breakpoints are all there are.
    let block =
        |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let mut full = messages("hi", false);
    full["messages"][0]["content"] = json!([
        block("1"), block("2"), block("3"), block("4"), {"type": "text", "text": "5"},
    ]);
    full["system"] = json!("Be terse.");
    asked(&gateway, &key, MESSAGES, &full.to_string(), Some("force"));
    assert_eq!(sent(&mock), full.to_string());
    // Counting needs no marker.
    let counted = PLAIN.replace(r#""max_tokens":9,"#, "");
    let path = "/v1/messages/count_tokens";
    asked(&gateway, &key, path, &counted, Some("force"));
    assert_eq!(sent(&mock), counted);
}

#[test]
fn whoever_caches_by_himself_gets_the_body_as_it_is() {
    let (gateway, mock, key) = Gateway::with_provider();
    for (path, body) in [
        (CHAT, chat("hi").to_string()),
        ("/v1/responses", responses("hi", false).to_string()),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": "hi"}).to_string(),
        ),
    ] {
        for header in ["force", "ttl=60"] {
            let answer = asked(&gateway, &key, path, &body, Some(header));
            assert_eq!(sent(&mock), body, "{path}");
            assert_eq!(told(&answer), (Some("force"), Some("force")), "{path}");
        }
    }
    // A Messages caller: what we might have put in is not reported as left out.
    let on_google = vertex(&mock, "gemini-2.5-flash");
    let (other, of_other) = with_lane(&on_google);
    for (gateway, key, model) in [
        (&gateway, &key, "gpt-4o-mini"),
        (&other, &of_other, "vertex/gemini-2.5-flash"),
    ] {
        let long = PLAIN.replace("three", &"word ".repeat(2_000));
        let body = long.replace("claude-haiku-4-5", model);
        let respected = asked(gateway, key, MESSAGES, &body, None);
        let plain = sent(&mock);
        let auto = key_with(gateway, &json!({"mode": "auto"}));
        for (key, header, mode) in [(key, Some("force"), "force"), (&auto, None, "auto")] {
            let answer = asked(gateway, key, MESSAGES, &body, header);
            assert_eq!(sent(&mock), plain, "{model} {mode}");
            let dropped = "x-langwatch-params-dropped";
            assert_eq!(answer.header(dropped), respected.header(dropped), "{model}");
            assert_eq!(told(&answer).0, Some(mode), "{model}");
        }
    }
}

#[test]
fn claude_on_other_clouds_is_marked_in_the_same_places() {
    let mock = provider();
    let mut on_bedrock = bedrock(&mock);
    on_bedrock.config["anthropic_invoke"] = json!(true);
    for lane in [vertex(&mock, "claude-haiku-4-5@20251001"), on_bedrock] {
        let (gateway, key) = with_lane(&lane);
        let body = PLAIN.replace("claude-haiku-4-5", &format!("{}/{}", lane.kind, lane.model));
        let parts = |body: &str| {
            let body = parsed(body);
            ["system", "messages", "tools"].map(|part| body[part].clone())
        };
        asked(&gateway, &key, MESSAGES, &body, None);
        assert_eq!(parts(&sent(&mock)), parts(PLAIN), "{}", lane.kind);
        let answer = asked(&gateway, &key, MESSAGES, &body, Some("force"));
        assert_eq!(parts(&sent(&mock)), parts(&forced(USUAL)), "{}", lane.kind);
        assert_eq!(told(&answer), (Some("force"), Some("force")));
        asked(&gateway, &key, MESSAGES, &body, Some("ttl=60"));
        assert!(sent(&mock).contains("cache_control"), "{}", lane.kind);
        let marked = MARKED.replace("claude-haiku-4-5", &format!("{}/{}", lane.kind, lane.model));
        // What only the mock's Anthropic overlooks.
        let marked = marked
            .replace(r#""zeta" : 1.10, "#, "")
            .replace(r#" , "big":123456789012345678901234567890"#, "");
        asked(&gateway, &key, MESSAGES, &marked, Some("disable"));
        assert!(!sent(&mock).contains("cache_control"), "{}", lane.kind);
        // A caller of another dialect.
        let asked_in_chat = json!({
            "model": format!("{}/{}", lane.kind, lane.model),
            "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "hi"}],
        });
        asked(
            &gateway,
            &key,
            CHAT,
            &asked_in_chat.to_string(),
            Some("force"),
        );
        let seen = sent(&mock);
        assert_eq!(seen.matches("cache_control").count(), 1, "{seen}");
    }
    // By the Converse operation there are points between blocks.
    let lane = bedrock(&mock);
    let (gateway, key) = with_lane(&lane);
    let body = PLAIN.replace("claude-haiku-4-5", &format!("bedrock/{}", lane.model));
    asked(&gateway, &key, MESSAGES, &body, Some("force"));
    let seen = sent(&mock);
    assert_eq!(seen.matches("cachePoint").count(), 3, "{seen}");
    asked(&gateway, &key, MESSAGES, &body, None);
    assert!(!sent(&mock).contains("cachePoint"));
}

#[test]
fn a_translated_request_asks_the_provider_to_place_the_breakpoint() {
    let (gateway, mock, key) = Gateway::with_provider();
    let question = json!({
        "model": "claude-haiku-4-5", "max_completion_tokens": 9,
        "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "hi"}],
    });
    let of_responses = json!({"model": "claude-haiku-4-5", "input": "hi"});
    for (path, body) in [
        (CHAT, question.to_string()),
        ("/v1/responses", of_responses.to_string()),
    ] {
        asked(&gateway, &key, path, &body, None);
        assert!(!sent(&mock).contains("cache_control"), "{path}");
        for (header, ttl) in [("force", Value::Null), ("ttl=3600", json!("1h"))] {
            let answer = asked(&gateway, &key, path, &body, Some(header));
            let seen = sent(&mock);
            let marker = &parsed(&seen)["cache_control"];
            assert_eq!(marker["type"], "ephemeral", "{path}: {seen}");
            assert_eq!(marker["ttl"], ttl, "{path}: {seen}");
            assert_eq!(seen.matches("cache_control").count(), 1, "{seen}");
            assert_eq!(told(&answer), (Some("force"), Some("force")), "{path}");
        }
    }
    // The caller's own markers come through, or do not.
    let mut marked = question;
    marked["messages"][1]["content"] =
        json!([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]);
    for (header, count) in [(None, 1), (Some("force"), 1), (Some("disable"), 0)] {
        asked(&gateway, &key, CHAT, &marked.to_string(), header);
        let seen = sent(&mock);
        assert_eq!(
            seen.matches("cache_control").count(),
            count,
            "{header:?}: {seen}"
        );
    }
}

#[test]
fn a_cache_that_a_body_names_is_not_used_when_caching_is_off() {
    let mock = provider();
    let lane = gemini(&mock);
    let (gateway, key) = with_lane(&lane);
    let kept = json!({
        "model": "models/gemini-2.5-flash",
        "contents": [{"role": "user", "parts": [{"text": "a long story"}]}],
    });
    let ask = Ask::post("/v1beta/cachedContents", &key.secret, kept).header(HEADER, "disable");
    let made = gateway.call(&ask).fine(200);
    let name = made["name"].as_str().expect("a name");
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let native = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "cachedContent": name,
    });
    let in_chat = json!({
        "model": "gemini/gemini-2.5-flash", "cached_content": name,
        "messages": [{"role": "user", "content": "hi"}],
    });
    for (path, body) in [(path, native), (CHAT, in_chat)] {
        asked(&gateway, &key, path, &body.to_string(), None);
        assert!(sent(&mock).contains(name), "{path}");
        asked(&gateway, &key, path, &body.to_string(), Some("force"));
        assert!(sent(&mock).contains(name), "{path}");
        let answer = asked(&gateway, &key, path, &body.to_string(), Some("disable"));
        let seen = sent(&mock);
        assert!(!seen.contains(name) && !seen.contains("ached"), "{seen}");
        assert_eq!(told(&answer), (Some("disable"), Some("bypass")));
    }
}

#[test]
fn auto_marks_long_unmarked_prompts_to_claude_and_nothing_else() {
    let (gateway, mock, _) = Gateway::with_provider();
    let key = key_with(&gateway, &json!({"mode": "auto"}));
    let sized = |bytes: usize| PLAIN.replace("one", &"w".repeat(bytes - PLAIN.len() + 3));
    let long = sized(4_096);
    assert_eq!(long.len(), 4_096);
    let answer = asked(&gateway, &key, MESSAGES, &long, None);
    let expected = forced(USUAL).replace("one", &"w".repeat(4_096 - PLAIN.len() + 3));
    assert_eq!(sent(&mock), expected);
    assert_eq!(told(&answer), (Some("auto"), Some("miss")));
    let marked = MARKED.replace("there", &"w".repeat(5_000));
    for body in [&sized(4_095), &marked] {
        let answer = asked(&gateway, &key, MESSAGES, body, None);
        assert_eq!(&sent(&mock), body);
        assert_eq!(told(&answer), (Some("auto"), Some("miss")));
    }
    // The header is heard first.
    asked(&gateway, &key, MESSAGES, &long, Some("respect"));
    assert_eq!(sent(&mock), long);
    // Other dialects, to Claude and to somebody else.
    for (model, count) in [("claude-haiku-4-5", 1), ("gpt-4o-mini", 0)] {
        let body = json!({
            "model": model, "messages": [{"role": "user", "content": "w".repeat(5_000)}],
        });
        asked(&gateway, &key, CHAT, &body.to_string(), None);
        let seen = sent(&mock);
        assert_eq!(seen.matches("cache_control").count(), count, "{model}");
        if count == 0 {
            assert_eq!(seen, body.to_string());
        }
    }
    // Another model that takes markers is none of Claude's family, whoever asks.
    let mut lane = bedrock(&mock);
    lane.model = "amazon.nova-pro-v1:0";
    let (gateway, _) = with_lane(&lane);
    let key = key_with(&gateway, &json!({"mode": "auto"}));
    let body = long.replace("claude-haiku-4-5", &format!("bedrock/{}", lane.model));
    for (header, count) in [(None, 0), (Some("force"), 2)] {
        asked(&gateway, &key, MESSAGES, &body, header);
        let seen = sent(&mock);
        assert_eq!(
            seen.matches("cachePoint").count(),
            count,
            "{header:?}: {seen}"
        );
    }
}

#[test]
fn what_came_of_it_is_told_by_the_providers_count_and_on_streams_only_the_mode() {
    let (gateway, mock, key) = Gateway::with_provider();
    let read =
        json!({"usage": {"prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 2}});
    let wrote = json!({"usage": {
        "prompt_tokens": 100, "cache_creation_5m": 60, "completion_tokens": 2,
    }});
    let translated = messages("hi", false)
        .to_string()
        .replace("claude-haiku-4-5", "gpt-4o-mini");
    let book = gateway.book();
    for (path, body) in [
        (MESSAGES, messages("hi", false).to_string()),
        (CHAT, chat("hi").to_string()),
        ("/v1/responses", responses("hi", false).to_string()),
        (MESSAGES, translated),
    ] {
        for (how, header, outcome) in [
            (&read, None, "hit"),
            (&read, Some("force"), "hit"),
            (&read, Some("disable"), "bypass"),
            (&wrote, None, "miss"),
            (&wrote, Some("ttl=60"), "force"),
        ] {
            once(&mock, how);
            let answer = asked(&gateway, &key, path, &body, header);
            let at = format!("{path} {header:?} {how}");
            assert_eq!(answer.header("x-langwatch-cache"), Some(outcome), "{at}");
            let truth = mock.truth().pop().expect("a generation");
            let entry = book.ended(&answer.request_id());
            assert_eq!(entry.usage, usage(&truth.usage), "{at}");
        }
    }
    for header in ["force", "disable", "respect"] {
        let body = messages("hi", true).to_string();
        let answer = asked(&gateway, &key, MESSAGES, &body, Some(header));
        assert_eq!(told(&answer), (Some(header), None));
    }
    // An error of the provider has the mode and no outcome; one of ours has neither.
    once(&mock, &json!({"status": 500}));
    let ask = Ask::post(MESSAGES, &key.secret, messages("hi", false)).header(HEADER, "force");
    let answer = gateway.call(&ask);
    assert_eq!(answer.status(), 500);
    assert_eq!(told(&answer), (Some("force"), None));
}

/// Creates a rule; returns its id.
fn rule(gateway: &Gateway, priority: u32, matchers: &Value, action: &Value) -> String {
    let body = json!({
        "name": format!("rule {priority}"), "priority": priority, "matchers": matchers,
        "action": action,
    });
    let made = gateway.api("POST", RULES, Some(&body)).fine(201);
    let id = made["cache_rule"]["id"].as_str();
    id.expect("an id").to_owned()
}

#[test]
fn the_first_rule_by_priority_that_matches_decides_unless_the_header_does() {
    let (gateway, mock, plain) = Gateway::with_provider();
    let key = gateway.create_key_with(json!({
        "config": {"metadata": {"tags": ["eval", "nightly"]}, "cache": {"mode": "disable"},
            "modelAliases": {"talk": "anthropic/claude-haiku-4-5"}},
    }));
    let path = format!("/api/gateway/v1/virtual-keys/{}", key.id);
    let shown = gateway.api("GET", &path, None).fine(200);
    let prefix = shown["virtual_key"]["display_prefix"]
        .as_str()
        .expect("a prefix")
        .to_owned();
    let mode_of = |key: &Key, body: &Value, headers: &[(&str, &str)]| {
        let mut ask = Ask::post(MESSAGES, &key.secret, body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = gateway.call(&ask);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let (mode, _) = told(&answer);
        let seen = sent(&mock);
        let marker = if seen.contains(r#""ttl":"1h""#) {
            " 1h"
        } else if seen.contains(r#""ttl":"5m""#) {
            " 5m"
        } else {
            ""
        };
        format!("{}{marker}", mode.unwrap_or_default())
    };
    let body = messages("hi", false);
    let mode = |headers: &[(&str, &str)]| mode_of(&key, &body, headers);
    let force = |ttl: u32| json!({"mode": "force", "ttl": ttl});
    assert_eq!(mode(&[]), "disable", "the key's own");
    // Each rule goes before those above, and holds from the next request on.
    rule(
        &gateway,
        10,
        &json!({"vk_id": key.id}),
        &json!({"mode": "respect"}),
    );
    assert_eq!(mode(&[]), "respect");
    rule(&gateway, 20, &json!({"vk_prefix": prefix}), &force(300));
    assert_eq!(mode(&[]), "force 5m");
    rule(
        &gateway,
        30,
        &json!({"vk_tags": ["nightly", "eval"]}),
        &force(3_600),
    );
    assert_eq!(mode(&[]), "force 1h");
    rule(&gateway, 40, &json!({"model": "claude-haiku*"}), &force(0));
    assert_eq!(mode(&[]), "force");
    let of_model = rule(
        &gateway,
        50,
        &json!({"model": "anthropic/claude-haiku-4-5"}),
        &force(300),
    );
    assert_eq!(mode(&[]), "force 5m");
    let metadata = json!({"request_metadata": {"X-Team": "billing", "x-stage": "test"}});
    rule(&gateway, 60, &metadata, &json!({"mode": "disable"}));
    assert_eq!(mode(&[]), "force 5m");
    assert_eq!(mode(&[("x-team", "billing")]), "force 5m");
    let both = [("X-TEAM", "billing"), ("x-stage", "test")];
    assert_eq!(mode(&both), "disable");
    assert_eq!(
        mode(&[both[0], both[1], (HEADER, "ttl=3600")]),
        "force 1h",
        "the header goes before every rule"
    );
    // An alias is judged as what it stands for.
    let mut aliased = body.clone();
    aliased["model"] = json!("talk");
    assert_eq!(mode_of(&key, &aliased, &[]), "force 5m");
    // None of these matches, however high it stands.
    let other = gateway.create_key();
    for matchers in [
        json!({"vk_id": other.id, "model": "claude*"}),
        json!({"vk_prefix": "vk-lw-zzz"}),
        json!({"vk_tags": ["eval", "other"]}),
        json!({"model": "claude"}),
        json!({"model": "openai/*"}),
        json!({"vk_id": key.id, "request_metadata": {"x-team": "sales"}}),
        json!({"time_window": {"days": [], "from": "00:00", "to": "00:00", "tz": "UTC"}}),
    ] {
        let made = gateway.api(
            "POST",
            RULES,
            Some(&json!({
                "name": "no", "priority": 900, "matchers": matchers, "action": {"mode": "disable"},
            })),
        );
        // What can never match may be refused instead.
        assert!([201, 400].contains(&made.status()), "{}", made.text());
    }
    assert_eq!(mode(&[]), "force 5m");
    // Of equal priorities, the older one.
    rule(
        &gateway,
        50,
        &json!({"vk_id": key.id}),
        &json!({"mode": "disable"}),
    );
    assert_eq!(mode(&[]), "force 5m");
    // A changed, disabled or archived rule decides no more, from the next request on.
    let one = format!("{RULES}/{of_model}");
    let changed = json!({"action": {"mode": "force", "ttl": 3600}});
    gateway.api("PATCH", &one, Some(&changed)).fine(200);
    assert_eq!(mode(&[]), "force 1h");
    let off = json!({"enabled": false});
    gateway.api("PATCH", &one, Some(&off)).fine(200);
    assert_eq!(mode(&[]), "disable", "the younger one of the same priority");
    let on = json!({"enabled": true});
    gateway.api("PATCH", &one, Some(&on)).fine(200);
    assert_eq!(mode(&[]), "force 1h");
    gateway.api("DELETE", &one, None).fine(200);
    assert_eq!(mode(&[]), "disable");
    // Another key, which only the rule about models is about.
    assert_eq!(mode_of(&plain, &body, &[]), "force");
}

#[test]
fn a_keys_own_mode_holds_from_the_next_request_on() {
    let (gateway, mock, key) = Gateway::with_provider();
    let set = |cache: Value| {
        let body = json!({"config": {"cache": cache}});
        gateway.patch_key(&key, &body).fine(200);
    };
    let ask = || asked(&gateway, &key, MESSAGES, PLAIN, None);
    ask();
    assert_eq!(sent(&mock), PLAIN);
    set(json!({"mode": "force", "ttlS": 300}));
    ask();
    assert_eq!(sent(&mock), forced(FIVE_MINUTES));
    set(json!({"mode": "force", "ttlS": 0}));
    ask();
    assert_eq!(sent(&mock), forced(USUAL));
    set(json!({"mode": "force", "ttlS": 7200}));
    ask();
    assert_eq!(sent(&mock), forced(ONE_HOUR));
    set(json!({"mode": "respect"}));
    ask();
    assert_eq!(sent(&mock), PLAIN);
}

#[test]
fn every_candidate_of_a_walk_is_treated_the_same_way() {
    let mock = provider();
    let gateway = Gateway::start();
    let rows = [
        gateway.openai(&mock, "sk-cache-openai"),
        gateway.anthropic(&mock, "sk-cache-anthropic"),
    ];
    let policy = json!({"name": "in order", "model_provider_ids": rows});
    let path = "/api/gateway/v1/routing-policies";
    let made = gateway.api("POST", path, Some(&policy)).fine(201);
    let key = gateway.create_key_with(json!({"routing_policy_id": made["routing_policy"]["id"]}));
    whenever(&mock, "gpt-5-mini", &json!({"status": 503}));
    let body = json!({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]});
    let answer = asked(&gateway, &key, CHAT, &body.to_string(), Some("force"));
    assert_eq!(answer.header("x-langwatch-provider"), Some("anthropic"));
    assert_eq!(told(&answer), (Some("force"), Some("force")));
    let bodies: Vec<String> = mock
        .requests()
        .into_iter()
        .filter_map(|seen| seen.body)
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], body.to_string());
    assert!(bodies[1].contains("cache_control"), "{}", bodies[1]);
}
