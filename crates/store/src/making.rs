//! How versions come to be.
//!
//! ```text
//!  create ──► CREATING ──► READY | CREATE_FAILED        (version 1)
//!  add    ──► UPDATING ──► READY | UPDATE_FAILED        (later versions)
//! ```
//! Of one runtime, one version is made at a time.

use innkeep_types::{
    ArtifactDigest, EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, Settings, UnixMillis, VersionConfig,
};
use rusqlite::params;

use crate::columns::{Json, Number};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::{Accepted, ClientToken, NewRuntime, Outcome, VersionRecord};
use crate::tokens::{self, Operation};
use crate::{endpoints, runtimes, versions};

/// Creates a runtime with its first version.
pub(crate) fn create(db: &Db, new: NewRuntime) -> Result<Accepted, Fault> {
    if let Some(version) = tokens::find(db, Operation::CreateRuntime, new.token.as_ref(), new.at)? {
        return Ok(Accepted { version, replayed: true });
    }
    if db.exists("SELECT 1 FROM runtime WHERE name = ?1", [new.name.as_str()])? {
        return Err(Error::NameTaken(new.name).into());
    }
    if db.count("SELECT count(*) FROM runtime", [])? >= db.quotas.runtimes {
        return Err(Error::Quota("agent runtimes (max_runtimes)").into());
    }
    runtimes::insert(db, &new)?;
    endpoints::insert_default(db, &new.id, new.at)?;
    begin(db, Operation::CreateRuntime, &new.id, new.config, &new.settings, new.token.as_ref(), new.at)
}

/// Adds a version to a runtime.
pub(crate) fn add(
    db: &Db,
    runtime: &RuntimeId,
    mut config: VersionConfig,
    settings: Option<Settings>,
    token: Option<&ClientToken>,
    at: UnixMillis,
) -> Result<Accepted, Fault> {
    if let Some(version) = tokens::find(db, Operation::UpdateRuntime(runtime), token, at)? {
        return Ok(Accepted { version, replayed: true });
    }
    let newest = newest(db, runtime)?;
    check_quota(db, runtime)?;
    config.platform_version = config.platform_version.or(newest.config.platform_version);
    let settings = settings.unwrap_or(newest.settings);
    begin(db, Operation::UpdateRuntime(runtime), runtime, config, &settings, token, at)
}

/// Adds a version that differs from the newest in its settings alone.
pub(crate) fn change_settings(
    db: &Db,
    runtime: &RuntimeId,
    settings: Settings,
    at: UnixMillis,
) -> Result<Accepted, Fault> {
    let config = newest(db, runtime)?.config;
    add(db, runtime, config, Some(settings), None, at)
}

/// Adds a version that is a copy of one that is READY, and is to run the very bundle that it runs: the tag or object that its
/// configuration names may be another by now.
pub(crate) fn copy(db: &Db, runtime: &RuntimeId, of: RuntimeVersion, at: UnixMillis) -> Result<Accepted, Fault> {
    newest(db, runtime)?;
    check_quota(db, runtime)?;
    let old = versions::get(db, runtime, Some(of))?.ok_or_else(|| Error::NoVersion(runtime.clone(), of))?;
    if old.status != RuntimeStatus::Ready {
        return Err(Error::NotServable(runtime.clone(), of, old.status).into());
    }
    let mut accepted = begin(db, Operation::UpdateRuntime(runtime), runtime, old.config, &old.settings, None, at)?;
    db.execute(
        "UPDATE version SET bundle = ?3 WHERE runtime = ?1 AND version = ?2",
        params![runtime.as_str(), accepted.version.version.get(), old.bundle.as_ref().map(ArtifactDigest::as_str)],
    )?;
    accepted.version.bundle = old.bundle;
    Ok(accepted)
}

