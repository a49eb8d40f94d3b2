//! `completions`: what a shell needs to complete the commands.
//!
//! The binary knows commands that this crate does not, so it passes its whole command line in.

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::io::Io;

pub(crate) const INSTALL: &str = "\
Install:
  bash        langwatch completions bash > ~/.local/share/bash-completion/completions/langwatch
  zsh         langwatch completions zsh > ~/.zfunc/_langwatch
              with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  fish        langwatch completions fish > ~/.config/fish/completions/langwatch.fish
  powershell  langwatch completions powershell >> $PROFILE
  elvish      langwatch completions elvish >> ~/.config/elvish/rc.elv
Open a new shell afterwards. After an upgrade, run the same command again.";

/// The flags of `completions`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_name = "SHELL", ignore_case = true)]
    shell: Shell,

    /// Name that you call the binary by
    #[arg(
        long,
        value_name = "NAME",
        ignore_case = true,
        default_value = "langwatch"
    )]
    name: BinaryName,
}

/// The names that the binary is installed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BinaryName {
    Langwatch,
    Lw,
}

/// Prints the completion script of the whole command line, and returns the exit code.
pub fn print_completions(args: CompletionsArgs, mut root: Command, io: &mut Io) -> u8 {
    let CompletionsArgs { shell, name } = args;
    let name = match name {
        BinaryName::Langwatch => "langwatch",
        BinaryName::Lw => "lw",
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut root, name, &mut script);
    match io.print(&String::from_utf8_lossy(&script)) {
        Ok(()) => 0,
        // A reader that left early (`| head`) knows that it did.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 1,
        Err(error) => {
            io.complain(&format!("Error: cannot write the output: {error}\n"));
            1
        }
    }
}
