//! Endpoints as rows. `DEFAULT` follows the newest READY version; other names are not made yet.
//!
//! ```text
//!              first version                 READY                  next version
//!  (runtime) ─────────────────► CREATING ───────────────► READY ◄───────────────────► UPDATING
//!                                   │                       │  READY (moved) or failed (back)
//!                                   ▼ failed                ▼ runtime deleted
//!                             CREATE_FAILED ───────────► DELETING
//! ```
//! While nothing is live a next version leads back to CREATING. An endpoint with a live version serves it in every
//! status but DELETING.

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, UnixMillis};
use rusqlite::{Row, params};

use crate::columns::{Number, Word, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::EndpointRecord;

/// Returns the endpoints of a runtime, DEFAULT first.
pub(crate) fn list(db: &Db, runtime: &RuntimeId) -> Result<Vec<EndpointRecord>, Fault> {
    db.all(
        "SELECT runtime, name, live, target, status, created_at, updated_at FROM endpoint
         WHERE runtime = ?1 ORDER BY name <> 'DEFAULT', name",
        [runtime.as_str()],
        record,
    )
}

/// Returns the first endpoint, by name, that serves the version.
pub(crate) fn serving(db: &Db, runtime: &RuntimeId, version: RuntimeVersion) -> Result<Option<EndpointName>, Fault> {
    db.first(
        "SELECT name FROM endpoint WHERE runtime = ?1 AND live = ?2 ORDER BY name LIMIT 1",
        params![runtime.as_str(), version.get()],
        |row| Ok(row.get::<_, Word<_>>("name")?.0),
    )
}

/// Inserts `DEFAULT` of a runtime whose first version is being made.
pub(crate) fn insert_default(db: &Db, runtime: &RuntimeId, at: UnixMillis) -> Result<(), Fault> {
    db.execute(
        "INSERT INTO endpoint (runtime, name, target, status, created_at, updated_at)
         VALUES (?1, 'DEFAULT', 1, ?2, ?3, ?3)",
        params![runtime.as_str(), RuntimeStatus::Creating.as_str(), at.0],
    )?;
    Ok(())
}

/// `DEFAULT` is to serve the version, once that is READY.
pub(crate) fn aim_default(db: &Db, runtime: &RuntimeId, version: RuntimeVersion, at: UnixMillis) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET target = ?2, status = iif(live IS NULL, 'CREATING', 'UPDATING'), updated_at = ?3
         WHERE runtime = ?1 AND name = 'DEFAULT'",
        params![runtime.as_str(), version.get(), at.0],
    )?;
    Ok(())
}

/// `DEFAULT` serves the version, which is READY.
pub(crate) fn move_default(db: &Db, runtime: &RuntimeId, version: RuntimeVersion, at: UnixMillis) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET live = ?2, target = ?2, status = 'READY', updated_at = ?3
         WHERE runtime = ?1 AND name = 'DEFAULT'",
        params![runtime.as_str(), version.get(), at.0],
    )?;
    db.mark_resolve_changed();
    Ok(())
}

/// `DEFAULT` stays with what it serves: its target failed.
pub(crate) fn keep_default(db: &Db, runtime: &RuntimeId, at: UnixMillis) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET target = coalesce(live, target), status = iif(live IS NULL, 'CREATE_FAILED', 'READY'),
             updated_at = ?2
         WHERE runtime = ?1 AND name = 'DEFAULT'",
        params![runtime.as_str(), at.0],
    )?;
    Ok(())
}

/// Endpoints that have never served and aim at a version that goes away aim at the newest of the others.
pub(crate) fn aim_elsewhere(db: &Db, runtime: &RuntimeId, version: RuntimeVersion) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET target = (SELECT max(version) FROM version WHERE runtime = ?1 AND version <> ?2)
         WHERE runtime = ?1 AND target = ?2",
        params![runtime.as_str(), version.get()],
    )?;
    Ok(())
}

fn record(row: &Row<'_>) -> Result<EndpointRecord, Fault> {
    Ok(EndpointRecord {
        runtime: row.get::<_, Word<_>>("runtime")?.0,
        name: row.get::<_, Word<_>>("name")?.0,
        live: row.get::<_, Option<Number>>("live")?.map(|number| number.0),
        target: row.get::<_, Number>("target")?.0,
        status: row.get::<_, Word<_>>("status")?.0,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}
