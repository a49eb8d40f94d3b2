//! Virtual keys over HTTP (management-api 8): each handler reads, asks the service once, and answers.
//!
//! The secret is in the answer of a create and of a rotate, and nowhere else, ever. Start at [`create`];
//! the rules are in [`service`].

mod body;
mod checks;
mod config;
mod rules;
mod service;
mod spend;
mod view;

use lw_core::{Error, Secret};
use lw_store::config::VirtualKeyFilter;
use lw_store::rows::KeyStatus;
use serde_json::{Value, json};

use self::service::Shown;
use crate::input::{Problems, QUERY};
use crate::page::{Keyset, keyset};
use crate::permission::{
    GatewayUsageView, VirtualKeysCreate, VirtualKeysDelete, VirtualKeysRotate, VirtualKeysUpdate,
    VirtualKeysView,
};
use crate::serve::{Answer, Call};

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
            let mut problems = Problems::of(QUERY);
            problems.add(
                "status",
                "invalid_value",
                "must be one of active, disabled, revoked",
            );
            return problems.finish().map(|()| Answer::ok(Value::Null));
        }
    };
    let external_id = call.query("external_id").map(|id| id.trim().to_owned());
    let filter = VirtualKeyFilter {
        external_id,
        status,
    };
    let (keys, next) = service::list(call.admin(), &call.permit, &filter, &keyset_wanted)?;
    let data: Vec<Value> = keys.into_iter().map(|shown| shown.body).collect();
    Ok(Answer::ok(keyset(&data, next.as_ref())))
}

/// `GET /virtual-keys/:id`.
pub(crate) fn get(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    Ok(one(&service::get(call.admin(), &call.permit, call.id())?))
}

/// `POST /virtual-keys`.
pub(crate) fn create(call: &Call<VirtualKeysCreate>) -> Result<Answer, Error> {
    let new = body::NewKey::read(&call.object()?)?;
    let (shown, secret) = service::create(call.admin(), &call.permit, new)?;
    let Shown { body, revision } = shown;
    Ok(Answer::created(minted(&body, &secret)).at_revision(revision))
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
    Ok(Answer::ok(minted(&body, &secret)).at_revision(revision))
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

fn minted(body: &Value, secret: &Secret) -> Value {
    json!({ "virtual_key": body, "secret": secret.expose() })
}
