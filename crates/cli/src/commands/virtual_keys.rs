//! `virtual-keys`: the keys that applications call the gateway with.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::bare;
use super::virtual_key_effective::effective;
use super::virtual_key_flags::{CreateFlags, UpdateFlags};
use super::virtual_key_view as view;
use crate::args::parse_instant;
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const BASE: &str = "/api/gateway/v1/virtual-keys";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch virtual-keys create --name dev --scope ORG:acme --format json | jq -r '.secret'
  langwatch virtual-keys create --name ci --scope project:web --expires-at 90d
  langwatch virtual-keys create --name batch --budget-limit 250 --budget-window month";

/// The `virtual-keys` group.
#[derive(Args, Debug)]
pub struct VirtualKeysArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: VirtualKeysCommand,
}

/// The `virtual-keys` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum VirtualKeysCommand {
    /// List virtual keys, newest first
    List {
        /// Only the key with this external id
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// Only keys with this status: active, disabled or revoked
        #[arg(long, value_name = "STATUS", value_parser = ["active", "disabled", "revoked"], ignore_case = true)]
        status: Option<String>,
    },
    /// Show one virtual key
    Get {
        /// Id of the key
        id: String,
    },
    /// Create a virtual key and print its secret, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// Change a virtual key; what is not named stays
    Update(Box<UpdateFlags>),
    /// Give a key a new secret and print it, once; the old one works for 24 more hours
    Rotate {
        /// Id of the key
        id: String,
    },
    /// Switch a key off, reversibly
    Disable {
        /// Id of the key
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Switch a disabled key on again
    Enable {
        /// Id of the key
        id: String,
    },
    /// End a key at once and for good
    Revoke {
        /// Id of the key
        id: String,
    },
    /// Show what a key has spent (default: this calendar month, UTC)
    Spend {
        /// Id of the key
        id: String,
        /// Start of the window: ISO 8601 or epoch milliseconds
        #[arg(long, value_name = "TIME", value_parser = parse_instant)]
        from: Option<i64>,
        /// End of the window: ISO 8601 or epoch milliseconds
        #[arg(long, value_name = "TIME", value_parser = parse_instant)]
        to: Option<i64>,
    },
    /// List the budgets that apply to a key
    Budgets {
        /// Id of the key
        id: String,
    },
    /// Show what a key reaches: providers in order, those left out and why, model aliases
    Effective {
        /// Id of the key
        id: String,
    },
}

pub(crate) fn run(command: VirtualKeysCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        VirtualKeysCommand::List {
            external_id,
            status,
        } => list(context, external_id, status),
        VirtualKeysCommand::Get { id } => {
            let key = get(context, &id)?;
            let link = view::link(context, &key)?;
            context.show(key, |key, style| view::key(key, style, &link))
        }
        VirtualKeysCommand::Create(flags) => create(context, &flags),
        VirtualKeysCommand::Update(flags) => update(context, &flags),
        VirtualKeysCommand::Rotate { id } => {
            let request = on_key(Method::POST, &id, "/rotate").body(Json::Object(Vec::new()));
            let answer = context.send("rotate the virtual key", &request)?;
            show_minted(context, answer, "rotated")
        }
        VirtualKeysCommand::Disable { id, reason } => {
            let mut body = Json::Object(Vec::new());
            if let Some(reason) = reason {
                body.set("reason", reason.into());
            }
            let request = on_key(Method::POST, &id, "/disable").body(body);
            change(context, "disable the virtual key", &request, "disabled")
        }
        VirtualKeysCommand::Enable { id } => {
            let request = on_key(Method::POST, &id, "/enable").body(Json::Object(Vec::new()));
            change(context, "enable the virtual key", &request, "enabled")
        }
        VirtualKeysCommand::Revoke { id } => {
            let request = on_key(Method::POST, &id, "/revoke").body(Json::Object(Vec::new()));
            change(context, "revoke the virtual key", &request, "revoked")
        }
        VirtualKeysCommand::Spend { id, from, to } => {
            let request = on_key(Method::GET, &id, "/spend")
                .query("from", from)
                .query("to", to);
            let spend = context.send("get the spend of the virtual key", &request)?;
            context.show(spend, view::spend)
        }
        VirtualKeysCommand::Budgets { id } => budgets(context, &id),
        VirtualKeysCommand::Effective { id } => {
            let request = on_key(Method::GET, &id, "/effective");
            let reach = context.send("work out what the virtual key reaches", &request)?;
            context.show(reach, effective)
        }
    }
}

