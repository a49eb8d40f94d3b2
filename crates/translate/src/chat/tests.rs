//! The dialect as a whole: requests to vendors, answers, streams, and what holds for any input.

mod properties;

use crate::chat;
use crate::ir::{Answer, Part, Request, Stop};
use crate::stream::{Framing, Translator};
use crate::{Caller, Dialect, Outgoing, Problem, Target};

fn read(json: &str) -> Request {
    chat::read_request(json.as_bytes()).expect("a request")
}

fn target<'a>(provider: &'a str, name: &'a str) -> Target<'a> {
    Target {
        provider,
        model: name,
        name,
        max_output: None,
    }
}

/// Writes a request as if it came from Messages, so that nothing is given on unread.
fn written(json: &str, provider: &str, name: &str) -> Result<Outgoing, Problem> {
    let mut request = read(json);
    request.from = Dialect::Messages;
    chat::write_request(request, &target(provider, name))
}

fn body(outgoing: &Outgoing) -> &str {
    std::str::from_utf8(&outgoing.body).expect("text")
}

fn caller() -> Caller {
    Caller {
        model: "test-model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcdef".to_owned(),
        created: 1_700_000_000,
        ..Caller::default()
    }
}

const CONVERSATION: &str = r#"{"model":"m","stream":true,"max_tokens":256,"temperature":0.5,"top_k":40,
"reasoning_effort":"max","parallel_tool_calls":false,"service_tier":"auto","user":"u",
"messages":[{"role":"system","content":"You are terse."},{"role":"system","content":"Really."},
{"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"https://example.com/cat.png"}}]},
{"role":"assistant","content":null,"reasoning_details":[{"type":"reasoning.text","text":"Hm.","signature":"sig","format":"anthropic-claude-v1","index":0}],
"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"location\":\"Paris\",\"n\":12345678901234567890}"}},
{"id":"call_2","type":"function","function":{"name":"get_time","arguments":"{broken"}}]},
{"role":"tool","tool_call_id":"call_1","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAA="}}]},
{"role":"tool","tool_call_id":"call_2","content":"14:05"},
{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"And now?"},{"type":"text","text":"Quick."}]}],
"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"},"strict":true}}],"tool_choice":"required",
"response_format":{"type":"json_schema","json_schema":{"name":"place","schema":{"type":"object","properties":{"city":{"type":"string"}}},"strict":true}}}"#;

