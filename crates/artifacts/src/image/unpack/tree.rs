//! The directory that a layer is unpacked into: entries are put at their places, walking from its root one directory at a time.
//!
//! A removed file becomes a character device 0:0 (which ordinary users may make since Linux 5.8), a directory that hides those
//! below it gets the attribute `user.overlay.opaque`. A whiteout means lower layers only, so what the layer itself has at that
//! name stays, and hides what lies below it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::image::unpack::entry::{Entry, Kind, shown};
use crate::image::unpack::{Error, Problem};
use crate::room::Room;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files that aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// What an entry takes besides its content, about. Source: the block of most file systems.
const ENTRY_BYTES: u64 = 4096;

/// What a directory gets once nothing is put into it any more.
#[derive(Debug, Clone, Copy)]
struct Attributes {
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: Option<i64>,
}

/// A directory that no entry describes.
const IMPLIED: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: None };

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
            directories: BTreeMap::from([(PathBuf::new(), IMPLIED)]),
            whiteouts: HashSet::new(),
            name_bytes_left: name_bytes,
            last: None,
            skipped: 0,
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

    /// Puts `entry` at its place; of a file, `content` is what it holds.
    pub(super) fn put(&mut self, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        self.room.take(&self.root, ENTRY_BYTES)?;
        let path = joined(&entry.path);
        self.put_any(entry, content).map_err(|error| of_entry(error, &path))
    }

    fn put_any(&mut self, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        let refuse = |problem| Error::Entry { path: shown(joined(&entry.path).as_os_str().as_bytes()), problem };
        let Some((name, above)) = entry.path.split_last() else {
            if entry.kind != Kind::Directory {
                return Err(refuse(Problem::Name));
            }
            self.directories.insert(PathBuf::new(), attributes(&entry));
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

    /// Gives every directory what it is to have. Returns whether the layer hides all below it.
    pub(super) fn finish(self) -> Result<bool, Error> {
        // Backwards, so that what lies within comes first: its directory may then be closed to us.
        for (path, attributes) in self.directories.iter().rev() {
            let mut directory = self.root.try_clone()?;
            for part in path {
                directory = sys::openat(&directory, part, READ_DIRECTORY, Mode::empty()).map_err(io)?;
            }
            self.give(&directory, *attributes)?;
        }
        Ok(self.is_opaque)
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
                Err(Errno::NOENT) => self.make_directory(&directory, part, here(), IMPLIED)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    if !self.whiteouts.contains(&here()) {
                        return Err(refuse(match kind_of(&directory, part)? {
                            Some(FileType::Symlink) => Problem::BelowLink,
                            _ => Problem::BelowFile,
                        }));
                    }
                    self.make_directory(&directory, part, here(), IMPLIED)?
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

    fn place(&mut self, parent: &OwnedFd, entry: &Entry, name: &OsStr, content: &mut impl Read) -> Result<(), Fault> {
        let path = joined(&entry.path);
        let present = kind_of(parent, name)?;
        if entry.kind == Kind::Directory {
            if present == Some(FileType::Directory) {
                self.directories.insert(path, attributes(entry));
                return Ok(());
            }
            if present.is_some() && !self.whiteouts.contains(&path) {
                sys::unlinkat(parent, name, AtFlags::empty()).map_err(io)?;
            }
            self.make_directory(parent, name, path, attributes(entry))?;
            return Ok(());
        }
        // Looked for before its own name is cleared: a link to itself is not one to a file.
        let linked = match &entry.kind {
            Kind::HardLink(target) => Some(self.find(target, &path)?),
            _ => None,
        };
        self.clear(parent, name, &path, present)?;
        match &entry.kind {
            Kind::File => self.write(parent, name, entry, content)?,
            Kind::SymbolicLink(target) => {
                sys::symlinkat(target, parent, name).map_err(io)?;
                if self.is_root {
                    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
                    sys::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
                }
                sys::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
            }
            Kind::HardLink(_) => {
                if let Some((directory, target)) = linked {
                    sys::linkat(directory, target, parent, name, AtFlags::empty()).map_err(io)?;
                }
            }
            Kind::Directory | Kind::Special => {}
        }
        Ok(())
    }

    /// Makes room for an entry that is no directory.
    fn clear(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path, present: Option<FileType>) -> Result<(), Fault> {
        match present {
            None => {}
            Some(FileType::Directory) => match sys::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => {
                    self.directories.remove(path);
                }
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(Fault::Problem(Problem::ReplacesDirectory)),
                Err(error) => return Err(io(error).into()),
            },
            Some(_) => {
                sys::unlinkat(parent, name, AtFlags::empty()).map_err(io)?;
                self.whiteouts.remove(path);
            }
        }
        Ok(())
    }

    /// Returns the file that a hard link is to: the directory that it lies in, and its name there.
    fn find(&self, target: &[OsString], link: &Path) -> Result<(OwnedFd, OsString), Fault> {
        let shown = shown(joined(target).as_os_str().as_bytes());
        let missing = || Fault::Problem(Problem::HardLink { target: shown.clone() });
        let (name, above) = target.split_last().ok_or_else(missing)?;
        let mut directory = self.root.try_clone().map_err(Error::Io)?;
        for part in above {
            directory = sys::openat(&directory, part, READ_DIRECTORY, Mode::empty()).map_err(|_| missing())?;
        }
        let is_file = matches!(kind_of(&directory, name)?, Some(FileType::RegularFile | FileType::Symlink));
        if is_file && joined(target) != link { Ok((directory, name.clone())) } else { Err(missing()) }
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

    fn write(&mut self, parent: &OwnedFd, name: &OsStr, entry: &Entry, content: &mut impl Read) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(sys::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(io)?);
        loop {
            let n = content.read(&mut self.buffer).map_err(Error::Damaged)?;
            match self.buffer.get(..n).unwrap_or_default() {
                [] => break,
                chunk => {
                    self.room.take(&file, n as u64)?;
                    file.write_all(chunk)?;
                }
            }
        }
        self.give(&file, attributes(entry))
    }

    fn give(&self, file: &impl std::os::fd::AsFd, attributes: Attributes) -> Result<(), Error> {
        if self.is_root {
            let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
            sys::fchown(file, Some(uid), Some(gid)).map_err(io)?;
        }
        sys::fchmod(file, Mode::from_raw_mode(attributes.mode.into())).map_err(io)?;
        match attributes.mtime {
            Some(mtime) => sys::futimens(file, &times(mtime)).map_err(io),
            None => Ok(()),
        }
    }

    fn count_name(&mut self, path: &Path) -> Result<(), Error> {
        let bytes = u64::try_from(path.as_os_str().len()).unwrap_or(u64::MAX);
        self.name_bytes_left = self.name_bytes_left.checked_sub(bytes).ok_or(Error::TooManyNames)?;
        Ok(())
    }
}

/// Says what file systems take less of than others as a problem of the entry.
fn of_entry(error: Error, path: &Path) -> Error {
    let errno = if let Error::Io(error) = &error { Errno::from_io_error(error) } else { None };
    let problem = match errno {
        Some(Errno::NAMETOOLONG) => Problem::TooLong,
        Some(Errno::MLINK) => Problem::TooManyLinks,
        _ => return error,
    };
    Error::Entry { path: shown(path.as_os_str().as_bytes()), problem }
}

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

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

fn attributes(entry: &Entry) -> Attributes {
    Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: Some(entry.mtime) }
}

