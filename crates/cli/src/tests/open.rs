//! `open`, on a machine whose programs are known.

use super::Shell;

#[test]
fn a_page_opens_in_the_named_browser() {
    let shell = Shell::new()
        .var("LANGWATCH_ENDPOINT", "https://lw.example/")
        .programs(&["firefox", "/opt/b"]);
    for (words, started) in [
        ("open --browser firefox", "firefox https://lw.example/"),
        (
            "open gateway/virtual-keys --browser /opt/b",
            "/opt/b https://lw.example/gateway/virtual-keys",
        ),
        (
            "open /settings/members --browser /opt/b -f json",
            "/opt/b https://lw.example/settings/members",
        ),
    ] {
        let done = shell.run(words);
        done.ok();
        assert_eq!(done.started, [started]);
    }
    let done = shell.run("open a --browser firefox");
    assert_eq!(done.ok(), "✓ Opened https://lw.example/a\n");
    let done = shell.run("open a --browser firefox -f json");
    assert_eq!(
        done.json().compact(),
        r#"{"url":"https://lw.example/a","opened":true}"#
    );
}

#[test]
fn none_prints_the_address_only() {
    let shell = Shell::new().var("LANGWATCH_UI_ENDPOINT", "https://ui.example");
    let done = shell.run("open x --browser None");
    assert_eq!(done.ok(), "https://ui.example/x\n");
    assert!(done.started.is_empty());
    let shell = shell.var("LANGWATCH_BROWSER", "none");
    assert_eq!(shell.run("open x").ok(), "https://ui.example/x\n");
    let done = shell.run("open x -o agents");
    assert_eq!(
        done.ok(),
        "{\"url\":\"https://ui.example/x\",\"opened\":false}\n"
    );
}

#[test]
fn the_flag_beats_the_variable() {
    let shell = Shell::new()
        .var("LANGWATCH_BROWSER", "none")
        .programs(&["firefox"]);
    let done = shell.run("open --browser firefox");
    done.ok();
    assert_eq!(done.started, ["firefox http://127.0.0.1:5560/"]);
}

#[test]
fn a_machine_without_a_browser_is_told_the_address() {
    let done = Shell::new().run("open settings/members --browser firefox");
    let message = done.failed();
    assert!(
        message.contains("Open http://127.0.0.1:5560/settings/members yourself"),
        "{message}"
    );
    assert!(message.contains("--browser none"), "{message}");
}

#[test]
fn an_address_stays_on_the_server() {
    let shell = Shell::new().var("LANGWATCH_ENDPOINT", "https://lw.example");
    let done = shell.run_words(&["open", "//evil.example/a b", "--browser", "none"]);
    assert_eq!(done.ok(), "https://lw.example/evil.example/a%20b\n");
}
