//! Tags of whatever has an ARN: kept and shown.

use std::collections::BTreeMap;

use innkeep_types::limits::MAX_TAGS;
use innkeep_types::{CapacityProviderId, EndpointName, RuntimeId};
use rusqlite::params;

use crate::Store;
use crate::columns::Json;
use crate::db::Db;
use crate::error::{Error, Fault};

/// What has tags.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds of resources are the API's own")]
pub enum Tagged {
    Runtime(RuntimeId),
    Endpoint(RuntimeId, EndpointName),
    CapacityProvider(CapacityProviderId),
}

impl Store {
    /// Returns the resource's tags; none if there is no such resource.
    pub async fn get_tags(&self, of: Tagged) -> Result<Option<BTreeMap<String, String>>, Error> {
        self.readers.read(move |db| get(db, &of)).await
    }

    /// Removes tags by key, and then adds others, in place of those with the same key.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`, `NoCapacityProvider`; `Quota` where there would be too many.
    pub async fn change_tags(
        &self,
        of: Tagged,
        remove: Vec<String>,
        add: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.writer.write(move |db| change(db, of, &remove, add)).await
    }
}

/// Returns the resource's tags; none if there is no such resource.
pub(crate) fn get(db: &Db, of: &Tagged) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let (table, row, key) = place(of);
    db.first(&format!("SELECT tags FROM {table} WHERE {row}"), key, |row| Ok(row.get::<_, Json<_>>("tags")?.0))
}

fn change(db: &Db, of: Tagged, remove: &[String], add: BTreeMap<String, String>) -> Result<(), Fault> {
    let Some(mut tags) = get(db, &of)? else { return Err(missing(of).into()) };
    tags.retain(|key, _| !remove.contains(key));
    tags.extend(add);
    if tags.len() > MAX_TAGS {
        return Err(Error::Quota("tags of a resource").into());
    }
    let (table, row, [id, name]) = place(&of);
    db.execute(&format!("UPDATE {table} SET tags = ?3 WHERE {row}"), params![id, name, Json(&tags)])?;
    db.mark_resolve_changed();
    Ok(())
}

/// Returns table, condition and key of the resource's row.
fn place(of: &Tagged) -> (&'static str, &'static str, [&str; 2]) {
    match of {
        Tagged::Runtime(id) => ("runtime", "id = ?1 AND ?2 = ''", [id.as_str(), ""]),
        Tagged::Endpoint(runtime, name) => {
            ("endpoint", "runtime = ?1 AND name = ?2", [runtime.as_str(), name.as_str()])
        }
        Tagged::CapacityProvider(id) => ("capacity_provider", "id = ?1 AND ?2 = ''", [id.as_str(), ""]),
    }
}

fn missing(of: Tagged) -> Error {
    match of {
        Tagged::Runtime(id) => Error::NoRuntime(id),
        Tagged::Endpoint(runtime, name) => Error::NoEndpoint(runtime, name),
        Tagged::CapacityProvider(id) => Error::NoCapacityProvider(id),
    }
}
