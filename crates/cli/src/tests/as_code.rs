//! `apply`, `diff` and `export` against the management API in memory.

use super::fake_api::{FakeApi, Trouble};
use super::{Done, Seen, Shell};
use crate::json::Json;

const EXAMPLE: &str = include_str!("../../../../docs/examples/gateway.yaml");

pub(super) const OPENAI_SECRET: &str = "sk-proj-never-to-be-seen-0001";
pub(super) const ANTHROPIC_SECRET: &str = "sk-ant-never-to-be-seen-0002";
pub(super) const HOOK_SECRET: &str = "Bearer-never-to-be-seen-0003";

/// A shell with the example and what it refers to.
pub(super) fn shell(api: &FakeApi) -> Shell {
    bare_shell(api)
        .var("OPENAI_API_KEY", OPENAI_SECRET)
        .var("MODERATION_TOKEN", HOOK_SECRET)
        .file("anthropic.key", &format!("{ANTHROPIC_SECRET}\n"))
        .file("gateway.yaml", EXAMPLE)
}

pub(super) fn bare_shell(api: &FakeApi) -> Shell {
    Shell::new()
        .var("LANGWATCH_ENDPOINT", &api.endpoint)
        .var("LANGWATCH_API_KEY", super::API_KEY)
}

pub(super) fn lines(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::line).collect()
}

/// No secret of a provider in anything that is printed.
#[track_caller]
pub(super) fn shows_no_provider_secret(done: &Done) {
    for text in [&done.out, &done.err] {
        assert!(!text.contains("never-to-be-seen"), "{text}");
    }
}

#[test]
fn the_example_is_planned_created_and_then_left_alone() {
    let api = FakeApi::new();
    let shell = shell(&api);

    let plan = shell.run("apply -f gateway.yaml --dry-run");
    insta::assert_snapshot!("plan", plan.ok());
    shows_no_provider_secret(&plan);
    assert_eq!(lines(&api.writes()), [] as [String; 0]);

    let done = shell.run("apply -f gateway.yaml --yes");
    insta::assert_snapshot!("applied", format!("{}---\n{}", done.ok(), done.err));
    shows_no_provider_secret(&done);
    let writes = api.writes();
    insta::assert_snapshot!("requests", requests(&writes));
    assert!(
        writes
            .iter()
            .all(|w| w.header("idempotency-key").is_some_and(|k| k.len() == 70))
    );

    for command in [
        "apply -f gateway.yaml --yes",
        "apply -f gateway.yaml --yes --dry-run",
        "diff -f gateway.yaml --exit-code",
    ] {
        let again = shell.run(command);
        assert!(
            again.ok().contains("Nothing to do: 11 unchanged."),
            "{}",
            again.out
        );
        assert!(!again.out.contains(" -> "), "{}", again.out);
        assert_eq!(lines(&api.writes()), [] as [String; 0], "{command}");
    }
}

fn requests(writes: &[Seen]) -> String {
    let mut out = String::new();
    for write in writes {
        let body = Json::parse(&write.body).expect("JSON");
        out.push_str(&format!("{}\n{}\n", write.line(), body.pretty()));
    }
    out
}

#[test]
fn changes_are_shown_field_by_field_and_sent_alone() {
    let api = FakeApi::new();
    let shell = shell(&api);
    shell.run("apply -f gateway.yaml --yes").ok();
    api.writes();
    let changed = EXAMPLE
        .replace("rpm: 3000", "rpm: 4000")
        .replace("limit_usd: 5000", "limit_usd: 6000.50")
        .replace("maxAttempts: 2", "maxAttempts: 4")
        .replace("mode: force", "mode: respect")
        .replace("is_default: true", "is_default: false")
        .replace(
            "[team:data]\n    strategy",
            "[team:data, org:acme]\n    strategy",
        )
        .replace(
            "name: cheap-first",
            "name: cheap-first\n    is_default: true",
        );
    let shell = shell.file("gateway.yaml", &changed);
    let diff = shell.run("diff -f gateway.yaml --exit-code");
    insta::assert_snapshot!("diff", {
        diff.failed();
        diff.out.clone()
    });
    assert!(
        shell
            .run("diff -f gateway.yaml")
            .ok()
            .contains("5 to update")
    );
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
    shell.run("apply -f gateway.yaml --yes").ok();
    insta::assert_snapshot!("changed_requests", requests(&api.writes()));
    assert!(
        shell
            .run("diff -f gateway.yaml --exit-code")
            .ok()
            .contains("Nothing to do")
    );
}

