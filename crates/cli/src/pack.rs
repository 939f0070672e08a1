//! A folder to a zip that is the same whenever the folder's content is the same: sorted, without times, owners and odd modes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use innkeep_types::limits;
use walkdir::{DirEntry, WalkDir};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::failure::{Code, Failure};

/// What is left out of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A project: without version control, virtual environments, build output, byte code and local secrets.
    Project,
    /// A `site-packages`: without byte code.
    SitePackages,
}

/// A folder, zipped.
#[derive(Debug)]
pub(crate) struct Packed {
    /// An unlinked file.
    pub(crate) zip: File,
    /// The zip's SHA-256.
    pub(crate) digest: [u8; 32],
    pub(crate) n_files: usize,
    /// Of the zip.
    pub(crate) zip_bytes: u64,
}

impl Contents {
    /// Tells whether a file or folder of this name is left out, wherever it lies.
    pub(crate) fn skips(self, name: &OsStr) -> bool {
        let name = name.to_string_lossy();
        match name.as_ref() {
            "__pycache__" => return true,
            ".git" | ".venv" | "venv" | "target" | ".innkeep" => return self == Self::Project,
            _ => {}
        }
        name.ends_with(".pyc") || (self == Self::Project && name.starts_with(".env"))
    }

    /// Returns what is kept of `root`, in a fixed order, without `root` itself.
    pub(crate) fn walk(self, root: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
        let walk = WalkDir::new(root).min_depth(1).sort_by_file_name();
        walk.into_iter().filter_entry(move |entry| !self.skips(entry.file_name()))
    }
}

impl Packed {
    /// Tells whether there is a file of this name, at the top.
    pub(crate) fn holds(&self, name: &str) -> bool {
        let archive = self.zip.try_clone().ok().and_then(|zip| zip::ZipArchive::new(zip).ok());
        archive.is_some_and(|archive| archive.index_for_name(name).is_some())
    }
}

/// Zips what `contents` keeps of the folder `root`. Blocks.
///
/// # Errors
/// If a symbolic link leads out of the folder, a name is not UTF-8, or the folder is over a limit of the API.
pub(crate) fn folder(root: &Path, contents: Contents) -> Result<Packed, Failure> {
    let read = |path: &Path| format!("cannot read {}", path.display());
    let write = |error: zip::result::ZipError| Failure::io("cannot write the zip", &error.into());
    let file = tempfile::tempfile().map_err(|e| Failure::io("cannot make a temporary file", &e))?;
    let mut zip = ZipWriter::new(file);
    let (mut n_files, mut bytes) = (0, 0);
    for entry in contents.walk(root) {
        let entry = entry.map_err(|e| Failure::io(read(root), &e.into()))?;
        let path = entry.path();
        let name = entry_name(root, path)?;
        let kind = entry.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| Failure::io(read(path), &e))?;
            let target = inward(&entry, &target)?;
            zip.add_symlink(name, target, options(0o777)).map_err(write)?;
            n_files += 1;
        } else if kind.is_file() {
            let mut file = File::open(path).map_err(|e| Failure::io(read(path), &e))?;
            let mode = file.metadata().map_err(|e| Failure::io(read(path), &e))?.permissions().mode();
            zip.start_file(name, options(if mode & 0o111 == 0 { 0o644 } else { 0o755 })).map_err(write)?;
            bytes +=
                io::copy(&mut file, &mut zip).map_err(|e| Failure::io(format!("cannot zip {}", path.display()), &e))?;
            n_files += 1;
        }
        if n_files > limits::MAX_ZIP_ENTRIES {
            return Err(too_large(root, &format!("more than {} files", limits::MAX_ZIP_ENTRIES)));
        }
        if bytes > limits::MAX_UNZIPPED_BYTES {
            return Err(too_large(root, &format!("more than {} MB", limits::MAX_UNZIPPED_BYTES / 1_000_000)));
        }
    }
    let zip = zip.finish().map_err(write)?;
    let zip_bytes = zip.metadata().map_err(|e| Failure::io("cannot read the zip", &e))?.len();
    if zip_bytes > limits::MAX_ZIP_BYTES {
        return Err(too_large(root, &format!("more than {} MB zipped", limits::MAX_ZIP_BYTES / 1_000_000)));
    }
    let digest = digest(&zip)?;
    Ok(Packed { zip, digest, n_files, zip_bytes })
}

