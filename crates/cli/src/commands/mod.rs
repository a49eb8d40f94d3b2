//! The command groups: what each takes, sends and prints.
//!
//! A command reads its flags, makes one or a few calls, and hands the answer to the printer in the
//! shape that the specification of the command line gives.

mod access;
pub(crate) mod account;
pub(crate) mod api_keys;
pub(crate) mod as_code;
pub(crate) mod audit;
mod cache_rule_flags;
mod cache_rule_view;
pub(crate) mod cache_rules;
mod collection;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod env;
pub(crate) mod explain;
mod flags;
mod gateway_budget_flags;
mod gateway_budget_view;
pub(crate) mod gateway_budgets;
pub(crate) mod groups;
mod guardrail_view;
pub(crate) mod guardrails;
pub(crate) mod invites;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod members;
pub(crate) mod model_prices;
pub(crate) mod model_provider;
mod model_provider_flags;
mod model_provider_view;
pub(crate) mod open;
pub(crate) mod organization;
pub(crate) mod organizations;
pub(crate) mod projects;
mod provider_names;
mod resource;
pub(crate) mod role_bindings;
pub(crate) mod roles;
pub(crate) mod routing_policies;
mod routing_policy_flags;
mod routing_policy_view;
pub(crate) mod teams;
pub(crate) mod tools;
pub(crate) mod trace;
mod trace_digest;
mod virtual_key_effective;
mod virtual_key_flags;
mod virtual_key_view;
pub(crate) mod virtual_keys;

use crate::json::Json;

/// The object itself, whether the server wrapped it in `{name: …}` or not.
pub(crate) fn bare(mut answer: Json, name: &str) -> Json {
    match answer.take(name) {
        Some(inner @ Json::Object(_)) => inner,
        Some(other) => {
            answer.set(name, other);
            answer
        }
        None => answer,
    }
}