#[test]
fn the_plan_for_programs_has_every_change() {
    let api = FakeApi::new();
    let file =
        "version: 1\nbudgets:\n  - {name: cap, scope: 'team:eng', window: month, limit_usd: 5}\n";
    let shell = bare_shell(&api).file("b.yaml", file);
    let document = shell.run("diff -f b.yaml -o json").json();
    assert_eq!(
        document.compact(),
        r#"{"ok":true,"changed":true,"summary":{"create":1,"update":0,"unchanged":0},"steps":[{"kind":"budgets","name":"cap","action":"create","status":"planned","changes":[{"field":"scope","old":null,"new":"team:eng"},{"field":"window","old":null,"new":"month"},{"field":"limit_usd","old":null,"new":"5"}]}]}"#
    );
}

#[test]
fn secrets_are_sent_again_only_when_asked() {
    let api = FakeApi::new();
    let shell = shell(&api);
    shell.run("apply -f gateway.yaml --yes").ok();
    api.writes();
    let diff = shell.run("diff -f gateway.yaml --rotate-secrets");
    assert!(diff.ok().contains(
        "custom_keys.OPENAI_API_KEY: (secret) -> (secret from the variable OPENAI_API_KEY)"
    ));
    shows_no_provider_secret(&diff);
    let done = shell.run("apply -f gateway.yaml --yes --rotate-secrets");
    done.ok();
    shows_no_provider_secret(&done);
    let writes = api.writes();
    let bodies: Vec<&str> = writes.iter().map(|write| write.body.as_str()).collect();
    assert!(bodies.contains(
        &format!(r#"{{"custom_keys":{{"OPENAI_API_KEY":"{OPENAI_SECRET}"}}}}"#).as_str()
    ));
    assert!(bodies.contains(
        &format!(r#"{{"custom_keys":{{"ANTHROPIC_API_KEY":"{ANTHROPIC_SECRET}"}}}}"#).as_str()
    ));
    assert!(bodies.iter().any(|body| body.contains(HOOK_SECRET)));
    assert_eq!(bodies.len(), 3);
}

#[test]
fn a_failure_in_the_middle_says_what_was_done_and_a_rerun_continues() {
    let api = FakeApi::with(Trouble::Refuses(9));
    let shell = shell(&api);
    let done = shell.run("apply -f gateway.yaml --yes");
    insta::assert_snapshot!("partial", {
        done.failed();
        format!("{}---\n{}", done.out, done.err)
    });
    shows_no_provider_secret(&done);
    assert_eq!(api.writes().len(), 9);
    let rest = shell.run("apply -f gateway.yaml --yes");
    assert!(
        rest.ok().contains("3 created, 0 updated, 8 unchanged"),
        "{}",
        rest.out
    );
    assert_eq!(api.writes().len(), 3);
    assert!(
        shell
            .run("diff -f gateway.yaml --exit-code")
            .ok()
            .contains("11 unchanged")
    );
}

#[test]
fn a_failure_for_programs_holds_the_error_the_steps_and_the_secrets() {
    let api = FakeApi::with(Trouble::Refuses(9));
    let done = shell(&api).run("apply -f gateway.yaml --yes -o json");
    done.failed();
    let document = Json::parse(&done.out).expect("one document");
    assert_eq!(document.get("ok"), Some(&false.into()));
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"internal_error".into())
    );
    let steps = document.get("steps").expect("steps").items();
    let statuses: Vec<&str> = steps
        .iter()
        .filter_map(|step| step.text("status"))
        .collect();
    assert_eq!(statuses.iter().filter(|s| **s == "done").count(), 8);
    assert_eq!(statuses[8..], ["failed", "not_tried", "not_tried"]);
    let secret = document.at(&["secrets", "web"]).and_then(Json::as_str);
    assert!(
        secret.is_some_and(|s| s.starts_with("vk-lw-01HZX9N3")),
        "{}",
        done.out
    );
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
}

