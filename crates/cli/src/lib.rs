//! The client commands of the `langwatch` binary, over the public REST API.
//!
//! There is no private door: everything here is what the official client could do too. The binary
//! flattens [`ClientCommand`] into its own command line, hands in an [`Environment`] and an [`Io`],
//! and exits with what [`run`] says. Nothing in this crate asks the operating system for a
//! variable or the time, and nothing prints but through [`Io`].
//!
//! Start at [`run`]; a command group is a file under `commands`.

mod args;
mod client;
mod commands;
mod config_file;
mod context;
mod credentials;
mod environment;
mod error;
mod failure;
mod io;
mod jq;
mod json;
mod output;
mod redact;
mod style;
mod table;
#[cfg(test)]
mod tests;
mod usage;
mod yaml;

use clap::Subcommand;

pub use crate::commands::account::{LoginArgs, WhoamiArgs};
pub use crate::commands::config::{ConfigArgs, ConfigCommand};
pub use crate::commands::env::EnvArgs;
pub use crate::commands::model_provider::ModelProviderArgs;
pub use crate::commands::trace::TraceArgs;
pub use crate::commands::virtual_keys::VirtualKeysArgs;
pub use crate::environment::Environment;
pub use crate::io::Io;
pub use crate::output::OutputArgs;
pub use crate::usage::{render_clap_error, render_clap_error_with_help};

use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;
use crate::redact::Redactor;

/// The client side of the command line.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Create, list and manage virtual keys, the keys that applications call the gateway with
    #[command(visible_alias = "vk", args_override_self = true)]
    VirtualKeys(VirtualKeysArgs),

    /// Store and manage the credentials of AI providers
    #[command(visible_alias = "model-providers", args_override_self = true)]
    ModelProvider(ModelProviderArgs),

    /// Find and read traces, by trace id, gateway request id or text
    #[command(visible_alias = "traces", args_override_self = true)]
    Trace(TraceArgs),

    /// Print the variables that point AI tools at the gateway
    #[command(args_override_self = true, after_help = commands::env::EXAMPLES)]
    Env(EnvArgs),

    /// Read and change the configuration
    #[command(args_override_self = true)]
    Config(ConfigArgs),

    /// Show which organization, endpoint and credential the commands use
    #[command(args_override_self = true)]
    Whoami(WhoamiArgs),

    /// Keep an API key or an endpoint for the commands to use
    #[command(args_override_self = true, after_help = commands::account::LOGIN_EXAMPLES)]
    Login(LoginArgs),
}

/// How a client command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with this exit code.
    Exit(u8),
    /// Not a client command: the binary answers it.
    ServerConfig(ServerConfigCommand),
}

/// The two `config` subcommands that are about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerConfigCommand {
    /// `langwatch config check`
    Check,
    /// `langwatch config print`
    Print,
}

/// Runs one client command. Every failure is printed before it comes back as exit code 1.
pub fn run(command: ClientCommand, env: &Environment, io: &mut Io) -> Outcome {
    // A set of variables to evaluate stays one inside an agent's shell.
    let agent = env.is_agent() && !matches!(command, ClientCommand::Env(_));
    let output_args = match &command {
        ClientCommand::VirtualKeys(args) => &args.output,
        ClientCommand::ModelProvider(args) => &args.output,
        ClientCommand::Trace(args) => &args.output,
        ClientCommand::Env(args) => &args.output,
        ClientCommand::Config(args) => match args.command {
            ConfigCommand::Check => return Outcome::ServerConfig(ServerConfigCommand::Check),
            ConfigCommand::Print => return Outcome::ServerConfig(ServerConfigCommand::Print),
            ConfigCommand::Set { .. } | ConfigCommand::Get { .. } | ConfigCommand::List => {
                &args.output
            }
        },
        ClientCommand::Whoami(args) => &args.output,
        ClientCommand::Login(args) => &args.output,
    };
    let mut redactor = Redactor::default();
    let (output, ready) = match Output::of(output_args, agent) {
        Ok(output) => (output, Ok(())),
        Err((output, error)) => (output, Err(error)),
    };
    let result = ready.and_then(|()| dispatch(command, env, io, &output, &mut redactor));
    match result {
        Ok(()) => Outcome::Exit(0),
        Err(error) => Outcome::Exit(error.report(io, &output, &redactor)),
    }
}

fn dispatch(
    command: ClientCommand,
    env: &Environment,
    io: &mut Io,
    output: &Output,
    redactor: &mut Redactor,
) -> Result<(), CliError> {
    let mut context = Context::new(env, io, output, redactor)?;
    match command {
        ClientCommand::VirtualKeys(args) => commands::virtual_keys::run(args.command, &mut context),
        ClientCommand::ModelProvider(args) => {
            commands::model_provider::run(args.command, &mut context)
        }
        ClientCommand::Trace(args) => commands::trace::run(args.command, &mut context),
        ClientCommand::Env(args) => commands::env::run(&args, &mut context),
        ClientCommand::Config(args) => commands::config::run(args.command, &mut context),
        ClientCommand::Whoami(_) => commands::account::whoami(&mut context),
        ClientCommand::Login(args) => commands::account::login(&args, &mut context),
    }
}
