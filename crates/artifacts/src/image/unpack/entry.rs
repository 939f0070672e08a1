//! From the headers of a tar to what each entry is: names and ids from pax and GNU extensions, checked.
//!
//! By hand upon the raw entries of the tar crate, because it reads extensions of any size into memory and splits those of pax at
//! line ends, which values may have.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use tar::EntryType;

use crate::image::unpack::extended::Extended;
use crate::image::unpack::{Error, MAX_ID, Problem};

/// The largest extension that is read, bytes. Source: our choice: sixteen of the longest names.
pub(super) const MAX_EXTENSION_BYTES: usize = 1 << 20;

/// The longest path, bytes. Source: Linux, `PATH_MAX`, less what stands before it.
const MAX_PATH_BYTES: usize = 2048;
/// The deepest path: it is walked for each entry that lies elsewhere than the one before. Source: our choice; nested node_modules
/// reach 40.
const MAX_DEPTH: usize = 64;
/// The longest name. Source: Linux, `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// The longest target of a symbolic link. Source: Linux, `PATH_MAX` less the final NUL.
const MAX_TARGET_BYTES: usize = 4095;

/// One entry, its name split.
#[derive(Debug)]
pub(super) struct Entry {
    /// Empty: the root directory of the image.
    pub(super) path: Vec<OsString>,
    pub(super) kind: Kind,
    /// Permissions, and the sticky bit.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since the epoch.
    pub(super) mtime: i64,
    pub(super) extended: Extended,
}

/// What it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    /// To a target as it stands.
    SymbolicLink(OsString),
    /// To another file of the layer.
    HardLink(Vec<OsString>),
    /// A device, pipe or socket.
    Special,
}

/// What extensions say of the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Whether files are given to their owners.
    keeps_owners: bool,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    size: Option<u64>,
    is_sparse: bool,
    extended: Extended,
}

impl Entries {
    /// Returns a reader of entries that checks owners only if they are kept.
    pub(super) fn new(keeps_owners: bool) -> Self {
        Self { keeps_owners, ..Self::default() }
    }

    /// Returns the entry, or none if it says something of the next.
    pub(super) fn take<R: Read>(&mut self, raw: &mut tar::Entry<'_, R>) -> Result<Option<Entry>, Error> {
        let kind = raw.header().entry_type();
        match kind {
            EntryType::GNULongName => self.path = Some(name(read(raw)?)),
            EntryType::GNULongLink => self.target = Some(name(read(raw)?)),
            EntryType::XHeader => self.extend(&read(raw)?).ok_or_else(|| refuse(raw, Problem::Extension))?,
            // Defaults for all that follows: of what is kept nobody writes any there.
            EntryType::XGlobalHeader => {
                read(raw)?;
            }
            _ => {
                let said = std::mem::replace(self, Self::new(self.keeps_owners));
                return said.entry(raw, kind).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads records of the form `LENGTH KEY=VALUE\n`.
    fn extend(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ')?;
            let length: usize = text(records.get(..space)?)?.parse().ok()?;
            let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
            records = records.get(length..)?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"uid" => self.uid = Some(text(value)?.parse().ok()?),
                b"gid" => self.gid = Some(text(value)?.parse().ok()?),
                b"size" => self.size = Some(text(value)?.parse().ok()?),
                // Fractions of seconds are not kept.
                b"mtime" => self.mtime = Some(text(value)?.split('.').next()?.parse().ok()?),
                _ => {
                    self.is_sparse |= key.starts_with(b"GNU.sparse.");
                    self.extended.add(key, value);
                }
            }
        }
        Some(())
    }

    fn entry<R: Read>(self, raw: &tar::Entry<'_, R>, kind: EntryType) -> Result<Entry, Error> {
        let header = raw.header();
        let full = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let refuse = |problem| Error::Entry { path: shown(&full), problem };
        if self.is_sparse || kind == EntryType::GNUSparse {
            return Err(refuse(Problem::Sparse));
        }
        if self.extended.is_excessive() {
            return Err(refuse(Problem::Extended));
        }
        // Two sizes are how a tar is made to look different to two readers.
        if self.size.is_some_and(|size| size != raw.size()) {
            return Err(refuse(Problem::Extension));
        }
        let path = split(&full).map_err(refuse)?;
        let target = || self.target.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let kind = match kind {
            // As tars were before they had a kind for directories.
            EntryType::Regular if full.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::SymbolicLink(symbolic(target()).ok_or_else(|| refuse(Problem::SymbolicLink))?),
            EntryType::Link => Kind::HardLink(split(&target().unwrap_or_default()).map_err(refuse)?),
            EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Special,
            other => return Err(refuse(Problem::Kind(char::from(other.as_byte())))),
        };
        let old = header.as_old();
        // Writers leave fields empty that are 0.
        let number = |field: &[u8], read: io::Result<u64>| match read {
            Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
            read => read.map_err(Error::Damaged),
        };
        let id = |pax: Option<u64>, field: &[u8], read: io::Result<u64>| {
            let id = pax.map_or_else(|| number(field, read), Ok)?;
            match u32::try_from(id) {
                Ok(id) if id <= MAX_ID => Ok(id),
                _ if self.keeps_owners => Err(refuse(Problem::Owner { id })),
                _ => Ok(MAX_ID),
            }
        };
        let plain_mtime = || i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        Ok(Entry {
            path,
            kind,
            mode: u16::try_from(number(&old.mode, header.mode().map(u64::from))? & 0o1777).unwrap_or(0),
            uid: id(self.uid, &old.uid, header.uid())?,
            gid: id(self.gid, &old.gid, header.gid())?,
            mtime: self.mtime.unwrap_or_else(plain_mtime).max(0),
            extended: self.extended,
        })
    }
}

/// Splits a name as it stands in a tar. An absolute one is meant from the root of the image, as some builders write them.
fn split(name: &[u8]) -> Result<Vec<OsString>, Problem> {
    if name.len() > MAX_PATH_BYTES {
        return Err(Problem::TooLong);
    }
    if name.is_empty() || name.contains(&0) {
        return Err(Problem::Name);
    }
    let mut path = Vec::new();
    for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            return Err(Problem::Parent);
        }
        if part.len() > MAX_NAME_BYTES || path.len() == MAX_DEPTH {
            return Err(Problem::TooLong);
        }
        path.push(OsString::from_vec(part.to_vec()));
    }
    Ok(path)
}

fn symbolic(target: Option<Vec<u8>>) -> Option<OsString> {
    let target = target.filter(|target| !target.is_empty() && target.len() <= MAX_TARGET_BYTES)?;
    (!target.contains(&0)).then(|| OsString::from_vec(target))
}

fn read<R: Read>(raw: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, Error> {
    if raw.size() > MAX_EXTENSION_BYTES as u64 {
        return Err(refuse(raw, Problem::Extension));
    }
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).map_err(Error::Damaged)?;
    Ok(bytes)
}

/// Returns a GNU name without the NUL that ends it.
fn name(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn refuse<R: Read>(raw: &tar::Entry<'_, R>, problem: Problem) -> Error {
    Error::Entry { path: shown(&raw.header().path_bytes()), problem }
}

pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(200).collect()
}
