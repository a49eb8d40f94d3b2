//! `projects`: where traces go, and their own keys.

use clap::{Args, Subcommand, ValueEnum};
use ureq::http::Method;

use super::access::upper;
use super::resource::{Cell, Minted, PageFlags, Resource, lines, send_pages, set_text, something};
use super::virtual_key_view::field;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const EXAMPLES: &str = "\
Examples:
  langwatch projects list
  langwatch projects update web --pii-redaction-level strict
  langwatch projects api-key web";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch projects create --name web --language typescript --framework openai
  langwatch projects create --name search --language python --framework langchain --team-id team_1
  langwatch projects create --name ml --language python --framework other --new-team-name Research";

const KEY_EXAMPLES: &str = "\
Examples:
  langwatch projects api-key web
  langwatch projects api-key web -f json | jq -r .apiKey";

const REGENERATE_EXAMPLES: &str = "\
Examples:
  langwatch projects regenerate-api-key web
  langwatch projects regenerate-api-key web -f json | jq -r .apiKey";

/// The columns of a project, also for the projects of a team.
pub(super) const PROJECTS: Resource = Resource {
    name: "Project",
    base: "/api/projects",
    wrapper: "project",
    columns: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Team", Cell::Field("teamId")),
        ("Language", Cell::Field("language")),
        ("Framework", Cell::Field("framework")),
        ("Created", Cell::When("createdAt")),
    ],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Team", Cell::Field("teamId")),
        ("Language", Cell::Field("language")),
        ("Framework", Cell::Field("framework")),
        ("PII redaction", Cell::Field("piiRedactionLevel")),
        ("Created", Cell::When("createdAt")),
        ("Updated", Cell::When("updatedAt")),
    ],
    empty: "No projects found. Create one with:\n  \
            langwatch projects create --name <name> --language <language> --framework <framework>",
};

/// The `projects` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ProjectsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: ProjectsCommand,
}

/// The `projects` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// List the projects that you may see
    List(PageFlags),
    /// Show one project
    Get {
        /// Id or slug of the project
        id: String,
    },
    /// Create a project and print the key of its service account, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateFlags),
    /// Change a project; what is not named stays
    Update(UpdateFlags),
    /// Archive a project; virtual keys that trace there keep working
    Delete {
        /// Id or slug of the project
        id: String,
    },
    /// Print the key of a project
    #[command(after_help = KEY_EXAMPLES)]
    ApiKey {
        /// Id or slug of the project
        id: String,
    },
    /// Give a project a new key and print it; the old one stops working at once
    #[command(after_help = REGENERATE_EXAMPLES)]
    RegenerateApiKey {
        /// Id or slug of the project
        id: String,
    },
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the project
    #[arg(long)]
    name: String,

    /// Programming language of the application, such as python or typescript
    #[arg(long)]
    language: String,

    /// Framework of the application, such as openai or langchain
    #[arg(long)]
    framework: String,

    /// Team that the project belongs to
    #[arg(long, value_name = "ID")]
    team_id: Option<String>,

    /// Create a team of this name for the project
    #[arg(long, value_name = "NAME", conflicts_with = "team_id")]
    new_team_name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PiiRedaction {
    Strict,
    Essential,
    Disabled,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id or slug of the project
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// Programming language of the application
    #[arg(long)]
    language: Option<String>,

    /// Framework of the application
    #[arg(long)]
    framework: Option<String>,

    /// How much personal data is masked in traces
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    pii_redaction_level: Option<PiiRedaction>,
}

pub(crate) fn run(command: ProjectsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ProjectsCommand::List(flags) => {
            let request = PROJECTS.all(Method::GET);
            let answer = send_pages(context, "list projects", &request, &flags)?;
            PROJECTS.show_list(context, answer, "data")
        }
        ProjectsCommand::Get { id } => PROJECTS.get(context, "get the project", &id),
        ProjectsCommand::Create(flags) => create(context, &flags),
        ProjectsCommand::Update(flags) => {
            let request = PROJECTS
                .one(Method::PATCH, &flags.id, "")
                .body(flags.body()?);
            PROJECTS.change(context, "update the project", &request, "updated")
        }
        ProjectsCommand::Delete { id } => {
            PROJECTS.remove(context, "delete the project", &id, "archived")
        }
        ProjectsCommand::ApiKey { id } => {
            let request = PROJECTS.one(Method::GET, &id, "/api-key");
            let answer = context.send("get the key of the project", &request)?;
            show_key(context, answer, &format!("The key of project {id}:"))
        }
        ProjectsCommand::RegenerateApiKey { id } => {
            let request = PROJECTS.one(Method::POST, &id, "/regenerate-api-key");
            let request = request.body(Json::object([]));
            let answer = context.send("regenerate the key of the project", &request)?;
            let sentence = format!("Project {id} has a new key; the old one no longer works.");
            show_key(context, answer, &sentence)
        }
    }
}

fn create(context: &mut Context<'_>, flags: &CreateFlags) -> Result<(), CliError> {
    let CreateFlags {
        name,
        language,
        framework,
        team_id,
        new_team_name,
    } = flags;
    let mut body = Json::object([
        ("name", name.as_str().into()),
        ("language", language.as_str().into()),
        ("framework", framework.as_str().into()),
    ]);
    set_text(&mut body, "teamId", team_id.as_deref());
    set_text(&mut body, "newTeamName", new_team_name.as_deref());
    let request = PROJECTS.all(Method::POST).body(body);
    let answer = context.send("create the project", &request)?;
    context.show_minted(answer, &["serviceApiKey"], |project, style, redactor| {
        let minted = Minted {
            sentence: format!("Project \"{}\" created.", field(project, "name")),
            secret: project.text("serviceApiKey").unwrap_or_default(),
            once: true,
            lines: lines(project, style, PROJECTS.details),
        };
        minted.text(style, redactor)
    })
}

fn show_key(context: &mut Context<'_>, answer: Json, sentence: &str) -> Result<(), CliError> {
    context.show_minted(answer, &["apiKey"], |answer, style, redactor| {
        let minted = Minted {
            sentence: crate::table::clean(sentence),
            secret: answer.text("apiKey").unwrap_or_default(),
            once: false,
            lines: String::new(),
        };
        minted.text(style, redactor)
    })
}

impl UpdateFlags {
    fn body(&self) -> Result<Json, CliError> {
        let Self {
            id: _,
            name,
            language,
            framework,
            pii_redaction_level,
        } = self;
        let mut body = Json::object([]);
        set_text(&mut body, "name", name.as_deref());
        set_text(&mut body, "language", language.as_deref());
        set_text(&mut body, "framework", framework.as_deref());
        if let Some(level) = pii_redaction_level {
            body.set("piiRedactionLevel", upper(level));
        }
        something(
            body,
            "--name, --language, --framework, --pii-redaction-level",
        )
    }
}
