//! Uploaded archives: what `docker save` writes (`manifest.json`) and OCI layouts as a tar (`index.json`), compressed or not.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use innkeep_types::ArtifactDigest;
use innkeep_types::limits::{MAX_IMAGE_LAYERS, MAX_IMAGE_METADATA_BYTES, MAX_IMAGE_UNPACKED_BYTES};
use serde::Deserialize;
use serde_json::json;

use crate::home::Scratch;
use crate::image::archive::contents::{Contents, Place};
use crate::image::config::Config;
use crate::image::layer::Source;
use crate::image::manifest::{self, Descriptor, Document};
use crate::image::record;
use crate::image::reference::{BUILT_IN_HOST, repository_of};
use crate::image::unpack::{Budget, decompress};
use crate::image::{Error, Problem, Record, bundle_of, keep, layer, present};
use crate::room::Room;
use crate::store::{Store, run_blocking};
use crate::{UploadedImage, digest};

mod contents;
mod tags;

/// An image that an archive holds.
struct Found {
    /// What the archive calls it.
    name: Option<String>,
    /// Of its manifest.
    digest: ArtifactDigest,
    config: Config,
    /// Where its layers are, the lowest first.
    layers: Vec<Place>,
}

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Unpacks the image in `upload`, of several the one called `tag`, and keeps it under `name`, else under the name that the archive
/// gives.
pub(crate) async fn add(
    store: &Store,
    upload: Scratch,
    name: Option<&str>,
    tag: Option<&str>,
) -> Result<UploadedImage, Error> {
    let image = name.unwrap_or("in the archive").to_owned();
    add_found(store, upload, name, tag).await.map_err(|problem| Error { image, problem })
}

async fn add_found(
    store: &Store,
    upload: Scratch,
    name: Option<&str>,
    tag: Option<&str>,
) -> Result<UploadedImage, Problem> {
    let (home, tag) = (store.home.clone(), tag.map(str::to_owned));
    let permit = store.may_unpack().await;
    let (upload, found) = run_blocking(move || {
        let _permit = permit;
        let upload = plain(upload, || home.scratch_file())?;
        let found = find(&Contents::read(upload.path())?, tag.as_deref())?;
        Ok::<_, Problem>((upload, found))
    })
    .await??;
    let name = repository_of(name.or(found.name.as_deref()).unwrap_or_default());
    let reference = format!("{BUILT_IN_HOST}/{name}@sha256:{}", found.digest);
    let place = store.home.image(&found.digest);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    let mut notes = Vec::new();
    if present(store, &found.digest).await?.is_some() {
        notes.push("the image was uploaded before".to_owned());
        return Ok(UploadedImage { container_uri: reference, notes });
    }
    let (budget, mut bytes, mut skipped) = (Arc::new(Budget::new()), 0, 0);
    for (diff_id, place) in found.config.diff_ids.iter().zip(&found.layers) {
        let source = async {
            let file = tokio::fs::File::open(upload.path()).await?.into_std().await;
            Ok(Source { file, offset: place.offset, bytes: place.bytes, turn: None })
        };
        let layer = layer::provide(store, diff_id, &budget, source).await?;
        bytes += layer.bytes;
        skipped += layer.skipped;
    }
    let Config { diff_ids, process } = found.config;
    let layers = if diff_ids.len() == 1 { "1 layer".to_owned() } else { format!("{} layers", diff_ids.len()) };
    notes.push(format!("{layers}, {} MB unpacked", bytes / 1_000_000));
    if skipped > 0 {
        notes.push(format!("{skipped} devices, pipes and sockets of the image were left out"));
    }
    let image = record::Image { reference: reference.clone(), layers: diff_ids, process };
    // Before the record, because its user may not be there.
    bundle_of(store, found.digest.clone(), image.clone()).await?;
    keep(store, &found.digest, Record::Image(image)).await?;
    let bundle = present(store, &found.digest).await?;
    let bundle = bundle.ok_or_else(|| Problem::Archive("a layer was removed meanwhile; upload it again".to_owned()))?;
    notes.push(format!("it runs {}", bundle.argv.join(" ").chars().take(200).collect::<String>()));
    Ok(UploadedImage { container_uri: reference, notes })
}

