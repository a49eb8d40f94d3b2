//! `config`: the settings that the client keeps. `check` and `print` are the server's.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::credentials::base_url;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::table::Table;

/// The `config` group.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// The `config` subcommands.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Keep a setting of the client commands: endpoint, gateway-url or daemon
    Set {
        /// endpoint, gateway-url or daemon
        key: String,
        /// An absolute http or https URL; on or off for daemon
        value: String,
    },
    /// Print the value that is in force
    Get {
        /// endpoint, gateway-url or daemon
        key: String,
    },
    /// List the settings of the client commands
    List,
    /// Check the configuration of the server and exit
    Check,
    /// Print the configuration of the server with its secrets hidden
    Print,
}

#[derive(Clone, Copy)]
enum Key {
    Endpoint,
    GatewayUrl,
    Daemon,
}

impl Key {
    const ALL: [Self; 3] = [Self::Endpoint, Self::GatewayUrl, Self::Daemon];

    fn parse(text: &str) -> Result<Self, CliError> {
        Self::ALL
            .into_iter()
            .find(|key| key.name() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                CliError::usage(format!("Unknown key \"{text}\". Supported keys: {known}."))
            })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::GatewayUrl => "gateway-url",
            Self::Daemon => "daemon",
        }
    }

    /// The field of the file.
    fn field(self) -> &'static str {
        match self {
            Self::Endpoint => "control_plane_url",
            Self::GatewayUrl => "gateway_url",
            Self::Daemon => "daemon",
        }
    }

    fn value(self, text: &str) -> Result<String, CliError> {
        match self {
            Self::Endpoint | Self::GatewayUrl => base_url(self.name(), text),
            Self::Daemon => match text.to_ascii_lowercase().as_str() {
                value @ ("on" | "off") => Ok(value.to_owned()),
                _ => Err(CliError::usage(format!(
                    "daemon must be on or off, not \"{text}\"."
                ))),
            },
        }
    }

    /// What is in force, after environment, file and defaults.
    fn resolved(self, context: &Context<'_>) -> Result<String, CliError> {
        match self {
            Self::Endpoint => context.endpoint(),
            Self::GatewayUrl => context.gateway_url(),
            // This client runs none, so off unless somebody says on.
            Self::Daemon => Ok(match context.config.get("daemon") {
                Some(Json::String(text)) if text == "on" => "on",
                Some(Json::Bool(true)) => "on",
                _ => "off",
            }
            .to_owned()),
        }
    }
}

pub(crate) fn run(command: ConfigCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ConfigCommand::Set { key, value } => set(context, &key, &value),
        ConfigCommand::Get { key } => {
            let value = Key::parse(&key)?.resolved(context)?;
            context.show(value.into(), |value, _| format!("{}\n", value.display()))
        }
        ConfigCommand::List => list(context),
        // The caller took these two out; here there is nothing to do for them.
        ConfigCommand::Check | ConfigCommand::Print => Ok(()),
    }
}

fn set(context: &mut Context<'_>, key: &str, value: &str) -> Result<(), CliError> {
    let key = Key::parse(key)?;
    let value = key.value(value)?;
    context.config.set(key.field(), value.as_str().into());
    let path = context.config.save()?.display().to_string();
    let result = Json::object([("key", key.name().into()), ("value", value.into())]);
    context.show(result, |result, style| {
        let value = result.text("value").unwrap_or_default();
        format!(
            "{} {} is {value} (kept in {path})\n",
            style.green("✓"),
            key.name()
        )
    })
}

fn list(context: &mut Context<'_>) -> Result<(), CliError> {
    let mut settings = Json::Object(Vec::new());
    for key in Key::ALL {
        settings.set(key.name(), key.resolved(context)?.into());
    }
    context.show(settings, |settings, style| {
        let mut table = Table::new(["Key", "Value"]);
        for (key, value) in settings.fields() {
            table.row([key.clone(), value.display()]);
        }
        table.render(style)
    })
}
