//! What is written for Converse, from the neutral form.

use serde_json::{Number, Value, json};

use super::write_request;
use crate::ir::{
    CacheMarker, Effort, Function, Media, OutputFormat, Part, Raw, Reasoning, Request, Role,
    Source, Text, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::signature::{Origin, Signature};
use crate::{Dialect, Outgoing, Problem, Target};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OLD_CLAUDE: &str = "anthropic.claude-3-7-sonnet-20250219-v1:0";
const NEW_CLAUDE: &str = "global.anthropic.claude-opus-4-6-v1";
const NOVA: &str = "amazon.nova-pro-v1:0";
const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";

fn write(request: Request, model: &str) -> Result<Outgoing, Problem> {
    let target = Target {
        provider: "bedrock",
        model,
        name: model,
        max_output: None,
    };
    write_request(request, &target)
}

fn sent(request: Request, model: &str) -> (Value, Vec<String>) {
    let outgoing = write(request, model).expect("it can be sent");
    let body = serde_json::from_slice(&outgoing.body).expect("JSON");
    (body, outgoing.dropped)
}

fn refused(request: Request, model: &str) -> (String, String) {
    match write(request, model) {
        Err(Problem::Unsupported { param, message }) => (param, message),
        other => panic!("{other:?}"),
    }
}

fn raw(json: &Value) -> Raw {
    crate::json::raw(json.to_string())
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts }
}

fn asked() -> Request {
    Request {
        turns: vec![turn(
            Role::User,
            vec![Part::text("What is the weather in Paris?")],
        )],
        ..Request::new(Dialect::Chat)
    }
}

