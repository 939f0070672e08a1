//! Sandboxes as rows that wait for a session.

use innkeep_types::SandboxId;
use rusqlite::params;

use crate::columns::{Number, Word, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::PoolMemberRecord;

/// Inserts a member.
pub(crate) fn put(db: &Db, record: &PoolMemberRecord) -> Result<(), Fault> {
    db.execute(
        "INSERT OR REPLACE INTO pool_member (sandbox, runtime, endpoint, version, tier, started_at, made_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            record.sandbox.as_str(),
            record.runtime.as_str(),
            record.endpoint.as_str(),
            record.version.get(),
            record.tier.as_str(),
            record.started_at.0,
            record.made_of
        ],
    )?;
    Ok(())
}

/// Removes one that does not wait any more; nothing, if it is none.
pub(crate) fn remove(db: &Db, sandbox: &SandboxId) -> Result<(), Fault> {
    db.execute("DELETE FROM pool_member WHERE sandbox = ?1", [sandbox.as_str()])?;
    Ok(())
}

/// Returns all, oldest first.
pub(crate) fn list(db: &Db) -> Result<Vec<PoolMemberRecord>, Fault> {
    db.all(
        "SELECT sandbox, runtime, endpoint, version, tier, started_at, made_of FROM pool_member
         ORDER BY started_at, sandbox",
        [],
        |row| {
            Ok(PoolMemberRecord {
                sandbox: row.get::<_, Word<_>>("sandbox")?.0,
                runtime: row.get::<_, Word<_>>("runtime")?.0,
                endpoint: row.get::<_, Word<_>>("endpoint")?.0,
                version: row.get::<_, Number>("version")?.0,
                tier: row.get::<_, Word<_>>("tier")?.0,
                started_at: millis(row, "started_at")?,
                made_of: row.get("made_of")?,
            })
        },
    )
}
