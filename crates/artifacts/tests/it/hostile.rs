//! Zips that somebody made to do harm, or by mistake: refused by name, and nothing of them stays.

use std::io::Write;

use innkeep_artifacts::{ArchiveError, ArchiveProblem, Error, Kind};
use innkeep_types::ErrorKind;
use innkeep_types::limits::{MAX_UNZIPPED_BYTES, MAX_ZIP_BYTES, MAX_ZIP_ENTRIES};
use zip::unstable::write::FileOptionsExt;
use zip::write::SimpleFileOptions;

use crate::fixture::{Store, zip, zip_of};

/// Asserts that `zip` is refused as code and as a layer, and returns why.
async fn refused(zip: &[u8]) -> ArchiveError {
    let store = Store::new();
    let layer = store.artifacts.add_layer(&"a".repeat(64), store.upload(zip)).await;
    assert!(layer.is_err() && !store.artifacts.has_layer(&"a".repeat(64)));
    let error = store.add(zip, Kind::Zip).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
    assert_eq!(store.files(), Vec::<String>::new(), "something was left behind");
    match error {
        Error::Archive(error) => error,
        other => panic!("{other}"),
    }
}

async fn problem(zip: &[u8]) -> ArchiveProblem {
    match refused(zip).await {
        ArchiveError::Entry { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn entry(name: &str) -> Vec<u8> {
    zip(&[("main.py", b""), (name, b"x")])
}

/// Replaces every `from` in the bytes of a zip: how a writer that takes care is made to write what it would not.
fn forged(mut zip: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = zip.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        zip[at..at + to.len()].copy_from_slice(to);
    }
    zip
}

fn link(name: &str, target: &str) -> Vec<u8> {
    zip_of(|zip| zip.add_symlink(name, target, SimpleFileOptions::default()).unwrap())
}

#[tokio::test]
async fn entries_that_lead_out_are_refused() {
    assert!(matches!(problem(&forged(entry("AA/evil"), b"AA/evil", b"../evil")).await, ArchiveProblem::Parent));
    assert!(matches!(problem(&forged(entry("a/AA/evil"), b"a/AA/evil", b"a/../evil")).await, ArchiveProblem::Parent));
    assert!(matches!(problem(&forged(entry("Atmp/evil"), b"Atmp/evil", b"/tmp/evil")).await, ArchiveProblem::Absolute));
    assert!(matches!(problem(&forged(entry("AA/evil"), b"AA/evil", b"..\\evil")).await, ArchiveProblem::Windows));
    assert!(matches!(problem(&forged(entry("CA/evil"), b"CA/evil", b"C:/evil")).await, ArchiveProblem::Windows));
    assert!(matches!(problem(&forged(entry("evil.pyA"), b"evil.pyA", b"evil.py\0")).await, ArchiveProblem::Nul));
    assert!(matches!(problem(&entry(&"d/".repeat(600))).await, ArchiveProblem::TooLong));
}

#[tokio::test]
async fn links_that_lead_out_are_refused() {
    for (name, target) in [("l", "/etc/passwd"), ("l", ".."), ("a/l", "../../x"), ("a/b/l", "c/../../../..")] {
        assert!(matches!(problem(&link(name, target)).await, ArchiveProblem::Link { .. }), "{name} -> {target}");
    }
    let through_another = zip_of(|zip| {
        zip.add_symlink("a/b/c/up", "../../..", SimpleFileOptions::default()).unwrap();
        zip.add_symlink("a/b/c/out", "up/..", SimpleFileOptions::default()).unwrap();
    });
    assert!(matches!(problem(&through_another).await, ArchiveProblem::Link { .. }));
    let written_through = zip_of(|zip| {
        zip.add_symlink("d", "inside", SimpleFileOptions::default()).unwrap();
        zip.start_file("d/f", SimpleFileOptions::default()).unwrap();
    });
    assert!(matches!(problem(&written_through).await, ArchiveProblem::BelowFile));
}

#[tokio::test]
async fn names_that_contradict_each_other_are_refused() {
    let same = forged(zip(&[("main.py", b""), ("maiN.py", b"")]), b"maiN.py", b"main.py");
    assert!(matches!(refused(&same).await, ArchiveError::DuplicateName));
    assert!(matches!(problem(&zip(&[("a/b", b""), ("a//b", b"")])).await, ArchiveProblem::Twice));
    assert!(matches!(problem(&zip(&[("a/b", b""), ("a", b"")])).await, ArchiveProblem::Twice));
    assert!(matches!(problem(&zip(&[("a", b""), ("a/b", b"")])).await, ArchiveProblem::BelowFile));
    assert!(matches!(problem(&zip(&[(".", b"")])).await, ArchiveProblem::Twice));
}

#[tokio::test]
async fn special_files_and_encrypted_ones_are_refused() {
    let mode = |mode: u32| (mode << 16).to_le_bytes();
    let pipe = forged(entry("pipe"), &mode(0o100_600), &mode(0o010_600));
    assert!(matches!(problem(&pipe).await, ArchiveProblem::Special));
    let encrypted = zip_of(|zip| {
        let options = SimpleFileOptions::default().with_deprecated_encryption(b"secret").unwrap();
        zip.start_file("main.py", options).unwrap();
        zip.write_all(b"x").unwrap();
    });
    assert!(matches!(problem(&encrypted).await, ArchiveProblem::Encrypted));
}

#[tokio::test]
async fn bombs_are_refused() {
    let zeros = vec![0; 1 << 20];
    let bomb = zip_of(|zip| {
        zip.start_file("main.py", SimpleFileOptions::default()).unwrap();
        for _ in 0..(MAX_UNZIPPED_BYTES >> 20) + 1 {
            zip.write_all(&zeros).unwrap();
        }
    });
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    assert!(matches!(refused(&bomb).await, ArchiveError::UnpacksTooLarge));
    // The same with a header that claims less.
    let size = u32::try_from(((MAX_UNZIPPED_BYTES >> 20) + 1) << 20).unwrap().to_le_bytes();
    let liar = forged(bomb, &size, &1000u32.to_le_bytes());
    assert!(matches!(problem(&liar).await, ArchiveProblem::Damaged(_)));

    let shared = zip_of(|zip| {
        zip.start_file("a", SimpleFileOptions::default()).unwrap();
        zip.write_all(&zeros).unwrap();
        zip.shallow_copy_file("a", "b").unwrap();
    });
    assert!(matches!(refused(&shared).await, ArchiveError::Overlap));
}

#[tokio::test]
async fn too_many_files_or_directories_are_refused() {
    let directories = |n: usize, depth: usize| {
        zip_of(|zip| {
            for idx in 0..n {
                zip.add_directory(format!("{idx}/{}", "d/".repeat(depth)), SimpleFileOptions::default()).unwrap();
            }
        })
    };
    assert!(matches!(refused(&directories(MAX_ZIP_ENTRIES + 1, 0)).await, ArchiveError::TooManyEntries));
    assert!(matches!(refused(&directories(MAX_ZIP_ENTRIES / 400 + 1, 400)).await, ArchiveError::TooManyEntries));
    // Refused while it is read, before it is an index in memory.
    assert!(matches!(refused(&directories(1000, 15_000)).await, ArchiveError::DirectoryTooLarge));
}

#[tokio::test]
async fn what_is_no_zip_is_refused() {
    let good = zip(&[("main.py", b"print(1)\n".repeat(1000).as_slice())]);
    for bad in [&b""[..], b"hello", &good[..good.len() / 2], &good[..good.len() - 1]] {
        assert!(matches!(refused(bad).await, ArchiveError::NotAZip(_)));
    }
    let mut damaged = good;
    damaged[60] ^= 0xff;
    assert!(matches!(problem(&damaged).await, ArchiveProblem::Damaged(_)));

    let store = Store::new();
    let large = store.artifacts.upload_file().unwrap();
    std::fs::File::options().write(true).open(large.path()).unwrap().set_len(MAX_ZIP_BYTES + 1).unwrap();
    let error = store.artifacts.add(large, Kind::Zip).await.unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveError::TooLarge(bytes)) if bytes == MAX_ZIP_BYTES + 1));
    assert!(store.files().is_empty());
}
