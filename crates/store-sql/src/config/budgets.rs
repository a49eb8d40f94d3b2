//! Budgets, the periods of their buckets, and whom a budget would meet (domain 11 to 13).

use std::collections::BTreeSet;

use lw_core::{BudgetId, OrganizationId, UnixMicros, VirtualKeyId};
use lw_store::config::{BudgetFilter, ChangeEvent, ChangeKind, Cursor, Page};
use lw_store::rows::{Budget, BudgetTarget};
use rusqlite::{Connection, Params, Row, params};

use super::columns::{get, id, micros, must_exist, page, text, time, time_option};
use super::document::{self, Document, head};
use super::people;
use super::statement::{Fields, Select};
use crate::sqlite::{DbError, all, one, run};

impl Document for Budget {
    const TABLE: &'static str = "budgets";
    const GET: &'static str = "SELECT * FROM budgets WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        let manager = text(self.managed_by_virtual_key_id.as_ref());
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .keep("created_by", &self.created_by)
            .set("target_kind", kind_word(&self.target))
            .set("target_id", self.target.scope_id())
            .set("external_id", &self.external_id)
            .set("managed_by_virtual_key_id", manager)
            .set("archived_at", micros(self.archived_at))
            .set("updated_at", self.updated_at.0))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.archived_at = time_option(row, "archived_at")?;
        self.created_by = get(row, "created_by")?;
        self.revision = get(row, "revision")?;
        self.created_at = time(row, "created_at")?;
        self.updated_at = time(row, "updated_at")?;
        Ok(())
    }
}

pub(super) fn insert(db: &Connection, row: &Budget) -> Result<(), DbError> {
    // A budget outlives its target, so this is asked only once.
    must_exist(has_target(db, &row.organization_id, &row.target)?, "target")?;
    document::insert(db, row)
}

fn has_target(
    db: &Connection,
    organization: &OrganizationId,
    target: &BudgetTarget,
) -> Result<bool, DbError> {
    let table = match target {
        BudgetTarget::Organization(id) => return Ok(id == organization),
        BudgetTarget::Principal(user) => return people::is_member(db, organization, user),
        BudgetTarget::Team(_) => "teams",
        BudgetTarget::Project(_) | BudgetTarget::EndUsersOfProject(_) => "projects",
        BudgetTarget::VirtualKey(_) | BudgetTarget::EndUsersOfKey(_) => "virtual_keys",
        BudgetTarget::Group(_) => "user_groups",
    };
    head(table, organization, target.scope_id()).exists(db)
}

/// The word in `target_kind`, which tells the two anchors of a template apart.
const fn kind_word(target: &BudgetTarget) -> &'static str {
    match target {
        BudgetTarget::EndUsersOfKey(_) => "end_users_of_key",
        BudgetTarget::EndUsersOfProject(_) => "end_users_of_project",
        plain => plain.scope_type(),
    }
}

/// The words in `target_kind` that a scope type stands for.
fn kinds_of(scope_type: &str) -> Vec<&str> {
    match scope_type {
        "attributed_user" => vec!["end_users_of_key", "end_users_of_project"],
        plain => vec![plain],
    }
}

// Archiving.

pub(super) fn archive_of(
    db: &Connection,
    organization: &OrganizationId,
    target: &BudgetTarget,
    now: UnixMicros,
) -> Result<Vec<ChangeEvent>, DbError> {
    archive(
        db,
        organization,
        "UPDATE budgets SET archived_at = $1, updated_at = $1, revision = revision + 1
         WHERE organization_id = $2 AND target_kind = $3 AND target_id = $4
           AND archived_at IS NULL
         RETURNING *",
        params![
            now.0,
            organization.as_str(),
            kind_word(target),
            target.scope_id()
        ],
    )
}

pub(super) fn archive_of_key(
    db: &Connection,
    organization: &OrganizationId,
    key: &VirtualKeyId,
    now: UnixMicros,
) -> Result<Vec<ChangeEvent>, DbError> {
    let mut events = archive(
        db,
        organization,
        "UPDATE budgets SET archived_at = $1, updated_at = $1, revision = revision + 1
         WHERE organization_id = $2 AND managed_by_virtual_key_id = $3 AND archived_at IS NULL
         RETURNING *",
        params![now.0, organization.as_str(), key.as_str()],
    )?;
    for target in [
        BudgetTarget::VirtualKey(key.clone()),
        BudgetTarget::EndUsersOfKey(key.clone()),
    ] {
        events.extend(archive_of(db, organization, &target, now)?);
    }
    Ok(events)
}

/// Runs an update that returns the budgets that it archived; an event for each, in the order of their ids.
fn archive(
    db: &Connection,
    organization: &OrganizationId,
    sql: &str,
    params: impl Params,
) -> Result<Vec<ChangeEvent>, DbError> {
    let mut budgets: Vec<Budget> = all(db, sql, params, document::read)?;
    budgets.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(budgets
        .into_iter()
        .map(|budget| ChangeEvent {
            budget_id: Some(budget.id),
            project_id: match budget.target {
                BudgetTarget::Project(id) | BudgetTarget::EndUsersOfProject(id) => Some(id),
                _ => None,
            },
            ..ChangeEvent::of(ChangeKind::BudgetDeleted, organization.clone())
        })
        .collect())
}

