//! API keys over HTTP (management-api 15, domain 5.1): each handler reads, asks the service once, answers.
//!
//! The token is in the answer of a create and nowhere else, ever. No key may do more than who minted it,
//! and a personal one no more than its owner, now and later. Start at [`create`]; the rules are in
//! [`service`].

mod body;
mod mint;
mod service;
mod view;

use http::Method;
use lw_core::{Code, Error};
use serde_json::json;

pub(crate) use self::mint::{Draft, Minted};
pub(crate) use self::service::{editable, within};
use crate::bindings::permissions_schema;
use crate::edge::Family::Organization as Family;
use crate::permission::{OrganizationManage, OrganizationView};
use crate::routes::Route;
use crate::schemas::{
    Named, input, list, list_of, named, object, one_of, or_null, success, text, text_of, time,
};
use crate::serve::{Answer, Call};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/api-keys";
    let one = || format!("{base}/{{id}}");
    let grants = [
        Code::ApiKeyReservedName,
        Code::ApiKeyScopeViolation,
        Code::ScopeOrgMismatch,
    ];
    vec![
        Route::new::<OrganizationView>(Family, Method::GET, base, list_all)
            .named(
                "listApiKeys",
                "List the API keys that the caller may see, newest first",
            )
            .answers(200, object(&[("data", list(named("ApiKey")))], &[]))
            .refuses(&[Code::PermissionDenied]),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named("createApiKey", "Mint an API key; its token is shown once")
            .body(named("NewApiKey"))
            .answers(201, named("MintedApiKey"))
            .refuses(&grants)
            .refuses(&[Code::Forbidden, Code::RevisionConflict]),
        Route::new::<OrganizationView>(Family, Method::GET, one(), get)
            .named("getApiKey", "Read an API key; the reading is audited")
            .answers(200, named("ApiKeyDetail"))
            .refuses(&[Code::ApiKeyNotFound, Code::RevisionConflict]),
        Route::new::<OrganizationManage>(Family, Method::PATCH, one(), update)
            .named("updateApiKey", "Change an API key; bindings replace")
            .body(named("ApiKeyPatch"))
            .answers(200, named("ApiKeyDetail"))
            .refuses(&grants)
            .refuses(&[
                Code::ApiKeyNotFound,
                Code::ApiKeyAlreadyRevoked,
                Code::RevisionConflict,
            ]),
        Route::new::<OrganizationManage>(Family, Method::DELETE, one(), revoke)
            .named("revokeApiKey", "End an API key at once and for ever")
            .answers(200, success())
            .refuses(&[
                Code::ApiKeyNotFound,
                Code::ApiKeyNotOwned,
                Code::ApiKeyAlreadyRevoked,
                Code::RevisionConflict,
            ]),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let plain = || {
        object(
            &[
                ("role", named("BoundRole")),
                ("scopeType", named("ScopeType")),
                ("scopeId", text()),
            ],
            &[],
        )
    };
    let with_id = object(
        &[
            ("id", text()),
            ("role", named("BoundRole")),
            ("scopeType", named("ScopeType")),
            ("scopeId", text()),
        ],
        &[],
    );
    let row = || {
        vec![
            ("id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("createdAt", time()),
            ("expiresAt", or_null(time())),
            ("lastUsedAt", or_null(time())),
            ("revokedAt", or_null(time())),
            ("roleBindings", list(named("ApiKeyBinding"))),
        ]
    };
    let mode = || one_of(&body::MODES);
    let mut detail = row();
    detail.extend([
        ("keyType", one_of(&body::TYPES)),
        ("assignedToUserId", or_null(text())),
        ("createdByUserId", or_null(text())),
        ("permissionMode", mode()),
        ("permissions", list(text())),
        ("bindings", list(plain())),
    ]);
    let changes = || {
        vec![
            ("description", or_null(text_of(0, 500))),
            ("expiresAt", or_null(time())),
            ("permissionMode", mode()),
            ("permissions", permissions_schema()),
            ("bindings", list_of(named("NewApiKeyBinding"), 20)),
        ]
    };
    let mut new = changes();
    new.extend([
        ("keyType", one_of(&body::TYPES)),
        ("assignedToUserId", or_null(text_of(1, 128))),
        ("projectIds", list_of(text_of(1, 256), 50)),
    ]);
    let mut patch = changes();
    patch.push(("name", text_of(1, 100)));
    let minted = object(
        &[("id", text()), ("name", text()), ("createdAt", time())],
        &[],
    );
    vec![
        ("ApiKey", object(&row(), &[])),
        ("ApiKeyBinding", with_id),
        ("ApiKeyDetail", object(&detail, &[])),
        ("NewApiKey", input(&[("name", text_of(1, 100))], &new)),
        ("ApiKeyPatch", input(&[], &patch)),
        (
            "MintedApiKey",
            object(&[("token", text()), ("apiKey", minted)], &[]),
        ),
    ]
}

/// `GET /api-keys`.
fn list_all(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    let rows = service::list(call.admin(), &call.permit)?;
    Ok(Answer::ok(json!({ "data": rows })))
}

/// `POST /api-keys`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let new = body::NewKey::read(&call.object()?, call.admin().clock.now())?;
    let minted = service::mint(call.admin(), &call.permit, &new)?;
    let Minted {
        token,
        key,
        grants: _,
    } = &minted;
    Ok(Answer::created(json!({
        "token": token.expose(),
        "apiKey": {
            "id": key.id,
            "name": key.name,
            "createdAt": key.created_at.to_rfc3339(),
        },
    })))
}

/// `GET /api-keys/:id`.
fn get(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    service::get(call.admin(), &call.permit, call.id()).map(Answer::ok)
}

/// `PATCH /api-keys/:id`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let patch = body::Patch::read(&call.object()?, call.admin().clock.now())?;
    service::update(call.admin(), &call.permit, call.id(), &patch).map(Answer::ok)
}

/// `DELETE /api-keys/:id`.
fn revoke(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    service::revoke(call.admin(), &call.permit, call.id())?;
    Ok(Answer::ok(json!({ "success": true })))
}
