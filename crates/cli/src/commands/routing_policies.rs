//! `routing-policies`: which providers a key may use, in which order, under which rules.

use clap::{Args, Subcommand};

use super::collection::Collection;
use super::routing_policy_flags::{CreateFlags, Selector, UpdateFlags, parse_selector};
use super::routing_policy_view as view;
use super::{bare, virtual_keys};
use crate::client::Headers;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;

const POLICIES: Collection = Collection {
    base: "/api/gateway/v1/routing-policies",
    headers: Headers::Project,
    envelope: "routing_policy",
};

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch routing-policies create --name openai-then-anthropic --scope ORG:acme \\
    --model-provider <id> --model-provider <id> --format json | jq -r '.id'
  langwatch routing-policies create --name cheap --model-provider my-handle \\
    --alias fast=openai/gpt-5-mini --fallback-on 5xx,timeout --max-attempts 2";

/// The `routing-policies` group.
#[derive(Args, Debug)]
pub struct RoutingPoliciesArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: RoutingPoliciesCommand,
}

/// The `routing-policies` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum RoutingPoliciesCommand {
    /// Create a routing policy
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// List routing policies: the default first, then by name
    List {
        /// Only those that a virtual key, or a key of a scope (TYPE:ID), may select
        #[arg(long, value_name = "KEY_OR_SCOPE", value_parser = parse_selector)]
        selectable_by: Option<Selector>,
    },
    /// Show one routing policy
    Get {
        /// Id of the routing policy
        id: String,
    },
    /// Change a routing policy; what is not named stays
    Update(Box<UpdateFlags>),
    /// Make it the policy that new keys of its scopes are offered first
    SetDefault {
        /// Id of the routing policy
        id: String,
    },
    /// Delete a routing policy; its keys fall back to all their providers, or to a replacement
    Delete {
        /// Id of the routing policy
        id: String,
        /// Policy that its keys move to
        #[arg(long, value_name = "ID")]
        replacement: Option<String>,
    },
}

pub(crate) fn run(
    command: RoutingPoliciesCommand,
    context: &mut Context<'_>,
) -> Result<(), CliError> {
    match command {
        RoutingPoliciesCommand::Create(flags) => {
            let request = POLICIES.create(flags.body(context)?, flags.idempotency_key());
            let policy = POLICIES.one(context, "create the routing policy", &request)?;
            context.show(policy, |policy, style| {
                view::changed(policy, style, "created")
            })
        }
        RoutingPoliciesCommand::List { selectable_by } => {
            let policies = list(context, selectable_by)?;
            context.show(policies.into(), view::list)
        }
        RoutingPoliciesCommand::Get { id } => {
            let policy = get(context, &id)?;
            context.show(policy, view::policy)
        }
        RoutingPoliciesCommand::Update(flags) => {
            // The server may take `fallback` as a whole: what is not named has to travel along.
            let mut stored = None;
            if flags.changes_fallback() {
                stored = get(context, flags.id())?.take("fallback");
            }
            let body = flags.body(context, stored)?;
            let request = POLICIES.patch(flags.id(), body);
            let policy = POLICIES.one(context, "update the routing policy", &request)?;
            context.show(policy, |policy, style| {
                view::changed(policy, style, "updated")
            })
        }
        RoutingPoliciesCommand::SetDefault { id } => {
            let request = POLICIES.post(&id, "/set-default", Json::Object(Vec::new()));
            let policy = POLICIES.one(context, "set the default routing policy", &request)?;
            context.show(policy, |policy, style| {
                view::changed(policy, style, "is the default now")
            })
        }
        RoutingPoliciesCommand::Delete { id, replacement } => {
            let request = POLICIES
                .delete(&id)
                .query("replacement_policy_id", replacement);
            let mut answer = context.send("delete the routing policy", &request)?;
            let affected = answer.take("affected_virtual_keys");
            let mut policy = bare(answer, POLICIES.envelope);
            if let Some(affected) = affected {
                policy.set("affected_virtual_keys", affected);
            }
            context.show(policy, view::deleted)
        }
    }
}

fn get(context: &mut Context<'_>, id: &str) -> Result<Json, CliError> {
    POLICIES.one(context, "get the routing policy", &POLICIES.get(id))
}

/// A key may select what any of its scopes may.
fn list(context: &mut Context<'_>, selector: Option<Selector>) -> Result<Vec<Json>, CliError> {
    let action = "list routing policies";
    let scopes = match selector {
        None => return context.send_all(action, POLICIES.list()),
        Some(Selector::Scope(scope)) => vec![scope],
        Some(Selector::VirtualKey(id)) => {
            let mut key = virtual_keys::get(context, &id)?;
            match key.take("scopes") {
                Some(Json::Array(scopes)) => scopes,
                _ => Vec::new(),
            }
        }
    };
    let mut found: Vec<Json> = Vec::new();
    for scope in scopes {
        let part = |name| scope.text(name).unwrap_or_default().to_owned();
        let kind = part("scope_type").to_ascii_lowercase();
        let filter = format!("{kind}:{}", part("scope_id"));
        let request = POLICIES.list().query("selectable_for", Some(filter));
        for policy in context.send_all(action, request)? {
            if found
                .iter()
                .all(|known| known.get("id") != policy.get("id"))
            {
                found.push(policy);
            }
        }
    }
    found.sort_by_key(|policy| {
        let is_default = policy.get("is_default").and_then(Json::as_bool) == Some(true);
        let name = policy.text("name").unwrap_or_default().to_owned();
        (!is_default, name)
    });
    Ok(found)
}
