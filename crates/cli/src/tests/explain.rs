//! `explain` against a scripted server.

use super::{Server, Shell, compact};

const PASSES: &str = r#"{"steps":[
    {"stage":"authentication","outcome":"pass","detail":"The key web is active."},
    {"stage":"model","outcome":"info","detail":"fast is an alias of openai/gpt-5-mini."},
    {"stage":"policy_tools","outcome":"skip","detail":"No rule about tools."},
    {"stage":"budget","outcome":"warn","detail":"web-monthly: $4.55 of $5.00, 91 %."}],
    "would_dispatch":[
    {"provider":"openai","model_provider_id":"mp_1","model":"gpt-5-mini","note":null},
    {"provider":"anthropic","model_provider_id":"mp_2","model":"claude-haiku-4-5","note":"a substitute"}],
    "refusal":null}"#;

const REFUSED: &str = r#"{"steps":[
    {"stage":"authentication","outcome":"pass","detail":"The key web is active."},
    {"stage":"policy_tools","outcome":"refuse","detail":"shell matches deny \u001b[2J ^sh."}],
    "would_dispatch":[],
    "refusal":{"code":"tool_not_allowed","status":403,"message":"The tool shell is not allowed."}}"#;

#[test]
fn what_would_be_dispatched_is_a_list_of_marks_and_a_table() {
    let server = Server::answering([(200, PASSES), (200, PASSES)]);
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_9");
    let words = "explain --key vk_1 --model fast";
    insta::assert_snapshot!(shell.run(words).ok());
    let machine = shell.run(&format!("{words} -f json"));
    assert_eq!(machine.json().compact(), compact(PASSES));
    for seen in server.requests() {
        assert_eq!(
            seen.line(),
            "POST /api/gateway/v1/virtual-keys/vk_1/check-request"
        );
        assert_eq!(seen.header("x-project-id"), Some("proj_9"));
        assert_eq!(seen.body, r#"{"model":"fast"}"#);
    }
}

#[test]
fn a_refusal_is_the_result_and_exits_with_1() {
    let server = Server::answering([(200, REFUSED), (200, REFUSED), (200, REFUSED)]);
    let shell = Shell::at(&server);
    let done = shell.run("explain --key vk_1 --tool shell");
    assert_eq!(done.failed(), "", "it is no failure of the command");
    insta::assert_snapshot!(done.out);
    let done = shell.run("explain --key vk_1 --tool shell --jq .refusal.code");
    done.failed();
    assert_eq!(done.out, "\"tool_not_allowed\"\n");
    let coloured = shell.coloured().run("explain --key vk_1 --tool shell");
    coloured.failed();
    insta::assert_snapshot!("a_refusal_in_colour", coloured.out.replace('\u{1b}', "ESC"));
}

#[test]
fn every_flag_is_a_part_of_the_question() {
    let server = Server::answering([(200, PASSES)]);
    Shell::at(&server)
        .run_words(&[
            "explain",
            "--key",
            "vk/1",
            "--model",
            "m",
            "--endpoint",
            "/v1/responses",
            "--tool",
            "a",
            "--tool",
            "b",
            "--mcp",
            "files",
            "--url",
            "https://example.com",
            "--end-user",
            "u 1",
            "--header",
            "X-LangWatch-Cache: force",
            "--header",
            "x-a:b:c",
            "--stream",
            "--max-output-tokens",
            "9",
        ])
        .ok();
    let seen = server.only_request();
    assert_eq!(
        seen.path,
        "/api/gateway/v1/virtual-keys/vk%2F1/check-request"
    );
    let expected = r#"{"endpoint":"/v1/responses","model":"m","tools":["a","b"],"mcp":["files"],
        "urls":["https://example.com"],"end_user_id":"u 1",
        "headers":{"X-LangWatch-Cache":"force","x-a":"b:c"},"stream":true,"max_output_tokens":9}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn a_whole_body_travels_as_its_text() {
    let text = "{\"model\": \"m\",  \"n\": 1.10}\n";
    let server = Server::answering([(200, PASSES), (200, PASSES)]);
    let shell = Shell::at(&server).file("request.json", text).input(text);
    for path in ["request.json", "-"] {
        let words = [
            "explain",
            "--key",
            "vk_1",
            "--end-user",
            "u",
            "--body",
            path,
        ];
        shell.run_words(&words).ok();
    }
    for seen in server.requests() {
        let body = seen.json();
        assert_eq!(body.text("body"), Some(text));
        assert_eq!(body.text("end_user_id"), Some("u"));
    }
}

#[test]
fn mistakes_are_told_before_any_call() {
    let shell = Shell::new();
    for (words, said) in [
        ("explain --model m", "--key <ID>"),
        ("explain --key k --body b --tool t", "cannot be used with"),
        (
            "explain --key k --header secret-value",
            "expected name:value",
        ),
        (
            "explain --key k --body missing.json",
            "Cannot read missing.json",
        ),
    ] {
        let done = shell.run(words);
        assert!(done.failed().contains(said), "{words}: {}", done.err);
    }
}

#[test]
fn an_answer_of_a_newer_server_is_shown_as_far_as_it_is_understood() {
    let answer = r#"{"steps":[{"stage":"x","outcome":"ponder","detail":null}],"more":1}"#;
    let server = Server::answering([(200, answer), (200, "{}")]);
    let shell = Shell::at(&server);
    insta::assert_snapshot!(shell.run("explain --key vk_1").ok(), @r"
    ponder x  -

    No provider was named.
    ");
    assert_eq!(
        shell.run("explain --key vk_1").ok(),
        "No provider was named.\n"
    );
}
