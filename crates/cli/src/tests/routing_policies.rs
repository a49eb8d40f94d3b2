//! `routing-policies` against a scripted server.

use super::{API_KEY, Seen, Server, Shell, compact};

const POLICY: &str = r#"{"id":"rp_1","organization_id":"org_1","name":"openai-then-anthropic","description":null,
    "strategy":"ordered","model_provider_ids":["mp_a","mp_b"],"model_aliases":{"fast":"openai/gpt-5-mini"},
    "default_model":null,"policy_rules":{"tools":{"deny":["^shell"],"allow":null},"mcp":{"deny":[],"allow":null},
    "urls":{"deny":[],"allow":["a","b"]},"models":{"deny":[],"allow":null}},"is_default":true,
    "scopes":[{"scope_type":"organization","scope_id":"org_1"}],
    "fallback":{"max_attempts":2,"on":["5xx","timeout"],"attempt_timeout_ms":9000},
    "created_at":"2026-07-01T10:00:00.000Z","updated_at":"2026-07-02T10:00:00.000Z"}"#;

const PROVIDERS: &str = r#"{"data":[
    {"id":"mp_a","name":"OpenAI","routing_handle":null,"scopes":[{"scope_type":"organization","scope_id":"org_1"}]},
    {"id":"mp_b","name":"Anthropic","routing_handle":"claude","scopes":[{"scope_type":"team","scope_id":"t1"}]},
    {"id":"mp_c","name":"Anthropic","routing_handle":null,"scopes":[{"scope_type":"team","scope_id":"t2"}]},
    {"id":"old-id","name":"claude","routing_handle":null,"scopes":[]}],"next_cursor":null}"#;

fn wrapped() -> String {
    format!(r#"{{"routing_policy":{POLICY}}}"#)
}

fn lines(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::line).collect()
}

#[test]
fn create_as_in_the_guide() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server).run(
        "routing-policies create --scope ORG:acme --name openai-then-anthropic --strategy ordered \
         --model-provider mp_a --model-provider mp_b --format json",
    );
    assert_eq!(done.json().compact(), compact(POLICY));
    assert_eq!(done.err, "");
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/routing-policies");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
    let expected = r#"{"name":"openai-then-anthropic","model_provider_ids":["mp_a","mp_b"],
        "scopes":[{"scope_type":"organization","scope_id":"acme"}],"strategy":"ordered"}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &wrapped())]);
    let shell = Shell::at(&server).file("rules.json", r#"{"models":{"deny":["o1"]}}"#);
    shell
        .run(
            "routing-policies create --name n --description d --scope team:t --scope project:p \
             --strategy Priority --model-provider mp_a --alias fast=openai/gpt-5-mini --alias a=b=c \
             --default-model openai/gpt-5 --policy-rules-file rules.json --max-attempts 2 \
             --fallback-on 5xx,Rate-Limit,404 --attempt-timeout-ms 840000 \
             --model-map-json {\"m\":{\"anthropic\":\"x\"}} --default --idempotency-key idem-12345",
        )
        .ok();
    let seen = server.only_request();
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    let expected = r#"{"name":"n","model_provider_ids":["mp_a"],"description":"d",
        "scopes":[{"scope_type":"team","scope_id":"t"},{"scope_type":"project","scope_id":"p"}],
        "strategy":"priority","model_aliases":{"fast":"openai/gpt-5-mini","a":"b=c"},
        "default_model":"openai/gpt-5","policy_rules":{"models":{"deny":["o1"]}},
        "fallback":{"max_attempts":2,"on":["5xx","rate_limit","404"],"attempt_timeout_ms":840000,
        "model_map":{"m":{"anthropic":"x"}}},"is_default":true}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_for_people() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server).run("routing-policies create --name n --model-provider mp_a");
    insta::assert_snapshot!(done.ok(), @r#"
    Routing policy "openai-then-anthropic" created.

    ID         rp_1
    Name       openai-then-anthropic
    Default    yes
    Scopes     org:org_1
    Strategy   ordered
    Providers  mp_a → mp_b
    Aliases    fast → openai/gpt-5-mini
    Rules      tools: deny 1; urls: allow 2
    Fallback   2 attempts, on 5xx, timeout, 9000 ms each
    Created    2026-07-01 10:00
    Updated    2026-07-02 10:00
    "#);
}

