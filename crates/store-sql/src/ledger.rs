//! The ledger in a SQLite file of its own.
//!
//! One writer folds batches; a commit is durable when it returns. Rows are never changed: a second
//! outcome of an attempt meets the first one's key and does nothing, and a truth that arrives after an
//! orphan was charged is a row of its own. Which holds are open is kept in memory, rebuilt at start from
//! the rows, and sums by minute, hour and day take the place of an index: a settled request costs two rows
//! and no more.
//!
//! A batch is first written as if all of it were new, many rows to a statement. Only when a row turns
//! out to be there already is it taken back and written again row by row.
//!
//! Must never change an amount, and never show an unpriced row as priced. One process writes at a time:
//! the lock of the spool folder sees to that. Start at [`SqliteLedger::append`](Ledger::append).

use std::collections::BTreeMap;
use std::path::Path;

use lw_core::{
    BudgetId, ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, UnixMicros, Usage,
    VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::ledger::{
    Certainty, Detail, Entry, EntryKind, KeySpend, Ledger, Opening, Progress, SpendQuery,
    SpendRecord,
};
use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, ToSql, params};

use self::budgets::Charged;
use self::names::Names;
use self::spent::{Accounts, Payer, Spent, spent_between};
use crate::migrations::Migration;
use crate::sqlite::{Database, DbError, Tuning};

mod budgets;
mod names;
mod objects;
mod spent;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("ledger/0001_first.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("ledger/0002_spent_by_provider.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("ledger/0003_provider_objects.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("ledger/0004_budgets.sql"),
    },
];

/// The pages that a full batch changes: with less, they are written, read and written again.
const CACHE_KIB: u32 = 2_048;

/// Sorts after every request id.
const NO_REQUEST: [u8; 15] = [0xFF; 15];

/// Rows that one statement inserts when there are that many. Opening and closing a statement costs about
/// as much as a row.
const BULK: usize = 16;

macro_rules! entry_columns {
    () => {
        "request_id, attempt, step, kind, at, amount, certainty, priced, price_id, period, account_id, \
         provider_id, model_id, detail, budgets_id"
    };
}

macro_rules! usage_columns {
    () => {
        "input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, input_audio, \
         output_audio"
    };
}

/// The values of one row, or of [`BULK`] rows, follow.
const INSERT: &str = concat!(
    "INSERT INTO entry (",
    entry_columns!(),
    ", ",
    usage_columns!(),
    ") VALUES "
);
/// Columns of [`INSERT`].
const WIDTH: usize = 23;

const OUTCOME: &str = "SELECT certainty, amount, budgets_id FROM entry \
    WHERE request_id = $1 AND attempt = $2 AND step = 1";

const OTHER_OUTCOME: &str = "SELECT 1 FROM entry \
    WHERE request_id = $1 AND attempt <> $2 AND step = 1 LIMIT 1";

const ORPHAN: &str = concat!(
    "INSERT INTO entry (",
    entry_columns!(),
    ") SELECT request_id, attempt, 1, 1, at, amount, 2, priced, price_id, period, account_id, \
     provider_id, model_id, detail, budgets_id \
     FROM entry WHERE request_id = $1 AND attempt = $2 AND step = 0 \
     ON CONFLICT DO NOTHING RETURNING account_id, provider_id, amount, budgets_id"
);

const OPEN_HOLDS: &str = "SELECT h.request_id, h.attempt, h.at, h.amount, a.virtual_key_id \
    FROM entry h JOIN account a ON a.id = h.account_id \
    WHERE h.request_id >= $1 AND h.step = 0 AND NOT EXISTS (SELECT 1 FROM entry o \
     WHERE o.request_id = h.request_id AND o.attempt = h.attempt AND o.step = 1)";

const REQUEST: &str = "SELECT e.request_id, e.attempt, e.kind, e.at, e.amount, e.certainty, e.priced, \
     p.text, e.period, a.organization_id, a.project_id, a.virtual_key_id, r.text, m.text, e.input, \
     e.cache_read, e.cache_write_5m, e.cache_write_1h, e.output, e.reasoning, e.input_audio, \
     e.output_audio, e.detail, b.text \
    FROM entry e JOIN account a ON a.id = e.account_id JOIN name m ON m.id = e.model_id \
     LEFT JOIN name p ON p.id = e.price_id LEFT JOIN name r ON r.id = e.provider_id \
     LEFT JOIN name b ON b.id = e.budgets_id \
    WHERE e.request_id = $1 ORDER BY e.attempt, e.step";

