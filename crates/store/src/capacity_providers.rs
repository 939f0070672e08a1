//! Capacity providers: records that are kept and shown. Nothing is provisioned for one, and no runtime can name one.

use std::collections::BTreeMap;

use innkeep_types::limits::MAX_CAPACITY_PROVIDERS;
use innkeep_types::{CapacityProviderId, CapacityProviderName, UnixMillis};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Store;
use crate::columns::{Json, Word, millis};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::ClientToken;
use crate::tokens::{self, Operation};

/// A capacity provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityProviderRecord {
    /// Its id.
    pub id: CapacityProviderId,
    /// Its name, unique in the store.
    pub name: CapacityProviderName,
    /// People's words about it.
    pub description: Option<String>,
    /// `permissionsConfiguration`, as validated.
    pub permissions: Value,
    /// `computeConfiguration`, as validated.
    pub compute: Value,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it last changed.
    pub updated_at: UnixMillis,
}

/// What creating one asks for.
#[derive(Debug, Clone)]
pub struct NewCapacityProvider {
    /// The record, created and last changed now.
    pub record: CapacityProviderRecord,
    /// `clientToken` and a digest of the request it came with.
    pub token: Option<ClientToken>,
}

impl Store {
    /// Keeps a capacity provider.
    ///
    /// # Errors
    /// `CapacityProviderTaken`, `Quota`, `TokenMismatch`.
    pub async fn create_capacity_provider(&self, new: NewCapacityProvider) -> Result<CapacityProviderRecord, Error> {
        self.writer.write(move |db| create(db, new)).await
    }

    /// Returns the capacity provider.
    pub async fn get_capacity_provider(
        &self,
        id: &CapacityProviderId,
    ) -> Result<Option<CapacityProviderRecord>, Error> {
        let id = id.clone();
        self.readers.read(move |db| get(db, &id)).await
    }

    /// Returns up to `limit` capacity providers by creation (then id), after the one created at that time with that id, which may
    /// be gone by now.
    pub async fn list_capacity_providers(
        &self,
        after: Option<(UnixMillis, CapacityProviderId)>,
        limit: u32,
    ) -> Result<Vec<CapacityProviderRecord>, Error> {
        self.readers.read(move |db| list(db, after.as_ref(), limit)).await
    }

    /// Describes a capacity provider anew; the outer `None` leaves the description as it is.
    ///
    /// # Errors
    /// `NoCapacityProvider`, `TokenMismatch`.
    pub async fn update_capacity_provider(
        &self,
        id: &CapacityProviderId,
        description: Option<Option<String>>,
        token: Option<ClientToken>,
        at: UnixMillis,
    ) -> Result<CapacityProviderRecord, Error> {
        let id = id.clone();
        self.writer.write(move |db| update(db, &id, description, token.as_ref(), at)).await
    }

    /// Removes a capacity provider. A token that was sent before is accepted and changes nothing.
    ///
    /// # Errors
    /// `NoCapacityProvider`, `TokenMismatch`.
    pub async fn delete_capacity_provider(
        &self,
        id: &CapacityProviderId,
        token: Option<ClientToken>,
        at: UnixMillis,
    ) -> Result<(), Error> {
        let id = id.clone();
        self.writer.write(move |db| delete(db, &id, token.as_ref(), at)).await
    }
}

fn create(db: &Db, new: NewCapacityProvider) -> Result<CapacityProviderRecord, Fault> {
    let NewCapacityProvider { record, token } = new;
    let (operation, at) = (Operation::CreateCapacityProvider, record.created_at);
    if let Some(first) = tokens::find(db, operation, token.as_ref(), at)? {
        return Ok(first);
    }
    if db.exists("SELECT 1 FROM capacity_provider WHERE name = ?1", [record.name.as_str()])? {
        return Err(Error::CapacityProviderTaken(record.name).into());
    }
    if db.count("SELECT count(*) FROM capacity_provider", [])? >= MAX_CAPACITY_PROVIDERS {
        return Err(Error::Quota("capacity providers").into());
    }
    db.execute(
        "INSERT INTO capacity_provider (id, name, description, permissions, compute, tags, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            record.id.as_str(),
            record.name.as_str(),
            record.description,
            Json(&record.permissions),
            Json(&record.compute),
            Json(&record.tags),
            record.created_at.0,
            record.updated_at.0
        ],
    )?;
    let made = tokens::capacity_provider(&record.id);
    tokens::remember(db, operation, token.as_ref(), &record, Some(made), at)?;
    Ok(record)
}

fn get(db: &Db, id: &CapacityProviderId) -> Result<Option<CapacityProviderRecord>, Fault> {
    db.first("SELECT * FROM capacity_provider WHERE id = ?1", [id.as_str()], record)
}

fn list(
    db: &Db,
    after: Option<&(UnixMillis, CapacityProviderId)>,
    limit: u32,
) -> Result<Vec<CapacityProviderRecord>, Fault> {
    let (time, id) = after.map_or((i64::MIN, ""), |(time, id)| (time.0, id.as_str()));
    db.all(
        "SELECT * FROM capacity_provider WHERE (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
        params![time, id, limit],
        record,
    )
}

fn update(
    db: &Db,
    id: &CapacityProviderId,
    description: Option<Option<String>>,
    token: Option<&ClientToken>,
    at: UnixMillis,
) -> Result<CapacityProviderRecord, Fault> {
    let operation = Operation::UpdateCapacityProvider(id);
    if let Some(first) = tokens::find(db, operation, token, at)? {
        return Ok(first);
    }
    let before = get(db, id)?.ok_or_else(|| Error::NoCapacityProvider(id.clone()))?;
    let record =
        CapacityProviderRecord { description: description.unwrap_or(before.description), updated_at: at, ..before };
    db.execute(
        "UPDATE capacity_provider SET description = ?2, updated_at = ?3 WHERE id = ?1",
        params![id.as_str(), record.description, at.0],
    )?;
    tokens::remember(db, operation, token, &record, Some(tokens::capacity_provider(id)), at)?;
    Ok(record)
}

fn delete(db: &Db, id: &CapacityProviderId, token: Option<&ClientToken>, at: UnixMillis) -> Result<(), Fault> {
    let operation = Operation::DeleteCapacityProvider(id);
    if tokens::find::<()>(db, operation, token, at)?.is_some() {
        return Ok(());
    }
    if db.execute("DELETE FROM capacity_provider WHERE id = ?1", [id.as_str()])? == 0 {
        return Err(Error::NoCapacityProvider(id.clone()).into());
    }
    tokens::forget(db, &tokens::capacity_provider(id))?;
    tokens::remember(db, operation, token, &(), None, at)
}

fn record(row: &Row<'_>) -> Result<CapacityProviderRecord, Fault> {
    Ok(CapacityProviderRecord {
        id: row.get::<_, Word<_>>("id")?.0,
        name: row.get::<_, Word<_>>("name")?.0,
        description: row.get("description")?,
        permissions: row.get::<_, Json<_>>("permissions")?.0,
        compute: row.get::<_, Json<_>>("compute")?.0,
        tags: row.get::<_, Json<_>>("tags")?.0,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}
