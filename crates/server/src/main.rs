//! `langwatch`: the AI gateway, its control plane, its mock provider and its command line, in one binary.
//!
//! This crate wires the others together: configuration, stores, planes, signals. It decides nothing about
//! requests. Start at [`main`]; what runs is built in [`process`].

mod config;
mod demo;
mod explainer;
mod first_start;
mod folder;
mod logging;
mod mock;
mod process;
mod refusals;
mod serve;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use lw_cli::{ClientCommand, Environment, Io, Outcome, ServerConfigCommand};
use lw_core::{Clock as _, SystemClock};

use crate::config::{Config, Variables};

/// Most memory of a request is taken on a data thread and given back on the thread that stores traces;
/// the system's allocator makes the two wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An AI gateway in one binary: run it, manage it, try it.
#[derive(Parser)]
#[command(
    name = "langwatch",
    version,
    disable_version_flag = true,
    after_help = "Try `langwatch serve --demo`: no account, no key, no network."
)]
struct Cli {
    /// Print version.
    #[arg(short = 'v', short_alias = 'V', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the gateway and its control plane in one process.
    Serve(serve::ServeArgs),
    /// Run a provider that answers from a script: for tests, benches and trying things out.
    MockProvider(mock::MockArgs),
    /// Print the description of the management API (OpenAPI 3.1).
    Openapi,
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

/// The commands that stay for long, read apart: the whole command line is a large tree that a server would
/// otherwise carry in its memory.
#[derive(Parser)]
#[command(name = "langwatch")]
struct Staying {
    #[command(subcommand)]
    command: StayingCommand,
}

#[derive(clap::Subcommand)]
enum StayingCommand {
    Serve(serve::ServeArgs),
    MockProvider(mock::MockArgs),
}

/// The command, when it is one that stays and is written as it should be. Help and mistakes are for
/// [`Cli`].
fn staying() -> Option<StayingCommand> {
    let first = std::env::args_os().nth(1)?;
    let stays = ["serve", "mock-provider"].iter().any(|name| first == *name);
    let read = stays.then(Staying::try_parse)?;
    read.ok().map(|staying| staying.command)
}

fn main() -> ExitCode {
    let variables = environment();
    match staying() {
        Some(StayingCommand::Serve(args)) => return serve::run(&args, variables),
        Some(StayingCommand::MockProvider(args)) => return mock::run(&args),
        None => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let mut io = terminal(&variables);
            return ExitCode::from(lw_cli::render_clap_error_with_help(
                &error,
                Cli::command(),
                &mut io,
            ));
        }
    };
    match cli.command {
        Command::Serve(args) => serve::run(&args, variables),
        Command::MockProvider(args) => mock::run(&args),
        Command::Openapi => openapi(&mut terminal(&variables)),
        Command::Client(command) => client(*command, &variables),
    }
}

fn openapi(io: &mut Io) -> ExitCode {
    match io.print(&lw_admin::openapi_text()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(_) => ExitCode::FAILURE,
    }
}

fn client(command: ClientCommand, variables: &Variables) -> ExitCode {
    let mut io = terminal(variables);
    match lw_cli::run(command, &client_environment(variables.clone()), &mut io) {
        Outcome::Exit(code) => ExitCode::from(code),
        Outcome::ServerConfig(command) => server_config(command, variables),
        Outcome::Tool(run) => ExitCode::from(run.start(&mut io)),
        Outcome::Completions(args) => {
            ExitCode::from(lw_cli::print_completions(args, Cli::command(), &mut io))
        }
    }
}

/// `langwatch config check` and `langwatch config print`: the same load as `serve`.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the result of a command"
)]
fn server_config(command: ServerConfigCommand, variables: &Variables) -> ExitCode {
    match (Config::load(variables, cores()), command) {
        (Ok(_), ServerConfigCommand::Check) => {
            println!("the configuration is fine");
            ExitCode::SUCCESS
        }
        (Ok(loaded), ServerConfigCommand::Print) => {
            for (name, value) in loaded.shown {
                println!("{name}={value}");
            }
            ExitCode::SUCCESS
        }
        (Err(problems), _) => {
            eprint!("{}", config::report(&problems));
            ExitCode::FAILURE
        }
    }
}

/// The environment of the process. Names and values that are not text are left out.
fn environment() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn client_environment(variables: BTreeMap<String, String>) -> Environment {
    let home = variables.get("HOME").map(Into::into);
    let working_dir = std::env::current_dir().unwrap_or_default();
    Environment::new(variables, working_dir, home, SystemClock.now().millis())
}

fn terminal(variables: &Variables) -> Io {
    use std::io::IsTerminal as _;
    let is_terminal = std::io::stdout().is_terminal();
    let colour = client_environment(variables.clone()).wants_colour(is_terminal);
    Io::new(
        Box::new(std::io::stdout()),
        Box::new(std::io::stderr()),
        is_terminal,
        colour,
    )
}

/// How many data threads this machine can run.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
