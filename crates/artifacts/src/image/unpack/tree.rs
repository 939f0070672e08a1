//! The directory that a layer is unpacked into: entries are put at their places, walking from its root one directory at a time.
//!
//! A removed file becomes a character device 0:0 (which ordinary users may make since Linux 5.8), a directory that hides those
//! below it gets the attribute `user.overlay.opaque`. A whiteout means lower layers only, so what the layer itself has at that
//! name stays, and hides what lies below it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, FileType, Mode};
use rustix::io::Errno;

use crate::image::unpack::disk::{Attributes, READ_DIRECTORY, io, kind_of, of_entry, set_opaque, whiteout};
use crate::image::unpack::entry::{Entry, Kind, shown};
use crate::image::unpack::{Error, Problem};
use crate::room::Room;

mod place;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files that aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// What an entry takes besides its content, about. Source: the block of most file systems.
const ENTRY_BYTES: u64 = 4096;

/// The directory, and what is to be remembered of it.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// Whether files can be given to others.
    is_root: bool,
    directories: BTreeMap<PathBuf, Attributes>,
    whiteouts: HashSet<PathBuf>,
    name_bytes_left: u64,
    /// The directory that the last entry was put into.
    last: Option<(Vec<OsString>, OwnedFd)>,
    skipped: u64,
    /// Extended attributes that the file system did not take.
    dropped: u64,
    is_opaque: bool,
    buffer: Vec<u8>,
    room: Room,
}

impl Tree {
    /// Opens an empty directory, for names of so many bytes together.
    pub(super) fn open(root: &Path, name_bytes: u64) -> Result<Self, Error> {
        Ok(Self {
            root: File::open(root)?.into(),
            is_root: rustix::process::geteuid().is_root(),
            directories: BTreeMap::from([(PathBuf::new(), Attributes::IMPLIED)]),
            whiteouts: HashSet::new(),
            name_bytes_left: name_bytes,
            last: None,
            skipped: 0,
            dropped: 0,
            is_opaque: false,
            buffer: vec![0; 128 << 10],
            room: Room::default(),
        })
    }

    /// Tells whether files are given to their owners.
    pub(super) fn keeps_owners(&self) -> bool {
        self.is_root
    }

    /// Returns how many devices, pipes and sockets were left out.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns how many extended attributes the file system did not take.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Puts `entry` at its place; of a file, `content` is what it holds.
    pub(super) fn put(&mut self, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        self.room.take(&self.root, ENTRY_BYTES + entry.extended.bytes())?;
        let path = joined(&entry.path);
        self.put_any(entry, content).map_err(|error| of_entry(error, &path))
    }

