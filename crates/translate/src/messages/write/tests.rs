use serde_json::{Value, json};

use super::*;
use crate::ir::{
    CacheMarker, Citation, Effort, Media, Reasoning, Role, Source, Text, Thinking, ToolCall,
    ToolResult, Turn,
};
use crate::messages::read_request;
use crate::signature::{Origin, Signature};
use proptest::prelude::*;

mod media;

const OLD: &str = "claude-sonnet-4-20250514";
const NEW: &str = "claude-sonnet-4-5-20250929";
const ADAPTIVE: &str = "claude-opus-4-6";
const STEERING: &str = "claude-sonnet-5";

fn target(name: &str) -> Target<'_> {
    Target {
        provider: "anthropic",
        model: name,
        name,
        max_output: None,
    }
}

fn sent(request: Request, name: &str) -> (Value, Vec<String>) {
    let outgoing = write_request(request, &target(name)).expect("written");
    let body = serde_json::from_slice(&outgoing.body).expect("JSON");
    (body, outgoing.dropped)
}

fn refused(request: Request, name: &str) -> Problem {
    write_request(request, &target(name)).expect_err("refused")
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts }
}

fn chat(turns: Vec<Turn>) -> Request {
    Request {
        turns,
        ..Request::new(Dialect::Chat)
    }
}

fn hello() -> Request {
    chat(vec![turn(Role::User, vec![Part::text("Hi")])])
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: r#"{"n":1.10}"#.to_owned(),
        freeform: false,
        signature: None,
        cache: None,
    })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult {
        call_id: id.to_owned(),
        name: None,
        content,
        is_error: false,
        freeform: false,
        cache: None,
    })
}

fn function(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        description: None,
        schema: None,
        strict: None,
        freeform: false,
        cache: None,
    }
}

fn thought(origin: Origin) -> Part {
    Part::Thinking(Thinking {
        text: "Hm".to_owned(),
        signature: Some(Signature::new(origin, "c2ln")),
        ..Thinking::default()
    })
}

fn effort(effort: Effort) -> Option<Reasoning> {
    Some(Reasoning {
        effort: Some(effort),
        ..Reasoning::default()
    })
}

fn schema(text: &str) -> OutputFormat {
    OutputFormat::Schema {
        name: Some("place".to_owned()),
        description: None,
        schema: json::raw(text.to_owned()),
        strict: Some(true),
    }
}

#[test]
fn a_body_of_the_dialect_comes_back_with_its_meaning() {
    let body = json!({
        "model": "m", "max_tokens": 2000, "stream": true,
        "system": [{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                 "title": "t", "citations": {"enabled": true}, "cache_control": {"type": "ephemeral"}},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "cmVk"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees", "is_error": true},
                {"type": "text", "text": "Go on"},
            ]},
        ],
        "tools": [
            {"name": "get_weather", "description": "d", "input_schema": {"type": "object"}, "strict": true},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 1500},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}}},
        "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "service_tier": "standard_only",
        "context_management": {"edits": []}, "speed": "fast",
    });
    let read = read_request(body.to_string().as_bytes()).expect("read");
    let outgoing = write_request(read, &target(NEW)).expect("written");
    let mut expected = body;
    expected["model"] = json!(NEW);
    let back: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    assert_eq!(back, expected);
    assert!(outgoing.dropped.is_empty());
    assert_eq!(
        outgoing.betas,
        ["context-management-2025-06-27", "fast-mode-2026-02-01"]
    );
}

#[test]
fn a_cap_is_filled_in_except_for_callers_of_the_dialect() {
    for (name, most) in [
        (OLD, 64_000),
        ("claude-opus-4-1", 32_000),
        (ADAPTIVE, 128_000),
    ] {
        assert_eq!(sent(hello(), name).0["max_tokens"], most);
    }
    let read = read_request(br#"{"messages":[{"role":"user","content":"Hi"}]}"#).expect("read");
    assert!(sent(read, OLD).0.get("max_tokens").is_none());
    let known = Target {
        max_output: Some(777),
        ..target(OLD)
    };
    let outgoing = write_request(hello(), &known).expect("written");
    let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    assert_eq!(body["max_tokens"], 777);
}

#[test]
fn results_join_one_turn_with_the_text_after_them_and_stand_first() {
    let turns = vec![
        turn(Role::User, vec![Part::text("a")]),
        turn(Role::User, vec![Part::text("b")]),
        turn(
            Role::Assistant,
            vec![
                call("call_1"),
                Part::text("Let me check."),
                call("odd id:2"),
            ],
        ),
        turn(Role::User, vec![result("call_1", vec![Part::text("1")])]),
        turn(Role::User, vec![result("odd id:2", vec![])]),
        turn(Role::User, vec![Part::text(" "), Part::text("and now?")]),
        turn(Role::Assistant, vec![Part::text("  "), Part::text("")]),
        turn(Role::User, vec![Part::text("c")]),
    ];
    let body = sent(chat(turns), NEW).0;
    let made = body["messages"][2]["content"][2]["id"].clone();
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": [{"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Let me check."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"n": 1.10}},
                {"type": "tool_use", "id": made, "name": "get_weather", "input": {"n": 1.10}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "1"},
                {"type": "tool_result", "tool_use_id": made},
                {"type": "text", "text": "and now?"},
            ]},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
        ])
    );
    assert!(made.as_str().is_some_and(|id| id.starts_with("odd_id_2_")));
}

