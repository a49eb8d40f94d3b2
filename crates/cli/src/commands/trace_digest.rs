//! One trace, told to a person: what was called, how it went, what it cost, how it nests.
//!
//! Reads the JSON form of a trace leniently. Spans arrive from many SDKs, and a missing field is a
//! missing line, never a failure.

use std::collections::BTreeSet;

use super::explain;
use super::virtual_key_view::{field, optional};
use crate::args::when;
use crate::json::Json;
use crate::style::Style;
use crate::table::{clean, clean_block, details};

/// Longest part of input and output that is shown.
const MAX_TEXT: usize = 2_000;

/// Deeper trees are drawn no further.
const MAX_DEPTH: usize = 64;

pub(crate) fn digest(trace: &Json, style: Style) -> String {
    let metrics = trace.get("metrics");
    let metric = |name| metrics.and_then(|metrics| metrics.get(name));
    let started = trace.at(&["timestamps", "started_at"]);
    let meta = |name| trace.get("metadata").and_then(|meta| optional(meta, name));
    let rows = [
        (
            "Request id",
            attribute(trace, "langwatch.gateway_request_id"),
        ),
        ("Status", Some(status(trace, style))),
        ("Model", model(trace)),
        ("Tokens", tokens_text(metrics)),
        ("Cost", usd(metric("total_cost"))),
        ("Started", when(started).map(|at| format!("{at} UTC"))),
        ("Duration", duration(metrics)),
        ("Project", optional(trace, "project_id")),
        ("User", meta("user_id")),
        ("Thread", meta("thread_id")),
        ("Customer", meta("customer_id")),
        ("Labels", meta("labels").filter(|labels| labels != "[]")),
        (
            "Link",
            optional(trace, "platformUrl").map(|url| style.cyan(&url)),
        ),
    ];
    let mut out = format!(
        "{}\n",
        style.bold(&format!("Trace {}", field(trace, "trace_id")))
    );
    out.push_str(&details(style, 2, &rows));
    section(&mut out, style, "Spans", &tree(trace, style));
    section(&mut out, style, "Decisions", &decided(trace, style));
    section(
        &mut out,
        style,
        "Input",
        &text(trace.at(&["input", "value"])),
    );
    section(
        &mut out,
        style,
        "Output",
        &text(trace.at(&["output", "value"])),
    );
    out
}

/// What the gateway decided, where that was more than to ask the model that was named.
fn decided(trace: &Json, style: Style) -> String {
    let spans = trace.get("spans").map(Json::items).unwrap_or_default();
    let told = spans.iter().filter_map(|span| {
        let all = span.get("decisions").map(Json::items).unwrap_or_default();
        let plain = |one: &Json| {
            matches!(
                (one.text("stage"), one.text("outcome")),
                (Some("model"), Some("info")) | (Some("attempt"), Some("pass"))
            )
        };
        let alias = span_attribute(span, "langwatch.model_source").as_deref() == Some("alias");
        let shown = alias || !all.iter().all(plain);
        shown.then(|| explain::decisions(all, style))
    });
    told.collect()
}

/// `120 in, 45 out`, with what was cached or thought.
pub(crate) fn tokens_text(metrics: Option<&Json>) -> Option<String> {
    let count = |name| metrics?.get(name)?.as_i64();
    let (prompt, completion) = (count("prompt_tokens"), count("completion_tokens"));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    let mut out = format!(
        "{} in, {} out",
        prompt.unwrap_or_default(),
        completion.unwrap_or_default()
    );
    for (name, label) in [
        ("cache_read_input_tokens", "cached"),
        ("cache_creation_input_tokens", "cache written"),
        ("reasoning_tokens", "reasoning"),
    ] {
        if let Some(count) = count(name).filter(|count| *count > 0) {
            out.push_str(&format!(", {count} {label}"));
        }
    }
    Some(out)
}

