//! From upload to a process that runs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use innkeep_artifacts::{Artifacts, Error, Kind, Options};
use innkeep_types::{Artifact, HealthCheck};
use zip::write::SimpleFileOptions;

use crate::fixture::{Store, artifact, run, zip, zip_of};

const PROJECT: Kind = Kind::Project { layer: None };

#[tokio::test]
async fn a_python_project_becomes_a_process() {
    let store = Store::new();
    let main: &[u8] =
        b"import os, sys, pkg.m\nprint(pkg.m.X, os.getcwd(), sys.version_info[1], 'm.cpython' in pkg.m.__cached__)";
    let toml: &[u8] = b"[agent]\nhealth = \"tcp\"\nstart_timeout_secs = 7\n";
    let code = zip(&[("main.py", main), ("pkg/m.py", b"X = 42"), ("innkeep.toml", toml)]);
    let uploaded = store.add(&code, PROJECT).await.unwrap();
    assert_eq!(uploaded.entry_point, ["main.py"]);
    let minor = uploaded.runtime.strip_prefix("PYTHON_3_").unwrap();
    assert!(uploaded.notes[0].starts_with(&format!("main.py is run by Python 3.{minor}.")), "{:?}", uploaded.notes);

    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    assert_eq!(run(&bundle), format!("42 {} {minor} True\n", bundle.code().unwrap().display()));
    assert_eq!(bundle.settings.health, Some(HealthCheck::Tcp));
    assert_eq!(bundle.settings.start_timeout_secs, Some(7));
    assert!(!bundle.argv[0].contains("shims"), "{:?}", bundle.argv);
    assert_eq!(bundle.environment["PYTHONUNBUFFERED"], "1");
    let compiled = fs::read_dir(bundle.code().unwrap().join("pkg/__pycache__")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read(compiled.path()).unwrap()[4], 1, "compiled files are trusted by hash, unchecked");
}

