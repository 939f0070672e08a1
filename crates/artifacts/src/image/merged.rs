//! One file of an image as a program inside would find it: looked for in the topmost layer first, honouring what layers hide, and
//! following links within the image.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Links followed on the way to one file. Source: Linux, `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// Returns where the file at `path` of the image lies, if it has one; `layers`: the topmost first.
pub(crate) fn find(layers: &[PathBuf], path: &Path) -> io::Result<Option<PathBuf>> {
    let (mut ahead, mut at, mut links) = (parts(path), PathBuf::new(), 0);
    let mut found = None;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let Some(place) = lookup(layers, &next)? else { return Ok(None) };
        let kind = place.symlink_metadata()?.file_type();
        if kind.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Ok(None);
            }
            let target = place.read_link()?;
            if target.is_absolute() {
                at = PathBuf::new();
            }
            for part in parts(&target).into_iter().rev() {
                ahead.push_front(part);
            }
            continue;
        }
        if !ahead.is_empty() && !kind.is_dir() {
            return Ok(None);
        }
        at = next;
        found = kind.is_file().then_some(place);
    }
    Ok(found)
}

/// Returns what the image has at `path`, whose parents are directories of the image, from the topmost layer that has it.
fn lookup(layers: &[PathBuf], path: &Path) -> io::Result<Option<PathBuf>> {
    for layer in layers {
        let mut place = layer.clone();
        let mut hides_below = false;
        let mut parts = path.components().peekable();
        loop {
            let Some(part) = parts.next() else { return Ok(Some(place)) };
            place.push(part);
            let metadata = match place.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                metadata => metadata?,
            };
            // A removed file, or what hides the directories of this name below.
            let is_whiteout = metadata.file_type().is_char_device() && metadata.rdev() == 0;
            if is_whiteout || (parts.peek().is_some() && !metadata.is_dir()) {
                return Ok(None);
            }
            hides_below |= metadata.is_dir() && is_opaque(&place);
        }
        if hides_below {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Tells whether `directory` hides those below it.
pub(super) fn is_opaque(directory: &Path) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::lgetxattr(directory, "user.overlay.opaque", &mut value).is_ok_and(|n| n == 1 && value == *b"y")
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(named).collect()
}
