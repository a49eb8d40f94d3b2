//! Files that are wrong, and files that come from an export.

use super::Shell;
use super::as_code::{
    ANTHROPIC_SECRET, HOOK_SECRET, OPENAI_SECRET, bare_shell, lines, shell,
    shows_no_provider_secret,
};
use super::fake_api::FakeApi;
use crate::json::Json;

#[test]
fn an_export_applies_without_a_difference_and_rebuilds_an_empty_server() {
    let api = FakeApi::new();
    let first = shell(&api);
    first.run("apply -f gateway.yaml --yes").ok();
    let exported = first.run("export");
    shows_no_provider_secret(&exported);
    assert!(!exported.ok().contains("vk-lw-") && !exported.out.contains("HAS_KEY"));
    insta::assert_snapshot!("export", exported.out);
    api.writes();

    // No variable is needed where nothing is sent.
    let elsewhere = bare_shell(&api).file("copy.yaml", &exported.out);
    let again = elsewhere.run("apply -f copy.yaml --yes");
    assert!(
        again.ok().contains("Nothing to do: 11 unchanged."),
        "{}",
        again.out
    );
    assert_eq!(lines(&api.writes()), [] as [String; 0]);

    let empty = FakeApi::new();
    let rebuilt = bare_shell(&empty)
        .var("OPENAI_API_KEY", OPENAI_SECRET)
        .var("ANTHROPIC_API_KEY", ANTHROPIC_SECRET)
        .var("MODERATION_AUTHORIZATION", HOOK_SECRET)
        .file("copy.yaml", &exported.out);
    rebuilt.run("apply -f copy.yaml --yes").ok();
    assert_eq!(rebuilt.run("export").ok(), exported.out);
}

#[test]
fn an_export_as_json_and_of_some_kinds_goes_to_a_file() {
    let api = FakeApi::new();
    let shell = shell(&api).var("CLAUDECODE", "1");
    shell.run("apply -f gateway.yaml --yes").ok();
    let json = shell
        .run("export --kind budgets,virtual-keys -f json")
        .json();
    let names: Vec<&str> = json
        .fields()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["version", "virtual_keys", "budgets"]);
    shell.run("export --kind budgets -o some.yaml").ok();
    let text = std::fs::read_to_string(shell.path("some.yaml")).expect("a file");
    assert!(text.contains("\nbudgets:\n  - name: "), "{text}");
    assert!(
        shell
            .run("export --kind budget")
            .failed()
            .contains("expected one of")
    );
}

#[test]
fn every_problem_is_named_at_once_with_its_line() {
    let api = FakeApi::new();
    let one = "\
version: 1
model_providers:
  - name: openai
    provider: openai
    scopes: [org:acme]
    custom_keys:
      OPENAI_API_KEY: sk-proj-never-to-be-seen-0001
      OPENAI_BASE_URL: https://user:never-to-be-seen@proxy.example/v1
      OTHER_KEY: {from_env: sk-proj-never-to-be-seen-0001}
      THIRD_KEY: {from_env: NOT_SET}
      FOURTH_KEY: {from_file: nowhere.key}
    extra_headers: [{key: x-team, value: never-to-be-seen}]
    routing_hande: fast
    rate_limit: {rmp: 5, tpm: many, rpd: -1}
  - name: openai
    provider: openai
    scopes: [org:acme]
routing_policies:
  - name: chain
    scopes: [org:acmee, user:ada, team]
    strategy: random
    model_provider_ids: [opnai]
    is_default: yes
  - name: empty
    scopes: []
    model_provider_ids: []
    fallback: {on: [never], max_attempts: 0}
virtual_keys:
  - name: web
    budget: {limit_usd: 5, window: day}
    scoeps: [team:eng]
    routing_policy_id: chan
    routing_mode: none
    config: {fallbak: {}, cache: {mode: sometimes}, models_allowed: [a], modelsAllowed: [b]}
    principal_user_id: ghost@acme.example
  - description: nameless
  - just text
budgets:
  - name: cap
    scope: {kind: team, project_id: web}
    window: fortnight
    limit_usd: 0.00
    cycle_anchor_at: soon
  - {name: other, id: bgt_9, metadata: {a: 1}}
webhook: []
";
    let two = "version: 2\nbudgets: {}\n";
    let three = "a: [1\nb: 2\n";
    let shell = bare_shell(&api)
        .file("one.yaml", one)
        .file("two.json", two)
        .file("three.yaml", three)
        .file("four.yaml", "")
        .file("five.yaml", "- 1\n");
    let words = "apply --yes -f one.yaml -f two.json -f three.yaml -f four.yaml -f five.yaml";
    let done = shell.run(words);
    insta::assert_snapshot!("problems", done.failed());
    shows_no_provider_secret(&done);
    assert_eq!(done.out, "");
    let done = shell.run(&format!("{words} -o json"));
    done.failed();
    let document = Json::parse(&done.out).expect("JSON");
    let reason = &document.at(&["error", "reasons"]).expect("reasons").items()[0];
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"invalid_configuration".into())
    );
    assert_eq!(
        (reason.text("file"), reason.get("line")),
        (Some("one.yaml"), Some(&7_i64.into()))
    );
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
    let missing = shell.run("diff -f nothing.yaml");
    assert!(
        missing
            .failed()
            .starts_with("Error: Cannot read nothing.yaml: ")
    );
}

