//! The one choice that Gemini CLI reads from its settings alone: that it is to use a key.
//!
//! With the address of a gateway and no choice, it picks a way to sign in that it then refuses
//! ("Invalid auth method selected"). Settings of the machine would do, but it trusts those of the
//! administrator only. So the choice is written where its own dialog writes it, once, and only where
//! there is none: a choice of the person is never replaced. Start at [`choose_key`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config_file::replace;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// The way to sign in that takes `GEMINI_API_KEY`.
const KEY: &str = "gemini-api-key";

/// Where the choice stands.
const CHOICE: &str = "security.auth.selectedType";

/// Makes sure that Gemini CLI will use its key.
///
/// # Errors
/// The person chose otherwise: Gemini CLI would go past the gateway. Or the file cannot be written.
pub(super) fn choose_key(context: &mut Context<'_>) -> Result<(), CliError> {
    let home = context.env.variable("GEMINI_CLI_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| context.env.home().map(Path::to_owned)) else {
        return Ok(());
    };
    let path = home.join(".gemini").join("settings.json");
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
        Err(error) => return Err(CliError::usage(format!("Cannot read {shown}: {error}."))),
    };
    let Ok(mut settings @ Json::Object(_)) = Json::parse(&text) else {
        context.summary(&format!(
            "Note: {shown} holds more than plain JSON and is left alone. Set \"{CHOICE}\" in it to \
             \"{KEY}\"."
        ));
        return Ok(());
    };
    // The second is where older versions keep it.
    let chosen = settings
        .at(&["security", "auth", "selectedType"])
        .or_else(|| settings.get("selectedAuthType"))
        .and_then(Json::as_str);
    match chosen {
        Some(KEY) => return Ok(()),
        Some(other) => {
            return Err(CliError::usage(format!(
                "Gemini CLI is set to sign in with \"{other}\", past the gateway. Choose \"Use Gemini \
                 API Key\" with /auth in Gemini CLI, or set \"{CHOICE}\" in {shown} to \"{KEY}\"."
            )));
        }
        None => {}
    }
    let inner = |value: Option<Json>| match value {
        Some(value @ Json::Object(_)) => value,
        _ => Json::Object(Vec::new()),
    };
    let mut security = inner(settings.take("security"));
    let mut auth = inner(security.take("auth"));
    auth.set("selectedType", KEY.into());
    security.set("auth", auth);
    settings.set("security", security);
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| replace(&path, format!("{}\n", settings.pretty()).as_bytes()))
        .map_err(|error| CliError::usage(format!("Cannot write {shown}: {error}.")))?;
    context.summary(&format!("Set \"{CHOICE}\" in {shown} to \"{KEY}\"."));
    Ok(())
}
