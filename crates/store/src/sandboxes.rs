//! Sandboxes as rows: all that a session had, for as long as their logs are kept.

use innkeep_types::{EndpointName, RuntimeId, SessionId, SessionKey, UnixMillis};
use rusqlite::params;

use crate::columns::{Number, Word};
use crate::db::Db;
use crate::error::Fault;
use crate::records::{SandboxFilter, SandboxRecord, SessionRecord};

/// Inserts the sandbox of a session's record, or notes its end.
pub(crate) fn put(db: &Db, record: &SessionRecord) -> Result<(), Fault> {
    let SessionKey { runtime, endpoint, session } = &record.key;
    db.execute(
        "INSERT INTO sandbox (id, runtime, endpoint, session, version, started_at, ended_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at",
        params![
            record.sandbox.as_str(),
            runtime.as_str(),
            endpoint.as_str(),
            session.as_str(),
            record.version.get(),
            record.started_at.0,
            record.stopped.as_ref().map(|(at, _)| at.0)
        ],
    )?;
    Ok(())
}

/// Returns sandboxes, those that live first, then by end, newest first.
pub(crate) fn list(db: &Db, filter: &SandboxFilter, limit: u32) -> Result<Vec<SandboxRecord>, Fault> {
    db.all(
        "SELECT id, runtime, endpoint, session, version FROM sandbox
         WHERE (ended_at IS NULL OR ended_at >= ?1) AND (?2 IS NULL OR runtime = ?2)
             AND (?3 IS NULL OR endpoint = ?3) AND (?4 IS NULL OR session = ?4)
         ORDER BY ended_at DESC NULLS FIRST, started_at DESC LIMIT ?5",
        params![
            filter.ended_since.0,
            filter.runtime.as_ref().map(RuntimeId::as_str),
            filter.endpoint.as_ref().map(EndpointName::as_str),
            filter.session.as_ref().map(SessionId::as_str),
            limit
        ],
        |row| {
            Ok(SandboxRecord {
                id: row.get::<_, Word<_>>("id")?.0,
                key: SessionKey {
                    runtime: row.get::<_, Word<_>>("runtime")?.0,
                    endpoint: row.get::<_, Word<_>>("endpoint")?.0,
                    session: row.get::<_, Word<_>>("session")?.0,
                },
                version: row.get::<_, Number>("version")?.0,
            })
        },
    )
}

/// Removes those that ended before `time`.
pub(crate) fn forget(db: &Db, time: UnixMillis) -> Result<(), Fault> {
    db.execute("DELETE FROM sandbox WHERE ended_at < ?1", [time.0])?;
    Ok(())
}
