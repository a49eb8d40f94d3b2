use serde_json::{Value, json};

use super::*;
use crate::{Target, read_request, write_request};

const HOUR: CacheWish = CacheWish::Force { ttl: Some(3_600) };

const ANTHROPIC: (&str, &str) = ("anthropic", "claude-sonnet-4-5");
const VERTEX: (&str, &str) = ("vertex", "claude-sonnet-4-5");
const INVOKE: (&str, &str) = ("bedrock", "anthropic.claude-sonnet-4-5-v1:0");
const OLD_INVOKE: (&str, &str) = ("bedrock", "anthropic.claude-3-7-sonnet-v1:0");

fn sent(body: &Value, wish: CacheWish, to: Dialect, (provider, name): (&str, &str)) -> Value {
    let mut request =
        read_request(Dialect::Chat, body.to_string().as_bytes()).expect("a readable request");
    request.cache_wish = wish;
    let target = Target {
        provider,
        model: name,
        name,
        max_output: None,
    };
    let outgoing = write_request(to, request, &target).expect("a request that can be written");
    serde_json::from_slice(&outgoing.body).expect("JSON")
}

fn text(ttl: Option<&str>) -> Value {
    match ttl {
        None => json!({"type": "text", "text": "x"}),
        Some(ttl) => {
            json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": ttl}})
        }
    }
}

fn asked(parts: &[Value]) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": parts}]})
}

#[test]
fn anthropic_is_told_at_the_top_and_others_on_the_last_block() {
    let body = asked(&[text(None), text(None)]);
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let short = json!({"type": "ephemeral"});
    let after = sent(&body, HOUR, Dialect::Messages, ANTHROPIC);
    assert_eq!(after["cache_control"], hour);
    assert_eq!(after["messages"][0]["content"][1], text(None));
    for (target, marker) in [(VERTEX, &hour), (INVOKE, &hour), (OLD_INVOKE, &short)] {
        let after = sent(&body, HOUR, Dialect::Messages, target);
        assert_eq!(after.get("cache_control"), None, "{target:?}");
        assert_eq!(after["messages"][0]["content"][0], text(None));
        assert_eq!(after["messages"][0]["content"][1]["cache_control"], *marker);
    }
    let after = sent(&body, HOUR, Dialect::Converse, INVOKE);
    let content = after["messages"][0]["content"].as_array().expect("blocks");
    let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    assert_eq!((content.len(), content.last()), (3, Some(&point)));
}

#[test]
fn the_last_block_is_the_one_that_is_written_last() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "18"},
        {"role": "user", "content": "And?"},
        {"role": "user", "content": " "},
    ]});
    let after = sent(&body, HOUR, Dialect::Messages, VERTEX);
    let content = &after["messages"][2]["content"];
    assert_eq!(content[0]["type"], "tool_result");
    assert_eq!(content[1]["cache_control"]["ttl"], "1h");
    assert_eq!(after.to_string().matches("cache_control").count(), 1);
}

#[test]
fn a_new_marker_goes_with_those_of_the_caller() {
    let one = text(Some("1h"));
    let four = [one.clone(), one.clone(), one.clone(), one.clone()];
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    for (parts, expected) in [
        // The end of the prompt has one.
        (vec![text(None), text(Some("5m"))], None),
        (vec![text(Some("5m")), text(None), one.clone()], None),
        // The limit is reached.
        ([&four[..], &[text(None)]].concat(), None),
        // Nothing longer comes behind five minutes.
        (
            vec![text(Some("5m")), text(None)],
            Some(json!({"type": "ephemeral"})),
        ),
        (vec![one, text(None)], Some(hour)),
    ] {
        let after = sent(&asked(&parts), HOUR, Dialect::Messages, ANTHROPIC);
        assert_eq!(after.get("cache_control"), expected.as_ref(), "{parts:?}");
    }
    let mut own = asked(&[text(None)]);
    own["cache_control"] = json!({"type": "ephemeral"});
    let after = sent(&own, HOUR, Dialect::Messages, ANTHROPIC);
    assert_eq!(after["cache_control"], own["cache_control"]);
}

#[test]
fn persistent_is_the_longest_lifetime() {
    let mut body = asked(&[text(Some("persistent"))]);
    body["cache_control"] = json!({"type": "persistent"});
    let after = sent(&body, CacheWish::None, Dialect::Messages, ANTHROPIC);
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    assert_eq!(after["cache_control"], hour);
    assert_eq!(after["messages"][0]["content"][0]["cache_control"], hour);
}
