//! What nobody needs goes, and nothing else.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use innkeep_artifacts::{Bundle, Kind, StoredKind, Uploaded};
use innkeep_types::{Artifact, ArtifactDigest, ErrorKind, UnixMillis};

use crate::fixture::{Store, artifact, run, zip};
use crate::tars::{Layer, docker_archive};

const FINGERPRINT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Two hours after the epoch: things are aged to one, and asked for from here.
pub(crate) const USED_SINCE: UnixMillis = UnixMillis(2 * 60 * 60 * 1000);

async fn deploy(store: &Store, says: &str) -> (Uploaded, Bundle) {
    let main = format!("import tiny\nprint({says:?}, tiny.VALUE)");
    let kind = Kind::Project { layer: Some(FINGERPRINT.to_owned()) };
    let uploaded = store.add(&zip(&[("main.py", main.as_bytes())]), kind).await.unwrap();
    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    (uploaded, bundle)
}

async fn add_layer(store: &Store) {
    let packages = store.upload(&zip(&[("tiny.py", b"VALUE = 42")]));
    store.artifacts.add_layer(FINGERPRINT, packages).await.unwrap();
}

/// Makes all that is kept look unused for a long time.
pub(crate) fn age(store: &Store) {
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(60 * 60);
    for entry in walkdir::WalkDir::new(store.dir.path().join("artifacts")).min_depth(2).max_depth(2) {
        File::open(entry.unwrap().path()).unwrap().set_modified(at).unwrap();
    }
}

fn kept(store: &Store) -> [usize; 4] {
    ["zips", "manifests", "bundles", "layers"]
        .map(|part| fs::read_dir(store.dir.path().join("artifacts").join(part)).unwrap().count())
}

#[tokio::test]
async fn only_what_no_version_needs_and_nobody_used_lately_is_removed() {
    let store = Store::new();
    add_layer(&store).await;
    let (old, _) = deploy(&store, "old").await;
    let (now, bundle) = deploy(&store, "now").await;
    let in_use = || vec![(artifact(&now), Some(bundle.digest.clone()))];

    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 0, "all of it is young");
    age(&store);
    assert_eq!(
        store.artifacts.retain(in_use(), USED_SINCE).await.unwrap(),
        3,
        "zip, manifest and bundle of the old one"
    );
    assert_eq!(kept(&store), [1, 1, 1, 1]);
    assert_eq!(run(&store.artifacts.bundle(&bundle.digest).unwrap()), "now 42\n");
    assert!(store.artifacts.prepare(&artifact(&old)).await.is_err());

    deploy(&store, "old").await;
    assert_eq!(kept(&store), [2, 2, 2, 1]);
    age(&store);
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 7);
    assert_eq!(store.files(), Vec::<String>::new(), "nothing is left, in tmp/ neither");
}

#[tokio::test]
async fn what_is_found_again_counts_as_used() {
    let store = Store::new();
    add_layer(&store).await;
    deploy(&store, "again").await;
    age(&store);
    assert!(store.artifacts.has_layer(FINGERPRINT));
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 3);
    assert_eq!(kept(&store), [0, 0, 0, 1], "the client was told that it need not send the layer");

    let (uploaded, _) = deploy(&store, "again").await;
    age(&store);
    store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    assert_eq!(store.artifacts.retain(vec![(artifact(&uploaded), None)], USED_SINCE).await.unwrap(), 0);
}

/// Returns what is kept of images.
fn kept_images(store: &Store) -> [usize; 4] {
    ["images", "image-layers", "bundles", "blobs"]
        .map(|part| fs::read_dir(store.dir.path().join("artifacts").join(part)).unwrap().count())
}

async fn add_image(store: &Store, layers: &[Vec<u8>]) -> (Artifact, ArtifactDigest) {
    let archive = docker_archive(&serde_json::json!({"Cmd": ["/x"]}), layers);
    let uploaded = store.artifacts.add_image(store.upload(&archive), None, None).await.unwrap();
    let artifact = Artifact::Container { uri: uploaded.container_uri };
    let bundle = store.artifacts.prepare(&artifact).await.unwrap();
    (artifact, bundle.digest)
}

