//! What an image says of its agent's place: the working directory. Image and layers are hostile: no name in them leads out of the
//! new root, not even to what this process holds open (`/proc/self/fd`).

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::agent;

/// Opens where the agent of an image starts, behind the walls and with the powers of the sandbox's root; makes it where it is missing.
/// Held, because it may lie where only root finds it.
pub(super) fn open_place(path: &Path) -> Result<OwnedFd, agent::Error> {
    make_directory(path).map_err(|_| agent::Error::NoDirectory(path.to_owned()))
}

/// Opens `path` inside the root, and in no other mount: such as `/proc`, whose names lead anywhere.
fn open(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), within)
}

/// Opens a directory, and makes what of its path is missing.
fn make_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let mut so_far = PathBuf::from("/");
    let mut opened = open(&so_far, directory)?;
    for component in path.components() {
        so_far.push(component);
        opened = match (open(&so_far, directory), component) {
            (Err(Errno::NOENT), Component::Normal(name)) => {
                mkdirat(&opened, name, Mode::from_raw_mode(0o755))?;
                open(&so_far, directory)?
            }
            (found, _) => found?,
        };
    }
    Ok(opened)
}
