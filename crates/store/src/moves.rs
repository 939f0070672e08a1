//! Named endpoints: callers create, move, split and delete them.
//!
//! ```text
//!  create ──► CREATING ──► READY | CREATE_FAILED
//!  update ──► UPDATING ──► READY | UPDATE_FAILED      what was live serves on; CREATING while nothing is
//!             READY                                   without a version: it serves what is live, if anything
//!  split  ──► READY
//!  delete ──► DELETING ──► (gone)
//! ```
//! A move ends when its target is made and was checked on this host: [`Store::finish_move`]. A failed one leaves its target on show,
//! until the next update.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion, UnixMillis};
use rusqlite::params;

use crate::columns::Json;
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::ClientToken;
use crate::records::endpoint::{Begins, EndpointAccepted, EndpointChange, EndpointRecord, Moved, NewEndpoint};
use crate::tokens::{self, Operation};
use crate::{Store, endpoints, runtimes, versions};

impl Store {
    /// Creates a named endpoint in CREATING.
    ///
    /// # Errors
    /// `NoRuntime`, `NoVersion`, `NotServable`, `EndpointTaken`, `DefaultEndpoint`, `InProgress` while the runtime is deleted,
    /// `Quota`, `TokenMismatch`.
    pub async fn create_endpoint(&self, new: NewEndpoint) -> Result<EndpointAccepted, Error> {
        self.writer.write(move |db| create(db, new)).await
    }

    /// Begins to move a named endpoint, or to describe it anew.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`, `NoVersion`, `NotServable`, `DefaultEndpoint`, `EndpointInProgress`, `TokenMismatch`.
    pub async fn update_endpoint(&self, change: EndpointChange) -> Result<EndpointAccepted, Error> {
        self.writer.write(move |db| update(db, change)).await
    }

    /// Records how the move that the endpoint was `moving` in ended. Returns whether it was still in that one: if that has ended,
    /// whatever came after it, nothing is changed.
    pub async fn finish_move(&self, moving: &EndpointRecord, moved: Moved, at: UnixMillis) -> Result<bool, Error> {
        let moving = moving.clone();
        self.writer.write(move |db| finish(db, &moving, &moved, at)).await
    }

    /// Shares a named endpoint's new sessions out among versions that are READY, at once. Versions of weight 0 get none and are
    /// not kept; one alone serves all.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`, `NoVersion`, `NotServable`, `DefaultEndpoint`, `EndpointInProgress`, `NothingServes` where no
    /// weight is above 0.
    pub async fn split_endpoint(
        &self,
        runtime: &RuntimeId,
        name: &EndpointName,
        weights: BTreeMap<RuntimeVersion, u32>,
        at: UnixMillis,
    ) -> Result<EndpointRecord, Error> {
        let (runtime, name) = (runtime.clone(), name.clone());
        self.writer.write(move |db| split(db, &runtime, &name, weights, at)).await
    }

    /// Marks a named endpoint DELETING. A token that was sent before, and an endpoint that is DELETING already, are accepted and
    /// change nothing.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`, `DefaultEndpoint`, `EndpointInProgress`, `TokenMismatch`.
    pub async fn begin_delete_endpoint(
        &self,
        runtime: &RuntimeId,
        name: &EndpointName,
        token: Option<ClientToken>,
        at: UnixMillis,
    ) -> Result<Begins, Error> {
        let (runtime, name) = (runtime.clone(), name.clone());
        self.writer.write(move |db| begin_delete(db, &runtime, &name, token.as_ref(), at)).await
    }

    /// Removes an endpoint that is DELETING by itself, with the records of its sessions; nothing, if it is not.
    pub async fn finish_delete_endpoint(&self, runtime: &RuntimeId, name: &EndpointName) -> Result<(), Error> {
        let (runtime, name) = (runtime.clone(), name.clone());
        self.writer.write(move |db| finish_delete(db, &runtime, &name)).await
    }

