//! An organization's own prices over HTTP (billing 5): what a model costs it, where that differs from the
//! published price.
//!
//! Everybody who sees providers sees them; they hold for the whole organization, so writing one needs the
//! permission there. Gateways price calls while they answer, so every write tells them to build anew.
//! Start at [`create`]; what callers send is read in [`body`].

mod body;
mod schema;

use http::Method;
use lw_core::{Code, Error, ModelPriceId, UnixMicros};
use lw_engine::access::{Action, Permission as Wanted, Resource};
use lw_store::StoreError;
use lw_store::config::{ChangeEvent, ChangeKind, Write};
use lw_store::rows::ModelPrice;
use serde_json::{Map, Value, json};

use self::body::{NewPrice, PricePatch, RATES};
pub(crate) use self::schema::schemas;
use crate::Admin;
use crate::caller::Caller;
use crate::edge::Family::Gateway;
use crate::edge::stored;
use crate::idempotency::{Operation, once};
use crate::permission::{ModelProvidersManage, ModelProvidersView};
use crate::revised::{self, Change, New, Row, Shown, Step};
use crate::routes::Route;
use crate::schemas::{idempotency_key, if_match, keyset_params, named, page, wrapped};
use crate::serve::{Answer, Call};
use crate::sorted::{self, Sorted};
use crate::write::commit;

const MANAGE: Wanted = Wanted::new(Resource::ModelProviders, Action::Manage);

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/model-prices";
    let one = format!("{base}/{{id}}");
    let price = || wrapped(ModelPrice::KIND, "ModelPrice");
    vec![
        Route::new::<ModelProvidersView>(Gateway, Method::GET, base, list)
            .named(
                "getApiGatewayV1ModelPrices",
                "List the organization's own prices, by model",
            )
            .query(keyset_params())
            .answers(200, page("ModelPrice"))
            .refuses(&[Code::InvalidCursor]),
        Route::new::<ModelProvidersManage>(Gateway, Method::POST, base, create)
            .named("postApiGatewayV1ModelPrices", "Set a price of your own")
            .headers(vec![idempotency_key()])
            .body(named("NewModelPrice"))
            .answers(201, price())
            .refuses(&[Code::ModelPriceConflict, Code::IdempotencyError]),
        Route::new::<ModelProvidersView>(Gateway, Method::GET, &*one, get)
            .named("getApiGatewayV1ModelPricesById", "Read a price")
            .answers(200, price())
            .refuses(&[Code::ModelPriceNotFound]),
        Route::new::<ModelProvidersManage>(Gateway, Method::PATCH, &*one, update)
            .named("patchApiGatewayV1ModelPricesById", "Change a price")
            .headers(vec![if_match()])
            .body(named("ModelPricePatch"))
            .answers(200, price())
            .refuses(&[
                Code::ModelPriceNotFound,
                Code::ModelPriceConflict,
                Code::RevisionConflict,
            ]),
        Route::new::<ModelProvidersManage>(Gateway, Method::DELETE, &*one, delete)
            .named(
                "deleteApiGatewayV1ModelPricesById",
                "Delete a price; the published one holds again",
            )
            .headers(vec![if_match()])
            .answers(200, price())
            .refuses(&[Code::ModelPriceNotFound, Code::RevisionConflict]),
    ]
}

impl Row for ModelPrice {
    const KIND: &'static str = "model_price";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn advance(&mut self, now: UnixMicros) {
        self.revision = self.revision.saturating_add(1);
        self.updated_at = now;
    }

    fn show(&self, _: &Admin) -> Value {
        shown(self)
    }

    fn missing() -> Error {
        Error::new(Code::ModelPriceNotFound, "Model price not found.")
    }

    fn refused(error: StoreError) -> Error {
        match error {
            StoreError::Conflict { field: "model" } => {
                let message = "The organization has a price for this model and provider already.";
                Error::new(Code::ModelPriceConflict, message)
                    .tip("Change that price: GET /api/gateway/v1/model-prices lists them.")
            }
            error => stored(error),
        }
    }
}

/// The resource: every rate is there, null when it is not set.
fn shown(row: &ModelPrice) -> Value {
    let ModelPrice {
        id,
        organization_id,
        provider,
        model,
        rates,
        revision: _,
        created_at,
        updated_at,
    } = row;
    let rates: Map<String, Value> = RATES
        .iter()
        .map(|name| ((*name).to_owned(), rates.get(*name).cloned().into()))
        .collect();
    json!({
        "id": id,
        "organization_id": organization_id,
        "model": model,
        "provider": provider,
        "rates": rates,
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
    })
}

