//! What is kept and needed by nobody: found by what is in use, and removed unless it was used lately.
//!
//! "Used lately" is the modification time. It protects what no version names yet: an upload that is about to be deployed, and
//! what a version that is being made was found to need. Whoever finds something here that he goes on to use, touches it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use innkeep_types::{Artifact, ArtifactDigest, UnixMillis};

use crate::Error;
use crate::home::{Home, Part};
use crate::image::{self, Record};
use crate::object::Origin;
use crate::store::{Manifest, Store, blocking};

/// Removes what `in_use` does not need and nobody used since `used_since`. Returns how many things.
pub(crate) async fn remove(
    store: &Store,
    in_use: Vec<(Artifact, Option<ArtifactDigest>)>,
    used_since: UnixMillis,
) -> Result<usize, Error> {
    let home = store.home.clone();
    let found = blocking("look for what nobody needs", move || find(&home, &in_use, used_since).map_err(io)).await?;
    let mut removed = 0;
    for path in found {
        // Nobody makes it or takes it up meanwhile; who did since it was found has touched it.
        let _turn = store.flights.enter(path.to_string_lossy().as_ref()).await;
        let home = store.home.clone();
        let gone = blocking("remove what nobody needs", move || discard(&home, &path, used_since).map_err(io)).await?;
        removed += usize::from(gone);
    }
    Ok(removed)
}

/// Removes what is kept at `path`, unless somebody used it since; tells whether it did. It is the caller's turn.
pub(crate) fn discard(home: &Home, path: &Path, used_since: UnixMillis) -> io::Result<bool> {
    let is_unused = used_at(path)?.is_some_and(|used_at| used_at < used_since);
    if is_unused {
        home.discard(path)?;
    }
    Ok(is_unused)
}

/// Manifests come first, so that a crash leaves none whose parts are gone.
fn find(
    home: &Home,
    in_use: &[(Artifact, Option<ArtifactDigest>)],
    used_since: UnixMillis,
) -> io::Result<Vec<PathBuf>> {
    let bundles: HashSet<&ArtifactDigest> = in_use.iter().filter_map(|(_, bundle)| bundle.as_ref()).collect();
    let mut prefixes: HashSet<String> = in_use.iter().filter_map(|(artifact, _)| prefix(artifact)).collect();
    // What a bundle was made of, from wherever it came.
    let origins = bundles.iter().filter_map(|bundle| Origin::load(home, bundle));
    prefixes.extend(origins.map(|origin| origin.manifest().as_str().to_owned()));
    let (mut zips, mut layers, mut found) = (HashSet::new(), HashSet::new(), Vec::new());
    for (digest, path) in home.kept(Part::Manifests)? {
        // One that went meanwhile needs nothing.
        let Some(used_at) = used_at(&path)? else { continue };
        if prefixes.contains(digest.as_str()) || used_at >= used_since {
            if let Ok(manifest) = Manifest::load(home, digest.as_str()) {
                zips.insert(manifest.zip);
                layers.extend(manifest.layer);
            }
        } else {
            found.push(path);
        }
    }
    let mut add_unless = |part, needed: &dyn Fn(&ArtifactDigest) -> bool| -> io::Result<()> {
        found.extend(home.kept(part)?.into_iter().filter(|(digest, _)| !needed(digest)).map(|(_, path)| path));
        Ok(())
    };
    let images = Images::find(home, in_use, used_since)?;
    add_unless(Part::Images, &|digest| images.records.contains(digest))?;
    add_unless(Part::Objects, &|digest| bundles.contains(digest))?;
    add_unless(Part::Bundles, &|digest| bundles.contains(digest))?;
    add_unless(Part::Zips, &|digest| zips.contains(digest))?;
    add_unless(Part::Layers, &|digest| layers.contains(digest))?;
    add_unless(Part::ImageLayers, &|diff_id| images.layers.contains(diff_id))?;
    // Of an image that was not pulled to its end. Who goes on with it touches it.
    add_unless(Part::Blobs, &|_| false)?;
    Ok(found)
}

/// What is needed of images.
struct Images {
    records: HashSet<ArtifactDigest>,
    layers: HashSet<ArtifactDigest>,
}

impl Images {
    fn find(home: &Home, in_use: &[(Artifact, Option<ArtifactDigest>)], used_since: UnixMillis) -> io::Result<Self> {
        // The bundle of an image has the digest of its manifest.
        let mut records: HashSet<ArtifactDigest> = in_use.iter().filter_map(|(_, bundle)| bundle.clone()).collect();
        records.extend(in_use.iter().filter_map(|(artifact, _)| image::digest_of(artifact)));
        let kept = home.kept(Part::Images)?;
        for (digest, path) in &kept {
            if used_at(path)?.is_some_and(|used_at| used_at >= used_since) {
                records.insert(digest.clone());
            }
        }
        let loaded = kept.into_iter().filter_map(|(digest, _)| Some((Record::load(home, &digest)?, digest)));
        let loaded: Vec<(Record, ArtifactDigest)> = loaded.collect();
        for (record, digest) in &loaded {
            if let Record::Index { manifest, .. } = record
                && records.contains(digest)
            {
                records.insert(manifest.clone());
            }
        }
        let needed = loaded.into_iter().filter(|(_, digest)| records.contains(digest));
        let layers = needed.flat_map(|(record, _)| record.into_layers()).collect();
        Ok(Self { records, layers })
    }
}

fn prefix(artifact: &Artifact) -> Option<String> {
    match artifact {
        Artifact::Code { bucket, prefix, .. } if bucket == Artifact::BUILT_IN_BUCKET => Some(prefix.clone()),
        Artifact::Code { .. } | Artifact::Container { .. } => None,
    }
}

/// Returns when somebody last used what is kept at `path`; nothing if it is gone.
pub(crate) fn used_at(path: &Path) -> io::Result<Option<UnixMillis>> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    let since_epoch = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))))
}

fn io(source: io::Error) -> Error {
    Error::Io { doing: "remove what nobody needs".to_owned(), source }
}
