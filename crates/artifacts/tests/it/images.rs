//! From an uploaded archive to directories that overlayfs mounts.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use innkeep_artifacts::{Artifacts, Content, Error, Image, ImageProblem, Options, UploadedImage};
use innkeep_types::{Artifact, ErrorKind};
use serde_json::json;
use tar::EntryType;

use crate::fixture::Store;
use crate::tars::{Layer, architecture, blobs, config, docker_archive, gzip, header, index, layout, sha256, tar_of};

pub(crate) async fn add(store: &Store, archive: &[u8]) -> Result<UploadedImage, Error> {
    store.artifacts.add_image(store.upload(archive), None, None).await
}

pub(crate) fn container(uploaded: &UploadedImage) -> Artifact {
    Artifact::Container { uri: uploaded.container_uri.clone() }
}

/// Uploads and prepares an image of these layers.
pub(crate) async fn image(store: &Store, process: serde_json::Value, layers: &[Vec<u8>]) -> Image {
    let uploaded = add(store, &docker_archive(&process, layers)).await.unwrap();
    let bundle = store.artifacts.prepare(&container(&uploaded)).await.unwrap();
    assert_eq!(store.artifacts.bundle(&bundle.digest).unwrap(), bundle);
    let Content::Image { image } = bundle.content else { panic!("it is code") };
    image
}

/// The problem with which an archive is refused; nothing of it stays.
pub(crate) async fn problem(archive: &[u8]) -> ImageProblem {
    let store = Store::new();
    match add(&store, archive).await.unwrap_err() {
        Error::Image(error) => {
            assert!(store.files().iter().all(|file| file.starts_with("image-layers/")), "{:?}", store.files());
            error.problem
        }
        other => panic!("{other}"),
    }
}

fn attribute(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 8];
    let n = rustix::fs::getxattr(path, "user.overlay.opaque", &mut value).ok()?;
    Some(value[..n].to_vec())
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
}

fn command() -> serde_json::Value {
    json!({"Cmd": ["/x"]})
}

#[tokio::test]
async fn a_saved_image_becomes_a_bundle() {
    let store = Store::new();
    let base = Layer::new()
        .directory("./etc/")
        .file("./etc/passwd", "root:x:0:0::/:\napp:x:1000:1000::/:\n")
        .file("etc/group", "app:x:1000:\nextra:x:7:app\n")
        .tar();
    let top = Layer::new().file("etc/passwd", "root:x:0:0::/:\napp:x:1001:1002::/:\n").tar();
    let process = json!({
        "Entrypoint": ["/bin/agent"], "Cmd": ["serve"], "Env": ["A=1", "PATH=/bin"], "WorkingDir": "/srv", "User": "app",
        "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT", "Labels": {"a": "b"}, "Volumes": {"/v": {}},
    });
    let archive = docker_archive(&process, &[base.clone(), top.clone()]);
    let uploaded = add(&store, &archive).await.unwrap();
    assert!(uploaded.container_uri.starts_with("innkeep.local/my-agent@sha256:"), "{uploaded:?}");
    assert_eq!(uploaded.notes[0], "2 layers, 0 MB unpacked");

    let bundle = store.artifacts.prepare(&container(&uploaded)).await.unwrap();
    assert_eq!(uploaded.container_uri.rsplit(':').next(), Some(bundle.digest.as_str()));
    assert_eq!(bundle.argv, ["/bin/agent", "serve"]);
    assert_eq!(bundle.environment["PATH"], "/bin");
    assert_eq!(bundle.code(), None);
    let Content::Image { image } = &bundle.content else { panic!("it is code") };
    assert_eq!((image.user, image.group, image.groups.as_slice()), (1001, 1002, &[7][..]));
    assert_eq!(image.working_directory, Path::new("/srv"));
    let place = |tar: &[u8]| store.dir.path().join("artifacts/image-layers").join(sha256(tar)).join("fs");
    assert_eq!(image.layers, [place(&top), place(&base)], "the topmost is first");

    // The same once more, compressed, under a name of its own.
    let again = store.artifacts.add_image(store.upload(&gzip(&archive)), Some("Other Name"), None).await.unwrap();
    assert!(again.container_uri.starts_with("innkeep.local/other-name@sha256:"), "{again:?}");
    assert_eq!(again.notes, ["the image was uploaded before"]);
    assert_eq!(store.artifacts.prepare(&container(&again)).await.unwrap(), bundle);

    // What is not there is not looked for elsewhere.
    for uri in ["innkeep.local/my-agent", &format!("innkeep.local/my-agent@sha256:{}", "a".repeat(64))] {
        let error = store.artifacts.prepare(&Artifact::Container { uri: uri.to_owned() }).await.unwrap_err();
        assert!(matches!(&error, Error::Image(e) if matches!(e.problem, ImageProblem::NotUploaded)), "{error}");
    }
}

