//! The virtual key that coding tools call the gateway with: given, or kept, or minted once.
//!
//! A minted key is kept in the configuration file, in clear, for the file's owner alone (0600): a
//! tool has to be given it each time. That is why nothing is minted unless the person asks for it.
//! Never takes another kind of key: an API key would be handed to every tool. Start at [`find`].

use ureq::http::Method;

use crate::client::{Headers, Request};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// The field of the configuration that holds the kept key: `{id, secret, prefix}`.
const KEPT: &str = "default_personal_vk";

/// What a minted key is called on the server.
const NAME: &str = "Coding tools";

/// Where a key came from, which decides what to do when the gateway refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag or a variable.
    Given,
    /// The configuration file.
    Kept,
    /// Made by this command.
    Minted,
}

/// A virtual key and its origin. Has no `Debug`, so that it cannot end up in one.
pub(crate) struct ToolKey {
    pub(crate) secret: String,
    pub(crate) source: Source,
}

/// The key: `given` by a flag, `LANGWATCH_VIRTUAL_KEY`, the kept one, a new one if the person wants
/// it (`mint`, or a yes to the question).
///
/// # Errors
/// There is none, it is no virtual key, or minting failed.
pub(crate) fn find(
    context: &mut Context<'_>,
    given: Option<&str>,
    mint_flag: bool,
) -> Result<ToolKey, CliError> {
    let given = given
        .map(str::trim)
        .or_else(|| context.variables.get("LANGWATCH_VIRTUAL_KEY"))
        .map(str::to_owned);
    if let Some(secret) = given {
        return checked(context, secret, Source::Given);
    }
    if let Some(secret) = context.config.text(&[KEPT, "secret"]).map(str::to_owned) {
        return checked(context, secret, Source::Kept);
    }
    if mint_flag {
        return mint(context);
    }
    // Without an API key there is nothing to mint with.
    let can_mint = context.credential().is_ok() && context.can_ask();
    let question = "There is no virtual key yet. Create one for you and keep it in the \
                    configuration file of this command line? [y/N] ";
    if can_mint && context.confirm(question)? {
        return mint(context);
    }
    Err(CliError::usage(
        "There is no virtual key to use. Create one with `langwatch virtual-keys create --name \
         <name>` and pass its secret in LANGWATCH_VIRTUAL_KEY or with --virtual-key; or pass --mint \
         to have one created and kept in the configuration file.",
    ))
}

/// Creates a key of the caller's, keeps it, and says so.
///
/// # Errors
/// The API key may not, or the configuration cannot be written.
pub(crate) fn mint(context: &mut Context<'_>) -> Result<ToolKey, CliError> {
    let action = "create a virtual key for your tools";
    let mut body = Json::object([
        ("name", NAME.into()),
        (
            "description",
            "Made by the command line, for coding tools.".into(),
        ),
    ]);
    if let Some(user) = context.config.text(&["user", "id"]) {
        body.set("principal_user_id", user.into());
    }
    if context.client()?.project().is_none() {
        let request = Request::new(Method::GET, Headers::Organization, "/api/organization");
        let answer = super::commands::bare(context.send(action, &request)?, "organization");
        let scope = Json::object([
            ("scope_type", "organization".into()),
            ("scope_id", answer.text("id").unwrap_or_default().into()),
        ]);
        body.set("scopes", vec![scope].into());
    }
    let request = Request::new(
        Method::POST,
        Headers::Gateway,
        "/api/gateway/v1/virtual-keys",
    );
    let answer = context.send(action, &request.body(body))?;
    let field = |path: &[&str]| answer.at(path).cloned().unwrap_or(Json::Null);
    let secret = answer.text("secret").unwrap_or_default().to_owned();
    let key = checked(context, secret, Source::Minted)?;
    let kept = Json::object([
        ("id", field(&["virtual_key", "id"])),
        ("secret", key.secret.as_str().into()),
        ("prefix", field(&["virtual_key", "display_prefix"])),
    ]);
    context.config.set(KEPT, kept);
    let path = context.config.save()?.display().to_string();
    let id = field(&["virtual_key", "id"]).display();
    context.note(&format!(
        "Created the virtual key {id} and kept it in {path}, which only you can read. \
         `langwatch virtual-keys revoke {id}` ends it."
    ));
    Ok(key)
}

fn checked(context: &mut Context<'_>, secret: String, source: Source) -> Result<ToolKey, CliError> {
    // Any other key (an API key, say) would be handed to every tool.
    if !secret.starts_with("vk-lw-") || secret.contains(char::is_whitespace) {
        return Err(CliError::usage(
            "This is not a virtual key: they begin with vk-lw-.",
        ));
    }
    context.redactor.learn(&secret);
    Ok(ToolKey { secret, source })
}