    /// Returns the named endpoints, of one runtime or all, that are CREATING, UPDATING, or DELETING while their runtime is not.
    pub async fn unfinished_endpoints(&self, runtime: Option<&RuntimeId>) -> Result<Vec<EndpointRecord>, Error> {
        let runtime = runtime.cloned();
        self.readers.read(move |db| endpoints::unfinished(db, runtime.as_ref())).await
    }

    /// Returns the endpoint.
    pub async fn get_endpoint(
        &self,
        runtime: &RuntimeId,
        name: &EndpointName,
    ) -> Result<Option<EndpointRecord>, Error> {
        let (runtime, name) = (runtime.clone(), name.clone());
        self.readers.read(move |db| endpoints::get(db, &runtime, &name)).await
    }

    /// Returns up to `limit` endpoints of a runtime, DEFAULT first, then by name, after the one of that name, which may be gone
    /// by now.
    pub async fn page_endpoints(
        &self,
        runtime: &RuntimeId,
        after: Option<EndpointName>,
        limit: u32,
    ) -> Result<Vec<EndpointRecord>, Error> {
        let runtime = runtime.clone();
        self.readers.read(move |db| endpoints::list(db, &runtime, after.as_ref(), limit)).await
    }
}

fn create(db: &Db, new: NewEndpoint) -> Result<EndpointAccepted, Fault> {
    let NewEndpoint { runtime, name, target, description, tags, token, at } = new;
    let operation = Operation::CreateEndpoint(&runtime);
    if let Some(endpoint) = tokens::find(db, operation, token.as_ref(), at)? {
        return Ok(EndpointAccepted { endpoint, begins: Begins::Before });
    }
    check_named(db, &runtime, &name)?;
    if db.exists("SELECT 1 FROM runtime WHERE id = ?1 AND deleting", [runtime.as_str()])? {
        return Err(Error::InProgress(runtime).into());
    }
    if endpoints::get(db, &runtime, &name)?.is_some() {
        return Err(Error::EndpointTaken(runtime, name).into());
    }
    if db.count("SELECT count(*) FROM endpoint WHERE runtime = ?1", [runtime.as_str()])? >= db.quotas.endpoints {
        return Err(Error::Quota("endpoints of an agent runtime (max_endpoints)").into());
    }
    let (target, begins) = aim(db, &runtime, target)?;
    db.execute(
        "INSERT INTO endpoint (runtime, name, target, status, description, tags, created_at, updated_at)
         VALUES (?1, ?2, ?3, 'CREATING', ?4, ?5, ?6, ?6)",
        params![runtime.as_str(), name.as_str(), target.get(), description, Json(&tags), at.0],
    )?;
    tokens::forget_operation(db, Operation::DeleteEndpoint(&runtime, &name))?;
    let endpoint = changed(db, &runtime, &name, at)?;
    let made = tokens::endpoint(&runtime, &name);
    tokens::remember(db, operation, token.as_ref(), &endpoint, Some(made), at)?;
    Ok(EndpointAccepted { endpoint, begins })
}

fn update(db: &Db, change: EndpointChange) -> Result<EndpointAccepted, Fault> {
    let EndpointChange { runtime, name, target, description, token, at } = change;
    let operation = Operation::UpdateEndpoint(&runtime, &name);
    if let Some(endpoint) = tokens::find(db, operation, token.as_ref(), at)? {
        return Ok(EndpointAccepted { endpoint, begins: Begins::Before });
    }
    let endpoint = at_rest(db, &runtime, &name)?;
    let ends_split = target.is_some();
    let (target, begins) = match (target, endpoint.live) {
        (None, Some(live)) => (live, Begins::Never),
        (target, _) => aim(db, &runtime, Some(target.unwrap_or(endpoint.target)))?,
    };
    let status = match (begins, endpoint.live) {
        (Begins::Never, _) => RuntimeStatus::Ready,
        (_, Some(_)) => RuntimeStatus::Updating,
        (_, None) => RuntimeStatus::Creating,
    };
    db.execute(
        "UPDATE endpoint SET target = ?3, description = coalesce(?4, description), ends_split = ?5, failure_reason = NULL,
             failure_log = '[]', status = ?6, updated_at = ?7
         WHERE runtime = ?1 AND name = ?2",
        params![runtime.as_str(), name.as_str(), target.get(), description, ends_split, status.as_str(), at.0],
    )?;
    let endpoint = changed(db, &runtime, &name, at)?;
    let made = tokens::endpoint(&runtime, &name);
    tokens::remember(db, operation, token.as_ref(), &endpoint, Some(made), at)?;
    Ok(EndpointAccepted { endpoint, begins })
}

