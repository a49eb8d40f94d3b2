//! Columns to values and back. What does not fit its type is [`StoreError::Corrupt`].

use lw_core::id::InvalidId;
use lw_core::{
    ApiKeyId, BudgetId, GroupId, ModelProviderId, OrganizationId, ProjectId, RoleBindingId, RoleId,
    RoutingPolicyId, TeamId, UnixMicros, UserId, VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::config::{Cursor, Page};
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer as _};

use crate::sqlite::DbError;

pub(super) fn corrupt(column: &str, why: &dyn std::fmt::Display) -> DbError {
    DbError::Store(StoreError::Corrupt(format!("column {column}: {why}")))
}

/// An id that reads from its text.
pub(super) trait TextId: Sized {
    fn read(text: &str) -> Result<Self, InvalidId>;
    fn text(&self) -> &str;
}

macro_rules! text_ids {
    ($($name:ident),+) => {
        $(impl TextId for $name {
            fn read(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }

            fn text(&self) -> &str {
                self.as_str()
            }
        })+
    };
}

text_ids!(
    OrganizationId,
    TeamId,
    ProjectId,
    UserId,
    ApiKeyId,
    ModelProviderId,
    VirtualKeyId,
    RoutingPolicyId,
    BudgetId,
    GroupId,
    RoleId,
    RoleBindingId
);

/// The text of an optional id.
pub(super) fn text<T: TextId>(id: Option<&T>) -> Option<&str> {
    id.map(TextId::text)
}

pub(super) fn get<T: FromSql>(row: &Row<'_>, column: &str) -> Result<T, DbError> {
    Ok(row.get(column)?)
}

pub(super) fn id<T: TextId>(row: &Row<'_>, column: &str) -> Result<T, DbError> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|error| corrupt(column, &error))?;
    T::read(text).map_err(|error| corrupt(column, &error))
}

pub(super) fn id_option<T: TextId>(row: &Row<'_>, column: &str) -> Result<Option<T>, DbError> {
    let text = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|error| corrupt(column, &error))?;
    text.map(T::read)
        .transpose()
        .map_err(|error| corrupt(column, &error))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<UnixMicros, DbError> {
    get(row, column).map(UnixMicros)
}

pub(super) fn time_option(row: &Row<'_>, column: &str) -> Result<Option<UnixMicros>, DbError> {
    Ok(get::<Option<i64>>(row, column)?.map(UnixMicros))
}

pub(super) fn micros(time: Option<UnixMicros>) -> Option<i64> {
    time.map(|time| time.0)
}

/// A word of a closed set.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, DbError> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|error| corrupt(column, &error))?;
    parse(text).ok_or_else(|| corrupt(column, &"an unknown word"))
}

/// A word of a closed set that is stored as it is serialised.
pub(super) fn serde_word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, DbError> {
    word(row, column, |text| {
        let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
        T::deserialize(text).ok()
    })
}

/// The word that [`serde_word`] reads back.
pub(super) fn to_word(value: &impl Serialize) -> Result<String, DbError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) => Err(corrupt("word", &"more than a word")),
        Err(error) => Err(corrupt("word", &error)),
    }
}

/// JSON text. What is wrong with it is told by position only: the text may be private.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, DbError> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|error| corrupt(column, &error))?;
    from_json(column, text)
}

pub(super) fn json_option<T: DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> Result<Option<T>, DbError> {
    let text = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|error| corrupt(column, &error))?;
    text.map(|text| from_json(column, text)).transpose()
}

fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| {
        corrupt(
            column,
            &format_args!("not the expected JSON at byte {}", error.column()),
        )
    })
}

pub(super) fn to_json(column: &str, value: &impl Serialize) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| corrupt(column, &error))
}

/// A count that the port gives as unsigned and SQL keeps as signed.
pub(super) fn count(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn count_option(row: &Row<'_>, column: &str) -> Result<Option<u64>, DbError> {
    get::<Option<i64>>(row, column)?
        .map(|value| u64::try_from(value).map_err(|error| corrupt(column, &error)))
        .transpose()
}

pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The sort key to go on below; without a cursor one that is above every row.
pub(super) fn below(after: Option<&Cursor>) -> (i64, &str) {
    after.map_or((i64::MAX, ""), |cursor| {
        (cursor.created_at.0, cursor.id.as_str())
    })
}

/// A page of at most `most` rows; it goes on when it is full.
pub(super) fn page<T>(rows: Vec<T>, most: usize, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let next = rows.last().filter(|_| rows.len() >= most).map(cursor);
    Page { rows, next }
}

/// What a row names must be there: foreign keys say so where they can, this where they cannot.
pub(super) fn must_exist(found: bool, what: &str) -> Result<(), DbError> {
    if found {
        Ok(())
    } else {
        let why = format!("a row names a {what} that its organization does not have");
        Err(DbError::Store(StoreError::Corrupt(why)))
    }
}
