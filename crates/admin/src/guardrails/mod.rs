//! Guardrails over HTTP (management-api 14, domain 15): what looks at requests and answers of a project's
//! keys.
//!
//! A guardrail belongs to one project: seen and written by who may there. Archiving one that keys attach is
//! allowed; their bundles leave it out. What a callout sends as headers goes in and never comes out. Start
//! at [`create`]; the settings of the evaluators are read in [`evaluator`], their secrets in [`headers`].

mod body;
mod callout;
mod evaluator;
mod headers;
mod schema;
mod service;
mod view;

use http::Method;
use lw_core::{Code, Error};
use lw_store::rows::Guardrail;

pub(crate) use self::schema::schemas;
use crate::edge::Family::Gateway;
use crate::idempotency::{Operation, once};
use crate::permission::{GatewayGuardrailsManage, GatewayGuardrailsView};
use crate::revised::{Row as _, Shown};
use crate::routes::{Param, Route};
use crate::schemas::{idempotency_key, if_match, keyset_params, named, page, text_of, wrapped};
use crate::serve::{Answer, Call};
use crate::sorted::Sorted;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/guardrails";
    let one = format!("{base}/{{id}}");
    let changes = [Code::GuardrailNotFound, Code::RevisionConflict];
    vec![
        Route::anywhere::<GatewayGuardrailsView>(Gateway, Method::GET, base, list)
            .named("getApiGatewayV1Guardrails", "List guardrails, newest first")
            .query(keyset_params())
            .query(vec![Param {
                name: "project_id",
                about: "Only those of this project, by id or slug.",
                schema: text_of(1, 256),
            }])
            .answers(200, page("Guardrail"))
            .refuses(&[Code::InvalidCursor, Code::ScopeOrgMismatch]),
        Route::anywhere::<GatewayGuardrailsManage>(Gateway, Method::POST, base, create)
            .named(
                "postApiGatewayV1Guardrails",
                "Create a guardrail; by default in the project of the call",
            )
            .headers(vec![idempotency_key()])
            .body(named("NewGuardrail"))
            .answers(201, named("WrittenGuardrail"))
            .refuses(&[
                Code::ProjectRequired,
                Code::ScopeOrgMismatch,
                Code::IdempotencyError,
            ]),
        Route::anywhere::<GatewayGuardrailsView>(Gateway, Method::GET, &*one, get)
            .named("getApiGatewayV1GuardrailsById", "Read a guardrail")
            .answers(200, wrapped(Guardrail::KIND, "Guardrail"))
            .refuses(&[Code::GuardrailNotFound]),
        Route::anywhere::<GatewayGuardrailsManage>(Gateway, Method::PATCH, &*one, update)
            .named(
                "patchApiGatewayV1GuardrailsById",
                "Change a guardrail for every key that attaches it",
            )
            .headers(vec![if_match()])
            .body(named("GuardrailPatch"))
            .answers(200, named("WrittenGuardrail"))
            .refuses(&changes),
        Route::anywhere::<GatewayGuardrailsManage>(Gateway, Method::DELETE, &*one, archive)
            .named(
                "deleteApiGatewayV1GuardrailsById",
                "Archive a guardrail; keys that attach it go on without it",
            )
            .headers(vec![if_match()])
            .answers(200, wrapped(Guardrail::KIND, "Guardrail"))
            .refuses(&changes),
    ]
}

/// `GET /guardrails`: newest first.
pub(crate) fn list(call: &Call<GatewayGuardrailsView>) -> Result<Answer, Error> {
    let wanted = Sorted::of(call)?;
    let rows = service::list(call.admin(), &call.permit, call.query("project_id"))?;
    let show = |row: &Guardrail| view::guardrail(call.admin(), row);
    Ok(Answer::ok(wanted.page(rows, service::sort_key, show)))
}

/// `GET /guardrails/:id`.
pub(crate) fn get(call: &Call<GatewayGuardrailsView>) -> Result<Answer, Error> {
    let row = service::visible(call.admin(), &call.permit, call.id())?;
    Ok(Shown::of(call.admin(), &row).ok::<Guardrail>())
}

/// `POST /guardrails`.
pub(crate) fn create(call: &Call<GatewayGuardrailsManage>) -> Result<Answer, Error> {
    let sent = call.object()?;
    let (admin, permit) = (call.admin(), &call.permit);
    let new = body::NewGuardrail::read(&sent, admin.base_url_policy.as_ref())?;
    let project = service::project(admin, permit, new.project.as_deref())?;
    once(call, Operation::Guardrails, &sent, |keep| {
        service::create(admin, permit, &new, &project, keep)
    })
}

/// `PATCH /guardrails/:id`.
pub(crate) fn update(call: &Call<GatewayGuardrailsManage>) -> Result<Answer, Error> {
    let policy = call.admin().base_url_policy.as_ref();
    let patch = body::GuardrailPatch::read(&call.object()?, policy)?;
    let seen = call.if_match()?;
    let (shown, warnings) = service::update(call.admin(), &call.permit, call.id(), seen, &patch)?;
    Ok(Answer::ok(shown.answer::<Guardrail>(warnings)).at_revision(shown.revision))
}

/// `DELETE /guardrails/:id`: archives it; 200 with the archived row.
pub(crate) fn archive(call: &Call<GatewayGuardrailsManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let shown = service::archive(call.admin(), &call.permit, call.id(), seen)?;
    Ok(shown.ok::<Guardrail>())
}
