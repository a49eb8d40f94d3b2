//! The client commands of the `langwatch` binary, over the public REST API.
//!
//! There is no private door: everything here is what the official client could do too. The binary
//! flattens [`ClientCommand`] into its own command line, hands in an [`Environment`] and an [`Io`],
//! and exits with what [`run`] says. Nothing in this crate asks the operating system for a
//! variable or the time, and nothing prints but through [`Io`].
//!
//! Start at [`run`]; a command group is a file under `commands`.

mod advice;
mod args;
mod client;
mod commands;
mod config_file;
mod context;
mod credentials;
mod decimal;
mod discovery;
mod dotenv;
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
mod tool_key;
mod usage;
mod yaml;

use clap::Subcommand;

pub use crate::commands::account::WhoamiArgs;
pub use crate::commands::api_keys::ApiKeysArgs;
pub use crate::commands::as_code::{ApplyArgs, DiffArgs, ExportArgs};
pub use crate::commands::audit::AuditArgs;
pub use crate::commands::cache_rules::CacheRulesArgs;
pub use crate::commands::completions::{CompletionsArgs, print_completions};
pub use crate::commands::config::{ConfigArgs, ConfigCommand};
pub use crate::commands::env::EnvArgs;
pub use crate::commands::explain::ExplainArgs;
pub use crate::commands::gateway_budgets::GatewayBudgetsArgs;
pub use crate::commands::groups::GroupsArgs;
pub use crate::commands::guardrails::GuardrailsArgs;
pub use crate::commands::invites::InvitesArgs;
pub use crate::commands::login::LoginArgs;
pub use crate::commands::logout::LogoutArgs;
pub use crate::commands::members::MembersArgs;
pub use crate::commands::model_prices::ModelPricesArgs;
pub use crate::commands::model_provider::ModelProviderArgs;
pub use crate::commands::open::OpenArgs;
pub use crate::commands::organization::OrganizationArgs;
pub use crate::commands::organizations::OrganizationsArgs;
pub use crate::commands::projects::ProjectsArgs;
pub use crate::commands::role_bindings::RoleBindingsArgs;
pub use crate::commands::roles::RolesArgs;
pub use crate::commands::routing_policies::RoutingPoliciesArgs;
pub use crate::commands::teams::TeamsArgs;
pub use crate::commands::tools::{ToolArgs, ToolCommand, ToolRun};
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

    /// Choose the providers of virtual keys, their order and their rules
    #[command(args_override_self = true)]
    RoutingPolicies(RoutingPoliciesArgs),

    /// Limit what may be spent: by organization, team, project, key, person or end user
    #[command(args_override_self = true)]
    GatewayBudgets(GatewayBudgetsArgs),

    /// Say which requests the cache answers
    #[command(args_override_self = true)]
    CacheRules(CacheRulesArgs),

    /// Check what goes to models and what comes back
    #[command(args_override_self = true)]
    Guardrails(GuardrailsArgs),

    /// Set prices of your own for models
    #[command(args_override_self = true)]
    ModelPrices(ModelPricesArgs),

    /// Make the server as configuration files say; nothing is ever deleted
    #[command(args_override_self = true, after_help = commands::as_code::APPLY_EXAMPLES)]
    Apply(ApplyArgs),

    /// Show what apply would change
    #[command(args_override_self = true, after_help = commands::as_code::DIFF_EXAMPLES)]
    Diff(DiffArgs),

    /// Write the settings of the server as a configuration file, without secrets
    #[command(args_override_self = true, after_help = commands::as_code::EXPORT_EXAMPLES)]
    Export(ExportArgs),

    /// Find and read traces, by trace id, gateway request id or text
    #[command(visible_alias = "traces", args_override_self = true)]
    Trace(TraceArgs),

    /// Say what the gateway would do with a request, and why, without sending it
    #[command(args_override_self = true, after_help = commands::explain::EXAMPLES)]
    Explain(ExplainArgs),

    /// Read who changed what
    #[command(args_override_self = true)]
    Audit(AuditArgs),

    /// Create, list and manage API keys, the keys that scripts call the API with
    #[command(args_override_self = true)]
    ApiKeys(ApiKeysArgs),

    /// Create, list and manage projects and their keys
    #[command(args_override_self = true)]
    Projects(ProjectsArgs),

    /// Create, list and manage teams and who is in them
    #[command(args_override_self = true)]
    Teams(TeamsArgs),

    /// Create, list and manage groups, their members and what they may do
    #[command(args_override_self = true)]
    Groups(GroupsArgs),

    /// Create, list and manage custom roles
    #[command(args_override_self = true)]
    Roles(RolesArgs),

    /// Say who may do what, and where
    #[command(args_override_self = true)]
    RoleBindings(RoleBindingsArgs),

    /// List and manage the people of the organization
    #[command(args_override_self = true)]
    Members(MembersArgs),

    /// Invite people into the organization
    #[command(args_override_self = true)]
    Invites(InvitesArgs),

    /// Show and change the organization
    #[command(args_override_self = true)]
    Organization(OrganizationArgs),

    /// Create and list organizations, as the operator of the installation
    #[command(args_override_self = true)]
    Organizations(OrganizationsArgs),

    #[command(flatten)]
    Tool(ToolCommand),

    /// Print the variables that point AI tools at the gateway
    #[command(args_override_self = true, after_help = commands::env::EXAMPLES)]
    Env(EnvArgs),

    /// Read and change the configuration
    #[command(args_override_self = true)]
    Config(ConfigArgs),

    /// Show which organization, endpoint and credential the commands use
    #[command(args_override_self = true)]
    Whoami(WhoamiArgs),

    /// Keep an API key, a token or an endpoint for the commands to use
    #[command(args_override_self = true, after_help = commands::login::EXAMPLES)]
    Login(LoginArgs),

    /// Delete the stored credentials
    #[command(args_override_self = true, after_help = commands::logout::EXAMPLES)]
    Logout(LogoutArgs),

    /// Open a page of the console in a browser
    #[command(args_override_self = true, after_help = commands::open::EXAMPLES)]
    Open(OpenArgs),

    /// Print the completion script of a shell
    #[command(args_override_self = true, after_help = commands::completions::INSTALL)]
    Completions(CompletionsArgs),
}

