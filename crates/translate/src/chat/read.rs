//! Reads a Chat Completions request.
//!
//! What the neutral form has a field for goes there, vendors' own ways of asking for thinking included;
//! every other top-level field stays as it is in [`Request::rest`]. Start at [`read_request`].

use serde_json::value::RawValue;

use super::node::{Node, texts};
use super::read_messages;
use crate::ir::{
    CacheMarker, Effort, Function, OutputFormat, Reasoning, Request, Tool, ToolChoice,
};
use crate::json::{Object, is_text, text};
use crate::responses::freeform::described;
use crate::{Dialect, Problem};

/// Reads a request.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, Problem> {
    let mut body = Object::of_body(body)?;
    let mut request = Request::new(Dialect::Chat);
    request.order = body
        .iter()
        .filter(|(_, value)| value.get() != "null")
        .map(|(name, _)| name.to_owned())
        .collect();
    request.model = body.text("model")?.unwrap_or_default();
    request.stream = body.flag("stream")?.unwrap_or(false);
    request.drop_tuning = body.flag("drop_tuning_params")?.unwrap_or(true);
    if let Some(mut options) = body.object("stream_options")? {
        request.include_usage = options.flag("include_usage")?;
    }
    let messages = body
        .list("messages")?
        .ok_or_else(|| Problem::bad("`messages` is missing: it must be a list", "messages"))?;
    read_messages::read(&mut request, &messages)?;
    sampling(&mut request, &mut body)?;
    tools(&mut request, &mut body)?;
    request.output = output(&mut body)?;
    request.reasoning = reasoning(&mut request, &mut body)?;
    request.service_tier = body.text("service_tier")?;
    request.end_user = body.text("user")?;
    if let Some(mut marker) = body.object("cache_control")? {
        let ttl = marker.text("ttl")?;
        request.cache = Some(CacheMarker::of(marker.get("type"), ttl.as_deref()));
    }
    request.rest.extend(body.rest());
    Ok(request)
}

fn sampling(request: &mut Request, body: &mut Object<'_>) -> Result<(), Problem> {
    let old_cap = body.count("max_tokens")?;
    request.max_output = body.count("max_completion_tokens")?.or(old_cap);
    request.temperature = body.number("temperature")?;
    request.top_p = body.number("top_p")?;
    request.top_k = body.number("top_k")?;
    request.presence_penalty = body.number("presence_penalty")?;
    request.frequency_penalty = body.number("frequency_penalty")?;
    let wanted = body.flag("logprobs")?;
    let alternatives = body.count("top_logprobs")?;
    request.logprobs = match (wanted, alternatives) {
        (Some(true), alternatives) => Some(alternatives.unwrap_or(0)),
        (None, Some(alternatives)) if alternatives > 0 => Some(alternatives),
        _ => None,
    };
    if let Some(raw) = body.take("stop") {
        let bad = || Problem::bad("`stop` must be a string or a list of strings", "stop");
        request.stop = match text(raw) {
            Some(one) => vec![one],
            None => {
                let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
                texts(&list).ok_or_else(bad)?
            }
        };
    }
    Ok(())
}

fn tools(request: &mut Request, body: &mut Object<'_>) -> Result<(), Problem> {
    for (n, raw) in body.list("tools")?.unwrap_or_default().iter().enumerate() {
        request.tools.push(tool(raw, format!("tools[{n}]"))?);
    }
    request.parallel_tools = body.flag("parallel_tool_calls")?;
    let Some(raw) = body.take("tool_choice") else {
        return Ok(());
    };
    let unknown = |word: &str| {
        Problem::bad(
            format!("`tool_choice` has no form `{word}`: it is auto, none, required or a function"),
            "tool_choice",
        )
    };
    request.tool_choice = Some(if let Some(word) = text(raw) {
        match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Any,
            word => return Err(unknown(word)),
        }
    } else {
        let mut choice = Node::read(raw, "tool_choice".to_owned())?;
        match choice.required("type")?.as_str() {
            kind @ ("function" | "custom") => {
                ToolChoice::Named(choice.required_node(kind)?.required("name")?)
            }
            // Only OpenAI chooses among some of the tools: judged by `drops`.
            "allowed_tools" => {
                request
                    .rest
                    .push(("tool_choice".to_owned(), raw.to_owned()));
                return Ok(());
            }
            word => return Err(unknown(word)),
        }
    });
    Ok(())
}

