//! `env`: the variables that point AI tools at the gateway.

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

pub(crate) const EXAMPLES: &str = "\
Examples:
  eval \"$(langwatch env --key vk-lw-...)\"
  langwatch env --shell fish | source
  langwatch env --shell pwsh | Out-String | Invoke-Expression";

/// The flags of `env`.
#[derive(Args, Debug)]
pub struct EnvArgs {
    /// Shell that reads the result
    #[arg(long, value_name = "SHELL", default_value = "bash", ignore_case = true)]
    shell: Shell,

    /// Virtual key to use (default: LANGWATCH_VIRTUAL_KEY, then your personal key)
    #[arg(long, value_name = "VIRTUAL_KEY")]
    key: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Pwsh,
}

pub(crate) fn run(args: &EnvArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let key = args
        .key
        .as_deref()
        .map(str::trim)
        .or_else(|| context.variables.get("LANGWATCH_VIRTUAL_KEY"))
        .or_else(|| context.config.text(&["default_personal_vk", "secret"]))
        .ok_or_else(|| {
            CliError::usage(
                "There is no virtual key to print. Create one with `langwatch virtual-keys create \
                 --name <name>`, then pass its secret with --key or LANGWATCH_VIRTUAL_KEY.",
            )
        })?;
    // Any other key (an API key, say) would be handed to every tool in this shell.
    let plausible = key.starts_with("vk-lw-") && !key.contains(char::is_whitespace);
    if !plausible {
        return Err(CliError::usage(
            "This is not a virtual key: they begin with vk-lw-.",
        ));
    }
    let gateway = context.gateway_url()?;
    let openai = format!("{gateway}/v1");
    let variables = [
        ("OPENAI_BASE_URL", openai.as_str()),
        ("OPENAI_API_KEY", key),
        ("ANTHROPIC_BASE_URL", &gateway),
        ("ANTHROPIC_API_KEY", key),
        ("ANTHROPIC_AUTH_TOKEN", key),
        ("GOOGLE_GEMINI_BASE_URL", &gateway),
        ("GEMINI_API_KEY", key),
    ];
    let text = if context.output.is_machine() {
        context.output.render(Json::object(
            variables.map(|(name, value)| (name, value.into())),
        ))
    } else {
        variables
            .iter()
            .map(|(name, value)| args.shell.line(name, value))
            .collect()
    };
    // The key is the point of this command: it is printed as it is.
    context.print_as_is(&text)
}

impl Shell {
    fn line(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
            Self::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}'\n")
            }
            Self::Pwsh => format!("$env:{name} = '{}'\n", value.replace('\'', "''")),
        }
    }
}
