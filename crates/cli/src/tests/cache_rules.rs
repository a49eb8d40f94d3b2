//! `cache-rules` against a scripted server.

use super::{API_KEY, Server, Shell, compact};

const RULE: &str = r#"{"id":"cr_1","organization_id":"org_1","name":"evals","description":null,"priority":900,
    "enabled":true,"matchers":{"vk_tags":["eval","ci"],"model":"openai/gpt-5","request_metadata":{"x-team":"a"},"vk_id":null},
    "action":{"mode":"force","ttl":3600,"salt":null},"mode_enum":"FORCE","archived_at":null,
    "created_at":"2026-07-01T10:00:00.000Z","updated_at":"2026-07-01T10:00:00.000Z"}"#;

fn wrapped() -> String {
    format!(r#"{{"cache_rule":{RULE}}}"#)
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server).run(
        "cache-rules create --name evals --description d --mode Force --ttl 3600 --salt s --priority 900 \
         --model openai/gpt-5 --vk vk_1 --vk-prefix vk-lw-01H --vk-tag eval --vk-tag ci --principal u1 \
         --header x-team=a --header x-b=c=d --time-window {\"days\":[1]} --disabled \
         --idempotency-key idem-12345 -f json",
    );
    assert_eq!(done.json().compact(), compact(RULE));
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/cache-rules");
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    let expected = r#"{"name":"evals","description":"d","priority":900,"enabled":false,
        "matchers":{"vk_id":"vk_1","vk_prefix":"vk-lw-01H","principal_id":"u1","model":"openai/gpt-5",
        "vk_tags":["eval","ci"],"request_metadata":{"x-team":"a","x-b":"c=d"},"time_window":{"days":[1]}},
        "action":{"mode":"force","ttl":3600,"salt":"s"}}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_for_people() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server).run("cache-rules create --name evals --mode force --vk-tag eval");
    insta::assert_snapshot!(done.ok(), @r#"
    Cache rule "evals" created.

    ID          cr_1
    Name        evals
    Enabled     yes
    Priority    900
    Conditions  vk_tag=eval and vk_tag=ci and model=openai/gpt-5 and header x-team=a
    Mode        force
    TTL         3600 s
    Created     2026-07-01 10:00
    Updated     2026-07-01 10:00
    "#);
    let expected = r#"{"name":"evals","matchers":{"vk_tags":["eval"]},"action":{"mode":"force"}}"#;
    assert_eq!(server.only_request().body, expected);
}

#[test]
fn a_rule_without_a_condition_is_refused_before_any_call() {
    let done = Shell::new().run("cache-rules create --name n --mode disable");
    assert!(
        done.failed()
            .starts_with("Error: a cache rule needs a condition."),
        "{}",
        done.err
    );
    for wrong in [
        "--ttl 86401",
        "--priority 1001",
        "--mode cache",
        "--header x",
    ] {
        let done = Shell::new().run(&format!("cache-rules create --name n --mode force {wrong}"));
        assert!(done.failed().contains("invalid value"), "{}", done.err);
    }
}

#[test]
fn list_get_and_archive() {
    let page = format!(
        r#"{{"data":[{RULE},{{"id":"cr_2","name":"off","enabled":false,"priority":1,"mode_enum":"DISABLE"}}],"next_cursor":null}}"#
    );
    let server = Server::answering([
        (200, &page),
        (200, &page),
        (200, r#"{"data":[],"next_cursor":null}"#),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
    ]);
    let shell = Shell::at(&server);
    assert_eq!(
        shell.run("cache-rules list --jq .[].id").json().compact(),
        r#"["cr_1","cr_2"]"#
    );
    insta::assert_snapshot!(shell.run("cache-rules list").ok(), @r"
    ID    Name   Priority  Enabled  Mode     TTL     Conditions
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    cr_1  evals  900       yes      force    3600 s  vk_tag=eval and vk_tag=ci and model=openai/gpt-5 and header x-team=a
    cr_2  off    1         no       disable  -       -
    ");
    assert!(
        shell
            .run("cache-rules list")
            .ok()
            .starts_with("No cache rules found.")
    );
    assert_eq!(
        shell.run("cache-rules get cr_1 -f json").json().compact(),
        compact(RULE)
    );
    assert!(
        shell
            .run("cache-rules get cr_1")
            .ok()
            .contains("Conditions  vk_tag=eval and")
    );
    assert_eq!(
        shell
            .run("cache-rules archive cr_1 -f json")
            .json()
            .compact(),
        compact(RULE)
    );
    assert!(
        shell
            .run("cache-rules archive cr_1")
            .ok()
            .starts_with("Cache rule \"evals\" archived.\n")
    );
    let seen = server.requests();
    let lines: Vec<String> = seen.iter().map(super::Seen::line).collect();
    assert_eq!(lines[0], "GET /api/gateway/v1/cache-rules?limit=200");
    assert_eq!(lines[3], "GET /api/gateway/v1/cache-rules/cr_1");
    assert_eq!(lines[5], "DELETE /api/gateway/v1/cache-rules/cr_1");
}

#[test]
fn update_keeps_the_conditions_and_the_action_that_it_does_not_name() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let done = Shell::at(&server).run(
        "cache-rules update cr_1 --ttl 60 --vk vk_9 --clear-matcher Header --clear-matcher vk-tag -f json",
    );
    assert_eq!(done.json().compact(), compact(RULE));
    let seen = server.requests();
    assert_eq!(seen[0].line(), "GET /api/gateway/v1/cache-rules/cr_1");
    assert_eq!(seen[1].line(), "PATCH /api/gateway/v1/cache-rules/cr_1");
    let expected = r#"{"matchers":{"model":"openai/gpt-5","vk_id":"vk_9"},"action":{"mode":"force","ttl":60}}"#;
    assert_eq!(seen[1].body, expected);
}

#[test]
fn update_of_the_rest_asks_nothing_first() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let shell = Shell::at(&server);
    let done =
        shell.run("cache-rules update cr_1 --name n --clear-description --priority 5 --disabled");
    assert!(
        done.ok().starts_with("Cache rule \"evals\" updated.\n"),
        "{}",
        done.out
    );
    shell
        .run("cache-rules update cr_1 --description d --enabled -f json")
        .ok();
    let seen = server.requests();
    assert_eq!(
        seen[0].body,
        r#"{"name":"n","description":null,"priority":5,"enabled":false}"#
    );
    assert_eq!(seen[1].body, r#"{"description":"d","enabled":true}"#);
    let done = Shell::new().run("cache-rules update cr_1");
    assert!(
        done.failed().starts_with("Error: nothing to update."),
        "{}",
        done.err
    );
}

#[test]
fn update_clears_parts_of_the_action_and_never_the_last_condition() {
    let rule = r#"{"id":"cr_1","matchers":{"vk_id":"vk_1"},"action":{"mode":"force","ttl":60,"salt":"s"}}"#;
    let server = Server::answering([(200, rule), (200, rule), (200, rule)]);
    let shell = Shell::at(&server);
    shell
        .run("cache-rules update cr_1 --mode respect --clear-ttl --clear-salt -f json")
        .ok();
    let done = shell.run("cache-rules update cr_1 --clear-matcher vk");
    assert!(
        done.failed().contains("`langwatch cache-rules archive`"),
        "{}",
        done.err
    );
    let seen = server.requests();
    assert_eq!(seen[1].body, r#"{"action":{"mode":"respect"}}"#);
    assert_eq!(seen.len(), 3);
}
