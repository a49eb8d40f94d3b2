//! What Gemini refuses: unknown members, turns out of order, budgets out of range.
//!
//! Start at [`check`].

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::Value;

use super::shape::{Fault, Names, Shape, What, bracketed, fault};
use crate::json::Obj;
use crate::reply::Refusal;
use crate::seal::{is_signature, opened};
use crate::serve::Call;
use crate::target::{Dialect, Shelf, Vendor};

type Members = &'static [(&'static str, &'static Shape)];

const TEXT: &Shape = &Shape::Text;
const BOOL: &Shape = &Shape::Bool;
const NUMBER: &Shape = &Shape::Number;
const WHOLE: &Shape = &Shape::Whole;
const ANY: &Shape = &Shape::Any;
const MAP: &Shape = &Shape::Map;
const TEXTS: &Shape = &Shape::List(TEXT);

static REQUEST: Shape = Shape::Object(REQUEST_MEMBERS);
const REQUEST_MEMBERS: Members = &[
    ("model", TEXT),
    ("contents", &Shape::List(&CONTENT)),
    ("systemInstruction", &CONTENT),
    ("tools", &Shape::List(&TOOL)),
    ("toolConfig", &TOOL_CONFIG),
    ("safetySettings", &Shape::List(&SAFETY)),
    ("generationConfig", &GENERATION),
    ("cachedContent", TEXT),
    ("labels", &Shape::Dict(TEXT)),
    ("serviceTier", TEXT),
    ("store", BOOL),
];
static COUNT: Shape = Shape::Object(&[
    ("model", TEXT),
    ("contents", &Shape::List(&CONTENT)),
    ("generateContentRequest", &REQUEST),
    ("systemInstruction", &CONTENT),
    ("tools", &Shape::List(&TOOL)),
    ("generationConfig", &GENERATION),
]);
static CONTENT: Shape = Shape::Object(&[("role", TEXT), ("parts", &Shape::List(&PART))]);
static PART: Shape = Shape::Object(&[
    ("text", TEXT),
    ("thought", BOOL),
    ("thoughtSignature", TEXT),
    ("inlineData", &BLOB),
    ("fileData", &FILE),
    ("functionCall", &CALL),
    ("functionResponse", &RESPONSE),
    ("executableCode", MAP),
    ("codeExecutionResult", MAP),
    ("videoMetadata", MAP),
    ("mediaResolution", MAP),
    ("partMetadata", MAP),
]);
static BLOB: Shape = Shape::Object(&[("mimeType", TEXT), ("data", TEXT), ("displayName", TEXT)]);
static FILE: Shape = Shape::Object(&[("mimeType", TEXT), ("fileUri", TEXT), ("displayName", TEXT)]);
static CALL: Shape = Shape::Object(&[("id", TEXT), ("name", TEXT), ("args", MAP)]);
static RESPONSE: Shape = Shape::Object(&[
    ("id", TEXT),
    ("name", TEXT),
    ("response", MAP),
    ("parts", &Shape::List(&Shape::Map)),
    ("willContinue", BOOL),
    ("scheduling", TEXT),
]);
static TOOL: Shape = Shape::Object(&[
    ("functionDeclarations", &Shape::List(&FUNCTION)),
    ("googleSearch", MAP),
    ("googleSearchRetrieval", MAP),
    ("codeExecution", MAP),
    ("urlContext", MAP),
    ("computerUse", MAP),
    ("fileSearch", MAP),
    ("googleMaps", MAP),
    ("retrieval", MAP),
    ("enterpriseWebSearch", MAP),
]);
static FUNCTION: Shape = Shape::Object(&[
    ("name", TEXT),
    ("description", TEXT),
    ("behavior", TEXT),
    ("parameters", &SCHEMA),
    ("parametersJsonSchema", ANY),
    ("response", &SCHEMA),
    ("responseJsonSchema", ANY),
]);
static SCHEMA: Shape = Shape::Object(&[
    ("type", TEXT),
    ("format", TEXT),
    ("title", TEXT),
    ("description", TEXT),
    ("nullable", BOOL),
    ("enum", TEXTS),
    ("maxItems", ANY),
    ("minItems", ANY),
    ("properties", &Shape::Dict(&SCHEMA)),
    ("required", TEXTS),
    ("minProperties", ANY),
    ("maxProperties", ANY),
    ("minLength", ANY),
    ("maxLength", ANY),
    ("pattern", TEXT),
    ("example", ANY),
    ("anyOf", &Shape::List(&SCHEMA)),
    ("propertyOrdering", TEXTS),
    ("default", ANY),
    ("items", &SCHEMA),
    ("minimum", NUMBER),
    ("maximum", NUMBER),
]);
static TOOL_CONFIG: Shape = Shape::Object(&[
    (
        "functionCallingConfig",
        &Shape::Object(&[
            (
                "mode",
                &Shape::Word(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"]),
            ),
            ("allowedFunctionNames", TEXTS),
            ("streamFunctionCallArguments", BOOL),
        ]),
    ),
    ("retrievalConfig", MAP),
    ("includeServerSideToolInvocations", BOOL),
]);
static SAFETY: Shape = Shape::Object(&[("category", TEXT), ("threshold", TEXT), ("method", TEXT)]);
static GENERATION: Shape = Shape::Object(&[
    ("stopSequences", TEXTS),
    ("responseMimeType", TEXT),
    ("responseModalities", TEXTS),
    ("candidateCount", WHOLE),
    ("maxOutputTokens", WHOLE),
    ("temperature", NUMBER),
    ("topP", NUMBER),
    ("topK", NUMBER),
    ("seed", WHOLE),
    ("presencePenalty", NUMBER),
    ("frequencyPenalty", NUMBER),
    ("responseLogprobs", BOOL),
    ("logprobs", WHOLE),
    ("responseSchema", &SCHEMA),
    ("responseJsonSchema", ANY),
    ("thinkingConfig", &THINKING),
    ("speechConfig", MAP),
    ("imageConfig", MAP),
    ("mediaResolution", TEXT),
    ("audioTimestamp", BOOL),
    ("routingConfig", MAP),
    ("enableEnhancedCivicAnswers", BOOL),
]);
static THINKING: Shape = Shape::Object(&[
    ("includeThoughts", BOOL),
    ("thinkingBudget", WHOLE),
    (
        "thinkingLevel",
        &Shape::Word(&[
            "minimal", "low", "medium", "high", "MINIMAL", "LOW", "MEDIUM", "HIGH",
        ]),
    ),
]);

pub(super) fn check(call: &Call<'_>, body: &Value) -> Result<(), Refusal> {
    shaped(body, &REQUEST)?;
    turns(list(body, "contents"))?;
    let model = call.target.model.as_deref().unwrap_or_default();
    thinking(model, body)?;
    for tool in list(body, "tools") {
        for function in list(tool, "functionDeclarations") {
            let both = ["parameters", "parametersJsonSchema"].map(|key| get(function, key));
            if both.iter().all(Option::is_some) {
                return Err(refused(
                    "`parameters` and `parametersJsonSchema` are mutually exclusive.",
                ));
            }
        }
    }
    let cached = get(body, "cachedContent").and_then(Value::as_str);
    if let Some(name) = cached.filter(|_| call.target.vendor == Vendor::Gemini) {
        let shelf = Shelf::CachedContents.name();
        if !name.starts_with(shelf) || call.shared.shelves.get(name).is_none() {
            let message = "CachedContent not found (or permission denied)";
            return Err(Refusal::new(Dialect::Gemini, 403, message));
        }
    }
    Ok(())
}

pub(super) fn check_count(body: &Value) -> Result<(), Refusal> {
    shaped(body, &COUNT)
}

fn shaped(body: &Value, shape: &Shape) -> Result<(), Refusal> {
    let Some(Fault { at, what }) = fault(body, shape, Names::EitherCase) else {
        return Ok(());
    };
    let place = bracketed(&at);
    let message = match what {
        What::Unknown(name) if place.is_empty() => {
            format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.")
        }
        What::Unknown(name) => format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        ),
        What::Kind(wanted) => format!("Invalid value at '{place}', it must be {wanted}."),
        What::NotOne => format!("oneof field at '{place}' is not set exactly once."),
    };
    let violation = Obj::new()
        .str("field", &place)
        .str("description", &message)
        .end();
    let detail = Obj::new()
        .str("@type", "type.googleapis.com/google.rpc.BadRequest")
        .raw("fieldViolations", &format!("[{violation}]"))
        .end();
    Err(refused(&message).details(format!("[{detail}]")))
}

