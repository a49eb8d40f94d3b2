//! `env`: the variables that point AI tools at the gateway.

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::tool_key;

pub(crate) const EXAMPLES: &str = "\
Examples:
  eval \"$(langwatch env --key vk-lw-...)\"
  eval \"$(langwatch env --mint)\"
  langwatch env --shell fish | source
  langwatch env --shell pwsh | Out-String | Invoke-Expression";

/// The flags of `env`.
#[derive(Args, Debug)]
pub struct EnvArgs {
    /// Shell that reads the result
    #[arg(long, value_name = "SHELL", default_value = "bash", ignore_case = true)]
    shell: Shell,

    /// Virtual key to use (default: LANGWATCH_VIRTUAL_KEY, then the key that --mint kept)
    #[arg(long, visible_alias = "virtual-key", value_name = "VIRTUAL_KEY")]
    key: Option<String>,

    /// Where there is no key yet, create one and keep it in the configuration file
    #[arg(long)]
    mint: bool,

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
    let found = tool_key::find(context, args.key.as_deref(), args.mint)?;
    let key = found.secret.as_str();
    let gateway = context.find_gateway_url()?;
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
