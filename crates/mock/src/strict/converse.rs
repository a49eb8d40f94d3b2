//! What Bedrock Converse refuses: unknown members, unions with two members, turns that do not
//! alternate, tool results without their calls.
//!
//! Start at [`check`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::shape::{Fault, Names, Shape, What, fault};
use super::{list, text};
use crate::serve::Call;

const TEXT: &Shape = &Shape::Text;
const MAP: &Shape = &Shape::Map;
const ANY: &Shape = &Shape::Any;

static REQUEST: Shape = Shape::Object(&[
    ("messages", &Shape::List(&MESSAGE)),
    ("system", &Shape::List(&SYSTEM)),
    ("inferenceConfig", &INFERENCE),
    ("toolConfig", &TOOL_CONFIG),
    ("additionalModelRequestFields", ANY),
    ("additionalModelResponseFieldPaths", &Shape::List(TEXT)),
    ("guardrailConfig", MAP),
    ("promptVariables", MAP),
    ("requestMetadata", &Shape::Dict(TEXT)),
    ("performanceConfig", MAP),
    ("serviceTier", MAP),
    ("outputConfig", MAP),
]);
static MESSAGE: Shape = Shape::Object(&[
    ("role", &Shape::Word(&["user", "assistant"])),
    ("content", &Shape::List(&BLOCK)),
]);
static SYSTEM: Shape = Shape::Union(&[
    ("text", TEXT),
    ("cachePoint", &CACHE),
    ("guardContent", MAP),
]);
static BLOCK: Shape = Shape::Union(&[
    ("text", TEXT),
    ("image", &IMAGE),
    ("document", &DOCUMENT),
    ("video", MAP),
    ("audio", MAP),
    ("toolUse", &TOOL_USE),
    ("toolResult", &TOOL_RESULT),
    ("guardContent", MAP),
    ("cachePoint", &CACHE),
    ("reasoningContent", &REASONING),
    ("citationsContent", MAP),
    ("searchResult", MAP),
]);
static CACHE: Shape = Shape::Object(&[
    ("type", &Shape::Word(&["default"])),
    ("ttl", &Shape::Word(&["5m", "1h"])),
]);
static SOURCE: Shape = Shape::Union(&[
    ("bytes", TEXT),
    ("s3Location", MAP),
    ("text", TEXT),
    ("content", ANY),
]);
static IMAGE: Shape = Shape::Object(&[
    ("format", &Shape::Word(&["png", "jpeg", "gif", "webp"])),
    ("source", &SOURCE),
]);
static DOCUMENT: Shape = Shape::Object(&[
    (
        "format",
        &Shape::Word(&[
            "pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md",
        ]),
    ),
    ("name", TEXT),
    ("source", &SOURCE),
    ("context", TEXT),
    ("citations", MAP),
]);
static TOOL_USE: Shape = Shape::Object(&[
    ("toolUseId", TEXT),
    ("name", TEXT),
    ("input", ANY),
    ("type", TEXT),
]);
static TOOL_RESULT: Shape = Shape::Object(&[
    ("toolUseId", TEXT),
    ("content", &Shape::List(&RESULT)),
    ("status", &Shape::Word(&["success", "error"])),
    ("type", TEXT),
]);
static RESULT: Shape = Shape::Union(&[
    ("text", TEXT),
    ("json", ANY),
    ("image", &IMAGE),
    ("document", &DOCUMENT),
    ("video", MAP),
    ("searchResult", MAP),
]);
static REASONING: Shape = Shape::Union(&[
    (
        "reasoningText",
        &Shape::Object(&[("text", TEXT), ("signature", TEXT)]),
    ),
    ("redactedContent", TEXT),
]);
static INFERENCE: Shape = Shape::Object(&[
    ("maxTokens", &Shape::Whole),
    ("temperature", &Shape::Number),
    ("topP", &Shape::Number),
    ("stopSequences", &Shape::List(TEXT)),
]);
static TOOL_CONFIG: Shape = Shape::Object(&[
    ("tools", &Shape::List(&TOOL)),
    (
        "toolChoice",
        &Shape::Union(&[
            ("auto", MAP),
            ("any", MAP),
            ("tool", &Shape::Object(&[("name", TEXT)])),
        ]),
    ),
]);
static TOOL: Shape = Shape::Union(&[
    (
        "toolSpec",
        &Shape::Object(&[
            ("name", TEXT),
            ("description", TEXT),
            ("inputSchema", &Shape::Union(&[("json", MAP)])),
            ("strict", &Shape::Bool),
        ]),
    ),
    ("systemTool", MAP),
    ("cachePoint", &CACHE),
]);

pub(super) fn check(call: &Call<'_>, body: &Value) -> Result<(), String> {
    if let Some(Fault { at, what }) = fault(body, &REQUEST, Names::Exact) {
        let place = at.join("/");
        return Err(match what {
            What::Unknown(name) => format!(
                "Malformed input request: #/{place}: extraneous key [{name}] is not permitted, \
                 please reformat your input and try again."
            ),
            What::Kind(wanted) => format!(
                "Malformed input request: #/{place}: expected {wanted}, please reformat your input \
                 and try again."
            ),
            What::NotOne => format!(
                "Malformed input request: #/{place}: a union must have exactly one member set."
            ),
        });
    }
    let messages = list(body, "messages");
    if messages.is_empty() {
        return Err(String::from(
            "A conversation must have at least one message. Try again with a conversation that has \
             a message.",
        ));
    }
    if messages.first().and_then(|first| text(first, "role")) != Some("user") {
        return Err(String::from(
            "A conversation must start with a user message. Try again with a conversation that \
             starts with a user message.",
        ));
    }
    let mut last_role = None;
    let mut asked: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if role == last_role {
            return Err(String::from(
                "A conversation must alternate between user and assistant roles. Make sure the \
                 conversation alternates between user and assistant roles and try again.",
            ));
        }
        last_role = role;
        let blocks = list(message, "content");
        if blocks.is_empty() {
            return Err(format!(
                "The content field in the Message object at messages.{at} is empty. Add a \
                 ContentBlock object to the content field and try again."
            ));
        }
        for (n, block) in blocks.iter().enumerate() {
            checked_block(call, block, &format!("messages.{at}.content.{n}"))?;
        }
        results_match(blocks, &asked, at)?;
        asked = ids(blocks, "toolUse").collect();
    }
    let uses_tools = messages.iter().any(|message| {
        let blocks = list(message, "content");
        ids(blocks, "toolUse")
            .chain(ids(blocks, "toolResult"))
            .next()
            .is_some()
    });
    let tools = body
        .get("toolConfig")
        .map_or(&[][..], |config| list(config, "tools"));
    if uses_tools && tools.is_empty() {
        return Err(String::from(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ));
    }
    named_tools(body, tools)
}

