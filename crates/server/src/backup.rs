//! A backup: all that a data directory needs to live elsewhere, in one tar file that only its owner may read.
//!
//! ```text
//! format                        "innkeep backup 1"
//! innkeep.db                    as it was at one moment
//! secret.key, credentials, operator-token, innkeep.toml, ca.key, ca.pem
//! artifacts/{zips,objects,manifests,layers}/…
//! checksum                      SHA-256 of every byte before this entry: a file that was cut or changed is told
//! ```
//!
//! It is made from the files and not by asking the server: whoever may read the key file may make one, a key of the API must not
//! be enough. Bundles are left out, because they are made for one host and one directory; the next start makes them again.
//! Sandboxes and logs belong to the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use innkeep_auth::Digest;
use innkeep_store::Store;
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;
use walkdir::WalkDir;

use crate::data_dir;

/// The first entry and what it says.
pub(crate) const FORMAT: (&str, &[u8]) = ("format", b"innkeep backup 1\n");

pub(crate) const DATABASE: &str = "innkeep.db";

/// Files beside the database, as far as they are there.
pub(crate) const SETTINGS: [&str; 6] =
    ["secret.key", "credentials", "operator-token", "innkeep.toml", "ca.key", "ca.pem"];

/// Below `artifacts/`: what was uploaded, and what was installed for it.
pub(crate) const ARTIFACTS: [&str; 4] = ["zips", "objects", "manifests", "layers"];

/// The last entry.
pub(crate) const CHECKSUM: &str = "checksum";

/// Why a backup could not be made or restored. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to back up.
    #[error("{0} is no data directory: it has no {DATABASE}; name the right one with --data-dir")]
    NoData(PathBuf),
    /// Restoring never replaces anything.
    #[error("{0} is not empty; restore into a new directory, with --data-dir DIR")]
    NotEmpty(PathBuf),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The file is no backup, or not a whole one.
    #[error("{file} cannot be restored: {problem}")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The database cannot be copied, or what the backup holds is none.
    #[error(transparent)]
    Store(#[from] innkeep_store::Error),
    /// The file system refused something.
    #[error("could not {what} {path}")]
    Io {
        /// `read`, `write`, …
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Writes a backup of `data_dir`, whose server may run, to `file`, replacing a backup that is there once this one is whole.
/// Returns its size in bytes.
pub async fn backup(data_dir: &Path, file: &Path) -> Result<u64, Error> {
    if !data_dir.join(DATABASE).is_file() {
        return Err(Error::NoData(data_dir.to_owned()));
    }
    let file = std::path::absolute(file).map_err(Error::io("find", file))?;
    let beside = file.parent().unwrap_or(&file).to_owned();
    let scratch = tempfile::tempdir_in(&beside).map_err(Error::io("write to", &beside))?;
    let database = scratch.path().join(DATABASE);
    // First: what it needs of the artifacts is then there already.
    Store::copy(data_dir, &database).await?;
    let data_dir = data_dir.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let make = || {
            let new = NamedTempFile::new_in(&beside)?;
            write(new.as_file(), &data_dir, &database)?;
            new.as_file().sync_all()?;
            Ok::<_, io::Error>(new)
        };
        let new = match make() {
            // The server removed what no version needs any more. From the start, or half of it would be in the backup.
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(),
            made => made,
        };
        let new = new.map_err(Error::io("write", &file))?;
        let written = new.persist(&file).map_err(|e| Error::io("write", &file)(e.error))?;
        let bytes = written.metadata().map_err(Error::io("read", &file))?.len();
        File::open(&beside).and_then(|d| d.sync_all()).map_err(Error::io("write to", &beside))?;
        Ok(bytes)
    });
    let written = written.await.map_err(io::Error::other).map_err(Error::io("write", scratch.path()))?;
    drop(scratch);
    written
}

fn write(file: &File, data_dir: &Path, database: &Path) -> io::Result<()> {
    let mut tar = Builder::new(Summed { inner: io::BufWriter::new(file), sum: Digest::new() });
    append(&mut tar, FORMAT.0, FORMAT.1)?;
    append_file(&mut tar, Path::new(DATABASE), database)?;
    for name in SETTINGS {
        match append_file(&mut tar, Path::new(name), &data_dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            appended => appended?,
        }
    }
    for part in ARTIFACTS {
        let part = data_dir.join("artifacts").join(part);
        if !part.exists() {
            continue;
        }
        for entry in WalkDir::new(part) {
            let entry = entry?;
            let name = entry.path().strip_prefix(data_dir).map_err(io::Error::other)?;
            if entry.file_type().is_dir() {
                let mut header = header(EntryType::Directory, 0o755);
                tar.append_data(&mut header, name, io::empty())?;
            } else if entry.path_is_symlink() {
                let mut header = header(EntryType::Symlink, 0o777);
                tar.append_link(&mut header, name, std::fs::read_link(entry.path())?)?;
            } else {
                append_file(&mut tar, name, entry.path())?;
            }
        }
    }
    let sum = tar.get_ref().sum.clone().finish();
    append(&mut tar, CHECKSUM, &sum)?;
    tar.into_inner()?.flush()
}

fn append_file<W: Write>(tar: &mut Builder<W>, name: &Path, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o600 } else { 0o700 };
    let mut header = header(EntryType::Regular, mode);
    header.set_size(metadata.size());
    tar.append_data(&mut header, name, file.take(metadata.size()))
}

pub(crate) fn append<W: Write>(tar: &mut Builder<W>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = header(EntryType::Regular, 0o600);
    header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
    tar.append_data(&mut header, name, content)
}

pub(crate) fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

/// Sums up what passes.
struct Summed<W> {
    inner: W,
    sum: Digest,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
