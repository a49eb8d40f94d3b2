//! `projects` against a scripted server, and the walk over numbered pages.

use super::{Seen, Server, Shell, both_forms, compact};

const PROJECT: &str = r#"{"id":"proj_1","name":"web","slug":"web","language":"typescript",
    "framework":"openai","teamId":"team_1","createdAt":"2026-07-01T10:00:00.000Z",
    "updatedAt":"2026-07-02T10:00:00.000Z"}"#;

const KEY: &str = "sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn list_walks_all_pages() {
    let server = Server::answering([
        (
            200,
            r#"{"data":[{"id":"a"},{"id":"b"}],"pagination":{"page":1,"limit":200,"total":3}}"#,
        ),
        (
            200,
            r#"{"data":[{"id":"c"}],"pagination":{"page":2,"limit":200,"total":3}}"#,
        ),
    ]);
    let done = Shell::at(&server).run("projects list -f json");
    let expected = r#"{"data":[{"id":"a"},{"id":"b"},{"id":"c"}],"pagination":{"page":1,"limit":200,"total":3}}"#;
    assert_eq!(done.json().compact(), expected);
    let lines: Vec<String> = server.requests().iter().map(Seen::line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/projects?page=1&limit=200",
            "GET /api/projects?page=2&limit=200"
        ]
    );
}

#[test]
fn a_list_that_shrinks_while_it_is_read_ends() {
    let page = r#"{"data":[{"id":"a"}],"pagination":{"page":1,"limit":1,"total":9}}"#;
    let end = r#"{"data":[],"pagination":{"page":2,"limit":1,"total":9}}"#;
    let server = Server::answering([(200, page), (200, end)]);
    let done = Shell::at(&server).run("projects list --jq .data");
    assert_eq!(done.json().compact(), r#"[{"id":"a"}]"#);
}

#[test]
fn a_page_or_a_limit_asks_once() {
    for (words, query) in [
        ("--page 3", "page=3"),
        ("--limit 5", "limit=5"),
        ("--page 2 --limit 5", "page=2&limit=5"),
    ] {
        let page = r#"{"data":[{"id":"a"}],"pagination":{"page":2,"limit":1,"total":9}}"#;
        let server = Server::answering([(200, page)]);
        let done = Shell::at(&server).run(&format!("projects list {words} -f json"));
        assert_eq!(done.json().compact(), page);
        assert_eq!(
            server.only_request().line(),
            format!("GET /api/projects?{query}")
        );
    }
    let done = Shell::new().run("projects list --limit 1001");
    assert!(done.failed().contains("1001"), "{}", done.err);
}

#[test]
fn list_for_people() {
    let page = format!(r#"{{"data":[{PROJECT}],"pagination":{{"page":1,"limit":200,"total":1}}}}"#);
    let (_, human) = both_forms(&["projects", "list"], &page, &page);
    insta::assert_snapshot!(human, @r"
    ID      Name  Slug  Team    Language    Framework  Created
    ───────────────────────────────────────────────────────────────────
    proj_1  web   web   team_1  typescript  openai     2026-07-01 10:00
    ");
    let empty = r#"{"data":[],"pagination":{"page":1,"limit":200,"total":0}}"#;
    let (_, human) = both_forms(&["projects", "list"], empty, empty);
    assert!(human.starts_with("No projects found. Create one with:\n"));
}

#[test]
fn get_shows_one_project() {
    let (seen, human) = both_forms(&["projects", "get", "web"], PROJECT, PROJECT);
    assert_eq!(seen.line(), "GET /api/projects/web");
    insta::assert_snapshot!(human, @r"
    ID         proj_1
    Name       web
    Slug       web
    Team       team_1
    Language   typescript
    Framework  openai
    Created    2026-07-01 10:00
    Updated    2026-07-02 10:00
    ");
}

#[test]
fn create_prints_the_key_of_the_service_account() {
    let answer = PROJECT.replacen(
        '{',
        &format!(r#"{{"serviceApiKey":"{KEY}","serviceApiKeyId":"ak_1","#),
        1,
    );
    let words =
        "projects create --name web --language typescript --framework openai --team-id team_1";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, &answer, &answer);
    assert_eq!(seen.line(), "POST /api/projects");
    assert_eq!(
        seen.body,
        r#"{"name":"web","language":"typescript","framework":"openai","teamId":"team_1"}"#
    );
    insta::assert_snapshot!(human, @r#"
    Project "web" created.
    Copy the key now: it is shown only once.

    sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef

    export LANGWATCH_API_KEY="sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef"

    ID         proj_1
    Name       web
    Slug       web
    Team       team_1
    Language   typescript
    Framework  openai
    Created    2026-07-01 10:00
    Updated    2026-07-02 10:00
    "#);
}

#[test]
fn create_takes_one_team_only() {
    let words = "projects create --name a --language b --framework c --new-team-name";
    let server = Server::answering([(201, PROJECT)]);
    let done = Shell::at(&server).run(&format!("{words} Research"));
    // Without a key in the answer there is none to copy.
    assert!(done.ok().starts_with("Project \"web\" created.\n\nID "));
    assert!(!done.ok().contains("export"), "{}", done.out);
    assert_eq!(
        server.only_request().body,
        r#"{"name":"a","language":"b","framework":"c","newTeamName":"Research"}"#
    );
    let done = Shell::new().run(&format!("{words} Research --team-id team_1"));
    assert!(
        done.failed().contains("cannot be used with"),
        "{}",
        done.err
    );
}

#[test]
fn update_sends_what_was_said() {
    let words = "projects update web --name w2 --language python --framework other \
                 --pii-redaction-level strict";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, PROJECT, PROJECT);
    assert_eq!(seen.line(), "PATCH /api/projects/web");
    assert_eq!(
        seen.body,
        compact(
            r#"{"name":"w2","language":"python","framework":"other","piiRedactionLevel":"STRICT"}"#
        )
    );
    assert!(human.starts_with("Project \"web\" updated.\n"), "{human}");
    let done = Shell::new().run("projects update web");
    assert!(done.failed().starts_with("Error: nothing to update."));
}

#[test]
fn delete_archives() {
    let answer = r#"{"id":"proj_1","name":"web","archivedAt":"2026-07-25T17:20:00.000Z"}"#;
    let (seen, human) = both_forms(&["projects", "delete", "proj_1"], answer, answer);
    assert_eq!(seen.line(), "DELETE /api/projects/proj_1");
    assert_eq!(human, "Project proj_1 archived.\n");
}

#[test]
fn the_key_of_a_project_is_printed_on_request() {
    let answer = format!(r#"{{"apiKey":"{KEY}"}}"#);
    let (seen, human) = both_forms(&["projects", "api-key", "web"], &answer, &answer);
    assert_eq!(seen.line(), "GET /api/projects/web/api-key");
    insta::assert_snapshot!(human, @r#"
    The key of project web:

    sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef

    export LANGWATCH_API_KEY="sk-lw-0123456789abcdef0123456789abcdef0123456789abcdef"
    "#);
    let (seen, human) = both_forms(&["projects", "regenerate-api-key", "web"], &answer, &answer);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("POST /api/projects/web/regenerate-api-key", "{}")
    );
    assert!(
        human.starts_with("Project web has a new key; the old one no longer works.\n"),
        "{human}"
    );
}
