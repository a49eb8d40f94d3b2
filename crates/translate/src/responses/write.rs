//! Writes a request for a provider that speaks Responses: OpenAI, Azure, Codex.
//!
//! Nothing is kept at the provider: `store` is false, and thinking comes back sealed so that the caller can
//! hand it in again.

use crate::drops::Drops;
use crate::ir::{Effort, Function, OutputFormat, Part, Raw, Reasoning, Request, Tool, ToolChoice};
use crate::json::{Obj, array};
use crate::names::Field;
use crate::{Dialect, Outgoing, Problem, Target, reasoning, tier};

use super::conversation::Input;

/// The least `max_output_tokens` that the API takes.
const LEAST_OUTPUT: u64 = 16;

/// The sealed thinking that a stateless caller needs.
const SEALED_THINKING: &str = "reasoning.encrypted_content";

/// Log probabilities, when they are asked for.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Fields of Chat Completions that Responses spells the same.
const SHARED_WITH_CHAT: [&str; 4] = [
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// Writes a request.
///
/// # Errors
/// It has something that the provider cannot be given and that must not be left out.
pub(crate) fn write_request(
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    let mut drops = Drops::new(&request, target);
    let codex = target.provider == "openai_codex";
    let mut body = Obj::new().str("model", target.model);
    body = instructions(body, &request, codex);
    let mut input = Input::new(&request);
    input.turns(&request, &mut drops)?;
    body = body.raw("input", &array(input.items));
    body = tools(body, &mut request, &mut drops)?;
    body = sampling(body, &request, codex, &mut drops)?;
    body = output(body, &mut request);
    let (reasoning, thinks) = thinking(&mut request, target, &mut drops)?;
    body = body.raw_if("reasoning", reasoning.as_deref());
    body = identity(body, &mut request, codex, &mut drops)?;
    body = body.raw_if(
        "include",
        include(&mut request, thinks || input.seals).as_deref(),
    );
    let at_home = request.from == Dialect::Responses;
    let store = at_home.then(|| request.take("store")).flatten();
    body = body.raw("store", store.as_ref().map_or("false", |raw| raw.get()));
    if request.stream {
        body = body.num("stream", true);
    }
    if at_home {
        for (name, value) in std::mem::take(&mut request.rest) {
            body = body.raw(&name, value.get());
        }
    }
    for (given, field, why) in [
        (
            request.presence_penalty.is_some(),
            Field::PresencePenalty,
            "the API has no penalties",
        ),
        (
            request.frequency_penalty.is_some(),
            Field::FrequencyPenalty,
            "the API has no penalties",
        ),
        (
            request.top_k.is_some(),
            Field::TopK,
            "the API has no top-k sampling",
        ),
        (
            !request.stop.is_empty(),
            Field::Stop,
            "the API has no stop sequences",
        ),
    ] {
        if given {
            drops.leave_out_field(field, why)?;
        }
    }
    drops.judge_rest(&mut request)?;
    Ok(Outgoing {
        body: body.end().into_bytes(),
        dropped: drops.finish(),
        betas: Vec::new(),
        json_tool: false,
    })
}

fn instructions(body: Obj, request: &Request, codex: bool) -> Obj {
    let texts = request.system.iter().filter_map(|part| match part {
        Part::Text(text) if !text.text.is_empty() => Some(text.text.as_str()),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n\n");
    // Codex wants the field even when there is nothing to say.
    if text.is_empty() && !codex {
        return body;
    }
    body.str("instructions", &text)
}

fn tools(mut body: Obj, request: &mut Request, drops: &mut Drops) -> Result<Obj, Problem> {
    let at_home = request.from == Dialect::Responses;
    let mut written = Vec::new();
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => written.push(self::function(function)),
            Tool::Hosted { raw, .. } if at_home => written.push(raw.get().to_owned()),
            Tool::Hosted { .. } => drops.leave_out_field(
                Field::Tools,
                "the provider does not run another provider's tools",
            )?,
        }
    }
    let any = !written.is_empty();
    body = body.list_if("tools", written);
    let choice = match &request.tool_choice {
        None => None,
        Some(_) if !any => {
            if matches!(
                request.tool_choice,
                Some(ToolChoice::Any | ToolChoice::Named(_))
            ) {
                drops.leave_out_field(Field::ToolChoice, "there is no tool to choose")?;
            }
            None
        }
        Some(ToolChoice::Auto) => Some("\"auto\"".to_owned()),
        Some(ToolChoice::None) => Some("\"none\"".to_owned()),
        Some(ToolChoice::Any) => Some("\"required\"".to_owned()),
        Some(ToolChoice::Named(name)) => Some(named_choice(name, &request.tools, drops)?),
    };
    body = body.raw_if("tool_choice", choice.as_deref());
    if any || at_home {
        body = body.num_if("parallel_tool_calls", request.parallel_tools);
    }
    Ok(body)
}

fn function(function: &Function) -> String {
    let Function {
        name,
        description,
        schema: _,
        strict,
        freeform,
        cache: _,
    } = function;
    let kind = if *freeform { "custom" } else { "function" };
    let tool = Obj::new()
        .str("type", kind)
        .str("name", name)
        .str_if("description", description.as_deref());
    if *freeform {
        return tool.end();
    }
    // Strict is the API's own default and would refuse schemas that other dialects allow.
    tool.raw("parameters", function.schema())
        .num("strict", strict.unwrap_or(false))
        .end()
}

fn named_choice(name: &str, tools: &[Tool], drops: &Drops) -> Result<String, Problem> {
    let found = tools.iter().find_map(|tool| match tool {
        Tool::Function(function) if function.name == name => Some(function.freeform),
        _ => None,
    });
    let kind = match found {
        Some(true) => "custom",
        Some(false) => "function",
        None => {
            return Err(drops.refuse_field(
                Field::ToolChoice,
                &format!("no tool is named `{name}`"),
                "name one of `tools`",
            ));
        }
    };
    Ok(Obj::new().str("type", kind).str("name", name).end())
}

fn sampling(body: Obj, request: &Request, codex: bool, drops: &mut Drops) -> Result<Obj, Problem> {
    if codex {
        // Codex refuses all of these.
        for (given, field) in [
            (request.max_output.is_some(), Field::MaxOutput),
            (request.temperature.is_some(), Field::Temperature),
            (request.top_p.is_some(), Field::TopP),
        ] {
            if given {
                drops.leave_out_field(field, "Codex does not take it")?;
            }
        }
        return Ok(body);
    }
    let cap = request.max_output.map(|cap| {
        if cap < LEAST_OUTPUT {
            drops.note(Field::MaxOutput);
        }
        cap.max(LEAST_OUTPUT)
    });
    Ok(body
        .num_if("max_output_tokens", cap)
        .num_if("temperature", request.temperature.as_ref())
        .num_if("top_p", request.top_p.as_ref())
        .num_if("top_logprobs", request.logprobs))
}

/// `text`: the form of the answer and how many words it makes.
fn output(body: Obj, request: &mut Request) -> Obj {
    let format = request.output.as_ref().map(|format| match format {
        OutputFormat::Json => Obj::new().str("type", "json_object").end(),
        OutputFormat::Schema {
            name,
            description,
            schema,
            strict,
        } => Obj::new()
            .str("type", "json_schema")
            .str("name", name.as_deref().unwrap_or("output"))
            .str_if("description", description.as_deref())
            .raw("schema", schema.get())
            .num_if("strict", *strict)
            .end(),
    });
    let mut text = Obj::new().raw_if("format", format.as_deref());
    let verbosity = match request.from {
        Dialect::Chat => request.take("verbosity"),
        _ => None,
    };
    text = text.raw_if("verbosity", verbosity.as_ref().map(|raw| raw.get()));
    text = put_back(text, take_nested(request, "text."));
    if text.is_empty() {
        body
    } else {
        body.raw("text", &text.end())
    }
}

/// Takes what the reader kept by its path, without the path.
fn take_nested(request: &mut Request, prefix: &str) -> Vec<(String, Raw)> {
    let mut own = Vec::new();
    for (name, value) in std::mem::take(&mut request.rest) {
        match name.strip_prefix(prefix) {
            Some(name) => own.push((name.to_owned(), value)),
            None => request.rest.push((name, value)),
        }
    }
    own
}

fn put_back(object: Obj, fields: Vec<(String, Raw)>) -> Obj {
    let add = |object: Obj, (name, value): (String, Raw)| object.raw(&name, value.get());
    fields.into_iter().fold(object, add)
}

/// `reasoning`, and whether the model thinks because of it.
fn thinking(
    request: &mut Request,
    target: &Target<'_>,
    drops: &mut Drops,
) -> Result<(Option<String>, bool), Problem> {
    let more = take_nested(request, "reasoning.");
    let wanted = request.reasoning.take().unwrap_or_default();
    let asked = wanted != Reasoning::default();
    let model = Model::of(target.name);
    let off = is_off(&wanted);
    if !model.thinks {
        if (asked && !off) || !more.is_empty() {
            drops.leave_out_field(Field::Reasoning, "the model does not think")?;
        }
        return Ok((None, false));
    }
    let effort = match wanted.effort {
        // A caller's own word goes as it is; "off" is as little as the model can.
        Some(effort) => Some(effort),
        None if off => Some(model.least),
        None => reasoning::effort(&wanted, request.max_output),
    };
    // Only for callers who ask to read it: OpenAI refuses summaries to organizations that are not verified.
    let summary = wanted.summary.as_deref().filter(|_| !off);
    let object = Obj::new()
        .str_if("effort", effort.map(Effort::as_str))
        .str_if("summary", summary);
    let object = put_back(object, more);
    let written = (!object.is_empty()).then(|| object.end());
    Ok((written, asked && !off))
}

fn is_off(wanted: &Reasoning) -> bool {
    wanted.enabled == Some(false)
        || wanted.effort == Some(Effort::None)
        || (wanted.effort.is_none() && wanted.budget == Some(0))
}

/// What a model of OpenAI can do, told by its name.
#[derive(Debug, PartialEq, Eq)]
struct Model {
    thinks: bool,
    /// The least that it can be told to think.
    least: Effort,
}

impl Model {
    fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let number = |rest: &str| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()
        };
        let series = name.strip_prefix('o').and_then(number);
        let generation = name.strip_prefix("gpt-").and_then(number);
        let chat = name.contains("-chat");
        let codex = name.contains("codex");
        let thinks = codex || series.is_some() || (generation.is_some_and(|n| n >= 5) && !chat);
        let point = name.strip_prefix("gpt-5.").and_then(number);
        let least = match generation {
            _ if codex || series.is_some() => Effort::Low,
            Some(5) if point.is_none() => Effort::Minimal,
            _ => Effort::None,
        };
        Self { thinks, least }
    }
}

