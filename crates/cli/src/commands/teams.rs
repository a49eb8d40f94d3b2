//! `teams`: who works together, and the projects they hold.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::access::{TeamRole, upper};
use super::projects::PROJECTS;
use super::resource::{
    Cell, PageFlags, Resource, acknowledge, rows_of, send_pages, set_text, something, table,
};
use crate::client::segment;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  langwatch teams list
  langwatch teams members add team_1 user_1 --role admin
  langwatch teams projects list team_1";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch teams create --name Platform
  langwatch teams members add team_1 user_1 --role admin";

const TEAMS: Resource = Resource {
    name: "Team",
    base: "/api/teams",
    wrapper: "team",
    columns: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Created", Cell::When("createdAt")),
    ],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Organization", Cell::Field("organizationId")),
        ("Created", Cell::When("createdAt")),
        ("Updated", Cell::When("updatedAt")),
    ],
    empty: "No teams found. Create one with:\n  langwatch teams create --name <name>",
};

const NO_MEMBERS: &str =
    "No members found. Add one with:\n  langwatch teams members add <team> <user>";

/// The `teams` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TeamsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: TeamsCommand,
}

/// The `teams` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum TeamsCommand {
    /// List the teams of the organization
    List(PageFlags),
    /// Show one team
    Get {
        /// Id or slug of the team
        id: String,
    },
    /// Create a team
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Name of the team
        #[arg(long)]
        name: String,
    },
    /// Change a team; what is not named stays
    Update {
        /// Id or slug of the team
        id: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
    },
    /// Archive a team
    Archive {
        /// Id or slug of the team
        id: String,
    },
    /// List, add and remove the members of a team
    Members {
        #[command(subcommand)]
        command: MembersCommand,
    },
    /// The projects of a team
    Projects {
        #[command(subcommand)]
        command: TeamProjectsCommand,
    },
}

/// The `teams members` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the members of a team
    List {
        /// Id or slug of the team
        team: String,
    },
    /// Add a person to a team
    Add {
        /// Id or slug of the team
        team: String,
        /// Id of the person
        user: String,
        /// What the person is in the team (default: member)
        #[arg(long, ignore_case = true)]
        role: Option<TeamRole>,
    },
    /// Take a person out of a team
    Remove {
        /// Id or slug of the team
        team: String,
        /// Id of the person
        user: String,
    },
}

/// The `teams projects` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum TeamProjectsCommand {
    /// List the projects of a team
    List {
        /// Id or slug of the team
        team: String,
        #[command(flatten)]
        pages: PageFlags,
    },
}

pub(crate) fn run(command: TeamsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        TeamsCommand::List(flags) => {
            let request = TEAMS.all(Method::GET);
            let answer = send_pages(context, "list teams", &request, &flags)?;
            TEAMS.show_list(context, answer, "data")
        }
        TeamsCommand::Get { id } => TEAMS.get(context, "get the team", &id),
        TeamsCommand::Create { name } => {
            let body = Json::object([("name", name.into())]);
            let request = TEAMS.all(Method::POST).body(body);
            TEAMS.change(context, "create the team", &request, "created")
        }
        TeamsCommand::Update { id, name } => {
            let mut body = Json::object([]);
            set_text(&mut body, "name", name.as_deref());
            let body = something(body, "--name")?;
            let request = TEAMS.one(Method::PATCH, &id, "").body(body);
            TEAMS.change(context, "update the team", &request, "updated")
        }
        TeamsCommand::Archive { id } => TEAMS.remove(context, "archive the team", &id, "archived"),
        TeamsCommand::Members { command } => members(command, context),
        TeamsCommand::Projects {
            command: TeamProjectsCommand::List { team, pages },
        } => {
            let request = TEAMS.one(Method::GET, &team, "/projects");
            let answer = send_pages(context, "list the projects of the team", &request, &pages)?;
            PROJECTS.show_list(context, answer, "data")
        }
    }
}

fn members(command: MembersCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        MembersCommand::List { team } => {
            let request = TEAMS.one(Method::GET, &team, "/members");
            let answer = context.send("list the members of the team", &request)?;
            context.show(answer, |answer, style| {
                let columns = [
                    ("User", Cell::Field("userId")),
                    ("Name", Cell::Field("name")),
                    ("Email", Cell::Field("email")),
                    ("Role", Cell::Field("role")),
                ];
                table(rows_of(answer, "data"), style, &columns, NO_MEMBERS)
            })
        }
        MembersCommand::Add { team, user, role } => {
            let mut body = Json::object([("userId", user.as_str().into())]);
            if let Some(role) = role {
                body.set("role", upper(&role));
            }
            let request = TEAMS.one(Method::POST, &team, "/members").body(body);
            let sentence = format!("{user} is a member of team {team}.");
            acknowledge(context, "add the member to the team", &request, &sentence)
        }
        MembersCommand::Remove { team, user } => {
            let tail = format!("/members/{}", segment(&user));
            let request = TEAMS.one(Method::DELETE, &team, &tail);
            let sentence = format!("{user} is no longer a member of team {team}.");
            acknowledge(
                context,
                "remove the member from the team",
                &request,
                &sentence,
            )
        }
    }
}
