//! Layers that somebody made to do harm, or by mistake: refused by name or harmless, and nothing outside is touched.

use std::fs;

use innkeep_artifacts::{Content, EntryProblem, ImageProblem, LayerError};
use serde_json::json;
use tar::EntryType;

use crate::fixture::Store;
use crate::images::{add, container, problem};
use crate::tars::{Layer, blobs, config, docker_archive, gzip, header, index, layout};

fn archive(layer: Layer) -> Vec<u8> {
    docker_archive(&json!({"Cmd": ["/x"]}), &[layer.tar()])
}

async fn refused(layer: Layer) -> LayerError {
    match problem(&archive(layer)).await {
        ImageProblem::Layer(error) => error,
        other => panic!("{other}"),
    }
}

async fn entry(layer: Layer) -> EntryProblem {
    match refused(layer).await {
        LayerError::Entry { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// Unpacks a layer that is taken, and returns its directory's content, one line for each path.
async fn taken(layer: Layer) -> Vec<String> {
    let store = Store::new();
    let uploaded = add(&store, &archive(layer)).await.unwrap();
    let Content::Image { image } = store.artifacts.prepare(&container(&uploaded)).await.unwrap().content else {
        panic!("it is code")
    };
    let root = &image.layers[0];
    let paths = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter().map(Result::unwrap);
    paths.map(|path| path.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

#[tokio::test]
async fn names_that_lead_out_are_refused() {
    for name in ["../evil", "a/../../evil", "a/..", "..", "/../evil"] {
        assert!(matches!(entry(Layer::new().file(name, "x")).await, EntryProblem::Parent), "{name}");
    }
    let hard = |target| Layer::new().file("a", "").hard_link("b", target);
    assert!(matches!(entry(hard("../../../etc/passwd")).await, EntryProblem::Parent));
    assert!(matches!(entry(hard("/etc/passwd")).await, EntryProblem::HardLink { .. }));
    assert!(matches!(entry(hard("")).await, EntryProblem::Name));
    assert!(matches!(entry(Layer::new().file("", "x")).await, EntryProblem::Name));
    let nul = Layer::new().pax(&[("path", b"a\0b")]).file("x", "");
    assert!(matches!(entry(nul).await, EntryProblem::Name));
    let long = Layer::new().pax(&[("path", "a".repeat(256).as_bytes())]).file("x", "");
    assert!(matches!(entry(long).await, EntryProblem::TooLong));
    let deep = |depth| Layer::new().pax(&[("path", "a/".repeat(depth).as_bytes())]).file("x", "");
    assert!(matches!(entry(deep(65)).await, EntryProblem::TooLong));
    assert_eq!(taken(deep(64)).await.len(), 64);
    assert_eq!(taken(Layer::new().file("/abs", "").file("././a//b", "")).await, ["a", "a/b", "abs"]);
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().to_str().unwrap();
    assert!(matches!(entry(Layer::new().symlink("d", out).file("d/evil", "x")).await, EntryProblem::BelowLink));
    assert!(matches!(entry(Layer::new().symlink("d", out).directory("d/e/f")).await, EntryProblem::BelowLink));
    assert!(matches!(entry(Layer::new().symlink("d", out).file("d/.wh.x", "")).await, EntryProblem::BelowLink));
    assert!(matches!(entry(Layer::new().symlink("d", ".").file("d/x", "")).await, EntryProblem::BelowLink));
    // A directory that was entered before and then became a link.
    let swapped = Layer::new().directory("d").symlink("d", out).file("d/evil", "x");
    assert!(matches!(entry(swapped).await, EntryProblem::BelowLink));
    let full = Layer::new().file("d/x", "1").symlink("d", out).file("d/evil", "x");
    assert!(matches!(entry(full).await, EntryProblem::ReplacesDirectory));
    // A hard link to a link is one more link, and neither is followed.
    let linked = Layer::new().symlink("l", &format!("{out}/f")).hard_link("h", "l").file("h", "x");
    assert_eq!(taken(linked).await, ["h", "l"]);
    let through = Layer::new().symlink("d", out).hard_link("h", "d/passwd");
    assert!(matches!(entry(through).await, EntryProblem::HardLink { .. }));
    assert_eq!(taken(Layer::new().symlink("f", &format!("{out}/f")).file("f", "x")).await, ["f"]);
    assert_eq!(taken(Layer::new().symlink("d", out).directory("d").file("d/x", "")).await, ["d", "d/x"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn hard_links_are_to_files_of_the_same_layer() {
    let base = Layer::new().file("low", "1").tar();
    let top = Layer::new().hard_link("link", "low").tar();
    let error = problem(&docker_archive(&json!({"Cmd": ["/x"]}), &[base, top])).await;
    assert!(matches!(error, ImageProblem::Layer(LayerError::Entry { problem: EntryProblem::HardLink { .. }, .. })));
    for target in ["d", "h", ".wh.w", "w", "d/none"] {
        let layer = Layer::new().directory("d").file(".wh.w", "").hard_link("h", target);
        assert!(matches!(entry(layer).await, EntryProblem::HardLink { .. }), "{target}");
    }
}

#[tokio::test]
async fn marks_of_removal_remove_nothing_else() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", ".wh.d/x"] {
        assert!(matches!(entry(Layer::new().file(name, "")).await, EntryProblem::Whiteout), "{name}");
    }
    assert_eq!(taken(Layer::new().file("a", "1").file(".wh.a", "").file("a/.wh..wh.orph", "")).await, ["a"]);
    assert!(matches!(entry(Layer::new().file("a", "").file("a/b", "")).await, EntryProblem::BelowFile));
}

#[tokio::test]
async fn owners_that_no_sandbox_has_are_refused_where_owners_are_kept() {
    let mut owner = header("f", EntryType::Regular, 0o644);
    owner.set_uid(65_536);
    let by_field = || Layer::new().entry(owner.clone(), b"");
    let by_extension = || Layer::new().pax(&[("gid", b"4294967296")]).file("f", "");
    if rustix::process::geteuid().is_root() {
        assert!(matches!(entry(by_field()).await, EntryProblem::Owner { id: 65_536 }));
        assert!(matches!(entry(by_extension()).await, EntryProblem::Owner { id: 4_294_967_296 }));
    } else {
        assert_eq!(taken(by_field()).await, ["f"]);
        assert_eq!(taken(by_extension()).await, ["f"]);
    }
}

#[tokio::test]
async fn odd_headers_are_refused() {
    let sparse = Layer::new().entry(header("f", EntryType::GNUSparse, 0o644), b"");
    assert!(matches!(entry(sparse).await, EntryProblem::Sparse));
    let sparse = Layer::new().pax(&[("GNU.sparse.major", b"1")]).file("f", "");
    assert!(matches!(entry(sparse).await, EntryProblem::Sparse));
    let sizes = Layer::new().pax(&[("size", b"7")]).file("f", "1");
    assert!(matches!(entry(sizes).await, EntryProblem::Extension));
    let unknown = Layer::new().entry(header("f", EntryType::new(b'Z'), 0o644), b"");
    assert!(matches!(entry(unknown).await, EntryProblem::Kind('Z')));
    let empty = Layer::new().symlink("l", "");
    assert!(matches!(entry(empty).await, EntryProblem::SymbolicLink));
    for records in [&b"x"[..], b"99 path=a\n", b"4 a\n", b"-1 path=a\n", b"18446744073709551616 a=b\n"] {
        let damaged = Layer::new().entry(header("pax", EntryType::XHeader, 0o644), records).file("f", "");
        assert!(matches!(entry(damaged).await, EntryProblem::Extension), "{records:?}");
    }
    let huge = Layer::new().entry(header("pax", EntryType::XHeader, 0o644), &vec![b'a'; (1 << 20) + 1]).file("f", "");
    assert!(matches!(entry(huge).await, EntryProblem::Extension));
    let huge = Layer::new().entry(header("long", EntryType::GNULongName, 0), &vec![b'a'; (1 << 20) + 1]).file("f", "");
    assert!(matches!(entry(huge).await, EntryProblem::Extension));
    let attribute = Layer::new().pax(&[("SCHILY.xattr.user.x", &vec![b'a'; (64 << 10) + 1])]).file("f", "");
    assert!(matches!(entry(attribute).await, EntryProblem::Extended));
    assert_eq!(taken(Layer::new().entry(header("f", EntryType::Regular, 0o7_777_777), b"")).await, ["f"]);
    assert_eq!(taken(Layer::new().entry(header("old/", EntryType::Regular, 0o755), b"")).await, ["old"]);
}

#[tokio::test]
async fn damaged_layers_are_refused() {
    let whole = Layer::new().file("f", &"x".repeat(5000)).tar();
    let process = json!({"Cmd": ["/x"]});
    let mut cut = whole.clone();
    cut.truncate(2000);
    let mut garbled = whole.clone();
    garbled[0] ^= 1;
    for layer in [cut, garbled, b"not a tar".repeat(100)] {
        let error = problem(&docker_archive(&process, &[layer])).await;
        assert!(matches!(error, ImageProblem::Layer(LayerError::Damaged(_))), "{error:?}");
    }
    let config = config(&process, std::slice::from_ref(&whole));
    let mut zipped = gzip(&whole);
    zipped.truncate(zipped.len() / 2);
    let parts = blobs(config, &[("+gzip", zipped)]);
    let error = problem(&layout(&parts, &index(parts.last().unwrap(), None))).await;
    assert!(matches!(error, ImageProblem::Layer(LayerError::Damaged(_))), "{error:?}");
}