fn layer(name: &str) -> Vec<u8> {
    Layer::new().file(name, name).tar()
}

#[tokio::test]
async fn images_go_with_the_layers_that_no_other_has() {
    let store = Store::new();
    let (old, old_digest) = add_image(&store, &[layer("base"), layer("old")]).await;
    let (now, now_digest) = add_image(&store, &[layer("base"), layer("now")]).await;
    let partial = store.dir.path().join(format!("artifacts/blobs/{}.partial", "a".repeat(64)));
    fs::write(&partial, "half a layer").unwrap();
    assert_eq!(kept_images(&store), [2, 3, 2, 1]);
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 0, "all of it is young");
    age(&store);
    // By its tag's digest alone, as while its version is made; or by the bundle alone, as one that came by a tag.
    let by_tag = Artifact::Container { uri: "r.example/now:1".to_owned() };
    assert_eq!(store.artifacts.retain(vec![(now.clone(), None)], USED_SINCE).await.unwrap(), 5);
    assert_eq!(kept_images(&store), [1, 2, 0, 0]);
    store.artifacts.restore(&now, &now_digest).await.unwrap();
    age(&store);
    assert_eq!(store.artifacts.retain(vec![(by_tag, Some(now_digest.clone()))], USED_SINCE).await.unwrap(), 0);
    assert!(store.artifacts.bundle(&now_digest).is_ok() && store.artifacts.bundle(&old_digest).is_err());
    assert!(store.artifacts.prepare(&old).await.is_err());
    // Who finds it again uses it: all of it.
    store.artifacts.prepare(&now).await.unwrap();
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 0);
    age(&store);
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 4);
    assert_eq!(store.files(), Vec::<String>::new());
}

#[tokio::test]
async fn artifacts_are_listed_and_removed_by_name() {
    let store = Store::new();
    add_layer(&store).await;
    let (code, code_bundle) = deploy(&store, "code").await;
    let (first, first_digest) = add_image(&store, &[layer("base"), layer("first")]).await;
    let (_, second_digest) = add_image(&store, &[layer("base"), layer("second")]).await;
    let in_use = vec![(artifact(&code), Some(code_bundle.digest.clone())), (first, None)];

    let listed = store.artifacts.list(in_use.clone()).await.unwrap();
    assert_eq!(listed.len(), 3);
    let find = |digest: &str| listed.iter().find(|stored| stored.digest.as_str() == digest).unwrap();
    let stored = find(&code.prefix);
    assert_eq!((stored.kind, stored.used_by.as_slice(), &stored.reference), (StoredKind::Code, &[0][..], &None));
    assert!(stored.bytes > 100, "zip, packages and bundle");
    let stored = find(first_digest.as_str());
    assert_eq!((stored.kind, stored.used_by.as_slice()), (StoredKind::Image, &[1][..]));
    assert_eq!(stored.bytes, 2 * 2048);
    assert!(stored.reference.as_ref().unwrap().starts_with("innkeep.local/my-agent@sha256:"));
    assert!(find(second_digest.as_str()).used_by.is_empty());

    let remove = async |digest: &str, in_use| {
        store.artifacts.remove(&ArtifactDigest::parse(digest).unwrap(), in_use).await.map_err(|error| error.kind())
    };
    for used in [code.prefix.as_str(), first_digest.as_str()] {
        assert_eq!(remove(used, &in_use).await, Err(ErrorKind::Conflict));
    }
    assert_eq!(remove(&"0".repeat(64), &in_use).await, Err(ErrorKind::NotFound));
    age(&store);
    assert_eq!(remove(second_digest.as_str(), &in_use).await, Ok(()));
    assert_eq!(kept_images(&store), [1, 2, 2, 0]);
    assert_eq!(remove(first_digest.as_str(), &[]).await, Ok(()));
    assert_eq!(remove(&code.prefix, &[]).await, Ok(()));
    assert_eq!(kept(&store), [0, 0, 1, 0], "the unpacked code goes with the next cleaning");
    assert_eq!(kept_images(&store), [0, 0, 1, 0]);
    assert!(store.artifacts.list(Vec::new()).await.unwrap().is_empty());
}