#[tokio::test]
async fn a_bundle_is_made_again_in_another_place_without_the_archive() {
    let store = Store::new();
    let uploaded = add(&store, &docker_archive(&command(), &[Layer::new().file("x", "1").tar()])).await.unwrap();
    let first = store.artifacts.prepare(&container(&uploaded)).await.unwrap();
    let moved = tempfile::tempdir().unwrap();
    fs::rename(store.dir.path().join("artifacts"), moved.path().join("artifacts")).unwrap();
    let artifacts = Artifacts::open(moved.path(), Options::default()).unwrap();
    assert!(artifacts.bundle(&first.digest).is_err());
    let again = artifacts.restore(&container(&uploaded), &first.digest).await.unwrap();
    assert_eq!(again.digest, first.digest);
    assert_eq!(artifacts.bundle(&first.digest).unwrap(), again);
    let Content::Image { image } = again.content else { panic!("it is code") };
    assert!(image.layers[0].starts_with(moved.path()) && image.layers[0].join("x").is_file());
}

#[tokio::test]
async fn layouts_are_read_with_layers_in_every_compression() {
    let store = Store::new();
    let plain = Layer::new().file("a", "1").tar();
    let zipped = Layer::new().file("b", &"2".repeat(100_000)).tar();
    let zstd = Layer::new().file("c", "3").tar();
    // Two frames and one to be skipped, as zstd:chunked writes them.
    let (one, two) = zstd.split_at(700);
    let compress = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let frames = [compress(one), vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9], compress(two)].concat();
    let config = config(&command(), &[plain.clone(), zipped.clone(), zstd]);
    let blobs = blobs(config, &[("", plain), ("+gzip", gzip(&zipped)), ("+zstd", frames)]);
    let manifest = blobs.last().unwrap();
    let mut index = index(manifest, Some(("linux", architecture())));
    index["manifests"][0]["annotations"] = json!({"io.containerd.image.name": "docker.io/library/thing:1"});

    let uploaded = add(&store, &layout(&blobs, &index)).await.unwrap();
    assert_eq!(uploaded.container_uri, format!("innkeep.local/thing@sha256:{}", sha256(manifest)));
    let bundle = store.artifacts.prepare(&container(&uploaded)).await.unwrap();
    let Content::Image { image } = bundle.content else { panic!("it is code") };
    let content: Vec<_> = image
        .layers
        .iter()
        .zip(["c", "b", "a"])
        .map(|(layer, name)| fs::read(layer.join(name)).unwrap().len())
        .collect();
    assert_eq!(content, [1, 100_000, 1]);
}

