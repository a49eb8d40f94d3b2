//! A customer's own service that decides: what it is asked, and what becomes of each of its answers.

use std::collections::BTreeSet;

use lw_store::ledger::{Certainty, EntryKind};
use serde_json::{Value, json};

use super::service::{Asked, Say, Service};
use super::{MAIL, Way, World, captured, spoken, ways};
use crate::support::{Ask, Conn, Gateway, Key, eventually, once, parsed, provider, usage};

const UNAVAILABLE: &str = "guardrail_upstream_unavailable";

fn chat(text: &str) -> Way {
    ways(text, false).remove(0)
}

/// A world with a service, and a key whose requests and answers it judges.
fn judged(mode: &str) -> (World, Service, Key) {
    let world = World::start();
    let service = Service::start();
    let pre = world.guardrail_with("pre", "http-callout", &service.settings(), mode);
    let post = world.guardrail_with("post", "http-callout", &service.settings(), mode);
    let key = world.key(&[("pre", &[&pre]), ("post", &[&post])]);
    (world, service, key)
}

/// Answers questions of one direction like this and allows the rest.
fn says(service: &Service, direction: &'static str, say: Say) {
    service.answers(move |asked| {
        let is = asked.body["direction"] == direction;
        if is { say.clone() } else { Say::allow() }
    });
}

#[test]
fn a_service_blocks_and_its_reason_is_told() {
    let (world, service, key) = judged("fail_closed");
    for (direction, called) in [("request", 0), ("response", 1)] {
        let before = world.called();
        says(&service, direction, Say::block("no\r\nlotteries"));
        let answer = world.ask(&key, &chat("hello"));
        assert_eq!(
            answer.code(),
            (403, "guardrail_blocked".to_owned()),
            "{direction}"
        );
        let message = answer.json()["error"]["message"].clone();
        let message = message.as_str().unwrap_or_default();
        assert!(message.ends_with("`the guard`: no  lotteries"), "{message}");
        assert_eq!(world.called(), before + called, "{direction}");
    }
}

#[test]
fn a_service_changes_what_passes_in_every_dialect() {
    let (world, service, key) = judged("fail_closed");
    service.answers(|asked| {
        let text = asked.body["content"].to_string();
        let content = parsed(text.replace("secret", "[GONE]"));
        Say::modify(&content)
    });
    for mut way in ways("a secret", false) {
        let at = format!("{} native {}", way.name, way.native);
        match way.name {
            "messages" => way.body["system"] = json!([{"type": "text", "text": "secret too"}]),
            "responses" => way.body["instructions"] = json!("secret too"),
            "gemini" => way.body["systemInstruction"] = json!({"parts": [{"text": "secret too"}]}),
            _ => {}
        }
        once(&world.mock, &json!({"text": "the secret is out"}));
        let answer = world.ask(&key, &way);
        assert_eq!(answer.status(), 200, "{at}: {}", answer.text());
        let received = world.received();
        assert!(
            received.contains("a [GONE]") && !received.contains("secret"),
            "{at}: {received}"
        );
        let body = answer.text();
        assert!(spoken(&body).contains("the [GONE] is out"), "{at}: {body}");
        assert!(!body.contains("secret"), "{at}: {body}");
        let trace = world.gateway.book().trace(&answer.request_id());
        for side in [&trace.input, &trace.output] {
            let kept = captured(side.as_ref());
            assert!(
                kept.contains("[GONE]") && !kept.contains("secret"),
                "{at}: {kept}"
            );
        }
    }
}

