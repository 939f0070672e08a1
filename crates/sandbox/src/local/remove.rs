//! Removes what a sandbox leaves behind, which may be large and may resist.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

fn remove_tree(directory: &Path) -> io::Result<()> {
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
    match fs::remove_dir_all(directory) {
        // Some programs make their caches read-only, directories included.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(directory)?;
            fs::remove_dir_all(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Of the entry itself: a link leads out of the tree.
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_read_only_goes_and_what_links_point_to_stays() {
        let outside = tempfile::tempdir().unwrap();
        fs::set_permissions(outside.path(), Permissions::from_mode(0o500)).unwrap();
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("cache/module")).unwrap();
        std::os::unix::fs::symlink(outside.path(), tree.join("cache/module/link")).unwrap();
        fs::set_permissions(tree.join("cache/module"), Permissions::from_mode(0o500)).unwrap();

        // What remove_tree does where the user is not root, whom no mode stops.
        make_writable(&tree).unwrap();
        assert_eq!(fs::metadata(tree.join("cache/module")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(outside.path()).unwrap().permissions().mode() & 0o777, 0o500);
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.path().exists());
    }
}
