//! Sums of what accounts spent at a provider, by minute, hour and day.
//!
//! Written in the transaction that writes the rows, from the rows that were new. A range is answered
//! from whole days, hours and minutes, then the rows of the two minutes at its ends: it is exact to the
//! millisecond. The time of a request is the one that its id begins with.
//!
//! Must never be written from anything but new rows. Start at [`Spent::add`] and [`spent_between`].

use std::collections::{BTreeSet, HashMap};

use lw_core::{NanoUsd, RequestId, UnixMicros, VirtualKeyId};
use lw_store::ledger::{SpendQuery, Spenders};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::unsigned;
use crate::sqlite::DbError;

/// Lengths of the sums, in milliseconds, shortest first; each divides the next.
pub(super) const SPANS: [i64; 3] = [60_000, 3_600_000, 86_400_000];
const MINUTE: i64 = 60_000;

/// Milliseconds that fit into a request id.
const MILLIS_END: i64 = 1 << 48;
/// A whole number of the longest span, after every request.
pub(super) const END: UnixMicros = UnixMicros((MILLIS_END / 86_400_000 + 1) * 86_400_000 * 1_000);

/// Stands for rows without a provider.
const NO_PROVIDER: i64 = 0;

const ADD: &str = "INSERT INTO spent (span, start, account_id, provider_id, amount, requests) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (span, start, account_id, provider_id) DO UPDATE SET \
    amount = spent.amount + excluded.amount, requests = spent.requests + excluded.requests";

/// $4: the accounts as a JSON list; $5: the only provider, or null for all.
const SUM: &str = "SELECT coalesce(sum(amount), 0), coalesce(sum(requests), 0) FROM spent \
    WHERE span = $1 AND start >= $2 AND start < $3 \
     AND account_id IN (SELECT value FROM json_each($4)) AND ($5 IS NULL OR provider_id = $5)";

/// A request counts once, at its first attempt with an outcome.
const SUM_OF_ROWS: &str = "SELECT coalesce(sum(amount), 0), \
     count(DISTINCT CASE WHEN step = 1 THEN request_id END) FROM entry \
    WHERE request_id >= $1 AND request_id < $2 AND step > 0 \
     AND account_id IN (SELECT value FROM json_each($3)) AND ($4 IS NULL OR provider_id = $4)";

const OF_KEY: &str = "SELECT id FROM account WHERE virtual_key_id = $1";

const OF_KEYS: &str = "SELECT a.id FROM json_each($1) k CROSS JOIN account a \
    WHERE a.virtual_key_id = k.value AND a.organization_id = $2";

const OF_PROJECTS: &str = "SELECT a.id FROM json_each($1) p CROSS JOIN account a \
    WHERE a.project_id = p.value AND a.organization_id = $2";

const OF_ORGANIZATION: &str = "SELECT id FROM account WHERE organization_id = $1";

/// The minute that a request arrived in, in milliseconds.
pub(super) fn minute(request: RequestId) -> i64 {
    let millis = i64::try_from(request.millis()).unwrap_or(0);
    millis - millis % MINUTE
}

/// Who paid whom: the numbers of an account and of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Payer {
    account: i64,
    provider: i64,
}

impl Payer {
    /// An account, and the provider if one is known.
    pub(super) fn new(account: i64, provider: Option<i64>) -> Self {
        Self {
            account,
            provider: provider.unwrap_or(NO_PROVIDER),
        }
    }
}

/// What one batch adds: (payer, minute) to (amount, requests).
#[derive(Debug, Default)]
pub(super) struct Spent(HashMap<(Payer, i64), (i64, i64)>);

impl Spent {
    /// Adds an amount; `counts` when the request was not counted before.
    pub(super) fn add(&mut self, payer: Payer, request: RequestId, amount: NanoUsd, counts: bool) {
        let sum = self.0.entry((payer, minute(request))).or_default();
        sum.0 = sum.0.saturating_add(amount.0);
        sum.1 += i64::from(counts);
    }

    /// Adds the sums to those in the database.
    pub(super) fn store(&self, db: &Connection) -> Result<(), DbError> {
        let mut statement = db.prepare_cached(ADD)?;
        for span in SPANS {
            let mut sums: HashMap<(Payer, i64), (i64, i64)> = HashMap::new();
            for ((payer, minute), (amount, requests)) in &self.0 {
                let sum = sums.entry((*payer, minute - minute % span)).or_default();
                sum.0 = sum.0.saturating_add(*amount);
                sum.1 += requests;
            }
            for ((Payer { account, provider }, start), (amount, requests)) in sums {
                statement.execute(params![span, start, account, provider, amount, requests])?;
            }
        }
        Ok(())
    }
}

/// The accounts that a sum is made over, as the JSON list that the statements take.
#[derive(Debug)]
pub(super) struct Accounts(Option<String>);

impl Accounts {
    /// Those of one key, whatever its organization.
    pub(super) fn of_key(db: &Connection, key: &VirtualKeyId) -> Result<Self, DbError> {
        let ids = numbers(db, OF_KEY, [key.as_str()])?;
        Ok(Self::list(&ids.into_iter().collect()))
    }

