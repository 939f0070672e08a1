//! What is kept, told to people, and removed when they say so.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use innkeep_types::{Artifact, ArtifactDigest, UnixMillis};
use walkdir::WalkDir;

use crate::garbage::{self, used_at};
use crate::home::{Home, Part};
use crate::image::{self, Record, record};
use crate::object::Origin;
use crate::store::{Manifest, Store, blocking};
use crate::{Error, Stored, StoredKind};

/// Later than anything was used.
const WHENEVER: UnixMillis = UnixMillis(i64::MAX);

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

/// Removes one artifact and all that no other needs, unless somebody takes it up meanwhile; that, and what of it was unpacked for
/// versions that are gone, goes within hours.
pub(crate) async fn remove(
    store: &Store,
    digest: &ArtifactDigest,
    in_use: &[(Artifact, Option<ArtifactDigest>)],
) -> Result<(), Error> {
    let (home, named, in_use) = (store.home.clone(), digest.clone(), in_use.to_vec());
    let (begun, whole) = blocking("look at an artifact", move || {
        let begun = now(&home).map_err(io)?;
        let used_by = users(&home, &in_use, &named);
        if used_by.is_empty() {
            Ok((begun, Whole::load(&home, named)?))
        } else {
            Err(Error::InUse { digest: named, used_by })
        }
    })
    .await?;
    discard(store, whole.place(&store.home), WHENEVER).await?;
    let home = store.home.clone();
    for part in blocking("look for what nobody needs", move || whole.own_parts(&home).map_err(io)).await? {
        discard(store, part, begun).await?;
    }
    Ok(())
}

/// An artifact that is to be removed.
enum Whole {
    Code(ArtifactDigest, Manifest),
    Image(ArtifactDigest, record::Image),
}

impl Whole {
    fn load(home: &Home, digest: ArtifactDigest) -> Result<Self, Error> {
        match (Manifest::load(home, digest.as_str()), Record::load(home, &digest)) {
            (Ok(manifest), _) => Ok(Self::Code(digest, manifest)),
            (_, Some(Record::Image(image))) => Ok(Self::Image(digest, image)),
            (Err(_), Some(Record::Index { .. }) | None) => Err(Error::NotKept(digest.to_string())),
        }
    }

    /// Returns what names it.
    fn place(&self, home: &Home) -> PathBuf {
        match self {
            Self::Code(digest, _) => home.manifest(digest),
            Self::Image(digest, _) => home.image(digest),
        }
    }

    /// Returns what it is made of and nothing else is, now that nothing names it.
    fn own_parts(self, home: &Home) -> io::Result<Vec<PathBuf>> {
        let mut parts = Vec::new();
        match self {
            Self::Code(_, manifest) => {
                let (mut zips, mut layers) = (HashSet::new(), HashSet::new());
                for (other, _) in home.kept(Part::Manifests)? {
                    if let Ok(other) = Manifest::load(home, other.as_str()) {
                        zips.insert(other.zip);
                        layers.extend(other.layer);
                    }
                }
                parts.extend((!zips.contains(&manifest.zip)).then(|| home.zip(&manifest.zip)));
                parts.extend(manifest.layer.filter(|layer| !layers.contains(layer)).map(|layer| home.layer(&layer)));
            }
            Self::Image(digest, image) => {
                let mut layers = HashSet::new();
                for (other, path) in home.kept(Part::Images)? {
                    match Record::load(home, &other) {
                        Some(Record::Index { manifest, .. }) if manifest == digest => parts.push(path),
                        Some(record) => layers.extend(record.into_layers()),
                        None => {}
                    }
                }
                parts.push(home.bundle(&digest));
                let own = image.layers.into_iter().filter(|layer| !layers.contains(layer));
                parts.extend(own.collect::<HashSet<_>>().iter().map(|layer| home.image_layer(layer)));
            }
        }
        Ok(parts)
    }
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
        let Some(used_at) = used_at(&path)? else { continue };
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
        let Some(used_at) = used_at(&path)? else { continue };
        let used_by = users(home, in_use, &digest);
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

/// Returns the time by the clock of the file system, which is what says when something was used.
fn now(home: &Home) -> io::Result<UnixMillis> {
    Ok(used_at(home.scratch_file()?.path())?.unwrap_or_default())
}

async fn discard(store: &Store, path: PathBuf, used_since: UnixMillis) -> Result<(), Error> {
    // Whoever took it up before this turn has touched it.
    let _turn = store.flights.enter(path.to_string_lossy().as_ref()).await;
    let home = store.home.clone();
    blocking("remove an artifact", move || garbage::discard(&home, &path, used_since).map_err(io)).await.map(drop)
}

fn io(source: io::Error) -> Error {
    Error::Io { doing: "read or remove what is kept of artifacts".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::touch;
    use crate::{Artifacts, Options};

    #[tokio::test]
    async fn what_is_taken_up_after_a_removal_began_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), Options::default()).unwrap().store;
        let home = &store.home;
        let digest = |letter: &str| ArtifactDigest::parse(letter.repeat(64)).unwrap();
        let [image, shared, own] = ["a", "b", "c"].map(digest);
        for layer in [&shared, &own] {
            std::fs::create_dir(home.image_layer(layer)).unwrap();
            let long_ago = std::time::UNIX_EPOCH;
            std::fs::File::open(home.image_layer(layer)).unwrap().set_modified(long_ago).unwrap();
        }
        let layers = vec![shared.clone(), own.clone()];
        let record = record::Image { reference: "x".to_owned(), layers, process: serde_json::from_str("{}").unwrap() };
        Record::Image(record).write(home, &image).unwrap();

        // Somebody has the layer's turn, and takes it up, while the removal waits for it.
        let turn = store.flights.enter(home.image_layer(&shared).to_string_lossy().as_ref()).await;
        let take_up = async {
            while home.image(&image).exists() {
                tokio::task::yield_now().await;
            }
            touch(&home.image_layer(&shared));
            drop(turn);
        };
        let (removed, ()) = tokio::join!(remove(&store, &image, &[]), take_up);
        removed.unwrap();
        assert!(home.image_layer(&shared).exists() && !home.image_layer(&own).exists());
    }

    #[test]
    fn what_goes_meanwhile_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), Options::default()).unwrap().store;
        let gone = store.home.image(&ArtifactDigest::parse("a".repeat(64)).unwrap());
        assert_eq!(used_at(&gone).unwrap(), None);
        assert!(!garbage::discard(&store.home, &gone, WHENEVER).unwrap());
    }
}
