//! `explain`: what the gateway would do with a request, decision by decision, without sending it.
//!
//! The server explains; this prints. A whole body travels as its text, so that it is explained byte for
//! byte and need not be JSON. Start at [`run`].

use clap::Args;
use ureq::http::Method;

use super::flags::{set_number, set_text};
use super::virtual_key_view::{field, optional};
use crate::args::{pairs_object, parse_header};
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::{Table, clean};

pub(crate) const EXAMPLES: &str = "\
Examples:
  langwatch explain --key <id> --model gpt-5-mini
  langwatch explain --key <id> --model smart --tool shell --end-user user-42
  langwatch explain --key <id> --endpoint /v1/messages --body request.json
  langwatch explain --key <id> --model gpt-5-mini --format json | jq -r .refusal.code

Exits with 0 when a provider would be asked, and with 1 when the request would be refused.";

/// The flags of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Id of the virtual key that the request would carry
    #[arg(long, value_name = "ID")]
    key: String,

    /// Model as the application names it
    #[arg(long)]
    model: Option<String>,

    /// Where the request would go (default: /v1/chat/completions); {model} in it stands for --model
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,

    /// Tool that the request would offer to the model (repeatable)
    #[arg(long = "tool", value_name = "NAME", conflicts_with = "body")]
    tools: Vec<String>,

    /// MCP server that the request would name, by its name or its address (repeatable)
    #[arg(long = "mcp", value_name = "SERVER", conflicts_with = "body")]
    mcp: Vec<String>,

    /// Address that would stand in the request (repeatable)
    #[arg(long = "url", value_name = "URL", conflicts_with = "body")]
    urls: Vec<String>,

    /// Whom the request would be for
    #[arg(long, value_name = "ID")]
    end_user: Option<String>,

    /// Header that the request would carry (repeatable); the server drops credentials
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,

    /// Ask for a stream
    #[arg(long, conflicts_with = "body")]
    stream: bool,

    /// The most tokens that the answer may have
    #[arg(long, value_name = "N", conflicts_with = "body")]
    max_output_tokens: Option<u32>,

    /// The whole body of the request, from a file; - reads it from standard input
    #[arg(long, value_name = "PATH")]
    body: Option<String>,

    // Last: its heading would hold for what follows.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &ExplainArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let path = format!(
        "/api/gateway/v1/virtual-keys/{}/check-request",
        segment(&args.key)
    );
    let request = Request::new(Method::POST, Headers::Gateway, path).body(question(args, context)?);
    let answer = context.send("explain the request", &request)?;
    let refused = refusal(&answer).is_some();
    context.show(answer, explanation)?;
    // It is printed: that nobody would be asked is what the exit code adds.
    if refused {
        Err(CliError::Reported)
    } else {
        Ok(())
    }
}

fn question(args: &ExplainArgs, context: &mut Context<'_>) -> Result<Json, CliError> {
    let ExplainArgs {
        output: _,
        key: _,
        model,
        endpoint,
        tools,
        mcp,
        urls,
        end_user,
        headers,
        stream,
        max_output_tokens,
        body,
    } = args;
    let mut question = Json::Object(Vec::new());
    set_text(&mut question, "endpoint", endpoint.as_deref());
    set_text(&mut question, "model", model.as_deref());
    for (name, list) in [("tools", tools), ("mcp", mcp), ("urls", urls)] {
        if !list.is_empty() {
            let list: Vec<Json> = list.iter().map(|entry| entry.as_str().into()).collect();
            question.set(name, list.into());
        }
    }
    set_text(&mut question, "end_user_id", end_user.as_deref());
    if !headers.is_empty() {
        question.set("headers", pairs_object(headers));
    }
    if *stream {
        question.set("stream", true.into());
    }
    set_number(&mut question, "max_output_tokens", *max_output_tokens);
    if let Some(path) = body.as_deref() {
        question.set("body", whole(path, context)?.into());
    }
    Ok(question)
}

/// The text of a body.
fn whole(path: &str, context: &mut Context<'_>) -> Result<String, CliError> {
    let read = if path == "-" {
        context.io().read_input()
    } else {
        std::fs::read_to_string(context.env.working_dir().join(path))
    };
    read.map_err(|error| CliError::usage(format!("Cannot read {path}: {error}.")))
}

fn refusal(answer: &Json) -> Option<&Json> {
    answer.get("refusal").filter(|refusal| !refusal.is_null())
}

/// Decisions in their order, one a line.
pub(super) fn decisions(steps: &[Json], style: Style) -> String {
    let width = steps.iter().map(|step| stage(step).chars().count()).max();
    let width = width.unwrap_or_default();
    let mut out = String::new();
    for step in steps {
        let name = stage(step);
        let pad = " ".repeat(width.saturating_sub(name.chars().count()));
        let (name, detail) = (style.grey(&name), field(step, "detail"));
        let mark = mark(step.text("outcome").unwrap_or_default(), style);
        out.push_str(&format!("{mark} {name}{pad}  {detail}\n"));
    }
    out
}

fn explanation(answer: &Json, style: Style) -> String {
    let steps = answer.get("steps").map(Json::items).unwrap_or_default();
    let mut out = decisions(steps, style);
    if !out.is_empty() {
        out.push('\n');
    }
    match refusal(answer) {
        Some(refusal) => {
            let headline = format!(
                "Refused: {} {}",
                field(refusal, "status"),
                field(refusal, "code")
            );
            out.push_str(&format!("{}\n", style.red(&headline)));
            if let Some(message) = optional(refusal, "message") {
                out.push_str(&format!("  {message}\n"));
            }
        }
        None => out.push_str(&dispatch(answer, style)),
    }
    out
}

fn stage(step: &Json) -> String {
    field(step, "stage").replace('_', " ")
}

fn mark(outcome: &str, style: Style) -> String {
    match outcome {
        "pass" => style.green("✓"),
        "refuse" => style.red("✗"),
        "warn" => style.yellow("!"),
        "skip" => style.grey("-"),
        "info" => style.cyan("·"),
        other => clean(other),
    }
}

/// Who would be asked.
fn dispatch(answer: &Json, style: Style) -> String {
    let candidates = answer.get("would_dispatch");
    let candidates = candidates.map(Json::items).unwrap_or_default();
    if candidates.is_empty() {
        return format!("{}\n", style.yellow("No provider was named."));
    }
    let title = if candidates.len() == 1 {
        "Would be sent to"
    } else {
        "Would be sent to, until one answers"
    };
    let mut table = Table::new(["#", "Provider", "ID", "Model", "Note"]);
    for (place, candidate) in (1_usize..).zip(candidates) {
        table.row([
            place.to_string(),
            style.cyan(&field(candidate, "provider")),
            style.grey(&field(candidate, "model_provider_id")),
            field(candidate, "model"),
            field(candidate, "note"),
        ]);
    }
    format!("{}\n{}", style.bold(title), table.render(style))
}
