//! `trace`: find and read what went through the gateway.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::trace_digest::{self, tokens_text, usd};
use super::virtual_key_view::field;
use crate::args::{parse_instant, when};
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::{Table, shorten};

const MS_PER_DAY: i64 = 86_400_000;
const INPUT_WIDTH: usize = 40;

/// The `trace` group.
#[derive(Args, Debug)]
pub struct TraceArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: TraceCommand,
}

/// The `trace` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Search traces (default: the last 24 hours)
    Search(SearchFlags),
    /// Show one trace
    Get {
        /// Trace id, a unique beginning of one, or a gateway request id (req_…)
        id: String,
        /// Project of the trace
        #[arg(long, value_name = "ID")]
        project: Option<String>,
    },
}

/// The flags of `search`.
#[derive(Args, Debug)]
pub(crate) struct SearchFlags {
    /// Text to find: input, output, model, an id; a gateway request id is found at any date
    #[arg(short = 'q', long, value_name = "TEXT")]
    query: Option<String>,

    /// Start: ISO 8601 or epoch milliseconds (default: 24 hours before the end)
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    start_date: Option<i64>,

    /// End: ISO 8601 or epoch milliseconds (default: now)
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    end_date: Option<i64>,

    /// Most traces to return
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    /// Only traces of these origins (comma-separated), such as gateway
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    origin: Vec<String>,

    /// Only traces with an error
    #[arg(long)]
    errors_only: bool,

    /// Project to search in
    #[arg(long, value_name = "ID")]
    project: Option<String>,
}

pub(crate) fn run(command: TraceCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        TraceCommand::Search(flags) => search(context, &flags),
        TraceCommand::Get { id, project } => {
            context.use_project(project.as_deref());
            let path = format!("/api/traces/{}", segment(id.trim()));
            let request =
                Request::new(Method::GET, Headers::Project, path).query("format", Some("json"));
            let trace = context.send("get the trace", &request)?;
            context.show(trace, trace_digest::digest)
        }
    }
}

fn search(context: &mut Context<'_>, flags: &SearchFlags) -> Result<(), CliError> {
    context.use_project(flags.project.as_deref());
    let end = flags.end_date.unwrap_or_else(|| context.env.now_ms());
    let start = flags.start_date.unwrap_or(end.saturating_sub(MS_PER_DAY));
    if start >= end {
        return Err(CliError::usage("--start-date must be before --end-date."));
    }
    let request = Request::new(Method::POST, Headers::Project, "/api/traces/search")
        .body(flags.body(start, end));
    let found = context.send("search traces", &request)?;
    context.show(found, list)
}

impl SearchFlags {
    fn body(&self, start: i64, end: i64) -> Json {
        let mut body = Json::object([("startDate", start.into()), ("endDate", end.into())]);
        if let Some(query) = self
            .query
            .as_deref()
            .map(str::trim)
            .filter(|q| !q.is_empty())
        {
            body.set("query", query.into());
        }
        let mut filters = Json::Object(Vec::new());
        let origins = self
            .origin
            .iter()
            .map(|origin| origin.trim())
            .filter(|o| !o.is_empty());
        let origins: Vec<Json> = origins.map(Json::from).collect();
        if !origins.is_empty() {
            filters.set("traces.origin", origins.into());
        }
        if self.errors_only {
            filters.set("traces.error", vec![Json::from("true")].into());
        }
        if !filters.fields().is_empty() {
            body.set("filters", filters);
        }
        body.set("pageSize", i64::from(self.limit).into());
        body
    }
}

fn list(found: &Json, style: Style) -> String {
    let traces = found.get("traces").map(Json::items).unwrap_or_default();
    if traces.is_empty() {
        return "No traces found. Look further back with:\n  \
                langwatch trace search --start-date <date>\n"
            .to_owned();
    }
    let mut table = Table::new([
        "Trace ID", "Started", "Input", "Tokens", "Cost", "Duration", "Status",
    ]);
    for trace in traces {
        let metrics = trace.get("metrics");
        let metric = |name| metrics.and_then(|metrics| metrics.get(name));
        let input = trace
            .at(&["input", "value"])
            .map(Json::display)
            .unwrap_or_default();
        let failed = trace.get("error").is_some_and(|error| !error.is_null());
        let dash = || "-".to_owned();
        table.row([
            field(trace, "trace_id"),
            when(trace.at(&["timestamps", "started_at"])).unwrap_or_else(dash),
            shorten(&input, INPUT_WIDTH),
            tokens_text(metrics).unwrap_or_else(dash),
            usd(metric("total_cost")).unwrap_or_else(dash),
            metric("total_time_ms")
                .and_then(Json::as_i64)
                .map_or_else(dash, |ms| format!("{ms} ms")),
            if failed {
                style.red("error")
            } else {
                style.green("ok")
            },
        ]);
    }
    let mut out = table.render(style);
    let hits = found
        .at(&["pagination", "totalHits"])
        .and_then(Json::as_i64);
    let shown = traces.len();
    if let Some(hits) = hits.filter(|hits| i64::try_from(shown).is_ok_and(|shown| *hits > shown)) {
        let line = format!("{shown} of {hits} traces; see more with --limit");
        out.push_str(&format!("\n{}\n", style.grey(&line)));
    }
    out
}
