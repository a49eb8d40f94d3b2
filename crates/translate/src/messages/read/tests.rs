use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ir::Source;
use crate::signature::Origin;

fn read(body: &Value) -> Request {
    read_request(body.to_string().as_bytes()).expect("read")
}

fn blocks(blocks: &Value) -> Vec<Part> {
    let body = json!({"messages": [{"role": "user", "content": blocks}]});
    read(&body).turns.remove(0).parts
}

fn param(body: &Value) -> String {
    match read_request(body.to_string().as_bytes()) {
        Err(Problem::Bad { param, message }) => {
            assert!(!message.is_empty());
            param
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_claude_code_sends_is_read_and_the_rest_is_kept() {
    let request = read(&json!({
        "model": "claude-opus-4-6",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "Mind the tests."},
            {"role": "user", "content": "Go on"},
        ],
        "system": [
            {"type": "text", "text": "You are terse."},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        "tools": [
            {"name": "Read", "description": "Reads", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "custom", "name": "plain", "defer_loading": true},
        ],
        "metadata": {"user_id": "user_1"},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium", "task_budget": {"type": "tokens", "total": 9}, "new": 1},
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "anthropic_version": "bedrock-2023-05-31",
        "mcp_servers": [], "nothing": null,
        "stream": true,
    }));
    let system: Vec<&str> = request
        .system
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(system, ["You are terse.", "Be kind.", "Mind the tests."]);
    assert!(
        matches!(&request.system[1], Part::Text(text) if text.cache.is_some_and(|marker| marker.one_hour))
    );
    assert_eq!(request.turns.len(), 2);
    assert!(request.stream);
    assert_eq!(request.end_user.as_deref(), Some("user_1"));
    assert_eq!(request.tool_choice, Some(ToolChoice::Any));
    assert_eq!(request.parallel_tools, Some(false));
    assert_eq!(
        request.reasoning,
        Some(Reasoning {
            effort: Some(Effort::Medium),
            enabled: Some(true),
            ..Reasoning::default()
        })
    );
    let rest: Vec<&str> = request.rest.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        rest,
        [
            "task_budget",
            "output_config.new",
            "context_management",
            "mcp_servers"
        ]
    );
    assert!(
        matches!(&request.tools[1], Tool::Function(one) if one.name == "bash" && one.schema.is_some())
    );
    assert!(
        matches!(&request.tools[2], Tool::Hosted { kind, .. } if kind == "web_search_20250305")
    );
    assert!(matches!(&request.tools[3], Tool::Function(one) if one.schema.is_none()));
}

#[test]
fn every_block_has_its_part() {
    let parts = blocks(&json!([
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}, "title": "report.pdf"},
        {"type": "document", "context": "About it", "source": {"type": "content", "content": [
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]}},
        {"type": "search_result", "source": "https://a.example", "title": "A", "content": [{"type": "text", "text": "t"}]},
        {"type": "thinking", "thinking": "Hm", "signature": "lw1.google.abc"},
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": 2}},
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
            {"type": "text", "text": "x"}, {"type": "tool_reference", "tool_name": "g"}]},
        {"type": "tool_result", "tool_use_id": "toolu_2"},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "compaction", "content": "So far"},
    ]));
    let seen: Vec<String> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => format!("text {}", text.text),
            Part::Image(media) => format!("image {:?}", media.source),
            Part::Document(media) => match &media.source {
                Source::Text(text) => format!("document {:?} {text:?}", media.name),
                Source::Inline { media_type, .. } => {
                    format!("document {:?} {media_type}", media.name)
                }
                other => format!("document {other:?}"),
            },
            Part::Thinking(thinking) => format!(
                "thinking {:?} {:?} {}",
                thinking.text,
                thinking
                    .signature
                    .as_ref()
                    .map(|seal| (seal.origin, seal.value.clone())),
                thinking.redacted
            ),
            Part::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments),
            Part::ToolResult(result) => {
                format!(
                    "result {} {} {}",
                    result.call_id,
                    result.is_error,
                    result.content.len()
                )
            }
            Part::Hosted { kind, .. } => format!("hosted {kind}"),
            other => format!("{other:?}"),
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"));
    assert!(
        matches!(&parts[6], Part::Thinking(thinking) if thinking.signature.as_ref().is_some_and(|seal| seal.origin == Origin::Google))
    );
}

#[test]
fn a_problem_names_its_place() {
    let message = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let with = |key: &str, value: Value| {
        let mut body = message(json!("Hi"));
        body[key] = value;
        body
    };
    for (body, place) in [
        (json!({}), "messages"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": [7]}), "messages[0]"),
        (
            json!({"messages": [{"role": "robot", "content": ""}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (message(json!(7)), "messages[0].content"),
        (
            message(json!([{"text": "x"}])),
            "messages[0].content[0].type",
        ),
        (
            message(json!([{"type": "text", "text": "x"}, {"type": "hologram"}])),
            "messages[0].content[1].type",
        ),
        (
            message(json!([{"type": "text", "text": 7}])),
            "messages[0].content[0].text",
        ),
        (
            message(json!([{"type": "image", "source": {"type": "moon"}}])),
            "messages[0].content[0].source.type",
        ),
        (
            message(
                json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}]),
            ),
            "messages[0].content[0].content[0].text",
        ),
        (with("system", json!([{"type": "image"}])), "system[0].type"),
        (with("max_tokens", json!("many")), "max_tokens"),
        (with("max_tokens", json!(1.5)), "max_tokens"),
        (
            with("tools", json!([{"name": "f", "input_schema": []}])),
            "tools[0].input_schema",
        ),
        (with("tools", json!([{}])), "tools[0].name"),
        (
            with("tool_choice", json!({"type": "tool"})),
            "tool_choice.name",
        ),
        (with("stop_sequences", json!(["a", 1])), "stop_sequences[1]"),
        (with("thinking", json!({"type": "deep"})), "thinking.type"),
        (
            with("output_config", json!({"effort": "heroic"})),
            "output_config.effort",
        ),
        (
            with(
                "output_config",
                json!({"format": {"type": "json_schema", "schema": 1}}),
            ),
            "output_config.format.schema",
        ),
        (with("metadata", json!({"user_id": 1})), "metadata.user_id"),
    ] {
        assert_eq!(param(&body), place, "{body}");
    }
    assert!(read_request(br#"{"messages":[],"model":"a","model":"b"}"#).is_err());
}

#[test]
fn blocks_that_are_nested_without_end_are_refused() {
    let open = r#"[{"type":"tool_result","tool_use_id":"t","content":"#;
    let deep = format!("{}[]{}", open.repeat(20_000), "}]".repeat(20_000));
    let body = format!(r#"{{"messages":[{{"role":"user","content":{deep}}}]}}"#);
    assert!(read_request(body.as_bytes()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_]{0,12}".prop_map(Value::from),
        Just(json!("text")),
        Just(json!("tool_result")),
        Just(json!("document")),
    ];
    let key = "type|text|content|source|role|messages|tools|system|input|cache_control|thinking|name|[a-z]{1,3}";
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_request(&bytes);
    }

    #[test]
    fn arbitrary_json_does_no_harm(messages in any_json(), tools in any_json(), extra in any_json()) {
        for body in [
            json!({"messages": messages, "tools": tools, "thinking": extra}),
            json!({"messages": [{"role": "user", "content": messages}], "tools": [tools], "output_config": extra}),
            json!({"messages": [{"role": "assistant", "content": [messages, tools]}], "system": extra}),
        ] {
            let _ = read_request(body.to_string().as_bytes());
        }
    }
}
