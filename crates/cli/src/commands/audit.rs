//! `audit`: who changed what, and when.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::virtual_key_view::{field, optional};
use crate::args::{iso, parse_instant, when};
use crate::client::{Headers, Request};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::Table;

const PATH: &str = "/api/gateway/v1/audit-log";

/// Rows that are printed when nobody says how many.
const USUAL_ROWS: usize = 50;

const LIST_EXAMPLES: &str = "\
Examples:
  langwatch audit list --from 2026-07-01 --target-kind virtual_key --target-id <id>
  langwatch audit list --action gateway.budget.reset --limit 10
  langwatch audit list --from 2026-07-01 --to 2026-08-01 --csv > audit.csv";

/// The `audit` group.
#[derive(Args, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// The `audit` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what was changed, newest first
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<ListFlags>),
}

/// The flags of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListFlags {
    /// Changes since then: ISO 8601 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    from: Option<i64>,

    /// Changes before then: ISO 8601 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    to: Option<i64>,

    /// Only this action, such as gateway.budget.reset
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Only changes of this kind of resource, such as virtual_key or budget
    #[arg(long, value_name = "KIND")]
    target_kind: Option<String>,

    /// Only changes of the resource with this id
    #[arg(long, value_name = "ID")]
    target_id: Option<String>,

    /// Only changes by this person or service
    #[arg(long, value_name = "ID")]
    user: Option<String>,

    /// Most rows (default: 50; with --csv all of them)
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<usize>,

    /// Print CSV as the server streams it, whatever the output format
    #[arg(long)]
    csv: bool,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err("expected a whole number from 1 on".to_owned()),
        Ok(count) => Ok(count),
    }
}

pub(crate) fn run(command: AuditCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    let AuditCommand::List(flags) = command;
    let ListFlags {
        from,
        to,
        action,
        target_kind,
        target_id,
        user,
        limit,
        csv,
    } = *flags;
    let target_kind = target_kind.map(|kind| kind.to_ascii_lowercase().replace('-', "_"));
    let request = Request::new(Method::GET, Headers::Project, PATH)
        .query("from", from.and_then(iso))
        .query("to", to.and_then(iso))
        .query("action", action)
        .query("target_kind", target_kind)
        .query("target_id", target_id)
        .query("user_id", user);
    let doing = "list the audit log";
    if csv {
        return context.stream(doing, &request.query("limit", limit).accept("text/csv"));
    }
    let most = limit.unwrap_or(USUAL_ROWS);
    let rows = context.send_pages(doing, request, most, |_| {})?;
    context.show(rows.into(), table)
}

fn table(rows: &Json, style: Style) -> String {
    if rows.items().is_empty() {
        return "Nothing was changed in this time. Look further back with:\n  \
                langwatch audit list --from 2026-01-01\n"
            .to_owned();
    }
    let mut table = Table::new(["When", "Who", "Action", "Target", "Target ID"]);
    for row in rows.items() {
        table.row([
            when(row.get("created_at")).unwrap_or_else(|| "-".to_owned()),
            field(row, "user_id"),
            style.cyan(&field(row, "action")),
            optional(row, "target_kind").unwrap_or_else(|| "-".to_owned()),
            style.grey(&field(row, "target_id")),
        ]);
    }
    table.render(style)
}
