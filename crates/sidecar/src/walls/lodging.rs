//! What an image says of its agent's place: the working directory, and who has which home. Image and layers are hostile: no name in
//! them leads out of the new root, not even to what this process holds open (`/proc/self/fd`).

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;

use crate::agent;
use crate::launch::Error;

/// As much as is read of an image's list of users, bytes. Source: our choice; a large one has a few hundred lines.
const MAX_USERS: u64 = 1 << 20;

/// Where an agent lives in its image.
#[derive(Debug)]
pub(crate) struct Lodging {
    /// Where it starts; held, because it may lie where only root finds it.
    pub(crate) working_directory: OwnedFd,
    /// Its home, as the image's list of users has it.
    pub(crate) home: String,
}

impl Lodging {
    /// Finds it, behind the walls and with the powers of the sandbox's root. A working directory that is missing is made.
    pub(super) fn find(working_directory: &Path, user: u32) -> Result<Self, Error> {
        let made = make_directory(working_directory);
        let working_directory = made.map_err(|_| agent::Error::NoDirectory(working_directory.to_owned()))?;
        Ok(Self {
            working_directory,
            home: users().and_then(|users| home(&users, user)).unwrap_or_else(|| "/".to_owned()),
        })
    }
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

fn users() -> Option<String> {
    // It may be a pipe, or never end.
    let file = open(Path::new("/etc/passwd"), OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut users = Vec::new();
    File::from(file).take(MAX_USERS).read_to_end(&mut users).ok()?;
    Some(String::from_utf8_lossy(&users).into_owned())
}

/// Returns the home of `user`, of the first line that has one for it. Source: passwd(5).
fn home(users: &str, user: u32) -> Option<String> {
    let homes = users.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let id: u32 = fields.next()?.parse().ok()?;
        Some((id, fields.nth(2)?))
    });
    let mut homes = homes.filter(|(_, home)| home.starts_with('/') && !home.contains('\0'));
    homes.find(|(id, _)| *id == user).map(|(_, home)| home.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_that_of_the_first_good_line() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\n#\nbad:x:7\nnohome:x:7:7::\nx:x:7:7::relative:\napp:x:7:7:,:/srv/app:/bin/sh\nb:x:7:7::/b:";
        let cases = [(0, Some("/root")), (7, Some("/srv/app")), (8, None)];
        for (user, expected) in cases {
            assert_eq!(home(users, user).as_deref(), expected, "{user}");
        }
        assert_eq!(home("app:x:1:1:x:/home/app", 1).as_deref(), Some("/home/app"), "a shell need not be named");
    }
}
