//! Secrets on their way in, by reference, and on their way out, once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config_file::replace;
use crate::environment::Environment;
use crate::error::CliError;
use crate::json::Json;

/// The secret behind a reference, or a sentence that does not hold it.
pub(super) fn open(reference: &Json, folder: &Path, env: &Environment) -> Result<String, String> {
    if let Some(name) = reference.text("from_env") {
        let value = env.variable(name).unwrap_or_default().trim();
        if value.is_empty() {
            return Err(format!(
                "needs the environment variable {name}, which is not set"
            ));
        }
        return Ok(value.to_owned());
    }
    let file = reference.text("from_file").unwrap_or_default();
    match fs::read_to_string(folder.join(file)) {
        Ok(text) if text.trim().is_empty() => Err(format!("needs the file {file}, which is empty")),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!(
            "needs the file {file}, which cannot be read: {error}"
        )),
    }
}

/// What a reference says, for a person.
pub(super) fn origin(reference: &Json) -> String {
    match (reference.text("from_env"), reference.text("from_file")) {
        (Some(name), _) => format!("(secret from the variable {name})"),
        (None, Some(file)) => format!("(secret from the file {file})"),
        (None, None) => super::compare::SECRET.to_owned(),
    }
}

/// What a secrets file holds; `None` when the file is something else, which must not be overwritten.
fn kept(text: &str) -> Option<Json> {
    let content = Json::parse(text).ok()?;
    let is_ours = |fields: &[(String, Json)]| fields.iter().all(|(_, v)| v.as_str().is_some());
    matches!(&content, Json::Object(fields) if is_ours(fields)).then_some(content)
}

/// The secrets of new keys, by label, and the file they go to.
pub(super) struct Minted {
    path: Option<PathBuf>,
    named: String,
    content: Json,
    fresh: Json,
    /// Why the file could not be written; the secrets are printed instead.
    failed: Option<String>,
    existed: bool,
}

impl Minted {
    /// Secrets that are printed at the end.
    pub(super) fn printed() -> Self {
        Self {
            path: None,
            named: String::new(),
            content: Json::Object(Vec::new()),
            fresh: Json::Object(Vec::new()),
            failed: None,
            existed: false,
        }
    }

    /// Secrets that go to a file, written now so that no key is minted in vain. With `force` an
    /// existing file keeps its other entries: they may be the only copy. A file of another kind is
    /// refused.
    pub(super) fn to_file(env: &Environment, named: &str, force: bool) -> Result<Self, CliError> {
        let path = env.working_dir().join(named);
        let existing = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(CliError::usage(format!("Cannot read {named}: {error}."))),
        };
        if existing.is_some() && !force {
            return Err(CliError::usage(format!(
                "The secrets file {named} exists. Name another one, or give --force to add the new secrets to it."
            )));
        }
        let content = match existing.as_deref().map(str::trim) {
            None | Some("") => Json::Object(Vec::new()),
            Some(text) => kept(text).ok_or_else(|| {
                CliError::usage(format!(
                    "{named} is no secrets file (JSON from name to secret), so nothing can be added to it. Name another one."
                ))
            })?,
        };
        let minted = Self {
            path: Some(path),
            named: named.to_owned(),
            content,
            existed: existing.is_some(),
            ..Self::printed()
        };
        minted.write().map_err(|error| {
            CliError::usage(format!("Cannot write the secrets file {named}: {error}."))
        })?;
        Ok(minted)
    }

    pub(super) fn add(&mut self, label: &str, secret: &str) {
        self.fresh.set(label, secret.into());
        self.content.set(label, secret.into());
        if let Err(error) = self.write() {
            self.failed = Some(format!(
                "The secrets file {} cannot be written: {error}. The secrets are printed instead.",
                self.named
            ));
        }
    }

    /// Leaves no empty file behind.
    pub(super) fn finish(&self) {
        if let Some(path) = &self.path
            && !self.existed
            && self.fresh.fields().is_empty()
        {
            // An empty file that stays is no harm.
            let _ = fs::remove_file(path);
        }
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// What must be printed: nothing when the file holds it.
    pub(super) fn to_print(&self) -> Option<&Json> {
        let kept = self.path.is_some() && self.failed.is_none();
        (!kept && !self.fresh.fields().is_empty()).then_some(&self.fresh)
    }

    /// The file, when it holds something new.
    pub(super) fn file(&self) -> Option<&str> {
        let kept = self.path.is_some() && self.failed.is_none();
        (kept && !self.fresh.fields().is_empty()).then_some(self.named.as_str())
    }

    fn write(&self) -> io::Result<()> {
        match &self.path {
            Some(path) => replace(path, format!("{}\n", self.content.pretty()).as_bytes()),
            None => Ok(()),
        }
    }
}
