//! Keyset pages of short lists that are read whole and sorted by something else than their age.
//!
//! A cursor holds the sort values of the last row and not its place, so a walk goes on where it was when
//! that row was changed or deleted meanwhile (management-api 5). Must never be used for a list that can
//! grow without bound. Start at [`Sorted::page`].

use std::cmp::Reverse;

use data_encoding::BASE64URL_NOPAD;
use lw_core::Error;
use serde_json::{Value, json};

use crate::page::{asked, invalid_cursor};
use crate::serve::Call;

/// The most bytes of a text that a cursor carries: three of them fit into one.
const TEXT: usize = 200;
/// Stands between the values of a cursor.
const BETWEEN: char = '\0';

/// One value that a list is sorted by.
pub(crate) trait Part: Ord + Sized {
    /// The value in a cursor; without NUL.
    fn write(&self) -> String;
    /// Reads [`Self::write`].
    fn read(text: &str) -> Option<Self>;
}

impl Part for bool {
    fn write(&self) -> String {
        u8::from(*self).to_string()
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }
}

impl Part for i64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Part for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl<T: Part> Part for Reverse<T> {
    fn write(&self) -> String {
        self.0.write()
    }

    fn read(text: &str) -> Option<Self> {
        T::read(text).map(Reverse)
    }
}

/// Everything that a list is sorted by. Its last part tells any two rows apart.
pub(crate) trait Key: Ord + Sized {
    /// The text inside a cursor.
    fn write(&self) -> String;
    /// Reads [`Self::write`].
    fn read(text: &str) -> Option<Self>;
}

impl<A: Part, B: Part> Key for (A, B) {
    fn write(&self) -> String {
        format!("{}{BETWEEN}{}", self.0.write(), self.1.write())
    }

    fn read(text: &str) -> Option<Self> {
        let (a, b) = text.split_once(BETWEEN)?;
        let whole = !b.is_empty() && !b.contains(BETWEEN);
        whole.then_some((A::read(a)?, B::read(b)?))
    }
}

impl<A: Part, B: Part, C: Part> Key for (A, B, C) {
    fn write(&self) -> String {
        let (a, b, c) = (self.0.write(), self.1.write(), self.2.write());
        format!("{a}{BETWEEN}{b}{BETWEEN}{c}")
    }

    fn read(text: &str) -> Option<Self> {
        let (a, rest) = text.split_once(BETWEEN)?;
        let (b, c) = <(String, String)>::read(rest)?;
        Some((A::read(a)?, B::read(&b)?, C::read(&c)?))
    }
}

/// What a list is sorted by when it is sorted by a name: as much of it as fits into a cursor. Longer names
/// that begin alike are told apart by the next part of the key.
pub(crate) fn name(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars().filter(|letter| *letter != BETWEEN) {
        if out.len() + letter.len_utf8() > TEXT {
            break;
        }
        out.push(letter);
    }
    out
}

/// Which part of a sorted list is asked for.
#[derive(Debug)]
pub(crate) struct Sorted<K> {
    limit: usize,
    after: Option<K>,
}

impl<K: Key> Sorted<K> {
    /// `?limit&cursor`.
    ///
    /// # Errors
    /// `validation_error` at `query`, or `invalid_cursor`.
    pub(crate) fn of<P>(call: &Call<P>) -> Result<Self, Error> {
        let (limit, text) = asked(call)?;
        let after = match text {
            Some(text) => Some(read(text).ok_or_else(invalid_cursor)?),
            None => None,
        };
        Ok(Self { limit, after })
    }

    /// The answer of the list: sorts `rows` and shows those of the page.
    pub(crate) fn page<T>(
        &self,
        rows: Vec<T>,
        key: impl Fn(&T) -> K,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let mut rows: Vec<(K, T)> = rows.into_iter().map(|row| (key(&row), row)).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let wanted: Vec<(K, T)> = rows
            .into_iter()
            .filter(|(key, _)| self.after.as_ref().is_none_or(|after| key > after))
            .take(self.limit)
            .collect();
        let full = wanted.len() == self.limit;
        let next = wanted.last().filter(|_| full).map(|(key, _)| write(key));
        let data: Vec<Value> = wanted.iter().map(|(_, row)| show(row)).collect();
        json!({ "data": data, "next_cursor": next })
    }
}

fn write(key: &impl Key) -> String {
    BASE64URL_NOPAD.encode(key.write().as_bytes())
}

fn read<K: Key>(text: &str) -> Option<K> {
    let bytes = BASE64URL_NOPAD
        .decode(text.trim_end_matches('=').as_bytes())
        .ok()?;
    K::read(&String::from_utf8(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = (bool, String, String);

    fn walk(rows: &[Row], limit: usize, mut between: impl FnMut(&mut Vec<Row>)) -> Vec<Row> {
        let (mut rows, mut seen) = (rows.to_vec(), Vec::new());
        let mut after = None;
        loop {
            let sorted = Sorted::<Row> { limit, after };
            let page = sorted.page(rows.clone(), Row::clone, |row| json!(row));
            for row in page["data"].as_array().expect("rows") {
                seen.push(serde_json::from_value(row.clone()).expect("a row"));
            }
            let Some(cursor) = page["next_cursor"].as_str() else {
                return seen;
            };
            assert!(cursor.len() <= 500, "{}", cursor.len());
            after = Some(read(cursor).expect("a cursor"));
            between(&mut rows);
        }
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row = (any::<bool>(), "\\PC{0,128}").prop_map(|(first, text)| (first, name(&text)));
        proptest::collection::vec(row, 0..30).prop_map(|rows| {
            let numbered = rows.into_iter().enumerate();
            numbered
                .map(|(place, (first, text))| (first, text, format!("{place:0>103}")))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_walk_sees_every_row_once_and_in_order(rows in rows(), limit in 1_usize..7) {
            let mut sorted = rows.clone();
            sorted.sort();
            prop_assert_eq!(walk(&rows, limit, |_| {}), sorted);
        }

        #[test]
        fn deleting_what_was_seen_does_not_break_a_walk(rows in rows(), limit in 1_usize..7) {
            let mut sorted = rows.clone();
            sorted.sort();
            let mut gone = 0;
            let seen = walk(&rows, limit, |rows| {
                rows.sort();
                gone += limit;
                rows.drain(..limit.min(rows.len()));
            });
            prop_assert_eq!(seen, sorted);
        }

        #[test]
        fn what_is_no_cursor_never_panics(text in "\\PC{0,60}") {
            let _ = read::<Row>(&text);
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_none() {
        let two = write(&(Reverse(5_i64), "id".to_owned()));
        assert!(read::<(Reverse<i64>, String)>(&two).is_some());
        assert!(read::<Row>(&two).is_none());
        let three = write(&(true, "n".to_owned(), "id".to_owned()));
        assert!(read::<(Reverse<i64>, String)>(&three).is_none());
    }
}
