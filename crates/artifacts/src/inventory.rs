//! What is kept, told to people, and removed when they say so.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use innkeep_types::{Artifact, ArtifactDigest};
use walkdir::WalkDir;

use crate::garbage::used_at;
use crate::home::{Home, Part};
use crate::image::{self, Record};
use crate::object::Origin;
use crate::store::{Manifest, Store, blocking};
use crate::{Error, Stored, StoredKind};

/// Returns all artifacts, the last used first. `in_use`: as for garbage.
pub(crate) async fn list(store: &Store, in_use: Vec<(Artifact, Option<ArtifactDigest>)>) -> Result<Vec<Stored>, Error> {
    let home = store.home.clone();
    blocking("list the artifacts", move || {
        let mut all = code(&home, &in_use).map_err(io)?;
        all.extend(images(&home, &in_use).map_err(io)?);
        all.sort_by(|a, b| b.used_at.cmp(&a.used_at).then_with(|| a.digest.cmp(&b.digest)));
        Ok(all)
    })
    .await
}

/// Removes one artifact and all that no other needs; what of it was unpacked for versions that are gone goes within hours.
pub(crate) async fn remove(
    store: &Store,
    digest: &ArtifactDigest,
    in_use: &[(Artifact, Option<ArtifactDigest>)],
) -> Result<(), Error> {
    let home = &store.home;
    let (manifest, record) = (Manifest::load(home, digest.as_str()), Record::load(home, digest));
    let used_by = users(home, in_use, digest);
    if !used_by.is_empty() {
        return Err(Error::InUse { digest: digest.clone(), used_by });
    }
    let mut parts = Vec::new();
    match (manifest, record) {
        (Ok(manifest), _) => {
            discard(store, home.manifest(digest)).await?;
            let (mut zips, mut layers) = (HashSet::new(), HashSet::new());
            for (other, _) in home.kept(Part::Manifests).map_err(io)? {
                if let Ok(other) = Manifest::load(home, other.as_str()) {
                    zips.insert(other.zip);
                    layers.extend(other.layer);
                }
            }
            parts.extend((!zips.contains(&manifest.zip)).then(|| home.zip(&manifest.zip)));
            parts.extend(manifest.layer.filter(|layer| !layers.contains(layer)).map(|layer| home.layer(&layer)));
        }
        (_, Some(Record::Image(image))) => {
            discard(store, home.image(digest)).await?;
            let mut layers = HashSet::new();
            for (other, path) in home.kept(Part::Images).map_err(io)? {
                match Record::load(home, &other) {
                    Some(Record::Index { manifest, .. }) if manifest == *digest => parts.push(path),
                    Some(record) => layers.extend(record.into_layers()),
                    None => {}
                }
            }
            parts.push(home.bundle(digest));
            let own = image.layers.into_iter().filter(|layer| !layers.contains(layer));
            parts.extend(own.collect::<HashSet<_>>().iter().map(|layer| home.image_layer(layer)));
        }
        (Err(_), Some(Record::Index { .. }) | None) => return Err(Error::NotKept(digest.to_string())),
    }
    for part in parts {
        discard(store, part).await?;
    }
    Ok(())
}

fn code(home: &Home, in_use: &[(Artifact, Option<ArtifactDigest>)]) -> io::Result<Vec<Stored>> {
    let mut all = Vec::new();
    for (digest, path) in home.kept(Part::Manifests)? {
        let Ok(manifest) = Manifest::load(home, digest.as_str()) else { continue };
        let used_by = users(home, in_use, &digest);
        let bundles = used_by.iter().filter_map(|idx| in_use.get(*idx)?.1.as_ref());
        let bundles: HashSet<PathBuf> = bundles.map(|bundle| home.bundle(bundle)).collect();
        let parts = [Some(home.zip(&manifest.zip)), manifest.layer.map(|layer| home.layer(&layer))];
        let bytes = parts.into_iter().flatten().chain(bundles).map(|part| size(&part)).sum();
        let used_at = used_at(&path)?;
        all.push(Stored { digest, kind: StoredKind::Code, reference: None, bytes, used_by, used_at });
    }
    Ok(all)
}

fn images(home: &Home, in_use: &[(Artifact, Option<ArtifactDigest>)]) -> io::Result<Vec<Stored>> {
    let mut all = Vec::new();
    for (digest, path) in home.kept(Part::Images)? {
        let Some(Record::Image(image)) = Record::load(home, &digest) else { continue };
        let layers: HashSet<&ArtifactDigest> = image.layers.iter().collect();
        let bytes = layers.into_iter().map(|layer| image::layer_bytes(home, layer)).sum();
        let (used_by, used_at) = (users(home, in_use, &digest), used_at(&path)?);
        let reference = Some(image.reference);
        all.push(Stored { digest, kind: StoredKind::Image, reference, bytes, used_by, used_at });
    }
    Ok(all)
}

fn users(home: &Home, in_use: &[(Artifact, Option<ArtifactDigest>)], digest: &ArtifactDigest) -> Vec<usize> {
    let users = in_use.iter().enumerate();
    users.filter(|(_, (artifact, bundle))| needs(home, artifact, bundle.as_ref(), digest)).map(|(idx, _)| idx).collect()
}

/// Tells whether a version of `artifact`, which became `bundle`, needs what `digest` names.
fn needs(home: &Home, artifact: &Artifact, bundle: Option<&ArtifactDigest>, digest: &ArtifactDigest) -> bool {
    match artifact {
        Artifact::Code { bucket, prefix, .. } if bucket == Artifact::BUILT_IN_BUCKET => prefix == digest.as_str(),
        Artifact::Code { .. } => {
            let origin = bundle.and_then(|bundle| Origin::load(home, bundle));
            origin.is_some_and(|origin| origin.manifest() == digest)
        }
        Artifact::Container { .. } if bundle.is_some() => bundle == Some(digest),
        Artifact::Container { .. } => image::digest_of(artifact).is_some_and(|named| {
            named == *digest || Record::find(home, &named).is_some_and(|(found, _)| found == *digest)
        }),
    }
}

/// Returns the bytes of the files at `path`.
fn size(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

async fn discard(store: &Store, path: PathBuf) -> Result<(), Error> {
    let _turn = store.flights.enter(path.to_string_lossy().as_ref()).await;
    let home = store.home.clone();
    blocking("remove an artifact", move || match home.discard(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        discarded => discarded.map_err(io),
    })
    .await
}

fn io(source: io::Error) -> Error {
    Error::Io { doing: "read or remove what is kept of artifacts".to_owned(), source }
}
