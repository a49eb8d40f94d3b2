//! The one table of error codes, and the one place that turns an error into a body.
//!
//! A code is a public promise: its name, its status and whose fault it is stand in one row, chosen by a
//! `match` without a wildcard. Data-plane codes are those of data-plane 20.2, management codes those of
//! management-api 4. An [`Error`] has two texts: `message` is public; `internal` is for the log and
//! there is no way from the second to the first.
//!
//! Must never show an internal text to a caller. Start at [`Code::row`] and [`render`].

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::trace::{SpanId, TraceId};

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The caller can mend it.
    Customer,
    /// The operator of this gateway must.
    Platform,
    /// The provider must.
    Provider,
}

/// What a code promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The stable name, `error.code`.
    pub name: &'static str,
    /// `error.type` on the data plane; the same as `name` but for a few.
    pub kind: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Whose fault it is.
    pub fault: Fault,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = ($name:literal, $status:literal, $fault:ident $(, $kind:literal)?);)*) => {
        /// Every error that this product can answer with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The row of the table.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        name: $name,
                        kind: codes!(@kind $name $(, $kind)?),
                        status: $status,
                        fault: Fault::$fault,
                    },)*
                }
            }
        }
    };
    (@kind $name:literal) => { $name };
    (@kind $name:literal, $kind:literal) => { $kind };
}

