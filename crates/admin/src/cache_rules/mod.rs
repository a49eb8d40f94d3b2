//! Cache rules over HTTP (management-api 10, domain 14): which requests are answered from the provider's
//! cache, which never.
//!
//! Rules belong to the organization and hold for all of its keys, so writing one needs the permission
//! there, also in a project's context: management-api 10 does not say so, but one project must not decide
//! what the others are answered. Archived ones are kept for the audit and shown to nobody. Start at [`create`]; what callers send is read in [`body`].

mod body;
mod matchers;
mod schema;

use std::cmp::Reverse;

use http::Method;
use lw_core::{CacheRuleId, Code, Error, UnixMicros};
use lw_engine::access::{Action, Permission, Resource};
use lw_store::config::{ChangeEvent, ChangeKind, Write};
use lw_store::rows::CacheRule;
use serde_json::{Map, Value, json};

use self::body::{NewRule, RulePatch};
pub(crate) use self::schema::schemas;
use crate::Admin;
use crate::caller::Caller;
use crate::edge::Family::Gateway;
use crate::edge::stored;
use crate::idempotency::{Operation, once};
use crate::permission::{
    GatewayCacheRulesCreate, GatewayCacheRulesDelete, GatewayCacheRulesUpdate,
    GatewayCacheRulesView,
};
use crate::revised::{self, Change, Done, New, Row, Shown, Step};
use crate::routes::Route;
use crate::schemas::{idempotency_key, if_match, keyset_params, named, page, wrapped};
use crate::serve::{Answer, Call};
use crate::sorted::Sorted;
use crate::write::commit;

/// A permission on cache rules.
const fn rules(action: Action) -> Permission {
    Permission::new(Resource::GatewayCacheRules, action)
}

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/gateway/v1/cache-rules";
    let one = format!("{base}/{{id}}");
    let rule = || wrapped(CacheRule::KIND, "CacheRule");
    let changes = [Code::CacheRuleNotFound, Code::RevisionConflict];
    vec![
        Route::new::<GatewayCacheRulesView>(Gateway, Method::GET, base, list)
            .named(
                "getApiGatewayV1CacheRules",
                "List cache rules in the order they are asked",
            )
            .query(keyset_params())
            .answers(200, page("CacheRule"))
            .refuses(&[Code::InvalidCursor]),
        Route::new::<GatewayCacheRulesCreate>(Gateway, Method::POST, base, create)
            .named("postApiGatewayV1CacheRules", "Create a cache rule")
            .headers(vec![idempotency_key()])
            .body(named("NewCacheRule"))
            .answers(201, rule())
            .refuses(&[Code::IdempotencyError]),
        Route::new::<GatewayCacheRulesView>(Gateway, Method::GET, &*one, get)
            .named("getApiGatewayV1CacheRulesById", "Read a cache rule")
            .answers(200, rule())
            .refuses(&[Code::CacheRuleNotFound]),
        Route::new::<GatewayCacheRulesUpdate>(Gateway, Method::PATCH, &*one, update)
            .named("patchApiGatewayV1CacheRulesById", "Change a cache rule")
            .headers(vec![if_match()])
            .body(named("CacheRulePatch"))
            .answers(200, rule())
            .refuses(&changes),
        Route::new::<GatewayCacheRulesDelete>(Gateway, Method::DELETE, &*one, archive)
            .named("deleteApiGatewayV1CacheRulesById", "Archive a cache rule")
            .headers(vec![if_match()])
            .answers(200, rule())
            .refuses(&changes),
    ]
}

impl Row for CacheRule {
    const KIND: &'static str = "cache_rule";

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
        Error::new(Code::CacheRuleNotFound, "Cache rule not found.")
    }
}

/// The resource.
fn shown(row: &CacheRule) -> Value {
    let CacheRule {
        id,
        organization_id,
        name,
        description,
        priority,
        enabled,
        matchers,
        action,
        archived_at,
        revision: _,
        created_at,
        updated_at,
    } = row;
    json!({
        "id": id,
        "organization_id": organization_id,
        "name": name,
        "description": description,
        "priority": priority,
        "enabled": enabled,
        "matchers": matchers,
        "action": action,
        "mode_enum": action.get("mode"),
        "archived_at": archived_at.map(UnixMicros::to_rfc3339),
        "created_at": created_at.to_rfc3339(),
        "updated_at": updated_at.to_rfc3339(),
    })
}

/// `GET /cache-rules`: in the order in which a gateway asks them.
pub(crate) fn list(call: &Call<GatewayCacheRulesView>) -> Result<Answer, Error> {
    let wanted = Sorted::of(call)?;
    let rows = call
        .admin()
        .store
        .cache_rules(&call.permit.organization.id)
        .map_err(stored)?;
    let key = |row: &CacheRule| (Reverse(row.priority), row.created_at.0, row.id.to_string());
    Ok(Answer::ok(wanted.page(rows, key, shown)))
}

