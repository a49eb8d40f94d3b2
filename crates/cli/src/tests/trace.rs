//! `trace` against a scripted server.

use data_encoding::BASE64;

use super::{API_KEY, Server, Shell};

const TRACE: &str = r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","project_id":"proj_1",
    "metadata":{"user_id":"u1","labels":["prod"]},
    "timestamps":{"started_at":1784999000000,"inserted_at":1784999001000},
    "input":{"value":"hello\u001b[2J"},"output":{"value":"hi"},
    "metrics":{"first_token_ms":120,"total_time_ms":812,"prompt_tokens":120,"completion_tokens":45,
      "cache_read_input_tokens":100,"total_cost":0.00065685},
    "error":null,
    "spans":[
      {"span_id":"b","parent_id":"a","name":"lw_gateway.attempt","timestamps":{"started_at":1784999000005,"finished_at":1784999000100},"error":{"message":"503"}},
      {"span_id":"c","parent_id":"a","name":"lw_gateway.attempt","model":"anthropic/claude","timestamps":{"started_at":1784999000101,"finished_at":1784999000812},"error":null},
      {"span_id":"a","parent_id":"outside","name":"chat","type":"llm","model":"openai/gpt-5-mini",
       "params":{"langwatch":{"gateway_request_id":"req_9f2c","status":"success"}},
       "timestamps":{"started_at":1784999000000,"finished_at":1784999000812},"metrics":{"cost":0.00065685}},
      {"span_id":"x","parent_id":"y","name":"lost"},{"span_id":"y","parent_id":"x","name":"loop"}],
    "evaluations":[],"ascii_tree":"chat","platformUrl":"https://ui.example/t/1"}"#;

#[test]
fn get_for_people_is_a_digest() {
    let server = Server::answering([(200, TRACE)]);
    let done = Shell::at(&server).run("trace get req_9f2c");
    insta::assert_snapshot!(done.ok(), @r#"
    Trace 0af7651916cd43dd8448eb211c80319c
      Request id  req_9f2c
      Status      success
      Model       openai/gpt-5-mini
      Tokens      120 in, 45 out, 100 cached
      Cost        $0.00065685
      Started     2026-07-25 17:03 UTC
      Duration    812 ms (first token after 120 ms)
      Project     proj_1
      User        u1
      Labels      ["prod"]
      Link        https://ui.example/t/1

    Spans
      └─ chat  openai/gpt-5-mini  812 ms  $0.00065685
         ├─ lw_gateway.attempt  95 ms  503
         └─ lw_gateway.attempt  anthropic/claude  711 ms
      └─ lost
         └─ loop

    Input
      hello[2J

    Output
      hi
    "#);
    let seen = server.only_request();
    assert_eq!(seen.line(), "GET /api/traces/req_9f2c?format=json");
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
}

#[test]
fn get_for_people_says_why_a_request_was_refused() {
    let decisions = r#""decisions":[
        {"stage":"model","outcome":"info","detail":"`gpt-5-mini` is asked by its own name"},
        {"stage":"budget","outcome":"refuse","detail":"402 budget_exceeded: it is spent\u001b[2J"}],
        "params""#;
    let trace = TRACE.replacen("\"params\"", decisions, 1);
    let server = Server::answering([(200, trace.as_str())]);
    let done = Shell::at(&server).run("trace get req_9f2c");
    let text = done.ok();
    let section = text.split("\nDecisions\n").nth(1);
    let section = section.and_then(|rest| rest.split("\n\n").next());
    insta::assert_snapshot!(section.unwrap_or_default(), @r"
    · model   `gpt-5-mini` is asked by its own name
    ✗ budget  402 budget_exceeded: it is spent [2J
    ");

    // A request that nothing was decided about has no such section.
    let plain = r#""decisions":[{"stage":"model","outcome":"info","detail":"x"}],"params""#;
    let server = Server::answering([(200, TRACE.replacen("\"params\"", plain, 1).as_str())]);
    let done = Shell::at(&server).run("trace get req_9f2c");
    assert!(!done.ok().contains("Decisions"));
}

#[test]
fn get_for_machines_is_the_trace() {
    let server = Server::answering([(200, TRACE)]);
    let done = Shell::at(&server)
        .run("traces get 0af7651916cd --project web --json trace_id,metadata.labels");
    let expected = r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","metadata.labels":["prod"]}"#;
    assert_eq!(done.json().compact(), expected);
    let pair = BASE64.encode(format!("web:{API_KEY}").as_bytes());
    let seen = server.only_request();
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Basic {pair}").as_str())
    );
}

#[test]
fn a_bare_trace_still_has_a_digest() {
    let server = Server::answering([(
        200,
        r#"{"trace_id":"t1","ascii_tree":"root\n  child","error":{"message":"boom"}}"#,
    )]);
    let done = Shell::at(&server).run("trace get t1");
    insta::assert_snapshot!(done.ok(), @r"
    Trace t1
      Status  error: boom

    Spans
      root
        child
    ");
}

#[test]
fn a_missing_trace_says_so() {
    let server = Server::answering([(404, r#"{"message":"Trace not found."}"#)]);
    let done = Shell::at(&server).run("trace get nope");
    assert!(
        done.failed()
            .starts_with("Failed to get the trace: Trace not found.\n")
    );
}

#[test]
fn search_defaults_to_the_last_day() {
    let server = Server::answering([(200, r#"{"traces":[],"pagination":{"totalHits":0}}"#)]);
    let done = Shell::at(&server).run("trace search -f json");
    assert_eq!(
        done.json().compact(),
        r#"{"traces":[],"pagination":{"totalHits":0}}"#
    );
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/traces/search");
    assert_eq!(
        seen.body,
        r#"{"startDate":1784913600000,"endDate":1785000000000,"pageSize":25}"#
    );
}

#[test]
fn search_sends_every_flag() {
    let server = Server::answering([(200, r#"{"traces":[]}"#)]);
    let words = "trace search -q req_9f2c --start-date 2026-07-01 --end-date 1785161002000 --limit 5 \
                 --origin gateway,sdk --errors-only";
    insta::assert_snapshot!(Shell::at(&server).run(words).ok(), @r"
    No traces found. Look further back with:
      langwatch trace search --start-date <date>
    ");
    let expected = r#"{"startDate":1782864000000,"endDate":1785161002000,"query":"req_9f2c","filters":{"traces.origin":["gateway","sdk"],"traces.error":["true"]},"pageSize":5}"#;
    assert_eq!(server.only_request().body, expected);
}

#[test]
fn search_for_people_is_a_table() {
    let answer = format!(
        r#"{{"traces":[{TRACE},{{"trace_id":"t2","error":{{"message":"x"}}}}],"pagination":{{"totalHits":12}}}}"#
    );
    let server = Server::answering([(200, &answer)]);
    insta::assert_snapshot!(Shell::at(&server).run("trace search").ok(), @r"
    Trace ID                          Started           Input      Tokens                      Cost         Duration  Status
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    0af7651916cd43dd8448eb211c80319c  2026-07-25 17:03  hello [2J  120 in, 45 out, 100 cached  $0.00065685  812 ms    ok
    t2                                -                            -                           -            -         error

    2 of 12 traces; see more with --limit
    ");
}

#[test]
fn a_backward_window_is_refused() {
    let done = Shell::new().run("trace search --start-date 2026-07-02 --end-date 2026-07-01");
    assert!(
        done.failed()
            .starts_with("Error: --start-date must be before")
    );
}