codes! {
    // --- data plane (data-plane 20.2) ---
    /// No key, a malformed key, an unknown key.
    InvalidApiKey = ("invalid_api_key", 401, Customer);
    /// The key was revoked; terminal.
    VirtualKeyRevoked = ("virtual_key_revoked", 403, Customer);
    /// The key is disabled; reversible.
    VirtualKeyDisabled = ("virtual_key_disabled", 403, Customer);
    /// The key is past its date.
    VirtualKeyExpired = ("virtual_key_expired", 403, Customer);
    /// Nothing that the key may use serves the model.
    ModelNotAllowed = ("model_not_allowed", 403, Customer);
    /// A rule refuses a tool or an MCP server of the request.
    ToolNotAllowed = ("tool_not_allowed", 403, Customer);
    /// A rule refuses a URL in the request.
    UrlNotAllowed = ("url_not_allowed", 403, Customer);
    /// The request cannot be read. Also the management plane's word for other malformed input.
    BadRequest = ("bad_request", 400, Customer);
    /// No model was named.
    MissingModel = ("missing_model", 400, Customer);
    /// The key reaches no provider at all.
    NoProviderConfigured = ("no_provider_configured", 400, Customer);
    /// A `block` budget is spent, or the call does not fit into what is left.
    BudgetExceeded = ("budget_exceeded", 402, Customer);
    /// A strict `block` budget applies and nobody knows what the model costs.
    ModelUnpriced = ("model_unpriced", 403, Customer);
    /// A guardrail stopped a stream; only ever inside a stream.
    StreamChunkBlocked = ("stream_chunk_blocked", 403, Customer, "guardrail_blocked");
    /// A budget for each end user applies and the request names none.
    EndUserRequired = ("end_user_required", 400, Customer);
    /// `X-LangWatch-Cache` cannot be read.
    CacheOverrideInvalid = ("cache_override_invalid", 400, Customer);
    /// The key is over one of its rate limits.
    KeyRateLimitExceeded = ("vk_rate_limit_exceeded", 429, Customer, "rate_limit_exceeded");
    /// The provider row is over one of its rate limits and nothing else could serve.
    ProviderRateLimitExceeded = ("provider_rate_limit_exceeded", 429, Customer, "rate_limit_exceeded");
    /// A parameter cannot be honoured on this lane.
    UnsupportedParameter = ("unsupported_parameter", 400, Customer);
    /// A guardrail stopped the request or its answer; `meta.policies_triggered` says which.
    GuardrailBlocked = ("guardrail_blocked", 403, Customer);
    /// No such route, or no such model in the list.
    NotFound = ("not_found", 404, Customer);
    /// The method is not served on this route.
    MethodNotAllowed = ("bad_request", 405, Customer);
    /// The body is over the cap.
    PayloadTooLarge = ("payload_too_large", 413, Customer);
    /// Anything unclassified; always a bug or a broken machine.
    InternalError = ("internal_error", 500, Platform);
    /// The provider could not be reached or failed without an answer.
    ProviderError = ("provider_error", 502, Provider);
    /// All attempts are used up and there is no error to show.
    ChainExhausted = ("chain_exhausted", 502, Provider);
    /// Every candidate was skipped by its circuit breaker.
    CircuitOpen = ("circuit_open", 503, Provider);
    /// The key could not be looked up.
    AuthUpstreamUnavailable = ("auth_upstream_unavailable", 503, Platform);
    /// The spend could not be recorded.
    BudgetUnavailable = ("budget_unavailable", 503, Platform);
    /// A policy rule of the key is no pattern, so nothing that needs it is let through.
    PolicyRulesInvalidRegex = ("policy_rules_invalid_regex", 503, Customer, "service_unavailable");
    /// A guardrail could not be asked, and nothing passes without it.
    GuardrailUpstreamUnavailable = ("guardrail_upstream_unavailable", 503, Platform);
    /// The process is at one of its bounds (bytes in flight, connections).
    Overloaded = ("service_unavailable", 503, Platform);
    /// The provider did not answer in time.
    UpstreamTimeout = ("upstream_timeout", 504, Provider);
    /// The provider broke off after the answer had begun; only ever inside a stream.
    UpstreamMidStreamFailure = ("upstream_mid_stream_failure", 502, Provider, "provider_error");

    // --- management plane (management-api 4) ---
    /// The request carried no credential.
    MissingCredentials = ("missing_credentials", 401, Customer);
    /// The credential is unknown, expired or revoked.
    InvalidCredentials = ("invalid_credentials", 401, Customer);
    /// The credential may not do this.
    PermissionDenied = ("permission_denied", 403, Customer);
    /// The credential is of a class that this family does not take; `meta.required` says which it takes.
    CredentialClassMismatch = ("credential_class_mismatch", 401, Customer);
    /// The API key lacks the permission of the route; `meta.permission` names it.
    ApiKeyPermissionDenied = ("api_key_permission_denied", 403, Customer);
    /// The same on organization families; `meta.required_permission` names it.
    InsufficientPermissions = ("insufficient_permissions", 403, Customer);
    /// The installation does not have the feature (C-14).
    Forbidden = ("forbidden", 403, Customer);
    /// Too many management calls with one credential.
    ManagementRateLimited = ("rate_limited", 429, Customer);
    /// A field is missing or wrong; `meta.fields` and `meta.reasons` say which.
    ValidationError = ("validation_error", 400, Customer);
    /// The cursor of a list is garbled.
    InvalidCursor = ("invalid_cursor", 400, Customer);
    /// No such virtual key, or not yours.
    VirtualKeyNotFound = ("virtual_key_not_found", 404, Customer);
    /// The expiry date lies in the past.
    VirtualKeyExpiryInPast = ("virtual_key_expiry_in_past", 400, Customer);
    /// The named trace project does not exist here.
    TraceProjectUnknown = ("gateway_trace_project_unknown", 400, Customer);
    /// Several projects could receive the key's traces and none was named.
    TraceProjectAmbiguous = ("gateway_trace_project_ambiguous", 400, Customer);
    /// No project could be found to file the key's traces in.
    TraceProjectRequired = ("trace_project_required", 400, Customer);
    /// A scope id is not one of this organization's.
    ScopeOrgMismatch = ("gateway_scope_org_mismatch", 400, Customer);
    /// A scope is needed and was not given.
    ProjectRequired = ("project_required", 400, Customer);
    /// `providersAllowed` is an empty list.
    ProvidersAllowedEmpty = ("providers_allowed_empty", 400, Customer);
    /// `providersAllowed` names a provider that the key cannot reach.
    ProvidersNotInScope = ("providers_not_in_scope", 400, Customer);
    /// Another row already has this external id.
    ExternalIdConflict = ("external_id_conflict", 409, Customer);
    /// The idempotency key was used for another body, or its first use is still running.
    IdempotencyError = ("idempotency_error", 409, Customer);
    /// The row changed since it was read.
    RevisionConflict = ("revision_conflict", 409, Customer);
    /// No such model provider, or not yours.
    ModelProviderNotFound = ("model_provider_not_found", 404, Customer);
    /// Provider bindings were replaced by model providers.
    ProviderBindingsGone = ("gateway_provider_bindings_gone", 410, Customer);
    /// Another provider already has this handle.
    RoutingHandleConflict = ("routing_handle_conflict", 409, Customer);
    /// The mode is `policy` and no policy is named.
    RoutingPolicyRequired = ("routing_policy_required", 400, Customer);
    /// A policy is named and the mode is another one.
    RoutingPolicyConflict = ("routing_policy_conflict", 400, Customer);
    /// No such routing policy, or not yours.
    RoutingPolicyNotFound = ("routing_policy_not_found", 404, Customer);
    /// A policy must list a provider.
    RoutingPolicyMustHaveProvider = ("routing_policy_must_have_provider", 400, Customer);
    /// A policy must have a scope.
    RoutingPolicyMustHaveScope = ("routing_policy_must_have_scope", 400, Customer);
    /// A policy must not name a floating model.
    RoutingPolicyModelMustBeConcrete = ("routing_policy_model_must_be_concrete", 400, Customer);
    /// A guardrail belongs to another project than the key's.
    GuardrailProjectMismatch = ("gateway_guardrail_project_mismatch", 400, Customer);
    /// The caller may not attach guardrails there.
    GuardrailAttachForbidden = ("guardrail_attach_forbidden", 403, Customer);
    /// No such guardrail, or not yours.
    GuardrailNotFound = ("guardrail_not_found", 404, Customer);
    /// No such budget, or not yours: the answer of writes.
    GatewayBudgetNotFound = ("gateway_budget_not_found", 404, Customer);
    /// No such budget, or not yours: the answer of reads.
    BudgetNotFound = ("budget_not_found", 404, Customer);
    /// No active key would count for the budget.
    BudgetScopeUnreachable = ("gateway_budget_scope_unreachable", 400, Customer);
    /// The window has no cycles that could be anchored.
    BudgetCycleAnchorInvalid = ("gateway_budget_cycle_anchor_invalid", 400, Customer);
    /// No such cache rule, or not yours.
    CacheRuleNotFound = ("cache_rule_not_found", 404, Customer);
    /// No such own price, or not yours.
    ModelPriceNotFound = ("model_price_not_found", 404, Customer);
    /// The organization already has a price for the model.
    ModelPriceConflict = ("model_price_conflict", 409, Customer);
    /// No such organization.
    OrganizationNotFound = ("organization_not_found", 404, Customer);
    /// Another row already has this slug.
    SlugConflict = ("slug_conflict", 409, Customer);
    /// Another row already has this name.
    NameConflict = ("name_conflict", 409, Customer);
    /// No such team, or not yours.
    TeamNotFound = ("team_not_found", 404, Customer);
    /// The team still holds what would lose its place.
    TeamInUse = ("team_in_use", 409, Customer);
    /// No such member.
    MemberNotFound = ("member_not_found", 404, Customer);
    /// The organization must keep an administrator.
    LastAdmin = ("last_admin", 409, Customer);
    /// No such group.
    GroupNotFound = ("group_not_found", 404, Customer);
    /// No such role.
    RoleNotFound = ("role_not_found", 404, Customer);
    /// Something is still bound to the role.
    RoleInUse = ("role_in_use", 409, Customer);
    /// No such role binding.
    RoleBindingNotFound = ("role_binding_not_found", 404, Customer);
    /// No such invitation.
    InviteNotFound = ("invite_not_found", 404, Customer);
    /// The person is a member already, or has a pending invitation.
    AlreadyMember = ("already_member", 409, Customer);
    /// No such API key, or not yours.
    ApiKeyNotFound = ("api_key_not_found", 404, Customer);
    /// The API key is somebody else's.
    ApiKeyNotOwned = ("api_key_not_owned", 403, Customer);
    /// The API key is revoked already.
    ApiKeyAlreadyRevoked = ("api_key_already_revoked", 409, Customer);
    /// A binding reaches beyond what its owner may do.
    ApiKeyScopeViolation = ("api_key_scope_violation", 403, Customer);
    /// The name is the product's own.
    ApiKeyReservedName = ("api_key_reserved_name", 422, Customer);
    /// No such project, or not yours.
    ProjectNotFound = ("project_not_found", 404, Customer);
    /// No such trace, or not yours.
    TraceNotFound = ("trace_not_found", 404, Customer);
    /// The prefix matches several traces.
    TraceAmbiguous = ("trace_ambiguous", 409, Customer);
    /// No such gateway request, or not yours.
    RequestNotFound = ("request_not_found", 404, Customer);
    /// The request did not arrive in time.
    RequestTimeout = ("request_timeout", 408, Customer);
    /// The store cannot be reached or is locked.
    StoreUnavailable = ("store_unavailable", 503, Platform);
}

