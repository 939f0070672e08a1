//! Sessions as rows: the present or last sandbox of each.

use innkeep_types::{RequestId, RuntimeId, SessionKey, SessionOwner, UnixMillis};
use rusqlite::{Row, params};

use crate::columns::{Json, Number, Word, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::SessionRecord;
use crate::{pool_members, sandboxes};

const SELECT: &str =
    "SELECT runtime, endpoint, session, sandbox, version, tier, started_at, started_by, owner, stopped_at, stop_reason
     FROM session";

/// Inserts or replaces a session's record. Its sandbox waits for no session any more.
pub(crate) fn put(db: &Db, record: &SessionRecord) -> Result<(), Fault> {
    let SessionKey { runtime, endpoint, session } = &record.key;
    let (stopped_at, reason) = record.stopped.as_ref().map(|(at, reason)| (at.0, Json(reason))).unzip();
    db.execute(
        "INSERT OR REPLACE INTO session
             (runtime, endpoint, session, sandbox, version, tier, started_at, started_by, owner, stopped_at, stop_reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            runtime.as_str(),
            endpoint.as_str(),
            session.as_str(),
            record.sandbox.as_str(),
            record.version.get(),
            record.tier.as_str(),
            record.started_at.0,
            record.started_by.as_ref().map(RequestId::as_str),
            record.owner.as_ref().map(SessionOwner::as_bytes),
            stopped_at,
            reason
        ],
    )?;
    pool_members::remove(db, &record.sandbox)?;
    sandboxes::put(db, record)
}

/// Returns a session's record.
pub(crate) fn get(db: &Db, key: &SessionKey) -> Result<Option<SessionRecord>, Fault> {
    db.first(
        &format!("{SELECT} WHERE runtime = ?1 AND endpoint = ?2 AND session = ?3"),
        [key.runtime.as_str(), key.endpoint.as_str(), key.session.as_str()],
        record,
    )
}

/// Returns sessions, newest start first.
pub(crate) fn list(
    db: &Db,
    runtime: Option<&RuntimeId>,
    live_only: bool,
    limit: u32,
) -> Result<Vec<SessionRecord>, Fault> {
    // Spelled out for each case, so that each finds its index.
    let of_runtime = if runtime.is_some() { "runtime = ?1" } else { "?1 IS NULL" };
    let live = if live_only { "AND stopped_at IS NULL" } else { "" };
    db.all(
        &format!("{SELECT} WHERE {of_runtime} {live} ORDER BY started_at DESC LIMIT ?2"),
        params![runtime.map(RuntimeId::as_str), limit],
        record,
    )
}

/// Removes those that ended before `time`, and returns how many. One that has a sandbox has not ended.
pub(crate) fn forget(db: &Db, time: UnixMillis) -> Result<usize, Fault> {
    Ok(db.execute("DELETE FROM session WHERE stopped_at < ?1", [time.0])?)
}

fn record(row: &Row<'_>) -> Result<SessionRecord, Fault> {
    let reason = row.get::<_, Option<Json<_>>>("stop_reason")?.map(|json| json.0);
    let stopped_at = row.get::<_, Option<i64>>("stopped_at")?.map(UnixMillis);
    Ok(SessionRecord {
        key: SessionKey {
            runtime: row.get::<_, Word<_>>("runtime")?.0,
            endpoint: row.get::<_, Word<_>>("endpoint")?.0,
            session: row.get::<_, Word<_>>("session")?.0,
        },
        sandbox: row.get::<_, Word<_>>("sandbox")?.0,
        version: row.get::<_, Number>("version")?.0,
        tier: row.get::<_, Word<_>>("tier")?.0,
        started_at: millis(row, "started_at")?,
        started_by: row.get::<_, Option<Word<_>>>("started_by")?.map(|word| word.0),
        owner: row.get::<_, Option<[u8; 32]>>("owner")?.map(SessionOwner::new),
        stopped: stopped_at.zip(reason),
    })
}
