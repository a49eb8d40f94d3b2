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

/// The families of management-api 2: which credentials a path takes, and which envelope it answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `/api/gateway/v1/…`: project or organization context, canonical envelope.
    Gateway,
    /// `/api/traces`: project or (ours, 25.1) organization context, legacy envelope.
    Project,
    /// `/api/organization`, `/api/teams`, `/api/projects`: organization context, legacy envelope.
    Organization,
}

impl Family {
    /// The envelope of errors.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Gateway => Dialect::Management,
            Self::Project | Self::Organization => Dialect::ManagementLegacy,
        }
    }

    /// Whether a project that the request names narrows its context.
    pub(crate) const fn has_project_context(self) -> bool {
        match self {
            Self::Gateway | Self::Project => true,
            Self::Organization => false,
        }
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
        StoreError::Conflict { .. } | StoreError::Corrupt(_) => {
            Error::new(Code::InternalError, text)
        }
    }
    .because(error)
}

/// Logs `error` and writes the answer.
pub(crate) fn refuse(error: &Error, dialect: Dialect) -> Response {
    let row = error.code().row();
    match row.fault {
        Fault::Customer => tracing::info!(code = row.name, "{}", error.message()),
        Fault::Provider => tracing::warn!(?error, "a management call failed"),
        Fault::Platform => tracing::error!(?error, "a management call failed"),
    }
    // Legacy families answer 422 where canonical ones answer 400 (management-api 29, fact 2).
    let legacy = matches!(dialect, Dialect::ManagementLegacy);
    let status = match error.code() {
        Code::ValidationError if legacy => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
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
