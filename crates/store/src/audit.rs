//! The audit log as rows, in the order in which they were written.

use innkeep_types::limits::AUDIT_QUEUE;
use innkeep_types::{AuditEvent, AuditOutcome, UnixMillis};
use rusqlite::{Row, params};

use crate::columns::{Word, millis};
use crate::db::Db;
use crate::error::Fault;

/// Which events to list; what is none is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// At this time or later.
    pub since: Option<UnixMillis>,
    /// Of this principal, or with this access key.
    pub principal: Option<String>,
    /// Of this name.
    pub action: Option<String>,
    /// With this outcome.
    pub outcome: Option<AuditOutcome>,
}

/// Appends events.
pub(crate) fn append(db: &Db, events: &[AuditEvent]) -> Result<(), Fault> {
    for event in events {
        db.execute(
            "INSERT INTO audit (at, principal, access_key_id, action, resource, session, outcome, error, statement, request, source, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                event.at.0,
                event.principal,
                event.access_key_id,
                event.action,
                event.resource,
                event.session,
                event.outcome.as_str(),
                event.error,
                event.statement,
                event.request,
                event.source,
                i64::try_from(event.count).unwrap_or(i64::MAX)
            ],
        )?;
    }
    Ok(())
}

/// Returns up to `limit` events that were written after the one with the number `after`, with their numbers.
pub(crate) fn list(db: &Db, filter: &AuditFilter, after: i64, limit: u32) -> Result<Vec<(i64, AuditEvent)>, Fault> {
    let after = after.max(begin(db, filter.since)?);
    db.all(
        "SELECT * FROM audit
         WHERE id > ?1 AND at >= ?2 AND (?3 IS NULL OR principal = ?3 OR access_key_id = ?3)
             AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR outcome = ?5)
         ORDER BY id LIMIT ?6",
        params![
            after,
            filter.since.map_or(i64::MIN, |since| since.0),
            filter.principal,
            filter.action,
            filter.outcome.map(AuditOutcome::as_str),
            limit
        ],
        |row| Ok((row.get("id")?, event(row)?)),
    )
}

/// Returns a number before those of all events since that time, so that older rows are not read. Events are written in about the order
/// of their times: none is overtaken by more than a queue's worth.
fn begin(db: &Db, since: Option<UnixMillis>) -> Result<i64, Fault> {
    let Some(since) = since else { return Ok(0) };
    let first = db
        .first("SELECT id FROM audit WHERE at >= ?1 ORDER BY at LIMIT 1", [since.0], |row| Ok(row.get::<_, i64>(0)?))?;
    Ok(first.map_or(0, |first| first - i64::try_from(AUDIT_QUEUE).unwrap_or(i64::MAX)))
}

/// Removes events before `time`, and returns how many.
pub(crate) fn forget(db: &Db, time: UnixMillis) -> Result<usize, Fault> {
    Ok(db.execute("DELETE FROM audit WHERE at < ?1", [time.0])?)
}

fn event(row: &Row<'_>) -> Result<AuditEvent, Fault> {
    Ok(AuditEvent {
        at: millis(row, "at")?,
        principal: row.get("principal")?,
        access_key_id: row.get("access_key_id")?,
        action: row.get("action")?,
        resource: row.get("resource")?,
        session: row.get("session")?,
        outcome: row.get::<_, Word<_>>("outcome")?.0,
        error: row.get("error")?,
        statement: row.get("statement")?,
        request: row.get("request")?,
        source: row.get("source")?,
        count: u64::try_from(row.get::<_, i64>("count")?).unwrap_or_default(),
    })
}
