//! `roles` and `role-bindings` against a scripted server.

use super::{Seen, Server, Shell, both_forms, compact};

const ROLE: &str = r#"{"id":"role_1","name":"Issuer","description":"Mints keys",
    "permissions":["virtualKeys:create","virtualKeys:view"],"createdAt":"2026-07-01T10:00:00.000Z"}"#;

const BINDING: &str = r#"{"id":"rb_1","organizationId":"org_1","userId":null,"groupId":"group_1",
    "apiKeyId":null,"role":"CUSTOM","customRoleId":"role_1","scopeType":"TEAM","scopeId":"team_1"}"#;

#[test]
fn roles_are_listed_and_shown() {
    let answer = format!(r#"{{"roles":[{ROLE}]}}"#);
    let (seen, human) = both_forms(&["roles", "list"], &answer, &answer);
    assert_eq!(seen.line(), "GET /api/roles");
    insta::assert_snapshot!(human, @r"
    ID      Name    Description  Permissions
    ─────────────────────────────────────────────────────────────────
    role_1  Issuer  Mints keys   virtualKeys:create, virtualKeys:view
    ");
    let (seen, human) = both_forms(&["roles", "get", "role_1"], ROLE, ROLE);
    assert_eq!(seen.line(), "GET /api/roles/role_1");
    insta::assert_snapshot!(human, @r"
    ID           role_1
    Name         Issuer
    Description  Mints keys
    Permissions  virtualKeys:create, virtualKeys:view
    Created      2026-07-01 10:00
    ");
    let (_, human) = both_forms(&["roles", "list"], r#"{"roles":[]}"#, r#"{"roles":[]}"#);
    assert!(human.starts_with("No custom roles found."));
}

#[test]
fn a_role_is_created_changed_and_deleted() {
    let words = "roles create --name Issuer --description keys --permission virtualKeys:create";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, ROLE, ROLE);
    assert_eq!(seen.line(), "POST /api/roles");
    assert_eq!(
        seen.body,
        r#"{"name":"Issuer","description":"keys","permissions":["virtualKeys:create"]}"#
    );
    assert!(human.starts_with("Role \"Issuer\" created.\n"), "{human}");
    let (seen, _) = both_forms(&["roles", "create", "--name", "Empty"], ROLE, ROLE);
    assert_eq!(seen.body, r#"{"name":"Empty","permissions":[]}"#);

    let words = ["roles", "update", "role_1", "--permission", "traces:view"];
    let (seen, human) = both_forms(&words, ROLE, ROLE);
    assert_eq!(
        (seen.line().as_str(), seen.body.as_str()),
        (
            "PATCH /api/roles/role_1",
            r#"{"permissions":["traces:view"]}"#
        )
    );
    assert!(human.starts_with("Role \"Issuer\" updated.\n"), "{human}");
    let done = Shell::new().run("roles update role_1");
    assert!(
        done.failed()
            .contains("--name, --description, --permission.")
    );

    let (seen, human) = both_forms(&["roles", "delete", "role_1"], "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/roles/role_1");
    assert_eq!(human, "Role role_1 deleted.\n");
}

#[test]
fn permissions_are_listed_by_resource() {
    let answer = r#"{"resources":[
        {"resource":"virtualKeys","organizationExclusive":false,"actions":["view","create"],
         "permissions":["virtualKeys:view","virtualKeys:create"]},
        {"resource":"gatewaySpend","organizationExclusive":true,"actions":[],
         "permissions":["gatewaySpend:view"]}],"actions":["view","create"]}"#;
    let (seen, human) = both_forms(&["roles", "permissions"], answer, answer);
    assert_eq!(seen.line(), "GET /api/roles/permissions");
    insta::assert_snapshot!(human, @r"
    Resource      Permissions        Scope
    ─────────────────────────────────────────────
    virtualKeys   view, create       any
    gatewaySpend  gatewaySpend:view  organization
    ");
}

#[test]
fn role_bindings_are_walked_whole() {
    let server = Server::answering([
        (
            200,
            r#"{"bindings":[{"id":"a"},{"id":"b"}],"totalCount":3}"#,
        ),
        (200, r#"{"bindings":[{"id":"c"}],"totalCount":3}"#),
    ]);
    let done = Shell::at(&server).run("role-bindings list -f json");
    assert_eq!(
        done.json().compact(),
        r#"{"bindings":[{"id":"a"},{"id":"b"},{"id":"c"}],"totalCount":3}"#
    );
    let lines: Vec<String> = server.requests().iter().map(Seen::line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/role-bindings?offset=0&limit=200",
            "GET /api/role-bindings?offset=2&limit=200"
        ]
    );
}

#[test]
fn a_limit_asks_once_and_an_offset_walks_from_there() {
    let answer = r#"{"bindings":[{"id":"c"}],"totalCount":3}"#;
    for (words, query) in [
        ("--limit 1", "limit=1"),
        ("--limit 1 --offset 1", "offset=1&limit=1"),
        ("--offset 2", "offset=2&limit=200"),
    ] {
        let server = Server::answering([(200, answer)]);
        let done = Shell::at(&server).run(&format!("role-bindings list {words} -f json"));
        assert_eq!(done.json().compact(), answer);
        let line = server.only_request().line();
        assert_eq!(line, format!("GET /api/role-bindings?{query}"));
    }
}

#[test]
fn role_bindings_are_filtered() {
    let answer = format!(r#"{{"bindings":[{BINDING}],"totalCount":1}}"#);
    let words = "role-bindings list --principal-type Group --principal-id group_1 \
                 --scope-type Team --scope-id team_1 --limit 20";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, &answer, &answer);
    let query = "groupId=group_1&scopeType=TEAM&scopeId=team_1&limit=20";
    assert_eq!(seen.line(), format!("GET /api/role-bindings?{query}"));
    insta::assert_snapshot!(human, @r"
    ID    Principal      Role    Custom role  Scope type  Scope
    ────────────────────────────────────────────────────────────
    rb_1  group:group_1  CUSTOM  role_1       TEAM        team_1
    ");
    let done = Shell::new().run("role-bindings list --principal-id user_1");
    assert!(done.failed().contains("--principal-type"), "{}", done.err);
}

#[test]
fn a_role_binding_is_created_for_each_kind_of_principal() {
    for (kind, field) in [
        ("user", "userId"),
        ("GROUP", "groupId"),
        ("api-key", "apiKeyId"),
    ] {
        let words = format!(
            "role-bindings create --principal-type {kind} --principal-id x_1 --role member \
             --scope-type project --scope-id web"
        );
        let words: Vec<&str> = words.split_whitespace().collect();
        let (seen, human) = both_forms(&words, BINDING, BINDING);
        assert_eq!(seen.line(), "POST /api/role-bindings");
        assert_eq!(
            seen.body,
            format!(r#"{{"{field}":"x_1","role":"MEMBER","scopeType":"PROJECT","scopeId":"web"}}"#)
        );
        assert!(
            human.starts_with("Role binding \"rb_1\" created.\n"),
            "{human}"
        );
    }
}

#[test]
fn a_custom_role_travels_with_its_role() {
    let words = "role-bindings update rb_1 --role custom --custom-role-id role_1";
    let words: Vec<&str> = words.split_whitespace().collect();
    let (seen, human) = both_forms(&words, BINDING, BINDING);
    assert_eq!(seen.line(), "PATCH /api/role-bindings/rb_1");
    assert_eq!(
        seen.body,
        compact(r#"{"role":"CUSTOM","customRoleId":"role_1"}"#)
    );
    insta::assert_snapshot!(human, @r#"
    Role binding "rb_1" updated.

    ID           rb_1
    Principal    group:group_1
    Role         CUSTOM
    Custom role  role_1
    Scope type   TEAM
    Scope        team_1
    "#);
    let done = Shell::new().run("role-bindings update rb_1 --role CUSTOM");
    assert!(
        done.failed().contains("needs --custom-role-id"),
        "{}",
        done.err
    );
    let done = Shell::new().run("role-bindings update rb_1 --role admin --custom-role-id r");
    assert!(
        done.failed().contains("needs --role custom"),
        "{}",
        done.err
    );
}

#[test]
fn a_role_binding_is_deleted() {
    let words = ["role-bindings", "delete", "rb_1"];
    let (seen, human) = both_forms(&words, "", r#"{"success":true}"#);
    assert_eq!(seen.line(), "DELETE /api/role-bindings/rb_1");
    assert_eq!(human, "Role binding rb_1 deleted.\n");
}