fn weather() -> Function {
    Function {
        name: "get_weather".to_owned(),
        description: Some("Current weather".to_owned()),
        schema: Some(raw(
            &json!({"type": "object", "properties": {"location": {"type": "string"}}}),
        )),
        strict: None,
        freeform: false,
        cache: None,
    }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
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

fn round_trip() -> Request {
    let mut request = asked();
    request.tools = vec![Tool::Function(weather())];
    request.turns.push(turn(
        Role::Assistant,
        vec![Part::text("Let me check."), call("call_1", r#"{"n":1.10}"#)],
    ));
    request.turns.push(turn(
        Role::User,
        vec![result("call_1", vec![Part::text("18 degrees, cloudy")])],
    ));
    request
}

fn marked(text: &str, one_hour: bool) -> Part {
    Part::Text(Text {
        text: text.to_owned(),
        cache: Some(CacheMarker { one_hour }),
        ..Text::default()
    })
}

fn sealed(origin: Origin) -> Part {
    Part::Thinking(Thinking {
        text: "The user wants the weather.".to_owned(),
        signature: Some(Signature::new(origin, "EqQB")),
        ..Thinking::default()
    })
}

fn schema() -> Option<OutputFormat> {
    Some(OutputFormat::Schema {
        name: Some("place".to_owned()),
        description: None,
        schema: raw(&json!({"type": "object", "properties": {"city": {"type": "string"}}})),
        strict: Some(true),
    })
}

fn thinks(effort: Effort) -> Option<Reasoning> {
    Some(Reasoning {
        effort: Some(effort),
        ..Reasoning::default()
    })
}

fn half() -> Option<Number> {
    Number::from_f64(0.5)
}

#[test]
fn a_whole_conversation_stands_in_the_form_of_converse() {
    let mut request = round_trip();
    request.system = vec![marked("You are terse.", true), Part::text(" ")];
    request.max_output = Some(256);
    request.temperature = half();
    request.top_k = Some(Number::from(40));
    request.stop = vec!["END".to_owned(), "STOP".to_owned()];
    request.tool_choice = Some(ToolChoice::Auto);
    request.cache = Some(CacheMarker { one_hour: false });
    let outgoing = write(request, CLAUDE).expect("it can be sent");
    let body = String::from_utf8(outgoing.body).expect("text");
    insta::assert_snapshot!(body);
    assert!(outgoing.dropped.is_empty());
}

#[test]
fn turns_are_joined_results_come_first_and_blanks_go() {
    let mut request = round_trip();
    request.turns.push(turn(
        Role::User,
        vec![Part::text(""), Part::text("And tomorrow?")],
    ));
    request
        .turns
        .push(turn(Role::Assistant, vec![Part::text("  ")]));
    request
        .turns
        .push(turn(Role::User, vec![Part::text("Hello?")]));
    let (body, _) = sent(request, NOVA);
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [
            {"toolResult": {"toolUseId": "call_1", "content": [{"text": "18 degrees, cloudy"}]}},
            {"text": "And tomorrow?"},
            {"text": "Hello?"},
        ]})
    );
    assert_eq!(body["messages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_conversation_that_the_model_begins_gets_a_user_turn_that_is_not_blank() {
    let mut request = asked();
    request
        .turns
        .insert(0, turn(Role::Assistant, vec![Part::text("Welcome.")]));
    let (body, _) = sent(request, NOVA);
    assert_eq!(
        body["messages"][0],
        json!({"role": "user", "content": [{"text": "."}]})
    );
}

#[test]
fn pictures_and_documents_have_formats_and_names() {
    let inline = |media_type: &str| {
        Media::new(Source::Inline {
            media_type: media_type.to_owned(),
            data: "JVBERi0xLjQK".to_owned(),
        })
    };
    let document = |name: &str| Media {
        name: Some(name.to_owned()),
        citations: true,
        ..inline("application/pdf")
    };
    let mut request = asked();
    request.turns = vec![turn(
        Role::User,
        vec![
            Part::Image(inline("image/JPG; q=1")),
            Part::Image(Media::new(Source::Url("s3://bucket/cat.webp".to_owned()))),
            Part::Document(document("report.pdf")),
            Part::Document(document("report.pdf")),
            Part::Document(Media::new(Source::Text("hi".to_owned()))),
        ],
    )];
    let (body, _) = sent(request, CLAUDE);
    insta::assert_json_snapshot!(body["messages"]);
}

#[test]
fn what_bedrock_cannot_see_or_hear_is_refused() {
    for (part, param) in [
        (
            Part::Audio(Media::new(Source::File("x".to_owned()))),
            "input_audio",
        ),
        (
            Part::Image(Media::new(Source::Url("https://x/y.png".to_owned()))),
            "image",
        ),
        (
            Part::Image(Media::new(Source::File("file_1".to_owned()))),
            "image",
        ),
        (
            Part::Image(Media::new(Source::Inline {
                media_type: "image/tiff".to_owned(),
                data: "AA==".to_owned(),
            })),
            "image",
        ),
        (
            Part::Document(Media::new(Source::File("file_1".to_owned()))),
            "file",
        ),
    ] {
        let mut request = asked();
        request.turns = vec![turn(Role::User, vec![part])];
        assert_eq!(refused(request, CLAUDE).0, param);
    }
}

#[test]
fn thinking_goes_back_to_claude_with_its_own_seal_only() {
    let conversation = |origin| {
        let mut request = round_trip();
        request.turns[1].parts.insert(0, sealed(origin));
        request
    };
    let first = |body: &Value| body["messages"][1]["content"][0].clone();
    let (body, _) = sent(conversation(Origin::Anthropic), CLAUDE);
    assert_eq!(
        first(&body),
        json!({"reasoningContent": {"reasoningText": {
            "text": "The user wants the weather.", "signature": "EqQB"}}})
    );
    for (origin, model) in [
        (Origin::OpenAi, CLAUDE),
        (Origin::Google, CLAUDE),
        (Origin::Anthropic, NOVA),
    ] {
        let (body, _) = sent(conversation(origin), model);
        assert_eq!(
            first(&body),
            json!({"text": "Let me check."}),
            "{origin:?} {model}"
        );
    }
    let mut request = round_trip();
    request.turns[1].parts.insert(
        0,
        Part::Thinking(Thinking {
            signature: Some(Signature::new(Origin::Anthropic, "EvAF")),
            redacted: true,
            ..Thinking::default()
        }),
    );
    let (body, _) = sent(request, CLAUDE);
    assert_eq!(
        first(&body),
        json!({"reasoningContent": {"redactedContent": "EvAF"}})
    );
}

#[test]
fn broken_arguments_and_odd_ids_do_not_fail_the_turn() {
    let mut request = round_trip();
    request.turns[1].parts = vec![call("call.1", "{\"a\":")];
    request.turns[2].parts = vec![result("call.1", Vec::new())];
    let (body, _) = sent(request, CLAUDE);
    let call = &body["messages"][1]["content"][0]["toolUse"];
    let result = &body["messages"][2]["content"][0]["toolResult"];
    assert_eq!(call["input"], json!({"_raw": "{\"a\":"}));
    assert_eq!(call["toolUseId"], result["toolUseId"]);
    assert_eq!(result["content"], json!([]));
}

#[test]
fn choices_are_written_or_say_why_not() {
    let with = |choice| Request {
        tools: vec![Tool::Function(weather())],
        tool_choice: Some(choice),
        ..asked()
    };
    for (choice, expected) in [
        (ToolChoice::Auto, json!({"auto": {}})),
        (ToolChoice::Any, json!({"any": {}})),
        (
            ToolChoice::Named("get_weather".to_owned()),
            json!({"tool": {"name": "get_weather"}}),
        ),
    ] {
        let (body, dropped) = sent(with(choice), CLAUDE);
        assert_eq!(body["toolConfig"]["toolChoice"], expected);
        assert!(dropped.is_empty());
    }
    let (body, dropped) = sent(with(ToolChoice::None), CLAUDE);
    assert_eq!(body.get("toolConfig"), None);
    assert!(dropped.is_empty());

    let (param, message) = refused(with(ToolChoice::Named("get_time".to_owned())), CLAUDE);
    assert_eq!(param, "tool_choice");
    assert!(
        message.contains("get_time") && message.contains(CLAUDE),
        "{message}"
    );

    let none = Request {
        tool_choice: Some(ToolChoice::None),
        ..round_trip()
    };
    let (body, dropped) = sent(none, CLAUDE);
    assert_eq!(
        body["toolConfig"]["tools"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(dropped, ["tool_choice"]);

    let bare = Request {
        tools: Vec::new(),
        ..round_trip()
    };
    let (body, _) = sent(bare, CLAUDE);
    assert_eq!(
        body["toolConfig"]["tools"][0]["toolSpec"]["name"], "get_weather",
        "Bedrock refuses calls of tools that are not declared"
    );
}

#[test]
fn hosted_tools_are_left_out_and_mcp_is_refused() {
    let with = |kind: &str| Request {
        tools: vec![Tool::Hosted {
            kind: kind.to_owned(),
            raw: raw(&json!({"type": kind})),
        }],
        ..asked()
    };
    let (body, dropped) = sent(with("web_search"), CLAUDE);
    assert_eq!(body.get("toolConfig"), None);
    assert_eq!(dropped, ["tools"]);
    assert_eq!(refused(with("mcp"), CLAUDE).0, "tools");
}

#[test]
fn thinking_is_told_in_the_words_of_the_family() {
    for (model, effort, cap, expected) in [
        (
            CLAUDE,
            Effort::Low,
            Some(4_096),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1_484}}),
        ),
        (
            CLAUDE,
            Effort::Medium,
            Some(4_096),
            json!({"thinking": {"type": "enabled", "budget_tokens": 2_329}}),
        ),
        (
            CLAUDE,
            Effort::High,
            Some(4_096),
            json!({"thinking": {"type": "enabled", "budget_tokens": 3_481}}),
        ),
        (
            NEW_CLAUDE,
            Effort::High,
            None,
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ),
        (
            NOVA,
            Effort::Minimal,
            None,
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ),
        (
            NOVA,
            Effort::XHigh,
            None,
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        ),
        (CLAUDE, Effort::None, None, Value::Null),
        (NOVA, Effort::None, None, Value::Null),
        (LLAMA, Effort::None, None, Value::Null),
    ] {
        let request = Request {
            reasoning: thinks(effort),
            max_output: cap,
            ..asked()
        };
        let (body, _) = sent(request, model);
        assert_eq!(
            body["additionalModelRequestFields"], expected,
            "{model} {effort:?}"
        );
        assert_eq!(
            body["inferenceConfig"]["maxTokens"].as_u64(),
            cap,
            "{model} {effort:?}"
        );
    }
    let wanted = |from| Request {
        reasoning: thinks(Effort::Low),
        ..Request { from, ..asked() }
    };
    assert_eq!(refused(wanted(Dialect::Chat), LLAMA).0, "reasoning_effort");
    assert_eq!(sent(wanted(Dialect::Messages), LLAMA).1, ["thinking"]);
}

#[test]
fn what_excludes_thinking_is_left_out_or_weakened() {
    let request = Request {
        reasoning: thinks(Effort::Low),
        max_output: Some(4_096),
        temperature: half(),
        top_p: half(),
        top_k: Some(Number::from(40)),
        tools: vec![Tool::Function(weather())],
        tool_choice: Some(ToolChoice::Any),
        ..asked()
    };
    let (body, dropped) = sent(request, CLAUDE);
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 4_096}));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"auto": {}}));
    assert_eq!(dropped, ["temperature", "tool_choice", "top_k", "top_p"]);

    // In the middle of tool use that began without thinking, Claude cannot begin to think.
    let late = Request {
        reasoning: thinks(Effort::Low),
        max_output: Some(4_096),
        ..round_trip()
    };
    let (body, dropped) = sent(late, CLAUDE);
    assert_eq!(body.get("additionalModelRequestFields"), None);
    assert_eq!(dropped, ["reasoning_effort"]);
}

