//! How versions and runtimes go: marked DELETING first, so that nothing new begins, and removed when their sandboxes
//! are gone.

use innkeep_types::{RuntimeId, RuntimeVersion, UnixMillis};
use rusqlite::params;

use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::ClientToken;
use crate::tokens::{self, Operation};
use crate::{endpoints, runtimes, versions};

/// Marks the whole runtime, or one version of it.
pub(crate) fn begin(
    db: &Db,
    runtime: &RuntimeId,
    version: Option<RuntimeVersion>,
    token: Option<&ClientToken>,
    at: UnixMillis,
) -> Result<(), Fault> {
    let operation = Operation::DeleteRuntime(runtime);
    if tokens::find::<()>(db, operation, token, at)?.is_some() {
        return Ok(());
    }
    tokens::remember(db, operation, token, &(), None, at)?;
    if !db.exists("SELECT 1 FROM runtime WHERE id = ?1", [runtime.as_str()])? {
        return Err(Error::NoRuntime(runtime.clone()).into());
    }
    match version {
        Some(version) => mark_version(db, runtime, version, at)?,
        None => mark_runtime(db, runtime, at)?,
    }
    runtimes::touch(db, runtime, at)
}

/// Removes what is marked: the version, or the runtime with everything of it. What is not marked stays.
pub(crate) fn finish(db: &Db, runtime: &RuntimeId, version: Option<RuntimeVersion>) -> Result<(), Fault> {
    // Of a runtime that is going no version can go alone: an endpoint may still point to it.
    if db.execute("DELETE FROM runtime WHERE id = ?1 AND deleting", [runtime.as_str()])? > 0 {
        db.execute("DELETE FROM session WHERE runtime = ?1", [runtime.as_str()])?;
        tokens::forget(db, &tokens::runtime(runtime))?;
        db.mark_resolve_changed();
    } else if let Some(version) = version {
        let n_deleted = db.execute(
            "DELETE FROM version WHERE runtime = ?1 AND version = ?2 AND status = 'DELETING'",
            params![runtime.as_str(), version.get()],
        )?;
        if n_deleted > 0 {
            endpoints::aim_elsewhere(db, runtime, version)?;
        }
    }
    Ok(())
}

fn mark_runtime(db: &Db, runtime: &RuntimeId, at: UnixMillis) -> Result<(), Fault> {
    let busy = "SELECT 1 FROM version WHERE runtime = ?1 AND status IN ('CREATING', 'UPDATING', 'DELETING')";
    if db.exists(busy, [runtime.as_str()])? {
        return Err(Error::InProgress(runtime.clone()).into());
    }
    if let Some(endpoint) = endpoints::unfinished(db, Some(runtime))?.into_iter().next() {
        return Err(Error::EndpointInProgress(runtime.clone(), endpoint.name, endpoint.status).into());
    }
    db.execute("UPDATE runtime SET deleting = 1 WHERE id = ?1", [runtime.as_str()])?;
    for sql in [
        "UPDATE version SET status = 'DELETING', updated_at = ?2 WHERE runtime = ?1",
        "UPDATE endpoint SET status = 'DELETING', updated_at = ?2 WHERE runtime = ?1",
    ] {
        db.execute(sql, params![runtime.as_str(), at.0])?;
    }
    db.mark_resolve_changed();
    Ok(())
}

fn mark_version(db: &Db, runtime: &RuntimeId, version: RuntimeVersion, at: UnixMillis) -> Result<(), Fault> {
    let record =
        versions::get(db, runtime, Some(version))?.ok_or_else(|| Error::NoVersion(runtime.clone(), version))?;
    // Other versions may be on their way out too; but while one is being made it is open which will serve.
    let making = "SELECT 1 FROM version WHERE runtime = ?1 AND status IN ('CREATING', 'UPDATING')";
    if record.status.in_progress() || db.exists(making, [runtime.as_str()])? {
        return Err(Error::InProgress(runtime.clone()).into());
    }
    let others = "SELECT 1 FROM version WHERE runtime = ?1 AND version <> ?2 AND status <> 'DELETING'";
    if !db.exists(others, params![runtime.as_str(), version.get()])? {
        return Err(Error::OnlyVersion(runtime.clone(), version).into());
    }
    for endpoint in endpoints::all(db, runtime)? {
        if endpoint.live == Some(version) || endpoint.split.contains_key(&version) {
            return Err(Error::Served(runtime.clone(), version, endpoint.name).into());
        }
        // DEFAULT aims at another version by itself.
        if endpoint.target == version && !endpoint.name.is_default() {
            return Err(Error::Targeted(runtime.clone(), version, endpoint.name).into());
        }
    }
    db.execute(
        "UPDATE version SET status = 'DELETING', updated_at = ?3 WHERE runtime = ?1 AND version = ?2",
        params![runtime.as_str(), version.get(), at.0],
    )?;
    Ok(())
}
