//! One connection to the database and what every query needs beside it.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params, Row};

use crate::error::{Error, Fault};
use crate::migrate;
use crate::quotas::Quotas;
use crate::seal::Sealer;

/// How long a connection waits for another program's lock (a backup, somebody's `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection. Queries are functions that take it.
#[derive(Debug)]
pub(crate) struct Db {
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) sealer: Arc<Sealer>,
    /// Of no use to readers.
    pub(crate) quotas: Quotas,
    /// Whether something was written that `Store::resolve` or `Store::get_attached` reads.
    resolve_changed: Cell<bool>,
}

impl Db {
    /// Opens the connection that writes; creates, migrates and unlocks the database.
    pub(crate) fn open_writer(data_dir: &Path, quotas: Quotas) -> Result<Self, Error> {
        let path = database(data_dir);
        let open = || {
            create_private(&path);
            let mut conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
            conn.pragma_update(None, "journal_mode", "WAL")?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update(None, "foreign_keys", true)?;
            migrate::run(&mut conn, &path)?;
            let sealer = Arc::new(Sealer::unlock(&conn, data_dir)?);
            Ok((conn, sealer))
        };
        let (conn, sealer) = open().map_err(|fault: Fault| fault.at(&path))?;
        Ok(Self { conn, path, sealer, quotas, resolve_changed: Cell::new(false) })
    }

    /// Opens a connection that reads the database at `path`, which a writer has open.
    pub(crate) fn open_reader(path: &Path, sealer: &Arc<Sealer>) -> Result<Self, Error> {
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| Fault::from(e).at(path))?;
        let (path, sealer) = (path.to_owned(), Arc::clone(sealer));
        Ok(Self { conn, path, sealer, quotas: Quotas::default(), resolve_changed: Cell::new(false) })
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.conn.execute(sql, params)
    }

    /// Returns all rows, read by `read`.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        self.conn.prepare(sql)?.query_and_then(params, read)?.collect()
    }

    /// Returns the first row, read by `read`.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.conn.prepare(sql)?.query_and_then(params, read)?.next().transpose()
    }

    /// Tells whether the query has a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool, Fault> {
        Ok(self.conn.prepare(sql)?.exists(params)?)
    }

    /// Returns the number that the query counts.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<u32, Fault> {
        Ok(self.conn.query_row(sql, params, |row| row.get(0))?)
    }

    /// Notes that what `Store::resolve` or `Store::get_attached` answers may be another thing after the commit.
    pub(crate) fn mark_resolve_changed(&self) {
        self.resolve_changed.set(true);
    }

    /// Returns whether that was noted since the last call.
    pub(crate) fn take_resolve_changed(&self) -> bool {
        self.resolve_changed.take()
    }

    /// Moves the write-ahead log into the database and empties it, as far as readers allow.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|e| Fault::from(e).at(&self.path))
    }
}

/// Returns the database's path in `data_dir`.
pub(crate) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("innkeep.db")
}

/// Opens a connection that waits for others' locks.
pub(crate) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    Ok(conn)
}

/// Creates the file for its owner only; SQLite gives its companions the same mode. An existing file is not opened:
/// closing it would drop the locks that this process holds on it.
fn create_private(path: &Path) {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            tracing::debug!("cannot create {}: {e}; SQLite will say more", path.display());
        }
        _ => {}
    }
}
