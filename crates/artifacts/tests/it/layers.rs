//! Packages: uploaded, or installed from what the project says.

use std::path::Path;

use innkeep_artifacts::{Error, Kind};

use crate::fixture::{Store, artifact, run, zip};

const PROJECT: Kind = Kind::Project { layer: None };

/// A package called `tiny`, as pip and uv install it.
fn wheel() -> Vec<u8> {
    zip(&[
        ("tiny/__init__.py", b"VALUE = 'tiny'"),
        ("tiny-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"),
        ("tiny-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("tiny-1.0.dist-info/entry_points.txt", b"[console_scripts]\ntiny-run = tiny:VALUE.title\n"),
        ("tiny-1.0.dist-info/RECORD", b"tiny/__init__.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/entry_points.txt,,\ntiny-1.0.dist-info/RECORD,,\n"),
    ])
}

const MAIN: &[u8] = b"import tiny\nprint(tiny.VALUE, tiny.__cached__ is not None)";

#[tokio::test]
async fn requirements_are_installed_once() {
    let store = Store::new();
    // A module of the project that pip must not take for its own.
    let requirements: &[u8] = b"--no-index\n--find-links wheels\ntiny\n";
    let code = zip(&[
        ("main.py", MAIN),
        ("logging.py", b"raise SystemExit('imported by the installer')"),
        ("requirements.txt", requirements),
        ("wheels/tiny-1.0-py3-none-any.whl", &wheel()),
    ]);
    let (first, second) = tokio::join!(store.add(&code, PROJECT), store.add(&code, PROJECT));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.prefix, second.prefix);
    let mut notes = [first.notes[1].clone(), second.notes[1].clone()];
    notes.sort();
    assert!(notes[0].starts_with("the packages of requirements.txt were installed b"), "{notes:?}");
    assert_eq!(notes.iter().filter(|note| note.ends_with("installed before")).count(), 1, "{notes:?}");

    let bundle = store.artifacts.prepare(&artifact(&first)).await.unwrap();
    assert_eq!(run(&bundle), "tiny True\n");
    let layer = Path::new(bundle.environment["PYTHONPATH"].split_once(':').unwrap().1);
    assert!(layer.join("bin/tiny-run").is_file() && layer.join("tiny/__pycache__").is_dir());
    assert!(bundle.environment["PATH"].starts_with(layer.join("bin").to_str().unwrap()));
}

#[tokio::test]
async fn a_failing_installation_shows_its_last_lines_and_leaves_nothing() {
    let store = Store::new();
    let code = zip(&[("main.py", b""), ("requirements.txt", b"--no-index\nno-such-package==1\n")]);
    let error = store.add(&code, PROJECT).await.unwrap_err();
    assert!(matches!(&error, Error::Install { tail, .. } if tail.contains("no-such-package")), "{error}");
    assert!(store.files().is_empty(), "{:?}", store.files());
}

#[tokio::test]
async fn an_uploaded_layer_is_used_instead_of_the_requirements() {
    let store = Store::new();
    let fingerprint = "0123456789abcdef".repeat(4);
    let kind = Kind::Project { layer: Some(fingerprint.clone()) };
    let code = zip(&[("main.py", MAIN), ("requirements.txt", b"no-such-package==1")]);
    assert!(matches!(store.add(&code, kind.clone()).await, Err(Error::NoLayer(_))));

    assert!(!store.artifacts.has_layer(&fingerprint));
    let layer = zip(&[("tiny/__init__.py", b"VALUE = 'venv'")]);
    store.artifacts.add_layer(&fingerprint, store.upload(&layer)).await.unwrap();
    store.artifacts.add_layer(&fingerprint, store.upload(b"not looked at")).await.unwrap();
    assert!(store.artifacts.has_layer(&fingerprint));

    let uploaded = store.add(&code, kind).await.unwrap();
    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    assert_eq!(run(&bundle), "venv True\n");

    for bad in ["", "..", &"A".repeat(64), &"a".repeat(63), "../../../../etc"] {
        assert!(!store.artifacts.has_layer(bad));
        let refused = store.artifacts.add_layer(bad, store.upload(&layer)).await;
        assert!(matches!(refused, Err(Error::Fingerprint(_))), "{bad}");
    }
}

#[tokio::test]
async fn packages_built_for_an_absent_python_are_refused_with_the_way_out() {
    let store = Store::new();
    let code = zip(&[("main.py", b""), ("x.cpython-310-x86_64-linux-gnu.so", b"")]);
    match store.add(&code, Kind::Zip).await {
        Ok(uploaded) => assert_eq!(uploaded.runtime, "PYTHON_3_10"),
        Err(error) => assert!(error.to_string().contains("apt install python3.10"), "{error}"),
    }
}
