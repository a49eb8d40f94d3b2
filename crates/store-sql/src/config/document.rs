//! Rows that are kept as one JSON document.
//!
//! Policies, budgets, rules, guardrails, prices, roles, groups and invitations are read whole, and nothing
//! asks for most of their fields. A column for each would be a migration for each new field; as a document
//! a new field only needs a default. What is filtered, sorted, unique or referenced is a column too, and
//! a column that statements change on their own is the one that counts ([`Document::restore`]).
//!
//! Must never be used for a row that is looked up on the way of a request. Start at [`Document`].

use lw_core::OrganizationId;
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::columns::{json, to_json};
use super::statement::Fields;
use crate::sqlite::{DbError, one};

/// A row that is kept as a document.
pub(super) trait Document: Serialize + DeserializeOwned {
    /// Its table, which has `id`, `organization_id`, `doc`, `revision` and `created_at`.
    const TABLE: &'static str;
    /// Reads one row by organization and id.
    const GET: &'static str;

    /// Organization, id and what else is a column; all but `doc`.
    fn fields(&self) -> Result<Fields<'_>, DbError>;

    /// Takes over what the columns of the stored row know better than its document.
    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError>;
}

/// The key of a row and when it was created: what every document begins with.
pub(super) fn head<'a>(
    table: &'static str,
    organization: &'a OrganizationId,
    id: &'a str,
) -> Fields<'a> {
    Fields::counted(table)
        .key("organization_id", organization.as_str())
        .key("id", id)
}

fn with_doc<D: Document>(row: &D) -> Result<Fields<'_>, DbError> {
    Ok(row.fields()?.set("doc", to_json("doc", row)?))
}

pub(super) fn insert<D: Document>(db: &Connection, row: &D) -> Result<(), DbError> {
    with_doc(row)?.insert(db)
}

pub(super) fn update<D: Document>(
    db: &Connection,
    row: &D,
    expected: Option<i64>,
) -> Result<(), DbError> {
    with_doc(row)?.update(db, expected)
}

pub(super) fn delete<D: Document>(
    db: &Connection,
    organization: &OrganizationId,
    id: &str,
) -> Result<(), DbError> {
    head(D::TABLE, organization, id).delete(db, None)
}

pub(super) fn get_one<D: Document>(
    db: &Connection,
    organization: &OrganizationId,
    id: &str,
) -> Result<Option<D>, DbError> {
    one(db, D::GET, [organization.as_str(), id], read)
}

pub(super) fn read<D: Document>(row: &Row<'_>) -> Result<D, DbError> {
    let mut document: D = json(row, "doc")?;
    document.restore(row)?;
    Ok(document)
}