const SET_PROGRESS: &str = "INSERT INTO progress (file, position) VALUES ($1, $2) \
    ON CONFLICT (file) DO UPDATE SET position = excluded.position";

const SET_OPEN_FROM: &str = "INSERT INTO open_from (only, request_id) VALUES (0, $1) \
    ON CONFLICT (only) DO UPDATE SET request_id = excluded.request_id";

/// A [`Ledger`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    database: Database,
    /// Numbers of ids. Taken out while a batch is written, so that a failed one leaves none behind.
    names: Mutex<Names>,
    statements: Statements,
    /// Holds without an outcome. Changed only after a commit; may hold one whose outcome came first.
    open: Mutex<BTreeMap<(RequestId, u16), OpenHold>>,
}

#[derive(Debug, Clone)]
struct OpenHold {
    key: VirtualKeyId,
    at: UnixMicros,
    amount: NanoUsd,
}

impl SqliteLedger {
    /// Opens or creates the file. Commits are durable and the cache holds a batch, whatever `tuning`
    /// says.
    ///
    /// # Errors
    /// The file cannot be used, or was written by a newer version.
    pub fn open(path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        let cache_kib = tuning.cache_kib.max(CACHE_KIB);
        let tuning = Tuning {
            durable: true,
            cache_kib,
            // One may be summing while the other finds owners for waiting requests.
            readers: 2,
            ..tuning
        };
        let database = Database::open(path, tuning, MIGRATIONS)?;
        let open = database.read(open_holds)?;
        Ok(Self {
            database,
            names: Mutex::default(),
            statements: Statements::new(),
            open: Mutex::new(open),
        })
    }

    /// The smallest request id whose hold may be open once `entries` are in.
    fn open_from(&self, entries: &[Entry]) -> [u8; 15] {
        let known = self.open.lock().keys().next().map(|(id, _)| *id);
        let holds = entries.iter().filter(|entry| entry.kind == EntryKind::Hold);
        let first = holds.map(|entry| entry.request_id).chain(known).min();
        first.map_or(NO_REQUEST, |id| *id.as_bytes())
    }
}

impl Ledger for SqliteLedger {
    fn append(&self, entries: &[Entry], progress: &[Progress]) -> Result<u64, StoreError> {
        let open_from = self.open_from(entries);
        let finish = |db: &Connection, names: &mut Names, appended: &Appended| {
            appended.spent.store(db)?;
            appended.charged.store(db)?;
            objects::record(db, names, entries)?;
            let mut statement = db.prepare_cached(SET_PROGRESS)?;
            for Progress { file, offset } in progress {
                statement.execute(params![file, signed(*offset)])?;
            }
            let mut statement = db.prepare_cached(SET_OPEN_FROM)?;
            statement.execute(params![open_from])?;
            Ok::<_, DbError>(())
        };
        let mut names = std::mem::take(&mut *self.names.lock());
        let mut all_new = true;
        let mut written = self.database.write(|db| {
            let Some(appended) = append_new(db, &self.statements, &mut names, entries)? else {
                all_new = false;
                return Err(StoreError::Stale.into());
            };
            finish(db, &mut names, &appended)?;
            Ok(appended)
        });
        if !all_new {
            // The numbers of the first try were taken back with it.
            names = Names::default();
            written = self.database.write(|db| {
                let appended = append_each(db, &self.statements, &mut names, entries)?;
                finish(db, &mut names, &appended)?;
                Ok(appended)
            });
        }
        let Appended {
            rows,
            opened,
            spent: _,
            charged: _,
        } = written?;
        *self.names.lock() = names;
        let mut open = self.open.lock();
        open.extend(opened);
        for entry in entries.iter().filter(|entry| entry.kind != EntryKind::Hold) {
            open.remove(&(entry.request_id, entry.attempt));
        }
        Ok(rows)
    }

    fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        self.database.read(|db| {
            let mut statement = db.prepare_cached("SELECT file, position FROM progress")?;
            let rows = statement.query_map([], |row| {
                Ok(Progress {
                    file: row.get(0)?,
                    offset: unsigned(row.get(1)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn forget(&self, files: &[String]) -> Result<(), StoreError> {
        self.database.write(|db| {
            let mut statement = db.prepare_cached("DELETE FROM progress WHERE file = $1")?;
            for file in files {
                statement.execute(params![file])?;
            }
            Ok(())
        })
    }

    fn charge_orphans(&self, before: UnixMicros) -> Result<u64, StoreError> {
        let orphans: Vec<(RequestId, u16)> = {
            let open = self.open.lock();
            open.iter()
                .filter(|(_, hold)| hold.at < before)
                .map(|(attempt, _)| *attempt)
                .collect()
        };
        if orphans.is_empty() {
            return Ok(0);
        }
        let charged = self.database.write(|db| {
            let mut statement = db.prepare_cached(ORPHAN)?;
            let (mut count, mut spent, mut charged) = (0, Spent::default(), Charged::default());
            for (request, attempt) in &orphans {
                let ids = params![request.as_bytes(), attempt];
                let row = statement.query_row(ids, |row| {
                    let payer = Payer::new(row.get(0)?, row.get(1)?);
                    Ok((payer, NanoUsd(row.get(2)?), row.get(3)?))
                });
                if let Some((payer, amount, list)) = row.optional()? {
                    let first = is_first_outcome(db, &[], *request, *attempt)?;
                    spent.add(payer, *request, amount, first);
                    charged.add(list, *request, amount, amount != NanoUsd::ZERO);
                    count += 1;
                }
            }
            spent.store(db)?;
            charged.store(db)?;
            Ok(count)
        })?;
        let mut open = self.open.lock();
        for attempt in &orphans {
            open.remove(attempt);
        }
        Ok(charged)
    }

    fn request(&self, id: RequestId) -> Result<Option<SpendRecord>, StoreError> {
        self.database.read(|db| {
            let mut statement = db.prepare_cached(REQUEST)?;
            let mut rows = statement.query(params![id.as_bytes()])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(entry(row)?);
            }
            Ok((!entries.is_empty()).then_some(SpendRecord { entries }))
        })
    }

    fn key_spend(
        &self,
        key: &VirtualKeyId,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<KeySpend, StoreError> {
        let held: Vec<((RequestId, u16), NanoUsd)> = {
            let open = self.open.lock();
            let ours = |hold: &OpenHold| hold.key == *key && from <= hold.at && hold.at < to;
            open.iter()
                .filter(|(_, hold)| ours(hold))
                .map(|(attempt, hold)| (*attempt, hold.amount))
                .collect()
        };
        self.database.read(|db| {
            let accounts = Accounts::of_key(db, key)?;
            let (spent, requests) = spent_between(db, &accounts, None, from, to)?;
            let mut reserved = NanoUsd::ZERO;
            let mut outcome = db.prepare_cached(OUTCOME)?;
            for ((request, attempt), amount) in &held {
                if !outcome.exists(params![request.as_bytes(), attempt])? {
                    reserved = reserved + *amount;
                }
            }
            Ok(KeySpend {
                spent,
                reserved,
                requests,
            })
        })
    }

    fn spent(&self, query: &SpendQuery) -> Result<NanoUsd, StoreError> {
        self.database.read(|db| spent::asked(db, query))
    }

    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.database
            .read(|db| budgets::spent(db, budget, Some(member), from))
    }

    fn budget_spent_in_all(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.database
            .read(|db| budgets::spent(db, budget, None, from))
    }

    fn budget_members(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, NanoUsd)>, StoreError> {
        self.database
            .read(|db| budgets::members(db, budget, from, after, limit))
    }

    fn last_opened(&self) -> Result<Option<BudgetId>, StoreError> {
        self.database.read(budgets::last_opened)
    }

    fn open_budgets(&self, opened: &[(BudgetId, Vec<Opening>)]) -> Result<(), StoreError> {
        self.database.write(|db| {
            for (budget, openings) in opened {
                budgets::open(db, budget, openings)?;
            }
            Ok(())
        })
    }
}

/// Text that is known to be UTF-8, bound without a copy of our own.
struct Json<'a>(&'a [u8]);

impl ToSql for Json<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// The statements that insert entries.
#[derive(Debug)]
struct Statements {
    one: String,
    bulk: String,
}

impl Statements {
    fn new() -> Self {
        let row = format!("({})", vec!["?"; WIDTH].join(", "));
        let text = |rows: usize| {
            format!(
                "{INSERT}{} ON CONFLICT DO NOTHING",
                vec![row.as_str(); rows].join(", ")
            )
        };
        Self {
            one: text(1),
            bulk: text(BULK),
        }
    }
}

/// What a batch did.
#[derive(Debug, Default)]
struct Appended {
    /// New rows.
    rows: u64,
    /// New holds.
    opened: Vec<((RequestId, u16), OpenHold)>,
    spent: Spent,
    charged: Charged,
}

impl Appended {
    fn count(
        &mut self,
        db: &Connection,
        batch: &[Entry],
        row: &Numbered<'_>,
    ) -> Result<(), DbError> {
        self.rows += 1;
        let Entry {
            request_id,
            attempt,
            virtual_key_id,
            at,
            ..
        } = row.entry;
        let payer = Payer::new(row.account, row.provider);
        match row.kind {
            EntryKind::Hold => {
                let hold = OpenHold {
                    key: virtual_key_id.clone(),
                    at: *at,
                    amount: row.amount,
                };
                self.opened.push(((*request_id, *attempt), hold));
            }
            EntryKind::Settle | EntryKind::Release => {
                let first = is_first_outcome(db, batch, *request_id, *attempt)?;
                self.spent.add(payer, *request_id, row.amount, first);
            }
            EntryKind::Adjust => self.spent.add(payer, *request_id, row.amount, false),
        }
        if row.kind != EntryKind::Hold {
            // The truth counts where it says, in full; what it takes the place of no longer does.
            let amount = row.amount + row.replaces.amount;
            let moved = budgets::moved(row.entry, amount);
            self.charged.add(row.budgets, *request_id, amount, moved);
            self.charged.take(row.replaces, *request_id);
        }
        Ok(())
    }
}

/// Whether no other attempt of the request has an outcome, neither in the file nor in `batch`. Attempts
/// end in their order, so that the first one need not look.
fn is_first_outcome(
    db: &Connection,
    batch: &[Entry],
    request: RequestId,
    attempt: u16,
) -> Result<bool, DbError> {
    if attempt == 0 {
        return Ok(true);
    }
    let earlier = |entry: &Entry| {
        entry.request_id == request
            && entry.attempt < attempt
            && matches!(entry.kind, EntryKind::Settle | EntryKind::Release)
    };
    if batch.iter().any(earlier) {
        return Ok(false);
    }
    let mut statement = db.prepare_cached(OTHER_OUTCOME)?;
    Ok(!statement.exists(params![request.as_bytes(), attempt])?)
}

/// Inserts rows that should all be new. `None`: one was not, and everything must be taken back.
fn append_new(
    db: &Connection,
    statements: &Statements,
    names: &mut Names,
    entries: &[Entry],
) -> Result<Option<Appended>, DbError> {
    let mut appended = Appended::default();
    let mut detail = Vec::with_capacity(512);
    // In the order of the key, so that most pages are filled from the left to the right.
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by_key(|entry| (entry.request_id, entry.attempt, entry.kind));
    let mut one = db.prepare_cached(&statements.one)?;
    let mut bulk = db.prepare_cached(&statements.bulk)?;
    for chunk in sorted.chunks(BULK) {
        let full = chunk.len() == BULK;
        let (statement, at_once) = if full {
            (&mut bulk, BULK)
        } else {
            (&mut one, 1)
        };
        for rows in chunk.chunks(at_once) {
            let mut binder = Binder { statement, next: 1 };
            for entry in rows {
                let row = Numbered::new(db, names, entry, &mut detail)?;
                binder.row(&row)?;
                appended.count(db, entries, &row)?;
            }
            if statement.raw_execute()? != at_once {
                return Ok(None);
            }
        }
    }
    Ok(Some(appended))
}

/// Inserts what is not there yet, and corrects charges that were only assumed.
fn append_each(
    db: &Connection,
    statements: &Statements,
    names: &mut Names,
    entries: &[Entry],
) -> Result<Appended, DbError> {
    let mut appended = Appended::default();
    let mut detail = Vec::with_capacity(512);
    for entry in entries {
        let mut row = Numbered::new(db, names, entry, &mut detail)?;
        let mut new = row.insert(db, statements)?;
        let outcome = matches!(entry.kind, EntryKind::Settle | EntryKind::Release);
        if !new
            && outcome
            && let Some(assumed) = correctable(db, entry)?
        {
            (row.kind, row.amount) = (EntryKind::Adjust, entry.amount - assumed.amount);
            row.replaces = assumed;
            new = row.insert(db, statements)?;
        }
        if new {
            appended.count(db, entries, &row)?;
        }
    }
    Ok(appended)
}

/// The outcome that is there, when it was only assumed and `truth` takes its place.
fn correctable(db: &Connection, truth: &Entry) -> Result<Option<Assumed>, DbError> {
    if truth.certainty == Certainty::Orphaned {
        return Ok(None);
    }
    let mut statement = db.prepare_cached(OUTCOME)?;
    let found: Option<(u8, Assumed)> = statement
        .query_row(params![truth.request_id.as_bytes(), truth.attempt], |row| {
            let assumed = Assumed {
                amount: NanoUsd(row.get(1)?),
                budgets: row.get(2)?,
            };
            Ok((row.get(0)?, assumed))
        })
        .optional()?;
    Ok(found
        .filter(|(certainty, _)| Certainty::from_u8(*certainty) == Some(Certainty::Orphaned))
        .map(|(_, assumed)| assumed))
}

/// A charge that another takes the place of: what, and the list of buckets it was charged to.
#[derive(Debug, Clone, Copy, Default)]
struct Assumed {
    amount: NanoUsd,
    budgets: Option<i64>,
}

/// An entry with the numbers of its ids.
struct Numbered<'a> {
    entry: &'a Entry,
    kind: EntryKind,
    amount: NanoUsd,
    account: i64,
    price: Option<i64>,
    provider: Option<i64>,
    model: Option<i64>,
    detail: Json<'a>,
    budgets: Option<i64>,
    /// Only for an adjustment.
    replaces: Assumed,
}

impl<'a> Numbered<'a> {
    fn new(
        db: &Connection,
        names: &mut Names,
        entry: &'a Entry,
        detail: &'a mut Vec<u8>,
    ) -> Result<Self, DbError> {
        detail.clear();
        entry
            .detail
            .push_json(detail)
            .map_err(|error| unencodable(&error))?;
        Ok(Self {
            entry,
            kind: entry.kind,
            amount: entry.amount,
            account: names.account(db, entry)?,
            price: names.text(db, entry.price_version.as_deref())?,
            provider: names.text(db, entry.model_provider_id.as_ref().map(|id| id.as_str()))?,
            model: names.text(db, Some(&entry.model))?,
            detail: Json(detail),
            budgets: names.list(db, &entry.budgets)?,
            replaces: Assumed::default(),
        })
    }

    fn insert(&self, db: &Connection, statements: &Statements) -> Result<bool, DbError> {
        let mut statement = db.prepare_cached(&statements.one)?;
        Binder {
            statement: &mut statement,
            next: 1,
        }
        .row(self)?;
        Ok(statement.raw_execute()? > 0)
    }

    const fn step(&self) -> u8 {
        match self.kind {
            EntryKind::Hold => 0,
            EntryKind::Settle | EntryKind::Release => 1,
            EntryKind::Adjust => 2,
        }
    }
}

/// Binds one value after the other.
struct Binder<'a, 'c> {
    statement: &'a mut Statement<'c>,
    next: usize,
}

impl Binder<'_, '_> {
    fn value(&mut self, value: impl ToSql) -> Result<(), DbError> {
        self.statement.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }

    /// The columns of [`INSERT`].
    fn row(&mut self, row: &Numbered<'_>) -> Result<(), DbError> {
        let entry = row.entry;
        self.value(entry.request_id.as_bytes())?;
        self.value(entry.attempt)?;
        self.value(row.step())?;
        self.value(row.kind as u8)?;
        self.value(entry.at.0)?;
        self.value(row.amount.0)?;
        self.value(entry.certainty as u8)?;
        self.value(entry.priced)?;
        self.value(row.price)?;
        self.value(period_number(&entry.period))?;
        self.value(row.account)?;
        self.value(row.provider)?;
        self.value(row.model)?;
        self.value(&row.detail)?;
        self.value(row.budgets)?;
        let Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            input_audio,
            output_audio,
        } = entry.usage;
        self.value(signed(input))?;
        self.value(signed(cache_read))?;
        self.value(signed(cache_write_5m))?;
        self.value(signed(cache_write_1h))?;
        self.value(signed(output))?;
        self.value(signed(reasoning))?;
        self.value(signed(input_audio))?;
        self.value(signed(output_audio))
    }
}

/// `2026-11` as 202611; a text that is not a month becomes 0.
fn period_number(text: &str) -> i64 {
    let number = |(year, month): (&str, &str)| {
        let (year, month): (i64, i64) = (year.parse().ok()?, month.parse().ok()?);
        Some(year * 100 + month)
    };
    text.split_once('-').and_then(number).unwrap_or(0)
}

fn period_text(number: i64) -> String {
    format!("{:04}-{:02}", number / 100, number % 100)
}

fn open_holds(db: &Connection) -> Result<BTreeMap<(RequestId, u16), OpenHold>, DbError> {
    let from: Option<[u8; 15]> = db
        .query_row(
            "SELECT request_id FROM open_from WHERE only = 0",
            [],
            |row| row.get(0),
        )
        .optional()?;
    let mut statement = db.prepare(OPEN_HOLDS)?;
    let mut rows = statement.query(params![from.unwrap_or_default()])?;
    let mut open = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(4)?;
        let hold = OpenHold {
            at: UnixMicros(row.get(2)?),
            amount: NanoUsd(row.get(3)?),
            key: VirtualKeyId::parse(&key).map_err(|_| corrupt("virtual_key_id"))?,
        };
        open.insert((RequestId::from_bytes(row.get(0)?), row.get(1)?), hold);
    }
    Ok(open)
}

fn entry(row: &Row<'_>) -> Result<Entry, DbError> {
    let text = |column: usize| row.get::<_, String>(column);
    let count = |column: usize| row.get(column).map(unsigned);
    let provider: Option<String> = row.get(12)?;
    let detail: Detail = serde_json::from_str(&text(22)?).map_err(|_| corrupt("detail"))?;
    Ok(Entry {
        request_id: RequestId::from_bytes(row.get(0)?),
        attempt: row.get(1)?,
        kind: EntryKind::from_u8(row.get(2)?).ok_or_else(|| corrupt("kind"))?,
        at: UnixMicros(row.get(3)?),
        amount: NanoUsd(row.get(4)?),
        certainty: Certainty::from_u8(row.get(5)?).ok_or_else(|| corrupt("certainty"))?,
        priced: row.get(6)?,
        price_version: row.get(7)?,
        period: period_text(row.get(8)?),
        organization_id: OrganizationId::parse(&text(9)?)
            .map_err(|_| corrupt("organization_id"))?,
        project_id: ProjectId::parse(&text(10)?).map_err(|_| corrupt("project_id"))?,
        virtual_key_id: VirtualKeyId::parse(&text(11)?).map_err(|_| corrupt("virtual_key_id"))?,
        model_provider_id: provider
            .map(|id| ModelProviderId::parse(&id))
            .transpose()
            .map_err(|_| corrupt("model_provider_id"))?,
        model: text(13)?,
        usage: Usage {
            input: count(14)?,
            cache_read: count(15)?,
            cache_write_5m: count(16)?,
            cache_write_1h: count(17)?,
            output: count(18)?,
            reasoning: count(19)?,
            input_audio: count(20)?,
            output_audio: count(21)?,
        },
        detail,
        made: Vec::new(),
        budgets: row.get::<_, Option<String>>(23)?.unwrap_or_default(),
    })
}

fn corrupt(column: &str) -> DbError {
    StoreError::Corrupt(format!("ledger: {column}")).into()
}

fn unencodable(error: &serde_json::Error) -> DbError {
    StoreError::Corrupt(format!("ledger: the detail cannot be encoded: {error}")).into()
}

/// Counts beyond 2^63 do not exist; one that claims to is cut.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
