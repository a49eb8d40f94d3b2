//! The flags of `virtual-keys create` and `update`, and the bodies they make.

use clap::{Args, ValueEnum};

use super::flags::{
    Breach, ClearLimitFlags, IdempotencyFlag, LabelFlags, LimitFlags, set_nulls, set_text,
    set_value, something, spelling,
};
use crate::args::{Expiry, parse_expiry, parse_object, parse_scope, parse_usd, text_or_file};
use crate::environment::Environment;
use crate::error::CliError;
use crate::json::Json;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoutingMode {
    None,
    #[value(name = "fallback_all", alias = "fallback-all")]
    FallbackAll,
    Policy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BudgetWindow {
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Label {
    Live,
    Test,
}

/// What create and update have in common.
#[derive(Args, Debug)]
struct CommonFlags {
    /// Where the key belongs and which providers it may reach: org, team or project, then its id
    /// or slug (repeatable)
    #[arg(long = "scope", value_name = "TYPE:ID", value_parser = parse_scope)]
    scopes: Vec<Json>,

    /// Project that receives the traces
    #[arg(long, value_name = "ID")]
    trace_project: Option<String>,

    /// Routing policy that orders the providers
    #[arg(long, value_name = "ID")]
    routing_policy: Option<String>,

    /// How providers are tried
    #[arg(long, value_name = "MODE", ignore_case = true)]
    routing_mode: Option<RoutingMode>,

    /// Spending limit of the key in dollars; needs --budget-window
    #[arg(long, value_name = "USD", value_parser = parse_usd, requires = "budget_window")]
    budget_limit: Option<String>,

    /// Window of the spending limit; needs --budget-limit
    #[arg(
        long,
        value_name = "WINDOW",
        ignore_case = true,
        requires = "budget_limit"
    )]
    budget_window: Option<BudgetWindow>,

    /// What happens at the limit (default: block)
    #[arg(
        long,
        value_name = "ACTION",
        ignore_case = true,
        requires = "budget_limit"
    )]
    budget_breach: Option<Breach>,

    /// Allow only these providers (comma-separated ids)
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    providers_allowed: Option<Vec<String>>,

    #[command(flatten)]
    limits: LimitFlags,

    /// Configuration of the key as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    config_json: Option<Json>,

    /// Configuration of the key, from a JSON file
    #[arg(long, value_name = "PATH", conflicts_with = "config_json")]
    config_file: Option<String>,

    /// When the key ends: ISO 8601, never, or days from now such as 90d
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires_at: Option<Expiry>,

    /// Tag that cache rules and lists may ask for (repeatable; replaces all tags on update)
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    #[command(flatten)]
    labels: LabelFlags,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the key
    #[arg(long)]
    name: String,

    /// What the key is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Person whom the key belongs to
    #[arg(long, value_name = "ID")]
    principal_user: Option<String>,

    /// Environment label (default: live)
    #[arg(long, value_name = "ENV", ignore_case = true)]
    env: Option<Label>,

    #[command(flatten)]
    common: CommonFlags,

    #[command(flatten)]
    idempotency: IdempotencyFlag,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the key
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    #[command(flatten)]
    common: CommonFlags,

    #[command(flatten)]
    clear_limits: ClearLimitFlags,

    /// Let the server choose the trace project again
    #[arg(long, conflicts_with = "trace_project")]
    clear_trace_project: bool,

    /// Stop using a routing policy
    #[arg(long, conflicts_with = "routing_policy")]
    clear_routing_policy: bool,

    /// Remove the key's own budget
    #[arg(long, conflicts_with_all = ["budget_limit", "budget_window", "budget_breach"])]
    clear_budget: bool,

    /// Let the key live on without an end
    #[arg(long, conflicts_with = "expires_at")]
    clear_expires_at: bool,

    /// Remove all labels
    #[arg(long, conflicts_with = "metadata")]
    clear_metadata: bool,
}

impl CreateFlags {
    pub(crate) fn body(&self, env: &Environment) -> Result<Json, CliError> {
        let mut body = Json::object([("name", self.name.as_str().into())]);
        set_text(&mut body, "description", self.description.as_deref());
        set_text(
            &mut body,
            "principal_user_id",
            self.principal_user.as_deref(),
        );
        set_value(&mut body, "env", self.env);
        self.common.add_to(&mut body, env, None, None)?;
        if self.common.expires_at == Some(Expiry::Never) {
            body.take("expires_at");
        }
        Ok(body)
    }

    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency.key()
    }

    /// The budget as it was asked for, for the person.
    pub(crate) fn budget_text(&self) -> Option<String> {
        let limit = self.common.budget_limit.as_deref()?;
        let window = self.common.budget_window.as_ref().map(spelling)?;
        let breach = self
            .common
            .budget_breach
            .as_ref()
            .map_or_else(|| "block".to_owned(), spelling);
        Some(format!("${limit} per {window} ({breach})"))
    }
}

