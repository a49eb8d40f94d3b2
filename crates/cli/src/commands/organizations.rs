//! `organizations`: all organizations of the installation, for its operator.
//!
//! These calls carry the key of the instance administrator instead of an API key. It is sent and
//! never printed.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::resource::{Cell, Minted, Resource, lines, set_text};
use super::virtual_key_view::field;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  langwatch organizations list
  langwatch organizations create --name Acme --slug acme";

const KEY_VARIABLE: &str = "LANGWATCH_INSTANCE_ADMIN_API_KEY";

const CREATE_EXAMPLES: &str = "\
Examples:
  export LANGWATCH_INSTANCE_ADMIN_API_KEY=...
  langwatch organizations create --name \"Acme Corp\" --slug acme
  langwatch organizations create --name Acme -f json | jq -r .adminApiKey.token";

const ORGANIZATIONS: Resource = Resource {
    name: "Organization",
    base: "/api/organizations",
    wrapper: "organization",
    columns: ROWS,
    details: ROWS,
    empty: "No organizations found. Create one with:\n  langwatch organizations create --name <name>",
};

const ROWS: &[(&str, Cell)] = &[
    ("ID", Cell::Field("id")),
    ("Name", Cell::Field("name")),
    ("Slug", Cell::Field("slug")),
    ("Created", Cell::When("createdAt")),
];

/// The `organizations` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OrganizationsArgs {
    /// Key of the instance administrator; prefer LANGWATCH_INSTANCE_ADMIN_API_KEY, other users see
    /// arguments
    #[arg(long, global = true, value_name = "KEY")]
    instance_key: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: OrganizationsCommand,
}

/// The `organizations` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationsCommand {
    /// List the organizations of the installation
    List,
    /// Show one organization
    Get {
        /// Id of the organization
        id: String,
    },
    /// Create an organization with a team and the key of its administrator, printed once
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Name of the organization
        #[arg(long)]
        name: String,
        /// Short name for addresses (default: made from the name)
        #[arg(long)]
        slug: Option<String>,
        /// Name of the administrator's API key
        #[arg(long, value_name = "NAME")]
        admin_api_key_name: Option<String>,
    },
}

pub(crate) fn run(args: OrganizationsArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let key = args.instance_key.as_deref().map(str::trim);
    let key = key
        .filter(|key| !key.is_empty())
        .or_else(|| context.variables.get(KEY_VARIABLE))
        .map(str::to_owned);
    let Some(key) = key else {
        return Err(CliError::usage(format!(
            "This needs the key of the instance administrator. Set {KEY_VARIABLE} to the value \
             that the server was started with, or pass --instance-key."
        )));
    };
    context.use_token(&key);
    match args.command {
        OrganizationsCommand::List => {
            let request = ORGANIZATIONS.all(Method::GET);
            let answer = context
                .send("list organizations", &request)
                .map_err(advise)?;
            ORGANIZATIONS.show_list(context, answer, "organizations")
        }
        OrganizationsCommand::Get { id } => ORGANIZATIONS
            .get(context, "get the organization", &id)
            .map_err(advise),
        OrganizationsCommand::Create {
            name,
            slug,
            admin_api_key_name,
        } => {
            let mut body = Json::object([("name", name.into())]);
            set_text(&mut body, "slug", slug.as_deref());
            set_text(&mut body, "adminApiKeyName", admin_api_key_name.as_deref());
            let request = ORGANIZATIONS.all(Method::POST).body(body);
            let action = "create the organization";
            let answer = context.send(action, &request).map_err(advise)?;
            show_created(context, answer)
        }
    }
}

fn show_created(context: &mut Context<'_>, answer: Json) -> Result<(), CliError> {
    let path = ["adminApiKey", "token"];
    context.show_minted(answer, &path, |answer, style, redactor| {
        let empty = Json::Null;
        let organization = answer.get("organization").unwrap_or(&empty);
        let minted = Minted {
            sentence: format!("Organization \"{}\" created.", field(organization, "name")),
            secret: answer.at(&path).and_then(Json::as_str).unwrap_or_default(),
            once: true,
            lines: lines(answer, style, CREATED),
        };
        minted.text(style, redactor)
    })
}

const CREATED: &[(&str, Cell)] = &[
    (
        "Organization",
        Cell::Made(|row, _| named(row, "organization")),
    ),
    ("Team", Cell::Made(|row, _| named(row, "team"))),
    (
        "Admin API key",
        Cell::Made(|row, _| named(row, "adminApiKey")),
    ),
];

/// The id, and the slug where there is one.
fn named(row: &Json, name: &str) -> Option<String> {
    let part = row.get(name)?;
    Some(match part.text("slug") {
        Some(slug) => crate::table::clean(&format!("{} ({slug})", field(part, "id"))),
        None => field(part, "id"),
    })
}

/// The usual advice speaks of the API key, which these calls do not use.
fn advise(error: CliError) -> CliError {
    let CliError::Call {
        action,
        mut failure,
    } = error
    else {
        return error;
    };
    let advice = match failure.status {
        Some(401) => format!("Check {KEY_VARIABLE}: it must be the server's own."),
        Some(404) => {
            format!("The server answers these calls only when it was started with {KEY_VARIABLE}.")
        }
        _ => return CliError::Call { action, failure },
    };
    failure.suggestions = vec![advice];
    CliError::Call { action, failure }
}