#[test]
fn a_lost_answer_neither_mints_twice_nor_loses_the_secret() {
    let api = FakeApi::with(Trouble::Vanishes(8));
    let done = shell(&api).run("apply -f gateway.yaml --yes -o json");
    let secrets = done.json().get("secrets").expect("secrets").fields().len();
    assert_eq!(secrets, 2);
    let posts = api.writes();
    let keys = |path: &str| posts.iter().filter(|w| w.path.ends_with(path)).count();
    assert_eq!(keys("/virtual-keys"), 3);
    let listed = shell(&api).run("export --kind virtual_keys -f json").json();
    assert_eq!(listed.get("virtual_keys").expect("keys").items().len(), 2);
}

#[test]
fn a_rate_limit_is_waited_out() {
    let api = FakeApi::with(Trouble::Limits(3));
    let done = shell(&api).run("apply -f gateway.yaml --yes");
    done.ok();
    assert_eq!(done.waits, [std::time::Duration::from_secs(2)]);
}

#[test]
fn what_was_deleted_is_made_again_in_spite_of_recorded_answers() {
    let api = FakeApi::new();
    let shell = shell(&api);
    let first = shell.run("apply -f gateway.yaml --yes -o json").json();
    let agent = ureq::Agent::new_with_defaults();
    let base = format!("{}/api/gateway/v1", api.endpoint);
    let keys = agent
        .get(format!("{base}/virtual-keys"))
        .call()
        .expect("keys")
        .body_mut()
        .read_to_string()
        .expect("text");
    let keys = Json::parse(&keys).expect("JSON");
    let key = keys.get("data").expect("rows").items()[0]
        .text("id")
        .expect("an id")
        .to_owned();
    agent
        .post(format!("{base}/virtual-keys/{key}/revoke"))
        .send("{}")
        .expect("revoked");
    let rules = agent
        .get(format!("{base}/cache-rules"))
        .call()
        .expect("rules")
        .body_mut()
        .read_to_string()
        .expect("text");
    let rules = Json::parse(&rules).expect("JSON");
    let rule = rules.get("data").expect("rows").items()[0]
        .text("id")
        .expect("an id")
        .to_owned();
    agent
        .delete(format!("{base}/cache-rules/{rule}"))
        .call()
        .expect("gone");

    let second = shell.run("apply -f gateway.yaml --yes -o json").json();
    let (old, new) = (
        first.at(&["secrets", "web"]),
        second.at(&["secrets", "web"]),
    );
    assert!(new.is_some() && old != new);
    let diff = shell.run("diff -f gateway.yaml");
    assert!(
        diff.ok().contains("cache_rules deterministic unchanged"),
        "{}",
        diff.out
    );
}

