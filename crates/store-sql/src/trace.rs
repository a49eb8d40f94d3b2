//! Traces in a SQLite file of their own.
//!
//! One writer appends batches; a commit survives the death of the process, and a loss of power may cost
//! the last ones. A plain-text search looks through the newest [`SEARCHED`] traces of the asked projects
//! and range, and through at most [`SEARCHED_BYTES`] of them: there is no full-text index yet, and none
//! of the time is spent on writing one.
//!
//! Must never answer with a trace of a project that was not asked for, except by its full id. Start at
//! [`SqliteTraces::append`](TraceStore::append).

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use lw_core::{OrganizationId, ProjectId, RequestId, SpanId, TraceId, UnixMicros, VirtualKeyId};
use lw_store::StoreError;
use lw_store::trace::{BodyForm, Captured, Facts, TraceQuery, TraceRecord, TraceStore};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, Statement, ToSql, params};

use crate::migrations::Migration;
use crate::sqlite::{Database, DbError, Tuning, store_error};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

/// Most traces that are counted, and that a plain text is searched in.
pub const SEARCHED: usize = 10_000;

/// Bytes after which a plain-text search ends, whatever it has found.
pub const SEARCHED_BYTES: usize = 256 << 20;

/// A row with its bodies is some kilobytes: on pages of the usual 4 KiB there is room for one, and
/// writing costs twice as much. Only a new file can be given a page size.
const PAGE_SIZE: &str = "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL";

/// Room for the pages that a batch changes.
const CACHE_KIB: u32 = 1_024;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    sql: include_str!("trace/0001_first.sql"),
}];

const APPEND: &str = "INSERT INTO trace \
    (request_id, trace_id, span_id, parent_span_id, organization_id, project_id, virtual_key_id, \
     started_at, duration_us, http_status, error, facts, input_form, input_truncated, output_form, \
     output_truncated, input, output) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
    ON CONFLICT (request_id) DO UPDATE SET \
     trace_id = excluded.trace_id, span_id = excluded.span_id, \
     parent_span_id = excluded.parent_span_id, organization_id = excluded.organization_id, \
     project_id = excluded.project_id, virtual_key_id = excluded.virtual_key_id, \
     started_at = excluded.started_at, duration_us = excluded.duration_us, \
     http_status = excluded.http_status, error = excluded.error, facts = excluded.facts, \
     input_form = excluded.input_form, input_truncated = excluded.input_truncated, \
     output_form = excluded.output_form, output_truncated = excluded.output_truncated, \
     input = excluded.input, output = excluded.output";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT request_id, trace_id, span_id, parent_span_id, organization_id, project_id, \
             virtual_key_id, started_at, duration_us, http_status, error, facts, input_form, \
             input_truncated, output_form, output_truncated, input, output FROM trace ",
            $rest
        )
    };
}

const BY_ID: &str = select!("WHERE id = $1");
const BY_REQUEST: &str = select!("WHERE request_id = $1");
const BY_TRACE: &str = select!("WHERE trace_id = $1 ORDER BY started_at, request_id");

const TRACE_IDS: &str = "SELECT DISTINCT trace_id FROM trace \
    WHERE trace_id >= $1 AND trace_id <= $2 \
     AND project_id = $3 ORDER BY trace_id LIMIT $4";

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM trace \
    WHERE project_id = $1 AND started_at >= $2 AND started_at < $3 \
     AND ($4 IS NULL OR error = $4) LIMIT $5)";

const NEWEST: &str = "SELECT started_at, request_id, id FROM trace \
    WHERE project_id = $1 AND started_at >= $2 AND started_at < $3 \
     AND ($4 IS NULL OR error = $4) \
    ORDER BY started_at DESC, request_id DESC LIMIT $5";

const NEWEST_BEFORE: &str = "SELECT started_at, request_id, id FROM trace \
    WHERE project_id = $1 AND started_at >= $2 AND started_at < $3 \
     AND ($4 IS NULL OR error = $4) AND (started_at, request_id) < ($5, $6) \
    ORDER BY started_at DESC, request_id DESC LIMIT $7";