/// Returns the archive without its compression.
fn plain(upload: Scratch, scratch: impl FnOnce() -> io::Result<Scratch>) -> Result<Scratch, Problem> {
    use std::io::Read;
    let damaged = |_| Problem::Archive("it is compressed, and damaged".to_owned());
    let mut file = File::open(upload.path())?;
    let mut magic = [0; 1];
    // The first byte of a tar is one of a name.
    if file.read(&mut magic)? == 0 || !matches!(magic, [0x1f | 0x28]) {
        return Ok(upload);
    }
    let mut content = decompress(File::open(upload.path())?).map_err(damaged)?;
    let plain = scratch()?;
    let mut out = File::create(plain.path())?;
    let (mut buffer, mut left, mut room) = (vec![0; 1 << 20], MAX_IMAGE_UNPACKED_BYTES, Room::default());
    loop {
        let n = content.read(&mut buffer).map_err(damaged)?;
        let Some(chunk) = buffer.get(..n).filter(|chunk| !chunk.is_empty()) else { return Ok(plain) };
        left = left.checked_sub(n as u64).ok_or(crate::image::unpack::Error::TooLarge)?;
        room.take(&out, n as u64)?;
        out.write_all(chunk)?;
    }
}

/// Finds the one image that the archive holds, or that is meant.
fn find(contents: &Contents, tag: Option<&str>) -> Result<Found, Problem> {
    if contents.has("index.json") {
        in_layout(contents, tag)
    } else if contents.has("manifest.json") {
        saved(contents, tag)
    } else {
        Err(Problem::Archive("it has neither manifest.json (`docker save`) nor index.json (an OCI layout)".to_owned()))
    }
}

/// The layout of the OCI image specification, which newer `docker save` writes too.
fn in_layout(contents: &Contents, tag: Option<&str>) -> Result<Found, Problem> {
    let blob = |descriptor: &Descriptor| {
        let bytes = contents.get(&blob_path(&descriptor.digest), MAX_IMAGE_METADATA_BYTES)?;
        let (expected, found) = (descriptor.digest.clone(), digest::of_bytes(&bytes));
        let what = format!("blob sha256:{expected}");
        if expected == found { Ok(bytes) } else { Err(Problem::Digest { what, expected, found }) }
    };
    let index = contents.get("index.json", MAX_IMAGE_METADATA_BYTES)?;
    let Document::Index(manifests) = Document::parse(&index)? else { return Err(Problem::NoImage) };
    let mut manifests = tags::meant(manifests, tag)?;
    let mut name = None;
    // An image for several platforms is an index within the index, and that may be one again.
    for _ in 0..3 {
        // A bare tag names nothing.
        let named = manifests.iter().flat_map(tags::names).find(|name| name.contains(['/', ':']));
        name = name.or_else(|| named.map(repository));
        let chosen = manifest::choose(&manifests)?.clone();
        match Document::parse(&blob(&chosen)?)? {
            Document::Index(inner) => manifests = inner,
            Document::Manifest(manifest) => {
                let config = Config::parse(&blob(&manifest.config)?, &manifest)?;
                let layers = manifest.layers.iter().map(|layer| contents.place(&blob_path(&layer.digest)));
                let layers = layers.collect::<Result<_, _>>()?;
                return Ok(Found { name, digest: chosen.digest, config, layers });
            }
        }
    }
    Err(Problem::NoImage)
}

/// What `docker save` wrote before, and `podman save` and `skopeo` do by default. It has no manifest with a digest: one is made.
fn saved(contents: &Contents, tag: Option<&str>) -> Result<Found, Problem> {
    let json = contents.get("manifest.json", MAX_IMAGE_METADATA_BYTES)?;
    let images: Vec<Saved> = serde_json::from_slice(&json).map_err(Problem::Manifest)?;
    let image = tags::meant_of_saved(&images, tag)?;
    let json = contents.get(&image.config, MAX_IMAGE_METADATA_BYTES)?;
    let config = Config::read(&json)?;
    let (layers, diff_ids) = (image.layers.len(), config.diff_ids.len());
    if layers != diff_ids {
        return Err(Problem::LayerCount { layers, diff_ids });
    }
    if layers > MAX_IMAGE_LAYERS {
        return Err(Problem::TooManyLayers(layers));
    }
    let spelled: Vec<_> = config.diff_ids.iter().map(|id| format!("sha256:{id}")).collect();
    let made = json!({"schemaVersion": 2, "config": {"digest": format!("sha256:{}", digest::of_bytes(&json))}, "layers": spelled});
    let layers = image.layers.iter().map(|layer| contents.place(layer)).collect::<Result<_, _>>()?;
    let name = image.repo_tags.iter().flatten().next().map(|tag| repository(tag));
    Ok(Found { name, digest: digest::of_json(&made), config, layers })
}

/// Returns the last part of a reference's repository: `agent` of `r.example/team/agent:1`.
fn repository(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default().to_owned()
}

fn blob_path(digest: &ArtifactDigest) -> String {
    format!("blobs/sha256/{digest}")
}
