//! `api-keys` against a scripted server.

use super::{Server, Shell, both_forms, compact};

const TOKEN: &str = "sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef";

const DETAIL: &str = r#"{"id":"ak_1","name":"ci","description":"nightly","keyType":"service",
    "assignedToUserId":null,"createdByUserId":"user_1","permissionMode":"restricted",
    "permissions":["virtualKeys:view"],"createdAt":"2026-07-01T10:00:00.000Z","expiresAt":null,
    "lastUsedAt":"2026-07-02T11:30:00.000Z","revokedAt":null,
    "roleBindings":[{"id":"rb_1","role":"CUSTOM","scopeType":"TEAM","scopeId":"team_1"}],
    "bindings":[{"role":"CUSTOM","scopeType":"TEAM","scopeId":"team_1"}]}"#;

fn minted() -> String {
    format!(
        r#"{{"token":"{TOKEN}","apiKey":{{"id":"ak_1","name":"migration","createdAt":"2026-07-25T17:20:00.000Z"}}}}"#
    )
}

#[test]
fn list_prints_an_array_and_tells_the_state_of_each_key() {
    let rows = r#"[
        {"id":"ak_1","name":"ci","description":null,"createdAt":"2026-07-01T10:00:00.000Z",
         "expiresAt":"2026-07-25T17:20:00.000Z","lastUsedAt":null,"revokedAt":null,
         "roleBindings":[{"id":"rb_1","role":"ADMIN","scopeType":"ORGANIZATION","scopeId":"org_1"},
                         {"id":"rb_2","role":"MEMBER","scopeType":"TEAM","scopeId":"team_1"}]},
        {"id":"ak_2","name":"old","createdAt":"2026-06-01T10:00:00.000Z","expiresAt":null,
         "lastUsedAt":"2026-06-02T10:00:00.000Z","revokedAt":"2026-06-03T10:00:00.000Z","roleBindings":[]},
        {"id":"ak_3","name":"new","createdAt":"2026-07-24T10:00:00.000Z",
         "expiresAt":"2026-07-25T17:20:00.001Z","lastUsedAt":null,"revokedAt":null,"roleBindings":[]}]"#;
    let (seen, human) = both_forms(
        &["api-keys", "list"],
        &format!(r#"{{"data":{rows}}}"#),
        rows,
    );
    assert_eq!(seen.line(), "GET /api/api-keys");
    insta::assert_snapshot!(human, @r"
    ID    Name  Status   Bindings                                      Expires           Last used         Created
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    ak_1  ci    expired  ADMIN:ORGANIZATION:org_1, MEMBER:TEAM:team_1  2026-07-25 17:20  never             2026-07-01 10:00
    ak_2  old   revoked  -                                             never             2026-06-02 10:00  2026-06-01 10:00
    ak_3  new   active   -                                             2026-07-25 17:20  never             2026-07-24 10:00
    ");
}

#[test]
fn an_empty_list_says_what_to_do() {
    let (_, human) = both_forms(&["api-keys", "list"], r#"{"data":[]}"#, "[]");
    assert_eq!(
        human,
        "No API keys found. Create one with:\n  langwatch api-keys create --name <name>\n"
    );
}

#[test]
fn get_shows_one_key() {
    let (seen, human) = both_forms(&["api-keys", "get", "ak_1"], DETAIL, DETAIL);
    assert_eq!(seen.line(), "GET /api/api-keys/ak_1");
    insta::assert_snapshot!(human, @r"
    ID           ak_1
    Name         ci
    Description  nightly
    Type         service
    Created by   user_1
    Mode         restricted
    Permissions  virtualKeys:view
    Bindings     CUSTOM:TEAM:team_1
    Created      2026-07-01 10:00
    Last used    2026-07-02 11:30
    ");
}

#[test]
fn the_migration_key_is_one_command() {
    let server = Server::answering([(201, &minted())]);
    let done = Shell::at(&server).run(
        "api-keys create --name migration --permission modelProviders:update \
         --permission virtualKeys:create --binding CUSTOM:ORGANIZATION:acme",
    );
    insta::assert_snapshot!(done.ok(), @r#"
    API key "migration" created.
    Copy the key now: it is shown only once.

    sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef

    export LANGWATCH_API_KEY="sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef"

    ID           ak_1
    Name         migration
    Type         service
    Mode         restricted
    Permissions  modelProviders:update, virtualKeys:create
    Bindings     CUSTOM:ORGANIZATION:acme
    Created      2026-07-25 17:20
    "#);
    assert_eq!(done.ok().matches(TOKEN).count(), 2);
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/api-keys");
    let expected = r#"{"name":"migration","keyType":"service","permissionMode":"restricted",
        "permissions":["modelProviders:update","virtualKeys:create"],
        "bindings":[{"role":"CUSTOM","scopeType":"ORGANIZATION","scopeId":"acme"}]}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &minted()), (201, &minted())]);
    let shell = Shell::at(&server);
    let done = shell.run(
        "api-keys create --name ci --key-type Service --description d --expires-at 30d \
         --project-id web --project-id ml --binding member:org:acme --permission-mode READONLY -f json",
    );
    assert_eq!(done.json().compact(), compact(&minted()));
    assert_eq!(done.err, "");
    shell
        .run(
            "api-keys create --name me --key-type personal --assigned-to-user-id user_2 \
             --binding ADMIN:PROJECT:web --expires-at never",
        )
        .ok();
    let seen = server.requests();
    let first = r#"{"name":"ci","keyType":"service","description":"d","permissionMode":"readonly",
        "bindings":[{"role":"MEMBER","scopeType":"ORGANIZATION","scopeId":"acme"}],
        "expiresAt":"2026-08-24T17:20:00.000Z","projectIds":["web","ml"]}"#;
    assert_eq!(seen[0].body, compact(first));
    let second = r#"{"name":"me","keyType":"personal",
        "bindings":[{"role":"ADMIN","scopeType":"PROJECT","scopeId":"web"}],
        "assignedToUserId":"user_2"}"#;
    assert_eq!(seen[1].body, compact(second));
}

