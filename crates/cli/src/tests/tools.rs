//! The wrappers of coding tools: key, gateway, the question beforehand, and what the tool is given.
//!
//! The tool is never started here: what would be started is read from the outcome. The tests of the
//! binary start it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;

use super::{API_KEY, Done, Server, Shell};
use crate::json::Json;
use crate::{Outcome, ToolRun};

const VIRTUAL_KEY: &str = "vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F";
const MINTED: &str = "vk-lw-01J0000NDEKTSV4RRFFQ69G5FAV";
const MODELS: &str = r#"{"object":"list","data":[{"id":"claude-haiku-4-5"},{"id":"gpt-5-mini"},{"id":"text-embedding-3-small"}]}"#;
const REFUSED: &str = r#"{"error":{"code":"invalid_api_key","message":"The key is not known."}}"#;

/// An address where nobody answers.
fn nowhere() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", free.local_addr().expect("bound"))
}

impl Shell {
    /// With these coding tools on the `PATH`.
    fn tools(self, names: &[&str]) -> Self {
        let folder = self.dir.path().join("bin");
        fs::create_dir(&folder).expect("a folder");
        for name in names {
            let path = folder.join(name);
            fs::write(&path, "#!/bin/sh\n").expect("a file");
            make_executable(&path);
        }
        let folder = folder.display().to_string();
        self.var("PATH", &format!("/nowhere:{folder}"))
    }
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// A shell that knows a virtual key and a gateway, with every tool.
fn at(gateway: &Server) -> Shell {
    Shell::new()
        .tools(&["claude", "codex", "gemini", "opencode"])
        .var("LANGWATCH_GATEWAY_URL", &gateway.endpoint)
        .var("LANGWATCH_VIRTUAL_KEY", VIRTUAL_KEY)
}

/// What would be started.
struct Started {
    program: String,
    arguments: Vec<String>,
    /// `None` is taken away.
    variables: BTreeMap<String, Option<String>>,
}

impl Started {
    fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref()
    }

    fn is_taken_away(&self, name: &str) -> bool {
        matches!(self.variables.get(name), Some(None))
    }
}

impl Done {
    #[track_caller]
    fn tool(&self) -> &ToolRun {
        match &self.outcome {
            Outcome::Tool(run) => run,
            other => panic!("{other:?}\n{}{}", self.out, self.err),
        }
    }

    #[track_caller]
    fn tool_start(&self) -> Started {
        let command = self.tool().command();
        let text = |text: &OsStr| text.to_str().expect("text").to_owned();
        Started {
            program: text(command.get_program()),
            arguments: command.get_args().map(text).collect(),
            variables: command
                .get_envs()
                .map(|(name, value)| (text(name), value.map(text)))
                .collect(),
        }
    }
}

#[test]
fn claude_gets_the_gateway_and_its_own_arguments_untouched() {
    let gateway = Server::answering([(200, MODELS)]);
    let shell = at(&gateway);
    let words = "claude -p --help --mint -f json -- -o --virtual-key x --model=sonnet";
    let started = shell.run(words);
    let started = started.tool_start();
    assert!(
        started.program.ends_with("/bin/claude"),
        "{}",
        started.program
    );
    assert_eq!(
        started.arguments.join(" "),
        words.trim_start_matches("claude ")
    );
    assert_eq!(
        started.value("ANTHROPIC_BASE_URL"),
        Some(gateway.endpoint.as_str())
    );
    assert_eq!(started.value("ANTHROPIC_AUTH_TOKEN"), Some(VIRTUAL_KEY));
    assert!(started.is_taken_away("ANTHROPIC_API_KEY"));
    assert!(started.is_taken_away("CLAUDE_CODE_USE_BEDROCK"));
    assert_eq!(started.value("ANTHROPIC_DEFAULT_HAIKU_MODEL"), None);
    let seen = gateway.only_request();
    assert_eq!(seen.line(), "GET /v1/models");
    let bearer = format!("Bearer {VIRTUAL_KEY}");
    assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
}

#[test]
fn the_wrappers_own_flags_come_first_and_two_dashes_end_them() {
    let gateway = Server::answering([(200, MODELS), (200, MODELS)]);
    let shell = at(&gateway).var("LANGWATCH_VIRTUAL_KEY", "vk-lw-of-the-variable");
    let started = shell.run(&format!("claude --virtual-key {VIRTUAL_KEY} --mint --help"));
    let started = started.tool_start();
    assert_eq!(started.arguments, ["--help"]);
    assert_eq!(started.value("ANTHROPIC_AUTH_TOKEN"), Some(VIRTUAL_KEY));
    let started = shell.run("claude -- --mint").tool_start();
    assert_eq!(started.arguments, ["--mint"]);
}