#[test]
fn providers_are_found_by_handle_and_by_a_name_that_only_one_has() {
    let server = Server::answering([(200, PROVIDERS), (201, &wrapped())]);
    Shell::at(&server)
        .run(
            "routing-policies create --name n --model-provider Claude --model-provider openai \
             --model-provider mp_c --model-provider old-id",
        )
        .ok();
    let seen = server.requests();
    assert_eq!(
        lines(&seen),
        [
            "GET /api/gateway/v1/model-providers?limit=200",
            "POST /api/gateway/v1/routing-policies"
        ]
    );
    let ids = seen[1]
        .json()
        .get("model_provider_ids")
        .map(crate::json::Json::compact);
    assert_eq!(ids.as_deref(), Some(r#"["mp_b","mp_a","mp_c","old-id"]"#));
}

#[test]
fn a_name_that_several_providers_have_is_refused() {
    let server = Server::answering([(200, PROVIDERS), (200, PROVIDERS)]);
    let shell = Shell::at(&server);
    let done = shell.run("routing-policies create --name n --model-provider anthropic");
    assert_eq!(
        done.failed().trim_end(),
        "Error: Several model providers are called \"anthropic\": mp_b (team:t1), mp_c (team:t2). \
         Name one by its id or its handle."
    );
    let done = shell.run("routing-policies update rp_1 --model-provider nobody -o agents");
    assert!(
        done.failed()
            .contains("`langwatch model-provider list --all`"),
        "{}",
        done.err
    );
    assert!(
        done.out.contains(r#""code":"invalid_arguments""#),
        "{}",
        done.out
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn none_is_the_empty_list_of_failures() {
    let server = Server::answering([(201, POLICY)]);
    let base = "routing-policies create --name n --model-provider mp_a --fallback-on";
    Shell::at(&server).run(&format!("{base} None")).ok();
    let body = server.only_request().json();
    assert_eq!(
        body.at(&["fallback", "on"])
            .map(crate::json::Json::compact)
            .as_deref(),
        Some("[]")
    );
    for wrong in ["none,5xx", ","] {
        assert!(
            Shell::new()
                .run(&format!("{base} {wrong}"))
                .failed()
                .contains("--fallback-on")
        );
    }
    for wrong in [
        "--max-attempts 0",
        "--attempt-timeout-ms 840001",
        "--policy-rules-json []",
    ] {
        let done = Shell::new().run(&format!("{base} 5xx {wrong}"));
        assert!(done.failed().contains("invalid value"), "{}", done.err);
    }
}

#[test]
fn list_prints_an_array() {
    let page = format!(r#"{{"data":[{POLICY}],"next_cursor":null}}"#);
    let server = Server::answering([
        (200, &page),
        (200, &page),
        (200, r#"{"data":[],"next_cursor":null}"#),
    ]);
    let shell = Shell::at(&server);
    let done = shell.run("routing-policies list -f json");
    assert_eq!(done.json().compact(), compact(&format!("[{POLICY}]")));
    insta::assert_snapshot!(shell.run("routing-policies list").ok(), @r"
    ID    Name                   Default  Strategy  Providers    Scopes
    ──────────────────────────────────────────────────────────────────────
    rp_1  openai-then-anthropic  yes      ordered   mp_a → mp_b  org:org_1
    ");
    let done = shell.run("routing-policies list");
    assert!(
        done.ok().starts_with("No routing policies found."),
        "{}",
        done.out
    );
    let line = "GET /api/gateway/v1/routing-policies?limit=200";
    assert!(lines(&server.requests()).iter().all(|seen| seen == line));
}

#[test]
fn a_scope_selects_by_the_cascade() {
    let page = r#"{"data":[],"next_cursor":null}"#;
    let server = Server::answering([(200, page)]);
    Shell::at(&server)
        .run("routing-policies list --selectable-by ORG:acme -f json")
        .ok();
    assert_eq!(
        server.only_request().line(),
        "GET /api/gateway/v1/routing-policies?selectable_for=organization%3Aacme&limit=200"
    );
    for wrong in ["user:x", "org:"] {
        let done = Shell::new().run(&format!("routing-policies list --selectable-by {wrong}"));
        assert!(
            done.failed().contains("expected <type>:<id>"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_key_selects_what_any_of_its_scopes_may() {
    let key = r#"{"virtual_key":{"id":"vk_1","scopes":[{"scope_type":"team","scope_id":"t1"},{"scope_type":"project","scope_id":"p1"}]}}"#;
    let server = Server::answering([
        (200, key),
        (
            200,
            r#"{"data":[{"id":"rp_b","name":"b"},{"id":"rp_c","name":"c"}],"next_cursor":null}"#,
        ),
        (
            200,
            r#"{"data":[{"id":"rp_d","name":"d","is_default":true},{"id":"rp_a","name":"a"},{"id":"rp_b","name":"b"}],"next_cursor":null}"#,
        ),
    ]);
    let done = Shell::at(&server).run("routing-policies list --selectable-by vk_1 --jq .[].id");
    assert_eq!(done.json().compact(), r#"["rp_d","rp_a","rp_b","rp_c"]"#);
    assert_eq!(
        lines(&server.requests()),
        [
            "GET /api/gateway/v1/virtual-keys/vk_1",
            "GET /api/gateway/v1/routing-policies?selectable_for=team%3At1&limit=200",
            "GET /api/gateway/v1/routing-policies?selectable_for=project%3Ap1&limit=200"
        ]
    );
}

#[test]
fn get_and_set_default() {
    let server = Server::answering([(200, &wrapped()); 4]);
    let shell = Shell::at(&server);
    let done = shell.run("routing-policies get rp_1 -f json");
    assert_eq!(done.json().compact(), compact(POLICY));
    assert!(
        shell
            .run("routing-policies get rp_1")
            .ok()
            .starts_with("ID ")
    );
    let done = shell.run("routing-policies set-default rp_1 -f json");
    assert_eq!(done.json().compact(), compact(POLICY));
    let done = shell.run("routing-policies set-default rp_1");
    assert!(
        done.ok()
            .starts_with("Routing policy \"openai-then-anthropic\" is the default now.\n"),
        "{}",
        done.out
    );
    let seen = server.requests();
    assert_eq!(seen[0].line(), "GET /api/gateway/v1/routing-policies/rp_1");
    assert_eq!(
        seen[2].line(),
        "POST /api/gateway/v1/routing-policies/rp_1/set-default"
    );
    assert_eq!(seen[2].body, "{}");
}

#[test]
fn update_of_one_part_of_the_fallback_keeps_the_others() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let done = Shell::at(&server).run("routing-policies update rp_1 --max-attempts 5 -f json");
    assert_eq!(done.json().compact(), compact(POLICY));
    let seen = server.requests();
    assert_eq!(
        lines(&seen),
        [
            "GET /api/gateway/v1/routing-policies/rp_1",
            "PATCH /api/gateway/v1/routing-policies/rp_1"
        ]
    );
    let expected =
        r#"{"fallback":{"max_attempts":5,"on":["5xx","timeout"],"attempt_timeout_ms":9000}}"#;
    assert_eq!(seen[1].body, expected);
}

#[test]
fn update_tells_absent_from_null() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let shell = Shell::at(&server);
    let done = shell.run(
        "routing-policies update rp_1 --clear-description --clear-aliases --clear-default-model",
    );
    assert!(done.ok().contains("updated."), "{}", done.out);
    shell
        .run(
            "routing-policies update rp_1 --name n --description d --scope org:o --strategy ordered \
             --model-provider mp_b --alias a=b --default-model m --policy-rules-json {\"urls\":{}} -f json",
        )
        .ok();
    let seen = server.requests();
    assert_eq!(
        seen[0].body,
        r#"{"model_aliases":{},"description":null,"default_model":null}"#
    );
    let expected = r#"{"name":"n","model_provider_ids":["mp_b"],"description":"d",
        "scopes":[{"scope_type":"organization","scope_id":"o"}],"strategy":"ordered",
        "model_aliases":{"a":"b"},"default_model":"m","policy_rules":{"urls":{}}}"#;
    assert_eq!(seen[1].body, compact(expected));
    let done = Shell::new().run("routing-policies update rp_1");
    assert!(
        done.failed().starts_with("Error: nothing to update."),
        "{}",
        done.err
    );
}

#[test]
fn delete_tells_how_many_keys_it_moved() {
    let answer = format!(r#"{{"routing_policy":{POLICY},"affected_virtual_keys":3}}"#);
    let server = Server::answering([(200, &answer), (200, &answer), (200, &wrapped())]);
    let shell = Shell::at(&server);
    let done = shell.run("routing-policies delete rp_1 --replacement rp_2 -f json");
    assert_eq!(done.json().text("id"), Some("rp_1"));
    assert_eq!(
        done.json().get("affected_virtual_keys"),
        Some(&3_i64.into())
    );
    let done = shell.run("routing-policies delete rp_1");
    assert_eq!(
        done.ok(),
        "Routing policy \"openai-then-anthropic\" deleted. 3 virtual keys now route without it.\n"
    );
    shell.run("routing-policies delete rp_1").ok();
    assert_eq!(
        lines(&server.requests())[..2],
        [
            "DELETE /api/gateway/v1/routing-policies/rp_1?replacement_policy_id=rp_2",
            "DELETE /api/gateway/v1/routing-policies/rp_1"
        ]
    );
}
