//! The sandbox's two directories on the host, held by descriptor: behind walls they have no path any more.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use innkeep_protocol::link::{LaunchPlan, SOCKET_FILE};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, statat};

/// Where control socket, facts and output of a sandbox are.
#[derive(Debug)]
pub(crate) struct Place {
    /// Holds the control socket, and the facts.
    pub(crate) directory: OwnedFd,
    /// Holds the output, under the names `log` and `log` with `.1`.
    logs: OwnedFd,
    log: OsString,
}

impl Place {
    /// Takes hold of the directories that `plan` names.
    pub(crate) fn open(plan: &LaunchPlan) -> io::Result<Self> {
        Self::at(&plan.directory, &plan.log_file)
    }

    /// Takes hold of these directories.
    pub(crate) fn at(directory: &Path, log_file: &Path) -> io::Result<Self> {
        let (Some(logs), Some(log)) = (log_file.parent(), log_file.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok(Self { directory: open_directory(directory)?, logs: open_directory(logs)?, log: log.to_owned() })
    }

    /// Writes `value` as JSON to `name` in the sandbox directory, all of it or none.
    pub(crate) fn write(&self, name: &str, value: &impl serde::Serialize) -> io::Result<()> {
        let new = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.directory, &new, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(&serde_json::to_vec(value)?)?;
        Ok(renameat(&self.directory, &new, &self.directory, name)?)
    }

    /// Tells whether the server still wants the sandbox: its directory, or at least its socket, is gone otherwise.
    pub(crate) fn is_wanted(&self) -> bool {
        statat(&self.directory, SOCKET_FILE, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens the log for appending, or goes on with the one that is there; also returns its size.
    pub(crate) fn open_log(&self) -> io::Result<(File, u64)> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.logs, &self.log, flags, Mode::RUSR | Mode::WUSR)?);
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Puts the log aside, over the one that was put aside before, and opens a new one.
    pub(crate) fn rotate_log(&self) -> io::Result<(File, u64)> {
        let mut old = self.log.clone();
        old.push(".1");
        renameat(&self.logs, &self.log, &self.logs, &old)?;
        self.open_log()
    }
}

/// Takes hold of a directory, without the right to list it.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
