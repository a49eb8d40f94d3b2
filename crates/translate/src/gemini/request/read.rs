//! Reads a request of Gemini's callers.

use serde_json::value::RawValue;

use super::contents;
use super::{CARRIED, CONFIG, TOOL_CONFIG};
use crate::gemini::fields::{Fields, camel};
use crate::gemini::schema;
use crate::ir::{Effort, Function, OutputFormat, Raw, Reasoning, Request, Tool, ToolChoice};
use crate::json::{self, Obj};
use crate::{Dialect, Problem};

/// Reads a request.
///
/// # Errors
/// The body is not what Google's API allows.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, Problem> {
    let mut top = Fields::of_body(body)?;
    let mut request = Request::new(Dialect::Gemini);
    if let Some(model) = top.text("model")? {
        model
            .strip_prefix("models/")
            .unwrap_or(&model)
            .clone_into(&mut request.model);
    }
    request.service_tier = top.text("serviceTier")?;
    let Some(conversation) = top.take("contents") else {
        return Err(Problem::bad("`contents` is missing", "contents"));
    };
    request.turns = contents::turns(conversation)?;
    if let Some(raw) = top.take("systemInstruction") {
        request.system = contents::instructions(raw)?;
    }
    for (n, raw) in top.list("tools")?.into_iter().flatten().enumerate() {
        tool(raw, &format!("tools[{n}]"), &mut request.tools)?;
    }
    if let Some(config) = top.object("toolConfig")? {
        tool_config(config, &mut request)?;
    }
    if let Some(config) = top.object("generationConfig")? {
        generation_config(config, &mut request)?;
    }
    for (name, carried) in CARRIED {
        if let Some(raw) = top.take(name) {
            request.rest.push((carried.to_owned(), raw.to_owned()));
        }
    }
    request.rest.extend(top.rest());
    Ok(request)
}

fn generation_config(mut config: Fields<'_>, request: &mut Request) -> Result<(), Problem> {
    request.temperature = config.number("temperature")?;
    request.top_p = config.number("topP")?;
    request.top_k = config.number("topK")?;
    request.max_output = config.count("maxOutputTokens")?;
    request.presence_penalty = config.number("presencePenalty")?;
    request.frequency_penalty = config.number("frequencyPenalty")?;
    let at = config.path("stopSequences");
    for raw in config.list("stopSequences")?.into_iter().flatten() {
        let Some(text) = json::text(raw) else {
            return Err(Problem::bad(
                format!("`{at}` must be a list of strings"),
                at,
            ));
        };
        request.stop.push(text);
    }
    let alternatives = config.count("logprobs")?;
    if config.flag("responseLogprobs")? == Some(true) {
        request.logprobs = Some(alternatives.unwrap_or(0));
    }
    output(&mut config, request)?;
    if let Some(thinking) = config.object("thinkingConfig")? {
        request.reasoning = reasoning(thinking)?;
    }
    // One candidate of text is what everybody answers with.
    if let Some(count) = config.count("candidateCount")?.filter(|count| *count > 1) {
        keep(request, "candidateCount", json::raw(count.to_string()));
    }
    if let Some(raw) = config.take("responseModalities") {
        let words: Vec<String> = serde_json::from_str(raw.get()).unwrap_or_default();
        let plain = words.iter().all(|word| word.eq_ignore_ascii_case("text"));
        if words.is_empty() || !plain {
            keep(request, "responseModalities", raw.to_owned());
        }
    }
    if let Some(raw) = config.take("seed") {
        // Other vendors know it by this name.
        request.rest.push(("seed".to_owned(), raw.to_owned()));
    }
    for (name, raw) in config.rest() {
        keep(request, &camel(&name), raw);
    }
    Ok(())
}

fn keep(request: &mut Request, name: &str, raw: Raw) {
    request.rest.push((format!("{CONFIG}{name}"), raw));
}

fn output(config: &mut Fields<'_>, request: &mut Request) -> Result<(), Problem> {
    let media_type = config.text("responseMimeType")?;
    let google = config.take("responseSchema").map(schema::json_schema);
    let standard = config
        .take("responseJsonSchema")
        .or_else(|| config.take("_responseJsonSchema"));
    let schema = standard.map(RawValue::to_owned).or(google);
    request.output = match (media_type.as_deref(), schema) {
        (Some("application/json") | None, Some(schema)) => Some(OutputFormat::Schema {
            name: None,
            description: None,
            schema,
            strict: None,
        }),
        (Some("application/json"), None) => Some(OutputFormat::Json),
        (None | Some("" | "text/plain"), _) => None,
        (Some(other), schema) => {
            let quoted = serde_json::Value::from(other).to_string();
            keep(request, "responseMimeType", json::raw(quoted));
            if let Some(schema) = schema {
                keep(request, "responseJsonSchema", schema);
            }
            None
        }
    };
    Ok(())
}

