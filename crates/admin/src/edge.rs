//! The one place where the control plane writes an error, and the families that decide its envelope.
//!
//! Everything else returns an [`Error`] and knows neither statuses nor envelopes. Failures are logged
//! here, once, at the level of whose fault they are. Must never show the internal text of an error.
//! Start at [`refuse`].

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lw_core::error::{Correlation, Dialect, render};
use lw_core::{Code, Error, Fault};
use lw_store::StoreError;
use serde_json::Value;

/// The families of management-api 2: which credentials a path takes, and which envelope it answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `/api/gateway/v1/…`: project keys and API keys, project or organization context (C-4), canonical
    /// envelope.
    Gateway,
    /// `/api/traces`, `/api/model-providers`: likewise (organization context is ours), legacy envelope.
    Project,
    /// `/api/me/…`: project keys and API keys with a project, legacy envelope.
    OwnProject,
    /// `/api/organization`, `/api/teams`, `/api/projects`, …: API keys only, organization context, legacy
    /// envelope.
    Organization,
    /// `/api/organizations`: the instance administrator key, legacy envelope.
    Instance,
}

impl Family {
    /// The envelope of errors.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Gateway => Dialect::Management,
            Self::Project | Self::OwnProject | Self::Organization | Self::Instance => {
                Dialect::ManagementLegacy
            }
        }
    }

    /// Whether a project that the request names narrows its context, and legacy project keys are taken.
    pub(crate) const fn has_project_context(self) -> bool {
        match self {
            Self::Gateway | Self::Project | Self::OwnProject => true,
            Self::Organization | Self::Instance => false,
        }
    }

    /// Whether calls are counted against the rate limit of their credential (management-api 27).
    pub(crate) const fn is_rate_limited(self) -> bool {
        matches!(self, Self::Gateway)
    }
}

/// The refusal of a change that is based on an old revision. `kind` is `budget`, `virtual_key`, …;
/// `current` is the resource as it stands.
pub(crate) fn changed_since(kind: &str, current: Value) -> Error {
    let noun = kind.replace('_', " ");
    let message =
        format!("The {noun} changed since it was read. Read it again and repeat the change.");
    Error::new(Code::RevisionConflict, message).with("current", current)
}

/// What a failed store means to a caller who wrote a resource that may carry an `external_id`.
pub(crate) fn unwritten(kind: &'static str, external_id: Option<&str>, error: StoreError) -> Error {
    match error {
        StoreError::Conflict {
            field: "external_id",
        } => {
            let noun = kind.replace('_', " ");
            let message = format!("Another {noun} of the organization has this external_id.");
            Error::new(Code::ExternalIdConflict, message)
                .with("resource", kind)
                .with("external_id", external_id)
        }
        error => stored(error),
    }
}

/// What a failed store means to a caller who asked it something.
pub(crate) fn stored(error: StoreError) -> Error {
    let text = "the store could not be asked";
    match error {
        StoreError::Unavailable(_) => Error::new(Code::StoreUnavailable, text).retry_after(1),
        StoreError::Stale => {
            return Error::new(Code::RevisionConflict, "The row changed since it was read.");
        }
        StoreError::Missing => {
            return Error::new(Code::NotFound, "What was to be changed is gone.");
        }
        // Another call with the same `Idempotency-Key` has just finished; whoever repeats gets its answer.
        StoreError::Conflict {
            field: "idempotency_key",
        } => {
            let message = "Another call with this Idempotency-Key has just run. Repeat the call to get \
                           its answer.";
            return Error::new(Code::IdempotencyError, message).with("reason", "in_progress");
        }
        StoreError::Conflict { .. } | StoreError::Corrupt(_) => {
            Error::new(Code::InternalError, text)
        }
    }
    .because(error)
}

/// The status that a code has in an envelope: legacy families answer 422 where canonical ones answer 400
/// (management-api 29, fact 2).
pub(crate) fn status(code: Code, dialect: Dialect) -> StatusCode {
    match code {
        Code::ValidationError if dialect == Dialect::ManagementLegacy => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        _ => StatusCode::from_u16(code.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Logs `error` and writes the answer.
pub(crate) fn refuse(error: &Error, dialect: Dialect) -> Response {
    let row = error.code().row();
    match row.fault {
        Fault::Customer => tracing::info!(code = row.name, "{}", error.message()),
        Fault::Provider => tracing::warn!(?error, "a management call failed"),
        Fault::Platform => tracing::error!(?error, "a management call failed"),
    }
    let status = status(error.code(), dialect);
    let mut response = json(status, render(error, dialect, Correlation::default()));
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"langwatch\""),
        );
    }
    response
}

/// A JSON answer. Nothing of this API may be kept by a cache: answers hold secrets and tenants' data.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