#[test]
fn schemas_are_native_on_claude_and_a_forced_tool_elsewhere() {
    let wanted = Request {
        output: schema(),
        ..asked()
    };
    let (body, _) = sent(wanted.clone(), CLAUDE);
    assert_eq!(
        body["additionalModelRequestFields"]["output_config"]["format"]["type"],
        "json_schema"
    );
    assert_eq!(body.get("toolConfig"), None);
    for model in [NOVA, OLD_CLAUDE, LLAMA] {
        let outgoing = write(wanted.clone(), model).expect("it can be sent");
        assert!(outgoing.json_tool);
        let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
        assert_eq!(
            body["toolConfig"]["toolChoice"],
            json!({"tool": {"name": "json_output"}})
        );
        assert_eq!(body.get("additionalModelRequestFields"), None);
    }
    let beside = Request {
        tools: vec![Tool::Function(weather())],
        ..wanted
    };
    let (body, _) = sent(beside, NOVA);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert_eq!(
        body["toolConfig"]["tools"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn the_parameter_policy_holds_lenient_and_strict() {
    let full = |drop_tuning| Request {
        presence_penalty: half(),
        frequency_penalty: half(),
        end_user: Some("u".to_owned()),
        parallel_tools: Some(false),
        service_tier: Some("flex".to_owned()),
        temperature: half(),
        top_p: half(),
        rest: vec![("seed".to_owned(), raw(&json!(7)))],
        drop_tuning,
        ..asked()
    };
    let (_, dropped) = sent(full(true), CLAUDE);
    assert_eq!(
        dropped,
        [
            "frequency_penalty",
            "parallel_tool_calls",
            "presence_penalty",
            "seed",
            "service_tier",
            "top_p",
            "user"
        ]
    );
    let (param, message) = refused(full(false), CLAUDE);
    assert_eq!(param, "presence_penalty");
    assert!(message.contains("bedrock/us.anthropic"), "{message}");

    let (_, dropped) = sent(full(true), NOVA);
    assert!(
        !dropped.contains(&"top_p".to_owned()),
        "only Claude excludes it"
    );

    for (request, param) in [
        (
            Request {
                logprobs: Some(2),
                ..asked()
            },
            "logprobs",
        ),
        (
            Request {
                output: Some(OutputFormat::Json),
                ..asked()
            },
            "response_format",
        ),
    ] {
        assert_eq!(refused(request, CLAUDE).0, param);
    }
}

#[test]
fn markers_become_cache_points_where_the_model_has_a_cache() {
    let request = || {
        let mut request = round_trip();
        request.system = vec![marked("You are terse.", true)];
        request.tools = vec![Tool::Function(Function {
            cache: Some(CacheMarker { one_hour: false }),
            ..weather()
        })];
        request.turns[0].parts = vec![marked("What is the weather in Paris?", false)];
        request.turns[2].parts = vec![result("call_1", vec![marked("18 degrees, cloudy", false)])];
        request
    };
    let points = |model| {
        let (body, dropped) = sent(request(), model);
        assert!(dropped.is_empty(), "left out without a word");
        body.to_string().matches("cachePoint").count()
    };
    assert_eq!(points(CLAUDE), 4);
    assert_eq!(points(NOVA), 3, "Nova caches no tools");
    assert_eq!(points(LLAMA), 0);
    let hours = |model| sent(request(), model).0.to_string().matches("1h").count();
    assert_eq!((hours(CLAUDE), hours(OLD_CLAUDE), hours(NOVA)), (1, 0, 0));
}

#[test]
fn a_beginning_that_the_model_goes_on_from_does_not_end_in_white_space() {
    let mut request = asked();
    let said = |text| turn(Role::Assistant, vec![Part::text(text)]);
    request.turns.push(said("Welcome. "));
    request
        .turns
        .push(turn(Role::User, vec![Part::text("Go on.")]));
    request.turns.push(said("It is "));
    let (body, _) = sent(request, CLAUDE);
    assert_eq!(body["messages"][1]["content"][0]["text"], "Welcome. ");
    assert_eq!(body["messages"][3]["content"][0]["text"], "It is");
}
