//! `login`: keeping what the commands sign in with.

use clap::Args;

use crate::context::Context;
use crate::credentials::base_url;
use crate::dotenv;
use crate::environment::Origin;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

pub(crate) const EXAMPLES: &str = "\
Examples:
  langwatch login
  langwatch login --api-key sk-lw-...
  langwatch login --endpoint https://langwatch.example.com --api-key sk-lw-...";

/// Shorter keys are typing mistakes.
const MIN_KEY_CHARS: usize = 10;

const KEY_VARIABLE: &str = "LANGWATCH_API_KEY";

const NO_BROWSER_SIGN_IN: &str = "Sign-in through the browser is not offered.";

/// The flags of `login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Write this API key as LANGWATCH_API_KEY into ./.env
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,

    /// Sign in through the browser (not offered by this server: use --api-key)
    #[arg(long)]
    device: bool,

    /// Browser for --device
    #[arg(long, value_name = "NAME")]
    browser: Option<String>,

    /// Keep the key of a project, found through the browser session (not offered by this server:
    /// use `projects api-key`)
    #[arg(long, value_name = "SLUG", num_args = 0..=1)]
    project: Option<Option<String>>,

    /// Keep this access token of a session in the configuration
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Keep this control plane address in the configuration
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What is to be kept; all of it is checked before any of it is written.
struct Kept {
    api_key: Option<String>,
    token: Option<String>,
    endpoint: Option<String>,
}

pub(crate) fn run(args: &LoginArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    refuse_browser(args)?;
    let given = Kept {
        api_key: args.api_key.clone(),
        token: args.token.clone(),
        endpoint: args.endpoint.clone(),
    };
    let nothing = given.api_key.is_none() && given.token.is_none() && given.endpoint.is_none();
    let kept = if nothing { ask(context)? } else { given };
    let kept = kept.checked(context)?;
    let result = keep(&kept, context)?;
    context.show(result, |result, style| {
        let mut out = String::new();
        let mut line = |text: String| out.push_str(&format!("{} {text}\n", style.green("✓")));
        if let Some(endpoint) = result.text("endpoint") {
            line(format!("Endpoint is {endpoint}"));
        }
        if let Some(path) = result.text("config_file") {
            line(format!("Access token kept in {path}"));
        }
        if let Some(path) = result.text("env_file") {
            line(format!("API key kept in {path}"));
        }
        out
    })
}

fn refuse_browser(args: &LoginArgs) -> Result<(), CliError> {
    match &args.project {
        Some(Some(slug)) => {
            return Err(CliError::usage(format!(
                "{NO_BROWSER_SIGN_IN} Print the key of the project with `langwatch projects \
                 api-key {slug}`, and keep it with `langwatch login --api-key <key>`."
            )));
        }
        Some(None) => {
            return Err(CliError::usage(format!(
                "{NO_BROWSER_SIGN_IN} Find the project with `langwatch projects list`, print its \
                 key with `langwatch projects api-key <id>`, and keep it with `langwatch login \
                 --api-key <key>`."
            )));
        }
        None => {}
    }
    if args.device {
        return Err(CliError::usage(format!(
            "{NO_BROWSER_SIGN_IN} Create an API key in the console (`langwatch open \
             settings/api-tokens`) and keep it with `langwatch login --api-key <key>`."
        )));
    }
    if args.browser.is_some() {
        return Err(CliError::usage("--browser needs --device."));
    }
    Ok(())
}

/// Asks a person where and as whom; a program is told the alternatives.
fn ask(context: &mut Context<'_>) -> Result<Kept, CliError> {
    if !context.can_ask() {
        return Err(CliError::usage(
            "Say how to sign in: `langwatch login --api-key <key>` keeps an API key in ./.env, \
             `langwatch login --endpoint <url>` chooses the server. LANGWATCH_API_KEY and \
             LANGWATCH_ENDPOINT do the same for one shell.",
        ));
    }
    let unread = |error| CliError::usage(format!("Cannot read the answer: {error}."));
    let ended = || CliError::usage("There was no answer. Nothing is changed.");
    let current = context.endpoint()?;
    let question = format!("Address of the server [{current}]: ");
    let answer = context.io().ask(&question).map_err(unread)?;
    let answer = answer.ok_or_else(ended)?;
    let endpoint = match answer.as_str() {
        "" => None,
        address => Some(base_url("The address", address)?).filter(|url| *url != current),
    };
    let server = endpoint.as_deref().unwrap_or(&current);
    let question = format!("API key (create one at {server}/settings/api-tokens): ");
    let answer = context.io().ask_hidden(&question).map_err(unread)?;
    let api_key = answer.filter(|key| !key.is_empty()).ok_or_else(ended)?;
    Ok(Kept {
        api_key: Some(api_key),
        token: None,
        endpoint,
    })
}

impl Kept {
    fn checked(self, context: &mut Context<'_>) -> Result<Self, CliError> {
        let Self {
            api_key,
            token,
            endpoint,
        } = self;
        for secret in [&api_key, &token].into_iter().flatten() {
            context.redactor.learn(secret);
        }
        let usable = |secret: Option<String>, what: &str| match secret {
            Some(secret) => checked_secret(&secret, what).map(Some),
            None => Ok(None),
        };
        let endpoint = endpoint.map(|url| base_url("--endpoint", &url)).transpose();
        Ok(Self {
            api_key: usable(api_key, "API key")?,
            token: usable(token, "access token")?,
            endpoint: endpoint?,
        })
    }
}

fn keep(kept: &Kept, context: &mut Context<'_>) -> Result<Json, CliError> {
    let Kept {
        api_key,
        token,
        endpoint,
    } = kept;
    let mut result = Json::object([("ok", true.into())]);
    if let Some(endpoint) = endpoint {
        let field = endpoint.as_str().into();
        context.config.set("control_plane_url", field);
        let overruled = context.variables.get("LANGWATCH_ENDPOINT");
        if overruled.is_some_and(|url| url != endpoint) {
            context.note("Note: LANGWATCH_ENDPOINT is set to something else, and wins.");
        }
        result.set("endpoint", endpoint.as_str().into());
    }
    if let Some(token) = token {
        context.config.set("access_token", token.as_str().into());
    }
    if endpoint.is_some() || token.is_some() {
        let path = context.config.save()?.display().to_string();
        if token.is_some() {
            result.set("config_file", path.into());
        }
    }
    if let Some(key) = api_key {
        let path = context.env.working_dir().join(".env");
        let shown = path.display().to_string();
        dotenv::write(&path, KEY_VARIABLE, key)
            .map_err(|error| CliError::usage(format!("Cannot write {shown}: {error}.")))?;
        let shadowed = context.variables.lookup(KEY_VARIABLE);
        if shadowed.is_some_and(|(old, origin)| origin == Origin::Environment && old != key) {
            context.note("Note: LANGWATCH_API_KEY is set to another key in this shell, and wins.");
        }
        result.set("env_file", shown.into());
    }
    Ok(result)
}

/// Nothing said about a wrong one repeats it: it may be nearly right.
fn checked_secret(secret: &str, what: &str) -> Result<String, CliError> {
    let secret = secret.trim();
    if secret.chars().count() < MIN_KEY_CHARS {
        return Err(CliError::usage(format!(
            "The {what} is too short: it has fewer than {MIN_KEY_CHARS} characters."
        )));
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'#');
    if !secret.bytes().all(plain) {
        return Err(CliError::usage(format!(
            "The {what} holds characters that none has."
        )));
    }
    Ok(secret.to_owned())
}
