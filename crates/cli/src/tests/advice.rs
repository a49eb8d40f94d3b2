//! The table of what to do about refusals.

use clap::{Command, CommandFactory};

use super::{Cli, Server, Shell};
use crate::advice::{ADVICE, When};
use crate::failure::Failure;
use crate::json::Json;

/// A refusal with this code that fits the condition and knows every name of the line.
fn refusal(code: &str, when: When, line: &str) -> Failure {
    let mut meta = Json::Object(Vec::new());
    let names = line
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    for (name, _) in names {
        meta.set(name, format!("some-{}", name.replace('_', "-")).into());
    }
    match when {
        When::Always | When::Lacks(_) => {}
        When::Has(name) => meta.set(name, "something".into()),
        When::Is(name, value) => meta.set(name, value.into()),
    }
    let error = Json::object([
        ("code", code.into()),
        ("message", "No.".into()),
        ("meta", meta),
    ]);
    let body = Json::object([("error", error)]).compact();
    Failure::from_response(400, None, &body)
}

/// The commands that a line names, without their placeholders.
fn commands(line: &str) -> Vec<Vec<&str>> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.strip_prefix("langwatch "))
        .map(|text| text.split_whitespace().collect())
        .collect()
}

/// Follows the words to a command, and checks that it has the flags among them.
fn check(root: &Command, words: &[&str], line: &str) {
    let mut command = root;
    let mut depth = 0;
    for word in words {
        match command.find_subcommand(word) {
            Some(found) => (command, depth) = (found, depth + 1),
            None => break,
        }
    }
    assert!(depth > 0, "{line}: no such command");
    assert!(
        command.get_subcommands().next().is_none(),
        "{line}: this is a group"
    );
    for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
        assert!(
            command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(flag)),
            "{line}: no flag --{flag}"
        );
    }
}

#[test]
fn every_line_is_said_whole_and_names_commands_that_exist() {
    let mut root = Cli::command();
    root.build();
    for (code, when, line) in ADVICE {
        let said = refusal(code, *when, line).suggestions;
        let start = line.split('{').next().unwrap_or_default();
        let found = said.iter().find(|text| text.starts_with(start));
        let text = found.unwrap_or_else(|| panic!("{code}: {said:?} lacks {line}"));
        assert!(!text.contains(['{', '}']), "{text}");
        assert!(text.ends_with('.'), "{text}");
        for words in commands(line) {
            check(&root, &words, line);
        }
    }
}

#[test]
fn a_refusal_says_nothing_that_its_facts_do_not_support() {
    for (code, meta, count) in [
        ("external_id_conflict", r#"{"resource":"budget"}"#, 0),
        (
            "external_id_conflict",
            r#"{"resource":"budget","external_id":"e"}"#,
            1,
        ),
        ("external_id_conflict", "{}", 1),
        (
            "gateway_budget_scope_unreachable",
            r#"{"scope_type":"TEAM"}"#,
            2,
        ),
        ("gateway_budget_scope_unreachable", "{}", 1),
        ("idempotency_error", r#"{"reason":"in_progress"}"#, 1),
        ("validation_error", r#"{"fields":[]}"#, 1),
        ("something_else", "{}", 0),
    ] {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m","meta":{meta}}}}}"#);
        let said = Failure::from_response(400, None, &body).suggestions;
        assert_eq!(said.len(), count, "{code} {meta}: {said:?}");
    }
}

#[test]
fn people_and_machines_get_the_same_advice() {
    let refusal = r#"{"error":{"code":"validation_error","message":"Not valid.",
        "meta":{"target":"json","fields":["limit_usd","name"]}}}"#;
    let server = Server::answering([(400, refusal), (400, refusal)]);
    let shell = Shell::at(&server);
    insta::assert_snapshot!(shell.run("gateway-budgets get bgt_1").failed(), @r#"
    Failed to get the budget: Not valid.
    Details:
      code    validation_error
      status  400
      target  json
      fields  ["limit_usd","name"]
    Suggestions:
      • Correct limit_usd, name; the command with `--help` explains every flag.
    "#);
    let done = shell.run("gateway-budgets get bgt_1 -f json");
    done.failed();
    let document = Json::parse(&done.out).expect("a document");
    let said = document.at(&["error", "suggestions"]).map(Json::compact);
    assert_eq!(
        said.as_deref(),
        Some(r#"["Correct limit_usd, name; the command with `--help` explains every flag."]"#)
    );
}

#[test]
fn what_the_server_suggests_comes_first() {
    let body = r#"{"error":"forbidden","message":"No.","tips":["Ask Ada."]}"#;
    let said = Failure::from_response(403, None, body).suggestions;
    assert_eq!(said.len(), 2);
    assert_eq!(said[0], "Ask Ada.");
}

#[test]
fn an_unknown_401_still_shows_the_way_in() {
    let said = Failure::from_response(401, None, r#"{"error":{"code":"odd"}}"#).suggestions;
    assert!(said[0].contains("langwatch login"), "{said:?}");
}
