//! `groups`: people who share role bindings and budgets.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::access::{Binding, BindingFlags, bindings_json, bindings_of, parse_binding};
use super::resource::{
    Cell, PageFlags, Resource, acknowledge, rows_of, send_pages, set_texts, table,
};
use crate::client::segment;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  langwatch groups list
  langwatch groups members add group_1 user_1
  langwatch groups bindings list group_1";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch groups create --name Engineering --binding MEMBER:TEAM:web --member-id user_1
  langwatch groups create --name Auditors --binding CUSTOM:ORGANIZATION:acme:role_1";

const BINDING_EXAMPLES: &str = "\
Examples:
  langwatch groups bindings add group_1 --role member --scope-type team --scope-id web
  langwatch groups bindings add group_1 --role custom --custom-role-id role_1 \\
    --scope-type organization --scope-id acme";

const GROUPS: Resource = Resource {
    name: "Group",
    base: "/api/groups",
    wrapper: "group",
    columns: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Members", Cell::Field("memberCount")),
        ("Bindings", Cell::Made(bindings_of)),
        ("Source", Cell::Field("scimSource")),
        ("Created", Cell::When("createdAt")),
    ],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("External id", Cell::Field("externalId")),
        ("Source", Cell::Field("scimSource")),
        ("Members", Cell::Field("memberCount")),
        ("Bindings", Cell::Made(bindings_of)),
        ("Created", Cell::When("createdAt")),
    ],
    empty: "No groups found. Create one with:\n  langwatch groups create --name <name>",
};

const NO_MEMBERS: &str =
    "No members found. Add one with:\n  langwatch groups members add <group> <user>";

const NO_BINDINGS: &str = "No bindings found. Add one with:\n  \
     langwatch groups bindings add <group> --role <role> --scope-type <type> --scope-id <id>";

/// The `groups` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GroupsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: GroupsCommand,
}

/// The `groups` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List the groups of the organization
    List(PageFlags),
    /// Show one group
    Get {
        /// Id of the group
        id: String,
    },
    /// Create a group
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Name of the group
        #[arg(long)]
        name: String,
        /// A role at a scope, behind CUSTOM also the custom role: CUSTOM:TEAM:web:role_1
        /// (repeatable)
        #[arg(long = "binding", value_name = "ROLE:SCOPETYPE:ID", value_parser = parse_binding)]
        bindings: Vec<Binding>,
        /// Id of a person in the group (repeatable)
        #[arg(long = "member-id", value_name = "ID")]
        member_ids: Vec<String>,
    },
    /// Give a group another name
    Rename {
        /// Id of the group
        id: String,
        /// New name
        #[arg(long)]
        name: String,
    },
    /// Delete a group; its members lose what it granted
    Delete {
        /// Id of the group
        id: String,
    },
    /// List, add and remove the members of a group
    Members {
        #[command(subcommand)]
        command: MembersCommand,
    },
    /// List, add and remove the role bindings of a group
    Bindings {
        #[command(subcommand)]
        command: BindingsCommand,
    },
}

/// The `groups members` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the members of a group
    List {
        /// Id of the group
        group: String,
    },
    /// Add a person to a group
    Add {
        /// Id of the group
        group: String,
        /// Id of the person
        user: String,
    },
    /// Take a person out of a group
    Remove {
        /// Id of the group
        group: String,
        /// Id of the person
        user: String,
    },
}

/// The `groups bindings` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum BindingsCommand {
    /// List the role bindings of a group
    List {
        /// Id of the group
        group: String,
    },
    /// Bind a group to a role at a scope
    #[command(after_help = BINDING_EXAMPLES)]
    Add {
        /// Id of the group
        group: String,
        #[command(flatten)]
        binding: BindingFlags,
    },
    /// Take a role binding away from a group
    Remove {
        /// Id of the group
        group: String,
        /// Id of the binding
        binding: String,
    },
}