/// The envelopes that callers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Data plane, OpenAI routes and everything without a dialect of its own.
    OpenAi,
    /// Data plane, `/v1/messages`: the same object under a top-level `"type":"error"`.
    Anthropic,
    /// Management API, canonical families (management-api 3.1).
    Management,
    /// Management API, legacy families (management-api 3.2).
    ManagementLegacy,
}

/// A failure that this product answers for.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    internal: Option<String>,
    param: Option<String>,
    meta: Map<String, Value>,
    tips: Vec<String>,
    retry_after: Option<u64>,
}

impl Error {
    /// A failure with its public text.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            internal: None,
            param: None,
            meta: Map::new(),
            tips: Vec::new(),
            retry_after: None,
        }))
    }

    /// Adds the text for the log: the whole chain of causes. Never shown to a caller.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.internal = Some(cause.to_string());
        self
    }

    /// Names the place in the request that is at fault (`error.param`).
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Adds one machine-readable fact; keys are `lower_snake_case`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.meta.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a hint on what to do next.
    #[must_use]
    pub fn tip(mut self, tip: impl Into<String>) -> Self {
        self.0.tips.push(tip.into());
        self
    }

    /// Says after how many seconds another try makes sense (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The public text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The text for the log.
    #[must_use]
    pub fn internal(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    /// One machine-readable fact.
    #[must_use]
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.0.meta.get(key)
    }

    /// Seconds for `Retry-After`.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.code.row().status
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.code.row().name;
        match &self.0.internal {
            Some(internal) => write!(f, "{name}: {}: {internal}", self.0.message),
            None => write!(f, "{name}: {}", self.0.message),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

/// The ids that an error body repeats from the response headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Correlation {
    /// The trace that the request is part of.
    pub trace_id: Option<TraceId>,
    /// The request's own span.
    pub span_id: Option<SpanId>,
}

