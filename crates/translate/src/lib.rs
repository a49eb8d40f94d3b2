//! Turns one API dialect into another (providers 13 to 22).
//!
//! Every dialect has a reader into one neutral form ([`ir`]) and a writer from it, for requests, answers
//! and streams: n readers and n writers instead of n × n translators. Lanes whose provider speaks the
//! caller's dialect never come here; their bytes pass as they are.
//!
//! Pure: bytes in, bytes out. Must never do I/O (what has to be fetched is named, see
//! [`ir::Request::remote_sources`]), never change silently what it cannot carry (see [`drops`]), and never
//! emit an illegal stream (see [`sequencer`]).
//!
//! Start at [`read_request`] and [`write_request`]; answers go through [`read_answer`] and
//! [`write_answer`], streams through [`stream::Translator`]. Beside them stand what is not a
//! conversation: [`embeddings`], [`count`] and [`failure`].

pub mod cache;
pub mod count;
pub mod drops;
pub mod embeddings;
pub mod failure;
pub mod frames;
pub mod ir;
pub mod json;
pub mod media;
pub mod models;
pub mod names;
pub mod policy;
pub mod problem;
pub mod reasoning;
pub mod seals;
pub mod sequencer;
pub mod signature;
pub mod stream;
pub mod tool_ids;

pub mod chat;
mod claude;
pub mod converse;
pub mod gemini;
pub mod messages;
pub mod responses;
mod tier;

use ir::{Answer, Request};
pub use problem::Problem;

/// A conversation's wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
    /// Gemini `generateContent`.
    Gemini,
    /// Bedrock Converse. Providers only.
    Converse,
}

/// The provider that a request is written for.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Its kind: `openai`, `azure`, `anthropic`, `bedrock`, `vertex`, `gemini`, `custom` ...
    pub provider: &'a str,
    /// The model as it is sent (a deployment's name, a profile's ARN).
    pub model: &'a str,
    /// The model as it was resolved: what it can do is told by this name.
    pub name: &'a str,
    /// Most output tokens of the model, when that is known.
    pub max_output: Option<u64>,
}

impl Target<'_> {
    /// The lane as refusals name it: `<provider>/<model>`.
    #[must_use]
    pub fn lane(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }
}

/// A request in the provider's dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The body.
    pub body: Vec<u8>,
    /// Names of what was left out, in the caller's spelling, sorted.
    pub dropped: Vec<String>,
    /// Values that `anthropic-beta` must have.
    pub betas: Vec<String>,
    /// The answer's only tool call is the structured output that was asked for (`json_output`).
    pub json_tool: bool,
}

/// What an answer's writer must know about the request.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The model as the answer names it (data-plane 12.2).
    pub model: String,
    /// Lowercase hex of the request id: ids that have to be made are made of it.
    pub request_hex: String,
    /// Now, in seconds since the epoch.
    pub created: u64,
    /// The caller's `stream_options.include_usage`.
    pub include_usage: Option<bool>,
    /// See [`Outgoing::dropped`].
    pub dropped: Vec<String>,
    /// See [`Outgoing::json_tool`].
    pub json_tool: bool,
    /// Names of tools whose input is plain text (Responses `custom`).
    pub freeform_tools: Vec<String>,
    /// Fields of the request that the answer repeats (Responses): name and JSON.
    pub echo: Vec<(String, ir::Raw)>,
    /// See [`Request::hide_thinking`].
    pub hide_thinking: bool,
}

impl Caller {
    /// What `request` says about its answer. Model, id, time and what was dropped are the caller's to set.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let freeform = request.tools.iter().filter_map(|tool| match tool {
            ir::Tool::Function(function) if function.freeform => Some(function.name.clone()),
            _ => None,
        });
        Self {
            include_usage: request.include_usage,
            freeform_tools: freeform.collect(),
            echo: request.echo.clone(),
            hide_thinking: request.hide_thinking,
            ..Self::default()
        }
    }
}

/// Reads a request. `model` is the resolved name for dialects that have it in the path.
///
/// # Errors
/// The body is not what its dialect allows.
pub fn read_request(from: Dialect, body: &[u8]) -> Result<Request, Problem> {
    match from {
        Dialect::Chat => chat::read_request(body),
        Dialect::Responses => responses::read_request(body),
        Dialect::Messages => messages::read_request(body),
        Dialect::Gemini => gemini::read_request(body),
        Dialect::Converse => Err(Problem::bad("Converse requests are not read", "")),
    }
}

/// Writes a request for a provider that speaks `to`.
///
/// # Errors
/// The request has something that the provider cannot be given and that must not be left out.
pub fn write_request(
    to: Dialect,
    mut request: Request,
    target: &Target<'_>,
) -> Result<Outgoing, Problem> {
    cache::apply(&mut request, to);
    let dropped = policy::apply(&mut request, to, target)?;
    let mut outgoing = match to {
        Dialect::Chat => chat::write_request(request, target),
        Dialect::Responses => responses::write_request(request, target),
        Dialect::Messages => messages::write_request(request, target),
        Dialect::Gemini => gemini::write_request(request, target),
        Dialect::Converse => converse::write_request(request, target),
    }?;
    outgoing.dropped.extend(dropped);
    outgoing.dropped.sort_unstable();
    outgoing.dropped.dedup();
    Ok(outgoing)
}

/// Reads a provider's whole answer.
///
/// # Errors
/// It is not an answer of that dialect: the caller of this function answers 502.
pub fn read_answer(from: Dialect, body: &[u8]) -> Result<Answer, Problem> {
    match from {
        Dialect::Chat => chat::read_answer(body),
        Dialect::Responses => responses::read_answer(body),
        Dialect::Messages => messages::read_answer(body),
        Dialect::Gemini => gemini::read_answer(body),
        Dialect::Converse => converse::read_answer(body),
    }
}

/// Writes a whole answer in the caller's dialect.
#[must_use]
pub fn write_answer(to: Dialect, mut answer: Answer, caller: &Caller) -> Vec<u8> {
    answer.settle(caller);
    match to {
        Dialect::Chat => chat::write_answer(answer, caller),
        Dialect::Responses => responses::write_answer(answer, caller),
        Dialect::Messages => messages::write_answer(answer, caller),
        // Nobody calls in Converse.
        Dialect::Gemini | Dialect::Converse => gemini::write_answer(answer, caller),
    }
}
