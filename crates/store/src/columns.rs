//! How the domain's types stand in columns: words, JSON, version numbers, times. What does not parse is an error of its
//! column.

use std::error::Error;

use innkeep_types::{RuntimeVersion, UnixMillis};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};
use rusqlite::{Row, ToSql};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde::{Deserialize, Serialize};

/// A text column of an id or of an enum without data, spelled as serde spells it.
pub(crate) struct Word<T>(pub(crate) T);

impl<T: for<'de> Deserialize<'de>> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word: StrDeserializer<'_, WordError> = value.as_str()?.into_deserializer();
        T::deserialize(word).map(Self).map_err(FromSqlError::other)
    }
}

/// A text column of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(ToSqlOutput::from)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    }
}

/// An integer column of a version's number.
pub(crate) struct Number(pub(crate) RuntimeVersion);

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let n = u32::column_result(value)?;
        RuntimeVersion::new(n).map(Self).ok_or(FromSqlError::OutOfRange(i64::from(n)))
    }
}

/// Returns the time in an integer column.
pub(crate) fn millis(row: &Row<'_>, column: &str) -> rusqlite::Result<UnixMillis> {
    row.get(column).map(UnixMillis)
}

/// Returns the error of a sealed column whose content, once opened, is not what it should be.
pub(crate) fn corrupt(error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
}
