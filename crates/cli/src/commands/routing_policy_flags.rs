//! The flags of `routing-policies create` and `update`, and the bodies they make.

use clap::{Args, ValueEnum};

use super::flags::{IdempotencyFlag, set_nulls, set_number, set_text, set_value, something};
use super::provider_names;
use crate::args::{pairs_object, parse_object, parse_pair, parse_scope, text_or_file};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// Longest time that one attempt may be given, in milliseconds.
const LONGEST_ATTEMPT_MS: i64 = 840_000;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Strategy {
    /// In the order of the --model-provider flags
    Ordered,
    /// By the priority stored with each provider
    Priority,
}

/// Who would select a policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selector {
    VirtualKey(String),
    Scope(Json),
}

/// The id of a key, or `type:id`.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, String> {
    if text.contains(':') {
        return parse_scope(text).map(Selector::Scope);
    }
    match text.trim() {
        "" => Err("expected the id of a virtual key, or <type>:<id>".to_owned()),
        id => Ok(Selector::VirtualKey(id.to_owned())),
    }
}

/// What create and update have in common.
#[derive(Args, Debug)]
struct CommonFlags {
    /// What the policy is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Whose keys may select it: org, team or project, then its id or slug (repeatable; replaces
    /// all scopes on update)
    #[arg(long = "scope", value_name = "TYPE:ID", value_parser = parse_scope)]
    scopes: Vec<Json>,

    /// How the providers are ordered
    #[arg(long, value_name = "STRATEGY", ignore_case = true)]
    strategy: Option<Strategy>,

    /// Another name for a model (repeatable; replaces all aliases on update)
    #[arg(long = "alias", value_name = "FROM=TO", value_parser = parse_pair)]
    aliases: Vec<(String, String)>,

    /// Model for the names complex, reasoning and fast, where no alias says another
    #[arg(long, value_name = "MODEL")]
    default_model: Option<String>,

    /// Rules for tools, mcp, urls and models as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    policy_rules_json: Option<Json>,

    /// The same, from a JSON file
    #[arg(long, value_name = "PATH", conflicts_with = "policy_rules_json")]
    policy_rules_file: Option<String>,

    /// Most attempts for one request, the first included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,

    /// Failures that lead to the next attempt (comma-separated): 5xx, timeout, rate_limit,
    /// network_error, 404; or none
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fallback_on: Option<Vec<String>>,

    /// Milliseconds until the first byte of one attempt
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(1..=LONGEST_ATTEMPT_MS))]
    attempt_timeout_ms: Option<i64>,

    /// What other providers are asked for instead of a model: {model: {provider: model}} as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    model_map_json: Option<Json>,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the policy
    #[arg(long)]
    name: String,

    /// Provider to use: its id, its handle, or its name when no other has it (repeatable; the
    /// order is the order of dispatch)
    #[arg(long = "model-provider", value_name = "PROVIDER", required = true)]
    model_providers: Vec<String>,

    #[command(flatten)]
    common: CommonFlags,

    /// Make it the default of its scopes
    #[arg(long)]
    default: bool,

    #[command(flatten)]
    idempotency: IdempotencyFlag,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the routing policy
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// Provider to use: its id, its handle, or its name when no other has it (repeatable; replaces
    /// all providers)
    #[arg(long = "model-provider", value_name = "PROVIDER")]
    model_providers: Vec<String>,

    #[command(flatten)]
    common: CommonFlags,

    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    /// Remove all aliases
    #[arg(long, conflicts_with = "aliases")]
    clear_aliases: bool,

    /// Remove the default model
    #[arg(long, conflicts_with = "default_model")]
    clear_default_model: bool,
}

impl CreateFlags {
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency.key()
    }

    pub(crate) fn body(&self, context: &mut Context<'_>) -> Result<Json, CliError> {
        let Self {
            name,
            model_providers,
            common,
            default,
            idempotency: _,
        } = self;
        let mut body = Json::object([("name", name.as_str().into())]);
        let providers = provider_names::ids(context, model_providers)?;
        body.set("model_provider_ids", providers.into());
        common.add_to(&mut body, context, None)?;
        if *default {
            body.set("is_default", true.into());
        }
        Ok(body)
    }
}

