//! `api-keys`: the keys that scripts, the command line and continuous integration call the API with.

use clap::{Args, Subcommand, ValueEnum};
use ureq::http::Method;

use super::access::{
    Binding, bindings_json, bindings_of, parse_binding, parse_permission, permissions_of,
};
use super::resource::{
    Cell, Minted, Resource, lines, rows_of, set_text, set_texts, something, table,
};
use super::virtual_key_view::field;
use crate::args::{Expiry, parse_expiry, when};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;

const EXAMPLES: &str = "\
Examples:
  langwatch api-keys list
  langwatch api-keys create --name ci --binding MEMBER:TEAM:web --expires-at 90d
  langwatch api-keys revoke ak_1";

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch api-keys create --name migration --permission modelProviders:update \\
    --permission virtualKeys:create --binding CUSTOM:ORGANIZATION:acme
  langwatch api-keys create --name ci --binding MEMBER:TEAM:web --expires-at 90d
  langwatch api-keys create --name deploy --project-id web -f json | jq -r '.token'";

const UPDATE_EXAMPLES: &str = "\
Examples:
  langwatch api-keys update ak_1 --name nightly
  langwatch api-keys update ak_1 --binding CUSTOM:TEAM:web --permission virtualKeys:view";

const KEYS: Resource = Resource {
    name: "API key",
    base: "/api/api-keys",
    wrapper: "apiKey",
    columns: &[],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Description", Cell::Field("description")),
        ("Type", Cell::Field("keyType")),
        ("Owner", Cell::Field("assignedToUserId")),
        ("Created by", Cell::Field("createdByUserId")),
        ("Mode", Cell::Field("permissionMode")),
        ("Permissions", Cell::Made(permissions_of)),
        ("Bindings", Cell::Made(bindings_of)),
        ("Created", Cell::When("createdAt")),
        ("Expires", Cell::When("expiresAt")),
        ("Last used", Cell::When("lastUsedAt")),
        ("Revoked", Cell::When("revokedAt")),
    ],
    empty: "No API keys found. Create one with:\n  langwatch api-keys create --name <name>",
};

/// The `api-keys` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ApiKeysArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: ApiKeysCommand,
}

/// The `api-keys` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeysCommand {
    /// List the API keys that you may see
    List,
    /// Show one API key; its token cannot be shown again
    Get {
        /// Id of the API key
        id: String,
    },
    /// Create an API key and print its token, once
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// Change an API key; what is not named stays
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(Box<UpdateFlags>),
    /// End an API key at once and for good
    Revoke {
        /// Id of the API key
        id: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum KeyType {
    Personal,
    Service,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum PermissionMode {
    All,
    Readonly,
    Restricted,
}

impl PermissionMode {
    /// As the API spells it: in lower case, unlike roles.
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Readonly => "readonly",
            Self::Restricted => "restricted",
        }
    }
}

/// What create and update have in common.
#[derive(Args, Debug)]
struct GrantFlags {
    /// What the key is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// A role at a scope: ADMIN, MEMBER, VIEWER or CUSTOM, then ORGANIZATION, TEAM or PROJECT, then
    /// its id or slug (repeatable; replaces all bindings on update)
    #[arg(long = "binding", value_name = "ROLE:SCOPETYPE:ID", value_parser = parse_binding)]
    bindings: Vec<Binding>,

    /// A permission that the CUSTOM bindings grant (repeatable); makes the key restricted
    #[arg(long = "permission", value_name = "RESOURCE:ACTION", value_parser = parse_permission)]
    permissions: Vec<String>,

    /// What the bindings may be used for (default: restricted with --permission, else all)
    #[arg(long, value_name = "MODE", ignore_case = true)]
    permission_mode: Option<PermissionMode>,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the API key
    #[arg(long)]
    name: String,

    /// A service key belongs to the organization, a personal one to a person
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "service",
        ignore_case = true
    )]
    key_type: KeyType,

    #[command(flatten)]
    grants: GrantFlags,

    /// When the key ends: ISO 8601, never, or days from now such as 90d
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires_at: Option<Expiry>,

    /// Project that a service key administers (repeatable)
    #[arg(long = "project-id", value_name = "ID")]
    project_ids: Vec<String>,

    /// Person whom a personal key belongs to (default: you)
    #[arg(long, value_name = "ID")]
    assigned_to_user_id: Option<String>,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the API key
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    grants: GrantFlags,
}

pub(crate) fn run(command: ApiKeysCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ApiKeysCommand::List => list(context),
        ApiKeysCommand::Get { id } => KEYS.get(context, "get the API key", &id),
        ApiKeysCommand::Create(flags) => create(context, &flags),
        ApiKeysCommand::Update(flags) => {
            let request = KEYS.one(Method::PATCH, &flags.id, "").body(flags.body()?);
            KEYS.change(context, "update the API key", &request, "updated")
        }
        ApiKeysCommand::Revoke { id } => KEYS.remove(context, "revoke the API key", &id, "revoked"),
    }
}

fn list(context: &mut Context<'_>) -> Result<(), CliError> {
    let answer = context.send("list API keys", &KEYS.all(Method::GET))?;
    let keys: Json = rows_of(&answer, "data").to_vec().into();
    let now_ms = context.env.now_ms();
    context.show(keys, |keys, style| {
        // Whether a key has ended depends on the time, which a column does not know.
        let rows: Vec<Json> = keys.items().iter().map(|key| dated(key, now_ms)).collect();
        let columns = [
            ("ID", Cell::Field("id")),
            ("Name", Cell::Field("name")),
            ("Status", Cell::Made(status)),
            ("Bindings", Cell::Made(bindings_of)),
            ("Expires", Cell::Made(expires)),
            ("Last used", Cell::Made(last_used)),
            ("Created", Cell::When("createdAt")),
        ];
        table(&rows, style, &columns, KEYS.empty)
    })
}

