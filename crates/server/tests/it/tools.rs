//! The wrappers of coding tools, down to the process: a stand-in on the `PATH` calls the gateway with
//! what it was given. The tools themselves run in `tests/cli`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{CliRun, Gateway};

/// A folder with a program of this name.
fn stand_in(name: &str, script: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    folder
}

fn run(gateway: &Gateway, folder: &TempDir, more: &[(&str, &str)], words: &[&str]) -> CliRun {
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let variables = [&[("PATH", path.as_str())], more].concat();
    gateway.cli_with(&variables, words)
}

#[test]
fn a_tool_reaches_the_gateway_that_the_control_plane_names_and_its_exit_code_is_ours() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let folder = stand_in(
        "claude",
        r#"[ -z "${ANTHROPIC_API_KEY+set}" ] || exit 9
printf '<%s>' "$@"; echo
curl -sS "$ANTHROPIC_BASE_URL/v1/messages" -H "Authorization: Bearer $ANTHROPIC_AUTH_TOKEN" \
    -H 'Content-Type: application/json' \
    -d '{"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}'
exit 7"#,
    );
    let variables = [
        ("LANGWATCH_VIRTUAL_KEY", key.secret.as_str()),
        ("ANTHROPIC_API_KEY", "sk-ant-of-the-person"),
    ];
    let ran = run(
        &gateway,
        &folder,
        &variables,
        &["claude", "-p", "a  b", "", "--help", "--", "--mint"],
    );
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"<-p><a  b><><--help><--><--mint>"));
    assert!(ran.stdout.contains("You said: Hello"), "{ran:?}");
}

#[test]
fn a_tool_takes_the_place_of_the_wrapper_so_that_signals_are_its_own() {
    let (gateway, _mock, key) = Gateway::with_provider();
    let folder = stand_in("codex", "echo $$");
    let child = Command::new(env!("CARGO_BIN_EXE_langwatch"))
        .arg("codex")
        .env_clear()
        .env("PATH", folder.path())
        .env("HOME", folder.path())
        .env("LANGWATCH_VIRTUAL_KEY", &key.secret)
        .env("LANGWATCH_GATEWAY_URL", format!("http://{}", gateway.addr))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let pid = child.id();
    let output = child.wait_with_output().expect("its output");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        pid.to_string()
    );
}

#[test]
fn a_minted_key_serves_every_later_tool_until_it_is_revoked() {
    let (gateway, _mock, _key) = Gateway::with_provider();
    let folder = stand_in("codex", "echo $LANGWATCH_VIRTUAL_KEY");
    let signed_in = [("LANGWATCH_API_KEY", gateway.api_key())];
    let first = run(&gateway, &folder, &signed_in, &["codex", "--mint"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.starts_with("vk-lw-"), "{first:?}");
    // No credential is needed any more.
    let second = run(&gateway, &folder, &[], &["codex"]);
    assert_eq!((second.code, &second.stdout), (Some(0), &first.stdout));

    let keys = gateway.cli(&["virtual-keys", "list", "-f", "json"]).json();
    let minted = keys.as_array().expect("a list").iter();
    let mut minted = minted.filter(|key| key["name"] == "Coding tools");
    let id = minted.next().expect("one")["id"].clone();
    assert!(minted.next().is_none(), "one key for two runs");
    let id = id.as_str().expect("an id");
    gateway.cli(&["virtual-keys", "revoke", id]);
    let refused = run(&gateway, &folder, &signed_in, &["codex"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("virtual_key_revoked") && refused.stderr.contains("--mint"),
        "{refused:?}"
    );
    let again = run(&gateway, &folder, &signed_in, &["codex", "--mint"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_ne!(again.stdout, first.stdout);
}
