//! `gateway-budgets` against a scripted server.

use super::{API_KEY, Server, Shell, compact};
use crate::json::Json;

const BUDGET: &str = r#"{"id":"bgt_1","organization_id":"org_1","scope_type":"team","scope_id":"team_1",
    "name":"cap","description":"for all","window":"month","on_breach":"block","limit_usd":"5000",
    "limit_nano_usd":5000000000000,"spent_usd":"12.4531","spent_nano_usd":12453100000,"timezone":null,
    "provider_key":null,"external_id":"e1","metadata":{"a":"1"},
    "current_period_started_at":"2026-07-01T00:00:00.000Z","resets_at":"2026-08-01T00:00:00.000Z",
    "cycle_anchor_at":null,"last_reset_at":null,"archived_at":null,
    "created_at":"2026-06-01T09:30:00.000Z","scope_reach":"unreachable","enforcement":"strict"}"#;

fn wrapped() -> String {
    format!(r#"{{"budget":{BUDGET}}}"#)
}

#[test]
fn create_sends_every_flag() {
    let server = Server::answering([(201, &wrapped())]);
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_9");
    let done = shell.run(
        "gateway-budgets create --name cap --description d --scope Team --team team_1 \
         --window MONTH --limit 5000.50 --on-breach Warn --enforcement soft --timezone Europe/Paris \
         --provider-key mp_1 --cycle-anchor-at 2026-07-15T00:00:00+02:00 --allow-unreachable \
         --external-id e1 --metadata a=1 --metadata b=x=y --idempotency-key idem-12345 -f json",
    );
    assert_eq!(done.json().compact(), compact(BUDGET));
    assert_eq!(done.err, "");
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/budgets");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    assert_eq!(seen.header("x-project-id"), Some("proj_9"));
    assert_eq!(seen.header("x-auth-token"), None);
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    let expected = r#"{"scope":{"kind":"team","team_id":"team_1"},"name":"cap","description":"d",
        "window":"month","limit_usd":"5000.50","on_breach":"warn","enforcement":"soft",
        "timezone":"Europe/Paris","provider_key":"mp_1","cycle_anchor_at":"2026-07-15T00:00:00+02:00",
        "allow_unreachable":true,"external_id":"e1","metadata":{"a":"1","b":"x=y"}}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn every_scope_takes_its_own_id() {
    for (words, scope) in [
        (
            "organization --organization o",
            r#"{"kind":"organization","organization_id":"o"}"#,
        ),
        ("team --team t", r#"{"kind":"team","team_id":"t"}"#),
        (
            "project --project p",
            r#"{"kind":"project","project_id":"p"}"#,
        ),
        (
            "virtual-key --virtual-key v",
            r#"{"kind":"virtual_key","virtual_key_id":"v"}"#,
        ),
        (
            "VIRTUAL_KEY --virtual-key v",
            r#"{"kind":"virtual_key","virtual_key_id":"v"}"#,
        ),
        (
            "principal --principal u",
            r#"{"kind":"principal","principal_user_id":"u"}"#,
        ),
        ("group --group g", r#"{"kind":"group","group_id":"g"}"#),
        (
            "attributed-user --anchor-virtual-key v",
            r#"{"kind":"attributed_user","anchor_virtual_key_id":"v"}"#,
        ),
        (
            "attributed-user --anchor-project p",
            r#"{"kind":"attributed_user","anchor_project_id":"p"}"#,
        ),
        // The id that belongs to the scope counts.
        (
            "team --team t --project p",
            r#"{"kind":"team","team_id":"t"}"#,
        ),
    ] {
        let server = Server::answering([(201, BUDGET)]);
        let words =
            format!("gateway-budgets create --name n --window day --limit 1 --scope {words}");
        let done = Shell::at(&server).run(&format!("{words} --jq .id"));
        assert_eq!(done.ok(), "\"bgt_1\"\n");
        let expected = format!(
            r#"{{"scope":{scope},"name":"n","window":"day","limit_usd":"1","on_breach":"block"}}"#
        );
        assert_eq!(server.only_request().body, expected, "{words}");
    }
}

#[test]
fn a_scope_without_its_id_is_refused_before_any_call() {
    let base = "gateway-budgets create --name n --window day --limit 1 --scope";
    for (words, sentence) in [
        ("team", "Error: --scope team needs --team <id>."),
        (
            "virtual-key --team t",
            "Error: --scope virtual-key needs --virtual-key <id>.",
        ),
        (
            "attributed-user",
            "Error: --scope attributed-user needs --anchor-virtual-key <id> or --anchor-project <id>.",
        ),
    ] {
        let done = Shell::new().run(&format!("{base} {words}"));
        assert_eq!(done.failed().trim_end(), sentence);
    }
    let done = Shell::new().run(&format!(
        "{base} attributed-user --anchor-virtual-key v --anchor-project p"
    ));
    assert!(
        done.failed().contains("cannot be used with"),
        "{}",
        done.err
    );
    for wrong in [
        "--limit 0",
        "--limit 1e3",
        "--cycle-anchor-at 2026-07-15",
        "--window year",
    ] {
        let done = Shell::new().run(&format!("{base} team --team t {wrong}"));
        assert!(done.failed().contains("invalid value"), "{}", done.err);
    }
}

#[test]
fn create_for_people() {
    let server = Server::answering([(201, &wrapped())]);
    let done = Shell::at(&server)
        .run("gateway-budgets create --name cap --scope team --team t --window month --limit 5000");
    insta::assert_snapshot!(done.ok(), @r#"
    Budget "cap" created.

    ID            bgt_1
    Name          cap
    Description   for all
    Scope         team:team_1
    Window        month
    Limit         $5000.00
    Spent         $12.4531
    On breach     block
    Enforcement   strict
    Reach         unreachable: no active key counts toward it
    Period since  2026-07-01 00:00
    Resets        2026-08-01
    External id   e1
    Metadata      a=1
    Created       2026-06-01 09:30
    "#);
}

/// One row of each kind: fine, near, over, per member, per person, never totalled.
fn page() -> String {
    let row = |id: &str, scope: &str, spent: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","name":"{id}-cap","scope_type":"{scope}","scope_id":"{scope}_1","window":"month",
            "on_breach":"block","limit_usd":"10","spent_usd":{spent},"provider_key":null,
            "resets_at":"2026-08-01T00:00:00.000Z","archived_at":null{more}}}"#
        )
    };
    let rows = [
        row("a", "organization", "\"7.999999\"", ""),
        row("b", "team", "\"8\"", r#","window":"hour""#),
        row(
            "c",
            "project",
            "\"10.000001\"",
            r#","window":"total","resets_at":"9999-12-31T00:00:00.000Z""#,
        ),
        row(
            "d",
            "group",
            "\"24\"",
            r#","member_count":3,"provider_key":"mp_1""#,
        ),
        row(
            "e",
            "attributed_user",
            "null",
            r#","limit_usd":"1","end_users_seen":10,"end_users_over":3"#,
        ),
        row(
            "f",
            "attributed_user",
            "null",
            r#","end_users_seen":0,"end_users_over":0"#,
        ),
        row(
            "g",
            "principal",
            "\"0\"",
            r#","window":"manual","resets_at":"9999-12-31T00:00:00.000Z""#,
        ),
    ];
    format!(
        r#"{{"spend_available":true,"data":[{}],"next_cursor":null}}"#,
        rows.join(",")
    )
}

#[test]
fn list_for_people_shows_who_has_how_much() {
    let server = Server::answering([(200, &page())]);
    let done = Shell::at(&server).run("gateway-budgets list");
    insta::assert_snapshot!(done.ok(), @r"
    ID  Name   Scope                              Window  Breach  Limit             Spent             Provider  Resets            Archived
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    a   a-cap  organization:organization_1        month   block   $10.00            $7.999999         -         2026-08-01        -
    b   b-cap  team:team_1                        hour    block   $10.00            $8.00             -         2026-08-01 00:00  -
    c   c-cap  project:project_1                  total   block   $10.00            $10.000001        -         never             -
    d   d-cap  group:group_1                      month   block   $10.00/member x3  $24.00            mp_1      2026-08-01        -
    e   e-cap  attributed_user:attributed_user_1  month   block   $1.00/person      3 of 10 over cap  -         2026-08-01        -
    f   f-cap  attributed_user:attributed_user_1  month   block   $10.00/person     0 of 0 over cap   -         2026-08-01        -
    g   g-cap  principal:principal_1              manual  block   $10.00            $0.00             -         by hand           -
    ");
}

#[test]
fn spent_is_yellow_at_eighty_percent_and_red_at_the_limit() {
    let server = Server::answering([(200, &page())]);
    let done = Shell::at(&server).coloured().run("gateway-budgets list");
    let text = done.ok();
    for (plain, colour) in [
        ("$8.00", "33"),
        ("$10.000001", "31"),
        ("$24.00", "33"),
        ("3 of 10 over cap", "31"),
    ] {
        assert!(
            text.contains(&format!("\u{1b}[{colour}m{plain}\u{1b}[0m")),
            "{plain}: {text}"
        );
    }
    for plain in ["$7.999999", "0 of 0 over cap", "$0.00"] {
        assert!(text.contains(&format!("  {plain} ")), "{plain}: {text}");
    }
}

#[test]
fn list_walks_all_pages_and_prints_an_object() {
    let server = Server::answering([
        (
            200,
            r#"{"spend_available":true,"data":[{"id":"a","spent_usd":"1"}],"next_cursor":"c1"}"#,
        ),
        (
            200,
            r#"{"spend_available":true,"data":[{"id":"b","scope_type":"attributed_user","spent_usd":null}],"next_cursor":null}"#,
        ),
    ]);
    let done = Shell::at(&server)
        .run("gateway-budgets list --scope-type Team,virtual-key --external-id e1 -o agents");
    let expected = r#"{"budgets":[{"id":"a","spent_usd":"1"},{"id":"b","scope_type":"attributed_user","spent_usd":null}],"spend_available":true}"#;
    assert_eq!(done.ok().trim_end(), expected);
    let lines: Vec<String> = server.requests().iter().map(super::Seen::line).collect();
    let base = "GET /api/gateway/v1/budgets?scope_type=team%2Cvirtual_key&external_id=e1&limit=200";
    assert_eq!(lines, [base.to_owned(), format!("{base}&cursor=c1")]);
}

#[test]
fn spend_is_unavailable_when_one_figure_is() {
    for page in [
        r#"{"spend_available":true,"data":[{"id":"a","spent_usd":null}],"next_cursor":null}"#,
        r#"{"spend_available":false,"data":[{"id":"a","spent_usd":"0"}],"next_cursor":null}"#,
        r#"{"data":[{"id":"a"}],"next_cursor":null}"#,
    ] {
        let server = Server::answering([(200, page), (200, page)]);
        let shell = Shell::at(&server);
        let done = shell.run("gateway-budgets list --jq .spend_available");
        assert_eq!(done.ok(), "false\n", "{page}");
        let done = shell.run("gateway-budgets list");
        assert!(done.ok().contains("could not total"), "{}", done.out);
    }
}

#[test]
fn an_empty_list_says_what_to_do() {
    let page = r#"{"spend_available":true,"data":[],"next_cursor":null}"#;
    let server = Server::answering([(200, page), (200, page)]);
    let shell = Shell::at(&server);
    insta::assert_snapshot!(shell.run("gateway-budgets list").ok(), @r"
    No gateway budgets found. Create one with:
      langwatch gateway-budgets create --name <name> --scope project --project <id> --window month --limit 100
    ");
    let done = shell.run("gateway-budgets list -o agents");
    assert_eq!(done.ok(), "{\"budgets\":[],\"spend_available\":true}\n");
}

#[test]
fn get_prints_the_bare_object() {
    let answer = format!(r#"{{"spend_available":true,"budget":{BUDGET}}}"#);
    let server = Server::answering([(200, &answer), (200, &answer)]);
    let shell = Shell::at(&server);
    let done = shell.run("gateway-budgets get bgt_1 -f json");
    assert_eq!(done.json().compact(), compact(BUDGET));
    insta::assert_snapshot!(shell.run("gateway-budgets get bgt_1").ok(), @r"
    ID            bgt_1
    Name          cap
    Description   for all
    Scope         team:team_1
    Window        month
    Limit         $5000.00
    Spent         $12.4531
    On breach     block
    Enforcement   strict
    Reach         unreachable: no active key counts toward it
    Period since  2026-07-01 00:00
    Resets        2026-08-01
    External id   e1
    Metadata      a=1
    Created       2026-06-01 09:30
    ");
    assert_eq!(
        server.requests()[0].line(),
        "GET /api/gateway/v1/budgets/bgt_1"
    );
}

#[test]
fn update_tells_absent_from_null() {
    let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
    let shell = Shell::at(&server);
    let done = shell.run(
        "gateway-budgets update bgt_1 --name n --description d --limit 7.5 --on-breach warn \
         --enforcement strict --timezone UTC --external-id e --metadata k=v -f json",
    );
    assert_eq!(done.json().compact(), compact(BUDGET));
    let done = shell
        .run("gateway-budgets update bgt_1 --clear-description --clear-timezone --clear-metadata");
    assert!(
        done.ok().starts_with("Budget \"cap\" updated.\n"),
        "{}",
        done.out
    );
    let seen = server.requests();
    assert_eq!(seen[0].line(), "PATCH /api/gateway/v1/budgets/bgt_1");
    let expected = r#"{"name":"n","description":"d","limit_usd":"7.5","on_breach":"warn",
        "enforcement":"strict","timezone":"UTC","external_id":"e","metadata":{"k":"v"}}"#;
    assert_eq!(seen[0].body, compact(expected));
    assert_eq!(
        seen[1].body,
        r#"{"description":null,"timezone":null,"metadata":{}}"#
    );
}

#[test]
fn update_of_nothing_is_refused_before_any_call() {
    let done = Shell::new().run("gateway-budgets update bgt_1");
    assert!(
        done.failed().starts_with("Error: nothing to update."),
        "{}",
        done.err
    );
}

#[test]
fn reset_and_archive() {
    for (words, line, body, sentence) in [
        (
            "reset bgt_1",
            "POST /api/gateway/v1/budgets/bgt_1/reset",
            "{}",
            "Budget \"cap\" reset.",
        ),
        (
            "reset bgt_1 --end-user u/1 --reason goodwill",
            "POST /api/gateway/v1/budgets/bgt_1/reset?end_user_id=u%2F1",
            r#"{"reason":"goodwill"}"#,
            "Budget \"cap\" reset.",
        ),
        (
            "archive bgt_1",
            "DELETE /api/gateway/v1/budgets/bgt_1",
            "",
            "Budget \"cap\" archived.",
        ),
    ] {
        let server = Server::answering([(200, &wrapped()), (200, &wrapped())]);
        let shell = Shell::at(&server);
        let done = shell.run(&format!("gateway-budgets {words}"));
        assert!(done.ok().starts_with(sentence), "{}", done.out);
        let done = shell.run(&format!("gateway-budgets {words} -f json"));
        assert_eq!(done.json().compact(), compact(BUDGET));
        let seen = server.requests();
        assert_eq!(
            (seen[0].line().as_str(), seen[0].body.as_str()),
            (line, body)
        );
    }
}

#[test]
fn an_unreachable_scope_says_how_to_reach_it() {
    let refusal = r#"{"error":{"type":"bad_request","code":"gateway_budget_scope_unreachable","message":"No key reaches it.",
        "meta":{"scope_type":"team","reachable_project_ids":["proj_1"],"reachable_project_count":1}}}"#;
    let server = Server::answering([(400, refusal), (400, refusal)]);
    let shell = Shell::at(&server);
    let words = "gateway-budgets create --name n --scope team --team t --window day --limit 1";
    insta::assert_snapshot!(shell.run(words).failed(), @r#"
    Failed to create the budget: No key reaches it.
    Details:
      code                     gateway_budget_scope_unreachable
      status                   400
      scope_type               team
      reachable_project_ids    ["proj_1"]
      reachable_project_count  1
    Suggestions:
      • Create a key that counts toward it with `langwatch virtual-keys create --name <name> --scope team:<id>`.
      • To create it before such a key exists, run `langwatch gateway-budgets create` again with `--allow-unreachable`.
    "#);
    let done = shell.run(&format!("{words} -f json"));
    assert_eq!(
        done.failed(),
        "Failed to create the budget: No key reaches it.\n"
    );
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(document.at(&["error", "httpStatus"]), Some(&400_i64.into()));
}
