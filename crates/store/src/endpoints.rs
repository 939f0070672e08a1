//! Endpoints as rows, and how `DEFAULT` follows the newest READY version. Callers move the named ones: see
//! [`crate::moves`].
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

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, UnixMillis};
use rusqlite::{Row, params};

use crate::columns::{Json, Number, Word, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::endpoint::EndpointRecord;

const SELECT: &str =
    "SELECT e.runtime, e.name, e.live, e.target, e.status, e.failure_reason, e.failure_log, e.description, e.tags,
    e.split, e.created_at, e.updated_at FROM endpoint e";

/// Returns the endpoint.
pub(crate) fn get(db: &Db, runtime: &RuntimeId, name: &EndpointName) -> Result<Option<EndpointRecord>, Fault> {
    db.first(&format!("{SELECT} WHERE e.runtime = ?1 AND e.name = ?2"), [runtime.as_str(), name.as_str()], record)
}

/// Returns up to `limit` endpoints of a runtime after the one called `after`, which may be gone by now: DEFAULT first, then by name.
pub(crate) fn list(
    db: &Db,
    runtime: &RuntimeId,
    after: Option<&EndpointName>,
    limit: u32,
) -> Result<Vec<EndpointRecord>, Fault> {
    let (is_named, name) = after.map_or((false, ""), |after| (!after.is_default(), after.as_str()));
    db.all(
        &format!(
            "{SELECT} WHERE e.runtime = ?1 AND (e.name <> 'DEFAULT', e.name) > (?2, ?3)
             ORDER BY e.name <> 'DEFAULT', e.name LIMIT ?4"
        ),
        params![runtime.as_str(), is_named, name, limit],
        record,
    )
}

/// Returns every endpoint of the runtime: there are few.
pub(crate) fn all(db: &Db, runtime: &RuntimeId) -> Result<Vec<EndpointRecord>, Fault> {
    list(db, runtime, None, u32::MAX)
}

/// Returns the named endpoints, of one runtime or all, whose creation, move or end was begun by itself.
pub(crate) fn unfinished(db: &Db, runtime: Option<&RuntimeId>) -> Result<Vec<EndpointRecord>, Fault> {
    db.all(
        &format!(
            "{SELECT} JOIN runtime r ON r.id = e.runtime
             WHERE e.status IN ('CREATING', 'UPDATING', 'DELETING') AND e.name <> 'DEFAULT' AND NOT r.deleting
             AND e.runtime = coalesce(?1, e.runtime) ORDER BY e.runtime, e.name"
        ),
        [runtime.map(RuntimeId::as_str)],
        record,
    )
}

/// Returns what an endpoint serves, with weights: the parts of its split, else the live version. Nothing, if it is DELETING or there
/// is none.
pub(crate) fn served(
    db: &Db,
    runtime: &RuntimeId,
    name: &EndpointName,
) -> Result<BTreeMap<RuntimeVersion, u32>, Fault> {
    let Some(endpoint) = get(db, runtime, name)? else { return Ok(BTreeMap::new()) };
    Ok(match endpoint {
        EndpointRecord { status: RuntimeStatus::Deleting, .. } => BTreeMap::new(),
        EndpointRecord { split, .. } if !split.is_empty() => split,
        EndpointRecord { live, .. } => live.into_iter().map(|version| (version, 1)).collect(),
    })
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
        "UPDATE endpoint SET target = ?2, status = iif(live IS NULL, 'CREATING', 'UPDATING'), failure_reason = NULL,
             updated_at = ?3
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

/// `DEFAULT` stays with what it serves: its target failed. While nothing is live, that is why it could not be created.
pub(crate) fn keep_default(db: &Db, runtime: &RuntimeId, reason: &str, at: UnixMillis) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET target = coalesce(live, target), status = iif(live IS NULL, 'CREATE_FAILED', 'READY'),
             failure_reason = iif(live IS NULL, ?2, NULL), updated_at = ?3
         WHERE runtime = ?1 AND name = 'DEFAULT'",
        params![runtime.as_str(), reason, at.0],
    )?;
    Ok(())
}

/// `DEFAULT`, if it has never served and aims at a version that goes away, aims at the newest of the others.
pub(crate) fn aim_elsewhere(db: &Db, runtime: &RuntimeId, version: RuntimeVersion) -> Result<(), Fault> {
    db.execute(
        "UPDATE endpoint SET target = (SELECT max(version) FROM version WHERE runtime = ?1 AND version <> ?2)
         WHERE runtime = ?1 AND target = ?2 AND name = 'DEFAULT'",
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
        failure_reason: row.get("failure_reason")?,
        failure_log: row.get::<_, Json<_>>("failure_log")?.0,
        description: row.get("description")?,
        tags: row.get::<_, Json<_>>("tags")?.0,
        split: row.get::<_, Json<_>>("split")?.0,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}
