use proptest::prelude::*;
use serde_json::{Value, json};

use super::{read_request, write_request};
use crate::drops::Drops;
use crate::ir::{
    CacheMarker, Effort, Function, Media, OutputFormat, Part, Reasoning, Request, Role, Source,
    Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json;
use crate::signature::{Origin, Signature};
use crate::{Dialect, Outgoing, Problem, Target};

const TARGET: Target<'static> = Target {
    provider: "gemini",
    model: "gemini-2.5-flash",
    name: "gemini-2.5-flash",
    max_output: None,
};

fn read(body: &Value) -> Request {
    read_request(body.to_string().as_bytes()).expect("a request")
}

fn refused(body: &Value) -> String {
    match read_request(body.to_string().as_bytes()) {
        Err(Problem::Bad { param, .. }) => param,
        other => panic!("{other:?} of {body}"),
    }
}

fn written(request: Request) -> (Value, Vec<String>) {
    let Outgoing { body, dropped, .. } = write_request(request, &TARGET).expect("a body");
    (
        serde_json::from_slice(&body).expect("the body is JSON"),
        dropped,
    )
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts }
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        freeform: false,
        signature: None,
        cache: None,
    }
}

fn result(id: &str, content: Vec<Part>) -> ToolResult {
    ToolResult {
        call_id: id.to_owned(),
        name: None,
        content,
        is_error: false,
        freeform: false,
        cache: None,
    }
}

fn function(name: &str, schema: Option<&str>) -> Tool {
    Tool::Function(Function {
        name: name.to_owned(),
        description: None,
        schema: schema.map(|schema| json::raw(schema.to_owned())),
        strict: None,
        freeform: false,
        cache: None,
    })
}

fn chat(turns: Vec<Turn>) -> Request {
    let mut request = Request::new(Dialect::Chat);
    request.turns = turns;
    request
}

#[test]
fn texts_stand_wherever_contents_may() {
    for body in [
        json!({"contents": "hi"}),
        json!({"contents": ["hi"]}),
        json!({"contents": {"parts": "hi"}}),
        json!({"contents": [{"role": "user", "parts": ["hi"]}]}),
        json!({"contents": [{"role": "user", "parts": {"text": "hi"}}], "system_instruction": null}),
        json!({"contents": [{"role": "function", "parts": [{"text": "hi"}]}]}),
    ] {
        let request = read(&body);
        let [Turn { role, parts }] = request.turns.as_slice() else {
            panic!("one turn of {body}");
        };
        assert_eq!(*role, Role::User);
        assert!(
            matches!(parts.as_slice(), [Part::Text(text)] if text.text == "hi"),
            "{body}"
        );
    }
    for system in [
        json!("S"),
        json!({"text": "S"}),
        json!({"role": "system", "parts": [{"text": "S"}]}),
        json!({"parts": ["S"]}),
        json!([{"text": "S"}]),
    ] {
        let request = read(&json!({"contents": "hi", "system_instruction": system}));
        assert!(
            matches!(request.system.as_slice(), [Part::Text(text)] if text.text == "S"),
            "{system}"
        );
    }
}

