//! Resource policies of runtimes and endpoints, verbatim. A policy goes with its resource: the schema sees to it.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeId, UnixMillis};
use rusqlite::params;

use crate::db::Db;
use crate::error::{Error, Fault};
use crate::tags::{self, Tagged};
use crate::{Store, endpoints, runtimes};

/// What is attached to a resource that says who may do what on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attached {
    /// Its policy, verbatim.
    pub policy: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Store {
    /// Returns what is attached to each of the resources; nothing to one that does not exist. Remembered as long as
    /// [`Store::generation`] stays, as what is resolved is.
    pub async fn get_attached(&self, to: Vec<Tagged>) -> Result<Vec<Attached>, Error> {
        self.readers.read(move |db| to.iter().map(|resource| attached(db, resource)).collect()).await
    }

    /// Attaches a policy to a runtime, or to an endpoint of it, in place of the one before.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`.
    pub async fn put_policy(
        &self,
        runtime: &RuntimeId,
        endpoint: Option<&EndpointName>,
        policy: String,
        at: UnixMillis,
    ) -> Result<(), Error> {
        let (runtime, endpoint) = (runtime.clone(), endpoint.cloned());
        self.writer.write(move |db| put(db, &runtime, endpoint.as_ref(), &policy, at)).await
    }

    /// Returns the policy of a runtime, or of an endpoint of it; none if none is attached.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`.
    pub async fn get_policy(
        &self,
        runtime: &RuntimeId,
        endpoint: Option<&EndpointName>,
    ) -> Result<Option<String>, Error> {
        let (runtime, endpoint) = (runtime.clone(), endpoint.cloned());
        self.readers.read(move |db| get(db, &runtime, endpoint.as_ref())).await
    }

    /// Removes the policy of a runtime, or of an endpoint of it; tells whether one was attached.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`.
    pub async fn delete_policy(&self, runtime: &RuntimeId, endpoint: Option<&EndpointName>) -> Result<bool, Error> {
        let (runtime, endpoint) = (runtime.clone(), endpoint.cloned());
        self.writer.write(move |db| delete(db, &runtime, endpoint.as_ref())).await
    }
}

fn put(
    db: &Db,
    runtime: &RuntimeId,
    endpoint: Option<&EndpointName>,
    policy: &str,
    at: UnixMillis,
) -> Result<(), Fault> {
    check_exists(db, runtime, endpoint)?;
    db.execute(
        "INSERT INTO resource_policy (runtime, endpoint, policy, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (runtime, coalesce(endpoint, '')) DO UPDATE SET policy = ?3, updated_at = ?4",
        params![runtime.as_str(), endpoint.map(EndpointName::as_str), policy, at.0],
    )?;
    db.mark_resolve_changed();
    Ok(())
}

fn get(db: &Db, runtime: &RuntimeId, endpoint: Option<&EndpointName>) -> Result<Option<String>, Fault> {
    check_exists(db, runtime, endpoint)?;
    policy(db, runtime, endpoint)
}

fn attached(db: &Db, to: &Tagged) -> Result<Attached, Fault> {
    let policy = match to {
        Tagged::Runtime(runtime) => policy(db, runtime, None)?,
        Tagged::Endpoint(runtime, endpoint) => policy(db, runtime, Some(endpoint))?,
        Tagged::CapacityProvider(_) => None,
    };
    Ok(Attached { policy, tags: tags::get(db, to)?.unwrap_or_default() })
}

fn policy(db: &Db, runtime: &RuntimeId, endpoint: Option<&EndpointName>) -> Result<Option<String>, Fault> {
    db.first(
        "SELECT policy FROM resource_policy WHERE runtime = ?1 AND coalesce(endpoint, '') = coalesce(?2, '')",
        params![runtime.as_str(), endpoint.map(EndpointName::as_str)],
        |row| Ok(row.get("policy")?),
    )
}

fn delete(db: &Db, runtime: &RuntimeId, endpoint: Option<&EndpointName>) -> Result<bool, Fault> {
    check_exists(db, runtime, endpoint)?;
    let n_deleted = db.execute(
        "DELETE FROM resource_policy WHERE runtime = ?1 AND coalesce(endpoint, '') = coalesce(?2, '')",
        params![runtime.as_str(), endpoint.map(EndpointName::as_str)],
    )?;
    db.mark_resolve_changed();
    Ok(n_deleted > 0)
}

fn check_exists(db: &Db, runtime: &RuntimeId, endpoint: Option<&EndpointName>) -> Result<(), Fault> {
    if runtimes::get(db, runtime)?.is_none() {
        return Err(Error::NoRuntime(runtime.clone()).into());
    }
    match endpoint {
        Some(name) if endpoints::get(db, runtime, name)?.is_none() => {
            Err(Error::NoEndpoint(runtime.clone(), name.clone()).into())
        }
        _ => Ok(()),
    }
}
