//! What nobody needs goes, and nothing else.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use innkeep_artifacts::{Bundle, Kind, Uploaded};
use innkeep_types::UnixMillis;

use crate::fixture::{Store, artifact, run, zip};

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
