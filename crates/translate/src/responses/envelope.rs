//! The Response object around the items: status, usage, and the fields that it repeats from the request,
//! with the API's own defaults for those that the request does not have (the SDKs' models want them all).

use lw_core::Usage;
use serde_json::value::RawValue;

use crate::Caller;
use crate::ir::{Raw, Stop};
use crate::json::{self, Obj, Object, array};

use super::output::{Ids, Status};

/// What is repeated, with what stands there when the request does not say. Nothing is kept here, so `store`
/// is false.
const ECHOED: [(&str, &str); 20] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("prompt_cache_retention", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "\"default\""),
    ("store", "false"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"},"verbosity":"medium"}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// The fields of a request that its answer repeats.
pub(super) fn echo_of(request: &Object<'_>) -> Vec<(String, Raw)> {
    let names = ECHOED.iter().map(|(name, _)| *name).chain(["metadata"]);
    let given = names.filter_map(|name| Some((name.to_owned(), echo(name, request.get(name)?))));
    given.collect()
}

/// A field as the API repeats it: with the keys that its models require.
fn echo(name: &str, given: &RawValue) -> Raw {
    match name {
        "tools" => {
            let tools = json::list(given, name).unwrap_or_default();
            json::raw(array(tools.into_iter().map(echo_tool)))
        }
        "text" => filled(given, &[("format", r#"{"type":"text"}"#)]),
        "reasoning" => filled(given, &[("effort", "null"), ("summary", "null")]),
        _ => given.to_owned(),
    }
}

fn echo_tool(tool: &RawValue) -> String {
    let kind = Object::read(tool, "tools").ok();
    let kind = kind.and_then(|tool| tool.get("type").and_then(json::text));
    if kind.as_deref() != Some("function") {
        return tool.get().to_owned();
    }
    let keys = [
        ("description", "null"),
        ("parameters", "null"),
        ("strict", "null"),
    ];
    filled(tool, &keys).get().to_owned()
}

/// An object with the keys that it lacks.
fn filled(given: &RawValue, keys: &[(&str, &str)]) -> Raw {
    let Ok(object) = Object::read(given, "") else {
        return given.to_owned();
    };
    let mut whole = Obj::new();
    for (key, value) in object.iter() {
        whole = whole.raw(key, value.get());
    }
    for (key, value) in keys {
        if object.iter().all(|(own, _)| own != *key) {
            whole = whole.raw(key, value);
        }
    }
    json::raw(whole.end())
}

/// How an answer ended, as the dialect says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has begun.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut, for this reason.
    Incomplete(&'static str),
}

impl Outcome {
    /// From the reason to stop (providers 16).
    pub(super) const fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Length => Self::Incomplete("max_output_tokens"),
            Stop::Filtered => Self::Incomplete("content_filter"),
            Stop::End | Stop::Sequence(_) | Stop::ToolUse | Stop::Paused | Stop::Other => {
                Self::Completed
            }
        }
    }

    /// The word on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
        }
    }

    /// How the message that the answer ended in stands.
    pub(super) const fn of_last_item(self) -> Status {
        match self {
            Self::Incomplete(_) => Status::Incomplete,
            Self::InProgress | Self::Completed => Status::Completed,
        }
    }
}

/// What stays the same over all copies of an answer's Response object.
#[derive(Debug)]
pub(super) struct Envelope {
    id: String,
    model: String,
    created: u64,
    echo: Vec<(String, Raw)>,
}

impl Envelope {
    /// For an answer. `id` and `created` are the provider's, where it has them.
    pub(super) fn new(id: Option<String>, created: Option<u64>, caller: &Caller) -> Self {
        Self {
            id: id
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| Ids::of(caller).response()),
            model: caller.model.clone(),
            created: created.unwrap_or(caller.created),
            echo: caller.echo.clone(),
        }
    }

    /// The object.
    pub(super) fn response(
        &self,
        outcome: Outcome,
        output: &[String],
        usage: Option<&Usage>,
        tier: Option<&str>,
    ) -> String {
        let incomplete = match outcome {
            Outcome::Incomplete(reason) => Obj::new().str("reason", reason).end(),
            Outcome::InProgress | Outcome::Completed => "null".to_owned(),
        };
        let mut response = Obj::new()
            .str("id", &self.id)
            .str("object", "response")
            .num("created_at", self.created)
            .str("status", outcome.as_str())
            .raw("error", "null")
            .raw("incomplete_details", &incomplete)
            .str("model", &self.model)
            .list("output", output.iter().cloned());
        for (name, default) in ECHOED {
            let given = self.echo.iter().find(|(own, _)| own == name);
            let value = given.map_or(default, |(_, raw)| raw.get());
            response = match (name, tier.and_then(crate::tier::openai)) {
                ("service_tier", Some(tier)) => response.str(name, tier),
                _ => response.raw(name, value),
            };
        }
        let usage = usage.map_or_else(|| "null".to_owned(), usage_json);
        let metadata = self.echo.iter().find(|(own, _)| own == "metadata");
        response
            .raw("usage", &usage)
            .raw("metadata", metadata.map_or("{}", |(_, raw)| raw.get()))
            .end()
    }
}

fn usage_json(usage: &Usage) -> String {
    let input = Obj::new()
        .num("cached_tokens", usage.cache_read)
        .num("cache_write_tokens", usage.cache_write())
        .end();
    let output = Obj::new().num("reasoning_tokens", usage.reasoning).end();
    let (prompt, completion) = (usage.prompt(), usage.completion());
    Obj::new()
        .num("input_tokens", prompt)
        .raw("input_tokens_details", &input)
        .num("output_tokens", completion)
        .raw("output_tokens_details", &output)
        .num("total_tokens", prompt.saturating_add(completion))
        .end()
}

/// The caller's `tools`, as they are repeated.
pub(super) fn tools_of(caller: &Caller) -> Option<&RawValue> {
    let found = caller.echo.iter().find(|(name, _)| name == "tools");
    found.map(|(_, raw)| &**raw)
}
