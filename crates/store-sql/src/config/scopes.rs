//! Scope rows: where a provider, a key or a policy is visible.
//!
//! Must never hold a row of another organization: foreign keys refuse a team or project of another one,
//! and an organization is compared here. Start at [`Scoped`].

use std::collections::BTreeSet;

use lw_core::OrganizationId;
use lw_store::StoreError;
use lw_store::config::Cursor;
use lw_store::rows::Scope;
use rusqlite::{Connection, Row, params};

use super::columns::{get, id, id_option};
use super::statement::Select;
use crate::sqlite::{DbError, all, run};

/// A table of rows, and the table of their scopes.
pub(super) struct Scoped {
    insert: &'static str,
    delete: &'static str,
    read: &'static str,
    list: &'static str,
    owner: &'static str,
}

/// The statements of one pair of tables.
macro_rules! scoped {
    ($rows:literal, $scopes:literal, $owner:literal) => {
        Scoped {
            // The row was written before: its own time of creation is the one to repeat.
            insert: concat!(
                "INSERT INTO ",
                $scopes,
                " (organization_id, ",
                $owner,
                ", place, team_id, project_id, created_at) VALUES ($1, $2, $3, $4, $5, ",
                "(SELECT created_at FROM ",
                $rows,
                " WHERE id = $2))"
            ),
            delete: concat!("DELETE FROM ", $scopes, " WHERE ", $owner, " = $1"),
            read: concat!(
                "SELECT organization_id, team_id, project_id FROM ",
                $scopes,
                " WHERE ",
                $owner,
                " = $1 ORDER BY place"
            ),
            list: concat!(
                "SELECT s.created_at, s.",
                $owner,
                " AS id FROM ",
                $scopes,
                " s JOIN ",
                $rows,
                " r ON r.id = s.",
                $owner,
                " WHERE s.organization_id ="
            ),
            owner: concat!("s.", $owner),
        }
    };
}

pub(super) const KEYS: Scoped = scoped!("virtual_keys", "virtual_key_scopes", "virtual_key_id");
pub(super) const PROVIDERS: Scoped = scoped!(
    "model_providers",
    "model_provider_scopes",
    "model_provider_id"
);
pub(super) const POLICIES: Scoped = scoped!(
    "routing_policies",
    "routing_policy_scopes",
    "routing_policy_id"
);

impl Scoped {
    /// Replaces the scopes of a row that is there.
    pub(super) fn put(
        &self,
        db: &Connection,
        organization: &OrganizationId,
        id: &str,
        scopes: &[Scope],
    ) -> Result<(), DbError> {
        run(db, self.delete, [id])?;
        for (place, scope) in (0_i64..).zip(scopes) {
            let (team, project) = columns(organization, scope)?;
            run(
                db,
                self.insert,
                params![organization.as_str(), id, place, team, project],
            )?;
        }
        Ok(())
    }

    /// The scopes of a row, in the order in which they were given.
    pub(super) fn of(&self, db: &Connection, id: &str) -> Result<Vec<Scope>, DbError> {
        all(db, self.read, [id], read)
    }

    /// The ids of one page of rows that have any of `scopes`, newest first. Each scope is walked along the
    /// index of targets, and once there is a page no further than the oldest row of it: many scopes then
    /// cost little more than one. `narrow` adds conditions on the row, which is called `r`.
    pub(super) fn newest<'a>(
        &self,
        db: &Connection,
        organization: &'a OrganizationId,
        scopes: &'a [Scope],
        most: usize,
        after: Option<&'a Cursor>,
        narrow: impl Fn(Select<'a>) -> Select<'a>,
    ) -> Result<Vec<String>, DbError> {
        // The newest rows so far, at most a page of them.
        let mut found: BTreeSet<(i64, String)> = BTreeSet::new();
        for scope in scopes {
            // Another organization has no rows here.
            let Ok((team, project)) = columns(organization, scope) else {
                continue;
            };
            let select = Select::new(self.list, organization.as_str());
            let select = narrow(at(select, "s", team, project));
            let oldest = found.first().filter(|_| found.len() >= most);
            let select = match oldest {
                Some((created_at, id)) => select
                    .and_text(&format!("(s.created_at, {}) > (", self.owner))
                    .value(*created_at)
                    .text(",")
                    .value(id.clone())
                    .text(")"),
                None => select,
            };
            let rows = select
                .newest("s.created_at", self.owner, most, after)
                .all(db, |row| {
                    Ok((get::<i64>(row, "created_at")?, get(row, "id")?))
                })?;
            found.extend(rows);
            while found.len() > most {
                found.pop_first();
            }
        }
        Ok(found.into_iter().rev().map(|(_, id)| id).collect())
    }
}

/// Adds the condition that a row of `table` is at exactly one scope.
fn at<'a>(
    select: Select<'a>,
    table: &str,
    team: Option<&'a str>,
    project: Option<&'a str>,
) -> Select<'a> {
    [("team_id", team), ("project_id", project)]
        .into_iter()
        .fold(select, |select, (column, value)| {
            let select = select.and_text(&format!("{table}.{column}"));
            match value {
                Some(value) => select.text(" =").value(value),
                None => select.text(" IS NULL"),
            }
        })
}

/// Adds the condition that a row of `table` is at exactly `scope`; one of another organization holds for
/// no row.
pub(super) fn exactly<'a>(
    select: Select<'a>,
    table: &str,
    organization: &OrganizationId,
    scope: &'a Scope,
) -> Select<'a> {
    match columns(organization, scope) {
        Ok((team, project)) => at(select, table, team, project),
        Err(_) => select.and_text("1 = 0"),
    }
}

/// A scope as its row keeps it: the team and the project; neither is the organization.
pub(super) fn columns<'a>(
    organization: &OrganizationId,
    scope: &'a Scope,
) -> Result<(Option<&'a str>, Option<&'a str>), DbError> {
    match scope {
        Scope::Organization(id) if id == organization => Ok((None, None)),
        Scope::Organization(_) => {
            let why = String::from("a scope names another organization than its row");
            Err(StoreError::Corrupt(why).into())
        }
        Scope::Team(id) => Ok((Some(id.as_str()), None)),
        Scope::Project(id) => Ok((None, Some(id.as_str()))),
    }
}

/// Reads what [`columns`] wrote.
pub(super) fn read(row: &Row<'_>) -> Result<Scope, DbError> {
    Ok(
        match (id_option(row, "project_id")?, id_option(row, "team_id")?) {
            (Some(project), _) => Scope::Project(project),
            (None, Some(team)) => Scope::Team(team),
            (None, None) => Scope::Organization(id(row, "organization_id")?),
        },
    )
}