/// What a service may do that is no decision, and the word for it.
fn failures() -> Vec<(Say, &'static str)> {
    let elsewhere = "Location: http://127.0.0.1:9/allow\r\n";
    let allows = json!({"decision": "allow"}).to_string();
    vec![
        (Say::Raw(500, "", allows.clone()), "bad_answer"),
        (Say::Raw(307, elsewhere, allows.clone()), "bad_answer"),
        (Say::Raw(404, "", String::new()), "bad_answer"),
        (Say::Raw(200, "", String::new()), "bad_answer"),
        (Say::Raw(200, "", "yes".to_owned()), "bad_answer"),
        (Say::Raw(200, "", format!("[{allows}]")), "bad_answer"),
        (
            Say::Raw(200, "", format!("{allows} {allows}")),
            "bad_answer",
        ),
        (Say::Json(json!({})), "bad_answer"),
        (Say::Json(json!({"decision": "Allow"})), "bad_answer"),
        (Say::Json(json!({"decision": true})), "bad_answer"),
        (Say::Json(json!({"decision": "modify"})), "bad_answer"),
        (Say::modify(&json!({})), "bad_answer"),
        (Say::modify(&json!("text")), "bad_answer"),
        (
            Say::modify(&json!({"messages": "text", "output": 7})),
            "bad_answer",
        ),
        (
            Say::Raw(
                200,
                "",
                format!(
                    "{{\"decision\":\"allow\",\"pad\":\"{}\"}}",
                    "x".repeat(1 << 20)
                ),
            ),
            "bad_answer",
        ),
        (Say::HangUp, "unreachable"),
    ]
}

#[test]
fn what_is_no_decision_is_never_a_yes_where_the_guardrail_fails_closed() {
    let (world, service, key) = judged("fail_closed");
    let book = world.gateway.book();
    for (say, _) in failures() {
        let at = format!("{say:.80?}");
        let before = world.called();
        says(&service, "request", say.clone());
        let answer = world.ask(&key, &chat("hello"));
        assert_eq!(
            answer.code(),
            (503, UNAVAILABLE.to_owned()),
            "{at} {}",
            answer.text()
        );
        assert_eq!(world.called(), before, "{at}");
        // Where the service stands is not for callers.
        assert!(
            !answer.text().contains("127.0.0.1"),
            "{at} {}",
            answer.text()
        );
        says(&service, "response", say);
        let answer = world.ask(&key, &chat("hello"));
        assert_eq!(
            answer.code(),
            (503, UNAVAILABLE.to_owned()),
            "{at} {}",
            answer.text()
        );
        // The provider was paid all the same, exactly.
        let truth = world.mock.truth().pop().expect("a generation");
        let entry = book.ended(&answer.request_id());
        assert_eq!(
            (entry.kind, entry.certainty),
            (EntryKind::Settle, Certainty::Exact),
            "{at}"
        );
        assert_eq!(entry.usage, usage(&truth.usage), "{at}");
        assert!(entry.amount.0 > 0, "{at}");
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(
            attributes["langwatch.guardrail.verdict"], "fail_closed",
            "{at}"
        );
    }
    assert_eq!(world.verdicts("request", "fail_open"), 0);
    let log = world.gateway.stdout();
    assert_eq!(
        log.matches("guardrail_fail_closed").count(),
        2 * failures().len(),
        "{log}"
    );
}

#[test]
fn what_is_no_decision_passes_with_a_warning_where_the_guardrail_fails_open() {
    let (world, service, key) = judged("fail_open");
    for (say, reason) in failures() {
        let at = format!("{say:.80?}");
        for direction in ["request", "response"] {
            says(&service, direction, say.clone());
            let answer = world.ask(&key, &chat("hello"));
            assert_eq!(answer.status(), 200, "{at} {direction} {}", answer.text());
            let attributes = world.attributes(&answer.request_id());
            assert_eq!(attributes["langwatch.guardrail.fail_open"], true, "{at}");
            assert_eq!(
                attributes["langwatch.guardrail.direction"], direction,
                "{at}"
            );
            let trace = world.gateway.book().trace(&answer.request_id());
            let word = (format!("fail_open.{direction}"), reason.to_owned());
            assert!(trace.facts.guardrails.contains(&word), "{at} {trace:?}");
        }
    }
    let many = failures().len();
    assert_eq!(world.verdicts("request", "fail_open"), many as u64);
    assert_eq!(world.verdicts("response", "fail_open"), many as u64);
    let log = world.gateway.stdout();
    let warned = log
        .lines()
        .filter(|line| line.contains("guardrail_fail_open"));
    assert_eq!(warned.clone().count(), 2 * many, "{log}");
    assert!(
        warned
            .into_iter()
            .all(|line| line.contains("\"level\":\"warn\"")),
        "{log}"
    );
}

