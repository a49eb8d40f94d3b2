//! What everybody may ask: whether the process lives, whether it is ready, and what it is.
//!
//! Must never say anything about a tenant, and never needs the store. Start at [`front`].

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use crate::{Admin, edge};

/// Where somebody who lost the way should look.
pub(crate) const DIRECTIONS: &str =
    "GET /api/openapi.json describes every route of the management API.";

/// `GET /`: one line for a person who opened the port in a browser or with curl.
pub(crate) fn front(admin: &Admin) -> Response {
    let line = format!(
        "LangWatch AI gateway {}: control plane. Management API under /api; applications talk to {}\n",
        admin.settings.version, admin.settings.gateway_public_url
    );
    let mut response = Response::new(Body::from(line));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// `GET /.well-known/langwatch`: where applications find the gateway, for clients that know only this address.
pub(crate) fn whereabouts(admin: &Admin) -> Response {
    let document = serde_json::json!({"gateway_url": admin.settings.gateway_public_url});
    edge::json(StatusCode::OK, document.to_string())
}

/// The process lives.
pub(crate) fn health(_: &Admin) -> Response {
    edge::json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

/// Migrations are done and the process can serve.
pub(crate) fn ready(admin: &Admin) -> Response {
    if (admin.ready)() {
        health(admin)
    } else {
        edge::json(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"starting"}"#.to_owned(),
        )
    }
}