#[test]
fn a_conversation_begins_with_the_user_and_a_prefill_has_no_blank_end() {
    let prefill = vec![turn(
        Role::Assistant,
        vec![
            Part::Text(Text {
                text: "{ \"a\": \n".to_owned(),
                cache: Some(CacheMarker { one_hour: false }),
                citations: vec![Citation {
                    url: Some("https://a.example".to_owned()),
                    title: None,
                    cited_text: None,
                    span: None,
                }],
                signature: None,
            }),
            Part::text("\n"),
        ],
    )];
    let messages = sent(chat(prefill), OLD).0["messages"].clone();
    assert_eq!(
        messages,
        json!([
            {"role": "user", "content": [{"type": "text", "text": "."}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "{ \"a\":", "cache_control": {"type": "ephemeral"}}]},
        ])
    );
    assert_eq!(sent(chat(vec![]), OLD).0["messages"][0]["role"], "user");
}

#[test]
fn only_thinking_that_anthropic_sealed_goes_back() {
    let turns = vec![
        turn(Role::User, vec![Part::text("a")]),
        turn(
            Role::Assistant,
            vec![
                Part::text("b"),
                thought(Origin::OpenAi),
                Part::Refusal("no".to_owned()),
                thought(Origin::Anthropic),
                Part::Thinking(Thinking {
                    text: "unsealed".to_owned(),
                    ..Thinking::default()
                }),
            ],
        ),
        turn(Role::User, vec![Part::text("c")]),
    ];
    let blocks = sent(chat(turns.clone()), NEW).0["messages"][1]["content"].clone();
    assert_eq!(
        blocks,
        json!([
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "text", "text": "b"},
            {"type": "text", "text": "no"},
        ])
    );
    let blocks = sent(chat(turns), "claude-3-5-haiku-20241022").0["messages"][1]["content"].clone();
    assert_eq!(
        blocks.as_array().map(Vec::len),
        Some(2),
        "it does not think"
    );
}

#[test]
fn thinking_follows_the_model() {
    for (name, wanted, thinking, output) in [
        (
            OLD,
            effort(Effort::Low),
            json!({"type": "enabled", "budget_tokens": 1484}),
            json!(null),
        ),
        (
            ADAPTIVE,
            effort(Effort::Minimal),
            json!({"type": "adaptive"}),
            json!({"effort": "low"}),
        ),
        (ADAPTIVE, effort(Effort::None), json!(null), json!(null)),
        (
            STEERING,
            effort(Effort::None),
            json!({"type": "disabled"}),
            json!(null),
        ),
        (
            STEERING,
            Some(Reasoning {
                budget: Some(3_400),
                summary: Some("auto".to_owned()),
                ..Reasoning::default()
            }),
            json!({"type": "adaptive", "display": "summarized"}),
            json!({"effort": "high"}),
        ),
        (
            "glm-5",
            effort(Effort::Medium),
            json!({"type": "enabled", "budget_tokens": 2329}),
            json!(null),
        ),
        (
            OLD,
            Some(Reasoning {
                summary: Some("auto".to_owned()),
                ..Reasoning::default()
            }),
            json!(null),
            json!(null),
        ),
        (
            OLD,
            Some(Reasoning {
                enabled: Some(false),
                ..Reasoning::default()
            }),
            json!({"type": "disabled"}),
            json!(null),
        ),
    ] {
        let mut request = hello();
        request.max_output = Some(4_096);
        request.reasoning = wanted.clone();
        let (body, dropped) = sent(request, name);
        assert_eq!(body["thinking"], thinking, "{name} {wanted:?}");
        assert_eq!(body["output_config"], output, "{name} {wanted:?}");
        assert!(dropped.is_empty());
    }
    let mut request = hello();
    request.reasoning = effort(Effort::High);
    let (body, dropped) = sent(request, "claude-3-5-haiku-20241022");
    assert_eq!(
        (body.get("thinking"), dropped),
        (None, vec!["reasoning_effort".to_owned()])
    );
}

