//! Bodies that are nearly right, and what each vendor says to them.

use super::client::{CHAT, Got, MESSAGES, RESPONSES, ask, call, post, start};
use crate::MockProvider;
use crate::seal::{seal, sign};

const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const CONVERSE: &str = "/model/m/converse";

/// Refused with these words in the answer.
fn refused(got: &Got, words: &str) {
    assert_eq!(got.status, 400, "{}", got.body);
    assert!(got.body.contains(words), "{words} is not in {}", got.body);
}

fn messages(mock: &MockProvider, turns: &str, more: &str) -> Got {
    let body = format!(r#"{{"model":"m","max_tokens":2048,"messages":[{turns}]{more}}}"#);
    post(mock, MESSAGES, &body)
}

const HI: &str = r#"{"role":"user","content":"hi"}"#;

#[test]
fn messages_must_pair_calls_with_results() {
    let mock = start();
    let called = r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"f","input":{}}]}"#;
    let result =
        |id: &str| format!(r#"{{"type":"tool_result","tool_use_id":"{id}","content":"x"}}"#);
    let user = |blocks: &str| format!(r#"{HI},{called},{{"role":"user","content":[{blocks}]}}"#);
    let both = format!("{},{}", result("a"), result("b"));
    assert_eq!(messages(&mock, &user(&both), "").status, 200);
    refused(
        &messages(&mock, &user(&result("a")), ""),
        "immediately after: b",
    );
    let stranger = format!("{both},{}", result("c"));
    refused(
        &messages(&mock, &user(&stranger), ""),
        "unexpected `tool_use_id`",
    );
    let late = format!(r#"{{"type":"text","text":"x"}},{both}"#);
    refused(&messages(&mock, &user(&late), ""), "must come first");
    refused(
        &messages(&mock, &format!("{HI},{called},{HI}"), ""),
        "immediately after: a, b",
    );
    assert_eq!(messages(&mock, &format!("{HI},{HI}"), "").status, 200);
    let system = r#"{"role":"system","content":"s"}"#;
    refused(
        &messages(&mock, &format!("{HI},{system}"), ""),
        "Unexpected role",
    );
    let empty = r#"{"role":"user","content":[{"type":"text","text":""}]}"#;
    refused(&messages(&mock, empty, ""), "must be non-empty");
    refused(
        &messages(&mock, HI, r#","tool_choice":{"type":"any"}"#),
        "tool_choice",
    );
}

#[test]
fn thoughts_must_be_the_mocks_own_and_unchanged() {
    let mock = start();
    let with = |thinking: &str, signature: &str| {
        let block = format!(
            r#"{{"type":"thinking","thinking":"{thinking}","signature":"{signature}"}},{{"type":"text","text":"x"}}"#
        );
        let turn = format!(r#"{{"role":"assistant","content":[{block}]}}"#);
        messages(&mock, &format!("{HI},{turn},{HI}"), "")
    };
    assert_eq!(with("as I see", &sign("as I see")).status, 200);
    refused(&with("as I saw", &sign("as I see")), "Invalid `signature`");
    refused(&with("given", "c2lnbmVk"), "Invalid `signature`");
    let directive = r#"[{"answer":{"parts":[{"thinking":"given","signature":"c2lnbmVk"},{"redacted":"aGlkZGVu"},{"text":"x"}]}}]"#;
    assert_eq!(post(&mock, "/_mock/script", directive).status, 200);
    assert_eq!(messages(&mock, HI, "").status, 200);
    assert_eq!(with("given", "c2lnbmVk").status, 200);
    let redacted = |data: &str| {
        let block = format!(r#"{{"type":"redacted_thinking","data":"{data}"}}"#);
        let turn = format!(r#"{{"role":"assistant","content":[{block}]}}"#);
        messages(&mock, &format!("{HI},{turn},{HI}"), "")
    };
    assert_eq!(redacted("aGlkZGVu").status, 200);
    assert_eq!(redacted(&seal("x")).status, 200);
    refused(&redacted("b3RoZXI="), "Invalid `data`");
    let thinking = |budget: u64| {
        let more = format!(r#","thinking":{{"type":"enabled","budget_tokens":{budget}}}"#);
        messages(&mock, HI, &more)
    };
    assert_eq!(thinking(1_024).status, 200);
    refused(&thinking(1_023), "1024");
    refused(&thinking(2_048), "must be greater than");
}

#[test]
fn gemini_knows_no_other_members_and_checks_budgets() {
    let mock = start();
    let contents = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;
    let gemini = |body: &str| call(&mock, "POST", GEMINI, "x-goog-api-key: g\r\n", body);
    let with = |more: &str| gemini(&format!("{{{contents}{more}}}"));
    assert_eq!(with("").status, 200);
    let snake = r#","generation_config":{"max_output_tokens":9},"system_instruction":{"parts":[{"text":"s"}]}"#;
    assert_eq!(with(snake).status, 200);
    refused(
        &with(r#","stream":true"#),
        r#"Unknown name \"stream\": Cannot find field"#,
    );
    refused(
        &with(r#","generationConfig":{"reasoning":1}"#),
        r#"Unknown name \"reasoning\" at 'generationConfig'"#,
    );
    let schema = |more: &str| {
        let schema =
            format!(r#"{{"type":"object","properties":{{"a":{{"type":"string"{more}}}}}}}"#);
        with(&format!(
            r#","tools":[{{"functionDeclarations":[{{"name":"f","parameters":{schema}}}]}}]"#
        ))
    };
    assert_eq!(schema("").status, 200);
    refused(
        &schema(r#","additionalProperties":false"#),
        "additionalProperties",
    );
    let budget = |budget: i64| {
        with(&format!(
            r#","generationConfig":{{"thinkingConfig":{{"thinkingBudget":{budget}}}}}"#
        ))
    };
    assert_eq!((budget(24_576).status, budget(-1).status), (200, 200));
    refused(&budget(31_999), "31999 is invalid");
    refused(
        &with(r#","generationConfig":{"thinkingConfig":{"thinkingLevel":"low"}}"#),
        "level is not supported",
    );
    refused(&gemini(r#"{"contents":[]}"#), "contents is not specified");
    let turns = |parts: &str| {
        gemini(&format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"hi"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{{}}}}}},{{"functionCall":{{"name":"f","args":{{}}}}}}]}},{{"role":"user","parts":[{parts}]}}]}}"#
        ))
    };
    let result = r#"{"functionResponse":{"name":"f","response":{"a":1}}}"#;
    assert_eq!(turns(&format!("{result},{result}")).status, 200);
    refused(&turns(result), "number of function response parts");
    let signed = |signature: &str| {
        gemini(&format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"hi"}}]}},{{"role":"model","parts":[{{"text":"x","thoughtSignature":"{signature}"}}]}},{{"role":"user","parts":[{{"text":"hi"}}]}}]}}"#
        ))
    };
    assert_eq!(signed(&sign("any")).status, 200);
    let other_alphabet = seal("a thought??").replace('+', "-").replace('/', "_");
    assert_eq!(signed(&other_alphabet).status, 200);
    assert_eq!(signed("skip_thought_signature_validator").status, 200);
    refused(&signed("bm90IG91cnM="), "Thought signature is not valid");
}

