//! The two writers that everything printed goes through, and what is read back from a person.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::{Command, Stdio};

/// Longest document that a command reads from its input.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Where answers and documents come from.
enum Input {
    /// The input of this process.
    Process,
    Given(Box<dyn BufRead>),
}

/// Where a command prints, and how.
pub struct Io {
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    stdin: Input,
    stdin_is_terminal: bool,
    stdout_is_terminal: bool,
    colour: bool,
}

impl Io {
    /// Reads the input of this process, unless [`with_stdin`](Self::with_stdin) says otherwise.
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
            stdin: Input::Process,
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal,
            colour,
        }
    }

    /// Reads from `stdin`; `is_terminal` is whether a person types there.
    #[must_use]
    pub fn with_stdin(mut self, stdin: Box<dyn BufRead>, is_terminal: bool) -> Self {
        self.stdin = Input::Given(stdin);
        self.stdin_is_terminal = is_terminal;
        self
    }

    /// Whether a person watches stdout.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether to paint.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Whether a person reads what is printed and can answer a question.
    pub(crate) fn is_interactive(&self) -> bool {
        self.stdin_is_terminal && self.stdout_is_terminal
    }

    /// Asks on stderr, which stays visible when stdout goes elsewhere. `None` at the end of input.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        self.complain(question);
        let mut line = String::new();
        let read = match &mut self.stdin {
            Input::Process => io::stdin().lock().read_line(&mut line)?,
            Input::Given(stdin) => stdin.read_line(&mut line)?,
        };
        Ok((read > 0).then(|| line.trim().to_owned()))
    }

    /// The same, for a secret: the terminal does not show what is typed, where it can be told so.
    pub(crate) fn ask_hidden(&mut self, question: &str) -> io::Result<Option<String>> {
        let hidden = matches!(self.stdin, Input::Process) && self.stdin_is_terminal;
        let _echo = hidden.then(EchoOff::begin);
        let answer = self.ask(question);
        // The person's own line break was hidden too.
        self.complain("\n");
        answer
    }

    /// All of the input, as text.
    pub(crate) fn read_input(&mut self) -> io::Result<String> {
        let mut text = String::new();
        match &mut self.stdin {
            Input::Process => io::stdin()
                .lock()
                .take(MAX_INPUT_BYTES)
                .read_to_string(&mut text)?,
            Input::Given(stdin) => stdin.take(MAX_INPUT_BYTES).read_to_string(&mut text)?,
        };
        Ok(text)
    }

    /// Prints a result on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written to, for instance because nobody reads it any more.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
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

/// Switches the echo of the terminal off, and on again when dropped. Where there is no `stty`,
/// typing stays visible.
struct EchoOff;

impl EchoOff {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(mode: &str) {
    // It acts on the terminal that is its input. A failure leaves the terminal as it is.
    let _ = Command::new("stty")
        .arg(mode)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("stdout_is_terminal", &self.stdout_is_terminal)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}