const TEXTS: &str = "SELECT virtual_key_id, facts, input, output FROM trace WHERE id = $1";

/// A [`TraceStore`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteTraces {
    database: Database,
}

impl SqliteTraces {
    /// Opens or creates the file. Commits are not forced to disk and the cache holds a batch, whatever
    /// `tuning` says.
    ///
    /// # Errors
    /// The file cannot be used, or was written by a newer version.
    pub fn open(path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        create(path)?;
        let cache_kib = tuning.cache_kib.max(CACHE_KIB);
        let tuning = Tuning {
            durable: false,
            cache_kib,
            ..tuning
        };
        Ok(Self {
            database: Database::open(path, tuning, MIGRATIONS)?,
        })
    }
}

impl TraceStore for SqliteTraces {
    fn append(&self, records: &[TraceRecord]) -> Result<(), StoreError> {
        self.database.write(|db| {
            let mut statement = db.prepare_cached(APPEND)?;
            let mut scratch = Scratch::default();
            for record in records {
                insert(&mut statement, &mut scratch, record)?;
            }
            Ok(())
        })
    }

    fn by_request(&self, id: RequestId) -> Result<Option<TraceRecord>, StoreError> {
        self.database.read(|db| {
            let mut statement = db.prepare_cached(BY_REQUEST)?;
            one(&mut statement, id.as_bytes())
        })
    }

    fn by_trace(&self, id: TraceId) -> Result<Vec<TraceRecord>, StoreError> {
        self.database.read(|db| {
            let mut statement = db.prepare_cached(BY_TRACE)?;
            let mut rows = statement.query(params![id.as_bytes()])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(record(row)?);
            }
            Ok(records)
        })
    }

    fn trace_ids(
        &self,
        projects: &[ProjectId],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<TraceId>, StoreError> {
        let Some((first, last)) = prefix_range(prefix) else {
            return Ok(Vec::new());
        };
        self.database.read(|db| {
            let mut statement = db.prepare_cached(TRACE_IDS)?;
            let mut found = BTreeSet::new();
            for project in projects {
                let wanted = params![first, last, project.as_str(), at_most(limit)];
                let ids = statement.query_map(wanted, |row| row.get::<_, [u8; 16]>(0))?;
                for id in ids {
                    found.extend(TraceId::from_bytes(id?));
                }
            }
            Ok(found.into_iter().take(limit).collect())
        })
    }

    fn search(&self, query: &TraceQuery) -> Result<(Vec<TraceRecord>, u64), StoreError> {
        self.database
            .read(|db| match query.text.as_deref().map(str::trim) {
                None | Some("") => listed(db, query),
                Some(text) => searched(db, query, &Needle::new(text)),
            })
    }
}

/// Creates the file with its page size, readable by its owner only, when it is missing.
fn create(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => {
            let connection = Connection::open(path).map_err(|error| store_error(&error))?;
            connection
                .execute_batch(PAGE_SIZE)
                .map_err(|error| store_error(&error))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "{} cannot be created: {error}",
            path.display()
        ))),
    }
}

/// Buffers that one batch reuses.
#[derive(Debug, Default)]
struct Scratch {
    facts: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Text that is known to be UTF-8, bound without a copy of our own.
struct Json<'a>(&'a [u8]);

impl ToSql for Json<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

fn insert(
    statement: &mut Statement<'_>,
    scratch: &mut Scratch,
    record: &TraceRecord,
) -> Result<(), DbError> {
    let TraceRecord {
        request_id,
        trace_id,
        span_id,
        parent_span_id,
        organization_id,
        project_id,
        virtual_key_id,
        started_at,
        duration_us,
        http_status,
        error,
        facts,
        input,
        output,
    } = record;
    scratch.facts.clear();
    serde_json::to_writer(&mut scratch.facts, facts)
        .map_err(|error| StoreError::Corrupt(format!("trace: facts: {error}")))?;
    statement.execute(params![
        request_id.as_bytes(),
        trace_id.as_bytes(),
        span_id.as_bytes(),
        parent_span_id.as_ref().map(SpanId::as_bytes),
        organization_id.as_str(),
        project_id.as_str(),
        virtual_key_id.as_str(),
        started_at.0,
        i64::try_from(*duration_us).unwrap_or(i64::MAX),
        http_status,
        error,
        Json(&scratch.facts),
        input.as_ref().map(|body| body.form as u8),
        input.as_ref().map(|body| body.truncated),
        output.as_ref().map(|body| body.form as u8),
        output.as_ref().map(|body| body.truncated),
        input.as_ref().map(|body| whole(body, &mut scratch.input)),
        output.as_ref().map(|body| whole(body, &mut scratch.output)),
    ])?;
    Ok(())
}