fn digest(mut zip: &File) -> Result<[u8; 32], Failure> {
    let digest = io::Seek::rewind(&mut zip).and_then(|()| innkeep_sdk::sha256(zip));
    digest.map_err(|e| Failure::io("cannot read the zip", &e))
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        // It travels no further than the server: speed before size.
        .compression_level(Some(1))
        .last_modified_time(DateTime::default())
        .unix_permissions(mode)
}

fn entry_name(root: &Path, path: &Path) -> Result<String, Failure> {
    let name = path.strip_prefix(root).ok().and_then(Path::to_str);
    name.map(str::to_owned).ok_or_else(|| Failure::usage(format!("the name of {} is not UTF-8", path.display())))
}

/// Returns a link's target if it stays in the folder, which is judged by its words alone.
fn inward(link: &DirEntry, target: &Path) -> Result<String, Failure> {
    let refuse = || {
        let message = format!("{} is a link to {}, outside the folder", link.path().display(), target.display());
        Failure::usage(message).with_fix("replace the link by a copy, or by a relative link within the folder")
    };
    let mut depth = link.depth() - 1;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(refuse)?,
            Component::RootDir | Component::Prefix(_) => return Err(refuse()),
        }
    }
    target.to_str().map(str::to_owned).ok_or_else(refuse)
}

fn too_large(root: &Path, what: &str) -> Failure {
    Failure::new(Code::Failed, format!("{} holds {what}", root.display()))
        .with_fix("deploy a folder that holds the agent alone, without data and build output")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for kept in ["main.py", "lib/b.py", "lib/a.py", "node_modules/x/index.js", "environment.py"] {
            write(kept, kept);
        }
        for skipped in
            [".git/HEAD", ".venv/x", "lib/venv/x", "__pycache__/a.pyc", "lib/c.pyc", ".env", ".env.local", "target/x"]
        {
            write(skipped, "no");
        }
        dir
    }

    fn names(packed: &Packed) -> Vec<String> {
        let archive = zip::ZipArchive::new(packed.zip.try_clone().unwrap()).unwrap();
        archive.file_names().map(|name| name.unwrap().into_owned()).collect()
    }

    #[test]
    fn a_project_is_zipped_without_what_is_not_the_agent() {
        let packed = folder(project().path(), Contents::Project).unwrap();
        assert_eq!(names(&packed), ["environment.py", "lib/a.py", "lib/b.py", "main.py", "node_modules/x/index.js"]);
        assert_eq!(packed.n_files, 5);
        assert!(packed.holds("main.py") && !packed.holds("a.py") && !packed.holds(".env"));
    }

    #[test]
    fn equal_content_gives_equal_zips() {
        let (one, two) = (project(), project());
        let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(two.path().join("main.py")).unwrap().set_modified(old).unwrap();
        fs::set_permissions(two.path().join("main.py"), fs::Permissions::from_mode(0o600)).unwrap();
        let digest = |dir: &tempfile::TempDir| folder(dir.path(), Contents::Project).unwrap().digest;
        assert_eq!(digest(&one), digest(&two));
        fs::set_permissions(two.path().join("main.py"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(digest(&one), digest(&two), "what can be executed is content");
    }

    #[test]
    fn links_are_kept_only_within_the_folder() {
        let dir = project();
        symlink("../main.py", dir.path().join("lib/up")).unwrap();
        let packed = folder(dir.path(), Contents::Project).unwrap();
        assert!(names(&packed).contains(&"lib/up".to_owned()));
        for outward in ["../../etc/passwd", "/etc/passwd", "a/../../.."] {
            let link = dir.path().join("lib/out");
            symlink(outward, &link).unwrap();
            let failure = folder(dir.path(), Contents::Project).unwrap_err();
            assert!(failure.message.contains("outside"), "{}", failure.message);
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn packages_keep_what_a_project_leaves_out() {
        let packed = folder(project().path(), Contents::SitePackages).unwrap();
        assert!(names(&packed).contains(&"target/x".to_owned()));
        assert!(!names(&packed).iter().any(|name| name.ends_with(".pyc")));
    }
}