/// Renders the body of `error` for a caller that speaks `dialect`: JSON, one object.
#[must_use]
pub fn render(error: &Error, dialect: Dialect, correlation: Correlation) -> String {
    let value = match dialect {
        Dialect::OpenAi | Dialect::Anthropic => data_plane(error, dialect, correlation),
        Dialect::Management => management(error, correlation),
        Dialect::ManagementLegacy => management_legacy(error, correlation),
    };
    Value::Object(value).to_string()
}

fn data_plane(error: &Error, dialect: Dialect, correlation: Correlation) -> Map<String, Value> {
    let Inner {
        code,
        message,
        internal: _,
        param,
        meta,
        tips,
        retry_after: _,
    } = &*error.0;
    let row = code.row();
    let mut object = Map::new();
    object.insert("type".into(), row.kind.into());
    object.insert("code".into(), row.name.into());
    object.insert("message".into(), message.as_str().into());
    object.insert("param".into(), param.as_deref().into());
    if !meta.is_empty() {
        object.insert("meta".into(), meta.clone().into());
    }
    add_correlation(&mut object, correlation);
    if !tips.is_empty() {
        object.insert("tips".into(), tips.clone().into());
    }
    object.insert(
        "fault".into(),
        serde_json::to_value(row.fault).unwrap_or_default(),
    );
    let mut outer = Map::new();
    if dialect == Dialect::Anthropic {
        outer.insert("type".into(), "error".into());
    }
    outer.insert("error".into(), object.into());
    outer
}