/// `GET /cache-rules/:id`.
pub(crate) fn get(call: &Call<GatewayCacheRulesView>) -> Result<Answer, Error> {
    let row = live(call.admin(), &call.permit, call.id())?;
    Ok(Shown::of(call.admin(), &row).ok::<CacheRule>())
}

/// `POST /cache-rules`.
pub(crate) fn create(call: &Call<GatewayCacheRulesCreate>) -> Result<Answer, Error> {
    let sent = call.object()?;
    let new = NewRule::read(&sent)?;
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    caller.require_at_organization(admin, rules(Action::Create))?;
    matchers::known(admin, caller, None, &new.matchers)?;
    once(call, Operation::CacheRules, &sent, |keep| {
        let NewRule {
            name,
            description,
            priority,
            enabled,
            matchers,
            action,
        } = new.clone();
        let now = admin.clock.now();
        let row = CacheRule {
            id: CacheRuleId::mint(now, admin.entropy.as_ref()),
            organization_id: caller.organization.id.clone(),
            name,
            description,
            priority,
            enabled,
            matchers,
            action,
            archived_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let new = New {
            row: &row,
            writes: vec![Write::InsertCacheRule(&row)],
            events: vec![event(caller, ChangeKind::CacheRuleCreated, row.id.as_str())],
            beside: Map::new(),
            now,
        };
        revised::create(admin, caller, "gateway.cache_rule.created", &new, keep)
    })
}

/// `PATCH /cache-rules/:id`: `matchers` and `action` replace whole.
pub(crate) fn update(call: &Call<GatewayCacheRulesUpdate>) -> Result<Answer, Error> {
    let RulePatch {
        name,
        description,
        priority,
        enabled,
        matchers,
        action,
    } = RulePatch::read(&call.object()?)?;
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    let done = change(
        call,
        Action::Update,
        ("gateway.cache_rule.updated", ChangeKind::CacheRuleUpdated),
        |row, _| {
            if let Some(name) = &name {
                row.name.clone_from(name);
            }
            if let Some(matchers) = &matchers {
                matchers::known(admin, caller, Some(&row.matchers), matchers)?;
                row.matchers.clone_from(matchers);
            }
            if let Some(action) = &action {
                row.action.clone_from(action);
            }
            row.description = description.clone().over(row.description.take());
            row.priority = priority.unwrap_or(row.priority);
            row.enabled = enabled.unwrap_or(row.enabled);
            Ok(Step::Write)
        },
    )?;
    Ok(done.new.ok::<CacheRule>())
}

/// `DELETE /cache-rules/:id`: archives it; 200 with the archived row.
pub(crate) fn archive(call: &Call<GatewayCacheRulesDelete>) -> Result<Answer, Error> {
    let done = change(
        call,
        Action::Delete,
        ("gateway.cache_rule.deleted", ChangeKind::CacheRuleDeleted),
        |row, now| {
            row.archived_at = Some(now);
            Ok(Step::Write)
        },
    )?;
    Ok(done.new.ok::<CacheRule>())
}

/// Changes a live rule: `needs` is what the caller must be permitted to do at the organization, `told` the
/// audit action and what gateways are told.
fn change<P>(
    call: &Call<P>,
    needs: Action,
    told: (&'static str, ChangeKind),
    edit: impl Fn(&mut CacheRule, UnixMicros) -> Result<Step, Error>,
) -> Result<Done, Error> {
    let (admin, caller): (_, &Caller) = (call.admin(), &call.permit);
    caller.require_at_organization(admin, rules(needs))?;
    let (action, kind) = told;
    let change = Change {
        admin,
        caller,
        action,
        args: None,
        events: vec![event(caller, kind, call.id())],
        seen: call.if_match()?,
        deletes: false,
    };
    change.run(
        || live(admin, caller, call.id()),
        edit,
        |writing| {
            let (row, expected) = (writing.row, writing.expected);
            commit(
                admin,
                &[Write::UpdateCacheRule { row, expected }],
                writing.change,
            )
        },
    )
}

/// A rule that is not archived.
fn live(admin: &Admin, caller: &Caller, id: &str) -> Result<CacheRule, Error> {
    let id = CacheRuleId::parse(id).map_err(|_not_an_id| CacheRule::missing())?;
    let row = admin
        .store
        .cache_rule(&caller.organization.id, &id)
        .map_err(stored)?;
    row.filter(|row| row.archived_at.is_none())
        .ok_or_else(CacheRule::missing)
}

fn event(caller: &Caller, kind: ChangeKind, id: &str) -> ChangeEvent {
    ChangeEvent {
        payload: Some(json!({ "cache_rule_id": id }).to_string()),
        ..ChangeEvent::of(kind, caller.organization.id.clone())
    }
}