/// `GET /model-prices`: by model, then provider; a price for any provider comes first.
pub(crate) fn list(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let wanted = Sorted::of(call)?;
    let rows = call
        .admin()
        .store
        .model_prices(&call.permit.organization.id)
        .map_err(stored)?;
    let key = |row: &ModelPrice| {
        let provider = row.provider.clone().unwrap_or_default();
        (sorted::name(&row.model), provider, row.id.to_string())
    };
    Ok(Answer::ok(wanted.page(rows, key, shown)))
}

/// `GET /model-prices/:id`.
pub(crate) fn get(call: &Call<ModelProvidersView>) -> Result<Answer, Error> {
    let row = existing(call.admin(), &call.permit, call.id())?;
    Ok(Shown::of(call.admin(), &row).ok::<ModelPrice>())
}

/// `POST /model-prices`.
pub(crate) fn create(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let sent = call.object()?;
    let new = NewPrice::read(&sent)?;
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    caller.require_at_organization(admin, MANAGE)?;
    once(call, Operation::ModelPrices, &sent, |keep| {
        let NewPrice {
            model,
            provider,
            rates,
        } = new.clone();
        let now = admin.clock.now();
        let row = ModelPrice {
            id: ModelPriceId::mint(now, admin.entropy.as_ref()),
            organization_id: caller.organization.id.clone(),
            provider,
            model,
            rates,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let new = New {
            row: &row,
            writes: vec![Write::InsertModelPrice(&row)],
            events: vec![event(caller)],
            beside: Map::new(),
            now,
        };
        revised::create(admin, caller, "gateway.model_price.created", &new, keep)
    })
}

/// `PATCH /model-prices/:id`: single rates are kept, cleared or set.
pub(crate) fn update(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let PricePatch {
        model,
        provider,
        rates,
    } = PricePatch::read(&call.object()?)?;
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    caller.require_at_organization(admin, MANAGE)?;
    let done = changing(call, "gateway.model_price.updated", false)?.run(
        || existing(admin, caller, call.id()),
        |row, _| {
            if let Some(model) = &model {
                row.model.clone_from(model);
            }
            row.provider = provider.clone().over(row.provider.take());
            body::over(&rates, &mut row.rates)?;
            Ok(Step::Write)
        },
        |writing| {
            let (row, expected) = (writing.row, writing.expected);
            let write = Write::UpdateModelPrice { row, expected };
            commit(admin, &[write], writing.change)
        },
    )?;
    Ok(done.new.ok::<ModelPrice>())
}

/// `DELETE /model-prices/:id`: 200 with what was deleted.
pub(crate) fn delete(call: &Call<ModelProvidersManage>) -> Result<Answer, Error> {
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    caller.require_at_organization(admin, MANAGE)?;
    let done = changing(call, "gateway.model_price.deleted", true)?.run(
        || existing(admin, caller, call.id()),
        |_, _| Ok(Step::Write),
        |writing| {
            let (row, expected) = (writing.row, writing.expected);
            // The update only makes sure that nobody changed the price meanwhile.
            let writes = [
                Write::UpdateModelPrice { row, expected },
                Write::DeleteModelPrice {
                    organization: &row.organization_id,
                    id: &row.id,
                },
            ];
            commit(admin, &writes, writing.change)
        },
    )?;
    Ok(Answer::ok(done.old.answer::<ModelPrice>(Map::new())))
}

fn existing(admin: &Admin, caller: &Caller, id: &str) -> Result<ModelPrice, Error> {
    let id = ModelPriceId::parse(id).map_err(|_not_an_id| ModelPrice::missing())?;
    let row = admin
        .store
        .model_price(&caller.organization.id, &id)
        .map_err(stored)?;
    row.ok_or_else(ModelPrice::missing)
}

fn changing<'a>(
    call: &'a Call<ModelProvidersManage>,
    action: &'static str,
    deletes: bool,
) -> Result<Change<'a>, Error> {
    Ok(Change {
        admin: call.admin(),
        caller: &call.permit,
        action,
        args: None,
        events: vec![event(&call.permit)],
        seen: call.if_match()?,
        deletes,
    })
}

/// Without a provider's id: every bundle of the organization is built anew.
fn event(caller: &Caller) -> ChangeEvent {
    ChangeEvent::of(
        ChangeKind::ModelProviderUpdated,
        caller.organization.id.clone(),
    )
}