fn management(error: &Error, correlation: Correlation) -> Map<String, Value> {
    let Inner {
        code,
        message,
        internal: _,
        param: _,
        meta,
        tips,
        retry_after: _,
    } = &*error.0;
    let row = code.row();
    let mut object = Map::new();
    object.insert("type".into(), type_of_status(row.status).into());
    // Management answers say nothing about a failure of ours but that there was one (3.1).
    let hidden = row.status >= 500;
    let name = if hidden {
        Code::InternalError.row().name
    } else {
        row.name
    };
    let text = if hidden {
        "An unknown error occurred"
    } else {
        message.as_str()
    };
    object.insert("code".into(), name.into());
    object.insert("message".into(), text.into());
    if !meta.is_empty() && !hidden {
        object.insert("meta".into(), meta.clone().into());
    }
    if !tips.is_empty() && !hidden {
        object.insert("tips".into(), tips.clone().into());
    }
    add_correlation(&mut object, correlation);
    let mut outer = Map::new();
    outer.insert("error".into(), object.into());
    outer
}

fn management_legacy(error: &Error, correlation: Correlation) -> Map<String, Value> {
    let Inner {
        code,
        message,
        internal: _,
        param: _,
        meta,
        tips,
        retry_after: _,
    } = &*error.0;
    let row = code.row();
    let hidden = row.status >= 500;
    // Refusals of the credential say a phrase; everything else says its code (3.2).
    let phrase = match code {
        Code::MissingCredentials | Code::InvalidCredentials => "Unauthorized",
        Code::PermissionDenied | Code::Forbidden => "Forbidden",
        _ if hidden => Code::InternalError.row().name,
        _ => row.name,
    };
    let text = if hidden {
        "An unknown error occurred"
    } else {
        message.as_str()
    };
    let mut outer = Map::new();
    outer.insert("error".into(), phrase.into());
    outer.insert("message".into(), text.into());
    if !hidden && phrase != row.name {
        outer.insert("code".into(), row.name.into());
    }
    if !hidden {
        outer.extend(meta.clone());
        if !tips.is_empty() {
            outer.insert("tips".into(), tips.clone().into());
        }
    }
    if let Some(trace_id) = correlation.trace_id {
        let mut trace = Map::new();
        trace.insert("traceId".into(), trace_id.to_string().into());
        trace.insert(
            "spanId".into(),
            correlation.span_id.map(|id| id.to_string()).into(),
        );
        outer.insert("trace".into(), trace.into());
    }
    outer
}

fn add_correlation(object: &mut Map<String, Value>, correlation: Correlation) {
    if let Some(trace_id) = correlation.trace_id {
        object.insert("trace_id".into(), trace_id.to_string().into());
    }
    if let Some(span_id) = correlation.span_id {
        object.insert("span_id".into(), span_id.to_string().into());
    }
}

/// `error.type` of the management envelope, derived from the status only (management-api 3.1).
#[must_use]
pub const fn type_of_status(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        409 => "conflict",
        410 => "gone",
        412 => "precondition_failed",
        422 => "unprocessable_entity",
        429 => "rate_limited",
        _ => "internal_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Error {
        Error::new(
            Code::ModelNotAllowed,
            "the key does not reach a provider for `gpt-9`",
        )
        .at("model")
        .with("reason", "model_not_recognized")
        .tip("Ask an administrator to add a provider.")
        .because("secret internals")
    }

    #[test]
    fn every_dialect_has_its_envelope() {
        for (name, dialect) in [
            ("openai", Dialect::OpenAi),
            ("anthropic", Dialect::Anthropic),
            ("management", Dialect::Management),
            ("management_legacy", Dialect::ManagementLegacy),
        ] {
            let body = render(&sample(), dialect, Correlation::default());
            assert!(!body.contains("internals"), "{body}");
            insta::assert_snapshot!(name, body);
        }
    }

    #[test]
    fn a_management_failure_of_ours_hides_its_cause() {
        let error = Error::new(Code::StoreUnavailable, "disk 7 is on fire").because("ENOSPC");
        let body = render(&error, Dialect::Management, Correlation::default());
        assert!(
            body.contains("An unknown error occurred") && !body.contains("disk 7"),
            "{body}"
        );
    }

    #[test]
    fn the_table_of_codes_is_a_promise() {
        let table: Vec<String> = Code::ALL
            .iter()
            .map(|code| {
                let Row {
                    name,
                    kind,
                    status,
                    fault,
                } = code.row();
                format!("{status} {name} ({kind}) {fault:?}")
            })
            .collect();
        insta::assert_snapshot!("codes", table.join("\n"));
    }
}
