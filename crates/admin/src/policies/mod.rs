//! Routing policies over HTTP (management-api 11, domain 8): which providers keys try in which order, what
//! names mean, and what is refused.
//!
//! Start at [`create`]; what callers send is read in [`body`], the rules are in [`service`].

mod body;
mod schema;
mod service;
mod view;

use http::Method;
use lw_core::{Code, Error};
use serde_json::{Map, Value};

pub(crate) use self::schema::schemas;
use crate::edge::Family::Gateway;
use crate::idempotency::{Operation, once};
use crate::input::{QUERY, refuse};
use crate::permission::{RoutingPoliciesManage, RoutingPoliciesView};
use crate::revised::{Row as _, Shown};
use crate::routes::{Param, Route};
use crate::schemas::{
    idempotency_key, if_match, input, keyset_params, named, page, text_of, wrapped,
};
use crate::serve::{Answer, Call};
use crate::sorted::Sorted;
use lw_store::rows::RoutingPolicy;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/routing-policies";
    let at = |tail: &str| format!("{base}/{{id}}{tail}");
    let policy = || wrapped(RoutingPolicy::KIND, "RoutingPolicy");
    vec![
        Route::anywhere::<RoutingPoliciesView>(Gateway, Method::GET, base, list)
            .named(
                "getApiGatewayV1RoutingPolicies",
                "List routing policies: defaults first, then by name",
            )
            .query(keyset_params())
            .query(vec![Param {
                name: "selectable_for",
                about: "Only what a key at this scope may select: `<type>:<id or slug>`.",
                schema: text_of(1, 300),
            }])
            .answers(200, page("RoutingPolicy"))
            .refuses(&[Code::InvalidCursor, Code::ScopeOrgMismatch]),
        Route::anywhere::<RoutingPoliciesManage>(Gateway, Method::POST, base, create)
            .named(
                "postApiGatewayV1RoutingPolicies",
                "Create a routing policy; by default for the project or organization of the call",
            )
            .headers(vec![idempotency_key()])
            .body(named("NewRoutingPolicy"))
            .answers(201, policy())
            .refuses(schema::WRITES)
            .refuses(&[Code::IdempotencyError]),
        Route::anywhere::<RoutingPoliciesView>(Gateway, Method::GET, at(""), get)
            .named("getApiGatewayV1RoutingPoliciesById", "Read a routing policy")
            .answers(200, policy())
            .refuses(&[Code::RoutingPolicyNotFound]),
        Route::anywhere::<RoutingPoliciesManage>(Gateway, Method::PATCH, at(""), update)
            .named(
                "patchApiGatewayV1RoutingPoliciesById",
                "Change a routing policy and every key that uses it",
            )
            .headers(vec![if_match()])
            .body(named("RoutingPolicyPatch"))
            .answers(200, policy())
            .refuses(schema::WRITES)
            .refuses(schema::CHANGES),
        Route::anywhere::<RoutingPoliciesManage>(Gateway, Method::POST, at("/set-default"), default)
            .named(
                "postApiGatewayV1RoutingPoliciesByIdSetDefault",
                "Make a routing policy the default of its scopes",
            )
            .headers(vec![if_match()])
            .optional_body(input(&[], &[]))
            .answers(200, policy())
            .refuses(schema::CHANGES),
        Route::anywhere::<RoutingPoliciesManage>(Gateway, Method::DELETE, at(""), delete)
            .named(
                "deleteApiGatewayV1RoutingPoliciesById",
                "Delete a routing policy; its keys move to another one or fall back to all providers",
            )
            .query(vec![Param {
                name: "replacement_policy_id",
                about: "The policy that the keys move to.",
                schema: text_of(1, 128),
            }])
            .headers(vec![if_match()])
            .answers(200, named("DeletedRoutingPolicy"))
            .refuses(schema::CHANGES),
    ]
}

/// `GET /routing-policies`: defaults first, then by name, then by id.
pub(crate) fn list(call: &Call<RoutingPoliciesView>) -> Result<Answer, Error> {
    let wanted = Sorted::of(call)?;
    let scope = match call.query("selectable_for") {
        None => None,
        Some(text) => Some(body::selectable_for(text).ok_or_else(|| {
            let text = "must be organization:<id>, team:<id> or project:<id>";
            refuse(QUERY, "selectable_for", "invalid_value", text)
        })?),
    };
    let rows = service::list(call.admin(), &call.permit, scope.as_ref())?;
    Ok(Answer::ok(wanted.page(
        rows,
        service::sort_key,
        view::policy,
    )))
}

/// `GET /routing-policies/:id`.
pub(crate) fn get(call: &Call<RoutingPoliciesView>) -> Result<Answer, Error> {
    let row = service::visible(call.admin(), &call.permit, call.id())?;
    Ok(Shown::of(call.admin(), &row).ok::<RoutingPolicy>())
}

/// `POST /routing-policies`.
pub(crate) fn create(call: &Call<RoutingPoliciesManage>) -> Result<Answer, Error> {
    let sent = call.object()?;
    let (admin, permit) = (call.admin(), &call.permit);
    let prepared = service::prepare(admin, permit, body::NewPolicy::read(&sent)?)?;
    once(call, Operation::RoutingPolicies, &sent, |keep| {
        service::create(admin, permit, &prepared, keep)
    })
}

/// `PATCH /routing-policies/:id`.
pub(crate) fn update(call: &Call<RoutingPoliciesManage>) -> Result<Answer, Error> {
    let patch = body::PolicyPatch::read(&call.object()?)?;
    let seen = call.if_match()?;
    let shown = service::update(call.admin(), &call.permit, call.id(), seen, &patch)?;
    Ok(shown.ok::<RoutingPolicy>())
}

/// `POST /routing-policies/:id/set-default`.
pub(crate) fn default(call: &Call<RoutingPoliciesManage>) -> Result<Answer, Error> {
    call.object_or_nothing()?;
    let seen = call.if_match()?;
    let shown = service::set_default(call.admin(), &call.permit, call.id(), seen)?;
    Ok(shown.ok::<RoutingPolicy>())
}

/// `DELETE /routing-policies/:id`: 200 with what was deleted and how many keys moved.
pub(crate) fn delete(call: &Call<RoutingPoliciesManage>) -> Result<Answer, Error> {
    let (seen, replacement) = (call.if_match()?, call.query("replacement_policy_id"));
    let (shown, moved) = service::delete(call.admin(), &call.permit, call.id(), seen, replacement)?;
    let beside = Map::from_iter([("affected_virtual_keys".to_owned(), Value::from(moved))]);
    Ok(Answer::ok(shown.answer::<RoutingPolicy>(beside)))
}
