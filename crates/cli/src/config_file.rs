//! The client's own configuration file, `~/.langwatch/config.json`.
//!
//! Shared with the official client, so fields that this one does not know survive every write.
//! Written whole, to a neighbour that replaces the file: a reader never sees half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::environment::{Environment, Variables};
use crate::error::CliError;
use crate::json::Json;

/// The file's content, and where it goes back to.
pub(crate) struct ConfigFile {
    path: Option<PathBuf>,
    /// The folder is ours alone, and may be closed to others.
    own_folder: bool,
    content: Json,
}

impl ConfigFile {
    pub(crate) fn load(env: &Environment, variables: &Variables) -> Result<Self, CliError> {
        let named = variables
            .get("LANGWATCH_CLI_CONFIG")
            .map(|path| env.working_dir().join(path));
        let own_folder = named.is_none();
        let path = named.or_else(|| Some(env.home()?.join(".langwatch").join("config.json")));
        let empty = Json::Object(Vec::new());
        let mut content = match path.as_deref().map(fs::read_to_string) {
            None => empty,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => empty,
            Some(Err(error)) => return Err(unusable(path.as_deref(), &error.to_string())),
            Some(Ok(text)) if text.trim().is_empty() => empty,
            Some(Ok(text)) => match Json::parse(&text) {
                Ok(value @ Json::Object(_)) => value,
                Ok(_) => return Err(unusable(path.as_deref(), "it is no JSON object")),
                Err(error) => return Err(unusable(path.as_deref(), &error.to_string())),
            },
        };
        let secret = content
            .at(&["default_personal_vk", "secret"])
            .and_then(Json::as_str);
        if !secret.is_some_and(|secret| secret.starts_with("vk-lw-")) {
            content.take("default_personal_vk");
        }
        Ok(Self {
            path,
            own_folder,
            content,
        })
    }

    /// The non-blank text at a path of fields.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        let text = self.content.at(path)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        self.content.get(key)
    }

    pub(crate) fn set(&mut self, key: &str, value: Json) {
        self.content.set(key, value);
    }

    /// Removes a field from what the next save writes.
    pub(crate) fn take(&mut self, key: &str) -> Option<Json> {
        self.content.take(key)
    }

    /// Writes the file and says where.
    pub(crate) fn save(&self) -> Result<&Path, CliError> {
        let Some(path) = self.path.as_deref() else {
            return Err(CliError::usage(
                "There is no home folder to keep the configuration in. Set LANGWATCH_CLI_CONFIG to a file.",
            ));
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        make_private_folder(folder, self.own_folder)
            .and_then(|()| replace(path, format!("{}\n", self.content.pretty()).as_bytes()))
            .map_err(|error| {
                CliError::usage(format!("Cannot write {}: {error}.", path.display()))
            })?;
        Ok(path)
    }
}

/// Replaces a file by one that only its owner reads.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // A link (dotfile managers make them) keeps pointing where it points.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let neighbour = path.with_file_name(name);
    let written = private_file(&neighbour).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&neighbour, &path)
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&neighbour);
    }
    written
}

fn unusable(path: Option<&Path>, cause: &str) -> CliError {
    let path = path
        .unwrap_or(Path::new("the configuration file"))
        .display();
    CliError::usage(format!(
        "Cannot read {path}: {cause}. Repair or delete the file."
    ))
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

#[cfg(unix)]
fn make_private_folder(folder: &Path, own: bool) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    if own {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    } else {
        Ok(())
    }
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path, _own: bool) -> io::Result<()> {
    fs::create_dir_all(folder)
}
