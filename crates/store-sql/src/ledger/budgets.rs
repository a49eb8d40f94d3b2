//! What budgets were charged: the buckets that rows name, and sums of them by minute, hour and day.
//!
//! Written in the transaction that writes the rows, from the rows that were new, one addition for each
//! bucket and minute of a batch. A range is answered like those of `spent`, to the millisecond; what was
//! spent before there was a budget is an opening beside the sums.
//!
//! Must never be written from anything but new rows and openings. Start at [`Charged::add`] and [`spent`].

use std::collections::{BTreeSet, HashMap};

use lw_core::{BudgetId, NanoUsd, RequestId, UnixMicros};
use lw_store::ledger::{Entry, Opening, bucket_parts};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Assumed;
use super::spent::{END, Piece, SPANS, first_id, minute, pieces};
use crate::sqlite::DbError;

/// The type of the errors whose requests no budget counts (billing 6).
const BLOCKED: &str = "guardrail_blocked";

const BUDGET: &str = "INSERT INTO budget (text) VALUES ($1) \
    ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING id";

const BUCKET: &str = "INSERT INTO bucket (budget_id, member) VALUES ($1, $2) \
    ON CONFLICT (budget_id, member) DO UPDATE SET member = excluded.member RETURNING id";

const LIST: &str = "INSERT INTO listed (list_id, bucket_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";

const LISTED: &str = "SELECT bucket_id FROM listed WHERE list_id = $1";

const ADD: &str = "INSERT INTO charged (bucket_id, span, start, amount, charges) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (bucket_id, span, start) DO UPDATE SET \
    amount = charged.amount + excluded.amount, charges = charged.charges + excluded.charges";

const OPEN: &str = "INSERT INTO budget (text, opened) VALUES ($1, 1) \
    ON CONFLICT (text) DO UPDATE SET opened = 1 WHERE opened = 0 RETURNING id";

const OPENING: &str = "INSERT INTO opening (bucket_id, at, amount) VALUES ($1, $2, $3) \
    ON CONFLICT (bucket_id, at) DO UPDATE SET amount = opening.amount + excluded.amount";

/// From the end of the index: what stands behind it are budgets that were charged, but never opened.
const LAST_OPENED: &str = "SELECT text FROM budget WHERE opened = 1 ORDER BY text DESC LIMIT 1";

const ONE_BUCKET: &str = "SELECT k.id FROM budget b CROSS JOIN bucket k \
    WHERE b.text = $1 AND k.budget_id = b.id AND k.member = $2";

/// $3: a member that is left out, or null.
const BUCKETS: &str = "SELECT k.id, k.member FROM budget b CROSS JOIN bucket k \
    WHERE b.text = $1 AND k.budget_id = b.id AND k.member >= $2 AND k.member IS NOT $3 \
    ORDER BY k.member";

const SUM: &str = "SELECT coalesce(sum(amount), 0), coalesce(sum(charges), 0) FROM charged \
    WHERE bucket_id = $1 AND span = $2 AND start >= $3 AND start < $4";

const OPENED_AT: &str = "SELECT coalesce(sum(amount), 0), count(*) FROM opening \
    WHERE bucket_id = $1 AND at >= $2";

/// Each attempt once, by its last outcome: an adjustment stands for all of its attempt.
const ROWS: &str = "SELECT l.bucket_id, \
     e.amount + CASE WHEN e.step = 2 THEN coalesce((SELECT amount FROM entry s \
       WHERE s.request_id = e.request_id AND s.attempt = e.attempt AND s.step = 1), 0) ELSE 0 END AS paid, \
     e.input + e.cache_read + e.cache_write_5m + e.cache_write_1h + e.output + e.reasoning \
       + e.input_audio + e.output_audio > 0 AS used, \
     e.amount = 0 AND json_extract(e.detail, '$.error_type') IS 'guardrail_blocked' AS blocked \
    FROM entry e CROSS JOIN listed l CROSS JOIN bucket k \
    WHERE e.request_id >= $1 AND e.request_id < $2 AND e.step > 0 \
     AND l.list_id = e.budgets_id AND k.id = l.bucket_id \
     AND k.budget_id = (SELECT id FROM budget WHERE text = $3) AND ($4 IS NULL OR k.member = $4) \
     AND (e.step = 2 OR e.certainty <> 2 OR NOT EXISTS (SELECT 1 FROM entry a \
       WHERE a.request_id = e.request_id AND a.attempt = e.attempt AND a.step = 2))";

