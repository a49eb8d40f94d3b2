//! `logout`: forgetting the stored session.
//!
//! Credentials and the identity they belong to go; addresses and settings stay. Other tools hold no
//! credential of ours and no address: there is nothing to take back from them.

use clap::Args;
use ureq::http::Method;

use crate::client::{Client, Headers, Request};
use crate::context::Context;
use crate::credentials::{DEFAULT_ENDPOINT, base_url};
use crate::environment::Origin;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

pub(crate) const EXAMPLES: &str = "\
Examples:
  langwatch logout
  langwatch logout --yes";

/// The fields of the configuration that make up a session.
const SESSION: [&str; 11] = [
    "access_token",
    "refresh_token",
    "expires_at",
    "user",
    "organization",
    "default_personal_vk",
    "personal_project",
    "cli_api_key",
    "cli_api_key_scope",
    "default_personal_ingest_keys",
    "tool_project_keys",
];

/// The flags of `logout`.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,

    /// Keep the stored credentials; only settings written into other tools would go
    #[arg(long)]
    keep_credentials: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &LogoutArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let stored = |field: &&str| context.config.get(field).is_some_and(|v| !v.is_null());
    let stored: Vec<&str> = SESSION.into_iter().filter(stored).collect();
    if stored.is_empty() {
        return report(context, &[], false, "No credentials are stored.");
    }
    if args.keep_credentials {
        return report(context, &[], false, "The stored credentials are kept.");
    }
    confirm(args, context)?;
    let revoked = revoke(context);
    for field in SESSION {
        context.config.take(field);
    }
    context.config.save()?;
    report(
        context,
        &stored,
        revoked,
        "Signed out: the stored credentials are deleted.",
    )
}

fn report(
    context: &mut Context<'_>,
    cleared: &[&str],
    revoked: bool,
    sentence: &str,
) -> Result<(), CliError> {
    let still = match context.variables.lookup("LANGWATCH_API_KEY") {
        Some((_, Origin::Environment)) => Some("in this shell"),
        Some((_, Origin::DotEnv)) => Some("in ./.env"),
        None => None,
    };
    if let Some(place) = still {
        context.note(&format!(
            "Note: LANGWATCH_API_KEY is set {place}, and commands keep using it."
        ));
    }
    let cleared: Vec<Json> = cleared.iter().map(|field| (*field).into()).collect();
    let result = Json::object([
        ("ok", true.into()),
        ("cleared", cleared.into()),
        ("revoked", revoked.into()),
    ]);
    context.show(result, |_, style| {
        format!("{} {sentence}\n", style.green("✓"))
    })
}

fn confirm(args: &LogoutArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    if args.yes {
        return Ok(());
    }
    if !context.can_ask() {
        return Err(CliError::usage(
            "This deletes the stored credentials. Say `langwatch logout --yes` to do it.",
        ));
    }
    if context.confirm("Delete the stored credentials? [y/N] ")? {
        Ok(())
    } else {
        Err(CliError::usage("Nothing is deleted."))
    }
}

/// Ends the session on the server that made it. The local copy goes whatever that server says.
fn revoke(context: &mut Context<'_>) -> bool {
    let mut body = Json::object([]);
    for field in ["access_token", "refresh_token"] {
        if let Some(token) = context.config.text(&[field]) {
            context.redactor.learn(token);
            body.set(field, token.into());
        }
    }
    if body.fields().is_empty() {
        return false;
    }
    // Not the server of LANGWATCH_ENDPOINT: the tokens are none of its business.
    let endpoint = context.config.text(&["control_plane_url"]);
    let endpoint = base_url("control_plane_url", endpoint.unwrap_or(DEFAULT_ENDPOINT));
    let client =
        endpoint.and_then(|endpoint| Client::new(context.env, endpoint, String::new(), None));
    let path = "/api/auth/cli/logout";
    let request = Request::new(Method::POST, Headers::Anonymous, path).body(body);
    let ended = client.is_ok_and(|client| {
        let reply = client.send(&request);
        reply.is_ok_and(|reply| (200..300).contains(&reply.status))
    });
    if !ended {
        context.note("Note: the server did not confirm the end of the session; it will run out.");
    }
    ended
}
