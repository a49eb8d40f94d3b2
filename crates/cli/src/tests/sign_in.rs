//! `login`, `logout` and what `whoami` makes of other keys than an organization's.

use std::fs;

use super::{API_KEY, Server, Shell};
use crate::json::Json;

const PROJECT_KEY: &str = "sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef";

fn config_of(shell: &Shell) -> Json {
    let text = fs::read_to_string(shell.config_path()).expect("written");
    Json::parse(&text).expect("JSON")
}

#[test]
fn whoami_with_a_project_key_names_its_project() {
    let mismatch = r#"{"error":"credential_class_mismatch","message":"An organization key is needed.",
        "required":"organization_api_key","presented":"project_api_key"}"#;
    let project = r#"{"id":"proj_1","name":"web","slug":"web-app","isPersonal":false}"#;
    let server = Server::answering([
        (401, mismatch),
        (200, project),
        (401, mismatch),
        (200, project),
    ]);
    let shell = Shell::at(&server)
        .var("LANGWATCH_API_KEY", PROJECT_KEY)
        .var("LANGWATCH_PROJECT_ID", "proj_9");
    let json = shell.run("whoami -f json").json();
    assert_eq!(json.get("organization"), Some(&Json::Null));
    assert_eq!(
        json.get("project").map(Json::compact).as_deref(),
        Some(r#"{"id":"proj_1","name":"web","slug":"web-app"}"#)
    );
    let done = shell.run("whoami");
    insta::assert_snapshot!(done.ok().replace(&server.endpoint, "http://server"), @r"
    Organization  not visible to this key
    Endpoint      http://server
    Credential    project key (from environment)
    Project       web (web-app)
    ");
    let seen = server.requests();
    assert_eq!(seen[1].line(), "GET /api/me/project");
    assert_eq!(seen[1].header("x-auth-token"), Some(PROJECT_KEY));
}

#[test]
fn whoami_asks_for_the_project_whatever_the_refusal_calls_itself() {
    let refusal = r#"{"error":"Unauthorized","message":"No."}"#;
    let project = r#"{"id":"proj_1","name":"web","slug":"web-app"}"#;
    let server = Server::answering([
        (401, refusal),
        (200, project),
        (401, refusal),
        (401, refusal),
    ]);
    let shell = Shell::at(&server).var("LANGWATCH_API_KEY", PROJECT_KEY);
    let json = shell.run("whoami -f json").json();
    assert_eq!(json.at(&["project", "id"]), Some(&"proj_1".into()));
    let done = shell.run("whoami");
    assert!(
        done.failed().contains("Failed to identify the caller"),
        "{}",
        done.err
    );
}

#[test]
fn whoami_with_a_narrow_key_is_still_somebody() {
    let refusal = r#"{"error":"insufficient_permissions","message":"No.","required_permission":"organization:view"}"#;
    let server = Server::answering([(403, refusal), (403, refusal)]);
    let shell = Shell::at(&server);
    let done = shell.run("whoami");
    assert!(
        done.ok()
            .contains("Organization  not visible to this key\n"),
        "{}",
        done.out
    );
    let json = shell.run("whoami -f json").json();
    assert_eq!(json.get("organization"), Some(&Json::Null));
    assert_eq!(json.at(&["credential", "kind"]), Some(&"api_key".into()));
}

#[test]
fn login_changes_one_line_of_dotenv_and_no_other_byte() {
    let before = "# mine\r\nA = 1 \r\n\r\nLANGWATCH_API_KEY=old-key-value\r\nB='x'";
    let shell = Shell::new().file(".env", before);
    let done = shell.run("login --api-key sk-lw-new-key-value -f json");
    let path = shell.path(".env");
    let expected = format!(r#"{{"ok":true,"env_file":"{}"}}"#, path.display());
    assert_eq!(done.json().compact(), expected);
    let after = fs::read_to_string(path).expect("there");
    assert_eq!(
        after,
        before.replace("old-key-value", "sk-lw-new-key-value")
    );
}

#[test]
fn login_keeps_a_token_in_the_configuration() {
    let shell = Shell::new().config(r#"{"tool_mode":"x","access_token":"old"}"#);
    let done = shell.run("login --token lwat-0123456789abcdef");
    assert!(
        done.ok().starts_with("✓ Access token kept in "),
        "{}",
        done.out
    );
    assert!(!done.out.contains("lwat-0123456789abcdef"));
    assert_eq!(
        config_of(&shell).compact(),
        r#"{"tool_mode":"x","access_token":"lwat-0123456789abcdef"}"#
    );
    assert!(!shell.path(".env").exists());
    let done = shell.run("login --token short");
    assert_eq!(
        done.failed(),
        "Error: The access token is too short: it has fewer than 10 characters.\n"
    );
}

#[test]
fn login_asks_a_person_where_and_as_whom() {
    let shell = Shell::new().typing(&format!("https://lw.example/\n{API_KEY}\n"));
    let done = shell.run("login");
    insta::assert_snapshot!(done.err, @r"
    Address of the server [http://127.0.0.1:5560]: API key (create one at https://lw.example/settings/api-tokens):
    ");
    assert!(
        done.ok().starts_with("✓ Endpoint is https://lw.example\n"),
        "{}",
        done.out
    );
    assert!(!done.out.contains(API_KEY) && !done.err.contains(API_KEY));
    assert_eq!(
        config_of(&shell).compact(),
        r#"{"control_plane_url":"https://lw.example"}"#
    );
    let written = fs::read_to_string(shell.path(".env")).expect("written");
    assert_eq!(written, format!("LANGWATCH_API_KEY={API_KEY}\n"));
}

#[test]
fn enter_keeps_the_address_and_nothing_typed_changes_nothing() {
    let shell = Shell::new().typing(&format!("\n  {API_KEY}\n"));
    shell.run("login").ok();
    assert!(!shell.config_path().exists());
    assert!(shell.path(".env").exists());
    for typed in ["", "\n", "\n\n", "https://lw.example\n"] {
        let shell = Shell::new().typing(typed);
        assert!(
            shell.run("login").failed().contains("Nothing is changed"),
            "{typed:?}"
        );
        assert!(!shell.config_path().exists() && !shell.path(".env").exists());
    }
    let shell = Shell::new().typing("localhost\n");
    assert!(
        shell
            .run("login")
            .failed()
            .contains("The address must be an absolute")
    );
}

#[test]
fn login_asks_no_program() {
    let shell = Shell::new().typing(&format!("\n{API_KEY}\n"));
    let done = shell.run("login -f json");
    assert!(
        done.failed().contains("login --api-key <key>"),
        "{}",
        done.err
    );
    let done = Shell::new().input(&format!("\n{API_KEY}\n")).run("login");
    assert!(
        done.failed().contains("login --api-key <key>"),
        "{}",
        done.err
    );
}

#[test]
fn what_needs_a_browser_says_what_to_do_instead() {
    for (words, advice) in [
        ("--device", "langwatch open settings/api-tokens"),
        (
            "--device --browser firefox",
            "langwatch login --api-key <key>",
        ),
        ("--browser firefox", "--browser needs --device"),
        ("--project", "langwatch projects list"),
        ("--project web", "langwatch projects api-key web"),
        ("--device --api-key sk-lw-0123456789", "not offered"),
    ] {
        let shell = Shell::new();
        let done = shell.run(&format!("login {words}"));
        assert!(done.failed().contains(advice), "{words}: {}", done.err);
        assert!(!shell.path(".env").exists());
    }
}

const SESSION: &str = r#"{"gateway_url":"http://gw","unknown":{"a":1},"access_token":"lwat-0123456789",
    "refresh_token":"lwrt-0123456789","expires_at":1,"user":{"id":"user_1","email":"a@x"},
    "organization":{"id":"org_1"},"cli_api_key":"pat-lw-session-key","tool_mode":"x"}"#;

fn signed_in(endpoint: &str) -> Shell {
    let config = SESSION.replacen('{', &format!(r#"{{"control_plane_url":"{endpoint}","#), 1);
    Shell::new().config(&config)
}

#[test]
fn logout_ends_the_session_and_keeps_the_settings() {
    let server = Server::answering([(200, r#"{"ok":true}"#)]);
    // The tokens go to the server that made them, whatever else is set.
    let shell = signed_in(&server.endpoint).var("LANGWATCH_ENDPOINT", "http://127.0.0.1:1");
    let done = shell.run("logout --yes -f json");
    assert_eq!(
        done.json().compact(),
        r#"{"ok":true,"cleared":["access_token","refresh_token","expires_at","user","organization","cli_api_key"],"revoked":true}"#
    );
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/auth/cli/logout");
    assert_eq!(
        seen.body,
        r#"{"access_token":"lwat-0123456789","refresh_token":"lwrt-0123456789"}"#
    );
    assert_eq!(seen.header("authorization"), None);
    let kept = config_of(&shell).compact();
    assert_eq!(
        kept,
        format!(
            r#"{{"control_plane_url":"{}","gateway_url":"http://gw","unknown":{{"a":1}},"tool_mode":"x"}}"#,
            server.endpoint
        )
    );
    assert_eq!(shell.run("logout").ok(), "✓ No credentials are stored.\n");
}

#[test]
fn logout_goes_on_when_the_server_does_not_answer_as_hoped() {
    let server = Server::answering([(404, "")]);
    let shell = signed_in(&server.endpoint).file(".env", "LANGWATCH_API_KEY=sk-lw-0123456789\n");
    let done = shell.run("logout -y");
    assert_eq!(
        done.ok(),
        "✓ Signed out: the stored credentials are deleted.\n"
    );
    insta::assert_snapshot!(done.err, @r"
    Note: the server did not confirm the end of the session; it will run out.
    Note: LANGWATCH_API_KEY is set in ./.env, and commands keep using it.
    ");
    assert_eq!(config_of(&shell).get("access_token"), None);
}

#[test]
fn logout_asks_first() {
    let config = r#"{"cli_api_key":"pat-lw-session-key"}"#;
    let shell = Shell::new().config(config);
    assert!(shell.run("logout").failed().contains("logout --yes"));
    let shell = shell.typing("n\n");
    assert!(shell.run("logout").failed().contains("Nothing is deleted"));
    let shell = shell.typing("");
    assert!(shell.run("logout").failed().contains("Nothing is deleted"));
    assert_eq!(config_of(&shell).compact(), config);
    let shell = shell.typing("Yes\n");
    let done = shell.run("logout");
    assert!(done.err.contains("[y/N]") && done.ok().contains("Signed out"));
    assert_eq!(config_of(&shell).compact(), "{}");
}

#[test]
fn logout_keeps_credentials_when_told_to() {
    let config = r#"{"cli_api_key":"pat-lw-session-key"}"#;
    let shell = Shell::new().config(config);
    let done = shell.run("logout --keep-credentials");
    assert_eq!(done.ok(), "✓ The stored credentials are kept.\n");
    assert_eq!(config_of(&shell).compact(), config);
}
