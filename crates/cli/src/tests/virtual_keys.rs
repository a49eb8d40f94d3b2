//! `virtual-keys` against a scripted server.

use super::{API_KEY, Server, Shell, compact};
use crate::json::Json;

const KEY: &str = r#"{"id":"vk_1","organization_id":"org_1","name":"dev","description":null,
    "status":"active","purpose":"user","display_prefix":"vk-lw-01HZX9N","principal_user_id":null,
    "trace_project_id":"proj_1","trace_project_archived":true,"external_id":null,"metadata":{},
    "scopes":[{"scope_type":"organization","scope_id":"org_1"},{"scope_type":"team","scope_id":"t1"}],
    "routing_policy_id":null,"routing_mode":"none","config":{"fallback":{"maxAttempts":3}},
    "revision":"1","created_at":"2026-07-01T10:00:00.000Z","updated_at":"2026-07-01T10:00:00.000Z",
    "last_used_at":null,"revoked_at":null,"expires_at":null,"env":"live","project_id":"proj_1"}"#;

const SECRET: &str = "vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F";

fn wrapped() -> String {
    format!(r#"{{"virtual_key":{KEY}}}"#)
}

fn minted() -> String {
    format!(r#"{{"virtual_key":{KEY},"secret":"{SECRET}"}}"#)
}

#[test]
fn list_walks_all_pages_and_prints_an_array() {
    let server = Server::answering([
        (
            200,
            r#"{"data":[{"id":"vk_1","display_prefix":"vk-lw-01HZX9N"}],"next_cursor":"a/b="}"#,
        ),
        (200, r#"{"data":[],"next_cursor":"c"}"#),
        (
            200,
            r#"{"data":[{"id":"vk_2","display_prefix":"vk-lw-01HZX9P"}],"next_cursor":null}"#,
        ),
    ]);
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_9");
    let done = shell.run("virtual-keys list --external-id e1 -f json");
    let expected = r#"[{"id":"vk_1","display_prefix":"vk-lw-01HZX9N"},{"id":"vk_2","display_prefix":"vk-lw-01HZX9P"}]"#;
    assert_eq!(done.json().compact(), expected);
    let seen = server.requests();
    let lines: Vec<String> = seen.iter().map(super::Seen::line).collect();
    let base = "GET /api/gateway/v1/virtual-keys?external_id=e1&limit=200";
    assert_eq!(
        lines,
        [
            base.to_owned(),
            format!("{base}&cursor=a%2Fb%3D"),
            format!("{base}&cursor=c")
        ]
    );
    assert_eq!(
        seen[0].header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    assert_eq!(seen[0].header("x-project-id"), Some("proj_9"));
    assert_eq!(seen[0].header("x-auth-token"), None);
}

#[test]
fn a_list_that_never_ends_is_an_error() {
    let page = r#"{"data":[],"next_cursor":"same"}"#;
    let server = Server::answering([(200, page), (200, page)]);
    assert!(
        Shell::at(&server)
            .run("vk list")
            .failed()
            .contains("the list does not end")
    );
}

#[test]
fn list_for_people() {
    let page = format!(r#"{{"data":[{KEY}],"next_cursor":null}}"#);
    let server = Server::answering([(200, &page)]);
    let done = Shell::at(&server).run("vk list");
    insta::assert_snapshot!(done.ok(), @r"
    ID    Name  Status  Prefix            Scopes              Routing  Purpose  Last used
    ─────────────────────────────────────────────────────────────────────────────────────
    vk_1  dev   active  vk-lw-01HZX9N...  org:org_1, team:t1  none     user     never
    ");
    assert_eq!(server.only_request().header("x-project-id"), None);
}

#[test]
fn an_empty_list_says_what_to_do() {
    let server = Server::answering([(200, r#"{"data":[],"next_cursor":null}"#)]);
    let done = Shell::at(&server).run("vk list");
    insta::assert_snapshot!(done.ok(), @r"
    No virtual keys found. Create one with:
      langwatch virtual-keys create --name <name>
    ");
}

#[test]
fn status_narrows_the_list() {
    let page = r#"{"data":[{"id":"a","status":"active"},{"id":"b","status":"revoked"}],"next_cursor":null}"#;
    let server = Server::answering([(200, page)]);
    let done = Shell::at(&server).run("vk list --status Revoked --json id");
    assert_eq!(done.json().compact(), r#"[{"id":"b"}]"#);
}

#[test]
fn get_prints_the_bare_object() {
    let server = Server::answering([(200, &wrapped())]);
    let done = Shell::at(&server).run("virtual-keys get vk_1 --format json");
    assert_eq!(done.json().compact(), compact(KEY));
    assert_eq!(
        server.only_request().line(),
        "GET /api/gateway/v1/virtual-keys/vk_1"
    );
}

#[test]
fn get_for_people() {
    let server = Server::answering([(200, &wrapped())]);
    let shell = Shell::at(&server).var("LANGWATCH_UI_ENDPOINT", "https://ui.example/");
    let done = shell.run("virtual-keys get vk_1");
    insta::assert_snapshot!(done.ok(), @r#"
    ID             vk_1
    Name           dev
    Status         active
    Purpose        user
    Environment    live
    Prefix         vk-lw-01HZX9N...
    Scopes         org:org_1, team:t1
    Trace project  proj_1 (deleted)
    Routing mode   none
    Created        2026-07-01 10:00
    Last used      never
    Link           https://ui.example/gateway/virtual-keys/vk_1
    Config
      {
        "fallback": {
          "maxAttempts": 3
        }
      }
    "#);
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &minted())]);
    let shell = Shell::at(&server).file(
        "c.json",
        r#"{"fallback":{"on":["5xx"]},"providers_allowed":["x"]}"#,
    );
    let done = shell.run(
        "virtual-keys create --name dev --env LIVE --scope ORG:acme --scope team:t1 --description d \
         --trace-project p1 --routing-policy rp_1 --routing-mode Policy --principal-user u1 \
         --budget-limit 25.50 --budget-window Month --budget-breach warn \
         --providers-allowed mp_1,mp_2 --config-file c.json --expires-at 30d --external-id e1 \
         --metadata a=1 --metadata b=x=y --idempotency-key idem-12345 --format json",
    );
    assert_eq!(done.json().text("secret"), Some(SECRET));
    assert_eq!(
        done.json().get("virtual_key").map(Json::compact),
        Some(compact(KEY))
    );
    assert_eq!(done.err, "");
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/virtual-keys");
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let expected = r#"{"name":"dev","description":"d","principal_user_id":"u1","env":"live",
        "scopes":[{"scope_type":"organization","scope_id":"acme"},{"scope_type":"team","scope_id":"t1"}],
        "trace_project_id":"p1","routing_policy_id":"rp_1","routing_mode":"policy",
        "budget":{"limit_usd":"25.50","window":"month","on_breach":"warn"},
        "config":{"fallback":{"on":["5xx"]},"providersAllowed":["mp_1","mp_2"]},
        "expires_at":"2026-08-24T17:20:00.000Z","external_id":"e1","metadata":{"a":"1","b":"x=y"}}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_sends_only_what_was_said() {
    let server = Server::answering([(201, &minted())]);
    let done = Shell::at(&server).run("vk create --name=dev --expires-at never --jq .secret");
    assert_eq!(done.ok(), format!("\"{SECRET}\"\n"));
    let seen = server.only_request();
    assert_eq!(
        (seen.body.as_str(), seen.header("idempotency-key")),
        (r#"{"name":"dev"}"#, None)
    );
}

#[test]
fn create_for_people_shows_the_secret_and_how_to_use_it() {
    let server = Server::answering([(201, &minted())]);
    let shell = Shell::at(&server).var("LANGWATCH_UI_ENDPOINT", "https://ui.example");
    let done = shell.run("vk create --name dev --budget-limit 5 --budget-window day");
    insta::assert_snapshot!(done.ok(), @r#"
    Virtual key "dev" created.
    Copy the secret now: it is shown only once.

    vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F

    export OPENAI_API_KEY="vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F"
    export OPENAI_BASE_URL="http://127.0.0.1:5563/v1"

    ID             vk_1
    Prefix         vk-lw-01HZX9N...
    Scopes         org:org_1, team:t1
    Routing mode   none
    Trace project  proj_1
    Budget         $5 per day (block)

    https://ui.example/gateway/virtual-keys/vk_1
    "#);
}

#[test]
fn only_the_secret_of_the_answer_is_printed_in_clear() {
    let answer =
        format!(r#"{{"virtual_key":{{"id":"vk_1","name":"{SECRET}"}},"secret":"{SECRET}"}}"#);
    let server = Server::answering([(200, &answer), (200, &answer)]);
    let shell = Shell::at(&server);
    let expected = format!(
        r#"{{"virtual_key":{{"id":"vk_1","name":"vk-lw-[redacted]"}},"secret":"{SECRET}"}}"#
    );
    assert_eq!(
        shell.run("vk rotate vk_1 -o agents").ok().trim_end(),
        expected
    );
    let human = shell.run("vk rotate vk_1");
    assert!(
        human.ok().contains("\"vk-lw-[redacted]\" rotated"),
        "{}",
        human.out
    );
    let seen = server.requests();
    assert_eq!(
        seen[0].line(),
        "POST /api/gateway/v1/virtual-keys/vk_1/rotate"
    );
    assert_eq!(seen[0].body, "{}");
}

#[test]
fn budget_flags_travel_together() {
    for words in [
        "--budget-limit 5",
        "--budget-window day",
        "--budget-breach warn",
    ] {
        let done = Shell::new().run(&format!("vk create --name a {words}"));
        assert!(done.failed().contains("required arguments"), "{}", done.err);
    }
    let done =
        Shell::new().run("vk update vk_1 --clear-budget --budget-limit 5 --budget-window day");
    assert!(
        done.failed().contains("cannot be used with"),
        "{}",
        done.err
    );
}

#[test]
fn update_tells_absent_from_null() {
    let server = Server::answering([(200, &wrapped())]);
    let done = Shell::at(&server).run_words(&[
        "vk",
        "update",
        "vk_1",
        "--clear-description",
        "--clear-trace-project",
        "--clear-routing-policy",
        "--clear-budget",
        "--clear-expires-at",
        "--config-json",
        r#"{"policy_rules":{"tools":{"deny":["^shell\\.exec$"],"allow":null}}}"#,
        "-f",
        "json",
    ]);
    assert_eq!(done.json().text("id"), Some("vk_1"));
    let seen = server.only_request();
    assert_eq!(seen.line(), "PATCH /api/gateway/v1/virtual-keys/vk_1");
    let expected = r#"{"config":{"policy_rules":{"tools":{"deny":["^shell\\.exec$"],"allow":null}}},
        "description":null,"trace_project_id":null,"routing_policy_id":null,"budget":null,
        "expires_at":null}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn update_of_nothing_is_refused_before_any_call() {
    let done = Shell::new().run("vk update vk_1");
    assert!(
        done.failed()
            .starts_with("Error: nothing to update. Provide at least one of --name")
    );
    assert_eq!(done.out, "");
    let done = Shell::new().run("vk update vk_1 -f json");
    assert_eq!(done.failed().lines().count(), 1);
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"invalid_arguments".into())
    );
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let server = Server::answering([(200, &wrapped())]);
    Shell::at(&server)
        .run("vk update --name a vk_1 --name b -f json -o agents")
        .ok();
    assert_eq!(server.only_request().body, r#"{"name":"b"}"#);
}

#[test]
fn lifecycle_calls() {
    for (words, path, body, sentence) in [
        (
            "disable vk_1 --reason leaked",
            "disable",
            r#"{"reason":"leaked"}"#,
            "\"dev\" disabled.",
        ),
        ("disable vk_1", "disable", "{}", "\"dev\" disabled."),
        ("enable vk_1", "enable", "{}", "\"dev\" enabled."),
        ("revoke vk_1", "revoke", "{}", "\"dev\" revoked."),
    ] {
        let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
        let shell = Shell::at(&server);
        assert!(shell.run(&format!("vk {words}")).ok().contains(sentence));
        assert_eq!(
            shell.run(&format!("vk {words} -f json")).json().compact(),
            compact(KEY)
        );
        let seen = server.requests();
        assert_eq!(
            seen[0].line(),
            format!("POST /api/gateway/v1/virtual-keys/vk_1/{path}")
        );
        assert_eq!(seen[0].body, body);
    }
}

#[test]
fn spend_sends_milliseconds() {
    let answer = r#"{"virtual_key_id":"vk_1","spent_usd":"0.00065685","requests":1,"window":{"from":1782864000000,"to":1785161002000}}"#;
    let server = Server::answering([(200, answer), (200, answer)]);
    let shell = Shell::at(&server);
    let words = "vk spend vk_1 --from 2026-07-01T00:00:00Z --to 1785161002000";
    assert_eq!(
        shell.run(&format!("{words} -f json")).json().compact(),
        answer
    );
    insta::assert_snapshot!(shell.run(words).ok(), @r"
    Virtual key  vk_1
    Spent        $0.00065685
    Requests     1
    Window       2026-07-01 00:00 to 2026-07-27 14:03 UTC
    ");
    let path = "/api/gateway/v1/virtual-keys/vk_1/spend?from=1782864000000&to=1785161002000";
    assert_eq!(server.requests()[0].line(), format!("GET {path}"));
}

#[test]
fn budgets_print_a_list() {
    let answer = r#"{"data":[{"id":"bgt_1","name":"cap","scope_type":"team","scope_id":"t1","window":"month",
        "on_breach":"block","limit_usd":"5000","spent_usd":"12.5","resets_at":"2026-08-01T00:00:00.000Z"}]}"#;
    let server = Server::answering([(200, answer), (200, answer), (200, "[]")]);
    let shell = Shell::at(&server);
    assert_eq!(
        shell.run("vk budgets vk_1 --jq .[].id").json().compact(),
        r#"["bgt_1"]"#
    );
    insta::assert_snapshot!(shell.run("vk budgets vk_1").ok(), @r"
    ID     Name  Scope    Window  Breach  Limit     Spent   Provider  Resets      Archived
    ──────────────────────────────────────────────────────────────────────────────────────
    bgt_1  cap   team:t1  month   block   $5000.00  $12.50  -         2026-08-01  -
    ");
    assert!(
        shell
            .run("vk budgets vk_1")
            .ok()
            .starts_with("No budgets apply")
    );
    assert_eq!(
        server.requests()[0].line(),
        "GET /api/gateway/v1/virtual-keys/vk_1/budgets"
    );
}

const REACH: &str = r#"{"virtual_key_id":"vk_1","routing_mode":"policy",
    "routing_policy":{"id":"rp_1","name":"cheap-first"},"trace_project_id":"proj_1",
    "providers":[{"id":"mp_2","name":"groq","provider":"groq","routing_handle":"fast","position":0},
    {"id":"mp_1","name":"openai","provider":"openai","routing_handle":null,"position":1}],
    "excluded_providers":[
    {"id":"mp_3","name":"azure eu","provider":"azure","routing_handle":"eu","reason":"not_in_policy"},
    {"id":"mp_4","name":"anthropic","provider":"anthropic","routing_handle":null,"reason":"not_allowed"},
    {"id":"mp_5","name":"voyage","provider":"voyage","routing_handle":null,"reason":"out_of_credit"}],
    "model_aliases":{"complex":{"target":"gpt-5","origin":"policy"},
    "chat":{"target":"groq/llama","origin":"key"}},
    "models_allowed":["gpt-*","groq/llama"],"max_attempts":2}"#;

#[test]
fn effective_prints_the_answer_to_programs_and_tables_to_people() {
    let server = Server::answering([(200, REACH), (200, REACH)]);
    let shell = Shell::at(&server);
    let machine = shell.run("virtual-keys effective vk_1 -f json");
    assert_eq!(machine.json().compact(), compact(REACH));
    insta::assert_snapshot!(shell.run("vk effective vk_1").ok(), @r"
    Virtual key    vk_1
    Routing mode   policy
    Policy         cheap-first (rp_1)
    Trace project  proj_1
    Models         gpt-*, groq/llama
    Max attempts   2

    Providers, in order
    #  ID    Name    Provider  Handle
    ─────────────────────────────────
    1  mp_2  groq    groq      fast
    2  mp_1  openai  openai    -

    Left out
    ID    Name       Provider   Handle  Why
    ─────────────────────────────────────────────────────────────────────────
    mp_3  azure eu   azure      eu      not in the routing policy
    mp_4  anthropic  anthropic  -       not among the key's allowed providers
    mp_5  voyage     voyage     -       out_of_credit

    Model aliases
    Name     Model       Set by
    ───────────────────────────────────────
    complex  gpt-5       the routing policy
    chat     groq/llama  the key
    ");
    assert_eq!(
        server.requests()[0].line(),
        "GET /api/gateway/v1/virtual-keys/vk_1/effective"
    );
}

#[test]
fn effective_says_when_a_key_reaches_nothing() {
    let answer = r#"{"virtual_key_id":"vk_1","routing_mode":"policy","routing_policy":null,
        "trace_project_id":"proj_1","providers":[],"excluded_providers":[],"model_aliases":{},
        "models_allowed":[],"max_attempts":3}"#;
    let server = Server::answering([(200, answer)]);
    insta::assert_snapshot!(Shell::at(&server).run("vk effective vk_1").ok(), @r"
    Virtual key    vk_1
    Routing mode   policy
    Policy         none: it was deleted
    Trace project  proj_1
    Models         none
    Max attempts   3

    Providers, in order
    None: the gateway refuses every request of this key.
    ");
}

#[test]
fn effective_without_a_policy_or_limits_is_short() {
    let answer = r#"{"virtual_key_id":"vk_1","routing_mode":"none","routing_policy":null,
        "trace_project_id":"proj_1","providers":[{"id":"mp_1","name":"a\u001b[2Jb","provider":"openai",
        "routing_handle":null,"position":0}],"excluded_providers":[],"model_aliases":{},
        "models_allowed":null,"max_attempts":1}"#;
    let server = Server::answering([(200, answer)]);
    insta::assert_snapshot!(Shell::at(&server).run("vk effective vk_1").ok(), @r"
    Virtual key    vk_1
    Routing mode   none
    Trace project  proj_1
    Models         any
    Max attempts   1 (no fallback)

    Providers, in order
    #  ID    Name    Provider  Handle
    ─────────────────────────────────
    1  mp_1  a [2Jb  openai    -
    ");
}

#[test]
fn effective_of_an_unknown_key_says_where_to_look() {
    let refusal =
        r#"{"error":{"code":"virtual_key_not_found","message":"Virtual key not found."}}"#;
    let server = Server::answering([(404, refusal)]);
    let done = Shell::at(&server).run("vk effective vk_9");
    let text = done.failed();
    assert!(
        text.starts_with("Failed to work out what the virtual key reaches: Virtual key not found."),
        "{text}"
    );
    assert!(text.contains("langwatch virtual-keys list"), "{text}");
}

#[test]
fn yaml_and_paths_and_lengths() {
    let page = r#"{"data":[{"id":"a"},{"id":"b"}],"next_cursor":null}"#;
    let server = Server::answering([(200, page), (200, page)]);
    let shell = Shell::at(&server);
    assert_eq!(shell.run("vk list -o yaml").ok(), "- id: a\n- id: b\n");
    assert_eq!(
        shell.run_words(&["vk", "list", "--jq", ". | length"]).ok(),
        "2\n"
    );
}

#[test]
fn an_id_cannot_reach_another_path() {
    let server = Server::answering([(
        404,
        r#"{"error":{"code":"virtual_key_not_found","message":"m"}}"#,
    )]);
    Shell::at(&server).run("vk get ../budgets?x").failed();
    assert_eq!(
        server.only_request().path,
        "/api/gateway/v1/virtual-keys/..%2Fbudgets%3Fx"
    );
}

#[test]
fn tags_enter_the_configuration_and_keep_what_stands_beside_them() {
    let stored = r#"{"virtual_key":{"id":"vk_1","config":{"metadata":{"label":"dev/codex","tags":["old"]}}}}"#;
    let server = Server::answering([
        (201, &minted()),
        (200, stored),
        (200, stored),
        (200, stored),
        (200, stored),
    ]);
    let shell = Shell::at(&server);
    shell
        .run("vk create --name dev --tag eval --tag ci -f json")
        .ok();
    shell.run("vk update vk_1 --tag eval -f json").ok();
    shell
        .run("vk update vk_1 --tag eval --config-json {\"metadata\":{\"label\":\"x\"}} -f json")
        .ok();
    let seen = server.requests();
    let body = r#"{"name":"dev","config":{"metadata":{"tags":["eval","ci"]}}}"#;
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[1].line(), "GET /api/gateway/v1/virtual-keys/vk_1");
    let body = r#"{"config":{"metadata":{"label":"dev/codex","tags":["eval"]}}}"#;
    assert_eq!(seen[2].body, body);
    let body = r#"{"config":{"metadata":{"label":"x","tags":["eval"]}}}"#;
    assert_eq!(seen[4].body, body);
}

#[test]
fn limits_change_one_by_one_and_keep_what_stands_beside_them() {
    let stored =
        r#"{"virtual_key":{"id":"vk_1","config":{"rateLimits":{"rpm":60,"tpm":null,"rpd":9}}}}"#;
    let server = Server::answering([
        (201, &minted()),
        (200, stored),
        (200, stored),
        (200, stored),
        (200, stored),
    ]);
    let shell = Shell::at(&server);
    shell
        .run("vk create --name dev --rpm 60 --concurrent 4 -f json")
        .ok();
    shell
        .run("vk update vk_1 --concurrent 2 --clear-rpd -f json")
        .ok();
    shell
        .run("vk update vk_1 --tpm 5 --config-json {\"rate_limits\":{\"rpm\":1}} -f json")
        .ok();
    let seen = server.requests();
    let body = r#"{"name":"dev","config":{"rateLimits":{"rpm":60,"concurrent":4}}}"#;
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[1].line(), "GET /api/gateway/v1/virtual-keys/vk_1");
    let body = r#"{"config":{"rateLimits":{"rpm":60,"tpm":null,"rpd":null,"concurrent":2}}}"#;
    assert_eq!(seen[2].body, body);
    let body = r#"{"config":{"rateLimits":{"rpm":1,"tpm":5}}}"#;
    assert_eq!(seen[4].body, body);
}

#[test]
fn labels_are_cleared_apart_from_each_other() {
    let server = Server::answering([(200, &wrapped())]);
    let words = [
        "vk",
        "update",
        "vk_1",
        "--clear-metadata",
        "--external-id",
        "",
    ];
    Shell::at(&server).run_words(&words).ok();
    let body = r#"{"external_id":null,"metadata":{}}"#;
    assert_eq!(server.only_request().body, body);
}