fn finish(db: &Db, moving: &EndpointRecord, moved: &Moved, at: UnixMillis) -> Result<bool, Fault> {
    let EndpointRecord { runtime, name, target, updated_at, .. } = moving;
    let (set, reason, log) = match moved {
        Moved::Done => ("live = target, status = 'READY', split = iif(ends_split, '{}', split)", None, &Vec::new()),
        Moved::Failed { reason, log } => {
            ("status = iif(status = 'CREATING', 'CREATE_FAILED', 'UPDATE_FAILED')", Some(reason), log)
        }
    };
    let n_changed = db.execute(
        &format!(
            "UPDATE endpoint SET {set}, failure_reason = ?3, failure_log = ?4, ends_split = 0, updated_at = ?5
             WHERE runtime = ?1 AND name = ?2 AND name <> 'DEFAULT' AND status IN ('CREATING', 'UPDATING')
             AND target = ?6 AND updated_at = ?7"
        ),
        params![runtime.as_str(), name.as_str(), reason, Json(log), at.0, target.get(), updated_at.0],
    )?;
    if n_changed > 0 {
        db.mark_resolve_changed();
        runtimes::touch(db, runtime, at)?;
    }
    Ok(n_changed > 0)
}

fn split(
    db: &Db,
    runtime: &RuntimeId,
    name: &EndpointName,
    mut weights: BTreeMap<RuntimeVersion, u32>,
    at: UnixMillis,
) -> Result<EndpointRecord, Fault> {
    at_rest(db, runtime, name)?;
    for version in weights.keys() {
        match status_of(db, runtime, Some(*version))? {
            (_, RuntimeStatus::Ready) => {}
            (version, status) => return Err(Error::NotServable(runtime.clone(), version, status).into()),
        }
    }
    weights.retain(|_, weight| *weight > 0);
    let heaviest = weights.iter().max_by_key(|(version, weight)| (**weight, **version)).map(|(version, _)| *version);
    let heaviest = heaviest.ok_or_else(|| Error::NothingServes(runtime.clone(), name.clone()))?;
    if weights.len() == 1 {
        weights.clear();
    }
    db.execute(
        "UPDATE endpoint SET live = ?3, target = ?3, split = ?4, ends_split = 0, status = 'READY', failure_reason = NULL,
             failure_log = '[]', updated_at = ?5
         WHERE runtime = ?1 AND name = ?2",
        params![runtime.as_str(), name.as_str(), heaviest.get(), Json(&weights), at.0],
    )?;
    db.mark_resolve_changed();
    changed(db, runtime, name, at)
}

fn begin_delete(
    db: &Db,
    runtime: &RuntimeId,
    name: &EndpointName,
    token: Option<&ClientToken>,
    at: UnixMillis,
) -> Result<Begins, Fault> {
    let operation = Operation::DeleteEndpoint(runtime, name);
    if tokens::find::<()>(db, operation, token, at)?.is_some() {
        return Ok(Begins::Before);
    }
    check_named(db, runtime, name)?;
    let is_going = endpoints::get(db, runtime, name)?.is_some_and(|e| e.status == RuntimeStatus::Deleting);
    if !is_going {
        at_rest(db, runtime, name)?;
        db.execute(
            "UPDATE endpoint SET status = 'DELETING' WHERE runtime = ?1 AND name = ?2",
            [runtime.as_str(), name.as_str()],
        )?;
        changed(db, runtime, name, at)?;
        db.mark_resolve_changed();
    }
    tokens::remember(db, operation, token, &(), None, at)?;
    Ok(if is_going { Begins::Before } else { Begins::Now })
}

