//! What a client command knows of the process: variables, folders, the time, how to wait.
//!
//! All of it is handed in, so that a command is a function of its inputs. This crate never asks
//! the operating system for a variable or for the time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Variables whose presence says that an agent, not a person, reads the output.
const AGENT_VARIABLES: [&str; 7] = [
    "CLAUDECODE",
    "CLAUDE_CODE",
    "CURSOR_AGENT",
    "GITHUB_COPILOT",
    "AMAZON_Q",
    "LW_AGENT_MODE",
    "LANGWATCH_AGENT_MODE",
];

/// Starts a program with its arguments and does not wait for it.
type Launcher = Box<dyn Fn(&str, &[&str]) -> io::Result<()>>;

/// The surroundings of one run.
pub struct Environment {
    variables: BTreeMap<String, String>,
    working_dir: PathBuf,
    home: Option<PathBuf>,
    now_ms: i64,
    pause: Box<dyn Fn(Duration)>,
    launch: Launcher,
}

impl Environment {
    /// `now_ms` is the wall clock in milliseconds since 1970. Waiting (after a 429) sleeps the
    /// thread unless [`with_pause`](Self::with_pause) says otherwise.
    pub fn new(
        variables: BTreeMap<String, String>,
        working_dir: PathBuf,
        home: Option<PathBuf>,
        now_ms: i64,
    ) -> Self {
        Self {
            variables,
            working_dir,
            home,
            now_ms,
            pause: Box::new(std::thread::sleep),
            launch: Box::new(spawn),
        }
    }

    /// Starts programs (a browser) with `launch` instead of as processes.
    #[must_use]
    pub fn with_launcher(
        mut self,
        launch: impl Fn(&str, &[&str]) -> io::Result<()> + 'static,
    ) -> Self {
        self.launch = Box::new(launch);
        self
    }

    /// Waits with `pause` instead of sleeping.
    #[must_use]
    pub fn with_pause(mut self, pause: impl Fn(Duration) + 'static) -> Self {
        self.pause = Box::new(pause);
        self
    }

    /// Whether one of the agent variables is set, and not to empty, `0` or `false`.
    pub fn is_agent(&self) -> bool {
        AGENT_VARIABLES.iter().any(|name| {
            self.variable(name).is_some_and(|value| {
                let value = value.trim();
                !value.is_empty() && value != "0" && !value.eq_ignore_ascii_case("false")
            })
        })
    }

    /// The colour decision for [`Io`](crate::Io): `NO_COLOR`, then `FORCE_COLOR`, then the
    /// terminal; never for agents.
    pub fn wants_colour(&self, stdout_is_terminal: bool) -> bool {
        let set = |name| self.variable(name).is_some_and(|value| !value.is_empty());
        if self.is_agent() || set("NO_COLOR") {
            return false;
        }
        match self.variable("FORCE_COLOR") {
            Some("0" | "false") => false,
            Some(value) if !value.is_empty() => true,
            _ => stdout_is_terminal && self.variable("TERM") != Some("dumb"),
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(crate) fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(crate) fn pause(&self, time: Duration) {
        (self.pause)(time);
    }

    pub(crate) fn launch(&self, program: &str, arguments: &[&str]) -> io::Result<()> {
        (self.launch)(program, arguments)
    }
}

fn spawn(program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().map(drop)
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("working_dir", &self.working_dir)
            .field("home", &self.home)
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}

/// Where a `LANGWATCH_*` value was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Origin {
    Environment,
    DotEnv,
}

/// The `LANGWATCH_*` settings: the environment, then the `.env` file of the working folder.
pub(crate) struct Variables {
    found: BTreeMap<String, (String, Origin)>,
}

impl Variables {
    pub(crate) fn load(env: &Environment) -> Self {
        let mut found = BTreeMap::new();
        if let Ok(bytes) = fs::read(env.working_dir.join(".env")) {
            for (name, value) in dotenv_entries(&String::from_utf8_lossy(&bytes)) {
                found.insert(name, (value, Origin::DotEnv));
            }
        }
        // Whatever is set wins, an empty value too: that is how a shell switches a `.env` line off.
        for (name, value) in &env.variables {
            if name.starts_with("LANGWATCH_") {
                found.insert(name.clone(), (value.clone(), Origin::Environment));
            }
        }
        Self { found }
    }

    /// The trimmed value; `None` when unset or blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lookup(name).map(|(value, _)| value)
    }

    /// The same, with its origin.
    pub(crate) fn lookup(&self, name: &str) -> Option<(&str, Origin)> {
        let (value, origin) = self.found.get(name)?;
        let value = value.trim();
        (!value.is_empty()).then_some((value, *origin))
    }
}

/// The `LANGWATCH_*` lines of a `.env` file, in order.
fn dotenv_entries(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = dotenv_name(line)?;
            Some((name.to_owned(), dotenv_value(value)))
        })
        .collect()
}

/// Splits a `LANGWATCH_…=…` line; `None` for every other line.
pub(crate) fn dotenv_name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    name.starts_with("LANGWATCH_").then_some((name, value))
}

fn dotenv_value(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|v| v.split_once(quote)) {
            return inner.to_owned();
        }
    }
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Environment, dotenv_entries};

    fn env(vars: &[(&str, &str)]) -> Environment {
        let vars = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Environment::new(vars, "/nowhere".into(), None, 0)
    }

    #[test]
    fn dotenv_reads_only_our_names() {
        let text = "# note\nOPENAI_API_KEY=x\nexport LANGWATCH_API_KEY=\"a b\" # why\n\
                    LANGWATCH_ENDPOINT = http://x:1 # c\nLANGWATCH_PROJECT_ID='p#1'\n";
        let expected = [
            ("LANGWATCH_API_KEY", "a b"),
            ("LANGWATCH_ENDPOINT", "http://x:1"),
            ("LANGWATCH_PROJECT_ID", "p#1"),
        ];
        let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        assert_eq!(dotenv_entries(text), expected);
    }

    #[test]
    fn agent_variables_can_be_switched_off() {
        assert!(env(&[("CLAUDECODE", "1")]).is_agent());
        for off in ["", "0", "false", "False"] {
            assert!(!env(&[("CLAUDECODE", off)]).is_agent(), "{off:?}");
        }
    }

    #[test]
    fn colour_follows_the_usual_variables() {
        assert!(env(&[]).wants_colour(true));
        assert!(!env(&[]).wants_colour(false));
        assert!(!env(&[("NO_COLOR", "1"), ("FORCE_COLOR", "1")]).wants_colour(true));
        assert!(env(&[("FORCE_COLOR", "1")]).wants_colour(false));
        assert!(!env(&[("CLAUDECODE", "1")]).wants_colour(true));
    }

    #[test]
    fn debug_shows_no_values() {
        let text = format!("{:?}", env(&[("LANGWATCH_API_KEY", "hidden-value")]));
        assert!(text.contains("LANGWATCH_API_KEY") && !text.contains("hidden-value"));
    }
}
