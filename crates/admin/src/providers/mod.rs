//! Model providers over HTTP (management-api 12.2), and the tombstone of what they replace (12.3).
//!
//! Credentials go in and never come out. Start at [`create`]; the rules are in [`service`], the secrets
//! in [`bag`].

mod bag;
mod body;
mod kind;
mod service;
mod view;

use lw_core::{Code, Error};
use lw_store::config::ModelProviderFilter;
use serde_json::{Value, json};

#[cfg(test)]
pub(crate) use self::bag::PLACEHOLDER;
use self::service::Shown;
use crate::page::{Keyset, keyset};
use crate::permission::{ModelProvidersManage, ModelProvidersUpdate, ModelProvidersView};
use crate::serve::{Answer, Call};

/// `GET /model-providers`: newest first.
pub(crate) fn list(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let wanted = Keyset::of(call)?;
    let filter = ModelProviderFilter {
        provider: call.query("provider").map(str::to_owned),
    };
    let (rows, next) = service::list(call.admin(), &call.permit, &filter, &wanted)?;
    Ok(Answer::ok(keyset(&rows, next.as_ref())))
}

/// `GET /model-providers/:id`.
pub(crate) fn get(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let shown = service::get(call.admin(), &call.permit, call.id())?;
    Ok(Answer::ok(wrapped(&shown.body)).at_revision(shown.revision))
}

/// `POST /model-providers`.
pub(crate) fn create(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let policy = call.admin().base_url_policy.as_ref();
    let new = body::NewProvider::read(&call.object()?, policy)?;
    let Shown { body, revision } = service::create(call.admin(), &call.permit, new)?;
    Ok(Answer::created(wrapped(&body)).at_revision(revision))
}

/// `PATCH /model-providers/:id`.
pub(crate) fn update(call: &Call<ModelProvidersUpdate>) -> Result<Answer, Error> {
    let (patch, seen) = (call.object()?, call.if_match()?);
    let shown = service::update(call.admin(), &call.permit, call.id(), seen, &patch)?;
    Ok(Answer::ok(wrapped(&shown.body)).at_revision(shown.revision))
}

/// `DELETE /model-providers/:id`: 200 with what was deleted.
pub(crate) fn delete(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let body = service::delete(call.admin(), &call.permit, call.id(), seen)?;
    Ok(Answer::ok(wrapped(&body)))
}

/// The bindings API is gone.
pub(crate) fn gone(_: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let message = "Provider bindings are gone. Use /api/gateway-platform/v1/model-providers.";
    Err(Error::new(Code::ProviderBindingsGone, message)
        .with("replacement", "/api/gateway-platform/v1/model-providers"))
}

fn wrapped(body: &Value) -> Value {
    json!({ "model_provider": body })
}
