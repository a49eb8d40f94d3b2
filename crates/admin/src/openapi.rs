//! The API description: OpenAPI 3.1, made from the table of routes (management-api 26).
//!
//! Nothing is written twice: paths, parameters, bodies and answers come from the rows that serve them, the
//! shapes of resources from the modules that show them, statuses from the table of codes. A copy is
//! committed as `docs/openapi.json`; a test compares it. In tests every answer is checked against it.
//!
//! Must never describe what is not served. Start at [`document`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use axum::response::Response;
use http::{Method, StatusCode};
use lw_core::Code;
use serde_json::{Map, Value, json};

use crate::caller::At;
use crate::edge::{self, Family};
use crate::routes::{Body, Doc, Param, Route, table};
use crate::{Admin, schemas};

/// `GET /api/openapi.json` and its other names.
pub(crate) fn serve(_: &Admin) -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    edge::json(StatusCode::OK, text.clone())
}

/// What is open to everybody and answers JSON.
const OPEN: [(&str, &str, &str); 4] = [
    ("/api/health", "getHealth", "Whether the process lives"),
    ("/healthz", "getHealthz", "Whether the process lives"),
    (
        "/api/gateway/v1/openapi.json",
        "getGatewayOpenapi",
        "This description",
    ),
    ("/api/openapi.json", "getOpenapi", "This description"),
];

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in &table().guarded {
        let method = route.method.as_str().to_ascii_lowercase();
        paths
            .entry(route.path.clone())
            .or_default()
            .insert(method, operation(route));
    }
    for (path, id, summary) in OPEN {
        let answer = json!({ "description": summary, "content": { "application/json": { "schema": {
            "type": "object",
        } } } });
        let operation = json!({
            "operationId": id,
            "summary": summary,
            "description": "Needs no credential.",
            "tags": ["open"],
            "responses": { "200": answer },
            "security": [],
        });
        paths
            .entry(path.to_owned())
            .or_default()
            .insert("get".to_owned(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "LangWatch AI gateway: management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tenants, credentials, model providers, virtual keys, policies and traces. \
                            Applications call the gateway itself, in the dialects of their SDKs.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "project_api_key": [] }, { "admin_api_key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "project_api_key": {
                    "type": "apiKey", "in": "header", "name": "X-Auth-Token",
                    "description": "A project's own key, or an API key with `X-Project-Id`.",
                },
                "admin_api_key": {
                    "type": "http", "scheme": "bearer",
                    "description": "An organization API key.",
                },
                "instance_admin_key": {
                    "type": "http", "scheme": "bearer",
                    "description": "The instance administrator key.",
                },
            },
            "schemas": schemas::all(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let Route {
        method,
        path,
        permission,
        at,
        family,
        doc,
        handler: _,
    } = route;
    let Doc {
        id,
        summary,
        query,
        headers,
        body,
        status,
        answer,
        refusals: _,
    } = doc;
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    let listed = |place: &str, params: &[Param]| -> Vec<Value> {
        params
            .iter()
            .map(
                |Param {
                     name,
                     about,
                     schema,
                 }| {
                    json!({
                        "name": name, "in": place, "required": false, "description": about,
                        "schema": schema,
                    })
                },
            )
            .collect()
    };
    parameters.extend(listed("query", query));
    parameters.extend(listed("header", headers));
    let mut responses: Map<String, Value> = statuses(route)
        .into_iter()
        .map(|status| {
            let envelope = if *family == Family::Gateway {
                "Error"
            } else {
                "LegacyError"
            };
            let response = json!({ "$ref": format!("#/components/schemas/{envelope}") });
            let text = StatusCode::from_u16(status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Refused");
            (
                status.to_string(),
                json!({ "description": text, "content": { "application/json": { "schema": response } } }),
            )
        })
        .collect();
    let mut content = json!({
        "application/json": { "schema": answer.clone().unwrap_or_else(|| json!({})) },
    });
    if id.ends_with("AuditLog")
        && let Some(content) = content.as_object_mut()
    {
        content.insert("text/csv".into(), json!({ "schema": { "type": "string" } }));
    }
    responses.insert(
        status.to_string(),
        json!({ "description": summary, "content": content }),
    );
    let tag = path
        .trim_start_matches("/api/")
        .trim_start_matches("gateway/v1/")
        .trim_start_matches("gateway-platform/v1/")
        .split('/')
        .next()
        .unwrap_or_default();
    let mut out = json!({
        "operationId": id,
        "summary": summary,
        "description": format!("Permission: `{permission}`{}.", match at {
            At::Context => "",
            At::Anywhere => " at the project, or at any scope that the credential is bound to",
        }),
        "tags": [tag],
        "parameters": parameters,
        "responses": responses,
        "security": security(*family),
    });
    if let (Some(Body { required, schema }), Some(out)) = (body, out.as_object_mut()) {
        let body = json!({
            "required": required,
            "content": { "application/json": { "schema": schema } },
        });
        out.insert("requestBody".into(), body);
    }
    debug_assert!(body.is_none() || *method != Method::GET);
    out
}

fn security(family: Family) -> Value {
    match family {
        Family::Gateway | Family::Project | Family::OwnProject => {
            json!([{ "project_api_key": [] }, { "admin_api_key": [] }])
        }
        Family::Organization => json!([{ "admin_api_key": [] }]),
        Family::Instance => json!([{ "instance_admin_key": [] }]),
    }
}

/// The codes that any row of the family may refuse with.
pub(crate) fn common_refusals(family: Family) -> &'static [Code] {
    use Code as C;
    match family {
        Family::Gateway | Family::Project => &[
            C::MissingCredentials,
            C::InvalidCredentials,
            C::ApiKeyPermissionDenied,
            C::PermissionDenied,
            C::ProjectNotFound,
            C::ValidationError,
            C::BadRequest,
            C::PayloadTooLarge,
            C::RequestTimeout,
            C::ManagementRateLimited,
            C::InternalError,
            C::Overloaded,
            C::StoreUnavailable,
        ],
        Family::OwnProject | Family::Organization | Family::Instance => &[
            C::MissingCredentials,
            C::InvalidCredentials,
            C::CredentialClassMismatch,
            C::ApiKeyPermissionDenied,
            C::InsufficientPermissions,
            C::ProjectNotFound,
            C::ValidationError,
            C::BadRequest,
            C::PayloadTooLarge,
            C::RequestTimeout,
            C::InternalError,
            C::Overloaded,
            C::StoreUnavailable,
        ],
    }
}

/// The statuses that a row may refuse with.
fn statuses(route: &Route) -> BTreeSet<u16> {
    let common = common_refusals(route.family).iter();
    common
        .chain(&route.doc.refusals)
        .map(|code| edge::status(*code, route.family.dialect()).as_u16())
        .collect()
}
