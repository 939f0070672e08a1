//! Access keys as rows. The secret is sealed.

use rusqlite::{Row, params};

use crate::columns::{corrupt, millis};
use crate::db::Db;
use crate::error::Fault;
use crate::records::AccessKey;

/// Inserts or replaces a key.
pub(crate) fn put(db: &Db, key: AccessKey) -> Result<(), Fault> {
    let secret = db.sealer.seal(&secret_of(&key.id), key.secret.into_bytes())?;
    db.execute(
        "INSERT OR REPLACE INTO access_key (id, secret, operator, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![key.id, secret, key.operator, key.created_at.0],
    )?;
    Ok(())
}

/// Returns every key, oldest first.
pub(crate) fn list(db: &Db) -> Result<Vec<AccessKey>, Fault> {
    db.all("SELECT id, secret, operator, created_at FROM access_key ORDER BY created_at, id", [], |row| record(db, row))
}

fn record(db: &Db, row: &Row<'_>) -> Result<AccessKey, Fault> {
    let id: String = row.get("id")?;
    let secret = db.sealer.open(&secret_of(&id), row.get("secret")?)?;
    Ok(AccessKey {
        secret: String::from_utf8(secret).map_err(corrupt)?,
        id,
        operator: row.get("operator")?,
        created_at: millis(row, "created_at")?,
    })
}

fn secret_of(id: &str) -> String {
    format!("access_key/{id}/secret")
}
