//! The store's directory: where everything lies, how unfinished work is thrown away and how finished work gets its place.
//!
//! Work happens in `tmp/` and is moved into place by one rename, so what has a place is complete. A crash leaves things in
//! `tmp/` only, which is emptied when the store is opened.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use innkeep_types::ArtifactDigest;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use walkdir::WalkDir;

use crate::Error;

/// The modification time of all that is unpacked: 1980-01-01, the first that a zip can hold. Seconds since the epoch.
const MTIME_SECS: i64 = 315_532_800;

/// What is kept, by kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Zips,
    Objects,
    Layers,
    Manifests,
    Bundles,
    Images,
    ImageLayers,
    Blobs,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Zips,
        Self::Objects,
        Self::Layers,
        Self::Manifests,
        Self::Bundles,
        Self::Images,
        Self::ImageLayers,
        Self::Blobs,
    ];

    fn directory(self) -> &'static str {
        match self {
            Self::Zips => "zips",
            Self::Objects => "objects",
            Self::Layers => "layers",
            Self::Manifests => "manifests",
            Self::Bundles => "bundles",
            Self::Images => "images",
            Self::ImageLayers => "image-layers",
            Self::Blobs => "blobs",
        }
    }
}

/// Handle to the directory; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
    next_scratch: Arc<AtomicU64>,
}

impl Home {
    /// Opens, or creates, the directory and empties its `tmp/`. The caller holds the lock on the data directory.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { doing: format!("open the artifact store in {}", data_dir.display()), source };
        fs::create_dir_all(data_dir).map_err(io)?;
        let root = data_dir.canonicalize().map_err(io)?.join("artifacts");
        // Paths below become items of PATH and PYTHONPATH and JSON strings.
        if root.to_str().is_none_or(|path| path.contains(':')) {
            return Err(Error::DataDir(root));
        }
        remove_tree(&root.join("tmp")).map_err(io)?;
        for part in Part::ALL.map(Part::directory).into_iter().chain(["tmp"]) {
            fs::create_dir_all(root.join(part)).map_err(io)?;
        }
        Ok(Self { root, next_scratch: Arc::default() })
    }

    /// Returns the place of an uploaded zip.
    pub(crate) fn zip(&self, digest: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Zips.directory()).join(format!("{digest}.zip"))
    }

    /// Returns the place of the record of the object that a bundle was made of.
    pub(crate) fn object(&self, bundle: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Objects.directory()).join(format!("{bundle}.json"))
    }

    /// Returns the place of a layer.
    pub(crate) fn layer(&self, fingerprint: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Layers.directory()).join(fingerprint.as_str())
    }

    /// Returns the place of a manifest.
    pub(crate) fn manifest(&self, digest: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Manifests.directory()).join(format!("{digest}.json"))
    }

    /// Returns the place of a bundle.
    pub(crate) fn bundle(&self, digest: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Bundles.directory()).join(digest.as_str())
    }

    /// Returns the place of what is kept of a manifest of images.
    pub(crate) fn image(&self, digest: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Images.directory()).join(format!("{digest}.json"))
    }

    /// Returns the place of a layer of images.
    pub(crate) fn image_layer(&self, diff_id: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::ImageLayers.directory()).join(diff_id.as_str())
    }

    /// Returns the place of a layer of images that is being pulled.
    pub(crate) fn blob(&self, digest: &ArtifactDigest) -> PathBuf {
        self.root.join(Part::Blobs.directory()).join(format!("{digest}.partial"))
    }

    /// Returns all that is kept of one kind.
    pub(crate) fn kept(&self, part: Part) -> io::Result<Vec<(ArtifactDigest, PathBuf)>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.root.join(part.directory()))? {
            let path = entry?.path();
            if let Some(digest) = path.file_stem().and_then(|stem| ArtifactDigest::parse(stem.to_str()?).ok()) {
                kept.push((digest, path));
            }
        }
        Ok(kept)
    }

    /// Removes what is kept at `path`: from its place at once, as a whole.
    pub(crate) fn discard(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            // A directory that may not be written may not be moved to another parent.
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        let scratch = self.scratch();
        fs::rename(path, scratch.path())
    }

    /// Returns an empty directory for unfinished work.
    pub(crate) fn scratch_dir(&self) -> io::Result<Scratch> {
        let scratch = self.scratch();
        fs::create_dir(scratch.path())?;
        Ok(scratch)
    }

    /// Returns an empty file for unfinished work.
    pub(crate) fn scratch_file(&self) -> io::Result<Scratch> {
        let scratch = self.scratch();
        File::create_new(scratch.path())?;
        Ok(scratch)
    }

    /// Writes `content` to `path` so that it survives a crash once this returns: it is there as a whole or not at all.
    pub(crate) fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let scratch = self.scratch();
        File::create_new(scratch.path())?.write_all(content)?;
        place_file(scratch, path)
    }

    fn scratch(&self) -> Scratch {
        let n = self.next_scratch.fetch_add(1, Ordering::Relaxed);
        Scratch(self.root.join("tmp").join(n.to_string()))
    }
}

/// A file or directory of unfinished work, removed with this value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            tracing::warn!(path = %self.0.display(), "cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Moves a finished file to its place, durably.
pub(crate) fn place_file(scratch: Scratch, place: &Path) -> io::Result<()> {
    File::open(scratch.path())?.sync_all()?;
    fs::rename(scratch.path(), place)?;
    sync_parent(place)
}

/// Moves a finished directory to its place as it is, durably; does nothing if something is there already.
pub(crate) fn place_directory(scratch: Scratch, place: &Path) -> io::Result<()> {
    // One call for the whole tree; a sync per file costs seconds.
    rustix::fs::syncfs(File::open(scratch.path())?)?;
    if move_directory(scratch.path(), place)? { sync_parent(place) } else { Ok(()) }
}

/// Tells whether the place was free.
fn move_directory(directory: &Path, place: &Path) -> io::Result<bool> {
    match fs::rename(directory, place) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Makes the finished tree at `tree` read-only and moves it to its place, durably; does nothing if something is there already.
pub(crate) fn place_tree(tree: &Path, place: &Path) -> io::Result<()> {
    for entry in WalkDir::new(tree).min_depth(1) {
        seal(&entry?)?;
    }
    // One call for the whole tree; a sync per file costs seconds.
    rustix::fs::syncfs(File::open(tree)?)?;
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if !move_directory(tree, place)? {
        return Ok(());
    }
    // Last, because a directory that may not be written may not be moved to another parent either.
    fs::set_permissions(place, Permissions::from_mode(0o555))?;
    sync_parent(place)
}

/// Takes write permission and every special bit away and sets the modification time that all files share.
fn seal(entry: &walkdir::DirEntry) -> io::Result<()> {
    if !entry.path_is_symlink() {
        let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
        let mode = if executable { 0o555 } else { 0o444 };
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    let time = Timespec { tv_sec: MTIME_SECS, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Notes that what is kept at `path` is used. One that cannot be touched is at most removed too early, and made again.
pub(crate) fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    if let Err(error) = rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()) {
        tracing::debug!(path = %path.display(), "cannot touch {}: {error}", path.display());
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Removes what lies at `path`, also if it was made read-only; no error if nothing is there. Links are not followed.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    make_writable(path)?;
    fs::remove_dir_all(path)
}

/// Gives the owner all rights to `dir` and the directories in it. By hand, because each must have them before it is listed.
fn make_writable(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}
