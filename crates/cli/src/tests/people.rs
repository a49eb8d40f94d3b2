//! `members` and `invites` against a scripted server.

use super::{Seen, Server, Shell, both_forms, compact};

const MEMBER: &str = r#"{"userId":"user_1","name":"Ada","email":"ada@example.com","role":"ADMIN",
    "disabledAt":null,"createdAt":"2026-07-01T10:00:00.000Z"}"#;

const INVITES: &str = r#"{"invites":[{"id":"inv_1","email":"ada@example.com","role":"MEMBER",
    "teams":[{"teamId":"team_1","role":"ADMIN"}],"status":"pending",
    "inviteUrl":"https://ui.example/invite/accept?code=abc"}]}"#;

#[test]
fn members_are_walked_whole() {
    let answer = format!(
        r#"{{"members":[{MEMBER},{{"role":"MEMBER","disabledAt":"2026-07-03T10:00:00.000Z",
            "user":{{"id":"user_2","name":"Bob","email":"bob@example.com"}}}}],"totalCount":2}}"#
    );
    let (seen, human) = both_forms(&["members", "list", "--include-disabled"], &answer, &answer);
    assert_eq!(
        seen.line(),
        "GET /api/organization/members?includeDisabled=true&offset=0&limit=200"
    );
    insta::assert_snapshot!(human, @r"
    User    Name  Email            Role    Status    Joined
    ─────────────────────────────────────────────────────────────────
    user_1  Ada   ada@example.com  ADMIN   active    2026-07-01 10:00
    user_2  Bob   bob@example.com  MEMBER  disabled  -
    ");
}

