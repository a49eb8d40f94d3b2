//! The failures of a command, and the one place that prints them.

use std::io;

use thiserror::Error;

use crate::advice;
use crate::failure::Failure;
use crate::io::Io;
use crate::json::Json;
use crate::output::Output;
use crate::redact::Redactor;
use crate::style::Style;
use crate::table::{clean, details};

/// Why a command ends with another exit code than 0.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The person can put it right without asking a server.
    #[error("{0}")]
    Usage(String),
    #[error(
        "Not signed in. Run `langwatch login --api-key <key>` or set LANGWATCH_API_KEY to an API key."
    )]
    NotSignedIn,
    /// The server refused, or could not be reached.
    #[error("Failed to {action}: {}", failure.message)]
    Call {
        action: &'static str,
        failure: Box<Failure>,
    },
    /// Files that were given are wrong. One reason for each problem: `{code, message, file, line}`.
    #[error("{message}")]
    Invalid { message: String, reasons: Vec<Json> },
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The program to start is not on this machine.
    #[error("{0}")]
    NotInstalled(String),
    /// The result is printed already, and it is a failure.
    #[error("the result is a failure")]
    Reported,
}

impl CliError {
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// The failure in full; `None` for those that nobody has to be told of.
    fn failure(&self, output: &Output) -> Option<Failure> {
        Some(match self {
            Self::Usage(sentence) => Failure::local("invalid_arguments", sentence.as_str()),
            Self::NotSignedIn => not_signed_in(self, output),
            Self::Call { failure, .. } => (**failure).clone(),
            Self::Invalid { message, reasons } => {
                let mut failure = Failure::local("invalid_configuration", message.as_str());
                failure.reasons.clone_from(reasons);
                failure
            }
            Self::NotInstalled(sentence) => Failure::local("not_installed", sentence.as_str()),
            Self::Output(_) | Self::Reported => return None,
        })
    }

    /// The document that machine formats print.
    pub(crate) fn document(&self, output: &Output) -> Json {
        let other = || Failure::local("internal_error", self.to_string());
        self.failure(output).unwrap_or_else(other).document()
    }

    /// Prints the failure. Every failure exits with 1, but for a program that is not there: 127, as
    /// from a shell.
    pub(crate) fn report(&self, io: &mut Io, output: &Output, redactor: &Redactor) -> u8 {
        match self {
            Self::Output(error) => {
                // A reader that left early (`| head`) knows that it did.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    io.complain(&format!("Error: {self}: {error}\n"));
                }
                return 1;
            }
            Self::Reported => return 1,
            Self::Usage(_)
            | Self::NotSignedIn
            | Self::Call { .. }
            | Self::Invalid { .. }
            | Self::NotInstalled(_) => {}
        }
        let Some(failure) = self.failure(output) else {
            return 1;
        };
        let style = Style::new(io.colour() && !output.is_machine());
        let headline = match self {
            Self::Call { .. } => clean(&self.to_string()),
            _ => format!("Error: {self}"),
        };
        if output.is_machine() {
            let document = redactor.json(failure.document());
            // The summary on stderr stands even when stdout is gone.
            let _ = io.print(&output.encode(&document));
            io.complain(&format!("{}\n", redactor.text(&headline)));
        } else {
            let explanation = match self {
                Self::Invalid { reasons, .. } => problems(reasons),
                _ => explanation(style, &failure),
            };
            let text = format!("{}\n{explanation}", style.red(&headline));
            io.complain(&redactor.text(&text));
        }
        match self {
            Self::NotInstalled(_) => 127,
            _ => 1,
        }
    }
}

/// `file:line: what is wrong`, one line each.
fn problems(reasons: &[Json]) -> String {
    let text = |reason: &Json, name| reason.get(name).map(Json::display).unwrap_or_default();
    let lines = reasons.iter().map(|reason| {
        let (file, line) = (text(reason, "file"), text(reason, "line"));
        format!(
            "  {}\n",
            clean(&format!("{file}:{line}: {}", text(reason, "message")))
        )
    });
    lines.collect()
}

/// For a person the sentence itself names the way in; a program looks for it in its field.
fn not_signed_in(error: &CliError, output: &Output) -> Failure {
    let mut failure = Failure::local("not_logged_in", error.to_string());
    if output.is_machine() {
        failure.suggestions = advice::suggestions(&failure);
    }
    failure
}

/// The blocks under the headline; nothing for local failures.
fn explanation(style: Style, failure: &Failure) -> String {
    let mut out = String::new();
    if failure.status.is_some() || !failure.handled {
        let mut rows = vec![
            ("code", Some(clean(&failure.code))),
            ("status", failure.status.map(|status| status.to_string())),
            ("trace id", failure.trace_id.as_deref().map(clean)),
        ];
        rows.extend(
            failure
                .meta
                .iter()
                .map(|(k, v)| (k.as_str(), Some(clean(&v.display())))),
        );
        rows.extend(
            failure
                .reasons
                .iter()
                .map(|reason| ("caused by", Some(cause(reason)))),
        );
        out.push_str(&format!("{}\n", style.bold("Details:")));
        out.push_str(&details(style, 2, &rows));
    }
    if !failure.suggestions.is_empty() {
        out.push_str(&format!("{}\n", style.bold("Suggestions:")));
        for suggestion in &failure.suggestions {
            out.push_str(&format!("  • {}\n", clean(suggestion)));
        }
    }
    if let Some(url) = &failure.doc_url {
        out.push_str(&format!("{} {}\n", style.bold("Docs:"), clean(url)));
    }
    out
}

fn cause(reason: &Json) -> String {
    let text = match (reason.text("code"), reason.text("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => reason.display(),
    };
    clean(&text)
}
