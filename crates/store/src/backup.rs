//! A copy of the database as it is at one moment, taken while its server writes on.

use std::path::Path;

use rusqlite::OpenFlags;

use crate::db::{connect, database};
use crate::error::{Error, Fault};

/// Writes the copy to `to`, which does not exist. It is one file, without a write-ahead log, and opens with the same key.
pub(crate) fn copy(data_dir: &Path, to: &Path) -> Result<(), Error> {
    let path = database(data_dir);
    let copied = || {
        // To read a log that nobody has open its index is rebuilt, which is writing; the database itself is not touched.
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // In one read transaction: writers go on, and what they commit meanwhile is not in the copy.
        conn.execute("VACUUM INTO ?1", [to.to_string_lossy()])
    };
    copied().map(drop).map_err(|e| Fault::from(e).at(&path))
}
