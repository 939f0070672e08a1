//! Access keys as rows. The secret is sealed.

use innkeep_types::UnixMillis;
use rusqlite::{Row, params};

use crate::Store;
use crate::columns::{Json, corrupt, millis};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::AccessKey;

impl Store {
    /// Stores access keys, sealed, all or none: new ones, and others in place of those with their ids.
    pub async fn put_access_keys(&self, keys: Vec<AccessKey>) -> Result<(), Error> {
        self.writer.write(move |db| keys.into_iter().try_for_each(|key| put(db, key))).await
    }

    /// Removes an access key; tells whether it was there.
    pub async fn delete_access_key(&self, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        self.writer.write(move |db| Ok(db.execute("DELETE FROM access_key WHERE id = ?1", [id])? > 0)).await
    }

    /// Records when keys were last used. Of a key that is no more nothing is recorded.
    pub async fn touch_access_keys(&self, used: Vec<(String, UnixMillis)>) -> Result<(), Error> {
        self.writer.write(move |db| touch(db, &used)).await
    }

    /// Returns every access key, oldest first (the server keeps them in memory).
    pub async fn list_access_keys(&self) -> Result<Vec<AccessKey>, Error> {
        self.readers.read(list).await
    }
}

fn put(db: &Db, key: AccessKey) -> Result<(), Fault> {
    let secret = db.sealer.seal(&secret_of(&key.id), key.secret.into_bytes())?;
    db.execute(
        "INSERT OR REPLACE INTO access_key (id, secret, name, policies, operator, description, active, created_at, expires_at,
            last_used_at, replaced_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            key.id,
            secret,
            key.name,
            Json(key.policies),
            key.operator,
            key.description,
            key.active,
            key.created_at.0,
            key.expires_at.map(|at| at.0),
            key.last_used_at.map(|at| at.0),
            key.replaced_by,
        ],
    )?;
    Ok(())
}

fn touch(db: &Db, used: &[(String, UnixMillis)]) -> Result<(), Fault> {
    for (id, at) in used {
        db.execute("UPDATE access_key SET last_used_at = ?2 WHERE id = ?1", params![id, at.0])?;
    }
    Ok(())
}

fn list(db: &Db) -> Result<Vec<AccessKey>, Fault> {
    db.all("SELECT * FROM access_key ORDER BY created_at, id", [], |row| record(db, row))
}

fn record(db: &Db, row: &Row<'_>) -> Result<AccessKey, Fault> {
    let id: String = row.get("id")?;
    let secret = db.sealer.open(&secret_of(&id), row.get("secret")?)?;
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
    Ok(AccessKey {
        secret: String::from_utf8(secret).map_err(corrupt)?,
        id,
        name: row.get("name")?,
        policies: row.get::<_, Json<_>>("policies")?.0,
        operator: row.get("operator")?,
        description: row.get("description")?,
        active: row.get("active")?,
        created_at: millis(row, "created_at")?,
        expires_at: time("expires_at")?,
        last_used_at: time("last_used_at")?,
        replaced_by: row.get("replaced_by")?,
    })
}

fn secret_of(id: &str) -> String {
    format!("access_key/{id}/secret")
}
