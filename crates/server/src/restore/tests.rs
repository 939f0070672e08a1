//! There and back again, and every file that is no whole backup.

use tar::{Builder, Header};

use super::*;
use crate::backup::{append, backup, header};

/// A data directory that was used, with an artifact of each kind.
async fn data_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).await.unwrap().close().await.unwrap();
    for (name, content) in [
        ("credentials", "[default]"),
        ("server.json", "{}"),
        ("logs/one.log", "words"),
        ("artifacts/zips/aa.zip", "zip"),
        ("artifacts/manifests/aa.json", "{}"),
        ("artifacts/layers/bb/bin/run", "#!/bin/sh"),
        ("artifacts/bundles/cc/code/main.py", "print()"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let long = dir.path().join("artifacts/layers/bb").join("n".repeat(120)).join("m".repeat(120));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("__init__.py"), vec![b'#'; 70_000]).unwrap();
    let layer = dir.path().join("artifacts/layers/bb");
    fs::set_permissions(layer.join("bin/run"), Permissions::from_mode(0o555)).unwrap();
    symlink("../bin/run", layer.join("bin/again")).unwrap();
    dir
}

/// Returns the names of all files below `dir`, with their modes and contents, or what links lead to.
fn tree(dir: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let entries = WalkDir::new(dir).min_depth(1).sort_by_file_name().into_iter().map(Result::unwrap);
    let read = |entry: walkdir::DirEntry| {
        let name = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let content = match entry.file_type() {
            t if t.is_symlink() => fs::read_link(entry.path()).unwrap().to_str().unwrap().into(),
            t if t.is_file() => fs::read(entry.path()).unwrap(),
            _ => Vec::new(),
        };
        (name, mode, content)
    };
    entries.map(read).collect()
}

#[tokio::test]
async fn what_is_restored_is_what_was_backed_up_and_nothing_of_the_old_host() {
    let (old, place) = (data_dir().await, tempfile::tempdir().unwrap());
    let file = place.path().join("backup.tar");
    fs::write(&file, "an older one, to be replaced").unwrap();
    let bytes = backup(old.path(), &file).await.unwrap();
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (bytes, 0o600));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");

    let new = place.path().join("new");
    restore(&file, &new).await.unwrap();
    let names: Vec<_> = fs::read_dir(&new).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["artifacts", "credentials", "innkeep.db", "lock", "secret.key"]);
    assert!(!new.join("artifacts/bundles").exists());
    for name in ["innkeep.db", "secret.key", "credentials"] {
        assert_eq!(fs::metadata(new.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read(new.join("secret.key")).unwrap(), fs::read(old.path().join("secret.key")).unwrap());
    let layers = tree(&new.join("artifacts/layers"));
    let contents =
        |tree: &[(String, u32, Vec<u8>)]| tree.iter().map(|(n, _, c)| (n.clone(), c.clone())).collect::<Vec<_>>();
    assert_eq!(contents(&layers), contents(&tree(&old.path().join("artifacts/layers"))));
    for (name, mode, _) in layers.iter().filter(|(name, ..)| !name.ends_with("again")) {
        let expected = if name.ends_with(".py") { 0o444 } else { 0o555 };
        assert_eq!(*mode, expected, "{name}");
    }
    Store::open(&new).await.unwrap();
}

#[tokio::test]
async fn only_an_empty_directory_that_nobody_uses_is_restored_into() {
    let (old, place) = (data_dir().await, tempfile::tempdir().unwrap());
    let file = place.path().join("backup.tar");
    backup(old.path(), &file).await.unwrap();
    let before = tree(old.path());
    assert!(matches!(restore(&file, old.path()).await, Err(Error::NotEmpty(_))));
    assert_eq!(tree(old.path()), before);

    let starting = place.path().join("starting");
    let server = DataDir::lock(&starting).unwrap();
    let refused = restore(&file, &starting).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
    drop(server);
    restore(&file, &starting).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_anywhere_is_refused_and_leaves_nothing() {
    let (old, place) = (data_dir().await, tempfile::tempdir().unwrap());
    let file = place.path().join("backup.tar");
    backup(old.path(), &file).await.unwrap();
    let whole = fs::read(&file).unwrap();
    let end = whole.len();
    // The last two blocks of 512 bytes are empty and end every tar; before them lie the checksum and its header.
    let mut bad: Vec<Vec<u8>> = (0..40).map(|n| whole[..(end - 1024 - 480) * n / 40].to_vec()).collect();
    bad.extend((0..40).map(|n| {
        let mut changed = whole.clone();
        changed[(end - 1024 - 480) * n / 40] ^= 1;
        changed
    }));
    bad.push(b"PK\x03\x04 no tar at all".repeat(100));
    for (n, bytes) in bad.into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        check_refused(&file, "", &format!("{n}")).await;
    }
}

#[tokio::test]
async fn a_hostile_file_with_a_good_checksum_is_refused_and_leaves_nothing() {
    let file = |name: &'static str| (name, EntryType::Regular, "");
    let link = |name: &'static str, target: &'static str| (name, EntryType::Symlink, target);
    for entry in [
        file("../innkeep.db"),
        file("/etc/innkeep"),
        file("artifacts/layers/../../x"),
        file("artifacts/bundles/a/code/main.py"),
        file("artifacts/zips/a/b"),
        file("lock"),
        file("other"),
        link("innkeep.db", "/etc/passwd"),
        link("artifacts", "/tmp"),
        link("artifacts/layers/a", "/tmp"),
        link("artifacts/layers/a/b", "/tmp"),
        link("artifacts/layers/a/b", "../x"),
        link("artifacts/layers/a/b/c", "../../x"),
        link("artifacts/layers/a/b/c", "d/../../../x"),
        ("artifacts/layers/a/b", EntryType::Link, "innkeep.db"),
        ("artifacts/layers/a/b", EntryType::Fifo, ""),
        ("artifacts/layers/a/b", EntryType::Char, ""),
    ] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("backup.tar");
        write(&path, &[entry]);
        check_refused(&path, "has no place in a backup", &format!("{entry:?}")).await;
    }
    // Each is fine by itself, and what they name together is not.
    for entries in [
        [link("artifacts/layers/a/b", "c"), file("artifacts/layers/a/b/evil")],
        [file("artifacts/layers/a/b"), file("artifacts/layers/a/b")],
        [file("innkeep.db"), file("secret.key")],
    ] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("backup.tar");
        write(&path, &entries);
        check_refused(&path, "", &format!("{entries:?}")).await;
    }
}