/// Budgets below this are less than other vendors' least and read as the lowest level.
const SMALL_BUDGET: i64 = 1_024;

fn reasoning(mut thinking: Fields<'_>) -> Result<Option<Reasoning>, Problem> {
    let mut wanted = Reasoning::default();
    if thinking.flag("includeThoughts")? == Some(true) {
        wanted.summary = Some("auto".to_owned());
    }
    if let Some(level) = thinking.word("thinkingLevel")? {
        let at = thinking.path("thinkingLevel");
        let Some(effort) = Effort::parse(&level.to_ascii_lowercase()) else {
            return Err(Problem::bad(
                format!("`{at}` must be one of MINIMAL, LOW, MEDIUM and HIGH"),
                at,
            ));
        };
        wanted.effort = Some(effort);
    }
    match thinking.whole("thinkingBudget")? {
        // The model decides how much.
        Some(..=-1) => wanted.enabled = Some(true),
        Some(0) => wanted.enabled = Some(false),
        Some(budget) if budget < SMALL_BUDGET => {
            wanted.effort = wanted.effort.or(Some(Effort::Minimal));
        }
        Some(budget) => wanted.budget = Some(budget),
        None => {}
    }
    Ok((wanted != Reasoning::default()).then_some(wanted))
}

fn tool(raw: &RawValue, at: &str, tools: &mut Vec<Tool>) -> Result<(), Problem> {
    let mut fields = Fields::read(raw, at)?;
    let at = fields.path("functionDeclarations");
    for (n, raw) in fields
        .list("functionDeclarations")?
        .into_iter()
        .flatten()
        .enumerate()
    {
        let declaration = Fields::read(raw, &format!("{at}[{n}]"))?;
        tools.push(Tool::Function(function(declaration)?));
    }
    for (name, raw) in fields.rest() {
        let kind = camel(&name);
        let whole = Obj::new().raw(&kind, raw.get()).end();
        tools.push(Tool::Hosted {
            kind,
            raw: json::raw(whole),
        });
    }
    Ok(())
}

fn function(mut declaration: Fields<'_>) -> Result<Function, Problem> {
    let at = declaration.path("name");
    let name = declaration.text("name")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::bad(format!("`{at}` is missing"), at))?;
    let google = declaration.take("parameters").map(schema::json_schema);
    let standard = declaration
        .take("parametersJsonSchema")
        .map(RawValue::to_owned);
    Ok(Function {
        name,
        description: declaration.text("description")?,
        schema: standard.or(google),
        strict: None,
        freeform: false,
        cache: None,
    })
}

fn tool_config(mut config: Fields<'_>, request: &mut Request) -> Result<(), Problem> {
    if let Some(mut calling) = config.object("functionCallingConfig")? {
        let mode = calling.word("mode")?;
        let at = calling.path("mode");
        let mut allowed = Vec::new();
        for raw in calling.list("allowedFunctionNames")?.into_iter().flatten() {
            allowed.extend(json::text(raw));
        }
        request.tool_choice = match (mode.as_deref(), allowed.as_slice()) {
            (None, _) => None,
            (Some("NONE"), _) => Some(ToolChoice::None),
            (Some("ANY"), [only]) => Some(ToolChoice::Named(only.clone())),
            (Some("ANY"), _) => Some(ToolChoice::Any),
            (Some("AUTO" | "VALIDATED"), _) => Some(ToolChoice::Auto),
            (Some(other), _) => {
                return Err(Problem::bad(
                    format!("`{at}` must be AUTO, ANY, NONE or VALIDATED, not `{other}`"),
                    at,
                ));
            }
        };
        // A choice among several is a choice among those: the others are not there to be called.
        if allowed.len() > 1 || (mode.as_deref() == Some("VALIDATED") && !allowed.is_empty()) {
            request.tools.retain(|tool| match tool {
                Tool::Function(function) => allowed.contains(&function.name),
                Tool::Hosted { .. } => true,
            });
        }
    }
    for (name, raw) in config.rest() {
        let name = camel(&name);
        request.rest.push((format!("{TOOL_CONFIG}{name}"), raw));
    }
    Ok(())
}
