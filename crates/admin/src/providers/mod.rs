//! Model providers over HTTP (management-api 12): by id, by kind as official clients do it, and the
//! tombstone of what they replace.
//!
//! Credentials go in and never come out. Start at [`create`]; the rules are in [`service`], who may do
//! what in [`gates`], the kinds in [`kinds`], the secrets in [`bag`] and [`headers`].

mod bag;
mod body;
mod dialled;
mod gates;
mod headers;
mod kind;
mod kinds;
mod naming;
mod official;
mod schema;
mod sealing;
mod service;
mod settings;
mod value;
mod view;

use http::Method;
use lw_core::{Code, Error};
use serde_json::json;

pub(crate) use self::bag::PLACEHOLDER;
use self::kind::Kind;
pub(crate) use self::schema::schemas;
use self::service::Shown;
use crate::Probe;
use crate::edge::Family::{Gateway, Project};
use crate::idempotency::{Operation, once};
use crate::page::{Keyset, keyset};
use crate::permission::{
    AnyCredential, ModelProvidersManage, ModelProvidersSet, ModelProvidersUpdate,
    ModelProvidersView, ProjectView,
};
use crate::routes::Route;
use crate::schemas::{idempotency_key, if_match, keyset_params, named, page, wrapped};
use crate::serve::{Answer, Call};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = by_kind();
    routes.extend(by_id(
        "/api/gateway/v1/model-providers",
        [
            "getApiGatewayV1ModelProviders",
            "postApiGatewayV1ModelProviders",
            "getApiGatewayV1ModelProvidersById",
            "patchApiGatewayV1ModelProvidersById",
            "deleteApiGatewayV1ModelProvidersById",
            "postApiGatewayV1ModelProvidersByIdTest",
        ],
    ));
    routes.extend(by_id(
        "/api/gateway-platform/v1/model-providers",
        [
            "getApiGatewayPlatformV1ModelProviders",
            "postApiGatewayPlatformV1ModelProviders",
            "getApiGatewayPlatformV1ModelProvidersById",
            "patchApiGatewayPlatformV1ModelProvidersById",
            "deleteApiGatewayPlatformV1ModelProvidersById",
            "postApiGatewayPlatformV1ModelProvidersByIdTest",
        ],
    ));
    routes.extend(tombstones());
    routes
}

/// The official routes.
fn by_kind() -> Vec<Route> {
    let base = "/api/model-providers";
    vec![
        Route::anywhere::<ProjectView>(Project, Method::GET, base, list_by_kind)
            .named(
                "getApiModelProviders",
                "The model providers that a project sees, by kind",
            )
            .answers(200, named("ModelProvidersByKind")),
        Route::anywhere::<ModelProvidersSet>(
            Project,
            Method::PUT,
            format!("{base}/{{provider}}"),
            set,
        )
        .named(
            "putApiModelProvidersByProvider",
            "Store or change the model provider of a kind",
        )
        .body(named("ModelProviderUpsert"))
        .answers(200, named("ModelProvidersByKind"))
        .refuses(&[Code::RevisionConflict, Code::ModelProviderNotFound]),
    ]
}