#[tokio::test]
async fn a_backup_of_a_newer_innkeep_is_told_apart_from_no_backup() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("backup.tar");
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, FORMAT.0, b"innkeep backup 2\n").unwrap();
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    check_refused(&path, "made by a newer innkeep", "").await;
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "README", b"hello").unwrap();
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    check_refused(&path, "no backup that innkeep made", "").await;
}

#[tokio::test]
async fn what_is_no_data_directory_is_not_backed_up() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.tar");
    assert!(matches!(backup(place.path(), &file).await, Err(Error::NoData(_))));
    assert!(!file.exists());
}

/// Writes a backup of these entries, empty files and links, with the right format and checksum.
fn write(path: &Path, entries: &[(&str, EntryType, &str)]) {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, FORMAT.0, FORMAT.1).unwrap();
    for (name, kind, target) in entries {
        let mut header: Header = header(*kind, 0o644);
        // By hand: the builder refuses what is hostile.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        tar.append(&header, io::empty()).unwrap();
    }
    let mut sum = Digest::new();
    sum.update(tar.get_ref());
    append(&mut tar, CHECKSUM, &sum.finish()).unwrap();
    fs::write(path, tar.into_inner().unwrap()).unwrap();
}

async fn check_refused(file: &Path, words: &str, case: &str) {
    let beside = file.parent().unwrap();
    let (new, empty) = (beside.join("new"), tempfile::tempdir().unwrap());
    let refused = restore(file, &new).await.unwrap_err().to_string();
    assert!(refused.contains(words), "{case}: {refused}");
    assert_eq!(fs::read_dir(beside).unwrap().count(), 1, "{case}: {refused}");
    restore(file, empty.path()).await.unwrap_err();
    assert!(is_empty(empty.path()).unwrap(), "{case}");
}
