//! Mounting, each step with the words for its failure.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::launch::{Error, to};
use crate::sys;

/// What no file of a sandbox has.
pub(super) const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Returns the name under which mounting finds an open directory, whoever may walk there.
pub(super) fn path_of(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Mounts a new file system of type `kind`.
pub(super) fn mount(kind: &'static str, at: &Path, flags: MountFlags, data: &str) -> Result<(), Error> {
    let what = match kind {
        "tmpfs" => "mount a tmpfs",
        "overlay" => "mount an overlay",
        "proc" => "mount /proc",
        _ => "mount a file system",
    };
    let data = CString::new(data).map_err(|error| Error::Host { what, source: error.into() })?;
    rustix::mount::mount(kind, at, kind, flags, Some(data.as_c_str())).map_err(to(what))
}

/// Shows `source`, with all that is mounted below it, at `at`.
pub(super) fn bind(source: impl AsRef<Path>, at: &Path) -> Result<(), Error> {
    rustix::mount::mount_bind_recursive(source.as_ref(), at).map_err(to("show a part of the host"))
}

/// As [`bind`], read-only, without devices and without programs that change users.
pub(super) fn bind_read_only(source: impl AsRef<Path>, at: &Path) -> Result<(), Error> {
    bind(source, at)?;
    sys::make_read_only(at).map_err(to("make a part of the host read-only"))
}
