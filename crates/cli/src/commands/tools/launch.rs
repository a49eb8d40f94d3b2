//! A tool that is ready to start, and how it starts.
//!
//! On Unix the tool takes the place of this process: it has the terminal, every signal and the exit
//! code to itself. Elsewhere this process waits for it. The variables hold a virtual key, so they
//! are never shown. Start at [`ToolRun::start`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool::Plan;
use crate::environment::Environment;
use crate::io::Io;

/// From a shell: found, but not to be started.
const CANNOT_START: u8 = 126;

/// A program with its arguments and what changes among its variables.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolRun {
    program: PathBuf,
    arguments: Vec<OsString>,
    set: Vec<(&'static str, String)>,
    unset: &'static [&'static str],
}

impl ToolRun {
    pub(super) fn new(program: PathBuf, plan: Plan, arguments: &[OsString]) -> Self {
        let Plan { before, set, unset } = plan;
        let before = before.into_iter().map(OsString::from);
        Self {
            program,
            arguments: before.chain(arguments.iter().cloned()).collect(),
            set,
            unset,
        }
    }

    /// What the operating system is asked to run.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for name in self.unset {
            command.env_remove(name);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Hands over to the tool. Comes back only when that fails, or, where a process cannot be
    /// replaced, when the tool has ended; with the exit code.
    pub fn start(&self, io: &mut Io) -> u8 {
        match hand_over(self.command()) {
            Ok(code) => code,
            Err(error) => {
                let program = self.program.display();
                io.complain(&format!("Error: Cannot start {program}: {error}.\n"));
                CANNOT_START
            }
        }
    }
}

impl fmt::Debug for ToolRun {
    /// Names of variables only: one of the values is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.set.iter().map(|(name, _)| *name).collect();
        f.debug_struct("ToolRun")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("set", &names)
            .field("unset", &self.unset)
            .finish()
    }
}

#[cfg(unix)]
fn hand_over(mut command: Command) -> io::Result<u8> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn hand_over(mut command: Command) -> io::Result<u8> {
    let code = command.status()?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The program of this name in the first folder of `PATH` that has it.
pub(super) fn find(env: &Environment, program: &str) -> Option<PathBuf> {
    let folders = env.variable("PATH")?;
    std::env::split_paths(OsStr::new(folders))
        .map(|folder| env.working_dir().join(folder))
        .flat_map(|folder| NAMES.map(|ending| folder.join(format!("{program}{ending}"))))
        .find(|path| can_run(path))
}

#[cfg(unix)]
const NAMES: [&str; 1] = [""];

#[cfg(not(unix))]
const NAMES: [&str; 3] = [".exe", ".cmd", ""];

#[cfg(unix)]
fn can_run(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn can_run(path: &Path) -> bool {
    path.is_file()
}
