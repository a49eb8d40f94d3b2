//! `model-provider`: the stored credentials of AI providers.
//!
//! `list` and `set` speak the official map by provider kind; everything else addresses one row by
//! its id.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::{bare, model_provider_view as view};
use crate::args::{parse_object, parse_scope};
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const BY_KIND: &str = "/api/model-providers";
const BY_ID: &str = "/api/gateway/v1/model-providers";

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

/// What create and update have in common.
#[derive(Args, Debug)]
struct CommonFlags {
    /// Name to show
    #[arg(long)]
    name: Option<String>,

    /// A key of the provider (repeatable); prefer --key-from-env, other users see arguments
    #[arg(long = "key", value_name = "NAME=VALUE")]
    keys: Vec<String>,

    /// The same, its value taken from the environment variable NAME (repeatable)
    #[arg(long = "key-from-env", value_name = "NAME")]
    keys_from_env: Vec<String>,

    /// Requests a minute
    #[arg(long, value_name = "N")]
    rpm: Option<u32>,

    /// Tokens a minute
    #[arg(long, value_name = "N")]
    tpm: Option<u32>,

    /// Requests a day
    #[arg(long, value_name = "N")]
    rpd: Option<u32>,

    /// Place in the fallback order of the organization; lower goes first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,

    /// Settings of the provider as a JSON object, such as base_url or region
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    provider_config: Option<Json>,

    /// Short name that requests and policies may use for this credential
    #[arg(long, value_name = "HANDLE")]
    handle: Option<String>,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Provider kind, such as openai, anthropic, azure, bedrock, vertex, gemini or custom
    #[arg(long, value_name = "KIND")]
    provider: String,

    /// Who may use it: org, team or project, then its id or slug (repeatable)
    #[arg(long = "scope", value_name = "TYPE:ID", value_parser = parse_scope, required = true)]
    scopes: Vec<Json>,

    #[command(flatten)]
    common: CommonFlags,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the model provider
    id: String,

    /// Who may use it (repeatable; replaces all scopes)
    #[arg(long = "scope", value_name = "TYPE:ID", value_parser = parse_scope)]
    scopes: Vec<Json>,

    #[command(flatten)]
    common: CommonFlags,

    /// Remove the limit of requests a minute
    #[arg(long, conflicts_with = "rpm")]
    clear_rpm: bool,

    /// Remove the limit of tokens a minute
    #[arg(long, conflicts_with = "tpm")]
    clear_tpm: bool,

    /// Remove the limit of requests a day
    #[arg(long, conflicts_with = "rpd")]
    clear_rpd: bool,

    /// Leave the fallback order of the organization
    #[arg(long, conflicts_with = "priority")]
    clear_priority: bool,
}

