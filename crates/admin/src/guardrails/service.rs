//! The rules of guardrails: who writes which, what the keys that attach one are told (domain 15).
//!
//! Start at [`create`] and [`update`].

use std::cmp::Reverse;

use lw_core::{Code, Error, GuardrailId, ProjectId, UnixMicros};
use lw_engine::access::{Action, Permission as Wanted, Resource};
use lw_store::config::{ScopeKind, Write};
use lw_store::rows::{Guardrail, Scope};
use serde_json::{Map, Value};

use super::body::{GuardrailPatch, NewGuardrail};
use super::evaluator::{Evaluator, warnings};
use super::headers::Kept;
use super::view;
use crate::Admin;
use crate::caller::{Caller, Permit, permission_denied};
use crate::edge::stored;
use crate::idempotency::Keep;
use crate::input::{BODY, Problems, refuse};
use crate::permission::{GatewayGuardrailsManage, GatewayGuardrailsView};
use crate::revised::{self, Change, New, Row, Shown, Step, Writing};
use crate::scope;
use crate::serve::Answer;
use crate::write::{Filed, commit};

const VIEW: Wanted = Wanted::new(Resource::GatewayGuardrails, Action::View);
const MANAGE: Wanted = Wanted::new(Resource::GatewayGuardrails, Action::Manage);

impl Row for Guardrail {
    const KIND: &'static str = "guardrail";

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

    fn show(&self, admin: &Admin) -> Value {
        view::guardrail(admin, self)
    }

    fn missing() -> Error {
        Error::new(Code::GuardrailNotFound, "Guardrail not found.")
    }

    fn filed(&self) -> Filed {
        Filed::Project(self.project_id.clone())
    }
}

/// What a list of guardrails is sorted by: newest first.
pub(super) fn sort_key(row: &Guardrail) -> (Reverse<i64>, Reverse<String>) {
    (Reverse(row.created_at.0), Reverse(row.id.to_string()))
}

/// The guardrails that the caller sees, or those of them that are of one project.
///
/// # Errors
/// Those of [`named`].
pub(super) fn list(
    admin: &Admin,
    permit: &Permit<GatewayGuardrailsView>,
    project: Option<&str>,
) -> Result<Vec<Guardrail>, Error> {
    let project = match project {
        Some(name) => Some(named(admin, permit, name.trim(), VIEW)?),
        None => permit.project.as_ref().map(|project| project.id.clone()),
    };
    let rows = admin
        .store
        .guardrails(&permit.organization.id, project.as_ref())
        .map_err(stored)?;
    if project.is_some() {
        // The caller looks there: that was checked.
        return Ok(rows);
    }
    let sight = permit.sight(admin, VIEW)?;
    let seen = |row: &Guardrail| sight.sees(&[Scope::Project(row.project_id.clone())]);
    Ok(rows.into_iter().filter(seen).collect())
}

/// A project that the caller named, where it may do `wanted`.
///
/// # Errors
/// `permission_denied`, which is also the answer to a project that does not exist, unless the caller is
/// permitted everywhere: then `gateway_scope_org_mismatch`.
fn named(admin: &Admin, caller: &Caller, name: &str, wanted: Wanted) -> Result<ProjectId, Error> {
    let project = [scope::Wanted::new(ScopeKind::Project, name)];
    let found = scope::permitted(admin, caller, &project, wanted, |place| {
        caller.access.may(wanted, place)
    })?;
    match found.into_iter().next() {
        Some(Scope::Project(id)) => Ok(id),
        Some(Scope::Organization(_) | Scope::Team(_)) | None => {
            Err(scope::mismatch(ScopeKind::Project))
        }
    }
}

/// A live guardrail that the caller sees.
pub(super) fn visible(admin: &Admin, caller: &Caller, id: &str) -> Result<Guardrail, Error> {
    let id = GuardrailId::parse(id).map_err(|_not_an_id| Guardrail::missing())?;
    let row = admin
        .store
        .guardrail(&caller.organization.id, &id)
        .map_err(stored)?
        .filter(|row| row.archived_at.is_none())
        .ok_or_else(Guardrail::missing)?;
    let scope = Scope::Project(row.project_id.clone());
    if caller.sight(admin, VIEW)?.sees(&[scope]) {
        Ok(row)
    } else {
        Err(Guardrail::missing())
    }
}

/// A live guardrail that the caller may change.
fn managed(admin: &Admin, caller: &Caller, id: &str) -> Result<Guardrail, Error> {
    let row = visible(admin, caller, id)?;
    caller.require(admin, MANAGE, &Scope::Project(row.project_id.clone()))?;
    Ok(row)
}

/// The project of a new guardrail: the one that was named, else that of the call.
///
/// # Errors
/// `project_required`, and those of [`named`].
pub(super) fn project(
    admin: &Admin,
    permit: &Permit<GatewayGuardrailsManage>,
    name: Option<&str>,
) -> Result<ProjectId, Error> {
    match (name, &permit.project) {
        (Some(name), _) => named(admin, permit, name, MANAGE),
        (None, Some(project)) => {
            let scope = Scope::Project(project.id.clone());
            if permit.may(admin, MANAGE, &scope)? {
                Ok(project.id.clone())
            } else {
                Err(permission_denied(MANAGE, &scope))
            }
        }
        (None, None) => {
            let message = "Name the project in `project_id`, or in `X-Project-Id`.";
            Err(Error::new(Code::ProjectRequired, message))
        }
    }
}

