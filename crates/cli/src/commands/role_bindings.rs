//! `role-bindings`: who may do what, and where.

use clap::{Args, Subcommand, ValueEnum};
use ureq::http::Method;

use super::access::{BindingFlags, RoleFlags, ScopeType, upper};
use super::resource::{Cell, OffsetFlags, Resource, send_offsets};
use super::virtual_key_view::optional;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;

const EXAMPLES: &str = "\
Examples:
  langwatch role-bindings list --scope-type team --scope-id web
  langwatch role-bindings update rb_1 --role viewer
  langwatch role-bindings delete rb_1";

const LIST_EXAMPLES: &str = "\
Examples:
  langwatch role-bindings list --principal-type user --principal-id user_1
  langwatch role-bindings list --scope-type team --scope-id web --limit 20";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch role-bindings create --principal-type user --principal-id user_1 \\
    --role member --scope-type team --scope-id web
  langwatch role-bindings create --principal-type group --principal-id group_1 \\
    --role custom --custom-role-id role_1 --scope-type organization --scope-id acme";

const BINDINGS: Resource = Resource {
    name: "Role binding",
    base: "/api/role-bindings",
    wrapper: "binding",
    columns: ROWS,
    details: ROWS,
    empty: "No role bindings found. Create one with:\n  langwatch role-bindings create \
            --principal-type user --principal-id <id> --role <role> --scope-type <type> \
            --scope-id <id>",
};

const ROWS: &[(&str, Cell)] = &[
    ("ID", Cell::Field("id")),
    ("Principal", Cell::Made(principal)),
    ("Role", Cell::Field("role")),
    ("Custom role", Cell::Field("customRoleId")),
    ("Scope type", Cell::Field("scopeType")),
    ("Scope", Cell::Field("scopeId")),
];

/// The `role-bindings` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RoleBindingsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: RoleBindingsCommand,
}

/// The `role-bindings` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleBindingsCommand {
    /// List role bindings
    #[command(after_help = LIST_EXAMPLES)]
    List(ListFlags),
    /// Bind a person, a group or an API key to a role at a scope
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Kind of who gets the role
        #[arg(long, value_name = "TYPE", ignore_case = true)]
        principal_type: PrincipalType,
        /// Id of who gets the role
        #[arg(long, value_name = "ID")]
        principal_id: String,
        #[command(flatten)]
        binding: BindingFlags,
    },
    /// Change what a binding grants
    Update {
        /// Id of the role binding
        id: String,
        #[command(flatten)]
        role: RoleFlags,
    },
    /// Delete a role binding
    Delete {
        /// Id of the role binding
        id: String,
    },
}

/// The flags of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListFlags {
    /// Only bindings of this person, group or API key; needs --principal-id
    #[arg(
        long,
        value_name = "TYPE",
        ignore_case = true,
        requires = "principal_id"
    )]
    principal_type: Option<PrincipalType>,

    /// Id of the person, group or API key; needs --principal-type
    #[arg(long, value_name = "ID", requires = "principal_type")]
    principal_id: Option<String>,

    /// Only bindings at this kind of scope
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    scope_type: Option<ScopeType>,

    /// Only bindings at this organization, team or project
    #[arg(long, value_name = "ID")]
    scope_id: Option<String>,

    #[command(flatten)]
    offsets: OffsetFlags,
}

/// Who can be bound.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrincipalType {
    User,
    Group,
    #[value(name = "api-key", aliases = ["api_key", "apikey"])]
    ApiKey,
}

impl PrincipalType {
    /// The field that names one.
    fn field(self) -> &'static str {
        match self {
            Self::User => "userId",
            Self::Group => "groupId",
            Self::ApiKey => "apiKeyId",
        }
    }
}

pub(crate) fn run(command: RoleBindingsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        RoleBindingsCommand::List(flags) => list(context, &flags),
        RoleBindingsCommand::Create {
            principal_type,
            principal_id,
            binding,
        } => {
            let mut body = Json::object([(principal_type.field(), principal_id.into())]);
            binding.add_to(&mut body)?;
            let request = BINDINGS.all(Method::POST).body(body);
            BINDINGS.change(context, "create the role binding", &request, "created")
        }
        RoleBindingsCommand::Update { id, role } => {
            let mut body = Json::object([]);
            role.add_to(&mut body)?;
            let request = BINDINGS.one(Method::PATCH, &id, "").body(body);
            BINDINGS.change(context, "update the role binding", &request, "updated")
        }
        RoleBindingsCommand::Delete { id } => {
            BINDINGS.remove(context, "delete the role binding", &id, "deleted")
        }
    }
}

fn list(context: &mut Context<'_>, flags: &ListFlags) -> Result<(), CliError> {
    let ListFlags {
        principal_type,
        principal_id,
        scope_type,
        scope_id,
        offsets,
    } = flags;
    let mut request = BINDINGS.all(Method::GET);
    if let Some((kind, id)) = principal_type.zip(principal_id.as_deref()) {
        request = request.query(kind.field(), Some(id));
    }
    let scope_type = scope_type.map(|kind| upper(&kind).display());
    let request = request.query("scopeType", scope_type);
    let request = request.query("scopeId", scope_id.as_deref());
    let answer = send_offsets(context, "list role bindings", &request, "bindings", offsets)?;
    BINDINGS.show_list(context, answer, "bindings")
}

fn principal(row: &Json, _: Style) -> Option<String> {
    [
        ("userId", "user"),
        ("groupId", "group"),
        ("apiKeyId", "api-key"),
    ]
    .iter()
    .find_map(|(field, kind)| Some(format!("{kind}:{}", optional(row, field)?)))
}
