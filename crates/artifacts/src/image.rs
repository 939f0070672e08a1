//! OCI images: pulled from registries or uploaded as archives, unpacked layer by layer, made into bundles.
//!
//! ```text
//! artifacts/images/<digest>.json        what the manifest of this digest says, once all of its layers are here
//! artifacts/image-layers/<diff id>/     one layer, unpacked, in overlayfs's form
//! artifacts/bundles/<digest>/directories/  the topmost layer of an image that needs it: see [`implied`]
//! artifacts/blobs/<digest>.partial      a compressed layer that is being pulled; goes once it is unpacked
//! ```
//!
//! Compressed layers are not kept: nothing reads them again, since a layer that is here is shared by its diff id, and they would
//! take half as much space once more.

use std::sync::Arc;

use innkeep_types::limits::{IMAGE_PULL_TIMEOUT, MAX_IMAGE_LAYERS};
use innkeep_types::{Artifact, ArtifactDigest, Settings};

use crate::image::config::Config;
use crate::image::manifest::{Document, Manifest, host_architecture};
use crate::image::progress::Pull;
use crate::image::reference::{BUILT_IN_HOST, Reference};
use crate::image::registry::Registry;
use crate::image::unpack::Budget;
use crate::store::{Store, run_blocking};
use crate::{Bundle, Content, Image, bundle, home};

mod archive;
mod config;
mod download;
mod error;
mod implied;
mod layer;
mod manifest;
mod merged;
mod progress;
pub(crate) mod record;
mod reference;
mod registry;
mod unpack;
mod user;

pub(crate) use archive::add;
pub use error::{Error, Problem};
pub(crate) use progress::Pulls;
pub(crate) use record::Record;
pub(crate) use registry::Registries;
pub use unpack::{Error as LayerError, Problem as EntryProblem};

/// Layers of one image that are pulled at a time. Source: Docker's default.
const PARALLEL_LAYERS: usize = 3;

/// Makes the image that `uri` names ready, unless it is. `pinned`: the digest of the manifest that its tag named when the version
/// was made.
pub(crate) async fn prepare(store: &Store, uri: &str, pinned: Option<&ArtifactDigest>) -> Result<Bundle, Error> {
    let failed = |problem| Error { image: uri.to_owned(), problem };
    let named = Reference::parse(uri).map_err(Problem::Reference).map_err(failed)?;
    let reference = pinned.map_or_else(|| named.clone(), |digest| named.pinned(digest));
    provide(store, uri, &reference).await.map_err(failed)
}

/// Returns the digest that `artifact` names its image by, if it does.
pub(crate) fn digest_of(artifact: &Artifact) -> Option<ArtifactDigest> {
    match artifact {
        Artifact::Container { uri } => Reference::parse(uri).ok()?.digest,
        Artifact::Code { .. } => None,
    }
}

/// Returns the bytes that a layer takes, about: what its tar has.
pub(crate) fn layer_bytes(home: &home::Home, diff_id: &ArtifactDigest) -> u64 {
    layer::load(home, diff_id).map_or(0, |layer| layer.bytes)
}

async fn provide(store: &Store, uri: &str, reference: &Reference) -> Result<Bundle, Problem> {
    if let Some(digest) = &reference.digest
        && let Some(bundle) = present(store, digest).await?
    {
        return Ok(bundle);
    }
    if reference.host == BUILT_IN_HOST {
        return Err(Problem::NotUploaded);
    }
    tokio::time::timeout(IMAGE_PULL_TIMEOUT, Box::pin(pull(store, uri, reference))).await.map_err(|_| Problem::Late)?
}

/// Returns the bundle of an image that is here, whatever of it is missing besides layers.
async fn present(store: &Store, digest: &ArtifactDigest) -> Result<Option<Bundle>, Problem> {
    let (home, named) = (store.home.clone(), digest.clone());
    let Some((manifest, image)) = run_blocking(move || Record::take_up(&home, &named)).await? else { return Ok(None) };
    for diff_id in &image.layers {
        if layer::present(store, diff_id).await?.is_none() {
            return Ok(None);
        }
    }
    bundle_of(store, manifest, image).await.map(Some)
}

