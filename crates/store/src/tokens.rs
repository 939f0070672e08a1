//! Client tokens: a repeated request gets the first answer again and changes nothing.

use std::time::Duration;

use innkeep_types::{RuntimeId, RuntimeVersion, UnixMillis};
use rusqlite::params;

use crate::columns::{Number, Word, millis};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::{ClientToken, VersionRecord};
use crate::versions;

/// How long a token is remembered. Source: our choice; AWS publishes none.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// What a token was sent with; equal tokens of two operations, or on two runtimes, are strangers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    Create,
    Update(&'a RuntimeId),
    Delete(&'a RuntimeId),
}

impl<'a> Operation<'a> {
    fn key(self) -> (&'static str, &'a str) {
        match self {
            Self::Create => ("create", ""),
            Self::Update(runtime) => ("update", runtime.as_str()),
            Self::Delete(runtime) => ("delete", runtime.as_str()),
        }
    }
}

/// The request that first came with a token.
pub(crate) struct First {
    made: Option<(RuntimeId, RuntimeVersion)>,
    at: UnixMillis,
}

impl First {
    /// Returns the version that the request made, as it was then; none if it made none.
    pub(crate) fn answer(self, db: &Db) -> Result<Option<VersionRecord>, Fault> {
        let Some((runtime, version)) = self.made else { return Ok(None) };
        Ok(versions::get(db, &runtime, Some(version))?.map(|now| VersionRecord {
            status: versions::first_status(version),
            failure_reason: None,
            failure_log: Vec::new(),
            bundle: None,
            updated_at: self.at,
            ..now
        }))
    }
}

/// Returns the request that came with this token before, if one did. Forgets tokens that are too old.
pub(crate) fn find(
    db: &Db,
    operation: Operation<'_>,
    token: &ClientToken,
    now: UnixMillis,
) -> Result<Option<First>, Fault> {
    let oldest = now.0.saturating_sub(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX));
    db.execute("DELETE FROM client_token WHERE created_at <= ?1", [oldest])?;
    let (operation, scope) = operation.key();
    let found = db.first(
        "SELECT digest, runtime, version, created_at FROM client_token
         WHERE operation = ?1 AND scope = ?2 AND token = ?3",
        [operation, scope, &token.token],
        |row| {
            let runtime = row.get::<_, Option<Word<_>>>("runtime")?.map(|word| word.0);
            let version = row.get::<_, Option<Number>>("version")?.map(|number| number.0);
            Ok((row.get::<_, String>("digest")?, First { made: runtime.zip(version), at: millis(row, "created_at")? }))
        },
    )?;
    match found {
        Some((digest, _)) if digest != token.digest => Err(Error::TokenMismatch.into()),
        found => Ok(found.map(|(_, first)| first)),
    }
}

/// Remembers the request, and what it made.
pub(crate) fn remember(
    db: &Db,
    operation: Operation<'_>,
    token: &ClientToken,
    made: Option<(&RuntimeId, RuntimeVersion)>,
    now: UnixMillis,
) -> Result<(), Fault> {
    let (operation, scope) = operation.key();
    db.execute(
        "INSERT INTO client_token (operation, scope, token, digest, runtime, version, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            operation,
            scope,
            token.token,
            token.digest,
            made.map(|(runtime, _)| runtime.as_str()),
            made.map(|(_, version)| version.get()),
            now.0
        ],
    )?;
    Ok(())
}