    /// Those of `spenders`; each counts once.
    fn of(db: &Connection, organization: &str, spenders: &Spenders) -> Result<Self, DbError> {
        let ids = match spenders {
            Spenders::Organization => numbers(db, OF_ORGANIZATION, [organization])?,
            Spenders::Any { keys, projects } => {
                let keys = texts(keys.iter().map(|id| id.as_str()));
                let projects = texts(projects.iter().map(|id| id.as_str()));
                let mut ids = numbers(db, OF_KEYS, [keys.as_str(), organization])?;
                ids.extend(numbers(db, OF_PROJECTS, [projects.as_str(), organization])?);
                ids
            }
        };
        Ok(Self::list(&ids.into_iter().collect()))
    }

    fn list(ids: &BTreeSet<i64>) -> Self {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Self((!texts.is_empty()).then(|| format!("[{}]", texts.join(","))))
    }
}

fn numbers(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<i64>, DbError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn texts<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(ids).to_string()
}

/// The answer to `query`.
pub(super) fn asked(db: &Connection, query: &SpendQuery) -> Result<NanoUsd, DbError> {
    let SpendQuery {
        organization_id,
        spenders,
        model_provider_id,
        from,
        to,
    } = query;
    let provider = match model_provider_id {
        None => None,
        Some(id) => {
            let mut statement = db.prepare_cached("SELECT id FROM name WHERE text = $1")?;
            let known: Option<i64> = statement
                .query_row([id.as_str()], |row| row.get(0))
                .optional()?;
            match known {
                Some(number) => Some(number),
                None => return Ok(NanoUsd::ZERO),
            }
        }
    };
    let accounts = Accounts::of(db, organization_id.as_str(), spenders)?;
    Ok(spent_between(db, &accounts, provider, *from, *to)?.0)
}

/// What accounts spent, at one provider or at all, on requests that arrived in `[from, to)`, and on how
/// many.
pub(super) fn spent_between(
    db: &Connection,
    accounts: &Accounts,
    provider: Option<i64>,
    from: UnixMicros,
    to: UnixMicros,
) -> Result<(NanoUsd, u64), DbError> {
    let Accounts(Some(accounts)) = accounts else {
        return Ok((NanoUsd::ZERO, 0));
    };
    let (mut amount, mut requests) = (0_i64, 0_i64);
    let mut add = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<(), DbError> {
        let mut statement = db.prepare_cached(sql)?;
        let found: (i64, i64) =
            statement.query_row(params, |row| Ok((row.get(0)?, row.get(1)?)))?;
        amount = amount.saturating_add(found.0);
        requests = requests.saturating_add(found.1);
        Ok(())
    };
    for Piece { span, start, end } in pieces(from, to) {
        match span {
            None => add(
                SUM_OF_ROWS,
                params![first_id(start), first_id(end), accounts, provider],
            )?,
            Some(span) => add(SUM, params![span, start, end, accounts, provider])?,
        }
    }
    Ok((NanoUsd(amount), unsigned(requests)))
}

/// A part of a range, `[start, end)` in milliseconds: whole spans, or without one the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) span: Option<i64>,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Cuts `[from, to)` into few pieces, as long as they can be.
pub(super) fn pieces(from: UnixMicros, to: UnixMicros) -> Vec<Piece> {
    let millis = |at: UnixMicros| at.plus_micros(999).millis().clamp(0, END.millis());
    let (mut from, mut to) = (millis(from), millis(to));
    let mut pieces = Vec::with_capacity(2 * SPANS.len() + 1);
    // From the rows inwards: what is left at both ends of the next longer spans.
    let mut span = None;
    for longer in SPANS.into_iter().map(Some).chain([None]) {
        let (first, last) = longer.map_or((to, to), |longer| whole(longer, from, to));
        let ends = [(from, first), (last, to)];
        let ends = ends.into_iter().filter(|(start, end)| start < end);
        pieces.extend(ends.map(|(start, end)| Piece { span, start, end }));
        (from, to, span) = (first, last, longer);
    }
    pieces
}

/// The part of `[from, to)` that is made of whole spans. Without one, it is empty and lies at `to`.
const fn whole(span: i64, from: i64, to: i64) -> (i64, i64) {
    let first = from + (span - from % span) % span;
    let last = to - to % span;
    if first < last {
        (first, last)
    } else {
        (to, to)
    }
}

/// The smallest request id of a millisecond, in as many bytes as it takes to compare.
pub(super) fn first_id(millis: i64) -> Vec<u8> {
    if millis >= MILLIS_END {
        return vec![0xFF; 16];
    }
    millis.to_be_bytes().into_iter().skip(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_whole_spans_and_two_ends() {
        assert_eq!(whole(10, 0, 30), (0, 30));
        assert_eq!(whole(10, 1, 39), (10, 30));
        assert_eq!(whole(10, 11, 19), (19, 19));
        assert_eq!(whole(10, 11, 20), (20, 20));
        assert_eq!(whole(10, 15, 25), (25, 25));
        assert_eq!(whole(10, 30, 30), (30, 30));
    }

    #[test]
    fn a_range_without_an_end_has_no_rows_at_its_end() {
        let spans = |from| -> Vec<Option<i64>> {
            let pieces = pieces(UnixMicros(from), END);
            pieces.iter().map(|piece| piece.span).collect()
        };
        assert_eq!(spans(0), [Some(86_400_000)]);
        assert_eq!(spans(60_000_000).len(), 3);
        assert_eq!(spans(1).len(), 4);
        assert_eq!(spans(i64::MAX), []);
    }
}