/// Turns that the vendor can make sense of.
fn turns(contents: &[Value]) -> Result<(), Refusal> {
    if contents.is_empty() {
        return Err(refused(
            "* GenerateContentRequest.contents: contents is not specified",
        ));
    }
    let mut called = 0;
    for (at, content) in contents.iter().enumerate() {
        let role = get(content, "role").and_then(Value::as_str);
        if !matches!(role, None | Some("user" | "model" | "function")) {
            return Err(refused("Please use a valid role: user, model."));
        }
        let parts = list(content, "parts");
        if parts.is_empty() {
            return Err(refused(&format!(
                "* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty."
            )));
        }
        for (n, part) in parts.iter().enumerate() {
            data(part).map_err(|why| {
                refused(&format!(
                    "* GenerateContentRequest.contents[{at}].parts[{n}].data: {why}"
                ))
            })?;
        }
        let count = |key: &str| parts.iter().filter(|part| get(part, key).is_some()).count();
        let (calls, results) = (count("functionCall"), count("functionResponse"));
        if calls > 0 && (role != Some("model") || at == 0) {
            return Err(refused(
                "Please ensure that function call turn comes immediately after a user turn or \
                 after a function response turn.",
            ));
        }
        if results != called && (results > 0 || called > 0) {
            return Err(refused(
                "Please ensure that the number of function response parts is equal to the number \
                 of function call parts of the function call turn.",
            ));
        }
        called = calls;
    }
    Ok(())
}

