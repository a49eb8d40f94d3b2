//! Prints what the argument parser has to say.
//!
//! Help and version are results: stdout, exit 0. Everything else is a failure: stderr, exit 1,
//! never the parser's own 2.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::io::Io;
use crate::redact::Redactor;

/// Prints the message with the closest suggestion, and returns the exit code.
pub fn render_clap_error(error: &clap::Error, io: &mut Io) -> u8 {
    render(error, io, false)
}

fn render(error: &clap::Error, io: &mut Io, help_follows: bool) -> u8 {
    let rendered = error.render();
    let text = if io.colour() {
        rendered.ansi().to_string()
    } else {
        rendered.to_string()
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => u8::from(io.print(&text).is_err()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            io.complain(&text);
            1
        }
        _ => {
            let text = rendered.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // The help says the usage again.
            let text = match text.split_once("\nUsage: ") {
                Some((message, _)) if help_follows => message,
                _ => text,
            };
            // The parser repeats what was typed, and that may be a key.
            io.complain(&Redactor::default().text(&format!("Error: {text}")));
            1
        }
    }
}

/// The same, followed by the help text of the command that was meant.
pub fn render_clap_error_with_help(error: &clap::Error, mut root: Command, io: &mut Io) -> u8 {
    let code = render(error, io, true);
    let is_message = !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_message {
        root.build();
        let usage = match error.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) => usage.to_string(),
            _ => String::new(),
        };
        let mut command = root;
        for word in usage
            .trim_start_matches("Usage:")
            .split_whitespace()
            .skip(1)
        {
            match command.find_subcommand(word) {
                Some(found) => command = found.clone(),
                None => break,
            }
        }
        io.complain(&format!("{}", command.render_help()));
    }
    code
}