/// The pieces of a body as one; a body of one piece is not copied.
fn whole<'a>(body: &'a Captured, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if let [piece] = body.pieces.as_slice() {
        return piece;
    }
    scratch.clear();
    for piece in &body.pieces {
        scratch.extend_from_slice(piece);
    }
    scratch
}

fn one(statement: &mut Statement<'_>, key: &dyn ToSql) -> Result<Option<TraceRecord>, DbError> {
    let mut rows = statement.query([key])?;
    rows.next()?.map(record).transpose()
}

fn record(row: &Row<'_>) -> Result<TraceRecord, DbError> {
    let text = |column: usize| row.get::<_, String>(column);
    let span = |bytes: [u8; 8]| SpanId::from_bytes(bytes).ok_or_else(|| corrupt("span_id"));
    let facts: Facts = serde_json::from_str(&text(11)?).map_err(|_| corrupt("facts"))?;
    let parent: Option<[u8; 8]> = row.get(3)?;
    Ok(TraceRecord {
        request_id: RequestId::from_bytes(row.get(0)?),
        trace_id: TraceId::from_bytes(row.get(1)?).ok_or_else(|| corrupt("trace_id"))?,
        span_id: span(row.get(2)?)?,
        parent_span_id: parent.map(span).transpose()?,
        organization_id: OrganizationId::parse(&text(4)?)
            .map_err(|_| corrupt("organization_id"))?,
        project_id: ProjectId::parse(&text(5)?).map_err(|_| corrupt("project_id"))?,
        virtual_key_id: VirtualKeyId::parse(&text(6)?).map_err(|_| corrupt("virtual_key_id"))?,
        started_at: UnixMicros(row.get(7)?),
        duration_us: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
        http_status: row.get(9)?,
        error: row.get(10)?,
        facts,
        input: captured(row, 12, 16)?,
        output: captured(row, 14, 17)?,
    })
}

/// The body whose form stands in column `form`, with the flag behind it and the bytes in `bytes`.
fn captured(row: &Row<'_>, form: usize, bytes: usize) -> Result<Option<Captured>, DbError> {
    let Some(number) = row.get::<_, Option<u8>>(form)? else {
        return Ok(None);
    };
    let bytes: Vec<u8> = row.get(bytes)?;
    Ok(Some(Captured {
        pieces: if bytes.is_empty() {
            Vec::new()
        } else {
            vec![Bytes::from(bytes)]
        },
        form: BodyForm::from_u8(number),
        truncated: row.get(form + 1)?,
    }))
}

/// Where a trace stands in a list.
type Place = (UnixMicros, RequestId);