/// Dollars to at most ten digits behind the point, for reading only.
pub(crate) fn usd(value: Option<&Json>) -> Option<String> {
    let amount = match value? {
        Json::String(text) => return Some(clean(&format!("${text}"))),
        other => other.as_f64()?,
    };
    let text = format!("{amount:.10}");
    let text = text.trim_end_matches('0');
    let digits = text
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let text = text.trim_end_matches('.');
    Some(match digits {
        0 => format!("${text}.00"),
        1 => format!("${text}0"),
        _ => format!("${text}"),
    })
}

fn duration(metrics: Option<&Json>) -> Option<String> {
    let total = metrics?.get("total_time_ms")?.as_i64()?;
    match metrics?.get("first_token_ms").and_then(Json::as_i64) {
        Some(first) => Some(format!("{total} ms (first token after {first} ms)")),
        None => Some(format!("{total} ms")),
    }
}

fn status(trace: &Json, style: Style) -> String {
    let named = attribute(trace, "langwatch.status");
    match (error_text(trace.get("error")), named) {
        (Some(error), Some(named)) if named != "success" => style.red(&format!("{named}: {error}")),
        (Some(error), _) => style.red(&format!("error: {error}")),
        (None, Some(named)) if named.starts_with("success") => style.green(&named),
        (None, Some(named)) => style.red(&named),
        (None, None) => style.green("success"),
    }
}

fn error_text(error: Option<&Json>) -> Option<String> {
    match error? {
        Json::Null | Json::Bool(false) => None,
        Json::Bool(true) => Some("failed".to_owned()),
        error => Some(clean(error.text("message").unwrap_or(&error.display()))),
    }
}

fn model(trace: &Json) -> Option<String> {
    // The span that began first is the call itself; what it tried on the way comes later.
    let mut spans: Vec<&Json> = trace
        .get("spans")
        .map(Json::items)
        .unwrap_or_default()
        .iter()
        .collect();
    spans.sort_by_key(|span| time(span, "started_at"));
    spans
        .into_iter()
        .find_map(span_model)
        .or_else(|| attribute(trace, "gen_ai.request.model"))
}

fn span_model(span: &Json) -> Option<String> {
    optional(span, "model")
        .or_else(|| span_attribute(span, "gen_ai.request.model"))
        .or_else(|| span_attribute(span, "gen_ai.response.model"))
}

/// An attribute of the trace or of the first span that has it.
fn attribute(trace: &Json, name: &str) -> Option<String> {
    let spans = trace.get("spans").map(Json::items).unwrap_or_default();
    let of_trace = trace.get("metadata").and_then(|meta| lookup(meta, name));
    of_trace.or_else(|| spans.iter().find_map(|span| span_attribute(span, name)))
}

fn span_attribute(span: &Json, name: &str) -> Option<String> {
    ["attributes", "params", "metadata"]
        .into_iter()
        .find_map(|holder| span.get(holder).and_then(|holder| lookup(holder, name)))
}

/// The attribute by its dotted name, nested by its parts, or without its namespace.
fn lookup(holder: &Json, name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let bare = name
        .strip_prefix("langwatch.")
        .and_then(|bare| holder.get(bare));
    let value = holder.get(name).or_else(|| holder.at(&parts)).or(bare)?;
    match value {
        Json::Null | Json::Object(_) => None,
        value => Some(clean(&value.display())),
    }
}

/// The spans by parent; the server's own drawing when it sent no spans.
fn tree(trace: &Json, style: Style) -> String {
    let spans = trace.get("spans").map(Json::items).unwrap_or_default();
    if spans.is_empty() {
        return clean_block(trace.text("ascii_tree").unwrap_or_default());
    }
    let ids: BTreeSet<&str> = spans.iter().filter_map(span_id).collect();
    // A parent outside this list is the caller's own span.
    let parents: Vec<Option<&str>> = spans
        .iter()
        .map(|span| parent_id(span).filter(|parent| ids.contains(parent)))
        .collect();
    let mut drawing = Drawing {
        spans,
        parents,
        drawn: vec![false; spans.len()],
        out: String::new(),
        style,
    };
    drawing.children(None, "", 0);
    // Spans that name each other as parents have no root; they are shown all the same.
    while let Some(lost) = drawing.drawn.iter().position(|drawn| !drawn) {
        drawing.span(lost, "", true, 0);
    }
    drawing.out
}

