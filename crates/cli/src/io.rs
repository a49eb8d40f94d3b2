//! The two writers that everything printed goes through.

use std::fmt;
use std::io::{self, Write};

/// Where a command prints, and how.
pub struct Io {
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    stdout_is_terminal: bool,
    colour: bool,
}

impl Io {
    /// `colour` is the decision of
    /// [`Environment::wants_colour`](crate::Environment::wants_colour), unless the caller knows
    /// better.
    pub fn new(
        stdout: Box<dyn Write>,
        stderr: Box<dyn Write>,
        stdout_is_terminal: bool,
        colour: bool,
    ) -> Self {
        Self {
            stdout,
            stderr,
            stdout_is_terminal,
            colour,
        }
    }

    /// Whether a person watches stdout.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether to paint.
    pub fn colour(&self) -> bool {
        self.colour
    }

    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// A failure to complain is not worth another complaint: there is nowhere left to say it.
    pub(crate) fn complain(&mut self, text: &str) {
        let _ = self
            .stderr
            .write_all(text.as_bytes())
            .and_then(|()| self.stderr.flush());
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("stdout_is_terminal", &self.stdout_is_terminal)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}
