//! Runtimes as rows, without their versions' contents.

use innkeep_types::{RuntimeId, RuntimeName, UnixMillis};
use rusqlite::{Row, params};

use crate::columns::{Json, Number, Word, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::{NewRuntime, RuntimeRecord};

const SELECT: &str = "SELECT r.id, r.name, v.version, v.status, r.created_at, r.updated_at, r.tags
    FROM runtime r JOIN version v ON v.runtime = r.id
    AND v.version = (SELECT max(version) FROM version WHERE runtime = r.id)";

/// Returns the runtime.
pub(crate) fn get(db: &Db, id: &RuntimeId) -> Result<Option<RuntimeRecord>, Fault> {
    db.first(&format!("{SELECT} WHERE r.id = ?1"), [id.as_str()], record)
}

/// Returns the runtime that has the name.
pub(crate) fn find(db: &Db, name: &RuntimeName) -> Result<Option<RuntimeRecord>, Fault> {
    db.first(&format!("{SELECT} WHERE r.name = ?1"), [name.as_str()], record)
}

/// Inserts the runtime; its next version is the first.
pub(crate) fn insert(db: &Db, new: &NewRuntime) -> Result<(), Fault> {
    db.execute(
        "INSERT INTO runtime (id, name, tags, next_version, created_at, updated_at) VALUES (?1, ?2, ?3, 1, ?4, ?4)",
        params![new.id.as_str(), new.name.as_str(), Json(&new.tags), new.at.0],
    )?;
    Ok(())
}

/// Notes that something of the runtime changed.
pub(crate) fn touch(db: &Db, id: &RuntimeId, at: UnixMillis) -> Result<(), Fault> {
    db.execute("UPDATE runtime SET updated_at = ?2 WHERE id = ?1", params![id.as_str(), at.0])?;
    Ok(())
}

fn record(row: &Row<'_>) -> Result<RuntimeRecord, Fault> {
    Ok(RuntimeRecord {
        id: row.get::<_, Word<_>>("id")?.0,
        name: row.get::<_, Word<_>>("name")?.0,
        latest: row.get::<_, Number>("version")?.0,
        // Deleting the whole runtime marks every version.
        status: row.get::<_, Word<_>>("status")?.0,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
        tags: row.get::<_, Json<_>>("tags")?.0,
    })
}
