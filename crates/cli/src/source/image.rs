//! OCI images as they are named and kept: references, archives, layouts. What is in them is for the server to judge.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use walkdir::WalkDir;

use crate::failure::Failure;

/// The files that make a folder an OCI layout. Source: OCI image specification, "image layout".
const LAYOUT: [&str; 2] = ["oci-layout", "index.json"];

/// Tells whether a folder is an OCI layout.
pub(super) fn is_layout(folder: &Path) -> bool {
    LAYOUT.iter().all(|name| folder.join(name).is_file())
}

/// Tells whether a file is a tar archive, or one compressed with gzip, by its first bytes: `docker save` gives it any name.
pub(super) fn is_archive(path: &Path) -> io::Result<bool> {
    let mut head = Vec::with_capacity(512);
    File::open(path)?.take(512).read_to_end(&mut head)?;
    Ok(head.starts_with(&[0x1f, 0x8b]) || head.get(257..262) == Some(b"ustar"))
}

/// Tells whether what is no file here can be an image's reference: it names a registry, a tag or a digest, and no path of this disk.
pub(super) fn is_reference(given: &str) -> bool {
    let is_path = given.starts_with(['.', '/', '~']) || given.ends_with('/');
    let is_file_name = [".tar", ".tgz", ".tar.gz", ".zip"].iter().any(|suffix| given.ends_with(suffix));
    // `examples/helo`, where there is a folder `examples`, is a slip of the pen and no image of a user `examples`.
    let is_near = given.split_once('/').is_some_and(|(first, _)| Path::new(first).is_dir());
    !is_path && !is_file_name && !is_near && given.contains([':', '/', '@'])
}

/// Returns the last word of the repository that `reference` names: `agent` of `ghcr.io/me/agent:v1`.
pub(super) fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

/// Returns an archive's name without what says that it is one.
pub(super) fn archive_stem(path: &Path) -> Option<&OsStr> {
    let name = path.file_name()?;
    let stem = name.to_str().map(|name| {
        let suffix = [".tar.gz", ".tgz", ".tar"].iter().find_map(|suffix| name.strip_suffix(suffix));
        OsStr::new(suffix.unwrap_or(name))
    });
    stem.or(Some(name))
}

/// Returns an OCI layout as tar, in an unlinked file, and its length. Blocks.
pub(super) fn pack_layout(folder: &Path) -> Result<(File, u64), Failure> {
    let failed = |e: io::Error| Failure::io(format!("cannot pack {}", folder.display()), &e);
    let file = tempfile::tempfile().map_err(|e| Failure::io("cannot make a temporary file", &e))?;
    let mut tar = tar::Builder::new(file);
    tar.mode(tar::HeaderMode::Deterministic);
    for name in LAYOUT {
        tar.append_path_with_name(folder.join(name), name).map_err(failed)?;
    }
    for entry in WalkDir::new(folder.join("blobs")).sort_by_file_name() {
        let entry = entry.map_err(|e| failed(e.into()))?;
        let name = entry.path().strip_prefix(folder).unwrap_or_else(|_| entry.path());
        if entry.file_type().is_symlink() {
            let message = format!("{} is a symbolic link; an OCI layout has none", entry.path().display());
            return Err(Failure::usage(message).with_fix("replace the link by what it leads to"));
        }
        if entry.file_type().is_file() {
            tar.append_path_with_name(entry.path(), name).map_err(failed)?;
        }
    }
    let file = tar.into_inner().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    #[test]
    fn references_are_told_from_paths() {
        for reference in ["python:3.12", "localhost:5000/x:y", "ghcr.io/a/b", "a/b", "a@sha256:00"] {
            assert!(is_reference(reference), "{reference}");
        }
        // Tests run in the crate's folder, which has a `src`.
        for path in ["python", "./a:b", "/a/b", "~/a", "a/", "image.tar", "x/y.tar.gz", "src/agent"] {
            assert!(!is_reference(path), "{path}");
        }
    }

    #[test]
    fn a_layout_is_packed_with_its_blobs_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for (name, text) in
            [("oci-layout", "{}"), ("index.json", "[]"), ("blobs/sha256/aa", "blob"), ("notes.txt", "no")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let (mut file, bytes) = pack_layout(dir.path()).unwrap();
        file.rewind().unwrap();
        let mut packed = Vec::new();
        assert_eq!(file.read_to_end(&mut packed).unwrap(), usize::try_from(bytes).unwrap());
        let mut archive = tar::Archive::new(packed.as_slice());
        let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, ["oci-layout", "index.json", "blobs/sha256/aa"].map(std::path::PathBuf::from));
        let path = dir.path().join("packed");
        std::fs::write(&path, packed).unwrap();
        assert!(is_archive(&path).unwrap());

        std::os::unix::fs::symlink("/etc/passwd", blobs.join("bb")).unwrap();
        assert!(pack_layout(dir.path()).unwrap_err().message.contains("symbolic link"));
    }
}