#[test]
fn what_cannot_change_or_is_not_clear_is_a_problem_before_the_first_write() {
    let api = FakeApi::new();
    let twins = "\
version: 1
virtual_keys:
  - {name: twin, external_id: a, scopes: [org:acme]}
  - {name: twin, external_id: b, scopes: [org:acme]}
  - {name: mode, scopes: [org:acme], routing_mode: fallback_all}
routing_policies:
  - {name: main, scopes: [org:acme], model_provider_ids: [openai], is_default: true}
model_providers:
  - {name: openai, provider: openai, scopes: [org:acme], custom_keys: {OPENAI_API_KEY: {from_env: OPENAI_API_KEY}}}
budgets:
  - {name: cap, scope: 'virtual_key:b', window: day, limit_usd: 1}
";
    let shell = shell(&api).file("twins.yaml", twins);
    shell.run("apply --yes -f twins.yaml").ok();
    api.writes();
    let next = "\
version: 1
virtual_keys:
  - {name: twin, scopes: [org:acme]}
  - {name: mode, routing_mode: policy}
  - {name: new}
routing_policies:
  - {name: main, is_default: false}
  - {name: second, scopes: [team:eng], model_provider_ids: [openai], is_default: true}
  - {name: third, scopes: [team:eng], model_provider_ids: [openai], is_default: true}
model_providers:
  - {name: openai, provider: anthropic}
budgets:
  - {name: cap, scope: team:eng, window: month, limit_usd: 2}
  - {name: twins, scope: virtual_key:twin, window: month, limit_usd: 2}
";
    let shell = shell.file("next.yaml", next);
    insta::assert_snapshot!("unclear", shell.run("diff -f next.yaml").failed());
    let only = "version: 1\nrouting_policies:\n  - {name: main, is_default: false}\n";
    let done = shell
        .file("only.yaml", only)
        .run("apply -f only.yaml --yes");
    assert!(
        done.failed().contains("a default policy cannot be unset"),
        "{}",
        done.err
    );
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
}