fn tool(raw: &RawValue, path: String) -> Result<Tool, Problem> {
    let mut entry = Node::read(raw, path)?;
    let kind = entry.text("type")?;
    let kind = match kind {
        Some(kind) => kind,
        None if entry.has("function") => "function".to_owned(),
        None => entry.first_key().unwrap_or_default().to_owned(),
    };
    let freeform = kind == "custom";
    if !freeform && kind != "function" {
        return Ok(Tool::Hosted {
            kind,
            raw: raw.to_owned(),
        });
    }
    let mut function = entry.required_node(&kind)?;
    let marker = entry.cache()?;
    let mut description = function.text("description")?;
    if let Some(mut format) = function.node("format")?
        && let Some(mut grammar) = format.node("grammar")?
    {
        let syntax = grammar.text("syntax")?.unwrap_or_default();
        let definition = grammar.text("definition")?.unwrap_or_default();
        description = Some(described(description, &syntax, &definition));
    }
    Ok(Tool::Function(Function {
        name: function.required("name")?,
        description,
        schema: function.schema("parameters")?.map(RawValue::to_owned),
        strict: function.flag("strict")?,
        freeform,
        cache: marker.or(function.cache()?),
    }))
}

fn output(body: &mut Object<'_>) -> Result<Option<OutputFormat>, Problem> {
    let Some(raw) = body.take("response_format") else {
        return Ok(None);
    };
    let mut format = Node::read(raw, "response_format".to_owned())?;
    match format.required("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::Json)),
        "json_schema" => {
            let mut wanted = format.required_node("json_schema")?;
            let schema = wanted.schema("schema")?;
            Ok(Some(OutputFormat::Schema {
                name: wanted.text("name")?,
                description: wanted.text("description")?,
                schema: schema
                    .ok_or_else(|| wanted.bad("schema", "is missing: it must be an object"))?
                    .to_owned(),
                strict: wanted.flag("strict")?,
            }))
        }
        _ => Err(format.bad("type", "must be one of text, json_object, json_schema")),
    }
}

/// Thinking in all the spellings that vendors have for it. The plain `reasoning_effort` wins over the
/// objects, and OpenRouter's object over Anthropic's.
fn reasoning(request: &mut Request, body: &mut Object<'_>) -> Result<Option<Reasoning>, Problem> {
    let mut wanted = Reasoning::default();
    if let Some(raw) = body.take("reasoning_effort") {
        wanted.effort = Some(effort(raw, "reasoning_effort")?);
    }
    if let Some(raw) = body.take("reasoning") {
        let mut object = Node::read(raw, "reasoning".to_owned())?;
        if let Some(raw) = object.take("effort") {
            let own = effort(raw, "reasoning.effort")?;
            wanted.effort = wanted.effort.or(Some(own));
        }
        wanted.budget = budget(object.take("max_tokens"), "reasoning.max_tokens")?;
        wanted.enabled = object.flag("enabled")?;
        wanted.summary = object.text("summary")?;
        request.hide_thinking = object.flag("exclude")? == Some(true);
    }
    let own = budget(body.take("reasoning_max_tokens"), "reasoning_max_tokens")?;
    wanted.budget = wanted.budget.or(own);
    if let Some(raw) = body.take("thinking") {
        let mut object = Node::read(raw, "thinking".to_owned())?;
        let enabled = match object.text("type")?.as_deref() {
            Some("enabled" | "adaptive" | "auto") => Some(true),
            Some("disabled") => Some(false),
            Some(_) => {
                return Err(object.bad("type", "must be one of enabled, adaptive, disabled"));
            }
            None => None,
        };
        wanted.enabled = wanted.enabled.or(enabled);
        let own = budget(object.take("budget_tokens"), "thinking.budget_tokens")?;
        wanted.budget = wanted.budget.or(own);
    }
    Ok((wanted != Reasoning::default()).then_some(wanted))
}

fn effort(raw: &RawValue, at: &str) -> Result<Effort, Problem> {
    let word = text(raw).and_then(|word| Effort::parse(&word));
    word.ok_or_else(|| {
        let words: Vec<&str> = Effort::ALL.iter().map(|effort| effort.as_str()).collect();
        Problem::bad(format!("`{at}` must be one of {}", words.join(", ")), at)
    })
}