/// Creates a guardrail. No key attaches it yet, so gateways are told nothing.
pub(super) fn create(
    admin: &Admin,
    permit: &Permit<GatewayGuardrailsManage>,
    new: &NewGuardrail,
    project: &ProjectId,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let NewGuardrail {
        name,
        description,
        project: _,
        direction,
        failure_mode,
        evaluator,
    } = new;
    let now = admin.clock.now();
    let mut row = Guardrail {
        id: GuardrailId::mint(now, admin.entropy.as_ref()),
        organization_id: permit.organization.id.clone(),
        project_id: project.clone(),
        name: name.clone(),
        description: description.clone(),
        evaluator_id: format!("ev_{}", lw_core::id::ulid(now, admin.entropy.as_ref())),
        evaluator_slug: String::new(),
        settings: Value::Null,
        sealed_settings: None,
        direction: *direction,
        failure_mode: *failure_mode,
        archived_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    evaluate(admin, &mut row, evaluator)?;
    let new = New {
        row: &row,
        writes: vec![Write::InsertGuardrail(&row)],
        events: Vec::new(),
        beside: beside(&row),
        now,
    };
    revised::create(admin, permit, "gateway.guardrail.created", &new, keep)
}

/// Gives a row its evaluator, with the headers sealed for the row.
fn evaluate(admin: &Admin, row: &mut Guardrail, evaluator: &Evaluator) -> Result<(), Error> {
    let Evaluator {
        slug,
        settings,
        headers,
    } = evaluator;
    let mut problems = Problems::of(BODY);
    let url = |settings: &Value| Some(settings.get("url")?.as_str()?.to_owned());
    let (before, after) = (url(&row.settings), url(settings));
    // A row whose headers cannot be opened any more is mended by sending new ones.
    let kept = Kept::open(admin, row).unwrap_or_default();
    let kept = headers.over(&kept, before.as_deref(), after.as_deref(), &mut problems);
    problems.finish()?;
    row.sealed_settings = kept.seal(admin, row.id.as_str())?;
    row.evaluator_slug = (*slug).to_owned();
    row.settings = settings.clone();
    Ok(())
}

/// What an answer to a write says beside the resource.
fn beside(row: &Guardrail) -> Map<String, Value> {
    let warnings = warnings(&row.evaluator_slug, &row.settings);
    let said = (!warnings.is_empty()).then(|| ("warnings".to_owned(), warnings.into()));
    said.into_iter().collect()
}

/// Changes what `patch` names, and counts a revision on every key that attaches the guardrail.
pub(super) fn update(
    admin: &Admin,
    permit: &Permit<GatewayGuardrailsManage>,
    id: &str,
    seen: Option<i64>,
    patch: &GuardrailPatch,
) -> Result<(Shown, Map<String, Value>), Error> {
    let GuardrailPatch {
        name,
        description,
        project,
        direction,
        failure_mode,
        evaluator,
    } = patch;
    let said = std::cell::RefCell::new(Map::new());
    let change = changing(admin, permit, "gateway.guardrail.updated", seen);
    let done = change.run(
        || managed(admin, permit, id),
        |row, _| {
            if project
                .as_deref()
                .is_some_and(|id| id != row.project_id.as_str())
            {
                let text = "cannot be changed: create the guardrail in the other project";
                return Err(refuse(BODY, "project_id", "invalid_value", text));
            }
            if let Some(name) = name {
                row.name.clone_from(name);
            }
            row.description = description.clone().over(row.description.take());
            row.direction = direction.unwrap_or(row.direction);
            row.failure_mode = failure_mode.unwrap_or(row.failure_mode);
            if let Some(evaluator) = evaluator {
                evaluate(admin, row, evaluator)?;
            }
            said.replace(beside(row));
            Ok(Step::Write)
        },
        |writing| write(admin, writing),
    )?;
    Ok((done.new, said.into_inner()))
}

/// Archives a guardrail; the keys that attach it go on without it.
pub(super) fn archive(
    admin: &Admin,
    permit: &Permit<GatewayGuardrailsManage>,
    id: &str,
    seen: Option<i64>,
) -> Result<Shown, Error> {
    let change = changing(admin, permit, "gateway.guardrail.archived", seen);
    let done = change.run(
        || managed(admin, permit, id),
        |row, now| {
            row.archived_at = Some(now);
            Ok(Step::Write)
        },
        |writing| write(admin, writing),
    )?;
    Ok(done.new)
}

/// The store tells gateways of every key that it counts.
fn write(
    admin: &Admin,
    writing: &Writing<'_, Guardrail>,
) -> Result<lw_store::config::Committed, lw_store::StoreError> {
    let (row, expected, now) = (writing.row, writing.expected, writing.now);
    let writes = [
        Write::UpdateGuardrail { row, expected },
        Write::BumpKeysWithGuardrail {
            organization: &row.organization_id,
            guardrail: row.id.as_str(),
            now,
        },
    ];
    commit(admin, &writes, writing.change)
}

fn changing<'a>(
    admin: &'a Admin,
    caller: &'a Caller,
    action: &'static str,
    seen: Option<i64>,
) -> Change<'a> {
    Change {
        admin,
        caller,
        action,
        args: None,
        events: Vec::new(),
        seen,
        deletes: false,
    }
}
