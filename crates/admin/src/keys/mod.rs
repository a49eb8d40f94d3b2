//! Virtual keys over HTTP (management-api 8): each handler reads, asks the service once, and answers.
//!
//! The secret is in the answer of a create and of a rotate, and nowhere else, ever. Start at [`create`];
//! the rules are in [`service`].

mod body;
mod checks;
pub(crate) mod config;
mod effective;
mod gates;
mod own_budget;
mod routing;
pub(crate) mod rules;
mod schema;
mod service;
mod spend;
mod view;

use http::Method;
use lw_core::{Code, Error, RoutingPolicyId};
use lw_store::config::VirtualKeyFilter;
use lw_store::rows::KeyStatus;
use serde_json::{Value, json};

pub(crate) use self::body::{metadata, reason};
pub(crate) use self::gates::Seen;
pub(crate) use self::schema::{schemas, usd};
use self::service::Shown;
pub(crate) use self::service::visible;
use crate::edge::Family::Gateway;
use crate::explain;
use crate::idempotency::{Operation, once};
use crate::input::{QUERY, refuse};
use crate::page::{Keyset, keyset};
use crate::permission::{
    GatewayUsageView, VirtualKeysCreate, VirtualKeysDelete, VirtualKeysRotate, VirtualKeysUpdate,
    VirtualKeysView,
};
use crate::routes::{Param, Route};
use crate::schemas::{
    idempotency_key, if_match, keyset_params, named, one_of, page, text, text_of, whole, wrapped,
};
use crate::serve::{Answer, Call};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/virtual-keys";
    let at = |tail: &str| format!("{base}/{{id}}{tail}");
    let key = || wrapped("virtual_key", "VirtualKey");
    let missing = [Code::VirtualKeyNotFound];
    let changes = [
        Code::VirtualKeyNotFound,
        Code::RevisionConflict,
        Code::BadRequest,
    ];
    vec![
        Route::anywhere::<VirtualKeysView>(Gateway, Method::GET, base, list)
            .named(
                "getApiGatewayV1VirtualKeys",
                "List virtual keys, newest first",
            )
            .query(keyset_params())
            .query(filters())
            .answers(200, page("VirtualKey"))
            .refuses(&[Code::InvalidCursor]),
        Route::anywhere::<VirtualKeysCreate>(Gateway, Method::POST, base, create)
            .named(
                "postApiGatewayV1VirtualKeys",
                "Mint a virtual key; its secret is shown once",
            )
            .headers(vec![idempotency_key()])
            .body(named("NewVirtualKey"))
            .answers(201, named("MintedVirtualKey"))
            .refuses(schema::WRITES)
            .refuses(&[Code::ProjectRequired, Code::IdempotencyError]),
        Route::anywhere::<VirtualKeysView>(Gateway, Method::GET, at(""), get)
            .named("getApiGatewayV1VirtualKeysById", "Read a virtual key")
            .answers(200, key())
            .refuses(&missing),
        Route::anywhere::<VirtualKeysUpdate>(Gateway, Method::PATCH, at(""), update)
            .named("patchApiGatewayV1VirtualKeysById", "Change a virtual key")
            .headers(vec![if_match()])
            .body(named("VirtualKeyPatch"))
            .answers(200, key())
            .refuses(schema::WRITES)
            .refuses(&changes),
        Route::anywhere::<GatewayUsageView>(Gateway, Method::GET, at("/spend"), spend)
            .named(
                "getApiGatewayV1VirtualKeysByIdSpend",
                "What a virtual key spent in a window",
            )
            .query(window())
            .answers(200, named("VirtualKeySpend"))
            .refuses(&missing),
        Route::anywhere::<VirtualKeysView>(Gateway, Method::GET, at("/effective"), effective)
            .named(
                "getApiGatewayV1VirtualKeysByIdEffective",
                "What a virtual key reaches: providers in their order, exclusions, aliases",
            )
            .answers(200, named("EffectiveVirtualKey"))
            .refuses(&missing),
        Route::anywhere::<VirtualKeysView>(
            Gateway,
            Method::POST,
            at("/check-request"),
            check_request,
        )
        .named(
            "postApiGatewayV1VirtualKeysByIdCheckRequest",
            "What would become of a request with a virtual key, and why; nobody is asked",
        )
        .body(named("RequestQuestion"))
        .answers(200, named("RequestCheck"))
        .refuses(&missing),
        Route::anywhere::<VirtualKeysRotate>(Gateway, Method::POST, at("/rotate"), rotate)
            .named(
                "postApiGatewayV1VirtualKeysByIdRotate",
                "Give a virtual key a new secret; the old one stays good for 24 hours",
            )
            .headers(vec![if_match()])
            .optional_body(schema::nothing())
            .answers(200, named("MintedVirtualKey"))
            .refuses(&changes),
        Route::anywhere::<VirtualKeysUpdate>(Gateway, Method::POST, at("/disable"), disable)
            .named(
                "postApiGatewayV1VirtualKeysByIdDisable",
                "Refuse a virtual key's requests until it is enabled",
            )
            .headers(vec![if_match()])
            .optional_body(schema::reason())
            .answers(200, key())
            .refuses(&changes),
        Route::anywhere::<VirtualKeysUpdate>(Gateway, Method::POST, at("/enable"), enable)
            .named(
                "postApiGatewayV1VirtualKeysByIdEnable",
                "Let a disabled virtual key serve again",
            )
            .headers(vec![if_match()])
            .optional_body(schema::nothing())
            .answers(200, key())
            .refuses(&changes),
        Route::anywhere::<VirtualKeysDelete>(Gateway, Method::POST, at("/revoke"), revoke)
            .named(
                "postApiGatewayV1VirtualKeysByIdRevoke",
                "End a virtual key for ever",
            )
            .headers(vec![if_match()])
            .optional_body(schema::nothing())
            .answers(200, key())
            .refuses(&changes),
    ]
}