/// The routes by id below one of their two names.
fn by_id(base: &str, ids: [&'static str; 6]) -> Vec<Route> {
    let [list_id, create_id, get_id, update_id, delete_id, test_id] = ids;
    let one = format!("{base}/{{id}}");
    let provider = || wrapped("model_provider", "ModelProvider");
    let missing = [Code::ModelProviderNotFound];
    let changes = [Code::ModelProviderNotFound, Code::RevisionConflict];
    vec![
        Route::anywhere::<ModelProvidersView>(Gateway, Method::GET, base, list)
            .named(list_id, "List model providers, newest first")
            .query(keyset_params())
            .query(vec![schema::filter()])
            .answers(200, page("ModelProvider"))
            .refuses(&[Code::InvalidCursor]),
        // Managing is asked for at each scope; a role that lists `modelProviders:update` may create too.
        Route::anywhere::<ModelProvidersUpdate>(Gateway, Method::POST, base, create)
            .named(
                create_id,
                "Store a model provider; takes `modelProviders:manage` at each of its scopes",
            )
            .headers(vec![idempotency_key()])
            .body(named("NewModelProvider"))
            .answers(201, provider())
            .refuses(schema::WRITES)
            .refuses(&[Code::IdempotencyError]),
        Route::anywhere::<ModelProvidersView>(Gateway, Method::GET, &*one, get)
            .named(get_id, "Read a model provider")
            .answers(200, provider())
            .refuses(&missing),
        Route::anywhere::<ModelProvidersUpdate>(Gateway, Method::PATCH, &*one, update)
            .named(update_id, "Change a model provider")
            .headers(vec![if_match()])
            .body(named("ModelProviderPatch"))
            .answers(200, provider())
            .refuses(schema::WRITES)
            .refuses(&changes),
        Route::anywhere::<ModelProvidersManage>(Gateway, Method::DELETE, &*one, delete)
            .named(delete_id, "Delete a model provider with its credentials")
            .headers(vec![if_match()])
            .answers(200, provider())
            .refuses(&changes),
        Route::anywhere::<ModelProvidersUpdate>(Gateway, Method::POST, format!("{one}/test"), test)
            .named(
                test_id,
                "Ask a model provider whether its credential works; 10 times a minute",
            )
            .optional_body(schema::nothing())
            .answers(200, named("ModelProviderTest"))
            .refuses(&missing),
    ]
}

/// Provider bindings, which model providers replaced. They answer 410 to every credential.
fn tombstones() -> Vec<Route> {
    let (base, one) = (
        "/api/gateway/v1/providers",
        "/api/gateway/v1/providers/{id}",
    );
    let row = |method, path: &str, id| {
        Route::anywhere::<AnyCredential>(Gateway, method, path, gone)
            .named(id, "Gone: provider bindings are model providers now")
            .answers(410, named("Error"))
            .refuses(&[Code::ProviderBindingsGone])
    };
    vec![
        row(Method::GET, base, "getApiGatewayV1Providers"),
        row(Method::POST, base, "postApiGatewayV1Providers").optional_body(schema::nothing()),
        row(Method::PATCH, one, "patchApiGatewayV1ProvidersById").optional_body(schema::nothing()),
        row(Method::DELETE, one, "deleteApiGatewayV1ProvidersById"),
    ]
}

/// `GET /model-providers`: newest first.
pub(crate) fn list(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let wanted = Keyset::of(call)?;
    let kind = call.query("provider").filter(|text| !text.is_empty());
    let kind = kind.map(|text| {
        Kind::parse(text).map_or_else(|| text.to_owned(), |kind| kind.name().to_owned())
    });
    let (rows, next) = service::list(call.admin(), &call.permit, kind, &wanted)?;
    Ok(Answer::ok(keyset(&rows, next.as_ref())))
}

/// `GET /model-providers/:id`.
pub(crate) fn get(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    Ok(one(&service::get(call.admin(), &call.permit, call.id())?))
}

/// `POST /model-providers`.
pub(crate) fn create(call: &Call<ModelProvidersUpdate>) -> Result<Answer, Error> {
    let body = call.object()?;
    let (admin, permit) = (call.admin(), &call.permit);
    let new = body::NewProvider::read(&body, admin.base_url_policy.as_ref())?;
    let prepared = service::prepare(admin, permit, new)?;
    once(call, Operation::ModelProviders, &body, |keep| {
        service::create(admin, permit, &prepared, keep)
    })
}

/// `PATCH /model-providers/:id`.
pub(crate) fn update(call: &Call<ModelProvidersUpdate>) -> Result<Answer, Error> {
    let (patch, seen) = (call.object()?, call.if_match()?);
    let shown = service::update(call.admin(), &call.permit, call.id(), seen, &patch)?;
    Ok(one(&shown))
}

/// `DELETE /model-providers/:id`: 200 with what was deleted.
pub(crate) fn delete(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let seen = call.if_match()?;
    let body = service::delete(call.admin(), &call.permit, call.id(), seen)?;
    Ok(Answer::ok(json!({ "model_provider": body })))
}

/// `POST /model-providers/:id/test`. What the provider said is the answer, not a refusal.
pub(crate) fn test(call: &Call<ModelProvidersUpdate>) -> Result<Answer, Error> {
    call.object_or_nothing()?;
    let organization = &call.permit.organization.id;
    let count = || call.count_provider_test(organization);
    let Probe { latency_ms, error } = service::probe(call.admin(), &call.permit, call.id(), count)?;
    let mut body = json!({ "ok": error.is_none(), "latency_ms": latency_ms });
    if let (Some(error), Some(body)) = (error, body.as_object_mut()) {
        body.insert("error".into(), error.into());
    }
    Ok(Answer::ok(body))
}

/// `GET /api/model-providers`.
pub(crate) fn list_by_kind(call: &Call<ProjectView>) -> Result<Answer, Error> {
    Ok(Answer::ok(official::map(call.admin(), &call.permit)?))
}

/// `PUT /api/model-providers/:provider`. Whatever is wrong with the body is a 400 here.
pub(crate) fn set(call: &Call<ModelProvidersSet>) -> Result<Answer, Error> {
    let kind = call.param("provider");
    let done = call
        .object()
        .and_then(|body| official::put(call.admin(), &call.permit, kind, &body));
    done.map(Answer::ok).map_err(|error| match error.code() {
        Code::ValidationError => Error::new(Code::BadRequest, error.message()),
        _ => error,
    })
}

/// The bindings API is gone.
pub(crate) fn gone(_: &Call<AnyCredential>) -> Result<Answer, Error> {
    let message = "Provider bindings are gone. Use /api/gateway-platform/v1/model-providers.";
    Err(Error::new(Code::ProviderBindingsGone, message)
        .with("replacement", "/api/gateway-platform/v1/model-providers"))
}

fn one(shown: &Shown) -> Answer {
    let Shown { body, revision } = shown;
    Answer::ok(json!({ "model_provider": body })).at_revision(*revision)
}