impl UpdateFlags {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the body depends on the `config` that the server holds. The server replaces what lies
    /// below a key of it as a whole; a tag or a limit changes a part and keeps what stands beside it.
    pub(crate) fn keeps_config(&self) -> bool {
        let mut limits = Json::Object(Vec::new());
        !self.common.tags.is_empty()
            || self.common.limits.add_to(&mut limits)
            || self.clear_limits.add_to(&mut limits)
    }

    pub(crate) fn body(&self, env: &Environment, stored: Option<Json>) -> Result<Json, CliError> {
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "name", self.name.as_deref());
        set_text(&mut body, "description", self.description.as_deref());
        let clears = Some(&self.clear_limits);
        self.common.add_to(&mut body, env, clears, stored)?;
        set_nulls(
            &mut body,
            &[
                (self.clear_description, "description"),
                (self.clear_trace_project, "trace_project_id"),
                (self.clear_routing_policy, "routing_policy_id"),
                (self.clear_budget, "budget"),
                (self.clear_expires_at, "expires_at"),
            ],
        );
        if self.clear_metadata {
            body.set("metadata", Json::Object(Vec::new()));
        }
        something(
            body,
            "--name, --description, --scope, --trace-project, --routing-policy, --routing-mode, \
             --budget-limit, --providers-allowed, --rpm, --tpm, --rpd, --concurrent, --config-json, --config-file, --expires-at, \
             --tag, --external-id, --metadata, or a --clear-… flag",
        )
    }
}

impl CommonFlags {
    fn add_to(
        &self,
        body: &mut Json,
        env: &Environment,
        clears: Option<&ClearLimitFlags>,
        stored: Option<Json>,
    ) -> Result<(), CliError> {
        if !self.scopes.is_empty() {
            body.set("scopes", self.scopes.clone().into());
        }
        set_text(body, "trace_project_id", self.trace_project.as_deref());
        set_text(body, "routing_policy_id", self.routing_policy.as_deref());
        set_value(body, "routing_mode", self.routing_mode);
        if let (Some(limit), Some(window)) = (&self.budget_limit, self.budget_window) {
            let mut budget = Json::object([
                ("limit_usd", limit.as_str().into()),
                ("window", spelling(&window).into()),
            ]);
            set_value(&mut budget, "on_breach", self.budget_breach);
            body.set("budget", budget);
        }
        if let Some(config) = self.config(env, clears, stored)? {
            body.set("config", config);
        }
        if let Some(expiry) = &self.expires_at {
            body.set("expires_at", expiry.to_json(env.now_ms()));
        }
        self.labels.add_to(body);
        Ok(())
    }

    fn config(
        &self,
        env: &Environment,
        clears: Option<&ClearLimitFlags>,
        mut stored: Option<Json>,
    ) -> Result<Option<Json>, CliError> {
        let file = self.config_file.as_deref();
        let mut config = text_or_file(env, self.config_json.as_ref(), file)?;
        if let Some(providers) = &self.providers_allowed {
            let ids = providers
                .iter()
                .map(|id| id.trim())
                .filter(|id| !id.is_empty());
            let ids: Vec<Json> = ids.map(Json::from).collect();
            let config = config.get_or_insert_with(|| Json::Object(Vec::new()));
            // Both spellings are one field to the server: the flag is the only one sent.
            config.take("providers_allowed");
            config.set("providersAllowed", ids.into());
        }
        // What the person gave in the document, else what is stored.
        let mut base = |given: Option<Json>, name: &str| {
            given
                .or_else(|| stored.as_mut()?.take(name))
                .filter(|given| matches!(given, Json::Object(_)))
                .unwrap_or_else(|| Json::Object(Vec::new()))
        };
        let mut asked = Json::Object(Vec::new());
        let set = self.limits.add_to(&mut asked);
        let cleared = clears.is_some_and(|clears| clears.add_to(&mut asked));
        if set || cleared {
            let config = config.get_or_insert_with(|| Json::Object(Vec::new()));
            let snake = config.take("rate_limits");
            let mut limits = base(config.take("rateLimits").or(snake), "rateLimits");
            for (name, limit) in asked.fields() {
                limits.set(name, limit.clone());
            }
            config.set("rateLimits", limits);
        }
        if !self.tags.is_empty() {
            let config = config.get_or_insert_with(|| Json::Object(Vec::new()));
            let mut metadata = base(config.take("metadata"), "metadata");
            let tags: Vec<Json> = self.tags.iter().map(|tag| tag.as_str().into()).collect();
            metadata.set("tags", tags.into());
            config.set("metadata", metadata);
        }
        Ok(config)
    }
}
