//! Sums of what accounts spent, by minute and by hour.
//!
//! Written in the transaction that writes the rows, from the rows that were new. A range is answered
//! from whole hours, then whole minutes, then the rows of the two minutes at its ends: it is exact to
//! the millisecond. The time of a request is the one that its id begins with.
//!
//! Must never be written from anything but new rows. Start at [`Spent::add`] and [`spent_between`].

use std::collections::HashMap;

use lw_core::{NanoUsd, RequestId, UnixMicros, VirtualKeyId};
use rusqlite::{Connection, params};

use super::{ADD_SPENT, SPENT, SPENT_BY_ROWS, unsigned};
use crate::sqlite::DbError;

/// Lengths of the sums, in milliseconds; each divides the next.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Milliseconds that fit into a request id.
const MILLIS_END: i64 = 1 << 48;

/// What one batch adds: (account, minute) to (amount, requests).
#[derive(Debug, Default)]
pub(super) struct Spent(HashMap<(i64, i64), (i64, i64)>);

impl Spent {
    /// Adds an amount; `counts` when the request was not counted before.
    pub(super) fn add(&mut self, account: i64, request: RequestId, amount: NanoUsd, counts: bool) {
        let millis = i64::try_from(request.millis()).unwrap_or(0);
        let sum = self
            .0
            .entry((account, millis - millis % MINUTE))
            .or_default();
        sum.0 = sum.0.saturating_add(amount.0);
        sum.1 += i64::from(counts);
    }

    /// Adds the sums to those in the database.
    pub(super) fn store(&self, db: &Connection) -> Result<(), DbError> {
        let mut hours: HashMap<(i64, i64), (i64, i64)> = HashMap::new();
        for ((account, minute), (amount, requests)) in &self.0 {
            let sum = hours.entry((*account, minute - minute % HOUR)).or_default();
            sum.0 = sum.0.saturating_add(*amount);
            sum.1 += requests;
        }
        let mut statement = db.prepare_cached(ADD_SPENT)?;
        for (span, sums) in [(MINUTE, &self.0), (HOUR, &hours)] {
            for ((account, start), (amount, requests)) in sums {
                statement.execute(params![span, start, account, amount, requests])?;
            }
        }
        Ok(())
    }
}

/// What a key spent on requests that arrived in `[from, to)`, and on how many.
pub(super) fn spent_between(
    db: &Connection,
    key: &VirtualKeyId,
    from: UnixMicros,
    to: UnixMicros,
) -> Result<(NanoUsd, u64), DbError> {
    let millis = |at: UnixMicros| at.plus_micros(999).millis().clamp(0, MILLIS_END);
    let (from, to) = (millis(from), millis(to));
    let (mut amount, mut requests) = (0_i64, 0_i64);
    let mut add = |found: (i64, i64)| {
        amount = amount.saturating_add(found.0);
        requests = requests.saturating_add(found.1);
    };
    let by_rows = |start: i64, end: i64| -> Result<(i64, i64), DbError> {
        if start >= end {
            return Ok((0, 0));
        }
        let mut statement = db.prepare_cached(SPENT_BY_ROWS)?;
        let wanted = params![first_id(start), first_id(end), key.as_str()];
        Ok(statement.query_row(wanted, |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let by_sums = |span: i64, start: i64, end: i64| -> Result<(i64, i64), DbError> {
        if start >= end {
            return Ok((0, 0));
        }
        let mut statement = db.prepare_cached(SPENT)?;
        let wanted = params![span, start, end, key.as_str()];
        Ok(statement.query_row(wanted, |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let (first, last) = whole(MINUTE, from, to);
    add(by_rows(from, first)?);
    add(by_rows(last, to)?);
    let (first_hour, last_hour) = whole(HOUR, first, last);
    add(by_sums(MINUTE, first, first_hour)?);
    add(by_sums(MINUTE, last_hour, last)?);
    add(by_sums(HOUR, first_hour, last_hour)?);
    Ok((NanoUsd(amount), unsigned(requests)))
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
fn first_id(millis: i64) -> Vec<u8> {
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
}
