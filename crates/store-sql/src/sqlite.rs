//! Opening SQLite files the same way everywhere, and running transactions on them.
//!
//! One writer connection whose transactions begin immediately, and a few readers, all in write-ahead-log
//! mode with small caches and no memory map: an idle process stays small. Files are readable by their
//! owner only. Waiting for a lock is bounded; after that the store is
//! [`StoreError::Unavailable`].
//!
//! Must never name a table. Statements number their parameters `$1`, `$2`, …; SQLite counts them by first
//! appearance, so they first appear in ascending order. Start at [`Database`].

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lw_store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, OpenFlags, Params, Row, TransactionBehavior, ffi};

use crate::migrations::{self, Migration};

/// How a SQLite file is opened.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How long a call waits for a lock before the store counts as unavailable.
    pub busy_timeout: Duration,
    /// Page cache of one connection, in KiB.
    pub cache_kib: u32,
    /// How many reader connections are kept; at least one.
    pub readers: usize,
    /// Whether a commit survives a power cut (`synchronous = FULL`), or only a crash of the process.
    pub durable: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(2),
            cache_kib: 512,
            readers: 2,
            durable: true,
        }
    }
}

/// Statements that one connection keeps prepared.
const STATEMENTS: usize = 64;

/// What a piece of work inside a transaction fails with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The engine refused.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// The work itself refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Sql(error) => store_error(&error),
            DbError::Store(error) => error,
        }
    }
}

/// One SQLite file: a writer, some readers, and its schema brought up to date.
pub(crate) struct Database {
    writer: Mutex<Connection>,
    readers: Box<[Mutex<Connection>]>,
    turn: AtomicUsize,
    patience: Duration,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("readers", &self.readers.len())
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens or creates the file and applies the migrations that it lacks.
    pub(crate) fn open(
        path: &Path,
        tuning: Tuning,
        migrations: &[Migration],
    ) -> Result<Self, StoreError> {
        let mut writer = open_writer(path, tuning)?;
        migrations::migrate(&mut writer, migrations)?;
        let readers = (0..tuning.readers.max(1))
            .map(|_| open_reader(path, tuning).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Mutex::new(writer),
            readers,
            turn: AtomicUsize::new(0),
            patience: tuning.busy_timeout,
        })
    }

    /// Runs `work` in a write transaction; commits when it succeeds, else nothing was written.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.try_lock_for(self.patience).ok_or_else(waited)?;
        transact(&mut writer, TransactionBehavior::Immediate, work)
    }

    /// Runs `work` in a read transaction: everything it sees is of one moment.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, StoreError> {
        let mut reader = self.reader()?;
        transact(&mut reader, TransactionBehavior::Deferred, work)
    }

    /// A free reader, else a turn at a busy one.
    fn reader(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        if let Some(free) = self.readers.iter().find_map(Mutex::try_lock) {
            return Ok(free);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.readers
            .iter()
            .cycle()
            .nth(turn % self.readers.len().max(1))
            .and_then(|reader| reader.try_lock_for(self.patience))
            .ok_or_else(waited)
    }
}

fn transact<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Connection) -> Result<T, DbError>,
) -> Result<T, StoreError> {
    let transaction = connection
        .transaction_with_behavior(behavior)
        .map_err(|error| store_error(&error))?;
    let answer = work(&transaction)?;
    transaction.commit().map_err(|error| store_error(&error))?;
    Ok(answer)
}

fn waited() -> StoreError {
    StoreError::Unavailable(String::from("waited too long for a connection"))
}

/// Opens the connection that writes. Creates the file, readable by its owner only, when it is missing.
pub(crate) fn open_writer(path: &Path, tuning: Tuning) -> Result<Connection, StoreError> {
    keep_private(path).map_err(|error| {
        StoreError::Unavailable(format!("{} cannot be opened: {error}", path.display()))
    })?;
    let connection = connect(path, tuning)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| store_error(&error))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "{}: no write-ahead log on this file system",
            path.display()
        )));
    }
    let synchronous = if tuning.durable { "FULL" } else { "NORMAL" };
    pragma(&connection, "synchronous", synchronous)?;
    pragma(&connection, "journal_size_limit", 4 * 1024 * 1024)?;
    Ok(connection)
}

