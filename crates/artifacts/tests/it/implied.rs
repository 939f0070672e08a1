//! Directories that a layer does not describe look as the layers below describe them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use innkeep_artifacts::Image;
use serde_json::json;
use tar::EntryType;

use crate::fixture::Store;
use crate::images::image;
use crate::tars::{Layer, header};

/// A directory of 12:34 and this mode.
fn described(layer: Layer, name: &str, mode: u32) -> Layer {
    let mut header = header(name, EntryType::Directory, mode);
    header.set_uid(12);
    header.set_gid(34);
    layer.entry(header, b"")
}

fn base() -> Layer {
    let base = described(described(Layer::new(), "tmp", 0o1777), "srv", 0o750);
    described(base.pax(&[("SCHILY.xattr.user.kept", b"1")]), "srv/app", 0o2700).file("srv/app/low", "")
}

async fn of(store: &Store, layers: &[Layer]) -> Image {
    let layers: Vec<_> = layers.iter().map(|layer| layer.clone().tar()).collect();
    image(store, json!({"Cmd": ["/x"]}), &layers).await
}

/// The mode and owner that overlayfs shows: those of the topmost layer that has it.
fn seen(image: &Image, path: &str) -> (u32, u32) {
    let found = image.layers.iter().find_map(|layer| layer.join(path).symlink_metadata().ok()).unwrap();
    (found.permissions().mode() & 0o7777, found.uid())
}

fn owner() -> u32 {
    if rustix::process::geteuid().is_root() { 12 } else { rustix::process::geteuid().as_raw() }
}

#[tokio::test]
async fn they_have_the_attributes_of_the_layers_below() {
    let store = Store::new();
    let top = Layer::new().file("tmp/x", "").file("srv/app/new/y", "");
    let found = of(&store, &[base(), Layer::new().file("srv/app/between", ""), top]).await;
    assert_eq!(found.layers.len(), 4);
    assert!(found.layers[0].ends_with("directories") && found.layers[0].starts_with(store.dir.path()));
    assert_eq!(seen(&found, "tmp"), (0o1777, owner()));
    assert_eq!(seen(&found, "srv"), (0o750, owner()), "on the way to one that differs");
    assert_eq!(seen(&found, "srv/app"), (0o700, owner()));
    assert_eq!(seen(&found, "srv/app/new").0, 0o755, "nobody describes it");
    let covered = found.layers[0].join("srv/app");
    assert_eq!(covered.metadata().unwrap().mtime(), 1_000_000_000);
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(&covered, "user.kept", &mut value).unwrap(), 1);
    let files = walkdir::WalkDir::new(&found.layers[0]).into_iter().map(Result::unwrap);
    assert_eq!(files.filter(|entry| !entry.file_type().is_dir()).count(), 0);
    // The layers are as they were, and another image of the same layer has none.
    assert_eq!(fs::metadata(found.layers[1].join("tmp")).unwrap().permissions().mode() & 0o7777, 0o755);
    let alone = of(&store, &[Layer::new().file("tmp/x", "").file("srv/app/new/y", "")]).await;
    assert_eq!(alone.layers, [found.layers[1].clone()]);
}

#[tokio::test]
async fn only_what_is_seen_of_lower_layers_counts() {
    let tops = [
        ("removed before", vec![Layer::new().file(".wh.tmp", ""), Layer::new().file("tmp/x", "")]),
        ("removed by itself", vec![Layer::new().file(".wh.tmp", "").file("tmp/x", "")]),
        ("hidden", vec![Layer::new().file("tmp/.wh..wh..opq", "").file("tmp/x", "")]),
        ("all hidden", vec![Layer::new().file(".wh..wh..opq", "").file("tmp/x", "")]),
        ("no directory", vec![Layer::new().file("tmp", ""), Layer::new().file("tmp/x", "")]),
        ("described", vec![Layer::new().file("tmp/x", "").directory("tmp")]),
        ("a link above", vec![Layer::new().file("tmp/x", ""), Layer::new().symlink("tmp", "srv")]),
        ("the same", vec![Layer::new().directory("tmp"), Layer::new().file("tmp/x", "")]),
    ];
    for (what, tops) in tops {
        let layers: Vec<_> = [base()].into_iter().chain(tops).collect();
        let found = of(&Store::new(), &layers).await;
        assert!(found.layers.iter().all(|layer| !layer.ends_with(Path::new("directories"))), "{what}: {found:?}");
    }
}