#[tokio::test]
async fn of_several_images_the_one_that_is_named_is_taken() {
    let layer = |name: &str| Layer::new().file(name, "").tar();
    let (one, two) = (layer("one"), layer("two"));
    let parts =
        [&one, &two].map(|layer| blobs(config(&command(), std::slice::from_ref(layer)), &[("", layer.clone())]));
    let mut both = index(parts[0].last().unwrap(), None);
    both["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let mut second = index(parts[1].last().unwrap(), None)["manifests"][0].clone();
    second["annotations"] = json!({"io.containerd.image.name": "r.example/team/two:v2"});
    both["manifests"].as_array_mut().unwrap().push(second);
    let layout = layout(&parts.concat(), &both);
    let configs = [&one, &two].map(|layer| config(&command(), std::slice::from_ref(layer)));
    let saved = json!([
        {"Config": "a", "RepoTags": ["r.example/one:v1"], "Layers": ["1"]},
        {"Config": "b", "RepoTags": ["r.example/two:v2", "two:latest"], "Layers": ["2"]},
    ]);
    let [a, b] = configs;
    let files = [("a", a), ("b", b), ("1", one), ("2", two), ("manifest.json", saved.to_string().into_bytes())];
    let saved = tar_of(&files.map(|(name, content)| (name.to_owned(), content)));

    for (archive, names) in
        [(layout, "r.example/team/two:v2, v1"), (saved, "r.example/one:v1, r.example/two:v2, two:latest")]
    {
        let add = async |tag: Option<&str>| {
            let store = Store::new();
            let uploaded = store.artifacts.add_image(store.upload(&archive), None, tag).await?;
            let bundle = store.artifacts.prepare(&container(&uploaded)).await.unwrap();
            let Content::Image { image } = bundle.content else { panic!("it is code") };
            let only = fs::read_dir(&image.layers[0]).unwrap().next().unwrap().unwrap();
            Ok::<_, Error>(only.file_name().into_string().unwrap())
        };
        assert_eq!(add(Some("v1")).await.unwrap(), "one");
        assert_eq!(add(Some("v2")).await.unwrap(), "two");
        let several = add(None).await.unwrap_err().to_string();
        assert!(several.contains(&format!("several images ({names})")) && several.contains("--tag"), "{several}");
        let none = add(Some("v3")).await.unwrap_err().to_string();
        assert!(none.contains("none of its images is \"v3\"") && none.contains(names), "{none}");
    }
    let untagged = blobs(config(&command(), &[layer("x")]), &[("", layer("x"))]);
    let untagged = crate::tars::layout(&untagged, &index(untagged.last().unwrap(), None));
    let store = Store::new();
    let refused = store.artifacts.add_image(store.upload(&untagged), None, Some("v1")).await.unwrap_err();
    assert!(refused.to_string().contains("leave --tag out"), "{refused}");
}

#[tokio::test]
async fn removals_are_written_as_overlayfs_reads_them() {
    let store = Store::new();
    let mut device = header("dev/null", EntryType::Char, 0o666);
    device.set_device_major(1).unwrap();
    let layer = Layer::new()
        .file("gone/.wh.file", "")
        .directory("hidden")
        .file("hidden/.wh..wh..opq", "")
        .file("hidden/kept", "1")
        // A removal means the layers below, whatever comes first here.
        .file(".wh.replaced-by-file", "")
        .file("replaced-by-file", "2")
        .file("replaced-by-directory/x", "3")
        .file(".wh.replaced-by-directory", "")
        .file(".wh.implied", "")
        .file("implied/x", "4")
        .file(".wh..wh.plnk/1.2", "")
        .entry(device, b"")
        .entry(header("pipe", EntryType::Fifo, 0o666), b"")
        .tar();
    let image = image(&store, command(), &[layer]).await;
    let at = |path: &str| image.layers[0].join(path);
    assert!(is_whiteout(&at("gone/file")));
    assert_eq!(fs::read_to_string(at("hidden/kept")).unwrap(), "1");
    for hiding in ["hidden", "replaced-by-directory", "implied"] {
        assert_eq!(attribute(&at(hiding)).as_deref(), Some(&b"y"[..]), "{hiding}");
    }
    assert_eq!(attribute(&at("gone")), None);
    assert_eq!(fs::read_to_string(at("replaced-by-file")).unwrap(), "2");
    let mut names: Vec<_> =
        fs::read_dir(at("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["gone", "hidden", "implied", "replaced-by-directory", "replaced-by-file"], "no devices");
}

#[tokio::test]
async fn a_tar_may_lack_its_end() {
    let store = Store::new();
    let mut layer = Layer::new().directory("d").file("d/f", "1234").tar();
    layer.truncate(512 + 512 + 4);
    let image = image(&store, command(), &[layer]).await;
    assert_eq!(fs::read_to_string(image.layers[0].join("d/f")).unwrap(), "1234");
}

#[tokio::test]
async fn a_layer_that_hides_all_ends_the_stack_and_one_that_comes_twice_is_mounted_once() {
    let store = Store::new();
    let layer = |name: &str| Layer::new().file(name, "").tar();
    let twice = layer("a");
    let found = image(&store, command(), &[twice.clone(), layer("b"), twice.clone()]).await;
    let names = |image: &Image| -> Vec<PathBuf> {
        let first = |layer: &PathBuf| fs::read_dir(layer).unwrap().next().unwrap().unwrap().file_name().into();
        image.layers.iter().map(first).collect()
    };
    assert_eq!(names(&found), [Path::new("a"), Path::new("b")]);
    let opaque = Layer::new().file(".wh..wh..opq", "").file("c", "").tar();
    let found = image(&store, command(), &[twice, opaque, layer("d")]).await;
    assert_eq!(names(&found), [Path::new("d"), Path::new("c")]);
}

#[tokio::test]
async fn modes_times_owners_and_links_are_kept() {
    let store = Store::new();
    let mut setuid = header("bin/su", EntryType::Regular, 0o6755);
    setuid.set_uid(12);
    setuid.set_gid(34);
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let layer = Layer::new()
        .entry(header("./", EntryType::Directory, 0o555), b"")
        .entry(header("tmp/", EntryType::Directory, 0o1777), b"")
        .entry(header("closed", EntryType::Directory, 0o500), b"")
        .file("closed/in", "")
        .entry(setuid, b"#!")
        .hard_link("bin/linked", "/bin/su")
        .symlink("lib", "/usr/lib")
        .symlink("up", "../../..")
        .file("/absolute", "5")
        .pax(&[
            ("path", long.as_bytes()),
            ("mtime", b"1234.75"),
            ("uid", b"65535"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.capability", b"\x01\n\0\x02"),
        ])
        .file("short", "6")
        .entry(header("long", EntryType::GNULongName, 0), &[b'g'; 200])
        .file("short", "7")
        .tar();
    let image = image(&store, command(), &[layer]).await;
    let at = |path: &str| image.layers[0].join(path);
    let mode = |path: &str| at(path).symlink_metadata().unwrap().permissions().mode() & 0o7777;
    for (path, expect) in [("", 0o555), ("tmp", 0o1777), ("closed", 0o500), ("bin/su", 0o755), ("absolute", 0o644)] {
        assert_eq!(mode(path), expect, "{path:?}");
    }
    let su = at("bin/su").metadata().unwrap();
    assert_eq!((su.ino(), su.nlink()), (at("bin/linked").metadata().unwrap().ino(), 2));
    for path in ["", "tmp", "bin/su", "lib", "closed"] {
        assert_eq!(at(path).symlink_metadata().unwrap().mtime(), 1_000_000_000, "{path:?}");
    }
    assert_eq!(fs::read_link(at("lib")).unwrap(), Path::new("/usr/lib"));
    assert_eq!(fs::read_link(at("up")).unwrap(), Path::new("../../.."));
    let named = at(&long).metadata().unwrap();
    assert_eq!((named.mtime(), named.len(), attribute(&at(&long))), (1234, 1, None));
    assert_eq!(fs::read_to_string(at(&"g".repeat(200))).unwrap(), "7");
    if rustix::process::geteuid().is_root() {
        assert_eq!((su.uid(), su.gid(), named.uid()), (12, 34, 65_535));
    } else {
        assert_eq!(su.uid(), rustix::process::geteuid().as_raw());
    }
}

#[tokio::test]
async fn extended_attributes_of_users_are_kept() {
    let attribute = |path: &Path, name: &str| {
        let mut value = [0; 8];
        rustix::fs::lgetxattr(path, name, &mut value).ok().map(|n| value[..n].to_vec())
    };
    let store = Store::new();
    let layer = Layer::new()
        .pax(&[("SCHILY.xattr.user.dir", b"1")])
        .entry(header("d", EntryType::Directory, 0o555), b"")
        .pax(&[("SCHILY.xattr.user.again", b"2")])
        .entry(header("d", EntryType::Directory, 0o555), b"")
        .pax(&[
            ("SCHILY.xattr.user.mime", b"a\n\0"),
            ("SCHILY.xattr.trusted.x", b"y"),
            ("SCHILY.xattr.user.overlay.metacopy", b""),
        ])
        .entry(header("d/f", EntryType::Regular, 0o400), b"")
        // Links have none, and what they lead to does not get theirs.
        .pax(&[("SCHILY.xattr.user.link", b"3")])
        .symlink("l", "d/f")
        .pax(&[("SCHILY.xattr.user.link", b"3")])
        .hard_link("h", "d/f")
        .tar();
    let image = image(&store, command(), &[layer]).await;
    let at = |path: &str, name: &str| attribute(&image.layers[0].join(path), name);
    assert_eq!(at("d", "user.dir").as_deref(), Some(&b"1"[..]));
    assert_eq!(at("d", "user.again").as_deref(), Some(&b"2"[..]));
    assert_eq!(at("d/f", "user.mime").as_deref(), Some(&b"a\n\0"[..]));
    for (path, name) in
        [("d/f", "trusted.x"), ("d/f", "user.overlay.metacopy"), ("d/f", "user.link"), ("l", "user.link")]
    {
        assert_eq!(at(path, name), None, "{path} {name}");
    }
}

#[tokio::test]
async fn the_user_is_looked_up_as_the_program_would() {
    let store = Store::new();
    let passwd = |uid: u32| format!("app:x:{uid}:{uid}::/:\n");
    let user = json!({"Cmd": ["/x"], "User": "app"});
    // By a link to a file of a lower layer.
    let low = Layer::new().file("usr/share/passwd", &passwd(5)).symlink("etc", "conf").tar();
    let top = Layer::new().symlink("conf/passwd", "../usr/share/passwd").tar();
    assert_eq!(image(&store, user.clone(), &[low, top]).await.user, 5);
    // A link that leads out leads nowhere, a circle too; what is removed or hidden is not there.
    let low = || Layer::new().file("etc/passwd", &passwd(6)).tar();
    let hidden = [
        Layer::new().file("etc/.wh.passwd", "").tar(),
        Layer::new().file(".wh.etc", "").tar(),
        Layer::new().file("etc/.wh..wh..opq", "").tar(),
        Layer::new().file("etc", "no directory").tar(),
        Layer::new().symlink("etc/passwd", "../../../../../../../../../nowhere").tar(),
        Layer::new().symlink("etc/passwd", "passwd").tar(),
        Layer::new().file(".wh..wh..opq", "").tar(),
    ];
    for (idx, top) in hidden.into_iter().enumerate() {
        let problem = problem(&docker_archive(&user, &[low(), top])).await;
        assert!(matches!(problem, ImageProblem::Unknown { file: "/etc/passwd", .. }), "{idx}: {problem}");
    }
}

#[tokio::test]
async fn a_list_of_users_that_the_image_closes_is_the_images_fault() {
    let layer =
        Layer::new().entry(header("etc", EntryType::Directory, 0), b"").file("etc/passwd", "app:x:5:5::/:\n").tar();
    let process = json!({"Cmd": ["/x"], "User": "app"});
    if rustix::process::geteuid().is_root() {
        assert_eq!(image(&Store::new(), process, &[layer]).await.user, 5, "root reads all");
    } else {
        let error = add(&Store::new(), &docker_archive(&process, &[layer])).await.unwrap_err();
        assert!(
            matches!(&error, Error::Image(error) if matches!(error.problem, ImageProblem::Closed { .. })),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Validation);
    }
}

#[tokio::test]
async fn archives_that_are_no_image_for_this_host_are_refused() {
    let layer = Layer::new().file("x", "").tar();
    let config = config(&command(), std::slice::from_ref(&layer));
    let parts = blobs(config.clone(), &[("", layer.clone())]);
    let manifest = parts.last().unwrap().clone();

    let elsewhere = layout(&parts, &index(&manifest, Some(("plan9", "sparc"))));
    let text = problem(&elsewhere).await.to_string();
    assert_eq!(text, format!("does not run on linux/{}: it is for plan9/sparc", architecture()));

    let mut damaged = parts.clone();
    damaged[0].push(b' ');
    let mut files: Vec<_> = parts.iter().map(|blob| format!("blobs/sha256/{}", sha256(blob))).zip(damaged).collect();
    files.push(("index.json".to_owned(), index(&manifest, None).to_string().into_bytes()));
    assert!(matches!(problem(&tar_of(&files)).await, ImageProblem::Digest { .. }));
    files.remove(1);
    files[0].1.pop();
    assert!(matches!(problem(&tar_of(&files)).await, ImageProblem::Archive(text) if text.contains("incomplete")));

    // The layer is not the one that the configuration names.
    let other = Layer::new().file("y", "").tar();
    let swapped = layout(
        &blobs(config.clone(), &[("", other.clone())]),
        &index(blobs(config, &[("", other)]).last().unwrap(), None),
    );
    assert!(matches!(problem(&swapped).await, ImageProblem::Digest { .. }));

    let two = json!([{"Config": "a", "RepoTags": ["one:1"], "Layers": []}, {"Config": "b", "RepoTags": ["two:2"], "Layers": []}]);
    let two = tar_of(&[("manifest.json".to_owned(), two.to_string().into_bytes())]);
    assert!(matches!(problem(&two).await, ImageProblem::Archive(text) if text.contains("one:1, two:2")));

    let nothing = docker_archive(&json!({}), std::slice::from_ref(&layer));
    assert!(matches!(problem(&nothing).await, ImageProblem::NoCommand));
    for junk in [&b""[..], b"hello", &[0x1f, 0x8b, 0], &[0x28, 0xb5, 0x2f, 0xfd, 1], &layer] {
        assert!(matches!(problem(junk).await, ImageProblem::Archive(_)), "{junk:?}");
    }
}