impl UpdateFlags {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn changes_fallback(&self) -> bool {
        self.common.names_fallback()
    }

    /// `stored` is the fallback that the policy has now; needed when this changes a part of it.
    pub(crate) fn body(
        &self,
        context: &mut Context<'_>,
        stored: Option<Json>,
    ) -> Result<Json, CliError> {
        let Self {
            id: _,
            name,
            model_providers,
            common,
            clear_description,
            clear_aliases,
            clear_default_model,
        } = self;
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "name", name.as_deref());
        if !model_providers.is_empty() {
            let providers = provider_names::ids(context, model_providers)?;
            body.set("model_provider_ids", providers.into());
        }
        common.add_to(&mut body, context, stored)?;
        if *clear_aliases {
            body.set("model_aliases", Json::Object(Vec::new()));
        }
        set_nulls(
            &mut body,
            &[
                (*clear_description, "description"),
                (*clear_default_model, "default_model"),
            ],
        );
        something(
            body,
            "--name, --description, --scope, --strategy, --model-provider, --alias, \
             --default-model, --policy-rules-json, --policy-rules-file, --max-attempts, \
             --fallback-on, --attempt-timeout-ms, --model-map-json, or a --clear-… flag",
        )
    }
}

impl CommonFlags {
    fn names_fallback(&self) -> bool {
        self.max_attempts.is_some()
            || self.fallback_on.is_some()
            || self.attempt_timeout_ms.is_some()
            || self.model_map_json.is_some()
    }

    fn add_to(
        &self,
        body: &mut Json,
        context: &Context<'_>,
        stored_fallback: Option<Json>,
    ) -> Result<(), CliError> {
        let Self {
            description,
            scopes,
            strategy,
            aliases,
            default_model,
            policy_rules_json,
            policy_rules_file,
            max_attempts,
            fallback_on,
            attempt_timeout_ms,
            model_map_json,
        } = self;
        set_text(body, "description", description.as_deref());
        if !scopes.is_empty() {
            body.set("scopes", scopes.clone().into());
        }
        set_value(body, "strategy", *strategy);
        if !aliases.is_empty() {
            body.set("model_aliases", pairs_object(aliases));
        }
        set_text(body, "default_model", default_model.as_deref());
        let rules = text_or_file(
            context.env,
            policy_rules_json.as_ref(),
            policy_rules_file.as_deref(),
        )?;
        if let Some(rules) = rules {
            body.set("policy_rules", rules);
        }
        if self.names_fallback() {
            let mut fallback = stored_fallback
                .filter(|stored| matches!(stored, Json::Object(_)))
                .unwrap_or_else(|| Json::Object(Vec::new()));
            set_number(&mut fallback, "max_attempts", *max_attempts);
            if let Some(on) = fallback_on {
                fallback.set("on", conditions(on)?.into());
            }
            set_number(&mut fallback, "attempt_timeout_ms", *attempt_timeout_ms);
            if let Some(map) = model_map_json {
                fallback.set("model_map", map.clone());
            }
            body.set("fallback", fallback);
        }
        Ok(())
    }
}

/// The failures as a list; `none` alone is the empty one.
fn conditions(given: &[String]) -> Result<Vec<Json>, CliError> {
    let words: Vec<String> = given
        .iter()
        .map(|word| word.trim().to_ascii_lowercase().replace('-', "_"))
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        [] => Err(CliError::usage(
            "--fallback-on needs at least one failure, or none.",
        )),
        [word] if word == "none" => Ok(Vec::new()),
        words if words.iter().any(|word| word == "none") => Err(CliError::usage(
            "--fallback-on takes either none or a list of failures.",
        )),
        words => Ok(words.iter().map(|word| word.as_str().into()).collect()),
    }
}
