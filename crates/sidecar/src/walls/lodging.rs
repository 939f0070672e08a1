//! What an image says of its agent's place: the working directory. Image and layers are hostile: no name in them leads out of the
//! new root, not even to what this process holds open (`/proc/self/fd`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::agent;
use crate::launch::{Error, to};

/// Times that a name is looked up before the host is said to be at fault. Source: as generous as runc's (128), and then some, because
/// a lookup takes microseconds and a start milliseconds.
const LOOKUPS: usize = 1000;

/// Opens where the agent of an image starts, behind the walls and with the powers of the sandbox's root; makes it where it is missing.
/// Held, because it may lie where only root finds it.
pub(super) fn open_place(path: &Path) -> Result<OwnedFd, Error> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(to("open the root"))?;
    make_directory(root.as_fd(), path).map_err(|error| match error {
        Errno::AGAIN => to("find the working directory while names change all the time")(error),
        _ => agent::Error::NoDirectory(path.to_owned()).into(),
    })
}

/// Opens a directory inside `root`, and in no other mount: such as `/proc`, whose names lead anywhere.
fn open(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let mut lookups = std::iter::repeat_with(|| openat2(root, path, flags, Mode::empty(), within)).take(LOOKUPS);
    // A rename or a mount anywhere on the host, at the moment of a `..`, leaves the kernel in doubt whether that led outside.
    lookups.find(|opened| !matches!(opened, Err(Errno::AGAIN))).unwrap_or(Err(Errno::AGAIN))
}

/// Opens a directory inside `root`, and makes what of its path is missing.
fn make_directory(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut so_far = PathBuf::from("/");
    let mut opened = open(root, &so_far)?;
    for component in path.components() {
        so_far.push(component);
        opened = match (open(root, &so_far), component) {
            (Err(Errno::NOENT), Component::Normal(name)) => {
                mkdirat(&opened, name, Mode::from_raw_mode(0o755))?;
                open(root, &so_far)?
            }
            (found, _) => found?,
        };
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_link_is_followed_while_names_change_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (image, elsewhere) = (directory.path().join("image"), directory.path().join("elsewhere"));
        for made in [image.join("app"), elsewhere.join("one")] {
            std::fs::create_dir_all(made).unwrap();
        }
        symlink("../../../app", image.join("link")).unwrap();
        let root = OwnedFd::from(std::fs::File::open(&image).unwrap());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    std::fs::rename(elsewhere.join("one"), elsewhere.join("other")).unwrap();
                    std::fs::rename(elsewhere.join("other"), elsewhere.join("one")).unwrap();
                }
            });
            let failed = (0..5_000).find_map(|_| make_directory(root.as_fd(), Path::new("/link/made")).err());
            is_done.store(true, Ordering::Relaxed);
            assert_eq!(failed, None);
        });
        assert!(image.join("app/made").is_dir());
    }
}
