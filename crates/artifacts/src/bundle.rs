//! From an artifact to a bundle: unpacked, compiled, read-only, and with the command line that starts it.
//!
//! Two renames make one: `code/` first, then `bundle.json`. The second alone is done again where code is there but its
//! `bundle.json` no longer fits the host (another interpreter, a data directory that was moved).

use std::fs;
use std::path::{Path, PathBuf};

use innkeep_types::{Artifact, ArtifactDigest};
use serde::Serialize;

use crate::home::{Home, place_tree, touch};
use crate::host::is_executable;
use crate::launch::Runner;
use crate::project::settings;
use crate::s3::Object;
use crate::store::{Manifest, Store, blocking};
use crate::{Bundle, Content, Error, archive, digest, image, layer, object};

/// What makes two bundles different; its digest names the bundle.
#[derive(Serialize)]
struct Identity<'a> {
    artifact: &'a str,
    runtime: &'a str,
    entry_point: &'a [String],
}

/// What a bundle is made of.
pub(crate) struct Source<'a> {
    /// Names the zip and its layer: the digest of their manifest.
    pub(crate) artifact: &'a str,
    pub(crate) zip: PathBuf,
    pub(crate) layer: Option<PathBuf>,
    pub(crate) runtime: &'a str,
    pub(crate) entry_point: &'a [String],
}

/// Makes `artifact` ready, unless it is.
pub(crate) async fn prepare(store: &Store, artifact: &Artifact) -> Result<Bundle, Error> {
    let (bucket, prefix, version_id, runtime, entry_point) = match artifact {
        Artifact::Container { uri } => return Ok(image::prepare(store, uri, None).await?),
        Artifact::Code { bucket, prefix, version_id, runtime, entry_point } => {
            (bucket, prefix, version_id.clone(), runtime, entry_point)
        }
    };
    if bucket != Artifact::BUILT_IN_BUCKET {
        let object = Object { bucket: bucket.clone(), key: prefix.clone(), version: version_id };
        return object::prepare(store, object, runtime, entry_point).await;
    }
    if let Some(version) = version_id {
        return Err(Error::ObjectVersion(version));
    }
    let (zip, layer) = parts(&store.home, &Manifest::load(&store.home, prefix)?)?;
    make(store, Source { artifact: prefix, zip, layer, runtime, entry_point }).await
}

/// Makes the bundle called `digest` again, of what it was made of.
pub(crate) async fn restore(store: &Store, artifact: &Artifact, digest: &ArtifactDigest) -> Result<Bundle, Error> {
    if let Artifact::Code { runtime, entry_point, .. } = artifact
        && let Some(bundle) = object::restore(store, digest, runtime, entry_point).await?
    {
        return Ok(bundle);
    }
    if let Artifact::Container { uri } = artifact {
        // A tag may name another image by now. The bundle of an image has the digest of its manifest.
        return Ok(image::prepare(store, uri, Some(digest)).await?);
    }
    prepare(store, artifact).await
}

/// Returns the zip and the layer of an artifact.
pub(crate) fn parts(home: &Home, manifest: &Manifest) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let layer = match &manifest.layer {
        Some(fingerprint) => Some(home.layer(&layer::present(home, fingerprint.as_str())?)),
        None => None,
    };
    Ok((home.zip(&manifest.zip), layer))
}

/// Makes the bundle of `source`, unless it is there.
pub(crate) async fn make(store: &Store, source: Source<'_>) -> Result<Bundle, Error> {
    let Source { artifact, zip, layer, runtime, entry_point } = source;
    let digest = digest::of_json(&Identity { artifact, runtime, entry_point });
    let dir = store.home.bundle(&digest);
    let _turn = store.flights.enter(dir.to_string_lossy().as_ref()).await;
    if let Some(bundle) = load(&dir) {
        touch(&dir);
        return Ok(bundle);
    }
    let runner = Runner::find(&store.host, &store.home, runtime).await?;
    let scratch = store.home.scratch_dir().map_err(io)?;
    let place = dir.join("code");
    let is_unpacked = place.is_dir();
    let code = if is_unpacked { place.clone() } else { scratch.path().join("code") };

    let (here, there, entry_point) = (code.clone(), place.clone(), entry_point.to_vec());
    let layers = Vec::from_iter(layer.clone());
    let (scratch, runner, launch, agent) = blocking("unpack an artifact", move || {
        if !is_unpacked {
            fs::create_dir(&here).map_err(io)?;
            archive::unpack(&zip, &here)?;
        }
        let launch = runner.launch(&entry_point, &here, &there, layer.as_deref())?;
        let agent = settings::read(&here)?;
        Ok((scratch, runner, launch, agent))
    })
    .await?;
    if !is_unpacked && let Runner::Python(python) = &runner {
        layer::compile(&store.home, python, &code).await;
    }
    let bundle = Bundle {
        digest,
        content: Content::Code { code: place.clone(), layers },
        argv: launch.argv,
        environment: launch.environment,
        settings: agent.settings,
    };
    let home = store.home.clone();
    blocking("keep a bundle", move || {
        if !is_unpacked {
            place_tree(&code, &place).map_err(io)?;
        }
        drop(scratch);
        write(&home, &dir, &bundle).map_err(io)?;
        Ok(bundle)
    })
    .await
}

/// Returns the bundle in `dir` if it is complete and still fits this host.
pub(crate) fn load(dir: &Path) -> Option<Bundle> {
    let json = fs::read(record(dir)).ok()?;
    let bundle: Bundle = serde_json::from_slice(&json).ok()?;
    let program = bundle.argv.first().map(Path::new)?;
    let fits = match &bundle.content {
        Content::Code { code, .. } => *code == dir.join("code") && is_executable(program),
        Content::Image { image } => image.layers.iter().all(|layer| is_within(dir, layer) && layer.is_dir()),
    };
    fits.then_some(bundle)
}

/// Completes the bundle in `dir`, durably.
pub(crate) fn write(home: &Home, dir: &Path, bundle: &Bundle) -> std::io::Result<()> {
    home.write(&record(dir), &serde_json::to_vec_pretty(bundle)?)
}

/// Tells whether `layer` lies in the store that the bundle in `dir` belongs to: the data directory may have been moved.
fn is_within(dir: &Path, layer: &Path) -> bool {
    dir.ancestors().nth(2).is_some_and(|store| layer.starts_with(store))
}

fn record(dir: &Path) -> PathBuf {
    dir.join("bundle.json")
}

fn io(source: std::io::Error) -> Error {
    Error::Io { doing: "make an artifact ready".to_owned(), source }
}
