//! Statements that are put together: writes from pairs of column and value, lists from conditions.
//!
//! A column stands beside its value once, for inserting and updating alike, so the two cannot drift apart.
//! The text is made of literals only; every value is bound.
//!
//! Must never take a piece of SQL from a caller of a port. Start at [`Fields`] and [`Select`].

use lw_store::StoreError;
use lw_store::config::Cursor;
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::columns::{below, limit};
use crate::sqlite::{DbError, all, one, run};

type Value<'a> = Box<dyn ToSql + 'a>;

/// One row as it is written.
pub(super) struct Fields<'a> {
    table: &'static str,
    counted: bool,
    keys: usize,
    kept: usize,
    columns: Vec<&'static str>,
    values: Vec<Value<'a>>,
}

impl<'a> Fields<'a> {
    /// A row of a table.
    pub(super) fn of(table: &'static str) -> Self {
        Self {
            table,
            counted: false,
            keys: 0,
            kept: 0,
            columns: Vec::new(),
            values: Vec::new(),
        }
    }

    /// A row of a table that counts the changes of its rows in `revision`.
    pub(super) fn counted(table: &'static str) -> Self {
        Self {
            counted: true,
            ..Self::of(table)
        }
    }

    /// A column that says which row it is. These come first.
    pub(super) fn key(mut self, column: &'static str, value: impl ToSql + 'a) -> Self {
        debug_assert_eq!(self.columns.len(), self.keys, "keys come first");
        self.keys += 1;
        self.set(column, value)
    }

    /// A column that is inserted and then kept. These come second.
    pub(super) fn keep(mut self, column: &'static str, value: impl ToSql + 'a) -> Self {
        debug_assert_eq!(
            self.columns.len(),
            self.keys + self.kept,
            "then what is kept"
        );
        self.kept += 1;
        self.set(column, value)
    }

    /// A column that is inserted and updated.
    pub(super) fn set(mut self, column: &'static str, value: impl ToSql + 'a) -> Self {
        self.columns.push(column);
        self.values.push(Box::new(value));
        self
    }

    /// Inserts the row, with revision 1 when it has one.
    pub(super) fn insert(&self, db: &Connection) -> Result<(), DbError> {
        self.insert_or(db, "")
    }

    /// Inserts the row, or updates the one that has its key. Not for tables that count revisions.
    pub(super) fn put(&self, db: &Connection) -> Result<(), DbError> {
        let keys: Vec<_> = self.columns.iter().take(self.keys).copied().collect();
        let open = self.columns.iter().skip(self.keys + self.kept);
        let assigned: Vec<_> = open
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let action = if assigned.is_empty() {
            String::from("NOTHING")
        } else {
            format!("UPDATE SET {}", assigned.join(", "))
        };
        let conflict = format!(" ON CONFLICT ({}) DO {action}", keys.join(", "));
        self.insert_or(db, &conflict)
    }

    fn insert_or(&self, db: &Connection, conflict: &str) -> Result<(), DbError> {
        let mut columns = self.columns.join(", ");
        let mut values = places(1, self.values.len());
        if self.counted {
            columns.push_str(", revision");
            values.push_str(", 1");
        }
        let sql = format!(
            "INSERT INTO {} ({columns}) VALUES ({values}){conflict}",
            self.table
        );
        run(db, &sql, params_from_iter(&self.values))?;
        Ok(())
    }

    /// Updates the row.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such row, [`StoreError::Stale`] when it has another
    /// revision than `expected`.
    pub(super) fn update(&self, db: &Connection, expected: Option<i64>) -> Result<(), DbError> {
        let open = self.keys + self.kept;
        let mut assigned: Vec<String> = (1..)
            .zip(self.columns.iter().skip(open))
            .map(|(place, column)| format!("{column} = ${place}"))
            .collect();
        let mut next = assigned.len() + 1;
        if self.counted {
            assigned.push(String::from("revision = revision + 1"));
        }
        let mut sql = format!("UPDATE {} SET {} WHERE ", self.table, assigned.join(", "));
        sql.push_str(&self.keys_from(next));
        next += self.keys;
        let keys = self.values.iter().take(self.keys);
        let mut values: Vec<&dyn ToSql> = self.values.iter().skip(open).map(|v| &**v).collect();
        values.extend(keys.map(|v| &**v));
        if let Some(revision) = &expected {
            sql.push_str(&format!(" AND revision = ${next}"));
            values.push(revision);
        }
        if run(db, &sql, params_from_iter(values))? > 0 {
            return Ok(());
        }
        Err(self.why_untouched(db, expected)?.into())
    }

