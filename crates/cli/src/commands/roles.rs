//! `roles`: the custom roles of the organization, and the permissions that there are.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::access::{parse_permission, permissions_of};
use super::resource::{
    Cell, Resource, organization_request, rows_of, set_text, set_texts, something, table,
};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::clean;

const EXAMPLES: &str = "\
Examples:
  langwatch roles permissions
  langwatch roles create --name Issuer --permission virtualKeys:create
  langwatch roles update role_1 --permission virtualKeys:view";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch roles create --name Issuer --permission virtualKeys:create --permission virtualKeys:view
  langwatch roles permissions";

const ROLES: Resource = Resource {
    name: "Role",
    base: "/api/roles",
    wrapper: "role",
    columns: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Description", Cell::Field("description")),
        ("Permissions", Cell::Made(permissions_of)),
    ],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Description", Cell::Field("description")),
        ("Permissions", Cell::Made(permissions_of)),
        ("Created", Cell::When("createdAt")),
        ("Updated", Cell::When("updatedAt")),
    ],
    empty: "No custom roles found. Create one with:\n  \
            langwatch roles create --name <name> --permission <resource:action>",
};

/// The `roles` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RolesArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: RolesCommand,
}

/// The `roles` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum RolesCommand {
    /// List the custom roles of the organization
    List,
    /// Show one custom role
    Get {
        /// Id of the role
        id: String,
    },
    /// Create a custom role
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Name of the role
        #[arg(long)]
        name: String,
        /// What the role is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A permission that it grants (repeatable)
        #[arg(long = "permission", value_name = "RESOURCE:ACTION", value_parser = parse_permission)]
        permissions: Vec<String>,
    },
    /// Change a custom role; what is not named stays
    Update {
        /// Id of the role
        id: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// New description
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A permission that it grants (repeatable; replaces all permissions)
        #[arg(long = "permission", value_name = "RESOURCE:ACTION", value_parser = parse_permission)]
        permissions: Vec<String>,
    },
    /// Delete a custom role
    Delete {
        /// Id of the role
        id: String,
    },
    /// List the permissions that roles and API keys may grant
    Permissions,
}

pub(crate) fn run(command: RolesCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        RolesCommand::List => {
            let answer = context.send("list roles", &ROLES.all(Method::GET))?;
            ROLES.show_list(context, answer, "roles")
        }
        RolesCommand::Get { id } => ROLES.get(context, "get the role", &id),
        RolesCommand::Create {
            name,
            description,
            permissions,
        } => {
            let mut body = Json::object([("name", name.into())]);
            set_text(&mut body, "description", description.as_deref());
            // The API wants the list, an empty one too.
            body.set("permissions", Vec::new().into());
            set_texts(&mut body, "permissions", &permissions);
            let request = ROLES.all(Method::POST).body(body);
            ROLES.change(context, "create the role", &request, "created")
        }
        RolesCommand::Update {
            id,
            name,
            description,
            permissions,
        } => {
            let mut body = Json::object([]);
            set_text(&mut body, "name", name.as_deref());
            set_text(&mut body, "description", description.as_deref());
            set_texts(&mut body, "permissions", &permissions);
            let body = something(body, "--name, --description, --permission")?;
            let request = ROLES.one(Method::PATCH, &id, "").body(body);
            ROLES.change(context, "update the role", &request, "updated")
        }
        RolesCommand::Delete { id } => ROLES.remove(context, "delete the role", &id, "deleted"),
        RolesCommand::Permissions => {
            let request = organization_request(Method::GET, "/api/roles/permissions");
            let answer = context.send("list permissions", &request)?;
            context.show(answer, |answer, style| {
                let columns = [
                    ("Resource", Cell::Field("resource")),
                    ("Permissions", Cell::Made(grantable)),
                    ("Scope", Cell::Made(reach)),
                ];
                table(
                    rows_of(answer, "resources"),
                    style,
                    &columns,
                    "No permissions found.",
                )
            })
        }
    }
}

/// The actions of a resource; its permissions when the answer names no actions.
fn grantable(row: &Json, style: Style) -> Option<String> {
    let actions = row.get("actions").map(Json::items).unwrap_or_default();
    if actions.is_empty() {
        return permissions_of(row, style);
    }
    let texts: Vec<String> = actions.iter().map(Json::display).collect();
    Some(clean(&texts.join(", ")))
}

fn reach(row: &Json, _: Style) -> Option<String> {
    let exclusive = row.get("organizationExclusive").and_then(Json::as_bool) == Some(true);
    Some(if exclusive { "organization" } else { "any" }.to_owned())
}