/// Whether an outcome of this cost counts as a charge: one that moved nothing does not (billing 6).
pub(super) fn moved(entry: &Entry, cost: NanoUsd) -> bool {
    let blocked = entry.detail.error_type.as_deref() == Some(BLOCKED);
    charges(cost, !entry.usage.is_zero(), blocked)
}

const fn charges(cost: NanoUsd, used: bool, blocked: bool) -> bool {
    cost.0 != 0 || (used && !blocked)
}

/// What one batch adds: (list of buckets, minute) to (amount, charges).
#[derive(Debug, Default)]
pub(super) struct Charged(HashMap<(i64, i64), (i64, i64)>);

impl Charged {
    /// Adds an amount to the buckets of a list, if there is one; `moved` when it counts as a charge.
    pub(super) fn add(
        &mut self,
        list: Option<i64>,
        request: RequestId,
        amount: NanoUsd,
        moved: bool,
    ) {
        self.change(list, request, amount.0, i64::from(moved));
    }

    /// Takes back a charge that another one replaces.
    pub(super) fn take(&mut self, assumed: Assumed, request: RequestId) {
        let Assumed { amount, budgets } = assumed;
        let moved = i64::from(amount != NanoUsd::ZERO);
        self.change(budgets, request, amount.0.saturating_neg(), -moved);
    }

    fn change(&mut self, list: Option<i64>, request: RequestId, amount: i64, charges: i64) {
        let Some(list) = list.filter(|_| amount != 0 || charges != 0) else {
            return;
        };
        let sum = self.0.entry((list, minute(request))).or_default();
        sum.0 = sum.0.saturating_add(amount);
        sum.1 += charges;
    }

    /// Adds the sums to those in the database.
    pub(super) fn store(&self, db: &Connection) -> Result<(), DbError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut listed: HashMap<i64, Vec<i64>> = HashMap::new();
        let mut sums: HashMap<(i64, i64, i64), (i64, i64)> = HashMap::new();
        let mut statement = db.prepare_cached(LISTED)?;
        for ((list, minute), (amount, charges)) in &self.0 {
            if !listed.contains_key(list) {
                let rows = statement.query_map(params![list], |row| row.get(0))?;
                listed.insert(*list, rows.collect::<Result<_, _>>()?);
            }
            for bucket in listed.get(list).into_iter().flatten() {
                for span in SPANS {
                    let start = minute - minute % span;
                    let sum = sums.entry((*bucket, span, start)).or_default();
                    sum.0 = sum.0.saturating_add(*amount);
                    sum.1 += charges;
                }
            }
        }
        // In the order of the key, so that a page is met once.
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable();
        let mut statement = db.prepare_cached(ADD)?;
        for ((bucket, span, start), (amount, charges)) in sums {
            statement.execute(params![bucket, span, start, amount, charges])?;
        }
        Ok(())
    }
}

/// The entries of a list, each once. A text that is no list has none.
pub(super) fn entries(text: &str) -> BTreeSet<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The bucket that an entry names, made if need be. `None`: it begins with no budget's id.
pub(super) fn named(db: &Connection, entry: &str) -> Result<Option<i64>, DbError> {
    let (budget, member) = bucket_parts(entry);
    let Ok(budget) = BudgetId::parse(budget) else {
        tracing::warn!("a request named a bucket of something that is no budget");
        return Ok(None);
    };
    bucket(db, budget_number(db, &budget)?, member).map(Some)
}

/// Says that a list names a bucket.
pub(super) fn put_on_list(db: &Connection, list: i64, bucket: i64) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(LIST)?;
    statement.execute(params![list, bucket])?;
    Ok(())
}

fn budget_number(db: &Connection, budget: &BudgetId) -> Result<i64, DbError> {
    let mut statement = db.prepare_cached(BUDGET)?;
    Ok(statement.query_row([budget.as_str()], |row| row.get(0))?)
}

fn bucket(db: &Connection, budget: i64, member: &str) -> Result<i64, DbError> {
    let mut statement = db.prepare_cached(BUCKET)?;
    Ok(statement.query_row(params![budget, member], |row| row.get(0))?)
}

/// The last one by id that was opened.
pub(super) fn last_opened(db: &Connection) -> Result<Option<BudgetId>, DbError> {
    let mut statement = db.prepare_cached(LAST_OPENED)?;
    let id: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    id.map(|id| BudgetId::parse(&id).map_err(|_| super::corrupt("budget")))
        .transpose()
}

/// Records what had been spent, unless that was done before.
pub(super) fn open(
    db: &Connection,
    budget: &BudgetId,
    openings: &[Opening],
) -> Result<(), DbError> {
    let number: Option<i64> = db
        .prepare_cached(OPEN)?
        .query_row([budget.as_str()], |row| row.get(0))
        .optional()?;
    let Some(number) = number else {
        return Ok(());
    };
    let mut statement = db.prepare_cached(OPENING)?;
    for Opening { member, at, amount } in openings {
        let bucket = bucket(db, number, member)?;
        statement.execute(params![bucket, at.0, amount.0])?;
    }
    Ok(())
}