/// The key with its `status`.
fn dated(key: &Json, now_ms: i64) -> Json {
    let mut key = key.clone();
    let ended = key
        .text("expiresAt")
        .and_then(|at| crate::args::parse_instant(at).ok())
        .is_some_and(|at| at <= now_ms);
    let revoked = key.get("revokedAt").is_some_and(|at| !at.is_null());
    let status = match (revoked, ended) {
        (true, _) => "revoked",
        (false, true) => "expired",
        (false, false) => "active",
    };
    key.set("status", status.into());
    key
}

fn status(key: &Json, style: Style) -> Option<String> {
    Some(match key.text("status")? {
        "active" => style.green("active"),
        "expired" => style.yellow("expired"),
        other => style.red(other),
    })
}

fn expires(key: &Json, style: Style) -> Option<String> {
    Some(when(key.get("expiresAt")).unwrap_or_else(|| style.grey("never")))
}

fn last_used(key: &Json, style: Style) -> Option<String> {
    Some(when(key.get("lastUsedAt")).unwrap_or_else(|| style.grey("never")))
}

fn create(context: &mut Context<'_>, flags: &CreateFlags) -> Result<(), CliError> {
    let body = flags.body(context.env.now_ms())?;
    let asked = body.clone();
    let request = KEYS.all(Method::POST).body(body);
    let answer = context.send("create the API key", &request)?;
    context.show_minted(answer, &["token"], |answer, style, redactor| {
        let mut key = answer.get("apiKey").cloned().unwrap_or(Json::Null);
        // The answer is short; what was asked for is what the key holds.
        for (name, value) in asked.fields() {
            if key.get(name).is_none() {
                key.set(name, value.clone());
            }
        }
        let minted = Minted {
            sentence: format!("API key \"{}\" created.", field(&key, "name")),
            secret: answer.text("token").unwrap_or_default(),
            once: true,
            lines: lines(&key, style, KEYS.details),
        };
        minted.text(style, redactor)
    })
}

impl CreateFlags {
    fn body(&self, now_ms: i64) -> Result<Json, CliError> {
        let Self {
            name,
            key_type,
            grants,
            expires_at,
            project_ids,
            assigned_to_user_id,
        } = self;
        let personal = *key_type == KeyType::Personal;
        if personal && !project_ids.is_empty() {
            return Err(CliError::usage(
                "--project-id is for service keys. Give a personal key --binding ADMIN:PROJECT:<id>.",
            ));
        }
        if personal && grants.bindings.is_empty() {
            return Err(CliError::usage(
                "A personal key needs at least one --binding, such as MEMBER:TEAM:web.",
            ));
        }
        let custom = grants.bindings.iter().any(Binding::is_custom);
        if custom && grants.permissions.is_empty() {
            return Err(CliError::usage(
                "A CUSTOM binding needs --permission. List them with `langwatch roles permissions`.",
            ));
        }
        if !custom && !grants.permissions.is_empty() {
            return Err(CliError::usage(
                "--permission needs a CUSTOM binding that says where it holds, such as \
                 --binding CUSTOM:ORGANIZATION:acme.",
            ));
        }
        if grants.permission_mode == Some(PermissionMode::Restricted) && !custom {
            return Err(CliError::usage(
                "--permission-mode restricted needs --permission and a CUSTOM binding.",
            ));
        }
        let kind = if personal { "personal" } else { "service" };
        let mut body = Json::object([("name", name.as_str().into()), ("keyType", kind.into())]);
        grants.add_to(&mut body)?;
        if let Some(expiry) = expires_at.as_ref().filter(|at| **at != Expiry::Never) {
            body.set("expiresAt", expiry.to_json(now_ms));
        }
        set_texts(&mut body, "projectIds", project_ids);
        set_text(
            &mut body,
            "assignedToUserId",
            assigned_to_user_id.as_deref(),
        );
        Ok(body)
    }
}

impl UpdateFlags {
    fn body(&self) -> Result<Json, CliError> {
        let Self {
            id: _,
            name,
            grants,
        } = self;
        let mut body = Json::object([]);
        set_text(&mut body, "name", name.as_deref());
        grants.add_to(&mut body)?;
        something(
            body,
            "--name, --description, --binding, --permission, --permission-mode",
        )
    }
}

impl GrantFlags {
    fn add_to(&self, body: &mut Json) -> Result<(), CliError> {
        let Self {
            description,
            bindings,
            permissions,
            permission_mode,
        } = self;
        if bindings.iter().any(|one| one.custom_role_id().is_some()) {
            return Err(CliError::usage(
                "An API key takes no custom role: name what it may do with --permission.",
            ));
        }
        let mut mode = *permission_mode;
        if !permissions.is_empty() {
            if mode.is_some_and(|mode| mode != PermissionMode::Restricted) {
                return Err(CliError::usage(
                    "--permission makes the key restricted. Leave --permission-mode out.",
                ));
            }
            mode = Some(PermissionMode::Restricted);
        }
        set_text(body, "description", description.as_deref());
        if let Some(mode) = mode {
            body.set("permissionMode", mode.name().into());
        }
        set_texts(body, "permissions", permissions);
        if !bindings.is_empty() {
            body.set("bindings", bindings_json(bindings));
        }
        Ok(())
    }
}
