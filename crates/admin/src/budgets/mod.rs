//! Budgets over HTTP (domain 11 to 13, management-api 9): each handler reads, asks the service once, and
//! answers.
//!
//! Must never hold a rule: those are in [`service`], who may and who sees in [`target`], which keys count
//! in [`counting`], what a new budget begins with in [`opening`], the figures in [`view`]. Start at
//! [`routes`].

mod body;
mod counting;
mod opening;
mod schema;
mod service;
mod target;
mod view;

use http::Method;
use lw_core::{Code, Error};
use lw_store::config::BudgetFilter;
use serde_json::json;

pub use self::counting::Books;
pub use self::opening::open_missing;
pub(crate) use self::opening::{open, open_empty};
pub(crate) use self::schema::schemas;
use self::service::{Listed, Shown};
pub(crate) use self::view::audited;
use crate::edge::Family::Gateway;
use crate::idempotency::{Operation, once};
use crate::input::{QUERY, refuse};
use crate::keys;
use crate::page::{Keyset, keyset};
use crate::permission::{
    GatewayBudgetsCreate, GatewayBudgetsDelete, GatewayBudgetsUpdate, GatewayBudgetsView,
    VirtualKeysView,
};
use crate::routes::{Param, Route};
use crate::schemas::{idempotency_key, if_match, keyset_params, named, text, text_of, wrapped};
use crate::serve::{Answer, Call};

/// The longest id of an end user (billing 7.1).
const END_USER: usize = 256;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/budgets";
    let at = |tail: &str| format!("{base}/{{id}}{tail}");
    let budget = || wrapped("budget", "Budget");
    let changes = [Code::GatewayBudgetNotFound, Code::RevisionConflict];
    vec![
        Route::new::<GatewayBudgetsView>(Gateway, Method::GET, base, list)
            .named("getApiGatewayV1Budgets", "List budgets, newest first")
            .query(keyset_params())
            .query(filters())
            .answers(200, named("BudgetPage"))
            .refuses(&[Code::InvalidCursor]),
        Route::new::<GatewayBudgetsCreate>(Gateway, Method::POST, base, create)
            .named("postApiGatewayV1Budgets", "Create a budget")
            .headers(vec![idempotency_key()])
            .body(named("NewBudget"))
            .answers(201, budget())
            .refuses(&[
                Code::ScopeOrgMismatch,
                Code::VirtualKeyNotFound,
                Code::BudgetScopeUnreachable,
                Code::BudgetCycleAnchorInvalid,
                Code::ExternalIdConflict,
                Code::IdempotencyError,
            ]),
        Route::new::<GatewayBudgetsView>(Gateway, Method::GET, at(""), get)
            .named("getApiGatewayV1BudgetsById", "Read a budget")
            .answers(200, named("BudgetWithSpend"))
            .refuses(&[Code::BudgetNotFound]),
        Route::new::<GatewayBudgetsUpdate>(Gateway, Method::PATCH, at(""), update)
            .named("patchApiGatewayV1BudgetsById", "Change a budget")
            .headers(vec![if_match()])
            .body(named("BudgetPatch"))
            .answers(200, budget())
            .refuses(&changes)
            .refuses(&[Code::ExternalIdConflict]),
        Route::new::<GatewayBudgetsUpdate>(Gateway, Method::POST, at("/reset"), reset)
            .named(
                "postApiGatewayV1BudgetsByIdReset",
                "Begin a new period of a budget now, or of one end user's share of it",
            )
            .query(vec![Param {
                name: "end_user_id",
                about: "Only the period of this end user; for budgets with the scope attributed_user.",
                schema: text_of(1, 256),
            }])
            .headers(vec![if_match()])
            .optional_body(schema::reason())
            .answers(200, budget())
            .refuses(&changes)
            .refuses(&[Code::ScopeOrgMismatch]),
        Route::new::<GatewayBudgetsDelete>(Gateway, Method::DELETE, at(""), archive)
            .named("deleteApiGatewayV1BudgetsById", "Archive a budget")
            .headers(vec![if_match()])
            .answers(200, budget())
            .refuses(&changes),
        Route::anywhere::<VirtualKeysView>(
            Gateway,
            Method::GET,
            "/api/gateway/v1/virtual-keys/{id}/budgets",
            of_key,
        )
        .named(
            "getApiGatewayV1VirtualKeysByIdBudgets",
            "List the budgets that a virtual key counts toward",
        )
        .answers(200, named("BudgetsOfVirtualKey"))
        .refuses(&[Code::VirtualKeyNotFound]),
    ]
}