/// What gateways are told when somebody joins or leaves a team or a group: no version token covers
/// memberships, so each live budget that targets it says so, in the order of the ids (domain 17).
pub(super) fn members_changed(
    db: &Connection,
    organization: &OrganizationId,
    target: &BudgetTarget,
) -> Result<Vec<ChangeEvent>, DbError> {
    let budgets = of_targets(db, organization, std::slice::from_ref(target))?;
    Ok(budgets
        .into_iter()
        .map(|budget| ChangeEvent {
            budget_id: Some(budget.id),
            ..ChangeEvent::of(ChangeKind::BudgetUpdated, organization.clone())
        })
        .collect())
}

// Reads.

/// Each kind of target is walked along its own index, so that a page never depends on how many budgets of
/// other kinds there are.
pub(super) fn list(
    db: &Connection,
    organization: &OrganizationId,
    filter: &BudgetFilter,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<Budget>, DbError> {
    let BudgetFilter {
        scope_types,
        external_id,
    } = filter;
    let walk = |kind: Option<&str>| {
        Select::new(
            "SELECT * FROM budgets WHERE archived_at IS NULL AND organization_id =",
            organization.as_str(),
        )
        .when("external_id =", external_id.as_ref())
        .when("target_kind =", kind)
        .newest("created_at", "id", most, after)
        .all(db, document::read::<Budget>)
    };
    let mut rows = Vec::new();
    match scope_types {
        None => rows = walk(None)?,
        Some(types) => {
            let kinds: BTreeSet<_> = types.iter().flat_map(|word| kinds_of(word)).collect();
            for kind in kinds {
                rows.extend(walk(Some(kind))?);
            }
            rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
            rows.truncate(most);
        }
    }
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_str().to_owned(),
    }))
}

pub(super) fn of_targets(
    db: &Connection,
    organization: &OrganizationId,
    targets: &[BudgetTarget],
) -> Result<Vec<Budget>, DbError> {
    let distinct: std::collections::HashSet<_> = targets.iter().collect();
    let mut rows: Vec<Budget> = Vec::new();
    for target in distinct {
        rows.extend(all(
            db,
            "SELECT * FROM budgets WHERE organization_id = $1 AND target_kind = $2
               AND target_id = $3 AND archived_at IS NULL",
            [organization.as_str(), kind_word(target), target.scope_id()],
            document::read::<Budget>,
        )?);
    }
    rows.sort_by(|a, b| (a.target.scope_type(), &a.id).cmp(&(b.target.scope_type(), &b.id)));
    Ok(rows)
}

pub(super) fn live(
    db: &Connection,
    after: Option<&BudgetId>,
    limit: usize,
) -> Result<Vec<(OrganizationId, BudgetId)>, DbError> {
    // No id is empty.
    let after = after.map_or("", BudgetId::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(
        db,
        "SELECT organization_id, id FROM budgets WHERE id > $1 AND archived_at IS NULL
           ORDER BY id LIMIT $2",
        params![after, limit],
        |row| Ok((id(row, "organization_id")?, id(row, "id")?)),
    )
}

pub(super) fn own(
    db: &Connection,
    organization: &OrganizationId,
    key: &VirtualKeyId,
) -> Result<Option<Budget>, DbError> {
    one(
        db,
        "SELECT * FROM budgets WHERE organization_id = $1 AND managed_by_virtual_key_id = $2
           AND archived_at IS NULL",
        [organization.as_str(), key.as_str()],
        document::read,
    )
}

// Buckets.

pub(super) fn put_boundary(
    db: &Connection,
    budget: &BudgetId,
    bucket: &str,
    period_started_at: UnixMicros,
) -> Result<(), DbError> {
    Fields::of("bucket_boundaries")
        .key("budget_id", budget.as_str())
        .key("bucket", bucket)
        .set("period_started_at", period_started_at.0)
        .put(db)
}

pub(super) fn delete_boundaries(db: &Connection, budget: &BudgetId) -> Result<(), DbError> {
    run(
        db,
        "DELETE FROM bucket_boundaries WHERE budget_id = $1",
        [budget.as_str()],
    )?;
    Ok(())
}

pub(super) fn boundary(
    db: &Connection,
    budget: &BudgetId,
    bucket: &str,
) -> Result<Option<UnixMicros>, DbError> {
    one(
        db,
        "SELECT period_started_at FROM bucket_boundaries WHERE budget_id = $1 AND bucket = $2",
        [budget.as_str(), bucket],
        |row| time(row, "period_started_at"),
    )
}

pub(super) fn boundaries(
    db: &Connection,
    budget: &BudgetId,
) -> Result<Vec<(String, UnixMicros)>, DbError> {
    all(
        db,
        "SELECT bucket, period_started_at FROM bucket_boundaries WHERE budget_id = $1",
        [budget.as_str()],
        |row| Ok((get(row, "bucket")?, time(row, "period_started_at")?)),
    )
}