#[test]
fn secrets_go_to_a_file_of_their_own_that_is_never_lost() {
    let api = FakeApi::new();
    let shell = shell(&api);
    let done = shell.run("apply -f gateway.yaml --yes --secrets-file keys.json");
    assert!(
        done.ok().contains("are in keys.json") && !done.out.contains("NDEKT"),
        "{}",
        done.out
    );
    let path = shell.path("keys.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let secrets = Json::parse(&text).expect("JSON");
    let names: Vec<&str> = secrets
        .fields()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["web", "nightly"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // Nothing to mint: the file is no obstacle.
    shell
        .run("apply -f gateway.yaml --yes --secrets-file keys.json")
        .ok();
    let more = EXAMPLE.replace(
        "virtual_keys:\n",
        "virtual_keys:\n  - {name: extra, scopes: ['org:acme']}\n",
    );
    let shell = shell.file("gateway.yaml", &more);
    api.writes();
    let refused = shell.run("apply -f gateway.yaml --yes --secrets-file keys.json");
    assert!(
        refused.failed().contains("keys.json exists"),
        "{}",
        refused.err
    );
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
    shell
        .run("apply -f gateway.yaml --yes --secrets-file keys.json --force")
        .ok();
    let text = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(Json::parse(&text).expect("JSON").fields().len(), 3);

    let nowhere = FakeApi::new();
    let shell = self::shell(&nowhere);
    for text in ["version: 1\n", "[]", r#"{"version":1}"#] {
        let shell = self::shell(&nowhere).file("other.json", text);
        let done = shell.run("apply -f gateway.yaml --yes --secrets-file other.json --force");
        let error = done.failed();
        assert!(error.contains("other.json is no secrets file"), "{error}");
        let kept = std::fs::read_to_string(shell.path("other.json")).expect("a file");
        assert_eq!(kept, text);
    }
    let done = shell.run("apply -f gateway.yaml --yes --secrets-file none/keys.json");
    assert!(
        done.failed()
            .contains("Cannot write the secrets file none/keys.json"),
        "{}",
        done.err
    );
    assert_eq!(lines(&nowhere.writes()), [] as [String; 0]);
}

#[test]
fn a_person_is_asked_and_a_program_must_say_yes() {
    let api = FakeApi::new();
    let shell = shell(&api);
    for words in ["apply -f gateway.yaml", "apply -f gateway.yaml -o json"] {
        let done = shell.run(words);
        assert!(done.failed().contains("Give --yes"), "{}", done.err);
    }
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
    let shell = shell.typing("n\n");
    let done = shell.run("apply -f gateway.yaml");
    assert!(
        done.failed().contains("Apply these changes? [y/N]"),
        "{}",
        done.err
    );
    assert!(done.out.contains("11 to create"), "{}", done.out);
    assert_eq!(lines(&api.writes()), [] as [String; 0]);
    let shell = shell.typing("Yes\n");
    shell.run("apply -f gateway.yaml").ok();
    assert_eq!(api.writes().len(), 11);
}

#[test]
fn a_project_key_knows_its_project_and_says_what_it_cannot_see() {
    let api = FakeApi::with(Trouble::ProjectKey);
    let file = "version: 1\nvirtual_keys:\n  - {name: a, scopes: ['project:web']}\n  - {name: b, scopes: ['team:team_7']}\n";
    let shell = bare_shell(&api).file("k.yaml", file);
    shell.run("apply -f k.yaml --yes").ok();
    assert!(
        shell
            .run("diff -f k.yaml --exit-code")
            .ok()
            .contains("2 unchanged")
    );
    let shell = shell.file("k.yaml", &file.replace("team_7", "eng"));
    let done = shell.run("diff -f k.yaml");
    assert!(
        done.failed().contains(
            "k.yaml:4: virtual_keys \"b\": `scopes[0]` is wrong: cannot tell which team `eng` is"
        ),
        "{}",
        done.err
    );
}

#[test]
fn a_json_file_is_as_good() {
    let api = FakeApi::new();
    let file = "{\n  \"version\": 1,\n  \"virtual_keys\": [\n    {\"name\": \"j\", \"scopes\": [{\"scope_type\": \"team\", \"scope_id\": \"eng\"}],\n     \"config\": {\"rate_limits\": {\"rpm\": 5}}}\n  ]\n}\n";
    let shell = bare_shell(&api).file("k.json", file);
    shell.run("apply -f k.json --yes").ok();
    let body = Json::parse(&api.writes()[0].body).expect("JSON").compact();
    assert_eq!(
        body,
        r#"{"name":"j","scopes":[{"scope_type":"team","scope_id":"team_1"}],"config":{"rateLimits":{"rpm":5}}}"#
    );
    assert!(
        shell
            .run("diff -f k.json --exit-code")
            .ok()
            .contains("1 unchanged")
    );
}