#[test]
fn converse_checks_members_turns_and_results() {
    let mock = start();
    let converse = |body: &str| call(&mock, "POST", CONVERSE, "authorization: Bearer b\r\n", body);
    let user = r#"{"role":"user","content":[{"text":"hi"}]}"#;
    let with = |more: &str| converse(&format!(r#"{{"messages":[{user}]{more}}}"#));
    assert_eq!(with("").status, 200);
    let got = with(r#","temperature":1"#);
    refused(&got, "extraneous key [temperature]");
    assert_eq!(got.header("x-amzn-errortype"), Some("ValidationException:"));
    refused(&converse(r#"{"messages":[]}"#), "at least one message");
    refused(
        &converse(&format!(r#"{{"messages":[{user},{user}]}}"#)),
        "alternate",
    );
    refused(
        &converse(r#"{"messages":[{"role":"user","content":[{"text":" "}]}]}"#),
        "is blank",
    );
    refused(
        &converse(
            r#"{"messages":[{"role":"user","content":[{"text":"a","image":{"format":"png","source":{"bytes":""}}}]}]}"#,
        ),
        "exactly one",
    );
    let tools = r#","toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]}"#;
    let loops = |id: &str, tools: &str| {
        converse(&format!(
            r#"{{"messages":[{user},{{"role":"assistant","content":[{{"toolUse":{{"toolUseId":"t1","name":"f","input":{{}}}}}}]}},{{"role":"user","content":[{{"toolResult":{{"toolUseId":"{id}","content":[{{"text":"x"}}]}}}}]}}]{tools}}}"#
        ))
    };
    assert_eq!(loops("t1", tools).status, 200);
    refused(&loops("t2", tools), "following Ids: t1");
    refused(&loops("t1", ""), "toolConfig field must be defined");
    refused(&loops("t 1", tools), "regular expression");
}

#[test]
fn openai_is_checked_only_when_told() {
    let mock = start();
    let odd = ask(CHAT, false, r#","odd":1"#);
    let odd_response = ask(RESPONSES, false, r#","odd":1"#);
    let odd_message = ask(MESSAGES, false, r#","odd":1"#);
    for (path, body) in [
        (CHAT, &odd),
        (RESPONSES, &odd_response),
        (MESSAGES, &odd_message),
    ] {
        assert_eq!(post(&mock, path, body).status, 200, "{path}");
    }
    assert_eq!(
        post(&mock, "/_mock/strict", r#"{"strict":true}"#).status,
        200
    );
    refused(&post(&mock, CHAT, &odd), "Unrecognized request argument");
    let got = post(&mock, RESPONSES, &odd_response);
    refused(&got, "Unknown parameter: 'odd'");
    assert_eq!(got.json()["error"]["code"], "unknown_parameter");
    refused(&post(&mock, MESSAGES, &odd_message), "Extra inputs");
    let orphan = r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"x","content":"y"}]}"#;
    refused(&post(&mock, CHAT, orphan), "must be a response");
    let unanswered = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"x"}]},{"role":"user","content":"y"}]}"#;
    refused(
        &post(&mock, CHAT, unanswered),
        "did not have response messages: x",
    );
    let output =
        r#"{"model":"m","input":[{"type":"function_call_output","call_id":"x","output":"y"}]}"#;
    refused(&post(&mock, RESPONSES, output), "No tool call found");
    let sealed = |data: &str| {
        let body = format!(
            r#"{{"model":"m","input":[{{"type":"reasoning","summary":[],"encrypted_content":"{data}"}},{{"role":"user","content":"y"}}]}}"#
        );
        post(&mock, RESPONSES, &body)
    };
    assert_eq!(sealed(&seal("a")).status, 200);
    refused(&sealed("bm8="), "could not be verified");
    assert_eq!(
        post(&mock, "/_mock/strict", r#"{"strict":false}"#).status,
        200
    );
    let bad = r#"{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":"x"}]}"#;
    assert_eq!(post(&mock, MESSAGES, bad).status, 200);
    assert_eq!(
        post(&mock, "/_mock/strict", r#"{"strict":null}"#).status,
        200
    );
    refused(&post(&mock, MESSAGES, bad), "first message");
}

#[test]
fn a_previous_response_must_be_the_mocks_own() {
    let mock = start();
    let after = |id: &str| {
        let more = format!(r#","previous_response_id":"{id}""#);
        post(&mock, RESPONSES, &ask(RESPONSES, false, &more))
    };
    refused(&after("resp_other"), "previous_response_not_found");
    let first = post(&mock, RESPONSES, &ask(RESPONSES, false, "")).json();
    let id = first["id"].as_str().expect("an id");
    let second = after(id);
    assert_eq!(
        (
            second.status,
            second.json()["previous_response_id"].as_str()
        ),
        (200, Some(id))
    );
    let unstored = post(
        &mock,
        RESPONSES,
        &ask(RESPONSES, false, r#","store":false"#),
    )
    .json();
    refused(&after(unstored["id"].as_str().expect("an id")), "not found");
}
