//! `guardrails`: checks of what goes in and what comes out. A key attaches them in its config.

use clap::{Args, Subcommand, ValueEnum};

use super::collection::Collection;
use super::flags::{IdempotencyFlag, set_nulls, set_text, set_value, something};
use super::{bare, guardrail_view as view};
use crate::args::{parse_object, text_or_file};
use crate::client::{Headers, Request};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const GUARDRAILS: Collection = Collection {
    base: "/api/gateway/v1/guardrails",
    headers: Headers::Project,
    envelope: "guardrail",
};

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch guardrails create --name no-cards --project <id> --direction pre \\
    --evaluator pii-check --settings-json '{\"kinds\":[\"credit_card\"],\"action\":\"block\"}'
  langwatch virtual-keys update <key id> --config-json \\
    '{\"guardrail_attachments\":[{\"direction\":\"pre\",\"guardrail_ids\":[\"<id>\"]}]}'";

/// The `guardrails` group.
#[derive(Args, Debug)]
pub struct GuardrailsArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: GuardrailsCommand,
}

/// The `guardrails` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum GuardrailsCommand {
    /// List guardrails
    List,
    /// Show one guardrail
    Get {
        /// Id of the guardrail
        id: String,
    },
    /// Create a guardrail; keys attach it in their configuration
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// Change a guardrail; what is not named stays
    Update(Box<UpdateFlags>),
    /// End a guardrail; keys that attach it are checked by it no more
    Archive {
        /// Id of the guardrail
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    /// The request, before a provider sees it
    Pre,
    /// The whole answer
    Post,
    /// Each piece of a streamed answer
    #[value(alias = "stream_chunk")]
    StreamChunk,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailureMode {
    /// Refuse the request when the check itself fails
    #[value(alias = "fail_closed")]
    FailClosed,
    /// Let the request pass when the check itself fails
    #[value(alias = "fail_open")]
    FailOpen,
}

/// The settings of an evaluator.
#[derive(Args, Debug)]
struct SettingsFlags {
    /// Settings of the evaluator as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    settings_json: Option<Json>,

    /// The same, from a JSON file
    #[arg(long, value_name = "PATH", conflicts_with = "settings_json")]
    settings_file: Option<String>,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the guardrail
    #[arg(long)]
    name: String,

    /// What the guardrail is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What is checked
    #[arg(long, value_name = "DIRECTION", ignore_case = true)]
    direction: Direction,

    /// What happens when the check itself fails (default: fail-closed)
    #[arg(long, value_name = "MODE", ignore_case = true)]
    failure_mode: Option<FailureMode>,

    /// Who checks: regex, keyword-list, pii-check, json-schema, length or http-callout
    #[arg(long, value_name = "SLUG")]
    evaluator: String,

    #[command(flatten)]
    settings: SettingsFlags,

    /// Project that it belongs to (default: the project of the credential)
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    #[command(flatten)]
    idempotency: IdempotencyFlag,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the guardrail
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    /// What is checked
    #[arg(long, value_name = "DIRECTION", ignore_case = true)]
    direction: Option<Direction>,

    /// What happens when the check itself fails
    #[arg(long, value_name = "MODE", ignore_case = true)]
    failure_mode: Option<FailureMode>,

    /// Another evaluator; needs its settings
    #[arg(long, value_name = "SLUG")]
    evaluator: Option<String>,

    #[command(flatten)]
    settings: SettingsFlags,
}

pub(crate) fn run(command: GuardrailsCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        GuardrailsCommand::List => {
            let guardrails = context.send_all("list guardrails", GUARDRAILS.list())?;
            context.show(guardrails.into(), view::list)
        }
        GuardrailsCommand::Get { id } => {
            let guardrail = GUARDRAILS.one(context, "get the guardrail", &GUARDRAILS.get(&id))?;
            context.show(guardrail, view::guardrail)
        }
        GuardrailsCommand::Create(flags) => {
            let request = GUARDRAILS.create(flags.body(context)?, flags.idempotency.key());
            change(context, "create the guardrail", &request, "created")
        }
        GuardrailsCommand::Update(flags) => {
            let request = GUARDRAILS.patch(&flags.id, flags.body(context)?);
            change(context, "update the guardrail", &request, "updated")
        }
        GuardrailsCommand::Archive { id } => {
            let request = GUARDRAILS.delete(&id);
            change(context, "archive the guardrail", &request, "archived")
        }
    }
}

/// A write may be allowed and still be worth a warning, which stands beside the guardrail.
fn change(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    done: &str,
) -> Result<(), CliError> {
    let mut answer = context.send(action, request)?;
    let warnings = answer.take("warnings");
    let mut guardrail = bare(answer, GUARDRAILS.envelope);
    if let Some(warnings) = warnings {
        guardrail.set("warnings", warnings);
    }
    context.show(guardrail, |guardrail, style| {
        view::changed(guardrail, style, done)
    })
}

impl SettingsFlags {
    fn read(&self, context: &Context<'_>) -> Result<Option<Json>, CliError> {
        let file = self.settings_file.as_deref();
        text_or_file(context.env, self.settings_json.as_ref(), file)
    }
}

impl CreateFlags {
    fn body(&self, context: &Context<'_>) -> Result<Json, CliError> {
        let Self {
            name,
            description,
            direction,
            failure_mode,
            evaluator,
            settings,
            project,
            idempotency: _,
        } = self;
        let settings = settings.read(context)?;
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "project_id", project.as_deref());
        set_text(&mut body, "name", Some(name));
        set_text(&mut body, "description", description.as_deref());
        set_value(&mut body, "direction", Some(*direction));
        set_value(&mut body, "failure_mode", *failure_mode);
        body.set(
            "evaluator",
            evaluator_object(
                evaluator,
                settings.unwrap_or_else(|| Json::Object(Vec::new())),
            ),
        );
        Ok(body)
    }
}

impl UpdateFlags {
    fn body(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let Self {
            id,
            name,
            description,
            clear_description,
            direction,
            failure_mode,
            evaluator,
            settings,
        } = self;
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "name", name.as_deref());
        set_text(&mut body, "description", description.as_deref());
        set_nulls(&mut body, &[(*clear_description, "description")]);
        set_value(&mut body, "direction", *direction);
        set_value(&mut body, "failure_mode", *failure_mode);
        match (evaluator, settings.read(context)?) {
            (Some(slug), Some(settings)) => {
                body.set("evaluator", evaluator_object(slug, settings));
            }
            (Some(_), None) => {
                return Err(CliError::usage(
                    "--evaluator needs --settings-json or --settings-file: no two evaluators \
                     share their settings.",
                ));
            }
            (None, Some(settings)) => {
                let stored = GUARDRAILS.one(context, "get the guardrail", &GUARDRAILS.get(id))?;
                let slug = view::evaluator(&stored).unwrap_or_default();
                body.set("evaluator", evaluator_object(slug, settings));
            }
            (None, None) => {}
        }
        something(
            body,
            "--name, --description, --clear-description, --direction, --failure-mode, \
             --evaluator, --settings-json, --settings-file",
        )
    }
}

fn evaluator_object(slug: &str, settings: Json) -> Json {
    Json::object([
        ("slug", slug.trim().to_ascii_lowercase().into()),
        ("settings", settings),
    ])
}