#[test]
fn create_sends_only_what_was_said() {
    let server = Server::answering([(201, &minted())]);
    let done = Shell::at(&server).run("api-keys create --name a --jq .token");
    assert_eq!(done.ok(), format!("\"{TOKEN}\"\n"));
    assert_eq!(
        server.only_request().body,
        r#"{"name":"a","keyType":"service"}"#
    );
}

#[test]
fn only_the_token_of_the_answer_is_printed_in_clear() {
    let answer = format!(r#"{{"token":"{TOKEN}","apiKey":{{"id":"ak_1","name":"{TOKEN}"}}}}"#);
    let server = Server::answering([(201, &answer), (201, &answer)]);
    let shell = Shell::at(&server);
    let done = shell.run("api-keys create --name a -o agents");
    let expected =
        format!(r#"{{"token":"{TOKEN}","apiKey":{{"id":"ak_1","name":"sk-lw-[redacted]"}}}}"#);
    assert_eq!(done.ok().trim_end(), expected);
    let done = shell.run("api-keys create --name a");
    assert!(
        done.ok()
            .starts_with("API key \"sk-lw-[redacted]\" created.")
    );
}

#[test]
fn grants_that_cannot_work_are_refused_before_any_call() {
    for (words, message) in [
        ("--permission a:b", "--permission needs a CUSTOM binding"),
        (
            "--permission a:b --binding ADMIN:TEAM:web",
            "--permission needs a CUSTOM binding",
        ),
        (
            "--binding CUSTOM:TEAM:web",
            "A CUSTOM binding needs --permission",
        ),
        (
            "--binding CUSTOM:TEAM:web --permission a:b --permission-mode all",
            "--permission makes the key restricted",
        ),
        (
            "--permission-mode restricted",
            "restricted needs --permission",
        ),
        ("--key-type personal", "needs at least one --binding"),
        (
            "--key-type personal --binding ADMIN:TEAM:web --project-id p",
            "--project-id is for service keys",
        ),
        (
            "--binding CUSTOM:TEAM:web:role_1 --permission a:b",
            "takes no custom role",
        ),
        ("--permission virtualKeys", "expected resource:action"),
        ("--binding OWNER:TEAM:web", "unknown role \"OWNER\""),
        ("--expires-at soon", "expected never"),
    ] {
        let done = Shell::new().run(&format!("api-keys create --name a {words}"));
        assert!(done.failed().contains(message), "{words}: {}", done.err);
    }
}

#[test]
fn update_sends_what_was_said_and_shows_the_key() {
    let words = "api-keys update ak_1 --name ci --description nightly \
                 --binding custom:team:web --permission virtualKeys:view";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, DETAIL, DETAIL);
    assert_eq!(seen.line(), "PATCH /api/api-keys/ak_1");
    let expected = r#"{"name":"ci","description":"nightly","permissionMode":"restricted",
        "permissions":["virtualKeys:view"],
        "bindings":[{"role":"CUSTOM","scopeType":"TEAM","scopeId":"web"}]}"#;
    assert_eq!(seen.body, compact(expected));
    assert!(
        human.starts_with("API key \"ci\" updated.\n\nID "),
        "{human}"
    );
    let done = Shell::new().run("api-keys update ak_1");
    assert_eq!(
        done.failed(),
        "Error: nothing to update. Provide at least one of --name, --description, --binding, \
         --permission, --permission-mode.\n"
    );
}

#[test]
fn revoke_says_so() {
    let answer = r#"{"success":true}"#;
    let (seen, human) = both_forms(&["api-keys", "revoke", "ak_1"], answer, answer);
    assert_eq!(seen.line(), "DELETE /api/api-keys/ak_1");
    assert_eq!(
        (seen.body.as_str(), human.as_str()),
        ("", "API key ak_1 revoked.\n")
    );
}

#[test]
fn a_legacy_refusal_is_told_by_its_code() {
    let refusal = r#"{"error":"api_key_scope_violation","message":"Beyond your own access."}"#;
    let server = Server::answering([(403, refusal)]);
    let done = Shell::at(&server).run("api-keys create --name a");
    insta::assert_snapshot!(done.failed(), @r"
    Failed to create the API key: Beyond your own access.
    Details:
      code    api_key_scope_violation
      status  403
    ");
}

#[test]
fn a_project_key_is_told_what_is_needed() {
    let refusal = r#"{"error":"credential_class_mismatch","message":"This needs an organization key.",
        "required":"organization_api_key","presented":"project_api_key"}"#;
    let server = Server::answering([(401, refusal)]);
    let done = Shell::at(&server).run("teams list");
    insta::assert_snapshot!(done.failed(), @r"
    Failed to list teams: This needs an organization key.
    Details:
      code       credential_class_mismatch
      status     401
      required   organization_api_key
      presented  project_api_key
    Suggestions:
      • This takes another kind of credential (organization_api_key). Set LANGWATCH_API_KEY to one; `langwatch whoami` shows the one in use.
    ");
}
