//! Configuration as code: `apply`, `diff` and `export`.
//!
//! A file says what the gateway should be; these commands compare it with the server over the
//! public API and send the difference. A file never holds a secret or an id, and nothing is ever
//! deleted. Everything is checked before the first write.
//!
//! The way of a file: `tree` (text to values with lines), `load` (values to entries), `read` (the
//! server), `check` (entries against the tables of `schema`), `plan`, `execute`. Start at [`apply`].

mod check;
mod compare;
mod execute;
mod export;
mod load;
mod plan;
mod read;
mod schema;
mod secrets;
mod shape;
mod suggest;
mod tree;
mod value;
mod view;
mod world;

use std::path::PathBuf;

use clap::Args;

use self::check::Problem;
use self::execute::{Status, execute};
use self::load::Files;
use self::plan::{Action, Planner, Step};
use self::read::Wants;
use self::secrets::Minted;
use self::shape::Kind;
use self::world::World;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::yaml::to_yaml;

/// The examples of `apply --help`.
pub(crate) const APPLY_EXAMPLES: &str = "\
Nothing is ever deleted: what the files do not name stays as it is. Stored secrets cannot be read
back: one is sent when its owner or its field is new, and with --rotate-secrets. Those of a
guardrail are also sent when its evaluator changes.

Examples:
  langwatch apply -f gateway.yaml --dry-run
  langwatch apply -f providers.yaml -f keys.yaml --yes --secrets-file keys.json
  OPENAI_API_KEY=… langwatch apply -f gateway.yaml --yes --rotate-secrets";

/// The examples of `diff --help`.
pub(crate) const DIFF_EXAMPLES: &str = "\
Exits 0 whether or not there are differences, and 1 when it fails. With --exit-code it exits 1 on
differences, too.

Examples:
  langwatch diff -f gateway.yaml
  langwatch diff -f gateway.yaml --exit-code --json summary";

/// The examples of `export --help`.
pub(crate) const EXPORT_EXAMPLES: &str = "\
A secret is written as the environment variable that apply would take it from, never as a value.

Examples:
  langwatch export > gateway.yaml
  langwatch export --kind virtual_keys,budgets -o keys.yaml
  langwatch export -f json";

/// What `apply` and `diff` have in common.
#[derive(Args, Debug)]
struct FilesArgs {
    /// Configuration file, YAML or JSON (repeatable: together they are one configuration)
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<String>,

    /// Count the secrets of existing providers as changed, because they cannot be compared
    #[arg(long)]
    rotate_secrets: bool,
}

/// The `apply` command.
#[derive(Args, Debug)]
#[command(mut_arg("format", |arg| arg.short(None)))]
pub struct ApplyArgs {
    #[command(flatten)]
    files: FilesArgs,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask; needed when no person can answer
    #[arg(short = 'y', long)]
    yes: bool,

    /// Write the secrets of new keys to this file (JSON, mode 0600) instead of printing them
    #[arg(long, value_name = "PATH")]
    secrets_file: Option<String>,

    /// Add to a secrets file that exists
    #[arg(long, requires = "secrets_file")]
    force: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The `diff` command.
#[derive(Args, Debug)]
#[command(mut_arg("format", |arg| arg.short(None)))]
pub struct DiffArgs {
    #[command(flatten)]
    files: FilesArgs,

    /// Exit with 1 when there are differences
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The `export` command.
#[derive(Args, Debug)]
#[command(mut_arg("output", |arg| arg.short(None)))]
pub struct ExportArgs {
    /// Only these sections, separated by commas
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = Kind::parse)]
    kind: Vec<Kind>,

