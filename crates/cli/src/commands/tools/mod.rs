//! `claude`, `codex`, `gemini`, `opencode`: a coding tool, pointed at the gateway.
//!
//! A wrapper finds a virtual key and the gateway, asks the gateway whether it takes the key, and
//! hands over to the tool. What stands behind the flags of the wrapper is the tool's and is never
//! read but to learn which model it names. What a tool needs travels in its variables and arguments,
//! and ends with it; one choice of Gemini CLI excepted ([`gemini_settings`]). Start at [`prepare`];
//! what each tool needs is [`tool`].

mod gemini_settings;
mod launch;
mod preflight;
mod tool;

use std::ffi::OsString;

use clap::{Args, Subcommand};

pub use self::launch::ToolRun;
use self::preflight::Verdict;
use self::tool::Tool;
use crate::context::Context;
use crate::error::CliError;
use crate::tool_key::{self, Source, ToolKey};

const CLAUDE_EXAMPLES: &str = "\
Everything else goes to Claude Code as it is. `--` ends the flags above.

Examples:
  langwatch claude
  langwatch claude -p \"explain this repository\"
  langwatch claude --model gpt-5-mini
  langwatch claude --mint --model sonnet";

const CODEX_EXAMPLES: &str = "\
Everything else goes to Codex as it is. `--` ends the flags above.

Examples:
  langwatch codex
  langwatch codex exec \"explain this repository\"
  langwatch codex -m claude-sonnet-4-5";

const GEMINI_EXAMPLES: &str = "\
Everything else goes to Gemini CLI as it is. `--` ends the flags above.

Examples:
  langwatch gemini
  langwatch gemini -p \"explain this repository\"
  langwatch gemini -m gemini-2.5-flash";

const OPENCODE_EXAMPLES: &str = "\
Everything else goes to opencode as it is. `--` ends the flags above. Its models are those that the
virtual key reaches, named langwatch/<model>.

Examples:
  langwatch opencode
  langwatch opencode run -m langwatch/gpt-5-mini \"explain this repository\"";

/// The coding tools that can be run through the gateway.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Run Claude Code through the gateway
    #[command(disable_help_flag = true, after_help = CLAUDE_EXAMPLES)]
    Claude(ToolArgs),

    /// Run Codex through the gateway
    #[command(disable_help_flag = true, after_help = CODEX_EXAMPLES)]
    Codex(ToolArgs),

    /// Run Gemini CLI through the gateway
    #[command(disable_help_flag = true, after_help = GEMINI_EXAMPLES)]
    Gemini(ToolArgs),

    /// Run opencode through the gateway
    #[command(disable_help_flag = true, after_help = OPENCODE_EXAMPLES)]
    Opencode(ToolArgs),
}

/// The flags of a wrapper, and what is not its own.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub struct ToolArgs {
    /// Virtual key to use (default: LANGWATCH_VIRTUAL_KEY, then the key that --mint kept)
    #[arg(long, value_name = "VIRTUAL_KEY")]
    virtual_key: Option<String>,

    /// Where there is no key yet, or the kept one is refused, create one and keep it in the
    /// configuration file
    #[arg(long)]
    mint: bool,

    /// Arguments of the tool, from the first one that is not a flag above
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    arguments: Vec<OsString>,
}

impl ToolCommand {
    fn parts(&self) -> (Tool, &ToolArgs) {
        match self {
            Self::Claude(args) => (Tool::Claude, args),
            Self::Codex(args) => (Tool::Codex, args),
            Self::Gemini(args) => (Tool::Gemini, args),
            Self::Opencode(args) => (Tool::Opencode, args),
        }
    }
}

/// Everything up to the start of the tool.
///
/// # Errors
/// The tool is not installed, there is no key, or the gateway refuses it. A gateway that cannot be
/// asked is no error: the tool has its own patience.
pub(crate) fn prepare(
    command: &ToolCommand,
    context: &mut Context<'_>,
) -> Result<ToolRun, CliError> {
    let (tool, args) = command.parts();
    let program = launch::find(context.env, tool.program())
        .ok_or_else(|| CliError::NotInstalled(tool.not_installed()))?;
    let key = tool_key::find(context, args.virtual_key.as_deref(), args.mint)?;
    let gateway = context.find_gateway_url()?;
    let (key, models) = admitted(tool, args, context, &gateway, key)?;
    let plan = tool.plan(context, &gateway, &key.secret, &args.arguments, &models)?;
    Ok(ToolRun::new(program, plan, &args.arguments))
}

/// The key that the gateway takes, and the models that it names.
fn admitted(
    tool: Tool,
    args: &ToolArgs,
    context: &mut Context<'_>,
    gateway: &str,
    key: ToolKey,
) -> Result<(ToolKey, Vec<String>), CliError> {
    let mut key = key;
    let mut verdict = preflight::ask(context.env, gateway, &key.secret)?;
    let may_mint = args.mint && key.source == Source::Kept;
    if may_mint && matches!(&verdict, Verdict::Refused(failure) if failure.status != Some(404)) {
        key = tool_key::mint(context)?;
        verdict = preflight::ask(context.env, gateway, &key.secret)?;
    }
    match verdict {
        Verdict::Models(models) => Ok((key, models)),
        Verdict::Unknown(why) => {
            context.summary(&format!(
                "Could not ask {gateway} about the virtual key ({why}). Starting {} all the same.",
                tool.name()
            ));
            Ok((key, Vec::new()))
        }
        Verdict::Refused(mut failure) => {
            failure.suggestions = vec![preflight::remedy(&failure, key.source)];
            let action = tool.start();
            Err(CliError::Call { action, failure })
        }
    }
}