fn filters() -> Vec<Param> {
    vec![
        Param {
            name: "external_id",
            about: "Only the key with this external id.",
            schema: text_of(1, 128),
        },
        Param {
            name: "status",
            about: "Only keys that stand so.",
            schema: one_of(&["active", "disabled", "revoked"]),
        },
        Param {
            name: "routing_policy_id",
            about: "Only keys that use this policy.",
            schema: text(),
        },
    ]
}

fn window() -> Vec<Param> {
    vec![
        Param {
            name: "from",
            about: "Epoch milliseconds, inclusive; by default the start of the UTC month.",
            schema: whole(),
        },
        Param {
            name: "to",
            about: "Epoch milliseconds, exclusive; by default now.",
            schema: whole(),
        },
    ]
}

/// `GET /virtual-keys`: newest first. A page may be short while there is a next one: what the caller
/// may not see is left out after reading.
pub(crate) fn list(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    let keyset_wanted = Keyset::of(call)?;
    let status = match call.query("status") {
        None => None,
        Some("active") => Some(KeyStatus::Active),
        Some("disabled") => Some(KeyStatus::Disabled),
        Some("revoked") => Some(KeyStatus::Revoked),
        Some(_) => {
            let text = "must be one of active, disabled, revoked";
            return Err(refuse(QUERY, "status", "invalid_value", text));
        }
    };
    let routing_policy_id = match call.query("routing_policy_id").map(RoutingPolicyId::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(error)) => {
            let text = format!("is {error}");
            return Err(refuse(QUERY, "routing_policy_id", "invalid_value", text));
        }
    };
    let filter = VirtualKeyFilter {
        external_id: call.query("external_id").map(|id| id.trim().to_owned()),
        status,
        routing_policy_id,
        ..VirtualKeyFilter::default()
    };
    let (keys, next) = service::list(call.admin(), &call.permit, &filter, &keyset_wanted)?;
    let data: Vec<Value> = keys.into_iter().map(|shown| shown.body).collect();
    Ok(Answer::ok(keyset(&data, next.as_ref())))
}

/// `GET /virtual-keys/:id`.
pub(crate) fn get(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    Ok(one(&service::get(call.admin(), &call.permit, call.id())?))
}

/// `GET /virtual-keys/:id/effective`.
pub(crate) fn effective(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    let key = service::visible(call.admin(), &call.permit, call.id())?;
    Ok(Answer::ok(effective::of(call.admin(), &key)?))
}

/// `POST /virtual-keys/:id/check-request` (management-api 28.4).
pub(crate) fn check_request(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    let question = explain::read(&call.object()?, call.verbatim("body"))?;
    let key = service::visible(call.admin(), &call.permit, call.id())?;
    Ok(Answer::ok(explain::ask(call.admin(), &key, question)?))
}

/// `POST /virtual-keys`.
pub(crate) fn create(call: &Call<VirtualKeysCreate>) -> Result<Answer, Error> {
    let body = call.object()?;
    let (admin, permit) = (call.admin(), &call.permit);
    let prepared = service::prepare(admin, permit, body::NewKey::read(&body)?)?;
    once(call, Operation::VirtualKeys, &body, |keep| {
        service::mint(admin, permit, &prepared, keep)
    })
}

/// `PATCH /virtual-keys/:id`.
pub(crate) fn update(call: &Call<VirtualKeysUpdate>) -> Result<Answer, Error> {
    let patch = body::KeyPatch::read(&call.object()?)?;
    let seen = call.if_match()?;
    Ok(one(&service::update(
        call.admin(),
        &call.permit,
        call.id(),
        seen,
        &patch,
    )?))
}

/// `POST /virtual-keys/:id/rotate`.
pub(crate) fn rotate(call: &Call<VirtualKeysRotate>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let (shown, secret) = service::rotate(call.admin(), &call.permit, call.id(), seen)?;
    let Shown { body, revision } = shown;
    Ok(Answer::ok(service::minted(&body, &secret)).at_revision(revision))
}

/// `POST /virtual-keys/:id/disable`.
pub(crate) fn disable(call: &Call<VirtualKeysUpdate>) -> Result<Answer, Error> {
    let reason = body::reason(&call.object_or_nothing()?)?;
    let seen = call.if_match()?;
    Ok(one(&service::disable(
        call.admin(),
        &call.permit,
        call.id(),
        seen,
        reason.as_deref(),
    )?))
}

/// `POST /virtual-keys/:id/enable`.
pub(crate) fn enable(call: &Call<VirtualKeysUpdate>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    Ok(one(&service::enable(
        call.admin(),
        &call.permit,
        call.id(),
        seen,
    )?))
}

/// `POST /virtual-keys/:id/revoke`.
pub(crate) fn revoke(call: &Call<VirtualKeysDelete>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    Ok(one(&service::revoke(
        call.admin(),
        &call.permit,
        call.id(),
        seen,
    )?))
}

/// `GET /virtual-keys/:id/spend` (billing 7.5).
pub(crate) fn spend(call: &Call<GatewayUsageView>) -> Result<Answer, Error> {
    let window = spend::Window::read(
        call.query("from"),
        call.query("to"),
        call.admin().clock.now(),
    )?;
    Ok(Answer::ok(spend::of(
        call.admin(),
        &call.permit,
        call.id(),
        window,
    )?))
}

fn one(shown: &Shown) -> Answer {
    Answer::ok(json!({ "virtual_key": shown.body })).at_revision(shown.revision)
}
