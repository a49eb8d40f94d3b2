//! Bringing a database file up to the schema that this program knows.
//!
//! Migrations only go forward and are numbered from 1 without gaps. All that are missing are applied in
//! one transaction, so a file is never between two versions. A file from a newer program is refused
//! before anything is read from it or written to it.
//!
//! Must never be edited once released: a change is a new migration. Start at [`migrate`].

use lw_store::StoreError;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::sqlite::store_error;

/// One step of a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// Its number; the first is 1.
    pub(crate) version: i64,
    /// The statements.
    pub(crate) sql: &'static str,
}

/// Applies the migrations that the file lacks.
pub(crate) fn migrate(writer: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = migrations.last().map_or(0, |migration| migration.version);
    let found = apply(writer, migrations, known).map_err(|error| store_error(&error))?;
    if found > known {
        return Err(StoreError::Corrupt(format!(
            "the database was written by a newer version of langwatch: its schema is {found}, this \
             version knows {known}; start the newer version, or restore a backup"
        )));
    }
    Ok(())
}

/// Returns the version that the file had before.
fn apply(writer: &mut Connection, migrations: &[Migration], known: i64) -> rusqlite::Result<i64> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)",
    )?;
    let found: i64 = transaction.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )?;
    if found > known {
        return Ok(found);
    }
    for migration in migrations
        .iter()
        .filter(|migration| migration.version > found)
    {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_version (version) VALUES ($1)",
            params![migration.version],
        )?;
    }
    transaction.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        version: 1,
        sql: "CREATE TABLE a (x TEXT)",
    };
    const SECOND: Migration = Migration {
        version: 2,
        sql: "ALTER TABLE a ADD COLUMN y TEXT",
    };
    const BROKEN: Migration = Migration {
        version: 3,
        sql: "CREATE TABLE b (x TEXT); nonsense",
    };

    #[test]
    fn only_what_is_missing_is_applied() {
        let mut db = Connection::open_in_memory().expect("opens");
        migrate(&mut db, &[FIRST]).expect("applies the first");
        migrate(&mut db, &[FIRST, SECOND]).expect("applies the second");
        migrate(&mut db, &[FIRST, SECOND]).expect("has nothing to do");
        db.execute("INSERT INTO a (x, y) VALUES ('1', '2')", [])
            .expect("both columns are there");
    }

    #[test]
    fn a_newer_database_is_refused_in_words_and_left_alone() {
        let mut db = Connection::open_in_memory().expect("opens");
        migrate(&mut db, &[FIRST, SECOND]).expect("applies");
        let error = migrate(&mut db, &[FIRST]).expect_err("refuses").to_string();
        assert!(
            error.contains("newer version of langwatch: its schema is 2"),
            "{error}"
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let mut db = Connection::open_in_memory().expect("opens");
        migrate(&mut db, &[FIRST]).expect("applies");
        migrate(&mut db, &[FIRST, SECOND, BROKEN]).expect_err("fails");
        migrate(&mut db, &[FIRST, SECOND]).expect("goes on from the first");
    }
}