#[test]
fn a_gemini_budget_is_raised_to_what_claude_takes() {
    for (budget, expected) in [
        (512, json!({"type": "enabled", "budget_tokens": 1024})),
        (0, json!(null)),
    ] {
        let mut request = hello();
        request.from = Dialect::Gemini;
        request.reasoning = Some(Reasoning {
            budget: Some(budget),
            ..Reasoning::default()
        });
        assert_eq!(sent(request, OLD).0["thinking"], expected);
    }
}

#[test]
fn what_does_not_go_with_thinking_gives_way_and_is_named() {
    let mut request = hello();
    request.reasoning = effort(Effort::High);
    request.temperature = serde_json::Number::from_f64(0.5);
    request.top_p = serde_json::Number::from_f64(0.9);
    request.top_k = Some(40.into());
    request.tools = vec![Tool::Function(function("f"))];
    request.tool_choice = Some(ToolChoice::Any);
    let (body, dropped) = sent(request.clone(), ADAPTIVE);
    assert_eq!(dropped, ["temperature", "tool_choice", "top_k", "top_p"]);
    assert_eq!(body["tool_choice"], json!({"type": "auto"}));
    for gone in ["temperature", "top_p", "top_k"] {
        assert!(body.get(gone).is_none(), "{gone}");
    }
    request.drop_tuning = false;
    let problem = refused(request.clone(), ADAPTIVE);
    assert!(
        problem.to_string().contains("anthropic/claude-opus-4-6"),
        "{problem}"
    );

    // A temperature of one says nothing.
    request.temperature = Some(1.into());
    (request.top_p, request.top_k) = (None, None);
    request.tool_choice = None;
    assert!(sent(request, ADAPTIVE).0.get("temperature").is_none());
}

#[test]
fn one_sampling_parameter_is_enough_and_new_models_take_none() {
    let mut request = hello();
    request.temperature = serde_json::Number::from_f64(0.5);
    request.top_p = serde_json::Number::from_f64(0.9);
    request.stop = vec!["END".to_owned(), "\n".to_owned()];
    let (body, dropped) = sent(request.clone(), NEW);
    assert_eq!(
        (&body["temperature"], dropped),
        (&json!(0.5), vec!["stop".to_owned(), "top_p".to_owned()])
    );
    assert_eq!(body["stop_sequences"], json!(["END"]));
    let (body, dropped) = sent(request, "claude-opus-4-7");
    assert_eq!(dropped, ["stop", "temperature", "top_p"]);
    assert!(body.get("temperature").is_none());
}

#[test]
fn a_budget_is_given_up_when_the_answered_call_came_without_thinking() {
    let with = |part: Option<Part>| {
        let mut parts: Vec<Part> = part.into_iter().collect();
        parts.push(call("call_1"));
        let mut request = chat(vec![
            turn(Role::User, vec![Part::text("a")]),
            turn(Role::Assistant, parts),
            turn(Role::User, vec![result("call_1", vec![Part::text("1")])]),
        ]);
        request.reasoning = effort(Effort::High);
        request
    };
    let (body, dropped) = sent(with(Some(thought(Origin::Google))), OLD);
    assert_eq!(
        (body.get("thinking"), dropped),
        (None, vec!["reasoning_effort".to_owned()])
    );
    assert!(
        sent(with(Some(thought(Origin::Anthropic))), OLD)
            .0
            .get("thinking")
            .is_some()
    );
    assert!(sent(with(None), ADAPTIVE).0.get("thinking").is_some());
}

#[test]
fn a_schema_is_enforced_on_every_model() {
    let closed = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    let mut request = hello();
    request.output = Some(schema(closed));
    let outgoing = write_request(request.clone(), &target(NEW)).expect("written");
    let text = String::from_utf8(outgoing.body).expect("text");
    assert!(text.contains(&format!(
        r#""output_config":{{"format":{{"type":"json_schema","schema":{closed}}}}}"#
    )));
    assert!(!outgoing.json_tool);

    request.reasoning = effort(Effort::High);
    let outgoing = write_request(request.clone(), &target(OLD)).expect("written");
    let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    assert!(outgoing.json_tool);
    assert_eq!(outgoing.dropped, ["reasoning_effort"]);
    assert_eq!(body["tools"][0]["name"], JSON_TOOL);
    assert_eq!(
        body["tool_choice"],
        json!({"type": "tool", "name": JSON_TOOL})
    );

    request.reasoning = None;
    request.tools = vec![Tool::Function(function("f"))];
    assert_eq!(
        sent(request.clone(), OLD).0["tool_choice"],
        json!({"type": "any"})
    );
    request.output = Some(OutputFormat::Json);
    assert!(
        matches!(refused(request, NEW), Problem::Unsupported { param, .. } if param == "response_format")
    );
}

