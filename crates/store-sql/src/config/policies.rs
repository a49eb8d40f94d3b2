//! Routing policies, cache rules, guardrails and own prices (domain 8, 14, 15; billing 5).

use lw_core::{OrganizationId, ProjectId, RoutingPolicyId, UnixMicros};
use lw_store::rows::{CacheRule, Guardrail, ModelPrice, RoutingPolicy, Scope};
use rusqlite::{Connection, Row};

use super::columns::{get, time};
use super::document::{self, Document, head};
use super::keys;
use super::scopes::{self, POLICIES};
use super::statement::{Fields, Select};
use crate::sqlite::{DbError, all};

// Routing policies.

impl Document for RoutingPolicy {
    const TABLE: &'static str = "routing_policies";
    const GET: &'static str =
        "SELECT * FROM routing_policies WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("name", &self.name)
            .set("is_default", self.is_default)
            .set("updated_at", self.updated_at.0))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.is_default = get(row, "is_default")?;
        self.revision = get(row, "revision")?;
        self.created_at = time(row, "created_at")?;
        self.updated_at = time(row, "updated_at")?;
        Ok(())
    }
}

pub(super) fn insert_policy(db: &Connection, row: &RoutingPolicy) -> Result<(), DbError> {
    document::insert(db, row)?;
    POLICIES.put(db, &row.organization_id, row.id.as_str(), &row.scopes)
}

pub(super) fn update_policy(
    db: &Connection,
    row: &RoutingPolicy,
    expected: i64,
) -> Result<(), DbError> {
    document::update(db, row, Some(expected))?;
    POLICIES.put(db, &row.organization_id, row.id.as_str(), &row.scopes)
}

/// Deletes a policy; returns how many keys had to move.
pub(super) fn delete_policy(
    db: &Connection,
    organization: &OrganizationId,
    id: &RoutingPolicyId,
    replacement: Option<&RoutingPolicyId>,
    now: UnixMicros,
) -> Result<usize, DbError> {
    let moved = keys::leave_policy(db, organization, id, replacement, now)?;
    document::delete::<RoutingPolicy>(db, organization, id.as_str())?;
    Ok(moved)
}

pub(super) fn clear_defaults(
    db: &Connection,
    organization: &OrganizationId,
    scopes: &[Scope],
    except: &RoutingPolicyId,
    now: UnixMicros,
) -> Result<(), DbError> {
    for scope in scopes {
        let select = Select::new(
            "UPDATE routing_policies SET is_default = 0, revision = revision + 1, updated_at =",
            now.0,
        )
        .text(" WHERE is_default = 1 AND organization_id =")
        .value(organization.as_str())
        .and("id <>", except.as_str())
        .text(" AND id IN (SELECT s.routing_policy_id FROM routing_policy_scopes s WHERE s.organization_id =")
        .value(organization.as_str());
        scopes::exactly(select, "s", organization, scope)
            .text(")")
            .run(db)?;
    }
    Ok(())
}

pub(super) fn exists(
    db: &Connection,
    organization: &OrganizationId,
    id: &RoutingPolicyId,
) -> Result<bool, DbError> {
    head(RoutingPolicy::TABLE, organization, id.as_str()).exists(db)
}

pub(super) fn routing_policies(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<RoutingPolicy>, DbError> {
    all(
        db,
        "SELECT * FROM routing_policies WHERE organization_id = $1
         ORDER BY is_default DESC, name, id",
        [organization.as_str()],
        document::read,
    )
}

// Cache rules.

impl Document for CacheRule {
    const TABLE: &'static str = "cache_rules";
    const GET: &'static str = "SELECT * FROM cache_rules WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("priority", self.priority)
            .set("archived_at", self.archived_at.map(|at| at.0)))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.revision = get(row, "revision")?;
        self.created_at = time(row, "created_at")?;
        Ok(())
    }
}

pub(super) fn cache_rules(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<CacheRule>, DbError> {
    all(
        db,
        "SELECT * FROM cache_rules WHERE organization_id = $1 AND archived_at IS NULL
         ORDER BY priority DESC, created_at, id",
        [organization.as_str()],
        document::read,
    )
}

// Guardrails.

impl Document for Guardrail {
    const TABLE: &'static str = "guardrails";
    const GET: &'static str = "SELECT * FROM guardrails WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("project_id", self.project_id.as_str())
            .set("archived_at", self.archived_at.map(|at| at.0)))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.revision = get(row, "revision")?;
        self.created_at = time(row, "created_at")?;
        Ok(())
    }
}

pub(super) fn guardrails(
    db: &Connection,
    organization: &OrganizationId,
    project: Option<&ProjectId>,
) -> Result<Vec<Guardrail>, DbError> {
    Select::new(
        "SELECT * FROM guardrails WHERE archived_at IS NULL AND organization_id =",
        organization.as_str(),
    )
    .when("project_id =", project.map(ProjectId::as_str))
    .text(" ORDER BY created_at DESC, id DESC")
    .all(db, document::read)
}

// Own prices.

impl Document for ModelPrice {
    const TABLE: &'static str = "model_prices";
    const GET: &'static str = "SELECT * FROM model_prices WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("provider", self.provider.as_deref().unwrap_or_default())
            .set("model", &self.model))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.revision = get(row, "revision")?;
        self.created_at = time(row, "created_at")?;
        Ok(())
    }
}

pub(super) fn model_prices(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<ModelPrice>, DbError> {
    all(
        db,
        "SELECT * FROM model_prices WHERE organization_id = $1 ORDER BY model, provider",
        [organization.as_str()],
        document::read,
    )
}