#[test]
fn members_are_cut_on_request() {
    let server = Server::answering([(200, r#"{"members":[],"totalCount":9}"#)]);
    let done = Shell::at(&server).run("members list --offset 3 --limit 2");
    assert!(done.ok().starts_with("No members found."));
    let line = server.only_request().line();
    assert_eq!(line, "GET /api/organization/members?offset=3&limit=2");
}

#[test]
fn a_member_is_shown_and_changed() {
    let (seen, human) = both_forms(&["members", "get", "user_1"], MEMBER, MEMBER);
    assert_eq!(seen.line(), "GET /api/organization/members/user_1");
    insta::assert_snapshot!(human, @r"
    User    user_1
    Name    Ada
    Email   ada@example.com
    Role    ADMIN
    Status  active
    Joined  2026-07-01 10:00
    ");
    for (words, body, sentence) in [
        (
            "update user_1 --role External",
            r#"{"role":"EXTERNAL"}"#,
            "updated",
        ),
        ("disable user_1", r#"{"disabled":true}"#, "disabled"),
        ("enable user_1", r#"{"disabled":false}"#, "enabled"),
    ] {
        let words = format!("members {words}");
        let words: Vec<&str> = words.split_whitespace().collect();
        let (seen, human) = both_forms(&words, MEMBER, MEMBER);
        assert_eq!(seen.line(), "PATCH /api/organization/members/user_1");
        assert_eq!(seen.body, body);
        assert!(
            human.starts_with(&format!("Member \"Ada\" {sentence}.\n")),
            "{human}"
        );
    }
    let (seen, human) = both_forms(&["members", "remove", "user_1"], "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/organization/members/user_1");
    assert_eq!(human, "Member user_1 removed.\n");
}

#[test]
fn access_is_a_table_of_bindings() {
    let answer = r#"{"userId":"user_1","bindings":[
        {"role":"ADMIN","scopeType":"TEAM","scopeId":"team_1"},
        {"role":"CUSTOM","customRoleId":"role_1","scopeType":"PROJECT","scopeId":"p","groupId":"g"}]}"#;
    let (seen, human) = both_forms(&["members", "access", "user_1"], answer, answer);
    assert_eq!(seen.line(), "GET /api/organization/members/user_1/access");
    insta::assert_snapshot!(human, @r"
    Role    Custom role  Scope type  Scope   Group
    ──────────────────────────────────────────────
    ADMIN   -            TEAM        team_1  -
    CUSTOM  role_1       PROJECT     p       g
    ");
    let administrator = r#"{"userId":"user_1","role":"ADMIN","disabledAt":null,"bindings":[]}"#;
    let words = ["members", "access", "user_1"];
    let (_, human) = both_forms(&words, administrator, administrator);
    insta::assert_snapshot!(human, @r"
    Organization role  ADMIN
    Status             active

    This person has no role bindings.
    ");
    let other = r#"{"everything":true}"#;
    let (_, human) = both_forms(&["members", "access", "user_1"], other, other);
    assert_eq!(human, "{\n  \"everything\": true\n}\n");
}

#[test]
fn invites_are_listed_and_revoked() {
    let (seen, human) = both_forms(&["invites", "list"], INVITES, INVITES);
    assert_eq!(seen.line(), "GET /api/organization/invites");
    insta::assert_snapshot!(human, @r"
    ID     Email            Role    Teams         Status   Expires  Link
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    inv_1  ada@example.com  MEMBER  team_1:ADMIN  pending  -        https://ui.example/invite/accept?code=abc
    ");
    let (seen, human) = both_forms(&["invites", "revoke", "inv_1"], "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/organization/invites/inv_1");
    assert_eq!(human, "Invite inv_1 revoked.\n");
    let empty = r#"{"invites":[]}"#;
    let (_, human) = both_forms(&["invites", "list"], empty, empty);
    assert!(human.starts_with("No pending invites."));
}

#[test]
fn invites_are_made_from_flags() {
    let words = "invites create --email ada@example.com --email bob@example.com --role Member \
                 --team team_1:admin --team team_2";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, INVITES, INVITES);
    assert_eq!(seen.line(), "POST /api/organization/invites");
    let teams = r#"[{"teamId":"team_1","role":"ADMIN"},{"teamId":"team_2","role":"MEMBER"}]"#;
    let expected = format!(
        r#"{{"invites":[{{"email":"ada@example.com","role":"MEMBER","teams":{teams}}},
            {{"email":"bob@example.com","role":"MEMBER","teams":{teams}}}]}}"#
    );
    assert_eq!(seen.body, compact(&expected));
    insta::assert_snapshot!(human, @r"
    2 people invited.

    ID     Email            Role    Teams         Status   Expires  Link
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    inv_1  ada@example.com  MEMBER  team_1:ADMIN  pending  -        https://ui.example/invite/accept?code=abc
    ");
}

#[test]
fn each_address_may_have_its_own_role() {
    let server = Server::answering([(201, INVITES)]);
    Shell::at(&server)
        .run("invites create --email a@x --email b@x --role admin --role external")
        .ok();
    let expected = r#"{"invites":[{"email":"a@x","role":"ADMIN","teams":[]},
        {"email":"b@x","role":"EXTERNAL","teams":[]}]}"#;
    assert_eq!(server.only_request().body, compact(expected));
}

#[test]
fn invites_are_read_from_a_document() {
    let one = r#"{"email":"a@x","role":"ADMIN","teams":[]}"#;
    let list = format!("[{one}]");
    let whole = format!(r#"{{"invites":[{one}]}}"#);
    let server = Server::answering([(201, INVITES); 4]);
    let shell = Shell::at(&server).file("i.json", &list).input(&whole);
    shell.run_words(&["invites", "create", "--json", one]).ok();
    let done = shell.run_words(&["invites", "create", "--json", &list, "-f", "json"]);
    assert_eq!(done.json().compact(), compact(INVITES));
    shell.run("invites create --file i.json --json").json();
    shell.run("invites create --stdin").ok();
    let seen: Vec<Seen> = server.requests();
    for request in seen {
        assert_eq!(request.body, whole);
    }
}

#[test]
fn invites_that_cannot_be_sent_are_refused_before_any_call() {
    for (words, message) in [
        ("", "Nobody to invite"),
        ("--email a@x", "--role is missing"),
        (
            "--email a@x --role admin --role member",
            "2 roles for 1 addresses",
        ),
        ("--email ada --role admin", "expected an address"),
        ("--email a@x --role admin --team :x", "expected <team id>"),
        (
            "--email a@x --role admin --team t:boss",
            "unknown role \"boss\"",
        ),
        ("--email a@x --role admin --stdin", "Give the invites once"),
        ("--file missing.json", "Cannot read"),
        ("--json {", "--json is not valid JSON"),
        ("--json []", "--json holds no invites"),
        ("--json [{\"role\":\"ADMIN\"}]", "invite 1 has no email"),
        ("--stdin", "Standard input is not valid JSON"),
    ] {
        let done = Shell::new().run(&format!("invites create {words}"));
        assert!(done.failed().contains(message), "{words}: {}", done.err);
    }
}
