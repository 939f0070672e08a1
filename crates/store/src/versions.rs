//! Versions as rows: reading them, and inserting one. The environment has a sealed column of its own.

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, Settings, UnixMillis, VersionConfig};
use rusqlite::{Row, params};

use crate::columns::{Json, Number, Word, corrupt, millis};
use crate::db::Db;
use crate::endpoints;
use crate::error::Fault;
use crate::records::endpoint::Share;
use crate::records::{Deployed, ListedVersion, VersionRecord};

const SELECT: &str = "SELECT r.id, r.name, v.version, v.config, v.environment, v.settings, v.status, v.failure_reason,
    v.failure_log, v.bundle, r.created_at, v.updated_at FROM version v JOIN runtime r ON r.id = v.runtime";

/// What operators are shown of every runtime, without environments: to open each would cost more than all the rest.
const NEWEST: &str = "SELECT r.id, r.name, v.version, v.config, NULL AS environment, v.settings, v.status,
    v.failure_reason, v.failure_log, v.bundle, r.created_at, v.updated_at";

/// What pages of lists show: they are asked for often, and to parse whole configurations is most of their cost.
const LISTED: &str = "SELECT r.id, r.name, v.version, json_extract(v.config, '$.description') AS description, v.status,
    r.created_at, v.updated_at";

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

/// Returns where the version, or the newest, stands.
pub(crate) fn status(
    db: &Db,
    runtime: &RuntimeId,
    version: Option<RuntimeVersion>,
) -> Result<Option<(RuntimeVersion, RuntimeStatus)>, Fault> {
    db.first(
        "SELECT version, status FROM version WHERE runtime = ?1 AND version = coalesce(?2, version)
         ORDER BY version DESC LIMIT 1",
        params![runtime.as_str(), version.map(RuntimeVersion::get)],
        |row| Ok((row.get::<_, Number>("version")?.0, row.get::<_, Word<_>>("status")?.0)),
    )
}

/// Returns the newest version of each runtime, by (creation, id), after `after`.
pub(crate) fn newest(
    db: &Db,
    after: Option<&(UnixMillis, RuntimeId)>,
    limit: u32,
) -> Result<Vec<VersionRecord>, Fault> {
    let (time, id) = position(after);
    db.all(&newest_sql(NEWEST), params![time, id, limit], |row| record(db, row))
}

/// Returns the same, as lists show it.
pub(crate) fn page_newest(
    db: &Db,
    after: Option<&(UnixMillis, RuntimeId)>,
    limit: u32,
) -> Result<Vec<ListedVersion>, Fault> {
    let (time, id) = position(after);
    db.all(&newest_sql(LISTED), params![time, id, limit], listed)
}

fn position(after: Option<&(UnixMillis, RuntimeId)>) -> (i64, &str) {
    after.map_or((i64::MIN, ""), |(time, id)| (time.0, id.as_str()))
}

fn newest_sql(select: &str) -> String {
    format!(
        "{select} FROM runtime r JOIN version v ON v.runtime = r.id
         AND v.version = (SELECT max(version) FROM version WHERE runtime = r.id)
         WHERE (r.created_at, r.id) > (?1, ?2) ORDER BY r.created_at, r.id LIMIT ?3"
    )
}

/// Returns versions of a runtime, newest first, older than `before`, as lists show them.
pub(crate) fn page(
    db: &Db,
    runtime: &RuntimeId,
    before: Option<RuntimeVersion>,
    limit: u32,
) -> Result<Vec<ListedVersion>, Fault> {
    db.all(
        &format!(
            "{LISTED} FROM runtime r JOIN version v ON v.runtime = r.id
             WHERE v.runtime = ?1 AND v.version < ?2 ORDER BY v.version DESC LIMIT ?3"
        ),
        params![runtime.as_str(), before.map_or(i64::MAX, |version| i64::from(version.get())), limit],
        listed,
    )
}

/// Returns what the endpoint serves.
pub(crate) fn served(db: &Db, runtime: &RuntimeId, endpoint: &EndpointName) -> Result<Vec<Share>, Fault> {
    let mut shares = Vec::new();
    for (version, weight) in endpoints::served(db, runtime, endpoint)? {
        shares.extend(get(db, runtime, Some(version))?.map(|version| Share { version, weight }));
    }
    Ok(shares)
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
    let sql = "SELECT r.name, v.version, v.config, v.bundle FROM version v JOIN runtime r ON r.id = v.runtime
        ORDER BY r.name, v.version";
    db.all(sql, [], |row| {
        let config: VersionConfig = row.get::<_, Json<_>>("config")?.0;
        Ok(Deployed {
            runtime: row.get::<_, Word<_>>("name")?.0,
            version: row.get::<_, Number>("version")?.0,
            artifact: config.artifact,
            bundle: row.get::<_, Option<Word<_>>>("bundle")?.map(|word| word.0),
        })
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
    if let Some(sealed) = row.get("environment")? {
        let environment = db.sealer.open(&environment_of(&runtime, version), sealed)?;
        config.environment = serde_json::from_slice(&environment).map_err(corrupt)?;
    }
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

fn listed(row: &Row<'_>) -> Result<ListedVersion, Fault> {
    Ok(ListedVersion {
        runtime: row.get::<_, Word<_>>("id")?.0,
        name: row.get::<_, Word<_>>("name")?.0,
        version: row.get::<_, Number>("version")?.0,
        description: row.get("description")?,
        status: row.get::<_, Word<_>>("status")?.0,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}

fn environment_of(runtime: &RuntimeId, version: RuntimeVersion) -> String {
    format!("version/{runtime}/{version}/environment")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page must cost the same among a hundred runtimes and among ten thousand.
    #[test]
    fn a_page_of_runtimes_is_found_by_indexes_alone() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_writer(dir.path(), crate::Quotas::default()).unwrap();
        for select in [NEWEST, LISTED] {
            let sql = format!("EXPLAIN QUERY PLAN {}", newest_sql(select));
            let plan: Vec<String> = db.all(&sql, params![0, "", 100], |row| Ok(row.get("detail")?)).unwrap();
            assert!(plan[0].contains("r USING INDEX runtime_by_creation"), "{plan:?}");
            for step in &plan {
                assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{plan:?}");
            }
        }
    }
}