/// A part holds one thing, and signatures that the vendor made.
fn data(part: &Value) -> Result<(), &'static str> {
    const DATA: [&str; 7] = [
        "text",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
    ];
    let given = DATA.iter().filter(|key| get(part, key).is_some()).count();
    if given != 1 {
        return Err("required oneof field 'data' must have one initialized field");
    }
    let signature = get(part, "thoughtSignature").and_then(Value::as_str);
    if signature.is_some_and(|signature| !is_ours(signature)) {
        return Err("Thought signature is not valid.");
    }
    Ok(())
}

/// A signature, or a sealed thought: which text it belongs to, Gemini does not ask. Bytes are taken
/// in either alphabet of base64, as official SDKs send back the other one than they received.
fn is_ours(signature: &str) -> bool {
    // What Google lets stand where a caller never had a signature.
    if signature == "skip_thought_signature_validator" {
        return true;
    }
    let plain: String = signature
        .trim_end_matches('=')
        .chars()
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            letter => letter,
        })
        .collect();
    let Ok(bytes) = BASE64_NOPAD.decode(plain.as_bytes()) else {
        return false;
    };
    is_signature(&bytes) || opened(&BASE64.encode(&bytes)).is_some()
}

/// Budgets by family, levels for the third generation only.
fn thinking(model: &str, body: &Value) -> Result<(), Refusal> {
    let config = get(body, "generationConfig").and_then(|config| get(config, "thinkingConfig"));
    let Some(config) = config else {
        return Ok(());
    };
    let budget = get(config, "thinkingBudget").and_then(Value::as_i64);
    let level = get(config, "thinkingLevel");
    if budget.is_some() && level.is_some() {
        return Err(refused(
            "You can only set only one of thinking budget and thinking level.",
        ));
    }
    let old = model.contains("gemini-2.5");
    if old && level.is_some() {
        return Err(refused("Thinking level is not supported for this model."));
    }
    let range = match () {
        () if !old => 0..=65_536,
        () if model.contains("flash-lite") => 0..=24_576,
        () if model.contains("flash") => 0..=24_576,
        () => 128..=32_768,
    };
    let lowest = if model.contains("flash-lite") { 512 } else { 0 };
    match budget {
        // The model decides, or does not think.
        None | Some(-1) => Ok(()),
        Some(budget) if range.contains(&budget) && (budget == 0 || budget >= lowest) => Ok(()),
        Some(budget) => Err(refused(&format!(
            "The thinking budget {budget} is invalid. Please choose a value between {} and {}.",
            range.start().max(&lowest),
            range.end()
        ))),
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::bad_request(Dialect::Gemini, message)
}

/// A member under either spelling.
fn get<'a>(value: &'a Value, camel: &str) -> Option<&'a Value> {
    value.get(camel).or_else(|| {
        let mut snake = String::with_capacity(camel.len() + 4);
        for letter in camel.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        value.get(&snake)
    })
}

fn list<'a>(value: &'a Value, camel: &str) -> &'a [Value] {
    let found = get(value, camel).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}
