//! The layers of images: each unpacked once, in a directory named by the digest of its tar, for all images that have it.
//!
//! ```text
//! image-layers/<diff id>/fs/         its files; never changed, and mounted read-only
//! image-layers/<diff id>/implied     which of its directories no entry describes, if there are some
//! image-layers/<diff id>/layer.json  what unpacking it told
//! ```

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::home::{Home, place_directory, touch};
use crate::image::unpack::{self, Budget, unpack};
use crate::image::{Problem, implied};
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
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Whose turn it is at a file that others may write to.
    pub(crate) turn: Option<OwnedMutexGuard<()>>,
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
pub(crate) async fn present(store: &Store, diff_id: &ArtifactDigest) -> io::Result<Option<Layer>> {
    let place = store.home.image_layer(diff_id);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    take_up(store, diff_id).await
}

/// Makes the layer present: `fetch` gets its tar, unless it is here.
pub(crate) async fn provide(
    store: &Store,
    diff_id: &ArtifactDigest,
    budget: &Arc<Budget>,
    fetch: impl Future<Output = Result<Source, Problem>>,
) -> Result<Layer, Problem> {
    let place = store.home.image_layer(diff_id);
    let turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    if let Some(layer) = take_up(store, diff_id).await? {
        budget.count_layer(layer.bytes, layer.entries)?;
        return Ok(layer);
    }
    let source = fetch.await?;
    let permit = store.may_unpack().await;
    let (home, diff_id, budget) = (store.home.clone(), diff_id.clone(), budget.clone());
    run_blocking(move || {
        // Who waited may go away, and this goes on: it stays our turn until it ends.
        let (_turn, _permit) = (turn, permit);
        make(&home, &place, &diff_id, source, &budget)
    })
    .await?
}

/// Returns the layer if it is here, and notes that it is used. It is the caller's turn.
async fn take_up(store: &Store, diff_id: &ArtifactDigest) -> io::Result<Option<Layer>> {
    let (home, diff_id) = (store.home.clone(), diff_id.clone());
    run_blocking(move || {
        let layer = load(&home, &diff_id);
        if layer.is_some() {
            touch(&home.image_layer(&diff_id));
        }
        layer
    })
    .await
}

fn make(
    home: &Home,
    place: &Path,
    diff_id: &ArtifactDigest,
    source: Source,
    budget: &Budget,
) -> Result<Layer, Problem> {
    let scratch = home.scratch_dir()?;
    let files = scratch.path().join("fs");
    fs::create_dir(&files)?;
    fs::set_permissions(&files, Permissions::from_mode(0o755))?;
    let Source { mut file, offset, bytes, turn: _turn } = source;
    file.seek(SeekFrom::Start(offset))?;
    let unpack::Unpacked { diff_id: found, bytes, entries, skipped, opaque, implied } =
        unpack(file.take(bytes), &files, budget)?;
    if found != *diff_id {
        return Err(Problem::Digest { what: "a layer, unpacked,".to_owned(), expected: diff_id.clone(), found });
    }
    implied::write(scratch.path(), &implied)?;
    let layer = Layer { bytes, entries, skipped, opaque };
    fs::write(record(scratch.path()), serde_json::to_vec(&layer).map_err(io::Error::from)?)?;
    place_directory(scratch, place)?;
    Ok(layer)
}

fn record(place: &Path) -> PathBuf {
    place.join("layer.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Artifacts, Options, digest};

    /// A store, and a layer of so many files.
    fn store_and_layer(files: usize) -> (tempfile::TempDir, Arc<Store>, ArtifactDigest, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path(), Options::default()).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(0);
        for idx in 0..files {
            tar.append_data(&mut header.clone(), format!("f{idx}"), io::empty()).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let file = dir.path().join("layer.tar");
        fs::write(&file, &tar).unwrap();
        (dir, artifacts.store, digest::of_bytes(&tar), file)
    }

    fn source(file: &Path, turn: Option<OwnedMutexGuard<()>>) -> Source {
        Source { file: File::open(file).unwrap(), offset: 0, bytes: fs::metadata(file).unwrap().len(), turn }
    }

    /// A layer's unpacking that is going on, and for which nobody waits any more.
    async fn left_alone() -> (tempfile::TempDir, Arc<Store>, ArtifactDigest) {
        let (dir, store, diff_id, file) = store_and_layer(1000);
        let blob = store.flights.enter("blob").await;
        let fetch = async { Ok(source(&file, Some(blob))) };
        let budget = Arc::new(Budget::new());
        let begun = async {
            let scratch = dir.path().join("artifacts/tmp");
            while fs::read_dir(&scratch).unwrap().next().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = begun => {}
            made = provide(&store, &diff_id, &budget, fetch) => { made.unwrap(); }
        }
        (dir, store, diff_id)
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_work_whoever_goes_away() {
        let (_dir, store, diff_id) = left_alone().await;
        assert!(present(&store, &diff_id).await.unwrap().is_some(), "whose turn is next at the layer finds it");
        let (_dir, store, diff_id) = left_alone().await;
        let _turn = store.flights.enter("blob").await;
        assert!(load(&store.home, &diff_id).is_some(), "whose turn is next at the file finds it unpacked");
    }

    #[tokio::test]
    async fn only_so_many_unpack_at_one_time() {
        let (dir, store, diff_id, file) = store_and_layer(1);
        let others = store.unpacking.clone().acquire_many_owned(4).await.unwrap();
        let (fetched, is_fetched) = tokio::sync::oneshot::channel();
        let fetch = async {
            fetched.send(()).unwrap();
            Ok(source(&file, None))
        };
        let wait = async {
            is_fetched.await.unwrap();
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(fs::read_dir(dir.path().join("artifacts/tmp")).unwrap().count(), 0);
            drop(others);
        };
        let budget = Arc::new(Budget::new());
        let (made, ()) = tokio::join!(provide(&store, &diff_id, &budget, fetch), wait);
        made.unwrap();
    }

    #[tokio::test]
    async fn a_layer_that_another_put_there_first_is_there() {
        let (_dir, store, diff_id, file) = store_and_layer(1);
        let place = store.home.image_layer(&diff_id);
        for _ in 0..2 {
            make(&store.home, &place, &diff_id, source(&file, None), &Budget::new()).unwrap();
        }
        assert!(load(&store.home, &diff_id).is_some());
    }
}