/// What was charged to one bucket or to all of them, from `from` on.
pub(super) fn spent(
    db: &Connection,
    budget: &BudgetId,
    member: Option<&str>,
    from: UnixMicros,
) -> Result<NanoUsd, DbError> {
    let since = Since::new(db, budget, member, from)?;
    let Some(member) = member else {
        let mut sum = NanoUsd::ZERO;
        each_bucket(db, budget, None, |bucket, _| {
            sum = sum + since.of(db, bucket)?.0;
            Ok(true)
        })?;
        return Ok(sum);
    };
    let mut statement = db.prepare_cached(ONE_BUCKET)?;
    let bucket = statement.query_row([budget.as_str(), member], |row| row.get(0));
    Ok(match bucket.optional()? {
        Some(bucket) => since.of(db, bucket)?.0,
        None => NanoUsd::ZERO,
    })
}

/// The members after `after` that were charged something, at most `limit`.
pub(super) fn members(
    db: &Connection,
    budget: &BudgetId,
    from: UnixMicros,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, NanoUsd)>, DbError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let since = Since::new(db, budget, None, from)?;
    each_bucket(db, budget, after, |bucket, member| {
        let (amount, charges) = since.of(db, bucket)?;
        if charges > 0 {
            found.push((member, amount));
        }
        Ok(found.len() < limit)
    })?;
    Ok(found)
}

/// Tells of the buckets of a budget in the order of their members, as long as `next` wants more.
fn each_bucket(
    db: &Connection,
    budget: &BudgetId,
    after: Option<&str>,
    mut next: impl FnMut(i64, String) -> Result<bool, DbError>,
) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(BUCKETS)?;
    let first = after.unwrap_or_default();
    let mut rows = statement.query(params![budget.as_str(), first, after])?;
    while let Some(row) = rows.next()? {
        if !next(row.get(0)?, row.get(1)?)? {
            break;
        }
    }
    Ok(())
}

/// A range without an end, of the buckets of one budget.
struct Since {
    from: UnixMicros,
    spans: Vec<(i64, Piece)>,
    /// What the rows of the minute that the range begins in add to buckets: (amount, charges).
    rows: HashMap<i64, (NanoUsd, i64)>,
}

impl Since {
    fn new(
        db: &Connection,
        budget: &BudgetId,
        member: Option<&str>,
        from: UnixMicros,
    ) -> Result<Self, DbError> {
        let (mut spans, mut rows) = (Vec::new(), HashMap::new());
        for piece in pieces(from, END) {
            match piece.span {
                Some(span) => spans.push((span, piece)),
                None => add_rows(db, budget, member, piece, &mut rows)?,
            }
        }
        Ok(Self { from, spans, rows })
    }

    /// The amount, and how many charges and openings make it up.
    fn of(&self, db: &Connection, bucket: i64) -> Result<(NanoUsd, i64), DbError> {
        let Self { from, spans, rows } = self;
        let mut total = rows.get(&bucket).copied().unwrap_or_default();
        let mut add = |found: (i64, i64)| {
            total.0 = total.0 + NanoUsd(found.0);
            total.1 += found.1;
        };
        let mut sum = db.prepare_cached(SUM)?;
        for (span, Piece { start, end, .. }) in spans {
            let found = sum.query_row(params![bucket, span, start, end], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            add(found);
        }
        let mut opening = db.prepare_cached(OPENED_AT)?;
        add(opening.query_row(params![bucket, from.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?);
        Ok(total)
    }
}

/// Adds up the rows of a piece that is shorter than a minute.
fn add_rows(
    db: &Connection,
    budget: &BudgetId,
    member: Option<&str>,
    piece: Piece,
    sums: &mut HashMap<i64, (NanoUsd, i64)>,
) -> Result<(), DbError> {
    let Piece { start, end, .. } = piece;
    let mut statement = db.prepare_cached(ROWS)?;
    let mut rows = statement.query(params![
        first_id(start),
        first_id(end),
        budget.as_str(),
        member
    ])?;
    while let Some(row) = rows.next()? {
        let paid = NanoUsd(row.get(1)?);
        let sum = sums.entry(row.get(0)?).or_default();
        sum.0 = sum.0 + paid;
        sum.1 += i64::from(charges(paid, row.get(2)?, row.get(3)?));
    }
    Ok(())
}