#[test]
fn tools_and_choices_are_written() {
    let mut request = hello();
    request.tools = vec![
        Tool::Function(Function {
            strict: Some(true),
            schema: Some(json::raw(
                r#"{"properties":{"n":{"maximum":1.10}}}"#.to_owned(),
            )),
            cache: Some(CacheMarker { one_hour: true }),
            ..function("f")
        }),
        Tool::Hosted {
            kind: "web_search".to_owned(),
            raw: json::raw("{}".to_owned()),
        },
    ];
    request.parallel_tools = Some(false);
    request.tool_choice = Some(ToolChoice::Named("f".to_owned()));
    let outgoing = write_request(request.clone(), &target(NEW)).expect("written");
    let text = String::from_utf8(outgoing.body).expect("text");
    assert!(text.contains(
        r#""tools":[{"name":"f","input_schema":{"type":"object","properties":{"n":{"maximum":1.10}}},"strict":true,"cache_control":{"type":"ephemeral","ttl":"1h"}}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}"#
    ), "{text}");
    assert_eq!(outgoing.dropped, ["tools"]);
    assert_eq!(sent(request.clone(), OLD).1, ["tools", "tools.strict"]);

    for (choice, expected) in [
        (Some(ToolChoice::None), json!({"type": "none"})),
        (
            None,
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
    ] {
        request.tool_choice = choice;
        assert_eq!(sent(request.clone(), NEW).0["tool_choice"], expected);
    }
    request.tool_choice = Some(ToolChoice::Named("g".to_owned()));
    assert!(
        matches!(refused(request, NEW), Problem::Unsupported { param, .. } if param == "tool_choice")
    );
}

#[test]
fn fields_follow_the_policy() {
    let mut request = hello();
    request.presence_penalty = Some(1.into());
    request.frequency_penalty = Some(1.into());
    request.end_user = Some("u".to_owned());
    request.service_tier = Some("flex".to_owned());
    request.rest = [
        ("seed", "1"),
        ("speed", "\"fast\""),
        ("task_budget", "{\"type\":\"tokens\",\"total\":1}"),
        ("n", "1"),
    ]
    .map(|(key, value)| (key.to_owned(), json::raw(value.to_owned())))
    .to_vec();
    let outgoing = write_request(request.clone(), &target(NEW)).expect("written");
    assert_eq!(
        outgoing.dropped,
        [
            "frequency_penalty",
            "presence_penalty",
            "seed",
            "service_tier",
            "user"
        ]
    );
    assert_eq!(outgoing.betas, ["fast-mode-2026-02-01", TASK_BUDGET]);
    let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    assert_eq!(body["output_config"]["task_budget"]["total"], 1);
    request.service_tier = Some("auto".to_owned());
    assert_eq!(sent(request.clone(), NEW).0["service_tier"], "auto");
    request.logprobs = Some(2);
    assert!(
        matches!(refused(request, NEW), Problem::Unsupported { param, .. } if param == "logprobs")
    );
}

proptest! {
    #[test]
    fn arguments_and_schemas_stay_the_bytes_they_were(number in "-?[1-9][0-9]{0,30}\\.[0-9]{1,20}", text in "[a-zA-Z0-9 \\\\u00e9]{0,20}") {
        let text = text.replace('\\', "\\\\");
        let json_text = format!(r#"{{ "n": {number}, "t" : "{text}" }}"#);
        let mut request = chat(vec![
            turn(Role::User, vec![Part::text("a")]),
            turn(Role::Assistant, vec![Part::ToolCall(ToolCall {
                id: "call_1".to_owned(), name: "f".to_owned(), arguments: json_text.clone(),
                freeform: false, signature: None, cache: None,
            })]),
        ]);
        let schema = format!(r#"{{"type":"object","x":{json_text}}}"#);
        request.tools = vec![Tool::Function(Function {
            schema: Some(json::raw(schema.clone())), ..function("f")
        })];
        let outgoing = write_request(request, &target(NEW)).expect("written");
        let body = String::from_utf8(outgoing.body).expect("text");
        let kept = format!(r#""input":{json_text}"#);
        prop_assert!(body.contains(&kept));
        let kept = format!(r#""input_schema":{schema}"#);
        prop_assert!(body.contains(&kept));
    }
}