#[test]
fn things_of_one_name_are_told_apart_by_their_ids() {
    let api = FakeApi::new();
    let agent = ureq::Agent::new_with_defaults();
    for scope in ["org_1", "team_1"] {
        let kind = if scope == "org_1" {
            "organization"
        } else {
            "team"
        };
        let body = format!(
            r#"{{"name":"OpenAI","provider":"openai","custom_keys":{{"OPENAI_API_KEY":"x"}},"scopes":[{{"scope_type":"{kind}","scope_id":"{scope}"}}]}}"#
        );
        let request = agent.post(format!("{}/api/gateway/v1/model-providers", api.endpoint));
        request
            .header("idempotency-key", scope)
            .send(&body)
            .expect("made");
    }
    let shell = bare_shell(&api);
    let exported = shell.run("export");
    insta::assert_snapshot!("export_of_twins", exported.ok());
    let shell = shell.file("copy.yaml", &exported.out);
    assert!(
        shell
            .run("diff -f copy.yaml --exit-code")
            .ok()
            .contains("2 unchanged")
    );
    // A new thing may take the name that another gives up.
    let file = "version: 1\nmodel_providers:\n  - {name: OpenAI}\n  - {id: mp_2, name: Other}\n";
    let diff = shell.file("copy.yaml", file);
    let diff = diff.run("diff -f copy.yaml --jq .steps[].action");
    assert_eq!(diff.json().compact(), r#"["unchanged","update"]"#);
    let shell = bare_shell(&api);
    let file = "version: 1\nmodel_providers:\n  - {name: OpenAI}\n";
    let done = shell.file("copy.yaml", file).run("diff -f copy.yaml");
    assert!(
        done.failed()
            .contains("2 model providers have this name; give `id`"),
        "{}",
        done.err
    );
}

/// What the example leaves out: every way to name things, in the order that makes it hardest.
const EVERYTHING: &str = r#"
version: 1
budgets:
  - {name: b-org, scope: 'org:acme', window: total, limit_usd: 1}
  - {name: b-project, scope: {kind: project, project: web}, window: hour, limit_usd: 1, timezone: Europe/Madrid}
  - {name: b-person, scope: 'principal:ADA@acme.example', window: week, limit_usd: 0.000001}
  - {name: b-group, scope: {kind: group, group_id: analysts}, window: minute, limit_usd: 1, enforcement: soft}
  - {name: b-users, scope: {kind: attributed_user, anchor_virtual_key_id: ada}, window: day, limit_usd: 1}
  - {name: b-visitors, scope: 'attributed_user:project:web', window: day, limit_usd: 1, allow_unreachable: true}
  - {name: b-anchored, scope: 'team:team_1', window: month, limit_usd: 1, cycle_anchor_at: 2026-07-15T00:00:00+02:00}
cache_rules:
  - {name: for-ada, enabled: false, matchers: {virtual_key: ada}, action: {mode: disable}}
  - {name: for-person, matchers: {principal: ada@acme.example, request_metadata: {x-a: b}}, action: {mode: respect, salt: s}}
virtual_keys:
  - name: ada
    scopes: [{scope_type: ORGANIZATION, scope_id: org_1}, 'team:eng']
    principal_user: ada@acme.example
    routing_mode: fallback_all
    env: test
    config:
      semantic_cache: {enabled: true, embedding_model_provider_id: vertex-eu, embedding_model: e-1, similarity_threshold: 0.9}
      capture_payload: none
      openai_compat_translate: true
      model_aliases: {a: b}
      policy_rules: {urls: {allow: ['^https://acme']}}
      realtime: {max_open_sessions: 3}
      cache: {mode: auto, ttl_s: 5}
      fallback: {on: [rate_limit_exceeded, 404], timeoutMs: 1000, model_map: {m: {openai: x, OPENAI-TWO: y, vertex-eu: z}}}
  - name: plain
    scopes: ['org:acme']
    config: {guardrail_attachments: [{direction: post, guardrails: [web/length, bot/length]}]}
guardrails:
  - {name: length, project: web, direction: post, evaluator: {slug: length, settings: {max_chars: 10}}}
  - {name: length, project: bot, direction: post, evaluator: {slug: length, settings: {max_chars: 20}}}
model_providers:
  - {name: openai, provider: openai, scopes: ['org:acme'], custom_keys: {OPENAI_API_KEY: {from_env: KEY_ONE}}}
  - {name: OPENAI-TWO, provider: openai, scopes: ['team:eng'], enabled: false, custom_keys: {OPENAI_API_KEY: {from_env: KEY_TWO}}}
  - name: vertex-eu
    provider: vertex
    scopes: ['project:web', 'project:bot']
    routing_handle: Vertex-EU
    custom_keys: {VERTEXAI_LOCATION: europe-west1, GOOGLE_APPLICATION_CREDENTIALS: {from_env: KEY_THREE}}
    extra_headers: [{key: X-Team, value: {from_env: KEY_THREE}}]
    custom_models: [m-1, {id: m-2}]
    deployment_mapping: {a: b}
    provider_config: {region: europe-west1, nested: {list: [1, 2.5, null]}}
"#;

#[test]
fn everything_that_a_file_can_say_is_stable_and_survives_an_export() {
    let keys = |shell: Shell| {
        let names = ["KEY_ONE", "KEY_TWO", "KEY_THREE"];
        names
            .iter()
            .fold(shell, |shell, name| shell.var(name, HOOK_SECRET))
    };
    let api = FakeApi::new();
    let shell = keys(bare_shell(&api)).file("all.yaml", EVERYTHING);
    let plan = shell.run("diff -f all.yaml");
    let header = r#""value":"(secret from the variable KEY_THREE)""#;
    assert!(plan.ok().contains(header), "{}", plan.out);
    shell.run("apply -f all.yaml --yes").ok();
    let order: Vec<String> = lines(&api.writes());
    let first = |path: &str| {
        order
            .iter()
            .position(|line| line.ends_with(path))
            .expect("sent")
    };
    assert!(
        first("virtual-keys")
            < order
                .iter()
                .rposition(|line| line.ends_with("cache-rules"))
                .expect("sent")
    );
    let again = shell.run("diff -f all.yaml --exit-code");
    assert!(
        again.ok().contains("Nothing to do: 16 unchanged."),
        "{}",
        again.out
    );

    let exported = shell.run("export");
    insta::assert_snapshot!("export_of_everything", exported.ok());
    let shell = shell.file("copy.yaml", &exported.out);
    assert!(
        shell
            .run("diff -f copy.yaml --exit-code")
            .ok()
            .contains("16 unchanged")
    );

    let empty = FakeApi::new();
    let variables = exported
        .out
        .lines()
        .filter_map(|line| line.trim().strip_prefix("from_env: "));
    let rebuilt = variables.fold(bare_shell(&empty), |shell, name| {
        shell.var(name, HOOK_SECRET)
    });
    let rebuilt = rebuilt.file("copy.yaml", &exported.out);
    rebuilt.run("apply -f copy.yaml --yes").ok();
    assert_eq!(rebuilt.run("export").ok(), exported.out);
}