fn on_key(method: Method, id: &str, tail: &str) -> Request {
    Request::new(
        method,
        Headers::Gateway,
        format!("{BASE}/{}{tail}", segment(id)),
    )
}

/// The key object of one virtual key.
pub(super) fn get(context: &mut Context<'_>, id: &str) -> Result<Json, CliError> {
    let request = on_key(Method::GET, id, "");
    let answer = context.send("get the virtual key", &request)?;
    Ok(bare(answer, "virtual_key"))
}

fn list(
    context: &mut Context<'_>,
    external_id: Option<String>,
    status: Option<String>,
) -> Result<(), CliError> {
    let request =
        Request::new(Method::GET, Headers::Gateway, BASE).query("external_id", external_id);
    let mut keys = context.send_all("list virtual keys", request)?;
    if let Some(status) = status {
        keys.retain(|key| {
            key.text("status")
                .is_some_and(|s| s.eq_ignore_ascii_case(&status))
        });
    }
    context.show(keys.into(), view::list)
}

fn create(context: &mut Context<'_>, flags: &CreateFlags) -> Result<(), CliError> {
    let request = Request::new(Method::POST, Headers::Gateway, BASE)
        .body(flags.body(context.env)?)
        .idempotency_key(flags.idempotency_key());
    let mut answer = context.send("create the virtual key", &request)?;
    if !context.output.is_machine()
        && let Some(budget) = flags.budget_text()
        && let Some(mut key) = answer.take("virtual_key")
    {
        // The key object does not carry its own budget; the person just named it.
        key.set("budget_text", budget.into());
        answer.set("virtual_key", key);
    }
    show_minted(context, answer, "created")
}

fn update(context: &mut Context<'_>, flags: &UpdateFlags) -> Result<(), CliError> {
    let mut stored = None;
    if flags.keeps_config() {
        stored = get(context, flags.id())?.take("config");
    }
    let request = on_key(Method::PATCH, flags.id(), "").body(flags.body(context.env, stored)?);
    change(context, "update the virtual key", &request, "updated")
}

fn change(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    done: &str,
) -> Result<(), CliError> {
    let key = bare(context.send(action, request)?, "virtual_key");
    let link = view::link(context, &key)?;
    context.show(key, |key, style| view::changed(key, style, &link, done))
}

fn show_minted(context: &mut Context<'_>, answer: Json, done: &str) -> Result<(), CliError> {
    let key = answer.get("virtual_key").cloned().unwrap_or(Json::Null);
    let link = view::link(context, &key)?;
    let gateway = context.gateway_url()?;
    context.show_secret(answer, |answer, style, redactor| {
        view::minted(
            answer,
            style,
            redactor,
            &view::Minted {
                done,
                gateway: &gateway,
                link: &link,
            },
        )
    })
}

fn budgets(context: &mut Context<'_>, id: &str) -> Result<(), CliError> {
    let request = on_key(Method::GET, id, "/budgets");
    let action = "list the budgets of the virtual key";
    let mut answer = context.send(action, &request)?;
    let rows = match answer {
        Json::Array(_) => answer,
        _ => answer
            .take("data")
            .or_else(|| answer.take("budgets"))
            .filter(|rows| matches!(rows, Json::Array(_)))
            .unwrap_or_else(|| Vec::new().into()),
    };
    context.show(rows, view::budgets)
}
