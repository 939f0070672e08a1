//! Removes what a sandbox leaves behind, which may be large and may resist.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use tracing::warn;

/// How often a directory is emptied that fills up again.
const MAX_TRIES: usize = 100;

/// Removes a sandbox's directory, if it is there. One that cannot be removed is named in the log, and tried again by the next
/// adoption.
pub(super) async fn remove(directory: &Path) {
    let path = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove_tree(&path)).await.map_err(io::Error::other).flatten();
    if let Err(error) = removed {
        warn!("directory {} could not be removed: {error}", directory.display());
    }
}

/// Removes a directory with all that is in it, however deep it is and whatever its modes; fine if it is not there. Blocks.
pub fn remove_tree(directory: &Path) -> io::Result<()> {
    for _ in 0..MAX_TRIES {
        match remove_once(directory) {
            // A sidecar of a server that crashed may be making itself at home just now. Once its directory is gone, it cannot.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
    remove_once(directory)
}

fn remove_once(directory: &Path) -> io::Result<()> {
    let emptied = open(CWD, directory).and_then(empty);
    match emptied.and_then(|()| rustix::fs::unlinkat(CWD, directory, AtFlags::REMOVEDIR)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // No directory, but a link perhaps, which is not followed.
        Err(Errno::NOTDIR) => fs::remove_file(directory),
        Err(error) => Err(error.into()),
    }
}

/// A directory that is being emptied, and those above it.
struct Level {
    name: CString,
    id: (u64, u64),
    /// Those that are still to be removed.
    subdirectories: Vec<CString>,
}

/// Empties a directory. An agent may have made it deeper than stack or descriptors go: what is above the one that is open waits on
/// the heap, by name.
fn empty(top: OwnedFd) -> Result<(), Errno> {
    let mut levels = vec![remove_files(&top, CString::default())?];
    let mut here = top;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.subdirectories.pop() {
            here = open(&here, &name)?;
            levels.push(remove_files(&here, name)?);
            continue;
        }
        let emptied = levels.pop();
        if let (Some(emptied), Some(above)) = (emptied, levels.last()) {
            here = go_up(&here, above.id)?;
            rustix::fs::unlinkat(&here, &emptied.name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// Removes what is in a directory and is none itself.
fn remove_files(directory: &OwnedFd, name: CString) -> Result<Level, Errno> {
    let mut subdirectories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => subdirectories.push(entry.file_name().to_owned()),
            Err(error) => return Err(error),
        }
    }
    Ok(Level { name, id: id(directory)?, subdirectories })
}

/// Opens a directory, and no link to one, for everything: some programs make their caches read-only, directories included.
fn open(parent: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags | OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    // By descriptor: a name may have become a link meanwhile. One whose mode is not ours to change may let us in as it is.
    let _ = rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU);
    rustix::fs::openat(&found, c".", flags | OFlags::RDONLY, Mode::empty())
}

/// Returns the directory above, if it is the one that we came from: one that was moved meanwhile leads out of the tree.
fn go_up(directory: &OwnedFd, expected: (u64, u64)) -> Result<OwnedFd, Errno> {
    let above =
        rustix::fs::openat(directory, c"..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if id(&above)? == expected { Ok(above) } else { Err(Errno::STALE) }
}

fn id(directory: &OwnedFd) -> Result<(u64, u64), Errno> {
    let found = rustix::fs::fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_made_read_only_goes_and_what_links_point_to_stays() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "").unwrap();
        fs::set_permissions(outside.path(), Permissions::from_mode(0o500)).unwrap();
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        let module = tree.join("cache/module");
        fs::create_dir_all(module.join("empty")).unwrap();
        fs::write(module.join("file"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), module.join("link")).unwrap();
        fs::set_permissions(&module, Permissions::from_mode(0o000)).unwrap();

        // Root is stopped by no mode: what makes it writable is looked at by itself.
        open(CWD, &module).unwrap();
        assert_eq!(fs::metadata(&module).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(open(CWD, module.join("link")).unwrap_err(), Errno::NOTDIR);
        fs::set_permissions(&module, Permissions::from_mode(0o500)).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        std::os::unix::fs::symlink(outside.path(), &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err() && outside.path().join("file").exists());
        assert_eq!(fs::metadata(outside.path()).unwrap().permissions().mode() & 0o777, 0o500);
        fs::set_permissions(outside.path(), Permissions::from_mode(0o700)).unwrap();
    }

    /// On so small a stack a removal that recurses ends the process, as one of 20,000 levels does on 2 MiB.
    #[test]
    fn a_tree_may_be_deeper_than_stack_and_descriptors_go() {
        // Not removed by itself: that would end the process if this fails.
        let root = tempfile::tempdir().unwrap().keep();
        let tree = root.join("tree");
        fs::create_dir(&tree).unwrap();
        let mut here = open(CWD, &tree).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, c"d", Mode::RWXU).unwrap();
            here = open(&here, c"d").unwrap();
        }
        let removal = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || remove_tree(&tree)).unwrap();
        removal.join().unwrap().unwrap();
        fs::remove_dir(root).unwrap();
    }

    #[test]
    fn a_directory_that_was_moved_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let (above, elsewhere) = (root.path().join("above"), root.path().join("elsewhere"));
        fs::create_dir_all(above.join("inner")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let (from, inner) = (open(CWD, &above).unwrap(), open(CWD, above.join("inner")).unwrap());
        go_up(&inner, id(&from).unwrap()).unwrap();
        fs::rename(above.join("inner"), elsewhere.join("inner")).unwrap();
        assert_eq!(go_up(&inner, id(&from).unwrap()).unwrap_err(), Errno::STALE);
    }
}
