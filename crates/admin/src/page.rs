//! Lists in pages: keyset lists with an opaque cursor, and the numbered pages of the legacy families
//! (management-api 5).
//!
//! A cursor names the last row that was read, so a walk survives that the row is changed or deleted.
//! Must never count rows to build a keyset page. Start at [`Keyset`] and [`Numbered`].

use std::ops::RangeInclusive;

use data_encoding::BASE64URL_NOPAD;
use lw_core::{Code, Error, UnixMicros};
use lw_store::config::Cursor;
use serde_json::{Value, json};

use crate::input::{Problems, QUERY};
use crate::serve::Call;

/// Which part of a keyset list is asked for.
#[derive(Debug)]
pub(crate) struct Keyset {
    /// The most rows to read.
    pub(crate) limit: usize,
    /// Where the last page ended.
    pub(crate) after: Option<Cursor>,
}

impl Keyset {
    /// `?limit&cursor`.
    ///
    /// # Errors
    /// `validation_error` at `query`, or `invalid_cursor`.
    pub(crate) fn of<P>(call: &Call<P>) -> Result<Self, Error> {
        let (limit, text) = asked(call)?;
        let after = match text {
            Some(text) => Some(read_cursor(text).ok_or_else(invalid_cursor)?),
            None => None,
        };
        Ok(Self { limit, after })
    }
}

/// `?limit&cursor` of a keyset list, the cursor still as text.
///
/// # Errors
/// `validation_error` at `query`.
pub(crate) fn asked<P>(call: &Call<P>) -> Result<(usize, Option<&str>), Error> {
    let mut problems = Problems::of(QUERY);
    let limit = number(call, "limit", 50, 200, &mut problems);
    let text = cursor(call, &mut problems);
    problems.finish()?;
    Ok((limit, text))
}

/// The cursor of a request as text.
pub(crate) fn cursor<'a, P>(call: &'a Call<P>, problems: &mut Problems) -> Option<&'a str> {
    let text = call.query("cursor").filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.len() > 500) {
        problems.add("cursor", "too_big", "must be at most 500 characters long");
    }
    text
}

/// The refusal of a cursor that no list answered with.
pub(crate) fn invalid_cursor() -> Error {
    let message = "The cursor is not one that a list answered with.";
    Error::new(Code::InvalidCursor, message).tip("Leave `cursor` out to begin again.")
}

/// The answer of a keyset list.
pub(crate) fn keyset(data: &[Value], next: Option<&Cursor>) -> Value {
    json!({ "data": data, "next_cursor": next.map(write_cursor) })
}

pub(crate) fn write_cursor(cursor: &Cursor) -> String {
    BASE64URL_NOPAD.encode(format!("{}\0{}", cursor.created_at.0, cursor.id).as_bytes())
}

pub(crate) fn read_cursor(text: &str) -> Option<Cursor> {
    let bytes = BASE64URL_NOPAD
        .decode(text.trim_end_matches('=').as_bytes())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once('\0')?;
    let fine = !id.is_empty() && !id.contains('\0');
    fine.then_some(Cursor {
        created_at: UnixMicros(at.parse().ok()?),
        id: id.to_owned(),
    })
}

/// Which part of a numbered list is asked for.
#[derive(Debug)]
pub(crate) struct Numbered {
    page: usize,
    limit: usize,
}

impl Numbered {
    /// `?page&limit`.
    ///
    /// # Errors
    /// `validation_error` at `query`.
    pub(crate) fn of<P>(call: &Call<P>) -> Result<Self, Error> {
        let mut problems = Problems::of(QUERY);
        let page = number(call, "page", 1, 1_000_000, &mut problems);
        let limit = number(call, "limit", 50, 1000, &mut problems);
        problems.finish()?;
        Ok(Self { page, limit })
    }

    /// The answer of a numbered list.
    pub(crate) fn of_all(&self, all: Vec<Value>) -> Value {
        let Self { page, limit } = *self;
        let total = all.len();
        let data: Vec<Value> = all
            .into_iter()
            .skip((page - 1) * limit)
            .take(limit)
            .collect();
        json!({ "data": data, "pagination": { "page": page, "limit": limit, "total": total } })
    }
}

/// Which part of a list that is walked by offset is asked for.
#[derive(Debug)]
pub(crate) struct Offset {
    offset: usize,
    limit: usize,
}

impl Offset {
    /// `?offset&limit`.
    ///
    /// # Errors
    /// `validation_error` at `query`.
    pub(crate) fn of<P>(call: &Call<P>) -> Result<Self, Error> {
        let mut problems = Problems::of(QUERY);
        let offset = whole(call, "offset", 0, 0..=FARTHEST, &mut problems);
        let limit = number(call, "limit", 50, 1000, &mut problems);
        problems.finish()?;
        Ok(Self { offset, limit })
    }

    /// The answer of such a list; its rows are called `name`.
    pub(crate) fn of_all(&self, name: &str, all: Vec<Value>) -> Value {
        let Self { offset, limit } = *self;
        let total = all.len();
        let rows: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
        json!({ name: rows, "totalCount": total })
    }
}

/// The highest offset.
const FARTHEST: usize = 1_000_000_000;

/// A whole number of the query, with its default and its largest value.
pub(crate) fn number<P>(
    call: &Call<P>,
    name: &'static str,
    default: usize,
    most: usize,
    problems: &mut Problems,
) -> usize {
    whole(call, name, default, 1..=most, problems)
}

fn whole<P>(
    call: &Call<P>,
    name: &'static str,
    default: usize,
    range: RangeInclusive<usize>,
    problems: &mut Problems,
) -> usize {
    let Some(text) = call.query(name) else {
        return default;
    };
    match text.parse() {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let (least, most) = (range.start(), range.end());
            let text = format!("must be a whole number from {least} to {most}");
            problems.add(name, "invalid_value", text);
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_garbage_does_not() {
        let cursor = Cursor {
            created_at: UnixMicros(1_782_864_000_123_456),
            id: "vk_1".into(),
        };
        assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
        for text in [
            "x",
            "%%%",
            &BASE64URL_NOPAD.encode(b"1"),
            &BASE64URL_NOPAD.encode(b"1\0a\0b"),
        ] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }
}
