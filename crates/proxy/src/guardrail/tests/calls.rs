//! Checks of requests and whole answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use GuardrailDirection::{Post, Pre};
use tokio::sync::Notify;

use super::service::{Reply, Service, allow, block, modify, raw};
use super::*;

fn asks(name: &str, direction: GuardrailDirection, service: &Service) -> Guardrail {
    let settings = json!({ "url": service.url, "timeout_ms": 4_500 });
    row(name, direction, "http-callout", settings)
}

async fn checked(rows: &[Guardrail], text: &str) -> Result<CheckedRequest, Unavailable> {
    let checking = checker();
    let guards = compiled(rows);
    let (who, body) = (who(), chat(text));
    let check = checking.request(&guards, &who, &body);
    tokio::time::timeout(PATIENCE, check).await.expect("an end")
}

fn text_of(checked: &CheckedRequest) -> Option<String> {
    match &checked.outcome {
        Outcome::Modify { content, .. } => {
            let body: Value = serde_json::from_slice(content).expect("JSON");
            Some(
                body["messages"][0]["content"]
                    .as_str()
                    .expect("a text")
                    .to_owned(),
            )
        }
        Outcome::Allow | Outcome::Block(_) => None,
    }
}

#[tokio::test]
async fn a_service_is_sent_the_check_as_it_is_specified() {
    let service = Service::start(|_| allow()).await;
    let sealer = sealer();
    let settings = json!({ "url": format!("{}?tenant=1", service.url) });
    let mut row = row("a", Pre, "http-callout", settings);
    let place = Place {
        table: "guardrails",
        column: "sealed_settings",
        row_id: "guard_a",
    };
    let sealed = sealer.seal(br#"{"authorization":"Bearer hush"}"#, place, &SystemEntropy);
    row.sealed_settings = Some(sealed.expect("seals"));
    let attachments = [Attachment {
        direction: Pre,
        guardrail_ids: vec!["guard_a".to_owned()],
    }];
    let guards = Guards::compile(&[row], &attachments, &sealer);
    let said = checker()
        .request(&guards, &who(), &chat("hi"))
        .await
        .expect("an answer");
    assert_eq!((said.verdict(), said), ("allow", Checked::allow()));
    let [(head, body)] = &service.asked()[..] else {
        panic!("asked more than once")
    };
    assert!(
        head.starts_with("post /check?tenant=1 http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "authorization: bearer hush",
        "content-type: application/json",
        "user-agent: test",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(
        *body,
        json!({
            "vk_id": "vk_1", "project_id": "proj_1", "gateway_request_id": "req_1", "direction": "request",
            "guardrail_ids": ["guard_a"],
            "content": { "messages": [{ "role": "user", "content": "hi" }], "tools": [], "mcps": [] },
            "metadata": { "model": "gpt-5-mini", "principal_id": null },
        })
    );
}

#[tokio::test]
async fn a_block_names_the_guardrail_and_its_reason() {
    let service = Service::start(|_| block(" no\nway ")).await;
    let said = checked(&[asks("a", Pre, &service)], "hi")
        .await
        .expect("an answer");
    assert_eq!(said.verdict(), "block");
    let Outcome::Block(blocked) = said.outcome else {
        panic!("{said:?}")
    };
    let error = blocked.error();
    assert_eq!(error.code(), Code::GuardrailBlocked);
    assert_eq!(
        error.message(),
        "the request was blocked by the guardrail `a`: no way"
    );
    let body = lw_core::error::render(
        &error,
        lw_core::error::Dialect::OpenAi,
        lw_core::error::Correlation::default(),
    );
    assert!(
        body.contains(r#""policies_triggered":["guard_a"]"#),
        "{body}"
    );
}

#[tokio::test]
async fn what_is_built_in_blocks_before_any_service_is_asked() {
    let service = Service::start(|_| allow()).await;
    let rows = [asks("a", Pre, &service), forbids("b", Pre, "secret")];
    let said = checked(&rows, "a secret").await.expect("an answer");
    assert_eq!(said.verdict(), "block");
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn changes_are_chained_in_the_order_of_attachment() {
    let appends = |mark: &'static str| {
        move |ask: Value| {
            let mut messages = ask["content"]["messages"].clone();
            let text = messages[0]["content"].as_str().expect("a text").to_owned() + mark;
            messages[0]["content"] = text.into();
            modify(&json!({ "messages": messages }))
        }
    };
    let first = Service::start(appends("1")).await;
    let second = Service::start(appends("2 jo@x.example")).await;
    let rows = [
        redacts("a", Pre),
        asks("b", Pre, &first),
        asks("c", Pre, &second),
        redacts("d", Pre),
        forbids("e", Pre, "nothing"),
    ];
    let said = checked(&rows, "to me@x.example").await.expect("an answer");
    assert_eq!(text_of(&said).as_deref(), Some("to [EMAIL]12 [EMAIL]"));
    let Outcome::Modify { content, applied } = &said.outcome else {
        panic!("{said:?}")
    };
    let applied: Vec<&str> = applied.iter().map(GuardrailId::as_str).collect();
    assert_eq!(applied, ["guard_a", "guard_b", "guard_c", "guard_d"]);
    assert!(content.ends_with(br#"}],"temperature":1}"#), "{content:?}");
    // No service saw what was redacted before it, and the first was asked once.
    for (_, ask) in first.asked().iter().chain(&second.asked()) {
        assert!(!ask.to_string().contains("me@x.example"), "{ask}");
    }
    assert_eq!((first.asked().len(), second.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_no_change() {
    let service = Service::start(|ask| modify(&ask["content"])).await;
    let said = checked(&[asks("a", Pre, &service)], "hi")
        .await
        .expect("an answer");
    assert_eq!(said, Checked::allow());
}

#[tokio::test]
async fn the_first_block_wins_and_nobody_waits_for_the_rest() {
    let silent = Service::start(|_| Reply::Nothing).await;
    let strict = Service::start(|_| block("no")).await;
    let rows = [asks("a", Pre, &silent), asks("b", Pre, &strict)];
    let said = checked(&rows, "hi").await.expect("an answer");
    let Outcome::Block(blocked) = said.outcome else {
        panic!("{said:?}")
    };
    assert_eq!(blocked.guardrail, "b");
}

#[tokio::test]
async fn at_most_eight_services_are_asked_at_once() {
    let (now, most, full) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Notify::new()),
    );
    let (counted, highest) = (now.clone(), most.clone());
    let service = Service::waiting(move |_| {
        let (now, most, full) = (counted.clone(), highest.clone(), full.clone());
        Box::pin(async move {
            let running = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(running, Ordering::SeqCst);
            // Nobody answers until eight are there; from then on everybody does.
            if most.load(Ordering::SeqCst) < 8 {
                full.notified().await;
            }
            full.notify_waiters();
            now.fetch_sub(1, Ordering::SeqCst);
            allow()
        })
    })
    .await;
    let rows: Vec<Guardrail> = (0..12)
        .map(|at| asks(&format!("g{at}"), Pre, &service))
        .collect();
    let said = checked(&rows, "hi").await.expect("an answer");
    assert_eq!(said.verdict(), "allow");
    assert_eq!(
        (most.load(Ordering::SeqCst), service.asked().len()),
        (8, 12)
    );
}

#[tokio::test]
async fn whatever_is_no_decision_is_a_failure_in_either_mode() {
    let huge = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{{\"decision\":\"allow\",\"x\":\"{}\"}}",
        (1 << 20) + 27,
        "x".repeat(1 << 20)
    );
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n{}\r\n",
        "x".repeat(2 << 20)
    );
    let rows: [(&str, Reply, &str); 12] = [
        ("nothing at all", raw("garbage\r\n\r\n"), "unreachable"),
        (
            "half an answer",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\nconnection: close\r\n\r\n{\"deci"),
            "timeout",
        ),
        (
            "a redirect",
            raw("HTTP/1.1 307 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"),
            "bad_answer",
        ),
        (
            "an error",
            raw("HTTP/1.1 500 x\r\ncontent-length: 22\r\n\r\n{\"decision\":  \"allow\"}"),
            "bad_answer",
        ),
        (
            "no JSON",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            "bad_answer",
        ),
        (
            "an unknown word",
            Reply::Json(json!({ "decision": "maybe" })),
            "bad_answer",
        ),
        ("no word", Reply::Json(json!({})), "bad_answer"),
        (
            "two words",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 41\r\n\r\n{\"decision\":\"block\",\"decision\":\"allow\"}  ",
            ),
            "bad_answer",
        ),
        (
            "a change of nothing",
            Reply::Json(json!({ "decision": "modify" })),
            "bad_answer",
        ),
        (
            "a change of another shape",
            modify(&json!({ "output": "x" })),
            "bad_answer",
        ),
        ("too much", Reply::Raw(huge.into_bytes()), "bad_answer"),
        (
            "too much without a length",
            Reply::Raw(endless.into_bytes()),
            "bad_answer",
        ),
    ];
    for (what, reply, label) in rows {
        let bytes = reply.bytes().expect("an answer");
        let service = Service::start(move |_| Reply::Raw(bytes.clone())).await;
        let short = label == "timeout";
        let limits = GuardrailTimes {
            request: if short {
                Duration::from_millis(80)
            } else {
                PATIENCE
            },
            ..patient()
        };
        let row = asks("a", Pre, &service);
        let run = async |row: &Guardrail| {
            checker_with(limits, true)
                .request(&compiled(std::slice::from_ref(row)), &who(), &chat("hi"))
                .await
        };
        let unavailable = run(&row).await.expect_err(what);
        assert_eq!(
            unavailable.failure.as_str(),
            label,
            "{what}: {unavailable:?}"
        );
        assert_eq!(
            unavailable.error().code(),
            Code::GuardrailUpstreamUnavailable
        );
        let said = run(&open(row)).await.expect(what);
        assert_eq!(
            (said.verdict(), said.failed_open.len(), &said.outcome),
            ("fail_open", 1, &Outcome::Allow),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_silent_service_is_waited_for_as_long_as_the_direction_may_take() {
    let service = Service::start(|_| Reply::Nothing).await;
    let limits = GuardrailTimes {
        request: Duration::from_millis(40),
        ..patient()
    };
    let guards = compiled(&[asks("a", Pre, &service)]);
    let said = checker_with(limits, true)
        .request(&guards, &who(), &chat("hi"))
        .await;
    assert_eq!(said.expect_err("nobody answered").failure, Failure::Timeout);
    // Its own limit holds, too.
    let settings = json!({ "url": service.url, "timeout_ms": 40 });
    let said = checked(&[row("b", Pre, "http-callout", settings)], "hi").await;
    assert_eq!(said.expect_err("nobody answered").failure, Failure::Timeout);
}

#[tokio::test]
async fn a_private_address_is_not_dialled_unless_it_is_allowed() {
    let service = Service::start(|_| allow()).await;
    let guards = compiled(&[asks("a", Pre, &service)]);
    let said = checker_with(patient(), false)
        .request(&guards, &who(), &chat("hi"))
        .await;
    let unavailable = said.expect_err("a refusal");
    assert_eq!(unavailable.failure.as_str(), "unreachable");
    assert!(service.asked().is_empty());
    let shown = unavailable.error().message().to_owned();
    assert!(!shown.contains("127.0.0.1"), "{shown}");
}

#[tokio::test]
async fn one_that_fails_closed_closes_the_direction() {
    let broken = || row("a", Pre, "regex", json!({ "patterns": ["("] }));
    let said = checked(&[open(broken()), forbids("b", Pre, "x")], "hi").await;
    assert_eq!(said.expect_err("closed").failure.as_str(), "settings");
    let said = checked(&[open(broken()), open(forbids("b", Pre, "x"))], "hi")
        .await
        .expect("open");
    assert_eq!(said.verdict(), "fail_open");
    // A failure that lets pass does not keep another one from blocking.
    let said = checked(&[open(broken()), open(forbids("b", Pre, "hi"))], "hi")
        .await
        .expect("open");
    assert_eq!(said.verdict(), "block");
}

#[tokio::test]
async fn a_request_without_text_passes_and_one_that_cannot_be_read_does_not() {
    let service = Service::start(|_| block("no")).await;
    let guards = compiled(&[asks("a", Pre, &service)]);
    let run = async |body: &'static [u8]| {
        checker()
            .request(&guards, &who(), &Bytes::from_static(body))
            .await
    };
    assert_eq!(
        run(br#"{"input":[[1,2]]}"#).await.expect("no text"),
        Checked::allow()
    );
    assert!(service.asked().is_empty());
    assert_eq!(
        run(b"--boundary")
            .await
            .expect_err("unreadable")
            .failure
            .as_str(),
        "unreadable"
    );
}

#[tokio::test]
async fn a_text_in_two_parts_is_read_as_one() {
    let parts = json!({ "messages": [{ "content": [{ "text": "a sec" }, { "text": "ret" }] }] });
    let body = Bytes::from(parts.to_string());
    let guards = compiled(&[forbids("a", Pre, "secret")]);
    let said = checker()
        .request(&guards, &who(), &body)
        .await
        .expect("an answer");
    assert_eq!(said.verdict(), "block");
}

#[tokio::test]
async fn a_large_text_is_searched_beside_the_loop() {
    let text = format!("{} jo@x.example", "x ".repeat(run::INLINE));
    let said = checked(&[redacts("a", Pre)], &text)
        .await
        .expect("an answer");
    assert!(text_of(&said).expect("a change").ends_with(" [EMAIL]"));
    let said = checked(&[forbids("a", Pre, "jo@x.example")], &text)
        .await
        .expect("an answer");
    assert_eq!(said.verdict(), "block");
}

#[tokio::test]
async fn every_text_of_an_answer_is_asked_about() {
    let service = Service::start(|ask| {
        assert_eq!(ask["direction"], "response");
        match ask["content"]["output"].as_str() {
            Some("b") => modify(&json!({ "output": "c" })),
            _ => allow(),
        }
    })
    .await;
    let guards = compiled(&[asks("a", Post, &service), redacts("b", Post)]);
    let texts = vec!["a".to_owned(), "b".to_owned(), "me@x.example".to_owned()];
    let said = checker()
        .texts(&guards, &who(), Direction::Response, texts)
        .await
        .expect("an answer");
    let Outcome::Modify { content, .. } = said.outcome else {
        panic!("{said:?}")
    };
    assert_eq!(content, ["a", "c", "[EMAIL]"]);
    assert_eq!(service.asked().len(), 3);
}