/// The newest traces of a query, newest first, older than `before`. Each with its row.
fn newest(
    db: &Connection,
    query: &TraceQuery,
    before: Option<Place>,
    limit: usize,
) -> Result<Vec<(Place, i64)>, DbError> {
    let (from, to) = range(query);
    let mut found = Vec::new();
    for project in &query.projects {
        let place = |row: &Row<'_>| {
            let place = (UnixMicros(row.get(0)?), RequestId::from_bytes(row.get(1)?));
            Ok((place, row.get(2)?))
        };
        let (project, limit) = (project.as_str(), at_most(limit));
        match before {
            None => {
                let mut statement = db.prepare_cached(NEWEST)?;
                let wanted = params![project, from, to, query.error, limit];
                for row in statement.query_map(wanted, place)? {
                    found.push(row?);
                }
            }
            Some((at, request)) => {
                let mut statement = db.prepare_cached(NEWEST_BEFORE)?;
                let id = request.as_bytes();
                let wanted = params![project, from, to, query.error, at.0, id, limit];
                for row in statement.query_map(wanted, place)? {
                    found.push(row?);
                }
            }
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(limit);
    Ok(found)
}

/// A search without text.
fn listed(db: &Connection, query: &TraceQuery) -> Result<(Vec<TraceRecord>, u64), DbError> {
    let page = newest(db, query, query.before, query.limit)?;
    let (from, to) = range(query);
    let mut statement = db.prepare_cached(COUNT)?;
    let mut total = 0_i64;
    for project in &query.projects {
        let wanted = params![project.as_str(), from, to, query.error, at_most(SEARCHED)];
        total += statement.query_row(wanted, |row| row.get::<_, i64>(0))?;
    }
    let total = u64::try_from(total.min(at_most(SEARCHED))).unwrap_or(0);
    Ok((load(db, page.into_iter().map(|(_, id)| id))?, total))
}

/// A search with text, among the newest.
fn searched(
    db: &Connection,
    query: &TraceQuery,
    needle: &Needle,
) -> Result<(Vec<TraceRecord>, u64), DbError> {
    let mut statement = db.prepare_cached(TEXTS)?;
    let (mut page, mut total, mut bytes) = (Vec::new(), 0, 0_usize);
    for (place, id) in newest(db, query, None, SEARCHED)? {
        let mut rows = statement.query(params![id])?;
        let Some(row) = rows.next()? else {
            continue;
        };
        let mut found = false;
        for column in 0..4 {
            let text = match row.get_ref(column)? {
                ValueRef::Text(text) | ValueRef::Blob(text) => text,
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => continue,
            };
            bytes = bytes.saturating_add(text.len());
            found = needle.is_in(text);
            if found {
                break;
            }
        }
        if found {
            total += 1;
            if page.len() < query.limit && query.before.is_none_or(|before| place < before) {
                page.push(id);
            }
        }
        if bytes > SEARCHED_BYTES {
            break;
        }
    }
    Ok((load(db, page.into_iter())?, total))
}

fn load(db: &Connection, ids: impl Iterator<Item = i64>) -> Result<Vec<TraceRecord>, DbError> {
    let mut statement = db.prepare_cached(BY_ID)?;
    let mut records = Vec::new();
    for id in ids {
        records.extend(one(&mut statement, &id)?);
    }
    Ok(records)
}

/// A text to look for, without regard to case.
enum Needle {
    /// Compared byte by byte.
    Ascii(Vec<u8>),
    /// Compared in lower case, which takes a copy of every text.
    Unicode(String),
}

impl Needle {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            Self::Ascii(text.as_bytes().to_vec())
        } else {
            Self::Unicode(text.to_lowercase())
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Ascii(needle) => text
                .windows(needle.len())
                .any(|window| window.eq_ignore_ascii_case(needle)),
            Self::Unicode(needle) => String::from_utf8_lossy(text)
                .to_lowercase()
                .contains(needle),
        }
    }
}

fn range(query: &TraceQuery) -> (i64, i64) {
    (
        query.from.map_or(i64::MIN, |from| from.0),
        query.to.map_or(i64::MAX, |to| to.0),
    )
}

/// The first and the last id that begin with `prefix`; `None` when it is not hex.
fn prefix_range(prefix: &str) -> Option<([u8; 16], [u8; 16])> {
    if prefix.len() > 32 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bound = |fill: char| {
        let padded: String = prefix
            .chars()
            .chain(std::iter::repeat(fill))
            .take(32)
            .collect();
        u128::from_str_radix(&padded, 16)
            .ok()
            .map(u128::to_be_bytes)
    };
    Some((bound('0')?, bound('f')?))
}

fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn corrupt(column: &str) -> DbError {
    StoreError::Corrupt(format!("trace: {column}")).into()
}
