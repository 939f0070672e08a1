//! Invocations as rows whose callers do not wait.

use innkeep_types::{InvocationId, SessionKey, SessionOwner, UnixMillis};
use rusqlite::{Row, params};

use crate::Store;
use crate::columns::{Json, Word, millis};
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::InvocationRecord;

impl Store {
    /// Inserts or replaces the record of an invocation whose caller does not wait.
    pub async fn put_invocation(&self, record: InvocationRecord) -> Result<(), Error> {
        self.writer.write(move |db| put(db, &record)).await
    }

    /// Returns all records of such invocations, oldest first.
    pub async fn list_invocations(&self) -> Result<Vec<InvocationRecord>, Error> {
        self.readers.read(list).await
    }

    /// Removes the records of these invocations, as far as there are any.
    pub async fn remove_invocations(&self, ids: Vec<InvocationId>) -> Result<(), Error> {
        self.writer.write(move |db| remove(db, &ids)).await
    }
}

/// Inserts or replaces a record.
fn put(db: &Db, record: &InvocationRecord) -> Result<(), Fault> {
    let SessionKey { runtime, endpoint, session } = &record.session;
    db.execute(
        "INSERT OR REPLACE INTO invocation
             (id, runtime, endpoint, session, owner, request, created_at, state, ended_at, head, bytes, failure)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            record.id.as_str(),
            runtime.as_str(),
            endpoint.as_str(),
            session.as_str(),
            record.owner.as_bytes(),
            record.request.as_str(),
            record.created_at.0,
            record.state.as_str(),
            record.ended_at.map(|at| at.0),
            record.head.as_ref().map(Json),
            i64::try_from(record.bytes).unwrap_or(i64::MAX),
            record.failure.as_ref().map(Json)
        ],
    )?;
    Ok(())
}

/// Returns all, oldest first.
fn list(db: &Db) -> Result<Vec<InvocationRecord>, Fault> {
    db.all("SELECT * FROM invocation ORDER BY created_at, id", [], record)
}

/// Removes those with these ids.
fn remove(db: &Db, ids: &[InvocationId]) -> Result<(), Fault> {
    for id in ids {
        db.execute("DELETE FROM invocation WHERE id = ?1", [id.as_str()])?;
    }
    Ok(())
}

fn record(row: &Row<'_>) -> Result<InvocationRecord, Fault> {
    Ok(InvocationRecord {
        id: row.get::<_, Word<_>>("id")?.0,
        session: SessionKey {
            runtime: row.get::<_, Word<_>>("runtime")?.0,
            endpoint: row.get::<_, Word<_>>("endpoint")?.0,
            session: row.get::<_, Word<_>>("session")?.0,
        },
        owner: SessionOwner::new(row.get("owner")?),
        request: row.get::<_, Word<_>>("request")?.0,
        created_at: millis(row, "created_at")?,
        state: row.get::<_, Word<_>>("state")?.0,
        ended_at: row.get::<_, Option<i64>>("ended_at")?.map(UnixMillis),
        head: row.get::<_, Option<Json<_>>>("head")?.map(|json| json.0),
        bytes: u64::try_from(row.get::<_, i64>("bytes")?).unwrap_or_default(),
        failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
    })
}
