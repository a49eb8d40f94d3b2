//! What a person can do about a refusal: for each error code of the server, the next command.
//!
//! One table. A line names what the server told in `meta` where it did, as `{name}`. Nothing here
//! repeats a message, and no line is given that the facts of the failure do not support.

use crate::failure::Failure;
use crate::json::Json;

/// When a line is worth saying.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Always,
    /// The server named this.
    Has(&'static str),
    /// The server did not.
    Lacks(&'static str),
    /// The server named this, and it is that.
    Is(&'static str, &'static str),
}

use When::{Always, Has, Is, Lacks};

/// Error code, condition, what to do. Commands stand between backticks.
pub(crate) const ADVICE: &[(&str, When, &str)] = &[
    // Who is calling.
    (
        "not_logged_in",
        Always,
        "Run `langwatch login --api-key <key>`, or set LANGWATCH_API_KEY to an API key.",
    ),
    ("invalid_credentials", Always, SIGN_IN),
    ("missing_credentials", Always, SIGN_IN),
    ("unauthenticated", Always, SIGN_IN),
    ("unauthorized", Always, SIGN_IN),
    (
        "credential_class_mismatch",
        Has("required"),
        "This takes another kind of credential ({required}). Set LANGWATCH_API_KEY to one; `langwatch whoami` shows the one in use.",
    ),
    (
        "credential_class_mismatch",
        Lacks("required"),
        "This needs an organization API key. Set LANGWATCH_API_KEY to one; `langwatch whoami` shows the one in use.",
    ),
    // What the caller may do.
    (
        "api_key_permission_denied",
        Has("permission"),
        "Have an administrator run `langwatch api-keys update <id> --permission {permission}`, naming the key's other permissions too: they are replaced.",
    ),
    ("api_key_permission_denied", Lacks("permission"), WHO_AM_I),
    (
        "insufficient_permissions",
        Has("required_permission"),
        "Run `langwatch whoami` to see the credential in use, which lacks {required_permission}.",
    ),
    (
        "insufficient_permissions",
        Lacks("required_permission"),
        WHO_AM_I,
    ),
    ("permission_denied", Always, WHO_AM_I),
    ("forbidden", Always, WHO_AM_I),
    (
        "guardrail_attach_forbidden",
        Always,
        "Attaching needs a permission at the project of the guardrail; `langwatch whoami` shows the credential in use.",
    ),
    // Where.
    (
        "project_required",
        Always,
        "Name a scope, such as `--scope project:<id>`, or set LANGWATCH_PROJECT_ID.",
    ),
    (
        "project_not_found",
        Always,
        "Run `langwatch projects list` to see the projects that this credential reaches.",
    ),
    (
        "gateway_scope_org_mismatch",
        Has("scope_type"),
        "The {scope_type} belongs to no organization of this credential; `langwatch whoami` shows the organization in use.",
    ),
    (
        "gateway_scope_org_mismatch",
        Lacks("scope_type"),
        "The id belongs to no organization of this credential; `langwatch whoami` shows the organization in use.",
    ),
    (
        "trace_project_required",
        Always,
        "Name the project that receives the traces with `--trace-project <id>`.",
    ),
    (
        "gateway_trace_project_unknown",
        Always,
        "Run `langwatch projects list`, and name one with `--trace-project <id>`.",
    ),
    (
        "gateway_trace_project_ambiguous",
        Always,
        "Several projects fit: name one with `--trace-project <id>`.",
    ),
    // Virtual keys.
    (
        "virtual_key_not_found",
        Always,
        "Run `langwatch virtual-keys list` to see the keys that this credential reaches.",
    ),
    (
        "virtual_key_expiry_in_past",
        Always,
        "Give an end in the future, such as `--expires-at 90d`, or `--expires-at never`.",
    ),
    (
        "routing_policy_required",
        Always,
        "Run `langwatch routing-policies list`, and name one with `--routing-policy <id>`.",
    ),
    (
        "routing_policy_conflict",
        Always,
        "A policy goes with `--routing-mode policy` only: leave --routing-mode out, or take the policy away with `langwatch virtual-keys update <id> --clear-routing-policy`.",
    ),
    (
        "providers_allowed_empty",
        Always,
        "Leave --providers-allowed out to allow every provider that the key reaches.",
    ),
    (
        "providers_not_in_scope",
        Always,
        "Run `langwatch model-provider list --all` to compare scopes, then widen one with `langwatch model-provider update <id> --scope <type:id>`.",
    ),
    (
        "gateway_guardrail_project_mismatch",
        Always,
        "Run `langwatch guardrails list`: a key takes guardrails of its own project, or of its trace project.",
    ),
    // Budgets.
    ("gateway_budget_not_found", Always, BUDGETS),
    ("budget_not_found", Always, BUDGETS),
    (
        "gateway_budget_scope_unreachable",
        Is("scope_type", "team"),
        "Create a key that counts toward it with `langwatch virtual-keys create --name <name> --scope team:<id>`.",
    ),
    (
        "gateway_budget_scope_unreachable",
        Is("scope_type", "project"),
        "Create a key that counts toward it with `langwatch virtual-keys create --name <name> --scope project:<id>`.",
    ),
    (
        "gateway_budget_scope_unreachable",
        Is("scope_type", "group"),
        "Create a key for a member with `langwatch virtual-keys create --name <name> --principal-user <id>`.",
    ),
    (
        "gateway_budget_scope_unreachable",
        Always,
        "To create it before such a key exists, run `langwatch gateway-budgets create` again with `--allow-unreachable`.",
    ),
    (
        "gateway_budget_cycle_anchor_invalid",
        Always,
        "Leave --cycle-anchor-at out, or choose a window that repeats, such as `--window month`.",
    ),
    // The other resources.
    (
        "cache_rule_not_found",
        Always,
        "Run `langwatch cache-rules list` to see the rules there are.",
    ),
    (
        "guardrail_not_found",
        Always,
        "Run `langwatch guardrails list` to see the guardrails there are.",
    ),
    ("routing_policy_not_found", Always, POLICIES),
    (
        "routing_policy_must_have_provider",
        Always,
        "Name at least one with `--model-provider <id>`; `langwatch model-provider list --all` shows them.",
    ),
    (
        "routing_policy_must_have_scope",
        Always,
        "Name at least one with `--scope <type:id>`.",
    ),
    (
        "routing_policy_model_must_be_concrete",
        Always,
        "Name a dated or numbered model: a name such as latest changes its meaning without you.",
    ),
    ("model_provider_not_found", Always, PROVIDERS),
    ("gateway_provider_bindings_gone", Always, PROVIDERS),
    (
        "routing_handle_conflict",
        Always,
        "Another provider has this handle: choose another one; `langwatch model-provider list --all` shows them.",
    ),
    (
        "model_price_not_found",
        Always,
        "Run `langwatch model-prices list` to see the prices there are.",
    ),
    (
        "request_not_found",
        Always,
        "A request is known shortly after its answer: wait a moment and run the command again.",
    ),
    // Two at a time.
    (
        "external_id_conflict",
        Is("resource", "virtual_key"),
        "See who has it with `langwatch virtual-keys list --external-id {external_id}`.",
    ),
    (
        "external_id_conflict",
        Is("resource", "budget"),
        "See who has it with `langwatch gateway-budgets list --external-id {external_id}`.",
    ),
    (
        "external_id_conflict",
        Lacks("resource"),
        "Choose another `--external-id <id>`: this one is taken.",
    ),
    (
        "idempotency_error",
        Is("reason", "in_progress"),
        "The first call with this key still runs: wait a moment and run the same command again.",
    ),
    (
        "idempotency_error",
        Is("reason", "body_mismatch"),
        "This key belongs to a call that asked for something else: choose another `--idempotency-key <key>`.",
    ),
    (
        "revision_conflict",
        Always,
        "Somebody else changed it meanwhile: read it again, and run the command again if it still makes sense.",
    ),
    // What was asked.
    (
        "validation_error",
        Has("fields"),
        "Correct {fields}; the command with `--help` explains every flag.",
    ),
    (
        "validation_error",
        Lacks("fields"),
        "The command with `--help` explains every flag.",
    ),
    (
        "invalid_cursor",
        Always,
        "Run the command again from the beginning.",
    ),
    (
        "rate_limited",
        Has("retry_after_seconds"),
        "Run the same command again in {retry_after_seconds} s.",
    ),
    (
        "rate_limited",
        Lacks("retry_after_seconds"),
        "Run the same command again in a minute.",
    ),
];

const SIGN_IN: &str = "Check LANGWATCH_API_KEY, or run `langwatch login --api-key <key>`.";
const WHO_AM_I: &str = "Run `langwatch whoami` to see the credential in use, and ask an administrator for the permission.";
const BUDGETS: &str =
    "Run `langwatch gateway-budgets list` to see the budgets that are not archived.";
const POLICIES: &str = "Run `langwatch routing-policies list` to see the policies there are.";
const PROVIDERS: &str = "Run `langwatch model-provider list --all` to see the providers by id.";

/// What to do about the failure; nothing when no advice is known.
pub(crate) fn suggestions(failure: &Failure) -> Vec<String> {
    let meta = |name: &str| {
        let value = failure.meta.iter().find(|(known, _)| known == name);
        value.and_then(|(_, value)| plain(value))
    };
    let fits = |when: When| match when {
        Always => true,
        Has(name) => meta(name).is_some(),
        Lacks(name) => meta(name).is_none(),
        Is(name, wanted) => meta(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted)),
    };
    let mut lines: Vec<String> = ADVICE
        .iter()
        .filter(|(code, when, _)| *code == failure.code && fits(*when))
        .filter_map(|(_, _, line)| filled(line, &meta))
        .collect();
    if lines.is_empty() && failure.status == Some(401) {
        lines.push(SIGN_IN.to_owned());
    }
    lines
}

/// The line with its names filled in; nothing when one of them is not known.
fn filled(line: &str, meta: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&meta(name)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// A word, a number, or a list of them.
fn plain(value: &Json) -> Option<String> {
    match value {
        Json::String(text) if text.is_empty() || text == "unknown" => None,
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(plain).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        Json::Null | Json::Bool(_) | Json::Object(_) => None,
    }
}
