//! The layers of images: each unpacked once, in a directory named by the digest of its tar, for all images that have it.
//!
//! ```text
//! image-layers/<diff id>/fs/         its files; never changed, and mounted read-only
//! image-layers/<diff id>/layer.json  what unpacking it told
//! ```

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};

use crate::home::{Home, place_directory, touch};
use crate::image::Problem;
use crate::image::unpack::{self, Budget, unpack};
use crate::store::{Store, run_blocking};

/// A layer that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Bytes of its tar, uncompressed.
    pub(crate) bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
    /// Devices, pipes and sockets that were left out.
    pub(crate) skipped: u64,
    /// Whether it hides all layers below it.
    pub(crate) opaque: bool,
}

/// A layer's tar, compressed or not, within a file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Returns where the files of a layer are.
pub(crate) fn files(home: &Home, diff_id: &ArtifactDigest) -> PathBuf {
    home.image_layer(diff_id).join("fs")
}

/// Returns the layer if it is here. Without a turn it may go at any time, unless a version needs it.
pub(crate) fn load(home: &Home, diff_id: &ArtifactDigest) -> Option<Layer> {
    serde_json::from_slice(&fs::read(record(&home.image_layer(diff_id))).ok()?).ok()
}

/// Returns the layer if it is here, and keeps it from being removed.
pub(crate) async fn present(store: &Store, diff_id: &ArtifactDigest) -> Option<Layer> {
    let place = store.home.image_layer(diff_id);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    let layer = load(&store.home, diff_id);
    if layer.is_some() {
        touch(&place);
    }
    layer
}

/// Makes the layer present: `fetch` gets its tar, unless it is here.
pub(crate) async fn provide(
    store: &Store,
    diff_id: &ArtifactDigest,
    budget: &Arc<Budget>,
    fetch: impl Future<Output = Result<Source, Problem>>,
) -> Result<Layer, Problem> {
    let place = store.home.image_layer(diff_id);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    if let Some(layer) = load(&store.home, diff_id) {
        touch(&place);
        budget.count_layer(layer.bytes, layer.entries)?;
        return Ok(layer);
    }
    let source = fetch.await?;
    let (home, diff_id, budget) = (store.home.clone(), diff_id.clone(), budget.clone());
    run_blocking(move || make(&home, &place, &diff_id, &source, &budget)).await?
}

fn make(
    home: &Home,
    place: &Path,
    diff_id: &ArtifactDigest,
    source: &Source,
    budget: &Budget,
) -> Result<Layer, Problem> {
    let scratch = home.scratch_dir()?;
    let files = scratch.path().join("fs");
    fs::create_dir(&files)?;
    fs::set_permissions(&files, Permissions::from_mode(0o755))?;
    let mut file = File::open(&source.file)?;
    file.seek(SeekFrom::Start(source.offset))?;
    let unpack::Unpacked { diff_id: found, bytes, entries, skipped, opaque } =
        unpack(file.take(source.bytes), &files, budget)?;
    if found != *diff_id {
        return Err(Problem::Digest { what: "a layer, unpacked,".to_owned(), expected: diff_id.clone(), found });
    }
    let layer = Layer { bytes, entries, skipped, opaque };
    fs::write(record(scratch.path()), serde_json::to_vec(&layer).map_err(std::io::Error::from)?)?;
    place_directory(scratch, place)?;
    Ok(layer)
}

fn record(place: &Path) -> PathBuf {
    place.join("layer.json")
}