#[tokio::test]
async fn modes_and_times_are_made_uniform_and_inward_links_kept() {
    let store = Store::new();
    let code = zip_of(|zip| {
        let mode = |mode| SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file("lib/agent.sh", mode(0o6777)).unwrap();
        zip.start_file("lib/data", mode(0o666)).unwrap();
        zip.add_symlink("agent", "lib/agent.sh", mode(0o777)).unwrap();
        zip.add_symlink("lib/up", "../lib", mode(0o777)).unwrap();
    });
    let uploaded = store.add(&code, PROJECT).await.unwrap();
    assert_eq!((uploaded.runtime.as_str(), uploaded.entry_point.as_slice()), ("PROVIDED", &["agent".to_owned()][..]));
    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    let code = bundle.code().unwrap();
    for (path, mode) in [("", 0o40555), ("lib", 0o40555), ("lib/agent.sh", 0o100_555), ("lib/data", 0o100_444)] {
        let metadata = fs::metadata(code.join(path)).unwrap();
        assert_eq!(metadata.permissions().mode(), mode, "{path}");
        if !path.is_empty() {
            assert_eq!(metadata.mtime(), 315_532_800, "{path}");
        }
    }
    assert_eq!(fs::read_link(code.join("lib/up")).unwrap().to_str(), Some("../lib"));
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "tells why half of the test was not run")]
async fn any_executable_and_node_run() {
    let store = Store::new();
    let toml: &[u8] = b"[agent]\nentrypoint = [\"./server\", \"argument\"]\n";
    let uploaded =
        store.add(&zip(&[("server*", b"#!/bin/sh\necho $1"), ("innkeep.toml", toml)]), PROJECT).await.unwrap();
    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await.unwrap();
    assert_eq!(run(&bundle), "argument\n");
    assert!(!bundle.environment.contains_key("PYTHONPATH"));

    let node = store.add(&zip(&[("package.json", b"{}"), ("index.js", b"console.log(6 * 7)")]), PROJECT).await;
    match node {
        Ok(uploaded) => {
            assert_eq!(uploaded.runtime, "NODE_22");
            assert_eq!(run(&store.artifacts.prepare(&artifact(&uploaded)).await.unwrap()), "42\n");
        }
        Err(Error::NoInterpreter(why)) => eprintln!("Node.js was not run: {why}"),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_launcher_of_the_packages_runs_the_script() {
    let store = Store::new();
    let launcher: &[u8] =
        b"#!/nowhere\nimport os, sys\nprint('launched', flush=True)\nos.execv(sys.argv[1], sys.argv[1:])";
    let uploaded =
        store.add(&zip(&[("main.py", b"print('main')"), ("bin/launch", launcher)]), Kind::Zip).await.unwrap();
    let Artifact::Code { bucket, prefix, version_id, runtime, .. } = artifact(&uploaded) else { unreachable!() };
    let with = |entry_point: &[&str]| Artifact::Code {
        bucket: bucket.clone(),
        prefix: prefix.clone(),
        version_id: version_id.clone(),
        runtime: runtime.clone(),
        entry_point: entry_point.iter().map(|item| (*item).to_owned()).collect(),
    };
    let bundle = store.artifacts.prepare(&with(&["launch", "main.py"])).await.unwrap();
    assert_eq!(run(&bundle), "launched\nmain\n");
    for bad in [&["nope", "main.py"][..], &["nope.py"], &["../main.py"], &["/bin/sh"], &["bin/launch", "main.py"], &[]]
    {
        let error = store.artifacts.prepare(&with(bad)).await.unwrap_err();
        assert!(matches!(error, Error::EntryPoint { .. }), "{bad:?}: {error}");
    }
    let bundles = fs::read_dir(store.dir.path().join("artifacts/bundles")).unwrap().count();
    assert_eq!(bundles, 1, "a refused entry point leaves nothing behind");
}

#[tokio::test]
async fn the_same_upload_is_the_same_artifact_and_is_made_ready_once() {
    let (store, other) = (Store::new(), Store::new());
    let code = zip(&[("main.py", b"print('x')")]);
    let first = store.add(&code, PROJECT).await.unwrap();
    assert_eq!(first, store.add(&code, PROJECT).await.unwrap());
    assert_eq!(first, other.add(&code, Kind::Zip).await.unwrap());
    assert_ne!(first.prefix, store.add(&zip(&[("main.py", b"print('y')")]), PROJECT).await.unwrap().prefix);

    let artifact = artifact(&first);
    let prepare = || store.artifacts.prepare(&artifact);
    let (a, b, c) = tokio::join!(prepare(), prepare(), prepare());
    let bundle = a.unwrap();
    assert!(b.unwrap() == bundle && c.unwrap() == bundle);
    let files = store.files();
    assert_eq!(store.artifacts.bundle(&bundle.digest).unwrap(), bundle);

    // A restart finds it, and only unfinished work goes.
    let upload = store.artifacts.upload_file().unwrap();
    fs::write(upload.path(), "half an upload").unwrap();
    // As when the server is killed.
    std::mem::forget(upload);
    let reopened = Artifacts::open(store.dir.path(), Options::default()).unwrap();
    assert_eq!(store.files(), files);
    assert_eq!(reopened.prepare(&artifact).await.unwrap(), bundle);

    // A bundle whose interpreter is gone is not handed out, but made again.
    let record = bundle.code().unwrap().with_file_name("bundle.json");
    let json = fs::read_to_string(&record).unwrap().replace(&bundle.argv[0], "/nowhere/python3");
    fs::write(&record, json).unwrap();
    assert!(matches!(reopened.bundle(&bundle.digest), Err(Error::NoBundle(_))));
    assert_eq!(reopened.prepare(&artifact).await.unwrap(), bundle);
}

#[tokio::test]
async fn a_finished_zip_may_be_started_by_whoever_knows_how() {
    let store = Store::new();
    let uploaded =
        store.add(&zip(&[("src/start.py", b"print('here')"), ("requirements.txt", b"x")]), Kind::Zip).await.unwrap();
    assert!(uploaded.entry_point.is_empty());
    let error = store.add(&zip(&[("src/start.py", b"")]), PROJECT).await.unwrap_err();
    assert!(error.to_string().starts_with("nothing to run"), "{error}");
}

#[tokio::test]
async fn what_this_version_cannot_run_is_named() {
    let store = Store::new();
    let code = |bucket: &str, prefix: String, version_id: Option<&str>, runtime: &str| Artifact::Code {
        bucket: bucket.to_owned(),
        prefix,
        version_id: version_id.map(str::to_owned),
        runtime: runtime.to_owned(),
        entry_point: vec!["main.py".to_owned()],
    };
    let prefix = store.add(&zip(&[("main.py", b"")]), PROJECT).await.unwrap().prefix;
    for (artifact, says) in [
        (code("my-bucket", "x.zip".to_owned(), None, "PYTHON_3_12"), "name one in [s3] of innkeep.toml"),
        (code("innkeep", "0".repeat(64), None, "PYTHON_3_12"), "no artifact"),
        (code("innkeep", "../../etc".to_owned(), None, "PYTHON_3_12"), "no artifact"),
        (code("innkeep", prefix.clone(), Some("v1"), "PYTHON_3_12"), "keeps no versions"),
        (code("innkeep", prefix.clone(), None, "PYTHON_2_7"), "PYTHON_2_7"),
        (code("innkeep", prefix, None, "PYTHON_3_99"), "PYTHON_3_99"),
    ] {
        let error = store.artifacts.prepare(&artifact).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