fn filters() -> Vec<Param> {
    vec![
        Param {
            name: "scope_type",
            about: "Only these kinds of target, separated by commas: team,project.",
            schema: text(),
        },
        Param {
            name: "external_id",
            about: "Only the budget with this external id.",
            schema: text_of(1, 128),
        },
    ]
}

/// `GET /budgets`: newest first. A page may be short while there is a next one: what the caller may not
/// see is left out after reading.
pub(crate) fn list(call: &Call<GatewayBudgetsView>) -> Result<Answer, Error> {
    let wanted = Keyset::of(call)?;
    let filter = BudgetFilter {
        scope_types: call.query("scope_type").map(scope_types).transpose()?,
        external_id: call.query("external_id").map(|id| id.trim().to_owned()),
    };
    let Listed {
        data,
        spend_available,
        next,
    } = service::list(call.admin(), &call.permit, &filter, &wanted)?;
    let mut page = keyset(&data, next.as_ref());
    if let Some(map) = page.as_object_mut() {
        map.insert("spend_available".into(), spend_available.into());
    }
    Ok(Answer::ok(page))
}

fn scope_types(text: &str) -> Result<Vec<String>, Error> {
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    let known = |word: &String| schema::SCOPE_TYPES.contains(&word.as_str());
    if words.iter().all(known) {
        return Ok(words);
    }
    let known = schema::SCOPE_TYPES.join(", ");
    let text = format!("must be of {known}, separated by commas");
    Err(refuse(QUERY, "scope_type", "invalid_value", text))
}

/// `POST /budgets`.
pub(crate) fn create(call: &Call<GatewayBudgetsCreate>) -> Result<Answer, Error> {
    let body = call.object()?;
    let (admin, permit) = (call.admin(), &call.permit);
    let prepared = service::prepare(admin, permit, body::NewBudget::read(&body)?)?;
    once(call, Operation::Budgets, &body, |keep| {
        service::create(admin, permit, &prepared, keep)
    })
}

/// `GET /budgets/:id`.
pub(crate) fn get(call: &Call<GatewayBudgetsView>) -> Result<Answer, Error> {
    let Shown {
        body,
        spend_available,
        revision,
    } = service::get(call.admin(), &call.permit, call.id())?;
    let answer = json!({ "spend_available": spend_available, "budget": body });
    Ok(Answer::ok(answer).at_revision(revision))
}

/// `PATCH /budgets/:id`.
pub(crate) fn update(call: &Call<GatewayBudgetsUpdate>) -> Result<Answer, Error> {
    let patch = body::BudgetPatch::read(&call.object()?)?;
    let (admin, permit, seen) = (call.admin(), &call.permit, call.if_match()?);
    let shown = service::update(admin, permit, call.id(), seen, &patch)?;
    Ok(one(&shown))
}

/// `POST /budgets/:id/reset`.
pub(crate) fn reset(call: &Call<GatewayBudgetsUpdate>) -> Result<Answer, Error> {
    let reason = keys::reason(&call.object_or_nothing()?)?;
    let (admin, permit, seen) = (call.admin(), &call.permit, call.if_match()?);
    let reason = reason.as_deref();
    let Some(end_user) = call.query("end_user_id").map(str::trim) else {
        let shown = service::reset(admin, permit, call.id(), seen, reason)?;
        return Ok(one(&shown));
    };
    if !(1..=END_USER).contains(&end_user.chars().count()) {
        let text = format!("must be 1 to {END_USER} characters long");
        return Err(refuse(QUERY, "end_user_id", "invalid_length", text));
    }
    let shown = service::reset_bucket(admin, permit, call.id(), seen, end_user, reason)?;
    Ok(one(&shown))
}

/// `DELETE /budgets/:id`.
pub(crate) fn archive(call: &Call<GatewayBudgetsDelete>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let shown = service::archive(call.admin(), &call.permit, call.id(), seen)?;
    Ok(one(&shown))
}

/// `GET /virtual-keys/:id/budgets`.
pub(crate) fn of_key(call: &Call<VirtualKeysView>) -> Result<Answer, Error> {
    let Listed {
        data,
        spend_available,
        next: _,
    } = service::of_key(call.admin(), &call.permit, call.id())?;
    Ok(Answer::ok(
        json!({ "spend_available": spend_available, "data": data }),
    ))
}

fn one(shown: &Shown) -> Answer {
    Answer::ok(json!({ "budget": shown.body })).at_revision(shown.revision)
}
