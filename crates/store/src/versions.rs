//! Versions as rows: reading them, and inserting one. The environment has a sealed column of its own.

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, Settings, UnixMillis, VersionConfig};
use rusqlite::{Row, params};

use crate::columns::{Json, Number, Word, corrupt, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::{Deployed, VersionRecord};

const SELECT: &str = "SELECT r.id, r.name, v.version, v.config, v.environment, v.settings, v.status, v.failure_reason,
    v.failure_log, v.bundle, r.created_at, v.updated_at FROM version v JOIN runtime r ON r.id = v.runtime";

/// Returns the version, or the newest.
pub(crate) fn get(
    db: &Db,
    runtime: &RuntimeId,
    version: Option<RuntimeVersion>,
) -> Result<Option<VersionRecord>, Fault> {
    db.first(
        &format!(
            "{SELECT} WHERE v.runtime = ?1 AND v.version = coalesce(?2, v.version) ORDER BY v.version DESC LIMIT 1"
        ),
        params![runtime.as_str(), version.map(RuntimeVersion::get)],
        |row| record(db, row),
    )
}

/// Returns the newest version of each runtime, by (creation, id), after `after`.
pub(crate) fn newest(
    db: &Db,
    after: Option<&(UnixMillis, RuntimeId)>,
    limit: u32,
) -> Result<Vec<VersionRecord>, Fault> {
    let (time, id) = after.map_or((i64::MIN, ""), |(time, id)| (time.0, id.as_str()));
    db.all(
        &format!(
            "{SELECT} WHERE (r.created_at, r.id) > (?1, ?2)
             AND v.version = (SELECT max(version) FROM version WHERE runtime = r.id)
             ORDER BY r.created_at, r.id LIMIT ?3"
        ),
        params![time, id, limit],
        |row| record(db, row),
    )
}

/// Returns versions of a runtime, newest first, older than `before`.
pub(crate) fn list(
    db: &Db,
    runtime: &RuntimeId,
    before: Option<RuntimeVersion>,
    limit: u32,
) -> Result<Vec<VersionRecord>, Fault> {
    db.all(
        &format!("{SELECT} WHERE v.runtime = ?1 AND v.version < ?2 ORDER BY v.version DESC LIMIT ?3"),
        params![runtime.as_str(), before.map_or(i64::MAX, |version| i64::from(version.get())), limit],
        |row| record(db, row),
    )
}

/// Returns the version that the endpoint serves, unless its runtime is being deleted.
pub(crate) fn served(db: &Db, runtime: &RuntimeId, endpoint: &EndpointName) -> Result<Option<VersionRecord>, Fault> {
    db.first(
        &format!(
            "{SELECT} JOIN endpoint e ON e.runtime = v.runtime AND e.live = v.version
             WHERE v.runtime = ?1 AND e.name = ?2 AND NOT r.deleting"
        ),
        [runtime.as_str(), endpoint.as_str()],
        |row| record(db, row),
    )
}

/// Returns every version that is being made or deleted.
pub(crate) fn unfinished(db: &Db) -> Result<Vec<VersionRecord>, Fault> {
    let sql = format!(
        "{SELECT} WHERE v.status IN ('CREATING', 'UPDATING', 'DELETING') ORDER BY v.updated_at, v.runtime, v.version"
    );
    db.all(&sql, [], |row| record(db, row))
}

/// Returns what each version is made of on disk.
pub(crate) fn deployed(db: &Db) -> Result<Vec<Deployed>, Fault> {
    db.all("SELECT config, bundle FROM version", [], |row| {
        let config: VersionConfig = row.get::<_, Json<_>>("config")?.0;
        Ok((config.artifact, row.get::<_, Option<Word<_>>>("bundle")?.map(|word| word.0)))
    })
}

/// Inserts a version whose making begins.
pub(crate) fn insert(
    db: &Db,
    runtime: &RuntimeId,
    version: RuntimeVersion,
    mut config: VersionConfig,
    settings: &Settings,
    at: UnixMillis,
) -> Result<(), Fault> {
    let environment = std::mem::take(&mut config.environment);
    let environment =
        serde_json::to_vec(&environment).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    let environment = db.sealer.seal(&environment_of(runtime, version), environment)?;
    db.execute(
        "INSERT INTO version (runtime, version, status, config, environment, settings, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            runtime.as_str(),
            version.get(),
            first_status(version).as_str(),
            Json(&config),
            environment,
            Json(settings),
            at.0
        ],
    )?;
    Ok(())
}

/// Returns the status with which the making of a version begins.
pub(crate) fn first_status(version: RuntimeVersion) -> RuntimeStatus {
    if version == RuntimeVersion::FIRST { RuntimeStatus::Creating } else { RuntimeStatus::Updating }
}

fn record(db: &Db, row: &Row<'_>) -> Result<VersionRecord, Fault> {
    let runtime: RuntimeId = row.get::<_, Word<_>>("id")?.0;
    let version = row.get::<_, Number>("version")?.0;
    let mut config: VersionConfig = row.get::<_, Json<_>>("config")?.0;
    let environment = db.sealer.open(&environment_of(&runtime, version), row.get("environment")?)?;
    config.environment = serde_json::from_slice(&environment).map_err(corrupt)?;
    Ok(VersionRecord {
        runtime,
        name: row.get::<_, Word<_>>("name")?.0,
        version,
        config,
        settings: row.get::<_, Json<_>>("settings")?.0,
        status: row.get::<_, Word<_>>("status")?.0,
        failure_reason: row.get("failure_reason")?,
        failure_log: row.get::<_, Json<_>>("failure_log")?.0,
        bundle: row.get::<_, Option<Word<_>>>("bundle")?.map(|word| word.0),
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}

fn environment_of(runtime: &RuntimeId, version: RuntimeVersion) -> String {
    format!("version/{runtime}/{version}/environment")
}
