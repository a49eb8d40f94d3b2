//! `members`: the people of the organization.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::access::{OrganizationRole, upper};
use super::resource::{Cell, OffsetFlags, Resource, lines, send_offsets, table};
use super::virtual_key_view::optional;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::clean_block;

const EXAMPLES: &str = "\
Examples:
  langwatch members list --include-disabled
  langwatch members update user_1 --role admin
  langwatch members access user_1";

const UPDATE_EXAMPLES: &str = "\
Examples:
  langwatch members update user_1 --role admin
  langwatch members disable user_1";

const MEMBERS: Resource = Resource {
    name: "Member",
    base: "/api/organization/members",
    wrapper: "member",
    columns: ROWS,
    details: ROWS,
    empty: "No members found. Invite somebody with:\n  \
            langwatch invites create --email <address> --role member",
};

const ROWS: &[(&str, Cell)] = &[
    ("User", Cell::Made(user)),
    ("Name", Cell::Made(name)),
    ("Email", Cell::Made(email)),
    ("Role", Cell::Field("role")),
    ("Status", Cell::Made(status)),
    ("Joined", Cell::When("createdAt")),
];

/// The `members` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MembersArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: MembersCommand,
}

/// The `members` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the people of the organization
    List {
        /// Also those who are disabled
        #[arg(long)]
        include_disabled: bool,
        #[command(flatten)]
        offsets: OffsetFlags,
    },
    /// Show one person
    Get {
        /// Id of the person
        user: String,
    },
    /// Change what a person is in the organization
    #[command(after_help = UPDATE_EXAMPLES)]
    Update {
        /// Id of the person
        user: String,
        /// What the person becomes
        #[arg(long, ignore_case = true)]
        role: OrganizationRole,
    },
    /// Shut a person out until enabled again; their personal keys are revoked for good
    Disable {
        /// Id of the person
        user: String,
    },
    /// Let a disabled person in again; keys that were revoked stay revoked
    Enable {
        /// Id of the person
        user: String,
    },
    /// Take a person out of the organization; their personal keys are revoked
    Remove {
        /// Id of the person
        user: String,
    },
    /// Show what a person may do, and where
    Access {
        /// Id of the person
        user: String,
    },
}

pub(crate) fn run(command: MembersCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        MembersCommand::List {
            include_disabled,
            offsets,
        } => {
            let wanted = include_disabled.then_some(true);
            let request = MEMBERS.all(Method::GET).query("includeDisabled", wanted);
            let answer = send_offsets(context, "list members", &request, "members", &offsets)?;
            MEMBERS.show_list(context, answer, "members")
        }
        MembersCommand::Get { user } => MEMBERS.get(context, "get the member", &user),
        MembersCommand::Update { user, role } => {
            let body = Json::object([("role", upper(&role))]);
            change(context, "update the member", &user, body, "updated")
        }
        MembersCommand::Disable { user } => {
            let body = Json::object([("disabled", true.into())]);
            change(context, "disable the member", &user, body, "disabled")
        }
        MembersCommand::Enable { user } => {
            let body = Json::object([("disabled", false.into())]);
            change(context, "enable the member", &user, body, "enabled")
        }
        MembersCommand::Remove { user } => {
            MEMBERS.remove(context, "remove the member", &user, "removed")
        }
        MembersCommand::Access { user } => {
            let request = MEMBERS.one(Method::GET, &user, "/access");
            let answer = context.send("get the access of the member", &request)?;
            context.show(answer, access)
        }
    }
}

fn change(
    context: &mut Context<'_>,
    action: &'static str,
    user: &str,
    body: Json,
    done: &str,
) -> Result<(), CliError> {
    let request = MEMBERS.one(Method::PATCH, user, "").body(body);
    MEMBERS.change(context, action, &request, done)
}

/// What the person is, and the bindings as a table; an answer without such a list as it is.
fn access(answer: &Json, style: Style) -> String {
    let lists = ["bindings", "roleBindings", "access", "data"];
    let Some(rows) = lists.iter().find_map(|name| match answer.get(name)? {
        Json::Array(rows) => Some(rows),
        _ => None,
    }) else {
        return format!("{}\n", clean_block(&answer.pretty()));
    };
    let columns = [
        ("Role", Cell::Field("role")),
        ("Custom role", Cell::Field("customRoleId")),
        ("Scope type", Cell::Field("scopeType")),
        ("Scope", Cell::Field("scopeId")),
        ("Group", Cell::Field("groupId")),
    ];
    // What the person is in the organization counts everywhere, beside the bindings.
    let person: &[(&str, Cell)] = match answer.text("role") {
        Some(_) => &[
            ("Organization role", Cell::Field("role")),
            ("Status", Cell::Made(status)),
        ],
        None => &[],
    };
    let head = lines(answer, style, person);
    let gap = if head.is_empty() { "" } else { "\n" };
    let bindings = table(rows, style, &columns, "This person has no role bindings.");
    format!("{head}{gap}{bindings}")
}

/// A field of the membership, or of the person inside it.
fn of_person(row: &Json, name: &str) -> Option<String> {
    optional(row, name).or_else(|| optional(row.get("user")?, name))
}

fn user(row: &Json, _: Style) -> Option<String> {
    optional(row, "userId").or_else(|| of_person(row, "id"))
}

fn name(row: &Json, _: Style) -> Option<String> {
    of_person(row, "name")
}

fn email(row: &Json, _: Style) -> Option<String> {
    of_person(row, "email")
}

fn status(row: &Json, style: Style) -> Option<String> {
    let stamped = row.get("disabledAt").is_some_and(|at| !at.is_null());
    let flagged = row.get("disabled").and_then(Json::as_bool) == Some(true);
    Some(if stamped || flagged {
        style.yellow("disabled")
    } else {
        style.green("active")
    })
}
