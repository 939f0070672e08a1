//! Entries that are no removals, put at their place: files, directories and links.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::{Fault, Tree, joined};
use crate::image::unpack::disk::{Attributes, READ_DIRECTORY, io, kind_of, times};
use crate::image::unpack::entry::{Entry, Kind, shown};
use crate::image::unpack::{Error, Problem};

impl Tree {
    pub(super) fn place(
        &mut self,
        parent: &OwnedFd,
        entry: &Entry,
        name: &OsStr,
        content: &mut impl Read,
    ) -> Result<(), Fault> {
        let path = joined(&entry.path);
        let present = kind_of(parent, name)?;
        if entry.kind == Kind::Directory {
            if present == Some(FileType::Directory) {
                self.directories.insert(path, Attributes::of(entry));
                let there = sys::openat(parent, name, READ_DIRECTORY, Mode::empty()).map_err(io)?;
                self.dropped += entry.extended.give(there)?;
                return Ok(());
            }
            if present.is_some() && !self.whiteouts.contains(&path) {
                sys::unlinkat(parent, name, AtFlags::empty()).map_err(io)?;
            }
            let made = self.make_directory(parent, name, path, Attributes::of(entry))?;
            self.dropped += entry.extended.give(made)?;
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
        // Before its mode, which may be one that takes no more.
        self.dropped += entry.extended.give(&file)?;
        Attributes::of(entry).give(&file, self.is_root)
    }
}