fn ids<'a>(blocks: &'a [Value], member: &'a str) -> impl Iterator<Item = &'a str> {
    blocks
        .iter()
        .filter_map(move |block| text(block.get(member)?, "toolUseId"))
}

fn checked_block(call: &Call<'_>, block: &Value, place: &str) -> Result<(), String> {
    if text(block, "text").is_some_and(|text| text.trim().is_empty()) {
        return Err(format!(
            "The text field in the ContentBlock object at {place} is blank. Add text to the text \
             field, and try again."
        ));
    }
    for member in ["toolUse", "toolResult"] {
        let id = block.get(member).map(|tool| text(tool, "toolUseId"));
        if id.is_some_and(|id| !id.is_some_and(is_id)) {
            return Err(format!(
                "Value at '{place}.{member}.toolUseId' failed to satisfy constraint: Member must \
                 satisfy regular expression pattern: [a-zA-Z0-9_-]+ and have length between 1 and 64"
            ));
        }
    }
    if let Some(tool) = block.get("toolUse")
        && !tool.get("input").is_some_and(Value::is_object)
    {
        return Err(format!(
            "The value at {place}.toolUse.input is empty or no object. Define a JSON object for the \
             toolUse.input field and try again."
        ));
    }
    for (member, name) in [("image", "bytes"), ("document", "bytes")] {
        let source = block.get(member).and_then(|inner| inner.get("source"));
        let bytes = source.and_then(|source| text(source, name));
        let is_blob = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).is_ok();
        if bytes.is_some_and(|text| !is_blob(text)) {
            return Err(format!(
                "The value at {place}.{member}.source.bytes is not base64."
            ));
        }
    }
    if let Some(document) = block.get("document")
        && !text(document, "name").is_some_and(is_document_name)
    {
        return Err(String::from(
            "The document file name can only contain alphanumeric characters, whitespace \
             characters, hyphens, parentheses, and square brackets. The name can't contain more \
             than one consecutive whitespace character.",
        ));
    }
    let reasoning = block.get("reasoningContent");
    if let Some(thought) = reasoning.and_then(|reasoning| reasoning.get("reasoningText")) {
        let signature = text(thought, "signature").unwrap_or_default();
        let said = text(thought, "text").unwrap_or_default();
        if !call.shared.signed(said, signature) {
            return Err(format!("{place}: Invalid `signature` in `thinking` block"));
        }
    }
    Ok(())
}

/// Results come right behind their calls, all of them and no others.
fn results_match(blocks: &[Value], asked: &[&str], at: usize) -> Result<(), String> {
    let given: Vec<&str> = ids(blocks, "toolResult").collect();
    if given.len() > asked.len() {
        return Err(format!(
            "The number of toolResult blocks at messages.{at}.content exceeds the number of toolUse \
             blocks of previous turn."
        ));
    }
    let unknown: Vec<&&str> = given.iter().filter(|id| !asked.contains(id)).collect();
    let missing: Vec<&&str> = asked.iter().filter(|id| !given.contains(id)).collect();
    if !missing.is_empty() {
        return Err(format!(
            "Expected toolResult blocks at messages.{at}.content for the following Ids: {}",
            missing.iter().map(|id| **id).collect::<Vec<_>>().join(", ")
        ));
    }
    match unknown.first() {
        Some(id) => Err(format!(
            "The toolResult block at messages.{at}.content has the unknown Id {id}"
        )),
        None => Ok(()),
    }
}

fn named_tools(body: &Value, tools: &[Value]) -> Result<(), String> {
    if body.get("toolConfig").is_some() && tools.is_empty() {
        return Err(String::from(
            "Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length \
             greater than or equal to 1",
        ));
    }
    let mut seen = BTreeSet::new();
    for spec in tools.iter().filter_map(|tool| tool.get("toolSpec")) {
        let name = text(spec, "name").unwrap_or_default();
        if !is_id(name) {
            return Err(format!(
                "Value '{name}' at 'toolConfig.tools.toolSpec.name' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
            ));
        }
        if spec.get("inputSchema").is_none() {
            return Err(format!("The tool {name} has no inputSchema."));
        }
        if text(spec, "description") == Some("") {
            return Err(format!(
                "The description of the tool {name} must not be empty."
            ));
        }
        if !seen.insert(name) {
            return Err(format!(
                "The toolConfig field contains duplicate names: {name}. Remove any duplicate names \
                 and try again."
            ));
        }
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn is_document_name(name: &str) -> bool {
    let known = |letter: char| letter.is_alphanumeric() || " \t\n-()[]".contains(letter);
    !name.is_empty() && name.len() <= 200 && name.chars().all(known) && !name.contains("  ")
}