#[test]
fn a_wrong_body_is_refused_with_its_place() {
    for (body, place) in [
        (json!({}), "contents"),
        (json!({"contents": 7}), "contents"),
        (
            json!({"contents": [{"role": "system", "parts": []}]}),
            "contents[0].role",
        ),
        (
            json!({"contents": [{"parts": [{}]}]}),
            "contents[0].parts[0]",
        ),
        (
            json!({"contents": [{"parts": [{"text": "a"}, {"video": {}}]}]}),
            "contents[0].parts[1]",
        ),
        (
            json!({"contents": [{"parts": [{"text": 7}]}]}),
            "contents[0].parts[0].text",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}),
            "contents[0].parts[0].functionCall.name",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]}),
            "contents[0].parts[0].functionCall.args",
        ),
        (
            json!({"contents": [{"parts": [{"functionResponse": {"name": "f", "response": "x"}}]}]}),
            "contents[0].parts[0].functionResponse.response",
        ),
        (
            json!({"contents": "x", "generationConfig": {"temperature": "warm"}}),
            "generationConfig.temperature",
        ),
        (
            json!({"contents": "x", "generationConfig": {"thinkingConfig": {"thinkingLevel": "much"}}}),
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (json!({"contents": "x", "tools": {}}), "tools"),
        (
            json!({"contents": "x", "tools": [{"functionDeclarations": [{}]}]}),
            "tools[0].functionDeclarations[0].name",
        ),
        (
            json!({"contents": "x", "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}),
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            json!({"contents": "x", "systemInstruction": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}),
            "systemInstruction",
        ),
    ] {
        assert_eq!(refused(&body), place, "{body}");
    }
}

#[test]
fn the_generation_config_is_read_in_both_spellings() {
    let camel = json!({"contents": "x", "generationConfig": {
        "temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 256,
        "stopSequences": ["END", "STOP"], "candidateCount": 1, "presencePenalty": 0.25,
        "frequencyPenalty": -0.25, "seed": 7, "responseModalities": ["TEXT"],
        "responseLogprobs": true, "logprobs": 3, "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 8192}}});
    let snake = json!({"contents": "x", "generation_config": {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40.0, "max_output_tokens": "256",
        "stop_sequences": ["END", "STOP"], "candidate_count": 1, "presence_penalty": 0.25,
        "frequency_penalty": -0.25, "seed": 7, "response_modalities": ["TEXT"],
        "response_logprobs": true, "logprobs": 3, "media_resolution": "MEDIA_RESOLUTION_LOW",
        "thinking_config": {"include_thoughts": true, "thinking_budget": 8192}}});
    for body in [camel, snake] {
        let request = read(&body);
        assert_eq!(request.max_output, Some(256));
        assert_eq!(request.stop, ["END", "STOP"]);
        assert_eq!(request.logprobs, Some(3));
        let wanted = Reasoning {
            budget: Some(8_192),
            summary: Some("auto".to_owned()),
            ..Reasoning::default()
        };
        assert_eq!(request.reasoning, Some(wanted));
        let rest: Vec<&str> = request.rest.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(rest, ["seed", "generationConfig.mediaResolution"]);
    }
}

#[test]
fn thinking_is_read_as_what_it_means() {
    let of = |thinking: Value| {
        read(&json!({"contents": "x", "generationConfig": {"thinkingConfig": thinking}})).reasoning
    };
    assert_eq!(of(json!({"includeThoughts": false})), None);
    let enabled = |on| {
        Some(Reasoning {
            enabled: Some(on),
            ..Reasoning::default()
        })
    };
    assert_eq!(of(json!({"thinkingBudget": -1})), enabled(true));
    assert_eq!(of(json!({"thinkingBudget": 0})), enabled(false));
    for (thinking, effort) in [
        (json!({"thinkingLevel": "LOW"}), Effort::Low),
        (json!({"thinking_level": "high"}), Effort::High),
        (json!({"thinkingBudget": 512}), Effort::Minimal),
    ] {
        assert_eq!(of(thinking).and_then(|wanted| wanted.effort), Some(effort));
    }
}

#[test]
fn calls_without_ids_get_them_by_position_and_results_find_them_by_name_and_order() {
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "a", "args": {"n": 1}}},
            {"functionCall": {"name": "b"}},
            {"function_call": {"name": "a", "args": {"n": 2}}},
            {"functionCall": {"id": "own", "name": "a"}},
        ]},
        {"role": "function", "parts": [
            {"functionResponse": {"name": "b", "response": {"result": "of b"}}},
            {"functionResponse": {"name": "a", "response": {"output": "of a 1"}}},
            {"functionResponse": {"id": "own", "name": "a", "response": {"error": "of own"}}},
            {"functionResponse": {"name": "a", "response": {"n": 2}}},
        ]},
    ]});
    let request = read(&body);
    let ids = |n: usize| -> Vec<String> {
        request.turns[n]
            .parts
            .iter()
            .map(|part| match part {
                Part::ToolCall(call) => call.id.clone(),
                Part::ToolResult(result) => result.call_id.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let calls = ids(1);
    assert_eq!(calls[3], "own");
    assert_eq!(calls[0], "call_000000000000000000000000");
    assert_eq!(
        ids(2),
        [&calls[1], &calls[0], &calls[3], &calls[2]].map(String::clone)
    );
    assert_eq!(request.tool_of_call(&calls[1]), Some("b"));
    let texts: Vec<(String, bool)> = request.turns[2]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolResult(result) => match &result.content[..] {
                [Part::Text(text)] => (text.text.clone(), result.is_error),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("of b", false),
        ("of a 1", false),
        ("of own", true),
        (r#"{"n":2}"#, false),
    ];
    assert_eq!(
        texts,
        expected.map(|(text, error)| (text.to_owned(), error))
    );
}

#[test]
fn media_is_sorted_by_its_type_and_bytes_become_standard_base64() {
    let body = json!({"contents": [{"parts": [
        {"inlineData": {"mimeType": "image/png", "data": "-_8"}},
        {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQK", "displayName": "report.pdf"}},
        {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8="}},
        {"fileData": {"fileUri": "https://example.com/cat.png?x=1"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/a"}},
    ]}]});
    let parts = read(&body).turns.remove(0).parts;
    let inline = |media_type: &str, data: &str| Source::Inline {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    };
    let Part::Image(image) = &parts[0] else {
        panic!("an image")
    };
    assert_eq!(image.source, inline("image/png", "+/8="));
    assert!(matches!(&parts[1], Part::Audio(media) if media.source == inline("audio/wav", "AAAA")));
    assert!(
        matches!(&parts[2], Part::Document(media) if media.name.as_deref() == Some("report.pdf"))
    );
    assert!(
        matches!(&parts[3], Part::Document(media) if media.source == Source::Text("hello".to_owned()))
    );
    assert!(matches!(&parts[4], Part::Image(_)));
    assert!(
        matches!(&parts[5], Part::Document(media) if media.source == Source::Url("gs://b/a".to_owned()))
    );
}

#[test]
fn a_choice_among_several_functions_leaves_the_others_out() {
    let request = read(&json!({"contents": "x",
        "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}, {"google_search": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["a", "c"]}}}));
    let names: Vec<&str> = request
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function(function) => function.name.as_str(),
            Tool::Hosted { kind, .. } => kind,
        })
        .collect();
    assert_eq!(names, ["a", "c", "googleSearch"]);
    assert_eq!(request.tool_choice, Some(ToolChoice::Any));
}

#[test]
fn thoughts_in_pieces_are_one_with_the_seal_at_their_end() {
    let foreign = crate::gemini::seal::write(&Signature::new(Origin::Anthropic, "sig"), false);
    let hidden = crate::gemini::seal::write(&Signature::new(Origin::Anthropic, "data"), true);
    let request = read(&json!({"contents": [{"role": "model", "parts": [
        {"text": "The user ", "thought": true},
        {"text": "wants.", "thought": true},
        {"text": "", "thought": true, "thoughtSignature": foreign},
        {"text": "", "thought": true, "thoughtSignature": hidden},
        {"thoughtSignature": "CpcB"},
        {"text": "Hi."},
    ]}]}));
    let [
        Part::Thinking(first),
        Part::Thinking(second),
        Part::Thinking(third),
        Part::Text(_),
    ] = request.turns[0].parts.as_slice()
    else {
        panic!("{:?}", request.turns);
    };
    assert_eq!(first.text, "The user wants.");
    assert_eq!(
        first.signature,
        Some(Signature::new(Origin::Anthropic, "sig"))
    );
    assert!(second.redacted && second.text.is_empty());
    assert_eq!(
        third.signature,
        Some(Signature::new(Origin::Google, "CpcB"))
    );
}

#[test]
fn a_request_of_google_keeps_its_meaning_through_the_neutral_form() {
    let body = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "What is the weather in Paris?"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [
                {"text": "The user wants the weather.", "thought": true, "thoughtSignature": "CpcA"},
                {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"location": "Paris", "n": 12345678901234567890_u64}}, "thoughtSignature": "CpcB"},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
            ]},
            {"role": "user", "parts": [{"functionResponse": {"id": "call_1", "name": "get_weather", "response": {"result": "18 degrees, cloudy"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "You are terse."}]},
        "tools": [
            {"functionDeclarations": [{"name": "get_weather", "description": "Current weather", "parametersJsonSchema": {"type": "object"}}]},
            {"googleSearch": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}, "retrievalConfig": {"languageCode": "en"}},
        "generationConfig": {
            "temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 256, "stopSequences": ["END"],
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": true, "logprobs": 3,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
            "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true},
            "seed": 7, "speechConfig": {"languageCode": "en"},
        },
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/1",
        "labels": {"team": "a"},
        "somethingNew": {"x": 1},
    });
    let (again, dropped) = written(read(&body));
    assert_eq!(again, body);
    assert!(dropped.is_empty());
}

#[test]
fn a_conversation_of_another_dialect_becomes_contents() {
    let mut request = chat(vec![
        turn(Role::Assistant, vec![Part::text("Hello.")]),
        turn(
            Role::User,
            vec![Part::text(""), Part::text("Weather and time?")],
        ),
        turn(
            Role::Assistant,
            vec![
                Part::Thinking(Thinking {
                    text: "of another vendor".to_owned(),
                    signature: Some(Signature::new(Origin::Anthropic, "sig")),
                    ..Thinking::default()
                }),
                Part::Thinking(Thinking {
                    signature: Some(Signature::new(Origin::Google, "CpcB")),
                    ..Thinking::default()
                }),
                Part::ToolCall(call("call_1", "get_weather", r#"{"n":1.50}"#)),
                Part::ToolCall(call("call_2", "get_time", "broken")),
            ],
        ),
        turn(
            Role::User,
            vec![Part::ToolResult(result(
                "call_1",
                vec![
                    Part::text("18 degrees"),
                    Part::Image(Media::new(Source::Url(
                        "https://example.com/cat.png".to_owned(),
                    ))),
                ],
            ))],
        ),
        turn(
            Role::User,
            vec![
                Part::ToolResult(ToolResult {
                    is_error: true,
                    ..result("call_2", vec![Part::text("no clock")])
                }),
                Part::ToolResult(result("call_1", vec![Part::text(r#" {"a": [1]} "#)])),
                Part::text("Go on."),
            ],
        ),
    ]);
    request.system = vec![Part::text("You are terse."), Part::text("")];
    request.cache = Some(CacheMarker { one_hour: false });
    let Outgoing { body, dropped, .. } = write_request(request, &TARGET).expect("a body");
    let expected = concat!(
        r#"{"contents":[{"role":"user","parts":[{"text":" "}]},"#,
        r#"{"role":"model","parts":[{"text":"Hello."}]},"#,
        r#"{"role":"user","parts":[{"text":"Weather and time?"}]},"#,
        r#"{"role":"model","parts":[{"functionCall":{"id":"call_1","name":"get_weather","args":{"n":1.50}},"thoughtSignature":"CpcB"},"#,
        r#"{"functionCall":{"id":"call_2","name":"get_time","args":{"_raw":"broken"}}}]},"#,
        r#"{"role":"user","parts":[{"functionResponse":{"id":"call_1","name":"get_weather","response":{"result":"18 degrees"}}},"#,
        r#"{"fileData":{"mimeType":"image/png","fileUri":"https://example.com/cat.png"}},"#,
        r#"{"functionResponse":{"id":"call_2","name":"get_time","response":{"error":"no clock"}}},"#,
        r#"{"functionResponse":{"id":"call_1","name":"get_weather","response":{"a": [1]}}},"#,
        r#"{"text":"Go on."}]}],"systemInstruction":{"parts":[{"text":"You are terse."}]}}"#,
    );
    assert_eq!(String::from_utf8_lossy(&body), expected);
    assert!(dropped.is_empty());
}

#[test]
fn a_result_that_answers_no_call_is_refused() {
    let request = chat(vec![turn(
        Role::User,
        vec![Part::ToolResult(result("call_9", vec![Part::text("x")]))],
    )]);
    assert!(matches!(
        write_request(request, &TARGET),
        Err(Problem::Bad { .. })
    ));
}

#[test]
fn newer_models_get_a_word_for_calls_that_no_model_of_googles_made() {
    let conversation = || {
        chat(vec![
            turn(Role::User, vec![Part::text("x")]),
            turn(
                Role::Assistant,
                vec![
                    Part::ToolCall(call("1", "a", "")),
                    Part::ToolCall(call("2", "b", "")),
                ],
            ),
        ])
    };
    let parts = |name: &'static str| {
        let target = Target { name, ..TARGET };
        let outgoing = write_request(conversation(), &target).expect("a body");
        let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
        body["contents"][1]["parts"].clone()
    };
    let call = |id: &str, name: &str| json!({"functionCall": {"id": id, "name": name, "args": {}}});
    assert_eq!(
        parts("gemini-2.5-pro"),
        json!([call("1", "a"), call("2", "b")])
    );
    let mut first = call("1", "a");
    first["thoughtSignature"] = json!("skip_thought_signature_validator");
    assert_eq!(
        parts("gemini-3-pro-preview"),
        json!([first, call("2", "b")])
    );
}

#[test]
fn tools_choices_and_output_are_written_as_google_takes_them() {
    let mut request = chat(vec![turn(Role::User, vec![Part::text("x")])]);
    request.tools = vec![
        function("a", Some(r#"{"type": "object",  "$defs": {}}"#)),
        function("b", None),
        Tool::Hosted {
            kind: "web_search".to_owned(),
            raw: json::raw(r#"{"type":"web_search"}"#.to_owned()),
        },
    ];
    request.tool_choice = Some(ToolChoice::Named("b".to_owned()));
    request.output = Some(OutputFormat::Schema {
        name: Some("place".to_owned()),
        description: None,
        schema: json::raw(r#"{"type":"object"}"#.to_owned()),
        strict: Some(true),
    });
    request.logprobs = Some(0);
    request.parallel_tools = Some(false);
    request.end_user = Some("ada".to_owned());
    request.service_tier = Some("flex".to_owned());
    for (name, value) in [
        ("safety_settings", "[]"),
        ("cached_content", "\"c\""),
        ("labels", "{}"),
        ("seed", "7"),
        ("n", "1"),
        ("logit_bias", "{}"),
    ] {
        request
            .rest
            .push((name.to_owned(), json::raw(value.to_owned())));
    }
    let (body, dropped) = written(request);
    assert_eq!(
        body,
        json!({
            "contents": [{"role": "user", "parts": [{"text": "x"}]}],
            "tools": [{"functionDeclarations": [
                {"name": "a", "parametersJsonSchema": {"type": "object", "$defs": {}}},
                {"name": "b", "parametersJsonSchema": {"type": "object", "properties": {}}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["b"]}},
            "generationConfig": {"responseLogprobs": true, "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
            "safetySettings": [], "cachedContent": "c", "labels": {},
        })
    );
    assert_eq!(
        dropped,
        [
            "logit_bias",
            "parallel_tool_calls",
            "seed",
            "service_tier",
            "tools",
            "user"
        ]
    );
}

#[test]
fn what_must_not_be_left_out_is_refused() {
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = chat(vec![turn(Role::User, vec![Part::text("x")])]);
        change(&mut request);
        write_request(request, &TARGET)
    };
    let unsupported = |wanted: &str, answer: Result<Outgoing, Problem>| match answer {
        Err(Problem::Unsupported { param, .. }) => assert_eq!(param, wanted),
        other => panic!("{other:?}"),
    };
    unsupported(
        "tool_choice",
        with(&|request| {
            request.tools = vec![function("a", None)];
            request.tool_choice = Some(ToolChoice::Named("b".to_owned()));
        }),
    );
    unsupported(
        "user",
        with(&|request| {
            request.drop_tuning = false;
            request.end_user = Some("ada".to_owned());
        }),
    );
    unsupported(
        "file_id",
        with(&|request| {
            request.turns[0]
                .parts
                .push(Part::Document(Media::new(Source::File(
                    "file-1".to_owned(),
                ))));
        }),
    );
    unsupported(
        "tools",
        with(&|request| {
            request.tools = vec![Tool::Hosted {
                kind: "mcp".to_owned(),
                raw: json::raw("{}".to_owned()),
            }];
        }),
    );
}

#[test]
fn a_cache_of_googles_is_refused_everywhere_else() {
    let mut request = read(&json!({"contents": "x", "cachedContent": "cachedContents/1"}));
    let target = Target {
        provider: "anthropic",
        model: "claude",
        name: "claude",
        max_output: None,
    };
    let mut drops = Drops::new(&request, &target);
    assert!(matches!(
        drops.judge_rest(&mut request),
        Err(Problem::Unsupported { param, .. }) if param == "cached_content"
    ));
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "contents",
        "parts",
        "role",
        "text",
        "functionCall",
        "functionResponse",
        "name",
        "args",
        "response",
        "result",
        "inlineData",
        "mimeType",
        "data",
        "fileData",
        "fileUri",
        "thought",
        "thoughtSignature",
        "tools",
        "functionDeclarations",
        "parameters",
        "type",
        "generationConfig",
        "thinkingConfig",
        "thinkingBudget",
        "toolConfig",
        "functionCallingConfig",
        "mode",
        "systemInstruction",
        "responseSchema",
        "id",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z=_-]{0,6}".prop_map(Value::from),
        Just(json!("model")),
        Just(json!("OBJECT")),
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), body in any_json(), parts in any_json()) {
        let _ = read_request(&bytes);
        for body in [body, json!({"contents": [{"parts": parts}]})] {
            if let Ok(request) = read_request(body.to_string().as_bytes())
                && let Ok(outgoing) = write_request(request, &TARGET)
            {
                prop_assert!(serde_json::from_slice::<Value>(&outgoing.body).is_ok());
                prop_assert!(read_request(&outgoing.body).is_ok());
            }
        }
    }
}
