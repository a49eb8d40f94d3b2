//! The flags of `model-provider create` and `update`, and the bodies they make.
//!
//! What may be a secret is known to the redactor before anything can fail, and is never repeated.

use clap::Args;

use super::flags::{
    ClearLimitFlags, IdempotencyFlag, LimitFlags, set_nulls, set_number, set_text, something,
};
use crate::args::{pairs_object, parse_object, parse_pair, parse_scope};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

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

    /// Header that every request to the provider carries (repeatable; replaces all on update)
    #[arg(long = "extra-header", value_name = "NAME=VALUE")]
    extra_headers: Vec<String>,

    /// Model that the provider offers beside those it is known for (repeatable; replaces all on
    /// update)
    #[arg(long = "custom-model", value_name = "MODEL")]
    custom_models: Vec<String>,

    /// The same for models of embeddings (repeatable; replaces all on update)
    #[arg(long = "custom-embeddings-model", value_name = "MODEL")]
    custom_embeddings_models: Vec<String>,

    /// What the provider calls a model, such as an Azure deployment or a Bedrock profile
    /// (repeatable; replaces all on update)
    #[arg(long = "deployment", value_name = "MODEL=NAME", value_parser = parse_pair)]
    deployments: Vec<(String, String)>,

    #[command(flatten)]
    limits: LimitFlags,

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

    #[command(flatten)]
    idempotency: IdempotencyFlag,
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

    /// Forget a stored key (repeatable)
    #[arg(long = "remove-key", value_name = "NAME")]
    remove_keys: Vec<String>,

    #[command(flatten)]
    clear_limits: ClearLimitFlags,

    /// Leave the fallback order of the organization
    #[arg(long, conflicts_with = "priority")]
    clear_priority: bool,

    /// Remove the settings of the provider
    #[arg(long, conflicts_with = "provider_config")]
    clear_provider_config: bool,

    /// Remove the short name
    #[arg(long, conflicts_with = "handle")]
    clear_handle: bool,

    /// Send no extra headers
    #[arg(long, conflicts_with = "extra_headers")]
    clear_extra_headers: bool,

    /// Remove all custom models
    #[arg(long, conflicts_with = "custom_models")]
    clear_custom_models: bool,

    /// Remove all custom models of embeddings
    #[arg(long, conflicts_with = "custom_embeddings_models")]
    clear_custom_embeddings_models: bool,

    /// Remove all deployments
    #[arg(long, conflicts_with = "deployments")]
    clear_deployments: bool,
}

impl CreateFlags {
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency.key()
    }

    pub(crate) fn body(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let Self {
            provider,
            scopes,
            common,
            idempotency: _,
        } = self;
        let mut body = Json::object([
            ("provider", provider.trim().to_ascii_lowercase().into()),
            ("scopes", scopes.clone().into()),
            ("custom_keys", Json::Object(Vec::new())),
        ]);
        common.add_to(&mut body, context)?;
        Ok(body)
    }
}

impl UpdateFlags {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn body(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let Self {
            id: _,
            scopes,
            common,
            remove_keys,
            clear_limits,
            clear_priority,
            clear_provider_config,
            clear_handle,
            clear_extra_headers,
            clear_custom_models,
            clear_custom_embeddings_models,
            clear_deployments,
        } = self;
        let mut body = Json::Object(Vec::new());
        if !scopes.is_empty() {
            body.set("scopes", scopes.clone().into());
        }
        common.add_to(&mut body, context)?;
        let removed: Vec<(bool, &str)> =
            remove_keys.iter().map(|name| (true, name.trim())).collect();
        add_nulls(&mut body, "custom_keys", &removed);
        let mut limits = body.take("rate_limit").unwrap_or_else(nothing);
        if clear_limits.add_to(&mut limits) || !limits.fields().is_empty() {
            body.set("rate_limit", limits);
        }
        set_nulls(
            &mut body,
            &[
                (*clear_priority, "fallback_priority_global"),
                (*clear_provider_config, "provider_config"),
                (*clear_handle, "routing_handle"),
                (*clear_extra_headers, "extra_headers"),
                (*clear_custom_models, "custom_models"),
                (*clear_custom_embeddings_models, "custom_embeddings_models"),
                (*clear_deployments, "deployment_mapping"),
            ],
        );
        something(
            body,
            "--name, --scope, --key, --key-from-env, --remove-key, --extra-header, \
             --custom-model, --custom-embeddings-model, --deployment, --rpm, --tpm, --rpd, \
             --concurrent, --priority, --provider-config, --handle, or a --clear-… flag",
        )
    }
}

const fn nothing() -> Json {
    Json::Object(Vec::new())
}

/// Nulls inside the object of a field, beside what it holds already.
fn add_nulls(body: &mut Json, field: &str, clears: &[(bool, &str)]) {
    if clears.iter().any(|(clear, _)| *clear) {
        let mut object = body.take(field).unwrap_or_else(nothing);
        set_nulls(&mut object, clears);
        body.set(field, object);
    }
}

impl CommonFlags {
    fn add_to(&self, body: &mut Json, context: &mut Context<'_>) -> Result<(), CliError> {
        let Self {
            name,
            keys: _,
            keys_from_env: _,
            extra_headers,
            custom_models,
            custom_embeddings_models,
            deployments,
            limits,
            priority,
            provider_config,
            handle,
        } = self;
        set_text(body, "name", name.as_deref());
        set_text(body, "routing_handle", handle.as_deref());
        let keys = self.custom_keys(context)?;
        if !keys.fields().is_empty() {
            body.set("custom_keys", keys);
        }
        if !extra_headers.is_empty() {
            body.set("extra_headers", headers(extra_headers, context)?);
        }
        for (field, models) in [
            ("custom_models", custom_models),
            ("custom_embeddings_models", custom_embeddings_models),
        ] {
            if !models.is_empty() {
                let models: Vec<Json> = models.iter().map(|model| model.as_str().into()).collect();
                body.set(field, models.into());
            }
        }
        if !deployments.is_empty() {
            body.set("deployment_mapping", pairs_object(deployments));
        }
        let mut ceilings = nothing();
        if limits.add_to(&mut ceilings) {
            body.set("rate_limit", ceilings);
        }
        set_number(body, "fallback_priority_global", *priority);
        if let Some(config) = provider_config {
            body.set("provider_config", config.clone());
        }
        Ok(())
    }

    /// The keys by name. Nothing said about a wrong one may repeat it: it may be the secret.
    fn custom_keys(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let mut keys = Json::Object(Vec::new());
        for pair in &self.keys {
            let (name, value) = secret_pair(pair)
                .ok_or_else(|| CliError::usage("--key needs a name and a value: NAME=VALUE."))?;
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

/// The headers as the API takes them. Their values may be credentials.
fn headers(pairs: &[String], context: &mut Context<'_>) -> Result<Json, CliError> {
    let mut headers = Vec::new();
    for pair in pairs {
        let (name, value) = secret_pair(pair).ok_or_else(|| {
            CliError::usage("--extra-header needs a name and a value: NAME=VALUE.")
        })?;
        context.redactor.learn(value);
        headers.push(Json::object([
            ("key", name.into()),
            ("value", value.into()),
        ]));
    }
    Ok(headers.into())
}

fn secret_pair(pair: &str) -> Option<(&str, &str)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
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
