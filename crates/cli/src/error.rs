//! The failures of a command, and the one place that prints them.

use std::io;

use thiserror::Error;

use crate::failure::Failure;
use crate::io::Io;
use crate::json::Json;
use crate::output::Output;
use crate::redact::Redactor;
use crate::style::Style;
use crate::table::{clean, details};

/// Why a command ends with exit code 1.
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
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The result is printed already, and it is a failure.
    #[error("the result is a failure")]
    Reported,
}

impl CliError {
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// Prints the failure. Every failure exits with 1.
    pub(crate) fn report(&self, io: &mut Io, output: &Output, redactor: &Redactor) -> u8 {
        let failure = match self {
            Self::Usage(sentence) => Failure::local("invalid_arguments", sentence.as_str()),
            Self::NotSignedIn => Failure::local("not_logged_in", self.to_string()),
            Self::Call { failure, .. } => (**failure).clone(),
            Self::Output(error) => {
                // A reader that left early (`| head`) knows that it did.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    io.complain(&format!("Error: {self}: {error}\n"));
                }
                return 1;
            }
            Self::Reported => return 1,
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
            let text = format!("{}\n{}", style.red(&headline), explanation(style, &failure));
            io.complain(&redactor.text(&text));
        }
        1
    }
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