fn finish_delete(db: &Db, runtime: &RuntimeId, name: &EndpointName) -> Result<(), Fault> {
    let n_deleted = db.execute(
        "DELETE FROM endpoint WHERE runtime = ?1 AND name = ?2 AND name <> 'DEFAULT' AND status = 'DELETING'
         AND NOT (SELECT deleting FROM runtime WHERE id = ?1)",
        [runtime.as_str(), name.as_str()],
    )?;
    if n_deleted > 0 {
        db.execute("DELETE FROM session WHERE runtime = ?1 AND endpoint = ?2", [runtime.as_str(), name.as_str()])?;
        tokens::forget(db, &tokens::endpoint(runtime, name))?;
    }
    Ok(())
}

/// Returns the named endpoint, of which nothing is in progress.
fn at_rest(db: &Db, runtime: &RuntimeId, name: &EndpointName) -> Result<EndpointRecord, Fault> {
    check_named(db, runtime, name)?;
    let missing = || Error::NoEndpoint(runtime.clone(), name.clone());
    let endpoint = endpoints::get(db, runtime, name)?.ok_or_else(missing)?;
    if endpoint.status.in_progress() {
        return Err(Error::EndpointInProgress(runtime.clone(), name.clone(), endpoint.status).into());
    }
    Ok(endpoint)
}

/// Refuses `DEFAULT`, whom callers cannot change, of a runtime that is there.
fn check_named(db: &Db, runtime: &RuntimeId, name: &EndpointName) -> Result<(), Fault> {
    let found = runtimes::get(db, runtime)?.ok_or_else(|| Error::NoRuntime(runtime.clone()))?;
    if name.is_default() { Err(Error::DefaultEndpoint(found.name).into()) } else { Ok(()) }
}

/// Returns the version, or the newest, and when an endpoint's move to it can begin.
fn aim(db: &Db, runtime: &RuntimeId, version: Option<RuntimeVersion>) -> Result<(RuntimeVersion, Begins), Fault> {
    match status_of(db, runtime, version)? {
        (version, RuntimeStatus::Ready) => Ok((version, Begins::Now)),
        (version, RuntimeStatus::Creating | RuntimeStatus::Updating) => Ok((version, Begins::WhenMade)),
        (version, status) => Err(Error::NotServable(runtime.clone(), version, status).into()),
    }
}

/// Returns the version, or the newest, and where it stands.
fn status_of(
    db: &Db,
    runtime: &RuntimeId,
    version: Option<RuntimeVersion>,
) -> Result<(RuntimeVersion, RuntimeStatus), Fault> {
    let missing = || match version {
        Some(version) => Error::NoVersion(runtime.clone(), version),
        None => Error::NoRuntime(runtime.clone()),
    };
    Ok(versions::status(db, runtime, version)?.ok_or_else(missing)?)
}

/// Notes that the endpoint changed, and returns it as it is now.
fn changed(db: &Db, runtime: &RuntimeId, name: &EndpointName, at: UnixMillis) -> Result<EndpointRecord, Fault> {
    db.execute(
        "UPDATE endpoint SET updated_at = ?3 WHERE runtime = ?1 AND name = ?2",
        params![runtime.as_str(), name.as_str(), at.0],
    )?;
    runtimes::touch(db, runtime, at)?;
    endpoints::get(db, runtime, name)?.ok_or_else(|| Error::NoEndpoint(runtime.clone(), name.clone()).into())
}
