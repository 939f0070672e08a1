//! From a backup to a data directory. The file is hostile until checked: it is read to its end before anything is made, and what
//! it names can only lie where a backup has it.
//!
//! ```text
//! checksum and names ► <data dir>/.restoring/ ► the database opens with its key ► moved into place, the database last
//! ```

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use innkeep_auth::Digest;
use innkeep_store::Store;
use tar::{Archive, Entry, EntryType};
use walkdir::WalkDir;

use crate::backup::{ARTIFACTS, CHECKSUM, DATABASE, Error, FORMAT, SETTINGS};
use crate::data_dir::DataDir;

/// Makes `data_dir`, which is empty or does not exist, from the backup `file`. On an error it is left as it was.
pub async fn restore(file: &Path, data_dir: &Path) -> Result<(), Error> {
    let is_new = !data_dir.exists();
    if !is_new && !is_empty(data_dir).map_err(Error::io("list", data_dir))? {
        return Err(Error::NotEmpty(data_dir.to_owned()));
    }
    let from = file.to_owned();
    let checked = tokio::task::spawn_blocking(move || check(&from)).await;
    checked.map_err(io::Error::other).and_then(|checked| checked).map_err(|source| refuse(file, source))?;
    let locked = DataDir::lock(data_dir)?;
    let staging = Staging { path: locked.path().join(".restoring"), directory: is_new.then(|| data_dir.to_owned()) };
    let (from, to) = (file.to_owned(), staging.path.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&from, &to)).await;
    unpacked.map_err(io::Error::other).and_then(|unpacked| unpacked).map_err(|source| refuse(file, source))?;
    // Refuses what is no database, is of a newer program, or does not belong to the key.
    Store::open(&staging.path).await?.close().await?;
    staging.place(locked.path()).map_err(Error::io("write to", data_dir))
}

fn refuse(file: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::AlreadyExists => {
            Error::Damaged { file: file.to_owned(), problem: source.to_string() }
        }
        _ => Error::io("restore", file)(source),
    }
}

fn is_empty(data_dir: &Path) -> io::Result<bool> {
    // An unlocked lock is what a server that never got further leaves.
    Ok(fs::read_dir(data_dir)?.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lock")))
}

/// What is being restored, on its way; removed with this value unless it was placed.
struct Staging {
    path: PathBuf,
    /// The data directory, if it was made for this.
    directory: Option<PathBuf>,
}

impl Staging {
    fn place(mut self, data_dir: &Path) -> io::Result<()> {
        for entry in WalkDir::new(self.path.join("artifacts/layers")).min_depth(1).contents_first(true) {
            let entry = entry?;
            if entry.file_type().is_dir() {
                fs::set_permissions(entry.path(), Permissions::from_mode(0o555))?;
            }
        }
        rustix::fs::syncfs(File::open(&self.path)?)?;
        for name in SETTINGS.into_iter().chain(["artifacts", DATABASE]) {
            match fs::rename(self.path.join(name), data_dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
        }
        self.directory = None;
        File::open(data_dir)?.sync_all()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed keeps a server from being restored over it, and is named then.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(directory) = &self.directory {
            let _ = fs::remove_file(directory.join("lock"));
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Reads the file to its end: the format, every name, and the checksum.
fn check(file: &Path) -> io::Result<()> {
    let mut archive = Archive::new(File::open(file)?);
    let mut entries = archive.entries_with_seek()?;
    let mut format = Vec::new();
    match entries.next().transpose()? {
        Some(first) if first.path_bytes() == FORMAT.0.as_bytes() => first.take(1024).read_to_end(&mut format)?,
        _ => return Err(bad("it is no backup that innkeep made")),
    };
    if format != FORMAT.1 {
        return Err(bad("it was made by a newer innkeep"));
    }
    while let Some(mut entry) = entries.next().transpose()? {
        if entry.path_bytes() != CHECKSUM.as_bytes() {
            place(&entry)?;
            continue;
        }
        let (end, mut expected) = (entry.raw_header_position(), Vec::new());
        entry.by_ref().take(1024).read_to_end(&mut expected)?;
        if expected != sum(file, end)? {
            return Err(bad("it was changed since it was made"));
        }
        return match entries.next() {
            None => Ok(()),
            Some(_) => Err(bad("it goes on after its end")),
        };
    }
    Err(bad("it is not whole: its end is missing"))
}

/// Returns the SHA-256 of the first `length` bytes.
fn sum(file: &Path, length: u64) -> io::Result<[u8; 32]> {
    let (mut reader, mut sum, mut buffer) = (File::open(file)?.take(length), Digest::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(sum.finish()),
            n => sum.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn unpack(file: &Path, staging: &Path) -> io::Result<()> {
    fs::create_dir(staging)?;
    let mut archive = Archive::new(BufReader::new(File::open(file)?));
    let mut links = Vec::new();
    for entry in archive.entries()?.skip(1) {
        let mut entry = entry?;
        if entry.path_bytes() == CHECKSUM.as_bytes() {
            break;
        }
        let (path, kind) = place(&entry)?;
        let at = staging.join(path);
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        match kind {
            Kind::Directory => fs::create_dir_all(&at)?,
            Kind::File { mode } => {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&at)?;
                io::copy(&mut entry, &mut file)?;
            }
            Kind::Link { target } => links.push((target, at)),
        }
    }
    // Last, so that nothing is ever written through one.
    links.into_iter().try_for_each(|(target, at)| symlink(target, at))
}

/// What an entry becomes.
enum Kind {
    Directory,
    File { mode: u32 },
    Link { target: PathBuf },
}

/// Returns where an entry goes and what it becomes; an error if no backup has such an entry.
fn place<R: Read>(entry: &Entry<'_, R>) -> io::Result<(PathBuf, Kind)> {
    let path = entry.path()?.into_owned();
    let refused = || bad(format!("{} has no place in a backup", path.display()));
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(refused)?),
            _ => return Err(refused()),
        }
    }
    let kind = match (parts.as_slice(), entry.header().entry_type()) {
        ([name], EntryType::Regular) if *name == DATABASE || SETTINGS.contains(name) => Kind::File { mode: 0o600 },
        (["artifacts", part], EntryType::Directory) if ARTIFACTS.contains(part) => Kind::Directory,
        (["artifacts", "zips" | "objects" | "manifests", _], EntryType::Regular) => Kind::File { mode: 0o600 },
        (["artifacts", "layers", _, ..], EntryType::Directory) => Kind::Directory,
        (["artifacts", "layers", _, _, ..], EntryType::Regular) => {
            let executable = entry.header().mode()? & 0o111 != 0;
            Kind::File { mode: if executable { 0o555 } else { 0o444 } }
        }
        (["artifacts", "layers", _, inside @ .., _], EntryType::Symlink) => {
            let target = entry.link_name()?.ok_or_else(refused)?.into_owned();
            if !stays_inside(&target, inside.len()) {
                return Err(refused());
            }
            Kind::Link { target }
        }
        _ => return Err(refused()),
    };
    Ok((path, kind))
}

/// Tells whether a link that lies `depth` directories below its layer's top leads to something in that layer. `..` is taken at the
/// front only: behind a name, which may be a link itself, nobody knows where it leads.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let up = target.components().take_while(|component| *component == Component::ParentDir).count();
    up <= depth && target.components().skip(up).all(|component| matches!(component, Component::Normal(_)))
}

fn bad(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

#[cfg(test)]
mod tests;