/// Opens a connection that only reads. The writer must have been opened before.
pub(crate) fn open_reader(path: &Path, tuning: Tuning) -> Result<Connection, StoreError> {
    let connection = connect(path, tuning)?;
    pragma(&connection, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, tuning: Tuning) -> Result<Connection, StoreError> {
    // Not a URI: a path with `?` or `%` in it is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| store_error(&error))?;
    connection
        .busy_timeout(tuning.busy_timeout)
        .map_err(|error| store_error(&error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    pragma(&connection, "foreign_keys", true)?;
    pragma(&connection, "trusted_schema", false)?;
    pragma(&connection, "cache_size", -i64::from(tuning.cache_kib))?;
    pragma(&connection, "mmap_size", 0)?;
    Ok(connection)
}

fn pragma(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), StoreError> {
    // Some pragmas answer with a row and some do not; both are fine.
    connection
        .pragma_update_and_check(None, name, value, |_| Ok(()))
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            other => Err(store_error(&other)),
        })
}

/// Makes sure that the file exists and that nobody but its owner reads it. SQLite gives the log beside it
/// the same mode.
fn keep_private(path: &Path) -> io::Result<()> {
    // An existing file is never opened here: closing a descriptor would drop the locks that another
    // connection of this process holds on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut permissions = fs::metadata(path)?.permissions();
            if permissions.mode() & 0o077 != 0 {
                permissions.set_mode(0o600);
                fs::set_permissions(path, permissions)?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The one row that a statement finds. Further rows are not looked at.
pub(crate) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let found = rows.next()?.map(read).transpose();
    drop(rows);
    #[cfg(test)]
    work::note(sql, &statement);
    found
}

/// Every row that a statement finds. The statement bounds their number.
pub(crate) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    drop(rows);
    #[cfg(test)]
    work::note(sql, &statement);
    Ok(found)
}

/// Runs a statement that returns no rows; says how many it changed.
pub(crate) fn run(db: &Connection, sql: &str, params: impl Params) -> Result<usize, DbError> {
    let mut statement = db.prepare_cached(sql)?;
    let changed = statement.execute(params)?;
    #[cfg(test)]
    work::note(sql, &statement);
    Ok(changed)
}

/// What statements did on this thread, for tests that look at plans: the engine counts its own steps, so
/// that no clock decides whether a statement is cheap.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::RefCell;

    use rusqlite::{Statement, StatementStatus};

    thread_local! {
        static DONE: RefCell<Vec<(String, i32)>> = const { RefCell::new(Vec::new()) };
    }

    /// Notes how many steps a statement took.
    pub(super) fn note(sql: &str, statement: &Statement<'_>) {
        let steps = statement.reset_status(StatementStatus::VmStep);
        DONE.with_borrow_mut(|done| done.push((sql.to_owned(), steps)));
    }

    /// The statements since the last call, each with its steps.
    pub(crate) fn take() -> Vec<(String, i32)> {
        DONE.take()
    }
}

/// What an error of the engine means to a caller of a port.
pub(crate) fn store_error(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return StoreError::Corrupt(error.to_string());
    };
    let text = message.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                StoreError::Conflict {
                    field: unique_field(&text),
                }
            }
            _ => StoreError::Corrupt(text),
        },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => {
            StoreError::Corrupt(text)
        }
        _ => StoreError::Unavailable(text),
    }
}

/// The field that a uniqueness rule is about: the last column that the engine names
/// (`UNIQUE constraint failed: virtual_keys.organization_id, virtual_keys.external_id`).
fn unique_field(message: &str) -> &'static str {
    const FIELDS: [&str; 11] = [
        "slug",
        "email",
        "lookup_id",
        "routing_handle",
        "external_id",
        "hashed_secret",
        "name",
        "model",
        "key_hash",
        "managed_by_virtual_key_id",
        "idempotency_key",
    ];
    let column = message.rsplit('.').next().unwrap_or_default().trim();
    FIELDS
        .into_iter()
        .find(|field| *field == column)
        .unwrap_or("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[Migration] = &[];

    #[test]
    fn files_are_private_and_a_loose_one_is_tightened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a?b%20.db");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        drop(Database::open(&path, Tuning::default(), NONE).expect("opens"));
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
        let database = Database::open(&path, Tuning::default(), NONE).expect("opens");
        database
            .write(|db| Ok(db.execute_batch("CREATE TABLE t (a TEXT)")?))
            .expect("writes");
        for suffix in ["", "-wal", "-shm"] {
            let file = folder.path().join(format!("a?b%20.db{suffix}"));
            assert_eq!(mode(&file), 0o600, "{suffix}");
        }
    }

    #[test]
    fn a_connection_has_the_settings_that_the_module_promises() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let number = |connection: &Connection, name: &str| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .expect("a value")
        };
        let writer = open_writer(&path, Tuning::default()).expect("opens");
        let reader = open_reader(&path, Tuning::default()).expect("opens");
        for connection in [&writer, &reader] {
            assert_eq!(number(connection, "foreign_keys"), 1);
            assert_eq!(number(connection, "cache_size"), -512);
            assert_eq!(number(connection, "busy_timeout"), 2_000);
            assert_eq!(number(connection, "mmap_size"), 0);
        }
        assert_eq!(number(&writer, "synchronous"), 2);
        assert_eq!(number(&reader, "query_only"), 1);
    }

    #[test]
    fn work_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let database =
            Database::open(&folder.path().join("x.db"), Tuning::default(), NONE).expect("opens");
        let failed: Result<(), _> = database.write(|db| {
            db.execute_batch("CREATE TABLE t (a TEXT)")?;
            Err(StoreError::Stale.into())
        });
        assert!(matches!(failed, Err(StoreError::Stale)));
        let tables: i64 = database
            .read(|db| {
                let sql = "SELECT count(*) FROM sqlite_master WHERE name = 't'";
                Ok(db.query_row(sql, [], |row| row.get(0))?)
            })
            .expect("reads");
        assert_eq!(tables, 0);
        let refused = database.read(|db| Ok(db.execute_batch("CREATE TABLE t (a TEXT)")?));
        assert!(refused.is_err(), "readers only read");
    }

    #[test]
    fn a_file_that_is_not_a_database_is_corrupt() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        fs::write(
            &path,
            "this is not a database, it is a text of some length".repeat(100),
        )
        .expect("writes");
        let error = Database::open(&path, Tuning::default(), NONE).expect_err("refuses");
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    }
}