fn kind_of(parent: &OwnedFd, name: &OsStr) -> Result<Option<FileType>, Error> {
    match sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(io(error)),
    }
}

fn set_opaque(directory: &OwnedFd) -> Result<(), Error> {
    sys::fsetxattr(directory, "user.overlay.opaque", b"y", XattrFlags::empty()).map_err(|error| match error {
        Errno::NOTSUP => Error::Io(io::Error::other(
            "the file system of the data directory has no extended attributes of users (user_xattr), which layers of images need",
        )),
        error => io(error),
    })
}

fn whiteout(error: Errno) -> Error {
    match error {
        Errno::PERM => Error::Io(io::Error::other(
            "a character device 0:0, the mark of a removed file, cannot be made: that takes Linux 5.8 or newer, or root",
        )),
        error => io(error),
    }
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn joined(path: &[OsString]) -> PathBuf {
    path.iter().collect()
}

fn io(error: Errno) -> Error {
    Error::Io(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_does_not_take_is_the_entrys_problem() {
        let problem = |errno| match of_entry(io(errno), Path::new("a")) {
            Error::Entry { problem, .. } => Some(problem),
            _ => None,
        };
        assert!(matches!(problem(Errno::NAMETOOLONG), Some(Problem::TooLong)));
        assert!(matches!(problem(Errno::MLINK), Some(Problem::TooManyLinks)));
        assert!(problem(Errno::IO).is_none());
    }
}
