//! One layer of an image, a tar that nobody vouches for, becomes a directory in overlayfs's form.
//!
//! What a name of the tar says is walked one directory at a time, and no symbolic link is followed: nothing is written outside the
//! directory. What is kept of an entry: content, permissions without setuid and setgid (sandboxes are mounted without them),
//! modification time, extended attributes of users where the file system has them; as root its owner and group. Devices, pipes and
//! sockets are left out and counted, as engines do that lack the privilege.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use innkeep_types::ArtifactDigest;
use innkeep_types::limits::{MAX_IMAGE_ENTRIES, MAX_IMAGE_NAME_BYTES, MAX_IMAGE_UNPACKED_BYTES};
use tracing::warn;

use crate::image::unpack::budget::Metered;
use crate::image::unpack::entry::Entries;
use crate::image::unpack::tree::Tree;

mod budget;
mod decompress;
mod disk;
mod entry;
mod extended;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use budget::Budget;
pub(crate) use decompress::decompress;
pub(super) use extended::Extended;

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Error {
    #[error("the layer is damaged: not a tar, or not all of it")]
    Damaged(#[source] io::Error),
    #[error("the image unpacks to more than {MAX_IMAGE_UNPACKED_BYTES} bytes")]
    TooLarge,
    #[error("the image holds more than {MAX_IMAGE_ENTRIES} files, directories and links")]
    TooManyEntries,
    #[error("the names in the layer have more than {MAX_IMAGE_NAME_BYTES} bytes together")]
    TooManyNames,
    #[error("{path:?} in the layer {problem}")]
    Entry { path: String, problem: Problem },
    #[error("cannot unpack the layer")]
    Io(#[from] io::Error),
}

/// What is wrong with one entry of a layer; continues a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Problem {
    #[error("has no name that a file can have")]
    Name,
    #[error("leads out of the image by `..`")]
    Parent,
    #[error("has a name that is too long, or lies too deep")]
    TooLong,
    #[error("lies below a symbolic link of the same layer")]
    BelowLink,
    #[error("lies below something that is not a directory")]
    BelowFile,
    #[error("replaces a directory of the same layer that is not empty")]
    ReplacesDirectory,
    #[error("is a hard link to {target:?}, which is no file of the same layer")]
    HardLink { target: String },
    #[error("is a symbolic link without a target, or with one that is too long")]
    SymbolicLink,
    #[error("belongs to id {id}; ids 0 to {max} are taken", max = MAX_ID)]
    Owner { id: u64 },
    #[error("is a sparse file; build the image with an ordinary tar")]
    Sparse,
    #[error("has an extended header that is damaged, or has more than {} bytes", entry::MAX_EXTENSION_BYTES)]
    Extension,
    #[error(
        "has more than {} extended attributes, or one whose name or value is longer than Linux takes",
        extended::MAX_ATTRIBUTES
    )]
    Extended,
    #[error("is one more link than the file system of the data directory takes")]
    TooManyLinks,
    #[error("is of a kind ({0:?}) that layers have not")]
    Kind(char),
    #[error("marks the removal of nothing that can be removed")]
    Whiteout,
}

/// The greatest owner of a file in an image.
pub(crate) const MAX_ID: u32 = 65_535;

/// What unpacking a layer gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// SHA-256 of the tar, uncompressed.
    pub(crate) diff_id: ArtifactDigest,
    /// Bytes of the tar, uncompressed.
    pub(crate) bytes: u64,
    /// Entries taken.
    pub(crate) entries: u64,
    /// Devices, pipes and sockets left out.
    pub(crate) skipped: u64,
    /// Whether the layer hides all below it.
    pub(crate) opaque: bool,
    /// The directories that no entry describes, below the root.
    pub(crate) implied: Vec<PathBuf>,
}

/// Unpacks `layer`, compressed or not, into `root`, an empty directory.
pub(crate) fn unpack(layer: impl Read, root: &Path, budget: &Budget) -> Result<Unpacked, Error> {
    let mut source = Metered::new(decompress(layer).map_err(Error::Damaged)?, budget);
    let mut tree = Tree::open(root, budget.name_bytes)?;
    let unpacked = fill(&mut tree, &mut source, budget);
    // What the meter stopped looks damaged from within.
    let entries = match unpacked {
        Err(Error::Damaged(_)) if budget.is_spent() => return Err(Error::TooLarge),
        other => other?,
    };
    let (skipped, dropped) = (tree.skipped(), tree.dropped());
    let (opaque, implied) = tree.finish()?;
    let (diff_id, bytes) = source.finish().map_err(|error| damaged(error, budget))?;
    if dropped > 0 {
        warn!(
            layer = %diff_id,
            dropped,
            "layer {diff_id} lost {dropped} extended attributes: the file system of the data directory has no room for them, or has none"
        );
    }
    Ok(Unpacked { diff_id, bytes, entries, skipped, opaque, implied })
}

fn fill(tree: &mut Tree, source: &mut impl Read, budget: &Budget) -> Result<u64, Error> {
    // Some builders (umoci) leave out what fills the last block and ends the tar. What else is missing, the digest tells.
    let mut archive = tar::Archive::new(source.chain(io::repeat(0).take(1024)));
    let mut entries = Entries::new(tree.keeps_owners());
    let mut n = 0;
    for raw in archive.entries().map_err(Error::Damaged)?.raw(true) {
        let mut raw = raw.map_err(Error::Damaged)?;
        if let Some(entry) = entries.take(&mut raw)? {
            budget.count_entry()?;
            n += 1;
            tree.put(entry, &mut raw)?;
        }
    }
    Ok(n)
}

fn damaged(error: io::Error, budget: &Budget) -> Error {
    if budget.is_spent() { Error::TooLarge } else { Error::Damaged(error) }
}
