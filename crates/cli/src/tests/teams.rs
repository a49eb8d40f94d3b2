//! `teams` against a scripted server.

use super::{Shell, both_forms};

const TEAM: &str = r#"{"id":"team_1","name":"Platform","slug":"platform","organizationId":"org_1",
    "createdAt":"2026-07-01T10:00:00.000Z","updatedAt":"2026-07-02T10:00:00.000Z"}"#;

fn page(rows: &str, total: u32) -> String {
    format!(r#"{{"data":[{rows}],"pagination":{{"page":1,"limit":200,"total":{total}}}}}"#)
}

#[test]
fn list_fetches_all_and_names_each() {
    let (seen, human) = both_forms(&["teams", "list"], &page(TEAM, 1), &page(TEAM, 1));
    assert_eq!(seen.line(), "GET /api/teams?page=1&limit=200");
    insta::assert_snapshot!(human, @r"
    ID      Name      Slug      Created
    ────────────────────────────────────────────
    team_1  Platform  platform  2026-07-01 10:00
    ");
    let (seen, human) = both_forms(
        &["teams", "list", "--page", "2", "--limit", "10"],
        &page("", 1),
        &page("", 1),
    );
    assert_eq!(seen.line(), "GET /api/teams?page=2&limit=10");
    assert!(human.starts_with("No teams found."));
}

#[test]
fn get_shows_one_team() {
    let (seen, human) = both_forms(&["teams", "get", "platform"], TEAM, TEAM);
    assert_eq!(seen.line(), "GET /api/teams/platform");
    insta::assert_snapshot!(human, @r"
    ID            team_1
    Name          Platform
    Slug          platform
    Organization  org_1
    Created       2026-07-01 10:00
    Updated       2026-07-02 10:00
    ");
}

#[test]
fn create_and_update_send_the_name() {
    let (seen, human) = both_forms(&["teams", "create", "--name", "Platform"], TEAM, TEAM);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("POST /api/teams", r#"{"name":"Platform"}"#)
    );
    assert!(
        human.starts_with("Team \"Platform\" created.\n\nID "),
        "{human}"
    );
    let (seen, human) = both_forms(&["teams", "update", "t/1", "--name", "X"], TEAM, TEAM);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("PATCH /api/teams/t%2F1", r#"{"name":"X"}"#)
    );
    assert!(human.starts_with("Team \"Platform\" updated.\n"), "{human}");
    let done = Shell::new().run("teams update team_1");
    assert!(done.failed().contains("at least one of --name."));
}

#[test]
fn archive_says_so() {
    let answer = r#"{"id":"team_1","name":"Platform","archivedAt":"2026-07-25T17:20:00.000Z"}"#;
    let (seen, human) = both_forms(&["teams", "archive", "team_1"], answer, answer);
    assert_eq!(seen.line(), "DELETE /api/teams/team_1");
    assert_eq!(human, "Team team_1 archived.\n");
}

#[test]
fn members_are_listed_added_and_removed() {
    let rows = r#"{"data":[{"userId":"user_1","name":"Ada","email":"ada@example.com","role":"ADMIN"},
        {"userId":"user_2","name":null,"email":"bob@example.com","role":"MEMBER"}]}"#;
    let (seen, human) = both_forms(&["teams", "members", "list", "team_1"], rows, rows);
    assert_eq!(seen.line(), "GET /api/teams/team_1/members");
    insta::assert_snapshot!(human, @r"
    User    Name  Email            Role
    ─────────────────────────────────────
    user_1  Ada   ada@example.com  ADMIN
    user_2  -     bob@example.com  MEMBER
    ");

    let added = r#"{"userId":"user_1","role":"ADMIN"}"#;
    let words = [
        "teams", "members", "add", "team_1", "user_1", "--role", "admin",
    ];
    let (seen, human) = both_forms(&words, added, added);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("POST /api/teams/team_1/members", added)
    );
    assert_eq!(human, "user_1 is a member of team team_1.\n");
    let words = ["teams", "members", "add", "team_1", "user_1"];
    let (seen, _) = both_forms(&words, added, added);
    assert_eq!(seen.body, r#"{"userId":"user_1"}"#);

    // An empty answer is a success too.
    let words = ["teams", "members", "remove", "team_1", "user_1"];
    let (seen, human) = both_forms(&words, "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/teams/team_1/members/user_1");
    assert_eq!(human, "user_1 is no longer a member of team team_1.\n");
}

#[test]
fn an_empty_team_says_how_to_fill_it() {
    let (_, human) = both_forms(
        &["teams", "members", "list", "t"],
        r#"{"data":[]}"#,
        r#"{"data":[]}"#,
    );
    assert!(human.contains("langwatch teams members add"), "{human}");
}

#[test]
fn projects_of_a_team_are_listed() {
    let answer = r#"{"data":[{"id":"proj_1","name":"web","slug":"web","teamId":"team_1"}]}"#;
    let (seen, human) = both_forms(&["teams", "projects", "list", "team_1"], answer, answer);
    assert_eq!(
        seen.line(),
        "GET /api/teams/team_1/projects?page=1&limit=200"
    );
    insta::assert_snapshot!(human, @r"
    ID      Name  Slug  Team    Language  Framework  Created
    ────────────────────────────────────────────────────────
    proj_1  web   web   team_1  -         -          -
    ");
}