/// Returns the newest READY version before the one that the endpoint serves.
pub(crate) fn before(db: &Db, runtime: &RuntimeId, endpoint: &EndpointName) -> Result<RuntimeVersion, Fault> {
    runtimes::get(db, runtime)?.ok_or_else(|| Error::NoRuntime(runtime.clone()))?;
    let found = endpoints::get(db, runtime, endpoint)?;
    let found = found.ok_or_else(|| Error::NoEndpoint(runtime.clone(), endpoint.clone()))?;
    if !found.split.is_empty() {
        // Which of them was good is not for us to guess.
        return Err(Error::SplitEndpoint(runtime.clone(), endpoint.clone()).into());
    }
    let live = found.live;
    let version = db.first(
        "SELECT version FROM version WHERE runtime = ?1 AND status = 'READY' AND version < coalesce(?2, version + 1)
         ORDER BY version DESC LIMIT 1",
        params![runtime.as_str(), live.map(RuntimeVersion::get)],
        |row| Ok(row.get::<_, Number>("version")?.0),
    )?;
    version.ok_or_else(|| Error::NothingBefore(runtime.clone(), endpoint.clone()).into())
}

fn check_quota(db: &Db, runtime: &RuntimeId) -> Result<(), Fault> {
    match db.count("SELECT count(*) FROM version WHERE runtime = ?1", [runtime.as_str()])? >= db.quotas.versions {
        true => Err(Error::Quota("versions of an agent runtime (max_versions)").into()),
        false => Ok(()),
    }
}

/// Returns the newest version, after which another can be made.
fn newest(db: &Db, runtime: &RuntimeId) -> Result<VersionRecord, Fault> {
    let newest = versions::get(db, runtime, None)?.ok_or_else(|| Error::NoRuntime(runtime.clone()))?;
    if newest.status.in_progress() { Err(Error::InProgress(runtime.clone()).into()) } else { Ok(newest) }
}

/// Records how the making of a version ended.
pub(crate) fn finish(
    db: &Db,
    runtime: &RuntimeId,
    version: RuntimeVersion,
    outcome: &Outcome,
    at: UnixMillis,
) -> Result<(), Fault> {
    let n_changed = match outcome {
        Outcome::Ready { bundle } => db.execute(
            "UPDATE version SET status = 'READY', bundle = ?3, updated_at = ?4
             WHERE runtime = ?1 AND version = ?2 AND status IN ('CREATING', 'UPDATING')",
            params![runtime.as_str(), version.get(), bundle.as_str(), at.0],
        )?,
        Outcome::Failed { reason, log } => db.execute(
            "UPDATE version SET status = iif(status = 'CREATING', 'CREATE_FAILED', 'UPDATE_FAILED'), failure_reason = ?3,
                 failure_log = ?4, updated_at = ?5
             WHERE runtime = ?1 AND version = ?2 AND status IN ('CREATING', 'UPDATING')",
            params![runtime.as_str(), version.get(), reason, Json(log), at.0],
        )?,
    };
    if n_changed == 0 {
        return Err(match versions::get(db, runtime, Some(version))? {
            Some(_) => Error::NotInProgress(runtime.clone(), version),
            None => Error::NoVersion(runtime.clone(), version),
        }
        .into());
    }
    match outcome {
        Outcome::Ready { .. } => endpoints::move_default(db, runtime, version, at)?,
        Outcome::Failed { reason, .. } => endpoints::keep_default(db, runtime, reason, at)?,
    }
    runtimes::touch(db, runtime, at)
}

/// Inserts the runtime's next version, aims `DEFAULT` at it, and remembers the token.
fn begin(
    db: &Db,
    operation: Operation<'_>,
    runtime: &RuntimeId,
    config: VersionConfig,
    settings: &Settings,
    token: Option<&ClientToken>,
    at: UnixMillis,
) -> Result<Accepted, Fault> {
    let next = db.count("SELECT next_version FROM runtime WHERE id = ?1", [runtime.as_str()])?;
    let version = RuntimeVersion::new(next).ok_or(Error::Quota("version numbers of an agent runtime"))?;
    db.execute("UPDATE runtime SET next_version = next_version + 1 WHERE id = ?1", [runtime.as_str()])?;
    runtimes::touch(db, runtime, at)?;
    versions::insert(db, runtime, version, config, settings, at)?;
    endpoints::aim_default(db, runtime, version, at)?;
    let version = versions::get(db, runtime, Some(version))?.ok_or(Error::NoVersion(runtime.clone(), version))?;
    let answer = without_environment(&version);
    tokens::remember(db, operation, token, &answer, Some(tokens::runtime(runtime)), at)?;
    Ok(Accepted { version, replayed: false })
}

/// Returns the version as it may be kept outside of its own row, where nothing is sealed.
fn without_environment(version: &VersionRecord) -> VersionRecord {
    let mut version = version.clone();
    version.config.environment.clear();
    version
}
