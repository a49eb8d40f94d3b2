//! `audit` against a scripted server.

use super::{API_KEY, Server, Shell, compact};
use crate::json::Json;

const ROW: &str = r#"{"id":"aud_1","created_at":"2026-07-01T10:00:00.000Z","user_id":"user_1","action":"gateway.budget.reset",
    "target_kind":"budget","target_id":"bgt_1","before":null,"after":null,"args":{"reason":"x"},"metadata":null}"#;

#[test]
fn list_sends_every_filter_and_prints_an_array() {
    let page = format!(r#"{{"data":[{ROW}],"next_cursor":null}}"#);
    let server = Server::answering([(200, &page)]);
    let done = Shell::at(&server).run(
        "audit list --from 2026-07-01 --to 1785161002000 --action gateway.budget.reset \
         --target-kind Virtual-Key --target-id bgt_1 --user user_1 --limit 10 -f json",
    );
    assert_eq!(done.json().compact(), compact(&format!("[{ROW}]")));
    let seen = server.only_request();
    assert_eq!(
        seen.line(),
        "GET /api/gateway/v1/audit-log?from=2026-07-01T00%3A00%3A00.000Z&to=2026-07-27T14%3A03%3A22.000Z\
         &action=gateway.budget.reset&target_kind=virtual_key&target_id=bgt_1&user_id=user_1&limit=10"
    );
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
}

#[test]
fn list_for_people() {
    let page = format!(
        r#"{{"data":[{ROW},{{"id":"aud_2","action":"management.apiKey.read"}}],"next_cursor":null}}"#
    );
    let server = Server::answering([(200, &page), (200, r#"{"data":[],"next_cursor":null}"#)]);
    let shell = Shell::at(&server);
    insta::assert_snapshot!(shell.run("audit list").ok(), @r"
    When              Who     Action                  Target  Target ID
    ───────────────────────────────────────────────────────────────────
    2026-07-01 10:00  user_1  gateway.budget.reset    budget  bgt_1
    -                 -       management.apiKey.read  -       -
    ");
    assert!(
        shell
            .run("audit list")
            .ok()
            .starts_with("Nothing was changed")
    );
    let line = "GET /api/gateway/v1/audit-log?limit=50";
    assert!(server.requests().iter().all(|seen| seen.line() == line));
}

#[test]
fn a_limit_ends_the_walk() {
    let page = |cursor: &str| {
        let rows = vec![r#"{"id":"r"}"#; 200].join(",");
        format!(r#"{{"data":[{rows}],"next_cursor":"{cursor}"}}"#)
    };
    let server = Server::answering([(200, &page("a")), (200, &page("b")), (200, "{}")]);
    let done =
        Shell::at(&server).run_words(&["audit", "list", "--limit", "250", "--jq", ". | length"]);
    assert_eq!(done.ok(), "250\n");
    let lines: Vec<String> = server.requests().iter().map(super::Seen::line).collect();
    let base = "GET /api/gateway/v1/audit-log?limit=200";
    assert_eq!(lines, [base.to_owned(), format!("{base}&cursor=a")]);
    let done = Shell::new().run("audit list --limit 0");
    assert!(done.failed().contains("invalid value"), "{}", done.err);
}

#[test]
fn csv_is_printed_as_it_comes_without_its_secrets() {
    let csv =
        "id,action\r\na,gateway.budget.reset\r\nb,vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F\r\n\"c\n\",é";
    let server = Server::answering([(200, csv)]);
    let done = Shell::at(&server).run("audit list --target-kind budget --csv -f json");
    assert_eq!(
        done.ok(),
        "id,action\r\na,gateway.budget.reset\r\nb,vk-lw-[redacted]\r\n\"c\n\",é"
    );
    let seen = server.only_request();
    assert_eq!(
        seen.line(),
        "GET /api/gateway/v1/audit-log?target_kind=budget"
    );
    assert_eq!(seen.header("accept"), Some("text/csv"));
}

#[test]
fn a_refused_csv_is_a_failure_like_any_other() {
    let limited = r#"{"error":{"code":"rate_limited","message":"Slow down."}}"#;
    let refusal = r#"{"error":{"code":"api_key_permission_denied","message":"No.","meta":{"permission":"auditLog:view"}}}"#;
    let server = Server::answering([(429, limited), (403, refusal)]);
    let done = Shell::at(&server).run("audit list --csv -o agents");
    assert_eq!(done.failed(), "Failed to list the audit log: No.\n");
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"api_key_permission_denied".into())
    );
    assert!(
        done.out.contains("--permission auditLog:view"),
        "{}",
        done.out
    );
    assert_eq!(done.waits.len(), 1);
}
