//! `completions` for every shell.

use super::Shell;

#[test]
fn every_shell_gets_a_script_with_client_and_server_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = Shell::new().run(&format!("completions {shell}"));
        let script = done.ok();
        for word in [
            "gateway-budgets",
            "routing-policies",
            "serve",
            "allow-unreachable",
        ] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
        assert_eq!(done.err, "");
    }
}

#[test]
fn the_short_name_is_completed_too() {
    let done = Shell::new().run("completions BASH --name lw");
    assert!(done.ok().contains("complete -F _lw"), "{}", done.out);
}

#[test]
fn an_unknown_shell_is_refused_with_the_known_ones() {
    let done = Shell::new().run("completions tcsh");
    assert!(
        done.failed().contains("possible values: bash"),
        "{}",
        done.err
    );
    assert_eq!(done.out, "");
}
