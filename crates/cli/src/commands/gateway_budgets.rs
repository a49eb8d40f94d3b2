//! `gateway-budgets`: how much may be spent, by whom, in which window.

use clap::{Args, Subcommand};

use super::collection::Collection;
use super::gateway_budget_flags::{CreateFlags, ScopeKind, UpdateFlags};
use super::gateway_budget_view as view;
use crate::client::Headers;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const BUDGETS: Collection = Collection {
    base: "/api/gateway/v1/budgets",
    headers: Headers::Gateway,
    envelope: "budget",
};

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch gateway-budgets create --name engineering --scope team --team <id> \\
    --window month --limit 5000
  langwatch gateway-budgets create --name per-seat --scope attributed-user \\
    --anchor-virtual-key <id> --window month --limit 1
  langwatch gateway-budgets create --name trial --scope virtual-key --virtual-key <id> \\
    --window total --limit 25 --on-breach warn";

/// The `gateway-budgets` group.
#[derive(Args, Debug)]
pub struct GatewayBudgetsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: GatewayBudgetsCommand,
}

/// The `gateway-budgets` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewayBudgetsCommand {
    /// Create a budget
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// List the budgets that are not archived, newest first
    List {
        /// Only budgets of these scope types (comma-separated)
        #[arg(long, value_name = "TYPES", value_delimiter = ',', ignore_case = true)]
        scope_type: Vec<ScopeKind>,
        /// Only the budget with this external id
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
    },
    /// Show one budget
    Get {
        /// Id of the budget
        id: String,
    },
    /// Change a budget; what is not named stays. Scope and window are for life
    Update(Box<UpdateFlags>),
    /// Begin a new period now; what was spent stays in the ledger
    Reset {
        /// Id of the budget
        id: String,
        /// Only for this end user of a per-person budget
        #[arg(long, value_name = "ID")]
        end_user: Option<String>,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End a budget; it limits nothing from then on
    Archive {
        /// Id of the budget
        id: String,
    },
}

pub(crate) fn run(
    command: GatewayBudgetsCommand,
    context: &mut Context<'_>,
) -> Result<(), CliError> {
    match command {
        GatewayBudgetsCommand::Create(flags) => {
            let request = BUDGETS.create(flags.body()?, flags.idempotency_key());
            let budget = BUDGETS.one(context, "create the budget", &request)?;
            context.show(budget, |budget, style| {
                view::changed(budget, style, "created")
            })
        }
        GatewayBudgetsCommand::List {
            scope_type,
            external_id,
        } => list(context, &scope_type, external_id),
        GatewayBudgetsCommand::Get { id } => {
            let budget = BUDGETS.one(context, "get the budget", &BUDGETS.get(&id))?;
            context.show(budget, view::budget)
        }
        GatewayBudgetsCommand::Update(flags) => {
            let request = BUDGETS.patch(flags.id(), flags.body()?);
            let budget = BUDGETS.one(context, "update the budget", &request)?;
            context.show(budget, |budget, style| {
                view::changed(budget, style, "updated")
            })
        }
        GatewayBudgetsCommand::Reset {
            id,
            end_user,
            reason,
        } => {
            let mut body = Json::Object(Vec::new());
            if let Some(reason) = reason {
                body.set("reason", reason.into());
            }
            let request = BUDGETS
                .post(&id, "/reset", body)
                .query("end_user_id", end_user);
            let budget = BUDGETS.one(context, "reset the budget", &request)?;
            context.show(budget, |budget, style| {
                view::changed(budget, style, "reset")
            })
        }
        GatewayBudgetsCommand::Archive { id } => {
            let request = BUDGETS.delete(&id);
            let budget = BUDGETS.one(context, "archive the budget", &request)?;
            context.show(budget, |budget, style| {
                view::changed(budget, style, "archived")
            })
        }
    }
}

fn list(
    context: &mut Context<'_>,
    scope_types: &[ScopeKind],
    external_id: Option<String>,
) -> Result<(), CliError> {
    let types: Vec<String> = scope_types.iter().map(super::flags::spelling).collect();
    let types = (!types.is_empty()).then(|| types.join(","));
    let request = BUDGETS
        .list()
        .query("scope_type", types)
        .query("external_id", external_id);
    let mut says_available = true;
    let budgets = context.send_pages("list budgets", request, usize::MAX, |page| {
        says_available &= page.get("spend_available").and_then(Json::as_bool) != Some(false);
    })?;
    let available = says_available && budgets.iter().all(view::has_figure);
    let listing = Json::object([
        ("budgets", budgets.into()),
        ("spend_available", available.into()),
    ]);
    context.show(listing, view::list)
}