struct Drawing<'a> {
    spans: &'a [Json],
    parents: Vec<Option<&'a str>>,
    drawn: Vec<bool>,
    out: String,
    style: Style,
}

impl Drawing<'_> {
    fn children(&mut self, parent: Option<&str>, margin: &str, depth: usize) {
        let waiting = |(i, of): &(usize, &Option<&str>)| {
            **of == parent && !self.drawn.get(*i).copied().unwrap_or(true)
        };
        let mut children: Vec<usize> = self
            .parents
            .iter()
            .enumerate()
            .filter(waiting)
            .map(|(i, _)| i)
            .collect();
        children.sort_by_key(|i| self.spans.get(*i).and_then(|span| time(span, "started_at")));
        for (n, child) in children.iter().enumerate() {
            self.span(*child, margin, n + 1 == children.len(), depth);
        }
    }

    fn span(&mut self, at: usize, margin: &str, last: bool, depth: usize) {
        let Some(span) = self.spans.get(at) else {
            return;
        };
        if let Some(drawn) = self.drawn.get_mut(at) {
            if *drawn {
                return;
            }
            *drawn = true;
        }
        let (branch, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let line = span_line(span, self.style);
        self.out.push_str(&format!(
            "{}{line}\n",
            self.style.grey(&format!("{margin}{branch}"))
        ));
        if depth < MAX_DEPTH
            && let Some(id) = span_id(span)
        {
            self.children(Some(id), &format!("{margin}{below}"), depth + 1);
        }
    }
}

fn span_line(span: &Json, style: Style) -> String {
    let name = optional(span, "name").or_else(|| optional(span, "type"));
    let mut parts = vec![name.unwrap_or_else(|| "span".to_owned())];
    parts.extend(span_model(span).map(|model| style.cyan(&model)));
    let (start, end) = (time(span, "started_at"), time(span, "finished_at"));
    if let Some((start, end)) = start.zip(end) {
        parts.push(style.grey(&format!("{} ms", end.saturating_sub(start))));
    }
    let metrics = span.get("metrics");
    let cost = metrics.and_then(|m| usd(m.get("cost").or_else(|| m.get("total_cost"))));
    parts.extend(cost);
    parts.extend(error_text(span.get("error")).map(|error| style.red(&error)));
    parts.join("  ")
}

fn span_id(span: &Json) -> Option<&str> {
    ["span_id", "spanId", "id"]
        .into_iter()
        .find_map(|name| span.text(name))
}

fn parent_id(span: &Json) -> Option<&str> {
    let names = ["parent_id", "parent_span_id", "parentSpanId", "parentId"];
    names
        .into_iter()
        .find_map(|name| span.text(name))
        .filter(|id| !id.is_empty())
}

fn time(span: &Json, name: &str) -> Option<i64> {
    span.at(&["timestamps", name])
        .or_else(|| span.get(name))?
        .as_i64()
}

fn text(value: Option<&Json>) -> String {
    let text = match value {
        None | Some(Json::Null) => return String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.pretty(),
    };
    let text = clean_block(text.trim());
    if text.chars().count() <= MAX_TEXT {
        return text;
    }
    let kept: String = text.chars().take(MAX_TEXT).collect();
    format!("{kept}…")
}

fn section(out: &mut String, style: Style, title: &str, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", style.bold(title)));
    for line in text.lines() {
        out.push_str(&format!("  {line}\n"));
    }
}
