//! `guardrails` against a scripted server.

use super::{API_KEY, Server, Shell, compact};

const GUARDRAIL: &str = r#"{"id":"guard_1","project_id":"proj_1","name":"no-cards","description":null,
    "direction":"pre","failure_mode":"fail_closed","evaluator":{"slug":"pii-check","settings":{"kinds":["credit_card"]}},
    "archived_at":null,"created_at":"2026-07-01T10:00:00.000Z"}"#;

fn wrapped() -> String {
    format!(r#"{{"guardrail":{GUARDRAIL}}}"#)
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server).run(
        "guardrails create --name no-cards --description d --direction Stream-Chunk --failure-mode fail_open \
         --evaluator PII-check --settings-json {\"kinds\":[\"credit_card\"]} --project proj_1 \
         --idempotency-key idem-12345 -f json",
    );
    assert_eq!(done.json().compact(), compact(GUARDRAIL));
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/guardrails");
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    let expected = r#"{"project_id":"proj_1","name":"no-cards","description":"d","direction":"stream_chunk",
        "failure_mode":"fail_open","evaluator":{"slug":"pii-check","settings":{"kinds":["credit_card"]}}}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn a_warning_stands_beside_the_guardrail() {
    let answer =
        format!(r#"{{"guardrail":{GUARDRAIL},"warnings":["Another gateway lets it pass."]}}"#);
    let server = Server::answering([(201, &answer), (201, &answer)]);
    let shell = Shell::at(&server).file("s.json", r#"{"max_chars":5}"#);
    let words =
        "guardrails create --name n --direction pre --evaluator length --settings-file s.json";
    insta::assert_snapshot!(shell.run(words).ok(), @r#"
    Guardrail "no-cards" created.

    ID          guard_1
    Name        no-cards
    Project     proj_1
    Direction   pre
    On failure  fail_closed
    Evaluator   pii-check
    Settings    {"kinds":["credit_card"]}
    Created     2026-07-01 10:00

    Warning: Another gateway lets it pass.
    "#);
    let done = shell.run(&format!("{words} --jq .warnings"));
    assert_eq!(
        done.json().compact(),
        r#"["Another gateway lets it pass."]"#
    );
    let expected = r#"{"name":"n","direction":"pre","evaluator":{"slug":"length","settings":{"max_chars":5}}}"#;
    assert_eq!(server.requests()[0].body, expected);
}

#[test]
fn list_get_and_archive() {
    let page = format!(r#"{{"data":[{GUARDRAIL}],"next_cursor":null}}"#);
    let server = Server::answering([
        (200, &page),
        (200, &page),
        (200, r#"{"data":[]}"#),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
    ]);
    let shell = Shell::at(&server);
    let done = shell.run("guardrails list -f json");
    assert_eq!(done.json().compact(), compact(&format!("[{GUARDRAIL}]")));
    insta::assert_snapshot!(shell.run("guardrails list").ok(), @r"
    ID       Name      Direction  Evaluator  On failure   Project
    ─────────────────────────────────────────────────────────────
    guard_1  no-cards  pre        pii-check  fail_closed  proj_1
    ");
    assert!(
        shell
            .run("guardrails list")
            .ok()
            .starts_with("No guardrails found.")
    );
    assert_eq!(
        shell.run("guardrails get guard_1 -f json").json().compact(),
        compact(GUARDRAIL)
    );
    assert!(
        shell
            .run("guardrails get guard_1")
            .ok()
            .contains("Evaluator   pii-check\n")
    );
    assert_eq!(
        shell
            .run("guardrails archive guard_1 -f json")
            .json()
            .compact(),
        compact(GUARDRAIL)
    );
    assert!(
        shell
            .run("guardrails archive guard_1")
            .ok()
            .starts_with("Guardrail \"no-cards\" archived.\n")
    );
    let lines: Vec<String> = server.requests().iter().map(super::Seen::line).collect();
    assert_eq!(lines[0], "GET /api/gateway/v1/guardrails?limit=200");
    assert_eq!(lines[3], "GET /api/gateway/v1/guardrails/guard_1");
    assert_eq!(lines[5], "DELETE /api/gateway/v1/guardrails/guard_1");
}

#[test]
fn new_settings_keep_their_evaluator() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let done = Shell::at(&server)
        .run("guardrails update guard_1 --settings-json {\"kinds\":[\"email\"]} -f json");
    assert_eq!(done.json().compact(), compact(GUARDRAIL));
    let seen = server.requests();
    assert_eq!(seen[0].line(), "GET /api/gateway/v1/guardrails/guard_1");
    assert_eq!(seen[1].line(), "PATCH /api/gateway/v1/guardrails/guard_1");
    let expected = r#"{"evaluator":{"slug":"pii-check","settings":{"kinds":["email"]}}}"#;
    assert_eq!(seen[1].body, expected);
}

#[test]
fn update_sends_only_what_was_said() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let shell = Shell::at(&server);
    let done = shell.run(
        "guardrails update guard_1 --name n --clear-description --direction post --failure-mode fail-open",
    );
    assert!(
        done.ok().starts_with("Guardrail \"no-cards\" updated.\n"),
        "{}",
        done.out
    );
    shell
        .run("guardrails update guard_1 --description d --evaluator length --settings-json {} -f json")
        .ok();
    let seen = server.requests();
    let expected =
        r#"{"name":"n","description":null,"direction":"post","failure_mode":"fail_open"}"#;
    assert_eq!(seen[0].body, expected);
    assert_eq!(
        seen[1].body,
        r#"{"description":"d","evaluator":{"slug":"length","settings":{}}}"#
    );
}

#[test]
fn an_update_that_says_too_little_is_refused_before_any_call() {
    let done = Shell::new().run("guardrails update guard_1");
    assert!(
        done.failed().starts_with("Error: nothing to update."),
        "{}",
        done.err
    );
    let done = Shell::new().run("guardrails update guard_1 --evaluator regex");
    assert!(
        done.failed().contains("--evaluator needs --settings-json"),
        "{}",
        done.err
    );
}
