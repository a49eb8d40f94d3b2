//! Traces for a terminal: the tree of spans, and the digest that a person or a model reads.
//!
//! Start at [`tree`] and [`digest`].

use std::fmt::Write as _;

use lw_store::trace::{Decision, TraceRecord};

use super::spans;
use super::view::Said;

/// The spans, one a line:
///
/// ```text
/// gen_ai.chat openai/gpt-5-mini 200 1.240s $0.00065685
/// ├─ lw_gateway.attempt anthropic retryable_5xx 503 0.200s
/// └─ lw_gateway.attempt openai fallback_success 200 1.039s
/// ```
pub(crate) fn tree(said: &[Said<'_>]) -> String {
    let mut out = String::new();
    for Said { record, .. } in said {
        line(record, &mut out);
        let attempts = &record.facts.attempts;
        for (place, attempt) in attempts.iter().enumerate() {
            let branch = if place + 1 == attempts.len() {
                "└─"
            } else {
                "├─"
            };
            let _ = write!(
                out,
                "{branch} lw_gateway.attempt {} {}",
                attempt.provider, attempt.outcome
            );
            if let Some(status) = attempt.status {
                let _ = write!(out, " {status}");
            }
            let _ = writeln!(out, " {}", seconds(attempt.duration_us));
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The tree, and below it what was said.
pub(crate) fn digest(said: &[Said<'_>]) -> String {
    let mut out = tree(said);
    for Said {
        record,
        input,
        output,
    } in said
    {
        let _ = write!(out, "\n\n# {} {}", spans::name(record), record.request_id);
        if let Some(input) = input {
            let _ = write!(
                out,
                "\n\n## Input\n{}",
                lw_wire::capture::text_of(input).trim_end()
            );
        }
        if let Some(output) = output {
            let _ = write!(
                out,
                "\n\n## Output\n{}",
                lw_wire::capture::text_of(output).trim_end()
            );
        }
        decisions(record, &mut out);
        if let Some(message) = &record.facts.error_message {
            let _ = write!(out, "\n\n## Error\n{}: {message}", record.facts.status);
        }
    }
    out.push('\n');
    out
}

/// What was decided, one line a decision: when that was more than to ask the model that was named.
///
/// ```text
/// ## Decisions
/// warn budget: the month budget budget_1 of the team: 91 %, $4.55 spent of $5
/// refuse policy_tools: 403 tool_not_allowed: The tool `shell` is denied by policy_rules.tools.
/// ```
fn decisions(record: &TraceRecord, out: &mut String) {
    let facts = &record.facts;
    let plain = |decision: &Decision| {
        matches!(
            (&*decision.stage, &*decision.outcome),
            ("model", "info") | ("attempt", "pass")
        )
    };
    let is_plain = facts.model_source.as_deref() != Some("alias")
        && facts.substituted_model.is_none()
        && facts.decisions.iter().all(plain);
    if is_plain || facts.decisions.is_empty() {
        return;
    }
    out.push_str("\n\n## Decisions");
    for Decision {
        stage,
        outcome,
        detail,
    } in &facts.decisions
    {
        let _ = write!(out, "\n{outcome} {stage}: {detail}");
    }
}

fn line(record: &TraceRecord, out: &mut String) {
    out.push_str(&spans::name(record));
    if let Some(model) = spans::qualified_model(record) {
        let _ = write!(out, " {model}");
    }
    let _ = write!(
        out,
        " {} {}",
        record.http_status,
        seconds(record.duration_us)
    );
    if let Some(cost) = record.facts.cost {
        let _ = write!(out, " ${cost}");
    }
    if record.error {
        let _ = write!(out, " {}", record.facts.status);
    }
    out.push('\n');
}

fn seconds(us: u64) -> String {
    format!("{}.{:03}s", us / 1_000_000, us / 1_000 % 1_000)
}