    /// Deletes the row; fails as [`Self::update`] does.
    pub(super) fn delete(&self, db: &Connection, expected: Option<i64>) -> Result<(), DbError> {
        let mut sql = format!("DELETE FROM {} WHERE {}", self.table, self.keys_from(1));
        let mut values: Vec<&dyn ToSql> =
            self.values.iter().take(self.keys).map(|v| &**v).collect();
        if let Some(revision) = &expected {
            sql.push_str(&format!(" AND revision = ${}", self.keys + 1));
            values.push(revision);
        }
        if run(db, &sql, params_from_iter(values))? > 0 {
            return Ok(());
        }
        Err(self.why_untouched(db, expected)?.into())
    }

    /// Whether the table has a row with the key.
    pub(super) fn exists(&self, db: &Connection) -> Result<bool, DbError> {
        let sql = format!("SELECT 1 FROM {} WHERE {}", self.table, self.keys_from(1));
        let keys = self.values.iter().take(self.keys);
        Ok(one(db, &sql, params_from_iter(keys), |_| Ok(()))?.is_some())
    }

    fn why_untouched(&self, db: &Connection, expected: Option<i64>) -> Result<StoreError, DbError> {
        Ok(if expected.is_some() && self.exists(db)? {
            StoreError::Stale
        } else {
            StoreError::Missing
        })
    }

    fn keys_from(&self, first: usize) -> String {
        let tests: Vec<_> = (first..)
            .zip(self.columns.iter().take(self.keys))
            .map(|(place, column)| format!("{column} = ${place}"))
            .collect();
        tests.join(" AND ")
    }
}

/// `$1, $2, $3`.
fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..)
        .take(count)
        .map(|place| format!("${place}"))
        .collect();
    places.join(", ")
}

/// A list whose conditions depend on what was asked for.
pub(super) struct Select<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Select<'a> {
    /// Begins with a statement that ends in a comparison: `SELECT * FROM teams WHERE organization_id =`.
    pub(super) fn new(sql: &'static str, value: impl ToSql + 'a) -> Self {
        let mut select = Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        };
        select.bind(value);
        select
    }

    /// One more condition: `name =`.
    pub(super) fn and(mut self, test: &'static str, value: impl ToSql + 'a) -> Self {
        self = self.and_text(test);
        self.bind(value);
        self
    }

    /// A condition without a value: `archived_at IS NULL`.
    pub(super) fn and_text(mut self, test: &str) -> Self {
        self.sql.push_str(" AND ");
        self.sql.push_str(test);
        self
    }

    /// A condition that holds only when there is a value to compare with.
    pub(super) fn when(self, test: &'static str, value: Option<impl ToSql + 'a>) -> Self {
        match value {
            Some(value) => self.and(test, value),
            None => self,
        }
    }

    /// The text of the statement goes on.
    pub(super) fn text(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// The text goes on with a value.
    pub(super) fn value(mut self, value: impl ToSql + 'a) -> Self {
        self.bind(value);
        self
    }

    /// One page, newest first: rows below the cursor in the order of the two columns.
    pub(super) fn newest(
        self,
        created_at: &str,
        id: &str,
        most: usize,
        after: Option<&'a Cursor>,
    ) -> Self {
        let (before, before_id) = below(after);
        self.and_text(&format!("({created_at}, {id}) < ("))
            .value(before)
            .text(",")
            .value(before_id)
            .text(&format!(") ORDER BY {created_at} DESC, {id} DESC LIMIT"))
            .value(limit(most))
    }

    /// The rows.
    pub(super) fn all<T>(
        &self,
        db: &Connection,
        read: impl Fn(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        all(db, &self.sql, params_from_iter(&self.values), read)
    }

    /// Runs a statement that returns no rows; says how many it changed.
    pub(super) fn run(&self, db: &Connection) -> Result<usize, DbError> {
        run(db, &self.sql, params_from_iter(&self.values))
    }

    fn bind(&mut self, value: impl ToSql + 'a) {
        self.values.push(Box::new(value));
        self.sql.push_str(&format!(" ${}", self.values.len()));
    }
}
