//! Credentials, endpoints, `env`, `config`, `whoami` and `login`.

use std::fs;

use super::{API_KEY, Server, Shell};
use crate::json::Json;
use crate::{Outcome, ServerConfigCommand};

const ORGANIZATION: &str = r#"{"id":"org_1","name":"Acme","slug":"acme","supportContact":null}"#;
const VIRTUAL_KEY: &str = "vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F";

#[test]
fn whoami_names_the_organization_and_the_credential() {
    let server = Server::answering([(200, ORGANIZATION), (200, ORGANIZATION)]);
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_1");
    let done = shell.run("whoami -o agents");
    let expected = format!(
        r#"{{"organization":{{"id":"org_1","name":"Acme","slug":"acme"}},"endpoint":"{}","credential":{{"kind":"api_key","source":"environment"}},"project":"proj_1"}}"#,
        server.endpoint
    );
    assert_eq!(done.json().compact(), expected);
    let done = shell.run("whoami");
    insta::assert_snapshot!(done.ok().replace(&server.endpoint, "http://server"), @r"
    Organization  Acme (acme)
    Endpoint      http://server
    Credential    api key (from environment)
    Project       proj_1
    ");
    let seen = &server.requests()[0];
    assert_eq!(seen.line(), "GET /api/organization");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    assert_eq!(
        (seen.header("x-project-id"), seen.header("x-auth-token")),
        (None, None)
    );
}

#[test]
fn whoami_without_a_key_or_with_a_refused_one_exits_1() {
    assert!(
        Shell::new()
            .run("whoami")
            .failed()
            .contains("langwatch login")
    );
    let server = Server::answering([(401, r#"{"error":"invalid_credentials","message":"No."}"#)]);
    assert!(
        Shell::at(&server)
            .run("whoami")
            .failed()
            .contains("invalid_credentials")
    );
}

#[test]
fn dotenv_lends_the_key_and_the_endpoint() {
    let server = Server::answering([(200, ORGANIZATION)]);
    let text = format!(
        "OTHER=1\nLANGWATCH_API_KEY=\" lwp_from-dotenv \"\nLANGWATCH_ENDPOINT={}///\n",
        server.endpoint
    );
    let done = Shell::new()
        .file(".env", &text)
        .run("whoami --jq .credential");
    assert_eq!(
        done.json().compact(),
        r#"{"kind":"api_key","source":".env"}"#
    );
    assert_eq!(
        server.only_request().header("authorization"),
        Some("Bearer lwp_from-dotenv")
    );
}

#[test]
fn the_environment_beats_dotenv_even_when_empty() {
    let server = Server::answering([(200, ORGANIZATION)]);
    let shell = Shell::at(&server).file(".env", "LANGWATCH_API_KEY=lwp_from-dotenv\n");
    shell.run("whoami").ok();
    assert_eq!(
        server.only_request().header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    let shell = shell.var("LANGWATCH_API_KEY", "");
    assert!(shell.run("whoami").failed().contains("Not signed in"));
}

#[test]
fn the_stored_session_comes_last_and_brings_its_project() {
    let page = r#"{"data":[],"next_cursor":null}"#;
    let server = Server::answering([(200, page), (200, page)]);
    let config = format!(
        r#"{{"control_plane_url":"{}/","cli_api_key":"pat-lw-session-key","personal_project":{{"id":"proj_me","api_key":"x"}}}}"#,
        server.endpoint
    );
    let shell = Shell::new().config(&config);
    shell.run("vk list").ok();
    let shell = shell.var("LANGWATCH_API_KEY", API_KEY);
    shell.run("vk list").ok();
    let seen = server.requests();
    assert_eq!(
        seen[0].header("authorization"),
        Some("Bearer pat-lw-session-key")
    );
    assert_eq!(seen[0].header("x-project-id"), Some("proj_me"));
    assert_eq!(seen[1].header("x-project-id"), None);
}

#[test]
fn a_broken_endpoint_is_named() {
    let shell = Shell::new()
        .var("LANGWATCH_API_KEY", API_KEY)
        .var("LANGWATCH_ENDPOINT", "localhost");
    assert!(
        shell
            .run("vk list")
            .failed()
            .contains("LANGWATCH_ENDPOINT must be an absolute")
    );
}

#[test]
fn a_broken_configuration_is_named_and_kept() {
    let shell = Shell::new().config("{oops");
    assert!(
        shell
            .run("config set daemon on")
            .failed()
            .contains("config.json")
    );
    assert_eq!(
        fs::read_to_string(shell.config_path()).expect("still there"),
        "{oops"
    );
}

#[test]
fn config_set_keeps_what_it_does_not_know() {
    let shell = Shell::new().config(
        r#"{"tool_mode":"x","default_personal_vk":{"id":"1","secret":"legacy"},"control_plane_url":"http://old"}"#,
    );
    assert!(
        shell
            .run("config set endpoint https://new.example/")
            .ok()
            .contains("endpoint is https://new.example")
    );
    shell.run("config set daemon ON -f json").ok();
    let written =
        Json::parse(&fs::read_to_string(shell.config_path()).expect("written")).expect("JSON");
    assert_eq!(
        written.compact(),
        r#"{"tool_mode":"x","control_plane_url":"https://new.example","daemon":"on"}"#
    );
    assert_eq!(
        shell.run("config get endpoint").ok(),
        "https://new.example\n"
    );
    assert_eq!(shell.run("config get daemon").ok(), "on\n");
}

#[cfg(unix)]
#[test]
fn the_configuration_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    shell.run("config set endpoint http://x").ok();
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let path = shell.config_path();
    assert_eq!(
        (mode(&path), mode(path.parent().expect("a folder"))),
        (0o600, 0o700)
    );
    shell.run("login --api-key sk-lw-0123456789").ok();
    assert_eq!(mode(&shell.path(".env")), 0o600);
}

#[test]
fn config_lives_where_it_is_told() {
    let shell = Shell::new().var("LANGWATCH_CLI_CONFIG", "own.json");
    shell.run("config set gateway-url https://gw.example").ok();
    assert!(shell.path("own.json").exists() && !shell.config_path().exists());
    insta::assert_snapshot!(shell.run("config list").ok(), @r"
    Key          Value
    ──────────────────────────────────
    endpoint     http://127.0.0.1:5560
    gateway-url  https://gw.example
    daemon       off
    ");
    assert_eq!(
        shell.run("config get gateway-url").ok(),
        "https://gw.example\n"
    );
}

#[test]
fn config_refuses_what_it_cannot_keep() {
    let shell = Shell::new();
    let done = shell.run("config get colour");
    assert_eq!(
        done.failed(),
        "Error: Unknown key \"colour\". Supported keys: endpoint, gateway-url, daemon.\n"
    );
    assert!(
        shell
            .run("config set endpoint localhost:5560")
            .failed()
            .contains("absolute http")
    );
    assert!(
        shell
            .run("config set daemon maybe")
            .failed()
            .contains("on or off")
    );
    assert!(!shell.config_path().exists());
}

#[test]
fn the_gateway_follows_the_endpoint() {
    for (endpoint, gateway) in [
        ("http://127.0.0.1:5560", "http://127.0.0.1:5563"),
        ("http://localhost:1", "http://127.0.0.1:5563"),
        ("http://[::1]:1", "http://127.0.0.1:5563"),
        ("https://app.example", "https://gateway.langwatch.ai"),
    ] {
        let shell = Shell::new().var("LANGWATCH_ENDPOINT", endpoint);
        assert_eq!(shell.run("config get gateway-url").ok().trim_end(), gateway);
    }
    let shell = Shell::new().var("LANGWATCH_GATEWAY_URL", "http://gw/");
    assert_eq!(shell.run("config get gateway-url").ok(), "http://gw\n");
}

#[test]
fn server_config_commands_go_back_to_the_binary() {
    let outcome = |words| Shell::new().run(words).outcome;
    assert_eq!(
        outcome("config check"),
        Outcome::ServerConfig(ServerConfigCommand::Check)
    );
    assert_eq!(
        outcome("config print"),
        Outcome::ServerConfig(ServerConfigCommand::Print)
    );
}

#[test]
fn env_prints_for_each_shell() {
    let shell = Shell::new()
        .var("LANGWATCH_VIRTUAL_KEY", VIRTUAL_KEY)
        .var("LANGWATCH_GATEWAY_URL", "http://127.0.0.1:5563/")
        .var("CLAUDECODE", "1");
    insta::assert_snapshot!(shell.run("env").ok(), @r"
    export OPENAI_BASE_URL='http://127.0.0.1:5563/v1'
    export OPENAI_API_KEY='vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F'
    export ANTHROPIC_BASE_URL='http://127.0.0.1:5563'
    export ANTHROPIC_API_KEY='vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F'
    export ANTHROPIC_AUTH_TOKEN='vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F'
    export GOOGLE_GEMINI_BASE_URL='http://127.0.0.1:5563'
    export GEMINI_API_KEY='vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F'
    ");
    insta::assert_snapshot!(shell.run("env --shell FISH").ok().lines().next().unwrap_or_default(), @"set -gx OPENAI_BASE_URL 'http://127.0.0.1:5563/v1'");
    insta::assert_snapshot!(shell.run("env --shell pwsh").ok().lines().next().unwrap_or_default(), @"$env:OPENAI_BASE_URL = 'http://127.0.0.1:5563/v1'");
    let json = shell.run("env -f json").json();
    assert_eq!(json.text("ANTHROPIC_AUTH_TOKEN"), Some(VIRTUAL_KEY));
}

#[test]
fn env_takes_the_flag_then_the_variable_then_the_personal_key() {
    let config = format!(r#"{{"default_personal_vk":{{"secret":"{VIRTUAL_KEY}"}}}}"#);
    let shell = Shell::new()
        .config(&config)
        .var("LANGWATCH_GATEWAY_URL", "http://gateway.test");
    let key = |shell: &Shell, words| shell.run(words).json().display();
    assert_eq!(key(&shell, "env --jq .GEMINI_API_KEY"), VIRTUAL_KEY);
    let shell = shell.var("LANGWATCH_VIRTUAL_KEY", "vk-lw-variable");
    assert_eq!(key(&shell, "env --jq .GEMINI_API_KEY"), "vk-lw-variable");
    assert_eq!(
        key(&shell, "env --key vk-lw-flag --jq .GEMINI_API_KEY"),
        "vk-lw-flag"
    );
}

#[test]
fn env_without_a_virtual_key_says_what_to_do() {
    assert!(
        Shell::new()
            .run("env")
            .failed()
            .contains("virtual-keys create")
    );
    let done = Shell::new().run(&format!("env --key {API_KEY}"));
    assert!(done.failed().contains("begin with vk-lw-"));
}

#[test]
fn login_writes_dotenv() {
    let shell = Shell::new().file(".env", "A=1\nLANGWATCH_API_KEY=old-key-value\n");
    let done = shell.run(&format!("login --api-key {API_KEY}"));
    assert!(done.ok().contains(".env") && !done.out.contains(API_KEY));
    let text = fs::read_to_string(shell.path(".env")).expect("written");
    assert_eq!(text, format!("A=1\nLANGWATCH_API_KEY={API_KEY}\n"));
    assert!(!shell.config_path().exists());
}

#[test]
fn login_refuses_bad_values_before_writing_any() {
    let shell = Shell::new();
    assert!(
        shell
            .run("login --endpoint http://x --api-key short")
            .failed()
            .contains("too short")
    );
    assert!(
        shell
            .run("login --api-key sk-lw-0123456789 --endpoint x")
            .failed()
            .contains("absolute")
    );
    assert!(
        shell
            .run("login")
            .failed()
            .contains("login --api-key <key>")
    );
    assert!(!shell.config_path().exists() && !shell.path(".env").exists());
}

#[test]
fn login_keeps_the_endpoint_and_warns_when_it_is_overruled() {
    let shell = Shell::new().var("LANGWATCH_ENDPOINT", "http://other");
    let done = shell.run("login --endpoint https://app.example/");
    assert!(done.ok().contains("https://app.example\n"));
    assert!(done.err.contains("wins"), "{}", done.err);
    let written = fs::read_to_string(shell.config_path()).expect("written");
    assert!(written.contains(r#""control_plane_url": "https://app.example""#));
}
