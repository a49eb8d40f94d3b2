//! The parameter policy of providers 13: every row on every lane, strict and not.

use lw_translate::{Dialect, Outgoing, Problem, Target, read_request, write_request};

/// What becomes of a field: given on, left out and named, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    M,
    D,
    R,
}
use Becomes::{D, M, R};

const LANES: [(Dialect, &str, &str); 5] = [
    (Dialect::Messages, "anthropic", "claude-sonnet-4-20250514"),
    (Dialect::Messages, "vertex", "claude-sonnet-4-20250514"),
    (
        Dialect::Converse,
        "bedrock",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
    ),
    (Dialect::Gemini, "gemini", "gemini-2.5-flash"),
    (Dialect::Gemini, "vertex", "gemini-2.5-flash"),
];

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{}}}}]"#;

/// Name, fields of the body, and what becomes of the name on anthropic, bedrock and Google.
fn rows() -> Vec<(&'static str, String, [Becomes; 3])> {
    let row =
        |name: &'static str, value: &str, becomes| (name, format!(r#""{name}":{value}"#), becomes);
    let with_tools = |value: &str, becomes| {
        (
            "tool_choice",
            format!(r#"{TOOLS},"tool_choice":{value}"#),
            becomes,
        )
    };
    let schema = r#"{"type":"json_schema","json_schema":{"name":"place","schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false},"strict":true}}"#;
    vec![
        row("temperature", "0.5", [M, M, M]),
        row("temperature", "1.9", [M, M, M]),
        row("top_p", "0.9", [M, M, M]),
        (
            "top_p",
            r#""temperature":0.5,"top_p":0.9"#.to_owned(),
            [D, D, M],
        ),
        row("stop", r#""END""#, [M, M, M]),
        row("stop", r#"["END","STOP"]"#, [M, M, M]),
        row("n", "1", [M, M, M]),
        row("n", "2", [D, D, D]),
        row("presence_penalty", "0.1", [D, D, M]),
        row("frequency_penalty", "0.1", [D, D, M]),
        row("logit_bias", r#"{"50256":-100}"#, [D, D, D]),
        row("logprobs", "true", [R, R, M]),
        row("logprobs", "false", [M, M, M]),
        (
            "top_logprobs",
            r#""top_logprobs":3,"logprobs":true"#.to_owned(),
            [R, R, M],
        ),
        row("seed", "7", [D, D, D]),
        row("user", r#""user-1""#, [D, D, D]),
        row("response_format", r#"{"type":"text"}"#, [M, M, M]),
        row("response_format", schema, [M, M, M]),
        row("response_format", r#"{"type":"json_object"}"#, [R, R, M]),
        ("tools", TOOLS.to_owned(), [M, M, M]),
        row("tools", r#"[{"type":"web_search_preview"}]"#, [D, D, D]),
        with_tools(r#""auto""#, [M, M, M]),
        with_tools(r#""none""#, [M, M, M]),
        with_tools(r#""required""#, [M, M, M]),
        with_tools(
            r#"{"type":"function","function":{"name":"get_weather"}}"#,
            [M, M, M],
        ),
        with_tools(
            r#"{"type":"function","function":{"name":"other"}}"#,
            [R, R, R],
        ),
        with_tools(
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#,
            [R, R, R],
        ),
        (
            "parallel_tool_calls",
            format!(r#"{TOOLS},"parallel_tool_calls":false"#),
            [D, D, D],
        ),
        row("stream_options", r#"{"include_usage":true}"#, [M, M, M]),
        row("reasoning_effort", r#""low""#, [M, M, M]),
        row("service_tier", r#""auto""#, [M, D, D]),
        row("service_tier", r#""flex""#, [D, D, D]),
        row("verbosity", r#""low""#, [D, D, D]),
        row(
            "prediction",
            r#"{"type":"content","content":"x"}"#,
            [D, D, D],
        ),
        row("modalities", r#"["text"]"#, [D, D, D]),
        row("modalities", r#"["text","audio"]"#, [D, D, D]),
        row("audio", r#"{"voice":"alloy","format":"mp3"}"#, [D, D, D]),
        row("store", "true", [D, D, D]),
        row("store", "false", [D, D, D]),
        row("metadata", r#"{"a":"b"}"#, [D, D, D]),
        row("web_search_options", "{}", [D, D, D]),
        row("prompt_cache_key", r#""k""#, [D, D, D]),
        row("prompt_cache_retention", r#""24h""#, [D, D, D]),
        row("safety_identifier", r#""s""#, [D, D, D]),
        row("functions", r#"[{"name":"f"}]"#, [R, R, R]),
        row("function_call", r#""auto""#, [R, R, R]),
        row("anything_else", r#"{"x":1}"#, [D, D, D]),
        // Never judged.
        row("max_tokens", "4096", [M, M, M]),
        row("max_completion_tokens", "4096", [M, M, M]),
        row("top_k", "40", [M, M, M]),
        row("speed", r#""fast""#, [M, M, M]),
        row("inference_geo", r#""us""#, [M, M, M]),
        row("mcp_servers", "[]", [M, M, M]),
        row("cache_control", r#"{"type":"ephemeral"}"#, [M, M, M]),
        row(
            "thinking",
            r#"{"type":"enabled","budget_tokens":2048}"#,
            [M, M, M],
        ),
        row("reasoning", r#"{"effort":"low"}"#, [M, M, M]),
        row("reasoning_max_tokens", "2048", [M, M, M]),
        row("fallbacks", r#"[{"model":"x"}]"#, [M, M, M]),
        row("labels", r#"{"team":"a"}"#, [M, M, M]),
    ]
}

fn send(fields: &str, strict: bool, lane: (Dialect, &str, &str)) -> Result<Outgoing, Problem> {
    let (to, provider, name) = lane;
    let strict = if strict {
        r#","drop_tuning_params":false"#
    } else {
        ""
    };
    let body = format!(
        r#"{{"model":"test-model","messages":[{{"role":"user","content":"What is the weather in Paris?"}}],"stream":true,{fields}{strict}}}"#
    );
    let request = read_request(Dialect::Chat, body.as_bytes())?;
    let target = Target {
        provider,
        model: name,
        name,
        max_output: None,
    };
    write_request(to, request, &target)
}

fn column(lane: (Dialect, &str, &str)) -> usize {
    match lane.0 {
        Dialect::Messages => 0,
        Dialect::Converse => 1,
        _ => 2,
    }
}

#[test]
fn every_row_becomes_on_every_lane_what_the_table_says() {
    for (name, fields, becomes) in rows() {
        for lane in LANES {
            let expected = becomes[column(lane)];
            let case = format!("{fields} to {lane:?}");
            match (expected, send(&fields, false, lane)) {
                (R, Err(Problem::Unsupported { param, message })) => {
                    assert_eq!(param, name, "{case}");
                    let named = format!("{}/{}", lane.1, lane.2);
                    assert!(
                        message.contains(name) && message.contains(&named),
                        "{message}"
                    );
                }
                (D, Ok(sent)) => assert_eq!(sent.dropped, [name], "{case}"),
                (M, Ok(sent)) => assert!(sent.dropped.is_empty(), "{case}: {:?}", sent.dropped),
                (_, got) => panic!("{case}: {expected:?} but {got:?}"),
            }
        }
    }
}

#[test]
fn a_strict_caller_is_refused_what_others_lose() {
    for (name, fields, becomes) in rows() {
        for lane in LANES {
            let expected = becomes[column(lane)];
            let case = format!("{fields} to {lane:?}");
            match (expected, send(&fields, true, lane)) {
                (R | D, Err(Problem::Unsupported { param, message })) => {
                    assert_eq!(param, name, "{case}");
                    let named = format!("{}/{}", lane.1, lane.2);
                    assert!(
                        message.contains(name) && message.contains(&named),
                        "{message}"
                    );
                }
                (M, Ok(sent)) => assert!(sent.dropped.is_empty(), "{case}: {:?}", sent.dropped),
                (_, got) => panic!("{case}: {expected:?} but {got:?}"),
            }
        }
    }
}

#[test]
fn on_bedrock_only_claude_and_nova_are_told_how_much_to_think() {
    let fields = r#""reasoning_effort":"low""#;
    for (name, taken) in [
        ("amazon.nova-pro-v1:0", true),
        ("meta.llama3-3-70b-instruct-v1:0", false),
    ] {
        let sent = send(fields, false, (Dialect::Converse, "bedrock", name));
        assert_eq!(sent.is_ok(), taken, "{name}: {sent:?}");
    }
}

#[test]
fn the_first_offender_of_the_body_is_named_and_drops_are_sorted() {
    let lane = LANES[0];
    for (fields, first) in [
        (r#""seed":1,"logprobs":true,"functions":[]"#, "logprobs"),
        (r#""functions":[],"seed":1,"logprobs":true"#, "functions"),
    ] {
        match send(fields, false, lane) {
            Err(Problem::Unsupported { param, .. }) => assert_eq!(param, first),
            other => panic!("{other:?}"),
        }
    }
    match send(r#""seed":1,"logprobs":true"#, true, lane) {
        Err(Problem::Unsupported { param, .. }) => assert_eq!(param, "seed"),
        other => panic!("{other:?}"),
    }
    let sent = send(r#""user":"u","seed":1,"n":3,"zebra":null"#, false, lane);
    assert_eq!(sent.expect("sent").dropped, ["n", "seed", "user"]);
}