/// How a client command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with this exit code.
    Exit(u8),
    /// Not a client command: the binary answers it.
    ServerConfig(ServerConfigCommand),
    /// The binary knows its whole command line: it passes that to [`print_completions`].
    Completions(CompletionsArgs),
    /// A coding tool is ready: the binary hands over to it with [`ToolRun::start`].
    Tool(ToolRun),
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
pub fn run(mut command: ClientCommand, env: &Environment, io: &mut Io) -> Outcome {
    if let ClientCommand::Invites(args) = &mut command {
        args.adopt_document();
    }
    // Variables to evaluate and a file to keep stay what they are inside an agent's shell.
    let is_text = matches!(command, ClientCommand::Env(_) | ClientCommand::Export(_));
    let agent = env.is_agent() && !is_text;
    let output_args = match &command {
        ClientCommand::VirtualKeys(args) => &args.output,
        ClientCommand::ModelProvider(args) => &args.output,
        ClientCommand::Trace(args) => &args.output,
        ClientCommand::ApiKeys(args) => &args.output,
        ClientCommand::Projects(args) => &args.output,
        ClientCommand::Teams(args) => &args.output,
        ClientCommand::Groups(args) => &args.output,
        ClientCommand::Roles(args) => &args.output,
        ClientCommand::RoleBindings(args) => &args.output,
        ClientCommand::Members(args) => &args.output,
        ClientCommand::Invites(args) => &args.output,
        ClientCommand::Organization(args) => &args.output,
        ClientCommand::Organizations(args) => &args.output,
        ClientCommand::Apply(args) => &args.output,
        ClientCommand::Diff(args) => &args.output,
        ClientCommand::Export(args) => &args.output,
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
        ClientCommand::GatewayBudgets(args) => &args.output,
        ClientCommand::RoutingPolicies(args) => &args.output,
        ClientCommand::CacheRules(args) => &args.output,
        ClientCommand::Guardrails(args) => &args.output,
        ClientCommand::Audit(args) => &args.output,
        ClientCommand::Explain(args) => &args.output,
        ClientCommand::ModelPrices(args) => args.output(),
        ClientCommand::Completions(args) => return Outcome::Completions(*args),
        ClientCommand::Tool(tool) => return prepare_tool(tool, env, io),
        ClientCommand::Logout(args) => &args.output,
        ClientCommand::Open(args) => &args.output,
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

/// A tool has its own output, for people and for agents: what goes wrong before it starts is said to
/// people, on standard error.
fn prepare_tool(tool: &ToolCommand, env: &Environment, io: &mut Io) -> Outcome {
    let mut redactor = Redactor::default();
    let (output, ready) = match Output::of(&OutputArgs::default(), false) {
        Ok(output) => (output, Ok(())),
        Err((output, error)) => (output, Err(error)),
    };
    let result = ready.and_then(|()| {
        let mut context = Context::new(env, io, &output, &mut redactor)?;
        commands::tools::prepare(tool, &mut context)
    });
    match result {
        Ok(run) => Outcome::Tool(run),
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
        ClientCommand::ApiKeys(args) => commands::api_keys::run(args.command, &mut context),
        ClientCommand::Projects(args) => commands::projects::run(args.command, &mut context),
        ClientCommand::Teams(args) => commands::teams::run(args.command, &mut context),
        ClientCommand::Groups(args) => commands::groups::run(args.command, &mut context),
        ClientCommand::Roles(args) => commands::roles::run(args.command, &mut context),
        ClientCommand::RoleBindings(args) => {
            commands::role_bindings::run(args.command, &mut context)
        }
        ClientCommand::Members(args) => commands::members::run(args.command, &mut context),
        ClientCommand::Invites(args) => commands::invites::run(args.command, &mut context),
        ClientCommand::Organization(args) => {
            commands::organization::run(args.command, &mut context)
        }
        ClientCommand::Organizations(args) => commands::organizations::run(args, &mut context),
        ClientCommand::Apply(args) => commands::as_code::apply(&args, &mut context),
        ClientCommand::Diff(args) => commands::as_code::diff(&args, &mut context),
        ClientCommand::Export(args) => commands::as_code::export(&args, &mut context),
        ClientCommand::Env(args) => commands::env::run(&args, &mut context),
        ClientCommand::Config(args) => commands::config::run(args.command, &mut context),
        ClientCommand::Whoami(_) => commands::account::whoami(&mut context),
        ClientCommand::GatewayBudgets(args) => {
            commands::gateway_budgets::run(args.command, &mut context)
        }
        ClientCommand::RoutingPolicies(args) => {
            commands::routing_policies::run(args.command, &mut context)
        }
        ClientCommand::CacheRules(args) => commands::cache_rules::run(args.command, &mut context),
        ClientCommand::Guardrails(args) => commands::guardrails::run(args.command, &mut context),
        ClientCommand::Audit(args) => commands::audit::run(args.command, &mut context),
        ClientCommand::Explain(args) => commands::explain::run(&args, &mut context),
        ClientCommand::ModelPrices(args) => commands::model_prices::run(args.command, &mut context),
        // Answered in `run`: these two print no result.
        ClientCommand::Completions(_) | ClientCommand::Tool(_) => Ok(()),
        ClientCommand::Login(args) => commands::login::run(&args, &mut context),
        ClientCommand::Logout(args) => commands::logout::run(&args, &mut context),
        ClientCommand::Open(args) => commands::open::run(&args, &mut context),
    }
}
