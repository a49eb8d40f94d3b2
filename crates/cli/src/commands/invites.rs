//! `invites`: asking people into the organization.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::access::{OrganizationRole, TeamRole, upper};
use super::resource::{Cell, Resource, rows_of, table};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;

const EXAMPLES: &str = "\
Examples:
  langwatch invites list
  langwatch invites create --email ada@example.com --role member
  langwatch invites revoke inv_1";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch invites create --email ada@example.com --role member --team team_1:admin
  langwatch invites create --email a@example.com --email b@example.com --role admin --role member
  langwatch invites create --json '[{\"email\":\"a@example.com\",\"role\":\"MEMBER\",\"teams\":[]}]'
  langwatch invites create --stdin < invites.json";

const INVITES: Resource = Resource {
    name: "Invite",
    base: "/api/organization/invites",
    wrapper: "invite",
    columns: &[
        ("ID", Cell::Field("id")),
        ("Email", Cell::Field("email")),
        ("Role", Cell::Field("role")),
        ("Teams", Cell::Made(teams)),
        ("Status", Cell::Field("status")),
        ("Expires", Cell::When("expiresAt")),
        ("Link", Cell::Field("inviteUrl")),
    ],
    details: &[],
    empty: "No pending invites. Invite somebody with:\n  \
            langwatch invites create --email <address> --role member",
};

/// The `invites` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct InvitesArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: InvitesCommand,
}

impl InvitesArgs {
    /// `--json` selects the output everywhere else; here it may carry the invites instead.
    pub(crate) fn adopt_document(&mut self) {
        if let InvitesCommand::Create(flags) = &mut self.command {
            flags.json = self.output.take_document();
        }
    }
}

/// The `invites` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum InvitesCommand {
    /// List the invites that are not answered yet
    List,
    /// Invite people, all of them or none
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateFlags),
    /// Take an invite back
    Revoke {
        /// Id of the invite
        id: String,
    },
}

/// The flags of `create`. The invites come from the flags or from one JSON document: an array of
/// them, one of them, or `{"invites": […]}`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Address of a person (repeatable)
    #[arg(long = "email", value_name = "ADDRESS", value_parser = parse_email)]
    emails: Vec<String>,

    /// What the people become: once for all of them, or once for each address, in order
    #[arg(long = "role", value_name = "ROLE", ignore_case = true)]
    roles: Vec<OrganizationRole>,

    /// Team that everybody joins, with a role in it (repeatable; default role: member)
    #[arg(long = "team", value_name = "ID[:ROLE]", value_parser = parse_team)]
    teams: Vec<Json>,

    /// Read the invites from a JSON file; --json '[…]' takes them from the command line
    #[arg(long, value_name = "PATH")]
    file: Option<String>,

    /// Read the invites as JSON from standard input
    #[arg(long)]
    stdin: bool,

    #[arg(skip)]
    json: Option<String>,
}

pub(crate) fn run(command: InvitesCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        InvitesCommand::List => {
            let answer = context.send("list invites", &INVITES.all(Method::GET))?;
            INVITES.show_list(context, answer, "invites")
        }
        InvitesCommand::Create(flags) => create(context, &flags),
        InvitesCommand::Revoke { id } => {
            INVITES.remove(context, "revoke the invite", &id, "revoked")
        }
    }
}

fn create(context: &mut Context<'_>, flags: &CreateFlags) -> Result<(), CliError> {
    let invites = flags.invites(context)?;
    let count = invites.len();
    let body = Json::object([("invites", invites.into())]);
    let request = INVITES.all(Method::POST).body(body);
    let answer = context.send("create the invites", &request)?;
    context.show(answer, |answer, style| {
        let rows = rows_of(answer, "invites");
        let people = if count == 1 { "person" } else { "people" };
        let mut out = style.green(&format!("{count} {people} invited."));
        out.push('\n');
        if !rows.is_empty() {
            out.push_str(&format!("\n{}", table(rows, style, INVITES.columns, "")));
        }
        out
    })
}

