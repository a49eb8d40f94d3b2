//! `groups` against a scripted server.

use super::{Shell, both_forms, compact};

const GROUP: &str = r#"{"id":"group_1","name":"Engineering","slug":"engineering","externalId":null,
    "scimSource":"okta","memberCount":2,
    "bindings":[{"id":"rb_1","role":"MEMBER","scopeType":"TEAM","scopeId":"team_1"}],
    "createdAt":"2026-07-01T10:00:00.000Z"}"#;

#[test]
fn list_fetches_all() {
    let page = format!(r#"{{"data":[{GROUP}],"pagination":{{"page":1,"limit":200,"total":1}}}}"#);
    let (seen, human) = both_forms(&["groups", "list"], &page, &page);
    assert_eq!(seen.line(), "GET /api/groups?page=1&limit=200");
    insta::assert_snapshot!(human, @r"
    ID       Name         Slug         Members  Bindings            Source  Created
    ────────────────────────────────────────────────────────────────────────────────────────
    group_1  Engineering  engineering  2        MEMBER:TEAM:team_1  okta    2026-07-01 10:00
    ");
}

#[test]
fn get_shows_one_group() {
    let (seen, human) = both_forms(&["groups", "get", "group_1"], GROUP, GROUP);
    assert_eq!(seen.line(), "GET /api/groups/group_1");
    insta::assert_snapshot!(human, @r"
    ID        group_1
    Name      Engineering
    Slug      engineering
    Source    okta
    Members   2
    Bindings  MEMBER:TEAM:team_1
    Created   2026-07-01 10:00
    ");
}

#[test]
fn create_sends_members_and_bindings() {
    let words = "groups create --name Engineering --binding member:team:web \
                 --binding Custom:Organization:acme:role_1 --member-id user_1 --member-id user_2";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, GROUP, GROUP);
    assert_eq!(seen.line(), "POST /api/groups");
    let expected = r#"{"name":"Engineering","bindings":[
        {"role":"MEMBER","scopeType":"TEAM","scopeId":"web"},
        {"role":"CUSTOM","customRoleId":"role_1","scopeType":"ORGANIZATION","scopeId":"acme"}],
        "memberIds":["user_1","user_2"]}"#;
    assert_eq!(seen.body, compact(expected));
    assert!(
        human.starts_with("Group \"Engineering\" created.\n"),
        "{human}"
    );
    let done = Shell::new().run("groups create --name a --binding CUSTOM:TEAM:web");
    assert!(
        done.failed().contains("CUSTOM:TEAM:web:role_1"),
        "{}",
        done.err
    );
}

#[test]
fn rename_and_delete_address_the_group() {
    let words = ["groups", "rename", "group_1", "--name", "Makers"];
    let (seen, human) = both_forms(&words, GROUP, GROUP);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("PATCH /api/groups/group_1", r#"{"name":"Makers"}"#)
    );
    assert!(
        human.starts_with("Group \"Engineering\" renamed.\n"),
        "{human}"
    );
    let (seen, human) = both_forms(&["groups", "delete", "group_1"], "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/groups/group_1");
    assert_eq!(human, "Group group_1 deleted.\n");
}

#[test]
fn members_are_listed_added_and_removed() {
    let rows = r#"{"data":[{"userId":"user_1","name":"Ada","email":"ada@example.com"}]}"#;
    let (seen, human) = both_forms(&["groups", "members", "list", "group_1"], rows, rows);
    assert_eq!(seen.line(), "GET /api/groups/group_1/members");
    insta::assert_snapshot!(human, @r"
    User    Name  Email
    ─────────────────────────────
    user_1  Ada   ada@example.com
    ");
    let words = ["groups", "members", "add", "group_1", "user_1"];
    let (seen, human) = both_forms(&words, "{}", r#"{"success":true}"#);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        ("POST /api/groups/group_1/members", r#"{"userId":"user_1"}"#)
    );
    assert_eq!(human, "user_1 is a member of group group_1.\n");
    let words = ["groups", "members", "remove", "group_1", "user_1"];
    let (seen, human) = both_forms(&words, "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/groups/group_1/members/user_1");
    assert_eq!(human, "user_1 is no longer a member of group group_1.\n");
}

#[test]
fn bindings_are_listed_added_and_removed() {
    let rows = r#"{"data":[{"id":"rb_1","role":"CUSTOM","customRoleId":"role_1","scopeType":"TEAM","scopeId":"team_1"}]}"#;
    let (seen, human) = both_forms(&["groups", "bindings", "list", "group_1"], rows, rows);
    assert_eq!(seen.line(), "GET /api/groups/group_1/bindings");
    insta::assert_snapshot!(human, @r"
    ID    Role    Custom role  Scope type  Scope
    ─────────────────────────────────────────────
    rb_1  CUSTOM  role_1       TEAM        team_1
    ");
    let words = "groups bindings add group_1 --role Custom --custom-role-id role_1 \
                 --scope-type org --scope-id acme";
    let words: Vec<&str> = words.split_whitespace().collect();
    let added = r#"{"id":"rb_2"}"#;
    let (seen, human) = both_forms(&words, added, added);
    assert_eq!(seen.line(), "POST /api/groups/group_1/bindings");
    let expected =
        r#"{"role":"CUSTOM","customRoleId":"role_1","scopeType":"ORGANIZATION","scopeId":"acme"}"#;
    assert_eq!(seen.body, expected);
    assert_eq!(human, "Binding added to group group_1.\n");
    let words = ["groups", "bindings", "remove", "group_1", "rb_2"];
    let (seen, human) = both_forms(&words, "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/groups/group_1/bindings/rb_2");
    assert_eq!(human, "Binding rb_2 removed from group group_1.\n");
}