    fn put_any(&mut self, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        let refuse = |problem| Error::Entry { path: shown(joined(&entry.path).as_os_str().as_bytes()), problem };
        let Some((name, above)) = entry.path.split_last() else {
            if entry.kind != Kind::Directory {
                return Err(refuse(Problem::Name));
            }
            self.directories.insert(PathBuf::new(), Attributes::of(&entry));
            self.dropped += entry.extended.give(&self.root)?;
            return Ok(());
        };
        if entry.path.iter().any(|part| part.as_bytes().starts_with(AUFS) && part != OsStr::from_bytes(OPAQUE)) {
            return Ok(());
        }
        if above.iter().any(|part| part.as_bytes().starts_with(WHITEOUT)) {
            return Err(refuse(Problem::Whiteout));
        }
        if entry.kind == Kind::Special && !name.as_bytes().starts_with(WHITEOUT) {
            self.skipped += 1;
            return Ok(());
        }
        let parent = self.enter(above)?;
        if name.as_bytes() == OPAQUE {
            self.is_opaque |= above.is_empty();
            set_opaque(&sys::openat(&parent, ".", READ_DIRECTORY, Mode::empty()).map_err(io)?)?;
        } else if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            self.hide(&parent, above, OsStr::from_bytes(hidden)).map_err(|error| error.into_error(refuse))?;
        } else {
            self.place(&parent, &entry, name, content).map_err(|error| error.into_error(refuse))?;
        }
        self.last = Some((above.to_vec(), parent));
        Ok(())
    }

    /// Gives every directory what it is to have. Returns whether the layer hides all below it, and the directories below the root that
    /// no entry described.
    pub(super) fn finish(self) -> Result<(bool, Vec<PathBuf>), Error> {
        // Backwards, so that what lies within comes first: its directory may then be closed to us.
        for (path, attributes) in self.directories.iter().rev() {
            let mut directory = self.root.try_clone()?;
            for part in path {
                directory = sys::openat(&directory, part, READ_DIRECTORY, Mode::empty()).map_err(io)?;
            }
            attributes.give(&directory, self.is_root)?;
        }
        let implied = self.directories.into_iter().filter(|(path, attributes)| {
            // Of the root a sandbox has one of its own.
            attributes.is_implied() && !path.as_os_str().is_empty()
        });
        Ok((self.is_opaque, implied.map(|(path, _)| path).collect()))
    }

    /// Returns the directory at `path`; it is made, with those above it, where no entry did.
    fn enter(&mut self, path: &[OsString]) -> Result<OwnedFd, Error> {
        if let Some((last, fd)) = self.last.take()
            && last == path
        {
            return Ok(fd);
        }
        let mut directory = self.root.try_clone()?;
        for (idx, part) in path.iter().enumerate() {
            let here = || joined(path.get(..=idx).unwrap_or_default());
            let refuse = |problem| Error::Entry { path: shown(joined(path).as_os_str().as_bytes()), problem };
            directory = match sys::openat(&directory, part, READ_DIRECTORY, Mode::empty()) {
                Ok(below) => below,
                Err(Errno::NOENT) => self.make_directory(&directory, part, here(), Attributes::IMPLIED)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    if !self.whiteouts.contains(&here()) {
                        return Err(refuse(match kind_of(&directory, part)? {
                            Some(FileType::Symlink) => Problem::BelowLink,
                            _ => Problem::BelowFile,
                        }));
                    }
                    self.make_directory(&directory, part, here(), Attributes::IMPLIED)?
                }
                Err(error) => return Err(io(error)),
            };
        }
        Ok(directory)
    }

    /// Notes that a name of lower layers is removed.
    fn hide(&mut self, parent: &OwnedFd, above: &[OsString], name: &OsStr) -> Result<(), Fault> {
        if matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(Fault::Problem(Problem::Whiteout));
        }
        let path = joined(above).join(name);
        match kind_of(parent, name)? {
            None => {
                self.count_name(&path)?;
                sys::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(whiteout)?;
                self.whiteouts.insert(path);
            }
            Some(FileType::Directory) => {
                set_opaque(&sys::openat(parent, name, READ_DIRECTORY, Mode::empty()).map_err(io)?)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Makes the directory at `path`; one that takes a whiteout's place hides what that hid.
    fn make_directory(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: PathBuf,
        attributes: Attributes,
    ) -> Result<OwnedFd, Error> {
        let hides = self.whiteouts.remove(&path);
        if hides {
            sys::unlinkat(parent, name, AtFlags::empty()).map_err(io)?;
        }
        self.count_name(&path)?;
        sys::mkdirat(parent, name, Mode::RWXU).map_err(io)?;
        let made = sys::openat(parent, name, READ_DIRECTORY, Mode::empty()).map_err(io)?;
        if hides {
            set_opaque(&made)?;
        }
        self.directories.insert(path, attributes);
        Ok(made)
    }

    fn count_name(&mut self, path: &Path) -> Result<(), Error> {
        let bytes = u64::try_from(path.as_os_str().len()).unwrap_or(u64::MAX);
        self.name_bytes_left = self.name_bytes_left.checked_sub(bytes).ok_or(Error::TooManyNames)?;
        Ok(())
    }
}

/// An entry that is refused, or a host that fails.
enum Fault {
    Problem(Problem),
    Error(Error),
}

impl Fault {
    fn into_error(self, refuse: impl FnOnce(Problem) -> Error) -> Error {
        match self {
            Self::Problem(problem) => refuse(problem),
            Self::Error(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn joined(path: &[OsString]) -> PathBuf {
    path.iter().collect()
}