impl CreateFlags {
    fn invites(&self, context: &mut Context<'_>) -> Result<Vec<Json>, CliError> {
        let Self {
            emails,
            roles,
            teams,
            file,
            stdin,
            json,
        } = self;
        let flags = !emails.is_empty() || !roles.is_empty() || !teams.is_empty();
        let sources = [flags, file.is_some(), *stdin, json.is_some()];
        if sources.iter().filter(|given| **given).count() > 1 {
            return Err(CliError::usage(
                "Give the invites once: as flags, with --json, with --file or with --stdin.",
            ));
        }
        if let Some(text) = json {
            return read_invites("--json", text);
        }
        if let Some(path) = file {
            let path = context.env.working_dir().join(path);
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| CliError::usage(format!("Cannot read {name}: {error}.")))?;
            return read_invites(&name, &text);
        }
        if *stdin {
            let text = context.io().read_input();
            let unreadable =
                |error| CliError::usage(format!("Cannot read standard input: {error}."));
            return read_invites("Standard input", &text.map_err(unreadable)?);
        }
        self.described()
    }

    /// The invites that the flags describe.
    fn described(&self) -> Result<Vec<Json>, CliError> {
        if self.emails.is_empty() {
            return Err(CliError::usage(
                "Nobody to invite. Give --email and --role, or a document with --json, --file or \
                 --stdin.",
            ));
        }
        let roles = match self.roles.as_slice() {
            [] => {
                return Err(CliError::usage(
                    "--role is missing: admin, member or external.",
                ));
            }
            [one] => vec![*one; self.emails.len()],
            many if many.len() == self.emails.len() => many.to_vec(),
            many => {
                return Err(CliError::usage(format!(
                    "{} roles for {} addresses: give --role once, or once for each --email.",
                    many.len(),
                    self.emails.len()
                )));
            }
        };
        let invite = |(email, role): (&String, OrganizationRole)| {
            Json::object([
                ("email", email.as_str().into()),
                ("role", upper(&role)),
                ("teams", self.teams.clone().into()),
            ])
        };
        Ok(self.emails.iter().zip(roles).map(invite).collect())
    }
}

/// The invites of a document, whichever of its three forms it has.
fn read_invites(source: &str, text: &str) -> Result<Vec<Json>, CliError> {
    let document = Json::parse(text)
        .map_err(|error| CliError::usage(format!("{source} is not valid JSON: {error}.")))?;
    let invites = match document {
        Json::Array(invites) => invites,
        mut one @ Json::Object(_) => match one.take("invites") {
            Some(Json::Array(invites)) => invites,
            Some(_) => Vec::new(),
            None => vec![one],
        },
        _ => Vec::new(),
    };
    if invites.is_empty() {
        return Err(CliError::usage(format!("{source} holds no invites.")));
    }
    match invites.iter().position(|one| one.text("email").is_none()) {
        Some(at) => Err(CliError::usage(format!(
            "{source}: invite {} has no email.",
            at.saturating_add(1)
        ))),
        None => Ok(invites),
    }
}

fn parse_email(text: &str) -> Result<String, String> {
    let text = text.trim();
    let usable = text.split_once('@').is_some_and(|(name, host)| {
        let clean = |part: &str| !part.is_empty() && !part.contains([' ', '@', ',']);
        clean(name) && clean(host)
    });
    if usable {
        Ok(text.to_owned())
    } else {
        Err("expected an address such as ada@example.com".to_owned())
    }
}

/// `team_1` or `team_1:admin`.
fn parse_team(text: &str) -> Result<Json, String> {
    use clap::ValueEnum as _;
    let (id, role) = text.split_once(':').unwrap_or((text, "member"));
    let id = id.trim();
    if id.is_empty() {
        return Err("expected <team id>[:<role>]".to_owned());
    }
    let role = TeamRole::from_str(role.trim(), true)
        .map_err(|_| format!("unknown role \"{role}\": expected admin, member or viewer"))?;
    Ok(Json::object([
        ("teamId", id.into()),
        ("role", upper(&role)),
    ]))
}

fn teams(row: &Json, _: Style) -> Option<String> {
    let teams = row.get("teams")?.items();
    let named = |team: &Json| match (team.text("teamId"), team.text("role")) {
        (Some(id), Some(role)) => format!("{id}:{role}"),
        (Some(id), None) => id.to_owned(),
        _ => team.display(),
    };
    let texts: Vec<String> = teams.iter().map(named).collect();
    (!texts.is_empty()).then(|| crate::table::clean(&texts.join(", ")))
}
