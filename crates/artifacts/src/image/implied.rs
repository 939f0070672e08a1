//! Directories that a layer has only because something lies in them: no entry of its tar says whose they are and what they allow.
//!
//! Alone they become root's, mode 0755, as in every engine. Where a lower layer describes the directory, that description holds, as
//! in containerd (Docker and Podman show 0755: a layer with `tmp/x` alone closes `/tmp` to all but root). In overlayfs the topmost
//! directory's attributes are what one sees, and a layer is shared by images with different layers below: so neither is changed, and
//! the image gets one more layer on top, which has such directories and nothing else.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tracing::warn;

use crate::home::{Home, place_directory};
use crate::image::merged::is_opaque;
use crate::image::unpack::Extended;

/// The names of implied directories in an image's layers together, bytes. Source: our choice: some hundred thousand; they are held in
/// memory.
const MAX_NAME_BYTES: u64 = 4 << 20;
/// How often one is looked for in a layer, for one image. Source: our choice: some seconds.
const MAX_LOOKS: usize = 2_000_000;

/// A layer's files, and what of its directories is implied.
struct Layer {
    files: PathBuf,
    implied: HashSet<PathBuf>,
}

/// Keeps the list of a layer's implied directories beside its files.
pub(super) fn write(layer: &Path, implied: &[PathBuf]) -> io::Result<()> {
    if implied.is_empty() {
        return Ok(());
    }
    let names: Vec<&[u8]> = implied.iter().map(|path| path.as_os_str().as_bytes()).collect();
    fs::write(list(layer), names.join(&0))
}

/// Makes the layer `place` for an image of the layers with these files, the topmost first. Returns whether it needs one.
pub(super) fn cover(home: &Home, files: &[PathBuf], place: &Path) -> io::Result<bool> {
    let Some(layers) = load_all(files)? else {
        warn!("an image has too many directories that its layers do not describe: they become root's, mode 0755");
        return Ok(false);
    };
    let mut covered = BTreeMap::new();
    for path in layers.iter().flat_map(|layer| &layer.implied) {
        if covered.contains_key(path) {
            continue;
        }
        if let Some((shown, described)) = find(&layers, path)?
            && shown != described
            && Attributes::of(&shown)?.differ(&Attributes::of(&described)?)
        {
            // Those on the way to it are seen too.
            for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
                if let Some((_, described)) = find(&layers, above)? {
                    covered.insert(above.to_owned(), described);
                }
            }
        }
    }
    if covered.is_empty() {
        return Ok(false);
    }
    let scratch = home.scratch_dir()?;
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    for path in covered.keys() {
        fs::create_dir(scratch.path().join(path))?;
    }
    // Backwards, so that what lies within comes first: its directory may then be closed to us.
    for (path, described) in covered.iter().rev() {
        Attributes::of(described)?.give(&scratch.path().join(path))?;
    }
    place_directory(scratch, place)?;
    Ok(true)
}

/// Returns where the directory at `path` lies that overlayfs shows, and where the one whose attributes it should have.
fn find(layers: &[Layer], path: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let (mut shown, mut described) = (None, None);
    for layer in layers {
        let Some((place, hides_below)) = look(layer, path)? else { break };
        if let Some(place) = place {
            shown.get_or_insert_with(|| place.clone());
            described = Some(place);
            if !layer.implied.contains(path) {
                break;
            }
        }
        if hides_below {
            break;
        }
    }
    Ok(shown.zip(described))
}

/// Returns the directory at `path` of this layer if it has it, and whether it hides those below; nothing if what it has there is no
/// directory.
fn look(layer: &Layer, path: &Path) -> io::Result<Option<(Option<PathBuf>, bool)>> {
    let (mut place, mut hides_below) = (layer.files.clone(), false);
    for part in path {
        place.push(part);
        let metadata = match place.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some((None, hides_below))),
            // Of a directory that an ordinary user's own image closes to him.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            metadata => metadata?,
        };
        // A removed file is none, and hides it too.
        if !metadata.is_dir() {
            return Ok(None);
        }
        hides_below |= is_opaque(&place);
    }
    Ok(Some((Some(place), hides_below)))
}

/// What one sees of a directory from outside.
struct Attributes {
    metadata: Metadata,
    extended: Extended,
}

impl Attributes {
    fn of(directory: &Path) -> io::Result<Self> {
        Ok(Self { metadata: directory.symlink_metadata()?, extended: Extended::of(directory)? })
    }

    /// Tells whether they are others; when the directory was changed is not worth a layer.
    fn differ(&self, other: &Self) -> bool {
        let owner = |attributes: &Self| (attributes.metadata.uid(), attributes.metadata.gid());
        self.metadata.mode() != other.metadata.mode() || owner(self) != owner(other) || self.extended != other.extended
    }

    fn give(&self, directory: &Path) -> io::Result<()> {
        let Self { metadata, extended } = self;
        if rustix::process::geteuid().is_root() {
            chown(directory, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        // They were on this file system before: it has room for them.
        extended.give(File::open(directory)?).map_err(io::Error::other)?;
        fs::set_permissions(directory, metadata.permissions())?;
        let time = Timespec { tv_sec: metadata.mtime(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(utimensat(CWD, directory, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Returns the layers, unless that is too much to look through.
fn load_all(files: &[PathBuf]) -> io::Result<Option<Vec<Layer>>> {
    let (mut layers, mut bytes) = (Vec::with_capacity(files.len()), 0);
    for files in files {
        let list = files.parent().map(list).unwrap_or_default();
        bytes += match list.symlink_metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                layers.push(Layer { files: files.clone(), implied: HashSet::new() });
                continue;
            }
            Err(error) => return Err(error),
        };
        if bytes > MAX_NAME_BYTES {
            return Ok(None);
        }
        let names = fs::read(list)?;
        let implied = names.split(|byte| *byte == 0).map(|name| PathBuf::from(OsStr::from_bytes(name))).collect();
        layers.push(Layer { files: files.clone(), implied });
    }
    let n_implied: usize = layers.iter().map(|layer| layer.implied.len()).sum();
    Ok((n_implied.saturating_mul(layers.len()) <= MAX_LOOKS).then_some(layers))
}

fn list(layer: &Path) -> PathBuf {
    layer.join("implied")
}