pub(crate) fn run(command: GroupsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        GroupsCommand::List(flags) => {
            let request = GROUPS.all(Method::GET);
            let answer = send_pages(context, "list groups", &request, &flags)?;
            GROUPS.show_list(context, answer, "data")
        }
        GroupsCommand::Get { id } => GROUPS.get(context, "get the group", &id),
        GroupsCommand::Create {
            name,
            bindings,
            member_ids,
        } => {
            let unnamed = |one: &Binding| one.is_custom() && one.custom_role_id().is_none();
            if bindings.iter().any(unnamed) {
                return Err(CliError::usage(
                    "A CUSTOM binding of a group names its role: CUSTOM:TEAM:web:role_1. \
                     List them with `langwatch roles list`.",
                ));
            }
            let mut body = Json::object([("name", name.into())]);
            if !bindings.is_empty() {
                body.set("bindings", bindings_json(&bindings));
            }
            set_texts(&mut body, "memberIds", &member_ids);
            let request = GROUPS.all(Method::POST).body(body);
            GROUPS.change(context, "create the group", &request, "created")
        }
        GroupsCommand::Rename { id, name } => {
            let body = Json::object([("name", name.into())]);
            let request = GROUPS.one(Method::PATCH, &id, "").body(body);
            GROUPS.change(context, "rename the group", &request, "renamed")
        }
        GroupsCommand::Delete { id } => GROUPS.remove(context, "delete the group", &id, "deleted"),
        GroupsCommand::Members { command } => members(command, context),
        GroupsCommand::Bindings { command } => bindings(command, context),
    }
}

fn members(command: MembersCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        MembersCommand::List { group } => {
            let request = GROUPS.one(Method::GET, &group, "/members");
            let answer = context.send("list the members of the group", &request)?;
            context.show(answer, |answer, style| {
                let columns = [
                    ("User", Cell::Field("userId")),
                    ("Name", Cell::Field("name")),
                    ("Email", Cell::Field("email")),
                ];
                table(rows_of(answer, "members"), style, &columns, NO_MEMBERS)
            })
        }
        MembersCommand::Add { group, user } => {
            let body = Json::object([("userId", user.as_str().into())]);
            let request = GROUPS.one(Method::POST, &group, "/members").body(body);
            let sentence = format!("{user} is a member of group {group}.");
            acknowledge(context, "add the member to the group", &request, &sentence)
        }
        MembersCommand::Remove { group, user } => {
            let tail = format!("/members/{}", segment(&user));
            let request = GROUPS.one(Method::DELETE, &group, &tail);
            let sentence = format!("{user} is no longer a member of group {group}.");
            acknowledge(
                context,
                "remove the member from the group",
                &request,
                &sentence,
            )
        }
    }
}

fn bindings(command: BindingsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        BindingsCommand::List { group } => {
            let request = GROUPS.one(Method::GET, &group, "/bindings");
            let answer = context.send("list the bindings of the group", &request)?;
            context.show(answer, |answer, style| {
                let columns = [
                    ("ID", Cell::Field("id")),
                    ("Role", Cell::Field("role")),
                    ("Custom role", Cell::Field("customRoleId")),
                    ("Scope type", Cell::Field("scopeType")),
                    ("Scope", Cell::Field("scopeId")),
                ];
                table(rows_of(answer, "bindings"), style, &columns, NO_BINDINGS)
            })
        }
        BindingsCommand::Add { group, binding } => {
            let mut body = Json::object([]);
            binding.add_to(&mut body)?;
            let request = GROUPS.one(Method::POST, &group, "/bindings").body(body);
            let sentence = format!("Binding added to group {group}.");
            acknowledge(context, "add the binding to the group", &request, &sentence)
        }
        BindingsCommand::Remove { group, binding } => {
            let tail = format!("/bindings/{}", segment(&binding));
            let request = GROUPS.one(Method::DELETE, &group, &tail);
            let sentence = format!("Binding {binding} removed from group {group}.");
            acknowledge(
                context,
                "remove the binding from the group",
                &request,
                &sentence,
            )
        }
    }
}
