//! `whoami` and `login`: who the commands act as.

use std::fs;
use std::io::ErrorKind;

use clap::Args;
use ureq::http::Method;

use super::bare;
use super::virtual_key_view::optional;
use crate::client::{Headers, Request};
use crate::config_file::replace;
use crate::context::Context;
use crate::credentials::{TokenKind, base_url};
use crate::environment::{Origin, dotenv_name};
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::table::details;

pub(crate) const LOGIN_EXAMPLES: &str = "\
Examples:
  langwatch login --api-key sk-lw-...
  langwatch login --endpoint https://langwatch.example.com --api-key sk-lw-...";

/// Shorter keys are typing mistakes.
const MIN_KEY_CHARS: usize = 10;

/// The flags of `whoami`.
#[derive(Args, Debug)]
pub struct WhoamiArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The flags of `login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Write this API key as LANGWATCH_API_KEY into ./.env
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,

    /// Keep this control plane address in the configuration
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn whoami(context: &mut Context<'_>) -> Result<(), CliError> {
    let credential = context.credential()?;
    let request = Request::new(Method::GET, Headers::Organization, "/api/organization");
    let answer = bare(
        context.send("identify the caller", &request)?,
        "organization",
    );
    let mut organization = Json::Object(Vec::new());
    for field in ["id", "name", "slug"] {
        organization.set(field, answer.get(field).cloned().unwrap_or(Json::Null));
    }
    let client = context.client()?;
    let kind = TokenKind::of(&credential.token).name();
    let mut result = Json::object([
        ("organization", organization),
        ("endpoint", client.endpoint().into()),
        (
            "credential",
            Json::object([
                ("kind", kind.into()),
                ("source", credential.source.name().into()),
            ]),
        ),
        ("project", client.project().into()),
    ]);
    if let Some(user) = context
        .config
        .get("user")
        .filter(|user| !user.fields().is_empty())
    {
        result.set("user", user.clone());
    }
    context.show(result, |result, style| {
        let empty = Json::Null;
        let organization = result.get("organization").unwrap_or(&empty);
        let name = optional(organization, "name").or_else(|| optional(organization, "id"));
        let slug = optional(organization, "slug").map(|slug| format!(" ({slug})"));
        let kind = kind.replace('_', " ");
        let credential = format!("{kind} (from {})", credential.source.name());
        let rows = [
            (
                "User",
                result.get("user").and_then(|user| optional(user, "email")),
            ),
            (
                "Organization",
                name.map(|name| name + slug.as_deref().unwrap_or_default()),
            ),
            ("Endpoint", optional(result, "endpoint")),
            ("Credential", Some(credential)),
            ("Project", optional(result, "project")),
        ];
        details(style, 0, &rows)
    })
}

pub(crate) fn login(args: &LoginArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    if args.api_key.is_none() && args.endpoint.is_none() {
        return Err(CliError::usage(
            "Say how to sign in: `langwatch login --api-key <key>` keeps an API key in ./.env, \
             `langwatch login --endpoint <url>` chooses the server. LANGWATCH_API_KEY and \
             LANGWATCH_ENDPOINT do the same for one shell.",
        ));
    }
    // Everything is checked before anything is written.
    let key = args.api_key.as_deref().map(checked_key).transpose()?;
    let endpoint = args
        .endpoint
        .as_deref()
        .map(|url| base_url("--endpoint", url))
        .transpose()?;
    let mut result = Json::object([("ok", true.into())]);
    if let Some(endpoint) = endpoint {
        context
            .config
            .set("control_plane_url", endpoint.as_str().into());
        context.config.save()?;
        if context
            .variables
            .get("LANGWATCH_ENDPOINT")
            .is_some_and(|url| url != endpoint)
        {
            context.note("Note: LANGWATCH_ENDPOINT is set to something else, and wins.");
        }
        result.set("endpoint", endpoint.into());
    }
    if let Some(key) = key {
        context.redactor.learn(key);
        let path = context.env.working_dir().join(".env");
        let written = |error: std::io::Error| {
            CliError::usage(format!("Cannot write {}: {error}.", path.display()))
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(written(error)),
        };
        replace(&path, with_key(&text, key).as_bytes()).map_err(written)?;
        let shadowed = context.variables.lookup("LANGWATCH_API_KEY");
        if shadowed.is_some_and(|(old, origin)| origin == Origin::Environment && old != key) {
            context.note("Note: LANGWATCH_API_KEY is set to another key in this shell, and wins.");
        }
        result.set("env_file", path.display().to_string().into());
    }
    context.show(result, |result, style| {
        let mut out = String::new();
        if let Some(endpoint) = result.text("endpoint") {
            out.push_str(&format!("{} Endpoint is {endpoint}\n", style.green("✓")));
        }
        if let Some(path) = result.text("env_file") {
            out.push_str(&format!("{} API key kept in {path}\n", style.green("✓")));
        }
        out
    })
}

fn checked_key(key: &str) -> Result<&str, CliError> {
    let key = key.trim();
    if key.chars().count() < MIN_KEY_CHARS {
        return Err(CliError::usage(format!(
            "The API key is too short: it has fewer than {MIN_KEY_CHARS} characters."
        )));
    }
    if !key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'#'))
    {
        return Err(CliError::usage(
            "The API key holds characters that no key has.",
        ));
    }
    Ok(key)
}

/// The file with the key on its line: replaced where it stood, else at the end.
fn with_key(text: &str, key: &str) -> String {
    let line = format!("LANGWATCH_API_KEY={key}\n");
    let mut out = String::new();
    let mut placed = false;
    for old in text.lines() {
        if dotenv_name(old).is_some_and(|(name, _)| name == "LANGWATCH_API_KEY") {
            // Readers differ on which of two lines counts, so one remains.
            if !placed {
                out.push_str(&line);
            }
            placed = true;
        } else {
            out.push_str(old);
            out.push('\n');
        }
    }
    if !placed {
        out.push_str(&line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with_key;

    #[test]
    fn the_key_takes_its_line_and_leaves_the_others() {
        let key = "sk-lw-new-key";
        for (before, after) in [
            ("", "LANGWATCH_API_KEY=sk-lw-new-key\n"),
            ("A=1", "A=1\nLANGWATCH_API_KEY=sk-lw-new-key\n"),
            (
                "A=1\nexport LANGWATCH_API_KEY=old\n# c\nLANGWATCH_API_KEY=older\n",
                "A=1\nLANGWATCH_API_KEY=sk-lw-new-key\n# c\n",
            ),
            (
                "LANGWATCH_API_KEY_OTHER=x\n",
                "LANGWATCH_API_KEY_OTHER=x\nLANGWATCH_API_KEY=sk-lw-new-key\n",
            ),
        ] {
            assert_eq!(with_key(before, key), after);
        }
    }
}