    /// Write to this file instead of stdout
    #[arg(short = 'o', long = "output-file", value_name = "FILE")]
    file: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A plan and what carrying it out needs.
struct Ready {
    steps: Vec<Step>,
    world: World,
    folders: Vec<PathBuf>,
}

/// Reads the files and the server and compares them; fails with every problem at once.
fn prepare(args: &FilesArgs, context: &mut Context<'_>) -> Result<Ready, CliError> {
    let mut problems: Vec<Problem> = Vec::new();
    let files = Files::read(context.env, &args.files, &mut problems)?;
    let names = files.names.clone();
    let folders = plan::folders(&files);
    let wants = Wants::of(files.raw.iter().map(|raw| (raw.kind, &raw.node)));
    let mut world = read::world(context, &wants, false)?;
    let declared = files.declare(&mut world, &mut problems);
    let planner = Planner {
        env: context.env,
        world: &world,
        rotate: args.rotate_secrets,
    };
    let folder = |file: usize| folders.get(file).cloned().unwrap_or_default();
    let steps = planner.plan(declared, folder, &mut problems);
    if !problems.is_empty() {
        let (message, reasons) = view::problems(problems, &names);
        return Err(CliError::Invalid { message, reasons });
    }
    Ok(Ready {
        steps,
        world,
        folders,
    })
}

pub(crate) fn diff(args: &DiffArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let ready = prepare(&args.files, context)?;
    show_plan(context, &ready.steps)?;
    if args.exit_code && view::differs(&ready.steps) {
        return Err(CliError::Reported);
    }
    Ok(())
}

fn show_plan(context: &mut Context<'_>, steps: &[Step]) -> Result<(), CliError> {
    let document = view::document(steps, &[]);
    context.show(document, |_, style| view::plan(steps, style))
}

pub(crate) fn apply(args: &ApplyArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    if !args.dry_run && !args.yes && !context.can_ask() {
        return Err(CliError::usage(
            "There is nobody to ask. Give --yes to apply the files, or --dry-run to see the plan.",
        ));
    }
    let mut ready = prepare(&args.files, context)?;
    if args.dry_run || !view::differs(&ready.steps) {
        return show_plan(context, &ready.steps);
    }
    if !args.yes {
        let plan = view::plan(&ready.steps, context.style());
        let plan = context.redactor.text(&plan);
        context.print_as_is(&plan)?;
        if !context.confirm("Apply these changes? [y/N] ")? {
            return Err(CliError::usage("Nothing was changed."));
        }
    }
    let mints = ready
        .steps
        .iter()
        .any(|step| step.declared.kind == Kind::Key && step.action == Action::Create);
    let mut minted = match &args.secrets_file {
        Some(path) if mints => Minted::to_file(context.env, path, args.force)?,
        _ => Minted::printed(),
    };
    let ending = execute(
        context,
        &ready.steps,
        &mut ready.world,
        &ready.folders,
        &mut minted,
    );
    minted.finish();
    report(
        context,
        &ready.steps,
        &ending.statuses,
        &minted,
        ending.failure,
    )
}

/// Prints the result with the secrets that are shown once, whatever else went wrong.
fn report(
    context: &mut Context<'_>,
    steps: &[Step],
    statuses: &[Status],
    minted: &Minted,
    failure: Option<CliError>,
) -> Result<(), CliError> {
    if let Some(sentence) = minted.failure() {
        context.summary(sentence);
    }
    if !context.output.is_machine() {
        let style = context.style();
        let mut text = context.redactor.text(&view::result(steps, statuses, style));
        if let Some(file) = minted.file() {
            text.push_str(&format!("The secrets of the new keys are in {file}.\n"));
        }
        if let Some(secrets) = minted.to_print() {
            text.push_str(&view::secrets(secrets, style));
        }
        context.print_as_is(&text)?;
        return failure.map_or(Ok(()), Err);
    }
    let mut document = view::document(steps, statuses);
    if let Some(error) = &failure {
        let mut said = error.document(context.output);
        document.set("ok", false.into());
        document.set("error", said.take("error").unwrap_or(Json::Null));
    }
    if let Some(file) = minted.file() {
        document.set("secrets_file", file.into());
    }
    let mut document = context.redactor.json(document);
    if let Some(secrets) = minted.to_print() {
        document.set("secrets", secrets.clone());
    }
    let text = context.output.render(document);
    context.print_as_is(&text)?;
    match failure {
        Some(error) => {
            context.summary(&error.to_string());
            Err(CliError::Reported)
        }
        None => Ok(()),
    }
}

pub(crate) fn export(args: &ExportArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let kinds: &[Kind] = if args.kind.is_empty() {
        &Kind::ALL
    } else {
        &args.kind
    };
    let (document, unread) = export::export(context, kinds)?;
    for line in &unread {
        context.summary(line);
    }
    let secrets = export::names_secrets(&document);
    let document = context.redactor.json(document);
    let text = if context.output.is_machine() {
        context.output.render(document)
    } else {
        let note = if secrets {
            "# Secrets are not in this file: each is taken from the environment variable it names.\n"
        } else {
            ""
        };
        format!(
            "# Made by `langwatch export`; `langwatch apply -f` takes it.\n{note}{}",
            to_yaml(&document)
        )
    };
    let Some(file) = &args.file else {
        return context.print_as_is(&text);
    };
    let path = context.env.working_dir().join(file);
    std::fs::write(&path, text)
        .map_err(|error| CliError::usage(format!("Cannot write {file}: {error}.")))?;
    context.note(&format!("Wrote {file}."));
    Ok(())
}