/// Service tier, end user and what the neighbouring dialect spells the same.
fn identity(
    mut body: Obj,
    request: &mut Request,
    codex: bool,
    drops: &mut Drops,
) -> Result<Obj, Problem> {
    let openai = matches!(request.from, Dialect::Responses | Dialect::Chat);
    if let Some(tier) = &request.service_tier {
        if let Some(word) = tier::openai(tier).filter(|word| openai && word == tier) {
            body = body.str("service_tier", word);
        } else if tier != "auto" {
            drops.leave_out_field(Field::ServiceTier, "the provider has no such tier")?;
        }
    }
    if let Some(user) = &request.end_user {
        if openai && !codex {
            body = body.str("user", user);
        } else {
            drops.leave_out_field(Field::EndUser, "end users are not named to the provider")?;
        }
    }
    if request.from == Dialect::Chat {
        for name in SHARED_WITH_CHAT {
            let known = !codex || name == "prompt_cache_key";
            if let Some(value) = known.then(|| request.take(name)).flatten() {
                body = body.raw(name, value.get());
            }
        }
    }
    Ok(body)
}

/// `include`: what the caller asked for, if it speaks this dialect, and what a stateless call needs.
fn include(request: &mut Request, seals: bool) -> Option<String> {
    let given = request
        .take("include")
        .filter(|_| request.from == Dialect::Responses);
    let given = given.and_then(|raw| serde_json::from_str::<Vec<String>>(raw.get()).ok());
    let mut words = given.unwrap_or_default();
    for (wanted, word) in [
        (seals, SEALED_THINKING),
        (request.logprobs.is_some(), LOGPROBS),
    ] {
        if wanted && !words.iter().any(|own| own == word) {
            words.push(word.to_owned());
        }
    }
    let words = words
        .into_iter()
        .map(|word| serde_json::Value::from(word).to_string());
    let list = array(words);
    (list != "[]").then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_think_are_told_by_their_names() {
        for (name, thinks, least) in [
            ("gpt-5", true, Effort::Minimal),
            ("openai/gpt-5-mini-2025-08-07", true, Effort::Minimal),
            ("gpt-5.2", true, Effort::None),
            ("gpt-5-codex", true, Effort::Low),
            ("codex-mini-latest", true, Effort::Low),
            ("o3-pro", true, Effort::Low),
            ("o4-mini", true, Effort::Low),
            ("gpt-6", true, Effort::None),
            ("gpt-5-chat-latest", false, Effort::Minimal),
            ("gpt-4o", false, Effort::None),
            ("gpt-4.1-mini", false, Effort::None),
            ("omni-moderation-latest", false, Effort::None),
        ] {
            assert_eq!(Model::of(name), Model { thinks, least }, "{name}");
        }
    }
}
