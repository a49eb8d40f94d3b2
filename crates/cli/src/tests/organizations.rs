//! `organization` and `organizations` against a scripted server.

use super::{Server, Shell, both_forms, compact};
use crate::json::Json;

const ORGANIZATION: &str = r#"{"id":"org_1","name":"Acme","slug":"acme",
    "supportContact":"it@acme.example","presenceEnabled":true,"traceSharingEnabled":false,
    "payloadCaptureEnabled":true,"payloadCaptureDefault":"redacted",
    "createdAt":"2026-07-01T10:00:00.000Z","updatedAt":"2026-07-02T10:00:00.000Z"}"#;

const INSTANCE_KEY: &str = "instance-administrator-key";
const TOKEN: &str = "sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn the_organization_is_shown_and_changed() {
    let (seen, human) = both_forms(&["organization", "get"], ORGANIZATION, ORGANIZATION);
    assert_eq!(seen.line(), "GET /api/organization");
    insta::assert_snapshot!(human, @r"
    ID               org_1
    Name             Acme
    Slug             acme
    Support contact  it@acme.example
    Presence         on
    Trace sharing    off
    Payload capture  redacted
    Created          2026-07-01 10:00
    Updated          2026-07-02 10:00
    ");
    let words = [
        "organization",
        "update",
        "--name",
        "Acme Corp",
        "--support-contact",
        "it@acme.example",
        "--presence",
        "--no-trace-sharing",
    ];
    let (seen, human) = both_forms(&words, ORGANIZATION, ORGANIZATION);
    assert_eq!(seen.line(), "PATCH /api/organization");
    let expected = r#"{"name":"Acme Corp","supportContact":"it@acme.example",
        "presenceEnabled":true,"traceSharingEnabled":false}"#;
    assert_eq!(seen.body, compact(expected));
    assert!(
        human.starts_with("Organization \"Acme\" updated.\n"),
        "{human}"
    );
}

#[test]
fn the_last_of_two_opposite_switches_counts() {
    let server = Server::answering([(200, ORGANIZATION)]);
    Shell::at(&server)
        .run("organization update --presence --no-presence")
        .ok();
    assert_eq!(server.only_request().body, r#"{"presenceEnabled":false}"#);
    let done = Shell::new().run("organization update");
    assert!(done.failed().starts_with("Error: nothing to update."));
}

#[test]
fn capture_is_switched_off_and_set_with_one_flag() {
    for (mode, body) in [
        (
            "metadata-only",
            r#"{"payloadCaptureEnabled":true,"payloadCaptureDefault":"metadata_only"}"#,
        ),
        ("off", r#"{"payloadCaptureEnabled":false}"#),
    ] {
        let server = Server::answering([(200, ORGANIZATION)]);
        Shell::at(&server)
            .run(&format!("organization update --payload-capture {mode}"))
            .ok();
        assert_eq!(server.only_request().body, body);
    }
}

/// Signed in with an API key as well, which must not be used.
fn operator(server: &Server) -> Shell {
    Shell::at(server).var("LANGWATCH_INSTANCE_ADMIN_API_KEY", INSTANCE_KEY)
}

#[test]
fn organizations_are_listed_and_shown_with_the_instance_key() {
    let list = r#"{"organizations":[{"id":"org_1","name":"Acme","slug":"acme","createdAt":"2026-07-01T10:00:00.000Z"}]}"#;
    let server = Server::answering([(200, list), (200, list)]);
    let shell = operator(&server);
    assert_eq!(
        shell.run("organizations list -f json").json().compact(),
        list
    );
    insta::assert_snapshot!(shell.run("organizations list").ok(), @r"
    ID     Name  Slug  Created
    ───────────────────────────────────
    org_1  Acme  acme  2026-07-01 10:00
    ");
    let seen = &server.requests()[0];
    assert_eq!(seen.line(), "GET /api/organizations");
    let bearer = format!("Bearer {INSTANCE_KEY}");
    assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
    assert_eq!(seen.header("x-auth-token"), None);

    let one = r#"{"organization":{"id":"org_1","name":"Acme","slug":"acme"}}"#;
    let server = Server::answering([(200, one), (200, one)]);
    let shell = operator(&server);
    assert_eq!(
        shell.run("organizations get acme -f json").json().compact(),
        r#"{"id":"org_1","name":"Acme","slug":"acme"}"#
    );
    assert_eq!(
        shell.run("organizations get acme").ok(),
        "ID    org_1\nName  Acme\nSlug  acme\n"
    );
    assert_eq!(server.requests()[0].line(), "GET /api/organizations/acme");
}

#[test]
fn an_organization_is_created_with_the_key_of_its_administrator() {
    let answer = format!(
        r#"{{"organization":{{"id":"org_1","name":"Acme","slug":"acme"}},"team":{{"id":"team_1","name":"Acme","slug":"acme"}},"adminApiKey":{{"id":"ak_1","token":"{TOKEN}"}}}}"#
    );
    let server = Server::answering([(201, &answer), (201, &answer)]);
    let shell = Shell::new()
        .var("LANGWATCH_ENDPOINT", &server.endpoint)
        .var("LANGWATCH_INSTANCE_ADMIN_API_KEY", "some-other-key");
    let words =
        "organizations create --name Acme --slug acme --admin-api-key-name root --instance-key";
    let words = format!("{words} {INSTANCE_KEY}");
    let done = shell.run(&format!("{words} -f json"));
    assert_eq!(done.json().compact(), answer);
    insta::assert_snapshot!(shell.run(&words).ok(), @r#"
    Organization "Acme" created.
    Copy the key now: it is shown only once.

    sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef

    export LANGWATCH_API_KEY="sk-lw-abcdefABCDEF0123_0123456789abcdef0123456789abcdef0123456789abcdef"

    Organization   org_1 (acme)
    Team           team_1 (acme)
    Admin API key  ak_1
    "#);
    let seen = &server.requests()[0];
    assert_eq!(seen.line(), "POST /api/organizations");
    assert_eq!(
        seen.body,
        r#"{"name":"Acme","slug":"acme","adminApiKeyName":"root"}"#
    );
    let bearer = format!("Bearer {INSTANCE_KEY}");
    assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
}

#[test]
fn without_the_instance_key_nothing_is_asked() {
    for words in ["list", "get acme", "create --name a"] {
        let done = Shell::new().run(&format!("organizations {words}"));
        assert!(
            done.failed().contains("LANGWATCH_INSTANCE_ADMIN_API_KEY"),
            "{}",
            done.err
        );
    }
}

#[test]
fn refusals_speak_of_the_instance_key_and_never_print_it() {
    for (status, advice) in [
        (401, "the server's own"),
        (404, "only when it was started with"),
    ] {
        let refusal =
            format!(r#"{{"error":"invalid_credentials","message":"No {INSTANCE_KEY}."}}"#);
        let server = Server::answering([(status, &refusal), (status, &refusal)]);
        let shell = operator(&server);
        let done = shell.run("organizations list");
        assert!(done.failed().contains(advice), "{}", done.err);
        assert!(!done.err.contains(INSTANCE_KEY), "{}", done.err);
        let done = shell.run("organizations get a -f json");
        done.failed();
        assert!(!done.out.contains(INSTANCE_KEY), "{}", done.out);
        let document = Json::parse(&done.out).expect("a document");
        let suggestions = document.at(&["error", "suggestions"]).map(Json::items);
        assert_eq!(suggestions.map(<[Json]>::len), Some(1));
    }
}
