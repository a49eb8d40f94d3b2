use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn applied(body: &str, edits: Edits) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let pieces = edits.apply(&bytes);
    String::from_utf8(pieces.into_inner().concat()).expect("text")
}

fn disabled(body: &str) -> String {
    applied(body, disable(Surface::Messages, body.as_bytes()))
}

fn forced(body: &str, ttl: Option<u32>) -> String {
    applied(body, force(body.as_bytes(), ttl))
}

const MARK: &str = r#""cache_control":{"type":"ephemeral"}"#;

#[test]
fn directives_go_with_their_comma_and_every_other_byte_stays() {
    for (body, expected) in [
        (r#"{"cache_control":{"type":"ephemeral"}}"#, "{}"),
        (
            r#"{ "cache_control" : null , "a":1.10 }"#,
            r#"{  "a":1.10 }"#,
        ),
        (
            r#"{"a":12345678901234567890.10 , "cache_control":{"ttl":"1h"} }"#,
            r#"{"a":12345678901234567890.10  }"#,
        ),
        (
            r#"{"a":1,"cache_control":[{"x":"}"}],"b":2}"#,
            r#"{"a":1,"b":2}"#,
        ),
        // Twice, side by side, at either end, and apart.
        (r#"{"cache_control":1,"cache_control":2}"#, "{}"),
        (
            r#"{"a":1,"cache_control":1, "cache_control":2}"#,
            r#"{"a":1}"#,
        ),
        (
            r#"{"cache_control":1,"cache_control":2 ,"a":1}"#,
            r#"{"a":1}"#,
        ),
        (
            r#"{"cache_control":1,"a":"cache_control","cache_control":2}"#,
            r#"{"a":"cache_control"}"#,
        ),
        // However it is written.
        (r#"{"a":1,"cache\u005fcontr\u006fl":2}"#, r#"{"a":1}"#),
        (
            r#"{"cache_controls":1,"xcache_control":2}"#,
            r#"{"cache_controls":1,"xcache_control":2}"#,
        ),
        // Wherever it is.
        (
            r#"{"system":[{"type":"text","text":"\"cache_control\":","cache_control":{}}],"tools":[{"cache_control":{},"name":"t"}]}"#,
            r#"{"system":[{"type":"text","text":"\"cache_control\":"}],"tools":[{"name":"t"}]}"#,
        ),
        (
            r#"{"messages":[{"content":[{"content":[{"cache_control":{"a":{"cache_control":1}}}]}]}]}"#,
            r#"{"messages":[{"content":[{"content":[{}]}]}]}"#,
        ),
        // A cache of Google's only at the top.
        (
            r#"{"cachedContent":"cachedContents/1","contents":[{"cachedContent":"x"}],"cached_content":null}"#,
            r#"{"contents":[{"cachedContent":"x"}]}"#,
        ),
        (r#"{"prompt_cache_key":"k"}"#, r#"{"prompt_cache_key":"k"}"#),
    ] {
        assert_eq!(disabled(body), expected, "{body}");
    }
}

#[test]
fn what_is_stored_at_the_provider_is_no_prompt() {
    let body = br#"{"cachedContent":"x","cache_control":1}"#;
    assert!(disable(Surface::GeminiFiles, body).is_empty());
    assert!(!disable(Surface::Generate, body).is_empty());
}

#[test]
fn removing_goes_together_with_the_edits_of_a_native_lane() {
    use crate::envelope::Envelope;
    use crate::splice::{NativeEdits, native};
    for (body, expected) in [
        (
            r#"{"model":"m","drop_tuning_params":true,"cache_control":{}}"#,
            r#"{"model":"n"}"#,
        ),
        (
            r#"{"model":"m","cache_control":{},"drop_tuning_params":true}"#,
            r#"{"model":"n"}"#,
        ),
        (
            r#"{"cache_control":{},"drop_tuning_params":true,"model":"m"}"#,
            r#"{"model":"n"}"#,
        ),
    ] {
        let envelope = Envelope::read(body.as_bytes()).expect("a readable body");
        let wanted = NativeEdits {
            model: Some("n"),
            ..NativeEdits::default()
        };
        let mut edits = native(body.as_bytes(), &envelope, wanted);
        edits.extend(disable(Surface::Chat, body.as_bytes()));
        assert_eq!(applied(body, edits), expected);
    }
}

#[test]
fn a_body_nested_as_deeply_as_it_is_long_is_walked() {
    let deep = 200_000;
    let body = format!(
        r#"{}{{"cache_control":1,"a":2}}{}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    let after = disabled(&body);
    assert!(after.contains(r#"{"a":2}"#));
    assert!(has_marker(body.as_bytes()));
    assert!(force(body.as_bytes(), None).is_empty());
}

#[test]
fn force_marks_the_ends_of_instructions_messages_and_tools() {
    let image = r#"{"type":"image","source":{}}"#;
    for (body, expected) in [
        // Texts become blocks.
        (
            r#"{"system":"Be \"kind\".","messages":[{"role":"user","content":"Hi"}]}"#.to_owned(),
            format!(
                r#"{{"system":[{{"type":"text","text":"Be \"kind\".",{MARK}}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"Hi",{MARK}}}]}}]}}"#
            ),
        ),
        // Only the last of each, and the last message alone.
        (
            format!(
                r#"{{ "tools":[{{"name":"a"}}, {{"name":"b" }}],"system":[{{"type":"text","text":"A"}},{{"type":"text","text":"B"}}],"messages":[{{"content":"old"}},{{"content":[{image},{{"type":"tool_result","content":[]}}]}}] }}"#
            ),
            format!(
                r#"{{ "tools":[{{"name":"a"}}, {{"name":"b" ,{MARK}}}],"system":[{{"type":"text","text":"A"}},{{"type":"text","text":"B",{MARK}}}],"messages":[{{"content":"old"}},{{"content":[{image},{{"type":"tool_result","content":[],{MARK}}}]}}] }}"#
            ),
        ),
        // A marker that is null is none.
        (
            r#"{"messages":[{"content":[{"cache_control": null ,"type":"text","text":"Hi"}]}]}"#
                .to_owned(),
            r#"{"messages":[{"content":[{"cache_control": {"type":"ephemeral"} ,"type":"text","text":"Hi"}]}]}"#
                .to_owned(),
        ),
    ] {
        assert_eq!(forced(&body, None), expected);
    }
}

#[test]
fn force_passes_over_what_takes_no_marker() {
    let text = r#"{"type":"text","text":"T"}"#;
    let marked = format!(r#"{{"type":"text","text":"T",{MARK}}}"#);
    for after in [
        r#"{"type":"thinking","thinking":"x","signature":"s"}"#,
        r#"{"type":"redacted_thinking","data":"x"}"#,
        r#"{"type":"text","text":""}"#,
        r#"{"type":"text","text":" \n"}"#,
        r#"{"type":"text","text":null}"#,
        r#"{"type":"something_new"}"#,
        r#"{"type":"text","text":"a","type":"thinking"}"#,
        "{}",
        "1",
    ] {
        let body = |first: &str| format!(r#"{{"messages":[{{"content":[{first},{after}]}}]}}"#);
        assert_eq!(forced(&body(text), None), body(&marked));
    }
    let tools = |first: &str, second: &str| format!(r#"{{"tools":[{first},{second}]}}"#);
    for later in [
        r#"{"name":"b","defer_loading":true}"#,
        r#"{"type":"mcp_toolset","mcp_server_name":"s"}"#,
    ] {
        assert_eq!(
            forced(&tools(r#"{"name":"a"}"#, later), None),
            tools(&format!(r#"{{"name":"a",{MARK}}}"#), later)
        );
    }
}

#[test]
fn force_leaves_alone_what_has_nothing_to_mark() {
    for body in [
        "{}",
        r#"{"system":"","messages":[]}"#,
        r#"{"system":" ","messages":[{"content":""}]}"#,
        r#"{"system":null,"messages":null,"tools":null}"#,
        r#"{"messages":[{"role":"user"}],"tools":[],"system":[]}"#,
        r#"{"messages":[{"content":[{"type":"thinking","thinking":"x"}]}]}"#,
        r#"{"messages":[{"content":"a","content":"b"}]}"#,
        r#"{"messages":[{"content":"a"}],"messages":[{"content":"b"}]}"#,
        r#"{"nested":{"system":"S","messages":[{"content":"a"}]}}"#,
        "[]",
        "",
        "{",
        "\"",
    ] {
        assert_eq!(forced(body, None), body);
    }
}

/// A body with these blocks of instructions, of the last message, and these tools.
fn asked(system: &[Value], content: &[Value], tools: &[Value]) -> Value {
    json!({
        "model": "m", "system": system, "tools": tools,
        "messages": [{"role": "user", "content": content}],
    })
}

fn text(ttl: Option<&str>) -> Value {
    match ttl {
        None => json!({"type": "text", "text": "x"}),
        Some("") => json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
        Some(ttl) => {
            json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": ttl}})
        }
    }
}

fn tool(ttl: Option<&str>) -> Value {
    let mut tool = json!({"name": "t", "input_schema": {"type": "object"}});
    if let Some(marker) = text(ttl).get("cache_control") {
        tool["cache_control"] = marker.clone();
    }
    tool
}

/// Lifetimes at the ends of tools, instructions and messages after `force`.
fn ends(body: &Value, ttl: Option<u32>) -> [String; 3] {
    let after: Value = serde_json::from_str(&forced(&body.to_string(), ttl)).expect("JSON");
    let end = |list: &Value| {
        let last = list.as_array().and_then(|list| list.last());
        match last.and_then(|last| last.get("cache_control")) {
            None => "-".to_owned(),
            Some(marker) => marker["ttl"].as_str().unwrap_or("usual").to_owned(),
        }
    };
    [
        end(&after["tools"]),
        end(&after["system"]),
        end(&after["messages"][0]["content"]),
    ]
}

#[test]
fn four_breakpoints_are_kept_and_tools_come_last() {
    let many = |n| vec![text(Some("")); n];
    let open = |mut blocks: Vec<Value>| {
        blocks.push(text(None));
        blocks
    };
    for (system, content, expected) in [
        (0, 0, ["usual", "usual", "usual"]),
        (1, 0, ["usual", "usual", "usual"]),
        (1, 1, ["-", "usual", "usual"]),
        (2, 1, ["-", "usual", "-"]),
        (2, 2, ["-", "-", "-"]),
        (5, 0, ["-", "-", "-"]),
    ] {
        let body = asked(&open(many(system)), &open(many(content)), &[tool(None)]);
        assert_eq!(ends(&body, None), expected, "{system} {content}");
    }
}

#[test]
fn lifetimes_are_two_and_give_way_to_those_of_the_caller() {
    let open = || [text(None)];
    let after = |ttl| [text(Some(ttl)), text(None)];
    let plain = asked(&open(), &open(), &[tool(None)]);
    for (ttl, word) in [(1, "5m"), (300, "5m"), (301, "1h"), (86_400, "1h")] {
        assert_eq!(ends(&plain, Some(ttl)), [word, word, word], "{ttl}");
    }
    for (body, ttl, expected) in [
        // Nothing longer comes behind five minutes.
        (
            asked(&open(), &open(), &[tool(Some(""))]),
            3_600,
            ["usual", "5m", "5m"],
        ),
        (
            asked(&after("5m"), &open(), &[tool(None)]),
            3_600,
            ["1h", "5m", "5m"],
        ),
        // Nothing shorter comes before an hour.
        (
            asked(&open(), &after("1h"), &[tool(None)]),
            60,
            ["1h", "1h", "5m"],
        ),
    ] {
        assert_eq!(ends(&body, Some(ttl)), expected, "{body}");
    }
}

#[test]
fn the_provider_is_left_to_put_the_last_breakpoint_when_the_caller_asked_it_to() {
    let mut body = asked(&[text(None)], &[text(None)], &[tool(None)]);
    body["cache_control"] = json!({"type": "ephemeral"});
    assert_eq!(ends(&body, None), ["usual", "usual", "-"]);
    body["cache_control"] = Value::Null;
    assert_eq!(ends(&body, None), ["usual", "usual", "usual"]);
}

#[test]
fn a_marker_is_the_callers_word_to_the_provider() {
    for (body, expected) in [
        (r#"{"messages":[{"content":[{"cache_control":{}}]}]}"#, true),
        (r#"{"cache_control":{"type":"ephemeral"}}"#, true),
        (r#"{"input":[{"content":[{"cache_control":{}}]}]}"#, true),
        (r#"{"tools":[{"cache\u005fcontrol":{}}]}"#, true),
        (r#"{"cache_control":null}"#, false),
        (
            r#"{"tools":[{"input_schema":{"properties":{"cache_control":{}}}}]}"#,
            false,
        ),
        (
            r#"{"messages":[{"content":[{"type":"tool_use","input":{"cache_control":"no"}}]}]}"#,
            false,
        ),
        (
            r#"{"messages":[{"content":"\"cache_control\":{}"}]}"#,
            false,
        ),
        ("", false),
    ] {
        assert_eq!(has_marker(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn auto_marks_long_bodies_without_a_marker() {
    let body = |text: String| json!({"messages": [{"content": text}]}).to_string();
    let short = body("x".repeat(AUTO_FROM_BYTES - body(String::new()).len() - 1));
    let long = body("x".repeat(AUTO_FROM_BYTES - body(String::new()).len()));
    assert_eq!(long.len(), AUTO_FROM_BYTES);
    assert!(auto(short.as_bytes()).is_empty());
    assert_eq!(applied(&long, auto(long.as_bytes())), forced(&long, None));
    let marked = format!(r#"{{{MARK},{}"#, long.strip_prefix('{').expect("an object"));
    assert!(auto(marked.as_bytes()).is_empty());
}

/// JSON as a caller may write it: names stand twice, blanks stand anywhere, names are escaped.
#[derive(Debug, Clone)]
enum Node {
    Leaf(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

const BLANKS: [&str; 4] = ["", " ", "\n\t", "  \r\n"];

impl Node {
    fn any() -> impl Strategy<Value = Self> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("-1.50e+3".to_owned()),
            "[a-z\"\\\\{}\\[\\],:é]{0,8}".prop_map(|text| Value::from(text).to_string()),
            Just("\"cache_control\"".to_owned()),
        ];
        leaf.prop_map(Self::Leaf).prop_recursive(5, 40, 4, |inner| {
            let key = prop_oneof![
                3 => Just("cache_control".to_owned()),
                1 => Just("cache\\u005fcontrol".to_owned()),
                1 => Just("cachedContent".to_owned()),
                4 => "[a-c]".prop_map(String::from),
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Self::List),
                prop::collection::vec((key, inner), 0..5).prop_map(Self::Object),
            ]
        })
    }

    fn write(&self, blanks: &mut impl Iterator<Item = &'static str>, out: &mut String) {
        let mut blank = |out: &mut String| out.push_str(blanks.next().unwrap_or_default());
        blank(out);
        match self {
            Self::Leaf(json) => out.push_str(json),
            Self::List(nodes) => {
                out.push('[');
                for (n, node) in nodes.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    node.write(blanks, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (key, node)) in members.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(blanks.next().unwrap_or_default());
                    out.push_str(&format!("\"{key}\""));
                    out.push_str(blanks.next().unwrap_or_default());
                    out.push(':');
                    node.write(blanks, out);
                }
                out.push(' ');
                out.push('}');
            }
        }
        out.push_str(blanks.next().unwrap_or_default());
    }

    fn without_directives(&self, top: bool) -> Self {
        match self {
            Self::Leaf(json) => Self::Leaf(json.clone()),
            Self::List(nodes) => Self::List(
                nodes
                    .iter()
                    .map(|node| node.without_directives(false))
                    .collect(),
            ),
            Self::Object(members) => {
                let kept = members.iter().filter(|(key, _)| {
                    !key.starts_with("cache") || (key == "cachedContent" && !top)
                });
                let kept = kept.map(|(key, node)| (key.clone(), node.without_directives(false)));
                Self::Object(kept.collect())
            }
        }
    }

    fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut std::iter::empty(), &mut out);
        out
    }
}

/// The text of a body without blanks between its tokens.
fn tokens(json: &str) -> Vec<&str> {
    let mut scan = Scan::new(json.as_bytes());
    let mut tokens = Vec::new();
    while let Some((_, at)) = scan.next() {
        tokens.push(json.get(at).expect("a token"));
    }
    tokens
}

fn block() -> impl Strategy<Value = Value> {
    let marker = prop_oneof![
        5 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({"type": "ephemeral"}))),
        1 => Just(Some(json!({"ttl": "1h", "type": "ephemeral"}))),
    ];
    let kind = prop_oneof![
        Just(json!({"type": "text", "text": "x"})),
        Just(json!({"type": "text", "text": ""})),
        Just(json!({"type": "thinking", "thinking": "x", "signature": "s"})),
        Just(json!({"type": "tool_use", "id": "1", "input": {"cache_control": 1}})),
        Just(json!({"type": "tool_result", "content": [{"type": "text", "text": "x"}]})),
    ];
    (kind, marker).prop_map(|(mut block, marker)| {
        if let Some(marker) = marker {
            block["cache_control"] = marker;
        }
        block
    })
}

fn content() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ a\"\\\\é]{0,4}".prop_map(Value::from),
        prop::collection::vec(block(), 0..4).prop_map(Value::from),
    ]
}

fn messages_body() -> impl Strategy<Value = Value> {
    let tools = prop::collection::vec(block(), 0..3);
    let messages = prop::collection::vec(content(), 0..3);
    (tools, prop::option::of(content()), messages).prop_map(|(tools, system, messages)| {
        let messages: Vec<Value> = messages
            .into_iter()
            .map(|content| json!({"role": "user", "content": content}))
            .collect();
        let mut body = Map::new();
        body.insert("tools".to_owned(), tools.into());
        if let Some(system) = system {
            body.insert("system".to_owned(), system);
        }
        body.insert("messages".to_owned(), messages.into());
        body.into()
    })
}

/// How many markers `after` has more than `before`; `None` if anything else is different.
fn added(before: &Value, after: &Value) -> Option<usize> {
    match (before, after) {
        (Value::String(text), Value::Array(blocks)) => {
            let [block] = blocks.as_slice() else {
                return None;
            };
            added(&json!({"type": "text", "text": text}), block)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| added(a, b)).sum()
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut sum = 0;
            for (key, after) in b {
                let before = a.get(key).filter(|before| !before.is_null());
                match before {
                    None if a.get(key) == Some(after) => {}
                    None if key == "cache_control" => sum += 1,
                    None => return None,
                    Some(before) => sum += added(before, after)?,
                }
            }
            a.keys().all(|key| b.contains_key(key)).then_some(sum)
        }
        (a, b) => (a == b).then_some(0),
    }
}

/// Whether no marker of an hour comes behind one of five minutes.
fn in_order(body: &Value) -> bool {
    let mut seen_short = false;
    let lists = [&body["tools"], &body["system"]].into_iter().chain(
        body["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| &message["content"]),
    );
    for block in lists.filter_map(Value::as_array).flatten() {
        let Some(marker) = block
            .get("cache_control")
            .filter(|marker| !marker.is_null())
        else {
            continue;
        };
        let hour = marker["ttl"] == "1h";
        if hour && seen_short {
            return false;
        }
        seen_short |= !hour;
    }
    true
}

proptest! {
    #[test]
    fn after_disable_there_is_no_directive_and_the_rest_is_as_it_was(
        node in Node::any(), blanks in prop::collection::vec(prop::sample::select(&BLANKS[..]), 1..9),
    ) {
        let mut body = String::new();
        node.write(&mut blanks.iter().copied().cycle(), &mut body);
        prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
        let after = disabled(&body);
        prop_assert!(serde_json::from_str::<Value>(&after).is_ok(), "{}", after);
        let expected = node.without_directives(true).compact();
        prop_assert_eq!(tokens(&after), tokens(&expected));
        prop_assert_eq!(disabled(&after), after.clone());
        prop_assert!(!has_marker(after.as_bytes()));
    }

    #[test]
    fn force_adds_markers_and_nothing_else(
        body in messages_body(), ttl in prop::option::of(1..86_400_u32), pretty in any::<bool>(),
    ) {
        let sent = if pretty { format!("{body:#}") } else { body.to_string() };
        let there = Markers::of(sent.as_bytes()).count();
        let after = forced(&sent, ttl);
        let tree: Value = serde_json::from_str(&after).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let added = added(&body, &tree);
        prop_assert!(added.is_some(), "{}", tree);
        let added = added.unwrap_or_default();
        prop_assert!(added == 0 || there + added <= MOST_BREAKPOINTS);
        prop_assert_eq!(Markers::of(after.as_bytes()).count(), there + added);
        prop_assert!(in_order(&tree) || !in_order(&body), "{}", tree);
        prop_assert_eq!(forced(&after, ttl), after.clone(), "a second time changes nothing");
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ \nax\xff"[..]), 0..60),
        other in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for body in [bytes, other] {
            let body = Bytes::from(body);
            let _ = has_marker(&body);
            let _ = disable(Surface::Chat, &body).apply(&body);
            let _ = force(&body, Some(9)).apply(&body);
        }
    }
}