async fn pull(store: &Store, uri: &str, reference: &Reference) -> Result<Bundle, Problem> {
    let registry = store.registries.open(reference).await?;
    let (digest, document) = registry.manifest(reference).await?;
    let (chosen, manifest) = match document {
        Document::Manifest(manifest) => (digest.clone(), manifest),
        Document::Index(manifests) => {
            let chosen = manifest::choose(&manifests)?.digest.clone();
            match registry.manifest(&reference.pinned(&chosen)).await? {
                (_, Document::Manifest(manifest)) => (chosen, manifest),
                (_, Document::Index(_)) => return Err(Problem::NoImage),
            }
        }
    };
    let place = store.home.image(&chosen);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    let bundle = loop {
        if let Some(bundle) = present(store, &chosen).await? {
            break bundle;
        }
        // Once the record is kept, its layers are; one that was here may have been removed just before.
        let pull = store.pulls.begin(uri, manifest.layers.iter().map(|layer| layer.size));
        let image = Box::pin(fetch(store, &registry, &pull, reference, &manifest)).await?;
        keep(store, &chosen, Record::Image(image)).await?;
    };
    if digest != chosen {
        let architecture = host_architecture().to_owned();
        keep(store, &digest, Record::Index { architecture, manifest: chosen }).await?;
    }
    Ok(bundle)
}

/// Pulls and unpacks what is missing of an image.
async fn fetch(
    store: &Store,
    registry: &Registry<'_>,
    pull: &Pull<'_>,
    reference: &Reference,
    manifest: &Manifest,
) -> Result<record::Image, Problem> {
    let config = Config::parse(&registry.small_blob(&manifest.config).await?, manifest)?;
    let budget = Arc::new(Budget::new());
    let waiting = parking_lot::Mutex::new(config.diff_ids.iter().zip(&manifest.layers).zip(pull.layers.iter()));
    let next = || waiting.lock().next();
    let worker = || async {
        while let Some(((diff_id, descriptor), progress)) = next() {
            layer::provide(store, diff_id, &budget, download::blob(store, registry, descriptor, progress)).await?;
            progress.is_done();
            // Here, or made by another: nobody needs it compressed any more.
            download::forget(store, &descriptor.digest).await;
        }
        Ok::<_, Problem>(())
    };
    const { assert!(PARALLEL_LAYERS == 3, "one worker below for each") };
    tokio::try_join!(worker(), worker(), worker())?;
    Ok(record::Image { reference: reference.to_string(), layers: config.diff_ids, process: config.process })
}

/// Makes the bundle of an image whose layers are here, unless it is.
async fn bundle_of(store: &Store, digest: ArtifactDigest, image: record::Image) -> Result<Bundle, Problem> {
    let home = store.home.clone();
    run_blocking(move || {
        let dir = home.bundle(&digest);
        // Before it is looked for: what is touched now is not removed any more.
        home::touch(&dir);
        if let Some(bundle) = bundle::load(&dir) {
            return Ok(bundle);
        }
        let process = &image.process;
        let mut layers = stack(&home, &image.layers);
        let user = user::resolve(process.user(), &layers)?;
        std::fs::create_dir_all(&dir)?;
        let directories = dir.join("directories");
        if layers.len() < MAX_IMAGE_LAYERS && implied::cover(&home, &layers, &directories)? {
            layers.insert(0, directories);
        }
        let bundle = Bundle {
            digest,
            argv: process.argv()?,
            environment: process.environment(),
            settings: Settings::default(),
            content: Content::Image {
                image: Image {
                    layers,
                    user: user.uid,
                    group: user.gid,
                    groups: user.groups,
                    home: user.home,
                    working_directory: process.working_directory(),
                },
            },
        };
        bundle::write(&home, &dir, &bundle)?;
        Ok(bundle)
    })
    .await?
}

/// Returns the directories to mount, the topmost first. Of a layer that is there twice the upper is enough, and overlayfs takes no
/// directory twice; what lies below one that hides all is left out.
fn stack(home: &home::Home, diff_ids: &[ArtifactDigest]) -> Vec<std::path::PathBuf> {
    let mut layers = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids.iter().rev() {
        let files = layer::files(home, diff_id);
        if !layers.contains(&files) {
            layers.push(files);
        }
        if layer::load(home, diff_id).is_some_and(|layer| layer.opaque) {
            break;
        }
    }
    layers
}

async fn keep(store: &Store, digest: &ArtifactDigest, record: Record) -> Result<(), Problem> {
    let (home, digest) = (store.home.clone(), digest.clone());
    run_blocking(move || Ok(record.write(&home, &digest)?)).await?
}