#[test]
fn claude_with_a_model_of_another_vendor_uses_it_for_small_tasks_too() {
    let gateway = Server::answering([(200, MODELS), (200, MODELS)]);
    let shell = at(&gateway).var("ANTHROPIC_DEFAULT_OPUS_MODEL", "gpt-5");
    let started = shell.run("claude --model gpt-5-mini").tool_start();
    assert_eq!(
        started.value("ANTHROPIC_DEFAULT_HAIKU_MODEL"),
        Some("gpt-5-mini")
    );
    assert!(
        !started
            .variables
            .contains_key("ANTHROPIC_DEFAULT_OPUS_MODEL")
    );
    let shell = shell.var("ANTHROPIC_MODEL", "openai/gpt-5-mini");
    let started = shell.run("claude").tool_start();
    assert_eq!(
        started.value("ANTHROPIC_DEFAULT_SONNET_MODEL"),
        Some("openai/gpt-5-mini")
    );
}

#[test]
fn codex_gets_a_provider_of_its_own_before_its_arguments() {
    let gateway = Server::answering([(200, MODELS)]);
    let started = at(&gateway)
        .run("codex exec -m gpt-5-mini hello")
        .tool_start();
    let arguments = started.arguments.join("\n");
    insta::assert_snapshot!(arguments.replace(&gateway.endpoint, "http://gateway"), @r#"
    -c
    model_provider="langwatch"
    -c
    model_providers.langwatch={name="LangWatch", base_url="http://gateway/v1", env_key="LANGWATCH_VIRTUAL_KEY", wire_api="responses"}
    exec
    -m
    gpt-5-mini
    hello
    "#);
    assert_eq!(started.value("LANGWATCH_VIRTUAL_KEY"), Some(VIRTUAL_KEY));
}

#[test]
fn gemini_gets_the_gateway_and_is_told_once_to_use_a_key() {
    let gateway = Server::answering([(200, MODELS), (200, MODELS)]);
    let shell = at(&gateway);
    let done = shell.run("gemini -m gemini-2.5-flash");
    assert!(done.err.contains("settings.json"), "{}", done.err);
    let started = done.tool_start();
    assert_eq!(started.arguments, ["-m", "gemini-2.5-flash"]);
    assert_eq!(started.value("GEMINI_API_KEY"), Some(VIRTUAL_KEY));
    assert_eq!(
        started.value("GOOGLE_GEMINI_BASE_URL"),
        Some(gateway.endpoint.as_str())
    );
    assert!(started.is_taken_away("GOOGLE_GENAI_USE_VERTEXAI"));
    let settings = shell.dir.path().join(".gemini/settings.json");
    let text = fs::read_to_string(settings).expect("written");
    let expected = r#"{"security":{"auth":{"selectedType":"gemini-api-key"}}}"#;
    assert_eq!(super::compact(&text), expected);
    assert_eq!(shell.run("gemini").err, "");
}

#[test]
fn gemini_keeps_its_other_settings_and_never_loses_a_choice_of_the_person() {
    let gateway = Server::answering([(200, MODELS), (200, MODELS), (200, MODELS)]);
    let shell = at(&gateway);
    let folder = shell.dir.path().join(".gemini");
    fs::create_dir(&folder).expect("a folder");
    let settings = folder.join("settings.json");
    let with = |text: &str| {
        fs::write(&settings, text).expect("a file");
        let done = shell.run("gemini");
        (done, fs::read_to_string(&settings).expect("there"))
    };
    let (done, after) = with(r#"{"ui":{"theme":"x"},"security":{"folderTrust":{"enabled":true}}}"#);
    done.tool_start();
    let expected = r#"{"ui":{"theme":"x"},"security":{"folderTrust":{"enabled":true},"auth":{"selectedType":"gemini-api-key"}}}"#;
    assert_eq!(super::compact(&after), expected);

    let google = r#"{"security":{"auth":{"selectedType":"oauth-personal"}}}"#;
    let (done, after) = with(google);
    assert!(
        done.failed().contains("oauth-personal") && done.err.contains("/auth"),
        "{}",
        done.err
    );
    assert_eq!(after, google);

    // Comments are allowed there, and only Gemini CLI reads them.
    let commented = "{ // mine\n}";
    let (done, after) = with(commented);
    assert!(done.err.contains("selectedType"), "{}", done.err);
    done.tool_start();
    assert_eq!(after, commented);
}

#[test]
fn opencode_gets_the_models_that_the_key_reaches_and_no_other_provider() {
    let gateway = Server::answering([(200, MODELS), (200, MODELS)]);
    let own = r#"{"theme":"x","provider":{"mine":{"npm":"y"}}}"#;
    let shell = at(&gateway).var("OPENCODE_CONFIG_CONTENT", own);
    let started = shell.run("opencode run -m langwatch/smart hi").tool_start();
    let config = Json::parse(started.value("OPENCODE_CONFIG_CONTENT").expect("set")).expect("JSON");
    insta::assert_snapshot!(config.pretty().replace(&gateway.endpoint, "http://gateway"), @r#"
    {
      "theme": "x",
      "provider": {
        "mine": {
          "npm": "y"
        },
        "langwatch": {
          "npm": "@ai-sdk/openai-compatible",
          "name": "LangWatch",
          "options": {
            "baseURL": "http://gateway/v1",
            "apiKey": "{env:LANGWATCH_VIRTUAL_KEY}"
          },
          "models": {
            "claude-haiku-4-5": {
              "provider": {
                "npm": "@ai-sdk/anthropic"
              }
            },
            "gpt-5-mini": {},
            "smart": {}
          }
        }
      },
      "enabled_providers": [
        "langwatch"
      ]
    }
    "#);
    let shell = shell.var("OPENCODE_CONFIG_CONTENT", "[1]");
    let done = shell.run("opencode");
    assert!(
        done.failed().contains("OPENCODE_CONFIG_CONTENT"),
        "{}",
        done.err
    );
}

#[test]
fn a_tool_that_is_not_there_is_named_with_its_package_before_anything_else() {
    let shell = Shell::new().tools(&["codex"]);
    let done = shell.run("claude");
    assert_eq!(done.outcome, Outcome::Exit(127));
    insta::assert_snapshot!(done.err, @"Error: Claude Code is not installed: there is no `claude` on the PATH. Install it with `npm install -g @anthropic-ai/claude-code`.");
    let folder = shell.dir.path().join("bin");
    fs::write(folder.join("gemini"), "no program").expect("a file");
    let done = shell.run("gemini");
    assert_eq!(done.outcome, Outcome::Exit(127), "{}", done.err);
}

#[test]
fn a_refused_key_stops_the_tool_and_says_what_to_do() {
    let gateway = Server::answering([(401, REFUSED), (404, "nothing here")]);
    let done = at(&gateway).run("codex");
    insta::assert_snapshot!(done.failed().replace(&gateway.endpoint, "http://gateway"), @r"
    Failed to start Codex: The key is not known.
    Details:
      code    invalid_api_key
      status  401
    Suggestions:
      • Check LANGWATCH_VIRTUAL_KEY or --virtual-key; `langwatch virtual-keys list` shows the keys and their status.
    ");
    let done = at(&gateway).run("codex");
    insta::assert_snapshot!(done.failed().replace(&gateway.endpoint, "http://gateway"), @r"
    Failed to start Codex: http://gateway is no gateway: it has no /v1/models
    Details:
      code    not_a_gateway
      status  404
    Suggestions:
      • Set LANGWATCH_GATEWAY_URL to the address of the gateway, without /v1.
    ");
}

#[test]
fn a_gateway_in_trouble_lets_the_tool_find_out_for_itself() {
    let gateway = Server::answering([(503, "{}"), (429, "{}")]);
    for _ in 0..2 {
        let done = at(&gateway).run("claude");
        assert!(
            done.err.contains("Starting Claude Code all the same"),
            "{}",
            done.err
        );
        assert_eq!(
            done.tool_start().value("ANTHROPIC_AUTH_TOKEN"),
            Some(VIRTUAL_KEY)
        );
    }
    let done = at(&gateway)
        .var("LANGWATCH_GATEWAY_URL", &nowhere())
        .run("claude");
    assert!(done.tool_start().value("ANTHROPIC_BASE_URL").is_some());
}

#[test]
fn no_debug_shows_the_key() {
    let gateway = Server::answering([(200, MODELS)]);
    let done = at(&gateway).run("codex");
    let text = format!("{:?}", done.tool());
    assert!(text.contains("LANGWATCH_VIRTUAL_KEY") && !text.contains(VIRTUAL_KEY));
}

#[test]
fn without_a_key_the_ways_to_one_are_named() {
    let shell = Shell::new()
        .tools(&["claude"])
        .var("LANGWATCH_API_KEY", API_KEY);
    let done = shell.run("claude");
    assert!(done.failed().contains("--mint") && done.err.contains("virtual-keys create"));
    let done = shell.run(&format!("claude --virtual-key {API_KEY}"));
    assert!(done.failed().contains("begin with vk-lw-"));
    assert!(!shell.config_path().exists());
}

const ORGANIZATION: &str = r#"{"id":"org_1","name":"Acme","slug":"acme"}"#;

fn minted() -> String {
    format!(
        r#"{{"virtual_key":{{"id":"vk_1","display_prefix":"vk-lw-01J0000"}},"secret":"{MINTED}"}}"#
    )
}

#[test]
fn mint_makes_a_key_once_and_keeps_it_for_its_owner_alone() {
    let minted = minted();
    let api = Server::answering([(200, ORGANIZATION), (201, &minted)]);
    let gateway = Server::answering([(200, MODELS), (200, MODELS)]);
    let shell = Shell::at(&api)
        .tools(&["claude"])
        .var("LANGWATCH_GATEWAY_URL", &gateway.endpoint);
    let done = shell.run("claude --mint -p hi");
    assert!(
        done.err.contains("vk_1") && !done.err.contains(MINTED),
        "{}",
        done.err
    );
    let started = done.tool_start();
    assert_eq!(started.value("ANTHROPIC_AUTH_TOKEN"), Some(MINTED));
    assert_eq!(started.arguments, ["-p", "hi"]);
    // The second time it is there, without the flag and without a word.
    let done = shell.run("claude");
    assert_eq!(
        done.tool_start().value("ANTHROPIC_AUTH_TOKEN"),
        Some(MINTED)
    );
    assert_eq!(done.err, "");
    let seen = api.requests();
    assert_eq!(seen.len(), 2, "minted once");
    assert_eq!(seen[1].line(), "POST /api/gateway/v1/virtual-keys");
    insta::assert_snapshot!(seen[1].json().compact(), @r#"{"name":"Coding tools","description":"Made by the command line, for coding tools.","scopes":[{"scope_type":"organization","scope_id":"org_1"}]}"#);
    let kept = fs::read_to_string(shell.config_path()).expect("kept");
    let kept = Json::parse(&kept).expect("JSON");
    assert_eq!(
        kept.at(&["default_personal_vk", "secret"]),
        Some(&MINTED.into())
    );
    assert_eq!(
        kept.at(&["default_personal_vk", "id"]),
        Some(&"vk_1".into())
    );
    use std::os::unix::fs::PermissionsExt;
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&shell.config_path()), 0o600);
}

#[test]
fn mint_in_a_project_makes_a_key_of_that_project_and_of_the_signed_in_person() {
    let minted = minted();
    let api = Server::answering([(201, &minted)]);
    let shell = Shell::at(&api)
        .config(r#"{"user":{"id":"user_1"}}"#)
        .var("LANGWATCH_PROJECT_ID", "proj_1")
        .var("LANGWATCH_GATEWAY_URL", "http://gateway.test");
    let json = shell.run("env --mint -f json").json();
    assert_eq!(json.text("GEMINI_API_KEY"), Some(MINTED));
    let seen = api.only_request();
    assert_eq!(seen.header("x-project-id"), Some("proj_1"));
    assert_eq!(seen.json().text("principal_user_id"), Some("user_1"));
    assert_eq!(seen.json().get("scopes"), None);
}

#[test]
fn a_kept_key_that_is_refused_is_replaced_only_when_asked() {
    let minted = minted();
    let api = Server::answering([(200, ORGANIZATION), (201, &minted)]);
    let gateway = Server::answering([(401, REFUSED), (401, REFUSED), (200, MODELS)]);
    let config = format!(r#"{{"default_personal_vk":{{"id":"vk_0","secret":"{VIRTUAL_KEY}"}}}}"#);
    let shell = Shell::at(&api)
        .tools(&["claude"])
        .config(&config)
        .var("LANGWATCH_GATEWAY_URL", &gateway.endpoint);
    let done = shell.run("claude");
    assert!(done.failed().contains("pass --mint"), "{}", done.err);
    let started = shell.run("claude --mint").tool_start();
    assert_eq!(started.value("ANTHROPIC_AUTH_TOKEN"), Some(MINTED));
}

#[test]
fn a_person_is_asked_and_no_is_no() {
    let minted = minted();
    let api = Server::answering([(200, ORGANIZATION), (201, &minted)]);
    let shell = Shell::at(&api).var("LANGWATCH_GATEWAY_URL", "http://gateway.test");
    let shell = shell.typing("n\n");
    assert!(shell.run("env").failed().contains("[y/N]"));
    assert!(!shell.config_path().exists());
    let shell = shell.typing("y\n");
    assert!(shell.run("env").ok().contains(MINTED));
}

#[test]
fn the_control_plane_says_where_the_gateway_is() {
    let answer = r#"{"gateway_url":"https://ai.example.com/"}"#;
    let api = Server::answering([(200, answer), (404, "{}"), (200, "<html>")]);
    let shell = Shell::at(&api).var("LANGWATCH_VIRTUAL_KEY", VIRTUAL_KEY);
    let line = |shell: &Shell| shell.run("env --jq .ANTHROPIC_BASE_URL").json().display();
    assert_eq!(line(&shell), "https://ai.example.com");
    // One that does not know leaves the default.
    assert_eq!(line(&shell), "http://127.0.0.1:5563");
    assert_eq!(line(&shell), "http://127.0.0.1:5563");
    let seen = api.requests();
    assert_eq!(seen[0].line(), "GET /.well-known/langwatch");
    assert_eq!(seen[0].header("authorization"), None);
}
