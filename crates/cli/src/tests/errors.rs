//! What failures look like, for people and for machines.

use std::net::TcpListener;
use std::time::Duration;

use super::{API_KEY, Server, Shell};
use crate::json::Json;

const REFUSAL: &str = r#"{"error":{"type":"unauthenticated","code":"invalid_credentials",
    "message":"The key is not valid.","meta":{"presented":"api_key","reasons":[{"code":"expired","message":"It ended."}]},
    "trace_id":"t1"}}"#;

#[test]
fn a_refusal_for_people() {
    let server = Server::answering([(401, REFUSAL)]);
    let done = Shell::at(&server).run("virtual-keys list");
    insta::assert_snapshot!(done.failed(), @r"
    Failed to list virtual keys: The key is not valid.
    Details:
      code       invalid_credentials
      status     401
      trace id   t1
      presented  api_key
      caused by  expired: It ended.
    Suggestions:
      • Check LANGWATCH_API_KEY, or run `langwatch login --api-key <key>`.
    ");
    assert_eq!(done.out, "");
}

#[test]
fn a_refusal_for_machines_is_a_document_and_one_line() {
    let server = Server::answering([(401, REFUSAL)]);
    let done = Shell::at(&server).run("virtual-keys list -f json");
    assert_eq!(
        done.failed(),
        "Failed to list virtual keys: The key is not valid.\n"
    );
    insta::assert_snapshot!(done.out, @r#"
    {
      "ok": false,
      "error": {
        "code": "invalid_credentials",
        "kind": "invalid_credentials",
        "message": "The key is not valid.",
        "httpStatus": 401,
        "meta": {
          "presented": "api_key"
        },
        "isHandled": true,
        "traceId": "t1",
        "reasons": [
          {
            "code": "expired",
            "message": "It ended."
          }
        ],
        "suggestions": [
          "Check LANGWATCH_API_KEY, or run `langwatch login --api-key <key>`."
        ],
        "terminal": true
      }
    }
    "#);
}

#[test]
fn agents_get_one_line_without_asking() {
    let server = Server::answering([(403, r#"{"error":"Forbidden","message":"No."}"#)]);
    let done = Shell::at(&server)
        .var("CLAUDECODE", "1")
        .run("virtual-keys list");
    done.failed();
    assert_eq!(done.out.lines().count(), 1);
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(document.at(&["error", "code"]), Some(&"forbidden".into()));
}

#[test]
fn no_key_names_the_way_in() {
    let done = Shell::new().run("virtual-keys list");
    assert!(done.failed().contains("langwatch login") && done.err.contains("LANGWATCH_API_KEY"));
    let done = Shell::new().run("virtual-keys list -o agents");
    done.failed();
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"not_logged_in".into())
    );
    assert_eq!(document.at(&["error", "httpStatus"]), None);
    let said = document.at(&["error", "suggestions"]).map(Json::items);
    assert_eq!(said.map(<[Json]>::len), Some(1));
}

#[test]
fn an_unreachable_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let shell = Shell::new()
        .var("LANGWATCH_ENDPOINT", &endpoint)
        .var("LANGWATCH_API_KEY", API_KEY);
    let done = shell.run("virtual-keys list");
    assert!(
        done.failed().contains(&endpoint) && done.err.contains("langwatch serve"),
        "{}",
        done.err
    );
    let done = shell.run("virtual-keys list -f json");
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(
        document.at(&["error", "code"]),
        Some(&"network_error".into())
    );
    assert_eq!(document.at(&["error", "terminal"]), Some(&false.into()));
}

#[test]
fn a_429_waits_as_told_and_tries_again() {
    let limited = r#"{"error":{"code":"rate_limited","message":"Slow down."}}"#;
    let server = Server::with_headers([
        (429, "retry-after: 2\r\n", limited),
        (429, "retry-after: 0\r\n", limited),
        (429, "", limited),
        (200, "", r#"{"data":[],"next_cursor":null}"#),
    ]);
    let done = Shell::at(&server).run("vk list");
    done.ok();
    let waits = [2_000, 250, 250].map(Duration::from_millis);
    assert_eq!(done.waits, waits);
    assert!(
        done.err.contains("trying again in 2 s (1/3)"),
        "{}",
        done.err
    );
}

#[test]
fn the_fourth_429_is_the_answer() {
    let limited = (
        429,
        "retry-after: 1\r\n",
        r#"{"error":{"code":"rate_limited","message":"Slow down."}}"#,
    );
    let server = Server::with_headers([limited; 4]);
    let done = Shell::at(&server).run("vk list -f json");
    assert_eq!(done.failed(), "Failed to list virtual keys: Slow down.\n");
    let document = Json::parse(&done.out).expect("a document");
    assert_eq!(
        document.at(&["error", "meta", "retry_after_seconds"]),
        Some(&1_i64.into())
    );
    assert_eq!(document.at(&["error", "terminal"]), Some(&false.into()));
}

#[test]
fn nobody_is_made_to_wait_an_hour() {
    let limited = (429, "retry-after: 3600\r\n", "{}");
    let server = Server::with_headers([limited]);
    let done = Shell::at(&server).run("vk list");
    assert!(done.failed().contains("3600"), "{}", done.err);
    assert!(done.waits.is_empty());
}

#[test]
fn other_failures_are_not_retried() {
    let server = Server::answering([(503, "busy"), (200, "{}")]);
    assert!(
        Shell::at(&server)
            .run("vk get vk_1")
            .failed()
            .contains("service_unavailable")
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_redirect_does_not_carry_the_key_away() {
    let target = Server::answering([(200, "{}")]);
    let location = format!("location: {}/stolen\r\n", target.endpoint);
    let server = Server::with_headers([(302, &location, "")]);
    Shell::at(&server).run("vk get vk_1").failed();
    assert!(target.requests().is_empty());
}

#[test]
fn a_page_that_is_not_json_is_explained() {
    let server = Server::answering([(200, "<html>")]);
    assert!(
        Shell::at(&server)
            .run("vk get vk_1")
            .failed()
            .contains("not JSON")
    );
}

#[test]
fn secrets_in_answers_are_hidden() {
    let body = format!(
        r#"{{"error":{{"code":"x","message":"bad {API_KEY} and vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F"}}}}"#
    );
    for words in ["vk get vk_1", "vk get vk_1 -f json", "vk get vk_1 -o yaml"] {
        let server = Server::answering([(400, &body)]);
        let done = Shell::at(&server).run(words);
        let all = format!("{}{}", done.failed(), done.out);
        assert!(all.contains("[redacted]") && !all.contains("NDEKT") && !all.contains(API_KEY));
    }
}

#[test]
fn an_invalid_path_is_refused_before_any_call() {
    let done = Shell::new().run_words(&["vk", "list", "--jq", ".a | keys"]);
    assert!(
        done.failed()
            .contains("Invalid --jq expression \".a | keys\""),
        "{}",
        done.err
    );
}
