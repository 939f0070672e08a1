//! What the tree of a layer asks of the file system, and what file systems say when they cannot.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::image::unpack::entry::{Entry, shown};
use crate::image::unpack::{Error, Problem};

pub(super) const READ_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a file or directory is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: Option<i64>,
}

impl Attributes {
    /// A directory that no entry describes.
    pub(super) const IMPLIED: Self = Self { mode: 0o755, uid: 0, gid: 0, mtime: None };

    pub(super) fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: Some(entry.mtime) }
    }

    /// Tells whether they are those of a directory that no entry describes.
    pub(super) fn is_implied(self) -> bool {
        self.mtime.is_none()
    }

    /// Gives them to `file`; the owner only where files have one.
    pub(super) fn give(self, file: impl AsFd, has_owner: bool) -> Result<(), Error> {
        if has_owner {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            sys::fchown(&file, Some(uid), Some(gid)).map_err(io)?;
        }
        sys::fchmod(&file, Mode::from_raw_mode(self.mode.into())).map_err(io)?;
        match self.mtime {
            Some(mtime) => sys::futimens(&file, &times(mtime)).map_err(io),
            None => Ok(()),
        }
    }
}

/// Says what file systems take less of than others as a problem of the entry.
pub(super) fn of_entry(error: Error, path: &Path) -> Error {
    let errno = if let Error::Io(error) = &error { Errno::from_io_error(error) } else { None };
    let problem = match errno {
        Some(Errno::NAMETOOLONG) => Problem::TooLong,
        Some(Errno::MLINK) => Problem::TooManyLinks,
        _ => return error,
    };
    Error::Entry { path: shown(path.as_os_str().as_bytes()), problem }
}

pub(super) fn kind_of(parent: &OwnedFd, name: &OsStr) -> Result<Option<FileType>, Error> {
    match sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(io(error)),
    }
}

pub(super) fn set_opaque(directory: &OwnedFd) -> Result<(), Error> {
    sys::fsetxattr(directory, "user.overlay.opaque", b"y", XattrFlags::empty()).map_err(|error| match error {
        Errno::NOTSUP => Error::Io(io::Error::other(
            "the file system of the data directory has no extended attributes of users (user_xattr), which layers of images need",
        )),
        error => io(error),
    })
}

pub(super) fn whiteout(error: Errno) -> Error {
    match error {
        Errno::PERM => Error::Io(io::Error::other(
            "a character device 0:0, the mark of a removed file, cannot be made: that takes Linux 5.8 or newer, or root",
        )),
        error => io(error),
    }
}

pub(super) fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn io(error: Errno) -> Error {
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
