//! `model-provider`: the stored credentials of AI providers.
//!
//! `list` and `set` speak the official map by provider kind; everything else addresses one row by
//! its id.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::collection::Collection;
use super::model_provider_flags::{CreateFlags, UpdateFlags};
use super::model_provider_view as view;
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const BY_KIND: &str = "/api/model-providers";

pub(super) const PROVIDERS: Collection = Collection {
    base: "/api/gateway/v1/model-providers",
    headers: Headers::Project,
    envelope: "model_provider",
};

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch model-provider create --provider openai --scope org:acme --key-from-env OPENAI_API_KEY --priority 10 --rpm 3000
  langwatch model-provider create --provider custom --name local --scope team:data \\
    --key-from-env CUSTOM_API_KEY --provider-config '{\"base_url\":\"https://llm.example.com/v1\"}'";

/// The `model-provider` group.
#[derive(Args, Debug)]
pub struct ModelProviderArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: ModelProviderCommand,
}

/// The `model-provider` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelProviderCommand {
    /// Store a provider credential
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// List providers by kind, or every stored credential with --all
    List {
        /// One row for each stored credential, by id
        #[arg(long)]
        all: bool,
    },
    /// Show one stored credential; its keys stay hidden
    Get {
        /// Id of the model provider
        id: String,
    },
    /// Change a stored credential; what is not named stays
    Update(Box<UpdateFlags>),
    /// Delete a stored credential
    Delete {
        /// Id of the model provider
        id: String,
    },
    /// Let requests use a credential again
    Enable {
        /// Id of the model provider
        id: String,
    },
    /// Keep a credential, but let no request use it
    Disable {
        /// Id of the model provider
        id: String,
    },
    /// Make one cheap call to the provider; exit 1 when it fails
    Test {
        /// Id of the model provider
        id: String,
    },
    /// Store the key of a provider kind at the scope of the credential in use
    Set {
        /// Provider kind, such as openai, anthropic or google
        provider: String,
        /// Whether requests may use it
        #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
        enabled: bool,
        /// API key of the provider
        #[arg(long, value_name = "KEY")]
        api_key: Option<String>,
        /// Model used when none is named
        #[arg(long, value_name = "MODEL")]
        default_model: Option<String>,
    },
}

pub(crate) fn run(
    command: ModelProviderCommand,
    context: &mut Context<'_>,
) -> Result<(), CliError> {
    match command {
        ModelProviderCommand::Create(flags) => {
            let request = PROVIDERS.create(flags.body(context)?, flags.idempotency_key());
            change(context, "create the model provider", &request, "created")
        }
        ModelProviderCommand::List { all } => list(context, all),
        ModelProviderCommand::Get { id } => {
            let provider = PROVIDERS.one(context, "get the model provider", &PROVIDERS.get(&id))?;
            context.show(provider, view::provider)
        }
        ModelProviderCommand::Update(flags) => {
            let request = PROVIDERS.patch(flags.id(), flags.body(context)?);
            change(context, "update the model provider", &request, "updated")
        }
        ModelProviderCommand::Delete { id } => {
            let request = PROVIDERS.delete(&id);
            change(context, "delete the model provider", &request, "deleted")
        }
        ModelProviderCommand::Enable { id } => {
            let body = Json::object([("enabled", true.into())]);
            let request = PROVIDERS.patch(&id, body);
            change(context, "enable the model provider", &request, "enabled")
        }
        ModelProviderCommand::Disable { id } => {
            let body = Json::object([("enabled", false.into())]);
            let request = PROVIDERS.patch(&id, body);
            change(context, "disable the model provider", &request, "disabled")
        }
        ModelProviderCommand::Test { id } => {
            let request = PROVIDERS.post(&id, "/test", Json::Object(Vec::new()));
            let result = context.send("test the model provider", &request)?;
            let ok = result.get("ok").and_then(Json::as_bool) == Some(true);
            context.show(result, view::test)?;
            if ok { Ok(()) } else { Err(CliError::Reported) }
        }
        ModelProviderCommand::Set {
            provider,
            enabled,
            api_key,
            default_model,
        } => set(
            context,
            &provider,
            enabled,
            api_key.as_deref(),
            default_model.as_deref(),
        ),
    }
}

fn change(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    done: &str,
) -> Result<(), CliError> {
    let provider = PROVIDERS.one(context, action, request)?;
    context.show(provider, |provider, style| {
        view::changed(provider, style, done)
    })
}

fn list(context: &mut Context<'_>, all: bool) -> Result<(), CliError> {
    let action = "list model providers";
    if all {
        let rows = context.send_all(action, PROVIDERS.list())?;
        return context.show(rows.into(), view::rows);
    }
    let request = Request::new(Method::GET, Headers::Project, BY_KIND);
    let map = context.send(action, &request)?;
    context.show(map, view::kinds)
}

fn set(
    context: &mut Context<'_>,
    provider: &str,
    enabled: bool,
    api_key: Option<&str>,
    default_model: Option<&str>,
) -> Result<(), CliError> {
    let provider = provider.trim().to_ascii_lowercase();
    let mut body = Json::object([("enabled", enabled.into())]);
    if let Some(key) = api_key.map(str::trim) {
        context.redactor.learn(key);
        body.set(
            "customKeys",
            Json::object([(&key_field(&provider), key.into())]),
        );
    }
    if let Some(model) = default_model {
        body.set("defaultModel", model.into());
    }
    let path = format!("{BY_KIND}/{}", segment(&provider));
    let request = Request::new(Method::PUT, Headers::Project, path).body(body);
    let map = context.send("set the model provider", &request)?;
    let entry = map
        .get(&provider)
        .or_else(|| map.get(stored_kind(&provider)));
    let stored = entry.and_then(|entry| entry.get("enabled")?.as_bool());
    let result = Json::object([
        ("provider", provider.into()),
        ("enabled", stored.unwrap_or(enabled).into()),
        ("defaultModel", default_model.into()),
    ]);
    context.show(result, view::set)
}

/// The name that the server stores a kind under.
pub(super) fn stored_kind(provider: &str) -> &str {
    match provider {
        "google" | "google_gemini" => "gemini",
        "vertex" => "vertex_ai",
        kind => kind,
    }
}

/// `OPENAI_API_KEY` for `openai`; `google` is Google's own name, whatever the kind is stored as.
fn key_field(provider: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = provider.chars().map(letter).collect();
    format!("{name}_API_KEY")
}