pub(crate) fn run(
    command: ModelProviderCommand,
    context: &mut Context<'_>,
) -> Result<(), CliError> {
    match command {
        ModelProviderCommand::Create(flags) => {
            let mut body = Json::object([
                ("provider", flags.provider.to_ascii_lowercase().into()),
                ("scopes", flags.scopes.clone().into()),
                ("custom_keys", Json::Object(Vec::new())),
            ]);
            flags.common.add_to(&mut body, context)?;
            let request = Request::new(Method::POST, Headers::Project, BY_ID).body(body);
            change(context, "create the model provider", &request, "created")
        }
        ModelProviderCommand::List { all } => list(context, all),
        ModelProviderCommand::Get { id } => {
            let answer = context.send("get the model provider", &on_row(Method::GET, &id, ""))?;
            context.show(bare(answer, "model_provider"), view::provider)
        }
        ModelProviderCommand::Update(flags) => {
            let body = flags.body(context)?;
            let request = on_row(Method::PATCH, &flags.id, "").body(body);
            change(context, "update the model provider", &request, "updated")
        }
        ModelProviderCommand::Delete { id } => {
            let request = on_row(Method::DELETE, &id, "");
            change(context, "delete the model provider", &request, "deleted")
        }
        ModelProviderCommand::Enable { id } => {
            let body = Json::object([("enabled", true.into())]);
            let request = on_row(Method::PATCH, &id, "").body(body);
            change(context, "enable the model provider", &request, "enabled")
        }
        ModelProviderCommand::Disable { id } => {
            let body = Json::object([("enabled", false.into())]);
            let request = on_row(Method::PATCH, &id, "").body(body);
            change(context, "disable the model provider", &request, "disabled")
        }
        ModelProviderCommand::Test { id } => {
            let request = on_row(Method::POST, &id, "/test").body(Json::Object(Vec::new()));
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

fn on_row(method: Method, id: &str, tail: &str) -> Request {
    Request::new(
        method,
        Headers::Project,
        format!("{BY_ID}/{}{tail}", segment(id)),
    )
}

fn change(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    done: &str,
) -> Result<(), CliError> {
    let provider = bare(context.send(action, request)?, "model_provider");
    context.show(provider, |provider, style| {
        view::changed(provider, style, done)
    })
}

fn list(context: &mut Context<'_>, all: bool) -> Result<(), CliError> {
    let action = "list model providers";
    if all {
        let request = Request::new(Method::GET, Headers::Project, BY_ID);
        let rows = context.send_all(action, request)?;
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
    let stored = map.at(&[&provider, "enabled"]).and_then(Json::as_bool);
    let result = Json::object([
        ("provider", provider.into()),
        ("enabled", stored.unwrap_or(enabled).into()),
        ("defaultModel", default_model.into()),
    ]);
    context.show(result, view::set)
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

/// Hides the value from now on, unless it is a setting beside the secret, such as a region.
fn learn(context: &mut Context<'_>, name: &str, value: &str) {
    let name = name.to_ascii_uppercase();
    let settings = [
        "REGION", "LOCATION", "ENDPOINT", "URL", "HOST", "VERSION", "PROJECT",
    ];
    if !settings.iter().any(|word| name.contains(word)) {
        context.redactor.learn(value);
    }
}

impl UpdateFlags {
    fn body(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let mut body = Json::Object(Vec::new());
        if !self.scopes.is_empty() {
            body.set("scopes", self.scopes.clone().into());
        }
        self.common.add_to(&mut body, context)?;
        let clears = [
            (self.clear_rpm, "rpm"),
            (self.clear_tpm, "tpm"),
            (self.clear_rpd, "rpd"),
        ];
        if clears.iter().any(|(clear, _)| *clear) {
            let mut limits = body
                .take("rate_limit")
                .unwrap_or_else(|| Json::Object(Vec::new()));
            for (_, name) in clears.iter().filter(|(clear, _)| *clear) {
                limits.set(name, Json::Null);
            }
            body.set("rate_limit", limits);
        }
        if self.clear_priority {
            body.set("fallback_priority_global", Json::Null);
        }
        if body.fields().is_empty() {
            return Err(CliError::usage(
                "nothing to update. Provide at least one of --name, --scope, --key, \
                 --key-from-env, --rpm, --tpm, --rpd, --priority, --provider-config, --handle, \
                 or a --clear-… flag.",
            ));
        }
        Ok(body)
    }
}

impl CommonFlags {
    fn add_to(&self, body: &mut Json, context: &mut Context<'_>) -> Result<(), CliError> {
        if let Some(name) = &self.name {
            body.set("name", name.as_str().into());
        }
        if let Some(handle) = &self.handle {
            body.set("routing_handle", handle.as_str().into());
        }
        let keys = self.custom_keys(context)?;
        if !keys.fields().is_empty() {
            body.set("custom_keys", keys);
        }
        let limits = [("rpm", self.rpm), ("tpm", self.tpm), ("rpd", self.rpd)];
        let limits = limits
            .into_iter()
            .filter_map(|(name, limit)| Some((name.to_owned(), Json::from(i64::from(limit?)))));
        let limits: Vec<(String, Json)> = limits.collect();
        if !limits.is_empty() {
            body.set("rate_limit", Json::Object(limits));
        }
        if let Some(priority) = self.priority {
            body.set("fallback_priority_global", i64::from(priority).into());
        }
        if let Some(config) = &self.provider_config {
            body.set("provider_config", config.clone());
        }
        Ok(())
    }

    /// The keys by name. Nothing said about a wrong one may repeat it: it may be the secret.
    fn custom_keys(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let mut keys = Json::Object(Vec::new());
        for pair in &self.keys {
            let (name, value) = pair.split_once('=').unwrap_or_default();
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(CliError::usage(
                    "--key needs a name and a value: NAME=VALUE.",
                ));
            }
            learn(context, name, value);
            keys.set(name, value.into());
        }
        for name in &self.keys_from_env {
            let value = context.env.variable(name).unwrap_or_default().trim();
            if value.is_empty() {
                return Err(CliError::usage(format!(
                    "The environment variable {name} of --key-from-env is not set."
                )));
            }
            learn(context, name, value);
            keys.set(name, value.into());
        }
        Ok(keys)
    }
}