#[test]
fn a_service_that_is_too_slow_is_not_waited_for() {
    let world = World::start_with(&[("GUARDRAIL_PRE_TIMEOUT_MS", "60")]);
    let service = Service::start();
    service.says(Say::Hold);
    let body = |mode: &str| world.guardrail_with("pre", "http-callout", &service.settings(), mode);
    let (closed, open) = (body("fail_closed"), body("fail_open"));
    let answer = world.ask(&world.key_of("pre", &closed), &chat("hello"));
    assert_eq!(answer.code(), (503, UNAVAILABLE.to_owned()));
    let attributes = world.attributes(&answer.request_id());
    assert_eq!(attributes["langwatch.guardrail.timeout"], "request");
    let answer = world.ask(&world.key_of("pre", &open), &chat("hello"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    // A direction fails open only when everything on it does.
    let answer = world.ask(&world.key(&[("pre", &[&open, &closed])]), &chat("hello"));
    assert_eq!(answer.code(), (503, UNAVAILABLE.to_owned()));
    assert_eq!(world.called(), 1);
}

#[test]
fn a_caller_who_leaves_while_a_service_decides_costs_nothing() {
    let (world, service, key) = judged("fail_closed");
    service.says(Say::Hold);
    let mut caller = Conn::open(world.gateway.addr);
    caller.write(&chat("hello").with(&key).wire());
    let id = eventually("the service is asked", || {
        let asked = service.asked().pop()?;
        asked.body["gateway_request_id"].as_str().map(str::to_owned)
    });
    drop(caller);
    let entry = world.gateway.book().ended(&id);
    assert_eq!((entry.kind, entry.amount.0), (EntryKind::Release, 0));
    assert_eq!(
        entry.detail.error_type.as_deref(),
        Some("client_disconnected")
    );
    service.release();
    assert_eq!(world.called(), 0);
}

#[test]
fn the_service_is_told_who_asks_what_and_nothing_of_the_key() {
    let world = World::start();
    let service = Service::start();
    let settings = json!({
        "url": service.url(), "timeout_ms": 4_500, "headers": {"X-Guard-Key": "a-guard-secret"},
    });
    let of = |direction: &str| world.guardrail(direction, "http-callout", &settings);
    let (pre, post, chunk) = (of("pre"), of("post"), of("stream_chunk"));
    let key = world.key(&[
        ("pre", &[&pre]),
        ("post", &[&post]),
        ("stream_chunk", &[&chunk]),
    ]);
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let mut way = ways("hello", true).remove(0);
    way.body["tools"] = tools.clone();
    once(&world.mock, &json!({"text": "one two"}));
    let answer = world.ask(&key, &way);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let asked = eventually("the whole is asked about", || {
        let asked = service.asked();
        (asked.len() == 4).then_some(asked)
    });
    let shape = |direction: &str, guardrail: &str, content: Value| {
        json!({
            "vk_id": key.id, "project_id": asked[0].body["project_id"],
            "gateway_request_id": answer.request_id(),
            "direction": direction, "guardrail_ids": [guardrail], "content": content,
            "metadata": {"model": "gpt-4o-mini", "principal_id": null},
        })
    };
    let request = json!({"messages": way.body["messages"], "tools": tools, "mcps": []});
    let expected = [
        shape("request", &pre, request),
        shape("stream_chunk", &chunk, json!({"chunk": "one "})),
        shape("stream_chunk", &chunk, json!({"chunk": "two"})),
        shape("response", &post, json!({"output": "one two"})),
    ];
    let bodies: Vec<&Value> = asked.iter().map(|asked| &asked.body).collect();
    assert_eq!(bodies, expected.iter().collect::<Vec<_>>());
    let project = asked[0].body["project_id"].as_str().unwrap_or_default();
    assert!(project.starts_with("proj_"), "{project}");
    for Asked {
        line,
        headers,
        body,
    } in &asked
    {
        assert_eq!(line, "POST /check?tenant=acme HTTP/1.1");
        assert_eq!(headers["x-guard-key"], "a-guard-secret");
        assert_eq!(headers["content-type"], "application/json");
        let names: BTreeSet<&str> = headers.keys().map(String::as_str).collect();
        let known = BTreeSet::from([
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-guard-key",
        ]);
        assert_eq!(names, known);
        assert!(!body.to_string().contains(&key.secret));
    }
    let log = world.gateway.stdout() + &world.gateway.stderr();
    assert!(!log.contains("a-guard-secret"), "{log}");
    let trace = format!("{:?}", world.gateway.book().trace(&answer.request_id()));
    assert!(!trace.contains("a-guard-secret"));
}

#[test]
fn what_is_built_in_goes_before_a_service_and_shows_it_nothing_that_is_taken_out() {
    let world = World::start();
    let service = Service::start();
    let redacts = world.redacts("pre");
    let blocks = world.blocks("pre");
    let asks = world.guardrail("pre", "http-callout", &service.settings());
    let key = world.key(&[("pre", &[&redacts, &asks, &blocks])]);
    let answer = world.ask(&key, &chat(&format!("to {MAIL}")));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body["content"]["messages"][0]["content"],
        "to [EMAIL]"
    );
    let answer = world.ask(&key, &chat("a swordfish"));
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert_eq!(service.asked().len(), 1);
}

#[test]
fn a_service_in_private_address_space_is_refused_unless_the_installation_allows_it() {
    let service = Service::start();
    let mut gateway = Gateway::start();
    let mock = provider();
    gateway.openai(&mock, "sk-guarded-openai");
    let body = json!({
        "name": "inside", "project_id": "default", "direction": "pre",
        "evaluator": {"slug": "http-callout", "settings": service.settings()},
    });
    let make = |gateway: &Gateway| gateway.api("POST", super::GUARDRAILS, Some(&body));
    let made = make(&gateway).fine(201);
    let id = made["guardrail"]["id"].as_str().expect("an id");
    let key = gateway.create_key_with(json!({
        "scopes": [{"scope_type": "project", "scope_id": "default"}],
        "config": {"guardrailAttachments": super::attachments(&[("pre", &[id])])},
    }));
    let way = chat("hello");
    assert_eq!(gateway.call(&way.with(&key)).status(), 200);
    assert_eq!(service.asked().len(), 1);
    // The policy is asked again by whoever dials.
    gateway.stop();
    let changes = [("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", None)];
    gateway.relaunch(&changes).expect("it starts");
    let answer = gateway.call(&way.with(&key));
    assert_eq!(
        answer.code(),
        (503, UNAVAILABLE.to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(service.asked().len(), 1);
    assert_eq!(make(&gateway).status(), 400);
}

#[test]
fn a_stored_prompt_and_embedded_texts_are_shown_to_the_service_and_come_back_changed() {
    let world = World::start();
    let service = Service::start();
    let asks = world.guardrail("pre", "http-callout", &service.settings());
    let key = world.key_of("pre", &asks);
    service.answers(|asked| {
        let text = asked.body["content"].to_string();
        Say::modify(&parsed(text.replace("secret", "[GONE]")))
    });
    let embedded = json!({"model": "text-embedding-3-small", "input": ["a secret", "and more"]});
    let answer = world
        .gateway
        .call(&Ask::post("/v1/embeddings", &key.secret, embedded));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        parsed(world.received())["input"],
        json!(["a [GONE]", "and more"])
    );
}
