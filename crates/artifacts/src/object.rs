//! Code zips from an object store: fetched, checked and then kept by content as an upload is, so that nothing of a version that is
//! READY depends on the store any more.
//!
//! Which zip a version was made of is on record by the version's bundle (`objects/<bundle>.json`): whatever the store has under the
//! same key later, the version stays what it was, also where its bundle must be made again.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};

use crate::bundle::{self, Source};
use crate::home::{Home, Part, Scratch, place_file, touch};
use crate::s3::{Fetched, Object, S3};
use crate::store::{Manifest, Store, blocking};
use crate::{Bundle, Error, digest};

/// What a bundle was made of, as it was on that day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    endpoint: String,
    bucket: String,
    key: String,
    /// As asked for; without it the newest was meant.
    version: Option<String>,
    /// The entity tag that the store gave, and the version where it keeps versions.
    etag: Option<String>,
    fetched_version: Option<String>,
    /// Names the manifest of the zip.
    manifest: ArtifactDigest,
}

impl Origin {
    /// Returns what the bundle was made of; none if that was not an object.
    pub(crate) fn load(home: &Home, bundle: &ArtifactDigest) -> Option<Self> {
        serde_json::from_slice(&fs::read(home.object(bundle)).ok()?).ok()
    }

    /// Names the manifest of the zip.
    pub(crate) fn manifest(&self) -> &ArtifactDigest {
        &self.manifest
    }

    /// Returns the latest that is known of `object`, if its zip is here.
    fn latest(home: &Home, endpoint: &str, object: &Object) -> Option<Self> {
        let mut latest: Option<(SystemTime, Self)> = None;
        for (bundle, path) in home.kept(Part::Objects).ok()? {
            let Some(origin) = Self::load(home, &bundle).filter(|origin| origin.is_of(endpoint, object)) else {
                continue;
            };
            let Ok(at) = path.metadata().and_then(|file| file.modified()) else { continue };
            if latest.as_ref().is_none_or(|(before, _)| *before < at) {
                latest = Some((at, origin));
            }
        }
        latest.map(|(_, origin)| origin).filter(|origin| origin.is_here(home))
    }

    fn is_of(&self, endpoint: &str, object: &Object) -> bool {
        let Object { bucket, key, version } = object;
        self.endpoint == endpoint && (&self.bucket, &self.key, &self.version) == (bucket, key, version)
    }

    fn is_here(&self, home: &Home) -> bool {
        let Ok(manifest) = Manifest::load(home, self.manifest.as_str()) else { return false };
        let (manifest, zip) = (home.manifest(&self.manifest), home.zip(&manifest.zip));
        touch(&manifest);
        touch(&zip);
        // Asked after: what is touched now is not removed any more.
        manifest.is_file() && zip.is_file()
    }

    fn write(&self, home: &Home, bundle: &ArtifactDigest) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        home.write(&home.object(bundle), &json).map_err(io)
    }
}

/// A zip that was fetched and is not kept yet.
struct New {
    file: Scratch,
    manifest: Manifest,
}

/// Makes the bundle of what `object` is now.
pub(crate) async fn prepare(
    store: &Store,
    object: Object,
    runtime: &str,
    entry_point: &[String],
) -> Result<Bundle, Error> {
    let Some(s3) = &store.s3 else { return Err(Error::Bucket(object.bucket)) };
    let _turn = store.flights.enter(&format!("{} {object}", s3.endpoint())).await;
    let (origin, new) = fetch(store, s3, &object).await?;
    let (zip, layer) = match &new {
        Some(New { file, .. }) => (file.path().to_owned(), None),
        None => of_manifest(&store.home, &origin.manifest)?,
    };
    let source = Source { artifact: origin.manifest.as_str(), zip, layer, runtime, entry_point };
    // What cannot be run is not kept.
    let bundle = bundle::make(store, source).await?;
    let (home, digest) = (store.home.clone(), bundle.digest.clone());
    blocking("keep an object", move || {
        if let Some(New { file, manifest }) = new {
            place_file(file, &home.zip(&manifest.zip)).map_err(io)?;
            manifest.write(&home)?;
        }
        origin.write(&home, &digest)
    })
    .await?;
    Ok(bundle)
}

/// Makes the bundle called `digest` again if it was made of an object; without asking the store.
pub(crate) async fn restore(
    store: &Store,
    digest: &ArtifactDigest,
    runtime: &str,
    entry_point: &[String],
) -> Result<Option<Bundle>, Error> {
    let Some(origin) = Origin::load(&store.home, digest) else { return Ok(None) };
    let (zip, layer) = of_manifest(&store.home, &origin.manifest)?;
    let source = Source { artifact: origin.manifest.as_str(), zip, layer, runtime, entry_point };
    bundle::make(store, source).await.map(Some)
}

async fn fetch(store: &Store, s3: &S3, object: &Object) -> Result<(Origin, Option<New>), Error> {
    let file = store.home.scratch_file().map_err(io)?;
    let (home, endpoint, wanted) = (store.home.clone(), s3.endpoint().to_owned(), object.clone());
    let known = blocking("look for an object", move || Ok(Origin::latest(&home, &endpoint, &wanted))).await?;
    let etag = known.as_ref().and_then(|origin| origin.etag.as_deref());
    match s3.fetch(object, etag, file.path()).await? {
        Fetched::Unchanged if let Some(origin) = known => Ok((origin, None)),
        Fetched::Unchanged => Err(Error::NotFound(object.to_string())),
        Fetched::New { etag, version } => {
            let (file, zip) = blocking("look into an object", move || {
                let zip = digest::of_file(file.path()).map_err(io)?;
                Ok((file, zip))
            })
            .await?;
            let manifest = Manifest { zip, layer: None };
            let origin = Origin {
                endpoint: s3.endpoint().to_owned(),
                bucket: object.bucket.clone(),
                key: object.key.clone(),
                version: object.version.clone(),
                etag,
                fetched_version: version,
                manifest: manifest.digest(),
            };
            Ok((origin, Some(New { file, manifest })))
        }
    }
}

/// Returns the zip and the layer of a manifest.
fn of_manifest(home: &Home, manifest: &ArtifactDigest) -> Result<(PathBuf, Option<PathBuf>), Error> {
    bundle::parts(home, &Manifest::load(home, manifest.as_str())?)
}

fn io(source: std::io::Error) -> Error {
    Error::Io { doing: "keep an object of the object store".to_owned(), source }
}