#[test]
fn each_vendor_gets_what_it_takes() {
    let mut report = String::new();
    for (provider, name) in [
        ("custom", "llama-3.3-70b"),
        ("custom", "gpt-5-mini"),
        ("openrouter", "anthropic/claude-sonnet-4"),
        ("groq", "openai/gpt-oss-120b"),
        ("deepseek", "deepseek-chat"),
        ("xai", "grok-4"),
        ("mistral", "mistral-large-latest"),
        ("cerebras", "llama3.1-8b"),
        ("cloudflare", "@cf/meta/llama-3.1-8b-instruct"),
    ] {
        let outgoing = written(CONVERSATION, provider, name).expect("a request");
        let json: Result<serde_json::Value, _> = serde_json::from_slice(&outgoing.body);
        assert!(json.is_ok(), "{}", body(&outgoing));
        report.push_str(&format!(
            "== {provider} {name}\ndropped {:?} json_tool {}\n{}\n",
            outgoing.dropped,
            outgoing.json_tool,
            body(&outgoing).replace(",\"", ",\n\""),
        ));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_round_trip_in_the_dialect_keeps_the_meaning() {
    let mut json = CONVERSATION.replace("\"user\":\"u\",", "\"user\":\"u\",\"seed\":7,\"n\":2,");
    json = json.replace(
        "\"reasoning_effort\":\"max\"",
        "\"reasoning_effort\":\"high\"",
    );
    let first = read(&json);
    let outgoing = chat::write_request(first.clone(), &target("openai", "gpt-5")).expect("written");
    let again = chat::read_request(&outgoing.body).expect("read again");
    // Calls keep their JSON; what was broken is wrapped, empty texts are gone.
    let meaning = |request: &Request| {
        let mut turns = Vec::new();
        for turn in &request.turns {
            for part in &turn.parts {
                match part {
                    Part::Text(text) if !text.text.is_empty() => turns.push(text.text.clone()),
                    Part::ToolCall(call) => turns.push(format!("{} {}", call.id, call.object())),
                    Part::ToolResult(result) => turns.push(result.call_id.clone()),
                    _ => {}
                }
            }
        }
        let rest: Vec<String> = request
            .rest
            .iter()
            .map(|(n, raw)| format!("{n}={raw}"))
            .collect();
        (
            turns.join("|").replace("\n\n", "|"),
            request.tools.len(),
            request.tool_choice.clone(),
            request.max_output,
            request.reasoning.clone(),
            request.parallel_tools,
            request.end_user.clone(),
            rest,
        )
    };
    let expected = meaning(&first);
    let mut got = meaning(&again);
    // The moved picture leaves a word where it stood; it is not of the conversation.
    got.0 = got.0.replace("|The result is in the next message.", "");
    assert_eq!(got, expected);
    assert!(outgoing.dropped.contains(&"top_k".to_owned()));
}

#[test]
fn strict_callers_get_a_refusal_and_others_the_names() {
    let json = r#"{"messages":[{"role":"user","content":"Q"}],"top_k":40}"#;
    let dropped = written(json, "groq", "llama").expect("written").dropped;
    assert_eq!(dropped, ["top_k"]);
    let strict = json.replace("\"top_k\"", "\"drop_tuning_params\":false,\"top_k\"");
    match written(&strict, "groq", "llama") {
        Err(Problem::Unsupported { param, message }) => {
            assert_eq!(param, "top_k");
            assert!(message.contains("groq/llama"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn thinking_is_asked_for_in_each_vendors_words() {
    let table = [
        (
            "custom",
            "llama",
            r#""reasoning_effort":"minimal""#,
            r#""reasoning_effort":"low""#,
        ),
        (
            "custom",
            "llama",
            r#""thinking":{"type":"enabled","budget_tokens":31999}"#,
            r#""reasoning_effort":"high""#,
        ),
        (
            "custom",
            "gpt-5",
            r#""reasoning_effort":"none""#,
            r#""reasoning_effort":"none""#,
        ),
        (
            "deepseek",
            "deepseek-chat",
            r#""thinking":{"type":"disabled"}"#,
            r#""thinking":{"type":"disabled"}"#,
        ),
        (
            "deepseek",
            "deepseek-chat",
            r#""reasoning_effort":"xhigh""#,
            r#""thinking":{"type":"enabled"},"reasoning_effort":"high""#,
        ),
        (
            "openrouter",
            "x",
            r#""thinking":{"type":"enabled","budget_tokens":2048}"#,
            r#""reasoning":{"max_tokens":2048}"#,
        ),
        (
            "openrouter",
            "x",
            r#""reasoning":{"enabled":true}"#,
            r#""reasoning":{"enabled":true}"#,
        ),
        (
            "xai",
            "grok-3-mini",
            r#""reasoning_effort":"high""#,
            r#""reasoning_effort":"high""#,
        ),
    ];
    for (provider, name, given, expected) in table {
        let json = format!(r#"{{"messages":[],{given}}}"#);
        let outgoing = written(&json, provider, name).expect("written");
        assert!(
            body(&outgoing).contains(expected),
            "{provider} {given}: {}",
            body(&outgoing)
        );
        assert!(outgoing.dropped.is_empty(), "{provider} {given}");
    }
    let silent = written(
        r#"{"messages":[],"thinking":{"type":"disabled"}}"#,
        "custom",
        "llama",
    );
    let silent = silent.expect("written");
    assert!(!body(&silent).contains("reasoning") && silent.dropped.is_empty());
    let unheard = written(
        r#"{"messages":[],"reasoning_effort":"high"}"#,
        "mistral",
        "m",
    );
    assert_eq!(unheard.expect("written").dropped, ["thinking"]);
}

#[test]
fn files_that_cannot_be_reached_are_refused() {
    for part in [
        r#"{"type":"file","file":{"file_id":"file-1"}}"#,
        r#"{"type":"file","file":{"file_data":"https://example.com/report.pdf"}}"#,
    ] {
        let json = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        match written(&json, "custom", "m") {
            Err(Problem::Unsupported { param, .. }) => assert_eq!(param, "messages"),
            other => panic!("{other:?}"),
        }
        let request = read(&json);
        let to_fetch = request.remote_sources(Dialect::Chat);
        assert_eq!(to_fetch.len(), usize::from(part.contains("https")));
    }
    let notes = r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:text/plain;base64,aGVsbG8=","filename":"a.txt"}}]}]}"#;
    let outgoing = written(notes, "custom", "m").expect("written");
    assert!(
        body(&outgoing).contains(r#""content":"hello""#),
        "{}",
        body(&outgoing)
    );
}

fn answer(json: &str) -> Answer {
    chat::read_answer(json.as_bytes()).expect("an answer")
}

fn rewritten(json: &str, caller: &Caller) -> String {
    let bytes = crate::write_answer(Dialect::Chat, answer(json), caller);
    String::from_utf8(bytes).expect("text")
}

#[test]
fn answers_of_many_servers_are_read() {
    let of = |message: &str| {
        answer(&format!(
            r#"{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{{"index":1,"message":{{"content":"no"}}}},{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#
        ))
        .parts
    };
    let shown = |parts: Vec<Part>| {
        let shown: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => format!("text {}", text.text),
                Part::Thinking(one) => format!("thinking {} {}", one.text, one.signature.is_some()),
                Part::ToolCall(call) => {
                    format!("call {} {} {}", call.id, call.name, call.arguments)
                }
                Part::Refusal(words) => format!("refusal {words}"),
                other => format!("{other:?}"),
            })
            .collect();
        shown.join("; ")
    };
    for (message, expected) in [
        (r#"{"content":"Paris"}"#, "text Paris"),
        (
            r#"{"content":"Paris","reasoning":"Hm."}"#,
            "thinking Hm. false; text Paris",
        ),
        (
            r#"{"content":"Paris","reasoning_content":"Hm.","reasoning":"Hm."}"#,
            "thinking Hm. false; text Paris",
        ),
        (
            r#"{"content":"Paris","reasoning":"Hm.","reasoning_details":[{"type":"reasoning.text","text":"Hm.","signature":"s","format":"anthropic-claude-v1"}]}"#,
            "thinking Hm. true; text Paris",
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]},{"type":"text","text":"Paris"}]}"#,
            "thinking Hm. false; text Paris",
        ),
        (
            r#"{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":{"n":12345678901234567890}}}]}"#,
            r#"call c f {"n":12345678901234567890}"#,
        ),
        (
            r#"{"function_call":{"name":"f","arguments":"{}"}}"#,
            "call  f {}",
        ),
        (r#"{"content":null,"refusal":"No."}"#, "refusal No."),
        (
            r#"{"content":null,"audio":{"id":"a","data":"AA","transcript":"Hi"}}"#,
            "text Hi",
        ),
        (r#"{"content":7,"tool_calls":{"odd":1}}"#, ""),
        ("null", ""),
    ] {
        assert_eq!(shown(of(message)), expected, "{message}");
    }
    for body in ["[]", "{}", "nothing", r#"{"error":{"message":"down"}}"#] {
        assert!(chat::read_answer(body.as_bytes()).is_err(), "{body}");
    }
    assert_eq!(answer(r#"{"choices":[]}"#).stop, Stop::Length);
}

#[test]
fn a_full_answer_is_written_field_by_field() {
    let json = r#"{"id":"gen-1","model":"x","created":5,"service_tier":"default","choices":[{"index":0,"logprobs":{"content":[]},"finish_reason":"stop",
      "message":{"role":"assistant","content":"Paris is cloudy.","reasoning":"Hm.","reasoning_details":[{"type":"reasoning.text","text":"Hm.","signature":"s","format":"anthropic-claude-v1","index":0}],
      "annotations":[{"type":"url_citation","url_citation":{"url":"https://e.com","title":"E","start_index":0,"end_index":5}}],
      "tool_calls":[{"id":"","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"seal"}}}]}}],
      "usage":{"prompt_tokens":150,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":40,"cache_creation_tokens":10},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
    let caller = Caller {
        dropped: vec!["seed".to_owned()],
        ..caller()
    };
    insta::assert_snapshot!(rewritten(json, &caller));
    let hidden = Caller {
        hide_thinking: true,
        ..caller
    };
    assert!(!rewritten(json, &hidden).contains("\"reasoning\""));
}

#[test]
fn an_answer_without_choices_or_text_has_one_choice_all_the_same() {
    let empty = rewritten(r#"{"choices":[]}"#, &caller());
    assert!(
        empty.contains(r#""id":"chatcmpl-lw0123456789abcdef01234567""#),
        "{empty}"
    );
    assert!(empty.contains(r#""content":"""#) && empty.contains(r#""finish_reason":"length""#));
    assert!(!empty.contains("usage"));
    let calls = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    let calls = rewritten(calls, &caller());
    assert!(
        calls.contains(r#""content":null"#) && calls.contains(r#""finish_reason":"tool_calls""#)
    );
}

#[test]
fn what_an_answer_says_can_be_sent_back() {
    let json = r#"{"choices":[{"message":{"content":"Let me check.","reasoning_details":[
      {"type":"reasoning.summary","summary":"One.","id":"rs_1","format":"openai-responses-v1","index":0},
      {"type":"reasoning.encrypted","data":"enc","id":"rs_1","format":"openai-responses-v1","index":0},
      {"type":"reasoning.encrypted","data":"hidden","format":"anthropic-claude-v1","index":1}],
      "tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"seal"}}}]},"finish_reason":"tool_calls"}]}"#;
    let first = answer(json);
    let whole = rewritten(json, &caller());
    let value: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
    let message = &value["choices"][0]["message"];
    let back = read(&format!(r#"{{"messages":[{message}]}}"#));
    assert_eq!(
        format!("{:?}", back.turns[0].parts),
        format!("{:?}", first.parts)
    );
}

/// Runs provider bytes through to a chat caller.
fn stream(bytes: &str, caller: Caller) -> String {
    let mut translator = Translator::new(Dialect::Chat, Framing::Sse, Dialect::Chat, caller);
    let mut out = Vec::new();
    translator.push(bytes.as_bytes(), &mut out);
    translator.end(&mut out);
    if !translator.is_over() {
        translator.fail(
            crate::ir::Failure {
                message: "chunk 3: the connection broke".to_owned(),
                ..crate::ir::Failure::default()
            },
            &mut out,
        );
    }
    String::from_utf8(out).expect("text")
}

fn frames(deltas: &[&str]) -> String {
    deltas
        .iter()
        .map(|choice| format!("data: {{\"id\":\"c1\",\"model\":\"x\",\"choices\":[{choice}]}}\n\n"))
        .collect()
}

#[test]
fn a_stream_with_everything_is_rewritten_chunk_by_chunk() {
    let mut text = frames(&[
        r#"{"index":0,"delta":{"role":"assistant","content":""}}"#,
        r#"{"index":0,"delta":{"reasoning":"Hm","reasoning_details":[{"type":"reasoning.text","text":"Hm","index":0}]}}"#,
        r#"{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":0}]}}"#,
        r#"{"index":0,"delta":{"content":"Let me "}}"#,
        r#"{"index":0,"delta":{"content":"check."},"logprobs":{"content":[]}}"#,
        r#"{"index":1,"delta":{"content":"not this"}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""},"extra_content":{"google":{"thought_signature":"seal"}}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"arguments":"{\"location\":"}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"\"Paris\"}"}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","function":{"name":"get_time","arguments":{"zone":"Europe/Paris"}}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":2,"function":{"name":"no_arguments"}}]}}"#,
        r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#,
    ]);
    text.push_str("data:{\"id\":\"c1\",\"choices\":[],\"service_tier\":\"flex\",\"usage\":{\"prompt_tokens\":\"150\",\"completion_tokens\":20}}\r\n\r\ndata: [done]\n\n");
    let caller = Caller {
        dropped: vec!["seed".to_owned()],
        ..caller()
    };
    insta::assert_snapshot!(stream(&text, caller));
}

#[test]
fn a_stream_ends_as_its_provider_ended_it() {
    let said = frames(&[r#"{"index":0,"delta":{"content":"Paris"}}"#]);
    let stop = frames(&[r#"{"index":0,"delta":{},"finish_reason":"stop"}"#]);
    let no_marker = stream(&format!("{said}{stop}"), caller());
    assert!(no_marker.ends_with("\"finish_reason\":\"stop\"}]}\n\nevent: warning\ndata: {\"warning\":\"provider_did_not_report_usage_on_stream\"}\n\ndata: [DONE]\n\n"), "{no_marker}");
    let opted_out = Caller {
        include_usage: Some(false),
        ..caller()
    };
    assert!(!stream(&format!("{said}{stop}"), opted_out).contains("warning"));
    let broken = stream(&said, caller());
    assert!(broken.ends_with("event: error\ndata: {\"error\":{\"type\":\"provider_error\",\"code\":\"upstream_mid_stream_failure\",\"message\":\"chunk 3: the connection broke\",\"param\":null}}\n\n"), "{broken}");
    let own = format!(
        "{said}data: {{\"error\":{{\"message\":\"slow down\",\"type\":\"rate_limit\",\"code\":429,\"param\":\"x\"}}}}\n\ndata: [DONE]\n\n"
    );
    let own = stream(&own, caller());
    assert!(own.ends_with("event: error\ndata: {\"error\":{\"type\":\"rate_limit\",\"code\":\"upstream_mid_stream_failure\",\"message\":\"slow down\",\"param\":\"x\"}}\n\n"), "{own}");
    let first = stream("data: {\"error\":\"down\"}\n\n", caller());
    assert!(
        first.starts_with("event: error\ndata: {\"error\":"),
        "{first}"
    );
}

/// What a caller gathers from a stream: content, and per call its id, name and arguments.
fn gathered(stream: &str) -> (String, Vec<(String, String, String)>) {
    let (mut content, mut calls) = (String::new(), Vec::<(String, String, String)>::new());
    for line in stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
    {
        let chunk: serde_json::Value =
            serde_json::from_str(&format!("{{{line}")).expect("a chunk is JSON");
        let delta = &chunk["choices"][0]["delta"];
        content.push_str(delta["content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            calls.resize(calls.len().max(at + 1), Default::default());
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            calls[at].0 += &text(&call["id"]);
            calls[at].1 += &text(&call["function"]["name"]);
            calls[at].2 += &text(&call["function"]["arguments"]);
        }
    }
    (content, calls)
}

#[test]
fn calls_are_told_apart_however_a_server_numbers_them() {
    let whole = |id: &str, name: &str, index: &str| {
        format!(
            r#"{{"delta":{{"tool_calls":[{{{index}"id":"{id}","function":{{"name":"{name}","arguments":"{{}}"}}}}]}}}}"#
        )
    };
    for index in ["", r#""index":0,"#, r#""index":"0","#] {
        let (one, two) = (whole("a", "f", index), whole("b", "g", index));
        let text = format!("{}data: [DONE]\n\n", frames(&[&one, &two]));
        let (_, calls) = gathered(&stream(&text, caller()));
        let names: Vec<&str> = calls.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["f", "g"], "{index}");
        assert!(calls.iter().all(|(_, _, arguments)| arguments == "{}"));
    }
    // No index, no id: the pieces follow their name.
    let text = frames(&[
        r#"{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\""}}]}}"#,
        r#"{"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]}}"#,
        r#"{"delta":{"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}}"#,
    ]);
    let (_, calls) = gathered(&stream(&format!("{text}data: [DONE]\n\n"), caller()));
    let arguments: Vec<&str> = calls.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(arguments, [r#"{"a":1}"#, "{}"]);
    assert_ne!(calls[0].0, calls[1].0);
    assert!(calls[0].0.starts_with("call_") && calls[0].0.len() == "call_".len() + 24);
}

#[test]
fn a_free_form_tool_streams_its_plain_input() {
    let caller = Caller {
        freeform_tools: vec!["shell".to_owned()],
        ..caller()
    };
    let text = frames(&[
        r#"{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"shell","arguments":"{\"inp"}}]}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"ut\":\"ls -l\"}"}}]}}"#,
    ]);
    let out = stream(&format!("{text}data: [DONE]\n\n"), caller);
    assert!(
        out.contains(
            r#"{"index":0,"id":"c","type":"custom","custom":{"name":"shell","input":""}}"#
        ),
        "{out}"
    );
    assert!(out.contains(r#""custom":{"input":"ls -l"}"#), "{out}");
}

#[test]
fn a_body_keeps_what_only_the_same_dialect_knows() {
    let json = r#"{"model":"m","messages":[],"logit_bias":{"1":1.50},"vendor":{"n":12345678901234567890}}"#;
    let outgoing = chat::write_request(read(json), &target("custom", "m")).expect("written");
    assert!(
        body(&outgoing).contains(r#""logit_bias":{"1":1.50},"vendor":{"n":12345678901234567890}"#)
    );
}