fn budget(raw: Option<&RawValue>, at: &str) -> Result<Option<i64>, Problem> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let read = serde_json::from_str::<i64>(raw.get()).ok();
    let fits = read.filter(|tokens| *tokens >= -1 && !is_text(raw));
    fits.map(Some)
        .ok_or_else(|| Problem::bad(format!("`{at}` must be a whole number of tokens"), at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Part, Role, Source};
    use crate::signature::Origin;

    fn read(json: &str) -> Request {
        read_request(json.as_bytes()).expect("a request")
    }

    fn problem(json: &str) -> (String, String) {
        match read_request(json.as_bytes()) {
            Err(Problem::Bad { message, param }) => (message, param),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_finds_its_place_and_the_rest_stays() {
        let request = read(
            r#"{"model":"m","messages":[{"role":"developer","content":"A"},{"role":"user","content":"Q"},
            {"role":"system","content":[{"type":"text","text":"B","cache_control":{"type":"ephemeral","ttl":"1h"}}]}],
            "max_tokens":5,"max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"top_k":40,"stop":"END",
            "n":2,"seed":1,"logprobs":true,"top_logprobs":3,"user":"u","service_tier":"flex",
            "stream":true,"stream_options":{"include_usage":false},"parallel_tool_calls":false,
            "drop_tuning_params":false,"presence_penalty":null,"functions":[],"cache_control":{"type":"ephemeral"}}"#,
        );
        let system: Vec<&str> = request
            .system
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(system, ["A", "B"]);
        assert!(
            matches!(&request.system[1], Part::Text(text) if text.cache.is_some_and(|c| c.one_hour))
        );
        assert_eq!(request.turns.len(), 1);
        assert_eq!(request.max_output, Some(7));
        assert_eq!(request.logprobs, Some(3));
        assert_eq!(request.stop, ["END"]);
        assert_eq!(request.include_usage, Some(false));
        assert_eq!(request.parallel_tools, Some(false));
        assert_eq!(request.end_user.as_deref(), Some("u"));
        assert!(!request.drop_tuning && request.stream && request.cache.is_some());
        let rest: Vec<&str> = request.rest.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(rest, ["n", "seed", "functions"]);
        assert!(!request.order.contains(&"presence_penalty".to_owned()));
    }

    #[test]
    fn an_assistant_message_sent_back_restores_thinking_and_seals() {
        let request = read(
            r#"{"messages":[{"role":"assistant","content":"Let me check.","reasoning":"The user wants",
            "reasoning_details":[{"type":"reasoning.text","text":"The user wants","signature":"sig","format":"anthropic-claude-v1","index":0},
              {"type":"reasoning.encrypted","data":"seal2","id":"call_2","format":"google-gemini-v1","index":1}],
            "tool_calls":[{"id":"call_1","type":"function","function":{"name":"a","arguments":"{\"x\":12345678901234567890}"},
              "extra_content":{"google":{"thought_signature":"seal1"}}},
              {"id":"call_2","type":"function","function":{"name":"b","arguments":""}}]},
            {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"18"}]}]}"#,
        );
        let [thinking, said, first, second] = request.turns[0].parts.as_slice() else {
            panic!("{:?}", request.turns[0].parts);
        };
        assert!(matches!(thinking, Part::Thinking(one)
            if one.text == "The user wants"
                && one.signature.as_ref().is_some_and(|s| s.origin == Origin::Anthropic)));
        assert!(matches!(said, Part::Text(text) if text.text == "Let me check."));
        let seal = |part: &Part| match part {
            Part::ToolCall(call) => call.signature.as_ref().map(|s| s.value.clone()),
            _ => None,
        };
        assert_eq!(seal(first).as_deref(), Some("seal1"));
        assert_eq!(seal(second).as_deref(), Some("seal2"));
        assert!(
            matches!(first, Part::ToolCall(call) if call.arguments.contains("12345678901234567890"))
        );
        assert_eq!(request.turns[1].role, Role::User);
        assert!(matches!(&request.turns[1].parts[0], Part::ToolResult(r) if r.call_id == "call_1"));
    }

    #[test]
    fn plain_reasoning_is_thinking_without_a_seal() {
        for field in ["reasoning", "reasoning_content"] {
            let request = read(&format!(
                r#"{{"messages":[{{"role":"assistant","{field}":"hm","content":null}}]}}"#
            ));
            assert!(matches!(&request.turns[0].parts[0], Part::Thinking(one)
                if one.text == "hm" && one.signature.is_none()));
        }
    }

    #[test]
    fn media_are_read_from_all_their_forms() {
        let request = read(
            r#"{"messages":[{"role":"user","content":[
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAA=","detail":"low"}},
            {"type":"image_url","image_url":"https://example.com/cat.png"},
            {"type":"input_audio","input_audio":{"data":"AAA=","format":"mp3"}},
            {"type":"file","file":{"file_data":"data:application/pdf;base64,AAA=","filename":"report.pdf"}},
            {"type":"file","file":{"file_data":"AAAA","filename":"notes.txt"}},
            {"type":"file","file":{"file_id":"file-1"}}]}]}"#,
        );
        let sources: Vec<String> = request.turns[0]
            .parts
            .iter()
            .map(|part| match part {
                Part::Image(media) => format!("image {}", named(&media.source)),
                Part::Audio(media) => format!("audio {}", named(&media.source)),
                Part::Document(media) => format!("document {}", named(&media.source)),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            sources,
            [
                "image image/png",
                "image https://example.com/cat.png",
                "audio audio/mpeg",
                "document application/pdf",
                "document text/plain",
                "document #file-1"
            ]
        );
    }

    fn named(source: &Source) -> String {
        match source {
            Source::Inline { media_type, .. } => media_type.clone(),
            Source::Text(text) | Source::Url(text) => text.clone(),
            Source::File(id) => format!("#{id}"),
        }
    }

    #[test]
    fn every_spelling_of_thinking_is_understood() {
        let of = |fields: &str| read(&format!(r#"{{"messages":[],{fields}}}"#)).reasoning;
        let effort = |e| {
            Some(Reasoning {
                effort: Some(e),
                ..Reasoning::default()
            })
        };
        assert_eq!(of(r#""reasoning_effort":"high""#), effort(Effort::High));
        assert_eq!(of(r#""reasoning":{"effort":"low"}"#), effort(Effort::Low));
        assert_eq!(
            of(r#""thinking":{"type":"enabled","budget_tokens":2048}"#),
            Some(Reasoning {
                budget: Some(2048),
                enabled: Some(true),
                ..Reasoning::default()
            })
        );
        assert_eq!(
            of(r#""reasoning_max_tokens":-1"#),
            Some(Reasoning {
                budget: Some(-1),
                ..Reasoning::default()
            })
        );
        assert_eq!(
            of(r#""thinking":{"type":"disabled"}"#),
            Some(Reasoning {
                enabled: Some(false),
                ..Reasoning::default()
            })
        );
        assert_eq!(of(r#""reasoning":{"exclude":true}"#), None);
        assert!(read(r#"{"messages":[],"reasoning":{"exclude":true}}"#).hide_thinking);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (body, param) in [
            ("{}", "messages"),
            (r#"{"messages":{}}"#, "messages"),
            (r#"{"messages":[7]}"#, "messages[0]"),
            (r#"{"messages":[{"role":"robot"}]}"#, "messages[0].role"),
            (
                r#"{"messages":[{"role":"function","content":""}]}"#,
                "messages[0].role",
            ),
            (
                r#"{"messages":[{"role":"user","content":7}]}"#,
                "messages[0].content",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"video_url"}]}]}"#,
                "messages[0].content[0].type",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":7}]}]}"#,
                "messages[0].content[0].text",
            ),
            (
                r#"{"messages":[{"role":"tool","content":""}]}"#,
                "messages[0].tool_call_id",
            ),
            (
                r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{}}]}]}"#,
                "messages[0].tool_calls[0].function.name",
            ),
            (r#"{"messages":[],"max_tokens":1.5}"#, "max_tokens"),
            (
                r#"{"messages":[],"max_tokens":"9","max_completion_tokens":5}"#,
                "max_tokens",
            ),
            (r#"{"messages":[],"stop":[1]}"#, "stop"),
            (
                r#"{"messages":[],"tool_choice":"sometimes"}"#,
                "tool_choice",
            ),
            (
                r#"{"messages":[],"tools":[{"type":"function"}]}"#,
                "tools[0].function",
            ),
            (
                r#"{"messages":[],"response_format":{"type":"xml"}}"#,
                "response_format.type",
            ),
            (
                r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{}}}"#,
                "response_format.json_schema.schema",
            ),
            (
                r#"{"messages":[],"reasoning_effort":"very"}"#,
                "reasoning_effort",
            ),
            (
                r#"{"messages":[],"reasoning":{"max_tokens":"9"}}"#,
                "reasoning.max_tokens",
            ),
        ] {
            let (message, named) = problem(body);
            assert_eq!(named, param, "{body}: {message}");
            assert!(message.contains('`'), "{message}");
        }
    }

    #[test]
    fn tools_of_every_kind_are_told_apart() {
        let request = read(
            r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","b":1.10},"strict":true}},
            {"type":"custom","custom":{"name":"c"}},{"type":"web_search_preview"},{"google_search":{}}],
            "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}}"#,
        );
        let kinds: Vec<String> = request
            .tools
            .iter()
            .map(|tool| match tool {
                Tool::Function(f) => format!("{} {} {}", f.name, f.freeform, f.schema()),
                Tool::Hosted { kind, .. } => kind.clone(),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                r#"f false {"type":"object","b":1.10}"#,
                r#"c true {"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#,
                "web_search_preview",
                "google_search"
            ]
        );
        assert!(request.tool_choice.is_none());
        assert_eq!(request.rest[0].0, "tool_choice");
    }
}
